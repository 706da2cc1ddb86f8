"""The scheduler: finds what is due, holds the leases, and runs rotations on threads of its own.

One thread looks; it wakes when something is due, when it is told that something has become due, and often enough to
keep its leases. Rotations run on a bounded pool.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from keyturn.errors.base import KeyturnError
from keyturn.ids import new_request_id
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.planning import plan_after_clock_was_set_back
from keyturn.scheduler import deletions, key_deletions, key_rotations
from keyturn.scheduler.rotations import begin_due, drive
from keyturn.scheduler.tidying import tidy
from keyturn.storage import rotations, secrets
from keyturn.storage.rotations import LeaseLost, RotationRecord

_log = logging.getLogger(__name__)

_AT_ONCE = 16
_DUE_AT_ONCE = 100
_LEASE = timedelta(seconds=60)
# The longest sleep: leases are renewed three times before they expire, and reads of the day are stored.
_LONGEST_SLEEP = timedelta(seconds=20)
_ERASE_AGAIN = timedelta(seconds=1)
_TIDY_EVERY = timedelta(minutes=10)


class Scheduler:
    """Runs what is due until it is stopped."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._owner = new_request_id()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._running: dict[int, tuple[RotationRecord, Future[None]]] = {}
        self._tidy_at = kit.clock.now() + _TIDY_EVERY
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="rotation")
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)

    def start(self) -> None:
        """Begin; what a server that died has left behind goes on at once."""
        if self._kit.state.dialect.is_embedded:
            # The data directory is locked, so nobody else can hold a lease.
            rotations.release_leases_of_others(self._kit.state, self._owner)
        self._thread.start()

    def wake(self) -> None:
        """Say that something has become due."""
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing new. Steps under way end when the function runtime is closed; then :meth:`join`."""
        self._stopping.set()
        self._wake.set()

    def join(self) -> None:
        """Wait for everything that is still running, and store what was put off."""
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown()
        self._kit.accesses.store(self._kit.state)
        self._kit.uses.store(self._kit.state)
        self._kit.state.purge()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause = self.run_once()
            except KeyturnError:
                # The database may be away for a moment; rotations are not lost, they are rows.
                _log.exception("the scheduler could not look what is due")
                pause = _LONGEST_SLEEP
            self._wake.wait(pause.total_seconds())

    def run_once(self) -> timedelta:
        """Start what is due now and return how long nothing else will be.

        Raises:
            StorageError: The database failed.
        """
        kit, now = self._kit, self._kit.clock.now()
        self._renew_leases(now)
        kit.accesses.store(kit.state)
        kit.uses.store(kit.state)
        plan_after_clock_was_set_back(kit, now)
        with kit.state.read() as connection:
            due = secrets.load_due_for_rotation(connection, now, _DUE_AT_ONCE)
        for secret in due:
            begin_due(kit, secret, now)
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_EVERY
            tidy(kit, now)
        free = _AT_ONCE - len(self._running)
        claimed = rotations.claim_due(kit.state, self._owner, now, now + _LEASE, free) if free > 0 else []
        for rotation in claimed:
            future = self._pool.submit(drive, kit, rotation, self._stopping)
            self._running[rotation.rotation_id] = (rotation, future)
            future.add_done_callback(lambda _: self._wake.set())
        key_deletions.destroy_due_keys(kit, now)
        key_rotations.rotate_due_keys(kit, now)
        # Last: files that cannot be purged must not keep rotations waiting.
        is_erased = deletions.erase_past_recovery(kit, now)
        return self._pause(now, is_erased=is_erased)

    def _renew_leases(self, now: datetime) -> None:
        for rotation_id, (rotation, future) in list(self._running.items()):
            if future.done():
                del self._running[rotation_id]
                if (error := future.exception()) is not None:
                    _log.error("a rotation was left where it stood", exc_info=error)
                continue
            try:
                with self._kit.state.write() as transaction:
                    rotations.write_under_lease(transaction, rotation, lease_expires_at=now + _LEASE)
            except LeaseLost:
                # Ended or cancelled meanwhile; the driver finds out at its next write.
                _log.info("rotation %s is no longer held", rotation_id)

    def _pause(self, now: datetime, *, is_erased: bool) -> timedelta:
        with self._kit.state.read() as connection:
            moments = [rotations.next_due(connection), secrets.next_planned(connection)]
            # What could not be erased just now was in somebody's way.
            moments.append(secrets.next_deletion(connection) if is_erased else now + _ERASE_AGAIN)
        until = [moment - now for moment in moments if moment is not None]
        return max(min([*until, _LONGEST_SLEEP]), timedelta(milliseconds=10))
