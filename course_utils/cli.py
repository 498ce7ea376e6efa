"""The `course` command: everything of the course that is not a notebook."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def _doctor(arguments: argparse.Namespace) -> int:
    from course_utils import doctor

    lines = doctor.examine()
    print("\n".join(map(str, lines)))
    return 0 if doctor.healthy(lines) else 1


def _install(arguments: argparse.Namespace) -> int:
    from course_utils import install

    result = install.install(arguments.extras)
    missing = [name for name, version in result.items() if version is None]
    if missing:
        print(f"Without {', '.join(missing)}: the tables say so in their rows; everything else works.")
    return 0  # a machine for which there is no wheel is not a failure


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


def _download(arguments: argparse.Namespace) -> int:
    from course_utils import data

    if not arguments.name:
        print(data.catalogue())
        return 0
    print(data.download(arguments.name, accept_licence=arguments.accept_licence))
    return 0


def _builder(name: str):
    """A module of data/build: what makes the data lives beside it, outside of the package."""
    import importlib

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    return importlib.import_module(f"data.build.{name}")


def _train(arguments: argparse.Namespace) -> int:
    import importlib
    import inspect

    from course_utils.download import cache_folder

    package = "recipes" if arguments.name == "g2p" else "models"  # g2p belongs to no notebook
    trained = ["g2p", *(path.stem for path in (Path(__file__).parent / "models").glob("[a-z]*.py"))]
    if arguments.name not in trained:
        raise ValueError(f"no recipe {arguments.name!r}; there are: {', '.join(sorted(trained))}")
    recipe = importlib.import_module(f"course_utils.{package}.{arguments.name}").train
    options = {"real": False} if arguments.synthetic else {}
    if options and "real" not in inspect.signature(recipe).parameters:
        raise ValueError(f"the recipe of {arguments.name} needs no real recordings; leave --synthetic out")
    # Kept until the checkpoint is written, so that the same command goes on after an interruption.
    run = f"{arguments.name}-{'synthetic-' if options else ''}{arguments.steps or 'all'}"
    state = cache_folder() / "training" / f"{run}.safetensors"
    state.parent.mkdir(parents=True, exist_ok=True)
    recipe(steps=arguments.steps, state=state, **options)
    for file in state.parent.glob(f"*{state.name}"):
        file.unlink()
    return 0


def _ladder(arguments: argparse.Namespace) -> int:
    from course_utils import ladder

    ladder.run(arguments.topic, arguments.rung, arguments.seeds, arguments.steps, arguments.again)
    print(ladder.table(arguments.topic))
    return 0


def _scoreboard(arguments: argparse.Namespace) -> int:
    from course_utils import scoreboard

    topics = (arguments.topic,) if arguments.topic else scoreboard.TOPICS
    if arguments.check:
        problems = scoreboard.problems(topics)
        print("\n".join(problems) or "the scoreboard is fresh", file=sys.stderr if problems else sys.stdout)
        return 1 if problems else 0
    failures = [line for topic in topics for line in scoreboard.measure(topic, arguments.again)]
    print(scoreboard.text(topics))
    if scoreboard.write_readme():
        print("\nwritten: README.md")
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


def _enhance(arguments: argparse.Namespace) -> int:
    from course_utils import checkpoints, denoise

    print(denoise.denoise(arguments.source, arguments.target, checkpoints.load("enhancement")))
    return 0


_METRES = {"4/4": (16, 0), "3/4": (12, 0), "3/2": (24, 0)}


def _compose(arguments: argparse.Namespace) -> int:
    from course_utils import audio, checkpoints, music

    composer = checkpoints.load("music")
    grid = composer.generate(
        arguments.steps,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        seed=arguments.seed,
        metre=_METRES[arguments.metre],
        strict=not arguments.free,
    )
    print(music.save_midi(arguments.target, grid))
    if arguments.wav:
        print(audio.save(arguments.wav, music.synthesise(grid)))
    return 0


def _build_speech(arguments: argparse.Namespace) -> int:
    _builder("speech").build(hours=arguments.hours, out=arguments.out)
    return 0


def parser() -> argparse.ArgumentParser:
    """All sub-commands with their options."""
    top = argparse.ArgumentParser(prog="course", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run, about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(run=run)
        return command

    add("doctor", _doctor, "look at this machine: what is OK, and what to do about the rest")
    command = add("install", _install, "install optional packages where they exist for this machine")
    command.add_argument(
        "extras", nargs="+", choices=["peers", "judges"], metavar="EXTRA", help="peers, judges"
    )
    command = add(
        "download", _download, "fetch a public data set (asks the network; without NAME: list them)"
    )
    command.add_argument("name", nargs="?")
    command.add_argument("--accept-licence", action="store_true", help="agree to the licence shown")
    command = add("train", _train, "train a shipped checkpoint again, with the recipe of its notebook")
    command.add_argument("name", help="name of the module in course_utils/models")
    command.add_argument("--steps", type=int, default=None, help="another number of steps (epochs for g2p)")
    command.add_argument("--synthetic", action="store_true", help="enhancement: without real recordings")
    command = add("export", _export, "write the models of the notebooks to course_utils/models")
    command.add_argument("--check", action="store_true", help="only say whether they are stale")
    command = add("ladder", _ladder, "train the rungs between naive and final model again, and record them")
    command.add_argument("topic", help="name of the module in course_utils/models: enhancement, music")
    command.add_argument("--rung", action="append", help="only this rung (may be given several times)")
    command.add_argument("--seeds", type=int, default=3, help="how many seeds (3)")
    command.add_argument("--steps", type=int, default=None, help="another number of training steps")
    command.add_argument("--again", action="store_true", help="train also what is recorded already")
    command = add("scoreboard", _scoreboard, "measure what is missing or stale, and write the tables")
    command.add_argument("topic", nargs="?", choices=["enhancement", "music"], metavar="TOPIC")
    command.add_argument("--check", action="store_true", help="measure nothing, only say what is stale")
    command.add_argument("--again", action="store_true", help="measure everything")
    command = add(
        "enhance",
        _enhance,
        "remove noise from a sound file of any length. Length, sample rate, channels and format stay; what lies "
        "above 8 kHz is dropped, because the model works below and noise would be most of it. An existing TARGET "
        "is replaced once the new one is complete",
    )
    command.add_argument("source", metavar="SOURCE", help="noisy file")
    command.add_argument("target", metavar="TARGET", help="cleaned file; its ending says the format")
    command = add("compose", _compose, "write a chorale of one's own as a MIDI file")
    command.add_argument("target", metavar="OUT.MID")
    command.add_argument("--wav", metavar="OUT.WAV", help="also as sound")
    command.add_argument("--seed", type=int, default=0, help="another piece (0)")
    command.add_argument("--steps", type=int, default=256, help="length in 16th notes (256)")
    command.add_argument("--temperature", type=float, default=1.0, help="below 1: more careful (1)")
    command.add_argument(
        "--top-p", type=float, default=0.95, help="share of probability to choose from (0.95)"
    )
    command.add_argument("--metre", choices=sorted(_METRES), default="4/4")
    command.add_argument("--free", action="store_true", help="allow parallel fifths and octaves")
    command = add("build-speech", _build_speech, "make more synthetic speech like the shipped corpus")
    command.add_argument("--hours", type=float, required=True)
    command.add_argument("--out", required=True, help="folder to write to")
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command; what goes wrong in a known way is one sentence, not a traceback."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        print(f"course: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
