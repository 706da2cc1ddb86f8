"""The end of secrets and of their values: rows are removed, and the files are rid of what they held."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, select, update

from keyturn.storage import schema
from keyturn.storage.database import Transaction
from keyturn.storage.secret_versions import COMMON_BYTES, HEAD
from keyturn.storage.secrets import SECRET, SecretRecord, touch_name

_secrets, _versions = schema.secrets, schema.secret_versions

# What a version holds whose value was erased: no envelope is empty.
_ERASED = b""


@dataclass(frozen=True, slots=True)
class ErasedVersion:
    """A version of a secret whose value is being erased.

    Attributes:
        head: How its sealed value began; empty if it has been erased before.
        former_wrapped: As of the version.
    """

    secret_id: int
    arn: str
    version_id: str
    head: bytes
    former_wrapped: bytes | None


_NEXT_DELETION = select(func.min(_secrets.c.deletion_at))
_WIPE = (
    update(_versions)
    .where(
        _versions.c.secret_id == bindparam("of_secret"),
        _versions.c.version_id == bindparam("of_version"),
    )
    .values(sealed=_ERASED, former_wrapped=None)
)


def next_deletion(connection: Connection) -> datetime | None:
    """Return when the next recovery window ends, or ended if nobody has erased the secret yet."""
    moment: datetime | None = connection.execute(_NEXT_DELETION).scalar_one()
    return moment


def lock_past_recovery(transaction: Transaction, at: datetime, limit: int) -> list[SecretRecord]:
    """Return secrets whose recovery window is over, and keep other writers away; those that another has are left out.

    Their versions are left out, too: see :func:`valued_versions`.
    """
    over = (
        select(_secrets)
        .where(_secrets.c.deletion_at <= at)
        .order_by(_secrets.c.deletion_at, _secrets.c.secret_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = transaction.connection.execute(over)
    return [SecretRecord(**row._mapping, labels={}, versions={}) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name


def valued_versions(connection: Connection, found: Collection[SecretRecord]) -> list[ErasedVersion]:
    """Return the versions of secrets that hold a value or held one that was erased."""
    held = (
        select(
            _versions.c.secret_id,
            _secrets.c.arn,
            _versions.c.version_id,
            HEAD.label("head"),
            _versions.c.former_wrapped,
        )
        .join(_secrets, _secrets.c.secret_id == _versions.c.secret_id)
        .where(
            _versions.c.secret_id.in_([secret.secret_id for secret in found]),
            _versions.c.sealed.is_not(None),
        )
        .order_by(_versions.c.secret_id, _versions.c.created_at, _versions.c.version_id)
    )
    return [
        ErasedVersion(row.secret_id, row.arn, row.version_id, bytes(row.head or b""), row.former_wrapped)
        for row in connection.execute(held)
    ]


def erase_values(transaction: Transaction, versions: Iterable[ErasedVersion]) -> None:
    """Remove the values of versions; the versions stay, so that it is known what was erased."""
    touched = set()
    for version in versions:
        transaction.connection.execute(_WIPE, {"of_secret": version.secret_id, "of_version": version.version_id})
        transaction.erase(version.head[COMMON_BYTES:])
        touched.add(version.arn)
    for arn in sorted(touched):
        transaction.touch(SECRET, arn)


def erase_secret(transaction: Transaction, secret: SecretRecord) -> None:
    """Remove a secret with its versions, labels, rotations and their steps."""
    transaction.connection.execute(delete(_secrets).where(_secrets.c.secret_id == secret.secret_id))
    transaction.touch(SECRET, secret.arn)
    touch_name(transaction, secret)
    # Nobody has to look for its description; the files are rid of it all the same.
    transaction.erase(b"")
