"""Exercises and quiz of notebook 01."""

import numpy as np

from course_utils.checks.core import Exercise, Mistake, Question, Quiz, random_waveform


def _generator(seed):
    return np.random.default_rng(seed)


def _complex(seed, shape=(6, 9)):
    draw = _generator(seed)
    return draw.normal(size=shape) + 1j * draw.normal(size=shape)


# --- references ------------------------------------------------------------------------------------------


def _si_sdr(estimate, clean):
    copy = (estimate @ clean) / (clean @ clean) * clean
    rest = estimate - copy
    return 10 * np.log10((copy @ copy) / (rest @ rest))


def _ratio_mask(speech, noise):
    s, n = np.abs(speech) ** 2, np.abs(noise) ** 2
    return np.sqrt(s / (s + n))


def _wiener_gain(noisy, noise_power, floor):
    gain = 1 - noise_power / np.abs(noisy) ** 2
    return np.maximum(gain, floor)


def _erb_edges(low, high, bands):
    def number(hertz):
        return 21.4 * np.log10(1 + 0.00437 * hertz)

    numbers = np.linspace(number(low), number(high), bands + 1)
    return (10 ** (numbers / 21.4) - 1) / 0.00437


def _overlap_add(frames, hop):
    count, length = frames.shape
    result = np.zeros((count - 1) * hop + length)
    for t in range(count):
        result[t * hop : t * hop + length] += frames[t]
    return result


def _smooth(chunk, state, decay):
    result = []
    for x in chunk:
        state = decay * state + (1 - decay) * x
        result.append(state)
    return np.array(result), state


# --- typical mistakes ------------------------------------------------------------------------------------


def _si_sdr_without_scale(estimate, clean):
    rest = estimate - clean
    return 10 * np.log10((clean @ clean) / (rest @ rest))


def _si_sdr_scale_turned_round(estimate, clean):
    copy = (estimate @ clean) / (estimate @ estimate) * clean
    rest = estimate - copy
    return 10 * np.log10((copy @ copy) / (rest @ rest))


def _si_sdr_of_amplitudes(estimate, clean):
    return 2 * _si_sdr(estimate, clean)


def _si_sdr_natural(estimate, clean):
    return _si_sdr(estimate, clean) * np.log(10)


def _erb_linear(low, high, bands):
    return np.linspace(low, high, bands + 1)


def _erb_in_numbers(low, high, bands):
    low, high = (21.4 * np.log10(1 + 0.00437 * hertz) for hertz in (low, high))
    return np.linspace(low, high, bands + 1)


def _erb_one_too_few(low, high, bands):
    return _erb_edges(low, high, bands - 1)


def _overlap_written_over(frames, hop):
    count, length = frames.shape
    result = np.zeros((count - 1) * hop + length)
    for t in range(count):
        result[t * hop : t * hop + length] = frames[t]
    return result


def _overlap_side_by_side(frames, hop):
    return frames.reshape(-1)


def _overlap_without_tail(frames, hop):
    return _overlap_add(frames, hop)[: len(frames) * hop]


def _smooth_forgetting(chunk, state, decay):
    return _smooth(chunk, 0.0, decay)


def _smooth_turned_round(chunk, state, decay):
    return _smooth(chunk, state, 1 - decay)


def _smooth_old_state(chunk, state, decay):
    return _smooth(chunk, state, decay)[0], state


def _smooth_last_input(chunk, state, decay):
    return _smooth(chunk, state, decay)[0], chunk[-1] if len(chunk) else state


# --- inputs ----------------------------------------------------------------------------------------------


def _pairs():
    return [
        (2.0 * random_waveform(seed) + gain * random_waveform(seed + 5), random_waveform(seed))
        for seed, gain in enumerate((0.5, 0.1, 2.0))
    ]


def _spectra():
    return [(_complex(seed), 0.7 * _complex(seed + 9)) for seed in range(3)]


def _noisy_spectra():
    levels = [_generator(seed + 5).uniform(0.1, 1.5, 9) for seed in range(3)]
    return [
        (_complex(seed), level, floor)
        for seed, (level, floor) in enumerate(zip(levels, (0.1, 0.0, 0.3), strict=True))
    ]


def _ranges():
    return [(0.0, 8000.0, 4), (50.0, 7600.0, 32), (100.0, 1000.0, 7)]


def _frames():
    return [
        (_generator(seed).normal(size=shape), hop)
        for seed, (shape, hop) in enumerate((((3, 4), 2), ((5, 8), 4), ((4, 6), 2)))
    ]


def _chunks():
    draw = _generator(3)
    return [
        (np.array([1.0, 1.0, 0.0]), 0.0, 0.5),
        (draw.normal(size=7), 2.0, 0.9),
        (draw.normal(size=1), -1.0, 0.7),
        (np.zeros(0), 0.25, 0.9),
    ]


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "distortion_ratio",
            _si_sdr,
            _pairs,
            "alpha = (estimate . clean) / (clean . clean); compare the power of alpha * clean with that of the rest.",
            [
                Mistake(
                    _si_sdr_without_scale,
                    "The factor alpha is missing: a volume knob must not change the result.",
                ),
                Mistake(
                    _si_sdr_scale_turned_round, "alpha divides by clean . clean, not by estimate . estimate."
                ),
                Mistake(_si_sdr_of_amplitudes, "Powers take 10 log10; 20 belongs to amplitudes."),
                Mistake(_si_sdr_natural, "Decibels use the logarithm to base 10: np.log10."),
            ],
        ),
        Exercise(
            "ratio_mask",
            _ratio_mask,
            _spectra,
            "The root of the speech power divided by speech power plus noise power, at each point.",
            [
                Mistake(
                    lambda s, n: np.abs(s) ** 2 / (np.abs(s) ** 2 + np.abs(n) ** 2),
                    "That is a ratio of powers; a gain multiplies amplitudes, so take the root.",
                ),
                Mistake(
                    lambda s, n: np.abs(s) / (np.abs(s) + np.abs(n)),
                    "Powers add up where speech and noise know nothing of each other, amplitudes do not: square first.",
                ),
                Mistake(
                    lambda s, n: np.abs(s) / np.abs(s + n),
                    "That divides by the mixture, and passes 1 where the two cancel; divide by the sum of powers.",
                ),
                Mistake(
                    lambda s, n: _ratio_mask(n, s), "That keeps the noise: the speech stands above the line."
                ),
            ],
        ),
        Exercise(
            "wiener_gain",
            _wiener_gain,
            _noisy_spectra,
            "1 - noise power / |noisy| ** 2, and nowhere below the floor.",
            [
                Mistake(
                    lambda x, n, floor: 1 - n / np.abs(x) ** 2,
                    "Where the noise is stronger than the mixture this is negative: np.maximum(gain, floor).",
                ),
                Mistake(
                    lambda x, n, floor: np.maximum(1 - n / np.abs(x), floor),
                    "The noise is given as a power: divide it by |noisy| squared.",
                ),
                Mistake(
                    lambda x, n, floor: np.maximum(np.sqrt(np.maximum(1 - n / np.abs(x) ** 2, 0)), floor),
                    "The root gives spectral subtraction of powers; the Wiener gain has no root.",
                ),
                Mistake(
                    lambda x, n, floor: np.where(1 - n / np.abs(x) ** 2 < floor, 0, 1 - n / np.abs(x) ** 2),
                    "Below the floor the gain is the floor, not 0: zeros ring as musical noise.",
                ),
            ],
        ),
        Exercise(
            "erb_edges",
            _erb_edges,
            _ranges,
            "Turn both ends into ERB numbers, divide that range evenly, and turn the numbers back into hertz.",
            [
                Mistake(_erb_linear, "Even steps in hertz: the steps must be even on the ERB scale."),
                Mistake(_erb_in_numbers, "These are ERB numbers: turn them back into hertz."),
                Mistake(_erb_one_too_few, "Between bands + 1 edges lie bands bands."),
            ],
            tolerance=1e-6,
        ),
        Exercise(
            "overlap_add",
            _overlap_add,
            _frames,
            "Frame t begins at sample t * hop; where frames overlap they are added.",
            [
                Mistake(_overlap_written_over, "The later frame replaces the earlier one here: use +=."),
                Mistake(_overlap_side_by_side, "Frames must overlap: frame t begins at sample t * hop."),
                Mistake(
                    _overlap_without_tail,
                    "The last frame is whole: (frames - 1) * hop + length samples in all.",
                ),
            ],
        ),
        Exercise(
            "smooth",
            _smooth,
            _chunks,
            "One value after the other: state = decay * state + (1 - decay) * x; return all of them and the last.",
            [
                Mistake(
                    _smooth_forgetting, "Start from the state that is handed in: that is how chunks join."
                ),
                Mistake(_smooth_turned_round, "decay belongs to the old state, 1 - decay to the new value."),
                Mistake(
                    _smooth_old_state,
                    "The second result is the state after this chunk, not the one before it.",
                ),
                Mistake(_smooth_last_input, "The state is the last output, not the last input."),
            ],
        ),
    )
}

distortion_ratio = EXERCISES["distortion_ratio"]
ratio_mask = EXERCISES["ratio_mask"]
wiener_gain = EXERCISES["wiener_gain"]
erb_edges = EXERCISES["erb_edges"]
overlap_add = EXERCISES["overlap_add"]
smooth = EXERCISES["smooth"]

quiz = Quiz(
    Question(
        "A network sees nine samples at a time. Why can it soften white noise, and not babble?",
        {
            "White noise is louder at high frequencies, where nine samples are enough": "White noise has equal power "
            "everywhere, but speech has little up there: a short filter can turn the high end down.",
            "Babble is louder than white noise": "Both were mixed at the same signal-to-noise ratio.",
            "Nine samples tell hiss from a voice's slow swings, but not one voice from another": "They last half a "
            "millisecond, less than one swing of any voice; who speaks takes tens of milliseconds to hear.",
        },
        "Nine samples tell hiss from a voice's slow swings, but not one voice from another",
    ),
    Question(
        "What can a complex mask do that a mask of gains between 0 and 1 can not?",
        {
            "Turn the phase, and make a point louder": "Each point is multiplied by a complex number: a rotation and "
            "any gain, so the clean spectrum can be reached exactly.",
            "Work in real time": "Both need the same frame and nothing later; delay does not depend on the kind of mask.",
            "Remove noise at frequencies where nobody speaks": "A gain of 0 does that perfectly well already.",
        },
        "Turn the phase, and make a point louder",
    ),
    Question(
        "You change input sample 50,000, and output sample 49,700 moves. The window has 512 samples. Is the model causal?",
        {
            "No, an output moved before its input": "A frame is computed when its last sample is in; all 512 of its "
            "output samples may depend on that one.",
            "Yes, this is the algorithmic delay of one window": "300 samples are less than 512: nothing moved that a "
            "stream would have given out before sample 50,000 came in.",
            "It can not be told without training": "Which inputs an output can depend on is fixed by the wiring, "
            "whatever the weights are.",
        },
        "Yes, this is the algorithmic delay of one window",
    ),
    Question(
        "A program raises DNSMOS by 0.4 and lowers SI-SDR by 1 dB. What do you do?",
        {
            "Report DNSMOS: it agrees best with listeners": "It never heard the original, so it can not tell whether "
            "what sounds tidy is still what was said.",
            "Report SI-SDR: it is defined by a formula": "A formula can be deaf: it counts a phase that nobody hears "
            "like a word that is missing.",
            "Report both, and listen": "They answer different questions: how tidy does it sound, and how much of the "
            "original is left.",
        },
        "Report both, and listen",
    ),
    Question(
        "Whisper makes more mistakes on the cleaned recording than on the noisy one. Which explanation fits?",
        {
            "Whisper needs background noise to work": "It makes fewest mistakes on the clean original.",
            "The denoiser also removed or changed some speech, and Whisper had learnt to live with noise": "It was "
            "trained on noisy sound and never on the artefacts of this network.",
            "The SNR became worse": "It can well have improved: artefacts are few, but they sit on the speech.",
        },
        "The denoiser also removed or changed some speech, and Whisper had learnt to live with noise",
    ),
)
