"""`data.build.sounds`: recorded noises out of packages of Debian, here made by hand and read from the disk."""

import hashlib
import io
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile as sf

from course_utils import audio, data, paths
from course_utils.data import fetch
from data.build import sounds

MIRROR = "https://mirror.example/debian/"


def sound(seconds=1.0, rate=44100, channels=2, silence=0.0):
    """A WAV file as bytes: noise between silent ends."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (int(seconds * rate), channels))
    gap = np.zeros((int(silence * rate), channels))
    file = io.BytesIO()
    sf.write(file, np.concatenate([gap, noise, gap]), rate, format="WAV")
    return file.getvalue()


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def deb(path, files, link=None):
    """Write a package of Debian that holds `files`."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link)
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(info)
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": inner.getvalue()}
    with open(path, "wb") as file:
        file.write(b"!<arch>\n")
        for name, content in parts.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))
    return path


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Two packages on a mirror that is a folder, and their listing."""
    here = tmp_path / "mirror"
    here.mkdir()
    storm = deb(
        here / "storm_1_all.deb",
        {
            "./usr/share/games/storm/wind.wav": sound(silence=0.25),
            "./usr/share/games/storm/not_listed.wav": sound(),
            "./usr/share/games/storm/data.pk3": zipped({"rain.wav": sound(2.0, 16000, 1), "../x": b""}),
        },
        link="./usr/share/games/storm/link.wav",
    )
    tools = deb(here / "tools_2_all.deb", {"./usr/share/tools/saw.wav": sound()})
    listed = {}
    for path, split, names in (
        (storm, "train", ["storm/wind.wav", "storm/data.pk3/rain.wav"]),
        (tools, "valid", ["tools/saw.wav"]),
    ):
        content = path.read_bytes()
        listed[path.name.split("_")[0]] = {
            "version": "1", "path": path.name, "size": len(content), "split": split, "sounds": names,
            "sha256": hashlib.sha256(content).hexdigest(),
        }  # fmt: skip
    monkeypatch.setattr(sounds, "packages", lambda: listed)
    fetched = []

    def copy(archive, path, timeout, attempts):
        assert archive.url == f"https://mirror.example/debian/{archive.name}"
        fetched.append(archive.name)
        shutil.copy(here / archive.name, path)

    monkeypatch.setattr(fetch, "_fetch", copy)
    return listed, fetched


def test_sounds_are_taken_out_of_packages_and_found_by_their_split(mirror, tmp_path, monkeypatch):
    folder = tmp_path / "real" / "debian_sounds"
    assert sounds.build(MIRROR, folder) == 3 and mirror[1] == ["storm_1_all.deb", "tools_2_all.deb"]
    assert sounds.build(MIRROR, folder) == 3 and len(mirror[1]) == 2  # nothing is fetched again
    assert sorted(path.name for path in folder.iterdir()) == [
        "train",
        "valid",
    ]  # no package, nothing unfinished
    wind = audio.load(folder / "train" / "storm" / "storm__wind.wav.flac")
    assert abs(len(wind) - audio.SAMPLE_RATE) < 200 and np.abs(wind).max() == pytest.approx(0.9, abs=1e-3)
    assert len(audio.load(folder / "train" / "storm" / "storm__data.pk3__rain.wav.flac")) == 32000

    monkeypatch.setenv("COURSE_REAL_DATA", str(tmp_path / "real"))
    assert [one.label for one in data.real("debian_sounds", "train")] == ["storm", "storm"]
    (saw,) = data.real("debian_sounds", "valid")
    assert saw.id == "tools/tools__saw.wav" and saw.duration == pytest.approx(1.0, abs=0.01)


def test_the_command_says_what_it_fetches_and_where_it_is(mirror, tmp_path, capsys):
    sounds.main([MIRROR, str(tmp_path)])
    said = capsys.readouterr().out
    assert "2 packages of Debian 12" in said and "free licence" in said and f"3 sounds in {tmp_path}" in said


def test_an_address_that_is_none_is_refused_before_anything_is_fetched(mirror, tmp_path, capsys):
    with pytest.raises(SystemExit):
        sounds.main([str(tmp_path)])  # the folder where the mirror belongs
    assert "expected an address" in capsys.readouterr().err and not mirror[1]


def test_a_package_that_is_not_the_listed_one_is_refused_and_the_next_call_goes_on(mirror, tmp_path):
    listed, _ = mirror
    right = listed["tools"]["sha256"]
    listed["tools"]["sha256"] = "0" * 64
    with pytest.raises(data.DownloadError, match="not the published file"):
        sounds.build(MIRROR, tmp_path)
    assert (tmp_path / "train" / "storm").is_dir() and not (tmp_path / "valid" / "tools").exists()
    listed["tools"]["sha256"] = right
    assert sounds.build(MIRROR, tmp_path) == 3


def test_a_sound_that_is_missing_is_said_and_nothing_half_done_is_kept(mirror, tmp_path):
    mirror[0]["storm"]["sounds"].append("storm/thunder.wav")
    with pytest.raises(ValueError, match="has only 2 of 3 sounds"):
        sounds.build(MIRROR, tmp_path)
    assert not (tmp_path / "train" / "storm").exists() and not list(tmp_path.glob(".unpacking*"))


@pytest.mark.parametrize("content", [b"", b"no package", b"!<arch>\n", b"!<arch>\n" + b"x" * 30])
def test_what_is_no_package_is_refused_in_words(content, tmp_path):
    path = tmp_path / "odd.deb"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a package of Debian|holds no files"):
        sounds.data_archive(path)


def test_the_listing_names_no_kind_of_sound_that_models_are_tested_on():
    listed = sounds.packages()
    names = [name.lower() for package in listed.values() for name in package["sounds"]]
    assert sum(package["split"] == "train" for package in listed.values()) == 62
    assert len(names) == 1641 and {package["split"] for package in listed.values()} == {"train", "valid"}
    assert not [
        name
        for name in names
        if any(word in name for word in ("heli", "copter", "rotor", "blade_v", "ocean", "surf"))
    ]
    assert all(
        len(package["sha256"]) == 64 and package["path"].endswith(".deb") for package in listed.values()
    )


def test_without_the_sounds_the_way_to_get_them_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_REAL_DATA", str(tmp_path))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setattr(paths, "recordings_folders", lambda: [tmp_path])
    with pytest.raises(data.DataError, match=r"python -m data\.build\.sounds"):
        data.real("debian_sounds")
