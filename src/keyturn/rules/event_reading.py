"""What an event of the audit trail says, for those who show it: who, what came of it, what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

# As services spell it on the wire. Sources: the service models; for EC2 "Client." as CloudTrail records it.
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Client.UnauthorizedOperation"})
"""The codes of errors that say so."""


def is_denied(event: Json) -> bool:
    """Return whether the policies did not allow the call."""
    return event.get("errorCode") in DENIED


def can_be_explained(event: Json) -> bool:
    """Return whether an event tells why its call was denied."""
    return "encodedMessage" in ((event.get("additionalEventData") or {}).get("authorization") or {})


def who(event: Json) -> str:
    """Return who called, as well as that is known: an ARN, a service, an id."""
    identity = event.get("userIdentity") or {}
    named = identity.get("arn") or identity.get("invokedBy") or identity.get("principalId") or identity.get("type")
    return str(named or "")


def outcome(event: Json) -> str:
    """Return the error's code, or whether it failed."""
    return str(event.get("errorCode") or ("failed" if event.get("errorMessage") else "ok"))


def about(event: Json) -> str:
    """Return what it is about: the ARN of a secret or of another resource; empty if it names none."""
    resources = [resource.get("ARN") for resource in event.get("resources") or []]
    return str((event.get("additionalEventData") or {}).get("SecretId") or next(filter(None, resources), ""))


def short(arn: str) -> str:
    """Return what of an ARN tells it from others of its account."""
    return arn.split(":", 5)[-1] if arn.startswith("arn:") else arn
