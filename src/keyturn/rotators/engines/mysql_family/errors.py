"""Errors of MySQL and MariaDB servers and of their driver, classified.

Messages may be translated, so codes are looked at, and of texts only names that stay the same in every language.

Source: MySQL 8.0 Error Reference; MariaDB documentation, "Error Codes".
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping

from .. import base, network

MISSING_CURRENT_PASSWORD = 3892
_OPTION_PREVENTS = 1290
_SYNTAX = 1064


_ERRORS: Mapping[int, type[base.DatabaseError]] = {
    1040: base.NotReady,  # too many connections
    1041: base.NotReady,  # out of memory
    1042: base.NotAdmitted,  # the client's name does not resolve
    1043: base.ConnectionLost,  # bad handshake
    1044: base.MissingGrant,
    1045: base.MissingGrant,
    1049: base.DatabaseMissing,
    1053: base.ConnectionLost,  # shutdown in progress
    1129: base.HostBlocked,
    1130: base.NotAdmitted,
    1131: base.UserMissing,  # anonymous users have no password
    1133: base.UserMissing,
    1141: base.UserMissing,
    1142: base.MissingGrant,
    1143: base.MissingGrant,
    1184: base.ConnectionLost,
    1203: base.NotReady,  # too many connections of this user
    1205: base.LockTimedOut,
    1226: base.NotReady,  # a limit of this user
    1227: base.MissingGrant,
    1251: base.UnsupportedMethod,
    1275: base.UnsupportedMethod,
    1317: base.StatementTimedOut,  # somebody has it ended
    1370: base.MissingGrant,
    1372: base.PasswordRejected,
    1396: base.UserMissing,
    1410: base.MissingGrant,
    1524: base.UnsupportedMethod,  # the account's plugin is not loaded
    1698: base.MissingGrant,
    1699: base.AuthenticationMethodRefused,
    1792: base.ReadOnlyReplica,
    1819: base.PasswordRejected,
    1820: base.NotAdmitted,  # the password has expired
    1836: base.ReadOnlyReplica,
    1862: base.NotAdmitted,  # the password has expired
    1874: base.ReadOnlyReplica,
    1927: base.ConnectionLost,  # killed
    1969: base.StatementTimedOut,  # MariaDB: max_statement_time
    2006: base.ConnectionLost,
    2013: base.ConnectionLost,
    2026: base.TlsFailed,
    2059: base.UnsupportedMethod,
    3118: base.NotAdmitted,  # MySQL: locked
    3159: base.TlsRequired,
    3638: base.PasswordRejected,  # MySQL: used before
    3955: base.NotAdmitted,  # MySQL: too many wrong passwords
    4150: base.NotAdmitted,  # MariaDB: the same
    4151: base.NotAdmitted,  # MariaDB: locked
    9501: base.BehindProxy,  # RDS Proxy has no connection to the database
}
# Before a user is in, the same codes say something else.
_AT_LOGIN: Mapping[int, type[base.DatabaseError]] = {
    1044: base.DatabaseMissing,  # the password is right, but the user may not use this database
    1045: base.AuthenticationFailed,
    1698: base.UnsupportedMethod,  # the account's plugin takes no password: unix_socket, auth_socket
}
_PROXIES = ("rds proxy", "proxysql", "hostgroup", "maxscale")


def translation(error: BaseException, *, host: str, logging_in: bool) -> base.DatabaseError:
    """Return our error for the driver's.

    The driver wraps what the system said, so the chain is searched. An error nobody knows is reported by its type only:
    its text may hold anything.
    """
    import pymysql.err  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, base.DatabaseError):
            return link
        if isinstance(link, ssl.SSLError):
            return network.tls_error(link, host)
    for link in chain:
        if isinstance(link, OSError):
            return network.network_error(link, f"host {host}, connected")
    if isinstance(error, pymysql.err.MySQLError) and len(error.args) > 1 and isinstance(error.args[0], int):
        return server_error(error.args[0], str(error.args[1]), host=host, logging_in=logging_in)
    if isinstance(error, pymysql.err.InterfaceError):
        return base.ConnectionLost(f"host {host}: the connection is closed")
    return base.ConnectionLost(
        f"host {host} broke the protocol off, or is no MySQL or MariaDB server: {type(error).__name__}"
    )


def server_error(code: int, message: str, *, host: str, logging_in: bool) -> base.DatabaseError:
    """Return our error for the server's."""
    kind = _ERRORS.get(code, base.DatabaseError)
    if logging_in:
        kind = _AT_LOGIN.get(code, kind)
    if code == _OPTION_PREVENTS:
        kind = _option(message)
    elif "WSREP" in message:
        # Galera: a node that has lost the others.
        kind = base.NotReady
    elif any(name in message.lower() for name in _PROXIES):
        kind = base.BehindProxy
    elif code == _SYNTAX:
        # It quotes the statement, and with it a password.
        message = "the server does not understand the statement"
    return kind(f"host {host}: {message}", str(code))


def _option(message: str) -> type[base.DatabaseError]:
    """Return what an option that prevents a statement means; the message names it."""
    if "read-only" in message or "read_only" in message:
        return base.ReadOnlyReplica
    return base.PasswordRejected if "strict-password-validation" in message else base.DatabaseError


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__
