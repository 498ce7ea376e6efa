"""A noise remover that runs in real time, and the steps on the way to it; built in notebook 01."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from course_utils import features
from torch import nn

# --- naive: an autoencoder over samples


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


# --- naive: input from outside


def checked(waveform: np.ndarray) -> torch.Tensor:
    """The waveform (time,) as a float32 tensor; AudioError says what is wrong with it otherwise."""
    from course_utils import audio

    return torch.tensor(audio.check(waveform))


# --- naive: receptive field by perturbation


@torch.inference_mode()
def receptive_field(model: Callable[[torch.Tensor], torch.Tensor], length: int = 401) -> int:
    """On how many input samples an output sample depends, measured: move one input, count what moves with it.

    `model` maps (B, time) to (B, time). In 32 random signals at once, because a ReLU may hide the change in one.
    """
    before = torch.randn(32, length, generator=torch.Generator().manual_seed(0))
    after = before.clone()
    after[:, length // 2] += 1
    return int(((model(after) - model(before)).abs() > 1e-6).any(0).sum())


# --- losses: samples


def waveform_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Mean distance of samples (L1), (B, time) each: what looks natural for sound, and weighs loud sounds most."""
    return (estimate - clean).abs().mean()


def naive_loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Loss of a model that maps samples to samples, on a batch of noisy and clean (B, time)."""
    noisy, clean = batch
    return waveform_loss(model(noisy), clean)


# --- bands: the scale of hearing

BINS = features.STFT_N_FFT // 2 + 1  # 257


def erb(hz: np.ndarray) -> np.ndarray:
    """Place on the ERB scale, one step for each auditory filter (Glasberg and Moore, 1990, eq. 4)."""
    return 21.4 * np.log10(1 + 0.00437 * hz)


def band_matrix(bands: int = 32) -> torch.Tensor:
    """Triangles (257, bands), equally spaced in ERB, that add up to 1 in every bin."""
    place = erb(np.linspace(0, features.SAMPLE_RATE / 2, BINS))
    centre = np.linspace(0, place[-1], bands)
    return torch.from_numpy(np.maximum(0, 1 - np.abs(place[:, None] - centre) / centre[1])).float()


# --- bands: a recurrent gain


class BandGRU(nn.Module):
    """A gain between 0 and 1 for each band and frame from what was heard so far; the idea of RNNoise (Valin, 2018)."""

    def __init__(self, bands: int = 32, width: int = 80):
        super().__init__()
        self.register_buffer("matrix", band_matrix(bands), persistent=False)
        self.dense = nn.Linear(bands, 64)
        self.gru = nn.GRU(64, width, batch_first=True)
        self.gain = nn.Linear(width, bands)

    def forward(self, spectrum: torch.Tensor, state: torch.Tensor | None = None):
        """Complex spectrum (B, T, 257) and state (1, B, width) -> both, enhanced and one call later."""
        energy = spectrum.abs().square() @ self.matrix / self.matrix.sum(0)  # (B, T, bands)
        x, state = self.gru(torch.tanh(self.dense(torch.log10(energy + 1e-6) / 3)), state)
        return spectrum * (torch.sigmoid(self.gain(x)) @ self.matrix.T), state

    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (time,) -> (time,)."""
        return enhance_whole(self, waveform)


# --- bands: there and back


def denoise(model: nn.Module, noisy: torch.Tensor) -> torch.Tensor:
    """Through the STFT, a model of spectra, and back: (B, time) -> (B, time)."""
    spectrum, _ = model(features.stft(noisy))
    return features.istft(spectrum, length=noisy.shape[-1])


@torch.inference_mode()
def enhance_whole(model: nn.Module, waveform: np.ndarray) -> np.ndarray:
    """waveform (time,) -> (time,), all of it at once: simple, and in need of memory for all of it."""
    noisy = checked(waveform)
    return denoise(model.eval(), noisy[None])[0].numpy() if len(noisy) else noisy.numpy()


# --- model: sizes


@dataclass
class EnhancerConfig:
    """Sizes of the model."""

    channels: int = 32  # per frequency in the encoder
    bands: int = 32  # frequencies of the dual path
    width: int = 32  # per frequency of the dual path
    blocks: int = 2
    heads: int = 4


# --- model: loudness

POWER = 0.3


def compress(spectrum: torch.Tensor) -> torch.Tensor:
    """Complex spectrum with magnitudes to the power of 0.3, phases kept: soft sounds count, as for the ear."""
    return spectrum * (spectrum.abs() + 1e-5) ** (POWER - 1)


# --- model: neighbours in frequency


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


# --- model: along time, along frequency


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


# --- model: the network


class DualPathNetwork(nn.Module):
    """From what is heard to a mask, in real numbers; causal, in the family of GTCRN and FastEnhancer."""

    def __init__(self, config: EnhancerConfig):
        super().__init__()
        c, d = config.channels, config.width
        self.config = config
        self.encode = nn.Conv1d(2, c, 8, stride=4, padding=2)  # 256 bins -> 64
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
        """Parts (B, T, 256, 2) of compressed bins, state (blocks, 1, B * bands, D) -> parts of the mask, state."""
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


# --- model: the enhancer


class DualPathEnhancer(DualPathNetwork):
    """Removes noise from speech, frame by frame: a complex mask on the spectrum."""

    delay_samples = features.STFT_N_FFT  # 32 ms: a sample is final when both frames that hold it are known

    @classmethod
    def from_config(cls, config: dict) -> "DualPathEnhancer":
        """Build the model of a checkpoint's config.json."""
        return cls(EnhancerConfig(**config))

    def forward(self, spectrum: torch.Tensor, state: torch.Tensor | None = None):
        """Complex spectrum (B, T, 257) and state (None at the beginning) -> both, enhanced and T frames later."""
        bins = spectrum[..., 1:]  # the lowest bin holds no speech, and 256 divides well
        mask, state = self.mask(torch.view_as_real(compress(bins)), state)
        return F.pad(bins * torch.view_as_complex(mask.contiguous()), (1, 0)), state

    def stream(self) -> "EnhancerStream":
        """A stream with `push(chunk) -> samples that are ready` and `finish() -> the rest`."""
        return EnhancerStream(self)

    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """waveform (time,) of any length -> the same without noise, in step with it and as long."""
        stream = self.stream()
        return np.concatenate([stream.push(waveform), stream.finish()])


# --- stream: chunk by chunk


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


# --- export: one frame, real numbers


class FrameStep(nn.Module):
    """The enhancer on one frame (257, 2) and its state (blocks, bands, D), in real numbers, which is all ONNX has."""

    def __init__(self, model: DualPathEnhancer):
        super().__init__()
        self.model = model.eval()

    def forward(self, frame: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """-> the enhanced frame and the next state, of the same shapes."""
        bins = frame[1:]
        magnitude = bins.square().sum(-1, keepdim=True).sqrt()
        heard = bins * (magnitude + 1e-5) ** (POWER - 1)
        mask, state = self.model.mask(heard[None, None], state[:, None])
        (a, b), (c, d) = bins.unbind(-1), mask[0, 0].unbind(-1)
        return F.pad(torch.stack([a * c - b * d, a * d + b * c], -1), (0, 0, 1, 0)), state[:, 0]


# --- export: a file


def to_onnx(model: DualPathEnhancer, path: str | Path) -> Path:
    """Write the step of a stream as an ONNX file: (frame, state) -> (enhanced, next_state)."""
    c = model.config
    example = torch.zeros(BINS, 2), torch.zeros(c.blocks, c.bands, c.width)
    torch.onnx.export(
        FrameStep(model), example, str(path), input_names=["frame", "state"],
        output_names=["enhanced", "next_state"], opset_version=17, dynamo=False,
    )  # fmt: skip
    return Path(path)


# --- export: the file as a stream


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


# --- export: eight bits


def quantise(path: str | Path, to: str | Path) -> Path:
    """Another ONNX file with the weights of its matrices as 8-bit integers, and a scale for each matrix."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions stay: ONNX Runtime has no fast ones for integers, so they would take twice the time.
    quantize_dynamic(path, to, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
    return Path(to)


# --- losses: scale-invariant distortion


def si_sdr_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Negative SI-SDR in dB (Le Roux et al., 2019, eq. 3), (B, time) each, mean over the batch."""
    scale = (estimate * clean).sum(-1, keepdim=True) / (clean.square().sum(-1, keepdim=True) + 1e-8)
    target = scale * clean
    error = estimate - target
    ratio = (target.square().sum(-1) + 1e-8) / (error.square().sum(-1) + 1e-8)
    return -10 * torch.log10(ratio).mean()


# --- losses: compressed spectra


def compressed_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Distance of the compressed spectra of two waveforms (B, time) (Ephrat et al., 2018; Braun and Tashev, 2021)."""
    a, b = compress(features.stft(estimate)), compress(features.stft(clean))
    return 0.3 * (a - b).abs().square().mean() + 0.7 * (a.abs() - b.abs()).square().mean()


# --- losses: both


def snr_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Negative SNR in dB, at best -30: as `si_sdr_loss`, but the volume has to be right, too; (B, time) each."""
    power, error = clean.square().sum(-1), (estimate - clean).square().sum(-1)
    return -10 * torch.log10((power + 1e-8) / (error + 1e-3 * power + 1e-8)).mean()


def combined_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Both, weighted so that their gradients are of one size: details of the spectrum, and the samples."""
    return 30 * compressed_loss(estimate, clean) + 0.05 * snr_loss(estimate, clean)


def loss_fn(
    model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], distance: Callable = combined_loss
) -> torch.Tensor:
    """Loss of a model of spectra on noisy and clean waveforms (B, time); `distance` compares two such batches."""
    noisy, clean = batch
    return distance(denoise(model, noisy), clean)


# --- data: invented noise


def invent(kind: float, draw: np.random.Generator, clips: list[np.ndarray], seconds: float = 8) -> np.ndarray:
    """A noise (time,): a training type, hiss or rumble, tones, knocks or babble; `kind` from 0 to 1 says which."""
    from course_utils import noise

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


# --- data: a pool of noises


def noise_pool(count: int, clips: list[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """`count` noises of 8 s, invented from a seed; babble is made of the speech in `clips`."""
    from course_utils import noise

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


# --- data: speech


def say(clips: list[np.ndarray], length: int, draw: np.random.Generator) -> np.ndarray:
    """Random clips with pauses, cut to `length` samples; up to a third faster and higher, or slower and lower."""
    factor, speech = np.exp(draw.uniform(-0.3, 0.3)), np.zeros(0)
    while len(speech) < length:
        spectrum = np.fft.rfft(clips[int(draw.integers(len(clips)))])
        short = int(2 * (len(spectrum) - 1) / factor)
        faster = np.fft.irfft(spectrum[: short // 2 + 1], short) / factor  # fewer bins: fewer samples
        speech = np.concatenate([speech, np.zeros(int(draw.integers(1, 6000))), faster])
    first = int(draw.integers(len(speech) - length + 1))
    return speech[first : first + length]


# --- data: rooms


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
    from course_utils import noise

    speech = noise.equalise(speech, draw.uniform(3, 15), draw)
    if draw.random() < 0.3:
        decibels = np.interp(np.linspace(0, 3, len(speech)), range(4), draw.uniform(-8, 8, 4))
        speech = speech * 10 ** (decibels / 20)
    if draw.random() < 0.5:
        speech = echo(speech, draw)
    if draw.random() < 0.7:
        hiss = noise.equalise(draw.standard_normal(len(speech)), 25, draw)
        speech = speech + hiss * rms(speech) * 10 ** (-draw.uniform(22, 55) / 20)
    return speech


# --- data: mixtures


class Mixtures:
    """Training batches, mixed when asked for: `mixtures(step)` gives noisy and clean (size, time)."""

    def __init__(self, clips, noises, seconds: float = 3.0, size: int = 8, seed: int = 0):
        self.clips, self.noises, self.size, self.seed = clips, noises, size, seed
        self.length = int(seconds * features.SAMPLE_RATE)

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Noisy and clean (size, time) of a step, always the same."""
        draw = np.random.default_rng((self.seed, step))
        noisy, clean = zip(*(self.mix(draw) for _ in range(self.size)), strict=True)
        return torch.from_numpy(np.stack(noisy)), torch.from_numpy(np.stack(clean))

    def mix(self, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One pair (time,): SNR from -8 to 22 dB, speech from -38 to -14 dBFS."""
        from course_utils import noise

        speech = record(say(self.clips, self.length, draw), draw)
        sound = self.noises[int(draw.integers(len(self.noises)))]
        start = int(draw.integers(len(sound) - self.length + 1))
        sound = noise.equalise(sound[start : start + self.length], 6, draw)
        sound = sound * rms(speech) / rms(sound) * 10 ** (-draw.uniform(-8, 22) / 20)
        level = 10 ** (draw.uniform(-38, -14) / 20) / rms(speech)
        return ((speech + sound) * level).astype(np.float32), (speech * level).astype(np.float32)


# --- training: material


def training_data(count: int, noises: int, seed: int = 0, **sizes) -> Mixtures:
    """`Mixtures` of `count` training sentences (0: of all) and as many `noises`; `sizes` go to `Mixtures`."""
    from course_utils import data

    said = data.speech("train")
    chosen = np.random.default_rng(seed).permutation(len(said))[: count or None]
    clips = [said[i].audio for i in sorted(chosen)]
    long = [clip for clip in clips if len(clip) > 1.25 * features.SAMPLE_RATE]  # for babble
    return Mixtures(clips, noise_pool(noises, long, seed), seed=seed, **sizes)


# --- training: schedule

SHIPPED = EnhancerConfig(channels=32, bands=32, width=48, blocks=3)
STEPS = 3200


def plateau(progress: float) -> float:
    """Learning-rate factor: up over 3 %, level until 60 %, then straight down to 0."""
    return min(progress / 0.03, 1.0, (1 - progress) / 0.4)


# --- training: the shipped checkpoint


def train(
    steps: int | None = None, seed: int = 0, state: str | Path | None = None, name: str = "enhancement"
) -> DualPathEnhancer:
    """Train the shipped checkpoint and save it with its card; `state` is a file to resume from."""
    from accelerate import Accelerator
    from course_utils import checkpoints, training

    torch.manual_seed(seed)
    model = DualPathEnhancer(SHIPPED)
    history = training.fit(
        model, training_data(0, 600, seed), loss_fn, steps or STEPS, learning_rate=1.5e-3, schedule=plateau,
        ema=0.995, every=500, evaluate=validation(), state=state, seed=seed, title=name,
        accelerator=Accelerator(),
    )  # fmt: skip
    text = checkpoints.card(
        name, "Removes noise from speech in real time; `course_utils.models.enhancement.DualPathEnhancer`.",
        data="the training sentences of `data/speech` in noises and rooms invented from the seed", seed=seed,
        history=history, metrics=figures(model), limits="one talker, 16 kHz, English synthetic voices in training; "
        "does not remove echo, other voices only in part, music not at all reliably; may hurt a recogniser",
    )  # fmt: skip
    checkpoints.save(name, model, model.config, text, half=True)
    return model


# --- training: validation


def validation(count: int = 24) -> Callable[[nn.Module], dict[str, float]]:
    """A function that gives a model's mean SI-SDR in dB on `count` mixtures of validation voices and noises."""
    from course_utils import data

    said, sounds = data.speech("valid", kind="sentence"), data.noise("valid")
    clips, noises = ([x.audio for x in items] for items in (said[:: len(said) // (4 * count) + 1], sounds))
    batch = Mixtures(clips, noises, size=count, seed=1)(0)

    def evaluate(model: nn.Module) -> dict[str, float]:
        with torch.inference_mode():
            device = next(model.parameters()).device
            return {"valid": -float(loss_fn(model, [x.to(device) for x in batch], si_sdr_loss))}

    return evaluate


# --- training: figures for the card


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


# --- ladder: the lesson

LESSON = EnhancerConfig(channels=16, bands=24, width=32, blocks=1)
LESSON_RUN = {"steps": 900, "learning_rate": 5e-3, "schedule": plateau, "ema": 0.97}
LESSON_SIZES = {"size": 4, "seconds": 1.5}  # many small steps teach more in 90 s than a few large ones
NAIVE_RUN = {"steps": 150, "learning_rate": 3e-3}
NAIVE_SIZES = {"size": 4, "seconds": 0.5}


def lesson_model() -> DualPathEnhancer:
    """The final model in the size that trains in class."""
    return DualPathEnhancer(LESSON)


# --- ladder: rungs


def with_loss(distance: Callable) -> Callable:
    """`loss_fn` with another distance."""
    return partial(loss_fn, distance=distance)


# Rung: (what it adds, builds the model, loss)
RUNGS = {
    "autoencoder": ("convolutions over samples", WaveformAutoencoder, naive_loss),
    "band_gru": ("a recurrent gain on 32 bands", BandGRU, loss_fn),
    "waveform": ("dual path, loss on samples", lesson_model, with_loss(waveform_loss)),
    "compressed": ("loss on compressed spectra", lesson_model, with_loss(compressed_loss)),
    "si_sdr": ("SI-SDR as loss", lesson_model, with_loss(si_sdr_loss)),
    "dual_path": ("spectra and samples: the lesson's model", lesson_model, loss_fn),
}


# --- ladder: one rung


def ladder(rung: str, seed: int, steps: int | None = None, count: int = 40) -> dict[str, float | str]:
    """Train one rung as in the lesson; returns its scores on the first `count` mixtures of each grid."""
    from course_utils import benchmarks, training
    from course_utils.data import DataError

    _, build, loss = RUNGS[rung]
    run, sizes = (NAIVE_RUN, NAIVE_SIZES) if rung == "autoencoder" else (LESSON_RUN, LESSON_SIZES)
    torch.manual_seed(seed)
    model, batches = build(), training_data(2000, 120, seed, **sizes)
    history = training.fit(
        model, batches, loss, seed=seed, title=rung, **{**run, "steps": steps or run["steps"]}
    )
    result = {"rung": rung, "seed": seed, "steps": len(history.losses), "seconds": history.seconds}
    result["parameters"] = sum(p.numel() for p in model.parameters())
    for grid in ("real", "own", "valid"):
        try:
            mixtures = benchmarks.enhancement(grid, count)
        except DataError:
            continue  # the real recordings are not everywhere
        rows = benchmarks.score(model.enhance, mixtures, ("si_sdr", "pesq", "stoi"), progress=False)
        means = benchmarks.summarise(rows)
        result |= {f"{grid} {measure}": mean for measure, (mean, _, _) in means.items()}
    return result
