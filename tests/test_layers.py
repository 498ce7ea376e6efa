"""Imports run one way, the picture of them in CONTRIBUTING.md is the true one, and a breach is named."""

import shutil
import subprocess
import sys

import pytest

from course_utils import layers, paths, recipes


def test_imports_run_one_way_and_nothing_private_crosses_a_module():
    assert layers.problems() == []


def test_the_picture_in_the_guide_is_that_of_the_code():
    assert not layers.write(check=True), "run `course imports`"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that may be edited."""
    package = tmp_path / "course_utils"
    shutil.copytree(paths.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.js", "*.css"))
    monkeypatch.setattr(paths, "PACKAGE", package)
    assert layers.problems() == []
    return package


@pytest.mark.parametrize(
    ("file", "line", "sentence"),
    [
        ("audio.py", "from course_utils import data", "audio imports data, which stands above it"),
        ("audio.py", "def f():\n    import course_utils.data as d", "audio imports data, which stands above it"),
        ("data/corpus.py", "from course_utils.models import music", "data.corpus imports models.music, which"),
        ("noise.py", "def f():\n    from . import recipes", "noise imports recipes, which stands above it"),
        ("models/music.py", "from course_utils import noise", "a model uses waveform, features, text, music"),
        ("peers/dtln.py", "from course_utils import widgets", "peers and widgets stand apart"),
        ("noise.py", "from course_utils.features import _window", "noise takes _window from features"),
        ("noise.py", "from course_utils import features as f\nf._window", "noise uses features._window"),
        ("new_room.py", "", "new_room stands in no layer"),
    ],
)  # fmt: skip
def test_a_breach_is_named(package, file, line, sentence):
    path = package / file
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    assert any(sentence in problem for problem in layers.problems()), layers.problems()


def test_a_circle_is_named_also_inside_of_functions(package):
    for file, other in (("audio.py", "features"), ("features.py", "audio")):
        path = package / file
        path.write_text(f"{path.read_text()}\ndef f():\n    from course_utils import {other}\n")
    (problem,) = layers.problems()
    assert problem.startswith("a circle: ") and "audio" in problem and "features" in problem


ALONE = """
import sys

class Only:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"soundfile", "soxr", "IPython", "librosa", "scipy", "mido", "requests", "tqdm",
                                      "platformdirs", "matplotlib", "jiwer", "transformers", "onnxruntime"}:
            raise ImportError(f"{name} is not on this machine")

import numpy, torch
sys.meta_path.insert(0, Only())
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_models_run_with_torch_and_numpy_alone():
    names = [f"course_utils.{name}" for name in layers.modules() if name.startswith("models.")]
    assert len(names) >= 6
    subprocess.run([sys.executable, "-c", ALONE, *names], check=True, cwd=paths.ROOT)


def test_recipes_need_what_a_machine_for_training_has():
    names = [f"course_utils.recipes.{name}" for name in recipes.names() if name != "g2p"]
    script = ALONE.replace('"tqdm",', "").replace('"scipy",', "")
    subprocess.run([sys.executable, "-c", script, *names], check=True, cwd=paths.ROOT)


def test_a_model_file_is_read_in_one_sitting():
    for path in (paths.PACKAGE / "models").glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path.name
