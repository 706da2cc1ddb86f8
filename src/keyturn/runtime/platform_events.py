"""What the platform writes into a function's log beside the function itself: as text, or as JSON.

JSON is one object a line, ``{"time": …, "type": "platform.start", "record": {…}}``. Each has a level, and those below
the function's SystemLogLevel are left out. Text has no levels.

Sources: AWS Lambda Developer Guide, "Configuring JSON and plain text log formats", "Log-level filtering" (the table of
levels) and "Lambda Telemetry API Event schema reference" (the records; the order of their members as seen in logs).
"""

from __future__ import annotations

import json
import math
from enum import IntEnum
from typing import Protocol

from keyturn.clock import Clock
from keyturn.runtime import report
from keyturn.runtime.interpreters import Interpreter
from keyturn.runtime.logs import EnvironmentLog
from keyturn.runtime.spec import FunctionSpec

_ON_DEMAND = {"initializationType": "on-demand", "phase": "init"}
_SUCCESS, _ERROR, _TIMEOUT = "success", "error", "timeout"


class SystemLevel(IntEnum):
    """Levels of the platform's own events, by how much they matter."""

    DEBUG = 0
    INFO = 1
    WARN = 2


class PlatformEvents(Protocol):
    """Tells the course of an execution environment and of each of its invocations."""

    def init_started(self, interpreter: Interpreter, memory_bytes: int) -> None:
        """The environment begins."""

    def init_ended(self, duration_ms: float, *, is_ready: bool, error_type: str | None) -> None:
        """The function's module was loaded, could not be (``error_type``), or took too long (None)."""

    def started(self, request_id: str, invoked_arn: str) -> None:
        """The function gets an event."""

    def exited(self, request_id: str, status: int) -> None:
        """Its process ended in the middle of an invocation."""

    def timed_out(self, request_id: str) -> None:
        """It took too long."""

    def ended(
        self, request_id: str, measures: report.Measures, *, answer_bytes: int, is_failed: bool, error_type: str | None
    ) -> None:
        """The invocation is over; ``error_type`` only for failures that are not the function's own answer."""

    def dropped(self, dropped_bytes: int, limit_bytes: int) -> str | None:
        """Return the line that closes a log which became too large."""


def platform_events(spec: FunctionSpec, log: EnvironmentLog, clock: Clock) -> PlatformEvents:
    """Return what writes in the function's log format."""
    return JsonEvents(spec, log, clock) if spec.log_format == "JSON" else TextEvents(spec, log, clock)


class TextEvents:
    """Lines of plain text."""

    def __init__(self, spec: FunctionSpec, log: EnvironmentLog, clock: Clock) -> None:
        self._spec, self._log, self._clock = spec, log, clock

    def init_started(self, interpreter: Interpreter, memory_bytes: int) -> None:
        """Write INIT_START."""
        del memory_bytes
        region = self._spec.place.region
        self._log.platform(report.init_start_line(interpreter.runtime, interpreter.full_version, region))

    def init_ended(self, duration_ms: float, *, is_ready: bool, error_type: str | None) -> None:
        """Write INIT_REPORT, unless all went well."""
        if not is_ready:
            self._log.platform(report.init_report_line(duration_ms, error_type))

    def started(self, request_id: str, invoked_arn: str) -> None:
        """Write START."""
        del invoked_arn
        self._log.platform(report.start_line(request_id, self._spec.version))

    def exited(self, request_id: str, status: int) -> None:
        """Write how."""
        self._log.platform(report.exit_line(request_id, status))

    def timed_out(self, request_id: str) -> None:
        """Write after how long."""
        self._log.platform(report.timeout_line(request_id, self._clock.now(), float(self._spec.timeout_seconds)))

    def ended(
        self, request_id: str, measures: report.Measures, *, answer_bytes: int, is_failed: bool, error_type: str | None
    ) -> None:
        """Write END and REPORT."""
        del answer_bytes, is_failed
        self._log.platform(report.end_line(request_id))
        self._log.platform(report.report_line(request_id, measures, error_type))

    def dropped(self, dropped_bytes: int, limit_bytes: int) -> str:
        """Return a line of Keyturn's own."""
        return report.dropped_line(dropped_bytes, limit_bytes)


class JsonEvents:
    """One JSON object a line."""

    def __init__(self, spec: FunctionSpec, log: EnvironmentLog, clock: Clock) -> None:
        self._spec, self._log, self._clock = spec, log, clock
        self._least = SystemLevel[spec.system_log_level]

    def init_started(self, interpreter: Interpreter, memory_bytes: int) -> None:
        """Write platform.initStart."""
        version, arn = report.runtime_version(interpreter.runtime, interpreter.full_version, self._spec.place.region)
        record = {
            **_ON_DEMAND,
            "runtimeVersion": version,
            "runtimeVersionArn": arn,
            "functionName": self._spec.name,
            "functionVersion": self._spec.version,
            "instanceId": self._log.stream,
            "instanceMaxMemory": memory_bytes,
        }
        self._write(SystemLevel.INFO, "initStart", record)

    def init_ended(self, duration_ms: float, *, is_ready: bool, error_type: str | None) -> None:
        """Write platform.initRuntimeDone and platform.initReport."""
        status = _outcome(is_failed=not is_ready, is_timeout=error_type is None, error_type=error_type)
        level = SystemLevel.DEBUG if is_ready else SystemLevel.WARN
        self._write(level, "initRuntimeDone", {**_ON_DEMAND, **status})
        self._write(level, "initReport", {**_ON_DEMAND, **status, "metrics": {"durationMs": round(duration_ms, 3)}})

    def started(self, request_id: str, invoked_arn: str) -> None:
        """Write platform.start."""
        record = {"requestId": request_id, "functionArn": invoked_arn, "version": self._spec.version}
        self._write(SystemLevel.INFO, "start", record)

    def exited(self, request_id: str, status: int) -> None:
        """Leave it to the events at the invocation's end, which have the kind of error."""

    def timed_out(self, request_id: str) -> None:
        """Leave it to the events at the invocation's end, whose status it is."""

    def ended(
        self, request_id: str, measures: report.Measures, *, answer_bytes: int, is_failed: bool, error_type: str | None
    ) -> None:
        """Write platform.runtimeDone and platform.report."""
        status = _outcome(is_failed=is_failed, is_timeout=error_type == report.TIMED_OUT, error_type=error_type)
        duration_ms = round(measures.duration_ms, 3)
        produced = 0 if error_type else answer_bytes
        done = {"requestId": request_id, **status, "metrics": {"durationMs": duration_ms, "producedBytes": produced}}
        self._write(SystemLevel.WARN if is_failed else SystemLevel.DEBUG, "runtimeDone", done)
        metrics: dict[str, float] = {
            "durationMs": duration_ms,
            "billedDurationMs": math.ceil(measures.duration_ms),
            "memorySizeMB": measures.memory_mb,
            "maxMemoryUsedMB": measures.used_mb,
        }
        if measures.init_ms is not None:
            metrics["initDurationMs"] = round(measures.init_ms, 3)
        reported = {"requestId": request_id, "metrics": metrics, **status}
        self._write(SystemLevel.WARN if is_failed else SystemLevel.INFO, "report", reported)

    def dropped(self, dropped_bytes: int, limit_bytes: int) -> str | None:
        """Return platform.logsDropped."""
        reason = report.dropped_line(dropped_bytes, limit_bytes).strip()
        return self._line(SystemLevel.WARN, "logsDropped", {"droppedBytes": dropped_bytes, "reason": reason})

    def _write(self, level: SystemLevel, event: str, record: object) -> None:
        line = self._line(level, event, record)
        if line is not None:
            self._log.platform(line)

    def _line(self, level: SystemLevel, event: str, record: object) -> str | None:
        if level < self._least:
            return None
        told = {"time": report.moment(self._clock.now()), "type": f"platform.{event}", "record": record}
        return json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n"


def _outcome(*, is_failed: bool, is_timeout: bool, error_type: str | None) -> dict[str, str]:
    """Return ``status``, and what kind of error it was if the platform knows."""
    if not is_failed:
        return {"status": _SUCCESS}
    if is_timeout:
        return {"status": _TIMEOUT}
    return {"status": _ERROR, **({"errorType": error_type} if error_type else {})}
