"""Runs a script and kills it at one of the calls that change files below a folder.

    kill_points.py FOLDER JOURNAL HOW AT SCRIPT ARGUMENTS...

HOW "kill": before call number AT; "power": there too, and of the files only what was synced
outlives it; "time": after AT seconds. Each call is written to JOURNAL. SIGKILL, always.
"""

import builtins
import io
import os
import pathlib
import runpy
import shutil
import signal
import sys
import time

import tensorflow as tf

CALLS = ("replace", "unlink", "rmdir", "mkdir", "fsync")


class Disk:
    """What would outlive a power cut: of files and folders, what was synced last."""

    def __init__(self, folder):
        """What is there at first is taken to be safe."""
        self.folder = os.path.realpath(folder)
        self.contents, self.entries, self.held = {}, {}, {}
        for place, _, files in os.walk(self.folder):
            for name in files:
                self.sync(os.path.join(place, name))
        for place, *_ in os.walk(self.folder):
            self.sync(place)

    def sync(self, path):
        """What fsync of a file or folder makes safe."""
        number = os.stat(path).st_ino
        if os.path.isdir(path):
            found = os.scandir(path)
            self.entries[number] = {one.name: (one.inode(), one.is_dir()) for one in found}
        else:
            self.contents[number] = pathlib.Path(path).read_bytes()
        if number not in self.held:  # open, so that nothing else gets its number
            self.held[number] = os.open(path, os.O_RDONLY)

    def cut(self):
        """Leaves only what was synced."""
        root = os.stat(self.folder).st_ino
        for entry in list(os.scandir(self.folder)):
            shutil.rmtree(entry) if entry.is_dir() else os.unlink(entry)
        self._write(self.folder, root)

    def _write(self, path, number):
        for name, (inside, is_folder) in self.entries.get(number, {}).items():
            target = os.path.join(path, name)
            if is_folder:
                os.mkdir(target)
                self._write(target, inside)
            else:
                pathlib.Path(target).write_bytes(self.contents.get(inside, b""))


def main(folder, journal, how, at, script, *arguments):
    """Replaces the calls by those that count, then runs the script."""
    real = {name: getattr(os, name) for name in CALLS}
    real_open, real_save = builtins.open, tf.raw_ops.SaveV2
    folder = os.path.realpath(folder)
    disk = Disk(folder) if how == "power" else None
    count = 0

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def point(name, path):
        nonlocal count
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        path = os.path.abspath(os.fsdecode(path))
        if not path.startswith(folder + os.sep) and path != folder:
            return
        count += 1
        with real_open(journal, "a", encoding="utf-8") as file:
            file.write(f"{name} {os.path.relpath(path, folder)}\n")
        if how != "time" and count == int(at):
            if disk:
                builtins.open = io.open = real_open
                for name, call in real.items():
                    setattr(os, name, call)
                disk.cut()
            die()

    def changes(name, path):
        if name == "mkdir":
            return not os.path.exists(path)
        return name not in ("unlink", "rmdir") or os.path.exists(path)

    def counted(name):
        def call(path, *args, **options):
            is_at_folder = options.get("dir_fd") is not None  # of rmtree, and a name alone
            if not is_at_folder and changes(name, path):
                point(name, path)
            found = real[name](path, *args, **options)
            if name == "fsync" and disk:
                disk.sync(os.readlink(f"/proc/self/fd/{path}"))
            return found

        return call

    def opened(path, mode="r", *args, **options):
        if isinstance(path, str | os.PathLike) and set(mode) & set("wax+"):
            point("open", path)
        return real_open(path, mode, *args, **options)

    def saved(prefix, **options):
        point("save", prefix)
        return real_save(prefix=prefix, **options)

    for name in CALLS:
        setattr(os, name, counted(name))
    builtins.open = io.open = opened
    tf.raw_ops.SaveV2 = saved
    if how == "time" and not os.fork():
        parent = os.getppid()
        time.sleep(float(at))
        if os.getppid() == parent:  # else it has ended
            os.kill(parent, signal.SIGKILL)
        os._exit(0)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(pathlib.Path(script).resolve().parent))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
