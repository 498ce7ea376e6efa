"""What one presses in notebook 03."""

from .live import LiveRecogniser
from .session import Session
from .your_voice import YourVoice

__all__ = ["LiveRecogniser", "Session", "YourVoice"]
