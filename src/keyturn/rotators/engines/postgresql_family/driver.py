"""Logging in with pg8000, without ever showing a password to somebody who listens.

Connection and TLS are made here and handed to the driver, because it tells neither a refused connection from an
unknown host nor a server without TLS from a false certificate.
"""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from .. import base, network

logger = logging.getLogger(__name__)

# PostgreSQL documentation, "Message Formats".
CLEARTEXT_PASSWORD, MD5_PASSWORD, SASL = 3, 5, 10
# Length, then 1234 and 5679 where the protocol version would stand.
_SSL_REQUEST = struct.pack("!ihh", 8, 1234, 5679)

Answer = Callable[[Any, bytes], bool]
"""Answers a request for authentication that the driver does not know; False if it is not one of those."""


def open_connection(host: str, port: int, tls: base.TlsMode, timeout_seconds: float) -> socket.socket:
    """Connect, and start TLS as the secret asks for."""
    opened = network.open_socket(host, port, timeout_seconds)
    if tls is base.TlsMode.FORBIDDEN:
        return opened
    try:
        return _start_tls(opened, host, tls)
    except ssl.SSLError as error:
        opened.close()
        raise network.tls_error(error, host) from None
    except OSError as error:
        opened.close()
        raise network.network_error(error, f"host {host}, port {port}, asking for TLS") from None
    except base.DatabaseError:
        opened.close()
        raise


def _start_tls(opened: socket.socket, host: str, tls: base.TlsMode) -> socket.socket:
    opened.sendall(_SSL_REQUEST)
    # Exactly one byte: what a man in the middle sends behind it must not be taken for the server's (CVE-2021-23222).
    answer = opened.recv(1)
    if answer == b"S":
        context = ssl.create_default_context() if tls is base.TlsMode.REQUIRED else network.unverified_context()
        return context.wrap_socket(opened, server_hostname=host)
    if answer != b"N":
        raise base.ConnectionLost(f"host {host} closed the connection when asked for TLS, or is no PostgreSQL server")
    if tls is base.TlsMode.REQUIRED:
        raise network.tls_missing(host)
    logger.warning("The host %s has no TLS: connecting without encryption. Set ssl to true to forbid this.", host)
    return opened


def log_in(opened: socket.socket, login: base.Login, answer: Answer = lambda *_: False) -> Any:
    """Authenticate over a connection that stands.

    Returns:
        The driver's connection; ``methods`` says how the server asked for the password.
    """
    import pg8000.native  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    verified = isinstance(opened, ssl.SSLSocket) and opened.context.verify_mode is ssl.CERT_REQUIRED

    class ObservedConnection(pg8000.native.Connection):  # type: ignore[misc]  # the driver has no types
        """Remembers how the server asked for the password, and does not show it to whoever asks."""

        methods: frozenset[int] = frozenset()

        def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: object) -> None:  # noqa: N802 - the driver's name
            method = int.from_bytes(data[:4], "big")
            self.methods |= {method}
            if method == CLEARTEXT_PASSWORD and not verified:
                raise base.AuthenticationMethodRefused(
                    "The server asks for the password in clear over a connection that is not verified TLS"
                )
            if not answer(self, data):
                super().handle_AUTHENTICATION_REQUEST(data, context)

    return ObservedConnection(
        login.username,
        password=login.password,
        database=login.dbname,
        sock=opened,
        ssl_context=False,
        application_name="keyturn-rotation",
    )
