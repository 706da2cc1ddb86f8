"""KMS's way of listing: ``Limit``, ``Marker``, ``NextMarker`` and ``Truncated``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from keyturn.call import Call
from keyturn.errors.kms import InvalidMarkerException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import Page, page_after

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
