"""SpeechT5 by `transformers`: from a folder, and at random where nothing is here."""

import socket

import numpy as np
import pytest
import torch

from course_utils import features
from course_utils.peers import speecht5

pytest.importorskip("transformers", reason="needs transformers: run `course install`")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("the network was asked"))


@pytest.fixture(scope="module")
def at_random():
    return speecht5.load("nobody/no-such-model-of-this-course")


@pytest.fixture(scope="module")
def saved(at_random, tmp_path_factory):
    """The random model in folders, as `transformers` saves one."""
    folder = tmp_path_factory.mktemp("speecht5")
    at_random.model.save_pretrained(folder / "model")
    at_random.vocoder.save_pretrained(folder / "vocoder")
    return folder


@pytest.fixture(autouse=True)
def nothing_loaded_before():
    speecht5.load.cache_clear()


def test_without_weights_a_small_one_shows_the_shapes_and_says_plainly_that_it_is_random(at_random):
    assert not at_random.trained
    assert "no-such-model" in at_random.why and "random weights" in at_random.why
    assert "online=True" in at_random.why
    log_mel = at_random.log_mel("Hello, it's you!", max_seconds=0.8)
    assert log_mel.shape == (50, 80) and log_mel.dtype == np.float32
    assert at_random.sound(log_mel).shape == (50 * 256,)


def test_the_same_text_gives_the_same_and_leaves_the_random_numbers_of_others_alone(at_random):
    state = torch.get_rng_state()
    first, again = (at_random.log_mel("Hello.", max_seconds=0.3) for _ in range(2))
    assert np.array_equal(first, again) and torch.equal(torch.get_rng_state(), state)
    voice = np.eye(512)[3]
    assert not np.allclose(first, at_random.log_mel("Hello.", voice, max_seconds=0.3))


def test_the_weights_of_a_folder_are_used(saved, at_random, monkeypatch):
    import transformers

    kind = transformers.SpeechT5Processor
    monkeypatch.setattr(kind, "from_pretrained", lambda folder, **_: at_random.processor)
    loaded = speecht5.load(saved / "model", saved / "vocoder")
    assert loaded.trained and loaded.why == ""
    for ours, theirs in ((loaded.model, at_random.model), (loaded.vocoder, at_random.vocoder)):
        stored = theirs.state_dict()
        assert all(torch.equal(value, stored[name]) for name, value in ours.state_dict().items())
    log_mel = at_random.log_mel("Hello.", max_seconds=0.3)
    assert np.allclose(loaded.sound(log_mel), at_random.sound(log_mel), atol=1e-6)


def test_a_folder_without_its_vocabulary_is_not_taken_for_a_trained_model(saved):
    assert "is not used" in speecht5.load(saved / "model", saved / "vocoder").why


@pytest.mark.parametrize("text", ["", "  ", None, 3])
def test_a_text_without_words_is_refused(at_random, text):
    with pytest.raises(ValueError, match="something to say"):
        at_random.log_mel(text)


def test_a_voice_of_another_model_is_refused(at_random):
    with pytest.raises(ValueError, match=r"spk_emb: expected \(512,\), got \(128,\)"):
        at_random.log_mel("Hello.", np.ones(128))


def test_its_log_mel_is_the_one_of_the_course():
    waveform = (0.1 * np.random.default_rng(0).standard_normal(20_001)).astype(np.float32)
    assert np.allclose(speecht5.target_log_mel(waveform), features.log_mel(waveform), atol=1e-4)
