"""Exercises and quiz of notebook 01."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from course_utils.checks.core import CORRECT, WRONG, Exercise, Mistake, Question, Quiz, random_waveform
from course_utils.models.enhancement import BandGRU


def _generator(seed):
    return np.random.default_rng(seed)


def _complex(seed, shape=(6, 9)):
    draw = _generator(seed)
    return draw.normal(size=shape) + 1j * draw.normal(size=shape)


def _tensor(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- how a right answer came about -------------------------------------------------------------------------


@dataclass(frozen=True)
class _ExerciseOnTheWay(Exercise):
    """`broken(answer, inputs)` says which condition a right answer does not keep, or None."""

    broken: Callable[[Callable, Sequence[tuple]], str | None] = lambda answer, inputs: None

    def _judged(self, answer):
        judged = super()._judged(answer)
        found = self.broken(answer, self.inputs()) if judged[0] == CORRECT else None
        return (WRONG, found, None) if found else judged


class _Watch(TorchFunctionMode):
    """Whether a complex number was made meanwhile."""

    seen = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen |= isinstance(result, torch.Tensor) and result.is_complex()
        return result


def _complex_numbers(answer, inputs):
    with _Watch() as watch:
        answer(*inputs[0])
    return (
        "the numbers are right, but made with complex tensors: real arithmetic alone" if watch.seen else None
    )


def _gradients(answer, inputs):
    result = answer(*inputs[0])
    kept = any(isinstance(x, torch.Tensor) and x.requires_grad for x in result)
    return (
        "the numbers are right, but they carry gradients, which a stream would pile up: torch.inference_mode()"
        if kept
        else None
    )


# --- the answers ---------------------------------------------------------------------------------------


def _hears(kernels, strides):
    samples, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        samples += (kernel - 1) * jump  # neighbours of this layer lie `jump` samples apart
        jump *= stride
    return samples


def _wiener_gain(noisy, noise_power, floor):
    gain = 1 - noise_power / np.abs(noisy) ** 2
    return np.maximum(gain, floor)


def _ratio_mask(speech, noise):
    s, n = np.abs(speech) ** 2, np.abs(noise) ** 2
    return np.sqrt(s / (s + n))


def _erb_edges(low, high, bands):
    def number(hertz):
        return 21.4 * np.log10(1 + 0.00437 * hertz)

    numbers = np.linspace(number(low), number(high), bands + 1)
    return (10 ** (numbers / 21.4) - 1) / 0.00437


def _smooth(chunk, state, decay):
    result = []
    for x in chunk:
        state = decay * state + (1 - decay) * x
        result.append(state)
    return np.array(result), state


def _attend(q, k, v):
    weight = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
    return weight @ v


def _apply_mask(parts, gains, correction):
    real, imaginary = parts.unbind(-1)
    a, b = gains + correction[..., 0], correction[..., 1]
    return torch.stack([real * a - imaginary * b, real * b + imaginary * a], -1)


def _stream_step(model, frames, state):
    with torch.inference_mode():
        spectrum, state = model(frames[None], state)
    return spectrum[0], state


def _distortion_ratio(estimate, clean):
    copy = (estimate @ clean) / (clean @ clean) * clean
    rest = estimate - copy
    return 10 * np.log10((copy @ copy) / (rest @ rest))


def _to_int8(weights):
    scale = np.abs(weights).max(1) / 127
    return np.round(weights / scale[:, None]), scale


# --- typical mistakes ------------------------------------------------------------------------------------


def _hears_sum(kernels, strides):
    return sum(kernels)


def _hears_product(kernels, strides):
    return int(np.prod(kernels))


def _hears_without_strides(kernels, strides):
    return _hears(kernels, [1] * len(strides))


def _hears_own_stride_first(kernels, strides):
    samples, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        jump *= stride
        samples += (kernel - 1) * jump
    return samples


def _erb_linear(low, high, bands):
    return np.linspace(low, high, bands + 1)


def _erb_in_numbers(low, high, bands):
    low, high = (21.4 * np.log10(1 + 0.00437 * hertz) for hertz in (low, high))
    return np.linspace(low, high, bands + 1)


def _erb_one_too_few(low, high, bands):
    return _erb_edges(low, high, bands - 1)


def _smooth_forgetting(chunk, state, decay):
    return _smooth(chunk, 0.0, decay)


def _smooth_turned_round(chunk, state, decay):
    return _smooth(chunk, state, 1 - decay)


def _smooth_old_state(chunk, state, decay):
    return _smooth(chunk, state, decay)[0], state


def _smooth_last_input(chunk, state, decay):
    return _smooth(chunk, state, decay)[0], chunk[-1] if len(chunk) else state


def _smooth_lost_in_an_empty_chunk(chunk, state, decay):
    return _smooth(chunk, state, decay) if len(chunk) else (np.array([]), 0.0)


def _attend_without_scale(q, k, v):
    return (q @ k.transpose(-1, -2)).softmax(-1) @ v


def _attend_over_queries(q, k, v):
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-2) @ v


def _attend_to_keys(q, k, v):
    return _attend(q, k, k)


def _attend_without_root(q, k, v):
    return (q @ k.transpose(-1, -2) / q.shape[-1]).softmax(-1) @ v


def _mask_part_by_part(parts, gains, correction):
    return torch.stack([gains + correction[..., 0], correction[..., 1]], -1) * parts


def _mask_gain_in_both_parts(parts, gains, correction):
    return _apply_mask(parts, torch.zeros_like(gains), correction + gains[..., None])


def _mask_without_gain(parts, gains, correction):
    return _apply_mask(parts, torch.zeros_like(gains), correction)


def _mask_conjugate(parts, gains, correction):
    return _apply_mask(parts, gains, correction * torch.tensor([1.0, -1.0]))


def _step_forgets(model, frames, state):
    return _stream_step(model, frames, None)


def _step_keeps_the_first_state(model, frames, state):
    return _stream_step(model, frames, state)[0], state


def _step_frame_by_frame_from_the_start(model, frames, state):
    each = [_stream_step(model, frame[None], state) for frame in frames]
    return torch.cat([one for one, _ in each]), each[-1][1]


def _ratio_without_scale(estimate, clean):
    rest = estimate - clean
    return 10 * np.log10((clean @ clean) / (rest @ rest))


def _ratio_scale_turned_round(estimate, clean):
    copy = (estimate @ clean) / (estimate @ estimate) * clean
    rest = estimate - copy
    return 10 * np.log10((copy @ copy) / (rest @ rest))


def _ratio_of_amplitudes(estimate, clean):
    return 2 * _distortion_ratio(estimate, clean)


def _ratio_natural(estimate, clean):
    return _distortion_ratio(estimate, clean) * np.log(10)


def _int8_one_scale(weights):
    scale = np.full(len(weights), np.abs(weights).max() / 127)
    return np.round(weights / scale[:, None]), scale


def _int8_of_columns(weights):
    scale = np.abs(weights).max(0) / 127
    return np.round(weights / scale), scale


def _int8_cut(weights):
    scale = np.abs(weights).max(1) / 127
    return np.trunc(weights / scale[:, None]), scale


def _int8_without_sign(weights):
    scale = weights.max(1) / 127
    return np.round(weights / scale[:, None]), scale


# --- inputs ----------------------------------------------------------------------------------------------


def _stacks():
    return [([3, 3, 3, 3], [1, 1, 1, 1]), ([8, 3], [4, 1]), ([5, 4, 3], [2, 3, 2])]


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


def _chunks():
    draw = _generator(3)
    return [
        (np.array([1.0, 1.0, 0.0]), 0.0, 0.5),
        (draw.normal(size=7), 2.0, 0.9),
        (draw.normal(size=1), -1.0, 0.7),
        (np.zeros(0), 0.25, 0.9),
    ]


def _queries():
    shapes = ((3, 2), (2, 5, 4), (1, 7, 8, 16))
    return [tuple(2 * _tensor(10 * i + j, *shape) for j in range(3)) for i, shape in enumerate(shapes)]


def _masks():
    return [
        (_tensor(seed, 2, 4, 9, 2), _tensor(seed + 3, 2, 4, 9).sigmoid(), _tensor(seed + 6, 2, 4, 9, 2))
        for seed in range(2)
    ]


def _frames():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BandGRU(bands=8, width=6).eval()
    spectra = [torch.complex(_tensor(seed, 5, 257), _tensor(seed + 5, 5, 257)) for seed in range(2)]
    return [(model, spectra[0], _tensor(3, 1, 1, 6)), (model, spectra[1], None)]


def _pairs():
    return [
        (2.0 * random_waveform(seed) + gain * random_waveform(seed + 5), random_waveform(seed))
        for seed, gain in enumerate((0.5, 0.1, 2.0))
    ]


def _matrices():
    return [(_generator(seed).normal(size=(4, 6)) * np.array([[1], [0.1], [3], [0.5]]),) for seed in range(2)]


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "hears",
            _hears,
            _stacks,
            "Begin with 1. Each layer adds (kernel - 1) * jump; then jump, which began as 1, is multiplied by the "
            "stride of this layer.",
            [
                Mistake(_hears_sum, "Neighbouring windows overlap: a layer adds kernel - 1, not kernel."),
                Mistake(_hears_product, "Windows overlap, so lengths add up; they do not multiply."),
                Mistake(
                    _hears_without_strides,
                    "After a layer with stride 4 its outputs lie 4 samples apart: later layers reach that much farther.",
                ),
                Mistake(
                    _hears_own_stride_first,
                    "The stride of a layer spreads those after it, not the layer itself.",
                ),
            ],
            nudge="Draw two layers of width 3 on paper: one output, three in the middle, and how many at the bottom?",
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
            nudge="Which of the three is a power, and which an amplitude? And what if the noise is the stronger one?",
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
            nudge="Try speech 3 and noise 4: what should come out of powers 9 and 16, for an amplitude?",
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
            nudge="There are two ways to go: from hertz to numbers and back. Which step lies between them?",
        ),
        Exercise(
            "smooth",
            _smooth,
            _chunks,
            "One value after the other: state = decay * state + (1 - decay) * x; return all of them and the last. An "
            "empty chunk gives no outputs and hands the state on.",
            [
                Mistake(
                    _smooth_lost_in_an_empty_chunk,
                    "An empty chunk is silence on the line, not a new beginning: return the state that came in.",
                ),
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
            nudge="Try chunk (1,), state 0 and decay 0.9 by hand: 0.1 comes out. Then an empty chunk. And what must the "
            "next call know, so that two chunks give what one long chunk would?",
        ),
        Exercise(
            "attend",
            _attend,
            _queries,
            "Products of all queries with all keys (one matrix product: which axes of k change places?), divided by the "
            "root of d; softmax over the keys; the mean of the values with these shares.",
            [
                Mistake(
                    _attend_without_scale, "The products are divided by the root of d, the last dimension."
                ),
                Mistake(_attend_without_root, "Divide by the root of d, not by d."),
                Mistake(
                    _attend_over_queries,
                    "Each query shares out its attention over the keys: softmax along the last axis.",
                ),
                Mistake(_attend_to_keys, "Keys say where to look; what is fetched there are the values."),
            ],
            nudge="Three steps: how well does each query fit each key, shares that add up to 1, a weighted mean.",
        ),
        _ExerciseOnTheWay(
            "apply_mask",
            _apply_mask,
            _masks,
            "The mask is a + ib with a = gains + correction[..., 0] and b = correction[..., 1]; (x + iy)(a + ib) = "
            "(xa - yb) + i(xb + ya).",
            [
                Mistake(
                    _mask_part_by_part,
                    "Real times real and imaginary times imaginary can not turn a number: multiply as complex numbers.",
                ),
                Mistake(_mask_gain_in_both_parts, "A gain is a real number: it has no imaginary part."),
                Mistake(
                    _mask_without_gain, "The correction is added to the gain; where it is 0 the gain stays."
                ),
                Mistake(_mask_conjugate, "It turns the wrong way: the sign of one of the products is wrong."),
            ],
            nudge="Try parts (0, 1), gain 0 and correction (0, 1): i times i should give (-1, 0).",
            broken=_complex_numbers,
        ),
        _ExerciseOnTheWay(
            "stream_step",
            _stream_step,
            _frames,
            "spectrum, state = model(frames[None], state) under torch.inference_mode(); return spectrum[0], state.",
            [
                Mistake(
                    _step_forgets, "The model was not given the state: at every chunk it has heard nothing."
                ),
                Mistake(
                    _step_keeps_the_first_state,
                    "You hand on the old state: the next chunk needs the one that the model returned.",
                ),
                Mistake(
                    _step_frame_by_frame_from_the_start,
                    "In your loop every frame gets the same state: carry it from frame to frame.",
                ),
            ],
            nudge="Two things go into the model and two come out. Where does each of them go?",
            broken=_gradients,
        ),
        Exercise(
            "distortion_ratio",
            _distortion_ratio,
            _pairs,
            "alpha = (estimate . clean) / (clean . clean); compare the power of alpha * clean with that of the rest.",
            [
                Mistake(
                    _ratio_without_scale,
                    "The factor alpha is missing: a volume knob must not change the result.",
                ),
                Mistake(
                    _ratio_scale_turned_round, "alpha divides by clean . clean, not by estimate . estimate."
                ),
                Mistake(_ratio_of_amplitudes, "Powers take 10 log10; 20 belongs to amplitudes."),
                Mistake(_ratio_natural, "Decibels use the logarithm to base 10: np.log10."),
            ],
            nudge="Does your result stay the same when estimate is twice as loud?",
        ),
        Exercise(
            "to_int8",
            _to_int8,
            _matrices,
            "Each row has its scale: its largest number by size, divided by 127. Divide the row by it, and round.",
            [
                Mistake(
                    _int8_one_scale, "One scale for all rows: a row of small numbers would be all zeros."
                ),
                Mistake(
                    _int8_of_columns, "The scale belongs to a row, and axis 0 runs down a column: axis 1."
                ),
                Mistake(
                    _int8_cut, "np.trunc rounds towards 0, which makes every weight too small: np.round."
                ),
                Mistake(
                    _int8_without_sign, "The largest number by size may be negative: take np.abs before max."
                ),
            ],
            nudge="The largest number of each row, by size, becomes 127 or -127. Look at one row.",
        ),
    )
}

hears = EXERCISES["hears"]
wiener_gain = EXERCISES["wiener_gain"]
ratio_mask = EXERCISES["ratio_mask"]
erb_edges = EXERCISES["erb_edges"]
smooth = EXERCISES["smooth"]
attend = EXERCISES["attend"]
apply_mask = EXERCISES["apply_mask"]
stream_step = EXERCISES["stream_step"]
distortion_ratio = EXERCISES["distortion_ratio"]
to_int8 = EXERCISES["to_int8"]

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
        "In the notebook enhancement saved Whisper a few words of a hundred. On another set it makes more mistakes after it than before. "
        "Which explanation fits?",
        {
            "Whisper needs background noise to work": "It makes fewest mistakes on the clean original.",
            "The denoiser also removed or changed some speech, and Whisper had learnt to live with noise": "It was "
            "trained on noisy sound and never on the artefacts of this network.",
            "The SNR became worse": "It can well have improved: artefacts are few, but they sit on the speech.",
        },
        "The denoiser also removed or changed some speech, and Whisper had learnt to live with noise",
    ),
)
