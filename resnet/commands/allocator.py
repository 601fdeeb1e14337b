"""Another allocator of memory for a command: the process starts again with it.

TensorFlow's own keeps what it has freed; tcmalloc shares it among all that allocate, oneDNN
included, so that a process's peak is nearer to what it needs.
"""

import ctypes.util
import os
import sys

from resnet.errors import UsageError

LIBRARIES = ("tcmalloc_minimal", "tcmalloc")
ALLOCATORS = ("tcmalloc",)
MARK = "RESNET_ALLOCATOR"  # environment variable: which one this process was started with


def start_with(allocator):
    """Starts this process again with an allocator, unless it has been.

    Args:
      allocator: one of ALLOCATORS; None: what there is.

    Raises:
      UsageError: the library is not on this machine.
    """
    if allocator is None or os.environ.get(MARK) == allocator:
        return
    found = next(filter(None, map(ctypes.util.find_library, LIBRARIES)), None)
    if found is None:
        raise UsageError(
            f"--allocator is {allocator}, but this machine has no lib{LIBRARIES[0]}: install it "
            "(Debian and Ubuntu: apt install libtcmalloc-minimal4), or leave the flag out"
        )
    before = os.environ.get("LD_PRELOAD")
    changed = {
        MARK: allocator,
        "LD_PRELOAD": f"{found}:{before}" if before else found,
        "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1",
    }
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | changed)
