"""SIGTERM, SIGHUP and Ctrl-C as a request to stop after the running step."""

import contextlib
import signal


class StopRequest:
    """Remembers the first signal that asked to stop; a second one stops at once."""

    BY_ANOTHER_HOST = signal.SIGTERM  # the number that counts then

    signal_number = None

    def __bool__(self):
        return self.signal_number is not None

    def handle(self, number, _frame):
        """Signal handler."""
        if self:
            raise KeyboardInterrupt
        self.signal_number = number


@contextlib.contextmanager
def stop_requests():
    """Yields a StopRequest that SIGTERM, SIGHUP and SIGINT set within this context.

    A hangup that is ignored already, as by nohup, stays so.
    """
    request = StopRequest()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, request.handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
