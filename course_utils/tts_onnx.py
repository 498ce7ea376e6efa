"""The synthesiser and the vocoder by ONNX Runtime, and for a browser: four networks and a JSON file."""

from __future__ import annotations

import copy
import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import features, text
from course_utils.models.tts import FrameDecoder, Synthesiser, regulate
from course_utils.models.tts_speech import TextToSpeech, make_plan
from course_utils.models.vocoder import Vocoder, VocoderConfig, overlap_add
from course_utils.synthesis.plan import TURN
from course_utils.synthesis.pulses import clock, pulses
from course_utils.synthesis.speaking import Speaking
from course_utils.synthesis.vocoder_stream import VocoderStream, checked

NETWORKS = ("read", "frames", "flow", "vocoder")
"""Files of a folder that `to_onnx` writes, NETWORK.onnx, beside speaker.json."""
_OPSET = 17


class Read(nn.Module):
    """Phones and a voice -> what they are and how they are to be said, by this voice and by anybody."""

    def __init__(self, model: Synthesiser):
        super().__init__()
        self.model = model

    def forward(self, phones: torch.Tensor, starts: torch.Tensor, voice: torch.Tensor):
        """phones, starts (1, P), voice (1, voice) -> hidden (2, P, dim), prosody (1, P, 4), steer (2, cond)."""
        steer = self.model.steer(voice.expand(2, -1), torch.tensor([1.0, 0.0]))
        hidden, prosody = self.model.read(phones.expand(2, -1), starts.expand(2, -1), steer)
        return hidden, prosody[:1], steer


class Frames(nn.Module):
    """What the frames of a plan should sound like; which phone each is in was found outside, by `regulate`."""

    def __init__(self, decoder: FrameDecoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, hidden, prosody, phone, place, steer):
        """hidden (R, P, dim), prosody (1, P, 3), phone (1, T), place (1, T, 4), steer (R, cond) -> frames, guess (R, T, ...)."""
        cond, x = F.silu(steer), hidden + self.decoder.prosody_in(prosody)
        y = x[:, phone[0]] + self.decoder.place_in(place)
        for block in self.decoder.blocks:
            y = block(y, cond)
        y = F.layer_norm(y, y.shape[-1:])
        return y, self.decoder.out(y)


class Sound(nn.Module):
    """The vocoder with its inverse Fourier transform as a product of matrices: ONNX has none for a browser."""

    def __init__(self, vocoder: Vocoder):
        super().__init__()
        self.vocoder, n_fft = (
            copy.deepcopy(vocoder).float(),
            vocoder.config.n_fft,
        )  # no runtime convolves in double
        unit = torch.eye(n_fft // 2 + 1, dtype=torch.float64)
        cosines = torch.fft.irfft(torch.complex(unit, 0 * unit), n=n_fft)
        sines = torch.fft.irfft(torch.complex(0 * unit, unit), n=n_fft)
        window = vocoder.window.double()
        self.register_buffer("basis", (torch.cat([cosines, sines]) * window).float())

    def forward(self, log_mel: torch.Tensor, at: torch.Tensor, ticks: torch.Tensor):
        """log_mel (1, frames, 80), the clock `ticks` (1,) in frame `at` (1,) -> waveform (1, 256 frames), clock (1, frames)."""
        config = self.vocoder.config
        log_magnitude, phase, share, hz = self.vocoder.spectra(log_mel)
        since = clock(hz, config.hop_length, 2 * at, ticks)
        real, imaginary = pulses(since, hz, len(self.vocoder.signs), config.hop_length)
        real, imaginary = 1 - share + share * real, share * imaginary
        magnitude = log_magnitude.clamp(max=5.5).exp() * self.vocoder.signs
        cosine, sine = magnitude * phase.cos(), magnitude * phase.sin()
        parts = torch.cat([cosine * real - sine * imaginary, cosine * imaginary + sine * real], -1)
        frames = parts @ self.basis
        weight = torch.zeros_like(frames) + self.vocoder.window**2
        waveform = overlap_add(frames, config.hop_length)
        waveform = waveform / overlap_add(weight, config.hop_length).clamp(min=0.1)
        start = config.n_fft // 2
        return waveform[:, start : start + features.HOP_LENGTH * log_mel.shape[1]], since[:, ::2]


def _parts(model: TextToSpeech) -> dict[str, tuple[nn.Module, dict[str, torch.Tensor], dict[str, dict]]]:
    """By name a network, an example of its inputs, and the results with the axes that vary."""
    c, p, t, mels = model.config, 5, 7, features.N_MELS
    phones, rows = torch.zeros(1, p, dtype=torch.long), {0: "rows"}
    of_phones, of_frames = {1: "phones"}, {1: "frames"}
    both = rows | of_frames
    return {
        "read": (
            Read(model),
            {
                "phones": (phones, of_phones), "starts": (phones, of_phones),
                "voice": (torch.ones(1, c.voice), {}),
            },
            {"hidden": of_phones, "prosody": of_phones, "steer": {}},
        ),
        "frames": (
            Frames(model.frames),
            {
                "hidden": (torch.zeros(2, p, c.dim), rows | of_phones),
                "prosody": (torch.zeros(1, p, 3), of_phones),
                "phone": (torch.zeros(1, t, dtype=torch.long), of_frames),
                "place": (torch.zeros(1, t, 4), of_frames), "steer": (torch.zeros(2, c.cond), rows),
            },
            {"frames": both, "guess": both},
        ),
        "flow": (
            model.flow,
            {
                "x": (torch.zeros(2, t, mels), both), "t": (torch.zeros(2), rows),
                "frames": (torch.zeros(2, t, c.dim), both), "guess": (torch.zeros(2, t, mels), both),
                "steer": (torch.zeros(2, c.cond), rows),
            },
            {"velocity": both},
        ),
        "vocoder": (
            Sound(model.vocoder),
            {
                "log_mel": (torch.zeros(1, t, mels), of_frames), "at": (torch.zeros(1, dtype=torch.long), {}),
                "ticks": (torch.zeros(1, dtype=torch.long), {}),
            },
            {"waveform": {1: "samples"}, "clock": of_frames},
        ),
    }  # fmt: skip


@contextmanager
def _fixed_norms() -> Iterator[None]:
    """The exporter takes the width of a layer norm for one that varies, which ONNX does not have: make it a number."""
    usual = F.layer_norm
    F.layer_norm = lambda x, shape, *others: usual(x, [int(n) for n in shape], *others)
    try:
        yield
    finally:
        F.layer_norm = usual


def to_onnx(model: TextToSpeech, folder: str | Path) -> Path:
    """Write what speaks as a folder: read.onnx, frames.onnx, flow.onnx, vocoder.onnx and speaker.json.

    The length of a text and the number of frames are free in all of them, the rows (2 with guidance, else 1) too.
    speaker.json has the phones and their numbers, the voices by name, and the scales of the model.

    Raises:
        RuntimeError: the model has no vocoder.
    """
    import onnx

    if model.vocoder is None:
        raise RuntimeError("this model has no vocoder; checkpoints.load gives it one")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    training = model.training
    for name, (network, inputs, outputs) in _parts(model.eval()).items():
        axes = {key: value for key, (_, value) in inputs.items()} | outputs
        with _fixed_norms(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter announces its successor
            torch.onnx.export(
                network.eval(), tuple(example for example, _ in inputs.values()), str(folder / f"{name}.onnx"),
                input_names=list(inputs), output_names=list(outputs),
                dynamic_axes={key: value for key, value in axes.items() if value},
                opset_version=_OPSET, dynamo=False,
            )  # fmt: skip
        onnx.checker.check_model(str(folder / f"{name}.onnx"))
    model.train(training)
    scales = ("mel_scale", "pitch_scale", "level_scale", "duration_scale")
    facts = {
        "phones": list(text.PHONES),
        "speakers": {name: model.voice(name).tolist() for name in model.speakers},
        "context": model.context,
        "turn": TURN,
        "network": asdict(model.config),
        "vocoder": asdict(model.vocoder.config),
        **{name: getattr(model, name).tolist() for name in scales},
    }
    (folder / "speaker.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return folder


class OnnxPlan(NamedTuple):
    """What is to be said, as arrays: see `tts_speech.Plan`."""

    phones: list[str]
    hidden: np.ndarray
    prosody: np.ndarray
    bounds: np.ndarray
    steer: np.ndarray

    @property
    def n_frames(self) -> int:
        """Its length in frames of 16 ms."""
        return int(self.bounds[-1])


def places(bounds: np.ndarray, first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """`regulate` in numpy: bounds (P + 1,) -> for frames first to end: which phone (T,), and where in it (T, 4)."""
    t = np.arange(first, end)
    phone = np.minimum(np.searchsorted(bounds[1:], t, side="right"), len(bounds) - 2)
    begin, stop = bounds[phone], bounds[phone + 1]
    since, left, length = t - begin + 0.5, stop - t - 0.5, np.maximum(stop - begin, 1)
    near = np.minimum(since / 10, 1), np.clip(left / 10, 0, 1)
    return phone, np.stack([since / length - 0.5, *near, np.log(length) / 3], -1).astype(np.float32)


class OnnxVocoder:
    """vocoder.onnx in the place of a `Vocoder`: an array (frames, 80) -> waveform (length,)."""

    def __init__(self, session: Any, config: VocoderConfig):
        self.session, self.config = session, config

    def __call__(self, log_mel: np.ndarray, length: int | None = None) -> np.ndarray:
        """log_mel (frames, 80) -> (length,), by default (frames - 1) * 256."""
        return self.follow(log_mel, length)[0]

    def follow(self, log_mel: np.ndarray, length: int | None = None, at: int = 0, ticks: int = 0):
        """As `Vocoder.follow`."""
        given = {"log_mel": checked(log_mel)[None], "at": np.array([at]), "ticks": np.array([ticks])}
        waveform, clock = self.session.run(None, given)
        length = (len(log_mel) - 1) * features.HOP_LENGTH if length is None else length
        return np.pad(waveform[0], (0, max(0, length - waveform.shape[1])))[:length], clock[0]

    def stream(self) -> VocoderStream:
        """As `Vocoder.stream`."""
        return VocoderStream(self)


class OnnxSpeaker(Speaking):
    """`say` and `stream` as of the checkpoint, by ONNX Runtime and numpy.

    Torch draws the noise, so that a seed says the same, and guesses how words outside of the dictionary are said; the
    networks of the synthesiser and the vocoder are not in it. Voices have names: it does not `embed`.

    Args:
        folder: what `to_onnx` has written.
        threads: of ONNX Runtime.

    Raises:
        ValueError: not such a folder.
    """

    def __init__(self, folder: str | Path, threads: int = 1):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        try:
            facts = json.loads((Path(folder) / "speaker.json").read_text(encoding="utf-8"))
            self.sessions = {
                name: onnxruntime.InferenceSession(
                    str(Path(folder) / f"{name}.onnx"), options, ["CPUExecutionProvider"]
                )
                for name in NETWORKS
            }
            self.speakers, self.context = tuple(facts["speakers"]), facts["context"]
            self.voices = torch.tensor(list(facts["speakers"].values()))
            self.vocabulary = text.Vocabulary(facts["phones"])
            self.mel_scale, self.pitch_scale, self.duration_scale = (
                np.array(facts[name], np.float32) for name in ("mel_scale", "pitch_scale", "duration_scale")
            )
            self.vocoder = OnnxVocoder(self.sessions["vocoder"], VocoderConfig(**facts["vocoder"]))
        except Exception as error:  # the runtime has a type of its own for each
            raise ValueError(f"{folder} is no speaker that `to_onnx` has written: {error}") from error

    def embed(self, reference: np.ndarray) -> np.ndarray:
        """Not here: the voice encoder is not among the files."""
        raise NotImplementedError("the ONNX files know named voices; `embed` with checkpoints.load('tts')")

    def plan(self, sentence: str, voice: np.ndarray, speed=1.0, pitch=0.0, guided=True, own=None) -> OnnxPlan:
        """As `tts_speech.make_plan`, in arrays."""
        phones, words = text.spoken(sentence, own)
        starts = np.zeros((1, len(phones)), np.int64)
        starts[0, [first for _, first, _ in words]] = 1
        numbers = np.array([self.vocabulary.encode(phones)])
        hidden, prosody, steer = self.sessions["read"].run(
            None, {"phones": numbers, "starts": starts, "voice": voice[None].astype(np.float32)}
        )
        frames = np.maximum(np.exp(prosody[0, :, 0]) * self.duration_scale / np.float32(speed), 1)
        bounds = np.floor(np.append(np.float32(0), frames.cumsum()) + 0.5).astype(np.int64)
        prosody = prosody[..., 1:].copy()
        prosody[..., 0] += TURN * pitch / self.pitch_scale[1]
        rows = 2 if guided else 1
        return OnnxPlan(phones, hidden[:rows], prosody, bounds, steer[:rows])

    def decode(self, plan: OnnxPlan, noise: torch.Tensor, first=0, end=None, steps=4, guidance=0.5):
        """As `tts_speech.euler`: frames first to end -> log-mel (frames, 80)."""
        end = plan.n_frames if end is None else end
        phone, place = places(plan.bounds, first, end)
        given = {"hidden": plan.hidden, "prosody": plan.prosody, "phone": phone[None], "place": place[None]}
        frames, guess = self.sessions["frames"].run(None, given | {"steer": plan.steer})
        x, rows = noise.numpy()[first:end], len(plan.steer)
        steady = {"frames": frames, "guess": guess, "steer": plan.steer}
        for step in range(steps):
            now = {"x": np.stack([x] * rows), "t": np.full(rows, step / steps, np.float32)}
            (velocity,) = self.sessions["flow"].run(None, now | steady)
            if rows == 2:
                velocity[0] += np.float32(guidance) * (velocity[0] - velocity[1])
            x = x + velocity[0] / np.float32(steps)
        return x * self.mel_scale[1] + self.mel_scale[0]


@torch.inference_mode()
def compare(model: TextToSpeech, written: str, voice: np.ndarray, seconds: bool = True) -> dict[str, float]:
    """The largest difference between torch and ONNX Runtime of every result, and how fast both say a text.

    Hidden, prosody, frames, guess and velocity in the units of the model; log-mel of the whole sentence after four steps;
    waveform relative to its peak, from the same log-mel. RTF: seconds for a second of sound, on one thread.

    Args:
        model: with its vocoder.
        written: one sentence.
        voice: (voice,), as of `model.voice`.
        seconds: measure the RTF, too.
    """
    with tempfile.TemporaryDirectory() as folder:
        speaker = OnnxSpeaker(to_onnx(model, folder))
        ours, theirs = make_plan(model, written, voice), speaker.plan(written, voice)
        n = ours.n_frames
        noise = torch.randn(n, features.N_MELS, generator=torch.Generator().manual_seed(0))
        pairs = {"hidden": (ours.hidden, theirs.hidden), "prosody": (ours.prosody[:1], theirs.prosody)}
        pairs["bounds"] = (ours.bounds[0], theirs.bounds)
        phone, place = regulate(ours.bounds[:1], 0, n)
        made = model.frames(ours.hidden, ours.prosody, ours.bounds, F.silu(ours.steer), 0, n)
        given = {"hidden": ours.hidden, "prosody": ours.prosody[:1], "phone": phone, "place": place}
        run = speaker.sessions["frames"].run(
            None, {key: value.numpy() for key, value in (given | {"steer": ours.steer}).items()}
        )
        pairs |= {name: (made[i], run[i]) for i, name in enumerate(("frames", "guess"))}
        now = {"x": noise.expand(2, -1, -1), "t": torch.full((2,), 0.5), "frames": made[0], "guess": made[1]}
        now["steer"] = ours.steer
        (velocity,) = speaker.sessions["flow"].run(None, {key: value.numpy() for key, value in now.items()})
        pairs["velocity"] = (model.flow(**now), velocity)
        log_mel = model.decode(ours, noise)
        theirs = theirs._replace(bounds=ours.bounds[0].numpy())  # rounding may move one by a frame
        pairs["log-mel"] = (log_mel, speaker.decode(theirs, noise))
        waveform = model.vocoder(log_mel)
        found = {
            name: float(np.abs(np.asarray(one) - np.asarray(other)).max()) if len(one) else 0.0
            for name, (one, other) in pairs.items()
        }
        found["waveform"] = float(np.abs(waveform - speaker.vocoder(log_mel)).max() / np.abs(waveform).max())
        if seconds:
            found |= {
                f"RTF, {name}": _rtf(one, written, voice)
                for name, one in (("PyTorch", model), ("ONNX", speaker))
            }
        del speaker  # its files are open as long as it is, and Windows would not remove them
    return found


def _rtf(speaker: Speaking, written: str, voice: np.ndarray) -> float:
    """Seconds for a second of sound, the better of two on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        taken = []
        for _ in range(2):
            begin = time.perf_counter()
            waveform = speaker.say(written, spk_emb=voice)
            taken.append((time.perf_counter() - begin) * 16000 / len(waveform))
    finally:
        torch.set_num_threads(threads)
    return min(taken)
