"""Every one-line bug of mutations.py is caught by the tests that it names."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

import children
from mutations import MUTATIONS

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 300  # of a mutation's tests
FAILED, PASSED = 1, 0  # pytest's exit codes


def mutated(mutation, folder=REPOSITORY):
    """The text of the mutation's file, with the bug."""
    text = (folder / mutation.file).read_text(encoding="utf-8")
    count = text.count(mutation.old)
    assert count == 1, f"{mutation.file} has {mutation.old!r} {count} times: mend mutations.py"
    return text.replace(mutation.old, mutation.new)


def copy_repository(folder):
    """Copies what git knows, and new files that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    return folder


def run_tests(folder, tests):
    """Runs tests of a copy, without ../shared; returns (exit code, output)."""
    options = ["-q", "-x", "--tb=line", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = children.run(
        [sys.executable, "-m", "pytest", *options, "--override-ini=addopts=", *tests],
        LIMIT_SECONDS,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "RESNET_SHARED": str(folder / "nowhere"),
        },
    )
    return done.returncode, done.stdout


@functools.cache
def outcome_without_bugs(tests):
    """What `run_tests` gives for a copy as it is."""
    with tempfile.TemporaryDirectory() as folder:
        return run_tests(copy_repository(pathlib.Path(folder)), tests)


def test_every_mutation_still_fits():
    for mutation in MUTATIONS:
        text = mutated(mutation)
        if mutation.file.endswith(".py"):
            compile(text, mutation.file, "exec")
        assert mutation.tests, mutation
        for test in mutation.tests:
            file, _, name = test.partition("::")
            content = (REPOSITORY / file).read_text(encoding="utf-8")
            assert f"def {name.partition('[')[0]}" in content, f"no {test}: mend mutations.py"


def test_mutations_are_many_told_apart_and_everywhere():
    assert len({mutation.id for mutation in MUTATIONS}) == len(MUTATIONS) >= 60
    packages = {path.parent.name for path in (REPOSITORY / "resnet").glob("*/__init__.py")}
    seen = {pathlib.PurePath(mutation.file).parts[1] for mutation in MUTATIONS}
    assert packages <= seen, f"no mutation of {packages - seen}"


@pytest.mark.mutation
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.id)
def test_a_mutation_is_caught(mutation, tmp_path):
    code, output = outcome_without_bugs(mutation.tests)
    assert code == PASSED, f"fails without the bug:\n{output}"
    copy_repository(tmp_path)
    (tmp_path / mutation.file).write_text(mutated(mutation, tmp_path), encoding="utf-8")
    code, output = run_tests(tmp_path, mutation.tests)
    print(output)
    assert code != PASSED, f"survived: {mutation}"
    assert code == FAILED, f"the tests broke rather than failed:\n{output}"
