"""The speaker encoder of notebook 05: what it must not hear, its losses, its recipe, how it is measured, ONNX."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils import checkpoints, data, features, metrics, noise, references, speaker_onnx
from course_utils.models.speaker_encoder import (
    AttentivePooling,
    SpeakerConfig,
    SpeakerEncoder,
    ge2e_loss,
    margin_loss,
    pair_loss,
    split_mean,
)
from course_utils.recipes import speaker_encoder as recipe
from course_utils.record import speakers
from course_utils.waveform import AudioWarning

SMALL = {
    "stem": 4,
    "dim": 16,
    "dilations": (1, 2),
    "squeeze": 4,
    "attention": 4,
    "colour": 8,
    "embedding": 12,
}


@pytest.fixture
def small():
    torch.manual_seed(0)
    model = SpeakerEncoder(SpeakerConfig(**SMALL))
    with torch.no_grad():  # as after training: the mean spectrum counts, and so do the batch norms
        model.colour[-1].weight.normal_()
        for _ in range(3):
            model(torch.randn(8, 60, 80))
    return model.eval()


@pytest.fixture(scope="module")
def shipped():
    return checkpoints.load("speaker_encoder")


def voiced(seconds, pitch=120.0, seed=0):
    """A buzz in syllables, (time,)."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * 16000)) / 16000
    wave = sum(np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) / k for k in range(1, 30))
    return (0.05 * wave * (1.1 + np.sin(2 * np.pi * 3 * t))).astype(np.float32)


# --- the model -----------------------------------------------------------------------------------------


def test_a_voice_has_length_one_and_the_size_of_the_configuration(small):
    voice = small.embed(voiced(1.5))
    assert voice.shape == (12,)
    assert voice.dtype == np.float32
    assert np.linalg.norm(voice) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("gain", [1e-3, 0.3, 9.0])
def test_a_voice_is_the_same_at_every_level(small, gain):
    assert small.embed(gain * voiced(1.5)) == pytest.approx(small.embed(voiced(1.5)), abs=1e-4)


def test_a_fixed_factor_for_each_band_is_in_the_mean_spectrum_alone():
    log_mel = 0.1 * torch.randn(2, 30, 80)  # nothing lies under the floor
    moves, spectrum = split_mean(log_mel)
    other_moves, other_spectrum = split_mean(log_mel + torch.linspace(-0.5, 0.5, 80) + 2)
    assert torch.allclose(moves, other_moves, atol=1e-5)
    assert torch.allclose(other_spectrum - spectrum, torch.linspace(-0.5, 0.5, 80).expand(2, -1), atol=1e-5)


def test_a_batch_gives_what_its_rows_give_alone(small):
    log_mel = torch.randn(3, 50, 80)
    with torch.no_grad():
        assert torch.allclose(small(log_mel), torch.cat([small(row[None]) for row in log_mel]), atol=1e-5)


def test_embed_leaves_a_model_in_training_as_it_was(small):
    before = small.embed(voiced(1))
    small.train()
    assert small.embed(voiced(1)) == pytest.approx(before)
    assert small.training


@pytest.mark.parametrize(
    ("waveform", "what"),
    [
        (np.zeros(16000, np.float32), "silent"),
        (voiced(0.4), "too short"),
        (np.full(16000, np.nan, np.float32), "finite"),
        (np.zeros((16000, 2), np.float32), "mono"),
        (np.ones(16000, np.int16), "floats"),
        (np.zeros(0, np.float32), "too short"),
    ],
)
def test_what_holds_no_voice_is_refused_with_a_reason(small, waveform, what):
    with pytest.raises(ValueError, match=what):
        small.embed(waveform)


def test_half_a_second_is_answered_with_a_warning(small):
    with pytest.warns(AudioWarning, match="say little"):
        assert small.embed(voiced(0.6)).shape == (12,)


def test_pooling_with_equal_scores_is_mean_and_deviation():
    pool, x = AttentivePooling(6, 3), torch.randn(2, 6, 9)
    torch.nn.init.zeros_(pool.score.weight)
    expected = torch.cat([x.mean(2), x.std(2, unbiased=False)], 1)
    assert torch.allclose(pool(x), expected, atol=1e-5)
    assert torch.allclose(pool.weights(x).sum(2), torch.ones(2, 6))


def test_a_saved_encoder_gives_the_same_voices(small, tmp_path):
    checkpoints.save(tmp_path / "one", small, small.config, "# one\n", bits=32)
    again = checkpoints.load(tmp_path / "one")
    assert again.config == small.config
    assert again.embed(voiced(1)) == pytest.approx(small.embed(voiced(1)), abs=1e-6)


def test_the_shipped_encoder_is_small(shipped):
    assert sum(p.numel() for p in shipped.parameters()) <= 800_000
    assert shipped.embed(voiced(1)).shape == (shipped.config.embedding,)


# --- losses --------------------------------------------------------------------------------------------


def test_margin_loss_adds_to_the_angle():
    torch.manual_seed(1)
    voices, centres = F.normalize(torch.randn(5, 8), dim=1), torch.randn(7, 8)
    classes, total = torch.tensor([0, 3, 6, 2, 2]), 0.0
    for voice, own in zip(voices, classes, strict=True):
        angles = torch.arccos(F.normalize(centres, dim=1) @ voice)
        logits = [30 * math.cos(a + 0.2 * (k == own)) for k, a in enumerate(angles.tolist())]
        total += math.log(sum(math.exp(x - logits[own]) for x in logits))
    assert margin_loss(voices, classes, centres, 0.2).item() == pytest.approx(total / 5, rel=1e-4)


def test_margin_loss_rises_with_the_angle_up_to_half_a_turn():
    angle = torch.linspace(0, math.pi, 50)
    voices, centres = torch.stack([angle.cos(), angle.sin()], 1), torch.tensor([[1.0, 0.0], [0.0, -1.0]])
    losses = torch.stack([margin_loss(v[None], torch.tensor([0]), centres[:1].repeat(2, 1) * torch.tensor([[1.0], [-1.0]]), 0.2) for v in voices])  # fmt: skip
    assert (losses.diff() > -1e-4).all()


def test_pair_loss_is_a_softmax_in_both_directions():
    torch.manual_seed(2)
    voices = F.normalize(torch.randn(6, 4), dim=1)
    a, b = voices[:3].numpy(), voices[3:].numpy()
    rows = np.exp(20 * a @ b.T)
    expected = -np.mean(np.log(np.diag(rows / rows.sum(1, keepdims=True)))) - np.mean(np.log(np.diag(rows / rows.sum(0))))  # fmt: skip
    assert pair_loss(voices).item() == pytest.approx(expected / 2, rel=1e-4)


def test_ge2e_compares_with_the_own_mean_without_the_segment_itself():
    torch.manual_seed(3)
    voices = F.normalize(torch.randn(3, 4, 5), dim=2)
    total = 0.0
    for j in range(3):
        for i in range(4):
            means = [voices[k][[m for m in range(4) if (k, m) != (j, i)]].mean(0) for k in range(3)]
            logits = [10 * float(F.cosine_similarity(voices[j, i], mean, dim=0)) for mean in means]
            total += math.log(sum(math.exp(x - logits[j]) for x in logits))
    assert ge2e_loss(voices).item() == pytest.approx(total / 12, rel=1e-4)


# --- the recipe ----------------------------------------------------------------------------------------


@pytest.fixture
def few_voices():
    """`Voices` of six buzzes, two of them "readers"."""
    voices = object.__new__(recipe.Voices)
    voices.tracks = {
        f"reader {i}" if i < 2 else f"v{i}": (voiced(3, 90 + 30 * i, i) * 20000).astype(np.int16) for i in range(6)
    }  # fmt: skip
    voices.names, voices.n_real = list(voices.tracks), 2
    return voices


def test_every_segment_gets_its_own_noise_and_room():
    x = torch.from_numpy(voiced(1)).expand(4, -1)
    for change in (recipe.noise_and_room, recipe.degrade):
        y = change(x, torch.Generator().manual_seed(0))
        assert y.shape == x.shape
        assert not torch.allclose(F.normalize(y[0], dim=0), F.normalize(y[1], dim=0), atol=1e-3)
        assert torch.equal(y, change(x, torch.Generator().manual_seed(0)))


def test_strength_nought_changes_nothing_but_the_level():
    x = torch.from_numpy(np.stack([voiced(1), voiced(1, 200)]))
    y = recipe.degrade(x, torch.Generator().manual_seed(0), 0.0)
    assert torch.allclose(F.normalize(y, dim=1), F.normalize(x, dim=1), atol=1e-5)


def test_batches_are_pairs_of_one_class_and_the_same_each_time(few_voices):
    batches = recipe.Batches(few_voices, 10, pairs=4)
    one, again = batches(3), batches(3)
    assert torch.equal(one.waveform, again.waveform)
    assert torch.equal(one.classes[:4], one.classes[4:])
    assert one.waveform.shape[0] == 8
    assert one.waveform.shape[1] % recipe.UNIT == 0
    assert int(one.classes.max()) < batches.n_classes == 6 * len(recipe.SPEEDS)


def test_a_pair_of_one_recording_shares_its_room_and_a_pair_of_segments_does_not(few_voices):
    few_voices.tracks = {
        name: np.full(48000, 1000, np.int16) for name in few_voices.names
    }  # speech tells nothing
    halves = {
        sound: recipe.LessonBatches(few_voices, sound, 10, pairs=3)(0).waveform.chunk(2)
        for sound in ("recording", "segment", "clean")
    }
    assert torch.allclose(*halves["recording"])
    assert not torch.allclose(*halves["segment"])
    with pytest.raises(ValueError, match="sound: expected"):
        recipe.LessonBatches(few_voices, "loud", 10)


def test_training_goes_on_from_its_state_to_the_same_weights(few_voices, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "Voices", lambda split, *_, **__: few_voices)
    monkeypatch.setattr(recipe, "SpeakerConfig", lambda: SpeakerConfig(**SMALL))
    monkeypatch.setattr(recipe, "PAIRS", 3)
    monkeypatch.setattr(recipe, "validation", lambda _: lambda model: {"EER": 0.0})
    recipe.train(2, name=tmp_path / "whole", state=tmp_path / "state")
    document = json.loads((tmp_path / "whole" / "config.json").read_text())
    assert document["class"] == "SpeakerEncoder"
    assert "| steps | 2 |" in (tmp_path / "whole" / "README.md").read_text()
    again = recipe.train(2, name=tmp_path / "again", state=tmp_path / "state")  # nothing is left to do
    first = checkpoints.load(tmp_path / "whole")
    assert checkpoints.load(tmp_path / "again").embed(voiced(1)) == pytest.approx(
        first.embed(voiced(1)), abs=1e-5
    )
    begun = recipe.train(1, name=tmp_path / "more", begin=str(tmp_path / "whole"))
    assert begun.config == again.config


def test_what_a_checkpoint_lacks_stays_as_it_is(tmp_path):
    old = SpeakerEncoder(SpeakerConfig(**SMALL | {"colour": 0}))
    checkpoints.save(tmp_path / "old", old, old.config, "# old\n")
    new = SpeakerEncoder(SpeakerConfig(**SMALL)).eval()
    known = recipe.start_from(new, str(tmp_path / "old"))
    assert "out.weight" in known
    assert not any(name.startswith("colour") for name in known)
    log_mel = torch.randn(2, 40, 80)
    with torch.no_grad():
        assert torch.allclose(
            new(log_mel), old.eval()(log_mel), atol=1e-6
        )  # the new branch begins with nothing


@pytest.mark.parametrize("rung", recipe.RUNGS)
def test_every_rung_learns_two_steps(few_voices, monkeypatch, rung):
    monkeypatch.setattr(recipe, "Voices", lambda split, *_, **__: few_voices)
    # 16 maps as in the lesson: with 4 or 8 in channels-last order oneDNN writes beyond its memory on some processors.
    monkeypatch.setattr(recipe, "LESSON", SMALL | {"stem": 16})
    model, history = recipe.train_rung(rung, 0, 2, show=False)
    assert len(history.losses) == 2
    assert model(torch.randn(2, 40, 80)).shape[0] == 2


# --- measuring -----------------------------------------------------------------------------------------


def test_equal_error_is_where_the_roc_meets_the_diagonal():
    rng = np.random.default_rng(4)
    voices = rng.standard_normal((40, 6)) + np.repeat(rng.standard_normal((10, 6)), 4, 0)
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    names = [f"s{i // 4}" for i in range(40)]
    pairs = speakers.Pairs(names, ["f", "m"] * 20)
    same, other = [], []
    for i in range(40):
        for j in range(i):
            (same if names[i] == names[j] else other).append(float(voices[i] @ voices[j]))
    gap, rate = min(
        (abs(np.mean(np.array(same) < t) - np.mean(np.array(other) >= t)), (np.mean(np.array(same) < t) + np.mean(np.array(other) >= t)) / 2)
        for t in sorted(same + other)
    )  # fmt: skip
    assert pairs.eer(voices) == pytest.approx(100 * rate, abs=100 * gap + 1e-6)
    assert pairs.eer(voices) == pytest.approx(100 * metrics.eer(np.array(same), np.array(other))[0])
    eer, low, high = pairs.interval(voices)
    assert low <= eer + 1 <= high + 2
    assert low < high


def test_drawing_every_speaker_once_gives_the_rate_itself(monkeypatch):
    rng = np.random.default_rng(5)
    voices = rng.standard_normal((30, 4)) + np.repeat(rng.standard_normal((10, 4)), 3, 0)
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    pairs = speakers.Pairs([str(i // 3) for i in range(30)], ["f"] * 30)

    class Once:
        def integers(self, low, high, size):
            return np.arange(size)

    monkeypatch.setattr(speakers.np.random, "default_rng", lambda seed: Once())
    assert pairs.draws(voices, 1)[0] == pytest.approx(pairs.eer(voices), abs=1.5)


def test_pairs_within_a_sex_are_those_alone():
    pairs = speakers.Pairs(["a", "a", "b", "c"], ["f", "f", "m", "f"], "f")
    assert sorted(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True)) == [(0, 1), (0, 3), (1, 3)]
    assert pairs.same.tolist() == [True, False, False]


def test_mfcc_statistics_do_not_hear_the_volume():
    x = np.stack([voiced(1), voiced(1, 180)])
    assert speakers.mfcc_statistics(x).shape == (2, 38)
    assert speakers.mfcc_statistics(0.1 * x) == pytest.approx(speakers.mfcc_statistics(x), abs=1e-3)


# --- references ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["white", "fan", "rain", "clicks", "hum"])
def test_noise_is_no_reference(shipped, kind):
    with pytest.raises(ValueError, match="noise or music"):
        references.examine(noise.generate(kind, 3, 0), shipped)


def test_a_melody_is_no_reference(shipped):
    t = np.arange(48000) / 16000
    wave = np.concatenate([np.sin(2 * np.pi * f * p) for f, p in zip((262, 330, 392, 294), np.array_split(t, 4), strict=True)])  # fmt: skip
    with pytest.raises(ValueError, match="noise or music"):
        references.examine((0.1 * wave * np.exp(-3 * (t % 0.5))).astype(np.float32), shipped)


def test_speech_is_a_reference_and_a_short_one_is_told_so(shipped):
    clips = [one.audio for one in data.speech(voice="f29", kind="sentence")[:3]]
    found = references.examine(np.concatenate(clips), shipped)
    assert found.warnings == ()
    assert found.agreement > references.LEAST_AGREEMENT
    assert "short" in references.examine(clips[0][:12000], shipped).warnings[0]


def test_two_people_one_after_the_other_are_noticed(shipped):
    woman, man = (np.concatenate([one.audio for one in data.speech(voice=v, kind="sentence")[:2]]) for v in ("f29", "m40"))  # fmt: skip
    found = references.examine(np.concatenate([woman[:48000], man[:48000]]), shipped)
    assert "different people" in found.warnings[0]


def test_silence_is_no_reference(shipped):
    with pytest.raises(ValueError, match="silent"):
        references.examine(np.zeros(32000, np.float32), shipped)


# --- ONNX ----------------------------------------------------------------------------------------------


def test_onnx_gives_the_same_voices_for_every_length(small, tmp_path):
    pytest.importorskip("onnxruntime")
    other = speaker_onnx.OnnxSpeakerEncoder(speaker_onnx.to_onnx(small, tmp_path))
    for seconds in (0.7, 2.3):
        log_mel = features.log_mel(np.stack([voiced(seconds), voiced(seconds, 200)]))
        with torch.no_grad():
            assert other(log_mel) == pytest.approx(small(torch.from_numpy(log_mel)).numpy(), abs=1e-4)
    assert other.embed(voiced(1)) == pytest.approx(small.embed(voiced(1)), abs=1e-4)
    with pytest.raises(ValueError, match="silent"):
        other.embed(np.zeros(16000, np.float32))


def test_the_shipped_encoder_is_the_same_in_onnx(shipped):
    pytest.importorskip("onnxruntime")
    assert speaker_onnx.compare(shipped, voiced(2), seconds=False)["difference"] < 1e-4


def test_a_folder_without_an_encoder_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match="holds no encoder"):
        speaker_onnx.OnnxSpeakerEncoder(tmp_path)
