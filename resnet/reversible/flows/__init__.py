"""Normalizing flows: couplings that change volumes, and a Keras model of them."""

from resnet.reversible.flows.act_norm import ActNorm
from resnet.reversible.flows.flow import Flow
from resnet.reversible.flows.mixing import InvertibleConv
from resnet.reversible.flows.named import FLOWS, get_flow
from resnet.reversible.flows.spline import SplineCoupling
from resnet.reversible.flows.split import Split

__all__ = [
    "FLOWS",
    "ActNorm",
    "Flow",
    "InvertibleConv",
    "SplineCoupling",
    "Split",
    "get_flow",
]
