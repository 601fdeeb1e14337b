"""Reversible building blocks: couplings and the backward pass that inverts them.

Imports nothing of the models, the data or the training around it. The Keras layers are imported
at once, so that files that hold them can be loaded; TensorFlow has loaded Keras already.
"""

from resnet.reversible.additive import AdditiveCoupling, AdditiveTransition
from resnet.reversible.affine import AffineCoupling
from resnet.reversible.chain import Chain, First, Halves
from resnet.reversible.checks import (
    GradientError,
    NotReversibleError,
    check_gradients,
    check_invertible,
)
from resnet.reversible.coupling import Coupling
from resnet.reversible.exact import count_past_exact_range, round_to_grid
from resnet.reversible.flows import (
    FLOWS,
    ActNorm,
    Flow,
    InvertibleConv,
    SplineCoupling,
    Split,
    get_flow,
)
from resnet.reversible.function_layer import Function
from resnet.reversible.gradients import Term, recompute, terms_of
from resnet.reversible.log_determinant import LogDeterminant, log_determinant
from resnet.reversible.memory import stored_bytes, units_that_fit
from resnet.reversible.memory_figures import KeptTensor, MemoryReport
from resnet.reversible.memory_reports import memory_report
from resnet.reversible.momentum import MomentumCoupling
from resnet.reversible.ordering import after
from resnet.reversible.repeated import Repeated
from resnet.reversible.resampling import Haar, Inverse, Pad, Squeeze
from resnet.reversible.self_updating import SelfUpdating
from resnet.reversible.sequence import BACKPROPS, run_sequence
from resnet.reversible.sequence_layer import Sequence

__all__ = [
    "BACKPROPS",
    "FLOWS",
    "ActNorm",
    "AdditiveCoupling",
    "AdditiveTransition",
    "AffineCoupling",
    "Chain",
    "Coupling",
    "First",
    "Flow",
    "Function",
    "GradientError",
    "Haar",
    "Halves",
    "Inverse",
    "InvertibleConv",
    "KeptTensor",
    "LogDeterminant",
    "MemoryReport",
    "MomentumCoupling",
    "NotReversibleError",
    "Pad",
    "Repeated",
    "SelfUpdating",
    "Sequence",
    "SplineCoupling",
    "Split",
    "Squeeze",
    "Term",
    "after",
    "check_gradients",
    "check_invertible",
    "count_past_exact_range",
    "get_flow",
    "log_determinant",
    "memory_report",
    "recompute",
    "round_to_grid",
    "run_sequence",
    "stored_bytes",
    "terms_of",
    "units_that_fit",
]
