"""A wire between two hosts that are network namespaces, with losses at will. Linux, as root."""

import contextlib
import fcntl
import os
import random
import select
import shutil
import struct
import subprocess
import threading

TUN = "/dev/net/tun"
SET_INTERFACE, TAP, WITHOUT_HEADER = 0x400454CA, 0x0002, 0x1000
LONGEST_FRAME = 2**16


def why_not():
    """Why there can be no wire here; "" if there can."""
    if os.geteuid():
        return "network namespaces need root"
    if not shutil.which("ip") or not os.path.exists(TUN):
        return f"there is no ip command, or no {TUN}"
    name = f"try-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "network namespaces cannot be made"
    subprocess.run(["ip", "netns", "del", name])
    return ""


class Wire:
    """Two namespaces and what carries frames between them.

    Attributes:
      addresses: of the two hosts.
      loss: share of the frames that are dropped.
      is_cut: whether all are.
      num_carried, num_dropped: frames so far.
    """

    def __init__(self, loss=0.0, seed=0):
        self.loss, self.is_cut = loss, False
        self.num_carried = self.num_dropped = 0
        self._random = random.Random(seed)
        self.names = [f"host{i}-{os.getpid()}" for i in (0, 1)]
        self.addresses = [f"10.77.0.{i + 1}" for i in (0, 1)]

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        self._ends = [self._end(*pair) for pair in zip(self.names, self.addresses, strict=True)]
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._goes_on = True
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._goes_on = False
        self._thread.join()
        self._stack.close()

    def command(self, host, line):
        """A command line that runs on one of the hosts."""
        return ["ip", "netns", "exec", self.names[host], *line]

    def _end(self, name, address):
        """An open network interface in a new namespace."""
        _ip("netns", "add", name)
        self._stack.callback(_ip, "netns", "del", name)
        end = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        self._stack.callback(os.close, end)
        interface = name[:15]
        flags = struct.pack("16sH22x", interface.encode(), TAP | WITHOUT_HEADER)
        fcntl.ioctl(end, SET_INTERFACE, flags)
        _ip("link", "set", interface, "netns", name)
        for line in (
            ("addr", "add", f"{address}/24", "dev", interface),
            ("link", "set", interface, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", name, *line)
        return end

    def _carry(self):
        others = dict(zip(self._ends, self._ends[::-1], strict=True))
        while self._goes_on:
            ready, *_ = select.select(self._ends, [], [], 0.1)
            for end in ready:
                with contextlib.suppress(BlockingIOError, OSError):
                    frame = os.read(end, LONGEST_FRAME)
                    if self.is_cut or self._random.random() < self.loss:
                        self.num_dropped += 1
                    else:
                        os.write(others[end], frame)
                        self.num_carried += 1


def _ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
