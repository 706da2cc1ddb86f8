"""One request and its answer over HTTP/1.1, and what goes wrong on the way.

No redirect is followed, no proxy of the environment is used, nothing is repeated. Neither the key nor the text of an
answer is ever part of an error: a service may quote what it was sent.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .. import base, network
from .description import Description, Template

CONNECT_TIMEOUT_SECONDS = 5
ANSWER_TIMEOUT_SECONDS = 10
ANSWER_LIMIT_BYTES = 1024 * 1024

HTTP_PORT, HTTPS_PORT = 80, 443

_GONE = (404, 410)
_TOO_EARLY_OR_MANY = (408, 425, 429)


class Redirected(base.DatabaseError):
    """The service answers that another address should be asked."""

    hint = "Put the address at which the service itself answers into url: a key is never sent on."


class UnexpectedAnswer(base.DatabaseError):
    """The service answers something that the function's environment does not lead to expect."""

    hint = "Compare the API_… variables of the function with the documentation of the service."


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, with a status of 200 to 299."""

    host: str
    variable: str
    body: bytes

    def document(self) -> object:
        """Return the JSON in it.

        Raises:
            UnexpectedAnswer: There is none.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise self.unexpected("the answer is no JSON") from None

    def unexpected(self, what: str) -> UnexpectedAnswer:
        """Return the error that says so."""
        return UnexpectedAnswer(f"host {self.host}, {self.variable}: {what}")


def exchange(
    login: base.Login,
    description: Description,
    template: Template,
    values: Mapping[str, str],
    extra_headers: Mapping[str, str] | None = None,
) -> Answer | None:
    """Send one request in the name of a login and return the answer; None if what it is about is not there.

    Args:
        login: Where, and with which key; an empty one sends no key at all.
        description: Of the service.
        template: The request.
        values: For its blanks.
        extra_headers: Beside those of the description.

    Raises:
        AuthenticationFailed: The service refuses the key.
        DatabaseError: Anything else.
    """
    path = login.dbname + template.filled_path(values)
    body = template.filled_body(values)
    headers = {"Accept": "application/json", "User-Agent": "keyturn-rotation", **description.headers}
    if body is not None:
        headers["Content-Type"] = "application/json"
    if login.password:
        name, value = description.key_header
        headers[name] = value.replace("{key}", login.password)
    headers |= {**(extra_headers or {}), "Connection": "close"}
    host, port = login.addresses[0]
    opened = _open(login, host, port)
    with contextlib.closing(http.client.HTTPConnection(host, port)) as connection, _translated(host):
        connection.sock = opened
        # So that the port is in the Host header only where it is not the usual one.
        connection.default_port = HTTP_PORT if login.tls is base.TlsMode.FORBIDDEN else HTTPS_PORT
        connection.request(template.method, path, body, headers)
        response = connection.getresponse()
        content = response.read(ANSWER_LIMIT_BYTES + 1)
    status, wait = response.status, response.headers.get("Retry-After", "")
    if len(content) > ANSWER_LIMIT_BYTES:
        raise UnexpectedAnswer(f"host {host}, {template.variable}: more than {ANSWER_LIMIT_BYTES} bytes of answer")
    if status in _GONE:
        return None
    if response.length:
        raise base.ConnectionLost(f"host {host}, {template.variable}: the answer is cut off")
    _refuse_status(status, wait, f"host {host}, {template.variable}", is_test=template is description.test)
    return Answer(host, template.variable, content)


def _refuse_status(status: int, wait: str, where: str, *, is_test: bool) -> None:
    code = str(status)
    if 200 <= status < 300:
        return
    # Services differ in which of the two a key gets that is not theirs (any more).
    if status == http.HTTPStatus.UNAUTHORIZED or (status == http.HTTPStatus.FORBIDDEN and is_test):
        raise base.AuthenticationFailed(f"{where}: the service refuses this key", code)
    if status == http.HTTPStatus.FORBIDDEN:
        raise base.MissingGrant(f"{where}: the service does not let this key do that", code)
    if status in _TOO_EARLY_OR_MANY:
        seconds = f", for {wait} seconds" if wait.isascii() and wait.isdecimal() and len(wait) < 10 else ""
        raise base.NotReady(f"{where}: the service asks to wait{seconds}", code)
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        raise base.NotReady(f"{where}: the service has failed", code)
    if 300 <= status < 400:
        raise Redirected(f"{where}: the service answers with another address", code)
    raise UnexpectedAnswer(f"{where}: the service refuses the request", code)


def _open(login: base.Login, host: str, port: int) -> socket.socket:
    opened = network.open_socket(host, port, CONNECT_TIMEOUT_SECONDS)
    try:
        if login.tls is not base.TlsMode.FORBIDDEN:
            opened = ssl.create_default_context().wrap_socket(opened, server_hostname=host)
        opened.settimeout(ANSWER_TIMEOUT_SECONDS)
    except ssl.SSLError as error:
        opened.close()
        raise network.tls_error(error, host) from None
    except OSError as error:
        opened.close()
        raise network.network_error(error, f"host {host}, TLS handshake") from None
    return opened


@contextlib.contextmanager
def _translated(host: str) -> Iterator[None]:
    """Turn what the library raises into a DatabaseError, and drop the original: it may hold a header."""
    try:
        yield
    except ssl.SSLError as error:
        raise network.tls_error(error, host) from None
    except OSError as error:
        raise network.network_error(error, f"host {host}, connected") from None
    except (http.client.HTTPException, ValueError) as error:
        if isinstance(error, ValueError):
            raise UnexpectedAnswer(f"host {host}: the request cannot be sent: {type(error).__name__}") from None
        raise base.ConnectionLost(
            f"host {host} hung up, broke the protocol off, or speaks no HTTP: {type(error).__name__}"
        ) from None
