"""Recorded results say what they were made with, and whoever changes that hears of it."""

import ast
import inspect
import json
import shutil
import sys
import textwrap
import types

import numpy as np
import pytest
import torch

from course_utils import benchmarks, checkpoints, cli, ladder, peers, results, scoreboard

INTERVAL = [1.0, 0.5, 1.5]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A copy of what the scoreboard reads: code, README, no results, no checkpoints."""
    code = tmp_path / "course_utils"
    shutil.copytree(results.ROOT / "course_utils", code, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "README.md").write_text(f"before\n{scoreboard.BEGIN}\n{scoreboard.END}\nafter\n")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(scoreboard, "README", tmp_path / "README.md")
    monkeypatch.setattr(checkpoints, "available", list)
    return tmp_path


def measured(monkeypatch, seen=None):
    """Let measuring cost nothing, and note what was measured."""
    figures = dict.fromkeys(benchmarks.MEASURES, INTERVAL)

    def grid(name, system, load, fingerprint):
        (seen if seen is not None else []).append((name, system))
        by = {"sex": {"f": figures, "m": figures}, "snr_db": {-5: figures, 0: figures, 10: figures}}
        each = {"id": ["a", "b"], "si_sdr": [0.5, 1.5]}
        return {"mean": figures, "by": by, "each": each}

    def cost(system):
        (seen if seen is not None else []).append(("cost", system))
        return {"parameters": 1000, "delay_ms": 32.0, "real_time_factor": 0.05}

    monkeypatch.setattr(scoreboard, "_enhance_grid", grid)
    monkeypatch.setattr(scoreboard, "_cost", cost)


def ship(monkeypatch, sha256="one"):
    """Pretend that an enhancement checkpoint with these weights is there."""
    document = {
        "module": "course_utils.models.speech_detector",
        "class": "SpeechDetector",
        "config": {"width": 8},
        "sha256": sha256,
    }
    monkeypatch.setattr(checkpoints, "available", lambda: ["enhancement"])
    monkeypatch.setattr(checkpoints, "read", lambda name: (document, {}))


@pytest.fixture
def recorded(home, monkeypatch):
    """All of enhancement measured, with a checkpoint, and written to the README."""
    ship(monkeypatch)
    measured(monkeypatch)
    assert scoreboard.measure("enhancement") == []
    scoreboard.write_readme()
    assert scoreboard.problems() == []
    return home


def test_what_was_measured_is_not_measured_again(home, monkeypatch):
    seen = []
    measured(monkeypatch, seen)
    scoreboard.measure("enhancement")
    names = {peer.name for peer in peers.enhancers()}
    assert set(seen) == {
        *((grid, name) for grid in ("real", "own") for name in {*names, scoreboard.UNPROCESSED}),
        *(("cost", name) for name in names),
    }
    seen.clear()
    scoreboard.measure("enhancement")
    assert seen == []
    ship(monkeypatch)
    scoreboard.measure("enhancement")
    assert seen == [(grid, scoreboard.OURS) for grid in ("real", "own", "cost")], "only what is new"
    seen.clear()
    scoreboard.measure("enhancement", again=True)
    assert len(seen) == 17


def test_another_checkpoint_makes_its_record_stale_and_no_other(recorded, monkeypatch):
    ship(monkeypatch, sha256="two")
    problems = scoreboard.problems()
    assert len(problems) == 3 and all(scoreboard.OURS in line for line in problems)
    assert "is stale" in problems[0] and "course scoreboard enhancement" in problems[0]


def test_a_checkpoint_without_a_record_and_a_record_without_a_checkpoint_are_found(recorded, monkeypatch):
    monkeypatch.setattr(checkpoints, "available", list)
    assert all("no longer exists" in line for line in scoreboard.problems()) and scoreboard.problems()
    (recorded / "results" / "enhancement.json").unlink()
    assert any("was never measured" in line for line in scoreboard.problems())


def test_changed_code_of_a_metric_makes_everything_stale(recorded):
    edit(recorded / "course_utils" / "metrics.py", "10 * np.log10(wanted_power", "20 * np.log10(wanted_power")
    assert len(scoreboard.problems()) == 12, "six systems on two grids"


def test_changed_code_of_a_peer_makes_its_own_record_stale(recorded):
    edit(recorded / "course_utils" / "peers" / "dtln.py", "WINDOW, HOP = 512, 128", "WINDOW, HOP = 512, 256")
    problems = scoreboard.problems()
    assert len(problems) == 3 and all("DTLN" in line for line in problems)


def test_layout_comments_and_docstrings_make_nothing_stale(recorded):
    for name in ("metrics", "benchmarks", "peers/dtln", "models/speech_detector", "audio"):
        path = recorded / "course_utils" / f"{name}.py"
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
                node.body[0].value.value = "Another text."
        path.write_text(f"# no comment of the old one is left\n{ast.unparse(tree)}\n")
    edit(recorded / "course_utils" / "text" / "normalisation.py", "import re", "import os\nimport re")
    assert scoreboard.problems() == []


def test_edited_tables_and_missing_markers_are_found(recorded):
    edit(recorded / "README.md", "DTLN", "DTLN the second")
    assert scoreboard.problems() == [
        "the tables of README.md are not those of results/; run `course scoreboard`"
    ]
    assert scoreboard.write_readme() and scoreboard.problems() == []
    assert (recorded / "README.md").read_text().startswith("before\n")
    assert (recorded / "README.md").read_text().endswith("\nafter\n")
    edit(recorded / "README.md", scoreboard.END, "")
    with pytest.raises(ValueError, match="lacks the markers"):
        scoreboard.problems()


def test_the_command_fails_with_a_sentence_when_stale(recorded, monkeypatch, capsys):
    assert cli.main(["scoreboard", "--check"]) == 0
    assert "fresh" in capsys.readouterr().out
    ship(monkeypatch, sha256="two")
    assert cli.main(["scoreboard", "--check", "enhancement"]) == 1
    assert "the record of this course on real is stale" in capsys.readouterr().err


def test_a_missing_peer_keeps_the_old_record_and_is_named(recorded, monkeypatch):
    before = results.read("enhancement")["systems"]["real"]["DTLN"]

    def missing(grid, name, load, fingerprint):
        raise peers.MissingPeer(f"{name} is not available; run: course install peers")

    monkeypatch.setattr(scoreboard, "_enhance_grid", missing)
    failures = scoreboard.measure("enhancement", again=True)
    assert len(failures) == 12 and "course install peers" in failures[0]
    assert results.read("enhancement")["systems"]["real"]["DTLN"] == before


def test_tables_show_real_speech_first_with_intervals(recorded):
    text = scoreboard.text(("enhancement",))
    assert text.index("Real speech") < text.index("Our synthetic voices")
    table = str(scoreboard.enhancement_table("real"))
    assert "| this course | 1.0 (0.5 to 1.5) |" in table and "1,000" in table and "32 ms" in table
    assert "| women | men | -5 dB | 0 dB | 10 dB |" in str(scoreboard.enhancement_details("own"))
    assert scoreboard.enhancement_rows("real", "DTLN") == [
        {"id": "a", "si_sdr": 0.5},
        {"id": "b", "si_sdr": 1.5},
    ]
    with pytest.raises(ValueError, match="no record of 'Krisp'"):
        scoreboard.enhancement_rows("real", "Krisp")


def test_a_measurement_that_was_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    mixtures = benchmarks.enhancement("own", 4)
    monkeypatch.setattr(scoreboard, "_mixtures", lambda grid: mixtures)
    monkeypatch.setattr(scoreboard.benchmarks, "MEASURES", ("si_sdr",))
    score = benchmarks.score
    monkeypatch.setattr(benchmarks, "score", lambda *args, **kw: score(*args, measures=("si_sdr",), **kw))
    heard = []

    def enhance(noisy):
        heard.append(len(noisy))
        if len(heard) == 3:
            raise KeyboardInterrupt
        return noisy

    arguments = "own", "system", lambda: enhance, "abc"
    with pytest.raises(KeyboardInterrupt):
        scoreboard._enhance_grid(*arguments)
    with open(tmp_path / "scoreboard" / "abc.jsonl", "a") as file:
        file.write('{"id": "cut o')
    record = scoreboard._enhance_grid(*arguments)
    assert len(heard) == 5, "two before, and two after"
    assert record["each"]["id"] == [mixture.id for mixture in mixtures]
    assert not list((tmp_path / "scoreboard").iterdir())


def test_a_difference_is_taken_mixture_by_mixture(recorded):
    document = results.read("enhancement")
    hard_and_easy = {"voice": ["a", "b", "c"], **{key: [1.0, 5.0, 9.0] for key in benchmarks.MEASURES}}
    better = {"voice": ["a", "b", "c"], **{key: [1.9, 6.0, 10.1] for key in benchmarks.MEASURES}}
    document["systems"]["real"]["DTLN"]["each"] = hard_and_easy
    document["systems"]["real"]["this course"]["each"] = better
    results.write("enhancement", document)
    mean, low, high = scoreboard.enhancement_difference("real", "this course", "DTLN")["pesq"]
    assert mean == pytest.approx(1.0) and 0.85 < low < mean < high < 1.15


def test_before_and_after_real_recordings_stand_side_by_side(recorded):
    document = results.read("enhancement")
    worse = {key: [0.25, 0.2, 0.3] for key in benchmarks.MEASURES}
    document[scoreboard._BEFORE] = {
        "synthetic": {"real": {"mean": worse}},
        "real, too": {"own": {"mean": worse}},
    }
    results.write("enhancement", document)
    before, then, after = str(scoreboard.enhancement_before()).splitlines()[2:]
    assert "synthetic" in before and "0.2 (0.2 to 0.3)" in before and "1.0 (0.5 to 1.5)" not in before
    assert "real, too" in then and "0.2 (0.2 to 0.3)" in then
    assert "shipped" in after and after.count("1.0 (0.5 to 1.5)") == 2  # SI-SDR on both grids


class Stream:
    def push(self, chunk):
        assert len(chunk) <= 256
        return chunk

    def finish(self):
        return []


def test_the_cost_of_our_model_is_that_of_its_streams(monkeypatch):
    model = torch.nn.Linear(3, 4)
    model.delay_samples, model.stream = 512, Stream
    monkeypatch.setattr(scoreboard, "_load", lambda name: model)
    cost = scoreboard._cost(scoreboard.OURS)
    assert cost["parameters"] == 16 and cost["delay_ms"] == 32
    assert 0 < cost["real_time_factor"] == cost["real_time_factor_eager"] < 1
    exporting = types.ModuleType("exporting")
    exporting.to_onnx, exporting.OnnxStream = lambda model, path: path, lambda path: Stream()
    monkeypatch.setitem(sys.modules, "exporting", exporting)
    monkeypatch.setattr(torch.nn.Linear, "__module__", "exporting")
    assert scoreboard._cost(scoreboard.OURS)["real_time_factor"] > 0
    assert "(eager 0.2" in scoreboard._cost_cells({**cost, "real_time_factor_eager": 0.2})["RTF"]


def test_tables_say_so_where_nothing_is_recorded(home):
    assert "nothing recorded yet" in scoreboard.enhancement_table("real")
    assert "nothing recorded yet" in ladder.table("speech_detector")


def test_the_papers_figures_are_labelled_as_cited(home):
    for line in str(scoreboard.music_table()).splitlines()[2:]:
        assert "as cited" in line and "not measured here" in line


def test_results_are_written_whole_and_damage_is_a_sentence(home):
    results.write("music", {"a": [0.123456789, float("nan")], "b": {"c": 3}})
    assert results.read("music") == {"a": [0.12346, None], "b": {"c": 3}}
    assert [path.name for path in (home / "results").iterdir()] == ["music.json"]
    (home / "results" / "music.json").write_text('{"a": ')
    with pytest.raises(ValueError, match=r"git checkout -- results/music\.json"):
        results.read("music")
    assert results.read("nothing") == {}


# --- fingerprints --------------------------------------------------------------------------------------


def edit(path, old, new):
    text = path.read_text()
    assert old in text, f"{path.name} no longer holds {old!r}: choose another place to edit"
    path.write_text(text.replace(old, new, 1))


MODULE = '''
"""About."""
import math

SIZE = 3

def used(x: int) -> int:
    """About."""
    return x * SIZE  # why

def ladder(rung, seed):
    return {"loss": used(seed)}

def other():
    return math.pi
'''


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("x * SIZE", "x + SIZE", False),
        ("SIZE = 3", "SIZE = 4", False),
        ("used(seed)", "used(seed + 1)", False),
        ("return math.pi", "return math.tau", True),
        ('"""About."""\n    return', "return", True),
        ("x * SIZE  # why", "(x *\n            SIZE)", True),
        ("x: int", "x", True),
        ("def other", "def another():\n    return 1\n\ndef other", True),
    ],
)
def test_a_fingerprint_follows_what_a_function_does_and_uses(home, old, new, same):
    path = home / "course_utils" / "small.py"
    path.write_text(MODULE)
    before = results.code("small", "ladder")
    edit(path, old, new)
    assert (results.code("small", "ladder") == before) is same


def test_a_fingerprint_is_the_same_everywhere(home):
    (home / "course_utils" / "small.py").write_text(MODULE)
    assert results.code("small", "ladder") == "424028f2e51b"
    with pytest.raises(ValueError, match="does not define 'train'"):
        results.code("small", "train")
    with pytest.raises(ValueError, match="no module"):
        results.code("absent")


# --- the ladder ----------------------------------------------------------------------------------------

RUNGS = """
RUNGS = {"low": "one thing", "high": ("another", 3)}
SLOPE = {"low": 1.0, "high": 2.0}

def ladder(rung, seed, steps=10):
    if stop_at(rung, seed):
        raise KeyboardInterrupt
    return {"rung": rung, "seed": seed, "steps": steps, "loss": SLOPE[rung] * (seed + 1), "seconds": 0.1}
"""


@pytest.fixture
def climbed(home, monkeypatch):
    """A ladder of two rungs; the list says what was trained."""
    trained, stops = [], []
    path = home / "course_utils" / "models" / "small.py"
    path.write_text(textwrap.dedent(RUNGS))

    def stop_at(rung, seed):
        if (rung, seed) in stops:
            return True
        trained.append((rung, seed))
        return False

    module = types.ModuleType("course_utils.models.small")
    module.stop_at = stop_at
    exec(path.read_text(), module.__dict__)
    monkeypatch.setitem(sys.modules, "course_utils.models.small", module)
    return types.SimpleNamespace(trained=trained, stops=stops, path=path)


def test_a_ladder_that_was_stopped_goes_on_where_it_was(climbed):
    climbed.stops.append(("high", 1))
    assert cli.main(["ladder", "small"]) == 130
    assert climbed.trained == [("low", 0), ("high", 0), ("low", 1)]
    climbed.stops.clear()
    assert cli.main(["ladder", "small"]) == 0
    assert climbed.trained[3:] == [("high", 1), ("low", 2), ("high", 2)]
    assert [(row["rung"], row["seed"]) for row in ladder.rows("small")] == [
        *(("low", seed) for seed in range(3)),
        *(("high", seed) for seed in range(3)),
    ]
    cli.main(["ladder", "small"])
    assert len(climbed.trained) == 6, "nothing is left to do"
    cli.main(["ladder", "small", "--again", "--rung", "low", "--seeds", "1"])
    assert climbed.trained[6:] == [("low", 0)] and len(ladder.rows("small")) == 6


def test_other_steps_and_other_code_train_again(climbed):
    ladder.run("small", seeds=1)
    ladder.run("small", seeds=1, steps=20)
    assert len(climbed.trained) == 4 and {row["steps"] for row in ladder.rows("small")} == {20}
    ladder.run("small", seeds=1, steps=20)
    assert len(climbed.trained) == 4 and ladder.problems("small") == []
    edit(climbed.path, "seed + 1", "seed + 2")
    assert "the ladder's rows high, low are stale" in ladder.problems("small")[0]
    ladder.run("small", seeds=1, steps=20)
    assert len(climbed.trained) == 6 and ladder.problems("small") == []


def test_rungs_with_steps_of_their_own_are_found_again(climbed):
    module = sys.modules["course_utils.models.small"]
    trained = climbed.trained

    def ladder_of_rungs(rung, seed, steps=None):
        trained.append((rung, seed))
        return {"rung": rung, "seed": seed, "steps": steps or 700, "loss": 1.0}

    module.ladder = ladder_of_rungs
    ladder.run("small", seeds=1, steps=5)
    ladder.run("small", seeds=1)
    ladder.run("small", seeds=1)
    assert len(trained) == 4 and [row["steps"] for row in ladder.rows("small")] == [700, 700]


def test_the_table_shows_mean_and_spread(climbed, capsys):
    cli.main(["ladder", "small"])
    said = capsys.readouterr().out
    assert (
        "| high | another | 3 | 4.000 ± 2.000 |" in said and "| low | one thing | 3 | 2.000 ± 1.000 |" in said
    )


def test_one_seed_has_a_mean_and_no_spread(climbed):
    ladder.run("small", seeds=1)
    assert "| low | one thing | 1 | 1.000 |" in ladder.table("small")


def test_rows_of_systems_and_of_the_ladder_share_a_file(climbed):
    results.write("small", {"systems": {"real": {}}})
    ladder.run("small", seeds=1)
    assert set(results.read("small")) == {"systems", "ladder"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no ladder 'nothing'"),
        (["speech_detector"], "has no ladder"),
        (["small", "--rung", "middle"], "there are low, high"),
        (["small", "--seeds", "0"], "at least 1"),
    ],
)
def test_a_ladder_that_is_not_there_is_a_sentence(climbed, capsys, arguments, message):
    assert cli.main(["ladder", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_the_shipped_results_are_fresh():
    """The same as `course scoreboard --check`, which CI runs too."""
    if not results.FOLDER.joinpath("enhancement.json").is_file():
        pytest.skip("no results are recorded yet")
    assert scoreboard.problems() == []
    for path in results.FOLDER.glob("*.json"):
        assert json.loads(path.read_text(encoding="utf-8"))


def test_the_ladder_stands_beside_doing_nothing_on_the_same_mixtures():
    rows = str(scoreboard.enhancement_ladder()).splitlines()
    from course_utils.models import enhancement

    assert len(rows) == 2 + 2 + len(enhancement.RUNGS)
    noisy = scoreboard.enhancement_rows("real", scoreboard.UNPROCESSED)[: scoreboard._LADDER_COUNT]
    mean = np.mean([row["si_sdr"] for row in noisy])
    assert rows[2].startswith(f"| unprocessed | {mean:.1f} |") and rows[3].startswith("| RNNoise |")
    parameters = inspect.signature(enhancement.ladder).parameters
    assert parameters["count"].default == scoreboard._LADDER_COUNT
