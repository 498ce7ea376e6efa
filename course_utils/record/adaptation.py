"""What a synthesiser gains when it learns from a little speech of a new voice."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from course_utils.recipes import tts as recipe

SECONDS = (5, 20, 60)
PARTS = {
    "nothing": "heard, nothing learns",
    "embedding": "the numbers of the voice",
    "norms": "and the shifts of the decoder's layer norms",
    "everything": "everything",
}


def rows(
    model: Any,
    voices: Sequence[str],
    texts: Sequence[str],
    likeness: Callable[[np.ndarray, str], float],
    parts: Sequence[str] = tuple(PARTS),
) -> list[dict[str, Any]]:
    """For each part that learns, and each length of speech: how many numbers, how long, and the likeness (mean of voices).

    `likeness(waveform, voice)` judges what the adapted model says of `texts`. The clips are the first ones of a voice.
    """
    found: dict[tuple[str, int], list] = {}
    turns = [(voice, seconds, part) for voice in voices for seconds in SECONDS for part in parts]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for voice, seconds, part in tqdm(turns, "adapting", delay=2):
        speech = recipe.Speech("test", rates=(1.0,), voice=voice)
        start = time.process_time()
        adapted, numbers, learnt = recipe.adapt(model, speech, recipe.first_clips(speech, seconds), part)
        spent = time.process_time() - start
        said = [likeness(adapted.say(text, spk_emb=numbers), voice) for text in texts]
        found.setdefault((part, seconds), []).append((learnt, spent, float(np.mean(said))))
    torch.set_num_threads(threads)
    return [
        {"part": part, "seconds": seconds, "learnt": one[0][0], "spent": np.mean([r[1] for r in one]).item(),
         "likeness": np.mean([r[2] for r in one]).item()}
        for (part, seconds), one in found.items()
    ]  # fmt: skip
