"""What Lambda says about an invocation: platform log lines and the error documents of its own making.

Pure text. Wording as recorded by localstack against AWS in 2024 and 2025, and as the AWS Lambda Developer Guide shows
it. Where AWS has an old and a new form, both are written: people search for ``Task timed out after``, tools read
``Status: timeout``.
"""

from __future__ import annotations

import json
import math
import secrets
from dataclasses import dataclass
from datetime import datetime

RESPONSE_LIMIT_BYTES = 6_291_556
REQUEST_LIMIT_BYTES = 6_291_456
OUT_OF_MEMORY = "Runtime.OutOfMemory"
EXIT_ERROR = "Runtime.ExitError"
TIMED_OUT = "Sandbox.Timedout"
TOO_LARGE = "Function.ResponseSizeTooLarge"
_SIGNALS = {
    1: "hangup",
    2: "interrupt",
    4: "illegal instruction",
    6: "aborted",
    7: "bus error",
    8: "floating point exception",
    9: "killed",
    11: "segmentation fault",
    13: "broken pipe",
    15: "terminated",
    25: "file size limit exceeded",
}
_SIGNAL_STATUS = 128


@dataclass(frozen=True, slots=True)
class Measures:
    """The numbers of a REPORT line; ``init_ms`` is None but for an environment's first invocation."""

    duration_ms: float
    memory_mb: int
    used_bytes: int
    init_ms: float | None = None

    @property
    def used_mb(self) -> int:
        """The memory that was used, as Lambda shows it: never more than there is."""
        return min(self.memory_mb, math.ceil(self.used_bytes / 1024 / 1024))


def stream_name(version: str, now: datetime, function_name: str = "") -> str:
    """A fresh log stream's name; with the function's in a group that is not named after it."""
    return f"{now:%Y/%m/%d}/{function_name}[{version}]{secrets.token_hex(16)}"


def moment(at: datetime) -> str:
    """A moment as Lambda writes it into logs."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def runtime_version(runtime: str, full_version: str, region: str) -> tuple[str, str]:
    """A runtime's version and its ARN."""
    version = f"{runtime.replace('python', 'python:')}.v{full_version}"
    return version, f"arn:aws:lambda:{region}::runtime:{runtime}"


def init_start_line(runtime: str, full_version: str, region: str) -> str:
    """The first line of an execution environment."""
    version, arn = runtime_version(runtime, full_version, region)
    return f"INIT_START Runtime Version: {version}\tRuntime Version ARN: {arn}\n"


def init_report_line(init_ms: float, error_type: str | None) -> str:
    """The line about an initialisation that failed (``error_type``) or took too long (None)."""
    status = "timeout" if error_type is None else f"error\tError Type: {error_type}"
    return f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: init\tStatus: {status}\n"


def start_line(request_id: str, version: str) -> str:
    """The line before an invocation."""
    return f"START RequestId: {request_id} Version: {version}\n"


def timeout_line(request_id: str, now: datetime, timeout_seconds: float) -> str:
    """The line of the old style that troubleshooting guides quote."""
    return f"{moment(now)} {request_id} Task timed out after {timeout_seconds:.2f} seconds\n"


def exit_line(request_id: str, status: int) -> str:
    """The line about a process that ended in the middle of an invocation."""
    return f"RequestId: {request_id} Error: {exit_reason(status)}\n{EXIT_ERROR}\n"


def end_line(request_id: str) -> str:
    """The line after an invocation."""
    return f"END RequestId: {request_id}\n"


def report_line(request_id: str, measures: Measures, error_type: str | None) -> str:
    """The numbers of an invocation; ``error_type`` only for failures that are not the function's own answer."""
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {measures.duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(measures.duration_ms)} ms",
        f"Memory Size: {measures.memory_mb} MB",
        f"Max Memory Used: {measures.used_mb} MB",
    ]
    if measures.init_ms is not None:
        fields.append(f"Init Duration: {measures.init_ms:.2f} ms")
    if error_type == TIMED_OUT:
        fields.append("Status: timeout")
    elif error_type is not None:
        fields += ["Status: error", f"Error Type: {error_type}"]
    else:
        fields.append("")
    return "\t".join(fields) + "\n"


def dropped_line(dropped_bytes: int, limit_bytes: int) -> str:
    """The line that closes a log which became too large."""
    return (
        f"KEYTURN The log of this invocation exceeds {limit_bytes} bytes;"
        f" {dropped_bytes} bytes after that were dropped.\n"
    )


def timeout_payload(request_id: str, timeout_seconds: float) -> bytes:
    """The error document of an invocation that took too long."""
    return _error(TIMED_OUT, f"RequestId: {request_id} Error: Task timed out after {timeout_seconds:.2f} seconds")


def exit_payload(request_id: str, status: int) -> bytes:
    """The error document of an invocation whose process ended."""
    return _error(EXIT_ERROR, f"RequestId: {request_id} Error: {exit_reason(status)}")


def too_large_payload() -> bytes:
    """The error document of an answer that is too large."""
    return _error(
        TOO_LARGE,
        f"Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT_BYTES} bytes).",
    )


def exit_reason(status: int) -> str:
    """A process's end in words. Sandboxes report a signal as 128 and its number, Popen as its negative."""
    signal = -status if status < 0 else status - _SIGNAL_STATUS
    if signal in _SIGNALS:
        return f"Runtime exited with error: signal: {_SIGNALS[signal]}"
    if status == 0:
        return "Runtime exited without providing a reason"
    return f"Runtime exited with error: exit status {status}"


def _error(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()
