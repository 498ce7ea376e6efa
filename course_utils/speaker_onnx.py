"""The speaker encoder by ONNX Runtime, and for a browser: one network, log-mel to voice."""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from course_utils import features
from course_utils.models.speaker_encoder import SHORTEST, SpeakerEncoder
from course_utils.waveform import AudioError, check

FILE = "speaker_encoder.onnx"
_OPSET = 17


def to_onnx(model: SpeakerEncoder, folder: str | Path) -> Path:
    """Write FILE into a folder: log_mel (batch, frames, 80) -> voice (batch, dim) of length 1. Returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    example, training = torch.zeros(2, 40, features.N_MELS), model.training
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter tells of its own future
        torch.onnx.export(
            model.eval(), (example,), str(folder / FILE), opset_version=_OPSET, dynamo=False,
            input_names=["log_mel"], output_names=["voice"],
            dynamic_axes={"log_mel": {0: "batch", 1: "frames"}, "voice": {0: "batch"}},
        )  # fmt: skip
    model.train(training)
    return folder


class OnnxSpeakerEncoder:
    """What `to_onnx` wrote, with the `embed` of the model.

    Raises:
        ValueError: the folder holds no such file, or a damaged one.
    """

    def __init__(self, folder: str | Path, threads: int = 1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        try:
            self.session = onnxruntime.InferenceSession(
                str(Path(folder) / FILE), options, ["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime has a type of its own for each
            raise ValueError(f"{folder} holds no encoder that `to_onnx` has written: {error}") from error

    def __call__(self, log_mel: np.ndarray) -> np.ndarray:
        """log_mel (batch, frames, 80) -> voices (batch, dim)."""
        return self.session.run(None, {"log_mel": np.asarray(log_mel, np.float32)})[0]

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """As `SpeakerEncoder.embed`, without its warning."""
        samples = check(waveform, min_seconds=SHORTEST)
        if np.abs(samples).max() < 1e-5:
            raise AudioError("the waveform is silent, so there is no voice in it; use another recording")
        return self(features.log_mel(samples)[None])[0]


@torch.inference_mode()
def compare(model: SpeakerEncoder, waveform: np.ndarray, seconds: bool = True) -> dict[str, float]:
    """The largest difference between the voices by torch and by ONNX Runtime; RTF of both on one thread.

    Args:
        model: in any mode.
        waveform: (time,) at 16 kHz.
        seconds: measure the RTF, too: seconds of computing for a second of sound.
    """
    with tempfile.TemporaryDirectory() as folder:
        other = OnnxSpeakerEncoder(to_onnx(model, folder))
        found = {"difference": float(np.abs(model.embed(waveform) - other.embed(waveform)).max())}
        if seconds:
            both = {"PyTorch": model, "ONNX": other}
            found |= {f"RTF, {name}": _rtf(one, waveform) for name, one in both.items()}
        del other  # its file is open as long as it is, and Windows would not remove it
    return found


def _rtf(encoder: SpeakerEncoder | OnnxSpeakerEncoder, waveform: np.ndarray) -> float:
    """Seconds for a second of sound, the best of five on one thread."""
    threads, taken = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(5):
            begin = time.perf_counter()
            encoder.embed(waveform)
            taken.append((time.perf_counter() - begin) * 16000 / len(waveform))
    finally:
        torch.set_num_threads(threads)
    return min(taken)
