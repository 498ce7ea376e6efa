"""Background noise and rooms, made from a seed: nothing is stored, and the same seed sounds the same.

Every generator returns a waveform of about -20 dBFS (root mean square 0.1, less where the peak would
pass full scale). Only numpy is needed, so that training can make noise on machines without audio libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

SAMPLE_RATE = 16000  # audio.SAMPLE_RATE, repeated so that this module needs nothing but numpy
SPEED_OF_SOUND = 343.0
"""Metres per second, in air at 20 degrees Celsius."""


def _samples(seconds: float) -> int:
    count = round(seconds * SAMPLE_RATE)
    if count <= 0:
        raise ValueError(f"seconds: expected a positive length, got {seconds}")
    return count


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
        ValueError: fewer clips than talkers, or a clip that is empty.
    """
    if len(waveforms) < talkers:
        raise ValueError(f"{talkers} talkers need at least {talkers} clips of speech, got {len(waveforms)}")
    if any(len(waveform) == 0 for waveform in waveforms):
        raise ValueError("one of the clips of speech is empty")
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
    wave = _filter(np.random.default_rng(seed).standard_normal(count), lambda f: 1 / (1 + (f / corner) ** 2))
    return wave / np.sqrt(np.mean(wave**2) + 1e-12)


def tilt(waveform: np.ndarray, decibels: float) -> np.ndarray:
    """`waveform` (time,) brighter by `decibels` per octave from 200 to 8,000 Hz, or darker; the level stays."""
    bright = _filter(waveform, lambda f: (np.maximum(f, 200) / 200) ** (decibels / 6.02))
    return bright * np.sqrt(np.mean(np.square(waveform)) / (np.mean(bright**2) + 1e-12))


def equalise(waveform: np.ndarray, decibels: float, seed: int | np.random.Generator) -> np.ndarray:
    """`waveform` (time,) through an equaliser of nine random gains within +-`decibels`; the level stays."""
    rng, waveform = np.random.default_rng(seed), np.asarray(waveform, dtype=np.float64)
    gains = rng.uniform(-decibels, decibels, 9)
    # The square root makes the low bands narrower than the high ones, as those of hearing are.
    shaped = _filter(
        waveform, lambda f: 10 ** (np.interp(np.sqrt(f * 2 / SAMPLE_RATE), np.linspace(0, 1, 9), gains) / 20)
    )
    return shaped * np.sqrt(np.mean(waveform**2) / (np.mean(shaped**2) + 1e-12))


# --- rooms ---------------------------------------------------------------------------------------------

_OVERSAMPLING = 8


def room_impulse_response(
    size: Sequence[float],
    source: Sequence[float],
    microphone: Sequence[float],
    rt60: float,
    seed: int = 0,
) -> np.ndarray:
    """Impulse response (time,) from `source` to `microphone` in an empty box-shaped room, at 16 kHz.

    Image-source method (Allen and Berkley 1979, equations 8 to 10): a wall acts as a mirror, so every echo
    is the sound of an image of the source. All walls reflect alike; how much follows from `rt60` by Eyring's
    formula, and what such a box then rings too long is made up by damping of the air. The images are moved
    by up to 8 cm, which removes the sweeping echoes of perfect boxes (De Sena and others 2015). The direct
    sound arrives after distance / (343 m/s), to the nearest sample, with gain 1 / (4 pi distance).

    Args:
        size: length, width and height of the room in metres.
        source: position of the talker in metres, from one corner.
        microphone: position of the microphone in metres.
        rt60: time in seconds for the sound to fall by 60 dB, from 0.1 to 1.5.
        seed: chooses the small displacements.

    Raises:
        ValueError: a position outside of the room, both at one place, or `rt60` out of range.
    """
    size, source, microphone = (np.asarray(v, dtype=np.float64) for v in (size, source, microphone))
    if size.shape != (3,) or source.shape != (3,) or microphone.shape != (3,):
        raise ValueError("size, source and microphone need three numbers each, in metres")
    for name, place in (("source", source), ("microphone", microphone)):
        if not (np.all(place > 0) and np.all(place < size)):
            raise ValueError(f"{name} {place.tolist()} is not inside of the room {size.tolist()} (metres)")
    direct_distance = np.linalg.norm(source - microphone)
    if direct_distance < 0.05:
        raise ValueError("source and microphone must be at least 5 cm apart")
    if not 0.1 <= rt60 <= 1.5:
        raise ValueError(f"rt60: expected 0.1 to 1.5 seconds, got {rt60}")

    # Eyring: rt60 = 0.161 V / (-S ln(1 - absorption)); the pressure reflection is sqrt(1 - absorption).
    volume, surface = size.prod(), 2 * (size[0] * size[1] + size[0] * size[2] + size[1] * size[2])
    log_reflection = -0.161 * volume / (surface * rt60) / 2
    reach = SPEED_OF_SOUND * rt60 + direct_distance

    # Along each axis an image stands at 2 n L + s after |2 n| reflections, or at 2 n L - s after |2 n - 1|.
    offsets, reflections = [], []
    for length, at, ear in zip(size, source, microphone, strict=True):
        most = np.ceil(reach / (2 * length)) + 1
        n = np.arange(-most, most + 1)
        offsets.append(np.concatenate([2 * n * length + at, 2 * n * length - at]) - ear)
        reflections.append(np.concatenate([np.abs(2 * n), np.abs(2 * n - 1)]))

    rng = np.random.default_rng(seed)
    samples_per_metre = SAMPLE_RATE / SPEED_OF_SOUND
    # All delays move by a part of a sample, so that the direct sound falls on a sample: what was dry and
    # what was reverberated can then be compared sample by sample.
    shift = np.rint(direct_distance * samples_per_metre) - direct_distance * samples_per_metre
    count = int(np.ceil(reach * samples_per_metre)) + 1
    fine = np.zeros(count * _OVERSAMPLING)  # a fine grid, because the other delays are not whole samples
    across = offsets[1][:, None] ** 2 + offsets[2] ** 2
    across_reflections = reflections[1][:, None] + reflections[2]
    for offset, bounces in zip(offsets[0], reflections[0], strict=True):
        near = across + offset**2 < reach**2
        distance = np.sqrt(across[near] + offset**2)
        order = across_reflections[near] + bounces
        gain = np.exp(log_reflection * order) / (4 * np.pi * distance) * (order > 0)  # order 0 comes below
        moved = distance + rng.uniform(-0.08, 0.08, len(distance))
        index = np.rint((moved * samples_per_metre + shift) * _OVERSAMPLING).astype(np.int64)
        inside = (index >= 0) & (index < len(fine))
        fine += np.bincount(index[inside], gain[inside], minlength=len(fine))

    # Back to 16 kHz: keep the spectrum of the echoes below 8 kHz, with a soft edge that does not ring, and
    # nothing below 20 Hz, where the sum of so many positive echoes would only push the loudspeaker.
    frequency = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    edges = np.clip((8000 - frequency) / 1500, 0, 1) * np.clip(frequency / 20 - 1, 0, 1)
    response = np.fft.irfft(np.fft.rfft(fine)[: len(frequency)] * edges, count)
    direct = round(direct_distance * samples_per_metre)
    response[:direct] = 0  # nothing comes before; what stood here was the filter's, which looks both ways
    response[direct] += 1 / (4 * np.pi * direct_distance)
    rate = 1 / rt60 - 1 / reverberation_time(response)
    seconds = np.maximum(np.arange(count) - direct, 0) / SAMPLE_RATE
    return (response * 10 ** (-3 * max(rate, 0.0) * seconds)).astype(np.float32)


def direct_sound(impulse_response: np.ndarray) -> int:
    """Index of the sample at which the direct sound arrives: the first strong peak, not always the highest."""
    magnitude = np.abs(np.asarray(impulse_response))
    if magnitude.ndim != 1 or not np.any(magnitude):
        raise ValueError("expected an impulse response of shape (time,) with sound in it")
    first = int(np.argmax(magnitude > 0.25 * magnitude.max()))
    return first + int(np.argmax(magnitude[first : first + 8]))


def reverberation_time(impulse_response: np.ndarray) -> float:
    """Time in seconds for the sound to fall by 60 dB, extended from the fall between -5 and -25 dB.

    The energy that is still to come falls smoothly where the echoes themselves jump (Schroeder 1965).
    """
    energy = np.asarray(impulse_response, dtype=np.float64)[direct_sound(impulse_response) :] ** 2
    left = np.cumsum(energy[::-1])[::-1]
    decibel = 10 * np.log10(left / left[0] + 1e-20)
    start, end = np.argmax(decibel < -5), np.argmax(decibel < -25)
    if end - start < 2:
        raise ValueError("the sound does not fall by 25 dB slowly enough to measure how fast")
    slope = np.polyfit(np.arange(start, end) / SAMPLE_RATE, decibel[start:end], 1)[0]
    return float(-60 / slope)


def reverberate(waveform: np.ndarray, impulse_response: np.ndarray) -> np.ndarray:
    """`waveform` (time,) as it sounds in the room of `impulse_response` (time,); same length.

    The direct sound keeps its place and its level (delay removed, gain 1), so that the dry waveform stays
    the matching target: what is added are the echoes.

    Raises:
        ValueError: not two 1-D arrays, or an impulse response without sound.
    """
    waveform, impulse_response = np.asarray(waveform), np.asarray(impulse_response)
    if waveform.ndim != 1 or impulse_response.ndim != 1:
        raise ValueError(f"expected two 1-D arrays, got shapes {waveform.shape} and {impulse_response.shape}")
    direct = direct_sound(impulse_response)
    length = len(waveform) + len(impulse_response) - 1
    size = 1 << (length - 1).bit_length()
    spectrum = np.fft.rfft(waveform, size) * np.fft.rfft(impulse_response / impulse_response[direct], size)
    return np.fft.irfft(spectrum, size)[direct : direct + len(waveform)].astype(np.float32)
