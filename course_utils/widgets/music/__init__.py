"""What one presses in notebook 02."""

from .composer import ComposerExplorer, HarmoniserExplorer, MelodyPad
from .piano_roll import PianoRoll
from .pictures import boards, cut, influences, reliability, score, skewing

__all__ = [
    "ComposerExplorer",
    "HarmoniserExplorer",
    "MelodyPad",
    "PianoRoll",
    "boards",
    "cut",
    "influences",
    "reliability",
    "score",
    "skewing",
]
