"""Values that somebody has stored by hand since the last rotation: often why the next one fails."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.clock import to_milliseconds
from keyturn.operations.keyturn.timeline_audit import may_look_up
from keyturn.operations.kit import Kit
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.staging import AWSCURRENT, AWSPREVIOUS
from keyturn.rules.timeline_calls import Told, told_of
from keyturn.rules.timeline_entry import Entry, EntryKind, Severity
from keyturn.storage import audit_lookup, rotations, secret_versions
from keyturn.storage.rotations import RotationRecord
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import SecretRecord

_MOST = 5
_MOST_RECORDS = 100
# The event of a call has its moment, to the millisecond.
_AROUND = timedelta(seconds=1)


def values_by_hand(connection: Connection, subject: SecretRecord, rotation: RotationRecord) -> list[VersionRecord]:
    """Return versions whose value was stored by hand between the last rotation that succeeded and this one.

    Args:
        connection: Of the state.
        subject: The secret, as it is now.
        rotation: Which rotation.
    """
    since = rotations.last_success_before(connection, rotation) or subject.created_at
    stored = [
        version
        for version in secret_versions.load_versions(connection, subject.secret_id)
        if version.sealed is not None
        and version.from_rotation is False
        and since < version.created_at <= rotation.requested_at
        and version.version_id != rotation.version_id
        and _may_have_been_current(subject, version.version_id)
    ]
    return stored[-_MOST:]


def told_by_hand(kit: Kit, call: Call, subject: SecretRecord, stored: Iterable[VersionRecord]) -> list[Entry]:
    """Return entries for a timeline, with who it was if the caller may look that up."""
    may = may_look_up(kit, call)
    return [_entry(version, _who(kit, subject, version) if may else None) for version in stored]


def _may_have_been_current(subject: SecretRecord, version_id: str) -> bool:
    """Whether a version has a label that AWSCURRENT leaves, or none at all any more."""
    stages = subject.stages_of(version_id)
    return not stages or bool({AWSCURRENT, AWSPREVIOUS} & {*stages})


def _entry(version: VersionRecord, told: Told | None) -> Entry:
    by = "by hand" if told is None else f"by hand, by {told.who}"
    message = f"Before this rotation the value was changed {by}: version {version.version_id}"
    event_id = None if told is None else told.event_id
    return Entry(version.created_at, EntryKind.EVENT, message, Severity.WARNING, event_id=event_id)


def _who(kit: Kit, subject: SecretRecord, version: VersionRecord) -> Told | None:
    """Return who stored the value of a version; None if the trail does not say."""
    starts_at, ends_at = (to_milliseconds(version.created_at + around) for around in (-_AROUND, _AROUND))
    attribute = ("resource_name", subject.arn)
    question = audit_lookup.Question(Place.of(subject.arn), attribute, starts_at, ends_at, reader="")
    with kit.journal.read() as connection:
        records = [found.record for found in audit_lookup.lookup(connection, question, _MOST_RECORDS)]
    return next((told_of(record) for record in records if _made(record) == version.version_id), None)


def _made(record: AuditRecord) -> object:
    return (json.loads(record.event).get("responseElements") or {}).get("versionId")
