"""Who signs, and whose an access key is."""

from __future__ import annotations

from keyturn.call import Call
from keyturn.errors.common import AccessDenied, ValidationFailed
from keyturn.operations.kit import Kit
from keyturn.operations.registry import no_subject, operation
from keyturn.storage import principals
from keyturn.wire.types.sts import (
    GetAccessKeyInfoRequest,
    GetAccessKeyInfoResponse,
    GetCallerIdentityRequest,
    GetCallerIdentityResponse,
)


@operation("sts", "GetCallerIdentity", subject=no_subject, action="")
def get_caller_identity(
    _kit: Kit, call: Call, _request: GetCallerIdentityRequest, _subject: None
) -> GetCallerIdentityResponse:
    """Say who signed the call; nobody can be denied this."""
    principal = call.principal
    return {"UserId": principal.unique_id, "Account": principal.account_id, "Arn": principal.arn}


@operation("sts", "GetAccessKeyInfo", subject=no_subject)
def get_access_key_info(
    kit: Kit, _call: Call, request: GetAccessKeyInfoRequest, _subject: None
) -> GetAccessKeyInfoResponse:
    """Say which account a user's access key belongs to, switched on or off; those of sessions are not stored."""
    access_key_id = request["AccessKeyId"]
    with kit.state.read() as connection:
        key = principals.load_access_key(connection, access_key_id)
    if key is None:
        raise ValidationFailed(f"Invalid access key id: {access_key_id}")
    return {"Account": key.user.account_id}


def refuse_session(call: Call, operation_name: str) -> None:
    """Refuse a caller with temporary credentials.

    Raises:
        AccessDenied: They are temporary; AWS's words.
    """
    if call.principal.session_issued_at is not None:
        raise AccessDenied(f"Cannot call {operation_name} with session credentials")
