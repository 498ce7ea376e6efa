"""Figures of the course: one look, axes with units, spectrograms on one colour scale, a text alternative.

Every function returns a `Picture`: a matplotlib figure with words for those who can not see it. Figures are
made without pyplot, because widget callbacks may run beside a cell that plots (the two would mix).
Importing this module sets the style for the whole process.
"""

from __future__ import annotations

import base64
import html
import io
import textwrap
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


def mel_row(hz: np.ndarray | float) -> np.ndarray:
    """Where a frequency in Hz lies on the y-axis of `spectrograms`, in mel bands."""
    low, high = features.hz_to_mel(np.array([features.F_MIN, features.F_MAX]))
    return (features.hz_to_mel(hz) - low) / (high - low) * (features.N_MELS + 1) - 0.5


def _hz_ticks(ax: Axes) -> None:
    hz = np.array([250, 500, 1000, 2000, 4000])
    ax.set_yticks(mel_row(hz), [str(h) for h in hz])


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
    values = sorted({x for line in ax.lines for x in line.get_xdata()})
    if axes_options.get("xscale") == "log" and len(values) <= 10:  # 8 and 30 say more than powers of ten
        ax.set_xticks(values, [f"{x:g}" for x in values])
        ax.set_xticks([], minor=True)
    if len(lines) > 1:
        ax.legend()
    return picture


def intervals(
    lines: Mapping[str, Sequence[Sequence[float]]], x: Sequence[float], xlabel: str, ylabel: str, alt: str
) -> Picture:
    """Lines over `x` with bars: for each name and x a (mean, low, high); the lines stand a little apart."""
    picture, (ax,) = figure(alt=alt)
    for k, (name, rows) in enumerate(lines.items()):
        middle, low, high = np.array(rows).T
        at = np.asarray(x) * 1.03**k
        ax.errorbar(at, middle, [middle - low, high - middle], marker="o", capsize=3, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return picture


def chain(boxes: Sequence[str], alt: str, highlight: int | Collection[int] | None = None) -> Picture:
    """Boxes with arrows from each to the next; those at the place or places `highlight` have the second colour."""
    places = highlight if isinstance(highlight, Collection) else {highlight}
    picture, (ax,) = figure(alt=alt, size=(12, 1.3))
    for i, text in enumerate(boxes):
        colour = "C1" if i in places else "C0"
        style = {"facecolor": "white", "edgecolor": colour, "boxstyle": "round"}
        ax.text(i, 0, text, ha="center", va="center", fontsize=min(11, 80 / len(boxes)), bbox=style)
        if i:
            ax.annotate("", (i - 0.4, 0), (i - 0.6, 0), arrowprops={"arrowstyle": "->", "color": "0.5"})
    ax.set(xlim=(-0.5, len(boxes) - 0.5), ylim=(-1, 1))
    ax.axis("off")
    return picture


def joined(inputs: Mapping[str, str], path: Sequence[str], alt: str, highlight: int | None = None) -> Picture:
    """Boxes on the left, each with its shape, that all lead into a path of boxes to the right of them.

    Args:
        inputs: shape, or another short remark, by the name of the input.
        path: texts of the boxes that follow.
        alt: text alternative.
        highlight: the place in `path` of the box that has the second colour.
    """
    picture, (ax,) = figure(alt=alt, size=(12, 0.5 * len(inputs) + 0.4))
    middle, arrow = (len(inputs) - 1) / 2, {"arrowstyle": "->", "color": "0.5"}
    style = {"facecolor": "white", "edgecolor": "C0", "boxstyle": "round"}
    for row, (name, shape) in enumerate(inputs.items()):
        ax.text(1.15, row, f"{name}  {shape}", ha="right", va="center", fontsize=9, bbox=style)
        ax.annotate("", (1.58, middle), (1.25, row), arrowprops=arrow)
    for i, text in enumerate(path):
        colour = "C1" if i == highlight else "C0"
        ax.text(
            i + 2, middle, text, ha="center", va="center", fontsize=9, bbox={**style, "edgecolor": colour}
        )
        if i:
            ax.annotate("", (i + 1.6, middle), (i + 1.4, middle), arrowprops=arrow)
    ax.set(xlim=(-0.5, len(path) + 1.5), ylim=(len(inputs) - 0.5, -0.5))
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
    """A matrix (rows, columns) as shades, large values dark; `yticks` names the rows, `options` are of `imshow`."""
    picture, (ax,) = figure(alt=alt, size=(9, 3))
    image = ax.imshow(
        np.asarray(values, dtype=float),
        aspect="auto",
        cmap="Blues",
        interpolation="nearest",
        **{"origin": "upper", **options},
    )
    picture.figure.colorbar(image, ax=ax, fraction=0.02)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.grid(visible=False)
    if yticks is not None:
        ax.set_yticks(range(len(yticks)), list(yticks))
    return picture


def mark(picture: Picture, times: Sequence[float], labels: Sequence[str] = (), **line: Any) -> Picture:
    """Draw vertical lines at `times` into the first axes of a spectrogram, with labels beside them.

    A label that would run into the one before it stands a row lower.
    """
    line, ax = {"color": "white", "linewidth": 0.8, **line}, picture.axes[0]
    for time in times:
        ax.axvline(time, **line)
    left, right = ax.get_xlim()
    letter, ends = (right - left) / 90, []  # the width of one in seconds; where each row's last label ends
    for time, label in zip(times, labels, strict=False):
        row = next((row for row, end in enumerate(ends) if end <= time), len(ends))
        ends[row : row + 1] = [time + letter * (len(label) + 1)]
        ax.text(time, 72 - 8 * row, f" {label}", color=line["color"], fontsize=8)
    return picture


def point_out(
    picture: Picture,
    notes: Mapping[str, tuple[float, float, float, float]],
    axis: int = 0,
    log_mel: bool = False,
    colour: str = "black",
) -> Picture:
    """Arrows with a few words to the parts of a picture that matter; gives the same picture back.

    Args:
        picture: any picture of this module.
        notes: by their words, (x, y) of the part that is meant and (x, y) of the words, in units of the axes.
        axis: which of its axes.
        log_mel: the axes are of `spectrograms`, and every y is in Hz.
        colour: of arrows and words; "white" on a spectrogram.
    """
    ax = picture.axes[axis]
    for words, (x, y, at_x, at_y) in notes.items():
        y, at_y = (float(mel_row(y)), float(mel_row(at_y))) if log_mel else (y, at_y)
        ax.annotate(
            words, (x, y), (at_x, at_y), color=colour, fontsize=8, ha="center", va="center",
            arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.2},
        )  # fmt: skip
    return picture


def graph(places: Mapping[str, tuple[float, float]], arrows: Sequence[tuple[str, str]], alt: str) -> Picture:
    """Boxes at their places, with arrows from one to another: a map of what needs what.

    Args:
        places: (column, row) of each box by its text; a text may have several lines.
        arrows: (from, to), each the first word of a box.
        alt: text alternative.
    """
    columns, rows = zip(*places.values(), strict=True)
    picture, (ax,) = figure(alt=alt, size=(10, 1.2 + 0.9 * (max(rows) - min(rows))))
    by_word = {text.split()[0]: place for text, place in places.items()}
    box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "C0"}
    drawn = {
        text.split()[0]: ax.text(x, y, text, ha="center", va="center", bbox=box).get_bbox_patch()
        for text, (x, y) in places.items()
    }
    for start, end in arrows:
        look = {
            "arrowstyle": "->",
            "color": "0.6",
            "patchA": drawn[start],
            "patchB": drawn[end],
            "shrinkB": 3,
        }
        ax.annotate("", by_word[end], by_word[start], arrowprops=look)
    ax.set(xlim=(min(columns) - 0.5, max(columns) + 0.5), ylim=(min(rows) - 0.4, max(rows) + 0.4))
    ax.axis("off")
    return picture


def latencies(
    spoken: Sequence[tuple[str, float, float]], shown: Sequence[tuple[int, str, float]],
    spans: Mapping[str, tuple[float, float]], alt: str,
) -> Picture:  # fmt: skip
    """When words were said and when they came to stand, with arrows between, and other spans of time above.

    Args:
        spoken: (word, start, end) in seconds.
        shown: (place in `spoken`, word, second from which it stands).
        spans: (start, end) in seconds by their name.
        alt: text alternative.
    """
    picture, (ax,) = figure(size=(9, 3.4), alt=alt)
    for word, start, end in spoken:
        ax.barh(3, end - start, left=start, height=0.5, color="C0", alpha=0.5, edgecolor="white")
        ax.text((start + end) / 2, 3, word, ha="center", va="center", fontsize=8)
    for place, word, stands in shown:
        ax.annotate(
            "", (stands, 1.3), (spoken[place][2], 2.75), arrowprops={"arrowstyle": "->", "color": "C3"}
        )
        ax.text(stands, 1.1, word, ha="center", va="top", fontsize=8)
    for row, (name, (start, end)) in enumerate(spans.items()):
        y = 4.6 - 0.45 * row
        ax.plot([start, end], [y, y], color="black", linewidth=3)
        ax.text(end + 0.02, y, f"{name}: {1000 * (end - start):.0f} ms", va="center", fontsize=8)
    ax.text(spoken[0][2], 1.7, "emission delay", color="C3", fontsize=8, ha="right")
    ax.set(xlabel="time (s)", ylim=(0.4, 5), yticks=[1, 3], yticklabels=["shown", "spoken"])
    return picture


def timeline(
    rows: Mapping[str, Sequence[tuple[float, float, str]]],
    xlabel: str,
    alt: str,
    highlight: Collection[str] = (),
) -> Picture:
    """What happens when: bars from start to end, row by row from the top. A label stands in its bar, or above it.

    Args:
        rows: (start, end, label) by the name of their row.
        xlabel: what is on the time axis, with its unit.
        alt: text alternative.
        highlight: the labels whose bars have the second colour.
    """
    picture, (ax,) = figure(alt=alt)
    every = [bar for bars_ in rows.values() for bar in bars_]
    high = max(end for _, end, _ in every)
    signs = 110 / max(
        1e-9, high - min(start for start, _, _ in every)
    )  # letters of a label in a unit of the axis
    y, places = 0.0, []
    for bars_ in rows.values():
        wide = {start: label for start, end, label in bars_ if len(label) > signs * (end - start)}
        room = dict(zip(wide, [*list(wide)[1:], high], strict=False))  # up to the next one above its bar
        above = {at: textwrap.wrap(wide[at], max(8, int(signs * (room[at] - at)) - 1)) for at in wide}
        y += 0.27 * max(map(len, above.values()), default=0)
        for start, end, label in bars_:
            colour = "C1" if label in highlight else "C0"
            ax.barh(y, end - start, left=start, height=0.7, color=colour, edgecolor="white")
            if start in above:
                late = max(map(len, above[start])) > signs * (high - start)
                at, side = (high, "right") if late else (start, "left")
                ax.text(at, y - 0.4, "\n".join(above[start]), fontsize=8, ha=side, va="bottom")
            else:
                ax.text((start + end) / 2, y, label, color="white", fontsize=8, ha="center", va="center")
        places.append(y)
        y += 1
    picture.figure.set_size_inches(9, 0.5 * y + 0.8)
    ax.set(xlabel=xlabel, ylim=(y - 0.5, -0.5))
    ax.set_yticks(places, list(rows))
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
        ax.yaxis.get_major_locator().set_params(integer=True)
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


def alignments(
    tables: Mapping[str, tuple[np.ndarray, Sequence[int]]], true_ends: Sequence[float], alt: str
) -> Picture:
    """How well each frame fits each phone, with the path that was found and the true one, dotted.

    Args:
        tables: shades (phones, frames) from 0 to 1 and durations (phones,) in frames, by title.
        true_ends: where each phone really ends (phones,), in frames.
        alt: text alternative.
    """
    picture, axes = figure(1, len(tables), alt=alt, size=(12, 3.2), sharey=True)
    for ax, (title, (shades, durations)) in zip(axes, tables.items(), strict=True):
        ax.imshow(shades, aspect="auto", cmap="Blues", vmin=0, vmax=1)
        for ends, look in ((np.cumsum(durations), "C1"), (np.asarray(true_ends), "k:")):
            ax.step(np.r_[0, ends] - 0.5, [*range(len(ends)), len(ends) - 1], look, where="post")
        ax.set(title=title, xlabel="frame", ylabel="phone of the text")
    return picture


def histograms(
    values: Mapping[str, np.ndarray], xlabel: str, ylabel: str, alt: str, edges: Sequence[float]
) -> Picture:
    """How often values fall between `edges`, as outlines; what is larger counts in the last bar."""
    picture, (ax,) = figure(alt=alt)
    for name, some in values.items():
        ax.hist(
            np.clip(some, edges[0], edges[-1] - 1e-6), bins=edges, histtype="step", linewidth=1.5, label=name
        )
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.yaxis.get_major_locator().set_params(integer=True)  # counts
    ax.legend()
    return picture


def scatter(
    groups: Mapping[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    alt: str,
    styles: Mapping[str, str] | None = None,
) -> Picture:
    """Points (n, 2) of each group; `styles` gives matplotlib's short form of colour and marker, as "C0x"."""
    picture, (ax,) = figure(alt=alt, size=(7, 4))
    for name, points in groups.items():
        ax.plot(*np.asarray(points).reshape(-1, 2).T, (styles or {}).get(name, "o"), label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend()
    return picture


def arrows(numbers: Mapping[str, complex], alt: str, wide: str | None = None) -> Picture:
    """Complex numbers as arrows from the origin, one unit as long to the right as up.

    Args:
        numbers: by their name in the legend.
        alt: text alternative.
        wide: the name of the arrow that is drawn wide, so that another on top of it does not hide it.
    """
    picture, (ax,) = figure(alt=alt, size=(8, 3.2))
    for i, (name, z) in enumerate(numbers.items()):
        look = {
            "arrowstyle": "->",
            "color": f"C{i}",
            "lw": 7 if name == wide else 2,
            "shrinkA": 0,
            "shrinkB": 0,
        }
        ax.annotate("", (z.real, z.imag), (0, 0), arrowprops=look)
        ax.plot([0, z.real], [0, z.imag], color=f"C{i}", linewidth=0.1, label=name)
    for line in ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5)).get_lines():
        line.set_linewidth(2)
    ax.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    ax.margins(0.15)
    return picture


def gains(
    masks: Mapping[str, np.ndarray], seconds: float, alt: str, top_khz: float = 4.0, label: str = "gain"
) -> Picture:
    """Gains (frames, bins) from 0 (dark) to 1 (bright) beside each other, over time and frequency.

    Args:
        masks: by title; the bins go from 0 Hz to half the sample rate.
        seconds: duration of what they belong to.
        alt: text alternative.
        top_khz: the highest frequency shown.
        label: what the shades are.
    """
    picture, axes = figure(1, len(masks), alt=alt, size=(4.5 * len(masks), 2.8), sharey=True)
    extent = (0, seconds, 0, features.SAMPLE_RATE / 2000)
    for ax, (title, mask) in zip(axes, masks.items(), strict=True):
        image = ax.imshow(
            np.asarray(mask).T, origin="lower", aspect="auto", extent=extent, vmin=0, vmax=1, cmap="magma"
        )
        ax.set(title=title, xlabel="time (s)", ylim=(0, top_khz))
    axes[0].set_ylabel("frequency (kHz)")
    picture.figure.colorbar(image, ax=axes, label=label, pad=0.01)
    return picture
