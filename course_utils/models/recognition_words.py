# Written from notebooks/03_realtime_processing.ipynb by `course export`: edit the notebook, not this file.
"""Recognisers with a vocabulary: phrases of few words, and text of any words; built in notebook 03."""

__all__ = ['PhraseConfig', 'LexiconRecogniser', 'PhraseRecogniser']


import math
from dataclasses import dataclass
import torch
from course_utils.models.recognition import PHONES, RecogniserConfig
from course_utils.models.recognition_streams import Recogniser


from collections.abc import Sequence
from dataclasses import field, replace

from course_utils.decoding.beam import PrefixBeam
from course_utils.decoding.graph import WordGraph
from course_utils.decoding.lexicon import LexiconConfig, LexiconModel
from course_utils.text import pronounce


@dataclass
class PhraseConfig:
    """The network, the entries of the vocabulary (a word may have several) and how each is pronounced."""

    network: RecogniserConfig = field(default_factory=lambda: RecogniserConfig(units=PHONES))
    words: tuple[str, ...] = ()
    pronunciations: tuple[str, ...] = ()  # phones with spaces between
    weight: float = 0.6  # of the grammar
    bonus: float = 1.0  # for each word
    patience: int = 0  # steps that a word has been over before it is shown


class LexiconRecogniser(Recogniser):
    """A recogniser of any words of a lexicon: the units are letters, and a beam asks a language model (step 10)."""

    def __init__(self, config: RecogniserConfig, language: LexiconConfig):
        super().__init__(config)
        self.language = LexiconModel(language)

    @classmethod
    def from_config(cls, config: dict) -> "LexiconRecogniser":
        """Build the model that a checkpoint describes."""
        return cls(RecogniserConfig(**config["network"]), LexiconConfig(**config["language"]))

    def decoder(self) -> PrefixBeam:
        """What makes text of the probabilities."""
        c = self.language.config
        return PrefixBeam(self.config.units, self.language, c.alpha, c.bonus, c.width)


class PhraseRecogniser(Recogniser):
    """A recogniser of few words: the units of its network are phones, and a `WordGraph` makes words of them."""

    def __init__(self, config: PhraseConfig):
        super().__init__(config.network)
        self.phrases, self.vocabulary = config, tuple(dict.fromkeys(config.words))
        n = len(self.vocabulary)
        self.register_buffer("grammar", torch.full((n + 1, n), -math.log(max(n, 1))))

    @classmethod
    def from_config(cls, config: dict) -> "PhraseRecogniser":
        """Build the model that a checkpoint describes."""
        return cls(PhraseConfig(**{**config, "network": RecogniserConfig(**config["network"])}))

    def decoder(self) -> WordGraph:
        """What makes words of the probabilities of phones."""
        c = self.phrases
        classes = [[PHONES.index(p) + 1 for p in entry.split()] for entry in c.pronunciations]
        owner = [self.vocabulary.index(word) for word in c.words]
        grammar = self.grammar.float().cpu().numpy()
        return WordGraph(self.vocabulary, classes, owner, grammar, c.weight, c.bonus, patience=c.patience)

    def listening_for(self, words: Sequence[str]) -> "PhraseRecogniser":
        """The same ears for other words, all equally likely, without training. ValueError: none, or not to be said."""
        if not words or isinstance(words, str):
            raise ValueError(f"words: expected a list of words to listen for, got {words!r}")
        phones = tuple(" ".join(p.rstrip("012") for p in pronounce(word)) for word in words)
        other = PhraseRecogniser(replace(self.phrases, words=tuple(words), pronunciations=phones))
        mine = {key: value for key, value in self.state_dict().items() if key != "grammar"}
        other.load_state_dict(mine | {"grammar": other.grammar})
        return other.to(self.grammar.device).train(self.training)
