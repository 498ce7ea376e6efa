"""RNNoise through its shared library: gains on bands from a small recurrent network, at 48 kHz."""

from __future__ import annotations

import ctypes
import functools
import sys

import numpy as np

from course_utils.peers.base import Enhancer, package_file, run_frames

FRAME = 480
LIBRARY = {"darwin": "librnnoise.dylib", "win32": "rnnoise.dll"}.get(sys.platform, "librnnoise.so")


@functools.cache
def _library() -> ctypes.CDLL:
    # The Python part of pyrnnoise imports packages that are of no use here; its library stands alone.
    library = ctypes.CDLL(str(package_file("pyrnnoise", f"pyrnnoise/{LIBRARY}")))
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_destroy.restype = None
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.rnnoise_process_frame.restype = ctypes.c_float
    return library


class RNNoise(Enhancer):
    """RNNoise 0.2 (after Valin, 2018) with the weights that pyrnnoise carries."""

    name = "RNNoise"
    licence = "BSD-3-Clause"
    what = "Recurrent network that sets the gains of 32 bands every 10 ms; the successor of the 2018 model."
    parameters = 2_890_000  # summed from the float arrays inside the library
    delay_ms = 30.0
    sample_rate = 48_000
    lag = 960

    def _find(self) -> None:
        _library()

    def _enhance(self, samples: np.ndarray) -> np.ndarray:
        library = _library()
        state = library.rnnoise_create(None)
        output = np.empty(FRAME, dtype=np.float32)

        def process(frame: np.ndarray) -> np.ndarray:
            # The library counts in 16-bit steps.
            scaled = np.ascontiguousarray(frame * 32768, dtype=np.float32)
            library.rnnoise_process_frame(state, output.ctypes.data, scaled.ctypes.data)
            return output / 32768

        try:
            return run_frames(process, samples, FRAME, self.lag)
        finally:
            library.rnnoise_destroy(state)
