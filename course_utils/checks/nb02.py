"""Exercises and quiz of notebook 02."""

import numpy as np
import torch

from course_utils.checks.core import Exercise, Mistake, Question, Quiz


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
    order = np.argsort(-probabilities, kind="stable")
    before = np.cumsum(probabilities[order]) - probabilities[order]
    kept = np.zeros_like(probabilities)
    kept[order[before < top_p]] = probabilities[order[before < top_p]]
    return kept / kept.sum()


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


def _nucleus_too_small(probabilities, top_p):
    order = np.argsort(-probabilities, kind="stable")
    inside = np.cumsum(probabilities[order]) <= top_p
    kept = np.zeros_like(probabilities)
    kept[order[inside]] = probabilities[order[inside]]
    return kept / max(kept.sum(), 1e-9)


def _nucleus_not_rescaled(probabilities, top_p):
    return np.where(_nucleus(probabilities, top_p) > 0, probabilities, 0)


def _nucleus_by_threshold(probabilities, top_p):
    kept = np.where(probabilities >= 1 - top_p, probabilities, 0)
    return kept / max(kept.sum(), 1e-9)


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
    return [(np.array([67, 67, 67, 72, 72, 67]),), *((_grid(seed, 40)[:, 0],) for seed in range(3))]


def _tables():
    return [(torch.randn(n, n, generator=torch.Generator().manual_seed(n)),) for n in (4, 1, 7)]


def _distributions():
    draws = [_generator(seed).dirichlet(np.full(12, 0.5)) for seed in range(4)]
    return [
        (np.array([0.15, 0.5, 0.05, 0.3]), 0.9),
        (np.array([0.15, 0.5, 0.05, 0.3]), 0.4),
        *((p, top_p) for p, top_p in zip(draws, (0.3, 0.7, 0.95, 1.0), strict=True)),
    ]


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
        ),
        Exercise(
            "transpose",
            _transpose,
            _grids,
            "Add the semitones to every pitch, and leave rests at 0.",
            [
                Mistake(lambda grid, k: grid + k, "A rest is 0 in every key: do not move it."),
                Mistake(lambda grid, k: np.where(grid > 0, grid - k, 0), "Up is plus."),
            ],
        ),
        Exercise(
            "held",
            _held,
            _voices,
            "Start at 1 with each new pitch, and add 1 for each step that repeats the one before.",
            [
                Mistake(_held_from_zero, "The first step of a note counts: it has been held for 1 step."),
                Mistake(_held_counting_all, "A note that comes back starts at 1 again."),
            ],
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
            ],
        ),
        Exercise(
            "nucleus",
            _nucleus,
            _distributions,
            "Sort from likely to unlikely, keep tokens while those before them have less than top_p, rescale.",
            [
                Mistake(
                    _nucleus_too_small,
                    "Keep the token that crosses top_p too: what counts is the sum of those before it.",
                ),
                Mistake(_nucleus_not_rescaled, "What is kept has to add up to one again."),
                Mistake(
                    _nucleus_by_threshold, "top_p is a limit for the running sum, not for one probability."
                ),
            ],
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
        ),
    )
}

nats = EXERCISES["nats"]
transpose = EXERCISES["transpose"]
held = EXERCISES["held"]
skew = EXERCISES["skew"]
nucleus = EXERCISES["nucleus"]
parallel_fifths = EXERCISES["parallel_fifths"]

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
            "The L x L x D array of vectors for all pairs": "One product with the L x D table, then a new view of "
            "the same numbers.",
            "The L x L array of scores": "Those are still there: each pair of steps has its score.",
            "The causal mask": "It needs the mask more than before: above the diagonal stand leftovers.",
        },
        "The L x L x D array of vectors for all pairs",
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
