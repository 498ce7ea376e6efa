"""Virtual speakers: mixtures of style tables under neutral names, and how they were chosen.

    python -m data.build.voices        choose them again -> voices.json

The tables are split first and mixed afterwards, so no parent of a validation or test voice is a parent of
a training voice (nor is one of a test voice a parent of a validation voice).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from data.build import engine

RECIPES = Path(__file__).with_name("voices.json")
COUNTS = {"train": 24, "valid": 4, "test": 12}  # per sex
LANGUAGES = {"a": "en-US", "b": "en-GB", "e": "es", "f": "fr", "h": "hi", "i": "it", "j": "ja", "p": "pt",
             "z": "zh"}  # fmt: skip

# Not used: af_nicole whispers; am_santa is a caricature; pf_dora, pm_alex and pm_santa are near-duplicates
# of ef_dora, em_alex and em_santa.
PARENTS = {
    "train": {
        "f": "af_alloy af_aoede af_bella af_heart af_jessica af_kore af_nova af_river af_sarah bf_emma "
        "bf_isabella".split(),
        "m": "am_adam am_echo am_eric am_fenrir am_liam am_michael am_onyx am_puck bm_daniel "
        "bm_george".split(),
    },
    "valid": {
        "f": "ff_siwis jf_gongitsune zf_xiaobei zf_xiaoni".split(),
        "m": "bm_lewis hm_psi zm_yunjian zm_yunxia".split(),
    },
    "test": {
        "f": "af_sky bf_alice bf_lily ef_dora hf_alpha hf_beta if_sara jf_alpha jf_nezumi jf_tebukuro "
        "zf_xiaoxiao zf_xiaoyi".split(),
        "m": "bm_fable em_alex em_santa hm_omega im_nicola jm_kumo zm_yunxi zm_yunyang".split(),
    },
}


@dataclass(frozen=True)
class Voice:
    """A virtual speaker: `mix` maps parent tables to weights that sum to one."""

    name: str
    sex: str
    split: str
    mix: dict[str, float]

    @property
    def table(self) -> np.ndarray:
        """Style table of the mixture, shape (510, 256)."""
        return blend(self.mix)

    @property
    def languages(self) -> list[str]:
        """Languages of the parent tables; this is all that is shipped about them."""
        return sorted({LANGUAGES[parent[0]] for parent in self.mix})


def blend(mix: dict[str, float]) -> np.ndarray:
    """Return the weighted sum of style tables."""
    if abs(sum(mix.values()) - 1) > 1e-3:
        raise ValueError(f"weights must sum to one, got {mix}")
    tables = engine.tables()
    return sum(np.float32(weight) * tables[name] for name, weight in mix.items())


def propose(parents: list[str], count: int, seed: int) -> list[dict[str, float]]:
    """Draw `count` random mixtures: three of four of two parents (weights 0.35 to 0.65), the rest of three."""
    rng = np.random.default_rng(seed)
    proposals: list[dict[str, float]] = []
    while len(proposals) < count:
        size = 3 if rng.random() < 0.25 else 2
        names = sorted(rng.choice(parents, size=size, replace=False).tolist())
        first = rng.uniform(0.35, 0.65)
        weights = np.array([first, 1 - first]) if size == 2 else rng.dirichlet([12] * 3)
        weights = np.round(weights, 2)
        weights[-1] = round(1 - weights[:-1].sum(), 2)
        proposals.append(dict(zip(names, weights.tolist(), strict=True)))
    return proposals


def spread(embeddings: np.ndarray, count: int, start: int = 0) -> list[int]:
    """Choose `count` rows, each time the one least similar to its nearest chosen neighbour."""
    similarity = embeddings @ embeddings.T
    chosen = [start]
    nearest = similarity[start].copy()
    while len(chosen) < count:
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(similarity[chosen].max(0), -1)
    return chosen


@cache
def load() -> tuple[Voice, ...]:
    """Return the chosen voices, training voices first."""
    recipes = json.loads(RECIPES.read_text(encoding="utf-8"))
    return tuple(Voice(name, r["sex"], r["split"], r["mix"]) for name, r in recipes.items())


def split_of_parent(parent: str) -> str | None:
    """Return the split that may use a style table, None for an unused one."""
    for split, by_sex in PARENTS.items():
        if parent in by_sex["f"] + by_sex["m"]:
            return split
    return None


@cache
def encoder():
    """Return the Resemblyzer speaker encoder on the CPU."""
    from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False)


def timbre(table: np.ndarray) -> np.ndarray:
    """Return the direction of a table's timbre half from the mean of all tables, shape (128,)."""
    centre = np.mean([t[20:160, :128].mean(0) for t in engine.tables().values()], axis=0)
    vector = table[20:160, :128].mean(0) - centre
    return vector / np.linalg.norm(vector)


def choose() -> dict[str, dict]:
    """Propose ten times as many mixtures as are needed, keep those whose timbres differ most.

    That they also sound different is measured on the finished speech (`python -m data.build.report`).
    """
    recipes = {}
    number = {"f": 0, "m": 0}
    for split, count in COUNTS.items():
        for sex in "fm":
            proposals = propose(PARENTS[split][sex], 10 * count, seed=len(split) * 10 + ord(sex))
            picked = spread(np.stack([timbre(blend(mix)) for mix in proposals]), count)
            for k in picked:
                number[sex] += 1
                name = f"{sex}{number[sex]:02d}"
                recipes[name] = {"sex": sex, "split": split, "mix": proposals[k]}
    order = {split: k for k, split in enumerate(COUNTS)}
    return dict(sorted(recipes.items(), key=lambda item: (order[item[1]["split"]], item[0])))


if __name__ == "__main__":
    RECIPES.write_text(json.dumps(choose(), indent=1) + "\n", encoding="utf-8")
