"""Files that the json-lines sink has written, compared with the chain and with the database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_chain import START, ChainKey, Position
from keyturn.rules.audit_line import parse_line
from keyturn.rules.audit_proof import Fault, FaultKind, contradiction
from keyturn.rules.audit_record import ChainedRecord
from keyturn.rules.audit_report import Report
from keyturn.storage import audit_log, audit_marks
from keyturn.storage.audit_marks import CHECKPOINT
from keyturn.storage.database import Stores

# A sink that was interrupted repeats at most what it was sent together.
_REPEATED = 10_000


def verify_files(stores: Stores, key: ChainKey, paths: Sequence[Path], report: Report) -> None:
    """Go along the records of files, one file behind the other, and compare them with the database.

    Args:
        stores: Both databases.
        key: Of the chain.
        paths: Oldest first.
        report: What was found is added to it.

    Raises:
        KeyturnError: A file cannot be read.
        StorageError: The database failed.
    """
    walk = _FileWalk(key, report)
    for path in paths:
        for where, stored in _records(path, report):
            fault = walk.follow(where, stored)
            if fault is not None:
                report.faults.append(replace(fault, in_file=True))
                return
    report.file_records = walk.count
    if walk.first is not None:
        _compare(stores, key, walk.first, walk.head, report)


class _FileWalk:
    """Goes along records as files have them: in their order, some of them twice."""

    def __init__(self, key: ChainKey, report: Report) -> None:
        self._key = key
        self._report = report
        self._links: OrderedDict[int, bytes] = OrderedDict()
        self.first: ChainedRecord | None = None
        self.head = Position(0, START)
        self.count = 0

    def follow(self, where: str, stored: ChainedRecord) -> Fault | None:
        """Take the next record; return what is wrong with it."""
        sequence, link = stored.sequence, stored.link
        if link is None:
            return None  # From before there was a chain.
        if self.first is None:
            # What it continues is in an older file, if anywhere. What comes behind it shows that its link is right.
            self.first = stored
        elif sequence > self.head.sequence + 1:
            missing = self.head.sequence + 1
            return Fault(FaultKind.REMOVED, missing, f"{where}: record {sequence} follows record {self.head.sequence}.")
        else:
            before = self._links.get(sequence - 1)
            known = self._links.get(sequence, link)
            if known != link or (before is not None and self._key.link(before, sequence, stored.record) != link):
                return Fault(FaultKind.CHANGED, sequence, f"{where}: record {sequence} is not what was written.")
            if before is None and sequence != self.first.sequence:
                return Fault(FaultKind.MOVED, sequence, f"{where}: record {sequence} is not where it was written.")
            if sequence <= self.head.sequence:
                return None
        self.head = Position(sequence, link)
        self.count += 1
        self._links[sequence] = link
        if len(self._links) > _REPEATED:
            self._links.popitem(last=False)
        return None


def _records(path: Path, report: Report) -> Iterator[tuple[str, ChainedRecord]]:
    """Yield the records of a file, and where each is."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                where = f"{path}, line {number}"
                try:
                    yield where, parse_line(line)
                except ValueError:
                    # Whether something is missing is seen by what follows.
                    report.notes.append(f"{where}: this is no audit record.")
    except OSError as error:
        raise KeyturnError(f"{path} cannot be read: {error.strerror}.", "Give files of the json-lines sink.") from error


def _compare(stores: Stores, key: ChainKey, first: ChainedRecord, last: Position, report: Report) -> None:
    """Compare the first and the last record with the database: in between one follows from the other."""
    with stores.journal.read() as connection:
        mark, newest = audit_marks.sealed_mark(connection, key, CHECKPOINT), audit_log.newest(connection)
        begin = mark.position if mark else Position(0, START)
        end = newest if newest and newest.sequence > begin.sequence else begin

        def link(sequence: int) -> bytes | None:
            there = audit_log.link_at(connection, sequence)
            return there or (begin.link if sequence == begin.sequence else None)

        if last.sequence < begin.sequence and mark is not None and mark.is_of_retention:
            report.notes.append("The database has none of the files' records any more: their time was over.")
            return
        fault = contradiction(last, "when a file was written", end, link(last.sequence))
        before = link(first.sequence - 1)
    if fault is None and before and key.link(before, first.sequence, first.record) != first.link:
        message = f"Record {first.sequence}, the first of the files, is not what was written."
        fault = Fault(FaultKind.CHANGED, first.sequence, message, in_file=True)
    if fault is not None:
        report.faults.append(fault)
