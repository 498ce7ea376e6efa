"""Fixed mixtures of speech and noise, so that two enhancers are always compared on the same sounds.

    noisy = mixtures.grid("real")
    rows = mixtures.score(model.enhance, noisy)
    mixtures.summarise(rows)["si_sdr"]      # mean, low, high

Nothing in "real", "own" and "shipped" was heard in training: voices, readers, sentences, kinds of noise.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from tqdm.auto import tqdm

from course_utils import audio, data, metrics, noise, shipped, tables
from course_utils.record import grids
from course_utils.record.grids import balanced, in_turn, seed_of

SECONDS = 4.0
"""Longest clip of the grid. Sentences of the corpus last about three seconds and stay whole."""

# Decibels of speech over noise, both powers taken over the whole clip, pauses included (`audio.mix`): at -5 dB
# the noise carries three times the power of the speech, at 0 dB as much, at 15 dB a thirtieth.
SNRS_DB = (-5, 0, 5, 10, 15)

COUNTS = {"real": 100, "shipped": 40, "own": 100, "valid": 40}
"""Number of mixtures in each grid."""

MEASURES = ("si_sdr", "pesq", "stoi", "dnsmos")

_ESC10_CLASSES = ("helicopter", "sea_waves")
_ESC10_FOLDS = "123"  # the same clips whether the folder holds three folds or all five
_ESC10_SILENT = ("3-154926-A", "3-187710-A")  # a third or more of these is silence, so an SNR says little
_TALKERS = 6


class Recogniser(Protocol):
    """What `score` needs of a recogniser."""

    def transcribe(self, waveform: np.ndarray) -> str:
        """Words for a waveform (time,)."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Speech with noise. The waveforms (time,), float32 at 16 kHz, are made when they are first asked for.

    `snr_db` is the ratio over the whole clip, `voice` the reader or the voice of the corpus, `sex` "f" or "m";
    `text` is what is said, None where it is not known (readings that are cut).
    """

    id: str
    snr_db: int
    noise_type: str
    voice: str
    sex: str
    text: str | None
    _speech: Callable[[], np.ndarray] = field(repr=False)
    _background: Callable[[], np.ndarray] = field(repr=False)

    @cached_property
    def _parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        clean = self._speech()
        noisy, background = audio.mix(clean, self._background(), self.snr_db, seed=seed_of(self.id))
        # One gain for all three, so that none of them clips and the ratio stays.
        gain = np.float32(audio.shared_gain([clean, background, noisy]))
        clean, background = clean * gain, background * gain
        return clean, background, clean + background

    @property
    def clean(self) -> np.ndarray:
        """The speech alone (time,): what an enhancer should return."""
        return self._parts[0]

    @property
    def noise(self) -> np.ndarray:
        """The noise alone (time,)."""
        return self._parts[1]

    @property
    def noisy(self) -> np.ndarray:
        """`clean + noise` (time,), with a peak of at most 0.99."""
        return self._parts[2]

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.clean) / audio.SAMPLE_RATE


# --- the grids -----------------------------------------------------------------------------------------


def grid(which: str, count: int | None = None) -> list[Mixture]:
    """The mixtures that enhancers are compared on: always the same ones, balanced by SNR, noise and sex.

    - "real": 51 held-out LibriSpeech readers in held-out sounds of ESC-10 (helicopter, sea waves); pieces of
      four seconds, text unknown. The complete sets are not in the repository.
    - "shipped": the 24 of these readers and the 16 of these sounds that come with the course; longer pieces, text
      known. For lessons: it is always there.
    - "own": the test voices of the corpus in what no model is trained on, a fan and babble of other test voices.
    - "valid": validation voices in fresh clips of the training noises; for development, never for a result.

    Args:
        which: name of the grid.
        count: only the first so many, which are balanced too: 10 is the smallest number that holds every SNR
            with every noise type of "real" or "own". None: all (`COUNTS`).

    Raises:
        DataError: the recordings are not here, or not all of them.
        ValueError: no such grid, or `count` out of range.
    """
    if which not in COUNTS:
        raise ValueError(f"unknown grid {which!r}; there are {', '.join(COUNTS)}")
    count = COUNTS[which] if count is None else count
    if not 1 <= count <= COUNTS[which]:
        raise ValueError(f"count: the grid {which!r} has 1 to {COUNTS[which]} mixtures, got {count}")
    if which == "shipped":
        readings, sounds = (data.real(name, "test") for name in ("librispeech", "esc10"))
        return _real_mixtures(count, readings, sounds, cut=False)
    return _real_mixtures(count, *_complete_recordings()) if which == "real" else _own_grid(which, count)


def _complete_recordings() -> tuple[list[data.Recording], list[data.Recording]]:
    """All held-out readings and sounds."""
    readings = data.real("librispeech", "test", complete=True)
    held_out = json.loads(shipped.read("real_heldout.json"))["librispeech"]["test"]
    sounds = [
        sound
        for sound in data.real("esc10", "test", complete=True)
        if sound.id[0] in _ESC10_FOLDS and sound.id not in _ESC10_SILENT
    ]
    per_class = Counter(sound.label for sound in sounds)
    if len(readings) < len(held_out) or min(per_class[label] for label in _ESC10_CLASSES) < 22:
        raise data.DataError(
            f"{len(readings)} of {len(held_out)} held-out readings and {dict(per_class)} held-out sounds are here; "
            "a table from part of them could not be compared with the recorded one. Fetch the rest with "
            "`course download librispeech-train-clean-100` and `course download esc-50`"
        )
    return readings, sounds


def _real_mixtures(
    count: int, readings: list[data.Recording], sounds: list[data.Recording], cut: bool = True
) -> list[Mixture]:
    next_reading = {sex: in_turn((r for r in readings if r.sex == sex), "reading", sex) for sex in "fm"}
    next_sound = {
        label: in_turn((s for s in sounds if s.label == label), "sound", label) for label in _ESC10_CLASSES
    }
    found = []
    for snr_db, label, sex in balanced(count, SNRS_DB, _ESC10_CLASSES, "fm"):
        reading, sound = next_reading[sex](), next_sound[label]()
        name = f"{reading.id}_{sound.id}_{snr_db}dB"
        speech = partial(_part, reading, name) if cut else partial(getattr, reading, "audio")
        text = None if cut else reading.text
        background = partial(getattr, sound, "audio")
        found.append(Mixture(name, snr_db, label, reading.speaker, sex, text, speech, background))
    return found


def _own_grid(which: str, count: int) -> list[Mixture]:
    split = {"own": "test", "valid": "valid"}[which]
    backgrounds = data.noise(split)
    kinds = tuple(dict.fromkeys(clip.kind for clip in backgrounds))
    next_clip = {kind: in_turn((c for c in backgrounds if c.kind == kind), split, kind) for kind in kinds}
    # Every voice has its turn before one comes again, with another sentence.
    next_voice = {sex: in_turn((v for v in data.voices(split) if v.sex == sex), split, sex) for sex in "fm"}
    next_sentence = {
        voice.name: in_turn(data.speech(split, voice.name, "sentence"), "sentence", voice.name)
        for voice in data.voices(split)
    }
    found = []
    for snr_db, kind, sex in balanced(count, SNRS_DB, kinds, "fm"):
        voice = next_voice[sex]().name
        sentence, clip = next_sentence[voice](), next_clip[kind]()
        if kind == "babble":
            name = f"{sentence.id}_babble_{snr_db}dB"
            background = partial(_others_talking, split, voice, seed_of(name))
        else:
            name, background = f"{sentence.id}_{clip.id}_{snr_db}dB", partial(getattr, clip, "audio")
        sources = partial(_part, sentence, name), background
        found.append(Mixture(name, snr_db, kind, voice, sex, sentence.text, *sources))
    return found


def _part(spoken: data.Utterance | data.Recording, name: str) -> np.ndarray:
    """At most SECONDS of what is spoken (time,), from a place that depends on `name`; half a second more may stay."""
    waveform, longest = spoken.audio, round(SECONDS * audio.SAMPLE_RATE)
    if len(waveform) <= longest + audio.SAMPLE_RATE // 2:
        return waveform
    start = int(np.random.default_rng(seed_of("cut", name)).integers(len(waveform) - longest + 1))
    return waveform[start : start + longest]


def _others_talking(split: str, voice: str, seed: int) -> np.ndarray:
    """Babble of six voices of the split without `voice`: nobody stands in the crowd that is talking over it."""
    rng = np.random.default_rng(seed)
    others = [other.name for other in data.voices(split) if other.name != voice]
    clips = []
    for other in rng.choice(others, _TALKERS, replace=False):
        said = data.speech(voice=str(other), kind="sentence")
        clips += [said[i].audio for i in rng.choice(len(said), 2, replace=False)]
    return noise.babble(clips, SECONDS + 1, seed, _TALKERS)


# --- scores --------------------------------------------------------------------------------------------

_TWO_SIDED: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "si_sdr": metrics.si_sdr,
    "pesq": metrics.pesq,
    "stoi": metrics.stoi,
}


def _dnsmos(estimate: np.ndarray) -> float:
    # It doubles a clip until nine seconds are passed and judges up to seven windows of what only repeats. Ten
    # seconds hold one window: a seventh of the time, and nearly the same opinion.
    return metrics.dnsmos(np.resize(estimate, max(len(estimate), 10 * audio.SAMPLE_RATE)))["overall"]


def score(
    enhance: Callable[[np.ndarray], np.ndarray],
    mixtures: Sequence[Mixture],
    measures: Sequence[str] = MEASURES,
    progress: bool | str = True,
    recogniser: Recogniser | None = None,
) -> list[dict[str, Any]]:
    """Run `enhance` over `mixtures` and judge what comes out.

    Args:
        enhance: takes a waveform (time,) and returns one of the same length, in time with it;
            `lambda noisy: noisy` judges the input.
        mixtures: from `grid`.
        measures: any of "si_sdr" (dB), "pesq" (1 to 4.6), "stoi" (0 to 1), "dnsmos" (overall opinion, 1 to 5),
            "wer" (word error rate, 0 is perfect).
        progress: show a progress bar after two seconds; a text says what it is called.
        recogniser: has `transcribe(waveform) -> str`; needed by "wer". Where the text of a mixture is not
            known, what it hears in the clean clip takes its place, so that only the damage by noise counts.

    Returns:
        one row per mixture: id, snr_db, noise_type, voice, sex, the measures, and "words" with "wer".

    Raises:
        MissingJudge: a measure needs a package that is not installed.
        ValueError: unknown measure, no recogniser for "wer", or `enhance` returned another shape or NaN.
    """
    if unknown := set(measures) - {*MEASURES, "wer"}:
        raise ValueError(
            f"unknown measure {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}, wer"
        )
    if "wer" in measures and recogniser is None:
        raise ValueError("a word error rate needs a recogniser, for example peers.WhisperTiny()")
    rows = []
    for mixture in tqdm(
        mixtures,
        progress if isinstance(progress, str) else "scoring",
        disable=not progress,
        delay=2,
        leave=False,
    ):
        noisy = mixture.noisy
        estimate = audio.check(enhance(noisy.copy()), f"what was returned for {mixture.id}")
        if estimate.shape != noisy.shape:
            raise ValueError(
                f"expected {noisy.shape} samples back for {mixture.id}, got {estimate.shape}: an enhancer keeps "
                "the length (metrics.align undoes a delay)"
            )
        row: dict[str, Any] = {
            name: getattr(mixture, name) for name in ("id", "snr_db", "noise_type", "voice", "sex")
        }
        for measure in measures:
            if measure in _TWO_SIDED:
                row[measure] = _TWO_SIDED[measure](estimate, mixture.clean)
            elif measure == "dnsmos":
                row[measure] = _dnsmos(estimate)
            else:
                said = mixture.text if mixture.text is not None else recogniser.transcribe(mixture.clean)
                errors, words = metrics.error_counts(said, recogniser.transcribe(estimate))
                row["words"] = int(words[0])
                row["wer"] = errors[0] / words[0] if words[0] else float("nan")
        rows.append(row)
    return rows


def summarise(rows: Sequence[dict[str, Any]], by: str | None = None) -> dict:
    """Mean of each measure with its 95 % interval (`grids.summarise`); with `by` for each value of that column."""
    return grids.summarise(rows, (*MEASURES, "wer"), by)


def means(
    enhance: Callable[[np.ndarray], np.ndarray],
    mixtures: Sequence[Mixture],
    measures: Sequence[str] = ("si_sdr",),
) -> dict[str, float]:
    """The mean of each measure over what `enhance` makes of the mixtures; arguments as for `score`."""
    return {
        name: mean
        for name, (mean, *_) in summarise(score(enhance, mixtures, measures, progress=False)).items()
    }


def installed() -> tuple[list[str], list[str]]:
    """The measures of `MEASURES` that can be computed here, and for each of the others how to install it."""
    can, sentences = [], []
    for measure in MEASURES:
        try:
            score(np.copy, grid("own", 1), [measure], progress=False)
            can.append(measure)
        except metrics.MissingJudge as missing:
            sentences.append(str(missing))
    return can, sentences


class Yardstick:
    """Five noises at 5 dB, four clips each, that go through notebook 01: real ones, white, hum, fan and babble.

    Attributes:
        pairs: noisy and clean waveforms (time,) by kind of noise.
        sounds: the noises alone, of the kinds that are not real.
        text: what is said in the first clip of each kind that is not real.
    """

    def __init__(self):
        said = data.speech("test", kind="sentence")[::25][:4]
        self.text = said[0].text
        self.sounds = {
            kind: [noise.generate(kind, 5, seed) for seed in range(4)] for kind in ("white", "hum", "fan")
        }
        self.sounds["babble"] = [clip.audio for clip in data.noise("test") if clip.kind == "babble"][:4]
        self.pairs = {"real": [(m.noisy, m.clean) for m in grid("shipped", 20) if m.snr_db == 5]}
        for kind, clips in self.sounds.items():
            mixed = zip(said, clips, strict=True)
            self.pairs[kind] = [(audio.mix(one.audio, clip, 5.0)[0], one.audio) for one, clip in mixed]

    def gains(self, system: Callable[..., np.ndarray], told: bool = False) -> dict[str, float]:
        """Mean SI-SDR of system(noisy) minus that of noisy, in dB, by kind; with `told` of system(noisy, clean)."""
        result = {}
        for kind, pairs in self.pairs.items():
            after = [metrics.si_sdr(system(n, c) if told else system(n), c) for n, c in pairs]
            result[kind] = float(np.mean(after) - np.mean([metrics.si_sdr(n, c) for n, c in pairs]))
        return result

    @staticmethod
    def table(steps: dict[str, dict[str, float]], *words: str) -> tables.MarkdownTable:
        """Gains by the name of their system, each with its mean: all, or those whose names hold one of the words."""
        rows = [
            {"gain in dB": name, **row, "mean": float(np.mean(list(row.values())))}
            for name, row in steps.items()
            if not words or any(word in name for word in words)
        ]
        return tables.table(rows, digits=1)
