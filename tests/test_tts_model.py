"""The synthesiser of notebook 04, part by part, and the pitch it learns from."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import checkpoints, features, pitch, text
from course_utils.models import tts, tts_losses
from course_utils.models.tts_speech import TextToSpeech, euler, make_plan
from tests.small_speaker import SMALL, SMALL_VOCODER, speaker

pytestmark = pytest.mark.usefixtures("one_thread")


# --- the length regulator and the plan -------------------------------------------------------------------


def test_every_phone_gets_its_frames():
    torch.manual_seed(0)
    frames = torch.randint(0, 6, (3, 9))
    frames[:, -1] += 1
    bounds = F.pad(frames.cumsum(1), (1, 0))
    for row, counts in enumerate(frames):
        n = int(counts.sum())
        phone, _ = tts.regulate(bounds[row : row + 1], 0, n)
        assert torch.equal(phone[0], torch.arange(9).repeat_interleave(counts))


def test_the_place_of_a_frame_says_how_far_it_is_from_both_ends():
    phone, place = tts.regulate(torch.tensor([[0, 4, 34]]), 2, 34)
    assert phone.shape == (1, 32) and place.shape == (1, 32, 4)
    middle, since, left, length = place[0].T
    assert torch.allclose(middle[:2], torch.tensor([0.125, 0.375]))
    assert torch.allclose(since[2:5], torch.tensor([0.05, 0.15, 0.25])) and since.max() == 1
    assert torch.allclose(left[-3:], torch.tensor([0.25, 0.15, 0.05])) and left.max() == 1
    assert torch.allclose(length[2:], torch.tensor(math.log(30) / 3))


def test_frames_behind_the_end_belong_to_the_last_phone_and_stay_finite():
    phone, place = tts.regulate(torch.tensor([[0, 2, 5], [0, 1, 2]]), 0, 5)
    assert phone[1].tolist() == [0, 1, 1, 1, 1] and torch.isfinite(place).all()


def test_part_of_a_plan_is_regulated_as_in_the_whole():
    bounds = torch.tensor([[0, 3, 3, 11, 20]])
    for whole, part in zip(tts.regulate(bounds, 0, 20), tts.regulate(bounds, 5, 13), strict=True):
        assert torch.equal(whole[:, 5:13], part)


def test_a_plan_has_the_phones_of_the_text_and_whole_frames_without_gaps():
    model = speaker()
    plan = make_plan(model, "Hello, you.", model.voice("f01"))
    assert plan.phones == text.phonemes("Hello, you.")
    assert plan.bounds.shape == (2, len(plan.phones) + 1) and plan.bounds[0, 0] == 0
    assert (plan.bounds.diff() >= 1).all() and plan.n_frames == plan.bounds[0, -1]
    assert torch.equal(plan.prosody[0], plan.prosody[1]), "anybody keeps the timing and the tune"
    assert not torch.allclose(plan.hidden[0], plan.hidden[1])


def test_where_words_begin_is_heard():
    model = speaker()
    starts = torch.zeros(1, 5, dtype=torch.long)
    phones, steer = torch.arange(5)[None], model.steer(torch.from_numpy(model.voice("f01"))[None])
    plain, _ = model.read(phones, starts, steer)
    starts[0, 2] = 1
    assert not torch.allclose(plain, model.read(phones, starts, steer)[0])


def test_a_vowel_shares_its_sound_between_its_stresses():
    assert tts.SOUND_OF[text.PHONES.index("AH0")] == tts.SOUND_OF[text.PHONES.index("AH1")]
    assert [tts.STRESS_OF[text.PHONES.index(p)] for p in ("K", "AH0", "AH1", "AH2")] == [0, 1, 2, 3]
    assert len(tts.SOUNDS) == 40


# --- the networks ----------------------------------------------------------------------------------------


def test_padding_changes_nothing():
    model = speaker()
    torch.manual_seed(0)
    phones, starts = torch.randint(0, 40, (1, 6)), torch.randint(0, 2, (1, 6))
    steer = model.steer(model.voices[:1])
    longer = [F.pad(one, (0, 4), value=3) for one in (phones, starts.clone())]
    longer[1][:, 6:] = 1
    mask = tts_losses.inside(torch.tensor([6]), 10)
    for short, padded in zip(
        model.read(phones, starts, steer), model.read(*longer, steer, mask), strict=True
    ):
        assert torch.allclose(short, padded[:, :6], atol=1e-5)


def test_a_voice_is_blind_to_padding_and_the_same_at_every_level():
    encoder = speaker().voice_encoder
    torch.manual_seed(0)
    log_mel = torch.randn(2, 30, 80) - 3
    mask = tts_losses.inside(torch.tensor([30, 20]), 30)
    voices = encoder(log_mel, mask)
    assert voices.shape == (2, SMALL.voice) and torch.allclose(voices.norm(dim=-1), torch.ones(2))
    assert torch.allclose(encoder(log_mel + 1.7, mask), voices, atol=1e-4)
    assert torch.allclose(encoder(log_mel[1:, :20]), voices[1:], atol=1e-4)
    other = log_mel.clone()
    other[1, 20:] = -9.0  # quiet padding
    assert torch.allclose(encoder(other, mask), voices, atol=1e-4)
    assert not torch.allclose(encoder(log_mel)[1], voices[1], atol=1e-3), "without the mask it would count"


def test_before_training_the_flow_is_that_of_a_gaussian_about_the_guess():
    flow = tts.FlowDecoder(SMALL)
    torch.manual_seed(0)
    noise, guess = torch.randn(1, 9, 80), torch.randn(1, 9, 80)
    x, steps = noise, 200
    with torch.no_grad():
        for step in range(steps):
            t = torch.full((1,), (step + 0.5) / steps)
            x = x + flow(x, t, torch.zeros(1, 9, SMALL.dim), guess, torch.zeros(1, SMALL.cond)) / steps
    assert torch.allclose(x, guess + SMALL.spread**0.5 * noise, atol=0.02)


def test_parts_of_a_plan_are_decoded_as_the_whole_once_the_context_is_there():
    model = speaker()
    plan = make_plan(model, "Hello there, who is it?", model.voice("m02"))
    noise = torch.randn(plan.n_frames, 80, generator=torch.Generator().manual_seed(0))
    whole = euler(model, plan, noise, steps=1)
    assert whole.shape == (plan.n_frames, 80) and whole.dtype == np.float32
    first, end = 10, 20
    part = euler(model, plan, noise, first - model.context, end + model.context, steps=1)
    assert np.allclose(part[model.context : model.context + 10], whole[first:end], atol=1e-5)
    narrow = euler(model, plan, noise, first, end, steps=1)
    assert not np.allclose(narrow, whole[first:end], atol=1e-5), "the context is needed"


# --- learning --------------------------------------------------------------------------------------------


def batch(n=3, phones=7, frames=40):
    torch.manual_seed(0)
    n_phones = torch.tensor([7, 5, 4])[:n]
    counts = torch.randint(1, 6, (n, phones)) * tts_losses.inside(n_phones, phones)[..., 0].long()
    bounds = F.pad(counts.cumsum(1), (1, 0))
    return tts_losses.Batch(
        torch.randint(0, 60, (n, phones)), torch.randint(0, 2, (n, phones)), torch.randn(n, phones, 4), bounds,
        torch.randn(n, frames, 80), n_phones, bounds[:, -1], torch.randn(n, 30, 80) - 3, torch.zeros(n, dtype=torch.long),
    )  # fmt: skip


def lessons(model, given, seed=0, **more):
    torch.manual_seed(seed)
    n = len(given.phones)
    noise = torch.randn_like(given.mel)
    return tts_losses.losses(
        model, given, torch.tensor([1.0, 0.0, 1.0])[:n], torch.tensor([0.0, 0.5, 1.0])[:n], noise, **more
    )


def test_losses_are_finite_positive_and_reach_every_weight():
    model = speaker().train()
    found = lessons(model, batch())
    assert found.shape == (6,) and torch.isfinite(found).all() and (found > 0).all()
    found.sum().backward()
    still = [
        name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert still == []


def test_what_stands_in_the_padding_does_not_count():
    model, given = speaker(), batch()
    found = lessons(model, given, jitter=0.0)
    phones, prosody, mel = given.phones.clone(), given.prosody.clone(), given.mel.clone()
    for row in range(3):
        phones[row, given.n_phones[row] :] = 11
        prosody[row, given.n_phones[row] :] = 1e3
        mel[row, given.n_frames[row] :] = 1e3
    assert torch.allclose(
        lessons(model, given._replace(phones=phones, prosody=prosody, mel=mel), jitter=0.0), found, rtol=1e-4
    )


def test_a_voice_that_is_given_takes_the_place_of_the_reference():
    model, given = speaker(), batch()
    voice = model.voice_encoder(given.reference)
    assert torch.allclose(lessons(model, given, voice=voice), lessons(model, given), atol=1e-5)
    assert not torch.allclose(lessons(model, given, voice=-voice), lessons(model, given), atol=1e-4)


def test_a_few_steps_of_training_lower_every_loss():
    model, given = speaker(), batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = lessons(model, given).detach()
    for step in range(25):
        optimizer.zero_grad()
        lessons(model, given, seed=step).sum().backward()
        optimizer.step()
    assert (lessons(model, given) < before).all()


def test_flow_matching_finds_the_velocity_that_a_gaussian_has():
    """Noise N(0, 1) to data N(m, s^2): the velocity is m + (x - t m) (t s^2 - (1 - t)) / (t^2 s^2 + (1 - t)^2)."""
    torch.manual_seed(0)
    mean, deviation = 1.5, 0.5
    network = nn.Sequential(nn.Linear(2, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-2, total_steps=800)
    for _ in range(800):
        t, noise, x1 = torch.rand(256, 1), torch.randn(256, 1), mean + deviation * torch.randn(256, 1)
        x = (1 - t) * noise + t * x1
        loss = ((network(torch.cat([x, t], 1)) - (x1 - noise)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step(), schedule.step()
    with torch.no_grad():
        x, t = torch.randn(4000, 1), torch.rand(4000, 1)
        x = (1 - t) * x + t * (mean + deviation * torch.randn(4000, 1))  # places that the way passes
        pull = (t * deviation**2 - (1 - t)) / (t**2 * deviation**2 + (1 - t) ** 2)
        known = mean + (x - t * mean) * pull
        assert (network(torch.cat([x, t], 1)) - known).abs().mean() < 0.1
        x = torch.randn(4000, 1)
        for step in range(32):
            x = x + network(torch.cat([x, torch.full_like(x, (step + 0.5) / 32)], 1)) / 32
    assert x.mean() == pytest.approx(mean, abs=0.08) and x.std() == pytest.approx(deviation, abs=0.08)


def test_the_flow_decoder_states_that_velocity_where_the_rest_is_nothing():
    flow, t = tts.FlowDecoder(SMALL), torch.tensor([0.3, 0.9])
    x, guess = torch.randn(2, 4, 80), torch.randn(2, 4, 80)
    found = flow(x, t, torch.zeros(2, 4, SMALL.dim), guess, torch.zeros(2, SMALL.cond))
    now, s2 = t[:, None, None], SMALL.spread
    known = guess + (x - now * guess) * (now * s2 - (1 - now)) / (now**2 * s2 + (1 - now) ** 2)
    assert torch.allclose(found, known, atol=1e-5)


# --- checkpoints in parts --------------------------------------------------------------------------------


CONFIG = {"network": vars(SMALL), "speakers": ["f01", "m02", "c03"]}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.paths, "checkpoints_folder", lambda: tmp_path)
    model = speaker()
    checkpoints.save("small-vocoder", model.vocoder, SMALL_VOCODER, "# v")
    checkpoints.save("small-tts", model, CONFIG, "# t", parts={"vocoder": "small-vocoder"})
    return model, tmp_path


def test_a_part_is_stored_once_and_loaded_with_the_whole(saved):
    model, _ = saved
    stored = checkpoints.read("small-tts")[1]
    assert not any(name.startswith("vocoder") for name in stored) and "voices" in stored
    loaded = checkpoints.load("small-tts")
    assert type(loaded) is TextToSpeech and loaded.speakers == ("f01", "m02", "c03")
    assert not loaded.training and not loaded.vocoder.training
    assert np.array_equal(loaded.say("Hello.", "m02"), model.say("Hello.", "m02"))
    assert not any(name.startswith("vocoder") for name in loaded.state_dict())


def test_a_missing_part_is_named_with_the_checkpoint_that_needs_it(saved):
    _, folder = saved
    (folder / "small-vocoder" / "config.json").unlink()
    with pytest.raises(checkpoints.CheckpointError, match="'small-tts' needs 'small-vocoder' as its vocoder"):
        checkpoints.load("small-tts")


@pytest.mark.parametrize(
    "parts",
    [["small-vocoder"], {"vocoder": 3}, {"vocoder": "../elsewhere"}, {"vocoder": "small-tts"}, {"forward": "small-vocoder"}, "x"],
)  # fmt: skip
def test_parts_that_make_no_sense_are_refused(saved, parts):
    _, folder = saved
    path = folder / "small-tts" / "config.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"parts": parts}))
    with pytest.raises(checkpoints.CheckpointError, match="small-tts"):
        checkpoints.load("small-tts")


# --- pitch -----------------------------------------------------------------------------------------------


def tone(hz, seconds=0.6, partials=1, seed=0):
    time = np.arange(int(seconds * 16000)) / 16000
    rng = np.random.default_rng(seed)
    return sum(
        np.sin(2 * np.pi * hz * k * time + rng.uniform(0, 6)) / k for k in range(1, partials + 1)
    ).astype(np.float32)


@pytest.mark.parametrize("hz", [65, 80, 110.3, 147, 220, 311.7, 440, 480])
@pytest.mark.parametrize("partials", [1, 6])
def test_a_tone_has_its_frequency_and_not_an_octave_of_it(hz, partials):
    found = pitch.f0(0.2 * tone(hz, partials=partials))[4:-4]
    assert np.abs(12 * np.log2(found / hz)).max() < 0.1


def test_a_missing_fundamental_is_heard():
    waveform = tone(150, partials=6) - tone(150)
    assert np.allclose(pitch.f0(waveform)[4:-4], 150, rtol=0.01)


def test_an_octave_up_is_an_octave_up_in_a_glide():
    time = np.arange(32000) / 16000
    hz = 100 * 2 ** (time / 2)
    found = pitch.f0((0.3 * np.sin(2 * np.pi * np.cumsum(hz) / 16000)).astype(np.float32))
    at = np.minimum(np.arange(len(found)) * 256, 31999)
    assert np.abs(12 * np.log2(found[4:-4] / hz[at][4:-4])).max() < 0.3


def test_noise_and_silence_have_none():
    noise = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    assert (pitch.f0(noise) > 0).mean() < 0.1
    assert not pitch.f0(np.zeros(16000, np.float32)).any()
    assert not pitch.f0(np.full(16000, 0.5, np.float32))[4:-4].any(), "a constant is no tone"
    quiet = np.concatenate([tone(200), 1e-4 * tone(100)])
    assert not pitch.f0(quiet)[len(quiet) // 512 + 3 : -3].any(), "80 dB below the loudest"


def test_there_is_a_value_for_each_frame_of_the_log_mel_at_any_level_and_in_batches():
    for length in (1, 255, 256, 257, 4000):
        waveform = tone(200)[:length]
        assert len(pitch.f0(waveform)) == len(features.log_mel(waveform))
    clips = np.stack([tone(120), tone(333)])
    together = pitch.f0(clips)
    assert together.shape == (2, 1 + clips.shape[1] // 256) and together.dtype == np.float32
    assert np.allclose(together, [pitch.f0(clip) for clip in clips], rtol=1e-4)
    assert np.allclose(pitch.f0(1e-3 * clips), together, rtol=1e-3)
    assert torch.equal(pitch.f0(torch.from_numpy(clips)), torch.from_numpy(together))


def test_speech_has_the_pitch_that_librosa_finds():
    import librosa

    from course_utils import data

    waveform = min((one.audio for one in data.speech("test")[:20]), key=len)[:20000]
    found = pitch.f0(waveform)
    other, flag, _ = librosa.pyin(
        waveform, fmin=70, fmax=400, sr=16000, frame_length=1024, hop_length=256, resolution=0.2
    )
    mine, both = found > 0, (found > 0) & flag
    assert len(found) == len(other) and (mine == flag).mean() > 0.8 and both.sum() > 20
    apart = np.abs(12 * np.log2(found[both] / other[both]))  # in semitones
    assert np.median(apart) < 0.25 and (apart < 1.5).mean() > 0.95, (
        "no octaves, and the same where it is steady"
    )


@pytest.mark.parametrize(
    ("clips", "sentence"),
    [(np.zeros(0), "samples in it"), (np.full(900, np.nan), "not finite")],
)
def test_what_is_no_sound_has_no_pitch(clips, sentence):
    with pytest.raises(ValueError, match=sentence):
        pitch.f0(clips)
