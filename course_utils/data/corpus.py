"""The speech corpus: synthetic voices that read sentences and phrases, with the time of every phone and word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import shipped
from course_utils.data import decoded
from course_utils.data.splits import check_split

UNIT_SAMPLES = 400
"""The labels of the corpus stand on a grid of 25 ms, which is 400 samples at 16 kHz."""
_UNIT_SECONDS = 0.025


@dataclass(frozen=True)
class _Timed:
    """What utterances and pairs share: text, and when each phone and word is spoken."""

    id: str
    split: str
    text: str
    phones: tuple[str, ...]
    durations: tuple[int, ...]
    words: tuple[tuple[str, int, int], ...]

    @property
    def samples(self) -> int:
        """Length in samples at 16 kHz, known without decoding."""
        return sum(self.durations) * UNIT_SAMPLES

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return sum(self.durations) * _UNIT_SECONDS

    @property
    def phone_times(self) -> np.ndarray:
        """Start and end of each phone in seconds (phones, 2), pauses ("sil") included; a grid of 25 ms."""
        ends = np.cumsum(
            self.durations
        )  # whole units, so that a phone begins exactly where the one before ends
        return np.stack([ends - self.durations, ends], axis=1) * _UNIT_SECONDS

    @property
    def word_times(self) -> np.ndarray:
        """Start and end of each word in seconds (words, 2), in the order of `words`."""
        times = self.phone_times
        spans = [(times[first, 0], times[end - 1, 1]) for _, first, end in self.words]
        return np.array(spans, dtype=np.float64).reshape(-1, 2)


@dataclass(frozen=True)
class Utterance(_Timed):
    """Something a voice of the corpus says.

    `phones` are ARPAbet with stress as given to the speech engine, "sil" for pauses; `durations` count 25 ms
    units, one per phone; `words` hold (word, first phone, one past the last phone); `kind` is "sentence" or
    "phrase" (digits, times, dates, commands).
    """

    voice: str
    kind: str

    @property
    def audio(self) -> np.ndarray:
        """The waveform (time,), float32 at 16 kHz; a new array each time."""
        return decoded.waveform(self.file, self.samples, _audio_files)

    @property
    def file(self) -> str:
        """Where its sound is in the data folder."""
        return f"speech/{self.voice}/{self.id}.opus"


@dataclass(frozen=True)
class Pair(_Timed):
    """The same sentence by two voices with the same timing, sample by sample, for voice conversion."""

    source: str
    target: str
    source_file: str
    target_file: str

    @property
    def source_audio(self) -> np.ndarray:
        """The sentence spoken by `source` (time,)."""
        return decoded.waveform(f"speech/{self.source_file}", self.samples, _audio_files)

    @property
    def target_audio(self) -> np.ndarray:
        """The sentence spoken by `target` (time,), as long as `source_audio`."""
        return decoded.waveform(f"speech/{self.target_file}", self.samples, _audio_files)


@dataclass(frozen=True)
class Voice:
    """A voice of the corpus. It belongs to nobody: it is a mixture of the speech engine's voices.

    `parents` are the languages of the voices it was mixed from; `sex` is "f" or "m", as it sounds.
    """

    name: str
    sex: str
    split: str
    parents: tuple[str, ...]

    @property
    def utterances(self) -> list[Utterance]:
        """Everything this voice says."""
        return speech(voice=self.name)


_INDEX, _PAIRS, _VOICES = "speech/index.jsonl", "speech/pairs.jsonl", "speech/voices.json"


def _timing(row: dict[str, Any]) -> dict[str, Any]:
    made = {
        "id": str(row["id"]),
        "text": str(row["text"]),
        "phones": tuple(row["phones"]),
        "durations": tuple(row["durations"]),
        "words": tuple((word, first, end) for word, first, end in row["words"]),
    }
    phones, durations = len(made["phones"]), made["durations"]
    if len(durations) != phones or not all(isinstance(units, int) and units >= 0 for units in durations):
        raise ValueError(f"{made['id']} has {phones} phones and the durations {durations}")
    if not all(0 <= first < end <= phones for _, first, end in made["words"]):
        raise ValueError(f"{made['id']} has a word outside of its phones")
    return made


@shipped.remembered
def _all_voices() -> dict[str, Voice]:
    described = shipped.read_json(_VOICES)
    with shipped.sound_rows(_VOICES):
        for entry in described.values():
            check_split(entry["split"])
        return {
            name: Voice(name, entry["sex"], entry["split"], tuple(entry["parents"]))
            for name, entry in sorted(described.items())
        }


@shipped.remembered
def _all_speech() -> tuple[Utterance, ...]:
    split_of = {name: voice.split for name, voice in _all_voices().items()}
    rows = shipped.read_json_lines(_INDEX)
    with shipped.sound_rows(_INDEX):
        if unknown := {row["voice"] for row in rows} - split_of.keys():
            raise ValueError(f"it names voices that are not in {_VOICES}: {sorted(unknown)[:3]}")
        return tuple(
            Utterance(**_timing(row), split=split_of[row["voice"]], voice=row["voice"], kind=row["kind"])
            for row in rows
        )


@shipped.remembered
def _all_pairs() -> tuple[Pair, ...]:
    named = ("split", "source", "target", "source_file", "target_file")
    rows = shipped.read_json_lines(_PAIRS)
    with shipped.sound_rows(_PAIRS):
        return tuple(Pair(**_timing(row), **{key: str(row[key]) for key in named}) for row in rows)


def speech(split: str | None = None, voice: str | None = None, kind: str | None = None) -> list[Utterance]:
    """All sentences and phrases, or those of one split ("train", "valid", "test"), voice, or kind.

    Splits are by voice, and no sentence is spoken in two of them. `kind` is "sentence" or "phrase".

    Raises:
        DataError: the corpus is missing or damaged.
        ValueError: no such split, voice or kind.
    """
    check_split(split)
    if voice is not None and voice not in _all_voices():
        raise ValueError(f"there is no voice {voice!r}; there are {', '.join(_all_voices())}")
    if kind not in (None, "sentence", "phrase"):
        raise ValueError(f"kind: expected sentence or phrase, got {kind!r}")
    return [
        utterance
        for utterance in _all_speech()
        if split in (None, utterance.split)
        and voice in (None, utterance.voice)
        and kind in (None, utterance.kind)
    ]


def phrases(split: str | None = None, voice: str | None = None) -> list[Utterance]:
    """Digit strings, numbers, times, dates and short commands: `speech(split, voice, kind="phrase")`."""
    return speech(split, voice, "phrase")


def pairs(split: str | None = None) -> list[Pair]:
    """Aligned pairs for voice conversion; voices of "train" and "test" are different ones."""
    check_split(split)
    return [pair for pair in _all_pairs() if split in (None, pair.split)]


def voices(split: str | None = None) -> list[Voice]:
    """The voices of the corpus, by name."""
    check_split(split)
    return [voice for voice in _all_voices().values() if split in (None, voice.split)]


def prepare() -> Path:
    """Decode the whole corpus into the cache, unless that is done; return the folder of the cache.

    Called by itself after a hundred utterances. Safe in several processes at once.

    Raises:
        DataError: a file is missing or damaged.
        OSError: the cache can not be written.
    """
    return decoded.prepare(_audio_files())


def _audio_files() -> dict[str, int]:
    """Every sound of the corpus and its length in samples, in a fixed order."""
    files = {utterance.file: utterance.samples for utterance in _all_speech()}
    for pair in _all_pairs():
        for file in (pair.source_file, pair.target_file):
            files.setdefault(f"speech/{file}", pair.samples)
    return files


def check_index() -> None:
    """The index can be read, agrees with itself, and names only files of the manifest. Raises DataError."""
    listed = shipped.manifest().files
    if _INDEX not in listed:  # a data folder without a corpus
        return
    if missing := [file for file in _audio_files() if file not in listed]:
        raise shipped.damaged(
            missing[0], f"the index names it, and {len(missing) - 1} more, but the manifest does not"
        )
