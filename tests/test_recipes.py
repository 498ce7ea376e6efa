"""`course train` makes what a card says it makes, goes on where it was, and never replaces what ships by a trial."""

import json
import re
import types

import pytest
import torch

from course_utils import checkpoints, cli, fingerprint, paths, recipes
from course_utils.checkpoints import CheckpointError
from course_utils.recipes import phrases


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A recipe that notes how it was called."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    called, stop = [], []

    def train(steps=None, seed=0, state=None, name=None, measure=None, real=True):
        called.append({"steps": steps, "state": state, "name": name, "real": real, "resumed": state.exists()})
        state.write_text("half")
        state.with_stem(f"{state.stem}.first").write_text("half")
        if stop:
            raise KeyboardInterrupt
        name.mkdir(parents=True)

    recipe = types.SimpleNamespace(train=train)
    monkeypatch.setattr(recipes, "names", lambda: ["multi_tts", "tts"])
    monkeypatch.setattr(recipes, "find", lambda name: recipe)
    key = {"tts": "1", "multi_tts": "1"}
    monkeypatch.setattr(fingerprint, "code", lambda module, *names: key[module.removeprefix("recipes.")])
    return types.SimpleNamespace(called=called, stop=stop, key=key, folder=tmp_path)


def states(toy):
    folder = paths.training_folder() / "states"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_the_whole_recipe_writes_the_shipped_checkpoint_and_leaves_no_state(toy, capsys):
    assert cli.main(["train", "tts"]) == 0
    assert toy.called[0]["name"] == toy.folder / "data" / "checkpoints" / "tts" and not states(toy)
    assert "data.build.manifest" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--steps", "3"], ["--synthetic"], ["--steps", "3", "--synthetic"]])
def test_a_trial_replaces_nothing_and_says_where_it_went(toy, capsys, arguments):
    assert cli.main(["train", "tts", *arguments]) == 0
    target = toy.called[0]["name"]
    assert (
        target.is_relative_to(paths.training_folder() / "trials") and str(target) in capsys.readouterr().out
    )
    assert not (toy.folder / "data").exists()


def test_an_interrupted_training_goes_on_and_others_are_left_alone(toy, capsys):
    toy.stop.append(True)
    for name in ("tts", "multi_tts"):
        assert cli.main(["train", name]) == 130
    assert "kept" in capsys.readouterr().err and states(toy) == ["multi_tts-all", "tts-all"]
    toy.stop.clear()
    assert cli.main(["train", "tts"]) == 0
    assert toy.called[-1]["resumed"] and states(toy) == ["multi_tts-all"], "the other one's state stays"
    assert len(list((paths.training_folder() / "states" / "multi_tts-all").iterdir())) == 3


def test_a_state_of_another_version_of_the_recipe_is_refused(toy, capsys):
    toy.stop.append(True)
    cli.main(["train", "tts"])
    toy.key["tts"] = "2"
    with pytest.raises(CheckpointError, match=r"another version of the recipe 'tts'.*delete that folder"):
        recipes.run("tts")
    (paths.training_folder() / "states" / "tts-all" / "recipe.json").write_text("{")
    with pytest.raises(CheckpointError, match="another version"):
        recipes.run("tts")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tts", "--steps", "0"], "at least 1, got 0"),
        (["tts", "--steps", "-2"], "at least 1"),
        ([], "name one recipe, or --all; there are: multi_tts, tts"),
        (["tts", "--all"], "name one recipe"),
    ],
)
def test_what_can_not_be_trained_is_a_sentence(toy, capsys, arguments, message):
    assert cli.main(["train", *arguments]) == 1
    assert message in capsys.readouterr().err and toy.called == []


def test_all_trains_every_recipe(toy):
    assert cli.main(["train", "--all"]) == 0
    assert [call["name"].name for call in toy.called] == ["multi_tts", "tts"]


def test_an_unknown_recipe_and_an_option_that_a_recipe_lacks_are_sentences(capsys):
    assert cli.main(["train", "nothing"]) == 1
    assert (
        "there are converter, enhancement, g2p, music, phrases, recognition, speaker_encoder, speech_detector, speecht5, tts, vocoder"
        in capsys.readouterr().err
    )
    assert cli.main(["train", "speech_detector", "--synthetic"]) == 1
    assert "--synthetic: the recipe of speech_detector needs no recordings" in capsys.readouterr().err


def test_every_shipped_checkpoint_has_a_recipe_and_a_card_that_says_what_it_makes():
    shipped = {path.name for path in paths.checkpoints_folder().iterdir() if path.is_dir()}
    # A SpeechT5 is shipped only if it can be understood; its folder has a form of its own.
    assert shipped - {"speecht5"} == set(recipes.names()) - {"speecht5"}
    for name in shipped - {"speecht5"}:
        card = (paths.checkpoints_folder() / name / "README.md").read_text(encoding="utf-8")
        rows = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", card, re.M))
        if "what the recipe makes" in rows:
            assert "not these weights" in rows["what the recipe makes"]
            continue
        assert rows["rebuild"] == f"`course train {name}`"
        recipe = recipes.find(name)
        if name == "g2p":
            assert rows["training"].startswith(f"seed {recipe.SEED}, {recipe.EPOCHS} epochs, ")
        else:
            assert rows["seed"] == "0" and int(rows["steps"]) == recipe.STEPS, name
        assert json.loads((paths.checkpoints_folder() / name / "config.json").read_text())


def test_a_recogniser_of_phrases_goes_on_from_its_own_weights_or_begins_with_the_large_one():
    for name, head in (("phrases", "head"), ("recognition", "phone_head")):
        model, there = phrases.phrase_model(), checkpoints.read(name)[1]
        phrases.first_blocks(model, name)
        mine = model.state_dict()
        assert torch.equal(mine["head.weight"], there[f"{head}.weight"].float())
        same = there["blocks.1.feed.1.weight"].shape == mine["blocks.1.feed.1.weight"].shape
        assert same == (name == "phrases")
        if same:
            assert all(
                torch.equal(mine[key], value.float()) for key, value in there.items() if key != "grammar"
            )
