"""Logging in with PyMySQL, without ever showing a password to somebody who listens.

The driver does as the server asks: it sends the password in clear if the server says ``mysql_clear_password``, and asks
the network for a public key if ``caching_sha2_password`` wants the whole password. Both are refused here. What is left:

- ``mysql_native_password`` and ``client_ed25519`` prove the password without showing it.
- ``caching_sha2_password`` does so too as long as the server remembers the user. If it does not, and always for
  ``sha256_password``, the server must see the password: over TLS only. Where nobody vouches for the certificate, the
  log says so.

MariaDB never needs the second kind, so its engine does not offer it.
"""

from __future__ import annotations

import functools
import logging
import ssl
from typing import Any

from .. import base, network
from . import hashes

logger = logging.getLogger(__name__)

# MySQL Internals, "Capability Flags": CLIENT_SSL.
_TLS_FLAG = 0x800
# What the driver may begin with, before the server has asked for anything.
_SHOW_NOTHING = ("mysql_native_password", "caching_sha2_password")
_WHOLE = ("caching_sha2_password", "sha256_password")
_REFUSED = ("mysql_clear_password", "mysql_old_password", "dialog", "auth_gssapi_client", "parsec")
_ANSWER_ACCEPTED, _ANSWER_WHOLE_PASSWORD = b"\1\3", b"\1\4"


def log_in(login: base.Login, host: str, port: int, *, timeout_seconds: float, may_see_password: bool) -> Any:
    """Connect, start TLS as the secret asks for, and authenticate.

    Args:
        login: Whose.
        host: One of the login's.
        port: Its port.
        timeout_seconds: For each answer on the way.
        may_see_password: Whether a server may ask for the whole password over TLS.

    Returns:
        The driver's connection; it has no types. What goes wrong is the driver's exception or a DatabaseError.
    """
    import pymysql.connections  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    class Connection(pymysql.connections.Connection):  # type: ignore[misc]  # the driver has no types
        """Begins with nothing that shows the password, and knows what to do about TLS before the driver does."""

        _auth_plugin_name: str

        def _get_server_information(self) -> None:
            super()._get_server_information()
            if not self.server_capabilities & _TLS_FLAG and login.tls is not base.TlsMode.FORBIDDEN:
                if login.tls is base.TlsMode.REQUIRED:
                    raise network.tls_missing(host)
                logger.warning(
                    "The host %s has no TLS: connecting without encryption. Set ssl to true to forbid this.", host
                )
                self.ssl = self._ssl_required = False
                self.client_flag &= ~_TLS_FLAG
            if self._auth_plugin_name not in _SHOW_NOTHING:
                # The driver would use the server's favourite unasked.
                self._auth_plugin_name = _SHOW_NOTHING[0]

    handlers: dict[str, Any] = {name: functools.partial(_Refused, name) for name in (*_REFUSED, *_WHOLE)}
    handlers["client_ed25519"] = Ed25519
    if may_see_password:
        handlers |= {name: functools.partial(_WholePassword, name, host) for name in _WHOLE}
    connection = Connection(
        user=login.username,
        password=login.password.encode(),
        database=login.dbname or None,
        host=host,
        charset="utf8mb4",
        autocommit=True,
        read_timeout=timeout_seconds,
        write_timeout=timeout_seconds,
        program_name="keyturn-rotation",
        ssl=_context(login.tls),
        ssl_disabled=login.tls is base.TlsMode.FORBIDDEN,
        auth_plugin_map=handlers,
        defer_connect=True,
    )
    opened = network.open_socket(host, port, timeout_seconds)
    try:
        connection.connect(opened)
    except BaseException:
        opened.close()
        raise
    return connection


def is_encrypted(connection: Any) -> bool:
    """Tell whether a driver's connection uses TLS."""
    return isinstance(connection._sock, ssl.SSLSocket)  # noqa: SLF001 - the driver has no other way to tell


def is_verified(connection: Any) -> bool:
    """Tell whether the certificate of a driver's connection was checked."""
    return is_encrypted(connection) and connection._sock.context.verify_mode is ssl.CERT_REQUIRED  # noqa: SLF001 - as above


def _context(tls: base.TlsMode) -> ssl.SSLContext | None:
    if tls is base.TlsMode.FORBIDDEN:
        return None
    return ssl.create_default_context() if tls is base.TlsMode.REQUIRED else network.unverified_context()


# Handlers of authentication methods: the driver makes one for a packet of the server and sends on what it answers.


class _Refused:
    """A method that would show the password, or that keeps no password in the database."""

    def __init__(self, method: str, connection: Any) -> None:  # noqa: ARG002 - the driver's
        self._method = method

    def authenticate(self, packet: Any) -> Any:  # noqa: ARG002 - the driver's
        raise base.UnsupportedMethod(f"The server asks this user for {self._method}, which this function does not do")


class Ed25519:
    """MariaDB's ed25519: the server's message, signed."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, packet: Any) -> Any:
        """Answer the server's packet and return its next one."""
        self._connection.write_packet(hashes.ed25519_signature(self._connection.password, packet.read_all()))
        return self._connection._read_packet()  # noqa: SLF001 - what the driver's own handlers do


class _WholePassword:
    """caching_sha2_password and sha256_password: the whole password if the server wants it, over TLS only.

    Source: MySQL Internals, "Caching_sha2_password information".
    """

    def __init__(self, method: str, host: str, connection: Any) -> None:
        self._method = method
        self._host = host
        self._connection = connection

    def authenticate(self, packet: Any) -> Any:
        if packet.is_auth_switch_request() and self._method == "caching_sha2_password":
            nonce = packet.read_all().removesuffix(b"\0")
            packet = self._exchange(hashes.caching_sha2_answer(self._connection.password, nonce))
        if packet.get_all_data() == _ANSWER_ACCEPTED:
            return self._connection._read_packet()  # noqa: SLF001 - as above
        if packet.is_auth_switch_request() or packet.get_all_data() == _ANSWER_WHOLE_PASSWORD:
            return self._exchange(self._shown_password())
        return packet

    def _exchange(self, answer: bytes) -> Any:
        self._connection.write_packet(answer)
        return self._connection._read_packet()  # noqa: SLF001 - as above

    def _shown_password(self) -> bytes:
        if not is_encrypted(self._connection):
            raise base.UnsupportedMethod(
                f"The server asks for the whole password ({self._method}) over a connection that is not encrypted"
            )
        if not is_verified(self._connection):
            logger.warning(
                "The host %s gets the password (%s) over TLS, but nobody vouches for its certificate. Set ssl to true.",
                self._host, self._method,
            )  # fmt: skip
        return bytes(self._connection.password) + b"\0"
