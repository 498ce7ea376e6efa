"""Exercises and quiz of notebook 02."""

import os
import warnings
from collections.abc import Callable
from functools import wraps

import numpy as np
import torch
from torch import nn

from course_utils import checkpoints
from course_utils.checks.core import CORRECT, NOT_ATTEMPTED, WRONG, Exercise, Mistake, Question, Quiz, Result
from course_utils.data import chorales
from course_utils.models.music import to_grid
from course_utils.models.music_writing import Writer, choose
from course_utils.recipes import music as recipe


def _tensor_or_array(answer: Callable) -> Callable:
    """The answer, given tensors; where it stumbles over them, given arrays, for it may be written in numpy."""

    @wraps(answer)
    def tried(*arguments):
        try:
            with warnings.catch_warnings():  # numpy's functions take tensors, with a grumble
                warnings.simplefilter("ignore", DeprecationWarning)
                return answer(*arguments)
        except NotImplementedError:
            raise
        except Exception as of_tensors:
            arrays = [a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments]
            try:
                return answer(*arrays)
            except Exception:  # both fail: the first is what the learner expects to read about
                raise of_tensors from None

    return tried


class EitherKind(Exercise):
    """An exercise whose answer may be written in torch or in numpy."""

    def judge(self, answer: Callable) -> Result:
        """As `Exercise.judge`, with tensors first and arrays where those fail."""
        return super().judge(_tensor_or_array(answer))

    def __call__(self, answer: Callable) -> Result:
        """As `Exercise`, with tensors first and arrays where those fail."""
        return super().__call__(_tensor_or_array(answer))


class LeavesItsInput(Exercise):
    """An exercise whose answer must not change what it is given: the notebook goes on with it."""

    def _changed(self, answer: Callable) -> Result | None:
        """What to say of an answer that is right and changes its input; None of all others."""
        if not super().judge(answer):
            return None
        for arguments in self.inputs():
            before = arguments[0].copy()
            answer(*arguments)
            if not np.array_equal(before, arguments[0]):
                told = "the numbers are right, but what the function was given has changed too"
                return Result(
                    WRONG, f"{self.name}: not yet, {told}. Work on a copy: `.copy()` or `np.where`."
                )
        return None

    def judge(self, answer: Callable) -> Result:
        """As `Exercise.judge`; an answer that changes its input is wrong."""
        changed = self._changed(answer)
        return super().judge(answer) if changed is None else changed

    def __call__(self, answer: Callable) -> Result:
        """As `Exercise`; an answer that changes its input hears so at once."""
        result = self._changed(answer)
        if result is None:
            return super().__call__(answer)
        print(f"✘ {result.message}")
        if os.environ.get("COURSE_STRICT") == "1":
            raise AssertionError(result.message)
        return result


def _generator(seed):
    return np.random.default_rng(seed)


def _grid(seed, steps=24):
    """Four random voices with rests, each note held for one to four steps."""
    rng = _generator(seed)
    columns = []
    for low in (60, 55, 50, 40):
        column = []
        while len(column) < steps:
            note = 0 if rng.random() < 0.15 else int(rng.integers(low, low + 12))
            column += [note] * int(rng.integers(1, 5))
        columns.append(column[:steps])
    return np.array(columns).T


# --- references ------------------------------------------------------------------------------------------


def _nats(probabilities):
    return -np.mean(np.log(probabilities))


def _transpose(grid, semitones):
    return np.where(grid > 0, grid + semitones, 0)


def _held(voice):
    result = []
    for step, note in enumerate(voice):
        result.append(result[-1] + 1 if step and note == voice[step - 1] else 1)
    return np.array(result)


def _skew(scores):
    steps = len(scores)
    padded = torch.cat([torch.zeros(steps, 1), scores], 1)
    return padded.reshape(steps + 1, steps)[1:].tril()


def _nucleus(probabilities, top_p):
    values, order = torch.as_tensor(probabilities).sort(descending=True)
    before = values.cumsum(0) - values
    kept = torch.zeros_like(values)
    kept[order[before < top_p]] = values[before < top_p]
    return kept / kept.sum()


def _attend(q, k, v):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-1) @ v


def _no_crossing(logits, upper):
    note = torch.arange(logits.shape[1])
    higher = (note > upper[:, None]) & (upper[:, None] > 0)
    return logits.masked_fill(higher, float("-inf"))


def _parallel_fifths(upper, lower):
    count = 0
    for t in range(1, len(upper)):
        up, low = upper[t] - upper[t - 1], lower[t] - lower[t - 1]
        fifths = (upper[t] - lower[t]) % 12 == 7 and (upper[t - 1] - lower[t - 1]) % 12 == 7
        count += bool(fifths and up * low > 0)
    return count


# --- typical mistakes --------------------------------------------------------------------------------------


def _held_from_zero(voice):
    return _held(voice) - 1


def _held_capped(voice):
    return np.minimum(_held(voice), 16)


def _held_counting_all(voice):
    return np.array([int(np.sum(voice[: t + 1] == note)) for t, note in enumerate(voice)])


def _skew_not_dropped(scores):
    steps = len(scores)
    padded = torch.cat([torch.zeros(steps, 1), scores], 1)
    return padded.reshape(steps + 1, steps)[:-1].tril()


def _skew_padded_right(scores):
    steps = len(scores)
    padded = torch.cat([scores, torch.zeros(steps, 1)], 1)
    return padded.reshape(steps + 1, steps)[1:].tril()


def _skew_not_masked(scores):
    steps = len(scores)
    padded = torch.cat([torch.zeros(steps, 1), scores], 1)
    return padded.reshape(steps + 1, steps)[1:]


def _skew_rolled(scores):
    return torch.stack([row.roll(i + 1 - len(scores)) for i, row in enumerate(scores)])


def _nucleus_too_small(probabilities, top_p):
    values, order = torch.as_tensor(probabilities).sort(descending=True)
    kept = torch.zeros_like(values)
    inside = values.cumsum(0) <= top_p
    kept[order[inside]] = values[inside]
    return kept / kept.sum()


def _nucleus_too_small_and_guarded(probabilities, top_p):
    return torch.nan_to_num(_nucleus_too_small(probabilities, top_p))


def _nucleus_not_rescaled(probabilities, top_p):
    return torch.where(_nucleus(probabilities, top_p) > 0, probabilities, 0)


def _nucleus_left_sorted(probabilities, top_p):
    return _nucleus(torch.as_tensor(probabilities).sort(descending=True).values, top_p)


def _nucleus_by_threshold(probabilities, top_p):
    kept = torch.where(probabilities >= 1 - top_p, probabilities, 0)
    return kept / kept.sum().clamp(min=1e-9)


def _attend_without_mask(q, k, v):
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v


def _attend_unscaled(q, k, v):
    return _attend(q * q.shape[-1] ** 0.5, k, v)


def _attend_scaled_by_the_steps(q, k, v):
    return _attend(q * (q.shape[-1] / q.shape[-2]) ** 0.5, k, v)


def _attend_scaled_by_the_width(q, k, v):
    return _attend(q / q.shape[1] ** 0.5, k, v)


def _attend_scaled_without_root(q, k, v):
    return _attend(q / q.shape[-1] ** 0.5, k, v)


def _attend_blind_to_itself(q, k, v):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(0)
    return scores.masked_fill(future, float("-inf")).softmax(-1) @ v


def _attend_masked_late(q, k, v):
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1).tril() @ v


def _attend_over_queries(q, k, v):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, float("-inf")).softmax(-2) @ v


def _crossing_by_zero(logits, upper):
    return torch.where(torch.isinf(_no_crossing(logits, upper)), 0.0, logits)


def _crossing_strict(logits, upper):
    note = torch.arange(logits.shape[1])
    higher = (note >= upper[:, None]) & (upper[:, None] > 0)
    return logits.masked_fill(higher, float("-inf"))


def _crossing_below_a_rest(logits, upper):
    return logits.masked_fill(torch.arange(logits.shape[1]) > upper[:, None], float("-inf"))


def _crossing_of_the_lower(logits, upper):
    note = torch.arange(logits.shape[1])
    return logits.masked_fill((note < upper[:, None]) & (note > 0), float("-inf"))


def _crossing_backwards(logits, upper):
    return logits.masked_fill(torch.arange(logits.shape[1]) < upper[:, None], float("-inf"))


def _crossing_backwards_strict(logits, upper):
    return logits.masked_fill(torch.arange(logits.shape[1]) <= upper[:, None], float("-inf"))


def _fifths_without_octaves(upper, lower):
    interval = upper - lower
    moves = (np.diff(upper) * np.diff(lower)) > 0
    return int(np.sum((interval[1:] == 7) & (interval[:-1] == 7) & moves))


def _fifths_held(upper, lower):
    fifth = (upper - lower) % 12 == 7
    return int(np.sum(fifth[1:] & fifth[:-1]))


def _fifths_contrary(upper, lower):
    fifth = (upper - lower) % 12 == 7
    return int(np.sum(fifth[1:] & fifth[:-1] & (np.diff(upper) != 0) & (np.diff(lower) != 0)))


# --- inputs ------------------------------------------------------------------------------------------------


def _given():
    return [(np.array([0.9, 0.5, 0.02]),), *((_generator(seed).uniform(0.01, 1, 50),) for seed in range(3))]


def _grids():
    return [(_grid(seed), shift) for seed, shift in enumerate((3, -2, 0, 5))]


def _voices():
    long = np.repeat(
        [67, 65, 0, 65], [20, 3, 18, 2]
    )  # longer than the 16 steps at which the model stops counting
    return [(np.array([67, 67, 67, 72, 72, 67]),), (long,), *((_grid(seed, 40)[:, 0],) for seed in range(3))]


def _tables():
    return [(torch.randn(n, n, generator=torch.Generator().manual_seed(n)),) for n in (4, 1, 7)]


def _distributions():
    draws = [_generator(seed).dirichlet(np.full(12, 0.5)) for seed in range(4)]
    by_hand = torch.tensor([0.15, 0.5, 0.05, 0.3], dtype=torch.double)
    return [
        (by_hand, 0.9),
        (by_hand, 0.4),
        *((torch.from_numpy(p), top_p) for p, top_p in zip(draws, (0.3, 0.7, 0.95, 1.0), strict=True)),
    ]


def _heads():
    chance = torch.Generator().manual_seed(3)
    shapes = [(1, 1, 3, 2), (2, 4, 6, 5), (1, 2, 1, 4)]
    return [tuple(torch.randn(shape, generator=chance) for _ in range(3)) for shape in shapes]


def _candidates():
    chance = torch.Generator().manual_seed(4)
    upper = [torch.tensor([5]), torch.tensor([40, 0, 12])]
    return [(torch.randn(len(u), recipe.N_TOKENS, generator=chance), u) for u in upper]


def _pairs():
    moving = [
        (np.array([67, 69, 69, 71]), np.array([60, 62, 62, 64])),
        (np.array([79, 81, 67]), np.array([60, 62, 60])),
        # A fifth to a twelfth with the voices going apart, then a compound fifth in step.
        (np.array([67, 76, 78]), np.array([60, 57, 59])),
    ]
    chords = [_generator(seed).choice([55, 57, 60, 62, 64, 67], 60) for seed in range(2)]
    return [*moving, *((low + 7 + 12 * _generator(9).integers(0, 2, 60), low) for low in chords)]


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "nats",
            _nats,
            _given,
            "The mean of -ln(p) over the notes that came.",
            [
                Mistake(lambda p: -np.mean(np.log2(p)), "That is in bits; nats use the natural logarithm."),
                Mistake(lambda p: np.mean(np.log(p)), "A cost is positive: -ln(p)."),
                Mistake(
                    lambda p: -np.log(np.mean(p)),
                    "Take the logarithm of each probability first, then the mean: one surprise must cost much.",
                ),
                Mistake(lambda p: -np.sum(np.log(p)), "Per note: the mean, not the sum."),
            ],
            nudge="Work it out for 0.9, 0.5 and 0.02 first: 1.57.",
        ),
        LeavesItsInput(
            "transpose",
            _transpose,
            _grids,
            "Add the semitones to every pitch, and leave rests at 0.",
            [
                Mistake(lambda grid, k: grid + k, "A rest is 0 in every key: do not move it."),
                Mistake(lambda grid, k: np.where(grid > 0, grid - k, 0), "Up is plus."),
            ],
            nudge="What is a rest in the grid, and in which key is it something else?",
        ),
        Exercise(
            "held",
            _held,
            _voices,
            "Start at 1 with each new pitch, and add 1 for each step that repeats the one before.",
            [
                Mistake(_held_from_zero, "The first step of a note counts: it has been held for 1 step."),
                Mistake(
                    _held_capped, "Do not stop at 16: the model does that later, your function counts on."
                ),
                Mistake(_held_counting_all, "A note that comes back starts at 1 again."),
            ],
            nudge="At which steps does the count begin anew, with which number, and does yours ever stop?",
        ),
        Exercise(
            "skew",
            _skew,
            _tables,
            "Pad one column on the left, reshape to (T + 1, T), drop the first row, keep the lower triangle.",
            [
                Mistake(_skew_not_dropped, "Drop the first row, not the last: the padding stands in it."),
                Mistake(_skew_padded_right, "Pad on the left: rows have to move left by 3, 2, 1, 0."),
                Mistake(_skew_not_masked, "The numbers above the diagonal are leftovers: use .tril()."),
                Mistake(
                    _skew_rolled, "Below the diagonal all is right; above it has to stand 0: use .tril()."
                ),
            ],
            nudge="How far must row i move, and what has to stand above the diagonal? For the puzzle: what does one "
            "more column do to numbers that are read in rows of T?",
        ),
        EitherKind(
            "nucleus",
            _nucleus,
            _distributions,
            "Sort from likely to unlikely, keep tokens while those before them have less than top_p, rescale.",
            [
                Mistake(
                    _nucleus_too_small,
                    "Keep the token that crosses top_p too: what counts is the sum of those before it.",
                ),
                Mistake(
                    _nucleus_too_small_and_guarded,
                    "Keep the token that crosses top_p too: now one likely token can be cut off, and nothing is left.",
                ),
                Mistake(
                    _nucleus_left_sorted,
                    "These are the right numbers in sorted order: put each back where its token was.",
                ),
                Mistake(_nucleus_not_rescaled, "What is kept has to add up to one again."),
                Mistake(
                    _nucleus_by_threshold, "top_p is a limit for the running sum, not for one probability."
                ),
            ],
            nudge="Is the token that crosses top_p inside or outside?",
        ),
        Exercise(
            "attend",
            _attend,
            _heads,
            "Scores q @ k.transpose(-1, -2) over the root of d, -inf above the diagonal, softmax over keys, times v.",
            [
                Mistake(
                    _attend_without_mask,
                    "The future is still visible: put -inf above the diagonal, before the softmax.",
                ),
                Mistake(_attend_unscaled, "Divide the scores by the square root of d, the last axis of q."),
                Mistake(
                    _attend_scaled_by_the_steps,
                    "The root is of d, the numbers in a query (last axis), and not of the steps.",
                ),
                Mistake(
                    _attend_scaled_by_the_width,
                    "The root is of d = D / H, the numbers of one head (last axis), and not of the whole width D.",
                ),
                Mistake(_attend_scaled_without_root, "Divide by the square root of d, not by d."),
                Mistake(
                    _attend_blind_to_itself,
                    "A step may look at itself: the diagonal stays (triu(1), not triu(0)).",
                ),
                Mistake(
                    _attend_masked_late, "After the softmax it is too late: the rows no longer add up to one."
                ),
                Mistake(_attend_over_queries, "The softmax runs over the keys, the last axis."),
            ],
            nudge="Which entries of the scores (query, key) belong to the future, and what does the softmax make of -inf?",
        ),
        Exercise(
            "no_crossing",
            _no_crossing,
            _candidates,
            "Where the upper voice sounds (token above 0), set the logits of all tokens above it to -inf.",
            [
                Mistake(
                    _crossing_by_zero, "A logit of 0 is a score like others; only -inf gives probability 0."
                ),
                Mistake(
                    _crossing_strict,
                    "The same note as the voice above is no crossing: forbid only what is higher.",
                ),
                Mistake(
                    _crossing_below_a_rest, "Where the voice above rests (token 0) there is nothing to cross."
                ),
                Mistake(
                    _crossing_backwards, "Higher pitches have larger tokens: this forbids the lower ones."
                ),
                Mistake(
                    _crossing_backwards_strict,
                    "Higher pitches have larger tokens: this forbids the lower ones, and the same note too.",
                ),
                Mistake(
                    _crossing_of_the_lower, "Higher pitches have larger tokens: forbid those above `upper`."
                ),
            ],
            nudge="Which tokens are higher than the voice above, is the same note one of them, and which logit gives "
            "probability 0?",
        ),
        Exercise(
            "parallel_fifths",
            _parallel_fifths,
            _pairs,
            "Count steps where both intervals are 7 modulo 12 and both voices move in the same direction.",
            [
                Mistake(_fifths_without_octaves, "A fifth plus octaves is a fifth too: compare modulo 12."),
                Mistake(_fifths_held, "A fifth that is held or repeated is allowed: both voices must move."),
                Mistake(_fifths_contrary, "Voices that move against each other are not parallel."),
            ],
            nudge="A fifth that is held, a fifth an octave wider, voices that go apart: which of them count?",
        ),
    )
}

nats = EXERCISES["nats"]
transpose = EXERCISES["transpose"]
held = EXERCISES["held"]
skew = EXERCISES["skew"]
nucleus = EXERCISES["nucleus"]
attend = EXERCISES["attend"]
no_crossing = EXERCISES["no_crossing"]
parallel_fifths = EXERCISES["parallel_fifths"]


@torch.inference_mode()
def composed_under(
    rule: Callable | None, model: nn.Module, steps: int = 96, count: int = 8, seed: int = 5
) -> np.ndarray:
    """Pieces (count, steps, 4) that a Composer writes in bars of four beats while `rule` limits each lower voice.

    `rule` takes logits (count, tokens) and the tokens (count,) of the voice above, and gives logits; None: no limit.
    """
    generator, writer, rows = torch.Generator().manual_seed(seed), Writer(model.eval(), (16, 4), count), []
    for _ in range(steps):
        context, chord = writer.context(), []
        for v in range(4):
            logits = model.head.logits(v, context, writer.last, chord)
            logits = rule(logits, chord[-1]) if rule and chord else logits
            chord.append(choose(logits, 1.0, 1.0, generator))
        writer.write(torch.stack(chord, 1))
        rows.append(writer.last)
    return to_grid(torch.stack(rows, 1))


def _is_shipped(model: nn.Module) -> bool:
    shipped, own = checkpoints.load("music").state_dict(), model.state_dict()
    return own.keys() == shipped.keys() and all(
        own[name].shape == weight.shape and torch.allclose(own[name].float().cpu(), weight.float())
        for name, weight in shipped.items()
    )


def better(model: nn.Module | None, to_beat: float) -> Result:
    """Say whether a trained model gives the validation chorales fewer nats per note than `to_beat`."""
    if model is None or model is Ellipsis:
        result = Result(NOT_ATTEMPTED, "better: not attempted yet.")
    elif (
        isinstance(model, type)
        or not isinstance(model, nn.Module)
        or not callable(getattr(model, "nll", None))
    ):
        # By what it can do and not by its class: the Composer of the notebook is not the one of the package.
        kind = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        result = Result(
            WRONG, f"better: expected a trained Composer, got {kind}; return the model, not its history."
        )
    elif _is_shipped(model):
        result = Result(WRONG, "better: not yet, this is the shipped checkpoint; train one of your own.")
    else:
        pieces = chorales("valid")
        nats = recipe.mean_nats(pieces, recipe.evaluate(model, pieces, metre_given=True))
        word, hint = (
            (CORRECT, "")
            if nats < to_beat
            else (WRONG, " Which rung of the ladder paid nothing, or too late?")
        )
        result = Result(word, f"better: {word}, {nats:.3f} nats per note against {to_beat:.3f}.{hint}")
    print({CORRECT: "✔", NOT_ATTEMPTED: "…", WRONG: "✘"}[result.status], result.message)
    return result


quiz = Quiz(
    Question(
        "A program always predicts that each note stays as it is. Why is its accuracy of 77 % no praise?",
        {
            "Because chorales are easy to compose": "They are not: the 23 % that change are the composition.",
            "Because most grid notes repeat the step before": "Holding a note is most of the grid, so accuracy "
            "measures the grid's fineness; likelihood measures the decisions.",
            "Because accuracy can not be computed for four voices": "It can, note by note; it is only useless.",
        },
        "Because most grid notes repeat the step before",
    ),
    Question(
        "A model without a causal mask reports 0.3 nats a note on held-out pieces. What do you conclude?",
        {
            "It beats the published models": "It was shown the notes it should predict; the figure is not a likelihood.",
            "It overfits": "Overfitting would show on held-out pieces; this loss is low there as well.",
            "Nothing, before it is asked with the past alone": "Given only the past, as when it generates, the "
            "same weights were worse than copying.",
        },
        "Nothing, before it is asked with the past alone",
    ),
    Question(
        "What does the skewing trick save?",
        {
            "The T x T x d array of vectors for all pairs": "One product with the T x d table, then a new view of "
            "the same numbers.",
            "The T x T array of scores": "Those are still there: each pair of steps has its score.",
            "The causal mask": "It needs the mask more than before: above the diagonal stand leftovers.",
        },
        "The T x T x d array of vectors for all pairs",
    ),
    Question(
        "The head writes soprano, alto, tenor, bass in this order. How does the order change the likelihood figure?",
        {
            "The bass should come first, or the figure means nothing": "Any order gives the probability of the "
            "same chord; musicians may prefer another one.",
            "It stays comparable: the product over the voices is the probability of the chord": "That is the "
            "product rule; models in other orders are measured on the same quantity.",
            "It is only an upper bound": "A bound would need a sum that is left out; here nothing is left out.",
        },
        "It stays comparable: the product over the voices is the probability of the chord",
    ),
    Question(
        "You lower the temperature to 0.5 and rule breaks become fewer. What did you pay?",
        {
            "Nothing, lower is better": "At temperature 0 the piece gets stuck in what is likeliest: held chords.",
            "Time: sampling gets slower": "The logits are divided by a number; that costs the same at any value.",
            "Variety: the likely notes get likelier": "Fewer surprises of both kinds, the wrong ones and the good ones.",
        },
        "Variety: the likely notes get likelier",
    ),
)
