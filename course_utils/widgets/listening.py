"""What widgets that listen have in common: an input, buttons that play a clip by the clock, the microphone's pieces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import ipywidgets as widgets
import numpy as np

from course_utils import audio
from course_utils.waveform import SAMPLE_RATE

from .audio_input import MICROPHONE, AudioInput
from .fallback import HtmlFallback
from .messages import problem
from .mic import CHUNK_SECONDS


class Taking(Protocol):
    """Something on a thread of its own that takes sound."""

    closed: bool
    error: Exception | None

    def write(self, samples: np.ndarray, wait: bool = False) -> None:
        """Take samples (time,); `wait` until there is room."""
        ...

    def until(self, moment: float) -> None:
        """Wait until that moment of `time.monotonic`, or until it is closed."""
        ...

    def close(self) -> None:
        """No more sound comes."""
        ...


class Listening(HtmlFallback, widgets.VBox):
    """Sound of a microphone, a clip or a file goes piece by piece to a session; `_begin` makes one for each start.

    Args:
        clips: waveform (time,) by name, where there is no microphone.
        max_seconds: longest recording and longest file.
    """

    PAUSE = 0.0
    """Seconds of silence that follow a clip."""

    def __init__(self, clips: Mapping[str, np.ndarray], max_seconds: float):
        self.max_seconds = max_seconds
        self._lock = threading.RLock()
        self._session: Taking | None = None
        self._spoken: Taking | None = None  # that of the microphone
        self.input = AudioInput(clips, max_seconds)
        self.mic = self.input.mic
        self._note = widgets.HTML()
        # Clicks wait while a cell runs; the recorder's own button and its sound do not.
        self.buttons = {
            "start": self._button("Start", "play", "Play the clip or file through", self._press_start, "primary"),
            "stop": self._button("Stop", "stop", "Stop playing", lambda _: self.stop()),
        }  # fmt: skip
        """The buttons by name; `buttons["start"].click()` does what pressing it does."""
        self._playing = widgets.HBox(list(self.buttons.values()))
        super().__init__()
        self.input.observe_way(self._show_buttons)
        self.mic.observe(self._on_status, names="status")
        self.mic.on_chunk(self._on_chunk, self._on_end)
        self._show_buttons()

    def stop(self) -> None:
        """Stop the clip or file that is played; the microphone has its own button."""
        with self._lock:
            if self._session is not None and self._session is not self._spoken:
                self._session.close()

    # --- sound comes in ----------------------------------------------------------------------------------

    def _begin(self) -> Taking:
        """A new session in the place of the last one."""
        raise NotImplementedError

    def _on_chunk(self, waveform: np.ndarray) -> None:
        """A piece from the microphone, on its thread: into the session with it, no more."""
        with self._lock:
            if self._spoken is None or self._spoken.closed:
                self._spoken = self._begin()
            session = self._spoken
        session.write(waveform)

    def _on_end(self) -> None:
        if self._spoken is not None:
            self._spoken.close()

    def _on_status(self, change: dict) -> None:
        if change["new"] == "recording":
            self._note.value = ""

    def _play(
        self, waveform: np.ndarray, speed: float | None, begin: Callable[[], Taking] | None = None
    ) -> Taking:
        """A waveform (time,) to a new session: by the clock, or as fast as it is taken where `speed` is None."""
        if speed is not None and not speed > 0:
            raise ValueError(f"speed must be above 0, or None for as fast as possible; got {speed}")
        waveform = audio.check(waveform, "the waveform", 0.01)
        if len(waveform) > self.max_seconds * SAMPLE_RATE:
            raise audio.AudioError(
                f"{len(waveform) / SAMPLE_RATE:.0f} s are longer than {self.max_seconds:g} s; cut it, or allow more "
                f"with {type(self).__name__}(max_seconds=...)"
            )
        if self.mic.status == "recording":
            raise audio.AudioError("still recording: press Stop in the recorder first")
        waveform = np.concatenate([waveform, np.zeros(round(self.PAUSE * SAMPLE_RATE), np.float32)])
        session, start, step = (begin or self._begin)(), time.monotonic(), round(CHUNK_SECONDS * SAMPLE_RATE)
        for end in range(step, len(waveform) + step, step):
            if speed is not None:  # a moment of the clock, so that small delays do not add up
                session.until(start + min(end, len(waveform)) / SAMPLE_RATE / speed)
            if session.closed or session.error is not None:
                break
            session.write(waveform[end - step : end], wait=speed is None)
        session.close()
        return session

    # --- buttons, on any thread ----------------------------------------------------------------------------

    @staticmethod
    def _button(text: str, icon: str, tip: str, press: Callable, style: str = "") -> widgets.Button:
        layout = {"width": "92px"}
        made = widgets.Button(description=text, icon=icon, tooltip=tip, button_style=style, layout=layout)
        made.on_click(press)
        return made

    def _show_buttons(self, _: object = None) -> None:
        self._playing.layout.display = "none" if self.input.way == MICROPHONE else ""

    def _press_start(self, _: object = None) -> None:
        try:
            waveform = self.input.audio
        except audio.AudioError as error:
            self._note.value = problem(str(error))
            return
        self._note.value = ""
        threading.Thread(
            target=self._play_aloud, args=[waveform], name=type(self).__name__, daemon=True
        ).start()

    def _play_aloud(self, waveform: np.ndarray) -> None:
        try:
            self._play(waveform, speed=1.0)
        except audio.AudioError as error:
            self._note.value = problem(str(error))
