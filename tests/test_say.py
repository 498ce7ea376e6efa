"""`course say`: a text becomes a sound file that says of itself that it is synthetic."""

import io
import re
import sys
import tracemalloc

import numpy as np
import pytest

from course_utils import audio, checkpoints, cli
from course_utils.synthesis.speaking import Speaking

torch = pytest.importorskip("torch")


class Speaker(Speaking):
    """Says 0.1 s of a constant for each sentence; the constant is what it was asked for."""

    def __init__(self, loudness=0.25, interrupt_after=None):
        self.speakers, self.voices = ("f01", "m02"), torch.eye(2)
        self.loudness, self.interrupt_after, self.asked_for = loudness, interrupt_after, []

    def stream(self, text, speaker=None, spk_emb=None, seed=0, **how):
        from course_utils.synthesis.sentences import sentences

        parts = sentences(text)
        self.how = {"voice": spk_emb, "seed": seed, **how}
        return self.pieces(parts)

    def pieces(self, parts):
        for count, part in enumerate(parts):
            if count == self.interrupt_after:
                raise KeyboardInterrupt
            self.asked_for.append(part)
            yield np.full(1600, self.loudness, np.float32)


@pytest.fixture
def speaker(monkeypatch):
    model = Speaker()
    monkeypatch.setattr(checkpoints, "load", {"tts": model}.__getitem__)
    return model


def say(*arguments):
    return cli.main(["say", *map(str, arguments)])


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "opus", "mp3"])
def test_a_text_becomes_a_file_that_says_it_is_synthetic_and_whose_voice_it_has(
    speaker, tmp_path, capsys, ending
):
    target = tmp_path / f"out.{ending}"
    assert say("Hello there. Who is it?", "--speaker", "m02", target) == 0
    assert speaker.asked_for == ["hello there.", "who is it?"]
    assert np.array_equal(speaker.how["voice"], [0, 1]) and speaker.how["seed"] == 0
    assert len(audio.load(target)) == pytest.approx(3200, abs=1200)  # mp3 pads
    assert audio.tag(target).startswith("synthetic speech: voice m02")
    assert "0.2 s" in capsys.readouterr().out


def test_speed_pitch_seed_and_a_voice_between_two_reach_the_model(speaker, tmp_path):
    options = ("--mix", "f01", "m02", "0.5", "--speed", "1.5", "--pitch", "-3", "--seed", "7")
    assert say(*options, "Hello.", tmp_path / "out.wav") == 0
    assert np.allclose(speaker.how.pop("voice"), 0.5**0.5)
    assert speaker.how == {"seed": 7, "speed": 1.5, "pitch": -3.0}
    assert "f01 and m02, 0.5" in audio.tag(tmp_path / "out.wav")


def test_a_file_of_text_and_standard_input_are_said_as_a_text_is(speaker, tmp_path, monkeypatch):
    (tmp_path / "story.txt").write_text("\ufeffOnce upon a time. The end.", encoding="utf-8")
    assert say("--text-file", tmp_path / "story.txt", tmp_path / "out.wav") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("Once upon a time. The end."))
    assert say("-", tmp_path / "again.wav", "--text-file") == 0
    assert speaker.asked_for == ["once upon a time.", "the end."] * 2


def test_a_text_of_ten_thousand_words_needs_the_memory_of_a_short_one(speaker, tmp_path, monkeypatch):
    def peak(words):
        (tmp_path / "story.txt").write_text("This is a story of many words.\n\n" * (words // 7), "utf-8")
        tracemalloc.start()
        assert say("--text-file", tmp_path / "story.txt", tmp_path / "out.wav") == 0
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    # `normalise` has tests of its own, and is slow when every allocation is counted
    monkeypatch.setattr("course_utils.text.normalise", str.lower)
    peak(70)
    speaker.asked_for = type("Nothing", (), {"append": lambda *_: None})()
    short, long = peak(700), peak(10_000)
    assert len(audio.load(tmp_path / "out.wav")) == 10_000 // 7 * 1600
    assert long - short < 2_500_000, "the sound alone would be 9 MB, its text with all its words is one"


def test_ctrl_c_keeps_what_was_said(monkeypatch, tmp_path, capsys):
    model = Speaker(interrupt_after=2)
    monkeypatch.setattr(checkpoints, "load", lambda name: model)
    assert say("One. Two. Three. Four.", tmp_path / "out.wav") == 130
    assert len(audio.load(tmp_path / "out.wav")) == 3200 and audio.tag(tmp_path / "out.wav")
    assert "what was said up to there" in capsys.readouterr().err


def test_ctrl_c_before_the_first_word_changes_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(checkpoints, "load", lambda name: Speaker(interrupt_after=0))
    (tmp_path / "out.wav").write_bytes(b"precious")
    assert say("One. Two.", tmp_path / "out.wav") == 130
    assert (tmp_path / "out.wav").read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_too_loud_is_cut_and_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(checkpoints, "load", lambda name: Speaker(loudness=1.5))
    assert say("One.", tmp_path / "out.wav") == 0
    assert "1600 samples were above full scale" in capsys.readouterr().err
    assert audio.load(tmp_path / "out.wav").max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("", "out.wav"), "nothing to say"),
        (("你好!", "out.wav"), "nothing to say"),
        (("Hello.", "out.wav", "--speaker", "nobody"), "no speaker 'nobody'; there are f01, m02"),
        (("Hello.", "out.wav", "--mix", "f01", "x", "0.5"), "no speaker 'x'"),
        (("Hello.", "out.wav", "--mix", "f01", "m02", "half"), "--mix.*'half'"),
        (("Hello.", "out.wav", "--mix", "f01", "m02", "2"), "share.*got 2"),
        (("Hello.", "out.wav", "--mix", "f01", "m02", "nan"), "share.*got nan"),
        (("Hello.", "out.wav", "--mix", "f01", "m02", "0", "--speaker", "f01"), "not both"),
        (("Hello.", "out.txt"), "ending says the format"),
        (("Hello.", "out.au"), "no room for the comment"),
        (("Hello.", "nowhere/out.wav"), "no folder"),
        (("--text-file", "missing.txt", "out.wav"), "no file missing.txt"),
        (("--text-file", ".", "out.wav"), "can not be read"),
        (("--text-file", "latin.txt", "out.wav"), "no text in UTF-8"),
        (("--text-file", "empty.txt", "out.wav"), "nothing to say"),
    ],
)
def test_what_can_not_be_said_is_one_sentence_and_no_file(
    speaker, tmp_path, monkeypatch, capsys, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "empty.txt").write_bytes(b"")
    assert say(*arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("course: ") and re.search(sentence, said)
    assert {path.name for path in tmp_path.iterdir()} == {"latin.txt", "empty.txt"}


def test_a_text_file_without_an_end_is_refused(speaker, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("course_utils.commands.tts._LONGEST", 100)
    monkeypatch.setattr(sys, "stdin", io.StringIO("word " * 100))
    assert say("--text-file", "-", tmp_path / "out.wav") == 1
    assert "more than 100 characters" in capsys.readouterr().err
