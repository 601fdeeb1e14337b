"""What a run will be, before it starts: sizes, arithmetic and memory."""

from resnet.models.cost import activation_bytes, multiply_adds
from resnet.plurals import counted


def summary(experiment, placement):
    """Text that describes a run: model, cost, predicted memory, steps and data."""
    config, options = experiment.config, experiment.options
    network = experiment.make_network(placement.num_replicas)
    per_image = activation_bytes(network)
    at_once = experiment.images_at_once(placement.num_replicas)
    units = network.family.units_name(config)
    exact = ", exact stream" if options.exact else ""
    rows = {
        "model": f"{config.name}, {units} {'-'.join(map(str, config.units))}, "
        f"filters {'-'.join(map(str, config.filters))}",
        "parameters": f"{network.num_parameters:,}",
        "multiply-adds": f"{multiply_adds(network):,} an image, forward",
        "arithmetic": f"{options.dtype}{exact}, backprop {options.backprop}",
        **_kept(network),
        "activation memory": f"about {per_image / 1e6:.2f} MB an image, "
        f"{per_image * at_once / 1e6:.0f} MB for the {at_once} at once on a device (predicted)",
        "steps": f"{experiment.num_steps:,} of {counted(config.batch_size, 'image')}; "
        f"learning rate {_rates(config)}",
        "data": f"{options.dataset}, {config.num_classes} classes, "
        + ("a tenth held out for validation" if options.validation else "no validation split"),
        "devices": str(placement),
        "results": str(experiment.results),
        "logs": str(experiment.logs),
    }
    return "\n".join(f"{name + ':':<19}{value}" for name, value in rows.items())


def _rates(config):
    """The learning rates, in words."""
    first, *others = config.learning_rates
    texts = [f"{first:g}"]
    texts += [
        f"{rate:g} from step {boundary:,}"
        for rate, boundary in zip(others, config.boundaries, strict=True)
    ]
    if config.schedule != "piecewise":
        texts = [f"{config.schedule} with a peak of {first:g}"]
    if config.warmup_steps:
        texts.append(f"upwards in the first {counted(config.warmup_steps, 'step')}")
    return ", ".join(texts)


def _kept(network):
    """The row that says which activations are kept, if some are and some are not."""
    if network.computation.backprop != "reversible":
        return {}
    counts = [f"{stage.num_kept} of {1 + stage.num_others}" for stage in network.stages]
    return {"kept": f"at the stages' ends, {', '.join(counts)} units; the others are recomputed"}
