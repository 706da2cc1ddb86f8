"""Errors of SQL Server and of its driver, classified by number: messages are in the language of the login.

Source: Microsoft, "Database Engine events and errors", "MSSQLSERVER_18456", "Changing passwords programmatically";
sys.messages.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .. import base, network
from .driver import LoginRefused

# Raised by this engine's own batches; SQL Server leaves the numbers from here on to its users.
BUSY, OVERTAKEN = 50001, 50002

_ERROR_TOKEN = 0xAA
_LOGIN_FAILED, _WINDOWS_ONLY = 18456, 18452
# Severity 15 is a statement that SQL Server does not understand; it quotes the statement, and with it a password.
_SYNTAX = 15

_ERRORS: Mapping[int, type[base.DatabaseError]] = {
    229: base.MissingGrant,
    230: base.MissingGrant,
    262: base.MissingGrant,
    297: base.MissingGrant,
    300: base.MissingGrant,
    596: base.ConnectionLost,  # killed
    911: base.DatabaseMissing,
    916: base.MissingGrant,
    927: base.NotReady,  # being restored
    942: base.NotReady,  # offline
    976: base.ReadOnlyReplica,  # a secondary that takes no reads either
    978: base.ReadOnlyReplica,  # a secondary for those who say that they only read
    979: base.NotReady,
    982: base.NotReady,
    983: base.NotReady,  # neither primary nor secondary just now
    988: base.NotReady,
    1205: base.LockTimedOut,  # a deadlock
    1222: base.LockTimedOut,
    2760: base.MissingGrant,
    3906: base.ReadOnlyReplica,
    3908: base.NotReady,
    4060: base.DatabaseMissing,
    4064: base.DatabaseMissing,  # the login's default database
    4602: base.MissingGrant,
    4613: base.MissingGrant,
    6005: base.NotReady,  # shutdown in progress
    10928: base.NotReady,
    10929: base.NotReady,
    15007: base.UserMissing,
    15113: base.NotAdmitted,  # too many wrong old passwords
    15114: base.PasswordRejected,  # too soon after the last change
    15115: base.PasswordRejected,
    15116: base.PasswordRejected,  # too short
    15117: base.PasswordRejected,  # too long
    15118: base.PasswordRejected,  # not complex enough
    15119: base.PasswordRejected,  # a filter of the server's Windows
    15120: base.PasswordRejected,
    15151: base.MissingGrant,  # or there is none: SQL Server does not tell
    15247: base.MissingGrant,
    17142: base.NotReady,  # paused
    17197: base.NotReady,
    17809: base.NotReady,  # no connection left
    17892: base.NotAdmitted,  # a logon trigger
    18401: base.NotReady,  # upgrading
    18451: base.NotReady,  # administrators only
    _WINDOWS_ONLY: base.UnsupportedMethod,
    _LOGIN_FAILED: base.AuthenticationFailed,
    18461: base.NotReady,  # single-user mode
    18470: base.NotAdmitted,  # disabled
    18486: base.NotAdmitted,  # locked out
    18487: base.NotAdmitted,  # expired
    18488: base.NotAdmitted,  # must be changed
    40197: base.NotReady,
    40501: base.NotReady,
    40613: base.NotReady,
    40615: base.NotAdmitted,  # the firewall of Azure
    40632: base.PasswordRejected,
    BUSY: base.NotReady,
    OVERTAKEN: base.NotReady,
}
# What the server does not say.
_NOTES: Mapping[int, str] = {
    _LOGIN_FAILED: " SQL Server tells the reason to its own error log only (state of error 18456)",
    _WINDOWS_ONLY: " Let the server take SQL Server authentication beside that of Windows",
}


def translation(error: BaseException, messages: Sequence[Mapping[str, Any]], *, host: str) -> base.DatabaseError:
    """Return our error for the driver's.

    Args:
        error: What was raised.
        messages: What the server has said.
        host: Whom we were talking to.
    """
    from pytds import tds_base  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    if isinstance(error, LoginRefused):
        return _server_error(error.messages, host=host)
    if isinstance(error, tds_base.DatabaseError):
        return _server_error(messages, host=host)
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, base.DatabaseError):
            return link
        if isinstance(link, OSError) and not isinstance(link, ssl.SSLError):
            return network.network_error(link, f"host {host}, connected")
    # Of an error nobody knows only the type is told: its text may hold anything.
    return base.ConnectionLost(f"host {host} broke the protocol off, or is no SQL Server: {type(error).__name__}")


def _server_error(messages: Sequence[Mapping[str, Any]], *, host: str) -> base.DatabaseError:
    """Return our error for the first of the server's that says more than that the login failed."""
    said = [message for message in messages if message["marker"] == _ERROR_TOKEN]
    if not said:
        return base.DatabaseError(f"host {host}: the server gave no reason")
    chosen = next((message for message in said if message["msgno"] != _LOGIN_FAILED), said[0])
    number, reason = int(chosen["msgno"]), str(chosen["message"])
    if chosen["severity"] == _SYNTAX:
        reason = "the server does not understand the statement"
    reason += _NOTES.get(number, "")
    return _ERRORS.get(number, base.DatabaseError)(f"host {host}: {reason}", str(number))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__
