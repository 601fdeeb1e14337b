"""The model card of trained weights: a Markdown page made of their facts."""

import datetime
from typing import Any

from resnet.plurals import counted
from resnet.provenance import images_per_second, peak_memory
from resnet.table import markdown

EVALUATE = ", as `resnet evaluate --model {model} --weights {place} --test_time_flip` prints it"
OWN_IMAGES = "folder"  # the name of that data set
WHOLE_CONFUSION = 20  # classes up to which the whole matrix stands on the card
MOST_CONFUSED = 10  # pairs that stand there otherwise

USE = """\
```python
import resnet

model = resnet.get_model("{model}", weights="{place}")
logits = model(model.prepare(images))  # images: (N, {size}, {size}, 3), 0 to 255
names = [model.label_names[i] for i in logits.numpy().argmax(axis=1)]
```

Or `resnet predict IMAGE --model {model} --weights {place}`; to start a training from them,
`--model {model} --init_from pretrained:{model}:{place}`."""

SHIPPED = "The weights are under the project's licence, MIT"
OWN = "The weights have the licence that whoever trained them gives them"
FROM = "From the folder that this one lies in:"  # for others than shipped ones
LIMITS = """\
{licence}; the images of {images} are not part of them and
have terms of their own. The network knows the {classes} classes of {images}, in images of
{size}x{size} pixels, and names one of them for any image whatever. Its probabilities are not
calibrated. What is wrong or one-sided in the data set, its labels and its choice of images, is in
the network too. It is made for research and teaching, not for decisions about people."""


def card(facts: dict[str, Any], place: str | None = None) -> str:
    """README.md of a set of weights.

    Args:
      facts: the content of its facts.json.
      place: what names the weights; default: their data set, as of those in the package.
    """
    size = facts["config"]["image_size"]
    names = {"model": facts["model"], "dataset": facts["dataset"], "size": size}
    names["place"] = place or facts["dataset"]
    # Of own images, the data set's name says nothing.
    is_own = facts["dataset"] == OWN_IMAGES
    names["images"] = "its training" if is_own else facts["dataset"]
    names["licence"] = OWN if place else SHIPPED
    parts = [
        f"# {facts['model']} for {'own images' if is_own else facts['dataset']}",
        f"{facts['config']['family']}, {facts['network']}: {facts['parameters']:,} parameters, "
        f"{facts['multiply_adds'] / 1e6:.1f} M multiply-adds an image. Trained with the recipe "
        f"`{facts['config']['recipe']}`. {facts['bytes'] / 1e6:.2f} MB; kernels are stored as "
        f"{facts['stored_as']}.",
        "## Use",
        *([FROM] if place else []),
        USE.format(**names),
        "## Accuracy",
        f"Per cent of the {facts['accuracy']['num_images']:,} test images, with this file, in "
        f"float32{'' if is_own else EVALUATE.format(**names)}:",
        _accuracy(facts["accuracy"], len(facts["label_names"])),
        "## Training",
        _training(facts),
        "## What it takes for what",
        _confusion(facts),
        "## Licence and limits",
        LIMITS.format(**names, classes=len(facts["label_names"])),
    ]
    return "\n\n".join(parts) + "\n"


def _accuracy(accuracy: dict[str, Any], classes: int) -> str:
    tops = (1, 5) if classes > 5 else (1,)

    def row(name: str, prefix: str) -> tuple[str, ...]:
        return (name, *(f"{accuracy[f'{prefix}top{n}']:.2f}" for n in tops))

    return markdown(
        [
            ("evaluation", *(f"top-{n}" for n in tops)),
            row("plain", ""),
            row("mean of image and mirror image", "flipped_"),
        ]
    )


def _training(facts: dict[str, Any]) -> str:
    config, run = facts["config"], facts["run"]
    images, trained = (
        facts.get(name, facts["step"]) * config["batch_size"] for name in ("step", "last_step")
    )
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    stream = ", exact residual stream" if run["exact"] else ""
    rows = [
        ("what", "value"),
        ("images", f"{facts['step']:,} steps of {config['batch_size']}: {images:,}"),
        ("arithmetic", f"{run['dtype']}{stream}, backprop {run['backprop']}"),
        ("started from", f"`{run['init_from']}`" if run.get("init_from") else "random weights"),
        ("seed", str(config["seed"])),
    ]
    if facts["training_seconds"]:  # of an imported network, nobody knows
        rows.append(("time", _time(facts["training_seconds"], trained)))
    if "chosen" in facts:
        rows.insert(2, ("chosen", f"{facts['chosen']}, of {facts['last_step']:,} steps"))
    if facts.get("peak_mb"):
        rows.append(("peak memory", peak_memory(facts["peak_mb"])))
    rows += [
        ("machine", facts["machine"]),
        ("versions", versions),
        ("commit", facts["commit"] or "of a released package"),
        ("settings", "[facts.json](facts.json)"),
    ]
    restarts = len(facts["commands"]) - 1
    stops = "" if restarts < 1 else f", stopped and continued {counted(restarts, 'time')}"
    remark = f"\n\n{facts['note']}" if facts.get("note") else ""
    command = f"By this command{stops}:\n\n```bash\n{facts['commands'][0]}\n```"
    return f"{markdown(rows)}\n\n{command}{remark}"


def _time(seconds: float, images: int) -> str:
    time = datetime.timedelta(seconds=round(seconds))
    return f"{time}, {images_per_second(images, seconds)} images/s, evaluations apart"


def _confusion(facts: dict[str, Any]) -> str:
    names = facts["label_names"]
    counts = [[int(count) for count in row.split()] for row in facts["confusion"]]
    if len(names) <= WHOLE_CONFUSION:
        rows = [(name, *map(str, row)) for name, row in zip(names, counts, strict=True)]
        text = "Test images of each row's class that were taken for each column's:"
        return f"{text}\n\n{markdown([('', *names), *rows])}"
    wrong = [
        (count, true, taken)
        for true, row in enumerate(counts)
        for taken, count in enumerate(row)
        if taken != true
    ]
    worst = sorted(wrong, key=lambda one: -one[0])[:MOST_CONFUSED]
    rows = [(names[t], names[o], str(n), str(sum(counts[t]))) for n, t, o in worst]
    header = ("class", "taken for", "images", "of")
    return f"The most frequent mistakes on the test images:\n\n{markdown([header, *rows])}"
