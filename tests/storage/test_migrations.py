from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, inspect, text

from keyturn.arn import Place
from keyturn.errors.base import KeyturnError
from keyturn.rules.kms_keys import DEFAULT_ALIAS, DEFAULT_DESCRIPTION, managed_key_policy
from keyturn.storage import (
    access_keys,
    accounts,
    audit_lookup,
    function_logs,
    functions,
    inline_policies,
    kms_keys,
    roles,
    rotations,
    schema,
    secrets,
)
from keyturn.storage.database import Database, Stores
from keyturn.storage.migrate import _MIGRATIONS, migrate, revisions


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


@pytest.mark.parametrize("branch", ["state", "journal"])
def test_the_names_of_the_files_are_the_revisions_in_their_order(branch: str) -> None:
    walked = ScriptDirectory(str(_MIGRATIONS)).iterate_revisions(f"{branch}@head", "base")

    assert revisions(branch) == [script.revision for script in walked][::-1]


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


# A database of the first version: one account, one region, neither of them in a column.
_FIRST_VERSION = """
INSERT INTO settings VALUES ('account_id', '000000000000'), ('region', 'eu-west-1'), ('partition', 'aws');
INSERT INTO users (name, unique_id, path, arn, created_at) VALUES ('ada', 'AIDA', '/', 'arn:user/ada', 5);
INSERT INTO roles (name, unique_id, path, arn, created_at, trust_policy, max_session_seconds)
  VALUES ('rotate', 'AROA', '/', 'arn:role/rotate', 5, '{}', 3600);
INSERT INTO access_keys VALUES ('AKIA', 'ada', 'sealed', TRUE, 5);
INSERT INTO inline_policies VALUES ('arn:user/ada', 'all', '{}');
INSERT INTO packages VALUES ('sha', 'zip');
INSERT INTO functions (name, arn, runtime, handler, role_arn, description, timeout_seconds, memory_mb,
  ephemeral_storage_mb, code_sha256, code_size_bytes, revision_id, last_modified_at)
  VALUES ('rotate', 'arn:function:rotate', 'python3.11', 'h', 'r', '', 3, 128, 512, 'sha', 3, 'one', 5);
INSERT INTO function_statements VALUES ('rotate', '', 'allow', 1, '{}');
INSERT INTO secrets (secret_id, arn, name, created_at, last_changed_at) VALUES (7, 'arn:db', 'db', 5, 6);
INSERT INTO secret_versions (secret_id, version_id, created_at, sealed, is_binary) VALUES (7, 'v', 5, 'sealed', FALSE);
INSERT INTO staging_labels VALUES (7, 'AWSCURRENT', 'v');
INSERT INTO rotations (rotation_id, secret_id, version_id, kind, status, step, attempt, requested_at, due_at,
  lease_generation) VALUES (3, 7, 'v', 'rotation', 'succeeded', 'finishSecret', 1, 5, 5, 1);
INSERT INTO rotation_steps (rotation_id, position, attempt, step, request_id, started_at)
  VALUES (3, 1, 1, 'createSecret', 'r', 5);
"""
_FIRST_JOURNAL = """
INSERT INTO audit_events (event_id, event_time, event_source, event_name, read_only, request_id, event)
  VALUES ('e', 5, 's', 'n', TRUE, 'r', '{}');
INSERT INTO log_groups (group_id, name, created_ms) VALUES (2, '/aws/lambda/rotate', 5);
INSERT INTO log_streams (stream_id, group_id, name, created_ms) VALUES (4, 2, 'stream', 5);
INSERT INTO log_events (stream_id, group_id, timestamp_ms, ingested_ms, message) VALUES (4, 2, 5, 5, 'line');
"""


def _fill(database: Database, statements: str) -> None:
    with database.write() as transaction:
        for statement in filter(str.strip, statements.split(";")):
            transaction.connection.execute(text(statement))


def test_what_was_there_before_there_were_accounts_belongs_to_the_first(unmigrated: Stores) -> None:
    migrate(unmigrated, state="state_0001", journal="journal_0001")
    _fill(unmigrated.state, _FIRST_VERSION)
    _fill(unmigrated.journal, _FIRST_JOURNAL)

    migrate(unmigrated)

    owner, place = "000000000000", Place("aws", "eu-west-1", "000000000000")
    with unmigrated.state.read() as connection:
        assert [account.account_id for account in accounts.list_accounts(connection)] == [owner]
        (key,) = access_keys.list_access_keys(connection, "arn:user/ada")
        assert (key.access_key_id, key.user.account_id) == ("AKIA", owner)
        assert roles.load_role(connection, owner, "rotate") == roles.load_role_by_arn(connection, "arn:role/rotate")
        assert inline_policies.load_inline_policies(connection, "arn:user/ada") == {"all": "{}"}
        (function,) = functions.list_functions(connection, place)
        assert list(functions.load_statements(connection, function.arn)) == [""]
        arn = secrets.arn_of_name(connection, place, "db")
        secret = secrets.load_secret(connection, arn or "")
        assert secret is not None
        assert (secret.secret_id, secret.labels, secret.account_id) == (7, {"AWSCURRENT": "v"}, owner)
        assert secret.versions["v"].sealed
        assert [rotation.rotation_id for rotation in rotations.load_history(connection, 7)] == [3]
        assert len(rotations.load_steps(connection, 3)) == 1
    with unmigrated.journal.read() as connection:
        (event,) = audit_lookup.lookup(connection, audit_lookup.Question(place), 9)
        assert (event.sequence, event.link, event.record.event_id) == (1, None, "e")
        stream = function_logs.load_stream(connection, place, "/aws/lambda/rotate", "stream")
        assert stream is not None
        assert stream.stream_id == 4
        assert connection.execute(schema.log_events.select()).one().message == "line"
    # What refers to a rebuilt table still goes with its row.
    with unmigrated.state.write() as transaction:
        transaction.connection.execute(text("DELETE FROM secrets"))
        transaction.connection.execute(text("DELETE FROM users"))
        transaction.connection.execute(text("DELETE FROM functions"))
        for table in ("secret_versions", "staging_labels", "rotation_steps", "access_keys", "function_statements"):
            assert transaction.connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0


@pytest.mark.parametrize("region", ["eu-west-1", None], ids=["a server for one region", "a server for all"])
def test_the_two_keys_there_were_become_the_default_key_and_keyturns_own(
    unmigrated: Stores, region: str | None
) -> None:
    migrate(unmigrated, state="state_0002")
    if region is None:
        region = "us-east-1"
        _fill(unmigrated.state, "INSERT INTO settings VALUES ('account_id', '000000000000'), ('partition', 'aws')")
    else:
        settings = f"('account_id', '000000000000'), ('region', '{region}'), ('partition', 'aws')"
        _fill(unmigrated.state, f"INSERT INTO settings VALUES {settings}")
    with unmigrated.state.write() as transaction:
        insert = text("INSERT INTO kms_keys (key_id, alias, wrapped, created_at) VALUES (:id, :alias, :wrapped, 5)")
        for key_id, alias in (("one", "alias/aws/secretsmanager"), ("two", "alias/keyturn/system")):
            wrapped = f"wrapped {key_id}".encode()
            transaction.connection.execute(insert, {"id": key_id, "alias": alias, "wrapped": wrapped})

    migrate(unmigrated)

    place = Place("aws", region, "000000000000")
    with unmigrated.state.read() as connection:
        (default,) = kms_keys.list_keys(connection, place)
        own = kms_keys.load_system_key(connection)
        (name,) = kms_keys.list_aliases(connection, place)
        materials = kms_keys.load_materials(connection)
    assert own is not None
    assert (own.key_id, own.aliases, own.next_rotation_at) == ("two", (), None)
    assert (default.key_id, default.manager.value, default.material_number) == ("one", "AWS", 0)
    # As AWS rotates the keys of its services: a year after the one before.
    assert (default.rotation_period_days, default.next_rotation_at) == (365, default.created_at + timedelta(days=365))
    assert {(each.key_id, each.number, each.wrapped, each.rotated_at) for each in materials} == {
        ("one", 0, b"wrapped one", None),
        ("two", 0, b"wrapped two", None),
    }
    assert default.arn == place.kms_key_arn("one")
    assert json.loads(default.policy) == json.loads(managed_key_policy(place))
    assert default.description == DEFAULT_DESCRIPTION
    assert (name.alias, name.arn, name.key_id) == (DEFAULT_ALIAS, place.kms_alias_arn(DEFAULT_ALIAS), "one")


_BEFORE_FAILED = """
INSERT INTO secrets (secret_id, account_id, region, arn, name, created_at, last_changed_at, rotation_enabled) VALUES
  (1, 'a', 'r', 'arn:well', 'well', 5, 5, TRUE), (2, 'a', 'r', 'arn:failed', 'failed', 5, 5, TRUE),
  (3, 'a', 'r', 'arn:mended', 'mended', 5, 5, TRUE), (4, 'a', 'r', 'arn:parked', 'parked', 5, 5, TRUE),
  (5, 'a', 'r', 'arn:begun', 'begun', 5, 5, TRUE), (6, 'a', 'r', 'arn:tested', 'tested', 5, 5, TRUE);
INSERT INTO rotations (rotation_id, secret_id, kind, status, cause, version_id, step, attempt, requested_at, due_at,
  lease_generation) VALUES
  (11, 1, 'rotation', 'succeeded', 'timeout', 'v', 's', 1, 5, 5, 1),
  (21, 2, 'rotation', 'failed', 'timeout', 'v', 's', 5, 5, 5, 1),
  (22, 2, 'rotation', 'failed', 'timeout', 'w', 's', 5, 5, 5, 1),
  (23, 2, 'rotation', 'cancelled', NULL, 'x', 's', 1, 5, 5, 1),
  (31, 3, 'rotation', 'failed', 'timeout', 'v', 's', 5, 5, 5, 1),
  (32, 3, 'rotation', 'succeeded', NULL, 'w', 's', 1, 5, 5, 1),
  (41, 4, 'rotation', 'succeeded', NULL, 'v', 's', 1, 5, 5, 1),
  (42, 4, 'rotation', 'parked', 'timeout', 'w', 's', 5, 5, 5, 1),
  (51, 5, 'rotation', 'pending', NULL, 'v', 's', 1, 5, 5, 1),
  (61, 6, 'test', 'failed', 'timeout', 'v', 's', 1, 5, 5, 1)
"""


def test_what_has_failed_before_it_was_kept_is_known_from_the_history(unmigrated: Stores) -> None:
    migrate(unmigrated, state="state_0018")
    _fill(unmigrated.state, _BEFORE_FAILED)

    migrate(unmigrated)

    with unmigrated.state.read() as connection:
        rows = connection.execute(text("SELECT name, failed_rotation_id FROM secrets WHERE failed_rotation_id > 0"))
        assert {row.name: row.failed_rotation_id for row in rows} == {"failed": 22, "parked": 42}


def test_an_empty_database_has_no_keys_after_its_migration(stores: Stores) -> None:
    with stores.state.read() as connection:
        assert kms_keys.load_materials(connection) == []


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


@pytest.mark.parametrize(
    "table", ["secrets", "users", "roles", "groups", "managed_policies", "functions", "log_groups", "log_streams"]
)
def test_names_that_are_listed_are_ordered_by_code_point_whatever_the_locale(stores: Stores, table: str) -> None:
    database = stores.journal if table.startswith("log") else stores.state
    (name,) = [column for column in inspect(database.engine).get_columns(table) if column["name"] == "name"]

    # SQLite compares so by itself.
    assert database.dialect.is_embedded or getattr(name["type"], "collation", None) == "C"


def test_an_unknown_kind_of_database_is_refused() -> None:
    with pytest.raises(KeyturnError, match="cannot keep its state in a 'mysql' database") as refusal:
        Stores.open("mysql://somewhere/keyturn")
    assert "postgresql://" in refusal.value.hints[0]
