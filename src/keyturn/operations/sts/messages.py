"""Why a call was refused, for those who may know."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.crypto.tokens import ForeignToken
from keyturn.errors.sts import InvalidAuthorizationMessageException
from keyturn.operations.authorization_messages import decoded_message
from keyturn.operations.kit import Kit
from keyturn.operations.registry import no_subject, operation
from keyturn.wire.types.sts import DecodeAuthorizationMessageRequest, DecodeAuthorizationMessageResponse


@operation("sts", "DecodeAuthorizationMessage", subject=no_subject)
def decode_authorization_message(
    kit: Kit, call: Call, request: DecodeAuthorizationMessageRequest, _subject: None
) -> DecodeAuthorizationMessageResponse:
    """Show what an encoded message of the caller's account says about a refusal."""
    try:
        message = decoded_message(kit.authorization_messages, request["EncodedMessage"], call.place.account_id)
    except ForeignToken as error:
        raise InvalidAuthorizationMessageException("Message is not valid") from error
    return {"DecodedMessage": message}
