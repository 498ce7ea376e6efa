"""What sounds and letters there are, and symbols as integers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

LETTERS = "'abcdefghijklmnopqrstuvwxyz"
CHARACTERS = " " + LETTERS  # what a recogniser of letters writes: no punctuation
PUNCTUATION = ",.?!;"

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split()
# The 39 phones of ARPAbet, vowels with their stress (0 none, 1 main, 2 secondary), and silence.
PHONES = ("sil", *_CONSONANTS, *(vowel + stress for vowel in _VOWELS for stress in "012"))


@dataclass(frozen=True)
class Vocabulary:
    """Symbols as integers and back: `Vocabulary(PHONES)`, or `Vocabulary(CHARACTERS, blank=True)`.

    With `blank` number 0 is the CTC blank, and `decode(..., ctc=True)` merges repeats and drops it. With
    `pad` the next free number fills up batches; `decode` always drops it. `names` lists all of them.
    """

    symbols: tuple[str, ...]
    blank: bool = False
    pad: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        if len(set(self.names)) != len(self.names):
            raise ValueError("symbols must differ from each other and from <blank> and <pad>")
        object.__setattr__(self, "_numbers", {name: i for i, name in enumerate(self.names)})

    @property
    def names(self) -> tuple[str, ...]:
        """All symbols in the order of their numbers, the special ones first."""
        return ("<blank>",) * self.blank + ("<pad>",) * self.pad + self.symbols

    @property
    def blank_id(self) -> int:
        """Number of the CTC blank (0); KeyError when there is none."""
        return self._numbers["<blank>"]

    @property
    def pad_id(self) -> int:
        """Number of the padding symbol; KeyError when there is none."""
        return self._numbers["<pad>"]

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self.symbols

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """Return the numbers of a list of symbols (or of the characters of a string)."""
        numbers = []
        for position, symbol in enumerate(symbols):
            if symbol not in self._numbers:
                raise ValueError(
                    f"symbol {symbol!r} at position {position} is not in the vocabulary of {len(self)}; "
                    "run the text through course_utils.text.normalise, words or phonemes first"
                )
            numbers.append(self._numbers[symbol])
        return numbers

    def decode(self, numbers: Iterable[int], ctc: bool = False) -> list[str]:
        """Return the symbols of a list of integers; `ctc` merges repeats, then drops blanks."""
        numbers = [int(number) for number in numbers]
        for number in numbers:
            if not 0 <= number < len(self):
                raise ValueError(f"number {number} is outside the vocabulary: expected 0 to {len(self) - 1}")
        if ctc:
            numbers = [n for i, n in enumerate(numbers) if i == 0 or n != numbers[i - 1]]
        names = [self.names[number] for number in numbers]
        return [name for name in names if name != "<pad>" and not (ctc and name == "<blank>")]

    def to_json(self) -> str:
        """Return the vocabulary as JSON text, for a checkpoint's config."""
        return json.dumps({"symbols": self.symbols, "blank": self.blank, "pad": self.pad}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Read what `to_json` wrote."""
        content = json.loads(text)
        return cls(tuple(content["symbols"]), content["blank"], content["pad"])
