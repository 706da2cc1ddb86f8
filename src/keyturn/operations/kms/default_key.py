"""The default key of Secrets Manager, ``aws/secretsmanager``: one in each account and region, made at first use."""

from __future__ import annotations

from datetime import datetime

from keyturn import ids
from keyturn.arn import Place
from keyturn.crypto.keyring import MaterialId
from keyturn.operations.kit import Kit
from keyturn.operations.kms.references import find_key, new_alias
from keyturn.rules.kms_keys import DEFAULT_ALIAS, DEFAULT_DESCRIPTION, managed_key_policy
from keyturn.rules.kms_rotation import PERIOD_DAYS, next_rotation
from keyturn.storage import kms_keys
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import KeyManager, KmsKeyRecord


def find_default_key(kit: Kit, place: Place) -> KmsKeyRecord | None:
    """Return the default key of a place, or None before its first use."""
    return find_key(kit, place, DEFAULT_ALIAS).record


def default_key(kit: Kit, transaction: Transaction, place: Place, at: datetime) -> KmsKeyRecord:
    """Return the default key of a place; if it is made here, it can be used at once and stays if the rest does."""
    kept = find_default_key(kit, place)
    if kept is not None:
        return kept
    stored = _stored(transaction, place)
    if stored is not None:
        return stored
    return _make(kit, transaction, place, at)


def is_default_key(record: KmsKeyRecord, place: Place) -> bool:
    """Whether a key is the default one of a place."""
    return record.manager is KeyManager.AWS and Place.of(record.arn) == place


def _make(kit: Kit, transaction: Transaction, place: Place, at: datetime) -> KmsKeyRecord:
    material = kit.keyring.new_material(MaterialId(ids.new_key_id()))
    key_id = material.material_id.key_id
    record = KmsKeyRecord(
        key_id=key_id,
        account_id=place.account_id,
        region=place.region,
        arn=place.kms_key_arn(key_id),
        manager=KeyManager.AWS,
        description=DEFAULT_DESCRIPTION,
        policy=managed_key_policy(place),
        tags=None,
        enabled=True,
        deletion_at=None,
        created_at=at,
        # As AWS rotates the keys of its services; nobody can change it.
        rotation_period_days=PERIOD_DAYS,
        next_rotation_at=next_rotation(at, PERIOD_DAYS),
        aliases=(DEFAULT_ALIAS,),
    )
    kms_keys.insert_key(transaction, record, material.wrapped)
    alias = new_alias(place, DEFAULT_ALIAS, record.key_id, at)
    if not kms_keys.insert_alias(transaction, alias):
        # Another server was first; its transaction has just committed.
        kms_keys.delete_key(transaction, record)
        stored = _stored(transaction, place)
        if stored is None:
            raise LookupError(DEFAULT_ALIAS)
        return stored
    kit.keyring.hold(material)
    return record


def _stored(transaction: Transaction, place: Place) -> KmsKeyRecord | None:
    """Return the default key as this transaction sees it, which may have made it a moment ago."""
    alias = kms_keys.load_alias(transaction.connection, place.kms_alias_arn(DEFAULT_ALIAS))
    return None if alias is None else kms_keys.load_key(transaction.connection, alias.key_id)
