"""KMS's way of listing: ``Limit``, ``Marker``, ``NextMarker`` and ``Truncated``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from keyturn.call import Call
from keyturn.errors.kms import InvalidMarkerException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import Page, open_page, page_after, seal_page

T = TypeVar("T")


def page_of(
    kit: Kit,
    call: Call,
    listing: str,
    request: Mapping[str, Any],
    items: Sequence[T],
    position_of: Callable[[T], str],
    default_limit: int,
) -> Page[T]:
    """Return the part of a listing that a request asks for.

    Args:
        kit: Seals the marker.
        call: Who lists.
        listing: What is listed.
        request: May have ``Marker`` and ``Limit``.
        items: All of them, ordered by ``position_of``.
        position_of: What an item is ordered by; no two items share it.
        default_limit: How many without ``Limit``.

    Raises:
        InvalidMarkerException: The marker is not one of this listing.
    """
    return page_after(
        kit,
        call,
        listing,
        items,
        position_of,
        marker=request.get("Marker"),
        limit=request.get("Limit", default_limit),
        refusal=InvalidMarkerException("Invalid marker."),
    )


def page_from(
    kit: Kit,
    call: Call,
    listing: str,
    request: Mapping[str, Any],
    load: Callable[[str, int], Sequence[T]],
    position_of: Callable[[T], str],
    default_limit: int,
) -> Page[T]:
    """Return the part of a listing that a request asks for, of one that is too long to be loaded whole.

    Args:
        kit: Seals the marker.
        call: Who lists.
        listing: What is listed.
        request: May have ``Marker`` and ``Limit``.
        load: Returns so many items at most, those behind a position (empty for the first), ordered by ``position_of``.
        position_of: What an item is ordered by; no two items share it.
        default_limit: How many without ``Limit``.

    Raises:
        InvalidMarkerException: The marker is not one of this listing.
    """
    marker, limit, after = request.get("Marker"), request.get("Limit", default_limit), ""
    if marker is not None:
        after = open_page(kit, call, listing, marker, InvalidMarkerException("Invalid marker."))["after"]
    items = load(after, limit + 1)
    if len(items) <= limit:
        return Page(items, None)
    shown = items[:limit]
    return Page(shown, seal_page(kit, call, listing, after=position_of(shown[-1])))
