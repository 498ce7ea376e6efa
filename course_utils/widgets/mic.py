"""Record the microphone in the browser and get a waveform in the kernel, whole or while you speak.

Messages of a widget may arrive on the kernel's main thread or on another one, and in a different order than
they were sent (JupyterLab decides). So the browser numbers its chunks, the kernel puts them in order under a
lock, and `on_chunk` callbacks run on a thread of their own.
"""

from __future__ import annotations

import asyncio
import html
import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from course_utils import audio
from course_utils.paths import SAMPLE_RATE

from .fallback import HtmlFallback

FOLDER = Path(__file__).parent
CHUNK_SECONDS = 0.1

UPLOAD_INSTEAD = "Or upload a file instead: AudioInput() offers both."
TEXTS = {
    "idle": "Nothing is sent anywhere: the sound goes from this page to the kernel.",
    "asking": "Your browser asks for permission: allow the microphone.",
    "recording": "Recording.",
    "done": "",
    "limit": "The maximum length was reached.",
    "silent": "Only silence arrived. Is the microphone muted, or another one chosen in the browser's settings?",
    "clipped": "Too loud: the recording is clipped. Move away from the microphone or lower its level.",
    "denied": "The browser does not allow the microphone. Click the icon beside the address, allow it, and press "
    f"Record again. (Notebooks inside VS Code never get it: open JupyterLab in a browser.) {UPLOAD_INSTEAD}",
    "no-device": f"No microphone was found. Plug one in and press Record again. {UPLOAD_INSTEAD}",
    "insecure": "Browsers give the microphone only to https pages and to localhost. Open JupyterLab as "
    f"http://localhost:8888, over a network through `ssh -L 8888:localhost:8888 host`. {UPLOAD_INSTEAD}",
    "unsupported": f"This browser can not record. Use a current Chrome, Edge, Firefox or Safari. {UPLOAD_INSTEAD}",
    "error": f"The microphone failed; another program may be using it. {UPLOAD_INSTEAD}",
}
"""What each status means and what to do about it: shown in the widget and raised by `.audio`."""

FAILURES = ("denied", "no-device", "insecure", "unsupported", "error")


class PcmAssembler:
    """Numbered chunks of int16 PCM in, in any order; a 16 kHz waveform out, in order, with zeros in the gaps.

    `push` returns what is ready at once, for listeners; `waveform` is all that has arrived, each chunk in its
    place. They differ only if a chunk is so late that the stream has gone on without it.

    Args:
        sample_rate: of the chunks, in Hz.
        max_seconds: whatever comes after this is dropped.
        patience: how many chunks may wait for a missing one before the stream goes on without it.
    """

    def __init__(self, sample_rate: float, max_seconds: float = 30.0, patience: int = 20):
        self.sample_rate = audio.check_rate(sample_rate, "the sample rate of the recording")
        self.patience = patience
        self._limit = round(max_seconds * sample_rate)
        self._chunks: dict[int, tuple[int, np.ndarray]] = {}
        self._frames = 0  # length of the recording as far as it is known
        self._waiting: set[int] = set()
        self._next_seq = 0
        self._position = 0  # frames that the stream has passed on
        same = sample_rate == SAMPLE_RATE
        self._resampler = None if same else audio.StreamingResampler(sample_rate, SAMPLE_RATE)

    @property
    def received(self) -> int:
        """How many different chunks have arrived."""
        return len(self._chunks)

    @property
    def gap_frames(self) -> int:
        """Frames that did not arrive, at `sample_rate`."""
        return self._frames - sum(len(samples) for _, samples in self._chunks.values())

    @property
    def waveform(self) -> np.ndarray:
        """All that has arrived, (time,) at 16 kHz."""
        samples = np.zeros(self._frames, np.float32)
        for frame, chunk in self._chunks.values():
            samples[frame : frame + len(chunk)] = chunk
        return audio.resample(samples, self.sample_rate, SAMPLE_RATE)

    def push(self, seq: int, frame: int, pcm: bytes | memoryview) -> np.ndarray:
        """Take chunk number `seq`, which starts at `frame`; return what the stream has ready, (time,) at 16 kHz."""
        if seq in self._chunks:
            return np.zeros(0, np.float32)
        frame = max(0, min(frame, self._limit))
        samples = audio.to_float(np.frombuffer(pcm, dtype="<i2"))[: self._limit - frame]
        self._chunks[seq] = (frame, samples)
        self._frames = max(self._frames, frame + len(samples))
        if seq >= self._next_seq:
            self._waiting.add(seq)
        return self._stream(self._ready(flush=False))

    def finish(self, frames: int | None = None) -> np.ndarray:
        """Return the rest of the stream, with zeros up to `frames` (what the sender says it recorded)."""
        self._frames = max(self._frames, min(frames or 0, self._limit))
        rest = self._stream([*self._ready(flush=True), self._silence_until(self._frames)])
        if self._resampler is not None:
            rest = np.concatenate([rest, self._resampler.finish()])
            self._resampler = None
        return rest

    def _ready(self, flush: bool) -> list[np.ndarray]:
        pieces = []
        while self._waiting:
            if self._next_seq not in self._waiting:
                if not flush and len(self._waiting) <= self.patience:
                    break
                self._next_seq = min(self._waiting)  # its frame number says how long the gap is
            self._waiting.remove(self._next_seq)
            frame, samples = self._chunks[self._next_seq]
            self._next_seq += 1
            pieces += [self._silence_until(frame), samples]
            self._position += len(samples)
        return pieces

    def _silence_until(self, frame: int) -> np.ndarray:
        gap = max(0, frame - self._position)
        self._position += gap
        return np.zeros(gap, np.float32)

    def _stream(self, pieces: list[np.ndarray]) -> np.ndarray:
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        return samples if self._resampler is None else self._resampler.push(samples)


class MicRecorder(HtmlFallback, anywidget.AnyWidget):
    """A record button with a level meter. Press it, speak, press Stop, then use `.audio` in the next cell.

    Args:
        max_seconds: the recording stops by itself after this.
        processing: let the browser suppress noise and echo and level the gain. Off, because this course
            wants to do that itself; switch it on to hear the difference.

    `status` is one of "idle", "recording", "done", "denied", "no-device", "insecure", "unsupported", "error".
    """

    _esm = FOLDER / "mic.js"
    _css = FOLDER / "style.css"
    max_seconds = traitlets.Float(30.0).tag(sync=True)
    processing = traitlets.Bool(False).tag(sync=True)
    echo_cancellation = traitlets.Bool(False).tag(sync=True)  # this alone, for a widget that speaks itself
    _wanted_rate = traitlets.Int(SAMPLE_RATE).tag(sync=True)  # 0: the device's own rate
    _texts = traitlets.Dict(TEXTS).tag(sync=True)
    # Not synchronised: a message to the browser would move this widget's incoming ones to another thread.
    status = traitlets.Unicode("idle")

    def __init__(self, max_seconds: float = 30.0, processing: bool = False, **kwargs: object):
        if not 0 < max_seconds <= 600:
            raise ValueError(f"max_seconds must be above 0 and at most 600, got {max_seconds}")
        super().__init__(max_seconds=float(max_seconds), processing=processing, **kwargs)
        self._lock = threading.Lock()
        self._assembler: PcmAssembler | None = None
        self._id: str | None = None
        self._expected: tuple[int, int] | None = None  # chunks and frames, as the end message says
        self._stopping = False  # Stop was pressed, the last sound is under way
        self._over = threading.Event()
        self._attempts = 0  # recordings that ended or failed
        self._detail = ""
        self._browser_ready = False
        self._callbacks: list[tuple[Callable, Callable | None]] = []
        self._queue: queue.SimpleQueue = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self.on_msg(lambda _, content, buffers: self._from_browser(content, buffers))

    # --- use -----------------------------------------------------------------------------------------

    @property
    def audio(self) -> np.ndarray:
        """The recording, (time,) at 16 kHz.

        Raises:
            AudioError: still recording, nothing recorded yet, or why it failed and what to do.
        """
        if self.status == "recording":
            # "Press Stop, run the next cell": the last message may still be under way on another thread.
            self._over.wait(1.0)
            if self._stopping:
                self._over.wait(4.0)
        if self.status == "recording":
            raise audio.AudioError("still recording: press Stop in the recorder, then run this cell again")
        if self.status == "idle":
            raise audio.AudioError(
                "nothing recorded yet: press Record, speak, press Stop, then run this cell again"
            )
        if self.status != "done":
            raise audio.AudioError(self._texts[self.status] + (f" ({self._detail})" if self._detail else ""))
        with self._lock:
            waveform = self._assembler.waveform
        return audio.check(waveform, "the recording")

    @property
    def gap_seconds(self) -> float:
        """Seconds that the browser lost and that are zeros in `.audio`; more than 0.1 s can be heard."""
        with self._lock:
            return self._assembler.gap_frames / self._assembler.sample_rate if self._assembler else 0.0

    async def record(self, seconds: float = 5.0) -> np.ndarray:
        """Record for `seconds` without pressing a button: `waveform = await mic.record(3)`.

        Raises:
            AudioError: no browser shows this notebook, or the recording failed.
        """
        if not 0 < seconds <= self.max_seconds:
            raise ValueError(
                f"seconds must be above 0 and at most max_seconds={self.max_seconds}, got {seconds}"
            )
        if self.status == "recording":
            raise audio.AudioError("still recording: press Stop in the recorder first")
        if not await self._becomes_true(lambda: self._browser_ready, 10):
            raise audio.AudioError(
                "no browser answered: the microphone needs this notebook open in JupyterLab. Use a bundled clip instead"
            )
        before = self._attempts
        self.send({"kind": "start", "seconds": seconds})
        if not await self._becomes_true(lambda: self._attempts > before, seconds + 60):
            raise audio.AudioError(
                "the recording did not end: allow the microphone in the browser, then try again"
            )
        return self.audio

    @staticmethod
    async def _becomes_true(condition: Callable[[], bool], timeout: float) -> bool:
        waited = 0.0
        while not condition() and waited < timeout:
            await asyncio.sleep(0.05)
            waited += 0.05
        return condition()

    def on_chunk(
        self, callback: Callable[[np.ndarray], object], on_end: Callable[[], object] | None = None
    ) -> Callable[[], None]:
        """Call `callback(waveform)` with each new piece (about 1600 samples at 16 kHz) while you speak.

        Callbacks run one after the other on a thread of their own, so they may take their time; what they
        miss waits in a queue. They show results by writing to a widget of their own. One that raises is
        logged and not called again.

        Returns:
            a function that ends the calls.
        """
        entry = (callback, on_end)
        self._callbacks = [*self._callbacks, entry]
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name="MicRecorder.on_chunk", daemon=True)
            self._worker.start()
        return lambda: self._forget(entry)

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait until `on_chunk` callbacks have had all there is, after Stop the last sound too; whether they have."""
        if self.status == "recording" and self._stopping:
            self._over.wait(timeout)
        if self._worker is None or threading.current_thread() is self._worker:
            return True
        passed = threading.Event()
        self._queue.put(passed)
        return passed.wait(timeout)

    def feed(self, samples: np.ndarray, sample_rate: float = SAMPLE_RATE) -> None:
        """Record these samples (time,) as if they had been spoken: for trying things without a microphone."""
        audio.check_rate(sample_rate)
        pcm = np.round(np.clip(audio.check(samples, "samples"), -1, 1 - 2**-15) * 2**15).astype("<i2")
        step, name = round(CHUNK_SECONDS * sample_rate), f"feed.{self._attempts}"
        self._receive({"kind": "start", "id": name, "rate": sample_rate})
        starts = range(0, len(pcm), step)
        for seq, start in enumerate(starts):
            chunk = pcm[start : start + step].tobytes()
            self._receive({"kind": "chunk", "id": name, "seq": seq, "frame": start}, [chunk])
        self._receive({"kind": "end", "id": name, "chunks": len(starts), "frames": len(pcm)})

    # --- messages from the browser, on any thread ------------------------------------------------------

    def _from_browser(self, content: dict, buffers: list | None = None) -> None:
        if content.get("kind") in ("ready", "start"):
            # The kernel hands a widget's messages to the thread that spoke last. So far that was the main one, where
            # they wait while a cell runs; this answer brings them to the one that JupyterLab asks for.
            self.send({"kind": "heard"})
        self._receive(content, buffers)

    def _receive(self, content: dict, buffers: list | None = None) -> None:
        kind = content.get("kind")
        if kind == "ready":
            self._browser_ready = True
        elif kind == "start":
            self._start(content["id"], content["rate"])
        elif kind == "failed":
            with self._lock:
                self._give_up()
                self._detail = content.get("detail", "")
            self._conclude(content["status"] if content.get("status") in FAILURES else "error")
        elif kind == "stopping":
            with self._lock:
                self._stopping = content.get("id") == self._id
        elif kind in ("chunk", "end"):
            self._continue(content, buffers)

    def _start(self, recording_id: str, rate: float) -> None:
        with self._lock:
            self._give_up()  # the page was loaded again while it recorded
            self._assembler = PcmAssembler(rate, self.max_seconds)
            self._id, self._expected, self._stopping = recording_id, None, False
            self._over.clear()
        self.status = "recording"

    def _give_up(self) -> None:
        """Nothing more comes of a recording that was under way: its listeners go on to the next."""
        if self._id is not None:
            self._enqueue(None)
        self._id = None

    def _continue(self, content: dict, buffers: list | None) -> None:
        with self._lock:
            if content.get("id") != self._id:
                return  # of a recording that was given up
            if content["kind"] == "chunk":
                self._enqueue(self._assembler.push(content["seq"], content["frame"], buffers[0]))
            else:
                self._expected = (content["chunks"], content["frames"])
            complete = self._expected is not None and self._assembler.received >= self._expected[0]
        if complete:
            self._finish(content["id"])
        elif content["kind"] == "end":  # some chunks were overtaken: give them a moment
            threading.Timer(1.0, self._finish, [content["id"]]).start()

    def _finish(self, recording_id: str) -> None:
        with self._lock:
            if self._id != recording_id:
                return
            self._id, self._detail = None, ""
            self._enqueue(self._assembler.finish(self._expected[1]))
            self._enqueue(None)
        self._conclude("done")

    def _conclude(self, status: str) -> None:
        self.status = status
        self._attempts += 1
        self._over.set()

    # --- callbacks -------------------------------------------------------------------------------------

    def _enqueue(self, waveform: np.ndarray | None) -> None:
        """Hand a piece, or None for the end, to the worker, if anybody listens."""
        if self._callbacks and (waveform is None or len(waveform)):
            self._queue.put(waveform)

    def _work(self) -> None:
        while True:
            waveform = self._queue.get()
            if isinstance(waveform, threading.Event):  # whoever waits for it knows that all before it is done
                waveform.set()
                continue
            for entry in self._callbacks:
                callback, on_end = entry
                try:
                    if waveform is not None:
                        callback(waveform)
                    elif on_end is not None:
                        on_end()
                except Exception:  # anything a learner writes may fail here, and must not end the thread
                    logging.getLogger(__name__).exception(
                        "on_chunk: %r failed and is not called again", callback
                    )
                    self._forget(entry)

    def _forget(self, entry: tuple[Callable, Callable | None]) -> None:
        self._callbacks = [kept for kept in self._callbacks if kept is not entry]

    # --- display ---------------------------------------------------------------------------------------

    def fallback_html(self) -> str:
        """The recorder where no kernel runs."""
        return f"<p><em>Microphone recorder: open this notebook in JupyterLab to use it. {html.escape(UPLOAD_INSTEAD)}</em></p>"

    def __repr__(self) -> str:
        return f"MicRecorder(max_seconds={self.max_seconds:g}, processing={self.processing})"
