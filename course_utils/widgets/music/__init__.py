"""What one presses in notebook 02."""

from .composer import ComposerExplorer, HarmoniserExplorer, MelodyPad
from .piano_roll import PianoRoll

__all__ = ["ComposerExplorer", "HarmoniserExplorer", "MelodyPad", "PianoRoll"]
