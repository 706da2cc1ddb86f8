"""Filters of Describe operations: names of EC2's to places in documents, and values with ``*`` and ``?``.

An object passes if it has, for each filter, a value that matches one of the filter's. ``tag:KEY`` and ``tag-key`` work
on everything that has tags.

Source: Amazon EC2 User Guide, "Find your resources", filtering; Amazon EC2 API Reference, ``Filter``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from keyturn.errors.ec2 import FilterLimitExceeded, InvalidParameterValue
from keyturn.storage.network_objects import Document

Filters = Mapping[str, str]
"""Where a filter looks, by its name: members from the outside to the inside, with dots; lists are looked through."""
Passes = Callable[[Document], bool]

_MOST_VALUES: Final = 200


def passes_all(wanted: Sequence[Mapping[str, Any]], known: Filters, tags_member: str = "Tags") -> Passes:
    """Return whether a document passes all filters of a request, as a function.

    Args:
        wanted: The request's ``Filters``.
        known: Those that the operation has.
        tags_member: Where the documents have their tags.

    Raises:
        InvalidParameterValue: The operation has no such filter.
        FilterLimitExceeded: They have too many values together.
    """
    if sum(len(one.get("Values", ())) for one in wanted) > _MOST_VALUES:
        raise FilterLimitExceeded(f"The maximum number of filter values specified on a single call is {_MOST_VALUES}")
    checks = [_check(one.get("Name", ""), one.get("Values", ()), known, tags_member) for one in wanted]
    return lambda document: all(check(document) for check in checks)


def _check(name: str, values: Sequence[str], known: Filters, tags_member: str) -> Passes:
    matches = _matcher(values)
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda document: any(
            tag["Key"] == key and matches(tag["Value"]) for tag in document.get(tags_member) or ()
        )
    path = f"{tags_member}.Key" if name == "tag-key" else known.get(name)
    if path is None:
        raise InvalidParameterValue(f"The filter '{name}' is invalid")
    members = path.split(".")
    return lambda document: any(map(matches, _values(document, members)))


def _values(value: Any, members: Sequence[str]) -> Iterator[str]:
    """Return what stands at a place, as text; in a list, of each of its elements."""
    if isinstance(value, (list, tuple)):
        for element in value:
            yield from _values(element, members)
    elif members:
        inner = value.get(members[0])
        if inner is not None:
            yield from _values(inner, members[1:])
    else:
        yield str(value).lower() if isinstance(value, bool) else str(value)


def _matcher(values: Sequence[str]) -> Callable[[str], bool]:
    patterns = [re.compile("".join(map(_piece, _PIECES.findall(value))), re.DOTALL) for value in values]
    return lambda text: any(pattern.fullmatch(text) for pattern in patterns)


# A backslash takes the meaning of what follows it.
_PIECES: Final = re.compile(r"\\.|.", re.DOTALL)


def _piece(piece: str) -> str:
    if piece == "*":
        return ".*"
    return "." if piece == "?" else re.escape(piece[-1])
