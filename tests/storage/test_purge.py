"""What is erased leaves the database's files, not only its tables."""

from __future__ import annotations

import random
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from keyturn.storage import secret_versions, secrets
from keyturn.storage.database import StorageError, Stores, Transaction
from keyturn.storage.erased import Erased
from keyturn.storage.secret_versions import VersionRecord
from keyturn.storage.secrets import Access
from keyturn.storage.sqlite_file import SqliteFile
from keyturn.testing.postgresql import PostgresqlServer
from keyturn.testing.sqlite import new_database

from .conftest import NOW, PLACE
from .files import state_files

_PAGE_BYTES = 4096


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Stores]:
    """SQLite only: the test is about its file."""
    directory = tmp_path / "data"
    directory.mkdir()
    stores = Stores.open(new_database(directory))
    yield stores
    stores.close()


class Life:
    """Versions that are stored and removed as operations do it, in an order that chance decides."""

    def __init__(self, stores: Stores, seed: int = 0) -> None:
        self.stores = stores
        self.random = random.Random(seed)
        self.living: dict[tuple[int, str], bytes] = {}
        self.removed: list[bytes] = []
        self._number = 0

    def live(self, turns: int) -> None:
        with self.stores.state.write() as transaction:
            for _ in range(turns):
                chance = self.random.random()
                if chance < 0.5 or not self.living:
                    self._store(transaction, filled_later=chance < 0.15)
                elif chance < 0.65:
                    secret_id, version_id = self.random.choice(list(self.living))
                    secrets.record_accesses(transaction, [Access(secret_id, "arn", version_id, NOW, NOW)])
                else:
                    place = self.random.choice(list(self.living))
                    secret_versions.delete_versions(transaction, place[0], [place[1]])
                    self.removed.append(self.living.pop(place))

    def _store(self, transaction: Transaction, *, filled_later: bool) -> None:
        self._number += 1
        name = f"n{self._number}"
        secret_id = secrets.insert_secret(transaction, PLACE, PLACE.secret_arn(name, "AbCdEf"), name, NOW)
        version_id = str(uuid.UUID(int=self.random.getrandbits(128)))
        sealed = self.random.randbytes(self.random.choice([150, 200, 300, 600, 2000, 9000]))
        version = VersionRecord(version_id, NOW, None, sealed, is_binary=False, kms_key_id=None)
        if filled_later:
            empty = VersionRecord(version_id, NOW, None, None, is_binary=False, kms_key_id=None)
            secret_versions.insert_version(transaction, secret_id, empty)
            self._store(transaction, filled_later=False)
            secret_versions.fill_version(transaction, secret_id, version)
        else:
            secret_versions.insert_version(transaction, secret_id, version)
        self.living[secret_id, version_id] = sealed


def _pieces_found(removed: list[bytes], files: bytes) -> list[bytes]:
    """Pieces of removed values that are there still, wherever in the files, whatever a purge looks for."""
    return [
        value[start : start + 32]
        for value in removed
        for start in range(48, len(value) - 32, max(48, len(value) // 6))
        if value[start : start + 32] in files
    ]


def test_nothing_of_removed_versions_is_left_in_the_files_of_a_database_that_has_lived(sqlite: Stores) -> None:
    life = Life(sqlite)
    for _ in range(3):
        for _ in range(30):
            life.live(20)
        assert sqlite.state.purge()

        files = state_files(sqlite, None)
        assert _pieces_found(life.removed, files) == []
    assert len(life.removed) > 300
    assert all(value[48:112] in files for value in life.living.values())


def test_removed_versions_are_given_up(stores: Stores, server: PostgresqlServer | None) -> None:
    life = Life(stores)
    life.live(30)
    with stores.state.write() as transaction:
        for secret_id, version_id in life.living:
            secret_versions.delete_versions(transaction, secret_id, [version_id])
    values = [*life.removed, *life.living.values()]
    assert _pieces_found(values, state_files(stores, server))

    assert stores.state.purge()

    assert _pieces_found(values, state_files(stores, server)) == []


def test_a_copy_in_unused_space_is_found_and_the_file_rewritten(sqlite: Stores, tmp_path: Path) -> None:
    life = Life(sqlite)
    life.live(40)
    place, sealed = next((place, value) for place, value in life.living.items() if len(value) == 300)
    sqlite.close()
    path = Path(str(sqlite.state.engine.url.database))
    _leave_behind(path, sealed[100:200])
    reopened = Stores.open(f"sqlite:///{path}")

    with reopened.state.write() as transaction:
        secret_versions.delete_versions(transaction, place[0], [place[1]])
    assert reopened.state.purge()

    assert sealed[100:200] not in state_files(reopened, None)
    reopened.close()


def _leave_behind(path: Path, piece: bytes) -> None:
    """Put bytes into unused space of a page, where SQLite leaves some when it moves rows."""
    content = bytearray(path.read_bytes())
    for page in range(_PAGE_BYTES, len(content), _PAGE_BYTES):
        cells = int.from_bytes(content[page + 3 : page + 5], "big")
        start, end = page + 8 + 2 * cells, page + int.from_bytes(content[page + 5 : page + 7], "big")
        if content[page] == 0x0D and cells and end - start > len(piece) + 8:
            content[start + 4 : start + 4 + len(piece)] = piece
            path.write_bytes(content)
            return
    raise AssertionError("no page has unused space")


def test_what_an_interrupted_server_has_erased_is_purged_by_the_next_that_knows_nothing_of_it(
    sqlite: Stores, tmp_path: Path
) -> None:
    life = Life(sqlite)
    life.live(60)
    life.live(60)
    # As it is on the disk when the server is killed now.
    copy = tmp_path / "killed"
    shutil.copytree(Path(str(sqlite.state.engine.url.database)).parent, copy)
    assert _pieces_found(life.removed, (copy / "keyturn.db-wal").read_bytes())

    next_server = Stores.open(f"sqlite:///{copy}/keyturn.db")
    assert next_server.state.purge()

    assert _pieces_found(life.removed, state_files(next_server, None)) == []
    next_server.close()


def test_a_reader_holds_a_purge_up_and_no_longer_than_it_reads(sqlite: Stores) -> None:
    life = Life(sqlite)
    life.live(40)
    with sqlite.state.read() as connection:
        connection.execute(text("SELECT * FROM secrets")).fetchall()
        life.live(40)
        assert not sqlite.state.purge()
        # Nor are writers shut out by it.
        life.live(1)

    assert sqlite.state.purge()
    assert _pieces_found(life.removed, state_files(sqlite, None)) == []


def test_a_purge_without_anything_erased_touches_nothing(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    stores.state.purge()

    def fail(_: object) -> bool:
        raise AssertionError

    monkeypatch.setattr(stores.state, "_purge", fail)
    Life(stores, seed=3).live(1)

    assert stores.state.purge()


def test_a_purge_that_fails_is_not_forgotten(sqlite: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(sqlite)
    life.live(40)

    def fail(_self: SqliteFile, _erased: object) -> bool:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteFile, "holds", fail)
        with pytest.raises(StorageError, match="Input/output error"):
            sqlite.state.purge()

    is_due, pieces = sqlite.state._erased.take()
    assert is_due
    assert len(pieces or ()) == len(life.removed)


def test_a_rolled_back_transaction_has_erased_nothing(stores: Stores) -> None:
    stores.state.purge()
    life = Life(stores)
    life.live(1)
    ((secret_id, version_id),) = life.living

    def remove_and_stop() -> None:
        with stores.state.write() as transaction:
            secret_versions.delete_versions(transaction, secret_id, [version_id])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        remove_and_stop()

    assert stores.state._erased.take() == (False, [])


def test_too_much_to_remember_means_that_everything_is_suspected() -> None:
    erased = Erased(is_known=True)
    erased.add([b"a"])
    assert erased.take() == (True, [b"a"])
    erased.add([b"a"] * 10_001)
    erased.add([b"b"])
    assert erased.take() == (True, None)
    assert erased.take() == (False, [])

    erased.add([b"b"])
    erased.put_back([b"a"])
    assert erased.take() == (True, [b"a", b"b"])
    erased.put_back(None)
    assert erased.take() == (True, None)
    assert Erased(is_known=False).take() == (True, None)


def test_pages_of_every_size_are_read_and_an_empty_file_has_none(tmp_path: Path) -> None:
    for page_bytes in (512, 4096, 65536):
        path = tmp_path / f"{page_bytes}.db"
        with sqlite3.connect(path, isolation_level=None) as connection:
            connection.execute(f"PRAGMA page_size={page_bytes}")
            connection.execute("CREATE TABLE one (value BLOB)")
            connection.execute("INSERT INTO one VALUES (zeroblob(8))")
        connection.close()
        content = bytearray(path.read_bytes())
        assert len(content) == 2 * page_bytes
        content[page_bytes + 20 : page_bytes + 120] = bytes(range(100, 200))
        file = SqliteFile(str(path))
        assert not file.holds([bytes(range(100, 200))])
        path.write_bytes(content)
        assert file.holds([bytes(range(100, 200))])
        assert not file.holds([bytes(range(200, 250)), b"", b"short"])
        file.close()
