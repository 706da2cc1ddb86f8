"""What the Oracle engine says to its server, at the driver's edge: no Oracle server is at hand to say it to."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Self

import oracledb
import pytest

from keyturn.rotators import alternating_users, single_user
from keyturn.rotators.engines import base, oracle
from keyturn.rotators.engines.oracle import Engine, OracleConnection
from keyturn.rotators.handler import Rotator
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

VALUE = {"engine": "oracle", "host": "db", "dbname": "ORCL", "username": "app", "password": "old"}
SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
Answer = Sequence[Sequence[Any]] | Exception


def driver_error(code: str, message: str) -> oracledb.DatabaseError:
    return oracledb.DatabaseError(SimpleNamespace(full_code=code, message=f"{code}: {message}"))


class FakeDatabase:
    """Users' passwords, and answers to statements by the first pattern that they match."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.variables: list[dict[str, str]] = []
        self.passwords = {"APP": "old", "ADMIN": "super"}
        self.role: str | None = "PRIMARY"
        self.messages: list[tuple[str, str]] = []
        self.answers: list[tuple[str, Answer]] = []
        self.users = {"APP": ("USERS", "TEMP", "DEFAULT", "PASSWORD")}
        self.logins: list[dict[str, Any]] = []

    def connect(self, **options: Any) -> FakeDriver:
        self.logins.append(options)
        user = options["user"].strip('"') if options["user"].startswith('"') else options["user"].upper()
        if self.passwords.get(user) != options["password"]:
            raise driver_error("ORA-01017", "invalid username/password; logon denied")
        return FakeDriver(self, user)

    def first(self, pattern: str, answer: Answer) -> None:
        self.answers.insert(0, (pattern, answer))

    def changes(self) -> list[str]:
        return [each for each in self.statements if not each.startswith("SELECT")]

    def answer(self, statement: str, user: str, variables: dict[str, str]) -> Answer:
        for pattern, answer in self.answers:
            if re.match(pattern, statement):
                return answer
        if "SYS_CONTEXT" in statement:
            return [(self.role, user)]
        if "dba_users" in statement:
            return [self.users[variables["name"]]] if variables["name"] in self.users else []
        if found := re.match(r'(?:ALTER|CREATE) USER "(\w+)" IDENTIFIED BY "(.*?)"', statement):
            self.passwords[found[1]] = found[2]
            self.users.setdefault(found[1], self.users["APP"])
        return []


class FakeDriver:
    def __init__(self, database: FakeDatabase, user: str) -> None:
        self._database, self._user = database, user
        self.call_timeout = 0
        self.description: object = None

    def changepassword(self, old: str, new: str) -> None:
        self._database.messages.append((old, new))
        if self._database.passwords[self._user] != old:
            raise driver_error("ORA-28008", "invalid old password")
        self._database.passwords[self._user] = new

    def cursor(self) -> FakeDriver:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str, variables: dict[str, str]) -> None:
        statement = " ".join(statement.split())
        self._database.statements.append(statement)
        answer = self._database.answer(statement, self._user, variables)
        if isinstance(answer, Exception):
            raise answer
        self.description = "rows" if statement.startswith("SELECT") else None
        self._rows = answer

    def fetchall(self) -> Sequence[Sequence[Any]]:
        return self._rows

    def close(self) -> None:
        pass


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    fake = FakeDatabase()
    monkeypatch.setattr(oracledb, "connect", fake.connect)
    return fake


@pytest.fixture
def connect(database: FakeDatabase) -> Callable[..., OracleConnection]:
    def connect(**more: object) -> OracleConnection:
        engine = Engine()
        return engine.connect(engine.login({**VALUE, **more}))

    return connect


@pytest.fixture
def superuser(connect: Callable[..., OracleConnection]) -> Callable[[], OracleConnection]:
    return lambda: connect(username="admin", password="super", ssl=True, port=2484)


def refuse() -> None:
    raise ValueError("not any more")


# The user's own password.


def test_a_users_own_password_is_in_no_statement(
    database: FakeDatabase, connect: Callable[..., OracleConnection]
) -> None:
    connection = connect()
    for _ in range(2):
        connection.set_password("APP", "new \"pass'word", lambda: None)
    assert database.messages == [("old", "new \"pass'word"), ("new \"pass'word",) * 2]
    assert database.changes() == []


def test_a_function_that_a_later_rotation_has_passed_is_refused_by_the_server(
    database: FakeDatabase, connect: Callable[..., OracleConnection]
) -> None:
    def halted() -> None:
        database.passwords["APP"] = "a later rotation's"

    with pytest.raises(base.AuthenticationFailed):
        connect().set_password("app", "new", halted)
    assert database.passwords["APP"] == "a later rotation's"


def test_a_password_that_is_not_to_be_set_any_more_is_not_set(
    database: FakeDatabase, connect: Callable[..., OracleConnection], superuser: Callable[[], OracleConnection]
) -> None:
    with pytest.raises(ValueError, match="not any more"):
        connect().set_password("app", "new", refuse)
    for username in ("app_clone", "app"):
        with pytest.raises(ValueError, match="not any more"):
            superuser().create_user_like(username, "app", "new", refuse)
    assert (database.messages, database.changes()) == ([], [])


@pytest.mark.parametrize(
    ("ssl", "protocol"), [(True, "tcps"), (False, "tcp"), (None, "tcp")]
)  # fmt: skip
def test_tls_is_where_the_secret_says(
    database: FakeDatabase, connect: Callable[..., OracleConnection], ssl: bool | None, protocol: str
) -> None:
    connect(ssl=ssl)
    [options] = database.logins
    assert options["protocol"] == protocol
    assert options["ssl_server_dn_match"]
    assert options["service_name"] == "ORCL"
    assert ("ssl_context" in options) == (protocol == "tcps")


# Another user's.


@pytest.mark.parametrize("ssl", [None, False])
def test_another_users_password_goes_over_tls_only(
    database: FakeDatabase, connect: Callable[..., OracleConnection], ssl: bool | None
) -> None:
    connection = connect(username="admin", password="super", ssl=ssl)
    with pytest.raises(base.TlsFailed, match="in clear only, hence over TLS only"):
        connection.set_password("app", "new", lambda: None)
    with pytest.raises(base.TlsFailed, match="in clear only, hence over TLS only"):
        connection.create_user_like("app_clone", "app", "new", lambda: None)
    assert database.changes() == []


def rights(database: FakeDatabase) -> None:
    """Give every user one right of each kind."""
    for view, rows in (
        ("dba_role_privs", [("CONNECT", "NO", "YES"), ("App Role", "YES", "NO")]),
        ("dba_sys_privs", [("CREATE SESSION", "NO")]),
        (
            "dba_tab_privs",
            [
                ("SELECT", "SHOP", "ORDERS", "YES", "NO", "TABLE"), ("READ", "SYS", "EXPORTS", "NO", "NO", "DIRECTORY"),
                ("SELECT", "SHOP", "ITEMS", "NO", "YES", "TABLE"),
            ],
        ),
        ("dba_col_privs", [("UPDATE", "STATE", "SHOP", "ORDERS", "NO")]),
        ("dba_ts_quotas", [("USERS", -1), ("ARCHIVE", 1048576)]),
    ):  # fmt: skip
        database.first(f"SELECT .* FROM {view} ", rows)


def test_a_second_user_is_made_whole_before_it_gets_its_password(
    database: FakeDatabase, superuser: Callable[[], OracleConnection]
) -> None:
    rights(database)
    superuser().create_user_like("app_clone", "app", "marked-1", lambda: None)
    create, *others = database.changes()
    found = re.fullmatch(
        r'CREATE USER "APP_CLONE" IDENTIFIED BY "(.{8})" DEFAULT TABLESPACE "USERS" TEMPORARY TABLESPACE "TEMP"'
        r' PROFILE "DEFAULT" QUOTA UNLIMITED ON "USERS" QUOTA 1048576 ON "ARCHIVE"',
        create,
    )
    assert found
    assert sorted(found[1]) == sorted("marked-1")
    assert others == [
        'GRANT "CONNECT" TO "APP_CLONE"',
        'GRANT "App Role" TO "APP_CLONE" WITH ADMIN OPTION',
        'GRANT CREATE SESSION TO "APP_CLONE"',
        'GRANT SELECT ON "SHOP"."ORDERS" TO "APP_CLONE" WITH GRANT OPTION',
        'GRANT READ ON DIRECTORY "EXPORTS" TO "APP_CLONE"',
        'GRANT SELECT ON "SHOP"."ITEMS" TO "APP_CLONE" WITH HIERARCHY OPTION',
        'GRANT UPDATE ("STATE") ON "SHOP"."ORDERS" TO "APP_CLONE"',
        'ALTER USER "APP_CLONE" DEFAULT ROLE "CONNECT"',
        'ALTER USER "APP_CLONE" IDENTIFIED BY "marked-1"',
    ]


def test_a_second_user_that_cannot_be_made_whole_is_taken_away_again_and_the_grant_named(
    database: FakeDatabase, superuser: Callable[[], OracleConnection]
) -> None:
    rights(database)
    database.first("GRANT SELECT", driver_error("ORA-01031", "insufficient privileges"))
    with pytest.raises(base.MissingGrant, match=r'GRANT SELECT ON "SHOP"\."ORDERS" WITH GRANT OPTION'):
        superuser().create_user_like("app_clone", "app", "new", lambda: None)
    assert database.changes()[-1] == 'DROP USER "APP_CLONE"'


def test_a_second_user_that_is_there_gets_its_password_only(
    database: FakeDatabase, superuser: Callable[[], OracleConnection]
) -> None:
    database.users["APP_CLONE"] = database.users["APP"]
    rights(database)
    superuser().create_user_like("app_clone", "app", "new", lambda: None)
    assert database.changes() == ['ALTER USER "APP_CLONE" IDENTIFIED BY "new"']


def by_name(database: FakeDatabase, rows: dict[str, Sequence[Sequence[Any]]]) -> None:
    """Answer a view by the user that is asked for."""
    real = database.answer

    def answer(statement: str, user: str, variables: dict[str, str]) -> Answer:
        if "dba_sys_privs" in statement:
            return rows[variables["name"]]
        return real(statement, user, variables)

    database.answer = answer  # type: ignore[method-assign]  # a fake of a fake


def test_what_the_first_user_has_got_since_is_given_to_the_second(
    database: FakeDatabase, superuser: Callable[[], OracleConnection]
) -> None:
    database.users["APP_CLONE"] = ("OTHER", "TEMP", "STRICT", "PASSWORD")
    by_name(
        database, {"APP": [("CREATE SESSION", "YES"), ("CREATE VIEW", "NO")], "APP_CLONE": [("CREATE SESSION", "NO")]}
    )
    superuser().create_user_like("app_clone", "app", "new", lambda: None)
    assert database.changes() == [
        'GRANT CREATE SESSION TO "APP_CLONE" WITH ADMIN OPTION',
        'GRANT CREATE VIEW TO "APP_CLONE"',
        'ALTER USER "APP_CLONE" DEFAULT TABLESPACE "USERS"',
        'ALTER USER "APP_CLONE" PROFILE "DEFAULT"',
        'ALTER USER "APP_CLONE" IDENTIFIED BY "new"',
    ]


def test_a_user_with_more_rights_is_left_alone(
    database: FakeDatabase, superuser: Callable[[], OracleConnection]
) -> None:
    database.users["APP_CLONE"] = database.users["APP"]
    by_name(database, {"APP": [], "APP_CLONE": [("DROP ANY TABLE", "NO")]})
    with pytest.raises(base.NotAClone, match="DROP ANY TABLE"):
        superuser().create_user_like("app_clone", "app", "new", lambda: None)
    assert database.changes() == []


def test_a_function_that_was_held_up_after_the_answer_sets_no_password(
    database: FakeDatabase, superuser: Callable[[], OracleConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    database.users["APP_CLONE"] = database.users["APP"]
    now = time.monotonic
    with pytest.raises(base.NotReady, match="held up"):
        superuser().create_user_like(
            "app_clone", "app", "new", lambda: monkeypatch.setattr(time, "monotonic", lambda: now() + 11)
        )
    assert database.changes() == []


def test_a_user_without_a_password_of_its_own_is_refused(
    database: FakeDatabase, superuser: Callable[[], OracleConnection]
) -> None:
    database.users["APP"] = ("USERS", "TEMP", "DEFAULT", "EXTERNAL")
    with pytest.raises(base.AuthenticationMethodRefused, match="EXTERNAL"):
        superuser().create_user_like("app_clone", "app", "new", lambda: None)


def test_a_double_quote_cannot_be_set_for_another_user(
    database: FakeDatabase, superuser: Callable[[], OracleConnection]
) -> None:
    with pytest.raises(base.PasswordRejected, match="double quote"):
        superuser().set_password("app", 'a" ACCOUNT UNLOCK --', lambda: None)
    assert database.changes() == []


@pytest.mark.parametrize("view", ["dba_sys_privs", "dba_role_privs"])
def test_what_a_view_says_cannot_break_out_of_a_statement(
    database: FakeDatabase, superuser: Callable[[], OracleConnection], view: str
) -> None:
    database.first(f"SELECT .* FROM {view} ", [('X" TO PUBLIC --', "NO", "NO")[: 2 if view == "dba_sys_privs" else 3]])
    with pytest.raises((base.DatabaseError, ValueError)):
        superuser().create_user_like("app_clone", "app", "new", lambda: None)
    assert database.changes() == []


# Whole rotations.


def rotate(database: FakeDatabase, service: FakeSecretsManager, strategy: Any, token: str) -> None:
    service.begin_rotation(token)
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        for _ in range(2):
            Rotator(Engine(), strategy, client=lambda: service)(
                {"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None
            )
    value = service.value("AWSCURRENT")
    assert database.passwords[str(value["username"]).upper()] == value["password"]


def test_a_single_user_rotates(database: FakeDatabase) -> None:
    service = FakeSecretsManager(VALUE)
    rotate(database, service, single_user.Strategy(), "token-1")
    rotate(database, service, single_user.Strategy(), "token-2")
    assert service.value("AWSCURRENT")["username"] == "app"


def test_two_users_alternate_in_upper_case_as_with_awss_function(database: FakeDatabase) -> None:
    value = {**VALUE, "ssl": True, "port": 2484, "masterarn": SUPERUSER_ARN}
    service = FakeSecretsManager(value)
    service.others[SUPERUSER_ARN] = {**value, "username": "admin", "password": "super"}
    names = []
    for turn in range(3):
        rotate(database, service, alternating_users.Strategy(), f"token-{turn}")
        names.append(service.value("AWSCURRENT")["username"])
    assert names == ["APP_CLONE", "APP", "APP_CLONE"]


def test_a_password_has_the_thirty_bytes_that_oracle_takes(database: FakeDatabase) -> None:
    service = FakeSecretsManager(VALUE)
    rotate(database, service, single_user.Strategy(), "token-1")
    assert len(str(service.value("AWSCURRENT")["password"])) == 30


# What it says when it cannot.


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ORA-28000", base.NotAdmitted), ("ORA-28001", base.NotAdmitted), ("ORA-01017", base.AuthenticationFailed),
        ("ORA-12514", base.DatabaseMissing), ("DPY-6003", base.DatabaseMissing), ("ORA-12505", base.DatabaseMissing),
        ("DPY-3015", oracle.OldVerifier), ("ORA-28040", oracle.OldVerifier),
        ("DPY-3001", oracle.NativeEncryption), ("ORA-12660", oracle.NativeEncryption), ("ORA-01034", base.NotReady),
        ("ORA-99999", base.DatabaseError),
    ],
)  # fmt: skip
def test_a_refused_login_is_named(monkeypatch: pytest.MonkeyPatch, code: str, kind: type[base.DatabaseError]) -> None:
    def refused(**_: Any) -> None:
        raise driver_error(code, "as the server says")

    monkeypatch.setattr(oracledb, "connect", refused)
    with pytest.raises(kind, match="host db: as the server says") as caught:
        Engine().connect(Engine().login(VALUE))
    assert type(caught.value) is kind
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("ORA-28003", "verification failed\nORA-20002: 'marked' is too short\nHelp: https://x", base.PasswordRejected),
        ("ORA-28007", "the password cannot be reused", base.PasswordRejected),
        ("ORA-00972", "identifier is too long", base.PasswordRejected),
        ("ORA-01031", "insufficient privileges", base.MissingGrant),
        ("ORA-65066", "The specified changes must apply to all containers", oracle.CommonUser),
        ("ORA-16000", "database open for read-only access", base.ReadOnlyReplica),
        ("ORA-00054", "resource busy", base.LockTimedOut),
        ("ORA-01918", "user 'APP' does not exist", base.UserMissing),
        ("DPY-4024", "call timeout of 10000 ms exceeded", base.StatementTimedOut),
        ("DPY-4011", "the database or network closed the connection", base.ConnectionLost),
    ],
)
def test_a_refused_change_is_named_and_shows_no_password(
    database: FakeDatabase, superuser: Callable[[], OracleConnection], code: str, message: str,
    kind: type[base.DatabaseError],
) -> None:  # fmt: skip
    database.first("ALTER USER", driver_error(code, message))
    with pytest.raises(kind) as caught:
        superuser().set_password("app", "marked", lambda: None)
    assert "marked" not in f"{caught.value!r} {caught.value}"
    assert "Help:" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("role", ["PHYSICAL STANDBY", "LOGICAL STANDBY"])
def test_a_standby_is_left_at_once(database: FakeDatabase, connect: Callable[..., OracleConnection], role: str) -> None:
    database.role = role
    with pytest.raises(base.ReadOnlyReplica, match=role):
        connect()
    database.role = None
    connect()


def test_a_name_that_is_no_service_is_tried_as_a_sid(
    database: FakeDatabase, connect: Callable[..., OracleConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_sid(**options: Any) -> FakeDriver:
        if "service_name" in options:
            raise driver_error("DPY-6005", "cannot connect") from driver_error("DPY-6001", "Service is not registered")
        return database.connect(**options)

    monkeypatch.setattr(oracledb, "connect", by_sid)
    connect()
    assert database.logins[0]["sid"] == "ORCL"


def test_a_driver_that_is_missing_or_another_platforms_is_named(
    connect: Callable[..., OracleConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "oracledb", None)
    with pytest.raises(ImportError, match="oracledb"):
        connect()


def test_somebody_else_is_not_who_the_secret_says(
    database: FakeDatabase, connect: Callable[..., OracleConnection]
) -> None:
    database.first("SELECT SYS_CONTEXT", [("PRIMARY", "OTHER")])
    with pytest.raises(base.NotAdmitted, match="as OTHER"):
        connect()


# Names.


def test_names_are_in_upper_case_unless_they_are_quoted() -> None:
    engine = Engine()
    assert engine.alternate_username("app") == "APP_CLONE"
    assert engine.alternate_username("App_Clone") == "APP"
    assert engine.alternate_username('"app"') == '"app_CLONE"'
    assert engine.alternate_username('"app_CLONE"') == '"app"'
    with pytest.raises(ValueError, match="would exceed 128 bytes"):
        engine.alternate_username("x" * 123)


@pytest.mark.parametrize("username", ['ap"p', '"a"p"', "proxy[app]"])
def test_a_name_that_oracle_does_not_have_is_refused(username: str) -> None:
    with pytest.raises(ValueError, match=r"double quote|proxy user"):
        Engine().login({**VALUE, "username": username})


def test_the_secret_is_read_as_awss_function_reads_it() -> None:
    assert Engine().login(VALUE).addresses == (("db", 1521),)
    with pytest.raises(KeyError, match="dbname key is missing from secret JSON"):
        Engine().login({name: value for name, value in VALUE.items() if name != "dbname"})
    with pytest.raises(KeyError, match="Database engine must be set to 'oracle'"):
        Engine().login({**VALUE, "engine": "mysql"})
