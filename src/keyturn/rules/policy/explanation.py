"""Why a request was refused: what each policy that took part says about it, and the least that would allow it.

:func:`explain` asks every statement what :mod:`evaluate` asks, but all of it: a statement that fits but for its
resource, or but for one condition, is what people look for. :func:`remedies` tries what it proposes: with its
statements added the same request is allowed, unless a Deny stands against it, which no Allow can outvote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from keyturn.call import Principal, PrincipalKind
from keyturn.rules.policy.conditions import Condition
from keyturn.rules.policy.document import Effect, PolicyDocument, Statement
from keyturn.rules.policy.evaluate import (
    ON_RESOURCE,
    Decision,
    Outcome,
    Policy,
    PolicySet,
    PolicyType,
    RequestContext,
    evaluate,
    names_caller,
)
from keyturn.rules.policy.patterns import ArnRule, pattern_set
from keyturn.rules.policy.principals import Principals

JsonStatement = dict[str, object]

# Behind the name of a secret that is not there, or not yet, in place of its random characters.
_ANY_SUFFIX = "-??????"
_SPECIAL = re.compile(r"[*?$]")
_WITH_PRINCIPAL = frozenset({PolicyType.RESOURCE, PolicyType.TRUST, PolicyType.ENDPOINT})


@dataclass(frozen=True, slots=True)
class StatementVerdict:
    """What one statement says about a request.

    Attributes:
        index: Its place in the document, counted from 0.
        sid: Its name, if it has one.
        effect: Allow or Deny.
        names_principal: Whether it is about the caller; True in policies that hang on the caller.
        names_action: Whether it is about the action.
        names_resource: Whether it is about the resource.
        unmet: The conditions that do not hold.
    """

    index: int
    sid: str | None
    effect: Effect
    names_principal: bool
    names_action: bool
    names_resource: bool
    unmet: tuple[Condition, ...]

    @property
    def applies(self) -> bool:
        """Whether the statement counts for this request."""
        return self.names_principal and self.names_action and self.names_resource and not self.unmet

    @property
    def is_near(self) -> bool:
        """Whether it is about this action of this caller, and yet does not count."""
        return self.names_principal and self.names_action and not self.applies


@dataclass(frozen=True, slots=True)
class PolicyVerdict:
    """What one policy that took part says about a request, statement by statement."""

    policy_type: PolicyType
    policy: Policy
    statements: tuple[StatementVerdict, ...]


@dataclass(frozen=True, slots=True)
class Remedy:
    """A statement that is missing.

    Attributes:
        policy_type: In which kind of policy.
        statement: As JSON; with a Principal where the policy hangs on a resource.
    """

    policy_type: PolicyType
    statement: JsonStatement


class Side(Enum):
    """What of a refusal across accounts is shown."""

    BOTH = auto()
    CALLER = auto()
    OWNER = auto()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with everything that led to it.

    Attributes:
        context: What was asked.
        decision: What was decided.
        policies: All that took part, in the order in which they are asked.
        remedies: What would allow the request, all of it together; empty if a Deny stands against it, or if it is
            allowed.
        side: Whose side it shows.
    """

    context: RequestContext
    decision: Decision
    policies: tuple[PolicyVerdict, ...]
    remedies: tuple[Remedy, ...]
    side: Side = Side.BOTH

    def of_caller(self, asked: str) -> Explanation:
        """Return what the caller's account may know of a refusal that is about another account's resource.

        Args:
            asked: The resource as the caller named it: its whole name would tell that it exists.
        """
        part = self._part(Side.CALLER, lambda policy_type: policy_type not in ON_RESOURCE)
        told = tuple(
            Remedy(remedy.policy_type, {**remedy.statement, "Resource": _literal(asked)}) for remedy in part.remedies
        )
        return replace(part, context=replace(part.context, resource=asked), remedies=told)

    def of_owner(self) -> Explanation:
        """Return what the account of a resource may know of another account's caller who was refused."""
        part = self._part(Side.OWNER, lambda policy_type: policy_type in ON_RESOURCE)
        return replace(part, remedies=tuple(_from_outside(remedy, part.context) for remedy in part.remedies))

    def without(self, policy_type: PolicyType) -> Explanation:
        """Return the same without what policies of one kind say: they are of an account that is none of the two."""
        return self._part(self.side, lambda shown: shown is not policy_type)

    def _part(self, side: Side, is_shown: Callable[[PolicyType], bool]) -> Explanation:
        decision = self.decision
        if not is_shown(decision.policy_type):
            decision = decision._replace(policy_name=None, statement_index=None, sid=None)
        return Explanation(
            self.context,
            decision,
            tuple(verdict for verdict in self.policies if is_shown(verdict.policy_type)),
            tuple(remedy for remedy in self.remedies if is_shown(remedy.policy_type)),
            side,
        )


def _from_outside(remedy: Remedy, context: RequestContext) -> Remedy:
    """Return a remedy that names a foreign caller's account: more is not for the resource's account to know."""
    if context.principal.kind is PrincipalKind.SERVICE:
        return remedy
    return Remedy(remedy.policy_type, {**remedy.statement, "Principal": {"AWS": context.principal.account_id}})


def explain(context: RequestContext, policies: PolicySet) -> Explanation:
    """Return the decision about a request, and why it is so."""
    verdicts = tuple(
        PolicyVerdict(
            policy_type,
            policy,
            tuple(_verdict(statement, context, policies) for statement in policy.document.statements),
        )
        for policy_type, policy in _all_policies(policies)
    )
    return Explanation(context, evaluate(context, policies), verdicts, remedies(context, policies))


def remedies(context: RequestContext, policies: PolicySet) -> tuple[Remedy, ...]:
    """Return the least that would have to be added for a request to be allowed.

    Returns:
        One statement for each kind of policy that lacks one; nothing if the request is allowed already or denied
        explicitly.
    """
    found: list[Remedy] = []
    decision = evaluate(context, policies)
    # Each turn gives one kind of policy what it lacks, so there are no more turns than kinds.
    for _ in PolicyType:
        if decision.outcome is not Outcome.IMPLICIT_DENY:
            break
        found.append(Remedy(decision.policy_type, _missing_statement(context, decision.policy_type)))
        policies = _with_allow(context, policies, decision.policy_type)
        decision = evaluate(context, policies)
    return tuple(found) if decision.allowed else ()


def _all_policies(policies: PolicySet) -> Iterator[tuple[PolicyType, Policy]]:
    yield from ((PolicyType.IDENTITY, policy) for policy in policies.identity)
    if policies.resource is not None:
        yield policies.resource_type, policies.resource
    if policies.grants is not None:
        yield PolicyType.GRANT, policies.grants
    if policies.boundary is not None:
        yield PolicyType.BOUNDARY, policies.boundary
    yield from ((PolicyType.SESSION, policy) for policy in policies.session)
    if policies.endpoint is not None:
        yield PolicyType.ENDPOINT, policies.endpoint


def _verdict(statement: Statement, context: RequestContext, policies: PolicySet) -> StatementVerdict:
    keys = context.keys
    resources = statement.resources
    return StatementVerdict(
        index=statement.index,
        sid=statement.sid,
        effect=statement.effect,
        names_principal=names_caller(statement, context, policies),
        names_action=statement.actions.matches(context.action.lower(), keys) is not statement.actions_negated,
        names_resource=resources is None
        or resources.matches(context.resource, keys) is not statement.resources_negated,
        unmet=tuple(condition for condition in statement.conditions if not condition.holds(keys)),
    )


def _missing_statement(context: RequestContext, policy_type: PolicyType) -> JsonStatement:
    statement: JsonStatement = {"Effect": "Allow"}
    if policy_type in _WITH_PRINCIPAL:
        statement["Principal"] = _named(context.principal)
    statement["Action"] = context.action
    # A trust policy belongs to its only resource.
    if policy_type is not PolicyType.TRUST:
        statement["Resource"] = _literal(context.resource)
    if policy_type is PolicyType.RESOURCE and context.principal.kind is PrincipalKind.SERVICE:
        statement |= _on_behalf(context)
    return statement


def _on_behalf(context: RequestContext) -> JsonStatement:
    """Return the condition that a service calls on behalf of what it does now: others could have it call, too.

    Source: IAM User Guide, "The confused deputy problem", as Lambda's AddPermission writes it.
    """
    account, arn = (context.keys.get(key) for key in ("aws:sourceaccount", "aws:sourcearn"))
    conditions = {
        **({"StringEquals": {"AWS:SourceAccount": account[0]}} if account else {}),
        **({"ArnLike": {"AWS:SourceArn": arn[0]}} if arn else {}),
    }
    return {"Condition": conditions} if conditions else {}


def _literal(resource: str) -> str:
    """Return a resource as a pattern that matches it and nothing else.

    Callers choose the names that they ask for, and must not choose by a ``*`` what is offered for them.
    """
    if resource == "*":
        return resource
    name = resource.removesuffix(_ANY_SUFFIX)
    return _SPECIAL.sub(lambda found: f"${{{found[0]}}}", name) + resource[len(name) :]


def _named(principal: Principal) -> dict[str, str]:
    """Return how a policy names a caller: the role behind a session, which outlives it."""
    if principal.kind is PrincipalKind.SERVICE:
        return {"Service": principal.name}
    return {"AWS": principal.role_arn or principal.arn}


def _with_allow(context: RequestContext, policies: PolicySet, policy_type: PolicyType) -> PolicySet:
    """Return the policies as they would be with the statement that one kind of them lacks."""
    added = _allow(context, policy_type)
    if policy_type is PolicyType.IDENTITY:
        return replace(policies, identity=(*policies.identity, _document_of(added)))
    if policy_type is PolicyType.BOUNDARY:
        return replace(policies, boundary=_document_of(*_allows(policies.boundary), added))
    if policy_type is PolicyType.SESSION:
        return replace(policies, session=(*policies.session, _document_of(added)))
    if policy_type is PolicyType.ENDPOINT:
        return replace(policies, endpoint=_document_of(*_allows(policies.endpoint), added))
    return replace(policies, resource=_document_of(*_allows(policies.resource), added))


def _allows(policy: Policy | None) -> Iterable[Statement]:
    # No Deny of it applies to this request, or nothing would be missing.
    return policy.document.allows if policy else ()


def _document_of(*allows: Statement) -> Policy:
    return Policy("", PolicyDocument("2012-10-17", None, allows, allows, ()))


def _allow(context: RequestContext, policy_type: PolicyType) -> Statement:
    principals: Principals | None = None
    if policy_type in _WITH_PRINCIPAL:
        named = _named(context.principal)
        principals = Principals(
            aws=frozenset(filter(None, [named.get("AWS")])), services=frozenset(filter(None, [named.get("Service")]))
        )
    return Statement(
        index=0,
        sid=None,
        effect=Effect.ALLOW,
        principals=principals,
        actions=pattern_set([context.action.lower()], variables=False),
        actions_negated=False,
        resources=pattern_set([_literal(context.resource)], variables=True, arn=ArnRule.RESOURCE),
        resources_negated=False,
        conditions=(),
    )
