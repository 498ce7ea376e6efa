"""Any streaming model over a sound file of any length, with memory for a few seconds of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
from tqdm.auto import tqdm

from course_utils import audio

BLOCK_SECONDS = 2.0
"""So much of the file is held at once."""


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


def _format(source: soundfile.SoundFile, target: Path) -> tuple[str, str]:
    """Format and subtype for `target`: those of the source where its ending allows them."""
    ending = target.suffix.lower().lstrip(".")
    if Path(str(source.name)).suffix.lower().lstrip(".") == ending:
        return source.format, source.subtype
    if ending == "opus":
        return "OGG", "OPUS"
    wanted = {"aif": "AIFF"}.get(ending, ending.upper())
    if wanted not in soundfile.available_formats() or wanted == "RAW":
        raise audio.AudioError(
            f"{target.name}: the ending says the format, and {target.suffix or 'none'!r} is not one that can be "
            "written; use .wav, .flac, .ogg, .opus or .mp3"
        )
    if soundfile.check_format(wanted, source.subtype):
        return wanted, source.subtype
    return wanted, soundfile.default_subtype(wanted)


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to, which takes its place if all goes well and is removed if not."""
    part = target.with_name(f".{target.stem}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _blocks(source: soundfile.SoundFile, name: str) -> Iterator[np.ndarray]:
    """Samples (time, channels), block by block, after a look at each."""
    seen = 0
    while True:
        try:
            block = source.read(round(BLOCK_SECONDS * source.samplerate), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise audio.AudioError(
                f"{name} is damaged {seen / source.samplerate:.2f} s after its beginning: {error}"
            ) from error
        if len(block) == 0:
            return
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            place = (seen + int(np.argmin(finite))) / source.samplerate
            raise audio.AudioError(
                f"{name}: what stands at {place:.3f} s is not a finite number; cut it out or replace it first"
            )
        seen += len(block)
        yield block


def process_file(
    source: str | os.PathLike, target: str | os.PathLike, model: StreamingModel, progress: bool = True
) -> Path:
    """Write what `model` makes of `source` to `target`: same length, sample rate and channels, in time to the sample.

    The model works at 16 kHz, so what lies above 8 kHz is dropped. Each channel has a stream of its own. Format and sample format stay where the ending of
    `target` allows. An existing `target` is replaced once the new one is complete.

    Args:
        source: any file that libsndfile reads.
        target: another file.
        model: has `stream()`, with `push(chunk)` and `finish()`.
        progress: show a progress bar after a second.

    Raises:
        AudioError: missing, not audio, damaged, empty, NaN inside, the same file twice, or not writable.
    """
    source, target = Path(source), Path(target)
    with audio._open(source) as reader:
        if target.exists() and os.path.samefile(source, target):
            raise audio.AudioError(
                f"{target} is the input itself, which is never overwritten; name another file"
            )
        if not target.parent.is_dir():
            raise audio.AudioError(f"can not write {target}: there is no folder {target.parent}")
        if target.is_dir():
            raise audio.AudioError(f"can not write {target}: it is a folder")
        if reader.frames == 0:
            raise audio.AudioError(f"{source} holds no samples")
        file_format, subtype = _format(reader, target)
        with _replacing(target) as part:
            try:
                writer = soundfile.SoundFile(
                    part, "w", reader.samplerate, reader.channels, subtype, format=file_format
                )
            except (soundfile.LibsndfileError, ValueError, TypeError) as error:
                raise audio.AudioError(
                    f"can not write {target} ({error}); .wav and .flac take every rate and number of channels"
                ) from error
            with writer:
                _copy(reader, writer, str(source), model, progress)
    return target


def _copy(
    reader: soundfile.SoundFile,
    writer: soundfile.SoundFile,
    name: str,
    model: StreamingModel,
    progress: bool,
) -> None:
    rate = reader.samplerate
    channels = [_Channel(model, rate) for _ in range(reader.channels)]
    taken = written = 0

    def write(parts: list[np.ndarray], at_most: int) -> int:
        # Resampling there and back may round the length up or down by a sample.
        samples = np.stack(parts, axis=1)[:at_most]
        writer.write(samples)
        return len(samples)

    with tqdm(
        total=round(reader.frames / rate), desc="cleaning", unit=" s", delay=1, disable=not progress
    ) as bar:
        for block in _blocks(reader, name):
            taken += len(block)
            parts = [channel.push(block[:, i]) for i, channel in enumerate(channels)]
            written += write(parts, taken - written)
            bar.update(taken // rate - bar.n)
        written += write([channel.finish() for channel in channels], taken - written)
    writer.write(np.zeros((taken - written, reader.channels), np.float32))
