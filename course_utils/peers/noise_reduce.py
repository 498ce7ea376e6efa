"""noisereduce: spectral gating, the first thing that `pip install` finds for noise."""

from __future__ import annotations

import numpy as np

from course_utils.peers.base import Enhancer, import_from


class NoiseReduce(Enhancer):
    """Spectral gate with its default, non-stationary settings (Sainburg, 2020); it needs the whole clip."""

    name = "noisereduce"
    licence = "MIT"
    what = "Spectral gating that follows the noise floor over the whole clip; no training."

    def _find(self) -> None:
        import_from("noisereduce", "noisereduce")

    def _enhance(self, samples: np.ndarray) -> np.ndarray:
        if not samples.any():
            return samples.copy()  # it divides by the level
        noisereduce = import_from("noisereduce", "noisereduce")
        # Its threads are joblib processes that cost more than they save on clips, so `threads` is not passed on.
        return noisereduce.reduce_noise(y=samples, sr=self.sample_rate).astype(np.float32)
