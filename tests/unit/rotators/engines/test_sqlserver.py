"""What SQL Server logins and users are given, and what a secret may say; no server is needed for that."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from keyturn.rotators.engines import base
from keyturn.rotators.engines.sqlserver import Engine, SqlserverConnection
from keyturn.rotators.engines.tds import driver
from keyturn.rotators.engines.tds.principals import inside, literal, quoted

VALUE = {"engine": "sqlserver", "host": "db", "username": "root", "password": "of root"}
Row = Sequence[Any]


class FakeServer:
    """A catalogue of logins, databases, users and rights; remembers the batches that change something.

    Attributes:
        logins: Default database, server roles and server permissions by name.
        users: Database users by database and login: number, name, default schema, roles, permissions.
        closed: Databases that are not open to the superuser.
    """

    def __init__(self) -> None:
        self.authenticated_by = 0
        self.logins: dict[str, tuple[str, list[str], list[Row]]] = {}
        self.users: dict[tuple[str, str], tuple[int, str, str | None, list[str], list[Row]]] = {}
        self.databases = ["master", "orders", "it's ]x["]
        self.closed: list[str] = []
        self.locked = 0
        self.changes: list[list[str]] = []

    def run(self, batch: str) -> list[list[Any]]:
        return [list(row) for row in self._rows(batch)]

    def _rows(self, batch: str) -> Sequence[Row]:
        if "authenticating_database_id" in batch:
            return [[self.authenticated_by, "orders", "READ_WRITE", 0, 0]]
        if "BEGIN TRANSACTION" in batch:
            self.changes.append(batch.splitlines())
            return []
        if "IsLocked" in batch:
            return [[self.locked]]
        if batch.startswith("SELECT ISNULL"):
            return [["2026-01-01"]]
        if "sys.databases" in batch:
            return [[name, 1] for name in self.databases] + [[name, 0] for name in self.closed]
        if "sys.sql_logins" in batch:
            [name] = re.findall(r"sys.sql_logins AS l WHERE l.name = N'(\w+)'", batch)
            return self._login(name)
        return self._user(batch)

    def _login(self, name: str) -> Sequence[Row]:
        if name not in self.logins:
            return []
        database, roles, rights = self.logins[name]
        return [
            ["login", f"0x{name.encode().hex()}", database, "us_english", 1, 0],
            *(["role", role] for role in roles), *(["right", *right] for right in rights),
        ]  # fmt: skip

    def _user(self, batch: str) -> Sequence[Row]:
        database = next(name for name in self.databases if batch.startswith(f"EXEC {quoted(name)}."))
        if found := re.search(r"u\.sid = 0x(\w+)", batch):
            login = bytes.fromhex(found[1]).decode()
        else:
            [login] = re.findall(r"u\.name = N''(\w+)'' AND u\.authentication_type = 2;", batch)[:1]
            login = f"contained {login}"
        if (database, login) not in self.users:
            return []
        number, name, schema, roles, rights = self.users[database, login]
        return [
            ["user", number, name, schema],
            *(["role", role] for role in roles), *(["right", *right] for right in rights),
        ]  # fmt: skip

    def messages(self) -> list[dict[str, Any]]:
        return []

    def settimeout(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass

    def statements(self) -> list[str]:
        """Return what the last change did, between the checks and the end of its transaction."""
        lines = self.changes[-1]
        first = next(number for number, line in enumerate(lines) if "THROW 50002" in line)
        assert lines[-1] == "COMMIT TRANSACTION;"
        return lines[first + 1 : -1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    fake = FakeServer()
    monkeypatch.setattr(driver, "log_in", lambda *_, **__: fake)
    fake.logins["app"] = ("orders", [], [(100, "SERVER", "G", "CONNECT SQL", None, None, None, None)])
    fake.users["orders", "app"] = (5, "app", "sales", ["db_datareader"], [database_right(0, "CONNECT")])
    return fake


def database_right(
    number: int, permission: str, owner: str | None = None, name: str | None = None, *,
    column: str | None = None, principal: str | None = None, state: str = "G",
) -> Row:  # fmt: skip
    return (number, f"CLASS {number}", state, permission, owner, name, column, principal)


def connection() -> SqlserverConnection:
    engine = Engine()
    return engine.connect(engine.login(VALUE))


def create() -> None:
    connection().create_user_like("app_clone", "app", "new pass'word", lambda: None)


def test_a_second_login_is_made_with_options_database_users_and_their_rights(server: FakeServer) -> None:
    server.logins["app"] = ("orders", ["bulkadmin"], [
        (100, "SERVER", "G", "CONNECT SQL", None, None, None, None),
        (100, "SERVER", "W", "VIEW SERVER STATE", None, None, None, None),
        (101, "SERVER_PRINCIPAL", "G", "IMPERSONATE", None, "batch", None, "S"),
        (101, "SERVER_PRINCIPAL", "G", "ALTER", None, "ops", None, "R"),
        (105, "ENDPOINT", "D", "CONNECT", None, "mirror", None, None),
    ])  # fmt: skip
    server.users["orders", "app"] = (5, "app", "sales", ["db_datareader", "own]role"], [
        database_right(0, "CONNECT"),
        database_right(1, "SELECT", "sales", "items", column="price"),
        database_right(1, "EXECUTE", "sales", "order's", state="W"),
        database_right(3, "INSERT", None, "sales", state="D"),
        database_right(4, "IMPERSONATE", None, "auditor", principal="S"),
        database_right(4, "ALTER", None, "readers", principal="R"),
        database_right(6, "REFERENCES", "sales", "money_type"),
        database_right(25, "CONTROL", None, "signing"),
    ])  # fmt: skip
    server.users["it's ]x[", "app"] = (7, "reporting", None, [], [database_right(0, "CONNECT")])
    create()
    inside_orders = [
        "CREATE USER [app_clone] FOR LOGIN [app_clone] WITH DEFAULT_SCHEMA = [sales];",
        "ALTER ROLE [db_datareader] ADD MEMBER [app_clone];",
        "ALTER ROLE [own]]role] ADD MEMBER [app_clone];",
        "GRANT SELECT ON OBJECT::[sales].[items] ([price]) TO [app_clone];",
        "GRANT EXECUTE ON OBJECT::[sales].[order's] TO [app_clone] WITH GRANT OPTION;",
        "DENY INSERT ON SCHEMA::[sales] TO [app_clone];",
        "GRANT IMPERSONATE ON USER::[auditor] TO [app_clone];",
        "GRANT ALTER ON ROLE::[readers] TO [app_clone];",
        "GRANT REFERENCES ON TYPE::[sales].[money_type] TO [app_clone];",
        "GRANT CONTROL ON CERTIFICATE::[signing] TO [app_clone];",
    ]
    creation = (
        "CREATE LOGIN [app_clone] WITH PASSWORD = N'new pass''word', DEFAULT_DATABASE = [orders],"
        " DEFAULT_LANGUAGE = [us_english], CHECK_EXPIRATION = OFF, CHECK_POLICY = ON;"
    )
    expected = {
        creation,
        "ALTER SERVER ROLE [bulkadmin] ADD MEMBER [app_clone];",
        "GRANT VIEW SERVER STATE TO [app_clone] WITH GRANT OPTION;",
        "GRANT IMPERSONATE ON LOGIN::[batch] TO [app_clone];",
        "GRANT ALTER ON SERVER ROLE::[ops] TO [app_clone];",
        "DENY CONNECT ON ENDPOINT::[mirror] TO [app_clone];",
        *(inside("orders", statement) for statement in inside_orders),
        "EXEC [it's ]]x[].sys.sp_executesql N'CREATE USER [reporting_clone] FOR LOGIN [app_clone];';",
    }
    assert set(server.statements()) == expected
    # The login, then its users, then what they may do.
    assert [line.split("N'")[-1].split()[0] for line in server.statements()[1:3]] == ["CREATE", "CREATE"]
    assert server.changes[-1][0] == "USE [master];"


def test_the_owner_of_a_database_has_a_clone_that_may_do_the_same(server: FakeServer) -> None:
    server.users["orders", "app"] = (1, "dbo", "dbo", ["db_owner"], [])
    create()
    assert server.statements()[1:] == [
        inside("orders", "CREATE USER [app_clone] FOR LOGIN [app_clone] WITH DEFAULT_SCHEMA = [dbo];"),
        inside("orders", "ALTER ROLE [db_owner] ADD MEMBER [app_clone];"),
    ]
    # And the owner takes its turn again.
    server.logins["app_clone"] = server.logins["app"]
    server.users["orders", "app_clone"] = (6, "app_clone", "dbo", ["db_owner"], [database_right(0, "CONNECT")])
    connection().create_user_like("app", "app_clone", "newer", lambda: None)
    assert server.statements() == ["ALTER LOGIN [app] WITH PASSWORD = N'newer';"]


def test_a_second_login_that_exists_gets_what_it_lacks_and_the_password(server: FakeServer) -> None:
    server.logins["app_clone"] = server.logins["app"]
    server.users["orders", "app_clone"] = (6, "other_name", "sales", ["db_datareader"], [database_right(0, "CONNECT")])
    create()
    assert server.statements() == ["ALTER LOGIN [app_clone] WITH PASSWORD = N'new pass''word';"]

    number, name, schema, roles, rights = server.users["orders", "app"]
    granted = database_right(1, "SELECT", "sales", "items", state="W")
    server.users["orders", "app"] = (number, name, schema, [*roles, "db_datawriter"], [*rights, granted])
    server.users["master", "app"] = (7, "app", None, [], [database_right(0, "CONNECT")])
    server.locked = 1
    create()
    assert server.statements() == [
        "ALTER LOGIN [app_clone] WITH PASSWORD = N'new pass''word' UNLOCK;",
        inside("master", "CREATE USER [app_clone] FOR LOGIN [app_clone];"),
        inside("orders", "GRANT SELECT ON OBJECT::[sales].[items] TO [other_name] WITH GRANT OPTION;"),
        inside("orders", "ALTER ROLE [db_datawriter] ADD MEMBER [other_name];"),
    ]


@pytest.mark.parametrize(
    ("roles", "rights", "shown"),
    [
        (["db_owner"], [], "role [db_owner] in orders"),
        ([], [database_right(3, "SELECT", None, "hr")], "SELECT ON SCHEMA::[hr] in orders"),
        ([], [database_right(1, "SELECT", "sales", "items", state="W")], "WITH GRANT OPTION in orders"),
    ],
)
def test_a_second_login_that_may_do_more_is_somebody_elses(
    roles: list[str], rights: list[Row], shown: str, server: FakeServer
) -> None:
    number, name, schema, _, has = server.users["orders", "app"]
    server.users["orders", "app"] = (number, name, schema, [], [*has, database_right(1, "SELECT", "sales", "items")])
    server.logins["app_clone"] = server.logins["app"]
    server.users["orders", "app_clone"] = (6, "app_clone", None, roles, [database_right(0, "CONNECT"), *rights])
    with pytest.raises(base.NotAClone, match=re.escape(shown)):
        create()
    assert server.changes == []


def test_what_is_denied_to_the_second_login_only_is_no_more(server: FakeServer) -> None:
    server.logins["app_clone"] = server.logins["app"]
    rights = [database_right(0, "CONNECT"), database_right(3, "SELECT", None, "hr", state="D")]
    server.users["orders", "app_clone"] = (6, "app_clone", None, ["db_datareader"], rights)
    create()
    assert len(server.statements()) == 1


@pytest.mark.parametrize(
    "right",
    [
        database_right(108, "ALTER"),
        database_right(1, "SELECT", "sales", None),
        database_right(1, "SELECT", "sales", "items", state="R"),
    ],
    ids=["of an unknown class", "on what cannot be seen", "revoked for a column"],
)  # fmt: skip
def test_what_cannot_be_given_alike_is_named_and_nothing_is_done(right: Row, server: FakeServer) -> None:
    number, name, schema, roles, _ = server.users["orders", "app"]
    server.users["orders", "app"] = (number, name, schema, roles, [right])
    with pytest.raises(base.DatabaseError, match=r"on CLASS \d+ in orders cannot be given to a second user alike"):
        create()
    assert server.changes == []


def test_databases_that_are_closed_to_the_superuser_are_named(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.closed = ["rdsadmin"]
    create()
    assert "may not enter" not in caplog.text
    server.closed = ["rdsadmin", "payroll"]
    create()
    assert "The superuser may not enter databases payroll of db: what app may do there is not given to" in caplog.text


def test_a_contained_user_has_a_contained_clone(server: FakeServer) -> None:
    connect = database_right(0, "CONNECT")
    server.users["orders", "contained app"] = (5, "app", "sales", ["db_datareader"], [connect])
    create()
    assert server.statements() == [
        "CREATE USER [app_clone] WITH PASSWORD = N'new pass''word', DEFAULT_SCHEMA = [sales];",
        inside("orders", "ALTER ROLE [db_datareader] ADD MEMBER [app_clone];"),
    ]
    assert not [line for line in server.changes[-1] if line.startswith("USE ")]
    assert "sys.database_principals AS u WHERE u.name = N'app_clone'" in server.changes[-1][5]
    server.users["orders", "contained app_clone"] = server.users["orders", "contained app"]
    server.locked = 1
    create()
    assert server.statements() == ["ALTER USER [app_clone] WITH PASSWORD = N'new pass''word';"]


def test_a_contained_user_changes_its_own_password_where_it_is(server: FakeServer) -> None:
    server.authenticated_by = 7
    connection().set_password("root", "new", lambda: None)
    assert server.statements() == ["ALTER USER [root] WITH PASSWORD = N'new' OLD_PASSWORD = N'of root';"]
    server.authenticated_by = 1
    connection().set_password("root", "new", lambda: None)
    assert server.statements() == ["ALTER LOGIN [root] WITH PASSWORD = N'new' OLD_PASSWORD = N'of root';"]


def test_there_is_no_clone_of_nobody(server: FakeServer) -> None:
    del server.logins["app"]
    with pytest.raises(base.UserMissing, match="there is no login app, or none that this user may see"):
        create()


@pytest.mark.parametrize(
    ("key", "text"),
    [("username", "x" * 129), ("password", "x" * 129), ("dbname", "\U0001f600"), ("username", "DOMAIN\\app")],
)
def test_a_value_that_sql_server_cannot_take_is_refused_before_anything_is_stored(key: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{key} in the secret JSON is") as caught:
        Engine().login({**VALUE, key: text})
    assert text not in str(caught.value)


def test_a_value_without_port_and_dbname_is_for_master() -> None:
    login = Engine().login(VALUE)
    assert (login.addresses, login.dbname) == ((("db", 1433),), "master")


def test_names_of_the_two_users_fit() -> None:
    assert Engine().alternate_username("x" * 122) == "x" * 122 + "_clone"
    with pytest.raises(ValueError, match="would exceed 128 characters"):
        Engine().alternate_username("x" * 123)


def test_texts_and_names_cannot_end_early() -> None:
    assert literal("it's '' [x]") == "N'it''s '''' [x]'"
    assert quoted("a]; DROP LOGIN b; --") == "[a]]; DROP LOGIN b; --]"
    assert inside("a]", "SELECT N'x'") == "EXEC [a]]].sys.sp_executesql N'SELECT N''x''';"
    with pytest.raises(ValueError, match="end of a line"):
        literal("a\\\nb")
