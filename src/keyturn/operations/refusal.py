"""A call that the policies do not allow, with what decided it, and what each account concerned may know of that."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.errors.common import AccessDenied
from keyturn.rules.policy.evaluate import ON_RESOURCE, Decision


class Refused(AccessDenied):
    """The policies do not allow the call.

    Args:
        message: What the caller is told.
        decision: Which of the policies decided.
        caller_account_id: Whose principal was refused.
        owner_account_id: Whose resource it was about.
        encoded_messages: Why, sealed for each of the two accounts (``authorization_messages.py``).
    """

    def __init__(
        self,
        message: str,
        decision: Decision,
        *,
        caller_account_id: str,
        owner_account_id: str,
        encoded_messages: Mapping[str, str],
    ) -> None:
        super().__init__(message)
        self.decision = decision
        self.caller_account_id = caller_account_id
        self.owner_account_id = owner_account_id
        self.encoded_messages = encoded_messages

    def told_as(self, message: str) -> Refused:
        """Return the same refusal in other words: those of a service that asked for the caller."""
        return Refused(
            message,
            self.decision,
            caller_account_id=self.caller_account_id,
            owner_account_id=self.owner_account_id,
            encoded_messages=self.encoded_messages,
        )

    def decision_seen_by(self, account_id: str) -> Decision:
        """Return the decision as an account may know it: by name it learns of its own policies only."""
        on_resource = self.decision.policy_type in ON_RESOURCE
        whose = self.owner_account_id if on_resource else self.caller_account_id
        if account_id == whose:
            return self.decision
        return self.decision._replace(policy_name=None, statement_index=None, sid=None)
