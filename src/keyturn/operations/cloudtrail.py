"""AWS CloudTrail's LookupEvents, over every audit event that Keyturn has stored. It does not stop at 90 days."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.cloudtrail import (
    InvalidLookupAttributesException,
    InvalidNextTokenException,
    InvalidTimeRangeException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.storage import audit_log
from keyturn.storage.audit_log import AuditRecord
from keyturn.storage.schema import from_milliseconds, to_milliseconds
from keyturn.wire.types.cloudtrail import Event, LookupEventsRequest, LookupEventsResponse, Resource

_PAGE_SIZE = 50
# Types of resources have no column: their rows are read through, a bounded number for each page.
_SCANNED_AT_ONCE = 500
_SCANNED_PER_PAGE = 5000
_RESOURCE_TYPE = "ResourceType"
_COLUMNS = {
    "AccessKeyId": "access_key_id",
    "EventId": "event_id",
    "EventName": "event_name",
    "EventSource": "event_source",
    "ReadOnly": "read_only",
    "ResourceName": "resource_name",
    "Username": "username",
}

Row = tuple[int, AuditRecord]


@dataclass(frozen=True, slots=True)
class _Question:
    """What is looked up; ``starts_at`` and ``ends_at`` are milliseconds since the epoch, both inclusive."""

    attribute: tuple[str, str] | None
    starts_at: int | None
    ends_at: int | None

    @property
    def listing(self) -> str:
        """What its page tokens are bound to."""
        asked = json.dumps([self.attribute, self.starts_at, self.ends_at])
        return f"LookupEvents {hashlib.sha256(asked.encode()).hexdigest()}"


@operation("cloudtrail", "LookupEvents", subject=no_subject)
def lookup_events(kit: Kit, call: Call, request: LookupEventsRequest, _subject: None) -> LookupEventsResponse:
    """Find audit events, newest first."""
    question = _question(request)
    before_row: int | None = None
    if "NextToken" in request:
        refusal = InvalidNextTokenException("The token is not one that this lookup returned.")
        before_row = int(open_page(kit, call, question.listing, request["NextToken"], refusal)["before"])
    if "EventCategory" in request:
        # The only category that can be asked for is insight, and Keyturn finds none.
        return {"Events": []}
    limit = request.get("MaxResults", _PAGE_SIZE)
    with kit.journal.read() as connection:
        if question.attribute is not None and question.attribute[0] == _RESOURCE_TYPE:
            rows, next_before = _scan(connection, call.place, question, before_row, limit)
        else:
            rows, next_before = _find(connection, call.place, question, before_row, limit)
    response: LookupEventsResponse = {"Events": [_shown(record) for _, record in rows]}
    if next_before is not None:
        response["NextToken"] = seal_page(kit, call, question.listing, before=str(next_before))
    return response


def _question(request: LookupEventsRequest) -> _Question:
    """Read what is asked.

    Raises:
        InvalidLookupAttributesException: More than one attribute, or a value that it cannot have.
        InvalidTimeRangeException: The range ends before it begins.
    """
    attributes = request.get("LookupAttributes") or []
    if len(attributes) > 1:
        raise InvalidLookupAttributesException("You can only specify one lookup attribute.")
    attribute: tuple[str, str] | None = None
    if attributes:
        attribute = (attributes[0]["AttributeKey"], attributes[0]["AttributeValue"])
        if attribute[0] == "ReadOnly" and attribute[1] not in ("true", "false"):
            raise InvalidLookupAttributesException("The value of ReadOnly must be true or false.")
    starts_at, ends_at = request.get("StartTime"), request.get("EndTime")
    if starts_at is not None and ends_at is not None and starts_at > ends_at:
        raise InvalidTimeRangeException("The start time must not be later than the end time.")
    return _Question(
        attribute,
        starts_at=None if starts_at is None else _whole_second(starts_at),
        # Events show whole seconds: one that happened within the last second of the range belongs to it.
        ends_at=None if ends_at is None else _whole_second(ends_at) + 999,
    )


def _find(
    connection: Connection, place: Place, question: _Question, before_row: int | None, limit: int
) -> tuple[list[Row], int | None]:
    """Return a page and the row that the next page begins below, None if it is the last."""
    attribute: tuple[str, object] | None = None
    if question.attribute is not None:
        key, value = question.attribute
        attribute = (_COLUMNS[key], value == "true" if key == "ReadOnly" else value)
    rows = audit_log.lookup(
        connection,
        place,
        attribute=attribute,
        starts_at=question.starts_at,
        ends_at=question.ends_at,
        before_row=before_row,
        limit=limit + 1,
    )
    return rows[:limit], rows[limit - 1][0] if len(rows) > limit else None


def _scan(
    connection: Connection, place: Place, question: _Question, before_row: int | None, limit: int
) -> tuple[list[Row], int | None]:
    """Return events whose resources have a type, like :func:`_find`; a page may be short though more follow."""
    resource_type = question.attribute[1] if question.attribute else ""
    found: list[Row] = []
    for _ in range(_SCANNED_PER_PAGE // _SCANNED_AT_ONCE):
        rows = audit_log.lookup(
            connection,
            place,
            starts_at=question.starts_at,
            ends_at=question.ends_at,
            before_row=before_row,
            limit=_SCANNED_AT_ONCE,
        )
        for row, record in rows:
            before_row = row
            if resource_type in record.event and any(
                resource.get("ResourceType") == resource_type for resource in _resources(record)
            ):
                found.append((row, record))
                if len(found) == limit:
                    return found, before_row
        if len(rows) < _SCANNED_AT_ONCE:
            return found, None
    return found, before_row


def _shown(record: AuditRecord) -> Event:
    event: Event = {
        "EventId": record.event_id,
        "EventName": record.event_name,
        "ReadOnly": "true" if record.read_only else "false",
        "EventTime": from_milliseconds(record.event_time).replace(microsecond=0),
        "EventSource": record.event_source,
        "Resources": _resources(record),
        "CloudTrailEvent": record.event,
    }
    if record.access_key_id:
        event["AccessKeyId"] = record.access_key_id
    if record.username:
        event["Username"] = record.username
    return event


def _resources(record: AuditRecord) -> list[Resource]:
    listed = json.loads(record.event).get("resources") or []
    resources = [_resource(entry) for entry in listed]
    names = {resource.get("ResourceName") for resource in resources}
    if record.resource_name and record.resource_name not in names:
        resources.append({"ResourceName": record.resource_name})
    return resources


def _resource(entry: Mapping[str, str | None]) -> Resource:
    resource: Resource = {}
    if resource_type := entry.get("type"):
        resource["ResourceType"] = resource_type
    if arn := entry.get("ARN"):
        resource["ResourceName"] = arn
    return resource


def _whole_second(moment: datetime) -> int:
    return to_milliseconds(moment.replace(microsecond=0))
