"""Voices as points of a picture: similar ones are near each other, and between them lie their mixtures."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from ..fallback import HtmlFallback

FOLDER = Path(__file__).parent
COLOURS = {"f": "#D55E00", "m": "#0072B2"}  # as in the figures: readable with every colour vision
SEXES = {"f": "female", "m": "male"}
OTHER = "#6b747e"
WIDTH, HEIGHT = 1.12, 0.92
"""Half the size of the picture; the points lie within 1 and 0.75."""
MOST = 4
"""Voices that are mixed at most."""
LEAST_SHARE = 0.08
SNAP = 0.04
"""A click so near to a point means this voice alone."""


def voice_map(voices: np.ndarray, marked: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """The picture of voices (speakers, voice) that shows most of their differences: principal components.

    Args:
        voices: they alone say what the two directions are.
        marked: others (marks, voice) that are drawn with them.

    Returns:
        points (speakers + marks, 2), within ±1 and ±0.75 of their mean and on one scale, and the share of the variance
        that they show. The signs are chosen so that the picture is the same on each machine.

    Raises:
        ValueError: not such an array, or numbers that are not finite.
    """
    voices = np.asarray(voices, dtype=np.float64)
    if voices.ndim != 2 or not len(voices) or not np.isfinite(voices).all():
        raise ValueError(f"expected finite voices of shape (speakers, voice), got {voices.shape}")
    marked = np.asarray(voices[:0] if marked is None else marked, dtype=np.float64)
    if marked.ndim != 2 or marked.shape[1] != voices.shape[1] or not np.isfinite(marked).all():
        raise ValueError(f"expected finite marks of shape (marks, {voices.shape[1]}), got {marked.shape}")
    centred = voices - voices.mean(0)
    _, strengths, directions = np.linalg.svd(centred, full_matrices=False)
    directions = np.pad(directions, ((0, max(0, 2 - len(directions))), (0, 0)))[:2]
    largest = np.abs(directions).argmax(1)
    directions = directions * np.where(directions[[0, 1], largest] < 0, -1, 1)[:, None]
    points = np.concatenate([centred, marked - voices.mean(0)]) @ directions.T
    extent = max(np.abs(points[:, 0]).max(), np.abs(points[:, 1]).max() / 0.75)
    total = float((strengths**2).sum())
    if extent < 1e-9 or total < 1e-12:  # all voices are one
        return np.zeros_like(points), 1.0
    return points / extent, float((strengths[:2] ** 2).sum()) / total


def mixture(points: np.ndarray, at: Sequence[float]) -> dict[int, float]:
    """The share of each voice at a place of the map: one on a point, else the nearest two to four.

    Shares fall with the square of the distance (Shepard, "A two-dimensional interpolation function for
    irregularly-spaced data", 1968), are rounded to hundredths, and sum to 1; the largest comes first.

    Raises:
        ValueError: `at` is not two finite numbers.
    """
    at = np.asarray(at, dtype=np.float64)
    if at.shape != (2,) or not np.isfinite(at).all():
        raise ValueError(f"expected a place of two finite numbers, got {at!r}")
    distance = np.linalg.norm(points - at, axis=1)
    nearest = np.argsort(distance, kind="stable")[:MOST]
    if len(nearest) == 1 or distance[nearest[0]] <= SNAP:
        return {int(nearest[0]): 1.0}
    share = distance[nearest] ** -2.0
    share /= share.sum()
    count = max(2, int((share >= LEAST_SHARE).sum()))
    hundredths = np.maximum(np.round(100 * share[:count] / share[:count].sum()), 1).astype(int)
    hundredths[0] += 100 - hundredths.sum()
    return {int(i): int(h) / 100 for i, h in zip(nearest, hundredths, strict=False)}


class SpeakerMap(HtmlFallback, anywidget.AnyWidget):
    """Voices on a map: click one, or between them, and `.shares` says who is mixed how much.

    With the keyboard: the arrow keys move the place, in small steps with Shift.

    Args:
        voices: (speakers, voice), as `model.voices`.
        names: of the speakers.
        sexes: "f" or "m" by name; others are grey.
        speaker: where it starts; None: the first.

    Raises:
        ValueError: as many names as voices are needed, each once; or there is no such speaker.
    """

    _esm = FOLDER / "speaker_map.js"
    _css = FOLDER.parent / "style.css"
    _svg = traitlets.Unicode().tag(sync=True)
    _about = traitlets.Unicode().tag(sync=True)
    at = traitlets.List(traitlets.Float(), default_value=[0.0, 0.0], minlen=2, maxlen=2).tag(sync=True)
    """The place that is chosen."""
    shares = traitlets.Dict(default_value={"": 1.0})
    """Share of each voice by name, the largest first."""

    def __init__(
        self,
        voices: np.ndarray,
        names: Sequence[str],
        sexes: Mapping[str, str] | None = None,
        speaker: str | None = None,
        **kwargs: object,
    ):
        self.names = tuple(names)
        """The speakers."""
        self.points, self.shown = voice_map(voices)
        """Their places (speakers, 2), and the share of the variance that the picture shows."""
        if len(self.names) != len(self.points) or len(set(self.names)) != len(self.names):
            raise ValueError(f"expected a name of its own for each of {len(self.points)} voices, got {names}")
        self._sexes = dict(sexes or {})
        super().__init__(**kwargs)
        self.choose(self.names[0] if speaker is None else speaker)

    def choose(self, speaker: str) -> None:
        """This voice alone.

        Raises:
            ValueError: there is no such speaker.
        """
        if speaker not in self.names:
            raise ValueError(f"there is no speaker {speaker!r}; there are {', '.join(self.names)}")
        number = self.names.index(speaker)
        self.at = [float(x) for x in self.points[number]]
        self._take({number: 1.0})  # where several voices lie on one point: the one that was named

    @traitlets.validate("at")
    def _inside(self, proposal: dict) -> list[float]:
        place = np.nan_to_num(np.asarray(proposal["value"], dtype=np.float64))
        return [float(x) for x in np.clip(place, [-WIDTH, -HEIGHT], [WIDTH, HEIGHT])]

    @traitlets.observe("at")
    def _moved(self, _: object) -> None:
        self._take(self._shares_at(self.at))

    def _shares_at(self, at: Sequence[float]) -> dict[int, float]:
        """Who is chosen at a place, the share by number."""
        return mixture(self.points, at)

    def _take(self, shares: dict[int, float]) -> None:
        named = {self.names[i]: share for i, share in shares.items()}
        with self.hold_sync():
            self._svg = self._draw(shares)
            self._about = self._words(named)
        self.shares = named

    def _words(self, shares: dict[str, float]) -> str:
        if len(shares) == 1:
            (name,) = shares
            return " ".join([name, *([f"({SEXES[self._sexes[name]]})"] if name in self._sexes else [])])
        return ", ".join(f"{share:.0%} {name}" for name, share in shares.items())

    def _draw(self, shares: dict[int, float]) -> str:
        """The map as SVG in units of the points; y goes down there."""
        dots, lines = [self._dot(i, i in shares) for i in range(len(self.points))], []
        x, y = self.points[next(iter(shares))] if len(shares) == 1 else self.at
        if len(shares) > 1:
            for i, share in shares.items():
                px, py = self.points[i]
                lines.append(
                    f'<line x1="{x:.3f}" y1="{-y:.3f}" x2="{px:.3f}" y2="{-py:.3f}" stroke="#1d2329" '
                    f'stroke-width="{0.006 + 0.02 * share:.3f}" stroke-opacity="0.6"/>'
                )
        dots += self._labels(shares, y)
        named = {self.names[i]: share for i, share in shares.items()}
        alt = f"Map of {len(self.names)} voices; chosen: {self._words(named)}"
        return (
            f'<svg role="img" aria-label="{html.escape(alt)}" viewBox="{-WIDTH} {-HEIGHT} {2 * WIDTH} {2 * HEIGHT}" '
            'style="display:block;width:100%;max-width:420px;background:#f7f8fa;border-radius:4px">'
            f"{''.join(lines)}{''.join(dots)}"
            f'<circle cx="{x:.3f}" cy="{-y:.3f}" r="0.05" fill="none" stroke="#1d2329" stroke-width="0.014"/></svg>'
        )

    def _dot(self, i: int, chosen: bool) -> str:
        """The point of a voice as SVG."""
        (x, y), name = self.points[i], self.names[i]
        sex = self._sexes.get(name, "")
        look = f'fill="{COLOURS.get(sex, OTHER)}" fill-opacity="{1 if chosen else 0.5}"'
        title = f"<title>{html.escape(name)}{', ' + SEXES[sex] if sex in SEXES else ''}</title>"
        if sex == "m":
            return f'<rect x="{x - 0.022:.3f}" y="{-y - 0.022:.3f}" width="0.044" height="0.044" {look}>{title}</rect>'
        return f'<circle cx="{x:.3f}" cy="{-y:.3f}" r="0.026" {look}>{title}</circle>'

    def _labels(self, shares: dict[int, float], y: float) -> list[str]:
        """The names of those that are chosen as SVG, away from the place at height y."""
        return [
            self._label(
                i,
                f"{self.names[i]} {share:.0%}" if len(shares) > 1 else self.names[i],
                self.points[i][1] >= y,
            )
            for i, share in shares.items()
        ]

    def _label(self, i: int, text: str, above: bool = True, more: str = "") -> str:
        """Words above or below a point as SVG."""
        x, y = self.points[i]
        anchor = "end" if x > 0.8 else "start" if x < -0.8 else "middle"
        return (
            f'<text x="{x:.3f}" y="{-y - 0.075 if above else -y + 0.125:.3f}" font-size="0.07" text-anchor="{anchor}" '
            'stroke="#fff" stroke-width="0.03" paint-order="stroke" font-family="system-ui, sans-serif" '
            f'fill="#1d2329"{more}>{html.escape(text)}</text>'
        )

    def legend(self) -> str:
        """What the picture shows, as HTML."""
        present = [sex for sex in COLOURS if sex in self._sexes.values()]
        marks = " ".join(
            f'<span style="color:{COLOURS[sex]}">{"■" if sex == "m" else "●"} {SEXES[sex]}</span>'
            for sex in present
        )
        return (
            f'<div style="font-size:12px;line-height:1.35">{marks}. The two directions in which the voices differ '
            f"most: {self.shown:.0%} of their variance.</div>"
        )

    def fallback_html(self) -> str:
        """The map as it stands."""
        return f"{self._svg}<div>{self.legend()}</div>"

    def __repr__(self) -> str:
        return f"SpeakerMap({len(self.names)} voices; {self._about})"
