r"""One training step of a RevNet on RevLib, on PyTorch, for the benchmark's --compare.

Run by a Python that has torch and revlib:

    python revlib_step.py --block basic --units 9,9,9 --filters 32,32,64,128 --strides 1,2,2 \
        --image_size 32 --num_classes 10 --batch_size 128 --steps 3 --dtype bfloat16
"""

from peer_step import run  # run as a file, beside it


def build(flags):
    """The network."""
    from revlib_network import RevNet  # needs torch

    stem_filters, *filters = flags.filters
    return RevNet(
        flags.block,
        stem_filters,
        list(zip(flags.units, filters, flags.strides, strict=True)),
        flags.num_classes,
        is_bfloat16=flags.dtype == "bfloat16",
    )


if __name__ == "__main__":
    run("revlib", build, __doc__, dtypes=("float32", "bfloat16"))
