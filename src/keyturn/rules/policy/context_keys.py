"""Which condition keys a policy asks for: those of its conditions, and those that its policy variables name.

Source: IAM API Reference, GetContextKeysForCustomPolicy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from keyturn.rules.policy.patterns import variable_names


def context_keys(text: str) -> dict[str, str]:
    """Return the keys as they are written, found by their names in lower case, in the order of their occurrence.

    Args:
        text: A policy, which is well-formed.
    """
    listed = json.loads(text)["Statement"]
    found: dict[str, str] = {}
    for statement in listed if isinstance(listed, list) else [listed]:
        for key in _of_statement(statement):
            found.setdefault(key.lower(), key)
    return found


def _of_statement(statement: dict[str, Any]) -> Iterator[str]:
    for keys in statement.get("Condition", {}).values():
        for key, values in keys.items():
            yield key
            yield from _variables(values)
    for element in ("Resource", "NotResource"):
        yield from _variables(statement.get(element, []))


def _variables(element: Any) -> Iterator[str]:
    for text in element if isinstance(element, list) else [element]:
        yield from variable_names(str(text))
