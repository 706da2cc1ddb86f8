"""ListSecrets and BatchGetSecretValue: which secrets filters find, and in which order they are listed.

Filters are joined by AND, the values of one filter by OR; a ``!`` in front of a value turns it round. Names and tags
are compared by prefix, descriptions (and, for ``all``, everything) by words: every word of the filter must begin some
word of the text.

How a text is cut into words: at one kind of special character and at blanks, then where capitals begin
(``creds`` + ``Database``, but also ``COMPAN`` + ``Ythings``). A text that mixes two kinds of special characters is not
cut at all, and a special character alone has no words.

Source: Secrets Manager API Reference, Filter; measured on AWS by moto (tests marked aws_verified).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from keyturn.errors.secretsmanager import InvalidParameterException

_SPECIAL = "/-_+=.@"
_CAPITAL_BEGINS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|\s+")


@dataclass(frozen=True, slots=True)
class Searchable:
    """What filters look at."""

    name: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    primary_region: str = ""
    owning_service: str = ""


class Sortable(Protocol):
    """What a list is sorted by; a stored secret has it."""

    @property
    def name(self) -> str:
        """Unique."""
        ...

    @property
    def created_at(self) -> datetime:
        """Aware UTC, like the others."""
        ...

    @property
    def last_changed_at(self) -> datetime:
        """When value or metadata changed."""
        ...

    @property
    def last_accessed_at(self) -> datetime | None:
        """None before the first read."""
        ...


Matcher = Callable[[Searchable], bool]
SortKey = tuple[str, str]


def compile_filters(filters: Iterable[Mapping[str, object]]) -> Matcher:
    """Return a function that says whether a secret is listed.

    Args:
        filters: As sent: ``Key`` and ``Values``, checked against the model.

    Raises:
        InvalidParameterException: A filter lacks its key or values.
    """
    matchers = [_filter(entry.get("Key"), entry.get("Values")) for entry in filters]
    return lambda secret: all(matches(secret) for matches in matchers)


def sort_key(sort_by: str | None) -> Callable[[Sortable], SortKey]:
    """Return the key for sorting, two texts that a page token can hold; equals are told apart by name.

    Args:
        sort_by: SortBy as sent; ``created-date`` if None.
    """
    match sort_by:
        case "name":
            return lambda secret: (secret.name, secret.name)
        case "last-accessed-date":
            return lambda secret: (_moment_text(secret.last_accessed_at), secret.name)
        case "last-changed-date":
            return lambda secret: (_moment_text(secret.last_changed_at), secret.name)
        case _:
            return lambda secret: (_moment_text(secret.created_at), secret.name)


def words(text: str) -> list[str]:
    """Cut a text the way the search of AWS does."""
    kinds = {character for character in text if character in _SPECIAL}
    if text in kinds:
        return []
    if len(kinds) > 1:
        return [text]
    parts = text.split(kinds.pop()) if kinds else [text]
    return [word for part in parts for word in _CAPITAL_BEGINS.split(part) if word]


def _filter(key: object, values: object) -> Matcher:
    read = _FIELDS.get(str(key))
    if read is None:
        raise InvalidParameterException("Invalid filter key")
    if not isinstance(values, Sequence) or not values:
        raise InvalidParameterException(f"Invalid filter values for key: {key}")
    fields_of, match_with = read
    tests = [_value_test(str(value), match_with, key == "description") for value in values]

    def matches(secret: Searchable) -> bool:
        texts = fields_of(secret)
        return any(test(texts) for test in tests)

    return matches


TextTest = Callable[[str], bool]


def _value_test(
    value: str,
    match_with: Callable[[str], TextTest],
    is_description: bool,  # noqa: FBT001 - private
) -> Callable[[Sequence[str]], bool]:
    if not value.startswith("!"):
        found = match_with(value)
        return lambda texts: any(found(text) for text in texts)
    if is_description:
        # Measured on AWS: a negated value of this one key finds every secret.
        return lambda _texts: True
    unwanted = match_with(value[1:])
    return lambda texts: not any(unwanted(text) for text in texts)


def _prefix(value: str) -> TextTest:
    return lambda text: text.startswith(value)


def _prefix_ignoring_case(value: str) -> TextTest:
    lowered = value.lower()
    return lambda text: text.lower().startswith(lowered)


def _by_words(value: str) -> TextTest:
    wanted = [word.lower() for word in words(value)]

    def found(text: str) -> bool:
        present = [word.lower() for word in words(text)]
        return bool(wanted) and all(any(word.startswith(start) for word in present) for start in wanted)

    return found


# Key to (which texts of a secret, how a value is compared with one of them).
_FIELDS: dict[str, tuple[Callable[[Searchable], Sequence[str]], Callable[[str], TextTest]]] = {
    "name": (lambda secret: (secret.name,), _prefix),
    "tag-key": (lambda secret: tuple(secret.tags), _prefix),
    "tag-value": (lambda secret: tuple(secret.tags.values()), _prefix),
    "primary-region": (lambda secret: (secret.primary_region,), _prefix),
    "owning-service": (lambda secret: (secret.owning_service,), _prefix_ignoring_case),
    "description": (lambda secret: (secret.description,), _by_words),
    "all": (lambda secret: (secret.name, secret.description, *secret.tags, *secret.tags.values()), _by_words),
}


def _moment_text(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat(timespec="microseconds")
