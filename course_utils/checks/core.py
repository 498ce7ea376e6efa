"""What every check is made of: a reference answer, inputs to try, and the typical mistakes.

A typical mistake is a function that makes it. A learner's answer that gives the same result as a known
mistake gets that mistake's hint, and the tests prove for each one that it is caught.
"""

from __future__ import annotations

import dis
import html
import inspect
import math
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from IPython.display import HTML

NOT_ATTEMPTED, CORRECT, WRONG = "not attempted yet", "correct", "not yet"


@dataclass(frozen=True)
class Result:
    """Outcome of a check: `status` and the line that was printed. True only when correct."""

    status: str
    message: str

    def __bool__(self) -> bool:
        return self.status == CORRECT

    def _ipython_display_(self) -> None:
        """Nothing at the end of a cell: the line is printed already."""


def _plain(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value


def difference(got: Any, expected: Any, tolerance: float = 1e-4) -> str | None:
    """What differs first between two answers, in words; None when they agree within `tolerance`."""
    got, expected = _plain(got), _plain(expected)
    if isinstance(expected, Mapping):
        if not isinstance(got, Mapping) or set(got) != set(expected):
            return f"expected a dictionary with the keys {sorted(expected)}, got {_short(got)}"
        pairs = [(f"under {key!r}, ", got[key], expected[key]) for key in expected]
    elif isinstance(expected, tuple | list) and not all(isinstance(x, int | float) for x in expected):
        if not isinstance(got, tuple | list) or len(got) != len(expected):
            return f"expected {len(expected)} values, got {_short(got)}"
        pairs = [(f"in value {i}, ", g, e) for i, (g, e) in enumerate(zip(got, expected, strict=True))]
    elif isinstance(expected, np.ndarray | np.generic | int | float | list | tuple) and not isinstance(
        expected, bool
    ):
        return _array_difference(got, np.asarray(expected), tolerance)
    else:
        return None if got == expected else f"expected {_short(expected)}, got {_short(got)}"
    for where, g, e in pairs:
        if found := difference(g, e, tolerance):
            return where + found
    return None


def _array_difference(got: Any, expected: np.ndarray, tolerance: float) -> str | None:
    try:
        got = np.asarray(got)
        got = got if got.dtype.kind in "biufc" else got.astype(float)
    except (TypeError, ValueError):
        return f"expected numbers of shape {expected.shape}, got {_short(got)}"
    if got.shape != expected.shape and expected.shape == ():
        return f"expected one number, got an array of shape {got.shape}"
    if got.shape != expected.shape:
        return f"expected shape {expected.shape}, got {got.shape}"
    if expected.dtype.kind not in "biufc":
        wrong = got != expected
    else:
        wrong = ~np.isclose(got, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    where = f"at {index if len(index) > 1 else index[0]}, " if index else ""
    return f"{where}expected {_short(expected[index])}, got {_short(got[index])} ({int(wrong.sum())} of {wrong.size} differ)"


def _short(value: Any) -> str:
    if isinstance(value, np.generic):
        value = value.item()
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) < 80 else text[:77] + "..."


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that learners give, and the hint that mends it."""

    answer: Callable
    hint: str


@dataclass(frozen=True)
class Exercise:
    """Checks a learner's function against a reference on inputs that the learner has not seen.

    Attributes:
        name: as in `checks.nb00.name`.
        reference: the right answer, as a function.
        inputs: gives a list of argument tuples, each to be tried.
        hint: the way to the answer; said when the answer is wrong and no known mistake fits.
        mistakes: known wrong answers with their hints.
        tolerance: relative and absolute.
        nudge: where to look; said first, before the mistake is named and the way is shown.
    """

    name: str
    reference: Callable
    inputs: Callable[[], Sequence[tuple]]
    hint: str
    mistakes: Sequence[Mistake] = field(default_factory=tuple)
    tolerance: float = 1e-4
    nudge: str = ""
    _wrong: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def judge(self, answer: Callable) -> Result:
        """Compare `answer` with the reference; prints nothing and raises nothing."""
        status, what, hint = self._judged(answer)
        return Result(status, f"{self.name}: {what}. {hint or ''}".rstrip())

    def _judged(self, answer: Callable) -> tuple[str, str, str | None]:
        """The status, what is to be said of it, and the hint that belongs to it; None for a slip of the pen."""
        tried = list(self.inputs())
        for number, arguments in enumerate(tried):
            try:
                got = answer(*_copies(arguments))
            except NotImplementedError:
                return NOT_ATTEMPTED, NOT_ATTEMPTED, ""
            except Exception as error:  # whatever a learner's code raises is an answer to explain
                return WRONG, _what_was_raised(error, answer, arguments), None
            if got is None or got is Ellipsis:
                if got is None and "print" in getattr(
                    getattr(inspect.unwrap(answer), "__code__", None), "co_names", ()
                ):
                    return WRONG, "nothing was returned: what is printed is lost, `return` it", None
                if number == 0 and got is None and _does_something(answer):
                    return WRONG, "your function returns None; is the `return` missing?", None
                if number == 0:
                    return NOT_ATTEMPTED, NOT_ATTEMPTED, ""
                return WRONG, f"nothing was returned for input {number + 1}", self.hint
            found = difference(got, self.reference(*_copies(arguments)), self.tolerance)
            if found:
                return WRONG, f"not yet{_for(arguments)}, {found}", self._hint_for(answer, tried[number:])
        return CORRECT, CORRECT, ""

    def _hint_for(self, answer: Callable, inputs: Sequence[tuple]) -> str:
        for mistake in self.mistakes:
            if _agree(answer, mistake.answer, inputs, self.tolerance):
                return mistake.hint
        return self.hint

    def __call__(self, answer: Callable) -> Result:
        """Judge and print one line. Under COURSE_STRICT=1 a wrong answer raises AssertionError.

        Hints come by degrees: first the nudge, if there is one, then the mistake, from the third time on the way.
        An error that Python raises, or a missing `return`, is no step of these.
        """
        status, what, hint = self._judged(answer)
        if status == WRONG and hint is not None:
            self._wrong.append(what)
            hint = self._graded(hint)
        elif status == CORRECT:
            self._wrong.clear()
        result = Result(status, f"{self.name}: {what}. {hint or ''}".rstrip())
        sign = {CORRECT: "✔", NOT_ATTEMPTED: "…", WRONG: "✘"}[result.status]
        print(f"{sign} {result.message}")
        if result.status == WRONG and os.environ.get("COURSE_STRICT") == "1":
            raise AssertionError(result.message)
        return result

    def _graded(self, hint: str) -> str:
        times = len(self._wrong)
        if times == 1 and self.nudge:
            return f"{self.nudge} (The next wrong answer gets a clearer hint.)"
        if times < 3:
            return hint
        way = "" if hint == self.hint else f" The way: {self.hint}"
        return f"{hint}{way} Ours: print it with {self.name}'s `.solution()`.".strip()

    def solution(self) -> HTML:
        """The reference answer, folded."""
        code = html.escape(inspect.getsource(self.reference))
        return HTML(
            f"<details><summary>Solution: {html.escape(self.name)}</summary><pre>{code}</pre></details>"
        )


def _does_something(answer: Callable) -> bool:
    """Whether there is more in a function than a constant: a stub holds `...`, `pass` or `return None`."""
    code = getattr(inspect.unwrap(answer), "__code__", None)
    idle = {"RESUME", "NOP", "POP_TOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    return code is not None and not {step.opname for step in dis.get_instructions(code)} <= idle


def _what_was_raised(error: Exception, answer: Callable, arguments: tuple) -> str:
    """The exception, the learner's line that it came from, and what the function had been given."""
    own = getattr(getattr(inspect.unwrap(answer), "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    where = f" in line {frames[-1].lineno}, `{frames[-1].line}`" if frames else ""
    given = ", ".join(_kind(value) for value in arguments)
    return f"your code raised {type(error).__name__}: {error}{where}; it was given ({given})"


def _for(arguments: tuple) -> str:
    """The input that an answer failed on, where it is short enough to be read; "" for arrays and long ones."""
    plain = all(isinstance(value, str | int | float | list | tuple | set) for value in arguments)
    text = ", ".join(map(repr, arguments)) if plain else ""
    return f" for ({text})" if 0 < len(text) <= 120 else ""


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        kind = "array" if isinstance(value, np.ndarray) else "tensor"
        return f"{kind} of shape {tuple(value.shape)}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, list | tuple) else _short(value)


def _copies(arguments: tuple) -> tuple:
    """Fresh copies, so that an answer that changes its input in place is not compared with itself."""
    return tuple(
        a.copy() if isinstance(a, np.ndarray) else a.clone() if isinstance(a, torch.Tensor) else a
        for a in arguments
    )


def _agree(one: Callable, other: Callable, inputs: Sequence[tuple], tolerance: float) -> bool:
    try:
        return all(difference(one(*_copies(i)), other(*_copies(i)), tolerance) is None for i in inputs)
    except Exception:  # a mistake that can not even run on this input is not this learner's mistake
        return False


@dataclass(frozen=True)
class Question:
    """One quiz question: the choices with what is said about each, and the right one."""

    text: str
    choices: Mapping[str, str]
    answer: str

    def __post_init__(self):
        if self.answer not in self.choices:
            raise ValueError(f"the answer {self.answer!r} is not among the choices of {self.text!r}")


class Quiz:
    """Questions whose choices unfold to say right or wrong, and why. Plain HTML: works without a kernel."""

    def __init__(self, *questions: Question):
        self.questions = questions

    def __len__(self) -> int:
        return len(self.questions)

    def _repr_html_(self) -> str:
        rows = []
        for number, question in enumerate(self.questions, 1):
            choices = "".join(
                f"<details style='margin:2px 0 2px 1em'><summary>{html.escape(choice)}</summary>"
                f"<div style='margin-left:1.2em'>{'✔ Right.' if choice == question.answer else '✘ No.'} "
                f"{html.escape(why)}</div></details>"
                for choice, why in question.choices.items()
            )
            rows.append(f"<p><b>{number}. {html.escape(question.text)}</b></p>{choices}")
        return "".join(rows)

    def __repr__(self) -> str:
        return f"<Quiz: {len(self)} questions>"


def random_waveform(seed: int, samples: int = 1000) -> np.ndarray:
    """Noise with a level that is not 1 and a mean that is not 0, so that shortcuts show."""
    return (np.random.default_rng(seed).normal(0.05, 0.2 * math.sqrt(seed + 1), samples)).astype(np.float32)
