"""May they? Collects the policies that apply to a call and asks ``rules.policy``; nowhere else decides.

Applicable are the inline policies of the user, or of the role behind a session; the session's own policy; and the
policy of the resource. A role's trust policy is the resource's policy of ``sts:AssumeRole``, and must allow; so must
the policy of a KMS key, or a grant on it.

What is kept are parsed documents, never decisions: identity-based ones until a committed change touches them, the
others under their text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.base import AwsError, KeyturnError
from keyturn.kept import Kept
from keyturn.operations.identity_policies import identity_policies
from keyturn.operations.refusal import Refused
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import (
    PolicyDocument,
    parse_key_policy,
    parse_resource_policy,
    parse_session_policy,
    parse_trust_policy,
)
from keyturn.rules.policy.evaluate import (
    Decision,
    Outcome,
    Policy,
    PolicySet,
    PolicyType,
    RequestContext,
    access_denied_message,
    evaluate,
)
from keyturn.rules.policy.patterns import ConditionKeys
from keyturn.storage import principals
from keyturn.storage.kept import KeptRows
from keyturn.storage.principals import RoleRecord, UserRecord

ASSUME_ROLE = "sts:AssumeRole"
_KMS = "kms:"
_SERVICE_SUFFIX = ".amazonaws.com"
_DOCUMENTS_KEPT = 10_000
_NONE = PolicySet()
_PRINCIPAL_TAG = "aws:principaltag/"
_ORGANIZATION = "aws:principalorgid"
_OF_PRINCIPAL = (_PRINCIPAL_TAG, _ORGANIZATION)


class Authoriser:
    """Decides calls by the policies as they are now; safe to use from several threads.

    Args:
        kept: Holds the identity-based policies, users and roles.
        organization_id: Of the organization that all accounts of the server are in.
    """

    def __init__(self, kept: KeptRows, organization_id: str) -> None:
        self._kept = kept
        self._of_principal = _PrincipalKeys(kept, organization_id)
        self._resource = _Documents("resource-based policy", parse_resource_policy)
        self._trust = _Documents("trust policy", parse_trust_policy)
        self._key = _Documents("key policy", parse_key_policy)
        self._session = _Documents("session policy", parse_session_policy)

    def __call__(self, call: Call, action: str, subject: Subject[object]) -> None:
        """Return if the policies allow it.

        Raises:
            Refused: They do not; the message is AWS's.
            KeyturnError: A policy that applies cannot be read.
        """
        context = self._context(call, action, subject)
        decision = evaluate(context, self._policies(call, action, subject))
        if decision.outcome is not Outcome.ALLOW:
            raise Refused(_message(decision, context, subject.asked), decision)

    def decide(self, call: Call, action: str, subject: Subject[object]) -> Decision:
        """Return the decision and what led to it, without raising for a refusal.

        Raises:
            KeyturnError: A policy that applies cannot be read.
        """
        return evaluate(self._context(call, action, subject), self._policies(call, action, subject))

    def may_deny(self, call: Call) -> bool:
        """Return whether the caller's policies hold a Deny at all, of whatever: most do not.

        Raises:
            KeyturnError: A policy that applies cannot be read.
        """
        principal = call.principal
        own = identity_policies(self._kept, principal.role_arn or principal.arn)
        for policy in own.identity:
            if policy.document.denies:
                return True
        return bool(call.session_policy and self._session.policy(call.session_policy).document.denies)

    def _context(self, call: Call, action: str, subject: Subject[object]) -> RequestContext:
        return RequestContext(call.principal, action, subject.arn, _Keys(call, subject.keys, self._of_principal))

    def _policies(self, call: Call, action: str, subject: Subject[object]) -> PolicySet:
        principal = call.principal
        own = _NONE
        if principal.kind is not PrincipalKind.SERVICE:
            own = identity_policies(self._kept, principal.role_arn or principal.arn)
        is_assumption = action == ASSUME_ROLE
        if not (is_assumption or subject.policy or subject.grants or call.session_policy):
            return own
        is_key = subject.policy is not None and action.startswith(_KMS)
        documents = self._trust if is_assumption else self._key if is_key else self._resource
        return PolicySet(
            identity=own.identity,
            resource=documents.policy(subject.policy) if subject.policy else None,
            grants=subject.grants,
            session=(self._session.policy(call.session_policy),) if call.session_policy else (),
            resource_must_allow=is_assumption or is_key,
            resource_type=PolicyType.TRUST if is_assumption else PolicyType.RESOURCE,
        )


class _Documents:
    """Parsed documents of one kind by their text; rows are kept, so the text is mostly the very same string."""

    def __init__(self, name: str, parse: Callable[[str], PolicyDocument]) -> None:
        self._name = name
        self._parse = parse
        self._parsed: Kept[str, Policy] = Kept(_DOCUMENTS_KEPT)

    def policy(self, text: str) -> Policy:
        """Return the parsed document.

        Raises:
            KeyturnError: It was stored and cannot be read. It might hold a Deny, so nothing is decided without it.
        """
        policy = self._parsed.get(text)
        if policy is None:
            try:
                policy = Policy(self._name, self._parse(text))
            except AwsError as error:
                raise KeyturnError(f"A stored {self._name} is refused: {error.message}") from error
            self._parsed.put(text, policy)
        return policy


class _Keys:
    """The condition keys of a call, found out when a condition asks: most policies have none."""

    __slots__ = ("_call", "_of_principal", "_of_subject")

    def __init__(self, call: Call, of_subject: ConditionKeys, of_principal: _PrincipalKeys) -> None:
        self._call = call
        self._of_subject = of_subject
        self._of_principal = of_principal

    def get(self, name: str, /) -> tuple[str, ...] | None:
        """Return the values of a condition key, given in lower case; None if the key is absent."""
        read = _GLOBAL_KEYS.get(name)
        if read is not None:
            value = read(self._call)
        elif name.startswith(_OF_PRINCIPAL):
            value = self._of_principal.get(self._call.principal, name)
        else:
            return self._of_subject.get(name)
        return None if value is None else (value,)


class _PrincipalKeys:
    """Condition keys of principals that are stored with them, or the same for all of a server."""

    def __init__(self, kept: KeptRows, organization_id: str) -> None:
        self._kept = kept
        self._organization_id = organization_id

    def get(self, principal: Principal, name: str) -> str | None:
        """Return the value of ``aws:principaltag/…`` or ``aws:principalorgid``, None if there is none."""
        if principal.kind is PrincipalKind.SERVICE:
            return None
        if name == _ORGANIZATION:
            return self._organization_id
        # A key that is like another one but for its capitals is the same key to IAM.
        return self._tags(principal).get(name.removeprefix(_PRINCIPAL_TAG))

    def _tags(self, principal: Principal) -> Mapping[str, str]:
        owner: UserRecord | RoleRecord | None
        if principal.role_arn:
            arn = principal.role_arn
            owner = self._kept.get(
                principals.ROLE, arn, lambda connection: principals.load_role_by_arn(connection, arn)
            )
        else:
            arn = principal.arn
            owner = self._kept.get(
                principals.USER, arn, lambda connection: principals.load_user_by_arn(connection, arn)
            )
        tags = None if owner is None else owner.tags
        return {key.lower(): value for key, value in (tags or {}).items()}


def _message(decision: Decision, context: RequestContext, asked: str) -> str:
    if context.action == ASSUME_ROLE and decision.outcome is Outcome.IMPLICIT_DENY:
        # AWS names no policy here, so that a role that is not there reads like one that trusts somebody else.
        return f"User: {context.principal.arn} is not authorized to perform: {ASSUME_ROLE} on resource: {asked}"
    return access_denied_message(decision, context, shown_resource=asked)


# Global condition keys. Source: IAM User Guide, "AWS global condition context keys".


def _source_ip(call: Call) -> str | None:
    address = call.source_address
    if not address or address.endswith(_SERVICE_SUFFIX):
        # A service that acts for somebody has no address.
        return None
    # On a socket that serves both families an IPv4 client looks like this; a policy means its IPv4 address.
    return address.removeprefix("::ffff:") if "." in address else address


def _principal_arn(call: Call) -> str | None:
    if call.principal.kind is PrincipalKind.SERVICE:
        return None
    return call.principal.role_arn or call.principal.arn


def _user_name(call: Call) -> str | None:
    return call.principal.name if call.principal.kind is PrincipalKind.USER else None


def _principal_type(call: Call) -> str | None:
    return _PRINCIPAL_TYPES.get(call.principal.kind)


def _account_id(call: Call) -> str | None:
    return None if call.principal.kind is PrincipalKind.SERVICE else call.principal.account_id


def _is_service(call: Call) -> str:
    return _truth(is_so=call.principal.kind is PrincipalKind.SERVICE)


def _service_name(call: Call) -> str | None:
    return call.principal.name if call.principal.kind is PrincipalKind.SERVICE else None


def _via_service(call: Call) -> str:
    # A service that acts for somebody shows its name where others have an address.
    return _truth(is_so=call.source_address.endswith(_SERVICE_SUFFIX))


def _token_issue_time(call: Call) -> str | None:
    issued_at = call.principal.session_issued_at
    return None if issued_at is None else _iso8601(issued_at)


def _truth(*, is_so: bool) -> str:
    return "true" if is_so else "false"


def _iso8601(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_PRINCIPAL_TYPES = {PrincipalKind.USER: "User", PrincipalKind.ASSUMED_ROLE: "AssumedRole"}
_GLOBAL_KEYS: dict[str, Callable[[Call], str | None]] = {
    "aws:currenttime": lambda call: _iso8601(call.at),
    "aws:epochtime": lambda call: str(int(call.at.timestamp())),
    "aws:principalaccount": _account_id,
    "aws:principalarn": _principal_arn,
    "aws:principalisawsservice": _is_service,
    "aws:principalservicename": _service_name,
    "aws:principaltype": _principal_type,
    "aws:requestedregion": lambda call: call.place.region,
    "aws:securetransport": lambda call: _truth(is_so=call.secure_transport),
    "aws:sourceip": _source_ip,
    "aws:tokenissuetime": _token_issue_time,
    "aws:useragent": lambda call: call.user_agent or None,
    "aws:userid": lambda call: call.principal.unique_id,
    "aws:username": _user_name,
    "aws:viaawsservice": _via_service,
}
