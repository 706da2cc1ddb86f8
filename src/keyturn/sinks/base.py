"""What an audit sink offers, how settings name one, and the search for them.

A sink is a file of this package with one class that has a ``kind``. A setting names it as a URL::

    json-lines:/var/log/keyturn/audit.jsonl?max_bytes=100000000&keep_files=30
    syslog+tcp://logs.example.org:601

The scheme is the kind, behind a plus sign the transport; options are in the query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Protocol, Self, cast, runtime_checkable
from urllib.parse import parse_qsl, unquote, urlsplit

from keyturn import sinks as sink_package
from keyturn.clock import Clock
from keyturn.errors.base import KeyturnError
from keyturn.kinds import classes_by_kind
from keyturn.rules.audit_record import ChainedRecord
from keyturn.setting_options import SettingOptions

_LONGEST_NAME = 512


class SinkError(KeyturnError):
    """A sink does not take records at the moment; they are offered again."""


@dataclass(frozen=True, slots=True)
class Location(SettingOptions):
    """A sink as settings name it.

    Attributes:
        name: The URL without its options; by it the sink's cursor is found again.
        transport: Behind the plus sign, or empty.
        host: Of the address, or empty.
        port: Of the address, or None.
        path: Decoded.
    """

    kind: str
    transport: str
    host: str
    port: int | None
    path: str

    kind_of_thing: ClassVar[str] = "audit sink"
    page: ClassVar[str] = "docs/audit.md"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read a URL.

        Raises:
            KeyturnError: It is none.
        """
        try:
            parsed = urlsplit(url)
            port = parsed.port
            options = dict(parse_qsl(parsed.query, keep_blank_values=True, strict_parsing=bool(parsed.query)))
        except ValueError as error:
            raise KeyturnError(f"The audit sink {url} cannot be read: {error}.", "See docs/audit.md.") from error
        kind, _, transport = parsed.scheme.partition("+")
        name = url.partition("?")[0]
        if not kind or len(name) > _LONGEST_NAME:
            raise KeyturnError(f"{url} does not name an audit sink.", "For instance: json-lines:/var/log/audit.jsonl.")
        return cls(name, options, kind, transport, parsed.hostname or "", port, unquote(parsed.path))


@runtime_checkable
class Sink(Protocol):
    """Takes audit records out of the database. Used by one thread."""

    kind: ClassVar[str]

    @classmethod
    def open(cls, location: Location, clock: Clock) -> Self:
        """Read the options; what is to be reached need not be there yet.

        Raises:
            KeyturnError: The setting is not right.
        """
        ...

    def deliver(self, records: Sequence[ChainedRecord]) -> None:
        """Take records in their order; when this returns they are safe, as far as the sink can know.

        What was offered before, and could not be delivered or was but nobody noted it, is offered again.

        Raises:
            SinkError: Not all of them are safe.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


@cache
def sink_kinds() -> Mapping[str, type[Sink]]:
    """Return every sink by its kind.

    Raises:
        TypeError: A file has no sink or several, or two files claim one kind.
    """
    return cast("dict[str, type[Sink]]", classes_by_kind(sink_package))


def open_sinks(setting: str, clock: Clock) -> list[tuple[str, Sink]]:
    """Return the sinks of a setting by their names: URLs with blanks between them.

    Raises:
        KeyturnError: One of them cannot be.
    """
    opened: dict[str, Sink] = {}
    for url in setting.split():
        location = Location.parse(url)
        kind = sink_kinds().get(location.kind)
        if kind is None:
            kinds = ", ".join(sorted(sink_kinds()))
            raise KeyturnError(f"There is no audit sink of the kind {location.kind!r}.", f"There are: {kinds}.")
        if location.name in opened:
            raise location.refusal("it is named twice")
        opened[location.name] = kind.open(location, clock)
    return list(opened.items())
