"""A sentence before it is sound: which phones, how long, how high."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_utils import text

TURN = 1.13
"""Semitones that the decoder is asked for, for each that is to be heard. It follows a turn of the tune by less: asked for
3, the median F0 of 32 validation sentences rose by 2.9 and fell by 2.3, and asked for 3.4 by 3.3 and 2.6. Larger turns
were not measured."""


@dataclass
class Plan:
    """What is to be said: hidden (R, P, dim), prosody (R, P, 3), bounds (R, P + 1), steer (R, cond); R is 2 with guidance."""

    phones: list[str]
    hidden: torch.Tensor
    prosody: torch.Tensor
    bounds: torch.Tensor
    steer: torch.Tensor

    @property
    def n_frames(self) -> int:
        """Its length in frames of 16 ms."""
        return int(self.bounds[0, -1])


@torch.inference_mode()
def make_plan(
    model: Any,
    sentence: str,
    voice: np.ndarray,
    speed: float = 1.0,
    pitch: float = 0.0,
    guided: bool = True,
    own: Mapping[str, Sequence[str]] | None = None,
) -> Plan:
    """Phones, durations and tune of a sentence for a voice (voice,); row 1, if `guided`, is the same said by anybody.

    `model` has `steer`, `read`, `duration_scale` and `pitch_scale`, as `models.tts.Synthesiser`; `pitch` counts semitones;
    `own` has pronunciations of the learner's own, as `text.spoken`.
    """
    phones, words = text.spoken(sentence, own)
    starts = torch.zeros(len(phones), dtype=torch.long)
    starts[[first for _, first, _ in words]] = 1
    numbers, rows = torch.tensor(text.Vocabulary(text.PHONES).encode(phones)), 2 if guided else 1
    told, device = torch.tensor([1.0, 0.0])[:rows], model.duration_scale.device
    numbers, starts, told, voice = (x.to(device) for x in (numbers, starts, told, torch.from_numpy(voice)))
    steer = model.steer(voice.expand(rows, -1), told)
    hidden, prosody = model.read(numbers.expand(rows, -1), starts.expand(rows, -1), steer)
    prosody = prosody[:1].expand(rows, -1, -1)  # anybody keeps this voice's timing and tune
    frames = (prosody[0, :, 0].exp() * model.duration_scale / speed).clamp(min=1)
    bounds = (F.pad(frames.cumsum(0), (1, 0)) + 0.5).floor().long().expand(rows, -1)
    turn = F.pad(TURN * pitch / model.pitch_scale[1:], (0, 2))  # semitones, in the units of the model
    return Plan(phones, hidden, prosody[..., 1:] + turn, bounds, steer)
