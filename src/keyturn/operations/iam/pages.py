"""IAM's way of listing: ``MaxItems``, ``Marker`` and ``IsTruncated``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict, TypeVar

from keyturn.call import Call
from keyturn.errors.common import ValidationFailed
from keyturn.operations.kit import Kit
from keyturn.operations.paging import Page, page_after

_DEFAULT_ITEMS = 100

T = TypeVar("T")


class PageEnd(TypedDict):
    """The members by which a listing says whether there is more."""

    IsTruncated: bool
    Marker: NotRequired[str]


def page_of(
    kit: Kit,
    call: Call,
    listing: str,
    request: Mapping[str, Any],
    items: Sequence[T],
    position_of: Callable[[T], str],
) -> Page[T]:
    """Return the part of a listing that a request asks for.

    Args:
        kit: Seals the marker.
        call: Who lists.
        listing: What is listed. A marker may have 320 characters, so this and the positions must not be long.
        request: May have ``Marker`` and ``MaxItems``.
        items: All of them, ordered by ``position_of``.
        position_of: What an item is ordered by; no two items share it.

    Raises:
        ValidationFailed: The marker is not one of this listing.
    """
    return page_after(
        kit,
        call,
        listing,
        items,
        position_of,
        marker=request.get("Marker"),
        limit=request.get("MaxItems", _DEFAULT_ITEMS),
        refusal=ValidationFailed("Invalid Marker."),
    )


def end_of(page: Page[Any]) -> PageEnd:
    """Return how a page ends."""
    if page.marker is None:
        return {"IsTruncated": False}
    return {"IsTruncated": True, "Marker": page.marker}
