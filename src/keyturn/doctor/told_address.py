"""The address of a database, as a failed invocation's log names it where the secret's value is not read.

Sources of the words: Keyturn's engines (``rotators/engines/network.py``); libpq's, PyMySQL's and PyMongo's messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .database import Address
from .log import LogLine, LogRun
from .value import port_number

_HOST = r"(?P<host>[A-Za-z0-9._:-]{1,253})"
_PORT = r"(?P<port>\d{1,5})(?!\d)"
_IN_WORDS = (
    re.compile(rf"\bhost {_HOST}, port {_PORT}"),
    # psycopg, since libpq 14 and before it.
    re.compile(rf'connection to server at "{_HOST}"(?: \([^)\s]{{1,60}}\))?, port {_PORT}'),
    re.compile(
        rf'running on host "{_HOST}"(?: \([^)\s]{{1,60}}\))? and accepting\s{{1,20}}TCP/IP connections on port {_PORT}'
    ),
    re.compile(rf"Can't connect to MySQL server on '(?P<host>[A-Za-z0-9._-]{{1,253}})(?::{_PORT})?'"),
    re.compile(rf"ServerSelectionTimeoutError: (?P<host>[A-Za-z0-9._-]{{1,253}}):{_PORT}: "),
)
_OF_MYSQL = 3306
_SILENT = re.compile(
    r"\b(?:ConnectionTimedOut|HostUnreachable): |[Tt]imed out|timeout expired|No route to host|Network is unreachable"
)


@dataclass(frozen=True, slots=True)
class ToldAddress:
    """An address, and the line that names it."""

    address: Address
    line: LogLine


def told_address(runs: Iterable[LogRun]) -> ToldAddress | None:
    """Return the address that the newest of some failed invocations names which names one; None if none does.

    Who answers was reached, and the way there is of no interest then, unless it leads to the function itself.
    """
    for run in reversed([*runs]):
        for line in reversed(run.telling_lines):
            found = address_said(line.text)
            if found is not None and (_SILENT.search(line.text) or found.is_loopback):
                return ToldAddress(found, line)
    return None


def address_said(text: str) -> Address | None:
    """Return the address that a line names; None if it names none."""
    for pattern in _IN_WORDS:
        if match := pattern.search(text):
            port = _OF_MYSQL if match["port"] is None else port_number(match["port"])
            return None if port is None else Address(match["host"], port)
    return None
