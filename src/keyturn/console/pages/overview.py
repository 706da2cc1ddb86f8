"""The home page: what is wrong now, what will fail next, what rotated last. A bounded number of calls."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from keyturn.client.planned import PlannedRotation
from keyturn.console.month import begin_of
from keyturn.console.replies import Html, Reply
from keyturn.console.routing import page
from keyturn.console.visit import Look, Visit

_SHOWN = 8
# A page of CloudTrail's.
_LOOKED_UP = 50
_DAYS = 30


@page("", title="Overview", order=10)
def show(visit: Visit) -> Reply:
    """Show it."""
    under_way = _planned(visit, States=["running", "pending"])
    parked = _planned(visit, States=["parked"])
    troubled = _planned(visit, Troubled=True)
    late = _planned(visit, To=visit.now, States=["planned"])
    coming = _planned(visit, From=visit.now)
    secrets = visit.look("secretsmanager", "list_secrets", MaxResults=1)
    failing = [each for each in _rotations(under_way) if each.cause]
    # What fails now is told once.
    known = {rotation.arn for rotation in (*_rotations(parked), *failing)}
    return Html(
        "overview.html",
        {
            "looked": (under_way, parked, troubled, late, coming),
            "refused": next((look.refused for look in (coming, secrets) if look.refused is not None), None),
            "is_empty": bool(secrets) and not secrets["SecretList"],
            "failing": failing,
            "under_way": [each for each in _rotations(under_way) if not each.cause],
            "parked": _rotations(parked),
            "troubled": [each for each in _rotations(troubled) if each.arn not in known],
            "late": [each for each in _rotations(late) if each.is_late(visit.now)],
            "coming": _rotations(coming),
            "counts": _counts(visit),
            "ended": _ended(visit),
            "invocation_errors": _invocation_errors(visit),
        },
    )


def _planned(visit: Visit, **wanted: Any) -> Look:
    return visit.look("keyturn", "list_planned_rotations", MaxResults=_SHOWN, **wanted)


def _rotations(listed: Look) -> list[PlannedRotation]:
    return [PlannedRotation.of(entry) for entry in listed.get("PlannedRotations", [])]


def _counts(visit: Visit) -> dict[str, int] | None:
    """Return how many rotate within a day, a week and a month; None if that may not be seen."""
    begin = begin_of(visit.now.date()) + timedelta(hours=visit.now.hour)
    counted = visit.look("keyturn", "count_planned_rotations", From=begin, To=begin + timedelta(days=_DAYS))
    if not counted:
        return None
    hours = [(hour["At"].astimezone(UTC) - begin, int(hour["Count"])) for hour in counted["Hours"]]
    spans = {"24 hours": timedelta(days=1), "7 days": timedelta(days=7), f"{_DAYS} days": timedelta(days=_DAYS)}
    return {name: sum(count for after, count in hours if after < span) for name, span in spans.items()}


def _ended(visit: Visit) -> list[dict[str, Any]] | None:
    """Return the rotations that ended last, as the trail has them; None if it may not be read."""
    found: list[dict[str, Any]] = []
    for name in ("RotationSucceeded", "RotationFailed"):
        attributes = [{"AttributeKey": "EventName", "AttributeValue": name}]
        looked = visit.look("cloudtrail", "lookup_events", LookupAttributes=attributes, MaxResults=_LOOKED_UP)
        if not looked:
            return None
        found += [_event(each["EventTime"], name, each["CloudTrailEvent"]) for each in looked["Events"]]
    # Of each secret the last: one that fails is tried again, and again.
    last = {event["arn"]: event for event in sorted(found, key=lambda event: event["at"])}
    return sorted(last.values(), key=lambda event: event["at"], reverse=True)[:_SHOWN]


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
