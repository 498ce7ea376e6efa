"""What the site takes from npm when it is built, by version and checksum; nothing of it is committed."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path


class Unavailable(RuntimeError):
    """A package can not be fetched here; the message says why and what to do."""


@dataclass(frozen=True)
class Package:
    """A package of npm: of what is below `root` in it, only `files` (or folders) are kept."""

    name: str
    version: str
    sha512: str
    root: str
    files: tuple[str, ...]
    licence: str

    def put(self, folder: Path) -> Path:
        """Write its files into `folder`, and beside them what they are; nothing is done where that stands there.

        Raises:
            Unavailable: npm or the network is missing, or what came is not what was asked for.
        """
        about = f"{self.name} {self.version}, {self.licence}; sha512-{self.sha512}\n"
        if (folder / "ABOUT.txt").is_file() and (folder / "ABOUT.txt").read_text("utf-8") == about:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(self._packed())) as archive:
            for member in archive.getmembers():
                inside = member.name.removeprefix(f"{self.root}/")
                wanted = any(inside == file or inside.startswith(f"{file}/") for file in self.files)
                if member.isfile() and wanted and ".." not in Path(inside).parts:
                    (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                    (folder / inside).write_bytes(archive.extractfile(member).read())
        for file in self.files:
            if not (folder / file).exists():
                raise Unavailable(f"{self.name} {self.version} has no {self.root}/{file}")
        (folder / "ABOUT.txt").write_text(about, "utf-8")  # the last, so that half of it is not taken for all
        return folder

    def _packed(self) -> bytes:
        npm, asked = shutil.which("npm"), f"{self.name}@{self.version}"
        if npm is None:
            raise Unavailable(
                f"the book needs npm to fetch {asked}: install Node.js 18 or newer, then repeat"
            )
        with tempfile.TemporaryDirectory() as folder:
            command = [npm, "pack", asked, "--prefer-offline", "--silent"]  # npm's cache serves it later
            try:
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
            except subprocess.TimeoutExpired:
                raise Unavailable(f"npm did not fetch {asked} within 300 s: is there a network?") from None
            found = next(Path(folder).glob("*.tgz"), None)
            if done.returncode or found is None:
                why = (done.stderr or done.stdout).strip()[-500:] or "it wrote no file"
                raise Unavailable(
                    f"npm could not fetch {asked}; is there a network? After that repeat.\n{why}"
                )
            content = found.read_bytes()
        if base64.b64encode(hashlib.sha512(content).digest()).decode() != self.sha512:
            raise Unavailable(f"{asked} as npm gave it has another checksum than expected; nothing was kept")
        return content


MATHJAX = Package(
    "mathjax", "3.2.2", "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
    "package/es5", ("tex-mml-chtml.js", "output/chtml"), "Apache-2.0",
)  # fmt: skip
RUNTIME = Package(  # the smallest set that runs a model on the processor: no WebGL, no WebGPU
    "onnxruntime-web", "1.30.0",
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    "package/dist", ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"), "Microsoft Corporation, MIT",
)  # fmt: skip
