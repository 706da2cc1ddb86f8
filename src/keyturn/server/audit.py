"""From a finished exchange to a stored audit event."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from keyturn.arn import Arn, InvalidArn, Place
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.ids import new_event_id
from keyturn.operations.audit_trail import further_records, record_of
from keyturn.rules.audit_event import Event, api_event, shared_with, unauthenticated_event
from keyturn.server.authorise import Refused
from keyturn.server.exchange import Exchange
from keyturn.storage.audit_log import AuditRecord, AuditWriter
from keyturn.storage.database import StorageError
from keyturn.wire import protocol
from keyturn.wire.redact import request_parameters, response_elements
from keyturn.wire.route import addressed_service

_CLAIMED_KEY = re.compile(r"Credential=([A-Za-z0-9]{1,128})/")
_RESOURCE_TYPES = {
    "secretsmanager": "AWS::SecretsManager::Secret",
    "lambda": "AWS::Lambda::Function",
    "sts": "AWS::IAM::Role",
    "kms": "AWS::KMS::Key",
}


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
        if exchange.call is not None and exchange.call.further_events:
            batch.records.extend(further_records(exchange.call))
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
        """Return the event of a call, and the same for the account whose resource it was about if that is another."""
        call = exchange.call
        if call is None:
            return [self._unauthenticated(exchange)]
        arn = exchange.subject.arn
        events = [_event(exchange, call)]
        # An ARN of nobody's making must not write into the trail of the account that it names.
        owner = None if exchange.subject.record is None else _other_owner(arn, call)
        if owner is not None:
            events.append(shared_with(events[0], new_event_id(), owner, new_event_id()))
        return [
            record_of(
                event,
                call.at,
                username=call.principal.session_name or call.principal.name,
                access_key_id=call.principal.access_key_id,
                resource_name=None if arn == "*" else arn,
            )
            for event in events
        ]

    def _unauthenticated(self, exchange: Exchange) -> AuditRecord:
        request, error = exchange.request, exchange.error or AwsError()
        service = exchange.route.service if exchange.route else addressed_service(request)
        claimed = _CLAIMED_KEY.search(request.headers.get("authorization", ""))
        access_key_id = claimed.group(1) if claimed else ""
        now = self._now()
        event = unauthenticated_event(
            event_id=new_event_id(),
            event_source=f"{service.name}.amazonaws.com",
            event_name=exchange.route.operation_name if exchange.route else "",
            at=now,
            place=self._place,
            source_address=request.client_host,
            user_agent=request.headers.get("user-agent", ""),
            request_id=exchange.request_id,
            access_key_id=access_key_id,
            error_code=protocol(service).told_as(service, error).code,
            error_message=error.message,
        )
        return record_of(event, now, access_key_id=access_key_id or None)


def _settle(stored: asyncio.Future[None], error: Exception | None) -> None:
    if stored.done():
        return  # The server stops, and whoever waited was cancelled.
    if error is None:
        stored.set_result(None)
    else:
        stored.set_exception(error)


def _event(exchange: Exchange, call: Call) -> Event:
    model, error, operation = exchange.model, exchange.error, exchange.operation
    if model is None:
        raise TypeError("a call whose caller is known has been routed")
    read_only = operation.read_only if operation else False
    arn = exchange.subject.arn
    answered = error is None and not read_only
    return api_event(
        call,
        event_id=new_event_id(),
        event_source=f"{model.service.name}.amazonaws.com",
        event_name=model.name,
        read_only=read_only,
        request_parameters=request_parameters(model, exchange.parameters),
        response_elements=response_elements(model, exchange.response) if answered else None,
        error_code=protocol(model.service).told_as(model.service, error).code if error else None,
        error_message=error.message if error else None,
        resource_arn=None if arn == "*" else arn,
        resource_type=_resource_type(model.service.name, arn),
        decision=error.decision if isinstance(error, Refused) else None,
    )


def _other_owner(arn: str, call: Call) -> str | None:
    """Return the account of a resource if it is an account of this partition other than the caller's."""
    if f":{call.place.account_id}:" in arn:
        return None
    try:
        account_id = Arn.parse(arn).account_id
    except InvalidArn:
        return None
    return account_id or None


def _resource_type(service_name: str, arn: str) -> str | None:
    if service_name == "iam":
        return "AWS::IAM::User" if ":user/" in arn else "AWS::IAM::Role"
    return _RESOURCE_TYPES.get(service_name)
