"""The enhancer of notebook 01 and the steps to it: what they see, what they lose, and that a stream is the whole."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import benchmarks, checkpoints, data, features, metrics, noise, paths
from course_utils.models import enhancement

SMALL = enhancement.EnhancerConfig(
    channels=8, bands=8, width=8, blocks=2, heads=2, gain_bands=8, gain_width=8
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(seed=0, config=SMALL):
    torch.manual_seed(seed)
    model = enhancement.DualPathEnhancer(config)
    torch.nn.init.normal_(model.decode.weight, std=0.1)  # as after training: the mask does something
    return model.eval()


MODEL = small()


def sound(length, seed=0, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


def speech_like(seconds, seed=0):
    """Noise that comes and goes, so that signal and silence take turns."""
    return (noise.white(seconds, seed) * noise.swell(seconds, seed)).astype(np.float32)


# --- the naive model and the bands


def test_an_output_sample_of_the_autoencoder_sees_nine_samples():
    torch.manual_seed(0)
    assert enhancement.receptive_field(enhancement.WaveformAutoencoder()) == 9


@pytest.mark.parametrize("taps", [1, 5, 31])
def test_the_receptive_field_of_a_filter_is_its_length(taps):
    kernel = torch.ones(1, 1, taps) / taps

    def smooth(x):
        return torch.nn.functional.conv1d(x[:, None], kernel, padding=taps // 2)[:, 0]

    assert enhancement.receptive_field(smooth) == taps


def test_the_bands_share_every_bin_and_none_is_empty():
    matrix = enhancement.band_matrix(32)
    assert matrix.shape == (257, 32)
    assert torch.allclose(matrix.sum(1), torch.ones(257))
    assert (matrix.sum(0) > 0).all()
    widths = (matrix > 0).sum(0)
    assert widths[-2] > 5 * widths[2], "bands grow wider with frequency, as those of the ear do"


def test_one_step_of_the_erb_scale_is_one_auditory_filter():
    at = np.array([100.0, 1000.0, 4000.0])
    bandwidth = 24.7 * (0.00437 * at + 1)  # Glasberg and Moore (1990), equation 3
    steps = enhancement.erb(at + bandwidth / 2) - enhancement.erb(at - bandwidth / 2)
    assert steps == pytest.approx(np.ones(3), abs=0.02)


def test_the_band_gains_only_turn_down_and_never_look_ahead():
    torch.manual_seed(0)
    model = enhancement.BandGRU().eval()
    assert 30_000 <= sum(p.numel() for p in model.parameters()) <= 60_000
    spectrum = features.stft(torch.from_numpy(sound(8000)))[None]
    enhanced, _ = model(spectrum)
    assert (enhanced.abs() <= spectrum.abs() + 1e-6).all()
    changed = spectrum.clone()
    changed[:, 20:] *= 3
    assert torch.equal(model(changed)[0][:, :20], enhanced[:, :20])
    assert model.enhance(sound(8000)).shape == (8000,)


# --- the enhancer


def test_the_shipped_size_is_small_and_the_delay_is_32_ms():
    model = enhancement.DualPathEnhancer(enhancement.SHIPPED)
    assert sum(p.numel() for p in model.parameters()) <= 150_000
    assert model.delay_samples / features.SAMPLE_RATE <= 0.032


def test_frames_one_by_one_give_what_all_frames_at_once_give():
    spectrum = features.stft(torch.from_numpy(sound(6000)))[None]
    whole, last = MODEL(spectrum)
    parts, state = [], None
    for t in range(spectrum.shape[1]):
        part, state = MODEL(spectrum[:, t : t + 1], state)
        parts.append(part)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(state, last, strict=True))


def test_before_training_the_enhancer_is_its_gain_alone():
    torch.manual_seed(0)
    model = enhancement.DualPathEnhancer(SMALL).eval()
    spectrum = features.stft(torch.from_numpy(sound(6000)))[None]
    with torch.inference_mode():
        assert torch.allclose(model(spectrum)[0], model.rough(spectrum)[0], atol=1e-6)
        assert not torch.allclose(MODEL(spectrum)[0], MODEL.rough(spectrum)[0], atol=1e-3)


def test_a_batch_of_clips_is_enhanced_as_each_clip_is():
    clips = torch.from_numpy(np.stack([sound(4000, seed) for seed in range(3)]))
    with torch.inference_mode():
        together = enhancement.denoise(MODEL, clips)
    for clip, enhanced in zip(clips, together, strict=True):
        assert np.allclose(MODEL.enhance(clip.numpy()), enhanced.numpy(), atol=1e-5)


def test_compression_keeps_phases_and_takes_magnitudes_to_a_power():
    spectrum = torch.tensor([0j, 2 + 0j, 3j, -0.5 + 0.5j])
    compressed = enhancement.compress(spectrum)
    assert torch.allclose(compressed.abs(), spectrum.abs() ** 0.3, rtol=1e-3, atol=1e-3)
    assert torch.allclose(compressed.angle()[1:], spectrum.angle()[1:], atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(chunks=st.lists(st.integers(0, 1500), max_size=8), seed=st.integers(0, 3))
def test_a_stream_of_any_chunks_equals_the_whole(chunks, seed):
    waveform = sound(sum(chunks), seed)
    stream, out, start = MODEL.stream(), [], 0
    for length in chunks:
        out.append(stream.push(waveform[start : start + length]))
        start += length
        waiting = start - sum(map(len, out))
        assert 0 <= waiting <= MODEL.delay_samples, "a sample waits for 32 ms at most"
    streamed = np.concatenate([*out, stream.finish()])
    assert streamed.dtype == np.float32 and streamed.shape == waveform.shape
    assert np.allclose(streamed, enhancement.enhance_whole(MODEL, waveform), atol=1e-5)
    assert np.allclose(streamed, MODEL.enhance(waveform), atol=1e-5)


@pytest.mark.parametrize("changed_from", [1, 700, 3000, 3007, 5119, 6900])
def test_the_future_beyond_the_delay_changes_nothing(changed_from):
    waveform = sound(7000)
    other = waveform.copy()
    other[changed_from:] = sound(7000 - changed_from, 9, level=0.5)
    before, after = MODEL.enhance(waveform), MODEL.enhance(other)
    # Sample n waits for input up to n + 511, so samples before changed_from - 511 stand.
    still = max(0, changed_from - MODEL.delay_samples + 1)
    assert np.array_equal(before[:still], after[:still])
    assert not np.allclose(before[changed_from:], after[changed_from:])


def test_a_finished_stream_takes_no_more():
    stream = MODEL.stream()
    stream.finish()
    with pytest.raises(RuntimeError, match="finished"):
        stream.push(sound(100))


def test_two_streams_do_not_hear_each_other():
    first, second = MODEL.stream(), MODEL.stream()
    out = []
    for i in range(0, 4000, 500):
        out.append(first.push(sound(4000)[i : i + 500]))
        second.push(sound(500, i, level=0.9))
    assert np.allclose(np.concatenate([*out, first.finish()]), MODEL.enhance(sound(4000)), atol=1e-6)


# --- losses


def test_the_si_sdr_loss_is_the_metric_with_its_sign_turned():
    clean, estimate = speech_like(1.0), speech_like(1.0) * 0.5 + sound(16000, 4, 0.02)
    loss = enhancement.si_sdr_loss(torch.from_numpy(estimate)[None], torch.from_numpy(clean)[None])
    assert float(loss) == pytest.approx(-metrics.si_sdr(estimate, clean), abs=0.01)


def test_the_snr_loss_also_asks_for_the_volume():
    clean = torch.from_numpy(speech_like(1.0))[None]
    assert float(enhancement.snr_loss(clean, clean)) == pytest.approx(-30, abs=0.1)
    assert float(enhancement.snr_loss(0.5 * clean, clean)) == pytest.approx(-6, abs=0.1)
    estimate = clean + torch.from_numpy(sound(16000, 4, 0.03))
    plain = metrics.snr(estimate[0].numpy(), clean[0].numpy())
    assert float(enhancement.snr_loss(estimate, clean)) == pytest.approx(-plain, abs=0.3)


def test_the_losses_of_a_perfect_estimate_are_the_smallest():
    clean = torch.from_numpy(speech_like(1.0))[None]
    worse = clean + torch.from_numpy(sound(16000, 2, 0.01))
    for loss in (
        enhancement.waveform_loss,
        enhancement.compressed_loss,
        enhancement.si_sdr_loss,
        enhancement.snr_loss,
        enhancement.combined_loss,
        enhancement.stoi_loss,
        enhancement.shipped_loss,
    ):
        assert loss(clean, clean) < loss(worse, clean) < loss(10 * worse.flip(-1), clean)
    assert enhancement.waveform_loss(clean, clean) == enhancement.compressed_loss(clean, clean) == 0
    assert float(enhancement.waveform_loss(clean + 0.25, clean)) == pytest.approx(0.25)


def test_the_compressed_loss_is_what_its_formula_says():
    estimate, clean = sound(4000, 1), sound(4000, 2)
    powers = []
    for waveform in (estimate, clean):
        spectrum = features.stft(waveform)
        powers.append(np.abs(spectrum) ** 0.3 * np.exp(1j * np.angle(spectrum)))
    a, b = powers
    expected = 0.3 * np.mean(np.abs(a - b) ** 2) + 0.7 * np.mean((np.abs(a) - np.abs(b)) ** 2)
    loss = enhancement.compressed_loss(*(torch.from_numpy(x)[None] for x in (estimate, clean)))
    assert float(loss) == pytest.approx(expected, rel=1e-3)


@pytest.mark.judges
def test_the_stoi_loss_goes_with_the_library_and_has_no_volume():
    mixtures = benchmarks.enhancement("own", 12)
    measured = [1 - metrics.stoi(m.noisy, m.clean) for m in mixtures]
    pairs = [(torch.from_numpy(m.noisy)[None], torch.from_numpy(m.clean)[None]) for m in mixtures]
    as_loss = [float(enhancement.stoi_loss(*pair)) for pair in pairs]
    assert np.corrcoef(measured, as_loss)[0, 1] > 0.9 and np.abs(np.subtract(measured, as_loss)).mean() < 0.05
    noisy, clean = pairs[0]
    assert float(enhancement.stoi_loss(0.1 * noisy, clean)) == pytest.approx(as_loss[0], abs=1e-4)


@pytest.mark.parametrize("distance", [enhancement.combined_loss, enhancement.shipped_loss])
@pytest.mark.parametrize("clean", ["silence", "speech"])
def test_training_on_silence_gives_finite_gradients(clean, distance):
    model = small().train()
    target = torch.zeros(2, 8000) if clean == "silence" else torch.from_numpy(sound(16000)).view(2, 8000)
    loss = enhancement.loss_fn(model, (torch.zeros(2, 8000), target), distance)
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in model.parameters())


# --- training material


CLIPS = [speech_like(0.9 + 0.2 * i, i) for i in range(20)]


def test_invented_noises_repeat_themselves_from_their_seed_and_are_equally_loud():
    pool, again, other = (enhancement.noise_pool(12, CLIPS, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(pool, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(pool, other, strict=True))
    for one in pool:
        assert one.shape == (8 * features.SAMPLE_RATE,) and one.dtype == np.float32
        assert enhancement.rms(one) == pytest.approx(1, abs=1e-3)


def test_no_invented_noise_is_of_a_kind_kept_for_the_test(monkeypatch):
    made = []
    monkeypatch.setattr(noise, "generate", lambda kind, s, seed: made.append(kind) or noise.white(s, seed))
    for seed in range(60):
        enhancement.invent(0.1, np.random.default_rng(seed), CLIPS, 0.1)
    assert set(made) == set(noise.TRAIN_TYPES) and not set(made) & set(noise.TEST_TYPES)


def test_mixtures_repeat_themselves_step_by_step_within_their_snr_and_level():
    mixtures = enhancement.Mixtures(CLIPS, enhancement.noise_pool(8, CLIPS), seconds=1.5, size=16)
    noisy, clean = mixtures(3)
    assert noisy.shape == clean.shape == (16, 24000) and noisy.dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip((noisy, clean), mixtures(3), strict=True))
    assert not torch.equal(noisy, mixtures(4)[0])
    assert not torch.equal(
        noisy, enhancement.Mixtures(mixtures.clips, mixtures.noises, 1.5, 16, seed=1)(3)[0]
    )
    snr = 10 * torch.log10(clean.square().mean(1) / (noisy - clean).square().mean(1))
    assert -8.1 < snr.min() < 0 and 10 < snr.max() < 22.1
    level = 10 * torch.log10(clean.square().mean(1))
    assert -38.1 < level.min() and level.max() < -13.9


def test_strung_together_speech_has_the_wanted_length_and_another_pitch():
    tone = np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)
    found = set()
    for seed in range(6):
        said = enhancement.say([tone], 48000, np.random.default_rng(seed))
        assert said.shape == (48000,)
        found.add(int(np.abs(np.fft.rfft(said)).argmax() / 3))
    assert len(found) > 3 and all(360 < pitch < 680 for pitch in found)


def test_an_echo_follows_the_sound_and_keeps_its_place():
    click = np.zeros(4000)
    click[1000] = 1
    wet = enhancement.echo(click, np.random.default_rng(0))
    assert wet.shape == click.shape and wet[1000] == pytest.approx(1)
    assert np.abs(wet[:1000]).max() < 1e-9 and np.abs(wet[1150:]).max() > 1e-3


def test_a_recording_of_speech_is_still_that_speech_and_differs_from_seed_to_seed():
    said = speech_like(1.0)
    takes = [enhancement.record(said, np.random.default_rng(seed)) for seed in range(8)]
    assert all(take.shape == said.shape and np.isfinite(take).all() for take in takes)
    assert all(np.corrcoef(take, said)[0, 1] > 0.2 for take in takes)
    assert not np.allclose(takes[0], takes[1])


def test_recorded_noises_last_eight_seconds_without_a_gap_and_repeat_themselves_from_their_seed():
    recorded = [noise.white(0.7, 0), noise.pink(2.0, 1)]
    pool, again, other = (enhancement.recorded_noises(6, recorded, seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(pool, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(pool, other, strict=True))
    for one in pool:
        assert one.shape == (8 * features.SAMPLE_RATE,) and one.dtype == np.float32
        assert enhancement.rms(one) == pytest.approx(1, abs=1e-3)
        assert np.sqrt(np.square(one.reshape(-1, 1600)).mean(1)).min() > 0.3  # no tenth of a second is silent


@pytest.mark.parametrize(
    ("share", "expected"), [(1.0, {"real"}), (0.0, {"synthetic"}), (0.5, {"real", "synthetic"})]
)
def test_a_share_of_the_pairs_comes_from_real_voices(share, expected):
    hiss = [np.random.default_rng(0).standard_normal(8 * 16000).astype(np.float32)]
    kinds = {
        "real": enhancement.Mixtures(CLIPS[:1], hiss),
        "synthetic": enhancement.Mixtures(CLIPS[1:2], hiss),
    }
    seen = set()
    for name, mixtures in kinds.items():
        mixtures.mix = lambda draw, name=name: seen.add(name) or (np.zeros(4, np.float32),) * 2
    enhancement.EitherMixtures(kinds["real"], kinds["synthetic"], share)(0)
    enhancement.EitherMixtures(kinds["real"], kinds["synthetic"], share)(1)
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
    voices, noises = enhancement.recordings("train")
    held_back, others = enhancement.recordings("valid")
    first = [{float(voice[0]) for voice in group} for group in (voices, held_back)]
    assert not first[0] & first[1] and len(voices) == 27 and len(held_back) == 3
    assert [len(sound) for sound in noises] == [16000, pytest.approx(8000, abs=4)] and len(others) == 1
    _, more = enhancement.recordings("train", kinds=enhancement.KINDS)
    assert [len(sound) for sound in more] == [*map(len, noises), 48000]


def test_real_training_data_holds_both_kinds_of_voices(real_sounds, monkeypatch):
    monkeypatch.setattr(data, "speech", lambda split: [Sound(str(i), clip) for i, clip in enumerate(CLIPS)])
    mixtures = enhancement.real_training_data(5, 2, size=4)
    assert len(mixtures.real.clips) == len(mixtures.synthetic.clips) == 5 and len(mixtures.real.noises) == 4
    noisy, clean = mixtures(0)
    assert noisy.shape == clean.shape == (4, 32000) and not torch.equal(noisy, clean)
    assert torch.equal(noisy, mixtures(0)[0])


def test_new_noises_are_made_of_both_kinds_and_never_end(real_sounds, monkeypatch):
    monkeypatch.setattr(data, "speech", lambda split: [Sound(str(i), clip) for i, clip in enumerate(CLIPS)])
    noises = enhancement.real_training_data(5, 0, size=2).real.noises
    made = [noises[i] for i in (0, 1, 3, 11, 999_999)]
    assert all(noise.shape == (128_000,) and abs(enhancement.rms(noise) - 1) < 1e-3 for noise in made)
    assert all(
        abs(np.mean(a * b)) < 0.9 for i, a in enumerate(made) for b in made[:i]
    )  # none is another again
    assert np.array_equal(noises[11], made[3])
    assert np.array_equal(noises[11], enhancement.recorded_noises(1, noises.clips, 11)[0])
    assert np.array_equal(noises[1], enhancement.noise_pool(2, noises.speech, 1)[1])


def test_without_recordings_the_recipe_says_how_to_get_them(tmp_path, monkeypatch):
    def nothing(name, split):
        raise data.DataError("course download librispeech-train-clean-100")

    monkeypatch.setattr(data, "real", nothing)
    monkeypatch.setattr(paths, "checkpoints_folder", lambda: tmp_path)
    with pytest.raises(data.DataError, match="course download"):
        enhancement.train(steps=2)
    assert not list(tmp_path.iterdir())


# --- training


@pytest.fixture
def tiny_course(tmp_path, monkeypatch):
    """Training as it is, with little of everything."""

    def little(count, noises, seed=0, kinds=(), **sizes):
        return enhancement.Mixtures(CLIPS, enhancement.noise_pool(3, CLIPS, seed), seed=seed, **sizes)

    monkeypatch.setattr(enhancement, "training_data", little)
    monkeypatch.setattr(enhancement, "real_training_data", little)
    monkeypatch.setattr(enhancement, "SHIPPED", SMALL)
    monkeypatch.setattr(enhancement, "SIZES", {"size": 2, "seconds": 0.5})
    monkeypatch.setattr(enhancement, "validation", lambda real: lambda model: {"valid": 0.0})
    monkeypatch.setattr(paths, "checkpoints_folder", lambda: tmp_path)


def test_training_writes_a_checkpoint_that_loads_as_the_same_model(tiny_course, monkeypatch, tmp_path):
    monkeypatch.setattr(
        enhancement, "figures", lambda model: {"SI-SDR in dB, own": "9.000 (8.000 to 10.000)"}
    )
    model = enhancement.train(steps=2, state=tmp_path / "state.safetensors", name="tiny")
    loaded = checkpoints.load("tiny")
    assert isinstance(loaded, enhancement.DualPathEnhancer) and loaded.config == SMALL
    assert np.allclose(loaded.enhance(sound(3000)), model.enhance(sound(3000)), atol=1e-3)
    card = (tmp_path / "tiny" / "README.md").read_text()
    assert "9.000 (8.000 to 10.000)" in card and "limits" in card and "course train tiny" in card
    assert "LibriSpeech" in card
    enhancement.train(steps=2, name="synthetic", real=False)
    assert "LibriSpeech" not in (tmp_path / "synthetic" / "README.md").read_text()


def test_an_interrupted_training_goes_on_to_the_same_weights(tiny_course, monkeypatch, tmp_path):
    monkeypatch.setattr(enhancement, "figures", lambda model: {})
    whole = enhancement.train(steps=4, name="whole")
    real_loss = enhancement.loss_fn

    batches_seen = []

    def stop(model, batch, distance):
        batches_seen.append(batch)
        if len(batches_seen) == 3:
            raise KeyboardInterrupt
        return real_loss(model, batch, distance)

    monkeypatch.setattr(enhancement, "loss_fn", stop)
    with pytest.raises(KeyboardInterrupt):
        enhancement.train(steps=4, name="half", state=tmp_path / "state.safetensors")
    assert not (tmp_path / "half").exists()  # a half-trained model replaces nothing
    monkeypatch.setattr(enhancement, "loss_fn", real_loss)
    resumed = enhancement.train(steps=4, name="half", state=tmp_path / "state.safetensors")
    for name, value in whole.state_dict().items():
        assert torch.allclose(value.float(), resumed.state_dict()[name].float(), atol=1e-6), name


def test_a_machine_without_recordings_says_so_in_the_card(monkeypatch):
    def nothing(grid):
        raise data.DataError("the recordings are not here")

    monkeypatch.setattr(benchmarks, "enhancement", nothing)
    assert enhancement.figures(MODEL) == {
        grid: "not measured: the recordings are not here" for grid in ("real", "own", "valid")
    }


@pytest.mark.judges
def test_the_card_holds_every_measure_with_its_interval(monkeypatch):
    grid = benchmarks.enhancement("own", 2)
    monkeypatch.setattr(benchmarks, "enhancement", lambda name: grid)
    figures = enhancement.figures(MODEL, ("own",))
    assert list(figures) == ["SI-SDR in dB, own", "PESQ, own", "STOI, own"]


@pytest.mark.judges
@pytest.mark.parametrize("rung", enhancement.RUNGS)
def test_every_rung_trains_and_is_measured(rung, tiny_course, monkeypatch):
    grid = benchmarks.enhancement("own", 2)

    def only_own(name, count):
        if name != "own":
            raise data.DataError("not here")
        return grid

    monkeypatch.setattr(benchmarks, "enhancement", only_own)
    monkeypatch.setattr(enhancement, "LESSON", SMALL)
    row = enhancement.ladder(rung, seed=1, steps=2)
    assert (row["rung"], row["seed"], row["steps"]) == (rung, 1, 2)
    assert row["parameters"] > 1000 and row["seconds"] > 0
    assert np.isfinite([row["own si_sdr"], row["own pesq"], row["own stoi"]]).all()
    assert not any(key.startswith("real") for key in row)


# --- export


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = enhancement.to_onnx(MODEL, folder / "float.onnx")
        return path, enhancement.quantise(path, folder / "int8.onnx")


def streamed(stream, waveform, chunk=700):
    parts = [stream.push(waveform[i : i + chunk]) for i in range(0, len(waveform), chunk)]
    return np.concatenate([*parts, stream.finish()])


def test_the_onnx_stream_gives_what_the_torch_stream_gives(exported):
    waveform = speech_like(1.0)
    enhanced = streamed(enhancement.OnnxStream(exported[0]), waveform)
    assert enhanced.shape == waveform.shape and enhanced.dtype == np.float32
    assert np.allclose(enhanced, MODEL.enhance(waveform), atol=1e-4)


def test_silence_through_onnx_is_silence(exported):
    assert not streamed(enhancement.OnnxStream(exported[0]), np.zeros(3000, np.float32)).any()


def test_eight_bits_take_less_room_and_lose_little(exported):
    as_float, as_int8 = exported
    waveform = speech_like(1.0)
    rounded = streamed(enhancement.OnnxStream(as_int8), waveform)
    assert metrics.si_sdr(rounded, MODEL.enhance(waveform)) > 20
    large = enhancement.DualPathEnhancer(enhancement.EnhancerConfig(channels=8, width=64, bands=32, blocks=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = enhancement.to_onnx(large, as_float.with_name("large.onnx"))
        smaller = enhancement.quantise(path, as_float.with_name("large8.onnx"))
    assert smaller.stat().st_size < path.stat().st_size
