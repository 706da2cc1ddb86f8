"""What the Logs operations act on: log groups and log streams, by name or ARN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.call import Call
from keyturn.clock import to_milliseconds
from keyturn.errors.logs import InvalidParameterException, ResourceNotFoundException, ValidationException
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.storage import function_logs
from keyturn.storage.function_logs import LogGroupRecord, LogStreamRecord

_GROUP_PREFIX = "log-group:"
NO_GROUP = "The specified log group does not exist."
NO_STREAM = "The specified log stream does not exist."


@dataclass(frozen=True, slots=True)
class StreamInGroup:
    """A log stream with its group, whose retention counts for it."""

    group: LogGroupRecord
    stream: LogStreamRecord


def group_name(place: Place, request: Mapping[str, Any]) -> str:
    """Return the name of the log group that a request means.

    Raises:
        InvalidParameterException: It names none.
        ResourceNotFoundException: It means one of another account or region.
        ValidationException: It names the group in both ways.
    """
    name: str | None = request.get("logGroupName")
    identifier: str | None = request.get("logGroupIdentifier")
    if name is not None and identifier is not None:
        raise ValidationException("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
    given = name or identifier
    if given is None:
        raise InvalidParameterException("Either logGroupName or logGroupIdentifier must be given.")
    try:
        resource = Arn.parse(given).resource
    except InvalidArn:
        return given
    name = resource.removeprefix(_GROUP_PREFIX).removesuffix(":*")
    if given.removesuffix(":*") != place.log_group_arn(name):
        raise ResourceNotFoundException(NO_GROUP)
    return name


def policy_arn(place: Place, group: str, stream: str = "") -> str:
    """Return the ARN that policies are asked about.

    Every call but those on tags means a stream, of an empty name if the group is meant, so that policies end in ``:*``.
    Source: AWS's texts of refusals; Amazon CloudWatch Logs User Guide, "CloudWatch Logs resources and operations".
    """
    return f"{place.log_group_arn(group)}:log-stream:{stream}"


def new_group(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[None]:
    """The log group that CreateLogGroup would make."""
    arn = policy_arn(call.place, request["logGroupName"])
    return Subject(arn, arn, record=None)


def every_group(_kit: Kit, call: Call, _request: object) -> Subject[None]:
    """All log groups of the account."""
    arn = policy_arn(call.place, "")
    return Subject(arn, arn, record=None)


def log_group(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[LogGroupRecord]:
    """Load a log group."""
    name = group_name(call.place, request)
    with kit.journal.read() as connection:
        group = function_logs.load_group(connection, call.place, name)
    arn = policy_arn(call.place, name)
    return Subject(arn, arn, group, missing=ResourceNotFoundException(NO_GROUP) if group is None else None)


def log_stream(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[StreamInGroup]:
    """Load a log stream with its group."""
    name, stream_name = group_name(call.place, request), request["logStreamName"]
    with kit.journal.read() as connection:
        group = function_logs.load_group(connection, call.place, name)
        stream = function_logs.load_stream(connection, call.place, name, stream_name)
    arn = policy_arn(call.place, name, stream_name)
    if group is None or stream is None:
        missing = ResourceNotFoundException(NO_GROUP if group is None else NO_STREAM)
        return Subject(arn, arn, record=None, missing=missing)
    return Subject(arn, arn, StreamInGroup(group, stream))


def visible_from_ms(group: LogGroupRecord, at: datetime) -> int:
    """Return the timestamp before which events have expired; 0 if they never do."""
    if group.retention_days is None:
        return 0
    return to_milliseconds(at - timedelta(days=group.retention_days))
