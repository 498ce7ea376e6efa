"""Another person's voice: no way in without a consent, no way out without the mark, and all of it can be forgotten."""

import datetime
import json
import os

import numpy as np
import pytest
import torch

from course_utils import audio, checkpoints, cli, cloning, data
from course_utils.cloning import Consent, ConsentError
from course_utils.models import watermark
from course_utils.models.tts_speech import TextToSpeech

ADA = {"speaker": "Ada", "given_by": "Ada", "purpose": "a lesson", "date": "2025-11-01"}


def speech_like(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes as syllables do."""
    draw = np.random.default_rng(seed)
    time = np.arange(int(16000 * seconds)) / 16000
    return (0.1 * draw.standard_normal(len(time)) * (0.3 + np.sin(2 * np.pi * 3 * time) ** 2)).astype(
        np.float32
    )


class StandIn:
    """A synthesiser and converter that give noise, and count what they were asked."""

    def __init__(self):
        self.asked = 0

    def embed(self, waveform):
        return np.ones(4, np.float32) / 2

    def say(self, text, spk_emb, seed, speed, pitch, guidance):
        self.asked += 1
        return speech_like(seed=seed)

    def convert(self, source, reference, pitch=None):
        self.asked += 1
        return source


@pytest.fixture
def model(monkeypatch):
    stand_in = StandIn()
    monkeypatch.setattr(checkpoints, "load", lambda name: stand_in)
    return stand_in


@pytest.fixture
def folder(tmp_path):
    """A folder with somebody's recording and their consent."""
    audio.save(tmp_path / "ada.wav", speech_like(seed=7))
    (tmp_path / "consent.json").write_text(json.dumps(ADA))
    (tmp_path / "out").mkdir()
    return tmp_path


def command(name: str, folder, *options: str) -> int:
    what = {
        "clone": [folder / "ada.wav", "Good evening."],
        "convert": [folder / "ada.wav", folder / "ada.wav"],
    }[name]
    return cli.main([name, *map(str, what), str(folder / "out" / "made.wav"), *options])


WAYS = {
    "clone": lambda reference, consent: cloning.clone(reference, "Good evening.", consent),
    "convert": lambda reference, consent: cloning.convert(speech_like(), reference, consent),
}


# --- consent -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("as_file", [True, False])
def test_a_persons_voice_is_refused_without_a_consent(way, as_file, folder, model):
    reference = folder / "ada.wav" if as_file else speech_like()
    with pytest.raises(ConsentError, match=r"given_by.*purpose.*date"):
        WAYS[way](reference, None)
    assert model.asked == 0


@pytest.mark.parametrize("way", WAYS)
def test_with_a_consent_it_is_said_and_marked(way, folder, model):
    for consent in (Consent(**ADA), folder / "consent.json", str(folder / "consent.json")):
        assert cloning.detect_watermark(WAYS[way](folder / "ada.wav", consent)).found


@pytest.mark.parametrize("way", WAYS)
def test_a_virtual_voice_needs_none_and_is_marked_all_the_same(way, model):
    for reference in ("f01", data.speech(voice="f01", kind="sentence")[0]):
        assert cloning.detect_watermark(WAYS[way](reference, None)).found


@pytest.mark.parametrize("way", WAYS)
def test_something_that_is_no_consent_is_refused(way, model):
    for consent in (ADA, True, "yes, she said so", 1):
        with pytest.raises(ConsentError):
            WAYS[way](speech_like(), consent)
    assert model.asked == 0


def test_a_file_called_like_a_virtual_voice_is_a_persons(folder, model, monkeypatch):
    monkeypatch.chdir(folder)
    os.rename("ada.wav", "f01")
    with pytest.raises(ConsentError):
        cloning.clone("f01", "Good evening.")


@pytest.mark.parametrize("name", ["clone", "convert"])
def test_the_command_refuses_without_a_consent_and_writes_nothing(name, folder, model, capsys):
    assert command(name, folder) == 1
    assert "consent" in capsys.readouterr().err
    assert list((folder / "out").iterdir()) == [] and model.asked == 0


@pytest.mark.parametrize("name", ["clone", "convert"])
def test_the_command_writes_the_sound_the_consent_and_a_list_and_nothing_elsewhere(name, folder, model):
    before = {path for path in folder.rglob("*")}
    assert command(name, folder, "--consent", str(folder / "consent.json")) == 0
    made = {path.name for path in set(folder.rglob("*")) - before}
    assert made == {"made.wav", "made.wav.consent.json", cloning.INDEX}
    assert all((folder / "out" / name).exists() for name in made)
    assert cloning.read_consent(folder / "out" / "made.wav.consent.json") == Consent(**ADA)
    assert "consent" in audio.tag(folder / "out" / "made.wav")


def test_the_command_refuses_a_consent_of_somebody_else(folder, model, capsys):
    options = ["--consent", str(folder / "consent.json"), "--speaker", "Grace"]
    assert command("clone", folder, *options) == 1
    assert "Grace" in capsys.readouterr().err and model.asked == 0


def test_a_recording_knows_its_speaker_and_the_consent_must_be_theirs(model):
    reader = data.real("librispeech", "test")[0]
    with pytest.raises(ConsentError, match="Ada"):
        cloning.clone(reader, "Good evening.", Consent(**ADA))
    allowed = Consent(**{**ADA, "speaker": str(reader.speaker)})
    assert len(cloning.clone(reader, "Good evening.", allowed))


@pytest.mark.parametrize("field", list(ADA))
def test_a_consent_with_an_empty_or_missing_field_is_refused(field, tmp_path):
    with pytest.raises(ConsentError, match=field):
        Consent(**{**ADA, field: " "})
    path = tmp_path / "consent.json"
    path.write_text(json.dumps({name: value for name, value in ADA.items() if name != field}))
    with pytest.raises(ConsentError, match=f"lacks {field}"):
        cloning.read_consent(path)


def test_a_consent_from_the_future_is_refused():
    later = datetime.date.today() + datetime.timedelta(days=2)
    with pytest.raises(ConsentError, match="future"):
        Consent(**{**ADA, "date": later.isoformat()})
    with pytest.raises(ConsentError, match="year-month-day"):
        Consent(**{**ADA, "date": "yesterday"})


@pytest.mark.parametrize("content", ["", "[1]", "{", '"yes"', '{"speaker": 1}', "[" * 100_000])
def test_a_damaged_consent_is_named(content, tmp_path):
    path = tmp_path / "consent.json"
    path.write_text(content)
    with pytest.raises(ConsentError, match=r"consent\.json"):
        cloning.read_consent(path)


def test_a_missing_consent_says_what_to_write(tmp_path):
    with pytest.raises(ConsentError, match=r"there is no consent .*nobody\.json.*purpose"):
        cloning.read_consent(tmp_path / "nobody.json")


def test_a_consent_comes_back_as_it_was_saved(tmp_path):
    consent = Consent(**{**ADA, "speaker": "Zoë"})
    assert cloning.read_consent(consent.save(tmp_path / "zoe.json")) == consent


# --- bad input -----------------------------------------------------------------------------------------

BAD = {
    "silence": (np.zeros(16000, np.float32), "silent"),
    "too short": (speech_like(0.3), "too short"),
    "empty": (np.zeros(0, np.float32), "too short"),
    "stereo": (np.zeros((16000, 2), np.float32), "mono"),
    "NaN": (np.full(16000, np.nan, np.float32), "finite"),
    "integers": (np.ones(16000, np.int16), "to_float"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("way", WAYS)
def test_a_reference_without_a_voice_gets_a_clear_answer(way, kind, model):
    waveform, says = BAD[kind]
    with pytest.raises(ValueError, match=says):
        WAYS[way](waveform, Consent(**ADA))


def test_a_missing_reference_is_named_and_virtual_voices_are_told_of(folder, model, capsys):
    consent = str(folder / "consent.json")
    made = str(folder / "out" / "x.wav")
    assert cli.main(["clone", str(folder / "bob.wav"), "Hello.", made, "--consent", consent]) == 1
    said = capsys.readouterr().err
    assert "bob.wav" in said and "f01" in said


def test_without_a_converter_the_error_says_how_to_get_one(monkeypatch):
    def missing(name):
        raise checkpoints.CheckpointError(f"no checkpoint {name!r}; train it with `course train {name}`")

    monkeypatch.setattr(checkpoints, "load", missing)
    with pytest.raises(checkpoints.CheckpointError, match="course train converter"):
        cloning.convert("f01", "m01")


# --- what is kept, and how it is forgotten --------------------------------------------------------------


def test_forgetting_deletes_what_was_made_and_says_so_and_leaves_the_rest(folder):
    out = folder / "out"
    cloning.keep(out / "me.wav", speech_like(), Consent(**ADA))
    cloning.save(out / "made.wav", speech_like(), Consent(**ADA))
    (out / "diary.txt").write_text("mine")
    deleted = cloning.forget(out)
    made = {"me.wav", "me.wav.consent.json", "made.wav", "made.wav.consent.json", cloning.INDEX}
    assert set(deleted) == made
    assert [path.name for path in out.iterdir()] == ["diary.txt"]
    assert (folder / "ada.wav").exists() and cloning.forget(out) == []


def test_forgetting_never_leaves_the_folder(folder):
    out = folder / "out"
    (out / "link.wav").symlink_to(folder / "ada.wav")
    names = ["../ada.wav", str(folder / "ada.wav"), "..", "", "link.wav", "..\\ada.wav"]
    (out / cloning.INDEX).write_text(json.dumps(names))
    cloning.forget(out)
    assert (folder / "ada.wav").exists() and not (out / "link.wav").is_symlink()


def test_nothing_is_written_through_a_link(folder):
    link = folder / "out" / "made.wav"
    link.symlink_to(folder / "ada.wav")
    before = (folder / "ada.wav").read_bytes()
    with pytest.raises(audio.AudioError, match="link"):
        cloning.save(link, speech_like(), Consent(**ADA))
    assert (folder / "ada.wav").read_bytes() == before


def test_a_damaged_list_and_a_missing_folder_are_told_of(folder):
    (folder / "out" / cloning.INDEX).write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        cloning.forget(folder / "out")
    with pytest.raises(ValueError, match="no folder"):
        cloning.forget(folder / "elsewhere")
    with pytest.raises(audio.AudioError, match="no such folder"):
        cloning.save(folder / "elsewhere" / "x.wav", speech_like(), Consent(**ADA))


def test_the_forget_command_says_what_it_deleted(folder, capsys):
    cloning.save(folder / "out" / "made.wav", speech_like(), Consent(**ADA))
    assert cli.main(["forget", str(folder / "out")]) == 0
    assert "deleted made.wav" in capsys.readouterr().out
    assert list((folder / "out").iterdir()) == []


def test_what_is_saved_carries_the_mark_even_if_it_had_none(tmp_path):
    path = cloning.save(tmp_path / "made.wav", speech_like(), Consent(**ADA))
    assert cloning.detect_watermark(path).found


# --- the mark in a terminal ----------------------------------------------------------------------------


def test_the_watermark_command_tells_marked_from_unmarked(folder, capsys):
    audio.save(folder / "marked.wav", watermark.embed(speech_like()))
    assert cli.main(["watermark", str(folder / "marked.wav")]) == 0
    assert cli.main(["watermark", str(folder / "ada.wav")]) == 3
    said = capsys.readouterr().out
    assert "watermark is there" in said and "no watermark" in said
    assert cli.main(["watermark", str(folder / "nothing.wav")]) == 1


# --- what is learnt of a voice -------------------------------------------------------------------------


class Learns(TextToSpeech):
    """Counts as the synthesiser of the course; says how often it was taught."""

    def __init__(self):
        torch.nn.Module.__init__(self)

    embed = staticmethod(lambda waveform: np.ones(2))
    say = staticmethod(
        lambda text, spk_emb, **how: 0.1 * np.sin(np.arange(16000) / 9 * spk_emb[0]).astype(np.float32)
    )


@pytest.fixture
def taught(monkeypatch):
    """The calls of `recipes.tts.fit`, which gives the model back with another voice."""
    calls = []

    def fit(model, waveform, said=None, steps=20, seed=0):
        calls.append((len(waveform), said, steps))
        return model, 2 * np.ones(2)

    monkeypatch.setattr(cloning.tts, "fit", fit)
    cloning._LAST.clear()
    return calls


def test_a_voice_is_learnt_once_and_forgotten_with_the_rest(taught, tmp_path):
    model, voice = Learns(), speech_like()
    consent = Consent(**ADA)
    for text in ("One.", "Two."):
        cloning.clone(voice, text, consent, model=model)
    assert taught == [(len(voice), None, cloning.tts.FIT_STEPS)], "the second text does not wait"
    cloning.clone(voice, "One.", consent, model=model, said="what was said")
    assert taught[1:] == [(len(voice), "what was said", cloning.tts.FIT_STEPS)]
    cloning.forget(tmp_path)
    cloning.clone(voice, "One.", consent, model=model, learn=7)
    assert taught[2:] == [(len(voice), None, 7)]


def test_without_steps_it_is_heard_only_and_a_wrong_number_is_refused(taught):
    model, consent = Learns(), Consent(**ADA)
    heard = cloning.clone(speech_like(), "One.", consent, model=model, learn=0)
    learnt = cloning.clone(speech_like(), "One.", consent, model=model)
    assert len(taught) == 1 and not np.array_equal(heard, learnt)
    for wrong in (-1, 2.5, True):
        with pytest.raises(ValueError, match="learn: expected a number of steps"):
            cloning.clone(speech_like(), "One.", consent, model=model, learn=wrong)
