"""Anchors: what the trail's newest record was at some moment, sealed and kept where the trail is not.

The chain shows that nothing was changed up to its end. That the end is the end, and not that of an older copy, is shown
by whoever remembers a later one. An anchor as text::

    {"sequence": 12, "link": "<64 hexadecimal digits>", "generation": 7, "at": <milliseconds>, "seal": "<64 digits>"}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.rules.audit_chain import ChainKey, Position

ANCHOR_FILE = "audit.anchor"
EVIDENCE_FILE = "audit.rolled-back"
_NAME = "anchor"
_MEMBERS = ("sequence", "link", "generation", "at")


@dataclass(frozen=True, slots=True)
class Anchor:
    """What was there at a moment.

    Attributes:
        position: The newest audit record.
        generation: The newest change of the state database, which can be replaced by an older copy on its own.
        at: Aware UTC.
    """

    position: Position
    generation: int
    at: datetime

    def to_text(self, key: ChainKey) -> str:
        """Return it sealed."""
        values = (self.position.sequence, self.position.link.hex(), self.generation, to_milliseconds(self.at))
        document = dict(zip(_MEMBERS, values, strict=True))
        return json.dumps({**document, "seal": key.seal(_NAME, *values).hex()})

    @classmethod
    def from_text(cls, text: str, key: ChainKey) -> Self:
        """Return what :meth:`to_text` wrote.

        Raises:
            ValueError: It is damaged, or sealed with another key.
        """
        document = json.loads(text)
        if not isinstance(document, dict) or set(document) != {*_MEMBERS, "seal"}:
            raise ValueError("This is no anchor.")
        sequence, link, generation, at = (document[name] for name in _MEMBERS)
        if not key.is_seal(bytes.fromhex(document["seal"]), _NAME, sequence, link, generation, at):
            raise ValueError("The anchor was not sealed here.")
        return cls(Position(sequence, bytes.fromhex(link)), generation, from_milliseconds(at))
