"""The access to data, on a small corpus: right, missing, damaged."""

import dataclasses
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from course_utils import data, shipped
from data.build import manifest
from tests.places import ROOT
from tests.small_corpus import SAMPLES, VICTIM, damage_flip, tone, write_flac, write_opus

# --- lists ---------------------------------------------------------------------------------------------


def test_speech_is_filtered_by_split_voice_and_kind(corpus):
    assert len(data.speech()) == 32
    assert {u.voice for u in data.speech("train")} == {"f01", "m01"}
    assert len(data.speech("test", kind="sentence")) == 6
    assert [u.id for u in data.speech(voice="f02")][:2] == ["f02_0000", "f02_0001"]
    assert {u.kind for u in data.phrases("valid")} == {"phrase"}
    assert len(data.phrases()) == 8


def test_an_utterance_knows_its_words_and_when_they_are_spoken(corpus):
    utterance = data.speech("train")[0]
    assert utterance.duration == pytest.approx(1.0)
    assert utterance.phone_times.shape == (8, 2)
    assert utterance.phone_times[0] == pytest.approx([0.0, 0.1])
    assert utterance.phone_times[-1, 1] == pytest.approx(utterance.duration)
    assert utterance.phone_times[1:, 0] == pytest.approx(utterance.phone_times[:-1, 1]), "without gaps"
    assert utterance.word_times == pytest.approx(np.array([[0.1, 0.375], [0.5, 0.875]]))
    assert [word for word, _, _ in utterance.words] == ["hi", "there"]


def test_the_sound_agrees_with_the_labels(corpus):
    utterance = data.speech("train")[3]
    waveform = utterance.audio
    assert waveform.dtype == np.float32 and waveform.shape == (utterance.samples,) == (16000,)
    for phone, (start, end) in zip(utterance.phones, utterance.phone_times, strict=True):
        inside = waveform[int(start * 16000) + 160 : int(end * 16000) - 160]  # a codec smears 10 ms
        assert (np.abs(inside).max() > 0.1) == (phone != "sil")


def test_records_can_not_be_changed_by_accident(corpus):
    utterance = data.speech()[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        utterance.text = "something else"
    data.speech().clear()
    assert len(data.speech()) == 32
    utterance.audio[:] = 0
    assert np.abs(utterance.audio).max() > 0.1
    with pytest.raises(ValueError, match="read-only"):
        data.chorales()[0].pitches[0, 0] = 1


def test_voices_come_with_sex_parents_and_utterances(corpus):
    assert [v.name for v in data.voices()] == ["f01", "f02", "m01", "m02"]
    (voice,) = data.voices("test")
    assert (voice.sex, voice.parents) == ("m", ("ja",))
    assert len(voice.utterances) == 8


def test_both_sides_of_a_pair_have_the_same_length(corpus):
    (pair,) = data.pairs("train")
    assert len(pair.source_audio) == len(pair.target_audio) == pair.samples
    assert np.array_equal(pair.source_audio, data.speech(voice="f01")[0].audio)
    assert not np.array_equal(pair.source_audio, pair.target_audio)
    assert data.pairs("test") == []


def test_chorales_come_as_grids_with_their_bars(corpus):
    first, second = data.chorales()
    assert first.pitches.shape == (12, 4) and first.pitches.dtype == np.int64
    assert first.onsets.dtype == bool and first.onsets[0].all() and not first.onsets[1].any()
    assert (first.name, first.split, first.key_signature) == ("bwv1", "train", -1)
    assert first.step_in_bar[:5].tolist() == [12, 13, 14, 15, 0], "four steps of pickup come before the bar"
    assert data.chorales("test") == [second] and second.pitches[0, 0] == 0


@pytest.mark.parametrize("ask", [data.speech, data.pairs, data.voices, data.chorales, data.noise])
def test_an_unknown_split_is_refused_in_words(corpus, ask):
    with pytest.raises(ValueError, match=r"train, valid, test.*'dev'"):
        ask("dev")


def test_an_unknown_voice_or_kind_is_refused_in_words(corpus):
    with pytest.raises(ValueError, match="f01, f02, m01, m02"):
        data.speech(voice="f99")
    with pytest.raises(ValueError, match="sentence or phrase"):
        data.speech(kind="song")


# --- missing and damaged -------------------------------------------------------------------------------

DAMAGES = {
    "deleted": (Path.unlink, "there is no such file"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-50]), "bytes, expected"),
    "one bit": (damage_flip, "checksum"),
    "empty": (lambda p: p.write_bytes(b""), "0 bytes"),
    "a pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"), "expected"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_with_the_way_to_restore_it(corpus, damage, words):
    damage(corpus / VICTIM)
    with pytest.raises(data.DataError, match=words) as raised:
        _ = data.speech(voice="f01")[0].audio
    assert f"git checkout -- data/{VICTIM}" in str(raised.value)
    assert len(data.speech(voice="f01")[1].audio) == SAMPLES, "its neighbours are as good as before"
    assert [VICTIM in problem for problem in data.verify()] == [True]


def test_a_sound_that_is_shorter_than_its_labels_is_refused(corpus):
    write_opus(corpus / VICTIM, tone(1)[:-800])
    manifest.write(corpus)
    with pytest.raises(data.DataError, match="its labels say"):
        _ = data.speech(voice="f01")[0].audio


def test_a_file_that_is_not_sound_is_refused_even_when_the_manifest_lists_it(corpus):
    (corpus / VICTIM).write_bytes(b"hello")
    manifest.write(corpus)
    with pytest.raises(data.DataError, match="can not be decoded"):
        _ = data.speech(voice="f01")[0].audio


def test_a_damaged_file_stops_the_decoding_of_everything_with_its_name(corpus):
    damage_flip(corpus / VICTIM)
    with pytest.raises(data.DataError, match=VICTIM):
        data.prepare()
    assert not list((corpus.parent / "cache").glob("*")), "nothing half-made stays"


def test_a_missing_data_folder_says_what_to_do(corpus, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(corpus / "nowhere"))
    with pytest.raises(data.DataError, match=r"no data folder.*git checkout -- data.*COURSE_DATA"):
        data.speech()
    with pytest.raises(data.DataError, match="no data folder"):
        data.verify()


def test_a_missing_or_damaged_manifest_says_what_to_do(corpus):
    for damage in (lzma.compress(b"{"), b"{", b""):
        (corpus / "manifest.json.xz").write_bytes(damage)
        with pytest.raises(data.DataError, match=r"manifest.json.*can not be (read|unpacked)"):
            data.speech()
    (corpus / "manifest.json.xz").unlink()
    with pytest.raises(data.DataError, match=r"git checkout -- data/manifest.json.xz"):
        data.speech()


def test_a_file_where_the_data_folder_should_be_says_so(corpus, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "file"))
    with pytest.raises(data.DataError, match=r"no data folder.*is a file"):
        data.speech()


def spoilt(content: str) -> list[str]:
    """What can happen to a JSON file, or to one line of it."""
    whole = json.loads(content.splitlines()[0]) if "\n{" in content else json.loads(content)
    made = ["", "{", "[]", "null", "7", '"text"', "{}", '{"a": {}}', "[" * 100_000, "\x00", content[:-10]]
    for key, value in whole.items():
        less = {other: whole[other] for other in whole if other != key}
        made.append(json.dumps(less))
        made += [json.dumps(less | {key: wrong}) for wrong in (None, 7, "x", [], {}, [[1]]) if wrong != value]
    return made


def use_all() -> None:
    """Ask for everything that is read from JSON files."""
    for ask in (data.speech, data.pairs, data.voices, lambda: data.real("digits"), lambda: data.real("fsdd")):
        for item in ask():
            repr(item)
            _ = item.duration if hasattr(item, "duration") else item.utterances
            if hasattr(item, "phone_times"):
                _ = item.phone_times, item.word_times, item.samples


@pytest.mark.parametrize(
    "file",
    ["manifest.json", "speech/voices.json", "speech/index.jsonl", "speech/pairs.jsonl", "real/index.jsonl", "real_heldout.json"],
)  # fmt: skip
def test_a_spoilt_json_file_is_named_or_does_no_harm(corpus, mine, file):
    """Whatever stands in it, the answer is a DataError that says which file, or lists that can be used."""
    write_flac(mine / "fsdd" / "3_george_0.wav")
    content = shipped.content(corpus, file).decode()
    refused = 0
    for broken in spoilt(content):
        if file == "manifest.json":
            (corpus / "manifest.json.xz").write_bytes(lzma.compress(broken.encode()))
        else:
            (corpus / file).write_text(broken)
            manifest.write(corpus)
        try:
            use_all()
        except data.DataError as error:
            known = (file, "is not in the manifest", "recordings 'fsdd'", "recordings 'digits'")
            assert any(words in str(error) for words in known), f"{broken[:99]} gave {error}"
            refused += 1
    assert refused > 10


def test_pickles_in_the_chorales_are_not_opened(corpus):
    np.savez(corpus / "music" / "chorales.npz", pitches=np.array([{"evil": 1}], dtype=object))
    manifest.write(corpus)
    with pytest.raises(data.DataError, match="chorales"):
        data.chorales()


def test_verify_is_silent_on_good_data_and_finds_strangers_and_bad_labels(corpus):
    assert data.verify() == []
    (corpus / "speech" / "stranger.opus").write_bytes(b"x")
    assert ["stranger.opus is not in the manifest" in p for p in data.verify()] == [True]
    (corpus / "speech" / "stranger.opus").unlink()
    index = corpus / "speech" / "index.jsonl"
    index.write_text(index.read_text().replace('["there", 4, 7]', '["there", 4, 70]', 1))
    manifest.write(corpus)
    assert ["a word outside of its phones" in p for p in data.verify()] == [True]


# --- packed tables -------------------------------------------------------------------------------------


@pytest.fixture
def packed(corpus):
    """The index of the speech as a packed file in the place of the plain one."""
    plain = corpus / "speech" / "index.jsonl"
    file = plain.with_name("index.jsonl.xz")
    file.write_bytes(lzma.compress(plain.read_bytes()))
    plain.unlink()
    return file


def test_a_packed_table_is_read_like_a_plain_one_and_makes_nothing_stale(corpus):
    before, clips = shipped.manifest(), data.speech()
    plain = corpus / "speech" / "index.jsonl"
    plain.with_name("index.jsonl.xz").write_bytes(lzma.compress(plain.read_bytes()))
    plain.unlink()
    manifest.write(corpus)
    assert shipped.manifest() == before
    shipped._parse.cache_clear()
    assert data.speech() == clips and data.verify() == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"no archive" + content,
        lambda content: content[:20] + bytes([content[20] ^ 255]) + content[21:],
        lambda content: lzma.compress(b"another\n"),
        lambda content: b"",
    ],
    ids=["truncated", "no archive", "flipped", "another", "empty"],
)
def test_a_damaged_packed_table_is_noticed(packed, damage):
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(
        data.DataError, match=r"data/speech/index.jsonl is damaged.*checkout -- data/speech/index.jsonl.xz"
    ):
        shipped.read("speech/index.jsonl")


def test_a_missing_packed_table_is_missing(packed):
    packed.unlink()
    with pytest.raises(data.DataError, match=r"no such file.*index.jsonl.xz"):
        shipped.read("speech/index.jsonl")


# --- manifest ------------------------------------------------------------------------------------------


def test_the_manifest_is_stable_sorted_and_leaves_out_what_is_not_shipped(corpus):
    text = shipped.content(corpus, "manifest.json")
    files = list(json.loads(text)["files"])
    assert files == sorted(files) and VICTIM in files
    assert not any(part in name for name in files for part in ("README", ".parts", "manifest", "build/"))
    manifest.write(corpus)
    assert shipped.content(corpus, "manifest.json") == text


def test_the_manifest_check_fails_when_it_is_stale(corpus, capsys):
    assert manifest.main(["--check", "--data", str(corpus)]) == 0
    damage_flip(corpus / VICTIM)
    assert manifest.main(["--check", "--data", str(corpus)]) == 1
    assert f"changed: {VICTIM}" in capsys.readouterr().err
    assert manifest.main(["--data", str(corpus)]) == 0
    assert manifest.main(["--check", "--data", str(corpus)]) == 0
    (corpus / "manifest.json.xz").write_bytes(b"no table")
    assert manifest.main(["--check", "--data", str(corpus)]) == 1
    (corpus / "manifest.json.xz").unlink()
    assert manifest.main(["--check", "--data", str(corpus)]) == 1


# --- noise ---------------------------------------------------------------------------------------------


def test_noise_types_of_training_and_test_do_not_overlap(corpus):
    train, test = data.noise("train"), data.noise("test")
    assert {n.kind for n in train} == {"white", "pink", "brown", "hum", "clicks", "rain", "babble"}
    assert {n.kind for n in test} == {"fan", "babble"}
    seeds = [n.seed for split in data.SPLITS for n in data.noise(split)]
    assert len(seeds) == len(set(seeds))


def test_noise_is_the_same_every_time_and_babble_is_made_of_the_voices_of_its_split(corpus, monkeypatch):
    clip = next(n for n in data.noise("train") if n.kind == "pink")
    assert clip.audio.shape == (160000,) and np.array_equal(clip.audio, clip.audio)
    asked = []
    real_speech = data.speech
    monkeypatch.setattr(
        data.corpus, "speech", lambda *a, **k: asked.append(k["voice"]) or real_speech(*a, **k)
    )
    monkeypatch.setattr(
        data.noises.generators, "babble", lambda clips, seconds, seed, talkers: np.zeros(talkers)
    )
    babble = next(n for n in data.noise("test") if n.kind == "babble")
    _ = babble.audio
    assert asked == ["m02"]


# --- the package ---------------------------------------------------------------------------------------


def test_the_catalogue_shows_size_and_licence_of_every_set():
    text = data.catalogue()
    assert "librispeech-dev-clean" in text and "CC BY-NC 3.0" in text and "0.34 GB" in text


def test_importing_data_loads_no_network_and_no_audio_library():
    script = (
        "import sys, course_utils.data as data\n"
        "data.catalogue(); data.speech('test'); data.real('esc10', 'test')\n"
        "print(*(name for name in ('requests', 'urllib3', 'http.client', 'soundfile', 'torch') if name in sys.modules))"
    )
    environment = {key: value for key, value in os.environ.items() if key != "COURSE_DATA"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment
    )
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_the_parts_of_the_package_are_reachable_from_data():
    assert callable(data.download) and callable(data.chorales) and callable(data.noise)
    assert data.root is shipped.root and data.DataError is shipped.DataError
