"""The catalogue of causes, found by walking ``checks/``: one more check is one more function there."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

from . import checks as _package
from .case import Case
from .model import Cause, Finding, Section

Examine = Callable[[Case], Iterable[Finding]]


class Skip(Exception):
    """A check does not apply to this secret, or was not asked for; the argument says why, in a few words."""


class Unasked(Skip):
    """A check applies, and was not asked to look as it would have to; the argument says what has it look."""


class Untried(Skip):
    """A look from inside the sandbox was to try it, and did not get that far; the argument says why, in a few words."""


class Undecided(Exception):
    """A check may look at everything, and yet cannot tell; the argument says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Check:
    """Decides one cause.

    Attributes:
        cause: The entry of the catalogue.
        examine: Returns what it finds in a case, nothing if all is well; raises :class:`Skip` or :class:`Undecided`,
            or lets pass what :attr:`facts.Answer.value` raises if it may not look.
    """

    cause: Cause
    examine: Examine


_checks: dict[str, Check] = {}


def check(cause: Cause) -> Callable[[Examine], Examine]:
    """Enter a function into the catalogue as the check of a cause.

    Raises:
        ValueError: The cause has one already.
    """

    def enter(examine: Examine) -> Examine:
        if cause.id in _checks:
            raise ValueError(f"There are two checks of {cause.id}.")
        _checks[cause.id] = Check(cause, examine)
        return examine

    return enter


@cache
def all_checks() -> tuple[Check, ...]:
    """Return every check, in the order of the report's sections and of the files."""
    for module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(module.name)
    order = list(Section)
    return tuple(sorted(_checks.values(), key=lambda each: order.index(each.cause.section)))


def cause_of(cause_id: str) -> Cause | None:
    """Return the cause of an id, or None."""
    all_checks()
    found = _checks.get(cause_id)
    return None if found is None else found.cause
