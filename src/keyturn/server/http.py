"""The ASGI application: health without a signature, everything else through the pipeline.

A plain callable; no framework's routing stands between a signed request and the pipeline. uvicorn (h11's place taken by
httptools) owns HTTP's own dangers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from keyturn.server.pipeline import Pipeline
from keyturn.wire.http import HttpReply, HttpRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Page = Callable[[], HttpReply | None]

# The largest request AWS takes is CreateFunction with a zip of 50 MB in base64 (recorded: "Request must be smaller than
# 70167211 bytes for the CreateFunction operation").
MAX_BODY_BYTES = 70_167_211


class Application:
    """Answers HTTP requests.

    Args:
        pipeline: For all signed calls.
        is_ready: Whether the server can serve; asked by ``/readyz``.
        downloads: Answers links that were handed out for function packages: path to reply, or None.
    """

    def __init__(
        self, pipeline: Pipeline, is_ready: Callable[[], bool], downloads: Callable[[bytes, bytes], HttpReply | None]
    ) -> None:
        self._pipeline = pipeline
        self._is_ready = is_ready
        self._downloads = downloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            return
        path: bytes = scope["raw_path"]
        if scope["method"] == "GET":
            reply = self._page(path, scope["query_string"])
            if reply is not None:
                await _send(send, reply)
                return
        body = await _read(receive)
        if body is None:
            await _send(send, _text(413, b"The request is larger than any AWS operation takes.\n"))
            return
        await _send(send, await self._pipeline.answer(_request(scope, body)))

    def _page(self, path: bytes, query: bytes) -> HttpReply | None:
        if path == b"/healthz":
            return _text(200, b"ok\n")
        if path == b"/readyz":
            return _text(200, b"ready\n") if self._is_ready() else _text(503, b"not ready\n")
        return self._downloads(path, query)


async def _read(receive: Receive) -> bytes | None:
    """Return the whole body, or None if it is too large (or the client has gone)."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body if len(body) <= MAX_BODY_BYTES else None
    parts = [body]
    size_bytes = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > MAX_BODY_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _request(scope: Scope, body: bytes) -> HttpRequest:
    headers: dict[str, str] = {}
    for name_bytes, value_bytes in scope["headers"]:
        name, value = name_bytes.decode("latin-1"), value_bytes.decode("utf-8", "surrogateescape").strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    client = scope.get("client")
    return HttpRequest(
        method=scope["method"],
        raw_path=scope["raw_path"],
        query_string=scope["query_string"],
        headers=headers,
        body=body,
        scheme=scope["scheme"],
        client_host=client[0] if client else "",
    )


async def _send(send: Send, reply: HttpReply) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})


def _text(status: int, body: bytes) -> HttpReply:
    headers = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()))
    return HttpReply(status, headers, body)
