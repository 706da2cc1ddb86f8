"""What the MySQL engine says to its server, at the driver's edge: no MySQL server is at hand to say it to."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pymysql.err
import pytest

from keyturn.rotators.engines import base
from keyturn.rotators.engines.mysql import Engine, MysqlConnection
from keyturn.rotators.engines.mysql_family import driver

VALUE = {"engine": "mysql", "host": "db", "username": "app", "password": "current pass'word"}
DEFINITION = (
    "CREATE USER `{}`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '<secret>' REQUIRE NONE PASSWORD EXPIRE DEFAULT"
    " ACCOUNT UNLOCK PASSWORD HISTORY DEFAULT"
)
Answer = list[list[Any]] | Exception


class FakeDriver:
    """Answers statements by the first pattern that they match, and remembers them."""

    def __init__(self, version: str = "8.0.36") -> None:
        self.statements: list[str] = []
        self.answers: list[tuple[str, Answer]] = [
            (r"SELECT CURRENT_USER\(\)", [["app@%", "app@10.1.2.3", version]]),
            ("SELECT @@version_comment", [["MySQL Community Server - GPL"]]),
            ("SHOW GLOBAL VARIABLES", [["read_only", "OFF"], ["super_read_only", "OFF"], ["innodb_read_only", "OFF"]]),
            ("SHOW CREATE USER", [[DEFINITION.format("app")]]),
            ("SELECT GET_LOCK", [[1]]),
        ]

    def query(self, statement: str) -> None:
        self.statements.append(statement)
        answer = next((answer for pattern, answer in self.answers if re.match(pattern, statement)), [])
        if isinstance(answer, Exception):
            raise answer
        self._result = SimpleNamespace(rows=answer)

    def first(self, pattern: str, answer: Answer) -> None:
        self.answers.insert(0, (pattern, answer))

    def changes(self) -> list[str]:
        return [each for each in self.statements if not re.match("SELECT|SHOW|SET SESSION", each)]

    def close(self) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake = FakeDriver()
    monkeypatch.setattr(driver, "log_in", lambda *_, **__: fake)
    monkeypatch.setattr(driver, "is_encrypted", lambda _: True)
    return fake


@pytest.fixture
def connect(server: FakeDriver) -> Callable[..., MysqlConnection]:
    def connect(**more: object) -> MysqlConnection:
        engine = Engine()
        return engine.connect(engine.login({**VALUE, **more}))

    return connect


def superuser(server: FakeDriver, *, clone: bool) -> None:
    """Make the session a superuser's, of a server that has app, and its clone or not."""
    server.first(r"SELECT CURRENT_USER\(\)", [["root@%", "root@10.1.2.3", "8.0.36"]])
    server.first("SELECT Host FROM mysql.user WHERE User = 'app'", [["%"]])
    server.first("SELECT Host FROM mysql.user WHERE User = 'app_clone'", [["%"]] if clone else [])


def refuse() -> None:
    raise ValueError("not any more")


def test_a_user_changes_its_own_account_and_nothing_else(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    connect().set_password("app", "new pass\\'word", lambda: None)
    assert server.changes() == ["ALTER USER 'app'@'%' IDENTIFIED BY 'new pass\\\\''word'"]
    [settings] = [each for each in server.statements if each.startswith("SET SESSION")]
    assert settings == (
        "SET SESSION sql_mode = '', sql_quote_show_create = 1, wait_timeout = 10, lock_wait_timeout = 10,"
        " print_identified_with_as_hex = 1"
    )


def test_the_password_is_confirmed_between_the_lock_and_the_change(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    with pytest.raises(ValueError, match="not any more"):
        connect().set_password("app", "new", refuse)
    assert server.changes() == []
    assert server.statements[-2].startswith("SELECT GET_LOCK('keyturn:")
    assert server.statements[-1].startswith("SELECT RELEASE_LOCK('keyturn:")
    # MySQL takes names of up to 64 characters.
    assert len(server.statements[-2].split("'")[1]) <= 64


def test_a_lock_that_another_rotation_holds_leaves_everything_as_it_is(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    server.first("SELECT GET_LOCK", [[0]])
    with pytest.raises(base.NotReady, match="another rotation of user app"):
        connect().set_password("app", "new", lambda: None)
    assert server.changes() == []


@pytest.mark.parametrize(
    ("version", "granted", "keeps"),
    [
        ("8.0.36", True, True), ("8.0.14", True, True), ("8.0.13", True, False), ("8.0.36", False, False),
        ("5.7.44", True, False), ("8.4.0", True, True), ("9.1.0-commercial", True, True),
    ],
)  # fmt: skip
def test_the_current_password_is_kept_where_server_and_grant_allow_it(
    server: FakeDriver, connect: Callable[..., MysqlConnection], version: str, granted: bool, keeps: bool
) -> None:
    server.first(r"SELECT CURRENT_USER\(\)", [["app@%", "app@10.1.2.3", version]])
    server.first("SELECT 1 FROM information_schema.user_privileges", [[1]] if granted else [])
    connect().set_password("app", "new", lambda: None)
    kept = " RETAIN CURRENT PASSWORD" if keeps else ""
    assert server.changes() == [f"ALTER USER 'app'@'%' IDENTIFIED BY 'new'{kept}"]
    if version.startswith("8.0.36"):
        assert "AND grantee = '''app''@''%'''" in server.statements[-3]


def test_an_account_that_must_name_its_current_password_does_so(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    error = pymysql.err.OperationalError(3892, "Current password needs to be specified in the REPLACE clause")
    server.first("ALTER USER 'app'@'%' IDENTIFIED BY 'new'$", error)
    connect().set_password("app", "new", lambda: None)
    assert server.changes()[1:] == ["ALTER USER 'app'@'%' IDENTIFIED BY 'new' REPLACE 'current pass''word'"]


@pytest.mark.parametrize(("ssl", "kind"), [(False, base.TlsRequired), (None, base.TlsFailed)])
def test_without_tls_a_password_in_clear_is_refused_before_anything_is_changed(
    server: FakeDriver, connect: Callable[..., MysqlConnection], monkeypatch: pytest.MonkeyPatch,
    ssl: bool | None, kind: type[base.DatabaseError],
) -> None:  # fmt: skip
    monkeypatch.setattr(driver, "is_encrypted", lambda _: False)
    with pytest.raises(kind, match="in clear only, hence over TLS only"):
        connect(ssl=ssl).set_password("app", "new", lambda: None)
    assert server.changes() == []


def test_a_way_to_log_in_that_keeps_no_password_is_refused(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    server.first("SHOW CREATE USER", [["CREATE USER `app`@`%` IDENTIFIED WITH 'AWSAuthenticationPlugin' AS 'RDS'"]])
    with pytest.raises(base.AuthenticationMethodRefused, match="logs in by AWSAuthenticationPlugin"):
        connect().set_password("app", "new", lambda: None)
    assert server.changes() == []


def test_a_second_user_is_made_whole_before_it_gets_its_password(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    superuser(server, clone=False)
    server.first("SHOW CREATE USER", [[DEFINITION.format("app").replace(" REQUIRE", " DEFAULT ROLE `r`@`%` REQUIRE")]])
    server.first(
        "SHOW GRANTS FOR 'app'@'%'",
        [
            ["GRANT USAGE ON *.* TO `app`@`%`"],
            ["GRANT SELECT (`a`) ON `shop`.`t` TO `app`@`%`"],
            ["GRANT `r`@`%` TO `app`@`%`"],
        ],
    )
    connect(username="root").create_user_like("app_clone", "app", "marked", lambda: None)
    create, *grants, role, password = server.changes()
    form = r"'\$A\$005\$[./0-9A-Za-z]{63}'"
    options = "REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK PASSWORD HISTORY DEFAULT"
    assert re.fullmatch(
        f"CREATE USER 'app_clone'@'%' IDENTIFIED WITH caching_sha2_password AS {form} {options}", create
    )
    assert grants == ["GRANT SELECT (`a`) ON `shop`.`t` TO 'app_clone'@'%'", "GRANT `r`@`%` TO 'app_clone'@'%'"]
    assert role == "ALTER USER 'app_clone'@'%' DEFAULT ROLE `r`@`%`"
    assert re.fullmatch(f"ALTER USER 'app_clone'@'%' IDENTIFIED WITH caching_sha2_password AS {form}", password)
    assert password.split(" AS ")[1] not in create
    # Of other users' passwords the server sees the stored form only.
    assert "marked" not in str(server.statements)


def test_a_second_user_that_cannot_be_made_whole_is_taken_away_again(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    superuser(server, clone=False)
    server.first("SHOW GRANTS", [["GRANT SELECT ON `shop`.* TO `app`@`%`"]])
    server.first("GRANT", pymysql.err.OperationalError(1044, "Access denied for user 'root'@'%' to database 'shop'"))
    with pytest.raises(base.MissingGrant):
        connect(username="root").create_user_like("app_clone", "app", "new", lambda: None)
    assert server.changes()[-1] == "DROP USER 'app_clone'@'%'"


def test_a_second_user_that_is_there_gets_its_password_only(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    superuser(server, clone=True)
    connect(username="root").create_user_like("app_clone", "app", "new", lambda: None)
    [password] = server.changes()
    assert password.startswith("ALTER USER 'app_clone'@'%' IDENTIFIED WITH caching_sha2_password AS '$A$005$")


def test_a_new_default_role_of_the_first_user_is_given_to_the_second(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    superuser(server, clone=True)
    with_role = DEFINITION.format("app").replace(" REQUIRE", " DEFAULT ROLE `r`@`%` REQUIRE")
    server.first("SHOW CREATE USER 'app'@", [[with_role]])
    connect(username="root").create_user_like("app_clone", "app", "new", lambda: None)
    assert server.changes()[0] == "ALTER USER 'app_clone'@'%' DEFAULT ROLE `r`@`%`"


@pytest.mark.parametrize(
    ("pattern", "answer", "kind"),
    [
        ("SHOW GLOBAL VARIABLES", [["innodb_read_only", "ON"]], base.ReadOnlyReplica),
        ("SHOW GLOBAL VARIABLES", [["read_only", "ON"]], base.ReadOnlyReplica),
        ("SELECT @@version_comment", [["(ProxySQL)"]], base.BehindProxy),
        (r"SELECT CURRENT_USER\(\)", [["app@%", "app@h", "10.11.6-MariaDB"]], base.AnotherProduct),
    ],
)
def test_a_server_that_is_the_wrong_one_is_left_at_once(
    server: FakeDriver, connect: Callable[..., MysqlConnection], pattern: str, answer: Answer,
    kind: type[base.DatabaseError],
) -> None:  # fmt: skip
    server.first(pattern, answer)
    with pytest.raises(kind):
        connect()


def test_a_server_that_lets_everybody_in_proves_nothing(
    server: FakeDriver, connect: Callable[..., MysqlConnection]
) -> None:
    assert connect().password_was_checked
    server.first(r"SELECT CURRENT_USER\(\)", [["skip-grants user@skip-grants host", "app@h", "8.0.36"]])
    assert not connect().password_was_checked


def test_no_error_of_a_change_shows_the_password(server: FakeDriver, connect: Callable[..., MysqlConnection]) -> None:
    error = pymysql.err.ProgrammingError(1064, "You have an error near 'BY 'marked'' at line 1")
    server.first("ALTER USER", error)
    with pytest.raises(base.DatabaseError) as caught:
        connect().set_password("app", "marked", lambda: None)
    assert "marked" not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_names_end_at_thirty_two_characters() -> None:
    engine = Engine()
    assert engine.alternate_username("ü" * 26) == "ü" * 26 + "_clone"
    with pytest.raises(ValueError, match="would exceed 32 characters"):
        engine.alternate_username("x" * 27)


def test_the_secret_is_read_as_awss_functions_read_it() -> None:
    login = Engine().login(VALUE)
    assert (login.addresses, login.dbname) == ((("db", 3306),), "")
    assert Engine().login({**VALUE, "engine": "aurora-mysql", "dbname": "shop", "port": "3307"}).dbname == "shop"
    with pytest.raises(KeyError, match="Database engine must be set to 'mysql'"):
        Engine().login({**VALUE, "engine": "mariadb"})
