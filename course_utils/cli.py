"""The `course` command: everything of the course that is not a notebook."""

from __future__ import annotations

import argparse
import sys
import textwrap

import course_utils
from course_utils import commands


def _summary() -> str:
    """All commands with what they do, one list for each audience."""
    lines = []
    for audience in (commands.LEARN, commands.MAINTAIN):
        lines += ["", f"{audience}:"]
        for each in commands.every().values():
            if each.audience == audience:
                lines += textwrap.wrap(
                    each.about, 96, initial_indent=f"  {each.name:<14}", subsequent_indent=" " * 16
                )
    return "\n".join(lines[1:]) + "\n\n`course COMMAND --help` says what a command takes."


def parser() -> argparse.ArgumentParser:
    """All sub-commands with their options."""
    top = argparse.ArgumentParser(
        prog="course",
        usage="course [-h] [-V] COMMAND ...",
        description="Everything of the course that is not a notebook.",
        epilog=_summary(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("-V", "--version", action="version", version=f"course {course_utils.__version__}")
    # argparse knows one list of commands; ours, by audience, stands in the epilog.
    parsers = top.add_subparsers(required=True, prog="course", metavar="COMMAND", help=argparse.SUPPRESS)
    for each in commands.every().values():
        about = f"{each.about}. {each.more}" if each.more else each.about
        sub = parsers.add_parser(each.name, description=about)
        sub.set_defaults(run=each.run, interrupted=each.interrupted)
        for names, options in each.arguments:
            sub.add_argument(*names, **options)
    return top


def main(argv: list[str] | None = None) -> int:
    """Run a sub-command; what goes wrong in a known way is one sentence, not a traceback."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print(arguments.interrupted, file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        print("\n".join([f"course: {error}", *getattr(error, "__notes__", [])]), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
