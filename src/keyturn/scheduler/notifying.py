"""Tells notifiers what happened: from the audit trail into messages that wait, and from there to each notifier.

1. A *collector* looks through what was added to the trail and is on disk. What somebody wants to know becomes a message
   for each of them, stored together with how far the collector has come. It begins where the trail is when the first
   notifier is set up, and waits for nobody: no notifier keeps the trail from being deleted, or calls from being served.
2. A *sender* for each notifier offers its messages one by one. What is not taken is offered again, less and less often,
   for a day, and then given up with a warning. Messages do not wait for each other, and no notifier for another.

A message is removed after it was taken: a server that dies in between offers it twice, and none not at all. Of several
servers of one database each collects what the others have not, and sends what the others do not send just now.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from keyturn.clock import Clock
from keyturn.notifiers.base import NamedNotifier, NotifierError, NotifierGone
from keyturn.operations.secretsmanager.rotation_facts import notification_of
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.notification import LONGEST_WAIT, Notification, next_try
from keyturn.rules.schedule import RandomSource
from keyturn.storage import notifications
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import Database, StorageError
from keyturn.storage.notifications import WaitingNotification

_log = logging.getLogger(__name__)

_AT_ONCE = 100
# Records that are looked through in one statement.
_STRETCH = 20_000
_LOOK_SECONDS = 0.25
# Another server may have stored a message and died.
_LOOK_FOR_OTHERS_SECONDS = 5.0
_FAILED_SECONDS = 5.0
_HOUSEKEEPING = timedelta(minutes=1)
_REMIND = timedelta(minutes=10)
# Beyond what an offer may take.
_HOLD_MARGIN = timedelta(seconds=30)
_CLOSE_SECONDS = 3.0


class Sender:
    """A thread that offers one notifier its messages.

    Args:
        log: For the journal.
        named: The notifier.
        random: Spreads the tries.
    """

    def __init__(self, log: AuditLog, named: NamedNotifier, clock: Clock, random: RandomSource) -> None:
        self.name = named.name
        self.wanted = named.wanted
        self.is_gone = False
        # Since this process began.
        self.sent, self.failures, self.given_up = 0, 0, 0
        self._audit_log = log
        self._notifier = named.notifier
        self._clock = clock
        self._random = random
        self._fails_in_a_row = 0
        self._told_at: datetime | None = None
        self._is_left = False
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"notifier {self.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that a message was stored."""
        self._wake.set()

    def close(self) -> None:
        """End; what was not taken waits for the next start."""
        self._stopping.set()
        self._wake.set()
        self._notifier.close()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_SECONDS)
        # Whoever does not come back in time must not touch the database any more: it is about to be closed.
        self._is_left = True

    def turn(self) -> bool:
        """Offer one message; False if none is due.

        Raises:
            StorageError: The database failed.
        """
        now = self._clock.now()
        hold = timedelta(seconds=self._notifier.timeout_seconds) + _HOLD_MARGIN
        with self._audit_log.exclusively():
            taken = notifications.take_due(self._audit_log.database, self.name, now, hold)
        if taken is None:
            return False
        message_id = json.loads(taken.document)["id"]
        try:
            self._notifier.send(message_id, taken.document, now.timestamp())
        except NotifierGone as error:
            if not self._is_left:
                self._leave(error)
            return False
        except NotifierError as error:
            if not (self._is_left or self._stopping.is_set()):
                self._put_off(taken, message_id, error)
        else:
            if not self._is_left:
                self._remove(taken)
                self.sent += 1
                self._recover()
        return True

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.is_set() and not self.is_gone:
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping.is_set():
                return
            try:
                pause = 0.0 if self.turn() else self._pause()
            except StorageError as error:
                self._warn(f"messages for the notifier {self.name} could not be looked for: {error.message}")
                pause = _FAILED_SECONDS
            except Exception:  # noqa: BLE001 - as the next comment says
                # A notifier must not end because of one message that nobody foresaw; it is offered again.
                _log.exception("the notifier %s failed", self.name)
                pause = _FAILED_SECONDS

    def _pause(self) -> float:
        with self._audit_log.database.read() as connection:
            due_at = notifications.next_due(connection, self.name)
        until = _LOOK_FOR_OTHERS_SECONDS if due_at is None else (due_at - self._clock.now()).total_seconds()
        return min(max(until, 0.0), _LOOK_FOR_OTHERS_SECONDS)

    def _put_off(self, taken: WaitingNotification, message_id: str, error: NotifierError) -> None:
        self.failures += 1
        now = self._clock.now()
        due_at = next_try(taken.created_at, taken.tries, now, self._random.randbelow(1000) / 1000)
        if due_at is None:
            self._remove(taken)
            self.given_up += 1
            _log.warning(
                "the message %s for the notifier %s was given up after %d tries: %s",
                message_id, self.name, taken.tries, error.message,
            )  # fmt: skip
            return
        with self._audit_log.exclusively():
            notifications.put_off(self._audit_log.database, taken, due_at)
        self._fails_in_a_row += 1
        self._warn(f"the notifier {self.name} does not take messages, which are offered again: {error.message}")

    def _leave(self, error: NotifierGone) -> None:
        self.is_gone = True
        with self._audit_log.exclusively():
            dropped = notifications.remove_all(self._audit_log.database, self.name)
        self.given_up += dropped
        said = " ".join((error.message, *error.hints))
        _log.warning("the notifier %s is told nothing more until the server starts again. %s", self.name, said)

    def _remove(self, taken: WaitingNotification) -> None:
        with self._audit_log.exclusively():
            notifications.remove(self._audit_log.database, taken)

    def _recover(self) -> None:
        if self._fails_in_a_row:
            _log.warning("the notifier %s takes messages again", self.name)
            self._fails_in_a_row, self._told_at = 0, None

    def _warn(self, message: str) -> None:
        """Tell the operator, and remind them now and then."""
        now = self._clock.now()
        if self._told_at is None or now - self._told_at > _REMIND:
            self._told_at = now
            _log.warning("%s", message)


class Collector:
    """A thread that makes messages of what is added to the trail.

    Args:
        state: For what is known of rotations.
        log: The trail.
        senders: Of all notifiers.
    """

    def __init__(self, state: Database, log: AuditLog, senders: Sequence[Sender], clock: Clock) -> None:
        self._state = state
        self._audit_log = log
        self._senders = senders
        self._clock = clock
        self._names = frozenset(name for sender in senders for name in sender.wanted.events)
        # How far the trail was looked through, by this server and as it is stored.
        self._position = 0
        self._stored = 0
        self._keep_house_at = clock.now()
        self._is_failing = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)

    def begin(self) -> None:
        """Find out how far the trail was looked through.

        Raises:
            StorageError: The database failed.
        """
        database = self._audit_log.database
        self._stored = self._position = notifications.begin(database)
        if database.dialect.is_embedded:
            # Nobody else can be offering anything, and whoever starts a server again may have mended something.
            notifications.make_due(database, self._clock.now())

    def start(self) -> None:
        """Look at what is added from now on."""
        self._thread.start()

    def close(self) -> None:
        """End. What was not looked at yet is looked at by the next server."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
            with suppress(StorageError):
                self._store([], self._position)

    def turn(self) -> bool:
        """Look through a stretch of what is on disk; False if there is nothing.

        Raises:
            StorageError: The database failed.
        """
        now = self._clock.now()
        if now >= self._keep_house_at:
            self._keep_house_at = now + _HOUSEKEEPING
            self._keep_house(now)
        synced = self._audit_log.synced
        if synced is None or synced.sequence <= self._position:
            return False
        through = min(synced.sequence, self._position + _STRETCH)
        with self._audit_log.database.read() as connection:
            records = notifications.named_events(connection, self._position, through, self._names, _AT_ONCE)
        if len(records) == _AT_ONCE:
            through = records[-1].sequence
        messages: list[tuple[str, str]] = []
        for stored in records:
            notification = self._notification(stored.record)
            if notification is not None and notification.may_be_decided_soon(now):
                # It and what comes behind it are looked at again.
                through = stored.sequence - 1
                break
            messages += self._messages_of(notification)
        if through == self._position:
            return False
        # Most of what is added concerns nobody: how far that goes is stored once a minute.
        if messages and not self._store(messages, through):
            self._stored = self._position = notifications.begin(self._audit_log.database)
            return True
        self._position = through
        for sender in self._senders if messages else ():
            sender.wake()
        return True

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                pause = 0.0 if self.turn() else _LOOK_SECONDS
                self._is_failing = False
            except Exception:  # noqa: BLE001 - as the next comment says
                # Nothing is lost that the next turn does not do. One message is enough until it works again.
                if not self._is_failing:
                    _log.exception("the audit trail could not be looked through for notifiers")
                self._is_failing = True
                pause = _FAILED_SECONDS

    def _notification(self, record: AuditRecord) -> Notification | None:
        """Return what there is to be told of a record; None if that cannot be found out."""
        try:
            return notification_of(self._state, record)
        except StorageError:
            raise
        except Exception:  # noqa: BLE001 - as the next comment says
            # A record that nobody foresaw must not keep all that come after it from being told.
            _log.exception("nobody is told of the event %s", record.event_id)
            return None

    def _messages_of(self, notification: Notification | None) -> list[tuple[str, str]]:
        if notification is None:
            return []
        document = json.dumps(notification.document(), ensure_ascii=False)
        senders = [sender for sender in self._senders if not sender.is_gone and sender.wanted.wants(notification)]
        return [(sender.name, document) for sender in senders]

    def _store(self, messages: Sequence[tuple[str, str]], through: int) -> bool:
        if through == self._stored:
            return True
        log = self._audit_log
        with log.exclusively():
            is_stored = notifications.store_messages(
                log.database, self._stored, through, messages, self._clock.now()
            )  # fmt: skip
        if is_stored:
            self._stored = through
        return is_stored

    def _keep_house(self, now: datetime) -> None:
        if not self._store([], self._position):
            self._stored = notifications.begin(self._audit_log.database)
        names = {sender.name for sender in self._senders}
        with self._audit_log.exclusively():
            removed = notifications.remove_older(self._audit_log.database, now - LONGEST_WAIT, names)
        if removed:
            _log.warning("%d messages for notifiers that are not set up any more were given up", removed)


class Notifying:
    """The collector and the senders of a server; none of them without notifiers."""

    def __init__(
        self, state: Database, log: AuditLog, named: Sequence[NamedNotifier], clock: Clock, random: RandomSource
    ) -> None:
        self.senders = [Sender(log, each, clock, random) for each in named]
        self._collector = Collector(state, log, self.senders, clock)

    def start(self) -> None:
        """Begin.

        Raises:
            StorageError: The database failed.
        """
        if not self.senders:
            return
        self._collector.begin()
        self._collector.start()
        for sender in self.senders:
            sender.start()

    def close(self) -> None:
        """End."""
        self._collector.close()
        closing = [threading.Thread(target=sender.close) for sender in self.senders]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
