"""CloudTrail's events about one secret, read as what happened to it.

Source: AWS Secrets Manager User Guide, "Log AWS Secrets Manager events with AWS CloudTrail": the service's own events
name the secret in ``additionalEventData`` only, so that they are looked for by their name, not by the secret's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .facts import Answer, Kind
from .model import Evidence

DENIED = frozenset({"AccessDenied", "AccessDeniedException", "Client.UnauthorizedOperation"})
_STEP = re.compile(r"during (\w+) step")
_LAMBDA_VERSION = re.compile(r"20150331(?:v\d)?$")
_FUNCTION = re.compile(r"[Ll]ambda (arn:\S+?)(?=[.,]?(?:\s|$))")


@dataclass(frozen=True, slots=True)
class TrailEvent:
    """One event.

    Attributes:
        event_id: Its id.
        name: ``RotationFailed``.
        at: When.
        secret_id: The secret it is about, as it names it: an ARN, a name, or empty.
        caller: ARN of who called; the service's name for its own events.
        error_code: Empty if it succeeded.
        error_message: Likewise.
        parameters: Of the call.
    """

    event_id: str
    name: str
    at: datetime
    secret_id: str
    caller: str
    error_code: str
    error_message: str
    parameters: Mapping[str, Any]

    @property
    def call(self) -> str:
        """What was called, without the version of Lambda's API that its events have behind the name."""
        return _LAMBDA_VERSION.sub("", self.name)

    @property
    def by_whom(self) -> str:
        """What was called, and by whom."""
        return f"{self.name} by {self.caller}"

    def evidence(self, said: str = "") -> Evidence:
        """Return it as what was seen; without words, in its own: its error, else its name."""
        return Evidence("cloudtrail:LookupEvents", self.event_id, said or self.error_message or self.name, self.at)

    @property
    def is_denied(self) -> bool:
        """Whether policies refused it."""
        return self.error_code in DENIED

    @property
    def step(self) -> str | None:
        """The step in which a rotation failed, if it tells."""
        match = _STEP.search(self.error_message)
        return match[1] if match else None

    @property
    def function_arn(self) -> str | None:
        """The function that failed, if it tells."""
        match = _FUNCTION.search(self.error_message)
        return match[1] if match else None


def events_in(answer: Answer) -> list[TrailEvent]:
    """Return the events that LookupEvents answers, oldest first; none if it may not be looked at."""
    return read_events(answer.found.get("Events", [])) if answer.kind is Kind.OK else []


def read_events(entries: Iterable[Mapping[str, Any]]) -> list[TrailEvent]:
    """Return events, oldest first; what is no JSON object is left out.

    Args:
        entries: As LookupEvents answers, the newest first. Their moments are whole seconds: within one, order decides.
    """
    found = [_read(entry) for entry in entries][::-1]
    return sorted((event for event in found if event is not None), key=lambda event: event.at)


def _read(entry: Mapping[str, Any]) -> TrailEvent | None:
    try:
        record = json.loads(entry["CloudTrailEvent"])
        at = entry.get("EventTime")
        if not isinstance(at, datetime):
            at = datetime.fromisoformat(str(record["eventTime"]))
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    parameters, more, identity = (
        _members(record.get(name)) for name in ("requestParameters", "additionalEventData", "userIdentity")
    )
    return TrailEvent(
        event_id=str(record.get("eventID", "")),
        name=str(record.get("eventName", "")),
        at=at.astimezone(UTC),
        secret_id=str(more.get("SecretId") or parameters.get("secretId") or parameters.get("arn") or ""),
        caller=str(identity.get("arn") or identity.get("invokedBy") or identity.get("userName") or ""),
        error_code=str(record.get("errorCode") or ""),
        error_message=str(record.get("errorMessage") or ""),
        parameters=parameters,
    )


def _members(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
