"""Deployment packages: same bytes, whole content, nothing of Keyturn but its rotators."""

from __future__ import annotations

import ast
import importlib.metadata
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from keyturn.rotators import package
from keyturn.rotators.package import PREFLIGHT_HANDLER, build, build_preflight, handler_name, runs_on


@pytest.fixture(scope="module")
def archive() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(build("postgresql", "single_user")))


def test_the_same_installation_gives_the_same_bytes() -> None:
    assert build("postgresql", "single_user") == build("postgresql", "single_user")


def test_the_handler_names_engine_and_strategy(archive: zipfile.ZipFile) -> None:
    module, function = handler_name("postgresql", "single_user").split(".")
    assert f"{function} = " in archive.read(f"{module}.py").decode()


def test_names_are_sorted_dates_fixed_and_files_readable(archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}


def test_the_driver_is_there_with_what_it_needs_and_its_licences(archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    assert {"pg8000", "scramp", "asn1crypto", "dateutil"} <= {name.split("/")[0] for name in names}
    assert "six.py" in names
    assert len([name for name in names if "LICENSE" in name]) == 5
    assert not [name for name in names if name.endswith((".pyc", ".so", "RECORD"))]


def test_what_an_engine_shares_with_another_one_is_there_and_the_other_one_is_not() -> None:
    names = zipfile.ZipFile(io.BytesIO(build("mariadb", "alternating_users"))).namelist()
    own = {name.removeprefix("keyturn_rotators/") for name in names if name.startswith("keyturn_rotators/")}
    assert {"engines/mariadb.py", "engines/mysql_family/__init__.py", "engines/mysql_family/accounts.py"} <= own
    assert {"engines/base.py", "engines/network.py", "secret.py", "alternating_users.py"} <= own
    assert not {"engines/mysql.py", "engines/postgresql.py", "single_user.py", "package.py"} & own
    assert len([name for name in names if name.startswith("pymysql") and "LICENSE" in name]) == 1


def test_compiled_parts_that_a_driver_can_do_without_are_left_out() -> None:
    content = build("mongodb", "single_user")
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert {"pymongo/__init__.py", "bson/__init__.py"} <= set(names)
    assert not [name for name in names if ".so" in name]
    assert runs_on(content) is None


@pytest.mark.parametrize(
    ("engine", "with_it", "not_with_it"),
    [("redshift", "postgresql_family", "postgresql"), ("postgresql", "postgresql_family", "redshift"),
     ("sqlserver", "tds", "mysql")],
)  # fmt: skip
def test_a_family_goes_with_its_members(engine: str, with_it: str, not_with_it: str) -> None:
    names = zipfile.ZipFile(io.BytesIO(build(engine, "single_user"))).namelist()
    assert f"keyturn_rotators/engines/{with_it}/driver.py" in names
    assert f"keyturn_rotators/engines/{not_with_it}.py" not in names


def test_no_module_in_it_imports_keyturn(archive: zipfile.ZipFile) -> None:
    for name in archive.namelist():
        if not name.startswith(("keyturn_rotators/", "postgresql_single_user")):
            continue
        for node in ast.walk(ast.parse(archive.read(name))):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                imported = [str(node.module)]
            assert "keyturn" not in {each.split(".")[0] for each in imported}, name


def test_an_engine_that_does_not_exist_is_refused() -> None:
    for name in ("visicalc", "base", "network", "mysql_family"):
        with pytest.raises(ModuleNotFoundError):
            build(name, "single_user")
    with pytest.raises(ModuleNotFoundError):
        build("postgresql", "nobody")


def test_the_preflights_layer_keeps_engine_and_driver_to_itself() -> None:
    content = build_preflight("postgresql")
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()

    # Nothing but its entry is where Python looks in a layer.
    assert [name for name in names if name.startswith("python/")] == ["python/keyturn_preflight.py"]
    assert {name.split("/")[0] for name in names} == {"keyturn-preflight", "python"}
    own = {name.removeprefix("keyturn-preflight/") for name in names}
    assert {"keyturn_rotators/preflight/program.py", "keyturn_rotators/engines/postgresql.py", "six.py"} <= own
    assert not [name for name in own if "single_user" in name or "mysql" in name]
    assert PREFLIGHT_HANDLER == "keyturn_preflight.lambda_handler"


def test_without_its_driver_an_engine_comes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    names = zipfile.ZipFile(io.BytesIO(build_preflight.__wrapped__("mariadb"))).namelist()

    assert "keyturn-preflight/keyturn_rotators/engines/mariadb.py" in names
    assert not [name for name in names if "pymysql" in name]


def test_the_preflight_runs_on_every_python_that_runs_functions() -> None:
    # Engines need a newer one; what is asked before them must not.
    names = ("__init__", "preflight/__init__", "preflight/imports", "preflight/items", "preflight/program")
    for name in (*names, "preflight/service"):
        path = Path(package.__file__).parent / f"{name}.py"
        ast.parse(path.read_text(), feature_version=(3, 9))
