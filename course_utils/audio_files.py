"""Sound files as they are found: read in whatever state they are, written whole or not at all.

libsndfile decodes and encodes. This module adds what it leaves to its caller: files of unknown length, several
files joined to one, recordings whose header was never finished, disks that are full. `audio` and `streaming` stand
on it; a learner needs neither of its two classes.
"""

from __future__ import annotations

import io
import mmap
import os
import re
import secrets
import struct
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from course_utils.waveform import AudioError, AudioWarning, check_rate

Source = str | os.PathLike | bytes | BinaryIO

BLOCK_SECONDS = 2.0
"""So much of a file is decoded at once."""

ENDINGS = ".wav, .flac, .ogg, .opus or .mp3"
LONGEST_COMMENT = 1000
"""Characters of a comment in a file."""


def name_of(source: Source) -> str:
    """What messages call `source`: its path if it has one."""
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    return os.fspath(path) if isinstance(path, str | os.PathLike) else "the given sound"


# --- read ----------------------------------------------------------------------------------------------


class _Forward(soundfile.SoundFile):
    """Reads from beginning to end and never seeks, because not every format can and not every header is right."""

    def seekable(self) -> bool:
        return False


class _Unmeasured(io.BytesIO):
    """An MP3 without a table of contents, as if its end were unknown: then its frames are counted.

    From the number of its bytes the length would be guessed by the bit rate of its first frame, which may be silence.
    """

    _at_end = False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to `offset`, but from the end nowhere."""
        self._at_end = whence == os.SEEK_END
        return self.tell() if self._at_end else super().seek(offset, whence)

    def tell(self) -> int:
        """Where it stands."""
        return 2**63 - 1 if self._at_end else super().tell()


class SoundReader:
    """An open sound file, read forward in blocks whatever its format, length and state.

    Files that were joined to one (a recorded web radio, `cat a.mp3 b.mp3`) are read one after the other. Samples
    that a killed recorder left behind an unfinished WAV header are recovered, with a warning.

    Args:
        source: path, bytes or open binary file; any format that libsndfile reads.

    Raises:
        AudioError: missing, empty, not audio, or of a sample rate that can not be right.
    """

    def __init__(self, source: Source):
        self.name = name_of(source)
        self._content = _content(source, self.name)
        self._file: _Forward | None = None
        try:
            is_path = isinstance(source, str | os.PathLike)
            # By its path, because a Ctrl-C inside of a callback from libsndfile would be lost.
            self._file = self._open(os.fspath(source) if is_path else self._handle())
            self._starts = _part_starts(self._content, self._file.format)
            unmeasured = self._file.format == "MP3" and not _has_table(self._content)
            if len(self._starts) > 1 or unmeasured:
                self._file = self._open(self._part(0))
            elif self._file.frames == 0:
                self._recover()
            check_rate(self._file.samplerate, f"{self.name}: the sample rate in its header")
        except BaseException:
            self.close()
            raise
        self.sample_rate, self.channels = self._file.samplerate, self._file.channels
        self.format, self.subtype = self._file.format, self._file.subtype
        self.comment = self._file.comment

    @property
    def frames(self) -> int | None:
        """How many samples each channel has; None where only reading it all would tell."""
        unknown = len(self._starts) > 1 or self._file.frames > 2**62
        return None if unknown else self._file.frames

    def blocks(self, max_seconds: float = float("inf")) -> Iterator[np.ndarray]:
        """Float32 samples (time, channels), block by block, at most `max_seconds` of them.

        Raises:
            AudioError: damaged, without samples, or joined from files of different rates or channels.
        """
        rate, seen = self.sample_rate, 0
        end = max(1.0, max_seconds * rate)
        # Neither a rate nor a number of channels in a header may ask for more than a few MB.
        step = max(1, min(round(BLOCK_SECONDS * rate), 2**20 // self.channels))
        for index in range(len(self._starts)):
            if index:
                self._file = self._open(self._part(index))
                if (self._file.samplerate, self._file.channels) != (rate, self.channels):
                    raise AudioError(
                        f"{self.name}: joined from files of different kinds: at {seen / rate:.2f} s "
                        f"{self.channels} channels at {rate} Hz become {self._file.channels} at "
                        f"{self._file.samplerate} Hz; separate them, or let ffmpeg convert it"
                    )
            left = min(end - seen, self._file.frames)  # beyond its end a FLAC file "lost sync"
            while (count := int(min(step, left))) > 0:
                try:
                    block = self._file.read(count, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError as error:
                    raise AudioError(
                        f"{self.name}: the sound is damaged {seen / rate:.2f} s after its beginning "
                        f"({error.error_string})"
                    ) from error
                if len(block) == 0:
                    break
                seen, left = seen + len(block), left - len(block)
                yield block
        if seen == 0:
            raise AudioError(self._why_empty())
        missing = min(self.frames or 0, end) - seen
        if missing > 0.1 * rate:
            _warn(f"{self.name}: cut off, it ends {missing / rate:.2f} s before the end that its header says")
        elif seen < end and (share := self._share_missing()):
            _warn(f"{self.name}: cut off, {share:.0%} of the sound that its header says are not in the file")

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        if self._file is not None:
            self._file.close()
        if isinstance(self._content, mmap.mmap):
            self._content.close()

    def __enter__(self) -> SoundReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, handle: str | BinaryIO | mmap.mmap) -> _Forward:
        if self._file is not None:
            self._file.close()
        try:
            return _Forward(handle)
        except (soundfile.LibsndfileError, TypeError) as error:
            reason = str(getattr(error, "error_string", error)).rstrip(".")
            if "does not exist" in reason or "SF_INFO" in reason:  # it is there; what is in it is no sound
                reason = "its content is of no known format, whatever its name says, or its header is damaged"
            if re.match(rb"\s*<(?:!doctype|html)", self._content[:100], re.IGNORECASE):
                reason = "it is a web page, so the download went wrong"
            raise AudioError(
                f"{self.name}: can not be read as sound ({reason}); wav, flac, ogg, opus, mp3 and "
                "aiff work. Convert other formats first, for example: ffmpeg -i input.m4a output.wav"
            ) from error

    def _handle(self) -> BinaryIO | mmap.mmap:
        if not isinstance(self._content, mmap.mmap):
            return io.BytesIO(self._content)
        self._content.seek(0)
        return self._content

    def _part(self, index: int) -> BinaryIO:
        part = self._content[slice(*[*self._starts, len(self._content)][index : index + 2])]
        return io.BytesIO(part) if self._file.format != "MP3" or _has_table(part) else _Unmeasured(part)

    def _recover(self) -> None:
        """Read an unfinished WAV as what it is: with data up to the end of the file."""
        place = _unfinished_data(self._content)
        if place is None:
            return
        size = min(len(self._content) - place - 8, 2**32 - 2) // 2 * 2  # a chunk of odd size would be padded
        if isinstance(self._content, bytes):
            self._content = bytearray(self._content)
        # Of a private copy, not of the file.
        self._content[place + 4 : place + 8] = size.to_bytes(4, "little")
        self._file = self._open(self._handle())
        _warn(
            f"{self.name}: the recorder never finished its header, so all {size} bytes behind it are taken as sound"
        )

    def _share_missing(self) -> float:
        """How much of the sound is behind the end of the file: libsndfile takes what there is, and notes it."""
        note = re.search(
            r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", self._file.extra_info, re.M
        )
        said, there = map(int, note.groups()) if note else (0, 0)
        # A program that writes into a pipe knows no size, and says the largest there is.
        return 1 - there / said if there + 100 < said < 0x7FFF_0000 else 0.0

    def _why_empty(self) -> str:
        size = len(self._content)
        if size < 1000:  # as long as a header
            return f"{self.name}: holds no samples"
        return (
            f"{self.name}: holds no samples that can be read, although it has {size} bytes: it is cut off, or the "
            "recorder was stopped before it finished the header. ffmpeg may be able to recover it: ffmpeg -i "
            "input output.wav"
        )


def _warn(message: str) -> None:
    warnings.warn(message, AudioWarning, stacklevel=4)


def _content(source: Source, name: str) -> bytes | mmap.mmap:
    """All bytes of `source`; those of a file are mapped, so they take no memory and changes stay private."""
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
    elif isinstance(source, str | os.PathLike):
        content = _mapped(Path(source))
    elif hasattr(source, "read"):
        content = _all_of(source, name)
    else:
        raise AudioError(f"expected a path, bytes or an open binary file, got {type(source).__name__}")
    if len(content) == 0:
        raise AudioError(
            f"{name}: can not be read as sound: it is an empty file (0 bytes), what should have written it failed"
        )
    return content


def _mapped(path: Path) -> bytes | mmap.mmap:
    try:
        if path.is_dir():
            raise AudioError(f"{path} is a folder, not a sound file")
        if path.exists() and not path.is_file():
            raise AudioError(f"{path} is a device or a pipe; save the sound to a file first")
        with open(path, "rb") as file:
            return _all_of(file, str(path))
    except FileNotFoundError as error:
        raise AudioError(f"no such file: {path} (looked in {Path.cwd()})") from error
    except OSError as error:
        raise AudioError(f"{path} can not be opened: {reason_of(error)}") from error


def _all_of(file: BinaryIO, name: str) -> bytes | mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except (AttributeError, OSError, ValueError):  # no file on a disk, or an empty one
        if file.seekable():
            file.seek(0)
        content = file.read()
    if not isinstance(content, bytes):
        raise AudioError(f"{name}: opened as text; open it with mode 'rb'")
    return content


# How a part begins that was joined to a file: the first page of an Ogg stream, the header of a FLAC file, and the
# frame with a table of contents that almost every MP3 encoder writes first (behind a frame header and its "side
# information", whose length depends on version and channels).
_PART_STARTS = {
    "OGG": re.compile(rb"OggS\x00\x02"),
    "FLAC": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
    "MP3": re.compile(rb"\xff[\xe2-\xff].{2}(?:.{9}|.{17}|.{32})(?:Xing|Info)", re.DOTALL),
}


def _part_starts(content: bytes | mmap.mmap, file_format: str) -> list[int]:
    """Where the files begin that were joined to this one; [0] for a file that is one."""
    pattern = _PART_STARTS.get(file_format)
    heads = [match.start() for match in pattern.finditer(content)] if pattern else []
    if file_format == "OGG":
        # Streams that play at the same time begin with a page each, one behind the other.
        ends = [0, *(_page_end(content, head) for head in heads)]
        heads = [head for head, end in zip(heads, ends, strict=False) if head != end or head == 0]
    if file_format == "MP3" and heads:
        # A file without a table of contents may follow: its frames begin as those of the first do.
        sync = content[heads[0] : heads[0] + 2]
        ends = [_mp3_end(content, head) for head in heads]
        heads = sorted({*heads, *(end for end in ends if content[end : end + 2] == sync)})
    return [0, *heads[1:]]


def _has_table(content: bytes | mmap.mmap) -> bool:
    """Whether the first frame of an MP3, behind its tags, is a table of contents."""
    start = 0
    while content[start : start + 3] == b"ID3":  # four bytes of 7 bits say how long the tag is
        start += 10 + sum(byte << 7 * place for place, byte in enumerate(content[start + 9 : start + 5 : -1]))
    return _PART_STARTS["MP3"].search(content, start, start + 4096) is not None


def _page_end(content: bytes | mmap.mmap, start: int) -> int:
    lengths = content[start + 27 : start + 27 + content[start + 26]] if start + 27 < len(content) else b""
    return start + 27 + len(lengths) + sum(lengths)


def _mp3_end(content: bytes | mmap.mmap, start: int) -> int:
    """Where the sound ends whose table of contents is in the frame at `start`; 0 if it does not say."""
    frame = content[start : start + 60] + bytes(12)  # it may be cut off
    flags, *_, size = struct.unpack_from(">III", frame, re.search(b"Xing|Info", frame).end())
    return start + size if flags & 3 == 3 else 0


def _unfinished_data(content: bytes | mmap.mmap) -> int | None:
    """Where the data chunk of a WAV file stands that says 0 bytes, and what follows is no chunk but sound."""
    place, unfinished = 12, None
    if content[:4] != b"RIFF":
        return None
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if unfinished is not None and not re.fullmatch(rb"[ -~]{4}", kind):
            return unfinished
        if kind == b"data" and size == 0 and unfinished is None:
            unfinished = place
        place += 8 + size + size % 2
    return unfinished if place > len(content) else None


# --- write ---------------------------------------------------------------------------------------------


def format_of(target: Path) -> tuple[str, str | None]:
    """Format and, if there is no choice, subtype (in the words of libsndfile) that the ending of `target` says.

    Raises:
        AudioError: none that can be written.
    """
    if os.path.isdir(target):
        raise AudioError(f"can not write {target}: it is a folder")
    ending = target.suffix.lower().lstrip(".")
    if ending == "opus":
        return "OGG", "OPUS"
    others = {"aif": "AIFF", "aifc": "AIFF", "oga": "OGG", "snd": "AU", "wave": "WAV"}
    wanted = others.get(ending, ending.upper())
    # RAW has no header, SD2 keeps it in a second file, and XI and WVE have no place for the sample rate.
    if wanted not in soundfile.available_formats() or wanted in ("RAW", "SD2", "XI", "WVE"):
        raise AudioError(
            f"can not write {target}: the ending says the format, and {target.suffix or 'none'!r} is not one that "
            f"can be written; use {ENDINGS}"
        )
    return wanted, None


class _Disk(io.FileIO):
    """A file that remembers why it could not be written: libsndfile says "System error", or nothing at all."""

    error: BaseException | None = None

    def write(self, data: bytes) -> int:
        done = 0
        try:
            while done < len(data):
                done += super().write(data[done:])
        except BaseException as error:  # what a callback from libsndfile raises is lost, a Ctrl-C too
            self.error = self.error or error
        return done


class SoundWriter:
    """A sound file that takes the place of `target` once it is complete; until then nothing is changed.

    Use it with `with`: an error inside leaves what was there before.

    Args:
        target: file to write or to replace.
        sample_rate: in Hz.
        channels: how many.
        formats: (format, subtype) in the words of libsndfile, the first that can be written is taken. Left out:
            what the ending of `target` says.
        comment: a line that is kept in the file, for example what made it; `audio.tag` reads it.

    Raises:
        AudioError: no such folder, not a file that may be replaced, no format that takes this rate and these
            channels, no room for a comment in it, or a full disk (here, from `write`, and at the end).
    """

    def __init__(
        self,
        target: str | os.PathLike,
        sample_rate: float,
        channels: int = 1,
        formats: list[tuple[str, str | None]] | None = None,
        comment: str = "",
    ):
        self.target, self._comment = Path(target), _line(comment)
        rate = check_rate(sample_rate, whole=True)
        formats = formats or [format_of(self.target)]
        # A link stays a link, and the file it leads to is replaced.
        self._place = Path(os.path.realpath(self.target))
        self._part = self._place.with_name(f".{secrets.token_hex(8)}.part")
        try:
            self._check_place()
            self._disk = _Disk(self._part, "x")
        except OSError as error:
            raise self._failure(error) from error
        try:
            self._file = self._first(formats, rate, channels)
            if self._comment:
                self._put_comment()
        except BaseException:
            self._drop()
            raise
        self.format, self.subtype = self._file.format, self._file.subtype

    def write(self, samples: np.ndarray) -> None:
        """Append float samples, (time,) or (time, channels); what is above full scale clips in most formats."""
        try:
            put(self._file, samples)
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise self._failure(self._disk.error or error) from error
        if self._disk.error is not None:
            raise self._failure(self._disk.error)

    def __enter__(self) -> SoundWriter:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            self._drop()

    def _complete(self) -> None:
        try:
            self._file.close()
        except soundfile.LibsndfileError as error:
            raise self._failure(self._disk.error or error) from error
        if self._disk.error is not None:
            raise self._failure(self._disk.error)
        try:
            self._disk.close()
            os.replace(self._part, self._place)
        except OSError as error:
            raise self._failure(error) from error

    def _drop(self) -> None:
        with suppress(soundfile.LibsndfileError, AttributeError):  # not even opened
            self._file.close()
        with suppress(OSError):
            self._disk.close()
        self._part.unlink(missing_ok=True)

    def _first(self, formats: list[tuple[str, str | None]], rate: int, channels: int) -> soundfile.SoundFile:
        reason: Exception | None = None
        for file_format, subtype in formats:
            try:
                return soundfile.SoundFile(self._disk, "w", rate, channels, subtype, format=file_format)
            except (soundfile.LibsndfileError, ValueError, TypeError) as error:
                if self._disk.error is not None:
                    raise self._failure(self._disk.error) from error
                reason = error
                self._disk.seek(0)
                self._disk.truncate()
        raise AudioError(
            f"can not write {self.target} at {rate} Hz with {channels} channel(s) "
            f"({getattr(reason, 'error_string', reason)}); .wav takes every rate and number of channels"
        ) from reason

    def _put_comment(self) -> None:
        try:
            self._file.comment = self._comment  # first, because it stands before the sound in most formats
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"can not write {self.target}: {self._file.format} has no room for the comment {self._comment!r}; use {ENDINGS}"
            ) from error

    def _check_place(self) -> None:
        target, place = self.target, self._place
        if not place.parent.is_dir():
            raise AudioError(f"can not write {target}: there is no folder {target.parent}")
        if place.exists():
            if not place.is_file():
                raise AudioError(f"can not write {target}: it is a device or a pipe, not a file")
            if not place.stat().st_mode & 0o222:
                raise AudioError(f"can not write {target}: it is write-protected; name another file")

    def _failure(self, error: BaseException) -> BaseException:
        if not isinstance(error, Exception):
            return error  # Ctrl-C
        return AudioError(f"can not write {self.target}: {reason_of(error)}")


class Spool:
    """Float samples (time, channels) put aside in a file beside `target` that is gone afterwards, with their peak.

    Raises:
        AudioError: no room for them (from `write`).
    """

    def __init__(self, target: Path, channels: int):
        self.target, self.channels, self.peak = target, channels, 0.0
        self._file = tempfile.TemporaryFile(dir=target.parent)

    def write(self, samples: np.ndarray) -> None:
        """Append samples."""
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0.0)))
        try:
            self._file.write(samples.astype(np.float32).tobytes())
            self._file.flush()
        except OSError as error:
            raise AudioError(
                f"can not write {self.target}: {reason_of(error)} (until it is complete, its folder needs room for "
                "4 bytes a sample)"
            ) from error

    def blocks(self) -> Iterator[np.ndarray]:
        """All of them from the beginning, block by block."""
        self._file.seek(0)
        while content := self._file.read(4 * self.channels * 2**16):
            yield np.frombuffer(content, np.float32).reshape(-1, self.channels)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the disk is still full
            self._file.close()


def put(file: soundfile.SoundFile, samples: np.ndarray) -> None:
    """Write samples in pieces: libsndfile overflows its stack when Vorbis gets some minutes at once."""
    for start in range(0, len(samples), 2**16):
        file.write(samples[start : start + 2**16])


def _line(comment: str) -> str:
    """A comment as it will be read again, or what is wrong with it: beyond ASCII each format does as it likes."""
    if not isinstance(comment, str):
        raise AudioError(f"expected a comment as text, got {type(comment).__name__}")
    if comment and (
        not (comment.isascii() and comment.isprintable())
        or comment != comment.strip()
        or len(comment) > LONGEST_COMMENT
    ):
        raise AudioError(
            f"expected a comment of one line of at most {LONGEST_COMMENT} printable ASCII characters without spaces around it, got "
            f"{len(comment)} characters: {comment[:40]!r}"
        )
    return comment


def reason_of(error: Exception) -> str:
    """What the system or libsndfile says went wrong, to be put into a sentence."""
    reason = str(getattr(error, "strerror", None) or getattr(error, "error_string", error))
    return reason[:1].lower() + reason[1:]
