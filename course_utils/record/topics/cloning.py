"""Notebook 05: who is told apart, copies of voices beside the nearest voice that was known, and what adapting brings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from course_utils import checkpoints, data, fingerprint, paths, peers, shipped, tables
from course_utils.peers import speecht5
from course_utils.recipes import tts as recipe
from course_utils.record import likeness, results, speakers
from course_utils.record.entry import (
    OURS,
    Entry,
    Unfinished,
    by_column,
    checkpoint_key,
    differences,
    load,
    rows_of,
    sample_of,
)
from course_utils.record.grids import seed_of, summarise
from course_utils.record.topics import tts as speech

NOTEBOOK = "05"
LADDER = "speaker_encoder"
CHECKPOINTS = ("speaker_encoder", "speecht5")
LIBRARIES = ("resemblyzer", "faster-whisper", "librosa", "onnxruntime", "numpy", "torch")

REAL, VIRTUAL = "real readers", "virtual voices"
CLONED = {
    REAL: "cloning: real readers of LibriSpeech, never heard in training, from one reference",
    VIRTUAL: "cloning: virtual voices never heard in training, from one reference",
}
FEW_SHOT = "few-shot"
ENCODER_COST = "encoder: what it costs"
GRIDS = {
    **CLONED,
    FEW_SHOT: "cloning: virtual voices never heard in training, after learning from a little of their speech",
    **{grid: grid for grid in speakers.GRIDS},
    ENCODER_COST: ENCODER_COST,
}

TRUE, VOCODED = "another recording", "another recording, vocoded"
NEAREST = "nearest training voice (control)"
MEAN = "mean voice (control)"
RANDOM = "random voice (control)"
LIBRARY = "SpeechT5"
HEARD = f"{OURS}, heard only"
"""Without learning from the reference: what the voice encoder alone can do."""
STRENGTHS = (0.0, 0.5, 1.0, 2.0)
"""Of the guidance of a voice that is heard only; what is not asked for otherwise is `USUAL`."""
USUAL = 0.5
SHORTEST = 3.0
"""Seconds of a reference, at least."""

PARTS = {
    "nothing": "nothing: the voice is heard",
    "embedding": "the numbers of the voice",
    "norms": "and the shifts of the layer norms",
    "lora": "and updates of rank 4 (LoRA)",
    "everything": "everything",
}
SECONDS = (5, 20, 60)
FEW = ("f30", "m30", "f31", "m31")
"""Voices that are adapted to."""
OTHERS = ("f01", "m01", "f10", "m10")
"""Training voices of which it is asked whether they are forgotten."""
_SAMPLE = 2


def require() -> None:
    """DataError where the readers or the corpus are not here."""
    targets(REAL), targets(VIRTUAL)


def material() -> str:
    """Fingerprint of the speech that a rung learns from and is measured on."""
    return _sounds()


def _sounds() -> str:
    return fingerprint.digest(
        shipped.manifest().speech_key, shipped.manifest().files["real/index.jsonl"]["sha256"]
    )


def rung_figures(model: torch.nn.Module) -> dict[str, float]:
    """Equal error rates of a rung of the encoder's ladder."""
    return speakers.rung_figures(model)


def card_figures(model: torch.nn.Module) -> dict[str, str]:
    """For the cards: equal error rates of the encoder with their intervals; of a SpeechT5 how many words are wrong."""
    try:
        if hasattr(model, "speech_decoder_postnet"):
            return library_figures(model)
        figures = {}
        for grid in speakers.GRIDS:
            found = speakers.measure(grid, OURS, lambda x: speakers.embedded(model, x))
            for seconds, row in found.items():
                figures[f"EER in %, {grid.partition(': ')[2]}, {seconds}"] = tables.with_interval(
                    row["eer"], 1
                )
        return figures
    except (data.DataError, peers.MissingPeer, checkpoints.CheckpointError) as missing:
        return {"not measured": str(missing)}  # a machine for training may not have them


def library_figures(model: torch.nn.Module) -> dict[str, str]:
    """Words that are wrong in what a SpeechT5 of the course says in 24 unseen voices, a sentence each, in %."""
    library, rows = speecht5.of_model(model, load("vocoder")), []
    for target in targets(VIRTUAL):
        voice = load("speaker_encoder").embed(target.reference())
        waveform = library.sound(library.log_mel(target.text, voice))
        wrong, words = speech.word_errors(target.text, _whisper().transcribe(waveform))
        rows.append({"voice": target.voice, "words": words, "wer": wrong / words})
    return {"WER by Whisper, %": _shown(summarise(rows, ("wer",))["wer"], 1, 100)}


# --- who is copied, and what the copy says -------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Target:
    """A voice that is copied from `reference()` (time,), and says `text`.

    `recording()` (time,) is other speech of the voice with the words `own`; the voice itself is described by other
    clips than these two, `gallery()`.
    """

    id: str
    voice: str
    sex: str
    text: str
    own: str | None
    reference: Callable[[], np.ndarray]
    recording: Callable[[], np.ndarray]
    gallery: Callable[[], list[np.ndarray]]


@cache
def targets(grid: str) -> tuple[Target, ...]:
    """The fixed material of a grid of cloning.

    Virtual voices say a sentence each; readers, of whom there is one recording each, one. That recording is cut:
    its first part, three seconds at least, is the reference and the recording; the rest describes the voice. Both come
    from one room on one day, so readers look easier to copy than they are.

    Raises:
        ValueError: this grid has none.
    """
    if grid == VIRTUAL:
        return tuple({one.voice: one for one in reversed(sentences())}.values())[::-1]
    if grid == REAL:
        texts = [item.text for item in speech.items("sentences")]
        return tuple(
            Target(
                one.id, str(one.speaker), one.sex, text, None,
                lambda one=one: cut(one.audio)[0], lambda one=one: cut(one.audio)[0], lambda one=one: [cut(one.audio)[1]],
            )
            for one, text in zip(data.real("librispeech", "test"), texts, strict=False)
        )  # fmt: skip
    raise ValueError(f"there are no targets of {grid!r}; there are of {', '.join(CLONED)}")


@cache
def sentences() -> tuple[Target, ...]:
    """Three sentences for each of the virtual test voices."""
    sexes = {voice.name: voice.sex for voice in data.voices("test")}
    said = {one.id: one.text for one in data.speech("test")}
    return tuple(
        Target(
            item.id, item.voice, sexes[item.voice], item.text, said[item.id],
            partial(speech.reference, item.voice), item.sound, partial(_gallery, item.voice),
        )
        for item in speech.items("unseen voices")
    )  # fmt: skip


def cut(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A recording (time,) in two: the first half, three seconds at least, and the rest."""
    middle = max(int(SHORTEST * paths.SAMPLE_RATE), len(waveform) // 2)
    return waveform[:middle], waveform[middle:]


def _gallery(voice: str) -> list[np.ndarray]:
    hidden = {item.id for item in speech.items("unseen voices") if item.voice == voice}
    reference = speech.reference(voice)
    found = []
    for one in data.speech("test", voice, "sentence"):
        if one.id not in hidden and len(found) < speech.GALLERY:
            waveform = one.audio
            if len(waveform) != len(reference) or not np.array_equal(waveform, reference):
                found.append(waveform)
    return found


@cache
def _voice(grid: str, voice: str, judge: str) -> tuple[np.ndarray, int]:
    """The voice as a judge describes it (dim,), and the number of the nearest known one."""
    one = next(one for one in targets(grid) if one.voice == voice)
    target = likeness.middle(np.stack([likeness.ear(judge)(clip) for clip in one.gallery()]))
    return target, likeness.known(judge).nearest(target)


def judged(grid: str, target: Target, waveform: np.ndarray) -> dict[str, float]:
    """How like the target a waveform (time,) is, for every judge that is here: `clone_`, `same_` and `nearest_` with its name.

    `same` is a recording of the voice, `nearest` the mean of three clips of the known voice that is most like it.
    """
    found = {}
    for judge in likeness.judges():
        voice, nearest = _voice(grid, target.voice, judge)
        hear = likeness.ear(judge)
        found[f"clone_{judge}"] = float(hear(waveform) @ voice)
        found[f"same_{judge}"] = float(hear(target.recording()) @ voice)
        found[f"nearest_{judge}"] = float(np.mean(likeness.known(judge).clips[nearest] @ voice))
    return found


# --- the systems ---------------------------------------------------------------------------------------


@cache
def _heard(grid: str, voice: str) -> np.ndarray:
    """A voice as the synthesiser hears it in its reference."""
    return load("tts").embed(next(one for one in targets(grid) if one.voice == voice).reference())


def mean_voice(model: Any) -> np.ndarray:
    """The mean (voice,) of the named voices: nobody in particular."""
    return likeness.middle(np.stack([model.voice(name) for name in model.speakers]))


def nearest_voice(model: Any, target: np.ndarray) -> np.ndarray:
    """The named voice (voice,) that Resemblyzer finds most like an embedding (256,)."""
    known = likeness.known("resemblyzer", named=True)
    return model.voice(known.names[known.nearest(target)])


def _copy(grid: str, strength: float, target: Target) -> np.ndarray:
    return _say(target, _heard(grid, target.voice), strength)


def _learnt(grid: str, target: Target) -> np.ndarray:
    model, voice = _fitted(grid, target.voice)
    return _say(target, voice, model=model)


@cache
def _fitted(grid: str, voice: str) -> tuple[Any, np.ndarray]:
    """As `cloning.clone` does: some steps on the reference, in the words that the recogniser understood."""
    reference = next(one for one in targets(grid) if one.voice == voice).reference()
    return recipe.fit(load("tts"), reference)


def _say(target: Target, voice: np.ndarray, strength: float = USUAL, model: Any = None) -> np.ndarray:
    model = load("tts") if model is None else model
    return model.say(target.text, spk_emb=voice, seed=seed_of(target.id), guidance=strength)


def _nearest(grid: str, target: Target) -> np.ndarray:
    return _say(target, nearest_voice(load("tts"), _voice(grid, target.voice, "resemblyzer")[0]))


def _mean(target: Target) -> np.ndarray:
    return _say(target, mean_voice(load("tts")))


def _random(target: Target) -> np.ndarray:
    size = load("tts").voices.shape[1]
    return _say(target, np.random.default_rng(seed_of("random voice", target.id)).normal(size=size))


def _recorded(target: Target) -> np.ndarray:
    return target.recording()


def _vocoded(target: Target) -> np.ndarray:
    return speech.vocoded(target.recording(), load("vocoder"))


def _row(grid: str, speak: Callable[[Target], np.ndarray], spoken: bool, target: Target) -> dict[str, Any]:
    """`spoken`: it says the text; else it is a recording, with words of its own, which are known of virtual voices."""
    waveform, text = speak(target), target.text if spoken else target.own
    row = {"voice": target.voice, "sex": target.sex, **judged(grid, target, waveform)}
    if text is not None:
        wrong, words = speech.word_errors(text, _whisper().transcribe(waveform))
        row |= {"words": words, "wer": wrong / words}
    return row


_whisper = cache(peers.WhisperTiny)


# --- what is recorded ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _System:
    key: str
    row: Callable[[Target], dict[str, Any]]


def _keys() -> tuple[str | None, str | None, str]:
    """Fingerprints of vocoder, of synthesiser with vocoder, and of the encoder; None (the last: "") where one is not there."""
    there = checkpoints.available()
    vocoder = checkpoint_key("vocoder") if "vocoder" in there else None
    whole = fingerprint.digest(checkpoint_key("tts"), vocoder) if vocoder and "tts" in there else None
    return vocoder, whole, checkpoint_key("speaker_encoder") if "speaker_encoder" in there else ""


def _systems() -> dict[str, dict[str, _System]]:
    """All copies that are measured: {grid: {system: how}}."""
    vocoder, whole, encoder = _keys()
    found: dict[str, dict[str, _System]] = {grid: {} for grid in CLONED}
    codes: dict[str, str] = {}
    for grid in CLONED:
        copies = {HEARD if s == USUAL else f"{HEARD}, guidance {s:g}": s for s in STRENGTHS}
        ways = {
            TRUE: ("", _recorded, "_recorded", False),
            VOCODED: (vocoder, _vocoded, "_vocoded", False),
            OURS: (whole, partial(_learnt, grid), "_learnt", True),
            **{name: (whole, partial(_copy, grid, s), "_copy", True) for name, s in copies.items()},
            NEAREST: (whole, partial(_nearest, grid), "_nearest", True),
            MEAN: (whole, _mean, "_mean", True),
            RANDOM: (whole, _random, "_random", True),
        }
        for name, (key, speak, used, spoken) in ways.items():
            if key is not None:  # a checkpoint that is not there yet is left out
                if used not in codes:  # to follow code takes a while
                    codes[used] = fingerprint.code("record.topics.cloning", "_row", used)
                key = fingerprint.digest(key, encoder, codes[used], _sounds(), [grid, name])
                found[grid][name] = _System(key, partial(_row, grid, speak, spoken))
    return found


def entries() -> Iterator[Entry]:
    """Every copy on its grid, every part that adapts with every length of speech, and the encoders."""
    for grid, systems in _systems().items():
        for name, system in systems.items():
            yield Entry(grid, name, system.key, partial(_grid, grid, name, system),
                        partial(_grid_sample, grid, name, system))  # fmt: skip
    _, whole, encoder = _keys()
    if whole:
        code = fingerprint.code("record.topics.cloning", "adapted_rows")
        for part in PARTS:
            for seconds in SECONDS:
                key = fingerprint.digest(whole, encoder, code, _sounds(), [part, seconds])
                yield Entry(FEW_SHOT, few_shot_name(part, seconds), key, partial(_adapt, part, seconds, key),
                            partial(_adapt_sample, part, seconds))  # fmt: skip
    code = fingerprint.code("record.speakers", "measure", "GRIDS")
    for grid in speakers.GRIDS:
        for name in speakers.SYSTEMS:
            if name != OURS or encoder:
                key = fingerprint.digest(code, _sounds(), [grid, name], encoder if name == OURS else "")
                yield Entry(grid, name, key, partial(_told_apart, grid, name),
                            partial(_told_apart_sample, grid, name))  # fmt: skip
    if encoder:
        key = fingerprint.digest(encoder, fingerprint.code("record.topics.cloning", "_encoder_cost"))
        yield Entry(ENCODER_COST, OURS, key, _encoder_cost, _encoder_cost_sample)


def _grid(grid: str, name: str, system: _System) -> dict[str, Any]:
    rows = rows_of(targets(grid), system.row, system.key, f"{name} on {grid}")
    return {**_summary(rows), "each": by_column(rows)}


def _summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means with 95 % intervals over voices: of the cosines, the WER, and the share of the gap; by sex, too."""
    return {
        "count": len(rows),
        "known": {judge: len(likeness.known(judge).names) for judge in _judges_of(rows)},
        "mean": _means(rows),
        "by sex": {sex: _means([row for row in rows if row["sex"] == sex]) for sex in ("f", "m")},
    }


def _judges_of(rows: Sequence[dict[str, Any]]) -> list[str]:
    return [judge for judge in likeness.JUDGES if f"clone_{judge}" in rows[0]]


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        return {}
    columns = [
        column for column in rows[0] if column.partition("_")[0] in ("clone", "same", "nearest", "wer")
    ]
    found = dict(summarise(rows, columns))
    return found | {f"gap_{judge}": likeness.gap_interval(rows, judge) for judge in _judges_of(rows)}


def _grid_sample(grid: str, name: str, system: _System, record: dict[str, Any]) -> list[str]:
    return sample_of(targets(grid), system.row, record, _SAMPLE, grid, name)


# --- adapting ------------------------------------------------------------------------------------------


def few_shot_name(part: str, seconds: float) -> str:
    """What an entry is called."""
    return f"{part}, {seconds:g} s"


def learning_clips(voice: str, seconds: float) -> tuple[recipe.Speech, list[int]]:
    """Speech of a test voice, and the numbers of clips to learn from: none that the voice is measured by."""
    kept = {one.id: (one.phones, one.durations) for one in data.speech("test", voice)}
    tested = {kept[target.id] for target in sentences() if target.voice == voice}
    galleries = {one.tobytes() for one in _gallery(voice)}
    tested |= {
        kept[one.id] for one in data.speech("test", voice, "sentence") if one.audio.tobytes() in galleries
    }
    own = recipe.Speech("test", rates=(1.0,), voice=voice)
    return own, recipe.first_clips(own, seconds, tested)


def adapted_rows(part: str, seconds: float, voice: str) -> list[dict[str, Any]]:
    """What the synthesiser says in a voice, and in `OTHERS`, after learning from `seconds` of that voice: a row a sentence."""
    model, (own, clips) = load("tts"), learning_clips(voice, seconds)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    start = time.process_time()
    adapted, numbers, learnt = recipe.adapt(model, own, clips, part)
    spent = time.process_time() - start
    torch.set_num_threads(threads)
    kept = part in ("nothing", "embedding")  # no weight of the model changes
    shared = {"learnt": learnt, "spent": spent, "forgotten": 0.0 if kept else forgotten(adapted)}
    rows = []
    for target in (one for one in sentences() if one.voice == voice):
        waveform = adapted.say(target.text, spk_emb=numbers, seed=seed_of(target.id))
        wrong, words = speech.word_errors(target.text, _whisper().transcribe(waveform))
        rows.append({"id": target.id, "voice": voice, "sex": target.sex, "words": words, "wer": wrong / words,
                     **judged(VIRTUAL, target, waveform), **shared})  # fmt: skip
    return rows


def forgotten(after: Any) -> float:
    """By how much Resemblyzer's cosine of four training voices to themselves is below that of the shipped synthesiser."""
    return float(np.mean([_itself("tts", name) - _to_itself(after, name) for name in OTHERS]))


def _to_itself(model: Any, name: str) -> float:
    hear, known = likeness.ear("resemblyzer"), likeness.known("resemblyzer", named=True)
    target = likeness.middle(known.clips[known.names.index(name)])
    text, strength = speech.items("sentences")[0].text, recipe.LEARNT_GUIDANCE  # the same before and after
    return float(hear(model.say(text, name, seed=seed_of(name), guidance=strength)) @ target)


@cache
def _itself(checkpoint: str, name: str) -> float:
    return _to_itself(load(checkpoint), name)


def _adapt(part: str, seconds: float, key: str) -> dict[str, Any]:
    with Unfinished(key) as unfinished:
        for voice in tqdm(FEW, few_shot_name(part, seconds), delay=2):
            if not any(row["voice"] == voice for row in unfinished.rows.values()):
                unfinished.add(adapted_rows(part, seconds, voice))
        rows = list(unfinished.rows.values())
    found = _summary(rows)
    for name in ("learnt", "spent", "forgotten"):
        found["mean"][name] = (float(np.mean([row[name] for row in rows])), None, None)
    return {**found, "each": {column: [row[column] for row in rows] for column in rows[0]}}


def _adapt_sample(part: str, seconds: float, record: dict[str, Any]) -> list[str]:
    """One voice again; seconds of computing are those of a machine and a day."""
    found = []
    for row in adapted_rows(part, seconds, FEW[0]):
        at = record["each"]["id"].index(row["id"]) if row["id"] in record["each"]["id"] else None
        if at is None:
            return [f"the targets of {FEW_SHOT} are others"]
        old = {column: values[at] for column, values in record["each"].items()}
        row.pop("spent")
        found += differences(row, old, f"{few_shot_name(part, seconds)}, {row['id']},", absolute=0.02)
    return found


# --- encoders ------------------------------------------------------------------------------------------


def _told_apart(grid: str, name: str) -> dict[str, Any]:
    if name == speakers.PEER and (sentence := peers.Resemblyzer().missing()):
        raise peers.MissingPeer(sentence)
    return {"seconds": speakers.measure(grid, name)}


def _told_apart_sample(grid: str, name: str, record: dict[str, Any]) -> list[str]:
    """The equal error rates again, without Resemblyzer beside them."""
    found = []
    for seconds, row in _told_apart(grid, name)["seconds"].items():
        old = record["seconds"].get(seconds, {"eer": [None]})
        found += differences(
            {"EER": row["eer"][0]}, {"EER": old["eer"][0]}, f"{name}, {grid}, {seconds}", absolute=0.1
        )
    return found


def _encoder_cost() -> dict[str, Any]:
    return speakers.cost(load("speaker_encoder"))


def _encoder_cost_sample(record: dict[str, Any]) -> list[str]:
    count = sum(p.numel() for p in load("speaker_encoder").parameters()) / 1e6
    return differences({"parameters": count}, record, ENCODER_COST)


# --- the tables ----------------------------------------------------------------------------------------

_NOTHING = {"system": "nothing recorded yet: course scoreboard cloning"}
_NO_LIBRARY = {
    "system": f"{LIBRARY} (transformers)",
    "note": "not recorded: its weights, and the x-vectors that it was trained with, are downloads; peers.speecht5.load(online=True)",
}


def records(grid: str) -> dict[str, dict[str, Any]]:
    """What was recorded on a grid, by system."""
    return results.read("cloning").get("systems", {}).get(grid, {})


def figure(grid: str, name: str, column: str, sex: str | None = None) -> tuple[float | None, ...]:
    """A recorded figure: (mean, low, high), of one sex if wanted; nan where it was not recorded. Shares and WER from 0 to 1."""
    record = records(grid).get(name, {})
    found = (record.get("by sex", {}).get(sex, {}) if sex else record.get("mean", {})).get(column)
    return tuple(found) if found else (float("nan"),) * 3


def _shown(values: Sequence[float | None], digits: int, scale: float = 1.0) -> str:
    if values[0] is None or values[0] != values[0]:
        return "–"
    if (
        len(values) == 1 or values[1] is None or values[1] != values[1]
    ):  # no interval was asked for, or there is none
        return f"{scale * values[0]:.{digits}f}"
    return tables.with_interval([scale * v for v in values], digits)


def table(grid: str) -> tables.MarkdownTable:
    """The recorded table of a grid.

    Raises:
        ValueError: there is no such grid.
    """
    if grid not in GRIDS:
        raise ValueError(f"there is no grid {grid!r}; there are {', '.join(GRIDS)}")
    there = records(grid)
    if not there:
        return tables.table([_NOTHING])
    if grid in CLONED:
        return tables.table(
            [_copy_line(grid, name) for name in there] + ([_NO_LIBRARY] if grid == REAL else [])
        )
    if grid == FEW_SHOT:
        return tables.table(
            [_few_line(part, s) for part in PARTS for s in SECONDS if few_shot_name(part, s) in there]
        )
    if grid == ENCODER_COST:
        rows = [
            {"system": name, "parameters": f"{r['parameters']:.2f} M", "RTF": f"{r['rtf']:.4f}"}
            for name, r in there.items()
        ]
        return tables.table(rows)
    return tables.table([_encoder_line(name, record) for name, record in there.items()])


def _copy_line(grid: str, name: str) -> dict[str, Any]:
    line: dict[str, Any] = {"system": name, "clips": records(grid)[name]["count"]}
    for judge, title in likeness.JUDGES.items():
        line[f"share of the gap, %, {title}"] = _shown(figure(grid, name, f"gap_{judge}"), 0, 100)
    for sex, title in (("f", "women"), ("m", "men")):
        line[f"{title} (Resemblyzer)"] = _shown(figure(grid, name, "gap_resemblyzer", sex), 0, 100)
    line["cosine, Resemblyzer"] = _shown(figure(grid, name, "clone_resemblyzer")[:1], 2)
    line["WER, %"] = _shown(figure(grid, name, "wer"), 1, 100)
    return line


def _few_line(part: str, seconds: float) -> dict[str, Any]:
    name = few_shot_name(part, seconds)
    plain = lambda column: figure(FEW_SHOT, name, column)[0]  # noqa: E731
    return {
        "what learns": PARTS[part], "numbers": f"{plain('learnt'):,.0f}", "speech": f"{seconds} s",
        **{f"share of the gap, %, {title}": _shown(figure(FEW_SHOT, name, f"gap_{judge}"), 0, 100)
           for judge, title in likeness.JUDGES.items()},
        "WER, %": _shown(figure(FEW_SHOT, name, "wer"), 1, 100),
        "others: cosine lost": f"{plain('forgotten'):.3f}", "seconds of training": f"{plain('spent'):.0f}",
    }  # fmt: skip


def _encoder_line(name: str, record: dict[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = {"system": name}
    for seconds, row in record["seconds"].items():
        line[f"EER, %, {seconds}"] = tables.with_interval(row["eer"], 1)
        line[f"same sex, {seconds}"] = f"{row['same_sex']:.1f}"
        line[f"below Resemblyzer, {seconds}"] = (
            tables.with_interval(row["ahead"], 1) if "ahead" in row else "–"
        )
    return line


def share(name: str = OURS, grid: str = VIRTUAL, judge: str = "resemblyzer") -> float:
    """Recorded share of the gap of one system, nan where there is none."""
    return float(figure(grid, name, f"gap_{judge}")[0])


def by_strength(grid: str) -> dict[float, tuple[float, float]]:
    """Recorded share of the gap (Resemblyzer) and WER by strength of the guidance."""
    names = {s: HEARD if s == USUAL else f"{HEARD}, guidance {s:g}" for s in STRENGTHS}
    return {
        s: (figure(grid, name, "gap_resemblyzer")[0], figure(grid, name, "wer")[0])
        for s, name in names.items()
        if name in records(grid)
    }


def few_shot(part: str, column: str = "gap_resemblyzer") -> dict[int, float]:
    """A recorded figure by seconds of speech."""
    found = {s: figure(FEW_SHOT, few_shot_name(part, s), column)[0] for s in SECONDS}
    return {s: value for s, value in found.items() if value == value}


def reading(grid: str) -> str:
    """The recorded table of a grid in sentences, "" where nothing was recorded."""
    there = records(grid)
    if grid in CLONED and OURS in there:
        return _reading_of_copies(grid)
    if grid == FEW_SHOT and few_shot("nothing"):
        return _reading_of_few()
    if grid in speakers.GRIDS and OURS in there and speakers.PEER in there:
        return _reading_of_encoders(grid)
    return ""


def verdict(low: float, high: float) -> str:
    """What an interval of a share of the gap says of copies."""
    if not low <= high:
        return "no interval is known, so nothing is said"
    if low > 0:
        return "copies are nearer than the nearest voice in training"
    if high < 0:
        return "copies are farther off than the nearest voice in training"
    return "copies and the nearest voice in training can not be told apart by this"


def _reading_of_copies(grid: str) -> str:
    mean, low, high = figure(grid, OURS, "gap_resemblyzer")
    found = f"By Resemblyzer this course recovers {100 * mean:.0f} % of the gap"
    found += (
        f" ({100 * low:.0f} to {100 * high:.0f}): {verdict(low, high)}"
        if low is not None and low == low
        else ""
    )
    if HEARD in records(grid):
        found += f". Without its {recipe.FIT_STEPS} steps of learning on the reference it is {100 * share(HEARD, grid):.0f} %"
    if VOCODED in records(grid):
        found += f". The vocoder alone leaves {100 * share(VOCODED, grid):.0f} % of it"
    controls = [name for name in (NEAREST, MEAN, RANDOM) if name in records(grid)]
    if controls:
        best = max(controls, key=lambda name: share(name, grid))
        found += f"; the best control is the {best.removesuffix(' (control)')} with {100 * share(best, grid):.0f} %"
    women, men = (figure(grid, OURS, "gap_resemblyzer", sex)[0] for sex in "fm")
    return f"{found}. Women {100 * women:.0f} %, men {100 * men:.0f} %."


def _reading_of_few() -> str:
    at = SECONDS[1]
    found = {part: few_shot(part).get(at) for part in PARTS}
    found = {part: value for part, value in found.items() if value is not None}
    best = max(found, key=found.__getitem__)
    sentence = f"With {at} s of speech {best} recovers the most of the gap, {100 * found[best]:.0f} %"
    if "nothing" in found and best != "nothing":
        sentence += f" (hearing alone {100 * found['nothing']:.0f} %)"
    small = [part for part in found if few_shot(part, "learnt").get(at, 1e9) <= 5000]
    leader = max(small, key=found.__getitem__)
    sentence += f"; with at most 5,000 numbers it is {leader}, {100 * found[leader]:.0f} %"
    lost = {part: few_shot(part, "forgotten").get(at, 0.0) for part in found}
    most = max(lost, key=lost.__getitem__)
    sentence += (
        f". {most.capitalize()} forgets the most of other voices, {lost[most]:.3f} of their cosine"
        if lost[most] > 5e-4
        else ". No other voice is forgotten"
    )
    return sentence + "."


def _reading_of_encoders(grid: str) -> str:
    sentences = []
    for seconds, row in records(grid)[OURS]["seconds"].items():
        theirs = records(grid)[speakers.PEER]["seconds"][seconds]["eer"][0]
        sentence = f"At {seconds} this course is at {row['eer'][0]:.1f} %, Resemblyzer at {theirs:.1f} %"
        if "ahead" in row:
            low, high = row["ahead"][1:]
            sentence += "" if low > 0 or high < 0 else ", which their intervals do not tell apart"
        sentences.append(sentence + ".")
    return " ".join(sentences)


def headline() -> list[dict[str, str]]:
    """Share of the gap of real and virtual voices, and equal error rates, beside the best of the others."""
    rows = []
    for grid in CLONED:
        if OURS in records(grid):
            controls = [name for name in (NEAREST, MEAN, RANDOM) if name in records(grid)]
            best = max(controls, key=lambda name: share(name, grid), default=None)
            rows.append({
                "task": "voice cloning" if not rows else "", "measured on": GRIDS[grid].partition(": ")[2],
                "measure": "share of the gap, % (higher is better)",
                OURS: _shown(figure(grid, OURS, "gap_resemblyzer"), 0, 100),
                "best of the others": f"{best}: {_shown(figure(grid, best, 'gap_resemblyzer'), 0, 100)}" if best else "–",
            })  # fmt: skip
    for number, grid in enumerate(grid for grid in speakers.GRIDS if OURS in records(grid)):
        ours, theirs = (records(grid).get(name, {}).get("seconds", {}) for name in (OURS, speakers.PEER))
        seconds = "2 s" if "2 s" in ours else next(iter(ours))
        rows.append({
            "task": "speaker encoder" if number == 0 else "", "measured on": f"{grid.partition(': ')[2]}, {seconds}",
            "measure": "EER, % (lower is better)", OURS: tables.with_interval(ours[seconds]["eer"], 1),
            "best of the others": f"{speakers.PEER}: {tables.with_interval(theirs[seconds]['eer'], 1)}" if seconds in theirs else "–",
        })  # fmt: skip
    return rows


def text() -> str:
    """All recorded tables in Markdown, real recordings first."""
    about = {
        REAL: "24 readers, one sentence each, from the first part of their only recording (three seconds or more).",
        VIRTUAL: f"24 voices, {speech.EACH} sentences each, from one clip of three seconds or more.",
        FEW_SHOT: f"Voices {', '.join(FEW)}; {speech.EACH} sentences each, {recipe.ADAPT_STEPS} steps ({recipe.FIT_STEPS} where everything learns). Cosine lost: of four training voices to themselves.",
        ENCODER_COST: "One thread.",
    }
    parts = [
        "### Voice cloning",
        "Share of the gap: (clone - nearest) / (same - nearest), cosines to the voice; nearest is the most similar of all "
        "voices in training that were on the measuring machine, 100 % is as like as another recording of the voice. "
        "Intervals are 95 % over voices. All of these are proxies.",
    ]
    for grid, title in GRIDS.items():
        known = next((r["known"] for r in records(grid).values() if r.get("known")), None)
        note = f"Known voices: {max(known.values())}." if known else ""
        heading = f"**{title[0].upper()}{title[1:]}.** {about.get(grid, '')} {note}".strip()
        parts += [heading, table(grid), reading(grid)]
    return "\n\n".join(str(part) for part in parts if part)
