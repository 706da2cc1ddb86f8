"""Whether the trail is what was written: the whole chain, and everything that is known of it from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, select

from keyturn.rules.audit_anchor import Anchor
from keyturn.rules.audit_chain import ChainKey, Position
from keyturn.rules.audit_proof import LOOK_AHEAD, Fault, FaultKind, Walk, contradiction
from keyturn.rules.audit_record import ChainedRecord
from keyturn.rules.audit_report import BEGIN, Known, Progress, Report
from keyturn.storage import audit_index, audit_log, audit_marks, schema
from keyturn.storage.audit_anchor import begun_text, newest_generation
from keyturn.storage.audit_marks import CHECKPOINT, STATE, Mark
from keyturn.storage.database import Stores

_events = schema.audit_events
_COUNT = select(func.count()).select_from(_events)
_TRIGGERS = {"audit_events_no_change", "audit_events_no_deletion"}
_BLOCKS = select(schema.audit_blocks.c.block)


def verify(
    stores: Stores, key: ChainKey, known: Sequence[Known], progress: Progress, most_records: int | None = None
) -> Report:
    """Go along the whole trail, while a server may be writing to it.

    Args:
        stores: Both databases.
        key: Of the chain.
        known: Gathered before, so that what is newer by now does not contradict it.
        progress: Called now and then.
        most_records: How many of the newest; None for the whole trail.

    Raises:
        StorageError: The database failed.
    """
    report = Report()
    # Before the journal: a server that starts now begins the chain first, and then notes that it has.
    with stores.state.read() as connection:
        has_begun = begun_text(connection) is not None
    with stores.journal.read() as connection:
        mark = audit_marks.load_mark(connection, CHECKPOINT)
        if mark is None:
            _check_nothing_begun(connection, report, has_begun=has_begun or bool(known))
    if mark is not None and mark.is_sealed(key):
        _check_chain(stores, key, mark, report, progress, most_records)
    elif mark is not None:
        report.faults.append(_false_mark(mark))
    check_known(stores, key, known, report)
    return report


def _check_nothing_begun(connection: Connection, report: Report, *, has_begun: bool) -> None:
    """Without a checkpoint there must be nothing that shows there was a chain."""
    if has_begun or audit_log.is_begun(connection):
        message = "The chain has begun, and nothing says where: its checkpoint was removed from the journal."
        report.faults.append(Fault(FaultKind.REMOVED, None, message))
    else:
        report.older = connection.execute(_COUNT).scalar_one()


def _check_chain(
    stores: Stores, key: ChainKey, mark: Mark, report: Report, progress: Progress, most_records: int | None
) -> None:
    """Go along the chain from its checkpoint, or its newest records."""
    with stores.journal.read() as connection:
        newest = audit_log.newest(connection)
        # What was written behind a lost checkpoint continues the record there, if that had a link.
        link = audit_log.link_at(connection, mark.position.sequence) if mark.is_lost else None
    start = Position(mark.position.sequence, link or mark.position.link)
    report.checkpoint = mark.position
    report.newest = mark.position if newest is None or newest.sequence <= mark.position.sequence else newest
    start = _later(stores, start, report.newest, most_records)
    _check_before(stores, mark, report)
    _check_triggers(stores, report)
    walked = _Walked(stores, key, start)
    fault = walked.to(report.newest.sequence, progress)
    report.newest, report.records, report.blocks = walked.head, walked.count, walked.blocks
    report.faults += [fault] if fault else walked.index_faults


def _later(stores: Stores, start: Position, newest: Position, most_records: int | None) -> Position:
    """Return behind which record to begin, so that there are not more to go along; what is missing there is found."""
    if most_records is None or newest.sequence - start.sequence <= most_records:
        return start
    sequence = newest.sequence - most_records
    with stores.journal.read() as connection:
        return Position(sequence, audit_log.link_at(connection, sequence) or b"")


def check_known(stores: Stores, key: ChainKey, known: Sequence[Known], report: Report) -> None:
    """Compare what is known from elsewhere with the trail as it is; add what contradicts it to the report."""
    with stores.journal.read() as connection:
        mark, newest = audit_marks.sealed_mark(connection, key, CHECKPOINT), audit_log.newest(connection)
        state_mark = audit_marks.load_mark(connection, STATE)
        begin = mark.position if mark else BEGIN
        end = newest if newest and newest.sequence > begin.sequence else begin
        for one in known:
            sequence = one.position.sequence
            if mark is not None and sequence < begin.sequence and mark.is_of_retention:
                report.notes.append(f"Record {sequence} was deleted when its time was over.")
                continue
            there = audit_log.link_at(connection, sequence)
            link = there or (begin.link if sequence == begin.sequence else None)
            if sequence < begin.sequence:
                fault: Fault | None = _begins_behind(one, begin)
            else:
                fault = contradiction(one.position, one.when, end, link)
            if fault is None:
                report.known.append(one)
            else:
                report.faults.append(fault)
    if state_mark is not None and not state_mark.is_sealed(key):
        report.faults.append(_false_mark(state_mark))
    elif state_mark is not None:
        at = Anchor(state_mark.position, state_mark.position.sequence, state_mark.at)
        report.faults += _check_state(stores, [*known, Known.of(at)])
    else:
        report.faults += _check_state(stores, known)


def _check_state(stores: Stores, known: Iterable[Known]) -> list[Fault]:
    """Say whether the state database is an older copy than one whose newest change is known."""
    newest = max(known, key=lambda one: one.generation, default=None)
    if newest is None:
        return []
    generation, when = newest.generation, newest.when
    with stores.state.read() as connection:
        found = newest_generation(connection)
    if found >= generation:
        return []
    message = f"The state database is an older copy: it has seen {found} changes, and {generation} were made {when}."
    return [Fault(FaultKind.ROLLED_BACK, None, message)]


class _Walked:
    """A walk along the stored records, with the index that belongs to them."""

    def __init__(self, stores: Stores, key: ChainKey, start: Position) -> None:
        self._journal = stores.journal
        self._key = key
        self._walk = Walk(key, start)
        self._block: list[ChainedRecord] = []
        self.blocks = 0
        self.index_faults: list[Fault] = []
        with self._journal.read() as connection:
            self._indexed = set(connection.execute(_BLOCKS).scalars())

    @property
    def head(self) -> Position:
        return self._walk.head

    @property
    def count(self) -> int:
        return self._walk.count

    def to(self, last: int, progress: Progress) -> Fault | None:
        """Go to a record; return what is wrong with the first that does not fit."""
        first = self.head.sequence
        while self.head.sequence < last:
            # Each piece in a transaction of its own: a long one would keep SQLite's write-ahead log growing.
            with self._journal.read() as connection:
                at_once = min(LOOK_AHEAD, last - self.head.sequence)
                records = audit_log.records_after(connection, self.head.sequence, at_once)
                checked = self._walk.count
                if not records or not self._walk.follow(records):
                    fault = self._fault(connection, last)
                    if fault is not None:
                        return fault
                    continue
                self._take(connection, records[: self._walk.count - checked])
            progress(self.head.sequence - first, last - first)
        return None

    def _fault(self, connection: Connection, last: int) -> Fault | None:
        """Say what is wrong behind the head; None if the records there have just been deleted by retention."""
        window = audit_log.records_after(connection, self.head.sequence, LOOK_AHEAD)
        mark = audit_marks.load_mark(connection, CHECKPOINT)
        if mark is not None and mark.is_sealed(self._key) and mark.position.sequence > self.head.sequence:
            count, self._walk = self._walk.count, Walk(self._key, mark.position)
            self._walk.count = count
            self._block = []
            return None
        if not window:
            expected = self.head.sequence + 1
            return Fault(FaultKind.REMOVED, expected, f"Records {expected} to {last} are missing.")
        return self._walk.fault(window)

    def _take(self, connection: Connection, records: Sequence[ChainedRecord]) -> None:
        """Compare whole blocks with their index."""
        for stored in records:
            block, place = divmod(stored.sequence - 1, audit_index.BLOCK_RECORDS)
            if place == 0:
                self._block = []
            self._block.append(stored)
            is_whole = place == audit_index.BLOCK_RECORDS - 1 and len(self._block) == audit_index.BLOCK_RECORDS
            if not is_whole or block not in self._indexed:
                continue
            if audit_index.stored_entries(connection, block) == audit_index.entries_of(self._block):
                self.blocks += 1
            elif not self.index_faults:
                first = self._block[0].sequence
                message = f"The index of records {first} to {stored.sequence} does not agree with them."
                self.index_faults.append(Fault(FaultKind.CHANGED, first, message))


def _check_before(stores: Stores, mark: Mark, report: Report) -> None:
    """Look at what is stored before the chain begins: records older than it, or what nobody should have put there."""
    if mark.is_lost:
        report.faults.append(_lost(mark))
        return
    before = _COUNT.where(_events.c.sequence <= mark.position.sequence)
    is_begin = not mark.is_of_retention
    with stores.journal.read() as connection:
        report.older = connection.execute(before).scalar_one() if is_begin else 0
        added = connection.execute(before.where(_events.c.link.is_not(None)) if is_begin else before).scalar_one()
    if added:
        message = f"There are records before {mark.position.sequence + 1}, where the trail begins: they were added."
        report.faults.append(Fault(FaultKind.FOREIGN, mark.position.sequence, message))


def _check_triggers(stores: Stores, report: Report) -> None:
    with stores.journal.read() as connection:
        if not stores.journal.dialect.triggers(connection) >= _TRIGGERS:
            report.notes.append("The database would let records be changed: triggers that refuse it are missing.")


def _begins_behind(known: Known, begin: Position) -> Fault:
    sequence = known.position.sequence
    message = (
        f"Record {sequence} was there {known.when}, and the chain is said to begin behind record {begin.sequence}."
    )
    return Fault(FaultKind.ROLLED_BACK, sequence, message)


def _lost(mark: Mark) -> Fault:
    when = f"on {mark.at:%Y-%m-%d} at {mark.at:%H:%M:%S} UTC"
    message = (
        f"When a server started {when}, nothing said any more where the chain begins: what was written before that was"
        f" removed, or cannot be verified up to record {mark.position.sequence}."
    )
    return Fault(FaultKind.REMOVED, None, message)


def _false_mark(mark: Mark) -> Fault:
    what = {CHECKPOINT: "where the chain begins", STATE: "how new the state database is"}[mark.name]
    return Fault(FaultKind.FOREIGN, mark.position.sequence, f"What the journal says of {what} was not written here.")
