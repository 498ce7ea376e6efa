"""The loudspeaker of a reply: pieces of sound go to the browser as they are made, and stop at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import anywidget
import numpy as np

from course_utils import audio
from course_utils.paths import SAMPLE_RATE

from ..fallback import HtmlFallback

FOLDER = Path(__file__).parent
LONGEST = SAMPLE_RATE
"""Samples in a message: long pieces are cut, so that none is large."""


class ReplyPlayer(HtmlFallback, anywidget.AnyWidget):
    """Plays pieces of a reply one after the other, without gaps; the button in it stops a reply.

    Args:
        on_stop: called, on any thread, when the button is pressed.
    """

    _esm = FOLDER / "player.js"
    _css = FOLDER.parent / "style.css"

    def __init__(self, on_stop: Callable[[], object] = lambda: None, **kwargs: object):
        super().__init__(**kwargs)
        self._lock = threading.Lock()
        self._reply, self._seq = 0, 0
        self.on_msg(lambda _, content, __: on_stop() if content.get("kind") == "stopped" else None)

    def begin(self) -> None:
        """The next piece belongs to another reply."""
        with self._lock:
            self._reply, self._seq = self._reply + 1, 0

    def play(self, waveform: np.ndarray) -> None:
        """Play samples (time,) at 16 kHz after those that wait; what is above full scale is cut.

        Raises:
            AudioError: no mono sound, or not finite.
        """
        pcm = np.round(np.clip(audio.check(waveform), -1, 1 - 2**-15) * 2**15).astype("<i2")
        with self._lock:
            for at in range(0, len(pcm), LONGEST):
                head = {"kind": "piece", "reply": self._reply, "seq": self._seq, "rate": SAMPLE_RATE}
                self.send(head, [pcm[at : at + LONGEST].tobytes()])
                self._seq += 1

    def stop(self) -> None:
        """Be silent at once; what still arrives of this reply is not played."""
        with self._lock:
            self.send({"kind": "stop", "reply": self._reply})

    def fallback_html(self) -> str:
        """The player where no kernel runs: nothing to press."""
        return "<p><em>Replies are played here while a kernel runs.</em></p>"

    def __repr__(self) -> str:
        return "ReplyPlayer()"
