"""The load generator: keep-alive connections in a closed loop, in one process, as light as Python allows.

It shares the machine with the server it measures, so a request costs it one ``send``, one ``recv``, a share of one
``epoll_wait`` and two or three microseconds of its own. What a client library would do for each request (serialise,
sign, parse) is done beforehand: requests are bytes, and the length of each reply's body is known from the first
reading, in which the value itself was compared. Under load every status line and every body's length is checked.
"""

from __future__ import annotations

import re
import select
import socket
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple, Self

from keyturn.errors.base import KeyturnError

_HOST = "127.0.0.1"
_CONNECT_SECONDS = 5
# Nothing at all comes back for this long: the server hangs.
_STALL_SECONDS = 10
# Connections that break, for all of a run together: beyond it there is nothing to measure.
_LOST_LIMIT = 1000
# Larger than any reply of the benchmark, so that one recv gets it.
_RECEIVE_BYTES = 65_536
_OK = b"HTTP/1.1 200 "
_END_OF_HEAD = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Request(NamedTuple):
    """One request as bytes, and how long the body of its reply is."""

    raw: bytes
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of the generator saw.

    Attributes:
        seconds: How long it ran.
        latencies: Of each good reply, in seconds, in ascending order: from before ``send`` to after ``recv``.
        faults: How often what went wrong.
        cpu_seconds: What the generator itself used, kernel included.
    """

    seconds: float
    latencies: Sequence[float]
    faults: Mapping[str, int]
    cpu_seconds: float

    def percentile(self, share: float) -> float:
        """Return the latency in seconds that ``share`` (0 to 1) of the replies did not exceed; 0 without replies."""
        return self.latencies[min(int(len(self.latencies) * share), len(self.latencies) - 1)] if self.latencies else 0.0


def learn(port: int, raws: Sequence[bytes], check: Callable[[int, bytes], None]) -> list[Request]:
    """Send each request once, one after the other, and return them with the lengths of their replies' bodies.

    Args:
        port: Of the server, on loopback.
        raws: The requests.
        check: Gets each request's index and its reply's body, and raises KeyturnError if that is not the right one.

    Raises:
        KeyturnError: A request was refused, or the server hung or closed the connection.
    """
    requests = []
    try:
        with socket.create_connection((_HOST, port), _STALL_SECONDS) as connection:
            for index, raw in enumerate(raws):
                connection.sendall(raw)
                body = _read_reply(connection)
                check(index, body)
                requests.append(Request(raw, len(body)))
    except OSError as error:
        raise KeyturnError(f"A first reading failed: {error}") from error
    return requests


class Generator:
    """Keeps one request outstanding on each of its connections; all of them take turns through the same requests.

    Args:
        port: Of the server, on loopback.
        requests: From :func:`learn`.
        connections: How many.
    """

    def __init__(self, port: int, requests: Sequence[Request], connections: int) -> None:
        self._port = port
        self._order: Iterator[Request] = cycle(requests)
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._faults: Counter[str] = Counter()
        self._lost = 0
        for _ in range(connections):
            self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.close()
        self._epoll.close()

    def run(self, seconds: float) -> Run:
        """Send for so long, then wait for what is outstanding, which is not counted any more.

        Raises:
            KeyturnError: The server hangs, or breaks one connection after the other.
        """
        self._faults.clear()
        latencies = array("d")
        started_at, cpu_before = time.perf_counter(), time.process_time()
        for connection in self._connections.values():
            connection.send(next(self._order))
        self._exchange(latencies, started_at + seconds)
        elapsed_seconds, cpu_seconds = time.perf_counter() - started_at, time.process_time() - cpu_before
        faults = dict(self._faults)
        self._drain()
        return Run(elapsed_seconds, sorted(latencies), faults, cpu_seconds)

    def _exchange(self, latencies: array[float], until: float) -> None:
        """The hot loop: take what has come, check it, send the next request on the same connection."""
        connections, order, poll, clock = self._connections, self._order, self._epoll.poll, time.perf_counter
        while clock() < until:
            ready = poll(_STALL_SECONDS)
            if not ready:
                raise KeyturnError(f"The server has not answered anything for {_STALL_SECONDS} seconds.")
            for descriptor, _ in ready:
                connection = connections[descriptor]
                reply = connection.receive()
                received_at = clock()
                end = reply.find(_END_OF_HEAD)
                if end > 0 and len(reply) - end - 4 == connection.body_bytes and reply.startswith(_OK):
                    latencies.append(received_at - connection.sent_at)
                elif not self._is_settled(connection, reply):
                    continue
                connection.send(next(order))

    def _is_settled(self, connection: _Connection, reply: bytes) -> bool:
        """Count what is wrong with a reply; False if more of it is to come, or if the next request is on its way."""
        if not reply:
            self._faults["connection lost"] += 1
            self._replace(connection).send(next(self._order))
            return False
        fault = _fault(reply, connection.body_bytes)
        if fault is None:
            connection.partial = reply
            return False
        self._faults[fault] += 1
        return True

    def _replace(self, connection: _Connection) -> _Connection:
        self._lost += 1
        if self._lost > _LOST_LIMIT:
            raise KeyturnError("The server breaks one connection after the other.")
        del self._connections[connection.descriptor]
        connection.close()
        return self._connect()

    def _connect(self) -> _Connection:
        try:
            connection = _Connection(self._port)
        except OSError as error:
            raise KeyturnError(f"The server does not take a connection: {error}") from error
        self._connections[connection.descriptor] = connection
        self._epoll.register(connection.descriptor, select.EPOLLIN)
        return connection

    def _drain(self) -> None:
        """Read the replies that are still to come, so that the next run starts with quiet connections."""
        waiting = set(self._connections)
        until = time.perf_counter() + _STALL_SECONDS
        while waiting and (left := until - time.perf_counter()) > 0:
            for descriptor, _ in self._epoll.poll(left):
                connection = self._connections[descriptor]
                reply = connection.receive()
                if reply and _fault(reply, connection.body_bytes) is None and not connection.is_whole(reply):
                    connection.partial = reply
                    continue
                waiting.discard(descriptor)
                if not reply:
                    self._replace(connection)
        if waiting:
            raise KeyturnError(f"{len(waiting)} requests were never answered.")


class _Connection:
    """A keep-alive connection and the request that is outstanding on it."""

    __slots__ = ("_receive", "_send", "_socket", "body_bytes", "descriptor", "partial", "sent_at")

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((_HOST, port), _CONNECT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._receive = self._socket.recv
        self._send = self._socket.sendall
        self.descriptor = self._socket.fileno()
        self.partial = b""
        self.body_bytes = 0
        self.sent_at = 0.0

    def send(self, request: Request) -> None:
        """Send a request. It fits into the socket's buffer, which is empty: the request before it was answered."""
        self.body_bytes = request.body_bytes
        self.sent_at = time.perf_counter()
        try:
            self._send(request.raw)
        except OSError:
            # The end of the connection is told by the next receive.
            return

    def receive(self) -> bytes:
        """Return what has come of the reply so far; nothing if the connection has ended."""
        try:
            received = self._receive(_RECEIVE_BYTES)
        except OSError:
            return b""
        if self.partial and received:
            received = self.partial + received
            self.partial = b""
        return received

    def is_whole(self, reply: bytes) -> bool:
        """Whether the expected reply has come completely."""
        end = reply.find(_END_OF_HEAD)
        return end > 0 and len(reply) - end - 4 == self.body_bytes

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def _fault(reply: bytes, body_bytes: int) -> str | None:
    """Return what is wrong with a reply, or None if it is good or has not come completely yet."""
    end = reply.find(_END_OF_HEAD)
    if end < 0:
        return None
    announced = _CONTENT_LENGTH.search(reply, 0, end + 2)
    if announced is None:
        return "reply without a length"
    if len(reply) - end - 4 < int(announced[1]):
        return None
    status = _STATUS_LINE.match(reply)
    if status is None or status[1] != b"200":
        return f"status {status[1].decode() if status else 'unreadable'}"
    received_bytes = len(reply) - end - 4
    return None if received_bytes == body_bytes else f"body of {received_bytes} bytes instead of {body_bytes}"


def _read_reply(connection: socket.socket) -> bytes:
    """Return the body of one reply with status 200."""
    reply = b""
    while True:
        received = connection.recv(_RECEIVE_BYTES)
        if not received:
            raise KeyturnError("The server closed the connection.")
        reply += received
        end = reply.find(_END_OF_HEAD)
        announced = _CONTENT_LENGTH.search(reply, 0, end + 2) if end > 0 else None
        if announced is not None and len(reply) - end - 4 >= int(announced[1]):
            body = reply[end + 4 :]
            if not reply.startswith(_OK):
                raise KeyturnError(f"The server refused: {reply[:end].splitlines()[0].decode()} {body[:500].decode()}")
            return body
