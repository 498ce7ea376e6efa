"""Monotonic alignment search finds the best of all paths, and the aligner finds phones that it was not told of."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from course_utils.decoding.monotonic import Aligner, monotonic_path

TABLES = st.integers(1, 4).flatmap(
    lambda phones: st.integers(phones, 7).flatmap(
        lambda frames: arrays(float, (phones, frames), elements=st.floats(-50, 50))
    )
)


def of(scores, durations):
    """The sum of the scores along a path."""
    return scores[np.repeat(np.arange(len(durations)), durations), np.arange(scores.shape[1])].sum()


def all_durations(phones, frames):
    """Every way to give each phone one frame or more."""
    for cuts in itertools.combinations(range(1, frames), phones - 1):
        yield np.diff([0, *cuts, frames])


@settings(deadline=None)
@given(TABLES)
def test_no_path_is_better_than_the_one_that_is_found(scores):
    found = monotonic_path(scores)
    assert found.min() >= 1 and found.sum() == scores.shape[1]
    assert np.isclose(of(scores, found), max(of(scores, way) for way in all_durations(*scores.shape)))


def test_a_path_is_forced_where_there_are_as_many_phones_as_frames():
    assert monotonic_path(np.random.default_rng(0).normal(size=(5, 5))).tolist() == [1] * 5


def test_a_forbidden_frame_is_walked_around():
    scores = np.zeros((2, 4))
    scores[0, 1] = -np.inf
    assert monotonic_path(scores).tolist() == [1, 3]


@pytest.mark.parametrize("shape", [(3, 2), (0, 4), (4,), (2, 3, 4)])
def test_a_table_that_has_no_path_is_refused(shape):
    with pytest.raises(ValueError, match="a frame for each"):
        monotonic_path(np.zeros(shape))


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="not a number"):
        monotonic_path(np.array([[0.0, np.nan]]))


def spoken(draw, sounds, phones):
    """A made-up log-mel of `phones`, each with its own sound and some noise, and the durations."""
    durations = draw.integers(2, 9, len(phones))
    mel = np.repeat(sounds[phones], durations, axis=0)
    return mel + draw.normal(0, 0.3, mel.shape), durations


def test_the_aligner_finds_durations_that_it_was_not_told():
    draw = np.random.default_rng(0)
    sounds = draw.normal(-3, 1, (6, 80))
    phones = [draw.permutation(6)[:5] for _ in range(30)]
    mels, true = zip(*(spoken(draw, sounds, row) for row in phones), strict=True)
    aligner = Aligner(list(mels), phones, kinds=7)  # kind 6 never occurs

    def error():
        pairs = zip(aligner.durations, true, strict=True)
        return np.mean([np.abs(np.cumsum(found) - np.cumsum(right)) for found, right in pairs])

    assert [d.sum() for d in aligner.durations] == [len(mel) for mel in mels]
    before = error()
    for _ in range(4):
        aligner.learn()
        aligner.realign()
    assert error() < 0.1 < 1 < before


def test_one_round_never_lowers_the_likelihood():
    draw = np.random.default_rng(1)
    phones = [draw.integers(0, 4, 6) for _ in range(8)]
    aligner = Aligner([draw.normal(-3, 1, (40, 80)) for _ in phones], phones, kinds=4)
    sums = []
    for _ in range(4):
        aligner.learn()
        aligner.variance = np.ones(80)  # as in k-means: then both halves of a round minimise one sum
        aligner.realign()
        sums.append(sum(of(aligner.scores(i), d) for i, d in enumerate(aligner.durations)))
    assert sums == sorted(sums)
