"""Names of the types that reversible functions take and return."""

from typing import Any

import tensorflow as tf

Nest = Any  # of tensors: one of them, or dicts, lists and tuples that hold them
Pair = tuple[tf.Tensor, tf.Tensor]  # the halves (x1, x2)
