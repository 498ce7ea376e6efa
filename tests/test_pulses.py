"""The pulses of a voice: phases of harmonics, a clock that a stream can go on with, and F0 from a log-mel."""

import math

import numpy as np
import pytest
import torch

from course_utils import features, pitch, training
from course_utils.synthesis import pulses

pytestmark = pytest.mark.usefixtures("one_thread")


def train_of_pulses(hz, seconds=1.0):
    """A sum of all harmonics of a constant F0, each with a crest at time 0."""
    t = torch.arange(int(16000 * seconds)) / 16000
    return sum(torch.cos(2 * math.pi * h * hz * t) for h in range(1, int(7800 / hz)))


@pytest.mark.parametrize("hz", [80.0, 120.0, 217.0, 400.0])
def test_phases_are_those_of_a_real_train_of_pulses(hz):
    waveform = train_of_pulses(hz)
    spectrum = torch.stft(
        waveform[None], 512, 128, window=torch.hann_window(512), center=True, return_complex=True
    )
    spectrum = spectrum[0].T * (-1.0) ** torch.arange(257)  # time 0 is the middle of the window
    n = len(spectrum)
    f0 = torch.full((1, n), hz)
    cosine, sine = pulses.pulses(pulses.clock(f0, 128), f0, 257, 128)
    assert torch.allclose(cosine**2 + sine**2, torch.ones_like(cosine), atol=1e-2)
    inside = slice(4, n - 4)
    strong = spectrum[inside].abs() > 0.3 * spectrum[inside].abs().amax(1, keepdim=True)
    strong[:, 240:] = False  # above the last harmonic
    made = torch.complex(cosine, sine)[0, inside]
    agree = (made * (spectrum / spectrum.abs().clamp(min=1e-9))[inside].conj()).real[strong]
    assert strong.float().mean() > 0.1 and agree.min() > 0.95


def test_the_clock_counts_cycles_and_can_begin_anywhere():
    hz = torch.linspace(100, 200, 51)[None]
    ticks = pulses.clock(hz, 160)
    assert ticks.dtype == torch.int64 and ticks[0, 0] == 0
    assert float(ticks[0, -1]) / pulses.ticks_per_cycle(160) == pytest.approx(150 * 50 * 0.01, rel=1e-3)
    assert torch.equal(pulses.clock(hz, 160, at=20, ticks=7)[0], ticks[0] - ticks[0, 20] + 7)


def test_halfway_between_two_frames_is_their_mean():
    x = torch.tensor([[1.0, 3.0, 7.0]])
    assert pulses.doubled(x).tolist() == [[1, 2, 3, 5, 7, 7]]
    assert pulses.doubled(torch.ones(2, 5, 80)).shape == (2, 10, 80)


def test_a_reader_of_pitch_learns_it_and_no_level_counts():
    torch.manual_seed(0)
    draw = np.random.default_rng(0)

    def batch(_):
        sounds = [train_of_pulses(float(hz), 0.5) for hz in draw.uniform(80, 300, 4)]
        return torch.stack(sounds) * 0.01

    reader = pulses.PitchReader(dim=32, blocks=1)

    def loss(model, waveform):
        return pulses.pitch_loss(model, features.log_mel(waveform), pitch.f0(waveform))

    training.fit(reader, batch, loss, 150, learning_rate=3e-3, seed=0, show=False)
    heard = []
    for hz in (110.0, 190.0):
        log_mel = features.log_mel(0.01 * train_of_pulses(hz))[None]
        with torch.no_grad():
            f0, voiced = reader.read(log_mel)
            louder, _ = reader.read(log_mel + 0.5)
        assert f0.shape == voiced.shape == log_mel.shape[:2] and float(voiced[0, 5:-5].min()) > 0.5
        assert torch.allclose(f0, louder, rtol=1e-3)
        heard.append(float(f0[0, 5:-5].median()))
    assert heard == pytest.approx([110, 190], rel=0.06)


def test_only_so_many_frames_ahead_change_what_is_read():
    torch.manual_seed(0)
    reader, log_mel = pulses.PitchReader().eval(), torch.randn(1, 40, 80) - 2
    with torch.no_grad():
        before = reader(log_mel)
        log_mel[0, 20, :10] += 1
        frames = (reader(log_mel) - before).abs().amax(-1)[0].nonzero()[:, 0]
    assert frames.min() == 20 - pulses.PitchReader.AHEAD and frames.max() == 20 + pulses.PitchReader.BEHIND
