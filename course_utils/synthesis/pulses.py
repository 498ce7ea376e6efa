"""The pulses of a voice for a vocoder: how fast they come, read from a log-mel, and the phases that they have in each frame."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_utils import features
from course_utils.synthesis.convnext import ConvNeXt, Convolution

LOWEST, HIGHEST, STEPS = 55.0, 500.0, 128
"""F0 in Hz from which and up to which it is looked for, in so many equal steps of its logarithm."""


class PitchReader(nn.Module):
    """F0 and voicing from a log-mel (B, frames, 80): which of `STEPS` steps of log F0, as CREPE does (Kim et al., 2018).

    A log-mel has teeth where harmonics are, and at low frequencies its bands are narrow enough to see them. The vocoder
    keeps it in double precision: what is summed up over a sentence must not depend on how the sentence was cut.
    """

    AHEAD, BEHIND = 3, 7
    """Frames of the future and of the past that a frame depends on."""

    def __init__(self, dim: int = 64, blocks: int = 2, kernel: int = 5):
        super().__init__()
        self.first = Convolution(features.N_MELS, dim, 3, ahead=1)
        self.blocks = nn.ModuleList(ConvNeXt(dim, 2 * dim, kernel, 1, 1 / blocks) for _ in range(blocks))
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, STEPS + 1)
        centres = torch.linspace(math.log(LOWEST), math.log(HIGHEST), STEPS)
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
        """log_mel (B, frames, 80) -> (B, frames, 1 + `STEPS`): logits of voicing and of the steps; no level counts."""
        x = log_mel.clamp(min=-6).to(self.out.weight.dtype)
        x = self.first((x - x.mean(-1, keepdim=True)).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))

    def read(self, log_mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log_mel (B, frames, 80) -> F0 in Hz, also where there is none, and the probability of a voice, (B, frames) each.

        F0 is the mean about the most probable step, four steps to each side.
        """
        logits = self(log_mel)
        steps = logits[..., 1:].softmax(-1)
        near = (torch.arange(STEPS, device=steps.device) - steps.argmax(-1, keepdim=True)).abs() <= 4
        near = steps * near
        return ((near * self.centres).sum(-1) / near.sum(-1)).exp(), logits[..., 0].sigmoid()


def pitch_loss(reader: PitchReader, log_mel: torch.Tensor, f0: torch.Tensor) -> torch.Tensor:
    """log_mel (B, frames, 80), f0 (B, frames) in Hz, 0 unvoiced -> scalar: cross entropies of voicing and of the step."""
    logits, voiced = reader(log_mel), (f0 > 0).float()
    place = (f0.clamp(min=LOWEST).log() - math.log(LOWEST)) / math.log(HIGHEST / LOWEST) * (STEPS - 1)
    target = torch.softmax(-((torch.arange(STEPS, device=f0.device) - place[..., None]) ** 2) / 2, -1)
    wrong = -(target * logits[..., 1:].log_softmax(-1)).sum(-1)
    voicing = F.binary_cross_entropy_with_logits(logits[..., 0], voiced)
    return voicing + (wrong * voiced).sum() / voiced.sum().clamp(min=1)


def doubled(x: torch.Tensor) -> torch.Tensor:
    """(B, frames, ...) -> (B, 2 frames, ...): between two frames their mean, after the last one itself."""
    following = torch.cat([x[:, 1:], x[:, -1:]], 1)
    return torch.stack([x, (x + following) / 2], 2).flatten(1, 2)


def ticks_per_cycle(hop_length: int) -> int:
    """Ticks of `clock` from pulse to pulse: it counts in parts of 1/16 Hz for two frames."""
    return 2 * 16 * features.SAMPLE_RATE // hop_length


def clock(hz: torch.Tensor, hop_length: int, at: torch.Tensor | int = 0, ticks: torch.Tensor | int = 0):
    """hz (B, n) of frames `hop_length` apart -> ticks (B, n) since a pulse, int64, if they are `ticks` in the frame `at`.

    Whole numbers, so that a stream gives what the whole gives, and a harmonic is in its place after an hour, too.
    """
    parts = (16 * hz).round().long()
    turned = F.pad(parts[:, 1:] + parts[:, :-1], (1, 0)).cumsum(1)
    return turned - turned[:, at].reshape(-1, 1) + ticks


def pulses(
    ticks: torch.Tensor, hz: torch.Tensor, bins: int, hop_length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Phases of a train of pulses: `clock` (B, n) and hz (B, n) of its frames -> cosine and sine (B, n, bins).

    A pulse train is a sum of harmonics of equal strength, and harmonic h has turned h times as far as the pulses. In
    the spectrum of a Hann window a wave is a hill of four bins (Harris, 1978), so in each bin the three nearest
    harmonics are added up; the length of the sum is made 1. Phase 0 is a wave whose crest is in the middle of the window.
    """
    hz, width, cycle = (
        hz.float()[..., None],
        features.SAMPLE_RATE / 2 / (bins - 1),
        ticks_per_cycle(hop_length),
    )
    at = torch.arange(bins, device=hz.device) * width
    nearest = (at / hz).round().clamp(min=1)
    real, imaginary = 0.0, 0.0
    for harmonic, least in ((nearest - 1, 0.0), (nearest, 0.02), (nearest + 1, 0.0)):
        off = ((at - harmonic * hz) / width).clamp(-1.999, 1.999)
        off = (
            torch.where((off.abs() - 1).abs() < 1e-3, off * 0.998, off).abs() + 1e-4
        )  # at 0 and 1 0 / 0 would come
        height = (torch.sin(math.pi * off) / (math.pi * off * (1 - off**2))).clamp(min=least) * (harmonic > 0)
        angle = (harmonic.long() * ticks[..., None] % cycle).float() * (2 * math.pi / cycle)
        real, imaginary = real + height * angle.cos(), imaginary + height * angle.sin()
    size = (real**2 + imaginary**2 + 1e-8).sqrt()
    return real / size, imaginary / size
