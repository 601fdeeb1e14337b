"""The CIFAR RevNets of Gomez et al. 2017 on RevLib, of the same units, widths and parameters.

RevLib walks back a row of modules that keep their input's shape, and splits the channels
itself. A unit that changes the shape stands between two rows, and stores what it needs.
"""

import revlib
import torch
from torch import nn

BOTTLENECK_FACTOR = 4


class Residual(nn.Module):
    """A residual function, float32 in and out: [BN ReLU] conv, BN ReLU conv (BN ReLU conv).

    Its arithmetic is bfloat16 by autocast, if asked for. That stands here, and not around
    the training step, so that RevLib's backward pass computes the same function again.
    """

    def __init__(self, block, in_channels, channels, stride, activate_first, is_bfloat16):
        super().__init__()
        layers = []
        for i, convolution in enumerate(_convolutions(block, in_channels, channels, stride)):
            if i or activate_first:
                layers += [nn.BatchNorm2d(convolution.in_channels), nn.ReLU(inplace=True)]
            layers.append(convolution)
        self.layers = nn.Sequential(*layers)
        self.is_bfloat16 = is_bfloat16

    def forward(self, x):
        """(N, C, H, W) -> (N, channels, H/stride, W/stride)."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_bfloat16):
            return self.layers(x).float()


def _convolutions(block, in_channels, channels, stride):
    """The convolutions of a residual function, first to last."""
    if block == "basic":
        return [_convolution(3, in_channels, channels, stride), _convolution(3, channels, channels)]
    width = channels // BOTTLENECK_FACTOR
    return [
        _convolution(1, in_channels, width, stride),
        _convolution(3, width, width),
        _convolution(1, width, channels),
    ]


def _convolution(kernel, in_channels, channels, stride=1):
    return nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)


class PoolShortcut(nn.Module):
    """Average pooling, then zero channels, half of them before and half after."""

    def __init__(self, in_channels, channels, stride):
        super().__init__()
        missing = channels - in_channels
        self.stride, self.padding = stride, (missing // 2, missing - missing // 2)

    def forward(self, x):
        """(N, C, H, W) -> (N, channels, H/stride, W/stride)."""
        x = nn.functional.avg_pool2d(x, self.stride) if self.stride > 1 else x
        return nn.functional.pad(x, (0, 0, 0, 0, *self.padding))


class Transition(nn.Module):
    """A unit that changes the shape: y1 = s1(x1) + F(x2), y2 = s2(x2) + G(y1)."""

    def __init__(self, f, g, shortcuts):
        super().__init__()
        self.f, self.g = f, g
        self.shortcut1, self.shortcut2 = shortcuts

    def forward(self, x):
        """(N, C, H, W) -> (N, channels, H/stride, W/stride), both halves side by side."""
        x1, x2 = x.chunk(2, 1)
        y1 = self.shortcut1(x1) + self.f(x2)
        y2 = self.shortcut2(x2) + self.g(y1)
        return torch.cat([y1, y2], 1)


class RevNet(nn.Module):
    """A RevNet for CIFAR: images (N, 3, H, W) to logits (N, classes)."""

    def __init__(self, block, stem_filters, stages, num_classes, is_bfloat16):
        """`stages` are (units, filters, stride)."""
        super().__init__()
        self.is_bfloat16 = is_bfloat16
        self.stem = nn.Sequential(
            _convolution(3, 3, stem_filters), nn.BatchNorm2d(stem_filters), nn.ReLU()
        )
        layers, half = [], stem_filters // 2
        for i, (num_units, filters, stride) in enumerate(stages):
            out = filters * (BOTTLENECK_FACTOR if block == "bottleneck" else 1) // 2

            def residual(channels, stride=1, activate_first=True, out=out):
                return Residual(block, channels, out, stride, activate_first, is_bfloat16)

            # The stem ends in BN and ReLU, which the very first function does not repeat.
            start = [residual(half, stride, activate_first=i > 0), residual(out)]
            others = [residual(out) for _ in range(2 * (num_units - 1))]
            if stride == 1 and half == out:
                others = start + others
            else:
                shortcuts = [_shortcut(block, half, out, stride) for _ in start]
                layers.append(Transition(*start, shortcuts))
            if others:
                layers.append(revlib.ReversibleSequential(*others, split_dim=1))
            half = out
        self.stages = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.BatchNorm2d(2 * half),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * half, num_classes),
        )

    def forward(self, images):
        """Logits, float32."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.is_bfloat16):
            x = self.stem(images)
        return self.head(self.stages(x.float()))


def _shortcut(block, in_channels, channels, stride):
    if block == "bottleneck":
        return _convolution(1, in_channels, channels, stride)
    return PoolShortcut(in_channels, channels, stride)
