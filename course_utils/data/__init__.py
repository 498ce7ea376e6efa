"""The data of the course: plain lists of small records whose sound is decoded when you ask for it.

    for utterance in data.speech("train"):
        print(utterance.text, utterance.duration)
        waveform = utterance.audio

Everything in `data/` is checked against its manifest before it is used. After a hundred utterances the
whole corpus is decoded once into a cache, so that the next pass over it costs nothing. Neither a network library
nor an audio library is loaded before something is fetched or decoded.
"""

# Some functions have the name of their module (`data.download`, `data.chorales`): the function is what is meant.
from course_utils.data.chorales import Chorale, chorales
from course_utils.data.corpus import (
    Pair,
    Utterance,
    Voice,
    check_index,
    pairs,
    phrases,
    prepare,
    speech,
    voices,
)
from course_utils.data.datasets import DownloadError, catalogue
from course_utils.data.download import download
from course_utils.data.noises import Noise, noise
from course_utils.data.recordings import Recording, check_real_index, real
from course_utils.data.splits import SPLITS
from course_utils.paths import cache_folder
from course_utils.shipped import DataError, problems, root, shipped_files

__all__ = [
    "SPLITS",
    "Chorale",
    "DataError",
    "DownloadError",
    "Noise",
    "Pair",
    "Recording",
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
    "root",
    "shipped_files",
    "speech",
    "verify",
    "voices",
]


def verify() -> list[str]:
    """Compare every file of the data with the manifest, and return what is wrong: one line each, or nothing.

    Raises:
        DataError: there is no data folder or no manifest.
    """
    found = problems()
    if not found:
        try:
            check_index()
            check_real_index()
        except DataError as error:
            found.append(str(error))
    return found
