"""Private database servers by name: each is the class ``NAMEServer`` in the module of its name beside this one."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol, Self, cast

from keyturn import testing
from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue


class PrivateDatabase(Protocol):
    """A running server that is removed at the end of its ``with``."""

    def create_user(self, username: str, password: str) -> None:
        """Create a user who may log in."""
        ...

    def secret_value(self, username: str, password: str) -> dict[str, object]:
        """Return the JSON of a secret for a user."""
        ...

    def superuser_value(self) -> dict[str, object]:
        """Return the JSON of a superuser secret."""
        ...

    def accepts(self, username: str, password: str) -> bool:
        """Tell whether the server lets a user in."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def start(name: str) -> PrivateDatabase:
    """Start a server and return when it takes connections.

    Args:
        name: A module of this package, "postgresql" for instance.

    Raises:
        KeyturnError: There is none of that name, its programs are not installed, or it does not start.
    """
    # As the secret's JSON calls it, or as the engine's module is called.
    name = catalogue.engine_for(name) or name
    names = [module.name for module in pkgutil.iter_modules(testing.__path__)]
    kind = None
    if name in names:
        kind = getattr(importlib.import_module(f"{testing.__name__}.{name}"), f"{name.title()}Server", None)
    if kind is None:
        raise KeyturnError(f"There is no private database {name!r}.", f"There are: {', '.join(_names(names))}.")
    return cast("PrivateDatabase", kind.start())


def _names(modules: list[str]) -> list[str]:
    imported = {name: importlib.import_module(f"{testing.__name__}.{name}") for name in modules}
    return [name for name, module in imported.items() if hasattr(module, f"{name.title()}Server")]
