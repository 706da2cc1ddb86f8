"""One filter is the server's, the others are applied here; and a page asks so many times at most."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.console.event_search import FIELDS, find_events
from keyturn.errors.base import KeyturnError

AT = datetime(2026, 1, 2, tzinfo=UTC)


class Trail:
    """Both clients that are asked, with pages of events."""

    def __init__(self, *pages: list[dict[str, Any]]) -> None:
        self.pages = pages
        self.asked: list[dict[str, Any]] = []

    def __getitem__(self, _service: str) -> Any:
        return self

    def lookup_events(self, **request: Any) -> dict[str, Any]:
        return self._answer("all", request)

    def lookup_denied_events(self, **request: Any) -> dict[str, Any]:
        return self._answer("denied", request)

    def _answer(self, which: str, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append({"which": which, **request})
        number = int(request.get("NextToken") or 0)
        answer: dict[str, Any] = {"Events": self.pages[number]}
        return answer | ({"NextToken": str(number + 1)} if number + 1 < len(self.pages) else {})


def event(number: int, name: str = "GetSecretValue", user: str = "ada", **more: Any) -> dict[str, Any]:
    record = {
        "eventID": str(number),
        "eventName": name,
        "eventSource": "secretsmanager.amazonaws.com",
        "requestID": f"request-{number}",
        "readOnly": True,
        "userIdentity": {"arn": f"arn:aws:iam::000000000000:user/{user}", "userName": user},
        **more,
    }
    return {"EventId": str(number), "EventTime": AT, "Username": user, "CloudTrailEvent": json.dumps(record)}


def find(trail: Trail, next_token: str = "", **wanted: str) -> Any:
    clients: Any = trail
    return find_events(clients, {**dict.fromkeys(FIELDS, ""), **wanted}, next_token)


def ids(found: Any) -> list[str]:
    return [each["eventID"] for each in found.events]


def test_the_rarest_filter_is_the_servers_and_the_others_are_applied_here() -> None:
    trail = Trail([event(1), event(2, user="ben"), event(3, name="DescribeSecret")])

    found = find(trail, user="ada", event="GetSecretValue")

    assert trail.asked[0]["LookupAttributes"] == [{"AttributeKey": "Username", "AttributeValue": "ada"}]
    assert ids(found) == ["1"]
    assert (found.next_token, found.back_to) == (None, None)


def test_it_asks_until_a_page_is_full_or_the_trail_ends() -> None:
    trail = Trail([event(1)] * 30, [event(2)] * 30, [event(3)])

    found = find(trail)

    assert (len(found.events), found.next_token, found.back_to) == (60, "2", AT)
    assert ids(find(trail, next_token="2")) == ["3"]


def test_it_asks_so_many_times_at_most() -> None:
    trail = Trail(*([event(number)] for number in range(30)))

    found = find(trail, request="request-25")

    assert (found.events, found.next_token, found.back_to) == ([], "10", AT)
    assert len(trail.asked) == 10
    assert ids(find(trail, next_token="20", request="request-25")) == ["25"]


def test_refused_calls_are_asked_for_as_such() -> None:
    trail = Trail([event(1), event(2, user="ben")])

    assert ids(find(trail, denied="1", user="ben")) == ["2"]
    assert [each["which"] for each in trail.asked] == ["denied"]
    assert "LookupAttributes" not in trail.asked[0]


def test_a_resource_is_found_wherever_a_record_names_it() -> None:
    arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"
    trail = Trail(
        [
            event(1, resources=[{"ARN": arn}]),
            event(2, additionalEventData={"SecretId": arn}),
            event(3, resources=None),
            {**event(4), "Resources": [{"ResourceName": arn}]},
        ]
    )

    assert ids(find(trail, denied="1", resource=arn)) == ["1", "2", "4"]


def test_moments_are_utc_unless_they_say_otherwise() -> None:
    trail = Trail([])

    find(trail, **{"from": "2026-01-02T00:00", "to": "2026-01-02T02:00+01:00"})

    assert trail.asked[0]["StartTime"] == AT
    assert trail.asked[0]["EndTime"] == datetime(2026, 1, 2, 1, tzinfo=UTC)
    with pytest.raises(KeyturnError, match="yesterday"):
        find(trail, to="yesterday")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_moment_beyond_all_years_is_none(text: str) -> None:
    with pytest.raises(KeyturnError, match="is no moment"):
        find(Trail([]), **{"from": text})
