"""Any streaming model over a sound file of any length, with memory for a few seconds of it."""

from __future__ import annotations

import itertools
import os
import tracemalloc
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from tqdm.auto import tqdm

from course_utils import audio, audio_files
from course_utils.audio_files import SoundReader, SoundWriter
from course_utils.waveform import AudioError, mix_down


class Stream(Protocol):
    """What takes sound piece by piece and returns what is ready, perhaps nothing yet."""

    def push(self, chunk: np.ndarray) -> np.ndarray:
        """Take samples (time,) and return those that are ready (time,)."""

    def finish(self) -> np.ndarray:
        """Return what is still inside. The stream is used up."""


class StreamingModel(Protocol):
    """A model with `stream()`, for example `checkpoints.load("enhancement")`."""

    def stream(self) -> Stream:
        """A fresh stream at 16 kHz, with as many samples out as in."""


class _Channel:
    """One channel at the rate of the file: to 16 kHz, through the model, and back."""

    def __init__(self, model: StreamingModel, sample_rate: int):
        self._stages: list[Stream] = [model.stream()]
        if sample_rate != audio.SAMPLE_RATE:
            there = audio.StreamingResampler(sample_rate, audio.SAMPLE_RATE)
            back = audio.StreamingResampler(audio.SAMPLE_RATE, sample_rate)
            self._stages = [there, *self._stages, back]

    def push(self, chunk: np.ndarray) -> np.ndarray:
        for stage in self._stages:
            chunk = stage.push(chunk)
        return chunk

    def finish(self) -> np.ndarray:
        rest = np.zeros(0, np.float32)
        for stage in self._stages:
            rest = np.concatenate([stage.push(rest), stage.finish()])
        return rest


_WAVS = {"WAV", "WAVEX", "RF64"}


def _formats(source: SoundReader, target: Path) -> list[tuple[str, str | None]]:
    """(Format, subtype) for `target`, best first: those of the source as far as the ending of `target` allows."""
    wanted, subtype = audio_files.format_of(target)
    if {source.format, wanted} <= _WAVS:
        wanted = source.format
    if wanted in _WAVS and 8 * (source.frames or 0) * source.channels > 2**32:
        wanted = "RF64"  # without the limit of 4 GB
    # libsndfile can read more subtypes in a format than it can write: MP3 in a WAV for example.
    same = source.format == wanted or source.subtype.startswith(("PCM_", "FLOAT", "DOUBLE"))
    if subtype is None and same:
        if soundfile.check_format(wanted, source.subtype):
            subtype = source.subtype
    return [(wanted, subtype), (wanted, None)]


def process_file(
    source: str | os.PathLike, target: str | os.PathLike, model: StreamingModel, progress: bool = True
) -> Path:
    """Write what `model` makes of `source` to `target`: same length, sample rate and channels, in time to the sample.

    The model works at 16 kHz, so what lies above 8 kHz is dropped. Each channel has a stream of its own. Format
    and sample format stay where the ending of `target` allows. A result above full scale is made softer as a
    whole, with an `AudioWarning`, unless its samples are floats. An existing `target` is replaced once the new one
    is complete. On the way the folder of `target` needs room for the sound as 32-bit floats.

    Args:
        source: any file that libsndfile reads.
        target: another file.
        model: has `stream()`, with `push(chunk)` and `finish()`.
        progress: show a progress bar after a second.

    Raises:
        AudioError: missing, not audio, damaged, empty, NaN inside, the same file twice, or not writable.
    """
    source, target = Path(source), Path(target)
    with SoundReader(source) as reader:
        if os.path.exists(target) and os.path.samefile(source, target):
            raise AudioError(f"{target} is the input itself, which is never overwritten; name another file")
        formats = _formats(reader, target)
        with SoundWriter(target, reader.sample_rate, reader.channels, formats) as writer:
            # Only at the end it is known how loud the loudest sample is.
            with audio_files.Spool(target, reader.channels) as kept:
                for samples in _processed(reader, model, progress):
                    kept.write(samples)
                gain = np.float32(1.0)
                if kept.peak > 1 and writer.subtype not in ("FLOAT", "DOUBLE"):
                    gain = np.float32(0.99 / kept.peak)
                    warnings.warn(
                        f"{target} is {-20 * np.log10(gain):.1f} dB softer than what came out of the model: its "
                        f"peak of {kept.peak:.3g} is above full scale and would clip",
                        audio_files.AudioWarning,
                        stacklevel=2,
                    )
                for samples in kept.blocks():
                    writer.write(samples * gain)
    return target


def _processed(reader: SoundReader, model: StreamingModel, progress: bool) -> Iterator[np.ndarray]:
    """What the model makes of the file, (time, channels), block by block: as many samples in all as the file has."""
    rate = reader.sample_rate
    channels = [_Channel(model, rate) for _ in range(reader.channels)]
    taken = written = 0
    seconds = round(reader.frames / rate) if reader.frames else None
    with tqdm(total=seconds, desc="cleaning", unit=" s", delay=1, disable=not progress) as bar:
        for block in reader.blocks():
            _check_finite(block, f"{reader.name}: what stands", taken, rate)
            taken += len(block)
            parts = [channel.push(block[:, i]) for i, channel in enumerate(channels)]
            # Resampling there and back may round the length up or down by a sample.
            samples = np.stack(parts, axis=1)[: taken - written]
            _check_finite(samples, f"{reader.name}: what the model makes of it", written, rate)
            written += len(samples)
            yield samples
            bar.update(taken // rate - bar.n)
    rest = np.stack([channel.finish() for channel in channels], axis=1)[: taken - written]
    _check_finite(rest, f"{reader.name}: what the model makes of it", written, rate)
    yield rest
    yield np.zeros((taken - written - len(rest), reader.channels), np.float32)


def mono_blocks(source: str | os.PathLike, title: str, progress: bool = True) -> Iterator[np.ndarray]:
    """What a file holds as a model hears it: float32 (time,) at 16 kHz, block by block, with memory for one of them.

    Args:
        source: any file that libsndfile reads, of any rate, length and number of channels (they are averaged).
        title: what the progress bar says.
        progress: show a progress bar on stderr after two seconds.

    Raises:
        AudioError: missing, not audio, damaged, empty, or NaN inside.
    """
    with SoundReader(source) as reader:
        rate, taken = reader.sample_rate, 0
        stages = [] if rate == audio.SAMPLE_RATE else [audio.StreamingResampler(rate)]
        seconds = round(reader.frames / rate) if reader.frames else None
        with tqdm(total=seconds, desc=title, unit=" s", delay=2, leave=False, disable=not progress) as bar:
            for block in reader.blocks():
                _check_finite(block, f"{reader.name}: what stands", taken, rate)
                taken += len(block)
                samples = mix_down(block, reader.name)
                for stage in stages:
                    samples = stage.push(samples)
                yield samples
                bar.update(taken // rate - bar.n)
        yield from (stage.finish() for stage in stages)


def _check_finite(samples: np.ndarray, what: str, offset: int, rate: int) -> None:
    finite = np.isfinite(samples).all(axis=1)
    if not finite.all():
        place = (offset + int(np.argmin(finite))) / rate
        raise AudioError(f"{what} at {place:.3f} s is not a finite number; cut that out first")


def in_chunks(stream: Stream, waveform: np.ndarray, sizes: int | Sequence[int]) -> np.ndarray:
    """All that comes out (time,) when a waveform (time,) goes through a stream in chunks.

    Args:
        stream: a fresh one; it is used up.
        waveform: (time,) at the rate of the stream.
        sizes: samples of each chunk, or of several in turn, of which some may be 0.

    Raises:
        ValueError: chunks with which the waveform would never end.
    """
    sizes = [sizes] if isinstance(sizes, int) else list(sizes)
    if min(sizes, default=0) < 0 or sum(sizes) < 1:
        raise ValueError(f"sizes: expected samples of chunks, 0 or more and not all 0, got {sizes}")
    parts, position = [], 0
    for size in itertools.cycle(sizes):
        if position >= len(waveform):
            break
        parts.append(stream.push(waveform[position : position + size]))
        position += size
    return np.concatenate([*parts, stream.finish()])


def memory_held(stream: Stream, waveform: np.ndarray, times: int, chunk: int = 16000) -> list[float]:
    """KiB that Python and numpy hold more than before, after each of `times` passes of a waveform through a stream.

    What the stream gives out is thrown away. The weights of a network do not count.
    """
    held = []
    tracemalloc.start()
    try:
        for _ in range(times):
            for start in range(0, len(waveform), chunk):
                stream.push(waveform[start : start + chunk])
            held.append(tracemalloc.get_traced_memory()[0] / 1024)
    finally:
        tracemalloc.stop()
    return held
