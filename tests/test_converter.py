"""The converter of notebook 06: its look-up, its decoder, and a stream that gives what the whole gives."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils import checkpoints, features, pitch
from course_utils.models.converter import Converter, ConverterConfig, ConverterNetwork, harmonics
from course_utils.synthesis.converter_stream import QUIET, ConverterStream, Reference, StreamingF0, middle
from course_utils.waveform import AudioError
from tests.small_converter import SMALL, converter

pytestmark = pytest.mark.usefixtures("one_thread")
RATE = 16000


def voice(hz=150.0, seconds=1.0, seed=0):
    """A buzz with a little noise: periodic, and never the same."""
    time = np.arange(int(RATE * seconds)) / RATE
    noise = np.random.default_rng(seed).normal(0, 0.01, len(time))
    return (sum(0.2 / k * np.sin(2 * np.pi * hz * k * time) for k in range(1, 9)) + noise).astype(np.float32)


MODEL, REFERENCE, SOURCE = converter(), voice(220, 1.5, 1), voice(120, 1.3)
WHOLE = MODEL.convert(SOURCE, REFERENCE, pitch=3.0)
FIXED = MODEL.stream(REFERENCE, pitch=3.0)  # begins anew after each end


# --- the network -----------------------------------------------------------------------------------------


def test_weights_of_the_look_up_are_shares_of_the_reference():
    lookup = MODEL.lookup
    query, key = (lookup.directions(torch.randn(2, n, 16)) for n in (5, 9))
    weights = lookup(query, key)
    assert weights.shape == (2, 2, 5, 9)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 5)) and (weights >= 0).all()
    assert torch.allclose(query.norm(dim=-1), torch.ones(2, 2, 5), atol=1e-5)


def test_an_untrained_converter_gives_a_mean_of_frames_of_the_reference():
    torch.manual_seed(0)
    network = ConverterNetwork(SMALL)
    log_mel = torch.rand(1, 12, 80) - 3
    with torch.no_grad():
        guess, result = network(
            torch.randn(1, 4, 16), torch.zeros(1, 8, 2), network.hear(torch.randn(1, 6, 16), log_mel)
        )
    assert torch.allclose(guess, result, atol=1e-5)
    assert (guess.amax(1) <= log_mel.amax(1) + 1e-4).all() and (guess.amin(1) >= log_mel.amin(1) - 1e-4).all()


def test_the_comb_is_one_on_harmonics_and_nothing_where_unvoiced():
    comb = harmonics(torch.tensor([[0.0, 200.0, 400.0]]))[0]
    assert comb.shape == (3, 80) and not comb[0].any()
    edges = features.mel_to_hz(
        np.linspace(features.hz_to_mel(80.0), features.hz_to_mel(7600.0), features.N_MELS + 2)
    )
    band = int(np.argmin(np.abs(edges[1:-1] - 400)))
    assert comb[1, band] > 0.8 and comb[2, band] > 0.8
    assert comb[1, -1].abs() < 0.2, "high bands are wider than a harmonic"


def test_what_lies_farther_ahead_than_the_look_ahead_changes_nothing():
    config, frames = SMALL, 40
    content, prosody = torch.randn(1, frames // 2, 16), torch.rand(1, frames, 2)
    reference = MODEL.hear(torch.randn(1, 6, 16), torch.randn(1, 12, 80))
    late = 20
    other, tune = content.clone(), prosody.clone()
    other[:, late // 2 :] += 1
    tune[:, late:] += 1
    with torch.no_grad():
        first, second = (MODEL(*given, reference)[1] for given in ((content, prosody), (other, tune)))
    moved = (first - second).abs().amax((0, 2)) > 1e-6
    assert not moved[: late - config.look_ahead].any() and moved[late]


def test_the_shipped_size_has_less_than_a_million_numbers():
    assert sum(p.numel() for p in ConverterNetwork(ConverterConfig()).parameters()) < 1_000_000


def test_the_listener_is_the_beginning_of_the_recogniser():
    log_mel = torch.rand(1, 24, 80) - 3
    with torch.no_grad():
        short, whole = (
            model(log_mel, chunk=4).content for model in (Converter.cut(MODEL.recogniser), MODEL.recogniser)
        )
    assert torch.allclose(short, whole, atol=1e-6)


# --- the stream ------------------------------------------------------------------------------------------


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=4))
def test_a_stream_cut_anywhere_gives_what_the_whole_gives(sizes):
    place, parts = 0, []
    for size in [*sizes, len(SOURCE)]:
        parts.append(FIXED.push(SOURCE[place : place + size]))
        place += size
    streamed = np.concatenate([*parts, FIXED.finish()])
    assert 0 <= len(WHOLE) - len(streamed) < 256
    np.testing.assert_allclose(streamed, WHOLE[: len(streamed)], atol=2e-5)


@settings(max_examples=3, deadline=None)
@given(st.integers(1500, 9000))
def test_a_stream_that_finds_the_pitch_itself_does_not_depend_on_the_cut(size):
    stream = MODEL.stream(REFERENCE)
    at_once = np.concatenate([stream.push(SOURCE), stream.finish()])
    parts = [stream.push(SOURCE[i : i + size]) for i in range(0, len(SOURCE), size)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.finish()]), at_once, atol=1e-4)


def test_f0_of_a_stream_is_f0_of_the_whole():
    stream, sound = StreamingF0(), np.concatenate([voice(100, 0.4), voice(210, 0.3)])
    parts = [stream.push(sound[i : i + 777]) for i in range(0, len(sound), 777)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.finish()]), pitch.f0(sound, QUIET), atol=1e-3)


def test_no_sample_comes_later_than_the_delay_says():
    stream, given_back, behind = MODEL.stream(REFERENCE, 0.0), 0, 0
    for begin in range(0, len(SOURCE), 160):
        given_back += len(stream.push(SOURCE[begin : begin + 160]))
        behind = max(behind, begin + 160 - given_back)
    assert stream.delay - 0.06 < behind / RATE <= stream.delay + 0.01


def test_a_stream_begins_anew_after_its_end():
    stream = MODEL.stream(REFERENCE, 3.0)
    first, second = (np.concatenate([stream.push(SOURCE), stream.finish()]) for _ in range(2))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_nothing_comes_out_of_a_stream_that_heard_nothing():
    assert len(MODEL.stream(REFERENCE).finish()) == 0


def test_ten_hours_go_through_in_constant_memory():
    """Its state after a minute is as large as after two: what ten hours need is what a minute needs."""
    stream, minute = MODEL.stream(REFERENCE), voice(130, 10.0)
    sizes = []
    for _ in range(4):
        stream.push(minute)
        kept = [stream.content, stream.prosody, stream.waiting, stream.vocoder.kept, *stream.state[2][0]]
        sizes.append(sum(part.nbytes for part in kept) + stream.tune.kept_samples)
    assert sizes[3] <= sizes[1] * 1.1 + 4096
    tracemalloc.start()
    stream.push(minute)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100 * 2**20


# --- conversion ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 255, 4000, 16001])
def test_what_comes_out_is_as_long_as_the_source(samples):
    converted = MODEL.convert(SOURCE[:samples], REFERENCE)
    assert converted.shape == (samples,) and converted.dtype == np.float32 and np.isfinite(converted).all()


def test_pitch_none_brings_the_medians_together():
    shift = Reference.of(MODEL, REFERENCE).semitones - middle(SOURCE)
    assert shift == pytest.approx(12 * np.log2(220 / 120), abs=0.3)
    np.testing.assert_allclose(
        MODEL.convert(SOURCE, REFERENCE), MODEL.convert(SOURCE, REFERENCE, shift), atol=1e-5
    )


def test_another_reference_gives_another_sound():
    assert not np.allclose(WHOLE, MODEL.convert(SOURCE, voice(150, 1.0, 3) ** 3, pitch=3.0), atol=1e-3)


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        (np.zeros(16000, np.float32), "silent"),
        (REFERENCE[:7000], "too short"),
        (np.stack([REFERENCE, REFERENCE]), "to_mono"),
        (np.full(16000, np.nan, np.float32), "not a finite number"),
        (np.ones(16000, np.int16), "to_float"),
    ],
)
def test_a_reference_that_is_no_voice_is_refused_with_a_reason(reference, why):
    for use in (lambda: MODEL.convert(SOURCE, reference), lambda: MODEL.stream(reference)):
        with pytest.raises(AudioError, match=why):
            use()


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (np.zeros(0, np.float32), "too short"),
        (np.stack([SOURCE, SOURCE]), "to_mono"),
        (np.full(1600, np.inf, np.float32), "not a finite number"),
    ],
)
def test_a_source_that_is_no_sound_is_refused_with_a_reason(source, why):
    with pytest.raises(AudioError, match=why):
        MODEL.convert(source, REFERENCE)


def test_half_a_second_is_enough_for_a_reference_and_silence_is_a_source():
    assert np.isfinite(MODEL.convert(SOURCE, REFERENCE[:8000])).all()
    assert np.isfinite(MODEL.convert(np.zeros(5000, np.float32), REFERENCE)).all()


def test_a_bad_chunk_leaves_the_stream_unharmed():
    stream = MODEL.stream(REFERENCE, 3.0)
    parts = [stream.push(SOURCE[:5000])]
    with pytest.raises(AudioError):
        stream.push(np.full(100, np.nan, np.float32))
    streamed = np.concatenate([*parts, stream.push(SOURCE[5000:]), stream.finish()])
    np.testing.assert_allclose(streamed, WHOLE[: len(streamed)], atol=2e-5)


def test_a_pitch_beyond_three_octaves_is_refused():
    with pytest.raises(ValueError, match="semitones from -36 to 36"):
        ConverterStream(MODEL, Reference.of(MODEL, REFERENCE), 40.0)


def test_a_long_reference_is_heard_for_a_minute_only():
    keys, _, _ = Reference.of(MODEL, np.tile(REFERENCE, 50)).kept
    assert keys.shape[2] <= 60 * 1000 / 32 + 1


def test_the_checkpoint_brings_its_recogniser_and_its_vocoder():
    model = checkpoints.load("converter")
    assert model.recogniser is not None and model.vocoder is not None
    assert sum(p.numel() for p in model.parameters()) < 1_000_000
    assert model.convert(SOURCE, REFERENCE).shape == SOURCE.shape
