"""Notebook 08 in a terminal."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import numpy as np

from course_utils.commands import LEARN, argument, command

_CHUNK = 1600
"""Samples that are heard at a time: 0.1 s, as from the microphone of the widget."""
_PAUSE = 20
"""Chunks of silence that follow the file, so that the end of its last question is noticed."""
_MOST_DOUBT = 0.9


@command(
    "talk",
    LEARN,
    "ask the assistant what a sound file says, and write its replies as sound",
    argument("file", metavar="FILE", help="somebody asks something; any sample rate, channels are averaged"),
    argument("target", metavar="OUT.WAV", nargs="?", help="the replies as sound, one after the other"),
    argument("--voice", metavar="NAME", help="one of the course's voices (the first)"),
    more="It understands: 'what time is it', 'what is seven times eight', a row of digits (it adds them up), 'play me a "
    "chorale', 'say that in another voice', 'clean this up'. Each question and its reply are lines on stdout; what is no "
    "question is ignored. An existing OUT.WAV is replaced at the end.",
)
def _talk(arguments: argparse.Namespace) -> int:
    from course_utils import audio, streaming
    from course_utils.audio_files import SoundWriter

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", audio.AudioWarning)
        blocks = streaming.mono_blocks(arguments.file, "listening")
        first = next(blocks)  # what is wrong with the file is said before a model is loaded
        one = _assistant(arguments.voice)
        if arguments.target is None:
            _hear(one, chain([first], blocks), lambda samples: None)
        else:
            comment = f"synthetic speech: voice {one.talk.voice} of the course's text-to-speech model"
            with SoundWriter(arguments.target, audio.SAMPLE_RATE, comment=comment) as writer:
                said = _hear(one, chain([first], blocks), writer.write)
                if not said:
                    writer.write(np.zeros(_CHUNK, np.float32))
    for note in dict.fromkeys(str(note.message) for note in notes):
        print(f"course: {note}", file=sys.stderr)
    if not one.turns:
        print("course: nobody asked for anything that the assistant knows", file=sys.stderr)
    return 0


def _assistant(voice: str | None) -> Any:
    from course_utils import checkpoints, music
    from course_utils.models.assistant import Assistant, CommandEars, listening_for
    from course_utils.models.assistant_skills import COMMANDS, Skills, Talk

    names = "phrases", "enhancement", "tts", "music"
    phrases, enhancer, tts, composer = (checkpoints.load(name) for name in names)
    skills = Skills(COMMANDS)
    graph = listening_for(phrases, skills)
    voice = voice or tts.speakers[0]
    tts.voice(voice)  # ValueError where there is none of that name
    talk = Talk(
        tts.speakers, voice, lambda seed: music.synthesise(composer.generate(64, seed=seed, strict=True))
    )
    return Assistant(lambda: CommandEars(graph), skills, tts.stream, talk, enhancer, most_doubt=_MOST_DOUBT)


def _hear(one: Any, blocks: Any, write: Callable[[np.ndarray], object]) -> int:
    """Samples of replies. The file waits while a reply plays: whoever asks would."""
    rest, said = np.zeros(0, np.float32), 0
    for block in chain(blocks, [np.zeros(_PAUSE * _CHUNK, np.float32)]):
        rest = np.concatenate([rest, block])
        while len(rest) >= _CHUNK:
            chunk, rest = rest[:_CHUNK], rest[_CHUNK:]
            said += _tell(one.push(chunk), write)
            for silence in repeat(np.zeros(_CHUNK, np.float32)):
                if not one.speaking:
                    break
                said += _tell(one.push(silence), write)
    return said


def _tell(events: list[Any], write: Callable[[np.ndarray], object]) -> int:
    said = 0
    for event in events:
        if event.kind == "sound":
            write(np.clip(event.sound, -1, 1))
            said += len(event.sound)
        elif event.kind in ("final", "reply"):
            print(f"{'you' if event.kind == 'final' else 'reply'}: {event.text}", flush=True)
        elif event.kind == "error":
            print(f"course: {event.text}", file=sys.stderr)
    return said
