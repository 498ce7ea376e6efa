"""The data that are shipped, read as a learner reads them. Nothing here is skipped: they are always there."""

import importlib.util
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from course_utils import data
from data.build import real

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def shipped(tmp_path_factory):
    """The folder of the repository, whatever the environment says, and a cache of these tests' own."""
    if not (ROOT / "data" / "speech" / "index.jsonl.xz").is_file():
        pytest.fail(
            "data/speech is not there: git checkout -- data, or build it (data/README.md)", pytrace=False
        )
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COURSE_DATA", raising=False)
        patch.setenv("COURSE_CACHE", str(cache))
        yield ROOT / "data"
    shutil.rmtree(cache, ignore_errors=True)


@pytest.fixture(scope="module")
def decoded(shipped):
    """The whole corpus decoded; the folder it is in."""
    return data.prepare()


def test_the_manifest_is_fresh():
    spec = importlib.util.spec_from_file_location("manifest_build", ROOT / "data" / "build" / "manifest.py")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    assert builder.differences(ROOT / "data") == []


def test_every_file_matches_its_checksum_and_every_label_its_file():
    assert data.verify() == []


def test_the_second_pass_over_everything_decodes_nothing(decoded, monkeypatch):
    monkeypatch.setattr(
        "course_utils.data.decoded._decode", lambda file, _: pytest.fail(f"{file} is decoded again")
    )
    total = sum(len(utterance.audio) for utterance in data.speech())
    assert total == sum(utterance.samples for utterance in data.speech())


def test_there_are_two_and_a_half_hours_of_speech():
    seconds = sum(utterance.duration for utterance in data.speech())
    assert 2.3 < seconds / 3600 < 3.0


def test_voices_are_as_many_as_promised_balanced_and_never_shared_by_splits():
    count = Counter((voice.split, voice.sex) for voice in data.voices())
    assert count == {
        (split, sex): n for split, n in (("train", 24), ("valid", 4), ("test", 12)) for sex in "fm"
    }
    spoken = {split: {u.voice for u in data.speech(split)} for split in data.SPLITS}
    assert sum(map(len, spoken.values())) == len(set().union(*spoken.values())) == len(data.voices())


def test_every_voice_has_enough_to_learn_it_from_and_two_have_much():
    minutes = Counter()
    for utterance in data.speech():
        minutes[utterance.voice] += utterance.duration / 60
    assert min(minutes.values()) > 1.0
    assert sum(minutes[voice.name] > 11 for voice in data.voices("train")) == 2
    assert {u.voice for u in data.phrases()} == set(minutes), "phrases come from every voice"


def test_no_sentence_is_spoken_in_two_splits():
    texts = {split: {u.text.lower() for u in data.speech(split, kind="sentence")} for split in data.SPLITS}
    assert min(map(len, texts.values())) > 50
    assert not texts["train"] & texts["test"]
    assert not texts["train"] & texts["valid"]
    assert not texts["valid"] & texts["test"]


def test_labels_are_arpabet_cover_the_sound_and_begin_and_end_in_silence():
    phones = {phone for utterance in data.speech() for phone in utterance.phones}
    assert "sil" in phones and {phone.rstrip("012") for phone in phones} >= {
        "AA",
        "AH",
        "IY",
        "S",
        "NG",
        "ZH",
    }
    for utterance in data.speech():
        assert len(utterance.phones) == len(utterance.durations)
        assert utterance.phones[0] == utterance.phones[-1] == "sil"
        assert utterance.words and utterance.word_times[-1, 1] <= utterance.duration
        assert (np.diff(utterance.word_times.ravel()) >= 0).all(), f"{utterance.id}: words in order"


def test_the_sound_is_loud_where_the_labels_say_speech_and_soft_where_they_say_silence(decoded):
    gaps = []
    for utterance in data.speech()[::10]:
        waveform = utterance.audio
        power = {True: [], False: []}
        for phone, (start, end) in zip(utterance.phones, utterance.phone_times, strict=True):
            # One unit is left out on each side: sound rings on, and the grid is 25 ms.
            inside = waveform[int(start * 16000) + 400 : int(end * 16000) - 400]
            if len(inside):
                power[phone == "sil"].append(np.mean(inside.astype(np.float64) ** 2))
        if power[True] and power[False]:
            gaps.append(10 * np.log10(np.median(power[False]) / (np.median(power[True]) + 1e-12)))
    assert len(gaps) > 100
    assert np.median(gaps) > 25 and np.quantile(gaps, 0.05) > 10


def test_levels_are_even_and_nothing_clips(decoded):
    utterances = data.speech()[::10]
    levels = [20 * np.log10(np.sqrt(np.mean(u.audio**2)) + 1e-9) for u in utterances]
    assert -40 < min(levels) and max(levels) < -15
    assert max(np.abs(u.audio).max() for u in utterances) < 1.0


def test_pairs_are_aligned_and_their_voices_stay_in_their_split(decoded):
    split_of = {voice.name: voice.split for voice in data.voices()}
    for split in ("train", "test"):
        pairs = data.pairs(split)
        assert len(pairs) >= 100
        assert len({pair.source for pair in pairs} | {pair.target for pair in pairs}) == 8
        assert {split_of[name] for pair in pairs for name in (pair.source, pair.target)} == {split}
        both_ways = {(pair.source, pair.target) for pair in pairs}
        assert all((target, source) in both_ways for source, target in both_ways)
    for pair in data.pairs()[::20]:
        source, target = pair.source_audio, pair.target_audio
        assert len(source) == len(target)
        assert np.abs(source - target).max() > 0.01, "two voices, not one"
        envelopes = [
            np.sqrt(np.mean(w[: len(w) // 400 * 400].reshape(-1, 400) ** 2, axis=1)) for w in (source, target)
        ]
        assert np.corrcoef(*envelopes)[0, 1] > 0.5, "loud at the same time"


def test_chorales_are_there_for_every_split():
    assert all(len(data.chorales(split)) > 50 for split in data.SPLITS)
    piece = data.chorales("train")[0]
    assert piece.pitches.shape == piece.onsets.shape and piece.pitches.max() < 128
    assert piece.onsets[0].any() and piece.step_in_bar.min() == 0


def test_babble_can_be_made_for_every_split(decoded):
    for split in data.SPLITS:
        babble = next(clip for clip in data.noise(split) if clip.kind == "babble").audio
        assert len(babble) == 160000 and 0.05 < np.sqrt(np.mean(babble**2)) < 0.11


# --- the real recordings that come with the course -----------------------------------------------------


def test_real_readers_come_with_words_balanced_by_sex_and_from_the_held_out_list():
    readers = data.real("librispeech", "test")
    assert Counter(reader.sex for reader in readers) == {"f": 12, "m": 12}
    assert [reader.sex for reader in readers[:4]] == ["f", "m", "f", "m"], "any part of the list is balanced"
    plan = json.loads((ROOT / "data" / "real_heldout.json").read_text())["librispeech"]
    assert {reader.id for reader in readers} <= set(plan["test"])
    assert all(plan["sex"][reader.speaker] == reader.sex for reader in readers)
    for reader in readers:
        assert 4 < reader.duration < 9.5
        words = reader.text.split()
        assert 1.5 < len(words) / reader.duration < 5, "as many words as can be said in that time"
        assert reader.text == reader.text.lower() and "".join(words).replace("'", "").isalpha()


def test_real_sounds_are_the_two_held_out_classes_and_fill_their_five_seconds():
    sounds = data.real("esc10", "test")
    assert Counter(sound.label for sound in sounds) == {"helicopter": 8, "sea_waves": 8}
    assert len({sound.id for sound in sounds}) == 16
    for sound in sounds:
        waveform = sound.audio
        assert 80_000 <= len(waveform) < 81_000
        frames = np.sqrt(np.mean(waveform[:80_000].reshape(-1, 400) ** 2, axis=1))
        assert np.quantile(frames, 0.05) > 0.01 * np.abs(waveform).max(), f"{sound.id} is silent in part"


def test_real_digits_are_strings_in_which_every_digit_comes_twice_or_more():
    strings = data.real("digits", "test")
    said = Counter(word for string in strings for word in string.text.split())
    assert len(strings) == 6 and len(said) == 10 and min(said.values()) >= 2
    assert all(3 <= len(string.text.split()) <= 6 for string in strings)


def test_every_real_recording_can_be_heard_and_names_its_author_and_a_free_licence():
    recordings = [one for name in ("librispeech", "esc10", "digits") for one in data.real(name, "test")]
    assert len(recordings) == 46 == len({one.path for one in recordings})
    for one in recordings:
        waveform = one.audio
        assert len(waveform) == round(one.duration * 16000) and 0.05 < np.abs(waveform).max() < 1.2
        assert one.author and one.licence.startswith("CC BY") and "NC" not in one.licence
        assert one.split == "test"
    assert sum(one.path.stat().st_size for one in recordings) < 3e6


def test_the_card_lists_every_real_recording_as_the_index_does():
    assert real.check() == []


def test_the_data_folder_stays_small():
    files = [ROOT / "data" / file for file in data.shipped_files(ROOT / "data")]
    packed = [file.with_name(f"{file.name}.xz") for file in files]
    total = sum((p if p.exists() else f).stat().st_size for f, p in zip(files, packed, strict=True))
    assert total < 48 * 1024 * 1024


def test_the_environment_of_these_tests_is_their_own():
    assert "COURSE_DATA" not in os.environ and data.root() == ROOT / "data"
