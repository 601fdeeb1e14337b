r"""One training step of MemCNN's own RevNet, on PyTorch, for the benchmark's --compare.

Run by a Python that has torch and memcnn, not by the one that has TensorFlow:

    python memcnn_step.py --block basic --units 9,9,9 --filters 32,32,64,128 \
        --batch_size 128 --steps 3

Prints one JSON line with the fields of resnet.commands.benchmark's that have a counterpart.
"""

import argparse
import json
import statistics
import sys
import time
import types

from memory import peak_over, size_now  # run as a script, beside it

BLOCKS = {"basic": "RevBasicBlock", "bottleneck": "RevBottleneck"}
STRIDES = [1, 1, 2, 2]  # of the stem and of three stages


def import_memcnn():
    """memcnn.models.resnet, without torchvision, which memcnn imports for its data sets."""
    names = ("torchvision", "torchvision.datasets", "torchvision.transforms")
    modules = {name: types.ModuleType(name) for name in names}
    sys.modules |= modules
    for name in names[1:]:
        setattr(modules["torchvision"], name.rpartition(".")[2], modules[name])
    from memcnn.models import resnet

    return resnet


def main():
    """Measures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--block", choices=BLOCKS, required=True)
    parser.add_argument("--units", required=True)
    parser.add_argument("--filters", required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    args = parser.parse_args()
    units, filters = ([int(n) for n in text.split(",")] for text in (args.units, args.filters))
    resnet = import_memcnn()

    import torch

    class Relu(torch.nn.Module):
        # MemCNN frees its units' inputs: the stem's last output, which ReLU's gradient needs.
        def forward(self, x):
            return torch.relu(x).clone()

    torch.manual_seed(0)
    model = resnet.ResNet(
        getattr(resnet, BLOCKS[args.block]),
        units,
        num_classes=10,
        channels_per_layer=filters,
        strides=STRIDES,
        init_max_pool=False,
        init_kernel_size=3,
        batch_norm_fix=False,
    )
    model.relu = Relu()
    model = model.to(memory_format=torch.channels_last)  # the fastest on CPUs
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4)
    images = torch.randn(args.batch_size, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(10, [args.batch_size])

    def timed_step():
        start = time.perf_counter()
        optimizer.zero_grad()
        logits = model(images.clone().requires_grad_())
        loss = torch.nn.functional.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        loss.item()
        return time.perf_counter() - start

    before = size_now()
    first = timed_step()
    median = statistics.median(timed_step() for _ in range(args.steps))
    result = {
        "batch_size": args.batch_size,
        "images_per_second": round(args.batch_size / median, 1),
        "first_step_seconds": round(first, 2),
        "peak_rss_mb": round(peak_over(before), 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": {"torch": torch.__version__},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
