"""The commands: what they ask for, what they say, and what they leave behind."""

import numpy as np
import pytest

from course_utils import audio, checkpoints, cli, music


def test_without_its_checkpoint_the_command_says_how_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert cli.main(["enhance", "noisy.wav", "clean.wav"]) == 1
    assert "course train enhancement" in capsys.readouterr().err


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
