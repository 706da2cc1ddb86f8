"""Whose a line of a log is, and which invocations failed: lines as the runtime writes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.rules.invocations import BOUNDARIES, FAILURES, StreamLine, failed_invocations, owners
from keyturn.rules.log_filter import compile_filter

BEGIN = datetime(2026, 11, 28, tzinfo=UTC)
ONE, TWO = "6cfc0276-b76e-4c13-bdc3-ad77932dc2fe", "f8db6e19-1032-4064-8bcc-d96a3ad2882a"
_RAISED = '[ERROR] ValueError: as asked\nsecond line\nTraceback (most recent call last):\n  File "x.py", line 1, in h'
_REPORT = "Duration: 0.96 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 15 MB"


def _lines(*texts: str, stream: str = "s") -> list[StreamLine]:
    return [StreamLine(str(n), stream, BEGIN + timedelta(seconds=n), text) for n, text in enumerate(texts)]


def _start(request_id: str) -> str:
    return f"START RequestId: {request_id} Version: $LATEST"


def _report(request_id: str, more: str = "") -> str:
    return f"REPORT RequestId: {request_id}\t{_REPORT}\t{more}"


def _platform(kind: str, **record: object) -> str:
    return json.dumps({"time": "t", "type": f"platform.{kind}", "record": record}, separators=(",", ":"))


def test_lines_between_start_and_report_belong_to_the_invocation() -> None:
    lines = _lines(
        "INIT_START Runtime", _start(ONE), "said", _RAISED, f"END RequestId: {ONE}", _report(ONE), _start(TWO)
    )

    assert owners(lines) == ["", ONE, ONE, ONE, ONE, ONE, TWO]


def test_a_piece_that_begins_within_an_invocation_is_named_by_its_end() -> None:
    assert owners(_lines("said", "more", _report(ONE), "between", _start(TWO), "x")) == [ONE, ONE, ONE, "", TWO, TWO]


def test_streams_are_told_apart() -> None:
    both = [*_lines(_start(ONE), "of one", stream="a"), *_lines(_start(TWO), "of two", stream="b")]
    lines = sorted(both, key=lambda line: line.at)

    assert [owner for line, owner in zip(lines, owners(lines), strict=True) if line.stream == "a"] == [ONE, ONE]


def test_a_request_id_of_the_functions_own_making_counts_only_where_the_platform_tells_nothing() -> None:
    said = json.dumps({"level": "INFO", "requestId": TWO})

    assert owners(_lines(_platform("start", requestId=ONE), said)) == [ONE, ONE]
    assert owners(_lines(said, "more", json.dumps({"requestId": ONE}))) == [TWO, TWO, ONE]
    assert owners(_lines(json.dumps({"requestId": "<script>"}), json.dumps({"requestId": [ONE]}))) == ["", ""]


@pytest.mark.parametrize(
    ("texts", "error", "duration_ms"),
    [
        ([_RAISED, _report(ONE)], "ValueError: as asked", 0.96),
        (
            [f"2026-11-28T01:57:33.677Z {ONE} Task timed out after 2.00 seconds", _report(ONE, "Status: timeout")],
            "Task timed out after 2.00 seconds",
            0.96,
        ),
        (
            [
                f"RequestId: {ONE} Error: Runtime exited with error: exit status 3\nRuntime.ExitError",
                _report(ONE, "Status: error\tError Type: Runtime.ExitError"),
            ],
            "Runtime exited with error: exit status 3",
            0.96,
        ),
        ([_report(ONE, "Status: error\tError Type: Runtime.ImportModuleError")], "Runtime.ImportModuleError", 0.96),
        ([_report(ONE, "Status: timeout")], "failed", 0.96),
        (
            [
                json.dumps({"level": "ERROR", "errorType": "ValueError", "errorMessage": "no", "requestId": ONE}),
                _platform("report", requestId=ONE, metrics={"durationMs": 0.7}, status="error"),
            ],
            "ValueError: no",
            0.7,
        ),
        ([_platform("report", requestId=ONE, metrics={"durationMs": 9}, status="timeout")], "timeout", 9),
        ([_platform("report", requestId=ONE, metrics=7, status="failure")], "failure", None),
    ],
)
def test_a_failure_is_told_whichever_way_it_is_said(texts: list[str], error: str, duration_ms: float | None) -> None:
    is_text = "platform." not in texts[-1]
    lines = _lines(_start(ONE) if is_text else _platform("start", requestId=ONE), *texts)

    (failed,) = failed_invocations(lines)

    assert (failed.request_id, failed.at, failed.error, failed.duration_ms) == (ONE, BEGIN, error, duration_ms)
    # And what finds it in a group finds these lines.
    assert compile_filter(FAILURES).matches(texts[-1]) or compile_filter(FAILURES).matches(texts[0])
    assert all(compile_filter(BOUNDARIES).matches(line.text) for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "[ERROR] printed by the function",
        f"[ERROR]\t2026-11-28T01:57:31.650Z\t{ONE}\tcaught\nTraceback (most recent call last):\n  File",
        "Task timed out after 2.00 seconds, said the database",
        json.dumps({"level": "ERROR", "errorType": "ValueError", "errorMessage": "caught", "requestId": ONE}),
        json.dumps({"type": "platform.report", "status": "error"}),
    ],
)
def test_what_a_function_says_is_no_failure(text: str) -> None:
    assert failed_invocations(_lines(_start(ONE), text, _report(ONE))) == []


def test_the_newest_failure_comes_first() -> None:
    lines = _lines(_start(ONE), _RAISED, _report(ONE), _start(TWO), _RAISED, _report(TWO))

    assert [each.request_id for each in failed_invocations(lines)] == [TWO, ONE]


@given(st.lists(st.text(max_size=60)))
def test_whatever_is_logged_is_understood_or_left_alone(texts: list[str]) -> None:
    lines = _lines(*texts)

    assert len(owners(lines)) == len(lines)
    failed_invocations(lines)
