# Written from notebooks/02_music_generation.ipynb by `course export`: edit the notebook, not this file.

__all__ = ['N_TOKENS', 'START', 'LESSON', 'SUNG', 'MAX_HELD', 'MAX_LEAP', 'NO_LEAP', 'METRES', 'BARS', 'SHIPPED', 'STEPS',
           'RUNGS', 'to_tokens', 'to_grid', 'skew', 'MusicConfig', 'RelativeAttention', 'Block', 'transpositions',
           'leap', 'memory', 'shift', 'places', 'interval', 'StepEmbedding', 'VoiceHead', 'ChoraleTransformer', 'Cache',
           'Writer', 'choose', 'parallels', 'Composer', 'compose', 'harmonise', 'Batches', 'loss_fn', 'evaluate',
           'mean_nats', 'at_home', 'KeyPairs', 'key_loss', 'calibrate', 'plateau', 'train', 'figures',
           'TokenTransformer', 'LibraryTransformer', 'windowed_nats', 'ladder']


"""A transformer that writes four-part chorales; built step by step in notebook 02."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.music import LOWEST, check_grid


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


LESSON = MusicConfig(n_heads=4)  # what the notebook trains live


class RelativeAttention(nn.Module):
    """Causal self-attention that knows how far back each step lies; Huang et al., 2019, section 3.4."""

    def __init__(self, config: MusicConfig):
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        if config.relative:  # one vector a distance, row 0 for the step itself; shared by the heads
            self.distance = nn.Parameter(
                0.02 * torch.randn(config.max_distance, config.d_model // config.n_heads)
            )

    def forward(self, x: torch.Tensor, cache: "Cache | None" = None) -> torch.Tensor:
        """(B, T, D) -> (B, T, D). With a cache, x is the one step after those in the cache."""
        batch, steps, width = x.shape
        q, k, v = self.qkv(x).view(batch, steps, 3, self.config.n_heads, -1).permute(2, 0, 3, 1, 4)
        q = q / math.sqrt(q.shape[-1])
        if cache is not None:
            k, v = cache.append(k, v)
        scores = q @ k.transpose(-1, -2)  # (B, H, T, S)
        if self.config.relative:
            far_to_near = torch.arange(k.shape[2] - 1, -1, -1, device=x.device).clamp(
                max=self.config.max_distance - 1
            )
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
        self.chosen = nn.ModuleDict(
            {p + kind: nn.Embedding(n, h) for p in pairs for kind, n in sizes.items()}
        )
        for table in self.chosen.values():
            nn.init.normal_(table.weight, std=0.1)
        self.dropout = drop = nn.Dropout(config.dropout)
        inner = [
            (nn.LayerNorm(h), nn.Linear(h, 2 * h), nn.GELU(), drop, nn.Linear(2 * h, h)) for _ in range(4)
        ]
        self.mix = nn.ModuleList(nn.Sequential(*layers) for layers in inner)
        self.norm = nn.ModuleList(nn.LayerNorm(h) for _ in range(4))
        self.note = nn.ModuleList(nn.Linear(h, N_TOKENS) for _ in range(4))
        self.leap = nn.ModuleList(nn.Linear(h, NO_LEAP + 1) for _ in range(4 * self.by_interval))
        every = torch.arange(N_TOKENS + 1)  # both functions as tables: (old, new) and (upper, lower)
        self.register_buffer("leaps", leap(every, every[:, None]), persistent=False)
        self.register_buffer("intervals", interval(every[:, None], every), persistent=False)

    def logits(
        self, v: int, context: torch.Tensor, last: torch.Tensor, above: list[torch.Tensor]
    ) -> torch.Tensor:
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


class Cache:
    """Keys and values of one layer (B, H, steps, d), in a buffer that doubles when it is full."""

    def __init__(self):
        self.buffer, self.length = None, 0

    def append(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep k and v (B, H, 1, d) of a new step; returns those of all steps."""
        if self.buffer is None or self.length == self.buffer.shape[3]:
            larger = k.new_zeros(2, *k.shape[:2], max(64, 2 * self.length), k.shape[3])
            if self.buffer is not None:
                larger[:, :, :, : self.length] = self.buffer
            self.buffer = larger
        self.buffer[0, :, :, self.length], self.buffer[1, :, :, self.length] = k[:, :, 0], v[:, :, 0]
        self.length += 1
        return tuple(self.buffer[:, :, :, : self.length])

    def select(self, index: torch.Tensor) -> None:
        """Keep the pieces of `index`, in that order."""
        self.buffer = self.buffer[:, index]


class Writer:
    """`count` pieces that grow by one step at a time."""

    def __init__(self, model: ChoraleTransformer, metre: tuple[int, int], count: int = 1):
        self.model, self.metre, self.steps = model, metre, 0
        self.caches = [Cache() for _ in model.blocks]
        self.last = torch.full((count, 4), START)
        self.held = torch.zeros(count, 4, dtype=torch.long)
        self.reached = torch.full((count, 4), NO_LEAP)

    def context(self) -> torch.Tensor:
        """What the trunk says about the next step (count, 4, h)."""
        place = places(1, self.metre, self.steps).expand(len(self.last), 1)
        known = (x[:, None] for x in (self.last, self.held, self.reached))
        return self.model.trunk(*known, place, self.caches)[:, 0]

    def write(self, chord: torch.Tensor) -> None:
        """Add a step (count, 4) of tokens."""
        same = chord == self.last
        self.held = torch.where(same, (self.held + 1).clamp(max=MAX_HELD), 1)
        self.reached = torch.where(same, self.reached, leap(chord, self.last))
        self.last, self.steps = chord, self.steps + 1

    def select(self, index: torch.Tensor) -> None:
        """Keep the pieces of `index`, in that order."""
        self.last, self.held, self.reached = self.last[index], self.held[index], self.reached[index]
        for cache in self.caches:
            cache.select(index)


def choose(
    logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator
) -> torch.Tensor:
    """Draw one token for each row of logits (count, tokens); temperature 0 takes the likeliest."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities, order = (logits.double() / temperature).softmax(-1).sort(descending=True)
    total = probabilities.cumsum(-1)  # of a token and all likelier ones
    kept = total.gather(1, (total < top_p).sum(-1, keepdim=True).clamp(max=total.shape[1] - 1))
    drawn = kept * torch.rand(len(total), 1, dtype=total.dtype, generator=generator)
    return order.gather(1, torch.searchsorted(total, drawn, right=True)).squeeze(1)


def parallels(v: int, last: torch.Tensor, above: list[torch.Tensor]) -> torch.Tensor:
    """Notes (count, tokens) that would lead voice v in parallel fifths or octaves with one of those `above`."""
    own, note = last[:, v, None], torch.arange(N_TOKENS, device=last.device)
    forbidden = torch.zeros(len(last), N_TOKENS, dtype=torch.bool, device=last.device)
    for u, upper in enumerate(above):
        before, upper = last[:, u, None], upper[:, None]
        kept = ((before - own) % 12 == (upper - note) % 12) & torch.isin(
            (before - own) % 12, torch.tensor([0, 7])
        )
        together = (upper - before).sign() * (note - own).sign() == 1
        sounding = (before > 0) & (before < START) & (upper > 0) & (own > 0) & (note > 0)
        forbidden |= kept & together & sounding
    return forbidden


class Composer(ChoraleTransformer):
    """A ChoraleTransformer with what one does with it: measure, compose, harmonise."""

    @torch.inference_mode()
    def log_probs(
        self, grid: np.ndarray, metre: tuple[int, int], keys: tuple[int, ...] = (0,)
    ) -> torch.Tensor:
        """Log-probability of every note (steps, 4); of several keys the mean probability is taken."""
        self.eval()
        tokens = to_tokens(grid)
        sung = torch.stack([torch.where(tokens > 0, tokens + k, 0) for k in keys])
        place = places(len(tokens), metre).expand(len(keys), -1)
        return self(sung, place).double().logsumexp(0) - math.log(len(keys))

    def nll(
        self, grid: np.ndarray, metre: tuple[int, int] | None = None, keys: tuple[int, ...] = (0,)
    ) -> float:
        """Mean nats per note of a grid (steps, 4) of MIDI pitches, 0 = rest.

        Args:
            grid: at least one step; pitches from 30 to 92.
            metre: (steps in a bar, steps before the first bar line); None: summed over all known metres.
            keys: shifts in semitones whose predictions are averaged, for example `range(-6, 6)`.
        """
        keys = tuple(keys)
        if metre is not None:
            return -float(self.log_probs(grid, metre, keys).mean())
        prior = torch.tensor(list(METRES.values()), dtype=torch.double)
        joint = torch.stack([self.log_probs(grid, m, keys).sum() for m in METRES])
        return -float((joint + (prior / prior.sum()).log()).logsumexp(0)) / (4 * len(grid))

    def generate(
        self, steps: int, prompt: np.ndarray | None = None, temperature: float = 1.0, top_p: float = 0.95,
        seed: int = 0, metre: tuple[int, int] = (16, 0), strict: bool = False,
    ) -> np.ndarray:  # fmt: skip
        """A grid (steps, 4) of new music, or `prompt` (its steps count too) and what follows; see `compose`."""
        return compose(self, steps, 1, prompt, temperature, top_p, seed, metre, strict)[0]

    def harmonise(
        self, soprano: np.ndarray, temperature: float = 1.0, top_p: float = 0.95, seed: int = 0,
        metre: tuple[int, int] = (16, 0), particles: int = 48,
    ) -> np.ndarray:  # fmt: skip
        """A grid (steps, 4) whose first column is `soprano` (steps,) of MIDI pitches."""
        return harmonise(self, soprano, temperature, top_p, seed, metre, particles)


@torch.inference_mode()
def compose(
    model, steps, count=1, prompt=None, temperature=1.0, top_p=0.95, seed=0, metre=(16, 0), strict=False
) -> np.ndarray:  # fmt: skip
    """`count` new pieces at once: grids (count, steps, 4); `strict`: parallel fifths and octaves are never drawn."""
    if steps < 1 or count < 1 or temperature < 0 or not 0 < top_p <= 1:
        raise ValueError(
            "expected steps and count of at least 1, temperature of at least 0, top_p above 0 up to 1"
        )
    given = (
        torch.zeros(0, 4, dtype=torch.long)
        if prompt is None or not len(prompt)
        else to_tokens(prompt)[:steps]
    )
    generator = torch.Generator().manual_seed(seed)
    writer, written = Writer(model.eval(), metre, count), []
    for t in range(steps):
        context = writer.context()
        notes = list(given[t].expand(count, 4).T) if t < len(given) else []
        for v in range(len(notes), 4):
            logits = model.head.logits(v, context, writer.last, notes)
            if strict:
                logits = logits.masked_fill(parallels(v, writer.last, notes), float("-inf"))
            notes.append(choose(logits, temperature, top_p, generator))
        writer.write(torch.stack(notes, 1))
        written.append(writer.last)
    return to_grid(torch.stack(written, 1))


@torch.inference_mode()
def harmonise(model, soprano, temperature=1.0, top_p=0.95, seed=0, metre=(16, 0), particles=48) -> np.ndarray:
    """Alto, tenor and bass for a soprano (steps,) of MIDI pitches, by a particle filter: a grid (steps, 4)."""
    soprano = np.asarray(soprano)
    if soprano.ndim != 1:
        raise ValueError(f"expected a soprano of shape (steps,), got {soprano.shape}; take grid[:, 0]")
    given = to_tokens(np.stack([soprano, *[np.zeros_like(soprano)] * 3], 1))[:, 0]
    generator = torch.Generator().manual_seed(seed)
    writer = Writer(model.eval(), metre, particles)
    written, likely = torch.zeros(particles, 0, 4, dtype=torch.long), torch.zeros(particles)
    for note in given:
        context = writer.context()
        notes = [note.expand(particles)]
        likely = likely + model.head.logits(0, context, writer.last, []).log_softmax(-1)[:, note]
        weights = likely.softmax(0)
        if 1 / weights.square().sum() < particles / 2:  # fewer than half still count: multiply those
            index = torch.multinomial(weights, particles, replacement=True, generator=generator)
            writer.select(index)
            written, context, likely = written[index], context[index], torch.zeros(particles)
        for v in range(1, 4):
            logits = model.head.logits(v, context, writer.last, notes)
            notes.append(choose(logits, temperature, top_p, generator))
        writer.write(torch.stack(notes, 1))
        written = torch.cat([written, writer.last[:, None]], 1)
    return to_grid(written[int(torch.multinomial(likely.softmax(0), 1, generator=generator))])


class Batches:
    """Windows of `length` steps: tokens (B, T, 4), places (B, T), and which steps count (B, T)."""

    def __init__(self, chorales, length: int = 192, count: int = 8, transpose: bool = True, seed: int = 0):
        self.length, self.count, self.seed = length, count, seed
        self.tokens = [to_tokens(c.pitches) for c in chorales]
        self.metres = [(c.steps_per_bar, c.pickup_steps) for c in chorales]
        self.keys = [transpositions(c.pitches) if transpose else [0] for c in chorales]
        sizes = np.array([len(t) for t in self.tokens])
        self.share = sizes / sizes.sum()

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The batch of a training step; the same step gives the same batch."""
        rng = np.random.default_rng((self.seed, step))
        tokens = torch.zeros(self.count, self.length, 4, dtype=torch.long)
        place = torch.zeros(self.count, self.length, dtype=torch.long)
        counts = torch.zeros(self.count, self.length, dtype=torch.bool)
        for row, i in enumerate(rng.choice(len(self.tokens), self.count, p=self.share)):
            spare = len(self.tokens[i]) - self.length
            first = 0 if spare <= 0 or rng.random() < 0.3 else 4 * int(rng.integers(0, spare // 4 + 1))
            window = self.tokens[i][first : first + self.length]
            size = len(window)
            tokens[row, :size] = torch.where(window > 0, window + int(rng.choice(self.keys[i])), 0)
            place[row, :size] = places(size, self.metres[i], first)
            counts[row, first > 0 : size] = True
        return tokens, place, counts


def loss_fn(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Mean nats per note over the steps that count."""
    tokens, place, counts = (x.to(next(model.parameters()).device) for x in batch)
    return -model(tokens, place)[counts].mean()


def evaluate(
    model: Composer, chorales, keys: tuple[int, ...] = (0,), metre_given: bool = False
) -> np.ndarray:
    """Nats per note of whole pieces (pieces,). For their mean over notes see `mean_nats`."""
    metres = [(c.steps_per_bar, c.pickup_steps) if metre_given else None for c in chorales]
    return np.array([model.nll(c.pitches, m, keys) for c, m in zip(chorales, metres, strict=True)])


def mean_nats(chorales, nats: np.ndarray) -> float:
    """Mean over all notes of all pieces, each note counted alike, of `nats` (pieces,)."""
    return float(np.average(nats, weights=[c.pitches.size for c in chorales]))


def at_home(scores: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Scores (B, T, 4, tokens) of pieces shifted by `keys` (B,) semitones -> of the same notes before the shift."""
    note = torch.arange(N_TOKENS, device=scores.device)
    source = torch.where(note > 0, note + keys[:, None], 0)  # a rest stays a rest
    known = (note == 0) | ((source > 0) & (source < N_TOKENS))
    index = source.clamp(0, N_TOKENS - 1)[:, None, None].expand(scores.shape)
    return scores.gather(-1, index).where(known[:, None, None], scores.new_tensor(-20.0))


class KeyPairs(Batches):
    """Every window in two keys: rows 2i and 2i + 1. As `Batches`, and the shifts in semitones (B,)."""

    def __init__(self, chorales, length: int, count: int, seed: int = 0):
        super().__init__(chorales, length, count // 2, transpose=False, seed=seed)

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The batch of a training step; the same step gives the same batch."""
        rng, (tokens, place, counts) = np.random.default_rng((self.seed, step, 1)), super().__call__(step)
        choices = [transpositions(to_grid(window)) for window in tokens]
        keys = torch.tensor(np.array([rng.choice(c, 2, replace=len(c) < 2) for c in choices])).flatten()
        tokens, place, counts = (x.repeat_interleave(2, 0) for x in (tokens, place, counts))
        return torch.where(tokens > 0, tokens + keys[:, None, None], 0), place, counts, keys


def key_loss(model: ChoraleTransformer, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Mean nats per note of `KeyPairs`, plus how far the answers in the two keys are apart (Liang et al., 2021, eq. 3)."""
    tokens, place, counts, keys = (x.to(next(model.parameters()).device) for x in batch)
    scores = model(tokens, place, every=True)
    nats = -scores.gather(-1, tokens[..., None])[counts].mean()
    one, other = at_home(scores, keys).unflatten(0, (-1, 2)).unbind(1)
    apart = 0.5 * ((one.exp() - other.exp()) * (one - other)).sum(-1)  # mean of the two divergences
    return nats + apart[counts[::2]].mean()


@torch.inference_mode()
def calibrate(model: Composer, chorales) -> float:
    """Divide all scores by the number that gives `chorales` the fewest nats per note (Guo et al., 2017); returns it."""
    temperatures = np.arange(0.5, 2, 0.025)
    cost = np.zeros(len(temperatures))
    for c in chorales:
        tokens, place = to_tokens(c.pitches), places(len(c.pitches), (c.steps_per_bar, c.pickup_steps))
        scores = model.eval()(tokens[None], place[None], every=True)[0]
        for i, t in enumerate(temperatures):
            cost[i] -= float((scores / t).log_softmax(-1).gather(-1, tokens[..., None]).sum())
    best = float(temperatures[cost.argmin()])
    for layer in [*model.head.note, *model.head.leap]:
        for part in layer.parameters():
            part /= best
    return best


SHIPPED = MusicConfig(d_model=192, n_layers=4, n_heads=8, d_head=128, dropout=0.25, intervals=False)
STEPS = (3600, 2400)  # of the two stages


def plateau(progress: float) -> float:
    """Learning-rate factor: up over 3 %, level until 60 %, then straight down to 0."""
    return min(progress / 0.03, 1.0, (1 - progress) / 0.4)


def train(steps: int | None = None, seed: int = 0, state: str | None = None, name: str = "music") -> Composer:
    """Train the shipped checkpoint in two stages and save it with its card; `state` is a file to resume from."""
    from accelerate import Accelerator

    from course_utils import checkpoints, data, training

    bach, valid = data.chorales("train"), data.chorales("valid")
    torch.manual_seed(seed)
    model, history = Composer(SHIPPED), training.History()
    stages = {  # name: (batches, loss, learning rate)
        "random keys": (Batches(bach, 256, 16, seed=seed), loss_fn, 2e-3),
        "two keys": (KeyPairs(bach, 256, 16, seed), key_loss, 1e-3),
    }
    counts = [-(-steps // 2)] * 2 if steps else STEPS
    for (stage, (batches, loss, rate)), count in zip(stages.items(), counts, strict=True):
        file = state and Path(state).with_name(f"{stage} {Path(state).name}".replace(" ", "_"))
        learner = Composer(SHIPPED)  # Accelerator changes the model that it trains
        learner.load_state_dict(model.state_dict())
        part = training.fit(
            learner, batches, loss, count, learning_rate=rate, schedule=plateau, weight_decay=0.2, ema=0.99,
            every=200, state=file, seed=seed, title=f"{name}, {stage}", accelerator=Accelerator(mixed_precision="bf16"),
            evaluate=lambda m: {"valid": mean_nats(valid, evaluate(m, valid, metre_given=True))},
        )  # fmt: skip
        model.load_state_dict(learner.state_dict())
        history = history.followed_by(part)
        if part.interrupted:
            raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    print(f"calibrated: scores divided by {calibrate(model, valid):.2f}")
    what = "Composes, continues and harmonises four-part chorales; `course_utils.models.music.Composer`."
    text = checkpoints.card(
        name, what, data="207 training chorales of `data/music`, in all keys their voices allow", seed=seed,
        history=history, metrics=figures(model), limits="Bach's chorales only: four voices, 16th grid, bars of "
        "4/4, 3/4 and 3/2, no fermatas; the splits follow JSB-Chorales by content and are no paper's own",
    )  # fmt: skip
    checkpoints.save(name, model, model.config, text, half=True)
    return model


def figures(model: Composer) -> dict[str, str]:
    """Nats per note with 95 % intervals over pieces, as they stand in the card."""
    from course_utils import data, metrics

    result = {}
    for split in ("valid", "test"):
        chorales = data.chorales(split)
        notes = np.array([c.pitches.size for c in chorales])
        for how, options in {
            "grid alone": {},
            "metre given": {"metre_given": True},
            "metre given, twelve keys averaged": {"metre_given": True, "keys": tuple(range(-6, 6))},
        }.items():
            mean, low, high = metrics.bootstrap_ci(evaluate(model, chorales, **options), weights=notes)
            result[f"nats per note, {split}, {how}"] = f"{mean:.4f} ({low:.4f} to {high:.4f})"
    return result


class TokenTransformer(nn.Module):
    """The same blocks over single notes, four positions a step: the lower rungs of the ladder."""

    def __init__(self, config: MusicConfig, features: bool = False):
        super().__init__()
        d = config.d_model
        self.config, self.features = config, features
        self.note, self.voice = nn.Embedding(N_TOKENS + 1, d), nn.Embedding(4, d)
        self.held, self.metre = nn.Embedding(MAX_HELD + 1, d), nn.Embedding(52, d)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm, self.out = nn.LayerNorm(d), nn.Linear(d, N_TOKENS)

    def forward(self, tokens: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Log-probability of every note, as ChoraleTransformer gives it: (B, T, 4)."""
        notes = tokens.flatten(1)  # soprano, alto, tenor, bass, soprano, ...
        positions = torch.arange(notes.shape[1], device=notes.device)
        x = self.note(shift(notes, START)) + self.voice(positions % 4)
        if not self.config.relative:
            half = torch.arange(0, x.shape[-1], 2, device=x.device)
            angle = positions[:, None] * torch.exp(-math.log(1e4) * half / x.shape[-1])
            x = x + torch.stack([angle.sin(), angle.cos()], -1).flatten(1)
        if self.features:
            held = shift(memory(tokens)[0], 0).flatten(1)
            x = x + self.held(held) + self.metre(place).repeat_interleave(4, 1)
        for block in self.blocks:
            x = block(x)
        scores = self.out(self.norm(x)).float().log_softmax(-1)
        return scores.gather(-1, notes[..., None]).view_as(tokens)


class LibraryTransformer(nn.Module):
    """GPT-2 of the transformers library, from random weights, over the same single notes."""

    def __init__(self, config: MusicConfig):
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel

        self.gpt = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=N_TOKENS + 1, n_positions=1024, n_embd=config.d_model, n_layer=config.n_layers,
                n_head=config.n_heads, resid_pdrop=config.dropout, embd_pdrop=config.dropout,
                attn_pdrop=config.dropout, bos_token_id=START, eos_token_id=START,
            )
        )  # fmt: skip

    def forward(self, tokens: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Log-probability of every note: (B, T, 4). The places in the bar are not used."""
        notes = tokens.flatten(1)
        scores = self.gpt(shift(notes, START)).logits.float().log_softmax(-1)
        return scores.gather(-1, notes[..., None]).view_as(tokens)


@torch.inference_mode()
def windowed_nats(model: nn.Module, chorales, length: int = 64) -> float:
    """Nats per note with windows of `length` steps that overlap by half; only new steps count."""
    model.eval()
    cost, notes = 0.0, 0
    for c in chorales:
        tokens = to_tokens(c.pitches)
        place = places(len(tokens), (c.steps_per_bar, c.pickup_steps))
        for first in range(0, max(len(tokens) - length // 2, 1), length // 2):
            part = model(tokens[None, first : first + length], place[None, first : first + length])[0]
            new = part[length // 2 if first else 0 :]
            cost, notes = cost - float(new.double().sum()), notes + new.numel()
    return cost / notes


# Rung: (what it adds, kind of model, its options, training keys, averaged weights)
RUNGS = {
    "absolute": ("causal mask, absolute positions", TokenTransformer, {"relative": False}, False, None),
    "relative": ("relative attention", TokenTransformer, {}, False, None),
    "transposed": ("transposed training pieces", TokenTransformer, {}, True, None),
    "features": ("metre and held notes as inputs", TokenTransformer, {"features": True}, True, None),
    "steps": ("whole steps, head for four voices", Composer, {}, True, None),
    "averaged": ("averaged weights: the lesson's model", Composer, {}, True, 0.98),
    "library": ("GPT2LMHeadModel, transposed pieces", LibraryTransformer, {}, True, None),
}


def ladder(rung: str, seed: int, steps: int = 300) -> dict[str, float]:
    """Train one rung as in the lesson; returns its nats per note."""
    from course_utils import data, training

    _, kind, options, transpose, ema = RUNGS[rung]
    torch.manual_seed(seed)
    config = replace(LESSON, relative=options.get("relative", True))
    model = kind(config, features=True) if options.get("features") else kind(config)
    by_step = kind is Composer
    batches = Batches(data.chorales("train"), 192 if by_step else 64, 8 if by_step else 6, transpose, seed)
    training.fit(
        model, batches, loss_fn, steps, learning_rate=3e-3, weight_decay=0.1, ema=ema, seed=seed, title=rung,
        schedule=lambda p: min(p / 0.05, (1 - p) / 0.95),
    )  # fmt: skip
    parameters = sum(p.numel() for p in model.parameters())
    result = {"rung": rung, "seed": seed, "steps": steps, "parameters": parameters}
    for split in ("valid", "test"):
        chorales = data.chorales(split)
        if by_step:
            result[split] = mean_nats(chorales, evaluate(model, chorales, metre_given=True))
        else:
            result[split] = windowed_nats(model, chorales)
    return result
