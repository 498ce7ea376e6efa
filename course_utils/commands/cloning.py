"""Notebooks 05 to 07 in a terminal: another person's voice, with their consent."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from course_utils.commands import LEARN, argument, command

_CONSENT = argument(
    "--consent",
    metavar="CONSENT.JSON",
    help="what the person in REF allows: speaker, given_by, purpose, date; a virtual voice needs none",
)
_OUT = argument(
    "target", metavar="OUT.WAV", help="its ending says the format: .wav, .flac, .ogg, .opus or .mp3"
)
_REFERENCE = argument(
    "reference", metavar="REF", help='a sound file of the voice, or a virtual voice of the course ("f01")'
)
_STEPS = argument(
    "--learn",
    type=int,
    default=None,
    metavar="N",
    help="steps of learning, 0: the voice is heard only (clone: 80, convert: 30)",
)
_SEED = argument("--seed", type=int, default=0, help="the same once more, said another time (0)")
_WHO = argument("--speaker", metavar="NAME", help="who is heard in REF; the consent must be about them")
_MORE = (
    "Without a consent a person's voice is refused. The result carries a watermark, and the consent is written beside it. "
    "An existing OUT is replaced at the end."
)


@command(
    "clone",
    LEARN,
    "say a text in the voice of a recording, with the consent of who is heard",
    _REFERENCE,
    argument("text", metavar="TEXT", help="what to say, in English"),
    _OUT,
    _CONSENT,
    _WHO,
    argument("--guidance", type=float, default=0.5, help="away from an average voice, 0 for none (0.5)"),
    argument("--speed", type=float, default=1.0, help="0.25 to 4 times as fast (1)"),
    argument("--pitch", type=float, default=0.0, help="-24 to 24 semitones higher (0)"),
    _STEPS,
    argument(
        "--said",
        default=None,
        metavar="WORDS",
        help="what REF says (left out: as the recogniser understands it)",
    ),
    _SEED,
    more=_MORE,
    interrupted="interrupted; nothing was written",
)
def _clone(arguments: argparse.Namespace) -> int:
    from course_utils import cloning

    how = {name: getattr(arguments, name) for name in ("guidance", "speed", "pitch", "learn", "said")}
    return _make(arguments, "cloning", cloning.clone, arguments.reference, arguments.text, **how)


@command(
    "convert",
    LEARN,
    "say again what a recording says, in the voice of another, with the consent of who is heard",
    argument("source", metavar="SRC", help="a sound file: what is said"),
    _REFERENCE,
    _OUT,
    _CONSENT,
    _WHO,
    argument("--pitch", type=float, default=None, help="semitones higher (left out: to the target's median)"),
    _STEPS,
    _SEED,
    more=_MORE,
    interrupted="interrupted; nothing was written",
)
def _convert(arguments: argparse.Namespace) -> int:
    from course_utils import cloning

    how = {name: getattr(arguments, name) for name in ("pitch", "learn")}
    return _make(arguments, "converting", cloning.convert, arguments.source, arguments.reference, **how)


def _make(arguments: argparse.Namespace, doing: str, work: Any, *what: Any, **how: Any) -> int:
    """Ask for the consent first, compute, write."""
    from course_utils import cloning
    from course_utils.paths import SAMPLE_RATE

    with tqdm(total=3, desc="consent", bar_format="{desc}: {n_fmt} of {total_fmt}, {elapsed}") as bar:
        consent = cloning.require_consent(arguments.reference, arguments.consent, arguments.speaker)
        bar.update()
        bar.set_description(doing)
        waveform = work(*what, consent, seed=arguments.seed, speaker=arguments.speaker, **how)
        bar.update()
        bar.set_description("writing")
        cloning.save(arguments.target, waveform, consent)
        bar.update()
    beside = f", and the consent beside it: {Path(arguments.target).name}.consent.json" if consent else ""
    print(f"{arguments.target}: {len(waveform) / SAMPLE_RATE:.1f} s{beside}")
    return 0


@command(
    "watermark",
    LEARN,
    "say whether a sound file carries the watermark of the course's cloning and conversion",
    argument("file", metavar="FILE", help="a sound file"),
    more="The exit code is 0 where the mark is found, and 3 where it is not. That it is not found proves nothing: a strong "
    "attack removes it, and most synthetic speech of the world carries another mark or none.",
)
def _watermark(arguments: argparse.Namespace) -> int:
    from course_utils import cloning

    found = cloning.detect_watermark(arguments.file)
    says = "the watermark is there" if found.found else "no watermark was found"
    print(
        f"{arguments.file}: {says} (score {found.score:.1f}, chance of an unmarked sound {found.p_value:.1g})"
    )
    return 0 if found.found else 3


@command(
    "forget",
    LEARN,
    "delete a learner's voice: all that cloning and conversion wrote into a folder",
    argument("folder", metavar="FOLDER", help="the folder that was chosen for it"),
    more="Only files that the course wrote there are deleted, as the list in the folder says; links are not followed.",
)
def _forget(arguments: argparse.Namespace) -> int:
    from course_utils import cloning

    deleted = cloning.forget(arguments.folder)
    print("\n".join(f"deleted {name}" for name in deleted) or "nothing of the course was in it")
    return 0
