"""Compare clips by ear: in step, with one gain, and blind if you like to know whether you really hear it."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Mapping
from pathlib import Path

import anywidget
import matplotlib.image
import numpy as np
import traitlets
from scipy.stats import binom

from course_utils import audio, features

from .fallback import HtmlFallback, players

FOLDER = Path(__file__).parent
DYNAMIC_RANGE_DB = 80.0


def png_address(log_mel: np.ndarray, top: float) -> str:
    """A log-mel (frames, 80) as a bare picture, one pixel a value, as a data address."""
    buffer = io.BytesIO()
    decibels = 20 * (log_mel.T - top)
    matplotlib.image.imsave(buffer, decibels, vmin=-DYNAMIC_RANGE_DB, vmax=0, cmap="magma", origin="lower")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def describe_level(waveform: np.ndarray) -> str:
    """The level in words, for labels."""
    level = audio.level_db(waveform)
    return "silent" if level == float("-inf") else f"{level:.1f} dBFS"


def one_level(clips: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Clips (time,) by name, all as loud as the softest: for blind tests, because louder sounds better.

    Raises:
        AudioError: one is silent.
    """
    levels = {name: audio.level_db(clip) for name, clip in clips.items()}
    softest = min(levels, key=levels.get)
    if levels[softest] == float("-inf"):
        raise audio.AudioError(f"{softest} is silent: there is nothing to compare")
    return {
        name: clip * np.float32(10 ** ((levels[softest] - levels[name]) / 20)) for name, clip in clips.items()
    }


class ABPlayer(HtmlFallback, anywidget.AnyWidget):
    """Clips that play in step: switch between them at any moment, by mouse or by the keys 1, 2, 3.

    All clips have one gain, so that louder stays louder; it is below 1 only if a peak would clip. Shorter
    clips end in silence.

    Args:
        clips: waveform (time,) by name.
        transcript: the words, if it is speech.
        blind: ABX test. X is one of the clips, chosen anew for each trial; the learner listens and guesses.
            Which one it is stays in the kernel until the guess (the sound itself can not, of course).
        seed: of the choices of X; None is different each time.
        pictures: draw a log-mel spectrogram of each clip, all on one colour scale (not in a blind test).

    Raises:
        AudioError: a clip that is no waveform or is empty.
        ValueError: no clips, or fewer than two for a blind test.
    """

    _esm = FOLDER / "ab_player.js"
    _css = FOLDER / "style.css"
    _names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _labels = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _wavs = traitlets.List(traitlets.Bytes()).tag(sync=True)
    _pictures = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _alts = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _transcript = traitlets.Unicode("").tag(sync=True)
    _seconds = traitlets.Float().tag(sync=True)
    _rate = traitlets.Int(audio.SAMPLE_RATE).tag(sync=True)
    _blind = traitlets.Bool(False).tag(sync=True)
    _hidden = traitlets.Bytes(b"").tag(sync=True)  # the sound of X
    _trial = traitlets.Int(0).tag(sync=True)
    _note = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        clips: Mapping[str, np.ndarray],
        transcript: str | None = None,
        blind: bool = False,
        seed: int | None = 0,
        pictures: bool = True,
        **kwargs: object,
    ):
        if not clips or (blind and len(clips) < 2):
            raise ValueError(f"expected at least {2 if blind else 1} clips by name, got {len(clips)}")
        self._clips = {name: audio.check(clip, name, 1 / audio.SAMPLE_RATE) for name, clip in clips.items()}
        self._drawn, self._lock = pictures, threading.Lock()
        self._random = np.random.default_rng(seed)
        self.answers: list[tuple[str, str]] = []
        """(what X was, what was guessed) of each trial so far."""
        self.gain = audio.shared_gain(list(self._clips.values()))
        """The gain that all clips are played with."""

        longest = max(map(len, self._clips.values()))
        padded = [
            np.pad(clip * np.float32(self.gain), (0, longest - len(clip))) for clip in self._clips.values()
        ]
        shown = {}
        if pictures and not blind:
            mels = [features.log_mel(clip) for clip in padded]
            top = max(float(mel.max()) for mel in mels)
            shown["_pictures"] = [png_address(mel, top) for mel in mels]
            shown["_alts"] = [
                f"Log-mel spectrogram of {name}, {len(clip) / audio.SAMPLE_RATE:.1f} s, {describe_level(clip)}"
                for name, clip in self._clips.items()
            ]
        super().__init__(
            _names=list(self._clips),
            _labels=[describe_level(clip) for clip in self._clips.values()],
            _wavs=[audio.encode(clip, "wav") for clip in padded],
            _transcript=transcript or "",
            _seconds=longest / audio.SAMPLE_RATE,
            _blind=blind,
            _note=self._first_note(blind),
            **shown,
            **kwargs,
        )
        if blind:
            self._answer = self._draw()
            self._hidden = self._wavs[self._answer]
            self._trial = 1
        self.on_msg(self._receive)

    def _first_note(self, blind: bool) -> str:
        notes = []
        if self.gain < 1:
            notes.append(
                f"All clips are played {-20 * np.log10(self.gain):.1f} dB softer, so that none is clipped."
            )
        levels = [audio.level_db(clip) for clip in self._clips.values()]
        if blind and max(levels) - min(levels) > 0.5:
            notes.append(
                f"The levels differ by {max(levels) - min(levels):.1f} dB: you may be hearing nothing but loudness."
            )
        return " ".join(notes)

    # --- blind test ----------------------------------------------------------------------------------

    @property
    def trials(self) -> int:
        """How many guesses were made."""
        return len(self.answers)

    @property
    def score(self) -> int:
        """How many of them were right."""
        return sum(answer == guess for answer, guess in self.answers)

    @property
    def p_value(self) -> float:
        """Probability of this score or a better one by pure guessing (one-sided binomial test); 1 at the start."""
        return float(binom.sf(self.score - 1, self.trials, 1 / len(self._clips)))

    def guess(self, name: str) -> bool:
        """Say which clip X is, as the buttons do; returns whether it was, and draws the next X.

        Raises:
            ValueError: not a blind player, or no clip of that name.
        """
        if not self._blind:
            raise ValueError("this player is not blind: make one with ABPlayer(clips, blind=True)")
        if name not in self._clips:
            raise ValueError(f"no clip is called {name!r}; there are {', '.join(map(repr, self._clips))}")
        return self._answer_trial(self._trial, name)

    def _draw(self) -> int:
        return int(self._random.integers(len(self._clips)))

    def _answer_trial(self, trial: int, name: str) -> bool | None:
        with self._lock:
            if trial != self._trial:
                return None  # a second click on the same trial
            answer = self._names[self._answer]
            self.answers.append((answer, name))
            self._answer = self._draw()
            result = "Right" if name == answer else "Wrong"
            note = (
                f"{result}: X was “{answer}”. {self.score} of {self.trials} right; the chance to do so well "
                f"by guessing is {self.p_value:.2g}. Now there is a new X."
            )
            with self.hold_sync():
                self._note, self._hidden, self._trial = note, self._wavs[self._answer], trial + 1
        return name == answer

    def _receive(self, _: object, content: dict, buffers: list) -> None:
        if content.get("kind") == "guess" and self._blind and 0 <= content["index"] < len(self._names):
            self._answer_trial(content["trial"], self._names[content["index"]])

    # --- display ---------------------------------------------------------------------------------------

    def fallback_html(self) -> str:
        """Plain players with the same gain, one for each clip, and what the clips look like."""
        if not self._drawn:
            return audio.compare(self._clips, self._transcript or None).data
        return players(self._clips, self._transcript or None)

    def __repr__(self) -> str:
        names = ", ".join(f"{name} ({describe_level(clip)})" for name, clip in self._clips.items())
        return f"ABPlayer({names}{', blind' if self._blind else ''})"
