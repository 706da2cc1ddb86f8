"""A call that the policies do not allow, with what decided it."""

from __future__ import annotations

from keyturn.errors.common import AccessDenied
from keyturn.rules.policy.evaluate import Decision


class Refused(AccessDenied):
    """The policies do not allow the call; ``decision`` says which of them, for the audit event."""

    def __init__(self, message: str, decision: Decision) -> None:
        super().__init__(message)
        self.decision = decision
