"""Looks, without being asked, whether the rotations of secrets would succeed: before they are due.

A secret is looked at when its rotation is switched on or gets another function, about once a day from then on, and some
hours before each planned rotation, so that somebody can act. It runs on two threads of its own and in environments
beside those of functions: rotations wait for nothing here. While a rotation of the secret runs it is put off.

A server that dies while it looks leaves nothing behind: the secret is due again when its hold is over.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta

from keyturn.errors.base import KeyturnError
from keyturn.operations.kit import Kit
from keyturn.operations.secretsmanager.preflight import NotNow, preflight
from keyturn.rules.preflight import RETRY
from keyturn.runtime.pool import RuntimeClosed
from keyturn.storage import preflights, secrets
from keyturn.storage.secrets import SecretRecord

_log = logging.getLogger(__name__)

AT_ONCE = 2
"""Secrets that one server looks at at the same time."""

# A pre-flight may take two minutes, and what ends it some seconds.
_HOLD = timedelta(minutes=5)
_LONGEST_SLEEP = timedelta(seconds=20)
_SHORTEST_SLEEP = timedelta(seconds=1)
# One that is scheduled for deletion may be restored.
_DELETED_AGAIN = timedelta(days=1)


class Preflights:
    """A thread that begins pre-flights, and those that make them.

    Args:
        kit: Adapters.
        ahead: How long before a planned rotation the secret is looked at, at the latest.
    """

    def __init__(self, kit: Kit, ahead: timedelta) -> None:
        self._kit = kit
        self._ahead = ahead
        self._running: dict[int, Future[None]] = {}
        self._again_at: datetime | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="preflight")
        self._thread = threading.Thread(target=self._run, name="preflights", daemon=True)

    def start(self) -> None:
        """Begin; what a server that died was looking at is due again."""
        if self._kit.state.dialect.is_embedded:
            # The data directory is locked, so nobody else can be looking.
            preflights.release_all(self._kit.state)
        self._thread.start()

    def wake(self) -> None:
        """Say that something may have become due."""
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing new. What is under way ends when the function runtime is closed; then :meth:`join`."""
        self._stopping.set()
        self._wake.set()

    def join(self) -> None:
        """Wait for everything that is still running."""
        if self._thread.ident is not None:
            self._thread.join()
        self._pool.shutdown()

    def run_once(self) -> timedelta:
        """Begin what is due, as far as there are places, and return how long nothing else will be.

        Raises:
            StorageError: The database failed.
        """
        kit, now = self._kit, self._kit.clock.now()
        self._running = {secret_id: future for secret_id, future in self._running.items() if not future.done()}
        free = AT_ONCE - len(self._running)
        if free <= 0:
            return _LONGEST_SLEEP
        with kit.state.read() as connection:
            due = preflights.due_preflights(connection, now, self._ahead, free + len(self._running))
        for secret_id, secret_arn in due:
            if secret_id in self._running or free <= 0:
                continue
            if preflights.hold(kit.state, secret_id, now, now + _HOLD):
                free -= 1
                self._running[secret_id] = future = self._pool.submit(self._look, secret_id, secret_arn)
                future.add_done_callback(lambda _: self._wake.set())
        with kit.state.read() as connection:
            next_due = preflights.next_due(connection, now)
        again_at = self._again_at if self._again_at is not None and self._again_at > now else None
        until = [moment - now for moment in (next_due, again_at) if moment is not None]
        return max(min([*until, _LONGEST_SLEEP]), _SHORTEST_SLEEP)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause = self.run_once()
            except Exception:  # noqa: BLE001 - what nobody foresaw must not end all pre-flights of this server
                _log.exception("it could not be looked which pre-flights are due")
                pause = _LONGEST_SLEEP
            self._wake.wait(pause.total_seconds())

    def _look(self, secret_id: int, secret_arn: str) -> None:
        if self._stopping.is_set():
            return
        kit = self._kit
        try:
            with kit.state.read() as connection:
                secret = secrets.load_secret(connection, secret_arn)
            if secret is None or not _rotates(secret):
                self._leave(secret_id, secret)
                return
            preflight(kit, secret_arn, is_asked=False)
        except NotNow:
            self._again_at = kit.clock.now() + RETRY
            preflights.put_off(kit.state, secret_id, self._again_at)
        except RuntimeClosed:
            # The server ends, and what it held is due at its next start.
            return
        except KeyturnError:
            # The database may be away for a moment; the hold ends by itself.
            _log.exception("the pre-flight of %s failed", secret_arn)
        except Exception:  # noqa: BLE001 - as above; it is looked again when the hold is over
            _log.exception("the pre-flight of %s broke", secret_arn)

    def _leave(self, secret_id: int, secret: SecretRecord | None) -> None:
        """Plan no further pre-flight of what does not rotate."""
        due_at: datetime | None = None
        if secret is not None and secret.rotation_enabled and secret.deletion_at is not None:
            due_at = self._kit.clock.now() + _DELETED_AGAIN
        with self._kit.state.write() as transaction:
            if secret is not None:
                preflights.plan_preflight(transaction, secret_id, due_at)


def _rotates(secret: SecretRecord) -> bool:
    return bool(secret.rotation_enabled) and secret.deletion_at is None and not secret.is_replica
