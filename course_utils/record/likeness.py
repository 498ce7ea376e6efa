"""How like a voice a copy of it is: two judges, the nearest voice that was known before, and the share of the gap."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load_file, save_file
from tqdm.auto import tqdm

from course_utils import audio, checkpoints, data, fingerprint, paths, peers
from course_utils.record.entry import load

JUDGES = {"resemblyzer": "Resemblyzer", "encoder": "our encoder"}
"""Both judge; neither had a part in making the synthesiser, which hears voices by an encoder of its own."""
CLIPS = 3
"""Clips by which a known voice is described."""
PIECE = 4 * paths.SAMPLE_RATE
"""Of a reader of whom there is one recording, pieces of it are taken, of at most this many samples."""


def judges() -> list[str]:
    """Names of the judges that are here."""
    here = ["resemblyzer"] if peers.Resemblyzer().available() else []
    return [*here, *(["encoder"] if "speaker_encoder" in checkpoints.available() else [])]


@cache
def ear(judge: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function waveform (time,) -> embedding (dim,) of length 1, of one of `JUDGES`.

    Raises:
        ValueError: there is no such judge.
        MissingPeer, CheckpointError: it is not here.
    """
    if judge not in JUDGES:
        raise ValueError(f"there is no judge {judge!r}; there are {', '.join(JUDGES)}")
    return peers.Resemblyzer().embed if judge == "resemblyzer" else load("speaker_encoder").embed


def middle(embeddings: np.ndarray) -> np.ndarray:
    """The mean (dim,) of embeddings (clips, dim), of length 1."""
    mean = np.mean(embeddings, axis=0)
    return mean / np.linalg.norm(mean)


# --- voices that were known before ---------------------------------------------------------------------


class Known(NamedTuple):
    """Voices that some part of the course has learnt from: `names` (n), and the embeddings (n, `CLIPS`, dim) of clips."""

    names: tuple[str, ...]
    clips: np.ndarray

    def nearest(self, target: np.ndarray) -> int:
        """Number of the voice whose mean is most like an embedding (dim,)."""
        means = self.clips.mean(1)
        return int(np.argmax(means @ target / np.linalg.norm(means, axis=1)))


@cache
def known(judge: str, named: bool = False) -> Known:
    """All voices in training that are on this machine, or with `named` only the 48 that the synthesiser has names for.

    All: also the voices that `course build-speech` has made in the cache, and the training readers of LibriSpeech.
    What is not here is not counted, and the nearest voice is then less near: a record says how many there were.
    """
    sources = dict(_named())
    if not named:
        sources |= {**dict(_made()), **dict(_readers())}
    key = fingerprint.digest(judge, list(sources), _key(judge))
    file = paths.cache_folder() / "cloning" / f"{key}.safetensors"
    if not file.exists():
        found = [
            [ear(judge)(clip) for clip in clips()]
            for clips in tqdm(sources.values(), f"known voices, {JUDGES[judge]}", delay=2)
        ]
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({"clips": np.array(found, dtype=np.float32)}, file)
    return Known(tuple(sources), load_file(file)["clips"])


def _key(judge: str) -> Any:
    return checkpoints.read("speaker_encoder")[0]["sha256"] if judge == "encoder" else "peer"


_Clips = Callable[[], list[np.ndarray]]


def _named() -> Iterator[tuple[str, _Clips]]:
    for voice in data.voices("train"):
        own = data.speech("train", voice.name, "sentence")[:CLIPS]
        yield voice.name, lambda own=own: [one.audio for one in own]


def _made() -> Iterator[tuple[str, _Clips]]:
    for index in sorted((paths.cache_folder() / "speech").glob("*/index.jsonl")):
        rows = [json.loads(line) for line in index.read_text(encoding="utf-8").splitlines()][:CLIPS]
        if len(rows) == CLIPS:
            files = [next(index.parent.glob(f"{row['id']}.*")) for row in rows]
            yield rows[0]["voice"], lambda files=files: [audio.load(file) for file in files]


def _readers() -> Iterator[tuple[str, _Clips]]:
    try:
        found = data.real("librispeech", "train")
    except data.DataError:  # a download; the record says how many voices were known
        return
    for one in found:
        if one.duration * paths.SAMPLE_RATE >= CLIPS * paths.SAMPLE_RATE:
            yield f"reader {one.speaker}", lambda one=one: pieces(one.audio)


def pieces(waveform: np.ndarray) -> list[np.ndarray]:
    """`CLIPS` pieces of a waveform (time,), evenly spread, each of at most four seconds."""
    size = min(PIECE, len(waveform) // CLIPS)
    starts = np.linspace(0, len(waveform) - size, CLIPS).astype(int)
    return [waveform[start : start + size] for start in starts]


# --- the share of the gap ------------------------------------------------------------------------------


def cosines(
    judge: str, target: np.ndarray, recordings: Sequence[np.ndarray], copies: Sequence[np.ndarray]
) -> tuple[list[float], list[float]]:
    """Cosines of recordings and of copies (each a list of waveforms) to the embedding (dim,) of a voice."""
    hear = ear(judge)
    return [float(hear(x) @ target) for x in recordings], [float(hear(x) @ target) for x in copies]


def share_of_gap(clone: Iterable[float], nearest: Iterable[float], same: Iterable[float]) -> float:
    """`(clone - nearest) / (same - nearest)` of means over clips: 1 as like as a recording, 0 no better than the nearest."""
    copied, near, own = (float(np.mean(list(values))) for values in (clone, nearest, same))
    return (copied - near) / (own - near) if own != near else float("nan")


def gap_interval(
    rows: Sequence[dict[str, Any]], judge: str, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Share of the gap with its 95 % bootstrap interval, whole voices drawn: (share, low, high).

    A row has "voice" and `clone_`, `nearest_` and `same_` with the name of the judge behind it. With one voice there
    is no interval.
    """
    voices = list(dict.fromkeys(row["voice"] for row in rows))
    place = np.array([voices.index(row["voice"]) for row in rows])
    clone, nearest, same = (
        np.array([row[f"{kind}_{judge}"] for row in rows]) for kind in ("clone", "nearest", "same")
    )
    over, under = (np.bincount(place, values - nearest) for values in (clone, same))
    share = float(over.sum() / under.sum()) if under.sum() else float("nan")
    if len(voices) < 2:
        return share, float("nan"), float("nan")
    draws = np.random.default_rng(seed).multinomial(
        len(voices), np.full(len(voices), 1 / len(voices)), resamples
    )
    whole = draws @ under
    shares = (draws @ over)[whole > 0] / whole[whole > 0]
    if not len(shares):  # the nearest known voice is as near as the voice itself: there is no gap to recover
        return share, float("nan"), float("nan")
    low, high = np.quantile(shares, [0.025, 0.975])
    return share, float(low), float(high)
