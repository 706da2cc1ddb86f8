"""The JSON of policies, read strictly: what Python's reader allows beyond JSON is refused, and so are repeated members.

Source: IAM User Guide, "Grammar of the IAM JSON policy language" (keys must not repeat) and "IAM and AWS STS quotas"
(characters).
"""

from __future__ import annotations

import json
import re
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
        # Again: an escape may stand for any character, even for half of one. Few brackets cannot nest deep.
        if "\\" in text or text.count("{") + text.count("[") > _DEEPEST:
            _check_texts(value)
    except RecursionError as error:
        raise NotJson("nested too deep") from error
    except json.JSONDecodeError as error:
        raise NotJson(error.msg) from error
    return value


def is_allowed(text: str) -> bool:
    """Whether a policy may have all characters of a text."""
    return _ALLOWED_CHARACTERS.fullmatch(text) is not None


def _check_texts(value: object) -> None:
    """Check every text of a value, names of members included, and how deep it is nested.

    Raises:
        NotJson: A character that no policy may have, or deeper than anything that a policy can hold.
    """
    level = [value]
    for _ in range(_DEEPEST + 1):
        objects = [element for element in level if isinstance(element, dict)]
        lists = [element for element in level if isinstance(element, list)]
        texts = [element for element in level if isinstance(element, str)]
        if not is_allowed("".join(texts + [name for element in objects for name in element])):
            raise NotJson("an escaped character outside of U+0020 to U+00FF")
        if not (objects or lists):
            return
        level = [inner for element in objects for inner in element.values()]
        level += [inner for element in lists for inner in element]
    raise NotJson("nested too deep")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    element = dict(pairs)
    if len(element) != len(pairs):
        raise NotJson("a key occurs twice")
    return element


def _no_constant(name: str) -> object:
    raise NotJson(name)
