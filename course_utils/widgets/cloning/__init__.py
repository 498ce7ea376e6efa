"""What one presses in notebooks 05 and 06."""

from .clone import CloneDemo
from .consent import ConsentForm
from .convert import ConvertDemo
from .voice_map import VoiceMap

__all__ = ["CloneDemo", "ConsentForm", "ConvertDemo", "VoiceMap"]
