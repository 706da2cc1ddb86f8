from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, text

from keyturn.storage import schema, secret_erasure, secret_versions, secrets
from keyturn.storage.database import StorageError, Stores, Transaction
from keyturn.storage.dialects import postgresql, sqlite
from keyturn.storage.migrate import migrate
from keyturn.storage.secret_versions import VersionRecord

from .conftest import NOW, PLACE, OpenStores

_ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"


class _Stopped(Exception):
    pass


def _changes(stores: Stores) -> list[tuple[str, str]]:
    with stores.state.read() as connection:
        rows = connection.execute(select(schema.changes).order_by(schema.changes.c.generation))
        return [(row.kind, row.subject) for row in rows]


def _setting(transaction: Transaction, name: str, value: str = "x") -> None:
    transaction.connection.execute(schema.settings.insert(), {"name": name, "value": value})


def _settings(stores: Stores) -> list[str]:
    with stores.state.read() as connection:
        return list(connection.execute(select(schema.settings.c.name).order_by("name")).scalars())


def test_a_write_and_the_names_of_what_it_changed_are_committed_together(stores: Stores) -> None:
    with stores.state.write() as transaction:
        _setting(transaction, "region")
        transaction.touch("kind", "first")
        transaction.touch("kind", "second")

    assert _settings(stores) == ["region"]
    assert _changes(stores) == [("kind", "first"), ("kind", "second")]


def test_a_write_that_is_left_by_an_exception_leaves_nothing(stores: Stores) -> None:
    def write_and_stop() -> None:
        with stores.state.write() as transaction:
            _setting(transaction, "region")
            transaction.touch("kind", "subject")
            raise _Stopped

    with pytest.raises(_Stopped):
        write_and_stop()

    assert _settings(stores) == []
    assert _changes(stores) == []


def test_a_statement_that_fails_undoes_those_before_it_and_says_why(stores: Stores) -> None:
    def write_twice() -> None:
        with stores.state.write() as transaction:
            _setting(transaction, "region")
            _setting(transaction, "region")

    with pytest.raises(StorageError, match=r"(?i)unique") as failure:
        write_twice()

    assert _settings(stores) == []
    assert str(failure.value).startswith("The database failed: ")


def test_neither_an_error_nor_its_traceback_shows_what_was_being_stored(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    value = "Canary".lower()  # Not as a traceback would quote it from this file.
    try:
        with stores.state.write() as transaction:
            _setting(transaction, "region", value)
            _setting(transaction, "region", value)
    except StorageError:
        logging.getLogger("test").exception("failed")

    assert "The database failed" in caplog.text
    assert value not in caplog.text


def test_a_read_sees_one_snapshot_while_others_commit(stores: Stores, open_stores: OpenStores) -> None:
    other = open_stores()
    with stores.state.read() as connection:
        before = connection.execute(select(schema.settings)).all()
        with other.state.write() as transaction:
            _setting(transaction, "region")
        assert connection.execute(select(schema.settings)).all() == before == []

    assert _settings(stores) == ["region"]


def test_a_transaction_that_only_reads_does_not_notice_the_journal_being_written(stores: Stores) -> None:
    with stores.state.read() as connection, stores.journal.write() as transaction:
        transaction.connection.execute(
            schema.log_groups.insert(), {**schema.owner_of(PLACE), "name": "group", "created_ms": 1}
        )
        assert connection.execute(select(schema.settings)).all() == []


def test_writers_of_an_embedded_database_take_turns_instead_of_trying_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever asked SQLite itself for the lock would be refused now.
    monkeypatch.setattr(sqlite, "_BUSY_MILLISECONDS", 0)
    stores = Stores.open(f"sqlite:///{tmp_path}/keyturn.db")
    migrate(stores)

    def write(number: int) -> None:
        for again in range(10):
            with stores.state.write() as transaction:
                _setting(transaction, f"{number}-{again}")

    with ThreadPoolExecutor(8) as writers:
        list(writers.map(write, range(8)))

    assert len(_settings(stores)) == 80
    stores.close()


def test_an_unreachable_database_is_explained_without_its_password() -> None:
    stores = Stores.open("postgresql://keyturn:canary-password@127.0.0.1:1/keyturn")
    with pytest.raises(StorageError) as failure, stores.state.read() as connection:
        connection.execute(text("SELECT 1"))
    stores.close()

    assert failure.value.hints == ("Check that the PostgreSQL server is running and reachable.",)
    assert "canary" not in repr(failure.value)


def test_a_secret_comes_back_with_labels_and_the_versions_that_carry_them(stores: Stores) -> None:
    with stores.state.write() as transaction:
        secret_id = secrets.insert_secret(transaction, PLACE, _ARN, "db", NOW, tags={"b": "2", "a": "1"})
        for version_id in ("old", "new", "unlabelled"):
            secret_versions.insert_version(
                transaction,
                secret_id,
                VersionRecord(version_id, NOW, None, b"sealed", is_binary=False, kms_key_id=None),
            )
        secrets.store_labels(transaction, secret_id, {}, {"AWSCURRENT": "new", "AWSPREVIOUS": "old", "mine": "new"})

    with stores.state.read() as connection:
        loaded = secrets.load_secret(connection, _ARN)
        assert loaded is not None
        assert secrets.arn_of_name(connection, PLACE, "db") == _ARN
        assert secrets.load_secret_by_id(connection, secret_id) == loaded
        assert secrets.load_listed(connection, [secret_id]) == [replace(loaded, versions={})]
        assert {version.version_id for version in secret_versions.load_versions(connection, secret_id)} == {
            "old",
            "new",
            "unlabelled",
        }
    assert loaded.stages_of("new") == ["AWSCURRENT", "mine"]
    assert set(loaded.versions) == {"old", "new"}
    assert loaded.versions["new"].sealed == b"sealed"
    assert loaded.created_at == loaded.last_changed_at == NOW
    assert list(loaded.tags or {}) == ["b", "a"]


def test_a_label_moves_and_an_erased_secret_takes_its_versions_with_it(stores: Stores) -> None:
    with stores.state.write() as transaction:
        secret_id = secrets.insert_secret(transaction, PLACE, _ARN, "db", NOW)
        for version_id in ("old", "new"):
            secret_versions.insert_version(
                transaction, secret_id, VersionRecord(version_id, NOW, None, None, is_binary=False, kms_key_id=None)
            )
        secrets.store_labels(transaction, secret_id, {}, {"AWSCURRENT": "old"})
        secrets.store_labels(transaction, secret_id, {"AWSCURRENT": "old"}, {"AWSCURRENT": "new", "AWSPREVIOUS": "old"})
        loaded = secrets.lock_secret(transaction, _ARN)
        assert loaded is not None
        assert loaded.labels == {"AWSCURRENT": "new", "AWSPREVIOUS": "old"}

    with stores.state.write() as transaction:
        secret_erasure.erase_secret(transaction, loaded)

    with stores.state.read() as connection:
        assert secrets.load_secret(connection, _ARN) is None
        assert secret_versions.load_versions(connection, secret_id) == []
        assert connection.execute(select(schema.staging_labels)).all() == []
    assert _changes(stores)[-2:] == [(secrets.SECRET, _ARN), (secrets.SECRET_NAME, PLACE.partial_secret_arn("db"))]


def test_a_version_is_filled_once(stores: Stores) -> None:
    first = VersionRecord("v", NOW, None, b"first", is_binary=False, kms_key_id="key")
    with stores.state.write() as transaction:
        secret_id = secrets.insert_secret(transaction, PLACE, _ARN, "db", NOW)
        secret_versions.insert_version(
            transaction, secret_id, VersionRecord("v", NOW, None, None, is_binary=False, kms_key_id=None)
        )
        secret_versions.fill_version(transaction, secret_id, first)
        secret_versions.fill_version(
            transaction, secret_id, VersionRecord("v", NOW, None, b"second", is_binary=True, kms_key_id=None)
        )

    with stores.state.read() as connection:
        assert secret_versions.load_versions(connection, secret_id) == [first]


def test_a_server_that_is_halted_in_a_transaction_does_not_keep_the_others_waiting(
    open_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "IDLE_IN_TRANSACTION_MILLISECONDS", 100)
    halted = open_stores()
    if halted.state.dialect.is_embedded:
        pytest.skip("nobody shares the database with it")

    def write_while_halted() -> None:
        with halted.state.write() as transaction:
            _setting(transaction, "of the halted")
            with open_stores().state.write() as other:
                # Waits for the same row until the server has ended the transaction that holds it.
                _setting(other, "of the halted", "of another")

    with pytest.raises(StorageError):
        write_while_halted()

    with halted.state.read() as connection:
        assert connection.execute(select(schema.settings.c.value)).scalars().all() == ["of another"]
