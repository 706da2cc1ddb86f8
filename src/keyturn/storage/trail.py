"""The audit trail as it can be looked at on the server's machine; nothing of it can be changed from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keyturn.rules.audit_chain import ChainKey, Position
from keyturn.rules.audit_proof import Fault, FaultKind
from keyturn.rules.audit_report import BEGIN, Known, Progress, Report
from keyturn.storage import audit_log
from keyturn.storage.audit_anchor import AnchorFile, stored_anchor, stored_begun
from keyturn.storage.audit_file import verify_files
from keyturn.storage.audit_verify import verify
from keyturn.storage.database import Stores


@dataclass(frozen=True, slots=True)
class Trail:
    """Both databases, opened for reading, the key of the chain and the data directory's anchors."""

    stores: Stores
    key: ChainKey
    anchors: AnchorFile

    def head(self) -> Position | None:
        """Return the newest record of the chain; None if there is none.

        Raises:
            StorageError: The database failed.
        """
        with self.stores.journal.read() as connection:
            newest = audit_log.newest(connection)
        return newest if newest is not None and newest.link else None

    def verify(self, heads: Sequence[Position], files: Sequence[Path], progress: Progress) -> Report:
        """Compare everything with everything: chain, anchors, heads kept elsewhere, files that a sink has written.

        Args:
            heads: Records that are known to have been there.
            files: Of the json-lines sink, oldest first.
            progress: Called now and then.

        Raises:
            KeyturnError: An anchor is damaged, a file cannot be read, or the database failed.
        """
        report = self._verified([Known(position, "when --head was written down") for position in heads], progress)
        if files:
            verify_files(self.stores, self.key, files, report)
        return report

    def verify_newest(self, most_records: int) -> Report:
        """Compare the newest records with one another, and the trail with its anchors.

        Args:
            most_records: So many at most.

        Raises:
            KeyturnError: An anchor is damaged, or the database failed.
        """
        return self._verified([], lambda _done, _total: None, most_records)

    def _verified(self, written_down: Sequence[Known], progress: Progress, most_records: int | None = None) -> Report:
        # Before anything is read: what the server writes meanwhile must not look like too much or too little.
        with self.stores.state.read() as connection:
            begun = stored_begun(connection, self.key)
            anchors = [self.anchors.read(), stored_anchor(connection, self.key)]
        known = {anchor.position: Known.of(anchor) for anchor in anchors if anchor is not None}
        report = verify(self.stores, self.key, [*known.values(), *written_down], progress, most_records)
        if not known and (begun is not None or report.records):
            report.notes.append("There is no anchor: only a head that you have kept tells whether the end was cut off.")
        report.faults += [_was_lost(Known.of(anchor)) for anchor in self.anchors.evidence()]
        return report


def _was_lost(known: Known) -> Fault:
    if known.position == BEGIN:
        message = f"When a server started, nothing was left of the chain that had begun {known.when}."
        return Fault(FaultKind.REMOVED, None, message)
    what = f"record {known.position.sequence}, or a change of the state, that was there {known.when}"
    message = f"When a server started, the database did not have {what}."
    return Fault(FaultKind.ROLLED_BACK, known.position.sequence, message)
