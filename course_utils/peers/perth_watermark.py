"""PerTh: a watermark that two networks learnt to write and to read; in the open speech models of Resemble AI."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from course_utils import audio
from course_utils.peers.base import Peer, import_from


@functools.cache
def _marker() -> Any:
    # Its weights come inside the package, and torch opens them; from 2.6 on it refuses what is no tensor by default.
    return import_from("perth", "resemble-perth").PerthImplicitWatermarker()


class Perth(Peer):
    """PerTh (Perceptual Threshold), implicit version: it hides bits where loud tones mask them.

    `threads` has no effect: it runs in torch, see torch.set_num_threads.
    """

    name = "PerTh"
    kind = "watermark"
    licence = "MIT"
    what = "A network that writes a mark into the spectrogram where it is masked, and one that reads it."
    extra = "judges"

    def _find(self) -> None:
        if not hasattr(import_from("perth", "resemble-perth"), "PerthImplicitWatermarker"):
            raise ImportError("the package resemble-perth is not a version that the course knows")

    def missing(self) -> str:
        """What is missing and how to install it, in one sentence; empty where it is available."""
        try:
            self._find()
        except (ImportError, OSError) as error:
            return f"{self.name} is not available ({error}); run: pip install resemble-perth"
        return ""

    def mark(self, waveform: np.ndarray) -> np.ndarray:
        """The waveform (time,) with its mark.

        Raises:
            MissingPeer: it is not installed.
            AudioError: not a mono waveform of finite floats.
        """
        waveform = self._ready(waveform)
        marked = _marker().apply_watermark(waveform, sample_rate=audio.SAMPLE_RATE)
        marked = np.asarray(marked, dtype=np.float32).ravel()
        return np.pad(marked, (0, max(0, len(waveform) - len(marked))))[: len(waveform)]

    def found(self, waveform: np.ndarray) -> bool:
        """Whether it finds its mark.

        Raises:
            MissingPeer: it is not installed.
            AudioError: not a mono waveform of finite floats.
        """
        waveform = self._ready(waveform)
        return bool(np.mean(_marker().get_watermark(waveform, sample_rate=audio.SAMPLE_RATE)) >= 0.5)
