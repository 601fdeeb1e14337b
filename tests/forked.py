"""A script in a fork of fork_server.py, as if it were this process: output, signals, exit status.

python forked.py ADDRESS REQUEST
"""

import contextlib
import os
import signal
import socket
import sys

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ask(address, request, outputs):
    """Asks for a script.

    Args:
      address: the server's.
      request: JSON text, see fork_server.py.
      outputs: descriptors of its stdout and stderr.

    Returns:
      The connection, as a file of lines: process id and, at its end, exit status.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [request.encode()], outputs)
        return connection.makefile()


def main(address, request):
    """Stands for the script's process until it ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)  # the script may be quicker than we are
    answers = ask(address, request, (1, 2))
    pid = int(answers.readline())

    def pass_on(number, _frame):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = int(answers.readline())
    if status < 0:
        with contextlib.suppress(OSError):
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
