"""The public interface as a type checker sees it, in a user's file."""

import os
import re
import sys

import pytest

import children
from processes import REPOSITORY
from resnet import __all__ as names
from resnet.reversible import __all__ as reversible_names

pytest.importorskip("mypy", reason="mypy is not installed; the dev extra has it")

RIGHT = """
import dataclasses
import pathlib

import keras
import tensorflow as tf

import resnet
from resnet import reversible
from resnet.configs import Config
from resnet.models import Model, Network
from resnet.weights.importing import ImportReport

names: list[str] = resnet.list_configs()
config: Config = dataclasses.replace(resnet.get_config(names[0]), units=(1, 1, 1), batch_size=8)
rate: float = config.learning_rate(0)
channels: tuple[int, ...] = config.stage_channels

model: Model = resnet.get_model(config, backprop="reversible", seed=1, memory_budget=10**9)
model = resnet.get_model("revnet-38", exact=None, images_at_once=8)
network: Network = model.network
count: int = model.num_parameters
images, labels = tf.zeros([2, 32, 32, 3]), tf.zeros([2], tf.int64)
logits = model(images, training=True)
loss, gradients = model.loss_and_gradients(images, labels)
norms = {name: tf.norm(gradient) for name, gradient in gradients.items()}
model.variant("stored", dtype="float32").set_weights(model.get_weights())
dtypes = [value.dtype for value in model.get_weights().values()]

report: ImportReport = resnet.import_weights(model, pathlib.Path("model.ckpt-0"))
imported: tuple[str, ...] = report.imported
step: int = report.step or 0

classifier = resnet.Classifier("revnet-38", dtype="mixed_bfloat16", prepares=True, name="network")


class Scale(reversible.Coupling):
    def forward(
        self, params: tf.Tensor, x: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tuple[tf.Tensor, ...], tuple[()]]:
        return tuple(half * params for half in x), ()

    def inverse(
        self, params: tf.Tensor, y: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tf.Tensor, ...]:
        return tuple(half / params for half in y)


def half(params: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tuple[()]]:
    return params * x, ()


scales = [Scale(), Scale()]
y, aux = reversible.run_sequence(scales, [1.0, 2.0], (images, images), "checkpoint")
additive = reversible.AdditiveCoupling(half, half, exact=True)
y, aux = reversible.run_sequence((additive, *scales), [(1.0, 1.0), 1.0, 2.0], (images, images))
layer = reversible.Sequence(
    [(keras.layers.Dense(8), keras.layers.Dense(8))], coupling="affine", sizes=[8, 8], name="units"
)
layer = reversible.Sequence([[keras.layers.Dense(8)] * 2], coupling=reversible.AdditiveCoupling)
restored = layer.inverse(layer(images))
errors = reversible.check_gradients(layer, images)
worst: float = max(error.relative for error in errors.values())
"""

# Each line is an error, which names this.
WRONG = {
    "resnet.get_config(3)": "arg-type",
    "resnet.get_modle('revnet-38')": "attr-defined",
    "resnet.get_model(38)": "arg-type",
    "resnet.get_model('revnet-38', images_at_once='2')": "arg-type",
    "resnet.get_model('revnet-38', backprop=['stored'])": "arg-type",
    "resnet.get_model('revnet-38').num_parameters.upper()": "attr-defined",
    "resnet.get_model('revnet-38').variant(True)": "arg-type",
    "resnet.get_model('revnet-38').set_weights([])": "arg-type",
    "resnet.list_configs('revnet-38')": "call-arg",
    "resnet.list_configs().keys()": "attr-defined",
    "resnet.import_weights('revnet-38', 'model.ckpt-0')": "arg-type",
    "dataclasses.replace(resnet.get_config('revnet-38'), units=3)": "arg-type",
    "resnet.Classifier('revnet-38', prepares='no')": "arg-type",
    "reversible.Sequence(3)": "arg-type",
    "reversible.Sequence([], coupling=3)": "arg-type",
    "reversible.run_sequence([max], [()], None)": "list-item",
    "reversible.run_sequence([], [], None, num_kept='all')": "arg-type",
    "reversible.AdditiveCoupling(max, 3)": "arg-type",
}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """{file: {line number: error code}} of what mypy says of right.py and wrong.py."""
    folder = tmp_path_factory.mktemp("types")
    exported = [f"resnet.{name}" for name in names]
    exported += [f"reversible.{name}" for name in reversible_names]
    (folder / "right.py").write_text("\n".join([RIGHT, *exported, ""]))
    head = "import dataclasses, resnet; from resnet import reversible"
    (folder / "wrong.py").write_text("\n".join([head, *WRONG, ""]))
    flags = ["--strict", "--follow-imports=silent", "--no-error-summary", "--show-error-codes"]
    flags += [f"--config-file={REPOSITORY / 'pyproject.toml'}", f"--cache-dir={os.devnull}"]
    done = children.run(
        [sys.executable, "-m", "mypy", *flags, "right.py", "wrong.py"],
        limit=120,
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(REPOSITORY)},
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    errors = re.findall(r"^(\S+\.py):(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    print(done.stdout)
    found = {"right.py": {}, "wrong.py": {}}
    for file, line, code in errors:
        found[file].setdefault(int(line), []).append(code)
    return found


def test_right_use_passes_strictly(reported):
    assert not reported["right.py"]


def test_every_wrong_use_is_reported(reported):
    lines = {use: reported["wrong.py"].get(line, []) for line, use in enumerate(WRONG, 2)}
    assert {use: code for use, code in WRONG.items() if code not in lines[use]} == {}, lines
