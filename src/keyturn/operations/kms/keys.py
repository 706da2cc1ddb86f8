"""Keys: make, describe, list, enable and disable, schedule their end. Symmetric keys for encryption only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn import ids
from keyturn.call import Call
from keyturn.crypto.keyring import MaterialId
from keyturn.errors.common import ValidationFailed
from keyturn.errors.kms import LimitExceededException, UnsupportedOperationException
from keyturn.operations.kit import Kit
from keyturn.operations.kms.default_key import default_key
from keyturn.operations.kms.granted import check_grant_tokens
from keyturn.operations.kms.locking import lock_changeable, lock_key
from keyturn.operations.kms.pages import page_of
from keyturn.operations.kms.policies import bypass_keys, check_policy
from keyturn.operations.kms.references import FoundKey
from keyturn.operations.kms.subjects import (
    ENCRYPT_DECRYPT,
    SYMMETRIC_DEFAULT,
    any_key,
    every_key,
    key_subject,
    own_key,
    spec_keys,
    state_of,
)
from keyturn.operations.kms.tags import tags_with
from keyturn.operations.registry import operation
from keyturn.operations.secretsmanager.overtaken_preflight import look_at_all_of_key
from keyturn.operations.subject import Subject
from keyturn.rules.kms_keys import (
    DEFAULT_ALIAS,
    DELETION_WINDOW_DAYS,
    KeyState,
    check_pending_deletion,
    default_key_policy,
    deletion_window,
)
from keyturn.rules.kms_rotation import key_material_id
from keyturn.storage import kms_keys
from keyturn.storage.kms_keys import KeyManager, KmsKeyRecord
from keyturn.wire.types.kms import (
    CancelKeyDeletionRequest,
    CancelKeyDeletionResponse,
    CreateKeyRequest,
    CreateKeyResponse,
    DescribeKeyRequest,
    DescribeKeyResponse,
    DisableKeyRequest,
    DisableKeyResponse,
    EnableKeyRequest,
    EnableKeyResponse,
    KeyMetadata,
    ListKeysRequest,
    ListKeysResponse,
    ScheduleKeyDeletionRequest,
    ScheduleKeyDeletionResponse,
    UpdateKeyDescriptionRequest,
    UpdateKeyDescriptionResponse,
)

_PAGE_SIZE = 100
_KEYS_PER_REGION = 100_000
_OFFERED = {
    "KeySpec": SYMMETRIC_DEFAULT,
    "CustomerMasterKeySpec": SYMMETRIC_DEFAULT,
    "KeyUsage": ENCRYPT_DECRYPT,
    "Origin": "AWS_KMS",
    "MultiRegion": False,
    "CustomKeyStoreId": None,
    "XksKeyId": None,
}


def new_key(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[None]:
    """What CreateKey acts on: no key yet, so identity-based policies alone decide."""
    spec = request.get("KeySpec") or request.get("CustomerMasterKeySpec") or SYMMETRIC_DEFAULT
    usage = request.get("KeyUsage", ENCRYPT_DECRYPT)
    keys = {
        **bypass_keys(request),
        **spec_keys(spec, usage),
        "kms:keyorigin": (request.get("Origin", "AWS_KMS"),),
        "kms:multiregion": (str(request.get("MultiRegion", False)).lower(),),
    }
    return every_key(kit, call, request, keys)


@operation("kms", "CreateKey", subject=new_key)
def create_key(kit: Kit, call: Call, request: CreateKeyRequest, _subject: None) -> CreateKeyResponse:
    """Make a symmetric key."""
    _refuse_what_is_not_offered(request)
    tags = tags_with({}, request.get("Tags", ()))
    if tags:
        kit.authorise(call, "kms:TagResource", every_key(kit, call, request))
    material = kit.keyring.new_material(MaterialId(ids.new_key_id()))
    key_id = material.material_id.key_id
    place = call.place
    record = KmsKeyRecord(
        key_id=key_id,
        account_id=place.account_id,
        region=place.region,
        arn=place.kms_key_arn(key_id),
        manager=KeyManager.CUSTOMER,
        description=request.get("Description", ""),
        policy=request.get("Policy", default_key_policy(place)),
        tags=tags or None,
        enabled=True,
        deletion_at=None,
        created_at=call.at,
    )
    with kit.state.write() as transaction:
        if "Policy" in request:
            bypassed = request.get("BypassPolicyLockoutSafetyCheck", False)
            check_policy(kit, transaction, call, record, request["Policy"], bypassed=bypassed)
        count = kms_keys.count_customer_keys(transaction.connection, place)
        if count >= _KEYS_PER_REGION:
            raise LimitExceededException(f"You can't have more than {_KEYS_PER_REGION} keys in a region.")
        kms_keys.insert_key(transaction, record, material.wrapped)
    return {"KeyMetadata": _metadata(record)}


def _key_to_describe(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    """Load the key; the alias of the default key is there before the key is."""
    found = any_key(kit, call, request)
    if found.record is None and found.arn == call.place.kms_alias_arn(DEFAULT_ALIAS):
        return key_subject(call, FoundKey(found.arn))
    return found


@operation("kms", "DescribeKey", subject=_key_to_describe)
def describe_key(kit: Kit, call: Call, request: DescribeKeyRequest, record: KmsKeyRecord | None) -> DescribeKeyResponse:
    """Say everything about a key but its policy, tags and aliases."""
    check_grant_tokens(kit, request)
    if record is None:
        with kit.state.write() as transaction:
            record = default_key(kit, transaction, call.place, call.at)
    return {"KeyMetadata": _metadata(record)}


@operation("kms", "ListKeys", subject=every_key)
def list_keys(kit: Kit, call: Call, request: ListKeysRequest, _subject: None) -> ListKeysResponse:
    """List the account's keys in the region by id."""
    place = call.place
    records: list[KmsKeyRecord] = []
    # Nothing is shared between accounts but by key policies, which no listing shows.
    if "SELF" in request.get("ResourceOwners", ["SELF"]):
        with kit.state.read() as connection:
            records = kms_keys.list_keys(connection, place)
    page = page_of(kit, call, "kms:ListKeys", request, records, lambda record: record.key_id, _PAGE_SIZE)
    response: ListKeysResponse = {
        "Keys": [{"KeyId": record.key_id, "KeyArn": record.arn} for record in page.items],
        "Truncated": page.is_truncated,
    }
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


@operation("kms", "EnableKey", subject=own_key)
def enable_key(kit: Kit, call: Call, _request: EnableKeyRequest, record: KmsKeyRecord) -> EnableKeyResponse:
    """Let a key be used again."""
    _change(kit, call, record, enabled=True)
    return {}


@operation("kms", "DisableKey", subject=own_key)
def disable_key(kit: Kit, call: Call, _request: DisableKeyRequest, record: KmsKeyRecord) -> DisableKeyResponse:
    """Let a key be used no more, until it is enabled again."""
    _change(kit, call, record, enabled=False)
    return {}


@operation("kms", "UpdateKeyDescription", subject=own_key)
def update_key_description(
    kit: Kit, call: Call, request: UpdateKeyDescriptionRequest, record: KmsKeyRecord
) -> UpdateKeyDescriptionResponse:
    """Change what a key says about itself."""
    _change(kit, call, record, description=request["Description"])
    return {}


def _key_to_delete(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    days = request.get("PendingWindowInDays", DELETION_WINDOW_DAYS)
    return own_key(kit, call, request, {"kms:schedulekeydeletionpendingwindowindays": (str(days),)})


@operation("kms", "ScheduleKeyDeletion", subject=_key_to_delete)
def schedule_key_deletion(
    kit: Kit, call: Call, request: ScheduleKeyDeletionRequest, record: KmsKeyRecord
) -> ScheduleKeyDeletionResponse:
    """Let a key be used no more, and destroy it when its waiting period is over."""
    window = deletion_window(request.get("PendingWindowInDays", DELETION_WINDOW_DAYS))
    deletion_at = call.at + window
    _change(kit, call, record, enabled=False, deletion_at=deletion_at)
    return {
        "KeyId": record.arn,
        "DeletionDate": deletion_at,
        "KeyState": KeyState.PENDING_DELETION.value,
        "PendingWindowInDays": window.days,
    }


@operation("kms", "CancelKeyDeletion", subject=own_key)
def cancel_key_deletion(
    kit: Kit, _call: Call, _request: CancelKeyDeletionRequest, record: KmsKeyRecord
) -> CancelKeyDeletionResponse:
    """Take back a key's end; it stays disabled."""
    with kit.state.write() as transaction:
        current = lock_key(transaction, record)
        check_pending_deletion(current.arn, state_of(current))
        kms_keys.update_key(transaction, current, deletion_at=None)
    return {"KeyId": record.arn}


def _change(kit: Kit, call: Call, record: KmsKeyRecord, **columns: object) -> None:
    with kit.state.write() as transaction:
        kms_keys.update_key(transaction, lock_changeable(transaction, record), **columns)
        if "enabled" in columns:
            look_at_all_of_key(kit, transaction, record.arn, call.at)


def _refuse_what_is_not_offered(request: CreateKeyRequest) -> None:
    asked: Mapping[str, Any] = request
    if "KeySpec" in asked and "CustomerMasterKeySpec" in asked:
        raise ValidationFailed(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is"
            " deprecated."
        )
    for member, offered in _OFFERED.items():
        if asked.get(member, offered) != offered:
            raise UnsupportedOperationException(
                f"Keyturn does not offer this value of {member}; see docs/compatibility.md."
            )


def _metadata(record: KmsKeyRecord) -> KeyMetadata:
    state = state_of(record)
    metadata: KeyMetadata = {
        "AWSAccountId": record.account_id,
        "KeyId": record.key_id,
        "Arn": record.arn,
        "CreationDate": record.created_at,
        "Enabled": state is KeyState.ENABLED,
        "Description": record.description,
        "KeyUsage": ENCRYPT_DECRYPT,
        "KeyState": state.value,
        "Origin": "AWS_KMS",
        "KeyManager": record.manager.value,
        "CustomerMasterKeySpec": SYMMETRIC_DEFAULT,
        "KeySpec": SYMMETRIC_DEFAULT,
        "EncryptionAlgorithms": [SYMMETRIC_DEFAULT],
        "MultiRegion": False,
        "CurrentKeyMaterialId": key_material_id(record.key_id, record.material_number),
    }
    if record.deletion_at is not None:
        metadata["DeletionDate"] = record.deletion_at
    return metadata
