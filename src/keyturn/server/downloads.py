"""Links to deployment packages: whoever holds one can fetch that package for ten minutes, without a signature.

GetFunction hands them out as ``Code.Location``, where AWS has presigned links to S3. A link is
``/_keyturn/packages/TOKEN``; the token is sealed (``crypto/tokens.py``) and names the package and the end of its life,
so nothing is stored for it and none can be made up.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from keyturn.clock import Clock, from_milliseconds, to_milliseconds
from keyturn.crypto.tokens import ForeignToken, TokenSealer
from keyturn.storage import functions
from keyturn.storage.database import Database
from keyturn.wire.http import HttpReply

LIFETIME = timedelta(minutes=10)
"""As long as AWS's links. Source: AWS Lambda API Reference, GetFunction."""

_PATH = "/_keyturn/packages/"


class Downloads:
    """Makes and answers links.

    Args:
        tokens: Seals what a link says.
        state: Where the packages are.
        clock: Decides whether a link has expired.
    """

    def __init__(self, tokens: TokenSealer, state: Database, clock: Clock) -> None:
        self._tokens = tokens
        self._state = state
        self._clock = clock

    def url(self, endpoint: str, code_sha256: str, at: datetime) -> str:
        """Return a link to a package.

        Args:
            endpoint: Base URL under which the caller reaches this server.
            code_sha256: Names the package.
            at: When the link is made, aware UTC.
        """
        payload = {"code_sha256": code_sha256, "expires_at": str(to_milliseconds(at + LIFETIME))}
        return f"{endpoint}{_PATH}{self._tokens.seal(payload)}"

    def answer(self, path: bytes, _query: bytes) -> HttpReply | None:
        """Return the package that a link leads to, a refusal if the link is not good, or None for any other path.

        Raises:
            StorageError: The database failed.
        """
        text = path.decode("latin-1")
        if not text.startswith(_PATH):
            return None
        try:
            payload = self._tokens.open(text.removeprefix(_PATH))
        except ForeignToken:
            return _refusal(403, "This link was not made here.")
        if from_milliseconds(int(payload["expires_at"])) <= self._clock.now():
            return _refusal(403, "This link has expired. GetFunction gives a new one.")
        with self._state.read() as connection:
            package = functions.load_package(connection, payload["code_sha256"])
        if package is None:
            return _refusal(404, "This package is no longer used by any function.")
        return _reply(200, b"application/zip", package)


def _refusal(status: int, text: str) -> HttpReply:
    return _reply(status, b"text/plain; charset=utf-8", f"{text}\n".encode())


def _reply(status: int, content_type: bytes, body: bytes) -> HttpReply:
    headers = (
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    )
    return HttpReply(status, headers, body)
