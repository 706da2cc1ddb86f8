"""Temporary credentials of a user for itself.

They may do what the user may, but for IAM's operations and most of this service's: both ask for multi-factor
authentication, which Keyturn does not offer.

Source: AWS STS API Reference, GetSessionToken; IAM User Guide, "Permissions for temporary security credentials"; the
refusals from field reports.
"""

from __future__ import annotations

from datetime import timedelta

from keyturn.call import Call
from keyturn.errors.common import NotImplementedHere
from keyturn.operations.kit import Kit
from keyturn.operations.registry import no_subject, operation
from keyturn.operations.sessions import issue_user_session
from keyturn.operations.sts.callers import refuse_session
from keyturn.wire.types.sts import GetSessionTokenRequest, GetSessionTokenResponse

_DEFAULT_SECONDS = 43_200


# AWS: "No permissions are required for users to perform this operation."
@operation("sts", "GetSessionToken", subject=no_subject, action="")
def get_session_token(kit: Kit, call: Call, request: GetSessionTokenRequest, _subject: None) -> GetSessionTokenResponse:
    """Hand out credentials with which a user is itself for a while."""
    refuse_session(call, "GetSessionToken")
    if "SerialNumber" in request or "TokenCode" in request:
        raise NotImplementedHere("Keyturn does not offer multi-factor authentication; see docs/compatibility.md.")
    duration = timedelta(seconds=request.get("DurationSeconds", _DEFAULT_SECONDS))
    return {"Credentials": issue_user_session(kit.session_tokens, call.principal, call.at, duration).shown()}
