"""What stands between a function and Secrets Manager: an ASGI application that asks at each boundary what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .boundaries import Boundary, Refusal, Watch

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_SERVICE = "secretsmanager."
# Access keys of sessions, as functions have them, begin so; the bench's own begin with AKIA.
_OF_FUNCTION = b"Credential=ASIA"
_MESSAGES = {
    Refusal.THROTTLED: "Rate exceeded",
    Refusal.DENIED: "User is not authorized to perform this action because no identity-based policy allows it",
    Refusal.FAILED: "An error occurred on the server side.",
}
_STATUS = {Refusal.THROTTLED: 400, Refusal.DENIED: 400, Refusal.FAILED: 500}


class Door:
    """Answers what functions ask of Secrets Manager, and passes everything else through.

    Args:
        application: Keyturn.
        watch: Is asked.

    Attributes:
        calls: Operations that functions have called, with the code of the error they got; None if it was done.
    """

    def __init__(self, application: Application, watch: Watch) -> None:
        self._application = application
        self._watch = watch
        self.calls: list[tuple[str, str | None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        name = _called(scope)
        if name is None:
            await self._application(scope, receive, send)
            return
        passing = await asyncio.to_thread(self._watch.reached, Boundary(name, "before"))
        if passing.refusal is not None:
            await receive()
            await _refuse(send, passing.refusal)
            return
        if passing.is_cut:
            await _break_off(send)
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        await self._application(scope, receive, keep)
        self.calls.append((name, _error_code(answer)))
        if (await asyncio.to_thread(self._watch.reached, Boundary(name, "after"))).is_cut:
            await _break_off(send)
            return
        for message in answer:
            await send(message)


def _called(scope: Scope) -> str | None:
    """Return the operation of Secrets Manager that a function calls; None for any other request."""
    if scope["type"] != "http":
        return None
    headers = dict(scope["headers"])
    target: str = headers.get(b"x-amz-target", b"").decode("latin-1")
    if not target.startswith(_SERVICE) or _OF_FUNCTION not in headers.get(b"authorization", b""):
        return None
    return target.removeprefix(_SERVICE)


def _error_code(answer: list[Message]) -> str | None:
    if not answer or answer[0].get("status") == 200:
        return None
    document = json.loads(b"".join(message.get("body", b"") for message in answer))
    return str(document.get("__type", "")).rpartition("#")[2]


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"__type": refusal.value, "message": _MESSAGES[refusal]}).encode()
    headers = [(b"content-type", b"application/x-amz-json-1.1"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": _STATUS[refusal], "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _break_off(send: Send) -> None:
    """Begin an answer that never ends: the server closes the connection when this returns."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
