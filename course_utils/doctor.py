"""`course doctor`: looks at this machine and says of each thing the course needs OK, or what to do."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement

from course_utils import install, paths

OK, NOTE, PROBLEM = "OK", "note", "PROBLEM"


@dataclass(frozen=True)
class Line:
    """One finding: what was looked at, how it stands, and what to do unless it is OK."""

    status: str
    what: str
    found: str
    advice: str = ""

    def __str__(self) -> str:
        arrow = f"\n{'':9}-> {self.advice}" if self.advice else ""
        return f"{self.status:>7}  {self.what}: {self.found}{arrow}"


def _this_python(arguments: str) -> str:
    """A command for the Python that runs now, which need not be the first on the path."""
    program = f'"{sys.executable}"' if " " in sys.executable else sys.executable
    return f"{program} -m {arguments}"


def _install_all() -> str:
    return _this_python("pip install -c requirements.lock -e .") + f" in {paths.ROOT}"


def _same(one: str | Path, other: str | Path) -> bool:
    # On Windows and on a Mac two spellings may be one folder.
    return os.path.normcase(Path(one).resolve()) == os.path.normcase(Path(other).resolve())


def _python() -> Iterator[Line]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Line(OK, "Python", found)


def _environment() -> Iterator[Line]:
    """The course is installed in the Python that runs, from this folder, and it is the one of `make lab`."""
    try:
        origin = importlib.metadata.distribution(install.DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        yield Line(PROBLEM, "environment", f"the course is not installed in {sys.prefix}", _install_all())
        return
    source = json.loads(origin or "{}")
    folder = url2pathname(urlsplit(source.get("url", "")).path)
    if source.get("dir_info", {}).get("editable") and not _same(folder, paths.ROOT):
        found = f"in {sys.prefix} the course is {folder}, and this is {paths.ROOT}"
        yield Line(NOTE, "environment", found, f"notebooks use the former; {_install_all()}")
        return
    usual = paths.ROOT / ".venv"
    if usual.is_dir() and not _same(sys.prefix, usual):
        found = f"{sys.prefix}, not the one that `make lab` opens ({usual})"
        yield Line(NOTE, "environment", found, "for that one run the doctor of .venv")
    else:
        yield Line(OK, "environment", sys.prefix)


def _kernel() -> Iterator[Line]:
    """The kernel that the notebooks name is started with the Python that runs."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    where = manager.kernel_spec_manager.find_kernel_specs().get("python3")
    if where is None:
        advice = _this_python("ipykernel install --sys-prefix")
        yield Line(PROBLEM, "kernel", "there is none of the name python3", advice)
        return
    try:
        (program, *_) = manager.format_kernel_cmd()
        found = f"python3 in {where} starts {program}, and this is {sys.executable}"
    except Exception as error:  # a file of others, which may hold anything
        program, found = "", f"python3 in {where} is damaged ({type(error).__name__}: {error})"
    # The folders are compared, because the Python of an environment is a link to another one.
    real = shutil.which(program)
    if real and _same(Path(real).parent, Path(sys.executable).parent):
        yield Line(OK, "kernel", f"python3 is this Python ({where})")
    else:  # without it Jupyter uses the kernel of its own environment
        yield Line(PROBLEM, "kernel", found, _this_python("jupyter kernelspec remove python3"))


def _lab_settings() -> Iterator[Line]:
    from course_utils.widgets import lab_settings

    file = lab_settings.target()
    if lab_settings.installed():
        yield Line(OK, "Lab settings", str(file))
    else:
        found = f"{file} is {'another version' if file.is_file() else 'missing'}: recordings may arrive late"
        advice = _this_python("course_utils.widgets.lab_settings") + ", then start JupyterLab again"
        yield Line(PROBLEM, "Lab settings", found, advice)


def _packages() -> Iterator[Line]:
    wrong, seen = [], 0
    for text in importlib.metadata.requires(install.DISTRIBUTION) or []:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        seen += 1
        if install.installed(requirement) is None:
            try:
                have = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                have = "missing"
            wrong.append(f"{requirement.name} is {have}, needs {requirement.specifier}")
    if wrong:
        yield Line(PROBLEM, "packages", "; ".join(wrong), _install_all())
    else:
        yield Line(OK, "packages", f"{seen} as wanted")


def _torch_pair() -> Iterator[Line]:
    versions = {name: importlib.metadata.version(name).split("+")[0] for name in ("torch", "torchaudio")}
    found = ", ".join(f"{name} {version}" for name, version in versions.items())
    try:
        import torch
        import torchaudio

        # A compiled operation, because a pair that does not fit imports well and fails here.
        emission = torch.zeros(1, 3, 2).log_softmax(-1)
        torchaudio.functional.forced_align(emission, torch.tensor([[1]]))
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        # Reinstalled, because two right versions can be of different builds (with CUDA and without).
        advice = _this_python("pip install --force-reinstall -c requirements.lock torch torchaudio")
        yield Line(PROBLEM, "torch pair", f"{found}: {error}", f"{advice} in {paths.ROOT}")
        return
    yield Line(OK, "torch pair", found)


def _compute() -> Iterator[Line]:
    import psutil
    import torch

    from course_utils import device

    yield Line(
        OK,
        "processor",
        f"{psutil.cpu_count(logical=False)} cores, torch uses {torch.get_num_threads()} threads",
    )
    chosen = device.pick()
    yield Line(OK, "device", f"{chosen} ({chosen.reason})")
    free, total = psutil.virtual_memory().available / 2**30, psutil.virtual_memory().total / 2**30
    found = f"{free:.1f} of {total:.1f} GiB free"
    if free < 2:
        yield Line(NOTE, "memory", found, "the notebooks need about 2 GiB: close other programs")
    else:
        yield Line(OK, "memory", found)
    disk = shutil.disk_usage(Path(__file__).parent).free / 2**30
    advice = "" if disk > 2 else "free some space: decoded audio and downloads need 2 GiB"
    yield Line(OK if disk > 2 else NOTE, "disk", f"{disk:.0f} GiB free", advice)


def _codecs() -> Iterator[Line]:
    import numpy as np
    import soundfile

    broken = []
    tone = 0.1 * np.sin(np.arange(16000) / 10)
    for name, subtype in {"WAV": None, "FLAC": None, "MP3": None, "OGG": "OPUS"}.items():
        buffer = io.BytesIO()
        try:
            soundfile.write(buffer, tone, 16000, format=name, subtype=subtype)
            buffer.seek(0)
            soundfile.read(buffer)
        except (soundfile.LibsndfileError, ValueError) as error:
            broken.append(f"{subtype or name} ({error})")
    found = f"libsndfile {soundfile.__libsndfile_version__}"
    if broken:
        advice = _this_python("pip install --force-reinstall --no-deps soundfile")
        yield Line(PROBLEM, "codecs", f"{found} lacks {', '.join(broken)}", advice)
    else:
        yield Line(OK, "codecs", f"{found}: wav, flac, mp3, opus")


def chromium() -> str | None:
    """Path of a Chromium or Chrome that the browser tests can use; COURSE_CHROMIUM names one."""
    if os.environ.get("COURSE_CHROMIUM"):
        return os.environ["COURSE_CHROMIUM"]
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"):
        if path := shutil.which(name):
            return path
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    return str(mac) if mac.exists() else None


def _browser() -> Iterator[Line]:
    if path := chromium():
        yield Line(OK, "Chromium", path)
    else:
        yield Line(NOTE, "Chromium", "not found", "only the browser tests need it; learners use any browser")


def _data() -> Iterator[Line]:
    from course_utils import checkpoints, data

    try:
        problems = data.verify()
    except data.DataError as error:
        yield Line(PROBLEM, "data", str(error), "git checkout -- data")
        return
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        yield Line(PROBLEM, "data", "; ".join(map(str, problems[:3])) + more, "git checkout -- data")
    else:
        yield Line(OK, "data", f"every file has its checksum in {data.root()}")
    for name in checkpoints.available():
        try:
            document, _ = checkpoints.read(name)
            yield Line(OK, "checkpoint", f"{name}, {document.get('parameters', 0):,} parameters")
        except checkpoints.CheckpointError as error:
            yield Line(PROBLEM, "checkpoint", str(error), "git checkout -- data/checkpoints")


def _optional() -> Iterator[Line]:
    for name, why in {
        "peers": "side-by-side tables",
        "judges": "PESQ, STOI, DNSMOS, an independent recogniser",
    }.items():
        missing = [r.name for r in install.extra(name) if install.installed(r) is None]
        if missing:
            yield Line(
                NOTE,
                name,
                f"not installed: {', '.join(missing)}",
                f"course install {name} (for {why}; rows stay empty)",
            )
        else:
            yield Line(OK, name, "all installed")


CHECKS: tuple[Callable[[], Iterator[Line]], ...] = (
    _python,
    _environment,
    _packages,
    _kernel,
    _lab_settings,
    _torch_pair,
    _compute,
    _codecs,
    _browser,
    _data,
    _optional,
)


def examine() -> list[Line]:
    """All findings in order. A check that breaks is a finding too."""
    lines: list[Line] = []
    for look in CHECKS:
        try:
            lines.extend(look())
        except Exception as error:  # the doctor must not be the patient
            name = re.sub(r"^_", "", look.__name__)
            lines.append(Line(PROBLEM, name, f"{type(error).__name__}: {error}", _install_all()))
    return lines


def healthy(lines: list[Line]) -> bool:
    """No line is a problem; notes are allowed."""
    return all(line.status != PROBLEM for line in lines)
