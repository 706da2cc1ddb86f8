"""Alternating users against a real PostgreSQL server: what the second user may do, and what survives a kill."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from itertools import count
from typing import Any

import pg8000.native
import pytest

from keyturn.rotators import alternating_users
from keyturn.rotators.engines import base, postgresql
from keyturn.rotators.engines.postgresql import Engine, PostgresqlConnection
from keyturn.rotators.handler import Rotator
from keyturn.testing.postgresql import PostgresqlServer
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
HBA = """
host  all  trusting,trusting_clone  127.0.0.1/32  trust
host  all  old,old_clone            127.0.0.1/32  md5
host  all  all                      127.0.0.1/32  scram-sha-256
"""


class Killed(BaseException):
    """The function's process ends here."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    settings = {"log_statement": "all", "shared_preload_libraries": "passwordcheck"}
    with PostgresqlServer.start(hba=HBA, settings=settings) as started:
        yield started


@pytest.fixture
def username(server: PostgresqlServer) -> str:
    name = f"user_{secrets.token_hex(4)}"
    server.create_user(name, "first password")
    return name


def service_for(server: PostgresqlServer, username: str) -> FakeSecretsManager:
    service = FakeSecretsManager({**server.secret_value(username, "first password"), "masterarn": SUPERUSER_ARN})
    service.others[SUPERUSER_ARN] = server.superuser_value()
    return service


def rotate(service: FakeSecretsManager, token: str = "token-1", steps: tuple[str, ...] = STEPS) -> dict[str, Any]:
    """Run one rotation and return the value that is current afterwards."""
    if token not in service.versions:
        service.begin_rotation(token)
    rotator = Rotator(Engine(), alternating_users.Strategy(), client=lambda: service)
    for step in steps:
        rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)
    return service.value("AWSCURRENT")


def superuser(server: PostgresqlServer) -> PostgresqlConnection:
    engine = Engine()
    return engine.connect(engine.login(server.superuser_value()))


def attributes(server: PostgresqlServer, username: str) -> list[Any]:
    rows = server.run(
        "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit, rolcanlogin"
        f" FROM pg_roles WHERE rolname = '{username}'"
    )
    return rows[0] if rows else []


def memberships(server: PostgresqlServer, username: str) -> int:
    joined = "pg_auth_members JOIN pg_roles ON pg_roles.oid = member"
    [[found]] = server.run(f"SELECT count(*) FROM {joined} WHERE rolname = '{username}'")
    return int(found)


def test_the_second_user_does_what_the_first_one_may(server: PostgresqlServer, username: str) -> None:
    server.run(f"CREATE TABLE granted_{username} AS SELECT 1 AS one")
    server.run(f"GRANT SELECT ON granted_{username} TO {username}")
    server.run(f"CREATE ROLE readers_{username}")
    server.run(f"CREATE TABLE of_group_{username} AS SELECT 2 AS two")
    server.run(f"GRANT SELECT ON of_group_{username} TO readers_{username}")
    server.run(f"GRANT readers_{username} TO {username}")
    server.run(f"CREATE SCHEMA AUTHORIZATION {username}")
    server.run(f"CREATE TABLE {username}.owned AS SELECT 3 AS three")
    server.run(f"ALTER TABLE {username}.owned OWNER TO {username}")

    current = rotate(service_for(server, username))

    def as_second(statement: str) -> list[list[Any]]:
        return server.run(statement, username=current["username"], password=current["password"])

    assert current["username"] == f"{username}_clone"
    assert as_second(f"SELECT * FROM granted_{username}") == [[1]]
    assert as_second(f"SELECT * FROM of_group_{username}") == [[2]]
    as_second(f"ALTER TABLE {username}.owned ADD COLUMN four int")
    # What the first user is granted later is the second one's too.
    server.run(f"CREATE TABLE later_{username} AS SELECT 5 AS five")
    with pytest.raises(pg8000.native.DatabaseError, match="permission denied"):
        as_second(f"SELECT * FROM later_{username}")
    server.run(f"GRANT SELECT ON later_{username} TO {username}")
    assert as_second(f"SELECT * FROM later_{username}") == [[5]]


@pytest.mark.parametrize(
    "attribute",
    ["NOSUPERUSER", "CREATEDB CONNECTION LIMIT 7", "CREATEROLE", "REPLICATION", "BYPASSRLS", "SUPERUSER", "NOINHERIT"],
)
def test_the_second_user_has_the_attributes_of_the_first(
    server: PostgresqlServer, username: str, attribute: str
) -> None:
    server.run(f"ALTER ROLE {username} {attribute}")
    service = service_for(server, username)
    current = rotate(service)
    assert attributes(server, current["username"]) == attributes(server, username)
    # And back again, and the clone once more.
    assert rotate(service, "token-2")["username"] == username
    assert rotate(service, "token-3") == {**current, "password": service.value("AWSCURRENT")["password"]}


def test_a_first_user_that_inherits_nothing_still_hands_on_its_own_rights(
    server: PostgresqlServer, username: str
) -> None:
    server.run(f"ALTER ROLE {username} NOINHERIT")
    server.run(f"CREATE TABLE own_{username} AS SELECT 1 AS one")
    server.run(f"GRANT SELECT ON own_{username} TO {username}")
    current = rotate(service_for(server, username))
    rows = server.run(f"SELECT * FROM own_{username}", username=current["username"], password=current["password"])
    assert rows == [[1]]


def test_the_user_of_the_secret_before_keeps_getting_in(server: PostgresqlServer, username: str) -> None:
    service = service_for(server, username)
    first = service.value("AWSCURRENT")
    second = rotate(service)
    assert server.accepts(first["username"], first["password"])
    third = rotate(service, "token-2")
    assert server.accepts(second["username"], second["password"])
    assert third["username"] == username
    assert not server.accepts(first["username"], first["password"])


def test_a_rotation_killed_anywhere_never_locks_the_current_user_out_and_can_be_finished(
    server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_run = PostgresqlConnection._run
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            if next(moments) == fatal:
                raise Killed

        def run(self: PostgresqlConnection, statement: str, **parameters: str) -> list[list[Any]]:
            interrupt("before a statement")
            rows = real_run(self, statement, **parameters)
            interrupt("after a statement")
            return rows

        monkeypatch.setattr(PostgresqlConnection, "_run", run)
        name = f"killed_{fatal}"
        server.create_user(name, "first password")
        service = service_for(server, name)
        service.interrupt = interrupt
        try:
            rotate(service)
            survived = True
        except Killed:
            survived = False
            current = service.value("AWSCURRENT")
            assert server.accepts(current["username"], current["password"])
            # A second user that is there is a whole one.
            assert bool(attributes(server, f"{name}_clone")) == (memberships(server, f"{name}_clone") == 1)
            rotate(service)
        current = service.value("AWSCURRENT")
        assert current["username"] == f"{name}_clone"
        assert server.accepts(name, "first password")
        assert server.accepts(current["username"], current["password"])
        if survived:
            break
    assert fatal > 20


def test_a_second_attempt_that_comes_between_looking_and_making_is_no_failure(
    server: PostgresqlServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_create = PostgresqlConnection._create_role

    def create(self: PostgresqlConnection, name: str, like: str, stored: str, confirm: base.Confirm) -> None:
        monkeypatch.setattr(PostgresqlConnection, "_create_role", real_create)
        with superuser(server) as other:
            other.create_user_like(name, like, "of the other attempt", confirm)
        real_create(self, name, like, stored, confirm)

    monkeypatch.setattr(PostgresqlConnection, "_create_role", create)
    current = rotate(service_for(server, username))
    assert server.accepts(current["username"], current["password"])


def test_the_servers_log_never_contains_a_password(server: PostgresqlServer, username: str) -> None:
    service = service_for(server, username)
    passwords = [rotate(service, token)["password"] for token in ("token-1", "token-2", "token-3")]
    log = server.log_path.read_text()
    assert f'CREATE ROLE "{username}_clone" LOGIN' in log
    assert f'ALTER ROLE "{username}" PASSWORD' in log
    assert not [password for password in (*passwords, server.superuser_password) if password in log]


@pytest.mark.parametrize("name", ['we"ird; DROP ROLE postgres; --', "Ümläut:x", "Upper Case", "$1", "x" * 57])
def test_users_of_any_name_alternate(server: PostgresqlServer, name: str) -> None:
    server.create_user(name, "first password")
    service = service_for(server, name)
    for token, expected in (("token-1", f"{name}_clone"), ("token-2", name)):
        current = rotate(service, token)
        assert current["username"] == expected
        assert server.accepts(current["username"], current["password"])


def test_a_name_that_postgresql_would_cut_off_is_refused(server: PostgresqlServer) -> None:
    name = "y" * 58
    server.create_user(name, "first password")
    with pytest.raises(ValueError, match="would exceed 63 bytes"):
        rotate(service_for(server, name))


def test_a_second_user_made_by_hand_is_used_as_it_is(server: PostgresqlServer, username: str) -> None:
    server.create_user(f"{username}_clone", "of somebody")
    current = rotate(service_for(server, username))
    assert server.accepts(current["username"], current["password"])
    assert (
        server.run(
            f"SELECT 1 FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = member WHERE rolname LIKE '{username}%'"
        )
        == []
    )


@pytest.mark.parametrize("attribute", ["SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"])
def test_a_stronger_user_of_that_name_is_not_taken_over(
    server: PostgresqlServer, username: str, attribute: str
) -> None:
    server.create_user(f"{username}_clone", "of somebody")
    server.run(f"ALTER ROLE {username}_clone {attribute}")
    with pytest.raises(base.NotAClone, match=f"user {username}_clone may do more than {username} and is not its clone"):
        rotate(service_for(server, username))
    assert server.accepts(f"{username}_clone", "of somebody")

    server.run(f"GRANT {username} TO {username}_clone")
    service = service_for(server, username)
    current = rotate(service)
    assert server.accepts(current["username"], current["password"])


def test_a_user_whose_password_nobody_looks_at_gets_no_second_one(server: PostgresqlServer) -> None:
    server.create_user("trusting", "first password")
    # Whoever writes the secret could name any user that the server trusts, and would get its rights with a password.
    with pytest.raises(base.PasswordNotAsked):
        rotate(service_for(server, "trusting"))
    assert attributes(server, "trusting_clone") == []


OWN_OPERATOR = """
CREATE FUNCTION evil.equal({left}, {right}) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on'::text THEN
        EXECUTE 'ALTER ROLE {username} SUPERUSER';
    END IF;
    RETURN $1::text OPERATOR(pg_catalog.=) $2::text;
END $$;
CREATE OPERATOR evil.= (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = evil.equal)
"""


def test_the_owner_of_the_database_has_the_superuser_run_nothing_of_theirs(
    server: PostgresqlServer, username: str
) -> None:
    database = f"database_of_{username}"
    server.run(f"CREATE DATABASE {database} OWNER {username}")
    owner = {"username": username, "password": "first password", "database": database}
    server.run("CREATE SCHEMA evil", **owner)
    for left, right in (("name", "name"), ("name", "text"), ("text", "text")):
        for statement in OWN_OPERATOR.format(left=left, right=right, username=username).split("$$;"):
            server.run(f"{statement}$$" if "CREATE FUNCTION" in statement else statement, **owner)
    server.run("GRANT USAGE ON SCHEMA evil TO public", **owner)
    server.run(f"ALTER DATABASE {database} SET search_path = evil, pg_catalog", **owner)
    service = service_for(server, username)
    value = {**service.value("AWSCURRENT"), "dbname": database}
    service = FakeSecretsManager(value)
    service.others[SUPERUSER_ARN] = server.superuser_value()
    for token in ("token-1", "token-2"):
        current = rotate(service, token)
        assert attributes(server, current["username"])[0] is False


def test_a_superuser_that_may_not_create_users_is_told_so_and_nothing_is_left(
    server: PostgresqlServer, username: str
) -> None:
    server.create_user("weak", "of the weak")
    service = service_for(server, username)
    service.others[SUPERUSER_ARN] = server.secret_value("weak", "of the weak")
    with pytest.raises(base.MissingGrant, match="must also be allowed to create a user like the secret's"):
        rotate(service)
    assert attributes(server, f"{username}_clone") == []

    # It may create users, but hand on nobody's rights: PostgreSQL 16 and later. Then the user is not made either.
    server.run("ALTER ROLE weak CREATEROLE")
    [[version]] = server.run("SELECT current_setting('server_version_num')::int")
    if version >= 160000:
        with pytest.raises(base.MissingGrant):
            rotate(service)
        assert attributes(server, f"{username}_clone") == []
        server.run(f"GRANT {username} TO weak WITH ADMIN OPTION")
    current = rotate(service)
    assert server.accepts(current["username"], current["password"])


def test_an_administrator_who_is_no_superuser_rotates_both_in_turn(server: PostgresqlServer) -> None:
    server.create_user("manager", "of the manager")
    server.run("ALTER ROLE manager CREATEROLE")
    verifier = postgresql.scram_verifier("first password", 4096)
    server.run(f"CREATE ROLE managed LOGIN PASSWORD '{verifier}'", username="manager", password="of the manager")
    service = service_for(server, "managed")
    service.others[SUPERUSER_ARN] = server.secret_value("manager", "of the manager")
    for token in ("token-1", "token-2", "token-3"):
        current = rotate(service, token)
        assert server.accepts(current["username"], current["password"])


def test_a_waiting_statement_gives_up_and_leaves_no_half_made_user(
    server: PostgresqlServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "STATEMENT_TIMEOUT_SECONDS", 1)
    with superuser(server) as blocker:
        blocker._run("BEGIN")
        blocker._run("LOCK TABLE pg_catalog.pg_auth_members")
        with pytest.raises(base.DatabaseError, match="statement timeout"):
            rotate(service_for(server, username))
        blocker._run("ROLLBACK")
    assert attributes(server, f"{username}_clone") == []
