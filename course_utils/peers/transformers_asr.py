"""Recognisers of `transformers`, wav2vec2 or Whisper: the optional row for who has their weights or fetches them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import audio
from course_utils.peers.base import Recogniser, import_from

MODELS = ("facebook/wav2vec2-base-960h", "openai/whisper-tiny.en")


@functools.cache
def _loaded(model: str, local: bool) -> tuple[Any, Any]:
    """Processor and network of a folder or a name; a name is looked up in the cache, and on the network if not `local`."""
    transformers = import_from("transformers", "transformers")
    config = transformers.AutoConfig.from_pretrained(model, local_files_only=local)
    kind = transformers.AutoModelForCTC
    if config.is_encoder_decoder:
        kind = transformers.AutoModelForSpeechSeq2Seq
    processor = transformers.AutoProcessor.from_pretrained(model, local_files_only=local)
    return processor, kind.from_pretrained(model, local_files_only=local, use_safetensors=True).eval()


class TransformersRecogniser(Recogniser):
    """wav2vec2 (Baevski et al., 2020) or Whisper (Radford et al., 2022) from `transformers`; hears whole clips.

    Args:
        model: a folder, or a name on the Hugging Face hub.
        online: fetch the weights if they are not here; without it nothing asks the network.
        threads: of torch, as many as it has.
    """

    name = "wav2vec2 or Whisper (transformers)"
    licence = "of the weights; Apache-2.0 and MIT for those named here"
    what = "Any recogniser of the transformers library, CTC or encoder and decoder, from a folder or by its name."

    def __init__(self, model: str | Path = MODELS[0], online: bool = False, threads: int = 1):
        super().__init__(threads)
        self.model, self.online = str(model), online

    def _find(self) -> None:
        _loaded(self.model, not self.online)

    def missing(self) -> str:
        """What is missing and how to get it, in one sentence; empty where the model can be used."""
        try:
            self._find()
        except (ImportError, OSError, ValueError, KeyError) as error:
            reason = str(error).strip().partition("\n")[0]
            return (
                f"{self.model} is not used: its weights are not on this machine ({reason}); with a network, fetch them "
                f'once with peers.TransformersRecogniser("{self.model}", online=True).missing()'
            )
        return ""

    def _transcribe(self, waveform: np.ndarray) -> str:
        import torch

        processor, network = _loaded(self.model, not self.online)
        values = processor(waveform, sampling_rate=audio.SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            if network.config.is_encoder_decoder:
                written = network.generate(**values, do_sample=False)
                return processor.batch_decode(written, skip_special_tokens=True)[0].strip()
            best = network(**values).logits.argmax(-1)
        return processor.batch_decode(best)[0].strip()
