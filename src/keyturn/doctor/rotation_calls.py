"""What a rotation has to call, and for each call: is it allowed, and has it been refused?

State proves: a call that the policies refuse now fails in the next rotation, whether it has been tried or not. Text
agrees: a refusal in log or trail that the policies explain is certain; one that they no longer explain is history; one
whose policies may not be seen is likely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyturn.rules.policy.evaluate import PolicyType

from .access import Access, Verdict, access
from .case import Case
from .catalogue import Skip
from .denials import Denial, denials, evidence_of
from .documents import texts
from .facts import Kind
from .known_keys import ROTATION_FUNCTION, keys_of_call
from .model import Cause, Confidence, Evidence, Finding, Remedy, Role
from .secret_arns import miss
from .seen_policies import Layers, Quoted, resource_policy, role_layers, session
from .subject import RANDOM_PASSWORD, READ, SECRET_ACTIONS
from .trail import events_in

# The step that is the first to need it. That labels may not be moved is noticed at the end.
STEPS = {
    "secretsmanager:DescribeSecret": "createSecret",
    READ: "createSecret",
    "secretsmanager:PutSecretValue": "createSecret",
    RANDOM_PASSWORD: "createSecret",
    "secretsmanager:UpdateSecretVersionStage": "finishSecret",
}
_TRAIL_MOST = 200
_ONE_ATTEMPT = timedelta(minutes=5)
SCP, RCP = "service control policy", "resource control policy"
SESSION, BOUNDARY = PolicyType.SESSION.value, PolicyType.BOUNDARY.value
IDENTITY, RESOURCE = PolicyType.IDENTITY.value, PolicyType.RESOURCE.value
ENDPOINT = "VPC endpoint policy"
_INVISIBLE = frozenset({SCP, RCP, SESSION, ENDPOINT})


@dataclass(frozen=True, slots=True)
class RoleCall:
    """One call that a rotation makes.

    Attributes:
        access: Whether it is allowed.
        denials: Where it was refused in the window, oldest first.
        is_used: Whether the function makes it, as far as that can be told.
    """

    access: Access
    denials: tuple[Denial, ...]
    is_used: bool = True

    @property
    def layer(self) -> str:
        """The kind of policy that refuses it, by state, else by the newest message; empty if nothing does."""
        if self.access.verdict is Verdict.DENIED:
            return self.access.layer
        if self.access.verdict is Verdict.UNKNOWN and self.denials:
            return self.denials[-1].layer or IDENTITY
        return ""

    @property
    def is_explicit(self) -> bool:
        """Whether a Deny refuses it."""
        if self.access.verdict is Verdict.DENIED:
            return self.access.is_explicit
        return bool(self.denials) and self.denials[-1].is_explicit

    @property
    def confidence(self) -> Confidence:
        """How sure that is."""
        return self.access.confidence if self.access.verdict is Verdict.DENIED else Confidence.LIKELY

    def evidence(self) -> Iterator[Evidence]:
        """What shows it: statements, the simulator if it says otherwise, messages."""
        if self.access.deciding is not None:
            yield self.access.deciding.evidence
        if self.access.simulated is not None and self.access.confidence is not Confidence.CERTAIN:
            yield self.access.simulated
        yield from evidence_of(list(self.denials))


def calls(case: Case) -> tuple[RoleCall, ...]:
    """Return what a rotation does: with its secret, and one thing that is about none.

    Raises:
        Skip: There is no function or no role.
        Unseen: Whose role it is may not be seen.
    """
    return case.once(_calls)


def _calls(case: Case) -> tuple[RoleCall, ...]:
    require_role(case)
    refused = case.once(denials)
    principal, layers = session(case), role_layers(case)
    keys = keys_of_call(case, principal, case.secret)
    on_secret = resource_policy(case.resource_policy, "ResourcePolicy", f"resource policy of {case.name}")
    found = []
    for action in SECRET_ACTIONS:
        asked = Layers(layers.identity, layers.boundary, on_secret)
        decided = access(principal, action, case.arn, keys, asked, case.simulation_of_rotation)
        found.append(RoleCall(decided, _of(refused, action, case), _is_used(case, action)))
    of_nothing = keys_of_call(case, principal, None)
    decided = access(principal, RANDOM_PASSWORD, "*", of_nothing, layers, case.simulation_of_passwords)
    found.append(RoleCall(decided, _of(refused, RANDOM_PASSWORD, case), _is_used(case, RANDOM_PASSWORD)))
    return tuple(found)


def require_role(case: Case) -> None:
    """Return if there is a role to be looked at.

    Raises:
        Skip: There is none.
        Unseen: That may not be seen.
    """
    if not case.function_arn:
        raise Skip("there is no function")
    if case.configuration.kind is Kind.GONE:
        raise Skip("the function is gone")
    if not case.role_arn:
        raise Skip("the function has no role")
    if case.role.kind is Kind.GONE:
        raise Skip("the role is gone")


def _of(refused: tuple[Denial, ...], action: str, case: Case) -> tuple[Denial, ...]:
    return tuple(
        each
        for each in refused
        if each.action == action and not each.is_of_key and (each.resource != case.superuser_arn or not each.resource)
    )


def _is_used(case: Case, action: str) -> bool:
    """Whether a function makes a call: not if the trail has whole rotations of it, and never this."""
    events = case.facts.once(events_in, case.calls_of_function)
    names = {event.name for event in events if not event.error_code}
    tried = {event.name for event in events}
    has_rotated = {"PutSecretValue", "UpdateSecretVersionStage"} <= names
    return not has_rotated or len(events) >= _TRAIL_MOST or action.partition(":")[2] in tried


# Which cause it is.


def near_arns(case: Case, call: RoleCall) -> list[tuple[Quoted, str, str]]:
    """Return statements that miss the secret by its ARN: each with the pattern, and how it misses."""
    found = []
    for quoted in call.access.near:
        for pattern in texts(quoted.statement.get("Resource")):
            how = miss(pattern, case.arn)
            if how and not quoted.verdict.names_resource:
                found.append((quoted, pattern, how))
    return found


def nearly(access: Access, arn: str) -> list[Quoted]:
    """Return the statements that were meant for a secret: they miss it by a condition, or by its ARN."""
    return [
        quoted
        for quoted in access.near
        if quoted.verdict.names_resource or any(miss(each, arn) for each in texts(quoted.statement.get("Resource")))
    ]


def unmet_function(call: RoleCall) -> Quoted | None:
    """Return the statement that would allow a call if the secret were rotated by another function."""
    key = ROTATION_FUNCTION.lower()
    for quoted in call.access.near:
        verdict = quoted.verdict
        if verdict.names_resource and any(condition.key == key for condition in verdict.unmet):
            return quoted
    return None


def scoped_password(call: RoleCall) -> Quoted | None:
    """Return the statement that allows GetRandomPassword, which has no resource, on some."""
    if call.access.action != RANDOM_PASSWORD:
        return None
    return next((quoted for quoted in call.access.near if not quoted.verdict.names_resource), None)


def is_identity_gap(case: Case, call: RoleCall) -> bool:
    """Whether no statement of the role allows a call, and none nearly does."""
    is_it = call.layer == IDENTITY and not call.is_explicit
    return is_it and not (scoped_password(call) or near_arns(case, call) or unmet_function(call))


# Findings that causes have in common.


def history(case: Case, cause: Cause, belongs: Callable[[Denial], bool]) -> Iterator[Finding]:
    """Say what was refused and is allowed now."""
    past = [
        each
        for call in calls(case)
        if call.access.verdict is Verdict.ALLOWED
        for each in call.denials
        if belongs(each) and each.layer not in _INVISIBLE
    ]
    if not past:
        return
    last = past[-1]
    yield Finding(
        cause,
        f"{last.action.partition(':')[2]} was denied at {last.at:%Y-%m-%d %H:%M:%S} UTC, and is allowed now",
        evidence_of(past),
        Remedy("The next attempt will show whether that was it."),
        role=Role.NOTE,
        is_history=True,
    )


def give_up_on_unknown(case: Case) -> None:
    """Return if everything is known.

    Raises:
        Unseen: A policy may not be seen.
        Undecided: Something hangs on what is not known.
    """
    for call in calls(case):
        if call.access.verdict is Verdict.UNKNOWN:
            call.access.give_up()


def surest(found: list[RoleCall]) -> Confidence:
    """Return how sure a finding about several calls is."""
    sure = list(Confidence)
    return max((call.confidence for call in found), key=sure.index)


def role_of(found: list[RoleCall]) -> Role:
    """Return the part of a finding about several calls: a risk if the function makes none of them."""
    return Role.CAUSE if any(call.is_used or call.denials for call in found) else Role.RISK


def step_of(case: Case, found: list[RoleCall]) -> str | None:
    """Return the step that is stopped: the one that failed of these calls, else the first that needs one."""
    if any(call.denials for call in found) and case.failed_step:
        return case.failed_step
    steps = {STEPS[call.access.action] for call in found}
    return "createSecret" if "createSecret" in steps else min(steps, default=None)


def named(found: list[RoleCall]) -> str:
    """Return the calls by name, as in a sentence."""
    names = [call.access.name for call in found]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def shown(found: list[RoleCall]) -> tuple[Evidence, ...]:
    """Return what shows several calls' refusal: each statement, each simulation, the newest line and event."""
    told: list[Evidence] = []
    for evidence in (each for call in found for each in call.evidence()):
        if evidence not in told:
            told.append(evidence)
    dated = {each.source: each for each in told if each.at is not None}
    return (*(each for each in told if each.at is None), *dated.values())


def newest_failure(case: Case) -> datetime | None:
    """Return since when texts tell of the newest failed attempt; None if there is none."""
    moments = [event.at for event in case.failures_if_seen]
    if case.log_events.kind is Kind.OK:
        moments += [run.ended_at for run in case.failed_runs]
    return max(moments) - _ONE_ATTEMPT if moments else None
