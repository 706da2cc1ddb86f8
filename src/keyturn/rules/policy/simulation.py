"""What would be decided: an action, tried against policies with the context keys that somebody supplies.

Source: IAM API Reference, SimulateCustomPolicy and EvaluationResult; IAM User Guide, "IAM policy testing with the IAM
policy simulator".
"""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.rules.policy.context_keys import context_keys
from keyturn.rules.policy.document import Effect
from keyturn.rules.policy.evaluate import Outcome, Policy, PolicySet, PolicyType, RequestContext, evaluate
from keyturn.rules.policy.explanation import explain
from keyturn.rules.policy.positions import Span, statement_spans


@dataclass(frozen=True, slots=True)
class MatchedStatement:
    """A statement that determined a result, and where it stands in its policy."""

    policy: Policy
    policy_type: PolicyType
    span: Span


@dataclass(frozen=True, slots=True)
class Simulated:
    """The result for one action on one resource.

    Attributes:
        resource: An ARN, or ``*``.
        outcome: What would be decided.
        matched: The statements of Deny that apply; without one, those of Allow.
        missing_keys: Context keys that a policy asks for and nobody supplied, as they are written there.
        within_boundary: Whether the permissions boundary allows it; None without a boundary.
    """

    resource: str
    outcome: Outcome
    matched: tuple[MatchedStatement, ...]
    missing_keys: tuple[str, ...]
    within_boundary: bool | None


def simulate(context: RequestContext, policies: PolicySet) -> Simulated:
    """Return what would be decided about one action on one resource."""
    explanation = explain(context, policies)
    outcome = explanation.decision.outcome
    deciding = Effect.DENY if outcome is Outcome.EXPLICIT_DENY else Effect.ALLOW
    matched = tuple(
        MatchedStatement(verdict.policy, verdict.policy_type, statement_spans(verdict.policy.text)[statement.index])
        for verdict in explanation.policies
        # A boundary allows nothing by itself.
        if deciding is Effect.DENY or verdict.policy_type is not PolicyType.BOUNDARY
        for statement in verdict.statements
        if statement.applies and statement.effect is deciding
    )
    wanted: dict[str, str] = {}
    for verdict in explanation.policies:
        wanted |= context_keys(verdict.policy.text)
    missing = tuple(written for name, written in wanted.items() if context.keys.get(name) is None)
    return Simulated(context.resource, outcome, matched, missing, _within_boundary(context, policies))


def overall(results: list[Simulated]) -> Outcome:
    """Return the outcome that stands for several resources: the most severe."""
    outcomes = {result.outcome for result in results}
    for outcome in (Outcome.EXPLICIT_DENY, Outcome.IMPLICIT_DENY):
        if outcome in outcomes:
            return outcome
    return Outcome.ALLOW


def _within_boundary(context: RequestContext, policies: PolicySet) -> bool | None:
    if policies.boundary is None:
        return None
    return evaluate(context, PolicySet(identity=(policies.boundary,))).allowed
