"""A plan of notebook 04 with other durations or another tune, and its sound: what the widgets do, as plain calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from course_utils import features
from course_utils.synthesis.plan import TURN
from course_utils.synthesis.sentences import sentences

LONGEST_FRAMES = 250
"""Of one phone: 4 s."""
MOST_SEMITONES = 24.0


class Speaks(Protocol):
    """What the widgets need of a model; `checkpoints.load("tts")` has it, and yours from the notebook.

    Also `pitch_scale` (2,), mean and deviation of the pitch in semitones, and `TEMPERATURE`, the deviation of the
    noise that the flow begins with.
    """

    speakers: Sequence[str]
    vocoder: Any

    def voice(self, speaker: str) -> np.ndarray:
        """The numbers (voice,) of a speaker."""
        ...

    def plan(self, sentence: str, voice: np.ndarray, speed: float, pitch: float, guided: bool) -> Any:
        """What is to be said: `phones`, `prosody` (rows, phones, 3), `bounds` (rows, phones + 1) in frames."""
        ...

    def decode(self, plan: Any, noise: torch.Tensor) -> np.ndarray:
        """Plan -> log-mel (frames, 80)."""
        ...

    def stream(
        self, text: str, speaker: str | None, spk_emb: np.ndarray | None, seed: int, **how: Any
    ) -> Iterator:
        """Waveform (time,) piece by piece."""
        ...


def one_sentence(text: str) -> str:
    """The sentence in a text, as a model reads it.

    Raises:
        ValueError: nothing to say, or more than one sentence.
    """
    found = list(sentences(text))
    if len(found) > 1:
        raise ValueError(f"expected one sentence, got {len(found)}: choose one of them, up to 40 words")
    return found[0]


def change_plan(
    model: Speaks,
    plan: Any,
    frames: Mapping[int, int] | None = None,
    semitones: Mapping[int, float] | None = None,
) -> Any:
    """A copy of `plan` in which some phones last longer or shorter, or are higher or lower.

    What follows a phone that grows comes later by as much; `plan` itself stays as it is.

    Args:
        model: whose plan it is.
        plan: as `model.plan` returns it.
        frames: new duration by number of the phone, in frames of 16 ms, 1 to 250.
        semitones: by number of the phone, -24 to 24; unvoiced phones have no pitch, and hardly change.

    Raises:
        ValueError: no such phone, or a number out of its range.
    """
    frames, semitones = dict(frames or {}), dict(semitones or {})
    for phone in {*frames, *semitones}:
        if not 0 <= phone < len(plan.phones):
            raise ValueError(f"there is no phone {phone}; they have the numbers 0 to {len(plan.phones) - 1}")
    lengths, prosody = plan.bounds.diff(dim=-1), plan.prosody.clone()
    for phone, count in frames.items():
        if isinstance(count, bool) or int(count) != count or not 1 <= count <= LONGEST_FRAMES:
            raise ValueError(
                f"frames of phone {phone}: expected 1 to {LONGEST_FRAMES} whole ones, got {count!r}"
            )
        lengths[:, phone] = int(count)
    for phone, shift in semitones.items():
        if not -MOST_SEMITONES <= shift <= MOST_SEMITONES:
            raise ValueError(f"semitones of phone {phone}: expected -24 to 24, got {shift!r}")
        prosody[:, phone, 0] += TURN * shift / float(model.pitch_scale[1])  # in the units of the model
    bounds = torch.nn.functional.pad(lengths.cumsum(-1), (1, 0)) + plan.bounds[:, :1]
    return dataclasses.replace(plan, bounds=bounds, prosody=prosody)


def say_plan(model: Speaks, plan: Any, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The log-mel (frames, 80) and the waveform (time,) of a plan: decode, then vocoder, as `say` does with its own."""
    generator = torch.Generator().manual_seed(seed)
    count = int(plan.bounds[0, -1])
    noise = model.TEMPERATURE * torch.randn(count, features.N_MELS, generator=generator)
    log_mel = model.decode(plan, noise)
    return log_mel, np.asarray(model.vocoder(log_mel), np.float32)
