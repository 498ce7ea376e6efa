"""How the noise remover of notebook 01 is trained: mixtures, losses, the shipped checkpoint and the ladder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from course_utils import checkpoints, data, features, noise, training
from course_utils.models.enhancement import (
    BINS,
    DualPathEnhancer,
    EnhancerConfig,
    WaveformAutoencoder,
    compress,
    denoise,
)
from course_utils.paths import SAMPLE_RATE

# --- sizes ---------------------------------------------------------------------------------------------

SHIPPED = EnhancerConfig(channels=32, bands=32, width=48, blocks=3, gain_bands=40, gain_width=48)
STEPS = 28_000
SIZES = {"size": 64, "seconds": 3.0}

# What the ladder trains from nothing: the gain alone, then all of it.
LESSON = EnhancerConfig(channels=16, bands=24, width=32, blocks=1, gain_bands=32, gain_width=112)
LESSON_STEPS = (1000, 30)
LESSON_RUN = {"learning_rate": 6e-3, "schedule": training.plateau, "ema": 0.98}
LESSON_SIZES = {"size": 24, "seconds": 1.0, "varied": 0.2}  # short and easy: more of it in 90 s
NAIVE_RUN = {"steps": 150, "learning_rate": 3e-3}
NAIVE_SIZES = {"size": 4, "seconds": 0.5, "varied": 0.0}


# --- what is minimised ---------------------------------------------------------------------------------


def waveform_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Mean distance of samples (L1), (B, time) each: what looks natural for sound, and weighs loud sounds most."""
    return (estimate - clean).abs().mean()


def naive_loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Loss of a model that maps samples to samples, on a batch of noisy and clean (B, time)."""
    noisy, clean = batch
    return waveform_loss(model(noisy), clean)


def si_sdr_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Negative SI-SDR in dB (Le Roux et al., 2019, eq. 3), (B, time) each, mean over the batch."""
    scale = (estimate * clean).sum(-1, keepdim=True) / (clean.square().sum(-1, keepdim=True) + 1e-8)
    target = scale * clean
    error = estimate - target
    ratio = (target.square().sum(-1) + 1e-8) / (error.square().sum(-1) + 1e-8)
    return -10 * torch.log10(ratio).mean()


def compressed_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Distance of the compressed spectra of two waveforms (B, time) (Ephrat et al., 2018; Braun and Tashev, 2021)."""
    a, b = compress(features.stft(estimate)), compress(features.stft(clean))
    return 0.3 * (a - b).abs().square().mean() + 0.7 * (a.abs() - b.abs()).square().mean()


def snr_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Negative SNR in dB, at best -30: as `si_sdr_loss`, but the volume has to be right, too; (B, time) each."""
    power, error = clean.square().sum(-1), (estimate - clean).square().sum(-1)
    return -10 * torch.log10((power + 1e-8) / (error + 1e-3 * power + 1e-8)).mean()


def combined_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Details of the spectrum, and the samples; weights chosen for the SI-SDR of validation mixtures."""
    return 30 * compressed_loss(estimate, clean) + 0.3 * snr_loss(estimate, clean)


def loss_fn(
    model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], distance: Callable = combined_loss
) -> torch.Tensor:
    """Loss of a model of spectra on noisy and clean waveforms (B, time); `distance` compares two such batches."""
    noisy, clean = batch
    return distance(denoise(model, noisy), clean)


# --- invented noise, varied speech ---------------------------------------------------------------------


def invent(kind: float, draw: np.random.Generator, clips: list[np.ndarray], seconds: float = 8) -> np.ndarray:
    """A noise (time,): a training type, hiss or rumble, tones, knocks or babble; `kind` from 0 to 1 says which."""
    if kind < 0.3:
        return noise.generate(str(draw.choice(noise.TRAIN_TYPES)), seconds, int(draw.integers(2**31)))
    if kind < 0.5:
        return noise.coloured(seconds, draw)
    if kind < 0.8:
        return (noise.tones if kind < 0.65 else noise.knocks)(seconds, draw)
    talkers = int(draw.integers(1, 9))
    chosen = [clips[i] for i in draw.choice(len(clips), 2 * talkers)]
    babble = noise.babble(chosen, seconds, int(draw.integers(2**31)), talkers)
    return babble[::-1] if draw.random() < 0.3 else babble  # backwards: as dense as speech, and not speech


def noise_pool(count: int, clips: list[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """`count` noises of 8 s, invented from a seed; babble is made of the speech in `clips`."""
    pool = []
    for i in range(count):
        draw = np.random.default_rng((seed, i))
        kind = draw.random()
        sound = noise.equalise(invent(kind, draw, clips), 18, draw)
        sound = sound * (noise.swell(8, draw) if kind < 0.8 else 1)
        if draw.random() < 0.3 and pool:  # noises come together, too
            sound = sound / rms(sound) + draw.uniform(0.1, 1) * pool[int(draw.integers(len(pool)))]
        pool.append((sound / rms(sound)).astype(np.float32))
    return pool


def rms(waveform: np.ndarray) -> float:
    """Root mean square, never 0."""
    return float(np.sqrt(np.mean(waveform**2) + 1e-12))


def say(clips: list[np.ndarray], length: int, draw: np.random.Generator) -> np.ndarray:
    """Random clips with pauses, cut to `length` samples; up to a third faster and higher, or slower and lower."""
    factor, speech = np.exp(draw.uniform(-0.3, 0.3)), np.zeros(0)
    while len(speech) < length:
        clip = clips[int(draw.integers(len(clips)))]
        size = -(-len(clip) // 4096) * 4096  # sizes that the Fourier transform is fast with
        short = round(size / factor / 128) * 128
        faster = np.fft.irfft(np.fft.rfft(clip, size)[: short // 2 + 1], short) * (short / size)
        faster = faster[: round(len(clip) * short / size)]
        speech = np.concatenate([speech, np.zeros(int(draw.integers(1, 6000))), faster])
    first = int(draw.integers(len(speech) - length + 1))
    return speech[first : first + length]


def echo(speech: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The same in an invented room: after the direct sound comes noise that dies away by 60 dB in 0.1 to 0.5 s."""
    time = np.arange(6000) / SAMPLE_RATE
    response = draw.standard_normal(6000) * 10 ** (-3 * time / draw.uniform(0.1, 0.5))
    response *= 10 ** (-draw.uniform(0, 15) / 20) / np.sqrt(np.sum(response**2))
    response[: int(draw.integers(20, 150))] = 0
    response[0] = 1
    size = 2 ** int(len(speech) + 6000).bit_length()
    return np.fft.irfft(np.fft.rfft(speech, size) * np.fft.rfft(response, size))[: len(speech)]


def record(speech: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The same as somebody recorded it: coloured, moving, in a room, with a faint hiss that belongs to it."""
    speech = noise.equalise(noise.tilt(speech, draw.uniform(-2, 8)), draw.uniform(3, 15), draw)
    if draw.random() < 0.3:
        decibels = np.interp(np.linspace(0, 3, len(speech)), range(4), draw.uniform(-8, 8, 4))
        speech = speech * 10 ** (decibels / 20)
    if draw.random() < 0.6:
        wobble = noise.low(len(speech), np.exp(draw.uniform(np.log(50), np.log(2000))), draw)
        speech = speech * (1 + draw.uniform(0, 0.7) * wobble)
    if draw.random() < 0.6:
        speech = echo(speech, draw)
    if draw.random() < 0.7:
        hiss = noise.equalise(draw.standard_normal(len(speech)), 25, draw)
        speech = speech + hiss * rms(speech) * 10 ** (-draw.uniform(22, 55) / 20)
    if draw.random() < 0.8:
        rumble = noise.low(len(speech), np.exp(draw.uniform(np.log(4), np.log(60))), draw)
        speech = speech + rumble * rms(speech) * 10 ** (-draw.uniform(5, 45) / 20)
    return speech


class Mixtures:
    """Training batches, mixed when asked for: `mixtures(step)` gives noisy and clean (size, time)."""

    def __init__(
        self, clips, noises, seconds: float = 2.0, size: int = 6, seed: int = 0, varied: float = 0.8
    ):
        self.clips, self.noises, self.size, self.seed, self.varied = clips, noises, size, seed, varied
        self.length = int(seconds * SAMPLE_RATE)

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Noisy and clean (size, time) of a step, always the same."""
        draw = np.random.default_rng((self.seed, step))
        noisy, clean = zip(*(self.mix(draw) for _ in range(self.size)), strict=True)
        return torch.from_numpy(np.stack(noisy)), torch.from_numpy(np.stack(clean))

    def mix(self, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One pair (time,): SNR from -8 to 22 dB, speech from -38 to -14 dBFS."""
        speech = say(self.clips, self.length, draw)
        if draw.random() < self.varied:
            speech = record(speech, draw)
        sound = self.noises[int(draw.integers(len(self.noises)))]
        start = int(draw.integers(len(sound) - self.length + 1))
        sound = noise.equalise(sound[start : start + self.length], 6, draw)
        if draw.random() < 0.1:
            rumble = noise.low(self.length, draw.uniform(5, 80), draw)
            sound = sound + rumble * rms(sound) * 10 ** (draw.uniform(-15, 15) / 20)
        sound = sound * rms(speech) / rms(sound) * 10 ** (-draw.uniform(-8, 22) / 20)
        level = 10 ** (draw.uniform(-38, -14) / 20) / rms(speech)
        return ((speech + sound) * level).astype(np.float32), (speech * level).astype(np.float32)


def training_data(count: int, noises: int, seed: int = 0, **sizes) -> Mixtures:
    """`Mixtures` of `count` training sentences (0: of all) and as many `noises`; `sizes` go to `Mixtures`."""
    said = data.speech("train")
    chosen = np.random.default_rng(seed).permutation(len(said))[: count or None]
    clips = [said[i].audio for i in sorted(chosen)]
    long = [clip for clip in clips if len(clip) > 1.25 * SAMPLE_RATE]  # for babble
    return Mixtures(clips, noise_pool(noises, long, seed), seed=seed, **sizes)


# --- real recordings -----------------------------------------------------------------------------------


def recorded_noises(
    count: int, clips: list[np.ndarray], seed: int = 0, seconds: float = 8
) -> list[np.ndarray]:
    """`count` noises of 8 s from recorded `clips`: one again and again, faster, slower or backwards, and equalised."""
    pool, length = [], round(seconds * SAMPLE_RATE)
    weights = np.sqrt([len(clip) for clip in clips])  # there is more to learn in a long one
    for i in range(count):
        draw = np.random.default_rng((seed, i, 1))
        clip, sound = clips[int(draw.choice(len(clips), p=weights / weights.sum()))], np.zeros(0)
        clip = clip[int(draw.integers(max(1, len(clip) - length))) :][: 2 * length]
        while len(sound) < length:
            places = np.arange(0, len(clip) - 1, np.exp(draw.uniform(-0.4, 0.4)))
            part = np.interp(places, np.arange(len(clip)), clip)[:: int(draw.choice([1, -1]))]
            overlap = min(800, len(sound), len(part))
            fade = np.linspace(0, 1, overlap)
            part[:overlap] = fade * part[:overlap] + (1 - fade) * sound[len(sound) - overlap :]
            sound = np.concatenate([sound[: len(sound) - overlap], part])
        sound = noise.equalise(sound[:length], 12, draw)
        pool.append((sound / rms(sound)).astype(np.float32))
    return pool


class NewNoises(Sequence):
    """A million noises of 8 s, made when asked for: three of eight invented, the others from recorded `clips`."""

    def __init__(self, speech: list[np.ndarray], clips: list[np.ndarray], seed: int = 0):
        self.speech, self.clips, self.seed = speech, clips, seed

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, i: int) -> np.ndarray:
        """The noise `i` (time,), always the same."""
        if i % 8 < 3:
            return noise_pool(2, self.speech, self.seed * len(self) + i)[1]
        return recorded_noises(1, self.clips, self.seed * len(self) + i)[0]


def recordings(
    split: str, count: int = 0, kinds: tuple[str, ...] = ("esc10",)
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """`count` real voices (0: all), and real noises of the collections `kinds` without silent ends, of a split.

    Every 13th reader is kept for "valid". DataError says how to get the recordings where they are missing.
    """
    readers = enumerate(data.real("librispeech", "train"))
    chosen = [reader for i, reader in readers if (i % 13 == 0) == (split == "valid")]
    voices = [reader.audio for reader in chosen[: count or None]]
    sounds = [clip.audio for kind in kinds for clip in data.real(kind, split)]
    loud = [np.flatnonzero(np.abs(sound) > 1e-4) for sound in sounds]
    noises = [sound[at[0] : at[-1] + 1] for sound, at in zip(sounds, loud, strict=True) if len(at)]
    return voices, [sound for sound in noises if len(sound) > 4000]


class EitherMixtures(Mixtures):
    """Each pair comes from `real` with the probability `share`, and else from `synthetic`."""

    def __init__(self, real: Mixtures, synthetic: Mixtures, share: float = 0.65):
        super().__init__(synthetic.clips, synthetic.noises, size=synthetic.size, seed=synthetic.seed)
        self.real, self.synthetic, self.share = real, synthetic, share

    def mix(self, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One pair (time,)."""
        return (self.real if draw.random() < self.share else self.synthetic).mix(draw)


def real_training_data(
    count: int, noises: int, seed: int = 0, kinds: tuple[str, ...] = ("esc10",), **sizes
) -> EitherMixtures:
    """As `training_data`, with as many readers and recorded noises beside the sentences and the invented noises.

    Without a number of `noises` every mixture gets a new one.
    """
    readers, recorded = recordings("train", count, kinds)
    said = [one.audio for one in data.speech("train")[: count or None]]
    long = [clip for clip in said + readers if len(clip) > 1.25 * SAMPLE_RATE]
    pool = NewNoises(long, recorded, seed)
    if noises:
        pool = noise_pool(noises, long, seed) + recorded_noises(noises, recorded, seed)
    real = Mixtures(readers, pool, varied=0.3, seed=seed, **sizes)
    return EitherMixtures(real, Mixtures(said, pool, varied=0.6, seed=seed, **sizes))


# --- the shipped checkpoint ----------------------------------------------------------------------------


def third_octaves() -> torch.Tensor:
    """Which bins (257, 15) belong to which third of an octave, from 150 Hz up (Taal et al., 2011)."""
    hertz = torch.linspace(0, SAMPLE_RATE / 2, BINS)[:, None]
    centre = 150 * 2 ** (torch.arange(15) / 3)
    return ((hertz >= centre * 2 ** (-1 / 6)) & (hertz < centre * 2 ** (1 / 6))).float()


def stoi_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """1 - STOI (Taal et al., 2011, eq. 1 to 5), (B, time) each; on our frames of 32 ms, 24 of them (0.4 s) a piece."""
    bands = third_octaves().to(clean.device)
    y, x = ((features.stft(w).abs().square() @ bands + 1e-10).sqrt() for w in (estimate, clean))  # (B, T, 15)
    power = x.square().sum(-1)
    heard = (power > 1e-4 * power.amax(-1, keepdim=True)).float()  # frames that are not silent
    x, y = (z.unfold(1, 24, 4) for z in (x, y))  # (B, pieces, 15, 24)
    y = y * (x.norm(dim=-1, keepdim=True) / y.norm(dim=-1, keepdim=True))
    y = torch.minimum(y, x * (1 + 10 ** (15 / 20)))
    x, y = (z - z.mean(-1, keepdim=True) for z in (x, y))
    alike = (x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1) + 1e-8)
    weight = heard.unfold(1, 24, 4).mean(-1)  # (B, pieces)
    return 1 - (alike.mean(-1) * weight).sum() / weight.sum().clamp(min=1)


def shipped_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Spectra, SNR and STOI together, (B, time) each."""
    spectra, samples = 30 * compressed_loss(estimate, clean), 0.2 * snr_loss(estimate, clean)
    return spectra + samples + 3 * stoi_loss(estimate, clean)


def with_loss(distance: Callable) -> Callable:
    """`loss_fn` with another distance."""
    return partial(loss_fn, distance=distance)


KINDS = ("esc10", "debian_sounds")
REAL = (
    "; in two of three mixtures 184 readers of LibriSpeech (CC BY 4.0); in five of eight noises 128 clips of ESC-10 "
    "(CC BY 3.0) and 1,472 sounds of Debian packages (`data/build/sounds.json`, free licences)"
)


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "enhancement",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
    real: bool = True,
) -> DualPathEnhancer:
    """Train the checkpoint and save it as `name` with its card; `state` is a file to resume from.

    `measure` gives the figures of the card. `real`: with real recordings, too (DataError where they are missing).
    Several processes (`torchrun`) share the mixtures of a step, and the first saves. Made for a GPU: two
    processors take days.
    """
    from accelerate import Accelerator

    torch.manual_seed(seed)
    model, accelerator = DualPathEnhancer(SHIPPED), Accelerator()
    sizes = {**SIZES, "size": max(1, SIZES["size"] // accelerator.num_processes)}
    material = (
        partial(real_training_data, noises=0, kinds=KINDS) if real else partial(training_data, noises=600)
    )
    batches = material(0, seed=seed + accelerator.process_index, **sizes)
    history = training.fit(
        model, training.ahead(batches, (os.cpu_count() or 1) // accelerator.num_processes - 2),
        with_loss(shipped_loss), steps or STEPS, learning_rate=3e-3, ema=0.999, every=2000, seed=seed,
        schedule=lambda done: min(done / 0.02, 1.0, (1 - done) / 0.65), evaluate=validation(real=real),
        state=state, title="enhancement", accelerator=accelerator,
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    if accelerator.is_main_process:
        text = checkpoints.card(
            "enhancement",
            "Removes noise from speech in real time; `course_utils.models.enhancement.DualPathEnhancer`.",
            data="the training sentences of `data/speech` in noises and rooms invented from the seed" + REAL * real,
            seed=seed, history=history, metrics=measure(model) if measure else {},
            limits="one talker, 16 kHz, English; does not remove echo, other voices only in part, music not at all "
            "reliably; may hurt a recogniser",
        )  # fmt: skip
        checkpoints.save(name, model, model.config, text, half=True)
    return model


def validation(count: int = 24, real: bool = False) -> Callable[[nn.Module], dict[str, float]]:
    """A function that gives a model's mean SI-SDR in dB on `count` mixtures of validation voices and noises."""
    said, sounds = data.speech("valid", kind="sentence"), data.noise("valid")
    clips, noises = ([x.audio for x in items] for items in (said[:: len(said) // (4 * count) + 1], sounds))
    batches = {"valid": Mixtures(clips, noises, size=count, seed=1)(0)}
    if real:
        voices, sounds = recordings("valid")
        batches["real"] = Mixtures(voices, recorded_noises(count, sounds), size=count, varied=0.0)(0)

    def evaluate(model: nn.Module) -> dict[str, float]:
        with torch.inference_mode():
            device = next(model.parameters()).device
            return {
                name: -float(loss_fn(model, [x.to(device) for x in batch], si_sdr_loss))
                for name, batch in batches.items()
            }

    return evaluate


def shuffled(enhance: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A control: the masks of `enhance` in random order of time. If that did well, they would mean nothing."""

    def system(noisy: np.ndarray) -> np.ndarray:
        x = features.stft(noisy) + 1e-6
        mask = np.random.default_rng(0).permutation(features.stft(enhance(noisy)) / x)
        return features.istft(x * mask / np.maximum(np.abs(mask), 1), len(noisy))

    return system


# --- the ladder, from nothing ---------------------------------------------------------------------------


def lesson_model() -> DualPathEnhancer:
    """The final model in a size that two processors train from nothing."""
    return DualPathEnhancer(LESSON)


def fit_in_two(
    model: DualPathEnhancer, batches: Callable, loss: Callable, steps: tuple[int, int], **settings
) -> training.History:
    """Train the gain alone for steps[0], then the whole model for steps[1]; returns the history of both."""
    batches = training.ahead(batches)
    first = training.fit(model.rough, batches, loss, steps[0], **settings)
    if first.interrupted:
        return first
    return first.followed_by(training.fit(model, lambda i: batches(steps[0] + i), loss, steps[1], **settings))


# Rung: (what it adds, loss)
RUNGS = {
    "autoencoder": ("convolutions over samples", naive_loss),
    "band_gru": ("a recurrent gain on 32 bands, all steps", loss_fn),
    "waveform": ("gain first, then gain and dual path; loss on samples", with_loss(waveform_loss)),
    "compressed": ("the same, loss on compressed spectra", with_loss(compressed_loss)),
    "si_sdr": ("the same, SI-SDR as loss", with_loss(si_sdr_loss)),
    "dual_path": ("the same, spectra and SNR: the lesson's model", loss_fn),
}


def train_rung(rung: str, seed: int, steps: int | None = None) -> tuple[nn.Module, training.History]:
    """Train one rung as in the lesson; `steps` of another number are shared out between its two parts."""
    loss = RUNGS[rung][1]
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # another core mixes
    sizes = NAIVE_SIZES if rung == "autoencoder" else LESSON_SIZES
    batches = training_data(2000, 480, seed, **sizes)
    first, then = (steps // 2, steps - steps // 2) if steps else LESSON_STEPS
    settings = {**LESSON_RUN, "seed": seed, "title": rung}
    if rung == "autoencoder":
        model = WaveformAutoencoder()
        settings = {**NAIVE_RUN, "seed": seed, "title": rung} | ({"steps": steps} if steps else {})
        return model, training.fit(model, batches, loss, **settings)
    if rung == "band_gru":
        model = lesson_model().rough
        return model, training.fit(model, training.ahead(batches), loss, first + then, **settings)
    model = lesson_model()
    return model, fit_in_two(model, batches, loss, (first, then), **settings)
