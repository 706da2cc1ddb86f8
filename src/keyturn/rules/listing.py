"""ListSecrets and BatchGetSecretValue: which secrets filters find, and in which order they are listed.

Filters are joined by AND, the values of one filter by OR; a ``!`` in front of a value turns it round. Names and tags
are compared by prefix, descriptions (and, for ``all``, everything) by words: every word of the filter must begin some
word of the text.

How a text is cut into words: at one kind of special character and at blanks, then where capitals begin
(``creds`` + ``Database``, but also ``COMPAN`` + ``Ythings``). A text that mixes two kinds of special characters is not
cut at all, and a special character alone has no words.

Source: Secrets Manager API Reference, Filter; measured on AWS by moto (test_list_secrets.py, tests marked as verified)
and localstack (test_list_secrets_filtering).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from keyturn.errors.secretsmanager import InvalidParameterException

_SPECIAL = "/-_+=.@"
_CAPITAL_BEGINS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|\s+")


class SortBy(StrEnum):
    """What a list is sorted by, as sent."""

    NAME = "name"
    CREATED = "created-date"
    CHANGED = "last-changed-date"
    ACCESSED = "last-accessed-date"


@dataclass(frozen=True, slots=True)
class ListOrder:
    """The order of a list; equals follow each other as they were created."""

    sort_by: SortBy = SortBy.CREATED
    descending: bool = False

    @property
    def moves(self) -> bool:
        """Whether a secret changes its place in this order while it exists."""
        return self.sort_by in (SortBy.CHANGED, SortBy.ACCESSED)


@dataclass(frozen=True, slots=True)
class Searchable:
    """What filters look at."""

    name: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    primary_region: str = ""
    owning_service: str = ""

    @property
    def size(self) -> int:
        """How many characters filters look at."""
        fixed = len(self.name) + len(self.description) + len(self.primary_region) + len(self.owning_service)
        return fixed + sum(len(key) + len(value) for key, value in self.tags.items())


Matcher = Callable[[Searchable], bool]


def list_order(sort_by: str | None, sort_order: str | None) -> ListOrder:
    """Return the order that a request asks for.

    Args:
        sort_by: SortBy as sent, checked against the model.
        sort_order: SortOrder likewise.

    Source: Secrets Manager API Reference, ListSecrets, for the default of SortBy. That lists ascend unless they are
    told to descend is what moto saw on AWS (test_with_all_filter: secrets come in the order of their creation).
    """
    return ListOrder(SortBy(sort_by) if sort_by else SortBy.CREATED, descending=sort_order == "desc")


def compile_filters(filters: Iterable[Mapping[str, object]]) -> Matcher:
    """Return a function that says whether a secret is listed.

    Args:
        filters: As sent: ``Key`` and ``Values``, checked against the model.

    Raises:
        InvalidParameterException: A filter lacks its key or values.
    """
    wanted = list(dict.fromkeys(_read(entry.get("Key"), entry.get("Values")) for entry in filters))
    tests = [_filter(*entry) for entry in wanted]
    beginnings = {word for key, values in wanted if key in _BY_WORDS for value in values for word in _wanted(value)}
    lengths = tuple(sorted({len(word) for word in beginnings}))

    def matches(secret: Searchable) -> bool:
        known: dict[str, _Text] = {}

        def look(text: str) -> _Text:
            return known.get(text) or known.setdefault(text, _Text(text, lengths))

        return all(test(secret, look) for test in tests)

    return matches


def name_spans(filters: Iterable[Mapping[str, object]]) -> list[tuple[str, str]]:
    """Return where names that are found can be, so that not all need to be looked at; empty if anywhere.

    Args:
        filters: As :func:`compile_filters` takes them.

    Returns:
        Spans from a name up to, but not including, another, as code points order them.
    """
    for entry in filters:
        values = entry.get("Values")
        if entry.get("Key") == "name" and isinstance(values, Sequence):
            prefixes = [str(value) for value in values]
            if all(prefix and not prefix.startswith("!") for prefix in prefixes):
                return [(prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)) for prefix in prefixes]
    return []


def words(text: str) -> list[str]:
    """Cut a text the way the search of AWS does."""
    kinds = {character for character in text if character in _SPECIAL}
    if text in kinds:
        return []
    if len(kinds) > 1:
        return [text]
    parts = text.split(kinds.pop()) if kinds else [text]
    return [word for part in parts for word in _CAPITAL_BEGINS.split(part) if word]


def _wanted(value: str) -> frozenset[str]:
    """Return the words, in lower case, that a value of a filter looks for, turned round or not."""
    return frozenset(word.lower() for word in words(value.removeprefix("!")))


class _Text:
    """A text of a secret, of which what all values of all filters need is worked out once."""

    __slots__ = ("_beginnings", "_lengths", "lowered", "text")

    def __init__(self, text: str, lengths: Sequence[int]) -> None:
        self.text = text
        self.lowered = text.lower()
        self._lengths = lengths
        self._beginnings: frozenset[str] | None = None

    def beginnings(self) -> frozenset[str]:
        """Return what its words begin with, in lower case, of the lengths of the words that are looked for."""
        if self._beginnings is None:
            self._beginnings = frozenset(_beginnings(self.text, self._lengths))
        return self._beginnings


def _beginnings(text: str, lengths: Sequence[int]) -> Iterable[str]:
    for word in {word.lower() for word in words(text)}:
        for length in lengths:
            if length > len(word):
                break
            yield word[:length]


def _read(key: object, values: object) -> tuple[str, tuple[str, ...]]:
    """Check a filter, and leave out values that it repeats."""
    if str(key) not in _FIELDS:
        raise InvalidParameterException("Invalid filter key")
    if not isinstance(values, Sequence) or not values:
        raise InvalidParameterException(f"Invalid filter values for key: {key}")
    return str(key), tuple(dict.fromkeys(str(value) for value in values))


Look = Callable[[str], _Text]


def _filter(key: str, values: Iterable[str]) -> Callable[[Searchable, Look], bool]:
    fields_of, match_with = _FIELDS[key]
    tests = [_value_test(value, match_with) for value in values]

    def matches(secret: Searchable, look: Look) -> bool:
        texts = [look(text) for text in fields_of(secret)]
        return any(test(texts) for test in tests)

    return matches


TextTest = Callable[[_Text], bool]


def _value_test(value: str, match_with: Callable[[str], TextTest]) -> Callable[[Sequence[_Text]], bool]:
    found = match_with(value.removeprefix("!"))
    if not value.startswith("!"):
        return lambda texts: any(map(found, texts))
    return lambda texts: not any(map(found, texts))


def _prefix(value: str) -> TextTest:
    return lambda text: text.text.startswith(value)


def _prefix_ignoring_case(value: str) -> TextTest:
    lowered = value.lower()
    return lambda text: text.lowered.startswith(lowered)


def _by_words(value: str) -> TextTest:
    wanted = _wanted(value)
    longest = max(wanted, key=len, default="")
    # Cutting costs most of a search, and most texts do not even hold the letters.
    return lambda text: bool(wanted) and longest in text.lowered and wanted <= text.beginnings()


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
_BY_WORDS = frozenset(key for key, (_, match_with) in _FIELDS.items() if match_with is _by_words)
