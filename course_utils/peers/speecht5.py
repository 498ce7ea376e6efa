"""SpeechT5 of `transformers`: text to speech for who has its weights or fetches them; else a small random one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import audio, checkpoints, features
from course_utils import text as english
from course_utils.peers.base import import_from
from course_utils.recipes import speecht5 as recipe

MODEL, VOCODER = "microsoft/speecht5_tts", "microsoft/speecht5_hifigan"
VOICE_SIZE = 512
_LETTERS = " abcdefghijklmnopqrstuvwxyz'.,?!"


@dataclass(frozen=True)
class SpeechT5:
    """The three parts, from text to letters, from letters to log-mel, from log-mel to sound.

    Attributes:
        processor: `SpeechT5Processor`, text -> numbers of its letters or pieces of words.
        model: `SpeechT5ForTextToSpeech`.
        vocoder: `SpeechT5HifiGan`.
        trained: False: weights drawn at random, so that shapes can be seen and nothing can be understood.
        why: what is missing and how to get it, where it is not trained.
    """

    processor: Any
    model: Any
    vocoder: Any
    trained: bool
    why: str = ""

    def log_mel(self, text: str, spk_emb: np.ndarray | None = None, max_seconds: float = 20.0) -> np.ndarray:
        """Text -> log-mel (frames, 80), the spectrogram of the course.

        Args:
            text: English.
            spk_emb: a voice as of the encoder that the model was trained with, (512,) of x-vectors for the published one;
                None: one drawn at random, of length 1.
            max_seconds: where it ends at the latest: an untrained model never finds the end of a sentence.

        Raises:
            ValueError: nothing to say, or no such voice.
        """
        import torch

        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"expected a text with something to say, got {text!r}")
        size = self.model.config.speaker_embedding_dim
        if spk_emb is None:
            spk_emb = np.random.default_rng(0).standard_normal(size)
            spk_emb /= np.linalg.norm(spk_emb)
        voice = torch.as_tensor(np.asarray(spk_emb, np.float32))
        if voice.shape != (size,):
            raise ValueError(
                f"spk_emb: expected ({size},), got {tuple(voice.shape)}; each encoder has numbers of its own"
            )
        numbers = self.processor(text=text, return_tensors="pt")["input_ids"]
        frames = max_seconds * audio.SAMPLE_RATE / features.HOP_LENGTH
        ratio = frames / numbers.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # it keeps its dropout when it speaks (Shen et al., 2018)
            mel = self.model.generate_speech(
                numbers, voice[None], maxlenratio=ratio, minlenratio=0.0 if self.trained else ratio
            )
        return mel[: int(frames)].numpy()

    def sound(self, log_mel: np.ndarray) -> np.ndarray:
        """Log-mel (frames, 80) -> waveform (256 frames,) by its own vocoder."""
        import torch

        with torch.inference_mode():
            return self.vocoder(torch.from_numpy(np.asarray(log_mel, np.float32))).numpy()


@functools.cache
def load(model: str | Path = MODEL, vocoder: str | Path = VOCODER, online: bool = False) -> SpeechT5:
    """SpeechT5 (Ao et al., 2022) with its HiFi-GAN, from folders or by name; where its weights are not here, a random one.

    Args:
        model: a folder, or a name on the Hugging Face hub, 585 MB.
        vocoder: the same, 51 MB.
        online: fetch the weights if they are not here; without it nothing asks the network.

    Raises:
        ImportError: `transformers` is not installed.
    """
    transformers = import_from("transformers", "transformers")
    local = {"local_files_only": not online}
    try:
        return SpeechT5(
            transformers.SpeechT5Processor.from_pretrained(str(model), **local),
            transformers.SpeechT5ForTextToSpeech.from_pretrained(str(model), **local).eval(),
            transformers.SpeechT5HifiGan.from_pretrained(str(vocoder), **local).eval(),
            True,
        )
    except (ImportError, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0].partition(". ")[0][:200]
        return _random(
            transformers,
            f"{model} is not used: its weights are not on this machine, or do not load ({reason}). This is a small SpeechT5 "
            "with random weights: its shapes are right, its sound is noise. With a network, fetch them once with online=True",
        )


def ours(name: str | Path = "speecht5", vocoder: Any = None) -> SpeechT5:
    """The small SpeechT5 of `course train speecht5`: voices are those of the speaker encoder, sound is by the course's vocoder.

    Args:
        name: a checkpoint, or its folder.
        vocoder: log_mel (frames, 80) -> waveform (time,); None: the checkpoint.

    Raises:
        ImportError: `transformers` is not installed.
        CheckpointError: it was not trained, or is damaged.
    """
    import_from("transformers", "transformers")
    return of_model(recipe.load(name)[0], vocoder)


def of_model(model: Any, vocoder: Any = None) -> SpeechT5:
    """The same around a model that is there already, as `recipes.speecht5` trains it."""
    return SpeechT5(_Phones(), model, _Course(vocoder or checkpoints.load("vocoder")), True)


class _Phones:
    """In the place of a processor: text -> numbers of its phones."""

    def __call__(self, text: str, return_tensors: str = "pt") -> dict[str, Any]:
        """A text -> {"input_ids": (1, phones)}."""
        import torch

        return {"input_ids": torch.tensor([recipe.numbers_of(english.spoken(text)[0])])}


class _Course:
    """The course's vocoder as one of `transformers` is called."""

    def __init__(self, vocoder: Any):
        self.vocoder = vocoder

    def __call__(self, log_mel: Any) -> Any:
        """(frames, 80) -> (time,), both tensors."""
        import torch

        return torch.from_numpy(np.asarray(self.vocoder(log_mel.numpy()), np.float32))


def _random(transformers: Any, why: str) -> SpeechT5:
    """The same classes with two layers and weights drawn at random."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.SpeechT5Config(
            vocab_size=len(_LETTERS) + 4, hidden_size=64, encoder_layers=2, encoder_attention_heads=4,
            encoder_ffn_dim=128, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=128,
            speech_decoder_prenet_units=32, speech_decoder_postnet_units=32, speech_decoder_postnet_layers=2,
            speaker_embedding_dim=VOICE_SIZE, max_text_positions=600, max_speech_positions=4000,
        )  # fmt: skip
        model = transformers.SpeechT5ForTextToSpeech(config).eval()
        small = transformers.SpeechT5HifiGanConfig(upsample_initial_channel=32)
        vocoder = transformers.SpeechT5HifiGan(small).eval()
    return SpeechT5(_Letters(), model, vocoder, False, why)


class _Letters:
    """In the place of `SpeechT5Processor`, whose vocabulary is a file that comes with the weights."""

    def __call__(self, text: str, return_tensors: str = "pt") -> dict[str, Any]:
        """A text -> {"input_ids": (1, letters)}; what is no letter is unknown, and 2 ends it, as there."""
        import torch

        numbers = [_LETTERS.find(letter) + 4 if letter in _LETTERS else 3 for letter in text.lower()]
        return {"input_ids": torch.tensor([[*numbers, 2]])}


def target_log_mel(waveform: np.ndarray) -> np.ndarray:
    """What SpeechT5 learns to write for a waveform (time,) at 16 kHz, by `SpeechT5FeatureExtractor`: (frames, 80)."""
    transformers = import_from("transformers", "transformers")
    extractor = transformers.SpeechT5FeatureExtractor()
    values = extractor(
        audio_target=audio.check(waveform), sampling_rate=audio.SAMPLE_RATE, return_tensors="np"
    )
    return values["input_values"][0]
