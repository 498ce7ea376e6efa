"""Exercises and quiz of notebook 04."""

import numpy as np
import torch

from course_utils.checks.core import Exercise, Mistake, Question, Quiz

# --- references ------------------------------------------------------------------------------------------


def _way(noise, mel, t):
    t = t[:, None, None]
    return (1 - t) * noise + t * mel, mel - noise


def _modulate(y, scale, shift):
    return y * (1 + scale[:, None]) + shift[:, None]


def _guided(told, untold, strength):
    return told + strength * (told - untold)


def _in_hertz(pitch, mean, deviation):
    return 100 * 2 ** ((pitch * deviation + mean) / 12)


def _rise(pitch, n_last, semitones):
    risen = pitch.copy()
    risen[-n_last:] += np.linspace(0, semitones, n_last)
    return risen


# --- typical mistakes --------------------------------------------------------------------------------------


def _way_backwards(noise, mel, t):
    t = t[:, None, None]
    return t * noise + (1 - t) * mel, mel - noise


def _way_with_velocity_to_noise(noise, mel, t):
    return _way(noise, mel, t)[0], noise - mel


def _way_with_the_rest_as_velocity(noise, mel, t):
    x, _ = _way(noise, mel, t)
    return x, mel - x


def _modulate_without_one(y, scale, shift):
    return y * scale[:, None] + shift[:, None]


def _modulate_shift_first(y, scale, shift):
    return (y + shift[:, None]) * (1 + scale[:, None])


def _modulate_shift_scaled(y, scale, shift):
    return (y + shift[:, None]) * scale[:, None] + y


def _rise_everywhere(pitch, n_last, semitones):
    return pitch + np.linspace(0, semitones, len(pitch))


def _rise_at_once(pitch, n_last, semitones):
    risen = pitch.copy()
    risen[-n_last:] += semitones
    return risen


def _rise_at_the_start(pitch, n_last, semitones):
    risen = pitch.copy()
    risen[:n_last] += np.linspace(0, semitones, n_last)
    return risen


def _rise_that_replaces(pitch, n_last, semitones):
    risen = pitch.copy()
    risen[-n_last:] = np.linspace(0, semitones, n_last)
    return risen


# --- inputs ------------------------------------------------------------------------------------------------


def _ways():
    chance = torch.Generator().manual_seed(4)
    draw = lambda *shape: torch.randn(*shape, generator=chance)  # noqa: E731
    return [(draw(b, 5, 80), draw(b, 5, 80), torch.rand(b, generator=chance)) for b in (1, 3)]


def _modulations():
    chance = torch.Generator().manual_seed(5)
    draw = lambda *shape: torch.randn(*shape, generator=chance)  # noqa: E731
    return [(draw(b, n, 6), draw(b, 6), draw(b, 6)) for b, n in ((1, 4), (3, 3))]


def _velocities():
    chance = torch.Generator().manual_seed(6)
    return [
        (torch.randn(1, 4, 80, generator=chance), torch.randn(1, 4, 80, generator=chance), strength)
        for strength in (0.0, 0.5, 2.0)
    ]


def _tunes():
    chance = np.random.default_rng(7)
    return [(chance.normal(size=n), 8.0, deviation) for n, deviation in ((5, 6.0), (9, 2.5))]


def _endings():
    chance = np.random.default_rng(8)
    return [(chance.normal(5, 2, 12), n, rise) for n, rise in ((4, 6.0), (7, 3.0), (2, -2.0))]


# --- the vocoder: references -----------------------------------------------------------------------------


def _phase_turn(hz, hop_length):
    angle = 2 * np.pi * hz * hop_length / 16000
    return (angle + np.pi) % (2 * np.pi) - np.pi


# --- the vocoder: typical mistakes -----------------------------------------------------------------------


def _phase_turn_unwrapped(hz, hop_length):
    return 2 * np.pi * hz * hop_length / 16000


def _phase_turn_positive(hz, hop_length):
    return 2 * np.pi * hz * hop_length / 16000 % (2 * np.pi)


def _phase_turn_in_turns(hz, hop_length):
    return (hz * hop_length / 16000 + 0.5) % 1 - 0.5


def _phase_turn_clipped(hz, hop_length):
    return np.clip(2 * np.pi * hz * hop_length / 16000, -np.pi, np.pi)


# --- text and alignment: references ----------------------------------------------------------------------


def _heteronym(before):
    return ("R", "IY1", "D") if before in {"to", "will", "can", "must"} else ("R", "EH1", "D")


def _alignment_step(best, column):
    before = np.concatenate([[-np.inf], best[:-1]])
    return np.maximum(best, before) + column, before > best


def _expand(hidden, durations):
    return torch.repeat_interleave(hidden, durations, dim=0)


# --- text and alignment: typical mistakes ----------------------------------------------------------------


def _heteronym_one_entry(before):
    return ("R", "EH1", "D")


def _heteronym_the_other_way(before):
    return ("R", "EH1", "D") if before in {"to", "will", "can", "must"} else ("R", "IY1", "D")


def _heteronym_without_stress(before):
    return tuple(phone.rstrip("1") for phone in _heteronym(before))


def _step_wraps(best, column):
    before = np.roll(best, 1)
    return np.maximum(best, before) + column, before > best


def _step_from_zero(best, column):
    before = np.concatenate([[0], best[:-1]])
    return np.maximum(best, before) + column, before > best


def _step_sums(best, column):
    before = np.concatenate([[-np.inf], best[:-1]])
    return np.logaddexp(best, before) + column, before > best


def _step_stayed(best, column):
    scores, moved = _alignment_step(best, column)
    return scores, ~moved


def _step_greedy(best, column):
    moved = np.concatenate([[False], column[:-1] > column[1:]])
    return np.where(moved, np.concatenate([[0], best[:-1]]), best) + column, moved


def _step_without_column(best, column):
    before = np.concatenate([[-np.inf], best[:-1]])
    return np.maximum(best, before), before > best


def _expand_tiled(hidden, durations):
    return hidden.repeat(int(durations.sum()) // len(hidden) + 1, 1)[: int(durations.sum())]


def _expand_features(hidden, durations):
    return torch.repeat_interleave(hidden, durations, dim=0).T


def _expand_numbers(hidden, durations):
    return torch.repeat_interleave(torch.arange(len(durations)), durations)


def _expand_shared(hidden, durations):
    return torch.repeat_interleave(hidden / durations.clamp(min=1)[:, None], durations, dim=0)


# --- text and alignment: inputs --------------------------------------------------------------------------


def _words_before():
    return [("to",), ("will",), ("have",), ("i",), ("can",), ("was",), ("must",), ("she",)]


def _columns():
    made = []
    for seed, phones in enumerate((3, 5, 1, 8)):
        draw = np.random.default_rng(seed)
        made.append((draw.normal(-6, 3, phones), draw.normal(-1, 1, phones)))
    made.append(
        (np.array([-2.0, -np.inf, -np.inf]), np.array([-1.0, -1.5, -3.0]))
    )  # the second frame of a clip
    return made


def _sequences():
    draw = torch.Generator().manual_seed(0)
    return [
        (torch.randn(len(durations), width, generator=draw), torch.tensor(durations))
        for durations, width in (([2, 1, 3], 4), ([1, 5], 2), ([4], 3), ([2, 0, 2, 3], 5))
    ]


# --- what the notebook uses --------------------------------------------------------------------------------

EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "way",
            _way,
            _ways,
            "The point is (1 - t) * noise + t * mel, the velocity mel - noise; t[:, None, None] fits (B, T, 80).",
            [
                Mistake(_way_backwards, "At t = 0 you stand in the noise: it has the weight 1 - t."),
                Mistake(
                    _way_with_velocity_to_noise,
                    "The other direction: from the noise to the log-mel, mel - noise.",
                ),
                Mistake(
                    _way_with_the_rest_as_velocity,
                    "The velocity is the same all along the line: the whole way, mel - noise, in the time 1.",
                ),
            ],
        ),
        Exercise(
            "modulate",
            _modulate,
            _modulations,
            "y * (1 + scale) + shift, the same at all times: scale[:, None] has the shape (B, 1, d).",
            [
                Mistake(
                    _modulate_without_one,
                    "With a scale of 0, where training begins, nothing would pass: multiply by 1 + scale.",
                ),
                Mistake(_modulate_shift_first, "First the scale, then the shift, which is not scaled."),
                Mistake(_modulate_shift_scaled, "The shift is added last, and is not scaled."),
            ],
        ),
        Exercise(
            "guided",
            _guided,
            _velocities,
            "told + strength * (told - untold).",
            [
                Mistake(
                    lambda told, untold, strength: untold + strength * (told - untold),
                    "That begins at nobody: strength 0 should be the told velocity itself.",
                ),
                Mistake(
                    lambda told, untold, strength: told + strength * (untold - told),
                    "The other way: away from nobody.",
                ),
                Mistake(
                    lambda told, untold, strength: (1 + strength) * told,
                    "Subtract what is common to both: only the difference grows.",
                ),
            ],
        ),
        Exercise(
            "in_hertz",
            _in_hertz,
            _tunes,
            "Undo the scale (times the deviation, plus the mean), then 100 * 2 ** (semitones / 12).",
            [
                Mistake(
                    lambda pitch, mean, deviation: 100 * 2 ** (pitch / 12),
                    "The pitch is normalised: times the deviation and plus the mean gives semitones.",
                ),
                Mistake(
                    lambda pitch, mean, deviation: 100 + pitch * deviation + mean,
                    "Semitones are ratios: twelve of them double the frequency.",
                ),
                Mistake(
                    lambda pitch, mean, deviation: 100 * 2 ** ((pitch + mean) * deviation / 12),
                    "First times the deviation, then plus the mean.",
                ),
            ],
        ),
        Exercise(
            "rise",
            _rise,
            _endings,
            "Add np.linspace(0, semitones, n_last) to the last n_last phones, and leave the others.",
            [
                Mistake(_rise_everywhere, "Only the last phones rise; the others keep their pitch."),
                Mistake(_rise_at_once, "Evenly: from 0 at the first of them to `semitones` at the last."),
                Mistake(_rise_at_the_start, "A question rises at its end: index with -n_last."),
                Mistake(
                    _rise_that_replaces, "Add to the pitch that is there: it has the voice's own height."
                ),
            ],
        ),
        Exercise(
            "phase_turn",
            _phase_turn,
            lambda: [
                (np.array([0.0, 50.0, 100.0, 125.0, 220.0]), 128),
                (np.random.default_rng(0).uniform(20, 7900, 40), 128),
                (np.random.default_rng(1).uniform(20, 7900, 40), 256),
            ],
            "A whole period, 16000 / hz samples, is 2 pi; a hop is hop_length samples of it. Then bring the angle to -pi up to pi.",
            (
                Mistake(
                    _phase_turn_unwrapped,
                    "That is how far the wave has gone; a phase is an angle: take away whole turns of 2 pi until it lies "
                    "between -pi and pi.",
                ),
                Mistake(
                    _phase_turn_positive,
                    "Above pi the angle is shorter the other way round: shift it to -pi up to pi.",
                ),
                Mistake(_phase_turn_in_turns, "That is in whole turns; in radians it is 2 pi times as much."),
                Mistake(
                    _phase_turn_clipped,
                    "An angle above pi is not cut off there: after a whole turn it begins anew. `%` does that.",
                ),
            ),
        ),
        Exercise(
            "heteronym",
            _heteronym,
            _words_before,
            "Return ('R', 'IY1', 'D') after to, will, can and must, and ('R', 'EH1', 'D') after every other word.",
            [
                Mistake(
                    _heteronym_one_entry,
                    "That is what the dictionary does: one entry, whatever stands before.",
                ),
                Mistake(_heteronym_the_other_way, "The other way round: after 'to' it sounds like reed, IY."),
                Mistake(_heteronym_without_stress, "A vowel carries its stress: IY1 and EH1."),
            ],
        ),
        Exercise(
            "alignment_step",
            _alignment_step,
            _columns,
            "Put -inf before best[:-1]: that is coming from the phone before. Take the larger of staying and coming, "
            "add the column; moved is where coming is larger.",
            [
                Mistake(
                    _step_wraps,
                    "np.roll brings the last phone to the first place: nothing stands before the first phone, "
                    "so there it must be -inf.",
                ),
                Mistake(
                    _step_from_zero, "Before the first phone there is no path: its score is -inf, not 0."
                ),
                Mistake(
                    _step_sums, "The search wants the best path alone: the maximum. CTC adds all of them."
                ),
                Mistake(_step_stayed, "`moved` is True where the path comes from the phone before."),
                Mistake(
                    _step_greedy,
                    "Compare the paths so far (best), not the scores of this frame: one good frame may end a bad path.",
                ),
                Mistake(_step_without_column, "Add the scores of this frame to the better of the two."),
            ],
        ),
        Exercise(
            "expand",
            _expand,
            _sequences,
            "Row p is repeated durations[p] times: torch.repeat_interleave(hidden, durations, dim=0).",
            [
                Mistake(
                    _expand_tiled,
                    "Repeat each row in its place (a a b b), not the whole sequence (a b a b): repeat_interleave.",
                ),
                Mistake(_expand_features, "Expected (frames, features): time is the first dimension."),
                Mistake(
                    _expand_numbers, "These are the numbers of the rows: take the rows, hidden[numbers]."
                ),
                Mistake(
                    _expand_shared, "A phone is not shared out among its frames: each gets the whole row."
                ),
            ],
        ),
    )
}

way = EXERCISES["way"]
modulate = EXERCISES["modulate"]
guided = EXERCISES["guided"]
in_hertz = EXERCISES["in_hertz"]
rise = EXERCISES["rise"]
phase_turn = EXERCISES["phase_turn"]
heteronym = EXERCISES["heteronym"]
alignment_step = EXERCISES["alignment_step"]
expand = EXERCISES["expand"]

quiz = Quiz(
    Question(
        "A network that learns by squared error has heard the hiss of S a thousand times. Why is its own hiss smooth?",
        {
            "It is too small to remember them": "A larger one would be as smooth: the error asks for one answer.",
            "The best single answer is the mean of all": "And the mean of a thousand hisses does not flicker.",
            "A log-mel can not show a hiss": "It can: that of a recording is grainy.",
        },
        "The best single answer is the mean of all",
    ),
    Question(
        "Flow matching learns by squared error, too. Why is its result not the mean?",
        {
            "It has more steps": "With one step it would be the mean. The steps help for another reason.",
            "It learns the mean direction at a point and a time, and that leads to one of the answers": "As soon as a "
            "walk is nearer to one answer, the mean direction there points to it.",
            "Noise is added at the end": "Noise stands at the beginning, and there alone.",
        },
        "It learns the mean direction at a point and a time, and that leads to one of the answers",
    ),
    Question(
        "The voice encoder gets other words of the speaker than those to be said. What would happen with the same words?",
        {
            "It would learn faster, and all would be well": "Faster, but it would learn the words instead of the voice.",
            "It could tell the decoder the words and the tune": "Then it need not learn the voice, and fails with other words.",
            "Nothing: it sums up over time anyway": "A sum over time still holds which sounds there were.",
        },
        "It could tell the decoder the words and the tune",
    ),
    Question(
        "A vocoder trained on spectral losses alone buzzes, although the log-mel of its output is nearly right. What is missing?",
        {
            "Phase: the loss hardly sees it": "A judge that looks at the waveform sees it, and teaches the vocoder.",
            "More bands in the log-mel": "The loss looks at finer spectra already.",
            "A longer window": "Longer windows see pitch better, and phase as little.",
        },
        "Phase: the loss hardly sees it",
    ),
    Question(
        "Whisper understands every word of a synthetic voice. What do you know?",
        {
            "That it sounds natural": "A robot that speaks clearly is understood, too.",
            "That it sounds like the speaker": "The recogniser tries not to hear who speaks.",
            "That the words can be understood by Whisper": "No more. Ask people whether it is pleasant, and a speaker encoder whose voice.",
        },
        "That the words can be understood by Whisper",
    ),
)
