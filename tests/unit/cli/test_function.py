from __future__ import annotations

import importlib.metadata
import io
import platform
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from keyturn.cli.main import app, register_commands
from keyturn.errors.base import KeyturnError
from keyturn.rotators import package as packages

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


@pytest.mark.parametrize(("said", "module"), [("postgres", "postgresql"), ("http-api", "http_api")])
def test_an_engine_may_be_called_as_in_a_secret(tmp_path: Path, said: str, module: str) -> None:
    strategy = "new-key" if module == "http_api" else "single-user"
    options = ["--strategy", strategy, "--file", str(tmp_path / "rotation.zip")]
    result = CliRunner().invoke(app, ["function", "package", said, *options])
    assert result.stderr == f"Handler: {module}_{strategy.replace('-', '_')}.lambda_handler\n"


@pytest.mark.parametrize("words", [["visicalc"], ["postgresql", "--strategy", "roulette"], ["../engines"]])
def test_a_package_that_nobody_has_is_said_with_a_hint(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["function", "package", *words])

    assert isinstance(result.exception, KeyturnError)
    assert result.exception.hints


def test_a_file_that_cannot_be_written_is_said_with_a_hint(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["function", "package", "postgresql", "--file", str(tmp_path / "no" / "such.zip")])

    assert isinstance(result.exception, KeyturnError)
    assert "No such file or directory" in result.exception.message
    assert result.exception.hints


def test_a_driver_that_is_not_installed_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    for engine, driver, wanted in (("mongodb", "pymongo", "keyturn[mongodb]"), ("mysql", "pymysql", "pymysql")):
        result = CliRunner().invoke(app, ["function", "package", engine])
        assert isinstance(result.exception, KeyturnError)
        assert f"needs {driver}, which is not installed" in result.exception.message
        assert f"pip install '{wanted}'" in result.exception.hints[0]


def test_a_package_that_runs_on_one_platform_only_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("driver/thin.cpython-311-x86_64-linux-gnu.so", b"")
        archive.writestr("driver.libs/libcrypto-7a1514b3.so.3.5.1", b"")
    monkeypatch.setattr(packages, "build", lambda *_: buffer.getvalue())
    result = CliRunner().invoke(app, ["function", "package", "oracle", "--file", str(tmp_path / "rotation.zip")])
    assert result.exit_code == 0
    assert result.stderr.splitlines()[1] == (
        f"Runs on: {platform.system()}, {platform.machine()}, Python 3.11."
        " The driver has compiled parts, which are this machine's."
    )
