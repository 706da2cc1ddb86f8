"""How Lambda and its runtimes log: text and JSON, of Python, Node.js and Java.

Sources: awslambdaric (``bootstrap.py``, ``lambda_runtime_log_utils.py``); AWS Lambda Developer Guide, "Configuring JSON
and plain text log formats" and "Lambda Telemetry API event schema"; logs that people posted, named with the cases.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

_NBSP = "\u00a0\u00a0"


@dataclass(frozen=True)
class Line:
    """What a function's logger said."""

    level: str
    message: str


@dataclass(frozen=True)
class Raised:
    """An error that nobody caught, in a function of the module."""

    error: str
    message: str
    function: str = "create_secret"

    @property
    def trace(self) -> list[str]:
        """Its trace, as the runtime formats it."""
        return [
            f'  File "/var/task/lambda_function.py", line 77, in lambda_handler\n    {self.function}(client, arn, token)\n',
            f'  File "/var/task/lambda_function.py", line 172, in {self.function}\n    conn = get_connection(pending)\n',
        ]


@dataclass(frozen=True)
class Init:
    """An error while the module was loaded: there is no request yet."""

    error: str
    message: str
    trace: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bare:
    """A line that is written as it is, whatever the format, but for ``{request_id}``."""

    text: str


Said = Line | Raised | Init | Bare


def info(message: str) -> Line:
    """A line of ``logger.info``."""
    return Line("INFO", message)


def error(message: str) -> Line:
    """A line of ``logger.error``."""
    return Line("ERROR", message)


def warning(message: str) -> Line:
    """A line of ``logger.warning``."""
    return Line("WARNING", message)


CREDENTIALS = info("Found credentials in environment variables.")


def denial(caller: str, action: str, resource: str | None, why: str) -> str:
    """AWS's words for a call that is refused."""
    on = f" on resource: {resource}" if resource else ""
    return f"User: {caller} is not authorized to perform: {action}{on} {why}"


@dataclass(frozen=True)
class Run:
    """One invocation."""

    request_id: str
    at: datetime
    ms: float
    memory: tuple[int, int]
    timed_out: float | None
    status: str | None = None
    error_type: str | None = None

    def as_text(self, said: Sequence[Said]) -> list[str]:
        """Return the lines of the text format."""
        moment = f"{self.at:%Y-%m-%dT%H:%M:%S}.123Z"
        body = [self._text(each, moment) for each in said]
        if self.timed_out:
            body.append(f"{moment} {self.request_id} Task timed out after {self.timed_out:.2f} seconds\n\n")
        status = "\tStatus: timeout" if self.timed_out else ""
        if self.status:
            status = f"\tStatus: {self.status}\tError Type: {self.error_type}"
        return [
            f"START RequestId: {self.request_id} Version: $LATEST\n",
            *body,
            f"END RequestId: {self.request_id}\n",
            (
                f"REPORT RequestId: {self.request_id}\tDuration: {self.ms:.2f} ms\tBilled Duration: {self.ms:.0f} ms\t"
                f"Memory Size: {self.memory[0]} MB\tMax Memory Used: {self.memory[1]} MB\tInit Duration: 312.07 ms{status}\t\n"
            ),
        ]

    def _text(self, said: Said, moment: str) -> str:
        if isinstance(said, Bare):
            return said.text.replace("{request_id}", self.request_id)
        if isinstance(said, Line):
            return f"[{said.level}]\t{moment}\t{self.request_id}\t{said.message}\n"
        trace = "".join(said.trace).replace("  ", _NBSP)
        return f"[ERROR] {said.error}: {said.message}\nTraceback (most recent call last):\n{trace}"

    def as_json(self, said: Sequence[Said]) -> list[str]:
        """Return the lines of the JSON format."""
        moment = f"{self.at:%Y-%m-%dT%H:%M:%SZ}"
        status = self.status or ("timeout" if self.timed_out else "success")
        failed = any(isinstance(each, (Raised, Init)) for each in said)
        metrics: dict[str, object] = {
            "durationMs": self.ms,
            "billedDurationMs": int(self.ms),
            "memorySizeMB": self.memory[0],
            "maxMemoryUsedMB": self.memory[1],
        }
        report: dict[str, object] = {
            "requestId": self.request_id,
            "metrics": metrics,
            "status": "error" if failed and status == "success" else status,
            **({"errorType": self.error_type} if self.error_type else {}),
        }
        return [
            _platform("start", moment, {"requestId": self.request_id, "version": "$LATEST"}),
            *(self._json(each, moment) for each in said),
            _platform("report", moment, report),
        ]

    def _json(self, said: Said, moment: str) -> str:
        if isinstance(said, Bare):
            return said.text.replace("{request_id}", self.request_id)
        if isinstance(said, Line):
            document: dict[str, object] = {
                "timestamp": moment,
                "level": said.level,
                "message": said.message,
                "logger": "root",
                "requestId": self.request_id,
            }
        else:
            document = {
                "timestamp": moment,
                "log_level": "ERROR",
                "errorMessage": said.message,
                "errorType": said.error,
                "requestId": self.request_id if isinstance(said, Raised) else "",
                "stackTrace": list(said.trace),
            }
        return json.dumps(document)


def _platform(kind: str, moment: str, record: dict[str, object]) -> str:
    return json.dumps({"time": moment, "type": f"platform.{kind}", "record": record})


# Other runtimes write their own words.


def node_error(request_id: str, at: datetime, error: str, message: str) -> str:
    """What Node.js's runtime logs of an error that a handler let go."""
    document = {
        "errorType": error,
        "errorMessage": message,
        "name": error,
        "$fault": "client",
        "$metadata": {"httpStatusCode": 400, "requestId": request_id, "attempts": 1, "totalRetryDelay": 0},
        "__type": error,
        "stack": [f"{error}: {message}", "    at de_CommandError (/var/runtime/node_modules/@aws-sdk/index.js:2:3)"],
    }
    return f"{at:%Y-%m-%dT%H:%M:%S}.456Z\t{request_id}\tERROR\tInvoke Error \t{json.dumps(document)}\n"


def node_init_error(at: datetime, message: str) -> str:
    """What Node.js's runtime logs of a module that it cannot load."""
    document = {
        "errorType": "Runtime.ImportModuleError",
        "errorMessage": message,
        "stack": [
            f"Runtime.ImportModuleError: {message}",
            "    at _loadUserApp (file:///var/runtime/index.mjs:1087:17)",
        ],
    }
    return f"{at:%Y-%m-%dT%H:%M:%S}.456Z\tundefined\tERROR\tUncaught Exception \t{json.dumps(document)}\n"


def java_error(message: str, exception: str) -> str:
    """What Java's runtime logs of an exception."""
    trace = "\n".join(
        f"\tat {where}"
        for where in (
            "software.amazon.awssdk.core.internal.http.CombinedResponseHandler.handleErrorResponse(CombinedResponseHandler.java:125)",
            "com.example.rotation.Handler.createSecret(Handler.java:58)",
        )
    )
    return f"{message}: {exception}\n{exception}: {message}\n{trace}\n\n"
