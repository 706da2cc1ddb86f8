"""TLS inside TDS, by Python's own ssl.

The driver would need pyOpenSSL for it, hence compiled code in the package, looks for the host's name in a certificate
by itself, and does not encrypt at all unless it is given a file of authorities.

The handshake travels in packets of type PRELOGIN, each one with TDS's header of eight bytes; when it is done, TLS's
records travel as they are, with TDS's packets inside.

Source: MS-TDS, "TDS Packet Header" and section 2.2.6.5 "PRELOGIN".
"""

from __future__ import annotations

import socket
import ssl
import struct

_PRELOGIN, _REPLY = 0x12, 0x04
_LAST_PACKET = 1
# Type, status, length with this header, process, number, window.
_HEADER = struct.Struct(">BBHHBx")
_MOST = 4096 - _HEADER.size
_AT_ONCE = 65536


class Channel:
    """A socket's methods, as far as the driver uses them, over an encrypted connection.

    Args:
        opened: Connected, and at the point at which the server waits for TLS.
        context: What is to be checked.
        host: The name that the certificate must carry, if the context checks names.

    Raises:
        ssl.SSLError: The handshake failed.
        OSError: The connection was lost.
    """

    def __init__(self, opened: socket.socket, context: ssl.SSLContext, host: str) -> None:
        self._opened = opened
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send_handshake()
                self._receive_handshake()
            else:
                break
        self._send_handshake()

    def sendall(self, data: bytes | bytearray) -> None:
        """Encrypt and send."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view) :]
        self._opened.sendall(self._outgoing.read())

    def recv(self, size: int) -> bytes:
        """Receive and decrypt; empty if the server has closed the connection."""
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                received = self._opened.recv(_AT_ONCE)
                if not received:
                    return b""
                self._incoming.write(received)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0) -> int:
        """Receive into a buffer and return how much."""
        received = self.recv(size or len(buffer))
        buffer[: len(received)] = received
        return len(received)

    def settimeout(self, timeout: float | None) -> None:
        """Set how long each receipt may take."""
        self._opened.settimeout(timeout)

    def gettimeout(self) -> float | None:
        """Return how long each receipt may take."""
        return self._opened.gettimeout()

    def close(self) -> None:
        """Close the connection; TDS has no farewell."""
        self._opened.close()

    def _send_handshake(self) -> None:
        while flight := self._outgoing.read(_MOST):
            status = 0 if self._outgoing.pending else _LAST_PACKET
            self._opened.sendall(_HEADER.pack(_PRELOGIN, status, _HEADER.size + len(flight), 0, 0) + flight)

    def _receive_handshake(self) -> None:
        kind, _, length, _, _ = _HEADER.unpack(self._exactly(_HEADER.size))
        if kind not in (_PRELOGIN, _REPLY) or length < _HEADER.size:
            raise ConnectionResetError(0, "the server does not go on with TLS")
        self._incoming.write(self._exactly(length - _HEADER.size))

    def _exactly(self, size: int) -> bytes:
        received = b""
        while len(received) < size:
            more = self._opened.recv(size - len(received))
            if not more:
                raise ConnectionResetError(0, "the server closed the connection")
            received += more
        return received
