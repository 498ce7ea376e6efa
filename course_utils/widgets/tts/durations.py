"""The durations of the phones under the spectrogram: drag an edge, and hear what it does."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets

from course_utils import audio, features, plotting

from ..ab_player import ABPlayer, png_address
from ..fallback import HtmlFallback
from ..messages import code, problem, replace, saying, words_of
from ..worker import Worker
from .plans import LONGEST_FRAMES, Speaks, change_plan, one_sentence, say_plan

FOLDER = Path(__file__).parent
FRAME_MS = 1000 * features.HOP_LENGTH / features.SAMPLE_RATE
LONGEST_SLIDER = 60
LET_GO_SECONDS = 5.0
"""Until a player of a drag is closed; the next drag may come before the page has loaded it."""


class DurationStrip(HtmlFallback, anywidget.AnyWidget):
    """Spectrogram, and below it a box for each phone whose right edge can be dragged.

    With the keyboard: left and right choose a phone, up and down make it longer and shorter by a frame.

    Args:
        phones: their names.
        frames: duration of each, in frames of 16 ms.
    """

    _esm = FOLDER / "durations.js"
    _css = FOLDER.parent / "style.css"
    phones = traitlets.List(traitlets.Unicode()).tag(sync=True)
    frames = traitlets.List(traitlets.Int()).tag(sync=True)
    """Duration of each phone in frames of 16 ms, 1 to 250."""
    semitones = traitlets.List(traitlets.Float()).tag(sync=True)
    """How much higher each phone is than planned."""
    selected = traitlets.Int(0).tag(sync=True)
    """The phone that is chosen."""
    _picture = traitlets.Unicode("").tag(sync=True)
    _heard = traitlets.List(traitlets.Int()).tag(sync=True)  # the durations that the picture shows
    _frame_ms = traitlets.Float(FRAME_MS).tag(sync=True)
    _alt = traitlets.Unicode("").tag(sync=True)

    def __init__(self, phones: list[str], frames: list[int], **kwargs: object):
        super().__init__(**kwargs)
        self.begin(phones, frames)

    def begin(self, phones: list[str], frames: list[int]) -> None:
        """Other phones in the same place."""
        with self.hold_sync(), self.hold_trait_notifications():
            self.phones, self.frames, self.semitones = phones, frames, [0.0] * len(phones)
            self.selected, self._picture, self._heard = 0, "", frames

    @traitlets.validate("frames")
    def _check(self, proposal: dict) -> list[int]:
        frames = proposal["value"]
        if len(frames) != len(self.phones) or not all(1 <= count <= LONGEST_FRAMES for count in frames):
            raise traitlets.TraitError(
                f"expected {len(self.phones)} durations of 1 to {LONGEST_FRAMES} frames, got {frames}"
            )
        return frames

    @traitlets.validate("selected")
    def _one_of_them(self, proposal: dict) -> int:
        return max(0, min(proposal["value"], len(self.phones) - 1))

    def show(self, log_mel: np.ndarray, frames: list[int]) -> None:
        """The spectrogram (frames, 80) of these durations."""
        with self.hold_sync():
            self._picture = png_address(log_mel, float(log_mel.max()))
            self._heard = frames
            self._alt = f"Log-mel spectrogram of {len(log_mel) * FRAME_MS / 1000:.1f} s with {len(self.phones)} phones"

    def fallback_html(self) -> str:
        """Phones and durations in words."""
        parts = [
            f"{html.escape(phone)} {count * FRAME_MS:.0f}" + (f" ({shift:+g} semitones)" if shift else "")
            for phone, count, shift in zip(self.phones, self.frames, self.semitones, strict=True)
        ]
        return f"<p>Durations in ms: {', '.join(parts)}</p>"

    def __repr__(self) -> str:
        return f"DurationStrip({len(self.phones)} phones, {sum(self.frames)} frames)"


class Durations(HtmlFallback, widgets.VBox):
    """A sentence as phones with their durations: drag an edge, or choose a phone and use the sliders, and listen.

    What follows a phone that grows comes later by as much. Each change is decoded and vocoded on a thread; of those
    that come meanwhile only the last is. `wait()` returns when all is heard.

    Args:
        model: what speaks (`checkpoints.load("tts")`, or yours).
        text: one sentence of at most 40 words.
        speaker: who says it; None: the first one.
        seed: of the noise that the flow begins with.
        name: what the model is called in the printed calls.

    Raises:
        ValueError: nothing to say, more than one sentence, or no such speaker.
    """

    def __init__(
        self,
        model: Speaks,
        text: str = "I never said that.",
        speaker: str | None = None,
        seed: int = 0,
        name: str = "model",
    ):
        self._model, self._seed, self._name = model, seed, name
        self._speaker = model.speakers[0] if speaker is None else speaker
        self._voice = model.voice(self._speaker)
        self._worker, self._state = Worker("Durations"), threading.RLock()
        self._listening, self._gone_wrong = True, ""
        self._clips: dict[str, np.ndarray] = {}
        self._first: tuple[Any, np.ndarray] | None = None  # a plan without changes, and its sound
        self._text, plan = self._planned(text)
        self.planned: Any = plan
        """The plan of the model, as it was before any change."""
        self.strip = DurationStrip(list(plan.phones), _frames(plan))
        """The drawing; `strip.frames = [...]` does what dragging does."""

        looks = {"style": {"description_width": "110px"}, "layout": {"width": "360px"}}
        self.controls: dict[str, widgets.Widget] = {
            "text": widgets.Text(
                text,
                description="sentence",
                continuous_update=False,
                style=looks["style"],
                layout={"width": "560px"},
            ),
            "phone": widgets.Dropdown(options=self._options(), value=0, description="phone", **looks),
            # A sound at the end of a drag, not for each step of it.
            "frames": widgets.IntSlider(
                1, min=1, max=LONGEST_SLIDER, description="frames of 16 ms", continuous_update=False, **looks
            ),
            "semitones": widgets.FloatSlider(
                0.0,
                min=-12,
                max=12,
                step=0.5,
                readout_format="+.1f",
                description="semitones",
                continuous_update=False,
                **looks,
            ),
        }
        """The controls by name; `controls["frames"].value = 20` does what moving it does."""
        self.button = widgets.Button(description="Back to the plan", icon="undo", layout={"width": "150px"})
        self._note, self._code = widgets.HTML(), widgets.HTML()
        self._place = widgets.VBox(layout={"min_height": "230px"})
        text_box, *others = self.controls.values()
        sliders = widgets.HBox([*others, self.button], layout={"flex_flow": "row wrap"})
        super().__init__([text_box, self.strip, sliders, self._note, self._code, self._place])
        self._show_phone()
        self._hear()
        self.strip.observe(self._changed, names=["frames", "semitones"])
        self.strip.observe(self._show_phone, names=["selected", "frames", "semitones"])
        text_box.observe(self._typed, names="value")
        self.controls["phone"].observe(self._select, names="value")
        self.controls["frames"].observe(self._slide, names="value")
        self.controls["semitones"].observe(self._slide, names="value")
        self.button.on_click(lambda _: self.reset())

    # --- use -------------------------------------------------------------------------------------------

    @property
    def changes(self) -> tuple[dict[int, int], dict[int, float]]:
        """What differs from the plan, as `change_plan` takes it: frames by phone, and semitones by phone."""
        planned = _frames(self.planned)
        frames = {i: n for i, (n, old) in enumerate(zip(self.strip.frames, planned, strict=True)) if n != old}
        return frames, {i: shift for i, shift in enumerate(self.strip.semitones) if shift}

    @property
    def plan(self) -> Any:
        """The plan with its changes."""
        return change_plan(self._model, self.planned, *self.changes)

    @property
    def call(self) -> str:
        """The plain calls that give the same waveform."""
        frames, semitones = self.changes
        voice = f"{self._name}.voice({self._speaker!r})"
        more = ", ".join(
            [*([str(frames)] if frames or semitones else []), *([str(semitones)] if semitones else [])]
        )
        changed = f"plan = change_plan({self._name}, plan, {more})\n" if more else ""
        seed = f", seed={self._seed}" if self._seed else ""
        return (
            f"plan = {self._name}.plan({self._text!r}, {voice}, 1.0, 0.0, True)\n"
            f"{changed}log_mel, waveform = say_plan({self._name}, plan{seed})"
        )

    @property
    def waveform(self) -> np.ndarray:
        """What the changed plan sounds like (time,); waits while it is being computed.

        Raises:
            AudioError: why it could not be said.
        """
        self._worker.wait()
        if "changed" not in self._clips:
            raise audio.AudioError(self._gone_wrong)
        return self._clips["changed"]

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all changes are heard, at most so long; returns whether they are."""
        return self._worker.wait(seconds)

    def set(self, phone: int, frames: int | None = None, semitones: float | None = None) -> None:
        """Change a phone, as dragging and the sliders do.

        Raises:
            ValueError: no such phone, or a number out of its range.
        """
        new = [{} if value is None else {phone: value} for value in (frames, semitones)]
        change_plan(self._model, self.planned, *new)  # says what is wrong
        with self.strip.hold_trait_notifications():
            if frames is not None:
                self.strip.frames = _with(self.strip.frames, phone, int(frames))
            if semitones is not None:
                self.strip.semitones = _with(self.strip.semitones, phone, float(semitones))

    def reset(self) -> None:
        """Back to what the model planned."""
        with self.strip.hold_trait_notifications():
            self.strip.frames = _frames(self.planned)
            self.strip.semitones = [0.0] * len(self.strip.phones)

    # --- inside ----------------------------------------------------------------------------------------

    def _planned(self, text: str) -> tuple[str, Any]:
        one_sentence(text)  # says what is wrong
        return text.strip(), self._model.plan(text.strip(), self._voice, 1.0, 0.0, True)

    def _options(self) -> list[tuple[str, int]]:
        return [(f"{number}: {phone}", number) for number, phone in enumerate(self.planned.phones)]

    def _quietly(self, job: Callable[[], None]) -> None:
        """Move controls because something changed, which changes nothing itself."""
        before, self._listening = self._listening, False
        try:
            job()
        finally:
            self._listening = before

    def _show_phone(self, _: object = None) -> None:
        def move() -> None:
            i = self.strip.selected
            self.controls["phone"].value = i
            slider = self.controls["frames"]
            slider.max = max(LONGEST_SLIDER, self.strip.frames[i])
            slider.value = self.strip.frames[i]
            self.controls["semitones"].value = self.strip.semitones[i]

        self._quietly(move)

    def _select(self, change: dict) -> None:
        if self._listening:
            self.strip.selected = change["new"]

    def _slide(self, _: object) -> None:
        if self._listening:
            frames, semitones = self.controls["frames"].value, self.controls["semitones"].value
            self.set(self.strip.selected, frames, semitones)

    def _typed(self, change: dict) -> None:
        try:
            text, plan = self._planned(change["new"])
        except Exception as error:  # the last sentence stays
            self._note.value = problem(str(error) if isinstance(error, ValueError) else words_of(error))
            return

        def begin() -> None:
            with self._state:
                self._text, self.planned = text, plan
                self.strip.begin(list(plan.phones), _frames(plan))
            self.controls["phone"].options = self._options()

        self._quietly(begin)
        self._show_phone()
        self._worker.do(self._hear)

    def _changed(self, _: object) -> None:
        if self._listening:
            self._worker.do(self._hear)

    def _hear(self) -> None:
        self._gone_wrong, self._note.value = "", saying("Working …")
        try:
            with self._state:
                text, planned, frames = self._text, self.planned, list(self.strip.frames)
                plan, call, changed = self.plan, self.call, self.changes != ({}, {})
            if self._first is None or self._first[0] is not planned:
                self._first = planned, say_plan(self._model, planned, self._seed)[1]
            log_mel, waveform = say_plan(self._model, plan, self._seed)
            with self._state:
                if planned is self.planned:  # else another sentence was typed meanwhile, and comes next
                    self.log_mel = log_mel
                    self.strip.show(log_mel, frames)
            self._clips = {"as planned": self._first[1], "changed": waveform}
            before, now = (sum(_frames(each)) * FRAME_MS / 1000 for each in (planned, plan))
            self._code.value = code(call)
            self._note.value = saying(
                f"{before:.2f} s as planned, {now:.2f} s now." if changed else f"{now:.2f} s as planned."
            )
            replace(self._place, ABPlayer(self._shown(), text), after=LET_GO_SECONDS)
        except Exception as error:  # shown in its place, so that the controls stay alive
            self._gone_wrong, self._clips = words_of(error), {}
            self._code.value, self._note.value = "", problem(self._gone_wrong)
            replace(self._place, after=LET_GO_SECONDS)

    def _shown(self) -> dict[str, np.ndarray]:
        """The clips, without a second one that is the same."""
        same = np.array_equal(*self._clips.values())
        return {"as planned": self._clips["as planned"]} if same else self._clips

    def fallback_html(self) -> str:
        """Spectrogram with phones, durations in words, and players."""
        self._worker.wait()
        if not self._clips:
            return self._note.value + self.strip.fallback_html()
        ends = np.cumsum(self.strip.frames) * FRAME_MS / 1000
        phones = list(zip(self.strip.phones, [0.0, *ends[:-1]], ends, strict=True))
        picture = plotting.spectrograms(self.log_mel, "Log-mel spectrogram with its phones", phones=phones)
        return (
            f"{picture._repr_html_()}{self.strip.fallback_html()}{self._code.value}"
            f"{audio.compare(self._shown(), self._text).data}"
        )

    def __repr__(self) -> str:
        return f"Durations({self._text!r}, {self._speaker})"


def _frames(plan: Any) -> list[int]:
    return [int(count) for count in plan.bounds[0].diff()]


def _with(values: list, index: int, value: float) -> list:
    return [*values[:index], value, *values[index + 1 :]]
