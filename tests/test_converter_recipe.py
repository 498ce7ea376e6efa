"""What the converter of notebook 06 learns from: content in another timbre, references of the same voice, and resuming."""

import numpy as np
import pytest
import torch

from course_utils import checkpoints, data, features
from course_utils.recipes import converter as recipe
from tests.small_converter import SMALL, converter

pytestmark = pytest.mark.usefixtures("one_thread")


def sound(hz, seconds=1.2):
    time = np.arange(int(16000 * seconds)) / 16000
    return sum(0.2 / k * np.sin(2 * np.pi * hz * k * time) for k in range(1, 6)).astype(np.float32)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Three voices of three clips, each a tone of its own, heard by a recogniser that was never trained."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    model = converter()
    monkeypatch.setattr(recipe, "listener", lambda: recipe.Converter.cut(model.recogniser))
    monkeypatch.setattr(recipe, "ConverterConfig", lambda: SMALL)
    monkeypatch.setattr(recipe.checkpoints, "read", lambda name: ({"sha256": "x"}, None))
    return [
        recipe.Clip("reader" if hz > 200 else "corpus", f"v{hz}", 1.0, lambda hz=hz, k=k: sound(hz + k))
        for hz in (120, 180, 240) for k in range(3)
    ]  # fmt: skip


def test_a_disguise_moves_the_bands_and_keeps_the_times():
    log_mel = torch.from_numpy(features.log_mel(sound(150)))
    first, second = (recipe.disguise(log_mel, np.random.default_rng(seed)) for seed in (0, 1))
    assert first.shape == log_mel.shape and not torch.allclose(first, second, atol=0.1)
    quiet = torch.full((4, 80), -6.0)
    loud = quiet.clone()
    loud[2] = -1.0
    assert int(recipe.disguise(loud, np.random.default_rng(0)).mean(1).argmax()) == 2


def test_training_hears_no_test_voice_and_no_held_out_reader():
    train = {clip.voice for clip in recipe.clips("train") if clip.kind == "corpus"}
    assert train == {voice.name for voice in data.voices("train")}
    held_out = {str(one.speaker) for one in data.real("librispeech", "test")}
    assert not held_out & {str(one.speaker) for one in recipe.readers()}


def test_an_aligned_pair_is_heard_by_its_source_and_answered_by_its_target():
    pairs = [clip for clip in recipe.clips("train") if clip.other is not None]
    assert len(pairs) == 160
    first = data.pairs("train")[0]
    np.testing.assert_array_equal(pairs[0].decode(), first.target_audio)
    np.testing.assert_array_equal(pairs[0].other(), first.source_audio)


def test_the_reference_is_another_clip_of_the_same_voice(small):
    speech = recipe.Speech("toy", found=small)
    batches, own = recipe.Batches(speech, rows=6), speech.of_voice
    batch = batches(0)
    assert batch.content.shape == (6, recipe.SOURCE, 16) and batch.log_mel.shape == (6, 2 * recipe.SOURCE, 80)
    assert batch.reference_mel.shape[1] == 2 * batch.reference_content.shape[1]
    assert all(len(clips) == 3 for clips in own.values())
    again = batches(0)
    assert torch.equal(batch.content, again.content) and torch.equal(batch.reference_mel, again.reference_mel)


def test_the_cache_gives_the_same_speech_again(small):
    first, second = (recipe.Speech("toy", found=small) for _ in range(2))
    assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in recipe.Speech.ARRAYS)


def test_in_the_second_run_the_content_is_heard_in_other_voices(small):
    speech = recipe.Speech("toy", found=small)
    before, kept = speech.other.clone(), speech.content.clone()
    speech.revoice(converter(), show=False)
    assert not torch.equal(before, speech.other) and torch.equal(kept, speech.content)
    assert torch.isfinite(speech.other).all()


def test_the_spread_of_a_flat_log_mel_is_nothing():
    flat, moving = torch.full((1, 10, 80), -3.0), torch.randn(1, 10, 80)
    assert not recipe.spread(flat).any() and recipe.spread(moving).shape == (1, 2, 80)
    assert (recipe.spread(moving) > 0).all()


def test_a_few_steps_bring_the_loss_down(small, monkeypatch):
    monkeypatch.setattr(recipe, "SOURCE", 16)
    monkeypatch.setattr(recipe, "REFERENCE", (8, 12))
    batches, model = recipe.Batches(recipe.Speech("toy", found=small), rows=4), converter()
    before = recipe.validation(batches, count=1)(model)["result"]
    recipe.training.fit(model, batches, recipe.loss_fn, 15, optimizer=recipe.optimiser(model), show=False)
    assert recipe.validation(batches, count=1)(model)["result"] < before


def test_training_writes_a_checkpoint_with_its_parts_and_card(small, monkeypatch, tmp_path):
    monkeypatch.setattr(recipe, "clips", lambda split, extra=None: iter(small))
    monkeypatch.setattr(recipe, "SOURCE", 16)
    monkeypatch.setattr(recipe, "REFERENCE", (8, 12))
    recipe.train(steps=2, state=tmp_path / "state.safetensors", name=tmp_path / "made")
    monkeypatch.undo()
    document, _ = checkpoints.read(tmp_path / "made")
    assert document["parts"] == {"recogniser": "recognition", "vocoder": "vocoder"} and document["steps"] == 2
    assert "no test voice" in (tmp_path / "made" / "README.md").read_text()


def test_a_converter_learns_a_voice_from_one_reference_and_the_model_itself_stays():
    model, reference = converter(), sound(150, 2.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapted = recipe.fit(model, reference, steps=3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in adapted.state_dict().items())
    assert adapted.recogniser is model.recogniser and adapted.vocoder is model.vocoder
    assert not any(p.requires_grad for p in adapted.parameters())
    said = adapted.convert(sound(220), reference)
    assert said.shape == sound(220).shape and np.isfinite(said).all()
    again = recipe.fit(model, reference, steps=3)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in adapted.state_dict().items())


def test_what_is_too_short_to_learn_from_is_heard_only_and_said_so():
    model = converter()
    with pytest.warns(UserWarning, match="too short to learn from"):
        assert recipe.fit(model, sound(150, 1.2)) is model
    assert recipe.fit(model, sound(150, 2.5), steps=0) is model
    with pytest.raises(ValueError, match="silent"):
        recipe.fit(model, np.zeros(48000, np.float32))


def test_a_piece_is_never_looked_up_in_itself():
    steps = torch.arange(70.0)[:, None]
    log_mel, prosody = torch.arange(140.0)[:, None].expand(-1, 80), torch.zeros(140, 2)
    draw = np.random.default_rng(0)
    for _ in range(20):
        source, _, mel, rest, rest_mel = recipe._piece(log_mel, prosody, [steps, steps], 23, draw)
        assert (
            len(source) == 23 and len(mel) == 46 and len(rest) == recipe.FIT_REFERENCE == len(rest_mel) // 2
        )
        assert torch.equal(mel[::2, 0], 2 * source[:, 0]) and torch.equal(rest_mel[::2, 0], 2 * rest[:, 0])
        assert (rest.unsqueeze(0) - source.unsqueeze(1)).abs().min() >= 4
