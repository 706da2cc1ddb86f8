"""From a finished exchange to a stored audit event."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from keyturn.arn import Place
from keyturn.errors.base import AwsError
from keyturn.ids import new_event_id
from keyturn.operations.audit_trail import call_records, record_of
from keyturn.operations.call_events import call_events
from keyturn.rules.audit_event import event_name_of, unauthenticated_event
from keyturn.rules.audit_record import AuditRecord
from keyturn.server.exchange import Exchange
from keyturn.storage.audit_writer import AuditWriter
from keyturn.storage.database import StorageError
from keyturn.wire import protocol
from keyturn.wire.route import addressed_service

_CLAIMED_KEY = re.compile(r"Credential=([A-Za-z0-9]{1,128})/")


@dataclass(slots=True)
class _Batch:
    """The events of one turn of the event loop. Their calls wait for the same future."""

    stored: asyncio.Future[None]
    records: list[AuditRecord] = field(default_factory=list)


class Auditor:
    """Stores an event for every call, together with those of the same turn of the event loop."""

    def __init__(self, writer: AuditWriter, place: Place, now: Callable[[], datetime]) -> None:
        self._writer = writer
        self._place = place
        self._now = now
        self._batch: _Batch | None = None

    def record(self, exchange: Exchange) -> asyncio.Future[None]:
        """Take an event in.

        Returns:
            Done when the event is stored; holds a StorageError if it is not. Others may wait for it, too.
        """
        batch = self._batch
        if batch is None:
            loop = asyncio.get_running_loop()
            self._batch = batch = _Batch(loop.create_future())
            loop.call_soon(self._hand_over)
        batch.records.extend(self._audit_records(exchange))
        return batch.stored

    def _hand_over(self) -> None:
        batch, self._batch = self._batch, None
        if batch is None:
            return
        loop = asyncio.get_running_loop()

        def done(error: Exception | None) -> None:
            with suppress(RuntimeError):  # The loop has ended: the server stops, and nobody waits any more.
                loop.call_soon_threadsafe(_settle, batch.stored, error)

        try:
            if self._writer.store_at_once(batch.records):
                _settle(batch.stored, None)
            else:
                self._writer.submit(batch.records, done)
        except StorageError as error:
            _settle(batch.stored, error)

    def _audit_records(self, exchange: Exchange) -> list[AuditRecord]:
        call = exchange.call
        if call is None:
            return [self._unauthenticated(exchange)]
        model, operation = exchange.model, exchange.operation
        if model is None:
            raise TypeError("a call whose caller is known has been routed")
        events = call_events(
            call,
            model,
            exchange.parameters,
            exchange.subject,
            read_only=operation.read_only if operation else False,
            response=exchange.response,
            error=exchange.error,
        )
        return call_records(call, [*events, *(call.further_events or ())])

    def _unauthenticated(self, exchange: Exchange) -> AuditRecord:
        request, error = exchange.request, exchange.error or AwsError()
        service = exchange.route.service if exchange.route else addressed_service(request)
        claimed = _CLAIMED_KEY.search(request.headers.get("authorization", ""))
        access_key_id = claimed.group(1) if claimed else ""
        now = self._now()
        event = unauthenticated_event(
            event_id=new_event_id(now),
            event_source=service.event_source,
            event_name=event_name_of(service.name, exchange.route.operation_name) if exchange.route else "",
            at=now,
            place=self._place,
            source_address=request.client_host,
            user_agent=request.headers.get("user-agent", ""),
            request_id=exchange.request_id,
            access_key_id=access_key_id,
            error_code=protocol(service).told_as(service, error).code,
            error_message=error.message,
            entrance=request.entrance,
        )
        return record_of(event, now, access_key_id=access_key_id or None)


def _settle(stored: asyncio.Future[None], error: Exception | None) -> None:
    if stored.done():
        return  # The server stops, and whoever waited was cancelled.
    if error is None:
        stored.set_result(None)
    else:
        stored.set_exception(error)
