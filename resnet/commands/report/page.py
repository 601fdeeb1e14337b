"""The page of `resnet report`: HTML, with its pictures in it."""

import base64
import datetime
import html
import io

from resnet.commands.cifar_train import data_folder_of
from resnet.commands.plot.curves import draw_curves, logs_of
from resnet.commands.plot.trained import draw_trained
from resnet.data.registry import CIFAR
from resnet.errors import DataError, UserError
from resnet.provenance import images_per_second, peak_memory
from resnet.training.logs import COMMANDS
from resnet.training.result import read_result
from resnet.weights.folder import RESULT

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 80rem;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .8rem .25rem 0; text-align: left;
         vertical-align: top; }
thead th { border-bottom: 2px solid #888; }
td { font-variant-numeric: tabular-nums; }
.other td { background: #fff6dd; }
img { max-width: 100%; height: auto; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
.pictures figure { flex: 1 1 30rem; margin: 0; }
code, pre { font: 13px/1.4 ui-monospace, monospace; }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto; }
"""


def predictions(experiment, flags):
    """({name: Figure} of what a network makes of the test images, why there is none)."""
    if experiment.options.dataset not in CIFAR:
        return {}, f"{experiment.options.dataset} has no test set"
    try:
        return draw_trained(experiment, data_folder_of(flags, experiment), flags.best), ""
    except UserError as error:
        return {}, str(error)


def page(experiments, pictures):
    """The page's text.

    Args:
      experiments: [Experiment].
      pictures: {id: {name: Figure}}.
    """
    ids = [experiment.id for experiment in experiments]
    with_logs = logs_of(experiments)
    parts = [f"<h1>{html.escape(', '.join(ids))}</h1>"]
    if with_logs:
        parts += ["<h2>Curves</h2>", _picture(draw_curves(with_logs), "curves")]
    parts += ["<h2>What was reached</h2>", _table(ids, _facts(experiments))]
    for experiment_id in ids:
        if pictures[experiment_id]:
            figures = [
                f"<figure>{_picture(figure, f'{experiment_id}, {name}')}</figure>"
                for name, figure in pictures[experiment_id].items()
            ]
            parts.append(f"<h2>Predictions of {html.escape(experiment_id)}</h2>")
            parts.append(f'<div class="pictures">{"".join(figures)}</div>')
    parts += ["<h2>Settings</h2>", _table(ids, _settings(experiments)), "<h2>Commands</h2>"]
    parts += [_commands(experiment) for experiment in experiments]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(', '.join(ids))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _picture(figure, description):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(description)}" src="data:image/png;base64,{data}">'


def _table(ids, rows):
    """A table of {what: [text of each experiment]}; rows that differ are marked."""
    head = "".join(f"<th>{html.escape(one)}</th>" for one in ids)
    lines = []
    for name, texts in rows.items():
        kind = ' class="other"' if len(set(texts)) > 1 else ""
        cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
        lines.append(f"<tr{kind}><th>{html.escape(name)}</th>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _facts(experiments):
    """{what: [text]} of what is known of how trainings went."""
    columns = [_facts_of(experiment) for experiment in experiments]
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name, "") for column in columns] for name in names}


def _facts_of(experiment):
    try:
        result = read_result(experiment.results / RESULT)
        images = result["step"] * experiment.config.batch_size
        seconds = result["training_seconds"]
        found = {
            f"{split} {name.replace('_', ' ').replace('top', 'top-')}": f"{value:.2f} %"
            + (f" of {accuracy['num_images']:,} images" if "num_images" in accuracy else "")
            for split, accuracy in result["accuracy"].items()
            for name, value in accuracy.items()
            if name != "num_images"
        }
        found |= {
            "parameters": f"{result['parameters']:,}",
            "images": f"{images:,} in {result['step']:,} steps",
            "time": f"{datetime.timedelta(seconds=round(seconds))}",
            "images/s": images_per_second(images, seconds),
        }
        if result.get("peak_mb"):
            found["peak memory"] = peak_memory(result["peak_mb"])
        versions = result.get("versions", {})
        found |= {
            "machine": result.get("machine", ""),
            "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
            "commit": result.get("commit") or "",
        }
    except FileNotFoundError:
        return {"state": "not finished"}
    except (DataError, KeyError, ZeroDivisionError):
        return {"state": f"{RESULT} is damaged"}
    return found


def _settings(experiments):
    """{setting: [text]}, those that differ first."""
    columns = [vars(e.config) | vars(e.options) for e in experiments]
    rows = {name: [_text(column[name]) for column in columns] for name in columns[0]}
    return dict(sorted(rows.items(), key=lambda row: len(set(row[1])) == 1))


def _text(value):
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _commands(experiment):
    path = experiment.logs / COMMANDS
    lines = path.read_text(encoding="utf-8", errors="replace") if path.exists() else "not on record"
    return f"<p>{html.escape(experiment.id)}</p><pre>{html.escape(lines)}</pre>"
