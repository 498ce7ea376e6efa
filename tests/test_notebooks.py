"""The contract that every notebook keeps, so that a learner always knows where they are."""

import ast
import importlib
import re
import statistics

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tests.places import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SPINE = [
    "Listen first",
    "What you will build",
    "Set-up",
    "The data",
    "The idea by hand",
    "Build it step by step",
    "Train it",
    "Measure it",
    "Explore",
    "In the real world",
    "Exercises",
    "Quiz",
    "Key takeaways",
    "Further reading",
]
HELPERS = [
    "audio",
    "features",
    "text",
    "data",
    "metrics",
    "device",
    "plotting",
    "training",
    "checkpoints",
    "noise",
    "tables",
    "waveform",
]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    nb = nbformat.read(request.param, as_version=4)
    nbformat.validate(nb)
    nb["path"] = request.param
    return nb


def code_cells(nb):
    return [cell.source for cell in nb.cells if cell.cell_type == "code"]


def markdown(nb):
    return [cell.source for cell in nb.cells if cell.cell_type == "markdown"]


def trees(nb):
    transform = TransformerManager().transform_cell
    return [ast.parse(transform(source)) for source in code_cells(nb)]


def calls(nb, name):
    return sum(len(re.findall(rf"\b{re.escape(name)}\(", source)) for source in code_cells(nb))


def test_there_are_notebooks():
    assert NOTEBOOKS, "no notebooks were found, so nothing was tested"
    numbers = [path.stem[:2] for path in NOTEBOOKS]
    assert numbers[0] == "00" and len(set(numbers)) == len(numbers)
    assert all(re.fullmatch(r"\d\d_[a-z_]+", path.stem) for path in NOTEBOOKS)


def test_headings_are_the_spine(notebook):
    headings = [
        line[3:].strip()
        for source in markdown(notebook)
        for line in source.splitlines()
        if line.startswith("## ")
    ]
    assert headings == SPINE


def test_the_title_makes_a_claim_and_says_how_long_it_takes(notebook):
    title = notebook.cells[0]
    assert title.cell_type == "markdown" and title.source.startswith("# ")
    assert re.search(r"\d+ minutes", title.source) and "offline" in title.source


def test_no_outputs_are_stored(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
    assert "widgets" not in notebook.metadata


def test_cells_are_short(notebook):
    lines = [len([x for x in s.splitlines() if x.strip()]) for s in code_cells(notebook)]
    assert max(lines) <= 40
    assert statistics.median(lines) <= 8


def test_a_topic_has_the_size_of_a_chapter(notebook):
    words = sum(len(source.split()) for source in markdown(notebook))
    lines = sum(bool(line.strip()) for source in code_cells(notebook) for line in source.splitlines())
    assert 70 <= len(notebook.cells) <= 150 and 2500 <= words <= 5500
    assert lines <= 700, "code that teaches nothing belongs in the package"


def test_set_up_is_short_and_seeds(notebook):
    start = next(i for i, cell in enumerate(notebook.cells) if "## Set-up" in cell.source)
    code = next(cell.source for cell in notebook.cells[start:] if cell.cell_type == "code")
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 6
    assert "seed_everything(" in code


def test_there_is_enough_to_hear_and_facts_are_asserted(notebook):
    heard = calls(notebook, "audio.play") + calls(notebook, "audio.compare") + calls(notebook, "ABPlayer")
    heard += calls(notebook, "PianoRoll")
    assert heard >= 6
    asserts = sum(isinstance(node, ast.Assert) for tree in trees(notebook) for node in ast.walk(tree))
    assert asserts >= 5


def test_helpers_are_not_defined_again(notebook):
    public = set()
    for name in HELPERS:
        module = importlib.import_module(f"course_utils.{name}")
        public |= {
            n
            for n, o in vars(module).items()
            if (getattr(o, "__module__", None) or "").startswith(module.__name__) and n[0] != "_"
        }
    defined = {
        node.name
        for tree in trees(notebook)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert not defined & public


def test_nothing_is_fetched_and_nothing_is_swallowed(notebook):
    for source in code_cells(notebook):
        assert not re.search(r"https?://", source), source
        assert not re.search(r"^\s*[!%]\s*(pip|conda|apt|wget|curl)", source, re.M), source
    for tree in trees(notebook):
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not {n.split(".")[0] for n in names} & {"requests", "urllib", "httpx"}
            assert not isinstance(node, ast.ExceptHandler) or node.type is not None


def test_every_figure_has_words(notebook):
    for source in code_cells(notebook):
        assert not re.search(r"pyplot|\bplt\.", source), (
            "use course_utils.plotting, which asks for a text alternative"
        )
    for source in markdown(notebook):
        assert not re.search(r"!\[\s*\]\(", source), "an image without a text alternative"


def test_exercises_and_quiz_are_checked(notebook):
    number = notebook["path"].stem[:2]
    module = importlib.import_module(f"course_utils.checks.nb{number}")
    assert len(module.quiz) == 5
    used = set(re.findall(rf"checks\.nb{number}\.(\w+)", "\n".join(code_cells(notebook))))
    assert used >= set(module.EXERCISES) | {"quiz"}


def test_half_of_the_exercises_stand_where_the_thing_is_built(notebook):
    part, stand = "", {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            part = (
                [line[3:].strip() for line in cell.source.splitlines() if line.startswith("## ")] or [part]
            )[-1]
        elif found := re.findall(r"^(?:\w+ = )?checks\.nb\d+\.(\w+)\(", cell.source, re.M):
            stand |= {name: part for name in found if name not in stand}
    inside = sum(part == "Build it step by step" for part in stand.values())
    assert len(stand) >= 3 and inside >= len(stand) / 2, stand


TERMS = """
    sample rate, decibel, power, phase, bin, frame, hop, window, spectrogram, log-mel, harmonic, formant, phone, SNR,
    SI-SDR, logit, overlap-add, causal, mask, Wiener, receptive field, GRU, attention, STOI, PESQ, DNSMOS,
    word error rate, real-time factor, ONNX, ABX, envelope, octave, p-value, chord, parallel fifth, metre, cadence, nats,
    temperature, nucleus, n-gram, token, embedding, CTC, beam, endpointer, jitter, ring buffer, emission delay,
    back-pressure, lattice, phoneme, vocoder, flow matching, guidance, length regulator, EER, LoRA, speaker encoder,
    zero-shot, few-shot, content features, kNN-VC, probe, watermark, spoof
"""


def test_no_term_of_the_field_is_used_before_its_meaning():
    """Where a term stands for the first time in the course, it is set in italics or bold: there it is explained.

    Titles, headings and the list of what will be built are no text of the lesson.
    """
    lines = []
    for path in NOTEBOOKS:
        part = "title"
        for cell in nbformat.read(path, as_version=4).cells:
            for line in cell.source.splitlines() if cell.cell_type == "markdown" else ():
                if line.startswith("#"):
                    part = line[3:].strip() if line.startswith("## ") else part
                elif part not in ("title", "What you will build"):
                    lines.append((path.stem, re.sub(r"`[^`]*`|\$[^$]*\$", "", line)))
    early = []
    for term in (term.strip() for term in TERMS.replace("\n", " ").split(",")):
        word = rf"(?<![\w-]){re.escape(term)}(?:s|es)?(?![\w-])"
        where, line = next(((at, line) for at, line in lines if re.search(word, line, re.I)), ("", ""))
        set_apart = rf"(\*+)[^*]*{word}[^*]*\1|\* \({word}[,)]"
        if line and not re.search(set_apart, line, re.I):
            early.append(f"{where}: {term}: {line[:90]}")
    assert not early, "\n".join(early)


def test_prose_does_not_shout(notebook):
    words = "amazing|awesome|incredible|magic|cutting-edge|state-of-the-art|simply|obviously|of course,|just "
    for source in markdown(notebook):
        assert not re.search(rf"\b({words})", source, re.I), re.search(rf"\b({words})", source, re.I).group()
