"""Every reference answer passes, every typical mistake gets its hint, every stub counts as unsolved."""

import numpy as np
import pytest
import torch

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


def test_a_forgotten_return_is_told_from_a_stub():
    def forgotten(x):
        y = 2 * x  # noqa: F841

    def stub(x):
        """What it has to do."""

    result = EXERCISE.judge(forgotten)
    assert result.status == core.WRONG and "is the `return` missing?" in result.message
    assert EXERCISE.judge(stub).status == core.NOT_ATTEMPTED
    assert EXERCISE.judge(lambda x: None).status == core.NOT_ATTEMPTED


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


def test_an_exception_is_shown_with_the_line_of_the_learner_and_what_it_was_given():
    def learner(x):
        y = x * 2
        return y + undefined  # noqa: F821

    message = EXERCISE.judge(learner).message
    assert "raised NameError: name 'undefined' is not defined in line" in message
    assert "`return y + undefined  # noqa: F821`; it was given (array of shape (4,))" in message
    assert "Multiply by two." not in message, "the way is no answer to a slip of the pen"


def test_the_line_is_the_learner_s_own_where_a_library_raised():
    message = EXERCISE.judge(lambda x: np.concatenate(x)).message
    assert "in line" in message and "np.concatenate(x)" in message


def test_a_short_input_is_shown_and_one_who_prints_is_told_to_return():
    exercise = core.Exercise("count", lambda x, y: len(x) + y, lambda: [([8, 7], 1)], "Count.")
    assert "not yet for ([8, 7], 1), expected 3, got 4" in exercise.judge(lambda x, y: 4).message
    message = exercise.judge(lambda x, y: print(x)).message
    assert "`return` it" in message and "Count." not in message
    assert " for (" not in EXERCISE.judge(np.square).message, "an array is not shown"


def test_too_few_arguments_are_explained():
    assert "it was given (array of shape (4,))" in EXERCISE.judge(lambda: 1).message


def test_hints_come_by_degrees_and_begin_anew_after_the_right_answer(capsys, monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    exercise = core.Exercise(
        "double", double, EXERCISE.inputs, "Multiply by two.", EXERCISE.mistakes, nudge="What is twice two?"
    )
    first, second, third = (exercise(np.square).message for _ in range(3))
    assert "What is twice two?" in first and "squared" not in first
    assert "You squared it." in second and "What is" not in second and "Multiply" not in second
    assert "You squared it. The way: Multiply by two." in third and "solution()" in third
    assert exercise(double)
    assert "What is twice two?" in exercise(np.square).message


def test_an_exception_and_a_forgotten_return_use_up_no_hint(capsys, monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    exercise = core.Exercise(
        "double", double, EXERCISE.inputs, "Multiply by two.", EXERCISE.mistakes, nudge="What is twice two?"
    )
    for slip in (lambda x: 1 / 0, lambda x: print(x), lambda x: 1 / 0):
        message = exercise(slip).message
        assert "Multiply" not in message and "twice" not in message and "solution()" not in message
    assert "What is twice two?" in exercise(np.square).message
    exercise(lambda x: 1 / 0)
    second = exercise(np.square).message
    assert "You squared it." in second and "The way" not in second


def test_a_result_shows_nothing_more_than_the_line_that_was_printed(capsys):
    from IPython.core.formatters import DisplayFormatter

    assert DisplayFormatter().format(EXERCISE.judge(double)) == ({}, {})
    assert capsys.readouterr().out == ""


def test_one_number_is_asked_for_in_words():
    exercise = core.Exercise("size", len, lambda: [(np.arange(4.0),)], "len")
    assert "expected one number, got an array of shape (4,)" in exercise.judge(lambda x: x).message


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


def test_the_nucleus_may_be_written_in_torch_or_in_numpy():
    def in_torch(p, top_p):
        values, order = p.sort(descending=True)
        values = torch.where(values.cumsum(0) - values < top_p, values, 0)
        return torch.zeros_like(p).scatter(0, order, values / values.sum())

    def in_numpy(p, top_p):
        order = np.argsort(p)[::-1].copy()
        kept = p.copy()
        kept[order[np.cumsum(p[order]) - p[order] >= top_p]] = 0
        return kept / kept.sum()

    assert checks.nb02.nucleus.judge(in_torch)
    assert checks.nb02.nucleus.judge(in_numpy)


def test_a_nucleus_that_drops_the_crossing_token_hears_so_and_an_error_keeps_its_line():
    def too_small(p, top_p):
        values, order = p.sort(descending=True)
        inside = values.cumsum(0) <= top_p
        return torch.zeros_like(p).scatter(0, order[inside], values[inside] / values[inside].sum())

    assert "crosses top_p" in checks.nb02.nucleus.judge(too_small).message
    message = checks.nb02.nucleus.judge(lambda p, top_p: p.undefined).message
    assert "AttributeError" in message and "p.undefined" in message


def test_a_skew_with_loops_is_as_good():
    def looped(scores):
        steps, result = len(scores), torch.zeros_like(scores)
        for i in range(steps):
            for j in range(i + 1):
                result[i, j] = scores[i, steps - 1 - (i - j)]
        return result

    assert checks.nb02.skew.judge(looped)


def test_a_cap_of_sixteen_is_no_answer_to_held():
    def capped(voice):
        return np.minimum(checks.nb02.held.reference(voice), 16)

    assert "16" in checks.nb02.held.judge(capped).message


def test_a_rule_limits_what_is_composed_and_a_better_model_is_measured(capsys):
    model = checks.nb02.recipe.Composer(checks.nb02.recipe.LESSON)
    ruled = checks.nb02.composed_under(checks.nb02.no_crossing.reference, model, steps=6, count=2)
    above, below = ruled[:, :, :-1], ruled[:, :, 1:]
    assert ruled.shape == (2, 6, 4) and ((below <= above) | (above == 0)).all()
    assert checks.nb02.better(None, 0.4).status == core.NOT_ATTEMPTED
    assert "return the model" in checks.nb02.better({"loss": 1}, 0.4).message
    assert "not yet" in checks.nb02.better(model, 0.4).message
    assert checks.nb02.better(model, 10.0)


def test_a_composer_that_was_defined_elsewhere_can_be_better_and_the_checkpoint_can_not():
    class Composer(torch.nn.Module):  # as in the notebook: the same name, another class
        def nll(self, grid, metre=None, keys=(0,)):
            return 0.4

    assert checks.nb02.better(Composer(), 0.43)
    assert not checks.nb02.better(Composer(), 0.39)
    assert "the class Composer" in checks.nb02.better(Composer, 0.43).message
    assert "got Linear" in checks.nb02.better(torch.nn.Linear(2, 2), 10.0).message
    result = checks.nb02.better(checks.nb02.checkpoints.load("music"), 10.0)
    assert not result and "shipped checkpoint" in result.message


def test_a_transposition_that_changes_its_input_hears_so_at_once(capsys):
    def in_place(grid, semitones):
        grid[grid > 0] += semitones
        return grid

    result = checks.nb02.transpose(in_place)
    assert not result and "copy" in result.message and result.message in capsys.readouterr().out
    assert "copy" in checks.nb02.transpose.judge(in_place).message
    assert checks.nb02.transpose(lambda grid, semitones: in_place(grid.copy(), semitones))
    assert "A rest is 0" in checks.nb02.transpose.judge(lambda grid, semitones: grid + semitones).message


def test_a_mask_made_with_complex_tensors_and_a_stream_with_gradients_hear_so():
    def with_complex(parts, gains, correction):
        mask = torch.view_as_complex(correction) + gains
        return torch.view_as_real(torch.view_as_complex(parts) * mask)

    def with_gradients(model, frames, state):
        spectrum, state = model(frames[None], state)
        return spectrum[0], state

    assert "real arithmetic" in checks.nb01.apply_mask.judge(with_complex).message
    assert "gradients" in checks.nb01.stream_step.judge(with_gradients).message
