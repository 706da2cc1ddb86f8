"""Refused calls are found among any number of others, a bounded piece at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import to_milliseconds
from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.operations.keyturn import denied_events
from keyturn.rules.audit_record import AuditRecord
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        yield opened


def store(bench: HandlerBench, denied: set[int], count: int, account_id: str = PLACE.account_id) -> None:
    """Store events, the last of which happened just now."""
    begin = bench.clock.now() - timedelta(seconds=count)
    bench.kit.audit_log.append(
        [
            AuditRecord(
                account_id=account_id,
                region=PLACE.region,
                event_id=f"event {number}",
                event_time=to_milliseconds(begin + timedelta(seconds=number)),
                event_source="secretsmanager.amazonaws.com",
                event_name="GetSecretValue",
                username="ada",
                access_key_id=None,
                read_only=True,
                resource_name=None,
                resource_type=None,
                error_code=("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")[number % 3]
                if number in denied
                else ("ResourceNotFoundException" if number % 2 else None),
                request_id=f"request {number}",
                event=json.dumps({"eventID": f"event {number}"}),
            )
            for number in range(1, count + 1)
        ]
    )


def look(bench: HandlerBench, **request: Any) -> Any:
    return bench.call("keyturn", "LookupDeniedEvents", **request)


def found(response: Any) -> list[int]:
    return [int(event["EventId"].removeprefix("event ")) for event in response["Events"]]


def test_only_refused_calls_are_found_newest_first(bench: HandlerBench) -> None:
    store(bench, {2, 3, 4}, 6)
    store(bench, {1, 2}, 3, account_id="111111111111")

    response = look(bench)

    assert found(response) == [4, 3, 2]
    assert "NextToken" not in response
    assert "LookedBackTo" not in response


def test_pages_follow_one_another(bench: HandlerBench) -> None:
    store(bench, {1, 3, 4, 5}, 6)

    first = look(bench, MaxResults=2)
    second = look(bench, MaxResults=2, NextToken=first["NextToken"])

    assert (found(first), found(second)) == ([5, 4], [3, 1])
    assert "NextToken" not in second


def test_one_request_reads_so_many_events_at_most(bench: HandlerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denied_events, "_MOST_READ", 4)
    store(bench, {1, 2, 9}, 10)

    pages = [look(bench)]
    while "NextToken" in pages[-1]:
        pages.append(look(bench, NextToken=pages[-1]["NextToken"]))

    assert [found(page) for page in pages] == [[9], [], [2, 1]]
    assert pages[0]["LookedBackTo"] == bench.clock.now() - timedelta(seconds=3)


def test_a_range_of_time_is_kept_to(bench: HandlerBench) -> None:
    store(bench, {1, 2, 3, 4, 5}, 5)
    now = bench.clock.now()

    response = look(bench, StartTime=now - timedelta(seconds=3), EndTime=now - timedelta(seconds=1))

    assert found(response) == [4, 3, 2]


def test_a_token_serves_its_own_question(bench: HandlerBench) -> None:
    store(bench, {1, 2, 3}, 3)
    token = look(bench, MaxResults=1)["NextToken"]

    with pytest.raises(InvalidNextTokenException):
        look(bench, NextToken=token, EndTime=bench.clock.now())
