"""What can be read off a log-mel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from course_utils import features

FRICATIVES = frozenset(["S", "SH", "F", "TH", "Z", "ZH"])


def fricative_detail(log_mel: np.ndarray, phones: Sequence[str], bounds: np.ndarray) -> float:
    """How much neighbouring frames of hissing sounds differ, in dB: a mean hiss hardly does, a real one flickers.

    log_mel (frames, 80), phones (P,), bounds (P + 1,) in frames -> root mean square of the differences between frames inside of S,
    SH, F, TH, Z and ZH; nan where there is none of two frames.
    """
    edges = np.ceil(bounds).astype(int)
    changes = [
        np.diff(log_mel[first + 1 : end], axis=0)
        for phone, first, end in zip(phones, edges[:-1], edges[1:], strict=True)
        if phone in FRICATIVES and end - first >= 3
    ]
    return float(20 * np.sqrt(np.mean(np.concatenate(changes) ** 2))) if changes else float("nan")


Timed = tuple[np.ndarray, Sequence[str], np.ndarray]
"""Log-mel (frames, 80), phones (P,), and where they begin and end in frames (P + 1,)."""


def recorded_mels(clips: Sequence[Any]) -> list[Timed]:
    """Log-mels of clips of the corpus with their phones."""
    return [
        (features.log_mel(clip.audio), clip.phones, np.r_[clip.phone_times[:, 0], clip.duration] * 62.5)
        for clip in clips
    ]


def spoken_mels(model: Any, texts: Sequence[str], steps: int = 4) -> list[Timed]:
    """Log-mels of texts in the first voice of `model` with their phones, without guidance, the same noise each time."""
    voice, noise, found = model.voice(model.speakers[0]), torch.Generator().manual_seed(0), []
    for text in texts:
        plan = model.plan(text, voice, guided=False)
        start = model.TEMPERATURE * torch.randn(plan.n_frames, features.N_MELS, generator=noise)
        log_mel = model.decode(plan, start, steps=steps, guidance=0.0)
        found.append((log_mel, plan.phones, plan.bounds[0].numpy()))
    return found


def edge_errors(durations: Sequence[np.ndarray], true_ends: Sequence[np.ndarray]) -> np.ndarray:
    """How far the edges between phones are from the true ones (edges,), in ms.

    durations: frames of each phone, clip by clip; true_ends: where each phone really ends, in frames. An edge lies half a
    frame before the frame that begins there, which stands for its middle.
    """
    pairs = zip(durations, true_ends, strict=True)
    return 16 * np.abs(np.concatenate([(np.cumsum(found) - 0.5 - ends)[:-1] for found, ends in pairs]))


@torch.inference_mode()
def guessed_mel(model: Any, plan: Any) -> np.ndarray:
    """The log-mel (frames, 80) that `model` guesses for a plan by regression alone, before the flow."""
    steer = plan.steer
    _, guess = model.frames(
        plan.hidden, plan.prosody, plan.bounds, steer * torch.sigmoid(steer), 0, plan.n_frames
    )
    return (guess[0] * model.mel_scale[1] + model.mel_scale[0]).numpy()
