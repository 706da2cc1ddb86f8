"""The life of a call: route, authenticate, count, parse, load, authorise, handle, serialise, audit.

Every call of every service passes here, also those that end in an error. The audit event is stored before the reply
leaves; if it cannot be stored, the call fails.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from keyturn import ids
from keyturn.arn import Place
from keyturn.call import Call
from keyturn.entrance import Entrance
from keyturn.errors.base import AwsError, KeyturnError
from keyturn.errors.common import InternalFailure, NotImplementedHere, UnknownOperation
from keyturn.operations import registry
from keyturn.operations.kit import Kit
from keyturn.operations.registry import Runs
from keyturn.operations.subject import Subject
from keyturn.server.audit import Auditor
from keyturn.server.authenticate import Authenticator, Signer
from keyturn.server.exchange import Exchange
from keyturn.server.throttle import Throttle
from keyturn.server.vpc_endpoints import FindVpcEndpoint, check_region, check_service
from keyturn.wire import protocol
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.models import OperationModel, ServiceModel
from keyturn.wire.route import Route, addressed_service, route

_log = logging.getLogger(__name__)

# Bodies larger than this are hashed and parsed in a thread, so that one upload does not hold up the loop.
_LARGE_BODY_BYTES = 64 * 1024
_THREADS = 16
_WAITING_THREADS = 128


class MightAllow(Protocol):
    """Says what the policies would allow, if the rest of a request were chosen well."""

    def __call__(self, call: Call, action: str, subject: Subject[object], *, resource_is_chosen: bool) -> bool:
        """Return whether they allow it, or would with parameters that the caller has not chosen yet."""
        ...


class Pipeline:
    """Answers requests."""

    def __init__(
        self,
        kit: Kit,
        authenticator: Authenticator,
        auditor: Auditor,
        throttle: Throttle,
        find_endpoint: FindVpcEndpoint,
        might_allow: MightAllow,
    ) -> None:
        self._kit = kit
        self._authenticator = authenticator
        self._auditor = auditor
        self._throttle = throttle
        self._find_endpoint = find_endpoint
        self._might_allow = might_allow
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="call")
        self._waiting_threads = ThreadPoolExecutor(_WAITING_THREADS, thread_name_prefix="waiting-call")
        self._reads_on_loop = kit.state.dialect.is_embedded
        self._is_fresh = False
        self._refreshed_at_commit = -1
        # Replies by operation and HTTP status, written on the loop only. What is no operation of a model is counted
        # under None: its name could be anything.
        self.replies: defaultdict[tuple[OperationModel | None, int], int] = defaultdict(int)

    async def answer(self, request: HttpRequest) -> HttpReply:
        """Run one request through all steps."""
        exchange = Exchange(request, ids.new_request_id())
        try:
            await self._run(exchange)
        except asyncio.CancelledError:
            # The server ends before the call does. That is recorded; to wait for it would be cancelled as well.
            exchange.error = InternalFailure("The server is shutting down.")
            self._auditor.record(exchange)
            return _serialise(exchange)
        return await self._finish(exchange)

    async def refuse(self, request: HttpRequest, error: AwsError) -> HttpReply:
        """Answer a request that is not to be looked at any further, in the words of the service it is for."""
        exchange = Exchange(request, ids.new_request_id(), error=error)
        with suppress(UnknownOperation):
            exchange.route = route(request)
        return await self._finish(exchange)

    def might_allow(self, request: HttpRequest, *, resource_is_chosen: bool = False) -> bool:
        """Return whether the policies let a call through, as far as that is known before its parameters are.

        For faces that show what somebody can do; to do it is decided, and recorded, when it is done. Nothing is done by
        asking, no event is recorded, and it is no use of the key. What is wrong with a request beside that it is not
        allowed is told when it is made.

        Args:
            request: Signed; parameters that are not chosen yet may have any value that can be read.
            resource_is_chosen: Whether one of them names what the call is about.
        """
        exchange = Exchange(request, ids.new_request_id())
        try:
            self._kit.kept.refresh()
            call, found, model = self._identify(exchange)
        except AwsError:
            return False
        operation = registry.find(found.service.name, found.operation_name)
        if operation is None or not operation.action:
            return operation is not None
        try:
            parameters = protocol(found.service, request).parse(model, found, request)
            subject = operation.load(self._kit, call, parameters)
        except AwsError as error:
            _log.info("%s is offered unjudged: %s", operation.action, error.message)
            return True
        try:
            return self._might_allow(call, operation.action, subject, resource_is_chosen=resource_is_chosen)
        except KeyturnError:
            # A policy that applies cannot be read, and the call would fail as well.
            return False

    async def _run(self, exchange: Exchange) -> None:
        on_loop = self._reads_on_loop and len(exchange.request.body) <= _LARGE_BODY_BYTES
        if on_loop:
            _attempt(exchange, self._understand_on_loop)
        else:
            await _attempt_in(self._threads, exchange, self._understand_in_thread)
        if exchange.operation is not None and exchange.error is None:
            runs = exchange.operation.runs
            if on_loop and runs is Runs.ON_LOOP:
                _attempt(exchange, self._act)
            else:
                threads = self._waiting_threads if runs is Runs.WAITING else self._threads
                await _attempt_in(threads, exchange, self._act)

    async def _finish(self, exchange: Exchange) -> HttpReply:
        """Serialise, then record; nobody is served without a record of it."""
        try:
            reply = _serialise(exchange)
        except Exception:  # the edge: a reply that cannot be written is a fault of ours like any other
            _log.exception("reply not written, request id %s", exchange.request_id)
            exchange.error = InternalFailure()
            reply = _serialise(exchange)
        try:
            await self._auditor.record(exchange)
        except Exception:  # likewise
            _log.exception("audit event not stored, request id %s", exchange.request_id)
            exchange.error = InternalFailure()
            reply = _serialise(exchange)
        self.replies[exchange.model, reply.status] += 1
        return reply

    def close(self) -> None:
        """End the threads; calls under way are let finish."""
        self._threads.shutdown()
        self._waiting_threads.shutdown(cancel_futures=True)

    def _understand_on_loop(self, exchange: Exchange) -> None:
        """Understand, having looked for changes of stored rows once in this turn of the loop.

        Nothing else opens an embedded database, so what changes within a turn are commits of this process.
        """
        state = self._kit.state
        if self._refreshed_at_commit != state.last_commit:
            self._refreshed_at_commit = state.last_commit
            self._kit.kept.refresh()
        elif not self._is_fresh:
            self._kit.kept.refresh()
            self._is_fresh = True
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._understand(exchange)

    def _end_turn(self) -> None:
        self._is_fresh = False

    def _understand_in_thread(self, exchange: Exchange) -> None:
        self._kit.kept.refresh()
        self._understand(exchange)

    def _understand(self, exchange: Exchange) -> None:
        """Route, authenticate, count and parse."""
        call, found, model = self._identify(exchange)
        self._kit.uses.note(call.principal, found.service.name, call.place.region, call.at)
        if self._kit.audit_log.refuses:
            # What cannot be recorded must not happen. That it was refused is recorded as soon as anything can be again,
            # which is also how that is found out.
            raise InternalFailure
        if found.service.name == "secretsmanager":
            self._throttle.count(call, found.operation_name)
        exchange.operation = registry.find(found.service.name, found.operation_name)
        if exchange.operation is None:
            raise NotImplementedHere(
                f"Keyturn does not offer {found.service.name} {found.operation_name}; see docs/compatibility.md."
            )
        exchange.parameters = protocol(found.service, exchange.request).parse(model, found, exchange.request)

    def _identify(self, exchange: Exchange) -> tuple[Call, Route, OperationModel]:
        """Route and authenticate."""
        request = exchange.request
        exchange.route = found = route(request)
        exchange.model = model = found.service.operation(found.operation_name)
        now = self._kit.clock.now()
        signer, region = self._authenticator.authenticate(request, found.service.signing_name, now)
        exchange.call = call = self._call(exchange, signer, region, now)
        if request.entrance is not None:
            self._check_way(request.entrance, found.service, region)
        return call, found, model

    def _check_way(self, entrance: Entrance, service: ServiceModel, region: str) -> None:
        """Check that a call has come by a way that leads to its service: an endpoint leads to one, in its region."""
        endpoint = self._find_endpoint(entrance) if entrance.vpc_endpoint_id else None
        # One that is not there any more lets nothing through, as the policies will tell.
        if endpoint is not None:
            check_service(endpoint, service.name)
            check_region(entrance, region)

    def _act(self, exchange: Exchange) -> None:
        """Load, authorise and handle."""
        operation, call = exchange.operation, exchange.call
        if operation is None or call is None:
            raise TypeError("only an understood call can act")
        exchange.subject = subject = operation.load(self._kit, call, exchange.parameters)
        if operation.action:
            self._kit.authorise(call, operation.action, subject)
        if subject.missing is not None:
            raise subject.missing
        exchange.response = operation.handle(self._kit, call, exchange.parameters, subject.record)

    def _call(self, exchange: Exchange, signer: Signer, region: str, now: datetime) -> Call:
        request = exchange.request
        return Call(
            principal=signer.principal,
            place=Place(self._kit.partition, region, signer.principal.account_id),
            source_address=request.client_host,
            user_agent=request.headers.get("user-agent", ""),
            request_id=exchange.request_id,
            at=now,
            session_policy=signer.session_policy,
            session_policy_arns=signer.session_policy_arns,
            # What comes in by a door never leaves the machine: a policy against eavesdroppers has nothing to forbid.
            secure_transport=request.scheme == "https" or request.entrance is not None,
            endpoint=f"{request.scheme}://{request.headers.get('host', '')}",
            further_events=[],
            entrance=request.entrance,
        )


def _attempt(exchange: Exchange, step: Callable[[Exchange], None]) -> None:
    """Run a step; what it raises becomes the exchange's error, and what nobody foresaw an internal one."""
    try:
        step(exchange)
    except AwsError as error:
        exchange.error = error
    except Exception:  # the edge: whatever it is, the caller gets an answer and the operator the details
        _log.exception("call failed, request id %s", exchange.request_id)
        exchange.error = InternalFailure()


async def _attempt_in(threads: Executor, exchange: Exchange, step: Callable[[Exchange], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(threads, _attempt, exchange, step)


def _serialise(exchange: Exchange) -> HttpReply:
    request, request_id = exchange.request, exchange.request_id
    if exchange.error is None and exchange.model is not None:
        return protocol(exchange.model.service, request).reply(exchange.model, exchange.response, request_id)
    service = exchange.route.service if exchange.route else addressed_service(request)
    return protocol(service, request).error(service, exchange.model, exchange.error or InternalFailure(), request_id)
