"""The versions of secrets.

Records are frozen; sealed values go in and out as bytes. Functions that take a connection run inside the caller's
transaction, so that an operation reads and writes in one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, select, tuple_, update

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.erased import PIECE_BYTES

_versions, _labels = schema.secret_versions, schema.staging_labels

COMMON_BYTES = 48
"""An envelope begins with what others begin with, too: its format and the name of its key."""


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One version of a secret.

    Attributes:
        sealed: None until createSecret has put its value.
        kms_key_id: ARN of the customer managed key that this is sealed under; None for the default key.
        former_wrapped: The data key under the KMS key before that, from before the secret was given another.
        from_rotation: Whether the rotation function stored the value for a rotation; None if that was not noted.
    """

    version_id: str
    created_at: datetime
    last_accessed_at: datetime | None
    sealed: bytes | None
    is_binary: bool
    kms_key_id: str | None
    former_wrapped: bytes | None = None
    from_rotation: bool | None = None


class VersionPosition(NamedTuple):
    """A version's place in the list of a secret's versions."""

    created_at: datetime
    version_id: str


@dataclass(frozen=True, slots=True)
class VersionAge:
    """When a version was made, and whether it has a value."""

    version_id: str
    created_at: datetime
    has_value: bool


_LABELLED_OF = select(_versions).where(
    and_(
        _versions.c.secret_id == bindparam("secret_id"),
        _versions.c.version_id.in_(select(_labels.c.version_id).where(_labels.c.secret_id == bindparam("secret_id"))),
    )
)
_IS_LABELLED = _versions.c.version_id.in_(
    select(_labels.c.version_id).where(_labels.c.secret_id == bindparam("secret_id"))
)
_VALUES_OF = (
    select(*[column for column in _versions.c if column.name not in ("secret_id", "sealed")])
    .where(_versions.c.secret_id == bindparam("secret_id"), _versions.c.sealed.is_not(None))
    .order_by(_versions.c.created_at, _versions.c.version_id)
)
_VERSIONS_OF = (
    select(_versions)
    .where(_versions.c.secret_id == bindparam("secret_id"))
    .order_by(_versions.c.created_at, _versions.c.version_id)
)
_VERSION = select(_versions).where(
    _versions.c.secret_id == bindparam("secret_id"), _versions.c.version_id == bindparam("version_id")
)
_AGES_OF = select(
    _versions.c.version_id, _versions.c.created_at, _versions.c.sealed.is_not(None).label("has_value")
).where(_versions.c.secret_id == bindparam("secret_id"))
HEAD = func.substr(_versions.c.sealed, 1, PIECE_BYTES)
"""How a sealed value begins; NULL on SQLite if it is empty."""
_INSERT_VERSION = insert(_versions)


def load_labelled(connection: Connection, secret_id: int) -> dict[str, VersionRecord]:
    """Return the versions of a secret that carry labels, by id."""
    rows = connection.execute(_LABELLED_OF, {"secret_id": secret_id})
    return {row.version_id: _version(row) for row in rows}


def load_versions(connection: Connection, secret_id: int) -> list[VersionRecord]:
    """Return all versions of a secret, deprecated ones included, oldest first."""
    return [_version(row) for row in connection.execute(_VERSIONS_OF, {"secret_id": secret_id})]


def load_version_ages(connection: Connection, secret_id: int) -> list[VersionAge]:
    """Return what is to be known of all versions when their labels change, without their values."""
    return [VersionAge(**row._mapping) for row in connection.execute(_AGES_OF, {"secret_id": secret_id})]  # noqa: SLF001 - SQLAlchemy's public name


def load_version(connection: Connection, secret_id: int, version_id: str) -> VersionRecord | None:
    """Return one version of a secret, deprecated or not."""
    row = connection.execute(_VERSION, {"secret_id": secret_id, "version_id": version_id}).one_or_none()
    return None if row is None else _version(row)


def load_version_page(
    connection: Connection, secret_id: int, *, with_deprecated: bool, after: VersionPosition | None, limit: int
) -> list[VersionRecord]:
    """Return versions of a secret that hold a value, oldest first, without the value.

    Args:
        connection: Of the state.
        secret_id: Whose.
        with_deprecated: Also those without labels.
        after: Only versions behind this one, which may be gone: the last of the page before.
        limit: How many at most.
    """
    page = _VALUES_OF
    if not with_deprecated:
        page = page.where(_IS_LABELLED)
    if after is not None:
        page = page.where(tuple_(_versions.c.created_at, _versions.c.version_id) > after)
    rows = connection.execute(page.limit(limit), {"secret_id": secret_id})
    return [VersionRecord(**row._mapping, sealed=None) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def insert_version(transaction: Transaction, secret_id: int, version: VersionRecord) -> None:
    """Store a new version."""
    transaction.connection.execute(
        _INSERT_VERSION,
        {
            "secret_id": secret_id,
            "version_id": version.version_id,
            "created_at": version.created_at,
            "last_accessed_at": version.last_accessed_at,
            "sealed": version.sealed,
            "is_binary": version.is_binary,
            "kms_key_id": version.kms_key_id,
            "from_rotation": version.from_rotation,
        },
    )


def insert_empty_version(transaction: Transaction, secret_id: int, version_id: str, at: datetime) -> None:
    """Store a version that has no value yet: a rotation's, or a token that came without a value."""
    version = VersionRecord(
        version_id=version_id, created_at=at, last_accessed_at=None, sealed=None, is_binary=False, kms_key_id=None
    )
    insert_version(transaction, secret_id, version)


def fill_version(transaction: Transaction, secret_id: int, version: VersionRecord) -> None:
    """Put the value into a version that was labelled before it had one."""
    transaction.connection.execute(
        update(_versions).where(
            _versions.c.secret_id == secret_id,
            _versions.c.version_id == version.version_id,
            _versions.c.sealed.is_(None),
        ),
        {
            "sealed": version.sealed,
            "is_binary": version.is_binary,
            "kms_key_id": version.kms_key_id,
            "created_at": version.created_at,
            "from_rotation": version.from_rotation,
        },
    )


def rewrap_version(transaction: Transaction, secret_id: int, before: VersionRecord, after: VersionRecord) -> None:
    """Store the value of a version with its data key under another KMS key, and how it was wrapped before."""
    transaction.connection.execute(
        update(_versions).where(_versions.c.secret_id == secret_id, _versions.c.version_id == after.version_id),
        {"sealed": after.sealed, "kms_key_id": after.kms_key_id, "former_wrapped": after.former_wrapped},
    )
    if before.sealed is not None:
        # Whoever erases the value looks for it as it is then.
        transaction.erase(before.sealed[COMMON_BYTES:PIECE_BYTES])


def delete_versions(transaction: Transaction, secret_id: int, version_ids: Iterable[str]) -> None:
    """Remove versions with their values; their labels must be gone."""
    for version_id in version_ids:
        removed = transaction.connection.execute(
            delete(_versions)
            .where(_versions.c.secret_id == secret_id, _versions.c.version_id == version_id)
            .returning(HEAD.label("head"))
        ).scalar_one_or_none()
        if removed is not None:
            transaction.erase(bytes(removed)[COMMON_BYTES:])


def _version(row: Row[Any]) -> VersionRecord:
    return VersionRecord(
        version_id=row.version_id,
        created_at=row.created_at,
        last_accessed_at=row.last_accessed_at,
        sealed=row.sealed,
        is_binary=row.is_binary,
        kms_key_id=row.kms_key_id,
        former_wrapped=row.former_wrapped,
        from_rotation=row.from_rotation,
    )
