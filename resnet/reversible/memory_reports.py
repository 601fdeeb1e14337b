"""Why training takes the memory it takes: what is kept for the backward pass, and the peak."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from resnet.process_memory import peak_over, return_free_memory, size_now
from resnet.reversible.checks import state_kept
from resnet.reversible.graph_memory import GraphMemory
from resnet.reversible.memory_culprits import culprits
from resnet.reversible.memory_figures import MB, MemoryReport
from resnet.reversible.nest import Nest
from resnet.reversible.ordering import after


def memory_report(
    layer: keras.layers.Layer, x: Nest, measure: bool = False, **arguments: Any
) -> MemoryReport:
    """What a training step of a layer or model of your own keeps in memory, and why.

    The step is traced: forward in training mode, and the gradients of all weights. An optimizer's
    variables are counted if the model is compiled with one and built.

    Args:
      layer: a Keras layer or model; it is built if it is not.
      x: its input, a nest of tensors or arrays; values do not matter.
      measure: whether the step is run too, twice, and this process's growth measured. A process
        that has freed memory before grows less; TensorFlow's pool keeps more than tensors need.
      **arguments: what a call takes beside x.

    Returns:
      MemoryReport; str() of it is a text.

    Raises:
      TypeError: no layer.
    """
    if not isinstance(layer, keras.layers.Layer):
        raise TypeError(
            f"{layer!r} is no Keras layer or model: for a named network, give a resnet.Classifier "
            "or run `resnet memory --model NAME`"
        )
    x = tf.nest.map_structure(tf.convert_to_tensor, x)
    with state_kept(layer, x, arguments):
        trained = [v.value for v in layer.trainable_variables]

        def step(x: Nest) -> list[Any]:
            with tf.GradientTape() as tape:
                outputs = tf.nest.flatten(layer(x, training=True, **arguments))
                loss = tf.add_n([tf.reduce_sum(tf.cast(y, tf.float32)) for y in outputs])
            # That of a loss, but of a sum, waits for its value.
            return tape.gradient(loss, trained, output_gradients=after(loss, tf.constant(1.0)))

        compiled = tf.function(step, autograph=False)
        measured = {}
        if measure:
            return_free_memory()
            before = size_now()
            for _ in range(2):
                compiled(x)
            measured["here"] = round(peak_over(before) * MB)
        graph = compiled.get_concrete_function(x).graph
    variables = [v.value for v in layer.variables]
    measured = {how: size + _bytes_of(variables) for how, size in measured.items()}
    optimizer = getattr(layer, "optimizer", None)
    slots = [v.value for v in getattr(optimizer, "variables", [])]
    shape = ", ".join(str(tuple(t.shape)) for t in tf.nest.flatten(x))
    return report_of_graph(
        f"{layer.name}, input {shape}",
        graph,
        batch=graph.inputs[: len(tf.nest.flatten(x))],
        variables=variables,
        slots=slots,
        root=layer.name,
        measured=measured,
    )


def report_of_graph(
    title: str,
    graph: tf.Graph,
    batch: Sequence[tf.Tensor],
    variables: Iterable[tf.Variable],
    slots: Iterable[Any],
    root: str = "",
    measured: dict[str, int] | None = None,
) -> MemoryReport:
    """The MemoryReport of a traced training step.

    Args:
      title: of what.
      graph: FuncGraph of one device's step.
      batch: those of its inputs that are not variables.
      variables: of the model.
      slots: variables that its optimizer keeps.
      root: name of the whole model, with which the names of operations may begin.
      measured: see MemoryReport.
    """
    variables = list(variables)
    memory = GraphMemory(graph, batch, variables, root)
    report = MemoryReport(
        title,
        memory.kept(),
        memory.at_peak(),
        memory.moment(),
        _bytes_of(variables),
        _bytes_of(slots),
        memory.liveness.num_operations,
        warnings=[],
        measured=measured or {},
    )
    return dataclasses.replace(report, warnings=culprits(memory, report))


def _bytes_of(variables: Iterable[Any]) -> int:
    return sum(v.shape.num_elements() * v.dtype.size for v in variables)
