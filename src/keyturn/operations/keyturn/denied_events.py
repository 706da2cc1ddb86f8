"""LookupDeniedEvents: refused calls, newest first. CloudTrail can be asked for names and resources, not for outcomes.

Refusals are few among many events, and nothing leads to them but reading: a request reads so many events at most, and
its token goes on from there.
"""

from __future__ import annotations

from datetime import timedelta

from keyturn.call import Call
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.rules.audit_record import ChainedRecord
from keyturn.storage import audit_lookup
from keyturn.storage.audit_lookup import Question
from keyturn.wire.types.keyturn import DeniedEventType, LookupDeniedEventsRequest, LookupDeniedEventsResponse

_PAGE_SIZE = 50
# A tenth of a second, or some.
_MOST_READ = 20_000
# As far as LookupEvents of CloudTrail.
_HISTORY = timedelta(days=90)


@operation("keyturn", "LookupDeniedEvents", subject=no_subject)
def lookup_denied_events(
    kit: Kit, call: Call, request: LookupDeniedEventsRequest, _subject: None
) -> LookupDeniedEventsResponse:
    """Find events of calls that the policies did not allow, newest first."""
    starts_at, ends_at = request.get("StartTime"), request.get("EndTime")
    oldest = call.at - _HISTORY
    listing = f"LookupDeniedEvents {starts_at} {ends_at}"
    before = None
    bounds = [] if ends_at is None else [to_milliseconds(ends_at)]
    if "NextToken" in request:
        position = open_page(kit, call, listing, request["NextToken"], InvalidNextTokenException())
        before = (int(position["time"]), int(position["sequence"]))
        # An index can be asked for a moment alone.
        bounds.append(before[0])
    question = Question(
        call.place,
        starts_at=to_milliseconds(oldest if starts_at is None else max(oldest, starts_at)),
        ends_at=min(bounds, default=None),
        before=before,
    )
    limit = request.get("MaxResults", _PAGE_SIZE)
    with kit.journal.read() as connection:
        found, end = audit_lookup.lookup_denied(connection, question, limit, most_read=_MOST_READ)
    response: LookupDeniedEventsResponse = {"Events": [_shown(stored) for stored in found]}
    if end is not None:
        time, sequence = end
        response["LookedBackTo"] = from_milliseconds(time)
        response["NextToken"] = seal_page(kit, call, listing, time=str(time), sequence=str(sequence))
    return response


def _shown(stored: ChainedRecord) -> DeniedEventType:
    record = stored.record
    return {
        "EventId": record.event_id,
        "EventTime": from_milliseconds(record.event_time),
        "CloudTrailEvent": record.event,
    }
