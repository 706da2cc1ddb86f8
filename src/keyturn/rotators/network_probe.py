"""Runs in a function's stead and answers whether a host is reached from there by TCP.

A file that stands alone (standard library only, Python 3.9). The event names ``Host``, ``Port`` and
``TimeoutSeconds``; the name is resolved as the function would, and its addresses are tried one after the other, of many
the first few. Nothing is sent to who answers: a connection is closed as soon as it is there. The answer is::

    {"probe": "keyturn.network-probe/1", "outcome": "refused", "error": "", "milliseconds": 3,
     "attempts": [{"address": "10.0.2.15", "outcome": "refused", "error": "", "milliseconds": 1}]}

Outcomes are ``connected``, ``refused``, ``timeout``, ``unreachable``, ``name-not-found``, ``name-timeout`` and
``failed``, of which ``error`` says more. That of the whole is ``connected`` if an address was, else the first's.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

FORMAT = "keyturn.network-probe/1"

Outcome = tuple[str, str]
"""What came of it, and more about what has no name."""
Address = tuple[int, str]
"""Of which family, and the address."""

_MOST_ADDRESSES = 4
# As long as a resolver is waited for beyond the time of a connection: it asks twice.
_NAME_SECONDS = 4.0
_OUTCOMES = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
}
_NOT_FOUND = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def lambda_handler(event: Mapping[str, Any], context: object) -> dict[str, object]:  # noqa: ARG001 - Lambda's
    """Look once."""
    host, port, seconds = str(event["Host"]), int(event["Port"]), float(event["TimeoutSeconds"])
    began = time.monotonic()
    (outcome, error), addresses = find(host, seconds + _NAME_SECONDS)
    attempts: list[dict[str, object]] = []
    for address in addresses[:_MOST_ADDRESSES]:
        tried_at = time.monotonic()
        tried, why = connect(address, port, seconds)
        attempts.append(
            {"address": address[1], "outcome": tried, "error": why, "milliseconds": _milliseconds_since(tried_at)}
        )
    outcomes = [(str(each["outcome"]), str(each["error"])) for each in attempts]
    if outcomes:
        outcome, error = next((each for each in outcomes if each[0] == "connected"), outcomes[0])
    return {
        "probe": FORMAT,
        "outcome": outcome,
        "error": error,
        "milliseconds": _milliseconds_since(began),
        "attempts": attempts,
    }


def find(host: str, seconds: float) -> tuple[Outcome, list[Address]]:
    """Return what came of looking a name up, and its addresses."""
    found: list[Any] = []

    def look() -> None:
        try:
            found.append(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    # The C library waits for a server that does not answer longer than anybody wants to, and cannot be told.
    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(seconds)
    if not found:
        return ("name-timeout", ""), []
    if isinstance(found[0], Exception):
        return _unfound(found[0]), []
    addresses = [(int(family), str(sockaddr[0])) for family, _, _, _, sockaddr in found[0]]
    return ("", ""), list(dict.fromkeys(addresses))


def _unfound(error: Exception) -> Outcome:
    if isinstance(error, socket.gaierror) and error.errno in _NOT_FOUND:
        return "name-not-found", ""
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return "name-timeout", ""
    if isinstance(error, UnicodeError):
        return "name-not-found", "it is no name that DNS can have"
    return "failed", _told(error)


def connect(address: Address, port: int, seconds: float) -> Outcome:
    """Return what came of a connection, which is closed at once."""
    family, host = address
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.settimeout(seconds)
            tried.connect((host, port))
    except socket.timeout:  # noqa: UP041 - Python 3.9's own name
        return "timeout", ""
    except OSError as error:
        outcome = _OUTCOMES.get(error.errno or 0, "failed")
        return outcome, _told(error) if outcome == "failed" else ""
    return "connected", ""


def _told(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(error, OSError) and isinstance(number, int) and number > 0 else str(error)


def _milliseconds_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
