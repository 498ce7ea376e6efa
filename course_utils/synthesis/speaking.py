"""What every model that speaks can do: named voices, voices that it hears, whole texts, and a stream of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from course_utils import features
from course_utils.synthesis.sentences import sentences, settings
from course_utils.waveform import check


class Speaking:
    """For a network with `plan(sentence, voice, speed, pitch, guided)`, `decode(plan, noise, first, end, steps, guidance)`,
    `voice_encoder`, `voices` (speakers, voice), `speakers`, `context` and a `vocoder`."""

    CHUNK = 32
    """Frames that are decoded at first: 0.5 s. Each chunk is twice as long as the one before, for frames at the edge of a
    chunk are computed twice, and while a chunk plays there is time for a longer one; up to `LARGEST`."""
    LARGEST = 256
    TEMPERATURE = 0.8
    """Deviation of the noise that the flow begins with."""
    GUIDANCE = 1.25
    """Strength where none is asked for: chosen on validation sentences, where named voices were told from their neighbours
    better than at 0.5 and 1. A copy that has learnt one voice has another (`recipes.tts.LEARNT_GUIDANCE`)."""

    speakers: tuple[str, ...]
    context: int
    vocoder: Any = None

    def voice(self, speaker: str) -> np.ndarray:
        """The numbers (voice,) of one of `speakers`, of length 1.

        Raises:
            ValueError: there is no such speaker.
        """
        if speaker not in self.speakers:
            raise ValueError(f"there is no speaker {speaker!r}; there are {', '.join(self.speakers)}")
        voice = self.voices[self.speakers.index(speaker)].cpu().numpy()
        if not voice.any():
            raise ValueError(
                f"the voice of {speaker!r} was never set; recipes.tts.finish does so after training"
            )
        return voice / np.linalg.norm(
            voice
        )  # weights that are stored in few bits are not exactly of length 1

    def embed(self, reference: np.ndarray) -> np.ndarray:
        """The numbers (voice,) of whoever speaks in a waveform (time,), at least 0.5 s of it; of length 1.

        Raises:
            ValueError: too short, silent, or no waveform.
        """
        waveform = check(reference, "the reference", min_seconds=0.5)
        if np.abs(waveform).max() < 1e-4:
            raise ValueError("the reference is silent, so there is no voice in it")
        log_mel = torch.from_numpy(features.log_mel(waveform))[None]
        with torch.inference_mode():
            return self.voice_encoder(log_mel.to(self.voices.device))[0].cpu().numpy()

    def mix(self, first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
        """A voice (voice,) between two, of length 1: `share` 0 is the first, 1 the second.

        Raises:
            ValueError: a share out of 0 to 1, no voices, or voices that are opposite, with nothing between them.
        """
        if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share <= 1:
            raise ValueError(f"share: expected a number from 0 (the first) to 1 (the second), got {share!r}")
        between = (1 - share) * self.asked(None, first) + share * self.asked(None, second)
        size = float(np.linalg.norm(between))
        if size < 1e-4:
            raise ValueError(
                "these two voices are opposite, so there is none in the middle; take another share"
            )
        return (between / size).astype(np.float32)

    def asked(self, speaker: str | None, spk_emb: np.ndarray | None) -> np.ndarray:
        """The voice (voice,) that is meant: by name, by its numbers, or the first one."""
        if speaker is not None and spk_emb is not None:
            raise ValueError("give a speaker or spk_emb, not both")
        if spk_emb is None:
            return self.voice(self.speakers[0] if speaker is None else speaker)
        size = self.voices.shape[1]
        try:
            voice = np.asarray(spk_emb, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"spk_emb: expected ({size},) numbers as `embed` gives them: {error}") from error
        if voice.shape != (size,) or not np.isfinite(voice).all() or not voice.any():
            raise ValueError(
                f"spk_emb: expected ({size},) finite numbers as `embed` gives them, not all 0, got shape {voice.shape}"
            )
        return voice / np.linalg.norm(voice)

    def mels(
        self, sentence: str, voice: np.ndarray, noise: torch.Generator, how: dict, own: Mapping | None = None
    ) -> Iterator[np.ndarray]:
        """Log-mel of a sentence in chunks (frames, 80), the same as at once within 1e-4.

        Around a chunk `context` frames are decoded with it, as far as one step of the flow sees; what later steps see
        beyond that is lost in rounding.
        """
        plan = self.plan(sentence, voice, how["speed"], how["pitch"], how["guidance"] > 0, own)
        n = plan.n_frames
        start = self.TEMPERATURE * torch.randn(n, features.N_MELS, generator=noise)
        at, size = 0, self.CHUNK
        while at < n:
            end, first = min(at + size, n), max(0, at - self.context)
            mel = self.decode(plan, start, first, min(n, end + self.context), how["steps"], how["guidance"])
            yield mel[at - first : end - first]
            at, size = end, max(size, min(2 * size, self.LARGEST))

    def stream(
        self,
        text: str | Iterable[str],
        speaker: str | None = None,
        spk_emb: np.ndarray | None = None,
        seed: int = 0,
        own: Mapping[str, Sequence[str]] | None = None,
        **how: Any,
    ) -> Iterator[np.ndarray]:
        """The same as `say` in pieces of waveform (time,), each as soon as it is there; some are empty.

        Memory holds one sentence, however long the text is.
        """
        voice, how = self.asked(speaker, spk_emb), settings(**{"guidance": self.GUIDANCE, **how})
        if isinstance(seed, bool) or not isinstance(seed, Integral) or not abs(int(seed)) < 2**63:
            raise ValueError(f"seed: expected a whole number of at most 18 digits, got {seed!r}")
        if self.vocoder is None:
            raise RuntimeError("this model has no vocoder; checkpoints.load gives it one")
        parts, noise = sentences(text), torch.Generator().manual_seed(int(seed))

        def pieces() -> Iterator[np.ndarray]:
            for sentence in parts:
                vocoder = self.vocoder.stream()
                for mel in self.mels(sentence, voice, noise, how, own):
                    yield vocoder.push(mel)
                yield vocoder.finish()

        return pieces()

    def say(
        self,
        text: str | Iterable[str],
        speaker: str | None = None,
        spk_emb: np.ndarray | None = None,
        seed: int = 0,
        own: Mapping[str, Sequence[str]] | None = None,
        **how: Any,
    ) -> np.ndarray:
        """Text -> waveform (time,) at 16 kHz.

        Args:
            text: English; read sentence by sentence. Also parts of a text, for example paragraphs: they are taken as
                they are needed.
            speaker: one of `speakers`; None: the first.
            spk_emb: instead of it a voice (voice,) of `embed` or `mix`.
            seed: of the noise that the flow begins with.
            own: phones of words that are said otherwise than the dictionary has them, as in `text.spoken`.
            how: `speed` 0.25 to 4, `pitch` in semitones, `steps` of the flow, `guidance`, 0 for none.

        Raises:
            TypeError, ValueError: nothing to say, no such speaker, or a setting out of its range.
        """
        return np.concatenate(list(self.stream(text, speaker, spk_emb, seed, own, **how)))
