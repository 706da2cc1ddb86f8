from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, Table, inspect, text

from keyturn.errors.base import KeyturnError
from keyturn.storage import schema
from keyturn.storage.database import Database, Stores
from keyturn.storage.migrate import migrate


@pytest.fixture
def unmigrated(empty_database_url: str) -> Iterator[Stores]:
    opened = Stores.open(empty_database_url)
    yield opened
    opened.close()


def _tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def _differences(database: Database, metadata: MetaData, ignored: MetaData) -> list[object]:
    def is_ours(item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        # On PostgreSQL both branches share a database.
        table = name if kind == "table" else getattr(getattr(item, "table", None), "name", None)
        return table not in ignored.tables and not str(table).endswith("_revision")

    with database.read() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": is_ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_migrations_lead_to_the_tables_of_the_schema(stores: Stores) -> None:
    assert _differences(stores.state, schema.state, schema.journal) == []
    assert _differences(stores.journal, schema.journal, schema.state) == []


def test_the_comparison_with_the_schema_notices_a_missing_column(stores: Stores) -> None:
    with stores.state.write() as transaction:
        transaction.connection.execute(text("ALTER TABLE secrets DROP COLUMN description"))

    assert len(_differences(stores.state, schema.state, schema.journal)) == 1


def test_migrating_again_changes_nothing(stores: Stores) -> None:
    before = _tables(stores.state)
    with stores.state.write() as transaction:
        transaction.connection.execute(schema.settings.insert(), {"name": "region", "value": "us-east-1"})

    migrate(stores)

    assert _tables(stores.state) == before
    with stores.state.read() as connection:
        assert connection.execute(schema.settings.select()).all() == [("region", "us-east-1")]


@pytest.mark.parametrize("branch", ["state", "journal"])
def test_a_database_of_a_newer_version_is_refused_and_left_alone(stores: Stores, branch: str) -> None:
    database: Database = getattr(stores, branch)
    with database.write() as transaction:
        transaction.connection.execute(text(f"UPDATE {branch}_revision SET version_num = '{branch}_9999'"))

    with pytest.raises(KeyturnError, match=f"The {branch} database was written by a newer version") as refusal:
        migrate(stores)

    assert refusal.value.hints
    with database.read() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {branch}_revision")).scalar_one() == f"{branch}_9999"


def test_an_interrupted_migration_leaves_nothing_and_can_be_repeated(
    unmigrated: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table = op.create_table

    def die_at_functions(name: str, *columns: object, **options: object) -> Table:
        if name == "functions":
            raise KeyboardInterrupt
        return make_table(name, *columns, **options)  # type: ignore[arg-type]  # passed on as it came

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_table", die_at_functions)
        with pytest.raises(KeyboardInterrupt):
            migrate(unmigrated)
    assert _tables(unmigrated.state) == set()

    migrate(unmigrated)
    assert {"functions", "secrets", "state_revision"} <= _tables(unmigrated.state)


def test_servers_that_start_together_migrate_once(empty_database_url: str) -> None:
    command = (
        "import sys; from keyturn.storage.database import Stores; from keyturn.storage.migrate import migrate;"
        "sys.stdin.readline(); migrate(Stores.open(sys.argv[1]))"
    )
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", command, empty_database_url],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for server in servers:
        assert server.stdin
        server.stdin.write("go\n")
        server.stdin.flush()

    errors = [server.communicate(timeout=60)[1] for server in servers]

    assert [(server.returncode, error) for server, error in zip(servers, errors, strict=True)] == [(0, "")] * 3


@pytest.mark.parametrize("table", ["users", "roles", "functions", "log_groups", "log_streams"])
def test_names_that_are_listed_are_ordered_by_code_point_whatever_the_locale(stores: Stores, table: str) -> None:
    database = stores.journal if table.startswith("log") else stores.state
    (name,) = [column for column in inspect(database.engine).get_columns(table) if column["name"] == "name"]

    # SQLite compares so by itself.
    assert database.dialect.is_embedded or getattr(name["type"], "collation", None) == "C"


def test_an_unknown_kind_of_database_is_refused() -> None:
    with pytest.raises(KeyturnError, match="cannot keep its state in a 'mysql' database") as refusal:
        Stores.open("mysql://somewhere/keyturn")
    assert "postgresql://" in refusal.value.hints[0]
