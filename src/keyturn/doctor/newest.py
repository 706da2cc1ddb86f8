"""Which of several looks is the newest, and so the truth.

An attempt, its log, and a look from inside the function's sandbox tell of the same things at different moments. What
was seen last stands; what was told before it of the same thing is history:

- A look from inside holds until the value, the function or the rotation has gone on: :func:`newest_look` is that one,
  or None.
- What an attempt told that the newest look has tried since, and found in order, is over: :func:`overruled`, which the
  runner asks for every finding. The catalogue names what tries the same (``Cause.tried_by``).
- What failed before somebody changed the value or the function says nothing of what is there now:
  :func:`changed_since`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from .case import PROBE, Case
from .facts import Answer, Kind, Unseen
from .model import Cause, Evidence, Finding, Role
from .own_functions import own_function
from .subject import utc

Item = Mapping[str, Any]

_A_DAY = timedelta(days=1)
_STILL_ACCEPTED = "drift:PreviousStillAccepted"
# Policies and the function's own are looked at again each time: what was found of them may be mended.
_SEEN_FROM_OUTSIDE = ("doctor", "function.invoke", "secret.describe", "secret.read", "superuser.read")
# A function that is not Keyturn's has a driver and authorities of its own, by which nobody has tried.
_OF_DRIVER = "database.tls"
_WITNESSES = ("logs:FilterLogEvents", "cloudtrail:LookupEvents")
_IN_ORDER = {
    "function.import": "the function starts",
    "endpoint.connect": "Secrets Manager is reached",
    "database.resolve": "the host has an address",
    "database.connect": "the database is reached",
    "database.tls": "TLS holds",
    "login.current": "the database accepts AWSCURRENT",
    "login.superuser": "the database accepts the superuser secret",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What was found from inside the function's sandbox.

    Attributes:
        source: The call that told it.
        at: When.
        is_now: Whether it was made for this diagnosis.
        items: What was tried.
        causes: What it means: items that failed, and drifts.
    """

    source: str
    at: datetime
    is_now: bool
    items: Sequence[Item]
    causes: Sequence[str]

    @property
    def failed(self) -> Sequence[Item]:
        """What is not in order; that a dead password lives stops nothing, and of itself the doctor knows more."""
        return [
            item
            for item in self.items
            if item["Status"] == "failed" and item["Item"] not in ("login.previous", "doctor")
        ]

    @property
    def is_well(self) -> bool:
        """Whether nothing stands in the way of a rotation, and the database has what the secret says."""
        drifts = {cause for cause in self.causes if cause.startswith("drift:")}
        return not self.failed and drifts <= {_STILL_ACCEPTED}

    @property
    def standing(self) -> Sequence[Item]:
        """What tells how things are now: without what was wrong before of what the doctor sees itself, each time."""
        return [
            item for item in self.items if self.is_now or item["Status"] != "failed" or not is_seen_from_outside(item)
        ]

    @property
    def tried(self) -> frozenset[str]:
        """The items that were tried, and well or not."""
        return frozenset(item["Item"] for item in self.items if item["Status"] != "skipped")

    @property
    def in_order(self) -> frozenset[str]:
        """The items that were tried, and well."""
        return frozenset(item["Item"] for item in self.items if is_in_order(item["Status"], item["Code"]))

    def evidence(self, resource: str, items: Iterable[Item]) -> tuple[Evidence, ...]:
        """Return items as evidence, with the moment if it is not this one."""
        return evidence_of(self.source, resource, items, None if self.is_now else self.at)


def evidence_of(source: str, resource: str, items: Iterable[Item], at: datetime | None) -> tuple[Evidence, ...]:
    """Return items of a look, whether it still holds or not, as evidence."""
    return tuple(
        Evidence(source, resource, f"{item['Item']} {item['Code']}: {item.get('Reason', '')}", at) for item in items
    )


def newest_look(case: Case) -> Look | None:
    """Return the look from inside that tells how things stand: the one just made, or the last if it still holds."""
    return case.once(_newest_look)


def _newest_look(case: Case) -> Look | None:
    if case.preflight is not None:
        return _look(case.preflight, case, is_now=True) if case.preflight.kind is Kind.OK else None
    last = case.last_preflight
    if last is None or last.kind is not Kind.OK or last.found.get("Verdict") not in ("ready", "will fail"):
        # What may pass by itself is a fault only if it is found again: until then the verdict is unknown.
        return None
    look = _look(last, case, is_now=False)
    if look is None or overtaken_by(case, look.at) or has_attempted_since(case, look.at):
        return None
    return look


def _look(answer: Answer, case: Case, *, is_now: bool) -> Look | None:
    at = utc(answer.found.get("CheckedAt")) or (case.now if is_now else None)
    if at is None:
        return None
    return Look(answer.question.action, at, is_now, answer.found.get("Items", []), answer.found.get("Causes", []))


def is_seen_from_outside(item: Item) -> bool:
    """Whether an item is one that the doctor looks at itself, each time."""
    return str(item["Item"]).startswith(_SEEN_FROM_OUTSIDE)


def overtaken_by(case: Case, moment: datetime) -> str:
    """Return why what was seen from inside at a moment may hold no longer, in a few words; empty if it holds."""
    if case.last_rotated_at is not None and case.last_rotated_at > moment:
        return "the secret has been rotated since"
    if case.now - moment > _A_DAY:
        return "that is more than a day ago"
    return changed_since(case, moment)


def changed_since(case: Case, moment: datetime) -> str:
    """Return what was changed since, so that it may be over, in a few words; empty if nothing was."""
    changed_at, stored_at = case.function_changed_at, case.value_stored_at
    if changed_at is not None and changed_at > moment:
        return "the function has been changed since"
    if stored_at is not None and stored_at > moment:
        return "another value has been stored since"
    return ""


def has_attempted_since(case: Case, moment: datetime) -> bool:
    """Whether a rotation was attempted since, and has failed or runs: it tells what is newer.

    That the database alone was asked which password it has is none.
    """
    try:
        ended = [run.ended_at for run in case.failed_runs]
    except Unseen:
        ended = []
    events = (*case.failures_if_seen, *case.events_if_seen("RotationStarted"))
    return any(at > moment for at in (*ended, *(event.at for event in events if event.step != PROBE)))


def has_tried(case: Case, cause: Cause) -> bool:
    """Whether the newest look has tried what a cause is about, and found it in order."""
    look = newest_look(case)
    return look is not None and tries_the_same(case, cause, look.in_order)


def tries_the_same(case: Case, cause: Cause, in_order: frozenset[str]) -> bool:
    """Whether items that are in order are all that a cause is about."""
    is_same = _OF_DRIVER not in cause.tried_by or own_function(case) is not None
    return bool(cause.tried_by) and is_same and in_order >= set(cause.tried_by)


def is_in_order(status: str, code: str) -> bool:
    """Whether an item was tried, and well; TLS on which the secret does not insist is."""
    return status == "ok" or code == "NotRequired"


def overruled(case: Case, finding: Finding) -> Finding:
    """Return a finding; as history if the newest look has tried the same since, and found it in order."""
    look = newest_look(case) if finding.role is Role.CAUSE and finding.cause.tried_by else None
    moments = [each.at for each in finding.evidence if each.at is not None and each.source in _WITNESSES]
    if look is None or not moments or max(moments) >= look.at or not has_tried(case, finding.cause):
        return finding
    tried = [item for item in look.items if item["Item"] in finding.cause.tried_by]
    when = "now" if look.is_now else f"at {look.at:%Y-%m-%d %H:%M:%S} UTC"
    in_order = _IN_ORDER[finding.cause.tried_by[-1]]
    return replace(
        finding,
        title=f"{finding.title} at {max(moments):%Y-%m-%d %H:%M:%S} UTC; {in_order} {when}",
        evidence=(*finding.evidence, *look.evidence(case.name, tried)),
        role=Role.NOTE,
        is_history=True,
    )
