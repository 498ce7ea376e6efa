"""How the synthesiser of notebook 04 is trained: flow matching, and a voice that is heard in other words of the same speaker."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm.auto import tqdm

from course_utils import (
    checkpoints,
    data,
    features,
    fingerprint,
    paths,
    pitch,
    shipped,
    text,
    training,
)
from course_utils.data.corpus import UNIT_SAMPLES
from course_utils.decoding.alignment import align_words
from course_utils.models.lora import add_low_rank, merge_low_rank
from course_utils.models.tts import Synthesiser, SynthesiserConfig
from course_utils.models.tts_losses import losses
from course_utils.models.tts_speech import TextToSpeech
from course_utils.recipes.recognition import MuonAdamW, halves, mixed
from course_utils.synthesis.batch import Batch

STEPS = 8000
FRAMES = 4000
"""Frames of log-mel in a step: 64 s."""
NAMED_STEPS, NAMED_FRAMES = 6800, 2400
"""Of the second run, in which the named voices learn vectors of their own."""
RATES = (0.93, 1.0, 1.08)
"""Each clip is also played slower and faster, pitch and all: another voice."""
WEIGHTS = (1.0, 1.0, 0.3, 0.1, 0.1, 0.1)
NAMES = ("flow", "guess", "duration", "pitch", "voicing", "level")
REFERENCE = (96, 256)
"""Frames of other words that a voice is heard in: 1.5 to 4 s."""
HOP = features.HOP_LENGTH

# --- speech --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """Speech with the time of every phone: `durations` count 25 ms, `words` hold (word, first phone, end)."""

    voice: str
    phones: tuple[str, ...]
    durations: tuple[int, ...]
    words: tuple[tuple[str, int, int], ...]
    decode: Callable[[], np.ndarray]


def clips(split: str, extra: Path | None = None) -> Iterator[Clip]:
    """All speech of a split; for training also what `course build-speech` has made in the folder `extra`."""
    for one in data.speech(split):
        yield Clip(one.voice, one.phones, one.durations, one.words, lambda one=one: one.audio)
    for index in sorted(extra.glob("*/index.jsonl")) if extra and split == "train" else ():
        for row in map(json.loads, index.read_text().splitlines()):
            file = next(index.parent.glob(f"{row['id']}.*"))
            words = tuple(tuple(word) for word in row["words"])
            phones, durations = tuple(row["phones"]), tuple(row["durations"])
            yield Clip(
                row["voice"], phones, durations, words, partial(_exactly, file, sum(durations) * UNIT_SAMPLES)
            )


def _exactly(file: Path, samples: int) -> np.ndarray:
    from course_utils import audio  # soundfile, which a machine for training may lack

    waveform = audio.load(file)
    return np.pad(waveform, (0, max(0, samples - len(waveform))))[:samples]


def faster(waveform: np.ndarray, rate: float) -> np.ndarray:
    """A waveform (time,) played `rate` times as fast: pitch and resonances move with it."""
    if rate == 1:
        return waveform
    spectrum, samples = torch.fft.rfft(torch.from_numpy(waveform)), round(len(waveform) / rate)
    kept = spectrum.new_zeros(samples // 2 + 1)
    n = min(len(kept), len(spectrum))
    kept[:n] = spectrum[:n]
    return (torch.fft.irfft(kept, n=samples) * (samples / len(waveform))).numpy()


def bounds_of(durations: tuple[int, ...], rate: float = 1.0) -> np.ndarray:
    """First frame of each phone, and the end of the clip (P + 1,)."""
    ends = np.r_[0, np.cumsum(durations)] * UNIT_SAMPLES / rate
    first = np.ceil(ends / HOP)
    first[-1] = 1 + round(ends[-1]) // HOP
    return np.minimum(first, first[-1]).astype(np.int64)


def prosody_of(
    f0: np.ndarray, level: np.ndarray, middle: float, clip: Clip, bounds: np.ndarray
) -> np.ndarray:
    """Pitch in semitones above 100 Hz, share voiced and level in dB of each phone (P, 3).

    Frames more than 10 semitones off `middle`, the median of the voice, are octave errors; pitch goes straight on
    through phones without one.
    """
    semitones = 12 * np.log2(np.maximum(f0, 1) / 100)
    right = (f0 > 0) & (np.abs(semitones - middle) < 10)
    size = np.maximum(np.diff(bounds), 1)

    def total(values: np.ndarray) -> np.ndarray:
        return np.diff(np.r_[0.0, np.cumsum(values)][bounds])

    count = total(right)
    share = np.where([phone == "sil" for phone in clip.phones], 0, count / size)
    has = np.flatnonzero(share >= 0.34)
    found = total(semitones * right) / np.maximum(count, 1)
    tune = np.interp(np.arange(len(size)), has, found[has]) if len(has) else np.full(len(size), middle)
    return np.stack([tune, share, total(level) / size], 1)


class Speech:
    """All clips of a split as log-mels, in each of `rates`, with what is known of their phones.

    It is kept in the cache, since making it takes minutes. `voice`: only the clips of one voice.
    """

    def __init__(
        self,
        split: str,
        extra: Path | None = None,
        rates: tuple[float, ...] = RATES,
        voice: str | None = None,
    ):
        found = [clip for clip in clips(split, extra) if voice in (None, clip.voice)]
        self.rates = rates
        key = fingerprint.digest(
            [(c.voice, c.phones, c.durations) for c in found], rates, shipped.manifest().speech_key
        )
        file = paths.cache_folder() / "tts" / f"{split}-{key}.safetensors"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(self._made(found), file)
        self._set(found, load_file(file))

    @classmethod
    def of(cls, found: list[Clip]) -> Speech:
        """The same of clips that are given, in memory alone."""
        speech = cls.__new__(cls)
        speech.rates = (1.0,)
        speech._set(found, speech._made(found))
        return speech

    def _set(self, found: list[Clip], tensors: dict[str, torch.Tensor]) -> None:
        self.clips = found
        self.mels, self.first, self.frames, self.prosody = (
            tensors[name] for name in ("mels", "first", "frames", "prosody")
        )
        self.voices = sorted({c.voice for c in found})
        self.of_voice: dict[str, list[int]] = {}
        for i, clip in enumerate(found):
            self.of_voice.setdefault(clip.voice, []).append(i)
        longest = max(len(c.phones) for c in found)
        vocabulary = text.Vocabulary(text.PHONES)
        self.phones, self.starts = (torch.zeros(len(found), longest, dtype=torch.long) for _ in range(2))
        for i, clip in enumerate(found):
            self.phones[i, : len(clip.phones)] = torch.tensor(vocabulary.encode(clip.phones))
            self.starts[i, [first for _, first, _ in clip.words]] = 1
        self.bounds = [[torch.from_numpy(bounds_of(c.durations, rate)) for c in found] for rate in self.rates]

    def _made(self, found: list[Clip]) -> dict[str, torch.Tensor]:
        mels, pitches, levels = [], [], []
        for clip in tqdm(found, "log-mels", unit="clips", delay=2):
            waveform = clip.decode()
            for rate in self.rates:
                mels.append(features.log_mel(torch.from_numpy(faster(waveform, rate))).half())
            levels.append(10 * np.log10(np.mean(10 ** (2 * features.log_mel(waveform)), -1)))
            pitches.append(pitch.f0(waveform))
        middle: dict[str, list] = {}
        for clip, f0 in zip(found, pitches, strict=True):
            middle.setdefault(clip.voice, []).append(12 * np.log2(f0[f0 > 0] / 100))
        medians = {  # a voice that only whispers has none: 8 semitones above 100 Hz, the middle of all
            voice: float(np.median(voiced)) if len(voiced := np.concatenate(values)) else 8.0
            for voice, values in middle.items()
        }
        longest = max(len(c.phones) for c in found)
        prosody = torch.zeros(len(found), longest, 3)
        for i, (clip, f0, level) in enumerate(zip(found, pitches, levels, strict=True)):
            values = prosody_of(f0, level, medians[clip.voice], clip, bounds_of(clip.durations))
            prosody[i, : len(clip.phones)] = torch.from_numpy(values)
        frames = torch.tensor([len(mel) for mel in mels]).reshape(len(found), -1)
        first = (frames.flatten().cumsum(0) - frames.flatten()).reshape(frames.shape)
        return {"mels": torch.cat(mels), "first": first, "frames": frames, "prosody": prosody}

    def mel(self, clip: int, rate: int) -> torch.Tensor:
        """Log-mel (frames, 80) of a clip."""
        start = int(self.first[clip, rate])
        return self.mels[start : start + int(self.frames[clip, rate])].float()

    def scales(self) -> dict[str, torch.Tensor]:
        """Means and deviations of log-mel (2, 80), pitch (2,) and level (2,)."""
        sample = self.mels[:: max(1, len(self.mels) // 400_000)].float()
        inside = (
            torch.arange(self.prosody.shape[1]) < torch.tensor([len(c.phones) for c in self.clips])[:, None]
        )
        tune, share, level = self.prosody[inside].T
        spoken = tune[share > 0.34]
        return {
            "mel_scale": torch.stack([sample.mean(0), sample.std(0)]),
            "pitch_scale": torch.stack([spoken.mean(), spoken.std()]),
            "level_scale": torch.stack([level.mean(), level.std()]),
        }


class Batches:
    """Training batches by step, always the same: clips of like length, `frames` frames with their padding.

    `clips`: numbers of the only clips that are used.
    """

    def __init__(
        self,
        speech: Speech,
        model: Synthesiser,
        frames: int = FRAMES,
        seed: int = 0,
        clips: Sequence[int] | None = None,
    ):
        self.speech, self.frames, self.seed = speech, frames, seed
        self.scales = {
            name: getattr(model, name).clone() for name in ("mel_scale", "pitch_scale", "level_scale")
        }
        order = np.argsort(speech.frames[:, 0].numpy(), kind="stable")
        self.order = order if clips is None else order[np.isin(order, clips)]

    def __call__(self, step: int) -> Batch:
        """One batch."""
        draw = np.random.default_rng((self.seed, step))
        at = int(draw.integers(len(self.order)))
        near = self.order[max(0, at - 150) : at + 150]
        longest = int(self.speech.frames[near].max())
        size = max(2, self.frames // longest)
        chosen = draw.choice(near, size, replace=len(near) < size)
        return self.batch([(int(i), int(draw.integers(len(self.speech.rates)))) for i in chosen], draw)

    def batch(self, rows: list[tuple[int, int]], draw: np.random.Generator) -> Batch:
        """A batch of (clip, number of the rate)."""
        speech, clips = self.speech, [i for i, _ in rows]
        n_phones = torch.tensor([len(speech.clips[i].phones) for i in clips])
        n_frames = torch.tensor([int(speech.frames[i, r]) for i, r in rows])
        most, longest = int(n_phones.max()), int(n_frames.max())
        mel = torch.zeros(len(rows), longest, features.N_MELS)
        bounds = torch.zeros(len(rows), most + 1, dtype=torch.long)
        heard = int(draw.integers(*REFERENCE))
        reference = torch.empty(len(rows), heard, features.N_MELS)
        for k, (i, r) in enumerate(rows):
            mel[k, : n_frames[k]] = (speech.mel(i, r) - self.scales["mel_scale"][0]) / self.scales[
                "mel_scale"
            ][1]
            own = speech.bounds[r][i]
            bounds[k] = own[-1]
            bounds[k, : len(own)] = own
            reference[k] = self.other_words(i, r, heard, draw)
        faster = torch.tensor([speech.rates[r] for _, r in rows])[:, None]
        tune, share, level = speech.prosody[clips, :most].unbind(-1)
        scaled = [
            (bounds.diff().clamp(min=0.3)).log(),
            (tune + 12 * faster.log2() - self.scales["pitch_scale"][0]) / self.scales["pitch_scale"][1],
            share,
            (level - self.scales["level_scale"][0]) / self.scales["level_scale"][1],
        ]
        prosody = torch.stack(scaled, -1)
        phones, starts = speech.phones[clips, :most], speech.starts[clips, :most]
        voice = torch.tensor([speech.voices.index(speech.clips[i].voice) for i in clips])
        return Batch(phones, starts, prosody, bounds, mel, n_phones, n_frames, reference, voice)

    def other_words(self, clip: int, rate: int, frames: int, draw: np.random.Generator) -> torch.Tensor:
        """A piece (frames, 80) of another clip of the voice; short ones are repeated."""
        speech = self.speech
        others = [i for i in speech.of_voice[speech.clips[clip].voice] if i != clip] or [clip]
        mel = speech.mel(int(draw.choice(others)), rate)
        while len(mel) < frames:
            mel = torch.cat([mel, speech.mel(int(draw.choice(others)), rate)])
        start = int(draw.integers(len(mel) - frames + 1))
        return mel[start : start + frames]


# --- training ------------------------------------------------------------------------------------------


def loss_fn(model: Synthesiser, batch: Batch, voice: torch.Tensor | None = None) -> torch.Tensor:
    """Weighted sum of the losses; one clip of ten is said by nobody, which is what guidance needs.

    `voice` (B, voice); None: as the encoder hears it in the reference.
    """
    n = len(batch.phones)
    keep = (torch.rand(n) > 0.1).float()
    even = (torch.arange(n) + torch.rand(n)) / n  # spread out; half of the times are pushed to the middle
    t = torch.where(torch.rand(n) < 0.5, even, torch.sigmoid(torch.randn(n)))
    with mixed(batch.mel.device):
        found = losses(model, batch, keep, t, torch.randn_like(batch.mel), voice)
    return (found * torch.tensor(WEIGHTS)).sum()


def validation(batches: Batches, count: int = 12) -> Callable[[nn.Module], dict[str, float]]:
    """A function that measures the losses on unseen voices, always with the same noise."""
    draw = np.random.default_rng(0)
    speech, fixed = batches.speech, []
    order = np.argsort(speech.frames[:, 0].numpy(), kind="stable")
    for part in np.array_split(order[:: max(1, len(order) // (16 * count))], count):
        fixed.append(batches.batch([(int(i), 0) for i in part], draw))

    def evaluate(model: Synthesiser) -> dict[str, float]:
        total, said, true = torch.zeros(len(NAMES)), 0.0, 0.0
        with torch.no_grad():
            for k, batch in enumerate(fixed):
                n = len(batch.phones)
                noise = torch.randn(batch.mel.shape, generator=torch.Generator().manual_seed(k))
                with mixed(batch.mel.device):
                    total += losses(
                        model, batch, torch.ones(n), (torch.arange(n) + 0.5) / n, noise, jitter=0
                    ).float()
                    steer = model.steer(model.voice_encoder(batch.reference))
                    _, prosody = model.read(batch.phones, batch.starts, steer)
                spoken = batch.phones > 0
                said += float(prosody[..., 0].float().exp()[spoken].sum())
                true += float(batch.prosody[..., 0].exp()[spoken].sum())
        return {**dict(zip(NAMES, (total / count).tolist(), strict=True)), "true / said": true / said}

    return evaluate


def optimiser(model: Synthesiser, muon: float = 0.02, adam: float = 1e-3) -> MuonAdamW:
    """Muon for the matrices inside of blocks, AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if ".blocks." in name and p.ndim == 2]
    own = set(matrices)
    others = [p for p in model.parameters() if p not in own]
    return MuonAdamW(matrices, others, muon, adam, half=halves(matrices[0].device))


class Named(nn.Module):
    """A synthesiser and a table of its named voices, which learn together."""

    def __init__(self, model: TextToSpeech):
        super().__init__()
        self.model, self.table = model, nn.Parameter(model.voices.clone())


def train_named(
    model: TextToSpeech, speech: Speech, steps: int = NAMED_STEPS, seed: int = 0, state: Path | None = None
) -> training.History:
    """Make the named voices of `model` vectors that learn, begun by what its encoder hears.

    Two of three steps are of the named voices alone and told by the table, the third of all of `speech` and told by
    references, so that the encoder is not forgotten. AdamW throughout, as the shipped weights were trained.
    """
    own = Speech("train", rates=(1.0,))
    number = torch.tensor([model.speakers.index(name) for name in own.voices])
    by_name, by_ear = (Batches(one, model, NAMED_FRAMES, seed) for one in (own, speech))
    named = Named(model)

    def loss(named: Named, given: tuple[bool, Batch]) -> torch.Tensor:
        told, batch = given
        voice = F.normalize(named.table[number[batch.voice]], dim=-1) if told else None
        return loss_fn(named.model, batch, voice)

    history = training.fit(
        named, training.ahead(lambda step: (step % 3 > 0, (by_name if step % 3 else by_ear)(step))), loss, steps,
        learning_rate=4e-4, schedule=training.plateau, ema=0.995, state=state, save_every=100, seed=seed, title="named",
    )  # fmt: skip
    model.voices.copy_(F.normalize(named.table.detach(), dim=-1))
    return history


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "tts",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
    begin: str | None = None,
    extra: str | None = None,
) -> TextToSpeech:
    """Train the checkpoint and save it as `name` with its card; `state` is a file to resume from.

    `begin` is a checkpoint to start from (a smaller learning rate is then enough), `extra` the folder of more speech
    that `course build-speech` has made; None: the cache, where something is there.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # another core makes the batches
    speakers = tuple(voice.name for voice in data.voices("train"))
    model = TextToSpeech(SynthesiserConfig(), speakers)
    speech = Speech("train", Path(extra) if extra else paths.cache_folder() / "speech")
    valid = Speech("valid", rates=(1.0,))
    model.load_state_dict({**model.state_dict(), **speech.scales()})
    if begin:
        there = checkpoints.read(Path(begin) if "/" in begin else begin)[1]
        model.load_state_dict({**model.state_dict(), **there})
    evaluate = validation(Batches(valid, model))
    history = training.fit(
        model, training.ahead(Batches(speech, model, seed=seed)), loss_fn, steps or STEPS, schedule=training.plateau,
        clip=1.0, ema=0.999, optimizer=optimiser(model, *((0.01, 5e-4) if begin else (0.02, 1e-3))),
        evaluate=evaluate, every=500, state=state, save_every=250, seed=seed, title="tts",
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    finish(model, evaluate)
    own = state and state.with_name("named.safetensors")
    named = train_named(model, speech, min(NAMED_STEPS, steps or NAMED_STEPS), seed, own)
    if named.interrupted:
        raise KeyboardInterrupt
    of_corpus = {voice.name for voice in data.voices("train")}
    hours = {
        kind: round(
            sum(sum(c.durations) for c in speech.clips if (c.voice in of_corpus) == own) * 0.025 / 3600, 2
        )
        for kind, own in (("`data/speech`", True), ("`course build-speech`", False))
    }
    model.vocoder = None
    text = checkpoints.card(
        "tts",
        "Says English text in 48 voices, in mixtures of them, or in a voice that it hears; the checkpoint `vocoder` makes "
        "sound of its log-mels. `course_utils.models.tts_speech.TextToSpeech`.",
        data=f"hours of synthetic voices: {hours}, each also played at {RATES[0]} and {RATES[-1]} times its speed",
        seed=seed, history=history.followed_by(named), metrics=measure(model) if measure else {},
        limits="English; a pause at every mark, no question's tune; real voices are not what it learnt from",
    )  # fmt: skip
    config = {"network": asdict(model.config), "speakers": list(speakers)}
    checkpoints.save(name, model, config, text, half=True, parts={"vocoder": "vocoder"})
    return model


def finish(model: TextToSpeech, evaluate: Callable[[nn.Module], dict[str, float]], clips: int = 12) -> None:
    """What is set when the weights are there: the scale of durations, and the voices that have a name."""
    model.eval()
    model.duration_scale.fill_(evaluate(model)["true / said"])
    for k, name in enumerate(model.speakers):
        heard = np.mean([model.embed(one.audio) for one in data.speech(voice=name)[:clips]], 0)
        model.voices[k] = torch.from_numpy(heard / np.linalg.norm(heard))


# --- the lesson and its ladder -------------------------------------------------------------------------

LESSON = {
    "dim": 96, "encoder_blocks": 3, "predictor_blocks": 1, "frame_blocks": 2, "flow_dim": 128, "flow_blocks": 4,
    "cond": 32, "voice": 16, "voice_dim": 64, "voice_blocks": 1, "dropout": 0.05,
}  # fmt: skip
LESSON_VOICE = "f01"
LESSON_STEPS = 450
"""Of the naive model and of the final one: only the loss differs."""


def lesson_batches(model: Synthesiser, voice: str | None = LESSON_VOICE, seed: int = 0) -> Batches:
    """Batches of 24 s of one voice, or of all 48; the model gets the means and deviations of its data."""
    speech = Speech("train", rates=(1.0,), voice=voice)
    model.load_state_dict({**model.state_dict(), **speech.scales()})
    return Batches(speech, model, frames=1500, seed=seed)


def one_voice(model: Synthesiser) -> torch.Tensor:
    """The voice (1, voice) of a model that knows but one: equal numbers, of length 1."""
    return F.normalize(torch.ones(1, model.config.voice), dim=-1)


def lesson_run(model: nn.Module, seed: int = 0) -> dict:
    """Settings of `training.fit` for the lesson; the optimiser belongs to `model`."""
    return {
        "schedule": training.plateau,
        "ema": 0.99,
        "optimizer": optimiser(model, 0.02, 2e-3),
        "seed": seed,
    }


class Added(TextToSpeech):
    """The voice is added to every phone, and steers nothing."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.add = nn.Linear(self.config.cond, self.config.dim)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(".film." not in name)

    def read(self, phones, starts, steer, mask=None):
        """As `Synthesiser.read`."""
        x = self.text(phones, starts, steer, mask) + self.add(steer)[:, None]
        return x, self.prosody(x, steer, mask)


class Told(nn.Module):
    """The loss of a rung: how the voice is told, and whether the log-mel is guessed at once or reached by a flow."""

    def __init__(self, how: str, flow: bool):
        super().__init__()
        self.how, self.flow = how, flow

    def forward(self, model: TextToSpeech, batch: Batch) -> torch.Tensor:
        """Scalar loss of a batch."""
        n = len(batch.phones)
        keep, voice = torch.ones(n), None
        if self.how == "nobody":
            voice = one_voice(model).expand(n, -1)
        elif self.how == "table":
            voice = F.normalize(model.table(batch.voice), dim=-1)
        t, noise = torch.rand(n), torch.randn_like(batch.mel)
        if not self.flow:  # the way from nothing in one step: plain regression by the same network
            t, noise = torch.zeros(n), torch.zeros_like(batch.mel)
        found = losses(model, batch, keep, t, noise, voice)
        return (found * torch.tensor(WEIGHTS)).sum()


# Rung: (what it adds, how the voice is told, whether by a flow, class)
RUNGS = {
    "nobody": ("regression, and no word of who speaks", "nobody", False, TextToSpeech),
    "added": ("a vector for each voice, added to every phone", "table", False, Added),
    "steered": ("the same vector steers the layer norms instead", "table", False, TextToSpeech),
    "heard": (
        "the vector is heard in other words of the voice: the table goes",
        "reference",
        False,
        TextToSpeech,
    ),
    "flow": ("flow matching in the place of regression", "reference", True, TextToSpeech),
}


def train_rung(rung: str, seed: int, steps: int | None = None) -> tuple[TextToSpeech, training.History]:
    """Train one rung with 48 voices as the lesson trains one."""
    _, how, flow, kind = RUNGS[rung]
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # another core makes the batches
    speakers = tuple(voice.name for voice in data.voices("train"))
    model = kind(SynthesiserConfig(**LESSON), speakers)
    model.table = nn.Embedding(len(speakers), model.config.voice)
    batches = training.ahead(lesson_batches(model, None, seed))
    history = training.fit(
        model, batches, Told(how, flow), steps or 600, title=rung, **lesson_run(model, seed)
    )
    with torch.no_grad():
        if how == "reference":
            finish(model, lambda _: {"true / said": 1.0}, clips=4)
        else:
            model.voices.copy_(
                F.normalize(model.table.weight, dim=-1) if how == "table" else one_voice(model)
            )
    if not flow:
        model.TEMPERATURE = 0.0
    return model, history


# --- another voice -------------------------------------------------------------------------------------


def first_clips(voice: Speech, seconds: float, without: Collection[tuple] = ()) -> list[int]:
    """Numbers of the first clips of a voice that last `seconds` together, at least one.

    `without`: (phones, durations) of clips that are passed over, because they are needed for testing.
    """
    free = [i for i, clip in enumerate(voice.clips) if (clip.phones, clip.durations) not in without]
    if not free:
        raise ValueError("no clip of this voice is left to learn from")
    ends = np.cumsum([sum(voice.clips[i].durations) * 0.025 for i in free])
    return free[: max(1, int(np.searchsorted(ends, seconds, "right")))]


PARTS = ("nothing", "embedding", "norms", "lora", "everything")
"""What can learn of a voice, from the least to the most."""
RANK = 4
RATES_OF = {"norms": 2e-2, "everything": 4e-4}
"""Largest learning rates, chosen on validation voices; 3e-3 where a part is not named."""
ADAPT_STEPS, FIT_STEPS = 120, 80
"""Of a part, and where everything learns. Tried on one reference of five validation readers, two sentences each (cosine to
the reader, where recordings have 0.94, and words wrong): with the same weights 40 steps at 3e-4 0.84 and 7 %, 40 at 4e-4
that falls to 0 0.84 and 8 %, 80 so 0.86 and 6 %. With earlier weights, at 3e-4, 20 steps 0.82 and 8 %, the decoder alone
0.79. More than 80 were not tried. From 20 s of two validation voices the norms had 0.87 after 40 steps and 0.90 after 120,
at 1e-2 (recordings 0.91); 2e-2 was tried on the first of them alone."""
LEARNT_GUIDANCE = 0.5
"""Of a copy that has learnt one voice: with earlier weights six validation readers were nearer than at 1 (cosine 0.802, 0.796)."""


def adapt(
    model: TextToSpeech,
    voice: Speech,
    clips: Sequence[int],
    part: str,
    steps: int | None = None,
    seed: int = 0,
) -> tuple[TextToSpeech, np.ndarray, int]:
    """A copy of `model` that has learnt from clips of a voice: (model, the voice (voice,), how many numbers learnt).

    `part` is one of `PARTS`: the voice is heard; its numbers learn; those, and what shifts the layer norms of the
    decoder; those, and updates of rank `RANK` of the decoder's linear layers (LoRA; Hu et al., 2022), which are put
    into the layers at the end; everything. `steps`: None for `ADAPT_STEPS`, or `FIT_STEPS` where everything learns.

    Raises:
        ValueError: there is no such part.
    """
    if part not in PARTS:
        raise ValueError(f"part: expected one of {', '.join(PARTS)}, got {part!r}")
    torch.manual_seed(seed)
    steps = (FIT_STEPS if part == "everything" else ADAPT_STEPS) if steps is None else steps
    adapted = copy.deepcopy(model).requires_grad_(False)
    adapted.GUIDANCE = LEARNT_GUIDANCE
    with torch.no_grad():
        heard = torch.stack([adapted.voice_encoder(voice.mel(i, 0)[None])[0] for i in clips]).mean(0)
    numbers = nn.Parameter(F.normalize(heard, dim=0))
    if part == "nothing":
        return adapted, numbers.detach().numpy(), 0
    learn = _learning(adapted, part)
    for parameter in learn:
        parameter.requires_grad_(True)
    groups = [{"params": [numbers]}]
    groups += [{"params": learn, "lr": RATES_OF.get(part, 3e-3)}] if learn else []
    optimizer = torch.optim.AdamW(groups, lr=3e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (steps - step) / (0.4 * steps))
    )
    batches = Batches(voice, adapted, frames=800, seed=seed, clips=clips)
    for step in tqdm(range(steps), "learning the voice", unit="steps", delay=2, leave=False):
        batch = batches(step)
        n = len(batch.phones)
        t, noise = (torch.arange(n) + torch.rand(n)) / n, torch.randn_like(batch.mel)
        with mixed(batch.mel.device):
            found = losses(adapted, batch, torch.ones(n), t, noise, F.normalize(numbers, dim=0).expand(n, -1))
        optimizer.zero_grad()
        (found * torch.tensor(WEIGHTS)).sum().backward()
        optimizer.step(), schedule.step()
    learnt = numbers.numel() + sum(p.numel() for p in learn)
    merge_low_rank(adapted)
    return adapted.requires_grad_(False), F.normalize(numbers, dim=0).detach().numpy(), learnt


REFERENCE_SECONDS = 8.0
"""Of a reference, from which a voice is learnt: more takes longer, and a step sees no more."""


def reading(waveform: np.ndarray, said: str | None = None) -> Speech | None:
    """The beginning of a reference (time,) as something to learn from; None where no word is understood.

    `said`: its words; None: as the recogniser of notebook 03 hears them, mistakes and all. Nothing is written to a disk.
    """
    recogniser = checkpoints.load("recognition")
    samples = min(len(waveform), int(REFERENCE_SECONDS * features.SAMPLE_RATE)) // UNIT_SAMPLES * UNIT_SAMPLES
    waveform = waveform[:samples]
    said = recogniser.transcribe(waveform) if said is None else said
    if not said.strip():
        return None
    one = align_words(recogniser, waveform, said)
    phones, durations, words = (tuple(part) for part in (one.phones, one.durations, one.words))
    return Speech.of([Clip("reference", phones, durations, words, lambda: waveform)])


def fit(
    model: TextToSpeech, waveform: np.ndarray, said: str | None = None, steps: int = FIT_STEPS, seed: int = 0
) -> tuple[TextToSpeech, np.ndarray]:
    """A copy of `model` that has learnt a voice from one reference (time,) of it, in some seconds, and the voice (voice,).

    The encoder only hears a voice, and falls back to one it knows; a few steps of training on what is said in the
    reference move everything towards it. `said` as in `reading`. Where no word is understood it is heard only, with a
    warning.
    """
    heard = model.embed(waveform)
    speech = reading(waveform, said) if steps else None
    if speech is None:
        if steps:
            warnings.warn(
                "no word of the reference was understood: its voice is heard, not learnt", stacklevel=2
            )
        return model, heard
    adapted, voice, _ = adapt(model, speech, [0], "everything", steps, seed)
    return adapted.eval(), voice


def _learning(adapted: TextToSpeech, part: str) -> list[nn.Parameter]:
    """What learns besides the numbers of the voice."""
    if part == "everything":
        return list(adapted.parameters())
    if part == "lora":
        return [*add_low_rank(adapted.frames, rank=RANK), *add_low_rank(adapted.flow, rank=RANK)]
    if part == "norms":
        names = [name for name, _ in adapted.named_parameters() if name.startswith(("frames.", "flow."))]
        return [adapted.get_parameter(name) for name in names if name.endswith(".film.bias")]
    return []
