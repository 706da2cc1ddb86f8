"""From what a person has (a folder, a file, a zip) to a deployment package and its handler."""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path

from keyturn.errors.base import KeyturnError

_HANDLER = "lambda_handler"
_USUAL_MODULE = "lambda_function"
# What lies beside a function while it is being written, and does not belong into its package.
_LEFT_OUT = frozenset({"__pycache__", ".git", ".venv", "venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", "tests"})


def read_package(path: Path) -> bytes:
    """Return the zip of a folder, a module or a zip file.

    Raises:
        KeyturnError: It is none of these, or cannot be read.
    """
    try:
        if path.is_dir():
            files = {
                file.relative_to(path).as_posix(): file.read_bytes()
                for file in sorted(path.rglob("*"))
                if file.is_file() and not _LEFT_OUT & set(file.relative_to(path).parts)
            }
            return _zip(files)
        content = path.read_bytes()
    except OSError as error:
        raise KeyturnError(f"{path} cannot be read: {error.strerror}.") from error
    if path.suffix == ".py":
        return _zip({path.name: content})
    if zipfile.is_zipfile(io.BytesIO(content)):
        return content
    raise KeyturnError(f"{path} is no rotation function.", "Give a folder, a Python file or a zip.")


def read_layer(path: Path) -> bytes:
    """Return the zip of a layer: a folder or zip as Lambda has them (``python/…``), or what pip --target has installed.

    Raises:
        KeyturnError: It is neither, or cannot be read.
    """
    content = read_package(path)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        if any(name.startswith(("python/", "bin/", "lib/")) for name in names):
            return content
        return _zip({f"python/{name}": archive.read(name) for name in names})


def find_handler(package: bytes) -> str:
    """Return the handler of a package whose name nobody has given.

    Raises:
        KeyturnError: No module, or more than one, has a ``lambda_handler``.
    """
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        names = [name for name in archive.namelist() if name.endswith(".py") and "/" not in name]
        found = [name.removesuffix(".py") for name in names if _has_handler(archive.read(name))]
    if _USUAL_MODULE in found:
        found = [_USUAL_MODULE]
    if len(found) != 1:
        have = f"the modules {', '.join(found)} have" if found else "no module at the top of the package has"
        raise KeyturnError(
            f"Which function is the handler cannot be told: {have} a {_HANDLER}.",
            "Name it with --handler MODULE.FUNCTION.",
        )
    return f"{found[0]}.{_HANDLER}"


def check_handler(package: bytes, handler: str) -> str:
    """Return a handler whose module is in the package.

    Raises:
        KeyturnError: It is not.
    """
    module = handler.rpartition(".")[0].replace(".", "/")
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        names = set(archive.namelist())
    if not {f"{module}.py", f"{module}/__init__.py"} & names:
        raise KeyturnError(
            f"The package has no module for the handler {handler}.", "Name it with --handler MODULE.FUNCTION."
        )
    return handler


def _has_handler(source: bytes) -> bool:
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return False
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == _HANDLER:
            return True
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == _HANDLER for target in targets):
            return True
    return False


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
