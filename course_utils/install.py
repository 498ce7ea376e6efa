"""`course install peers judges`: optional packages one by one, where there is a wheel for this machine.

They are installed without their dependencies: some ask for packages that no longer install, and a peer
must not change the versions the course runs on. What they need is listed in pyproject.toml beside them.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
DISTRIBUTION = "audio-speech-course"


def extra(name: str) -> list[Requirement]:
    """The requirements of one extra of pyproject.toml.

    Raises:
        ValueError: there is no such extra.
    """
    metadata = importlib.metadata.metadata(DISTRIBUTION)
    extras = metadata.get_all("Provides-Extra") or []
    if name not in extras:
        raise ValueError(f"no extra {name!r}; there are: {', '.join(sorted(extras))}")
    found = []
    for line in importlib.metadata.requires(DISTRIBUTION) or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            if requirement.marker.evaluate({"extra": name}):
                found.append(requirement)
    return found


def installed(requirement: Requirement) -> str | None:
    """The version that is installed when it meets the requirement, else None."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return version if requirement.specifier.contains(version, prereleases=True) else None


def install(extras: list[str]) -> dict[str, str | None]:
    """Install what is missing of `extras`; name to version, or None where it could not be had."""
    wanted = {r.name: r for name in extras for r in extra(name)}
    result: dict[str, str | None] = {}
    for name, requirement in sorted(wanted.items()):
        if installed(requirement) is None:
            command = [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--disable-pip-version-check",
            ]
            command += ["-c", str(LOCK)] if LOCK.exists() else []
            run = subprocess.run([*command, f"{name}{requirement.specifier}"], capture_output=True, text=True)
            if run.returncode:
                reason = (run.stderr.strip().splitlines() or ["pip said nothing"])[-1]
                print(f"  {name}: not installed ({reason})", flush=True)
        importlib.invalidate_caches()
        result[name] = installed(requirement)
        if result[name]:
            print(f"  {name} {result[name]}", flush=True)
    return result
