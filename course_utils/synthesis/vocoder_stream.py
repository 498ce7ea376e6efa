"""A vocoder that is fed with a log-mel as it comes."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_utils import features


def checked(log_mel: np.ndarray) -> np.ndarray:
    """The log-mel (frames, 80) as float32, or what is wrong with it."""
    if log_mel.ndim != 2 or log_mel.shape[1] != features.N_MELS:
        raise ValueError(
            f"expected a log-mel of shape (frames, 80), got {log_mel.shape}; use features.log_mel"
        )
    if not np.isfinite(log_mel).all():
        raise ValueError("the log-mel has values that are not finite numbers")
    return np.ascontiguousarray(log_mel, dtype=np.float32)


class VocoderStream:
    """The samples of the whole, frame by frame: it keeps what it can still need, waits `look_ahead` frames, and remembers
    where the clock of the pulses stood."""

    def __init__(self, vocoder: Any):
        self.vocoder = vocoder
        self._begin()

    def _begin(self) -> None:
        self.kept = np.zeros((0, features.N_MELS), np.float32)
        self.done = 0  # frames of `kept` whose samples are out
        self.at, self.ticks = 0, 0  # a frame of `kept`, and the clock in it

    def push(self, log_mel: np.ndarray) -> np.ndarray:
        """log_mel (frames, 80) -> waveform (time,), which may be empty."""
        self.kept = np.concatenate([self.kept, checked(np.asarray(log_mel))])
        return self._give(len(self.kept) - self.vocoder.config.look_ahead, None)

    def finish(self) -> np.ndarray:
        """The rest; the stream begins anew."""
        end = len(self.kept)
        rest = self._give(end - 1, (end - 1) * features.HOP_LENGTH) if end > 1 else np.zeros(0, np.float32)
        self._begin()
        return rest

    def _give(self, end: int, length: int | None) -> np.ndarray:
        if end <= self.done:
            return np.zeros(0, np.float32)
        hop = features.HOP_LENGTH
        waveform, clock = self.vocoder.follow(
            self.kept, end * hop if length is None else length, self.at, self.ticks
        )
        waveform = waveform[self.done * hop :]
        drop = max(0, end - self.vocoder.config.look_back)
        self.kept, self.done = self.kept[drop:], end - drop
        # The first window of what comes next is that of the frame before; F0 there is known, with all that it depends on.
        self.at, self.ticks = end - 1 - drop, int(clock[end - 1])
        return waveform
