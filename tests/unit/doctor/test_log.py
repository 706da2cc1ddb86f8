"""A function's log is read as the invocations it tells of, in both of Lambda's formats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.doctor.log import read_runs
from keyturn.doctor.redaction import LONGEST_LINE, redacted

FIRST, SECOND = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:svc/db-AbCdEf"


def events(*messages: str, stream: str = "a", begin: int = 1_000_000) -> list[dict[str, Any]]:
    return [
        {"logStreamName": stream, "timestamp": begin + position, "message": message + "\n"}
        for position, message in enumerate(messages)
    ]


def test_lines_are_grouped_by_invocation() -> None:
    found = read_runs(
        events(
            f"START RequestId: {FIRST} Version: $LATEST",
            f"[INFO]\t2026-11-27T00:00:00Z\t{FIRST}\tcreateSecret: Successfully put secret for ARN {ARN}.",
            f"END RequestId: {FIRST}",
            f"REPORT RequestId: {FIRST}\tDuration: 310.20 ms\tMemory Size: 128 MB\tMax Memory Used: 82 MB",
            f"START RequestId: {SECOND} Version: $LATEST",
            "[ERROR] KeyError: 'host'\nTraceback (most recent call last):\n  File \"x.py\", line 1",
            f"END RequestId: {SECOND}",
        )
    )

    assert [run.request_id for run in found] == [FIRST, SECOND]
    assert (found[0].duration_ms, found[0].memory_mb, found[0].max_memory_mb) == (310.2, 128, 82)
    assert (found[0].secret_arns, found[0].step, found[0].has_failed) == (frozenset({ARN}), "createSecret", False)
    assert (found[1].has_failed, len(found[1].errors)) == (True, 1)


def test_streams_that_write_at_the_same_time_are_not_mixed() -> None:
    found = read_runs(
        [
            *events(f"START RequestId: {FIRST} Version: 1", "[ERROR] ValueError: first", stream="a"),
            *events(f"START RequestId: {SECOND} Version: 1", "all is well", stream="b"),
        ]
    )

    assert {run.request_id: run.has_failed for run in found} == {FIRST: True, SECOND: False}


def test_a_timeout_is_read() -> None:
    [run] = read_runs(
        events(
            f"START RequestId: {FIRST} Version: $LATEST",
            "Found credentials in environment variables.",
            f"2026-11-27T00:00:30.003Z {FIRST} Task timed out after 30.03 seconds",
        )
    )

    assert (run.timed_out_after, run.has_failed) == (30.03, True)


def test_a_start_up_that_fails_has_no_request_id_of_its_own() -> None:
    [run] = read_runs(events("[ERROR] Runtime.ImportModuleError: Unable to import module 'lambda_function'"))

    assert (run.request_id, run.has_failed) == ("", True)


def test_the_json_format_says_the_same() -> None:
    lines: list[dict[str, Any]] = [
        {"type": "platform.start", "record": {"requestId": FIRST, "version": "$LATEST"}},
        {"timestamp": "2026", "level": "INFO", "message": f"setSecret: for {ARN}.", "requestId": FIRST},
        {
            "timestamp": "2026",
            "level": "ERROR",
            "errorType": "KeyError",
            "errorMessage": "'host'",
            "requestId": FIRST,
            "stackTrace": ["  File x"],
        },
        {
            "type": "platform.report",
            "record": {
                "requestId": FIRST,
                "status": "error",
                "metrics": {"durationMs": 12.5, "memorySizeMB": 128, "maxMemoryUsedMB": 60},
            },
        },
        {"type": "platform.start", "record": {"requestId": SECOND}},
        {
            "type": "platform.report",
            "record": {"requestId": SECOND, "status": "timeout", "metrics": {"durationMs": 3000.0}},
        },
    ]

    first, second = read_runs(events(*map(json.dumps, lines)))

    assert (first.duration_ms, first.memory_mb, first.max_memory_mb) == (12.5, 128, 60)
    assert (first.step, first.secret_arns) == ("setSecret", frozenset({ARN}))
    assert [line.text for line in first.errors] == ["[ERROR] KeyError: 'host'\n  File x"]
    assert (second.request_id, second.timed_out_after) == (SECOND, 3.0)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("connecting with password=hunter2 to db", "connecting with password=*** to db"),
        ("{'username': 'u', 'password': 'hun\\'ter2', 'port': 5}", "{'username': 'u', 'password': ***, 'port': 5}"),
        ('{"password": "hunter2"}', '{"password": ***}'),
        ("ALTER USER u IDENTIFIED BY 'hunter2'", "ALTER USER u IDENTIFIED BY ***"),
        ("ALTER ROLE u WITH PASSWORD 'hunter2'", "ALTER ROLE u WITH PASSWORD ***"),
        ("postgresql://u:hunter2@db:5432/x", "postgresql://u:***@db:5432/x"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer ***"),
        ("SecretString: hunter2, RotationToken=abc", "SecretString: *** RotationToken=***"),
        (f"Unable to log into database with previous, current, or pending secret of secret arn {ARN}", None),
        ("An error occurred (AccessDeniedException) when calling the GetSecretValue operation: no", None),
        ("because no identity-based policy allows the secretsmanager:GetRandomPassword action", None),
    ],
)
def test_what_stands_where_passwords_stand_is_not_shown(said: str, shown: str | None) -> None:
    assert redacted(said) == (said if shown is None else shown)
    assert "hunter2" not in redacted(said)


def test_of_an_event_of_256_kb_the_beginning_is_kept() -> None:
    [run] = read_runs(events(f"START RequestId: {FIRST} Version: 1", f"[ERROR] ValueError: {'x' * 262_000} the end"))

    [error] = run.errors
    assert error.text.startswith("[ERROR] ValueError: xxx")
    assert len(error.text) <= LONGEST_LINE + 1


def test_a_traceback_of_many_lines_is_kept_whole() -> None:
    text = "[ERROR] KeyError: 'host'\nTraceback (most recent call last):\n" + '  File "x.py", line 1, in f\n' * 200
    [run] = read_runs(events(text))

    assert run.lines[0].text == text.rstrip("\n")


@pytest.mark.parametrize(
    ("text", "is_error"),
    [
        (
            "Java heap space: java.lang.OutOfMemoryError\njava.lang.OutOfMemoryError: heap\n\tat a.B.c(B.java:1)",
            True,
        ),
        (
            "'masterarn': KeyErrorTraceback (most recent call last):  File \"/var/task/lambda_function.py\", line 79",
            True,
        ),
        ("[WARNING]\t2026-11-27T00:00:00Z\tid\tcannot connect\nTraceback (most recent call last):\n  File", False),
        ("a look at java.lang.OutOfMemoryError", False),
    ],
)
def test_errors_of_java_and_of_older_runtimes_are_errors(text: str, is_error: bool) -> None:
    [run] = read_runs(events(text))

    assert run.has_failed is is_error
