"""Notebook 02 in a terminal."""

from __future__ import annotations

import argparse
import math

from course_utils.commands import LEARN, argument, command

_METRES = {"4/4": (16, 0), "3/4": (12, 0), "3/2": (24, 0)}


@command(
    "compose",
    LEARN,
    "write a chorale of one's own as a MIDI file",
    argument("target", metavar="OUT.MID"),
    argument("--wav", metavar="OUT.WAV", help="also as sound"),
    argument("--seed", type=int, default=0, help="another piece (0)"),
    argument("--steps", type=int, default=256, help="length in 16th notes (256)"),
    argument("--temperature", type=float, default=1.0, help="below 1: more careful (1)"),
    argument("--top-p", type=float, default=0.95, help="share of probability to choose from (0.95)"),
    argument("--metre", choices=sorted(_METRES), default="4/4"),
    argument("--free", action="store_true", help="allow parallel fifths and octaves"),
)
def _compose(arguments: argparse.Namespace) -> int:
    from course_utils import audio, checkpoints, music

    if not 1 <= arguments.steps <= music.MAX_STEPS:
        raise ValueError(f"--steps: expected 1 to {music.MAX_STEPS}, got {arguments.steps}")
    if not 0 <= arguments.temperature < math.inf:
        raise ValueError(f"--temperature: expected 0 or a number above, got {arguments.temperature}")
    if not 0 < arguments.top_p <= 1:
        raise ValueError(f"--top-p: expected a share above 0 up to 1, got {arguments.top_p}")
    if not abs(arguments.seed) < 2**63:
        raise ValueError(f"--seed: expected a whole number of at most 18 digits, got {arguments.seed}")
    composer = checkpoints.load("music")
    grid = composer.generate(
        arguments.steps,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        seed=arguments.seed,
        metre=_METRES[arguments.metre],
        strict=not arguments.free,
    )
    print(music.save_midi(arguments.target, grid))
    if arguments.wav:
        print(audio.save(arguments.wav, music.synthesise(grid)))
    return 0
