"""What the audit trail says of a rotation, as far as the caller may read the trail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.operations.keyturn.spans import Interval, Span, around, running
from keyturn.operations.kit import Kit
from keyturn.operations.subject import NO_SUBJECT
from keyturn.rules.audit_event import event_time
from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.rules.timeline_calls import Calls, Question, calls_of
from keyturn.storage import audit_lookup
from keyturn.storage.rotations import RotationRecord

_ACTION = "cloudtrail:LookupEvents"
# Of each interval; a rotation has some thirty.
_MOST_RECORDS = 1000


@dataclass(slots=True)
class CallsSeen:
    """What the trail says; what is to be said of that; whether some of it was not read."""

    calls: Calls = field(default_factory=Calls)
    notes: list[str] = field(default_factory=list)
    is_cut: bool = False


def calls_seen(
    kit: Kit, call: Call, secret_arn: str, rotation: RotationRecord, function_name: str, spans: Sequence[Span]
) -> CallsSeen:
    """Return what the trail says of a rotation.

    Args:
        kit: Adapters.
        call: Whose permission counts.
        secret_arn: Of the secret, which is of the caller's account.
        rotation: Which rotation.
        function_name: Of its function.
        spans: Its steps.
    """
    if not may_look_up(kit, call):
        note = f"Calls, refusals and moves of labels are left out: reading them takes the permission {_ACTION}."
        return CallsSeen(notes=[note])
    seen = CallsSeen()
    place, found = Place.of(secret_arn), {}
    of_secret = [(("resource_name", secret_arn), interval) for interval in around(rotation, spans, call.at)]
    of_session = [(("username", function_name), interval) for interval in running(spans)]
    with kit.journal.read() as connection:
        oldest_ms = audit_lookup.oldest_time(connection)
        for attribute, interval in [*of_secret, *of_session]:
            records = _records(connection, place, attribute, interval, function_name)
            seen.is_cut |= len(records) == _MOST_RECORDS
            found.update({record.sequence: record.record for record in records})
    if oldest_ms is None or oldest_ms > to_milliseconds(rotation.requested_at):
        since = "is empty" if oldest_ms is None else f"begins at {event_time(from_milliseconds(oldest_ms))}"
        seen.notes.append(f"The audit trail {since}: of the time before only the rotation's own record is left.")
    if seen.is_cut:
        seen.notes.append("The audit trail has more of this time than is shown: earlier calls are left out.")
    question = Question(
        secret_arn,
        rotation.version_id,
        function_name,
        [(span.begins_at, span.ends_at) for span in spans],
        rotation.kind.value,
    )
    seen.calls = calls_of(question, _oldest_first(found))
    return seen


def may_look_up(kit: Kit, call: Call) -> bool:
    """Whether the caller may look up events of the audit trail."""
    return kit.authorise.decide(call, _ACTION, NO_SUBJECT).allowed


def _records(
    connection: Connection, place: Place, attribute: tuple[str, object], interval: Interval, function_name: str
) -> list[ChainedRecord]:
    starts_at, ends_at = (to_milliseconds(moment) for moment in interval)
    question = audit_lookup.Question(place, attribute, starts_at, ends_at, reader=function_name)
    return audit_lookup.lookup(connection, question, _MOST_RECORDS)


def _oldest_first(found: dict[int, AuditRecord]) -> list[AuditRecord]:
    return [record for _, record in sorted(found.items(), key=lambda each: (each[1].event_time, each[0]))]
