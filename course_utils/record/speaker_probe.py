"""How much of the speaker the recogniser's content features still know: a linear probe."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

from course_utils import data, features, metrics

FITTED, TESTED = 6, 4
"""Sentences of each voice that the probe is fitted to, and others that it is tested on."""


def linear_probe(
    fitted: np.ndarray, speakers: np.ndarray, tested: np.ndarray, ridge: float = 0.1
) -> np.ndarray:
    """The speaker of each row of `tested` (m, d), by ridge regression of one-hot speakers on `fitted` (n, d).

    `speakers` (n,) are numbers from 0 on. Both sets are scaled to mean 0 and variance 1 of the fitted one; `ridge` is
    the weight of the penalty beside the mean squared error.
    """
    mean, deviation = fitted.mean(0), fitted.std(0) + 1e-6
    x, new = (fitted - mean) / deviation, (tested - mean) / deviation
    target = np.eye(speakers.max() + 1)[speakers]
    middle = target.mean(0)
    weights = np.linalg.solve(x.T @ x / len(x) + ridge * np.eye(x.shape[1]), x.T @ (target - middle) / len(x))
    return (new @ weights + middle).argmax(1)


def sentences() -> list[data.Utterance]:
    """`FITTED` + `TESTED` sentences of each test voice, one voice after the other, drawn with a seed."""
    found = []
    for voice in data.voices("test"):
        said = data.speech(voice=voice.name, kind="sentence")
        found += random.Random(voice.name).sample(said, FITTED + TESTED)
    return found


@torch.inference_mode()
def described(model: torch.nn.Module, waveform: np.ndarray) -> dict[str, np.ndarray]:
    """The mean over time of a waveform (time,): of the content features (dim,), and of the log-mel (80,)."""
    log_mel = features.log_mel(waveform)
    content = model.hear(waveform).content[0, : len(log_mel) // 2]  # the silence behind it left out
    return {"content": content.mean(0).cpu().double().numpy(), "log_mel": log_mel.mean(0).astype(float)}


def measure(model: torch.nn.Module) -> dict[str, Any]:
    """How often a linear probe names the speaker, with 95 % intervals over sentences, and what guessing gives."""
    clips = sentences()
    voices = sorted({clip.voice for clip in clips})
    speakers = np.array([voices.index(clip.voice) for clip in clips])
    rows = [described(model, clip.audio) for clip in clips]
    fitted = np.arange(len(clips)) % (FITTED + TESTED) < FITTED
    found: dict[str, Any] = {"voices": len(voices), "tested": int((~fitted).sum()), "chance": 1 / len(voices)}
    for name in rows[0]:
        x = np.stack([row[name] for row in rows])
        right = linear_probe(x[fitted], speakers[fitted], x[~fitted]) == speakers[~fitted]
        found[name] = list(metrics.bootstrap_ci(right.astype(float)))
    return found
