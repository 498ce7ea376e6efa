"""How a small SpeechT5 is trained: the classes of `transformers`, the phones, the log-mel and the voices of this course.

What is written is a folder of its own form: `model/` as `save_pretrained` writes it (configuration and weights),
`tokens.json` with the vocabulary, and a card. `course_utils.peers.speecht5.ours` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from course_utils import checkpoints, features, paths, training
from course_utils import text as english
from course_utils.recipes.tts import Speech, faster

STEPS = 12_000
FRAMES = 6000
"""Frames of log-mel in a step: 96 s."""
LONGEST = 500
"""Frames of a clip that is learnt from; attention grows with the square of the length."""
PAD, END = 1, 2
"""Numbers that `transformers` gives to the padding and to the end of a text."""
TOKENS = ("<s>", "<pad>", "</s>", "<unk>", *english.PHONES)
SIZES = {
    "hidden_size": 192, "encoder_layers": 4, "encoder_attention_heads": 4, "encoder_ffn_dim": 576,
    "decoder_layers": 4, "decoder_attention_heads": 4, "decoder_ffn_dim": 576, "speech_decoder_prenet_units": 96,
    "speech_decoder_postnet_units": 96, "speech_decoder_postnet_layers": 4, "speech_decoder_prenet_dropout": 0.3,
    "reduction_factor": 3, "max_text_positions": 400, "max_speech_positions": 1200, "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0, "positional_dropout": 0.05,
    "use_guided_attention_loss": True, "guided_attention_loss_num_heads": 2, "guided_attention_loss_scale": 10.0,
}  # fmt: skip
"""Fewer and narrower layers than the published model; three frames a step make the alignment easier to find."""


def numbers_of(phones: Sequence[str]) -> list[int]:
    """Phones -> their numbers with the end behind them; what is no phone is unknown (3)."""
    place = {token: number for number, token in enumerate(TOKENS)}
    return [*(place.get(phone, 3) for phone in phones), END]


def new_model(voice_size: int, sizes: dict[str, Any] | None = None) -> nn.Module:
    """An untrained `SpeechT5ForTextToSpeech` for voices (voice_size,); `sizes` replaces some of `SIZES`."""
    import transformers

    wanted = {**SIZES, **(sizes or {})}
    config = transformers.SpeechT5Config(
        vocab_size=len(TOKENS), num_mel_bins=features.N_MELS, speaker_embedding_dim=voice_size, pad_token_id=PAD,
        eos_token_id=END, decoder_start_token_id=END, **wanted,
    )  # fmt: skip
    # Guided attention needs the weights of attention, which other implementations do not give.
    config._attn_implementation = "eager"
    model = transformers.SpeechT5ForTextToSpeech(config)
    # A mean log-mel to begin with, not zero: the first steps would learn nothing else.
    bias = model.speech_decoder_postnet.feat_out.bias
    nn.init.constant_(bias, -3.0)
    return model


class Batch(NamedTuple):
    """Clips side by side: numbers of phones (B, P) and which are none (B, P), log-mel (B, T, 80), voices (B, voice).

    T is a multiple of the reduction factor; behind the end of a clip the log-mel is -100, as `transformers` wants it.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    voices: torch.Tensor


class Batches:
    """Batches by step, always the same: clips of like length, each said in the voice of another clip."""

    def __init__(
        self, speech: Speech, voices: dict[str, np.ndarray], factor: int, frames: int = FRAMES, seed: int = 0
    ):
        self.speech, self.voices, self.factor, self.frames, self.seed = speech, voices, factor, frames, seed
        order = np.argsort(speech.frames[:, 0].numpy(), kind="stable")
        self.order = [int(i) for i in order if int(speech.frames[i].max()) <= LONGEST]
        if not self.order:
            raise ValueError(f"no clip has at most {LONGEST} frames, so there is nothing to learn from")

    def __call__(self, step: int) -> Batch:
        """The batch of a step."""
        draw = np.random.default_rng((self.seed, step))
        at = int(draw.integers(len(self.order)))
        near = self.order[max(0, at - 100) : at + 100]
        longest = max(int(self.speech.frames[i].max()) for i in near)
        count = max(2, self.frames // longest)
        chosen = draw.choice(near, count, replace=len(near) < count)
        return self.batch([(int(i), int(draw.integers(len(self.speech.rates)))) for i in chosen], draw)

    def batch(self, rows: list[tuple[int, int]], draw: np.random.Generator) -> Batch:
        """A batch of (clip, number of the rate)."""
        texts = [numbers_of(self.speech.clips[i].phones) for i, _ in rows]
        mels = [self.speech.mel(i, rate) for i, rate in rows]
        most = max(map(len, texts))
        longest = -(-max(map(len, mels)) // self.factor) * self.factor
        ids, labels = (
            torch.full((len(rows), most), PAD),
            torch.full((len(rows), longest, features.N_MELS), -100.0),
        )
        for row, (text, mel) in enumerate(zip(texts, mels, strict=True)):
            ids[row, : len(text)] = torch.tensor(text)
            labels[row, : len(mel)] = mel
        heard = []
        for i, rate in rows:
            known = self.voices[self.speech.clips[i].voice][rate]
            heard.append(known[int(draw.integers(len(known)))])
        return Batch(ids, (ids != PAD).long(), labels, torch.from_numpy(np.stack(heard)).float())


def heard_voices(
    speech: Speech, embed: Callable[[np.ndarray], np.ndarray], count: int = 8
) -> dict[str, np.ndarray]:
    """Embeddings {voice: (rates, clips, dim)} of some clips of each voice, in each rate at which it is played."""
    found = {}
    for voice, clips in speech.of_voice.items():
        sounds = [speech.clips[i].decode() for i in clips[:count]]
        found[voice] = np.stack([[embed(faster(sound, rate)) for sound in sounds] for rate in speech.rates])
    return found


def loss_fn(model: nn.Module, batch: Batch) -> torch.Tensor:
    """Distance to the log-mel, the decision to stop, and attention that is guided along the diagonal (Tachibana et al., 2018)."""
    return model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        labels=batch.labels,
        speaker_embeddings=batch.voices,
    ).loss


def train(
    steps: int | None = None,
    seed: int = 0,
    state: Path | None = None,
    name: str | Path = "speecht5",
    measure: Callable[[nn.Module], dict[str, str]] | None = None,
    extra: str | None = None,
) -> nn.Module:
    """Train the model and save its folder as `name`; `state` is a file to resume from.

    `extra` is the folder of more speech that `course build-speech` has made; None: the cache.

    Raises:
        CheckpointError: the speaker encoder is not there, in whose numbers voices are told.
    """
    torch.manual_seed(seed)
    encoder = checkpoints.load("speaker_encoder")
    speech = Speech("train", Path(extra) if extra else paths.cache_folder() / "speech")
    valid = Speech("valid", rates=(1.0,))
    voices = heard_voices(speech, encoder.embed)
    model = new_model(next(iter(voices.values())).shape[-1])
    factor = model.config.reduction_factor
    held_out = Batches(valid, heard_voices(valid, encoder.embed, 2), factor, seed=1)
    fixed = [held_out(step) for step in range(4)]

    def evaluate(model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            return {"loss": float(np.mean([float(loss_fn(model, batch)) for batch in fixed]))}

    history = training.fit(
        model, training.ahead(Batches(speech, voices, factor, seed=seed)), loss_fn, steps or STEPS,
        learning_rate=1e-3, clip=1.0, ema=0.999, evaluate=evaluate, every=500, state=state, save_every=250, seed=seed,
        title="speecht5",
    )  # fmt: skip
    if history.interrupted:
        raise KeyboardInterrupt  # nothing is overwritten; `state` goes on
    card = checkpoints.card(
        "speecht5",
        "A small SpeechT5 (Ao et al., 2022) by the classes of `transformers`: phones and a voice to log-mel, for the course's "
        "vocoder. `course_utils.peers.speecht5.ours` opens it.",
        data=f"{len(speech.clips)} clips of synthetic voices, each also played slower and faster",
        seed=seed, history=history,
        metrics={"loss, unseen voices": f"{history.evaluations[-1][1]['loss']:.3f}" if history.evaluations else "–",
                 **(measure(model) if measure else {})},
        limits="English; whether it can be understood is measured in results/, see the notebook",
    )  # fmt: skip
    save(name, model, card)
    return model


def _folder(name: str | Path) -> Path:
    return name if isinstance(name, Path) else paths.checkpoints_folder() / name


def save(name: str | Path, model: nn.Module, card: str) -> Path:
    """Write the folder of a model: weights in 16 bits, configuration, tokens and card; returns it."""
    folder = _folder(name)
    (folder / "model").mkdir(parents=True, exist_ok=True)
    kept = {
        key: value.half() if value.is_floating_point() else value for key, value in model.state_dict().items()
    }
    model.save_pretrained(folder / "model", state_dict=kept, safe_serialization=True)
    (folder / "tokens.json").write_text(json.dumps(TOKENS), encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def load(name: str | Path = "speecht5") -> tuple[nn.Module, tuple[str, ...]]:
    """The model of a folder that `save` wrote, in 32 bits, and its tokens.

    Raises:
        CheckpointError: it is not there, damaged, or of another vocabulary.
    """
    import transformers

    folder = _folder(name)
    try:
        tokens = tuple(json.loads((folder / "tokens.json").read_text(encoding="utf-8")))
        model = transformers.SpeechT5ForTextToSpeech.from_pretrained(
            folder / "model", local_files_only=True, dtype=torch.float32, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise checkpoints.CheckpointError(
            f"there is no SpeechT5 of this course in {folder}, or it is damaged ({str(error).splitlines()[0][:200]}); "
            "make it with: course train speecht5"
        ) from error
    if len(tokens) != model.config.vocab_size:
        raise checkpoints.CheckpointError(
            f"{folder} has {len(tokens)} tokens and a model for {model.config.vocab_size}; make both with: course train speecht5"
        )
    return model.eval(), tokens
