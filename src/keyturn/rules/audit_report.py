"""What is found when the audit trail is verified, and what is known of it beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from keyturn.rules.audit_anchor import Anchor
from keyturn.rules.audit_chain import START, Position
from keyturn.rules.audit_proof import Fault

BEGIN = Position(0, START)
"""Where a trail begins that has lost nothing yet."""

Progress = Callable[[int, int], None]
"""Told how many records were checked, of how many."""


@dataclass(frozen=True, slots=True)
class Known:
    """A record that is known to have been there.

    Attributes:
        when: For people, such as "on 3 March".
        generation: The newest change that the state database had seen by then; 0 if that is not known.
        at: That moment, aware UTC; None if it was not noted.
    """

    position: Position
    when: str
    generation: int = 0
    at: datetime | None = None

    @classmethod
    def of(cls, anchor: Anchor) -> Known:
        """Return what an anchor knows."""
        return cls(
            anchor.position, f"on {anchor.at:%Y-%m-%d} at {anchor.at:%H:%M:%S} UTC", anchor.generation, anchor.at
        )


@dataclass(slots=True)
class Report:
    """What was found.

    Attributes:
        checkpoint: Behind which record the chain begins.
        newest: The last record that continues it.
        records: How many do.
        older: Records from before there was a chain, about which nothing can be said.
        blocks: Blocks of the index that agree with their records.
        file_records: Records of files that a sink has written, which continue one another.
        known: Records that are known from elsewhere and are there.
        notes: What could not be looked at, for people.
        faults: What is wrong; nothing else of this counts if there is any.
    """

    checkpoint: Position = BEGIN
    newest: Position = BEGIN
    records: int = 0
    older: int = 0
    blocks: int = 0
    file_records: int = 0
    known: list[Known] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
