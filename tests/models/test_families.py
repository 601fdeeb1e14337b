"""Families: which configs and computations fit them, and that a module is all that one takes."""

import dataclasses
import pathlib
import pkgutil

import pytest
import tensorflow as tf

import resnet
from processes import run_file_afresh
from resnet.models import Network, computation_for, families
from resnet.models.cost import activation_bytes, multiply_adds
from resnet.models.families import FAMILIES
from resnet.settings import SettingError


def network(name, changes, **computation):
    config = dataclasses.replace(resnet.get_config(name), **changes)
    return Network(config, computation_for(config, **computation))


@pytest.mark.parametrize(
    ("name", "changes", "keys", "message"),
    [
        (
            "revnet-38",
            {"activation_order": "original"},
            "activation_order family",
            "must be left at its default: a revnet",
        ),
        (
            "revnet-38",
            {"preactivate_shortcut": True},
            "preactivate_shortcut family",
            "must be left at its default: a revnet",
        ),
        ("revnet-38", {"stem_filters": 7}, "stem_filters family", "must be even: a RevNet splits"),
        (
            "revnet-38",
            {"filters": (32, 65, 112)},
            "filters family",
            r"filters is \(32, 65, 112\), but must be even: a RevNet splits channels in halves",
        ),
        ("vgg-11", {"dropout": 0.5}, "dropout family", "must be left at its default: a vgg"),
        ("vgg-11", {"block": "bottleneck"}, "block family", "must be left at its default: a vgg"),
        ("vgg-11", {"cardinality": 2}, "cardinality family", "must be left at its default: a vgg"),
        (
            "vgg-11",
            {"strides": (1, 2, 1, 1, 1)},
            "strides family",
            "strides is .* must be left at its default",
        ),
        (
            "vgg-11",
            {"stem_filters": 16},
            "stem_filters family",
            "stem_filters is 16, but must be 0: a VGG has no stem",
        ),
        ("vgg-11", {"image_size": 16}, "image_size units", "image_size is 16, but must be 32 or m"),
        (
            "resnet20-v1",
            {"stem_filters": 0},
            "stem_filters family",
            "config resnet20-v1: stem_filters is 0, but must be 1 or more",
        ),
        (
            "resnet20-v1",
            {"preactivate_shortcut": True},
            "activation_order preactivate_shortcut",
            "activation_order is 'original', but",
        ),
        (
            "resnet20-v1",
            {"filters": (16, 64, 32)},
            "filters stem_filters shortcut",
            "rising from stem_filters on, with shortcut A",
        ),
        (
            "resnext-29-8x64d",
            {"cardinality": 7},
            "cardinality filters bottleneck_width",
            "cardinality is 7, but must be a divisor",
        ),
        (
            "resnet20-v1",
            {"cardinality": 8},
            "cardinality block activation_order",
            "cardinality is 8, but must be left at its default",
        ),
        (
            "resnet20-v1",
            {"leading_activation": "stages"},
            "leading_activation block activation_order",
            "nothing in original basic units",
        ),
        (
            "vgg-11",
            {"stem_stride": 2},
            "stem_stride family",
            "stem_stride is 2, but must be left at its default",
        ),
        (
            "resnet-32",
            {"image_size": 30},
            "strides image_size shortcut",
            "must be divisors of the image's side, 15 there",
        ),
        (
            "revnet-38",
            {"family": "densenet"},
            "family",
            "family is 'densenet', but must be one of irevnet, resnet, revnet, vgg",
        ),
    ],
)
def test_fields_that_do_not_go_together(name, changes, keys, message):
    with pytest.raises(SettingError, match=message) as caught:
        network(name, changes)
    assert caught.value.keys == tuple(keys.split())


@pytest.mark.parametrize(
    ("name", "computation", "keys", "message"),
    [
        ("resnet-test", {"exact": True}, "exact family", "and resnet-test is a ResNet: its units"),
        ("vgg-11", {"backprop": "reversible"}, "backprop family", "and vgg-11 is a VGG: its units"),
        ("revnet-test", {"backprop": "stored", "loop": "on"}, "loop backprop", 'loop "on" needs'),
        (
            "revnet-test",
            {"backprop": "stored", "memory_budget": 1},
            "memory_budget backprop",
            'a memory budget needs backprop "reversible", but revnet-test has .stored.',
        ),
    ],
)
def test_computations_that_do_not_fit(name, computation, keys, message):
    with pytest.raises(SettingError, match=message) as caught:
        network(name, {}, **computation)
    assert caught.value.keys == tuple(keys.split())


def test_defaults_are_the_familys_and_none_is_not_given():
    config = resnet.get_config("revnet-38")
    found = computation_for(config, exact=None, dtype="bfloat16")
    assert (found.backprop, found.exact, found.dtype) == ("reversible", True, "bfloat16")
    found = computation_for(resnet.get_config("resnet-32"), backprop="checkpoint")
    assert (found.backprop, found.exact, found.dtype) == ("checkpoint", False, "float32")


def test_what_units_are_called():
    names = {name: FAMILIES[name].units_name(resnet.get_config(config)) for name, config in
             {"vgg": "vgg-11", "resnet": "resnet-50", "revnet": "revnet-38"}.items()}  # fmt: skip
    assert names == {"vgg": "convolutions", "resnet": "bottleneck units", "revnet": "basic units"}


def test_every_module_of_the_folder_is_a_family():
    modules = {module.name for module in pkgutil.iter_modules(families.__path__)}
    assert {type(family).__module__.rpartition(".")[2] for family in FAMILIES.values()} == modules


def test_the_stems_output_is_as_large_as_it_says():
    for name in ("resnet-50", "vgg-11", "revnet-38"):
        stem = network(name, {}).stem
        params = {n: tf.ones(p.shape) for n, p in stem.parameters().items()}
        y, _ = stem(params, tf.zeros([1, 23, 23, 3]), True)
        assert y.shape[1:] == [stem.out_side(23), stem.out_side(23), stem.filters]


def test_costs_of_a_small_network_are_those_counted_by_hand():
    # 3x3 convolutions of 4x4 images of 3 channels, 4 then 4 filters; 2x2 maximum; 8 filters.
    changes = {"image_size": 4, "units": (2, 1), "filters": (4, 8), "strides": (1, 1)}
    vgg = network("vgg-11", changes, backprop="stored")
    assert multiply_adds(vgg) == 16 * 9 * (3 * 4 + 4 * 4) + 4 * 9 * 4 * 8 + 8 * 10
    # The images; then of each unit what batch norm and ReLU put out, and of stages their maxima.
    assert activation_bytes(vgg) == 4 * (16 * 3 + 2 * 16 * (4 + 4) + 4 * 4 + 4 * (8 + 8) + 8)

    checkpoint = network("vgg-11", changes, backprop="checkpoint")
    # Of both units of the first stage the output, and of one of them both, anew.
    assert activation_bytes(checkpoint) == 4 * (16 * 3 + 2 * 16 * 4 + 16 * (4 + 4))


def test_a_family_is_one_file_and_its_configs(tmp_path):
    assert (
        run_file_afresh(pathlib.Path(__file__).with_name("new_family.py"), tmp_path)
        == "it trains\n"
    )
