"""From written English to sounds: normalised words, ARPAbet phones, and symbols as integers.

>>> normalise("Dr. Smith paid $3.50 at 14:05.")
'doctor smith paid three dollars and fifty cents at fourteen oh five.'
>>> phonemes("Hello, GPU!")
['sil', 'HH', 'AH0', 'L', 'OW1', 'sil', 'JH', 'IY1', 'P', 'IY1', 'Y', 'UW1', 'sil']
"""

from course_utils.text.dictionary import lexicon
from course_utils.text.normalisation import normalise, words
from course_utils.text.pronunciation import phonemes, pronounce, spoken
from course_utils.text.symbols import CHARACTERS, LETTERS, PHONES, PUNCTUATION, Vocabulary

__all__ = [
    "CHARACTERS",
    "LETTERS",
    "PHONES",
    "PUNCTUATION",
    "Vocabulary",
    "lexicon",
    "normalise",
    "phonemes",
    "pronounce",
    "spoken",
    "words",
]
