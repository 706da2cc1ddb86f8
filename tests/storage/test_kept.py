from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, select

from keyturn.storage import kept as kept_module
from keyturn.storage import schema
from keyturn.storage.database import Database, StorageError, Stores
from keyturn.storage.kept import KeptRows

from .conftest import OpenStores

_DEADLINE_SECONDS = 20
_KIND = "setting"


def _store(database: Database, name: str, value: str) -> None:
    with database.write() as transaction:
        transaction.connection.execute(schema.settings.delete().where(schema.settings.c.name == name))
        transaction.connection.execute(schema.settings.insert(), {"name": name, "value": value})
        transaction.touch(_KIND, name)


class _Loads:
    """Reads settings and counts how often."""

    def __init__(self, kept: KeptRows) -> None:
        self.kept = kept
        self.loaded: list[str] = []

    def value(self, name: str) -> str | None:
        def load(connection: Connection) -> str | None:
            self.loaded.append(name)
            return connection.execute(
                select(schema.settings.c.value).where(schema.settings.c.name == name)
            ).scalar_one_or_none()

        return self.kept.get(_KIND, name, load)


@pytest.fixture
def kept(stores: Stores) -> KeptRows:
    return KeptRows(stores.state)


@pytest.fixture
def settings(kept: KeptRows) -> _Loads:
    return _Loads(kept)


def test_a_row_is_read_once_while_nothing_changes(stores: Stores, settings: _Loads) -> None:
    _store(stores.state, "a", "1")

    for _ in range(3):
        settings.kept.refresh()
        assert settings.value("a") == "1"

    assert settings.loaded == ["a"]


def test_a_change_drops_the_row_it_names_and_no_other(stores: Stores, settings: _Loads) -> None:
    _store(stores.state, "a", "1")
    _store(stores.state, "b", "1")
    assert (settings.value("a"), settings.value("b")) == ("1", "1")
    settings.kept.refresh()
    settings.loaded.clear()
    assert (settings.value("a"), settings.value("b")) == ("1", "1")
    settings.loaded.clear()

    _store(stores.state, "a", "2")
    settings.kept.refresh()

    assert (settings.value("a"), settings.value("b")) == ("2", "1")
    assert settings.loaded == ["a"]


def test_that_something_is_missing_is_kept_too_until_it_is_there(stores: Stores, settings: _Loads) -> None:
    assert settings.value("a") is None
    assert settings.value("a") is None
    assert settings.loaded == ["a"]

    _store(stores.state, "a", "1")
    settings.kept.refresh()

    assert settings.value("a") == "1"


def test_a_write_that_was_undone_drops_nothing(stores: Stores, settings: _Loads) -> None:
    assert settings.value("a") is None

    def write_and_fail() -> None:
        with stores.state.write() as transaction:
            transaction.touch(_KIND, "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()

    settings.kept.refresh()
    assert settings.value("a") is None
    assert settings.loaded == ["a"]


def test_writes_of_another_server_are_seen(stores: Stores, settings: _Loads, open_stores: OpenStores) -> None:
    other = open_stores()
    for value in ("1", "2", "3"):
        _store(other.state, "a", value)
        settings.kept.refresh()
        assert settings.value("a") == value


def test_writes_of_another_process_are_seen(stores: Stores, settings: _Loads, database_url: str) -> None:
    assert settings.value("a") is None
    command = (
        "import sys; from keyturn.storage.database import Stores; from keyturn.storage import schema\n"
        "stores = Stores.open(sys.argv[1])\n"
        "with stores.state.write() as transaction:\n"
        "    transaction.connection.execute(schema.settings.insert(), {'name': 'a', 'value': 'theirs'})\n"
        f"    transaction.touch({_KIND!r}, 'a')\n"
    )
    subprocess.run([sys.executable, "-c", command, database_url], check=True, timeout=60)

    settings.kept.refresh()

    assert settings.value("a") == "theirs"


def test_a_row_loaded_before_a_commit_that_was_refreshed_is_used_once_and_not_kept(
    stores: Stores, kept: KeptRows, settings: _Loads
) -> None:
    def load_slowly(connection: Connection) -> str | None:
        value = connection.execute(select(schema.settings.c.value)).scalar_one_or_none()
        _store(stores.state, "a", "new")
        kept.refresh()
        return value

    assert kept.get(_KIND, "a", load_slowly) is None
    assert settings.value("a") == "new"


def test_a_row_loaded_before_a_commit_is_dropped_by_the_next_refresh(
    stores: Stores, kept: KeptRows, settings: _Loads
) -> None:
    def load_slowly(connection: Connection) -> str | None:
        value = connection.execute(select(schema.settings.c.value)).scalar_one_or_none()
        _store(stores.state, "a", "new")
        return value

    assert kept.get(_KIND, "a", load_slowly) is None
    kept.refresh()
    assert settings.value("a") == "new"


def _while_changes_are_read(stores: Stores, monkeypatch: pytest.MonkeyPatch, during: Callable[[], None]) -> None:
    """Let ``during`` happen when a refresh has asked whether there is news and not yet read what it is."""
    read = stores.state.read
    waiting = [during]

    def read_later() -> object:
        if waiting:
            waiting.pop()()
        return read()

    monkeypatch.setattr(stores.state, "read", read_later)


def test_a_second_reader_does_not_get_an_old_row_while_the_first_is_still_refreshing(
    stores: Stores, kept: KeptRows, settings: _Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.value("a") is None
    _store(stores.state, "a", "new")
    got: list[str | None] = []

    def read_as_second() -> None:
        kept.refresh()
        got.append(settings.value("a"))

    second = threading.Thread(target=read_as_second)

    def start_second() -> None:
        second.start()
        # It cannot finish before this refresh does; an implementation that lets it through gives it the old row.
        second.join(timeout=0.2)

    _while_changes_are_read(stores, monkeypatch, start_second)
    kept.refresh()
    second.join(_DEADLINE_SECONDS)

    assert got == ["new"]


def test_a_commit_while_changes_are_read_is_seen_by_the_next_refresh(
    stores: Stores, kept: KeptRows, settings: _Loads, open_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_stores()
    assert (settings.value("a"), settings.value("b")) == (None, None)
    _store(stores.state, "a", "1")
    _while_changes_are_read(stores, monkeypatch, lambda: _store(other.state, "b", "1"))

    kept.refresh()
    kept.refresh()

    assert (settings.value("a"), settings.value("b")) == ("1", "1")


def test_a_refresh_that_fails_loses_nothing(
    stores: Stores, kept: KeptRows, settings: _Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.value("a") is None
    _store(stores.state, "a", "1")

    def fail() -> None:
        raise StorageError("The database failed: for a moment.")

    _while_changes_are_read(stores, monkeypatch, fail)
    with pytest.raises(StorageError):
        kept.refresh()
    kept.refresh()

    assert settings.value("a") == "1"


def test_a_reader_behind_the_changes_that_are_kept_drops_everything(
    stores: Stores, kept: KeptRows, settings: _Loads, open_stores: OpenStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "_CHANGES_KEPT", 2)
    assert (settings.value("a"), settings.value("b")) == (None, None)
    _store(stores.state, "a", "1")
    for value in ("1", "2", "3"):
        _store(stores.state, "other", value)
    KeptRows(open_stores().state).trim()
    with stores.state.read() as connection:
        assert len(connection.execute(select(schema.changes)).all()) == 2

    kept.refresh()

    assert (settings.value("a"), settings.value("b")) == ("1", None)
    assert settings.loaded == ["a", "b", "a", "b"]


def test_no_more_rows_are_kept_than_allowed(stores: Stores) -> None:
    settings = _Loads(KeptRows(stores.state, limit=2))

    for name in ("a", "b", "c", "c", "b", "a"):
        settings.value(name)

    assert settings.loaded == ["a", "b", "c", "a"]


def _both(loads: _Loads) -> str:
    """A value that is made of two settings, and kept as a third thing."""

    def load(_connection: Connection) -> tuple[str, list[tuple[str, str]]]:
        loads.loaded.append("both")
        return f"{loads.value('a')} {loads.value('b')}", [(_KIND, "a"), (_KIND, "b")]

    return loads.kept.get_made("made", "both", load)


@pytest.mark.parametrize("name", ["a", "b"])
def test_what_was_made_of_several_rows_is_dropped_with_each_of_them(
    stores: Stores, settings: _Loads, name: str
) -> None:
    _store(stores.state, "a", "1")
    _store(stores.state, "b", "1")
    settings.kept.refresh()
    assert [_both(settings) for _ in range(3)] == ["1 1"] * 3
    assert settings.loaded.count("both") == 1

    # A row that is not kept itself, or not any more, drops it as well.
    for value in ("2", "3"):
        _store(stores.state, name, value)
        settings.kept.refresh()
        assert _both(settings) == {"a": f"{value} 1", "b": f"1 {value}"}[name]
    assert settings.loaded.count("both") == 3


def test_what_was_made_of_rows_is_dropped_when_it_changes_itself_and_by_nothing_else(
    stores: Stores, settings: _Loads
) -> None:
    _both(settings)
    settings.kept.refresh()

    _store(stores.state, "c", "1")
    settings.kept.refresh()
    _both(settings)
    assert settings.loaded.count("both") == 1

    with stores.state.write() as transaction:
        transaction.touch("made", "both")
    settings.kept.refresh()
    _both(settings)
    assert settings.loaded.count("both") == 2


def test_what_was_made_of_other_rows_the_next_time_depends_on_those_alone(stores: Stores, kept: KeptRows) -> None:
    loads: list[str] = []

    def made_of(name: str) -> str:
        def load(_connection: Connection) -> tuple[str, list[tuple[str, str]]]:
            loads.append(name)
            return name, [(_KIND, name)]

        kept.refresh()
        return kept.get_made("made", "one", load)

    assert made_of("a") == "a"
    _store(stores.state, "a", "1")
    assert made_of("b") == "b"
    _store(stores.state, "a", "2")
    assert made_of("c") == "b"
    _store(stores.state, "b", "1")
    assert made_of("c") == "c"
    assert loads == ["a", "b", "c"]


def test_what_two_readers_made_at_once_depends_on_what_the_second_has_read(stores: Stores, kept: KeptRows) -> None:
    def second(_connection: Connection) -> tuple[str, list[tuple[str, str]]]:
        return "second", [(_KIND, "b")]

    def first(_connection: Connection) -> tuple[str, list[tuple[str, str]]]:
        kept.get_made("made", "one", second)
        return "first", [(_KIND, "a")]

    assert kept.get_made("made", "one", first) == "first"
    _store(stores.state, "b", "1")
    kept.refresh()
    assert kept.get_made("made", "one", second) == "first"
    _store(stores.state, "a", "1")
    kept.refresh()
    assert kept.get_made("made", "one", second) == "second"


def test_a_value_whose_rows_were_forgotten_for_want_of_room_is_still_dropped_with_them(stores: Stores) -> None:
    settings = _Loads(KeptRows(stores.state, limit=2))
    _both(settings)
    for name in ("a", "b"):
        settings.value(name)
    _both(settings)
    settings.loaded.clear()

    _store(stores.state, "a", "2")
    settings.kept.refresh()

    assert _both(settings) == "2 None"


def test_readers_never_see_less_than_what_was_acknowledged_before_they_asked(
    stores: Stores, kept: KeptRows, open_stores: OpenStores
) -> None:
    other, settings = open_stores(), _Loads(kept)
    _store(other.state, "a", "0")
    acknowledged = 0
    ended = threading.Event()
    stale: list[tuple[int, int]] = []

    def read() -> None:
        while not ended.is_set():
            at_least = acknowledged
            kept.refresh()
            got = int(settings.value("a") or -1)
            if got < at_least:
                stale.append((at_least, got))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 101):
            _store(other.state, "a", str(number))
            acknowledged = number
    finally:
        ended.set()
        for reader in readers:
            reader.join(_DEADLINE_SECONDS)

    assert stale == []
