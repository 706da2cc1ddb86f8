"""AWS Security Token Service: who am I, and let me be a role for a while."""

from __future__ import annotations

from datetime import timedelta

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.call import Call, PrincipalKind
from keyturn.errors.common import AccessDenied, NotImplementedHere, ValidationFailed
from keyturn.errors.sts import PackedPolicyTooLargeException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import no_subject, operation
from keyturn.operations.sessions import issue_session
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import parse_session_policy, size_without_white_space
from keyturn.storage import roles
from keyturn.storage.roles import RoleRecord
from keyturn.wire.types.sts import (
    AssumeRoleRequest,
    AssumeRoleResponse,
    GetCallerIdentityRequest,
    GetCallerIdentityResponse,
)

_DEFAULT_SECONDS = 3600
_CHAINED_SECONDS = 3600
_SESSION_POLICY_LIMIT = 2048
# What a session would have to remember and nothing here enforces yet: left out, it would widen what was asked for.
_NOT_OFFERED = (
    "PolicyArns",
    "Tags",
    "TransitiveTagKeys",
    "SerialNumber",
    "TokenCode",
    "SourceIdentity",
    "ProvidedContexts",
)


def role_to_assume(kit: Kit, call: Call, request: AssumeRoleRequest) -> Subject[RoleRecord]:
    """Load the role that ``RoleArn`` means; its trust policy is the resource's policy.

    Raises:
        ValidationFailed: The ARN is not a role's.
    """
    text = request["RoleArn"]
    if not _is_role(text):
        raise ValidationFailed(f"{text} is invalid")
    with kit.state.read() as connection:
        record = roles.load_role_by_arn(connection, text)
    keys = {"sts:rolesessionname": (request["RoleSessionName"],)}
    if "ExternalId" in request:
        keys["sts:externalid"] = (request["ExternalId"],)
    if record is None:
        # In the same words as for a role that does not trust the caller, whatever the caller's own policies allow.
        refusal = f"User: {call.principal.arn} is not authorized to perform: sts:AssumeRole on resource: {text}"
        return Subject(text, text, record=None, missing=AccessDenied(refusal), keys=keys)
    return Subject(text, text, record, policy=record.trust_policy, keys=keys)


@operation("sts", "AssumeRole", subject=role_to_assume)
def assume_role(kit: Kit, call: Call, request: AssumeRoleRequest, role: RoleRecord) -> AssumeRoleResponse:
    """Hand out credentials of a role to somebody whom it trusts."""
    for member in _NOT_OFFERED:
        if member in request:
            raise NotImplementedHere(f"Keyturn does not offer {member} of AssumeRole; see docs/compatibility.md.")
    seconds = request.get("DurationSeconds", _DEFAULT_SECONDS)
    _check_duration(call, role, seconds)
    policy = request.get("Policy", "")
    packed_percent = _check_policy(policy) if policy else None
    session_name = request["RoleSessionName"]
    session = issue_session(kit.session_tokens, role, session_name, call.at, timedelta(seconds=seconds), policy)
    response: AssumeRoleResponse = {
        "Credentials": {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key.reveal(),
            "SessionToken": session.session_token.reveal(),
            "Expiration": session.expires_at,
        },
        "AssumedRoleUser": {
            "AssumedRoleId": f"{role.unique_id}:{session_name}",
            "Arn": Place.of(role.arn).assumed_role_arn(role.name, session_name),
        },
    }
    if packed_percent is not None:
        response["PackedPolicySize"] = packed_percent
    return response


@operation("sts", "GetCallerIdentity", subject=no_subject, action="")
def get_caller_identity(
    _kit: Kit, call: Call, _request: GetCallerIdentityRequest, _subject: None
) -> GetCallerIdentityResponse:
    """Say who signed the call; nobody can be denied this."""
    principal = call.principal
    return {"UserId": principal.unique_id, "Account": principal.account_id, "Arn": principal.arn}


def _is_role(text: str) -> bool:
    try:
        arn = Arn.parse(text)
    except InvalidArn:
        return False
    return arn.service == "iam" and not arn.region and arn.resource.startswith("role/")


def _check_duration(call: Call, role: RoleRecord, seconds: int) -> None:
    if call.principal.kind is PrincipalKind.ASSUMED_ROLE and seconds > _CHAINED_SECONDS:
        raise ValidationFailed(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
    if seconds > role.max_session_seconds:
        raise ValidationFailed("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")


def _check_policy(text: str) -> int:
    """Return how much of its allotted space a session policy takes, in percent, rounded up.

    Raises:
        MalformedPolicyDocumentException: It is not well-formed.
        PackedPolicyTooLargeException: It takes more than there is.
    """
    parse_session_policy(text)
    percent = -(-100 * size_without_white_space(text) // _SESSION_POLICY_LIMIT)
    if percent > 100:
        raise PackedPolicyTooLargeException(
            f"Packed policy consumes {percent}% of allotted space, please use smaller policy."
        )
    return percent
