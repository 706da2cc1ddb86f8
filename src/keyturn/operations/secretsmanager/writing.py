"""Storing a value or a change of labels, shared by every operation that does: one place, one order of things."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keyturn.call import Call
from keyturn.errors.common import ValidationFailed
from keyturn.errors.secretsmanager import ResourceNotFoundException
from keyturn.operations.audit_trail import deletion_events
from keyturn.operations.kit import Kit
from keyturn.operations.sealing import forget_value
from keyturn.operations.secretsmanager.encryption import decrypt_value, encrypt_value
from keyturn.operations.secretsmanager.ended_rotation import EndedRotation, end_rotation
from keyturn.operations.secretsmanager.mirroring import mirror_value
from keyturn.operations.secretsmanager.value_source import comes_from_rotation
from keyturn.rules import staging
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.deletion import check_alive, is_over
from keyturn.rules.replication import Part, check_may_change
from keyturn.rules.staging import Change, Staging
from keyturn.rules.versions import Existing, TokenUse, use_of_token
from keyturn.sensitive import Sensitive
from keyturn.storage import secret_versions, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import SecretRecord


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
        is_new: False if the request was a repetition.
        ended: The rotation that was under way, if the value ended it.
    """

    stages: tuple[str, ...]
    is_new: bool
    ended: EndedRotation | None = None


def value_of(request: Mapping[str, Any], max_bytes: int) -> Value | None:
    """Return the value a request brings.

    Raises:
        ValidationFailed: It is longer than ``max_bytes``. The model's own limit counts characters.
    """
    for member, is_binary in (("SecretString", False), ("SecretBinary", True)):
        if member in request:
            value = request[member]
            plaintext = value if is_binary else value.encode()
            if len(plaintext) > max_bytes:
                label = member[0].lower() + member[1:]
                raise ValidationFailed(
                    f"1 validation error detected: Value at '{label}' failed to satisfy constraint: Member must have"
                    f" length less than or equal to {max_bytes}"
                )
            return Value(Sensitive(plaintext), is_binary)
    return None


def lock_alive(transaction: Transaction, arn: str, at: datetime, part: Part = Part.VALUES) -> SecretRecord:
    """Return the secret as it is now, kept from other writers until the transaction ends.

    Args:
        transaction: Which changes it.
        arn: The secret's.
        at: The moment of the call.
        part: What of it changes; a replica follows its primary in nearly everything.

    Raises:
        ResourceNotFoundException: It has just come to its end.
        InvalidRequestException: It is scheduled for deletion.
        InvalidParameterException: It is a replica.
    """
    secret = secrets.lock_secret(transaction, arn)
    if secret is None or is_over(secret.deleted_at, secret.deletion_at, at):
        raise ResourceNotFoundException
    check_alive(secret.deletion_at)
    check_may_change(secret.arn, secret.primary_arn, part)
    return secret


def staging_of(transaction: Transaction, secret: SecretRecord) -> Staging:
    """Return the state of a secret's labels and all its versions."""
    versions = secret_versions.load_version_ages(transaction.connection, secret.secret_id)
    return Staging(
        created_at={version.version_id: version.created_at for version in versions},
        labels=secret.labels,
        without_value=frozenset(version.version_id for version in versions if not version.has_value),
    )


def write_value(
    kit: Kit,
    transaction: Transaction,
    call: Call,
    secret: SecretRecord,
    token: str,
    value: Value,
    stages: Collection[str] | None,
    rotation_token: str | None = None,
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
        rotation_token: With which a rotation function proves itself.

    Raises:
        InvalidParameterException: The token is of another rotation.
        ResourceExistsException: The token is in use for another value.
        LimitExceededException: Too many labels.
        AwsError: The caller cannot use the secret's key.
    """
    at = call.at
    state = staging_of(transaction, secret)
    stored = secret_versions.load_version(transaction.connection, secret.secret_id, token)
    use = use_of_token(
        token,
        secret.arn,
        existing_version(secret, stored),
        lambda: stored is not None and is_same(kit, call, secret, stored, value),
    )
    if use is TokenUse.REPEATS:
        return Written(state.stages_of(token), is_new=False)
    from_rotation = comes_from_rotation(kit, transaction, call, secret, token, rotation_token)
    change = staging.put_version(state, token, stages, at, label_limit=kit.quotas.labels)
    sealed = encrypt_value(kit, transaction, call, secret.arn, secret.kms_key_id, token, value.plaintext)
    version = VersionRecord(
        version_id=token,
        created_at=at,
        last_accessed_at=None,
        sealed=sealed.sealed,
        is_binary=value.is_binary,
        kms_key_id=sealed.kms_key_id,
        from_rotation=from_rotation,
    )
    if use is TokenUse.FILLS:
        secret_versions.fill_version(transaction, secret.secret_id, version)
    else:
        secret_versions.insert_version(transaction, secret.secret_id, version)
    store_change(transaction, secret, change)
    _clean_up(kit, transaction, secret, staging.clean_up(change.after, at, version_limit=kit.quotas.versions), at)
    secrets.update_secret(transaction, secret, last_changed_at=at)
    ended = end_rotation(kit, transaction, secret, change, at, by_hand=not from_rotation)
    mirror_value(kit, transaction, secret.arn, call)
    return Written(change.after.stages_of(token), is_new=True, ended=ended)


def remember_token(transaction: Transaction, secret: SecretRecord, token: str, at: datetime) -> None:
    """Note the token of a CreateSecret that brings no value, so that its repetition is known for one."""
    secret_versions.insert_empty_version(transaction, secret.secret_id, token, at)


def store_change(transaction: Transaction, secret: SecretRecord, change: Change) -> None:
    """Write the labels that moved and remove the versions that are gone."""
    secrets.store_labels(transaction, secret.secret_id, change.before.labels, change.after.labels)
    secret_versions.delete_versions(transaction, secret.secret_id, change.removed_versions)
    transaction.touch(secrets.SECRET, secret.arn)


def _clean_up(kit: Kit, transaction: Transaction, secret: SecretRecord, cleaned: Change, at: datetime) -> None:
    """Remove the deprecated versions that were chosen, and tell so."""
    loaded = [
        secret_versions.load_version(transaction.connection, secret.secret_id, version_id)
        for version_id in cleaned.removed_versions
    ]
    store_change(transaction, secret, cleaned)
    removed = [version for version in loaded if version is not None and version.sealed is not None]
    for version in removed:
        forget_value(kit, secret.arn, version.version_id, version.sealed or b"", version.former_wrapped)
    deletion_events(
        kit, ServiceEventName.SECRET_VERSION_DELETION, [(secret.arn, version.version_id) for version in removed], at
    )


def existing_version(secret: SecretRecord, version: VersionRecord | None) -> Existing:
    """Say what a version is that was looked up by a client request token."""
    if version is None:
        return Existing.NOTHING
    if version.sealed is not None:
        return Existing.WITH_VALUE
    return Existing.WITHOUT_VALUE if secret.stages_of(version.version_id) else Existing.TOKEN_ONLY


def is_same(kit: Kit, call: Call, secret: SecretRecord, version: VersionRecord, value: Value) -> bool:
    """Whether a version holds this value; a string is never the same as its bytes."""
    if version.sealed is None or version.is_binary != value.is_binary:
        return False
    return decrypt_value(kit, call, secret, version) == value.plaintext
