# Written from notebooks/04_multispeaker_tts.ipynb by `course export`: edit the notebook, not this file.
"""A synthesiser: phones and a voice to log-mel by flow matching; built in notebook 04."""

__all__ = ['SOUNDS', 'SOUND_OF', 'STRESS_OF', 'SynthesiserConfig', 'Block', 'stack', 'TextEncoder', 'ProsodyPredictor',
           'regulate', 'FrameDecoder', 'FlowDecoder', 'VoiceEncoder', 'Synthesiser']


import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import features, text


SOUNDS = tuple(dict.fromkeys(phone.rstrip("012") for phone in text.PHONES))  # silence and 39 phones
SOUND_OF = [SOUNDS.index(phone.rstrip("012")) for phone in text.PHONES]
STRESS_OF = [1 + int(phone[-1]) if phone[-1] in "012" else 0 for phone in text.PHONES]


@dataclass
class SynthesiserConfig:
    """Sizes of the model; the defaults are those of the checkpoint."""

    dim: int = 192  # features of a phone, and of what a frame should sound like
    encoder_blocks: int = 4
    predictor_blocks: int = 2
    frame_blocks: int = 2
    flow_dim: int = 224
    flow_blocks: int = 7
    kernel: int = 7  # phones or frames that a convolution sees
    expand: int = 2  # the hidden layer of a block is this many times wider
    cond: int = 96  # numbers that steer the blocks: the voice and the time of the flow
    voice: int = 128  # numbers of a voice
    voice_dim: int = 64
    voice_blocks: int = 3
    dropout: float = 0.1
    spread: float = 0.25  # supposed variance of the normalised log-mel about the guess


class Block(nn.Module):
    """ConvNeXt block (Liu et al., 2022): mix over time feature by feature, then over features; `cond` steers it."""

    def __init__(self, dim: int, config: SynthesiserConfig, dropout: float = 0.0, cond: int | None = None):
        super().__init__()
        cond = config.cond if cond is None else cond
        self.conv = nn.Conv1d(dim, dim, config.kernel, padding=config.kernel // 2, groups=dim)
        self.film = nn.Linear(cond, 2 * dim) if cond else None
        self.up, self.down = nn.Linear(dim, config.expand * dim), nn.Linear(config.expand * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 0.2))
        self.dropout = nn.Dropout(dropout)
        if cond:
            nn.init.zeros_(self.film.weight), nn.init.zeros_(self.film.bias)

    def forward(self, x: torch.Tensor, cond: torch.Tensor | None = None, mask: torch.Tensor | None = None):
        """x (B, T, dim), cond (B, cond), mask (B, T, 1) of 1 inside and 0 in the padding -> (B, T, dim)."""
        y = x if mask is None else x * mask
        y = F.layer_norm(self.conv(y.transpose(1, 2)).transpose(1, 2), y.shape[-1:])
        if self.film is not None:
            scale, shift = self.film(cond)[:, None].chunk(2, -1)
            y = y * (1 + scale) + shift
        return x + self.gamma * self.dropout(self.down(F.silu(self.up(y))))


def stack(n: int, dim: int, config: SynthesiserConfig, dropout: float) -> nn.ModuleList:
    """`n` blocks that follow each other."""
    return nn.ModuleList(Block(dim, config, dropout) for _ in range(n))


class TextEncoder(nn.Module):
    """What every phone is among its neighbours."""

    def __init__(self, config: SynthesiserConfig):
        super().__init__()
        d = config.dim
        self.register_buffer("sound_of", torch.tensor(SOUND_OF), persistent=False)
        self.register_buffer("stress_of", torch.tensor(STRESS_OF), persistent=False)
        self.sound, self.stress, self.start = nn.Embedding(len(SOUNDS), d), nn.Embedding(4, d), nn.Embedding(2, d)  # fmt: skip
        self.blocks = stack(config.encoder_blocks, d, config, config.dropout)
        for embedding in (self.sound, self.stress, self.start):
            nn.init.normal_(embedding.weight, std=0.5)

    def forward(self, phones, starts, cond: torch.Tensor, mask=None) -> torch.Tensor:
        """phones (B, P) as numbers of text.PHONES, starts (B, P) 1 where a word begins -> (B, P, dim)."""
        x = self.sound(self.sound_of[phones]) + self.stress(self.stress_of[phones]) + self.start(starts)
        for block in self.blocks:
            x = block(x, cond, mask)
        return x


class ProsodyPredictor(nn.Module):
    """How long every phone lasts, how high it is, whether it is voiced, how loud."""

    def __init__(self, config: SynthesiserConfig):
        super().__init__()
        self.blocks = stack(config.predictor_blocks, config.dim, config, config.dropout)
        self.out = nn.Linear(config.dim, 4)
        nn.init.zeros_(self.out.weight), nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor, cond: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """x (B, P, dim) -> (B, P, 4): log of the frames, normalised pitch, share that is voiced, normalised level."""
        for block in self.blocks:
            x = block(x, cond, mask)
        return self.out(F.layer_norm(x, x.shape[-1:]))


def regulate(bounds: torch.Tensor, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Length regulator: bounds (B, P + 1), where phones begin and end -> for frames first to end: which phone (B, T), and where.

    Where: (B, T, 4), the place in the phone, -0.5 to 0.5; frames since its begin and to its end; its length.
    """
    t = torch.arange(first, end, device=bounds.device).expand(len(bounds), -1).contiguous()
    phone = torch.searchsorted(bounds[:, 1:].contiguous(), t, right=True).clamp(max=bounds.shape[1] - 2)
    begin, stop = bounds.gather(1, phone), bounds.gather(1, phone + 1)
    since, left, length = t - begin + 0.5, stop - t - 0.5, (stop - begin).clamp(min=1)
    near = (since / 10).clamp(max=1), (left / 10).clamp(0, 1)
    return phone, torch.stack([since / length - 0.5, *near, length.log() / 3], -1).float()


class FrameDecoder(nn.Module):
    """Phones at the rate of frames, blended, and a guess of the log-mel: the mean of all ways to say it."""

    def __init__(self, config: SynthesiserConfig):
        super().__init__()
        d = config.dim
        self.prosody_in, self.place_in = nn.Linear(3, d), nn.Linear(4, d)
        self.blocks = stack(config.frame_blocks, d, config, config.dropout)
        self.out = nn.Linear(d, features.N_MELS)

    def forward(self, x, prosody, bounds, cond, first: int, end: int, mask=None):
        """x (B, P, dim), prosody (B, P, 3), bounds (B, P + 1) -> frames (B, T, dim), guess (B, T, 80), T = end - first."""
        x = x + self.prosody_in(prosody)
        phone, place = regulate(bounds, first, end)
        y = x.gather(1, phone[..., None].expand(-1, -1, x.shape[-1])) + self.place_in(place)
        for block in self.blocks:
            y = block(y, cond, mask)
        y = F.layer_norm(y, y.shape[-1:])
        return y, self.out(y)


class FlowDecoder(nn.Module):
    """The velocity that carries noise (t = 0) to a normalised log-mel (t = 1)."""

    def __init__(self, config: SynthesiserConfig):
        super().__init__()
        f, mels = config.flow_dim, features.N_MELS
        self.spread = config.spread
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000), 32)), persistent=False)  # fmt: skip
        self.time_in = nn.Sequential(nn.Linear(64, config.cond), nn.SiLU(), nn.Linear(config.cond, config.cond))  # fmt: skip
        self.frames_in, self.mel_in = nn.Linear(config.dim, f), nn.Linear(mels, f)
        self.blocks = stack(config.flow_blocks, f, config, 0.0)
        self.out = nn.Linear(f, mels)
        nn.init.zeros_(self.out.weight), nn.init.zeros_(self.out.bias)

    def forward(self, x, t, frames, guess, steer, mask=None) -> torch.Tensor:
        """x (B, T, 80) on the way, t (B,), frames (B, T, dim), guess (B, T, 80), steer (B, cond) -> (B, T, 80)."""
        angle = t[:, None] * self.frequencies
        cond = F.silu(self.time_in(torch.cat([angle.sin(), angle.cos()], -1)) + steer)
        y = self.mel_in(x) + self.frames_in(frames)
        for block in self.blocks:
            y = block(y, cond, mask)
        t = t[:, None, None]
        pull = (t * self.spread - (1 - t)) / (t**2 * self.spread + (1 - t) ** 2)
        return guess + (x - t * guess) * pull + self.out(F.layer_norm(y, y.shape[-1:]))


class VoiceEncoder(nn.Module):
    """How somebody sounds, in `voice` numbers: frames are looked at, weighed, and summed up by mean and deviation."""

    RANGE = 3.0  # powers of ten below the loudest point that are kept: 60 dB

    def __init__(self, config: SynthesiserConfig):
        super().__init__()
        d = config.voice_dim
        self.enter = nn.Linear(features.N_MELS, d)
        self.blocks = nn.ModuleList(Block(d, config, config.dropout, cond=0) for _ in range(config.voice_blocks))  # fmt: skip
        self.attend, self.out = nn.Linear(d, d), nn.Linear(2 * d, config.voice)

    def forward(self, log_mel: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """log_mel (B, T, 80), mask (B, T, 1) -> (B, voice) of length 1, the same at every level."""
        mask = torch.ones_like(log_mel[..., :1]) if mask is None else mask
        loudest = log_mel.masked_fill(mask == 0, -10.0).amax((1, 2), keepdim=True)
        x = torch.maximum(log_mel, loudest - self.RANGE)
        x = x - (x * mask).sum((1, 2), keepdim=True) / (mask.sum((1, 2), keepdim=True) * x.shape[2])
        y = self.enter(x)
        for block in self.blocks:
            y = block(y, mask=mask)
        weight = (self.attend(y).float() + (mask - 1) * 1e4).softmax(1)
        mean = (weight * y).sum(1, keepdim=True)
        deviation = (weight * (y - mean) ** 2).sum(1).clamp(min=1e-5).sqrt()
        return F.normalize(self.out(torch.cat([mean[:, 0], deviation], -1)).float(), dim=-1)


class Synthesiser(nn.Module):
    """Phones and a voice -> log-mel. Means and deviations of the training data travel with the weights."""

    def __init__(self, config: SynthesiserConfig | None = None):
        super().__init__()
        self.config = config = config or SynthesiserConfig()
        self.register_buffer("mel_scale", torch.tensor([[-2.5], [0.9]]).repeat(1, features.N_MELS))  # fmt: skip
        self.register_buffer("pitch_scale", torch.tensor([8.0, 6.0]))  # in semitones above 100 Hz
        self.register_buffer("level_scale", torch.tensor([-35.0, 15.0]))  # in dB
        self.register_buffer("duration_scale", torch.ones(1))  # the mean of exp(log n) is below that of n
        self.text, self.prosody = TextEncoder(config), ProsodyPredictor(config)
        self.frames, self.flow = FrameDecoder(config), FlowDecoder(config)
        self.voice_encoder = VoiceEncoder(config)
        self.voice_in = nn.Sequential(nn.Linear(config.voice, 128), nn.SiLU(), nn.Linear(128, config.cond))
        self.nobody = nn.Parameter(torch.zeros(config.voice))

    def steer(self, voice: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        """Voices (B, voice) of length 1, keep (B,) of 0 and 1: where 0, it is "anybody" -> (B, cond)."""
        voice = voice * self.config.voice**0.5  # numbers about 1
        if keep is not None:
            voice = torch.where(keep[:, None] > 0, voice, self.nobody)
        return self.voice_in(voice)

    def read(self, phones, starts, steer, mask=None):
        """phones, starts (B, P) -> hidden (B, P, dim), prosody (B, P, 4)."""
        x = self.text(phones, starts, F.silu(steer), mask)
        return x, self.prosody(x, F.silu(steer), mask)

    @classmethod
    def from_config(cls, config: dict) -> "Synthesiser":
        """The untrained model that the configuration of a checkpoint describes."""
        return cls(SynthesiserConfig(**config))
