"""Page tokens: where a listing goes on, sealed, so that callers can neither read nor make them up."""

from __future__ import annotations

from keyturn.crypto.tokens import ForeignToken
from keyturn.errors.base import AwsError
from keyturn.operations.kit import Kit

_LISTING = "listing"


def seal_page(kit: Kit, listing: str, **position: str) -> str:
    """Return the token of the next page.

    Args:
        kit: Holds the key.
        listing: What is listed, with the question's own terms if a token must not serve another question.
        position: Where the next page begins.
    """
    return kit.page_tokens.seal({_LISTING: listing, **position})


def open_page(kit: Kit, listing: str, token: str, refusal: AwsError) -> dict[str, str]:
    """Return the position a token holds.

    Raises:
        AwsError: ``refusal``, if the token is not ours or belongs to another listing.
    """
    try:
        position = kit.page_tokens.open(token)
    except ForeignToken as error:
        raise refusal from error
    if position.pop(_LISTING, None) != listing:
        raise refusal
    return position
