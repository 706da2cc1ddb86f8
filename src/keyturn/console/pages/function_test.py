"""Test: run a function with an event, and see what comes of it."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from keyturn.client.rotation_report import STEPS
from keyturn.client.shown import shown
from keyturn.clock import to_milliseconds
from keyturn.console.function_facts import FunctionFacts, function_facts, function_page, rotated_by
from keyturn.console.render import pretty_json
from keyturn.console.replies import Reply, address
from keyturn.console.routing import action
from keyturn.console.visit import Look, Visit
from keyturn.errors.base import KeyturnError

_PENDING: Final = "AWSPENDING"
_SHOWN_CHARACTERS: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Result:
    """What came of a test.

    Attributes:
        payload: What the function returned, or its error's document.
        error: Type and message of the error; empty if there is none.
        traceback: Of that error.
        log: The end of what was logged.
        jump: Where all of it is.
    """

    payload: str
    error: str
    traceback: str
    log: str
    jump: str
    version: str


def show(visit: Visit) -> Reply:
    """Show the form."""
    return _page(visit, function_facts(visit), None)


@action("function/test", shows=show)
def test(visit: Visit) -> Reply:
    """Run it once."""
    facts = function_facts(visit)
    event = visit.form.text("event").strip() or "{}"
    _check(event)
    answer = visit.clients["lambda"].invoke(**facts.named, Payload=event.encode(), LogType="Tail")
    payload = answer["Payload"].read().decode("utf-8", "replace")
    error, traceback = _error(payload) if answer.get("FunctionError") else ("", "")
    log = base64.b64decode(answer.get("LogResult", "")).decode("utf-8", "replace")
    request_id = answer["ResponseMetadata"].get("RequestId", "")
    jump = address("log", group=facts.group, request=request_id, at=to_milliseconds(visit.now))
    result = _Result(
        _harmless(pretty_json(payload))[:_SHOWN_CHARACTERS],
        error,
        traceback,
        _harmless(log),
        f"/console/{jump}",
        answer.get("ExecutedVersion", ""),
    )
    return _page(visit, facts, result)


def _only_secret(visit: Visit, facts: FunctionFacts) -> str:
    """Return the one secret that the function rotates; empty if it rotates several, or none that may be seen."""
    rotated = rotated_by(visit, facts, 2)
    entries = rotated.get("PlannedRotations", []) if rotated else []
    return str(entries[0]["Name"]) if len(entries) == 1 else ""


def _page(visit: Visit, facts: FunctionFacts, result: _Result | None) -> Reply:
    secret, step = visit.asked("secret"), visit.asked("step")
    described = visit.look("secretsmanager", "describe_secret", SecretId=secret) if secret else None
    event = visit.form.text("event") or _rotation_event(described, step) or '{\n  "key": "value"\n}'
    shown_ = {
        "steps": STEPS,
        "secret": secret or _only_secret(visit, facts),
        "step": step or STEPS[0],
        "secret_refused": described.refused if described is not None else None,
        "has_pending": bool(described) and bool(_pending(described)) if described is not None else True,
        "event": event,
        "result": result,
        "may_invoke": visit.clients.allow("lambda", "invoke", **facts.named),
    }
    return function_page(facts, "test", shown_)


def _check(event: str) -> None:
    """Refuse what is no JSON, and say where.

    Raises:
        KeyturnError: It is not.
    """
    try:
        json.loads(event)
    except json.JSONDecodeError as error:
        raise KeyturnError(
            f"The event is no JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            "Names and texts stand in double quotes, and there is no comma behind the last member.",
        ) from error
    except (RecursionError, ValueError) as error:
        raise KeyturnError("The event is nested too deeply, or has a number of thousands of digits.") from error


def _rotation_event(described: Look | None, step: str) -> str:
    """Return the event with which Secrets Manager invokes a rotation function; empty without a secret."""
    if described is None or not described:
        return ""
    token = _pending(described) or str(uuid.uuid4())
    members = {"Step": step or STEPS[0], "SecretId": described["ARN"], "ClientRequestToken": token}
    return json.dumps(members, indent=2)


def _pending(described: Look) -> str:
    stages: Mapping[str, list[str]] = described.get("VersionIdsToStages", {})
    return next((version for version, labels in stages.items() if _PENDING in labels), "")


def _error(payload: str) -> tuple[str, str]:
    """Return what an error's document says: type and message, and the traceback."""
    try:
        document: Any = json.loads(payload)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return _harmless(payload), ""
    told = ": ".join(str(document[name]) for name in ("errorType", "errorMessage") if document.get(name))
    stack = document.get("stackTrace")
    traceback = "".join(f"{str(part).rstrip()}\n" for part in stack) if isinstance(stack, list) else ""
    return _harmless(told), _harmless(traceback)


def _harmless(text: str) -> str:
    return "\n".join(shown(line.expandtabs(2)) for line in text.replace("\r", "\n").split("\n"))
