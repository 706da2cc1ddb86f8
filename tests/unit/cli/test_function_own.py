"""A package of one's own is looked into before anything is made around it."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from keyturn.cli.function_own import own_code
from keyturn.errors.base import KeyturnError
from keyturn.testing.functions import zip_package

SOURCE = """
from json import loads as other

def lambda_handler(event, context): ...

bound = print
"""


def package(folder: Path, **files: str) -> Path:
    path = folder / "own.zip"
    path.write_bytes(zip_package({name.replace("__", "/").replace("_py", ".py"): text for name, text in files.items()}))
    return path


@pytest.mark.parametrize("name", ["lambda_handler", "bound", "other"])
def test_what_the_module_binds_can_be_a_handler(tmp_path: Path, name: str) -> None:
    code = own_code(package(tmp_path, lambdas_py=SOURCE), f"lambdas.{name}")
    assert code is not None
    assert (code.handler, code.title) == (f"lambdas.{name}", str(tmp_path / "own.zip"))


@pytest.mark.parametrize("handler", ["in.side.handler", "in/side.handler"])
def test_a_handler_may_lie_deeper(tmp_path: Path, handler: str) -> None:
    assert own_code(package(tmp_path, in__side_py="handler = print"), handler)


@pytest.mark.parametrize("source", ["from elsewhere import *", "this is for another Python"])
def test_what_cannot_be_told_is_not_refused(tmp_path: Path, source: str) -> None:
    assert own_code(package(tmp_path, own_py=source), "own.handler")


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("lambdas.nope", "The module lambdas in .* has no nope"),
        ("elsewhere.lambda_handler", "has no module elsewhere"),
        ("lambda.lambda_handler", "has no module lambda,"),
        ("lambda_handler", "is no handler"),
        ("lambdas.", "is no handler"),
    ],
)
def test_a_handler_that_is_not_in_the_package_is_refused(tmp_path: Path, handler: str, said: str) -> None:
    with pytest.raises(KeyturnError, match=said):
        own_code(package(tmp_path, lambdas_py=SOURCE), handler)


def test_a_file_that_is_not_there_is_not_called_one_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(KeyturnError, match=r"nofile\.zip cannot be read: No such file or directory\."):
        own_code(tmp_path / "nofile.zip", "a.b")
    (tmp_path / "text").write_text("no zip")
    with pytest.raises(KeyturnError, match="is no zip file"):
        own_code(tmp_path / "text", "a.b")


def test_the_half_that_is_missing_is_named(tmp_path: Path) -> None:
    assert own_code(None, None) is None
    for file, handler, missing in ((tmp_path, None, "--handler MODULE"), (None, "a.b", "--zip-file FILE")):
        with pytest.raises(typer.BadParameter, match=missing):
            own_code(file, handler)
