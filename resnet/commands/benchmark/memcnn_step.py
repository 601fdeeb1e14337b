r"""One training step of MemCNN's own RevNet, on PyTorch, for the benchmark's --compare.

Run by a Python that has torch and memcnn:

    python memcnn_step.py --block basic --units 9,9,9 --filters 32,32,64,128 --strides 1,2,2 \
        --image_size 32 --num_classes 10 --batch_size 128 --steps 3
"""

import sys
import types

from peer_step import run  # run as a file, beside it

BLOCKS = {"basic": "RevBasicBlock", "bottleneck": "RevBottleneck"}


def import_memcnn():
    """memcnn.models.resnet, without torchvision, which memcnn imports for its data sets."""
    names = ("torchvision", "torchvision.datasets", "torchvision.transforms")
    modules = {name: types.ModuleType(name) for name in names}
    sys.modules |= modules
    for name in names[1:]:
        setattr(modules["torchvision"], name.rpartition(".")[2], modules[name])
    from memcnn.models import resnet

    return resnet


def build(flags):
    """The network."""
    resnet = import_memcnn()
    import torch

    class Relu(torch.nn.Module):
        # MemCNN frees its units' inputs: the stem's last output, which ReLU's gradient needs.
        def forward(self, x):
            return torch.relu(x).clone()

    model = resnet.ResNet(
        getattr(resnet, BLOCKS[flags.block]),
        list(flags.units),
        num_classes=flags.num_classes,
        channels_per_layer=list(flags.filters),
        strides=[1, *flags.strides],  # the stem's first
        init_max_pool=False,
        init_kernel_size=3,
        batch_norm_fix=False,
    )
    model.relu = Relu()
    return model


if __name__ == "__main__":
    run("memcnn", build, __doc__, prepare=lambda images: images.clone().requires_grad_())
