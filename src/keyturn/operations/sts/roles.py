"""Roles, assumed: whom they trust, for how long, and what their sessions carry.

Source: AWS STS API Reference, AssumeRole; IAM User Guide, "Pass session tags in AWS STS" and "Monitor and control
actions taken with assumed roles" (source identity); texts of conflicts from field reports and localstack.
"""

from __future__ import annotations

from datetime import timedelta

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.call import Call, PrincipalKind
from keyturn.errors.common import AccessDenied, NotImplementedHere, ValidationFailed
from keyturn.errors.sts import InvalidParameterValue, PackedPolicyTooLargeException
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.sessions import SessionTerms, issue_session
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import parse_session_policy, size_without_white_space
from keyturn.storage import principals
from keyturn.storage.principals import RoleRecord
from keyturn.wire.types.sts import AssumeRoleRequest, AssumeRoleResponse

_DEFAULT_SECONDS = 3600
_CHAINED_SECONDS = 3600
_PACKED_LIMIT = 2048
# What a session would have to remember and nothing here enforces: left out, it would widen what was asked for.
_NOT_OFFERED = ("PolicyArns", "SerialNumber", "TokenCode", "ProvidedContexts")


def role_to_assume(kit: Kit, call: Call, request: AssumeRoleRequest) -> Subject[RoleRecord]:
    """Load the role that ``RoleArn`` means; its trust policy is the resource's policy.

    Raises:
        ValidationFailed: The ARN is not a role's.
    """
    text = request["RoleArn"]
    if not _is_role(text):
        raise ValidationFailed(f"{text} is invalid")
    with kit.state.read() as connection:
        record = principals.load_role_by_arn(connection, text)
    keys = _keys(request, request.get("SourceIdentity", call.principal.source_identity))
    if record is None:
        # In the same words as for a role that does not trust the caller, whatever the caller's own policies allow.
        refusal = f"User: {call.principal.arn} is not authorized to perform: sts:AssumeRole on resource: {text}"
        return Subject(text, text, record=None, missing=AccessDenied(refusal), keys=keys)
    of_role = {
        f"{prefix}:resourcetag/{key.lower()}": (value,)
        for key, value in (record.tags or {}).items()
        for prefix in ("aws", "iam")
    }
    return Subject(text, text, record, policy=record.trust_policy, keys={**of_role, **keys})


@operation("sts", "AssumeRole", subject=role_to_assume)
def assume_role(kit: Kit, call: Call, request: AssumeRoleRequest, role: RoleRecord) -> AssumeRoleResponse:
    """Hand out credentials of a role to somebody whom it trusts."""
    for member in _NOT_OFFERED:
        if member in request:
            raise NotImplementedHere(f"Keyturn does not offer {member} of AssumeRole; see docs/compatibility.md.")
    seconds = request.get("DurationSeconds", _DEFAULT_SECONDS)
    _check_duration(call, role, seconds)
    terms = _terms(call, request)
    packed_percent = _check_size(terms)
    _authorise_terms(kit, call, request, terms)
    session_name = request["RoleSessionName"]
    session = issue_session(kit.session_tokens, role, session_name, call.at, timedelta(seconds=seconds), terms)
    response: AssumeRoleResponse = {
        "Credentials": session.shown(),
        "AssumedRoleUser": {
            "AssumedRoleId": f"{role.unique_id}:{session_name}",
            "Arn": Place.of(role.arn).assumed_role_arn(role.name, session_name),
        },
    }
    if packed_percent:
        response["PackedPolicySize"] = packed_percent
    if terms.source_identity:
        response["SourceIdentity"] = terms.source_identity
    return response


def _is_role(text: str) -> bool:
    try:
        arn = Arn.parse(text)
    except InvalidArn:
        return False
    return arn.service == "iam" and not arn.region and arn.resource.startswith("role/")


def _keys(request: AssumeRoleRequest, source_identity: str) -> dict[str, tuple[str, ...]]:
    keys: dict[str, tuple[str, ...]] = {"sts:rolesessionname": (request["RoleSessionName"],)}
    if "ExternalId" in request:
        keys["sts:externalid"] = (request["ExternalId"],)
    if source_identity:
        keys["sts:sourceidentity"] = (source_identity,)
    tags = request.get("Tags", [])
    if tags:
        keys["aws:tagkeys"] = tuple(tag["Key"] for tag in tags)
        keys.update({f"aws:requesttag/{tag['Key'].lower()}": (tag["Value"],) for tag in tags})
    if request.get("TransitiveTagKeys"):
        keys["sts:transitivetagkeys"] = tuple(request["TransitiveTagKeys"])
    return keys


def _check_duration(call: Call, role: RoleRecord, seconds: int) -> None:
    if call.principal.kind is PrincipalKind.ASSUMED_ROLE and seconds > _CHAINED_SECONDS:
        raise ValidationFailed(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        )
    if seconds > role.max_session_seconds:
        raise ValidationFailed("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")


def _terms(call: Call, request: AssumeRoleRequest) -> SessionTerms:
    """Return what the session will carry: of the request, and what a chain of roles hands on.

    Raises:
        InvalidParameterValue: Tags that cannot be.
        ValidationFailed: The chain has another source identity.
        MalformedPolicyDocumentException: The session policy is not well-formed.
    """
    caller = call.principal
    source_identity = request.get("SourceIdentity", caller.source_identity)
    if caller.source_identity and source_identity != caller.source_identity:
        raise ValidationFailed("The source identity is already set for this assume role session")
    tags, transitive = _tags(request)
    inherited = {key: value for key, value in caller.session_tags if key in caller.transitive_tag_keys}
    if {key.casefold() for key in inherited} & {key.casefold() for key in tags}:
        raise InvalidParameterValue(
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from"
            " the calling session."
        )
    policy = request.get("Policy", "")
    if policy:
        parse_session_policy(policy)
    return SessionTerms(
        policy=policy,
        tags=tuple({**inherited, **tags}.items()),
        transitive_tag_keys=(*inherited, *transitive),
        source_identity=source_identity,
    )


def _tags(request: AssumeRoleRequest) -> tuple[dict[str, str], list[str]]:
    """Return the tags of a request, and as they are spelled there the keys of those that are transitive."""
    tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
    spelling = {key.casefold(): key for key in tags}
    if len(spelling) != len(request.get("Tags", [])):
        raise InvalidParameterValue("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    wanted = {key.casefold() for key in request.get("TransitiveTagKeys", [])}
    if not wanted <= spelling.keys():
        raise InvalidParameterValue("The specified transitive tag key must be included in the requested tags.")
    return tags, [spelling[key] for key in sorted(wanted)]


def _check_size(terms: SessionTerms) -> int:
    """Return how much of the allotted space policy and tags take, in percent, rounded up; handed-on tags count too.

    Raises:
        PackedPolicyTooLargeException: They take more than there is.
    """
    percent_of_tags = _percent(sum(len(key) + len(value) for key, value in terms.tags))
    percent = percent_of_tags + _percent(size_without_white_space(terms.policy))
    if percent_of_tags > 100:
        raise PackedPolicyTooLargeException(f"Packed size of session tags consumes {percent}% of allotted space.")
    if percent > 100:
        raise PackedPolicyTooLargeException(
            f"Packed policy consumes {percent}% of allotted space, please use smaller policy."
        )
    return percent


def _percent(characters: int) -> int:
    return -(-100 * characters // _PACKED_LIMIT)


def _authorise_terms(kit: Kit, call: Call, request: AssumeRoleRequest, terms: SessionTerms) -> None:
    """Ask for the rights to give a session tags and a source identity, also for those that a chain hands on.

    Raises:
        Refused: The caller, or the role's trust policy, does not allow it.
    """
    role = role_to_assume(kit, call, request)
    if terms.tags:
        kit.authorise(call, "sts:TagSession", role)
    if terms.source_identity:
        kit.authorise(call, "sts:SetSourceIdentity", role)
