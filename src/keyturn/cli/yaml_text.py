"""YAML for people to read, of what JSON can say: mappings, lists, texts, numbers, true and false."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

# No YAML reader takes these for anything but text: they begin with a letter or a slash, and have no blanks.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(:{1,2}[A-Za-z0-9_./-]+)*")
# YAML 1.1 reads these as true, false and null.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def yaml_text(value: Mapping[str, object]) -> str:
    """Return the text; texts are plain where they cannot be taken for anything else, and else as in JSON."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _entry(f"{_scalar(key)}:", member)
    elif isinstance(value, list):
        for item in value:
            lines = list(_lines(item)) if _has_lines(item) else [_scalar(item)]
            yield f"- {lines[0]}"
            yield from (f"  {line}" for line in lines[1:])


def _entry(name: str, member: object) -> Iterator[str]:
    if _has_lines(member):
        yield name
        yield from (f"  {line}" for line in _lines(member))
    else:
        yield f"{name} {_scalar(member)}"


def _has_lines(value: object) -> bool:
    return isinstance(value, (Mapping, list)) and bool(value)


def _scalar(value: object) -> str:
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS
    return str(value) if is_plain else json.dumps(value)
