# Written from notebooks/07_responsible_voices.ipynb by `course export`: edit the notebook, not this file.
"""A small detector of synthetic speech: statistics of linear-frequency cepstra and a logistic regression; built in notebook 07."""

__all__ = ['BINS_OF_A_BAND', 'COEFFICIENTS', 'lfcc', 'statistics', 'SpoofDetector']


from course_utils import features


import numpy as np
import torch
import torch.nn.functional as F


BINS_OF_A_BAND, COEFFICIENTS = 8, 20


def lfcc(waveform: np.ndarray) -> np.ndarray:
    """Linear-frequency cepstral coefficients (T, 20): 32 bands of equal width, described by 20 cosines."""
    power = np.abs(features.stft(waveform)[:, 1:]) ** 2
    bands = np.log(power.reshape(len(power), -1, BINS_OF_A_BAND).mean(2) + 1e-8 * power.max() + 1e-12)
    place = (np.arange(bands.shape[1]) + 0.5) / bands.shape[1]
    return bands @ np.cos(np.pi * np.outer(np.arange(1, COEFFICIENTS + 1), place)).T


def statistics(waveform: np.ndarray) -> np.ndarray:
    """What a clip (time,) sounds like in (60,) numbers: mean and deviation of each coefficient, and how fast it changes."""
    table = lfcc(waveform)
    return np.concatenate(
        [table.mean(0), np.log(table.std(0) + 1e-6), np.log(np.diff(table, axis=0).std(0) + 1e-6)]
    )


class SpoofDetector:
    """Logistic regression on `statistics`: the higher the score, the more a clip sounds as made by a machine."""

    def fit(self, real: list, fake: list, decay: float = 1e-2, steps: int = 60) -> "SpoofDetector":
        """Learn from clips; both classes weigh the same, however many there are of each."""
        x = np.stack([statistics(clip) for clip in [*real, *fake]])
        self.mean, self.scale = x.mean(0), x.std(0) + 1e-6
        x = torch.tensor((x - self.mean) / self.scale, dtype=torch.float32)
        y = torch.tensor([0.0] * len(real) + [1.0] * len(fake))
        weight = torch.where(y > 0, 1 / len(fake), 1 / len(real)) * len(y) / 2
        self.w, self.b = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
        optimizer = torch.optim.LBFGS([self.w, self.b], max_iter=steps)

        def loss():
            optimizer.zero_grad()
            value = (
                F.binary_cross_entropy_with_logits(x @ self.w + self.b, y, weight) + decay * (self.w**2).sum()
            )
            value.backward()
            return value

        optimizer.step(loss)
        return self

    def score(self, waveform: np.ndarray) -> float:
        """The logit of being synthetic: above 0 more likely than not."""
        x = torch.tensor((statistics(waveform) - self.mean) / self.scale, dtype=torch.float32)
        return float((x @ self.w + self.b).detach()[0])
