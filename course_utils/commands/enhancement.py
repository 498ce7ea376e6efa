"""Notebook 01 in a terminal."""

from __future__ import annotations

import argparse
import sys
import warnings

from course_utils.commands import LEARN, argument, command


@command(
    "enhance",
    LEARN,
    "remove noise from a sound file of any length",
    argument("source", metavar="SOURCE", help="noisy file"),
    argument("target", metavar="TARGET", help="cleaned file; its ending says the format"),
    more="Length, sample rate, channels and format stay; what lies above 8 kHz is dropped, because the model "
    "works below and noise would be most of it. An existing TARGET is replaced once the new one is complete.",
    interrupted="interrupted; nothing was written, and what TARGET was before it still is",
)
def _enhance(arguments: argparse.Namespace) -> int:
    from course_utils import audio, checkpoints, streaming

    model = checkpoints.load("enhancement")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", audio.AudioWarning)
        print(streaming.process_file(arguments.source, arguments.target, model))
    for note in notes:
        print(f"course: {note.message}", file=sys.stderr)
    return 0
