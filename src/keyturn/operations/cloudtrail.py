"""AWS CloudTrail's LookupEvents, over every audit event of the last 90 days."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.call import Call
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.errors.cloudtrail import (
    InvalidLookupAttributesException,
    InvalidNextTokenException,
    InvalidTimeRangeException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import no_subject, operation
from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.storage import audit_lookup
from keyturn.storage.audit_lookup import Question
from keyturn.wire.types.cloudtrail import Event, LookupEventsRequest, LookupEventsResponse, Resource

_PAGE_SIZE = 50
# Source: CloudTrail User Guide, "Working with CloudTrail Event history".
_HISTORY = timedelta(days=90)
_COLUMNS = {
    "AccessKeyId": "access_key_id",
    "EventId": "event_id",
    "EventName": "event_name",
    "EventSource": "event_source",
    "ReadOnly": "read_only",
    "ResourceName": "resource_name",
    "ResourceType": "resource_type",
    "Username": "username",
}


@operation("cloudtrail", "LookupEvents", subject=no_subject)
def lookup_events(kit: Kit, call: Call, request: LookupEventsRequest, _subject: None) -> LookupEventsResponse:
    """Find audit events, newest first."""
    question = _question(call, request)
    listing = _listing(question)
    if "NextToken" in request:
        refusal = InvalidNextTokenException("The token is not one that this lookup returned.")
        position = open_page(kit, call, listing, request["NextToken"], refusal)
        question = replace(question, before=(int(position["time"]), int(position["sequence"])))
    if "EventCategory" in request:
        # The only category that can be asked for is insight, and Keyturn finds none.
        return {"Events": []}
    limit = request.get("MaxResults", _PAGE_SIZE)
    oldest = to_milliseconds(call.at - _HISTORY)
    recent = replace(question, starts_at=max(oldest, question.starts_at or oldest))
    with kit.journal.read() as connection:
        found = audit_lookup.lookup(connection, recent, limit + 1)
    response: LookupEventsResponse = {"Events": [_shown(stored.record) for stored in found[:limit]]}
    if len(found) > limit:
        response["NextToken"] = seal_page(kit, call, listing, **_place_of(found[limit - 1]))
    return response


def _question(call: Call, request: LookupEventsRequest) -> Question:
    """Read what is asked.

    Raises:
        InvalidLookupAttributesException: More than one attribute, or a value that it cannot have.
        InvalidTimeRangeException: The range ends before it begins.
    """
    attributes = request.get("LookupAttributes") or []
    if len(attributes) > 1:
        raise InvalidLookupAttributesException("You can only specify one lookup attribute.")
    attribute: tuple[str, object] | None = None
    if attributes:
        key, value = attributes[0]["AttributeKey"], attributes[0]["AttributeValue"]
        if key == "ReadOnly" and value not in ("true", "false"):
            raise InvalidLookupAttributesException("The value of ReadOnly must be true or false.")
        attribute = (_COLUMNS[key], value == "true" if key == "ReadOnly" else value)
    starts_at, ends_at = request.get("StartTime"), request.get("EndTime")
    if starts_at is not None and ends_at is not None and starts_at > ends_at:
        raise InvalidTimeRangeException("The start time must not be later than the end time.")
    return Question(
        call.place,
        attribute,
        starts_at=None if starts_at is None else _whole_second(starts_at),
        # Events show whole seconds: one that happened within the last second of the range belongs to it.
        ends_at=None if ends_at is None else _whole_second(ends_at) + 999,
    )


def _listing(question: Question) -> str:
    """Return what the page tokens of a question are bound to."""
    asked = json.dumps([question.attribute, question.starts_at, question.ends_at])
    return f"LookupEvents {hashlib.sha256(asked.encode()).hexdigest()}"


def _place_of(stored: ChainedRecord) -> dict[str, str]:
    return {"time": str(stored.record.event_time), "sequence": str(stored.sequence)}


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
        resource: Resource = {"ResourceName": record.resource_name}
        if record.resource_type and not resources:
            resource["ResourceType"] = record.resource_type
        resources.append(resource)
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
