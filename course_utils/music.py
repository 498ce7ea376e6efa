"""Four-part music on a grid: sound, MIDI files, typed melodies, and the rules of part-writing.

A grid is an integer array (steps, 4): soprano, alto, tenor, bass as MIDI numbers, one row a 16th note,
0 = rest. Four steps are a beat.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from course_utils.paths import SAMPLE_RATE

VOICES = ("soprano", "alto", "tenor", "bass")
STEPS_PER_BEAT = 4
LOWEST, HIGHEST = 30, 92
"""Pitches a grid may hold (F#1 to G#6): every voice of the chorales in all twelve keys."""
RANGES = ((60, 81), (53, 76), (48, 69), (36, 64))
"""Usual range of each voice, as textbooks give it, in MIDI numbers."""
MAX_STEPS = 40_000
"""The longest melody or MIDI file that is read: 10,000 beats, two hours at 76 beats a minute."""

_TONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


class MusicError(ValueError):
    """Music that can not be used, and what to do about it."""


def check_grid(grid: np.ndarray, name: str = "grid", min_steps: int = 1) -> np.ndarray:
    """Return `grid` as (steps, 4) int64, or say what is wrong with it.

    Raises:
        MusicError: other shape, no integers, fewer than `min_steps` steps, or a pitch outside 30 to 92.
    """
    array = np.asarray(grid)
    if array.ndim != 2 or array.shape[1] != 4:
        raise MusicError(f"{name}: expected shape (steps, 4), one column a voice, got {array.shape}")
    if array.dtype.kind not in "iu" and array.size:  # an empty grid holds no number that would be none
        raise MusicError(
            f"{name}: expected integers (MIDI numbers, 0 = rest), got {array.dtype}; round them first"
        )
    if len(array) < min_steps:
        raise MusicError(f"{name}: expected at least {min_steps} steps of a 16th, got {len(array)}")
    array = array.astype(np.int64)
    wrong = (array != 0) & ((array < LOWEST) | (array > HIGHEST))
    if wrong.any():
        step, voice = map(int, np.argwhere(wrong)[0])
        raise MusicError(
            f"{name}: step {step}, {VOICES[voice]}: {array[step, voice]} is neither a rest (0) nor a pitch from "
            f"{LOWEST} to {HIGHEST}; transpose it by octaves"
        )
    return array


# --- notes -----------------------------------------------------------------------------------------------


class Note(NamedTuple):
    """A note of one voice; `start` and `length` in steps of a 16th."""

    voice: int
    pitch: int
    start: int
    length: int


def notes(grid: np.ndarray, onsets: np.ndarray | None = None) -> list[Note]:
    """The notes of a grid, voice after voice. Without `onsets` (steps, 4), equal neighbours are one note.

    Raises:
        MusicError: not a grid, or onsets of another shape.
    """
    grid = check_grid(grid, min_steps=0)
    begins = np.ones(grid.shape, bool)
    begins[1:] = grid[1:] != grid[:-1]
    if onsets is not None:
        onsets = np.asarray(onsets, bool)
        if onsets.shape != grid.shape:
            raise MusicError(f"onsets: expected shape {grid.shape} as the grid has, got {onsets.shape}")
        begins |= onsets
    result = []
    for voice in range(4):
        starts = np.flatnonzero(begins[:, voice])
        for start, end in zip(starts, [*starts, len(grid)][1:], strict=True):
            if pitch := int(grid[start, voice]):
                result.append(Note(voice, pitch, int(start), int(end - start)))
    return result


def melody(text: str) -> np.ndarray:
    """A typed melody as pitches (steps,): `melody("G4 G4 D5*2 B4 A4*.5 r")`.

    A note is a letter, # or b if needed, and its octave (C4 is middle C), r is a rest; `*2` makes it two
    beats long, without it a note lasts one beat.

    Raises:
        MusicError: a word that is no note, a length that is not a whole number of 16ths, or nothing at all.
    """
    steps: list[int] = []
    for word in text.replace("|", " ").split():
        match = re.fullmatch(r"(?:([A-Ga-g])([#b]?)(\d)|[rR])(?:\*(\d*\.?\d+))?", word)
        if not match:
            raise MusicError(f"{word!r} is no note; write for example G4, F#4*2, Bb3*.5 or r")
        letter, sign, octave, beats = match.groups()
        length = float(beats or 1) * STEPS_PER_BEAT
        if len(steps) + length > MAX_STEPS:
            raise MusicError(
                f"{word!r}: the melody would be longer than {MAX_STEPS // STEPS_PER_BEAT:,} beats"
            )
        if length != round(length) or not length:
            raise MusicError(f"{word!r}: the length must be a multiple of .25 beats (a 16th)")
        pitch = 0
        if letter:
            pitch = 12 * (int(octave) + 1) + _TONES[letter.upper()] + {"#": 1, "b": -1, "": 0}[sign]
            if not LOWEST <= pitch <= HIGHEST:
                raise MusicError(f"{word!r} (MIDI {pitch}) lies outside {LOWEST} to {HIGHEST}")
        steps += [pitch] * round(length)
    if not steps:
        raise MusicError("the melody is empty; write for example 'G4 A4 B4*2'")
    return np.array(steps, np.int64)


def pitch_name(pitch: int) -> str:
    """Name of a MIDI number, with sharps: 60 is C4."""
    return (
        "r"
        if pitch == 0
        else ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")[pitch % 12]
        + str(pitch // 12 - 1)
    )


# --- sound -----------------------------------------------------------------------------------------------


def tone(pitch: float, seconds: float, brightness: float = 0.55, release: float = 0.08) -> np.ndarray:
    """One note by adding sines: harmonic k has the amplitude `brightness` ** (k - 1) and decays faster.

    Args:
        pitch: MIDI number; A4 = 69 = 440 Hz, equal temperament.
        seconds: how long it is held; the sound lasts `release` longer.
        brightness: below 1; how strong the overtones are.
        release: fade at the end, in seconds.

    Returns:
        a waveform with a peak near 1. No harmonic lies above half the sample rate.

    Raises:
        MusicError: a pitch that is none, a length that is negative or above an hour, or a timbre out of range.
    """
    if not (0 <= pitch <= 127 and 0 <= seconds <= 3600 and 0 <= brightness < 1 and 0 < release <= 60):
        raise MusicError(
            "expected a pitch from 0 to 127, seconds from 0 to 3600, a brightness from 0 to below 1 and a release "
            f"above 0 and up to 60 s, got {pitch}, {seconds}, {brightness} and {release}"
        )
    frequency = 440.0 * 2 ** ((pitch - 69) / 12)
    time = np.arange(round((seconds + release) * SAMPLE_RATE)) / SAMPLE_RATE
    count = min(10, int(0.5 * SAMPLE_RATE / frequency))
    sound = np.zeros_like(time)
    for k in range(1, count + 1):
        decay = np.exp(-time * 0.35 * k)
        sound += brightness ** (k - 1) * decay * np.sin(2 * np.pi * k * frequency * time)
    attack = np.minimum(time / 0.015, 1)
    fade = np.clip((seconds + release - time) / release, 0, 1)
    return (sound * attack * fade * (1 - brightness)).astype(np.float32)


def synthesise(
    grid: np.ndarray,
    onsets: np.ndarray | None = None,
    tempo: float = 76.0,
    gains: Sequence[float] = (1.0, 0.8, 0.8, 1.0),
) -> np.ndarray:
    """A grid as a waveform (time,), peak 0.5.

    Args:
        grid: (steps, 4) MIDI numbers, 0 = rest.
        onsets: (steps, 4), 1 where a note begins; without it repeated notes are one long note.
        tempo: beats a minute.
        gains: of soprano, alto, tenor, bass; (1, 0, 0, 0) is the soprano alone.

    Raises:
        MusicError: not a grid, a tempo outside 10 to 600, or not four gains.
    """
    step = 60.0 / _check_tempo(tempo) / STEPS_PER_BEAT
    if len(gains) != len(VOICES):
        raise MusicError(f"gains: expected one for each of {', '.join(VOICES)}, got {len(gains)}")
    grid = check_grid(grid, min_steps=0)
    if len(grid) * step > 3600:
        raise MusicError(
            f"the grid lasts {len(grid) * step:.0f} s at this tempo, at most an hour is made at once; play a part"
        )
    sound = np.zeros(round((len(grid) * step + 0.3) * SAMPLE_RATE), np.float32)
    tones: dict[tuple[int, int], np.ndarray] = {}  # the same notes come again and again
    for note in notes(grid, onsets):
        if gains[note.voice]:
            key = note.pitch, note.length
            if key not in tones:
                tones[key] = tone(note.pitch, note.length * step)
            start = round(note.start * step * SAMPLE_RATE)
            clip = tones[key][: len(sound) - start]
            sound[start : start + len(clip)] += np.float32(gains[note.voice]) * clip
    peak = float(np.abs(sound).max(initial=0.0))
    return sound * np.float32(0.5 / peak) if peak else sound


def _check_tempo(tempo: float) -> float:
    if not 10 <= tempo <= 600:
        raise MusicError(f"expected a tempo from 10 to 600 beats a minute, got {tempo}")
    return tempo


# --- MIDI files --------------------------------------------------------------------------------------------


def save_midi(
    path: str | os.PathLike, grid: np.ndarray, onsets: np.ndarray | None = None, tempo: float = 76.0
) -> Path:
    """Write a grid as a standard MIDI file, one track a voice, and return its path.

    A file of that name stays as it is until the new one is complete.

    Raises:
        MusicError: not a grid, a tempo outside 10 to 600, or a place that can not be written.
    """
    import mido  # only MIDI files need it

    path, tempo = Path(path), _check_tempo(tempo)
    file = mido.MidiFile(ticks_per_beat=480)
    ticks = file.ticks_per_beat // STEPS_PER_BEAT
    conductor = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
    file.tracks.append(conductor)
    every = notes(grid, onsets)
    for voice, name in enumerate(VOICES):
        track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
        now = 0
        for note in (n for n in every if n.voice == voice):
            start, end = note.start * ticks, (note.start + note.length) * ticks
            track.append(
                mido.Message("note_on", channel=voice, note=note.pitch, velocity=72, time=start - now)
            )
            track.append(mido.Message("note_off", channel=voice, note=note.pitch, time=end - start))
            now = end
        # Rests at the end count: the file lasts as long as the grid.
        track.append(mido.MetaMessage("end_of_track", time=len(grid) * ticks - now))
        file.tracks.append(track)
    data = io.BytesIO()
    file.save(file=data)
    place = Path(os.path.realpath(path))  # a link stays a link
    beside = place.with_name(f".{os.getpid()}.part")
    try:
        if place.exists() and not place.is_file():
            raise MusicError(f"can not write {path}: it is a folder, a device or a pipe, not a file")
        beside.write_bytes(data.getvalue())
        beside.replace(place)
    except OSError as error:
        raise MusicError(f"can not write {path} ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):  # gone already, or never made
            beside.unlink()
    return path


def load_midi(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a four-voice MIDI file as (grid, onsets), both (steps, 4).

    A voice is a track or a channel, whichever of them there are four of with notes. They are sorted by mean pitch
    from the highest to the lowest, unless the tracks are called soprano, alto, tenor and bass; then a voice may
    rest throughout. Starts and ends are rounded to 16ths. A note that is struck again ends there, one that
    never ends lasts to the end of its track. Files in SMPTE time are read by time, at their tempo or at 120
    beats a minute.

    Raises:
        MusicError: missing, empty, damaged, no MIDI file, not four voices, longer than 10,000 beats, or a note
            that the grid can not hold, with its bar and beat: outside the range, or at the same time as another
            of its voice.
    """
    path = Path(path)
    file = _read_midi(path)
    steps_at = _clock(file, path.name)
    played = [note for number, track in enumerate(file.tracks) for note in _played(number, track)]
    voices = _voices(file, played, path.name)
    length = steps_at(max(sum(message.time for message in track) for track in file.tracks))
    if length > MAX_STEPS:
        raise MusicError(
            f"{path.name}: it lasts {length / STEPS_PER_BEAT:,.0f} beats, at most "
            f"{MAX_STEPS // STEPS_PER_BEAT:,} are read; cut it first"
        )
    # The last note may begin so late that its start is rounded to the end.
    steps = max([round(length), *(round(steps_at(note.start)) + 1 for note in played)])
    grid, onsets = np.zeros((steps, 4), np.int64), np.zeros((steps, 4), np.uint8)
    for voice, notes_of_voice in enumerate(voices):
        for note in sorted(notes_of_voice, key=lambda note: note.start):
            first = round(steps_at(note.start))
            last = max(round(steps_at(note.end)), first + 1)  # shorter than a 16th is a 16th, not nothing
            place = f"{path.name}, {VOICES[voice]}, {_bar_and_beat(file, first)}"
            if not LOWEST <= note.pitch <= HIGHEST:
                raise MusicError(
                    f"{place}: MIDI number {note.pitch} is not from {LOWEST} to {HIGHEST}; transpose it by octaves"
                )
            if (taken := grid[first:last, voice]).any():
                raise MusicError(
                    f"{place}: {pitch_name(note.pitch)} and {pitch_name(int(taken.max()))} at the same time, where a "
                    "voice holds one note in each 16th; part them into two voices or leave one out"
                )
            grid[first:last, voice] = note.pitch
            onsets[first, voice] = 1
    return grid, onsets


class _Played(NamedTuple):
    """A note of a MIDI file; `start` and `end` in ticks."""

    track: int
    channel: int
    pitch: int
    start: int
    end: int


def _read_midi(path: Path) -> Any:
    import mido

    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise MusicError(f"{path} can not be read: it is a folder, a device or a pipe, not a file")
        if path.stat().st_size > 4_000_000:  # a chorale has 5 KB
            raise MusicError(
                f"{path.name} has {path.stat().st_size:,} bytes, too many for a piece in four voices"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MusicError(f"there is no file {path}") from error
    except OSError as error:
        raise MusicError(f"{path} can not be read ({error.strerror or error})") from error
    if not data:
        raise MusicError(f"{path.name} is empty, so it is not a MIDI file")
    try:
        file = mido.MidiFile(file=io.BytesIO(data))
    except (
        Exception
    ) as error:  # damage makes it stumble in many ways, and some of its errors are plain Exceptions
        reason = str(error) or "it ends in the middle"
        raise MusicError(f"{path.name} is damaged, or not a MIDI file ({reason})") from error
    if file.type not in (0, 1):
        raise MusicError(
            f"{path.name}: type {file.type} holds pieces that do not sound together; save it as type 0 or 1"
        )
    return file


def _timed(track: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """The messages of a track, each with its tick since the start."""
    now = 0
    for message in track:
        now += message.time
        yield now, message


def _clock(file: Any, name: str) -> Callable[[int], float]:
    """How many 16ths have passed at a tick (Standard MIDI Files 1.0, header chunk)."""
    division = file.ticks_per_beat
    if division > 0:
        return lambda tick: tick / (division / STEPS_PER_BEAT)
    frames, ticks_per_frame = -(division >> 8), division & 0xFF  # SMPTE: the file counts time, not beats
    if frames not in (24, 25, 29, 30) or not ticks_per_frame:
        raise MusicError(
            f"{name}: its header gives {division} ticks a beat, so nothing in it has a length; export it again"
        )
    rate = (30_000 / 1001 if frames == 29 else frames) * ticks_per_frame
    changes = [(tick, m.tempo) for track in file.tracks for tick, m in _timed(track) if m.type == "set_tempo"]
    ticks, microseconds = np.array([(0, 500_000), *sorted(changes)], np.float64).T
    speed = STEPS_PER_BEAT * 1e6 / np.maximum(microseconds, 1) / rate  # 16ths a tick
    before = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * speed[:-1])])

    def steps_at(tick: int) -> float:
        last = np.searchsorted(ticks, tick, side="right") - 1
        return float(before[last] + (tick - ticks[last]) * speed[last])

    return steps_at


def _played(number: int, track: Sequence[Any]) -> list[_Played]:
    """The notes of a track."""
    now, result = 0, []
    last: dict[tuple[int, int], list[int]] = {}  # the last note of a channel and pitch
    waiting: dict[tuple[int, int], int] = {}  # ends that are still to come, by channel and pitch
    sounding: set[tuple[int, int]] = set()
    for now, message in _timed(track):
        if message.type not in ("note_on", "note_off"):
            continue
        key = message.channel, message.note
        if message.type == "note_on" and message.velocity:
            if key in sounding:
                last[key][1] = now
            waiting[key] = waiting.get(key, 0) + 1 if key in sounding else 1
            last[key] = [now, -1]
            result.append((key, last[key]))
            sounding.add(key)
        elif waiting.get(key):  # the end of a note that was struck again may come after the new start
            last[key][1] = now
            waiting[key] -= 1
            sounding.discard(key)
    return [_Played(number, *key, start, now if end < 0 else end) for key, (start, end) in result]


def _voices(file: Any, played: Sequence[_Played], name: str) -> list[list[_Played]]:
    """The notes of soprano, alto, tenor and bass."""
    if any(note.channel == 9 for note in played):  # General MIDI: counted from 1 it is the tenth
        raise MusicError(
            f"{name}: there are notes in channel 10, which are drums and no pitches; take them out first"
        )
    called = [track.name.strip("\0 ").lower() for track in file.tracks]
    if all(called.count(voice) == 1 for voice in VOICES) and {called[n.track] for n in played} <= set(VOICES):
        return [[note for note in played if called[note.track] == voice] for voice in VOICES]
    tracks, channels = ({note[field] for note in played} for field in (0, 1))
    for fields in (slice(0, 1), slice(1, 2), slice(0, 2)):  # tracks, channels, channels of each track
        parts: dict[tuple, list[_Played]] = {}
        for note in played:
            parts.setdefault(note[fields], []).append(note)
        if len(parts) == 4:
            return sorted(parts.values(), key=lambda part: -float(np.mean([note.pitch for note in part])))
    raise MusicError(
        f"{name}: expected four voices, as four tracks or four channels with notes or as tracks called "
        f"{', '.join(VOICES)}; there are notes in {len(tracks)} track(s) and {len(channels)} channel(s)"
    )


def _bar_and_beat(file: Any, step: int) -> str:
    """Where a step is, counted from 1 in the first time signature of the file (4/4 if there is none)."""
    signatures = (message for track in file.tracks for message in track if message.type == "time_signature")
    first = next(signatures, None)
    bar = 4 * STEPS_PER_BEAT * first.numerator // first.denominator if first else 0
    bar = bar or 4 * STEPS_PER_BEAT
    return f"bar {step // bar + 1}, beat {step % bar / STEPS_PER_BEAT + 1:g}"


# --- rules of part-writing ---------------------------------------------------------------------------------

RULES = ("parallel fifths", "parallel octaves", "crossings", "spacing", "range", "leaps")
"""What `rule_breaks` counts."""


def _begins(condition: np.ndarray) -> int:
    """How often a condition (steps, ...) becomes true."""
    before = np.concatenate([np.zeros_like(condition[:1]), condition[:-1]])
    return int((condition & ~before).sum())


def rule_breaks(grid: np.ndarray) -> dict[str, int]:
    """Count breaks of six rules that students of harmony learn. Bach breaks them too, now and then.

    - parallel fifths (octaves): two voices move at the same time, both up or both down, from a fifth
      (octave or unison) to a fifth (octave or unison), compound intervals included;
    - crossings: passages in which a voice sounds above the one over it;
    - spacing: passages with more than an octave between soprano and alto, or alto and tenor;
    - range: notes outside `RANGES`;
    - leaps: a voice moves by more than a sixth (9 semitones), octaves excepted.
    """
    grid = check_grid(grid)
    sounding = grid > 0
    breaks = dict.fromkeys(RULES, 0)

    move = np.diff(grid, axis=0)
    moved = (move != 0) & sounding[1:] & sounding[:-1]
    size = np.abs(move)
    breaks["leaps"] = int((moved & (size > 9) & (size != 12)).sum())
    for low in range(1, 4):
        for high in range(low):
            interval = (grid[:, high] - grid[:, low]) % 12
            together = moved[:, high] & moved[:, low] & (np.sign(move[:, high]) == np.sign(move[:, low]))
            for name, size in (("parallel fifths", 7), ("parallel octaves", 0)):
                breaks[name] += int((together & (interval[1:] == size) & (interval[:-1] == size)).sum())

    both = sounding[:, :-1] & sounding[:, 1:]
    gap = grid[:, :-1] - grid[:, 1:]
    breaks["crossings"] = _begins(both & (gap < 0))
    breaks["spacing"] = _begins((both & (gap > 12))[:, :2])
    low, high = np.array(RANGES).T
    outside = sounding & ((grid < low) | (grid > high))
    # A new pitch outside the range is a new break, a held one is not.
    breaks["range"] = int(outside[0].sum() + (outside[1:] & (move != 0)).sum())
    return breaks


def rates(grid: np.ndarray) -> dict[str, float]:
    """`rule_breaks` per 100 beats."""
    beats = len(check_grid(grid)) / STEPS_PER_BEAT
    return {rule: 100 * count / beats for rule, count in rule_breaks(grid).items()}


def pitch_class_entropy(grid: np.ndarray) -> float:
    """Entropy in bits of the twelve pitch classes, weighted by length: 0 to log2(12) = 3.58.

    Music in one key uses seven of them, most often three: about 2.7 bits. Silence has none (0).
    """
    grid = check_grid(grid)
    counts = np.bincount(grid[grid > 0] % 12, minlength=12)
    if not counts.sum():
        return 0.0
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def notes_that_move(grid: np.ndarray) -> float:
    """How many notes of a grid, in per cent, have another pitch than the step before."""
    grid = check_grid(grid)
    return 100 * float((grid[1:] != grid[:-1]).mean()) if len(grid) > 1 else 0.0


def longest_copy(grid: np.ndarray, others: Sequence[np.ndarray]) -> int:
    """Length in steps of the longest passage that also stands in one of `others`, in whatever key.

    A passage is compared by its chords and the movement between them, so a transposed copy is a copy.
    """
    mine = _keyless(grid)
    # All others in one row; the 0 between them equals nothing.
    theirs = np.concatenate([np.append(_keyless(other), np.uint64(0)) for other in others or [grid[:1]]])
    longest, run = 0, np.zeros(len(theirs) + 1, np.int32)
    for movement in mine:
        run[1:] = np.where(theirs == movement, run[:-1] + 1, 0)
        longest = max(longest, int(run.max()))
    # A passage of n equal movements joins n + 1 chords.
    return longest + 1 if longest else 0


def _keyless(grid: np.ndarray) -> np.ndarray:
    """One number (a hash, never 0) for each movement from chord to chord, the same in every key (steps - 1,)."""
    grid = check_grid(grid)
    top = grid.max(axis=1, keepdims=True)
    spread = np.where(grid > 0, top - grid + 1, 0)
    movement = np.concatenate([spread[:-1], spread[1:], top[1:] - top[:-1] + 128], axis=1).astype(np.uint64)
    return movement @ (np.uint64(251) ** np.arange(9, dtype=np.uint64)) | np.uint64(1)


def shuffled(grid: np.ndarray, seed: int = 0) -> np.ndarray:
    """The beats of a grid in random order: the negative control. Same chords, no sense."""
    grid = check_grid(grid)
    beats = [grid[i : i + STEPS_PER_BEAT] for i in range(0, len(grid), STEPS_PER_BEAT)]
    order = np.random.default_rng(seed).permutation(len(beats))
    return np.concatenate([beats[i] for i in order])


def quality(pieces: Mapping[str, np.ndarray] | Sequence[np.ndarray]) -> dict[str, tuple[float, float, float]]:
    """25 %, 50 % and 75 % point over several pieces: every rule's rate, the entropy, and the notes that move."""
    grids = list(pieces.values()) if isinstance(pieces, Mapping) else list(pieces)
    if not grids:
        raise MusicError("no pieces to measure")
    rows = [
        {
            **rates(grid),
            "pitch-class entropy": pitch_class_entropy(grid),
            "notes that move, %": notes_that_move(grid),
        }
        for grid in grids
    ]
    return {
        name: tuple(float(q) for q in np.percentile([row[name] for row in rows], [25, 50, 75]))
        for name in rows[0]
    }
