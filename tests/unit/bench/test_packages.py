"""From a folder, a file or a zip to a package and its handler."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from keyturn.bench.packages import find_handler, read_layer, read_package
from keyturn.errors.base import KeyturnError

HANDLER = "def lambda_handler(event, context):\n    pass\n"


def names(package: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(package)).namelist())


def test_a_folder_goes_in_without_what_only_its_author_needs(tmp_path: Path) -> None:
    for name in (
        "rotate.py",
        "pg8000/core.py",
        "__pycache__/x.pyc",
        ".git/config",
        "tests/test_it.py",
        ".venv/lib/x.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert names(read_package(tmp_path)) == {"rotate.py", "pg8000/core.py"}


def test_a_module_and_a_zip_are_packages_too(tmp_path: Path) -> None:
    module, packed = tmp_path / "rotate.py", tmp_path / "rotate.zip"
    module.write_text(HANDLER)
    package = read_package(module)
    assert names(package) == {"rotate.py"}
    packed.write_bytes(package)
    assert read_package(packed) == package


def test_anything_else_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("x")
    with pytest.raises(KeyturnError, match=r"notes\.txt is no rotation function"):
        read_package(text)
    with pytest.raises(KeyturnError, match="cannot be read: No such file"):
        read_package(tmp_path / "missing.zip")


@pytest.mark.parametrize("text", [HANDLER, "lambda_handler = print\n", "lambda_handler: object = print\n"])
def test_the_handler_is_the_one_module_that_has_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "rotate.py").write_text(text)
    (tmp_path / "helper.py").write_text("def other():\n    pass\n")
    (tmp_path / "broken.py").write_text("def (\n")
    assert find_handler(read_package(tmp_path)) == "rotate.lambda_handler"


def test_of_several_the_usual_module_is_taken(tmp_path: Path) -> None:
    for name in ("lambda_function.py", "other.py"):
        (tmp_path / name).write_text(HANDLER)
    assert find_handler(read_package(tmp_path)) == "lambda_function.lambda_handler"


@pytest.mark.parametrize(
    ("modules", "message"),
    [([], "no module at the top of the package has"), (["a.py", "b.py"], "the modules a, b have")],
)
def test_a_handler_that_cannot_be_told_is_asked_for(tmp_path: Path, modules: list[str], message: str) -> None:
    for name in modules:
        (tmp_path / name).write_text(HANDLER)
    (tmp_path / "other.py").write_text("")
    with pytest.raises(KeyturnError, match=message) as raised:
        find_handler(read_package(tmp_path))
    assert raised.value.hints == ("Name it with --handler MODULE.FUNCTION.",)


def test_what_pip_has_installed_becomes_a_layer(tmp_path: Path) -> None:
    (tmp_path / "pgdb").mkdir()
    (tmp_path / "pgdb" / "__init__.py").write_text("")
    assert names(read_layer(tmp_path)) == {"python/pgdb/__init__.py"}


def test_a_layer_as_lambda_has_it_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "pgdb.py").write_text("")
    assert names(read_layer(tmp_path)) == {"python/pgdb.py"}
