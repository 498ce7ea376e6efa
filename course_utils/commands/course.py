"""The machine, its packages, and more data."""

from __future__ import annotations

import argparse

from course_utils.commands import KEPT, LEARN, argument, command


@command("doctor", LEARN, "look at this machine: what is OK, and what to do about the rest")
def _doctor(arguments: argparse.Namespace) -> int:
    from course_utils import doctor

    lines = doctor.examine()
    print("\n".join(map(str, lines)))
    return 0 if doctor.healthy(lines) else 1


@command(
    "install",
    LEARN,
    "install optional packages where they exist for this machine",
    argument("extras", nargs="+", choices=["peers", "judges"], metavar="EXTRA", help="peers, judges"),
)
def _install(arguments: argparse.Namespace) -> int:
    from course_utils import install

    result = install.install(arguments.extras)
    missing = [name for name, version in result.items() if version is None]
    if missing:
        print(f"Without {', '.join(missing)}: the tables say so in their rows; everything else works.")
    return 0  # a machine for which there is no wheel is not a failure


@command(
    "download",
    LEARN,
    "fetch a public data set (asks the network); without NAME: list them",
    argument("name", nargs="?", metavar="NAME", help="as in the list"),
    argument("--accept-licence", action="store_true", help="agree to the licence shown"),
    interrupted=KEPT,
)
def _download(arguments: argparse.Namespace) -> int:
    from course_utils import data

    if not arguments.name:
        print(data.catalogue())
        return 0
    print(data.download(arguments.name, accept_licence=arguments.accept_licence))
    return 0
