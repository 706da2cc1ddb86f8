"""KMS keys with their material, wrapped by the root key, and their aliases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql

from keyturn.arn import Place
from keyturn.storage import schema
from keyturn.storage.database import Transaction

KEY = "kms-key"
ALIAS = "kms-alias"

# Wrapped material begins as other wrapped material does.
_PIECE_BYTES = 32

_keys, _materials, _aliases = schema.kms_keys, schema.kms_materials, schema.kms_aliases


class KeyManager(StrEnum):
    """Who made a key and decides about it."""

    CUSTOMER = "CUSTOMER"
    AWS = "AWS"
    KEYTURN = "KEYTURN"


@dataclass(frozen=True, slots=True)
class KmsKeyRecord:
    """One key.

    Attributes:
        arn: Where it lives is part of it.
        tags: Key to value; None if it has none.
        deletion_at: When it is destroyed, if that is scheduled.
        material_number: Of its newest material, which encrypts.
        rotation_period_days: How often it gets new material by itself; None if it does not.
        next_rotation_at: When that is due.
        aliases: Names of its aliases, sorted.
        has_grants: Whether there is any grant on it: most keys have none, and nobody needs to look for them.
    """

    key_id: str
    account_id: str
    region: str
    arn: str
    manager: KeyManager
    description: str
    policy: str
    tags: Mapping[str, str] | None
    enabled: bool
    deletion_at: datetime | None
    created_at: datetime
    material_number: int = 0
    rotation_period_days: int | None = None
    next_rotation_at: datetime | None = None
    aliases: tuple[str, ...] = ()
    has_grants: bool = False


class RotationType(StrEnum):
    """Why a key got new material."""

    AUTOMATIC = "AUTOMATIC"
    ON_DEMAND = "ON_DEMAND"


@dataclass(frozen=True, slots=True)
class MaterialRecord:
    """Material of a key.

    Attributes:
        number: 0 for what the key was made with.
        wrapped: Opens only with the root key.
        rotated_at: Since when it encrypts; None for the first.
    """

    key_id: str
    number: int
    wrapped: bytes
    rotated_at: datetime | None = None
    rotation_type: RotationType | None = None


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """A name of a key, unique in its account and region; begins with ``alias/``."""

    arn: str
    account_id: str
    region: str
    alias: str
    key_id: str
    created_at: datetime
    updated_at: datetime


_BY_ID = select(_keys).where(_keys.c.key_id == bindparam("key_id"))
_BY_MANAGER = select(_keys).where(_keys.c.manager == bindparam("manager"))
_IN_PLACE = (
    select(_keys)
    .where(
        _keys.c.account_id == bindparam("account_id"),
        _keys.c.region == bindparam("region"),
        _keys.c.manager != KeyManager.KEYTURN.value,
    )
    .order_by(_keys.c.key_id)
)
_COUNT_CUSTOMERS = select(func.count()).where(
    _keys.c.account_id == bindparam("account_id"),
    _keys.c.region == bindparam("region"),
    _keys.c.manager == KeyManager.CUSTOMER.value,
)
_PAST_DELETION = select(_keys).where(_keys.c.deletion_at <= bindparam("at")).order_by(_keys.c.deletion_at)
_DUE_FOR_ROTATION = (
    select(_keys)
    .where(_keys.c.next_rotation_at <= bindparam("at"), _keys.c.enabled, _keys.c.deletion_at.is_(None))
    .order_by(_keys.c.next_rotation_at)
)
_MATERIAL = select(_materials).where(
    _materials.c.key_id == bindparam("key_id"), _materials.c.number == bindparam("number")
)
_MATERIALS_OF = select(_materials).where(_materials.c.key_id == bindparam("key_id")).order_by(_materials.c.number)
_COUNT_ON_DEMAND = select(func.count()).where(
    _materials.c.key_id == bindparam("key_id"), _materials.c.rotation_type == RotationType.ON_DEMAND.value
)
_ALIASES_OF = select(_aliases.c.alias).where(_aliases.c.key_id == bindparam("key_id")).order_by(_aliases.c.alias)
_ANY_GRANT = select(exists().where(schema.kms_grants.c.key_id == bindparam("key_id")))
_ALIAS = select(_aliases).where(_aliases.c.arn == bindparam("arn"))
_ALIASES_IN_PLACE = (
    select(_aliases)
    .where(_aliases.c.account_id == bindparam("account_id"), _aliases.c.region == bindparam("region"))
    .order_by(_aliases.c.alias)
)
# ON CONFLICT is spelled alike by both databases; SQLAlchemy's construct of PostgreSQL compiles for SQLite too.
_INSERT_ALIAS = postgresql.insert(_aliases).on_conflict_do_nothing().returning(_aliases.c.alias)


def insert_key(transaction: Transaction, key: KmsKeyRecord, wrapped: bytes) -> None:
    """Store a new key with its first material."""
    transaction.connection.execute(insert(_keys), {column.name: getattr(key, column.name) for column in _keys.columns})
    _insert_material(transaction, MaterialRecord(key.key_id, key.material_number, wrapped))
    transaction.touch(KEY, key.key_id)


def load_key(connection: Connection, key_id: str) -> KmsKeyRecord | None:
    """Return one key by its id, wherever it lives."""
    row = connection.execute(_BY_ID, {"key_id": key_id}).one_or_none()
    return None if row is None else _key(connection, row)


def load_system_key(connection: Connection) -> KmsKeyRecord | None:
    """Return the key that seals Keyturn's own secrets; no API shows it."""
    row = connection.execute(_BY_MANAGER, {"manager": KeyManager.KEYTURN.value}).one_or_none()
    return None if row is None else _key(connection, row)


def lock_key(transaction: Transaction, key_id: str) -> KmsKeyRecord | None:
    """Return one key and keep other writers away from it until the transaction ends."""
    row = transaction.connection.execute(_BY_ID.with_for_update(), {"key_id": key_id}).one_or_none()
    return None if row is None else _key(transaction.connection, row)


def list_keys(connection: Connection, place: Place) -> list[KmsKeyRecord]:
    """Return the keys of an account in a region by id, as if none had aliases or grants; without Keyturn's own."""
    rows = connection.execute(_IN_PLACE, schema.owner_of(place))
    return [_record(row) for row in rows]


def count_customer_keys(connection: Connection, place: Place) -> int:
    """Return how many keys customers have made in an account and region."""
    count: int = connection.execute(_COUNT_CUSTOMERS, schema.owner_of(place)).scalar_one()
    return count


def load_past_deletion(connection: Connection, at: datetime, limit: int) -> list[KmsKeyRecord]:
    """Return keys whose waiting period is over."""
    return [_key(connection, row) for row in connection.execute(_PAST_DELETION.limit(limit), {"at": at}).all()]


def load_due_for_rotation(connection: Connection, at: datetime, limit: int) -> list[KmsKeyRecord]:
    """Return keys whose next rotation is due and that can be rotated."""
    return [_key(connection, row) for row in connection.execute(_DUE_FOR_ROTATION.limit(limit), {"at": at}).all()]


def rotate_key(
    transaction: Transaction, key: KmsKeyRecord, material: MaterialRecord, next_rotation_at: datetime | None
) -> None:
    """Give a locked key new material, which encrypts as soon as the transaction has committed.

    Args:
        transaction: In which the key was locked.
        key: As it was.
        material: The new one.
        next_rotation_at: When it is rotated by itself the next time.
    """
    _insert_material(transaction, material)
    update_key(transaction, key, material_number=material.number, next_rotation_at=next_rotation_at)


def load_material(connection: Connection, key_id: str, number: int) -> MaterialRecord | None:
    """Return one material of a key, or None."""
    row = connection.execute(_MATERIAL, {"key_id": key_id, "number": number}).one_or_none()
    return None if row is None else _material(row)


def list_materials(connection: Connection, key_id: str) -> list[MaterialRecord]:
    """Return all material of a key, oldest first."""
    return [_material(row) for row in connection.execute(_MATERIALS_OF, {"key_id": key_id})]


def count_rotations_on_demand(connection: Connection, key_id: str) -> int:
    """Return how often a key was rotated because somebody asked for it."""
    count: int = connection.execute(_COUNT_ON_DEMAND, {"key_id": key_id}).scalar_one()
    return count


def update_key(transaction: Transaction, key: KmsKeyRecord, **columns: object) -> None:
    """Change columns of a key."""
    transaction.connection.execute(update(_keys).where(_keys.c.key_id == key.key_id), columns)
    transaction.touch(KEY, key.key_id)


def delete_key(transaction: Transaction, key: KmsKeyRecord) -> None:
    """Remove a key with all of its material, its aliases and its grants."""
    place = Place.of(key.arn)
    for alias in key.aliases:
        transaction.touch(ALIAS, place.kms_alias_arn(alias))
    for material in list_materials(transaction.connection, key.key_id):
        transaction.erase(material.wrapped[-_PIECE_BYTES:])
    transaction.connection.execute(delete(_keys).where(_keys.c.key_id == key.key_id))
    transaction.touch(KEY, key.key_id)


def insert_alias(transaction: Transaction, alias: AliasRecord) -> bool:
    """Store a new alias; return whether it was stored: False if its name is taken."""
    parameters = {column.name: getattr(alias, column.name) for column in _aliases.columns}
    if transaction.connection.execute(_INSERT_ALIAS, parameters).one_or_none() is None:
        return False
    _touch_alias(transaction, alias)
    return True


def load_alias(connection: Connection, arn: str) -> AliasRecord | None:
    """Return one alias, or None."""
    row = connection.execute(_ALIAS, {"arn": arn}).one_or_none()
    return None if row is None else AliasRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def lock_alias(transaction: Transaction, arn: str) -> AliasRecord | None:
    """Return an alias as it is now and keep other writers away from it until the transaction ends."""
    row = transaction.connection.execute(_ALIAS.with_for_update(), {"arn": arn}).one_or_none()
    return None if row is None else AliasRecord(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name


def list_aliases(connection: Connection, place: Place) -> list[AliasRecord]:
    """Return the aliases of an account in a region, by name."""
    rows = connection.execute(_ALIASES_IN_PLACE, schema.owner_of(place))
    return [AliasRecord(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def point_alias(transaction: Transaction, alias: AliasRecord, key_id: str, at: datetime) -> None:
    """Let an alias name another key."""
    transaction.connection.execute(
        update(_aliases).where(_aliases.c.arn == alias.arn),
        {"key_id": key_id, "updated_at": at},
    )
    _touch_alias(transaction, alias)
    transaction.touch(KEY, key_id)


def delete_alias(transaction: Transaction, alias: AliasRecord) -> None:
    """Remove an alias; its key stays."""
    transaction.connection.execute(delete(_aliases).where(_aliases.c.arn == alias.arn))
    _touch_alias(transaction, alias)


def store_wrapped(transaction: Transaction, key_id: str, number: int, wrapped: bytes) -> None:
    """Replace the wrapping of a material, after the root key has changed."""
    changed = update(_materials).where(_materials.c.key_id == key_id, _materials.c.number == number)
    transaction.connection.execute(changed, {"wrapped": wrapped})


def load_materials(connection: Connection) -> list[MaterialRecord]:
    """Return the material of every key of every account, Keyturn's own included."""
    rows = connection.execute(select(_materials).order_by(_materials.c.key_id, _materials.c.number))
    return [_material(row) for row in rows]


def _touch_alias(transaction: Transaction, alias: AliasRecord) -> None:
    transaction.touch(ALIAS, alias.arn)
    # A key is kept with the names of its aliases.
    transaction.touch(KEY, alias.key_id)


def _key(connection: Connection, row: Row[Any]) -> KmsKeyRecord:
    of_key = {"key_id": row.key_id}
    aliases = tuple(connection.execute(_ALIASES_OF, of_key).scalars())
    return _record(row, aliases, has_grants=bool(connection.execute(_ANY_GRANT, of_key).scalar_one()))


def _record(row: Row[Any], aliases: tuple[str, ...] = (), *, has_grants: bool = False) -> KmsKeyRecord:
    columns = {**row._mapping, "manager": KeyManager(row.manager)}  # noqa: SLF001 - SQLAlchemy's public name
    return KmsKeyRecord(**columns, aliases=aliases, has_grants=has_grants)


def _insert_material(transaction: Transaction, material: MaterialRecord) -> None:
    parameters = {column.name: getattr(material, column.name) for column in _materials.columns}
    transaction.connection.execute(insert(_materials), parameters)


def _material(row: Row[Any]) -> MaterialRecord:
    rotation_type = None if row.rotation_type is None else RotationType(row.rotation_type)
    return MaterialRecord(row.key_id, row.number, row.wrapped, row.rotated_at, rotation_type)
