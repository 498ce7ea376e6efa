"""Audio in, audio out: load, check, resample, mix, save and play.

A waveform is a 1-D float32 numpy array at 16 kHz everywhere in the course. Full scale is -1 to 1.
"""

from __future__ import annotations

import base64
import html
import io
import math
import os
from pathlib import Path

import numpy as np
import soundfile
import soxr
from IPython.display import HTML

from course_utils import audio_files
from course_utils.audio_files import Source
from course_utils.paths import SAMPLE_RATE
from course_utils.waveform import AudioError, AudioWarning, check, check_rate, mix_down, to_float, to_mono

__all__ = [
    "SAMPLE_RATE",
    "AudioError",
    "AudioWarning",
    "Source",
    "StreamingResampler",
    "audio_tag",
    "check",
    "check_rate",
    "compare",
    "encode",
    "level_db",
    "load",
    "load_native",
    "mix",
    "mix_down",
    "play",
    "resample",
    "save",
    "shared_gain",
    "tag",
    "to_float",
    "to_mono",
]


# --- load and save -------------------------------------------------------------------------------------


def load_native(source: Source, max_seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Read a sound as it is: float32 samples (time,) or (time, channels), and its sample rate in Hz.

    Args:
        source: path, bytes or open binary file; any format that libsndfile reads.
        max_seconds: read at most this much, so that a file of ten hours does not fill the memory.

    Raises:
        AudioError: missing, not audio, damaged, empty, or of a sample rate that can not be right.
    """
    if max_seconds is None:
        max_seconds = math.inf
    if not max_seconds > 0:
        raise AudioError(f"max_seconds must be above 0, got {max_seconds}")
    with audio_files.SoundReader(source) as reader:
        samples = np.concatenate(list(reader.blocks(max_seconds)))
        return samples[:, 0] if reader.channels == 1 else samples, reader.sample_rate


def load(source: Source, max_seconds: float | None = None) -> np.ndarray:
    """Read any sound file as a waveform: mono, 16 kHz, float32 (time,).

    What is not as it should be and can be read all the same gives an `AudioWarning`: channels that cancel each
    other, a file that is cut off, a header that was never finished.

    Raises:
        AudioError: missing, not audio, damaged, empty, with NaN inside, or of a sample rate that can not be right.
    """
    name = audio_files.name_of(source)
    samples, sample_rate = load_native(source, max_seconds)
    return resample(check(mix_down(samples, name), name), sample_rate, SAMPLE_RATE)


def save(
    path: str | os.PathLike, waveform: np.ndarray, sample_rate: int = SAMPLE_RATE, comment: str = ""
) -> Path:
    """Write a waveform; the ending of `path` says the format (wav, flac, ogg, opus, mp3).

    Values beyond -1 and 1 are refused rather than clipped, because clipping is heard and not seen. A file that is
    there already is replaced once the new one is complete. `comment` is a line that stays in the file, for example
    "synthetic speech"; `tag` reads it.

    Raises:
        AudioError: the peak is above full scale, the format is unknown, does not take this sample rate or has no room
            for a comment, or the place can not be written.
    """
    waveform = _within_full_scale(waveform)
    with audio_files.SoundWriter(path, sample_rate, comment=comment) as file:
        file.write(waveform)
    return Path(path)


def tag(source: Source) -> str:
    """The comment that stands in a sound file, as `save` writes it; "" where there is none.

    Raises:
        AudioError: missing, or not audio.
    """
    with audio_files.SoundReader(source) as reader:
        return reader.comment


def _within_full_scale(waveform: np.ndarray) -> np.ndarray:
    waveform = check(waveform)
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak > 1.0:
        enough = math.ceil(peak * 100) / 100  # rounded up, so that it is enough
        raise AudioError(f"peak {peak:.4g} is above full scale and would clip; divide by {enough:.2f} first")
    return waveform


# --- rate and level ------------------------------------------------------------------------------------


def resample(waveform: np.ndarray, from_rate: float, to_rate: float) -> np.ndarray:
    """Change the sample rate with the band-limited resampler of libsoxr.

    Args:
        waveform: (time,) or (time, channels).
        from_rate: present rate in Hz.
        to_rate: wanted rate in Hz.

    Raises:
        AudioError: a rate that is not between 1 kHz and 384 kHz, other shapes, or no samples (see `to_float`).
    """
    check_rate(from_rate, "the rate to resample from")
    check_rate(to_rate, "the rate to resample to")
    samples = to_float(waveform)
    if samples.ndim not in (1, 2):
        raise AudioError(f"expected samples of shape (time,) or (time, channels), got {samples.shape}")
    if samples.ndim == 2 and 0 < samples.shape[0] < samples.shape[1]:
        raise AudioError(f"expected (time, channels), got {samples.shape}; transpose it (samples.T)")
    if from_rate == to_rate or samples.size == 0:
        return samples
    return soxr.resample(samples, from_rate, to_rate)


class StreamingResampler:
    """The same resampler for a stream: `push` chunks of any size, then `finish` for the rest."""

    def __init__(self, from_rate: float, to_rate: float = SAMPLE_RATE):
        check_rate(from_rate, "the rate to resample from")
        check_rate(to_rate, "the rate to resample to")
        self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32")

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Take samples (time,) at the first rate, return those ready at the second, perhaps none."""
        samples = to_float(chunk)
        if samples.ndim != 1:
            raise AudioError(
                f"expected samples of one channel (time,), got {samples.shape}; give each its own stream"
            )
        return self._stream.resample_chunk(samples)

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

    A longer noise is cut, a shorter one repeated; `seed` chooses where it starts (None: at 0). Where that gives
    nothing but silence, it starts at the next sound.

    Returns:
        noisy (time,) and the noise as it was added (time,): `noisy == speech + noise`.

    Raises:
        AudioError: one of them is silent, so that the ratio has no meaning, or no float32 can hold the result.
    """
    if np.ndim(snr_db) != 0:
        raise AudioError(
            f"expected one signal-to-noise ratio in dB, got shape {np.shape(snr_db)}; mix once for each"
        )
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
    noise = np.roll(noise, -start)
    if not noise[: len(speech)].any():
        noise = np.roll(noise, -np.flatnonzero(noise)[0])
    noise = np.resize(noise, len(speech))
    with np.errstate(over="ignore", invalid="ignore"):
        gain = np.power(10.0, (level_db(speech) - level_db(noise) - snr_db) / 20)
        noise = (noise * gain).astype(np.float32)
        noisy = speech + noise
    if not (np.isfinite(noisy).all() and noise.any()):
        raise AudioError(f"a signal-to-noise ratio of {snr_db} dB can not be reached with these levels")
    return noisy, noise


# --- listen --------------------------------------------------------------------------------------------


def encode(waveform: np.ndarray, format: str = "mp3", sample_rate: int = SAMPLE_RATE) -> bytes:
    """The bytes of a sound file. "mp3" is small and plays everywhere; "wav" keeps every sample.

    Raises:
        AudioError: the peak is above full scale (`shared_gain` brings it down), or the format is unknown.
    """
    waveform, buffer = _within_full_scale(waveform), io.BytesIO()
    file_format, subtype = audio_files.format_of(Path(f"sound.{format}"))
    rate = check_rate(sample_rate, whole=True)
    try:
        with soundfile.SoundFile(buffer, "w", rate, 1, subtype, format=file_format) as file:
            audio_files.put(file, waveform)
    except (soundfile.LibsndfileError, ValueError) as error:
        raise AudioError(f"can not encode {format} at {rate} Hz: {audio_files.reason_of(error)}") from error
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
