"""Real recordings: those of the course, those of a user, those that are missing or spoilt."""

import json

import numpy as np
import pytest

from course_utils import data, paths
from data.build import manifest
from tests.small_corpus import SAMPLES, damage_flip, heldout, write_flac


def test_missing_recordings_say_which_download_brings_them(corpus, monkeypatch, tmp_path):
    for name, advice in {
        "librispeech": "course download librispeech-train-clean-100",
        "fsdd": "course download fsdd",
        "esc10": "course download esc-50",
        "asterisk_en": "asterisk-core-sounds-en",
    }.items():
        with pytest.raises(data.DataError, match=advice) as raised:
            data.real(name, complete=True)
        assert "COURSE_REAL_DATA" in str(raised.value)


def test_unknown_recordings_and_splits_are_refused_in_words(corpus):
    with pytest.raises(ValueError, match="librispeech, esc10, digits"):
        data.real("timit")
    with pytest.raises(ValueError, match="asterisk_en has the split test"):
        data.real("asterisk_en", "train")


def test_the_recordings_that_come_with_the_course_are_found_first_and_only_for_tests(mine):
    (reading,) = data.real("librispeech", "test")
    assert (reading.id, reading.text, reading.split, reading.sex) == ("1-2-0000", "hi there", "test", "f")
    assert (reading.author, reading.licence) == ("LibriVox", "CC BY 4.0")
    assert reading.audio.shape == (SAMPLES,) and reading.duration == pytest.approx(1.0)
    assert data.real("librispeech") == [reading], "all that is there"
    with pytest.raises(data.DataError, match="not here"):
        data.real("librispeech", "train")

    plan = heldout("librispeech")
    for utterance in plan["train"][:1] + plan["test"]:
        write_flac(mine / "librispeech" / f"{utterance}.flac", 0.1)
    assert data.real("librispeech", "test") == [reading]
    assert [one.id for one in data.real("librispeech", "train")] == plan["train"][:1]
    assert [one.id for one in data.real("librispeech", "test", complete=True)] == plan["test"]
    assert len(data.real("librispeech")) == 52, "with all of them there, all of them"


def test_the_complete_collection_is_asked_for_and_what_is_missing_is_said(mine):
    with pytest.raises(data.DataError, match="course download librispeech-train-clean-100"):
        data.real("librispeech", "test", complete=True)
    write_flac(mine / "librispeech" / f"{heldout('librispeech')['test'][0]}.flac")
    with pytest.raises(data.DataError, match=r"without \S+ and 49 more.*course download"):
        data.real("librispeech", "test", complete=True)
    for utterance in heldout("librispeech")["test"]:
        write_flac(paths.ROOT / "recordings" / "librispeech" / f"{utterance}.flac", 0.01)
    assert len(data.real("librispeech", "test", complete=True)) == 51, "another place has all of them"
    assert [one.id for one in data.real("digits", "test", complete=True)] == ["one"], "all there is"


def test_a_damaged_recording_of_the_course_is_named_with_the_way_to_restore_it(corpus):
    (reading,) = data.real("librispeech", "test")
    damage_flip(corpus / "real" / "librispeech" / "1-2-0000.opus")
    with pytest.raises(data.DataError, match=r"git checkout -- data/real/librispeech/1-2-0000\.opus"):
        _ = reading.audio


def test_recordings_are_found_beside_the_notebooks_without_any_setting(corpus):
    write_flac(paths.ROOT / "recordings" / "fsdd" / "3_george_0.wav")
    assert [one.text for one in data.real("fsdd", "train")] == ["three"]


def test_librispeech_is_found_in_a_flat_folder_and_split_by_the_fixed_list(mine):
    plan = heldout("librispeech")
    for utterance in (plan["train"][0], plan["test"][0], plan["test"][1]):
        write_flac(mine / "librispeech" / f"{utterance}.flac")
    write_flac(mine / "librispeech" / "9999-1-0000.flac")  # a speaker that is not on the list
    assert [r.id for r in data.real("librispeech", "train")] == plan["train"][:1]
    first, *_ = (one for one in data.real("librispeech") if one.split == "test")
    assert first.speaker == plan["test"][0].split("-")[0] and first.sex in "fm" and first.text is None
    assert first.duration == pytest.approx(0.5) and first.audio.shape == (8000,)


def test_librispeech_is_found_where_the_downloader_unpacks_it_with_its_text(corpus, monkeypatch, tmp_path):
    name = heldout("librispeech")["train"][0]
    speaker, chapter, _ = name.split("-")
    home = (
        data.cache_folder() / "downloads" / "librispeech-train-clean-100" / "LibriSpeech" / "train-clean-100"
    )
    write_flac(home / speaker / chapter / f"{name}.flac")
    write_flac(home / speaker / chapter / f"{speaker}-{chapter}-0001.flac")
    (home / speaker / chapter / f"{speaker}-{chapter}.trans.txt").write_text(
        f"{name} CHAPTER ONE\nother TEXT\n"
    )
    (recording,) = data.real("librispeech")
    assert (recording.id, recording.text) == (name, "chapter one")


def test_esc10_is_understood_in_its_published_layout(mine):
    folder = mine / "esc10" / "ESC-50-master"
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for name, label, esc10 in (
        ("1-100-A-40.wav", "helicopter", True),
        ("1-200-A-10.wav", "rain", True),
        ("5-300-A-10.wav", "rain", True),
        ("1-400-A-14.wav", "chirping_birds", False),
    ):
        write_flac(folder / "audio" / name)
        rows.append(f"{name},{name[0]},0,{label},{esc10},x,A")
    (folder / "meta").mkdir()
    (folder / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    found = {r.id: (r.split, r.label) for r in data.real("esc10")}
    assert found == {
        "1-100-A-40": ("test", "helicopter"),
        "1-200-A-10": ("train", "rain"),
        "5-300-A-10": ("valid", "rain"),
    }


def test_what_can_not_be_decoded_is_named_and_never_listed(mine):
    write_flac(mine / "fsdd" / "3_george_0.wav")
    (mine / "fsdd" / "4_george_0.wav").write_bytes(b"RIFF, but no more")
    (mine / "fsdd" / "README.wav").write_text("not a recording")
    with pytest.warns(UserWarning, match="4_george_0.wav"):
        (only,) = data.real("fsdd")
    assert (only.text, only.speaker, only.split) == ("three", "george", "train")


def test_a_recording_that_is_damaged_later_is_named(mine):
    write_flac(mine / "fsdd" / "3_george_0.wav")
    (only,) = data.real("fsdd")
    only.path.write_bytes(b"gone")
    with pytest.raises(data.DataError, match=r"3_george_0.wav can not be used"):
        _ = only.audio


def test_the_held_out_speakers_are_the_ones_that_the_recipe_draws():
    plan = heldout("librispeech")
    assert (
        len(plan["train"]) == 200 and len(plan["test"]) == 51 and not set(plan["train"]) & set(plan["test"])
    )
    everyone = sorted(plan["train"] + plan["test"], key=lambda name: int(name.split("-")[0]))
    rng = np.random.default_rng(2026)
    drawn = []
    for sex, count in (("f", 25), ("m", 26)):
        group = [name for name in everyone if plan["sex"][name.split("-")[0]] == sex]
        drawn += [group[i] for i in rng.choice(len(group), count, replace=False)]
    assert set(drawn) == set(plan["test"])


@pytest.mark.parametrize("name", ["librispeech", "esc10", "fsdd", "asterisk_words"])
def test_a_spoilt_plan_of_what_is_held_out_is_named(corpus, mine, name):
    for file in ("39-121914-0000.flac", "helicopter/1-100-A.flac", "3_george_0.wav", "1.flac"):
        write_flac(mine / name / file, 0.01)
    (mine / name / "transcripts.tsv").write_text("1.flac\tone\n")
    plans = json.loads((corpus / "real_heldout.json").read_text())
    for key in plans[name]:
        for wrong in (None, 7, [7], {}, [{}]):
            spoilt_plan = plans | {name: plans[name] | {key: wrong}}
            (corpus / "real_heldout.json").write_text(json.dumps(spoilt_plan))
            manifest.write(corpus)
            try:
                repr(data.real(name))
            except data.DataError as error:
                assert "real_heldout.json" in str(error) or "not here" in str(error)


@pytest.mark.parametrize(
    "table", ["", "a,b\nc,d\n", "filename\n1-1-A.wav,1\n", "h\nx.wav,1,0,rain,True,x,A\n", "\xff"]
)
def test_a_spoilt_table_of_sounds_is_named_or_does_no_harm(mine, table):
    (mine / "esc10" / "meta").mkdir(parents=True)
    (mine / "esc10" / "meta" / "esc50.csv").write_bytes(table.encode("latin-1"))
    with pytest.raises(data.DataError, match="esc10"):
        data.real("esc10", "train")


# --- real recordings, where they are -------------------------------------------------------------------


@pytest.fixture
def real_data(monkeypatch, tmp_path, pristine):
    monkeypatch.setenv("COURSE_DATA", str(pristine))


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "count", "train"),
    [
        ("librispeech", 251, 200),
        ("asterisk_en", 232, 0),
        ("asterisk_words", 94, 0),
        ("fsdd", 1500, 1500),
        ("esc10", 240, None),
    ],
)
def test_the_real_recordings_are_all_found_and_can_be_heard(real_data, name, count, train):
    found = data.real(name)  # no split: the whole collection
    assert len(found) >= count and len({r.id for r in found}) == len(found)
    if train is not None:
        assert sum(r.split == "train" for r in found) == train
    waveform = found[len(found) // 2].audio
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(16000 * found[len(found) // 2].duration, abs=2)


@pytest.mark.real
def test_real_speech_and_digits_come_with_their_words(real_data):
    assert next(r for r in data.real("asterisk_words") if r.id == "7").text == "seven"
    assert all(r.text for r in data.real("asterisk_en"))
    assert {r.text for r in data.real("fsdd")} == {
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
    }


@pytest.mark.real
def test_held_out_environmental_sounds_are_two_classes_that_training_never_sees(real_data):
    labels = {split: {r.label for r in data.real("esc10", split, complete=True)} for split in data.SPLITS}
    assert labels["test"] == {"helicopter", "sea_waves"}
    assert len(labels["train"]) == len(labels["valid"]) == 8 and not labels["train"] & labels["test"]
    clips = {split: {r.id.split("-")[1] for r in data.real("esc10", split)} for split in ("train", "valid")}
    assert not clips["train"] & clips["valid"], "no clip is cut from a recording that training has heard"
