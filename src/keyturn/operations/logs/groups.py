"""Log groups and their streams: make, list, remove, and for how long events are shown.

Source: Amazon CloudWatch Logs API Reference; texts as recorded by localstack, their missing full stops included.
"""

from __future__ import annotations

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.logs import (
    InvalidParameterException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.logs.subjects import (
    NO_GROUP,
    StreamInGroup,
    every_group,
    group_name,
    log_group,
    log_stream,
    new_group,
    policy_arn,
)
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.storage import function_logs
from keyturn.storage.function_logs import LogGroupRecord, LogStreamRecord
from keyturn.wire.types.logs import (
    CreateLogGroupRequest,
    CreateLogGroupResponse,
    CreateLogStreamRequest,
    CreateLogStreamResponse,
    DeleteLogGroupRequest,
    DeleteLogGroupResponse,
    DeleteLogStreamRequest,
    DeleteLogStreamResponse,
    DeleteRetentionPolicyRequest,
    DeleteRetentionPolicyResponse,
    DescribeLogGroupsRequest,
    DescribeLogGroupsResponse,
    DescribeLogStreamsRequest,
    DescribeLogStreamsResponse,
    LogGroup,
    LogStream,
    PutRetentionPolicyRequest,
    PutRetentionPolicyResponse,
)

_PAGE_SIZE = 50
_RETENTION_DAYS = frozenset(
    {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)
_BAD_TOKEN = "The specified nextToken is invalid."  # noqa: S105 - AWS's text, not a token


@operation("logs", "CreateLogGroup", subject=new_group)
def create_log_group(kit: Kit, call: Call, request: CreateLogGroupRequest, _subject: None) -> CreateLogGroupResponse:
    """Make a log group."""
    asked_for = [
        member
        for member, asks in (
            ("kmsKeyId", "kmsKeyId" in request),
            ("tags", bool(request.get("tags"))),
            ("logGroupClass", request.get("logGroupClass", "STANDARD") != "STANDARD"),
            ("deletionProtectionEnabled", request.get("deletionProtectionEnabled", False)),
        )
        if asks
    ]
    if asked_for:
        raise InvalidParameterException(f"Keyturn does not offer this value of {asked_for[0]}.")
    with kit.journal.write() as transaction:
        if not function_logs.create_group(transaction, call.place, request["logGroupName"], call.at):
            raise ResourceAlreadyExistsException("The specified log group already exists")
    return {}


@operation("logs", "DeleteLogGroup", subject=log_group)
def delete_log_group(
    kit: Kit, _call: Call, _request: DeleteLogGroupRequest, group: LogGroupRecord
) -> DeleteLogGroupResponse:
    """Remove a log group with everything in it."""
    with kit.journal.write() as transaction:
        function_logs.delete_group(transaction, group)
    return {}


@operation("logs", "DescribeLogGroups", subject=every_group)
def describe_log_groups(
    kit: Kit, call: Call, request: DescribeLogGroupsRequest, _subject: None
) -> DescribeLogGroupsResponse:
    """List log groups by name."""
    prefix, pattern = request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", "")
    if prefix and pattern:
        raise InvalidParameterException(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    if request.get("logGroupClass", "STANDARD") != "STANDARD":
        return {"logGroups": []}
    if "logGroupIdentifiers" in request:
        return {"logGroups": _named_groups(kit, call.place, request["logGroupIdentifiers"])}
    listing = f"logs:DescribeLogGroups:{prefix}:{pattern}"
    after = ""
    if "nextToken" in request:
        after = open_page(kit, call, listing, request["nextToken"], InvalidParameterException(_BAD_TOKEN))["after"]
    limit = request.get("limit", _PAGE_SIZE)
    with kit.journal.read() as connection:
        found = function_logs.list_groups(
            connection, call.place, prefix=prefix, contains=pattern, after=after, limit=limit + 1
        )
    response: DescribeLogGroupsResponse = {"logGroups": [_shown_group(call.place, group) for group in found[:limit]]}
    if len(found) > limit:
        response["nextToken"] = seal_page(kit, call, listing, after=found[limit - 1].name)
    return response


def new_stream(kit: Kit, call: Call, request: CreateLogStreamRequest) -> Subject[LogGroupRecord]:
    """The log stream that CreateLogStream would make, in a group that exists."""
    arn = policy_arn(call.place, request["logGroupName"], request["logStreamName"])
    with kit.journal.read() as connection:
        group = function_logs.load_group(connection, call.place, request["logGroupName"])
    return Subject(arn, arn, group, missing=ResourceNotFoundException(NO_GROUP) if group is None else None)


@operation("logs", "CreateLogStream", subject=new_stream)
def create_log_stream(
    kit: Kit, call: Call, request: CreateLogStreamRequest, group: LogGroupRecord
) -> CreateLogStreamResponse:
    """Make a log stream."""
    with kit.journal.write() as transaction:
        # The group may have been deleted since it was loaded; a stream of no group would break the transaction.
        current = function_logs.load_group(transaction.connection, call.place, group.name)
        if current is None:
            raise ResourceNotFoundException(NO_GROUP)
        if not function_logs.create_stream(transaction, current, request["logStreamName"], call.at):
            raise ResourceAlreadyExistsException("The specified log stream already exists")
    return {}


@operation("logs", "DeleteLogStream", subject=log_stream)
def delete_log_stream(
    kit: Kit, _call: Call, _request: DeleteLogStreamRequest, found: StreamInGroup
) -> DeleteLogStreamResponse:
    """Remove a log stream with its events."""
    with kit.journal.write() as transaction:
        function_logs.delete_stream(transaction, found.stream)
    return {}


@operation("logs", "DescribeLogStreams", subject=log_group)
def describe_log_streams(
    kit: Kit, call: Call, request: DescribeLogStreamsRequest, group: LogGroupRecord
) -> DescribeLogStreamsResponse:
    """List the streams of a log group by name or by their last event."""
    prefix, descending = request.get("logStreamNamePrefix", ""), request.get("descending", False)
    by_last_event = request.get("orderBy", "LogStreamName") == "LastEventTime"
    if by_last_event and prefix:
        raise InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
    listing = f"logs:DescribeLogStreams:{group.group_id}:{prefix}:{by_last_event}:{descending}"
    after: LogStreamRecord | None = None
    if "nextToken" in request:
        position = open_page(kit, call, listing, request["nextToken"], InvalidParameterException(_BAD_TOKEN))
        after = _stream_at(group, position)
    limit = request.get("limit", _PAGE_SIZE)
    with kit.journal.read() as connection:
        found = function_logs.list_streams(
            connection,
            group,
            prefix=prefix,
            by_last_event=by_last_event,
            descending=descending,
            after=after,
            limit=limit + 1,
        )
    response: DescribeLogStreamsResponse = {
        "logStreams": [_shown_stream(call.place, group, stream) for stream in found[:limit]]
    }
    if len(found) > limit:
        last = found[limit - 1]
        response["nextToken"] = seal_page(
            kit, call, listing, name=last.name, last_event_ms=str(last.last_event_ms or 0)
        )
    return response


@operation("logs", "PutRetentionPolicy", subject=log_group)
def put_retention_policy(
    kit: Kit, _call: Call, request: PutRetentionPolicyRequest, group: LogGroupRecord
) -> PutRetentionPolicyResponse:
    """Set for how many days the events of a group are shown."""
    days = request["retentionInDays"]
    if days not in _RETENTION_DAYS:
        allowed = ", ".join(str(number) for number in sorted(_RETENTION_DAYS))
        raise InvalidParameterException(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint:"
            f" Member must satisfy enum value set: [{allowed}]"
        )
    with kit.journal.write() as transaction:
        function_logs.store_retention(transaction, group, days)
    return {}


@operation("logs", "DeleteRetentionPolicy", subject=log_group)
def delete_retention_policy(
    kit: Kit, _call: Call, _request: DeleteRetentionPolicyRequest, group: LogGroupRecord
) -> DeleteRetentionPolicyResponse:
    """Show the events of a group for ever."""
    with kit.journal.write() as transaction:
        function_logs.store_retention(transaction, group, None)
    return {}


def _named_groups(kit: Kit, place: Place, identifiers: list[str]) -> list[LogGroup]:
    names = sorted({group_name(place, {"logGroupIdentifier": identifier}) for identifier in identifiers})
    with kit.journal.read() as connection:
        found = [function_logs.load_group(connection, place, name) for name in names]
    return [_shown_group(place, group) for group in found if group is not None]


def _shown_group(place: Place, group: LogGroupRecord) -> LogGroup:
    arn = place.log_group_arn(group.name)
    shown: LogGroup = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "logGroupClass": "STANDARD",
        # AWS counts bytes hours later, and recordings show 0.
        "storedBytes": 0,
        "deletionProtectionEnabled": False,
    }
    if group.retention_days is not None:
        shown["retentionInDays"] = group.retention_days
    return shown


def _shown_stream(place: Place, group: LogGroupRecord, stream: LogStreamRecord) -> LogStream:
    shown: LogStream = {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "arn": policy_arn(place, group.name, stream.name),
        "storedBytes": 0,
    }
    if stream.first_event_ms is not None:
        shown["firstEventTimestamp"] = stream.first_event_ms
    if stream.last_event_ms is not None:
        shown["lastEventTimestamp"] = stream.last_event_ms
    if stream.last_ingestion_ms is not None:
        shown["lastIngestionTime"] = stream.last_ingestion_ms
    return shown


def _stream_at(group: LogGroupRecord, position: dict[str, str]) -> LogStreamRecord:
    """The last stream of the page before, as far as the order of streams needs it; it may be gone by now."""
    return LogStreamRecord(
        stream_id=0,
        group_id=group.group_id,
        name=position["name"],
        created_ms=0,
        first_event_ms=None,
        last_event_ms=int(position["last_event_ms"]),
        last_ingestion_ms=None,
    )
