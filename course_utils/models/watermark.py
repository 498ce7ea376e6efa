# Written from notebooks/07_responsible_voices.ipynb by `course export`: edit the notebook, not this file.
"""A watermark that a key finds again: it makes small cells of the spectrogram a little louder or softer; built in notebook 07."""

__all__ = ['KEY', 'WINDOW', 'HOP', 'RATE', 'CHIP', 'BANDS', 'SLOTS', 'LOWEST', 'BINS', 'STRENGTH', 'SPEEDS', 'PIECE', 'ALARM',
           'Detection', 'signs', 'local_sum', 'gains_db', 'embed', 'whitened', 'scores', 'pieces', 'at_speed', 'detect']


import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from course_utils import features
from course_utils.waveform import check

KEY = 2026
"""The course's key. It is public, so whoever reads it can also forge or remove the mark."""
WINDOW, HOP, RATE = 512, 128, 16_000  # of the STFT, in samples; samples per second
# a cell lasts 4 hops (32 ms); there are 48 bands; the key repeats after 32 cells (1.02 s)
CHIP, BANDS, SLOTS = 4, 48, 32
# the first band begins at bin 8 (250 Hz), each is 2 bins wide (62.5 Hz), the last ends at 3250 Hz
LOWEST, BINS = 8, 2
STRENGTH = 3.2  # dB, up or down, where the sound is not loud
SPEEDS = tuple(1 + 0.005 * step for step in sorted(range(-4, 5), key=abs))  # that are searched: -2 to 2 %
PIECE = 10.0  # seconds that are searched at once; a longer sound is searched in overlapping pieces
ALARM = 1e-5  # the p-value below which a mark counts as found


@dataclass(frozen=True)
class Detection:
    """Whether the mark is there; `score` in standard deviations; `p_value` of an unmarked sound to score as high by chance.

    `speed`: of those searched, 1 first, the first at which the mark was found; otherwise that of the best score.
    """

    found: bool
    score: float
    p_value: float
    speed: float = 1.0


@cache
def signs(key: int = KEY) -> np.ndarray:
    """The key as a table (SLOTS, BANDS) of -1 and 1, drawn at random: which cells become louder."""
    table = np.random.default_rng(key).choice([-1.0, 1.0], (SLOTS, BANDS))
    table.setflags(write=False)
    return table


def local_sum(table: np.ndarray, frames: int, bands: int) -> np.ndarray:
    """Sum of a table (T, B) over `frames` by `bands` neighbours about each entry; outside of it are zeros."""
    for axis, size in enumerate((frames, bands)):
        widths = [(size // 2 + 1, size // 2) if a == axis else (0, 0) for a in (0, 1)]
        total = np.cumsum(np.pad(table, widths), axis, dtype=np.float64)
        ends, starts = (total.take(range(at, at + table.shape[axis]), axis) for at in (size, 0))
        table = ends - starts
    return table


def gains_db(power: np.ndarray, key: int = KEY) -> np.ndarray:
    """How much each point of a spectrogram (T, WINDOW // 2 + 1) is raised, in dB; 0 outside of the bands.

    A cell ten times as loud as the mean has 0.7 of `STRENGTH`; louder ones get less, because nothing covers a change there.
    """
    inside = slice(LOWEST, LOWEST + BANDS * BINS)
    slot = np.arange(len(power)) // CHIP % SLOTS
    loudness = local_sum(power, 5, 5)[:, inside] / 25
    loud = 10 * power[:, inside].mean() + 1e-20
    gains = np.zeros_like(power)
    gains[:, inside] = STRENGTH * np.sqrt(loud / (loudness + loud)) * signs(key)[slot].repeat(BINS, axis=1)
    return gains


def embed(waveform: np.ndarray, key: int = KEY) -> np.ndarray:
    """A waveform (time,) with the mark of `key` in it, as long and, unless it would clip, as loud.

    Silence stays silent. From two seconds of speech on the mark is found again; of less it may not be.

    Raises:
        AudioError: no mono waveform of finite floats.
    """
    waveform = check(waveform)
    if not waveform.any():
        return waveform.copy()
    spectrum = features.stft(waveform, WINDOW, HOP)
    factor = 10 ** (gains_db(np.abs(spectrum) ** 2, key) / 20)
    marked = features.istft((spectrum * factor).astype(np.complex64), len(waveform), HOP)
    limit = max(1.0, float(np.abs(waveform).max()))
    return (marked * min(1.0, limit / float(np.abs(marked).max()))).astype(np.float32)


def whitened(waveform: np.ndarray) -> np.ndarray:
    """Log power of each band, less that of its neighbours (T, BANDS): much of the speech is gone, most of the mark stays.

    Cells near the noise floor count less, and no cell counts more than 1.5 (6.5 dB).
    """
    power = np.abs(features.stft(waveform, WINDOW, HOP)[:, LOWEST : LOWEST + BANDS * BINS]) ** 2
    power = power.reshape(len(power), BANDS, BINS)
    floor = 1e-9 * power.max() + 1e-20
    level = np.log(power + floor).mean(2)
    energy = power.mean(2)
    weight = energy / (energy + 2 * np.quantile(energy, 0.1, axis=0) + floor)
    around = local_sum(level * weight, 5, 3) / (local_sum(weight, 5, 3) + 1e-9)
    return np.clip(level - around, -1.5, 1.5) * weight


def scores(waveform: np.ndarray, key: int = KEY) -> np.ndarray:
    """The correlation with the key at every shift of it (SLOTS * CHIP,), in standard deviations."""
    table, weight = whitened(waveform), np.hanning(CHIP + 2)[1:-1]
    cells = np.pad(table, ((0, CHIP), (0, 0)))
    cells = sum(
        w * cells[at : at + len(table)] for at, w in enumerate(weight)
    )  # a cell that begins at each frame
    period = SLOTS * CHIP
    cells = np.pad(cells, ((0, -len(cells) % period), (0, 0))).reshape(-1, SLOTS, CHIP, BANDS).sum(0)
    turned = np.fft.rfft(cells, axis=0) * np.fft.rfft(signs(key), axis=0).conj()[:, None]
    correlation = np.fft.irfft(turned.sum(2), SLOTS, axis=0)  # (SLOTS, CHIP): all shifts at once
    return (correlation / np.sqrt((cells**2).sum((0, 2)) + 1e-20)).ravel()


def pieces(waveform: np.ndarray) -> list[np.ndarray]:
    """The sound whole, or, if it is long, in overlapping pieces of `PIECE` seconds."""
    size = int(PIECE * RATE)
    starts = range(0, max(1, len(waveform) - size // 2), size // 2)
    return [waveform[start : start + size] for start in starts] if len(waveform) > size else [waveform]


def at_speed(waveform: np.ndarray, speed: float) -> np.ndarray:
    """The waveform slowed down by `speed`, so that what was played `speed` times as fast is as it was."""
    places = np.arange(int(len(waveform) * speed)) / speed
    return np.interp(places, np.arange(len(waveform)), waveform).astype(np.float32)


def detect(waveform: np.ndarray, key: int = KEY) -> Detection:
    """Look for the mark of `key` in a waveform (time,), wherever it begins, at speeds from 0.98 to 1.02.

    The p-value holds for any sound that was made without the key, because the key was drawn at random: a sum of
    numbers with random signs has the bell curve's tail; it is multiplied by how many shifts, speeds and pieces were
    tried (Bonferroni).

    Raises:
        AudioError: no mono waveform of finite floats.
    """
    waveform = check(waveform)
    if len(waveform) < WINDOW or not waveform.any():
        return Detection(False, 0.0, 1.0)
    parts = pieces(waveform)
    tried, best = len(parts) * len(SPEEDS) * SLOTS * CHIP, Detection(False, -math.inf, 1.0)
    for speed in SPEEDS:
        score = max(float(scores(at_speed(part, speed), key).max()) for part in parts)
        if score > best.score:
            p_value = min(1.0, tried * math.erfc(score / math.sqrt(2)) / 2)
            best = Detection(p_value < ALARM, score, p_value, speed)
        if best.found:
            break
    return best
