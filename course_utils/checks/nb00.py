"""Exercises and quiz of notebook 00."""

import numpy as np
import torch

from course_utils import features
from course_utils.checks.core import Exercise, Mistake, Question, Quiz, random_waveform

# --- the answers ---------------------------------------------------------------------------------------


def _noise_factor(speech, noise, snr_db):
    ratio = np.mean(speech**2) / np.mean(noise**2)
    return np.sqrt(ratio / 10 ** (snr_db / 10))


def _frames_of(waveform, size, hop):
    padded = np.pad(waveform, size // 2, mode="reflect")
    count = 1 + len(waveform) // hop
    return np.stack([padded[hop * t : hop * t + size] for t in range(count)])


def _triangle(hertz, low, centre, high):
    rising, falling = (hertz - low) / (centre - low), (high - hertz) / (high - centre)
    return np.maximum(0, np.minimum(rising, falling))


def _overlap_add(frames, hop):
    count, size = frames.shape
    result = np.zeros(size + hop * (count - 1))
    for t, frame in enumerate(frames):
        result[hop * t : hop * t + size] += frame
    return result


def _soft_gain(magnitude, level, strength, floor):
    return np.clip(1 - (strength * level / magnitude) ** 2, floor, 1)


def _gate_stream(chunks, gain_of):
    forward, inverse, done = features.StreamingSTFT(), features.StreamingISTFT(), []
    for chunk in chunks:
        spectrum = forward.push(chunk)
        done.append(inverse.push(spectrum * gain_of(np.abs(spectrum))))
    spectrum = forward.finish()
    done.append(inverse.push(spectrum * gain_of(np.abs(spectrum))))
    done.append(inverse.finish(length=sum(len(chunk) for chunk in chunks)))
    return np.concatenate(done)


def _auc(speech_scores, other_scores):
    larger = speech_scores[:, None] > other_scores[None, :]
    equal = speech_scores[:, None] == other_scores[None, :]
    return np.mean(larger + 0.5 * equal)


def _less_the_past(log_mel):
    so_far = torch.arange(1, log_mel.shape[1] + 1)[:, None]  # (frames, 1): how many frames the mean has
    return log_mel - log_mel.cumsum(1) / so_far


def _hysteresis(probability, low, high):
    speaking, result = False, []
    for p in probability:
        if p > high:
            speaking = True
        elif p < low:
            speaking = False
        result.append(speaking)
    return np.array(result)


def _change_over(bands, frames):
    before = torch.cat([bands[:, :1].expand(-1, frames, -1), bands[:, :-frames]], dim=1)
    return bands - before


# --- what they are tried on ----------------------------------------------------------------------------


def _mixtures():
    return [
        (random_waveform(seed), random_waveform(seed + 7), snr) for seed, snr in enumerate((10.0, 0.0, -5.0))
    ]


def _to_cut():
    return [(np.arange(20.0), 8, 4), (random_waveform(1, 1000), 64, 16), (random_waveform(2, 999), 128, 64)]


def _triangles():
    return [
        (np.arange(0.0, 800.0, 50.0), 100.0, 300.0, 400.0),
        (np.linspace(0, 8000, 513), 1000.0, 1100.0, 1500.0),
    ]


def _to_add():
    draw = np.random.default_rng(0)
    return [
        (np.array([[1.0, 1, 1, 1], [2, 2, 2, 2]]), 2),
        (draw.normal(size=(7, 64)), 32),
        (draw.normal(size=(5, 32)), 8),
    ]


def _magnitudes():
    draw = np.random.default_rng(0)
    return [(draw.random((6, 5)) * 4 + 0.1, draw.random(5) + 0.2, c, f) for c, f in ((1.5, 0.1), (1.0, 0.05))]


def _gain_of(magnitude):
    return np.clip(1 - (0.6 / (magnitude + 1e-8)) ** 2, 0.1, 1)


def _chunks():
    waveform = random_waveform(3, 5000)
    return [(list(np.split(waveform, np.arange(size, 5000, size))), _gain_of) for size in (512, 700)]


def _scores():
    draw = np.random.default_rng(0)
    return [
        (np.array([0.9, 0.6, 0.4]), np.array([0.5, 0.1])),
        (draw.integers(2, 9, 40), draw.integers(0, 7, 30)),
        (draw.random(50) + 0.3, draw.random(20)),
    ]


def _bands():
    draw = torch.Generator().manual_seed(0)
    return [(torch.randn(2, 9, 80, generator=draw) - 3,), (torch.randn(1, 30, 80, generator=draw),)]


def _bands_and_frames():
    return [(bands, frames) for (bands,), frames in zip(_bands(), (4, 2), strict=True)]


def _probabilities():
    draws = [np.random.default_rng(seed).random(200) for seed in range(3)]
    return [(np.array([0.5, 0.9, 0.5, 0.1, 0.5, 0.9]), 0.3, 0.7), *((p, 0.3, 0.7) for p in draws)]


# --- typical mistakes ----------------------------------------------------------------------------------


def _frames_not_mirrored(waveform, size, hop):
    padded = np.pad(waveform, size // 2)
    return np.stack([padded[hop * t : hop * t + size] for t in range(1 + len(waveform) // hop)])


def _frames_not_padded(waveform, size, hop):
    count = 1 + (len(waveform) - size) // hop
    return np.stack([waveform[hop * t : hop * t + size] for t in range(count)])


def _one_frame_less(waveform, size, hop):
    return _frames_of(waveform, size, hop)[:-1]


def _frames_as_columns(waveform, size, hop):
    return _frames_of(waveform, size, hop).T


def _triangle_below_zero(hertz, low, centre, high):
    return np.minimum((hertz - low) / (centre - low), (high - hertz) / (high - centre))


def _triangle_that_only_rises(hertz, low, centre, high):
    return np.where((hertz >= low) & (hertz <= high), (hertz - low) / (centre - low), 0)


def _box(hertz, low, centre, high):
    return ((hertz > low) & (hertz < high)).astype(float)


def _symmetric_triangle(hertz, low, centre, high):
    return np.maximum(0, 1 - np.abs(hertz - centre) / (centre - low))


def _triangle_of_equal_area(hertz, low, centre, high):
    return _triangle(hertz, low, centre, high) * 2 / (high - low)


def _frames_in_a_row(frames, hop):
    return frames.reshape(-1)


def _hops_in_a_row(frames, hop):
    return frames[:, :hop].reshape(-1)


def _overwritten(frames, hop):
    count, size = frames.shape
    result = np.zeros(size + hop * (count - 1))
    for t, frame in enumerate(frames):
        result[hop * t : hop * t + size] = frame
    return result


def _added_and_halved(frames, hop):
    return _overlap_add(frames, hop) / 2


def _gain_without_floor(magnitude, level, strength, floor):
    return np.maximum(1 - (strength * level / magnitude) ** 2, 0)


def _gain_of_amplitudes(magnitude, level, strength, floor):
    return np.clip(1 - strength * level / magnitude, floor, 1)


def _gain_whose_strength_is_not_squared(magnitude, level, strength, floor):
    return np.clip(1 - strength * (level / magnitude) ** 2, floor, 1)


def _gain_of_the_sum(magnitude, level, strength, floor):
    return np.clip(magnitude**2 / (magnitude**2 + (strength * level) ** 2), floor, 1)


def _root_of_the_gain(magnitude, level, strength, floor):
    return np.clip(np.sqrt(np.maximum(1 - (strength * level / magnitude) ** 2, 0)), floor, 1)


def _chunk_by_chunk(chunks, gain_of):
    done = []
    for chunk in chunks:
        spectrum = features.stft(chunk)
        done.append(features.istft(spectrum * gain_of(np.abs(spectrum)), length=len(chunk)))
    return np.concatenate(done)


def _new_state_for_each_chunk(chunks, gain_of):
    done = []
    for chunk in chunks:
        forward, inverse = features.StreamingSTFT(), features.StreamingISTFT()
        spectrum = forward.push(chunk)
        done.append(inverse.push(spectrum * gain_of(np.abs(spectrum))))
    return np.concatenate(done)


def _never_finished(chunks, gain_of):
    forward, inverse, done = features.StreamingSTFT(), features.StreamingISTFT(), []
    for chunk in chunks:
        spectrum = forward.push(chunk)
        done.append(inverse.push(spectrum * gain_of(np.abs(spectrum))))
    return np.concatenate(done)


def _last_frames_forgotten(chunks, gain_of):
    forward, inverse, done = features.StreamingSTFT(), features.StreamingISTFT(), []
    for chunk in chunks:
        spectrum = forward.push(chunk)
        done.append(inverse.push(spectrum * gain_of(np.abs(spectrum))))
    return np.concatenate([*done, inverse.finish(length=sum(len(chunk) for chunk in chunks))])


def _last_frames_not_gated(chunks, gain_of):
    forward, inverse, done = features.StreamingSTFT(), features.StreamingISTFT(), []
    for chunk in chunks:
        spectrum = forward.push(chunk)
        done.append(inverse.push(spectrum * gain_of(np.abs(spectrum))))
    done.append(inverse.push(forward.finish()))
    return np.concatenate([*done, inverse.finish(length=sum(len(chunk) for chunk in chunks))])


def _auc_whose_ties_lose(speech_scores, other_scores):
    return np.mean(speech_scores[:, None] > other_scores[None, :])


def _auc_whose_ties_win(speech_scores, other_scores):
    return np.mean(speech_scores[:, None] >= other_scores[None, :])


def _auc_turned_round(speech_scores, other_scores):
    return 1 - _auc(speech_scores, other_scores)


def _less_the_whole_mean(log_mel):
    return log_mel - log_mel.mean(1, keepdim=True)


def _less_the_mean_of_each_frame(log_mel):
    return log_mel - log_mel.mean(2, keepdim=True)


def _less_the_sum(log_mel):
    return log_mel - log_mel.cumsum(1)


def _the_mean_itself(log_mel):
    return log_mel.cumsum(1) / torch.arange(1, log_mel.shape[1] + 1)[:, None]


def _less_the_mean_counted_from_zero(log_mel):
    return log_mel - log_mel.cumsum(1) / torch.arange(log_mel.shape[1])[:, None].clamp(min=1)


def _change_to_the_future(bands, frames):
    after = torch.cat([bands[:, frames:], bands[:, -1:].expand(-1, frames, -1)], dim=1)
    return after - bands


def _change_that_goes_round(bands, frames):
    return bands - bands.roll(frames, dims=1)


def _change_of_the_sign(bands, frames):
    return -_change_over(bands, frames)


def _change_from_silence(bands, frames):
    return bands - torch.nn.functional.pad(bands, (0, 0, frames, 0))[:, : bands.shape[1]]


def _change_along_frequency(bands, frames):
    before = torch.cat([bands[..., :1].expand(-1, -1, frames), bands[..., :-frames]], dim=2)
    return bands - before


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


# --- the exercises -------------------------------------------------------------------------------------

noise_factor = Exercise(
    "noise_factor",
    _noise_factor,
    _mixtures,
    "Mean squares are powers. Their ratio must become 10 ** (snr_db / 10), and a factor for the amplitude "
    "is the square root of one for the power: np.sqrt(mean(speech**2) / mean(noise**2) / 10 ** (snr_db / 10)).",
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
        Mistake(
            lambda s, n, snr: np.std(s) / np.std(n) / 10 ** (snr / 20),
            "np.std takes the mean of the samples away first; the power keeps it: np.mean(x**2).",
        ),
    ],
    nudge="Which power must the noise have in the end? And what does a factor of 2 do to a power?",
)

frames_of = Exercise(
    "frames_of",
    _frames_of,
    _to_cut,
    'padded = np.pad(waveform, size // 2, mode="reflect"); frame t is padded[hop * t : hop * t + size], and '
    "there are 1 + len(waveform) // hop of them; np.stack them.",
    [
        Mistake(_frames_not_mirrored, 'The ends are zeros here; mirror them: np.pad(..., mode="reflect").'),
        Mistake(
            _frames_not_padded,
            "Pad first: frame 0 is centred on sample 0, so half of it lies before the sound.",
        ),
        Mistake(_one_frame_less, "There is one frame more: frames 0, 1, ... up to len(waveform) // hop."),
        Mistake(_frames_as_columns, "Turned over: each row is a frame, (count, size)."),
    ],
    nudge="First the mirrored signal. Where in it does frame t begin?",
)

triangle = Exercise(
    "triangle",
    _triangle,
    _triangles,
    "rising = (hertz - low) / (centre - low), falling = (high - hertz) / (high - centre); the triangle is the "
    "smaller of the two, and never below 0: np.maximum(0, np.minimum(rising, falling)).",
    [
        Mistake(_triangle_below_zero, "Outside of low and high it must be 0; yours goes below."),
        Mistake(_triangle_that_only_rises, "It rises beyond the centre: there the other side has to fall."),
        Mistake(_box, "That is a box: the weight is 1 at the centre only."),
        Mistake(
            _triangle_of_equal_area,
            "This one has area 1; asked for is height 1. The areas come in the next cell.",
        ),
        Mistake(
            _symmetric_triangle, "The right side has its own width: from centre to high, not as on the left."
        ),
    ],
    nudge="Write the two sides as two straight lines over all of hertz. Which of them counts where?",
)

overlap_add = Exercise(
    "overlap_add",
    _overlap_add,
    _to_add,
    "Begin with np.zeros(size + hop * (count - 1)); for each t: result[hop * t : hop * t + size] += frames[t].",
    [
        Mistake(
            _frames_in_a_row,
            "The frames stand one after the other here; each begins hop samples after the last.",
        ),
        Mistake(
            _hops_in_a_row,
            "Only the first hop samples of each frame are used: where frames overlap, add them.",
        ),
        Mistake(_overwritten, "A later frame overwrites the one before: += instead of =."),
        Mistake(
            _added_and_halved, "Add them, and do not divide: the windows see to it that the sum is right."
        ),
    ],
    nudge="How long is the result? Draw two frames of four samples with a hop of two.",
)

soft_gain = Exercise(
    "soft_gain",
    _soft_gain,
    _magnitudes,
    "np.clip(1 - (strength * level / magnitude) ** 2, floor, 1).",
    [
        Mistake(_gain_without_floor, "The floor is missing: no gain is smaller than `floor`."),
        Mistake(_gain_of_amplitudes, "Powers are squares of magnitudes: square the ratio."),
        Mistake(
            _gain_whose_strength_is_not_squared,
            "strength * level is the noise's magnitude: square both together.",
        ),
        Mistake(
            _gain_of_the_sum,
            "|X| squared is the sum of both already: take the noise from it to get the speech.",
        ),
        Mistake(_root_of_the_gain, "No square root: the best gain is itself a ratio of two powers."),
    ],
    nudge="Which of your two powers is |X| squared, and what is the other one in magnitude, level and strength?",
)

gate_stream = Exercise(
    "gate_stream",
    _gate_stream,
    _chunks,
    "Make StreamingSTFT() and StreamingISTFT() once, before the loop. After the loop, push what forward.finish() "
    "gives through the gain and the inverse, and append inverse.finish(length=...) with the number of all samples.",
    [
        Mistake(
            _new_state_for_each_chunk,
            "The two transforms are made anew for each chunk: they forget the overlap.",
        ),
        Mistake(
            _chunk_by_chunk,
            "Each chunk is a sound of its own here, with mirrored ends: keep one stream over all.",
        ),
        Mistake(_never_finished, "The last samples are still inside: finish both transforms after the loop."),
        Mistake(
            _last_frames_forgotten, "forward.finish() gives the last frames: gate them and push them, too."
        ),
        Mistake(_last_frames_not_gated, "The last frames come out without their gain."),
    ],
    tolerance=1e-3,
    nudge="Two bugs. What must be remembered from one chunk to the next? And what is still inside at the end?",
)

auc = Exercise(
    "auc",
    _auc,
    _scores,
    "np.mean((s[:, None] > o[None, :]) + 0.5 * (s[:, None] == o[None, :])): every pair at once.",
    [
        Mistake(_auc_whose_ties_lose, "A tie counts half; here it counts nothing."),
        Mistake(_auc_whose_ties_win, "A tie counts half; here it counts as won."),
        Mistake(
            _auc_turned_round, "Turned round: count the pairs in which the speech frame has the higher score."
        ),
    ],
    nudge="Take each pair of one speech frame and one other frame. When is it won? What is a tie?",
)

less_the_past = Exercise(
    "less_the_past",
    _less_the_past,
    _bands,
    "log_mel.cumsum(1) is the sum so far; divide it by 1, 2, 3, ... as a column: "
    "torch.arange(1, frames + 1)[:, None]; subtract that from log_mel.",
    [
        Mistake(_less_the_whole_mean, "This mean knows the future: at frame t only frames 0 to t may count."),
        Mistake(
            _less_the_mean_of_each_frame,
            "That is the mean over the bands of a frame; the mean runs over time, dim 1.",
        ),
        Mistake(_less_the_sum, "A sum is no mean: divide by the number of frames so far."),
        Mistake(_the_mean_itself, "That is the mean so far; it has to be subtracted from log_mel."),
        Mistake(_less_the_mean_counted_from_zero, "At frame 0 one frame counts already: 1, 2, 3, ..."),
    ],
    nudge="torch has a running sum. Over which axis, and how many frames are in it at frame t?",
)

hysteresis = Exercise(
    "hysteresis",
    _hysteresis,
    _probabilities,
    "Keep a variable that says whether it is on; change it only above high and below low.",
    [
        Mistake(_lazy_hysteresis, "One threshold only: between low and high it must stay as it was."),
        Mistake(_eager_hysteresis, "That switches on at low: it must rise above high first."),
        Mistake(_hysteresis_starting_on, "It must start off: nobody has spoken yet."),
    ],
    nudge="What happens to a probability between low and high depends on the frame before: something must be kept.",
)

change_over = Exercise(
    "change_over",
    _change_over,
    _bands_and_frames,
    "before = torch.cat([bands[:, :1].expand(-1, frames, -1), bands[:, :-frames]], dim=1), then bands - before.",
    [
        Mistake(_change_to_the_future, "That looks ahead: compare frame t with frame t - frames."),
        Mistake(
            _change_that_goes_round, "roll brings the end to the beginning: the first frames hear the future."
        ),
        Mistake(_change_of_the_sign, "The sign is turned round: now minus before."),
        Mistake(
            _change_from_silence, "Before the first frame nothing is known: take frame 0 there, and not 0."
        ),
        Mistake(_change_along_frequency, "Dim 2 are the bands; the change runs over time, dim 1."),
    ],
    nudge="Build what each frame saw `frames` earlier, of the same shape. What stands there for the first ones?",
)

EXERCISES = {
    one.name: one
    for one in (
        noise_factor, frames_of, triangle, overlap_add, soft_gain, gate_stream, auc, less_the_past, hysteresis,
        change_over,
    )
}  # fmt: skip

quiz = Quiz(
    Question(
        "A tone of 9,000 Hz is stored with 16,000 samples a second, without a filter before it. What do you hear?",
        {
            "Nothing": "Its samples are not zero: they are those of another tone.",
            "A tone of 7,000 Hz": "Above 8,000 Hz a tone folds back: 16,000 - 9,000 Hz, with the same samples.",
            "A tone of 9,000 Hz": "More than two samples for each swing would be needed, 18,000 a second.",
        },
        "A tone of 7,000 Hz",
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
