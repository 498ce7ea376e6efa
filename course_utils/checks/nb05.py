"""Exercises and quiz of notebook 05."""

import numpy as np
import torch

from course_utils.checks.core import Exercise, Mistake, Question, Quiz
from course_utils.models.tts import Synthesiser, SynthesiserConfig

# --- the speaker encoder: references ---------------------------------------------------------------------


def _equal_error(same, different):
    thresholds = np.sort(np.concatenate([same, different]))
    misses = np.array([np.mean(same < t) for t in thresholds])
    passes = np.array([np.mean(different >= t) for t in thresholds])
    best = np.argmin(np.round(np.abs(misses - passes), 9))  # the first of equal ones
    return (misses[best] + passes[best]) / 2


def _at_snr(speech, noise, snr_db):
    power = speech.square().mean(1) / noise.square().mean(1)
    gain = (power * 10 ** (-snr_db / 10)).sqrt()
    return speech + gain[:, None] * noise


def _attend(x, score):
    weight = score.softmax(2)
    mean = (weight * x).sum(2, keepdim=True)
    deviation = (weight * (x - mean) ** 2).sum(2).sqrt()
    return torch.cat([mean[..., 0], deviation], 1)


# --- the speaker encoder: typical mistakes ----------------------------------------------------------------


def _rate_with_sides_exchanged(same, different):
    return (
        _equal_error(-different, -same) if len(different) == len(same) else 1 - _equal_error(same, different)
    )


def _rate_of_misses_alone(same, different):
    thresholds = np.sort(np.concatenate([same, different]))
    return min(np.mean(same < t) for t in thresholds)


def _rate_of_the_sum(same, different):
    return 2 * _equal_error(same, different)


def _rate_of_least_error(same, different):
    thresholds = np.sort(np.concatenate([same, different]))
    return min((np.mean(same < t) + np.mean(different >= t)) / 2 for t in thresholds)


def _snr_of_the_whole_batch(speech, noise, snr_db):
    power = speech.square().mean() / noise.square().mean()
    return speech + (power * 10 ** (-snr_db / 10)).sqrt()[:, None] * noise


def _snr_without_root(speech, noise, snr_db):
    power = speech.square().mean(1) / noise.square().mean(1)
    return speech + (power * 10 ** (-snr_db / 10))[:, None] * noise


def _snr_with_the_wrong_sign(speech, noise, snr_db):
    return _at_snr(speech, noise, -snr_db)


def _snr_of_unmeasured_noise(speech, noise, snr_db):
    return speech + 10 ** (-snr_db / 20)[:, None] * noise


def _attend_over_features(x, score):
    weight = score.softmax(1)
    mean = (weight * x).sum(2, keepdim=True)
    return torch.cat([mean[..., 0], (weight * (x - mean) ** 2).sum(2).sqrt()], 1)


def _attend_with_variance(x, score):
    weight = score.softmax(2)
    mean = (weight * x).sum(2, keepdim=True)
    return torch.cat([mean[..., 0], (weight * (x - mean) ** 2).sum(2)], 1)


def _attend_without_softmax(x, score):
    mean = (score * x).sum(2, keepdim=True)
    return torch.cat([mean[..., 0], (score * (x - mean) ** 2).sum(2).abs().sqrt()], 1)


def _attend_with_even_deviation(x, score):
    weight = score.softmax(2)
    return torch.cat([(weight * x).sum(2), x.std(2, unbiased=False)], 1)


# --- the speaker encoder: inputs ---------------------------------------------------------------------------


def _scores():
    chance = np.random.default_rng(50)
    return [
        (chance.normal(0.6, 0.2, n), chance.normal(0.3, spread, m))
        for n, m, spread in ((5, 5, 0.2), (40, 90, 0.3))
    ]


def _noisy():
    chance = torch.Generator().manual_seed(51)
    draw = lambda b: torch.randn(b, 200, generator=chance) * torch.tensor([0.1, 1.0, 5.0])[:b, None]  # noqa: E731
    return [(draw(b), draw(b).flip(0), torch.tensor([20.0, 3.0, -5.0])[:b]) for b in (1, 3)]


def _attended():
    chance = torch.Generator().manual_seed(52)
    return [tuple(torch.randn(b, 4, n, generator=chance) for _ in range(2)) for b, n in ((1, 3), (2, 7))]


# --- the speaker encoder: exercises ------------------------------------------------------------------------

equal_error = Exercise(
    "equal_error",
    _equal_error,
    _scores,
    "Misses are the share of `same` below the threshold, false acceptances the share of `different` at or above it.",
    (
        Mistake(
            _rate_of_misses_alone,
            "The least rate of misses is 0: accept everything. Compare it with the other rate.",
        ),
        Mistake(_rate_of_the_sum, "You returned the sum of both rates: it is their mean."),
        Mistake(
            _rate_of_least_error,
            "This is the least mean of both; look for the threshold where they are nearest to each other.",
        ),
        Mistake(
            _rate_with_sides_exchanged,
            "A score at or above the threshold passes: high scores are of one speaker.",
        ),
    ),
)
at_snr = Exercise(
    "at_snr",
    _at_snr,
    _noisy,
    "Power is the mean square over time of a row; the gain of the noise is the root of what its power has to become.",
    (
        Mistake(
            _snr_of_the_whole_batch,
            "Measure the power of each row, `mean(1)`: a loud row must not decide for a soft one.",
        ),
        Mistake(_snr_without_root, "This factor is one of power; samples are multiplied by its square root."),
        Mistake(_snr_with_the_wrong_sign, "A higher SNR means less noise: the exponent is negative."),
        Mistake(
            _snr_of_unmeasured_noise,
            "That is right only where speech and noise have the same power: measure both.",
        ),
    ),
)
attend = Exercise(
    "attend",
    _attend,
    _attended,
    "The softmax runs over time, the last axis; the deviation is weighted as the mean is.",
    (
        Mistake(
            _attend_over_features,
            "Your weights add up to 1 over the features; they have to over time, axis 2.",
        ),
        Mistake(_attend_with_variance, "This is the variance; the deviation is its square root."),
        Mistake(
            _attend_without_softmax, "Scores are no weights yet: a softmax makes them positive with sum 1."
        ),
        Mistake(_attend_with_even_deviation, "The deviation is weighted, too, and about the weighted mean."),
    ),
)


# --- cloning: references -----------------------------------------------------------------------------------


def _gap_recovered(clone, nearest, same):
    return (np.mean(clone) - np.mean(nearest)) / (np.mean(same) - np.mean(nearest))


def _nearest_voice(target, known):
    means = known.mean(1)
    return int(np.argmax(means @ target / np.linalg.norm(means, axis=1)))


def _moved(before, after):
    apart = 1 - before @ before.T
    others = apart[~np.eye(len(before), dtype=bool)].mean()
    return (1 - (before * after).sum(1)).mean() / others


def _norm_shifts(model):
    return [
        name
        for name, _ in model.named_parameters()
        if name.startswith(("frames.", "flow.")) and name.endswith("film.bias")
    ]


def _low_rank(x, linear, down, up, scale):
    return linear(x) + scale * (x @ down.T) @ up.T


def _voice_of(embeddings, seconds):
    voice = seconds @ embeddings
    return voice / np.linalg.norm(voice)


def _share_interval(clone, nearest, same, draws):
    clone, nearest, same = (values[draws].mean(1) for values in (clone, nearest, same))
    low, high = np.quantile((clone - nearest) / (same - nearest), [0.025, 0.975])
    return low, high


# --- cloning: typical mistakes -----------------------------------------------------------------------------


def _gap_as_mean_of_ratios(clone, nearest, same):
    return np.mean((clone - nearest) / (same - nearest))


def _gap_of_the_ceiling(clone, nearest, same):
    return np.mean(clone) / np.mean(same)


def _gap_to_one(clone, nearest, same):
    return (np.mean(clone) - np.mean(nearest)) / (1 - np.mean(nearest))


def _gap_that_is_left(clone, nearest, same):
    return (np.mean(same) - np.mean(clone)) / (np.mean(same) - np.mean(nearest))


def _nearest_by_one_clip(target, known):
    return int(np.argmax((known @ target).max(1)))


def _nearest_without_length(target, known):
    return int(np.argmax(known.mean(1) @ target))


def _farthest(target, known):
    means = known.mean(1)
    return int(np.argmin(means @ target / np.linalg.norm(means, axis=1)))


def _moved_with_itself(before, after):
    return (1 - (before * after).sum(1)).mean() / (1 - before @ before.T).mean()


def _moved_not_scaled(before, after):
    return (1 - (before * after).sum(1)).mean()


def _moved_by_cosines(before, after):
    cosine = before @ before.T
    return (before * after).sum(1).mean() / cosine[~np.eye(len(before), dtype=bool)].mean()


def _moved_across(before, after):
    return (1 - before @ after.T).mean() / (1 - before @ before.T)[~np.eye(len(before), dtype=bool)].mean()


def _shifts_everywhere(model):
    return [name for name, _ in model.named_parameters() if name.endswith("film.bias")]


def _shifts_and_scales_of_the_voice(model):
    return [
        name
        for name, _ in model.named_parameters()
        if name.startswith(("frames.", "flow.")) and ".film." in name
    ]


def _shifts_of_every_bias(model):
    return [
        name
        for name, _ in model.named_parameters()
        if name.startswith(("frames.", "flow.")) and name.endswith("bias")
    ]


def _low_rank_alone(x, linear, down, up, scale):
    return scale * (x @ down.T) @ up.T


def _low_rank_unscaled(x, linear, down, up, scale):
    return linear(x) + (x @ down.T) @ up.T


def _low_rank_on_the_output(x, linear, down, up, scale):
    return linear(x) * (1 + scale) + (x @ down.T) @ up.T


def _low_rank_without_bias(x, linear, down, up, scale):
    return x @ (linear.weight + scale * up @ down).T


def _voice_unweighted(embeddings, seconds):
    voice = embeddings.mean(0)
    return voice / np.linalg.norm(voice)


def _voice_not_of_length_one(embeddings, seconds):
    return seconds @ embeddings / seconds.sum()


def _voice_of_the_longest(embeddings, seconds):
    return embeddings[int(np.argmax(seconds))]


def _interval_of_ratios(clone, nearest, same, draws):
    shares = ((clone - nearest) / (same - nearest))[draws].mean(1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return low, high


def _interval_of_all(clone, nearest, same, draws):
    share = _gap_recovered(clone, nearest, same)
    return share, share


def _interval_of_fixed_ends(clone, nearest, same, draws):
    copied = clone[draws].mean(1)
    low, high = np.quantile((copied - nearest.mean()) / (same.mean() - nearest.mean()), [0.025, 0.975])
    return low, high


def _interval_of_ninety(clone, nearest, same, draws):
    clone, nearest, same = (values[draws].mean(1) for values in (clone, nearest, same))
    low, high = np.quantile((clone - nearest) / (same - nearest), [0.05, 0.95])
    return low, high


# --- cloning: inputs ---------------------------------------------------------------------------------------


def _gaps():
    chance = np.random.default_rng(60)
    return [
        (chance.normal(middle, 0.05, n), chance.normal(0.75, 0.03, n), chance.normal(0.9, 0.02, n))
        for n, middle in ((3, 0.82), (20, 0.7))
    ]


def _length_one(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def _known_voices():
    chance, found = np.random.default_rng(61), []
    # The first voice varies from clip to clip: its mean is short, and one clip of it is near. The second is steady.
    target = np.array([1.0, 0.0, 0.0, 0.0])
    varied = [[1.0, 0.05, 0, 0], [0.1, 1.0, 0, 0], [0.6, -0.8, 0, 0]]
    steady = [[0.7, 0.7, 0, 0], [0.7, 0.7, 0, 0.01], [0.7, 0.71, 0, 0]]
    opposite = [[-1.0, 0.1, 0.2, 0]] * 3
    found.append((target, _length_one(np.array([steady, varied, opposite], dtype=float))))
    scattered = [[0.9, 0.9, 0, 0], [0.5, -0.6, 0.6, 0.1], [0.5, 0, -0.9, 0.1]]
    close = [[0.8, 0.5, 0, 0]] * 3
    found.append((target, _length_one(np.array([close, scattered, opposite], dtype=float))))
    for n in (4, 9):
        found.append((_length_one(chance.normal(size=5)), _length_one(chance.normal(0.4, 1, size=(n, 3, 5)))))
    return found


def _changes():
    chance = np.random.default_rng(62)
    found = []
    for n in (3, 8):
        before = _length_one(chance.normal(0.5, 1, (n, 6)))
        found.append((before, _length_one(before + 0.2 * chance.normal(size=before.shape))))
    return found


def _synthesisers():
    small = {
        "dim": 8, "encoder_blocks": 1, "predictor_blocks": 1, "frame_blocks": 1, "flow_dim": 8, "kernel": 3, "cond": 4,
        "voice": 4, "voice_dim": 8, "voice_blocks": 1,
    }  # fmt: skip
    return [(Synthesiser(SynthesiserConfig(**small, flow_blocks=n)),) for n in (1, 2)]


def _layers():
    chance = torch.Generator().manual_seed(63)
    draw = lambda *shape: torch.randn(*shape, generator=chance)  # noqa: E731
    found = []
    for shape, n, m, rank, scale in (((4,), 6, 5, 2, 2.0), ((2, 3), 5, 7, 1, 0.5)):
        linear = torch.nn.Linear(n, m)
        with torch.no_grad():
            linear.weight.copy_(draw(m, n)), linear.bias.copy_(draw(m))
        found.append((draw(*shape, n), linear.requires_grad_(False), draw(rank, n), draw(m, rank), scale))
    return found


def _references():
    chance = np.random.default_rng(64)
    return [(_length_one(chance.normal(size=(n, 5))), chance.uniform(1, 12, n)) for n in (2, 3, 6)]


def _draws():
    return [
        (*values, np.random.default_rng(65).integers(0, len(values[0]), (200, len(values[0]))))
        for values in _gaps()[1:]
    ]


# --- cloning: exercises ------------------------------------------------------------------------------------

gap_recovered = Exercise(
    "gap_recovered",
    _gap_recovered,
    _gaps,
    "Take the mean of each of the three; then (clone - nearest) / (same - nearest).",
    (
        Mistake(
            _gap_as_mean_of_ratios,
            "This is the mean of the ratios of single clips; one tiny gap decides it. Take the means first.",
        ),
        Mistake(_gap_of_the_ceiling, "This forgets what was there before: take `nearest` away from both."),
        Mistake(_gap_to_one, "No recording reaches a cosine of 1: the end of the gap is `same`."),
        Mistake(_gap_that_is_left, "This is the share that is still missing: the way begins at `nearest`."),
    ),
)
nearest_voice = Exercise(
    "nearest_voice",
    _nearest_voice,
    _known_voices,
    "The mean over the clips (axis 1) of each voice; its cosine to the target is the product divided by its length.",
    (
        Mistake(
            _nearest_by_one_clip, "One lucky clip decides here: take the mean of the clips of a voice first."
        ),
        Mistake(
            _nearest_without_length,
            "A mean of vectors of length 1 is shorter than 1, the more they differ: divide by its length.",
        ),
        Mistake(_farthest, "This is the voice that is least like the target: argmax."),
    ),
)
moved = Exercise(
    "moved",
    _moved,
    _changes,
    "Above: 1 - cosine of row i before and row i after. Below: 1 - cosine of different rows before, without the diagonal.",
    (
        Mistake(
            _moved_with_itself, "A clip is not another person: leave out the diagonal of the matrix below."
        ),
        Mistake(_moved_not_scaled, "Divide by the mean distance of two different people."),
        Mistake(_moved_by_cosines, "These are cosines, which are large where nothing moved: use 1 - cosine."),
        Mistake(
            _moved_across, "Above, compare each clip only with itself after the change: row i with row i."
        ),
    ),
)
norm_shifts = Exercise(
    "norm_shifts",
    _norm_shifts,
    _synthesisers,
    'Of each name: name.startswith(("frames.", "flow.")) and name.endswith("film.bias").',
    (
        Mistake(_shifts_everywhere, "Only of the decoder: the names that begin with `frames.` or `flow.`."),
        Mistake(
            _shifts_and_scales_of_the_voice,
            "The weights of `film` are many: they read the voice. Only the biases are wanted.",
        ),
        Mistake(_shifts_of_every_bias, "Other layers have a bias, too: the name must end with `film.bias`."),
    ),
)
low_rank = Exercise(
    "low_rank",
    _low_rank,
    _layers,
    "The layer itself, linear(x), plus scale * (x @ down.T) @ up.T.",
    (
        Mistake(_low_rank_alone, "The layer itself is missing: the update is added to linear(x)."),
        Mistake(_low_rank_unscaled, "The constant is missing: the update counts `scale` times."),
        Mistake(_low_rank_on_the_output, "`scale` belongs to the update, and not to what the layer says."),
        Mistake(_low_rank_without_bias, "The bias of the layer is lost here: call the layer, linear(x)."),
    ),
    tolerance=1e-3,
)
voice_of = Exercise(
    "voice_of",
    _voice_of,
    _references,
    "The sum of the vectors, each times its seconds, divided by the length of that sum.",
    (
        Mistake(_voice_unweighted, "Ten seconds tell more than two: weigh each vector with its seconds."),
        Mistake(_voice_not_of_length_one, "A mean of vectors is shorter than 1: divide by its length."),
        Mistake(_voice_of_the_longest, "The other clips tell something, too: take the weighted mean."),
    ),
)
share_interval = Exercise(
    "share_interval",
    _share_interval,
    _draws,
    "values[draws] has the shape (times, clips): means over axis 1, then the share for each row, then np.quantile.",
    (
        Mistake(
            _interval_of_ratios,
            "A ratio for each clip explodes where its gap is tiny: draw, take means, then divide.",
        ),
        Mistake(_interval_of_all, "Nothing was drawn: this is the share itself, twice."),
        Mistake(
            _interval_of_fixed_ends,
            "All three are uncertain: draw the same clips of `nearest` and `same`, too.",
        ),
        Mistake(_interval_of_ninety, "95 of 100 lie between the points at 2.5 % and 97.5 %."),
    ),
)

EXERCISES = {
    one.name: one
    for one in (
        equal_error, at_snr, attend, gap_recovered, nearest_voice, moved, norm_shifts, low_rank, voice_of, share_interval,
    )
}  # fmt: skip

quiz = Quiz(
    Question(
        "A speaker encoder from the web gives 512 numbers, and SpeechT5 wants 512. What do you get if you plug it in?",
        {
            "A good copy, since the shapes agree": "Shapes agree by chance; what the numbers mean does not.",
            "Some voice, and not the one in the reference": "The synthesiser reads the numbers as those of the encoder "
            "that it was trained with.",
            "An error": "Nothing checks what the numbers mean, so no error comes.",
        },
        "Some voice, and not the one in the reference",
    ),
    Question(
        "A copy has the cosine 0.84 to its target. What do you need to know before you call it good?",
        {
            "How large the model is": "Size says what it costs, and nothing about this voice.",
            "What another recording and the nearest training voice reach": "Between these two lies the gap that a copy "
            "can recover; 0.84 may be the whole of it or less than nothing.",
            "The error rate of its words": "Good to know, and another question: clear words in a wrong voice are no copy.",
        },
        "What another recording and the nearest training voice reach",
    ),
    Question(
        "Every speaker in your collection has one recording. The encoder separates them without error. Why be careful?",
        {
            "It may know the recordings apart by room and microphone": "Two segments of one recording share more than "
            "a voice; degrade each on its own, and test so.",
            "Its vectors are too long": "The number of dimensions does not make a test wrong.",
            "A cosine can not be trusted": "It can, for what it is: likeness of two vectors.",
        },
        "It may know the recordings apart by room and microphone",
    ),
    Question(
        "In LoRA the matrix `up` begins at zero. Why not `down` as well?",
        {
            "Then nothing would ever learn": "The gradient of each is multiplied by the other: both would stay at zero.",
            "Then the model would change at once": "With either at zero the product is zero, and nothing changes at first.",
            "It saves memory": "A zero takes as much memory as any other number.",
        },
        "Then nothing would ever learn",
    ),
    Question(
        "Everything may learn from 20 seconds of one voice. What is the price?",
        {
            "None, if the loss falls": "The loss looks at the new voice alone; nobody watches the others.",
            "The other voices change, and each person needs a whole model": "What all voices share moves towards one "
            "of them; and millions of numbers are stored for everybody.",
            "It can not say new words any more": "It can; the text encoder had learnt from hours of speech.",
        },
        "The other voices change, and each person needs a whole model",
    ),
)
