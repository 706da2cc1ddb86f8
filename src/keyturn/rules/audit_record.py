"""An audit event as it is stored: with what it can be looked up by, and with its place in the chain."""

from __future__ import annotations

from typing import NamedTuple


class AuditRecord(NamedTuple):
    """An audit event with what it can be looked up by.

    Attributes:
        account_id: Whose trail it is in.
        region: Likewise.
        event_time: Milliseconds since the epoch.
        event: The whole event as JSON, already redacted.
    """

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
    event: str


class ChainedRecord(NamedTuple):
    """A stored record; ``link`` is None if it was stored before there was a chain."""

    sequence: int
    link: bytes | None
    record: AuditRecord
