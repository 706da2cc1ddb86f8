"""Which engines and rotation strategies there are: found in this package, so that one more is one more file."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from . import __path__ as _here
from . import engines as _engines
from .engines.base import Engine

if TYPE_CHECKING:
    # It imports boto3, which takes a quarter of a second.
    from .handler import Strategy

# Where the interfaces are declared.
_INTERFACES = frozenset({"base", "handler", __name__.rpartition(".")[2]})


@functools.cache
def engines() -> Mapping[str, Engine]:
    """Return every engine by its module's name, "postgresql" for instance."""
    found = _found(_engines.__path__, f"{__package__}.engines", "Engine")
    return MappingProxyType({name: cast("Engine", kind()) for name, kind in found.items()})


@functools.cache
def strategies() -> Mapping[str, Strategy]:
    """Return every strategy by its module's name, "single_user" for instance."""
    found = _found(_here, str(__package__), "Strategy")
    return MappingProxyType({name: cast("Strategy", kind()) for name, kind in found.items()})


def engine_for(engine_name: object) -> str | None:
    """Return the engine's module for what ``engine`` in a secret says; None if there is none."""
    return next((name for name, engine in engines().items() if engine_name in engine.engine_names), None)


def engine_names() -> list[str]:
    """Return everything that ``engine`` in a secret may say."""
    return sorted(name for engine in engines().values() for name in engine.engine_names)


def _found(path: list[str], package: str, kind: str) -> dict[str, type]:
    modules = sorted(info.name for info in pkgutil.iter_modules(path) if not info.ispkg)
    imported = {name: importlib.import_module(f"{package}.{name}") for name in modules if name not in _INTERFACES}
    # `Engine` and `Strategy` are also what a module may have imported to name them in its annotations.
    return {
        name: defined
        for name, module in imported.items()
        if (defined := getattr(module, kind, None)) is not None and defined.__module__ == module.__name__
    }
