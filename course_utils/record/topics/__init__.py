"""What each notebook measures and how its tables look: one module per topic, found by being here.

A topic module has

- `NOTEBOOK`: number of its notebook, for the order;
- `LIBRARIES`: distributions whose versions are recorded beside the figures;
- `entries()`: yields a `scoreboard.Entry` for every measurement;
- `text()`: the recorded tables in Markdown;
- `headline()`: rows for the short table of the README: {"task", "measured on", "measure", "this course",
  "best of the others"};
- `require()`: raises DataError where what it measures on is not here;
- `material()`: fingerprint of the data that its ladder learns from and is measured on (where its recipe has rungs);
- `rung_figures(model)`: what is measured of a rung of the ladder (where its recipe has rungs);
- `card_figures(model)`: what is measured for the card of the checkpoint (where it has one);
- `CHECKPOINTS`: names of its checkpoints, where these are not the one that is called as the topic is.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType


def every() -> dict[str, ModuleType]:
    """All topics by name, in the order of their notebooks."""
    names = [path.stem for path in Path(__file__).parent.glob("[a-z]*.py")]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return dict(sorted(modules.items(), key=lambda item: (item[1].NOTEBOOK, item[0])))


def find(name: str) -> ModuleType:
    """The module of one topic.

    Raises:
        ValueError: there is no such topic.
    """
    topics = every()
    if name not in topics:
        raise ValueError(f"there is no topic {name!r}; there are {', '.join(topics)}")
    return topics[name]


def of_checkpoint(name: str) -> ModuleType | None:
    """The topic that measures a checkpoint, None where none does."""
    topics = every()
    owners = [topic for topic in topics.values() if name in getattr(topic, "CHECKPOINTS", ())]
    return next(iter(owners), topics.get(name))
