"""Every folder is found in one place, and a variable moves it."""

from pathlib import Path

import pytest

from course_utils import paths


@pytest.mark.parametrize(
    ("variable", "folder"), [("COURSE_DATA", paths.data_folder), ("COURSE_CACHE", paths.cache_folder)]
)
def test_a_variable_moves_a_folder_and_the_home_sign_is_expanded(monkeypatch, variable, folder):
    monkeypatch.setenv("HOME", "/home/learner")
    monkeypatch.setenv("USERPROFILE", "/home/learner")
    monkeypatch.setenv(variable, "~/sound")
    assert folder() == Path("/home/learner/sound").absolute()
    monkeypatch.setenv(variable, "  ")
    assert folder().is_absolute() and folder().name in ("data", "audio-speech-course")


def test_a_relative_folder_stays_where_it_was_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COURSE_CACHE", "cache")
    folder = paths.cache_folder()
    assert folder == tmp_path / "cache" and paths.downloads_folder() == folder / "downloads"


def test_recordings_are_looked_for_where_the_readme_says(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_REAL_DATA", raising=False)
    assert paths.recordings_folders() == [paths.ROOT / "recordings"]
    monkeypatch.setenv("COURSE_REAL_DATA", str(tmp_path))
    assert paths.recordings_folders() == [tmp_path, paths.ROOT / "recordings"]


def test_a_home_folder_that_is_not_there_is_a_sentence(monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", "~nobody-of-this-name/x")
    with pytest.raises(ValueError, match="COURSE_CACHE names '~nobody-of-this-name/x'"):
        paths.cache_folder()
