"""Audio in, audio out: load, check, resample, mix, save and play.

A waveform is a 1-D float32 numpy array at 16 kHz everywhere in the course. Full scale is -1 to 1.
"""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from IPython.display import HTML

SAMPLE_RATE = 16000
"""Samples per second of every waveform in the course, in Hz."""

Source = str | os.PathLike | bytes | BinaryIO


class AudioError(ValueError):
    """A sound that can not be used, and what to do about it."""


# --- check ---------------------------------------------------------------------------------------------


def check(waveform: np.ndarray, name: str = "waveform", min_seconds: float = 0.0) -> np.ndarray:
    """Return `waveform` as a 1-D float32 array (time,), or say what is wrong with it.

    Integers are refused, because their scale is unknown: `to_float` converts PCM.

    Raises:
        AudioError: not one channel, not real numbers, NaN or infinity inside, or shorter than
            `min_seconds` (at 16 kHz).
    """
    samples = np.asarray(waveform)
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
    if not np.isfinite(samples).all():
        bad = int(np.argmin(np.isfinite(samples)))
        raise AudioError(
            f"{name}: sample {bad} is not a finite number; use numpy.nan_to_num if that is expected"
        )
    if len(samples) < min_seconds * SAMPLE_RATE:
        raise AudioError(
            f"{name}: {len(samples) / SAMPLE_RATE:.2f} s is too short, at least {min_seconds:.2f} s are needed"
        )
    return samples.astype(np.float32, copy=False)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Convert integer PCM of any width to float32 between -1 and 1; floats only change their width."""
    samples = np.asarray(samples)
    if samples.dtype == np.uint8:  # 8-bit PCM is unsigned, with silence at 128
        return (samples.astype(np.float32) - 128.0) / 128.0
    if samples.dtype.kind == "i":
        return (samples / -float(np.iinfo(samples.dtype).min)).astype(np.float32)
    return samples.astype(np.float32)


def to_mono(samples: np.ndarray) -> np.ndarray:
    """Average the channels of `samples` (time, channels), as soundfile gives them, to (time,).

    Raises:
        AudioError: neither one nor two axes, or the axes look swapped (more channels than samples).
    """
    samples = np.asarray(samples)
    if samples.ndim == 1:
        return samples
    if samples.ndim != 2:
        raise AudioError(f"expected samples of shape (time,) or (time, channels), got {samples.shape}")
    if 0 < samples.shape[0] < samples.shape[1]:
        raise AudioError(
            f"expected (time, channels), got {samples.shape}: more channels than samples, so transpose it (samples.T)"
        )
    return samples.mean(axis=1, dtype=np.float32)


# --- load and save -------------------------------------------------------------------------------------


def _open(source: Source) -> soundfile.SoundFile:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.exists():
            raise AudioError(f"no such file: {path} (looked in {Path.cwd()})")
        if path.is_dir():
            raise AudioError(f"{path} is a folder, not a sound file")
        name, handle = str(path), str(path)
    else:
        name = "the given data"
        handle = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    try:
        return soundfile.SoundFile(handle)
    except (soundfile.LibsndfileError, TypeError) as error:
        reason = getattr(error, "error_string", error)
        raise AudioError(
            f"{name} can not be read as sound ({reason}); wav, flac, ogg, opus, mp3 and aiff work. "
            "Convert other formats first, for example: ffmpeg -i input.m4a output.wav"
        ) from error


def load_native(source: Source, max_seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Read a sound as it is: float32 samples (time,) or (time, channels), and its sample rate in Hz.

    Args:
        source: path, bytes or open binary file; any format that libsndfile reads.
        max_seconds: read at most this much, so that a file of ten hours does not fill the memory.

    Raises:
        AudioError: missing, not audio, or damaged.
    """
    with _open(source) as file:
        frames = -1 if max_seconds is None else int(max_seconds * file.samplerate)
        try:
            samples = file.read(frames, dtype="float32")
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{source if isinstance(source, str) else 'the sound'} is damaged: {error}"
            ) from error
        return samples, file.samplerate


def load(source: Source, max_seconds: float | None = None) -> np.ndarray:
    """Read any sound file as a waveform: mono, 16 kHz, float32 (time,).

    Raises:
        AudioError: missing, not audio, damaged, empty, or with NaN inside.
    """
    samples, sample_rate = load_native(source, max_seconds)
    if len(samples) == 0:
        raise AudioError(
            f"{source if isinstance(source, str | os.PathLike) else 'the sound'} holds no samples"
        )
    return check(resample(to_mono(samples), sample_rate, SAMPLE_RATE), "the loaded sound")


def save(path: str | os.PathLike, waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Path:
    """Write a waveform; the ending of `path` says the format (wav, flac, ogg, opus, mp3).

    Values beyond -1 and 1 are refused rather than clipped, because clipping is heard and not seen.

    Raises:
        AudioError: the peak is above full scale, or the format is unknown.
    """
    path, waveform = Path(path), check(waveform)
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak > 1.0:
        raise AudioError(f"peak {peak:.2f} is above full scale and would clip; divide by {peak:.2f} first")
    try:
        if path.suffix.lower() == ".opus":
            soundfile.write(path, waveform, sample_rate, format="OGG", subtype="OPUS")
        else:
            soundfile.write(path, waveform, sample_rate)
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise AudioError(f"can not write {path}: {error}; use .wav, .flac, .ogg, .opus or .mp3") from error
    return path


# --- rate and level ------------------------------------------------------------------------------------


def resample(waveform: np.ndarray, from_rate: float, to_rate: float) -> np.ndarray:
    """Change the sample rate with the band-limited resampler of libsoxr.

    Args:
        waveform: (time,) or (time, channels).
        from_rate: present rate in Hz.
        to_rate: wanted rate in Hz.
    """
    if from_rate <= 0 or to_rate <= 0:
        raise AudioError(f"sample rates must be positive, got {from_rate} and {to_rate}")
    if from_rate == to_rate or len(waveform) == 0:
        return np.asarray(waveform, dtype=np.float32)
    return soxr.resample(np.asarray(waveform, dtype=np.float32), from_rate, to_rate)


class StreamingResampler:
    """The same resampler for a stream: `push` chunks of any size, then `finish` for the rest."""

    def __init__(self, from_rate: float, to_rate: float = SAMPLE_RATE):
        self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Take samples (time,) at the first rate, return those ready at the second, perhaps none."""
        return self._stream.resample_chunk(np.asarray(chunk, dtype=np.float32))

    def finish(self) -> np.ndarray:
        """Return what is still inside. The object is used up."""
        return self._stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def level_db(waveform: np.ndarray) -> float:
    """Root-mean-square level in dB relative to full scale (dBFS); silence is -inf."""
    waveform = check(waveform)
    power = float(np.mean(waveform.astype(np.float64) ** 2)) if len(waveform) else 0.0
    return 10 * np.log10(power) if power > 0 else float("-inf")


def mix(
    speech: np.ndarray, noise: np.ndarray, snr_db: float, seed: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Add `noise` to `speech` at a signal-to-noise ratio, both powers taken over the whole clip.

    A longer noise is cut, a shorter one repeated; `seed` chooses where it starts (None: at 0).

    Returns:
        noisy (time,) and the noise as it was added (time,): `noisy == speech + noise`.

    Raises:
        AudioError: one of them is silent, so that the ratio has no meaning.
    """
    speech, noise = check(speech, "speech"), check(noise, "noise")
    if level_db(speech) == float("-inf") or level_db(noise) == float("-inf"):
        raise AudioError("a signal-to-noise ratio needs sound on both sides, and one of them is silent")
    # A noise that is longer is entered at a random place, a shorter one at a random phase.
    spare = len(noise) - len(speech)
    start = (
        0
        if seed is None
        else int(np.random.default_rng(seed).integers(spare + 1 if spare > 0 else len(noise)))
    )
    noise = np.resize(np.roll(noise, -start), len(speech))
    gain = 10 ** ((level_db(speech) - level_db(noise) - snr_db) / 20)
    noise = (noise * gain).astype(np.float32)
    return speech + noise, noise


# --- listen --------------------------------------------------------------------------------------------


def encode(waveform: np.ndarray, format: str = "mp3", sample_rate: int = SAMPLE_RATE) -> bytes:
    """The bytes of a sound file. "mp3" is small and plays everywhere; "wav" keeps every sample."""
    buffer = io.BytesIO()
    # An encoder clips above full scale; `play` and `compare` lower the gain before they come here.
    soundfile.write(buffer, check(waveform), sample_rate, format=format.upper())
    return buffer.getvalue()


def shared_gain(waveforms: list[np.ndarray]) -> float:
    """One gain for clips that are compared: 1, or less when a peak would pass 0.99 of full scale.

    Louder and softer stay louder and softer: clips that are scaled one by one can not be compared.
    """
    peak = max((float(np.abs(check(w)).max(initial=0.0)) for w in waveforms), default=0.0)
    return min(1.0, 0.99 / peak) if peak > 0 else 1.0


def audio_tag(waveform: np.ndarray, label: str, format: str = "mp3") -> str:
    """An HTML player that holds its sound and needs no server, no kernel and no trust.

    The address stands in the tag itself: JupyterLab strips `<source>` from notebooks it does not trust.
    """
    kind = "mpeg" if format == "mp3" else format
    data = base64.b64encode(encode(waveform, format)).decode("ascii")
    return (
        f'<audio controls preload="metadata" aria-label="{html.escape(label)}" style="height:36px;width:320px" '
        f'src="data:audio/{kind};base64,{data}"></audio>'
    )


def _describe(waveform: np.ndarray, gain: float) -> str:
    level = level_db(waveform)
    text = "silent" if level == float("-inf") else f"{level:.1f} dBFS"
    note = "" if gain == 1.0 else f", played {-20 * np.log10(gain):.1f} dB softer to fit"
    return f"{len(waveform) / SAMPLE_RATE:.2f} s, {text}{note}"


def _transcript(transcript: str | None) -> str:
    return f'<div style="font-style:italic">“{html.escape(transcript)}”</div>' if transcript else ""


def play(waveform: np.ndarray, title: str | None = None, transcript: str | None = None) -> HTML:
    """A player for one waveform, with its length and level, and the words if there are any.

    The level is kept: a soft sound plays softly. It never starts by itself.
    """
    return compare({title or "sound": check(waveform)}, transcript)


def compare(clips: dict[str, np.ndarray], transcript: str | None = None) -> HTML:
    """Players for clips that are to be compared, all with one gain.

    For switching between clips while they play, see `widgets.ABPlayer`.
    """
    gain = shared_gain(list(clips.values()))
    rows = [
        f'<tr><td style="text-align:left;padding-right:1em">{html.escape(label)}</td>'
        f"<td>{audio_tag(check(clip) * np.float32(gain), label)}</td>"
        f'<td style="text-align:left;padding-left:1em"><small>{_describe(clip, gain)}</small></td></tr>'
        for label, clip in clips.items()
    ]
    return HTML(f"{_transcript(transcript)}<table>{''.join(rows)}</table>")
