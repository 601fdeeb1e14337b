"""Draws the documents' pictures.

    python docs/pictures/draw.py measure    # on a machine with nothing else to do: writes *.csv
    python docs/pictures/draw.py            # draws them, and the reversible unit, beside itself

memory.csv: peak of a training step against depth, stored, checkpointed and reversible.
budget.csv: time and peak of RevNet-110 against its memory budget.
"""

import csv
import json
import pathlib
import subprocess
import sys

from resnet.commands.plot.figure import new_figure, save_figure

HERE = pathlib.Path(__file__).resolve().parent
ROUNDS = {"memory": 1, "budget": 3}  # peaks repeat within a hundredth
UNITS = (3, 9, 18, 36)  # of each of three stages: 38, 110, 218 and 434 layers
WAYS = ("stored", "checkpoint", "reversible")
BUDGETS_MB = (0, 100, 200, 400, 600, 800)
COLOURS = {"stored": "#b04a3f", "checkpoint": "#c79a3a", "reversible": "#2f6f8f"}
BATCH_SIZE = {"memory": 32, "budget": 128}


def benchmark(*flags):
    """The JSON line of `resnet benchmark`, in a process of its own."""
    line = [sys.executable, "-m", "resnet", "benchmark", *map(str, flags)]
    done = subprocess.run(line, check=True, capture_output=True, text=True, timeout=600)
    return json.loads(done.stdout.splitlines()[-1])


def measure():
    """Writes memory.csv and budget.csv: every point in ROUNDS, in turns."""
    memory, budget = [], []
    for round_ in range(ROUNDS["memory"]):
        for units in UNITS:
            for way in WAYS:
                size = BATCH_SIZE["memory"]
                found = benchmark(
                    "--model=revnet-38", f"--units={units},{units},{units}", "--steps=1",
                    f"--batch_size={size}", f"--backprop={way}",
                )  # fmt: skip
                memory.append([4 * 3 * units + 2, way, size, round_, found["peak_rss_mb"]])
                print(*memory[-1], flush=True)
    for round_ in range(ROUNDS["budget"]):
        for mb in BUDGETS_MB:
            size = BATCH_SIZE["budget"]
            found = benchmark(
                "--model=revnet-110", f"--batch_size={size}", "--steps=5",
                *([f"--memory_budget={mb}MB"] if mb else []),
            )  # fmt: skip
            seconds, kept = found["seconds_per_step"], sum(found["units_kept"])
            budget.append([mb, kept, size, round_, seconds, found["peak_rss_mb"]])
            print(*budget[-1], flush=True)
    write("memory", ["layers", "backprop", "batch_size", "round", "peak_mb"], memory)
    header = ["budget_mb", "units_kept", "batch_size", "round", "seconds", "peak_mb"]
    write("budget", header, budget)


def write(name, header, rows):
    """Writes a CSV file beside this one."""
    with (HERE / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def read(name):
    """The rows of a CSV file beside this one, as dicts."""
    with (HERE / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def median(values):
    """Of an odd number of them."""
    return sorted(values)[len(values) // 2]


def points(rows, x, y):
    """[(x, median y, least y, largest y)] of rows, by x."""
    found = {}
    for row in rows:
        found.setdefault(float(row[x]), []).append(float(row[y]))
    return [(key, median(ys), min(ys), max(ys)) for key, ys in sorted(found.items())]


def line(axes, rows, x, y, **style):
    """Medians over rounds as a line, and their range as bars."""
    places, middles, lows, highs = zip(*points(rows, x, y), strict=True)
    below = [m - low for m, low in zip(middles, lows, strict=True)]
    above = [high - m for m, high in zip(middles, highs, strict=True)]
    axes.errorbar(places, middles, [below, above], marker="o", capsize=3, **style)
    return places, middles


def draw_memory():
    """memory.png: peak against depth."""
    rows = read("memory")
    figure = new_figure(6.4, 3.6)
    axes = figure.subplots()
    for way in WAYS:
        some = [row for row in rows if row["backprop"] == way]
        places, middles = line(axes, some, "layers", "peak_mb", color=COLOURS[way])
        axes.annotate(
            f"{way}, {middles[-1]:,.0f} MB", (places[-1], middles[-1]), (-8, 8),
            textcoords="offset points", ha="right", color=COLOURS[way],
        )  # fmt: skip
    axes.set_ylim(0, max(float(row["peak_mb"]) for row in rows) * 1.12)
    size = rows[0]["batch_size"]
    finish(axes, "layers", f"peak memory of a step, MB (batch {size})")
    save_figure(figure, HERE / "memory.png")


def draw_budget():
    """budget.png: time and peak of a step against the memory budget."""
    rows = read("budget")
    figure = new_figure(8.6, 3.2)
    left, right = figure.subplots(1, 2)
    line(left, rows, "budget_mb", "seconds", color=COLOURS["reversible"])
    line(right, rows, "budget_mb", "peak_mb", color=COLOURS["stored"])
    kept = {float(row["budget_mb"]): row["units_kept"] for row in rows}
    for x, y, *_ in points(rows, "budget_mb", "seconds"):
        left.annotate(f"{kept[x]} kept", (x, y), (8, 3), textcoords="offset points")
    left.set_xlim(right=1_000)
    right.set_ylim(0)
    size = rows[0]["batch_size"]
    finish(left, "memory budget, MB", f"seconds a step (batch {size})")
    finish(right, "memory budget, MB", "peak memory of a step, MB")
    save_figure(figure, HERE / "budget.png")


def finish(axes, x, y):
    """Labels, and no frame but the two axes."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


def draw_unit():
    """unit.png: the reversible unit, forward and backward."""
    figure = new_figure(8.6, 2.6)
    forward, backward = figure.subplots(1, 2)
    draw_one_way(forward, "forward", ["x1", "x2"], ["y1", "y2"], "+", ["F", "G"])
    draw_one_way(backward, "backward: what was added is subtracted", ["y1", "y2"], ["x1", "x2"],
                 "\N{MINUS SIGN}", ["G", "F"])  # fmt: skip
    save_figure(figure, HERE / "unit.png")


def draw_one_way(axes, title, inputs, outputs, sign, functions):
    """Two lines with a sum on each; the upper one first in the forward pass, else the lower."""
    is_forward = sign == "+"
    upper, lower, colour = 1.0, 0.0, COLOURS["reversible" if is_forward else "stored"]
    axes.set(xlim=(-0.3, 5.3), ylim=(-0.25, 1.3), title=title)
    axes.axis("off")
    for y, name, end in zip((upper, lower), inputs, outputs, strict=True):
        arrow(axes, (0.15, y), (4.75, y), "black")
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "black"}
        axes.text(0, y, name, ha="center", va="center", bbox=box)
        axes.text(5, y, end, ha="center", va="center", bbox=box)
    sums = (upper, lower) if is_forward else (lower, upper)
    for place, (to, name) in enumerate(zip(sums, functions, strict=True)):
        x, start = 1.6 + 1.8 * place, lower if to == upper else upper
        near = to + (-0.1 if to == upper else 0.1)
        arrow(axes, (x, start), (x, near), colour)
        face = {"boxstyle": "square,pad=0.4", "facecolor": colour, "edgecolor": colour}
        axes.text(x, 0.5, name, ha="center", va="center", color="white", bbox=face)
        ring = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "black"}
        axes.text(x, to, sign, ha="center", va="center", bbox=ring)


def arrow(axes, start, end, colour):
    """From a point to another."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.4})


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        measure()
    draw_memory()
    draw_budget()
    draw_unit()
