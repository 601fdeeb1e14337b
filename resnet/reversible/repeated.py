"""Units of equal shape in a loop: a graph that does not grow with depth."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from resnet.reversible.coupling import Coupling
from resnet.reversible.gradients import PureFunction, terms_of
from resnet.reversible.nest import Nest


def _outputs_of(function: PureFunction, params: Nest, x: Nest) -> tuple[Nest, Nest]:
    """What a pure function returns, as a nest of tf.TensorSpec; nothing is computed."""
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), (params, x))
    traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    return traced.structured_outputs


class Repeated(Coupling):
    """A coupling applied n times, with parameters of its own each time.

    Its parameters are those of the coupling with n as leading axis; so is its aux. It
    is itself a coupling: forward, inverse and backward are one tf.while_loop each.
    """

    def __init__(self, unit: Coupling | Callable[[tf.Tensor], Coupling], num_units: int) -> None:
        """Repeats an invertible coupling.

        Args:
          unit: the coupling; or a function `unit(i)` that makes the one at place i, an int32
            tensor, where more than the parameters differs.
          num_units: how many times.

        Raises:
          TypeError: it is neither, such as a transition without inverse.
        """
        if not callable(unit) and not isinstance(unit, Coupling):
            raise TypeError(
                f"{type(unit).__name__} cannot be repeated: give a Coupling, which has an inverse, "
                "or a function (i) that makes one"
            )
        self.num_units, self.is_onto = num_units, getattr(unit, "is_onto", True)
        self._unit = (lambda i: unit) if isinstance(unit, Coupling) else unit

    def _at(self, params: Nest, i: tf.Tensor | int) -> Nest:
        """The parameters of unit i, or of a nest like aux its part."""
        return tf.nest.map_structure(lambda s: None if s is None else s[i], params)

    def _loop(self, body: Callable[[tf.Tensor, Nest], Nest], state: Nest) -> Nest:
        """Runs `body(i, state) -> state` for i from 0 to n - 1."""
        _, state = tf.while_loop(
            lambda i, _: i < self.num_units,
            lambda i, state: (i + 1, body(i, state)),
            (tf.constant(0), state),
            parallel_iterations=1,
            maximum_iterations=self.num_units,
        )
        return state

    def _arrays(self, nest: Nest) -> tuple[tf.TensorArray, ...]:
        """An array of n tensors for each tensor (or TensorSpec) of a nest, as a flat tuple."""
        return tuple(
            tf.TensorArray(t.dtype, self.num_units, element_shape=t.shape)
            for t in tf.nest.flatten(nest)
        )

    def forward(self, params: Nest, x: Nest) -> tuple[Nest, Nest]:
        """(x1, x2) -> (y1, y2), and aux."""
        first = self._unit(tf.constant(0))
        _, aux_spec = _outputs_of(first.forward, self._at(params, 0), x)

        def body(i: tf.Tensor, state: Nest) -> Nest:
            x, arrays = state
            y, aux = self._unit(i).forward(self._at(params, i), x)
            return y, _written(arrays, i, aux)

        y, arrays = self._loop(body, (x, self._arrays(aux_spec)))
        return y, tf.nest.pack_sequence_as(aux_spec, [array.stack() for array in arrays])

    def inverse(self, params: Nest, y: Nest) -> Nest:
        """(y1, y2) -> (x1, x2)."""
        last = self.num_units - 1

        def body(i: tf.Tensor, y: Nest) -> Nest:
            return self._unit(last - i).inverse(self._at(params, last - i), y)

        return self._loop(body, y)

    def backward(self, params: Nest, y: Nest, dy: Nest, daux: Nest = ()) -> tuple[Nest, Nest, Nest]:
        """Inverts and differentiates unit by unit; see `AdditiveCoupling.backward`."""
        last = self.num_units - 1
        unit_spec = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape[1:], t.dtype), params)

        def body(i: tf.Tensor, state: Nest) -> Nest:
            y, dy, arrays = state
            terms = [self._at(daux, last - i)] if terms_of(daux) else []
            x, dx, dparams = self._unit(last - i).backward(
                self._at(params, last - i), y, dy, *terms
            )
            return x, dx, _written(arrays, last - i, dparams)

        x, dx, arrays = self._loop(body, (y, dy, self._arrays(unit_spec)))
        stacked = [array.stack() for array in arrays]
        return x, dx, tf.nest.pack_sequence_as(params, stacked)


def _written(
    arrays: Sequence[tf.TensorArray], i: tf.Tensor, nest: Nest
) -> tuple[tf.TensorArray, ...]:
    """The arrays with the tensors of a nest at position i."""
    pairs = zip(arrays, tf.nest.flatten(nest), strict=True)
    return tuple(array.write(i, value) for array, value in pairs)
