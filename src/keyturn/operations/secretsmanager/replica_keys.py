"""The KMS keys of a secret and its replicas: whose rights count when a value goes from the one to the other.

Secrets Manager opens the value with the primary's key and seals it under the replica's. It does so for whoever stores a
value or asks for a replica, with that caller's rights.

Source: Secrets Manager API Reference, ReplicateSecretToRegions; User Guide, "Permissions for the KMS key" and "How
Secrets Manager authorizes cross-account replication".
"""

from __future__ import annotations

from dataclasses import replace

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.crypto.envelope import sealed_under
from keyturn.errors.base import AwsError
from keyturn.errors.secretsmanager import DecryptionFailure, EncryptionFailure
from keyturn.operations.kit import Kit
from keyturn.operations.kms.default_key import default_key
from keyturn.operations.kms.on_behalf import KeyRefused, KeyUse, use_key
from keyturn.operations.kms.references import find_key, load_key
from keyturn.operations.kms.subjects import current_material, state_of
from keyturn.operations.sealing import open_value, seal_value, value_context
from keyturn.operations.secretsmanager.encryption import (
    VALIDATION,
    SealedValue,
    decrypt_value,
    decryption_error,
    encrypt_value,
    encryption_error,
    means_default,
)
from keyturn.rules.kms_keys import DEFAULT_ALIAS, check_usable
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import KmsKeyRecord
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import SecretRecord


def copy_to_replica(
    kit: Kit, transaction: Transaction, primary: SecretRecord, version: VersionRecord, replica: SecretRecord, call: Call
) -> SealedValue:
    """Return a version's value sealed for a replica, with the rights of whoever changes the primary.

    Args:
        kit: Holds the keys.
        transaction: Stores the replica's default key at its first use.
        primary: Whose version it is.
        version: One with a value.
        replica: For which it is sealed, under the replica's key.
        call: Whose rights count.

    Raises:
        AwsError: The caller may not use one of the keys, or it cannot be used.
    """
    place = Place.of(replica.arn)
    there = call._replace(place=replace(call.place, region=place.region))
    use = KeyUse.ENCRYPT if replica.is_account_replica else KeyUse.GENERATE_DATA_KEY
    plaintext = decrypt_value(kit, call, primary, version)
    version_id, kms_key_id = version.version_id, replica.kms_key_id
    return encrypt_value(kit, transaction, there, replica.arn, kms_key_id, version_id, plaintext, place=place, use=use)


def check_replica_key(kit: Kit, call: Call, replica_arn: str, kms_key_id: str) -> None:
    """Refuse a key under which a caller cannot have a secret replicated.

    Raises:
        AccessDenied: The caller may not use it.
        EncryptionFailure: There is no such key in the replica's region, or it is disabled or pending deletion.
    """
    place = Place.of(replica_arn)
    if means_default(kit, replica_arn, kms_key_id):
        return
    there = call._replace(place=replace(call.place, region=place.region))
    found = find_key(kit, place, kms_key_id)
    try:
        for use in (KeyUse.GENERATE_DATA_KEY, KeyUse.ENCRYPT):
            use_key(kit, there, use, found, value_context(replica_arn, VALIDATION))
    except KeyRefused as refused:
        raise encryption_error(refused) from refused


def check_may_replicate(kit: Kit, call: Call, primary: SecretRecord, replica: SecretRecord) -> None:
    """Refuse to replicate a secret to another account where the rights to one of the two keys are missing.

    Raises:
        AccessDenied: The caller may not use one of them.
        DecryptionFailure: The primary's key cannot be used.
        EncryptionFailure: Nor can the replica's.
    """
    context = value_context(primary.arn, VALIDATION)
    if primary.kms_key_id is not None and not means_default(kit, primary.arn, primary.kms_key_id):
        try:
            use_key(kit, call, KeyUse.DECRYPT, find_key(kit, call.place, primary.kms_key_id), context)
        except KeyRefused as refused:
            raise decryption_error(refused) from refused
    found = find_key(kit, Place.of(replica.arn), replica.kms_key_id or DEFAULT_ALIAS)
    try:
        use_key(kit, call, KeyUse.ENCRYPT, found, value_context(replica.arn, VALIDATION))
    except KeyRefused as refused:
        raise encryption_error(refused) from refused


def copy_by_itself(
    kit: Kit, transaction: Transaction, primary: SecretRecord, version: VersionRecord, replica: SecretRecord
) -> SealedValue:
    """Return a version's value sealed for a replica where nobody has a caller's rights: it is no new value.

    Raises:
        DecryptionFailure: The version's key cannot be used now.
        EncryptionFailure: Nor can the replica's.
    """
    if version.sealed is None:
        raise TypeError("a version without a value is not copied")
    if version.kms_key_id is not None:
        _check_usable(load_key(kit, sealed_under(version.sealed)), DecryptionFailure)
    plaintext = open_value(kit, primary.arn, version.version_id, version.sealed)
    place, kms_key_id = Place.of(replica.arn), replica.kms_key_id
    if kms_key_id is None or means_default(kit, replica.arn, kms_key_id):
        key, key_arn = default_key(kit, transaction, place, kit.clock.now()), None
    else:
        key = _check_usable(find_key(kit, place, kms_key_id).record, EncryptionFailure)
        key_arn = key.arn
    sealed = seal_value(kit, current_material(key), replica.arn, version.version_id, plaintext.reveal())
    return SealedValue(sealed, key_arn)


def _check_usable(key: KmsKeyRecord | None, failure: type[AwsError]) -> KmsKeyRecord:
    if key is None:
        raise failure("The KMS key does not exist.")
    try:
        check_usable(key.arn, state_of(key))
    except AwsError as error:
        raise failure(error.message) from error
    return key
