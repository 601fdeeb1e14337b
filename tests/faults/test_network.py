"""Two hosts that train in step over a network that loses frames, stalls or is cut."""

import json
import os
import signal
import subprocess
import time

import pytest

import children
import wire
from images import TINY, make_shards
from processes import REPOSITORY, assert_same_checkpoint, command, write_config
from resnet.weights.checkpoint import list_checkpoints

TRAIN, STEPS = "run_imagenet_train.py", 12
LONGEST_SECONDS = 60  # until both hosts have noticed; TensorFlow misses heartbeats after 10

pytestmark = [
    pytest.mark.faults_full,
    pytest.mark.skipif(bool(wire.why_not()), reason=wire.why_not() or "it can be"),
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return make_shards(tmp_path_factory.mktemp("tree"))


class Run:
    """A training of two hosts on a wire, all in one folder."""

    def __init__(self, folder, shards, network):
        self.folder, self.network = folder, network
        folder.mkdir(exist_ok=True)
        self.config = write_config(folder, TINY, save_every=4, log_every=1)
        self.places = [f"--results={folder}/results", f"--logs={folder}/logs"]
        self.places.append(f"--data_dir={shards}")

    def start(self, *arguments):
        """Both hosts, as subprocess.Popen."""
        hosts, addresses = [], [f"{address}:2222" for address in self.network.addresses]
        for index in (0, 1):
            task = {"type": "worker", "index": index}
            cluster = {"cluster": {"worker": addresses}, "task": task}
            line = command(TRAIN, "--id=one", "--deterministic", *self.places, *arguments)
            line = self.network.command(index, line)
            environment = os.environ | {"TF_CONFIG": json.dumps(cluster)}
            options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            hosts.append(children.start(line, cwd=REPOSITORY, env=environment, **options))
        return hosts

    def train(self, *arguments):
        """Trains to the end."""
        hosts = self.start(*arguments)
        for host in hosts:
            _, stderr = host.communicate(timeout=120)
            assert host.returncode == 0, stderr

    @property
    def checkpoints(self):
        return list_checkpoints(self.folder / "results" / "one")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, shards):
    """A training over a wire that loses nothing."""
    with wire.Wire() as network:
        run = Run(tmp_path_factory.mktemp("whole"), shards, network)
        run.train(f"--config={run.config}", f"--max_num_steps={STEPS}")
        assert network.num_dropped == 0
    return run


def test_a_wire_that_loses_frames_changes_no_bit(tmp_path, shards, whole):
    with wire.Wire(loss=0.05) as network:
        run = Run(tmp_path, shards, network)
        run.train(f"--config={run.config}", f"--max_num_steps={STEPS}")
        print(f"{network.num_dropped} of {network.num_carried + network.num_dropped} frames lost")
        assert network.num_dropped > 10
    assert_same_checkpoint(run.checkpoints[STEPS], whole.checkpoints[STEPS])


@pytest.mark.parametrize("fault", ["stalled", "cut off"])
def test_a_host_that_is_stalled_or_cut_off_ends_both_and_both_go_on(tmp_path, shards, whole, fault):
    with wire.Wire() as network:
        run = Run(tmp_path, shards, network)
        first, second = run.start(f"--config={run.config}", "--max_num_steps=100000")
        for line in first.stdout:
            if line.startswith("step 5:"):
                break
        start = time.monotonic()
        if fault == "stalled":
            second.send_signal(signal.SIGSTOP)
        network.is_cut = fault == "cut off"
        _, said = first.communicate(timeout=LONGEST_SECONDS)
        print(f"{fault}: the first host ended after {time.monotonic() - start:.1f} s")
        second.send_signal(signal.SIGCONT)
        _, said_too = second.communicate(timeout=LONGEST_SECONDS)
        for host, text in ((first, said), (second, said_too)):
            assert host.returncode == 1 and "Traceback" not in text, text
            assert "error: another host was lost" in text and "--restore --id one" in text
        network.is_cut = False
        run.train("--restore", f"--max_num_steps={max(run.checkpoints) + 4}")
        step = max(run.checkpoints)
    assert step in whole.checkpoints, step  # some steps after the fifth, at most
    assert_same_checkpoint(run.checkpoints[step], whole.checkpoints[step])
