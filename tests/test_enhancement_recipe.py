"""How the enhancer of notebook 01 is trained: its material, its recipe, and the rungs of its ladder."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from course_utils import checkpoints, data, features, noise, paths
from course_utils.models import enhancement
from course_utils.recipes import enhancement as recipe

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = enhancement.EnhancerConfig(
    channels=8, bands=8, width=8, blocks=2, heads=2, gain_bands=8, gain_width=8
)


def sound(length, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def speech_like(seconds, seed=0):
    """Noise that comes and goes, so that signal and silence take turns."""
    return (noise.white(seconds, seed) * noise.swell(seconds, seed)).astype(np.float32)


# --- training material


CLIPS = [speech_like(0.9 + 0.2 * i, i) for i in range(20)]


def test_invented_noises_repeat_themselves_from_their_seed_and_are_equally_loud():
    pool, again, other = (recipe.noise_pool(12, CLIPS, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(pool, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(pool, other, strict=True))
    for one in pool:
        assert one.shape == (8 * features.SAMPLE_RATE,) and one.dtype == np.float32
        assert recipe.rms(one) == pytest.approx(1, abs=1e-3)


def test_no_invented_noise_is_of_a_kind_kept_for_the_test(monkeypatch):
    made = []
    monkeypatch.setattr(noise, "generate", lambda kind, s, seed: made.append(kind) or noise.white(s, seed))
    for seed in range(60):
        recipe.invent(0.1, np.random.default_rng(seed), CLIPS, 0.1)
    assert set(made) == set(noise.TRAIN_TYPES) and not set(made) & set(noise.TEST_TYPES)


def test_mixtures_repeat_themselves_step_by_step_within_their_snr_and_level():
    batches = recipe.Mixtures(CLIPS, recipe.noise_pool(8, CLIPS), seconds=1.5, size=16)
    noisy, clean = batches(3)
    assert noisy.shape == clean.shape == (16, 24000) and noisy.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip((noisy, clean), batches(3), strict=True))
    assert not torch.equal(noisy, batches(4)[0])
    assert not torch.equal(noisy, recipe.Mixtures(batches.clips, batches.noises, 1.5, 16, seed=1)(3)[0])
    snr = 10 * torch.log10(clean.square().mean(1) / (noisy - clean).square().mean(1))
    assert -8.1 < snr.min() < 0 and 10 < snr.max() < 22.1
    level = 10 * torch.log10(clean.square().mean(1))
    assert -38.1 < level.min() and level.max() < -13.9


def test_strung_together_speech_has_the_wanted_length_and_another_pitch():
    tone = np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)
    found = set()
    for seed in range(6):
        said = recipe.say([tone], 48000, np.random.default_rng(seed))
        assert said.shape == (48000,)
        found.add(int(np.abs(np.fft.rfft(said)).argmax() / 3))
    assert len(found) > 3 and all(360 < pitch < 680 for pitch in found)


def test_an_echo_follows_the_sound_and_keeps_its_place():
    click = np.zeros(4000)
    click[1000] = 1
    wet = recipe.echo(click, np.random.default_rng(0))
    assert wet.shape == click.shape and wet[1000] == pytest.approx(1)
    assert np.abs(wet[:1000]).max() < 1e-9 and np.abs(wet[1150:]).max() > 1e-3


def test_masks_in_another_order_do_other_things_to_the_same_sound():
    sound = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    fading = np.linspace(1, 0, len(sound), dtype=np.float32)
    shuffled = recipe.shuffled(lambda noisy: noisy * fading)(sound)
    assert shuffled.shape == sound.shape and not np.allclose(shuffled, sound * fading, atol=0.01)
    assert np.allclose(recipe.shuffled(np.copy)(sound), sound, atol=1e-3), "masks of 1 have no order"


def test_a_recording_of_speech_is_still_that_speech_and_differs_from_seed_to_seed():
    said = speech_like(1.0)
    takes = [recipe.record(said, np.random.default_rng(seed)) for seed in range(8)]
    assert all(take.shape == said.shape and np.isfinite(take).all() for take in takes)
    assert all(np.corrcoef(take, said)[0, 1] > 0.2 for take in takes)
    assert not np.allclose(takes[0], takes[1])


def test_recorded_noises_last_eight_seconds_without_a_gap_and_repeat_themselves_from_their_seed():
    recorded = [noise.white(0.7, 0), noise.pink(2.0, 1)]
    pool, again, other = (recipe.recorded_noises(6, recorded, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(pool, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(pool, other, strict=True))
    for one in pool:
        assert one.shape == (8 * features.SAMPLE_RATE,) and one.dtype == np.float32
        assert recipe.rms(one) == pytest.approx(1, abs=1e-3)
        assert np.sqrt(np.square(one.reshape(-1, 1600)).mean(1)).min() > 0.3  # no tenth of a second is silent


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, {"real"}), (0.0, {"synthetic"}), (0.5, {"real", "synthetic"})]
)
def test_a_share_of_the_pairs_comes_from_real_voices(share, expected):
    hiss = [np.random.default_rng(0).standard_normal(8 * 16000).astype(np.float32)]
    kinds = {
        "real": recipe.Mixtures(CLIPS[:1], hiss),
        "synthetic": recipe.Mixtures(CLIPS[1:2], hiss),
    }
    seen = set()
    for name, mixtures in kinds.items():
        mixtures.mix = lambda draw, name=name: seen.add(name) or (np.zeros(4, np.float32),) * 2
    recipe.EitherMixtures(kinds["real"], kinds["synthetic"], share)(0)
    recipe.EitherMixtures(kinds["real"], kinds["synthetic"], share)(1)
    assert seen == expected


@dataclass
class Sound:
    """Stands for a recording."""

    name: str
    audio: np.ndarray


@pytest.fixture
def real_sounds(monkeypatch):
    """30 readers and some noises, one of them digital silence and one with silent ends."""
    gap = np.zeros(3000, np.float32)
    sounds = {
        ("librispeech", "train"): [
            Sound(str(i), np.full(16000, (i + 1) / 100, np.float32)) for i in range(30)
        ],
        ("esc10", "train"): [
            Sound("whole", noise.white(1.0, 0)),
            Sound("silence", np.zeros(16000, np.float32)),
            Sound("ends", np.concatenate([gap, noise.white(0.5, 1), gap])),
        ],
        ("esc10", "valid"): [Sound("other", noise.pink(1.0, 2))],
        ("debian_sounds", "train"): [Sound("wind", noise.brown(3.0, 3))],
    }
    monkeypatch.setattr(data, "real", lambda name, split: sounds[name, split])


def test_readers_for_development_are_not_trained_on_and_silence_is_no_noise(real_sounds):
    voices, noises = recipe.recordings("train")
    held_back, others = recipe.recordings("valid")
    first = [{float(voice[0]) for voice in group} for group in (voices, held_back)]
    assert not first[0] & first[1] and len(voices) == 27 and len(held_back) == 3
    assert [len(sound) for sound in noises] == [16000, pytest.approx(8000, abs=4)] and len(others) == 1
    _, more = recipe.recordings("train", kinds=recipe.KINDS)
    assert [len(sound) for sound in more] == [*map(len, noises), 48000]


def test_real_training_data_holds_both_kinds_of_voices(real_sounds, monkeypatch):
    monkeypatch.setattr(data, "speech", lambda split: [Sound(str(i), clip) for i, clip in enumerate(CLIPS)])
    mixtures = recipe.real_training_data(5, 2, size=4)
    assert len(mixtures.real.clips) == len(mixtures.synthetic.clips) == 5 and len(mixtures.real.noises) == 4
    noisy, clean = mixtures(0)
    assert noisy.shape == clean.shape == (4, 32000) and not torch.equal(noisy, clean)
    assert torch.equal(noisy, mixtures(0)[0])


def test_new_noises_are_made_of_both_kinds_and_never_end(real_sounds, monkeypatch):
    monkeypatch.setattr(data, "speech", lambda split: [Sound(str(i), clip) for i, clip in enumerate(CLIPS)])
    noises = recipe.real_training_data(5, 0, size=2).real.noises
    made = [noises[i] for i in (0, 1, 3, 11, 999_999)]
    assert all(noise.shape == (128_000,) and abs(recipe.rms(noise) - 1) < 1e-3 for noise in made)
    assert all(
        abs(np.mean(a * b)) < 0.9 for i, a in enumerate(made) for b in made[:i]
    )  # none is another again
    assert np.array_equal(noises[11], made[3])
    assert np.array_equal(noises[11], recipe.recorded_noises(1, noises.clips, 11)[0])
    assert np.array_equal(noises[1], recipe.noise_pool(2, noises.speech, 1)[1])


def test_without_recordings_the_recipe_says_how_to_get_them(tmp_path, monkeypatch):
    def nothing(name, split):
        raise data.DataError("course download librispeech-train-clean-100")

    monkeypatch.setattr(data, "real", nothing)
    monkeypatch.setattr(paths, "checkpoints_folder", lambda: tmp_path)
    with pytest.raises(data.DataError, match="course download"):
        recipe.train(steps=2)
    assert not list(tmp_path.iterdir())


# --- training


@pytest.fixture
def tiny_course(tmp_path, monkeypatch):
    """Training as it is, with little of everything."""

    def little(count, noises, seed=0, kinds=(), **sizes):
        return recipe.Mixtures(CLIPS, recipe.noise_pool(3, CLIPS, seed), seed=seed, **sizes)

    monkeypatch.setattr(recipe, "training_data", little)
    monkeypatch.setattr(recipe, "real_training_data", little)
    monkeypatch.setattr(recipe, "SHIPPED", SMALL)
    monkeypatch.setattr(recipe, "SIZES", {"size": 2, "seconds": 0.5})
    monkeypatch.setattr(recipe, "validation", lambda real: lambda model: {"valid": 0.0})
    monkeypatch.setattr(paths, "checkpoints_folder", lambda: tmp_path)


def test_training_writes_a_checkpoint_that_loads_as_the_same_model(tiny_course, monkeypatch, tmp_path):
    model = recipe.train(
        steps=2,
        state=tmp_path / "state.safetensors",
        name="tiny",
        measure=lambda model: {"SI-SDR in dB, own": "9.000 (8.000 to 10.000)"},
    )
    loaded = checkpoints.load("tiny")
    assert isinstance(loaded, enhancement.DualPathEnhancer) and loaded.config == SMALL
    assert np.allclose(loaded.enhance(sound(3000)), model.enhance(sound(3000)), atol=1e-3)
    card = (tmp_path / "tiny" / "README.md").read_text()
    assert "9.000 (8.000 to 10.000)" in card and "limits" in card and "course train enhancement" in card
    assert "LibriSpeech" in card
    recipe.train(steps=2, name="synthetic", real=False)
    assert "LibriSpeech" not in (tmp_path / "synthetic" / "README.md").read_text()


def test_an_interrupted_training_goes_on_to_the_same_weights(tiny_course, monkeypatch, tmp_path):
    whole = recipe.train(steps=4, name="whole")
    real_loss = recipe.loss_fn

    batches_seen = []

    def stop(model, batch, distance):
        batches_seen.append(batch)
        if len(batches_seen) == 3:
            raise KeyboardInterrupt
        return real_loss(model, batch, distance)

    monkeypatch.setattr(recipe, "loss_fn", stop)
    with pytest.raises(KeyboardInterrupt):
        recipe.train(steps=4, name="half", state=tmp_path / "state.safetensors")
    assert not (tmp_path / "half").exists()  # a half-trained model replaces nothing
    monkeypatch.setattr(recipe, "loss_fn", real_loss)
    resumed = recipe.train(steps=4, name="half", state=tmp_path / "state.safetensors")
    for name, value in whole.state_dict().items():
        assert torch.allclose(value.float(), resumed.state_dict()[name].float(), atol=1e-6), name


@pytest.mark.parametrize("rung", recipe.RUNGS)
def test_every_rung_trains(rung, tiny_course, monkeypatch):
    monkeypatch.setattr(recipe, "LESSON", SMALL)
    model, history = recipe.train_rung(rung, seed=1, steps=2)
    assert len(history.losses) == 2 and np.isfinite(history.losses).all()
    assert model.enhance(sound(3000)).shape == (3000,)
