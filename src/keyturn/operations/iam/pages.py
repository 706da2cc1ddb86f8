"""IAM's way of listing: ``MaxItems``, ``Marker`` and ``IsTruncated``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from keyturn.call import Call
from keyturn.errors.common import ValidationFailed
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page

_DEFAULT_ITEMS = 100

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
    kit: Kit, call: Call, listing: str, request: Mapping[str, Any], items: Sequence[T], position_of: Callable[[T], str]
) -> Page[T]:
    """Return the part of a listing that a request asks for.

    Args:
        kit: Seals the marker.
        call: Who lists.
        listing: The operation's name.
        request: May have ``Marker`` and ``MaxItems``.
        items: All of them, ordered by ``position_of``.
        position_of: What an item is ordered by; no two items share it.

    Raises:
        ValidationFailed: The marker is not one of this listing.
    """
    if "Marker" in request:
        after = open_page(kit, call, listing, request["Marker"], ValidationFailed("Invalid Marker."))["after"]
        items = [item for item in items if position_of(item) > after]
    limit = request.get("MaxItems", _DEFAULT_ITEMS)
    if len(items) <= limit:
        return Page(items, None)
    shown = items[:limit]
    return Page(shown, seal_page(kit, call, listing, after=position_of(shown[-1])))
