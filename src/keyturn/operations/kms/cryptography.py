"""Encrypt, Decrypt, ReEncrypt, data keys and random bytes: everything that a key is for.

A ciphertext names its key and is bound to its encryption context (``crypto/keyring.py``). AWS gives no message about a
ciphertext that does not open. Texts as recorded by localstack, 2023 to 2025; that of a foreign ciphertext from the
issues of kubernetes-external-secrets; that of a data key without length as collected by moto.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keyturn.call import Call
from keyturn.crypto.keyring import key_id_of, material_id_of
from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied, ValidationFailed
from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.errors.kms import (
    IncorrectKeyException,
    InvalidCiphertextException,
    InvalidKeyUsageException,
    UnsupportedOperationException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.kms.dry_run import check_in_earnest
from keyturn.operations.kms.granted import check_grant_tokens
from keyturn.operations.kms.references import FoundKey, find_key, load_key
from keyturn.operations.kms.subjects import (
    SYMMETRIC_DEFAULT,
    Keys,
    current_material,
    every_key,
    key_for_encryption,
    key_in_use,
    state_of,
)
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.rules.kms_keys import check_usable, data_key_bytes
from keyturn.rules.kms_rotation import key_material_id
from keyturn.sensitive import Sensitive
from keyturn.storage.kms_keys import KmsKeyRecord
from keyturn.wire.types.kms import (
    DecryptRequest,
    DecryptResponse,
    EncryptRequest,
    EncryptResponse,
    GenerateDataKeyRequest,
    GenerateDataKeyResponse,
    GenerateDataKeyWithoutPlaintextRequest,
    GenerateDataKeyWithoutPlaintextResponse,
    GenerateRandomRequest,
    GenerateRandomResponse,
    ReEncryptRequest,
    ReEncryptResponse,
)

UNKNOWN_CIPHERTEXT = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not"
    " allowed to access."
)
_NO_RECIPIENT = "Keyturn does not offer Recipient; see docs/compatibility.md."


@operation("kms", "Encrypt", subject=key_for_encryption)
def encrypt(kit: Kit, _call: Call, request: EncryptRequest, record: KmsKeyRecord) -> EncryptResponse:
    """Encrypt up to 4,096 bytes."""
    _check_request(kit, request, record, "EncryptionAlgorithm")
    check_in_earnest(request)
    material_id = current_material(record)
    ciphertext = kit.keyring.encrypt(material_id, request["Plaintext"], request.get("EncryptionContext", {}))
    return {"CiphertextBlob": ciphertext, "KeyId": record.arn, "EncryptionAlgorithm": SYMMETRIC_DEFAULT}


def _key_of_ciphertext(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    found = _found_by_ciphertext(kit, call, request, request.get("KeyId"))
    return key_in_use(kit, call, found, request.get("EncryptionContext"))


@operation("kms", "Decrypt", subject=_key_of_ciphertext)
def decrypt(kit: Kit, _call: Call, request: DecryptRequest, record: KmsKeyRecord) -> DecryptResponse:
    """Decrypt what a key has encrypted, given the same encryption context."""
    _check_request(kit, request, record, "EncryptionAlgorithm")
    plaintext = _decrypted(kit, request, request.get("EncryptionContext", {}))
    return {
        "KeyId": record.arn,
        "Plaintext": plaintext.reveal(),
        "EncryptionAlgorithm": SYMMETRIC_DEFAULT,
        "KeyMaterialId": key_material_id(*material_id_of(request["CiphertextBlob"])),
    }


@operation("kms", "GenerateDataKey", subject=key_for_encryption)
def generate_data_key(
    kit: Kit, _call: Call, request: GenerateDataKeyRequest, record: KmsKeyRecord
) -> GenerateDataKeyResponse:
    """Make a data key, in the clear and encrypted."""
    size_bytes = data_key_bytes(request.get("KeySpec"), request.get("NumberOfBytes"))
    _check_request(kit, request, record)
    check_in_earnest(request)
    context = request.get("EncryptionContext", {})
    material_id = current_material(record)
    data_key = kit.keyring.generate_data_key(material_id, context, size_bytes=size_bytes)
    return {
        "CiphertextBlob": data_key.wrapped,
        "Plaintext": data_key.plaintext.reveal(),
        "KeyId": record.arn,
        "KeyMaterialId": key_material_id(*material_id),
    }


@operation("kms", "GenerateDataKeyWithoutPlaintext", subject=key_for_encryption)
def generate_data_key_without_plaintext(
    kit: Kit, _call: Call, request: GenerateDataKeyWithoutPlaintextRequest, record: KmsKeyRecord
) -> GenerateDataKeyWithoutPlaintextResponse:
    """Make a data key that nobody sees until it is decrypted."""
    size_bytes = data_key_bytes(request.get("KeySpec"), request.get("NumberOfBytes"))
    _check_request(kit, request, record)
    check_in_earnest(request)
    context = request.get("EncryptionContext", {})
    material_id = current_material(record)
    data_key = kit.keyring.generate_data_key(material_id, context, size_bytes=size_bytes)
    return {"CiphertextBlob": data_key.wrapped, "KeyId": record.arn, "KeyMaterialId": key_material_id(*material_id)}


def _source_key(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    found = _found_by_ciphertext(kit, call, request, request.get("SourceKeyId"))
    keys = _same_key_keys(found, find_key(kit, call.place, request["DestinationKeyId"]))
    return key_in_use(kit, call, found, request.get("SourceEncryptionContext"), keys)


@operation("kms", "ReEncrypt", subject=_source_key, action="kms:ReEncryptFrom")
def re_encrypt(kit: Kit, call: Call, request: ReEncryptRequest, record: KmsKeyRecord) -> ReEncryptResponse:
    """Decrypt with one key and encrypt with another, without showing what it is."""
    context = request.get("DestinationEncryptionContext", {})
    found = find_key(kit, call.place, request["DestinationKeyId"])
    same_key = _same_key_keys(FoundKey(record.arn, record), found)
    destination = key_in_use(kit, call, found, context, same_key)
    kit.authorise(call, "kms:ReEncryptTo", destination)
    if destination.record is None:
        raise destination.missing or LookupError(destination.arn)
    check_usable(destination.arn, state_of(destination.record))
    _check_request(kit, request, record, "SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm")
    plaintext = _decrypted(kit, request, request.get("SourceEncryptionContext", {}))
    material_id = current_material(destination.record)
    return {
        "CiphertextBlob": kit.keyring.encrypt(material_id, plaintext.reveal(), context),
        "SourceKeyId": record.arn,
        "KeyId": destination.record.arn,
        "SourceEncryptionAlgorithm": SYMMETRIC_DEFAULT,
        "DestinationEncryptionAlgorithm": SYMMETRIC_DEFAULT,
        "SourceKeyMaterialId": key_material_id(*material_id_of(request["CiphertextBlob"])),
        "DestinationKeyMaterialId": key_material_id(*material_id),
    }


@operation("kms", "GenerateRandom", subject=every_key)
def generate_random(_kit: Kit, _call: Call, request: GenerateRandomRequest, _subject: None) -> GenerateRandomResponse:
    """Make random bytes; no key is used."""
    if "CustomKeyStoreId" in request:
        raise UnsupportedOperationException("Keyturn does not offer CustomKeyStoreId; see docs/compatibility.md.")
    if "Recipient" in request:
        raise ValidationFailed(_NO_RECIPIENT)
    if "NumberOfBytes" not in request:
        raise ValidationFailed("NumberOfBytes is required.")
    return {"Plaintext": os.urandom(request["NumberOfBytes"])}


def found_by_key_id(kit: Kit, call: Call, key_id: str) -> FoundKey:
    """Return the key that a ciphertext names, if it is one that can be used where the call works."""
    record = load_key(kit, key_id)
    if record is None or record.region != call.place.region:
        return FoundKey(call.place.kms_key_arn(key_id), missing=AccessDenied(UNKNOWN_CIPHERTEXT))
    return FoundKey(record.arn, record)


def _found_by_ciphertext(kit: Kit, call: Call, request: Mapping[str, Any], asked: str | None) -> FoundKey:
    """Return the key of a ciphertext, which must be the one that was asked for, if one was."""
    ciphertext = request.get("CiphertextBlob")
    named = None if asked is None else find_key(kit, call.place, asked)
    if named is not None and (named.missing is not None or _ignores_ciphertext(request)):
        return named
    if ciphertext is None:
        missing = ValidationFailed(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not"
            " be null"
        )
        return _instead(named, missing)
    try:
        key_id = key_id_of(ciphertext)
    except SealRefused:
        return _instead(named, InvalidCiphertextException())
    if named is None:
        return found_by_key_id(kit, call, key_id)
    if named.record is None or named.record.key_id != key_id:
        return replace(named, record=None, missing=IncorrectKeyException())
    return named


def _instead(named: FoundKey | None, missing: AwsError) -> FoundKey:
    return FoundKey("*", missing=missing) if named is None else replace(named, record=None, missing=missing)


def _same_key_keys(source: FoundKey, destination: FoundKey) -> Keys:
    is_same = source.record is not None and source.record == destination.record
    return {"kms:reencryptonsamekey": (str(is_same).lower(),)}


def _ignores_ciphertext(request: Mapping[str, Any]) -> bool:
    """Whether a dry run asks about rights only."""
    return bool(request.get("DryRun", False)) and "IGNORE_CIPHERTEXT" in request.get("DryRunModifiers", ())


def _decrypted(kit: Kit, request: Mapping[str, Any], context: Mapping[str, str]) -> Sensitive[bytes]:
    """Return the plaintext of the ciphertext in a request, if the request was meant in earnest.

    Raises:
        InvalidCiphertextException: It does not open, perhaps for want of the right context.
        DryRunOperationException: It would have been decrypted.
    """
    if _ignores_ciphertext(request):
        check_in_earnest(request)
    try:
        plaintext = kit.keyring.decrypt(request["CiphertextBlob"], context)
    except SealRefused as error:
        if error.fault is SealFault.WRONG_ROOT_KEY:
            raise
        raise InvalidCiphertextException from error
    check_in_earnest(request)
    return plaintext


def _check_request(kit: Kit, request: Mapping[str, Any], record: KmsKeyRecord, *algorithms: str) -> None:
    """Check what is alike in all cryptographic operations.

    Raises:
        InvalidGrantTokenException: A token is none of ours.
        InvalidKeyUsageException: An algorithm for other keys.
        ValidationFailed: The answer is to be encrypted for an enclave, which is not offered.
        DisabledException, KMSInvalidStateException: The key's state forbids it.
    """
    check_grant_tokens(kit, request)
    if "Recipient" in request:
        raise ValidationFailed(_NO_RECIPIENT)
    for member in algorithms:
        if request.get(member, SYMMETRIC_DEFAULT) != SYMMETRIC_DEFAULT:
            raise InvalidKeyUsageException(
                f"Algorithm {request[member]} is incompatible with key spec {SYMMETRIC_DEFAULT}."
            )
    check_usable(record.arn, state_of(record))
