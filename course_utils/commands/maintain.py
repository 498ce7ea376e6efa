"""What makes and checks the parts of the course: checkpoints, records, exported models, speech."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from functools import partial

from course_utils import paths
from course_utils.commands import KEPT, MAINTAIN, argument, command


@command(
    "train",
    MAINTAIN,
    "train a shipped checkpoint again, with its recipe",
    argument("name", nargs="?", metavar="NAME", help="name of the module in course_utils/recipes"),
    argument("--all", action="store_true", help="every checkpoint, one after the other"),
    argument("--steps", type=int, help="a trial of so many steps (epochs for g2p); it replaces nothing"),
    argument("--synthetic", action="store_true", help="enhancement: a trial without real recordings"),
    interrupted=KEPT,
)
def _train(arguments: argparse.Namespace) -> int:
    from course_utils import recipes

    if bool(arguments.name) == arguments.all:
        raise ValueError(f"name one recipe, or --all; there are: {', '.join(recipes.names())}")
    names = recipes.names() if arguments.all else [arguments.name]
    options = {"real": False} if arguments.synthetic else {}
    for name in names if options else ():  # now, and not when hours of training are over
        if "real" not in inspect.signature(recipes.find(name).train).parameters:
            raise ValueError(f"--synthetic: the recipe of {name} needs no recordings as it is; leave it out")
    for name in names:
        print(recipes.run(name, arguments.steps, _figures(name), **options))
    return 0


def _figures(name: str):
    """What measures the figures of a card, or None: a machine for training needs less than measuring does."""
    try:
        from course_utils.record import topics

        return getattr(topics.of_checkpoint(name), "card_figures", None)
    except ImportError as error:
        print(f"the card will hold no figures of the test, because they can not be measured here: {error}")
        return None


@command(
    "ladder",
    MAINTAIN,
    "train the rungs between naive and final model again, and record them",
    argument("topic", metavar="TOPIC", help="name of a recipe with rungs"),
    argument("--rung", action="append", help="only this rung (may be given several times)"),
    argument("--seeds", type=int, default=3, help="how many seeds (3)"),
    argument("--steps", type=int, help="another number of training steps"),
    argument("--again", action="store_true", help="train also what is recorded already"),
    interrupted=KEPT,
)
def _ladder(arguments: argparse.Namespace) -> int:
    from course_utils.record import ladder

    ladder.run(arguments.topic, arguments.rung, arguments.seeds, arguments.steps, arguments.again)
    print(ladder.table(arguments.topic))
    return 0


@command(
    "scoreboard",
    MAINTAIN,
    "measure what is missing or stale, and write the tables",
    argument("topic", nargs="?", metavar="TOPIC", help="only this topic"),
    argument("--check", action="store_true", help="measure nothing, only say what is stale"),
    argument("--again", action="store_true", help="measure everything"),
    argument(
        "--restamp",
        action="store_true",
        help="measure a sample of what is stale; where no figure changed, mark it fresh",
    ),
    interrupted=KEPT,
)
def _scoreboard(arguments: argparse.Namespace) -> int:
    from course_utils.record import scoreboard, topics

    names = [arguments.topic] if arguments.topic else list(topics.every())
    if arguments.check:
        problems = scoreboard.problems(names)
        print("\n".join(problems) or "the scoreboard is fresh", file=sys.stderr if problems else sys.stdout)
        return 1 if problems else 0
    work = scoreboard.restamp if arguments.restamp else partial(scoreboard.measure, again=arguments.again)
    failures = [line for name in names for line in work(name)]
    print(scoreboard.text(names))
    if written := scoreboard.write_tables():
        print(f"\nwritten: {', '.join(written)}")
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


@command(
    "export",
    MAINTAIN,
    "write the models of the notebooks to course_utils/models",
    argument("--check", action="store_true", help="only say whether they are stale"),
)
def _export(arguments: argparse.Namespace) -> int:
    from course_utils import export

    stale = export.export(check=arguments.check)
    if stale and arguments.check:
        print(
            f"stale in course_utils/models: {', '.join(stale)}; run `course export` and commit",
            file=sys.stderr,
        )
        return 1
    print("models are fresh" if not stale else f"written: {', '.join(stale)}")
    return 0


@command(
    "build-speech",
    MAINTAIN,
    "make more synthetic speech: the corpus again and longer, or new voices to train on",
    argument("--hours", type=float, help="a corpus like the shipped one, of so many hours; needs --out"),
    argument("--voices", type=int, help="so many new voices, mixed from the training voices"),
    argument(
        "--mixtures",
        choices=("wide", "narrow", "phrases"),
        help="wide: weights beyond 0 and 1, both sexes (default); narrow: as in the corpus; "
        "phrases: wide, with short phrases alone",
    ),
    argument("--lines", type=int, help="lines of each new voice (wide 9, narrow 24, phrases 12)"),
    argument("--text", metavar="FILE", help="what new voices read, one sentence a line (old novels)"),
    argument("--out", help="folder to write to (new voices: `speech` in the cache; training finds it there)"),
    argument("--workers", type=int, default=2, help="processes, each with one core and 0.4 GB (2)"),
    interrupted=KEPT,
)
def _build_speech(arguments: argparse.Namespace) -> int:
    out, workers = arguments.out, arguments.workers
    of_voices = {name: getattr(arguments, name) for name in ("mixtures", "lines", "text")}
    of_voices = {name: value for name, value in of_voices.items() if value is not None}
    if (arguments.hours is None) == (arguments.voices is None):
        raise ValueError("give --hours (a corpus like the shipped one) or --voices (new voices), one of them")
    if arguments.hours is not None and of_voices:
        raise ValueError(f"--{next(iter(of_voices))} goes with --voices; leave it out with --hours")
    if arguments.hours is not None and not out:
        raise ValueError("--hours writes a whole data folder: name it with --out")
    # What makes the data stands beside it, outside of the package.
    sys.path.insert(0, str(paths.ROOT))
    if arguments.hours is not None:
        importlib.import_module("data.build.speech").build(hours=arguments.hours, out=out, workers=workers)
    else:
        build = importlib.import_module("data.build.more_speech").build
        build(arguments.voices, out=out, workers=workers, **of_voices)
    return 0


@command(
    "imports",
    MAINTAIN,
    "draw the picture of imports in CONTRIBUTING.md",
    argument("--check", action="store_true", help="only say whether it is stale, or an import goes up"),
)
def _imports(arguments: argparse.Namespace) -> int:
    from course_utils import layers

    stale = layers.write(check=arguments.check)
    problems = layers.problems()
    if stale and arguments.check:
        problems.append("the picture of imports in CONTRIBUTING.md is stale; run `course imports`")
    print("\n".join(problems) or "imports run one way", file=sys.stderr if problems else sys.stdout)
    return 1 if problems else 0
