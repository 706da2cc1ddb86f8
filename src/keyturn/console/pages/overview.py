"""The home page: what is wrong now, what will fail next, what rotated last. A bounded number of calls.

While somebody looks, it is renewed. Each call is an event in the audit trail, so that a few of them ask whether
something has happened, and only then, or now and then, are all made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from keyturn.client.planned import PlannedRotation
from keyturn.console.month import begin_of
from keyturn.console.replies import Html, Part, Reply
from keyturn.console.routing import live, page
from keyturn.console.visit import Look, Visit
from keyturn.errors.base import KeyturnError

_SHOWN = 8
# A page of CloudTrail's.
_LOOKED_UP = 50
# Who rotates every thirty days has just rotated, and does so on the day after.
_DAYS = 31
# What is under way or late counts, too; CountPlannedRotations takes a hundred days at once.
_DAYS_BEFORE = 60
_EVERY_SECONDS = 10
# What no sign tells of: what pre-flights find, and what is late.
_WHOLE_EVERY = 12
_SIGNS = 50
_CALLS: Final[Sequence[tuple[str, str, Mapping[str, Any]]]] = (
    ("keyturn", "list_planned_rotations", {}),
    ("keyturn", "count_planned_rotations", {"From": 0, "To": 0}),
    ("cloudtrail", "lookup_events", {}),
    (
        "cloudwatch",
        "get_metric_statistics",
        {"Namespace": "AWS/Lambda", "MetricName": "Errors", "StartTime": 0, "EndTime": 0, "Period": 60},
    ),
)


@page("", title="Overview", order=10)
def show(visit: Visit) -> Reply:
    """Show it."""
    secrets = visit.look("secretsmanager", "list_secrets", MaxResults=1)
    is_empty = bool(secrets) and not secrets["SecretList"]
    may_create = visit.clients.allow_some("secretsmanager", "create_secret", Name="name")
    shown = {"is_empty": is_empty, "may_list": bool(secrets), "may_create": may_create}
    return Html("overview.html", {**shown, **_seen(visit)})


@live("overview/live", every_seconds=_EVERY_SECONDS)
def watch(visit: Visit) -> Iterator[Sequence[Part]]:
    """Show what has changed, to who may see all of it: a refused call is an event, too, which somebody looks into."""
    signs: Any = None
    seen: Mapping[str, Any] = {}
    rounds = 0
    while all(visit.clients.allow(service, operation, **asked) for service, operation, asked in _CALLS):
        now = visit.later()
        signs, before = _signs(now), signs
        if signs == before and rounds % _WHOLE_EVERY:
            yield []
        else:
            seen, shown = _seen(now), seen
            yield [] if seen == shown else [Part("overview_seen.html", seen, target="seen")]
        rounds += 1
    if rounds:
        raise KeyturnError("Your policies do not show all of it any more.")


def _signs(visit: Visit) -> Any:
    """Return what differs as soon as a rotation begins, fails or ends."""
    unfinished = visit.look(
        "keyturn", "list_planned_rotations", States=["running", "pending", "parked", "failed"], MaxResults=_SIGNS
    )
    succeeded = _ended_as(visit, "RotationSucceeded", most=1)
    return unfinished.get("PlannedRotations"), [event["EventId"] for event in succeeded.get("Events", [])]


def _seen(visit: Visit) -> Mapping[str, Any]:
    coming = _planned(visit, From=visit.now)
    # Who may not ask once is not let ask again: each refusal is in the audit trail.
    wanted: Mapping[str, Mapping[str, Any]] = {
        "under_way": {"States": ["running", "pending"]},
        # Each in trouble stands in one of three cards, by what happens next by itself.
        "failing": {"States": ["running", "pending"], "Troubled": True},
        "failed": {"States": ["parked", "failed"]},
        "troubled": {"States": ["planned", "unplanned"], "Troubled": True},
    }
    seen = {name: _rotations(_planned(visit, **asked) if coming else coming) for name, asked in wanted.items()}
    late = _planned(visit, To=visit.now, States=["planned"]) if coming else coming
    failing = {rotation.arn for rotation in seen["failing"]}
    return {
        **seen,
        "refused": coming.refused,
        "under_way": [each for each in seen["under_way"] if each.arn not in failing],
        "late": [each for each in _rotations(late) if each.is_late(visit.now)],
        "coming": _rotations(coming),
        "counts": _counts(visit) if coming else None,
        "ended": _ended(visit),
        "invocation_errors": _invocation_errors(visit),
    }


def _planned(visit: Visit, **wanted: Any) -> Look:
    return visit.look("keyturn", "list_planned_rotations", MaxResults=_SHOWN, **wanted)


def _rotations(listed: Look) -> list[PlannedRotation]:
    return [PlannedRotation.of(entry) for entry in listed.get("PlannedRotations", [])]


def _counts(visit: Visit) -> dict[str, int] | None:
    """Return how many rotate within a day, a week and a month, or should have; None if that may not be seen."""
    begin = begin_of(visit.now.date()) + timedelta(hours=visit.now.hour)
    since, until = begin - timedelta(days=_DAYS_BEFORE), begin + timedelta(days=_DAYS)
    counted = visit.look("keyturn", "count_planned_rotations", From=since, To=until)
    if not counted:
        return None
    hours = [(hour["At"].astimezone(UTC) - begin, int(hour["Count"])) for hour in counted["Hours"]]
    spans = {"24 hours": timedelta(days=1), "7 days": timedelta(days=7), f"{_DAYS} days": timedelta(days=_DAYS)}
    return {name: sum(count for after, count in hours if after < span) for name, span in spans.items()}


def _ended(visit: Visit) -> list[dict[str, Any]] | None:
    """Return the rotations that ended last, as the trail has them; None if it may not be read."""
    found: list[dict[str, Any]] = []
    for name in ("RotationSucceeded", "RotationFailed"):
        looked = _ended_as(visit, name, most=_LOOKED_UP)
        if not looked:
            return None
        found += [_event(each["EventTime"], name, each["CloudTrailEvent"]) for each in looked["Events"]]
    # Of each secret the last: one that fails is tried again, and again.
    last = {event["arn"]: event for event in sorted(found, key=lambda event: event["at"])}
    return sorted(last.values(), key=lambda event: event["at"], reverse=True)[:_SHOWN]


def _ended_as(visit: Visit, name: str, *, most: int) -> Look:
    attributes = [{"AttributeKey": "EventName", "AttributeValue": name}]
    return visit.look("cloudtrail", "lookup_events", LookupAttributes=attributes, MaxResults=most)


def _event(at: datetime, name: str, document: str) -> dict[str, Any]:
    more = json.loads(document).get("additionalEventData") or {}
    return {
        "at": at.astimezone(UTC),
        "has_succeeded": name == "RotationSucceeded",
        "arn": str(more.get("SecretId", "")),
    }


def _invocation_errors(visit: Visit) -> int | None:
    """Return how many invocations of functions failed in the last day; None if nobody counts, or tells."""
    errors = visit.look(
        "cloudwatch",
        "get_metric_statistics",
        Namespace="AWS/Lambda",
        MetricName="Errors",
        StartTime=visit.now - timedelta(days=1),
        EndTime=visit.now,
        Period=24 * 60 * 60,
        Statistics=["Sum"],
    )
    return int(sum(point["Sum"] for point in errors["Datapoints"])) if errors else None
