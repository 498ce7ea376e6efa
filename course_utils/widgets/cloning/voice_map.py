"""The map of voices with the reference and what was cloned from it: did the clone land where it should?"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from course_utils import data

from ..tts.speaker_map import SpeakerMap, voice_map

Embed = Callable[[np.ndarray], np.ndarray]
MARK_COLOURS = ("#1d2329", "#009E73", "#CC79A7", "#E69F00")  # as in the figures
LONGEST_SECONDS = 6.0


def bundled_recordings() -> dict[str, np.ndarray]:
    """One recording (time,) of each voice of the corpus by name: its longest sentence of at most six seconds."""
    return {voice.name: longest(voice.utterances).audio for voice in data.voices()}


def longest(utterances: Sequence[data.Utterance], seconds: float = LONGEST_SECONDS) -> data.Utterance:
    """The longest of at most so many seconds, else the shortest."""
    fitting = [one for one in utterances if one.duration <= seconds]
    return (
        max(fitting, key=lambda one: one.duration) if fitting else min(utterances, key=lambda o: o.duration)
    )


def unit(embedding: np.ndarray, name: str) -> np.ndarray:
    """An embedding (dim,) at length 1.

    Raises:
        ValueError: another shape, not finite, or zero.
    """
    embedding = np.asarray(embedding, dtype=np.float64)
    if embedding.ndim != 1 or not np.isfinite(embedding).all() or not embedding.any():
        raise ValueError(
            f"{name}: expected an embedding of shape (dim,) that is finite and not zero, got {embedding.shape}"
        )
    return embedding / np.linalg.norm(embedding)


class VoiceMap(SpeakerMap):
    """Voices on a map, and marks on it: the reference, and the clone.

    The two directions are those in which the voices differ most; the marks are drawn where they fall on them. What the
    picture leaves out, `.likeness` does not: it compares all numbers. A click, or the arrow keys, names the nearest
    point: `.chosen`.

    Args:
        voices: embeddings (voices, dim).
        names: of the voices.
        sexes: "f" or "m" by name.
        marks: embedding (dim,) by name.
        embed: waveform (time,) -> embedding (dim,), for `hear`.

    Raises:
        ValueError: names or embeddings that do not fit.
    """

    def __init__(
        self,
        voices: np.ndarray,
        names: Sequence[str],
        sexes: Mapping[str, str] | None = None,
        marks: Mapping[str, np.ndarray] | None = None,
        embed: Embed | None = None,
        **kwargs: object,
    ):
        voice_map(voices)  # says what is wrong with them
        self._voices = np.stack([unit(voice, str(name)) for voice, name in zip(voices, names, strict=False)])
        self._embed, self._marks = embed, {}
        super().__init__(self._voices, names, sexes, **kwargs)
        self.voice_names = self.names
        """The voices without the marks."""
        self.mark(**(marks or {}))

    @classmethod
    def of(
        cls,
        embed: Embed,
        recordings: Mapping[str, np.ndarray | Sequence[np.ndarray]] | None = None,
        sexes: Mapping[str, str] | None = None,
        **more: object,
    ) -> VoiceMap:
        """The map of these recordings by name of the voice, one or several each; None: those of the corpus.

        Args:
            embed: waveform (time,) -> embedding (dim,), for example `checkpoints.load("speaker_encoder").embed`.
            recordings: of several the embeddings are added.
            sexes: "f" or "m" by name; None: those of the corpus.
            more: what the map takes.
        """
        recordings = bundled_recordings() if recordings is None else recordings
        if sexes is None:
            sexes = {voice.name: voice.sex for voice in data.voices()}
        voices = [
            sum(unit(embed(each), name) for each in ([some] if isinstance(some, np.ndarray) else some))
            for name, some in recordings.items()
        ]
        return cls(np.stack(voices), list(recordings), sexes, embed=embed, **more)

    # --- use -------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> str:
        """The voice or mark that was clicked last."""
        return next(iter(self.shares))

    @property
    def marks(self) -> tuple[str, ...]:
        """What is marked."""
        return tuple(self._marks)

    def mark(self, **marks: np.ndarray) -> None:
        """Mark embeddings (dim,) by name; one of the same name moves.

        Raises:
            ValueError: not such embeddings, or a voice has that name.
        """
        found = {name: unit(embedding, name) for name, embedding in marks.items()}
        for name, embedding in found.items():
            if name in self.voice_names or embedding.shape != self._voices[0].shape:
                raise ValueError(
                    f"{name}: expected a name that no voice has and {self._voices.shape[1]} numbers, got {len(embedding)}"
                )
        self._place({**self._marks, **found})

    def hear(self, **waveforms: np.ndarray) -> None:
        """Embed waveforms (time,) by name, and mark them.

        Raises:
            ValueError: there is no `embed`, or whatever it raises.
        """
        if self._embed is None:
            raise ValueError("there is nothing to embed with: VoiceMap(..., embed=...), or mark embeddings")
        self.mark(**{name: self._embed(waveform) for name, waveform in waveforms.items()})

    def forget(self, name: str | None = None) -> None:
        """Take a mark away; None: all."""
        self._place({each: mark for each, mark in self._marks.items() if name not in (None, each)})

    @property
    def likeness(self) -> dict[tuple[str, str], float]:
        """Cosine of each two marks, and of each mark with the voice that is most like it."""
        names = list(self._marks)
        found = {
            (a, b): float(self._marks[a] @ self._marks[b])
            for number, a in enumerate(names)
            for b in names[number + 1 :]
        }
        for name, mark in self._marks.items():
            cosines = self._voices @ mark
            found[name, self.voice_names[int(cosines.argmax())]] = float(cosines.max())
        return found

    # --- inside ----------------------------------------------------------------------------------------

    def _place(self, marks: dict[str, np.ndarray]) -> None:
        chosen = self.chosen
        self._marks = marks
        self.names = (*self.voice_names, *marks)
        marked = np.stack(list(marks.values())) if marks else self._voices[:0]
        self.points, self.shown = voice_map(self._voices, marked)
        self.choose(chosen if chosen in self.names else self.voice_names[0])

    def _shares_at(self, at: Sequence[float]) -> dict[int, float]:
        return {int(np.linalg.norm(self.points - np.asarray(at), axis=1).argmin()): 1.0}

    def _dot(self, i: int, chosen: bool) -> str:
        if i < len(self._voices):
            return super()._dot(i, chosen)
        (x, y), name, colour = self.points[i], self.names[i], self._colour(i)
        return (
            f'<path d="M{x:.3f} {-y - 0.055:.3f}l0.055 0.055l-0.055 0.055l-0.055 -0.055z" fill="{colour}" '
            f'stroke="#fff" stroke-width="0.012"><title>{html.escape(name)}</title></path>'
        )

    def _colour(self, i: int) -> str:
        return MARK_COLOURS[(i - len(self._voices)) % len(MARK_COLOURS)]

    def _draw(self, shares: dict[int, float]) -> str:
        return super()._draw(shares) + self._below()

    def _labels(self, shares: dict[int, float], y: float) -> list[str]:
        # The first mark's name stands below its point and the next above, so that near ones do not cover each other.
        first = len(self._voices)
        return super()._labels({i: share for i, share in shares.items() if i < first}, y) + [
            self._label(i, self.names[i], (i - first) % 2 == 1, ' font-weight="bold"')
            for i in range(first, len(self.names))
        ]

    def _below(self) -> str:
        return f'<div style="max-width:420px;padding-top:4px">{self.legend()}{self._figures()}</div>'

    def _figures(self) -> str:
        rows = "".join(
            f'<tr><td style="text-align:left;padding:0 12px 0 0">{html.escape(a)}</td>'
            f'<td style="text-align:left;padding:0 12px 0 0">{html.escape(b)}{"" if b in self._marks else " (nearest voice)"}</td>'
            f'<td style="text-align:right;padding:0;font-variant-numeric:tabular-nums">{cosine:.2f}</td></tr>'
            for (a, b), cosine in self.likeness.items()
        )
        if not rows:
            return ""
        return (
            '<div style="font-size:12px;line-height:1.35;margin-top:4px">Cosine of the embeddings, of all their numbers:</div>'
            f'<table style="font-size:12px;line-height:1.35;border-collapse:collapse;background:none">{rows}</table>'
        )

    def legend(self) -> str:
        """What the picture shows, as HTML."""
        marks = "".join(
            f'<span style="color:{self._colour(len(self._voices) + number)}">◆ {html.escape(name)}</span> '
            for number, name in enumerate(self._marks)
        )
        return super().legend().replace('line-height:1.35">', f'line-height:1.35">{marks}', 1)

    def fallback_html(self) -> str:
        """The map as it stands, with its figures."""
        return f'<div style="max-width:420px">{self._svg}</div>'

    def __repr__(self) -> str:
        marks = f", {', '.join(self._marks)} marked" if self._marks else ""
        return f"VoiceMap({len(self.voice_names)} voices{marks})"
