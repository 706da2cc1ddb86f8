"""Storing a value or a change of labels, shared by every operation that does: one place, one order of things."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keyturn.call import Call
from keyturn.errors.common import ValidationFailed
from keyturn.errors.secretsmanager import ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.encryption import decrypt_value, encrypt_value
from keyturn.rules import staging
from keyturn.rules.deletion import check_alive
from keyturn.rules.staging import Change, Staging
from keyturn.rules.versions import Existing, TokenUse, use_of_token
from keyturn.sensitive import Sensitive
from keyturn.storage import rotations, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.rotations import RotationStatus
from keyturn.storage.secrets import SecretRecord, VersionRecord

_MAX_VALUE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Value:
    """A secret value; the bytes of a string are its UTF-8."""

    plaintext: Sensitive[bytes]
    is_binary: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a value.

    Attributes:
        stages: Labels on the version now.
        abandoned: The version of an unfinished rotation that this value ended, if any.
        is_new: False if the request was a repetition.
    """

    stages: tuple[str, ...]
    abandoned: str | None
    is_new: bool


def value_of(request: Mapping[str, Any]) -> Value | None:
    """Return the value a request brings.

    Raises:
        ValidationFailed: It is longer than 65,536 bytes. The model's own limit counts characters.
    """
    for member, is_binary in (("SecretString", False), ("SecretBinary", True)):
        if member in request:
            value = request[member]
            plaintext = value if is_binary else value.encode()
            if len(plaintext) > _MAX_VALUE_BYTES:
                label = member[0].lower() + member[1:]
                raise ValidationFailed(
                    f"1 validation error detected: Value at '{label}' failed to satisfy constraint: Member must have"
                    f" length less than or equal to {_MAX_VALUE_BYTES}"
                )
            return Value(Sensitive(plaintext), is_binary)
    return None


def lock_alive(transaction: Transaction, arn: str) -> SecretRecord:
    """Return the secret as it is now, kept from other writers until the transaction ends.

    Raises:
        ResourceNotFoundException: It has just been erased.
        InvalidRequestException: It is scheduled for deletion.
    """
    secret = secrets.lock_secret(transaction, arn)
    if secret is None:
        raise ResourceNotFoundException
    check_alive(secret.deletion_at)
    return secret


def staging_of(transaction: Transaction, secret: SecretRecord) -> tuple[Staging, dict[str, VersionRecord]]:
    """Return the state of a secret's labels and all its versions."""
    versions = {
        version.version_id: version for version in secrets.load_versions(transaction.connection, secret.secret_id)
    }
    created_at = {version_id: version.created_at for version_id, version in versions.items()}
    return Staging(created_at, secret.labels), versions


def write_value(
    kit: Kit,
    transaction: Transaction,
    call: Call,
    secret: SecretRecord,
    token: str,
    value: Value,
    stages: Collection[str] | None,
) -> Written:
    """Store a value under a client request token.

    Args:
        kit: For sealing.
        transaction: In which ``secret`` was locked.
        call: Who stores it.
        secret: Whose value it is.
        token: Becomes the version id.
        value: What to store.
        stages: Labels asked for; None means AWSCURRENT.

    Raises:
        ResourceExistsException: The token is in use for another value.
        LimitExceededException: Too many labels.
        AwsError: The caller cannot use the secret's key.
    """
    at = call.at
    state, versions = staging_of(transaction, secret)
    use = use_of_token(
        token, secret.arn, _existing(versions.get(token)), lambda: _is_same(kit, call, secret, versions[token], value)
    )
    if use is TokenUse.REPEATS:
        return Written(state.stages_of(token), abandoned=None, is_new=False)
    change = staging.put_version(state, token, stages, at)
    sealed = encrypt_value(kit, transaction, call, secret.arn, secret.kms_key_id, token, value.plaintext)
    version = VersionRecord(
        version_id=token,
        created_at=at,
        last_accessed_at=None,
        sealed=sealed.sealed,
        is_binary=value.is_binary,
        kms_key_id=sealed.kms_key_id,
    )
    if use is TokenUse.FILLS:
        secrets.fill_version(transaction, secret.secret_id, version)
    else:
        secrets.insert_version(transaction, secret.secret_id, version)
    store_change(transaction, secret, change)
    cleaned = staging.clean_up(change.after, at)
    store_change(transaction, secret, cleaned)
    secrets.update_secret(transaction, secret, last_changed_at=at)
    abandoned = change.abandoned_rotation
    if abandoned is not None:
        abandon(transaction, secret, versions, abandoned, at)
    return Written(change.after.stages_of(token), abandoned, is_new=True)


def store_change(transaction: Transaction, secret: SecretRecord, change: Change) -> None:
    """Write the labels that moved and remove the versions that are gone."""
    secrets.store_labels(transaction, secret.secret_id, change.before.labels, change.after.labels)
    secrets.delete_versions(transaction, secret.secret_id, change.removed_versions)
    transaction.touch(secrets.SECRET, secret.arn)


def abandon(
    transaction: Transaction, secret: SecretRecord, versions: Mapping[str, VersionRecord], version_id: str, at: datetime
) -> None:
    """End the rotation that was to finish a version; one that never got a value goes with it."""
    rotations.end_unfinished(
        transaction, secret.secret_id, RotationStatus.ABANDONED, at, "A new value was stored while it was under way."
    )
    pending = versions.get(version_id)
    if pending is not None and pending.sealed is None:
        secrets.delete_versions(transaction, secret.secret_id, [version_id])


def _existing(version: VersionRecord | None) -> Existing:
    if version is None:
        return Existing.NOTHING
    return Existing.WITHOUT_VALUE if version.sealed is None else Existing.WITH_VALUE


def _is_same(kit: Kit, call: Call, secret: SecretRecord, version: VersionRecord, value: Value) -> bool:
    if version.sealed is None or version.is_binary != value.is_binary:
        return False
    return decrypt_value(kit, call, secret, version) == value.plaintext
