"""The data of the course: plain lists of small records whose sound is decoded when you ask for it.

    for utterance in data.speech("train"):
        print(utterance.text, utterance.duration)
        waveform = utterance.audio

Everything in `data/` is checked against its manifest before it is used.
"""

from course_utils.data.corpus import (
    SPLITS,
    Chorale,
    Noise,
    Pair,
    Room,
    Utterance,
    Voice,
    catalogue,
    chorales,
    noise,
    pairs,
    phrases,
    prepare,
    rooms,
    speech,
    verify,
    voices,
)
from course_utils.data.download import DownloadError, cache_folder, download
from course_utils.data.recordings import Recording, real
from course_utils.shipped import DataError, root, shipped_files

__all__ = [
    "SPLITS",
    "Chorale",
    "DataError",
    "DownloadError",
    "Noise",
    "Pair",
    "Recording",
    "Room",
    "Utterance",
    "Voice",
    "cache_folder",
    "catalogue",
    "chorales",
    "download",
    "noise",
    "pairs",
    "phrases",
    "prepare",
    "real",
    "rooms",
    "root",
    "shipped_files",
    "speech",
    "verify",
    "voices",
]
