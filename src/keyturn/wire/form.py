"""``application/x-www-form-urlencoded``, read with bounds: fields to pairs, and names with dots to a tree.

``Tags.member.1.Key=a`` becomes ``{"Tags": {"member": {"1": {"Key": "a"}}}}``. Numbers in names stay keys of a dict,
so ``member.999999999`` costs as much as ``member.1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from keyturn.errors.common import SerializationFailed

# IAM's largest request has some hundred fields; its names have at most a dozen parts.
_MOST_FIELDS: Final = 10_000
_MOST_PARTS: Final = 32
_LONGEST_INDEX: Final = 9


def form_fields(encoded: bytes) -> list[tuple[str, str]]:
    """Return names and values in their order.

    Raises:
        SerializationFailed: It is not UTF-8 once decoded, or has too many fields.
    """
    try:
        return parse_qsl(
            encoded.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise SerializationFailed("The form is not well-formed.") from error


def tree_of(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return fields as a tree along the dots in their names; leaves are text.

    Raises:
        SerializationFailed: A name has too many parts, or stands for both a value and a container.
    """
    root: dict[str, Any] = {}
    for name, value in fields:
        *branches, leaf = name.split(".", _MOST_PARTS)
        if len(branches) == _MOST_PARTS:
            raise SerializationFailed("A parameter's name has too many parts.")
        node = root
        for branch in branches:
            node = node.setdefault(branch, {})
            if type(node) is not dict:
                raise SerializationFailed("A parameter is both a value and a container.")
        if type(node.get(leaf)) is dict:
            raise SerializationFailed("A parameter is both a value and a container.")
        node[leaf] = value
    return root


def members_of(node: Any) -> Mapping[str, Any]:
    """Return what a container of the tree holds.

    Raises:
        SerializationFailed: It is a value.
    """
    if type(node) is not dict:
        raise SerializationFailed("Unexpected scalar where a structure was expected.")
    return node


def in_order(numbered: Any) -> list[Any]:
    """Return the values of ``{"1": …, "2": …}`` by rising number; gaps are closed.

    Raises:
        SerializationFailed: A key is not a number, or far too large a one.
    """
    if type(numbered) is not dict:
        raise SerializationFailed("A list's elements must be numbered.")
    for key in numbered:
        if not (key.isascii() and key.isdigit() and len(key) <= _LONGEST_INDEX):
            raise SerializationFailed("A list's elements must be numbered.")
    return [numbered[key] for key in sorted(numbered, key=int)]
