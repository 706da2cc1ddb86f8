"""The functions of an account's region, up to so many: what no API can be asked for is looked for among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keyturn.console.visit import Refused, Visit

_AT_ONCE = 50


def functions_of(visit: Visit, most: int) -> tuple[Sequence[Mapping[str, Any]] | Refused, bool]:
    """Return the first functions by name, and whether those are all.

    Args:
        visit: Whose.
        most: How many are looked at.
    """
    found: list[Mapping[str, Any]] = []
    marker: dict[str, str] = {}
    while len(found) < most:
        listed = visit.look("lambda", "list_functions", MaxItems=_AT_ONCE, **marker)
        if listed.refused is not None:
            return listed.refused, False
        found += listed["Functions"]
        if not listed.get("NextMarker"):
            return found, True
        marker = {"Marker": listed["NextMarker"]}
    return found, False
