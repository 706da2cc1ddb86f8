"""Secret values as forms show and take them: pairs of key and value, credentials of a database, or text.

A browser's form does not keep every text as it is: what would come back changed is not offered to be edited in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue

# In the order in which a database's secret is filled in; what is empty is left out of the value.
DATABASE_FIELDS = ("engine", "host", "port", "dbname", "username", "password", "masterarn", "ssl")
REQUIRED_FIELDS = ("engine", "host", "username", "password")


class NotStorable(KeyturnError):
    """What was filled in makes no value; the message says what to do, and nothing of a value."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A key of a JSON object and what it holds.

    Attributes:
        value: The text, or JSON of what is no text: a number, a list.
        is_json: Whether it is that.
    """

    key: str
    value: str = field(repr=False)
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class DatabaseKind:
    """A kind of database whose secrets can be filled in.

    Attributes:
        engine_names: What ``engine`` may say, the usual one first.
        port: Which it listens on usually.
        password_length: How long a generated password is.
        exclude_characters: What it does without.
    """

    title: str
    engine_names: tuple[str, ...]
    port: str
    password_length: int
    exclude_characters: str


def database_kinds() -> list[DatabaseKind]:
    """Return what there are engines for, by title."""
    kinds = []
    for name, engine in catalogue.engines().items():
        # What has no users that could alternate is no database, and its secrets look otherwise.
        if not catalogue.go_together(name, "alternating_users"):
            continue
        fields = dict.fromkeys(("host", "username", "password", "dbname"), "name")
        port = engine.login({**fields, "engine": engine.engine_names[0], "ssl": True}).port
        length, excluded = engine.password_length, engine.exclude_characters
        kinds.append(DatabaseKind(engine.title, engine.engine_names, port, length, excluded))
    return sorted(kinds, key=lambda kind: kind.title.lower())


def pairs_of(text: str) -> list[Pair] | None:
    """Return the pairs of a JSON object; None if the text is none, or would not be the same when it comes back."""
    try:
        read = json.loads(text, object_pairs_hook=_unambiguous, parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or not read:
        return None
    pairs = [
        Pair(key, value) if isinstance(value, str) else Pair(key, json.dumps(value, ensure_ascii=False), is_json=True)
        for key, value in read.items()
    ]
    return pairs if all(_is_key(pair.key) and is_editable(pair.value) for pair in pairs) else None


def _is_key(text: str) -> bool:
    """Return whether a field of one line gives a key back as it is: without line ends and blanks around it."""
    return bool(text) and text == text.strip() and "\n" not in text and is_editable(text)


def is_editable(text: str) -> bool:
    """Return whether a browser's form gives a text back as it is: it drops NUL and turns line ends into Unix's."""
    return "\0" not in text and "\r" not in text and is_shown(text)


def is_shown(text: str) -> bool:
    """Return whether a text can be part of a page."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def rows(keys: Sequence[str], values: Sequence[str], kinds: Sequence[str]) -> list[Pair]:
    """Return the rows of a form in which something was filled in, line ends as on Unix."""
    values = [value.replace("\r\n", "\n") for value in values]
    return [
        Pair(key.strip(), value, is_json=kind == "json")
        for key, value, kind in zip(keys, values, [*kinds, *[""] * len(keys)], strict=False)
        if key.strip() or value
    ]


def joined(pairs: Iterable[Pair]) -> str:
    """Return the JSON object of pairs.

    Raises:
        NotStorable: A key is missing or there twice, or there is none.
    """
    made: dict[str, Any] = {}
    for pair in pairs:
        if not pair.key:
            raise NotStorable("A value has no key: write one beside it, or empty the row.")
        if pair.key in made:
            raise NotStorable(f"The key {pair.key} is there twice: give one of the two another name.")
        made[pair.key] = _read_json(pair.value) if pair.is_json else pair.value
    if not made:
        raise NotStorable("There is no key and value yet: fill in a row.")
    return json.dumps(made, ensure_ascii=False)


def database_value(fields: Mapping[str, str]) -> str:
    """Return the value of a database's secret, as AWS's rotation functions read it.

    Source: AWS Secrets Manager User Guide, "JSON structure of AWS Secrets Manager secrets".

    Args:
        fields: By :data:`DATABASE_FIELDS`, as filled in; ``ssl`` is ``true``, ``false`` or empty.

    Raises:
        NotStorable: One is missing or cannot be used.
    """
    for name in REQUIRED_FIELDS:
        if not fields.get(name):
            raise NotStorable(f"Fill in {name}: without it no function can log in.")
    port = fields.get("port", "")
    made: dict[str, Any] = {name: fields[name] for name in DATABASE_FIELDS if fields.get(name)}
    if port:
        if not (port.isascii() and port.isdecimal() and len(port) <= len("65535") and 0 < int(port) < 2**16):
            raise NotStorable("The port is a number from 1 to 65535.")
        made["port"] = int(port)
    if "ssl" in made:
        made["ssl"] = fields["ssl"] == "true"
    _check_login(made)
    return json.dumps(made, ensure_ascii=False)


def _check_login(value: Mapping[str, Any]) -> None:
    """Check a value as the rotation function will, which says nothing of what it holds.

    Raises:
        NotStorable: It could not log in with it.
    """
    engine = catalogue.engine_for(value["engine"])
    if engine is None:
        raise NotStorable("Keyturn has no rotation function for this engine.", "Store it as keys and values.")
    try:
        catalogue.engines()[engine].login(value)
    except (KeyError, ValueError) as error:
        raise NotStorable(f"No rotation function could log in with this: {error.args[0]}") from error


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # It was a number or the like, and is text from now on.
        return text


def _unambiguous(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key is there twice")
    return read


def _refuse(_: str) -> NoReturn:
    """Refuse numbers that may not be written as they were read."""
    raise ValueError("a number with a fraction")
