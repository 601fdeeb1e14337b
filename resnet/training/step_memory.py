"""The memory of a model's training step, found by tracing it."""

import tensorflow as tf

from resnet.reversible.memory_reports import report_of_graph
from resnet.training.fused import FusedUpdate
from resnet.training.optimizer import make_optimizer
from resnet.training.steps import Steps


def experiment_report(experiment, num_replicas):
    """The MemoryReport of one device's step of an experiment, with its initial weights."""
    model = experiment.make_model(num_replicas)
    optimizer, fused = make_optimizer(model), None
    if experiment.options.fused_update:
        fused = FusedUpdate(model, optimizer.update)
    steps = Steps(model, optimizer, fused=fused)
    return step_report(steps, experiment.images_at_once(num_replicas))


def step_report(steps, batch_size, measured=None):
    """The MemoryReport of one device's step on preprocessed images.

    Args:
      steps: Steps of one replica.
      batch_size: images that are at once on a device.
      measured: see MemoryReport.
    """
    model = steps.model
    size, computation = model.config.image_size, model.computation
    images = tf.TensorSpec((batch_size, size, size, 3))
    labels = tf.TensorSpec((batch_size,), tf.int32)
    graph = steps.train.get_concrete_function(images, labels, tf.TensorSpec(())).graph
    trained = model.trainable_by_storage_name.values()
    slots = [slot for kind in steps.optimizer.slots.values() for slot in kind.values()]
    return report_of_graph(
        f"{model.config.name}, {computation.dtype}, backprop {computation.backprop}, "
        f"{batch_size} images at once",
        graph,
        graph.inputs[:2],
        [*trained, *model.statistics_by_storage_name.values()],
        slots,
        measured,
    )
