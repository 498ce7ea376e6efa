"""The commands: a file of any kind is cleaned or refused with a sentence, and a chorale becomes files."""

import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from course_utils import audio, checkpoints, cli, music, streaming


class Halver:
    """Stands in for the model: half as loud, a little late, and as long as what came in."""

    def stream(self):
        return HalverStream()


class HalverStream:
    held = 300  # as a model with a window does

    def __init__(self):
        self.waiting = np.zeros(0, np.float32)

    def push(self, chunk):
        self.waiting = np.concatenate([self.waiting, chunk])
        ready = max(0, len(self.waiting) - self.held)
        out, self.waiting = self.waiting[:ready], self.waiting[ready:]
        return out * np.float32(0.5)

    def finish(self):
        return self.waiting * np.float32(0.5)


@pytest.fixture
def enhance(monkeypatch, tmp_path, capsys):
    """Run `course enhance` in an empty folder; returns its exit status and what it said."""
    monkeypatch.setattr(checkpoints, "load", lambda name: {"enhancement": Halver()}[name])
    monkeypatch.chdir(tmp_path)

    def run(source, target="clean.wav"):
        status = cli.main(["enhance", str(source), str(target)])
        return status, capsys.readouterr().err

    return run


def tone(seconds, rate, frequency=440.0):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_a_stereo_file_at_44_kilohertz_keeps_rate_channels_length_and_format(enhance):
    both = np.stack([tone(5, 44100), tone(5, 44100, 1000.0)], axis=1)
    soundfile.write("noisy.wav", both, 44100, subtype="PCM_24")
    assert enhance("noisy.wav")[0] == 0
    info = soundfile.info("clean.wav")
    assert (info.samplerate, info.channels, info.frames) == (44100, 2, len(both))
    assert (info.format, info.subtype) == ("WAV", "PCM_24")
    clean, _ = soundfile.read("clean.wav", dtype="float32")
    assert np.abs(clean - both / 2)[2000:-2000].max() < 2e-3, "each channel in its place, and in time"


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 48000])
def test_every_rate_keeps_its_length_and_its_timing(enhance, rate):
    mono = tone(2.017, rate)
    soundfile.write("noisy.flac", mono, rate)
    assert enhance("noisy.flac", "clean.flac")[0] == 0
    clean, written = soundfile.read("clean.flac", dtype="float32")
    assert written == rate and len(clean) == len(mono)
    assert np.abs(clean - mono / 2)[rate // 8 : -rate // 8].max() < 2e-3


def test_what_lies_above_8_kilohertz_is_dropped(enhance):
    soundfile.write("noisy.wav", tone(1, 44100, 12000.0), 44100)
    enhance("noisy.wav")
    assert np.abs(soundfile.read("clean.wav")[0][4410:-4410]).max() < 1e-3


@pytest.mark.parametrize(
    ("source", "target", "kept"),
    [
        ("noisy.wav", "clean.flac", ("FLAC", "PCM_16")),
        ("noisy.wav", "clean.ogg", ("OGG", "VORBIS")),
        ("noisy.wav", "clean.mp3", ("MP3", "MPEG_LAYER_III")),
        ("noisy.ogg", "clean.wav", ("WAV", "PCM_16")),
        ("noisy.ogg", "clean.ogg", ("OGG", "VORBIS")),
    ],
)
def test_the_ending_of_the_target_says_the_format(enhance, source, target, kept):
    soundfile.write(source, tone(1, 16000), 16000)
    assert enhance(source, target)[0] == 0
    info = soundfile.info(target)
    assert (info.format, info.subtype) == kept


def test_a_clip_shorter_than_a_window_comes_back_as_long(enhance):
    soundfile.write("noisy.wav", np.full(7, 0.25, np.float32), 16000, subtype="FLOAT")
    assert enhance("noisy.wav")[0] == 0
    assert np.allclose(soundfile.read("clean.wav")[0], 0.125)


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource is not there")
def test_an_hour_is_cleaned_in_bounded_memory(tmp_path):
    """In a process of its own, because peak memory never falls again."""
    script = f"""
import resource, sys
import numpy as np, soundfile
from course_utils import streaming

class Same:
    def stream(self): return self
    def push(self, chunk): return chunk
    def finish(self): return np.zeros(0, np.float32)

noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 60).astype(np.float32)
minutes = [1, 60]
peaks = []
for count in minutes:
    with soundfile.SoundFile(r"{tmp_path}/noisy.wav", "w", 16000, 1) as file:
        for _ in range(count):
            file.write(noise)
    streaming.process_file(r"{tmp_path}/noisy.wav", r"{tmp_path}/clean.wav", Same(), progress=False)
    assert soundfile.info(r"{tmp_path}/clean.wav").frames == count * len(noise)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] / peaks[0])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.05, "the hour takes no more memory than the minute"


def bad_file(kind):
    if kind == "nan":
        samples = tone(3, 16000)
        samples[40000] = np.nan
        soundfile.write("noisy.wav", samples, 16000, subtype="FLOAT")
    elif kind == "empty":
        soundfile.write("noisy.wav", np.zeros(0, np.float32), 16000)
    elif kind == "text":
        with open("noisy.wav", "w") as file:
            file.write("these are words and no sound")
    elif kind == "folder":
        os.mkdir("noisy.wav")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no such file: noisy.wav"),
        ("text", "can not be read as sound"),
        ("empty", "holds no samples"),
        ("folder", "is a folder"),
        ("nan", "at 2.500 s is not a finite number"),
    ],
)
def test_a_bad_input_is_one_sentence_and_leaves_nothing_behind(enhance, kind, message):
    bad_file(kind)
    soundfile.write("clean.wav", tone(1, 16000), 16000)
    before = open("clean.wav", "rb").read()
    status, said = enhance("noisy.wav")
    assert status == 1 and message in said and "Traceback" not in said
    assert open("clean.wav", "rb").read() == before, "what was there stays"
    assert not [name for name in os.listdir(".") if name.endswith(".part")]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("noisy.wav", "is the input itself"),
        ("./link.wav", "is the input itself"),
        ("no/such/clean.wav", "there is no folder"),
        ("clean.txt", "use .wav, .flac"),
        ("clean", "use .wav, .flac"),
        ("here.wav", "it is a folder"),
    ],
)
def test_a_bad_target_is_refused_before_anything_is_written(enhance, target, message):
    soundfile.write("noisy.wav", tone(1, 16000), 16000)
    os.mkdir("here.wav")
    if target == "./link.wav":
        os.link("noisy.wav", "link.wav")
    before = open("noisy.wav", "rb").read()
    status, said = enhance("noisy.wav", target)
    assert status == 1 and message in said
    assert open("noisy.wav", "rb").read() == before


def test_a_rate_that_the_format_does_not_know_is_a_sentence(enhance):
    soundfile.write("noisy.wav", np.zeros((100, 12), np.float32), 16000)
    status, said = enhance("noisy.wav", "clean.mp3")
    assert status == 1 and "can not write clean.mp3" in said


def test_a_file_that_breaks_off_is_an_error(enhance):
    soundfile.write("noisy.flac", np.random.default_rng(0).normal(0, 0.1, 160000), 16000)
    content = open("noisy.flac", "rb").read()
    with open("noisy.flac", "wb") as file:
        file.write(content[: len(content) // 2])
    status, said = enhance("noisy.flac", "clean.flac")
    assert status == 1 and "noisy.flac" in said
    assert not os.path.exists("clean.flac")


def test_without_its_checkpoint_the_command_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert cli.main(["enhance", "noisy.wav", "clean.wav"]) == 1
    assert "course train enhancement" in capsys.readouterr().err


@pytest.fixture
def recipe(monkeypatch, tmp_path):
    """A recipe that writes its state, and stops the first time; returns the calls it saw."""
    calls = []

    def train(steps=None, state=None):
        calls.append((steps, state.exists()))
        state.write_text("half of it")
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("course_utils.models.music.train", train)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    return calls


def test_an_interrupted_training_goes_on_with_the_same_command(recipe, tmp_path, capsys):
    assert cli.main(["train", "music", "--steps", "7"]) == 130
    assert "what was finished is kept" in capsys.readouterr().err
    assert cli.main(["train", "music", "--steps", "7"]) == 0
    assert recipe == [(7, False), (7, True)]
    assert not list((tmp_path / "training").iterdir())


def test_a_run_without_recordings_never_goes_on_from_one_with_them(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "course_utils.models.enhancement.train",
        lambda steps, state, real=True: seen.append((real, state.name)),
    )
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    assert cli.main(["train", "enhancement"]) == cli.main(["train", "enhancement", "--synthetic"]) == 0
    assert [real for real, _ in seen] == [True, False] and seen[0][1] != seen[1][1]


def test_only_a_recipe_with_recordings_can_do_without_them(recipe, capsys):
    assert cli.main(["train", "music", "--synthetic"]) == 1
    assert "needs no real recordings" in capsys.readouterr().err and not recipe


class Composer:
    def generate(self, steps, prompt=None, temperature=1.0, top_p=0.95, seed=0, metre=(16, 0), strict=False):
        self.asked = {
            "temperature": temperature, "top_p": top_p, "seed": seed, "metre": metre, "strict": strict
        }  # fmt: skip
        return np.tile([72, 67, 64, 48], (steps, 1))


def test_a_chorale_becomes_a_midi_file_and_sound(monkeypatch, tmp_path):
    composer = Composer()
    monkeypatch.setattr(checkpoints, "load", lambda name: {"music": composer}[name])
    midi, wav = tmp_path / "out.mid", tmp_path / "out.wav"
    options = ["--wav", str(wav), "--seed", "3", "--steps", "32", "--temperature", "0.9"]
    assert cli.main(["compose", str(midi), *options, "--top-p", "0.8", "--metre", "3/4"]) == 0
    grid, _ = music.load_midi(midi)
    assert grid.shape == (32, 4) and len(audio.load(wav)) > 16000
    asked = {"temperature": 0.9, "top_p": 0.8, "seed": 3, "metre": (12, 0)}
    assert composer.asked == asked | {"strict": True}
    assert cli.main(["compose", str(midi), *options, "--top-p", "0.8", "--metre", "3/4", "--free"]) == 0
    assert composer.asked == asked | {"strict": False}


def test_help_says_what_happens_above_8_kilohertz(capsys):
    with pytest.raises(SystemExit):
        cli.main(["enhance", "--help"])
    assert "above 8 kHz is dropped" in " ".join(capsys.readouterr().out.split())


def test_a_stream_may_return_nothing_for_a_while():
    channel = streaming._Channel(Halver(), 8000)
    parts = [channel.push(np.ones(10, np.float32)) for _ in range(100)] + [channel.finish()]
    assert len(parts[0]) == 0 and abs(len(np.concatenate(parts)) - 1000) <= 1
