"""Log groups, and the streams of one."""

from __future__ import annotations

from typing import Any, Final

from keyturn.clock import from_milliseconds
from keyturn.console.numbers import whole_number
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Visit
from keyturn.errors.base import KeyturnError

_ON_A_PAGE: Final = 50
_RETENTION_DAYS: Final = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
_FUNCTIONS: Final = "/aws/lambda/"


@page("logs", title="Logs", order=50, calls={"logs": ["describe_log_groups"]})
def show(visit: Visit) -> Reply:
    """Show the groups."""
    prefix = visit.asked("prefix")
    parameters: dict[str, Any] = {"limit": _ON_A_PAGE}
    parameters |= {"logGroupNamePrefix": prefix} if prefix else {}
    parameters |= {"nextToken": visit.asked("next")} if visit.asked("next") else {}
    listed = visit.look("logs", "describe_log_groups", **parameters)
    groups = [_with_moments(group) for group in listed.get("logGroups", ())]
    return Html("logs.html", {"listed": listed, "groups": groups, "prefix": prefix})


@page("logs/group", needs="group", chosen_in="logs")
def show_group(visit: Visit) -> Reply:
    """Show the streams of a group, those written to last first."""
    group = visit.asked("group")
    more = {"nextToken": visit.asked("next")} if visit.asked("next") else {}
    streams = visit.look(
        "logs", "describe_log_streams", logGroupName=group, orderBy="LastEventTime", descending=True,
        limit=_ON_A_PAGE, **more,
    )  # fmt: skip
    if streams.refused is not None and streams.refused.status == 404:
        return Html("refused.html", {"refused": streams.refused, "section": "logs"}, 404)
    found = visit.look("logs", "describe_log_groups", logGroupIdentifiers=[group])
    described = next(iter(found.get("logGroups", ())), None)
    shown = {
        "section": "logs",
        "group": group,
        "function": function_of(group),
        "described": None if described is None else _with_moments(described),
        "refused": found.refused,
        "streams": streams,
        "rows": [_with_moments(stream) for stream in streams.get("logStreams", ())],
        "days": _RETENTION_DAYS,
        "may_read": visit.clients.allow("logs", "filter_log_events", logGroupName=group),
        "may_retain": visit.clients.allow("logs", "put_retention_policy", logGroupName=group, retentionInDays=30),
        "may_keep": visit.clients.allow("logs", "delete_retention_policy", logGroupName=group),
        "may_delete": visit.clients.allow("logs", "delete_log_group", logGroupName=group),
    }
    return Html("logs_group.html", shown)


@action("logs/group/retain", shows=show_group)
def retain(visit: Visit) -> Reply:
    """Set for how many days lines are shown."""
    group, days = visit.asked("group"), visit.form.line("days")
    if days:
        number = whole_number(days, "The number of days")
        visit.clients["logs"].put_retention_policy(logGroupName=group, retentionInDays=number)
        told = f"Lines are shown for {days} days."
    else:
        visit.clients["logs"].delete_retention_policy(logGroupName=group)
        told = "Lines are shown without a limit of time."
    return Redirect(address("logs/group", group=group), told)


@action("logs/group/delete", shows=show_group)
def delete(visit: Visit) -> Reply:
    """Remove a group with all its lines."""
    group = visit.asked("group")
    if visit.form.line("confirmed") != group:
        raise KeyturnError("The log group was not deleted: its name was typed otherwise.", f"Type {group}.")
    visit.clients["logs"].delete_log_group(logGroupName=group)
    return Redirect("logs", f"The log group {group} is deleted.")


def function_of(group: str) -> str:
    """Return the function that logs into a group, as far as the group's name tells."""
    return group.removeprefix(_FUNCTIONS) if group.startswith(_FUNCTIONS) else ""


def _with_moments(described: Any) -> dict[str, Any]:
    """Return a group or a stream with its moments as such; those that it has not are None."""
    members = ("creationTime", "firstEventTimestamp", "lastEventTimestamp")
    moments = {name: from_milliseconds(described[name]) if name in described else None for name in members}
    return {**described, **moments}
