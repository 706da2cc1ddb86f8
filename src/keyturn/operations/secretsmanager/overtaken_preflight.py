"""What the last pre-flight has found may hold no longer: a rotation went well, the value or the function changed.

Who was told that a rotation will fail, and has mended it, learns soon that it is so. What was found to be well is not
looked at again: it would be after every rotation, of every secret. Unless somebody has made another version current,
with which nobody has logged in, or rights were given or taken: who may invoke the function, what its role may do, and
whether the key may be used, decides at once whether a rotation succeeds.
"""

from __future__ import annotations

from datetime import datetime

from keyturn.operations.kit import Kit
from keyturn.rules.preflight import soon
from keyturn.storage import functions
from keyturn.storage.attachments import PolicyUsage, load_owners
from keyturn.storage.database import Transaction
from keyturn.storage.preflights import (
    bring_any_forward,
    bring_forward,
    bring_forward_all_of_key,
    bring_forward_all_users,
    bring_forward_users,
)
from keyturn.storage.secrets import SecretRecord


def look_again_soon(kit: Kit, transaction: Transaction, secret: SecretRecord, at: datetime) -> None:
    """Have a secret looked at within the minute, unless all was well."""
    if secret.rotation_enabled:
        bring_forward(transaction, secret.secret_id, soon(at, kit.random))


def look_at_secret(kit: Kit, transaction: Transaction, secret: SecretRecord, at: datetime) -> None:
    """Have a secret looked at, if it was well, too: its value, or who may read it, has changed."""
    if secret.rotation_enabled:
        bring_any_forward(transaction, secret.secret_id, soon(at, kit.random))


def look_again_at_users(kit: Kit, transaction: Transaction, function_arn: str, at: datetime) -> None:
    """Have the secrets of a function looked at likewise, as fast as two at a time allow.

    Args:
        kit: For chance.
        transaction: In which the function changed.
        function_arn: The function's, without a qualifier.
        at: The moment of the call.
    """
    bring_forward_users(transaction, function_arn, soon(at, kit.random))


def look_at_all_users(kit: Kit, transaction: Transaction, function_arn: str, at: datetime) -> None:
    """Have the secrets of a function looked at, those that were well, too: who may invoke it has changed.

    Args:
        kit: For chance.
        transaction: In which its policy changed.
        function_arn: The function's, without a qualifier.
        at: The moment of the call.
    """
    bring_forward_all_users(transaction, function_arn, soon(at, kit.random))


def look_at_all_of_role(kit: Kit, transaction: Transaction, role_arn: str, at: datetime) -> None:
    """The same of every function that runs as a role: what the role may do has changed."""
    for function_arn in functions.list_of_role(transaction.connection, role_arn):
        look_at_all_users(kit, transaction, function_arn, at)


def look_at_all_of_policy(kit: Kit, transaction: Transaction, account_id: str, policy_arn: str, at: datetime) -> None:
    """The same of every role that has a managed policy, or is bounded by it: what it says has changed."""
    for usage in PolicyUsage:
        for owner_arn in load_owners(transaction.connection, account_id, policy_arn, usage):
            look_at_all_of_role(kit, transaction, owner_arn, at)


def look_at_all_of_key(kit: Kit, transaction: Transaction, key_arn: str, at: datetime) -> None:
    """Have the secrets with a version under a KMS key looked at: whether, or by whom, it may be used has changed."""
    bring_forward_all_of_key(transaction, key_arn, soon(at, kit.random))
