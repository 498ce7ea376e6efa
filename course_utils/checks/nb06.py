"""Exercises and quiz of notebook 06."""

import numpy as np
import torch

from course_utils.checks.core import Exercise, Mistake, Question, Quiz

# --- references ------------------------------------------------------------------------------------------


def _knn(query, key, values, k):
    query = query / np.linalg.norm(query, axis=1, keepdims=True)
    key = key / np.linalg.norm(key, axis=1, keepdims=True)
    best = np.argsort(-query @ key.T, axis=1)[:, :k]
    return values[best].mean(1)


def _convert_pitch(f0, source, target):
    found = np.zeros_like(f0)
    voiced = f0 > 0
    scaled = (np.log(f0[voiced]) - source[0]) / source[1]
    found[voiced] = np.exp(scaled * target[1] + target[0])
    return found


def _weights(query, key, sharpness):
    return torch.softmax(sharpness * query @ key.T, dim=-1)


def _comb(f0, centres):
    period = 1 / f0.clamp(min=40)[:, None]
    return torch.cos(2 * torch.pi * centres * period) * (f0 > 0)[:, None]


def _delay_ms(chunk, ahead, vocoder):
    return 32 + 32 * chunk + 16 * (ahead + vocoder)


def _gap(clone, nearest, same):
    return (np.mean(clone) - np.mean(nearest)) / (np.mean(same) - np.mean(nearest))


def _both(first, second):
    keys = torch.cat([first[0], second[0]], 2)
    frames = torch.cat([first[1], second[1]], 1)
    return keys, frames, (first[2] + second[2]) / 2


# --- typical mistakes --------------------------------------------------------------------------------------


def _knn_without_length(query, key, values, k):
    return values[np.argsort(-query @ key.T, axis=1)[:, :k]].mean(1)


def _knn_farthest(query, key, values, k):
    query = query / np.linalg.norm(query, axis=1, keepdims=True)
    key = key / np.linalg.norm(key, axis=1, keepdims=True)
    return values[np.argsort(query @ key.T, axis=1)[:, :k]].mean(1)


def _knn_one(query, key, values, k):
    return _knn(query, key, values, 1)


def _knn_of_keys(query, key, values, k):
    return _knn(query, key, key, k)


def _pitch_in_hertz(f0, source, target):
    return np.where(f0 > 0, (f0 - np.exp(source[0])) / source[1] * target[1] + np.exp(target[0]), 0)


def _pitch_mean_alone(f0, source, target):
    return f0 * np.exp(target[0] - source[0])


def _pitch_everywhere(f0, source, target):
    return np.exp((np.log(np.maximum(f0, 1.0)) - source[0]) / source[1] * target[1] + target[0])


def _weights_of_columns(query, key, sharpness):
    return torch.softmax(sharpness * query @ key.T, dim=0)


def _weights_blunt(query, key, sharpness):
    return torch.softmax(query @ key.T, dim=-1)


def _weights_by_division(query, key, sharpness):
    scores = sharpness * query @ key.T
    return scores / scores.sum(-1, keepdim=True)


def _comb_upside_down(f0, centres):
    return torch.cos(2 * torch.pi * f0[:, None] / centres) * (f0 > 0)[:, None]


def _comb_everywhere(f0, centres):
    return torch.cos(2 * torch.pi * centres / f0.clamp(min=40)[:, None])


def _comb_without_turn(f0, centres):
    return torch.cos(centres / f0.clamp(min=40)[:, None]) * (f0 > 0)[:, None]


# --- inputs ------------------------------------------------------------------------------------------------


def _frames_to_match():
    chance = np.random.default_rng(1)
    draw = chance.normal
    return [
        (draw(size=(n, 6)), draw(size=(m, 6)) * chance.uniform(0.2, 5, (m, 1)), draw(size=(m, 4)), k)
        for n, m, k in ((3, 9, 4), (5, 20, 4), (2, 7, 2))
    ]


def _tunes():
    chance = np.random.default_rng(2)
    return [
        (np.where(chance.random(n) < 0.3, 0, chance.uniform(80, 300, n)), (5.0, 0.2), (mean, dev))
        for n, mean, dev in ((12, 5.4, 0.3), (20, 4.6, 0.15))
    ]


def _directions():
    chance = torch.Generator().manual_seed(3)
    unit = lambda *shape: torch.nn.functional.normalize(torch.randn(*shape, generator=chance), dim=-1)  # noqa: E731
    return [(unit(n, 5), unit(m, 5), sharpness) for n, m, sharpness in ((4, 7, 10.0), (2, 3, 3.0))]


def _combs():
    centres = torch.linspace(80, 2000, 11)
    return [
        (torch.tensor([0.0, 100.0, 210.0]), centres),
        (torch.tensor([130.0, 0.0, 90.0, 333.0]), centres),
    ]


def _cosines():
    chance = np.random.default_rng(4)
    return [tuple(chance.uniform(low, low + 0.2, n) for low in (0.7, 0.6, 0.85)) for n in (6, 11)]


def _references():
    chance = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.randn(*shape, generator=chance)  # noqa: E731
    one = lambda m: (draw(1, 2, m, 3), draw(1, m, 8), draw(1, 1, 4))  # noqa: E731
    return [(one(4), one(6)), (one(5), one(5))]


# --- what the notebook uses --------------------------------------------------------------------------------

EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "knn",
            _knn,
            _frames_to_match,
            "Divide the rows of query and key by their length, take query @ key.T, argsort the negative, keep k, average values.",
            [
                Mistake(_knn_without_length, "That is the product, not the cosine: a long key wins everywhere. Divide rows by their length."),
                Mistake(_knn_farthest, "argsort goes from small to large: you took the k that are least alike."),
                Mistake(_knn_one, "That is the nearest one alone; average the k nearest."),
                Mistake(_knn_of_keys, "Match by the keys, but average the values: those are what you hear."),
            ],
        ),
        Exercise(
            "convert_pitch",
            _convert_pitch,
            _tunes,
            "Logarithm of the voiced frames, minus mean, divided by deviation; times the other deviation, plus its mean; exp. 0 stays 0.",
            [
                Mistake(_pitch_in_hertz, "Take the logarithm first: pitch is heard in ratios."),
                Mistake(_pitch_mean_alone, "That brings the means together; a lively voice also has a larger deviation."),
                Mistake(_pitch_everywhere, "A frame without pitch is 0 and stays 0."),
            ],
        ),
        Exercise(
            "weights",
            _weights,
            _directions,
            "torch.softmax(sharpness * query @ key.T, dim=-1).",
            [
                Mistake(_weights_of_columns, "Each row, a step of the source, must add up to 1: softmax over the last axis."),
                Mistake(_weights_blunt, "Cosines lie between -1 and 1: without the sharpness all steps count nearly the same."),
                Mistake(_weights_by_division, "Cosines can be negative, so division gives no shares: use the softmax."),
            ],
        ),
        Exercise(
            "comb",
            _comb,
            _combs,
            "torch.cos(2 * torch.pi * centres / f0[:, None]), and 0 in rows whose f0 is 0.",
            [
                Mistake(_comb_upside_down, "How many times does f0 fit into the band's frequency: centres / f0."),
                Mistake(_comb_everywhere, "A frame without pitch has no harmonics: its row is 0."),
                Mistake(_comb_without_turn, "From one harmonic to the next the cosine makes a whole turn, 2 pi."),
            ],
        ),
        Exercise(
            "delay_ms",
            _delay_ms,
            lambda: [(4, 12, 9), (1, 0, 9), (10, 4, 0)],
            "32 ms for half of the window, 32 ms for each step of the chunk, 16 ms for each frame of both look-aheads.",
            [
                Mistake(lambda chunk, ahead, vocoder: 32 * chunk + 16 * (ahead + vocoder), "The window of a frame also reaches 32 ms into the future."),
                Mistake(lambda chunk, ahead, vocoder: 32 + 16 * (chunk + ahead + vocoder), "A step of the recogniser is two frames: 32 ms."),
            ],
        ),
        Exercise(
            "gap",
            _gap,
            _cosines,
            "(mean of clone - mean of nearest) / (mean of same - mean of nearest).",
            [
                Mistake(lambda clone, nearest, same: np.mean((clone - nearest) / (same - nearest)), "First the means, then the ratio: single gaps can be near 0."),
                Mistake(lambda clone, nearest, same: np.mean(clone) / np.mean(same), "The cosine of two strangers is not 0: subtract what the nearest voice reaches."),
                Mistake(lambda clone, nearest, same: (np.mean(clone) - np.mean(nearest)) / np.mean(same), "The whole gap is same - nearest: divide by that."),
            ],
        ),
        Exercise(
            "both",
            _both,
            _references,
            "torch.cat of the keys along axis 2 and of the frames along axis 1; the voice is the mean of both.",
            [
                Mistake(lambda first, second: (*_both(first, second)[:2], first[2] + second[2]), "The voice is a sum of what one of them has twice: take the mean."),
                Mistake(lambda first, second: (*_both(first, second)[:2], first[2]), "The second voice counts, too: take the mean of both."),
            ],
        ),
    )
}  # fmt: skip
globals().update(EXERCISES)

quiz = Quiz(
    Question(
        "kNN-VC has no weights of its own. Why does its result sound like the target?",
        {
            "It learns the target during matching": "Nothing is learnt; the same four lines work for every voice.",
            "Every frame that comes out is made of frames of the target": "Matching only chooses which; sound of the source never comes in.",
            "The vocoder was trained on the target": "The vocoder never heard the target, and draws whatever log-mel it gets.",
        },
        "Every frame that comes out is made of frames of the target",
    ),
    Question(
        "A linear probe names the speaker from the content features far above chance. What follows for a converter?",
        {
            "It can not work": "It works as measured; the leak makes it worse, not impossible.",
            "Nothing, since probes are not used in it": "A network finds what a linear probe finds, and may use it.",
            "Its network could copy the source's voice, so training must make that useless": "This is why content is heard in another timbre during training.",
        },
        "Its network could copy the source's voice, so training must make that useless",
    ),
    Question(
        "Why is the converter trained on two clips of the same voice, without a parallel corpus?",
        {
            "Because parallel clips would sound worse": "Parallel clips would be the best teachers; there are few.",
            "The truth is then a recording: the clip itself is what must come out": "The reference gives the voice, the clip the words, and the clip is its own answer.",
            "Because then it need not know who speaks": "It must know: the reference tells it, in every batch another.",
        },
        "The truth is then a recording: the clip itself is what must come out",
    ),
    Question(
        "A conversion recovers 100 % of the gap by Resemblyzer. What is certain?",
        {
            "Listeners can not tell it from the target": "The judge is a network with ears of its own; listeners may hear noise or an accent.",
            "The judge finds it as like the target as a recording of the target": "That is the definition of the share, no more.",
            "Every word is understood": "Words are measured by another judge: see the error rate beside it.",
        },
        "The judge finds it as like the target as a recording of the target",
    ),
    Question(
        "Which change shortens the delay of the stream?",
        {
            "A faster processor": "The delay is waiting for sound that has not been spoken yet; computing is a small part.",
            "A shorter reference": "The reference is heard before the stream begins.",
            "Blocks that look fewer frames ahead": "Each frame of look-ahead is 16 ms that must be spoken first; quality pays for it.",
        },
        "Blocks that look fewer frames ahead",
    ),
)
