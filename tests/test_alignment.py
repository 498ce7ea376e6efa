"""Where words and phones of a known text are, and a last layer that learns a voice."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.decoding.alignment import align_words, phone_durations, whole, word_edges
from course_utils.models.recognition import LETTERS, PHONES, RecogniserConfig
from course_utils.models.recognition_streams import Recogniser
from course_utils.recipes.recognition import adapt_last_layer
from course_utils.waveform import AudioError

SIZES = {"dim": 16, "layers": 1, "heads": 0, "kernel": 3, "phones_after": 1, "mean_frames": 4, "dropout": 0.0}


class Spelling:
    """A recogniser that is sure of a letter at each of some steps, and of the blank elsewhere."""

    config = RecogniserConfig()

    def __init__(self, letters):
        self.letters = letters

    def hear(self, waveform, chunk_ms):
        log_probs = torch.full((1, 40, len(LETTERS) + 1), -20.0)
        log_probs[..., 0] = 0
        for step, letter in self.letters.items():
            log_probs[0, step, 0], log_probs[0, step, LETTERS.index(letter) + 1] = -20, 0
        return type("Heard", (), {"units": log_probs})


def test_words_lie_where_their_letters_are():
    model = Spelling({3: "i", 6: " ", 10: "a", 14: "m"})
    edges = word_edges(model, np.zeros(16_000, np.float32), ["i", "am"])
    assert np.allclose(edges, 0.032 * np.array([[3, 4], [10, 15]]))


def test_letters_that_are_no_units_are_named():
    with pytest.raises(ValueError, match="é"):
        word_edges(Spelling({}), np.zeros(16_000, np.float32), ["café"])


def test_only_the_last_layer_learns_a_voice():
    torch.manual_seed(0)
    model = Recogniser(RecogniserConfig(**SIZES)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    adapted = adapt_last_layer(model, [(noise, "Hello there.")], steps=3)
    changed = {name for name, value in adapted.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Phones:
    """A recogniser that is sure of one phone at each of some steps, and of the blank elsewhere."""

    def __init__(self, said):
        self.said = said

    def hear(self, waveform, chunk_ms):
        log_probs = torch.full((1, 1 + len(waveform) // 512 + 10, len(PHONES) + 1), -20.0)
        log_probs[..., 0] = 0
        for step, phone in self.said.items():
            log_probs[0, step, 0], log_probs[0, step, PHONES.index(phone) + 1] = -20, 0
        return type("Heard", (), {"phones": log_probs})


def loud(*spans, seconds=1.0):
    """Noise in spans of seconds, and silence elsewhere."""
    waveform = np.zeros(round(seconds * 16_000), np.float32)
    for begin, end in spans:
        waveform[round(begin * 16_000) : round(end * 16_000)] = 0.1
    return waveform * np.random.default_rng(0).normal(size=len(waveform)).astype(np.float32)


HELLO = {12: "HH", 15: "AY"}  # written in the steps at 0.384 and 0.480 s


def test_phones_lie_about_where_they_are_written_and_silence_where_it_is_quiet():
    waveform = loud((0.256, 0.512))
    durations = phone_durations(Phones(HELLO), waveform, ["sil", "HH", "AY1", "sil"], delay=0.064)
    assert durations.sum() == 1 + len(waveform) // 256 == 63
    # loud from frame 16 to 32, the window reaches two frames further; the edge is at 0.448 - 0.064 s, frame 24
    assert np.allclose(np.cumsum(durations)[:3], [16, 24, 32], atol=2)
    assert np.cumsum(durations)[1] == 24


def test_a_later_recogniser_is_set_right_by_its_delay():
    waveform, phones = loud((0.2, 0.6)), ["sil", "HH", "AY1", "sil"]
    early = phone_durations(Phones(HELLO), waveform, phones, delay=0.032)
    late = phone_durations(Phones({step + 2: p for step, p in HELLO.items()}), waveform, phones, delay=0.096)
    assert np.array_equal(early, late)


def test_pauses_are_found_where_it_is_quiet_between_words():
    waveform = loud((0.16, 0.32), (0.56, 0.8))
    aligned = align_words(Phones({7: "HH", 9: "AY", 19: "AY"}), waveform, "hi I", delay=0.0)
    assert aligned.phones == ["sil", "HH", "AY1", "sil", "AY1", "sil"]
    assert aligned.words == [("hi", 1, 3), ("i", 4, 5)]
    assert sum(aligned.durations) == len(waveform) // 400 and min(aligned.durations) >= 1
    assert aligned.score > 0.99
    assert np.allclose(np.cumsum(aligned.durations)[[2, 3]] * 0.025, [0.32, 0.56], atol=0.04)


def test_words_without_a_pause_get_none():
    waveform = loud((0.16, 0.8))
    aligned = align_words(Phones({7: "HH", 9: "AY", 19: "AY"}), waveform, "hi, I.", delay=0.0)
    assert aligned.phones == ["sil", "HH", "AY1", "AY1", "sil"]


def test_the_wrong_words_have_a_low_score():
    assert align_words(Phones(HELLO), loud((0.2, 0.6)), "hi").score > 0.99
    assert align_words(Phones(HELLO), loud((0.2, 0.6)), "me").score < 0.01


@pytest.mark.parametrize(
    ("phones", "complaint"),
    [(["sil", "XX", "sil"], "XX"), (["sil"], "at least one phone"), (["AA1"] * 40, "79 steps")],
)
def test_phones_that_can_not_be_aligned_are_refused(phones, complaint):
    with pytest.raises(ValueError, match=complaint):
        phone_durations(Phones({}), loud((0.2, 0.6)), phones)


def test_more_phones_than_frames_are_refused():
    with pytest.raises(ValueError, match="text of the recording"):
        phone_durations(Phones({}), np.zeros(700, np.float32), ["sil", "B", "AA1", "T", "sil"])


@pytest.mark.parametrize("waveform", [np.zeros((2, 16_000), np.float32), np.full(16_000, np.nan, np.float32)])
def test_sound_that_is_no_waveform_is_refused(waveform):
    with pytest.raises(AudioError):
        phone_durations(Phones({}), waveform, ["sil", "HH", "sil"])


def test_words_without_letters_are_refused():
    with pytest.raises(ValueError, match="nothing to say"):
        align_words(Phones({}), loud((0.2, 0.6)), "...")


def test_silence_alone_still_gives_durations_that_add_up():
    durations = phone_durations(Phones(HELLO), np.zeros(16_000, np.float32), ["sil", "HH", "AY1", "sil"])
    assert durations.sum() == 63 and durations.min() >= 1


@settings(deadline=None)
@given(st.lists(st.integers(-5, 40), min_size=2, max_size=12), st.integers(0, 20))
def test_durations_are_whole_at_least_one_and_add_up(edges, more):
    total = len(edges) - 1 + more
    durations = whole(np.sort(edges), total)
    assert durations.min() >= 1 and durations.sum() == total


def test_edges_that_can_be_kept_are_kept():
    assert whole(np.array([0, 3, 4, 4, 9]), 9).tolist() == [3, 1, 1, 4]
    with pytest.raises(ValueError, match="4 phones need"):
        whole(np.array([0, 1, 1, 2, 3]), 3)
