"""What a network costs: multiply-adds, and the bytes that its activations take.

The bytes are estimates from what each way to backpropagate keeps; the benchmark
measures.
"""

import math

from resnet.models.layers import IMAGE_CHANNELS

IMAGE_BYTES = 4


def _side_pairs(network):
    """[(pixels a side of a stage's input, of its units' output)]."""
    side, found = network.stem.out_side(network.config.image_size), []
    for stage in network.stages:
        side = side // 2 if stage.squeezes else side
        before = side
        for convolutions in stage.chains():
            for convolution in convolutions:
                side = -(-side // convolution.stride)
        found.append((before, side))
        side = side // 2 if stage.max_pool else side
    return found


def stage_sides(network):
    """[pixels a side of a stage's output]."""
    return [side // 2 if stage.max_pool else side for stage, side in _stages_and_sides(network)]


def _stages_and_sides(network):
    """[(stage, pixels a side at the output of its units)]."""
    sides = [side for _, side in _side_pairs(network)]
    return list(zip(network.stages, sides, strict=True))


def multiply_adds(network):
    """Multiplications with addition of one image's forward pass, convolutions and head."""
    config = network.config
    total = sum(conv.multiply_adds(config.image_size) for conv in network.stem.convolutions())
    for stage, (side, _) in zip(network.stages, _side_pairs(network), strict=True):
        shortcuts = stage.start_shortcut_convolutions()
        total += sum(convolution.multiply_adds(side) for convolution in shortcuts)
        for convolutions in stage.chains():
            for convolution in convolutions:
                total += convolution.multiply_adds(side)
                side = -(-side // convolution.stride)
    return total + (network.head.channels * config.num_classes if network.head.include_top else 0)


def _half_bytes(stage, side):
    """Bytes of one half of a stage's stream, or all of it in a ResNet; per image."""
    filters = stage.chains()[-1][-1].filters
    return side * side * filters * stage.stream_dtype.size


def _inside_bytes(stage, side):
    """Bytes that the backward pass of one residual function needs of its inside."""
    if stage.is_plain:  # of its convolution's output, batch norm takes the gradient
        return _half_bytes(stage, side)
    inputs = [convolution.in_channels for convolution in stage.chains()[-1]]
    # The input of every convolution, and of every batch norm but the first's, which
    # is the stream itself unless it had to be converted.
    values = sum(inputs) + sum(inputs[1:])
    if stage.dtype.size < stage.stream_dtype.size:
        values += inputs[0]
    return side * side * values * stage.dtype.size


def _working_bytes(stage, side):
    """Bytes alive while one residual function is walked back."""
    # Both halves, their gradients and the value that is being subtracted. Then, gradients inside
    # take the place of what they are gradients of.
    return (2 * stage.num_halves + 1) * _half_bytes(stage, side) + _inside_bytes(stage, side)


def _kept_unit_bytes(stage, side):
    """Bytes of a unit whose activations are stored: its insides and its output."""
    return stage.num_halves * (_inside_bytes(stage, side) + _half_bytes(stage, side))


def _pooled_bytes(stage, side):
    """Bytes of what a stage hands on besides its last unit's output."""
    return _half_bytes(stage, side) // 4 if stage.max_pool else 0


def _image_bytes(network):
    return network.config.image_size**2 * IMAGE_CHANNELS * IMAGE_BYTES


def _walk_bytes(network):
    """For each stage, bytes alive while it is walked back, nothing else stored."""
    found, waiting = [], _image_bytes(network)
    for stage, side in _stages_and_sides(network):
        found.append(waiting + _working_bytes(stage, side))
        if not network.family.inverts:  # else no stage's input is kept
            waiting += stage.num_halves * _half_bytes(stage, side)
    return found


def units_to_keep(network, extra_bytes=0):
    """How many units at each stage's end to store, so that they need not be recomputed.

    The backward pass peaks in the early stages, where images are large. When it walks
    the last stage back, there is room for some units' activations without raising the
    peak, however deep the network is. With more room, units are stored from the network's
    end to its start: late ones take fewer bytes, and as many multiplications to recompute.

    Args:
      network: Network of ReversibleStages; what they keep so far does not count.
      extra_bytes: by how much the peak may rise, per image.

    Returns:
      Number of units of each stage, its first (which may change the shape) counted last.
    """
    walk = _walk_bytes(network)
    limit, kept, room = max(walk) + extra_bytes, [], math.inf
    pairs = list(zip(_stages_and_sides(network), walk, strict=True))
    for (stage, side), walk_bytes in reversed(pairs):
        # What is kept here also waits while the stages behind are walked back.
        room = min(room, limit - walk_bytes)
        num_units = 1 + stage.num_others
        most = num_units
        if not extra_bytes:  # measured to be free among the last stage's equal units alone
            most = 0 if kept else stage.num_others
        kept.append(min(most, int(room // _kept_unit_bytes(stage, side))))
        room -= kept[-1] * _kept_unit_bytes(stage, side)
        if network.family.inverts and kept[-1] < num_units:
            room = 0  # of one sequence, units at its end alone are kept
    return kept[::-1]


def activation_bytes(network):
    """Predicted bytes of activations and their gradients per image at a step's peak."""
    backprop, kept = network.computation.backprop, 0
    if backprop == "reversible":
        peaks = []
        for (stage, side), walk in zip(
            _stages_and_sides(network), _walk_bytes(network), strict=True
        ):
            kept += stage.num_kept * _kept_unit_bytes(stage, side)
            peaks.append(walk + kept)
        return max(peaks)
    kept, peak = _image_bytes(network), 0
    for stage, side in _stages_and_sides(network):
        num_units = 1 + stage.num_others
        unit, outputs = _kept_unit_bytes(stage, side), stage.num_halves * _half_bytes(stage, side)
        kept += num_units * (unit if backprop == "stored" else outputs)
        if backprop == "checkpoint":  # one unit is recomputed, when those behind it are done
            peak = max(peak, kept + unit)
        kept += _pooled_bytes(stage, side)
    return max(kept, peak)
