"""Exercises and quiz of notebook 08."""

import numpy as np

from course_utils.checks.core import Exercise, Mistake, Question, Quiz

NUMBERS = "zero one two three four five six seven eight nine ten".split()

# --- references ------------------------------------------------------------------------------------------


def _calculated(first, operation, second):
    a, b = NUMBERS.index(first), NUMBERS.index(second)
    result = {"plus": a + b, "minus": a - b, "times": a * b}[operation]
    return f"{first} {operation} {second} is {'minus ' if result < 0 else ''}{abs(result)}."


def _complete(text, sentences):
    return text in sentences and not any(one.startswith(text + " ") for one in sentences)


def _doubt(free, words, phones):
    return (free.sum() - words) / max(1, phones.sum())


def _needed(lengths, waiting, ahead):
    made = 0
    while made < len(lengths) and waiting < ahead:
        waiting += lengths[made]
        made += 1
    return made


def _budget(stages):
    return np.percentile(stages.sum(1), [50, 95])


def _count_down(number):
    return " ".join(reversed(NUMBERS[: NUMBERS.index(number) + 1])) + "."


def _prepared(texts, questions):
    begun, last = [], None
    for text in texts:
        if text in questions and text != last:
            begun.append(text)
        last = text
    return begun


# --- typical mistakes ------------------------------------------------------------------------------------


def _calculated_in_digits(first, operation, second):
    a, b = NUMBERS.index(first), NUMBERS.index(second)
    return _calculated(first, operation, second).replace(first, str(a), 1).replace(f" {second} ", f" {b} ")


def _calculated_without_a_sign(first, operation, second):
    return _calculated(first, operation, second).replace("is minus", "is")


def _calculated_with_a_sign(first, operation, second):
    return _calculated(first, operation, second).replace("is minus ", "is -")


def _calculated_without_a_stop(first, operation, second):
    return _calculated(first, operation, second)[:-1]


def _calculated_in_words(first, operation, second):
    *words, result = _calculated(first, operation, second)[:-1].split()
    return " ".join([*words, [*NUMBERS, "eleven", "twelve"][int(result)]]) + "."


def _complete_if_known(text, sentences):
    return text in sentences


def _complete_by_letters(text, sentences):
    return text in sentences and not any(one.startswith(text) and one != text for one in sentences)


def _complete_without_being_known(text, sentences):
    return not any(one.startswith(text + " ") for one in sentences)


def _complete_unless_inside(text, sentences):
    return text in sentences and not any(text + " " in one for one in sentences)


def _doubt_per_step(free, words, phones):
    return (free.sum() - words) / len(free)


def _doubt_upside_down(free, words, phones):
    return (words - free.sum()) / max(1, phones.sum())


def _doubt_in_all(free, words, phones):
    return free.sum() - words


def _doubt_without_one(free, words, phones):
    with np.errstate(divide="ignore"):
        return np.float64(free.sum() - words) / phones.sum()


def _needed_one_more(lengths, waiting, ahead):
    return min(len(lengths), _needed(lengths, waiting, ahead) + 1)


def _needed_while_as_many_wait(lengths, waiting, ahead):
    return _needed(lengths, waiting, ahead + 1)


def _needed_by_count(lengths, waiting, ahead):
    return len(lengths) if waiting < ahead else 0


def _needed_without_what_waits(lengths, waiting, ahead):
    return _needed(lengths, 0, ahead)


def _budget_of_stages(stages):
    return np.percentile(stages, [50, 95], axis=0).sum(1)


def _budget_of_means(stages):
    return np.percentile(stages.mean(1), [50, 95])


def _budget_in_shares(stages):
    return np.percentile(stages.sum(1), [0.5, 0.95])


def _budget_turned_round(stages):
    return np.percentile(stages.sum(1), [95, 50])


def _budget_of_each_stage(stages):
    return np.percentile(stages, [50, 95], axis=0).sum(0)


def _budget_over_turns(stages):
    return np.percentile(stages.sum(0), [50, 95])


def _count_up(number):
    return " ".join(NUMBERS[: NUMBERS.index(number) + 1]) + "."


def _count_down_to_one(number):
    return " ".join(reversed(NUMBERS[1 : NUMBERS.index(number) + 1])) + "."


def _count_down_without_a_stop(number):
    return _count_down(number)[:-1]


def _count_down_in_digits(number):
    return " ".join(str(i) for i in range(NUMBERS.index(number), -1, -1)) + "."


def _prepared_each_time(texts, questions):
    return [text for text in texts if text in questions]


def _prepared_once(texts, questions):
    return list(dict.fromkeys(text for text in texts if text in questions))


# --- inputs ----------------------------------------------------------------------------------------------


def _calculations():
    rows = [
        ("five", "minus", "two"),
        ("two", "minus", "five"),
        ("three", "times", "four"),
        ("ten", "plus", "one"),
    ]
    return [*rows, ("zero", "minus", "ten")]


_SENTENCES = [
    "what is two plus four",
    "what is two plus fourteen",
    "play music",
    "play music again",
    "what time is it",
    "stop",
    "do not stop now",
]


def _texts():
    cases = [
        "what is two plus four",
        "play music",
        "play music again",
        "what time",
        "sing",
        "what is two plus fourteen",
        "stop",
    ]
    return [(text, list(_SENTENCES)) for text in cases]


def _steps():
    draw = np.random.default_rng(80)
    rows = [(-draw.random(n), -draw.random() * 40 - n, draw.random(n) < 0.4) for n in (8, 30)]
    return [*rows, (-draw.random(5), -9.0, np.zeros(5, bool))]


def _pieces():
    return [
        ([8000, 8000, 16000, 32000], 0, 16000),
        ([8000, 8000], 12000, 16000),
        ([8000, 8000], 16000, 16000),
        ([100, 100], 0, 16000),
        ([], 0, 10),
    ]


def _times():
    draw = np.random.default_rng(81)
    return [(draw.gamma(2, 100, (n, 4)),) for n in (20, 61)]


def _counts():
    return [(number,) for number in ("three", "zero", "ten")]


def _partials():
    questions = {"what time is it", "play music"}
    return [
        (["what", "what time", "what time is it", "what time is it"], questions),
        (["play music", "play music again", "play music"], questions),
        (["play music", "what time is it", "what time is it"], questions),
        (["sing"], questions),
    ]


EXERCISES = {
    exercise.name: exercise
    for exercise in (
        Exercise(
            "calculated",
            _calculated,
            _calculations,
            "NUMBERS.index(word) makes a number of a word; build 'first operation second is result.' with the words as "
            "they were heard, and write 'minus ' before a result below zero.",
            [
                Mistake(
                    _calculated_without_a_sign, "Two minus five is below zero: say 'minus' before the 3."
                ),
                Mistake(
                    _calculated_with_a_sign, "The synthesiser can not read '-3': write the word, 'minus 3'."
                ),
                Mistake(_calculated_without_a_stop, "All is right, but the full stop at the end is missing."),
                Mistake(_calculated_in_words, "The result is to be in digits: 'is 3.', not 'is three.'"),
                Mistake(
                    _calculated_in_digits,
                    "Repeat the words as they were heard; only the result is in digits.",
                ),
            ],
        ),
        Exercise(
            "complete",
            _complete,
            _texts,
            "It has to be one of the sentences, and none may begin with it followed by a blank.",
            [
                Mistake(_complete_if_known, "'play music' may still become 'play music again'."),
                Mistake(
                    _complete_by_letters,
                    "'four' is the beginning of 'fourteen' in letters, but a word that is over is over: look for the text "
                    "and a blank.",
                ),
                Mistake(
                    _complete_unless_inside,
                    "'do not stop now' has 'stop' in it, but it does not begin with it: look at the beginning only.",
                ),
                Mistake(
                    _complete_without_being_known, "'sing' is no sentence at all, so it is not complete."
                ),
            ],
        ),
        Exercise(
            "doubt",
            _doubt,
            _steps,
            "Two sums and a division: the best phones of all steps together, less the score of the words, for each step with "
            "a phone.",
            [
                Mistake(
                    _doubt_per_step, "Silence costs nothing: divide by the steps with a phone, not by all."
                ),
                Mistake(_doubt_upside_down, "The best phones are never worse: take the words from them."),
                Mistake(_doubt_in_all, "A long sentence would be doubted more than a short one: divide."),
                Mistake(_doubt_without_one, "Where no step has a phone you divide by 0: there divide by 1."),
            ],
            nudge="Put the three arguments beside the formula: which is the sum over b, which S, which n?",
        ),
        Exercise(
            "needed",
            _needed,
            _pieces,
            "Count up while fewer than `ahead` samples wait, adding the length of each piece to `waiting`.",
            [
                Mistake(
                    _needed_one_more, "Stop as soon as enough waits: look before you make the next piece."
                ),
                Mistake(
                    _needed_while_as_many_wait,
                    "`ahead` samples are enough: go on while fewer wait, not while as many do.",
                ),
                Mistake(
                    _needed_by_count, "Not all of it: a chorale of ten minutes would be in memory at once."
                ),
                Mistake(_needed_without_what_waits, "Some samples wait already: begin with them."),
            ],
        ),
        Exercise(
            "budget",
            _budget,
            _times,
            "First the sum of each row, one number for a turn; then np.percentile of these.",
            [
                Mistake(
                    _budget_of_stages,
                    "Percentiles do not add: the slowest final text and the slowest voice are rarely in one turn. First sum "
                    "each turn.",
                ),
                Mistake(_budget_of_means, "A turn takes the sum of its stages, not their mean."),
                Mistake(
                    _budget_in_shares, "np.percentile counts from 0 to 100: 50 and 95. (np.quantile: to 1.)"
                ),
                Mistake(_budget_turned_round, "First the p50, then the p95."),
                Mistake(
                    _budget_of_each_stage,
                    "That is a figure for each stage. A turn is a row: sum along axis 1 first, then take percentiles.",
                ),
                Mistake(_budget_over_turns, "You summed the turns. A turn is a row: sum along axis 1."),
            ],
        ),
        Exercise(
            "count_down",
            _count_down,
            _counts,
            "NUMBERS up to the number and with it, from the last to the first, joined by blanks, and a full stop.",
            [
                Mistake(_count_up, "Down, not up: reversed(...)."),
                Mistake(_count_down_to_one, "It ends with zero."),
                Mistake(_count_down_without_a_stop, "All is right, but the full stop at the end is missing."),
                Mistake(_count_down_in_digits, "In words: 'three two one zero.'"),
            ],
        ),
        Exercise(
            "prepared",
            _prepared,
            _partials,
            "Keep the last text; begin when the new one is a question and another text than the last.",
            [
                Mistake(_prepared_each_time, "The same text twice in a row is being prepared already."),
                Mistake(
                    _prepared_once,
                    "If another text came in between, what was prepared is gone, and it has to begin again.",
                ),
            ],
        ),
    )
}

calculated = EXERCISES["calculated"]
complete = EXERCISES["complete"]
doubt = EXERCISES["doubt"]
needed = EXERCISES["needed"]
budget = EXERCISES["budget"]
count_down = EXERCISES["count_down"]
prepared = EXERCISES["prepared"]

quiz = Quiz(
    Question(
        "Most of the time between your last word and the first sound of the reply is",
        {
            "the recogniser's computing": "It computes while you speak; after the last word little is left.",
            "waiting for a pause that is long enough": "The endpointer can not know that you are done before you are silent.",
            "the text-to-speech model": "Its first piece is half a second of sound, and is made in less, if nothing else computes.",
        },
        "waiting for a pause that is long enough",
    ),
    Question(
        "Why does the assistant not listen while it speaks through a loudspeaker?",
        {
            "Its threads can not do both": "They can: with headphones it does listen while it speaks.",
            "It would hear its own reply, and stop at it": "A microphone does not know who speaks.",
            "The browser forbids it": "A browser records and plays at the same time without objection.",
        },
        "It would hear its own reply, and stop at it",
    ),
    Question(
        "A graph of 40 words hears a reader of books. Without a threshold of doubt it writes",
        {
            "nothing, because the words are unknown": "It has no unknown words: some path is always the best.",
            "the words that were read": "It can write its 40 words and no other.",
            "those of its words that sound least unlike": "The best of bad paths is still the best, so it needs a doubt.",
        },
        "those of its words that sound least unlike",
    ),
    Question(
        "Three stages have a 95th percentile of 100 ms each. That of their sum is",
        {
            "300 ms": "Only if the same turns were slow in all three stages.",
            "mostly below 300 ms, and has to be measured on the sums": "Percentiles do not add; sum each turn first.",
            "100 ms": "The sum of a turn is at least as long as each of its stages.",
        },
        "mostly below 300 ms, and has to be measured on the sums",
    ),
    Question(
        "What keeps memory constant over an hour?",
        {
            "Every queue, log and utterance has a greatest length": "What can grow without limit will, on some evening.",
            "Python frees what is not needed": "A list that you still hold is needed, as far as Python knows.",
            "The models are small": "They are constant at any size; the sound and the log are what grows.",
        },
        "Every queue, log and utterance has a greatest length",
    ),
)
