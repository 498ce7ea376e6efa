# Written from notebooks/02_music_generation.ipynb by `course export`: edit the notebook, not this file.
"""What one does with the transformer of notebook 02: measure, compose, harmonise."""

__all__ = ['Cache', 'Writer', 'choose', 'parallels', 'Composer', 'compose', 'harmonise']


import math
import numpy as np
import torch
from course_utils.music import MAX_STEPS
from course_utils.models.music import ChoraleTransformer, MAX_HELD, METRES, NO_LEAP, N_TOKENS, START, leap, places, to_grid, to_tokens


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


def choose(logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator) -> torch.Tensor:  # fmt: skip
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
        kept = ((before - own) % 12 == (upper - note) % 12) & torch.isin((before - own) % 12, torch.tensor([0, 7]))  # fmt: skip
        together = (upper - before).sign() * (note - own).sign() == 1
        sounding = (before > 0) & (before < START) & (upper > 0) & (own > 0) & (note > 0)
        forbidden |= kept & together & sounding
    return forbidden


class Composer(ChoraleTransformer):
    """A ChoraleTransformer with what one does with it: measure, compose, harmonise."""

    @torch.inference_mode()
    def log_probs(self, grid: np.ndarray, metre: tuple, keys: tuple = (0,)) -> torch.Tensor:
        """Log-probability of every note (steps, 4); of several keys the mean probability is taken."""
        self.eval()
        tokens = to_tokens(grid)
        sung = torch.stack([torch.where(tokens > 0, tokens + k, 0) for k in keys])
        place = places(len(tokens), metre).expand(len(keys), -1)
        return self(sung, place).double().logsumexp(0) - math.log(len(keys))

    def nll(self, grid: np.ndarray, metre: tuple | None = None, keys: tuple = (0,)) -> float:
        """Mean nats per note of a grid (steps, 4) of MIDI pitches, 0 = rest.

        metre: (steps in a bar, steps before the first bar line); None: summed over all known metres.
        keys: shifts in semitones whose predictions are averaged, for example `range(-6, 6)`.
        """
        keys = tuple(keys)
        if metre is not None:
            return -float(self.log_probs(grid, metre, keys).mean())
        prior = torch.tensor(list(METRES.values()), dtype=torch.double)
        joint = torch.stack([self.log_probs(grid, m, keys).sum() for m in METRES])
        return -float((joint + (prior / prior.sum()).log()).logsumexp(0)) / (4 * len(grid))

    def generate(self, steps, prompt=None, temperature=1.0, top_p=0.95, seed=0, metre=(16, 0), strict=False) -> np.ndarray:  # fmt: skip
        """A grid (steps, 4) of new music, or `prompt` (its steps count too) and what follows; see `compose`."""
        return compose(self, steps, 1, prompt, temperature, top_p, seed, metre, strict)[0]

    def harmonise(
        self, soprano, temperature=1.0, top_p=0.95, seed=0, metre=(16, 0), particles=48
    ) -> np.ndarray:
        """A grid (steps, 4) whose first column is `soprano` (steps,) of MIDI pitches."""
        return harmonise(self, soprano, temperature, top_p, seed, metre, particles)


@torch.inference_mode()
def compose(
    model, steps, count=1, prompt=None, temperature=1.0, top_p=0.95, seed=0, metre=(16, 0), strict=False
) -> np.ndarray:  # fmt: skip
    """`count` new pieces at once: grids (count, steps, 4); `strict`: parallel fifths and octaves are never drawn."""
    if not (1 <= steps <= MAX_STEPS and count >= 1 and 0 <= temperature < math.inf and 0 < top_p <= 1):
        raise ValueError(f"expected 1 to {MAX_STEPS:,} steps, count >= 1, temperature >= 0, 0 < top_p <= 1")
    given = torch.zeros(0, 4, dtype=torch.long) if prompt is None or not len(prompt) else to_tokens(prompt)[:steps]  # fmt: skip
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
