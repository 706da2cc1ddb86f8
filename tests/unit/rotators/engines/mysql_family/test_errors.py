"""What servers of the family and their driver say, classified, without a server."""

from __future__ import annotations

import socket
import ssl

import pymysql.err
import pytest

from keyturn.rotators.engines import base
from keyturn.rotators.engines.mysql_family import errors


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (1040, "Too many connections", base.NotReady),
        (1044, "Access denied for user 'a'@'%' to database 'd'", base.DatabaseMissing),
        (1045, "Access denied for user 'a'@'10.0.0.1' (using password: YES)", base.AuthenticationFailed),
        (1047, "WSREP has not yet prepared node for application use", base.NotReady),
        (1049, "Unknown database 'd'", base.DatabaseMissing),
        (1129, "Host '10.0.0.1' is blocked because of many connection errors", base.HostBlocked),
        (1130, "Host '10.0.0.1' is not allowed to connect to this MySQL server", base.NotAdmitted),
        (1203, "User a already has more than 'max_user_connections' active connections", base.NotReady),
        (1226, "User 'a' has exceeded the 'max_connections_per_hour' resource", base.NotReady),
        (1251, "Client does not support authentication protocol requested by server", base.UnsupportedMethod),
        (1524, "Plugin 'x' is not loaded", base.UnsupportedMethod),
        (1698, "Access denied for user 'root'@'localhost'", base.UnsupportedMethod),
        (1862, "Your password has expired.", base.NotAdmitted),
        (2013, "Lost connection to MySQL server during query", base.ConnectionLost),
        (2026, "SSL is required but the server doesn't support it", base.TlsFailed),
        (2059, "Authentication plugin 'x' not configured", base.UnsupportedMethod),
        (3118, "Access denied for user 'a'@'b'. Account is locked.", base.NotAdmitted),
        (3159, "Connections using insecure transport are prohibited", base.TlsRequired),
        (3159, "This RDS Proxy requires TLS connections", base.BehindProxy),
        (3955, "Account is blocked for 1 day(s)", base.NotAdmitted),
        (9001, "Max connect timeout reached while reaching hostgroup 0 after 10000ms", base.BehindProxy),
        (9501, "Timed-out waiting to acquire database connection", base.BehindProxy),
        (1045, "ProxySQL Error: Access denied for user 'a'@'10.0.0.1' (using password: YES)", base.BehindProxy),
        (7777, "Something new", base.DatabaseError),
    ],
)
def test_a_refused_login_is_classified_by_its_code(code: int, message: str, kind: type[base.DatabaseError]) -> None:
    error = errors.server_error(code, message, host="db", logging_in=True)
    assert type(error) is kind
    assert (error.code, error.reason) == (str(code), f"host db: {message}")


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (1044, "Access denied for user 'a'@'%' to database 'mysql'", base.MissingGrant),
        (1045, "Access denied for user 'a'@'%' (using password: YES)", base.MissingGrant),
        (1698, "Access denied for user 'a'@'%'", base.MissingGrant),
        (1142, "SELECT command denied to user", base.MissingGrant),
        (1227, "Access denied; you need (at least one of) the CREATE USER privilege(s)", base.MissingGrant),
        (1410, "You are not allowed to create a user with GRANT", base.MissingGrant),
        (1205, "Lock wait timeout exceeded; try restarting transaction", base.LockTimedOut),
        (1290, "… running with the --read-only option …", base.ReadOnlyReplica),
        (1290, "… running with the --super-read-only option …", base.ReadOnlyReplica),
        (1290, "… running with the --strict-password-validation option …", base.PasswordRejected),
        (1290, "… running with the --skip-grant-tables option …", base.DatabaseError),
        (1836, "Running in read-only mode", base.ReadOnlyReplica),
        (1819, "Your password does not satisfy the current policy requirements", base.PasswordRejected),
        (3638, "Cannot use these credentials: they contradict the password history", base.PasswordRejected),
        (1396, "Operation ALTER USER failed for 'a'@'%'", base.UserMissing),
    ],
)  # fmt: skip
def test_a_refused_statement_is_classified_by_its_code(code: int, message: str, kind: type[base.DatabaseError]) -> None:
    assert type(errors.server_error(code, message, host="db", logging_in=False)) is kind


def test_a_syntax_error_does_not_quote_the_statement() -> None:
    error = errors.server_error(1064, "You have an error near 'BY 'marked' RETAIN'", host="db", logging_in=False)
    assert "marked" not in f"{error} {error!r}"
    assert error.code == "1064"


def test_a_way_in_that_is_refused_may_be_a_users_who_is_not_there() -> None:
    # Alternating users make the second one where a login says either.
    assert issubclass(base.UnsupportedMethod, base.NotAdmitted)
    assert issubclass(base.UnsupportedMethod, base.AuthenticationMethodRefused)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (TimeoutError("timed out"), base.ConnectionTimedOut),
        (ConnectionResetError(104, "Connection reset by peer"), base.ConnectionLost),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), base.HostNotFound),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), base.TlsFailed),
        (base.TlsFailed("ours"), base.TlsFailed),
    ],
)
def test_the_drivers_error_is_named_for_what_is_behind_it(cause: Exception, kind: type[base.DatabaseError]) -> None:
    error = pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'db' (marked)")
    error.__context__ = cause
    told = errors.translation(error, host="db", logging_in=True)
    assert type(told) is kind
    assert "marked" not in str(told)


@pytest.mark.parametrize(
    "error",
    [pymysql.err.InterfaceError(0, ""), pymysql.err.InterfaceError("marked"), ValueError("marked"), IndexError()],
)
def test_an_error_that_nobody_knows_does_not_show_its_text(error: Exception) -> None:
    told = errors.translation(error, host="db", logging_in=False)
    assert "marked" not in str(told)
    assert "host db" in str(told)
