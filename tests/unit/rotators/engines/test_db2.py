"""What the Db2 engine says to its server, at the driver's edge: no RDS for Db2 is at hand to say it to."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from keyturn.rotators import alternating_users, single_user_by_superuser
from keyturn.rotators.engines import base, db2, network
from keyturn.rotators.engines.db2 import Db2Connection, Engine
from keyturn.rotators.handler import Rotator
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

VALUE = {
    "engine": "db2",
    "host": "db",
    "port": 50443,
    "dbname": "SHOP",
    "username": "app",
    "password": "old",
    "ssl": True,
}
SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
WRONG = '[IBM][CLI Driver] SQL30082N  Security processing failed with reason "24" ("USERNAME AND/OR PASSWORD INVALID").'
LIST = "Name\tGroups\n----\t------\n\nADMIN\tx\n{}\n\n 2 users\n"
Rows = Sequence[Sequence[Any]]


class FakeDriver:
    """The driver, with users' passwords behind it, and answers to statements by the first pattern that they match."""

    SQL_ATTR_QUERY_TIMEOUT = 0

    def __init__(self) -> None:
        self.passwords = {"APP": "old", "ADMIN": "super"}
        # Changes that RDS has taken and not made yet: how many logins they still wait for.
        self.delay = 0
        self.waiting: dict[str, str] = {}
        self.logins: list[dict[str, str]] = []
        self.statements: list[tuple[str, str, tuple[str, ...]]] = []
        self.answers: list[tuple[str, Rows | Exception]] = []

    def connect(self, text: str, user: str, password: str) -> SimpleNamespace:
        words = dict(word.split("=", 1) for word in text.rstrip(";").split(";"))
        self.logins.append(words)
        self.delay -= 1
        if self.delay < 0:
            self.passwords |= self.waiting
        if self.passwords.get(words["UID"].upper()) != words["PWD"]:
            raise Exception(f"{WRONG}  SQLSTATE=08001 SQLCODE=-30082")  # noqa: TRY002 - as the driver does
        return SimpleNamespace(database=words["DATABASE"])

    def prepare(self, connection: Any, statement: str, options: dict[int, int]) -> SimpleNamespace:
        assert options == {self.SQL_ATTR_QUERY_TIMEOUT: 10}
        return SimpleNamespace(database=connection.database, statement=" ".join(statement.split()), rows=[])

    def execute(self, prepared: Any, values: tuple[str, ...] = ()) -> None:
        self.statements.append((prepared.database, prepared.statement, values))
        answer = next((rows for pattern, rows in self.answers if re.match(pattern, prepared.statement)), None)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            answer = self._answer(prepared.statement, values)
        prepared.rows = list(answer)

    def _answer(self, statement: str, values: tuple[str, ...]) -> Rows:
        if statement.startswith(("CALL rdsadmin.change_password", "CALL rdsadmin.add_user")):
            self.waiting[values[0].upper()] = values[1]
        if statement.startswith("CALL rdsadmin.list_users"):
            return [(LIST.format("\n".join(f"{name}\tx" for name in {**self.passwords, **self.waiting})),)]
        if "auth_list_groups" in statement:
            return [("SALES   ",), ("READERS",)]
        if "syscat.dbauth" in statement and values == ("APP",):
            return [tuple("Y" if name in ("CONNECTAUTH", "DBADMAUTH") else "N" for name in db2._AUTHORITIES)]
        return []

    def num_fields(self, prepared: Any) -> int:
        return len(prepared.rows[0]) if prepared.rows else 0

    def fetch_tuple(self, prepared: Any) -> tuple[Any, ...] | bool:
        return tuple(prepared.rows.pop(0)) if prepared.rows else False

    def close(self, connection: Any) -> None:
        pass

    def first(self, pattern: str, answer: Rows | Exception) -> None:
        self.answers.insert(0, (pattern, answer))

    def changes(self) -> list[tuple[str, str, tuple[str, ...]]]:
        return [each for each in self.statements if re.match(r"GRANT|CALL rdsadmin\.(add|change)", each[1])]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    fake = FakeDriver()
    monkeypatch.setattr(db2, "_driver_module", lambda: fake)
    monkeypatch.setattr(db2, "_authorities_file", lambda: "/certificates.pem")
    monkeypatch.setattr(network, "knock", lambda *_: None)
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    return fake


@pytest.fixture
def connect(driver: FakeDriver) -> Callable[..., Db2Connection]:
    def connect(**more: object) -> Db2Connection:
        engine = Engine()
        return engine.connect(engine.login({**VALUE, **more}))

    return connect


@pytest.fixture
def superuser(connect: Callable[..., Db2Connection]) -> Callable[[], Db2Connection]:
    return lambda: connect(username="admin", password="super")


def refuse() -> None:
    raise ValueError("not any more")


def rotate(driver: FakeDriver, service: FakeSecretsManager, strategy: Any, token: str) -> dict[str, Any]:
    service.begin_rotation(token)
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        for _ in range(2):
            Rotator(Engine(), strategy, client=lambda: service)(
                {"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None
            )
    value = service.value("AWSCURRENT")
    assert driver.passwords[str(value["username"]).upper()] == value["password"]
    return value


@pytest.fixture
def service(driver: FakeDriver) -> FakeSecretsManager:
    service = FakeSecretsManager({**VALUE, "masterarn": SUPERUSER_ARN})
    service.others[SUPERUSER_ARN] = {**VALUE, "username": "admin", "password": "super"}
    return service


def test_a_single_users_password_is_set_by_the_master_user_in_rdsadmin(
    driver: FakeDriver, service: FakeSecretsManager
) -> None:
    value = rotate(driver, service, single_user_by_superuser.Strategy(), "token-1")
    assert driver.changes() == [("rdsadmin", "CALL rdsadmin.change_password(?, ?)", ("app", value["password"]))]
    rotate(driver, service, single_user_by_superuser.Strategy(), "token-2")


def test_the_previous_password_helps_when_the_current_one_was_never_set(
    driver: FakeDriver, service: FakeSecretsManager
) -> None:
    rotate(driver, service, single_user_by_superuser.Strategy(), "token-1")
    driver.passwords["APP"] = driver.waiting["APP"] = "old"
    rotate(driver, service, single_user_by_superuser.Strategy(), "token-2")


def test_a_single_user_without_a_superuser_secret_is_refused_before_anything_is_stored(driver: FakeDriver) -> None:
    service = FakeSecretsManager(VALUE)
    service.begin_rotation("token-1")
    rotator = Rotator(Engine(), single_user_by_superuser.Strategy(), client=lambda: service)
    with pytest.raises(KeyError, match="masterarn key is missing"):
        rotator({"Step": "createSecret", "SecretId": ARN, "ClientRequestToken": "token-1"}, None)
    assert service.passwords() == ["old"]


def test_a_superuser_acts_for_nobody_who_cannot_prove_a_password(
    driver: FakeDriver, service: FakeSecretsManager
) -> None:
    driver.passwords["APP"] = "changed by hand"
    with pytest.raises(base.AuthenticationFailed):
        rotate(driver, service, single_user_by_superuser.Strategy(), "token-1")
    assert driver.changes() == []
    assert "admin" not in [login["UID"] for login in driver.logins]


def test_two_users_alternate_with_groups_and_authorities(driver: FakeDriver, service: FakeSecretsManager) -> None:
    value = rotate(driver, service, alternating_users.Strategy(), "token-1")
    assert value["username"] == "app_clone"
    assert driver.changes() == [
        ("SHOP", "GRANT CONNECT ON DATABASE TO USER APP_CLONE", ()),
        ("SHOP", "GRANT DBADM WITHOUT DATAACCESS WITHOUT ACCESSCTRL ON DATABASE TO USER APP_CLONE", ()),
        ("rdsadmin", "CALL rdsadmin.add_user(?, ?, ?)", ("app_clone", value["password"], "readers,sales")),
    ]
    driver.first("SELECT BINDADDAUTH", [])
    assert rotate(driver, service, alternating_users.Strategy(), "token-2")["username"] == "app"
    assert rotate(driver, service, alternating_users.Strategy(), "token-3")["username"] == "app_clone"
    assert driver.changes()[-1][1] == "CALL rdsadmin.change_password(?, ?)"


@pytest.mark.parametrize("own", ["role AUDITOR", "SELECT ON SHOP.ORDERS"])
def test_what_only_the_first_user_holds_cannot_be_copied_and_is_named(
    driver: FakeDriver, superuser: Callable[[], Db2Connection], own: str
) -> None:
    driver.first("SELECT 'role '", [(own,)])
    with pytest.raises(db2.OwnPrivileges, match=own):
        superuser().create_user_like("app_clone", "app", "new", lambda: None)
    assert driver.changes() == []


def test_a_second_user_with_more_authorities_is_left_alone(
    driver: FakeDriver, superuser: Callable[[], Db2Connection]
) -> None:
    driver.passwords["APP_CLONE"] = "somebody's"
    with pytest.raises(base.NotAClone, match="CONNECT"):
        superuser().create_user_like("app", "app_clone", "new", lambda: None)
    assert driver.changes() == []


def test_a_group_that_the_second_user_lacks_is_joined(
    driver: FakeDriver, superuser: Callable[[], Db2Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.passwords["APP_CLONE"] = "first"
    real = driver._answer

    def answer(statement: str, values: tuple[str, ...]) -> Rows:
        if "auth_list_groups" in statement and values == ("APP_CLONE",):
            return [("SALES",)]
        return real(statement, values)

    monkeypatch.setattr(driver, "_answer", answer)
    superuser().create_user_like("app_clone", "app", "new", lambda: None)
    assert ("rdsadmin", "CALL rdsadmin.add_groups(?, ?)", ("app_clone", "readers")) in driver.changes()


@pytest.mark.parametrize(("logins", "is_in_force"), [(6, True), (9, False)])
def test_a_password_is_waited_for_until_it_is_in_force(
    driver: FakeDriver, superuser: Callable[[], Db2Connection], logins: int, is_in_force: bool
) -> None:
    connection = superuser()
    driver.delay = logins
    if is_in_force:
        connection.set_password("app", "new", lambda: None)
    else:
        with pytest.raises(base.NotReady, match="not in force yet"):
            connection.set_password("app", "new", lambda: None)


def test_a_password_that_is_not_to_be_set_any_more_is_not_set(
    driver: FakeDriver, superuser: Callable[[], Db2Connection]
) -> None:
    with pytest.raises(ValueError, match="not any more"):
        superuser().set_password("app", "new", refuse)
    with pytest.raises(ValueError, match="not any more"):
        superuser().create_user_like("app_clone", "app", "new", refuse)
    assert driver.changes() == []


def test_a_function_that_was_held_up_after_the_answer_sets_no_password(
    driver: FakeDriver, superuser: Callable[[], Db2Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = superuser()
    with pytest.raises(base.NotReady, match="held up"):
        connection.set_password("app", "new", lambda: monkeypatch.setattr(time, "monotonic", lambda: 111.0))
    assert driver.changes() == []


def test_the_connection_is_encrypted_and_checked(driver: FakeDriver, connect: Callable[..., Db2Connection]) -> None:
    connect().test()
    [words] = driver.logins
    assert words["Security"] == "SSL"
    assert words["SSLServerCertificate"] == "/certificates.pem"
    assert words["SSLClientHostnameValidation"] == "Basic"
    assert driver.statements == [("SHOP", "VALUES CURRENT TIMESTAMP", ())]


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (30082, 'failed with reason "24"', base.AuthenticationFailed), (30082, 'reason "1"', base.NotAdmitted),
        (30082, 'reason "19"', base.NotAdmitted), (30082, 'reason "17"', base.AuthenticationMethodRefused),
        (1013, "The database alias name could not be found", base.DatabaseMissing),
        (1060, "User does not have the CONNECT privilege", base.NotAdmitted),
        (1776, "The command cannot be issued on an HADR standby database", base.ReadOnlyReplica),
        (30081, 'function detecting the error: "selectForRecvTimeout"', base.ConnectionTimedOut),
        (30081, 'function detecting the error: "recv"', base.ConnectionLost),
        (20576, "a TLS connection could not be established", base.TlsFailed),
        (12345, "something new", base.DatabaseError),
    ],
)  # fmt: skip
def test_a_refused_login_is_named(
    driver: FakeDriver, connect: Callable[..., Db2Connection], monkeypatch: pytest.MonkeyPatch, code: int, text: str,
    kind: type[base.DatabaseError],
) -> None:  # fmt: skip
    def refused(*_: str) -> None:
        raise Exception(f"[IBM][CLI Driver] SQL{code}N  {text}.  SQLSTATE=08001 SQLCODE=-{code}")  # noqa: TRY002 - as above

    monkeypatch.setattr(driver, "connect", refused)
    with pytest.raises(kind, match=f"^host db: SQL{code}N") as caught:
        connect()
    assert type(caught.value) is kind
    assert caught.value.code == f"SQLCODE -{code}, SQLSTATE 08001"


@pytest.mark.parametrize(
    ("code", "kind"), [(440, db2.NotRds), (551, base.MissingGrant), (438, base.DatabaseError), (911, base.LockTimedOut)]
)
def test_a_refused_change_is_named_and_shows_no_password(
    driver: FakeDriver, superuser: Callable[[], Db2Connection], code: int, kind: type[base.DatabaseError]
) -> None:
    text = f"Statement Execute Failed: [IBM][CLI Driver][DB2/LINUXX8664] SQL{code}N  with 'marked'. SQLCODE=-{code}"
    driver.first("CALL rdsadmin.change", Exception(text))
    with pytest.raises(kind) as caught:
        superuser().set_password("app", "marked", lambda: None)
    assert "marked" not in f"{caught.value!r} {caught.value}"
    assert "[IBM]" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "more",
    [
        {"ssl": False}, {"ssl": None}, {"username": "app;PWD=x"}, {"username": "a b"}, {"dbname": "SHOP;Security="},
        {"host": "db;Security=none"}, {"password": "a;Security=none"}, {"password": "{a"}, {"password": " a"},
    ],
)  # fmt: skip
def test_a_value_that_would_weaken_the_connection_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="in the secret JSON") as caught:
        Engine().login({**VALUE, **more})
    assert "Security=none" not in str(caught.value)


def test_names_end_at_sixteen_characters() -> None:
    assert Engine().alternate_username("x" * 10) == "x" * 10 + "_clone"
    with pytest.raises(ValueError, match="would exceed 16 characters"):
        Engine().alternate_username("x" * 11)


def test_the_secret_is_read_as_awss_function_reads_it() -> None:
    assert Engine().login({**VALUE, "port": None}).addresses == (("db", 50000),)
    with pytest.raises(KeyError, match="dbname key is missing from secret JSON"):
        Engine().login({name: value for name, value in VALUE.items() if name != "dbname"})
    with pytest.raises(KeyError, match="Database engine must be set to 'db2'"):
        Engine().login({**VALUE, "engine": "oracle"})
