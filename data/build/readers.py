"""Write down what the training readers of LibriSpeech say, breath group by breath group, with Whisper tiny.en.

    python -m data.build.readers        -> data/build/texts/readers.json.xz

They have no words where only single recordings are at hand. What a recogniser heard in them (a pseudo-label)
is right in 19 of 20 words, and enough to learn from; it is never measured against as if it were true. A group
whose words Whisper itself holds for unlikely is left out.
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from course_utils import data, features, text
from course_utils.paths import SAMPLE_RATE
from data.build import listen

OUT = Path(__file__).with_name("texts") / "readers.json.xz"
FRAMES_PER_SECOND = SAMPLE_RATE / features.HOP_LENGTH  # 62.5
PAUSE = 0.12  # seconds between words that end a group; after a punctuation mark, none are needed
MARGIN = 0.12  # seconds around such a gap where the pause is looked for
QUIET = 0.3  # a pause is as quiet as this share of the recording
SHORTEST = 1.2  # seconds of a group
LEAST_SURE = 0.5  # geometric mean of the words' probabilities


class HeardWord(Protocol):
    """A word as Whisper gives it, its times in seconds."""

    word: str
    start: float
    end: float
    probability: float


def hear(waveform: np.ndarray) -> list[HeardWord]:
    """The words that Whisper hears in a waveform (time,)."""
    segments, _ = listen.recogniser().transcribe(
        waveform, language="en", beam_size=5, temperature=0.0, condition_on_previous_text=False,
        word_timestamps=True,
    )  # fmt: skip
    return [word for segment in segments for word in segment.words]


def groups(heard: Sequence[HeardWord], level: np.ndarray) -> list[tuple[str, float, float]]:
    """(words, start, end in seconds) of each breath group, without those that are unlikely or hold no words.

    A group ends in the quietest frame about a gap between two words, if that one is quiet indeed.

    Args:
        heard: the words of a recording.
        level: (frames,), how loud each frame of its log-mel spectrogram is.
    """
    found, begin, group = [], 0, []
    quiet = np.quantile(level, QUIET)
    for word, following in zip(heard, [*heard, None][1:], strict=True):
        group.append(word)
        end = len(level) if following is None else _pause(word, following, level)
        if following is not None:
            seconds = word.end - begin / FRAMES_PER_SECOND
            if end is None or seconds < SHORTEST or level[end] > quiet:
                continue
        said = " ".join(text.words(" ".join(one.word.strip() for one in group)))
        if said and _sure(group) >= LEAST_SURE:
            found.append((said, *(round(frame / FRAMES_PER_SECOND, 3) for frame in (begin, end))))
        begin, group = end, []
    return found


def _pause(word: HeardWord, following: HeardWord, level: np.ndarray) -> int | None:
    """The quietest frame between two words; None where nothing hints at a pause."""
    shortest = 0 if word.word.strip().endswith(tuple(",.;:?!")) else PAUSE
    if following.start - word.end < shortest:
        return None
    low = round((word.end - MARGIN) * FRAMES_PER_SECOND)
    high = round((following.start + MARGIN) * FRAMES_PER_SECOND) + 1
    low = min(max(low, 0), len(level) - 1)
    return low + int(level[low:high].argmin())


def _sure(group: Sequence[HeardWord]) -> float:
    """Geometric mean of the probabilities of words."""
    return math.exp(float(np.mean([math.log(max(one.probability, 1e-4)) for one in group])))


def main() -> None:
    """Write the file, one line a reader."""
    rows = {}
    for one in data.real("librispeech", "train"):
        rows[one.id] = groups(hear(one.audio), features.log_mel(one.audio).mean(-1))
        print(one.id, rows[one.id], flush=True)
    lines = ",\n".join(f'"{name}": {json.dumps(found)}' for name, found in sorted(rows.items()))
    OUT.write_bytes(lzma.compress(f"{{\n{lines}\n}}\n".encode(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
