"""What stands around every answer of the console: the headers that keep other sites out, and a bound on bodies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PREFIX: Final = "/console/"
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Unread(Exception):
    """A body is not to be read, or not to its end."""

    def __init__(self, status: int, told: str, *, has_more: bool) -> None:
        super().__init__(status)
        self.status = status
        self.told = told
        self.has_more = has_more


def bounded(receive: Receive, most_bytes: int) -> Receive:
    """Return ``receive`` for a body that is no larger than this."""
    size_bytes = 0

    async def bounded() -> Message:
        nonlocal size_bytes
        message = await receive()
        size_bytes += len(message.get("body", b""))
        if size_bytes > most_bytes:
            has_more = message.get("more_body", False)
            raise Unread(413, "The form is larger than what it is for.", has_more=has_more)
        return message

    return bounded


class Guarded:
    """Sends an answer with the headers that keep other sites out."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._scope = scope
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            # Only what is there may be kept.
            is_kept = self._scope["path"].startswith(f"{PREFIX}static/") and message["status"] in (200, 304)
            kept = "public, max-age=31536000, immutable" if is_kept else "no-store"
            more = [(name.encode(), value.encode()) for name, value in {**_HEADERS, "cache-control": kept}.items()]
            if self._scope["scheme"] == "https":
                more.append((b"strict-transport-security", b"max-age=31536000"))
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)
