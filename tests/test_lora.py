"""Low-rank updates change nothing at first, learn alone, and vanish into their layers."""

import copy
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.decoding.alignment import Aligned
from course_utils.models.lora import LowRank, add_low_rank, merge_low_rank
from course_utils.recipes import tts as recipe
from tests.small_speaker import speaker


def test_nothing_changes_before_something_is_learnt():
    layer, x = nn.Linear(6, 5), torch.randn(2, 3, 6)
    assert torch.equal(LowRank(layer)(x), layer(x))


def test_an_update_of_rank_r_has_rank_r_and_is_the_same_when_it_is_merged():
    torch.manual_seed(0)
    layer, x = nn.Linear(8, 7), torch.randn(4, 8)
    before = layer.weight.detach().clone()
    wrapped = LowRank(layer, rank=2)
    nn.init.normal_(wrapped.up)
    wanted = wrapped(x)
    merged = wrapped.merged()
    assert type(merged) is nn.Linear
    torch.testing.assert_close(merged(x), wanted)
    assert torch.linalg.matrix_rank(merged.weight.detach() - before, atol=1e-5) == 2


def test_only_named_linear_layers_get_an_update_and_a_network_is_plain_again_afterwards():
    model = speaker()
    names = [name for name, _ in model.named_parameters()]
    learn = add_low_rank(model.flow, rank=3)
    config = model.config
    wide = config.expand * config.flow_dim
    assert len(learn) == 4 * config.flow_blocks
    assert sum(p.numel() for p in learn) == config.flow_blocks * 2 * 3 * (wide + config.flow_dim)
    merge_low_rank(model)
    assert [name for name, _ in model.named_parameters()] == names


@pytest.fixture(scope="module")
def voice():
    return recipe.Speech("test", rates=(1.0,), voice="f30")


@pytest.mark.parametrize("part", recipe.PARTS)
def test_only_the_part_that_learns_moves_and_the_model_itself_stays(voice, part):
    model = speaker()
    before = copy.deepcopy(model.state_dict())
    adapted, numbers, learnt = recipe.adapt(model, voice, recipe.first_clips(voice, 5), part, steps=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    moved = {name for name, value in adapted.state_dict().items() if not torch.equal(value, before[name])}
    assert adapted.state_dict().keys() == before.keys() and numbers.shape == (model.config.voice,)
    assert adapted.GUIDANCE == recipe.LEARNT_GUIDANCE != model.GUIDANCE
    if part in ("nothing", "embedding"):
        assert not moved and learnt == (0 if part == "nothing" else model.config.voice)
    elif part == "norms":
        assert moved and all(
            name.endswith("film.bias") and name.startswith(("frames.", "flow.")) for name in moved
        )
    elif part == "lora":
        assert moved and all(name.endswith(("up.weight", "down.weight")) for name in moved)
        assert all(name.startswith(("frames.", "flow.")) for name in moved)
    else:
        assert any(name.startswith("text.") for name in moved)


def test_a_part_that_does_not_exist_is_named_and_tested_clips_are_passed_over(voice):
    with pytest.raises(
        ValueError, match="expected one of nothing, embedding, norms, lora, everything, got 'all'"
    ):
        recipe.adapt(speaker(), voice, [0], "all")
    first = voice.clips[0]
    assert 0 in recipe.first_clips(voice, 5) and 0 not in recipe.first_clips(
        voice, 5, {(first.phones, first.durations)}
    )
    every = {(clip.phones, clip.durations) for clip in voice.clips}
    with pytest.raises(ValueError, match="no clip of this voice is left"):
        recipe.first_clips(voice, 5, every)


def test_a_voice_is_learnt_from_one_reference_and_the_model_itself_stays(voice, monkeypatch):
    model, clip = speaker(), voice.clips[0]
    before = copy.deepcopy(model.state_dict())
    waveform = clip.decode()
    aligned = Aligned(list(clip.phones), list(clip.durations), list(clip.words), 1.0)
    monkeypatch.setattr(recipe, "align_words", lambda *given: aligned)
    heard_as = {"words": "it was said"}
    recogniser = SimpleNamespace(transcribe=lambda waveform: heard_as["words"])
    monkeypatch.setattr(recipe.checkpoints, "load", lambda name: recogniser)
    learnt, numbers = recipe.fit(model, waveform, steps=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert learnt is not model and learnt.say("Good evening.", spk_emb=numbers).size
    assert any(not torch.equal(value, before[name]) for name, value in learnt.state_dict().items())
    assert recipe.fit(model, waveform, steps=0)[0] is model
    heard_as["words"] = " "
    with pytest.warns(UserWarning, match="heard, not learnt"):
        again, numbers = recipe.fit(model, waveform, steps=2)
    assert again is model and np.allclose(numbers, model.embed(waveform))


def test_named_voices_learn_vectors_of_their_own_and_strangers_are_heard_on(voice, tmp_path, monkeypatch):
    named = recipe.Speech.of([dataclasses.replace(clip, voice="m02") for clip in voice.clips[:4]])
    monkeypatch.setattr(recipe, "Speech", lambda split, rates: named)
    model = speaker()
    model.vocoder, before = None, copy.deepcopy(model.state_dict())
    history = recipe.train_named(model, named, 30, state=tmp_path / "state.safetensors")
    assert len(history.losses) == 30 and (tmp_path / "state.safetensors").exists()
    moved = (model.voices - before["voices"]).abs().amax(1)
    assert moved[1] > 1e-4, "m02 has clips, and is the second speaker"
    assert moved[[0, 2]].max() < 1e-6, "f01 and c03 have none"
    torch.testing.assert_close(model.voices.norm(dim=1), torch.ones(3))
    encoder = [n for n in before if n.startswith("voice_encoder.") and n.endswith("weight")]
    assert any(not torch.equal(model.state_dict()[n], before[n]) for n in encoder), "told by ear, too"
    assert not any(name.startswith("table") for name in model.state_dict())


@pytest.mark.parametrize("seconds", [1, 3, 6.5, 8, 30])
def test_one_clip_of_any_length_makes_a_batch(voice, seconds):
    clip, share = voice.clips[0], seconds / (sum(voice.clips[0].durations) * 0.025)
    durations = tuple(max(1, round(one * share)) for one in clip.durations)
    sound = np.resize(clip.decode(), sum(durations) * recipe.UNIT_SAMPLES)
    speech = recipe.Speech.of([dataclasses.replace(clip, durations=durations, decode=lambda: sound)])
    batch = recipe.Batches(speech, speaker(), frames=800, clips=[0])(0)
    assert len(batch.mel) == max(2, 800 // int(speech.frames[0, 0])) and torch.isfinite(batch.mel).all()


def test_a_reading_keeps_its_beginning_and_what_is_said_may_be_told(monkeypatch):
    waveform = 0.1 * np.random.default_rng(0).standard_normal(16000 * 12).astype(np.float32)
    given = {}

    def align(model, sound, words):
        given.update(samples=len(sound), words=words)
        return Aligned(["sil", "AA1", "sil"], [10, len(sound) // 400 - 20, 10], [("ah", 1, 2)], 1.0)

    monkeypatch.setattr(recipe, "align_words", align)
    monkeypatch.setattr(recipe.checkpoints, "load", lambda name: SimpleNamespace())
    speech = recipe.reading(waveform, "ah")
    assert given == {"samples": 128000, "words": "ah"} and len(speech.clips) == 1
    assert speech.mel(0, 0).shape == (501, 80) and torch.isfinite(speech.prosody).all()
