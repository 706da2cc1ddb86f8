from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_anchor import ANCHOR_FILE, EVIDENCE_FILE, Anchor
from keyturn.rules.audit_chain import ChainKey, Position
from keyturn.rules.audit_proof import FaultKind
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.audit_report import BEGIN, Known, Report
from keyturn.scheduler import trail
from keyturn.scheduler.trail import TrailKeeper
from keyturn.sensitive import Sensitive
from keyturn.storage import audit_anchor, audit_index, audit_log
from keyturn.storage.audit_anchor import AnchorFile
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_verify import verify
from keyturn.storage.database import StorageError, Stores
from keyturn.storage.migrate import migrate
from keyturn.storage.trail import Trail
from keyturn.testing.clock import FakeClock
from keyturn.testing.sqlite import new_database

KEY = ChainKey(Sensitive(b"k" * 32))
FILES = ("keyturn.db", "journal.db", ANCHOR_FILE)


class Server:
    """What a server has of the trail, and a keeper that takes a turn when it is told to."""

    def __init__(self, directory: Path, clock: FakeClock, key: ChainKey = KEY, *, begins: bool = True) -> None:
        self.directory, self.clock = directory, clock
        path = directory / "keyturn.db"
        self.stores = Stores.open(f"sqlite:///{path}" if path.exists() else new_database(directory))
        migrate(self.stores)
        self.log = AuditLog(self.stores.journal, key)
        self.file = AnchorFile(directory, key)
        self.handed_on: int | None = None
        self.keeper = TrailKeeper(
            self.stores, self.log, self.file, clock, retention=timedelta(days=90), handed_on=lambda: self.handed_on
        )
        if begins:
            self.log.begin(clock.now())

    def append(self, count: int = 1) -> None:
        at = int(self.clock.now().timestamp() * 1000)
        record = AuditRecord("0", "r", "e", at, "s", "n", "u", None, True, None, None, None, "q", "{}")
        self.log.append([record] * count)

    def change_state(self) -> None:
        with self.stores.state.write() as transaction:
            transaction.touch("secret", "a")

    def stored_anchor(self) -> Anchor | None:
        with self.stores.state.read() as connection:
            return audit_anchor.stored_anchor(connection, self.log.key)

    def sequences(self) -> list[int]:
        with self.stores.journal.read() as connection:
            return [stored.sequence for stored in audit_log.records_after(connection, 0, 1_000_000)]

    def is_verified(self) -> bool:
        anchor = self.file.read()
        known = [Known.of(anchor)] if anchor else []
        return not verify(self.stores, self.log.key, known, lambda *_: None).faults

    def report(self, *heads: Position) -> Report:
        """What the command says."""
        return Trail(self.stores, self.log.key, self.file).verify(heads, [], lambda *_: None)

    def launder(self) -> None:
        """Make the trail look like one from before there was a chain, and longer than any anchor knows."""
        with self.stores.journal.write() as transaction:
            connection = transaction.connection
            for trigger in self.stores.journal.dialect.triggers(connection):
                connection.execute(text(f"DROP TRIGGER {trigger}"))
            connection.execute(text("DELETE FROM audit_marks"))
            connection.execute(text("DELETE FROM audit_events WHERE sequence IN (2, 3)"))
            connection.execute(text("UPDATE audit_events SET link = NULL, username = 'bob'"))
            connection.execute(text("UPDATE audit_events SET sequence = sequence + 100 WHERE sequence > 3"))

    def end(self) -> None:
        """End in good order, without the keeper's last turn."""
        self.stores.close()

    def copy(self, name: str, *files: str) -> None:
        """Keep a copy of some files, as a backup does."""
        (self.directory / name).mkdir()
        for file in files:
            shutil.copy(self.directory / file, self.directory / name)

    def restore(self, name: str, *files: str) -> None:
        for file in files:
            shutil.copy(self.directory / name / file, self.directory)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server(tmp_path: Path, clock: FakeClock) -> Iterator[Server]:
    opened = Server(tmp_path, clock)
    yield opened
    opened.end()


def test_the_newest_record_is_anchored_in_the_file_at_once_and_in_the_state_once_a_minute(server: Server) -> None:
    server.append(3)
    server.keeper.turn()
    first = server.file.read()
    server.clock.advance(timedelta(seconds=30))
    server.append()
    server.keeper.turn()
    second = server.file.read()

    assert first is not None
    assert second is not None
    assert (first.position.sequence, second.position, second.at) == (3, server.log.head, server.clock.now())
    assert server.log.synced == server.log.head
    assert server.stored_anchor() == first
    server.clock.advance(timedelta(seconds=30))
    server.keeper.turn()
    stored = server.stored_anchor()
    assert stored is not None
    assert stored.position == server.log.head


def test_the_anchor_is_its_owners_and_written_only_when_something_is_new(server: Server) -> None:
    server.append()
    server.keeper.turn()
    path = server.directory / ANCHOR_FILE
    assert path.stat().st_mode & 0o777 == 0o600

    path.unlink()
    server.keeper.turn()
    assert not path.exists()
    server.append()
    server.keeper.turn()
    assert path.exists()


def test_a_trail_without_records_has_no_anchor(server: Server) -> None:
    server.keeper.turn()
    assert (server.file.read(), server.stored_anchor()) == (None, None)


def test_a_server_that_ends_anchors_its_last_record(server: Server) -> None:
    server.keeper.begin()
    server.keeper.start()
    server.append(2)
    server.keeper.close()

    anchor = server.file.read()
    assert anchor is not None
    assert (anchor.position.sequence, server.stored_anchor()) == (2, anchor)


@pytest.mark.parametrize("replaced", [("journal.db",), ("journal.db", ANCHOR_FILE), ("keyturn.db",)], ids=str)
def test_an_older_copy_of_a_database_is_noticed_when_a_server_starts(
    server: Server, caplog: pytest.LogCaptureFixture, replaced: tuple[str, ...]
) -> None:
    server.append(2)
    server.keeper.turn()
    server.end()
    server.copy("backup", *FILES)
    later = Server(server.directory, server.clock)
    later.clock.advance(timedelta(minutes=2))
    later.append(3)
    later.change_state()
    later.keeper.turn()
    later.end()
    later.restore("backup", *replaced)

    again = Server(server.directory, server.clock)
    again.keeper.begin()
    again.keeper.start()
    again.append(9)
    again.keeper.close()

    assert "The audit trail is not what it was" in caplog.text
    (evidence,) = again.file.evidence()[:1]
    assert evidence.position.sequence == 5
    again.end()


def test_a_copy_of_everything_is_not_noticed_here(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.append(2)
    server.keeper.turn()
    server.end()
    server.copy("backup", *FILES)
    later = Server(server.directory, server.clock)
    later.append(3)
    later.keeper.turn()
    later.end()
    later.restore("backup", *FILES)

    again = Server(server.directory, server.clock)
    assert again.keeper.check_anchors() == []
    assert again.is_verified()
    assert caplog.text == ""
    again.end()


def test_evidence_stays_until_somebody_removes_it(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.append(2)
    server.keeper.turn()
    server.end()
    anchor = server.file.read()
    assert anchor is not None
    (server.directory / "journal.db").unlink()

    for _ in range(2):
        caplog.clear()
        again = Server(server.directory, server.clock)
        again.keeper.begin()
        again.keeper.start()
        again.append(9)
        again.keeper.close()
        again.end()
        assert "rolled back at some time" in caplog.text
    assert again.file.evidence() == [anchor]

    (server.directory / EVIDENCE_FILE).unlink()
    caplog.clear()
    last = Server(server.directory, server.clock)
    last.keeper.begin()
    last.keeper.start()
    last.keeper.close()
    assert caplog.text == ""
    last.end()


def begin_again(server: Server, clock: FakeClock) -> Server:
    again = Server(server.directory, clock, begins=False)
    again.keeper.begin()
    return again


@pytest.mark.parametrize("left", ["all", "note", ANCHOR_FILE, "stored", "nothing"])
def test_a_restart_does_not_make_a_trail_without_its_beginning_a_new_one(
    server: Server, caplog: pytest.LogCaptureFixture, left: str
) -> None:
    server.keeper.begin()
    server.append(6)
    server.keeper.turn()
    with server.stores.journal.read() as connection:
        kept = Position(4, audit_log.link_at(connection, 4) or b"")
    head = server.log.head
    assert head is not None
    server.launder()
    settings = {"note": "audit_anchor", "stored": "audit_chain_begun"}
    with server.stores.state.write() as transaction:
        if left != "all":
            gone = [settings[left]] if left in settings else list(settings.values())
            for name in gone:
                transaction.connection.execute(text("DELETE FROM settings WHERE name = :name"), {"name": name})
    if left not in ("all", ANCHOR_FILE):
        (server.directory / ANCHOR_FILE).unlink()

    again = begin_again(server, server.clock)
    again.append(300)
    again.keeper.turn()

    for known in (kept, head):
        assert FaultKind.ROLLED_BACK in {fault.kind for fault in again.report(known).faults}
    if left != "nothing":
        assert "its beginning is gone" in caplog.text
        assert again.file.has_evidence
        # Neither does removing what was kept make it one.
        (server.directory / EVIDENCE_FILE).unlink()
        caplog.clear()
        last = begin_again(server, server.clock)
        assert {fault.kind for fault in last.report().faults} == {FaultKind.REMOVED}
        last.end()
    again.end()


def test_a_trail_from_before_its_beginning_was_noted_goes_on_and_is_noted(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.append(2)
    server.keeper.turn()

    again = begin_again(server, server.clock)
    with again.stores.state.read() as connection:
        assert audit_anchor.stored_begun(connection, KEY) == Anchor(BEGIN, 0, server.clock.now())
    assert (again.report().faults, again.report().notes, caplog.text) == ([], [], "")
    again.end()


def test_that_both_anchors_are_missing_is_noted(server: Server) -> None:
    server.append(2)
    server.keeper.turn()
    with server.stores.state.write() as transaction:
        transaction.connection.execute(text("DELETE FROM settings WHERE name = 'audit_anchor'"))
    assert server.report().notes == []

    (server.directory / ANCHOR_FILE).unlink()
    assert (server.report().faults, len(server.report().notes)) == ([], 1)


def test_a_false_note_of_the_beginning_is_told(server: Server) -> None:
    server.keeper.begin()
    assert server.report().faults == []
    with server.stores.state.write() as transaction:
        transaction.connection.execute(text("UPDATE settings SET value = '{}' WHERE name = 'audit_chain_begun'"))
    with pytest.raises(KeyturnError, match="not written by this Keyturn"):
        server.report()


def test_evidence_that_cannot_be_kept_keeps_no_server_from_starting(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.keeper.begin()
    server.append()
    server.launder()
    (server.directory / EVIDENCE_FILE).mkdir()

    again = begin_again(server, server.clock)
    assert "could not be kept as evidence" in caplog.text
    again.append()
    again.end()


@pytest.mark.parametrize("damaged", ["", "{}", "[1]", '{"sequence": 1}', "no JSON"])
def test_a_damaged_anchor_is_told_and_kept(server: Server, caplog: pytest.LogCaptureFixture, damaged: str) -> None:
    (server.directory / ANCHOR_FILE).write_text(damaged)

    server.keeper.begin()
    server.keeper.start()
    server.append()
    server.keeper.close()

    assert "An anchor is damaged" in caplog.text
    assert (server.directory / EVIDENCE_FILE).read_text() == f"{damaged}\n"
    anchor = server.file.read()
    assert anchor is not None


def test_an_anchor_of_somebody_else_is_told(server: Server) -> None:
    server.append()
    server.keeper.turn()
    path = server.directory / ANCHOR_FILE
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "sequence": document["sequence"] - 1}))

    assert len(server.keeper.check_anchors()) == 1


def test_records_go_when_their_time_is_over_and_every_sink_has_them(server: Server) -> None:
    server.append(3)
    server.clock.advance(timedelta(days=90))
    server.append()
    server.keeper.turn()
    assert server.sequences() == [1, 2, 3, 4]

    server.clock.advance(timedelta(minutes=1))
    server.handed_on = 2
    server.keeper.turn()
    assert server.sequences() == [3, 4]

    server.clock.advance(timedelta(minutes=1))
    server.handed_on = None
    server.keeper.turn()
    assert server.sequences() == [4]
    assert server.is_verified()


def test_blocks_are_indexed_when_they_are_whole(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_index, "BLOCK_RECORDS", 4)
    server.append(11)
    server.keeper.turn()

    with server.stores.journal.read() as connection:
        assert audit_index.indexed_through(connection) == 8


def test_a_busy_server_indexes_only_what_lookups_cannot_wait_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_index, "BLOCK_RECORDS", 4)
    monkeypatch.setattr(trail, "_BUSY_RECORDS", 10)
    monkeypatch.setattr(trail, "_MOST_UNINDEXED", 20)

    def indexed() -> int:
        with server.stores.journal.read() as connection:
            return audit_index.indexed_through(connection)

    server.append(12)
    server.keeper.turn()
    assert indexed() == 0
    server.append(12)
    server.keeper.turn()
    assert indexed() == 8
    server.append(1)
    server.keeper.turn()
    assert indexed() == 24


def test_a_turn_that_fails_is_told_once_and_made_up_for(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("The database failed: disk full.")

    server.append()
    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "sync", fail)
        for _ in range(3):
            server.keeper._try(server.keeper.turn)
    assert caplog.text.count("could not be looked after") == 1

    server.keeper._try(server.keeper.turn)
    assert server.file.read() is not None
