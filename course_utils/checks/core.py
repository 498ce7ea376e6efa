"""What every check is made of: a reference answer, inputs to try, and the typical mistakes.

A typical mistake is a function that makes it. A learner's answer that gives the same result as a known
mistake gets that mistake's hint, and the tests prove for each one that it is caught.
"""

from __future__ import annotations

import html
import inspect
import math
import os
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
        hint: said when the answer is wrong and no known mistake fits.
        mistakes: known wrong answers with their hints.
        tolerance: relative and absolute.
    """

    name: str
    reference: Callable
    inputs: Callable[[], Sequence[tuple]]
    hint: str
    mistakes: Sequence[Mistake] = field(default_factory=tuple)
    tolerance: float = 1e-4

    def judge(self, answer: Callable) -> Result:
        """Compare `answer` with the reference; prints nothing and raises nothing."""
        tried = list(self.inputs())
        for number, arguments in enumerate(tried):
            try:
                got = answer(*_copies(arguments))
            except NotImplementedError:
                return Result(NOT_ATTEMPTED, f"{self.name}: not attempted yet.")
            except Exception as error:  # whatever a learner's code raises is an answer to explain
                return Result(
                    WRONG, f"{self.name}: your code raised {type(error).__name__}: {error}. {self.hint}"
                )
            if got is None or got is Ellipsis:
                if number == 0:
                    return Result(NOT_ATTEMPTED, f"{self.name}: not attempted yet.")
                return Result(WRONG, f"{self.name}: nothing was returned for input {number + 1}. {self.hint}")
            found = difference(got, self.reference(*_copies(arguments)), self.tolerance)
            if found:
                hint = self._hint_for(answer, tried[number:])
                return Result(WRONG, f"{self.name}: not yet, {found}. {hint}")
        return Result(CORRECT, f"{self.name}: correct.")

    def _hint_for(self, answer: Callable, inputs: Sequence[tuple]) -> str:
        for mistake in self.mistakes:
            if _agree(answer, mistake.answer, inputs, self.tolerance):
                return mistake.hint
        return self.hint

    def __call__(self, answer: Callable) -> Result:
        """Judge and print one line. Under COURSE_STRICT=1 a wrong answer raises AssertionError."""
        result = self.judge(answer)
        sign = {CORRECT: "✔", NOT_ATTEMPTED: "…", WRONG: "✘"}[result.status]
        print(f"{sign} {result.message}")
        if result.status == WRONG and os.environ.get("COURSE_STRICT") == "1":
            raise AssertionError(result.message)
        return result

    def solution(self) -> HTML:
        """The reference answer, folded."""
        code = html.escape(inspect.getsource(self.reference))
        return HTML(
            f"<details><summary>Solution: {html.escape(self.name)}</summary><pre>{code}</pre></details>"
        )


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
