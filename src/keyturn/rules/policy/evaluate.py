"""May this principal do this? The order of evaluation of IAM, and the sentence that goes with a refusal.

1. A matching Deny in any policy decides.
2. A service principal needs an Allow of the resource's policy, and nothing else counts.
3. An Allow of the resource's policy is worth what its Principal names: the caller itself or everybody (enough), the
   role (instead of an identity-based policy), or the account (nothing more than leave to use identity policies).
   A grant on a KMS key is worth as much, and that across accounts too.
4. Otherwise an identity-based policy must allow. From another account both sides must.
5. A permissions boundary and session policies, where there are any, must allow.
6. So must the policy of the VPC endpoint that the request came through, whoever else allows it.

Collecting the policies that apply is left to the caller.

Source: IAM User Guide, "Policy evaluation logic", "Permissions boundaries for IAM entities" and "Troubleshoot access
denied error messages"; AWS PrivateLink Guide, "Control access to VPC endpoints using endpoint policies".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from keyturn.call import Principal, PrincipalKind
from keyturn.rules.policy.document import Effect, PolicyDocument, Statement
from keyturn.rules.policy.patterns import ConditionKeys
from keyturn.rules.policy.principals import Grade

_ACCOUNT_FIELD = 4


class PolicyType(StrEnum):
    """Where a policy hangs, in the words of access-denied messages."""

    IDENTITY = "identity-based policy"
    RESOURCE = "resource-based policy"
    TRUST = "role trust policy"
    GRANT = "grant"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"
    ENDPOINT = "VPC endpoint policy"


ON_RESOURCE = frozenset({PolicyType.RESOURCE, PolicyType.TRUST, PolicyType.GRANT})
"""Policies that hang on what is asked for, and not on who asks."""


class Outcome(StrEnum):
    """The three decisions, as SimulatePrincipalPolicy spells them."""

    ALLOW = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


@dataclass(frozen=True, slots=True)
class Policy:
    """A document with the name it goes by in decisions and audit events.

    Attributes:
        name: A managed policy's ARN, an inline policy's name, or what stands for it.
        document: Ready for matching.
        text: As it was stored, for those who want to be shown a statement.
    """

    name: str
    document: PolicyDocument
    text: str = ""


@dataclass(frozen=True, slots=True)
class PolicySet:
    """The policies that apply to one request.

    Attributes:
        identity: Of the user, or of the role behind a session.
        resource: Of the secret, function or key; the trust policy of a role that is to be assumed.
        grants: What grants on a key allow; it denies nothing.
        boundary: The permissions boundary, if there is one.
        session: What the session was given; empty means no session policy.
        endpoint: Of the VPC endpoint that the request came through; None if it came through none.
        resource_must_allow: The resource's policy must allow even within the account: trust and key policies.
        resource_type: How a refusal names the resource's policy.
    """

    identity: tuple[Policy, ...] = ()
    resource: Policy | None = None
    grants: Policy | None = None
    boundary: Policy | None = None
    session: tuple[Policy, ...] = ()
    endpoint: Policy | None = None
    resource_must_allow: bool = False
    resource_type: PolicyType = PolicyType.RESOURCE


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What is asked.

    Attributes:
        principal: Who asks.
        action: ``secretsmanager:GetSecretValue``.
        resource: An ARN, or ``*`` for an action without resource.
        keys: Condition keys; a dict with lower-case names (:func:`condition_keys`), or anything that answers ``get``.
    """

    principal: Principal
    action: str
    resource: str
    keys: ConditionKeys


class Decision(NamedTuple):
    """What was decided, and by what; a tuple, because one is made for every request.

    Attributes:
        outcome: Allow, explicit deny or implicit deny.
        policy_type: The kind of policy that decided; for an implicit deny the kind that should have allowed.
        policy_name: The policy that decided; None for an implicit deny.
        statement_index: Its statement, counted from 0; None for an implicit deny.
        sid: The statement's name, if it has one.
    """

    outcome: Outcome
    policy_type: PolicyType
    policy_name: str | None = None
    statement_index: int | None = None
    sid: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""
        return self.outcome is Outcome.ALLOW

    def reason(self, action: str) -> str:
        """Return the end of AWS's message about a refusal; empty for an Allow."""
        if self.outcome is Outcome.EXPLICIT_DENY:
            article = "the" if self.policy_type is PolicyType.TRUST else _article(self.policy_type)
            # A policy that has an ARN is named by it, as AWS has done since 2025.
            which = f": {self.policy_name}" if (self.policy_name or "").startswith("arn:") else ""
            return f"with an explicit deny in {article} {self.policy_type}{which}"
        if self.outcome is Outcome.IMPLICIT_DENY:
            return f"because no {self.policy_type} allows the {action} action"
        return ""


def condition_keys(keys: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the keys under their names in lower case, as :class:`RequestContext` wants them."""
    return {name.lower(): values for name, values in keys.items()}


def access_denied_message(decision: Decision, context: RequestContext, *, shown_resource: str | None) -> str:
    """Say in AWS's words why a request is refused.

    Args:
        decision: A refusal.
        context: What was asked.
        shown_resource: The ARN; Secrets Manager shows what the caller sent, and nothing for actions without resource.
    """
    where = f" on resource: {shown_resource}" if shown_resource else ""
    return (
        f"User: {context.principal.arn} is not authorized to perform: {context.action}{where}"
        f" {decision.reason(context.action)}"
    )


def evaluate(context: RequestContext, policies: PolicySet) -> Decision:
    """Decide about one request.

    Args:
        context: Who asks for what.
        policies: Everything that applies; nothing else is looked up.

    Returns:
        The outcome with the statement that decided.
    """
    action = context.action.lower()
    # 1. A Deny anywhere decides.
    denied = _first_deny(context, action, policies)
    if denied is not None:
        return denied
    decided = _allowed(context, action, policies)
    # 6. What it came through.
    if policies.endpoint is not None and decided.allowed:
        let_through, _ = _resource_allow(context, action, policies.endpoint, PolicyType.ENDPOINT)
        if let_through is None:
            return Decision(Outcome.IMPLICIT_DENY, PolicyType.ENDPOINT)
    return decided


def names_caller(statement: Statement, context: RequestContext, policies: PolicySet) -> bool:
    """Whether a statement is about the caller; one without Principal is about whoever has the policy."""
    principals = statement.principals
    if principals is None or principals.grade(context.principal):
        return True
    # A NotPrincipal spares nobody who has a permissions boundary: "always", whatever it names.
    return statement.effect is Effect.DENY and principals.negated and policies.boundary is not None


def _allowed(context: RequestContext, action: str, policies: PolicySet) -> Decision:
    """Return what allows a request that nothing denies, or what should."""
    by_resource = policies.resource_type
    granted, grade = _resource_allow(context, action, policies.resource, by_resource)
    # 2. Services have no policies of their own.
    if context.principal.kind is PrincipalKind.SERVICE:
        return granted or Decision(Outcome.IMPLICIT_DENY, by_resource)
    foreign = _is_foreign(context)
    by_grant, grant_grade = _resource_allow(context, action, policies.grants, PolicyType.GRANT)
    if by_grant is not None and (granted is None or foreign or grant_grade > grade):
        # Whoever made the grant speaks for both accounts.
        granted, grade, foreign = by_grant, grant_grade, False
    if granted is None and (foreign or policies.resource_must_allow):
        identity = _first_allow(context, action, policies.identity, PolicyType.IDENTITY)
        missing = by_resource if identity or policies.resource_must_allow else PolicyType.IDENTITY
        return Decision(Outcome.IMPLICIT_DENY, missing)
    # 3. The resource's policy names the caller itself, or everybody.
    if granted is not None and grade is Grade.EXACT and not foreign:
        return granted
    # 4. An identity-based policy, unless the resource's policy names more than the account.
    decided = granted if grade is Grade.ROLE and not foreign else None
    if decided is None:
        decided = _first_allow(context, action, policies.identity, PolicyType.IDENTITY)
        if decided is None:
            return Decision(Outcome.IMPLICIT_DENY, PolicyType.IDENTITY)
    # 5. What narrows.
    if policies.boundary and not _first_allow(context, action, (policies.boundary,), PolicyType.BOUNDARY):
        return Decision(Outcome.IMPLICIT_DENY, PolicyType.BOUNDARY)
    if policies.session and not _first_allow(context, action, policies.session, PolicyType.SESSION):
        return Decision(Outcome.IMPLICIT_DENY, PolicyType.SESSION)
    return decided


def _first_deny(context: RequestContext, action: str, policies: PolicySet) -> Decision | None:
    resource = (policies.resource,) if policies.resource else ()
    boundary = (policies.boundary,) if policies.boundary else ()
    endpoint = (policies.endpoint,) if policies.endpoint else ()
    for policy_type, group in (
        (PolicyType.IDENTITY, policies.identity),
        (policies.resource_type, resource),
        (PolicyType.BOUNDARY, boundary),
        (PolicyType.SESSION, policies.session),
        (PolicyType.ENDPOINT, endpoint),
    ):
        for policy in group:
            for statement in policy.document.denies:
                if names_caller(statement, context, policies) and _applies(statement, context, action):
                    return _decision(Outcome.EXPLICIT_DENY, policy_type, policy, statement)
    return None


def _first_allow(
    context: RequestContext, action: str, policies: Iterable[Policy], policy_type: PolicyType
) -> Decision | None:
    for policy in policies:
        for statement in policy.document.allows:
            if _applies(statement, context, action):
                return _decision(Outcome.ALLOW, policy_type, policy, statement)
    return None


def _resource_allow(
    context: RequestContext, action: str, policy: Policy | None, policy_type: PolicyType
) -> tuple[Decision | None, Grade]:
    """Return the Allow of a policy with principals that names the caller most precisely."""
    best: Statement | None = None
    best_grade = Grade.NONE
    if policy is None:
        return None, best_grade
    for statement in policy.document.allows:
        if statement.principals is None:
            continue
        grade = statement.principals.grade(context.principal)
        if grade > best_grade and _applies(statement, context, action):
            best, best_grade = statement, grade
    if best is None:
        return None, best_grade
    return _decision(Outcome.ALLOW, policy_type, policy, best), best_grade


def _applies(statement: Statement, context: RequestContext, action: str) -> bool:
    """Whether action, resource and conditions match; the principal is looked at elsewhere."""
    keys = context.keys
    if statement.actions.matches(action, keys) is statement.actions_negated:
        return False
    resources = statement.resources
    if resources is not None and resources.matches(context.resource, keys) is statement.resources_negated:
        return False
    for condition in statement.conditions:  # noqa: SIM110 - a plain loop costs a third of any() here
        if not condition.holds(keys):
            return False
    return True


def _is_foreign(context: RequestContext) -> bool:
    """Whether the resource belongs to another account than the caller; AWS's own policies belong to everybody."""
    fields = context.resource.split(":", _ACCOUNT_FIELD + 1)
    if len(fields) <= _ACCOUNT_FIELD + 1:
        return False
    return fields[_ACCOUNT_FIELD] not in ("", "aws", context.principal.account_id)


def _decision(outcome: Outcome, policy_type: PolicyType, policy: Policy, statement: Statement) -> Decision:
    return Decision(outcome, policy_type, policy.name, statement.index, statement.sid)


def _article(policy_type: PolicyType) -> str:
    return "an" if policy_type is PolicyType.IDENTITY else "a"
