"""What a result says of where it comes from."""

import platform
import re
import subprocess

import tensorflow as tf

from processes import REPOSITORY
from resnet import provenance


def test_versions_and_machine():
    found = provenance.provenance()
    versions = found["versions"]
    assert versions["python"] == platform.python_version()
    assert tf.__version__ in (versions.get("tensorflow"), versions.get("tensorflow-cpu"))
    assert re.search(r", [1-9]\d* cores?$", found["machine"])
    both = provenance.provenance(["NVIDIA H100", "NVIDIA H100"])
    assert both["machine"] == f"2 NVIDIA H100, {found['machine']}"


def test_the_commit_is_the_checkouts_and_says_where_files_differ(monkeypatch, tmp_path):
    head = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(head, cwd=REPOSITORY, capture_output=True, text=True).stdout
    assert commit.startswith(provenance.provenance()["commit"].removesuffix("-dirty"))
    for line in ("init -q", "-c user.name=a -c user.email=b commit -q --allow-empty -m c"):
        subprocess.run(["git", *line.split()], cwd=tmp_path, check=True)
    (tmp_path / "module.py").touch()
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "module.py"))
    assert len(provenance.provenance()["commit"]) == 12  # files that git does not know do not count
    subprocess.run(["git", "add", "module.py"], cwd=tmp_path, check=True)
    assert provenance.provenance()["commit"].endswith("-dirty")
    monkeypatch.setattr(provenance, "IS_CHECKOUT", False)
    assert provenance.provenance()["commit"] is None
