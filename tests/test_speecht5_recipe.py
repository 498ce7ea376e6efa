"""The small SpeechT5 learns from the course's log-mels, is written in a folder of its own, and speaks through the course's vocoder."""

import numpy as np
import pytest
import torch

from course_utils import checkpoints, training
from course_utils.peers import speecht5 as peer
from course_utils.recipes import speecht5 as recipe
from course_utils.recipes.tts import Speech

TINY = {
    "hidden_size": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_layers": 1,
    "decoder_attention_heads": 2, "decoder_ffn_dim": 32, "speech_decoder_prenet_units": 16,
    "speech_decoder_postnet_units": 16, "speech_decoder_postnet_layers": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def batches():
    speech = Speech("test", rates=(1.0,), voice="f30")
    voices = {"f30": np.random.default_rng(0).normal(size=(1, 2, 8)).astype(np.float32)}
    return recipe.Batches(speech, voices, factor=3, frames=900)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return recipe.new_model(8, TINY)


def test_a_batch_holds_whole_steps_and_the_end_of_every_text_and_is_always_the_same(batches):
    one, again = batches(3), batches(3)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert one.labels.shape[1] % 3 == 0 and one.labels.shape[2] == 80 and one.voices.shape[1] == 8
    lengths = one.attention_mask.sum(1)
    assert all(int(one.input_ids[k, n - 1]) == recipe.END for k, n in enumerate(lengths))
    assert (one.labels[..., 0] == -100).any(), "what lies behind the end is not learnt"


def test_phones_have_numbers_and_what_is_none_is_unknown():
    assert recipe.numbers_of(["sil", "???"]) == [recipe.TOKENS.index("sil"), 3, recipe.END]


def test_the_shipped_sizes_fit_into_eight_megabytes():
    model = recipe.new_model(192)
    assert 2 * sum(p.numel() for p in model.parameters()) <= 8e6


def test_it_learns(batches, model):
    with torch.no_grad():
        before = float(recipe.loss_fn(model.eval(), batches(0)))
    training.fit(model, batches, recipe.loss_fn, 8, learning_rate=3e-3, show=False)
    with torch.no_grad():
        assert float(recipe.loss_fn(model, batches(0))) < before


def test_what_is_saved_is_read_again_and_says_a_text_through_the_vocoder(tmp_path, model):
    folder = recipe.save(tmp_path / "speecht5", model, "# a card")
    assert {path.name for path in folder.iterdir()} == {"model", "tokens.json", "README.md"}
    vocoder = lambda log_mel: np.zeros(256 * len(log_mel), np.float32)  # noqa: E731
    library = peer.ours(folder, vocoder)
    mel = library.log_mel("Good day.", np.ones(8, np.float32), max_seconds=0.5)
    assert mel.shape[1] == 80 and 0 < len(mel) <= 31
    assert library.sound(mel).shape == (256 * len(mel),)
    with pytest.raises(ValueError, match=r"expected \(8,\), got \(512,\)"):
        library.log_mel("Good day.", np.ones(512, np.float32))


def test_a_folder_that_is_not_there_or_damaged_says_how_to_make_it(tmp_path, model):
    with pytest.raises(checkpoints.CheckpointError, match="course train speecht5"):
        recipe.load(tmp_path / "nothing")
    folder = recipe.save(tmp_path / "damaged", model, "")
    (folder / "tokens.json").write_text('["a"]')
    with pytest.raises(checkpoints.CheckpointError, match="1 tokens and a model for"):
        recipe.load(folder)
    (folder / "tokens.json").write_text("{")
    with pytest.raises(checkpoints.CheckpointError, match="damaged"):
        recipe.load(folder)
