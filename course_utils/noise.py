"""Background noise, made from a seed: nothing is stored, and the same seed sounds the same.

Every generator returns a waveform of about -20 dBFS (root mean square 0.1, less where the peak would
pass full scale). Only numpy is needed, so that training can make noise on machines without audio libraries.
A length in seconds that can not be made is a ValueError, and so is a waveform that is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from course_utils.paths import SAMPLE_RATE

MAX_SECONDS = 3600.0
"""The longest noise that is made at once; the generators hold it in memory several times."""


def _samples(seconds: float) -> int:
    if not seconds > 0 or round(min(seconds, MAX_SECONDS) * SAMPLE_RATE) == 0:  # NaN is not above 0
        raise ValueError(f"seconds: expected a positive length, at least one sample, got {seconds}")
    if seconds > MAX_SECONDS:
        raise ValueError(
            f"seconds: at most {MAX_SECONDS:.0f} are made at once, got {seconds:g}; repeat a shorter noise with "
            "numpy.resize"
        )
    return round(seconds * SAMPLE_RATE)


def _waveform(waveform: np.ndarray, name: str = "waveform") -> np.ndarray:
    waveform = np.asarray(waveform)
    if waveform.ndim != 1 or waveform.dtype.kind not in "fiu":
        raise ValueError(
            f"{name}: expected real samples of shape (time,), got {waveform.dtype} of shape {waveform.shape}"
        )
    if len(waveform) == 0 or not np.isfinite(waveform).all():
        raise ValueError(f"{name}: {'holds NaN or infinity' if len(waveform) else 'is empty'}")
    return waveform


def _level(waveform: np.ndarray) -> np.ndarray:
    """Scale to root mean square 0.1, or to a peak of 0.99 where that is softer."""
    waveform = waveform - waveform.mean()
    gain = 0.1 / (np.sqrt(np.mean(waveform**2)) + 1e-12)
    return (waveform * min(gain, 0.99 / (np.abs(waveform).max() + 1e-12))).astype(np.float32)


def _filter(waveform: np.ndarray, gain: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multiply the spectrum by `gain(frequency in Hz)`. The filter is circular, so noise loops without a seam."""
    frequency = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)
    return np.fft.irfft(np.fft.rfft(waveform) * gain(frequency), len(waveform))


def _power_law(seconds: float, seed: int | np.random.Generator, exponent: float) -> np.ndarray:
    """Noise whose power falls as 1 / frequency ** exponent, from 20 Hz up (below, nothing is audible)."""
    noise = np.random.default_rng(seed).standard_normal(_samples(seconds))
    return _level(_filter(noise, lambda f: (f >= 20) * np.maximum(f, 20) ** (-exponent / 2)))


def white(seconds: float, seed: int) -> np.ndarray:
    """Equal power at every frequency: hiss."""
    return _level(np.random.default_rng(seed).standard_normal(_samples(seconds)))


def pink(seconds: float, seed: int) -> np.ndarray:
    """Equal power in every octave (3 dB less per octave): a waterfall."""
    return _power_law(seconds, seed, 1.0)


def brown(seconds: float, seed: int) -> np.ndarray:
    """6 dB less per octave, as the sum of white noise has: a distant motorway."""
    return _power_law(seconds, seed, 2.0)


def hum(seconds: float, seed: int) -> np.ndarray:
    """Mains hum at 50 or 60 Hz (by the seed) with harmonics, drifting a little, over a faint hiss."""
    rng = np.random.default_rng(seed)
    count = _samples(seconds)
    time = np.arange(count) / SAMPLE_RATE
    mains = (50.0, 60.0)[rng.integers(2)]
    drift = 1 + 1e-3 * np.sin(2 * np.pi * rng.uniform(0.02, 0.1) * time + rng.uniform(0, 2 * np.pi))
    phase = 2 * np.pi * np.cumsum(mains * drift) / SAMPLE_RATE
    wave = 0.02 * rng.standard_normal(count)
    for harmonic in range(1, 25):
        # Even harmonics are strong, because transformers and rectifiers act on both half waves.
        strength = rng.uniform(0.3, 1.0) / harmonic * (1.0 if harmonic % 2 == 0 else 0.6)
        wave += strength * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    return _level(wave)


def fan(seconds: float, seed: int) -> np.ndarray:
    """A fan: rushing air, the tones of the passing blades, and a slow beat once per turn."""
    rng = np.random.default_rng(seed)
    count = _samples(seconds)
    time = np.arange(count) / SAMPLE_RATE
    turns = rng.uniform(15, 40)  # per second
    blades = rng.integers(3, 8)
    corner = rng.uniform(300, 900)
    air = _level(_filter(rng.standard_normal(count), lambda f: (f >= 30) / (1 + (f / corner) ** 1.5)))
    wander = 1 + 0.003 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * time)
    phase = 2 * np.pi * np.cumsum(turns * wander) / SAMPLE_RATE
    tones = sum(
        rng.uniform(0.3, 1.0) / k * np.sin(k * blades * phase + rng.uniform(0, 2 * np.pi))
        for k in range(1, 9)
    )
    return _level(air * (1 + rng.uniform(0.1, 0.3) * np.sin(phase)) + rng.uniform(0.03, 0.1) * tones)


def clicks(seconds: float, seed: int) -> np.ndarray:
    """Single short strokes at random times, two to eight a second: typing, a pen, cutlery."""
    rng = np.random.default_rng(seed)
    count = _samples(seconds)
    wave = 1e-4 * rng.standard_normal(count)  # a room is never digitally silent
    time = np.arange(round(0.03 * SAMPLE_RATE)) / SAMPLE_RATE
    for start in rng.integers(0, count, max(1, rng.poisson(rng.uniform(2, 8) * seconds))):
        ring = np.sin(2 * np.pi * rng.uniform(900, 5000) * time) + 0.5 * rng.standard_normal(len(time))
        stroke = rng.lognormal(0.0, 0.5) * ring * np.exp(-time / rng.uniform(0.001, 0.005))
        end = min(count, start + len(stroke))
        wave[start:end] += stroke[: end - start]
    return _level(wave)


def rain(seconds: float, seed: int) -> np.ndarray:
    """Rain: thousands of drops, each a short ring, over a hiss that swells and fades."""
    rng = np.random.default_rng(seed)
    count = _samples(seconds)
    drops = np.zeros(count)
    np.add.at(
        drops,
        rng.integers(0, count, rng.poisson(rng.uniform(300, 2000) * seconds) + 1),
        rng.lognormal(0.0, 1.0),
    )
    drops *= rng.lognormal(0.0, 0.8, count) * rng.choice((-1.0, 1.0), count)
    centre = rng.uniform(1500, 4000)
    drops = _level(_filter(drops, lambda f: np.exp(-((np.log2(np.maximum(f, 20) / centre)) ** 2))))
    hiss = _level(_filter(rng.standard_normal(count), lambda f: f / 1000 / (1 + (f / 2500) ** 2)))
    swell = 1 + 0.3 * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * np.arange(count) / SAMPLE_RATE)
    return _level(drops + rng.uniform(0.5, 1.5) * hiss * swell)


def babble(waveforms: Sequence[np.ndarray], seconds: float, seed: int, talkers: int = 6) -> np.ndarray:
    """A room full of people: `talkers` streams of speech at once, each made of several of `waveforms`.

    Args:
        waveforms: speech clips, each (time,); they are dealt out to the talkers at random.
        seconds: length of the result; clips are repeated where there are too few.
        seed: chooses who says what, and when.
        talkers: number of voices at the same time.

    Raises:
        ValueError: no talkers, fewer clips than talkers, or a clip that is empty, no waveform, or holds NaN.
    """
    if not 1 <= talkers <= len(waveforms):
        raise ValueError(
            f"{talkers} talkers need at least {max(talkers, 1)} clips of speech, got {len(waveforms)}"
        )
    waveforms = [_waveform(waveform, f"clip {i} of speech") for i, waveform in enumerate(waveforms)]
    rng = np.random.default_rng(seed)
    count = _samples(seconds)
    order = rng.permutation(len(waveforms))
    wave = np.zeros(count)
    for talker in range(talkers):
        stream = np.concatenate([waveforms[i] for i in order[talker::talkers]]).astype(np.float64)
        stream /= np.sqrt(np.mean(stream**2)) + 1e-9  # nobody stands nearer than the others
        wave += np.resize(np.roll(stream, -rng.integers(len(stream))), count)
    return _level(wave)


GENERATORS: dict[str, Callable[[float, int], np.ndarray]] = {
    "white": white,
    "pink": pink,
    "brown": brown,
    "hum": hum,
    "clicks": clicks,
    "rain": rain,
    "fan": fan,
}
"""Generators by name, each `generator(seconds, seed) -> waveform`. `babble` stands apart: it needs speech."""

TRAIN_TYPES = ("white", "pink", "brown", "hum", "clicks", "rain")
"""Types that models may be trained on, next to babble of training voices."""

TEST_TYPES = ("fan",)
"""Types that no model of the course is trained on, next to babble of test voices."""


def generate(kind: str, seconds: float, seed: int) -> np.ndarray:
    """Make `seconds` of the noise called `kind` (a key of `GENERATORS`).

    Raises:
        ValueError: unknown kind.
    """
    if kind not in GENERATORS:
        raise ValueError(f"unknown noise {kind!r}; there are {', '.join(GENERATORS)}")
    return GENERATORS[kind](seconds, seed)


# --- inventions ----------------------------------------------------------------------------------------
#
# Sounds that no real thing makes exactly, in endless variety: what is learnt from them carries over to noises
# that were never heard. They are for training only, so they stand in none of the lists above.


def coloured(seconds: float, seed: int | np.random.Generator) -> np.ndarray:
    """Noise that falls by 0 to 9 dB per octave, at random: from hiss to rumble, as air and engines have it."""
    rng = np.random.default_rng(seed)
    return _power_law(seconds, rng, rng.uniform(0, 3))


def tones(seconds: float, seed: int | np.random.Generator) -> np.ndarray:
    """A buzz, a whistle or a siren: up to 24 harmonics of a pitch that stands still or wanders."""
    rng, count = np.random.default_rng(seed), _samples(seconds)
    points = int(rng.integers(2, 12))
    wander = rng.uniform(-0.5, 0.5, points) * rng.choice([0.01, 0.1, 1.0])
    centre = rng.uniform(np.log(40), np.log(1500))
    pitch = np.exp(centre + np.interp(np.linspace(0, 1, count), np.linspace(0, 1, points), wander))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    harmonics = np.arange(1, 1 + max(1, int(min(rng.integers(1, 25), 7600 / pitch.max()))))
    strength = rng.uniform(0, 1, len(harmonics)) * harmonics ** -rng.uniform(0, 1.5)
    return _level(
        sum(a * np.sin(k * phase + rng.uniform(0, 6)) for k, a in zip(harmonics, strength, strict=True))
    )


def knocks(seconds: float, seed: int | np.random.Generator) -> np.ndarray:
    """Single events that ring and die away, one to three kinds of them: knocks, clatter, footsteps, drops."""
    rng, count = np.random.default_rng(seed), _samples(seconds)
    time = np.arange(round(0.4 * SAMPLE_RATE)) / SAMPLE_RATE
    kinds = []
    for _ in range(int(rng.integers(1, 4))):
        ring = rng.standard_normal(len(time)) * rng.uniform(0, 1)
        for _ in range(int(rng.integers(0, 4))):
            strength, frequency = rng.uniform(0, 2), np.exp(rng.uniform(np.log(100), np.log(5000)))
            ring = ring + strength * np.sin(2 * np.pi * frequency * time)
        kinds.append(ring * np.exp(-time / np.exp(rng.uniform(np.log(0.003), np.log(0.12)))))
    wave = np.zeros(count)
    for start in rng.integers(0, count, int(np.exp(rng.uniform(np.log(3), np.log(150))))):
        knock = kinds[int(rng.integers(len(kinds)))][: count - start]
        wave[start : start + len(knock)] += knock * rng.uniform(0.1, 1)
    return _level(wave)


def swell(seconds: float, seed: int | np.random.Generator) -> np.ndarray:
    """A volume curve (time,) to multiply a noise with: it comes and goes within 9 dB, sometimes it throbs."""
    rng, count = np.random.default_rng(seed), _samples(seconds)
    points = int(rng.integers(3, 50))
    decibels = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, points), rng.uniform(-9, 9, points))
    if rng.random() < 0.3:  # machines turn, so their noise beats
        rate, depth = np.exp(rng.uniform(np.log(0.5), np.log(30))), rng.uniform(2, 20)
        turn = 2 * np.pi * rate * np.arange(count) / SAMPLE_RATE + rng.uniform(0, 6)
        decibels = decibels + depth * np.sin(turn) ** int(rng.integers(1, 6))
    return 10 ** (decibels / 20)


def low(count: int, corner: float, seed: int | np.random.Generator) -> np.ndarray:
    """`count` samples of noise below about `corner` Hz (12 dB per octave above it), root mean square 1."""
    if not 0 < count <= MAX_SECONDS * SAMPLE_RATE or not 0 < corner < np.inf:
        raise ValueError(f"expected a positive count of samples and corner in Hz, got {count} and {corner}")
    wave = _filter(np.random.default_rng(seed).standard_normal(count), lambda f: 1 / (1 + (f / corner) ** 2))
    return wave / np.sqrt(np.mean(wave**2) + 1e-12)


def tilt(waveform: np.ndarray, decibels: float) -> np.ndarray:
    """`waveform` (time,) brighter by `decibels` per octave from 200 to 8,000 Hz, or darker; the level stays."""
    waveform = _waveform(waveform)
    if not np.isfinite(decibels):
        raise ValueError(f"decibels: expected a finite number, got {decibels}")
    bright = _filter(waveform, lambda f: (np.maximum(f, 200) / 200) ** (decibels / 6.02))
    return bright * np.sqrt(np.mean(np.square(waveform)) / (np.mean(bright**2) + 1e-12))


def equalise(waveform: np.ndarray, decibels: float, seed: int | np.random.Generator) -> np.ndarray:
    """`waveform` (time,) through an equaliser of nine random gains within +-`decibels`; the level stays."""
    rng, waveform = np.random.default_rng(seed), _waveform(waveform).astype(np.float64)
    if not 0 <= decibels < np.inf:
        raise ValueError(f"decibels: expected 0 or more, got {decibels}")
    gains = rng.uniform(-decibels, decibels, 9)
    # The square root makes the low bands narrower than the high ones, as those of hearing are.
    shaped = _filter(
        waveform, lambda f: 10 ** (np.interp(np.sqrt(f * 2 / SAMPLE_RATE), np.linspace(0, 1, 9), gains) / 20)
    )
    return shaped * np.sqrt(np.mean(waveform**2) / (np.mean(shaped**2) + 1e-12))
