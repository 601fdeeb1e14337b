"""What the peers' step files share: their flags, the timed steps, the line they print.

These files are run by a Python that has torch and the peer, not by the one that has
TensorFlow, and as files: what they import lies beside them, or needs the standard library alone.
"""

import argparse
import importlib.metadata
import json
import pathlib
import runpy
import statistics
import sys
import time

PROCESS_MEMORY = pathlib.Path(__file__).parents[2] / "process_memory.py"
MEMORY = runpy.run_path(str(PROCESS_MEMORY))  # resnet.process_memory, whose package is not here


def run(package, build, text, dtypes=("float32",), prepare=lambda images: images):
    """Measures a peer, and prints one JSON line as the benchmark's.

    Args:
      package: name that the peer is installed by.
      build: (flags) -> torch.nn.Module, of images (N, 3, H, W) to logits (N, classes).
      text: the step file's docstring, for its help.
      dtypes: what --dtype takes.
      prepare: (images) -> what the model takes of them.
    """
    flags = _parsed(text, dtypes)
    try:
        import torch

        version = importlib.metadata.version(package)
        torch.manual_seed(0)
        model = build(flags)
    except ImportError as error:
        sys.exit(f"error: {sys.executable} lacks what {package} needs: {error}")
    print(
        json.dumps(
            _measured(flags, model, prepare)
            | {
                "versions": {"torch": torch.__version__, package: version},
            }
        )
    )


def _parsed(text, dtypes):
    def integers(value):
        return tuple(map(int, value.split(",")))

    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--block", choices=("basic", "bottleneck"), required=True)
    parser.add_argument("--dtype", choices=dtypes, default=dtypes[0])
    for name in ("units", "filters", "strides"):
        parser.add_argument(f"--{name}", type=integers, required=True)
    for name in ("image_size", "num_classes", "batch_size", "steps"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser.parse_args()


def _measured(flags, model, prepare):
    """Speed and memory of training steps, a dict."""
    import torch

    layout = {"memory_format": torch.channels_last}  # the fastest on CPUs
    model = model.to(**layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4)
    images = torch.randn(flags.batch_size, 3, flags.image_size, flags.image_size).to(**layout)
    labels = torch.randint(flags.num_classes, [flags.batch_size])

    def timed_step():
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(prepare(images)), labels)
        loss.backward()
        optimizer.step()
        return time.perf_counter() - start, loss.item()

    before = MEMORY["size_now"]()
    first, _ = timed_step()
    seconds, losses = zip(*(timed_step() for _ in range(flags.steps)), strict=True)
    return {
        "batch_size": flags.batch_size,
        "dtype": flags.dtype,
        "images_per_second": round(flags.batch_size / statistics.median(seconds), 1),
        "first_step_seconds": round(first, 2),
        "peak_rss_mb": round(MEMORY["peak_over"](before), 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss": losses[-1],
    }
