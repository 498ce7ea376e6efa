"""`course transcribe`: any sound file becomes text, and with --stream the text comes while the file is read."""

import sys
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

from course_utils import audio, checkpoints, cli
from course_utils.decoding.partial import Partial, Word
from course_utils.models.recognition import RecogniserConfig
from course_utils.models.recognition_streams import Recogniser


class Listener:
    """A model that writes a word whenever a loud stretch is over, and an endpoint after 0.5 s of silence."""

    def __init__(self, words=("one", "two", "three", "four")):
        self.all, self.heard, self.chunks = list(words), 0, []

    def stream(self, chunk_ms=160):
        self.chunk_ms, self.words, self.silent, self.loud = chunk_ms, [], 0.0, False
        return self

    def push(self, chunk):
        self.chunks.append(len(chunk))
        begin, self.heard = self.heard / 16000, self.heard + len(chunk)
        loud = np.sqrt(np.mean(chunk**2)) > 0.01
        if loud and not self.loud:
            self.words.append(Word(self.all[len(self.words) % 4], begin, self.heard / 16000))
        self.loud, self.silent = loud, 0.0 if loud else self.silent + len(chunk) / 16000
        return self.partial(bool(self.words) and self.silent >= 0.5)

    def partial(self, endpoint=False):
        text = " ".join(word.text for word in self.words)
        return Partial(text, text, tuple(self.words), self.heard / 16000, endpoint, self.silent)

    def next_utterance(self):
        final, self.words = self.partial(), []
        return final

    finish = next_utterance


@pytest.fixture
def listener(monkeypatch):
    model = Listener()
    monkeypatch.setattr(checkpoints, "load", lambda name: {"recognition": model, "phrases": model}[name])
    return model


def beeps(*pattern, rate=16000):
    """Stretches of 0.32 s, loud or silent."""
    time = np.arange(int(0.32 * rate)) / rate
    return np.concatenate([flag * 0.3 * np.sin(2 * np.pi * 440 * time) for flag in pattern]).astype(
        np.float32
    )


def test_utterances_are_lines_of_plain_text(listener, tmp_path, capsys):
    audio.save(tmp_path / "a.wav", beeps(1, 0, 1, 0, 0, 0, 1, 0))
    assert cli.main(["transcribe", str(tmp_path / "a.wav")]) == 0
    said = capsys.readouterr()
    assert said.out == "one two\none\n" and said.err == ""
    assert listener.chunk_ms == 160 and max(listener.chunks) == 2560


def test_into_a_pipe_every_change_is_a_line_with_its_time(listener, tmp_path, capsys):
    audio.save(tmp_path / "a.wav", beeps(1, 0, 1, 0, 0, 0, 1))
    assert cli.main(["transcribe", str(tmp_path / "a.wav"), "--stream", "--chunk-ms", "320"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "    0.32  one",
        "    0.96  one two",
        "    0.00 to 0.96  one two",
        "    2.24  one",
        "    1.92 to 2.24  one",
    ]


def test_on_a_terminal_one_line_is_rewritten_and_shows_its_end(listener, tmp_path, capsys, monkeypatch):
    audio.save(tmp_path / "a.wav", beeps(*[1, 0] * 9))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "30")
    cli.main(["transcribe", str(tmp_path / "a.wav"), "--stream"])
    *rewritten, last = capsys.readouterr().out.split("\r\x1b[K")[1:]
    assert rewritten[0].endswith("  one") and rewritten[-1].endswith("three four one")
    assert all(len(line) <= 29 and "\n" not in line for line in rewritten) and "…" in rewritten[-1]
    assert last.endswith("three four one\n") and last.count("one") == 3, "the whole utterance at the end"


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (48000, 6)])
def test_any_rate_and_number_of_channels_is_heard_at_16_khz(listener, tmp_path, rate, channels, capsys):
    sound = beeps(1, 0, 1, rate=rate)
    soundfile.write(tmp_path / "a.flac", np.stack([sound] * channels, 1), rate)
    assert cli.main(["transcribe", str(tmp_path / "a.flac"), "--model", "phrases"]) == 0
    assert capsys.readouterr().out == "one two\n"
    assert abs(listener.heard - 3 * 0.32 * 16000) <= 1


def test_channels_that_cancel_each_other_are_told_of_once(listener, tmp_path, capsys):
    sound = beeps(*[1] * 10)
    soundfile.write(tmp_path / "a.wav", np.stack([sound, -sound], 1), 16000)
    assert cli.main(["transcribe", str(tmp_path / "a.wav")]) == 0
    said = capsys.readouterr().err
    assert said.count("cancel each other") == 1 and "no words were understood" in said


def test_silence_gives_no_text_and_says_so(listener, tmp_path, capsys):
    audio.save(tmp_path / "a.wav", beeps(0, 0, 0))
    assert cli.main(["transcribe", str(tmp_path / "a.wav")]) == 0
    said = capsys.readouterr()
    assert said.out == "" and "no words were understood" in said.err


def test_what_can_not_be_heard_is_a_sentence(listener, tmp_path, capsys):
    (tmp_path / "text.wav").write_text("not audio, whatever its name says")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "no_samples.wav", np.zeros(0), 16000)
    for name, reason in (
        ("missing.wav", "no such file"),
        ("text.wav", "can not be read as sound"),
        ("empty.wav", "empty file"),
        ("no_samples.wav", "holds no samples"),
        (".", "is a folder"),
    ):
        assert cli.main(["transcribe", str(tmp_path / name)]) == 1
        said = capsys.readouterr()
        assert said.err.startswith("course: ") and reason in said.err and said.out == ""


def test_before_what_is_not_a_number_everything_is_written(listener, tmp_path, capsys):
    sound = beeps(*[1, 0] * 10)
    sound[-100] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, 16000, "FLOAT")
    assert cli.main(["transcribe", str(tmp_path / "a.wav")]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("one two three") and "6.394 s is not a finite number" in said.err


def test_ctrl_c_prints_what_was_understood(listener, tmp_path, capsys, monkeypatch):
    audio.save(tmp_path / "a.wav", beeps(*[1, 0] * 6))
    push = listener.push

    def interrupted(chunk):
        if listener.heard > 2 * 16000:
            raise KeyboardInterrupt
        return push(chunk)

    monkeypatch.setattr(listener, "push", interrupted)
    assert cli.main(["transcribe", str(tmp_path / "a.wav"), "--stream"]) == 130
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "    0.00 to 2.08  one two three four" and "interrupted" in said.err


@pytest.mark.parametrize("chunk", ["0", "100", "672", "-32"])
def test_a_chunk_that_no_model_has_is_refused_before_anything_is_read(listener, capsys, chunk):
    assert cli.main(["transcribe", "missing.wav", "--chunk-ms", chunk]) == 1
    assert "--chunk-ms: expected a multiple of 32" in capsys.readouterr().err


def test_without_its_checkpoint_the_command_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    audio.save(tmp_path / "a.wav", beeps(1))
    assert cli.main(["transcribe", str(tmp_path / "a.wav")]) == 1
    assert "recognition" in capsys.readouterr().err


def test_speech_without_an_endpoint_ends_in_a_silence_after_a_minute(listener, tmp_path, capsys):
    """The text stands still inside of a word, too: only a silence says that none is being said."""
    audio.save(tmp_path / "a.wav", beeps(*[1, 0] * 60, *[1] * 100, 0, 1))  # a word from 38 to 70 s
    assert cli.main(["transcribe", str(tmp_path / "a.wav"), "--stream"]) == 0
    first, second = [line for line in capsys.readouterr().out.splitlines() if " to " in line]
    assert len(first.split()) == 3 + 61 and second.split()[3:] == ["one"]
    assert listener.heard > 16000 * float(second.split()[0]) > 16000 * 70


def test_speech_that_never_pauses_ends_after_two_minutes_where_its_text_stands(listener, tmp_path, capsys):
    audio.save(tmp_path / "a.wav", beeps(1, 0, *[1] * 400))
    assert cli.main(["transcribe", str(tmp_path / "a.wav")]) == 0
    assert capsys.readouterr().out == "one two\n"
    assert not listener.words


def test_speech_without_a_pause_ends_between_two_words(listener, tmp_path, capsys):
    audio.save(tmp_path / "a.wav", beeps(*[1, 0] * 150))  # 96 s
    assert cli.main(["transcribe", str(tmp_path / "a.wav")]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert len(first.split()) + len(second.split()) == 150 and len(second.split()) < 60


def test_an_hour_takes_no_more_memory_than_a_minute(listener, tmp_path, capsys):
    def peak(minutes):
        with soundfile.SoundFile(tmp_path / "long.wav", "w", 1000, 1) as file:
            for _ in range(minutes):
                file.write(np.tile(beeps(1, 0, 0, rate=1000), 62))
        tracemalloc.start()
        cli.main(["transcribe", str(tmp_path / "long.wav"), "--chunk-ms", "640"])
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        listener.chunks.clear()
        return most

    peak(1)
    assert peak(20) < 1.5 * peak(1) + 500_000


def test_the_model_of_the_course_fits(monkeypatch, tmp_path, capsys):
    torch.manual_seed(0)
    model = Recogniser(RecogniserConfig(dim=16, layers=1, heads=2, phones_after=1)).eval()
    monkeypatch.setattr(checkpoints, "load", lambda name: model)
    audio.save(tmp_path / "a.wav", beeps(1, 0, 1))
    assert cli.main(["transcribe", str(tmp_path / "a.wav")]) == 0
    assert " ".join(capsys.readouterr().out.split()) == model.transcribe(beeps(1, 0, 1), 160)
