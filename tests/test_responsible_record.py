"""What notebook 07 records: attacks that do what they say, intervals at 100 %, and a spoof detector that learns."""

import numpy as np
import pytest

from course_utils import peers
from course_utils.models.spoof import SpoofDetector, lfcc, statistics
from course_utils.record.topics import responsible
from tests.test_cloning import speech_like

CHEAP = [name for name in responsible.ATTACKS if name not in ("our vocoder", "Griffin-Lim")]


@pytest.mark.parametrize("name", CHEAP)
def test_an_attack_gives_a_sound_that_is_still_there(name):
    sound = speech_like(2.0)
    attacked = responsible.ATTACKS[name](sound)
    assert attacked.ndim == 1 and np.isfinite(attacked).all()
    assert len(attacked) > 0.7 * len(sound) and 0.3 < attacked.std() / sound.std() < 3


def test_the_attacks_are_what_their_names_say():
    sound = speech_like(2.0)
    above = np.abs(np.fft.rfft(responsible.telephone(sound)))[-6000:]
    assert above.max() < 0.02 * np.abs(np.fft.rfft(sound)).max()
    hiss = responsible.noisy(sound) - sound
    assert 10 * np.log10((sound**2).mean() / (hiss**2).mean()) == pytest.approx(20, abs=0.1)
    assert len(responsible.faster(sound)) == pytest.approx(len(sound) / 1.02, abs=2)
    assert np.corrcoef(responsible.mp3(sound)[: len(sound)], sound)[0, 1] > 0.9


def test_wilsons_interval_has_a_width_at_the_end():
    share, low, high = responsible.share(43, 43)
    assert (share, high) == (100, 100) and low == pytest.approx(91.8, abs=0.05)
    assert responsible.share(0, 10)[1] == pytest.approx(0, abs=1e-9)


def test_sounds_are_cut_into_whole_pieces():
    assert [len(piece) for piece in responsible.cut(np.zeros(100_000), 2.0)] == [32_000] * 3


def test_a_library_that_is_not_there_is_a_row_that_says_how_to_install_it():
    library = peers.Perth()
    if not library.available():
        assert "pip install resemble-perth" in library.missing()
        assert "pip install resemble-perth" in str(responsible.table("marking"))
        with pytest.raises(peers.MissingPeer):
            library.mark(speech_like(1.0))


def test_an_unknown_table_is_named():
    with pytest.raises(ValueError, match="marking, false alarms"):
        responsible.table("nothing")


def test_every_recorded_row_is_in_its_table():
    for grid in responsible.GRIDS:
        shown = str(responsible.table(grid))
        assert all(system in shown for system in responsible.records(grid))


def test_the_spoof_detector_learns_what_differs_and_balances_the_classes():
    real = [speech_like(1.0, seed) for seed in range(8)]
    dull = [np.convolve(clip, np.ones(3) / 3, "same").astype(np.float32) for clip in real for _ in (0, 1)]
    detector = SpoofDetector().fit(real[:6], dull[:12])
    assert all(detector.score(clip) < 0 for clip in real[6:])
    assert all(detector.score(clip) > 0 for clip in dull[12:])


def test_the_statistics_do_not_change_with_the_level():
    sound = speech_like(1.0)
    assert lfcc(sound).shape[1] == 20 and statistics(sound).shape == (60,)
    assert statistics(sound) == pytest.approx(statistics(0.1 * sound), abs=0.02)
