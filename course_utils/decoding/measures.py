"""How good a partial result is: how early it comes, how often it is taken back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np

from course_utils.decoding.greedy import Endpointer
from course_utils.decoding.partial import STEP_SECONDS
from course_utils.paths import SAMPLE_RATE

WINDOW = 0.064  # seconds of the window of one spectrum: 64 ms


class Shown(NamedTuple):
    """A text that came: how much sound was heard by then, how long it took to compute (both in s), and the text."""

    heard: float
    computing: float
    text: str


def watch(
    stream: Any, waveform: np.ndarray, chunk_ms: int = 160, clock: Callable[[], float] = time.perf_counter
) -> list[Shown]:
    """Feed a waveform (time,) to a stream as a microphone would, and note what it says after each chunk.

    Args:
        stream: has `push(chunk)` and `finish()`, which return a `Partial` or a text.
        waveform: (time,) at 16 kHz.
        chunk_ms: length of a chunk; the last one may be shorter.
        clock: gives seconds; another one can count what it wants.

    Returns:
        one `Shown` for each chunk, and one for `finish()`, which is called when the sound ends.
    """
    size, heard, shown = chunk_ms * SAMPLE_RATE // 1000, 0, []
    pieces = [waveform[begin : begin + size] for begin in range(0, len(waveform), size)]
    for piece in [*pieces, None]:
        start = clock()
        partial = stream.finish() if piece is None else stream.push(piece)
        heard += 0 if piece is None else len(piece)
        shown.append(Shown(heard / SAMPLE_RATE, clock() - start, getattr(partial, "text", partial)))
    return shown


def moments(shown: Sequence[Shown]) -> np.ndarray:
    """When each text stood there (texts,), in seconds since the sound began.

    Sound comes in real time. A computer that is slower falls behind: a chunk waits until the one before is done.
    """
    now, found = 0.0, []
    for one in shown:
        now = max(now, one.heard) + one.computing
        found.append(now)
    return np.array(found)


def right_words(said: Sequence[str], text: str) -> list[tuple[int, int]]:
    """Places (in `said`, in `text`) of the words that were recognised right, in order."""
    blocks = SequenceMatcher(None, list(said), text.split(), autojunk=False).get_matching_blocks()
    return [(block.a + k, block.b + k) for block in blocks for k in range(block.size)]


def standing_from(shown: Sequence[Shown], place: int) -> int:
    """Index of the text from which on the word at `place` of the final text stands there and is not touched again."""
    wanted, index = shown[-1].text.split()[place], len(shown) - 1
    while index and shown[index - 1].text.split()[place : place + 1] == [wanted]:
        index -= 1
    return index


def unstable_words(before: str, after: str) -> int:
    """How many words of `before` were taken back by `after`: all from the first that is another one now.

    A last word that only goes on ("thir", "thirteen") was not taken back.
    """
    old, new = before.split(), after.split()
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    grows = same == len(old) - 1 and same < len(new) and new[same].startswith(old[same])
    return len(old) - same - grows


def unstable_ratio(shown: Sequence[Shown]) -> float:
    """Unstable-word ratio (UPWR, Shangguan et al., 2020): words taken back, for each word of the final text.

    Every change of the text counts with `unstable_words`; the same word can be taken back many times, so that the
    ratio may pass 1. nan where the final text has no words. Of several utterances: the sums of both, divided.
    """
    taken_back = sum(unstable_words(a.text, b.text) for a, b in itertools.pairwise(shown))
    words = len(shown[-1].text.split())
    return taken_back / words if words else float("nan")


def algorithmic_latency(chunk_ms: int) -> float:
    """Seconds that the oldest sample of a chunk waits even on an infinitely fast computer: chunk and window."""
    if chunk_ms % 32 or chunk_ms < 32:
        raise ValueError(f"chunk_ms: expected a multiple of 32, got {chunk_ms!r}")
    return chunk_ms / 1000 + WINDOW


def emission_delays(shown: Sequence[Shown], said: Sequence[str], times: np.ndarray) -> np.ndarray:
    """Seconds from the end of each word recognised right until it stands in the text for good (right words,).

    A word that comes only with the final text counts from there. Below 0: it was written before it was over.

    Args:
        shown: what `watch` gives.
        said: the words that were said.
        times: (words, 2), their beginnings and ends in seconds.
    """
    when = moments(shown)
    places = right_words(said, shown[-1].text)
    return np.array([when[standing_from(shown, j)] - times[i][1] for i, j in places])


def first_partial(shown: Sequence[Shown], said: Sequence[str], times: np.ndarray) -> float:
    """Seconds from the beginning of the first word until a right word is shown; nan where none ever is.

    Right is a word that the final text has at this place, and that was said.
    """
    final = shown[-1].text.split()
    right = {j for _, j in right_words(said, shown[-1].text)}
    for when, one in zip(moments(shown), shown, strict=True):
        if any(j in right and word == final[j] for j, word in enumerate(one.text.split()[: len(final)])):
            return float(when - times[0][0])
    return float("nan")


def final_latency(shown: Sequence[Shown]) -> float:
    """Seconds from the call of `finish()`, at the end of the sound, to the final text; without an endpointer's wait."""
    return float(moments(shown)[-1] - shown[-1].heard)


def real_time_factor(shown: Sequence[Shown]) -> float:
    """Seconds of computing for a second of sound (RTF); above 1 the text falls behind. nan where there was none."""
    heard = shown[-1].heard
    return sum(one.computing for one in shown) / heard if heard else float("nan")


def endpoints(log_probs: np.ndarray, pause: float, chunk: int = 5) -> np.ndarray:
    """When an `Endpointer` would end an utterance, in seconds (endpoints,); it is asked after each `chunk` steps.

    Args:
        log_probs: (steps, units + 1), what the network says of the blank (class 0) and the units.
        pause: seconds of silence that it waits for.
        chunk: steps of 32 ms.
    """
    found, endpointer = [], Endpointer(pause)
    for end in range(chunk, len(log_probs) + 1, chunk):
        if endpointer.push(log_probs[end - chunk : end]):
            found.append(end * STEP_SECONDS)
            endpointer = Endpointer(pause)
    return np.array(found)


def cut_offs_and_wait(ends: np.ndarray, last_word: float) -> tuple[int, float]:
    """How many endpoints came before the last word was over, and how long the one after it took in s (nan: none)."""
    after = ends[ends >= last_word]
    return int((ends < last_word).sum()), float(after[0] - last_word) if len(after) else float("nan")
