"""Log events: put, get, filter.

A page of events ends at its limit or at 1 MB, whichever comes first, and is read in small pieces, because one event may
have 1 MB itself. ``aws logs tail --follow`` calls FilterLogEvents again and again from the newest timestamp it has seen
and drops repeats by ``eventId``: an event's id is the number of its row and never changes.

Source: Amazon CloudWatch Logs API Reference; texts as recorded by localstack.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.clock import to_milliseconds
from keyturn.errors.logs import InvalidParameterException, ResourceNotFoundException
from keyturn.operations.kit import Kit
from keyturn.operations.logs.subjects import NO_STREAM, StreamInGroup, log_group, log_stream, visible_from_ms
from keyturn.operations.paging import open_page, seal_page
from keyturn.operations.registry import operation
from keyturn.rules.log_filter import compile_filter
from keyturn.storage import function_logs
from keyturn.storage.function_logs import LogEventRecord, LogGroupRecord, LogPage, LogPosition
from keyturn.wire.types.logs import (
    FilteredLogEvent,
    FilterLogEventsRequest,
    FilterLogEventsResponse,
    GetLogEventsRequest,
    GetLogEventsResponse,
    InputLogEvent,
    PutLogEventsRequest,
    PutLogEventsResponse,
    RejectedLogEventsInfo,
)

_PAGE_SIZE = 10_000
_PAGE_BYTES = 1_048_576
_PIECE_SIZE = 250
# How many events one FilterLogEvents call looks at: more where the database can leave out what does not match. AWS,
# too, answers short or empty pages with a token.
_SCAN_LIMIT, _SEARCH_LIMIT = 20_000, 200_000
_BATCH_BYTES = 1_048_576
# AWS counts 26 bytes for each event beside its message.
_EVENT_OVERHEAD_BYTES = 26
_BATCH_SPAN_MS = 24 * 3600 * 1000
_EVENT_ID_DIGITS = 56
_OLDEST, _NEWEST = timedelta(days=14), timedelta(hours=2)
_BAD_TOKEN = "The specified nextToken is invalid."  # noqa: S105 - AWS's text, not a token

ReadPiece = Callable[[LogPosition | None, int], LogPage]


@operation("logs", "PutLogEvents", subject=log_stream)
def put_log_events(kit: Kit, call: Call, request: PutLogEventsRequest, found: StreamInGroup) -> PutLogEventsResponse:
    """Store events in a stream; those too old or too new are left out, and that is no error."""
    batch = request["logEvents"]
    _check_batch(batch)
    oldest_ms = to_milliseconds(call.at - _OLDEST)
    expired_before_ms = visible_from_ms(found.group, call.at)
    newest_ms = to_milliseconds(call.at + _NEWEST)
    # The batch is in chronological order, so what is rejected lies at its ends.
    too_old = sum(event["timestamp"] < oldest_ms for event in batch)
    expired = sum(event["timestamp"] < expired_before_ms for event in batch)
    too_new = sum(event["timestamp"] > newest_ms for event in batch)
    accepted = batch[max(too_old, expired) : len(batch) - too_new]
    if accepted:
        lines = [(event["timestamp"], event["message"]) for event in accepted]
        function_logs.append_events(kit.journal, call.place, found.group.name, found.stream.name, lines, call.at)
    # Sequence tokens are a memory of older clients, which want one and may send any.
    response: PutLogEventsResponse = {"nextSequenceToken": str(uuid.uuid4().int)}
    rejected: RejectedLogEventsInfo = {}
    if too_new:
        rejected["tooNewLogEventStartIndex"] = len(batch) - too_new
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired:
        rejected["expiredLogEventEndIndex"] = expired
    if rejected:
        response["rejectedLogEventsInfo"] = rejected
    return response


@operation("logs", "GetLogEvents", subject=log_stream)
def get_log_events(kit: Kit, call: Call, request: GetLogEventsRequest, found: StreamInGroup) -> GetLogEventsResponse:
    """Read one stream forwards or backwards; at either end the same token comes back."""
    token = request.get("nextToken")
    listing = f"logs:GetLogEvents:{found.stream.stream_id}"
    forward, position = request.get("startFromHead", False), None
    if token is not None:
        forward, position = _open_event_token(kit, call, listing, token)
    starts_ms = max(request.get("startTime", 0), visible_from_ms(found.group, call.at))

    with kit.journal.read() as connection:

        def read(here: LogPosition | None, limit: int) -> LogPage:
            return function_logs.get_events(
                connection,
                found.stream,
                starts_ms=starts_ms,
                ends_ms=request.get("endTime"),
                position=here,
                forward=forward,
                limit=limit,
            )

        page = _page_of_stream(read, position, request.get("limit", _PAGE_SIZE), forward=forward)

    def token_of(direction: str, there: LogPosition) -> str:
        if token is not None and token.startswith(direction) and there == position:
            return token
        sealed = seal_page(kit, call, listing, timestamp_ms=str(there.timestamp_ms), event_row=str(there.event_row))
        return f"{direction}{sealed}"

    return {
        "events": [
            {"timestamp": event.timestamp_ms, "message": event.message, "ingestionTime": event.ingested_ms}
            for event in page.events
        ],
        "nextForwardToken": token_of("f/", page.forward),
        "nextBackwardToken": token_of("b/", page.backward),
    }


@operation("logs", "FilterLogEvents", subject=log_group)
def filter_log_events(
    kit: Kit, call: Call, request: FilterLogEventsRequest, group: LogGroupRecord
) -> FilterLogEventsResponse:
    """Search the events of a group, those of all streams interleaved, oldest first."""
    wanted = compile_filter(request.get("filterPattern", ""))
    listing = _filter_listing(request, group)
    position: LogPosition | None = None
    if "nextToken" in request:
        refusal = InvalidParameterException(_BAD_TOKEN)
        position = _position(open_page(kit, call, listing, request["nextToken"], refusal))
    starts_ms = max(request.get("startTime", 0), visible_from_ms(group, call.at))
    ends_ms = request.get("endTime")
    with kit.journal.read() as connection:
        _check_filter(connection, call.place, request, group)
        most = _SEARCH_LIMIT if wanted.texts else _SCAN_LIMIT
        until = function_logs.place_behind(
            connection, group, most, starts_ms=starts_ms, ends_ms=ends_ms, position=position
        )

        def read(here: LogPosition | None, limit: int) -> LogPage:
            return function_logs.filter_events(
                connection,
                group,
                streams=request.get("logStreamNames", ()),
                stream_prefix=request.get("logStreamNamePrefix", ""),
                texts=wanted.texts,
                starts_ms=starts_ms,
                ends_ms=ends_ms,
                position=here,
                until=until,
                limit=limit,
            )

        events, rest = _search(read, position, until, request.get("limit", _PAGE_SIZE), wanted.matches)
    response: FilterLogEventsResponse = {"events": [_shown(event) for event in events], "searchedLogStreams": []}
    if rest is not None:
        response["nextToken"] = seal_page(
            kit, call, listing, timestamp_ms=str(rest.timestamp_ms), event_row=str(rest.event_row)
        )
    return response


def _check_batch(batch: list[InputLogEvent]) -> None:
    """Refuse a batch that AWS refuses as a whole."""
    size_bytes = 0
    for event in batch:
        event_bytes = len(event["message"].encode("utf-8", "surrogatepass")) + _EVENT_OVERHEAD_BYTES
        if event_bytes > _BATCH_BYTES:
            raise InvalidParameterException(f"Log event too large: {event_bytes} bytes exceeds limit of {_BATCH_BYTES}")
        size_bytes += event_bytes
    if size_bytes > _BATCH_BYTES:
        raise InvalidParameterException(f"Upload too large: {size_bytes} bytes exceeds limit of {_BATCH_BYTES}")
    moments = [event["timestamp"] for event in batch]
    if moments != sorted(moments):
        raise InvalidParameterException("Log events in a single PutLogEvents request must be in chronological order.")
    if moments[-1] - moments[0] > _BATCH_SPAN_MS:
        raise InvalidParameterException(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        )


def _open_event_token(kit: Kit, call: Call, listing: str, token: str) -> tuple[bool, LogPosition]:
    """Return whether a token of GetLogEvents leads forward, and from where."""
    direction, sealed = token[:2], token[2:]
    refusal = InvalidParameterException(_BAD_TOKEN)
    if direction not in ("f/", "b/"):
        raise refusal
    return direction == "f/", _position(open_page(kit, call, listing, sealed, refusal))


def _position(fields: dict[str, str]) -> LogPosition:
    return LogPosition(int(fields["timestamp_ms"]), int(fields["event_row"]))


def _events(
    read: ReadPiece, position: LogPosition | None, piece_size: int, *, forward: bool
) -> Iterator[LogEventRecord]:
    """Yield events in the order of reading, fetching a piece when the one before is used up."""
    while True:
        page = read(position, piece_size)
        yield from page.events if forward else reversed(page.events)
        if len(page.events) < piece_size:
            return
        position = page.forward if forward else page.backward


def _page_of_stream(read: ReadPiece, position: LogPosition | None, limit: int, *, forward: bool) -> LogPage:
    """Return as many events as a page may hold, oldest first, and where reading goes on in either direction."""
    taken: list[LogEventRecord] = []
    size_bytes = 0
    for event in itertools.islice(_events(read, position, min(limit, _PIECE_SIZE), forward=forward), limit):
        size_bytes += _size_bytes(event)
        if taken and size_bytes > _PAGE_BYTES:
            break
        taken.append(event)
    if not taken:
        here = position or LogPosition(0, 0)
        return LogPage([], here, here)
    if not forward:
        taken.reverse()
    first, last = taken[0], taken[-1]
    return LogPage(
        taken,
        backward=LogPosition(first.timestamp_ms, first.event_row),
        forward=LogPosition(last.timestamp_ms, last.event_row + 1),
    )


def _search(
    read: ReadPiece,
    position: LogPosition | None,
    until: LogPosition | None,
    limit: int,
    matches: Callable[[str], bool],
) -> tuple[list[LogEventRecord], LogPosition | None]:
    """Return the matching events of one page, and the first event that was not looked at, if there is one."""
    found: list[LogEventRecord] = []
    size_bytes = 0
    for event in _events(read, position, _PIECE_SIZE, forward=True):
        here = LogPosition(event.timestamp_ms, event.event_row)
        if len(found) == limit:
            return found, here
        if not matches(event.message):
            continue
        size_bytes += _size_bytes(event)
        if found and size_bytes > _PAGE_BYTES:
            return found, here
        found.append(event)
    return found, until


def _size_bytes(event: LogEventRecord) -> int:
    return len(event.message.encode()) + _EVENT_OVERHEAD_BYTES


def _filter_listing(request: FilterLogEventsRequest, group: LogGroupRecord) -> str:
    """Name the question, so that a token of one is refused by another; streams and pattern as a hash, for length."""
    members = ("logStreamNames", "logStreamNamePrefix", "filterPattern")
    terms = json.dumps([request.get(member) for member in members])
    return f"logs:FilterLogEvents:{group.group_id}:{hashlib.sha256(terms.encode()).hexdigest()}"


def _check_filter(connection: Connection, place: Place, request: FilterLogEventsRequest, group: LogGroupRecord) -> None:
    names = request.get("logStreamNames", [])
    if names and "logStreamNamePrefix" in request:
        raise InvalidParameterException("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
    if not request.get("startFromHead", True):
        raise InvalidParameterException("Keyturn does not offer this value of startFromHead.")
    if any(function_logs.load_stream(connection, place, group.name, name) is None for name in names):
        raise ResourceNotFoundException(NO_STREAM)


def _shown(event: LogEventRecord) -> FilteredLogEvent:
    return {
        "logStreamName": event.stream_name,
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingested_ms,
        "eventId": f"{event.event_row:0{_EVENT_ID_DIGITS}d}",
    }
