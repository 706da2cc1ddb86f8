from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.clock import to_milliseconds
from keyturn.errors.cloudtrail import (
    InvalidLookupAttributesException,
    InvalidNextTokenException,
    InvalidTimeRangeException,
)
from keyturn.ids import new_event_id
from keyturn.rules.audit_record import AuditRecord
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench

START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        yield opened


def stored(number: int, **columns: Any) -> AuditRecord:
    resource_type = columns.get("resource_type")
    resources = [{"ARN": SECRET, "accountId": "000000000000", "type": resource_type}] if resource_type else []
    values: dict[str, Any] = {
        "account_id": PLACE.account_id,
        "region": PLACE.region,
        "event_id": f"event {number}",
        "event_time": to_milliseconds(START + timedelta(seconds=number, milliseconds=400)),
        "event_source": "secretsmanager.amazonaws.com",
        "event_name": "GetSecretValue",
        "username": "ada",
        "access_key_id": "AKIAADA",
        "read_only": True,
        "resource_name": None,
        "resource_type": None,
        "error_code": None,
        "request_id": f"request {number}",
        "event": json.dumps({"eventID": f"event {number}", "resources": resources}),
    }
    return AuditRecord(**{**values, **columns})


def store(bench: HandlerBench, *records: AuditRecord) -> None:
    bench.kit.audit_log.append(records)


def found(response: Any) -> list[str]:
    return [event["EventId"] for event in response["Events"]]


def by(key: str, value: str) -> list[dict[str, str]]:
    return [{"AttributeKey": key, "AttributeValue": value}]


def test_the_newest_event_comes_first(bench: HandlerBench) -> None:
    store(bench, stored(1), stored(2), stored(3))

    response = bench.call("cloudtrail", "LookupEvents")

    assert found(response) == ["event 3", "event 2", "event 1"]
    assert "NextToken" not in response


def test_an_event_shows_whole_seconds_its_resources_and_the_record_as_text(bench: HandlerBench) -> None:
    record = stored(1, resource_name=SECRET, resource_type="AWS::SecretsManager::Secret")
    store(bench, record)

    assert bench.call("cloudtrail", "LookupEvents")["Events"] == [
        {
            "EventId": "event 1",
            "EventName": "GetSecretValue",
            "ReadOnly": "true",
            "AccessKeyId": "AKIAADA",
            "EventTime": START + timedelta(seconds=1),
            "EventSource": "secretsmanager.amazonaws.com",
            "Username": "ada",
            "Resources": [{"ResourceType": "AWS::SecretsManager::Secret", "ResourceName": SECRET}],
            "CloudTrailEvent": record.event,
        }
    ]


@pytest.mark.parametrize(
    ("key", "column", "value"),
    [
        ("EventName", "event_name", "RotateSecret"),
        ("EventSource", "event_source", "iam.amazonaws.com"),
        ("Username", "username", "bob"),
        ("AccessKeyId", "access_key_id", "AKIABOB"),
        ("ResourceName", "resource_name", SECRET),
    ],
)
def test_events_are_found_by_one_attribute(bench: HandlerBench, key: str, column: str, value: str) -> None:
    store(bench, stored(1), stored(2, **{column: value}), stored(3))

    events = bench.call("cloudtrail", "LookupEvents", LookupAttributes=by(key, value))["Events"]

    assert [event["EventTime"] for event in events] == [START + timedelta(seconds=2)]


def test_an_event_is_found_by_its_id(bench: HandlerBench) -> None:
    at = START + timedelta(seconds=2)
    event_id = new_event_id(at)
    store(bench, stored(1), stored(2, event_id=event_id, event_time=to_milliseconds(at)), stored(3))

    assert found(bench.call("cloudtrail", "LookupEvents", LookupAttributes=by("EventId", event_id))) == [event_id]


def test_events_that_changed_something_are_found_by_read_only(bench: HandlerBench) -> None:
    store(bench, stored(1), stored(2, read_only=False))

    assert found(bench.call("cloudtrail", "LookupEvents", LookupAttributes=by("ReadOnly", "false"))) == ["event 2"]


def test_events_are_found_by_the_type_of_a_resource_in_pages(bench: HandlerBench) -> None:
    wanted = {"resource_type": "AWS::IAM::Role"}
    store(bench, *(stored(number, **(wanted if number in (1, 2, 9) else {})) for number in range(10)))
    question = {"LookupAttributes": by("ResourceType", "AWS::IAM::Role")}

    pages: list[str] = []
    token: dict[str, str] = {}
    while True:
        response = bench.call("cloudtrail", "LookupEvents", MaxResults=1, **question, **token)
        pages += found(response)
        if "NextToken" not in response:
            break
        token = {"NextToken": response["NextToken"]}

    assert pages == ["event 9", "event 2", "event 1"]


def test_both_ends_of_a_range_belong_to_it(bench: HandlerBench) -> None:
    store(bench, *(stored(number) for number in range(5)))

    response = bench.call(
        "cloudtrail", "LookupEvents", StartTime=START + timedelta(seconds=1), EndTime=START + timedelta(seconds=3)
    )

    assert found(response) == ["event 3", "event 2", "event 1"]


def test_pages_go_on_where_the_last_one_ended_though_new_events_arrive(bench: HandlerBench) -> None:
    store(bench, *(stored(number) for number in range(5)))

    first = bench.call("cloudtrail", "LookupEvents", MaxResults=3)
    store(bench, stored(5))
    second = bench.call("cloudtrail", "LookupEvents", MaxResults=3, NextToken=first["NextToken"])

    assert (found(first), found(second)) == (["event 4", "event 3", "event 2"], ["event 1", "event 0"])
    assert "NextToken" not in second


def test_a_token_serves_no_other_question_and_cannot_be_made_up(bench: HandlerBench) -> None:
    store(bench, stored(1), stored(2))
    token = bench.call("cloudtrail", "LookupEvents", MaxResults=1)["NextToken"]

    for request in ({"NextToken": token, "StartTime": START}, {"NextToken": "made up"}):
        with pytest.raises(InvalidNextTokenException):
            bench.call("cloudtrail", "LookupEvents", **request)


@pytest.mark.parametrize("attributes", [by("EventName", "a") + by("Username", "b"), by("ReadOnly", "perhaps")])
def test_two_attributes_or_an_impossible_value_are_refused(
    bench: HandlerBench, attributes: list[dict[str, str]]
) -> None:
    with pytest.raises(InvalidLookupAttributesException):
        bench.call("cloudtrail", "LookupEvents", LookupAttributes=attributes)


def test_a_range_that_ends_before_it_begins_is_refused(bench: HandlerBench) -> None:
    with pytest.raises(InvalidTimeRangeException):
        bench.call("cloudtrail", "LookupEvents", StartTime=START, EndTime=START - timedelta(seconds=1))


def test_there_are_no_insights(bench: HandlerBench) -> None:
    store(bench, stored(1))

    assert found(bench.call("cloudtrail", "LookupEvents", EventCategory="insight")) == []
