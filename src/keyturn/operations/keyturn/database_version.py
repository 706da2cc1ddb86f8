"""Which stored version the database of a secret has, out of the steps of its rotations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from keyturn.rules.database_version import DatabaseVersion, database_version
from keyturn.rules.staging import AWSCURRENT
from keyturn.storage.rotation_evidence import load_evidence
from keyturn.storage.secret_versions import load_version
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.keyturn import DatabaseVersionType


def known_version(connection: Connection, subject: SecretRecord) -> DatabaseVersion:
    """Return what rotations have shown."""
    runs = load_evidence(connection, subject.secret_id)
    current = load_version(connection, subject.secret_id, subject.labels.get(AWSCURRENT, ""))
    stored_at = None if current is None else current.created_at
    return database_version(runs, subject.labels, subject.last_changed_at, stored_at)


def told_version(known: DatabaseVersion) -> DatabaseVersionType:
    """Return it as it is answered."""
    members: dict[str, Any] = {
        "VersionId": known.version_id,
        "At": known.at,
        "EveryVersionRefused": known.is_refused,
        "RefusalOvertaken": known.is_overtaken,
        "MaybeVersions": [{"VersionId": version_id, "SetAt": at} for version_id, at in known.maybe.items()],
    }
    return {name: value for name, value in members.items() if value is not None}  # type: ignore[return-value]  # member by member
