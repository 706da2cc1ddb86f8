"""Where bubblewrap puts layers, on machines that have their Python in the same place and on others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.runtime.interpreters import Interpreter, available_runtimes, find_interpreter
from keyturn.runtime.sandbox import Enclosure, _layers_of


def enclosure(layers: Path | None, prefix: str) -> Enclosure:
    found: Interpreter = find_interpreter(available_runtimes()[0])
    return Enclosure(0, Path("/code"), Path("/scratch"), replace(found, prefix=Path(prefix)), 1, 1, layers)


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    for name in ("bin", "python"):
        (tmp_path / name).mkdir()
    return tmp_path


def test_layers_are_one_mount(layers: Path) -> None:
    assert _layers_of(enclosure(layers, "/usr")) == ["--ro-bind", str(layers), "/opt"]


def test_layers_leave_a_python_in_the_same_place_visible(layers: Path) -> None:
    assert _layers_of(enclosure(layers, "/opt/python3.11")) == [
        *["--ro-bind", str(layers / "bin"), "/opt/bin"],
        *["--ro-bind", str(layers / "python"), "/opt/python"],
    ]


def test_layers_do_not_hide_a_python(layers: Path) -> None:
    with pytest.raises(KeyturnError, match="A layer would hide the Python"):
        _layers_of(enclosure(layers, "/opt/python"))


def test_beside_a_python_there_is_no_room_for_thousands_of_entries(layers: Path) -> None:
    for number in range(500):
        (layers / f"file{number}").touch()
    with pytest.raises(KeyturnError, match="more than 500 files and directories"):
        _layers_of(enclosure(layers, "/opt/python3.11"))
    assert len(_layers_of(enclosure(layers, "/usr"))) == 3


def test_without_layers_nothing_is_mounted() -> None:
    assert _layers_of(enclosure(None, "/usr")) == []
