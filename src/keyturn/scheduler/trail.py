"""Looks after the audit trail: anchors what was written, indexes it, and deletes what is too old.

Every second in which something was recorded:

1. The journal is synced, and with it the records of reads, which were only written. It is told how new the state is.
2. The newest record goes into the anchor file, and once a minute into the state database (``storage/audit_anchor.py``).
   What an anchor names is on disk: after a power cut it must not ask for what nobody has any more.
3. Blocks that have become whole are indexed, unless the server is busy. Once a minute what is too old is deleted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from keyturn.clock import Clock
from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_anchor import Anchor
from keyturn.rules.audit_chain import LOST, Position
from keyturn.rules.audit_proof import Fault, FaultKind
from keyturn.rules.audit_report import BEGIN, Known, Report
from keyturn.storage import audit_anchor, audit_index, audit_retention
from keyturn.storage.audit_anchor import AnchorFile
from keyturn.storage.audit_index import index_next_block
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_verify import check_known
from keyturn.storage.database import Stores

_log = logging.getLogger(__name__)

_TURN_SECONDS = 1.0
_EVERY_MINUTE = timedelta(minutes=1)
# More than so many records in a turn: calls come first, and indexing waits until so many are read through by lookups.
_BUSY_RECORDS = 1000
_MOST_UNINDEXED = 100_000


class TrailKeeper:
    """A thread that looks after the trail until it is closed.

    Args:
        stores: Both databases.
        log: The trail.
        file: The anchor in the data directory.
        retention: How long records are kept; None for ever.
        handed_on: Returns the last record that every sink has, None if there is no sink.
    """

    def __init__(
        self,
        stores: Stores,
        log: AuditLog,
        file: AnchorFile,
        clock: Clock,
        *,
        retention: timedelta | None,
        handed_on: Callable[[], int | None],
    ) -> None:
        self._stores = stores
        self._audit_log = log
        self._file = file
        self._clock = clock
        self._retention = retention
        self._handed_on = handed_on
        self._anchored: Position | None = None
        self._recorded_before = 0
        self._minute_at = clock.now()
        self._is_failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trail", daemon=True)

    def begin(self) -> None:
        """Compare the trail with its anchors, before anything is written to it, and begin it if it is new.

        Raises:
            StorageError: The database failed.
        """
        try:
            for message in dict.fromkeys(fault.message for fault in self.check_anchors()):
                _log.error("The audit trail is not what it was: %s", message)
            if self._file.has_evidence:
                _log.error("The audit trail was rolled back at some time: keyturn audit verify says more.")
        except (KeyturnError, OSError) as error:
            # The trail goes on, whatever became of its past: whoever verifies it is told the same.
            _log.error("The audit trail could not be compared with its anchors: %s", error)
        self._begin_chain()

    def start(self) -> None:
        """Look after the trail from now on."""
        self._thread.start()

    def close(self) -> None:
        """Anchor what was written last, and end."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._try(self._anchor_everywhere)

    def _begin_chain(self) -> None:
        key, now = self._audit_log.key, self._clock.now()
        with self._stores.state.read() as connection:
            begun = audit_anchor.begun_text(connection)
            texts = [begun, audit_anchor.stored_text(connection)]
        has_begun = any(texts) or self._file.exists or self._file.has_evidence
        checkpoint = self._audit_log.begin(now, has_begun=has_begun)
        if checkpoint is not None and checkpoint.link == LOST:
            _log.error(
                "The audit trail is not what it was: its beginning is gone from the journal, and nothing up to record"
                " %d can be verified any more. Somebody wrote to the database past Keyturn, or the journal was lost.",
                checkpoint.sequence,
            )
            self._keep_as_evidence(texts)
        # A journal that was begun before this was noted is noted now.
        if begun is None:
            with self._stores.state.write() as transaction:
                audit_anchor.store_begun(transaction.connection, key, Anchor(BEGIN, 0, now))

    def _keep_as_evidence(self, texts: Sequence[str | None]) -> None:
        try:
            self._file.keep_as_evidence([text for text in (*texts, self._file.text()) if text])
        except OSError as error:
            # As above: the journal itself keeps that its beginning was lost.
            _log.error("What was known of the audit trail could not be kept as evidence: %s", error)

    def check_anchors(self) -> list[Fault]:
        """Return how the trail contradicts its anchors, and keep those anchors as evidence.

        Raises:
            StorageError: The database failed.
            OSError: The file could not be read, or the evidence not be kept.
        """
        with self._stores.state.read() as connection:
            texts = [self._file.text(), audit_anchor.stored_text(connection)]
        found = {text: self._check_anchor(text) for text in texts if text is not None}
        contradicted = [text for text, faults in found.items() if faults]
        if contradicted:
            self._file.keep_as_evidence(contradicted)
        return [fault for faults in found.values() for fault in faults]

    def _check_anchor(self, text: str) -> list[Fault]:
        try:
            anchor = Anchor.from_text(text, self._audit_log.key)
        except (ValueError, TypeError):
            return [Fault(FaultKind.FOREIGN, None, "An anchor is damaged, or was not written by this Keyturn.")]
        report = Report()
        check_known(self._stores, self._audit_log.key, [Known.of(anchor)], report)
        return report.faults

    def turn(self) -> None:
        """Do what is due.

        Raises:
            StorageError: The database failed.
            OSError: The anchor could not be written.
        """
        now = self._clock.now()
        is_minute = now >= self._minute_at
        if is_minute:
            self._minute_at = now + _EVERY_MINUTE
            self._anchor_everywhere()
            self._delete_expired(now)
        else:
            self._anchor()
        self._index()

    def _index(self) -> None:
        """Index blocks that have become whole; while many calls are made only those that lookups cannot wait for."""
        newest = self._audit_log.synced.sequence if self._audit_log.synced else 0
        recorded, self._recorded_before = newest - self._recorded_before, newest
        is_busy = recorded > _BUSY_RECORDS
        while not self._stopping.is_set():
            if is_busy and newest - self._indexed_through() < _MOST_UNINDEXED:
                return
            if not index_next_block(self._audit_log):
                return

    def _indexed_through(self) -> int:
        with self._stores.journal.read() as connection:
            return audit_index.indexed_through(connection)

    def _run(self) -> None:
        while not self._stopping.wait(_TURN_SECONDS):
            self._try(self.turn)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:  # noqa: BLE001 - as the next comment says
            # Nothing is lost that the next turn does not do. One message is enough until it works again.
            if not self._is_failing:
                _log.exception("the audit trail could not be looked after")
            self._is_failing = True
        else:
            self._is_failing = False

    def _anchor_everywhere(self) -> None:
        anchor = self._anchor()
        # Where both are one database, they are replaced together.
        if anchor is not None and self._stores.state.dialect.is_embedded:
            with self._stores.state.write() as transaction:
                audit_anchor.store_anchor(transaction.connection, self._audit_log.key, anchor)

    def _anchor(self) -> Anchor | None:
        """Sync what was written and note it in the file; return what is noted there, None if there is nothing."""
        now = self._clock.now()
        with self._stores.state.read() as connection:
            generation = audit_anchor.newest_generation(connection)
        if self._audit_log.newest() != self._audit_log.synced:
            self._audit_log.sync(generation, now)
        synced = self._audit_log.synced
        if synced is None:
            return None
        anchor = Anchor(synced, generation, now)
        if synced != self._anchored:
            self._file.write(anchor)
            self._anchored = synced
        return anchor

    def _delete_expired(self, now: datetime) -> None:
        synced = self._audit_log.synced
        if self._retention is None or synced is None:
            return
        handed_on = self._handed_on()
        through = synced.sequence if handed_on is None else handed_on
        while audit_retention.delete_expired(self._audit_log, now - self._retention, through, now):
            if self._stopping.is_set():
                return
