"""Figures of the course: one look, axes with units, spectrograms on one colour scale, a text alternative.

Every function returns a `Picture`: a matplotlib figure with words for those who can not see it. Figures are
made without pyplot, because widget callbacks may run beside a cell that plots (the two would mix).
Importing this module sets the style for the whole process.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils import audio, features

matplotlib.style.use(Path(__file__).with_name("course.mplstyle"))


class Picture:
    """A figure with its text alternative, shown by the notebook as one PNG.

    Attributes:
        figure: the matplotlib figure, to be changed or saved.
        alt: what a person sees in it, in one sentence.
    """

    def __init__(self, figure: Figure, alt: str):
        self.figure, self.alt = figure, alt

    @property
    def axes(self) -> list[Axes]:
        """Its axes, as a list."""
        return self.figure.axes

    def png(self) -> bytes:
        """The picture as PNG; the same figure gives the same bytes."""
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png()).decode("ascii")
        return (
            f'<img style="max-width:100%" alt="{html.escape(self.alt)}" src="data:image/png;base64,{data}">'
        )

    def __repr__(self) -> str:
        return f"<Picture: {self.alt}>"


def figure(
    rows: int = 1,
    columns: int = 1,
    *,
    alt: str,
    size: tuple[float, float] | None = None,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Picture, list[Axes]]:
    """An empty picture in the style of the course, for drawings that have no function of their own.

    Args:
        rows: how many axes below each other.
        columns: how many beside each other.
        alt: what a person will see in it.
        size: width and height in inches; None: 9 by 2.6 a row.
        sharex: one x-axis for all.
        sharey: one y-axis for all.

    Returns:
        the picture and its axes, row by row in one list.
    """
    fig = Figure(figsize=size or (9, 2.6 * rows + 0.2))
    axes = fig.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    return Picture(fig, alt), list(axes.flat)


def _each(values: np.ndarray | Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(values) if isinstance(values, Mapping) else {"": values}


def waveforms(clips: np.ndarray | Mapping[str, np.ndarray], alt: str | None = None) -> Picture:
    """Waveforms below each other, on one time axis and one amplitude axis.

    Args:
        clips: one waveform (time,), or several by name.
        alt: text alternative; None: a plain one from the names and levels.
    """
    clips = {name: audio.check(clip, name or "waveform") for name, clip in _each(clips).items()}
    alt = alt or "Waveform of " + ", ".join(
        f"{name or 'the sound'} ({len(clip) / audio.SAMPLE_RATE:.1f} s, {audio.level_db(clip):.0f} dBFS)"
        for name, clip in clips.items()
    )
    picture, axes = figure(len(clips), alt=alt, size=(9, 1.4 * len(clips) + 0.5), sharex=True, sharey=True)
    for ax, (name, clip) in zip(axes, clips.items(), strict=True):
        ax.plot(np.arange(len(clip)) / audio.SAMPLE_RATE, clip, linewidth=0.5)
        ax.set(title=name, ylabel="amplitude")
    axes[-1].set_xlabel("time (s)")
    return picture


def spectrograms(
    values: np.ndarray | Mapping[str, np.ndarray],
    alt: str | None = None,
    dynamic_range_db: float = 80.0,
    phones: Sequence[tuple[str, float, float]] | None = None,
) -> Picture:
    """Log-mel spectrograms below each other on one colour scale.

    Args:
        values: waveform (time,) or log-mel (frames, 80), or several of them by name.
        alt: text alternative; None: a plain one.
        dynamic_range_db: how far below the loudest point of all the darkest colour lies.
        phones: (label, start, end) in seconds, written above the first one.
    """
    mels = {
        name: value if value.ndim == 2 else features.log_mel(audio.check(value))
        for name, value in ((n, np.asarray(v)) for n, v in _each(values).items())
    }
    top = max(float(mel.max()) for mel in mels.values())
    alt = alt or "Log-mel spectrogram of " + ", ".join(name or "the sound" for name in mels)
    picture, axes = figure(len(mels), alt=alt, size=(9, 2.2 * len(mels) + 0.4), sharex=True)
    seconds = features.HOP_LENGTH / features.SAMPLE_RATE
    for ax, (name, mel) in zip(axes, mels.items(), strict=True):
        image = ax.imshow(
            20 * (mel.T - top),
            vmin=-dynamic_range_db,
            vmax=0,
            extent=(-seconds / 2, (len(mel) - 0.5) * seconds, 0, features.N_MELS),
            origin="lower",
            aspect="auto",
            cmap="magma",
        )
        _hz_ticks(ax)
        ax.set(title=name, ylabel="frequency (Hz)")
    for label, start, end in phones or ():
        axes[0].axvline(start, color="white", linewidth=0.5, alpha=0.6)
        axes[0].text(
            (start + end) / 2, features.N_MELS - 2, label, color="white", fontsize=7, ha="center", va="top"
        )
    axes[-1].set_xlabel("time (s)")
    picture.figure.colorbar(image, ax=axes, label="dB below the loudest", pad=0.01)
    return picture


def _hz_ticks(ax: Axes) -> None:
    hz = np.array([250, 500, 1000, 2000, 4000])
    low, high = features.hz_to_mel(np.array([features.F_MIN, features.F_MAX]))
    ax.set_yticks(
        (features.hz_to_mel(hz) - low) / (high - low) * (features.N_MELS + 1) - 0.5, [str(h) for h in hz]
    )


def curves(
    lines: Mapping[str, Sequence[float] | tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    alt: str,
    **axes_options,
) -> Picture:
    """Lines in one pair of axes, each y or (x, y); the y value at the end of each is in its label."""
    picture, (ax,) = figure(alt=alt)
    for name, line in lines.items():
        x, y = line if isinstance(line, tuple) else (range(len(line)), line)
        ax.plot(x, y, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, **axes_options)
    if len(lines) > 1:
        ax.legend()
    return picture


def chain(boxes: Sequence[str], alt: str, highlight: int | None = None) -> Picture:
    """Boxes with arrows from each to the next; the one at the place `highlight` has the second colour."""
    picture, (ax,) = figure(alt=alt, size=(12, 1.3))
    for i, text in enumerate(boxes):
        colour = "C1" if i == highlight else "C0"
        style = {"facecolor": "white", "edgecolor": colour, "boxstyle": "round"}
        ax.text(i, 0, text, ha="center", va="center", fontsize=8, bbox=style)
        if i:
            ax.annotate("", (i - 0.4, 0), (i - 0.6, 0), arrowprops={"arrowstyle": "->", "color": "0.5"})
    ax.set(xlim=(-0.5, len(boxes) - 0.5), ylim=(-1, 1))
    ax.axis("off")
    return picture


def heatmap(
    values: np.ndarray,
    xlabel: str,
    ylabel: str,
    alt: str,
    yticks: Sequence[str] | None = None,
    **options: Any,
) -> Picture:
    """A matrix (rows, columns) as shades, large values dark; `yticks` names the rows."""
    picture, (ax,) = figure(alt=alt, size=(9, 3))
    image = ax.imshow(
        np.asarray(values, dtype=float),
        aspect="auto",
        cmap="Blues",
        interpolation="nearest",
        origin="upper",
        **options,
    )
    picture.figure.colorbar(image, ax=ax, fraction=0.02)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=False)
    if yticks is not None:
        ax.set_yticks(range(len(yticks)), list(yticks))
    return picture


def timeline(
    rows: Mapping[str, Sequence[tuple[float, float, str]]],
    xlabel: str,
    alt: str,
    highlight: Collection[str] = (),
) -> Picture:
    """What happens when: bars from start to end with a label inside, row by row from the top.

    Args:
        rows: (start, end, label) by the name of their row.
        xlabel: what is on the time axis, with its unit.
        alt: text alternative.
        highlight: the labels whose bars have the second colour.
    """
    picture, (ax,) = figure(alt=alt, size=(9, 0.5 * len(rows) + 0.8))
    for row, bars_ in enumerate(rows.values()):
        for start, end, label in bars_:
            colour = "C1" if label in highlight else "C0"
            ax.barh(row, end - start, left=start, height=0.7, color=colour, edgecolor="white")
            ax.text((start + end) / 2, row, label, color="white", fontsize=7, ha="center", va="center")
    ax.set_yticks(range(len(rows)), list(rows))
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    return picture


def hypotheses(runs: Mapping[str, Sequence[Sequence[str]]], xlabel: str, alt: str) -> Picture:
    """What recognisers wrote, one after the other: each column a hypothesis, each dot a word of it.

    Crosses are words that the next hypothesis changes, or that stand behind such a word: flicker.

    Args:
        runs: the hypotheses, each a list of words, by the name of the recogniser.
        xlabel: what the hypotheses are, for example how often one comes.
        alt: text alternative.
    """
    picture, axes = figure(len(runs), alt=alt, size=(9, 2.2 * len(runs) + 0.2), sharex=True)
    for ax, (name, rows) in zip(axes, runs.items(), strict=True):
        for x, words in enumerate(rows, 1):
            after = rows[min(x, len(rows) - 1)]
            same = [one == other for one, other in zip(words, after, strict=False)]
            kept = [*same, False].index(False)
            ax.scatter([x] * kept, range(1, kept + 1), color="C0", s=12)
            ax.scatter([x] * (len(words) - kept), range(kept + 1, len(words) + 1), color="C1", marker="x")
        ax.set(title=f"{name}: crosses change with the next hypothesis", ylabel="number of the word")
    axes[-1].set_xlabel(xlabel)
    return picture


def bars(
    values: Mapping[str, float | tuple[float, float, float]],
    xlabel: str,
    alt: str,
    highlight: str | None = None,
) -> Picture:
    """Horizontal bars, best read from the top; (mean, low, high) draws an interval too.

    Args:
        values: number or (mean, low, high) by name.
        xlabel: what is measured, with its unit.
        alt: text alternative.
        highlight: the name whose bar has the second colour.
    """
    picture, (ax,) = figure(alt=alt, size=(9, 0.35 * len(values) + 0.8))
    for row, (name, value) in enumerate(values.items()):
        mean, low, high = value if isinstance(value, tuple) else (value, value, value)
        ax.barh(row, mean, color="C1" if name == highlight else "C0")
        if high > low:
            ax.plot([low, high], [row, row], color="black", linewidth=1.2)
        ax.annotate(f" {mean:.3g}", (max(mean, high, 0), row), va="center", fontsize=9)
    ax.set_yticks(range(len(values)), list(values))
    ax.invert_yaxis()
    ax.set_xlabel(xlabel)
    ax.margins(x=0.12)
    return picture
