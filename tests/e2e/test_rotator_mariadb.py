"""The MariaDB rotation function against real MariaDB servers: what it does, and what it says when it cannot."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.rotators import single_user
from keyturn.rotators.engines import base
from keyturn.rotators.engines.mariadb import Engine, MariadbConnection
from keyturn.rotators.engines.mysql import Engine as MysqlEngine
from keyturn.rotators.engines.mysql_family import connection as family
from keyturn.rotators.engines.mysql_family import hashes
from keyturn.rotators.engines.mysql_family.accounts import quoted
from keyturn.rotators.handler import Rotator
from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.private_server import free_port
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

from .conftest import wait_until

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TOKEN = "11111111-2222-3333-4444-555555555555"
GENERAL_LOG = {"general_log": "ON", "general_log_file": "general.log"}


class Killed(BaseException):
    """The function's process ends here."""


@pytest.fixture(scope="module")
def server() -> Iterator[MariadbServer]:
    with MariadbServer.start(settings=GENERAL_LOG) as started:
        yield started


@pytest.fixture(scope="module")
def tls_server() -> Iterator[MariadbServer]:
    with MariadbServer.start(tls=True) as started:
        yield started


@pytest.fixture
def username(server: MariadbServer) -> str:
    name = f"user_{secrets.token_hex(4)}"
    server.create_user(name, "first password")
    return name


def connect(value: dict[str, object], **more: object) -> MariadbConnection:
    engine = Engine()
    return engine.connect(engine.login({**value, **more}))


def rotate(service: FakeSecretsManager, token: str = TOKEN, steps: tuple[str, ...] = STEPS) -> None:
    if token not in service.versions:
        service.begin_rotation(token)
    rotator = Rotator(Engine(), single_user.Strategy(), client=lambda: service)
    for step in steps:
        rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)


def stored_form(server: MariadbServer, username: str, host: str = "%") -> str:
    [[form]] = server.run(
        f"SELECT authentication_string FROM mysql.user WHERE User = {quoted(username)} AND Host = '{host}'"
    )
    return str(form)


@contextmanager
def changed(server: MariadbServer, change: str, back: str) -> Iterator[None]:
    server.run(change)
    try:
        yield
    finally:
        server.run(back)


# What it does.


def test_a_rotation_killed_anywhere_leaves_a_stored_password_that_logs_in(
    server: MariadbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_run = MariadbConnection._run
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            if next(moments) == fatal:
                raise Killed

        def run(self: MariadbConnection, statement: str) -> list[list[Any]]:
            interrupt("before a statement")
            rows = real_run(self, statement)
            interrupt("after a statement")
            return rows

        monkeypatch.setattr(MariadbConnection, "_run", run)
        name = f"killed_{fatal}"
        server.create_user(name, "first password")
        service = FakeSecretsManager(server.secret_value(name, "first password"), interrupt)
        service.begin_rotation(TOKEN)
        try:
            rotate(service)
        except Killed:
            assert any(server.accepts(name, password) for password in service.passwords())
            rotate(service)
            survived = False
        else:
            survived = True
        assert server.accepts(name, service.value("AWSCURRENT")["password"])
        assert not server.accepts(name, "first password")
        if survived:
            break
    assert fatal > 20


def test_two_rotations_leave_current_and_previous_behind(server: MariadbServer, username: str) -> None:
    service = FakeSecretsManager(server.secret_value(username, "first password"))
    for token in ("token-1", "token-2"):
        rotate(service, token)
    assert service.value("AWSCURRENT") != service.value("AWSPREVIOUS")
    assert server.accepts(username, service.value("AWSCURRENT")["password"])
    assert not server.accepts(username, service.value("AWSPREVIOUS")["password"])


def test_the_previous_password_helps_when_the_current_one_was_never_set(server: MariadbServer, username: str) -> None:
    service = FakeSecretsManager(server.secret_value(username, "first password"))
    rotate(service)
    # As after a restore of the database from a backup.
    server.run(f"SET PASSWORD FOR {username}@'%' = '{hashes.native('first password')}'")
    rotate(service, "token-2")
    assert server.accepts(username, service.value("AWSCURRENT")["password"])


def test_the_servers_log_never_contains_a_password(server: MariadbServer, username: str) -> None:
    service = FakeSecretsManager(server.secret_value(username, "first password"))
    rotate(service)
    log = (server.directory / "data" / "general.log").read_text()
    assert f"SET PASSWORD FOR '{username}'@'%' = '*" in log
    assert service.value("AWSCURRENT")["password"] not in log


@pytest.mark.parametrize(
    "name", ["we'ird\"; DROP USER root; --", "Ümläut:x", "Upper Case", "back\\slash`tick", "at@sign", "%s{}", "x" * 128]
)
def test_a_user_of_any_name_rotates(server: MariadbServer, name: str) -> None:
    server.create_user(name, "first password")
    service = FakeSecretsManager(server.secret_value(name, "first password"))
    rotate(service)
    assert server.accepts(name, service.value("AWSCURRENT")["password"])


def test_of_several_accounts_of_one_name_the_one_that_logs_in_is_changed(server: MariadbServer, username: str) -> None:
    first = hashes.native("first password")
    for host in ("127.0.0.1", "10.%"):
        server.run(f"CREATE USER {username}@'{host}' IDENTIFIED BY PASSWORD '{first}'")
    service = FakeSecretsManager(server.secret_value(username, "first password"))
    rotate(service)
    assert stored_form(server, username, "127.0.0.1") == hashes.native(service.value("AWSCURRENT")["password"])
    assert stored_form(server, username, "%") == stored_form(server, username, "10.%") == first


def test_a_user_who_gets_in_as_another_account_is_not_admitted(server: MariadbServer, username: str) -> None:
    form = hashes.native("of anybody")
    with connect(server.superuser_value()) as superuser:
        # To the server this one, for its host, goes before users who may come from everywhere.
        superuser._run(f"CREATE USER ''@'127.0.0.1' IDENTIFIED BY PASSWORD '{form}'")
        try:
            with pytest.raises(base.NotAdmitted, match=r"in as ''@'127\.0\.0\.1', not as itself"):
                connect(server.secret_value(username, "of anybody"))
        finally:
            superuser._run("DROP USER ''@'127.0.0.1'")


def test_a_user_of_ed25519_stays_one(server: MariadbServer) -> None:
    server.run("CREATE USER modern@'%' IDENTIFIED VIA ed25519 USING PASSWORD('first password')")
    service = FakeSecretsManager(server.secret_value("modern", "first password"))
    rotate(service)
    [[statement]] = server.run("SHOW CREATE USER modern@'%'")
    assert f"IDENTIFIED VIA ed25519 USING '{hashes.ed25519(service.value('AWSCURRENT')['password'])}'" in statement
    with pytest.raises(base.AuthenticationFailed):
        connect(server.secret_value("modern", "first password"))


def test_the_first_host_that_answers_and_takes_changes_is_used(server: MariadbServer, username: str) -> None:
    value = server.secret_value(username, "first password")
    with connect(value, host="127.0.0.1,127.0.0.1", port=f"{free_port()},{server.port}") as connection:
        assert connection._run("SELECT @@port") == [[server.port]]


def test_a_database_that_the_secret_names_is_used(server: MariadbServer, username: str) -> None:
    server.run(f"CREATE DATABASE {username}")
    server.run(f"GRANT SELECT ON {username}.* TO {username}@'%'")
    with connect(server.secret_value(username, "first password"), dbname=username) as connection:
        assert connection._run("SELECT DATABASE()") == [[username]]


# TLS.


def test_forced_tls_fails_where_the_server_has_none(server: MariadbServer, username: str) -> None:
    with pytest.raises(base.TlsFailed, match=r"SSL/TLS is not enabled on the host: 127\.0\.0\.1"):
        connect(server.secret_value(username, "first password"), ssl=True)


def test_without_ssl_in_the_secret_plaintext_is_used_only_if_the_server_has_no_tls_and_logged(
    server: MariadbServer, username: str, caplog: pytest.LogCaptureFixture
) -> None:
    connect(server.secret_value(username, "first password")).close()
    assert "has no TLS: connecting without encryption" in caplog.text


def test_forced_tls_refuses_a_certificate_nobody_vouches_for(tls_server: MariadbServer) -> None:
    with pytest.raises(base.TlsFailed, match=r"self.signed certificate"):
        connect(tls_server.secret_value("secure", "x"), host="localhost", ssl="true")


def test_forced_tls_refuses_a_certificate_for_another_name(
    tls_server: MariadbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.certificate_path))
    with pytest.raises(base.TlsFailed, match="Hostname verification failed"):
        connect(tls_server.secret_value("secure", "x"), ssl=True)


def test_forced_tls_takes_a_certificate_that_the_environment_vouches_for(
    tls_server: MariadbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.certificate_path))
    tls_server.create_user("vouched", "first password")
    with connect(tls_server.secret_value("vouched", "first password"), host="localhost", ssl=True) as connection:
        assert connection._run("SHOW SESSION STATUS LIKE 'Ssl_version'")[0][1].startswith("TLS")


def test_without_ssl_in_the_secret_tls_is_used_where_there_is_one(
    tls_server: MariadbServer, caplog: pytest.LogCaptureFixture
) -> None:
    tls_server.create_user("secure", "first password")
    tls_server.run("ALTER USER secure REQUIRE SSL")
    service = FakeSecretsManager(tls_server.secret_value("secure", "first password"))
    rotate(service)
    with connect(service.value("AWSCURRENT")) as connection:
        assert connection._run("SHOW SESSION STATUS LIKE 'Ssl_version'")[0][1].startswith("TLS")
    assert "without encryption" not in caplog.text
    # The server does not say why it refuses the right password.
    with pytest.raises(base.AuthenticationFailed, match="or this user must use TLS, which the secret forbids"):
        connect(service.value("AWSCURRENT"), ssl=False)


# What it says when it cannot.


def test_a_port_where_nothing_listens_is_a_refused_connection() -> None:
    value = {"engine": "mariadb", "host": "127.0.0.1", "port": free_port(), "username": "u", "password": "p"}
    with pytest.raises(base.ConnectionRefused, match="Connection refused"):
        connect(value)


@pytest.mark.parametrize("ssl", [None, False, True])
def test_a_server_that_never_answers_is_a_time_out(ssl: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        value = {"engine": "mariadb", "host": "127.0.0.1", "port": port, "username": "u", "password": "p"}
        with pytest.raises(base.ConnectionTimedOut, match="no answer within the time limit"):
            connect(value, ssl=ssl)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x05\0\0\0\x0a5.5\0", bytes(80)]
)
def test_something_that_is_no_mariadb_server_is_reported(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        value = {"engine": "mariadb", "host": "127.0.0.1", "port": port, "username": "u", "password": "marked"}
        with pytest.raises(base.ConnectionLost) as caught:
            connect(value)
        thread.join(10)
    assert "marked" not in str(caught.value)


def test_a_server_of_the_other_kind_is_named(server: MariadbServer, username: str) -> None:
    engine = MysqlEngine()
    login = engine.login({**server.secret_value(username, "first password"), "engine": "mysql"})
    with pytest.raises(base.AnotherProduct, match=r"is no MySQL server: it says 1.*MariaDB.*Hint: Set engine"):
        engine.connect(login)


def test_a_missing_database_is_named(server: MariadbServer, username: str) -> None:
    with pytest.raises(base.DatabaseMissing, match="Unknown database 'nowhere'"):
        connect(server.superuser_value(), dbname="nowhere")
    # Whoever has no right to it is not told whether it is there.
    with pytest.raises(base.DatabaseMissing, match="to database 'nowhere'"):
        connect(server.secret_value(username, "first password"), dbname="nowhere")


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ("ALTER USER {} ACCOUNT LOCK", base.NotAdmitted, "this account is locked"),
        ("ALTER USER {} PASSWORD EXPIRE", base.NotAdmitted, "password has expired|SET PASSWORD before"),
        ("ALTER USER {} IDENTIFIED VIA unix_socket", base.AuthenticationMethodRefused, "Access denied for user"),
        ("ALTER USER {} WITH MAX_CONNECTIONS_PER_HOUR 1", base.NotReady, "exceeded the 'max_connections_per_hour'"),
    ],
)
def test_why_a_user_may_not_log_in_is_named(
    server: MariadbServer, username: str, change: str, kind: type[base.DatabaseError], reason: str
) -> None:
    server.run(change.format(f"{username}@'%'"))
    value = server.secret_value(username, "first password")

    def log_in_twice() -> None:
        connect(value).close()
        connect(value).close()

    with pytest.raises(kind, match=reason):
        log_in_twice()


def test_a_user_with_two_ways_in_is_refused_before_one_of_them_is_changed(server: MariadbServer) -> None:
    server.run("CREATE USER doubly@'%' IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('first')")
    service = FakeSecretsManager(server.secret_value("doubly", "first"))
    with pytest.raises(base.AuthenticationMethodRefused, match="any of unix_socket, mysql_native_password"):
        rotate(service)
    assert server.accepts("doubly", "first")


def test_a_server_that_is_full_is_not_ready(server: MariadbServer, username: str) -> None:
    server.run(f"ALTER USER {username}@'%' WITH MAX_USER_CONNECTIONS 1")
    value = server.secret_value(username, "first password")
    with connect(value), pytest.raises(base.NotReady, match="max_user_connections"):
        connect(value)


def test_a_read_only_server_is_named_as_such_to_everybody(server: MariadbServer, username: str) -> None:
    with changed(server, "SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF"):
        for value in (server.superuser_value(), server.secret_value(username, "first password")):
            with pytest.raises(base.ReadOnlyReplica, match=r"read_only is ON.*Hint: Put the writer's endpoint"):
                connect(value)
    with connect(server.secret_value(username, "first password")) as connection:
        # It became one after the login.
        with (
            changed(server, "SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF"),
            pytest.raises(base.ReadOnlyReplica, match="--read-only"),
        ):
            connection.set_password(username, "second password", lambda: None)
        connection.set_password(username, "second password", lambda: None)


def test_another_users_password_needs_a_grant_and_a_missing_user_is_named(server: MariadbServer, username: str) -> None:
    with connect(server.secret_value(username, "first password")) as connection, pytest.raises(base.MissingGrant):
        connection.set_password("root", "second password", lambda: None)
    with connect(server.superuser_value()) as connection:
        with pytest.raises(base.UserMissing, match="may log in nowhere"):
            connection.set_password("nobody_here", "second password", lambda: None)
        connection.set_password(username, "second password", lambda: None)
    assert server.accepts(username, "second password")


def test_a_password_rule_of_the_server_is_named(server: MariadbServer, username: str) -> None:
    # The rule cannot look into a hash, and the server refuses what it cannot look into.
    with (
        changed(server, "INSTALL SONAME 'simple_password_check'", "UNINSTALL SONAME 'simple_password_check'"),
        connect(server.secret_value(username, "first password")) as connection,
    ):
        with pytest.raises(base.PasswordRejected, match=r"strict-password-validation.*Hint: .* hashed by the client"):
            connection.set_password(username, "second password", lambda: None)
        with changed(
            server, "SET GLOBAL strict_password_validation = OFF", "SET GLOBAL strict_password_validation = ON"
        ):
            connection.set_password(username, "second password", lambda: None)
    assert server.accepts(username, "second password")


def test_a_connection_that_the_server_ends_is_lost(server: MariadbServer, username: str) -> None:
    with connect(server.secret_value(username, "first password")) as connection:
        server.run(f"KILL USER {username}")
        with pytest.raises(base.ConnectionLost):
            connection.test()


# Two at once, and one that is halted.


def test_while_a_password_waits_to_be_confirmed_no_other_rotation_sets_one(
    server: MariadbServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "LOCK_TIMEOUT_SECONDS", 0)

    def refuse() -> None:
        with (
            connect(server.secret_value(username, "first password")) as other,
            pytest.raises(base.NotReady, match="another rotation of user"),
        ):
            other.set_password(username, "third password", lambda: None)
        raise ValueError("not any more")

    with (
        connect(server.secret_value(username, "first password")) as connection,
        pytest.raises(ValueError, match="not any more"),
    ):
        connection.set_password(username, "second password", refuse)
    assert server.accepts(username, "first password")


def test_a_function_that_is_halted_before_it_confirms_is_ended_by_the_server(
    server: MariadbServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "STATEMENT_TIMEOUT_SECONDS", 1)
    sessions = f"SELECT 1 FROM information_schema.processlist WHERE user = '{username}'"

    def pass_by() -> None:
        wait_until(lambda: not server.run(sessions), "the end of the session")
        with connect(server.secret_value(username, "first password")) as other:
            other.set_password(username, "of a later rotation", lambda: None)

    with connect(server.secret_value(username, "first password")) as connection, pytest.raises(base.ConnectionLost):
        connection.set_password(username, "second password", pass_by)
    assert server.accepts(username, "of a later rotation")


def test_a_statement_that_waits_gives_up_and_never_comes_true(
    server: MariadbServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "STATEMENT_TIMEOUT_SECONDS", 1)
    with connect(server.superuser_value()) as blocker:
        blocker._run("FLUSH TABLES WITH READ LOCK")
        with (
            connect(server.secret_value(username, "first password")) as connection,
            pytest.raises(base.StatementTimedOut, match="max_statement_time exceeded"),
        ):
            connection.set_password(username, "second password", lambda: None)
        blocker._run("UNLOCK TABLES")
    assert server.accepts(username, "first password")


# The server that tests use.


def test_without_server_programs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(KeyturnError, match="No MariaDB server programs were found") as caught:
        MariadbServer.start()
    assert "mariadb-server" in caught.value.hints[0]


def test_a_server_does_not_show_its_password(server: MariadbServer) -> None:
    assert server.superuser_password not in repr(server)
