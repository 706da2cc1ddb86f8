"""What a notifier offers, how settings name one, and the search for them.

A notifier is a file of this package with one class that has a ``kind``. A setting names it as a URL, with its options
behind a number sign: what stands before it is the receiver's own, query included, and a fragment is sent to nobody::

    https://hooks.example.org/rotation#name=pager&secret_file=/etc/keyturn/pager.whsec
    webhook:/etc/keyturn/chat.url#format=text
    command:/usr/local/bin/page#events=RotationFailed&only_final=true

Whoever knows the URL of a webhook can often write to it, so URLs are shown to nobody. A notifier has a name instead:
the one it was given, or its host (a program's own name) with some digits of a hash of the URL.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import ClassVar, Protocol, Self, cast, runtime_checkable
from urllib.parse import parse_qsl, unquote, urlsplit

from keyturn import notifiers as notifier_package
from keyturn.errors.base import KeyturnError
from keyturn.kinds import classes_by_kind
from keyturn.rules.audit_event import ServiceEventName
from keyturn.rules.notification import DEFAULT_EVENTS, Wanted
from keyturn.setting_options import SettingOptions

_COMMON_OPTIONS = ("name", "events", "secrets", "only_final")
_ALL = "all"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_STRANGE = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_LONGEST_HOST, _HASH_DIGITS = 40, 8
_EXAMPLE = "For instance: https://hooks.example.org/rotation#name=pager."


class NotifierError(KeyturnError):
    """A notifier does not take a message at the moment; it is offered again. Says nothing of the receiver's URL."""


class NotifierGone(NotifierError):
    """The receiver is gone for good, or wants no messages any more."""


@dataclass(frozen=True, slots=True)
class Location(SettingOptions):
    """A notifier as settings name it.

    Attributes:
        name: From its options, or made from the URL; messages wait under it.
        scheme: Of the URL.
        url: Without the options. Not to be shown.
        path: Of the URL, decoded.
    """

    scheme: str
    url: str
    path: str

    kind_of_thing: ClassVar[str] = "notifier"
    page: ClassVar[str] = "docs/notifications.md"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL with options.

        Raises:
            KeyturnError: It is none; the message does not repeat it.
        """
        url, _, fragment = text.partition("#")
        try:
            parsed = urlsplit(url)
            host = parsed.hostname or PurePosixPath(unquote(parsed.path)).name
            options = dict(parse_qsl(fragment, keep_blank_values=True, strict_parsing=bool(fragment)))
        except ValueError as error:
            raise KeyturnError(
                "A notifier in the setting notify cannot be read: it must be a URL, its options behind #.", _EXAMPLE
            ) from error
        if not parsed.scheme or not host:
            raise KeyturnError("What the setting notify has is no URL of a notifier.", _EXAMPLE)
        digest = hashlib.sha256(url.encode()).hexdigest()[:_HASH_DIGITS]
        made = f"{_STRANGE.sub('-', host).strip('-._')[:_LONGEST_HOST] or 'notifier'}-{digest}"
        location = cls(options.get("name", made), options, parsed.scheme, url, unquote(parsed.path))
        if not _NAME.fullmatch(location.name):
            raise KeyturnError(
                f"The name {location.name!r} of a notifier is not right.",
                "Letters, digits, dots, dashes and underscores, 64 at most.",
            )
        return location

    def refuse_others(self, *known: str) -> None:
        """Refuse options that neither every notifier has nor this kind."""
        # A dataclass with slots is another class than the one that super() remembers.
        SettingOptions.refuse_others(self, *_COMMON_OPTIONS, *known)

    def wanted(self) -> Wanted:
        """Return what it is to be told.

        Raises:
            KeyturnError: There is no event of such a name.
        """
        names = self.options.get("events", "")
        events = frozenset(names.split(",")) if names else DEFAULT_EVENTS
        if events == {_ALL}:
            events = frozenset(ServiceEventName)
        unknown = sorted(events - frozenset(ServiceEventName))
        if unknown:
            raise self.refusal(f"there is no event {unknown[0]!r}; there are {', '.join(ServiceEventName)}")
        patterns = tuple(filter(None, self.options.get("secrets", "").split(",")))
        # Whoever names RotationResolved is told of each; by default nobody is woken for nothing.
        return Wanted(events, patterns, self.flag("only_final", default=False), needless=bool(names))


@runtime_checkable
class Notifier(Protocol):
    """Takes messages to somebody. Used by one thread, but for :meth:`close`."""

    kind: ClassVar[str]
    # Of the URLs that name one.
    schemes: ClassVar[tuple[str, ...]]
    # An offer takes no longer, by and large.
    timeout_seconds: int

    @classmethod
    def open(cls, location: Location) -> Self:
        """Read the options; who is to be reached need not be there yet.

        Raises:
            KeyturnError: The setting is not right.
        """
        ...

    def send(self, message_id: str, document: str, at: float) -> str:
        """Offer a message.

        Args:
            message_id: The same at each try.
            document: The message as JSON.
            at: Of this try, seconds since the epoch.

        Returns:
            What the receiver said to it, one short line.

        Raises:
            NotifierGone: It wants no more.
            NotifierError: It has not taken it.
        """
        ...

    def close(self) -> None:
        """Let go of connections and processes; called while :meth:`send` is under way, to end it if that can be."""
        ...


@dataclass(frozen=True, slots=True)
class NamedNotifier:
    """A notifier as it was set up."""

    name: str
    notifier: Notifier
    wanted: Wanted


@cache
def notifier_kinds() -> Mapping[str, type[Notifier]]:
    """Return every notifier by its kind.

    Raises:
        TypeError: A file has no notifier or several, or two files claim one kind.
    """
    return cast("dict[str, type[Notifier]]", classes_by_kind(notifier_package))


def open_notifiers(setting: str) -> list[NamedNotifier]:
    """Return the notifiers of a setting: URLs with blanks between them.

    Raises:
        KeyturnError: One of them cannot be.
    """
    by_scheme = {scheme: kind for kind in notifier_kinds().values() for scheme in kind.schemes}
    opened: dict[str, NamedNotifier] = {}
    for text in setting.split():
        location = Location.parse(text)
        kind = by_scheme.get(location.scheme)
        if kind is None:
            schemes = ", ".join(sorted(by_scheme))
            raise KeyturnError(f"There is no notifier for {location.scheme}: URLs.", f"There are: {schemes}.")
        if location.name in opened:
            raise location.refusal("there are two of this name")
        opened[location.name] = NamedNotifier(location.name, kind.open(location), location.wanted())
    return list(opened.values())
