"""The JSON of policies, read strictly: what Python's reader allows beyond JSON is refused, and so are repeated members.

Source: IAM User Guide, "Grammar of the IAM JSON policy language" (keys must not repeat) and "IAM and AWS STS quotas"
(characters).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

# Statement, Condition, operator and key, with two lists, are ten levels.
_DEEPEST = 32

_ALLOWED_CHARACTERS = re.compile("[\t\n\r\u0020-\u00ff]*")


class NotJson(ValueError):
    """The text is no JSON that a policy can be written in."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: conditions compare it as text."""

    text: str


def loaded(text: str) -> object:
    """Return the value that a text stands for; numbers as :class:`Number`.

    Raises:
        NotJson: Not JSON, a key twice in an element, a character no policy may have, or nested too deep.
    """
    if not is_allowed(text):
        raise NotJson("a character outside of U+0020 to U+00FF")
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=Number, parse_float=Number
        )
        # Again: an escape may stand for any character, even for half of one.
        if not all(map(is_allowed, _texts(value))):
            raise NotJson("an escaped character outside of U+0020 to U+00FF")
    except RecursionError as error:
        raise NotJson("nested too deep") from error
    except json.JSONDecodeError as error:
        raise NotJson(error.msg) from error
    return value


def is_allowed(text: str) -> bool:
    """Whether a policy may have all characters of a text."""
    return _ALLOWED_CHARACTERS.fullmatch(text) is not None


def _texts(value: object) -> Iterator[str]:
    """Yield every text of a value, names of members included.

    Raises:
        NotJson: It is nested deeper than anything that a policy can hold.
    """
    level = [value]
    for _ in range(_DEEPEST):
        members = [element for element in level if isinstance(element, dict)]
        yield from (element for element in level if isinstance(element, str))
        yield from (name for element in members for name in element)
        lists = [element for element in level if isinstance(element, list)]
        level = [inner for element in members for inner in element.values()]
        level += [inner for element in lists for inner in element]
        if not level:
            return
    raise NotJson("nested too deep")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    element = dict(pairs)
    if len(element) != len(pairs):
        raise NotJson("a key occurs twice")
    return element


def _no_constant(name: str) -> object:
    raise NotJson(name)
