# Written from notebooks/02_music_generation.ipynb by `course export`: edit the notebook, not this file.
"""A transformer that reads four-part chorales step by step; built in notebook 02."""

__all__ = ['N_TOKENS', 'START', 'SUNG', 'MAX_HELD', 'MAX_LEAP', 'NO_LEAP', 'METRES', 'BARS', 'to_tokens', 'to_grid', 'skew',
           'MusicConfig', 'RelativeAttention', 'Block', 'transpositions', 'leap', 'memory', 'shift', 'places',
           'interval', 'StepEmbedding', 'VoiceHead', 'ChoraleTransformer']


import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.music import LOWEST, MAX_STEPS, check_grid


N_TOKENS = 64
START = N_TOKENS  # stands before the first step


def to_tokens(grid: np.ndarray) -> torch.Tensor:
    """Grid (steps, 4) of MIDI numbers, 0 = rest -> tokens (steps, 4): 0 = rest, 1 = the lowest pitch."""
    grid = check_grid(grid)
    return torch.from_numpy(np.where(grid == 0, 0, grid - LOWEST + 1))


def to_grid(tokens: torch.Tensor) -> np.ndarray:
    """The way back."""
    tokens = tokens.cpu().numpy()
    return np.where(tokens == 0, 0, tokens + LOWEST - 1)


def skew(scores: torch.Tensor) -> torch.Tensor:
    """(..., T, T) by (query, distance T-1 to 0) -> by (query, key); above the diagonal stand leftovers."""
    *batch, steps, _ = scores.shape
    return F.pad(scores, (1, 0)).reshape(*batch, steps + 1, steps)[..., 1:, :]


@dataclass
class MusicConfig:
    """Sizes of the model; without `relative` no distances, without `intervals` no intervals are looked up."""

    d_model: int = 128
    n_layers: int = 3
    n_heads: int = 8
    max_distance: int = 192
    d_head: int = 128
    dropout: float = 0.1
    relative: bool = True
    intervals: bool = True


class RelativeAttention(nn.Module):
    """Causal self-attention that knows how far back each step lies; Huang et al., 2019, section 3.4."""

    def __init__(self, config: MusicConfig):
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        if config.relative:  # one vector a distance, row 0 for the step itself; shared by the heads
            self.distance = nn.Parameter(0.02 * torch.randn(config.max_distance, config.d_model // config.n_heads))  # fmt: skip

    def forward(self, x: torch.Tensor, cache: "Cache | None" = None) -> torch.Tensor:
        """(B, T, D) -> (B, T, D). With a cache, x is the one step after those in the cache."""
        batch, steps, width = x.shape
        q, k, v = self.qkv(x).view(batch, steps, 3, self.config.n_heads, -1).permute(2, 0, 3, 1, 4)
        q = q / math.sqrt(q.shape[-1])
        if cache is not None:
            k, v = cache.append(k, v)
        scores = q @ k.transpose(-1, -2)  # (B, H, T, S)
        if self.config.relative:
            far_to_near = torch.arange(k.shape[2] - 1, -1, -1, device=x.device).clamp(max=self.config.max_distance - 1)  # fmt: skip
            relative = q @ self.distance[far_to_near].T
            scores = scores + (relative if cache is not None else skew(relative))
        if cache is None:
            future = torch.ones(steps, steps, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(future, float("-inf"))
        weights = F.dropout(scores.softmax(-1), self.config.dropout, self.training)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, steps, width))


class Block(nn.Module):
    """Attention over time, then a small network at each step; both added to what came in."""

    def __init__(self, config: MusicConfig):
        super().__init__()
        d = config.d_model
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = RelativeAttention(config)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: torch.Tensor, cache: "Cache | None" = None) -> torch.Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.dropout(self.attention(self.norm1(x), cache))
        return x + self.dropout(self.mlp(self.norm2(x)))


# Lowest and highest pitch of each voice in the training pieces.
SUNG = np.array([(57, 81), (53, 74), (48, 69), (36, 64)])


def transpositions(grid: np.ndarray, slack: int = 2) -> list[int]:
    """Shifts of at most six semitones that keep each voice in its range, give or take `slack`; always 0."""
    low = np.where(grid > 0, grid, 999).min(0) - SUNG[:, 0] + slack  # room below
    high = SUNG[:, 1] + slack - grid.max(0)  # room above
    return [k for k in range(-6, 7) if k == 0 or -min(low) <= k <= min(high)]


MAX_HELD = 16
MAX_LEAP = 12
NO_LEAP = 2 * MAX_LEAP + 1  # from or to a rest, or before anything has moved


def leap(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """Interval in semitones as an index 0 to 24 (12 = the same pitch), NO_LEAP where one is no pitch."""
    sounding = (new > 0) & (new < START) & (old > 0) & (old < START)
    return torch.where(sounding, (new - old).clamp(-MAX_LEAP, MAX_LEAP) + MAX_LEAP, NO_LEAP)


def memory(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, T, 4) -> for how many steps each pitch has been held, and by what leap it was reached."""
    steps = torch.arange(tokens.shape[1], device=tokens.device)[:, None]
    before = shift(tokens, START)
    since = torch.where(tokens != before, steps, 0).cummax(dim=1).values
    held = (steps - since + 1).clamp(max=MAX_HELD)
    return held, leap(tokens, before).gather(1, since)


def shift(x: torch.Tensor, start: int) -> torch.Tensor:
    """One step later along axis 1, beginning with `start`."""
    return torch.cat([torch.full_like(x[:, :1], start), x[:, :-1]], 1)


# How often each metre stands in the training pieces: (steps in a bar, steps before the first bar line).
METRES = {(16, 4): 130, (16, 0): 51, (12, 0): 15, (12, 4): 8, (16, 8): 2, (24, 0): 1}
BARS = {16: 0, 12: 16, 24: 28}  # first index of each kind of bar; 52 in all


def places(steps: int, metre: tuple[int, int], first: int = 0) -> torch.Tensor:
    """Index of the place in the bar of steps `first` and on; metre = (steps in a bar, steps before the first)."""
    bar, pickup = metre
    if bar not in BARS:
        raise ValueError(f"expected bars of {sorted(BARS)} steps, got {bar}; 16 is a bar of four quarters")
    return BARS[bar] + (torch.arange(first, first + steps) - pickup) % bar


def interval(upper: torch.Tensor, lower: torch.Tensor) -> torch.Tensor:
    """Interval within two octaves as an index 0 to 48, 49 where one of the two is no pitch."""
    sounding = (upper > 0) & (upper < START) & (lower > 0) & (lower < START)
    return torch.where(sounding, (upper - lower).clamp(-24, 24) + 24, 49)


class StepEmbedding(nn.Module):
    """What is known before a step as one vector: the last chord, what its voices remember, the place in the bar."""

    def __init__(self, config: MusicConfig):
        super().__init__()
        d = config.d_model
        self.note = nn.ModuleList(nn.Embedding(N_TOKENS + 1, d) for _ in range(4))
        self.held = nn.ModuleList(nn.Embedding(MAX_HELD + 1, d) for _ in range(4))
        self.reached = nn.ModuleList(nn.Embedding(NO_LEAP + 1, d) for _ in range(4 * config.intervals))
        self.above_bass = nn.ModuleList(nn.Embedding(50, d) for _ in range(3 * config.intervals))
        self.metre = nn.Embedding(52, d)
        for table in (m for m in self.modules() if isinstance(m, nn.Embedding)):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, last, held, reached, place) -> torch.Tensor:
        """last, held, reached (B, T, 4), place (B, T) -> (B, T, D)."""
        x = self.metre(place)
        for v in range(4):
            x = x + self.note[v](last[..., v]) + self.held[v](held[..., v])
        for v, table in enumerate(self.reached):
            x = x + table(reached[..., v])
        for v, table in enumerate(self.above_bass):
            x = x + table(interval(last[..., v], last[..., 3]))
        return x


class VoiceHead(nn.Module):
    """Soprano, alto, tenor, bass inside one step; each sees the trunk and the voices already written."""

    def __init__(self, config: MusicConfig):
        super().__init__()
        h, self.by_interval = config.d_head, config.intervals
        self.context = nn.Linear(config.d_model, 4 * h)
        pairs = [f"{u}{v}" for v in range(4) for u in range(v)]
        sizes = {"": N_TOKENS} | ({"moved": NO_LEAP + 1, "from": 50} if self.by_interval else {})
        self.chosen = nn.ModuleDict({p + kind: nn.Embedding(n, h) for p in pairs for kind, n in sizes.items()})  # fmt: skip
        for table in self.chosen.values():
            nn.init.normal_(table.weight, std=0.1)
        self.dropout = drop = nn.Dropout(config.dropout)
        inner = [(nn.LayerNorm(h), nn.Linear(h, 2 * h), nn.GELU(), drop, nn.Linear(2 * h, h)) for _ in range(4)]  # fmt: skip
        self.mix = nn.ModuleList(nn.Sequential(*layers) for layers in inner)
        self.norm = nn.ModuleList(nn.LayerNorm(h) for _ in range(4))
        self.note = nn.ModuleList(nn.Linear(h, N_TOKENS) for _ in range(4))
        self.leap = nn.ModuleList(nn.Linear(h, NO_LEAP + 1) for _ in range(4 * self.by_interval))
        every = torch.arange(N_TOKENS + 1)  # both functions as tables: (old, new) and (upper, lower)
        self.register_buffer("leaps", leap(every, every[:, None]), persistent=False)
        self.register_buffer("intervals", interval(every[:, None], every), persistent=False)

    def logits(self, v: int, context: torch.Tensor, last: torch.Tensor, above: list) -> torch.Tensor:
        """context (..., 4, h), last (..., 4), `above`: notes (...) of the voices above -> (..., tokens)."""
        x = context[..., v, :]
        for u, note in enumerate(above):
            x = x + self.chosen[f"{u}{v}"](note)
            if self.by_interval:
                x = x + self.chosen[f"{u}{v}moved"](self.leaps[last[..., u], note])
                x = x + self.chosen[f"{u}{v}from"](self.intervals[note, last[..., v]])
        x = self.norm[v](x + self.dropout(self.mix[v](x)))
        if not self.by_interval:
            return self.note[v](x)
        by_leap = self.leaps[last[..., v], :N_TOKENS]  # (..., tokens)
        return self.note[v](x) + self.leap[v](x).gather(-1, by_leap)


class ChoraleTransformer(nn.Module):
    """Reads four-part music step by step, gives every note its probability, and writes more of it."""

    def __init__(self, config: MusicConfig):
        super().__init__()
        self.config = config
        self.embedding = StepEmbedding(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model)
        self.head = VoiceHead(config)

    @classmethod
    def from_config(cls, config: dict) -> "ChoraleTransformer":
        """Build the model of a checkpoint's config.json."""
        return cls(MusicConfig(**config))

    def trunk(self, last, held, reached, place, caches=None) -> torch.Tensor:
        """What is known before each step -> context of its four voices (B, T, 4, h)."""
        x = self.dropout(self.embedding(last, held, reached, place))
        for i, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[i])
        return self.head.context(self.norm(x)).unflatten(-1, (4, -1))

    def forward(self, tokens: torch.Tensor, place: torch.Tensor, every: bool = False) -> torch.Tensor:
        """Log-probability of every note: tokens (B, T, 4), place (B, T) -> (B, T, 4).

        With `every` of all that it could be: (B, T, 4, tokens).
        """
        held, reached = memory(tokens)
        last, voices = shift(tokens, START), tokens.unbind(-1)
        context = self.trunk(last, shift(held, 0), shift(reached, NO_LEAP), place)
        logits = [self.head.logits(v, context, last, list(voices[:v])) for v in range(4)]
        scores = torch.stack(logits, -2).float().log_softmax(-1)
        return scores if every else scores.gather(-1, tokens[..., None]).squeeze(-1)
