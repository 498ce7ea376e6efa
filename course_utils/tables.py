"""Tables and figures with their spread, as Markdown: text in a file, a drawn table in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


class MarkdownTable(str):
    """A table in Markdown: text in a file, a drawn table in a notebook."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return str(self)


def table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, digits: int = 2
) -> MarkdownTable:
    """Rows as a Markdown table, with columns of figures to the right.

    Args:
        rows: one mapping each; a "note" (why there are no figures) is shown in a last column.
        columns: which and in what order; None takes all in order of first appearance, without "note".
        digits: decimals of figures that are not integers.
    """
    if columns is None:
        columns = [key for key in dict.fromkeys(key for row in rows for key in row) if key != "note"]
    if not columns:
        raise ValueError("a table needs at least one row with one column")

    def is_figure(value: Any) -> bool:
        return isinstance(value, int | float | np.number)

    def cell(value: Any) -> str:
        if is_figure(value) and not isinstance(value, int | np.integer):
            value = f"{value:.{digits}f}"
        return str(value).replace("|", "\\|").replace("\n", " ")

    # A peer that is not there has no figures; its note stands in a column of its own, at the end.
    with_notes = any("note" in row for row in rows)
    lines = [[*columns, *(["note"] if with_notes else [])]]
    lines += [[cell(row.get(key, "–")) for key in lines[0][: len(columns)]] for row in rows]
    if with_notes:
        for line, row in zip(lines[1:], rows, strict=True):
            line.append(cell(row.get("note", "")))
    numeric = [any(is_figure(row.get(key)) for row in rows) for key in columns]
    rule = ["---:" if right else "---" for right in numeric] + (["---"] if with_notes else [])
    return MarkdownTable("\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]]))


def noted(table: MarkdownTable) -> MarkdownTable:
    """A table whose column of notes, if it has one, stands below it: for a notebook, which is narrower than a file."""
    rows = [line[2:-2].split(" | ") for line in table.split("\n")]
    if rows[0][-1] != "note":
        return table
    figures = "\n".join(f"| {' | '.join(row[:-1])} |" for row in rows)
    notes = [(row[0], row[-1]) for row in rows[2:] if row[-1]]
    below = [note if note.startswith(name) else f"*{name}*: {note}" for name, note in notes]
    return MarkdownTable("\n\n".join([figures, *below]))


def with_interval(figures: Sequence[float | None], digits: int = 2) -> str:
    """Mean, low and high as text: "1.94 (1.82 to 2.06)"; what was not measured is "nan"."""
    mean, low, high = (float("nan") if figure is None else figure for figure in figures)
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def spread(mean: float, deviation: float, digits: int = 3) -> str:
    """A mean with its standard deviation as text; one seed has none."""
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation == deviation else "")
