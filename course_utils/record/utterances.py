"""Fixed utterances of known words, so that two recognisers are always compared on the same sounds.

    for spoken in utterances.grid("real digits"):
        shown = watch(model.stream(160), spoken.waveform)

Voices of the corpus are those of its test split; the speaker of the real prompts and words was never trained on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from course_utils import audio, data, fingerprint, shipped, text
from course_utils.record.grids import seed_of

GRIDS = {
    "real digits": "strings of digits, a real speaker never heard in training",
    "real phrases": "real words in a row (numbers, ordinals, days, months), the same speaker",
    "own phrases": "phrases of our corpus, unseen virtual voices",
    "real prompts": "real telephone prompts, the same speaker",
    "readers": "readers of LibriSpeech, held out",
    "own": "sentences and phrases of our corpus, unseen virtual voices and texts",
}
PHRASES = ("real digits", "real phrases", "own phrases")
"""Grids whose words the phrase model knows; the others have open vocabulary."""

COUNTS = {
    "real digits": 60,
    "real phrases": 40,
    "own phrases": 150,
    "real prompts": 100,
    "readers": 24,
    "own": 200,
}
"""Utterances in each grid."""

_DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
_SILENCE = 0.02
"""Share of the peak below which the edges of a recorded word are silence."""


@dataclass(frozen=True, eq=False)
class Spoken:
    """Somebody says `words`; `times` are their beginnings and ends in seconds (words, 2), None where not known.

    `voice` is what an interval draws: the voice of the corpus or the reader; of one single speaker the clip.
    """

    id: str
    words: tuple[str, ...]
    voice: str
    times: np.ndarray | None
    _sound: Callable[[], np.ndarray] = field(repr=False)

    @property
    def waveform(self) -> np.ndarray:
        """The sound (time,), float32 at 16 kHz."""
        return self._sound()


@cache
def grid(name: str) -> tuple[Spoken, ...]:
    """The utterances of one of `GRIDS`; every beginning of it is as mixed as the whole.

    Raises:
        DataError: its recordings are not here.
        ValueError: no such grid.
    """
    if name not in GRIDS:
        raise ValueError(f"there is no grid {name!r}; there are {', '.join(GRIDS)}")
    makers = {
        "real digits": _digits,
        "real phrases": _real_phrases,
        "real prompts": _prompts,
        "readers": _readers,
    }
    if name in makers:
        return tuple(makers[name](COUNTS[name]))
    pool = data.speech("test", kind="phrase" if name == "own phrases" else None)
    return tuple(
        Spoken(
            one.id,
            tuple(word for word, _, _ in one.words),
            one.voice,
            one.word_times,
            lambda one=one: one.audio,
        )
        for one in random.Random(1).sample(pool, COUNTS[name])
    )


def sounds(name: str) -> str:
    """Fingerprint of the sounds of a grid; recordings that are not in the repository are named in a file that is."""
    files, made = shipped.manifest().files, fingerprint.code("record.utterances", "grid")
    if not name.startswith("own"):
        used = (
            ("real_heldout.json", "real/index.jsonl")
            if name in ("real digits", "readers")
            else ("real_heldout.json",)
        )
        return fingerprint.digest(made, [files[file]["sha256"] for file in used])
    folders = tuple(f"speech/{voice.name}/" for voice in data.voices("test"))
    used = [file for file in sorted(files) if file == "speech/index.jsonl" or file.startswith(folders)]
    return fingerprint.digest(made, [(file, files[file]["sha256"]) for file in used])


def vocabulary() -> list[str]:
    """Every word of the phrases of the corpus."""
    return sorted({word for one in data.phrases() for word, _, _ in one.words})


def _recorded(recording: data.Recording, said: str | None = None) -> Spoken:
    words = text.words((said or recording.text).replace("*", " star ").replace("#", " pound "))
    voice = recording.id if recording.speaker == "asterisk" else str(recording.speaker)
    return Spoken(recording.id, tuple(words), voice, None, lambda: recording.audio)


def _readers(count: int) -> list[Spoken]:
    return [_recorded(one) for one in data.real("librispeech", "test")][:count]


def _prompts(count: int) -> list[Spoken]:
    pool = [one for one in data.real("asterisk_en") if one.text and one.duration < 20]
    return [_recorded(one) for one in random.Random(1).sample(pool, min(count, len(pool)))]


def _digits(count: int) -> list[Spoken]:
    """The strings that ship, and strings of four digits put together from single ones."""
    ready = [_recorded(one) for one in data.real("digits")]
    single = {one.id: one for one in data.real("asterisk_words")}
    strings = [
        [single[digit] for digit in random.Random(seed).choices(_DIGITS, k=4)] for seed in range(count)
    ]
    return [*ready, *(_string(f"digits {i}", row) for i, row in enumerate(strings))][:count]


def _real_phrases(count: int) -> list[Spoken]:
    """Three words each, of numbers, ordinals, days and months that the phrases of the corpus have, too."""
    known = set(vocabulary())
    pool = [one for one in data.real("asterisk_words") if one.text.lower() in known]
    return [_string(f"words {i}", random.Random(100 + i).sample(pool, 3)) for i in range(count)]


def _string(name: str, parts: Sequence[data.Recording]) -> Spoken:
    """Recorded words in a row, 50 to 250 ms apart; their times are known."""
    chance, place = np.random.default_rng(seed_of(name)), audio.SAMPLE_RATE // 5
    pieces, times = [np.zeros(place, np.float32)], []
    for part in parts:
        sound = _trimmed(part.audio)
        gap = int(chance.uniform(0.05, 0.25) * audio.SAMPLE_RATE)
        times.append((place / audio.SAMPLE_RATE, (place + len(sound)) / audio.SAMPLE_RATE))
        pieces += [sound, np.zeros(gap, np.float32)]
        place += len(sound) + gap
    whole = np.concatenate(pieces)
    words = tuple(one.text.lower() for one in parts)
    return Spoken(name, words, name, np.array(times), lambda: whole)


def _trimmed(waveform: np.ndarray) -> np.ndarray:
    """Without the silence around it."""
    loud = np.flatnonzero(np.abs(waveform) > _SILENCE * np.abs(waveform).max())
    return waveform[loud[0] : loud[-1] + 1]
