"""What a network costs: multiply-adds, and the bytes that its activations take.

The bytes are estimates from what each way to backpropagate keeps; the benchmark
measures.
"""

import math

STREAM_BYTES = 4  # of a value in a RevNet's residual stream, float32
IMAGE_BYTES = 4
# Measured over counted bytes of a walk: operations overlap, and allocators round up.
WALK_OVERHEAD = 4 / 3


def _stem_side(config):
    """Pixels a side of what the first stage takes."""
    side = -(-config.image_size // config.stem_stride)
    return -(-side // 2) if config.stem_max_pool else side


def _side_pairs(config, stages):
    """[(pixels a side of a stage's input, of its units' output)]."""
    side, found = _stem_side(config), []
    for stage in stages:
        before = side
        for residual in stage.residuals():
            for convolution in residual.convolutions():
                side = -(-side // convolution.stride)
        found.append((before, side))
        side = side // 2 if stage.max_pool else side
    return found


def _sides(config, stages):
    """Pixels a side at the output of each stage's units."""
    return [side for _, side in _side_pairs(config, stages)]


def multiply_adds(network):
    """Multiplications with addition of one image's forward pass, convolutions and head."""
    config, stages = network.config, network.stages
    total = sum(conv.multiply_adds(config.image_size) for conv in network.stem.convolutions())
    for stage, (side, _) in zip(stages, _side_pairs(config, stages), strict=True):
        for shortcut in stage.start_shortcuts():
            total += sum(conv.multiply_adds(side) for conv in shortcut.convolutions())
        for residual in stage.residuals():
            for conv in residual.convolutions():
                total += conv.multiply_adds(side)
                side = -(-side // conv.stride)
    return total + network.head.channels * config.num_classes


def _half_bytes(stage, side):
    """Bytes of one half of a stage's stream, or all of it in a ResNet; per image."""
    residual = stage.residuals()[-1]
    size = STREAM_BYTES if stage.num_halves == 2 else residual.dtype.size
    return side * side * residual.filters * size


def _inside_bytes(stage, side):
    """Bytes that the backward pass of one residual function needs of its inside."""
    residual = stage.residuals()[-1]
    inputs = [convolution.in_channels for convolution in residual.convolutions()]
    # The input of every convolution, and of every batch norm but the first's, which
    # is the stream itself unless it had to be converted.
    values = sum(inputs) + sum(inputs[1:])
    if residual.dtype.size < STREAM_BYTES and stage.num_halves == 2:
        values += inputs[0]
    return side * side * values * residual.dtype.size


def _working_bytes(stage, side):
    """Bytes alive while one residual function is walked back."""
    residual = stage.residuals()[-1]
    widest = max(convolution.filters for convolution in residual.convolutions())
    gradients = 2 * side * side * widest * residual.dtype.size
    # Both halves, their gradients and the value that is being subtracted.
    stream = (2 * stage.num_halves + 1) * _half_bytes(stage, side)
    return WALK_OVERHEAD * (stream + _inside_bytes(stage, side) + gradients)


def _kept_unit_bytes(stage, side):
    """Bytes of a unit whose activations are stored: its insides and its output."""
    return stage.num_halves * (_inside_bytes(stage, side) + _half_bytes(stage, side))


def _walk_bytes(config, stages):
    """For each stage, bytes alive while it is walked back, nothing else stored."""
    found, waiting = [], config.image_size**2 * 3 * IMAGE_BYTES
    for stage, side in zip(stages, _sides(config, stages), strict=True):
        found.append(waiting + _working_bytes(stage, side))
        waiting += stage.num_halves * _half_bytes(stage, side)
    return found


def units_to_keep(config, stages, extra_bytes=0):
    """How many units at each stage's end to store, so that they need not be recomputed.

    The backward pass peaks in the early stages, where images are large. When it walks
    the last stage back, there is room for some units' activations without raising the
    peak, however deep the network is. With more room, units are stored from the network's
    end to its start: late ones take fewer bytes, and as many multiplications to recompute.

    Args:
      config: Config.
      stages: the network's ReversibleStages.
      extra_bytes: by how much the peak may rise, per image.

    Returns:
      Number of units of each stage, its first (which may change the shape) counted last.
    """
    walk, sides = _walk_bytes(config, stages), _sides(config, stages)
    limit, kept, room = max(walk) + extra_bytes, [], math.inf
    for stage, side, walk_bytes in reversed(list(zip(stages, sides, walk, strict=True))):
        # What is kept here also waits while the stages behind are walked back.
        room = min(room, limit - walk_bytes)
        num_units = 1 + stage.num_others
        if not extra_bytes:  # measured to be free among the last stage's equal units alone
            num_units = 0 if kept else stage.num_others
        kept.append(min(num_units, int(room // _kept_unit_bytes(stage, side))))
        room -= kept[-1] * _kept_unit_bytes(stage, side)
    return kept[::-1]


def activation_bytes(network):
    """Predicted bytes of activations and their gradients per image at a step's peak."""
    config, stages = network.config, network.stages
    if network.computation.backprop == "reversible":
        sides, kept, peaks = _sides(config, stages), 0, []
        for stage, side, walk in zip(stages, sides, _walk_bytes(config, stages), strict=True):
            kept += stage.num_kept * _kept_unit_bytes(stage, side)
            peaks.append(walk + kept)
        return max(peaks)
    kept, working = config.image_size**2 * 3 * IMAGE_BYTES, 0
    for stage, side in zip(stages, _sides(config, stages), strict=True):
        num_units = 1 + stage.num_others
        if network.computation.backprop == "stored":
            kept += num_units * _kept_unit_bytes(stage, side)
        else:
            kept += num_units * stage.num_halves * _half_bytes(stage, side)
            working = max(working, stage.num_halves * _working_bytes(stage, side))
    return kept + working
