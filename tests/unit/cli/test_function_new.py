"""keyturn function new makes a folder, and overwrites nothing."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keyturn.cli.function_new import _FILES
from keyturn.cli.main import app, register_commands
from keyturn.errors.base import KeyturnError

register_commands()


def test_a_folder_gets_every_file_of_the_scaffold(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["function", "new", "mine", "--directory", str(tmp_path / "not" / "there")])
    assert result.exit_code == 0
    made = tmp_path / "not" / "there" / "mine"
    scaffold = resources.files("keyturn").joinpath("scaffold")
    assert {path.name for path in made.iterdir()} == {
        path.name for path in scaffold.iterdir() if not path.name.startswith((".", "__"))
    }
    assert set(_FILES) == {path.name for path in made.iterdir()}
    assert (made / "README.md").read_text().startswith("# mine\n")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x" * 65, "ä"])
def test_a_name_that_no_function_can_have_is_refused(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(app, ["function", "new", "--directory", str(tmp_path), "--", name])
    assert isinstance(result.exception, KeyturnError)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "target.py").write_text("mine")
    result = CliRunner().invoke(app, ["function", "new", "mine", "--directory", str(tmp_path)])
    assert isinstance(result.exception, KeyturnError)
    assert "not empty" in result.exception.message
    assert (tmp_path / "mine" / "target.py").read_text() == "mine"
