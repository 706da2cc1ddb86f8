"""Page tokens: where a listing goes on, sealed, so that callers can neither read nor make them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from keyturn.call import Call
from keyturn.crypto.tokens import ForeignToken
from keyturn.errors.base import AwsError
from keyturn.operations.kit import Kit

_LISTING, _WHERE = "listing", "where"

T = TypeVar("T")


def seal_page(kit: Kit, call: Call, listing: str, **position: str) -> str:
    """Return the token of the next page.

    Args:
        kit: Holds the key.
        call: The token serves its account and region alone.
        listing: What is listed, with the question's own terms if a token must not serve another question.
        position: Where the next page begins.
    """
    return kit.page_tokens.seal({_LISTING: listing, _WHERE: _where(call), **position})


def open_page(kit: Kit, call: Call, listing: str, token: str, refusal: AwsError) -> dict[str, str]:
    """Return the position a token holds.

    Raises:
        AwsError: ``refusal``, if the token is not ours or belongs to another listing, account or region.
    """
    try:
        position = kit.page_tokens.open(token)
    except ForeignToken as error:
        raise refusal from error
    if (position.pop(_LISTING, None), position.pop(_WHERE, None)) != (listing, _where(call)):
        raise refusal
    return position


def _where(call: Call) -> str:
    return f"{call.place.account_id} {call.place.region}"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a listing; ``marker`` leads to the next part and is None on the last."""

    items: Sequence[T]
    marker: str | None

    @property
    def is_truncated(self) -> bool:
        """Whether there is more."""
        return self.marker is not None


def page_after(
    kit: Kit,
    call: Call,
    listing: str,
    items: Sequence[T],
    position_of: Callable[[T], str],
    *,
    marker: str | None,
    limit: int,
    refusal: AwsError,
) -> Page[T]:
    """Return the part of a listing that goes on behind a marker.

    Args:
        kit: Seals the marker.
        call: Who lists.
        listing: What is listed.
        items: All of them, ordered by ``position_of``.
        position_of: What an item is ordered by; no two items share it.
        marker: As sent; None for the first part.
        limit: How many at most.
        refusal: Raised if the marker is not one of this listing.
    """
    if marker is not None:
        after = open_page(kit, call, listing, marker, refusal)["after"]
        items = [item for item in items if position_of(item) > after]
    if len(items) <= limit:
        return Page(items, None)
    shown = items[:limit]
    return Page(shown, seal_page(kit, call, listing, after=position_of(shown[-1])))
