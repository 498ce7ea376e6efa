"""What people will feed to the enhancer: silence, one sample, clipped, stereo, broken or endless sound."""

import numpy as np
import psutil
import pytest
import torch

from course_utils import audio
from course_utils.models import enhancement


@pytest.fixture(scope="module")
def model():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"channels": 4, "bands": 4, "width": 4, "blocks": 1, "heads": 1, "gain_bands": 4, "gain_width": 4}
    model = enhancement.DualPathEnhancer(enhancement.EnhancerConfig(**sizes))
    torch.nn.init.normal_(model.decode.weight, std=0.1)  # as after training: the mask does something
    yield model
    torch.set_num_threads(threads)


@pytest.mark.parametrize("length", [0, 1, 2, 255, 256, 257, 258, 511, 512, 513])
def test_very_short_sound_keeps_its_length(model, length):
    waveform = np.full(length, 0.1, np.float32)
    enhanced = model.enhance(waveform)
    assert enhanced.shape == (length,) and enhanced.dtype == np.float32 and np.isfinite(enhanced).all()


def test_silence_stays_silence(model):
    assert not model.enhance(np.zeros(5000, np.float32)).any()


@pytest.mark.parametrize(
    "waveform",
    [
        np.sign(np.sin(np.arange(8000) / 7)),
        np.full(8000, 0.5),
        1e-7 * np.sin(np.arange(8000) / 7),
        1e3 * np.sin(np.arange(8000) / 7),
        np.eye(1, 8000, 4000)[0],
    ],
    ids=["clipped", "DC", "very soft", "far beyond full scale", "one click"],
)
def test_odd_sound_gives_finite_sound_that_is_not_louder_than_it_can_be(model, waveform):
    enhanced = model.enhance(waveform.astype(np.float32))
    assert enhanced.shape == waveform.shape and np.isfinite(enhanced).all()
    assert np.abs(enhanced).max() < 10 * np.abs(waveform).max()


def test_double_precision_is_taken_and_the_input_is_left_alone(model):
    waveform = 0.1 * np.random.default_rng(0).standard_normal(3000)
    kept = waveform.copy()
    assert model.enhance(waveform).dtype == np.float32
    assert np.array_equal(waveform, kept)


@pytest.mark.parametrize(
    ("waveform", "words"),
    [
        (np.zeros((2, 4000), np.float32), "to_mono"),
        (np.zeros((4000, 2), np.float32), "to_mono"),
        (np.zeros(4000, np.int16), "to_float"),
        (np.append(np.zeros(100), np.nan), "sample 100 is not a finite number"),
        (np.append(np.zeros(100), np.inf), "sample 100 is not a finite number"),
        (np.zeros(100, complex), "real numbers"),
    ],
    ids=["stereo", "stereo as a file has it", "integers", "NaN", "infinity", "complex"],
)
def test_what_is_no_waveform_is_refused_with_advice(model, waveform, words):
    for take in (model.enhance, model.stream().push, enhancement.WaveformAutoencoder().enhance):
        with pytest.raises(audio.AudioError, match=words):
            take(waveform)


def test_a_refused_chunk_leaves_the_stream_as_it_was(model):
    waveform = 0.1 * np.random.default_rng(0).standard_normal(3000).astype(np.float32)
    stream = model.stream()
    first = stream.push(waveform[:1000])
    with pytest.raises(audio.AudioError):
        stream.push(np.full(500, np.nan))
    out = np.concatenate([first, stream.push(waveform[1000:]), stream.finish()])
    assert np.allclose(out, model.enhance(waveform), atol=1e-6)


def test_a_file_of_telephone_quality_is_enhanced_after_loading(model, tmp_path):
    path = tmp_path / "telephone.wav"
    audio.save(path, 0.1 * np.random.default_rng(0).standard_normal(4000).astype(np.float32), 8000)
    waveform = audio.load(path)
    assert len(waveform) == 8000, "audio.load brings 8 kHz to 16 kHz"
    assert model.enhance(waveform).shape == (8000,)


def test_a_long_waveform_is_computed_in_blocks_with_the_same_result(model):
    waveform = 0.1 * np.random.default_rng(0).standard_normal(25 * 16000).astype(np.float32)
    seen = []
    hook = model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    enhanced = model.enhance(waveform)
    hook.remove()
    assert len(seen) >= 3 and max(seen) <= 627, "never more than ten seconds of frames at once"
    assert np.allclose(enhanced, enhancement.enhance_whole(model, waveform), atol=1e-5)


def test_an_hour_needs_no_more_memory_than_a_minute(model):
    block = 0.1 * np.random.default_rng(0).standard_normal(10 * 16000).astype(np.float32)
    stream, process, samples = model.stream(), psutil.Process(), 0
    memory = []
    for _ in range(360):
        samples += len(stream.push(block))
        memory.append(process.memory_info().rss)
    samples += len(stream.finish())
    assert samples == 360 * len(block)
    assert max(memory) - max(memory[:6]) < 20 * 2**20
