"""An assistant on a thread of its own, fed through a ring of fixed size."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from course_utils.buffers import RingBuffer
from course_utils.models.assistant import Assistant, Event
from course_utils.paths import SAMPLE_RATE

ROOM = 10.0
"""Seconds of sound that may wait; of more the oldest is overwritten."""
CHUNK = SAMPLE_RATE // 10


class Loop:
    """`write` takes sound and returns at once; a thread gives it to the assistant, and its events to `on_event`.

    What the assistant can not do in time is overwritten in the ring, and counted in `lost`. An assistant that raises
    ends the loop; `error` is what it raised.

    Args:
        assistant: what listens and replies.
        on_event: called with each event, on the thread.
        on_end: called once, when nothing more comes.
    """

    def __init__(
        self,
        assistant: Assistant,
        on_event: Callable[[Event], object],
        on_end: Callable[[], object] = lambda: None,
    ):
        self.assistant, self._on_event, self._on_end = assistant, on_event, on_end
        self._ring = RingBuffer(round(ROOM * SAMPLE_RATE))
        self._changed = threading.Condition()
        self._closed = self._interrupted = False
        self._over = threading.Event()
        self.error: Exception | None = None
        threading.Thread(target=self._work, name="Loop", daemon=True).start()

    @property
    def lost(self) -> float:
        """Seconds of sound that came too fast."""
        return self._ring.lost / SAMPLE_RATE

    @property
    def closed(self) -> bool:
        """Whether no more sound is taken."""
        return self._closed

    def write(self, samples: np.ndarray, wait: bool = False) -> None:
        """Take samples (time,) at 16 kHz; `wait` until there is room, as a file can and a microphone can not."""
        with self._changed:
            room = round(ROOM * SAMPLE_RATE) - len(samples)
            if wait:
                self._changed.wait_for(lambda: self._closed or len(self._ring) <= room)
            if not self._closed:
                self._ring.write(samples)
            self._changed.notify_all()

    def interrupt(self) -> None:
        """Stop the reply that plays, before the next sound is heard."""
        with self._changed:
            self._interrupted = True
            self._changed.notify_all()

    def close(self) -> None:
        """No more sound comes; what waits is still heard, then silence until the reply is over."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def until(self, moment: float) -> None:
        """Wait until that moment of `time.monotonic`, or until it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, max(0.0, moment - time.monotonic()))

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all is done; whether it is."""
        return self._over.wait(seconds)

    def _next(self) -> tuple[np.ndarray, bool]:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._interrupted or len(self._ring) >= CHUNK)
            interrupted, self._interrupted = self._interrupted, False
            chunk = np.zeros(0, np.float32)
            if len(self._ring) >= CHUNK or self._closed:
                _, chunk = self._ring.read(CHUNK)
            self._changed.notify_all()
            return chunk, interrupted

    def _work(self) -> None:
        try:
            while True:
                chunk, interrupted = self._next()
                events = self.assistant.stop() if interrupted else []
                if not len(chunk) and self._closed:
                    if self.assistant.reply is None:
                        self._tell(events)
                        break
                    chunk = np.zeros(CHUNK, np.float32)  # so that the clock goes on until all is said
                self._tell([*events, *(self.assistant.push(chunk) if len(chunk) else [])])
        except Exception as error:  # shown by whoever made this loop
            with self._changed:
                self.error, self._closed = error, True
                self._changed.notify_all()
        self._over.set()
        self._on_end()

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._on_event(event)
