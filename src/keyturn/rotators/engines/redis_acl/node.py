"""One Redis or Valkey server, logged in.

Redis has no STARTTLS: a port speaks TLS or it does not. Where the secret leaves the choice, a question without a
password tells which one it is.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import base, network
from . import errors
from .users import User

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
COMMAND_TIMEOUT_SECONDS = 10

# HELLO 2, for which nobody has to be logged in.
_QUESTION = b"*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n"
# A TLS record of the type alert.
_TLS_ALERT = b"\x15"


class Node:
    """One server of a deployment.

    Attributes:
        is_replica: As it says itself.
    """

    def __init__(self, login: base.Login, host: str, port: int) -> None:
        self.host = host
        opened = _open(host, port, login.tls)
        try:
            with self._translated():
                self._driver = _driver_connection(opened, host, port)
                hello = self._hello(login)
        except BaseException as error:
            opened.close()
            if isinstance(error, base.ConnectionLost) and isinstance(opened, ssl.SSLSocket):
                raise base.TlsFailed(
                    f"host {host} hung up after the TLS handshake: it may want a certificate from its clients"
                    " (tls-auth-clients), and this function has none"
                ) from None
            raise
        is_plain = not isinstance(opened, ssl.SSLSocket)
        self._login = replace(login, tls=base.TlsMode.FORBIDDEN) if is_plain else login
        self._port = port
        self.is_replica = hello.get("role") in ("replica", "slave")
        if hello.get("mode") == "sentinel":
            self.close()
            raise base.AnotherProduct(f"host {host} is a Sentinel, which has users of its own: name the servers")

    def asks_for_password(self) -> bool:
        """Log in once more, with a wrong password: a user with ``nopass`` is let in by any."""
        try:
            Node(replace(self._login, password=secrets.token_hex(32)), self.host, self._port).close()
        except base.AuthenticationFailed:
            return True
        return False

    def user(self, username: str) -> User | None:
        """Return a user, or None if there is none of that name."""
        reply = self.run("ACL", "GETUSER", username)
        return None if reply is None else User.parse(reply)

    def run(self, *command: str) -> Any:
        """Run one command and return its reply.

        Raises:
            DatabaseError: The server refused, or the way to it is lost.
        """
        with self._translated():
            self._driver.send_command(*command)
            return self._driver.read_response()

    def run_together(self, *commands: Sequence[str]) -> list[base.DatabaseError | None]:
        """Run commands as one: none of them if one cannot be begun, and never without what comes after it.

        Returns:
            For each one what the server refused, or None.
        """
        self.run("MULTI")
        for command in commands:
            self.run(*command)
        replies: list[object] = self.run("EXEC")
        return [errors.server_error(reply, self.host) if isinstance(reply, Exception) else None for reply in replies]

    def close(self) -> None:
        """End the connection; a server that is gone already has ended it too."""
        with contextlib.suppress(Exception):
            self._driver.disconnect()

    def _hello(self, login: base.Login) -> Mapping[str, object]:
        reply = self.run("HELLO", "2", "AUTH", login.username, login.password)
        values = zip(reply[::2], reply[1::2], strict=True)
        return {name.decode(): value.decode() for name, value in values if isinstance(value, bytes)}

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn whatever the driver raises into a DatabaseError, and drop the original: it may hold the command."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the driver raises its own, sockets', TLS's and Python's errors
            raise errors.translation(error, self.host) from None


def _driver_connection(opened: socket.socket, host: str, port: int) -> Any:
    """Return the driver's connection on a socket; it sends nothing of its own accord and never connects again."""
    import redis.connection  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    class Connection(redis.connection.Connection):
        def _connect(self) -> socket.socket:
            if opened.fileno() < 0:
                raise ConnectionResetError("the connection is closed")
            return opened

    connection = Connection(  # type: ignore[no-untyped-call]  # the driver's
        host=host, port=port, protocol=2, socket_timeout=COMMAND_TIMEOUT_SECONDS,
        redis_connect_func=lambda made: made._parser.on_connect(made),  # noqa: SLF001 - the driver's own way of connecting silently
    )  # fmt: skip
    connection.connect()  # type: ignore[no-untyped-call]  # as above
    return connection


def _open(host: str, port: int, tls: base.TlsMode) -> socket.socket:
    """Connect as the secret asks for."""
    encrypted = tls is base.TlsMode.REQUIRED or (tls is base.TlsMode.PREFERRED and not _speaks_plainly(host, port))
    if tls is base.TlsMode.PREFERRED and not encrypted:
        logger.warning(
            "The host %s has no TLS on port %s: the password travels without encryption. Set ssl to true to forbid"
            " this, or to false to do without this question.", host, port,
        )  # fmt: skip
    opened = network.open_socket(host, port, CONNECT_TIMEOUT_SECONDS)
    try:
        if encrypted:
            verified = tls is base.TlsMode.REQUIRED
            context = ssl.create_default_context() if verified else network.unverified_context()
            opened = _encrypted(opened, context, host)
        opened.settimeout(COMMAND_TIMEOUT_SECONDS)
    except BaseException:
        opened.close()
        raise
    return opened


def _encrypted(opened: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(opened, server_hostname=host)
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        raise network.tls_missing(host) from None
    except ssl.SSLError as error:
        if getattr(error, "reason", None) in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
            raise network.tls_missing(host) from None
        raise network.tls_error(error, host) from None
    except TimeoutError:
        # A server without TLS waits for the end of what it takes for a command.
        raise base.TlsFailed(
            f"Unable to establish SSL/TLS handshake with the host {host}: no answer, as of a port without TLS"
        ) from None
    except OSError as error:
        raise network.network_error(error, f"host {host}, TLS handshake") from None


def _speaks_plainly(host: str, port: int) -> bool:
    """Ask without a password: whoever expects TLS sends an alert, or hangs up."""
    with network.open_socket(host, port, CONNECT_TIMEOUT_SECONDS) as opened:
        try:
            opened.sendall(_QUESTION)
            answer = opened.recv(1)
        except (ConnectionResetError, BrokenPipeError):
            return False
        except OSError as error:
            raise network.network_error(error, f"host {host}, port {port}") from None
    return answer not in (b"", _TLS_ALERT)
