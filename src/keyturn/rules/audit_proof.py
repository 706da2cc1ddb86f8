"""Going along the chain of the audit trail, and what is wrong where it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from keyturn.rules.audit_chain import ChainKey, Position
from keyturn.rules.audit_record import ChainedRecord

# So far a record is searched that is not where it belongs, and so many may have been removed without leaving a gap.
LOOK_AHEAD = 1000


class FaultKind(StrEnum):
    """What can be wrong with a trail."""

    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"
    FOREIGN = "foreign"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong with a trail.

    Attributes:
        sequence: The first record that is not what it was; None if it is not about a record.
        message: For people, one or two sentences.
        in_file: It is about a file that a sink has written, not about the trail itself.
    """

    kind: FaultKind
    sequence: int | None
    message: str
    in_file: bool = False


def contradiction(known: Position, when: str, newest: Position, link_there: bytes | None) -> Fault | None:
    """Say how a trail contradicts what is known of it.

    Args:
        known: A record that was there.
        when: That moment, for people, such as "on 3 March".
        newest: The last record of the trail.
        link_there: The link of the record that has the known one's number now; None if there is none.
    """
    if known.sequence > newest.sequence:
        return Fault(
            FaultKind.ROLLED_BACK,
            newest.sequence + 1,
            f"The trail ends at record {newest.sequence}, and record {known.sequence} was there {when}.",
        )
    if known.link != link_there:
        return Fault(
            FaultKind.ROLLED_BACK,
            known.sequence,
            f"Record {known.sequence} is not the one that was there {when}: the trail was replaced by an older one,"
            " which went on.",
        )
    return None


class Walk:
    """Goes along records in their order for as long as each continues the chain.

    Attributes:
        head: The last record that did.
        count: How many did.
    """

    def __init__(self, key: ChainKey, start: Position) -> None:
        self._key = key
        self.head = start
        self.count = 0

    def follow(self, records: Sequence[ChainedRecord]) -> bool:
        """Go along records; False if one of them does not continue the chain, and everything before it does."""
        for stored in records:
            if not self._fits(self.head, stored, stored.sequence):
                return False
            self.head = Position(stored.sequence, stored.link or b"")
            self.count += 1
        return True

    def fault(self, window: Sequence[ChainedRecord]) -> Fault:
        """Say what is wrong with the first record of ``window``, which does not continue the chain.

        Args:
            window: The records behind ``head`` in their order, :data:`LOOK_AHEAD` of them if there are so many.
        """
        expected = self.head.sequence + 1
        moved = next((stored for stored in window if self._fits(self.head, stored, expected)), None)
        if moved is not None:
            return Fault(
                FaultKind.MOVED,
                expected,
                f"Record {expected} is not where it was written: it is stored as record {moved.sequence}.",
            )
        first = window[0]
        if first.sequence > expected:
            missing = f"Record {expected} is" if first.sequence == expected + 1 else _several(expected, first.sequence)
            return Fault(FaultKind.REMOVED, expected, f"{missing} missing.")
        if len(window) > 1 and self._continues_at_second(window):
            return Fault(FaultKind.CHANGED, expected, f"Record {expected} was changed.")
        if len(window) > 1 and (removed := self._removed_before(window[0], window[1])):
            return Fault(
                FaultKind.REMOVED,
                expected,
                f"What was written as record {expected} is missing, {removed} record{'s' * (removed > 1)} in all;"
                " those behind were given other numbers.",
            )
        return Fault(
            FaultKind.FOREIGN,
            expected,
            f"Record {expected} does not continue the chain, nor does what follows: it was changed, or it was not"
            " written by this Keyturn.",
        )

    def _continues_at_second(self, window: Sequence[ChainedRecord]) -> bool:
        """Say whether the second record continues the first, whose columns or whose link alone were changed."""
        first, second = window[:2]
        links = (first.link or b"", self._key.link(self.head.link, first.sequence, first.record))
        return any(self._fits(Position(first.sequence, link), second, second.sequence) for link in links)

    def _removed_before(self, first: ChainedRecord, second: ChainedRecord) -> int:
        """Return by how much two records that follow one another were renumbered; 0 if they were not."""
        for distance in range(1, LOOK_AHEAD):
            before = Position(first.sequence + distance, first.link or b"")
            if self._fits(before, second, second.sequence + distance):
                return distance
        return 0

    def _fits(self, head: Position, stored: ChainedRecord, sequence: int) -> bool:
        return sequence == head.sequence + 1 and stored.link == self._key.link(head.link, sequence, stored.record)


def _several(first: int, behind: int) -> str:
    return f"Records {first} to {behind - 1} are"
