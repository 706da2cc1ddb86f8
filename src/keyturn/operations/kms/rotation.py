"""Rotation of key material: new material encrypts from now on, and all there was before decrypts for ever.

A rotation is one transaction, and is over when the call is answered.

Source: AWS KMS Developer Guide, "Rotate AWS KMS keys" and "Key states of AWS KMS keys"; that ``KeyId`` is an ARN in all
answers from localstack's recordings of 2025 and from steampipe's plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keyturn.call import Call
from keyturn.crypto.keyring import MaterialId
from keyturn.operations.audit_trail import key_rotation_event
from keyturn.operations.kit import Kit
from keyturn.operations.kms.locking import lock_key
from keyturn.operations.kms.pages import page_of
from keyturn.operations.kms.subjects import key_itself, own_key, state_of
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.rules.kms_keys import KeyState, check_usable
from keyturn.rules.kms_rotation import PERIOD_DAYS, check_on_demand, key_material_id, next_rotation
from keyturn.storage import kms_keys
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import KmsKeyRecord, MaterialRecord, RotationType
from keyturn.wire.types.kms import (
    DisableKeyRotationRequest,
    DisableKeyRotationResponse,
    EnableKeyRotationRequest,
    EnableKeyRotationResponse,
    GetKeyRotationStatusRequest,
    GetKeyRotationStatusResponse,
    ListKeyRotationsRequest,
    ListKeyRotationsResponse,
    RotateKeyOnDemandRequest,
    RotateKeyOnDemandResponse,
    RotationsListEntry,
)

_PAGE_SIZE = 100
_ROTATIONS_ONLY, _ALL = "ROTATIONS_ONLY", "ALL_KEY_MATERIAL"


def rotate(kit: Kit, transaction: Transaction, key: KmsKeyRecord, rotation_type: RotationType, at: datetime) -> None:
    """Give a locked key new material.

    Args:
        kit: Makes it.
        transaction: In which the key was locked.
        key: As it is.
        rotation_type: Why; a rotation on demand leaves the plan as it is.
        at: Aware UTC.

    Raises:
        StorageError: The database failed.
    """
    number = key.material_number + 1
    wrapped = kit.keyring.new_material(MaterialId(key.key_id, number)).wrapped
    next_rotation_at = key.next_rotation_at
    if rotation_type is RotationType.AUTOMATIC and key.rotation_period_days is not None:
        next_rotation_at = next_rotation(at, key.rotation_period_days)
    material = MaterialRecord(key.key_id, number, wrapped, at, rotation_type)
    kms_keys.rotate_key(transaction, key, material, next_rotation_at)
    # Before the commit: a server that dies between the two tells it again, and never not at all.
    key_rotation_event(
        kit,
        key.arn,
        rotation_type.value,
        previous=key_material_id(key.key_id, key.material_number),
        current=key_material_id(key.key_id, number),
        at=at,
    )


def _period(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    days = request.get("RotationPeriodInDays", PERIOD_DAYS)
    return own_key(kit, call, request, {"kms:rotationperiodindays": (str(days),)})


@operation("kms", "EnableKeyRotation", subject=_period)
def enable_key_rotation(
    kit: Kit, call: Call, request: EnableKeyRotationRequest, record: KmsKeyRecord
) -> EnableKeyRotationResponse:
    """Let a key be rotated by itself, the first time when a period from now is over."""
    days = request.get("RotationPeriodInDays", PERIOD_DAYS)
    with kit.state.write() as transaction:
        current = _lock_usable(transaction, record)
        # Who says the same again must not put the rotation off.
        if current.rotation_period_days != days:
            planned = next_rotation(call.at, days)
            kms_keys.update_key(transaction, current, rotation_period_days=days, next_rotation_at=planned)
    return {}


@operation("kms", "DisableKeyRotation", subject=own_key)
def disable_key_rotation(
    kit: Kit, _call: Call, _request: DisableKeyRotationRequest, record: KmsKeyRecord
) -> DisableKeyRotationResponse:
    """Let a key be rotated on demand only."""
    with kit.state.write() as transaction:
        current = _lock_usable(transaction, record)
        kms_keys.update_key(transaction, current, rotation_period_days=None, next_rotation_at=None)
    return {}


@operation("kms", "GetKeyRotationStatus", subject=key_itself)
def get_key_rotation_status(
    _kit: Kit, _call: Call, _request: GetKeyRotationStatusRequest, record: KmsKeyRecord
) -> GetKeyRotationStatusResponse:
    """Say whether and when a key is rotated by itself."""
    response: GetKeyRotationStatusResponse = {"KeyId": record.arn, "KeyRotationEnabled": False}
    days, planned = record.rotation_period_days, record.next_rotation_at
    if days is not None and planned is not None and state_of(record) is not KeyState.PENDING_DELETION:
        response["KeyRotationEnabled"] = True
        response["RotationPeriodInDays"] = days
        response["NextRotationDate"] = planned
    return response


@operation("kms", "RotateKeyOnDemand", subject=own_key)
def rotate_key_on_demand(
    kit: Kit, call: Call, _request: RotateKeyOnDemandRequest, record: KmsKeyRecord
) -> RotateKeyOnDemandResponse:
    """Rotate a key now, whatever is planned."""
    with kit.state.write() as transaction:
        current = _lock_usable(transaction, record)
        rotations = kms_keys.count_rotations_on_demand(transaction.connection, current.key_id)
        check_on_demand(current.arn, rotations, current.next_rotation_at, call.at)
        rotate(kit, transaction, current, RotationType.ON_DEMAND, call.at)
    return {"KeyId": record.arn}


@operation("kms", "ListKeyRotations", subject=own_key)
def list_key_rotations(
    kit: Kit, call: Call, request: ListKeyRotationsRequest, record: KmsKeyRecord
) -> ListKeyRotationsResponse:
    """List a key's rotations, oldest first, with or without the material it was made with."""
    shown = request.get("IncludeKeyMaterial", _ROTATIONS_ONLY)
    with kit.state.read() as connection:
        materials = kms_keys.list_materials(connection, record.key_id)
    if shown != _ALL:
        materials = [material for material in materials if material.rotated_at is not None]
    listing = f"kms:ListKeyRotations {record.arn} {shown}"
    page = page_of(kit, call, listing, request, materials, lambda material: f"{material.number:010}", _PAGE_SIZE)
    newest = max((material.number for material in materials), default=0)
    response: ListKeyRotationsResponse = {
        "Rotations": [_entry(record.arn, material, newest) for material in page.items],
        "Truncated": page.is_truncated,
    }
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


def _lock_usable(transaction: Transaction, record: KmsKeyRecord) -> KmsKeyRecord:
    current = lock_key(transaction, record)
    check_usable(current.arn, state_of(current))
    return current


def _entry(arn: str, material: MaterialRecord, newest: int) -> RotationsListEntry:
    entry: RotationsListEntry = {
        "KeyId": arn,
        "KeyMaterialId": key_material_id(material.key_id, material.number),
        "KeyMaterialState": "CURRENT" if material.number == newest else "NON_CURRENT",
    }
    if material.rotated_at is not None and material.rotation_type is not None:
        entry["RotationDate"] = material.rotated_at
        entry["RotationType"] = material.rotation_type.value
    return entry
