"""Page tokens: where a listing goes on, sealed, so that callers can neither read nor make them up."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.crypto.tokens import ForeignToken
from keyturn.errors.base import AwsError
from keyturn.operations.kit import Kit

_LISTING, _WHERE = "listing", "where"


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
