"""Measures of partial results, on texts whose times are known."""

import numpy as np
import pytest

from course_utils.decoding import measures
from course_utils.decoding.measures import Shown, watch
from course_utils.decoding.partial import Partial

SAID = ["seven", "two", "nine"]
TIMES = np.array([[0.2, 0.6], [0.7, 0.9], [1.1, 1.5]])


def shown(*texts, computing=0.0, chunk=0.32):
    """Texts after chunks of 0.32 s, the last one by `finish`."""
    heard = [chunk * (i + 1) for i in range(len(texts) - 1)]
    return [Shown(t, computing, text) for t, text in zip([*heard, heard[-1]], texts, strict=True)]


class Script:
    """A stream that says what it is told after each push."""

    def __init__(self, *texts):
        self.texts, self.lengths = iter(texts), []

    def push(self, chunk):
        self.lengths.append(len(chunk))
        return Partial(next(self.texts))

    def finish(self):
        return next(self.texts)


def test_a_stream_is_fed_in_chunks_and_every_text_is_noted_with_its_time():
    ticks = iter(range(100))
    stream = Script("a", "a b", "a b", "a b c")
    found = watch(stream, np.zeros(6000, np.float32), 160, clock=lambda: next(ticks) / 10)
    assert stream.lengths == [2560, 2560, 880], "the last chunk is what is left"
    assert [one.text for one in found] == ["a", "a b", "a b", "a b c"]
    assert [one.heard for one in found] == [0.16, 0.32, 0.375, 0.375]
    assert [one.computing for one in found] == pytest.approx([0.1] * 4)


def test_no_sound_is_only_the_final_text():
    found = watch(Script("nothing"), np.zeros(0, np.float32))
    assert [one.text for one in found] == ["nothing"] and np.isnan(measures.real_time_factor(found))


def test_a_computer_that_keeps_up_shows_a_text_when_it_is_computed():
    assert measures.moments(shown("", "", "", computing=0.1)) == pytest.approx([0.42, 0.74, 0.84])


def test_a_slow_computer_falls_behind_more_and_more():
    late = shown("", "", "", "", computing=0.5)
    assert measures.moments(late) == pytest.approx([0.82, 1.32, 1.82, 2.32])
    assert measures.final_latency(late) == pytest.approx(2.32 - 0.96)
    assert measures.real_time_factor(late) == pytest.approx(2.0 / 0.96)


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ("", "one", 0),
        ("one", "one two", 0),
        ("one thir", "one thirteen", 0),  # goes on
        ("one thirty", "one thirteen", 1),
        ("one for", "one four two", 1),  # "four" does not begin with "for": taken back
        ("one two three", "won two three", 3),  # all from the first that changes
        ("one two three", "one", 2),
        ("one two", "", 2),
        ("one two", "one two", 0),
        ("a b c", "a bb c", 2),  # "b" goes on, but it was not the last
    ],
)
def test_words_that_are_taken_back_are_counted_from_the_first_change(before, after, count):
    assert measures.unstable_words(before, after) == count


def test_the_unstable_word_ratio_counts_every_change_for_each_final_word():
    flicker = shown("eleven", "seven", "seven too", "seven two nine")
    assert measures.unstable_ratio(flicker) == pytest.approx(2 / 3)
    assert measures.unstable_ratio(shown("s", "seven", "seven two")) == 0
    assert np.isnan(measures.unstable_ratio(shown("one", "")))


def test_right_words_are_those_in_order_around_errors():
    assert measures.right_words(SAID, "seven too nine") == [(0, 0), (2, 2)]
    assert measures.right_words(SAID, "oh seven nine") == [(0, 1), (2, 2)]
    assert measures.right_words(SAID, "") == []


def test_emission_delay_runs_from_the_end_of_a_word_until_it_stands_for_good():
    text = shown("", "seven", "eleven", "seven two", "seven two nine")
    # heard: 0.32, 0.64, 0.96, 1.28, 1.28; "seven" was shown at 0.64, taken back, and stands from 1.28 on
    assert measures.emission_delays(text, SAID, TIMES) == pytest.approx([1.28 - 0.6, 1.28 - 0.9, 1.28 - 1.5])


def test_a_wrong_word_has_no_delay():
    text = shown("seven", "seven too", "seven too nine")
    assert measures.emission_delays(text, SAID, TIMES) == pytest.approx([0.32 - 0.6, 0.64 - 1.5])
    assert len(measures.emission_delays(shown("", "x"), SAID, TIMES)) == 0


def test_the_first_partial_runs_from_the_beginning_of_the_first_word_to_a_right_one():
    text = shown("eleven", "seven", "seven two", "seven two nine")
    assert measures.first_partial(text, SAID, TIMES) == pytest.approx(0.64 - 0.2)
    assert measures.first_partial(shown("eleven", "x two", "x two"), SAID, TIMES) == pytest.approx(0.64 - 0.2)
    assert np.isnan(measures.first_partial(shown("no", "nothing"), SAID, TIMES))


def test_a_partial_that_is_longer_than_the_final_text_is_no_error():
    assert np.isnan(measures.first_partial(shown("a b c d", ""), SAID, TIMES))


def test_the_final_latency_begins_when_the_sound_ends():
    text = [Shown(1.0, 0.02, "one"), Shown(1.0, 0.05, "one two")]
    assert measures.final_latency(text) == pytest.approx(0.07), "the last chunk has to be done first"


def test_the_algorithmic_latency_is_chunk_and_window():
    assert measures.algorithmic_latency(160) == pytest.approx(0.224)
    with pytest.raises(ValueError, match="multiple of 32"):
        measures.algorithmic_latency(100)


def speech(*steps):
    """Log-probabilities that say blank (0) or unit (1) at each step."""
    return np.log(np.array([[0.98, 0.02] if not step else [0.02, 0.98] for step in steps]))


def test_an_endpoint_comes_after_the_pause_and_only_where_something_was_said():
    said = speech(*[0] * 20, *[1] * 10, *[0] * 20, *[1] * 5, *[0] * 20)
    assert measures.endpoints(said, 0.32, chunk=1) == pytest.approx([40 * 0.032, 65 * 0.032])
    assert measures.endpoints(said, 0.32, chunk=8) == pytest.approx([40 * 0.032, 72 * 0.032]), "a chunk late"
    assert len(measures.endpoints(said, 0.96, chunk=1)) == 0
    assert len(measures.endpoints(speech(*[0] * 100), 0.32)) == 0


def test_what_ends_before_the_last_word_is_a_cut_off_and_the_next_one_is_the_wait():
    assert measures.cut_offs_and_wait(np.array([1.0, 2.0, 3.5]), 2.5) == (2, pytest.approx(1.0))
    cut, wait = measures.cut_offs_and_wait(np.array([1.0]), 2.5)
    assert cut == 1 and np.isnan(wait)
    assert measures.cut_offs_and_wait(np.array([]), 2.5)[0] == 0
