"""One audit record as one line of JSON: what leaves the database, and can be verified outside of it.

A line has the columns of the record by their names, its sequence and its link (hexadecimal digits). ``event`` comes
last and is the CloudTrail record itself, as an object: byte for byte the text that the chain has sealed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from keyturn.rules.audit_record import AuditRecord, ChainedRecord

_OBJECT: Final = "{"
_encode = msgspec.json.Encoder().encode


class _Line(msgspec.Struct):
    sequence: int
    link: str | None
    account_id: str
    region: str
    event_id: str
    event_time: int
    event_source: str
    event_name: str
    username: str | None
    access_key_id: str | None
    read_only: bool
    resource_name: str | None
    resource_type: str | None
    error_code: str | None
    request_id: str
    event: msgspec.Raw


_decoder = msgspec.json.Decoder(_Line)


def line_of(stored: ChainedRecord) -> bytes:
    """Return a record as a line, without the end of line."""
    event = stored.record.event
    # What no encoder of ours has written must not break lines.
    is_ours = event.startswith(_OBJECT) and "\n" not in event and "\r" not in event
    columns: dict[str, Any] = {
        "sequence": stored.sequence,
        "link": None if stored.link is None else stored.link.hex(),
        **stored.record._asdict(),
        "event": msgspec.Raw(event.encode()) if is_ours else event,
    }
    return _encode(columns)


def parse_line(line: bytes) -> ChainedRecord:
    """Return the record that :func:`line_of` wrote.

    Raises:
        ValueError: It is none.
    """
    try:
        parsed = _decoder.decode(line)
        raw = bytes(parsed.event)
        event = raw.decode() if raw.startswith(_OBJECT.encode()) else msgspec.json.decode(raw, type=str)
        link = None if parsed.link is None else bytes.fromhex(parsed.link)
    except ValueError as error:
        raise ValueError("This is no audit record.") from error
    columns = {name: getattr(parsed, name) for name in AuditRecord._fields if name != "event"}
    return ChainedRecord(parsed.sequence, link, AuditRecord(**columns, event=event))
