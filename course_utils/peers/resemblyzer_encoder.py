"""Resemblyzer: a speaker encoder that was never trained on this course's voices, so it can judge them."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import audio
from course_utils.peers.base import Peer, import_from, package_file


@functools.cache
def _library() -> Any:
    import scipy.ndimage

    # It imports binary_dilation by a name that scipy is about to remove; point that name at the right place.
    sys.modules["scipy.ndimage.morphology"] = scipy.ndimage
    import_from("webrtcvad", "webrtcvad-wheels")
    return import_from("resemblyzer", "resemblyzer")


def _weights() -> Path:
    return package_file("resemblyzer", "resemblyzer/pretrained.pt")


@functools.cache
def _encoder() -> Any:
    # The weights are a pickle: it is opened only after its checksum was compared.
    return _library().VoiceEncoder("cpu", verbose=False, weights_fpath=_weights())


class Resemblyzer(Peer):
    """Speaker encoder trained with the GE2E loss (Wan et al., 2018) on 1.6 s windows.

    `threads` has no effect: it runs in torch, see torch.set_num_threads.
    """

    name = "Resemblyzer"
    kind = "speaker encoder"
    licence = "Apache-2.0"
    what = "Three LSTM layers over 40 mel bands; the mean over windows of 1.6 s, length 1."
    parameters = 1_420_000
    extra = "judges"

    def _find(self) -> None:
        _library()
        _weights()

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """Return the voice as a vector (256,) of length 1; compare two with `metrics.cosine_similarity`.

        Volume is raised to a common level and pauses are cut first. Below 1.6 s of speech it is unsure.

        Raises:
            MissingPeer: it is not installed.
            AudioError: not a mono waveform of finite floats, or no speech in it.
        """
        waveform = self._ready(waveform)
        # Its preprocessing divides by the level, and clips nothing.
        speech = (
            _library().preprocess_wav(np.clip(waveform, -1, 1)) if waveform.any() else np.zeros(0, np.float32)
        )
        if len(speech) == 0:
            raise audio.AudioError("no speech was found, so there is no voice to describe; use another clip")
        return _encoder().embed_utterance(speech).astype(np.float32)
