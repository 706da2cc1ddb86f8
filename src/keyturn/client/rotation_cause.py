"""Why a rotation failed, in words, where its cause is one that Keyturn, Lambda or Keyturn's engines name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_WORDS: Final[Mapping[str, str]] = {
    "notInvoked": "Secrets Manager could not invoke the function",
    "timeout": "the function ran out of time",
    "throttled": "the function was throttled",
    "functionError": "the function failed",
    "AllRefused": "the database refuses every stored version",
    "AuthenticationFailed": "the database refuses the login",
    "ClientError": "a call of the function to AWS's API failed (ClientError)",
    "ConnectTimeoutError": "the function could not reach AWS's API",
    "ConnectionLost": "the connection to the database was lost",
    "ConnectionRefused": "the database's host refuses connections",
    "ConnectionTimedOut": "the database did not answer in time",
    "EndpointConnectionError": "the function could not reach AWS's API",
    "HostNotFound": "the database's host has no address",
    "HostUnreachable": "the database's host cannot be reached",
    "MissingGrant": "the database user lacks a right",
    "NotFinished": "finishSecret did not make the new version current",
    "PasswordRejected": "the database does not take the new password",
    "Runtime.HandlerNotFound": "the function's package has no such handler",
    "Runtime.ImportModuleError": "the function's code could not be imported",
    "Runtime.OutOfMemory": "the function ran out of memory",
    "TlsFailed": "no TLS connection to the database could be made",
    "TlsRequired": "the database wants TLS",
    "UserMissing": "the database has no such user",
}


def cause_in_words(cause: str) -> str:
    """Return why a rotation failed; a name that a function of somebody's has made up stays as it is."""
    return _WORDS.get(cause, cause)
