"""Exercises and quiz of notebook 00."""

import numpy as np

from course_utils.checks.core import Exercise, Mistake, Question, Quiz, random_waveform


def _level(x):
    return 10 * np.log10(np.mean(x**2))


def _noise_factor(speech, noise, snr_db):
    ratio = np.mean(speech**2) / np.mean(noise**2)
    return np.sqrt(ratio / 10 ** (snr_db / 10))


def _hysteresis(probability, low, high):
    speaking, result = False, []
    for p in probability:
        if p > high:
            speaking = True
        elif p < low:
            speaking = False
        result.append(speaking)
    return np.array(result)


def _waveforms():
    return [(random_waveform(seed),) for seed in range(4)]


def _mixtures():
    return [
        (random_waveform(seed), random_waveform(seed + 7), snr) for seed, snr in enumerate((10.0, 0.0, -5.0))
    ]


def _probabilities():
    draws = [np.random.default_rng(seed).random(200) for seed in range(3)]
    return [(np.array([0.5, 0.9, 0.5, 0.1, 0.5, 0.9]), 0.3, 0.7), *((p, 0.3, 0.7) for p in draws)]


def _lazy_hysteresis(probability, low, high):
    return probability > high


def _eager_hysteresis(probability, low, high):
    return probability > low


def _hysteresis_starting_on(probability, low, high):
    speaking, result = True, []
    for p in probability:
        speaking = True if p > high else False if p < low else speaking
        result.append(speaking)
    return np.array(result)


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "level",
            _level,
            _waveforms,
            "Square, then mean, then 10 times the logarithm to base 10.",
            [
                Mistake(
                    lambda x: 20 * np.log10(np.mean(x**2)),
                    "20 belongs to amplitudes; a mean square is a power: 10.",
                ),
                Mistake(
                    lambda x: 10 * np.log(np.mean(x**2)), "Decibels use the logarithm to base 10: np.log10."
                ),
                Mistake(
                    lambda x: 20 * np.log10(np.mean(np.abs(x))),
                    "The mean of |x| is not the level: square first.",
                ),
                Mistake(
                    lambda x: 10 * np.log10(np.sum(x**2)),
                    "That is the energy: divide by the number of samples.",
                ),
                Mistake(
                    lambda x: 20 * np.log10(np.std(x)),
                    "np.std removes the mean of the signal first; the level keeps it.",
                ),
            ],
        ),
        Exercise(
            "noise_factor",
            _noise_factor,
            _mixtures,
            "The ratio of the two mean squares must become 10 ** (snr_db / 10).",
            [
                Mistake(
                    lambda s, n, snr: np.mean(s**2) / np.mean(n**2) / 10 ** (snr / 10),
                    "That is the factor for the power; an amplitude needs its square root.",
                ),
                Mistake(
                    lambda s, n, snr: np.sqrt(np.mean(s**2) / np.mean(n**2) * 10 ** (snr / 10)),
                    "The sign of the SNR is turned round: a higher SNR means less noise.",
                ),
                Mistake(
                    lambda s, n, snr: np.sqrt(np.mean(s**2) / np.mean(n**2)) / 10 ** (snr / 10),
                    "10 ** (snr / 10) is a ratio of powers; for amplitudes it is 10 ** (snr / 20).",
                ),
                Mistake(
                    lambda s, n, snr: 1 / 10 ** (snr / 20),
                    "The levels that the two have now matter too: divide by the noise's, multiply by the speech's.",
                ),
            ],
        ),
        Exercise(
            "hysteresis",
            _hysteresis,
            _probabilities,
            "Keep a variable that says whether it is on; change it only above high and below low.",
            [
                Mistake(_lazy_hysteresis, "One threshold only: between low and high it must stay as it was."),
                Mistake(_eager_hysteresis, "That switches on at low: it must rise above high first."),
                Mistake(_hysteresis_starting_on, "It must start off: nobody has spoken yet."),
            ],
        ),
    )
}

level = EXERCISES["level"]
noise_factor = EXERCISES["noise_factor"]
hysteresis = EXERCISES["hysteresis"]

quiz = Quiz(
    Question(
        "A clip has 40,000 samples at 16 kHz. How long is it?",
        {
            "2.5 s": "40,000 samples divided by 16,000 samples per second are 2.5 seconds.",
            "0.4 s": "That would be 6,400 samples; divide the samples by the samples per second.",
            "640 s": "You divided nothing: 16 kHz means sixteen thousand samples every second.",
        },
        "2.5 s",
    ),
    Question(
        "Why is each frame multiplied by a window?",
        {
            "To make the sound softer": "It does that too, but only as a side effect without any purpose.",
            "To weaken the edges that cutting makes": "A hard edge holds all frequencies and smears the spectrum.",
            "To make frames overlap": "The hop length decides about overlap; the window only shapes each frame.",
        },
        "To weaken the edges that cutting makes",
    ),
    Question(
        "The SNR falls from 10 dB to -10 dB. What happened to the noise?",
        {
            "Its amplitude is ten times larger": "20 dB are a factor of ten in amplitude, a hundred in power.",
            "Its amplitude is twenty times larger": "Decibels are logarithms: 20 dB are not a factor of twenty.",
            "It is as strong as the speech": "That would be 0 dB; at -10 dB the noise is stronger than the speech.",
        },
        "Its amplitude is ten times larger",
    ),
    Question(
        "A gate learns its noise level from frames in which somebody speaks. What do you hear?",
        {
            "More noise": "The level is too high rather than too low, so even more is turned down.",
            "The voice is damaged": "Its own frequencies are taken for noise, and so they are turned down.",
            "Nothing changes": "The level at the frequencies of the voice is far too high, and the gain follows it.",
        },
        "The voice is damaged",
    ),
    Question(
        "An untrained copy of your network scores AUC 0.95 in your test. What do you conclude?",
        {
            "The architecture is excellent": "Random weights know nothing about speech, so the credit is not theirs.",
            "The test is too easy or leaks the answer": "A control that scores well shows that the test does not need the skill.",
            "Training longer will give 0.99": "Perhaps, but that figure would tell as little as this one does.",
        },
        "The test is too easy or leaks the answer",
    ),
)
