# Written from notebooks/08_capstone.ipynb by `course export`: edit the notebook, not this file.
"""What an assistant can do: patterns of words, each with a function; built in notebook 08."""

__all__ = ['UP_TO_TWENTY', 'SLOTS', 'COMMANDS', 'as_regex', 'example', 'Reply', 'Talk', 'Patterns', 'Skills', 'tell_time',
           'calculate', 'add_up', 'play_chorale', 'other_voice', 'clean_up']


import difflib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np


UP_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty"
).split()
SLOTS = {"NUMBER": UP_TO_TWENTY, "DIGIT": UP_TO_TWENTY[:10], "OPERATION": ["plus", "minus", "times"]}
"""Words that may stand in the place of a name in capitals; with a `+` behind it two or more of them."""


def as_regex(pattern: str) -> str:
    """A pattern of words and slots as a regular expression with a group for each slot."""
    parts = []
    for word in pattern.split():
        choice = "|".join(SLOTS.get(word.rstrip("+"), ()))
        several = rf"((?:{choice})(?: (?:{choice}))+)"
        parts.append(word if not choice else several if word.endswith("+") else f"({choice})")
    return " ".join(parts)


def example(pattern: str, draw: random.Random) -> list[str]:
    """The words of one sentence of a pattern; a slot with `+` is filled with 2 to 7 words."""
    words = []
    for word in pattern.split():
        choice = SLOTS.get(word.rstrip("+"))
        count = draw.randint(2, 7) if word.endswith("+") else 1
        words += [draw.choice(choice) for _ in range(count)] if choice else [word]
    return words


@dataclass(frozen=True)
class Reply:
    """What is said, and `sound`, which gives pieces of waveform (time,) that are played after it."""

    text: str
    sound: Callable[[], Iterator[np.ndarray]] | None = None


@dataclass
class Talk:
    """What the skills know of the conversation."""

    voices: Sequence[str]
    voice: str
    compose: Callable[[int], np.ndarray]  # seed -> waveform (time,)
    said: str = ""  # the last reply
    cleaned: np.ndarray = field(
        default_factory=lambda: np.zeros(0, np.float32)
    )  # what was heard before the command
    pieces: int = 0  # chorales so far
    now: Callable[[], datetime] = datetime.now


class Patterns:
    """Patterns of what may be asked, each with a function `answer(talk, *slots)` that gives a `Reply` or a text."""

    def __init__(self, skills: dict[str, Callable]):
        self.skills = dict(skills)
        draw = random.Random(0)
        self.sentences = [example(pattern, draw) for pattern in self.skills for _ in range(300)]
        self.vocabulary = list(dict.fromkeys(word for sentence in self.sentences for word in sentence))

    def match(self, text: str, likeness: float = 0.8) -> tuple[Callable, list[str]] | None:
        """The function of the pattern that the whole text fits, and the words in its slots.

        Where none does: the pattern without slots whose letters are most like the text, at least `likeness` of 1.
        """
        for pattern, answer in self.skills.items():
            if found := re.fullmatch(as_regex(pattern), text):
                return answer, list(found.groups())
        fixed = [pattern for pattern in self.skills if as_regex(pattern) == pattern]
        near = difflib.get_close_matches(text, fixed, 1, likeness)
        return (self.skills[near[0]], []) if near else None


class Skills(Patterns):
    """What an assistant can do: which texts are complete questions, and the replies to them."""

    def complete(self, text: str) -> bool:
        """Whether the text fits a pattern, and no longer sentence begins with it."""
        for pattern in self.skills:
            if re.fullmatch(as_regex(pattern), text):
                longer = any(other.startswith(f"{pattern} ") for other in self.skills)
                return not pattern.endswith("+") and not longer
        return False

    def answer(self, text: str, talk: Talk) -> Reply | None:
        """The reply to a text, None where no pattern fits. A skill that raises is a sentence, too."""
        found = self.match(text)
        if found is None:
            return None
        try:
            reply = found[0](talk, *found[1])
        except Exception as error:  # whatever somebody's skill does, the conversation goes on
            return Reply(f"Sorry, this skill failed with {type(error).__name__}.")
        return reply if isinstance(reply, Reply) else Reply(str(reply))


def tell_time(talk: Talk) -> str:
    """The time of day."""
    return f"It is {talk.now():%H:%M}."


def calculate(talk: Talk, first: str, operation: str, second: str) -> str:
    """Two numbers up to twenty, added, subtracted or multiplied."""
    a, b = UP_TO_TWENTY.index(first), UP_TO_TWENTY.index(second)
    result = {"plus": a + b, "minus": a - b, "times": a * b}[operation]
    return f"{first} {operation} {second} is {'minus ' if result < 0 else ''}{abs(result)}."


def add_up(talk: Talk, row: str) -> str:
    """The sum of a row of digits."""
    return f"That makes {sum(UP_TO_TWENTY.index(word) for word in row.split())}."


def play_chorale(talk: Talk) -> Reply:
    """Music that did not exist before; it is composed while the sentence is being said."""
    talk.pieces += 1
    seed = talk.pieces
    return Reply("Here is a new chorale.", lambda: iter([talk.compose(seed)]))


def other_voice(talk: Talk) -> str:
    """The last reply again, in the next voice, which is kept."""
    talk.voice = talk.voices[(talk.voices.index(talk.voice) + 1) % len(talk.voices)]
    return talk.said or "I have not said anything yet."


def clean_up(talk: Talk) -> Reply:
    """What was heard before this command, without its noise."""
    if not len(talk.cleaned):
        return Reply("Say something first, then ask me again.")
    cleaned = talk.cleaned
    return Reply("Without the noise it was this.", lambda: iter([cleaned]))


COMMANDS = {
    "what time is it": tell_time,
    "what is NUMBER OPERATION NUMBER": calculate,
    "DIGIT+": add_up,
    "play me a chorale": play_chorale,
    "say that in another voice": other_voice,
    "clean this up": clean_up,
}
