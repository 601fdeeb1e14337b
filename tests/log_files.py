"""CSV logs as a training writes them."""


def write_logs(folder, steps, **logs):
    """CSV files as a training writes them: a value for each of the steps."""
    folder.mkdir()
    for name, values in logs.items():
        pairs = zip(steps, values, strict=True)
        rows = [f"{step},2026-11-21T00:00:00,{value}" for step, value in pairs]
        (folder / f"{name}.csv").write_text("\n".join(["step,time,x", *rows]) + "\n")
    return folder
