"""How the chorale transformer of notebook 02 is trained: batches, losses, the shipped checkpoint and the ladder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils import checkpoints, data, training
from course_utils.models.music import (
    MAX_HELD,
    N_TOKENS,
    START,
    Block,
    ChoraleTransformer,
    MusicConfig,
    memory,
    places,
    shift,
    to_grid,
    to_tokens,
    transpositions,
)
from course_utils.models.music_writing import Composer

SHIPPED = MusicConfig(d_model=192, n_layers=4, n_heads=8, d_head=128, dropout=0.25, intervals=False)
STEPS = (3600, 2400)  # of the two stages
LESSON = MusicConfig(n_heads=4)  # what the notebook trains live


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


# --- the shipped checkpoint ----------------------------------------------------------------------------


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


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "music",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
) -> Composer:
    """Train the checkpoint in two stages and save it as `name` with its card; `state` is a file to resume from.

    `measure` gives the figures of the card.
    """
    from accelerate import Accelerator

    bach, valid = data.chorales("train"), data.chorales("valid")
    torch.manual_seed(seed)
    model, history = Composer(SHIPPED), training.History()
    stages = {  # name: (batches, loss, learning rate)
        "random keys": (Batches(bach, 256, 16, seed=seed), loss_fn, 2e-3),
        "two keys": (KeyPairs(bach, 256, 16, seed), key_loss, 1e-3),
    }
    counts = [-(-steps // 2)] * 2 if steps else STEPS
    for (stage, (batches, loss, rate)), count in zip(stages.items(), counts, strict=True):
        learner = Composer(SHIPPED)  # Accelerator changes the model that it trains
        learner.load_state_dict(model.state_dict())
        part = training.fit(
            learner, batches, loss, count, learning_rate=rate, schedule=training.plateau, weight_decay=0.2,
            ema=0.99, every=200, state=state and state.with_stem(f"{state.stem}.{stage.replace(' ', '_')}"),
            seed=seed, title=f"music, {stage}", accelerator=Accelerator(mixed_precision="bf16"),
            evaluate=lambda m: {"valid": mean_nats(valid, evaluate(m, valid, metre_given=True))},
        )  # fmt: skip
        model.load_state_dict(learner.state_dict())
        history = history.followed_by(part)
        if part.interrupted:
            raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    print(f"calibrated: scores divided by {calibrate(model, valid):.2f}")
    text = checkpoints.card(
        "music",
        "Composes, continues and harmonises four-part chorales; `course_utils.models.music_writing.Composer`.",
        data="207 training chorales of `data/music`, in all keys their voices allow", seed=seed,
        history=history, metrics=measure(model) if measure else {},
        limits="Bach's chorales only: four voices, 16th grid, bars of 4/4, 3/4 and 3/2, no fermatas; the splits "
        "follow JSB-Chorales by content and are no paper's own",
    )  # fmt: skip
    checkpoints.save(name, model, model.config, text, bits=8)
    return model


# --- the ladder ----------------------------------------------------------------------------------------


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


class ShortComposer(Composer):
    """A Composer that learns and is measured as the rungs below it, on short windows: one change at a time."""


# Rung: (what it adds, kind of model, what its configuration changes, training keys, averaged weights)
RUNGS = {
    "absolute": ("causal mask, absolute positions", TokenTransformer, {"relative": False}, False, None),
    "relative": ("relative attention", TokenTransformer, {}, False, None),
    "transposed": ("transposed training pieces", TokenTransformer, {}, True, None),
    "features": ("metre and held notes as inputs", TokenTransformer, {"features": True}, True, None),
    "chords": ("whole steps, head for four voices", ShortComposer, {"intervals": False}, True, None),
    "longer": ("8 windows of 192 steps, not 6 of 64", Composer, {"intervals": False}, True, None),
    "intervals": ("intervals as inputs and as scores", Composer, {}, True, None),
    "averaged": ("averaged weights: the lesson's model", Composer, {}, True, 0.98),
    "library": ("GPT2LMHeadModel, transposed pieces", LibraryTransformer, {}, True, None),
}


def train_rung(rung: str, seed: int, steps: int | None = None) -> tuple[nn.Module, training.History]:
    """Train one rung as in the lesson, for 300 steps."""
    _, kind, options, transpose, ema = RUNGS[rung]
    torch.manual_seed(seed)
    sizes = {name: value for name, value in options.items() if name != "features"}
    config, long = replace(LESSON, **sizes), kind is Composer
    model = kind(config, features=True) if options.get("features") else kind(config)
    batches = Batches(data.chorales("train"), 192 if long else 64, 8 if long else 6, transpose, seed)
    return model, training.fit(
        model, batches, loss_fn, steps or 300, learning_rate=3e-3, weight_decay=0.1, ema=ema, seed=seed, title=rung,
        schedule=lambda p: min(p / 0.05, (1 - p) / 0.95),
    )  # fmt: skip


def nats(model: nn.Module, chorales) -> float:
    """Mean nats per note of a rung: whole pieces where the model can, else windows."""
    if isinstance(model, Composer) and not isinstance(model, ShortComposer):
        return mean_nats(chorales, evaluate(model, chorales, metre_given=True))
    return windowed_nats(model, chorales)
