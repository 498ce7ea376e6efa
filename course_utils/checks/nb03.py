"""Exercises and quiz of notebook 03."""

import itertools

import numpy as np
import torch

from course_utils.checks.core import Exercise, Mistake, Question, Quiz
from course_utils.decoding.measures import unstable_words as _unstable_words


def _generator(seed):
    return np.random.default_rng(seed)


# --- references ------------------------------------------------------------------------------------------


def _places(first, count, capacity):
    return np.arange(first, first + count) % capacity


def _minutes_until_full(ppm, sample_rate, room):
    return room / (sample_rate * ppm * 1e-6) / 60


def _budget_used(seconds, block, sample_rate):
    return np.percentile(seconds, 99) / (block / sample_rate)


def _agreed(first, second):
    common = []
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        common.append(a)
    return common


def _prefix_step(blank, unit, row, last):
    grown = (blank + unit) * row[1:]
    grown[last - 1] = blank * row[last]
    return (blank + unit) * row[0], unit * row[last], grown


def _read_path(path):
    return "".join(unit for unit, _ in itertools.groupby(path) if unit != "-")


def _skips(labels):
    return np.array(
        [s % 2 == 1 and s > 1 and labels[s // 2] != labels[s // 2 - 1] for s in range(2 * len(labels) + 1)]
    )


def _convolve(x, past, w):
    together, n = torch.cat([past, x]), len(x)
    y = sum(w[j] * together[j : j + n] for j in range(len(w)))
    return y, together[n:]


def _visible(n, chunk, left):
    look, seen = np.arange(n)[:, None], np.arange(n)
    begin = look // chunk * chunk
    return (seen >= begin - left) & (seen < begin + chunk)


def _viterbi_step(scores, skip, row):
    ways = np.full((3, len(scores)), -1e9)
    ways[0], ways[1, 1:] = scores, scores[:-1]
    ways[2, 2:] = np.where(skip[2:], scores[:-2], -1e9)
    return ways.max(0) + row, ways.argmax(0)


def _receptive_steps(layers, kernel):
    return layers * (kernel - 1) + 1


def _delay_penalty(log_probs, weight):
    steps = torch.arange(log_probs.shape[1])
    result = log_probs.clone()
    result[..., 1:] += weight * (log_probs.shape[1] / 2 - steps)[:, None]
    return result


# --- typical mistakes --------------------------------------------------------------------------------------


def _places_without_wrapping(first, count, capacity):
    return np.arange(first, first + count)


def _places_wrapped_once(first, count, capacity):
    places = np.arange(first, first + count)
    return np.where(places >= capacity, places - capacity, places)


def _places_of_the_start_alone(first, count, capacity):
    return first % capacity + np.arange(count)


def _places_up_to_count(first, count, capacity):
    return np.arange(first, count) % capacity


def _places_from_zero(first, count, capacity):
    return np.arange(count) % capacity


def _agreed_anywhere(first, second):
    return [a for a, b in zip(first, second, strict=False) if a == b]


def _agreed_as_sets(first, second):
    return [word for word in first if word in second]


def _agreed_and_one_more(first, second):
    return list(first[: len(_agreed(first, second)) + 1])


def _agreed_count(first, second):
    return len(_agreed(first, second))


def _agreed_if_as_long(first, second):
    return list(first) if list(first) == list(second)[: len(first)] else []


def _prefix_step_repeats_freely(blank, unit, row, last):
    return (blank + unit) * row[0], unit * row[last], (blank + unit) * row[1:]


def _prefix_step_stays_from_both(blank, unit, row, last):
    _, _, grown = _prefix_step(blank, unit, row, last)
    return (blank + unit) * row[0], (blank + unit) * row[last], grown


def _prefix_step_blank_from_blank(blank, unit, row, last):
    _, stays, grown = _prefix_step(blank, unit, row, last)
    return blank * row[0], stays, grown


def _unstable_place_by_place(before, after):
    old, new = before.split(), after.split()
    return sum(place >= len(new) or new[place] != word for place, word in enumerate(old)) - _grown(old, new)


def _grown(old, new):
    return (
        bool(old)
        and len(old) <= len(new)
        and old != new[: len(old)]
        and new[len(old) - 1].startswith(old[-1])
    )


def _unstable_as_sets(before, after):
    return len(set(before.split()) - set(after.split()))


def _unstable_growing_counts(before, after):
    old, new = before.split(), after.split()
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    return len(old) - same


def _unstable_of_the_new_text(before, after):
    old, new = before.split(), after.split()
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    return len(new) - same


def _unstable_letters(before, after):
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        same += 1
    return len(before) - same


def _read_without_merging(path):
    return path.replace("-", "")


def _read_blanks_first(path):
    return "".join(unit for unit, _ in itertools.groupby(path.replace("-", "")))


def _skips_always(labels):
    return np.array([s % 2 == 1 and s > 1 for s in range(2 * len(labels) + 1)])


def _skips_from_the_start(labels):
    result = _skips(labels)
    result[1:2] = True
    return result


def _convolve_backwards(x, past, w):
    return _convolve(x, past, w.flip(0))


def _convolve_without_past(x, past, w):
    y, _ = _convolve(x, torch.zeros_like(past), w)
    return y, _convolve(x, past, w)[1]


def _convolve_keeps_new_alone(x, past, w):
    return _convolve(x, past, w)[0], x[-(len(w) - 1) :]


def _visible_causal(n, chunk, left):
    look, seen = np.arange(n)[:, None], np.arange(n)
    return _visible(n, chunk, left) & (seen <= look)


def _visible_from_the_step(n, chunk, left):
    look, seen = np.arange(n)[:, None], np.arange(n)
    return (seen >= look - left) & (seen < look // chunk * chunk + chunk)


def _visible_without_left(n, chunk, left):
    look, seen = np.arange(n)[:, None], np.arange(n)
    return seen < look // chunk * chunk + chunk + 0 * left


def _viterbi_sum(scores, skip, row):
    ways = np.full((3, len(scores)), -1e9)
    ways[0], ways[1, 1:] = scores, scores[:-1]
    ways[2, 2:] = np.where(skip[2:], scores[:-2], -1e9)
    return np.logaddexp.reduce(ways) + row, ways.argmax(0)


def _viterbi_skips_always(scores, skip, row):
    return _viterbi_step(scores, np.ones_like(skip), row)


def _receptive_one_layer(layers, kernel):
    return layers * kernel


def _receptive_not_itself(layers, kernel):
    return layers * (kernel - 1)


def _penalty_on_blanks(log_probs, weight):
    return log_probs + weight * (log_probs.shape[1] / 2 - torch.arange(log_probs.shape[1]))[:, None]


def _penalty_for_early(log_probs, weight):
    return _delay_penalty(log_probs, -weight)


# --- inputs ------------------------------------------------------------------------------------------------


def _ring_positions():
    return [(6, 5, 8), (0, 3, 8), (29, 8, 8), (1_000_003, 7, 160), (5, 0, 8)]


def _clocks():
    return [(50.0, 16_000, 800), (100.0, 48_000, 4800), (20.0, 44_100, 1), (3.0, 16_000, 16_000)]


def _times():
    return [
        (np.array([0.001] * 98 + [0.02] * 2), 160, 16_000),
        *((_generator(seed).gamma(2, 0.002, 400), 256 * (seed + 1), 16_000) for seed in range(3)),
        (_generator(9).gamma(2, 0.002, 50), 480, 48_000),
    ]


def _hypotheses():
    texts = [
        ("the cat sat on", "the cat sad on a mat"),
        ("the cat", "the cat sat"),
        ("a cat sat", "the cat sat"),
        ("on and on", "on and on and"),
        ("one two three", "one three two three"),
        ("", "hello"),
        ("hello there", "hello there"),
    ]
    return [(first.split(), second.split()) for first, second in texts]


def _prefixes():
    rows = [np.random.default_rng(seed).dirichlet(np.ones(4)) for seed in range(3)]
    return [
        (0.3, 0.1, np.array([0.6, 0.3, 0.1]), 1),
        *((0.2, 0.05 * k, row, k + 1) for k, row in enumerate(rows)),
    ]


def _texts():
    return [
        ("one two", "one two three"),
        ("one thir", "one thirteen"),
        ("one too three", "one two three"),
        ("one for five", "won four five six"),
        ("one two three", "one"),
        ("one two", ""),
        ("", "one"),
        ("set a timer", "set the timer"),
        ("two two two", "two two"),
    ]


def _paths():
    return [("--cc-aa-t",), ("hel-lo",), ("hello",), ("",), ("----",), ("a-a-a",), ("aab-b",)]


def _label_rows():
    return [([1, 2],), ([3, 3, 1],), ([5],), ([2, 2, 2],), ([1, 2, 1, 2],)]


def _pieces():
    made = []
    for seed, (n, k) in enumerate([(6, 4), (2, 5), (1, 3), (9, 2), (0, 3)]):
        draw = torch.Generator().manual_seed(seed)
        made.append(tuple(torch.randn(size, 3, generator=draw) for size in (n, k - 1, k)))
    return made


def _masks():
    return [(12, 4, 3), (10, 5, 5), (7, 1, 2), (9, 3, 100)]


def _states():
    made = []
    for seed, labels in enumerate([[1, 2], [3, 3, 1], [2, 2, 2, 4]]):
        draw, skip = _generator(seed), _skips(labels)
        made.append((draw.normal(-5, 2, len(skip)), skip, np.log(draw.uniform(0.1, 1, len(skip)))))
    return made


def _stacks():
    return [(4, 15), (4, 5), (1, 3), (7, 9)]


def _log_probs():
    draw = torch.Generator().manual_seed(0)
    return [
        (torch.randn(2, n, 4, generator=draw).log_softmax(-1), weight) for n, weight in ((6, 0.1), (5, 0.01))
    ]


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "places",
            _places,
            _ring_positions,
            "Sample number k stands in place k modulo the capacity: np.arange(first, first + count) % capacity.",
            [
                Mistake(
                    _places_without_wrapping, "The memory ends at capacity - 1: wrap around with % capacity."
                ),
                Mistake(
                    _places_wrapped_once,
                    "A stream goes around many times: subtracting the capacity once is too little, take the "
                    "remainder.",
                ),
                Mistake(
                    _places_of_the_start_alone,
                    "Wrap every sample, not the first alone: a chunk may cross the end of the memory.",
                ),
                Mistake(
                    _places_up_to_count,
                    "`count` is how many samples there are; the last is first + count - 1.",
                ),
                Mistake(_places_from_zero, "Begin at `first`, not at 0: the ring is full of older samples."),
            ],
        ),
        Exercise(
            "minutes_until_full",
            _minutes_until_full,
            _clocks,
            "The ring gains sample_rate * ppm * 1e-6 samples a second; divide the room by that, and by 60.",
            [
                Mistake(
                    lambda ppm, sample_rate, room: room / (sample_rate * ppm * 1e-2) / 60,
                    "ppm are parts per million, not per cent: 1e-6.",
                ),
                Mistake(
                    lambda ppm, sample_rate, room: room / (sample_rate * ppm * 1e-6),
                    "That is in seconds; minutes are asked.",
                ),
                Mistake(
                    lambda ppm, sample_rate, room: room / (ppm * 1e-6) / 60,
                    "The clock gains ppm millionths of the sample rate each second: multiply by sample_rate.",
                ),
                Mistake(
                    lambda ppm, sample_rate, room: sample_rate * ppm * 1e-6 * 3600,
                    "That is how many samples are gained in an hour; asked is when `room` samples are reached.",
                ),
            ],
        ),
        Exercise(
            "budget_used",
            _budget_used,
            _times,
            "np.percentile(seconds, 99) divided by the duration of a block, block / sample_rate.",
            [
                Mistake(
                    lambda seconds, block, sample_rate: np.mean(seconds) / (block / sample_rate),
                    "The mean hides the slow blocks, which are the ones that stutter: take the 99th percentile.",
                ),
                Mistake(
                    lambda seconds, block, sample_rate: np.max(seconds) / (block / sample_rate),
                    "That is the slowest block of all, another number with each run: take the 99th percentile.",
                ),
                Mistake(
                    lambda seconds, block, sample_rate: np.quantile(seconds, 0.01) / (block / sample_rate),
                    "That is the fastest hundredth. Slow is large: 99.",
                ),
                Mistake(
                    lambda seconds, block, sample_rate: (block / sample_rate) / np.percentile(seconds, 99),
                    "The other way round: computing time over the time there is, so that below 1 fits.",
                ),
                Mistake(
                    lambda seconds, block, sample_rate: np.percentile(seconds, 99),
                    "Divide by what there is: a block lasts block / sample_rate seconds.",
                ),
            ],
        ),
        Exercise(
            "agreed",
            _agreed,
            _hypotheses,
            "Walk along both lists together and stop at the first pair that differs, or where one of them ends.",
            [
                Mistake(
                    _agreed_anywhere,
                    "Stop at the first difference: words after it may be equal by chance, and are not agreed yet.",
                ),
                Mistake(_agreed_as_sets, "Compare place by place: the same word elsewhere is no agreement."),
                Mistake(_agreed_and_one_more, "The first word that differs does not belong to it any more."),
                Mistake(_agreed_count, "Return the words, not how many there are."),
                Mistake(
                    _agreed_if_as_long, "A part of the first list may agree, too: up to the first difference."
                ),
            ],
        ),
        Exercise(
            "prefix_step",
            _prefix_step,
            _prefixes,
            "Ask of each kind of path what it reads as after this step: the text as it is, or the text and one letter more.",
            [
                Mistake(
                    _prefix_step_repeats_freely,
                    "Without a blank between them, the same letter twice is read as one: only paths that end in the blank "
                    "can write the last letter again.",
                ),
                Mistake(
                    _prefix_step_stays_from_both,
                    "After a blank, the last letter is a new letter: only paths that end in that letter stay at the text.",
                ),
                Mistake(
                    _prefix_step_blank_from_blank,
                    "A blank leaves every text as it is, so both kinds of path may go on with it.",
                ),
            ],
        ),
        Exercise(
            "unstable_words",
            _unstable_words,
            _texts,
            "Walk along both lists of words while they agree; what is left of the old one was taken back, but not a "
            "last word that only goes on.",
            [
                Mistake(
                    _unstable_growing_counts,
                    'A last word that only gets longer ("thir", "thirteen") was not taken back: use startswith.',
                ),
                Mistake(
                    _unstable_place_by_place,
                    "From the first word that changes on, all that follow count too: the reader has to read them anew.",
                ),
                Mistake(_unstable_as_sets, "A set forgets order and repetitions: compare place by place."),
                Mistake(
                    _unstable_of_the_new_text, "Count words of the old text: they are what was taken back."
                ),
                Mistake(_unstable_letters, "Count words, not letters: split the texts first."),
            ],
        ),
        Exercise(
            "read_path",
            _read_path,
            _paths,
            "First merge equal neighbours (itertools.groupby), then drop the blanks.",
            [
                Mistake(
                    _read_without_merging,
                    "Equal neighbours are one unit: merge them before you drop the blanks.",
                ),
                Mistake(
                    _read_blanks_first,
                    "Merge first and drop the blanks afterwards: a blank between two equal letters keeps both.",
                ),
            ],
        ),
        Exercise(
            "skips",
            _skips,
            _label_rows,
            "State s is a unit where s is odd; it may skip the blank before it, if the unit before that is another one.",
            [
                Mistake(
                    _skips_always,
                    "Between two equal units the blank must be walked through, or they become one.",
                ),
                Mistake(_skips_from_the_start, "Before the first unit there is nothing to skip from."),
            ],
        ),
        Exercise(
            "convolve",
            _convolve,
            _pieces,
            "Put past and x one behind the other: output t is the weighted sum of the k rows that end at step t.",
            [
                Mistake(
                    _convolve_backwards,
                    "The last row of w belongs to the present step, the first to the oldest.",
                ),
                Mistake(
                    _convolve_without_past, "The first outputs reach back into `past`; do not pad with zeros."
                ),
                Mistake(
                    _convolve_keeps_new_alone,
                    "Where fewer than k - 1 steps are new, the state still holds older ones: cut it from both together.",
                ),
            ],
        ),
        Exercise(
            "visible",
            _visible,
            _masks,
            "The chunk of step t begins at t // chunk * chunk: from `left` steps before that to its end.",
            [
                Mistake(
                    _visible_causal, "Inside its chunk a step may look ahead: the chunk is computed at once."
                ),
                Mistake(
                    _visible_from_the_step,
                    "`left` counts from the beginning of the chunk: all its steps share the same memory.",
                ),
                Mistake(
                    _visible_without_left, "The past must end somewhere, or the memory grows: mind `left`."
                ),
            ],
        ),
        Exercise(
            "viterbi_step",
            _viterbi_step,
            _states,
            "Three rows: scores, scores shifted by one, and by two where `skip` says so; take maximum and argmax, add row.",
            [
                Mistake(
                    _viterbi_sum,
                    "That is the sum over all ways, as in CTC's loss. Viterbi takes the best alone: max.",
                ),
                Mistake(_viterbi_skips_always, "Two states may be skipped only where `skip` is true."),
            ],
        ),
        Exercise(
            "receptive_steps",
            _receptive_steps,
            _stacks,
            "Each layer adds kernel - 1 steps to what the one above it sees; a single step sees itself.",
            [
                Mistake(
                    _receptive_one_layer,
                    "Neighbouring layers share a step: each adds kernel - 1, not kernel.",
                ),
                Mistake(_receptive_not_itself, "The present step counts, too: add one."),
            ],
        ),
        Exercise(
            "delay_penalty",
            _delay_penalty,
            _log_probs,
            "Add weight * (T / 2 - t) to all classes but class 0; T is the number of steps, t counts from 0.",
            [
                Mistake(
                    _penalty_on_blanks,
                    "Leave the blank (class 0) as it is: what moves all classes changes nothing.",
                ),
                Mistake(_penalty_for_early, "The other sign: early steps, with small t, get more."),
            ],
        ),
    )
}

places = EXERCISES["places"]
minutes_until_full = EXERCISES["minutes_until_full"]
budget_used = EXERCISES["budget_used"]
agreed = EXERCISES["agreed"]
prefix_step = EXERCISES["prefix_step"]
unstable_words = EXERCISES["unstable_words"]
read_path = EXERCISES["read_path"]
skips = EXERCISES["skips"]
convolve = EXERCISES["convolve"]
visible = EXERCISES["visible"]
viterbi_step = EXERCISES["viterbi_step"]
receptive_steps = EXERCISES["receptive_steps"]
delay_penalty = EXERCISES["delay_penalty"]

quiz = Quiz(
    Question(
        "A program needs 6 ms for each block of 10 ms in the mean, and still drops sound. What do you look at first?",
        {
            "A faster processor": "Perhaps later. On average it is fast enough already.",
            "The slowest blocks: p99 against 10 ms": "A mean hides the one block in a hundred that takes 70 ms.",
            "A higher sample rate": "That makes more samples for the same time, and so less time for each.",
        },
        "The slowest blocks: p99 against 10 ms",
    ),
    Question(
        "How many different texts can one path of CTC be read as?",
        {
            "One": "Merge, drop the blanks: the rule leaves no choice. It is the other way round that there are many.",
            "As many as it has steps": "The steps make the path; the rule of reading makes one text of it.",
            "None, if it holds blanks": "Blanks are dropped; what is left is the text, perhaps an empty one.",
        },
        "One",
    ),
    Question(
        "The same network runs with chunks of 32 ms and of 640 ms. Which difference is no matter of luck?",
        {
            "The long chunks have fewer errors": "Often, since steps see more of what follows, but a clip may go either way.",
            "The long chunks show words later": "A word waits for the end of its chunk before anything is computed.",
            "The short chunks need less computing in all": "More: every call costs something by itself.",
        },
        "The long chunks show words later",
    ),
    Question(
        "LocalAgreement takes all flicker from a recogniser. What does it take besides?",
        {
            "Nothing: it only waits": "Waiting is a price, and what became stable too early can not be mended.",
            "Time, and the chance to mend a word": "A word is shown when two hypotheses agree, and stays, right or wrong.",
            "Half of the computing": "The recording is decoded as often as before.",
        },
        "Time, and the chance to mend a word",
    ),
    Question(
        "A beam with a dictionary lowers the WER from 30 to 12 %. A speaker says a name that is not in it. What comes out?",
        {
            "The name, spelled as it sounds": "A greedy decoder might do that; the dictionary forbids it.",
            "Nothing": "The sound has to be explained by something.",
            "Words of the dictionary that sound like it": "The search takes the best of what it may write, whatever was said.",
        },
        "Words of the dictionary that sound like it",
    ),
)
