"""Which stored version the database of a secret has, out of the steps of its rotations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from keyturn.rules.database_version import DatabaseVersion, VersionRun, database_version, decides
from keyturn.storage import rotations
from keyturn.storage.rotations import RotationKind
from keyturn.storage.secrets import SecretRecord
from keyturn.wire.types.keyturn import DatabaseVersionType


def known_version(connection: Connection, subject: SecretRecord) -> DatabaseVersion:
    """Return what the newest rotations have shown."""
    runs: list[VersionRun] = []
    for rotation in rotations.load_history(connection, subject.secret_id):
        if rotation.kind is RotationKind.TEST:
            continue
        steps = rotations.load_steps(connection, rotation.rotation_id)
        runs = [*(VersionRun(rotation.version_id, step) for step in steps), *runs]
        if any(decides(run) for run in runs):
            break
    return database_version(runs, subject.labels, subject.last_changed_at)


def told_version(known: DatabaseVersion) -> DatabaseVersionType:
    """Return it as it is answered."""
    members: dict[str, Any] = {
        "VersionId": known.version_id,
        "At": known.at,
        "EveryVersionRefused": known.is_refused,
        "MaybeVersions": [{"VersionId": version_id, "SetAt": at} for version_id, at in known.maybe.items()],
    }
    return {name: value for name, value in members.items() if value is not None}  # type: ignore[return-value]  # member by member
