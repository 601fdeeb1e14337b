"""Another allocator of memory for a command: the process starts again with it.

TensorFlow's own keeps what it has freed, and so takes up to half more than tensors need. tcmalloc
shares it among all that allocate, oneDNN included. glibc gives every block back at once, which
takes time: each is a mapping of its own (mallopt(3)).
"""

import ctypes.util
import os
import sys

from resnet.errors import UsageError

LIBRARIES = ("tcmalloc_minimal", "tcmalloc")
ALLOCATORS = ("tcmalloc", "glibc")
MMAP_THRESHOLD = 65536  # bytes; smaller blocks lie in glibc's heap
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
    environment = os.environ | environment_of(allocator)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def environment_of(allocator):
    """{name: value} of the environment in which a process has one of ALLOCATORS.

    Raises:
      UsageError: the library is not on this machine.
    """
    always = {MARK: allocator, "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1"}
    if allocator == "glibc":
        return always | {"MALLOC_MMAP_THRESHOLD_": str(MMAP_THRESHOLD)}
    found = next(filter(None, map(ctypes.util.find_library, LIBRARIES)), None)
    if found is None:
        raise UsageError(
            f"--allocator is {allocator}, but this machine has no lib{LIBRARIES[0]}: install it "
            "(Debian and Ubuntu: apt install libtcmalloc-minimal4), or leave the flag out"
        )
    before = os.environ.get("LD_PRELOAD")
    return always | {"LD_PRELOAD": f"{found}:{before}" if before else found}
