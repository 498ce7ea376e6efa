"""How the recogniser of notebook 03 is trained: speech of all kinds as log-mels, varied as such, two CTC losses.

Everything happens to log-mels, not to samples: rows of a batch are put together from pieces of one long log-mel, and
rooms, noises, microphones and telephones are powers that are added or multiplied there. It costs a tenth.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from tqdm.auto import tqdm

from course_utils import checkpoints, data, features, fingerprint, noise, paths, shipped, text, training
from course_utils.data.corpus import UNIT_SAMPLES
from course_utils.models.recognition import LETTERS, PHONES, Frontend, RecogniserConfig
from course_utils.models.recognition_streams import Recogniser
from course_utils.models.recognition_words import LexiconRecogniser

SHIPPED = RecogniserConfig()
STEPS = 12_000
SECONDS = 90  # of sound in a step

RATES = (0.88, 1.0, 1.14)  # each clip is kept in three speeds, its pitch with it
SHAPES = (280, 560, 1120)  # frames per row: 4.5, 9 and 18 s
CHUNKS = (1, 2, 5, 10, 20)  # steps; one model serves all
SHARES = {
    "synthetic+phrase": 0.3,
    "spoken sentence+spoken phrase": 0.35,
    "reader": 0.25,
    "digit": 0.1,
}  # of the rows of a step
FRAME = features.HOP_LENGTH
PHONE_CLASS = {phone: i for i, phone in enumerate(PHONES, 1)}
UNKNOWN = 255

# --- speech --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Speech with its words: `starts` and `frames` say where its log-mel lies, for each of `RATES`, or once for all.

    `spans` holds (words, first, end, phones) of words or groups of words, in frames at rate 1.
    """

    source: str  # "synthetic", "phrase", "reader", "digit"; "spoken sentence", "spoken phrase": by the synthesiser
    words: tuple[str, ...]
    phones: tuple[str, ...]
    starts: tuple[int, ...] = ()
    frames: tuple[int, ...] = ()
    spans: tuple[tuple[str, int, int, tuple[str, ...]], ...] = ()
    sounds: tuple[tuple[str, int], ...] = ()  # phone or pause, and the frame at rate 1 where it ends


def plain(phones: Iterable[str]) -> tuple[str, ...]:
    """Phones without stress and pauses."""
    return tuple(phone.rstrip("012") for phone in phones if phone != "sil")


def timed(source: str, words: Sequence, phones: Sequence[str], durations: Sequence[int]) -> Piece:
    """A piece of the corpus: `words` hold (word, first phone, end), `durations` count 25 ms."""
    ends = np.cumsum([0, *durations]) * UNIT_SAMPLES // FRAME
    spans = tuple((word, int(ends[i]), int(ends[j]), plain(phones[i:j])) for word, i, j in words)
    sounds = tuple(zip((phone.rstrip("012") for phone in phones), ends[1:].tolist(), strict=True))
    return Piece(source, tuple(word for word, *_ in words), plain(phones), spans=spans, sounds=sounds)


def sources(
    split: str, extra: Path | None = None, real: bool = True
) -> Iterable[tuple[Piece, Callable[[], np.ndarray]]]:
    """All speech of a split with a function that decodes it: (piece, waveform (time,)); `real`: recordings, too."""
    for one in data.speech(split):
        kind = "phrase" if one.kind == "phrase" else "synthetic"
        yield timed(kind, one.words, one.phones, one.durations), lambda one=one: one.audio
    for index in sorted(extra.glob("*/index.jsonl")) if extra and split == "train" else ():
        for row in map(json.loads, index.read_text().splitlines()):
            file = next(index.parent.glob(f"{row['id']}.*"))
            kind = "phrase" if row["kind"] == "phrase" else "synthetic"
            yield timed(kind, row["words"], row["phones"], row["durations"]), lambda file=file: _load(file)
    if real:
        yield from ((piece, decode) for _, piece, decode in readers(split))
    if real and split == "train":
        for one in data.real("fsdd", "train"):
            if int(one.id.rsplit("_", 1)[1]) >= 5:  # takes 0 to 4 are the set's own test
                said = (one.text,)
                yield Piece("digit", said, spoken(said)), lambda one=one: one.audio


def readers(split: str) -> Iterable[tuple[str, Piece, Callable[[], np.ndarray]]]:
    """The readers of LibriSpeech (id, piece, waveform), in groups of words that a recogniser heard.

    Every 13th reader is for validation.
    """
    heard = json.loads(shipped.content(paths.data_folder(), "build/texts/readers.json"))
    for i, one in enumerate(data.real("librispeech", "train")):
        if (i % 13 == 0) != (split == "valid"):
            continue
        runs: list[list] = []  # of groups that follow each other
        for group in heard[one.id]:
            runs = (
                [*runs, [group]]
                if not runs or runs[-1][-1][2] != group[1]
                else [*runs[:-1], [*runs[-1], group]]
            )
        for run in runs:
            begin, end = run[0][1], run[-1][2]
            spans = tuple(
                (said, round((first - begin) * 62.5), round((last - begin) * 62.5), spoken(said.split()))
                for said, first, last in run
            )
            words = tuple(" ".join(said for said, *_ in run).split())
            cut = slice(round(begin * 16000), round(end * 16000))
            yield (
                one.id,
                Piece("reader", words, spoken(words), spans=spans),
                lambda one=one, cut=cut: one.audio[cut],
            )


def by_synthesiser(folder: Path) -> tuple[list[Piece], list[np.ndarray]]:
    """What `python -m data.build.spoken` has made, at one rate alone: pieces, and log-mels (frames, 80) of each part."""
    pieces, mels, begin = [], [], 0
    for file in sorted(folder.glob("*[0-9].npy")):
        mels.append(np.load(file))
        for row in map(json.loads, file.with_suffix(".jsonl").read_text().splitlines()):
            ends, phones = [0, *row["ends"]], row["phones"]
            spans = tuple((w, ends[i], ends[j], plain(phones[i:j])) for w, i, j in row["words"])
            sounds = tuple(zip((phone.rstrip("012") for phone in phones), ends[1:], strict=True))
            words = tuple(word for word, *_ in row["words"])
            pieces.append(
                Piece(f"spoken {row['kind']}", words, plain(phones), (begin,), (ends[-1],), spans, sounds)
            )
            begin += ends[-1]
    return pieces, mels


def spoken(words: Iterable[str]) -> tuple[str, ...]:
    """Phones of words, as the dictionary has them."""
    return plain(phone for word in words for phone in text.pronounce(word))


def _load(file: Path) -> np.ndarray:
    from course_utils import audio

    return audio.load(file)


def faster(waveform: np.ndarray, rate: float) -> np.ndarray:
    """The waveform (time,) played `rate` times as fast, and as much higher."""
    if rate == 1:
        return waveform
    size = -(-len(waveform) // 4096) * 4096  # sizes that the Fourier transform is fast with
    short = round(size / rate / 128) * 128
    spectrum = np.fft.rfft(waveform, size)[: short // 2 + 1]
    return (np.fft.irfft(spectrum, short) * (short / size))[: round(len(waveform) * short / size)]


class Speech:
    """Pieces of speech and their log-mels, one behind the other: `mels` (frames, 80), float16.

    `sounds` (frames,) holds the class of the phone in each frame. With recordings and more speech (`real`, `extra`) the
    log-mels are kept in the cache. `said`: the folder of `python -m data.build.spoken`.
    """

    def __init__(
        self, split: str, extra: Path | None = None, rates: Sequence[float] = RATES, real: bool = True,
        said: Path | None = None,
    ):  # fmt: skip
        found = [(p, w) for p, w in sources(split, extra, real) if p.words and not _unclear(p.words)]
        name = fingerprint.digest(*(f"{p.source} {p.words} {p.spans}" for p, _ in found), str(rates))
        store = paths.cache_folder() / "mels" / f"{name}.npy" if real else None
        if store and store.exists():
            mels, lengths = np.load(store), np.load(store.with_suffix(".lengths.npy"))
        else:
            clips = tqdm(found, desc=f"log-mels, {split}", unit=" clips", delay=2)
            rows = [_log_mels(waveform(), rates) for _, waveform in clips]
            mels, lengths = (
                np.concatenate([mel for row in rows for mel in row]),
                np.array([[len(mel) for mel in row] for row in rows]),
            )
            if store:
                _keep(store, mels, lengths)
        starts = (np.cumsum(lengths) - lengths.ravel()).reshape(lengths.shape)
        self.pieces = [
            replace(piece, starts=tuple(map(int, start)), frames=tuple(map(int, length)))
            for (piece, _), start, length in zip(found, starts, lengths, strict=True)
        ]
        if said and split == "train":
            more, parts = by_synthesiser(said)
            self.pieces += [replace(piece, starts=(piece.starts[0] + len(mels),)) for piece in more]
            mels = np.concatenate([mels, *parts])
        self.mels, self.rates = torch.from_numpy(mels), tuple(rates)
        self.sounds = torch.full((len(self.mels),), UNKNOWN, dtype=torch.uint8)
        for piece in self.pieces:
            for start, length, rate in zip(piece.starts, piece.frames, self.rates_of(piece), strict=True):
                self.sounds[start : start + length] = torch.from_numpy(_each_frame(piece, length, rate))

    def rates_of(self, piece: Piece) -> tuple[float, ...]:
        """The rates at which a piece is kept."""
        return self.rates if len(piece.starts) == len(self.rates) else (1.0,)

    def of(self, *kinds: str) -> list[Piece]:
        """The pieces of some sources."""
        return [piece for piece in self.pieces if piece.source in kinds]

    def hours(self) -> dict[str, float]:
        """How much there is of each source, at rate 1."""
        total: dict[str, float] = {}
        for piece in self.pieces:
            frames = piece.frames[self.rates_of(piece).index(1.0)]
            total[piece.source] = total.get(piece.source, 0) + frames * FRAME / 57.6e6
        return {kind: round(value, 2) for kind, value in total.items()}


def _log_mels(waveform: np.ndarray, rates: Sequence[float]) -> list[np.ndarray]:
    return [features.log_mel(faster(waveform, rate)).astype(np.float16) for rate in rates]


def _keep(store: Path, mels: np.ndarray, lengths: np.ndarray) -> None:
    store.parent.mkdir(parents=True, exist_ok=True)
    np.save(store.with_suffix(".lengths.npy"), lengths)
    part = store.with_suffix(".part.npy")
    np.save(part, mels)
    part.replace(store)


def _each_frame(piece: Piece, length: int, rate: float) -> np.ndarray:
    """The class of the phone in each of `length` frames, 0 for pauses, `UNKNOWN` where the times are not known."""
    if not piece.sounds:
        return np.full(length, UNKNOWN, np.uint8)
    ends = np.round(np.array([end for _, end in piece.sounds]) / rate).astype(int)
    which = np.searchsorted(ends, np.arange(length), side="right").clip(max=len(ends) - 1)
    return np.array([PHONE_CLASS.get(phone, 0) for phone, _ in piece.sounds], np.uint8)[which]


def _unclear(words: Sequence[str]) -> bool:
    return any(re.search("[^a-z']", word) for word in words)


# --- batches -------------------------------------------------------------------------------------------


def part(piece: Piece, rate: int, speed: float, draw: random.Random) -> tuple[int, int, Sequence, Sequence]:
    """(first frame, end, words, phones) of a piece, or a run of its words: so they lose their usual neighbours."""
    if len(piece.starts) == 1:  # kept at one rate
        rate, speed = 0, 1.0
    start, end = piece.starts[rate], piece.starts[rate] + piece.frames[rate]
    n = len(piece.spans)
    if n < 2 or draw.random() > (0.75 if piece.source == "reader" else 0.25):
        return start, end, piece.words, piece.phones
    size = draw.randint(1 if piece.source == "reader" else 2, n)
    first = draw.randint(0, n - size)
    chosen = piece.spans[first : first + size]
    if first + size < n:
        end = min(end, start + round(chosen[-1][2] / speed))
    if first:
        start += round(chosen[0][1] / speed)
    words = " ".join(word for word, *_ in chosen).split()
    return start, end, words, [p for *_, phones in chosen for p in phones]


class Batch(NamedTuple):
    """Rows of equal length: log_mel (B, frames, 80), the words and phones of each, the class of the phone in each frame
    (B, frames) with 0 for pauses and `UNKNOWN` where only the order is known, and a length of chunk in steps."""

    log_mel: torch.Tensor
    words: list[tuple[str, ...]]
    phones: list[tuple[str, ...]]
    sounds: torch.Tensor
    chunk: int


class Batches:
    """Training batches by step, always the same.

    `shares` says how often a row is of which source ("synthetic+phrase": of either), `seconds` how much sound there
    is, `noises` (noises, frames, 80) are log-mels to be added.
    """

    def __init__(
        self, speech: Speech, shares: dict[str, float], noises: torch.Tensor | None = None,
        seconds: float = SECONDS, seed: int = 0, shapes: Sequence[int] = SHAPES, strength: float = 1.0,
    ):  # fmt: skip
        self.pools = {kind: speech.of(*kind.split("+")) for kind in shares}
        self.pools = {kind: pool for kind, pool in self.pools.items() if pool}
        self.shares = [shares[kind] for kind in self.pools]
        self.speech, self.noises, self.seconds, self.seed = speech, noises, seconds, seed
        self.shapes, self.strength = shapes, strength

    def __call__(self, step: int) -> Batch:
        """One batch; its rows are equally long."""
        draw = random.Random(f"{self.seed} {step}")
        frames = draw.choices(self.shapes, (0.5, 0.25, 0.25)[: len(self.shapes)])[0]
        rows = [self.row(frames, draw) for _ in range(max(1, round(self.seconds * 62.5 / frames)))]
        chance = torch.Generator().manual_seed(draw.getrandbits(60))
        mel, words, phones, sounds = zip(*rows, strict=True)
        mel = vary(torch.stack(mel), self.strength, chance, self.noises)
        return Batch(mel, list(words), list(phones), torch.stack(sounds), draw.choice(CHUNKS))

    def row(self, frames: int, draw: random.Random) -> tuple[torch.Tensor, tuple, tuple, torch.Tensor]:
        """Pieces with pauses between, the last 0.25 s one of them: log-mel (frames, 80), words, phones, class of each frame."""
        kind = draw.choices(list(self.pools), self.shares)[0]
        mel, classes = (
            torch.full((frames, features.N_MELS), Frontend.FLOOR),
            torch.zeros(frames, dtype=torch.uint8),
        )
        rate, last = draw.randrange(len(self.speech.rates)), frames - 16
        size = sum(frames >= shape for shape in SHAPES[1:])
        wanted = draw.randint(1, (7, 12, 18)[size] if kind == "digit" else (2, 4, 8)[size])
        at, words, phones = draw.choice((1, 3, 12, 30)), [], []
        for _ in range(wanted):
            for attempt in range(6):
                pool = self.pools[kind] if attempt < 3 or words else next(iter(self.pools.values()))
                start, end, said, sounds = part(draw.choice(pool), rate, self.speech.rates[rate], draw)
                if at + end - start <= last:
                    break
            else:
                break
            mel[at : at + end - start] = self.speech.mels[start:end] + draw.uniform(-0.2, 0.2)  # +-4 dB
            classes[at : at + end - start] = self.speech.sounds[start:end]
            at += end - start + draw.choice((0, 0, 3, 12, 30)) + draw.randint(0, 3)
            words += said
            phones += sounds
        return mel, tuple(words), tuple(phones), classes


def vary(
    mel: torch.Tensor, strength: float, chance: torch.Generator, noises: torch.Tensor | None = None
) -> torch.Tensor:
    """Other throats, rooms, microphones, telephones, noises and levels for log-mels (B, frames, 80) of clean speech.

    Powers of independent sounds add up in the mean, and so they are added here; an echo adds a share of what was
    heard before, dying away by 60 dB in 0.1 to 0.8 s.
    """
    b, n, m = mel.shape

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(*(shape or (b, 1, 1)), generator=chance)

    def sometimes(share):
        return (torch.rand(b, 1, 1, generator=chance) < share * strength).float()

    # a longer or shorter throat: all resonances move on the mel axis
    place = torch.arange(m) * (1 + strength * uniform(-0.09, 0.09)) + uniform(-1.5, 1.5) * strength
    place = place.clamp(0, m - 1.001)
    low = place.long()
    high = place - low
    mel = mel.gather(2, low.expand(b, n, m)).lerp(mel.gather(2, (low + 1).expand(b, n, m)), high)
    power = 10 ** (2 * mel)
    level = power.mean((1, 2), keepdim=True) + 1e-9
    other = power.roll(1, 0).roll(n // 3, 1) + power.roll(2, 0).roll(-n // 4, 1) * sometimes(0.5)
    power = power + sometimes(0.2) * other * level / (other.mean((1, 2), keepdim=True) + 1e-9) * 10 ** (
        -uniform(0.7, 2.5)
    )
    tail, decay = power, 10 ** (-6 * 0.016 / uniform(0.1, 0.8))  # a room
    for k in range(6):
        tail = tail + decay ** (2**k) * F.pad(tail, (0, 0, 2**k, 0))[:, :n]
    echo = sometimes(0.45) * 10 ** (-uniform(0.0, 1.8)) * (1 - decay)
    power = power + echo * F.pad(tail, (0, 0, 1, 0))[:, :n]
    if noises is not None:
        which = torch.randint(len(noises), (b,), generator=chance)
        when = torch.randint(noises.shape[1], (b, 1), generator=chance) + torch.arange(n)
        recorded = 10 ** (2 * noises[which[:, None], when % noises.shape[1]].float())
    slope = torch.linspace(0, 1, m) * uniform(-2.5, 0.5)
    hiss = 10 ** (slope + 0.2 * torch.randn(b, n, m, generator=chance))
    for sound, share in ((hiss, 0.6), (recorded, 0.5)) if noises is not None else ((hiss, 0.7),):
        scale = level / sound.mean((1, 2), keepdim=True) * 10 ** (-uniform(0.2, 3.5))  # 2 to 35 dB
        power = power + sometimes(share) * scale * sound
    # the microphone: a smooth curve of some 10 dB; the telephone: 0.3 to 3.4 kHz (mel 5 to 56)
    points = torch.randn(b, 1, 10, generator=chance) * uniform(0, 0.5) + torch.linspace(-1, 1, 10) * uniform(
        -0.8, 0.8
    )
    curve = F.interpolate(points, size=m, mode="linear", align_corners=True) * sometimes(0.7)
    mels = torch.arange(m)
    curve = curve - 6 * torch.sigmoid(2 * (mels - uniform(55, 62))) * sometimes(0.3)
    curve = curve - 3 * torch.sigmoid(2 * (uniform(1, 5) - mels)) * sometimes(0.3)
    loud = (
        10 ** (uniform(-38, -14) / 10) * 8 / level
    )  # a level of -26 dBFS has a mean power of 8 x 10^-2.6 here
    power = power * 10**curve * loud + 10 ** uniform(-9.0, -5.5)
    return hide(power.clamp(min=1e-10).log10() / 2, strength, chance)


def hide(mel: torch.Tensor, strength: float, chance: torch.Generator) -> torch.Tensor:
    """Blank out bands and moments of log-mels (B, frames, 80): SpecAugment (Park et al., 2019)."""
    b, n, m = mel.shape

    def holes(count, widest, size):
        width = torch.rand(b, count, 1, generator=chance) * widest * strength
        at = torch.rand(b, count, 1, generator=chance) * (size + widest) - widest
        return ((torch.arange(size) >= at) & (torch.arange(size) < at + width)).any(1)

    hidden = holes(2, 20, m)[:, None, :] | holes(max(1, n // 70), 16, n)[:, :, None]
    return mel.masked_fill(hidden, Frontend.MEAN)


def noise_mels(count: int, seed: int = 0) -> torch.Tensor:
    """Log-mels (noises, 501, 80) of 8 s of each of `count` noises: invented ones and the recordings of ESC-10."""
    sounds = [
        noise.generate(noise.TRAIN_TYPES[i % len(noise.TRAIN_TYPES)], 8, seed + i) for i in range(count // 2)
    ]
    recorded = [one.audio for one in data.real("esc10", "train")][: count - len(sounds)]
    sounds += [np.resize(sound[np.abs(sound) > 1e-4], 8 * 16000) for sound in recorded]
    return torch.from_numpy(np.stack([features.log_mel(np.float32(sound)) for sound in sounds])).half()


# --- losses --------------------------------------------------------------------------------------------


def spelled(words: Sequence[str], units: Sequence[str] = LETTERS) -> list[int] | None:
    """Classes of the units of a text: letters and spaces, or whole words; None where a word is not among them."""
    said = list(" ".join(words)) if " " in units else words
    place = {unit: i for i, unit in enumerate(units, 1)}
    return [place[one] for one in said] if all(one in place for one in said) else None


def ctc(log_probs: torch.Tensor, labels: Sequence[Sequence[int] | None]) -> torch.Tensor:
    """CTC loss of rows (B, n, classes) in nats per label; rows whose labels are None do not count."""
    known = [i for i, label in enumerate(labels) if label]
    if not known:
        return log_probs.sum() * 0
    lengths = torch.tensor([len(labels[i]) for i in known])
    target = torch.tensor([one for i in known for one in labels[i]])
    steps = torch.full((len(known),), log_probs.shape[1])
    losses = F.ctc_loss(
        log_probs[known].transpose(0, 1), target, steps, lengths, reduction="none", zero_infinity=True
    )
    return losses.sum() / lengths.sum()


def loss_fn(model: Recogniser, batch: Batch, phones: float = 0.3) -> torch.Tensor:
    """CTC of units and, with the weight `phones`, of phones."""
    with mixed(batch.log_mel.device):
        heard = model(batch.log_mel, chunk=batch.chunk)
    of_units = ctc(heard.units, [spelled(row, model.config.units) for row in batch.words])
    return (1 - phones) * of_units + phones * ctc(
        heard.phones, [[PHONE_CLASS[p] for p in row] for row in batch.phones]
    )


def frame_loss(log_probs: torch.Tensor, sounds: torch.Tensor, delay: int = 4) -> torch.Tensor:
    """Cross-entropy of phones (B, n, 40) against the class of each frame (B, 2n), heard `delay` frames later.

    Where the times are known, this teaches in minutes what CTC must first find out for itself.
    """
    later = F.pad(sounds.long(), (delay, 0))[:, : sounds.shape[1]][:, 1::2]
    losses = F.nll_loss(log_probs.transpose(1, 2), later, ignore_index=UNKNOWN, reduction="sum")
    return losses / (later != UNKNOWN).sum().clamp(min=1)


def halves(device: torch.device) -> bool:
    """Whether bfloat16 is fast there: on GPUs, and on processors with units for it; others only imitate it."""
    return device.type != "cpu" or torch.cpu._is_amx_tile_supported()


def mixed(device: torch.device) -> torch.autocast:
    """bfloat16 where it is fast."""
    return torch.autocast(device.type, torch.bfloat16, enabled=halves(device))


# --- the optimiser -------------------------------------------------------------------------------------


class MuonAdamW(torch.optim.AdamW):
    """AdamW, and for groups with "muon": momentum whose update is made orthogonal (Jordan, 2024).

    `matrices` are matrices of layers, `others` the rest. Equal shapes are done at once, in bfloat16 if `half`.
    """

    def __init__(
        self,
        matrices: list[nn.Parameter],
        others: list[nn.Parameter],
        muon: float,
        adam: float,
        half: bool = True,
    ):
        self.half = half
        groups = [{"params": matrices, "muon": True, "peak_lr": muon, "weight_decay": 0.1}]
        groups += [{"params": [p for p in others if p.ndim > 1], "muon": False, "peak_lr": adam}]
        groups += [
            {"params": [p for p in others if p.ndim < 2], "muon": False, "peak_lr": adam, "weight_decay": 0}
        ]
        super().__init__([g for g in groups if g["params"]], lr=adam, betas=(0.9, 0.98), weight_decay=0.02)

    def __setstate__(self, state: dict) -> None:
        # AdamW's own way back wants a count of steps for Muon's parameters, too.
        torch.optim.Optimizer.__setstate__(self, state)

    @torch.no_grad()
    def step(self, closure=None):
        """One step of all groups."""
        groups = self.param_groups
        for group in groups:
            if group["muon"]:
                self._orthogonal(group)
        try:
            self.param_groups = [group for group in groups if not group["muon"]]
            return super().step(closure)
        finally:
            self.param_groups = groups

    def _orthogonal(self, group: dict) -> None:
        shapes: dict[tuple, list] = {}
        for p in group["params"]:
            if p.grad is not None:  # a part of the model that was not used
                shapes.setdefault(tuple(p.shape), []).append(p)
        for (rows, columns), same in shapes.items():
            gradient = torch.stack([p.grad for p in same])
            mean = torch.stack([self.state[p].setdefault("mean", torch.zeros_like(p)) for p in same])
            mean.lerp_(gradient, 0.05)
            for p, one in zip(same, mean, strict=True):
                self.state[p]["mean"].copy_(one)
            u = gradient.lerp(mean, 0.95)
            u = u.bfloat16() if self.half else u
            u = u if rows <= columns else u.mT
            u = u / (u.norm(dim=(1, 2), keepdim=True) + 1e-7)
            for _ in range(5):  # Newton-Schulz: all singular values go to about 1
                s = u @ u.mT
                u = 3.4445 * u + (-4.7750 * s + 2.0315 * s @ s) @ u
            u = (u if rows <= columns else u.mT).float() * max(1, rows / columns) ** 0.5
            torch._foreach_mul_(same, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_sub_(same, list((group["lr"] * u).unbind(0)))


def optimiser(model: Recogniser, muon: float = 0.02, adam: float = 1e-3) -> MuonAdamW:
    """Muon for the matrices of the blocks, AdamW for the rest."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    own = set(matrices)
    others = [p for p in model.parameters() if p not in own]
    return MuonAdamW(matrices, others, muon, adam, half=halves(matrices[0].device))


# --- the shipped checkpoint ----------------------------------------------------------------------------


def greedy(log_probs: torch.Tensor, units: Sequence[str]) -> str:
    """Text of the best classes of (n, classes): repetitions merge, blanks go."""
    best = torch.unique_consecutive(log_probs.argmax(-1)).tolist()
    said = [units[i - 1] for i in best if i]
    return " ".join("".join(said).split() if " " in units else said)


def validation(
    speech: Speech, count: int = 48, phrases: bool = False
) -> Callable[[nn.Module], dict[str, float]]:
    """A function that measures WER in % on unseen voices, and on readers against what another recogniser heard."""
    from course_utils import metrics  # and with it jiwer, which a machine for training may lack

    sets = {"synthetic": speech.of("phrase") if phrases else speech.of("synthetic", "phrase")}
    if not phrases:
        sets["readers"] = speech.of("reader")
    sets = {name: random.Random(1).sample(pool, min(count, len(pool))) for name, pool in sets.items()}

    def evaluate(model: nn.Module) -> dict[str, float]:
        errors = {}
        for name, pieces in sets.items():
            texts = []
            for piece in pieces:
                mel = speech.mels[piece.starts[0] : piece.starts[0] + piece.frames[0]].float()
                mel = F.pad(mel, (0, 0, 0, 30), value=Frontend.FLOOR)[None].to(model.head.weight.device)
                with torch.inference_mode():
                    texts.append(greedy(model(mel).units[0], model.config.units))
            said = [" ".join(piece.words) for piece in pieces]
            errors[f"WER {name}"] = 100 * metrics.wer(said, texts)
        return errors

    return evaluate


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "recognition",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
    begin: str | None = None,
    extra: str | None = None,
) -> Recogniser:
    """Train the checkpoint and save it as `name` with its card; `state` is a file to resume from.

    `begin` is a checkpoint to start from (at a twelfth of the rate: a third undoes what it knows, see the card), `extra` the folder of more speech
    that `course build-speech` has made; None: the cache, where something is there. What `python -m data.build.spoken` has
    made is looked for in the cache, too.
    """
    language_of("recognition")  # before hours are spent that could not be saved
    torch.manual_seed(seed)
    model = Recogniser(SHIPPED)
    if begin:
        there = checkpoints.read(Path(begin) if "/" in begin else begin)[1]
        model.load_state_dict({k: v for k, v in there.items() if not k.startswith("language.")})
    more = Path(extra) if extra else paths.cache_folder() / "speech"
    speech, valid = Speech("train", more, said=paths.cache_folder() / "spoken"), Speech("valid", rates=(1.0,))
    print(speech.hours(), flush=True)
    batches = Batches(speech, SHARES, noise_mels(240, seed), seed=seed)

    def alone(step: int) -> Batch:
        torch.set_num_threads(1)  # of this thread alone: else it and the model wait for each other
        return batches(step)

    history = training.fit(
        model, training.ahead(alone), loss_fn, steps or STEPS, schedule=training.plateau, clip=5.0, ema=0.999,
        optimizer=optimiser(model, *((0.0025, 1.25e-4) if begin else (0.03, 2e-3))),
        evaluate=validation(valid), every=500, state=state, save_every=250, seed=seed, title="recognition",
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    text = checkpoints.card(
        "recognition",
        "Writes English while it is said, with a lexicon and a language model of words; "
        "`course_utils.models.recognition_words.LexiconRecogniser`.",
        data=f"hours of each source: {speech.hours()}; synthetic voices of `data/speech` and of `course build-speech`, "
        "readers of LibriSpeech (CC BY 4.0; words heard by Whisper tiny.en), digits of three speakers (FSDD, CC BY-SA "
        "4.0), noises of ESC-10 (CC BY 3.0), sentences and phrases that the synthesiser says (`python -m data.build.spoken`); "
        "varied in voice, room, microphone, noise",
        seed=seed, history=history, metrics={}, limits="English, one talker; writes words of its lexicon alone",
    )  # fmt: skip
    whole, config = with_language(model)
    if measure:
        text += "".join(f"| {what} | {figure} |\n" for what, figure in measure(whole).items())
    checkpoints.save(name, whole, config, text, bits=8)
    return whole


def language_of(name: str | Path) -> tuple[dict, dict[str, torch.Tensor]]:
    """Configuration and tensors of the lexicon and language model in a checkpoint.

    Raises:
        CheckpointError: there is no such checkpoint, or none with a language model in it, and how one is made.
    """
    try:
        document, tensors = checkpoints.read(name)
        found = document["config"]["language"]
    except (checkpoints.CheckpointError, KeyError) as error:
        why = f"it has no {error} in its config" if isinstance(error, KeyError) else str(error)
        raise checkpoints.CheckpointError(
            f"the lexicon and language model are taken from the checkpoint {str(name)!r}, and that can not be done: {why}. "
            "Restore it with `git checkout -- data/checkpoints`, or make them anew: "
            "`python -m data.build.language NETWORK OUT` puts them into any trained `Recogniser`"
        ) from error
    return found, {key: value for key, value in tensors.items() if key.startswith("language.")}


def with_language(network: Recogniser, name: str | Path = "recognition") -> tuple[LexiconRecogniser, dict]:
    """The network with the lexicon and language model of a checkpoint (see `language_of`), and its config."""
    language, tensors = language_of(name)
    config = {"network": asdict(network.config), "language": language}
    whole = LexiconRecogniser.from_config(config)
    whole.load_state_dict({**network.state_dict(), **tensors})
    return whole, config


# --- one's own voice -----------------------------------------------------------------------------------


def adapt_last_layer(
    model: Recogniser, recordings: Sequence[tuple[np.ndarray, str]], steps: int = 60
) -> Recogniser:
    """A copy of `model` whose last layer has learnt from (waveform (time,), text); the rest is frozen."""
    from course_utils import metrics

    adapted, hidden = copy.deepcopy(model).eval(), []
    hook = adapted.head.register_forward_pre_hook(lambda _, inputs: hidden.append(inputs[0]))
    for waveform, _ in recordings:
        adapted.hear(waveform)
    hook.remove()
    hidden = [h.clone() for h in hidden]  # (1, steps of the recording, dim) each: they never change
    labels = [[spelled(metrics.normalise(said).split(), model.config.units)] for _, said in recordings]
    optimizer = torch.optim.AdamW(adapted.head.parameters(), lr=1e-3, weight_decay=0.0)
    for _ in range(steps):
        losses = [
            ctc(adapted.head(h).log_softmax(-1), label) for h, label in zip(hidden, labels, strict=True)
        ]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
    return adapted
