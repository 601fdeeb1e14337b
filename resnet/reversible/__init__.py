"""Reversible building blocks: couplings and the backward pass that inverts them.

Imports nothing of the models, the data or the training around it.
"""

from resnet.reversible.additive import AdditiveCoupling, AdditiveTransition
from resnet.reversible.affine import AffineCoupling
from resnet.reversible.coupling import Coupling
from resnet.reversible.exact import count_past_exact_range, round_to_grid
from resnet.reversible.gradients import recompute
from resnet.reversible.ordering import after, xla_barriers
from resnet.reversible.repeated import Repeated
from resnet.reversible.sequence import BACKPROPS, run_sequence

__all__ = [
    "BACKPROPS",
    "AdditiveCoupling",
    "AdditiveTransition",
    "AffineCoupling",
    "Coupling",
    "Repeated",
    "after",
    "count_past_exact_range",
    "recompute",
    "round_to_grid",
    "run_sequence",
    "xla_barriers",
]
