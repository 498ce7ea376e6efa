"""What the assistant of notebook 08 hears, and from which doubt on it gives no answer, chosen on validation material.

    python -m course_utils.record.doubt

prints how many commands are answered rightly with the sound as it is and with the enhancer before the ears; then
misses and false replies for each threshold, and the threshold that is chosen. No voice, reader, text or noise
of a test is heard. Real people are heard where the recordings are (COURSE_REAL_DATA): the readers whom the recogniser
was not trained on, and takes of digits that are left out of its training, of speakers who are in it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from course_utils import data, tables
from course_utils.models.assistant import Assistant
from course_utils.record.topics import capstone

THRESHOLDS = np.round(np.arange(0.3, 2.01, 0.1), 1)
COUNT = 48
"""Commands of a kind."""


@dataclass(frozen=True)
class Heard:
    """Decisions on one clip, without a threshold: the doubt of each, and its reply ("" for none)."""

    wanted: str
    decisions: tuple[tuple[float, str], ...]

    def missed(self, threshold: float) -> bool:
        """Whether a command that is understood is not answered, because it is in doubt."""
        return self.answered(np.inf) == [self.wanted] and self.answered(threshold) != [self.wanted]

    def answered(self, threshold: float) -> list[str]:
        """The replies."""
        return [reply for doubt, reply in self.decisions if reply and doubt <= threshold]


class _Noting(Assistant):
    """Keeps its doubts."""

    def decide(self, partial):
        doubt, events = self.ears.doubt(), super().decide(partial)
        self.noted.append((doubt, next((event.text for event in events if event.kind == "reply"), "")))
        return events


def heard(sound: np.ndarray, text: str = "", system: str = capstone.GRAPH) -> Heard:
    """What the assistant decides on a sound (time,) in which somebody says the command `text`, or none."""
    one = capstone.made(system)
    one.__class__, one.noted, one.most_doubt = _Noting, [], np.inf
    capstone.replies(one, sound, capstone.LONG)
    wanted = capstone.skills().answer(text, capstone.talk()).text if text else ""
    return Heard(wanted, tuple(one.noted))


def material() -> dict[str, list[tuple[np.ndarray, str]]]:
    """(sound, command or "") of each kind; kinds of which there are no recordings are left out."""
    commands, noises, known = capstone.said("valid", COUNT), data.noise("valid"), capstone.skills()
    phrases = [
        (one.audio, " ".join(word for word, *_ in one.words)) for one in data.speech("valid", kind="phrase")
    ]
    found = {
        "commands": [(one.waveform, one.text) for one in commands],
        "commands in noise, 5 dB": [
            (capstone.in_noise(one.waveform, noises[place % len(noises)].audio), one.text)
            for place, one in enumerate(commands)
        ],
        "sentences": [(one.audio, "") for one in data.speech("valid", kind="sentence")[::2]],
        "rows of digits": [(sound, text) for sound, text in phrases if known.match(text)],
        "other phrases": [(sound, "") for sound, text in phrases if not known.match(text)],
        "noise": [(one.audio, "") for one in noises],
    }
    try:
        found["real readers"] = [(one.audio, "") for one in data.real("librispeech", "train")[::13]]
        takes = [one for one in data.real("fsdd", "train") if int(one.id.rsplit("_", 1)[1]) < 5]
    except data.DataError as error:
        print(error)
        return found
    for place in range(COUNT // 2):
        draw = random.Random(place)
        speaker = draw.choice(sorted({one.speaker for one in takes}))
        row = draw.choices([one for one in takes if one.speaker == speaker], k=draw.randint(3, 5))
        pause = np.zeros(2400, np.float32)  # 0.15 s
        sound = np.concatenate([pause, *(part for one in row for part in (one.audio, pause))])
        text, noise = " ".join(one.text for one in row), noises[place % len(noises)].audio
        found.setdefault("real digits", []).append((sound, text))
        found.setdefault("real digits in noise, 5 dB", []).append((capstone.in_noise(sound, noise), text))
    return found


def decided(system: str = capstone.GRAPH, commands_only: bool = False) -> dict[str, list[Heard]]:
    """What one of the capstone's systems decides on each kind of `material`."""
    found = {kind: pairs for kind, pairs in material().items() if not commands_only or pairs[0][1]}
    return {
        kind: [heard(*one, system) for one in tqdm(pairs, kind, delay=2)] for kind, pairs in found.items()
    }


def rightly(system: str, every: dict[str, list[Heard]], threshold: float) -> dict:
    """A row with the commands of each kind that get the right reply and no other."""
    wanted = {kind: clips for kind, clips in every.items() if clips[0].wanted}
    return {"ears": system, "most doubt": threshold} | {
        f"{kind} ({len(clips)})": sum(one.answered(threshold) == [one.wanted] for one in clips)
        for kind, clips in wanted.items()
    }


def choose(every: dict[str, list[Heard]]) -> tuple[float, list[dict]]:
    """The threshold, and a row with misses and false replies for each of `THRESHOLDS`.

    The one with the fewest of both together; of several the middle.
    """
    rows, costs = [], []
    for threshold in THRESHOLDS:
        wrong = {
            kind: sum(one.missed(threshold) if one.wanted else bool(one.answered(threshold)) for one in clips)
            for kind, clips in every.items()
        }
        costs.append(sum(wrong.values()))
        rows.append(
            {"threshold": threshold, **{f"{kind} ({len(every[kind])})": wrong[kind] for kind in wrong}}
        )
    best = THRESHOLDS[np.array(costs) == min(costs)]
    return float(best[len(best) // 2]), rows


if __name__ == "__main__":
    torch.set_num_threads(1)  # as for all that is recorded
    as_it_is, enhanced = decided(), decided(capstone.ENHANCED, commands_only=True)
    chosen, found = choose(as_it_is)
    print("Commands answered rightly; first without a threshold:")
    pairs = [(capstone.GRAPH, as_it_is), (capstone.ENHANCED, enhanced)]
    print(tables.table([rightly(*pair, threshold) for threshold in (np.inf, chosen) for pair in pairs]))
    print("Missed of what is a command, false replies to what is none:")
    print(tables.table(found))
    print("chosen:", chosen)
