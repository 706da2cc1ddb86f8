"""The ASGI application: health without a signature, metrics for a token, everything else through the pipeline.

A plain callable; no framework's routing stands between a signed request and the pipeline. HTTP's own dangers are met in
``connection.py``; here bodies are bounded, each by itself and all together.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol

from keyturn.errors.common import RequestTooLarge, Throttled
from keyturn.server.pipeline import Pipeline
from keyturn.wire.http import HttpReply, HttpRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Metrics = Callable[[Mapping[str, str]], Awaitable[HttpReply]]


class Console(Protocol):
    """Pages for people."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request under ``/console``, or a browser's for the address alone."""
        ...

    def end_live(self) -> None:
        """Let live parts end."""
        ...


# Whoever can reach the port can send a body: its signature is known to be good only when all of it is here.
#
# The largest request AWS takes is CreateFunction with a zip of 50 MB in base64 (recorded: "Request must be smaller than
# 70167211 bytes for the CreateFunction operation").
MAX_BODY_BYTES: Final = 70_167_211
# Of our services only Lambda has paths. The largest request of the others is a secret value of 65,536 characters, all
# of which JSON may spell as two escapes of six bytes.
MAX_BODY_BYTES_AT_ROOT: Final = 1024 * 1024
MAX_BODY_BYTES_TOGETHER: Final = 512 * 1024 * 1024


class Application:
    """Answers HTTP requests.

    Args:
        pipeline: For all signed calls.
        is_ready: Whether the server can serve; asked by ``/readyz``.
        downloads: Answers links that were handed out for function packages: path to reply, or None.
        metrics: Answers ``/metrics``, if the request's headers let it.
        console: Serves ``/console/``; None if it is switched off.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        is_ready: Callable[[], bool],
        downloads: Callable[[bytes, bytes], HttpReply | None],
        metrics: Metrics,
        console: Console | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._is_ready = is_ready
        self._downloads = downloads
        self._metrics = metrics
        self._console = console
        # Bytes of bodies that came in more than one piece; small ones are not worth counting.
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            return
        if self._console is not None and _is_for_people(scope):
            await self._console(scope, receive, send)
            return
        if scope["method"] in ("GET", "HEAD"):
            if scope["raw_path"] == b"/metrics":
                await _send(send, await self._metrics(_headers(scope)))
                return
            reply = self._page(scope["raw_path"], scope["query_string"])
            if reply is not None:
                await _send(send, reply)
                return
        headers = _headers(scope)
        limit_bytes = MAX_BODY_BYTES_AT_ROOT if scope["raw_path"] == b"/" else MAX_BODY_BYTES
        if int(headers.get("content-length", "0")) > limit_bytes:
            reply = await self._pipeline.refuse(_request(scope, headers, b""), _too_large(limit_bytes))
            # Whoever asks before sending need not send; what others send is read and dropped, so that they get to see
            # the answer.
            await _send(send, _closing(reply) if "expect" in headers else reply)
            return
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body", False):
            await _send(send, await self._pipeline.answer(_request(scope, headers, message["body"])))
            return
        reply = await self._answer_long(scope, headers, message["body"], receive, limit_bytes)
        if reply is not None:
            await _send(send, reply)

    def end_live(self) -> None:
        """Let what is watched end, so that the server can."""
        if self._console is not None:
            self._console.end_live()

    async def _answer_long(
        self, scope: Scope, headers: Mapping[str, str], first: bytes, receive: Receive, limit_bytes: int
    ) -> HttpReply | None:
        """Answer a request whose body comes in pieces; None if the client goes before the last."""
        pieces = [first]
        size_bytes = len(first)
        self._held_bytes += size_bytes
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                piece: bytes = message["body"]
                size_bytes += len(piece)
                self._held_bytes += len(piece)
                if size_bytes > limit_bytes:
                    return await self._pipeline.refuse(_request(scope, headers, b""), _too_large(limit_bytes))
                if self._held_bytes > MAX_BODY_BYTES_TOGETHER:
                    return await self._pipeline.refuse(_request(scope, headers, b""), Throttled())
                pieces.append(piece)
                if not message.get("more_body", False):
                    return await self._pipeline.answer(_request(scope, headers, b"".join(pieces)))
        finally:
            self._held_bytes -= size_bytes

    def _page(self, path: bytes, query: bytes) -> HttpReply | None:
        if path == b"/healthz":
            return _text(200, b"ok\n")
        if path == b"/readyz":
            return _text(200, b"ready\n") if self._is_ready() else _text(503, b"not ready\n")
        return self._downloads(path, query)


def _is_for_people(scope: Scope) -> bool:
    """Return whether a browser asks for a page. Functions in VPCs are not shown any."""
    if scope.get("entrance") is not None:
        return False
    path: bytes = scope["raw_path"]
    if path == b"/":
        return scope["method"] == "GET" and any(
            name == b"accept" and value.startswith(b"text/html") for name, value in scope["headers"]
        )
    return path == b"/console" or path.startswith(b"/console/")


def _too_large(limit_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"Request must be smaller than {limit_bytes} bytes")


def _closing(reply: HttpReply) -> HttpReply:
    return HttpReply(reply.status, (*reply.headers, (b"connection", b"close")), reply.body)


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in scope["headers"]:
        # Latin-1 keeps every octet as it was sent, for the signature, and never fails.
        name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1").strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _request(scope: Scope, headers: Mapping[str, str], body: bytes) -> HttpRequest:
    client, entrance = scope.get("client"), scope.get("entrance")
    return HttpRequest(
        method=scope["method"],
        raw_path=scope["raw_path"],
        query_string=scope["query_string"],
        headers=headers,
        body=body,
        scheme=scope["scheme"],
        client_host=entrance.source_address if entrance else client[0] if client else "",
        entrance=entrance,
    )


async def _send(send: Send, reply: HttpReply) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})


def _text(status: int, body: bytes) -> HttpReply:
    headers = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()))
    return HttpReply(status, headers, body)
