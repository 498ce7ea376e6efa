"""Music on a grid: sound, MIDI files, typed melodies, rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import music
from course_utils.audio import SAMPLE_RATE
from course_utils.music import MusicError

C_MAJOR = [72, 67, 64, 48]


def chords(*rows, steps=4):
    """A grid of chords, each held for `steps` steps."""
    return np.repeat(np.array(rows, np.int64), steps, axis=0)


@pytest.fixture(scope="module")
def chorale():
    path = music.__file__.replace("course_utils/music.py", "data/music/chorales.npz")
    with np.load(path) as packed:
        start, end = packed["starts"][:2]
        return packed["pitches"][start:end].astype(int), packed["onsets"][start:end]


# --- grids -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (np.zeros((8,), int), "shape"),
        (np.zeros((8, 3), int), "shape"),
        (np.zeros((0, 4), int), "at least 1"),
        (np.full((8, 4), 60.0), "integers"),
        (np.full((8, 4), 12), "from 30 to 92"),
        (np.full((8, 4), -1), "from 30 to 92"),
        (np.full((8, 4), 120), "octaves"),
    ],
)
def test_what_is_no_grid_is_refused_with_a_reason(grid, message):
    with pytest.raises(MusicError, match=message):
        music.check_grid(grid)


def test_equal_neighbours_are_one_note_unless_an_onset_says_otherwise():
    grid = chords(C_MAJOR, C_MAJOR)
    assert len(music.notes(grid)) == 4
    onsets = np.zeros_like(grid)
    onsets[4, 0] = 1
    soprano = [note for note in music.notes(grid, onsets) if note.voice == 0]
    assert [(n.start, n.length) for n in soprano] == [(0, 4), (4, 4)]


def test_rests_are_no_notes():
    assert music.notes(chords([0, 0, 0, 0])) == []


# --- melodies --------------------------------------------------------------------------------------------


def test_a_melody_is_read_as_it_is_written():
    steps = music.melody("C4 F#4*.5 Bb3*1.5 | r A4*2")
    assert steps.tolist() == [60] * 4 + [66] * 2 + [58] * 6 + [0] * 4 + [69] * 8


@pytest.mark.parametrize("text", ["", "H4", "C", "C4*", "C4*.1", "C4*0", "C9", "4", "C4,D4"])
def test_a_mistyped_melody_names_the_word(text):
    with pytest.raises(MusicError, match="empty" if not text else "'"):
        music.melody(text)


@settings(deadline=None)
@given(st.integers(music.LOWEST, music.HIGHEST))
def test_a_pitch_is_read_back_from_its_name(pitch):
    assert music.melody(music.pitch_name(pitch) + "*.25").tolist() == [pitch]


# --- sound -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", [36, 57, 69, 81, 92])
def test_a_tone_has_the_frequency_of_its_pitch(pitch):
    sound = music.tone(pitch, 1.0)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 8 * len(sound)))
    peak = np.argmax(spectrum) * SAMPLE_RATE / (8 * len(sound))
    assert abs(1200 * np.log2(peak / (440 * 2 ** ((pitch - 69) / 12)))) < 5, "cents"
    assert sound.dtype == np.float32 and np.abs(sound).max() <= 1


def test_a_grid_lasts_as_long_as_its_tempo_says_and_its_peak_is_one_half(chorale):
    grid, onsets = chorale
    sound = music.synthesise(grid[:64], onsets[:64], tempo=120)
    assert len(sound) == round((16 * 0.5 + 0.3) * SAMPLE_RATE)
    assert np.abs(sound).max() == pytest.approx(0.5)


def test_a_voice_can_be_heard_alone():
    grid = chords(C_MAJOR)
    alone = chords([72, 0, 0, 0])
    assert np.allclose(music.synthesise(grid, gains=(1, 0, 0, 0)), music.synthesise(alone), atol=1e-6)


def test_silence_stays_silent_and_a_single_step_sounds():
    assert not music.synthesise(chords([0, 0, 0, 0])).any()
    assert music.synthesise(np.array([C_MAJOR])).any()


def test_a_tempo_beyond_reason_is_refused():
    with pytest.raises(MusicError, match="tempo"):
        music.synthesise(chords(C_MAJOR), tempo=0)


# --- MIDI ------------------------------------------------------------------------------------------------


def test_a_chorale_comes_back_from_its_midi_file(chorale, tmp_path):
    grid, onsets = chorale
    path = music.save_midi(tmp_path / "chorale.mid", grid, onsets)
    again, begins = music.load_midi(path)
    assert np.array_equal(again, grid)
    assert np.array_equal(begins, onsets)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(*[st.sampled_from([0, p, p + 2, p + 3]) for p in C_MAJOR]), min_size=1, max_size=24)
)
def test_any_grid_with_four_sounding_voices_comes_back(tmp_path_factory, rows):
    grid = np.array([*rows, C_MAJOR, [0, 0, 0, 0]])
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    again, _ = music.load_midi(music.save_midi(path, grid))
    assert np.array_equal(again, grid)


def test_a_file_that_is_no_midi_is_refused(tmp_path):
    bad = tmp_path / "bad.mid"
    bad.write_bytes(b"not a midi file at all")
    with pytest.raises(MusicError, match="not a MIDI file"):
        music.load_midi(bad)
    bad.write_bytes(b"")
    with pytest.raises(MusicError, match="not a MIDI file"):
        music.load_midi(bad)
    with pytest.raises(MusicError, match="no file"):
        music.load_midi(tmp_path / "none.mid")


def test_a_cut_midi_file_is_refused(chorale, tmp_path):
    path = music.save_midi(tmp_path / "a.mid", *chorale)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(MusicError):
        music.load_midi(path)


# --- rules -----------------------------------------------------------------------------------------------


def broken(grid):
    return {rule: count for rule, count in music.rule_breaks(grid).items() if count}


def test_a_plain_cadence_breaks_no_rule():
    grid = chords([72, 67, 64, 48], [72, 69, 65, 53], [71, 67, 62, 55], [72, 67, 64, 48])
    assert broken(grid) == {}


def test_voices_that_move_in_fifths_or_octaves_are_found():
    # Tenor and bass rise from F-C to G-D: a fifth each time.
    assert broken(chords([72, 69, 60, 53], [71, 67, 62, 55])) == {"parallel fifths": 1}
    # Soprano and bass rise from C to D.
    assert broken(chords([72, 67, 64, 48], [74, 65, 57, 50])) == {"parallel octaves": 1}


def test_a_repeated_fifth_and_one_reached_in_contrary_motion_are_allowed():
    assert broken(chords([72, 69, 60, 53], [72, 69, 60, 53])) == {}
    assert broken(chords([72, 69, 60, 53], [72, 69, 64, 45])) == {}


def test_crossing_spacing_range_and_leaps_are_counted_once_a_passage():
    assert broken(chords([67, 69, 64, 48], [67, 69, 64, 48])) == {"crossings": 1}
    assert broken(chords([79, 64, 60, 48], [81, 64, 60, 48])) == {"spacing": 1}
    assert broken(chords([84, 74, 64, 48])) == {"range": 1}
    assert broken(chords([72, 67, 64, 48], [72, 67, 64, 59])) == {"leaps": 1}
    assert broken(chords([72, 67, 64, 48], [72, 67, 64, 60])) == {}, "an octave is allowed"


def test_bach_breaks_fewer_rules_than_his_own_beats_in_another_order(chorale):
    grid, _ = chorale
    bach, control = music.rates(grid), music.rates(music.shuffled(grid, seed=1))
    for rule in ("parallel fifths", "parallel octaves", "leaps"):
        assert bach[rule] < control[rule]


def test_shuffling_keeps_the_chords_and_follows_its_seed(chorale):
    grid, _ = chorale
    once, again, other = (music.shuffled(grid, seed) for seed in (1, 1, 2))
    assert np.array_equal(once, again) and not np.array_equal(once, other)
    assert sorted(map(tuple, once)) == sorted(map(tuple, grid))


def test_entropy_counts_pitch_classes():
    assert music.pitch_class_entropy(chords([72, 60, 48, 36])) == 0
    assert music.pitch_class_entropy(chords([72, 67, 60, 55])) == pytest.approx(1)
    assert music.pitch_class_entropy(chords([0, 0, 0, 0])) == 0


# --- copies ----------------------------------------------------------------------------------------------


def test_a_copied_passage_is_found_in_every_key(chorale):
    grid, _ = chorale
    lower = np.where(grid, grid - 2, 0)
    assert music.longest_copy(grid[40:72], [lower]) == 32
    assert music.longest_copy(grid, [grid]) == len(grid)


def test_a_copy_does_not_run_from_one_piece_into_the_next(chorale):
    grid, _ = chorale
    assert music.longest_copy(grid[:64], [grid[:32], grid[32:64]]) == 32


def test_other_music_is_no_copy():
    assert music.longest_copy(chords(C_MAJOR, steps=1), [chords(C_MAJOR)]) == 0
    assert music.longest_copy(chords([72, 67, 64, 48], [71, 67, 62, 55]), []) == 0
    assert music.longest_copy(chords([72, 67, 64, 48]), [chords([72, 69, 65, 53])]) == 0


def test_quality_gives_quartiles_of_every_rule(chorale):
    grid, _ = chorale
    result = music.quality([grid[:64], grid[64:128]])
    assert set(result) == {*music.RULES, "pitch-class entropy"}
    assert all(low <= middle <= high for low, middle, high in result.values())
    with pytest.raises(MusicError, match="no pieces"):
        music.quality([])
