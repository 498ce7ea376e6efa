"""The two commands, the doctor, the exporter and the notebook runner do what the README says."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

import course_utils
from course_utils import cli, commands, device, doctor, export, install, paths
from course_utils.widgets import lab_settings
from tests.places import ROOT


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


def locked():
    versions = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        requirement = Requirement(line)
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        versions.setdefault(requirement.name.lower().replace("_", "-"), []).append(specifier.version)
    return versions


def test_the_lock_file_holds_every_requirement_in_its_range_and_no_address():
    versions = locked()
    for requirement in requirements():
        pinned = versions.get(requirement.name.lower())
        assert pinned, f"{requirement.name} is not in requirements.lock: run `make lock`"
        # A requirement for some systems only has a pin of its own beside those of the others.
        fits = any if requirement.marker else all
        assert fits(requirement.specifier.contains(v) for v in pinned), (
            f"{requirement.name} {pinned}: run `make lock`"
        )
    assert not re.search(r"https?:|file:|--", (ROOT / "requirements.lock").read_text())


@pytest.fixture
def steps(tmp_path):
    """What make would run, in an environment that holds only the named stamps; needs no environment."""
    if shutil.which("make") is None or sys.platform == "win32":
        pytest.skip("make is not installed, or calls the folders of an environment otherwise")
    # Under `make test` these would hand the options of that make to ours.
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if name not in outer}

    def run(target, *stamps):
        for name in (".lab", ".dev"):
            (tmp_path / name).unlink(missing_ok=True)
        for name in stamps:
            (tmp_path / name).touch()
        command = ["make", "-n", target, f"VENV={tmp_path.as_posix()}"]
        output = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        ).stdout
        return output.replace(tmp_path.as_posix(), ".venv")

    return run


INSTALL = "pip install -q -c requirements.lock -e"


def test_make_lab_installs_what_a_learner_needs_and_no_more(steps):
    from_nothing = steps("lab")
    assert f"{INSTALL} .\n" in from_nothing and from_nothing.rstrip().endswith("jupyter lab notebooks")
    assert ".[" not in from_nothing, "no extras"
    assert steps("lab", ".lab").count("\n") == 1, "the second time it only opens JupyterLab"


def test_make_test_adds_its_own_in_any_order(steps):
    from_nothing = steps("test")
    assert from_nothing.index(f"{INSTALL} .\n") < from_nothing.index(f'{INSTALL} ".[dev,book]"')
    assert "course install peers judges" in from_nothing
    after_lab = steps("test", ".lab")
    assert f"{INSTALL} .\n" not in after_lab and f'{INSTALL} ".[dev,book]"' in after_lab
    assert "pip install" not in steps("test", ".lab", ".dev")


def test_the_readme_without_make_does_what_make_does(steps):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<summary>Without make.*?```\n(.*?)```", readme, re.S)[1]
    made = re.sub(r"^touch .*\n|^python3 -c .*\n| -q", "", steps("lab"), flags=re.M).replace(
        "python3 ", "python "
    )
    assert block == made


def test_the_readme_names_every_command_for_learners_and_none_that_is_not_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`course ([a-z][a-z-]+)", readme + guide))
    assert named <= set(commands.every())
    for each in commands.every().values():
        assert f"`course {each.name}" in (readme if each.audience == commands.LEARN else guide), each.name


def test_the_pictures_of_the_readme_are_there_and_have_words():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"<img ([^>]*)>", readme)
    shown = {re.search(r'src="([^"]+)"', each)[1] for each in pictures}
    drawn = {path.relative_to(ROOT).as_posix() for path in (ROOT / "book" / "_static" / "readme").iterdir()}
    assert drawn and shown == drawn
    assert all(len(re.search(r'alt="([^"]+)"', each)[1].split()) >= 8 for each in pictures)


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == course_utils.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]


def test_the_forms_for_issues_are_what_the_site_accepts():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.stem == "config":
            continue
        assert {"name", "description", "body"} <= set(form), path.name
        ids = [part["id"] for part in form["body"]]
        assert len(ids) == len(set(ids))
        for part in form["body"]:
            assert (
                part["type"] in ("input", "textarea", "checkboxes", "dropdown")
                and part["attributes"]["label"]
            )


def test_the_locked_versions_are_the_installed_ones():
    """CI tests what the lock file promises."""
    for name in ("torch", "torchaudio", "transformers", "jupyterlab", "ipykernel", "librosa", "numpy"):
        assert importlib.metadata.version(name).split("+")[0] in locked()[name]


def test_the_doctor_finds_this_machine_healthy():
    lines = doctor.examine()
    assert doctor.healthy(lines), "\n".join(map(str, lines))
    assert {"Python", "torch pair", "device", "codecs", "data"} <= {line.what for line in lines}


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Put a kernel of the name that notebooks use where Jupyter looks first; returns what the doctor says."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))

    def install_kernel(text):
        folder = tmp_path / "kernels" / "python3"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "kernel.json").write_text(text)
        (line,) = doctor._kernel()
        return line

    return install_kernel


def specification(program):
    arguments = [program, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return json.dumps({"argv": arguments, "display_name": "Python 3", "language": "python"})


@pytest.mark.parametrize("program", ["python", "python3", sys.executable])
def test_the_kernel_is_the_python_that_runs(kernel, program):
    assert kernel(specification(program)).status == doctor.OK


def test_the_kernel_of_another_environment_is_a_problem(kernel, tmp_path):
    """Its Python may be the same program in the end: environments link to one."""
    other = tmp_path / "other" / "bin" / "python"
    other.parent.mkdir(parents=True)
    try:
        other.symlink_to(sys.executable)
    except OSError:
        pytest.skip("this system lets us make no links")
    line = kernel(specification(str(other)))
    assert line.status == doctor.PROBLEM and str(other) in line.found
    assert f"{sys.executable} -m jupyter kernelspec remove python3" in line.advice
    other.unlink()
    assert kernel(specification(str(other))).status == doctor.PROBLEM, "an environment that was deleted"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"argv": []}', '{"argv": ["no-such-program"]}'])
def test_a_damaged_kernel_is_a_problem(kernel, text):
    line = kernel(text)
    assert line.status == doctor.PROBLEM and line.advice


def test_settings_of_jupyterlab_that_are_missing_or_old_are_a_problem(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTERLAB_DIR", str(tmp_path))
    (line,) = doctor._lab_settings()
    assert line.status == doctor.PROBLEM and "missing" in line.found and "lab_settings" in line.advice
    file = lab_settings.install()
    assert tmp_path.resolve() in file.parents
    (line,) = doctor._lab_settings()
    assert line.status == doctor.OK
    file.write_text("{}")
    (line,) = doctor._lab_settings()
    assert line.status == doctor.PROBLEM and "another version" in line.found


def installed_from(folder, monkeypatch, editable=True):
    document = json.dumps({"url": folder.as_uri(), "dir_info": {"editable": editable}})
    distribution = SimpleNamespace(read_text=lambda name: {"direct_url.json": document}[name])
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: distribution)
    (line,) = doctor._environment()
    return line


def test_the_environment_is_the_one_the_course_is_installed_in(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path / "the course")  # a name with a space, as people have them
    paths.ROOT.mkdir()
    assert installed_from(paths.ROOT, monkeypatch).status == doctor.OK
    assert installed_from(tmp_path / "old", monkeypatch, editable=False).status == doctor.OK
    line = installed_from(tmp_path / "old", monkeypatch)
    assert line.status == doctor.NOTE and str(tmp_path / "old") in line.found and "pip install" in line.advice
    (paths.ROOT / ".venv").mkdir()
    line = installed_from(paths.ROOT, monkeypatch)
    assert line.status == doctor.NOTE and ".venv" in line.found


def test_a_python_without_the_course_is_a_problem(monkeypatch):
    monkeypatch.setattr(install, "DISTRIBUTION", "there-is-no-such-package-for-this-course")
    (line,) = doctor._environment()
    assert line.status == doctor.PROBLEM and "pip install" in line.advice


def test_the_doctor_says_what_to_do(monkeypatch):
    monkeypatch.setattr(install, "installed", lambda requirement: None)
    lines = doctor.examine()
    (packages,) = [line for line in lines if line.what == "packages"]
    assert packages.status == doctor.PROBLEM and "pip install" in packages.advice
    (peers,) = [line for line in lines if line.what == "peers"]
    assert peers.status == doctor.NOTE and "course install peers" in peers.advice

    def broken():
        raise OSError("broken part")

    monkeypatch.setattr(doctor, "CHECKS", (broken,))
    (line,) = doctor.examine()
    assert line.status == doctor.PROBLEM and "broken part" in line.found


def test_the_doctor_notices_damaged_data(monkeypatch):
    from course_utils import data

    monkeypatch.setattr(data, "verify", lambda: ["speech/f01/f01_0001.opus: wrong checksum"])
    (line, *_) = doctor._data()
    assert line.status == doctor.PROBLEM and "f01_0001" in line.found and "git checkout" in line.advice


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "GPU 0", "cuda:x", "cpu:-1", "meta", "hpu", "3", "auto"])
def test_a_device_that_is_not_there_is_refused_with_a_reason(name, monkeypatch):
    with pytest.raises(RuntimeError, match=r"the argument names .*leave it out for (cpu|cuda|mps)"):
        device.pick(name)
    monkeypatch.setenv("COURSE_DEVICE", name)
    with pytest.raises(RuntimeError, match=f"COURSE_DEVICE names the device '{name}'"):
        device.pick()


def test_a_device_is_found_or_the_one_asked_for(monkeypatch):
    for nothing in ("", "  "):
        monkeypatch.setenv("COURSE_DEVICE", nothing)
        assert str(device.pick()) in ("cpu", "cuda", "mps") and device.pick().reason
    monkeypatch.setenv("COURSE_DEVICE", " cpu\n")
    assert str(device.pick()) == "cpu" and "COURSE_DEVICE" in device.pick().reason
    assert str(device.pick(device.pick())) == "cpu"


def test_seeding_repeats_everything():
    import random

    import numpy as np
    import torch

    def draw():
        device.seed_everything(3)
        return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002

    assert draw() == draw()


def test_the_command_line_explains_itself_and_its_errors(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0 and "doctor" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        cli.main(["download", "--help"])
    assert stop.value.code == 0 and capsys.readouterr().out.startswith("usage: course download [-h]")
    assert cli.main(["download", "no-such-set"]) == 1
    assert capsys.readouterr().err.startswith("course: ")
    assert cli.main(["train", "no_such_model"]) == 1


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_command_line_says_its_version(option, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([option])
    assert stop.value.code == 0
    assert capsys.readouterr().out.strip() == f"course {course_utils.__version__}"


def test_help_lists_every_command_once_under_who_uses_it():
    text = cli.parser().format_help()
    _, _, lists = text.partition(f"{commands.LEARN}:\n")
    learn, _, maintain = lists.partition(f"{commands.MAINTAIN}:\n")
    listed = {
        commands.LEARN: re.findall(r"^  (\S+)", learn, re.M),
        commands.MAINTAIN: re.findall(r"^  (\S+)", maintain, re.M),
    }
    for audience, names in listed.items():
        assert names == [each.name for each in commands.every().values() if each.audience == audience]
    assert {"doctor", "install", "download", "enhance", "transcribe", "compose"} <= set(
        listed[commands.LEARN]
    )
    assert {"train", "export", "ladder", "scoreboard"} <= set(listed[commands.MAINTAIN])
    assert sum(map(len, listed.values())) == len(commands.every())
    assert max(map(len, text.splitlines())) <= 100


def test_a_command_is_one_function_with_its_arguments(monkeypatch):
    known = dict(commands.every())
    monkeypatch.setattr(commands, "every", lambda: {**known, "say": said})
    said = commands.Command(
        "say",
        commands.LEARN,
        "say a text",
        "",
        (commands.argument("text"), commands.argument("--loud", action="store_true")),
        lambda arguments: len(arguments.text) + 100 * arguments.loud,
    )
    assert cli.main(["say", "hello", "--loud"]) == 105
    assert "  say " in cli.parser().format_help()


def test_install_skips_what_is_there_and_reports_what_can_not_be_had(monkeypatch, capsys):
    wanted = [Requirement("numpy>=1"), Requirement("there-is-no-such-package-for-this-course>=1")]
    monkeypatch.setattr(install, "extra", lambda name: wanted)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 1, "", "no wheel"))
    result = install.install(["peers"])
    assert result["numpy"] and result["there-is-no-such-package-for-this-course"] is None
    assert "not installed (no wheel)" in capsys.readouterr().out
    assert cli.main(["install", "peers"]) == 0


def test_an_unknown_extra_names_the_known_ones():
    with pytest.raises(ValueError, match="peers"):
        install.extra("nothing")


NOTEBOOK = ["#| default_exp toy", "#| export\ndef answer():\n    return 42", "assert answer() == 42"]


def write_notebook(path, cells):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbformat.write(nb, path)


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder with one notebook, and beside it one for the models."""
    monkeypatch.setattr(export, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(export, "MODELS", tmp_path / "models")
    (tmp_path / "models").mkdir()
    write_notebook(tmp_path / "00_toy.ipynb", NOTEBOOK)
    return tmp_path


def test_exported_models_are_written_checked_and_removed(notebooks):
    models = notebooks / "models"
    assert export.export(check=True) == ["toy"]
    assert export.export() == ["toy"]
    assert export.export(check=True) == []
    text = (models / "toy.py").read_text()
    assert "return 42" in text and "assert" not in text and "notebooks/00_toy.ipynb" in text
    assert str(notebooks) not in text
    (models / "orphan.py").write_text(text)
    assert export.export() == ["orphan"] and [file.name for file in models.iterdir()] == ["toy.py"]
    write_notebook(notebooks / "00_toy.ipynb", [*NOTEBOOK[:1], NOTEBOOK[1].replace("42", "43")])
    assert export.export(check=True) == ["toy"]


BROKEN = {
    "half an answer": (
        [NOTEBOOK[0], "x = 1", "#| export\n\nx = (1"],
        r"cell 3, line 3.*never closed.*x = \(1",
    ),
    "a magic": ([NOTEBOOK[0], "#| export\n%time x = 1"], r"cell 2, line 2.*without magics.*%time"),
    "no name": (NOTEBOOK[1:], r"needs one cell `#\| default_exp name`, it has 0"),
    "two names": ([*NOTEBOOK, "#| default_exp other"], "it has 2"),
    "a name that leads elsewhere": (["#| default_exp ../toy", *NOTEBOOK[1:]], "no name of a module"),
    "a name that is taken": (NOTEBOOK, "00_toy.ipynb and 01_broken.ipynb both export 'toy'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_cell_that_can_not_be_exported_is_named_and_nothing_is_written(notebooks, case):
    cells, message = BROKEN[case]
    write_notebook(notebooks / "01_broken.ipynb", cells)
    with pytest.raises(ValueError, match=message) as caught:
        export.export()
    assert "01_broken.ipynb" in str(caught.value)
    assert list((notebooks / "models").iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5}'])
def test_a_file_that_is_no_notebook_is_named(notebooks, content):
    (notebooks / "01_broken.ipynb").write_text(content)
    with pytest.raises(ValueError, match=r"01_broken.ipynb can not be read as a notebook"):
        export.export()
    assert list((notebooks / "models").iterdir()) == []


def test_a_folder_without_notebooks_does_not_remove_the_models(notebooks):
    export.export()
    (notebooks / "00_toy.ipynb").unlink()
    with pytest.raises(ValueError, match="exports a model"):
        export.export()
    assert (notebooks / "models" / "toy.py").exists()


def test_what_was_written_by_hand_is_not_removed(notebooks):
    (notebooks / "models" / "mine.py").write_text("weeks = 'of work'")
    with pytest.raises(ValueError, match=r"mine.py .* comes from no notebook"):
        export.export()
    assert [file.name for file in (notebooks / "models").iterdir()] == ["mine.py"]


def test_a_model_too_long_for_one_sitting_is_a_warning(notebooks):
    write_notebook(notebooks / "00_toy.ipynb", [NOTEBOOK[0], "#| export\n" + "x = 1\n" * 301])
    with pytest.warns(UserWarning, match="toy.py has 3.. lines"):
        assert export.export(check=True) == ["toy"]


MODULES = [
    "#| default_exp toy",
    "#| export\nimport math\nfrom pathlib import Path, PurePath",
    "#| export\ndef area(radius):\n    return math.pi * radius**2",
    "#| export toy_files\nimport json\n\nclass File:\n    def __init__(self, path):\n        self.path = Path(path)",
    "#| export toy_search\ndef biggest(radii):\n    return File(json.dumps(area(max(radii))))",
    "#| export toy_search\ndef alone(radii):\n    area = File = math = 1\n    return area, File, math",
    "#| export toy_alone\ndef double(area: int):\n    return [2 * x for x in (area,)]",
]


def test_modules_of_a_notebook_import_what_they_use_of_each_other(notebooks):
    write_notebook(notebooks / "00_toy.ipynb", MODULES)
    assert export.export() == ["toy", "toy_alone", "toy_files", "toy_search"]
    texts = {file.stem: file.read_text() for file in (notebooks / "models").iterdir()}
    imports = {name: re.findall(r"^(?:from|import) .*", text, re.M) for name, text in texts.items()}
    assert imports == {
        "toy": ["import math", "from pathlib import Path, PurePath"],
        "toy_alone": [],  # a name of its own is no name of another module
        "toy_files": ["from pathlib import Path", "import json"],
        "toy_search": [
            "import json",
            "from course_utils.models.toy import area",
            "from course_utils.models.toy_files import File",
        ],
    }
    assert export.export(check=True) == []


def test_modules_that_need_each_other_in_a_circle_are_named_and_nothing_is_written(notebooks):
    back = "#| export toy_files\ndef again():\n    return biggest([1])"
    write_notebook(notebooks / "00_toy.ipynb", [*MODULES, back])
    with pytest.raises(ValueError, match=r"00_toy.ipynb.*circle.*toy_(files|search) -> toy_") as caught:
        export.export()
    assert "toy_files -> toy_search" in str(caught.value) and "toy_search -> toy_files" in str(caught.value)
    assert list((notebooks / "models").iterdir()) == []


def run_notebook(path, *options):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.nbval_plugin",
        "-p",
        "no:cacheprovider",
        "--nbval-lax",
    ]
    command += [
        "--nbval-current-env",
        "--nbval-kernel-startup-timeout=120",
        "--timeout=200",
        "-q",
        *options,
        str(path),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200).stdout


def test_the_notebook_runner_stops_at_failures_dead_kernels_and_the_network(tmp_path):
    write_notebook(tmp_path / "fails.ipynb", ["1 + 1", "1 / 0", "print('not reached')"])
    write_notebook(tmp_path / "dies.ipynb", ["import os; os._exit(1)", "2"])
    connect = "import socket\ntry:\n    socket.create_connection(('198.51.100.1', 80), 2)\nexcept ConnectionRefusedError as e:\n    "
    write_notebook(
        tmp_path / "network.ipynb", [connect + "assert 'runs offline' in str(e)\nelse:\n    assert False"]
    )
    progress = "from IPython.display import display\nh = display('a', display_id=True)\nh.update('b')"
    write_notebook(tmp_path / "progress.ipynb", [progress])
    wrong = "from course_utils.checks.core import Exercise, Mistake\nExercise('d', abs, lambda: [(-1,)], 'h')(lambda x: x)"
    write_notebook(tmp_path / "strict.ipynb", [wrong])
    out = run_notebook(tmp_path)
    assert "kernel died" in out
    assert re.search(r"3 failed, 3 passed, 2 skipped", out), out[-3000:]
    assert "ZeroDivisionError" in out and "network.ipynb" in out
