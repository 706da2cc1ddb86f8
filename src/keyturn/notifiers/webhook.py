"""Webhooks: a POST with the message as JSON, signed as Standard Webhooks has it.

``webhook-id``, ``webhook-timestamp`` (of the try, seconds) and ``webhook-signature``, which is ``v1,`` and the base64
of HMAC-SHA-256 over ``ID.TIMESTAMP.BODY``. The key is what ``whsec_`` and base64 spell in a file that only its owner
may read.

Any status from 200 to 299 is success. 410 means that the receiver wants no more. Anything else fails, redirects too:
what follows one would take the message to where nobody has set it up to go.

Source: Standard Webhooks, specification 1.0.0 (standardwebhooks.com).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import ssl
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

import keyturn
from keyturn.config import is_loopback
from keyturn.errors.base import KeyturnError
from keyturn.notifiers.base import Location, NotifierError, NotifierGone
from keyturn.owner_only import read_owner_only
from keyturn.sensitive import Sensitive

_TIMEOUT_SECONDS, _MOST_SECONDS = 10, 60
_PREFIX = "whsec_"
# Source: the specification, "Signature scheme": 24 to 64 bytes.
_LEAST_KEY_BYTES, _MOST_KEY_BYTES = 24, 64
_FILE_SCHEME = "webhook"
_GONE = 410
_ANSWER_BYTES, _ANSWER_CHARACTERS = 2048, 200
_FORMATS = ("json", "text")


class WebhookNotifier:
    """Posts to one URL.

    Args:
        url: With its query; user and password become a header.
        key: Signs messages; None to leave them unsigned.
        context: Trusts the receiver.
        text_only: Send nothing but the text, as chats want it.
        timeout_seconds: To connect, and to wait for the answer.
    """

    kind: ClassVar[str] = "webhook"
    schemes: ClassVar[tuple[str, ...]] = ("https", "http", _FILE_SCHEME)

    def __init__(
        self,
        url: str,
        key: Sensitive[bytes] | None,
        context: ssl.SSLContext | None,
        *,
        text_only: bool,
        timeout_seconds: int,
    ) -> None:
        self._url, self._headers = _with_credentials_as_header(url)
        self._key = key
        self._text_only = text_only
        # A connection takes two: one to connect, one to answer.
        self.timeout_seconds = 2 * timeout_seconds
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=1,
            ssl_context=context,
            timeout=urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds),
            retries=False,
        )

    @classmethod
    def open(cls, location: Location) -> Self:
        """Read the options and the files that they name."""
        location.refuse_others("secret_file", "ca", "format", "timeout_seconds", "plaintext_on_network")
        url = location.url
        if location.scheme == _FILE_SCHEME:
            url = read_owner_only(Path(location.path), f"The URL of the notifier {location.name}").reveal()
        _check(location, url)
        form = location.options.get("format", _FORMATS[0])
        if form not in _FORMATS:
            raise location.refusal(f"format is {form!r}, not one of {', '.join(_FORMATS)}")
        return cls(
            url,
            _key(location),
            _trust(location) if url.startswith("https:") else None,
            text_only=form == "text",
            timeout_seconds=location.number("timeout_seconds", _TIMEOUT_SECONDS, least=1, most=_MOST_SECONDS),
        )

    def send(self, message_id: str, document: str, at: float) -> str:
        """Post a message once."""
        body = document.encode()
        if self._text_only:
            body = json.dumps({"text": json.loads(document)["text"]}).encode()
        try:
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers=self._signed(message_id, body, at),
                redirect=False,
                preload_content=False,
            )
            try:
                is_taken = 200 <= response.status < 300
                # What comes at once is enough to say why; nobody waits for more.
                answer = b"" if is_taken else response.read1(_ANSWER_BYTES, decode_content=False)
            finally:
                # Whatever more it says, this connection is done with.
                response.close()
        except (HTTPError, OSError) as error:
            # What urllib3 says may quote the URL.
            raise NotifierError(_in_words(error), *_hints(error)) from None
        said = _named(response.status)
        if response.status == _GONE:
            raise NotifierGone(f"It answered {said}: it wants no more messages.", "Take it out of the setting notify.")
        if not is_taken:
            raise NotifierError(f"It answered {said}.", *_hints_of_status(response.status, answer))
        return said

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _signed(self, message_id: str, body: bytes, at: float) -> dict[str, str]:
        timestamp = str(int(at))
        headers = {
            **self._headers,
            "content-type": "application/json",
            "user-agent": f"Keyturn/{keyturn.__version__}",
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
        }
        if self._key is not None:
            signed = b"%b.%b.%b" % (message_id.encode(), timestamp.encode(), body)
            code = hmac.new(self._key.reveal(), signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(code).decode()}"
        return headers


def _check(location: Location, url: str) -> None:
    """Refuse what is no URL, and to send in the clear over a network unless somebody insists."""
    try:
        parsed = urlsplit(url)
        host, _ = parsed.hostname or "", parsed.port
    except ValueError:
        raise location.refusal("its URL cannot be read") from None
    if parsed.scheme not in ("https", "http") or not host:
        raise location.refusal("its URL must begin with https:// and have a host")
    insists = location.flag("plaintext_on_network", default=False)
    if parsed.scheme == "http" and not is_loopback(host) and not insists:
        raise location.refusal(
            "http:// would send messages over the network in the clear; use https://, or insist with"
            " plaintext_on_network=true"
        )


def _key(location: Location) -> Sensitive[bytes] | None:
    path = location.options.get("secret_file")
    if path is None:
        return None
    text = read_owner_only(Path(path), f"The signing secret of the notifier {location.name}").reveal()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except binascii.Error:
        key = b""
    if not _LEAST_KEY_BYTES <= len(key) <= _MOST_KEY_BYTES:
        raise KeyturnError(
            f"The file {path} has no signing secret: whsec_ and the base64 of"
            f" {_LEAST_KEY_BYTES} to {_MOST_KEY_BYTES} bytes.",
            f'Make one: (umask 077; echo "whsec_$(openssl rand -base64 32)" > {path})',
        )
    return Sensitive(key)


def _trust(location: Location) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=location.options.get("ca"))
    except (OSError, ValueError) as error:
        raise location.refusal(f"the certificates of ca cannot be used: {error}") from error


def _with_credentials_as_header(url: str) -> tuple[str, dict[str, str]]:
    parsed = urlsplit(url)
    if parsed.username is None:
        return url, {}
    pair = f"{unquote(parsed.username)}:{unquote(parsed.password or '')}"
    bare = urlunsplit(parsed._replace(netloc=parsed.netloc.rpartition("@")[2]))
    return bare, dict(urllib3.util.make_headers(basic_auth=pair))


def _named(status: int) -> str:
    """Return a status as people know it; what the receiver calls it is its own text."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _in_words(error: Exception) -> str:
    """Say what went wrong without the URL."""
    if isinstance(error, NameResolutionError):
        return "Its host is not known."
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return "It could not be reached in time."
    if isinstance(error, ReadTimeoutError):
        return "It did not answer in time."
    if isinstance(error, SSLError):
        reason = getattr(error.args[0] if error.args else None, "verify_message", "") or "the TLS handshake failed"
        return f"It could not be trusted: {reason}."
    cause = error.__cause__ or error.__context__ or error
    return f"It could not be reached: {getattr(cause, 'strerror', None) or 'the connection was lost'}."


def _hints(error: Exception) -> tuple[str, ...]:
    if isinstance(error, SSLError):
        return ("If its certificate is of an authority of your own, name that with ca=/PATH.",)
    if isinstance(error, NewConnectionError | ConnectTimeoutError):
        return ("Check that this machine can reach it; proxies are not used.",)
    return ()


def _hints_of_status(status: int, answer: bytes) -> tuple[str, ...]:
    text = "".join(filter(str.isprintable, answer.decode("utf-8", "replace")))[:_ANSWER_CHARACTERS]
    hints = [f"It said: {text}"] if text else []
    if 300 <= status < 400:
        hints.append("Redirects are not followed: name the URL that it leads to.")
    if status in (401, 403):
        hints.append("Check its URL, and that it has the same signing secret.")
    if status == 400:
        hints.append("Chats often take nothing but a text: try format=text.")
    return tuple(hints)
