"""Who has changed what a cause is about, and when: the first question of whoever is woken by it.

The trail is asked only once there is a cause, and only by the names of the calls that bring it about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from .case import Case
from .facts import Kind, Unseen
from .lines import deciding_run
from .model import Finding, Role, Section
from .trail import TrailEvent, events_in


@dataclass(frozen=True, slots=True)
class _Calls:
    """The calls that change something.

    Attributes:
        what: It is that they change.
        names: As events have them.
        member: Of their parameters: what they change.
        is_it: Whether a value of it names what a case is about.
    """

    what: str
    names: tuple[str, ...]
    member: str
    is_it: Callable[[Case, str], bool]


def _is_role(case: Case, named: str) -> bool:
    return case.configuration.kind is Kind.OK and named == case.role_name


def _is_function(case: Case, named: str) -> bool:
    return (named.split(":")[6] if named.count(":") >= 6 else named) == case.function_name


def _is_key(case: Case, named: str) -> bool:
    metadata = case.key.found.get("KeyMetadata") if case.key is not None and case.key.kind is Kind.OK else None
    return metadata is not None and named.rpartition("/")[2] == str(metadata.get("Arn")).rpartition("/")[2]


_CALLS: Mapping[Section, _Calls] = {
    Section.FUNCTION: _Calls(
        "The function",
        ("UpdateFunctionConfiguration20150331v2", "UpdateFunctionCode20150331v2"),
        "functionName",
        _is_function,
    ),
    Section.INVOKE: _Calls("The function's policy", ("RemovePermission20150331v2",), "functionName", _is_function),
    Section.ROLE: _Calls("The role", ("PutRolePolicy", "DeleteRolePolicy", "DetachRolePolicy"), "roleName", _is_role),
    Section.KEY: _Calls("The key", ("DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy"), "keyId", _is_key),
}


def collect_changes_of(case: Case, findings: Iterable[Finding]) -> None:
    """Ask the trail for the changes that causes may come of."""
    for section in {each.cause.section for each in findings if each.role is Role.CAUSE} & set(_CALLS):
        for name in _CALLS[section].names:
            case.trail(name)


def with_change(case: Case, finding: Finding) -> Finding:
    """Return a cause with who has changed last what it is about, if the trail tells, and when."""
    calls = _CALLS.get(finding.cause.section) if finding.role is Role.CAUSE else None
    changed = None if calls is None else _last_change(case, calls)
    if calls is None or changed is None or any(each.resource == changed.event_id for each in finding.evidence):
        return finding
    who = changed.caller.rpartition(":")[2]
    told = f"{calls.what} was last changed by {who} ({changed.call}) at {changed.at:%Y-%m-%d %H:%M:%S} UTC."
    return replace(
        finding,
        evidence=(*finding.evidence, changed.evidence(changed.by_whom)),
        remedy=replace(finding.remedy, text=f"{finding.remedy.text} {told}".strip()),
    )


def _last_change(case: Case, calls: _Calls) -> TrailEvent | None:
    """Return the last change since the last good rotation: before the attempt that failed, if there is such a one."""
    since = case.opens_at.replace(microsecond=0)
    found = [
        event
        for answer in map(case.trail, calls.names)
        # It is asked once it is known what the cause is: before, there is nothing to be kept of it.
        if answer.kind is Kind.OK
        for event in case.facts.once(events_in, answer)
        if not event.error_code and event.at >= since and calls.is_it(case, str(event.parameters.get(calls.member)))
    ]
    try:
        failed = deciding_run(case)
    except Unseen:
        failed = None
    before = [event for event in found if failed is not None and event.at <= failed.ended_at]
    return max(before or found, key=lambda event: event.at, default=None)
