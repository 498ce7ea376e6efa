"""Read phrases one after the other, and have them as recordings with their words in the next cell."""

from __future__ import annotations

import html
import re
import threading
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import ipywidgets as widgets
import numpy as np

from course_utils import audio, data, metrics, paths, plotting

from ..fallback import HtmlFallback
from ..folders import make_folder
from ..messages import BOX, problem, saying, words_of
from ..mic import TEXTS, UPLOAD_INSTEAD, MicRecorder

DEMO_VOICE, DEMO_COUNT = "f36", 20
SILENT_DB = -60.0
PRIVACY = (
    "Nothing leaves this machine: your recordings are files in {folder}. Delete them there whenever you like."
)
DEMO_INSTEAD = "Or press “Use a demo voice”."


class Transcribing(Protocol):
    """What the widget needs of a model."""

    def transcribe(self, waveform: np.ndarray) -> str:
        """The text of a waveform (time,)."""
        ...


def demo_recordings() -> list[tuple[np.ndarray, str]]:
    """Twenty short phrases and sentences of one virtual voice that no model was trained on: (waveform, text)."""
    short = sorted(data.speech("test", voice=DEMO_VOICE), key=lambda one: one.duration)[:DEMO_COUNT]
    return [(one.audio, one.text) for one in sorted(short, key=lambda one: zlib.crc32(one.text.encode()))]


def file_name(phrase: str) -> str:
    """A name for the recording of a phrase that every file system takes, different for each phrase."""
    plain = unicodedata.normalize("NFKD", phrase).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40] or "phrase"
    return f"{slug}_{zlib.crc32(phrase.encode()):08x}"


class YourVoice(HtmlFallback, widgets.VBox):
    """Read the phrases that it shows; `.recordings` holds (waveform, text) of those that you have read.

    Each recording is kept at once, as WAV with its words beside it, and is there again when you come back. Without a
    microphone `use_demo()`, or its button, gives a virtual voice instead, and `.source` says so.

    Args:
        model: what writes down each recording (`checkpoints.load("recognition")`, or yours).
        phrases: what to read; None: the twenty phrases of the demo voice.
        folder: where the recordings are kept; None: below `recordings/`.

    Raises:
        ValueError: no phrases, an empty one, or one twice.
    """

    def __init__(
        self, model: Transcribing, phrases: Sequence[str] | None = None, folder: str | Path | None = None
    ):
        self._demo: list[tuple[np.ndarray, str]] | None = None
        if phrases is None:
            phrases = [text for _, text in demo_recordings()]
        self.phrases = [str(phrase).strip() for phrase in phrases]
        if not self.phrases or not all(self.phrases) or len(set(self.phrases)) < len(self.phrases):
            raise ValueError("phrases: expected at least one, none of them empty or twice")
        self.folder = Path(folder) if folder is not None else paths.own_voice_folder() / "phrases"
        self._model, self._lock = model, threading.RLock()
        self._heard: dict[str, str] = {}  # what the model wrote, by phrase
        self._spoiled: dict[str, str] = {}  # why a file can not be used
        self._kept: dict[str, np.ndarray] = {}
        for phrase in self.phrases:
            self._look(phrase)

        self._phrase, self._result, self._note = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self._place = widgets.VBox()

        def button(text: str, press, width: str = "110px", **more: object) -> widgets.Button:
            made = widgets.Button(description=text, layout={"width": width}, **more)
            made.on_click(press)
            return made

        self.buttons = {
            "back": button("Back", lambda _: self.go(self.index - 1), icon="arrow-left"),
            "next": button(
                "Next", lambda _: self.go(self.index + 1), icon="arrow-right", button_style="primary"
            ),
            "demo": button("Use a demo voice", lambda _: self.use_demo(), "160px"),
        }
        """The buttons by name."""
        row = widgets.HBox(list(self.buttons.values()))
        super().__init__([self._phrase, self._place, self._result, row, self._note])
        missing = [i for i, phrase in enumerate(self.phrases) if phrase not in self._kept]
        self.index = missing[0] if missing else 0
        self.go(self.index)

    # --- use -------------------------------------------------------------------------------------------

    @property
    def recordings(self) -> list[tuple[np.ndarray, str]]:
        """(waveform (time,), text) of each phrase that was read, in their order; of the demo voice after `use_demo`."""
        with self._lock:
            if self._demo is not None:
                return list(self._demo)
            return [(self._kept[phrase], phrase) for phrase in self.phrases if phrase in self._kept]

    @property
    def source(self) -> str:
        """Whose recordings they are, in words."""
        if self._demo is not None:
            return f"DEMO: the virtual voice {DEMO_VOICE}, not you; {len(self._demo)} phrases"
        return f"your voice: {len(self._kept)} of {len(self.phrases)} phrases"

    def use_demo(self) -> list[tuple[np.ndarray, str]]:
        """Take a virtual voice for yours, until you record something; returns its recordings."""
        self._demo = demo_recordings()
        self._tell()
        return self.recordings

    def go(self, index: int) -> None:
        """Show phrase number `index`, counted from 0; beyond the ends it stays at the last or first one."""
        with self._lock:
            self.index = index = max(0, min(index, len(self.phrases) - 1))
            self._phrase.value = (
                f'<div style="{BOX}font:15px/1.4 system-ui,sans-serif">Read aloud, phrase {index + 1} of '
                f'{len(self.phrases)}:<div style="font-size:22px;padding:6px 0">{html.escape(self.phrases[index])}'
                "</div></div>"
            )
            self._fresh_recorder(self.phrases[index])
            self._show_result(self.phrases[index], player=True)
            self._tell()

    # --- inside ----------------------------------------------------------------------------------------

    def _fresh_recorder(self, phrase: str) -> None:
        """A recorder of its own for each phrase: it plays what was recorded with it, and nothing else."""
        texts = {status: text.replace(UPLOAD_INSTEAD, DEMO_INSTEAD) for status, text in TEXTS.items()}
        self.mic = mic = MicRecorder(max_seconds=15.0, _texts=texts)
        mic.observe(lambda change: change["new"] == "done" and self._recorded(phrase, mic), names="status")
        gone, self._place.children = self._place.children, [mic]
        for old in gone:
            old.close()

    def _recorded(self, phrase: str, mic: MicRecorder) -> None:
        try:
            self.take(phrase, mic.audio)
        except audio.AudioError as error:
            self._result.value = problem(str(error))

    def take(self, phrase: str, waveform: np.ndarray) -> None:
        """Keep this waveform (time,) as the recording of a phrase, as the recorder does.

        Raises:
            AudioError: too short, silent, or the folder can not be written.
            ValueError: not one of the phrases.
        """
        if phrase not in self.phrases:
            raise ValueError(f"{phrase!r} is not one of the {len(self.phrases)} phrases")
        waveform = audio.check(waveform, "the recording", 0.3)
        if audio.level_db(waveform) < SILENT_DB:
            raise audio.AudioError(
                "the recording is silent and was not kept: is the microphone muted? Record again"
            )
        make_folder(self.folder)
        path = self.folder / file_name(phrase)
        try:
            path.with_suffix(".txt").write_text(phrase + "\n", encoding="utf-8")
        except OSError as error:
            raise audio.AudioError(f"{path} can not be written: {error.strerror}") from error
        # The words first, so that no sound is ever without them.
        audio.save(path.with_suffix(".wav"), waveform * np.float32(audio.shared_gain([waveform])))
        with self._lock:
            self._demo = None
            self._kept[phrase] = waveform
            self._heard.pop(phrase, None)
            self._spoiled.pop(phrase, None)
        self._tell()
        threading.Thread(
            target=self._write_down, args=[phrase, waveform], name="YourVoice", daemon=True
        ).start()

    def _look(self, phrase: str) -> None:
        path = self.folder / file_name(phrase)
        try:
            if path.with_suffix(".txt").read_text(encoding="utf-8").strip() == phrase:
                self._kept[phrase] = audio.load(path.with_suffix(".wav"))
        except FileNotFoundError:
            pass
        except (audio.AudioError, OSError, ValueError) as error:
            if path.with_suffix(".wav").exists():
                self._spoiled[phrase] = f"The recording that was kept can not be used: {error}. Record again."

    def _write_down(self, phrase: str, waveform: np.ndarray) -> None:
        """What the model makes of it; on a thread of its own, because it takes its time."""
        try:
            written = self._model.transcribe(waveform)
        except Exception as error:  # a learner's model may fail; the recording is kept all the same
            written = None
            if phrase == self.phrases[self.index]:
                self._result.value = problem(f"Kept, but the recogniser failed: {words_of(error)}")
        with self._lock:
            if written is not None and self._kept.get(phrase) is waveform:
                self._heard[phrase] = written
                if phrase == self.phrases[self.index]:
                    self._show_result(phrase, player=False)
                self._tell()

    def _show_result(self, phrase: str, player: bool) -> None:
        shown = problem(self._spoiled[phrase]) if phrase in self._spoiled else ""
        if player and phrase in self._kept:
            player_html = audio.audio_tag(self._kept[phrase], phrase)
            shown += f'<div style="display:flex;align-items:center;gap:8px">Kept: {player_html}</div>'
        if phrase in self._heard:
            shown += (
                f"<div>The recogniser wrote: <b>{html.escape(self._heard[phrase]) or '(nothing)'}</b></div>"
            )
        self._result.value = shown

    def _tell(self) -> None:
        source = f"<b>{html.escape(self.source)}</b>" if self._demo is not None else html.escape(self.source)
        errors = ""
        if self._demo is None and self._heard:
            said = {phrase: self._heard[phrase] for phrase in self.phrases if phrase in self._heard}
            errors = f"; word error rate {metrics.wer(list(said), list(said.values())):.0%} on {len(said)}"
        self._note.value = f'<div role="status" style="color:#4a535c">{source}{errors}.</div>' + saying(
            PRIVACY.format(folder=self.folder.absolute())
        )

    def fallback_html(self) -> str:
        """The phrases, and one as the demo voice reads it, where no kernel runs; never your own recordings."""
        rows = "".join(f"<li>{html.escape(phrase)}</li>" for phrase in self.phrases)
        sound, text = demo_recordings()[0]
        try:
            written = f"<p>The recogniser wrote: <b>{html.escape(self._model.transcribe(sound)) or '(nothing)'}</b></p>"
        except Exception as error:  # a learner's model may fail
            written = problem(f"The recogniser failed: {words_of(error)}")
        return (
            f"<p><em>Open this notebook in JupyterLab to record these phrases.</em></p><ol>{rows}</ol>"
            f"{audio.play(sound, f'the virtual voice {DEMO_VOICE} reads a phrase', text).data}{written}"
            f"{plotting.spectrograms(sound)._repr_html_()}"
        )

    def __repr__(self) -> str:
        return f"YourVoice({len(self.phrases)} phrases)"
