"""From a finished exchange to a stored audit event."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from keyturn.storage.audit_log import AuditRecord, AuditWriter

if TYPE_CHECKING:
    from keyturn.server.pipeline import Exchange


class Auditor:
    """Stores an event for every call, gathered with those of its neighbours into one transaction."""

    def __init__(self, writer: AuditWriter) -> None:
        self._writer = writer

    def record(self, exchange: Exchange) -> asyncio.Future[None]:
        """Hand the event over; the future is done when it is on disk.

        Raises (from the future):
            StorageError: It is not.
        """
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()

        def done(error: Exception | None) -> None:
            loop.call_soon_threadsafe(_settle, stored, error)

        self._writer.submit(audit_record(exchange), done)
        return stored
