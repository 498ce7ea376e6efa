"""Silero VAD: how likely somebody is speaking, every 32 ms."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from course_utils import audio
from course_utils.peers.base import Peer, import_from, onnx_session, package_file

FRAME, CONTEXT = 512, 64


@functools.cache
def _session(threads: int) -> Any:
    # Importing silero_vad would set the number of threads of torch to one for the whole process.
    return onnx_session(package_file("silero-vad", "silero_vad/data/silero_vad.onnx"), threads)


class SileroVAD(Peer):
    """Silero VAD 6: a small recurrent network that hears speech in any language, streaming."""

    name = "Silero VAD"
    kind = "voice activity"
    licence = "MIT"
    what = "Convolutions and an LSTM on frames of 32 ms; gives the probability of speech for each."
    parameters = 310_000
    delay_ms = 32.0

    def _find(self) -> None:
        import_from("onnxruntime", "onnxruntime")
        package_file("silero-vad", "silero_vad/data/silero_vad.onnx")

    def probabilities(self, waveform: np.ndarray) -> np.ndarray:
        """Probability of speech (frames,), one per 512 samples (32 ms); the last frame is filled up with zeros.

        Raises:
            MissingPeer: it is not installed.
            AudioError: not a mono waveform of finite floats.
        """
        waveform = self._ready(waveform)
        count = -(-len(waveform) // FRAME)
        # Each frame is heard together with the 4 ms before it.
        padded = np.zeros(CONTEXT + count * FRAME, dtype=np.float32)
        padded[CONTEXT : CONTEXT + len(waveform)] = waveform
        session, state = _session(self.threads), np.zeros((2, 1, 128), dtype=np.float32)
        rate = np.array(audio.SAMPLE_RATE, dtype=np.int64)
        result = np.empty(count, dtype=np.float32)
        for index in range(count):
            frame = padded[None, index * FRAME : (index + 1) * FRAME + CONTEXT]
            probability, state = session.run(None, {"input": frame, "state": state, "sr": rate})
            result[index] = probability.item()
        return result

    def segments(
        self, waveform: np.ndarray, threshold: float = 0.5, min_silence_seconds: float = 0.1
    ) -> list[tuple[float, float]]:
        """Stretches of speech as (start, end) in seconds; pauses shorter than `min_silence_seconds` are joined."""
        speech = self.probabilities(waveform) >= threshold
        edges = np.flatnonzero(np.diff(np.concatenate([[0], speech.astype(np.int8), [0]])))
        total, found = len(waveform) / audio.SAMPLE_RATE, []
        for start, end in edges.reshape(-1, 2) * FRAME / audio.SAMPLE_RATE:
            if found and start - found[-1][1] < min_silence_seconds:
                start = found.pop()[0]
            found.append((float(start), float(min(end, total))))
        return found
