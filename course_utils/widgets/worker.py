"""Work that takes a second or ten, beside the thread on which the buttons arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """One job at a time on a thread of its own; of those that come meanwhile only the last one is done.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str):
        self._name, self._changed = name, threading.Condition()
        self._next: Callable[[], object] | None = None
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a job is under way."""
        return self._busy

    def do(self, job: Callable[[], object]) -> None:
        """Have this done soon; a job that still waits is forgotten for it."""
        with self._changed:
            self._next = job
            if self._busy:
                return
            self._busy = True
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing is left to do, at most so long; returns whether it is so."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                job, self._next = self._next, None
                if job is None:
                    self._busy = False
                    self._changed.notify_all()
                    return
            try:
                job()
            except BaseException:  # jobs show their errors; one that does not must not block the next
                with self._changed:
                    self._busy, self._next = False, None
                    self._changed.notify_all()
                raise
