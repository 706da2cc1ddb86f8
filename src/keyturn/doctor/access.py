"""May the function's role do this on that?

Decided here by the policies that were seen (``keyturn.rules.policy``), and by IAM's own simulator where that answers:
it sees the role's policies, its boundary and, in part, the organization's, and neither the secret's policy nor the
key's. What hangs on a condition key that is not known, on a policy that may not be seen, or on a statement that
Keyturn's parser refuses (AWS's may be wider) is tried both ways: only what comes out the same is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from keyturn.call import Principal
from keyturn.rules.policy.document import (
    Effect,
    PolicyDocument,
    Statement,
)
from keyturn.rules.policy.evaluate import (
    Decision,
    Outcome,
    Policy,
    PolicySet,
    PolicyType,
    RequestContext,
    evaluate,
)
from keyturn.rules.policy.explanation import explain
from keyturn.rules.policy.patterns import PatternSet, Variable, pattern_set, variable_names

from .catalogue import Undecided
from .documents import Json, texts
from .facts import Answer, Kind, Unseen
from .known_keys import KnownKeys
from .model import Confidence, Evidence
from .seen_policies import Layers, Quoted, SeenPolicy

_ORGANIZATION = "service control policy"


class Verdict(StrEnum):
    """The three answers."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Access:
    """Whether a call is allowed.

    Attributes:
        action: ``secretsmanager:PutSecretValue``.
        resource: An ARN, or ``*``.
        verdict: The answer.
        layer: Of a denial, the kind of policy that decides, in AWS's words.
        is_explicit: Whether a Deny decides.
        deciding: The statement of Deny, if it may be seen.
        near: Of an implicit denial, the statements of Allow that name the action and yet do not count.
        confidence: Less than certain if IAM's simulator says otherwise, or alone says so.
        simulated: What the simulator says, if it was asked and answers.
        unseen: Of the unknown, the answer that is missing, if one is.
        why: Of the unknown, what it hangs on.
    """

    action: str
    resource: str
    verdict: Verdict
    layer: str = ""
    is_explicit: bool = False
    deciding: Quoted | None = None
    near: tuple[Quoted, ...] = ()
    confidence: Confidence = Confidence.CERTAIN
    simulated: Evidence | None = None
    unseen: Answer | None = None
    why: str = ""

    @property
    def name(self) -> str:
        """The action without its service."""
        return self.action.partition(":")[2]

    def give_up(self) -> None:
        """Say that it is not known.

        Raises:
            Unseen: An answer is missing.
            Undecided: Nothing is missing, and yet it hangs on something.
        """
        if self.unseen is not None:
            raise Unseen(self.unseen)
        raise Undecided(f"whether {self.name} is allowed hangs on {self.why}")


def access(
    principal: Principal, action: str, resource: str, keys: KnownKeys, layers: Layers, simulation: Answer | None = None
) -> Access:
    """Return whether a call is allowed.

    Args:
        principal: Who calls.
        action: ``secretsmanager:PutSecretValue``.
        resource: An ARN, or ``*``.
        keys: Condition keys.
        layers: The policies that take part.
        simulation: What IAM's simulator answers, if it was asked.
    """
    context = RequestContext(principal, action, resource, keys)
    here = _decided(context, keys, layers)
    said = _simulated(simulation, action)
    if said is None:
        return here
    decision, evidence, is_of_organization = said
    of_role = _decided(context, keys, Layers(layers.identity, layers.boundary))
    is_allowed = decision == Outcome.ALLOW.value
    if of_role.verdict is Verdict.UNKNOWN:
        if is_allowed:
            # The role's side is settled; the resource's is decided here.
            return replace(
                _decided(context, keys, replace(layers, identity=_ALLOWING, boundary=None)), simulated=evidence
            )
        layer = _ORGANIZATION if is_of_organization else PolicyType.IDENTITY.value
        is_explicit = decision == Outcome.EXPLICIT_DENY.value
        return _denied_by_simulator(context, layer, evidence, is_explicit=is_explicit)
    if (of_role.verdict is Verdict.ALLOWED) is is_allowed:
        return replace(here, simulated=evidence)
    if here.verdict is Verdict.DENIED:
        return replace(here, simulated=evidence, confidence=Confidence.LIKELY)
    # Nothing that may be seen denies it, and the simulator sees more.
    layer = _ORGANIZATION if is_of_organization else PolicyType.IDENTITY.value
    return _denied_by_simulator(context, layer, evidence, is_explicit=decision == Outcome.EXPLICIT_DENY.value)


def _denied_by_simulator(context: RequestContext, layer: str, evidence: Evidence, *, is_explicit: bool) -> Access:
    return Access(
        context.action,
        context.resource,
        Verdict.DENIED,
        layer,
        is_explicit,
        confidence=Confidence.LIKELY,
        simulated=evidence,
    )


def _simulated(simulation: Answer | None, action: str) -> tuple[str, Evidence, bool] | None:
    """Return the simulator's decision, unless it lacked a condition key that a policy asks for."""
    if simulation is None or simulation.kind is not Kind.OK:
        return None
    for result in simulation.found.get("EvaluationResults", []):
        if result["EvalActionName"].lower() == action.lower():
            if result.get("MissingContextValues"):
                return None
            organizations = result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True)
            excerpt = {
                name: result[name]
                for name in (
                    "EvalActionName",
                    "EvalResourceName",
                    "EvalDecision",
                    "OrganizationsDecisionDetail",
                    "PermissionsBoundaryDecisionDetail",
                )
                if name in result
            }
            evidence = Evidence("iam:SimulatePrincipalPolicy", str(excerpt.get("EvalResourceName", "*")), excerpt)
            return str(result["EvalDecision"]), evidence, not organizations
    return None


# By the policies that were seen.


def _decided(context: RequestContext, keys: KnownKeys, layers: Layers) -> Access:
    # Whatever is not known: once for the call, once against it.
    best, worst = (_policies(context, keys, layers, hopeful=hopeful) for hopeful in (True, False))
    decision, against = evaluate(context, best), evaluate(context, worst)
    if decision.allowed is not against.allowed:
        why, unseen = _unknown(context, keys, layers)
        return Access(context.action, context.resource, Verdict.UNKNOWN, unseen=unseen, why=why)
    if decision.allowed:
        return Access(context.action, context.resource, Verdict.ALLOWED)
    return _denied(context, layers, best, decision)


def _denied(context: RequestContext, layers: Layers, policies: PolicySet, decision: Decision) -> Access:
    by_name = {policy.where: policy for policy in layers.all()}
    deciding: Quoted | None = None
    near: list[Quoted] = []
    for verdict in explain(context, policies).policies:
        policy = by_name.get(verdict.policy.name)
        for statement in verdict.statements if policy else ():
            assert policy is not None  # noqa: S101 - there are no statements of others
            if policy.document is None:
                continue
            is_it = (policy.where, statement.index) == (decision.policy_name, decision.statement_index)
            if is_it and decision.outcome is Outcome.EXPLICIT_DENY:
                deciding = Quoted(policy, statement.index, statement)
            if statement.is_near and statement.effect is Effect.ALLOW and verdict.policy_type is decision.policy_type:
                near.append(Quoted(policy, statement.index, statement))
    return Access(
        context.action,
        context.resource,
        Verdict.DENIED,
        decision.policy_type.value,
        decision.outcome is Outcome.EXPLICIT_DENY,
        deciding,
        tuple(near),
    )


def _policies(context: RequestContext, keys: KnownKeys, layers: Layers, *, hopeful: bool) -> PolicySet:
    def read(seen: SeenPolicy) -> Policy:
        return Policy(seen.where, _document(seen, context.action, keys, hopeful=hopeful))

    boundary = None
    if layers.boundary is not None and (layers.boundary.document is not None or not hopeful):
        # What may not be seen of a boundary may deny what a resource's policy allows.
        boundary = read(layers.boundary)
    return PolicySet(
        identity=tuple(map(read, layers.identity)),
        resource=read(layers.resource) if layers.resource else None,
        grants=read(layers.grants) if layers.grants else None,
        boundary=boundary,
        resource_must_allow=layers.must_allow,
    )


def _document(seen: SeenPolicy, action: str, keys: KnownKeys, *, hopeful: bool) -> PolicyDocument:
    found: list[Statement] = []
    if seen.document is None:
        found.append(_whole(seen.policy_type, "Allow" if hopeful else "Deny", 0))
    for index, (raw, statement) in enumerate(zip(seen.statements, seen.parsed, strict=True)):
        if statement is not None:
            settled = _settled(statement, keys, hopeful=hopeful)
            found += [settled] if settled else []
        elif _may_be_about(raw, action) and raw.get("Effect") == ("Allow" if hopeful else "Deny"):
            found.append(_whole(seen.policy_type, str(raw["Effect"]), index))
    allows = tuple(each for each in found if each.effect is Effect.ALLOW)
    denies = tuple(each for each in found if each.effect is Effect.DENY)
    return PolicyDocument("2012-10-17", None, tuple(found), allows, denies)


def _whole(policy_type: PolicyType, effect: str, index: int) -> Statement:
    raw: dict[str, object] = {"Effect": effect, "Action": "*", "Resource": "*"}
    if policy_type not in (PolicyType.IDENTITY, PolicyType.BOUNDARY):
        raw["Principal"] = "*"
    document = {"Version": "2012-10-17", "Statement": [raw]}
    [statement] = SeenPolicy(policy_type, "", "kms:GetKeyPolicy" if "Principal" in raw else "", document).parsed
    assert statement is not None  # noqa: S101 - it is well-formed
    return replace(statement, index=index)


def _settled(statement: Statement, keys: KnownKeys, *, hopeful: bool) -> Statement | None:
    """Return a statement with what is not known taken the one way or the other; None if it does not count so."""
    unknown = [condition for condition in statement.conditions if not _is_known(condition.key, condition.values, keys)]
    blurred = [each for each in (statement.actions, statement.resources) if each and not _is_clear(each, keys)]
    if not unknown and not blurred:
        return statement
    if (statement.effect is Effect.ALLOW) is not hopeful:
        return None
    known = tuple(condition for condition in statement.conditions if condition not in unknown)
    if not blurred:
        return replace(statement, conditions=known)
    return replace(statement, conditions=known, resources=pattern_set(["*"], variables=False), resources_negated=False)


def _is_known(key: str, values: Iterable[str], keys: KnownKeys) -> bool:
    named = (name.lower() for value in values for name in variable_names(value))
    return keys.knows(key) and all(keys.knows(name) for name in named)


def _is_clear(patterns: PatternSet, keys: KnownKeys) -> bool:
    names = (part.name for parts in patterns.templates for part in parts if isinstance(part, Variable))
    return all(keys.knows(name) for name in names)


def _may_be_about(raw: Json, action: str) -> bool:
    named = texts(raw.get("Action"))
    if not named:
        return True
    return pattern_set((each.lower() for each in named), variables=False).matches(action.lower(), {})


def _unknown(context: RequestContext, keys: KnownKeys, layers: Layers) -> tuple[str, Answer | None]:
    """Return what a decision hangs on."""
    for seen in layers.all():
        if seen.document is None and seen.unseen is not None:
            return seen.where, seen.unseen
    names: dict[str, None] = {}
    for seen in layers.all():
        if seen.document is None:
            return f"{seen.where}, which cannot be read", None
        for index, (raw, statement) in enumerate(zip(seen.statements, seen.parsed, strict=True)):
            if statement is None and _may_be_about(raw, context.action):
                return f"statement {index + 1} of {seen.where}, which cannot be read here", None
            for condition in statement.conditions if statement else ():
                if not _is_known(condition.key, condition.values, keys) and _may_be_about(raw, context.action):
                    names[condition.key] = None
    return f"{', '.join(names) or 'a policy variable'}, which is not known", None


_ALLOWING = (
    SeenPolicy(
        PolicyType.IDENTITY,
        "",
        "",
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
    ),
)
