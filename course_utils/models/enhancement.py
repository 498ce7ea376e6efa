# Written from notebooks/01_speech_enhancement.ipynb by `course export`: edit the notebook, not this file.

__all__ = ['BINS', 'POWER', 'SHIPPED', 'STEPS', 'SIZES', 'LESSON', 'LESSON_STEPS', 'LESSON_RUN', 'LESSON_SIZES', 'NAIVE_RUN',
           'NAIVE_SIZES', 'KINDS', 'REAL', 'RUNGS', 'invent', 'noise_pool', 'rms', 'say', 'echo', 'record', 'Mixtures',
           'training_data', 'checked', 'WaveformAutoencoder', 'receptive_field', 'waveform_loss', 'naive_loss', 'erb',
           'band_matrix', 'BandGRU', 'denoise', 'enhance_whole', 'EnhancerConfig', 'compress', 'BandConv',
           'DualPathBlock', 'DualPathNetwork', 'DualPathEnhancer', 'EnhancerStream', 'si_sdr_loss', 'compressed_loss',
           'snr_loss', 'combined_loss', 'loss_fn', 'plateau', 'lesson_model', 'fit_in_two', 'recorded_noises',
           'NewNoises', 'recordings', 'EitherMixtures', 'real_training_data', 'third_octaves', 'stoi_loss',
           'shipped_loss', 'train', 'validation', 'figures', 'with_loss', 'ladder', 'FrameStep', 'to_onnx',
           'OnnxStream', 'quantise']


"""A noise remover that runs in real time, and the steps on the way to it; built in notebook 01."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import features, noise


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
    time = np.arange(6000) / features.SAMPLE_RATE
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
        self.length = int(seconds * features.SAMPLE_RATE)

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
    from course_utils import data

    said = data.speech("train")
    chosen = np.random.default_rng(seed).permutation(len(said))[: count or None]
    clips = [said[i].audio for i in sorted(chosen)]
    long = [clip for clip in clips if len(clip) > 1.25 * features.SAMPLE_RATE]  # for babble
    return Mixtures(clips, noise_pool(noises, long, seed), seed=seed, **sizes)


def checked(waveform: np.ndarray) -> torch.Tensor:
    """The waveform (time,) as a float32 tensor; AudioError says what is wrong with it otherwise."""
    from course_utils import audio

    return torch.tensor(audio.check(waveform))


class WaveformAutoencoder(nn.Module):
    """Four convolutions over samples, the model most tutorials stop at: noisy (B, time) -> clean (B, time)."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(64, 128, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose1d(128, 64, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose1d(64, 1, 3, padding=1),
        )

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """(B, time) -> (B, time)."""
        return self.layers(noisy[:, None])[:, 0]

    @torch.inference_mode()
    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (time,) -> (time,)."""
        return self.eval()(checked(waveform)[None])[0].numpy()


@torch.inference_mode()
def receptive_field(model: Callable[[torch.Tensor], torch.Tensor], length: int = 401) -> int:
    """On how many input samples an output sample depends, measured: move one input, count what moves with it.

    `model` maps (B, time) to (B, time). In 32 random signals at once, because a ReLU may hide the change in one.
    """
    before = torch.randn(32, length, generator=torch.Generator().manual_seed(0))
    after = before.clone()
    after[:, length // 2] += 1
    return int(((model(after) - model(before)).abs() > 1e-6).any(0).sum())


def waveform_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Mean distance of samples (L1), (B, time) each: what looks natural for sound, and weighs loud sounds most."""
    return (estimate - clean).abs().mean()


def naive_loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Loss of a model that maps samples to samples, on a batch of noisy and clean (B, time)."""
    noisy, clean = batch
    return waveform_loss(model(noisy), clean)


BINS = features.STFT_N_FFT // 2 + 1  # 257


def erb(hz: np.ndarray) -> np.ndarray:
    """Place on the ERB scale, one step for each auditory filter (Glasberg and Moore, 1990, eq. 4)."""
    return 21.4 * np.log10(1 + 0.00437 * hz)


def band_matrix(bands: int = 32) -> torch.Tensor:
    """Triangles (257, bands), equally spaced in ERB, that add up to 1 in every bin."""
    place = erb(np.linspace(0, features.SAMPLE_RATE / 2, BINS))
    centre = np.linspace(0, place[-1], bands)
    return torch.from_numpy(np.maximum(0, 1 - np.abs(place[:, None] - centre) / centre[1])).float()


class BandGRU(nn.Module):
    """A gain between 0 and 1 for each band and frame from what was heard so far; the idea of RNNoise (Valin, 2018)."""

    def __init__(self, bands: int = 32, width: int = 80):
        super().__init__()
        self.register_buffer("matrix", band_matrix(bands), persistent=False)
        self.dense = nn.Linear(bands, 96)
        self.gru = nn.GRU(96, width, batch_first=True)
        self.gain = nn.Linear(width, bands)

    def gains(self, power: torch.Tensor, state: torch.Tensor | None = None):
        """Power of the bins (B, T, 257) and state (1, B, width) -> gains (B, T, 257) and the next state."""
        energy = power @ self.matrix / self.matrix.sum(0)  # (B, T, bands)
        x, state = self.gru(torch.tanh(self.dense(torch.log10(energy + 1e-6) / 3)), state)
        return torch.sigmoid(self.gain(x)) @ self.matrix.T, state

    def forward(self, spectrum: torch.Tensor, state: torch.Tensor | None = None):
        """Complex spectrum (B, T, 257) and state (1, B, width) -> both, enhanced and one call later."""
        gains, state = self.gains(spectrum.abs().square(), state)
        return spectrum * gains, state

    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (time,) -> (time,)."""
        return enhance_whole(self, waveform)


def denoise(model: nn.Module, noisy: torch.Tensor) -> torch.Tensor:
    """Through the STFT, a model of spectra, and back: (B, time) -> (B, time)."""
    spectrum, _ = model(features.stft(noisy))
    return features.istft(spectrum, length=noisy.shape[-1])


@torch.inference_mode()
def enhance_whole(model: nn.Module, waveform: np.ndarray) -> np.ndarray:
    """waveform (time,) -> (time,), all of it at once: simple, and in need of memory for all of it."""
    noisy = checked(waveform)
    return denoise(model.eval(), noisy[None])[0].numpy() if len(noisy) else noisy.numpy()


@dataclass
class EnhancerConfig:
    """Sizes of the model."""

    channels: int = 32  # per frequency in the encoder
    bands: int = 32  # frequencies of the dual path
    width: int = 32  # per frequency of the dual path
    blocks: int = 2
    heads: int = 4
    gain_bands: int = 32  # of the recurrent gain that comes first
    gain_width: int = 64


POWER = 0.3


def compress(spectrum: torch.Tensor) -> torch.Tensor:
    """Complex spectrum with magnitudes to the power of 0.3, phases kept: soft sounds count, as for the ear."""
    return spectrum * (spectrum.abs() + 1e-5) ** (POWER - 1)


class BandConv(nn.Module):
    """Two convolutions along frequency with a shortcut: (N, channels, bands) -> the same. Time is left alone."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm1d(channels)
        self.norm2 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, bands) -> the same shape."""
        y = F.silu(self.norm1(self.conv1(x)))
        return F.silu(self.norm2(x + self.conv2(y)))


class DualPathBlock(nn.Module):
    """A GRU along time in each band, then attention along the bands in each frame; both added to what came in."""

    def __init__(self, config: EnhancerConfig):
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.gru = nn.GRU(d, d, batch_first=True)
        self.mix = nn.Linear(d, d)
        self.place = nn.Parameter(0.02 * torch.randn(config.bands, d))  # tells the bands apart
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d)

    def forward(self, x: torch.Tensor, state: torch.Tensor | None = None):
        """x (B, T, bands, D) and state (1, B * bands, D) -> both."""
        b, t, f, d = x.shape
        y = self.norm1(x).transpose(1, 2).reshape(b * f, t, d)  # every band is a sequence of its own
        y, state = self.gru(y, state)
        x = x + self.mix(y).view(b, f, t, d).transpose(1, 2)
        y = self.norm2(x) + self.place
        q, k, v = (
            self.qkv(y).view(b * t, f, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        )  # frame by frame
        y = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).reshape(b, t, f, d)), state


class DualPathNetwork(nn.Module):
    """From what is heard to a mask, in real numbers; causal, in the family of GTCRN and FastEnhancer."""

    def __init__(self, config: EnhancerConfig):
        super().__init__()
        c, d = config.channels, config.width
        self.config = config
        self.encode = nn.Conv1d(3, c, 8, stride=4, padding=2)  # 256 bins -> 64
        self.deepen = nn.Sequential(BandConv(c), BandConv(c))
        self.to_bands = nn.Linear(64, config.bands, bias=False)
        self.to_width = nn.Linear(c, d)
        self.blocks = nn.ModuleList(DualPathBlock(config) for _ in range(config.blocks))
        self.from_width = nn.Linear(d, c)
        self.from_bands = nn.Linear(config.bands, 64, bias=False)
        self.join = nn.Conv1d(2 * c, c, 1)
        self.shallow = nn.Sequential(BandConv(c), BandConv(c))
        self.decode = nn.ConvTranspose1d(c, 2, 8, stride=4, padding=2)  # 64 -> 256 bins

    def mask(self, x: torch.Tensor, state: torch.Tensor | None = None):
        """Features (B, T, 256, 3) of the bins, state (blocks, 1, B * bands, D) -> parts of the mask, state."""
        b, t, _, _ = x.shape
        skip = self.deepen(F.silu(self.encode(x.flatten(0, 1).transpose(1, 2))))  # (B * T, C, 64)
        x = self.to_width(self.to_bands(skip).transpose(1, 2)).view(b, t, self.config.bands, -1)
        states = []
        for i, block in enumerate(self.blocks):
            x, new = block(x, None if state is None else state[i])
            states.append(new)
        x = self.from_bands(self.from_width(x.flatten(0, 1)).transpose(1, 2))
        x = self.shallow(F.silu(self.join(torch.cat([x, skip], 1))))
        return self.decode(x).transpose(1, 2).unflatten(0, (b, t)).float(), torch.stack(states)


class DualPathEnhancer(DualPathNetwork):
    """Removes noise from speech, frame by frame: a complex mask on the spectrum."""

    delay_samples = features.STFT_N_FFT  # 32 ms: a sample is final when both frames that hold it are known

    def __init__(self, config: EnhancerConfig):
        super().__init__(config)
        self.rough = BandGRU(config.gain_bands, config.gain_width)
        nn.init.zeros_(self.decode.weight)  # it begins as the gain alone
        nn.init.zeros_(self.decode.bias)

    @classmethod
    def from_config(cls, config: dict) -> "DualPathEnhancer":
        """Build the model of a checkpoint's config.json."""
        return cls(EnhancerConfig(**config))

    def masks(self, parts: torch.Tensor, state: tuple | None = None):
        """Real and imaginary parts of the bins (B, T, 257, 2), state -> those of the mask, and the next state."""
        rough_state, state = (None, None) if state is None else state
        power = parts.square().sum(-1)
        gains, rough_state = self.rough.gains(power, rough_state)
        magnitude = power[..., 1:, None].clamp_min(1e-12).sqrt()
        heard = gains[..., 1:, None] * parts[..., 1:, :] * (magnitude + 1e-5) ** (POWER - 1)
        loudness = torch.log10(magnitude + 1e-4) / 2 + 0.5
        mask, state = self.mask(torch.cat([heard, loudness], -1), state)
        # The lowest bin holds no speech, and 256 divides well: it has its gain and no more.
        correction = F.pad(mask, (0, 0, 1, 0))
        return correction + torch.stack([gains, torch.zeros_like(gains)], -1), (rough_state, state)

    def forward(self, spectrum: torch.Tensor, state: tuple | None = None):
        """Complex spectrum (B, T, 257) and state (None at the beginning) -> both, enhanced and T frames later."""
        mask, state = self.masks(torch.view_as_real(spectrum), state)
        return spectrum * torch.view_as_complex(mask.contiguous()), state

    def stream(self) -> "EnhancerStream":
        """A stream with `push(chunk) -> samples that are ready` and `finish() -> the rest`."""
        return EnhancerStream(self)

    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (time,) of any length -> the same without noise, in step with it and as long."""
        stream = self.stream()
        return np.concatenate([stream.push(waveform), stream.finish()])


class EnhancerStream:
    """A model of spectra fed with chunks of any size; all that comes out is what the whole would give."""

    BLOCK = 10 * features.SAMPLE_RATE  # computed at once at most, so that an hour needs no more than 10 s

    def __init__(self, model: nn.Module):
        self.model, self.state = model.eval(), None
        self.begin()

    def begin(self) -> None:
        """Nothing has been heard yet."""
        self.analysis, self.synthesis = features.StreamingSTFT(), features.StreamingISTFT()
        self.samples, self.finished = 0, False

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Take a chunk (time,), also an empty one; returns the samples (time,) that are ready."""
        if self.finished:
            raise RuntimeError("this stream is finished; begin another one with model.stream()")
        chunk = checked(chunk).numpy()
        self.samples += len(chunk)
        parts = [chunk[i : i + self.BLOCK] for i in range(0, len(chunk), self.BLOCK)]
        ready = [self.synthesis.push(self.step(self.analysis.push(part))) for part in parts]
        return np.concatenate([np.zeros(0, np.float32), *ready])

    @torch.inference_mode()
    def step(self, frames: np.ndarray) -> np.ndarray:
        """Enhance complex frames (T, 257), the next ones of the stream."""
        if len(frames) == 0:
            return frames
        device = next(self.model.parameters()).device
        spectrum, self.state = self.model(torch.from_numpy(frames)[None].to(device), self.state)
        return spectrum[0].cpu().numpy()

    def finish(self) -> np.ndarray:
        """The rest (time,): as many samples have come out now as went in."""
        self.finished = True
        rest = self.synthesis.push(self.step(self.analysis.finish()))
        return np.concatenate([rest, self.synthesis.finish(self.samples)])


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


SHIPPED = EnhancerConfig(channels=32, bands=32, width=48, blocks=3, gain_bands=40, gain_width=48)
STEPS = 28_000
SIZES = {"size": 64, "seconds": 3.0}


def plateau(progress: float) -> float:
    """Learning-rate factor: up over 3 %, level until 60 %, then straight down to 0."""
    return min(progress / 0.03, 1.0, (1 - progress) / 0.4)


LESSON = EnhancerConfig(channels=16, bands=24, width=32, blocks=1, gain_bands=32, gain_width=112)
LESSON_STEPS = (1000, 30)
LESSON_RUN = {"learning_rate": 6e-3, "schedule": plateau, "ema": 0.98}
LESSON_SIZES = {"size": 24, "seconds": 1.0, "varied": 0.2}  # short and easy: more of it in 90 s
NAIVE_RUN = {"steps": 150, "learning_rate": 3e-3}
NAIVE_SIZES = {"size": 4, "seconds": 0.5, "varied": 0.0}


def lesson_model() -> DualPathEnhancer:
    """The final model in the size that trains in class."""
    return DualPathEnhancer(LESSON)


def fit_in_two(model, batches, loss, steps: tuple[int, int], state: Path | None = None, **settings):
    """Train the gain alone for steps[0], then the whole model for steps[1]; returns the history of both."""
    from course_utils import training

    before, batches = state and state.with_name(f"gain_{state.name}"), training.ahead(batches)
    first = training.fit(model.rough, batches, loss, steps[0], state=before, **settings)
    if first.interrupted:
        return first
    then = training.fit(model, lambda i: batches(steps[0] + i), loss, steps[1], state=state, **settings)
    then.losses = first.losses + then.losses
    then.evaluations = first.evaluations + [(steps[0] + i, values) for i, values in then.evaluations]
    then.seconds += first.seconds
    return then


def recorded_noises(
    count: int, clips: list[np.ndarray], seed: int = 0, seconds: float = 8
) -> list[np.ndarray]:
    """`count` noises of 8 s from recorded `clips`: one again and again, faster, slower or backwards, and equalised."""
    pool, length = [], round(seconds * features.SAMPLE_RATE)
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
    from course_utils import data

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
    from course_utils import data

    readers, recorded = recordings("train", count, kinds)
    said = [one.audio for one in data.speech("train")[: count or None]]
    long = [clip for clip in said + readers if len(clip) > 1.25 * features.SAMPLE_RATE]
    pool = NewNoises(long, recorded, seed)
    if noises:
        pool = noise_pool(noises, long, seed) + recorded_noises(noises, recorded, seed)
    real = Mixtures(readers, pool, varied=0.3, seed=seed, **sizes)
    return EitherMixtures(real, Mixtures(said, pool, varied=0.6, seed=seed, **sizes))


def third_octaves() -> torch.Tensor:
    """Which bins (257, 15) belong to which third of an octave, from 150 Hz up (Taal et al., 2011)."""
    hertz = torch.linspace(0, features.SAMPLE_RATE / 2, BINS)[:, None]
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


KINDS = ("esc10", "debian_sounds")
REAL = (
    "; in two of three mixtures 184 readers of LibriSpeech (CC BY 4.0); in five of eight noises 128 clips of ESC-10 "
    "(CC BY 3.0) and 1,472 sounds of Debian packages (`data/build/sounds.json`, free licences)"
)


def train(
    steps: int | None = None, seed: int = 0, state: str | Path | None = None, name: str = "enhancement",
    real: bool = True,
) -> DualPathEnhancer:  # fmt: skip
    """Train the shipped checkpoint and save it with its card; `state` is a file to resume from.

    `real`: with real recordings, too (DataError where they are missing). Several processes (`torchrun`) share
    the mixtures of a step, and the first saves. Made for a GPU: two processors take days.
    """
    from accelerate import Accelerator

    from course_utils import checkpoints, training

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
        state=Path(state) if state else None, title=name, accelerator=accelerator,
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    if accelerator.is_main_process:
        text = checkpoints.card(
            name, "Removes noise from speech in real time; `course_utils.models.enhancement.DualPathEnhancer`.",
            data="the training sentences of `data/speech` in noises and rooms invented from the seed" + REAL * real,
            seed=seed, history=history, metrics=figures(model), limits="one talker, 16 kHz, English; does not remove "
            "echo, other voices only in part, music not at all reliably; may hurt a recogniser",
        )  # fmt: skip
        checkpoints.save(name, model, model.config, text, half=True)
    return model


def validation(count: int = 24, real: bool = False) -> Callable[[nn.Module], dict[str, float]]:
    """A function that gives a model's mean SI-SDR in dB on `count` mixtures of validation voices and noises."""
    from course_utils import data

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


def figures(model: nn.Module, grids: tuple[str, ...] = ("real", "own", "valid")) -> dict[str, str]:
    """SI-SDR, PESQ and STOI with 95 % intervals on the fixed grids, as they stand in the card."""
    from course_utils.data import DataError

    result, units = {}, {"si_sdr": "SI-SDR in dB", "pesq": "PESQ", "stoi": "STOI"}
    for grid in grids:
        try:
            from course_utils import benchmarks

            rows = benchmarks.score(model.enhance, benchmarks.enhancement(grid), tuple(units))
        except (DataError, ImportError) as missing:  # a machine for training has neither sounds nor judges
            result[grid] = f"not measured: {missing}"
            continue
        for measure, (mean, low, high) in benchmarks.summarise(rows).items():
            result[f"{units[measure]}, {grid}"] = f"{mean:.3f} ({low:.3f} to {high:.3f})"
    return result


def with_loss(distance: Callable) -> Callable:
    """`loss_fn` with another distance."""
    return partial(loss_fn, distance=distance)


# Rung: (what it adds, loss)
RUNGS = {
    "autoencoder": ("convolutions over samples", naive_loss),
    "band_gru": ("a recurrent gain on 32 bands, all steps", loss_fn),
    "waveform": ("gain first, then gain and dual path; loss on samples", with_loss(waveform_loss)),
    "compressed": ("the same, loss on compressed spectra", with_loss(compressed_loss)),
    "si_sdr": ("the same, SI-SDR as loss", with_loss(si_sdr_loss)),
    "dual_path": ("the same, spectra and SNR: the lesson's model", loss_fn),
}


def ladder(rung: str, seed: int, steps: int | None = None, count: int = 40) -> dict[str, float | str]:
    """Train one rung as in the lesson; returns its scores on the first `count` mixtures of each grid."""
    from course_utils import benchmarks, training
    from course_utils.data import DataError

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
        history = training.fit(model, batches, loss, **settings)
    elif rung == "band_gru":
        model = lesson_model().rough
        history = training.fit(model, training.ahead(batches), loss, first + then, **settings)
    else:
        model = lesson_model()
        history = fit_in_two(model, batches, loss, (first, then), **settings)
    result = {"rung": rung, "seed": seed, "steps": len(history.losses), "seconds": history.seconds}
    result["parameters"] = sum(p.numel() for p in model.parameters())
    for grid in ("real", "own"):
        try:
            mixtures = benchmarks.enhancement(grid, count)
        except DataError:
            continue  # the real recordings are not everywhere
        rows = benchmarks.score(model.enhance, mixtures, ("si_sdr", "pesq", "stoi"), progress=False)
        means = benchmarks.summarise(rows)
        result |= {f"{grid} {measure}": mean for measure, (mean, _, _) in means.items()}
    return result


class FrameStep(nn.Module):
    """The enhancer on one frame (257, 2) and its state (numbers,), in real numbers, which is all ONNX has."""

    def __init__(self, model: DualPathEnhancer):
        super().__init__()
        self.model, c = model.eval(), model.config
        self.shapes = (1, 1, c.gain_width), (c.blocks, 1, c.bands, c.width)
        self.sizes = [c.gain_width, c.blocks * c.bands * c.width]

    def forward(self, frame: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """-> the enhanced frame and the next state, of the same shapes."""
        states = [x.view(shape) for x, shape in zip(state.split(self.sizes), self.shapes, strict=True)]
        mask, states = self.model.masks(frame[None, None], states)
        (a, b), (c, d) = frame.unbind(-1), mask[0, 0].unbind(-1)
        enhanced = torch.stack([a * c - b * d, a * d + b * c], -1)
        return enhanced, torch.cat([x.flatten() for x in states])


def to_onnx(model: DualPathEnhancer, path: str | Path) -> Path:
    """Write the step of a stream as an ONNX file: (frame, state) -> (enhanced, next_state)."""
    step = FrameStep(model)
    example = torch.zeros(BINS, 2), torch.zeros(sum(step.sizes))
    torch.onnx.export(
        step, example, str(path), input_names=["frame", "state"],
        output_names=["enhanced", "next_state"], opset_version=17, dynamo=False,
    )  # fmt: skip
    return Path(path)


class OnnxStream(EnhancerStream):
    """`EnhancerStream` by ONNX Runtime: no torch computes in it but the Fourier transform."""

    def __init__(self, path: str | Path, threads: int = 1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        self.state = np.zeros(self.session.get_inputs()[1].shape, np.float32)
        self.begin()

    def step(self, frames: np.ndarray) -> np.ndarray:
        """Enhance complex frames (T, 257), one after the other."""
        enhanced = np.empty_like(frames)
        for t, frame in enumerate(frames):
            parts, self.state = self.session.run(
                None, {"frame": frame.view(np.float32).reshape(-1, 2), "state": self.state}
            )
            enhanced[t] = parts.view(np.complex64)[:, 0]
        return enhanced


def quantise(path: str | Path, to: str | Path) -> Path:
    """Another ONNX file with the weights of its matrices as 8-bit integers, and a scale for each matrix."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay: ONNX Runtime has no fast ones for integers, so they would take twice the time.
    quantize_dynamic(path, to, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
    return Path(to)
