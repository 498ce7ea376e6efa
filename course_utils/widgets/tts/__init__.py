"""What one presses in notebook 04."""

from .durations import Durations
from .listening_test import ListeningTest, mean_opinion, verdict
from .plans import change_plan, say_plan
from .say_it import SayIt
from .speaker_map import SpeakerMap, mixture, voice_map

__all__ = [
    "Durations",
    "ListeningTest",
    "SayIt",
    "SpeakerMap",
    "change_plan",
    "mean_opinion",
    "mixture",
    "say_plan",
    "verdict",
    "voice_map",
]
