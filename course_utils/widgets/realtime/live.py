"""Speak, and watch the words appear: microphone, file or bundled clip through a recogniser, while cells run."""

from __future__ import annotations

import html
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from course_utils import audio, data, paths, plotting
from course_utils.decoding.partial import Partial
from course_utils.waveform import SAMPLE_RATE

from ..audio_input import MICROPHONE
from ..folders import make_folder
from ..listening import Listening
from ..messages import GREY, RED, problem, saying, scrolling, words_of
from .session import MAX_BEHIND, Session, Streaming

CHUNKS_MS = (32, 64, 160, 320, 640)
SHOWN_LINES = 30
REDRAW_SECONDS = 0.08
LATE_SECONDS = 1.0
GREEN = "#2f8f5b"


def bundled_clips() -> dict[str, np.ndarray]:
    """Two real readers and two virtual voices with phrases, none of them in the training: waveform by name."""
    readers = sorted(data.real("librispeech", "test"), key=lambda one: one.duration)[:2]
    phrases = data.speech("test", kind="phrase")
    clips = {f"reader {one.speaker}: {one.text[:32]} …": one.audio for one in readers}
    return clips | {f"virtual voice {one.voice}: {one.text}": one.audio for one in (phrases[1], phrases[-2])}


def transcript_html(utterances: list[Partial], open_one: Partial, empty: str) -> str:
    """Utterances as lines, the newest below; of the open one what may still change in grey."""
    lines = [html.escape(one.text) for one in utterances[-SHOWN_LINES:]]
    if open_one.text:
        rest = open_one.text.removeprefix(open_one.stable)
        stable = html.escape(open_one.text.removesuffix(rest) if rest else open_one.text)
        lines.append(f'{stable}<span style="color:{GREY}">{html.escape(rest)}</span>')
    if len(utterances) > SHOWN_LINES:
        lines[0] = f"… {lines[0]}"
    return scrolling(lines, "What was understood", empty)


def figures_html(session: Session) -> str:
    """Computing time of a chunk against its length, and how far the text is behind the sound."""
    took = session.computing_ms
    if not len(took):
        return saying(f"{session.seconds:.1f} s of sound.")
    recent = float(np.median(took[-10:]))
    share = recent / session.chunk_ms
    bar = (
        '<span style="display:inline-block;vertical-align:middle;width:120px;height:8px;border-radius:4px;'
        'background:#e6e9ed;overflow:hidden"><span style="display:block;height:100%;'
        f'width:{min(1, share):.0%};background:{RED if share > 1 else GREEN}"></span></span>'
    )
    late = session.behind > LATE_SECONDS
    behind = f'<span style="color:{RED if late else "inherit"}">{session.behind:.1f} s behind</span>'
    parts = [
        f"{session.seconds:.1f} s of sound; a chunk of {session.chunk_ms} ms takes {recent:.1f} ms to compute "
        f"{bar} {share:.0%}; {behind}."
    ]
    if share > 1 or late:
        parts.append("Decoding is slower than the sound: choose longer chunks.")
    if session.skipped:
        parts.append(
            f"{session.skipped:.1f} s came too fast and are not in the text; the recording has them."
        )
    return (
        f'<div role="status" style="color:#4a535c;font-size:13px;line-height:1.4;font-variant-numeric:tabular-nums">'
        f"{' '.join(parts)}</div>"
    )


class LiveRecogniser(Listening):
    """Speak and watch the words appear; or play a file or a clip through the same path.

    They appear while a cell runs, too: with JupyterLab's own settings always, with those of the course (whose
    messages stay in order) while the cell awaits something. Else the sound waits, and is there when the cell is done.

    Words that will not change any more are black, others grey. An utterance ends with a pause and is a line of its
    own. The sound is decoded in chunks on a thread of its own; what takes longer than the sound lasts falls behind,
    and says so. A recording lasts `max_seconds` at most; a new one replaces it.

    Args:
        model: what recognises (`checkpoints.load("recognition")`, or yours): anything with `stream(chunk_ms)`.
        chunk_ms: length of a chunk: 32, 64, 160, 320 or 640 ms; can be changed for the next start.
        clips: waveform (time,) by name, to play where there is no microphone; None: four of the course.
        max_seconds: longest recording and longest file, at most 600.

    Raises:
        ValueError: another chunk length or length.
        AudioError: a clip that is no waveform.
    """

    def __init__(
        self,
        model: Streaming,
        chunk_ms: int = 160,
        clips: Mapping[str, np.ndarray] | None = None,
        max_seconds: float = 600.0,
    ):
        if chunk_ms not in CHUNKS_MS:
            raise ValueError(f"chunk_ms must be one of {', '.join(map(str, CHUNKS_MS))}, got {chunk_ms!r}")
        self._model, self._drawn = model, 0.0
        super().__init__(bundled_clips() if clips is None else clips, max_seconds)
        self.input.way = MICROPHONE
        self.chunk = widgets.ToggleButtons(
            options=[(f"{each} ms", each) for each in CHUNKS_MS],
            value=chunk_ms,
            style={"button_width": "78px"},
        )
        """The choice of the chunk length; it counts from the next start."""
        self.buttons["clear"] = clear = self._button(
            "Clear", "eraser", "Forget text and recording", lambda _: self.clear()
        )
        self.buttons["save"] = save = self._button(
            "Save", "download", "Save the recording as WAV", self._press_save
        )
        self._transcript, self._figures = widgets.HTML(), widgets.HTML()
        below = widgets.HBox([self._playing, clear, save], layout={"margin": "2px 0"})
        chunks = widgets.HBox([widgets.Label("Chunk:"), self.chunk], layout={"margin": "6px 0 4px"})
        self.children = [self.input, chunks, self._transcript, self._figures, below, self._note]
        self._draw()

    # --- use -------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """What is understood by now, one line per utterance; after Stop all of it."""
        session = self._settled()
        return session.text if session else ""

    @property
    def utterances(self) -> list[Partial]:
        """The complete utterances, each with `text`, and `words` with their times."""
        session = self._settled()
        return session.utterances if session else []

    @property
    def audio(self) -> np.ndarray:
        """What was recorded or played, (time,) at 16 kHz.

        Raises:
            AudioError: nothing yet.
        """
        session = self._settled()
        if session is None or not session.seconds:
            raise audio.AudioError(
                "nothing recorded yet: press Record, speak, press Stop, then run this cell again"
            )
        return session.audio

    @property
    def computing_ms(self) -> np.ndarray:
        """Milliseconds that each chunk took to decode."""
        session = self._session
        return session.computing_ms if session else np.zeros(0)

    @property
    def behind(self) -> float:
        """Seconds of sound that wait to be decoded."""
        return self._session.behind if self._session else 0.0

    def feed(self, waveform: np.ndarray, speed: float | None = None, sample_rate: float = SAMPLE_RATE) -> str:
        """Recognise a waveform (time,) by the path of the microphone and return the text.

        Args:
            waveform: (time,).
            speed: 1 feeds it by the clock, as if it were spoken; None as fast as it can be decoded.
            sample_rate: in Hz.

        Raises:
            AudioError: no waveform, too long, or the microphone is recording.
            Exception: whatever the model raises.
        """
        waveform = audio.resample(audio.check(waveform, "the waveform", 0.01), sample_rate, SAMPLE_RATE)
        session = self._play(waveform, speed)
        session.wait()
        if session.error is not None:
            raise session.error
        return session.text

    def clear(self) -> None:
        """Forget text and recording; a recording that runs goes on from here."""
        with self._lock:
            session = self._session
            if session is None:
                return
            if session.closed or session.error is not None:
                session.abandon()
                self._session = None
            else:
                session.clear()
            self._note.value = ""
        self._draw()

    def save(self, path: str | Path | None = None) -> Path:
        """Save the recording as WAV: where you say, or below `recordings/` with the time in its name.

        Raises:
            AudioError: nothing recorded, or the place can not be written.
        """
        waveform = self.audio
        if path is None:
            path = paths.own_voice_folder() / f"live_{datetime.now():%Y-%m-%d_%H-%M-%S}.wav"
        make_folder(Path(path).parent)
        return audio.save(path, waveform * np.float32(audio.shared_gain([waveform])))

    # --- sound comes in ----------------------------------------------------------------------------------

    def _begin(self) -> Session:
        with self._lock:
            if self._session is not None:
                self._session.abandon()
            self._session = Session(self._model, self.chunk.value, self.max_seconds, self._on_change)
            return self._session

    def _settled(self) -> Session | None:
        """The session, after its last word if it has ended."""
        self.mic.settle()
        session = self._session
        if session is not None and session.closed:
            session.wait(MAX_BEHIND)
        return session

    def _press_save(self, _: object = None) -> None:
        try:
            self._note.value = saying(f"Saved as {self.save()}")
        except audio.AudioError as error:
            words = str(error).replace(", then run this cell again", ", then save")
            self._note.value = problem(words)

    # --- display -------------------------------------------------------------------------------------------

    def _on_change(self, session: Session) -> None:
        """Called by the decoding thread; writes to the transcript, never to the microphone."""
        now = time.monotonic()
        # At most so often, but always what is the last word for a while.
        caught_up = session.finished or session.behind * 1000 < session.chunk_ms
        if session is self._session and (caught_up or now - self._drawn > REDRAW_SECONDS):
            self._drawn = now
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            session = self._session
            if session is None:
                hint = "Press Record or Start: the words appear here. Grey words may still change."
                self._transcript.value = transcript_html([], Partial(), hint)
                self._figures.value = ""
                return
            hint = "Nothing was understood." if session.finished else "Listening …"
            self._transcript.value = transcript_html(session.utterances, session.open, hint)
            if session.error is not None:
                self._figures.value = problem(
                    f"The recogniser failed: {words_of(session.error)}. The recording is kept."
                )
            else:
                self._figures.value = figures_html(session)

    def fallback_html(self) -> str:
        """Text, sound and picture of the last recording, else of the shortest clip, where no kernel runs."""
        shown = "<p><em>Open this notebook in JupyterLab to speak and watch the words appear.</em></p>"
        session, name = self._session, "what was heard"
        if session is None or not session.seconds:
            clips = self.input.bundled
            if not clips:
                return shown
            name = min(clips, key=lambda each: len(clips[each]))
            # A session of its own: the widget's page stays as it is.
            session = Session(self._model, self.chunk.value, len(clips[name]) / SAMPLE_RATE + 1)
            session.write(clips[name], wait=True)
            session.close()
            session.wait()
        heard = session.audio[: 30 * SAMPLE_RATE]
        wrong = problem(words_of(session.error)) if session.error is not None else ""
        text = transcript_html(session.utterances, session.open, "Nothing was understood.")
        return (
            shown + audio.play(heard, name).data + text + wrong + plotting.spectrograms(heard)._repr_html_()
        )

    def __repr__(self) -> str:
        return f"LiveRecogniser(chunk_ms={self.chunk.value})"
