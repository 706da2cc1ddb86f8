from __future__ import annotations

import json
from itertools import islice
from typing import Any, cast

import pytest

from keyturn.cli.audit_events import EventFilter, follow_events, newest_denial
from keyturn.cli.clients import Clients
from keyturn.errors.base import KeyturnError


class Trail:
    """Answers LookupEvents with the same events each time, newest first."""

    def __init__(self, *events: tuple[str, str | None]) -> None:
        self._events = [
            {"eventID": f"{number}", "eventName": name, "eventTime": "2999-03-04T05:06:07Z"}
            | ({"errorCode": code} if code else {})
            for number, (name, code) in enumerate(events)
        ]

    def __getitem__(self, service: str) -> Any:
        return self

    def get_paginator(self, operation: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [
            {
                "Events": [
                    {"EventId": event["eventID"], "EventName": event["eventName"], "CloudTrailEvent": json.dumps(event)}
                    for event in self._events
                ]
            }
        ]

    @property
    def clients(self) -> Clients:
        return cast("Clients", self)


def followed(trail: Trail, count: int, **attributes: str) -> list[str]:
    found = follow_events(trail.clients, EventFilter(attributes, None, denied=False))
    return [event["eventID"] for event in islice(found, count)]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def slept(_: float) -> None:
        raise AssertionError("polled again")

    monkeypatch.setattr("keyturn.cli.audit_events.time.sleep", slept)


def test_following_does_not_show_itself_unless_that_is_asked_for() -> None:
    trail = Trail(("LookupEvents", None), ("ListUsers", None), ("LookupEvents", "AccessDenied"), ("LookupEvents", None))

    assert followed(trail, 2) == ["2", "1"]
    assert followed(trail, 3, EventName="LookupEvents") == ["3", "2", "0"]


def test_the_newest_denial_is_found_or_said_to_be_none() -> None:
    trail = Trail(("ListUsers", None), ("ListRoles", "AccessDenied"), ("ListUsers", "AccessDenied"))

    assert newest_denial(trail.clients) == "1"
    with pytest.raises(KeyturnError, match="No call was denied"):
        newest_denial(Trail(("ListUsers", None)).clients)
