"""Notebook 01 in a terminal."""

from __future__ import annotations

import argparse

from course_utils.commands import LEARN, argument, command


@command(
    "enhance",
    LEARN,
    "remove noise from a sound file of any length",
    argument("source", metavar="SOURCE", help="noisy file"),
    argument("target", metavar="TARGET", help="cleaned file; its ending says the format"),
    more="Length, sample rate, channels and format stay; what lies above 8 kHz is dropped, because the model "
    "works below and noise would be most of it. An existing TARGET is replaced once the new one is complete.",
)
def _enhance(arguments: argparse.Namespace) -> int:
    from course_utils import checkpoints, denoise

    print(denoise.denoise(arguments.source, arguments.target, checkpoints.load("enhancement")))
    return 0
