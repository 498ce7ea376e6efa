"""The chorales in data/music: what the file promises, checked on the file itself."""

import importlib.util
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CHORALES = ROOT / "data" / "music" / "chorales.npz"
SPLITS = ROOT / "data" / "build" / "chorales_split.json"


@pytest.fixture(scope="module")
def arrays():
    with np.load(CHORALES, allow_pickle=False) as packed:
        return {name: packed[name] for name in packed.files}


@pytest.fixture(scope="module")
def pieces(arrays):
    starts = arrays["starts"]
    return [arrays["pitches"][a:b].astype(int) for a, b in itertools.pairwise(starts)]


@pytest.fixture(scope="module")
def builder():
    spec = importlib.util.spec_from_file_location("chorales_build", ROOT / "data" / "build" / "chorales.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def chord_sequences(piece, beats=8):
    """All sequences of `beats` chords on quarter notes, transposed to a common bass."""
    chords = piece[::4]
    return {(chords[i : i + beats] - chords[i, 3]).tobytes() for i in range(len(chords) - beats + 1)}


def test_arrays_have_the_documented_shapes_and_types(arrays):
    count, steps = len(arrays["names"]), len(arrays["pitches"])
    expected = {
        "pitches": ((steps, 4), "uint8"),
        "onsets": ((steps, 4), "uint8"),
        "starts": ((count + 1,), "int32"),
        "split": ((count,), "uint8"),
        "key_signature": ((count,), "int8"),
        "steps_per_bar": ((count,), "int16"),
        "pickup_steps": ((count,), "int16"),
    }
    found = {name: (arrays[name].shape, str(arrays[name].dtype)) for name in expected}
    assert found == expected
    assert arrays["names"].dtype.kind == "U"
    assert arrays["starts"][0] == 0 and arrays["starts"][-1] == steps
    assert (np.diff(arrays["starts"]) >= 64).all(), "no piece is shorter than four bars"


def test_splits_hold_the_pieces_of_the_split_file_and_none_that_is_unmatched(arrays):
    listed = json.loads(SPLITS.read_text())
    for number, split in enumerate(("train", "valid", "test")):
        names = {Path(name).stem for name in listed[split]}
        assert set(arrays["names"][arrays["split"] == number]) == names
    assert [int((arrays["split"] == number).sum()) for number in range(3)] == [207, 66, 71]
    assert len(set(arrays["names"])) == 344


def test_no_harmonisation_is_in_two_splits(arrays, pieces):
    sequences = [chord_sequences(piece) for piece in pieces]
    split = arrays["split"]
    close = {}
    for i in np.flatnonzero(split != 0):
        for j in np.flatnonzero(split != split[i]):
            shared = len(sequences[i] & sequences[j]) / len(sequences[i])
            if shared > 0.3:
                close[str(arrays["names"][i]), str(arrays["names"][j])] = shared
    assert set(close) <= {("bwv280", "bwv176.6")}, "a pair that the data card does not name"
    assert all(shared < 0.6 for shared in close.values())


def test_pitches_are_rests_or_lie_in_the_range_of_their_voice(arrays):
    pitches = arrays["pitches"]
    for voice, (low, high) in enumerate([(57, 81), (53, 74), (48, 69), (36, 64)]):
        sounding = pitches[:, voice][pitches[:, voice] > 0]
        assert sounding.min() >= low and sounding.max() <= high
    assert (pitches == 0).mean() < 0.02


def test_voices_stand_in_the_order_soprano_alto_tenor_bass(pieces):
    for piece in pieces:
        means = [piece[:, voice][piece[:, voice] > 0].mean() for voice in range(4)]
        assert means == sorted(means, reverse=True)


def test_onsets_agree_with_the_pitches(arrays, pieces):
    starts = arrays["starts"]
    for piece, a, b in zip(pieces, starts, starts[1:], strict=False):
        onsets = arrays["onsets"][a:b].astype(bool)
        assert not onsets[piece == 0].any(), "a rest does not begin a note"
        changed = (piece[1:] != piece[:-1]) & (piece[1:] > 0)
        assert onsets[1:][changed].all(), "a new pitch is a new note"
        assert onsets[0][piece[0] > 0].all()
    assert set(np.unique(arrays["onsets"])) == {0, 1}


def test_most_notes_begin_on_a_beat_when_the_pickup_is_counted_right(arrays):
    beats = np.concatenate(
        [
            (np.arange(b - a) - pickup) % 4
            for a, b, pickup in zip(
                arrays["starts"], arrays["starts"][1:], arrays["pickup_steps"], strict=False
            )
        ]
    )
    onsets = arrays["onsets"].any(axis=1)
    share = [onsets[beats == k].mean() for k in range(4)]
    assert share[0] > 0.85 and share[2] > 0.4 and max(share[1], share[3]) < 0.1


def test_bars_and_key_signatures_are_plausible(arrays):
    assert set(arrays["steps_per_bar"]) <= {12, 16, 24}
    assert (arrays["pickup_steps"] < arrays["steps_per_bar"]).all()
    assert abs(arrays["key_signature"]).max() <= 4


def test_a_known_chorale_reads_as_printed(arrays, pieces):
    """BWV 269, Aus meines Herzens Grunde: the first two bars of the soprano, in G."""
    index = list(arrays["names"]).index("bwv269")
    soprano, onsets = pieces[index][:, 0], arrays["onsets"][arrays["starts"][index] :][:28, 0]
    notes = [int(soprano[i]) for i in np.flatnonzero(onsets)]
    assert notes == [67, 67, 74, 71, 69, 67]
    assert arrays["key_signature"][index] == 1 and arrays["steps_per_bar"][index] == 12


def test_writing_the_same_arrays_twice_gives_the_same_bytes(builder, arrays, tmp_path):
    for name in ("a.npz", "b.npz"):
        builder.write_npz(tmp_path / name, arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as packed:
        assert all(np.array_equal(packed[name], arrays[name]) for name in arrays)


def test_the_same_grid_is_rebuilt_from_the_scores(builder, tmp_path):
    music21 = pytest.importorskip("music21", reason="music21 is needed only to rebuild the grid")
    scores = Path(music21.__file__).parent / "corpus" / "bach"
    builder.build(scores, SPLITS, tmp_path / "chorales.npz")
    with np.load(tmp_path / "chorales.npz") as rebuilt, np.load(CHORALES) as shipped:
        assert all(np.array_equal(rebuilt[name], shipped[name]) for name in shipped.files)
