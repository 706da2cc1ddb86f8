"""What an audit sink offers, how settings name one, and the search for them.

A sink is a file of this package with one class that has a ``kind``. A setting names it as a URL::

    json-lines:/var/log/keyturn/audit.jsonl?max_bytes=100000000&keep_files=30
    syslog+tcp://logs.example.org:601

The scheme is the kind, behind a plus sign the transport; options are in the query.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import ClassVar, Protocol, Self, runtime_checkable
from urllib.parse import parse_qsl, unquote, urlsplit

from keyturn import sinks as sink_package
from keyturn.clock import Clock
from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_record import ChainedRecord

_SKIPPED = {f"{sink_package.__name__}.base"}
_LONGEST_NAME = 512
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)


class SinkError(KeyturnError):
    """A sink does not take records at the moment; they are offered again."""


@dataclass(frozen=True, slots=True)
class Location:
    """A sink as settings name it.

    Attributes:
        name: The URL without its options; by it the sink's cursor is found again.
        transport: Behind the plus sign, or empty.
        host: Of the address, or empty.
        port: Of the address, or None.
        path: Decoded.
    """

    kind: str
    name: str
    transport: str
    host: str
    port: int | None
    path: str
    options: Mapping[str, str]

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
        return cls(kind, name, transport, parsed.hostname or "", port, unquote(parsed.path), options)

    def number(self, option: str, default: int, *, least: int = 0, most: int = 10**15) -> int:
        """Return an option that is a whole number.

        Raises:
            KeyturnError: It is none, too small or too large.
        """
        text = self.options.get(option, str(default))
        if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
            raise self.refusal(f"{option} is {text!r}, not a whole number from {least} to {most}")
        return int(text)

    def flag(self, option: str, *, default: bool) -> bool:
        """Return an option that is true or false.

        Raises:
            KeyturnError: It is neither.
        """
        text = self.options.get(option, str(default).lower())
        if text not in ("true", "false"):
            raise self.refusal(f"{option} is {text!r}, not true or false")
        return text == "true"

    def refuse_others(self, *known: str) -> None:
        """Refuse options that the sink does not know.

        Raises:
            KeyturnError: There is one.
        """
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            raise self.refusal(f"it has no option {unknown[0]}")

    def refusal(self, what: str) -> KeyturnError:
        """Return the error of a setting that cannot be."""
        return KeyturnError(f"The audit sink {self.name}: {what}.", "docs/audit.md has the options of each sink.")


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
    found: dict[str, type[Sink]] = {}
    for info in pkgutil.iter_modules(sink_package.__path__, f"{sink_package.__name__}."):
        if info.name in _SKIPPED:
            continue
        sink = _sink_of(importlib.import_module(info.name))
        if sink.kind in found:
            raise TypeError(f"Two audit sinks are called {sink.kind!r}.")
        found[sink.kind] = sink
    return found


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


def _sink_of(module: ModuleType) -> type[Sink]:
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "kind")
    ]
    if len(classes) != 1:
        raise TypeError(f"{module.__name__} must hold exactly one class with a kind.")
    sink: type[Sink] = classes[0]
    return sink
