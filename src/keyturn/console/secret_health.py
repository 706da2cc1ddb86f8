"""How a secret's rotation stands, in a word: from what is planned, and from what the last pre-flight found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keyturn.client.planned import SeenBefore
from keyturn.client.rotation_cause import cause_in_words, preflight_cause_in_words


@dataclass(frozen=True, slots=True)
class Health:
    """A verdict.

    Attributes:
        word: For people.
        kind: Of the badge: ``good``, ``warn``, ``bad`` or none.
        leads_to: The page of the secret that says more.
        causes: Why, in words.
    """

    word: str
    kind: str
    leads_to: str = "secret/doctor"
    causes: tuple[str, ...] = ()


def health_of(plan: Mapping[str, Any]) -> Health | None:
    """Return how it stands with a secret, of which ListPlannedRotations says this; None if nobody has looked yet."""
    state, verdict, drifts = plan.get("State"), plan.get("Verdict"), plan.get("Heartbeat") == "drift"
    failed = (cause_in_words(str(plan["Cause"]), plan.get("RefusedAction", "")),) if plan.get("Cause") else ()
    found = tuple(map(preflight_cause_in_words, plan.get("PreflightCauses", ())))
    if state in ("parked", "failed"):
        return Health("rotation failed", "bad", causes=failed)
    seen = SeenBefore.of(plan)
    is_overtaken = seen is not None and seen.is_overtaken
    if verdict == "will fail" and not is_overtaken:
        return Health("will fail", "bad", causes=found)
    if drifts and not is_overtaken:
        return Health("drift", "bad", causes=found)
    if state in ("pending", "running") and failed:
        # Whatever was expected: the last attempt says otherwise.
        return Health("tries again", "warn", "secret/rotation", failed)
    if is_overtaken:
        # The next pre-flight is soon.
        return Health("looked at soon", "")
    if verdict == "ready":
        return Health("ready", "good")
    return Health("unknown", "warn", causes=found) if verdict else None
