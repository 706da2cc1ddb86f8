"""Syslog: one message a record (RFC 5424), over UDP, TCP, TLS or a local socket.

A message is ``<PRI>1 TIMESTAMP HOSTNAME keyturn PROCID MSGID - JSON``: facility 13 (log audit), severity 4 (warning)
for what was refused and 6 (informational) else; MSGID is the event's name and JSON the line of ``rules/audit_line.py``.
It is in UTF-8 without a byte order mark (the RFC's MSG-ANY): what the chain has sealed stays as it is. Over TCP and TLS
messages are counted (RFC 6587 section 3.4.1, RFC 5425).

Syslog acknowledges nothing. What is sent over a stream counts as delivered when the receiver's machine has it; what a
receiver loses afterwards is lost, and so is every datagram that the network loses.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Self

from keyturn.clock import Clock, from_milliseconds
from keyturn.rules.audit_line import line_of
from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.sinks.base import Location, SinkError

_FACILITY, _WARNING, _INFORMATIONAL = 13, 4, 6
_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}
_MAX_BYTES, _LEAST_MAX_BYTES = 8192, 2048
_LARGEST_DATAGRAM, _LARGEST_MESSAGE = 65_000, 1_000_000
# What is left out, one after the other, of an event that is too long for a message.
_LARGE_MEMBERS = ("responseElements", "requestParameters", "additionalEventData", "userAgent", "errorMessage")
_NOT_PRINTABLE = re.compile(r"[^!-~]", re.ASCII)
_LONGEST_MESSAGE_ID, _LONGEST_HOST = 32, 255
# What is cut off of an event that is too long even without its large members.
_TEXTS, _TEXT_CHARACTERS = ("event_name", "username", "access_key_id", "resource_name", "request_id"), 64
_TIMEOUT_SECONDS = 5.0
_LOOK_SECONDS = 0.005


class SyslogSink:
    """Sends to one receiver; connects when there is something to send, and anew when a connection has broken.

    Args:
        name: Of the sink, for errors.
        connect: Returns a connected socket.
        max_bytes: Of a message; longer events are told without their largest members.
        is_stream: Whether messages are counted, and wait for the receiver's machine.
    """

    kind: ClassVar[str] = "syslog"

    def __init__(self, name: str, connect: Callable[[], socket.socket], *, max_bytes: int, is_stream: bool) -> None:
        self._name = name
        self._connect = connect
        self._max_bytes = max_bytes
        self._is_stream = is_stream
        self._socket: socket.socket | None = None

    @classmethod
    def open(cls, location: Location, clock: Clock) -> Self:  # noqa: ARG003 - the protocol's
        """Read the options."""
        transport = location.transport
        location.refuse_others("max_bytes", *(("ca", "certificate", "private_key") if transport == "tls" else ()))
        most = _LARGEST_MESSAGE if transport in ("tcp", "tls") else _LARGEST_DATAGRAM
        max_bytes = location.number("max_bytes", _MAX_BYTES, least=_LEAST_MAX_BYTES, most=most)
        if transport == "unix":
            if location.host or not location.path.startswith("/"):
                raise location.refusal("a path that begins with a slash is needed")
            return cls(location.name, lambda: _local(location.path), max_bytes=max_bytes, is_stream=False)
        if transport not in _PORTS or not location.host or location.path.strip("/"):
            raise location.refusal("syslog+udp://, syslog+tcp:// or syslog+tls:// with a host, or syslog+unix:/PATH")
        address = (location.host, location.port or _PORTS[transport])
        if transport == "udp":
            return cls(location.name, lambda: _datagrams(address), max_bytes=max_bytes, is_stream=False)
        wrap = _tls(location) if transport == "tls" else None
        return cls(location.name, lambda: _stream(address, wrap), max_bytes=max_bytes, is_stream=True)

    def deliver(self, records: Sequence[ChainedRecord]) -> None:
        """Send records, and wait until the receiver's machine has them."""
        messages = [_message(stored, self._max_bytes) for stored in records]
        try:
            connection = self._connected()
            if self._is_stream:
                connection.sendall(b"".join(b"%d %b" % (len(message), message) for message in messages))
                _wait_until_received(connection)
            else:
                for message in messages:
                    connection.send(message)
        except (OSError, ssl.SSLError) as error:
            self.close()
            reason = error.strerror or str(error) or type(error).__name__
            raise SinkError(
                f"{self._name} takes no audit records: {reason}.", "They wait in the database until it does."
            ) from error

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is not None and self._is_stream and _has_ended(self._socket):
            self.close()
        if self._socket is None:
            self._socket = self._connect()
            self._socket.settimeout(_TIMEOUT_SECONDS)
        return self._socket


def _message(stored: ChainedRecord, max_bytes: int) -> bytes:
    """Return a record as one message."""
    record = stored.record
    severity = _WARNING if record.error_code else _INFORMATIONAL
    at = from_milliseconds(record.event_time)
    message_id = _NOT_PRINTABLE.sub("?", record.event_name)[:_LONGEST_MESSAGE_ID] or "-"
    host = _NOT_PRINTABLE.sub("?", socket.gethostname())[:_LONGEST_HOST] or "-"
    head = (
        f"<{_FACILITY * 8 + severity}>1 {at:%Y-%m-%dT%H:%M:%S}.{record.event_time % 1000:03}Z {host} keyturn"
        f" {os.getpid()} {message_id} - "
    ).encode()
    body = line_of(stored)
    if len(head) + len(body) > max_bytes:
        body = _shortened(stored, max_bytes - len(head))
    return head + body


def _shortened(stored: ChainedRecord, max_bytes: int) -> bytes:
    """Return a record whose event says less, so that it fits: still JSON, with its place in the chain."""
    try:
        event: dict[str, Any] = json.loads(stored.record.event)
    except ValueError:
        event = {}
    event["truncated"] = True
    body = b""
    for member in ("", *_LARGE_MEMBERS):
        if event.get(member):
            event[member] = None
        body = line_of(_with_event(stored, event))
        if len(body) <= max_bytes:
            return body
    bare = {name: event.get(name) for name in ("eventID", "eventName", "eventTime")}
    lean = _with_event(stored, {**bare, "truncated": True})
    texts: dict[str, Any] = {name: _cut(getattr(lean.record, name)) for name in _TEXTS}
    return line_of(lean._replace(record=lean.record._replace(**texts)))


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_TEXT_CHARACTERS].encode("ascii", "replace").decode()


def _with_event(stored: ChainedRecord, event: dict[str, Any]) -> ChainedRecord:
    record: AuditRecord = stored.record
    return stored._replace(record=record._replace(event=json.dumps(event, separators=(",", ":"))))


def _local(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        made.connect(path)
    except OSError:
        made.close()
        raise
    return made


def _datagrams(address: tuple[str, int]) -> socket.socket:
    family, kind, protocol, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
    made = socket.socket(family, kind, protocol)
    made.connect(resolved)
    return made


def _stream(address: tuple[str, int], wrap: Callable[[socket.socket], socket.socket] | None) -> socket.socket:
    made = socket.create_connection(address, _TIMEOUT_SECONDS)
    if wrap is None:
        return made
    try:
        return wrap(made)
    except OSError:
        made.close()
        raise


def _tls(location: Location) -> Callable[[socket.socket], socket.socket]:
    """Return what turns a connection into one whose receiver has proved who it is."""
    options = location.options
    try:
        context = ssl.create_default_context(cafile=options.get("ca"))
        if "certificate" in options:
            context.load_cert_chain(options["certificate"], options.get("private_key"))
    except (OSError, ValueError) as error:
        raise location.refusal(f"a certificate cannot be used: {error}") from error
    return lambda connection: context.wrap_socket(connection, server_hostname=location.host)


def _wait_until_received(connection: socket.socket) -> None:
    """Wait until the receiver's machine has acknowledged everything.

    Raises:
        OSError: It has not, or it has closed the connection meanwhile, and what became of the rest is not known.
    """
    until = time.monotonic() + _TIMEOUT_SECONDS
    while _unacknowledged_bytes(connection):
        if time.monotonic() > until:
            raise TimeoutError("the receiver does not take what is sent")
        time.sleep(_LOOK_SECONDS)
    if _has_ended(connection):
        raise ConnectionError("the receiver has closed the connection")


def _unacknowledged_bytes(connection: socket.socket) -> int:
    (size_bytes,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    return int(size_bytes)


def _has_ended(connection: socket.socket) -> bool:
    """Say whether the receiver has closed the connection; it has nothing to say otherwise."""
    connection.settimeout(0)
    try:
        while connection.recv(4096):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(_TIMEOUT_SECONDS)
    return True
