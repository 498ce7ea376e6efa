# Written from notebooks/06_voice_conversion.ipynb by `course export`: edit the notebook, not this file.
"""Converts a voice: content and pitch of one speaker, the sound of another; built in notebook 06."""

__all__ = ['MEAN', 'STD', 'FLOOR', 'harmonics', 'ConverterConfig', 'Convolution', 'Lookup', 'ConverterBlock', 'tuned',
           'ConverterNetwork', 'Converter']


import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import features


from course_utils.features import SAMPLE_RATE
from course_utils.models.recognition import RecogniserNetwork
from course_utils.synthesis.converter_stream import ConverterStream, Reference, middle
from course_utils.waveform import check

MEAN, STD, FLOOR = -2.5, 0.95, -6.0


def harmonics(f0: torch.Tensor) -> torch.Tensor:
    """F0 in Hz (B, frames), 0 where unvoiced -> (B, frames, 80): 1 in bands on a harmonic, -1 between two, 0 where a band is wider."""
    low, high = (features.hz_to_mel(hz) for hz in (features.F_MIN, features.F_MAX))
    edges = torch.from_numpy(features.mel_to_hz(np.linspace(low, high, features.N_MELS + 2))).float()
    centre, width = edges[1:-1].to(f0.device), (edges[2:] - edges[:-2]).to(f0.device) / 2
    period = 1 / f0.clamp(min=40)[..., None]
    comb = torch.cos(2 * math.pi * centre * period) * torch.exp(-((width * period) ** 2))
    return comb * (f0 > 0)[..., None]


@dataclass
class ConverterConfig:
    """Sizes of the converter; kernels are in steps of 32 ms (matching) and frames of 16 ms, `ahead` of them lie in the future."""

    content: int = 192  # numbers that the recogniser gives for each step
    heads: int = 4
    match: int = 32  # numbers by which a step is matched, for each head
    match_dim: int = 128
    match_kernel: int = 7
    match_ahead: int = 3
    bottleneck: int = 48  # numbers of the content that the decoder sees
    dim: int = 160
    hidden: int = 320
    blocks: int = 6
    kernel: int = 7
    ahead: int = 1

    @property
    def look_ahead(self) -> int:
        """Frames after frame t that can change the log-mel of frame t, in whole steps."""
        return 2 * (self.match_ahead + (self.blocks * self.ahead + 1) // 2)

    @property
    def look_back(self) -> int:
        """Frames before frame t that can change it, in whole steps."""
        past = self.blocks * (self.kernel - 1 - self.ahead)
        return 2 * (self.match_kernel - 1 - self.match_ahead + (past + 1) // 2)


class Convolution(nn.Conv1d):
    """Convolution over (B, time, channels), each channel alone, that keeps the length and sees `ahead` of the future."""

    def __init__(self, dim: int, kernel: int, ahead: int):
        super().__init__(dim, dim, kernel, groups=dim)
        self.pads = (kernel - 1 - ahead, ahead)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, time, channels) -> as long."""
        return super().forward(F.pad(x.transpose(1, 2), self.pads)).transpose(1, 2)


class Lookup(nn.Module):
    """Each step of the source looks up the steps of the reference in which the same is said: a soft kNN-VC that learns."""

    def __init__(self, config: ConverterConfig):
        super().__init__()
        d, self.heads = config.match_dim, config.heads
        self.first, self.norm = nn.Linear(config.content, d), nn.LayerNorm(d)
        self.conv = Convolution(d, config.match_kernel, config.match_ahead)
        self.last = nn.Linear(d, config.heads * config.match)
        self.sharpness = nn.Parameter(torch.full((config.heads, 1, 1), math.log(10.0)))

    def directions(self, content: torch.Tensor) -> torch.Tensor:
        """Content (B, n, content) -> (B, heads, n, match) of length 1: source and reference are read by the same eyes."""
        x = self.first(content)
        x = self.last(F.gelu(self.norm(x + self.conv(x))))
        return F.normalize(x.unflatten(-1, (self.heads, -1)).transpose(1, 2), dim=-1)

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Directions (B, heads, n, match) and (B, heads, m, match) -> weights (B, heads, n, m), each row adds up to 1."""
        return (self.sharpness.exp() * query @ key.transpose(2, 3)).float().softmax(-1)


class ConverterBlock(nn.Module):
    """ConvNeXt block: mix over time channel by channel, then over channels frame by frame."""

    def __init__(self, config: ConverterConfig):
        super().__init__()
        self.conv = Convolution(config.dim, config.kernel, config.ahead)
        self.norm = nn.LayerNorm(config.dim)
        self.up, self.down = nn.Linear(config.dim, config.hidden), nn.Linear(config.hidden, config.dim)
        self.scale = nn.Parameter(torch.full((config.dim,), 1 / config.blocks))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, frames, dim) -> the same shape."""
        return x + self.scale * self.down(F.gelu(self.up(self.norm(self.conv(x)))))


def tuned(prosody: torch.Tensor) -> torch.Tensor:
    """F0 in Hz and level in dB (B, frames, 2) -> what the decoder is told of them (B, frames, 83): comb, voiced, F0, level."""
    f0, level = prosody.unbind(-1)
    tune = torch.stack([(f0 > 0).float(), (f0.clamp(min=50) / 150).log2() * (f0 > 0), (level + 30) / 20], -1)
    return torch.cat([harmonics(f0), tune], -1)


class ConverterNetwork(nn.Module):
    """Content and prosody of a source, content and log-mel of a reference -> log-mel of the source's words in its voice."""

    def __init__(self, config: ConverterConfig | None = None):
        super().__init__()
        self.config = config = config or ConverterConfig()
        d, mels = config.dim, features.N_MELS
        self.lookup = Lookup(config)
        self.share = nn.Parameter(torch.zeros(config.heads))  # of each head in the first guess
        self.content = nn.Linear(config.heads * config.match, 2 * config.bottleneck)
        self.found = nn.Linear(config.heads * mels, d)
        self.said = nn.Linear(config.bottleneck + mels + 3, d)
        self.voice = nn.Sequential(nn.Linear(2 * mels, d), nn.GELU(), nn.Linear(d, d))
        self.blocks = nn.ModuleList(ConverterBlock(config) for _ in range(config.blocks))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, mels)
        nn.init.zeros_(self.head.weight), nn.init.zeros_(self.head.bias)

    def hear(self, content: torch.Tensor, log_mel: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What is kept of a reference: content (B, m, content), log_mel (B, 2 m, 80) -> keys, frames (B, m, 160), voice (B, 1, dim)."""
        x = (log_mel.clamp(min=FLOOR) - MEAN) / STD
        voice = self.voice(torch.cat([x.mean(1), x.std(1)], -1))[:, None]
        return self.lookup.directions(content), x.reshape(len(x), -1, 2 * x.shape[2]), voice

    def forward(
        self, content: torch.Tensor, prosody: torch.Tensor, reference: tuple
    ) -> tuple[torch.Tensor, ...]:
        """content (B, n, content), prosody (B, 2 n, 2), `hear`'s answer -> log-mels (B, 2 n, 80): the guess and the result."""
        keys, frames, voice = reference
        query = self.lookup.directions(content)
        weights = self.lookup(query, keys)  # (B, heads, n, m)
        found = (weights @ frames[:, None].float()).unflatten(-1, (2, -1))  # (B, heads, n, 2, 80)
        found = found.permute(0, 2, 3, 1, 4).flatten(1, 2)  # (B, 2 n, heads, 80)
        guess = (self.share.softmax(0)[:, None] * found).sum(2)
        said = self.content(query.transpose(1, 2).flatten(2))
        said = said.reshape(len(said), -1, self.config.bottleneck)  # each step becomes two frames
        x = self.found(found.flatten(2)) + self.said(torch.cat([said, tuned(prosody)], -1)) + voice
        for block in self.blocks:
            x = block(x)
        result = guess + self.head(self.norm(x))
        return guess * STD + MEAN, result.float() * STD + MEAN


class Converter(ConverterNetwork):
    """A converter in use: for whole waveforms, and for streams."""

    CHUNK = 4  # steps of the recogniser that are heard together: 128 ms
    recogniser = vocoder = None  # checkpoints of their own

    @classmethod
    def from_config(cls, config: dict) -> "Converter":
        """The untrained model that the configuration of a checkpoint describes."""
        return cls(ConverterConfig(**config))

    @staticmethod
    def cut(recogniser: nn.Module) -> nn.Module:
        """A copy of a recogniser without the blocks after its content features."""
        short = RecogniserNetwork(replace(recogniser.config, layers=recogniser.config.phones_after))
        short.load_state_dict(recogniser.state_dict(), strict=False)
        return short.to(recogniser.head.weight.device).eval()

    @staticmethod
    def level(log_mel: torch.Tensor) -> torch.Tensor:
        """Level in dB of each frame of a log-mel (..., frames, 80) -> (..., frames)."""
        return 10 * (10 ** (2 * log_mel.clamp(min=FLOOR))).mean(-1).log10()

    def stream(self, reference: np.ndarray, pitch: float | None = None) -> ConverterStream:
        """A stream in the voice of a reference (time,): `push(chunk)` and `finish()` give samples; ValueError as `convert`.

        `pitch` are semitones above the source; None: to the median of the reference, by what was heard so far."""
        return ConverterStream(self, Reference.of(self, reference), pitch)

    def convert(self, source: np.ndarray, reference: np.ndarray, pitch: float | None = None) -> np.ndarray:
        """What a source (time,) says in the voice of a reference (time,) -> waveform (time,); pitch None: to its median.

        ValueError: not mono, not finite, an empty source, or a reference that is silent or shorter than 0.5 s."""
        source, heard = check(source, "source", 1 / SAMPLE_RATE), Reference.of(self, reference)
        pitch = heard.semitones - middle(source, heard.semitones) if pitch is None else pitch
        stream, size = ConverterStream(self, heard, pitch), 10 * SAMPLE_RATE
        parts = [stream.push(source[begin : begin + size]) for begin in range(0, len(source), size)]
        whole = np.concatenate([*parts, stream.finish()])
        return np.pad(whole, (0, max(0, len(source) - len(whole))))[: len(source)]
