"""Errors of Redis and Valkey servers and of their driver, classified.

A server's error begins with a word in capitals, which the driver takes off or leaves on; the rest is text in English.

Source: the servers' sources (``shared.*err`` and ``ACLSetUserStringError``), Redis documentation, "ACL".
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping

from .. import base, network

_BY_WORD: Mapping[str, type[base.DatabaseError]] = {
    "BUSY": base.NotReady,
    "CLUSTERDOWN": base.NotReady,
    "DENIED": base.NotAdmitted,  # protected mode
    "LOADING": base.NotReady,
    "MASTERDOWN": base.NotReady,
    "MISCONF": base.NotReady,
    "NOAUTH": base.AuthenticationFailed,
    "NOPERM": base.MissingGrant,
    "OOM": base.NotReady,
    "READONLY": base.ReadOnlyReplica,
    "TRYAGAIN": base.NotReady,
    "WRONGPASS": base.AuthenticationFailed,
}
# Of errors that begin with ERR, or with nothing.
_BY_TEXT: Mapping[str, type[base.DatabaseError]] = {
    "max number of clients": base.NotReady,
    "max number of connections": base.NotReady,
    "unknown command": base.AnotherProduct,
    "unknown subcommand": base.AnotherProduct,
    "can't contain spaces": base.UserMissing,
    "not configured to use an ACL file": base.NotDurable,
    "running without a config file": base.NotDurable,
    "Rewriting config file": base.NotDurable,
    "trying to save the ACLs": base.NotDurable,
    "you are trying to remove": base.NotReady,
}
_FROM_API = (
    "its users cannot be changed by ACL commands (it is a managed service whose users its provider's API changes, or"
    " older than Redis 6)"
)
_PASSED = "the passwords of this user have changed a moment ago: another rotation is at work"


def translation(error: BaseException, host: str) -> base.DatabaseError:
    """Return our error for the driver's.

    The driver wraps what the system said, so the chain is searched. An error nobody knows is reported by its type only:
    its text may hold anything.
    """
    import redis.exceptions  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, base.DatabaseError):
            return link
        # The driver counts some of the server's errors as ones of the connection.
        if (
            isinstance(link, redis.exceptions.ResponseError)
            or getattr(link, "status_code", None)
            or "max number of clients" in str(link)
        ):
            return server_error(link, host)
        if isinstance(link, ssl.SSLError) and not isinstance(link, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            return network.tls_error(link, host)
    for link in chain:
        if isinstance(link, OSError):
            return network.network_error(link, f"host {host}, connected")
    return base.ConnectionLost(
        f"host {host} closed the connection, broke the protocol off, or is no Redis server: {type(error).__name__}"
    )


def server_error(error: BaseException, host: str) -> base.DatabaseError:
    """Return our error for the server's."""
    # A transaction that cannot be run says why; the rest of that is the error itself.
    text = str(error).removeprefix("Transaction discarded because of: ")
    first, _, rest = text.partition(" ")
    if first.isupper():
        word, text = first, rest
    else:
        word = getattr(error, "status_code", None) or "ERR"
    kind = _BY_WORD.get(word)
    if kind is None:
        kind = next((kind for part, kind in _BY_TEXT.items() if part in text), base.DatabaseError)
    if kind is base.AnotherProduct:
        text = _FROM_API
    elif "ACL SETUSER modifier" in text:
        # It quotes the rule, which may be a hashed password.
        text = _PASSED if kind is base.NotReady else "the server refuses a rule of this user"
    return kind(f"host {host}: {text.rstrip('.')}", word)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__
