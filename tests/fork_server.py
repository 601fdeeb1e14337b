"""Runs scripts in forks of a process that has loaded TensorFlow, a second or two faster each.

python fork_server.py ADDRESS: a socket's path; see forked.py for who asks. Each connection is
one script: a JSON line {"folder", "line": [script or -m, arguments...], "environment"} with the
descriptors of its stdout and stderr. The answer is a line with its process id, and one with its
exit status when it ends; whoever closes the connection before kills it. The embedded data set is
drawn once for all forks, and the modules of a training are loaded; a fork sees flags, devices and
signals as a new process does.
"""

import contextlib
import gc
import importlib
import json
import os
import pathlib
import runpy
import select
import signal
import socket
import sys
import threading
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from resnet.quiet import load_tensorflow

LIMIT_SECONDS = 300  # of one script
LOADED = (  # with what they import
    "resnet.commands.cifar_train",
    "resnet.commands.cli",
    "resnet.commands.imagenet_train",
    "resnet.commands.train",
    "resnet.data.cifar.input",
    "resnet.training.loading",
    "resnet.training.train",
    "resnet.weights.trained",
)


def run(folder, line, environment):
    """The script's process: runs it as __main__ in a folder; never returns."""
    code, (target, *arguments) = 1, line
    try:
        os.chdir(folder)
        os.environ.update(environment)
        signal.alarm(LIMIT_SECONDS)
        if target == "-m":
            module, *arguments = arguments
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            sys.argv = [target, *arguments]
            sys.path.insert(0, str(pathlib.Path(target).resolve().parent))  # as Python does
            runpy.run_path(target, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def watch(connection):
    """The process between: starts the script's, and tells of it; never returns."""
    request, outputs, *_ = socket.recv_fds(connection, 2**20, 2)
    pid, ended = os.fork(), []
    if not pid:
        connection.close()
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, output in enumerate(outputs, 1):
            os.dup2(output, number)
            os.close(output)
        run(**json.loads(request))
    for output in outputs:
        os.close(output)

    def kill_when_closed():
        with contextlib.suppress(ConnectionResetError):  # closed with a line unread
            connection.recv(1)
        for kill in (os.killpg, os.kill):  # its group may not be there yet
            with contextlib.suppress(ProcessLookupError):
                if not ended:
                    kill(pid, signal.SIGKILL)

    def tell(number):
        with contextlib.suppress(ConnectionError):  # who asked has been killed
            connection.sendall(f"{number}\n".encode())

    threading.Thread(target=kill_when_closed, daemon=True).start()
    tell(pid)
    _, status = os.waitpid(pid, 0)
    ended.append(status)
    tell(os.waitstatus_to_exitcode(status))
    os._exit(0)


def reap(options):
    """Takes the exit status of those between that have ended; without options, of all."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def serve(address):
    """Answers until stdin ends."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if not os.fork():
                listener.close()
                watch(connection)
            connection.close()
            reap(os.WNOHANG)
    reap(0)


if __name__ == "__main__":
    load_tensorflow()
    importlib.import_module("resnet.data.cifar.synthetic").load()
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or each fork would look through all that is loaded, and copy it
    serve(sys.argv[1])
