"""The grids are fixed, exact, balanced and held out; scores go where they should."""

import json
from collections import Counter

import numpy as np
import pytest

from course_utils import audio, data, noise, shipped
from course_utils.record import mixtures

NAMES = ("id", "snr_db", "noise_type", "voice", "sex")


@pytest.fixture(scope="module")
def own():
    return mixtures.grid("own", 10)


@pytest.fixture(
    scope="module", params=["shipped", "own", "valid", pytest.param("real", marks=pytest.mark.real)]
)
def grid(request):
    return request.param, mixtures.grid(request.param)


def test_a_grid_is_the_same_each_time(own):
    again = mixtures.grid("own", 10)
    assert [m.id for m in own] == [m.id for m in again]
    for one, other in zip(own[:4], again[:4], strict=True):
        assert np.array_equal(one.noisy, other.noisy) and np.array_equal(one.clean, other.clean)


def test_the_grid_is_the_one_that_the_results_were_recorded_with(own):
    assert [m.id for m in own[:3]] == [
        "f32_0006_fan-test-6_-5dB",
        "m36_0001_babble_0dB",
        "m33_0014_fan-test-7_5dB",
    ]


def test_a_mixture_has_exactly_its_snr_and_never_clips(grid):
    for mixture in grid[1][:20]:
        assert mixture.noisy.dtype == np.float32 and mixture.noisy.ndim == 1
        assert np.array_equal(mixture.noisy, mixture.clean + mixture.noise)
        assert audio.level_db(mixture.clean) - audio.level_db(mixture.noise) == pytest.approx(
            mixture.snr_db, abs=1e-3
        )
        for waveform in (mixture.noisy, mixture.clean, mixture.noise):
            assert np.abs(waveform).max() < 1
        assert 1 < mixture.seconds <= (9 if grid[0] == "shipped" else 4.5)


def test_grids_are_balanced_and_so_is_their_beginning(grid):
    which, found = grid
    assert len(found) == mixtures.COUNTS[which] and len({m.id for m in found}) == len(found)
    for part in (found, found[:10]):
        snrs, kinds, sexes = (
            Counter(getattr(m, name) for m in part) for name in ("snr_db", "noise_type", "sex")
        )
        assert snrs == dict.fromkeys(mixtures.SNRS_DB, len(part) // 5)
        assert sexes == {"f": len(part) // 2, "m": len(part) // 2}
        assert max(kinds.values()) - min(kinds.values()) <= 1
    cells = Counter((m.snr_db, m.noise_type) for m in found)
    assert max(cells.values()) - min(cells.values()) <= 1


def test_own_voices_and_noises_were_never_heard_in_training():
    found = mixtures.grid("own")
    heard = {voice.name for split in ("train", "valid") for voice in data.voices(split)}
    assert len({m.voice for m in found}) == 24 and not {m.voice for m in found} & heard
    assert {m.noise_type for m in found} == {*noise.TEST_TYPES, "babble"}
    assert not {u.text for u in data.speech("train")} & {m.text for m in found}
    assert {m.voice for m in mixtures.grid("valid")} == {v.name for v in data.voices("valid")}


def test_the_readers_and_sounds_that_ship_are_known_by_their_words_and_were_never_trained_on():
    found = mixtures.grid("shipped")
    assert len({m.voice for m in found}) == 24 and all(m.text for m in found)
    plan = json.loads(shipped.read("real_heldout.json"))["librispeech"]
    assert {m.voice for m in found} <= {name.split("-")[0] for name in plan["test"]}
    assert {m.noise_type for m in found} == {"helicopter", "sea_waves"}


@pytest.mark.real
def test_real_readers_and_sounds_were_never_heard_in_training():
    found = mixtures.grid("real")
    assert not {m.voice for m in found} & {r.speaker for r in data.real("librispeech", "train")}
    heard = {s.label for split in ("train", "valid") for s in data.real("esc10", split)}
    assert not {m.noise_type for m in found} & heard
    assert len({m.voice for m in found}) == 51, "every held-out reader has a turn"


def test_nobody_babbles_over_themselves(monkeypatch):
    talking = []
    real_speech = data.speech

    def speech(split=None, voice=None, kind=None):
        talking.append(voice)
        return real_speech(split, voice, kind)

    monkeypatch.setattr(data, "speech", speech)
    for seed in range(20):
        mixtures._others_talking("valid", "f25", seed)
    assert "f25" not in talking and len(set(talking)) == 7


def test_part_of_the_recordings_is_refused_rather_than_measured(monkeypatch):
    reading = data.Recording("1-2-0000", "librispeech", "test", None, 5.0, speaker="1", sex="f")
    monkeypatch.setattr(data, "real", lambda name, *_, **__: [reading] if name == "librispeech" else [])
    with pytest.raises(data.DataError, match=r"1 of 51 held-out readings.*course download"):
        mixtures.grid("real")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("mine",), "real, shipped, own, valid"), (("own", 0), "1 to 100"), (("own", 101), "got 101")],
)
def test_a_grid_that_does_not_exist_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        mixtures.grid(*arguments)


def test_the_clean_speech_scores_best_and_the_input_scores_its_snr(own):
    clean = {len(m.noisy): m.clean for m in own[:4]}
    perfect = mixtures.score(lambda noisy: clean[len(noisy)], own[:4], ("si_sdr",), progress=False)
    assert all(row["si_sdr"] > 100 for row in perfect)
    rows = mixtures.score(lambda noisy: noisy, own[:4], ("si_sdr",), progress=False)
    for row, mixture in zip(rows, own, strict=False):
        assert row["si_sdr"] == pytest.approx(mixture.snr_db, abs=0.5)  # speech and noise correlate a little
        assert {name: row[name] for name in NAMES} == {name: getattr(mixture, name) for name in NAMES}


@pytest.mark.judges
def test_every_measure_prefers_the_clean_speech(own):
    clean = {len(m.noisy): m.clean for m in own[:2]}
    noisy = mixtures.score(lambda noisy: noisy, own[:2], progress=False)
    perfect = mixtures.score(lambda noisy: clean[len(noisy)], own[:2], progress=False)
    for worse, better in zip(noisy, perfect, strict=True):
        assert all(better[measure] > worse[measure] for measure in mixtures.MEASURES)


class Parrot:
    """Hears the right words in clean sound, and one word too many in anything else."""

    def __init__(self, found):
        self.words = {m.clean.tobytes(): m.text or "three known words" for m in found}
        self.noisy = {m.noisy.tobytes(): f"{m.text or 'three known words'} indeed" for m in found}

    def transcribe(self, waveform):
        return self.words.get(waveform.tobytes()) or self.noisy[waveform.tobytes()]


@pytest.mark.parametrize("known", [True, False])
def test_word_errors_count_against_the_text_or_against_what_is_heard_in_the_clean_clip(own, known):
    some = own[:3] if known else [mixtures.Mixture(**{**vars(m), "text": None}) for m in fresh(own[:3])]
    rows = mixtures.score(lambda noisy: noisy, some, ("wer",), False, recogniser=Parrot(some))
    assert all(row["wer"] == pytest.approx(1 / row["words"]) for row in rows)
    total = sum(row["words"] for row in rows)
    assert mixtures.summarise(rows)["wer"][0] == pytest.approx(3 / total)


def fresh(found):
    """Mixtures whose sound was not made yet."""
    ids = [m.id for m in found]
    return [m for m in mixtures.grid("own", 10) if m.id in ids]


@pytest.mark.parametrize(
    ("enhance", "options", "message"),
    [
        (lambda noisy: noisy[:-1], {}, "keeps the length"),
        (lambda noisy: noisy * np.float32("nan"), {}, "not a finite number"),
        (lambda noisy: noisy, {"measures": ("mos",)}, "unknown measure mos"),
        (lambda noisy: noisy, {"measures": ("wer",)}, "needs a recogniser"),
    ],
)
def test_what_can_not_be_scored_is_an_error(own, enhance, options, message):
    with pytest.raises(ValueError, match=message):
        mixtures.score(enhance, own[:1], **{"measures": ("si_sdr",), "progress": False, **options})


def test_an_enhancer_that_writes_into_its_input_does_not_change_the_grid(own):
    before = own[0].noisy.copy()

    def destroy(noisy):
        noisy[:] = 0.5
        return noisy

    mixtures.score(destroy, own[:1], ("si_sdr",), progress=False)
    assert np.array_equal(own[0].noisy, before)


def test_a_summary_gives_intervals_over_voices_and_leaves_out_what_is_not_finite():
    rows = [
        {"voice": voice, "sex": voice[0], "si_sdr": value, "pesq": float("nan") if voice == "f1" else 2.0}
        for voice, value in (("f1", 1.0), ("f1", 3.0), ("f2", 5.0), ("m1", 7.0), ("m1", 9.0), ("m2", 11.0))
    ]
    mean, low, high = mixtures.summarise(rows)["si_sdr"]
    assert mean == 6.0 and low < mean < high
    assert mixtures.summarise(rows)["pesq"][0] == 2.0
    by_sex = mixtures.summarise(rows, "sex")
    assert list(by_sex) == ["f", "m"] and by_sex["f"]["si_sdr"][0] == 3.0
    assert np.isnan(mixtures.summarise(rows[:2])["si_sdr"][1]), "one voice tells no spread"
    with pytest.raises(ValueError, match="no column 'age'"):
        mixtures.summarise(rows, "age")
    with pytest.raises(ValueError, match="nothing to summarise"):
        mixtures.summarise([])


def test_the_means_of_doing_nothing_are_those_of_the_mixtures(own):
    assert mixtures.means(np.copy, own[:5])["si_sdr"] == pytest.approx(5.0, abs=0.3), "-5 to 15 dB"


def test_the_yardstick_has_four_clips_of_five_noises_at_5_db_and_real_ones_come_first():
    yardstick = mixtures.Yardstick()
    assert list(yardstick.pairs) == ["real", "white", "hum", "fan", "babble"]
    assert {len(pairs) for pairs in yardstick.pairs.values()} == {4}
    assert yardstick.gains(np.copy) == dict.fromkeys(yardstick.pairs, 0.0)
    told = yardstick.gains(lambda noisy, clean: clean + 0.01 * noisy, told=True)
    assert min(told.values()) > 30
    table = yardstick.table({"nothing": dict.fromkeys("ab", 0.0), "one": {"a": 1.0, "b": 3.0}}, "one")
    assert "2.0" in str(table) and "nothing" not in str(table)
