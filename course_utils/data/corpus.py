"""The data of the course: plain lists of small records whose sound is decoded when you ask for it.

    for utterance in data.speech("train"):
        print(utterance.text, utterance.duration)
        waveform = utterance.audio

Everything in `data/` is checked against its manifest before it is used. After a hundred utterances the
whole corpus is decoded once into a cache, so that the next pass over it costs nothing.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from course_utils import noise as _noise
from course_utils.data.download import REGISTRY, cache_folder
from course_utils.shipped import DataError, damaged, manifest, read, root, shipped_files

# audio (and with it soundfile) is imported where a sound is decoded: lists, texts and a cache that is already
# there also work on training machines without audio libraries.

SPLITS = ("train", "valid", "test")
UNIT_SAMPLES = 400
"""The labels of the corpus stand on a grid of 25 ms, which is 400 samples at 16 kHz."""
_UNIT_SECONDS = 0.025


def verify() -> list[str]:
    """Compare every file of the data with the manifest, and return what is wrong: one line each, or nothing.

    Raises:
        DataError: there is no data folder or no manifest.
    """
    files = manifest().files
    problems = []
    for file in files:
        try:
            read(file)
        except DataError as error:
            problems.append(str(error))
    problems += [
        f"data/{file} is not in the manifest; remove it, or run `python -m data.build.manifest`"
        for file in shipped_files(root())
        if file not in files
    ]
    if not problems:
        try:
            _check_index()
        except DataError as error:
            problems.append(str(error))
    return problems


# --- speech --------------------------------------------------------------------------------------------


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
        return _audio(self._file, self.samples)

    @property
    def _file(self) -> str:
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
        return _audio(f"speech/{self.source_file}", self.samples)

    @property
    def target_audio(self) -> np.ndarray:
        """The sentence spoken by `target` (time,), as long as `source_audio`."""
        return _audio(f"speech/{self.target_file}", self.samples)


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


def _check_split(split: str | None, allowed: tuple[str, ...] = SPLITS) -> None:
    if split is not None and split not in allowed:
        raise ValueError(f"split: expected one of {', '.join(allowed)}, got {split!r}")


def _per_manifest(build: Callable) -> Callable:
    """Remember what `build()` made for as long as the data folder and its manifest stay the same."""
    remembered = lru_cache(maxsize=4)(lambda _folder, _key: build())
    return lambda: remembered(root(), manifest().key)


def _lines(file: str) -> list[dict]:
    try:
        return [json.loads(line) for line in read(file).decode("utf-8").splitlines() if line]
    except ValueError as error:
        raise damaged(file, f"it is not lines of JSON ({error})") from error


def _timing(row: dict) -> dict:
    return {
        "id": row["id"],
        "text": row["text"],
        "phones": tuple(row["phones"]),
        "durations": tuple(row["durations"]),
        "words": tuple((word, first, end) for word, first, end in row["words"]),
    }


@_per_manifest
def _all_voices() -> dict[str, Voice]:
    described = json.loads(read("speech/voices.json"))
    return {
        name: Voice(name, entry["sex"], entry["split"], tuple(entry["parents"]))
        for name, entry in sorted(described.items())
    }


@_per_manifest
def _all_speech() -> tuple[Utterance, ...]:
    split_of = {name: voice.split for name, voice in _all_voices().items()}
    return tuple(
        Utterance(**_timing(row), split=split_of[row["voice"]], voice=row["voice"], kind=row["kind"])
        for row in _lines("speech/index.jsonl")
    )


@_per_manifest
def _all_pairs() -> tuple[Pair, ...]:
    named = ("split", "source", "target", "source_file", "target_file")
    return tuple(
        Pair(**_timing(row), **{key: row[key] for key in named}) for row in _lines("speech/pairs.jsonl")
    )


def speech(split: str | None = None, voice: str | None = None, kind: str | None = None) -> list[Utterance]:
    """All sentences and phrases, or those of one split ("train", "valid", "test"), voice, or kind.

    Splits are by voice, and no sentence is spoken in two of them. `kind` is "sentence" or "phrase".

    Raises:
        DataError: the corpus is missing or damaged.
        ValueError: no such split, voice or kind.
    """
    _check_split(split)
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
    _check_split(split)
    return [pair for pair in _all_pairs() if split in (None, pair.split)]


def voices(split: str | None = None) -> list[Voice]:
    """The voices of the corpus, by name."""
    _check_split(split)
    return [voice for voice in _all_voices().values() if split in (None, voice.split)]


def _audio_files() -> dict[str, int]:
    """Every sound of the corpus and its length in samples, in a fixed order."""
    files = {utterance._file: utterance.samples for utterance in _all_speech()}
    for pair in _all_pairs():
        for file in (pair.source_file, pair.target_file):
            files.setdefault(f"speech/{file}", pair.samples)
    return files


def _check_index() -> None:
    """The index agrees with itself and with the manifest."""
    listed = manifest().files
    if "speech/index.jsonl" not in listed:
        return
    for item in (*_all_speech(), *_all_pairs()):
        if len(item.phones) != len(item.durations):
            raise damaged(
                "speech/index.jsonl",
                f"{item.id} has {len(item.phones)} phones and {len(item.durations)} durations",
            )
        if any(not 0 <= first < end <= len(item.phones) for _, first, end in item.words):
            raise damaged("speech/index.jsonl", f"{item.id} has a word outside of its phones")
    if missing := [file for file in _audio_files() if file not in listed]:
        raise damaged(
            missing[0], f"the index names it, and {len(missing) - 1} more, but the manifest does not"
        )


# --- the decoded cache ---------------------------------------------------------------------------------

_DIRECT = 100  # so many sounds are decoded one by one before the whole corpus is
_decoded_directly = 0


def _decode(file: str, samples: int) -> np.ndarray:
    """One sound as int16 (time,), checked against the manifest and against its labels."""
    import soundfile

    content = read(file)
    try:
        decoded, sample_rate = soundfile.read(io.BytesIO(content), dtype="float32")
    except soundfile.LibsndfileError as error:
        raise damaged(file, f"it can not be decoded ({error})") from error
    if sample_rate != 16000 or decoded.shape != (samples,):
        raise damaged(
            file, f"shape {decoded.shape} at {sample_rate} Hz, but its labels say ({samples},) at 16000 Hz"
        )
    return np.clip(np.rint(decoded * 32768), -32768, 32767).astype(np.int16)


@dataclass(frozen=True)
class _Decoded:
    samples: np.ndarray  # int16, all sounds one after another, mapped from disk
    places: dict[str, tuple[int, int]]


def _cache_path() -> Path:
    return _cache_of(cache_folder(), root(), manifest().key)


@lru_cache(maxsize=4)
def _cache_of(folder: Path, _root: Path, _key: str) -> Path:
    return folder / f"decoded-{manifest().speech_key}"


@lru_cache(maxsize=4)
def _open_decoded(folder: Path) -> _Decoded:
    places = json.loads((folder / "places.json").read_text())
    return _Decoded(
        np.load(folder / "samples.npy", mmap_mode="r"), {file: tuple(place) for file, place in places.items()}
    )


def _audio(file: str, samples: int) -> np.ndarray:
    global _decoded_directly
    folder = _cache_path()
    if not folder.is_dir():
        _decoded_directly += 1
        if _decoded_directly <= _DIRECT or not _try_prepare():
            return _decode(file, samples).astype(np.float32) / np.float32(32768)
    try:
        decoded = _open_decoded(folder)
        start, length = decoded.places[file]
    except (OSError, ValueError, KeyError):  # a damaged cache is only a cache
        shutil.rmtree(folder, ignore_errors=True)
        return _decode(file, samples).astype(np.float32) / np.float32(32768)
    return decoded.samples[start : start + length].astype(np.float32) / np.float32(32768)


def _try_prepare() -> bool:
    """Build the cache; where that is impossible, say so once and go on without."""
    global _decoded_directly
    try:
        prepare()
    except OSError as error:
        warnings.warn(
            f"the decoded speech can not be kept in {cache_folder()} ({error}), so every pass decodes it again; "
            "set COURSE_CACHE to a folder with 400 MB of free space",
            stacklevel=4,
        )
        _decoded_directly = -(10**9)
        return False
    return True


def _tidy() -> None:
    """Remove old caches but the last three (copies of the course may share this folder), and what a crash left."""
    old = sorted(cache_folder().glob("decoded-*"), key=lambda path: path.stat().st_mtime)[:-3]
    yesterday = time.time() - 86400
    old += [path for path in cache_folder().glob(".decoding-*") if path.stat().st_mtime < yesterday]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)


def _decode_all(files: dict[str, int], target: Path) -> dict[str, tuple[int, int]]:
    """Decode `files` (name: samples) one after another into the array `target`; return start and length of each."""
    ends = np.cumsum(list(files.values()))
    places = {
        file: (int(end - length), length) for (file, length), end in zip(files.items(), ends, strict=True)
    }
    array = np.lib.format.open_memmap(target, "w+", np.int16, (int(ends[-1]),))

    def decode(file: str) -> None:
        start, length = places[file]
        array[start : start + length] = _decode(file, length)

    # Threads are enough: libsndfile and hashlib work without Python's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(decode, file) for file in files]
        try:
            for job in tqdm(jobs, desc="decoding the speech corpus, once", unit=" files"):
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    array.flush()
    return places


def prepare() -> Path:
    """Decode the whole corpus into the cache, unless that is done; return the folder of the cache.

    Called by itself after a hundred utterances. Safe in several processes at once: each builds its own
    copy, and the first one that is complete is kept.

    Raises:
        DataError: a file is missing or damaged.
        OSError: the cache can not be written.
    """
    folder = _cache_path()
    if folder.is_dir():
        return folder
    files = _audio_files()
    total = sum(files.values())
    cache_folder().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_folder()).free
    if free < 2 * total + 50_000_000:  # a mapped file on a full disk would end Python without a word
        raise OSError(f"{2 * total / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free")
    temporary = Path(tempfile.mkdtemp(prefix=".decoding-", dir=cache_folder()))
    try:
        places = _decode_all(files, temporary / "samples.npy")
        (temporary / "places.json").write_text(json.dumps(places))
        temporary.chmod(0o755)
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _tidy()
    return folder


# --- noise and rooms -----------------------------------------------------------------------------------

_NOISE_SECONDS = 10.0
_NOISE_CLIPS = {"train": 8, "valid": 2, "test": 8}
_BABBLE_TALKERS = 6
_ROOMS = {"train": 60, "valid": 10, "test": 20}


def _seed(*names: object) -> int:
    """A seed that depends on names only, the same on every machine."""
    return zlib.crc32("/".join(map(str, names)).encode())


@dataclass(frozen=True)
class Noise:
    """A clip of background noise, made from its seed whenever it is asked for."""

    id: str
    kind: str
    split: str
    duration: float
    seed: int

    @property
    def audio(self) -> np.ndarray:
        """The waveform (time,), about -20 dBFS."""
        if self.kind != "babble":
            return _noise.generate(self.kind, self.duration, self.seed)
        rng = np.random.default_rng(self.seed)
        names = [voice.name for voice in voices(self.split)]
        talkers = rng.choice(names, min(_BABBLE_TALKERS, len(names)), replace=False)
        clips = []
        for name in talkers:
            said = speech(voice=str(name), kind="sentence")
            clips += [said[i].audio for i in rng.choice(len(said), min(3, len(said)), replace=False)]
        return _noise.babble(clips, self.duration, self.seed, len(talkers))


def noise(split: str) -> list[Noise]:
    """Background noise of one split: clips of 10 s, always the same ones.

    "train" and "valid" hold white, pink, brown, hum, clicks, rain, and babble of voices of that split.
    "test" holds what no model of the course is trained on: fan, and babble of test voices.
    """
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    kinds = _noise.TEST_TYPES if split == "test" else _noise.TRAIN_TYPES
    return [
        Noise(f"{kind}-{split}-{i}", kind, split, _NOISE_SECONDS, _seed("noise", split, kind, i))
        for kind in (*kinds, "babble")
        for i in range(_NOISE_CLIPS[split])
    ]


@dataclass(frozen=True)
class Room:
    """A simulated room with a talker and a microphone in it; lengths in metres, `rt60` in seconds."""

    id: str
    split: str
    size: tuple[float, float, float]
    source: tuple[float, float, float]
    microphone: tuple[float, float, float]
    rt60: float
    seed: int

    @property
    def impulse_response(self) -> np.ndarray:
        """From the talker to the microphone (time,), at 16 kHz; see `noise.room_impulse_response`."""
        return _noise.room_impulse_response(self.size, self.source, self.microphone, self.rt60, self.seed)

    def reverberate(self, waveform: np.ndarray) -> np.ndarray:
        """`waveform` (time,) as the microphone hears it, in step with the dry one and as long."""
        return _noise.reverberate(waveform, self.impulse_response)


def rooms(split: str) -> list[Room]:
    """Rooms of one split, from a small office to a class room; no room is in two splits."""
    if split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    made = []
    for i in range(_ROOMS[split]):
        seed = _seed("room", split, i)
        rng = np.random.default_rng(seed)
        size = rng.uniform((3.0, 3.0, 2.4), (10.0, 8.0, 3.6))
        low, high = np.minimum(0.5, size / 4), size - np.minimum(0.5, size / 4)
        source = rng.uniform(low, high)
        microphone = source
        while np.linalg.norm(microphone - source) < 0.3:
            microphone = np.clip(source + rng.uniform(-2.5, 2.5, 3) * (1, 1, 0.2), low, high)
        size, source, microphone = (
            tuple(round(float(x), 2) for x in place) for place in (size, source, microphone)
        )
        made.append(
            Room(f"room-{split}-{i}", split, size, source, microphone, round(rng.uniform(0.15, 0.8), 2), seed)
        )
    return made


# --- chorales ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Chorale:
    """A four-part chorale by J. S. Bach on a grid of 16th notes.

    `pitches` (steps, 4) are MIDI numbers of soprano, alto, tenor, bass, 0 for a rest; `onsets` (steps, 4) are
    True where a note begins; `key_signature` counts sharps (negative: flats); `steps_per_bar` and
    `pickup_steps` say where the bars are.
    """

    name: str
    split: str
    pitches: np.ndarray
    onsets: np.ndarray
    key_signature: int
    steps_per_bar: int
    pickup_steps: int

    @property
    def step_in_bar(self) -> np.ndarray:
        """Place of each step in its bar (steps,), 0 on the first beat; four steps are a quarter note."""
        return (np.arange(len(self.pitches)) - self.pickup_steps) % self.steps_per_bar


@_per_manifest
def _all_chorales() -> tuple[Chorale, ...]:
    file = "music/chorales.npz"
    try:
        with np.load(io.BytesIO(read(file)), allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in packed.files}
        starts = arrays["starts"]
        pitches, onsets = arrays["pitches"].astype(np.int64), arrays["onsets"].astype(bool)
        for grid in (pitches, onsets):  # shared by everyone who asks
            grid.setflags(write=False)
        return tuple(
            Chorale(
                str(name),
                SPLITS[arrays["split"][i]],
                pitches[starts[i] : starts[i + 1]],
                onsets[starts[i] : starts[i + 1]],
                int(arrays["key_signature"][i]),
                int(arrays["steps_per_bar"][i]),
                int(arrays["pickup_steps"][i]),
            )
            for i, name in enumerate(arrays["names"])
        )
    except (KeyError, IndexError, ValueError) as error:
        raise damaged(file, f"it does not hold what it should ({error})") from error


def chorales(split: str | None = None) -> list[Chorale]:
    """Bach chorales; the splits follow JSB-Chorales by content and are not any paper's own."""
    _check_split(split)
    return [chorale for chorale in _all_chorales() if split in (None, chorale.split)]


def catalogue() -> str:
    """The public data sets that `download` can fetch, as text: name, size, licence, what it is."""
    return "\n".join(
        f"{dataset.name:<28}{dataset.size / 1e9:>7.2f} GB  {dataset.about}\n{'':<28}{'':>10}  {dataset.licence}"
        for dataset in REGISTRY.values()
    )
