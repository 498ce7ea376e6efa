"""Four-part music on a grid: sound, MIDI files, typed melodies, and the rules of part-writing.

A grid is an integer array (steps, 4): soprano, alto, tenor, bass as MIDI numbers, one row a 16th note,
0 = rest. Four steps are a beat.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from course_utils.audio import SAMPLE_RATE

VOICES = ("soprano", "alto", "tenor", "bass")
STEPS_PER_BEAT = 4
LOWEST, HIGHEST = 30, 92
"""Pitches a grid may hold (F#1 to G#6): every voice of the chorales in all twelve keys."""
RANGES = ((60, 81), (53, 76), (48, 69), (36, 64))
"""Usual range of each voice, as textbooks give it, in MIDI numbers."""

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
    if array.dtype.kind not in "iu":
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
    """The notes of a grid, voice after voice. Without `onsets` (steps, 4), equal neighbours are one note."""
    grid = check_grid(grid, min_steps=0)
    begins = np.ones(grid.shape, bool)
    begins[1:] = grid[1:] != grid[:-1]
    if onsets is not None:
        begins |= np.asarray(onsets, bool)
    result = []
    for voice in range(4):
        starts = np.flatnonzero(begins[:, voice])
        for start, end in zip(starts, [*starts[1:], len(grid)], strict=True):
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
    """
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
        MusicError: not a grid, or a tempo outside 10 to 600.
    """
    if not 10 <= tempo <= 600:
        raise MusicError(f"expected a tempo from 10 to 600 beats a minute, got {tempo}")
    step = 60.0 / tempo / STEPS_PER_BEAT
    grid = check_grid(grid, min_steps=0)
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


# --- MIDI files --------------------------------------------------------------------------------------------


def save_midi(
    path: str | os.PathLike, grid: np.ndarray, onsets: np.ndarray | None = None, tempo: float = 76.0
) -> Path:
    """Write a grid as a standard MIDI file, one track a voice, and return its path."""
    import mido  # only MIDI files need it

    path = Path(path)
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
    file.save(path)
    return path


def load_midi(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a four-voice MIDI file as (grid, onsets), both (steps, 4).

    Voices are the first four tracks with notes, sorted by mean pitch from the highest to the lowest.

    Raises:
        MusicError: missing, no MIDI file, not four tracks with notes, or pitches outside the range.
    """
    import mido

    path = Path(path)
    if not path.exists():
        raise MusicError(f"there is no file {path}")
    try:
        file = mido.MidiFile(path)
    except (OSError, ValueError, EOFError, KeyError, IndexError) as error:
        raise MusicError(f"{path.name} is not a MIDI file that can be read ({error})") from error
    voices = [v for v in (_track_notes(track) for track in file.tracks) if v]
    if len(voices) != 4:
        raise MusicError(f"{path.name}: expected four tracks with notes, got {len(voices)}")
    voices.sort(key=lambda v: -float(np.mean([pitch for pitch, _, _ in v])))
    ticks = file.ticks_per_beat / STEPS_PER_BEAT
    length = max(sum(message.time for message in track) for track in file.tracks)
    steps = max(round(length / ticks), 1)
    grid, onsets = np.zeros((steps, 4), np.int64), np.zeros((steps, 4), np.uint8)
    for voice, played in enumerate(voices):
        for pitch, start, end in played:
            first, last = round(start / ticks), round(end / ticks)
            if first < min(last, steps):
                grid[first:last, voice] = pitch
                onsets[first, voice] = 1
    return check_grid(grid, path.name), onsets


def _track_notes(track: list) -> list[tuple[int, int, int]]:
    """(pitch, start, end) of each note of a track, in ticks."""
    now, open_notes, result = 0, {}, []
    for message in track:
        now += message.time
        if message.type == "note_on" and message.velocity:
            open_notes[message.note] = now
        elif message.type in ("note_on", "note_off") and message.note in open_notes:
            result.append((message.note, open_notes.pop(message.note), now))
    return result


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
    """25 %, 50 % and 75 % point of every rule's rate and of the entropy over several pieces."""
    grids = list(pieces.values()) if isinstance(pieces, Mapping) else list(pieces)
    if not grids:
        raise MusicError("no pieces to measure")
    rows = [{**rates(grid), "pitch-class entropy": pitch_class_entropy(grid)} for grid in grids]
    return {
        name: tuple(float(q) for q in np.percentile([row[name] for row in rows], [25, 50, 75]))
        for name in rows[0]
    }
