"""When each phone is said, found without being told: monotonic alignment search, and Gaussians that learn by it."""

from __future__ import annotations

import numpy as np


def monotonic_path(scores: np.ndarray) -> np.ndarray:
    """Monotonic alignment search (Kim et al., 2020): scores (P, T) of phone p at frame t -> frames of each phone (P,).

    Of all ways to go through the phones in order, at least one frame each, the one whose scores have the largest sum.
    ValueError: not a matrix, not a number, no phones, or fewer frames than phones.
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or not 0 < len(scores) <= scores.shape[1]:
        raise ValueError(f"scores: expected (phones, frames) with a frame for each phone, got {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError("scores: some are not a number; a phone that never occurs has no mean")
    phones, frames = scores.shape
    best = np.r_[scores[0, 0], np.full(phones - 1, -np.inf)]  # the first frame belongs to the first phone
    moved = np.zeros((frames, phones), dtype=bool)
    for t in range(1, frames):
        before = np.r_[-np.inf, best[:-1]]
        moved[t] = before > best
        best = np.maximum(before, best) + scores[:, t]
    durations, p = np.zeros(phones, dtype=int), phones - 1  # and the last frame to the last
    for t in range(frames - 1, -1, -1):
        durations[p] += 1
        p -= moved[t, p]
    return durations


class Aligner:
    """Every kind of phone is a Gaussian about its mean frame. Align, take the means, align again: Viterbi training."""

    def __init__(self, mels: list[np.ndarray], phones: list[np.ndarray], kinds: int):
        """Log-mels (T, 80) of one voice, the phones (P,) of each as numbers below `kinds`; durations begin equal."""
        every = np.concatenate(mels)
        self.mels = [((mel - every.mean(0)) / every.std(0)).clip(-3) for mel in mels]
        self.phones, self.kinds = phones, kinds
        edges = [np.linspace(0, len(mel), len(p) + 1).round() for mel, p in zip(mels, phones, strict=True)]
        self.durations = [np.diff(e).astype(int) for e in edges]

    def learn(self) -> None:
        """Mean (kinds, 80) and common variance (80,) of the frames that each kind of phone has now."""
        frames = np.concatenate(self.mels)
        kind = np.concatenate([np.repeat(p, d) for p, d in zip(self.phones, self.durations, strict=True)])
        held = np.eye(self.kinds)[kind]  # (frames, kinds): 1 where a frame belongs to a kind
        self.mean = held.T @ frames / held.sum(0).clip(1)[:, None]
        self.variance = ((frames - self.mean[kind]) ** 2).mean(0)

    def scores(self, clip: int) -> np.ndarray:
        """Log-likelihood (P, T) of the frames of a clip under its phones, without what is the same for all phones."""
        mean, scaled = self.mean[self.phones[clip]], self.mels[clip] / self.variance
        return mean @ scaled.T - (mean**2 / self.variance).sum(1)[:, None] / 2

    def realign(self) -> None:
        """The best durations under the Gaussians of now."""
        self.durations = [monotonic_path(self.scores(clip)) for clip in range(len(self.mels))]
