"""Whoever is in an erasure's way, dies in it or does it at the same time: it ends, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from keyturn.errors.secretsmanager import ResourceNotFoundException
from keyturn.scheduler import deletions
from keyturn.storage import schema
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import Database, StorageError, Transaction

from .conftest import OpenStores
from .desk import DAY, Desk


def test_while_somebody_reads_the_values_are_gone_and_what_a_reader_is_in_the_way_of_waits(
    desk: Desk, open_stores: OpenStores
) -> None:
    arn = desk.create()
    versions = len(desk.sealed(arn))
    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)

    with open_stores().state.read() as connection:
        connection.execute(select(schema.settings)).all()
        pause = desk.turn()
        if desk.kit.state.dialect.is_embedded:
            assert pause == timedelta(seconds=1)
            assert desk.sealed(arn) == {}
            assert desk.told("EndSecretVersionDelete") == []
            assert desk.turn() == timedelta(seconds=1)
        else:
            # Nobody is in a vacuum's way.
            assert desk.rows()["secrets"] == 0

    desk.turn()
    assert desk.rows()["secrets"] == 0
    for name in ("StartSecretVersionDelete", "EndSecretVersionDelete"):
        assert len(desk.told(name)) == versions


def test_what_has_lost_its_values_is_not_restored_by_a_server_whose_clock_is_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.create()
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    desk.bench.clock.advance(7 * DAY)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "purge", lambda _: False)
        desk.turn()

    desk.bench.clock.advance(-5 * DAY)
    with pytest.raises(ResourceNotFoundException):
        desk.call("RestoreSecret", SecretId="db")
    desk.bench.clock.advance(5 * DAY)
    desk.turn()
    assert desk.rows()["secrets"] == 0


def test_two_servers_tell_it_once(desk: Desk, open_stores: OpenStores) -> None:
    arn = desk.create()
    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
    now = desk.bench.clock.now()
    other = Desk(open_stores())

    deletions._erase_values(desk.kit, now)
    deletions.erase_past_recovery(other.kit, now)
    deletions._erase_secrets(desk.kit, now)

    assert desk.rows()["secrets"] == 0
    for name in ("StartSecretVersionDelete", "EndSecretVersionDelete"):
        assert [secret for secret, _ in desk.told(name)] == [arn, arn]


class Killed(BaseException):
    """The process ends here, as after kill -9: nothing below this line runs."""


class Moments:
    """Kills at the n-th moment at which a server could die with something half done."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Killed


@contextmanager
def deadly(moments: Moments, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each write of the state, each purge and each storing of events be such a moment, before and after."""
    write, purge, append = Database.write, Database.purge, AuditLog.append

    @contextmanager
    def dying_write(self: Database) -> Iterator[Transaction]:
        with write(self) as transaction:
            yield transaction
            moments()
        moments()

    def dying_purge(self: Database) -> bool:
        moments()
        done = purge(self)
        moments()
        return done

    def dying_append(*arguments: Any) -> None:
        append(*arguments)
        moments()

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", dying_write)
        patch.setattr(Database, "purge", dying_purge)
        patch.setattr(AuditLog, "append", dying_append)
        yield


def test_a_server_killed_at_any_moment_of_an_erasure_loses_nothing_of_it(
    desk: Desk, open_stores: OpenStores, files: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = 0
    was_killed = True
    while was_killed:
        at += 1
        moments = Moments(at)
        arn = desk.create(f"n{at}")
        sealed = desk.sealed(arn)
        desk.call("DeleteSecret", SecretId=f"n{at}", RecoveryWindowInDays=7)
        desk.bench.clock.advance(7 * DAY)
        was_killed = False
        with deadly(moments, monkeypatch):
            try:
                deletions.erase_past_recovery(desk.kit, desk.bench.clock.now())
            except Killed:
                was_killed = True
        desk.restarted(open_stores())
        desk.turn()
        desk.turn()

        assert set(desk.rows().values()) == {0}, at
        assert not [value for value in sealed.values() if value[48:] in files()], at
        expected = {(arn, version_id) for version_id in sealed}
        started, ended = desk.told("StartSecretVersionDelete"), desk.told("EndSecretVersionDelete")
        assert {told for told in started if told[0] == arn} == expected, at
        assert {told for told in ended if told[0] == arn} == expected, at
    # Two writes with an event each and a purge between them, each before and after.
    assert at > 8


def test_events_that_cannot_be_stored_hold_the_erasure_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = desk.create()
    sealed = desk.sealed(arn)
    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)

    def fail(*_: object) -> None:
        raise StorageError("The database failed: disk full.")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", fail)
        with pytest.raises(StorageError):
            desk.turn()
        assert desk.sealed(arn) == sealed

    desk.turn()
    assert desk.rows()["secrets"] == 0
