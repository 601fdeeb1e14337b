"""The registry: one entry a data set, which agrees with what is made for it."""

import subprocess
import sys

from processes import REPOSITORY
from resnet.configs import get_config, list_configs
from resnet.data import registry
from resnet.data.cifar import synthetic
from resnet.data.cifar.preparation import prepare_for
from resnet.data.entry import CIFAR_PREPROCESSORS, IMAGENET_PREPROCESSORS
from resnet.data.imagenet.preprocessing import PREPROCESSORS
from resnet.settings import NetworkSettings, fields_of


def test_data_sets_and_what_commands_take_by_default():
    assert next(iter(registry.CIFAR)) == "cifar-10"
    assert {"cifar-100", "synthetic"} < registry.CIFAR.keys()
    assert {"cifar-10", "cifar-100"} <= set(registry.FETCHED) <= registry.CIFAR.keys()
    assert "synthetic" not in registry.FETCHED and "imagenet" in registry.STREAMED
    for name, entry in (registry.CIFAR | registry.STREAMED).items():
        assert entry.name == name


def test_the_registry_loads_neither_tensorflow_nor_numpy():
    lines = [
        "import sys, resnet.data.registry",
        "print({'numpy', 'tensorflow', 'absl', 'tqdm'} & set(sys.modules))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        timeout=60,
    )
    assert done.stdout == "set()\n"


def test_every_preprocessor_of_a_config_is_of_one_kind_and_made():
    choices = fields_of(NetworkSettings)["preprocessor"].facts.choices
    assert (*CIFAR_PREPROCESSORS, *IMAGENET_PREPROCESSORS) == choices
    assert tuple(PREPROCESSORS) == IMAGENET_PREPROCESSORS
    paddings = [prepare_for(p, "cifar-10", lambda _: 1.0).padding for p in CIFAR_PREPROCESSORS]
    assert paddings == [2, 4, 2, 2]


def test_entries_fit_the_data_and_the_configs():
    dataset, entry = synthetic.load(), registry.CIFAR["synthetic"]
    assert len(dataset.label_names) == entry.num_classes
    assert dataset.train.images.shape[1:] == (entry.image_size, entry.image_size, 3)
    for name in list_configs():
        config = get_config(name)
        kinds = [e for e in registry.CIFAR.values() if config.preprocessor in e.preprocessors]
        assert bool(kinds) != (config.preprocessor in registry.IMAGENET.preprocessors)


def test_a_new_data_set_is_one_module(tmp_path, monkeypatch):
    (tmp_path / "grey.py").write_text(
        "from resnet.data.entry import InMemory\n"
        "ENTRY = InMemory(name='grey', num_classes=2, load=lambda folder: f'read of {folder}',\n"
        "                 channels=((0.5,) * 3, (0.1,) * 3), num_training_images=9)\n"
    )
    monkeypatch.setattr(registry.sets, "__path__", [*registry.sets.__path__, str(tmp_path)])
    found = registry._entries(registry.InMemory)
    assert found.keys() == {*registry.CIFAR, "grey"} and next(iter(found)) == "cifar-10"
    assert found["grey"].load("data") == "read of data" and found["grey"].image_size == 32
