"""How well speaker encoders tell voices apart: equal error rates on fixed segments, with intervals over speakers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from scipy.fft import dct

from course_utils import data, features, fingerprint, metrics, peers
from course_utils.models.speaker_encoder import SpeakerConfig, SpeakerEncoder
from course_utils.paths import SAMPLE_RATE
from course_utils.recipes import speaker_encoder as recipe
from course_utils.record.entry import OURS, load
from course_utils.record.grids import seed_of

GRIDS: dict[str, tuple[str, tuple[float, ...], str]] = {
    "encoder: real readers, every segment degraded on its own": ("readers", (1.0, 2.0, 4.0), "degraded"),
    "encoder: real readers, clean": ("readers", (1.0, 2.0, 4.0), "clean"),
    "encoder: unseen virtual voices, noise and room": ("voices", (1.0,), "noise and room"),
    "encoder: unseen virtual voices, clean": ("voices", (1.0,), "clean"),
}
"""Grid: who speaks, seconds of a segment, and what happens to it."""
MOST = 6
"""Segments of a voice."""
DRAWS = 300
PEER, MFCC, CONTROL = "Resemblyzer", "MFCC statistics", "untrained network (control)"
SYSTEMS = (OURS, PEER, MFCC, CONTROL)


@dataclass(frozen=True)
class Material:
    """Segments (n, time) of equal length, who speaks in each, and the sex of that voice ("f", "m")."""

    waveforms: np.ndarray
    speakers: tuple[str, ...]
    sexes: tuple[str, ...]

    def key(self) -> str:
        """Fingerprint."""
        return fingerprint.digest(self.waveforms.tobytes(), self.speakers)


def _people(who: str) -> list[tuple[str, str, np.ndarray]]:
    """(name, sex, speech (time,)) of everybody in a test set."""
    if who == "voices":
        said = {v: data.speech(voice=v.name, kind="sentence")[:12] for v in data.voices("test")}
        return [(v.name, v.sex, np.concatenate([one.audio for one in own])) for v, own in said.items()]
    try:  # 51 readers where the recordings are on this machine, else the 24 that come with the course
        readers = data.real("librispeech", "test", complete=True)
    except data.DataError:
        readers = data.real("librispeech", "test")
    return [(str(one.speaker), one.sex or "", one.audio) for one in readers]


@cache
def material(grid: str, seconds: float) -> Material:
    """The segments of a grid, always the same: up to `MOST` of a voice, which do not overlap.

    Every segment is degraded on its own, so that two segments of one recording share neither noise nor room.
    """
    who, _, what = GRIDS[grid]
    found = [
        (name, sex, cut)
        for name, sex, speech in _people(who)
        for cut in recipe.segments(speech, seconds, MOST, seed_of(name))
    ]
    order = np.random.default_rng(seed_of(grid)).permutation(
        len(found)
    )  # babble of others, not of neighbours
    found = [found[i] for i in order]
    x = torch.from_numpy(np.stack([cut for *_, cut in found]).astype(np.float32))
    change = {"clean": lambda x, _: x, "degraded": recipe.degrade, "noise and room": recipe.noise_and_room}[
        what
    ]
    generator = torch.Generator().manual_seed(seed_of(grid, seconds))
    x = torch.cat([change(part, generator) for part in x.split(64)]).numpy()
    x = 0.5 * x / np.abs(x).max(1, keepdims=True)  # one full scale for all systems
    return Material(x, tuple(name for name, *_ in found), tuple(sex for _, sex, _ in found))


# --- systems -------------------------------------------------------------------------------------------


@torch.inference_mode()
def embedded(encoder: torch.nn.Module, waveforms: np.ndarray) -> np.ndarray:
    """Voices (n, dim) of segments (n, time) by a network that maps log_mel (B, T, 80) to (B, dim)."""
    encoder.eval()
    parts = torch.from_numpy(waveforms).split(32)
    return torch.cat([encoder(features.log_mel(part)) for part in parts]).numpy()


def mfcc_statistics(waveforms: np.ndarray) -> np.ndarray:
    """Means and deviations over time of 19 cepstral coefficients: (n, time) -> (n, 38); volume, the first one, is left out."""
    log_mel = features.log_mel(np.asarray(waveforms, np.float32))
    log_mel = np.maximum(log_mel, log_mel.max((1, 2), keepdims=True) - 3.5)
    cepstrum = dct(log_mel, axis=-1, norm="ortho")[..., 1:20]
    return np.concatenate([cepstrum.mean(1), cepstrum.std(1)], 1)


@cache
def _usual() -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the statistics over the training voices."""
    cuts = [
        cut
        for v in data.voices("train")
        for cut in recipe.segments(data.speech(voice=v.name, kind="sentence")[0].audio, 1.0, 2)
    ]
    found = mfcc_statistics(np.stack(cuts))
    return found.mean(0), found.std(0)


def by_mfcc(waveforms: np.ndarray) -> np.ndarray:
    """The statistics (n, 38) as voices of length 1: each number in deviations from its mean over the training voices."""
    mean, deviation = _usual()
    found = (mfcc_statistics(waveforms) - mean) / deviation
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def by_resemblyzer(waveforms: np.ndarray) -> np.ndarray:
    """Voices (n, 256); where its trimming of pauses leaves nothing, the segment is given loud and whole."""
    peer, found = peers.Resemblyzer(), []
    for waveform in waveforms:
        try:
            found.append(peer.embed(waveform))
        except ValueError:  # no speech was found
            found.append(np.full(256, 1 / 16, np.float32))
    return np.stack(found)


@cache
def untrained() -> SpeakerEncoder:
    """The control: the network as it is before training."""
    torch.manual_seed(0)
    return SpeakerEncoder(SpeakerConfig()).eval()


def system(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function from segments (n, time) to voices (n, dim) of one of `SYSTEMS`."""
    return {
        OURS: lambda x: embedded(load("speaker_encoder"), x),
        PEER: by_resemblyzer,
        MFCC: by_mfcc,
        CONTROL: lambda x: embedded(untrained(), x),
    }[name]


def one_recording(said: Material) -> np.ndarray:
    """The segments (n, time) of `said` as if each speaker had been recorded once: one noise and room for each."""
    number = {name: i for i, name in enumerate(dict.fromkeys(said.speakers))}
    found = [
        recipe.noise_and_room(torch.from_numpy(x[None]), torch.Generator().manual_seed(900 + number[who]))
        for x, who in zip(said.waveforms, said.speakers, strict=True)
    ]
    return torch.cat(found).numpy()


# --- equal error rates ---------------------------------------------------------------------------------


class Pairs:
    """All pairs of segments; a bootstrap over speakers weighs them, so that the scores are sorted once.

    `keep`: "" for all pairs, "same sex" for impostors of the same sex, "f" or "m" for pairs within one sex.
    """

    def __init__(self, speakers: Sequence[str], sexes: Sequence[str], keep: str = ""):
        names = {name: i for i, name in enumerate(dict.fromkeys(speakers))}
        number, sex = np.array([names[name] for name in speakers]), np.array(sexes)
        i, j = np.triu_indices(len(number), 1)
        wanted = np.ones(len(i), bool)
        if keep:
            wanted = sex[i] == sex[j] if keep == "same sex" else (sex[i] == keep) & (sex[j] == keep)
        self.i, self.j, self.n = i[wanted], j[wanted], len(names)
        self.first, self.second = number[self.i], number[self.j]
        self.same = self.first == self.second

    def scores(self, voices: np.ndarray) -> np.ndarray:
        """Cosines (pairs,) of voices (n, dim) of length 1."""
        return np.einsum("ij,ij->i", voices[self.i], voices[self.j])

    def eer(self, voices: np.ndarray) -> float:
        """Equal error rate in %."""
        scores = self.scores(voices)
        return 100 * metrics.eer(scores[self.same], scores[~self.same])[0]

    def draws(self, voices: np.ndarray, count: int = DRAWS, seed: int = 5) -> np.ndarray:
        """Equal error rates in % (count,) for speakers drawn with replacement; the same draws for every encoder."""
        order = np.argsort(self.scores(voices), kind="stable")
        first, second, same = self.first[order], self.second[order], self.same[order]
        rng, found = np.random.default_rng(seed), []
        for _ in range(count):
            times = np.bincount(rng.integers(0, self.n, self.n), minlength=self.n).astype(float)
            # A pair of one speaker counts as often as that speaker was drawn; another one as often as both met.
            weight = np.where(same, times[first], times[first] * times[second])
            missed = np.cumsum(weight * same) / max(1e-9, np.sum(weight * same))
            passed = 1 - np.cumsum(weight * ~same) / max(1e-9, np.sum(weight * ~same))
            at = np.argmin(np.abs(missed - passed))
            found.append(50 * (missed[at] + passed[at]))
        return np.array(found)

    def interval(self, voices: np.ndarray) -> list[float]:
        """[EER, low, high] in %, 95 %."""
        return [round(self.eer(voices), 2), *_ends(self.draws(voices))]


def _ends(draws: np.ndarray) -> list[float]:
    return [round(float(value), 2) for value in np.percentile(draws, [2.5, 97.5])]


# --- probabilities -------------------------------------------------------------------------------------


def _weights(same: np.ndarray) -> np.ndarray:
    """Of pairs (n,), so that same and different speakers have half of the weight each."""
    return np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())


def calibrate(scores: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """Logistic regression: a and b of p = 1 / (1 + exp(-(a score + b))) for scores (n,) and who is the same (n,)."""
    x, y, w = (torch.from_numpy(np.asarray(v, np.float64)) for v in (scores, same, _weights(same)))
    numbers = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([numbers], max_iter=100, line_search_fn="strong_wolfe")

    def misfit() -> torch.Tensor:
        optimizer.zero_grad()
        logits = numbers[0] * x + numbers[1]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, w, reduction="sum")
        loss.backward()
        return loss

    optimizer.step(misfit)
    return tuple(numbers.tolist())


def reliability(probability: np.ndarray, same: np.ndarray, bins: int = 5) -> tuple[np.ndarray, float]:
    """Points (at most `bins`, 2), mean probability and share of the same speaker in each bin; mean distance of the two."""
    weights, found, error = _weights(same), [], 0.0
    which = np.minimum((probability * bins).astype(int), bins - 1)
    for k in np.unique(which):
        rows = which == k
        point = [np.average(v[rows], weights=weights[rows]) for v in (probability, same)]
        error += weights[rows].sum() * abs(point[0] - point[1])
        found.append(point)
    return np.array(found), float(error)


def measure(
    grid: str, name: str, embed: Callable[[np.ndarray], np.ndarray] | None = None
) -> dict[str, dict[str, Any]]:
    """One system on one grid: {"1 s": {"eer": [%, low, high], "same_sex", "women", "men": %, "ahead": [%, low, high]}}.

    "ahead" is how many points its EER lies below Resemblyzer's on the same segments and the same draws of speakers; it is
    missing for Resemblyzer itself, and where that is not installed.

    Args:
        grid: of `GRIDS`.
        name: of `SYSTEMS`, or any with `embed`.
        embed: another function from segments (n, time) to voices (n, dim) of length 1.
    """
    embed, found = embed or system(name), {}
    for seconds in GRIDS[grid][1]:
        said = material(grid, seconds)
        voices = embed(said.waveforms)
        pairs = Pairs(said.speakers, said.sexes)
        row = {"speakers": pairs.n, "segments": len(said.speakers), "eer": pairs.interval(voices)}
        for label, keep in (("same_sex", "same sex"), ("women", "f"), ("men", "m")):
            row[label] = round(Pairs(said.speakers, said.sexes, keep).eer(voices), 2)
        if name != PEER and peers.Resemblyzer().available():
            theirs = _peer(grid, seconds)
            ahead = pairs.draws(theirs) - pairs.draws(voices)
            row["ahead"] = [round(pairs.eer(theirs) - row["eer"][0], 2), *_ends(ahead)]
        found[f"{seconds:g} s"] = row
    return found


@cache
def _peer(grid: str, seconds: float) -> np.ndarray:
    return by_resemblyzer(material(grid, seconds).waveforms)


def rung_figures(model: torch.nn.Module) -> dict[str, float]:
    """EER in % of a rung of the ladder on segments of one second with their own noise and room."""
    said = material("encoder: unseen virtual voices, noise and room", 1.0)
    return {"eer": Pairs(said.speakers, said.sexes).eer(embedded(model, said.waveforms))}


def key(grid: str) -> str:
    """Fingerprint of the material of a grid and of the code that measures on it."""
    return fingerprint.digest(*(material(grid, seconds).key() for seconds in GRIDS[grid][1]), DRAWS, MOST)


def cost(model: SpeakerEncoder, seconds: float = 4.0) -> dict[str, float]:
    """Parameters in millions, and seconds of computing for a second of sound on one thread (PyTorch)."""
    waveform = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rtf = metrics.real_time_factor(model.embed, waveform, processor=True)
    finally:
        torch.set_num_threads(threads)
    return {"parameters": sum(p.numel() for p in model.parameters()) / 1e6, "rtf": rtf}
