"""Build a rotation function's deployment package: a zip for Lambda's CreateFunction.

Layout: ``ENGINE_STRATEGY.py``, the entry module; ``keyturn_rotators/``, those of this package's files that it needs, as
they are, for they import each other relatively; and the engine's driver beside them, from the installed distributions,
with its licences. boto3 is not included: Lambda has it, and so has Keyturn.

Drivers are pure Python where that is possible, and such a package runs everywhere. Of its driver's files an engine may
name some that are left out (``left_out`` in its class, shell patterns): compiled parts that the driver can do without,
tests, copies. A package that holds compiled files all the same runs on the machine's own architecture and Python only:
:func:`runs_on`.

The pre-flight (``preflight/``) comes as a layer, which lies over those of the function that it looks into. It keeps its
modules and the driver to itself, in a directory that only its own entry module puts on the path: the function's code
finds nothing there that it would not find otherwise. The network's probe (``network_probe.py``) is a layer of one file.

The same installation gives the same bytes every time: names are sorted, dates fixed, compiled files left out. So the
package's checksum changes only when the code does.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import fnmatch
import functools
import hashlib
import importlib.metadata
import io
import platform
import re
import threading
import zipfile
from pathlib import Path, PurePosixPath

from . import catalogue
from .engines.base import Engine

_ENTRY = '''\
"""Rotates credentials of {title}; strategy: {strategy}. Built by Keyturn."""

from keyturn_rotators.engines.{engine} import Engine
from keyturn_rotators.handler import Rotator
from keyturn_rotators.{strategy} import Strategy

lambda_handler = Rotator(Engine(), Strategy())
'''

_PREFLIGHT = "keyturn_preflight"
_PREFLIGHT_ENTRY = '''\
"""Started by Keyturn in the function's stead, to find out whether a rotation would succeed."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "keyturn-preflight"))

from keyturn_rotators.preflight.program import lambda_handler
'''

PREFLIGHT_HANDLER = f"{_PREFLIGHT}.lambda_handler"
"""What is started in place of a function's handler, of the layer that :func:`build_preflight` makes."""

_NETWORK_PROBE = "network_probe"

NETWORK_PROBE_HANDLER = f"keyturn_{_NETWORK_PROBE}.lambda_handler"
"""The same, of the layer that :func:`build_network_probe` makes."""

_PARSING = threading.Lock()
_HERE = Path(__file__).parent
# The earliest date a zip can hold.
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_READABLE_FILE = 0o100644
_LARGE_BYTES = 1 << 20
_COMPILED = re.compile(r"\.so(\.[\d.]+)?$")
# As import finds them, PEP 3149: keyturn.cpython-311-x86_64-linux-gnu.so
_FOR_ONE_PYTHON = re.compile(r"\.cpython-(\d)(\d+)-")
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
    return _zip({**files, **_driver_files(chosen)})


@functools.cache
def build_preflight(engine: str | None) -> bytes:
    """Return the layer with the program that looks into a rotation function from inside.

    Args:
        engine: Whose code and driver it has; None for none. A driver that is not installed is left out: the function's
            own may do.
    """
    modules = ["__init__", "preflight/__init__", "preflight/program"]
    drivers: dict[str, bytes] = {}
    if engine is not None:
        modules += ["engines/__init__", f"engines/{engine}"]
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            drivers = _driver_files(catalogue.engines()[engine])
    own = {f"keyturn_rotators/{name}.py": (_HERE / f"{name}.py").read_bytes() for name in _needed(*modules)}
    files = {f"keyturn-preflight/{name}": content for name, content in {**own, **drivers}.items()}
    return _zip({**files, f"python/{_PREFLIGHT}.py": _PREFLIGHT_ENTRY.encode()})


@functools.cache
def build_network_probe() -> bytes:
    """Return the layer with the program that tries a connection from where a function runs: one file."""
    return _zip({f"python/keyturn_{_NETWORK_PROBE}.py": (_HERE / f"{_NETWORK_PROBE}.py").read_bytes()})


def runs_on(content: bytes) -> str | None:
    """Return what a package needs because of its compiled files, "Linux, x86_64, Python 3.11" for instance, or None."""
    compiled = _compiled_files(content)
    if not compiled:
        return None
    pythons = sorted({f"Python {found[1]}.{found[2]}" for name in compiled if (found := _FOR_ONE_PYTHON.search(name))})
    return ", ".join((platform.system(), platform.machine(), *pythons))


def extra_with_driver(engine: str) -> str | None:
    """Return which of Keyturn's extras brings an engine's driver; None if every installation has it."""
    extras = importlib.metadata.metadata("keyturn").get_all("Provides-Extra") or ()
    return f"keyturn[{engine}]" if engine in extras else None


def sha256_base64(content: bytes) -> str:
    """Return what Lambda calls a package's ``CodeSha256``."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def architecture(content: bytes) -> str | None:
    """Return for which of Lambda's architectures a package was built here; None if it has no compiled code."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine) if _compiled_files(content) else None


def _compiled_files(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [name for name in archive.namelist() if _COMPILED.search(name)]


def _needed(*modules: str) -> set[str]:
    """Return these modules of this package and those that they import, by their path without ``.py``."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        waiting += _imported(module)
    return found


@functools.cache
def _imported(module: str) -> tuple[str, ...]:
    """Return the modules of this package that one of them imports."""
    # Python 3.11 counts the depth of what it parses for all threads together, and then fails (CPython issue 106905).
    with _PARSING:
        tree = ast.parse((_HERE / f"{module}.py").read_bytes())
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            source = Path(module).parents[node.level - 1].joinpath(*(node.module or "").split("."))
            imported = (source, source / "__init__", *(source / alias.name for alias in node.names))
            found += [path.as_posix() for path in imported if (_HERE / f"{path.as_posix()}.py").is_file()]
    return tuple(found)


def _driver_files(engine: Engine) -> dict[str, bytes]:
    """Return the files of an engine's driver by their names in a package.

    Raises:
        importlib.metadata.PackageNotFoundError: It is not installed.
    """
    files: dict[str, bytes] = {}
    for distribution in engine.driver_distributions:
        files |= _distribution_files(distribution)
    left_out: tuple[str, ...] = getattr(engine, "left_out", ())
    return {name: files[name] for name in files if not any(fnmatch.fnmatch(name, each) for each in left_out)}


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
            # The last percent of a client library of 40 MB costs more than the rest.
            archive.writestr(entry, files[name], compresslevel=9 if len(files[name]) < _LARGE_BYTES else 6)
    return buffer.getvalue()
