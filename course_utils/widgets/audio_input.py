"""Three ways to bring a sound into a notebook behind one name: a bundled clip, your voice, your file."""

from __future__ import annotations

import html
import io
import threading
import warnings
from collections.abc import Callable, Mapping

import ipywidgets as widgets
import numpy as np

from course_utils import audio

from .ab_player import describe_level
from .fallback import HtmlFallback, players
from .messages import problem, saying
from .mic import TEXTS, UPLOAD_INSTEAD, MicRecorder
from .upload import UploadButton

BUNDLED, MICROPHONE, UPLOAD = "bundled clip", "microphone", "upload a file"
OTHERWISE = "Or choose another input above."
NOTHING_UPLOADED = "nothing uploaded yet: press the button and choose a sound file"


class AudioInput(HtmlFallback, widgets.VBox):
    """Choose a sound; `.audio` is the waveform and `.source` says where it came from.

    A bundled clip is chosen at first, so a notebook runs from top to bottom without a click. Run only the
    cells below this one after you have recorded or uploaded: running this one again starts anew.

    Args:
        bundled: waveform (time,) by name; None if there is only the microphone and the upload.
        max_seconds: longest recording and longest file.
    """

    def __init__(self, bundled: Mapping[str, np.ndarray] | None = None, max_seconds: float = 30.0):
        self._bundled = {name: audio.check(clip, name, 0.01) for name, clip in (bundled or {}).items()}
        self.max_seconds = max_seconds
        self._lock = threading.Lock()
        self._uploaded: tuple[np.ndarray, str] | str = NOTHING_UPLOADED  # a text says what is wrong

        ways = [BUNDLED, MICROPHONE, UPLOAD] if self._bundled else [MICROPHONE, UPLOAD]
        self._way = widgets.ToggleButtons(options=ways, tooltips=ways, style={"button_width": "140px"})
        self._clip = widgets.Dropdown(options=list(self._bundled), layout={"width": "420px"})
        self._file = UploadButton(self._on_file, self._on_refused)
        self._changed: list[Callable[[], object]] = []
        self._place = widgets.VBox()
        self._note = widgets.HTML()
        super().__init__([self._way, self._place, self._note])
        self._way.observe(self._show, names="value")
        self._clip.observe(self._show, names="value")
        self.mic = self._fresh_mic()
        self._show()

    # --- use -----------------------------------------------------------------------------------------

    @property
    def bundled(self) -> dict[str, np.ndarray]:
        """The clips that can be chosen: waveform (time,) by name."""
        return dict(self._bundled)

    @property
    def audio(self) -> np.ndarray:
        """The chosen waveform, (time,) at 16 kHz.

        Raises:
            AudioError: nothing recorded or uploaded yet, or what is wrong with it.
        """
        return self._chosen()[0]

    @property
    def source(self) -> str:
        """Where `.audio` comes from, in words."""
        return self._chosen()[1]

    @property
    def way(self) -> str:
        """Which input is chosen: "bundled clip", "microphone" or "upload a file"; set it as its button does."""
        return self._way.value

    @way.setter
    def way(self, way: str) -> None:
        self._way.value = way

    @property
    def chosen_clip(self) -> str | None:
        """The name of the bundled clip that is chosen; None while the microphone or a file is."""
        return self._clip.value if self._way.value == BUNDLED else None

    def on_change(self, callback: Callable[[], object]) -> None:
        """Call `callback()` when another sound is chosen, recorded or uploaded."""
        self._changed.append(callback)

    def forget(self) -> None:
        """Let go of what was recorded and uploaded, in the page too, and go back to the bundled clips."""
        with self._lock:
            self._uploaded = NOTHING_UPLOADED
        gone, self.mic = self.mic, self._fresh_mic()
        self._way.value = self._way.options[0]
        self._show()
        gone.close()

    def observe_way(self, callback: Callable[[object], object]) -> None:
        """Call `callback(change)` when another input is chosen."""
        self._way.observe(callback, names="value")

    def choose(self, name: str) -> None:
        """Choose a bundled clip, as its menu does.

        Raises:
            ValueError: no clip of that name.
        """
        if name not in self._bundled:
            raise ValueError(
                f"no bundled clip is called {name!r}; there are {', '.join(map(repr, self._bundled))}"
            )
        self._clip.value, self._way.value = name, BUNDLED

    def upload(self, name: str, content: bytes) -> np.ndarray:
        """Take the bytes of a sound file, as the upload button does, and return the waveform.

        Raises:
            AudioError: not audio, damaged, empty or longer than `max_seconds`.
        """
        try:
            self._take(self._read(name, content))
        except audio.AudioError as error:
            self._take(str(error))
        return self.audio

    # --- inside ----------------------------------------------------------------------------------------

    def _fresh_mic(self) -> MicRecorder:
        texts = {status: text.replace(UPLOAD_INSTEAD, OTHERWISE) for status, text in TEXTS.items()}
        mic = MicRecorder(max_seconds=self.max_seconds, _texts=texts)
        mic.observe(self._show, names="status")
        return mic

    def _read(self, name: str, content: bytes) -> tuple[np.ndarray, str]:
        file = io.BytesIO(content)
        file.name = name  # for messages
        with warnings.catch_warnings(record=True) as notes:  # shown below the button, not in a log
            warnings.simplefilter("always", audio.AudioWarning)
            # A little more than allowed is enough to see that it is too long, however long it is.
            samples, rate = audio.load_native(file, max_seconds=self.max_seconds + 1)
            if len(samples) > self.max_seconds * rate:
                raise audio.AudioError(
                    f"{name}: longer than {self.max_seconds:g} s: cut it, or allow more with "
                    "AudioInput(max_seconds=...)"
                )
            mono = audio.check(audio.mix_down(samples, name), name)
        waveform = audio.check(audio.resample(mono, rate, audio.SAMPLE_RATE), name, min_seconds=0.01)
        changes = [str(note.message) for note in notes]
        if samples.ndim > 1 and samples.shape[1] > 1:
            changes.append(f"{samples.shape[1]} channels mixed to one")
        if rate != audio.SAMPLE_RATE:
            changes.append(f"resampled from {rate} to {audio.SAMPLE_RATE} Hz")
        return waveform, f"your file {name!r}" + (f" ({', '.join(changes)})" if changes else "")

    def _chosen(self) -> tuple[np.ndarray, str]:
        if self._way.value == BUNDLED:
            return self._bundled[self._clip.value], f"bundled clip {self._clip.value!r}"
        if self._way.value == MICROPHONE:
            return self.mic.audio, "your recording"
        with self._lock:
            uploaded = self._uploaded
        if isinstance(uploaded, str):
            raise audio.AudioError(uploaded)
        return uploaded

    def _on_file(self, name: str, content: bytes) -> None:
        try:
            self.upload(name, content)
        except audio.AudioError:
            pass  # shown below the button, and raised again by `.audio`

    def _on_refused(self, name: str, megabytes: float) -> None:
        self._take(f"{name}: {megabytes:.0f} MB is too much for this button; cut it or save it as mp3 first")

    def _take(self, uploaded: tuple[np.ndarray, str] | str) -> None:
        with self._lock:
            self._uploaded = uploaded
        self._way.value = UPLOAD
        self._show()

    def _show(self, _: object = None) -> None:
        self._show_chosen()
        for callback in self._changed:
            callback()

    def _show_chosen(self) -> None:
        way = self._way.value
        self._place.children = [{BUNDLED: self._clip, MICROPHONE: self.mic, UPLOAD: self._file}[way]]
        if way == MICROPHONE:  # the recorder has its own player and says itself what is wrong
            self._note.value = ""
            return
        try:
            waveform, source = self._chosen()
            words = f"{source}, {len(waveform) / audio.SAMPLE_RATE:.1f} s, {describe_level(waveform)}"
            player = audio.audio_tag(waveform * np.float32(audio.shared_gain([waveform])), source)
            self._note.value = f"<div>{html.escape(words)}</div>{player}"
        except audio.AudioError as error:
            self._note.value = (saying if str(error) == NOTHING_UPLOADED else problem)(str(error))

    def fallback_html(self) -> str:
        """Players and spectrograms of the bundled clips."""
        shown = "<p><em>Open this notebook in JupyterLab to record yourself or upload a file.</em></p>"
        return shown + (players(self._bundled) if self._bundled else "")

    def __repr__(self) -> str:
        return f"AudioInput({', '.join(self._bundled) or 'microphone or upload'})"
