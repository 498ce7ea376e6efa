"""The commands: what they ask for, what they say, and what they leave behind."""

import numpy as np
import pytest

from course_utils import audio, checkpoints, cli, music


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
