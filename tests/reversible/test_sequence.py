"""Couplings and sequences against independent gradients, in float64 and to the bit."""

import numpy as np
import pytest
import tensorflow as tf

from graph_nodes import nodes_in
from resnet import reversible
from resnet.reversible import AdditiveCoupling, AdditiveTransition, run_sequence

WIDTH, BATCH, UNITS = 6, 5, 4
BACKPROPS = ["reversible", "stored", "checkpoint"]


def dense(params, x):
    """A small F with an aux value."""
    h = tf.tanh(tf.matmul(x, params["w"]) + params["b"])
    return tf.matmul(h, params["v"]), {"mean": tf.reduce_mean(h)}


def dense_params(rng, dtype, width_in=WIDTH, width_out=WIDTH):
    def draw(*shape):
        return tf.constant(0.5 * rng.standard_normal(shape), dtype)

    return {"w": draw(width_in, 8), "b": draw(8), "v": draw(8, width_out)}


def make(dtype, exact=False, transition=False):
    """(units, params, x): a sequence, with a widening transition at its start on request."""
    rng = np.random.default_rng(3)
    units = [AdditiveCoupling(dense, dense, exact) for _ in range(UNITS)]
    params = [(dense_params(rng, dtype), dense_params(rng, dtype)) for _ in range(UNITS)]
    width = WIDTH
    if transition:
        width = WIDTH - 2

        def shortcut(params, x):
            return tf.matmul(x, params["s"]), {}

        units.insert(0, AdditiveTransition(dense, dense, shortcut, shortcut, exact))
        projections = [
            {"s": tf.constant(rng.standard_normal([width, WIDTH]), dtype)} for _ in range(2)
        ]
        first = (dense_params(rng, dtype, width, WIDTH), dense_params(rng, dtype))
        params.insert(0, (*first, *projections))
    x = tuple(tf.constant(rng.standard_normal([BATCH, width]), dtype) for _ in range(2))
    if exact:
        x = tuple(reversible.round_to_grid(half) for half in x)
    return units, params, x


def loss_and_gradients(units, params, x, backprop, compiled, num_kept=0):
    def run():
        with tf.GradientTape() as tape:
            tape.watch((params, x))
            (y1, y2), aux = run_sequence(units, params, x, backprop, num_kept)
            # y1 is used twice: the order in which AddN adds three gradients changes with timing.
            loss = tf.reduce_sum(tf.square(y1)) + tf.reduce_sum(tf.sin(y2) * y1)
        return loss, tape.gradient(loss, (params, x)), aux

    return (tf.function(run) if compiled else run)()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("transition", [False, True])
@pytest.mark.parametrize("backprop", BACKPROPS)
def test_gradients_equal_finite_differences(backprop, transition, compiled):
    units, params, x = make(tf.float64, transition=transition)
    _, gradients, _ = loss_and_gradients(units, params, x, backprop, compiled)
    rng = np.random.default_rng(4)
    flat = tf.nest.flatten((params, x))
    direction = [tf.constant(rng.standard_normal(t.shape)) for t in flat]

    def loss_at(step):
        moved = [t + step * d for t, d in zip(flat, direction, strict=True)]
        moved_params, moved_x = tf.nest.pack_sequence_as((params, x), moved)
        return loss_and_gradients(units, moved_params, moved_x, "stored", False)[0]

    epsilon = 1e-5
    numeric = (loss_at(epsilon) - loss_at(-epsilon)) / (2 * epsilon)
    flat_gradients = tf.nest.flatten(gradients)
    analytic = sum(tf.reduce_sum(g * d) for g, d in zip(flat_gradients, direction, strict=True))
    # Central differences err by epsilon^2 times a third derivative, 1e-10 here.
    np.testing.assert_allclose(analytic, numeric, rtol=1e-7)


@pytest.mark.parametrize("backprop", ["reversible", "checkpoint"])
def test_aux_values_are_the_forward_pass_own(backprop):
    units, params, x = make(tf.float64, transition=True)
    _, _, aux = loss_and_gradients(units, params, x, backprop, True)
    _, _, stored = loss_and_gradients(units, params, x, "stored", True)
    for got, wanted in zip(tf.nest.flatten(aux), tf.nest.flatten(stored), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("transition", [False, True])
def test_exact_gradients_equal_stored_ones_to_the_bit(transition, compiled, sums_as_written):
    units, params, x = make(tf.float32, exact=True, transition=transition)
    results = [loss_and_gradients(units, params, x, b, compiled)[1] for b in BACKPROPS]
    for num_kept in (1, 2, UNITS + 1):
        results.append(loss_and_gradients(units, params, x, "reversible", compiled, num_kept)[1])
    for other in results[1:]:
        for a, b in zip(tf.nest.flatten(results[0]), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_exact_inverse_restores_every_bit_and_the_plain_one_does_not():
    def error(exact):
        units, params, x = make(tf.float32, exact=exact)
        h, _ = run_sequence(units, params, x, "stored")
        for unit, unit_params in zip(units[::-1], params[::-1], strict=True):
            h = unit.inverse(unit_params, h)
        return max(float(tf.reduce_max(tf.abs(a - b))) for a, b in zip(h, x, strict=True))

    assert error(exact=True) == 0
    assert 0 < error(exact=False) < 1e-5


def test_float64_inverse():
    units, params, x = make(tf.float64)
    (y1, y2), _ = units[0].forward(params[0], x)
    for got, wanted in zip(units[0].inverse(params[0], (y1, y2)), x, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-14)


def test_a_transition_may_only_come_first():
    units, params, x = make(tf.float32, transition=True)
    with pytest.raises(ValueError, match=r"unit 1 \(AdditiveTransition\) has no inverse"):
        run_sequence(units[1:2] + units[:1], params[1:2] + params[:1], x)


@pytest.mark.parametrize("backprop", BACKPROPS)
def test_every_unit_has_params(backprop):
    units, params, x = make(tf.float32)
    number = len(units)
    for given in (params[1:], [*params, params[0]]):
        with pytest.raises(ValueError, match=f"{len(given)} nests of params for {number} units: g"):
            run_sequence(units, given, x, backprop)


def test_unknown_backprop_lists_the_known_ones():
    units, params, x = make(tf.float32)
    with pytest.raises(ValueError, match="unknown backprop 'magic': choose one of reversible"):
        run_sequence(units, params, x, "magic")


def graph_of_gradients(exact):
    units, params, x = make(tf.float32, exact=exact)

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch(params)
            (y1, y2), _ = run_sequence(units, params, x, "reversible")
            loss = tf.reduce_sum(y1 * y2)
        return tape.gradient(loss, params)

    return run.get_concrete_function().graph


def test_recomputation_waits_for_the_gradient():
    """Each recomputed matmul depends, through `after`, on the gradient of the loss."""
    operations = graph_of_gradients(exact=False).get_operations()
    waits = [op for op in operations if op.type == "Identity" and op.control_inputs]
    # Before G, before F and behind F of every unit, both halves each. And the gradients of G and of
    # F, until what they return has been subtracted and takes no memory any more.
    assert len(waits) == (3 * 2 + 2) * UNITS


def test_rounding_holds_its_input_where_it_is_differentiated_alone():
    def own_gradients(exact):
        """Operations that hold inputs and outputs of functions with a gradient of their own."""
        operations = graph_of_gradients(exact).get_operations()
        return len([op for op in operations if op.type == "IdentityN"])

    # Forward, of F and of G; walking back, none but what refuses second derivatives, of y.
    assert own_gradients(True) == own_gradients(False) + (2 + 1) * UNITS


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_count_past_exact_range(dtype, compiled):
    below = np.nextafter(np.float32(2048), np.float32(0))
    x = tf.constant([0, 2047, -2048, 4000, np.nan, np.inf, -np.inf, 2048, below, -below], dtype)
    count = reversible.count_past_exact_range
    count = tf.function(count, autograph=False) if compiled else count
    are_past = [False, False, True, True, True, True, True, True, False, False]
    assert [bool(count(value)) for value in x] == are_past
    assert int(count(x, x[:2], x[3:5], x[:0])) == 2
    for place in (0, 50_000, 99_999):
        for value in (np.nan, 3000.0, -3000.0):
            many = tf.tensor_scatter_nd_update(tf.ones([100_000], dtype), [[place]], [value])
            assert int(count(many)) == 1
    assert count(x).dtype == tf.int32


def kinds_of(graph):
    """Types of all operations of a concrete function, in what it calls too."""
    return {node.op for node in nodes_in(graph)}


def test_counting_does_not_branch():
    units, params, x = make(tf.float32, exact=True)

    def step():
        return loss_and_gradients(units, params, x, "reversible", False)

    kinds = kinds_of(tf.function(step, autograph=False).get_concrete_function().graph)
    assert {"Round", "Max", "Min"} <= kinds
    assert not kinds & {"If", "StatelessIf", "Switch", "Merge", "Case", "StatelessCase", "Where"}


def test_round_to_grid_is_on_the_grid_and_differentiates_as_the_identity():
    x = tf.constant(np.random.default_rng(0).standard_normal(1000), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = reversible.round_to_grid(x)
        z = tf.reduce_sum(3 * y)
    np.testing.assert_array_equal(y * 4096, np.round(y * 4096))
    assert float(tf.reduce_max(tf.abs(x - y))) <= 0.5 / 4096
    np.testing.assert_array_equal(tape.gradient(z, x), np.full(1000, 3, np.float32))


def test_package_stands_alone():
    import pathlib

    for path in pathlib.Path(reversible.__file__).parent.glob("*.py"):
        for line in path.read_text().splitlines():
            if line.startswith(("import resnet", "from resnet")):
                # The others need the standard library alone.
                own = ("resnet.reversible", "resnet.process_memory ", "resnet.table ")
                assert line.removeprefix("from ").startswith(own), f"{path.name}: {line}"
