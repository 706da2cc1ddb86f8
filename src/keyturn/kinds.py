"""Finds what is one of a kind: a package with one class to a file, each with a ``kind``."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

_PROTOCOL = "base"


def classes_by_kind(package: ModuleType) -> dict[str, type[object]]:
    """Return the class of every file of a package but its ``base``, by its kind.

    Raises:
        TypeError: A file has none or several, or two files claim one kind.
    """
    found: dict[str, type[object]] = {}
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if info.name.rpartition(".")[2] == _PROTOCOL:
            continue
        module = importlib.import_module(info.name)
        classes = [
            value
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "kind")
        ]
        if len(classes) != 1:
            raise TypeError(f"{module.__name__} must hold exactly one class with a kind.")
        kind = str(getattr(classes[0], "kind"))  # noqa: B009 - no type says that it is there
        if kind in found:
            raise TypeError(f"Two files of {package.__name__} are of the kind {kind!r}.")
        found[kind] = classes[0]
    return found
