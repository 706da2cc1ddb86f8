"""Which stored version the database has, in words: what is known, since when, and what may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keyturn.client.rotation_status import moment
from keyturn.client.shown import shown

Json = Mapping[str, Any]


def password_of(answer: Json) -> str:
    """Return how things stand with the password, in one line; empty if nothing is known.

    Args:
        answer: Of GetRotation.
    """
    known: Json = answer.get("DatabaseVersion", {})
    logged_in = ""
    if known.get("VersionId"):
        logged_in = f"{_named(answer, known['VersionId'])} logged in at {moment(known['At'])}"
    elif known.get("EveryVersionRefused"):
        logged_in = f"every version was refused at {moment(known['At'])}"
    elif known.get("RefusalOvertaken"):
        logged_in = f"every version of before was refused at {moment(known['At'])}; the current value was stored since"
    maybe = known.get("MaybeVersions", [])
    if not maybe:
        return logged_in
    names = " or of ".join(
        f"{_named(answer, one['VersionId'])}: setSecret ran for it at {moment(one['SetAt'])}" for one in maybe
    )
    return f"may be that of {names}" + (f"; before that {logged_in}" if logged_in else "")


def maybe_versions(answer: Json) -> Sequence[Json]:
    """Return versions that the database may have, and that AWSCURRENT is not on; the newest first."""
    maybe: Sequence[Json] = answer.get("DatabaseVersion", {}).get("MaybeVersions", [])
    current = version_of(answer, "AWSCURRENT")
    return [one for one in reversed(maybe) if one["VersionId"] != current]


def version_of(answer: Json, label: str) -> str | None:
    """Return the version that has a label now; None if none has."""
    stages: Mapping[str, Sequence[str]] = answer.get("VersionIdsToStages", {})
    return next((version_id for version_id, labels in stages.items() if label in labels), None)


def _named(answer: Json, version_id: str) -> str:
    labels = answer.get("VersionIdsToStages", {}).get(version_id, [])
    return f"version {shown(version_id)} ({shown(', '.join(labels)) or 'no label'})"
