"""How the vocoder of notebook 04 is trained: first its ear for pitch, then the sound, by spectra and by judges that learn, too."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import checkpoints, data, features, paths, pitch, training
from course_utils.data.corpus import UNIT_SAMPLES
from course_utils.models.vocoder import Vocoder, VocoderConfig
from course_utils.recipes.recognition import mixed
from course_utils.synthesis.pulses import PitchReader, pitch_loss
from course_utils.synthesis.spectral_loss import spectral_loss, spectrum

SHIPPED = VocoderConfig()
STEPS = 40_000
PITCH_STEPS = 700
"""Of `PitchReader`, which learns first and then holds still: 24 s of sound a step, 2 minutes."""
BATCH, CROP = 8, 16384
"""Pieces in a step, and samples in each: 1 s."""
JUDGED = 8192
"""Samples of a piece that the judges hear."""
REAL_SHARE = 0.45
PESQ = importlib.util.find_spec("pesq") is not None
"""A machine for training may lack it."""
FOOL, MATCH = 0.5, 1.0
"""Weights of the judges' opinion and of the comparison of what they noticed, beside the spectral loss."""

# --- sounds --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """Speech of a person (`real`) or a virtual voice; `decode` gives the waveform (time,)."""

    real: bool
    samples: int
    decode: Callable[[], np.ndarray]


def clips(split: str, extra: Path | None = None) -> Iterator[Clip]:
    """All speech of a split; for training also what `course build-speech` has made in the folder `extra`.

    Every 13th reader of LibriSpeech is for validation, as for the recogniser of notebook 03.
    """
    for one in data.speech(split):
        yield Clip(False, one.samples, lambda one=one: one.audio)
    for index in sorted(extra.glob("*/index.jsonl")) if extra and split == "train" else ():
        for row in map(json.loads, index.read_text().splitlines()):
            file = next(index.parent.glob(f"{row['id']}.*"))
            yield Clip(False, sum(row["durations"]) * UNIT_SAMPLES, partial(load, file))
    for i, one in enumerate(data.real("librispeech", "train")):
        if (i % 13 == 0) == (split == "valid"):
            yield Clip(True, int(one.duration * features.SAMPLE_RATE), lambda one=one: one.audio)


def load(file: Path) -> np.ndarray:
    """The waveform (time,) of a file."""
    from course_utils import audio  # and with it soundfile, which only real and extra recordings need

    return audio.load(file)


class Batch(NamedTuple):
    """waveform (B, crop); `first` sample of what is judged, and how much the judges' opinion counts, None: not asked."""

    waveform: torch.Tensor
    first: int
    weight: float | None


class Batches:
    """Random pieces by step, always the same: of people in `REAL_SHARE` of the cases, by chance in proportion to length.

    The judges are asked from the step `judged_from` on; within `ramp` steps, in which they learn the most, their
    opinion comes to count fully.
    """

    def __init__(
        self, clips: list[Clip], size: int = BATCH, crop: int = CROP, judged_from: int = 0, ramp: int = 300, seed: int = 0
    ):  # fmt: skip
        self.clips = [clip for clip in clips if clip.samples >= crop // 2]
        length, real = (np.array([getattr(c, name) for c in self.clips]) for name in ("samples", "real"))
        if len(length) == 0:
            raise ValueError(f"no clip has the {crop // 2} samples that half a piece needs")
        chance = length / length.sum()
        if real.any() and not real.all():
            chance = (
                np.where(real, REAL_SHARE / chance[real].sum(), (1 - REAL_SHARE) / chance[~real].sum())
                * chance
            )
        self.chance, self.size, self.crop = chance / chance.sum(), size, crop
        self.judged_from, self.ramp, self.seed = judged_from, ramp, seed

    def __call__(self, step: int) -> Batch:
        """The pieces of a step."""
        draw = np.random.default_rng((self.seed, step))
        chosen = draw.choice(len(self.clips), self.size, p=self.chance)
        pieces = torch.from_numpy(np.stack([self.piece(self.clips[i].decode(), draw) for i in chosen]))
        first = int(draw.integers(max(1, self.crop - JUDGED + 1)))
        asked = step - self.judged_from
        return Batch(pieces, first, min(1.0, (asked + 1) / self.ramp) if asked >= 0 else None)

    def piece(self, waveform: np.ndarray, draw: np.random.Generator) -> np.ndarray:
        """A piece (crop,) of a waveform, up to 20 dB quieter, mostly little."""
        start = draw.integers(max(1, len(waveform) - self.crop + 1))
        piece = waveform[start : start + self.crop]
        piece = np.pad(piece, (0, self.crop - len(piece))) * 10 ** -(draw.uniform() ** 2)
        return piece.astype(np.float32)


# --- judges --------------------------------------------------------------------------------------------


def convolution(
    n_in: int, n_out: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)
) -> nn.Module:
    """A convolution over two axes whose length shrinks by the stride alone."""
    padding = tuple((k - 1) // 2 for k in kernel)
    return nn.utils.parametrizations.weight_norm(nn.Conv2d(n_in, n_out, kernel, stride, padding))


class Judge(nn.Module):
    """Layers over two axes; gives a score for each place, 1 for real and 0 for made, and what its layers noticed."""

    def __init__(self, layers: list[nn.Module], last: nn.Module):
        super().__init__()
        self.layers, self.last = nn.ModuleList(layers), last

    def forward(self, waveform: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(B, time) -> scores (B, 1, ..., ...) and a tensor from each layer."""
        x, noticed = self.look(waveform), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            noticed.append(x)
        return self.last(x).float(), noticed


class PeriodJudge(Judge):
    """Folds the waveform at one period, so that what repeats stands in columns (HiFi-GAN; Kong and others, 2020)."""

    def __init__(self, period: int, channels: tuple[int, ...] = (24, 48, 96, 192)):
        sizes = (1, *channels)
        layers = [convolution(a, b, (5, 1), (3, 1)) for a, b in pairwise(sizes)]
        layers.append(convolution(channels[-1], channels[-1], (5, 1)))
        super().__init__(layers, convolution(channels[-1], 1, (3, 1)))
        self.period = period

    def look(self, waveform: torch.Tensor) -> torch.Tensor:
        """(B, time) -> (B, 1, time / period, period)."""
        waveform = F.pad(waveform, (0, -waveform.shape[1] % self.period))
        return waveform.reshape(len(waveform), 1, -1, self.period)


class SpectrumJudge(Judge):
    """Sees the complex spectrogram at one resolution (EnCodec; Défossez and others, 2022)."""

    def __init__(self, n_fft: int, channels: int = 32):
        sizes = (2, channels // 2, channels // 2, channels, channels)
        layers = [convolution(a, b, (3, 9), (1, 2)) for a, b in pairwise(sizes)]
        layers.append(convolution(channels, channels, (3, 3)))
        super().__init__(layers, convolution(channels, 1, (3, 3)))
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def look(self, waveform: torch.Tensor) -> torch.Tensor:
        """(B, time) -> (B, 2, frames, bins), real and imaginary part of compressed magnitude: else treble is not seen."""
        with torch.autocast(waveform.device.type, enabled=False):
            n_fft = len(self.window)
            s = torch.stft(waveform.float(), n_fft, n_fft // 4, window=self.window, return_complex=True)
            s = torch.view_as_real(s.transpose(1, 2)).permute(0, 3, 1, 2)
            return s * (s.square().sum(1, keepdim=True) + 1e-6) ** -0.35


class Contest(nn.Module):
    """The vocoder and its judges, which learn in the same step: one wants to be taken for real, the others to tell."""

    def __init__(self, vocoder: Vocoder, judges: list[Judge] | None = None):
        super().__init__()
        if judges is None:
            judges = [*map(PeriodJudge, (2, 3, 5, 7, 11)), *map(SpectrumJudge, (1024, 512, 256))]
        self.vocoder, self.judges = vocoder, nn.ModuleList(judges)

    def hear(self, waveform: torch.Tensor) -> list[tuple[torch.Tensor, list[torch.Tensor]]]:
        """What each judge says of (B, time), brought to one level, so that quiet pieces count as much."""
        level = waveform.detach().square().mean(-1, keepdim=True).sqrt()
        return [judge(0.1 * waveform / (level + 1e-3)) for judge in self.judges]

    def forward(self, made: torch.Tensor, real: torch.Tensor, weight: float) -> torch.Tensor:
        """Two waveforms (B, time) -> the loss of the judges plus `weight` times that of the vocoder (least squares).

        Neither learns from the other's: the judges get `made` without its history, the vocoder judges that hold still.
        """
        n, total = len(real), 0.0
        heard = self.hear(torch.cat([real, made.detach()]))
        self.judges.requires_grad_(False)
        again = self.hear(made)
        self.judges.requires_grad_(True)
        for (scores, noticed), (score, noticed_again) in zip(heard, again, strict=True):
            judge = (1 - scores[:n]).square().mean() + scores[n:].square().mean()
            fool = (1 - score).square().mean()
            apart = [
                (x - y[:n].detach()).abs().mean().float() / (y[:n].detach().abs().mean().float() + 1e-4)
                for x, y in zip(noticed_again, noticed, strict=True)
            ]
            total = total + judge + weight * (FOOL * fool + MATCH * sum(apart) / len(apart))
        return total


# --- training ------------------------------------------------------------------------------------------


def reader_loss(reader: PitchReader, batch: Batch) -> torch.Tensor:
    """What the reader of pitch misses, by YIN on the waveform itself."""
    return pitch_loss(reader, features.log_mel(batch.waveform), pitch.f0(batch.waveform))


def train_reader(
    reader: PitchReader, found: list[Clip], steps: int = PITCH_STEPS, seed: int = 0
) -> training.History:
    """Teach F0 and voicing to a `PitchReader`, which holds still afterwards."""
    batches = Batches(found, 12, 2 * CROP, seed=seed)
    history = training.fit(
        reader.requires_grad_(True), training.ahead(batches), reader_loss, steps, learning_rate=2e-3,
        schedule=training.warmup_cosine(0.07, 0.01), seed=seed, title="pitch",
    )  # fmt: skip
    reader.requires_grad_(False)
    return history


def inconsistency(log_magnitude: torch.Tensor, made: torch.Tensor) -> torch.Tensor:
    """How far the magnitudes (B, frames, 257) that a vocoder wrote are from those of the sound (B, time) that came of them.

    It is 0 where overlapping frames fit together: what Griffin-Lim searches for. Phases that disagree cancel.
    """
    s = spectrum(made, 2 * log_magnitude.shape[2] - 2)
    size = (s.real**2 + s.imag**2 + 1e-6).log() / 2
    return (log_magnitude[:, : size.shape[1]].clamp(min=math.log(1e-3)) - size).abs().mean()


def loss_fn(contest: Contest, batch: Batch, consistency: float = 0.0) -> torch.Tensor:
    """The spectral loss, what comes of the judges where they are asked, and `consistency` times `inconsistency`."""
    real, written = batch.waveform, []
    hook = contest.vocoder.spectra.register_forward_hook(lambda *given: written.append(given[-1][0]))
    made = contest.vocoder(features.log_mel(real), real.shape[1])
    hook.remove()
    loss = spectral_loss(made, real)
    if consistency:
        loss = loss + consistency * inconsistency(written[0].float(), made)
    if batch.weight is None:
        return loss
    piece = slice(batch.first, batch.first + JUDGED)
    with mixed(real.device):  # the vocoder itself computes angles, for which bfloat16 is too coarse
        return loss + contest(made[:, piece], real[:, piece], batch.weight)


def validation(
    found: list[Clip], each: int = 4, seconds: float = 3.0
) -> Callable[[Contest], dict[str, float]]:
    """A function that measures unseen voices: spectral loss, and PESQ where its library is installed."""
    kinds = {"readers": True, "synthetic": False}
    chosen = {
        name: [c for c in found if c.real == real and c.samples > 32000] for name, real in kinds.items()
    }
    sounds = {
        name: [clip.decode()[: int(seconds * features.SAMPLE_RATE)] for clip in some[:: max(1, len(some) // each)][:each]]
        for name, some in chosen.items()
        if some
    }  # fmt: skip

    def evaluate(contest: Contest) -> dict[str, float]:
        from course_utils import metrics  # and with it jiwer, which a machine for training may lack

        values = {}
        for name, some in sounds.items():
            made = [contest.vocoder(features.log_mel(sound), len(sound)) for sound in some]
            pairs = [tuple(torch.from_numpy(x)[None] for x in pair) for pair in zip(made, some, strict=True)]
            values[f"loss, {name}"] = float(np.mean([spectral_loss(*pair) for pair in pairs]))
            if PESQ:
                scores = [metrics.pesq(a, b) for a, b in zip(made, some, strict=True)]
                values[f"PESQ, {name}"] = float(np.mean(scores))
        return values

    return evaluate


def optimiser(contest: Contest, vocoder: float, judges: float = 5e-4) -> torch.optim.AdamW:
    """AdamW with little momentum, since what is to be learnt changes while the judges learn."""
    groups = [
        {"params": [p for p in contest.vocoder.parameters() if p.requires_grad], "peak_lr": vocoder},
        {"params": list(contest.judges.parameters()), "peak_lr": judges},
    ]
    return torch.optim.AdamW(groups, lr=vocoder, betas=(0.8, 0.99), weight_decay=0.01)


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "vocoder",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
    begin: str | None = None,
    extra: str | None = None,
    size: int = BATCH,
    consistency: float = 0.0,
) -> Vocoder:
    """Train the checkpoint and save it as `name` with its card; `state` is a file to resume from.

    `begin` is a checkpoint to start from (a smaller learning rate is then enough, and the judges are asked from the
    first step), `extra` the folder of more speech that `course build-speech` has made; None: the cache, where
    something is there. `size` pieces are in a step; `consistency` weighs how well overlapping frames have to fit.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # another core makes the batches
    steps = steps or STEPS
    vocoder = Vocoder(SHIPPED)
    if begin:
        vocoder.load_state_dict(checkpoints.read(Path(begin) if "/" in begin else begin)[1])
    contest = Contest(vocoder)
    found = list(clips("train", Path(extra) if extra else paths.cache_folder() / "speech"))
    hours = {
        kind: sum(c.samples for c in found if c.real == real) / 57.6e6
        for kind, real in (("real", True), ("synthetic", False))
    }
    if not begin and train_reader(vocoder.spectra.pitch, found, min(steps, PITCH_STEPS), seed).interrupted:
        raise KeyboardInterrupt
    batches = Batches(found, size, CROP, 0 if begin else int(0.15 * steps), seed=seed)
    history = training.fit(
        contest, training.ahead(batches), partial(loss_fn, consistency=consistency), steps, schedule=training.warmup_cosine(0.02, 0.02), clip=10.0,
        ema=0.999, optimizer=optimiser(contest, 5e-4 if begin else 1.2e-3), evaluate=validation(list(clips("valid"))),
        every=500, state=state, save_every=250, seed=seed, title="vocoder",
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    last = history.evaluations[-1][1]
    text = checkpoints.card(
        "vocoder",
        "Log-mel to waveform for any voice; `course_utils.models.vocoder.Vocoder`.",
        data=f"{hours['real']:.1f} h of readers of LibriSpeech (CC BY 4.0), {hours['synthetic']:.1f} h of synthetic voices "
        "of `data/speech` and of `course build-speech`" + ("; begun from weights of an earlier run" if begin else ""),
        seed=seed, history=history,
        metrics={f"{what}, unseen voices": f"{value:.2f}" for what, value in last.items()}
        | (measure(vocoder) if measure else {}),
        limits="Speech of one talker at 16 kHz; music and noise come out rough",
    )  # fmt: skip
    checkpoints.save(name, vocoder, vocoder.config, text, half=True)
    return vocoder
