"""Options of what a setting names by a URL: numbers, flags, and errors that say which URL and where to read on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from keyturn.errors.base import KeyturnError

_NUMBER = re.compile(r"\d{1,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SettingOptions:
    """What settings name, and its options.

    Attributes:
        name: What it is called in messages and in the database.
        options: As given, decoded.
    """

    name: str
    options: Mapping[str, str]

    kind_of_thing: ClassVar[str] = ""
    page: ClassVar[str] = ""

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
        """Refuse options that nobody knows.

        Raises:
            KeyturnError: There is one.
        """
        unknown = sorted(set(self.options) - set(known))
        if unknown:
            raise self.refusal(f"it has no option {unknown[0]}")

    def refusal(self, what: str) -> KeyturnError:
        """Return the error of a setting that cannot be."""
        thing = self.kind_of_thing
        return KeyturnError(
            f"The {thing} {self.name}: {what}.", f"{self.page} has the options of each {thing.split()[-1]}."
        )
