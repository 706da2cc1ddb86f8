"""The Lambda Runtime API: what awslambdaric polls, one port for each execution environment.

    GET  /2018-06-01/runtime/invocation/next             waits for an event
    POST /2018-06-01/runtime/invocation/ID/response      the function's answer
    POST /2018-06-01/runtime/invocation/ID/error         the function's failure
    POST /2018-06-01/runtime/init/error                  it did not even start

Source: AWS Lambda Developer Guide, "Using the Lambda runtime API".

The client knows only a host and a port, so there is no token to ask for. Instead the server looks up who holds the
other end of each connection, and answers processes of the environment alone; nobody else on the machine can read an
event or answer in the function's name. Where the environment has a network of its own the API listens in there, and
nobody else can connect. One event loop in one thread serves all environments.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import select
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import httptools

from keyturn.runtime import report
from keyturn.runtime.proc import holds_peer

_HOST = "127.0.0.1"
_PREFIX = "/2018-06-01/runtime"
_ANSWER_PATH = re.compile(_PREFIX + r"/invocation/([^/]+)/(response|error)")
_CONNECTIONS = 8
# Connections whose peer has not been checked yet. They have a bound of their own: other functions and local users can
# connect too, and must not take the places of the process that belongs here.
_UNCHECKED = 512
# awslambdaric sends up to 1 MiB of X-Ray details in one header.
_HEAD_LIMIT_BYTES = 1_300_000
# What is read beyond the answer's limit, so that the client hears the 413; then the connection is cut.
_BODY_LIMIT_BYTES = 64 * 1024 * 1024
_ADMISSION_SECONDS = 5.0
_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    413: "Payload Too Large",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One invocation as the function's process receives it."""

    request_id: str
    payload: bytes = field(repr=False)
    headers: Mapping[str, str]


class Listener(Protocol):
    """Is told what the process says. Called in the loop's thread, so nothing here may wait."""

    def on_ready(self) -> None:
        """The process asks for an event."""
        ...

    def on_init_error(self, error_type: str, body: bytes) -> None:
        """The function's module could not be imported, or has no such handler."""
        ...

    def on_taken(self) -> None:
        """The event last offered is on its way to the process."""
        ...

    def on_answer(self, body: bytes, *, failed: bool) -> None:
        """The function answered that event."""
        ...

    def on_answer_too_large(self) -> None:
        """The function answered that event with more than is allowed."""
        ...


class ApiLoop:
    """The thread in which all Runtime APIs live."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="keyturn-runtime-api", daemon=True)
        self._thread.start()

    def open(self, listener: Listener, *, listens: bool = True) -> RuntimeApi:
        """Open a Runtime API, on a free port if it listens from the beginning; else it adopts a socket later."""
        api = RuntimeApi(self._loop, listener)
        if listens:
            asyncio.run_coroutine_threadsafe(api.listen(), self._loop).result()
        return api

    def run(self, begin: Coroutine[Any, Any, Callable[[], None]]) -> Callable[[], None]:
        """Begin something else that lives here; return what ends it, callable from any thread."""
        end = asyncio.run_coroutine_threadsafe(begin, self._loop).result()
        return lambda: self._do(end)

    def _do(self, what: Callable[[], None]) -> None:
        """Do something in the loop and wait until it is done."""
        done: Future[None] = Future()

        def do() -> None:
            what()
            done.set_result(None)

        self._loop.call_soon_threadsafe(do)
        done.result()

    def close(self) -> None:
        """End the thread; every API must be closed before."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


class RuntimeApi:
    """The API of one execution environment. Public methods may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> None:
        self.address = ""
        self._loop = loop
        self._listener = listener
        self._root: asyncio.Future[int] = loop.create_future()
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._unchecked: set[_Connection] = set()
        self._waiting: _Connection | None = None
        self._offered: Event | None = None
        self._taken: Event | None = None
        self._initialised = False
        self._is_private = False

    async def listen(self) -> None:
        """Bind a free port; runs in the loop."""
        self._server = await self._loop.create_server(lambda: _Connection(self), _HOST, 0)
        port = self._server.sockets[0].getsockname()[1]
        self.address = f"{_HOST}:{port}"

    def adopt(self, listener: socket.socket) -> None:
        """Listen on a socket in the environment's own network, where nobody else can connect to it."""
        asyncio.run_coroutine_threadsafe(self._adopt(listener), self._loop).result()

    async def _adopt(self, listener: socket.socket) -> None:
        self._is_private = True
        self._server = await self._loop.create_server(lambda: _Connection(self), sock=listener)

    def admit(self, pid: int) -> None:
        """From now on, answer processes below ``pid``."""
        self._loop.call_soon_threadsafe(self._root.set_result, pid)

    def offer(self, event: Event) -> None:
        """Hand an event to the process, now or when it next asks."""
        self._loop.call_soon_threadsafe(self._offer, event)

    def close(self) -> None:
        """Stop listening and cut all connections; returns when that is done."""
        done: Future[None] = Future()

        def shut() -> None:
            if self._server is not None:
                self._server.close()
            for connection in (*self._connections, *self._unchecked):
                connection.cut()
            self._root.cancel()
            done.set_result(None)

        self._loop.call_soon_threadsafe(shut)
        done.result()

    # What follows runs in the loop's thread.

    def connected(self, connection: _Connection) -> bool:
        """Take up a connection whose peer is to be checked; False if there are too many."""
        if len(self._unchecked) >= _UNCHECKED:
            return False
        self._unchecked.add(connection)
        return True

    def admitted(self, connection: _Connection) -> bool:
        """Keep a connection of the environment's own; False if it has too many."""
        self._unchecked.discard(connection)
        if len(self._connections) >= _CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def disconnected(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._unchecked.discard(connection)
        if self._waiting is connection:
            self._waiting = None

    async def admits(self, peer: tuple[str, int], local: tuple[str, int]) -> bool:
        """Whether the other end belongs to the environment. A process can be faster than the thread that started it."""
        if self._is_private:
            return True
        try:
            root = await asyncio.wait_for(asyncio.shield(self._root), _ADMISSION_SECONDS)
        except (TimeoutError, asyncio.CancelledError):
            return False
        return holds_peer(root, peer, local)

    def answer(
        self, connection: _Connection, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> None:
        """Answer one request; ``body`` is None if it was too large to keep."""
        match = _ANSWER_PATH.fullmatch(path)
        if method == "GET" and path == f"{_PREFIX}/invocation/next":
            self._next(connection)
        elif method == "POST" and path == f"{_PREFIX}/init/error":
            self._init_error(connection, headers, body)
        elif method == "POST" and match:
            self._result(connection, match[1], headers, body, failed=match[2] == "error")
        else:
            connection.reply_error(404, "NotFound", "No such path in the runtime API.")

    def _next(self, connection: _Connection) -> None:
        if self._taken is not None or self._waiting is not None:
            connection.reply_error(403, "InvalidStateTransition", "The previous invocation has not been answered.")
            return
        if not self._initialised:
            self._initialised = True
            self._listener.on_ready()
        self._waiting = connection
        self._deliver()

    def _offer(self, event: Event) -> None:
        self._offered = event
        self._deliver()

    def _deliver(self) -> None:
        if self._waiting is None or self._offered is None:
            return
        connection, self._waiting = self._waiting, None
        # A process that has ended took nothing, so its successor may have the event.
        if not connection.is_open:
            connection.cut()
            return
        self._taken, self._offered = self._offered, None
        self._listener.on_taken()
        connection.reply(200, self._taken.payload, self._taken.headers)

    def _init_error(self, connection: _Connection, headers: Mapping[str, str], body: bytes | None) -> None:
        if self._initialised:
            connection.reply_error(403, "InvalidStateTransition", "The runtime has been initialised.")
            return
        self._initialised = True
        error_type = headers.get("lambda-runtime-function-error-type", "Runtime.Unknown")
        self._listener.on_init_error(error_type, report.too_large_payload() if body is None else body)
        connection.accept()

    def _result(
        self, connection: _Connection, request_id: str, headers: Mapping[str, str], body: bytes | None, *, failed: bool
    ) -> None:
        if self._taken is None or request_id != self._taken.request_id:
            connection.reply_error(400, "InvalidRequestID", "Invalid request ID")
            return
        expected = self._taken.headers.get("Lambda-Runtime-Invocation-Id")
        if headers.get("lambda-runtime-invocation-id", expected) != expected:
            connection.reply_error(400, "InvalidInvocationId", "Invalid invocation ID")
            return
        self._taken = None
        if body is None:
            self._listener.on_answer_too_large()
            connection.reply_error(413, "Function.ResponseSizeTooLarge", "Exceeded maximum allowed payload size.")
        else:
            self._listener.on_answer(body, failed=failed)
            connection.accept()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 for one connection: one request at a time, bounded, the peer checked before a byte is parsed."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._answering = False
        # The first bytes wait here until the peer has been checked, and no more are read. A pause in connection_made
        # would be shorter, but has no effect in Python 3.11.2.
        self._early: bytearray | None = bytearray()
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._body: bytearray | None = bytearray()
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - tells the type checker what create_server gives
        self._transport = transport
        if not self._api.connected(self):
            transport.abort()
            return
        self._task = asyncio.get_running_loop().create_task(self._admit(transport))

    async def _admit(self, transport: asyncio.Transport) -> None:
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        # Who has gone meanwhile has been forgotten, and is not to be kept again.
        if not await self._api.admits(peer, local) or self._transport is None or not self._api.admitted(self):
            transport.abort()
            return
        early, self._early = self._early, None
        transport.resume_reading()
        if early:
            self.data_received(bytes(early))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self._api.disconnected(self)

    @property
    def is_open(self) -> bool:
        """Whether the other end is still there, asked of the kernel: the loop may not have been told yet."""
        if self._transport is None:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket"), select.POLLRDHUP)
        return not poll.poll(0)

    def cut(self) -> None:
        """End the connection at once."""
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if self._transport is not None:
                self._transport.pause_reading()
            return
        # A client that sends while it waits for an answer is not awslambdaric.
        if self._answering:
            self.cut()
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.cut()
        if self._head_bytes > _HEAD_LIMIT_BYTES + self._body_bytes or self._body_bytes > _BODY_LIMIT_BYTES:
            self.cut()

    # httptools calls these.

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > report.RESPONSE_LIMIT_BYTES:
            self._body = None
        elif self._body is not None:
            self._body += body

    def on_message_complete(self) -> None:
        if self._answering:
            self.cut()
            return
        self._answering = True
        method = self._parser.get_method().decode()
        body = None if self._body is None else bytes(self._body)
        self._api.answer(self, method, self._url.decode("latin-1"), self._headers, body)

    def accept(self) -> None:
        """Answer that a message has arrived."""
        self.reply(202, b'{"status":"OK"}\n', {})

    def reply_error(self, status: int, error_type: str, message: str) -> None:
        """Refuse a request."""
        self.reply(status, json.dumps({"errorMessage": message, "errorType": error_type}).encode(), {})

    def reply(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Write one reply and be ready for the next request."""
        lines = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._reset()
        self._answering = False
        if self._transport is not None:
            with contextlib.suppress(OSError):
                self._transport.write("\r\n".join([*lines, "", ""]).encode() + body)
