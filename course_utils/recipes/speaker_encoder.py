"""How the speaker encoder of notebook 05 is trained: pairs of segments of one voice, each degraded on its own.

Two segments of a clip share its microphone, its room and its noise. A network that may see that learns recordings,
which is easier than voices; so every segment gets others.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import tqdm

from course_utils import checkpoints, data, features, fingerprint, paths, shipped, training
from course_utils.models.speaker_encoder import (
    SmallEncoder,
    SpeakerConfig,
    SpeakerEncoder,
    ge2e_loss,
    margin_loss,
    pair_loss,
)
from course_utils.paths import SAMPLE_RATE
from course_utils.recipes.recognition import mixed

STEPS = 12_000
PAIRS = 48
"""Pairs of segments in a step."""
SPEEDS = (1.0, 0.85, 0.92, 1.09, 1.18)
"""A voice played at another speed is another voice: a class of its own."""
UNIT = 2560
"""Segments are whole numbers of this many samples, 0.16 s: lengths that the Fourier transform is fast with."""
UNITS = (5, 12)
"""Shortest and longest segment of a step in units: 0.8 to 1.9 s."""
MARGIN = 0.2
CLEAN, LIGHT = 0.3, 0.3
"""Shares of pairs whose segments are left clean, or degraded a little; the others get everything."""
HELD_OUT = 13
"""Every 13th of the readers for training is kept for choosing."""

# --- speech --------------------------------------------------------------------------------------------


class Voices:
    """All speech of a split, one track for each voice: `tracks` maps a voice to its int16 samples (time,).

    Readers of LibriSpeech come first, `n_real` of them; they are left out where the recordings are not on this
    machine. Every `HELD_OUT`th reader of the training list is "valid". `extra` is a folder of more voices as
    `course build-speech` makes them. Decoding takes minutes, so the tracks are kept in the cache.
    """

    def __init__(self, split: str, extra: Path | None = None, real: bool = True, seconds: float = 60.0):
        readers = _readers(split) if real else []
        clips = [(f"reader {one.speaker}", one) for one in readers]
        clips += [(one.voice, one) for one in data.speech(split, kind="sentence")]
        for index in sorted(extra.glob("*/index.jsonl")) if extra and split == "train" else ():
            for row in map(json.loads, index.read_text().splitlines()):
                clips.append((row["voice"], next(index.parent.glob(f"{row['id']}.*"))))
        name = fingerprint.digest(
            [(voice, getattr(clip, "id", None) or clip.name) for voice, clip in clips],
            seconds,
            shipped.manifest().speech_key,
        )
        store = paths.cache_folder() / "speakers" / f"{split}-{name}.npz"
        if not store.exists():
            self._decode(clips, round(seconds * SAMPLE_RATE), store)
        with np.load(store) as kept:
            names, lengths, samples = kept["names"], kept["lengths"], kept["samples"]
        ends = np.cumsum(lengths)
        self.tracks = {str(n): samples[end - length : end] for n, end, length in zip(names, ends, lengths, strict=True)}  # fmt: skip
        self.names = list(self.tracks)
        self.n_real = sum(name.startswith("reader ") for name in self.names)

    @staticmethod
    def _decode(clips: Sequence[tuple], most: int, store: Path) -> None:
        tracks: dict[str, list] = {}
        for voice, clip in tqdm(clips, "speech", unit=" clips", delay=2):
            own = tracks.setdefault(voice, [])
            if sum(map(len, own)) < most:
                waveform = _load(clip) if isinstance(clip, Path) else clip.audio
                own.append(np.round(waveform * 32767).clip(-32768, 32767).astype(np.int16))
        joined = {voice: np.concatenate(own)[:most] for voice, own in tracks.items()}
        store.parent.mkdir(parents=True, exist_ok=True)
        part = store.with_suffix(".part.npz")
        np.savez(
            part,
            names=np.array(list(joined)),
            lengths=np.array([len(x) for x in joined.values()]),
            samples=np.concatenate(list(joined.values())),
        )
        part.replace(store)

    def hours(self) -> dict[str, float]:
        """How much there is of real and of synthetic voices."""
        total = [sum(map(len, list(self.tracks.values())[part])) for part in (slice(self.n_real), slice(self.n_real, None))]  # fmt: skip
        return {"readers": round(total[0] / 3600 / SAMPLE_RATE, 2), "synthetic": round(total[1] / 3600 / SAMPLE_RATE, 2)}  # fmt: skip


def _readers(split: str) -> list[data.Recording]:
    if split == "test":
        return data.real("librispeech", "test")
    try:
        found = data.real("librispeech", "train")
    except data.DataError:  # the recordings are not here: the synthetic voices are
        return []
    return [one for i, one in enumerate(found) if (i % HELD_OUT == 0) == (split == "valid")]


def _load(file: Path) -> np.ndarray:
    from course_utils import audio  # soundfile, which a machine for training may lack

    return audio.load(file)


def segments(track: np.ndarray, seconds: float, most: int, seed: int = 0) -> list[np.ndarray]:
    """Up to `most` pieces of a waveform (time,) that do not overlap, none of them mostly pause."""
    samples = round(seconds * SAMPLE_RATE)
    cuts = [track[i : i + samples] for i in range(0, len(track) - samples + 1, samples)]
    level = np.sqrt(np.mean(np.square(track, dtype=np.float64)))
    cuts = [cut for cut in cuts if np.sqrt(np.mean(np.square(cut, dtype=np.float64))) > 0.4 * level]
    return [cuts[i] for i in np.random.default_rng(seed).permutation(len(cuts))[:most]]


# --- what happens to a segment -------------------------------------------------------------------------


def _decibel(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(x * (math.log(10) / 20))


def _even(x: torch.Tensor) -> torch.Tensor:
    """(B, time) with mean square 1."""
    return x / x.square().mean(1, keepdim=True).sqrt().clamp(min=1e-4)


def _curve(points: torch.Tensor, frequency: torch.Tensor) -> torch.Tensor:
    """(B, n) values, evenly spaced in log frequency from 60 to 8000 Hz -> (B, bins), by cosine interpolation."""
    place = (frequency.clamp(min=60) / 60).log() / math.log(8000 / 60) * (points.shape[1] - 1)
    left = place.floor().clamp(max=points.shape[1] - 2).long()
    share = 0.5 - 0.5 * torch.cos(math.pi * (place - left))
    return points[:, left] * (1 - share) + points[:, left + 1] * share


def noise_and_room(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Another noise and another room for every segment (B, time), as in the lesson: a mild form of `degrade`.

    Noise of 10 to 30 dB SNR that falls by 0 to 6 dB an octave; an echo that dies away by 60 dB in 0.1 to 0.4 s and has
    -12 to 0 dB of the direct sound.
    """
    batch, time = x.shape
    n, where = time + 6400, {"device": x.device, "generator": generator}

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(batch, 1, **where)

    seconds = torch.arange(6400, device=x.device) / SAMPLE_RATE
    echo = torch.randn(batch, 6400, **where) * torch.exp(-6.91 * seconds / between(0.1, 0.4))
    echo = echo / echo.square().sum(1, keepdim=True).sqrt() * _decibel(between(-12, 0))
    x = _even(x)
    heard = torch.fft.irfft(torch.fft.rfft(x, n) * (1 + torch.fft.rfft(echo, n)), n)[:, :time]
    frequency = torch.linspace(0, SAMPLE_RATE / 2, time // 2 + 1, device=x.device).clamp(min=40)
    spectrum = torch.fft.rfft(torch.randn(batch, time, **where)) * (frequency / 1000) ** -between(0, 1)
    return _even(_even(heard) + _even(torch.fft.irfft(spectrum, time)) * _decibel(-between(10, 30)))


def degrade(
    x: torch.Tensor, generator: torch.Generator, strength: torch.Tensor | float = 1.0
) -> torch.Tensor:
    """Another room, noise, microphone and line for every segment, on the device of `x`.

    Args:
        x: (B, time). The babble is made of other segments of the batch, never of the one B / 2 away.
        generator: on the same device.
        strength: (B,) or one number: 0 leaves a segment as it is, 1 is everything, between is a good connection.

    Returns:
        (B, time), the level between -40 and 0 dB.
    """
    batch, time = x.shape
    n_room = 7680
    n = time + n_room
    where = {"device": x.device, "generator": generator}
    strength = torch.as_tensor(strength, device=x.device, dtype=torch.float32).expand(batch)[:, None]
    milder = 1 - strength

    def between(low: float, high: float, width: int = 1) -> torch.Tensor:
        return low + (high - low) * torch.rand(batch, width, **where)

    def sometimes(share: float) -> torch.Tensor:
        return torch.rand(batch, 1, **where) < share * strength.clamp(min=0.3)

    def power(spectrum: torch.Tensor) -> torch.Tensor:
        return (spectrum.real.square() + spectrum.imag.square()).mean(1, keepdim=True).clamp(min=1e-12)

    x = _even(x)
    frequency = torch.linspace(0, SAMPLE_RATE / 2, n // 2 + 1, device=x.device)
    voice = torch.fft.rfft(x, n)
    # Room: the direct sound, and a tail of noise that decays by 60 dB in 0.1 to 0.6 s.
    seconds = torch.arange(n_room, device=x.device) / SAMPLE_RATE
    tail = torch.randn(batch, n_room, **where) * torch.exp(-6.91 * seconds / between(0.1, 0.6))
    tail = tail / tail.square().sum(1, keepdim=True).sqrt() * _decibel(between(-14, 3) - 8 * milder)
    heard = voice * (1 + torch.fft.rfft(tail * (torch.rand(batch, 1, **where) < 0.5), n))
    # Noise: from white to brown with a random curve, or babble of 2 to 5 others.
    colour = (frequency.clamp(min=40) / 1000) ** (-between(0, 1)) * _decibel(
        _curve(between(-8, 8, 6), frequency)
    )
    noise = torch.randn(batch, n // 2 + 1, dtype=torch.complex64, **where) * colour
    others = max(1, batch // 2 - 1)
    dice = random.Random(int(torch.randint(2**31, (1,), **where)))
    shifts = dice.sample(range(1, others + 1), min(others, dice.randint(2, 5)))
    babble = sum(voice.roll(shift, 0) for shift in shifts)
    noise = torch.where(sometimes(0.35), babble / power(babble).sqrt(), noise / power(noise).sqrt())
    loudness = _decibel(-between(5, 30) - 12 * milder) * (torch.rand(batch, 1, **where) < 0.9)
    # Both powers are over n samples, but the voice lasts `time` of them.
    heard = heard + noise * loudness * (power(heard) * (n / time)).sqrt()
    # Microphone and line: equaliser, low-pass, high-pass.
    gain = _decibel(between(0.3, 1) * strength * _curve(between(-8, 8, 7), frequency))
    cut = torch.where(sometimes(0.3), between(3400, 4000), between(6000, 12000))
    low = torch.where(sometimes(0.3), between(80, 300), between(10, 40))
    gain = gain / (1 + (frequency / cut) ** 24).sqrt() / (1 + (low / frequency.clamp(min=5)) ** 6).sqrt()
    y = _even(torch.fft.irfft(heard * gain, n)[:, :time])
    limit = torch.where(sometimes(0.1), between(0.8, 3), 1e4)  # clipping
    y = torch.where(strength > 0, y.clamp(-limit, limit), x)
    return _even(y) * _decibel(between(-40, 0))


# --- batches -------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """Segments (2 n, time), row i and row n + i of one voice; their classes (2 n,); share of the training done."""

    waveform: torch.Tensor
    classes: torch.Tensor
    done: float

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(self.waveform.to(device), self.classes.to(device), self.done)


class Batches:
    """Training batches by step, always the same: `real` of the pairs are of readers where there are any.

    A pair is cut from two places of a track that do not overlap where it is long enough.
    """

    def __init__(
        self, voices: Voices, steps: int, pairs: int = PAIRS, seed: int = 0, speeds: Sequence[float] = SPEEDS,
        units: tuple[int, int] = UNITS, clean: float = CLEAN, light: float = LIGHT, real: float = 0.6,
    ):  # fmt: skip
        self.voices, self.steps, self.pairs, self.seed = voices, steps, pairs, seed
        self.speeds, self.units, self.clean, self.light, self.real = speeds, units, clean, light, real
        self.n_classes = len(voices.names) * len(speeds)

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        draw = np.random.default_rng((self.seed, step))
        n, n_real, total = self.pairs, self.voices.n_real, len(self.voices.names)
        real = min(round(n * self.real), n_real) if n_real < total else n
        chosen = np.r_[self._some(draw, n_real, real), n_real + self._some(draw, total - n_real, n - real)]
        number = np.where(draw.random(n) < 0.4, 0, draw.integers(len(self.speeds), size=n))
        samples = UNIT * int(draw.integers(self.units[0], self.units[1] + 1))
        first, second = zip(*(self.pair(int(v), self.speeds[k], samples, draw) for v, k in zip(chosen, number, strict=True)), strict=True)  # fmt: skip
        generator = torch.Generator().manual_seed(int(draw.integers(2**62)))
        waveform = degrade(torch.from_numpy(np.stack(first + second)), generator, self._strength(draw))
        classes = torch.from_numpy(chosen + number * total).repeat(2)
        return Batch(waveform, classes, step / self.steps)

    @staticmethod
    def _some(draw: np.random.Generator, n: int, wanted: int) -> np.ndarray:
        """Numbers of `wanted` of n voices, none twice where there are enough."""
        return draw.choice(n, wanted, replace=n < wanted) if wanted else np.zeros(0, np.int64)

    def _strength(self, draw: np.random.Generator) -> torch.Tensor:
        """Both segments of some pairs are clean, of some light; the others draw on their own."""
        n, kind = self.pairs, draw.random(self.pairs)
        alone = draw.choice((0.0, 0.4, 1.0), (2, n), p=(0.1, 0.2, 0.7))
        strength = np.where(kind < self.clean, 0.0, np.where(kind < self.clean + self.light, 0.4, alone))
        return torch.from_numpy(strength.ravel()).float()

    def pair(
        self, voice: int, speed: float, samples: int, draw: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Two segments (samples,) of a voice at a speed; a short track is gone round."""
        track = self.voices.tracks[self.voices.names[voice]]
        size = round(samples * speed)
        start = int(draw.integers(len(track)))
        apart = size + int(draw.integers(max(1, len(track) - 2 * size)))
        cuts = [
            track.take(np.arange(at, at + size), mode="wrap").astype(np.float32) / 32768
            for at in (start, start + apart)
        ]
        return tuple(cut if speed == 1 else _resampled(cut, samples) for cut in cuts)


def _resampled(x: np.ndarray, samples: int) -> np.ndarray:
    """(time,) -> (samples,): the same spectrum on another number of samples is another speed."""
    spectrum = torch.fft.rfft(torch.from_numpy(x))[: samples // 2 + 1]  # by PyTorch: fast with any length
    return torch.fft.irfft(spectrum, samples).numpy()


# --- training ------------------------------------------------------------------------------------------


class Learner(nn.Module):
    """An encoder, and one centre for each class, which only training needs."""

    def __init__(self, encoder: SpeakerEncoder, n_classes: int):
        super().__init__()
        self.encoder = encoder
        self.centres = nn.Parameter(0.05 * torch.randn(n_classes, encoder.config.embedding))


def loss_fn(model: Learner, batch: Batch) -> torch.Tensor:
    """Margin loss over all classes, and half of the pair loss; the margin opens after a tenth of the training."""
    device = model.centres.device
    batch = batch.to(device)
    log_mel = drop_bands(features.log_mel(batch.waveform))
    with mixed(device):
        voices = model.encoder(log_mel)
    margin = MARGIN * min(1.0, max(0.0, (batch.done - 0.1) / 0.3))
    return margin_loss(voices.float(), batch.classes, model.centres, margin) + 0.5 * pair_loss(voices.float())


def drop_bands(log_mel: torch.Tensor, most: int = 8) -> torch.Tensor:
    """(B, T, 80) -> the same with up to `most` neighbouring bands standing still in half of the segments."""
    batch, _, bands = log_mel.shape
    u = torch.rand(3, batch, 1, 1, device=log_mel.device)
    band, low = torch.arange(bands, device=log_mel.device), u[0] * bands
    gone = (band >= low) & (band < low + u[1] * most) & (u[2] < 0.5)
    return torch.where(gone, log_mel.mean(1, keepdim=True), log_mel)


@torch.no_grad()
def begin_centres(model: Learner, batches: Batches) -> None:
    """Set every centre to the voice of one clean segment of its class: for an encoder that knows something."""
    voices, draw, samples = batches.voices, np.random.default_rng(0), UNIT * 8
    model.encoder.eval()
    device, total = model.centres.device, len(voices.names)
    for number, speed in enumerate(batches.speeds):
        for first in range(0, total, 64):
            part = range(first, min(total, first + 64))
            cuts = [batches.pair(v, speed, samples, draw)[0] for v in part]
            log_mel = features.log_mel(torch.from_numpy(np.stack(cuts))).to(device)
            with mixed(device):
                found = model.encoder(log_mel).float()
            rows = torch.tensor([number * total + v for v in part])
            model.centres[rows] = F.normalize(found, dim=1)


def optimiser(
    model: Learner, rate: float = 2e-3, known: Sequence[str] = (), known_rate: float = 6e-4
) -> torch.optim.AdamW:
    """AdamW; matrices and kernels decay, the rest and the centres do not. Parts that are `known` move less."""
    groups = []
    for begun in (True, False):
        own = [p for name, p in model.encoder.named_parameters() if (name in known) == begun]
        peak = known_rate if begun else rate
        groups.append({"params": [p for p in own if p.ndim > 1], "weight_decay": 0.05, "peak_lr": peak})
        groups.append({"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0, "peak_lr": peak})
    groups.append({"params": [model.centres], "weight_decay": 0.0, "peak_lr": known_rate if known else rate})
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=rate, betas=(0.9, 0.98))


def equal_error(voices: np.ndarray, speakers: Sequence[str]) -> float:
    """EER in % over all pairs of rows of voices (n, dim)."""
    from course_utils import metrics  # and with it jiwer, which a machine for training may lack

    i, j = np.triu_indices(len(voices), 1)
    score, same = np.sum(voices[i] * voices[j], 1), np.array(speakers)[i] == np.array(speakers)[j]
    return 100 * metrics.eer(score[same], score[~same])[0]


def validation(voices: Voices, most: int = 8) -> Callable[[nn.Module], dict[str, float]]:
    """A function that measures the EER in % on voices and readers that are kept for choosing, always the same segments."""
    sets = {}
    for kind, part in (("readers", slice(voices.n_real)), ("voices", slice(voices.n_real, None))):
        for seconds, strength in ((1.0, 0.0), (2.0, 1.0)):
            found = [(name, cut) for name in voices.names[part] for cut in segments(voices.tracks[name], seconds, most)]  # fmt: skip
            if not found:
                continue
            x = torch.from_numpy(np.stack([cut for _, cut in found]).astype(np.float32) / 32768)
            x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))]  # babble of others
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1)).tolist()
            x = degrade(x, torch.Generator().manual_seed(2), strength)
            label = f"EER {kind}, {seconds:.0f} s {'degraded' if strength else 'clean'}"
            sets[label] = features.log_mel(x), [found[i][0] for i in order]

    def evaluate(model: nn.Module) -> dict[str, float]:
        encoder = model.encoder if isinstance(model, Learner) else model
        device = encoder.out.weight.device
        with torch.inference_mode():
            return {
                name: equal_error(
                    torch.cat([encoder(x.to(device)).float().cpu() for x in mel.split(64)]).numpy(), who
                )
                for name, (mel, who) in sets.items()
            }

    return evaluate


def start_from(encoder: SpeakerEncoder, begin: str | Path) -> list[str]:
    """Take the weights of a checkpoint; parts that it lacks stay as they are. Returns the names of what it has."""
    there = checkpoints.read(Path(begin) if "/" in str(begin) else begin)[1]
    encoder.load_state_dict({**encoder.state_dict(), **there})
    return list(there)


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "speaker_encoder",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
    begin: str | None = None,
    extra: str | None = None,
) -> SpeakerEncoder:
    """Train the checkpoint and save it as `name` with its card; `state` is a file to resume from.

    `begin` is a checkpoint to start from (a smaller learning rate is then enough), `extra` the folder of more speech
    that `course build-speech` has made; None: the cache, where something is there. It runs on a GPU where there is one.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # another core makes the batches
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = SpeakerEncoder(SpeakerConfig())
    voices = Voices("train", Path(extra) if extra else paths.cache_folder() / "speech")
    batches = Batches(voices, steps or STEPS, seed=seed)
    model = Learner(encoder, batches.n_classes).to(device)
    known = start_from(encoder, begin) if begin else []
    if begin:
        begin_centres(model, batches)
    history = training.fit(
        model, training.ahead(batches), loss_fn, steps or STEPS, schedule=training.plateau, clip=5.0, ema=0.99,
        optimizer=optimiser(model, known=known), evaluate=validation(Voices("valid")), every=200,
        state=state, save_every=50, seed=seed, title="speaker encoder",
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    encoder = encoder.cpu().eval()
    card = checkpoints.card(
        "speaker_encoder",
        "Says who speaks: speech to 192 numbers of length 1, which point in nearly the same direction for one speaker. "
        "`course_utils.models.speaker_encoder.SpeakerEncoder`.",
        data=f"hours: {voices.hours()}; {voices.n_real} readers of LibriSpeech (CC BY 4.0), "
        f"{len(voices.names) - voices.n_real} synthetic voices, each at {len(SPEEDS)} speeds",
        seed=seed, history=history, metrics=measure(encoder) if measure else {},
        limits="read English of adults; no proof of identity: it accepts imitations and hears channels, too",
    )  # fmt: skip
    checkpoints.save(name, encoder, encoder.config, card, bits=8)
    return encoder


# --- the lesson and its ladder -------------------------------------------------------------------------

LESSON = {
    "stem": 16,
    "dim": 96,
    "dilations": (1, 2, 3),
    "squeeze": 16,
    "attention": 32,
    "colour": 0,
    "embedding": 96,
}
SMALL_STEPS, LESSON_STEPS = 70, 200
LESSON_PAIRS = 24


class LessonBatches:
    """Pairs of segments of one second of the corpus's training voices: `batches(step)` gives a `Batch`.

    `sound` is "clean" (as it is), "recording" (both segments of a pair have one noise and one room, as pieces of one
    recording have) or "segment" (every segment has its own). `speeds`: also the voices that come out when these
    are played slower or faster.
    """

    def __init__(
        self,
        voices: Voices,
        sound: str,
        steps: int,
        pairs: int = LESSON_PAIRS,
        speeds: bool = False,
        seed: int = 0,
    ):
        if sound not in ("clean", "recording", "segment"):
            raise ValueError(f"sound: expected clean, recording or segment, got {sound!r}")
        kinds = SPEEDS if speeds else (1.0,)
        self.inner = Batches(voices, steps, pairs, seed, kinds, (6, 6), real=0.0)
        self.n_classes, self.sound, self.steps, self.seed = self.inner.n_classes, sound, steps, seed

    def __call__(self, step: int) -> Batch:
        """The batch of a step, always the same."""
        draw = np.random.default_rng((self.seed, step))
        inner, total = self.inner, len(self.inner.voices.names)
        chosen = draw.choice(total, inner.pairs, replace=total < inner.pairs)
        number = draw.integers(len(inner.speeds), size=inner.pairs)
        pairs = [
            inner.pair(int(v), inner.speeds[k], UNIT * 6, draw) for v, k in zip(chosen, number, strict=True)
        ]
        x, classes = torch.from_numpy(np.concatenate([np.stack(side) for side in zip(*pairs, strict=True)])), chosen + number * total  # fmt: skip
        seed = int(draw.integers(2**62))
        if self.sound == "segment":
            x = noise_and_room(x, torch.Generator().manual_seed(seed))
        elif self.sound == "recording":  # the same draws for both halves of the batch
            x = torch.cat([noise_and_room(half, torch.Generator().manual_seed(seed)) for half in x.chunk(2)])
        return Batch(x, torch.from_numpy(classes).repeat(2), step / self.steps)


def by_pairs(encoder: nn.Module, batch: Batch) -> torch.Tensor:
    """GE2E with two segments of each voice."""
    with mixed(batch.waveform.device):
        voices = encoder(features.log_mel(batch.waveform))
    first, second = voices.float().chunk(2)
    return ge2e_loss(torch.stack([first, second], 1))


def by_classes(model: Learner, batch: Batch) -> torch.Tensor:
    """Margin loss over all voices, and half of the pair loss."""
    with mixed(batch.waveform.device):
        voices = model.encoder(features.log_mel(batch.waveform))
    voices, margin = voices.float(), MARGIN * min(1.0, max(0.0, (batch.done - 0.1) / 0.3))
    return margin_loss(voices, batch.classes, model.centres, margin) + 0.5 * pair_loss(voices)


# Rung: (what it adds, network, loss, sound of the segments, voices at other speeds)
RUNGS = {
    "GE2E, clean": ("a small network and GE2E, clean segments", "small", "pairs", "clean", False),
    "one recording each": ("noise and room, the same for both segments of a pair", "small", "pairs", "recording", False),
    "every segment": ("noise and room of its own for every segment", "small", "pairs", "segment", False),
    "margin": ("a centre for each voice, and a margin", "small", "classes", "segment", False),
    "blocks": ("stem, blocks and attentive pooling", "large", "classes", "segment", False),
    "speeds": ("voices played slower and faster are more voices", "large", "classes", "segment", True),
}  # fmt: skip


def train_rung(
    rung: str, seed: int, steps: int | None = None, show: bool = True
) -> tuple[nn.Module, training.History]:
    """Train one rung on the corpus's training voices; the lesson trains some of them in the same way."""
    _, network, loss, sound, speeds = RUNGS[rung]
    torch.manual_seed(seed)
    steps = steps or LESSON_STEPS
    encoder = SmallEncoder() if network == "small" else SpeakerEncoder(SpeakerConfig(**LESSON))
    if network == "large":
        encoder.stem.to(
            memory_format=torch.channels_last
        )  # the same numbers in another order: faster on a CPU
    batches = LessonBatches(Voices("train", real=False), sound, steps, speeds=speeds, seed=seed)
    if loss == "pairs":
        model, function, optimizer = encoder, by_pairs, torch.optim.AdamW(encoder.parameters(), lr=4e-3)
    else:
        encoder.config = getattr(encoder, "config", SpeakerConfig(embedding=encoder.out.out_features))
        model = Learner(encoder, batches.n_classes)
        function, optimizer = by_classes, optimiser(model, rate=3e-3)
    history = training.fit(
        model, training.ahead(batches), function, steps, schedule=training.plateau, optimizer=optimizer, clip=5.0,
        seed=seed, title=rung, show=show,
    )  # fmt: skip
    return encoder.eval(), history
