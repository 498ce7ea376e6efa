"""Recorded results say what they were made with, and whoever changes that hears of it."""

import json
import shutil
import types

import numpy as np
import pytest
import torch

from course_utils import cli, fingerprint, paths, peers, recipes
from course_utils.record import ladder, mixtures, results, scoreboard, topics
from course_utils.record.entry import Entry, Unfinished, differences
from course_utils.record.topics import enhancement
from course_utils.record.topics import music as chorales

RECIPE = """
import types

from course_utils import training

RUNGS = {"low": ("one thing", 1.0), "high": ("another", 2.0)}


def train_rung(rung, seed, steps=None):
    return RUNGS[rung][1] * (seed + 1), steps or 10
"""
TOPIC = """
def rung_figures(model):
    return {"loss": model.loss}
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A topic with two systems and a ladder of two rungs, beside empty results and two pages with markers."""
    package = tmp_path / "course_utils"
    shutil.copytree(paths.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "widgets"))
    (package / "recipes" / "small.py").write_text(RECIPE)
    (package / "record" / "topics" / "small.py").write_text(TOPIC)
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    for page, name in ((tmp_path / "README.md", "README"), (tmp_path / "results" / "README.md", "FULL")):
        page.parent.mkdir(exist_ok=True)
        blocks = ("course", "scoreboard") if name == "README" else ("scoreboard",)
        markers = "\n".join(
            f"{scoreboard.BEGIN.format(block)}\n{scoreboard.END.format(block)}" for block in blocks
        )
        page.write_text(f"before\n{markers}\nafter\n")
        monkeypatch.setattr(scoreboard, name, page)
    state = types.SimpleNamespace(
        home=tmp_path,
        measured=[],
        trained=[],
        stops=[],
        key={"ours": "1", "theirs": "1"},
        value=3.0,
        worse=0.0,
        sounds="1",
    )

    def entries():
        for system in state.key:

            def measure(system=system):
                state.measured.append(system)
                if system in state.stops:
                    raise peers.MissingPeer(f"{system} is not available; run: course install peers")
                return {"mean": state.value}

            def sample(record, system=system):
                state.measured.append(f"sample of {system}")
                return differences({"mean": state.value}, record, system)

            yield Entry("grid", system, state.key[system], measure, sample)

    def train_rung(rung, seed, steps=None):
        if (rung, seed) in state.stops:
            raise KeyboardInterrupt
        state.trained.append((rung, seed))
        model = torch.nn.Linear(1, 1)
        model.loss = {"low": 1.0, "high": 2.0}[rung] * (seed + 1) + state.worse
        return model, types.SimpleNamespace(losses=[0.0] * (steps or 10), seconds=0.1)

    recipe = types.ModuleType("small")
    recipe.RUNGS, recipe.train_rung = {"low": ("one thing",), "high": ("another",)}, train_rung
    topic = types.ModuleType("small")
    topic.NOTEBOOK, topic.LIBRARIES, topic.entries = "99", ("numpy", "no-such-package"), entries
    topic.rung_figures = lambda model: {"loss": model.loss}
    topic.require, topic.material = lambda: None, lambda: state.sounds
    topic.text = lambda: json.dumps(results.read("small").get("systems", {}))
    topic.headline = lambda: [{"task": "small", "measure": "mean", "this course": str(state.value)}]
    found, known = recipes.find, recipes.names()
    monkeypatch.setattr(recipes, "find", lambda name: recipe if name == "small" else found(name))
    monkeypatch.setattr(recipes, "names", lambda: ["small", *known])
    monkeypatch.setattr(topics, "every", lambda: {"small": topic})
    state.recipe_file = package / "recipes" / "small.py"
    return state


# --- the scoreboard ------------------------------------------------------------------------------------


def test_what_was_measured_is_not_measured_again(small):
    assert scoreboard.measure("small") == [] and small.measured == ["ours", "theirs"]
    scoreboard.measure("small")
    assert len(small.measured) == 2
    small.key["ours"] = "2"
    scoreboard.measure("small")
    assert small.measured[2:] == ["ours"], "only what is stale"
    scoreboard.measure("small", again=True)
    assert small.measured[3:] == ["ours", "theirs"]
    made_with = results.read("small")["made with"]
    assert made_with["numpy"] == np.__version__ and "no-such-package" not in made_with


def test_stale_missing_and_superfluous_records_are_each_a_sentence(small):
    scoreboard.measure("small")
    scoreboard.write_tables()
    assert scoreboard.problems() == []
    small.key = {"ours": "2", "new": "1"}
    stale, never, gone = scoreboard.problems()
    assert "ours on grid is stale" in stale and "--restamp" in stale
    assert "new on grid was never measured" in never
    assert "theirs on grid, which no longer exists" in gone


def test_a_change_that_changes_no_figure_is_stamped_after_a_sample(small):
    scoreboard.measure("small")
    small.key["ours"] = "2"
    assert scoreboard.restamp("small") == []
    assert small.measured[2:] == ["sample of ours"], "what is fresh is left alone"
    assert results.read("small")["systems"]["grid"]["ours"] == {"fingerprint": "2", "mean": 3.0}


def test_a_change_that_changes_a_figure_is_not_stamped(small):
    scoreboard.measure("small")
    small.key["ours"], small.value = "2", 3.1
    assert scoreboard.restamp("small") == ["mean of ours is 3.1 now, 3.0 was recorded"]
    assert results.read("small")["systems"]["grid"]["ours"]["fingerprint"] == "1"


def test_a_missing_peer_keeps_the_old_record_and_is_named(small):
    scoreboard.measure("small")
    before = results.read("small")["systems"]["grid"]["theirs"]
    small.stops.append("theirs")
    failures = scoreboard.measure("small", again=True)
    assert len(failures) == 1 and "course install peers" in failures[0]
    assert results.read("small")["systems"]["grid"]["theirs"] == before


def test_tables_stand_on_two_pages_and_edits_are_found(small):
    scoreboard.measure("small")
    assert scoreboard.write_tables() == ["README.md", "results/README.md"] and scoreboard.write_tables() == []
    short, full = (small.home / "README.md").read_text(), (small.home / "results" / "README.md").read_text()
    assert short.startswith("before\n") and short.endswith("\nafter\n") and "| small | mean | 3.0 |" in short
    assert '"mean": 3.0' in full and '"mean": 3.0' not in short
    (small.home / "results" / "README.md").write_text(full.replace("3.0", "4.0"))
    assert scoreboard.problems() == [
        "the table scoreboard of results/README.md is not that of results/ and notebooks/; run `course scoreboard`"
    ]
    (small.home / "README.md").write_text(short.replace(scoreboard.END.format("scoreboard"), ""))
    with pytest.raises(ValueError, match=r"README\.md lacks the markers"):
        scoreboard.problems()


def test_the_table_of_the_course_says_what_the_titles_say():
    rows = [line for line in str(scoreboard.contents()).splitlines() if "](notebooks/" in line]
    assert len(rows) == len(list(paths.notebooks_folder().glob("*.ipynb")))
    enhancement_row = next(row for row in rows if "[01 speech enhancement]" in row)
    assert (
        "your own noise remover, at work while you speak" in enhancement_row
        and "| 4 min | 00 |" in enhancement_row
    )
    assert "SI-SDR" in enhancement_row


def test_the_command_fails_with_a_sentence_when_stale(small, capsys):
    assert (
        cli.main(["scoreboard"]) == 0 and "written: README.md, results/README.md" in capsys.readouterr().out
    )
    assert cli.main(["scoreboard", "--check"]) == 0 and "fresh" in capsys.readouterr().out
    small.key["ours"] = "2"
    assert cli.main(["scoreboard", "--check", "small"]) == 1
    assert "the record of ours on grid is stale" in capsys.readouterr().err
    assert cli.main(["scoreboard", "--restamp"]) == 0 and cli.main(["scoreboard", "--check"]) == 0
    assert cli.main(["scoreboard", "nothing"]) == 1 and "no topic 'nothing'" in capsys.readouterr().err


def test_differences_are_sentences_and_missing_figures_are_equal():
    old = {"a": 1.0, "b": None, "c": "x"}
    assert differences({"a": 1.004, "b": float("nan"), "c": "x"}, old, "it") == []
    found = differences({"a": 1.01, "b": 2.0, "c": "y", "d": 3}, old, "it")
    assert len(found) == 4 and found[0] == "a of it is 1.01 now, 1.0 was recorded"


def test_results_are_written_whole_and_damage_is_a_sentence(small):
    results.write("music", {"a": [0.123456789, float("nan")], "b": {"c": 3}})
    assert results.read("music") == {"a": [0.12346, None], "b": {"c": 3}}
    assert [path.name for path in results.FOLDER.glob("*.json*")] == ["music.json"]
    (results.FOLDER / "music.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"git checkout -- results/music\.json"):
        results.read("music")
    assert results.read("nothing") == {}


# --- the ladder ----------------------------------------------------------------------------------------


def test_a_ladder_that_was_stopped_goes_on_where_it_was(small):
    small.stops.append(("high", 1))
    assert cli.main(["ladder", "small"]) == 130
    assert small.trained == [("low", 0), ("high", 0), ("low", 1)]
    small.stops.clear()
    assert cli.main(["ladder", "small"]) == 0
    assert small.trained[3:] == [("high", 1), ("low", 2), ("high", 2)]
    assert [(row["rung"], row["seed"]) for row in ladder.rows("small")] == [
        *(("low", seed) for seed in range(3)),
        *(("high", seed) for seed in range(3)),
    ]
    cli.main(["ladder", "small"])
    assert len(small.trained) == 6, "nothing is left to do"
    cli.main(["ladder", "small", "--again", "--rung", "low", "--seeds", "1"])
    assert small.trained[6:] == [("low", 0)] and len(ladder.rows("small")) == 6


def change_the_recipe(small):
    small.recipe_file.write_text(small.recipe_file.read_text().replace("seed + 1", "seed + 2"))


def test_nothing_is_trained_where_it_could_not_be_measured(small, monkeypatch, capsys):
    def missing():
        raise scoreboard.data.DataError("the recordings are not here")

    monkeypatch.setattr(topics.every()["small"], "require", missing)
    assert cli.main(["ladder", "small"]) == 1
    assert "not here" in capsys.readouterr().err and small.trained == []


def test_other_steps_and_other_code_train_again(small):
    ladder.run("small", seeds=1)
    ladder.run("small", seeds=1, steps=20)
    assert len(small.trained) == 4 and {row["steps"] for row in ladder.rows("small")} == {20}
    ladder.run("small", seeds=1, steps=20)
    assert len(small.trained) == 4 and ladder.problems("small") == []
    change_the_recipe(small)
    assert "the ladder's rows low, high are stale" in ladder.problems("small")[0]
    ladder.run("small", seeds=1, steps=20)
    assert len(small.trained) == 6 and ladder.problems("small") == []


def test_other_data_make_a_ladder_stale(small):
    ladder.run("small", seeds=1)
    small.sounds = "2"
    assert "are stale" in ladder.problems("small")[0]


def test_a_ladder_is_stamped_after_one_rung_gave_its_figures_again(small):
    ladder.run("small")
    change_the_recipe(small)
    assert ladder.restamp("small") == [] and small.trained[6:] == [("low", 0)]
    assert ladder.problems("small") == [] and ladder.restamp("small") == [] and len(small.trained) == 7


def test_a_ladder_with_other_figures_is_not_stamped(small):
    ladder.run("small")
    change_the_recipe(small)
    small.worse = 3.5  # standard deviation of the three seeds: 1
    (sentence,) = ladder.restamp("small")
    assert "loss of the rung low is 4.5 now, 1.0 was recorded" in sentence
    assert ladder.problems("small")


def test_the_table_shows_mean_and_spread_and_one_seed_has_none(small, capsys):
    ladder.run("small", seeds=1)
    assert "| low | one thing | 2 | 1 | " in ladder.table("small") and "±" not in ladder.table("small")
    cli.main(["ladder", "small"])
    said = capsys.readouterr().out
    assert "| high | another | 2 | 3 |" in said and "4.000 ± 2.000" in said and "2.000 ± 1.000" in said


def test_rows_of_systems_and_of_the_ladder_share_a_file(small):
    results.write("small", {"systems": {"real": {}}})
    ladder.run("small", seeds=1)
    assert set(results.read("small")) == {"systems", "ladder"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no recipe 'nothing'"),
        (["speech_detector"], "has no ladder"),
        (["small", "--rung", "middle"], "there are low, high"),
        (["small", "--seeds", "0"], "at least 1"),
        (["small", "--steps", "0"], "at least 1"),
    ],
)
def test_a_ladder_that_is_not_there_is_a_sentence(small, capsys, arguments, message):
    assert cli.main(["ladder", *arguments]) == 1
    assert message in capsys.readouterr().err


# --- what is recorded ----------------------------------------------------------------------------------


def test_the_shipped_results_are_fresh():
    """The same as `course scoreboard --check`, which CI runs too."""
    assert scoreboard.problems() == []
    assert {path.stem for path in results.FOLDER.glob("*.json")} == set(topics.every())


def test_every_record_has_a_writer():
    for name in topics.every():
        assert set(results.read(name)) <= {"systems", "made with", "ladder"}


def test_a_topic_keeps_the_interface_and_knows_its_notebook():
    numbers = [topic.NOTEBOOK for topic in topics.every().values()]
    assert numbers == sorted(numbers)
    for name, topic in topics.every().items():
        assert list(paths.notebooks_folder().glob(f"{topic.NOTEBOOK}_*.ipynb"))
        needed = ["entries", "text", "headline", "require"]
        if name in ladder.with_ladder():
            needed += ["material", "rung_figures"]
        if name in recipes.names() or getattr(topic, "CHECKPOINTS", ()):
            needed.append("card_figures")
        for function in needed:
            assert callable(getattr(topic, function, None)), f"{name} lacks {function}"


def test_the_ladder_of_the_enhancer_stands_beside_doing_nothing_on_the_same_mixtures():
    rows = str(enhancement.ladder_table()).splitlines()
    assert len(rows) == 2 + 2 + len(recipes.find("enhancement").RUNGS)
    noisy = enhancement.recorded_rows("real", enhancement.UNPROCESSED)[:40]
    mean = np.mean([row["si_sdr"] for row in noisy])
    assert rows[2].startswith(f"| unprocessed | {mean:.1f} |") and rows[3].startswith("| RNNoise |")


def test_tables_show_real_speech_first_with_intervals():
    text = enhancement.text()
    assert text.index("Real speech") < text.index("Our synthetic voices")
    ours = results.read("enhancement")["systems"]["real"]["this course"]["mean"]["si_sdr"]
    assert "| this course | {:.1f} ({:.1f} to {:.1f}) |".format(*ours) in str(enhancement.table("real"))
    assert "| women | men |" in str(enhancement.details("own"))
    by = enhancement.means_by("own", "DTLN")
    denoised = [row["si_sdr"] for row in enhancement.recorded_rows("own", "DTLN") if row["snr_db"] == 15]
    assert by["15 dB"] == pytest.approx(np.mean(denoised), abs=0.01)
    assert "unprocessed" not in str(enhancement.lead("own")) and "| this course leads |" in str(
        enhancement.lead("own")
    )
    assert enhancement.headline()[0]["measured on"] == "real speech in real noise"
    with pytest.raises(ValueError, match="no record of 'Krisp'"):
        enhancement.recorded_rows("real", "Krisp")


def test_tables_say_so_where_nothing_is_recorded(small):
    assert "nothing recorded yet" in enhancement.table("real") and enhancement.headline() == []
    for line in str(chorales.table()).splitlines()[2:]:
        assert "as cited" in line and "not measured here" in line


def test_a_difference_is_taken_mixture_by_mixture(small):
    hard_and_easy = {"voice": ["a", "b", "c"], **{key: [1.0, 5.0, 9.0] for key in mixtures.MEASURES}}
    better = {"voice": ["a", "b", "c"], **{key: [1.9, 6.0, 10.1] for key in mixtures.MEASURES}}
    systems = {"DTLN": {"each": hard_and_easy}, "this course": {"each": better}}
    results.write("enhancement", {"systems": {"real": systems}})
    mean, low, high = enhancement.difference("real", "this course", "DTLN")["pesq"]
    assert mean == pytest.approx(1.0) and 0.85 < low < mean < high < 1.15


def test_a_measurement_that_was_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), Unfinished("abc") as unfinished:
        unfinished.add([{"id": "a", "x": 1}, {"id": "b", "x": 2}])
        raise KeyboardInterrupt
    with open(tmp_path / "scoreboard" / "abc.jsonl", "a") as file:
        file.write('{"id": "cut o')
    with Unfinished("abc") as unfinished:
        assert unfinished.rows == {"a": {"id": "a", "x": 1}, "b": {"id": "b", "x": 2}}
    assert not list((tmp_path / "scoreboard").iterdir())


@pytest.mark.judges
def test_a_sample_of_a_grid_agrees_with_its_record_until_the_system_changes(monkeypatch):
    few = mixtures.grid("own", 3)
    monkeypatch.setattr(enhancement, "mixtures", lambda grid: few)
    monkeypatch.setattr(enhancement, "_mixtures", lambda grid: few)
    record = enhancement._grid("own", "system", lambda: np.copy, "key")
    written = json.loads(json.dumps(record))
    assert enhancement._grid_sample("own", "system", lambda: np.copy, written) == []
    changed = enhancement._grid_sample("own", "system", lambda: lambda noisy: noisy**3, written)
    assert changed and "si_sdr of system on own" in changed[0]


class Stream:
    def push(self, chunk):
        assert len(chunk) <= 256
        return chunk

    def finish(self):
        return []


def test_the_cost_of_our_model_is_that_of_its_streams(monkeypatch):
    model = torch.nn.Linear(3, 4)
    model.delay_samples, model.stream = 512, Stream
    monkeypatch.setattr(enhancement, "load", lambda name: model)
    monkeypatch.setattr(enhancement, "to_onnx", lambda model, path: path)
    monkeypatch.setattr(enhancement, "OnnxStream", lambda path: Stream())
    cost = enhancement._cost(enhancement.OURS)
    assert cost["parameters"] == 16 and cost["delay_ms"] == 32
    assert 0 < cost["real_time_factor"] < 1 and 0 < cost["real_time_factor_eager"] < 1
    assert enhancement._cost_sample(enhancement.OURS, cost) == []
    assert enhancement._cost_sample(enhancement.OURS, {**cost, "parameters": 17})
    assert "(eager 0.2" in enhancement._cost_cells({**cost, "real_time_factor_eager": 0.2})["RTF"]


@pytest.mark.judges
def test_the_figures_of_a_card_and_of_a_rung_have_a_value_for_every_measure(monkeypatch):
    few = mixtures.grid("own", 2)

    def only_own(which, count=None):
        if which == "real":
            raise scoreboard.data.DataError("the recordings are not here")
        return few

    monkeypatch.setattr(enhancement, "mixtures", only_own)
    monkeypatch.setattr(enhancement, "_mixtures", lambda grid: few)
    model = types.SimpleNamespace(enhance=np.copy)
    card = enhancement.card_figures(model)
    assert card["real"] == "not measured: the recordings are not here" and "PESQ, own" in card
    assert set(enhancement.rung_figures(model)) == {
        f"{grid} {measure}" for grid in ("real", "own") for measure in ("si_sdr", "pesq", "stoi")
    }
