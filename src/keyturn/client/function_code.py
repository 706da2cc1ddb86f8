"""The deployment package of one of Keyturn's own rotation functions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue
from keyturn.rotators import package as packages


def built(engine: str, strategy: str) -> bytes:
    """Return the zip of an engine's rotation function, for a strategy by its module's name.

    Raises:
        KeyturnError: There is no such function, or its driver is not installed.
    """
    try:
        return packages.build(engine, strategy)
    except PackageNotFoundError as error:
        wanted = packages.extra_with_driver(engine) or error.name
        raise KeyturnError(
            f"The rotation function for {engine} needs {error.name}, which is not installed.",
            f"Install it beside Keyturn, and try again: pip install '{wanted}'",
        ) from error
    except ModuleNotFoundError as error:
        raise KeyturnError(
            f"There is no rotation function for {engine} with the strategy {strategy.replace('_', '-')}.",
            f"The engines: {', '.join(catalogue.engines())};"
            f" the strategies: {', '.join(catalogue.strategies()).replace('_', '-')}.",
        ) from error
