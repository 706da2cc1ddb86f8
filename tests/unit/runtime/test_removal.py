"""Whatever a function or a package leaves can be removed, and never keeps a server from starting."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.runtime import removal
from keyturn.runtime.removal import remake, remove

_DEPTH = 1_200


def dig(directory: Path, depth: int) -> None:
    """Make directories below each other, each with a file: deeper than a path can be long."""
    directory.mkdir()
    descriptor = os.open(directory, os.O_RDONLY)
    for _ in range(depth):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        os.mkdir("further", dir_fd=descriptor)
        below = os.open("further", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A file that must survive."""
    path = tmp_path / "outside" / "kept"
    path.parent.mkdir()
    path.write_text("kept")
    yield path
    assert path.read_text() == "kept"


def test_a_directory_is_removed_however_deep_it_is(tmp_path: Path) -> None:
    dig(tmp_path / "deep", _DEPTH)

    remove(tmp_path / "deep")

    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_what_they_lead_to(tmp_path: Path, outside: Path) -> None:
    directory = tmp_path / "linked"
    (directory / "a").mkdir(parents=True)
    for link in (directory / "link", directory / "a" / "link"):
        link.symlink_to(outside.parent)
    (tmp_path / "top").symlink_to(outside.parent)

    remove(directory)
    remove(tmp_path / "top")

    assert [path.name for path in tmp_path.iterdir()] == ["outside"]


def test_a_link_that_takes_the_place_of_a_directory_leads_nowhere(
    tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch" / "a" / "b").mkdir(parents=True)
    lift = removal._lift

    def lift_late(path: Path, top: Path) -> Path:
        path.rmdir()
        path.symlink_to(outside.parent)
        return lift(path, top)

    monkeypatch.setattr(removal, "_lift", lift_late)

    remove(tmp_path / "scratch")

    assert [path.name for path in tmp_path.iterdir()] == ["outside"]


def test_closed_directories_are_removed(tmp_path: Path) -> None:
    closed = tmp_path / "scratch" / "a" / "closed"
    (closed / "inside").mkdir(parents=True)
    for path in (closed / "inside", closed, closed.parent, closed.parent.parent):
        path.chmod(0)

    remove(tmp_path / "scratch")

    assert list(tmp_path.iterdir()) == []


def test_what_is_gone_is_removed_already(tmp_path: Path) -> None:
    remove(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_made_anew_over_whatever_is_there(tmp_path: Path) -> None:
    directory = tmp_path / "runtime" / "packages"
    remake(directory)
    dig(directory / "deep", _DEPTH)
    remake(directory)

    assert list(directory.parent.iterdir()) == [directory]
    assert list(directory.iterdir()) == []


def test_what_cannot_be_removed_is_put_aside_and_removed_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "packages"
    directory.mkdir()
    (directory / "stays").write_text("")
    with monkeypatch.context() as stubborn:
        stubborn.setattr(removal, "remove", lambda _: None)
        remake(directory)
        assert list(directory.iterdir()) == []
        assert len(list(tmp_path.iterdir())) == 2
    remake(directory)

    assert list(tmp_path.iterdir()) == [directory]
