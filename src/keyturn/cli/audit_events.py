"""Find audit events through LookupEvents: one filter is the server's, the others are applied to what it answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from keyturn.cli.clients import Clients
from keyturn.cli.moments import read_span
from keyturn.errors.base import KeyturnError
from keyturn.rules.event_reading import is_denied

_POLL_SECONDS = 2.0
# An event is stored when its call has ended, and has the time at which it began.
_LONGEST_CALL = timedelta(minutes=1)
_POLLED = "LookupEvents"

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted.

    Attributes:
        attributes: What LookupEvents can be asked for, by its keys; all must hold.
        since: Aware; None for all.
        denied: Only what the policies did not allow.
    """

    attributes: dict[str, str]
    since: datetime | None
    denied: bool

    @classmethod
    def of(
        cls,
        clients: Clients,
        event_name: str | None,
        username: str | None,
        secret: str | None,
        event_id: str | None,
        since: str | None,
        *,
        denied: bool,
    ) -> EventFilter:
        """Read options; a secret's name becomes its ARN.

        Raises:
            KeyturnError: A value cannot be read.
        """
        # The server is asked for the first of them, which is the rarest.
        attributes = {
            "EventId": event_id,
            "ResourceName": secret and _arn_of(clients, secret),
            "Username": username,
            "EventName": event_name,
        }
        given = {key: value for key, value in attributes.items() if value}
        return cls(given, None if since is None else _moment(since), denied)

    def matches(self, entry: Event, event: Event) -> bool:
        """Say whether what LookupEvents has answered is wanted."""
        resources = [resource.get("ResourceName") for resource in entry.get("Resources", [])]
        has = {
            "EventId": [entry["EventId"]],
            "ResourceName": resources,
            "Username": [entry.get("Username")],
            "EventName": [entry["EventName"]],
        }
        if not all(value in has[key] for key, value in self.attributes.items()):
            return False
        return not self.denied or is_denied(event)


def find_events(clients: Clients, wanted: EventFilter, limit: int) -> list[Event]:
    """Return the newest events, newest first."""
    found: list[Event] = []
    for event in _lookup(clients, wanted, wanted.since):
        found.append(event)
        if len(found) == limit:
            break
    return found


def follow_events(clients: Clients, wanted: EventFilter) -> Iterator[Event]:
    """Yield events as they happen, oldest first, beginning with those since the filter's moment, or with now.

    Looking for them is an event itself: LookupEvents is left out unless it is asked for, or failed.
    """
    is_asked_for = bool(wanted.attributes.keys() & {"EventName", "EventId"})
    since = wanted.since or datetime.now(UTC)
    seen: dict[str, datetime] = {}
    while True:
        now = datetime.now(UTC)
        for event in reversed(list(_lookup(clients, wanted, since))):
            if event["eventID"] in seen:
                continue
            seen[event["eventID"]] = datetime.fromisoformat(event["eventTime"])
            if is_asked_for or event["eventName"] != _POLLED or "errorCode" in event:
                yield event
        since = max(since, now - _LONGEST_CALL)
        seen = {event_id: at for event_id, at in seen.items() if at >= since - timedelta(seconds=1)}
        time.sleep(_POLL_SECONDS)


def newest_denial(clients: Clients) -> str:
    """Return the id of the newest event of a call that the policies did not allow.

    Raises:
        KeyturnError: There is none.
    """
    found = find_events(clients, EventFilter({}, None, denied=True), 1)
    if not found:
        raise KeyturnError(
            "No call was denied in this account and region.",
            "The trail is one of an account's region: check --profile and --region.",
        )
    event_id: str = found[0]["eventID"]
    return event_id


def _lookup(clients: Clients, wanted: EventFilter, since: datetime | None) -> Iterator[Event]:
    request: dict[str, Any] = {} if since is None else {"StartTime": since}
    for key, value in list(wanted.attributes.items())[:1]:
        request["LookupAttributes"] = [{"AttributeKey": key, "AttributeValue": value}]
    for page in clients["cloudtrail"].get_paginator("lookup_events").paginate(**request):
        for entry in page["Events"]:
            event: Event = json.loads(entry["CloudTrailEvent"])
            if wanted.matches(entry, event):
                yield event


def _arn_of(clients: Clients, secret: str) -> str:
    if secret.startswith("arn:"):
        return secret
    client = clients["secretsmanager"]
    try:
        arn: str = client.describe_secret(SecretId=secret)["ARN"]
    except client.exceptions.ResourceNotFoundException as error:
        raise KeyturnError(
            f"There is no secret {secret}.", "The events of one that is gone are found by its ARN: --secret ARN."
        ) from error
    return arn


def _moment(text: str) -> datetime:
    ago = read_span(text)
    if ago is not None:
        return datetime.now(UTC) - ago
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise KeyturnError(
            f"--since {text} is no moment.", "Say how long ago, 30m, 12h or 7d, or a date: 2026-03-04T05:06:07Z."
        ) from error
    return moment if moment.tzinfo else moment.astimezone()
