"""A request and a reply as plain data: what the edge reads from a socket and what it writes back.

Nothing here knows AWS. Signature verification and the protocol files read :class:`HttpRequest`; only the protocol
files make :class:`HttpReply`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from keyturn.entrance import Entrance


class HttpRequest(NamedTuple):
    """One request, complete, nothing decoded that a signature covers.

    Attributes:
        method: Upper case, for instance ``POST``.
        raw_path: As sent, before ``?``, not decoded.
        query_string: As sent, after ``?``; empty if there is none.
        headers: Names in lower case, values stripped of outer blanks, repeated ones joined by ``,``.
        body: The whole body.
        scheme: ``http`` or ``https``.
        client_host: The client's IP address, as the services see it.
        entrance: By which way out of a VPC it came; None if it came to the server's own address.
    """

    method: str
    raw_path: bytes
    query_string: bytes
    headers: Mapping[str, str]
    body: bytes
    scheme: str
    client_host: str
    entrance: Entrance | None = None

    def __repr__(self) -> str:
        # Bodies carry secret values and headers carry session tokens; neither belongs in a traceback.
        return f"HttpRequest({self.method} {self.raw_path!r}, {len(self.body)} bytes)"


class HttpReply(NamedTuple):
    """One reply.

    Attributes:
        status: HTTP status code.
        headers: Names in lower case; content type, content length and request id are among them. ``date`` and whatever
            concerns the connection are the server's.
        body: The whole body; empty for 204.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def __repr__(self) -> str:
        return f"HttpReply({self.status}, {len(self.body)} bytes)"
