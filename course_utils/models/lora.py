# Written from notebooks/05_voice_cloning.ipynb by `course export`: edit the notebook, not this file.
"""Low-rank updates of linear layers; built in notebook 05."""

__all__ = ['LowRank', 'add_low_rank', 'merge_low_rank']


import torch
from torch import nn


class LowRank(nn.Module):
    """A linear layer that stays as it is, and a low-rank update that learns (LoRA; Hu et al., 2022)."""

    def __init__(self, linear: nn.Linear, rank: int = 4, scale: float = 2.0):
        super().__init__()
        self.linear, self.scale = linear, scale
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))  # so nothing changes at first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., n_in) -> (..., n_out)."""
        return self.linear(x) + self.scale * (x @ self.down.T) @ self.up.T

    def merged(self) -> nn.Linear:
        """The linear layer with the update inside: as fast as it was."""
        with torch.no_grad():
            self.linear.weight += self.scale * self.up @ self.down
        return self.linear


def add_low_rank(module: nn.Module, names: tuple[str, ...] = ("up", "down"), rank: int = 4) -> list:
    """Give linear layers called `names` below a module a low-rank update; returns what learns."""
    found = [(one, name, layer) for one in module.modules() for name, layer in one.named_children()
             if name in names and isinstance(layer, nn.Linear)]  # fmt: skip
    for parent, name, layer in found:
        setattr(parent, name, LowRank(layer, rank).to(layer.weight.device))
    return [
        part for parent, name, _ in found for part in (getattr(parent, name).down, getattr(parent, name).up)
    ]


def merge_low_rank(module: nn.Module) -> nn.Module:
    """Put every update into its layer: a plain network again."""
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LowRank):
                setattr(parent, name, layer.merged())
    return module
