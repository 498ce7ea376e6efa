"""The commands: what they ask for, what they say, and what they leave behind."""

import numpy as np
import pytest

from course_utils import audio, checkpoints, cli, music, recipes


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


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--temperature", "nan"),
        ("--temperature", "inf"),
        ("--steps", "100000000"),
        ("--top-p", "nan"),
        ("--seed", "9" * 30),
    ],
)
def test_composing_refuses_a_number_that_means_nothing_and_names_its_option(tmp_path, capsys, option, value):
    assert cli.main(["compose", str(tmp_path / "out.mid"), option, value]) == 1
    assert option in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_option_that_one_recipe_lacks_is_refused_before_any_is_trained(monkeypatch, capsys):
    monkeypatch.setattr(recipes, "run", lambda *_, **__: pytest.fail("a training began"))
    assert cli.main(["train", "--all", "--synthetic"]) == 1
    assert "--synthetic" in capsys.readouterr().err


def test_a_training_whose_state_can_not_be_kept_says_which_variable_moves_it(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    assert cli.main(["train", "music", "--steps", "1"]) == 1
    assert "COURSE_CACHE" in capsys.readouterr().err
