"""How the recogniser of spoken phrases of notebook 03 is trained: a third of the large one, and a graph of words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from course_utils import checkpoints, data, paths, training
from course_utils.decoding.graph import bigrams
from course_utils.models.recognition import PHONES, RecogniserConfig
from course_utils.models.recognition_streams import Recogniser
from course_utils.models.recognition_words import PhraseConfig, PhraseRecogniser
from course_utils.recipes.recognition import (
    PHONE_CLASS,
    Batch,
    Batches,
    Speech,
    ctc,
    frame_loss,
    mixed,
    noise_mels,
    optimiser,
    spelled,
)
from course_utils.text import pronounce
from course_utils.text.dictionary import lexicon

__all__ = ["ctc", "frame_loss", "spelled"]  # used by the notebook, too

SHIPPED = RecogniserConfig(units=PHONES, layers=3, expand=1, phones_after=2)
STEPS = 1600
SECONDS = 60
PATIENCE = 8
"""Steps that a word has been over before it is shown: a quarter of a second, in which most that change do so."""

# What the notebook trains live: steps with the times of the phones, then by CTC.
LESSON = {"dim": 96, "layers": 4, "heads": 0, "phones_after": 2, "dropout": 0.05}
LESSON_STEPS = (270, 1530)
ABOUT = (
    "synthetic voices of `data/speech` and of `course build-speech`, 186 readers of LibriSpeech (CC BY 4.0; words heard by "
    "Whisper tiny.en), digits of three speakers (FSDD, CC BY-SA 4.0)"
)
SHARES = {"phrase": 0.35, "synthetic": 0.25, "reader": 0.25, "digit": 0.15}


def vocabulary(sentences: list[list[str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(words, pronunciations) of all words of some sentences; a word stands once for each way to say it."""
    entries = set()
    for word in {word for sentence in sentences for word in sentence}:
        for phones in lexicon().get(word) or [pronounce(word)]:
            entries.add((word, " ".join(phone.rstrip("012") for phone in phones)))
    words, pronunciations = zip(*sorted(entries), strict=True)
    return words, pronunciations


def phrase_model(network: RecogniserConfig = SHIPPED) -> PhraseRecogniser:
    """An untrained network with the words of the training phrases, and how likely they follow each other."""
    said = [[word for word, *_ in one.words] for one in data.phrases("train")]
    words, pronunciations = vocabulary(said)
    model = PhraseRecogniser(PhraseConfig(network, words, pronunciations))
    model.grammar.copy_(torch.from_numpy(bigrams(said, model.vocabulary)))
    return model


def loss_fn(model: nn.Module, batch: Batch, middle: float = 0.3) -> torch.Tensor:
    """CTC of the phones at the end and, with the weight `middle`, their classes frame by frame in the middle."""
    with mixed(batch.log_mel.device):
        heard = model(batch.log_mel, chunk=batch.chunk)
    phones = [[PHONE_CLASS[p] for p in row] for row in batch.phones]
    return (1 - middle) * ctc(heard.units, phones) + middle * frame_loss(heard.phones, batch.sounds)


def taught_by(teacher: nn.Module, share: float = 0.7) -> Callable[[nn.Module, Batch], torch.Tensor]:
    """A loss with which a small network imitates the phones of a large one, step by step (Hinton et al., 2015).

    `share` of it is the cross-entropy of the network (B, n, 40) with the probabilities of `teacher`, the rest `loss_fn`.
    """
    teacher = teacher.eval().requires_grad_(False)

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        with mixed(batch.log_mel.device):
            with torch.no_grad():
                wanted = teacher(batch.log_mel, chunk=batch.chunk).phones.exp()
            heard = model(batch.log_mel, chunk=batch.chunk)
        imitated = -(wanted * heard.units).sum(-1).mean()
        phones = [[PHONE_CLASS[p] for p in row] for row in batch.phones]
        own = 0.7 * ctc(heard.units, phones) + 0.3 * frame_loss(heard.phones, batch.sounds)
        return share * 4 * imitated + (1 - share) * own

    return loss


def validation() -> Callable[[nn.Module], dict[str, float]]:
    """A function that measures the WER in % on the phrases of the validation voices."""
    from course_utils import metrics  # and with it jiwer, which a machine for training may lack

    said = data.phrases("valid")
    texts = [" ".join(word for word, *_ in one.words) for one in said]

    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"WER phrases": 100 * metrics.wer(texts, [model.transcribe(one.audio) for one in said])}

    return evaluate


def first_blocks(model: PhraseRecogniser, name: str | Path) -> None:
    """Take the first blocks of another recogniser and its head for phones; of a feed-forward part the strongest units.

    Of a recogniser of phrases (whose units are phones) everything is taken.
    """
    there, mine = checkpoints.read(name)[1], model.state_dict()
    for i in range(len(model.blocks)):
        into, out = there[f"blocks.{i}.feed.1.weight"], there[f"blocks.{i}.feed.3.weight"]
        size = len(mine[f"blocks.{i}.feed.1.weight"])
        kept = (into.norm(dim=1) * out.norm(dim=0)).topk(size).indices.sort().values
        there[f"blocks.{i}.feed.1.weight"], there[f"blocks.{i}.feed.3.weight"] = into[kept], out[:, kept]
        there[f"blocks.{i}.feed.1.bias"] = there[f"blocks.{i}.feed.1.bias"][kept]
    if there["head.weight"].shape != mine["head.weight"].shape:
        for part in ("norm", "head"):
            there |= {f"{part}.{key}": there[f"phone_{part}.{key}"] for key in ("weight", "bias")}
    model.load_state_dict({k: there.get(k, v) if k != "grammar" else v for k, v in mine.items()})


def _place(name: str) -> str | Path:
    return Path(name) if "/" in name else name


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "phrases",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
    begin: str = "recognition",
    extra: str | None = None,
    teacher: str | None = "recognition",
) -> PhraseRecogniser:
    """Train the checkpoint and save it as `name` with its card; `state` is a file to resume from.

    It begins with the first blocks of the checkpoint `begin`, and learns to say what `teacher` says; `extra`: more speech, as
    in `recipes.recognition`.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # another core mixes
    model = phrase_model()
    first_blocks(model, _place(begin))
    loss = taught_by(checkpoints.load(_place(teacher))) if teacher else loss_fn
    speech = Speech("train", Path(extra) if extra else paths.cache_folder() / "speech")
    batches = Batches(speech, SHARES, noise_mels(240, seed), SECONDS, seed)
    history = training.fit(
        model, training.ahead(batches), loss, steps or STEPS, schedule=training.plateau, clip=5.0, ema=0.995,
        optimizer=optimiser(model, 0.02, 1e-3), evaluate=validation(), every=250, state=state, save_every=250,
        seed=seed, title="phrases",
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    text = checkpoints.card(
        "phrases",
        "Writes digits, numbers, times, dates and commands while they are said; `listening_for` gives it other words. "
        "`course_utils.models.recognition_words.PhraseRecogniser`.",
        data=f"hours of each source: {speech.hours()}; varied in voice, room, microphone, noise; " + ABOUT,
        seed=seed, history=history, metrics=measure(model) if measure else {},
        limits="English, one talker; writes its own words whatever is said",
    )  # fmt: skip
    checkpoints.save(name, model, replace(model.phrases, patience=PATIENCE), text, bits=8)
    return model


# --- the lesson and its ladder -------------------------------------------------------------------------


def lesson_batches(seed: int = 0, strength: float = 0.3) -> Batches:
    """Rows of 4.5 s, 20 s a step: phrases and, two of five, sentences of the training voices."""
    speech = Speech("train", rates=(0.9, 1.0, 1.1), real=False)
    shares = {"phrase": 0.6, "synthetic": 0.4}
    return Batches(speech, shares, seconds=20, shapes=(280,), strength=strength, seed=seed)


def lesson_run(model: nn.Module, seed: int = 0) -> dict:
    """Settings of `training.fit` for the lesson; the optimiser belongs to `model`."""
    return {
        "schedule": training.plateau,
        "clip": 5.0,
        "ema": 0.98,
        "optimizer": optimiser(model, 0.04, 4e-3),
        "seed": seed,
    }


def words_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """CTC of whole words; rows with a word that is no unit do not count."""
    units = model(batch.log_mel, chunk=batch.chunk).units
    return ctc(units, [spelled(row, model.config.units) for row in batch.words])


def phones_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """CTC of phones, and nothing else."""
    units = model(batch.log_mel, chunk=batch.chunk).units
    return ctc(units, [[PHONE_CLASS[p] for p in row] for row in batch.phones])


def timed_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Cross-entropy of the phone of each step, in the middle and at the end."""
    heard = model(batch.log_mel, chunk=batch.chunk)
    return frame_loss(heard.phones, batch.sounds) + frame_loss(heard.units, batch.sounds)


def lesson_loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    """CTC of phones at the end, three parts; cross-entropy in the middle, one."""
    heard = model(batch.log_mel, chunk=batch.chunk)
    at_end = ctc(heard.units, [[PHONE_CLASS[p] for p in row] for row in batch.phones])
    return 0.75 * at_end + 0.25 * frame_loss(heard.phones, batch.sounds)


# Rung: (what it adds, loss, with times first, heads of attention, strength of the variations)
RUNGS = {
    "words": ("whole words as units, CTC", words_loss, False, 0, 0.3),
    "phones": ("phones as units and a graph of words", phones_loss, False, 0, 0.3),
    "timed": ("the times of phones first, and in the middle: the lesson's model", lesson_loss, True, 0, 0.3),
    "attention": ("the same with chunked attention", lesson_loss, True, 4, 0.3),
}


def train_rung(rung: str, seed: int, steps: int | None = None) -> tuple[nn.Module, training.History]:
    """Train one rung as in the lesson; `steps` of another number are shared out between its two parts."""
    _, loss, timed, heads, strength = RUNGS[rung]
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # another core makes the batches
    first, then = LESSON_STEPS if steps is None else (steps * 3 // 20, steps - steps * 3 // 20)
    model: nn.Module = phrase_model(RecogniserConfig(**{**LESSON, "heads": heads}, units=PHONES))
    if rung == "words":
        model = Recogniser(RecogniserConfig(**LESSON, units=model.vocabulary))
    batches = training.ahead(lesson_batches(seed, strength))
    if not timed:
        return model, training.fit(model, batches, loss, first + then, title=rung, **lesson_run(model, seed))
    history = training.fit(model, batches, timed_loss, first, title=rung, **lesson_run(model, seed))
    rest = training.fit(model, batches, loss, then, title=rung, **lesson_run(model, seed))
    return model, history.followed_by(rest)
