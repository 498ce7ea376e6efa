"""Every reference answer passes, every typical mistake gets its hint, every stub counts as unsolved."""

import numpy as np
import pytest

from course_utils import checks
from course_utils.checks import core
from tests.places import ROOT

MODULES = sorted(path.stem for path in (ROOT / "course_utils" / "checks").glob("nb*.py"))
EXERCISES = [(name, exercise) for name in MODULES for exercise in getattr(checks, name).EXERCISES.values()]
MISTAKES = [(n, e, m) for n, e in EXERCISES for m in e.mistakes]


def ids(value):
    return (
        getattr(value, "name", None)
        or getattr(getattr(value, "answer", None), "__name__", None)
        or str(value)
    )


@pytest.mark.parametrize(("module", "exercise"), EXERCISES, ids=ids)
def test_the_reference_passes_and_a_stub_is_unsolved(module, exercise):
    assert exercise.judge(exercise.reference).status == core.CORRECT
    assert exercise.judge(lambda *_: None).status == core.NOT_ATTEMPTED
    assert exercise.judge(lambda *_: ...).status == core.NOT_ATTEMPTED
    assert exercise.judge(_raise).status == core.NOT_ATTEMPTED
    assert len(exercise.mistakes) >= 2, "an exercise without typical mistakes can not help"


def _raise(*_):
    raise NotImplementedError


@pytest.mark.parametrize(("module", "exercise", "mistake"), MISTAKES, ids=ids)
def test_each_typical_mistake_gets_its_hint(module, exercise, mistake):
    result = exercise.judge(mistake.answer)
    assert result.status == core.WRONG
    assert result.message.endswith(mistake.hint)


@pytest.mark.parametrize("module", MODULES)
def test_every_choice_of_the_quiz_is_explained(module):
    for question in getattr(checks, module).quiz.questions:
        assert len(question.choices) >= 3
        assert all(len(why.split()) >= 5 for why in question.choices.values())
    assert "✔" in getattr(checks, module).quiz._repr_html_()


def double(x):
    return 2 * x


EXERCISE = core.Exercise(
    "double",
    double,
    lambda: [(np.arange(4.0),), (core.random_waveform(1),)],
    "Multiply by two.",
    [core.Mistake(np.square, "You squared it.")],
)


def test_a_wrong_answer_is_told_where_it_differs_first():
    result = EXERCISE.judge(np.square)
    assert not result and "at 1, expected 2, got 1 (2 of 4 differ)" in result.message
    assert "You squared it." in result.message


def test_shapes_exceptions_and_wrong_types_are_explained():
    assert "expected shape (4,), got (3,)" in EXERCISE.judge(lambda x: x[:3]).message
    assert "raised ZeroDivisionError" in EXERCISE.judge(lambda x: 1 / 0).message
    assert "expected numbers" in EXERCISE.judge(lambda x: "text").message
    assert "Multiply by two." in EXERCISE.judge(lambda x: x + 1).message


def test_an_answer_that_changes_its_input_is_still_compared_with_the_right_one():
    def in_place(x):
        x *= 2
        return x

    assert EXERCISE.judge(in_place)


def test_a_wrong_answer_stops_only_where_it_must(monkeypatch, capsys):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    assert not EXERCISE(np.square)
    assert "✘" in capsys.readouterr().out
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(AssertionError, match="squared"):
        EXERCISE(np.square)
    assert EXERCISE(lambda x: None).status == core.NOT_ATTEMPTED  # unsolved is fine, also in CI


def test_a_quiz_needs_its_answer_among_the_choices():
    with pytest.raises(ValueError, match="not among the choices"):
        core.Question("?", {"a": "because"}, "b")
