"""How the speech detector of notebook 00 is trained: labelled mixtures, and the shipped checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils import checkpoints, data, features, noise, training
from course_utils.models.speech_detector import SpeechDetector, loss_fn, speech_frames
from course_utils.paths import SAMPLE_RATE

STEPS = 1500
SIZES = {"width": 32, "kernel": 15, "running_mean": True}


class Batches:
    """Noisy pieces of speech with their labels: `batches(step)` gives log_mel (16, 126, 80), labels (16, 126).

    The same step gives the same batch. SNR from -5 to 20 dB, and a volume that tells nothing.
    """

    def __init__(self, clips: list[np.ndarray], noises: list[np.ndarray], seconds: int = 2, size: int = 16):
        self.length, self.size, self.noises = seconds * SAMPLE_RATE, size, noises
        # A sentence has few pauses, so each gets one second of silence before and after it.
        self.clips = [np.pad(clip, SAMPLE_RATE) for clip in clips]
        self.labels = [speech_frames(clip) for clip in self.clips]

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The batch of a step."""
        draw = np.random.default_rng(step)
        pairs = [self.one(draw) for _ in range(self.size)]
        waveforms, labels = (torch.from_numpy(np.stack(values)) for values in zip(*pairs, strict=True))
        return features.log_mel(waveforms), labels.float()

    def one(self, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One piece: waveform (time,) and label (frames,)."""
        index = draw.integers(len(self.clips))
        first = draw.integers((len(self.clips[index]) - self.length) // 256)
        speech = self.clips[index][256 * first : 256 * first + self.length]
        sound = self.noises[draw.integers(len(self.noises))]
        start = draw.integers(len(sound) - self.length)
        sound = sound[start : start + self.length]
        power = np.mean(self.clips[index][self.labels[index].repeat(256)[: len(self.clips[index])]] ** 2)
        gain = np.sqrt(power / (np.mean(sound**2) + 1e-9)) * 10 ** (-draw.uniform(-5, 20) / 20)
        mixture = (speech + gain * sound) * 10 ** (draw.uniform(-20, 5) / 20)
        return mixture.astype(np.float32), self.labels[index][first : first + 1 + self.length // 256]


def varied(sound: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The same noise (time,) through a random equaliser and a random volume curve, at the same level."""
    new = noise.equalise(sound, 15, draw) * noise.swell(len(sound) / SAMPLE_RATE, draw)
    return (new * np.sqrt(np.mean(sound**2) / np.mean(new**2))).astype(np.float32)


def training_data(sentences: int = 160) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Clips of the training voices, and noises of the training types (never those of the test)."""
    clips = [u.audio for u in data.speech("train", kind="sentence")[:: max(1, 800 // sentences)][:sentences]]
    noises = [noise.generate(kind, 10, seed) for kind in noise.TRAIN_TYPES for seed in range(3)]
    noises += [noise.babble(clips[8 * i : 8 * i + 8], 10, i) for i in range(5)]
    draw = np.random.default_rng(0)
    return clips, [varied(sound, draw) for sound in noises for _ in range(4)]


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "speech_detector",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
) -> SpeechDetector:
    """Train the checkpoint and save it as `name` with its card; `state` is a file to resume from.

    It is the lesson with more sentences and steps.
    """
    torch.manual_seed(seed)
    model = SpeechDetector(**SIZES)
    history = training.fit(
        model, Batches(*training_data(sentences=800)), loss_fn, steps or STEPS, learning_rate=5e-3, ema=0.99,
        seed=seed, state=state, title="Speech detector",
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    text = checkpoints.card(
        "speech_detector",
        "Is somebody speaking? One answer per 16 ms. Built in notebooks/00_start_here.ipynb.",
        data="synthetic voices of the course (train split) with the noise generators of the train types",
        seed=seed, history=history,
        metrics={
            "training loss, last fiftieth": f"{history.smooth()[-1]:.3f}",
            **(measure(model) if measure else {}),
        },
        limits="English, one talker near the microphone; loud babble is taken for speech; notebook 00 measures it "
        "on real speech",
    )  # fmt: skip
    checkpoints.save(name, model, SIZES, text, steps=len(history.losses))
    return model
