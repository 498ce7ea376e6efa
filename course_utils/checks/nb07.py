"""Exercises and quiz of notebook 07."""

import math
from statistics import NormalDist

import numpy as np

from course_utils.checks.core import Exercise, Mistake, Question, Quiz

FIELDS = ("speaker", "given_by", "purpose", "date")

# --- references ------------------------------------------------------------------------------------------


def _missing_in(entry, today):
    missing = [name for name in ("speaker", "given_by", "purpose", "date") if not entry.get(name, "").strip()]
    if "date" not in missing and entry["date"] > today:
        missing.append("date")
    return missing


def _agreement(signs, values):
    return float((signs * values).sum() / np.sqrt((values**2).sum()))


def _turn(spectrum, signs, strength_db):
    return spectrum * 10 ** (strength_db * signs / 20)


def _needed_z(alarm, tried):
    return -NormalDist().inv_cdf(alarm / tried)


def _class_weights(is_fake):
    n_fake, n = is_fake.sum(), len(is_fake)
    return np.where(is_fake, n / (2 * n_fake), n / (2 * (n - n_fake)))


def _wilson(right, of, z=1.96):
    p = right / of
    middle, half = p + z**2 / (2 * of), z * math.sqrt(p * (1 - p) / of + z**2 / (4 * of**2))
    return (middle - half) / (1 + z**2 / of), (middle + half) / (1 + z**2 / of)


# --- typical mistakes --------------------------------------------------------------------------------------


def _missing_ignores_the_future(entry, today):
    return [name for name in FIELDS if not entry.get(name, "").strip()]


def _missing_takes_blanks(entry, today):
    missing = [name for name in FIELDS if not entry.get(name, "")]
    return missing + (["date"] if "date" not in missing and entry["date"] > today else [])


def _missing_refuses_the_past(entry, today):
    missing = [name for name in FIELDS if not entry.get(name, "").strip()]
    return missing + (["date"] if "date" not in missing and entry["date"] < today else [])


def _wilson_of_a_bell(right, of, z=1.96):
    p = right / of
    half = z * math.sqrt(p * (1 - p) / of)
    return p - half, p + half


# --- inputs ------------------------------------------------------------------------------------------------


def _entries():
    good = {"speaker": "Ada", "given_by": "Ada", "purpose": "a lesson", "date": "2026-03-01"}
    today = "2026-03-02"
    return [
        (good, today),
        ({**good, "purpose": "  "}, today),
        ({name: text for name, text in good.items() if name != "given_by"}, today),
        ({**good, "date": "2026-03-03"}, today),
        ({**good, "speaker": "", "date": ""}, today),
    ]


def _tables():
    draw = np.random.default_rng(1)
    return [
        (draw.choice([-1.0, 1.0], n), draw.normal(0.1, scale, n)) for n, scale in ((4, 1), (50, 3), (9, 0.1))
    ]


def _spectra():
    draw = np.random.default_rng(2)
    return [
        (draw.normal(size=(n, 5)) + 1j * draw.normal(size=(n, 5)), draw.choice([-1.0, 1.0], (n, 5)), db)
        for n, db in ((3, 3.0), (6, 20.0))
    ]


def _labels():
    draw = np.random.default_rng(3)
    return [(np.r_[True, False, draw.random(n) < 0.7],) for n in (6, 30)]


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "missing_in",
            _missing_in,
            _entries,
            "Go through the four fields in their order; entry.get(name, '').strip() is empty where one is missing. Then the date.",
            [
                Mistake(
                    _missing_ignores_the_future,
                    "A consent of tomorrow was not given yet: dates written this way can be compared as texts.",
                ),
                Mistake(_missing_takes_blanks, "Blanks are no answer: strip() them first."),
                Mistake(_missing_refuses_the_past, "A date of the past is right; one after today is not."),
            ],
        ),
        Exercise(
            "agreement",
            _agreement,
            _tables,
            "(signs * values).sum() / np.sqrt((values**2).sum()).",
            [
                Mistake(
                    lambda signs, values: float((signs * values).sum()),
                    "Divide by the deviation under random signs, the root of the sum of squares.",
                ),
                Mistake(
                    lambda signs, values: float((signs * values).mean()),
                    "A mean shrinks with the number of values; divide the sum by the root of the sum of squares.",
                ),
                Mistake(
                    lambda signs, values: float(
                        (signs * values).sum() / np.sqrt((values**2).sum()) / np.sqrt(len(signs))
                    ),
                    "That is the cosine of the two: its deviation is 1 / sqrt(n). Leave out the length of the signs.",
                ),
                Mistake(
                    lambda signs, values: float((signs * values).sum() / (values**2).sum()),
                    "A deviation is the root of the variance.",
                ),
            ],
        ),
        Exercise(
            "turn",
            _turn,
            _spectra,
            "spectrum * 10 ** (strength_db * signs / 20).",
            [
                Mistake(
                    lambda spectrum, signs, strength_db: spectrum * 10 ** (strength_db * signs / 10),
                    "A spectrum is an amplitude: 20 dB are a factor of ten.",
                ),
                Mistake(
                    lambda spectrum, signs, strength_db: spectrum + strength_db * signs,
                    "Decibels are ratios: they multiply.",
                ),
                Mistake(
                    lambda spectrum, signs, strength_db: spectrum * (1 + strength_db * signs / 20),
                    "Up and down must undo each other: 10 to the power of dB / 20.",
                ),
                Mistake(
                    lambda spectrum, signs, strength_db: np.abs(spectrum) * 10 ** (strength_db * signs / 20),
                    "Keep the phase: multiply the complex spectrum.",
                ),
            ],
        ),
        Exercise(
            "needed_z",
            _needed_z,
            lambda: [(1e-5, 1152), (1e-3, 128), (0.01, 1)],
            "One try may have p = alarm / tried; NormalDist().inv_cdf(1 - alarm / tried).",
            [
                Mistake(
                    lambda alarm, tried: NormalDist().inv_cdf(1 - alarm),
                    "That holds for one try; of many the best is high by chance: divide the alarm by their number.",
                ),
                Mistake(
                    lambda alarm, tried: NormalDist().inv_cdf(alarm / tried),
                    "That is the lower end of the bell curve; a mark lies at the upper one.",
                ),
                Mistake(
                    lambda alarm, tried: NormalDist().inv_cdf(1 - alarm * tried),
                    "More tries ask for a higher z: each may have a smaller p, so divide.",
                ),
                Mistake(
                    lambda alarm, tried: NormalDist().inv_cdf(1 - alarm / tried / 2),
                    "Only one side counts: a sum far below 0 is no mark.",
                ),
            ],
        ),
        Exercise(
            "class_weights",
            _class_weights,
            _labels,
            "n / (2 * n_of_its_class) for each clip: np.where(is_fake, n / (2 * n_fake), n / (2 * n_real)).",
            [
                Mistake(
                    lambda is_fake: np.where(is_fake, is_fake.mean(), 1 - is_fake.mean()),
                    "The rarer a class, the more each of its clips counts: divide by the number of the class.",
                ),
                Mistake(
                    lambda is_fake: np.where(is_fake, 1 / is_fake.sum(), 1 / (~is_fake).sum()),
                    "The classes balance; now let the mean weight be 1: times n / 2.",
                ),
                Mistake(
                    lambda is_fake: np.ones(len(is_fake)),
                    "So the larger class wins: weigh the classes alike.",
                ),
            ],
        ),
        Exercise(
            "wilson",
            _wilson,
            lambda: [(72, 72), (40, 43), (0, 3000), (5, 10)],
            "Middle p + z²/2n and half width z sqrt(p(1 - p)/n + z²/4n²), both divided by 1 + z²/n.",
            [
                Mistake(
                    _wilson_of_a_bell,
                    "At p = 1 that interval has no width, as if you were certain. Put in Wilson's terms with z².",
                ),
                Mistake(
                    lambda right, of: tuple(x * (1 + 1.96**2 / of) for x in _wilson(right, of)),
                    "Divide both ends by 1 + z²/n.",
                ),
            ],
        ),
    )
}

missing_in = EXERCISES["missing_in"]
agreement = EXERCISES["agreement"]
turn = EXERCISES["turn"]
needed_z = EXERCISES["needed_z"]
class_weights = EXERCISES["class_weights"]
wilson = EXERCISES["wilson"]

quiz = Quiz(
    Question(
        "A clip carries no watermark of the course. What do you know?",
        {
            "A person spoke it": "Other systems leave another mark or none, and marks can be removed.",
            "The mark was not found, and no more": "A mark that is found tells where a clip comes from. Its absence tells nothing.",
            "It was not made by the course": "It may have been, and played 5 % faster or cut very short afterwards.",
        },
        "The mark was not found, and no more",
    ),
    Question(
        "Why does the p-value of the detector hold for music, noise and every language?",
        {
            "It was tuned on thousands of clips": "No clip was used: then it would hold for such clips alone.",
            "The key was drawn at random, so the chance is in the key and not in the sound": "For any sound made without "
            "the key, its signs are coin tosses.",
            "All sounds have the same statistics": "They differ a lot, and the rule does not need that they agree.",
        },
        "The key was drawn at random, so the chance is in the key and not in the sound",
    ),
    Question(
        "The detector looks at 128 shifts and 9 speeds. What must it pay for that?",
        {
            "Nothing, it only looks more closely": "The best of many chances is high even where nothing is there.",
            "Its p-value is multiplied by the number of tries": "So a mark must score a little higher to be believed.",
            "It needs as many keys": "One key is enough, it is moved along the sound.",
        },
        "Its p-value is multiplied by the number of tries",
    ),
    Question(
        "A spoof detector makes few errors on the generators it learnt from. What about a new one?",
        {
            "About as few": "The recorded table has generators for which this fails.",
            "It may miss far more of its speech": "It learnt traces of certain generators, and another one leaves other traces.",
            "Better, because new generators are worse": "New ones tend to be better, and leave fewer traces.",
        },
        "It may miss far more of its speech",
    ),
    Question(
        "Somebody gave you a consent for a lesson. May you put the clone into an advertisement?",
        {
            "Yes, they said yes": "They said yes to a lesson; the purpose is a part of the consent.",
            "No: another purpose needs another consent": "And they may take back the first at any time, too.",
            "Yes, if the clip carries the watermark": "A mark says what a clip is; it gives no right to make it.",
        },
        "No: another purpose needs another consent",
    ),
)
