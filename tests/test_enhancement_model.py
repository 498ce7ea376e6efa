"""The enhancer of notebook 01 and the steps to it: what they see, what they lose, and that a stream is the whole."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import enhancement_onnx as onnx
from course_utils import features, metrics, noise
from course_utils.models import enhancement
from course_utils.recipes import enhancement as recipe
from course_utils.record import mixtures

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = enhancement.EnhancerConfig(
    channels=8, bands=8, width=8, blocks=2, heads=2, gain_bands=8, gain_width=8
)


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
    model = enhancement.DualPathEnhancer(recipe.SHIPPED)
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
    loss = recipe.si_sdr_loss(torch.from_numpy(estimate)[None], torch.from_numpy(clean)[None])
    assert float(loss) == pytest.approx(-metrics.si_sdr(estimate, clean), abs=0.01)


def test_the_snr_loss_also_asks_for_the_volume():
    clean = torch.from_numpy(speech_like(1.0))[None]
    assert float(recipe.snr_loss(clean, clean)) == pytest.approx(-30, abs=0.1)
    assert float(recipe.snr_loss(0.5 * clean, clean)) == pytest.approx(-6, abs=0.1)
    estimate = clean + torch.from_numpy(sound(16000, 4, 0.03))
    plain = metrics.snr(estimate[0].numpy(), clean[0].numpy())
    assert float(recipe.snr_loss(estimate, clean)) == pytest.approx(-plain, abs=0.3)


def test_the_losses_of_a_perfect_estimate_are_the_smallest():
    clean = torch.from_numpy(speech_like(1.0))[None]
    worse = clean + torch.from_numpy(sound(16000, 2, 0.01))
    for loss in (
        recipe.waveform_loss,
        recipe.compressed_loss,
        recipe.si_sdr_loss,
        recipe.snr_loss,
        recipe.combined_loss,
        recipe.stoi_loss,
        recipe.shipped_loss,
    ):
        assert loss(clean, clean) < loss(worse, clean) < loss(10 * worse.flip(-1), clean)
    assert recipe.waveform_loss(clean, clean) == recipe.compressed_loss(clean, clean) == 0
    assert float(recipe.waveform_loss(clean + 0.25, clean)) == pytest.approx(0.25)


def test_the_compressed_loss_is_what_its_formula_says():
    estimate, clean = sound(4000, 1), sound(4000, 2)
    powers = []
    for waveform in (estimate, clean):
        spectrum = features.stft(waveform)
        powers.append(np.abs(spectrum) ** 0.3 * np.exp(1j * np.angle(spectrum)))
    a, b = powers
    expected = 0.3 * np.mean(np.abs(a - b) ** 2) + 0.7 * np.mean((np.abs(a) - np.abs(b)) ** 2)
    loss = recipe.compressed_loss(*(torch.from_numpy(x)[None] for x in (estimate, clean)))
    assert float(loss) == pytest.approx(expected, rel=1e-3)


@pytest.mark.judges
def test_the_stoi_loss_goes_with_the_library_and_has_no_volume():
    own = mixtures.grid("own", 12)
    measured = [1 - metrics.stoi(m.noisy, m.clean) for m in own]
    pairs = [(torch.from_numpy(m.noisy)[None], torch.from_numpy(m.clean)[None]) for m in own]
    as_loss = [float(recipe.stoi_loss(*pair)) for pair in pairs]
    assert np.corrcoef(measured, as_loss)[0, 1] > 0.9 and np.abs(np.subtract(measured, as_loss)).mean() < 0.05
    noisy, clean = pairs[0]
    assert float(recipe.stoi_loss(0.1 * noisy, clean)) == pytest.approx(as_loss[0], abs=1e-4)


@pytest.mark.parametrize("distance", [recipe.combined_loss, recipe.shipped_loss])
@pytest.mark.parametrize("clean", ["silence", "speech"])
def test_training_on_silence_gives_finite_gradients(clean, distance):
    model = small().train()
    target = torch.zeros(2, 8000) if clean == "silence" else torch.from_numpy(sound(16000)).view(2, 8000)
    loss = recipe.loss_fn(model, (torch.zeros(2, 8000), target), distance)
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(p.grad).all() for p in model.parameters())


# --- export


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    files = onnx.write_both(MODEL, tmp_path_factory.mktemp("onnx"))
    return files["float32"], files["int8"]


def streamed(stream, waveform, chunk=700):
    parts = [stream.push(waveform[i : i + chunk]) for i in range(0, len(waveform), chunk)]
    return np.concatenate([*parts, stream.finish()])


def test_the_onnx_stream_gives_what_the_torch_stream_gives(exported):
    waveform = speech_like(1.0)
    enhanced = streamed(onnx.OnnxStream(exported[0]), waveform)
    assert enhanced.shape == waveform.shape and enhanced.dtype == np.float32
    assert np.allclose(enhanced, MODEL.enhance(waveform), atol=1e-4)


def test_silence_through_onnx_is_silence(exported):
    assert not streamed(onnx.OnnxStream(exported[0]), np.zeros(3000, np.float32)).any()


def test_eight_bits_take_less_room_and_lose_little(exported):
    as_float, as_int8 = exported
    waveform = speech_like(1.0)
    rounded = streamed(onnx.OnnxStream(as_int8), waveform)
    assert metrics.si_sdr(rounded, MODEL.enhance(waveform)) > 20
    large = enhancement.DualPathEnhancer(enhancement.EnhancerConfig(channels=8, width=64, bands=32, blocks=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = onnx.to_onnx(large, as_float.with_name("large.onnx"))
        smaller = onnx.quantise(path, as_float.with_name("large8.onnx"))
    assert smaller.stat().st_size < path.stat().st_size
