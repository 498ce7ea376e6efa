"""A fingerprint changes when a figure could, whichever module the change is in, and with nothing else."""

import ast
import shutil

import pytest

from course_utils import fingerprint, paths
from course_utils.record import ladder, speakers, topics


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A copy of the package that may be edited."""
    package = tmp_path / "course_utils"
    shutil.copytree(
        paths.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "*.js", "*.css", "widgets")
    )
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    return package


def edit(path, old, new):
    text = path.read_text()
    assert old in text, f"{path.name} no longer holds {old!r}: choose another place to edit"
    path.write_text(text.replace(old, new, 1))


MODULE = '''
"""About."""
import math

from course_utils import other
from course_utils.other import helper as near

SIZE = 3

def used(x: int) -> int:
    """About."""
    if x < 0:
        raise ValueError("too small")
    return x * SIZE  # why

def start(rung, seed):
    return {"loss": near(used(seed)), "gain": other.gain(seed)}

def unused():
    return math.pi
'''
OTHER = """
FACTOR = 2

def helper(x):
    return x + 1

def gain(x):
    return x * FACTOR

def nobody(x):
    return x
"""


@pytest.fixture
def small(code):
    (code / "small.py").write_text(MODULE)
    (code / "other.py").write_text(OTHER)
    return code


@pytest.mark.parametrize(
    ("file", "old", "new", "same"),
    [
        ("small", "x * SIZE", "x + SIZE", False),
        ("small", "SIZE = 3", "SIZE = 4", False),
        ("small", "used(seed)", "used(seed + 1)", False),
        ("small", "other.gain", "other.helper", False),
        ("other", "x + 1", "x + 2", False),
        ("other", "FACTOR = 2", "FACTOR = 3", False),
        ("other", "def nobody(x):\n    return x", "def nobody(x):\n    return -x", True),
        ("small", "return math.pi", "return math.tau", True),
        ("small", '"""About."""\n    if', "if", True),
        ("small", "x * SIZE  # why", "(x *\n            SIZE)", True),
        ("small", "x: int", "x", True),
        ("small", '"too small"', '"too small: give at least 0"', True),
        ("small", "def unused", "def another():\n    return 1\n\ndef unused", True),
    ],
)
def test_a_fingerprint_follows_what_a_function_does_and_uses_in_all_modules(small, file, old, new, same):
    before = fingerprint.code("small", "start")
    edit(small / f"{file}.py", old, new)
    assert (fingerprint.code("small", "start") == before) is same


def test_a_definition_that_moves_to_another_module_changes_nothing(small):
    before = fingerprint.code("small", "start")
    edit(small / "other.py", "def helper(x):\n    return x + 1\n", "")
    (small / "third.py").write_text("def helper(x):\n    return x + 1\n")
    edit(small / "small.py", "course_utils.other import helper", "course_utils.third import helper")
    assert fingerprint.code("small", "start") == before


def test_a_module_that_is_handed_on_as_a_whole_counts_as_a_whole(small):
    edit(small / "small.py", "other.gain(seed)", "run(other)")
    before = fingerprint.code("small", "start")
    edit(small / "other.py", "def nobody(x):\n    return x", "def nobody(x):\n    return -x")
    assert fingerprint.code("small", "start") != before


@pytest.mark.parametrize(
    ("imported", "used"),
    [
        ("from course_utils import group", "group.part.helper(1)"),
        ("import course_utils.group.part", "course_utils.group.part.helper(1)"),
    ],
)
def test_a_module_inside_a_package_is_followed(code, imported, used):
    (code / "group").mkdir()
    (code / "group/__init__.py").write_text("")
    (code / "group/part.py").write_text("def helper(x):\n    return x + 1\n")
    (code / "small.py").write_text(f"{imported}\n\ndef start():\n    return {used}\n")
    before = fingerprint.code("small", "start")
    edit(code / "group/part.py", "x + 1", "x + 2")
    assert fingerprint.code("small", "start") != before


def test_a_fingerprint_is_the_same_everywhere(small):
    assert fingerprint.code("small", "start") == "f05ad138de4f"
    with pytest.raises(ValueError, match="does not define 'train'"):
        fingerprint.code("small", "train")
    with pytest.raises(ValueError, match="no module"):
        fingerprint.code("absent")


def keys():
    """Fingerprints of all that is recorded: (topic, grid, system), and (topic, "ladder")."""
    found = {}
    for name, topic in topics.every().items():
        found |= {(name, entry.grid, entry.system): entry.fingerprint for entry in topic.entries()}
        if name in ladder.with_ladder():
            found[name, "ladder"] = ladder.made_with(name)
    return found


OURS = {("enhancement", grid, "this course") for grid in ("real", "own", "cost")}
GRIDS = {
    ("enhancement", grid, system)
    for grid in ("real", "own")
    for system in ("unprocessed", "noisereduce", "RNNoise", "DTLN", "DeepFilterNet3", "this course")
}
MUSIC = {("music", split, "this course") for split in ("valid", "test")}

LISTENERS = {
    *(("realtime", grid, "this course") for grid in ("real prompts", "readers", "own")),
    *(
        ("realtime", grid, f"this course{what}")
        for grid in ("real digits", "real phrases", "own phrases")
        for what in ("", ", open vocabulary")
    ),
    *(("realtime", "own", f"this course, {chunk} ms") for chunk in (32, 320, 640)),
    *(
        ("realtime", "cost", f"this course: {name}{how}")
        for name in ("recognition", "phrases")
        for how in ("", ", ONNX Runtime")
    ),
    ("realtime", "speaker", "this course"),
    ("realtime", "ladder"),
}
SPEAKERS = {
    *(
        ("tts", grid, name)
        for grid in ("real readers", "own voices")
        for name in ("Griffin-Lim", "this course")
    ),
    *(("tts", "sentences", name) for name in ("vocoded ground truth", "this course")),
    *(
        ("tts", grid, name)
        for grid in ("voices", "unseen voices")
        for name in ("this course", "random voice (control)")
    ),
    ("tts", "unseen voices", "this course, 80 steps on the reference"),
    *(("tts", "controls", name) for name in ("speed 2.0", "pitch +3", "pitch -3", "mixing")),
    *(
        ("tts", "cost", name)
        for name in ("this course", "this course, vocoder alone", "Griffin-Lim", "espeak-ng", "Piper joe")
    ),
    ("tts", "adaptation", "this course"),
    ("tts", "ladder"),
}

COPIES = ("another recording", "another recording, vocoded", "this course", "this course, heard only",
          "this course, heard only, guidance 0", "this course, heard only, guidance 1",
          "this course, heard only, guidance 2", "nearest training voice (control)", "mean voice (control)",
          "random voice (control)")  # fmt: skip
ENCODERS = ("this course", "Resemblyzer", "MFCC statistics", "untrained network (control)")
CLONERS = {
    *(("cloning", grid, name) for grid in ("real readers", "virtual voices") for name in COPIES),
    *(
        ("cloning", "few-shot", f"{part}, {seconds} s")
        for part in ("nothing", "embedding", "norms", "lora", "everything")
        for seconds in (5, 20, 60)
    ),
    *(("cloning", grid, name) for grid in speakers.GRIDS for name in ENCODERS),
    ("cloning", "encoder: what it costs", "this course"),
    ("cloning", "ladder"),
}


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("features.py", "torch.hann_window(n_fft", "torch.hamming_window(n_fft",
         OURS | LISTENERS | SPEAKERS | CLONERS | {("enhancement", "ladder")}),
        ("training.py", "betas=(0.9, 0.95)", "betas=(0.9, 0.99)",
         {(topic, "ladder") for topic in ("enhancement", "music", "realtime", "tts", "cloning")}),
        ("noise.py", "gains = rng.uniform(-decibels, decibels, 9)", "gains = rng.uniform(-decibels, decibels, 8)",
         {("enhancement", "ladder")}),
        ("audio.py", "0.99 / peak", "0.98 / peak", GRIDS | {("enhancement", "ladder")}),
        ("data/noises.py", "_NOISE_CLIPS = ", "_NOISE_CLIPS = 1 + ", GRIDS | {("enhancement", "ladder")}),
        ("music.py", "min_steps: int = 1) -> np.ndarray", "min_steps: int = 2) -> np.ndarray", MUSIC | {("music", "ladder")}),
        ("peers/dtln.py", "WINDOW, HOP = 512, 128", "WINDOW, HOP = 512, 256",
         {("enhancement", grid, "DTLN") for grid in ("real", "own", "cost")}),
        ("metrics.py", "10 * np.log10(wanted_power", "20 * np.log10(wanted_power", GRIDS | {("enhancement", "ladder")}),
    ],
    ids=lambda value: value if isinstance(value, str) and value.endswith(".py") else "",
)  # fmt: skip
def test_whoever_changes_what_a_figure_depends_on_hears_of_it(code, file, old, new, stale):
    before = keys()
    edit(code / file, old, new)
    after = keys()
    if (
        file == "features.py"
    ):  # all that converts or looks for the mark hears of it; PerTh has features of its own
        stale = stale | {
            place
            for place in before
            if place[0] in ("conversion", "responsible") and "PerTh" not in place[-1]
        }
    # The capstone is made of all topics: it may hear of each, and hears of the spectrogram.
    changed = {place for place in before if before[place] != after[place]}
    assert {place for place in changed if place[0] != "capstone"} == stale
    assert file != "features.py" or any(place[0] == "capstone" for place in changed)


def test_layout_comments_docstrings_and_how_shipped_files_are_read_make_nothing_stale(code):
    before = keys()
    edit(code / "shipped.py", "lzma.decompress(packed.read_bytes())", "lzma.open(packed).read()")
    for path in code.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
                node.body[0].value.value = "Another text."
        path.write_text(f"# no comment of the old one is left\n{ast.unparse(tree)}\n")
    assert keys() == before
