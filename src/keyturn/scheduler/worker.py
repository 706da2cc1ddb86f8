"""The scheduler: finds what is due, holds the leases, and runs rotations on threads of its own.

One thread looks; it wakes when something is due, and when it is told that something has become due. Another one renews
the leases, whatever the first is busy with. Rotations run on a bounded pool (``rules/lanes.py`` says which of them).
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
from keyturn.rules.lanes import Limits
from keyturn.scheduler import deletions, key_deletions, key_rotations
from keyturn.scheduler.due import begin_due
from keyturn.scheduler.rotations import drive
from keyturn.scheduler.tidying import tidy
from keyturn.storage import rotation_leases, secret_erasure, secrets
from keyturn.storage.rotation_leases import LEASE, lane_of
from keyturn.storage.rotations import RotationRecord

_log = logging.getLogger(__name__)

_DUE_AT_ONCE = 100
# Two renewals may be late before a lease expires.
_RENEW_SECONDS = LEASE.total_seconds() / 4
# Reads of the day are stored that often.
_LONGEST_SLEEP = timedelta(seconds=20)
# Between two looks, so that many rotations that end one after the other are followed together.
_SHORTEST_SLEEP = timedelta(milliseconds=10)
_LOOK_AGAIN = timedelta(seconds=1)
_ERASE_AGAIN = timedelta(seconds=1)
_TIDY_EVERY = timedelta(minutes=10)


class Scheduler:
    """Runs what is due until it is stopped.

    Args:
        kit: Adapters.
        limits: How many rotations run at once.
    """

    def __init__(self, kit: Kit, limits: Limits) -> None:
        self._kit = kit
        self._limits = limits
        self._owner = new_request_id()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        # Used by both threads.
        self._running: dict[int, tuple[RotationRecord, Future[None]]] = {}
        self._lock = threading.Lock()
        self._tidy_at = kit.clock.now() + _TIDY_EVERY
        self._pool = ThreadPoolExecutor(limits.total, thread_name_prefix="rotation")
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._renewing = threading.Thread(target=self._renew, name="leases", daemon=True)
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin; what a server that died has left behind goes on at once."""
        if self._kit.state.dialect.is_embedded:
            # The data directory is locked, so nobody else can hold a lease.
            rotation_leases.release_leases_of_others(self._kit.state, self._owner)
        self._thread.start()
        self._renewing.start()

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
        self._ended.set()
        if self._renewing.ident is not None:
            self._renewing.join()
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
            except Exception:  # noqa: BLE001 - what nobody foresaw must not end all rotations of this server
                _log.exception("the scheduler failed")
                pause = _LONGEST_SLEEP
            self._wake.wait(pause.total_seconds())

    def run_once(self) -> timedelta:
        """Start what is due now and return how long nothing else will be.

        Raises:
            StorageError: The database failed.
        """
        kit, now = self._kit, self._kit.clock.now()
        kit.accesses.store(kit.state)
        kit.uses.store(kit.state)
        plan_after_clock_was_set_back(kit, now)
        with kit.state.read() as connection:
            due = secrets.due_for_rotation(connection, now, _DUE_AT_ONCE)
        for secret_arn in due:
            self._begin_due(secret_arn, now)
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_EVERY
            tidy(kit, now)
        self._claim(now)
        key_deletions.destroy_due_keys(kit, now)
        key_rotations.rotate_due_keys(kit, now)
        # Last: files that cannot be purged must not keep rotations waiting.
        is_erased = deletions.erase_past_recovery(kit, now)
        return self._pause(now, is_erased=is_erased)

    def _begin_due(self, secret_arn: str, now: datetime) -> None:
        try:
            begin_due(self._kit, secret_arn, now)
        except KeyturnError:
            raise
        except Exception:  # noqa: BLE001 - what nobody foresaw of one secret must not keep all others from rotating
            _log.exception("the rotation of %s could not begin", secret_arn)

    def _claim(self, now: datetime) -> None:
        running = {rotation.rotation_id: lane_of(rotation) for rotation in self._still_running()}
        for rotation in rotation_leases.claim_due(self._kit.state, self._owner, now, running, self._limits):
            future = self._pool.submit(drive, self._kit, rotation, self._stopping)
            with self._lock:
                self._running[rotation.rotation_id] = (rotation, future)
            future.add_done_callback(lambda _: self._wake.set())

    def _still_running(self) -> list[RotationRecord]:
        """Return what runs, and forget what does no more."""
        with self._lock:
            ended = [number for number, (_, future) in self._running.items() if future.done()]
            futures = [self._running.pop(number)[1] for number in ended]
            running = [rotation for rotation, _ in self._running.values()]
        for future in futures:
            if (error := future.exception()) is not None:
                # Its lease expires, and it is taken up again.
                _log.error("a rotation was left where it stood", exc_info=error)
        return running

    def _renew(self) -> None:
        """Keep the leases of what runs, until nothing does."""
        while not self._ended.wait(_RENEW_SECONDS):
            with self._lock:
                running = [number for number, (_, future) in self._running.items() if not future.done()]
            if not running:
                continue
            try:
                rotation_leases.renew_leases(self._kit.state, self._owner, running, self._kit.clock.now())
            except Exception:  # noqa: BLE001 - as above: this thread must not end before the rotations that rely on it
                # Whoever drives one of them finds out at its next write whether the lease still holds.
                _log.exception("leases could not be renewed")

    def _pause(self, now: datetime, *, is_erased: bool) -> timedelta:
        with self._kit.state.read() as connection:
            next_due = rotation_leases.next_due(connection)
            if next_due is not None and next_due <= now:
                # There is no place for it: whatever ends and leaves one wakes this thread. Or another server has it.
                next_due = now + _LOOK_AGAIN
            moments = [next_due, secrets.next_planned(connection)]
            # What could not be erased just now was in somebody's way.
            moments.append(secret_erasure.next_deletion(connection) if is_erased else now + _ERASE_AGAIN)
        until = [moment - now for moment in moments if moment is not None]
        return max(min([*until, _LONGEST_SLEEP]), _SHORTEST_SLEEP)
