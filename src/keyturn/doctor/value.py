"""What is kept of a secret's value: whether it can be read as a function reads it, and the parts that are no secret.

The value is read only if the operator asks for it (``--read-value``), and the rest of it is dropped at once: it is in
no answer, no report and no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .redaction import redacted

_PARTS = (
    "engine",
    "host",
    "port",
    "dbname",
    "username",
    "masterarn",
    "ssl",
    "dbInstanceIdentifier",
    "dbClusterIdentifier",
)
_LAST_PORT, _LONGEST_PORT = 65535, 5
MOST_KEYS = 100
"""Names of keys that are kept; where there are so many, that one is not among them says nothing."""
_LONGEST_PART, _LONGEST_KEY = 2048, 64


@dataclass(frozen=True, slots=True)
class ValueParts:
    """What is known of a secret's value.

    Attributes:
        is_binary: It has SecretBinary only.
        is_object: It is a JSON object.
        keys: The names of its members.
        parts: Of those that are no secret, the values.
    """

    is_binary: bool
    is_object: bool
    keys: frozenset[str]
    parts: Mapping[str, Any]

    def text(self, name: str) -> str:
        """Return one of the parts as text, empty if it is not there."""
        found = self.parts.get(name)
        return "" if found is None else str(found)

    @property
    def port(self) -> int | None:
        """The port, if it is the number of one."""
        return port_number(self.text("port"))


def port_number(text: str) -> int | None:
    """Return a port's number; None if a text is none."""
    number = int(text) if text.isdecimal() and len(text) <= _LONGEST_PORT else 0
    return number if 0 < number <= _LAST_PORT else None


def parts_of(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what is kept of GetSecretValue's reply: JSON, with no secret in it."""
    text = reply.get("SecretString")
    if text is None:
        return {"is_binary": True, "is_object": False, "keys": [], "parts": {}}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return {"is_binary": False, "is_object": False, "keys": [], "parts": {}}
    parts = {name: _open(document[name]) for name in _PARTS if isinstance(document.get(name), (str, int, bool))}
    # The name of a key is no longer than this; what is may be anything that was stored by mistake.
    keys = sorted(name for name in document if len(name) <= _LONGEST_KEY)[:MOST_KEYS]
    return {"is_binary": False, "is_object": True, "keys": keys, "parts": parts}


def _open(part: str | int) -> str | int:
    """Return a part without a password that somebody has written into it: host=postgresql://user:password@host."""
    return redacted(part[:_LONGEST_PART]) if isinstance(part, str) else part


def read_parts(kept: Mapping[str, Any]) -> ValueParts:
    """Return what :func:`parts_of` has kept."""
    return ValueParts(kept["is_binary"], kept["is_object"], frozenset(kept["keys"]), kept["parts"])
