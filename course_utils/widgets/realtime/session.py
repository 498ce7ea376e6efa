"""Sound that arrives on one thread and is decoded on another, between them a buffer of fixed size."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from course_utils.decoding.partial import Partial
from course_utils.paths import SAMPLE_RATE

MAX_BEHIND = 10.0
"""Seconds of live sound that may wait for the decoder; of more the oldest is left out."""


class Stream(Protocol):
    """A recogniser at work on one recording."""

    def push(self, chunk: np.ndarray) -> Partial:
        """Take the next samples (time,)."""
        ...

    def next_utterance(self) -> Partial:
        """Close the utterance, go on with an empty one."""
        ...

    def finish(self) -> Partial:
        """No more sound comes."""
        ...


class Streaming(Protocol):
    """What the live recogniser needs of a model."""

    def stream(self, chunk_ms: int) -> Stream:
        """A fresh stream that decides every `chunk_ms`."""
        ...


class Session:
    """One recording and its decoding. `write` takes sound and returns at once; a thread of its own decodes.

    The whole recording has its place from the beginning, and the queue is the part of it that is not decoded yet: so
    memory does not grow, whatever the decoder does. What it can not do in time is left out of the text, and counted;
    the recording keeps it. A decoder that raises ends the decoding, not the recording.

    Args:
        model: whose `stream(chunk_ms)` decodes.
        chunk_ms: so much sound goes to the decoder at a time.
        max_seconds: what comes after this is dropped.
        on_change: called with this session after each chunk and at the end, on the decoding thread.
    """

    def __init__(
        self,
        model: Streaming,
        chunk_ms: int = 160,
        max_seconds: float = 600.0,
        on_change: Callable[[Session], object] = lambda session: None,
    ):
        self.chunk_ms, self._model, self._on_change = chunk_ms, model, on_change
        self._step = chunk_ms * SAMPLE_RATE // 1000
        self._sound = np.zeros(round(max_seconds * SAMPLE_RATE), np.float32)
        self._written = self._decoded = self._skipped = 0  # samples
        self._changed = threading.Condition()
        self._round = 0  # how often it was cleared: a chunk of the round before does not count
        self._begin()
        self.closed = False
        """No more sound comes."""
        self.error: Exception | None = None
        """What the decoder raised."""
        self._over = threading.Event()
        threading.Thread(target=self._work, name="Session", daemon=True).start()

    def _begin(self) -> None:
        self._written = self._decoded = self._skipped = 0
        self._utterances: list[Partial] = []
        self._open = Partial()
        self._milliseconds: list[float] = []

    # --- sound -----------------------------------------------------------------------------------------

    def write(self, samples: np.ndarray, wait: bool = False) -> None:
        """Append samples (time,) at 16 kHz. `wait` until there is room, as a file can; live sound can not."""
        room = round(MAX_BEHIND * SAMPLE_RATE)
        with self._changed:
            if wait:
                self._changed.wait_for(
                    lambda: (
                        self.closed
                        or self.error is not None
                        or self._written + len(samples) - self._decoded <= room
                    )
                )
            if self.closed:
                return
            samples = samples[: len(self._sound) - self._written]
            self._sound[self._written : self._written + len(samples)] = samples
            self._written += len(samples)
            late = self._written - self._decoded - room
            if late > 0 and self.error is None:
                self._decoded, self._skipped = self._decoded + late, self._skipped + late
            self._changed.notify_all()

    def close(self) -> None:
        """No more sound comes; what waits is still decoded."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """End it without decoding the rest, and tell nobody."""
        with self._changed:
            self.closed, self._decoded, self._on_change = True, self._written, lambda session: None
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget all sound and text so far; goes on if it is not closed."""
        with self._changed:
            self._round += 1
            self._begin()
            self._changed.notify_all()

    def until(self, moment: float) -> None:
        """Wait until that moment of `time.monotonic`, or until it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed, max(0.0, moment - time.monotonic()))

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self._over.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all is decoded; whether it is."""
        return self._over.wait(seconds)

    # --- results ---------------------------------------------------------------------------------------

    @property
    def audio(self) -> np.ndarray:
        """All that was recorded, (time,) at 16 kHz."""
        with self._changed:
            return self._sound[: self._written].copy()

    @property
    def utterances(self) -> list[Partial]:
        """Utterances that are complete, each with its words and their times."""
        with self._changed:
            return list(self._utterances)

    @property
    def open(self) -> Partial:
        """The utterance that is being spoken."""
        return self._open

    @property
    def text(self) -> str:
        """All that is understood by now, one line per utterance."""
        with self._changed:
            lines = [*self._utterances, self._open]
        return "\n".join(line.text for line in lines if line.text)

    @property
    def computing_ms(self) -> np.ndarray:
        """Milliseconds that the decoder took for each chunk."""
        with self._changed:
            return np.array(self._milliseconds)

    @property
    def seconds(self) -> float:
        """Seconds of sound so far."""
        return self._written / SAMPLE_RATE

    @property
    def behind(self) -> float:
        """Seconds of sound that wait for the decoder."""
        return (self._written - self._decoded) / SAMPLE_RATE

    @property
    def skipped(self) -> float:
        """Seconds that were left out, because the decoder was `MAX_BEHIND` seconds late."""
        return self._skipped / SAMPLE_RATE

    # --- the decoding thread -----------------------------------------------------------------------------

    def _next(self) -> tuple[int, np.ndarray]:
        """Wait for a chunk; the last one is shorter, and after the last one it is empty."""
        with self._changed:
            self._changed.wait_for(lambda: self.closed or self._written - self._decoded >= self._step)
            begin = self._decoded
            self._decoded = min(begin + self._step, self._written)
            self._changed.notify_all()
            return self._round, self._sound[begin : self._decoded].copy()

    def _work(self) -> None:
        try:
            self._decode()
        except Exception as error:  # whatever a model does, the recording goes on
            with self._changed:
                self.error = error
                self._changed.notify_all()
        self._over.set()
        self._on_change(self)

    def _decode(self) -> None:
        turn, stream = -1, None
        while True:
            now, chunk = self._next()
            if now != turn:
                turn, stream = now, self._model.stream(self.chunk_ms)
            if not len(chunk):
                break
            start = time.perf_counter()
            partial = stream.push(chunk)
            final = stream.next_utterance() if partial.endpoint else None
            took = 1000 * (time.perf_counter() - start)
            self._take(turn, partial, final, took)
            self._on_change(self)
        self._take(turn, Partial(), stream.finish())

    def _take(self, turn: int, partial: Partial, final: Partial | None, took: float | None = None) -> None:
        with self._changed:
            if turn != self._round:
                return  # it was cleared meanwhile
            self._open = partial if final is None else Partial()
            if final is not None and final.text:
                self._utterances.append(final)
            if took is not None:
                self._milliseconds.append(took)
