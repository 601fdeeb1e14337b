"""What a model costs: multiply-adds, and the bytes of its activations."""

from resnet.models.model import DTYPES

STREAM_BYTES = 4  # a RevNet's residual stream is float32


def _layers(model):
    """Yields (stage, residual, pixels a side at its output), in order; stage from 0."""
    config = model.config
    side = _stem_side(config)
    for s, stage in enumerate(model.stages):
        for residual in stage.residuals():
            side = -(-side // residual.stride)
            yield s, residual, side


def _stem_side(config):
    side = -(-config.image_size // config.stem_stride)
    return -(-side // 2) if config.stem_max_pool else side


def multiply_adds(model):
    """Multiplications with addition of one image's forward pass; convolutions and the head."""
    config = model.config
    side = -(-config.image_size // config.stem_stride)
    total = 3 * config.stem_filters * (side * config.stem_kernel) ** 2
    for _, residual, side in _layers(model):
        for kernel, _, in_channels, filters in residual.convolutions():
            total += side * side * kernel * kernel * in_channels * filters
    for stage, side in zip(model.stages, _stage_sides(model), strict=True):
        for shortcut in stage.start_shortcuts():
            if shortcut.is_projected:
                total += side * side * shortcut.in_channels * shortcut.filters
    return total + model.head.channels * config.num_classes


def _stage_sides(model):
    """Pixels a side at each stage's output."""
    sides = {s: side for s, _, side in _layers(model)}
    return [sides[s] for s in range(len(model.stages))]


def activation_bytes(model):
    """Predicted bytes of activations and their gradients per image at the peak of a step.

    An estimate from what each backprop keeps: stored, every convolution's input and
    output and the stream; checkpoint, every unit's input and one unit's inside;
    reversible, each stage's output and one residual function's inside.
    """
    config = model.config
    is_revnet = config.family == "revnet"
    size = DTYPES[model.dtype].size
    stream = STREAM_BYTES if is_revnet else size
    halves = 2 if is_revnet else 1
    image = config.image_size**2 * 3 * STREAM_BYTES
    kept, inside, outputs = image, [], {}
    for s, residual, side in _layers(model):
        convolutions = residual.convolutions()
        widths = [filters for *_, filters in convolutions]
        # Of each convolution its input; of all but the last its output too.
        values = convolutions[0][2] + 2 * sum(widths[:-1])
        working = side * side * (values * size + 2 * max(widths) * size)
        output = side * side * residual.filters * stream
        inside.append(working + (2 * halves + 1) * output)
        outputs[s] = output * halves
        if model.backprop == "stored":
            kept += side * side * values * size + output
        elif model.backprop == "checkpoint":
            kept += output
    if model.backprop == "reversible":
        # While a stage's units are walked back, the outputs of earlier stages wait.
        firsts = {}
        for (s, _, _), bytes_inside in zip(_layers(model), inside, strict=True):
            firsts[s] = max(firsts.get(s, 0), bytes_inside)
        waiting = [image + sum(outputs[e] for e in range(s)) for s in firsts]
        return max(w + firsts[s] for s, w in zip(firsts, waiting, strict=True))
    return kept + (max(inside) if model.backprop == "checkpoint" else 0)
