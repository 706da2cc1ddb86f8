"""One client's connection: uvicorn's, with the bounds that it lacks.

uvicorn reads requests with httptools, which takes headers of any number and size and waits for ever. Here a request's
head is bounded, a request must arrive within some minutes and without long pauses, and a reply must be fetched. Bodies
are bounded in ``http.py``, which knows for whom they are.

None of this costs a request more than some hundred nanoseconds: time is looked at once a second, for all connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Signed requests have some dozen headers. A session token, the longest value there is, has a few kilobytes.
MOST_HEADERS: Final = 100
# Counted from the second packet on: one packet is at most the 256 KB that uvloop reads at once.
MOST_HEAD_BYTES: Final = 64 * 1024
PAUSE_SECONDS: Final = 60
# Enough for the largest deployment package over a line of 2 Mbit/s.
REQUEST_SECONDS: Final = 300


def _refusal(status: bytes, text: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % (status, len(text))
    return head + b"connection: close\r\n\r\n" + text


_HEAD_TOO_LARGE: Final = _refusal(b"431 Request Header Fields Too Large", b"The request's headers are too large.\n")
# The parser takes what follows such a head for another protocol, so the body would be lost, or be read as a request.
_NO_UPGRADE: Final = _refusal(b"400 Bad Request", b"This server speaks HTTP/1.1: leave the header Upgrade out.\n")
_BODY_HEADERS: Final = (b"content-length", b"transfer-encoding")


class BoundedConnection(HttpToolsProtocol):
    """An HTTP connection that cannot be made to hold much memory, nor held open by doing nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin, unless there are too many connections already."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            transport.abort()
        self._last_data_at = self._request_began_at = self.loop.time()
        # Bytes of this request that are neither its first packet nor its body.
        self._head_bytes = 0
        self._has_begun = False
        self._refusal: bytes | None = None
        self._unsent_bytes = 0
        self._unsent_since = self._last_data_at

    def data_received(self, data: bytes) -> None:
        """Read what has come, and refuse a head (or a trailer) that does not end."""
        self._last_data_at = self.loop.time()
        if self._has_begun:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refusal = _HEAD_TOO_LARGE
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Start counting."""
        super().on_message_begin()
        self._has_begun = True
        self._head_bytes = 0
        self._request_began_at = self._last_data_at

    def on_headers_complete(self) -> None:
        """Hand the request over unless it has too many headers, or a body that the parser would not read."""
        if len(self.headers) > MOST_HEADERS:
            self._refusal = _HEAD_TOO_LARGE
        elif self.parser.should_upgrade() and any(name in _BODY_HEADERS for name, _ in self.headers):
            self._refusal = _NO_UPGRADE
        if self._refusal is not None:
            # Ends the parser's work; uvicorn then calls send_400_response.
            raise ValueError("refused")
        super().on_headers_complete()
        self._head_bytes = 0
        # Trailers come as headers. They must neither join those that are signed nor fill the memory.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop counting; what follows is another request."""
        self._has_begun = False
        self._head_bytes = 0
        super().on_message_complete()

    def end_if_stuck(self, now: float) -> None:
        """Close the connection if its client neither sends what it began nor fetches what it asked for.

        Args:
            now: The loop's time, seconds.
        """
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes == 0 or unsent_bytes != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = unsent_bytes, now
        does_not_fetch = now - self._unsent_since > PAUSE_SECONDS
        does_not_send = now - self._last_data_at > PAUSE_SECONDS or now - self._request_began_at > REQUEST_SECONDS
        if does_not_fetch or (does_not_send and self._is_waiting_for_request):
            self.transport.abort()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a client's wish for another protocol is no concern of the operator, and is passed over."""

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be read, and close."""
        if self._refusal is None:
            super().send_400_response(msg)
        else:
            self.transport.write(self._refusal)
            self.transport.close()

    @property
    def _is_waiting_for_request(self) -> bool:
        # Between two requests uvicorn's own keep-alive timer runs. While reading is paused it is our turn.
        return (self._has_begun or self.cycle is None) and not self.flow.read_paused


def end_stuck(connections: Iterable[Any], now: float) -> None:
    """Close those connections whose clients have stopped; ``now`` is the loop's time in seconds."""
    for connection in list(connections):
        if isinstance(connection, BoundedConnection):
            connection.end_if_stuck(now)
