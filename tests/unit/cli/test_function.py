from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keyturn.cli.main import app, register_commands
from keyturn.errors.base import KeyturnError

register_commands()


@pytest.mark.parametrize(
    ("options", "module"),
    [((), "postgresql_single_user"), (("--strategy", "alternating-users"), "postgresql_alternating_users")],
)
def test_a_package_is_written_and_its_handler_named(tmp_path: Path, options: tuple[str, ...], module: str) -> None:
    path = tmp_path / "rotation.zip"

    result = CliRunner().invoke(app, ["function", "package", "postgresql", "--file", str(path), *options])

    assert result.exit_code == 0
    assert result.stderr == f"Handler: {module}.lambda_handler\n"
    assert result.stdout == ""
    assert f"{module}.py" in zipfile.ZipFile(path).namelist()


def test_a_package_goes_to_standard_output_if_no_file_is_named() -> None:
    result = CliRunner().invoke(app, ["function", "package", "postgresql"])

    assert result.stdout_bytes.startswith(b"PK")


@pytest.mark.parametrize("words", [["oracle"], ["postgresql", "--strategy", "roulette"], ["../engines"]])
def test_a_package_that_nobody_has_is_said_with_a_hint(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["function", "package", *words])

    assert isinstance(result.exception, KeyturnError)
    assert result.exception.hints


def test_a_file_that_cannot_be_written_is_said_with_a_hint(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["function", "package", "postgresql", "--file", str(tmp_path / "no" / "such.zip")])

    assert isinstance(result.exception, KeyturnError)
    assert "No such file or directory" in result.exception.message
    assert result.exception.hints
