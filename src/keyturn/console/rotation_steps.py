"""Which invocations were steps of rotations: the audit trail's Invoke events of Secrets Manager know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from keyturn.console.visit import Visit

_MOST_PAGES: Final = 4
_SECOND: Final = timedelta(seconds=1)
# A process that has run out of time is ended before its step is recorded.
_RECORDED_WITHIN: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class RotationStep:
    """What an invocation was for.

    Attributes:
        secret_arn: Whose rotation.
        version_id: To which version.
        step: ``setSecret``, for instance.
        error: Why Secrets Manager took it for failed; empty if it did not.
    """

    secret_arn: str
    version_id: str
    step: str
    error: str = ""

    @property
    def secret_name(self) -> str:
        """The secret's name, as its ARN has it."""
        return self.secret_arn.rpartition(":secret:")[2].rpartition("-")[0] or self.secret_arn


def rotation_steps(visit: Visit, begin: datetime, end: datetime) -> Mapping[str, RotationStep]:
    """Return the steps of rotations that ended between two moments, by request id; nothing to whom it is not told."""
    found: dict[str, RotationStep] = {}
    more: dict[str, Any] = {}
    for _ in range(_MOST_PAGES):
        look = visit.look(
            "cloudtrail", "lookup_events",
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "Invoke"}],
            StartTime=begin - _SECOND, EndTime=end + _RECORDED_WITHIN, **more,
        )  # fmt: skip
        for entry in look.get("Events", ()):
            event = json.loads(entry["CloudTrailEvent"])
            data = event.get("additionalEventData") or {}
            if "Step" in data:
                found[str(event["requestID"])] = RotationStep(
                    data["SecretId"], data["ClientRequestToken"], data["Step"], str(event.get("errorMessage", ""))
                )
        if look.get("NextToken") is None:
            break
        more = {"NextToken": look["NextToken"]}
    return found
