"""Pictures of notebook 02: a score with its faults marked, small tables of numbers, the cut of nucleus sampling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from course_utils import music, plotting

COLOURS = ("C0", "C1", "C2", "black")


def score(
    grid: np.ndarray, alt: str, marks: Mapping[str, Sequence[tuple[int, int]]] | None = None
) -> plotting.Picture:
    """Four voices over time, the name of each note in it, and lines between notes that are meant.

    Voices that share a pitch share its height: the upper one above, the lower one below.

    Args:
        grid: (steps, 4) MIDI numbers, 0 = rest.
        alt: text alternative.
        marks: by their words, places (step, voice); they are joined by a line in the order given.

    Raises:
        MusicError: not a grid.
    """
    grid = music.check_grid(grid)
    picture, (ax,) = plotting.figure(alt=alt, size=(10, 3.4))
    for note in music.notes(grid):
        same = grid[note.start : note.start + note.length] == note.pitch
        above, below = (part.any() for part in (same[:, : note.voice], same[:, note.voice + 1 :]))
        height = 0.45 if above or below else 0.9
        y = note.pitch + 0.225 * (int(below) - int(above))
        ax.barh(y, note.length - 0.1, left=note.start, height=height, color=COLOURS[note.voice], alpha=0.75)
        shared = below or above  # a bar too low for its name, which stands beside it
        name_y, ink = (y + (0.75 if below else -0.8), COLOURS[note.voice]) if shared else (y, "white")
        ax.text(note.start + 0.2, name_y, music.pitch_name(note.pitch), va="center", fontsize=8, color=ink)
    for name, colour in zip(music.VOICES, COLOURS, strict=True):
        ax.barh(0, 0, color=colour, alpha=0.75, label=name)
    sounding = grid[grid > 0]
    ax.set_ylim(min(sounding, default=60) - 1.5, max(sounding, default=60) + 1.5)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    for words, places in (marks or {}).items():
        x, y = zip(*((step + 0.8, grid[step, voice]) for step, voice in places), strict=True)
        ax.plot(x, y, color="C3", marker="o", markersize=4, linewidth=1.6)
        ax.annotate(
            words, (x[-1], np.mean(y)), (8, 0), textcoords="offset points", color="C3", fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "C3", "boxstyle": "round,pad=0.2"}, va="center",
        )  # fmt: skip
    ax.set(xlabel="step (a 16th)", ylabel="MIDI pitch", xlim=(0, len(grid)))
    ax.set_xticks(range(0, len(grid) + 1, music.STEPS_PER_BEAT))
    return picture


def boards(
    tables: Mapping[str, np.ndarray],
    alt: str,
    groups: Mapping[str, np.ndarray] | None = None,
    labels: tuple[Sequence[str], Sequence[str]] | None = None,
    axes_names: tuple[str, str] = ("", ""),
) -> plotting.Picture:
    """Small tables of numbers beside each other; cells of one group have one colour.

    Args:
        tables: (rows, columns) by title; what is not finite is shown as a dash.
        alt: text alternative.
        groups: of a table, whole numbers of the same shape; cells below 0 stay grey. Without it, large is dark.
        labels: names of the rows and of the columns.
        axes_names: what a row is and what a column is; both are then numbered from 0.
    """
    picture, axes = plotting.figure(1, len(tables), alt=alt, size=(min(11, 3.4 * len(tables)), 2.6))
    for ax, (title, values) in zip(axes, tables.items(), strict=True):
        values = np.asarray(values, float)
        known = np.isfinite(values)
        shades = np.where(known, values, 0.0)
        if groups and title in groups:
            group = np.asarray(groups[title])
            ax.imshow(
                np.where(group < 0, np.nan, group % 8),
                cmap="Pastel1",
                vmin=0,
                vmax=8,
                aspect="auto",
                origin="upper",
            )
        else:
            ax.imshow(
                shades,
                cmap="Blues",
                vmin=0,
                vmax=1.6 * max(shades.max(), 1e-9),
                aspect="auto",
                origin="upper",
            )
        for (row, column), value in np.ndenumerate(values):
            text = f"{value:.3g}" if known[row, column] else "–"
            ax.text(column, row, text, ha="center", va="center", fontsize=9)
        ax.set_title(title, fontsize=10)
        ax.grid(visible=False)
        names_of = labels or [
            range(count) if name else () for name, count in zip(axes_names, values.shape, strict=True)
        ]
        ax.set(ylabel=axes_names[0], xlabel=axes_names[1])
        for axis, names, count in zip((ax.yaxis, ax.xaxis), names_of, values.shape, strict=True):
            axis.set_ticks(range(count) if names else [], list(names) if names else [])
    return picture


def skewing(table: np.ndarray) -> plotting.Picture:
    """A table (T, T) by (query, distance T - 1 to 0) on its way to (query, key), each row in a colour of its own."""
    table = np.asarray(table, float)
    steps = len(table)
    padded = np.pad(table, ((0, 0), (1, 0)))
    colour = np.repeat(np.arange(steps)[:, None], steps + 1, 1)
    future = np.triu(np.ones((steps, steps), bool), 1)
    reread, colours = padded.reshape(steps + 1, steps), colour.reshape(steps + 1, steps)
    shown = {
        "padded": (padded, colour),
        f"read in rows of {steps}": (reread, colours),
        "first row dropped, future cut off": (
            np.where(future, np.nan, reread[1:]),
            np.where(future, -1, colours[1:]),
        ),
    }
    return boards(
        {title: values for title, (values, _) in shown.items()},
        f"A padded table, the same numbers in rows of {steps}, and the result: row i has moved left by {steps - 1} - i",
        groups={title: group for title, (_, group) in shown.items()},
    )


def cut(
    probabilities: np.ndarray, top_p: float, alt: str, names: Sequence[str] | None = None
) -> plotting.Picture:
    """Probabilities (tokens,) from likely to unlikely, their running sum, and the last one that nucleus sampling keeps.

    Raises:
        ValueError: the probabilities do not add up to one, or `top_p` is not above 0 and at most 1.
    """
    probabilities = np.asarray(probabilities, float)
    if probabilities.ndim != 1 or abs(probabilities.sum() - 1) > 1e-3 or not 0 < top_p <= 1:
        raise ValueError(
            f"expected probabilities (tokens,) that add up to 1 and top_p above 0 up to 1, got shape "
            f"{probabilities.shape}, sum {probabilities.sum():.3g}, top_p {top_p}"
        )
    order = np.argsort(-probabilities, kind="stable")
    total = probabilities[order].cumsum()
    kept = total - probabilities[order] < top_p
    picture, (ax,) = plotting.figure(alt=alt, size=(9, 3))
    place = np.arange(len(order))
    ax.bar(
        place, probabilities[order], color=np.where(kept, "C0", "0.8"), label="probability (grey: cut off)"
    )
    ax.step(place, total, "C1", where="mid", label="running sum")
    ax.axhline(top_p, color="C3", linestyle=":", label=f"top-p = {top_p:g}")
    ax.axvline(kept.sum() - 0.5, color="C3")
    ax.annotate("the cut", (kept.sum() - 0.4, 0.5), color="C3", fontsize=9)
    ax.set_xticks(place, [str(n) for n in np.asarray(names)[order]] if names is not None else place + 1)
    ax.set(xlabel="notes, the likeliest first", ylabel="probability", ylim=(0, 1.05))
    ax.legend(loc="center right")
    return picture


def influences(
    tables: Mapping[str, np.ndarray], xlabel: str, ylabel: str, alt: str, piece: int | None = None
) -> plotting.Picture:
    """Which outputs (rows) move with which inputs (columns), dark where they do, one square for each title.

    `piece` is the length of a piece where several stand in a row; a line marks where one ends.
    """
    picture, axes = plotting.figure(1, len(tables), alt=alt, size=(3.6 * len(tables), 3.3))
    for ax, (title, moved) in zip(axes, tables.items(), strict=True):
        ax.imshow(np.asarray(moved, float), origin="upper", cmap="Blues", vmin=0, vmax=1)
        ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
        ax.grid(visible=False)
        borders = range(0, len(moved) + 1, piece) if piece else ()
        for border in borders[1:-1]:
            ax.axhline(border - 0.5, color="C3", linewidth=1)
            ax.axvline(border - 0.5, color="C3", linewidth=1)
        if piece:
            ax.set_xticks(borders[:-1])
            ax.set_yticks(borders[:-1])
    return picture


def reliability(
    given: np.ndarray, came: np.ndarray, alt: str, edges: Sequence[float]
) -> tuple[plotting.Picture, np.ndarray]:
    """How often guesses came true against the probability that they got; dotted is what a calibrated model does.

    Args:
        given: probabilities (guesses,).
        came: whether each came true (guesses,).
        alt: text alternative.
        edges: limits of the bins; an empty bin is left out.

    Returns:
        the picture, and (bins, 2): mean probability and share that came true.
    """
    place = np.digitize(given, edges)
    bins = [place == i for i in range(1, len(edges)) if (place == i).any()]
    points = np.array([(given[b].mean(), came[b].mean()) for b in bins])
    picture, (ax,) = plotting.figure(alt=alt, size=(5, 3.6))
    ax.plot([edges[0], 1], [edges[0], 1], "k:", label="as sure as it is right")
    ax.plot(*points.T, "C0o-", label="the model")
    ax.set(xlabel="probability given to the likeliest note", ylabel="share that came true")
    ax.legend()
    return picture, points
