"""Somebody who is signed in to the console, and sends what no browser would."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlencode

import urllib3

from .conftest import Credentials, ServerProcess

_TOKEN = re.compile(r'name="csrf_token" value="([^"]*)"')


class ConsoleSession:
    """Cookies and the token of the forms.

    Args:
        server: Whose console.
        credentials: Who signs in; the administrator if nobody is named.
        is_signed_in: Whether anybody does.
    """

    def __init__(
        self, server: ServerProcess, credentials: Credentials | None = None, *, is_signed_in: bool = True
    ) -> None:
        self._server = server
        self._pool = urllib3.PoolManager(timeout=60)
        self.cookies: dict[str, str] = {}
        self.csrf_token = ""
        if is_signed_in:
            self.sign_in(credentials or server.admin)

    def sign_in(self, credentials: Credentials) -> None:
        """Sign in by the form."""
        self.open_sign_in()
        assert self.try_to_sign_in(credentials).status == 303
        self.csrf_token = self._token("settings")

    def open_sign_in(self) -> None:
        """Ask for the form."""
        self.csrf_token = self._token("sign-in")

    def try_to_sign_in(self, credentials: Credentials) -> urllib3.BaseHTTPResponse:
        """Send the form."""
        return self.post(
            "sign-in",
            access_key_id=credentials.access_key_id,
            secret_access_key=credentials.secret_access_key,
            session_token=credentials.session_token or "",
        )

    def _token(self, path: str) -> str:
        found = _TOKEN.search(self.get(path).data.decode())
        assert found
        return found.group(1)

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | str = b""
    ) -> urllib3.BaseHTTPResponse:
        """Send a request with the cookies, and keep those that are set."""
        answered = self._pool.request(
            method,
            f"{self._server.endpoint_url}/console/{path}",
            headers={"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})},
            body=body,
            redirect=False,
        )
        for cookie in answered.headers.getlist("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answered

    def get(self, path: str, **query: str | bytes) -> urllib3.BaseHTTPResponse:
        """Ask for a page."""
        return self.ask("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, more: Iterable[tuple[str, str]] = (), **fields: str | bytes) -> urllib3.BaseHTTPResponse:
        """Send a form of this session's."""
        body = urlencode([("csrf_token", self.csrf_token), *more, *fields.items()])
        return self.ask("POST", path, {"content-type": "application/x-www-form-urlencoded"}, body)
