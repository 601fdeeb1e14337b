"""The models: sizes, names, equality of the ways to backpropagate, errors."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import resnet
from graph_nodes import nodes_in
from peaks import peak_bytes
from resnet.configs import entry_of
from resnet.errors import UsageError
from resnet.models import Network, computation_for
from resnet.models.cost import activation_bytes, multiply_adds
from resnet.settings import Computation

# What papers and cifar-vs-tensorflow2 print, in millions.
PUBLISHED = {
    "resnet20-v1": "0.27",
    "resnet20-v2": "0.27",
    "resnet32-v1": "0.46",
    "resnet32-v2": "0.46",
    "resnet44-v1": "0.66",
    "resnet44-v2": "0.66",
    "resnet56-v1": "0.85",
    "resnet56-v2": "0.85",
    "resnet110-v1": "1.7",
    "resnet110-v2": "1.7",
    "resnet164-v2": "1.7",
    "resnet1001-v2": "10",
    "wrn-40-4": "8.9",
    "wrn-16-8": "11",
    "wrn-28-10": "36.5",
    "vgg-11": "9.2",
    "vgg-13": "9.4",
    "vgg-16": "14.7",
    "vgg-19": "20",
    "resnext-29-8x64d": "34.4",
}


@pytest.mark.parametrize("name", resnet.list_configs())
def test_counts_are_those_beside_the_config(name):
    entry = entry_of(name)
    network = Network(entry.config, computation_for(entry.config))
    assert network.num_parameters == entry.parameters
    assert multiply_adds(network) == entry.multiply_adds


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts(name):
    decimals = len(PUBLISHED[name].partition(".")[2])
    assert f"{entry_of(name).parameters / 1e6:.{decimals}f}" == PUBLISHED[name]


def batch(config, size):
    rng = np.random.default_rng(1)
    shape = [size, config.image_size, config.image_size, 3]
    images = tf.constant(rng.standard_normal(shape, np.float32))
    return images, tf.constant(rng.integers(0, config.num_classes, size, np.int32))


def gradients(config, images, labels, **options):
    model = resnet.get_model(config, **options)
    loss, found = tf.function(model.loss_and_gradients, autograph=False)(images, labels)
    return float(loss), {name: g.numpy() for name, g in found.items()}


def relative_error(got, wanted):
    """L2 over all gradients together."""
    error = sum(np.sum((got[n].astype(np.float64) - wanted[n]) ** 2) for n in wanted)
    return np.sqrt(error / sum(np.sum(wanted[n].astype(np.float64) ** 2) for n in wanted))


WHOLE = [
    pytest.param(name, size, dtype, {}, marks=pytest.mark.slow)
    for name, size in (("revnet-110", 8), ("revnet-56", 2), ("revnet-104", 2))
    for dtype in ("float32", "bfloat16")
]


@pytest.mark.parametrize(
    ("name", "size", "dtype", "changes"),
    [
        ("revnet-110", 8, "bfloat16", {"units": (6, 6, 6)}),
        ("revnet-56", 2, "float32", {"units": (1, 1, 2, 1)}),
        ("revnet-56", 2, "bfloat16", {"units": (1, 1, 2, 1)}),
        *WHOLE,
    ],
)
def test_exact_reversible_gradients_equal_stored_ones_to_the_bit(
    name, size, dtype, changes, sums_as_written
):
    config = dataclasses.replace(resnet.get_config(name), **changes)
    images, labels = batch(config, size)
    stored_loss, stored = gradients(config, images, labels, dtype=dtype, backprop="stored")
    loss, reversible = gradients(config, images, labels, dtype=dtype, backprop="reversible")
    assert loss == stored_loss
    for tensor in stored:
        np.testing.assert_array_equal(reversible[tensor], stored[tensor], err_msg=tensor)
    if name == "revnet-110":  # the others have few units to lose bits in
        plain = resnet.get_model(config, dtype=dtype, exact=False, backprop="reversible")
        error = tf.function(plain.reconstruction_error, autograph=False)(images)
        # Without the grid, inputs do not come back: did they, the test would show nothing.
        assert error > 0


@pytest.mark.parametrize(
    ("name", "backprop"),
    [
        ("revnet-test", "reversible"),
        ("revnet-btl-test", "reversible"),
        ("revnet-btl-test", "checkpoint"),
        ("resnet-test", "checkpoint"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_backprop_gives_the_same_bits(name, backprop, dtype, sums_as_written):
    config = resnet.get_config(name)
    images, labels = batch(config, 6)
    wanted = gradients(config, images, labels, dtype=dtype, backprop="stored")
    got = gradients(config, images, labels, dtype=dtype, backprop=backprop)
    assert got[0] == wanted[0]
    for gradient in wanted[1]:
        np.testing.assert_array_equal(got[1][gradient], wanted[1][gradient], err_msg=gradient)


@pytest.mark.parametrize(
    ("name", "dtype"), [("revnet-test", "bfloat16"), ("revnet-btl-test", "float32")]
)
def test_loop_and_unrolled_give_the_same_bits(name, dtype, sums_as_written):
    config = dataclasses.replace(resnet.get_config(name), units=(3, 2))
    images, labels = batch(config, 6)
    found = []
    for loop in ("off", "on"):
        model = resnet.get_model(config, dtype=dtype, loop=loop)
        loss, tensors = tf.function(model.loss_and_gradients, autograph=False)(images, labels)
        found.append(({n: g.numpy() for n, g in tensors.items()}, model.get_weights(), loss))
    for one, other in zip(found[0][:2], found[1][:2], strict=True):
        for tensor in one:
            np.testing.assert_array_equal(one[tensor], other[tensor], err_msg=tensor)
    assert found[0][2] == found[1][2]
    eager, _ = resnet.get_model(config, dtype=dtype, loop="on").loss_and_gradients(images, labels)
    assert abs(float(eager) - float(found[1][2])) < 1e-3


@pytest.mark.parametrize("loop", ["off", "on"])
@pytest.mark.parametrize("name", ["revnet-test", "revnet-btl-test"])
def test_a_memory_budget_keeps_units_and_bits(name, loop, sums_as_written):
    # From 16 units on, those that are kept loop too.
    units = (18, 2) if loop == "on" and name == "revnet-test" else (3, 2)
    config = dataclasses.replace(resnet.get_config(name), units=units)
    images, labels = batch(config, 6)
    stored = resnet.get_model(config, backprop="stored")
    need = activation_bytes(stored.network)
    wanted = gradients(config, images, labels, backprop="stored")
    least = activation_bytes(resnet.get_model(config).network)
    num_kept = []
    for budget in (0, need // 2, need):
        model = resnet.get_model(config, loop=loop, memory_budget=budget)
        num_kept.append(sum(stage.num_kept for stage in model.network.stages))
        if not budget:
            continue  # as if none were given, which others try
        got = gradients(config, images, labels, loop=loop, memory_budget=budget)
        assert got[0] == wanted[0]
        for gradient in wanted[1]:
            np.testing.assert_array_equal(got[1][gradient], wanted[1][gradient], err_msg=gradient)
        assert activation_bytes(model.network) <= least + budget
    assert num_kept == sorted(set(num_kept))
    assert num_kept[-1] == sum(config.units)


def test_a_memory_budget_is_shared_by_the_images_at_once():
    kept = [
        [stage.num_kept for stage in Network(config, asked, images_at_once).stages]
        for config in [resnet.get_config("revnet-38")]
        for asked, images_at_once in (
            (computation_for(config, memory_budget=1_000_000), 1),
            (computation_for(config, memory_budget=8_000_000), 8),
            (computation_for(config, memory_budget=1_000_000), 8),
        )
    ]
    assert kept[0] == kept[1] and sum(kept[2]) < sum(kept[0])


def test_what_is_kept_for_nothing_are_equal_units_of_the_last_stage():
    assert [stage.num_kept for stage in resnet.get_model("revnet-38").network.stages] == [0, 0, 1]


def test_the_graph_does_not_grow_with_depth_in_a_loop():
    def num_nodes(units):
        config = dataclasses.replace(resnet.get_config("revnet-test"), units=units)
        model = resnet.get_model(config, loop="on")
        step = tf.function(model.forward_and_backward, autograph=False)
        return len(nodes_in(step.get_concrete_function(*batch(config, 4)).graph))

    assert num_nodes((40, 40)) == num_nodes((20, 20))


def test_deep_networks_loop_by_themselves():
    config = dataclasses.replace(resnet.get_config("revnet-test"), units=(20, 2))
    assert [stage.loop for stage in resnet.get_model(config).network.stages] == [True, False]
    assert not any(stage.loop for stage in resnet.get_model("revnet-110").network.stages)


def test_eager_and_compiled_agree():
    config = resnet.get_config("revnet-btl-test")
    images, labels = batch(config, 6)
    _, compiled = gradients(config, images, labels)
    loss, eager = resnet.get_model(config).loss_and_gradients(images, labels)
    assert np.isfinite(loss)
    # Kernels fused in a graph round differently.
    assert relative_error({n: g.numpy() for n, g in eager.items()}, compiled) < 1e-5


def test_xla_gradients_agree():
    config = resnet.get_config("revnet-test")
    images, labels = batch(config, 6)
    _, wanted = gradients(config, images, labels)
    model = resnet.get_model(config)
    kinds = collections.Counter()

    @tf.function(jit_compile=True, autograph=False)
    def run(images, labels):
        found = model.forward_and_backward(images, labels)["gradients"]
        kinds.update(op.type for op in tf.compat.v1.get_default_graph().get_operations())
        return found

    got = {n: g.numpy() for n, g in model.to_public(run(images, labels)).items()}
    # The grid is 2.4e-4 wide: a last bit of F that differs may move a value by as much.
    assert relative_error(got, wanted) < 1e-2
    assert kinds["XlaOptimizationBarrier"] > 4  # XLA ignores control dependencies


def test_gradients_of_a_model_under_a_tape_of_the_users(sums_as_written):
    config = resnet.get_config("revnet-test")
    images, labels = batch(config, 6)
    model = resnet.get_model(config)
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        )
    variables = model.trainable_by_storage_name
    found = model.to_public(tape.gradient(loss, variables))
    _, wanted = resnet.get_model(config).loss_and_gradients(images, labels)
    decay, weights = config.weight_decay, resnet.get_model(config).get_weights()
    for name, parameter in model.network.parameters_by_name().items():
        if not parameter.is_statistic:
            undecayed = wanted[name] - decay * weights[name] * parameter.is_decayed
            np.testing.assert_allclose(found[name], undecayed, atol=1e-6, err_msg=name)


def test_moving_averages_move_once_and_by_a_hundredth():
    config = resnet.get_config("revnet-test")
    images, labels = batch(config, 6)
    moved = []
    for backprop in ("stored", "reversible", "checkpoint"):
        model = resnet.get_model(config, backprop=backprop, exact=False)
        model.loss_and_gradients(images, labels)
        moved.append(model.get_weights())
    for other in moved[1:]:
        for name, value in moved[0].items():
            np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    stem = tf.nn.conv2d(images, moved[0]["Model/init/init_conv/w"], 1, "SAME")
    mean, variance = tf.nn.moments(stem, [0, 1, 2])
    averages = {n: v for n, v in moved[0].items() if n.startswith("Model/init/init_bn/ema")}
    np.testing.assert_allclose(averages["Model/init/init_bn/ema_mean"], 0.01 * mean, atol=1e-6)
    expected = 1 + 0.01 * (variance - 1)
    np.testing.assert_allclose(averages["Model/init/init_bn/ema_var"], expected, rtol=1e-5)


def test_values_past_the_exact_range_are_counted():
    config = resnet.get_config("revnet-test")
    images, labels = batch(config, 6)
    model = resnet.get_model(config)
    assert int(model.forward_and_backward(images, labels)["past_exact_range"]) == 0
    weights = model.get_weights()
    name = "Model/unit_1_1/f/sub2/conv2/w"
    model.set_weights(weights | {name: weights[name] * 1e4})
    assert int(model.forward_and_backward(images, labels)["past_exact_range"]) > 0


def test_stored_names_round_trip():
    model = resnet.get_model("revnet-btl-test")
    weights = {n: np.full(w.shape, i) for i, (n, w) in enumerate(model.get_weights().items())}
    model.set_weights({n: w.astype(np.float32) for n, w in weights.items()})
    for name, value in model.get_weights().items():
        np.testing.assert_array_equal(value, weights[name])
    values = {n: v.value() for n, v in model.variables_by_storage_name.items()}
    again = model.to_storage(model.to_public(values))
    for name, value in values.items():
        np.testing.assert_array_equal(again[name], value)


def test_a_variant_computes_otherwise_with_the_same_variables():
    model = resnet.get_model("revnet-test", loop="on", memory_budget=10**6, exact=False)
    other = model.variant("stored", "bfloat16")
    wanted = Computation(backprop="stored", dtype="bfloat16", exact=False)
    assert other.computation == other.network.computation == wanted
    assert model.computation.backprop == "reversible" and model.computation.dtype == "float32"
    for name, variable in model.variables_by_storage_name.items():
        assert other.variables_by_storage_name[name] is variable


def test_initial_weights_depend_on_the_seed_alone():
    one, same, other = (resnet.get_model("resnet-test", seed=s).get_weights() for s in (1, 1, 2))
    name = "Model/unit_2_1/sub1/conv1/w"
    np.testing.assert_array_equal(one[name], same[name])
    assert not np.array_equal(one[name], other[name])


def test_multiply_adds_of_a_published_model():
    # He et al. 2015 give 3.8e9 for ResNet-50 with the stride on the first 1x1
    # convolution; counted with everything, 3.86e9.
    assert multiply_adds(resnet.get_model("resnet-50").network) == pytest.approx(3.86e9, rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backprop": "none"}, "backprop is 'none', but must be one of reversible, stored"),
        ({"dtype": "float16"}, "dtype is 'float16', but must be one of float32, bfloat16"),
        ({"exact": True}, "exact mode needs a RevNet, and resnet-test is a ResNet"),
        ({"backprop": "reversible"}, 'backprop "reversible" needs a RevNet'),
        ({"loop": "maybe"}, "loop is 'maybe', but must be one of auto, on, off"),
        ({"loop": "on"}, 'loop "on" needs backprop "reversible", but resnet-test has \'stored\''),
    ],
)
def test_errors_of_get_model(options, message):
    with pytest.raises(ValueError, match=message):
        resnet.get_model("resnet-test", **options)


def test_errors_of_numbers_and_values():
    for name, value, message in (
        ("images_at_once", 0, "images_at_once is 0, but must be an integer from 1"),
        ("images_at_once", 1.5, "images_at_once is 1.5, but must be"),
        ("seed", 1.5, "seed is 1.5, but must be an integer"),
        ("seed", True, "seed is True, but must be an integer"),
        (
            "seed",
            2**63,
            r"seed is 9223372036854775808, but must be an integer in \[-2\^63, 2\^63\)",
        ),
        ("images_at_once", "2", "images_at_once is '2', but must be"),
    ):
        with pytest.raises(UsageError, match=message):
            resnet.get_model("resnet-test", **{name: value})
    model = resnet.get_model("resnet-test")
    with pytest.raises(UsageError, match=r"resnet-test is a ResNet, whose units restore nothing"):
        model.reconstruction_error(tf.zeros([1, 32, 32, 3]))
    weights = model.get_weights()
    with pytest.raises(UsageError, match=r"weights are a list, but must be \{public name: array\}"):
        model.set_weights(list(weights.values()))
    model.set_weights({name: (value + 1).tolist() for name, value in weights.items()})
    for name, value in model.get_weights().items():
        np.testing.assert_array_equal(value, weights[name] + 1)
    # The last one's type is TensorFlow's: nothing is assigned by halves.
    model.set_weights({n: tf.constant(value, tf.float64) for n, value in weights.items()})
    for name, value in model.get_weights().items():
        np.testing.assert_array_equal(value, weights[name])


@pytest.mark.parametrize("name", ["wrn-28-2.5", "2wide", "my net", "rév"])
def test_a_config_has_any_plain_name(name):
    config = dataclasses.replace(resnet.get_config("resnet-test"), name=name)
    model = resnet.get_model(config)
    assert model.config.name == name and model(tf.zeros([1, 32, 32, 3])).shape == (1, 10)


def test_the_name_of_a_keras_policy_is_taken_for_its_arithmetic():
    assert resnet.get_model("resnet-test", dtype="mixed_bfloat16").computation.dtype == "bfloat16"
    for other in ("mixed_float16", ["bfloat16"]):
        with pytest.raises(ValueError, match="must be one of float32, bfloat16"):
            resnet.get_model("resnet-test", dtype=other)


def test_errors_of_shapes_and_names():
    model = resnet.get_model("resnet-test")
    wrong_size = r"images have shape \(1, 8, 8, 3\), but resnet-test takes .*: resize them"
    with pytest.raises(ValueError, match=wrong_size):
        model(tf.zeros([1, 8, 8, 3]))
    weights = model.get_weights()
    weights["Model/logit/b"] = np.zeros(3, np.float32)
    with pytest.raises(ValueError, match=r"Model/logit/b has shape \(3,\), but must have \(10,\)"):
        model.set_weights(weights)
    for name, message in {
        "include_top": "takes no argument 'include_top': resnet.Classifier, .* a Keras layer, does",
        "memory_buget": "takes no argument 'memory_buget': did you mean 'memory_budget'",
        "x": "takes no argument 'x': it takes weights, num_classes, .*, backprop, dtype, exact",
    }.items():
        with pytest.raises(UsageError, match=message):
            resnet.get_model("resnet-32", **{name: 1})
    with pytest.raises(ValueError, match="unknown model 'resnet-51': did you mean 'resnet-50'"):
        resnet.get_config("resnet-51")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 99, 2], "label 99 is outside of 0 to 9, the classes of resnet-test"),
        ([1, 2, -1], "label -1 is outside of 0 to 9"),
        ([1], r"labels are int32 of shape \(1,\), but must be integers of shape \(3,\)"),
        (
            np.uint8([[1], [2], [3]]),
            r"labels are uint8 of shape \(3, 1\), .* take tf.cast\(labels\[:, 0\]",
        ),
        (np.eye(3, 10), r"labels are float64 of shape \(3, 10\), .* take tf.argmax"),
        ([1.0, 2.0, 3.0], "labels are float32"),
    ],
)
def test_labels_that_are_none(labels, message):
    model, images = resnet.get_model("resnet-test"), tf.zeros([3, 32, 32, 3])
    before = model.get_weights()
    with pytest.raises(UsageError, match=message):
        model.loss_and_gradients(images, labels)
    for name, value in model.get_weights().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_labels_of_every_type_of_integer(dtype):
    model = resnet.get_model("revnet-test")
    images, labels = np.zeros([3, 8, 8, 3], np.float32), np.array([1, 2, 9])
    wanted, _ = model.loss_and_gradients(images, labels.astype(np.int32))
    loss, _ = model.loss_and_gradients(images, labels.astype(dtype))
    assert loss == wanted


def test_a_stage_of_one_unit():
    config = dataclasses.replace(resnet.get_config("revnet-test"), units=(1, 1))
    images, labels = batch(config, 4)
    stored = gradients(config, images, labels, backprop="stored", exact=False)[1]
    reversible = gradients(config, images, labels, backprop="reversible", exact=False)[1]
    assert relative_error(reversible, stored) < 1e-5


def test_names_and_shapes_of_imagenets_bottleneck_networks():
    """Written out from the original's description, not from this project's code."""
    trained = ("beta", "gamma", "ema_mean", "ema_var")

    def residual(prefix, in_channels, filters, activate_first):
        width, found = filters // 4, {}
        kernels = [(1, in_channels, width), (3, width, width), (1, width, filters)]
        for i, (kernel, channels, out) in enumerate(kernels, 1):
            if i > 1 or activate_first:
                found |= {f"{prefix}sub{i}/bn{i}/{n}": (channels,) for n in trained}
            found[f"{prefix}sub{i}/conv{i}/w"] = (kernel, kernel, channels, out)
        return found

    def network(stem, filters, units, halves):
        wanted = {"init/init_conv/w": (7, 7, 3, stem)}
        wanted |= {f"init/init_bn/{n}": (stem,) for n in trained}
        channels = stem // halves
        for s, (out, count) in enumerate(zip(filters, units, strict=True), 1):
            out = 4 * out // halves
            for u in range(count):
                unit = f"unit_{s}_{u}/"
                first = s == 1 and u == 0
                if halves == 1:
                    wanted |= residual(unit, channels, out, not first)
                    projections = ["project/w"]
                else:
                    wanted |= residual(f"{unit}f/", channels, out, not first)
                    wanted |= residual(f"{unit}g/", out, out, True)
                    projections = [f"x{i}_bottleneck/project/w" for i in (1, 2)]
                if u == 0:
                    wanted |= {f"{unit}{p}": (1, 1, channels, out) for p in projections}
                channels = out
        wanted |= {f"unit_last/final_bn/{n}": (channels * halves,) for n in trained}
        wanted |= {"logit/w": (channels * halves, 1000), "logit/b": (1000,)}
        return {f"Model/{name}": shape for name, shape in wanted.items()}

    for name, wanted in {
        "resnet-50": network(64, (64, 128, 256, 512), (3, 4, 6, 3), 1),
        "revnet-56": network(128, (128, 256, 512, 832), (2, 2, 3, 2), 2),
    }.items():
        weights = resnet.get_model(name).get_weights()
        assert {n: w.shape for n, w in weights.items()} == wanted


def test_weight_decay_takes_no_second_copy_of_the_weights():
    """Each is multiplied once its gradient is there, not before the backward pass."""
    config = dataclasses.replace(
        resnet.get_config("revnet-38"), image_size=8, filters=(64, 128, 512), stem_filters=64
    )
    model = resnet.get_model(config)
    weights = 4 * model.num_parameters
    images, labels = batch(config, 1)
    # Parts of stacked weights, and their gradients.
    assert peak_bytes(model.loss_and_gradients, images, labels) < 1.5 * weights
