"""What a waveform is: a 1-D float32 array at 16 kHz, full scale -1 to 1; and how others become one.

It needs numpy alone, so that models and training machines without audio libraries can use it.
"""

from __future__ import annotations

import warnings

import numpy as np

from course_utils.paths import SAMPLE_RATE

LOWEST_RATE, HIGHEST_RATE = 1_000, 384_000
"""Sample rates in Hz between which a recording can be meant; a header that says another is wrong."""


class AudioError(ValueError):
    """A sound that can not be used, and what to do about it."""


class AudioWarning(UserWarning):
    """A sound that can be used, but is not what it seems to be."""


def check_rate(sample_rate: float, name: str = "the sample rate", whole: bool = False) -> float:
    """Return `sample_rate`, in Hz, if it is a number between 1 kHz and 384 kHz (`whole`: and an integer).

    Raises:
        AudioError: it is not.
    """
    number = isinstance(sample_rate, int | float | np.integer | np.floating)
    if isinstance(sample_rate, bool) or not number:
        raise AudioError(f"{name} must be a number in Hz, got {sample_rate!r}")
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise AudioError(f"{name} must be from {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {sample_rate}")
    if whole and sample_rate != int(sample_rate):
        raise AudioError(f"{name} of a file must be a whole number, got {sample_rate}")
    return int(sample_rate) if whole else sample_rate


def check(waveform: np.ndarray, name: str = "waveform", min_seconds: float = 0.0) -> np.ndarray:
    """Return `waveform` as a 1-D float32 array (time,), or say what is wrong with it.

    Integers are refused, because their scale is unknown: `to_float` converts PCM.

    Raises:
        AudioError: not one channel, not real numbers, NaN or infinity inside, or shorter than
            `min_seconds` (at 16 kHz).
    """
    samples = _array(waveform, name)
    if samples.ndim != 1:
        raise AudioError(
            f"{name}: expected a mono waveform of shape (time,), got {samples.shape}; use course_utils.audio.to_mono"
        )
    if samples.dtype.kind in "iu":
        raise AudioError(
            f"{name}: expected floats between -1 and 1, got {samples.dtype}; use course_utils.audio.to_float"
        )
    if samples.dtype.kind != "f":
        raise AudioError(f"{name}: expected real numbers, got {samples.dtype}")
    with np.errstate(over="ignore"):  # what float32 can not hold becomes infinite, and is told of
        samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        bad = int(np.argmin(np.isfinite(samples)))
        raise AudioError(
            f"{name}: sample {bad} is not a finite number; use numpy.nan_to_num if that is expected"
        )
    if len(samples) < min_seconds * SAMPLE_RATE:
        raise AudioError(
            f"{name}: {len(samples) / SAMPLE_RATE:.2f} s is too short, at least {min_seconds:.2f} s are needed"
        )
    return samples


def _array(samples: np.ndarray, name: str = "samples") -> np.ndarray:
    if np.ma.is_masked(samples):  # numpy would bring back what was masked
        raise AudioError(f"{name}: some are masked; fill them first, for example samples.filled(0)")
    try:
        return np.asarray(samples)
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # rows of different lengths; a tensor that is no array
        raise AudioError(f"{name}: expected an array, got a {type(samples).__name__}: {error}") from error


def to_float(samples: np.ndarray) -> np.ndarray:
    """Convert PCM of 8, 16 or 32 bits to float32 between -1 and 1; floats only change their width.

    Unsigned PCM has silence in the middle of its range (128 for 8 bits).

    Raises:
        AudioError: 64-bit integers, which are what numpy makes of any list and have no scale, or no real numbers.
    """
    samples = _array(samples)
    kind, bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind in "iu" and bits == 64:
        raise AudioError(
            f"{samples.dtype} says nothing about full scale; tell it by the type, for 16-bit PCM: "
            "samples.astype(numpy.int16)"
        )
    if kind in "iu":
        half = 2.0 ** (bits - 1)
        return ((samples - half * (kind == "u")) / half).astype(np.float32)
    if kind != "f":
        raise AudioError(f"expected samples as real numbers, got {samples.dtype}")
    with np.errstate(over="ignore"):  # `check` tells of infinity
        return samples.astype(np.float32, copy=False)


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Average the channels of `samples` (time, channels), as soundfile gives them, to float32 (time,).

    Integers are scaled as by `to_float`. Channels that cancel each other give an `AudioWarning`.

    Raises:
        AudioError: neither one nor two axes, or the axes look swapped (more channels than samples).
    """
    samples = _array(samples)
    if samples.ndim not in (1, 2) or samples.shape[1:] == (0,):
        raise AudioError(f"expected samples of shape (time,) or (time, channels), got {samples.shape}")
    if samples.ndim == 2 and 0 < samples.shape[0] < samples.shape[1]:
        raise AudioError(
            f"expected (time, channels), got {samples.shape}: more channels than samples, so transpose it (samples.T)"
        )
    return mix_down(samples)


def mix_down(samples: np.ndarray, name: str = "the sound") -> np.ndarray:
    """As `to_mono`, for samples (time,) or (time, channels) whose axes are known, such as those of a file."""
    samples = to_float(samples)
    if samples.ndim == 1:
        return samples
    with np.errstate(over="ignore", invalid="ignore"):  # `check` tells of infinity and NaN
        mono = samples.mean(axis=1, dtype=np.float32)
        # Channels that have nothing in common leave 1/channels of their mean power; less than a quarter of that...
        cancelled = 4 * samples.shape[1] ** 2 * np.vdot(mono, mono) < np.vdot(samples, samples)
    if cancelled:
        warnings.warn(
            f"{name}: its channels cancel each other when they are averaged (one is wired with the wrong polarity?); "
            "what is left is not what was recorded. Take one channel instead: audio.load_native(...)[0][:, 0]",
            AudioWarning,
            stacklevel=3,
        )
    return mono
