"""The only door to another person's voice: whoever clones or converts one shows a consent, and the result carries a mark.

A bundled virtual voice belongs to nobody and needs no consent: name it ("f01") or give one of its utterances.

    consent = cloning.read_consent("consent.json")
    waveform = cloning.clone("me.wav", "Good evening.", consent)
    cloning.save("mine/evening.wav", waveform, consent)
    cloning.forget("mine")
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import audio, checkpoints, data
from course_utils.models import watermark
from course_utils.models.converter import Converter
from course_utils.models.tts_speech import TextToSpeech
from course_utils.models.watermark import Detection
from course_utils.recipes import converter, tts

INDEX = "made_by_the_course.json"
"""The list of what `save` wrote into a folder; `forget` deletes what stands in it."""
COMMENT = "synthetic speech: a voice cloned or converted by the audio and speech course, with consent"
SHORTEST = 0.5
"""Seconds of a reference."""
LONGEST = 60.0
"""Seconds of a reference that are used at most; more tells no more about a voice."""


class ConsentError(ValueError):
    """There is no consent, or it does not hold; the message says what to write."""


@dataclass(frozen=True)
class Consent:
    """Who allows what to be done with whose voice.

    Attributes:
        speaker: whose voice it is.
        given_by: who says yes: the speaker, or who may speak for them, such as a parent.
        purpose: what for.
        date: the day on which it was given, as "2026-11-29".

    Raises:
        ConsentError: a field is empty, or the date is none or in the future.
    """

    speaker: str
    given_by: str
    purpose: str
    date: str

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, str) or not value.strip():
                raise ConsentError(f"the consent says nothing of {field.name!r} (got {value!r}); {_EXAMPLE}")
        try:
            given = datetime.date.fromisoformat(self.date)
        except ValueError as error:
            raise ConsentError(
                f"the date of the consent is {self.date!r}, expected year-month-day as 2026-11-29"
            ) from error
        # Where the speaker lives it may be tomorrow already.
        if given > datetime.date.today() + datetime.timedelta(days=1):
            raise ConsentError(
                f"the consent is dated {self.date}, which is in the future; write the day it was given"
            )

    def save(self, path: str | os.PathLike) -> Path:
        """Write it as JSON, to be shown beside what is made with it."""
        return _write_json(Path(path), asdict(self))


_EXAMPLE = (
    'a consent is a file such as {"speaker": "Ada Example", "given_by": "Ada Example", "purpose": "to hear myself in '
    'notebook 05", "date": "2026-11-29"}: ask whoever speaks, write down their answer, and give its path'
)


def read_consent(path: str | os.PathLike) -> Consent:
    """The consent in a JSON file.

    Raises:
        ConsentError: no such file, no JSON, a field that is missing or unknown, or one that can not be right.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConsentError(f"there is no consent {os.fspath(path)}; {_EXAMPLE}") from error
    except OSError as error:
        raise ConsentError(f"the consent {os.fspath(path)} can not be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConsentError(f"the consent {os.fspath(path)} is no JSON ({error}); {_EXAMPLE}") from error
    names = [field.name for field in fields(Consent)]
    if not isinstance(entries, dict):
        raise ConsentError(f"the consent {os.fspath(path)} holds no named fields; {_EXAMPLE}")
    if missing := [name for name in names if name not in entries]:
        raise ConsentError(f"the consent {os.fspath(path)} lacks {', '.join(missing)}; {_EXAMPLE}")
    if unknown := [str(name) for name in entries if name not in names]:
        raise ConsentError(
            f"the consent {os.fspath(path)} has unknown fields ({', '.join(unknown)}); expected {', '.join(names)}"
        )
    return Consent(**entries)


def require_consent(reference: Any, consent: Any, speaker: str | None = None) -> Consent | None:
    """The consent that covers `reference`, or None for a bundled virtual voice, which needs none.

    Args:
        reference: waveform, file or virtual voice, as `clone` takes it.
        consent: a `Consent`, the path of one, or None.
        speaker: who is heard in the reference, where that is known; the consent must be about them.

    Raises:
        ConsentError: it is missing, can not be right, or is about somebody else.
    """
    if _is_virtual(reference):
        return None
    if consent is None:
        raise ConsentError(
            f"this reference is somebody's voice, and there is no consent; {_EXAMPLE}. The course's virtual voices, "
            'such as "f01", belong to nobody and need none'
        )
    if isinstance(consent, str | os.PathLike):
        consent = read_consent(consent)
    if not isinstance(consent, Consent):
        raise ConsentError(
            f"expected a Consent or the path of one, got a {type(consent).__name__}; {_EXAMPLE}"
        )
    heard = speaker if speaker is not None else getattr(reference, "speaker", None)
    if heard is not None and heard.strip().casefold() != consent.speaker.strip().casefold():
        raise ConsentError(
            f"the consent is about {consent.speaker!r}, and the reference is by {heard!r}: ask the person who is heard"
        )
    return consent


def clone(
    reference: Any,
    text: str,
    consent: Consent | str | os.PathLike | None = None,
    *,
    guidance: float = 0.5,
    speed: float = 1.0,
    pitch: float = 0.0,
    seed: int = 0,
    learn: int | None = None,
    said: str | None = None,
    model: Any = None,
    speaker: str | None = None,
) -> np.ndarray:
    """Say `text` in the voice of `reference` -> waveform (time,) at 16 kHz that carries the watermark.

    The synthesiser hears the voice, and then learns from the reference for some steps, which takes seconds. What it
    has learnt of the last reference is kept in memory until `forget` is called, or another voice is cloned.

    Args:
        reference: somebody who speaks for 0.5 s or longer: a waveform (time,), a file, a recording of `data`; or a
            bundled virtual voice, its name ("f01") or an utterance of it.
        text: English.
        consent: of the person who is heard, or the path of it; a bundled virtual voice needs none.
        guidance: how far away from an average voice, 0 for none.
        speed: 0.25 to 4 times as fast.
        pitch: semitones up or down.
        seed: the same words said another time.
        learn: steps of learning, 0 for a voice that is heard only; None: `recipes.tts.FIT_STEPS`.
        said: what is said in the reference; None: as the recogniser of notebook 03 understands it.
        model: a synthesiser with `embed` and `say`; None: the checkpoint "tts".
        speaker: who is heard in the reference, where you know it: the consent must be about them.

    Raises:
        ConsentError: no consent, or one that does not hold.
        ValueError: a reference without a voice, nothing to say, or a setting out of its range.
        CheckpointError: there is no synthesiser yet.
    """
    require_consent(reference, consent, speaker)
    voice = _sound(reference)
    model = checkpoints.load("tts") if model is None else model
    steps = _steps(learn, tts.FIT_STEPS if isinstance(model, TextToSpeech) else 0)
    if steps:
        model, numbers = _learnt(
            lambda: tts.fit(model, voice, said, steps), "clone", id(model), voice.tobytes(), said, steps
        )
    else:
        numbers = model.embed(voice)
    spoken = model.say(text, spk_emb=numbers, seed=seed, speed=speed, pitch=pitch, guidance=guidance)
    return watermark.embed(_at_most_full_scale(spoken))


def convert(
    source: Any,
    reference: Any,
    consent: Consent | str | os.PathLike | None = None,
    *,
    pitch: float | None = None,
    seed: int = 0,
    learn: int | None = None,
    model: Any = None,
    speaker: str | None = None,
) -> np.ndarray:
    """Say what `source` says in the voice of `reference` -> waveform (time,) at 16 kHz that carries the watermark.

    The converter learns from the reference first, as in `clone`.
    The consent is that of the person in `reference`, whose voice the result has.

    Args:
        source: what is said: a waveform (time,), a file, a recording or utterance of `data`.
        reference: who shall be heard, as in `clone`.
        consent: of the person in the reference, or the path of it; a bundled virtual voice needs none.
        pitch: semitones up or down; None: to the median of the target.
        seed: for a model that draws numbers.
        learn: steps of learning, 0 for a voice that is heard only; None: `recipes.converter.FIT_STEPS`.
        model: a converter with `convert(source, reference, pitch=)`; None: the checkpoint "converter".
        speaker: who is heard in the reference, where you know it: the consent must be about them.

    Raises:
        ConsentError: no consent, or one that does not hold.
        ValueError: a source or reference without a voice.
        CheckpointError: there is no converter yet.
    """
    require_consent(reference, consent, speaker)
    spoken, voice = _sound(source, "the source"), _sound(reference)
    model = checkpoints.load("converter") if model is None else model
    steps = _steps(learn, converter.FIT_STEPS if isinstance(model, Converter) else 0)
    _seed(seed)
    if steps:
        model = _learnt(
            lambda: converter.fit(model, voice, steps), "convert", id(model), voice.tobytes(), steps
        )
    return watermark.embed(_at_most_full_scale(model.convert(spoken, voice, pitch=pitch)))


_LAST: dict[str, Any] = {}
"""What was learnt of the last reference by "clone" and by "convert", and a digest of what it depends on: the next text
or source does not wait for it."""


def _learnt(fit: Callable[[], Any], way: str, *given: Any) -> Any:
    key = hashlib.sha256(repr(given).encode()).digest()
    if _LAST.get(way, (None,))[0] != key:
        _LAST[way] = (key, fit())
    return _LAST[way][1]


def _steps(learn: int | None, usual: int) -> int:
    if learn is None:
        return usual
    if isinstance(learn, bool) or not isinstance(learn, int) or learn < 0:
        raise ValueError(f"learn: expected a number of steps, 0 for none, got {learn!r}")
    return learn


def detect_watermark(waveform: Any) -> Detection:
    """Whether a waveform (time,) or file carries the watermark of `clone` and `convert`.

    Raises:
        AudioError: no mono waveform of finite floats, or no sound file.
    """
    return watermark.detect(audio.load(waveform) if isinstance(waveform, str | os.PathLike) else waveform)


# --- where a voice is kept, and how it is forgotten -----------------------------------------------------


def save(path: str | os.PathLike, waveform: np.ndarray, consent: Consent | None = None) -> Path:
    """Write a cloned or converted waveform (time,), and the consent beside it as `NAME.consent.json`.

    A list in the same folder says what was written, so that `forget` can delete it. A sound without the
    watermark gets it first. `consent` is None only for a bundled virtual voice.

    Raises:
        ConsentError: `consent` is something else.
        AudioError: the place can not be written, or the format is unknown.
    """
    if consent is not None and not isinstance(consent, Consent):
        raise ConsentError(f"expected a Consent, got a {type(consent).__name__}; {_EXAMPLE}")
    path = Path(path)
    if path.is_symlink():
        raise audio.AudioError(
            f"can not write {path}: it is a link, and may lead out of the folder you chose"
        )
    waveform = _at_most_full_scale(audio.check(waveform))
    if not watermark.detect(waveform).found:
        waveform = watermark.embed(waveform)
    beside = path.with_name(f"{path.name}.consent.json")
    # Into the list first: if the writing breaks off, `forget` still finds what is there.
    _remember(path.parent, [path.name, *([beside.name] if consent is not None else [])])
    if consent is not None:
        consent.save(beside)
    return audio.save(path, waveform, comment=COMMENT)


def forget(folder: str | os.PathLike) -> list[str]:
    """Delete what `save` and `keep` wrote into a folder, and the list of it; nothing else, and nothing outside of it.

    What was learnt of a voice is forgotten, too.

    Returns:
        the names of the deleted files.

    Raises:
        ValueError: no such folder, or its list is damaged.
    """
    folder = Path(folder)
    _LAST.clear()
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}, so there is nothing to forget in it")
    deleted = []
    for name in _listed(folder):
        file = folder / name
        if file.is_symlink() or (file.exists() and stat.S_ISREG(file.lstat().st_mode)):
            file.unlink()  # of a link the link itself, never what it leads to
            deleted.append(name)
    index = folder / INDEX
    if index.is_symlink() or index.exists():
        index.unlink()
        deleted.append(INDEX)
    return deleted


def keep(path: str | os.PathLike, recording: np.ndarray, consent: Consent) -> Path:
    """Write a learner's own recording (time,), as it is and without a mark, with the consent beside it; `forget` deletes both.

    Raises:
        ConsentError: no consent.
        AudioError: the place can not be written.
    """
    path = Path(path)
    require_consent(recording, consent)
    if path.is_symlink():
        raise audio.AudioError(
            f"can not write {path}: it is a link, and may lead out of the folder you chose"
        )
    beside = path.with_name(f"{path.name}.consent.json")
    _remember(path.parent, [path.name, beside.name])
    consent.save(beside)
    return audio.save(path, recording)


def _remember(folder: Path, names: list[str]) -> None:
    if not folder.is_dir():
        raise audio.AudioError(f"can not write into {folder}: there is no such folder; make it first")
    _write_json(folder / INDEX, list(dict.fromkeys([*_listed(folder), *names])))


def _listed(folder: Path) -> list[str]:
    """Names of files in `folder` that this module wrote; never a path that leads elsewhere."""
    index = folder / INDEX
    if not index.exists() or index.is_symlink():
        return []
    try:
        names = json.loads(index.read_text(encoding="utf-8"))
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("expected a list of names")
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{index} is damaged ({error}); delete the files of this folder by hand") from error
    return [
        name for name in names if name not in ("", ".", "..") and Path(name).name == name and "\\" not in name
    ]


def _write_json(path: Path, entries: Any) -> Path:
    """Replace `path` once the new content is complete; a link is replaced, not followed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise audio.AudioError(f"can not write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
    return path


# --- what a reference can be ----------------------------------------------------------------------------


def _is_virtual(reference: Any) -> bool:
    """Whether this is a voice of the corpus: the name of one, unless a file is called so, or an utterance of one."""
    if isinstance(reference, data.Utterance):
        return True
    if not isinstance(reference, str) or os.path.exists(reference):
        return False
    try:
        return reference in {voice.name for voice in data.voices()}
    except data.DataError:  # no corpus, so no voice of it is meant
        return False


def _sound(source: Any, name: str = "the reference") -> np.ndarray:
    """The waveform (time,) of all that a reference or source can be."""
    if isinstance(source, data.Utterance | data.Recording):
        waveform = source.audio
    elif isinstance(source, str) and _is_virtual(source):
        waveform = _longest_sentence(source)
    elif isinstance(source, str | os.PathLike):
        try:
            waveform = audio.load(source)
        except audio.AudioError as error:
            if not os.path.exists(source):
                error.add_note('A bundled virtual voice is named as "f01"; `data.voices()` lists them.')
            raise
    else:
        waveform = source
    limit = LONGEST if name == "the reference" else None
    waveform = audio.check(waveform, name, min_seconds=SHORTEST)
    if np.abs(waveform).max() < 1e-4:
        raise audio.AudioError(f"{name} is silent, so there is no voice in it")
    return waveform if limit is None else waveform[: int(limit * audio.SAMPLE_RATE)]


def _longest_sentence(voice: str) -> np.ndarray:
    return max(data.speech(voice=voice, kind="sentence"), key=lambda one: one.duration).audio


def _at_most_full_scale(waveform: np.ndarray) -> np.ndarray:
    peak = float(np.abs(waveform).max(initial=0.0))
    return waveform / peak if peak > 1 else waveform


def _seed(seed: int) -> None:
    import torch

    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ValueError(f"seed: expected a whole number, got {seed!r}")
    torch.manual_seed(int(seed))
