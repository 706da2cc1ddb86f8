"""KMS keys: what their state allows, how long they wait for their end, names of aliases, policies they begin with.

Source: AWS KMS Developer Guide, "Key states of AWS KMS keys" (texts included), "Default key policy", "Create aliases";
AWS Secrets Manager User Guide, "Key policy of the AWS managed key". Other texts as recorded by localstack and moto.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from keyturn.arn import Place
from keyturn.errors.common import ValidationFailed
from keyturn.errors.kms import DisabledException, KMSInvalidStateException, NotAuthorizedException

DEFAULT_ALIAS = "alias/aws/secretsmanager"
"""The default key of Secrets Manager, in every account and region."""

DEFAULT_DESCRIPTION = "Default key that protects my Secrets Manager data when no other key is defined"

DELETION_WINDOW_DAYS = 30
"""How long a key waits for its end unless somebody says otherwise."""

_ALIAS_PREFIX = "alias/"
_RESERVED_PREFIX = "alias/aws/"
_ALIAS = re.compile(r"alias/[A-Za-z0-9/_-]+")
_WINDOW_DAYS = range(7, 31)
_DATA_KEY_BYTES = {"AES_128": 16, "AES_256": 32}


class KeyState(StrEnum):
    """What can be done with a key."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"
    PENDING_DELETION = "PendingDeletion"


def key_state(*, enabled: bool, deletion_at: datetime | None) -> KeyState:
    """Return the state of a key."""
    if deletion_at is not None:
        return KeyState.PENDING_DELETION
    return KeyState.ENABLED if enabled else KeyState.DISABLED


def check_usable(arn: str, state: KeyState) -> None:
    """Check that a key can encrypt and decrypt.

    Raises:
        DisabledException: It is disabled.
        KMSInvalidStateException: It is pending deletion.
    """
    check_not_pending_deletion(arn, state)
    if state is KeyState.DISABLED:
        raise DisabledException(f"{arn} is disabled.")


def check_not_pending_deletion(arn: str, state: KeyState) -> None:
    """Check that a key can be changed.

    Raises:
        KMSInvalidStateException: It is pending deletion.
    """
    if state is KeyState.PENDING_DELETION:
        raise KMSInvalidStateException(f"{arn} is pending deletion.")


def check_pending_deletion(arn: str, state: KeyState) -> None:
    """Check that there is a deletion to cancel.

    Raises:
        KMSInvalidStateException: The key is not pending deletion.
    """
    if state is not KeyState.PENDING_DELETION:
        raise KMSInvalidStateException(f"{arn} is not pending deletion.")


def deletion_window(days: int) -> timedelta:
    """Return how long a key waits for its end.

    Raises:
        ValidationFailed: Not 7 to 30 days.
    """
    if days not in _WINDOW_DAYS:
        raise ValidationFailed("PendingWindowInDays must be between 7 and 30")
    return timedelta(days=days)


def check_alias(alias: str) -> None:
    """Check that a text is the name of an alias.

    Raises:
        ValidationFailed: It is not.
    """
    if not alias.startswith(_ALIAS_PREFIX):
        raise ValidationFailed(
            'Alias must start with the prefix "alias/". Please see'
            " https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
        )
    if not _ALIAS.fullmatch(alias):
        raise ValidationFailed(f"{alias} contains invalid characters for an alias")


def check_alias_of_customer(alias: str) -> None:
    """Check that customers may give and take away an alias of this name.

    Raises:
        NotAuthorizedException: It belongs to a service.
    """
    if alias.startswith(_RESERVED_PREFIX):
        raise NotAuthorizedException


def data_key_bytes(key_spec: str | None, number_of_bytes: int | None) -> int:
    """Return how long a data key is to be.

    Raises:
        ValidationFailed: Its length is given twice or not at all.
    """
    if (key_spec is None) is (number_of_bytes is None):
        raise ValidationFailed("Please specify either number of bytes or key spec.")
    return number_of_bytes if key_spec is None else _DATA_KEY_BYTES[key_spec]  # type: ignore[return-value]  # one is given


def default_key_policy(place: Place) -> str:
    """Return the policy of a key that was made without one: the account's identity-based policies decide."""
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": place.root_arn()},
        "Action": "kms:*",
        "Resource": "*",
    }
    return _text("key-default-1", [statement])


def managed_key_policy(place: Place) -> str:
    """Return the policy of a default key: its account's principals use it through Secrets Manager, never directly."""
    sid = (
        "Allow access through AWS Secrets Manager for all principals in the account that are authorized to use AWS"
        " Secrets Manager"
    )
    caller = {"kms:CallerAccount": place.account_id}
    everybody = {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": "*"}}
    statements: list[dict[str, object]] = [
        {
            **everybody,
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:CreateGrant", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"StringEquals": {**caller, "kms:ViaService": via_service(place.region)}},
        },
        {
            **everybody,
            "Action": "kms:GenerateDataKey*",
            "Resource": "*",
            "Condition": {"StringEquals": caller, "StringLike": {"kms:ViaService": via_service("*")}},
        },
        {
            "Sid": "Allow direct access to key metadata to the account",
            "Effect": "Allow",
            "Principal": {"AWS": place.root_arn()},
            "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
            "Resource": "*",
        },
    ]
    return _text("auto-secretsmanager-2", statements)


def via_service(region: str) -> str:
    """Return what ``kms:ViaService`` is while Secrets Manager uses a key for somebody."""
    return f"secretsmanager.{region}.amazonaws.com"


def _text(policy_id: str, statements: Sequence[Mapping[str, object]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Id": policy_id, "Statement": statements}, indent=2)
