from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied
from keyturn.errors.logs import (
    InvalidParameterException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    ValidationException,
)
from keyturn.testing.handlers import HandlerBench, open_bench, user

ARN = "arn:aws:logs:us-east-1:000000000000:log-group:"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        yield opened


def make(bench: HandlerBench, *groups: str) -> None:
    for group in groups:
        bench.call("logs", "CreateLogGroup", logGroupName=group)


def names(response: Any) -> list[str]:
    return [group["logGroupName"] for group in response["logGroups"]]


def streams(response: Any) -> list[str]:
    return [stream["logStreamName"] for stream in response["logStreams"]]


def test_a_group_is_shown_with_both_forms_of_its_arn(bench: HandlerBench) -> None:
    make(bench, "/aws/lambda/f")

    assert bench.call("logs", "DescribeLogGroups") == {
        "logGroups": [
            {
                "logGroupName": "/aws/lambda/f",
                "creationTime": 1767323045000,
                "metricFilterCount": 0,
                "arn": f"{ARN}/aws/lambda/f:*",
                "logGroupArn": f"{ARN}/aws/lambda/f",
                "logGroupClass": "STANDARD",
                "storedBytes": 0,
                "deletionProtectionEnabled": False,
            }
        ]
    }


def test_groups_and_streams_are_made_once(bench: HandlerBench) -> None:
    make(bench, "g")
    with pytest.raises(ResourceAlreadyExistsException) as refused:
        make(bench, "g")
    assert refused.value.message == "The specified log group already exists"

    bench.call("logs", "CreateLogStream", logGroupName="g", logStreamName="s")
    with pytest.raises(ResourceAlreadyExistsException) as refused:
        bench.call("logs", "CreateLogStream", logGroupName="g", logStreamName="s")
    assert refused.value.message == "The specified log stream already exists"


@pytest.mark.parametrize(
    "member",
    [
        {"kmsKeyId": "k"},
        {"tags": {"a": "b"}},
        {"logGroupClass": "INFREQUENT_ACCESS"},
        {"deletionProtectionEnabled": True},
    ],
)
def test_what_keyturn_cannot_honour_is_refused(bench: HandlerBench, member: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterException, match=next(iter(member))):
        bench.call("logs", "CreateLogGroup", logGroupName="g", **member)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("DeleteLogGroup", {}),
        ("CreateLogStream", {"logStreamName": "s"}),
        ("DeleteLogStream", {"logStreamName": "s"}),
        ("DescribeLogStreams", {}),
        ("PutRetentionPolicy", {"retentionInDays": 1}),
        ("DeleteRetentionPolicy", {}),
        ("FilterLogEvents", {}),
        ("GetLogEvents", {"logStreamName": "s"}),
        ("PutLogEvents", {"logStreamName": "s", "logEvents": [{"timestamp": 0, "message": "m"}]}),
    ],
)
def test_a_group_that_is_missing_is_said_to_be(bench: HandlerBench, operation: str, request_: dict[str, Any]) -> None:
    with pytest.raises(ResourceNotFoundException) as refused:
        bench.call("logs", operation, logGroupName="g", **request_)
    assert refused.value.message == "The specified log group does not exist."


@pytest.mark.parametrize("operation", ["DeleteLogStream", "GetLogEvents"])
def test_a_stream_that_is_missing_is_said_to_be(bench: HandlerBench, operation: str) -> None:
    make(bench, "g")

    with pytest.raises(ResourceNotFoundException) as refused:
        bench.call("logs", operation, logGroupName="g", logStreamName="s")
    assert refused.value.message == "The specified log stream does not exist."


def test_a_deleted_group_takes_its_streams_with_it(bench: HandlerBench) -> None:
    make(bench, "g")
    bench.call("logs", "CreateLogStream", logGroupName="g", logStreamName="s")

    bench.call("logs", "DeleteLogGroup", logGroupName="g")
    make(bench, "g")

    assert streams(bench.call("logs", "DescribeLogStreams", logGroupName="g")) == []


def test_groups_are_found_by_the_beginning_or_a_part_of_their_names_letters_case_counting(bench: HandlerBench) -> None:
    make(bench, "/aws/b", "/aws/B", "other/aws")

    def described(**request: Any) -> list[str]:
        return names(bench.call("logs", "DescribeLogGroups", **request))

    assert described() == ["/aws/B", "/aws/b", "other/aws"]
    assert described(logGroupNamePrefix="/aws/") == ["/aws/B", "/aws/b"]
    assert described(logGroupNamePattern="aws") == ["/aws/B", "/aws/b", "other/aws"]
    assert described(logGroupNamePattern="B") == ["/aws/B"]
    assert described(logGroupNamePattern="%") == []
    assert described(logGroupIdentifiers=["other/aws", f"{ARN}/aws/b", "none"]) == ["/aws/b", "other/aws"]
    assert described(logGroupClass="DELIVERY") == []
    with pytest.raises(InvalidParameterException, match="mutually exclusive"):
        described(logGroupNamePrefix="a", logGroupNamePattern="b")


def test_groups_are_listed_in_pages_whose_tokens_fit_one_question(bench: HandlerBench) -> None:
    make(bench, "a", "b", "c")

    first = bench.call("logs", "DescribeLogGroups", limit=2)
    second = bench.call("logs", "DescribeLogGroups", limit=2, nextToken=first["nextToken"])

    assert (names(first), names(second)) == (["a", "b"], ["c"])
    assert "nextToken" not in second
    for token, prefix in ((first["nextToken"], "a"), ("made-up", "")):
        with pytest.raises(InvalidParameterException) as refused:
            bench.call("logs", "DescribeLogGroups", nextToken=token, logGroupNamePrefix=prefix)
        assert refused.value.message == "The specified nextToken is invalid."


def test_streams_are_listed_by_name_or_by_last_event(bench: HandlerBench) -> None:
    make(bench, "g")
    now_ms = 1767323045000
    for number, name in enumerate(("b", "c", "a")):
        bench.call("logs", "CreateLogStream", logGroupName="g", logStreamName=name)
        events = [{"timestamp": now_ms + number, "message": "m"}]
        bench.call("logs", "PutLogEvents", logGroupName="g", logStreamName=name, logEvents=events)

    def pages(**request: Any) -> list[str]:
        listed: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = bench.call("logs", "DescribeLogStreams", logGroupName="g", limit=2, **request, **token)
            listed += streams(page)
            if "nextToken" not in page:
                return listed
            token = {"nextToken": page["nextToken"]}

    assert pages() == ["a", "b", "c"]
    assert pages(descending=True) == ["c", "b", "a"]
    assert pages(orderBy="LastEventTime") == ["b", "c", "a"]
    assert pages(orderBy="LastEventTime", descending=True) == ["a", "c", "b"]
    assert pages(logStreamNamePrefix="b") == ["b"]
    with pytest.raises(InvalidParameterException, match="Cannot order by LastEventTime"):
        pages(orderBy="LastEventTime", logStreamNamePrefix="b")


def test_a_stream_is_shown_with_the_times_of_its_events(bench: HandlerBench) -> None:
    make(bench, "g")
    bench.call("logs", "CreateLogStream", logGroupName="g", logStreamName="s")
    created = {
        "logStreamName": "s",
        "creationTime": 1767323045000,
        "arn": f"{ARN}g:log-stream:s",
        "storedBytes": 0,
    }
    assert bench.call("logs", "DescribeLogStreams", logGroupName="g")["logStreams"] == [created]

    bench.clock.advance(timedelta(seconds=9))
    events = [{"timestamp": 1767323046000, "message": "m"}, {"timestamp": 1767323047000, "message": "n"}]
    bench.call("logs", "PutLogEvents", logGroupName="g", logStreamName="s", logEvents=events)

    assert bench.call("logs", "DescribeLogStreams", logGroupName="g")["logStreams"] == [
        {
            **created,
            "firstEventTimestamp": 1767323046000,
            "lastEventTimestamp": 1767323047000,
            "lastIngestionTime": 1767323054000,
        }
    ]


def test_retention_is_set_and_lifted(bench: HandlerBench) -> None:
    make(bench, "g")

    bench.call("logs", "PutRetentionPolicy", logGroupName="g", retentionInDays=14)
    assert bench.call("logs", "DescribeLogGroups")["logGroups"][0]["retentionInDays"] == 14
    with pytest.raises(InvalidParameterException, match="Value '15' at 'retentionInDays'"):
        bench.call("logs", "PutRetentionPolicy", logGroupName="g", retentionInDays=15)
    bench.call("logs", "DeleteRetentionPolicy", logGroupName="g")
    assert "retentionInDays" not in bench.call("logs", "DescribeLogGroups")["logGroups"][0]


def test_a_group_is_named_or_identified_but_not_both(bench: HandlerBench) -> None:
    make(bench, "g")

    for identifier in ("g", f"{ARN}g", f"{ARN}g:*"):
        bench.call("logs", "DescribeLogStreams", logGroupIdentifier=identifier)
    with pytest.raises(ValidationException, match="mutually exclusive"):
        bench.call("logs", "DescribeLogStreams", logGroupIdentifier="g", logGroupName="g")
    with pytest.raises(InvalidParameterException):
        bench.call("logs", "DescribeLogStreams")
    with pytest.raises(ResourceNotFoundException):
        bench.call("logs", "DescribeLogStreams", logGroupIdentifier=f"{ARN}g".replace("000000000000", "111111111111"))


def test_policies_name_groups_with_a_colon_and_a_star_as_at_aws(bench: HandlerBench) -> None:
    make(bench, "mine", "other")
    bench.call("iam", "CreateUser", UserName="ada")
    document = f'{{"Statement":{{"Effect":"Allow","Action":"logs:*","Resource":"{ARN}mine:*"}}}}'
    bench.call("iam", "PutUserPolicy", UserName="ada", PolicyName="p", PolicyDocument=document)
    call = bench.as_(user("ada"))

    bench.call_as(call, "logs", "CreateLogStream", logGroupName="mine", logStreamName="s")
    bench.call_as(call, "logs", "DescribeLogStreams", logGroupName="mine")
    with pytest.raises(AccessDenied, match=r"on resource: .*:log-group:other:log-stream: because"):
        bench.call_as(call, "logs", "DescribeLogStreams", logGroupName="other")
    with pytest.raises(AccessDenied):
        bench.call_as(call, "logs", "DescribeLogStreams", logGroupName="never-made")
