"""Policy documents as JSON: what may be one or several, as several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def statements_of(document: Json) -> list[Json]:
    """Return the statements of a policy, whether there are several or one."""
    found = document.get("Statement", [])
    return [found] if isinstance(found, Mapping) else [each for each in found if isinstance(each, Mapping)]


def texts(value: object) -> list[str]:
    """Return what may be a text or a list of texts as a list."""
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, (list, tuple)) else []
