"""Music on a grid: sound, MIDI files, typed melodies, rules."""

import os

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import music
from course_utils.music import MusicError
from course_utils.paths import SAMPLE_RATE

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


def test_onsets_of_another_shape_are_refused():
    with pytest.raises(MusicError, match=r"onsets: expected shape \(4, 4\)"):
        music.notes(chords(C_MAJOR), np.ones(4))


@pytest.mark.parametrize("empty", [np.zeros((0, 4), int), np.zeros((0, 4))])
def test_an_empty_grid_has_no_notes_no_tones_and_a_file(empty, tmp_path):
    assert music.notes(empty) == []
    assert not music.synthesise(empty).any()
    grid, onsets = music.load_midi(music.save_midi(tmp_path / "empty.mid", empty))
    assert grid.shape == onsets.shape == (0, 4)


# --- melodies --------------------------------------------------------------------------------------------


def test_a_melody_is_read_as_it_is_written():
    steps = music.melody("C4 F#4*.5 Bb3*1.5 | r A4*2")
    assert steps.tolist() == [60] * 4 + [66] * 2 + [58] * 6 + [0] * 4 + [69] * 8


@pytest.mark.parametrize(
    "text", ["", "H4", "C", "C4*", "C4*.1", "C4*0", "C9", "4", "C4,D4", "C4*99999", "C4*" + "9" * 400]
)
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


@pytest.mark.parametrize("tempo", [0, -60, np.nan, np.inf, 601])
def test_a_tempo_beyond_reason_is_refused(tempo, tmp_path):
    with pytest.raises(MusicError, match="tempo"):
        music.synthesise(chords(C_MAJOR), tempo=tempo)
    with pytest.raises(MusicError, match="tempo"):
        music.save_midi(tmp_path / "a.mid", chords(C_MAJOR), tempo=tempo)


def test_sounds_that_can_not_be_made_are_refused():
    with pytest.raises(MusicError, match="gains"):
        music.synthesise(chords(C_MAJOR), gains=(1, 1))
    with pytest.raises(MusicError, match="at most an hour"):
        music.synthesise(np.zeros((40_000, 4), int), tempo=60)
    for wrong in ((np.nan, 1), (-1, 1), (200, 1), (60, -1), (60, np.inf), (60, 1, 1.0), (60, 1, 0.5, 0)):
        with pytest.raises(MusicError, match="expected a pitch"):
            music.tone(*wrong)


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
def test_any_grid_comes_back(tmp_path_factory, rows):
    grid = np.array([*rows, [0, 0, 0, 0]])
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    again, _ = music.load_midi(music.save_midi(path, grid))
    assert np.array_equal(again, grid)


@pytest.mark.parametrize("voice", range(4))
def test_a_voice_that_rests_throughout_stays_that_voice(voice, tmp_path):
    grid = chords(C_MAJOR, [74, 65, 62, 50])
    grid[:, voice] = 0
    assert np.array_equal(music.load_midi(music.save_midi(tmp_path / "a.mid", grid))[0], grid)


def test_voices_that_cross_stay_what_their_tracks_are_called(tmp_path):
    grid = chords([60, 72, 64, 48])
    assert np.array_equal(music.load_midi(music.save_midi(tmp_path / "a.mid", grid))[0], grid)


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path, monkeypatch):
    path = music.save_midi(tmp_path / "a.mid", chords(C_MAJOR))
    before = path.read_bytes()
    with pytest.raises(MusicError, match="from 30 to 92"):
        music.save_midi(path, np.full((4, 4), 5))

    def full(self, data):
        self.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(MusicError, match="No space left"):
        patch.setattr(type(path), "write_bytes", full)
        music.save_midi(path, chords([71, 67, 62, 55]))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.mid"]
    for nowhere in (tmp_path / "none" / "a.mid", path / "a.mid", tmp_path):
        with pytest.raises(MusicError, match="can not write"):
            music.save_midi(nowhere, chords(C_MAJOR))


def test_a_file_that_is_no_midi_is_refused(tmp_path):
    bad = tmp_path / "bad.mid"
    for content, words in (
        (b"not a midi file at all", "not a MIDI file"),
        (b"", "empty"),
        (b"RIFF\x00\x00\x00\x00WAVE", "not a MIDI file"),
        (bytes(4_000_001), "bytes"),
    ):
        bad.write_bytes(content)
        with pytest.raises(MusicError, match=words):
            music.load_midi(bad)
    with pytest.raises(MusicError, match="no file"):
        music.load_midi(tmp_path / "none.mid")
    with pytest.raises(MusicError, match="can not be read"):
        music.load_midi(tmp_path)


def test_a_damaged_midi_file_is_refused_or_read(chorale, tmp_path):
    path = music.save_midi(tmp_path / "a.mid", *(part[:16] for part in chorale))
    whole, draw = path.read_bytes(), np.random.default_rng(0)
    for trial in range(150):
        data = bytearray(whole)
        for place in draw.integers(0, len(data), 2):
            data[place] = draw.integers(256)
        path.write_bytes(data if trial % 2 else whole[: draw.integers(1, len(whole))])
        try:
            grid, _ = music.load_midi(path)
        except MusicError as error:
            assert "a.mid" in str(error)
        else:
            music.check_grid(grid, min_steps=0)


BEAT = 480


def on(pitch, time=0, channel=0, velocity=72):
    return mido.Message("note_on", note=pitch, time=time, channel=channel, velocity=velocity)


def off(pitch, time=0, channel=0):
    return mido.Message("note_off", note=pitch, time=time, channel=channel)


def midi(path, *tracks, division=BEAT, kind=1):
    """A MIDI file of these messages, each with the ticks since the one before it."""
    file = mido.MidiFile(ticks_per_beat=BEAT, type=kind)
    file.tracks += [mido.MidiTrack(track) for track in tracks]
    file.save(path)
    data = bytearray(path.read_bytes())
    data[12:14] = division.to_bytes(2, "big", signed=True)
    path.write_bytes(data)
    return path


def quartet(path, soprano, **header):
    """A file whose lower voices hold one note for as long as the soprano lasts."""
    length = sum(message.time for message in soprano)
    return midi(path, soprano, *([on(p), off(p, length)] for p in C_MAJOR[1:]), **header)


def soprano_of(path):
    """(pitch, start, length) of the notes that the soprano is read as, in 16ths."""
    return [note[1:] for note in music.notes(*music.load_midi(path)) if note.voice == 0]


@pytest.mark.parametrize(
    ("soprano", "expected"),
    [
        pytest.param([on(72), on(72, BEAT), off(72, BEAT)], [(72, 0, 4), (72, 4, 4)], id="struck again without an end"),
        pytest.param(
            [on(72), on(72, 470), off(72, 10), off(72, BEAT)], [(72, 0, 4), (72, 4, 4)], id="ends after the new start"
        ),
        pytest.param([on(72), on(74, 470), off(72, 10), off(74, BEAT)], [(72, 0, 4), (74, 4, 4)], id="played legato"),
        pytest.param([on(72), on(72, BEAT, velocity=0)], [(72, 0, 4)], id="ends by a velocity of 0"),
        pytest.param([on(72), off(72, 10), on(74, 470), off(74, 10)], [(72, 0, 1), (74, 4, 1)], id="shorter than a 16th"),
        pytest.param([on(72), off(72), off(60, BEAT)], [(72, 0, 1)], id="no length at all, and an end without a start"),
        pytest.param([on(72), off(60, BEAT)], [(72, 0, 4)], id="never ends"),
        pytest.param([on(72, BEAT), off(72, BEAT)], [(72, 4, 4)], id="begins with a rest"),
        pytest.param([on(72), off(72, 470), on(74, 9), off(74, 1)], [(72, 0, 4), (74, 4, 1)], id="a last note at the end"),
    ],
)  # fmt: skip
def test_no_note_of_a_file_is_lost(soprano, expected, tmp_path):
    assert soprano_of(quartet(tmp_path / "a.mid", soprano)) == expected


@pytest.mark.parametrize(
    ("soprano", "words"),
    [
        pytest.param([on(72), on(76), off(72, BEAT), off(76)], "bar 1, beat 1: E5 and C5 at the same time", id="chord"),
        pytest.param(
            [on(72, 5 * BEAT), on(76, BEAT), off(76, BEAT), off(72, BEAT)], "bar 2, beat 3: E5 and C5", id="held under"
        ),
        pytest.param([on(72), off(72, 60), on(74), off(74, 60)], "bar 1, beat 1: D5 and C5", id="two in a 16th"),
        pytest.param([on(72), on(74, BEAT), off(74, BEAT)], "bar 1, beat 2: D5 and C5", id="never ended, then another"),
        pytest.param([on(0, BEAT), off(0, BEAT)], "bar 1, beat 2: MIDI number 0 ", id="pitch 0, which would be a rest"),
        pytest.param([on(100), off(100, BEAT)], "bar 1, beat 1: MIDI number 100 is not from 30", id="too high"),
    ],
)  # fmt: skip
def test_a_note_that_the_grid_can_not_hold_is_refused_with_its_place(soprano, words, tmp_path):
    with pytest.raises(MusicError, match=rf"a.mid, \w+, {words}"):
        music.load_midi(quartet(tmp_path / "a.mid", soprano))


def test_the_place_is_counted_in_the_metre_of_the_file(tmp_path):
    waltz = [
        mido.MetaMessage("time_signature", numerator=3, denominator=4),
        on(72, 4 * BEAT),
        on(76),
        off(76, BEAT),
    ]
    with pytest.raises(MusicError, match="bar 2, beat 2"):
        music.load_midi(quartet(tmp_path / "a.mid", waltz))


SOPRANO = [on(72), off(72, BEAT), on(74), off(74, BEAT)]


def test_a_change_of_tempo_moves_no_note_on_the_grid(tmp_path):
    faster = [
        mido.MetaMessage("set_tempo", tempo=300_000),
        *SOPRANO[:2],
        mido.MetaMessage("set_tempo", tempo=200_000),
    ]
    assert soprano_of(quartet(tmp_path / "a.mid", [*faster, *SOPRANO[2:]])) == [(72, 0, 4), (74, 4, 4)]


@pytest.mark.parametrize(("frames", "ticks"), [(24, 20), (25, 40), (29, 4), (30, 80)])
@pytest.mark.parametrize("tempo", [None, 60])
def test_a_file_in_smpte_time_is_read_by_time(frames, ticks, tempo, tmp_path):
    second = round(frames * ticks * (1000 / 1001 * 30 / 29 if frames == 29 else 1))
    soprano = [on(72), off(72, second), on(74), off(74, second)]
    if tempo:
        soprano.insert(0, mido.MetaMessage("set_tempo", tempo=60_000_000 // tempo))
    path = quartet(tmp_path / "a.mid", soprano, division=-frames * 256 + ticks)
    steps = 4 if tempo else 8  # 120 beats a minute where the file says nothing
    assert soprano_of(path) == [(72, 0, steps), (74, steps, steps)]


def test_smpte_time_follows_the_changes_of_tempo(tmp_path):
    slower = [*SOPRANO, mido.MetaMessage("set_tempo", tempo=1_000_000), on(72), off(72, 1000)]
    path = quartet(
        tmp_path / "a.mid", [m.copy(time=500) if m.time == BEAT else m for m in slower], division=-6360
    )
    assert soprano_of(path) == [(72, 0, 4), (74, 4, 4), (72, 8, 4)]


@pytest.mark.parametrize("division", [0, -1, -6400, -256 * 7 + 10])
def test_a_header_that_gives_no_length_is_refused(division, tmp_path):
    with pytest.raises(MusicError, match=f"{division} ticks a beat"):
        music.load_midi(quartet(tmp_path / "a.mid", SOPRANO, division=division))


def four_channels(order=(0, 1, 2, 3)):
    begins = [on(C_MAJOR[voice], channel=voice + 3) for voice in order]
    ends = [off(C_MAJOR[voice], BEAT if voice == order[0] else 0, channel=voice + 3) for voice in order]
    return begins + ends


@pytest.mark.parametrize("kind", [0, 1])
def test_four_channels_of_one_track_are_four_voices_from_high_to_low(kind, tmp_path):
    path = midi(tmp_path / "a.mid", four_channels((2, 0, 3, 1)), kind=kind)
    assert music.load_midi(path)[0].tolist() == [C_MAJOR] * 4


def test_two_channels_in_each_of_two_tracks_are_four_voices(tmp_path):
    high, low = ([on(a), on(b, channel=1), off(a, BEAT), off(b, channel=1)] for a, b in ((67, 72), (48, 64)))
    assert music.load_midi(midi(tmp_path / "a.mid", low, high))[0].tolist() == [C_MAJOR] * 4


@pytest.mark.parametrize("tracks", [[], [[]], [SOPRANO], [SOPRANO] * 3, [SOPRANO] * 5])
def test_other_than_four_voices_are_refused_with_what_is_needed(tracks, tmp_path):
    with pytest.raises(
        MusicError, match=rf"four tracks or four channels .* {len(tracks) if any(tracks) else 0} track"
    ):
        music.load_midi(midi(tmp_path / "a.mid", *tracks))


def test_pieces_that_do_not_sound_together_are_refused(tmp_path):
    with pytest.raises(MusicError, match="type 2"):
        music.load_midi(quartet(tmp_path / "a.mid", SOPRANO, kind=2))


def test_a_file_of_many_hours_is_refused_before_it_fills_the_memory(tmp_path):
    with pytest.raises(MusicError, match=r"beats, at most 10,000"):
        music.load_midi(quartet(tmp_path / "a.mid", [on(72), off(72, 0x0FFFFFFF)], division=1))


def test_running_status_is_read(tmp_path):
    # After its first status byte a track holds only ticks, pitch and velocity; the ends are velocities of 0.
    tracks = [
        bytes([0, 0x90, p, 72, 120, p, 0, 0, p + 2, 72, 120, p + 2, 0, 0, 0xFF, 0x2F, 0]) for p in C_MAJOR
    ]
    chunks = b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in tracks)
    (tmp_path / "a.mid").write_bytes(b"MThd" + bytes([0, 0, 0, 6, 0, 1, 0, 4, 0, 120]) + chunks)
    assert soprano_of(tmp_path / "a.mid") == [(72, 0, 4), (74, 4, 4)]


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


def test_notes_that_move_are_counted_in_per_cent():
    assert music.notes_that_move(chords(C_MAJOR, steps=4)) == 0
    one_of_four = chords([72, 67, 64, 48], [71, 67, 64, 48], steps=1)
    assert music.notes_that_move(one_of_four) == 25


def test_quality_gives_quartiles_of_every_rule(chorale):
    grid, _ = chorale
    result = music.quality([grid[:64], grid[64:128]])
    assert set(result) == {*music.RULES, "pitch-class entropy", "notes that move, %"}
    assert all(low <= middle <= high for low, middle, high in result.values())
    with pytest.raises(MusicError, match="no pieces"):
        music.quality([])


def test_a_pipe_is_neither_waited_for_nor_replaced_and_a_link_stays_a_link(tmp_path):
    pipe, link = tmp_path / "pipe.mid", tmp_path / "link.mid"
    os.mkfifo(pipe)
    with pytest.raises(MusicError, match="a pipe"):
        music.save_midi(pipe, chords(C_MAJOR))
    with pytest.raises(MusicError, match="a pipe"):
        music.load_midi(pipe)
    assert pipe.is_fifo()
    link.symlink_to("real.mid")
    music.save_midi(link, chords(C_MAJOR))
    assert link.is_symlink() and (tmp_path / "real.mid").is_file()


def test_drums_are_no_voice(tmp_path):
    file = mido.MidiFile()
    for channel, pitch in zip((0, 1, 2, 9), C_MAJOR, strict=True):
        on, off = (
            mido.Message(kind, channel=channel, note=pitch, time=time)
            for kind, time in (("note_on", 0), ("note_off", 480))
        )
        file.tracks.append(mido.MidiTrack([on, off]))
    file.save(tmp_path / "band.mid")
    with pytest.raises(MusicError, match="channel 10, which are drums"):
        music.load_midi(tmp_path / "band.mid")
