"""Writes the metrics of functions every few seconds, and deletes those that are too old."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from keyturn.clock import Clock
from keyturn.operations.function_metrics import FunctionMetrics
from keyturn.rules.metrics import RETENTION
from keyturn.storage.database import Database
from keyturn.storage.function_metrics import forget_minutes

_log = logging.getLogger(__name__)

_TURN_SECONDS = 5.0
_EVERY_HOUR = timedelta(hours=1)


class Metering:
    """A thread that looks after metrics until it is closed.

    Args:
        metrics: What is counted.
        journal: Where it is written.
        clock: Says which minute it is, and what is too old.
    """

    def __init__(self, metrics: FunctionMetrics, journal: Database, clock: Clock) -> None:
        self._metrics = metrics
        self._journal = journal
        self._clock = clock
        self._forget_at = clock.now()
        self._is_failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metering", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Write what was counted last, and end."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
            self._try()

    def turn(self) -> None:
        """Do what is due.

        Raises:
            StorageError: The database failed; nothing is lost that the next turn does not do.
        """
        now = self._clock.now()
        self._metrics.look(now)
        self._metrics.store(self._journal, now)
        if now >= self._forget_at:
            forget_minutes(self._journal, now - RETENTION)
            self._forget_at = now + _EVERY_HOUR

    def _run(self) -> None:
        while not self._stopping.wait(_TURN_SECONDS):
            self._try()

    def _try(self) -> None:
        try:
            self.turn()
        except Exception:  # noqa: BLE001 - the next turn tries again; one message is enough until it works
            if not self._is_failing:
                _log.exception("the metrics of functions could not be written")
            self._is_failing = True
        else:
            self._is_failing = False
