"""Lambda's wording."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from keyturn.runtime import report


def test_a_report_line_reads_as_lambdas() -> None:
    measures = report.Measures(duration_ms=3.012, memory_mb=128, used_bytes=36 * 1024 * 1024 - 5, init_ms=110.1)
    assert report.report_line("id", measures, None) == (
        "REPORT RequestId: id\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\t"
        "Max Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n"
    )


def test_failures_of_the_platform_end_a_report_line() -> None:
    measures = report.Measures(duration_ms=3000.0, memory_mb=128, used_bytes=10**9)
    assert report.report_line("id", measures, report.TIMED_OUT).endswith("Max Memory Used: 128 MB\tStatus: timeout\n")
    assert report.report_line("id", measures, report.EXIT_ERROR).endswith(
        "Status: error\tError Type: Runtime.ExitError\n"
    )


def test_a_timeout_is_said_in_both_styles() -> None:
    assert report.timeout_payload("id", 3.0) == (
        b'{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: id Error: Task timed out after 3.00 seconds"}'
    )
    moment = datetime(2024, 3, 4, 17, 22, 38, 33_900, tzinfo=UTC)
    assert report.timeout_line("id", moment, 3.0) == "2024-03-04T17:22:38.033Z id Task timed out after 3.00 seconds\n"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0, "Runtime exited without providing a reason"),
        (127, "Runtime exited with error: exit status 127"),
        (137, "Runtime exited with error: signal: killed"),
        (-9, "Runtime exited with error: signal: killed"),
        (139, "Runtime exited with error: signal: segmentation fault"),
        (255, "Runtime exited with error: exit status 255"),
    ],
)
def test_the_end_of_a_process_is_put_in_words(status: int, reason: str) -> None:
    assert report.exit_reason(status) == reason
    assert json.loads(report.exit_payload("id", status))["errorMessage"] == f"RequestId: id Error: {reason}"


def test_each_environment_has_a_stream_of_its_own() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    one, two = report.stream_name("$LATEST", now), report.stream_name("$LATEST", now)
    assert one.startswith("2026/01/02/[$LATEST]")
    assert len(one) == len("2026/01/02/[$LATEST]") + 32
    assert one != two
