"""Events of the audit trail for a page: one filter is the server's, the others are applied to what it answers.

A page asks so many times at most. What it has not looked at yet is behind its link to older events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from keyturn.console.clients import Clients
from keyturn.console.moments import read_moment

_ON_A_PAGE: Final = 50
_MOST_ASKED: Final = 10
# Each of these reads many events.
_MOST_ASKED_FOR_DENIED: Final = 3
# In the order in which the server is asked for one of them: the rarest first.
_ATTRIBUTES: Final[Mapping[str, str]] = {
    "resource": "ResourceName",
    "user": "Username",
    "event": "EventName",
    "source": "EventSource",
    "read": "ReadOnly",
}
FIELDS: Final = (*_ATTRIBUTES, "request", "from", "to", "denied")
"""The names of the filters, as they stand in an address."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """Events for a page.

    Attributes:
        events: CloudTrail records, newest first.
        next_token: Where to go on; None at the end of the trail.
        back_to: How far was looked; None at the end, or if nothing was.
    """

    events: list[Json]
    next_token: str | None
    back_to: datetime | None


def find_events(clients: Clients, wanted: Mapping[str, str], next_token: str) -> Found:
    """Return the newest events that are wanted.

    Args:
        clients: Of whoever asks.
        wanted: Filters by their names in :data:`FIELDS`; empty ones are left out.
        next_token: Where to begin; empty for the newest.

    Raises:
        KeyturnError: A moment cannot be read.
    """
    events: list[Json] = []
    back_to: datetime | None = None
    token: str | None = next_token
    for _ in range(_MOST_ASKED_FOR_DENIED if wanted["denied"] else _MOST_ASKED):
        answer = _denied(clients, wanted, token or "") if wanted["denied"] else _any(clients, wanted, token or "")
        page = [json.loads(entry["CloudTrailEvent"]) for entry in answer["Events"]]
        events += [event for event, entry in zip(page, answer["Events"], strict=True) if _fits(event, entry, wanted)]
        back_to = answer.get("LookedBackTo") or (answer["Events"][-1]["EventTime"] if answer["Events"] else back_to)
        token = answer.get("NextToken")
        if token is None or len(events) >= _ON_A_PAGE:
            break
    return Found(events, token, back_to if token else None)


def _any(clients: Clients, wanted: Mapping[str, str], next_token: str) -> Json:
    request: dict[str, Any] = {**_times(wanted), **({"NextToken": next_token} if next_token else {})}
    for name, key in _ATTRIBUTES.items():
        if wanted[name]:
            request["LookupAttributes"] = [{"AttributeKey": key, "AttributeValue": wanted[name]}]
            break
    answer: Json = clients["cloudtrail"].lookup_events(MaxResults=_ON_A_PAGE, **request)
    return answer


def _denied(clients: Clients, wanted: Mapping[str, str], next_token: str) -> Json:
    more = {"NextToken": next_token} if next_token else {}
    answer: Json = clients["keyturn"].lookup_denied_events(MaxResults=_ON_A_PAGE, **_times(wanted), **more)
    return answer


def _times(wanted: Mapping[str, str]) -> dict[str, datetime]:
    times = {"StartTime": read_moment(wanted["from"]), "EndTime": read_moment(wanted["to"])}
    return {name: at for name, at in times.items() if at is not None}


def _fits(event: Json, entry: Json, wanted: Mapping[str, str]) -> bool:
    has = {
        "resource": _resources(event, entry),
        "user": [entry.get("Username") or _user_name(event)],
        "event": [event.get("eventName")],
        "source": [event.get("eventSource")],
        "read": ["true" if event.get("readOnly") else "false"],
        "request": [event.get("requestID")],
    }
    return all(not wanted[name] or wanted[name] in found for name, found in has.items())


def _resources(event: Json, entry: Json) -> Iterable[object]:
    listed = [resource.get("ResourceName") for resource in entry.get("Resources", [])]
    own = [resource.get("ARN") for resource in event.get("resources") or []]
    return (*listed, *own, (event.get("additionalEventData") or {}).get("SecretId"))


def _user_name(event: Json) -> str:
    identity = event.get("userIdentity") or {}
    return str(identity.get("userName") or str(identity.get("arn", "")).rpartition("/")[2])
