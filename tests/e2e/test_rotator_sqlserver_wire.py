"""What the SQL Server function says on the wire, to a scripted server: no SQL Server is at hand to say it to."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.rotators import alternating_users, single_user
from keyturn.rotators.engines import base, sqlserver
from keyturn.rotators.handler import Rotator
from keyturn.rotators.package import build
from keyturn.testing.private_server import Owner, write_certificate
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

from .stand_ins import LOGIN_SESSION, Logins
from .tds_server import NOT_SUPPORTED, OFF, ON, REQUIRED, Answer, Error, Rows, TdsServer

PASSWORD = "marked Pass'word"
MASKED = bytes((byte << 4 & 0xF0 | byte >> 4) ^ 0xA5 for byte in PASSWORD.encode("utf-16-le"))


# VERSION and ENCRYPTION: on.
PRELOGIN_ANSWER = bytes.fromhex("0401001a00000000 00000b0006 0100110001 ff 100007d00000 01")


def packet(kind: int, content: bytes) -> bytes:
    return bytes([kind, 1]) + (len(content) + 8).to_bytes(2, "big") + bytes(4) + content


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    write_certificate(Owner(None), folder)
    return folder


@pytest.fixture(autouse=True)
def other_authorities(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    write_certificate(Owner(None), other)
    monkeypatch.setenv("SSL_CERT_FILE", str(other / "server.crt"))


def answer_session(batch: str) -> Answer:
    return [LOGIN_SESSION] if "authenticating_database_id" in batch else []


def value(server: TdsServer, **more: object) -> dict[str, object]:
    return {
        "engine": "sqlserver", "host": "localhost", "port": server.port, "username": "app", "password": PASSWORD, **more
    }  # fmt: skip


def connect(server: TdsServer, **more: object) -> sqlserver.SqlserverConnection:
    engine = sqlserver.Engine()
    return engine.connect(engine.login(value(server, **more)))


def refusal(server: TdsServer, **more: object) -> base.DatabaseError:
    with pytest.raises(base.DatabaseError) as caught:
        connect(server, **more)
    assert PASSWORD not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None
    return caught.value


# Login and TLS.


@pytest.mark.parametrize("encryption", [ON, REQUIRED])
@pytest.mark.parametrize("ssl", [None, True, False])
def test_login_and_statements_go_over_tls_whatever_the_secret_says(
    ssl: bool | None, encryption: int, certificate: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "server.crt"))
    with TdsServer(answer_session, certificate=certificate, encryption=encryption) as server:
        with connect(server, ssl=ssl, dbname="orders") as connection:
            connection.test()
            assert connection.password_was_checked
        assert server.logins == [("app", PASSWORD, "orders")]
        assert "SYSUTCDATETIME" in server.batches[-1]
    for shown in (PASSWORD.encode("utf-16-le"), MASKED, "app".encode("utf-16-le"), "SELECT".encode("utf-16-le")):
        assert shown not in server.clear
    assert ("nobody vouches for its certificate" in caplog.text) == (ssl is not True)


def test_ssl_true_wants_a_certificate_that_holds_and_the_name_in_it(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TdsServer(answer_session, certificate=certificate) as server:
        error = refusal(server, ssl=True)
        assert isinstance(error, base.TlsFailed)
        assert "certificate" in error.reason
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "server.crt"))
        error = refusal(server, ssl=True, host="127.0.0.1")
        assert isinstance(error, base.TlsFailed)
        assert error.reason.startswith("Hostname verification failed")
        assert server.logins == []


@pytest.mark.parametrize("encryption", [OFF, NOT_SUPPORTED])
@pytest.mark.parametrize("ssl", [None, True, False])
def test_a_server_without_tls_hears_no_login(ssl: bool | None, encryption: int) -> None:
    with TdsServer(encryption=encryption) as server:
        error = refusal(server, ssl=ssl)
    assert isinstance(error, base.TlsFailed)
    assert "SSL/TLS is not enabled on the host: localhost" in error.reason
    assert ("ssl is false" in error.reason) == (ssl is False)
    # PRELOGIN and nothing behind it.
    assert server.clear[0] == 0x12
    assert len(server.clear) == int.from_bytes(server.clear[2:4], "big")


def test_a_server_that_breaks_off_within_the_handshake_is_named(certificate: Path) -> None:
    with TdsServer(encryption=ON) as server:
        assert isinstance(refusal(server), base.ConnectionLost)
    assert b"app" not in server.clear


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], base.ConnectionLost),
        ([b""], base.ConnectionLost),
        ([PRELOGIN_ANSWER, b""], base.ConnectionLost),
        # As if TLS were done, or had never been asked for.
        ([PRELOGIN_ANSWER, packet(0x04, b"\xad and so on")], base.TlsFailed),
        ([PRELOGIN_ANSWER, packet(0x01, b"what a client says")], base.ConnectionLost),
        ([PRELOGIN_ANSWER, packet(0x12, b"\x15\x03\x03\0\2\2\x28")], base.TlsFailed),
    ],
    ids=["a web server", "closes at once", "closes within TLS", "goes on without TLS", "talks nonsense", "a TLS alert"],
)
def test_what_does_not_go_on_with_tls_hears_nothing_more(answers: list[bytes], kind: type[base.DatabaseError]) -> None:
    heard = bytearray()

    def serve() -> None:
        opened, _ = listener.accept()
        # Whoever has gone already is not connected, which is no ConnectionError.
        with opened, contextlib.suppress(OSError):
            for answer in answers:
                heard.extend(opened.recv(4096))
                opened.sendall(answer)
            opened.shutdown(socket.SHUT_WR)
            while more := opened.recv(4096):
                heard.extend(more)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        engine = sqlserver.Engine()
        port = listener.getsockname()[1]
        login = {"engine": "sqlserver", "host": "127.0.0.1", "port": port, "username": "app", "password": PASSWORD}
        with pytest.raises(kind):
            engine.connect(engine.login(login))
        thread.join(10)
        assert not thread.is_alive()
    assert MASKED not in heard
    assert "app".encode("utf-16-le") not in heard


def test_a_server_that_says_nothing_is_not_waited_for(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlserver, "CONNECT_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(sqlserver, "STATEMENT_TIMEOUT_SECONDS", 0.1)
    with TdsServer(lambda _: None, certificate=certificate) as server:
        error = refusal(server)
    assert isinstance(error, base.ConnectionTimedOut)
    assert "localhost" in error.reason


def test_a_gateway_that_sends_us_elsewhere_is_not_followed(certificate: Path) -> None:
    with TdsServer(certificate=certificate, redirect=("elsewhere.example", 11000)) as server:
        error = refusal(server)
    assert isinstance(error, base.BehindProxy)
    assert "elsewhere.example:11000" in error.reason


@pytest.mark.parametrize(
    ("errors", "kind", "shown"),
    [
        ([Error(18456, "Login failed for user 'app'.", 14)], base.AuthenticationFailed, "error log"),
        ([Error(18486, "… the account is currently locked out.", 14)], base.NotAdmitted, "locked out"),
        ([Error(18487, "… The password of the account has expired.", 14)], base.NotAdmitted, "expired"),
        ([Error(18488, "… The password of the account must be changed.", 14)], base.NotAdmitted, "must be changed"),
        ([Error(18470, "… The account is disabled.", 14)], base.NotAdmitted, "disabled"),
        ([Error(18452, "… untrusted domain …", 14)], base.UnsupportedMethod, "beside that of Windows"),
        (
            [Error(4060, "Cannot open database …", 11), Error(18456, "Login failed.", 14)],
            base.DatabaseMissing, "Cannot open database",
        ),
        ([Error(978, "… accessible … application intent …", 14)], base.ReadOnlyReplica, "intent"),
        ([Error(17892, "Logon failed … due to trigger execution.", 14)], base.NotAdmitted, "trigger"),
        ([Error(99999, "something new", 14)], base.DatabaseError, "something new"),
    ],
)  # fmt: skip
def test_a_refused_login_is_named(
    errors: list[Error], kind: type[base.DatabaseError], shown: str, certificate: Path
) -> None:
    with TdsServer(certificate=certificate, admit=lambda *_: errors) as server:
        error = refusal(server)
    assert type(error) is kind
    assert shown in error.reason
    assert error.code == str(errors[0].number)


@pytest.mark.parametrize(
    "session",
    [
        [[0, "orders", "READ_ONLY", 0, 1]],
        [[0, "master", "READ_WRITE", 0, 2]],
    ],
    ids=["the database", "all of the groups' databases"],
)
def test_a_secondary_replica_is_passed_over(session: Rows, certificate: Path) -> None:
    with (
        TdsServer(lambda _: [session], certificate=certificate) as secondary,
        TdsServer(answer_session, certificate=certificate) as primary,
    ):
        assert isinstance(refusal(secondary), base.ReadOnlyReplica)
        both = {"host": "localhost,localhost", "port": f"{secondary.port},{primary.port}"}
        connect(secondary, **both).close()
        assert len(primary.batches) == 1


def test_the_driver_logs_nothing_that_it_sends(certificate: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("pytds").setLevel(logging.NOTSET)
    with (
        caplog.at_level(logging.DEBUG),
        TdsServer(Logins({"app": PASSWORD}), certificate=certificate) as server,
        connect(server) as connection,
    ):
        connection.set_password("app", "other marked", lambda: None)
    assert "marked" not in caplog.text


def test_a_long_answer_comes_in_many_packets(certificate: Path) -> None:
    rows: Rows = [[f"row {number} " + "x" * 3000, number, None] for number in range(20)]

    def answer(batch: str) -> Answer:
        return answer_session(batch) or [rows, rows]

    with TdsServer(answer, certificate=certificate) as server, connect(server) as connection:
        assert connection._run("SELECT …") == [list(row) for row in rows] * 2


# Statements.


@pytest.fixture
def database() -> Logins:
    return Logins({"app": PASSWORD, "root": "Super'user"})


@pytest.fixture
def server(database: Logins, certificate: Path) -> Iterator[TdsServer]:
    with TdsServer(database, database.admit, certificate=certificate) as server:
        yield server


def test_a_login_changes_its_own_password_by_naming_the_old_one(server: TdsServer, database: Logins) -> None:
    with connect(server) as connection:
        for _ in range(2):
            connection.set_password("app", PASSWORD, lambda: None)
        connection.set_password("app", "it's \\ [new] ü", lambda: None)
    assert database.passwords["app"] == "it's \\ [new] ü"
    lock = "keyturn:" + hashlib.sha256(b"app").hexdigest()
    changed = "ISNULL(CONVERT(nvarchar(30), CAST(LOGINPROPERTY(N'app', 'PasswordLastSetTime') AS datetime), 121), N'')"
    overtaken = "the password was set by somebody else at this moment, and nothing was changed"
    assert server.batches[-1].splitlines() == [
        "USE [master];",
        "SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT 9000;",
        "BEGIN TRANSACTION;",
        "DECLARE @lock int;",
        f"EXEC @lock = sys.sp_getapplock N'{lock}', N'Exclusive', N'Transaction', 9000;",
        "IF @lock < 0 THROW 50001, N'another rotation of this user is at work', 1;",
        f"IF {changed} <> N'moment 2' THROW 50002, N'{overtaken}', 1;",
        "ALTER LOGIN [app] WITH PASSWORD = N'it''s \\ [new] ü' OLD_PASSWORD = N'marked Pass''word';",
        "COMMIT TRANSACTION;",
    ]


def test_nothing_is_changed_when_the_rotation_is_not_confirmed(server: TdsServer, database: Logins) -> None:
    def refuse() -> None:
        raise ValueError("not any more")

    with connect(server) as connection, pytest.raises(ValueError, match="not any more"):
        connection.set_password("app", "new", refuse)
    assert database.passwords["app"] == PASSWORD
    assert server.batches[-1].startswith("SELECT ISNULL(")


def test_a_function_that_was_halted_changes_nothing_any_more(server: TdsServer, database: Logins) -> None:
    def pass_by() -> None:
        with connect(server, username="root", password="Super'user") as other:
            other.set_password("app", "of a later rotation", lambda: None)

    with connect(server) as connection, pytest.raises(base.NotReady, match="by somebody else"):
        connection.set_password("app", "of an earlier rotation", pass_by)
    assert database.passwords["app"] == "of a later rotation"


@pytest.mark.parametrize(
    ("error", "kind", "shown"),
    [
        (Error(15118, "Password validation failed. … not complex enough."), base.PasswordRejected, "complex"),
        (Error(15115, "Password validation failed. … at this time."), base.PasswordRejected, "this time"),
        (Error(15151, "Cannot alter the login 'app', because …"), base.MissingGrant, "Cannot alter"),
        (Error(50001, "another rotation of this user is at work"), base.NotReady, "another rotation"),
        (Error(1222, "Lock request time out period exceeded."), base.LockTimedOut, "Lock"),
        (Error(3906, "Failed to update … the database is read-only."), base.ReadOnlyReplica, "read-only"),
        (Error(102, "Incorrect syntax near 'marked'.", 15), base.DatabaseError, "does not understand the statement"),
        (Error(105, "Unclosed quotation mark after … 'marked'.", 15), base.DatabaseError, "does not understand"),
    ],
)  # fmt: skip
def test_a_refused_statement_is_named(
    error: Error, kind: type[base.DatabaseError], shown: str, server: TdsServer, database: Logins
) -> None:
    server.answer = lambda batch: [error, Error(3621, "terminated", 0)] if "BEGIN" in batch else database(batch)
    with connect(server) as connection, pytest.raises(base.DatabaseError) as caught:
        connection.set_password("app", "marked other", lambda: None)
    assert type(caught.value) is kind
    assert shown in caught.value.reason
    assert "marked" not in str(caught.value)


def test_a_server_that_goes_away_in_the_middle_leaves_an_unknown_outcome(server: TdsServer, database: Logins) -> None:
    def leave(batch: str) -> Answer:
        if "BEGIN TRANSACTION" in batch:
            raise EOFError
        return database(batch)

    server.answer = leave
    with connect(server) as connection, pytest.raises(base.ConnectionLost):
        connection.set_password("app", "new", lambda: None)


@pytest.mark.parametrize("password", ["x" * 129, "a\U0001f600b", "a\\\nb", "a\\\r\nb"])
def test_a_password_that_would_not_log_in_is_not_set(password: str, server: TdsServer, database: Logins) -> None:
    with connect(server) as connection, pytest.raises(base.PasswordRejected):
        connection.set_password("app", password, lambda: None)
    assert database.changes == 0


def test_the_package_logs_in_with_nothing_but_python_beside_it(server: TdsServer, tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(build("sqlserver", "single_user"))) as archive:
        archive.extractall(tmp_path)
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} >= {"pytds", "keyturn_rotators", "sqlserver_single_user.py"}
    assert not [name for name in names if name.endswith(".so")]
    program = (
        f"import json, sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from keyturn_rotators.engines.sqlserver import Engine\n"
        "with Engine().connect(Engine().login(json.load(sys.stdin))) as connection: connection.test()\n"
        "assert not {'OpenSSL', 'cryptography', 'keyturn'} & set(sys.modules)"
    )
    # -I and -S: neither this environment's packages nor its variables are seen.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], input=json.dumps(value(server)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert server.logins == [("app", PASSWORD, "master")]


# Whole rotations.

SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


@pytest.mark.parametrize(
    "strategy", [single_user.Strategy(), alternating_users.Strategy()], ids=["single", "alternating"]
)
def test_after_each_rotation_the_new_value_logs_in_and_the_one_before_last_does_not(
    strategy: single_user.Strategy | alternating_users.Strategy, server: TdsServer, database: Logins
) -> None:
    service = FakeSecretsManager({**value(server), "masterarn": SUPERUSER_ARN})
    service.others[SUPERUSER_ARN] = value(server, username="root", password="Super'user")
    rotator = Rotator(sqlserver.Engine(), strategy, client=lambda: service)
    values = [service.value("AWSCURRENT")]
    for token in ("token-1", "token-2", "token-3"):
        service.begin_rotation(token)
        for step in STEPS:
            for _ in range(2):
                rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)
        values.append(service.value("AWSCURRENT"))
        assert database.passwords[values[-1]["username"]] == values[-1]["password"]
        assert not any(database.passwords.get(each["username"]) == each["password"] for each in values[:-2])
    assert database.changes == 3
    assert {each["username"] for each in values} <= {"app", "app_clone"}
    assert database.passwords["root"] == "Super'user"
