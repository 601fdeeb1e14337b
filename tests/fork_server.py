"""Runs scripts in forks of a process that has loaded TensorFlow, a second or two faster each.

Reads JSON lines [folder, script or -m, arguments...] from stdin and answers each with a
JSON line {"returncode", "stdout", "stderr"}. Nothing of the project is imported but
what loads TensorFlow and the embedded data set, whose images are drawn once for all forks;
a fork sees flags, devices and signals as a new process does.
"""

import importlib
import json
import os
import pathlib
import runpy
import signal
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from resnet.quiet import load_tensorflow

LIMIT_SECONDS = 120  # of one script


def run(folder, target, arguments, stdout, stderr):
    """The child: runs a script as __main__ in a folder; never returns."""
    code = 1
    try:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout.fileno(), 1)
        os.dup2(stderr.fileno(), 2)
        signal.alarm(LIMIT_SECONDS)
        if target == "-m":
            module, *arguments = arguments
            sys.argv = [module, *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        else:
            sys.argv = [target, *arguments]
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


load_tensorflow()
importlib.import_module("resnet.data.cifar.synthetic").load()
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    folder, target, *arguments = json.loads(line)
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        child = os.fork()
        if not child:
            run(folder, target, arguments, stdout, stderr)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for file in (stdout, stderr):
            file.seek(0)
        answer = {"returncode": code, "stdout": stdout.read(), "stderr": stderr.read()}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
