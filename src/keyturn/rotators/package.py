"""Build a rotation function's deployment package: a zip for Lambda's CreateFunction.

Layout: ``ENGINE_STRATEGY.py``, the entry module; ``keyturn_rotators/``, those of this package's files that it needs, as
they are, for they import each other relatively; and the engine's driver beside them, from the installed distributions,
with its licences. boto3 is not included: Lambda has it, and so has Keyturn.

The same installation gives the same bytes every time: names are sorted, dates fixed, compiled files left out. So the
package's checksum changes only when the code does.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.metadata
import io
import platform
import zipfile
from pathlib import Path, PurePosixPath

from . import catalogue

_ENTRY = '''\
"""Rotates credentials of {title}; strategy: {strategy}. Built by Keyturn."""

from keyturn_rotators.engines.{engine} import Engine
from keyturn_rotators.handler import Rotator
from keyturn_rotators.{strategy} import Strategy

lambda_handler = Rotator(Engine(), Strategy())
'''

_HERE = Path(__file__).parent
# The earliest date a zip can hold.
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_READABLE_FILE = 0o100644
_ARCHITECTURES = {"aarch64": "arm64"}


def handler_name(engine: str, strategy: str) -> str:
    """Return what CreateFunction needs as ``Handler``: ``postgresql_single_user.lambda_handler`` for instance."""
    return f"{engine}_{strategy}.lambda_handler"


def build(engine: str, strategy: str) -> bytes:
    """Return the zip.

    Args:
        engine: Name of a module in ``engines/``, "postgresql" for instance.
        strategy: Name of a strategy's module, "single_user" for instance.

    Raises:
        ModuleNotFoundError: There is no such engine or strategy, or the two do not go together.
        importlib.metadata.PackageNotFoundError: The driver is not installed.
    """
    chosen = catalogue.engines().get(engine)
    if chosen is None:
        raise ModuleNotFoundError(f"{engine} is no database engine")
    if strategy not in catalogue.strategies():
        raise ModuleNotFoundError(f"{strategy} is no rotation strategy")
    if not catalogue.go_together(engine, strategy):
        raise ModuleNotFoundError(f"{engine} is not rotated by the strategy {strategy}")
    entry = _ENTRY.format(title=chosen.title, engine=engine, strategy=strategy)
    files = {f"{engine}_{strategy}.py": entry.encode()}
    for name in _needed("__init__", "handler", strategy, "engines/__init__", f"engines/{engine}"):
        files[f"keyturn_rotators/{name}.py"] = (_HERE / f"{name}.py").read_bytes()
    for distribution in chosen.driver_distributions:
        files |= _distribution_files(distribution)
    return _zip(files)


def sha256_base64(content: bytes) -> str:
    """Return what Lambda calls a package's ``CodeSha256``."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def architecture(content: bytes) -> str | None:
    """Return for which of Lambda's architectures a package was built here; None if it has no compiled code."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        is_compiled = any(PurePosixPath(name).suffix == ".so" for name in archive.namelist())
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine) if is_compiled else None


def _needed(*modules: str) -> set[str]:
    """Return these modules of this package and those that they import, by their path without ``.py``."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        for node in ast.walk(ast.parse((_HERE / f"{module}.py").read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.level:
                source = Path(module).parents[node.level - 1].joinpath(*(node.module or "").split("."))
                imported = (source, source / "__init__", *(source / alias.name for alias in node.names))
                waiting += [path.as_posix() for path in imported if (_HERE / f"{path.as_posix()}.py").is_file()]
    return found


def _distribution_files(name: str) -> dict[str, bytes]:
    """Return what a distribution installed, by its path below site-packages."""
    files = {}
    for path in importlib.metadata.distribution(name).files or ():
        if _belongs_into_package(path):
            files[path.as_posix()] = path.read_binary()
    return files


def _belongs_into_package(path: PurePosixPath) -> bool:
    if ".." in path.parts or "__pycache__" in path.parts:
        return False
    if path.parts[0].endswith(".dist-info"):
        # Installers write the rest of this folder as they please. METADATA has the version, for which pg8000 asks.
        return path.name == "METADATA" or path.name.upper().startswith(("LICEN", "COPYING", "NOTICE"))
    return True


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = _UNIX
            entry.external_attr = _READABLE_FILE << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name], compresslevel=9)
    return buffer.getvalue()
