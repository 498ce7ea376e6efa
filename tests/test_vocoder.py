"""The vocoder of notebook 04: shapes, streams, what it learns from, and how its training goes on where it stopped."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import checkpoints, features, training
from course_utils.models import vocoder
from course_utils.recipes import vocoder as recipe
from course_utils.synthesis import pulses, spectral_loss

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = vocoder.VocoderConfig(dim=16, hidden=16, slow_blocks=1, fast_blocks=2, kernel=5, first_kernel=5)


def untrained(seed=0):
    torch.manual_seed(seed)
    return vocoder.Vocoder(SMALL).eval()


def log_mel(frames, seed=0):
    return (np.random.default_rng(seed).normal(-2, 1, (frames, 80))).astype(np.float32)


def tone(hz, samples=8192, level=0.1):
    return level * torch.sin(2 * math.pi * hz * torch.arange(samples) / 16000)[None]


# --- the model


def test_frames_become_samples_and_arrays_stay_arrays():
    model = untrained()
    made = model(log_mel(20))
    assert isinstance(made, np.ndarray) and made.dtype == np.float32 and made.shape == (19 * 256,)
    assert model(torch.from_numpy(log_mel(20))[None].repeat(3, 1, 1)).shape == (3, 19 * 256)
    assert model(log_mel(20), 5000).shape == (5000,)
    assert model(log_mel(1), 256).shape == (256,)


def test_spectra_have_two_frames_for_each_and_begin_as_the_envelope():
    log_magnitude, phase, share, hz = untrained().spectra(torch.from_numpy(log_mel(7))[None])
    assert log_magnitude.shape == phase.shape == share.shape == (1, 14, 257) and hz.shape == (1, 14)
    assert 0 <= share.min() and share.max() <= 1 and 54 < hz.min() and hz.max() < 501
    flat = vocoder.Spectra(SMALL).envelope(torch.full((1, 80), -2.0))
    assert torch.allclose(flat, torch.full((1, 257), (0.95 - 2) * math.log(10)), atol=1e-4)


def test_overlapping_windows_add_up_where_they_lie():
    frames = torch.arange(12.0).reshape(1, 3, 4)
    expected = torch.zeros(8)
    for i in range(3):
        expected[2 * i : 2 * i + 4] += frames[0, i]
    assert torch.equal(vocoder.overlap_add(frames, 2)[0], expected)


@pytest.mark.parametrize("config", [SMALL, vocoder.VocoderConfig(dim=16, hidden=16)])
def test_only_frames_within_look_ahead_and_look_back_change_a_sample(config):
    torch.manual_seed(0)
    model, n, at = vocoder.Vocoder(config).eval(), 160, 80
    for parameter in model.spectra.parameters():  # untrained layers are too small to see far in float32
        torch.nn.init.normal_(parameter, std=0.3)
    torch.nn.init.zeros_(model.spectra.pitch.out.weight)  # or the clock would be another one from there on
    mel = log_mel(n)
    before = model(mel)
    mel[at] += 1
    frames = np.flatnonzero(np.abs(model(mel) - before).reshape(-1, 256).max(1))
    assert frames.min() >= at - config.look_ahead and frames.max() <= at + config.look_back
    assert frames.min() <= at - config.look_ahead + 2, "and it does look about that far"


def test_the_clock_goes_on_from_where_it_stood():
    model, mel = untrained(), log_mel(60)
    _, clock = model.follow(mel)
    cycles = clock / pulses.ticks_per_cycle(128)
    assert clock.shape == (60,) and clock[0] == 0 and (np.diff(cycles) > 0.016 * 54).all()
    _, again = model.follow(mel, at=20, ticks=int(clock[20]))
    assert np.array_equal(again, clock)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 120))
def test_a_stream_gives_the_samples_of_the_whole_however_it_is_cut(cuts, frames):
    model, mel = untrained(), log_mel(frames)
    stream, parts, at = model.stream(), [], 0
    for size in [*cuts, frames]:
        parts.append(stream.push(mel[at : at + size]))
        at += size
    parts.append(stream.finish())
    whole = model(mel) if frames > 1 else np.zeros(0, np.float32)
    assert np.concatenate(parts).shape == whole.shape
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def test_a_stream_begins_anew_after_its_end_and_keeps_little():
    model, mel = untrained(), log_mel(300)
    stream = model.stream()
    first = np.concatenate([*(stream.push(mel[i : i + 10]) for i in range(0, 300, 10))])
    assert len(stream.kept) <= SMALL.look_back + SMALL.look_ahead + 10
    first = np.concatenate([first, stream.finish()])
    again = np.concatenate([stream.push(mel), stream.finish()])
    np.testing.assert_allclose(first, again, atol=1e-5)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.zeros((10, 40), np.float32), "frames, 80"),
        (np.zeros(80, np.float32), "frames, 80"),
        (np.zeros((2, 10, 80), np.float32), "frames, 80"),
        (np.full((10, 80), np.nan, np.float32), "not finite"),
    ],
)
def test_what_is_no_log_mel_is_refused_with_a_reason(bad, says):
    model = untrained()
    with pytest.raises(ValueError, match=says):
        model(bad)
    with pytest.raises(ValueError, match=says):
        model.stream().push(bad)


def test_silence_and_absurd_levels_stay_finite():
    model = untrained()
    for level in (-10.0, -100.0, 50.0):
        assert np.isfinite(model(np.full((12, 80), level, np.float32))).all()


# --- the spectral loss


def test_equal_sounds_have_no_loss_and_others_some():
    sound = tone(220) + 0.01 * torch.randn(2, 8192, generator=torch.Generator().manual_seed(0))
    assert spectral_loss.spectral_loss(sound, sound).item() == pytest.approx(0, abs=1e-6)
    for other in (0.5 * sound, sound.roll(700, 1), torch.zeros_like(sound), tone(230).repeat(2, 1)):
        assert spectral_loss.spectral_loss(other, sound).item() > 0.3


def test_a_tone_further_away_has_more_loss():
    off = [spectral_loss.spectral_loss(tone(440 * ratio), tone(440)).item() for ratio in (1.01, 1.05, 1.3)]
    assert off == sorted(off) and off[0] > 0.1


def test_phases_as_such_are_not_heard():
    """The opposite sign is half a turn of every phase, and sounds the same."""
    sound = tone(440) + 0.01 * torch.randn(1, 8192, generator=torch.Generator().manual_seed(0))
    assert spectral_loss.spectral_loss(-sound, sound).item() == pytest.approx(0, abs=1e-4)


def test_phases_that_turn_alike_cost_nothing_and_against_each_other_two():
    still, turned = torch.ones(1, 4, 3, dtype=torch.complex64), torch.tensor([1, -1, 1, -1])
    other, weight = still * turned[None, :, None], torch.ones(1, 3, 3)
    assert spectral_loss.turning(other, other * 1j, weight).item() == pytest.approx(0, abs=1e-5)
    assert spectral_loss.turning(other, still, weight).item() == pytest.approx(2, abs=1e-4)


def test_silence_has_a_finite_slope():
    made = torch.zeros(1, 4096, requires_grad=True)
    spectral_loss.spectral_loss(made, torch.zeros(1, 4096)).backward()
    assert torch.isfinite(made.grad).all()


# --- the recipe


def judges():
    torch.manual_seed(1)
    return [recipe.PeriodJudge(3, (4, 8)), recipe.SpectrumJudge(128, 8)]


def clips(count=6, samples=6000):
    draw = np.random.default_rng(0)
    sounds = [(0.1 * draw.standard_normal(samples)).astype(np.float32) for _ in range(count)]
    return [recipe.Clip(i % 2 == 0, samples, lambda sound=sound: sound) for i, sound in enumerate(sounds)]


def test_judges_tell_two_kinds_of_sound_apart_after_a_few_steps():
    contest = recipe.Contest(untrained(), judges())
    optimizer = torch.optim.Adam(contest.judges.parameters(), 3e-3)
    chance = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(25):
        real = tone(200 + 20 * float(torch.rand((), generator=chance)), 2048).repeat(2, 1)
        loss = contest(torch.randn(2, 2048, generator=chance), real, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_vocoder_learns_nothing_from_the_loss_of_the_judges_nor_they_from_its():
    contest = recipe.Contest(untrained(), judges())
    made, real = torch.randn(2, 2048, requires_grad=True), torch.randn(2, 2048)
    contest(made, real, 0.0).backward()
    assert made.grad is None or made.grad.abs().max() == 0
    alone = [p.grad.clone() for p in contest.judges.parameters()]
    contest.zero_grad()
    contest(made, real, 1.0).backward()
    assert made.grad.abs().max() > 0
    assert all(torch.allclose(a, p.grad) for a, p in zip(alone, contest.judges.parameters(), strict=True))


def test_pieces_repeat_themselves_and_people_have_their_share():
    found = [*clips(2), *(recipe.Clip(False, 6000, lambda: np.ones(6000, np.float32)) for _ in range(20))]
    batches = recipe.Batches(found, size=64, crop=4096)
    one, again = batches(3), batches(3)
    assert one.waveform.shape == (64, 4096) and one.waveform.dtype == torch.float32
    assert torch.equal(one.waveform, again.waveform) and not torch.equal(one.waveform, batches(4).waveform)
    noisy = [(batches(i).waveform.std(1) > 1e-3).float().mean() for i in range(20)]
    assert 0.4 < np.mean(noisy) < 0.8  # 0.45 of people, and one of 21 others
    levels = one.waveform.abs().amax(1)
    assert levels.max() <= 1 and levels.min() > 0.01


def test_frames_of_one_sound_are_consistent_and_magnitudes_of_another_are_not():
    sound = torch.randn(1, 4096, generator=torch.Generator().manual_seed(0))
    own = (spectral_loss.spectrum(sound, 512).abs() + 1e-6).log()
    assert recipe.inconsistency(own, sound).item() == pytest.approx(0, abs=1e-3)
    assert recipe.inconsistency(own, sound.flip(1)).item() > 0.3
    contest, batch = recipe.Contest(untrained(), judges()), recipe.Batches(clips(), 1, 4096, judged_from=9)(0)
    assert recipe.loss_fn(contest, batch, consistency=1.0) > recipe.loss_fn(contest, batch) + 0.05


def test_judges_are_asked_late_and_heard_little_at_first():
    batches = recipe.Batches(clips(), 1, 4096, judged_from=10, ramp=5)
    assert [batches(i).weight for i in (0, 9, 10, 14, 90)] == [None, None, 0.2, 1.0, 1.0]


def test_short_clips_are_left_out_and_nothing_left_is_said():
    with pytest.raises(ValueError, match="no clip"):
        recipe.Batches(clips(samples=1000), crop=4096)


def run(state, until=None):
    """Four steps of a small contest, or until the user stops it."""
    contest = recipe.Contest(untrained(), judges())
    batches = recipe.Batches(clips(), 2, 4096, judged_from=1, ramp=2)

    def interrupted(step):
        if step == until:
            raise KeyboardInterrupt
        return batches(step)

    history = training.fit(
        contest, interrupted, recipe.loss_fn, 4, optimizer=recipe.optimiser(contest, 1e-3), ema=0.9, state=state,
        show=False,
    )  # fmt: skip
    return contest, history


def test_training_that_was_stopped_goes_on_to_the_same_weights(tmp_path):
    whole, _ = run(tmp_path / "whole")
    _, history = run(tmp_path / "parts", until=2)
    assert history.interrupted and len(history.losses) == 2
    parts, history = run(tmp_path / "parts")
    assert len(history.losses) == 4
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name
    start = recipe.Contest(untrained(), judges()).state_dict()
    moved = {
        name.split(".")[0]
        for name, value in whole.state_dict().items()
        if not torch.equal(value, start[name])
    }
    assert moved == {"vocoder", "judges"}


def test_the_recipe_saves_what_can_be_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "SHIPPED", SMALL)
    monkeypatch.setattr(recipe, "CROP", 4096)
    monkeypatch.setattr(recipe, "clips", lambda split, extra=None: iter(clips(samples=40000)))
    monkeypatch.setattr(recipe, "PESQ", False)  # that of noise is nothing to wait for
    made = recipe.train(steps=2, name=tmp_path / "vocoder", size=1, measure=lambda model: {"sizes": "2"})
    loaded = checkpoints.load(tmp_path / "vocoder")
    mel = features.log_mel(np.float32(tone(200)[0].numpy()))
    np.testing.assert_allclose(loaded(mel), made(mel), atol=1e-2)
    text = (tmp_path / "vocoder" / "README.md").read_text()
    assert "LibriSpeech" in text and "loss, readers" in text and "sizes" in text
    again = recipe.train(steps=1, name=tmp_path / "more", size=1, begin=str(tmp_path / "vocoder"))
    assert again.config == made.config
