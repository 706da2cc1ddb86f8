"""Alternating users against a real MariaDB server: what the second user may do, and what survives a kill."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from itertools import count
from typing import Any

import pymysql
import pytest

from keyturn.rotators import alternating_users
from keyturn.rotators.engines import base
from keyturn.rotators.engines.mariadb import Engine, MariadbConnection
from keyturn.rotators.engines.mysql_family import connection as family
from keyturn.rotators.engines.mysql_family import hashes
from keyturn.rotators.engines.mysql_family.accounts import quoted
from keyturn.rotators.handler import Rotator
from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class Killed(BaseException):
    """The function's process ends here."""


@pytest.fixture(scope="module")
def server() -> Iterator[MariadbServer]:
    with MariadbServer.start(settings={"general_log": "ON", "general_log_file": "general.log"}) as started:
        for statement in (
            "CREATE DATABASE shop",
            "CREATE TABLE shop.orders (number INT, price INT, secret INT)",
            "CREATE TABLE shop.others (number INT)",
            "INSERT INTO shop.orders VALUES (1, 2, 3)",
            "CREATE FUNCTION shop.seven() RETURNS INT DETERMINISTIC RETURN 7",
            "CREATE DATABASE `odd``name_x`",
            "CREATE TABLE `odd``name_x`.t (a INT)",
        ):
            started.run(statement)
        yield started


@pytest.fixture
def username(server: MariadbServer) -> str:
    name = f"user_{secrets.token_hex(4)}"
    server.create_user(name, "first password")
    return name


def service_for(server: MariadbServer, username: str) -> FakeSecretsManager:
    service = FakeSecretsManager({**server.secret_value(username, "first password"), "masterarn": SUPERUSER_ARN})
    service.others[SUPERUSER_ARN] = server.superuser_value()
    return service


def rotate(service: FakeSecretsManager, token: str = "token-1") -> dict[str, Any]:
    """Run one rotation and return the value that is current afterwards."""
    if token not in service.versions:
        service.begin_rotation(token)
    rotator = Rotator(Engine(), alternating_users.Strategy(), client=lambda: service)
    for step in STEPS:
        rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)
    return service.value("AWSCURRENT")


def described(server: MariadbServer, username: str, host: str = "%") -> list[str]:
    """Return everything that the server says about an account, but its name and password."""
    account = f"{quoted(username)}@'{host}'"
    lines = [row[0] for what in ("CREATE USER", "GRANTS FOR") for row in server.run(f"SHOW {what} {account}")]
    [[form]] = server.run(
        f"SELECT authentication_string FROM mysql.user WHERE User = {quoted(username)} AND Host = '{host}'"
    )
    # The server names columns in any order.
    lines = [re.sub(r"\(([^)]*)\)", lambda found: str(sorted(found[1].split(", "))), line) for line in lines]
    return sorted(line.replace(form, "").replace(f"`{username}`", "USER") for line in lines)


def is_there(server: MariadbServer, username: str) -> bool:
    return bool(server.run(f"SELECT 1 FROM mysql.user WHERE User = {quoted(username)}"))


RIGHTS = (
    "GRANT SELECT (number, price), INSERT (number) ON shop.orders TO {}",
    "GRANT SELECT, INSERT ON `odd``name\\_x`.* TO {} WITH GRANT OPTION",
    "GRANT EXECUTE ON FUNCTION shop.seven TO {}",
    "GRANT PROCESS ON *.* TO {}",
    "ALTER USER {} WITH MAX_QUERIES_PER_HOUR 5000 MAX_USER_CONNECTIONS 7 PASSWORD EXPIRE INTERVAL 90 DAY",
)


def test_the_second_user_is_like_the_first_in_everything(server: MariadbServer, username: str) -> None:
    server.run(f"CREATE ROLE readers_{username}")
    server.run(f"GRANT SELECT ON shop.others TO readers_{username}")
    for statement in (
        *RIGHTS, f"GRANT readers_{username} TO {{}} WITH ADMIN OPTION", f"SET DEFAULT ROLE readers_{username} FOR {{}}",
    ):  # fmt: skip
        server.run(statement.format(f"{username}@'%'"))

    current = rotate(service_for(server, username))

    assert current["username"] == f"{username}_clone"
    assert described(server, current["username"]) == described(server, username)

    def as_second(statement: str) -> list[list[Any]]:
        return server.run(statement, username=current["username"], password=current["password"])

    assert as_second("SELECT number, price FROM shop.orders") == [[1, 2]]
    assert as_second("SELECT shop.seven()") == [[7]]
    assert as_second("SELECT COUNT(*) FROM shop.others") == [[0]]
    with pytest.raises(pymysql.err.OperationalError, match="SELECT command denied"):
        as_second("SELECT secret FROM shop.orders")


def test_the_second_user_keeps_the_way_to_log_in_and_the_need_for_tls(server: MariadbServer) -> None:
    server.run("CREATE USER modern@'127.0.0.%' IDENTIFIED VIA ed25519 USING PASSWORD('first password')")
    current = rotate(service_for(server, "modern"))
    [[statement]] = server.run("SHOW CREATE USER modern_clone@'127.0.0.%'")
    assert f"IDENTIFIED VIA ed25519 USING '{hashes.ed25519(current['password'])}'" in statement

    server.create_user("secured", "first password")
    server.run("ALTER USER secured@'%' REQUIRE SUBJECT '/CN=it''s; WITH GRANT OPTION' CIPHER 'x'")
    with MariadbConnection(Engine().login(server.superuser_value()), "127.0.0.1", server.port) as superuser:
        superuser.create_user_like("secured_clone", "secured", "second password", lambda: None)
    assert described(server, "secured_clone") == described(server, "secured")


def test_after_a_hundred_turns_both_are_what_the_first_one_was(server: MariadbServer, username: str) -> None:
    for statement in RIGHTS:
        server.run(statement.format(f"{username}@'%'"))
    before = described(server, username)
    engine = Engine()
    turns = [(f"{username}_clone", username), (username, f"{username}_clone")] * 50
    with engine.connect(engine.login(server.superuser_value())) as superuser:
        for turn, (rests, rotates_like) in enumerate(turns):
            superuser.create_user_like(rests, rotates_like, f"password {turn}", lambda: None)
    assert described(server, username) == described(server, f"{username}_clone") == before
    assert server.accepts(username, "password 99")
    assert server.accepts(f"{username}_clone", "password 98")


def test_what_is_granted_to_either_of_them_later_is_the_other_ones_after_its_turn(
    server: MariadbServer, username: str
) -> None:
    service = service_for(server, username)
    rotate(service)
    server.run(f"GRANT SELECT ON shop.orders TO {username}_clone@'%'")
    rotate(service, "token-2")
    server.run(f"GRANT INSERT ON shop.others TO {username}@'%'")
    server.run(f"ALTER USER {username}@'%' WITH MAX_USER_CONNECTIONS 9")
    rotate(service, "token-3")
    both = described(server, username)
    assert described(server, f"{username}_clone") == both
    assert len([line for line in both if "shop" in line]) == 2
    # And limits that were taken off.
    server.run(f"ALTER USER {username}@'%' WITH MAX_USER_CONNECTIONS 0")
    for token in ("token-4", "token-5"):
        rotate(service, token)
    assert described(server, f"{username}_clone") == described(server, username) != both


def test_a_right_that_was_taken_from_one_of_them_only_stops_the_rotation_by_name(
    server: MariadbServer, username: str
) -> None:
    for privilege in ("SELECT", "INSERT"):
        server.run(f"GRANT {privilege} ON shop.orders TO {username}@'%'")
    service = service_for(server, username)
    rotate(service)
    rotate(service, "token-2")
    server.run(f"REVOKE INSERT ON shop.orders FROM {username}@'%'")
    with pytest.raises(base.NotAClone, match=r"may do more than user_\w+ \(INSERT ON `shop`\.`orders`\)"):
        rotate(service, "token-3")
    server.run(f"REVOKE INSERT ON shop.orders FROM {username}_clone@'%'")
    assert rotate(service, "token-3")["username"] == f"{username}_clone"


def test_an_alteration_of_the_first_user_at_rest_is_not_undone_at_its_turn(
    server: MariadbServer, username: str
) -> None:
    service = service_for(server, username)
    rotate(service)
    server.run(f"ALTER USER {username}@'%' IDENTIFIED VIA ed25519 USING PASSWORD('x') WITH MAX_USER_CONNECTIONS 9")
    current = rotate(service, "token-2")
    [[statement]] = server.run(f"SHOW CREATE USER {username}@'%'")
    assert f"ed25519 USING '{hashes.ed25519(current['password'])}' WITH MAX_USER_CONNECTIONS 9" in statement
    rotate(service, "token-3")
    assert described(server, f"{username}_clone") == described(server, username)


def test_the_user_of_the_secret_before_keeps_getting_in(server: MariadbServer, username: str) -> None:
    service = service_for(server, username)
    first = service.value("AWSCURRENT")
    second = rotate(service)
    assert server.accepts(first["username"], first["password"])
    third = rotate(service, "token-2")
    assert server.accepts(second["username"], second["password"])
    assert third["username"] == username
    assert not server.accepts(first["username"], first["password"])


def test_a_rotation_killed_anywhere_never_locks_the_current_user_out_and_can_be_finished(
    server: MariadbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_run = MariadbConnection._run
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            # A process that is killed cleans nothing up either.
            if next(moments) >= fatal:
                raise Killed

        def run(self: MariadbConnection, statement: str) -> list[list[Any]]:
            interrupt("before a statement")
            rows = real_run(self, statement)
            interrupt("after a statement")
            return rows

        monkeypatch.setattr(MariadbConnection, "_run", run)
        name = f"killed_{fatal}"
        server.create_user(name, "first password")
        server.run(f"GRANT SELECT ON shop.orders TO {name}@'%'")
        service = service_for(server, name)
        service.interrupt = interrupt
        try:
            rotate(service)
            survived = True
        except Killed:
            survived = False
            monkeypatch.setattr(MariadbConnection, "_run", real_run)
            service.interrupt = lambda _: None
            current = service.value("AWSCURRENT")
            assert server.accepts(current["username"], current["password"])
            # A second user that can log in is a whole one.
            pending = service.labelled("AWSPENDING")
            if pending and pending.value and server.accepts(f"{name}_clone", service.value("AWSPENDING")["password"]):
                assert described(server, f"{name}_clone") == described(server, name)
            rotate(service)
        current = service.value("AWSCURRENT")
        assert current["username"] == f"{name}_clone"
        assert server.accepts(name, "first password")
        assert server.accepts(current["username"], current["password"])
        assert described(server, f"{name}_clone") == described(server, name)
        if survived:
            break
    assert fatal > 30


def test_the_servers_log_never_contains_a_password(server: MariadbServer, username: str) -> None:
    service = service_for(server, username)
    passwords = [rotate(service, token)["password"] for token in ("token-1", "token-2", "token-3")]
    log = (server.directory / "data" / "general.log").read_text()
    assert f"CREATE USER '{username}_clone'@'%' IDENTIFIED VIA mysql_native_password USING '*" in log
    assert f"ALTER USER '{username}'@'%' IDENTIFIED VIA mysql_native_password USING '*" in log
    assert not [password for password in (*passwords, server.superuser_password) if password in log]


@pytest.mark.parametrize(
    "name", ["we'ird\"; DROP USER root; --", "Ümläut:x", "Upper Case", "back\\slash`tick", "at@sign", "x" * 122]
)
def test_users_of_any_name_alternate(server: MariadbServer, name: str) -> None:
    server.create_user(name, "first password")
    service = service_for(server, name)
    for token, expected in (("token-1", f"{name}_clone"), ("token-2", name)):
        current = rotate(service, token)
        assert current["username"] == expected
        assert server.accepts(current["username"], current["password"])


def test_a_server_that_pretends_that_the_second_user_logs_in_by_a_socket_makes_it_all_the_same(
    server: MariadbServer, username: str
) -> None:
    # Of a user who is not there the server says what it says of some other one, so that nobody learns who is there.
    accounts = [f"by_socket_{number}@'%'" for number in range(20)]
    for account in accounts:
        server.run(f"CREATE USER {account} IDENTIFIED VIA unix_socket")
    service, engine = service_for(server, username), Engine()
    try:
        pretences = []
        for name in (f"{username}_clone", *(f"nobody_{number}" for number in range(20))):
            with pytest.raises((base.AuthenticationFailed, base.NotAdmitted)) as caught:
                engine.connect(engine.login(server.secret_value(name, "x")))
            pretences.append(caught.type)
        assert base.UnsupportedMethod in pretences
        current = rotate(service)
    finally:
        server.run(f"DROP USER {', '.join(accounts)}")
    assert server.accepts(current["username"], current["password"])


def test_a_name_that_the_server_would_not_take_is_refused(server: MariadbServer) -> None:
    server.create_user("y" * 123, "first password")
    with pytest.raises(ValueError, match="would exceed 128 characters"):
        rotate(service_for(server, "y" * 123))


def test_of_several_accounts_of_one_name_the_one_that_logs_in_from_here_gets_the_second(
    server: MariadbServer, username: str
) -> None:
    for host, table in (("127.0.%", "orders"), ("10.%", "others")):
        server.run(f"CREATE USER {username}@'{host}' IDENTIFIED BY PASSWORD '{hashes.native('first password')}'")
        server.run(f"GRANT SELECT ON shop.{table} TO {username}@'{host}'")
    current = rotate(service_for(server, username))
    assert server.run(f"SELECT Host FROM mysql.user WHERE User = '{username}_clone'") == [["127.0.%"]]
    assert described(server, current["username"], "127.0.%") == described(server, username, "127.0.%")


def test_a_second_user_made_by_hand_is_completed(server: MariadbServer, username: str) -> None:
    server.run(f"GRANT SELECT, INSERT ON shop.* TO {username}@'%'")
    server.create_user(f"{username}_clone", "of somebody")
    server.run(f"GRANT SELECT ON shop.orders TO {username}_clone@'%'")
    current = rotate(service_for(server, username))
    assert server.accepts(current["username"], current["password"])
    assert set(described(server, username)) <= set(described(server, f"{username}_clone"))


@pytest.mark.parametrize(
    "right", ["ALL PRIVILEGES ON *.*", "SELECT ON shop.*", "SELECT (price) ON shop.orders", "INSERT ON shop.others"]
)
@pytest.mark.parametrize("suffix", ["", "_clone"])
def test_a_stronger_user_of_that_name_is_not_taken_over(
    server: MariadbServer, username: str, right: str, suffix: str
) -> None:
    # Either the second user is somebody's who may more, or it is ours and the first one is somebody's.
    own, stronger = (f"{username}_clone", username) if suffix else (username, f"{username}_clone")
    server.create_user(f"{username}_clone", "first password")
    server.run(f"GRANT SELECT (number) ON shop.orders TO {username}@'%'")
    server.run(f"GRANT SELECT (number) ON shop.orders TO {username}_clone@'%'")
    server.run(f"GRANT {right} TO {stronger}@'%'")
    with pytest.raises(base.NotAClone, match=f"user {stronger} may do more than {own}"):
        rotate(service_for(server, own))
    assert server.accepts(stronger, "first password")


def test_a_superuser_that_may_not_create_users_or_grant_is_told_so_and_nothing_is_left(
    server: MariadbServer, username: str
) -> None:
    server.run(f"GRANT SELECT ON shop.orders TO {username}@'%'")
    server.create_user("weak", "of the weak")
    service = service_for(server, username)
    service.others[SUPERUSER_ARN] = server.secret_value("weak", "of the weak")
    for grant in ("SELECT ON mysql.*", "CREATE USER ON *.*"):
        with pytest.raises(base.MissingGrant, match="must also be allowed to create a user like the secret's"):
            rotate(service)
        assert not is_there(server, f"{username}_clone")
        server.run(f"GRANT {grant} TO weak@'%'")
    # It may create users, but hand on nobody's rights.
    with pytest.raises(base.MissingGrant):
        rotate(service)
    assert not is_there(server, f"{username}_clone")
    server.run("GRANT SELECT ON shop.* TO weak@'%' WITH GRANT OPTION")
    server.run("CREATE ROLE writers")
    server.run(f"GRANT writers TO {username}@'%'")
    server.run(f"SET DEFAULT ROLE writers FOR {username}@'%'")
    for grant in ("writers TO weak@'%' WITH ADMIN OPTION", "UPDATE ON mysql.* TO weak@'%'"):
        with pytest.raises(base.MissingGrant):
            rotate(service)
        assert not is_there(server, f"{username}_clone")
        server.run(f"GRANT {grant}")
    current = rotate(service)
    assert server.accepts(current["username"], current["password"])


def test_while_one_rotation_makes_the_second_user_another_one_waits(
    server: MariadbServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "LOCK_TIMEOUT_SECONDS", 0)
    engine = Engine()

    def refuse() -> None:
        with (
            engine.connect(engine.login(server.superuser_value())) as other,
            pytest.raises(base.NotReady, match="another rotation"),
        ):
            other.create_user_like(f"{username}_clone", username, "of the other", lambda: None)
        raise ValueError("not any more")

    with (
        engine.connect(engine.login(server.superuser_value())) as connection,
        pytest.raises(ValueError, match="not any more"),
    ):
        connection.create_user_like(f"{username}_clone", username, "second password", refuse)
    assert not is_there(server, f"{username}_clone")
