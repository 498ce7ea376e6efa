"""Where each word or phone of a known text is: forced alignment by torchaudio on what a recogniser hears."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from course_utils import features, text
from course_utils.decoding.partial import STEP_SECONDS
from course_utils.waveform import check

EMISSION_DELAY = 0.09
"""Seconds by which the recogniser of notebook 03 writes a phone after its middle, with chunks of 640 ms: the median
over training voices of the corpus."""
PAUSE_SECONDS = 0.12
"""Quiet between two words that is longer is a pause: the silence inside of a stop is shorter."""
UNIT_SECONDS = 0.025
_FRAME_SECONDS = features.HOP_LENGTH / features.SAMPLE_RATE
_QUIET_DB, _QUIET_SHARE = 35, 0.3
_PHONES = sorted({phone.rstrip("012") for phone in text.PHONES} - {"sil"})


def word_edges(model: Any, waveform: np.ndarray, words: Sequence[str], chunk_ms: int = 160) -> np.ndarray:
    """Seconds (words, 2) at which each word's first letter comes and its last one ends, by a recogniser of letters.

    Raises:
        ValueError: a letter that is no unit of the model.
    """
    import torchaudio

    place = {unit: i for i, unit in enumerate(model.config.units, 1)}
    said = " ".join(words)
    if unknown := set(said) - set(place):
        raise ValueError(f"words: {sorted(unknown)} are no units of this recogniser")
    log_probs = model.hear(waveform, chunk_ms).units
    path, scores = torchaudio.functional.forced_align(
        log_probs, torch.tensor([[place[letter] for letter in said]]), blank=0
    )
    spans, edges, at = torchaudio.functional.merge_tokens(path[0], scores[0].exp()), [], 0
    for word in words:
        edges.append((spans[at].start, spans[at + len(word) - 1].end))
        at += len(word) + 1  # and the space
    return STEP_SECONDS * np.array(edges, dtype=float).reshape(-1, 2)


class PhoneCentres(NamedTuple):
    """Seconds (n,) at which each phone that is no "sil" is written, and how probable it was there (n,), 0 to 1."""

    seconds: np.ndarray
    scores: np.ndarray


def phone_centres(model: Any, waveform: np.ndarray, phones: Sequence[str]) -> PhoneCentres:
    """When a recogniser writes each phone of `phones` in a waveform (time,); "sil" is what its blank is for.

    The times are late by `EMISSION_DELAY`.

    Raises:
        ValueError: an unknown phone, nothing but "sil", or more phones than the recogniser has steps of 32 ms.
        AudioError: not mono, or not finite numbers.
    """
    import torchaudio

    if unknown := set(phones) - set(text.PHONES) - set(_PHONES):
        raise ValueError(
            f"phones: {sorted(unknown)} are not among text.PHONES; text.spoken makes them of a text"
        )
    classes = [1 + _PHONES.index(phone.rstrip("012")) for phone in phones if phone != "sil"]
    log_probs = model.hear(check(waveform), 640).phones
    needed = len(classes) + sum(a == b for a, b in pairwise(classes))
    if not classes or needed > log_probs.shape[1]:
        raise ValueError(
            f"phones: {len(classes)} phones need {needed} steps of 32 ms, and {len(waveform) / features.SAMPLE_RATE:.2f} s "
            f"give {log_probs.shape[1]}; expected at least one phone, and the text of this recording"
        )
    path, scores = torchaudio.functional.forced_align(log_probs, torch.tensor([classes]), blank=0)
    spans = torchaudio.functional.merge_tokens(path[0], scores[0].exp())
    middle = [STEP_SECONDS * (span.start + span.end) / 2 for span in spans]
    return PhoneCentres(np.array(middle), np.array([span.score for span in spans]))


def phone_durations(
    model: Any, waveform: np.ndarray, phones: Sequence[str], delay: float = EMISSION_DELAY
) -> np.ndarray:
    """Frames of the log-mel (16 ms) that each phone of `phones` lasts (P,) in a waveform (time,), at least one each.

    Their sum is the number of frames, 1 + time // 256. Between two phones the edge is halfway from centre to centre;
    a "sil" is the longest quiet run between its neighbours. Raises as `phone_centres`, and ValueError where there are
    more phones than frames.
    """
    centres = phone_centres(model, waveform, phones).seconds - delay
    edges = _edges(phones, centres, _quiet(waveform))
    # frame i is about the time i * 16 ms: the first that is not before the edge
    return whole(np.ceil(edges / _FRAME_SECONDS - 1e-6), 1 + len(waveform) // features.HOP_LENGTH)


class Aligned(NamedTuple):
    """Speech with times as the corpus has them.

    `phones` with "sil" at both ends and at pauses, `durations` in units of 25 ms, `words` as (word, first phone, end),
    and `score`: the mean probability of the phones, 0 to 1.
    """

    phones: list[str]
    durations: list[int]
    words: list[tuple[str, int, int]]
    score: float


def align_words(model: Any, waveform: np.ndarray, words: str, delay: float = EMISSION_DELAY) -> Aligned:
    """Phones, pauses and their durations of a waveform (time,) in which `words` are said.

    Punctuation counts for nothing: a pause is where it is quiet between two words. The durations add up to
    time // 400: a waveform cut to a multiple of 400 samples is exactly as long. Raises as `phone_durations`.
    """
    phones, places = text.spoken(words)
    if not places:
        raise ValueError(f"words: there is nothing to say in {words!r}")
    heard, quiet = phone_centres(model, waveform, phones), _quiet(waveform)
    centres, said, found, count = heard.seconds - delay, ["sil"], [], 0
    for word, first, end in places:
        begin, stop = _longest_run(quiet, *centres[count - 1 : count + 1]) if count else (0, 0)
        said += ["sil"] if stop - begin >= PAUSE_SECONDS else []
        found.append((word, len(said), len(said) + end - first))
        said += phones[first:end]
        count += end - first
    said.append("sil")
    units = np.round(_edges(said, centres, quiet) / UNIT_SECONDS)
    total = int(len(waveform) // (UNIT_SECONDS * features.SAMPLE_RATE))
    return Aligned(said, whole(units, total).tolist(), found, float(heard.scores.mean()))


def whole(edges: np.ndarray, total: int) -> np.ndarray:
    """Durations (P,) of at least 1 that add up to `total`, with edges as near as that allows to `edges` (P + 1,).

    Raises:
        ValueError: more parts than `total`.
    """
    place = np.arange(len(edges))
    if place[-1] > total:
        raise ValueError(
            f"{place[-1]} phones need as many frames, there are {total}: is this the text of the recording?"
        )
    edges = np.asarray(edges, dtype=int).clip(0, total)
    edges[0], edges[-1] = 0, total
    later = np.maximum.accumulate(edges - place) + place
    return np.diff(np.minimum(later, total - place[::-1]))


def _quiet(waveform: np.ndarray) -> np.ndarray:
    """Whether each frame (frames,) is far below the loud ones: 35 dB, or less where the room is not that quiet."""
    level = 10 * np.log10(np.mean(10 ** (2 * features.log_mel(waveform)), -1))
    low, high = np.percentile(level, [5, 95])
    return level < max(high - _QUIET_DB, low + _QUIET_SHARE * (high - low))


def _longest_run(quiet: np.ndarray, begin: float, end: float) -> tuple[float, float]:
    """Where it is quiet for longest between two times, in seconds; an empty span in the middle where it never is."""
    first = max(0, round(begin / _FRAME_SECONDS))
    inside = quiet[first : max(first, round(end / _FRAME_SECONDS))]
    turns = np.flatnonzero(np.diff(np.r_[0, inside, 0]))
    if not len(turns):
        return ((begin + end) / 2,) * 2
    longest = np.argmax(turns[1::2] - turns[::2])
    # a frame is about its time: the run begins half a frame before
    return tuple(_FRAME_SECONDS * (first + turns[2 * longest : 2 * longest + 2] - 0.5))


def _edges(phones: Sequence[str], centres: np.ndarray, quiet: np.ndarray) -> np.ndarray:
    """Seconds (P + 1,) at which phones begin and end, from the centres of those that are no "sil"."""
    end, k = len(quiet) * _FRAME_SECONDS, 0
    known = np.r_[0, centres.clip(0, end), end]  # phone k of the spoken ones is known[k + 1]
    edges = np.zeros(len(phones) + 1)
    for i, phone in enumerate(phones):
        if phone == "sil":
            edges[i : i + 2] = _longest_run(quiet, known[k], known[k + 1])
        else:
            k += 1
            if i and phones[i - 1] != "sil":
                edges[i] = (known[k - 1] + known[k]) / 2
    edges[0], edges[-1] = 0, end
    return edges
