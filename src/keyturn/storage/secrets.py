"""Secrets and their staging labels; their versions are in ``secret_versions.py``, their end in ``secret_erasure.py``.

Records are frozen; sealed values go in and out as bytes. Functions that take a connection run inside the caller's
transaction, so that an operation reads and writes in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Update, and_, bindparam, delete, func, insert, or_, select, update

from keyturn.arn import Place
from keyturn.rules.listing import SortBy
from keyturn.storage import schema, secret_versions
from keyturn.storage.database import Transaction
from keyturn.storage.secret_versions import VersionRecord

SECRET = "secret"  # noqa: S105 - a kind of kept row, not a password
SECRET_NAME = "secret-name"  # noqa: S105 - likewise

_secrets, _versions, _labels = schema.secrets, schema.secret_versions, schema.staging_labels


class Access(NamedTuple):
    """That a version was read.

    Attributes:
        day: Midnight UTC.
        at: When on that day.
    """

    secret_id: int
    arn: str
    version_id: str
    day: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """A secret as stored, with its staging labels and their versions.

    Attributes:
        labels: Staging label to version id.
        versions: The versions that carry labels, by id; deprecated ones are read with ``load_versions``.
        tags: Key to value, in the order they were added; None if never tagged.
        next_rotation_at: When it rotates by itself; None if it does not, or a rotation is under way.
        next_rotation_closes_at: What AWS shows as NextRotationDate: the latest moment by which the rotation happens.
        rotation_planned_at: When that moment was chosen; None if there is none.
        failed_rotation_id: The rotation of which an attempt failed last; None if one has succeeded since.
        primary_arn: Of a replica's primary; of a secret with replicas its own.
    """

    secret_id: int
    account_id: str
    region: str
    arn: str
    name: str
    description: str | None
    kms_key_id: str | None
    type: str | None
    created_at: datetime
    last_changed_at: datetime
    last_accessed_at: datetime | None
    last_rotated_at: datetime | None
    deleted_at: datetime | None
    deletion_at: datetime | None
    tags: Mapping[str, str] | None
    resource_policy: str | None
    rotation_enabled: bool | None
    rotation_function_arn: str | None
    rotation_rules: Mapping[str, Any] | None
    next_rotation_at: datetime | None
    next_rotation_closes_at: datetime | None
    rotation_planned_at: datetime | None
    failed_rotation_id: int | None
    primary_arn: str | None
    labels: Mapping[str, str]
    versions: Mapping[str, VersionRecord]

    def stages_of(self, version_id: str) -> list[str]:
        """Labels of one version, sorted."""
        return sorted(label for label, holder in self.labels.items() if holder == version_id)

    @property
    def is_replica(self) -> bool:
        """Whether this secret follows another."""
        return self.primary_arn not in (None, self.arn)

    @property
    def primary_region(self) -> str | None:
        """The primary's region, of a secret that is replicated to others; None for all other secrets."""
        return primary_region(self.account_id, self.primary_arn)

    @property
    def is_account_replica(self) -> bool:
        """Whether this secret follows one of another account."""
        return self.primary_arn is not None and Place.of(self.primary_arn).account_id != self.account_id


_BY_ARN = select(_secrets).where(_secrets.c.arn == bindparam("arn"))
_BY_ID = select(_secrets).where(_secrets.c.secret_id == bindparam("secret_id"))
_IN_PLACE = and_(_secrets.c.account_id == bindparam("account_id"), _secrets.c.region == bindparam("region"))
_ARN_OF_NAME = select(_secrets.c.arn).where(_IN_PLACE, _secrets.c.name == bindparam("name"))
# One that was deleted by force waits for its erasure only.
_COUNT = (
    select(func.count())
    .select_from(_secrets)
    .where(_IN_PLACE, or_(_secrets.c.deletion_at.is_(None), _secrets.c.deletion_at > _secrets.c.deleted_at))
)
_LABELS_OF = select(_labels.c.label, _labels.c.version_id).where(_labels.c.secret_id == bindparam("secret_id"))
_BY_IDS = select(_secrets).where(_secrets.c.secret_id.in_(bindparam("secret_ids", expanding=True)))
_LABELS_OF_ALL = select(_labels).where(_labels.c.secret_id.in_(bindparam("secret_ids", expanding=True)))
_NEXT_PLANNED = select(func.min(_secrets.c.next_rotation_at)).where(
    _secrets.c.rotation_enabled, _secrets.c.deleted_at.is_(None)
)
_LOCK_ACCESSED = (
    select(_secrets.c.secret_id, _secrets.c.last_accessed_at)
    .where(_secrets.c.secret_id.in_(bindparam("secret_ids", expanding=True)))
    .order_by(_secrets.c.secret_id)
    .with_for_update()
)
_SECRET_READ = (
    update(_secrets).where(_secrets.c.secret_id == bindparam("secret")).values(last_accessed_at=bindparam("day"))
)
_VERSION_READ = (
    update(_versions)
    .where(
        _versions.c.secret_id == bindparam("secret"),
        _versions.c.version_id == bindparam("version"),
        or_(_versions.c.last_accessed_at.is_(None), _versions.c.last_accessed_at < bindparam("day")),
    )
    .values(last_accessed_at=bindparam("day"))
)
_INSERT_LABEL = insert(_labels)


def primary_region(account_id: str, primary_arn: str | None) -> str | None:
    """Return the region of an account's primary; None for secrets that are not replicated within one account."""
    if primary_arn is None:
        return None
    primary = Place.of(primary_arn)
    return primary.region if primary.account_id == account_id else None


def arn_of_name(connection: Connection, place: Place, name: str) -> str | None:
    """Return the ARN of the secret with this exact name in an account's region."""
    parameters = {**schema.owner_of(place), "name": name}
    return connection.execute(_ARN_OF_NAME, parameters).scalar_one_or_none()


def load_secret(connection: Connection, arn: str) -> SecretRecord | None:
    """Return one secret, or None."""
    row = connection.execute(_BY_ARN, {"arn": arn}).one_or_none()
    return None if row is None else _record(connection, row)


def load_secret_by_id(connection: Connection, secret_id: int) -> SecretRecord | None:
    """Return one secret by its row's number, or None if it is gone."""
    row = connection.execute(_BY_ID, {"secret_id": secret_id}).one_or_none()
    return None if row is None else _record(connection, row)


def lock_secret(transaction: Transaction, arn: str) -> SecretRecord | None:
    """Return one secret and keep other writers away from it until the transaction ends."""
    row = transaction.connection.execute(_BY_ARN.with_for_update(), {"arn": arn}).one_or_none()
    return None if row is None else _record(transaction.connection, row)


def load_listed(connection: Connection, secret_ids: Sequence[int]) -> list[SecretRecord]:
    """Return secrets by their rows' numbers, in that order; their versions are left out, lists do not show them."""
    labels: dict[int, dict[str, str]] = {}
    for row in connection.execute(_LABELS_OF_ALL, {"secret_ids": secret_ids}):
        labels.setdefault(row.secret_id, {})[row.label] = row.version_id
    rows = {row.secret_id: row._mapping for row in connection.execute(_BY_IDS, {"secret_ids": secret_ids})}  # noqa: SLF001 - SQLAlchemy's public name
    return [SecretRecord(**rows[secret_id], labels=labels.get(secret_id, {}), versions={}) for secret_id in secret_ids]


def load_labels(connection: Connection, secret_id: int) -> dict[str, str]:
    """Return version ids by staging label."""
    return {row.label: row.version_id for row in connection.execute(_LABELS_OF, {"secret_id": secret_id})}


def count(connection: Connection, place: Place) -> int:
    """Return how many secrets an account has in a region, those scheduled for deletion included."""
    number: int = connection.execute(_COUNT, schema.owner_of(place)).scalar_one()
    return number


def due_for_rotation(connection: Connection, at: datetime, limit: int) -> list[str]:
    """Return the ARNs of secrets whose planned rotation has come, earliest first."""
    due = (
        select(_secrets.c.arn)
        .where(_secrets.c.rotation_enabled, _secrets.c.next_rotation_at <= at, _secrets.c.deleted_at.is_(None))
        .order_by(_secrets.c.next_rotation_at)
        .limit(limit)
    )
    return list(connection.execute(due).scalars())


def next_planned(connection: Connection) -> datetime | None:
    """Return when the next rotation is planned."""
    moment: datetime | None = connection.execute(_NEXT_PLANNED).scalar_one()
    return moment


def insert_secret(transaction: Transaction, place: Place, arn: str, name: str, at: datetime, **columns: object) -> int:
    """Store a new secret without versions and return its row's number."""
    values = {**schema.owner_of(place), "arn": arn, "name": name, "created_at": at, "last_changed_at": at, **columns}
    statement = insert(_secrets).returning(_secrets.c.secret_id)
    secret_id: int = transaction.connection.execute(statement, values).scalar_one()
    transaction.touch(SECRET, arn)
    transaction.touch(SECRET_NAME, place.partial_secret_arn(name))
    return secret_id


def update_secret(transaction: Transaction, secret: SecretRecord, **columns: object) -> None:
    """Change columns of a secret, which was locked in this transaction."""
    changed_at = columns.get("last_changed_at")
    if isinstance(changed_at, datetime):
        transaction.move(secret.secret_id, SortBy.CHANGED, secret.last_changed_at, changed_at)
    values = {f"new_{name}": value for name, value in columns.items()}
    transaction.connection.execute(_update_of(tuple(columns)), {"of_secret": secret.secret_id, **values})
    transaction.touch(SECRET, secret.arn)


@cache
def _update_of(names: tuple[str, ...]) -> Update:
    """Return the statement that changes these columns of a secret, built once."""
    # As values, not as parameters: a column that there is not is an error then, and is passed over otherwise.
    values: dict[str, object] = {name: bindparam(f"new_{name}") for name in names}
    return update(_secrets).where(_secrets.c.secret_id == bindparam("of_secret")).values(values)


def free_name(transaction: Transaction, secret: SecretRecord) -> None:
    """Give away the name of a secret that is past its recovery window and waits for the scheduler."""
    # Its ARN is no name that another secret could have.
    update_secret(transaction, secret, name=secret.arn)
    touch_name(transaction, secret)


def store_labels(transaction: Transaction, secret_id: int, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Write the difference between two states of a secret's staging labels."""
    changed = [label for label in before if after.get(label) != before[label]]
    if changed:
        transaction.connection.execute(
            delete(_labels).where(_labels.c.secret_id == secret_id, _labels.c.label.in_(changed))
        )
    added = [
        {"secret_id": secret_id, "label": label, "version_id": version_id}
        for label, version_id in after.items()
        if before.get(label) != version_id
    ]
    if added:
        transaction.connection.execute(_INSERT_LABEL, added)


def record_accesses(transaction: Transaction, accesses: Sequence[Access]) -> None:
    """Note on which days versions were read; a day that is stored already, or a later one, stays."""
    connection = transaction.connection
    days: dict[int, Access] = {}
    for access in accesses:
        days[access.secret_id] = max(access, days.get(access.secret_id, access), key=attrgetter("day"))
    rows = connection.execute(_LOCK_ACCESSED, {"secret_ids": sorted(days)})
    later = [(days[row.secret_id], row.last_accessed_at) for row in rows]
    later = [(access, before) for access, before in later if before is None or before < access.day]
    if later:
        connection.execute(_SECRET_READ, [{"secret": access.secret_id, "day": access.day} for access, _ in later])
        for access, before in later:
            transaction.move(access.secret_id, SortBy.ACCESSED, before, access.at)
    connection.execute(
        _VERSION_READ,
        [{"secret": access.secret_id, "version": access.version_id, "day": access.day} for access in accesses],
    )
    for access in days.values():
        transaction.touch(SECRET, access.arn)


def touch_name(transaction: Transaction, secret: SecretRecord) -> None:
    """Tell every holder of kept rows that the name of a secret leads elsewhere now."""
    transaction.touch(SECRET_NAME, Place.of(secret.arn).partial_secret_arn(secret.name))


def _record(connection: Connection, row: Row[Any]) -> SecretRecord:
    labels = load_labels(connection, row.secret_id)
    versions = secret_versions.load_labelled(connection, row.secret_id)
    return SecretRecord(**row._mapping, labels=labels, versions=versions)  # noqa: SLF001 - SQLAlchemy's public name
