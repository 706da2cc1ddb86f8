"""CloudWatch Logs through boto3 and ``aws logs tail``, which people use to see what a rotation function printed."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from typing import Any

import pytest

from .conftest import DEADLINE_SECONDS, ServerProcess, wait_until


def aws_cli_2() -> str | None:
    """The first AWS CLI of version 2 on PATH; version 1 has no ``logs tail``."""
    for directory in os.get_exec_path():
        found = shutil.which("aws", path=directory)
        if found is None:
            continue
        made = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=DEADLINE_SECONDS)
        if made.stdout.startswith("aws-cli/2."):
            return found
    return None


@pytest.fixture(scope="module")
def aws() -> str:
    found = aws_cli_2()
    if found is None:
        pytest.skip("needs version 2 of the AWS CLI")
    return found


TOO_MANY = (
    "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less"
    " than or equal to 10000"
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def make(server: ServerProcess, group: str, stream: str = "s") -> Any:
    client = server.client("logs")
    client.create_log_group(logGroupName=group)
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    return client


def put(client: Any, group: str, *messages: str, stream: str = "s") -> None:
    at = now_ms()
    events = [{"timestamp": at, "message": message} for message in messages]
    client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_paginators_of_boto3_walk_groups_streams_and_events(server: ServerProcess) -> None:
    client = server.client("logs")
    groups = [f"/pages/{number}" for number in range(5)]
    for group in groups:
        client.create_log_group(logGroupName=group)
    for number in range(5):
        client.create_log_stream(logGroupName="/pages/0", logStreamName=f"s{number}")
        put(client, "/pages/0", *[f"{number}.{index}" for index in range(5)], stream=f"s{number}")

    def walk(operation: str, key: str, **request: Any) -> list[Any]:
        pages = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **request)
        return [item for page in pages for item in page.get(key, [])]

    found = walk("describe_log_groups", "logGroups", logGroupNamePrefix="/pages/")
    assert [group["logGroupName"] for group in found] == groups
    for order in ("LogStreamName", "LastEventTime"):
        streams = walk("describe_log_streams", "logStreams", logGroupName="/pages/0", orderBy=order)
        assert sorted(stream["logStreamName"] for stream in streams) == [f"s{number}" for number in range(5)]
    events = walk("filter_log_events", "events", logGroupName="/pages/0")
    assert len({event["eventId"] for event in events}) == len(events) == 25


def test_get_log_events_ends_when_the_token_stays(server: ServerProcess) -> None:
    client = make(server, "/get")
    put(client, "/get", *[str(number) for number in range(7)])

    seen: list[str] = []
    page = client.get_log_events(logGroupName="/get", logStreamName="s", startFromHead=True, limit=3)
    while True:
        seen += [event["message"] for event in page["events"]]
        token = page["nextForwardToken"]
        page = client.get_log_events(logGroupName="/get", logStreamName="s", nextToken=token, limit=3)
        if page["nextForwardToken"] == token:
            break

    assert seen == [str(number) for number in range(7)]


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"),
    [
        (
            "filter_log_events",
            {"logGroupName": "none"},
            "ResourceNotFoundException",
            "The specified log group does not exist.",
        ),
        (
            "create_log_group",
            {"logGroupName": "/errors"},
            "ResourceAlreadyExistsException",
            "The specified log group already exists",
        ),
        (
            "filter_log_events",
            {"logGroupName": "/errors", "nextToken": "made-up"},
            "InvalidParameterException",
            "The specified nextToken is invalid.",
        ),
        (
            "get_log_events",
            {"logGroupName": "/errors", "logStreamName": "s", "limit": 10001},
            "InvalidParameterException",
            TOO_MANY,
        ),
    ],
)
def test_errors_are_those_of_cloudwatch_logs(
    server: ServerProcess, operation: str, request_: dict[str, Any], code: str, message: str
) -> None:
    client = server.client("logs")
    if not client.describe_log_groups(logGroupNamePrefix="/errors")["logGroups"]:
        make(server, "/errors")

    with pytest.raises(client.exceptions.ClientError) as refused:
        getattr(client, operation)(**request_)
    assert refused.value.response["Error"] == {"Code": code, "Message": message}


def test_aws_logs_tail_prints_what_was_logged(server: ServerProcess, aws: str) -> None:
    client = make(server, "/tail", "2026/01/01/[$LATEST]0123")
    put(client, "/tail", "first line", "ERROR second", stream="2026/01/01/[$LATEST]0123")

    def tail(*options: str) -> list[str]:
        # Named, because version 2 reads AWS_ENDPOINT_URL only since 2.13.
        command = [aws, "--endpoint-url", server.endpoint_url, "logs", "tail", "/tail", *options]
        made = subprocess.run(command, env=server.environ(), capture_output=True, text=True, timeout=DEADLINE_SECONDS)
        assert made.returncode == 0, made.stderr
        return [line.split(" ", 2)[2] for line in made.stdout.splitlines()]

    assert tail() == ["first line", "ERROR second"]
    assert tail("--filter-pattern", "ERROR") == ["ERROR second"]


def test_aws_logs_tail_follow_prints_new_events_once(server: ServerProcess, aws: str) -> None:
    client = make(server, "/follow")
    put(client, "/follow", "before")
    lines: list[str] = []
    process = subprocess.Popen(
        [aws, "--endpoint-url", server.endpoint_url, "logs", "tail", "/follow", "--follow", "--format", "short"],
        env={**server.environ(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    stdout = process.stdout
    reader = threading.Thread(target=lambda: lines.extend(stdout), daemon=True)
    reader.start()
    try:
        wait_until(lambda: lines, "the event that was there", server)
        put(client, "/follow", "after")
        wait_until(lambda: len(lines) > 1, "the event that came later", server)
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
        reader.join(DEADLINE_SECONDS)
        stdout.close()
    assert [line.split(" ", 1)[1] for line in lines] == ["before\n", "after\n"]
