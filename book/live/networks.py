"""Networks that only the browser needs as ONNX files, and files that are as small as the checkpoints they come from."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from course_utils.models.music import (
    BARS,
    MAX_HELD,
    MAX_LEAP,
    N_TOKENS,
    NO_LEAP,
    START,
    ChoraleTransformer,
)
from course_utils.music import LOWEST
from course_utils.text.letter_to_phone import LettersToPhones

SMALL = 1024
"""Tensors of fewer numbers stay as they are: they are a small part of any file."""


class LikeliestPhones(nn.Module):
    """The letter-to-phone network, of whose two answers the browser needs the better one."""

    def __init__(self, network: LettersToPhones):
        super().__init__()
        self.network = network

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        """letters (1, length) -> log-probabilities (1, 2 length, symbols)."""
        return self.network(letters)[1]


def g2p_to_onnx(network: LettersToPhones, path: Path) -> Path:
    """Write the letter-to-phone network: letters (1, length) -> log_probs (1, 2 length, symbols)."""
    return write(
        LikeliestPhones(network), {"letters": torch.zeros(1, 5, dtype=torch.long)}, ["log_probs"], path,
        {"letters": {1: "length"}, "log_probs": {1: "slots"}},
    )  # fmt: skip


class Remembered:
    """Keys and values of one layer as `music_writing.Cache` has them, but without a buffer: ONNX has no state."""

    def __init__(self, past: torch.Tensor):
        self.k, self.v = past.unbind(1)

    def append(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values (B, H, 1, d) of a new step behind those of the past; returns those of all steps."""
        self.k, self.v = torch.cat([self.k, k], 2), torch.cat([self.v, v], 2)
        return self.k, self.v


class NextStep(nn.Module):
    """The trunk of the chorale transformer for one step, its past an input and an output."""

    def __init__(self, model: ChoraleTransformer):
        super().__init__()
        self.model = model

    def forward(self, last, held, reached, place, past) -> tuple[torch.Tensor, torch.Tensor]:
        """last, held, reached (B, 4), place (B,), past (B, layers, 2, H, S, d) -> context (B, 4, h), past of S + 1 steps."""
        caches = [Remembered(layer) for layer in past.unbind(1)]
        known = (x[:, None] for x in (last, held, reached, place))
        context = self.model.trunk(*known, caches)[:, 0]
        return context, torch.stack([torch.stack([one.k, one.v], 1) for one in caches], 1)


class Voice(nn.Module):
    """One of the four voices: what it could sing in a step in which the voices above have chosen."""

    def __init__(self, model: ChoraleTransformer, voice: int):
        super().__init__()
        self.head, self.voice = model.head, voice

    def forward(self, context: torch.Tensor, last: torch.Tensor, *above: torch.Tensor) -> torch.Tensor:
        """context (B, 4, h), last (B, 4) and the notes (B,) of each voice above -> logits (B, tokens)."""
        return self.head.logits(self.voice, context, last, list(above))


def music_to_onnx(model: ChoraleTransformer, folder: Path) -> list[Path]:
    """Write the chorale transformer as step.onnx and voice0.onnx to voice3.onnx; the number of pieces is free.

    Inputs that a model does not use (without intervals: how a note was reached) are missing in the files.
    """
    c, b, s = model.config, 2, 3
    size = c.d_model // c.n_heads
    chord, pieces = torch.full((b, 4), START), {0: "pieces"}
    inputs = {
        "last": chord, "held": torch.zeros_like(chord), "reached": torch.full((b, 4), NO_LEAP),
        "place": torch.zeros(b, dtype=torch.long), "past": torch.zeros(b, c.n_layers, 2, c.n_heads, s, size),
    }  # fmt: skip
    axes = {name: pieces for name in (*inputs, "context", "next_past")}
    axes |= {"past": {0: "pieces", 4: "steps"}, "next_past": {0: "pieces", 4: "steps_then"}}
    written = [write(NextStep(model), inputs, ["context", "next_past"], folder / "step.onnx", axes)]
    for voice in range(4):
        given = {"context": torch.zeros(b, 4, c.d_head), "last": chord}
        given |= {f"above{u}": torch.ones(b, dtype=torch.long) for u in range(voice)}
        path = folder / f"voice{voice}.onnx"
        written.append(
            write(Voice(model, voice), given, ["logits"], path, dict.fromkeys([*given, "logits"], pieces))
        )
    return written


def music_facts(model: ChoraleTransformer) -> dict:
    """Sizes that the browser needs to begin."""
    c = model.config
    return {
        "past": [c.n_layers, 2, c.n_heads, 0, c.d_model // c.n_heads], "tokens": N_TOKENS, "lowest": LOWEST,
        "max_held": MAX_HELD, "max_leap": MAX_LEAP, "bars": BARS,
    }  # fmt: skip


def write(
    network: nn.Module, inputs: dict[str, torch.Tensor], outputs: list[str], path: Path, axes: dict
) -> Path:
    """An ONNX file of a network with these examples of its inputs; `axes` names those that vary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter announces its successor
        torch.onnx.export(
            network.eval(), tuple(inputs.values()), str(path), input_names=list(inputs),
            output_names=outputs, dynamic_axes=axes, opset_version=17, dynamo=False,
        )  # fmt: skip
    return path


def pack(path: Path) -> Path:
    """Store the weights of an ONNX file as the checkpoint has them: int8 with a step for each row, or float16.

    The file multiplies them out itself (Cast, Mul). ONNX Runtime does so once, when it is loaded, so the network
    computes with the same float32 numbers as before and is as fast; only the reader's download is smaller. Weights
    that are neither (the exporter has merged some with a norm) stay float32.
    """
    model = onnx.load(path)
    nodes, kept = [], []
    for tensor in model.graph.initializer:
        stored = _stored(tensor)
        kept += stored[0] if stored else [tensor]
        nodes += stored[1] if stored else []
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes + rest)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def _stored(tensor: TensorProto) -> tuple[list[TensorProto], list[onnx.NodeProto]] | None:
    """A tensor in fewer bits and the nodes that bring it back under its name; None where that would change it."""
    if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < SMALL:
        return None
    values, name = numpy_helper.to_array(tensor), tensor.name
    if np.array_equal(values, values.astype(np.float16)):
        half = numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
        return [half], [helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)]
    every = tuple(range(values.ndim))
    # Rows may be any axis, as the exporter turns matrices round; a GRU has rows for each of two directions.
    for others in [*(every[:axis] + every[axis + 1 :] for axis in every), every[-1:]]:
        step = np.abs(values).max(others, keepdims=True) / np.float32(127)
        whole = values / np.where(step > 0, step, 1)
        rounded = whole.round()
        if np.abs(whole - rounded).max() < 1e-3:
            parts = [
                numpy_helper.from_array(rounded.astype(np.int8), f"{name}_int8"),
                numpy_helper.from_array(step.astype(np.float32), f"{name}_step"),
            ]
            return parts, [
                helper.make_node("Cast", [parts[0].name], [f"{name}_whole"], to=TensorProto.FLOAT),
                helper.make_node("Mul", [f"{name}_whole", parts[1].name], [name]),
            ]
    return None
