"""The stream of the noise remover of notebook 01 by ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils.models.enhancement import BINS, DualPathEnhancer, EnhancerStream


class FrameStep(nn.Module):
    """The enhancer on one frame (257, 2) and its state (numbers,), in real numbers, which is all ONNX has."""

    def __init__(self, model: DualPathEnhancer):
        super().__init__()
        self.model, c = model.eval(), model.config
        self.shapes = (1, 1, c.gain_width), (c.blocks, 1, c.bands, c.width)
        self.sizes = [c.gain_width, c.blocks * c.bands * c.width]

    def forward(self, frame: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """-> the enhanced frame and the next state, of the same shapes."""
        states = [x.view(shape) for x, shape in zip(state.split(self.sizes), self.shapes, strict=True)]
        mask, states = self.model.masks(frame[None, None], states)
        (a, b), (c, d) = frame.unbind(-1), mask[0, 0].unbind(-1)
        enhanced = torch.stack([a * c - b * d, a * d + b * c], -1)
        return enhanced, torch.cat([x.flatten() for x in states])


def to_onnx(model: DualPathEnhancer, path: str | Path) -> Path:
    """Write the step of a stream as an ONNX file: (frame, state) -> (enhanced, next_state)."""
    step = FrameStep(model)
    example = torch.zeros(BINS, 2), torch.zeros(sum(step.sizes))
    torch.onnx.export(
        step, example, str(path), input_names=["frame", "state"],
        output_names=["enhanced", "next_state"], opset_version=17, dynamo=False,
    )  # fmt: skip
    return Path(path)


class OnnxStream(EnhancerStream):
    """`EnhancerStream` by ONNX Runtime: no torch computes in it but the Fourier transform."""

    def __init__(self, path: str | Path, threads: int = 1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        self.state = np.zeros(self.session.get_inputs()[1].shape, np.float32)
        self.begin()

    def step(self, frames: np.ndarray) -> np.ndarray:
        """Enhance complex frames (T, 257), one after the other."""
        enhanced = np.empty_like(frames)
        for t, frame in enumerate(frames):
            parts, self.state = self.session.run(
                None, {"frame": frame.view(np.float32).reshape(-1, 2), "state": self.state}
            )
            enhanced[t] = parts.view(np.complex64)[:, 0]
        return enhanced


def quantise(path: str | Path, to: str | Path) -> Path:
    """Another ONNX file with the weights of its matrices as 8-bit integers, and a scale for each matrix."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay: ONNX Runtime has no fast ones for integers, so they would take twice the time.
    quantize_dynamic(path, to, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
    return Path(to)


def write_both(model: DualPathEnhancer, folder: str | Path) -> dict[str, Path]:
    """Both files into a folder, without the advice of exporter and quantiser: {"float32": path, "int8": path}."""
    folder, root = Path(folder), logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # the quantiser would advise preprocessing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter announces its successor
            full = to_onnx(model, folder / "float32.onnx")
            return {"float32": full, "int8": quantise(full, folder / "int8.onnx")}
    finally:
        root.setLevel(level)
