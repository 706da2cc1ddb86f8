"""A rotation function of the user's own, for ``keyturn function create``: its package is looked into before use."""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path

import typer

from keyturn.client.function_plan import Code
from keyturn.errors.base import KeyturnError

_HOW = "keyturn function new writes a function, and how it is packaged."


def own_code(file: Path | None, handler: str | None) -> Code | None:
    """Return the code of a package that lies here; None if none is named.

    Raises:
        KeyturnError: It cannot be what runs: there is no such file, or the handler is not in it.
    """
    if file is None and handler is None:
        return None
    if file is None:
        raise typer.BadParameter("needs the package too: --zip-file FILE.", param_hint="--handler")
    if handler is None:
        raise typer.BadParameter("needs the function's name too: --handler MODULE.FUNCTION.", param_hint="--zip-file")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise KeyturnError(f"{file} cannot be read: {error.strerror}.", _HOW) from error
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise KeyturnError(f"{file} is no zip file.", _HOW)
    _refuse_without_handler(file, content, handler)
    return Code(content=content, handler=handler, title=str(file))


def _refuse_without_handler(file: Path, content: bytes, handler: str) -> None:
    """Refuse what Lambda would find out in the first rotation only.

    Raises:
        KeyturnError: The handler's module is not in the package, or has no such name.
    """
    module, dot, function = handler.rpartition(".")
    path = module.replace(".", "/")
    if not dot or not path or not function:
        raise KeyturnError(
            f"{handler} is no handler.", "It is MODULE.FUNCTION, lambda_function.lambda_handler for instance."
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Beside sources, compiled modules have their name followed by a dot.
        found = [name for name in archive.namelist() if name.startswith((f"{path}.", f"{path}/__init__."))]
        sources = [archive.read(name) for name in found if name.endswith(".py")]
    if not found:
        raise KeyturnError(
            f"{file} has no module {module}, which the handler {handler} names.",
            "It has to lie at the top of the zip, not in a folder: python -m zipfile -l shows what is where.",
        )
    if sources and function not in _names(sources[0], function):
        raise KeyturnError(f"The module {module} in {file} has no {function}, which the handler {handler} names.", _HOW)


def _names(source: bytes, otherwise: str) -> set[str]:
    """Return the names that a module binds, wherever; the given one too if that cannot be told."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        # For another Python than this one.
        return {otherwise}
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    imported = {
        alias.asname or alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    return names | imported | ({otherwise} if "*" in imported else set())
