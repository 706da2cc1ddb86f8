"""Secret values under their KMS keys, with the rights of whoever writes or reads them.

Under the default key a caller of the secret's own account needs no leave of KMS, because the key's policy gives it to
all of them; only a Deny counts. Those uses are not recorded in the audit trail. Under a customer managed key KMS is
asked for each use, and each is recorded.

A secret keeps KmsKeyId as it was sent, the default key's alias too, and a version the ARN of its key (both as recorded
by Cloud Custodian, 2023 and 2025). An id or alias without account means the account of whoever writes.

Source: AWS Secrets Manager User Guide, "Secret encryption and decryption in AWS Secrets Manager". Texts: of a disabled
key from "Closing an AWS GovCloud (US) account", the others from the issues of Terraform's AWS provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.crypto.envelope import sealed_under, with_wrapped_key, wrapped_key_of
from keyturn.crypto.keyring import key_id_of
from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied
from keyturn.errors.kms import InvalidArnException, NotFoundException
from keyturn.errors.secretsmanager import (
    DecryptionFailure,
    EncryptionFailure,
    InvalidParameterException,
    InvalidRequestException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.kms.cryptography import found_by_key_id
from keyturn.operations.kms.default_key import default_key, is_default_key
from keyturn.operations.kms.on_behalf import KeyRefused, KeyUse, is_denied, use_key
from keyturn.operations.kms.references import FoundKey, find_key, load_key
from keyturn.operations.kms.subjects import current_material, state_of
from keyturn.operations.refusal import Refused
from keyturn.operations.sealing import open_value, seal_value, value_context
from keyturn.rules.kms_keys import DEFAULT_ALIAS, KeyState
from keyturn.rules.staging import AWSCURRENT, AWSPENDING, AWSPREVIOUS
from keyturn.sensitive import Sensitive
from keyturn.storage import secret_versions, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import KmsKeyRecord
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import SecretRecord

NO_ACCESS = "Access to KMS is not allowed"
FOREIGN = (
    "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key."
)
_SHOWN_DEFAULT = "DefaultEncryptionKey"
# Stands for the version in the calls by which Secrets Manager finds out whether a caller may use a key.
VALIDATION = "RequestToValidateKeyAccess"
_REWRAPPED = (AWSCURRENT, AWSPREVIOUS, AWSPENDING)


@dataclass(frozen=True, slots=True)
class ChosenKey:
    """The key that a secret is to have.

    Attributes:
        kms_key_id: What the secret keeps of it; None for the default key if it was not named.
        record: The key as it is now.
        is_default: Whether it is the default key of where the secret is.
    """

    kms_key_id: str | None
    record: KmsKeyRecord
    is_default: bool


class SealedValue(NamedTuple):
    """A sealed value, and the ARN of the customer managed key that it is under; None for the default key."""

    sealed: bytes
    kms_key_id: str | None


def decrypt_value(kit: Kit, call: Call, secret: SecretRecord, version: VersionRecord) -> Sensitive[bytes]:
    """Open the value of a version for a caller.

    Raises:
        InvalidRequestException: The caller is of another account, and the value is under the default key.
        AccessDenied: The caller may not use the key.
        DecryptionFailure: The key is disabled or pending deletion.
    """
    sealed = version.sealed
    if sealed is None:
        raise TypeError("a version without a value is not read")
    if version.kms_key_id is not None:
        return _open_with_leave(kit, call, secret.arn, version.version_id, _wrappings(version))
    if secret.account_id != call.principal.account_id:
        raise InvalidRequestException(FOREIGN)
    if kit.authorise.may_deny(call):
        context = value_context(secret.arn, version.version_id)
        _check_not_denied(kit, call, KeyUse.DECRYPT, load_key(kit, sealed_under(sealed)), context)
    return open_value(kit, secret.arn, version.version_id, sealed)


def encrypt_value(
    kit: Kit,
    transaction: Transaction,
    call: Call,
    secret_arn: str,
    kms_key_id: str | None,
    version_id: str,
    plaintext: Sensitive[bytes],
    *,
    place: Place | None = None,
    use: KeyUse = KeyUse.GENERATE_DATA_KEY,
) -> SealedValue:
    """Seal a value for a caller.

    Args:
        kit: Holds the keys.
        transaction: Stores the default key at its first use.
        call: Who writes.
        secret_arn: The secret.
        kms_key_id: What the secret keeps as its key.
        version_id: Which version the value is of.
        plaintext: The value.
        place: Where a key without account is; None for the caller's.
        use: What of the key the caller must be allowed.

    Raises:
        InvalidRequestException: The caller is of another account, the key is the default one.
        AccessDenied: The caller may not use the key.
        EncryptionFailure: There is no such key, or it is disabled or pending deletion.
    """
    context = value_context(secret_arn, version_id)
    if kms_key_id is None or means_default(kit, secret_arn, kms_key_id):
        key, key_arn = _default_key(kit, transaction, call, secret_arn, context, use), None
    else:
        try:
            key = use_key(kit, call, use, find_key(kit, place or call.place, kms_key_id), context)
        except KeyRefused as refused:
            raise encryption_error(refused) from refused
        key_arn = key.arn
    return SealedValue(seal_value(kit, current_material(key), secret_arn, version_id, plaintext.reveal()), key_arn)


def choose_key(kit: Kit, transaction: Transaction, call: Call, secret_arn: str, asked: str) -> ChosenKey:
    """Return the key that a KmsKeyId means, once it is certain that the caller may use it.

    Args:
        kit: Holds the keys.
        transaction: Stores the default key at its first use.
        call: Who creates or changes the secret.
        secret_arn: The secret.
        asked: KmsKeyId as sent; empty for the default key.

    Raises:
        InvalidParameterException: There is no such key.
        InvalidRequestException: The default key, and the caller is of another account.
        AccessDenied: The caller may not use the key.
        EncryptionFailure: The key is disabled or pending deletion.
    """
    context = value_context(secret_arn, VALIDATION)
    if not asked or means_default(kit, secret_arn, asked):
        key = _default_key(kit, transaction, call, secret_arn, context, KeyUse.GENERATE_DATA_KEY, KeyUse.DECRYPT)
        return ChosenKey(asked or None, key, is_default=True)
    found = find_key(kit, call.place, asked)
    try:
        use_key(kit, call, KeyUse.GENERATE_DATA_KEY, found, context)
        return ChosenKey(asked, use_key(kit, call, KeyUse.DECRYPT, found, context), is_default=False)
    except KeyRefused as refused:
        if isinstance(refused.error, NotFoundException | InvalidArnException):
            raise InvalidParameterException(
                f"The operation failed because of an invalid KMS key: {refused.error.message}"
            ) from refused
        raise encryption_error(refused) from refused


def change_key(kit: Kit, transaction: Transaction, call: Call, secret: SecretRecord, asked: str) -> SecretRecord:
    """Give a secret another key and return it so; its labelled values stay readable with the previous one too.

    Args:
        kit: Holds the keys.
        transaction: In which ``secret`` was locked.
        call: Who changes the secret.
        secret: As it is.
        asked: KmsKeyId as sent; empty for the default key.

    Raises:
        AwsError: As :func:`choose_key`.
    """
    chosen = choose_key(kit, transaction, call, secret.arn, asked)
    secrets.update_secret(transaction, secret, kms_key_id=chosen.kms_key_id, last_changed_at=call.at)
    for version_id in sorted({secret.labels[label] for label in _REWRAPPED if label in secret.labels}):
        version = secret.versions[version_id]
        if version.sealed is not None:
            _rewrap(kit, transaction, call, secret, version, chosen)
    return replace(secret, kms_key_id=chosen.kms_key_id)


def copy_value(kit: Kit, secret_arn: str, version: VersionRecord, version_id: str) -> bytes | None:
    """Return a version's value sealed for another version of the secret, under the key it has.

    RotateSecret gives nobody anything new to read, so nobody's leave is asked; AWS does not call KMS for it either.

    Returns:
        None if the key cannot be used now, or there is no value.
    """
    if version.sealed is None:
        return None
    key = load_key(kit, sealed_under(version.sealed))
    if key is None or state_of(key) is not KeyState.ENABLED:
        return None
    plaintext = open_value(kit, secret_arn, version.version_id, version.sealed)
    return seal_value(kit, current_material(key), secret_arn, version_id, plaintext.reveal())


def shown_key_ids(kit: Kit, version: VersionRecord) -> list[str]:
    """Return the KmsKeyIds of a version: its key, then the one from before the secret's key was changed."""
    shown = [version.kms_key_id or _SHOWN_DEFAULT]
    if version.former_wrapped is not None:
        former = load_key(kit, key_id_of(version.former_wrapped))
        if former is not None:
            shown.append(_SHOWN_DEFAULT if is_default_key(former, Place.of(former.arn)) else former.arn)
    return shown


def requested_key_arn(kit: Kit, place: Place, asked: str) -> str | None:
    """Return the ARN of the key that a KmsKeyId means, for policies; None if there is none (yet)."""
    record = find_key(kit, place, asked or DEFAULT_ALIAS).record
    return None if record is None else record.arn


def _open_with_leave(
    kit: Kit, call: Call, secret_arn: str, version_id: str, wrappings: Iterator[bytes]
) -> Sensitive[bytes]:
    """Open a value with the first of its keys that the caller may use; refusals tell about the newest."""
    context = value_context(secret_arn, version_id)
    first: KeyRefused | None = None
    for sealed in wrappings:
        try:
            use_key(kit, call, KeyUse.DECRYPT, found_by_key_id(kit, call, sealed_under(sealed)), context)
        except KeyRefused as refused:
            first = first or refused
        else:
            return kit.envelope.open(sealed, context=context)
    if first is None:
        raise TypeError("a value is wrapped by one key at least")
    raise decryption_error(first) from first


def _wrappings(version: VersionRecord) -> Iterator[bytes]:
    if version.sealed is not None:
        yield version.sealed
        if version.former_wrapped is not None:
            yield with_wrapped_key(version.sealed, version.former_wrapped)


def _rewrap(
    kit: Kit, transaction: Transaction, call: Call, secret: SecretRecord, version: VersionRecord, chosen: ChosenKey
) -> None:
    """Wrap the data key of a version with the new key as well, if the caller may use both."""
    sealed = version.sealed
    if sealed is None or sealed_under(sealed) == chosen.record.key_id:
        return
    context = value_context(secret.arn, version.version_id)
    old, new = found_by_key_id(kit, call, sealed_under(sealed)), FoundKey(chosen.record.arn, chosen.record)
    was_default = version.kms_key_id is None
    try:
        for use, found, is_default in ((KeyUse.DECRYPT, old, was_default), (KeyUse.ENCRYPT, new, chosen.is_default)):
            if is_default:
                _check_default(kit, call, use, found.record, secret.arn, context)
            else:
                use_key(kit, call, use, found, context)
    except (KeyRefused, AwsError):
        # As AWS documents it: without leave on both keys the version stays as it is, and the call succeeds.
        return
    rewrapped = replace(
        version,
        sealed=kit.envelope.rewrap(sealed, material_id=current_material(chosen.record), context=context),
        kms_key_id=None if chosen.is_default else chosen.record.arn,
        former_wrapped=wrapped_key_of(sealed),
    )
    secret_versions.rewrap_version(transaction, secret.secret_id, version, rewrapped)


def _default_key(
    kit: Kit, transaction: Transaction, call: Call, secret_arn: str, context: Mapping[str, str], *uses: KeyUse
) -> KmsKeyRecord:
    key = default_key(kit, transaction, Place.of(secret_arn), call.at)
    for use in uses:
        _check_default(kit, call, use, key, secret_arn, context)
    return key


def _check_default(
    kit: Kit, call: Call, use: KeyUse, key: KmsKeyRecord | None, secret_arn: str, context: Mapping[str, str]
) -> None:
    if Place.of(secret_arn).account_id != call.principal.account_id:
        raise InvalidRequestException(FOREIGN)
    if kit.authorise.may_deny(call):
        _check_not_denied(kit, call, use, key, context)


def _check_not_denied(kit: Kit, call: Call, use: KeyUse, key: KmsKeyRecord | None, context: Mapping[str, str]) -> None:
    if key is not None and is_denied(kit, call, use, FoundKey(key.arn, key), context):
        raise AccessDenied(NO_ACCESS)


def means_default(kit: Kit, secret_arn: str, asked: str) -> bool:
    """Whether a KmsKeyId means the default key of where a secret is, which may not be there yet."""
    place = Place.of(secret_arn)
    if asked in (DEFAULT_ALIAS, place.kms_alias_arn(DEFAULT_ALIAS)):
        return True
    record = find_key(kit, place, asked).record
    return record is not None and is_default_key(record, place)


def encryption_error(refused: KeyRefused) -> AwsError:
    """Return what Secrets Manager says of a key that refuses to encrypt."""
    return _refusal(refused, EncryptionFailure, "encrypt")


def decryption_error(refused: KeyRefused) -> AwsError:
    """Return what Secrets Manager says of a key that refuses to decrypt."""
    return _refusal(refused, DecryptionFailure, "decrypt")


def _refusal(refused: KeyRefused, failure: type[AwsError], verb: str) -> AwsError:
    if isinstance(refused.error, Refused):
        # What KMS's policies said explains this refusal as well.
        return refused.error.told_as(NO_ACCESS)
    if isinstance(refused.error, AccessDenied):
        return AccessDenied(NO_ACCESS)
    return failure(
        f"Secrets Manager can't {verb} the secret value: {refused.error.message} (Service: AWSKMS; Status Code: 400;"
        f" Error Code: {refused.code}; Request ID: {refused.request_id}; Proxy: null)"
    )
