"""A call that the policies do not allow, with what decided it."""

from __future__ import annotations

from keyturn.errors.common import AccessDenied
from keyturn.rules.policy.evaluate import Decision


class Refused(AccessDenied):
    """The policies do not allow the call.

    Args:
        message: What the caller is told.
        decision: Which of the policies decided, for the audit event.
        encoded_message: Why, sealed for those who may know (``authorization_messages.py``).
    """

    def __init__(self, message: str, decision: Decision, encoded_message: str) -> None:
        super().__init__(message)
        self.decision = decision
        self.encoded_message = encoded_message
