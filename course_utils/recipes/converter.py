"""How the converter of notebook 06 is trained: to say one clip of a voice again with the sound of another clip of it."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm.auto import tqdm

from course_utils import checkpoints, data, features, fingerprint, paths, pitch, shipped, training
from course_utils.models.converter import FLOOR, STD, Converter, ConverterConfig, ConverterNetwork
from course_utils.recipes.recognition import MuonAdamW, halves, mixed
from course_utils.recipes.tts import clips as spoken_clips
from course_utils.recipes.tts import faster
from course_utils.synthesis.converter_stream import Reference

STEPS = (2200, 850)
"""Of the first run, and of the second, in which the content is heard in other voices."""
ROWS, SOURCE = 20, 64
"""Pieces of speech in a step, and their length in steps of the recogniser: 20 x 2 s."""
REFERENCE = (40, 190)
"""Length of the reference in steps: 1.3 to 6 s."""
EACH = {"corpus": 16, "extra": 3}
"""Clips of each voice of the corpus, and of each further synthetic voice."""
RATES = (0.93, 1.08)
"""Readers are also played slower or faster, pitch and all: other voices."""
SHARES = {"reader": 0.35, "corpus": 0.3, "extra": 0.35}
"""How often a piece is of a real reader, of a voice of the corpus, or of more synthetic voices."""
DISGUISED = 0.6
"""Share of pieces whose content was heard in another timbre."""
GUESS = 0.3
"""Weight of the loss of the first guess, which is looked up alone."""
SPREAD = 0.5
"""Weight of the loss of how much bands vary."""
AGAIN = 0.9
"""Share of disguised pieces in a second run, in which a converter has said them in other voices."""

# --- speech --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clip:
    """Speech of one voice; `other` decodes the same words with the same timing by another voice, where there is one."""

    kind: str
    voice: str
    rate: float
    decode: Callable[[], np.ndarray]
    other: Callable[[], np.ndarray] | None = None


def clips(split: str, extra: Path | None = None) -> Iterator[Clip]:
    """All speech of a split; for training also the aligned pairs, the readers, and what is in the folder `extra`."""
    own = {voice.name for voice in data.voices(split)}
    taken: Counter = Counter()
    for one in spoken_clips(split, extra):
        kind = "corpus" if one.voice in own else "extra"
        if taken[one.voice] < EACH[kind]:
            taken[one.voice] += 1
            yield Clip(kind, one.voice, 1.0, one.decode)
    if split != "train":
        return
    for pair in data.pairs("train"):
        decode, other = (partial(getattr, pair, f"{who}_audio") for who in ("target", "source"))
        yield Clip("corpus", pair.target, 1.0, decode, other)
    for i, one in enumerate(readers()):
        for rate in (1.0, RATES[i % 2]):
            yield Clip("reader", str(one.speaker), rate, partial(getattr, one, "audio"))


def readers() -> list[data.Recording]:
    """The readers of the training list; none where they are not here."""
    try:
        return data.real("librispeech", "train")
    except data.DataError:
        return []


def disguise(log_mel: torch.Tensor, draw: np.random.Generator) -> torch.Tensor:
    """The log-mel (frames, 80) of a longer or shorter throat (6 to 18 %) and another microphone; the timing stays."""
    factor = np.exp(draw.choice([-1, 1]) * draw.uniform(0.06, 0.18))
    low, high = (features.hz_to_mel(hz) for hz in (features.F_MIN, features.F_MAX))
    centres = features.mel_to_hz(np.linspace(low, high, features.N_MELS + 2)[1:-1])
    at = (features.hz_to_mel(centres * factor) - low) / (high - low) * (features.N_MELS + 1) - 1
    at = np.clip(at, 0, features.N_MELS - 1.001)
    first = torch.from_numpy(at.astype(int))
    between = torch.from_numpy(at % 1).float()
    bands = np.arange(features.N_MELS) / features.N_MELS
    curve = sum(draw.normal(0, 0.1) * np.cos(np.pi * (k * bands + draw.uniform(0, 2))) for k in range(1, 5))
    warped = log_mel[:, first] * (1 - between) + log_mel[:, first + 1] * between
    return warped + torch.from_numpy(curve).float()


def listener(name: str = "recognition") -> nn.Module:
    """The part of the recogniser that gives the content features; the blocks after it are left out."""
    return Converter.cut(checkpoints.load(name))


class Speech:
    """All clips of a split: log-mel, F0, content features, and those of the same words in another timbre.

    They are kept in the cache, since making them takes minutes. Real readings are cut into clips of about 3 s. `found`:
    these clips alone, of a lesson.
    """

    ARRAYS = ("mels", "f0", "content", "other", "first", "steps", "owner")

    def __init__(self, split: str, extra: Path | None = None, found: list[Clip] | None = None):
        found = list(clips(split, extra)) if found is None else found
        key = fingerprint.digest(
            [(c.kind, c.voice, c.rate) for c in found], shipped.manifest().speech_key,
            checkpoints.read("recognition")[0]["sha256"], fingerprint.code("recipes.converter", "disguise"),
        )  # fmt: skip
        file = paths.cache_folder() / "converter" / f"{split}-{key}.safetensors"
        voices = sorted({(c.kind, c.voice, c.rate) for c in found})
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file(self._made(found, voices), file)
        tensors = load_file(file)
        self.mels, self.f0, self.content, self.other, self.first, self.steps, self.owner = (
            tensors[name] for name in self.ARRAYS
        )
        self.of_voice: dict[int, list[int]] = {}
        for i, voice in enumerate(self.owner.tolist()):
            self.of_voice.setdefault(voice, []).append(i)
        self.of_kind: dict[str, list[int]] = {}
        for number, (kind, _, _) in enumerate(voices):
            if len(self.of_voice.get(number, ())) > 1:  # a reference must be another clip
                self.of_kind.setdefault(kind, []).append(number)

    def _made(self, found: list[Clip], voices: list[tuple]) -> dict[str, torch.Tensor]:
        model, draw, parts = listener(), np.random.default_rng(0), {name: [] for name in self.ARRAYS}
        begin = 0
        for start in tqdm(range(0, len(found), 16), "content features", unit="batches"):
            some = found[start : start + 16]
            sounds = [faster(c.decode(), c.rate) for c in some]
            mels = [features.log_mel(torch.from_numpy(sound)) for sound in sounds]
            mels = [mel[: len(mel) // 2 * 2] for mel in mels]
            others = [
                disguise(mel, draw) if clip.other is None
                else features.log_mel(torch.from_numpy(clip.other()))[: len(mel)]
                for clip, mel in zip(some, mels, strict=True)
            ]  # fmt: skip
            content = heard(model, [*mels, *others])
            for k, (clip, sound, mel) in enumerate(zip(some, sounds, mels, strict=True)):
                steps = len(mel) // 2
                cut = 96 if clip.kind == "reader" else steps
                edges = [*range(0, max(1, steps - cut // 2), cut), steps]
                parts["mels"].append(mel.half())
                parts["f0"].append(torch.from_numpy(pitch.f0(sound)[: len(mel)]).half())
                parts["content"].append(content[k])
                parts["other"].append(content[len(some) + k])
                for low, high in pairwise(edges):
                    parts["first"].append(begin + low)
                    parts["steps"].append(high - low)
                    parts["owner"].append(voices.index((clip.kind, clip.voice, clip.rate)))
                begin += steps
        tables = {name: torch.tensor(parts.pop(name)) for name in ("first", "steps", "owner")}
        return {name: torch.cat(values) for name, values in parts.items()} | tables

    @torch.inference_mode()
    def revoice(self, model: ConverterNetwork, seed: int = 0, show: bool = True) -> None:
        """Let `model` say every clip in another voice, so that `other` is the content of the same words by a stranger.

        What comes out lies between the first guess, in which nothing of the source is heard, and the result, which is
        understood better. F0 moves to the other voice's median.
        """
        ear, draw = listener(), np.random.default_rng(seed)
        middle = {voice: self._middle(own) for voice, own in self.of_voice.items()}
        order = np.argsort(self.steps.numpy(), kind="stable")
        for some in tqdm(np.array_split(order, max(1, len(order) // 32)), "other voices", disable=not show):
            longest = int(self.steps[some].max())
            strangers = draw.choice([v for of_kind in self.of_kind.values() for v in of_kind], len(some))
            rows = [self._said(i, longest, v, middle, draw) for i, v in zip(some, strangers, strict=True)]
            content, mel, f0, known, reference = (torch.stack(part) for part in zip(*rows, strict=True))
            share = torch.from_numpy(draw.uniform(0, 1, (len(some), 1, 1))).float()
            with mixed(mel.device):
                prosody = torch.stack([f0, level_of(mel)], -1)
                guess, result = model(content, prosody, model.hear(known, reference))
            new = heard(ear, list(share * guess.float() + (1 - share) * result))
            for i, row in zip(some, new, strict=True):
                first, steps = int(self.first[i]), int(self.steps[i])
                self.other[first : first + steps] = row[:steps]

    def _middle(self, own: list[int]) -> float:
        f0 = torch.cat(
            [self.f0[2 * self.first[i] : 2 * (self.first[i] + self.steps[i])] for i in own]
        ).float()
        return float(f0[f0 > 0].median()) if (f0 > 0).any() else 150.0

    def _said(self, clip: int, steps: int, stranger: int, middle: dict, draw: np.random.Generator) -> tuple:
        where = self.first[clip] + torch.arange(steps).clamp(max=int(self.steps[clip]) - 1)
        there = self.line(draw.permutation(self.of_voice[int(stranger)]).tolist(), 100, draw)
        frames, reference = (torch.stack([2 * w, 2 * w + 1], 1).flatten() for w in (where, there))
        f0 = self.f0[frames].float() * middle[int(stranger)] / middle[int(self.owner[clip])]
        return (
            self.content[where].float(), self.mels[frames].float(), f0,
            self.content[there].float(), self.mels[reference].float(),
        )  # fmt: skip

    def line(self, some: list[int], count: int, draw: np.random.Generator) -> torch.Tensor:
        """Numbers of `count` steps of clips in a row, beginning anywhere; too few of them are repeated."""
        starts = [torch.arange(int(self.steps[i])) + int(self.first[i]) for i in some]
        line = torch.cat(starts[: 1 + 400 // max(1, len(starts[0]))])
        while len(line) < count:
            line = torch.cat([line, line])
        begin = int(draw.integers(len(line) - count + 1))
        return line[begin : begin + count]


@torch.inference_mode()
def heard(model: nn.Module, mels: list[torch.Tensor]) -> list[torch.Tensor]:
    """Content features (steps, dim) in float16 of log-mels (frames, 80) of even length."""
    longest = max(map(len, mels))
    padded = torch.stack([F.pad(mel, (0, 0, 0, longest - len(mel)), value=-4.0) for mel in mels])
    with mixed(padded.device):
        content = model(padded, chunk=Converter.CHUNK).content
    return [row[: len(mel) // 2].half() for row, mel in zip(content, mels, strict=True)]


@dataclass
class Batch:
    """What a step learns from: content (B, n, 192), prosody (B, 2 n, 2), log_mel (B, 2 n, 80), and the reference's content and log_mel."""

    content: torch.Tensor
    prosody: torch.Tensor
    log_mel: torch.Tensor
    reference_content: torch.Tensor
    reference_mel: torch.Tensor


def level_of(log_mel: torch.Tensor) -> torch.Tensor:
    """Level in dB of each frame of a log-mel (..., frames, 80) -> (..., frames)."""
    return Converter.level(log_mel)


class Batches:
    """Training batches by step, always the same: a piece of a voice, and a reference of other clips of that voice."""

    def __init__(self, speech: Speech, seed: int = 0, rows: int = ROWS, disguised: float = DISGUISED):
        self.speech, self.seed, self.rows, self.disguised = speech, seed, rows, disguised
        kinds = [kind for kind in SHARES if kind in speech.of_kind]
        share = np.array([SHARES[kind] for kind in kinds])
        self.kinds, self.share = kinds, share / share.sum()

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        draw = np.random.default_rng((self.seed, step))
        heard = int(draw.integers(*REFERENCE))
        rows = []
        for kind in draw.choice(self.kinds, self.rows, p=self.share):
            voice = int(draw.choice(self.speech.of_kind[kind]))
            rows.append(self._row(voice, heard, draw))
        content, mel, f0, other, reference = (torch.stack(part) for part in zip(*rows, strict=True))
        gain = torch.from_numpy(draw.normal(0, 0.15, (self.rows, 1, 1))).float()  # 3 dB louder or softer
        prosody = torch.stack([f0, level_of(mel)], -1)
        return Batch(content, prosody, mel, other, reference + gain)

    def _row(self, voice: int, heard: int, draw: np.random.Generator) -> tuple[torch.Tensor, ...]:
        own = self.speech.of_voice[voice]
        chosen = int(draw.choice(own))
        others = [i for i in own if i != chosen]
        where = self.speech.line([chosen], SOURCE, draw)
        there = self.speech.line(draw.permutation(others).tolist(), heard, draw)
        source = self.speech.other if draw.random() < self.disguised else self.speech.content
        frames, reference = (torch.stack([2 * w, 2 * w + 1], 1).flatten() for w in (where, there))
        speech = self.speech
        return (
            source[where].float(), speech.mels[frames].float(), speech.f0[frames].float(),
            speech.content[there].float(), speech.mels[reference].float(),
        )  # fmt: skip


# --- training ------------------------------------------------------------------------------------------


def said(model: ConverterNetwork, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The first guess and the result of a batch, as log-mels (B, 2 n, 80)."""
    with mixed(batch.log_mel.device):
        guess, result = model(
            batch.content, batch.prosody, model.hear(batch.reference_content, batch.reference_mel)
        )
    return guess.float(), result.float()


def losses(model: ConverterNetwork, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean distance of the first guess and of the result to the true log-mel, in deviations of a band."""
    guess, result = said(model, batch)
    true = batch.log_mel.clamp(min=FLOOR)
    return (guess - true).abs().mean() / STD, (result - true).abs().mean() / STD


def spread(log_mel: torch.Tensor) -> torch.Tensor:
    """How much each band of log-mels (B, frames, 80) varies over time, and from frame to frame: (B, 2, 80)."""
    return torch.stack([log_mel.std(1), log_mel.diff(dim=1).std(1)], 1)


def loss_fn(model: ConverterNetwork, batch: Batch) -> torch.Tensor:
    """The loss of the result, and a share of the first guess's, so that what is looked up means something by itself.

    And of the spread: the smallest mean distance alone gives smooth bands (global variance: Toda and Tokuda, 2007).
    """
    guess, result = said(model, batch)
    true = batch.log_mel.clamp(min=FLOOR)
    near = (result - true).abs().mean() + GUESS * (guess - true).abs().mean()
    return (near + SPREAD * (spread(result) - spread(true)).abs().mean()) / STD


def validation(batches: Batches, count: int = 8) -> Callable[[nn.Module], dict[str, float]]:
    """A function that measures both losses on voices that were never heard."""
    fixed = [batches(step) for step in range(count)]

    def evaluate(model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            found = [torch.stack(losses(model, batch)) for batch in fixed]
        guess, result = torch.stack(found).mean(0).tolist()
        return {"guess": guess, "result": result}

    return evaluate


def optimiser(model: ConverterNetwork, muon: float = 0.02, adam: float = 2e-3) -> MuonAdamW:
    """Muon for the matrices of the blocks, AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if name.startswith("blocks.") and p.ndim == 2]
    own = set(matrices)
    others = [p for p in model.parameters() if p not in own]
    return MuonAdamW(matrices, others, muon, adam, half=halves(matrices[0].device))


def run(
    model: Converter,
    speech: Speech,
    valid: Speech,
    steps: int,
    seed: int = 0,
    state: Path | None = None,
    again: bool = False,
) -> training.History:
    """One of the two runs, in place; `again`: the second one, gentler, in which nearly all content is another voice's."""
    batches = Batches(speech, seed, disguised=AGAIN if again else DISGUISED)
    history = training.fit(
        model, training.ahead(batches), loss_fn, steps, schedule=training.plateau, clip=1.0, ema=0.998,
        optimizer=optimiser(model, *((0.005, 5e-4) if again else (0.02, 2e-3))), state=state, save_every=250, every=250,
        evaluate=validation(Batches(valid, rows=16, disguised=1.0)), seed=seed, title="converter",
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    return history


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "converter",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
    begin: str | None = None,
    extra: str | None = None,
) -> Converter:
    """Train the checkpoint and save it as `name` with its card; `state` is a file to resume from.

    Two runs: after the first one the converter says all training clips in other voices, and what is heard there is the
    content from then on. `begin` is a checkpoint that takes the place of the first run. `extra` is the folder of more speech that `course build-speech` has made; None: the cache,
    where something is there.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # another core makes the batches
    model = Converter(ConverterConfig())
    speech = Speech("train", Path(extra) if extra else paths.cache_folder() / "speech")
    valid = Speech("valid")
    if begin:
        model.load_state_dict(checkpoints.read(Path(begin) if "/" in begin else begin)[1])
    else:
        first = state and state.with_stem(f"{state.stem}.first")
        run(model, speech, valid, steps or STEPS[0], seed, first)
    for some in (speech, valid):  # no disguise is as good as another voice
        some.revoice(model.eval(), seed)
    history = run(model, speech, valid, steps or STEPS[1], seed, state, again=True)
    evaluate = validation(Batches(valid, rows=16, disguised=1.0))
    hours = {
        kind: round(0.032 * sum(int(speech.steps[i]) for v in own for i in speech.of_voice[v]) / 3600, 2)
        for kind, own in speech.of_kind.items()
    }
    text = checkpoints.card(
        "converter",
        "Says what a source says in the voice of a reference of a few seconds; the checkpoint `recognition` gives it the "
        "content, `vocoder` makes sound of its log-mels. `course_utils.models.converter.Converter`.",
        data=f"hours by kind: {hours}: training voices of `data/speech`, more mixtures of the same parents (`course "
        "build-speech`), and readers of LibriSpeech's training list (`data/real_heldout.json`), some played faster and "
        "slower; no test voice, no held-out reader, and 160 aligned training pairs",
        seed=seed, history=history,
        metrics={
            **{f"loss of the {key}, unseen voices": f"{value:.3f}" for key, value in evaluate(model).items()},
            **(measure(model) if measure else {}),
        },
        limits="English; one speaker at a time; what the source's microphone adds is heard as speech; the accent and the "
        "timing stay the source's",
    )  # fmt: skip
    parts = {"recogniser": "recognition", "vocoder": "vocoder"}
    checkpoints.save(name, model, asdict(model.config), text, bits=8, parts=parts, steps=len(history.losses))
    return model


# --- another voice -------------------------------------------------------------------------------------

FIT_STEPS, FIT_RATE = 30, 3e-4
"""Chosen on the validation voices."""
FIT_ROWS, FIT_SOURCE, FIT_REFERENCE = 8, 48, 96
"""Pieces in a step, their length, and that of what is looked up beside them, in steps of the recogniser."""
DISGUISES = 4
"""Other timbres in which the content of a reference is heard."""


def fit(model: Converter, reference: np.ndarray, steps: int = FIT_STEPS, seed: int = 0) -> Converter:
    """A copy of `model` that has learnt the voice of a reference (time,), in some seconds.

    It says pieces of the reference again, whose content was heard in other timbres, and looks them up in the rest of the
    reference. A reference of less than two seconds has no rest: then, with a warning, it stays as it was.

    Raises:
        AudioError: as `Reference.of`.
    """
    Reference.of(model, reference)
    log_mel = features.log_mel(torch.from_numpy(np.ascontiguousarray(reference, dtype=np.float32)))
    count = len(log_mel) // 2
    if not steps or count < 60:
        if steps:
            warnings.warn(
                "the reference is too short to learn from: its voice is heard, not learnt", stacklevel=2
            )
        return model
    torch.manual_seed(seed)
    log_mel, draw = log_mel[: 2 * count], np.random.default_rng(seed)
    shared = [vars(model).get(name) for name in ("recogniser", "vocoder")]
    adapted = copy.deepcopy(model, {id(part): part for part in shared if part is not None})
    timbres = [log_mel, *(disguise(log_mel, draw) for _ in range(DISGUISES))]
    content = [c.float() for c in heard(Converter.cut(model.recogniser), timbres)]
    prosody = torch.stack([torch.from_numpy(pitch.f0(reference)[: 2 * count]), level_of(log_mel)], -1).float()
    learn = list(adapted.requires_grad_(True).parameters())
    optimizer = torch.optim.AdamW(learn, lr=FIT_RATE, weight_decay=0.0)
    size = min(FIT_SOURCE, count // 3)
    for step in tqdm(range(steps), "learning the voice", unit="steps", delay=2, leave=False):
        optimizer.param_groups[0]["lr"] = FIT_RATE * min(1.0, (steps - step) / (0.4 * steps))
        rows = [_piece(log_mel, prosody, content, size, draw) for _ in range(FIT_ROWS)]
        loss = loss_fn(adapted, Batch(*(torch.stack(part) for part in zip(*rows, strict=True))))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return adapted.requires_grad_(False).eval()


def _piece(
    log_mel: torch.Tensor,
    prosody: torch.Tensor,
    content: list[torch.Tensor],
    size: int,
    draw: np.random.Generator,
) -> tuple[torch.Tensor, ...]:
    """A row of `Batch`: `size` steps of a reference, mostly in another timbre, and steps of the rest to look up in."""
    own, count = content[0], len(content[0])
    first = int(draw.integers(count - size + 1))
    rest = np.r_[0 : max(0, first - 4), min(count, first + size + 4) : count]
    rest = np.resize(np.roll(rest, -int(draw.integers(len(rest)))), FIT_REFERENCE)
    source = content[int(draw.integers(1, len(content)))] if draw.random() < 0.8 else own
    frames, of_rest = slice(2 * first, 2 * (first + size)), np.stack([2 * rest, 2 * rest + 1], 1).ravel()
    return source[first : first + size], prosody[frames], log_mel[frames], own[rest], log_mel[of_rest]


# --- the lesson ----------------------------------------------------------------------------------------

LESSON = {"dim": 96, "hidden": 192, "blocks": 3, "match_dim": 64, "bottleneck": 24}
LESSON_VOICES, LESSON_CLIPS, LESSON_STEPS = 24, 5, 350


def lesson_speech(split: str = "train") -> Speech:
    """The first sentences of 24 training voices, or of the 8 voices of "valid" that no lesson learns from."""
    voices = data.voices(split)[:: 2 if split == "train" else 1][:LESSON_VOICES]
    found = [
        Clip("corpus", voice.name, 1.0, partial(getattr, one, "audio"))
        for voice in voices for one in data.speech(split, voice.name, "sentence")[:LESSON_CLIPS]
    ]  # fmt: skip
    return Speech(f"lesson-{split}", found=found)


def lesson_run(model: nn.Module, seed: int = 0) -> dict:
    """Settings of `training.fit` for the lesson; the optimiser belongs to `model`."""
    return {
        "schedule": training.plateau, "ema": 0.98, "optimizer": optimiser(model, 0.02, 3e-3), "seed": seed,
    }  # fmt: skip
