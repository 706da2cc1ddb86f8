"""KMS's way of listing: ``Limit``, ``Marker``, ``NextMarker`` and ``Truncated``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from keyturn.call import Call
from keyturn.errors.kms import InvalidMarkerException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a listing; ``marker`` leads to the next part and is None on the last."""

    items: Sequence[T]
    marker: str | None

    @property
    def is_truncated(self) -> bool:
        """Whether there is more."""
        return self.marker is not None


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
    if "Marker" in request:
        after = open_page(kit, call, listing, request["Marker"], InvalidMarkerException("Invalid marker."))["after"]
        items = [item for item in items if position_of(item) > after]
    limit = request.get("Limit", default_limit)
    if len(items) <= limit:
        return Page(items, None)
    shown = items[:limit]
    return Page(shown, seal_page(kit, call, listing, after=position_of(shown[-1])))
