"""The platform's events as JSON: their records, and which of them each SystemLogLevel keeps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyturn.runtime import FunctionSpec, LogLine, report
from keyturn.runtime.interpreters import Interpreter
from keyturn.runtime.logs import EnvironmentLog
from keyturn.runtime.platform_events import platform_events
from keyturn.testing.clock import FakeClock

ARN = "arn:aws:lambda:us-east-1:000000000000:function:rotate"
TIME = "2026-01-02T03:04:05.000Z"
SPEC = FunctionSpec(
    arn=ARN,
    name="rotate",
    version="$LATEST",
    handler="f.h",
    runtime="python3.11",
    timeout_seconds=3,
    memory_mb=128,
    ephemeral_storage_mb=512,
    environment={},
    code_sha256="",
    revision_id="",
    role_arn="",
    log_group="app",
    log_format="JSON",
)
PYTHON = Interpreter("python3.11", "3.11.7", Path(), Path(), (), ())
MEASURES = report.Measures(duration_ms=3000.0004, memory_mb=128, used_bytes=94 * 1024 * 1024, init_ms=110.1)


def course(level: str, *, error_type: str | None = None, is_failed: bool = False, is_ready: bool = True) -> list[Any]:
    """What is logged of one environment and its first invocation."""
    lines: list[LogLine] = []

    def write(_stream: str, batch: Sequence[LogLine]) -> None:
        lines.extend(batch)

    log = EnvironmentLog(write, FakeClock(), stream="2026/01/02/rotate[$LATEST]1", limit_bytes=100)
    events = platform_events(replace(SPEC, system_log_level=level), log, FakeClock())
    events.init_started(PYTHON, 128 * 1024 * 1024)
    events.init_ended(110.10049, is_ready=is_ready, error_type=None if is_ready else error_type)
    events.started("5f3c", f"{ARN}:live")
    if error_type == report.EXIT_ERROR:
        events.exited("5f3c", 1)
    if error_type == report.TIMED_OUT:
        events.timed_out("5f3c")
    events.ended("5f3c", MEASURES, answer_bytes=2, is_failed=is_failed, error_type=error_type)
    log.flush()
    assert all(line.message.endswith("}\n") and line.message.count("\n") == 1 for line in lines)
    return [json.loads(line.message) for line in lines]


def kinds(events: list[Any]) -> list[str]:
    return [event["type"].removeprefix("platform.") for event in events]


def test_all_goes_well_and_everything_is_told() -> None:
    on_demand = {"initializationType": "on-demand", "phase": "init"}
    metrics = {"durationMs": 3000.0, "billedDurationMs": 3001, "memorySizeMB": 128, "maxMemoryUsedMB": 94}
    assert course("DEBUG") == [
        {
            "time": TIME,
            "type": "platform.initStart",
            "record": {
                **on_demand,
                "runtimeVersion": "python:3.11.v3.11.7",
                "runtimeVersionArn": "arn:aws:lambda:us-east-1::runtime:python3.11",
                "functionName": "rotate",
                "functionVersion": "$LATEST",
                "instanceId": "2026/01/02/rotate[$LATEST]1",
                "instanceMaxMemory": 134217728,
            },
        },
        {"time": TIME, "type": "platform.initRuntimeDone", "record": {**on_demand, "status": "success"}},
        {
            "time": TIME,
            "type": "platform.initReport",
            "record": {**on_demand, "status": "success", "metrics": {"durationMs": 110.1}},
        },
        {
            "time": TIME,
            "type": "platform.start",
            "record": {"requestId": "5f3c", "functionArn": f"{ARN}:live", "version": "$LATEST"},
        },
        {
            "time": TIME,
            "type": "platform.runtimeDone",
            "record": {
                "requestId": "5f3c",
                "status": "success",
                "metrics": {"durationMs": 3000.0, "producedBytes": 2},
            },
        },
        {
            "time": TIME,
            "type": "platform.report",
            "record": {
                "requestId": "5f3c",
                "metrics": {**metrics, "initDurationMs": 110.1},
                "status": "success",
            },
        },
    ]


@pytest.mark.parametrize(
    ("level", "well", "badly"),
    [
        ("INFO", ["initStart", "start", "report"], ["initStart", "start", "runtimeDone", "report"]),
        ("WARN", [], ["runtimeDone", "report"]),
    ],
)
def test_a_level_keeps_what_matters_as_much(level: str, well: list[str], badly: list[str]) -> None:
    assert kinds(course(level)) == well
    assert kinds(course(level, is_failed=True)) == badly


@pytest.mark.parametrize(
    ("error_type", "status"),
    [
        (report.TIMED_OUT, {"status": "timeout"}),
        (report.EXIT_ERROR, {"status": "error", "errorType": "Runtime.ExitError"}),
        (None, {"status": "error"}),
    ],
)
def test_failures_have_a_status_and_what_the_platform_knows(error_type: str | None, status: dict[str, str]) -> None:
    done, reported = course("WARN", error_type=error_type, is_failed=True)
    for event in (done, reported):
        assert {
            name: event["record"].get(name) for name in ("status", "errorType") if name in event["record"]
        } == status


def test_a_module_that_cannot_be_loaded_is_warned_of() -> None:
    told = course("WARN", error_type="Runtime.ImportModuleError", is_failed=True, is_ready=False)
    assert kinds(told) == ["initRuntimeDone", "initReport", "runtimeDone", "report"]
    assert told[1]["record"] == {
        "initializationType": "on-demand",
        "phase": "init",
        "status": "error",
        "errorType": "Runtime.ImportModuleError",
        "metrics": {"durationMs": 110.1},
    }
    slow = course("WARN", error_type=None, is_failed=True, is_ready=False)
    assert slow[1]["record"]["status"] == "timeout"


def test_a_log_that_became_too_large_says_so() -> None:
    log = EnvironmentLog(lambda _stream, _lines: None, FakeClock(), stream="s", limit_bytes=100)
    line = platform_events(SPEC, log, FakeClock()).dropped(7, 100)
    assert line is not None
    assert json.loads(line)["type"] == "platform.logsDropped"
    assert json.loads(line)["record"]["droppedBytes"] == 7
