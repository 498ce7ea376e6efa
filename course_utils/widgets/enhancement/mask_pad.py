"""Be the denoiser: draw on a spectrogram what is to be removed, hear it, and meet the ideal mask."""

from __future__ import annotations

import html
import math
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import anywidget
import ipywidgets as widgets
import matplotlib
import numpy as np
import traitlets

from course_utils import audio, features, metrics, plotting

from ..ab_player import ABPlayer
from ..fallback import HtmlFallback

FOLDER = Path(__file__).parent
DYNAMIC_RANGE_DB = 80.0
MAX_SECONDS = 30.0
UNDO_STEPS = 20
REMOVED = (86, 180, 233)
"""Colour that is laid over what the mask removes: sky blue, far from all colours of a spectrogram."""
STRENGTH = 0.8
"""How much of it where the mask is 0."""

FRAME_SECONDS = features.HOP_LENGTH / features.SAMPLE_RATE
BIN_HERTZ = features.SAMPLE_RATE / features.STFT_N_FFT
TOP_HERTZ = features.SAMPLE_RATE / 2


def apply_mask(noisy: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Multiply the STFT of `noisy` (time,) by `mask` (frames, 257) and go back to a waveform (time,)."""
    spectrum = features.stft(noisy) * mask.astype(np.float32)
    return features.istft(spectrum, length=len(noisy)).astype(np.float32)


def ideal_ratio_mask(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """The mask (frames, 257) that one would draw who knew the clean waveform (time,).

    sqrt(S² / (S² + N²)) with the powers of speech and noise in each point of the STFT (Wang, Narayanan and
    Wang, "On Training Targets for Supervised Speech Separation", 2014).
    """
    speech, noise = (np.abs(features.stft(x)) ** 2 for x in (clean, noisy - clean))
    return np.sqrt(speech / np.maximum(speech + noise, 1e-12)).astype(np.float32)


class MaskCanvas(HtmlFallback, anywidget.AnyWidget):
    """The drawing surface of `MaskPad`: shows spectrogram and mask, and passes on what is drawn.

    Args:
        decibels: (frames, bins) below the loudest point.
        on_command: called with what the learner did, on any thread.
    """

    _esm = FOLDER / "mask_pad.js"
    _css = FOLDER.parent / "style.css"
    _decibels = traitlets.Bytes().tag(sync=True)
    _colours = traitlets.Bytes().tag(sync=True)
    _removed = traitlets.List(traitlets.Int(), default_value=list(REMOVED)).tag(sync=True)
    _strength = traitlets.Float(STRENGTH).tag(sync=True)
    _shape = traitlets.List(traitlets.Int()).tag(sync=True)
    _steps = traitlets.List(traitlets.Float(), default_value=[FRAME_SECONDS, BIN_HERTZ]).tag(sync=True)
    _seconds = traitlets.Float().tag(sync=True)
    _mask = traitlets.Bytes().tag(sync=True)
    _note = traitlets.Unicode().tag(sync=True)
    _problem = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, decibels: np.ndarray, seconds: float, on_command: Callable[[dict], object], **kwargs: object
    ):
        super().__init__(
            _decibels=_levels(1 + decibels / DYNAMIC_RANGE_DB),
            _colours=_levels(matplotlib.colormaps["magma"](np.linspace(0, 1, 256))[:, :3]),
            _shape=list(decibels.shape),
            _seconds=seconds,
            _mask=_levels(np.ones_like(decibels)),
            **kwargs,
        )
        self.on_msg(lambda _, content, buffers: on_command(content))

    def show(self, mask: np.ndarray, note: str) -> None:
        """Draw this mask and write this line below."""
        with self.hold_sync():
            self._mask, self._note, self._problem = _levels(mask), note, ""

    def complain(self, problem: str) -> None:
        """Say what was wrong with the last command."""
        self._problem = problem

    def fallback_html(self) -> str:
        """Nothing of its own: the pad shows the picture."""
        return "<p><em>Open this notebook in JupyterLab to draw.</em></p>"

    def __repr__(self) -> str:
        return f"MaskCanvas({self._shape[0]} frames, {self._shape[1]} bins)"


def _levels(values: np.ndarray) -> bytes:
    """Values from 0 to 1 as one byte each."""
    return np.round(255 * np.clip(values, 0, 1)).astype(np.uint8).tobytes()


class MaskPad(HtmlFallback, widgets.VBox):
    """A spectrogram on which you draw a mask with mouse, finger or numbers, and the sound that remains.

    The mask starts as 1 everywhere (nothing is removed); the brush writes its gain, 0 to 1, where it goes.

    Args:
        noisy: waveform (time,), at most 30 s.
        reference: the clean waveform (time,); with it the pad tells the SI-SDR that your mask gains, beside
            what the ideal ratio mask gains, and plays both.
        transcript: the words, if it is speech.

    Raises:
        AudioError: no waveform, NaN, silent, too long, or a reference of another length.
    """

    def __init__(self, noisy: np.ndarray, reference: np.ndarray | None = None, transcript: str | None = None):
        self.noisy = audio.check(noisy, "noisy", 0.1)
        """The waveform that is drawn on (time,)."""
        seconds = len(self.noisy) / audio.SAMPLE_RATE
        if seconds > MAX_SECONDS:
            raise audio.AudioError(
                f"noisy: {seconds:.0f} s is too much to draw on; cut it to {MAX_SECONDS:g} s"
            )
        if not self.noisy.any():
            raise audio.AudioError("noisy: it is silent, so there is nothing to draw on")
        magnitude = np.abs(features.stft(self.noisy))
        self._decibels = 20 * np.log10(np.maximum(magnitude / magnitude.max(), 1e-10))
        self._transcript = transcript
        self._lock = threading.RLock()
        self._mask = np.ones(magnitude.shape, np.float32)
        self._before: deque[np.ndarray] = deque(maxlen=UNDO_STEPS)

        self.reference = None
        """The clean waveform (time,), if it is known."""
        self.ideal_mask = None
        """The ideal ratio mask (frames, 257), if the clean waveform is known."""
        if reference is not None:
            self.reference = audio.check(reference, "reference")
            if len(self.reference) != len(self.noisy):
                raise audio.AudioError(
                    f"reference: {len(self.reference)} samples, but noisy has {len(self.noisy)}; "
                    "they must be one recording without and with noise"
                )
            if not self.reference.any():
                raise audio.AudioError("reference: it is silent, so no SI-SDR exists")
            self.ideal_mask = ideal_ratio_mask(self.reference, self.noisy)
            self._ideal_result = apply_mask(self.noisy, self.ideal_mask)

        self.canvas = MaskCanvas(self._decibels, seconds, self._obey)
        # Each stroke brings a new player; without a height of its own the page would jump meanwhile.
        self._place = widgets.VBox(layout={"min_height": "440px" if self.reference is not None else "270px"})
        super().__init__([self.canvas, self._place])
        self._show()

    # --- use -------------------------------------------------------------------------------------------

    @property
    def mask(self) -> np.ndarray:
        """What was drawn: (frames, 257), 0 removes and 1 keeps. Assign another one of that shape to use it."""
        with self._lock:
            return self._mask.copy()

    @mask.setter
    def mask(self, mask: np.ndarray) -> None:
        mask = np.asarray(mask)
        if mask.shape != self._mask.shape or mask.dtype.kind not in "fiub":
            raise ValueError(
                f"expected a mask of real numbers (frames, bins) = {self._mask.shape}, got {mask.dtype} {mask.shape}"
            )
        if not (mask.min() >= 0 and mask.max() <= 1):
            raise ValueError("a mask holds numbers from 0 to 1; use numpy.clip, and look for NaN")
        with self._lock:
            self._change(mask.astype(np.float32))

    @property
    def result(self) -> np.ndarray:
        """What remains of the sound (time,): the STFT times the mask, and back."""
        return apply_mask(self.noisy, self.mask)

    @property
    def si_sdr_gain(self) -> float:
        """How much better than the noisy sound the result is, in dB SI-SDR; needs the reference.

        Raises:
            ValueError: the clean waveform is not known.
        """
        if self.reference is None:
            raise ValueError("no reference to measure with: MaskPad(noisy, reference=clean)")
        return metrics.si_sdr(self.result, self.reference) - metrics.si_sdr(self.noisy, self.reference)

    def paint(
        self,
        seconds: tuple[float, float] | None = None,
        hertz: tuple[float, float] | None = None,
        gain: float = 0.0,
    ) -> None:
        """Write `gain` into a rectangle of the mask, as the number fields do.

        Args:
            seconds: from and to; None: from beginning to end.
            hertz: from and to; None: 0 to 8000.
            gain: 0 removes, 1 keeps.

        Raises:
            ValueError: a gain outside of 0 to 1, or a rectangle without a point of the mask in it.
        """
        frames = self._span(seconds, FRAME_SECONDS, self._mask.shape[0], "seconds")
        bins = self._span(hertz, BIN_HERTZ, self._mask.shape[1], "hertz")
        gain = self._gain(gain)
        with self._lock:
            mask = self._mask.copy()
            mask[frames, bins] = gain
            self._change(mask)

    def brush(
        self, points: list[tuple[float, float]], radius: tuple[float, float], gain: float = 0.0
    ) -> None:
        """Write `gain` wherever an elliptic brush goes, as the mouse does.

        Args:
            points: (seconds, hertz) of its centre, close enough to each other to give a line.
            radius: of the brush, in seconds and in hertz; at least one point of the mask is painted.
            gain: 0 removes, 1 keeps.

        Raises:
            ValueError: a gain outside of 0 to 1, or points or radius that are not finite numbers.
        """
        gain = self._gain(gain)
        steps = np.array([FRAME_SECONDS, BIN_HERTZ])
        centres = np.asarray(points, np.float64).reshape(-1, 2) / steps
        radii = np.maximum(np.asarray(radius, np.float64).reshape(2) / steps, 0.75)
        if not (np.isfinite(centres).all() and np.isfinite(radii).all()):
            raise ValueError("points and radius must be finite numbers of seconds and hertz")
        with self._lock:
            mask = self._mask.copy()
            sizes = np.array(mask.shape)
            for centre in centres:
                low = np.clip(np.ceil(centre - radii), 0, sizes).astype(int)
                high = np.clip(np.floor(centre + radii) + 1, 0, sizes).astype(int)
                frames, bins = np.ogrid[low[0] : high[0], low[1] : high[1]]
                inside = ((frames - centre[0]) / radii[0]) ** 2 + ((bins - centre[1]) / radii[1]) ** 2 <= 1
                mask[low[0] : high[0], low[1] : high[1]][inside] = gain
            self._change(mask)

    def undo(self) -> None:
        """Take back the last change; nothing happens if there is none."""
        with self._lock:
            if self._before:
                self._mask = self._before.pop()
                self._show()

    def clear(self) -> None:
        """Begin anew: nothing is removed."""
        with self._lock:
            self._change(np.ones_like(self._mask))

    # --- inside ----------------------------------------------------------------------------------------

    @staticmethod
    def _gain(gain: float) -> float:
        if not 0 <= gain <= 1:
            raise ValueError(f"gain: expected a number from 0 (removes) to 1 (keeps), got {gain}")
        return gain

    @staticmethod
    def _span(limits: tuple[float, float] | None, step: float, count: int, name: str) -> slice:
        if limits is None:
            return slice(0, count)
        low, high = (float(limit) for limit in limits)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"{name}: expected two numbers, the smaller first, got {low:g} and {high:g}")
        first, last = max(0, math.ceil(low / step - 1e-9)), min(count - 1, math.floor(high / step + 1e-9))
        if first > last:
            unit = "s" if name == "seconds" else "Hz"
            raise ValueError(
                f"{name}: no point of the mask lies between {low:g} and {high:g} {unit}; there is one every "
                f"{step:g} {unit} from 0 to {(count - 1) * step:g}"
            )
        return slice(first, last + 1)

    def _change(self, mask: np.ndarray) -> None:
        if np.array_equal(mask, self._mask):
            self.canvas.show(mask, self._words())  # the page may have drawn ahead
            return
        self._before.append(self._mask)
        self._mask = mask
        self._show()

    def _obey(self, command: dict) -> None:
        """What the canvas sends."""
        kind = command.get("kind")
        try:
            if kind == "brush":
                self.brush(command["points"], command["radius"], command["gain"])
            elif kind == "paint":
                self.paint(command["seconds"], command["hertz"], command["gain"])
            elif kind == "undo":
                self.undo()
            elif kind == "clear":
                self.clear()
        except (ValueError, TypeError) as error:  # an empty number field arrives as None
            empty = "fill in all four numbers" if isinstance(error, TypeError) else str(error)
            self.canvas.complain(empty)

    def _words(self) -> str:
        removed = 100 * (1 - float(self._mask.mean()))
        text = f"{removed:.0f} % of the picture removed."
        if self.reference is None:
            return text
        noisy = metrics.si_sdr(self.noisy, self.reference)
        ideal = metrics.si_sdr(self._ideal_result, self.reference) - noisy
        gain = self.si_sdr_gain
        yours = "nothing is left" if math.isinf(gain) else f"{gain:+.1f} dB SI-SDR"
        return f"{text} Your mask: {yours}; the ideal ratio mask: {ideal:+.1f} dB."

    def _clips(self) -> dict[str, np.ndarray]:
        clips = {"before": self.noisy, "after your mask": self.result}
        if self.reference is not None:
            clips |= {"after the ideal mask": self._ideal_result, "clean": self.reference}
        return clips

    def _show(self) -> None:
        self.canvas.show(self._mask, self._words())
        gone = self._place.children
        self.player = ABPlayer(self._clips(), self._transcript)
        """Plays the sound before and after the mask, and what the ideal mask leaves, if that is known."""
        self._place.children = [self.player]
        for player in gone:
            player.close()

    def picture(self) -> plotting.Picture:
        """The spectrogram with what the mask removes laid over it."""
        seconds = len(self.noisy) / audio.SAMPLE_RATE
        alt = (
            f"Spectrogram of {seconds:.1f} s, 0 to 8 kHz; blue covers what the mask removes. {self._words()}"
        )
        picture, (ax,) = plotting.figure(alt=alt, size=(9, 3.2))
        shown = matplotlib.colormaps["magma"](1 + self._decibels.T / DYNAMIC_RANGE_DB)[..., :3]
        cover = STRENGTH * (1 - self._mask.T[..., None])
        ax.imshow(
            (1 - cover) * shown + cover * np.array(REMOVED) / 255,
            extent=(-FRAME_SECONDS / 2, (len(self._mask) - 0.5) * FRAME_SECONDS, 0, TOP_HERTZ),
            origin="lower",
            aspect="auto",
            interpolation="nearest",
        )
        ax.set(xlabel="time (s)", ylabel="frequency (Hz)", xlim=(0, seconds), title=self._words())
        return picture

    def fallback_html(self) -> str:
        """The picture with the mask, and players."""
        words = f"<p><i>“{html.escape(self._transcript)}”</i></p>" if self._transcript else ""
        return f"{words}{self.picture()._repr_html_()}{audio.compare(self._clips()).data}"

    def __repr__(self) -> str:
        return f"MaskPad({len(self.noisy) / audio.SAMPLE_RATE:.2f} s, {100 * (1 - self._mask.mean()):.0f} % removed)"
