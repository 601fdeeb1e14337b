"""Tables of texts, for people."""

from collections.abc import Container, Sequence


def aligned(rows: Sequence[Sequence[str]], right: Container[int] = ()) -> str:
    """Rows of equally many texts as lines with aligned columns.

    Args:
      rows: lists of texts, the header first.
      right: numbers of the columns that are aligned to the right, from 0.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equally many texts as a Markdown table, the header first."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    header, *others = ["| " + " | ".join(row) + " |" for row in escaped]
    return "\n".join([header, "|" + " --- |" * len(rows[0]), *others])
