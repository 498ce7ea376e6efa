"""Sentences that the synthesiser says for the recogniser: what is written, what is read back, what goes on after a stop."""

import itertools
import random

import numpy as np
import pytest
import torch

from course_utils import checkpoints, text
from course_utils.models.recognition import Frontend
from course_utils.recipes import recognition
from data.build import phrases, spoken


@pytest.fixture(scope="module")
def model():
    return checkpoints.load("tts")


@pytest.fixture
def said(model, tmp_path, monkeypatch):
    """A folder with two parts of three lines, and the function that makes them."""
    monkeypatch.setattr(spoken, "LINES", 3)
    monkeypatch.setattr(spoken, "_virtual", lambda out: (model, model.voices.numpy()))

    def make(**options):
        threads = torch.get_num_threads()
        spoken.make(tmp_path, 2, **options)
        torch.set_num_threads(threads)
        return tmp_path

    return make


def test_every_eighth_line_is_a_training_phrase_and_the_order_is_drawn_once():
    lines = list(itertools.islice(spoken.lines(), 80))
    assert lines == list(itertools.islice(spoken.lines(), 80))
    assert len(set(lines)) == 80
    assert {kind for kind, _ in lines[7::8]} == {"phrase"} and [kind for kind, _ in lines].count(
        "phrase"
    ) == 10
    for _, phrase in lines[7::8]:
        assert phrases.split_of(phrase.rstrip(".?")) == "train"


def test_words_and_phones_are_where_the_log_mel_has_them(model):
    mel, row = spoken.say(model, "Open the window, please.", model.voices[0].numpy(), random.Random(0))
    assert mel.dtype == np.float16 and mel.shape == (row["ends"][-1], 80) and np.isfinite(mel).all()
    assert row["ends"] == sorted(row["ends"]) and len(row["ends"]) == len(row["phones"])
    assert [word for word, *_ in row["words"]] == ["open", "the", "window", "please"]
    for word, first, end in row["words"]:
        assert "sil" not in row["phones"][first:end]
        assert row["phones"][first:end][0].rstrip("012") in {p.rstrip("012") for p in text.pronounce(word)}
    # where somebody speaks it is louder than in the pauses
    loud, edges = mel.astype(np.float32).mean(1), np.r_[0, row["ends"]]
    quiet = [p == "sil" for p in row["phones"]]
    level = np.array([loud[a:b].mean() if b > a else np.nan for a, b in itertools.pairwise(edges)])
    assert np.nanmean(level[~np.array(quiet)]) > np.nanmean(level[np.array(quiet)]) + 0.3


def test_parts_are_kept_shared_and_made_again_the_same(said):
    folder = said(share=(1, 2))
    assert [file.name for file in sorted(folder.glob("*.npy"))] == ["0001.npy"]
    second = (folder / "0001.npy").read_bytes()
    stamp = (folder / "0001.npy").stat().st_mtime_ns
    said()
    assert [file.name for file in sorted(folder.glob("*.npy"))] == ["0000.npy", "0001.npy"]
    assert (folder / "0001.npy").stat().st_mtime_ns == stamp
    (folder / "0001.npy").unlink()
    said()
    assert (folder / "0001.npy").read_bytes() == second


def test_a_stop_in_the_middle_leaves_no_half_part(said, monkeypatch):
    right, calls = spoken.say, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return right(*arguments)

    monkeypatch.setattr(spoken, "say", stopped)
    with pytest.raises(KeyboardInterrupt):
        said()
    monkeypatch.setattr(spoken, "say", right)
    folder = said()
    pieces, mels = recognition.by_synthesiser(folder)
    assert len(pieces) == 6 and [len(mel) for mel in mels] == [
        sum(piece.frames[0] for piece in pieces[:3]), sum(piece.frames[0] for piece in pieces[3:])
    ]  # fmt: skip


def test_the_recogniser_learns_from_them_as_from_clips(said):
    folder = said()
    pieces, mels = recognition.by_synthesiser(folder)
    assert pieces[3].starts == (len(mels[0]),)
    assert all(
        piece.source == "spoken sentence" and piece.sounds[-1][1] == piece.frames[0] for piece in pieces
    )
    speech = object.__new__(recognition.Speech)
    speech.mels, speech.rates = torch.from_numpy(np.concatenate(mels)), recognition.RATES
    speech.pieces = pieces
    speech.sounds = torch.zeros(len(speech.mels), dtype=torch.uint8)
    assert speech.rates_of(pieces[0]) == (1.0,)
    assert speech.hours() == {"spoken sentence": round(len(speech.mels) * 0.016 / 3600, 2)}
    # a run of words is cut where its words are, whatever rate the row was drawn for
    draw = random.Random(0)
    for _ in range(40):
        start, end, words, phones = recognition.part(pieces[0], 2, 1.14, draw)
        first = pieces[0].words.index(words[0])
        assert tuple(words) == pieces[0].words[first : first + len(words)]
        chosen = pieces[0].spans[first : first + len(words)]
        assert list(phones) == [p for *_, own in chosen for p in own]
        assert start == (chosen[0][1] if first else 0) and start < end <= pieces[0].frames[0]
    batch = recognition.Batches(speech, {"spoken sentence": 1.0}, seconds=20)(0)
    assert all(batch.words) and (batch.log_mel > Frontend.FLOOR).any()
