"""What your own ears say: ABX (do you hear a difference?) and opinion (how good is it?), blind, with a score."""

from __future__ import annotations

import html
import math
import threading
from collections.abc import Mapping, Sequence

import ipywidgets as widgets
import numpy as np
from scipy import stats

from course_utils import audio, plotting

from ..ab_player import ABPlayer
from ..fallback import HtmlFallback
from ..messages import replace, saying

RATINGS = {1: "bad", 2: "poor", 3: "fair", 4: "good", 5: "excellent"}
"""The scale of ITU-T P.800."""
ABX, OPINION = "ABX", "opinion"
PROXIES = (
    "One listener is no panel, and proxies (DNSMOS, word error rate, similarity of embeddings) are no listeners: "
    "they predict what people say, and can be wrong."
)


def mean_opinion(ratings: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of ratings (Student's t, kept within 1 to 5).

    The interval is NaN where nothing can be said of it: of one rating, and of ratings that are all alike.
    """
    values = np.asarray(ratings, dtype=np.float64)
    mean = float(values.mean())
    if len(set(values)) < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return mean, max(1.0, mean - half), min(5.0, mean + half)


def verdict(right: int, trials: int) -> str:
    """A score of an ABX test in words, with the one-sided binomial p-value."""
    p = float(stats.binom.sf(right - 1, trials, 0.5))
    chance = f"{p:.1%}" if p >= 0.001 else "less than 0.1 %"
    words = f"{right} of {trials} right. Somebody who only guesses does so well or better in {chance} of such tests"
    if p <= 0.05:
        return f"{words}: you hear a difference."
    if stats.binom.sf(trials - 1, trials, 0.5) > 0.05:
        return f"{words}: {trials} trials are too few to tell, even if all are right."
    return f"{words}: this does not show that you hear a difference, and does not show that there is none."


class ListeningTest(HtmlFallback, widgets.VBox):
    """Two blind tests of any clips: in ABX you say whether X is A or B; in opinion you rate from 1 to 5.

    All clips are brought to one level, because louder sounds better. Which clip is which stays hidden until the end.

    Args:
        clips: by name (a system or a voice) a list of waveforms (time,), or one.
        pair: the two names of the ABX test; None: the first two. Clip k of one is compared with clip k of the other.
        trials: of the ABX test.
        texts: what clip k says, the same for all names; None if it does not matter.
        seed: of the order; None is different each time.

    Raises:
        AudioError: a clip that is no waveform, or silent.
        ValueError: no clips, a pair that is not there or has no clips, or no trials.
    """

    def __init__(
        self,
        clips: Mapping[str, Sequence[np.ndarray] | np.ndarray],
        pair: tuple[str, str] | None = None,
        trials: int = 10,
        texts: Sequence[str] | None = None,
        seed: int | None = None,
    ):
        lists = {
            str(name): [some] if isinstance(some, np.ndarray) and some.ndim == 1 else list(some)
            for name, some in clips.items()
        }
        if not lists or not all(lists.values()):
            raise ValueError("expected clips by name, at least one for each")
        if pair is None:
            pair = tuple(lists)[:2]
        if len(lists) > 1 and (len(set(pair)) != 2 or not set(pair) <= set(lists)):
            raise ValueError(f"pair: expected two of {', '.join(lists)}, got {pair!r}")
        if not isinstance(trials, int) or trials < 1:
            raise ValueError(f"trials: expected 1 or more, got {trials!r}")
        self.pair: tuple[str, str] | None = tuple(pair) if len(lists) > 1 else None
        """The names that the ABX test compares; None if there is only one."""
        self.trials = trials
        self._clips, self._texts = _one_level(lists), list(texts or ())
        self._random, self._lock = np.random.default_rng(seed), threading.RLock()

        self.way = widgets.ToggleButtons(
            options=[ABX, OPINION] if self.pair else [OPINION], style={"button_width": "110px"}
        )
        """Which test is shown."""
        self.button = widgets.Button(description="Begin again", icon="undo", layout={"width": "130px"})
        self._note = widgets.HTML()
        self._place = widgets.VBox()
        super().__init__([widgets.HBox([self.way, self.button]), self._note, self._place])
        self.way.observe(self._show, names="value")
        self.button.on_click(lambda _: self.reset(self.way.value))
        self.reset()

    # --- use -------------------------------------------------------------------------------------------

    def answer(self, choice: str) -> None:
        """Say what X is in the ABX test, "A" or "B", as the buttons do.

        Raises:
            ValueError: another answer, or the test is over or has no pair.
        """
        if choice not in ("A", "B"):
            raise ValueError(f"expected A or B, got {choice!r}")
        with self._lock:
            if self.pair is None or len(self._answers) == self.trials:
                raise ValueError("the ABX test is over: reset() begins a new one")
            self._answers.append((self._x, choice))
            self._draw_trial()
            self._show()

    def rate(self, rating: int) -> None:
        """Rate the clip of the opinion test that is on, from 1 (bad) to 5 (excellent), as the buttons do.

        Raises:
            ValueError: another rating, or all clips are rated.
        """
        if rating not in RATINGS:
            raise ValueError(f"expected a rating from 1 to 5, got {rating!r}")
        with self._lock:
            if len(self._ratings) == len(self._order):
                raise ValueError("all clips are rated: reset() begins anew")
            self._ratings.append(int(rating))
            self._show()

    def reset(self, test: str | None = None) -> None:
        """Forget the answers of a test ("ABX" or "opinion"; None: of both), and draw a new order."""
        with self._lock:
            if test in (None, ABX):
                self._answers: list[tuple[str, str]] = []
                self._draw_trial()
            if test in (None, OPINION):
                self._ratings: list[int] = []
                order = [(name, k) for name, some in self._clips.items() for k in range(len(some))]
                self._order = [order[i] for i in self._random.permutation(len(order))]
            self._show()

    @property
    def scores(self) -> dict:
        """What was answered: {"abx": {"pair", "trials", "right", "p_value"}, "opinion": [{"name", "clip", "rating"}]}."""
        with self._lock:
            right = sum(x == choice for x, choice in self._answers)
            done = len(self._answers)
            p_value = float(stats.binom.sf(right - 1, done, 0.5))
            rated = [
                {"name": name, "clip": k, "rating": rating}
                for (name, k), rating in zip(self._order, self._ratings, strict=False)
            ]
            abx = {"pair": self.pair, "trials": done, "right": right, "p_value": p_value}
            return {"abx": abx, "opinion": rated}

    def opinions(self) -> list[dict]:
        """One row for each name with ratings: {"name", "ratings", "mean", "low", "high"}, the best first."""
        by_name: dict[str, list[int]] = {}
        for row in self.scores["opinion"]:
            by_name.setdefault(row["name"], []).append(row["rating"])
        rows = [
            {
                "name": name,
                "ratings": len(some),
                **dict(zip(("mean", "low", "high"), mean_opinion(some), strict=True)),
            }
            for name, some in by_name.items()
        ]
        return sorted(rows, key=lambda row: -row["mean"])

    # --- inside ----------------------------------------------------------------------------------------

    def _draw_trial(self) -> None:
        if self.pair is None:
            return
        first, second = (self._clips[name] for name in self.pair)
        self._k = int(self._random.integers(min(len(first), len(second))))
        # Who is A changes, too, so that it says nothing.
        self._a, self._b = self._random.permutation(self.pair).tolist()
        self._x = ("A", "B")[int(self._random.integers(2))]

    def _text(self, k: int) -> str | None:
        return self._texts[k] if k < len(self._texts) else None

    def _buttons(self, choices: Mapping[str, str], press) -> widgets.HBox:
        """Buttons of one trial: a second click of a double click must not answer the next one."""
        done, made = [], []
        for value, label in choices.items():
            button = widgets.Button(description=label, layout={"width": "112px"})

            def answer(_: object, value: str = value) -> None:
                with self._lock:
                    if not done:
                        done.append(value)
                        press(value)

            button.on_click(answer)
            made.append(button)
        return widgets.HBox(made, layout={"flex_flow": "row wrap"})

    def _show(self, _: object = None) -> None:
        with self._lock:
            (self._show_abx if self.way.value == ABX else self._show_opinion)()

    def _show_abx(self) -> None:
        done = len(self._answers)
        if done == self.trials:
            replace(self._place, widgets.HTML(_worth()))
            self._note.value = saying(
                f"{' or '.join(self.pair)}: {verdict(self.scores['abx']['right'], done)}"
            )
            return
        clips = {"A": self._clips[self._a][self._k], "B": self._clips[self._b][self._k]}
        player = ABPlayer({**clips, "X": clips[self._x]}, self._text(self._k), pictures=False)
        replace(self._place, player, self._buttons({"A": "X is A", "B": "X is B"}, self.answer))
        self._note.value = saying(
            f"Trial {done + 1} of {self.trials}. A and B are “{self.pair[0]}” and “{self.pair[1]}”, in either order. "
            "X is one of the two: which?"
        )

    def _show_opinion(self) -> None:
        done = len(self._ratings)
        if done == len(self._order):
            replace(self._place, widgets.HTML(self.table()))
            self._note.value = saying("All clips are rated.")
            return
        name, k = self._order[done]
        player = ABPlayer({f"clip {done + 1}": self._clips[name][k]}, self._text(k), pictures=False)
        choices = {str(rating): f"{rating} {word}" for rating, word in RATINGS.items()}
        replace(self._place, player, self._buttons(choices, lambda value: self.rate(int(value))))
        self._note.value = saying(f"Clip {done + 1} of {len(self._order)}. How does it sound?")

    def table(self) -> str:
        """The opinions as an HTML table, with what they are worth."""
        cell = 'style="text-align:right;padding:2px 12px"'
        rows = "".join(
            f'<tr><th scope="row" style="text-align:left;padding:2px 12px">{html.escape(row["name"])}</th>'
            f"<td {cell}>{row['ratings']}</td><td {cell}>{row['mean']:.2f}</td><td {cell}>{_interval(row)}</td></tr>"
            for row in self.opinions()
        )
        head = "".join(
            f'<th scope="col" {cell}>{title}</th>' for title in ("ratings", "mean", "95 % interval")
        )
        return (
            '<table style="border-collapse:collapse"><thead><tr><th scope="col" style="text-align:left;'
            f'padding:2px 12px">clips</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
            f"{_worth()}"
        )

    def fallback_html(self) -> str:
        """The clips as plain players, with names: without a kernel nothing is blind."""
        several = max(map(len, self._clips.values())) > 1
        clips = {
            f"{name}{f', {k + 1}' if several else ''}{f' “{text}”' if (text := self._text(k)) else ''}": clip
            for name, some in self._clips.items()
            for k, clip in enumerate(some)
        }
        said = self.table() if self.scores["opinion"] else ""
        first = {name: some[0] for name, some in self._clips.items()}
        alt = f"Log-mel spectrograms of the first clip of {', '.join(first)}"
        return (
            "<p><em>Open this notebook in JupyterLab for the blind test. These are its clips, at one level:</em></p>"
            f"{audio.compare(clips).data}{plotting.spectrograms(first, alt)._repr_html_()}{said}"
        )

    def __repr__(self) -> str:
        return (
            f"ListeningTest({', '.join(f'{name}: {len(some)}' for name, some in self._clips.items())} clips)"
        )


def _interval(row: dict) -> str:
    if math.isnan(row["low"]):
        return "unknown: one rating" if row["ratings"] == 1 else "unknown: all alike"
    return f"{row['low']:.2f} to {row['high']:.2f}"


def _worth() -> str:
    return f'<div style="font-size:12px;line-height:1.4;max-width:560px">{html.escape(PROXIES)}</div>'


def _one_level(lists: Mapping[str, Sequence[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """All clips as loud as the softest, at a level that is written alike for all (X must not be known by its label)."""
    checked = {
        name: [audio.check(clip, f"{name}, clip {k}", 1 / audio.SAMPLE_RATE) for k, clip in enumerate(some)]
        for name, some in lists.items()
    }
    levels = {
        (name, k): audio.level_db(clip) for name, some in checked.items() for k, clip in enumerate(some)
    }
    (name, k), softest = min(levels.items(), key=lambda item: item[1])
    if math.isinf(softest):
        raise audio.AudioError(f"{name}, clip {k} is silent: there is nothing to judge")
    target = math.floor(10 * softest) / 10
    return {
        name: [clip * np.float32(10 ** ((target - levels[name, k]) / 20)) for k, clip in enumerate(some)]
        for name, some in checked.items()
    }
