"""The three parts of every collection: to train on, to develop on, and to test on."""

SPLITS = ("train", "valid", "test")


def check_split(split: str | None) -> None:
    """Refuse what is no split; None stands for all of them. Raises ValueError."""
    if split is not None and split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
