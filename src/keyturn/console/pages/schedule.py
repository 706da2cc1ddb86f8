"""When secrets rotate next: a month's calendar, how rotations are spread, late ones first, and why then.

Days are those of UTC, as schedules are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keyturn.arn import Arn
from keyturn.client.planned import PlannedRotation
from keyturn.console import month as months
from keyturn.console.replies import Html, Reply
from keyturn.console.routing import page
from keyturn.console.visit import Look, Visit

_ON_A_PAGE = 25
_MOST_LATE = 10


@page("schedule", title="Schedule", order=30, calls={"keyturn": ["list_planned_rotations"]})
def show(visit: Visit) -> Reply:
    """Show a month, or a day of it."""
    day = months.read_day(visit.asked("day"))
    wanted = _wanted(visit)
    listed = _listed(visit, wanted, day)
    rotations = _rotations(listed)
    # Who asks for no month sees the one in which something happens.
    first_at = next((each.next_at for each in rotations if each.next_at and each.next_at >= visit.now), visit.now)
    month = months.read_month(visit.asked("month") or visit.asked("day")[:7], _utc(first_at))
    begin, end = months.begin_of(month), months.begin_of(months.following(month))
    counted = visit.look("keyturn", "count_planned_rotations", From=begin, To=end, **wanted)
    hours = {_utc(hour["At"]): int(hour["Count"]) for hour in counted.get("Hours", [])}
    late = visit.look(
        "keyturn",
        "list_planned_rotations",
        To=visit.now,
        States=["planned", "parked", "failed"],
        MaxResults=_MOST_LATE,
        **wanted,
    )
    return Html(
        "schedule.html",
        {
            "month": month,
            "before": months.before(month),
            "following": months.following(month),
            "day": day,
            "counted": counted,
            "weeks": months.weeks(month, hours),
            "bars": months.by_hour(day, hours) if day else months.by_day(month, hours),
            "total": sum(hours.values()),
            "today": _utc(visit.now).date(),
            "is_asked": bool(visit.asked("month")),
            "late": [each for each in _rotations(late) if each.is_late(visit.now)],
            "has_more_late": bool(late.get("NextToken")),
            "listed": listed,
            "rotations": rotations,
            "prefix": visit.asked("prefix"),
            "function": visit.asked("function"),
            "next": visit.asked("next"),
        },
    )


def _wanted(visit: Visit) -> dict[str, Any]:
    """Return the filters as members of a request."""
    wanted = {"NamePrefix": visit.asked("prefix"), "RotationLambdaARN": _function_arn(visit)}
    return {name: value for name, value in wanted.items() if value}


def _function_arn(visit: Visit) -> str:
    function = visit.asked("function")
    if not function or function.startswith("arn:"):
        return function
    place = Arn.parse(visit.principal.arn)
    return str(Arn(place.partition, "lambda", visit.session.region, place.account_id, f"function:{function}"))


def _listed(visit: Visit, wanted: dict[str, Any], day: Any) -> Look:
    """Return those of a day, or else all from now on, a page at a time."""
    more = {"NextToken": visit.asked("next")} if visit.asked("next") else {}
    if day is not None:
        begin = months.begin_of(day)
        wanted = {**wanted, "From": begin, "To": begin + timedelta(days=1)}
    return visit.look("keyturn", "list_planned_rotations", MaxResults=_ON_A_PAGE, **wanted, **more)


def _rotations(listed: Look) -> list[PlannedRotation]:
    return [PlannedRotation.of(entry) for entry in listed.get("PlannedRotations", [])]


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
