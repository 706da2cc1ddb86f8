"""May the function write its log? Without one nobody sees why a rotation fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from keyturn.arn import Place
from keyturn.doctor.access import Access, Verdict, access
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.facts import Kind
from keyturn.doctor.known_keys import keys_of_call
from keyturn.doctor.model import Cause, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import put_role_policy
from keyturn.doctor.rotation_calls import require_role
from keyturn.doctor.rotation_policies import LOG_ACTIONS, logs_policy
from keyturn.doctor.seen_policies import ROLE_CALLS, role_layers, session

_SOON = timedelta(minutes=5)

CANNOT_WRITE = Cause(
    id="logs-role-cannot-write",
    section=Section.LOG,
    topic=Topic.LOGS,
    title="The function's role may not write the function's log",
    symptoms=(
        "ResourceNotFoundException: The specified log group does not exist.",
        "There is no log group /aws/lambda/%s",
    ),
    evidence=(*ROLE_CALLS, "logs:DescribeLogGroups", "logs:FilterLogEvents"),
    decision="The role's policies do not allow logs:CreateLogStream or logs:PutLogEvents on the function's log group,"
    " or logs:CreateLogGroup while there is none, and the newest rotation has left no line in it. That breaks no"
    " rotation: it is a risk, or, where a rotation fails and nothing else explains it, what hides the cause.",
    remedy="Allow the three actions to the role, or attach AWSLambdaBasicExecutionRole.",
    fix=Fix.WIDENS,
    outranks=("pending-stuck", "pending-empty"),
    yields=True,
)


@check(CANNOT_WRITE)
def logs_role_cannot_write(case: Case) -> Iterator[Finding]:
    """Look whether the role may write."""
    require_role(case)
    place = Place(case.place.partition, case.place.region, case.role_arn.split(":")[4])
    groups = case.log_groups.value.get("logGroups", [])
    has_group = any(group.get("logGroupName") == case.log_group for group in groups)
    missing = []
    for action in LOG_ACTIONS[1:] if has_group else LOG_ACTIONS:
        decided = _writing(case, place, action)
        if decided.verdict is Verdict.UNKNOWN:
            decided.give_up()
        if decided.verdict is Verdict.DENIED:
            missing.append(decided)
    if not missing or _has_written(case):
        return
    policy = logs_policy(place)
    is_hiding = case.has_failed and case.log_events.kind is not Kind.BLIND and not case.runs
    named = ", ".join(each.action for each in missing)
    yield Finding(
        CANNOT_WRITE,
        f"the function's role {case.role_name} may not write the function's log: {named} is not allowed",
        (Evidence("iam:ListRolePolicies", f"role/{case.role_name}", _policies(case, missing)),),
        Remedy(
            "Allow it, then rotate once more to get a log.",
            (put_role_policy(case, f"keyturn-{CANNOT_WRITE.id}", policy),),
            policy,
        ),
        role=Role.CAUSE if is_hiding else Role.RISK,
    )


def _has_written(case: Case) -> bool:
    """Whether the newest rotation has left lines all the same: on Keyturn a function's own group takes them."""
    moments = [event.at for event in (*case.failures_if_seen, *case.events_if_seen("RotationStarted"))]
    newest = max([*moments, *filter(None, [case.last_rotated_at])], default=None)
    lines = [line for line in case.log_events.found.get("events", []) if _is_of_function(case, line)]
    last = max((line["timestamp"] / 1000 for line in lines), default=0.0)
    return newest is not None and last >= (newest - _SOON).timestamp()


def _is_of_function(case: Case, line: Mapping[str, Any]) -> bool:
    """Whether a line is not another function's, which shares the group: there the stream names the function."""
    is_own = case.log_group == f"/aws/lambda/{case.function_name}"
    return is_own or f"/{case.function_name}[" in str(line.get("logStreamName", ""))


def _writing(case: Case, place: Place, action: str) -> Access:
    """Return whether an action is allowed on the group, however the policy writes it."""
    group = place.log_group_arn(case.log_group)
    principal, layers = session(case), role_layers(case)
    keys = keys_of_call(case, principal, None)
    forms = (group, f"{group}:*", f"{group}:log-stream:*", f"{group}:log-stream:2026/01/01/[$LATEST]0")
    found = [access(principal, action, form, keys, layers) for form in forms]
    order = (Verdict.ALLOWED, Verdict.UNKNOWN, Verdict.DENIED)
    return min(found, key=lambda each: order.index(each.verdict))


def _policies(case: Case, missing: list[Access]) -> dict[str, object]:
    names = [policy.name for policy in case.role_policies.policies]
    return {"policies": names, "none allows": [each.action for each in missing]}
