# Written from notebooks/03_realtime_processing.ipynb by `course export`: edit the notebook, not this file.
"""A recogniser that listens while you speak: causal convolutions, chunked attention, CTC; built in notebook 03."""

__all__ = ['LETTERS', 'PHONES', 'STEP', 'RecogniserConfig', 'Frontend', 'CausalConvolution', 'rotate', 'geometry',
           'ChunkedAttention', 'Block', 'Heard', 'silent_state', 'RecogniserNetwork']


import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import features


LETTERS = tuple(" 'abcdefghijklmnopqrstuvwxyz")
PHONES = tuple(
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
)
STEP = 2 * features.HOP_LENGTH  # samples per step of the model: 32 ms


@dataclass
class RecogniserConfig:
    """Sizes of the model, and what it writes: unit i is class i + 1, class 0 is the blank."""

    units: tuple[str, ...] = LETTERS
    dim: int = 192
    layers: int = 7
    heads: int = 4  # of the attention; 0: convolutions alone
    kernel: int = 15  # steps that a convolution sees: 0.48 s
    expand: int = 2  # the feed-forward part is this many times wider than dim
    left: int = 96  # steps before its chunk that attention sees: 3 s
    phones_after: int = 4  # the block after which phones are predicted
    mean_frames: int = 192  # the running mean of the log-mel covers 3 s
    dropout: float = 0.1


class Frontend(nn.Module):
    """Two frames make a step; the running mean beside them tells the voice from the microphone."""

    MEAN, STD, FLOOR = -2.5, 0.95, -4.0

    def __init__(self, config: RecogniserConfig):
        super().__init__()
        self.width = config.mean_frames
        self.project = nn.Linear(3 * features.N_MELS, config.dim)

    def forward(self, log_mel: torch.Tensor, past: torch.Tensor):
        """log_mel (B, 2n, 80), past (B, mean_frames - 1, 80) -> x (B, n, dim), past."""
        x = (log_mel.clamp(min=self.FLOOR) - self.MEAN) / self.STD
        past = torch.cat([past, x], 1)
        mean = F.avg_pool1d(past[:, 1:].transpose(1, 2), self.width, stride=2).transpose(1, 2)
        steps = torch.cat([x.reshape(x.shape[0], -1, 2 * x.shape[2]), mean], -1)
        return self.project(steps), past[:, 1 - self.width :]


class CausalConvolution(nn.Module):
    """Gated depthwise convolution over the last steps: what is nearby."""

    def __init__(self, config: RecogniserConfig):
        super().__init__()
        d = config.dim
        self.norm, self.norm_out = nn.LayerNorm(d), nn.LayerNorm(d)
        self.up, self.down = nn.Linear(d, 2 * d), nn.Linear(d, d)
        self.depthwise = nn.Conv1d(d, d, config.kernel, groups=d)

    def forward(self, x: torch.Tensor, past: torch.Tensor):
        """x (B, n, dim), past (B, kernel - 1, dim) -> (B, n, dim), past."""
        y = torch.cat([past, F.glu(self.up(self.norm(x)), -1)], 1)
        out = self.depthwise(y.transpose(1, 2)).transpose(1, 2)
        return self.down(F.silu(self.norm_out(out))), y[:, x.shape[1] :]


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al., 2021): x (B, heads, n, d), cos and sin (n, d / 2) -> as x."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def geometry(config: RecogniserConfig, seen: torch.Tensor, m: int, n: int, chunk: int) -> tuple:
    """Rotary tables (m + n, d / 2) and mask (n, m + n) for n new steps after m remembered ones, of which `seen` are real."""
    half = config.dim // config.heads // 2
    key = torch.arange(-m, n, device=seen.device)
    angle = key[:, None] * 10000.0 ** (-torch.arange(half, device=seen.device) / half)
    begin = torch.arange(n, device=seen.device)[:, None] // chunk * chunk
    first = torch.maximum(begin - config.left, -seen)  # before the beginning there is nothing
    return angle.cos(), angle.sin(), (key >= first) & (key < begin + chunk)


class ChunkedAttention(nn.Module):
    """Self-attention over the own chunk and at most `left` steps before it: what was said before."""

    def __init__(self, config: RecogniserConfig):
        super().__init__()
        d = config.dim
        self.heads, self.left = config.heads, config.left
        self.norm, self.qkv, self.out = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x: torch.Tensor, past: torch.Tensor, cos, sin, mask):
        """x (B, n, dim), past (2, B, heads, m, d); cos, sin (m + n, d / 2), mask (n, m + n) -> as x, past."""
        b, n, _ = x.shape
        q, k, v = self.qkv(self.norm(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        past = torch.cat([past.to(k.dtype), torch.stack([k, v])], 3)
        k, v = past.unbind(0)
        q, k = rotate(q, cos[-n:], sin[-n:]), rotate(k, cos, sin)
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5  # (B, heads, n, m + n)
        y = scores.masked_fill(~mask, -1e4).softmax(-1).to(v.dtype) @ v
        return self.out(y.transpose(1, 2).reshape(b, n, -1)), past[:, :, :, -self.left :]


class Block(nn.Module):
    """Convolution, attention, feed-forward; each is added to what came in."""

    def __init__(self, config: RecogniserConfig):
        super().__init__()
        d = config.dim
        self.convolution = CausalConvolution(config)
        self.attention = ChunkedAttention(config) if config.heads else None
        self.feed = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, config.expand * d), nn.SiLU(), nn.Linear(config.expand * d, d)
        )
        self.dropout = config.dropout
        last = [self.convolution.down, self.feed[-1]] + ([self.attention.out] if config.heads else [])
        for layer in last:  # so small that the stack starts near the identity
            nn.init.normal_(layer.weight, std=0.02 / math.sqrt(3 * config.layers))
            nn.init.zeros_(layer.bias)

    def forward(self, x: torch.Tensor, state: tuple[torch.Tensor, ...], *tables: torch.Tensor):
        """x (B, n, dim), what convolution and attention remember -> both."""
        y, convolved = self.convolution(x, state[0])
        x, new = x + self.drop(y), (convolved,)
        if self.attention is not None:
            y, attended = self.attention(x, state[1], *tables)
            x, new = x + self.drop(y), (convolved, attended)
        return x + self.drop(self.feed(x)), new

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout of (B, n, dim), the same features for a whole utterance."""
        return x * F.dropout(torch.ones_like(x[:, :1]), self.dropout) if self.training else x


class Heard(NamedTuple):
    """What `RecogniserNetwork` gives: log-probabilities of blank and units (B, n, units + 1), of blank and phones
    (B, n, 40), what it knows of the sound itself (B, n, dim), and the state."""

    units: torch.Tensor
    phones: torch.Tensor
    content: torch.Tensor
    state: tuple


def silent_state(config: RecogniserConfig, like: torch.Tensor, batch: int, left: int) -> tuple:
    """What a stream remembers before it has heard anything: steps seen, recent frames, and that of each block."""
    block = (like.new_zeros(batch, config.kernel - 1, config.dim),)
    if config.heads:
        block += (like.new_zeros(2, batch, config.heads, left, config.dim // config.heads),)
    recent = like.new_zeros(batch, config.mean_frames - 1, features.N_MELS)
    return torch.zeros((), dtype=torch.long, device=like.device), recent, [block] * config.layers


class RecogniserNetwork(nn.Module):
    """log-mel -> for every 32 ms the probabilities of what is being said, from the past and the own chunk alone."""

    def __init__(self, config: RecogniserConfig):
        super().__init__()
        d, self.config = config.dim, config
        self.frontend = Frontend(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.phone_norm, self.phone_head = nn.LayerNorm(d), nn.Linear(d, len(PHONES) + 1)
        self.phone_back = nn.Linear(len(PHONES) + 1, d)
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, len(config.units) + 1)

    def initial_state(self, batch: int = 1) -> tuple:
        """The state of a stream that has heard nothing yet; its shapes never change."""
        return silent_state(self.config, self.head.weight, batch, self.config.left)

    def forward(self, log_mel: torch.Tensor, state: tuple | None = None, chunk: int = 10) -> Heard:
        """Recognise log_mel (B, frames, 80), or go on with a stream whose `state` came with the call before.

        `chunk` steps see each other. A stream that is fed in multiples of it gives the same as the whole at once, and
        one model does for any from 1 to 20. n = frames // 2 steps.
        """
        log_mel, c = log_mel[:, : log_mel.shape[1] // 2 * 2], self.config
        seen, recent, blocks = state or silent_state(c, self.head.weight, log_mel.shape[0], 0)
        x, recent = self.frontend(log_mel, recent)
        n, new, tables = x.shape[1], [], ()
        if c.heads:
            tables = geometry(c, seen, blocks[0][1].shape[3], n, chunk)
        for i, (block, remembered) in enumerate(zip(self.blocks, blocks, strict=True), 1):
            x, remembered = block(x, remembered, *tables)
            new.append(remembered)
            if i == c.phones_after:
                content = self.phone_norm(x)
                phones = self.phone_head(content).float().log_softmax(-1)
                x = x + self.phone_back(phones.exp())
        units = self.head(self.norm(x)).float().log_softmax(-1)
        return Heard(units, phones, content, (seen + n, recent, new))
