"""One login to a server that speaks PostgreSQL's protocol: what does not depend on which one it is."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .. import base, network
from . import driver


class FamilyConnection(base.Connection, ABC):
    """One login.

    Args:
        login: Whose.
        host: One of the login's.
        port: Its port.
        connect_timeout_seconds: For each answer until the login is done.
        statement_timeout_seconds: What the server allows a statement; we wait a little longer.
    """

    # Requests for authentication that ask for a password.
    password_methods = frozenset({driver.CLEARTEXT_PASSWORD, driver.MD5_PASSWORD, driver.SASL})

    def __init__(
        self, login: base.Login, host: str, port: int, *,
        connect_timeout_seconds: float, statement_timeout_seconds: float,
    ) -> None:  # fmt: skip
        self._login = login
        self._host = host
        self._port = port
        opened = driver.open_connection(host, port, login.tls, connect_timeout_seconds)
        try:
            with self._translated():
                self._driver = driver.log_in(opened, login, self._answer)
        except BaseException:
            opened.close()
            raise
        opened.settimeout(statement_timeout_seconds + connect_timeout_seconds)
        try:
            # The owner of a database chooses its search path, and could have a superuser run an operator of theirs.
            self._run("SET search_path = pg_catalog")
            self._know_server()
        except BaseException:
            self.close()
            raise

    @abstractmethod
    def _know_server(self) -> None:
        """Raise if this server is not one on which passwords can be changed."""

    @abstractmethod
    def _server_error(self, fields: Mapping[str, str]) -> base.DatabaseError:
        """Return our error for the server's.

        Args:
            fields: PostgreSQL documentation, "Error and Notice Message Fields".
        """

    def _answer(self, connection: Any, data: bytes) -> bool:  # noqa: ARG002 - for those who know more methods
        """Answer a request for authentication that the driver does not know."""
        return False

    @property
    def password_was_checked(self) -> bool:
        """False if the server trusts the connection; then any password would have done."""
        return bool(self._driver.methods & self.password_methods)

    def test(self) -> None:
        """Read the server's time."""
        self._run("SELECT pg_catalog.now()")

    def close(self) -> None:
        """End the connection; a server that is gone already has ended it too."""
        with contextlib.suppress(Exception):
            self._driver.close()

    @contextlib.contextmanager
    def _confirmed(self, confirm: base.Confirm) -> Iterator[None]:
        """Commit what the block changes once ``confirm`` has returned; all or nothing.

        A user that a transaction has changed is locked until it ends, so no rotation can pass this one between the
        question and the commit.
        """
        self._run("BEGIN")
        try:
            self._limit_idle_transaction()
            yield
            confirm()
        except BaseException:
            with contextlib.suppress(base.DatabaseError):
                self._run("ROLLBACK")
            raise
        self._run("COMMIT")

    def _limit_idle_transaction(self) -> None:
        """Have the server end the session if it is halted within a transaction."""

    def _run(self, statement: str, **parameters: str) -> list[list[Any]]:
        with self._translated():
            return list(self._driver.run(statement, **parameters) or ())

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn whatever the driver raises into a DatabaseError, and drop the original: it may hold the statement."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the driver raises its own, sockets', TLS's and SCRAM's errors
            raise translation(error, self._host, self._server_error) from None


def translation(
    error: BaseException, host: str, server_error: Callable[[Mapping[str, str]], base.DatabaseError]
) -> base.DatabaseError:
    """Return our error for the driver's.

    When the driver closes after an error, closing may fail too and hide the first error: the chain is searched for what
    the server said.
    """
    import pg8000.native  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, base.DatabaseError):
            return link
        if isinstance(link, pg8000.native.DatabaseError) and link.args and isinstance(link.args[0], dict):
            return server_error(link.args[0])
    for link in chain:
        if isinstance(link, OSError):
            return network.network_error(link, f"host {host}, connected")
    if isinstance(error, pg8000.native.InterfaceError) and "uthentication" in str(error):
        return base.AuthenticationMethodRefused(str(error))
    if isinstance(error, pg8000.native.InterfaceError):
        return base.ConnectionLost(f"host {host}: {error}")
    # SCRAM's own checks end here: the server's proof is wrong, or it offers a mechanism nobody knows.
    return base.AuthenticationMethodRefused(f"host {host}: {type(error).__name__}: {error}")


def md5_verifier(username: str, password: str) -> str:
    """Return what a server stores for MD5 authentication (PostgreSQL documentation, pg_authid)."""
    return "md5" + hashlib.md5((password + username).encode(), usedforsecurity=False).hexdigest()


def quoted_identifier(name: str) -> str:
    """Return a name as SQL takes it (PostgreSQL documentation, "Identifiers and Key Words")."""
    return '"' + name.replace('"', '""') + '"'


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__
