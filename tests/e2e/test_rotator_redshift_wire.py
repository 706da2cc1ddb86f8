"""What the Redshift function says on the wire, to a scripted server: no Redshift is at hand to say it to."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.rotators import alternating_users, single_user
from keyturn.rotators.engines import base, redshift
from keyturn.rotators.engines.postgresql_family.connection import md5_verifier
from keyturn.rotators.handler import Rotator
from keyturn.rotators.package import build
from keyturn.testing.postgresql import PostgresqlServer
from keyturn.testing.private_server import Owner, write_certificate
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

from .redshift_server import CLEAR, DIGEST, IDENTITY_PROVIDER, MD5, Error, RedshiftServer, Row
from .stand_ins import Catalogue

PASSWORD = "marked Pass'word"
SALT = "c721bff5d9042cf541ff7b9d48fa8a6e545c19a763e3710151f9513038b0f6c6"
STORED_MD5 = md5_verifier("app", PASSWORD)


def sha256_form(password: str, *, salt_is_written: bool) -> str:
    salt = SALT.encode() if salt_is_written else bytes.fromhex(SALT)
    return f"sha256|{hashlib.sha256(password.encode() + salt).hexdigest()}|{SALT}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    write_certificate(Owner(None), folder)
    return folder


def value(server: RedshiftServer, **more: object) -> dict[str, object]:
    return {
        "engine": "redshift", "host": "localhost", "port": server.port, "username": "app", "password": PASSWORD, **more
    }  # fmt: skip


def connect(server: RedshiftServer, **more: object) -> redshift.RedshiftConnection:
    engine = redshift.Engine()
    return engine.connect(engine.login(value(server, **more)))


def refusal(server: RedshiftServer, **more: object) -> base.DatabaseError:
    with pytest.raises(base.DatabaseError) as caught:
        connect(server, **more)
    assert PASSWORD not in f"{caught.value} {caught.value!r}"
    return caught.value


# Login and TLS.


@pytest.mark.parametrize("ssl", [None, True, False])
@pytest.mark.parametrize("method", [MD5, DIGEST])
def test_a_login_proves_the_password_and_shows_it_nowhere(
    ssl: bool | None, method: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "server.crt"))
    stored = STORED_MD5 if method == MD5 else sha256_form(PASSWORD, salt_is_written=False)
    with RedshiftServer({"app": stored}, certificate=certificate) as server:
        with connect(server, ssl=ssl) as connection:
            connection.test()
            assert connection.password_was_checked
        assert isinstance(refusal(server, ssl=ssl, password="wrong"), base.AuthenticationFailed)
        assert server.asked == [method, method]
    assert PASSWORD.encode() not in server.clear
    # The user's name only where the secret forbids TLS.
    assert (b"app" in server.clear) == (ssl is False)


def test_a_server_without_tls_is_heard_of(caplog: pytest.LogCaptureFixture) -> None:
    with RedshiftServer({"app": STORED_MD5}) as server:
        assert isinstance(refusal(server, ssl=True), base.TlsFailed)
        assert server.statements == []
        connect(server).close()
    assert "has no TLS: connecting without encryption" in caplog.text


def test_ssl_true_wants_a_certificate_that_holds(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificate(Owner(None), tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.crt"))
    with RedshiftServer({"app": STORED_MD5}, certificate=certificate) as server:
        assert isinstance(refusal(server, ssl=True), base.TlsFailed)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "server.crt"))
        assert refusal(server, ssl=True, host="127.0.0.1").reason.startswith("Hostname verification failed")
        connect(server, ssl=True).close()


@pytest.mark.parametrize("ssl", [None, False])
def test_a_server_that_wants_to_see_the_password_does_not(ssl: bool | None, certificate: Path) -> None:
    with RedshiftServer({"app": STORED_MD5}, method=CLEAR, certificate=certificate) as server:
        error = refusal(server, ssl=ssl)
    assert isinstance(error, base.AuthenticationMethodRefused)
    assert PASSWORD.encode() not in server.clear


def test_a_user_of_an_identity_provider_is_named() -> None:
    with RedshiftServer({"app": STORED_MD5}, method=IDENTITY_PROVIDER) as server:
        error = refusal(server)
    assert isinstance(error, base.AuthenticationMethodRefused)
    assert "14" in error.reason


@pytest.mark.parametrize(
    ("code", "text", "ssl", "kind"),
    [
        ("28000", 'password authentication failed for user "app"', None, base.AuthenticationFailed),
        ("28000", 'no pg_hba.conf entry for host "::1", user "app", database "dev", SSL off', False, base.TlsRequired),
        ("28000", 'no pg_hba.conf entry for host "::1", user "app", database "dev", SSL on', None, base.NotAdmitted),
        ("3D000", 'database "dev" does not exist', None, base.DatabaseMissing),
        ("53300", 'connection limit "500" exceeded for non-bootstrap users', None, base.NotReady),
        ("57P03", "the database system is starting up", None, base.NotReady),
        ("XX000", "something new", None, base.DatabaseError),
    ],
)
def test_a_refused_login_is_named(code: str, text: str, ssl: bool | None, kind: type[base.DatabaseError]) -> None:
    with RedshiftServer({}, refusal=Error(code, text)) as server:
        error = refusal(server, ssl=ssl)
    assert type(error) is kind
    assert text in error.reason
    assert error.code == code


def test_what_is_no_redshift_is_named() -> None:
    with RedshiftServer({"app": STORED_MD5}, version="PostgreSQL 16.4 on x86_64-pc-linux-gnu") as server:
        error = refusal(server)
    assert isinstance(error, base.AnotherProduct)
    assert "PostgreSQL 16.4" in error.reason


# Statements.


def test_a_user_changes_its_own_password_without_showing_it(certificate: Path) -> None:
    with RedshiftServer({"app": STORED_MD5}, certificate=certificate) as server:
        with connect(server, ssl=False) as connection:
            for _ in range(2):
                connection.set_password("app", "new marked", lambda: None)
        connect(server, password="new marked").close()
        assert server.stored == {"app": md5_verifier("app", "new marked")}
        assert server.statements[:6] == [
            "SET search_path = pg_catalog",
            "SELECT version()",
            "SET statement_timeout TO 20000",
            "BEGIN",
            f"ALTER USER \"app\" PASSWORD '{md5_verifier('app', 'new marked')}'",
            "COMMIT",
        ]
    assert b"new marked" not in server.clear


@pytest.mark.parametrize("salt_is_written", [False, True])
def test_a_user_with_a_sha256_form_keeps_one_with_another_salt(salt_is_written: bool) -> None:
    stored = sha256_form(PASSWORD, salt_is_written=salt_is_written)
    with RedshiftServer({"app": stored}, salt_is_written=salt_is_written) as server:
        with connect(server) as connection:
            connection.set_password("app", "new marked", lambda: None)
        connect(server, password="new marked").close()
        assert re.fullmatch(r"sha256\|[0-9a-f]{64}\|[0-9a-f]{64}", server.stored["app"])
        assert SALT not in server.stored["app"]
        assert set(server.asked) == {DIGEST}
        assert not any("marked" in statement for statement in server.statements)


def test_a_sha256_form_that_the_server_does_not_take_is_replaced_by_the_documented_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with RedshiftServer({"app": sha256_form(PASSWORD, salt_is_written=False)}) as server:
        with connect(server) as connection:
            server.takes_digests = False
            confirmed: list[None] = []
            connection.set_password("app", "new marked", lambda: confirmed.append(None))
        assert server.stored["app"] == md5_verifier("app", "new marked")
        connect(server, password="new marked").close()
    assert len(confirmed) == 2
    assert "MD5 is used" in caplog.text


def test_nothing_is_changed_when_the_rotation_is_not_confirmed() -> None:
    def refuse() -> None:
        raise ValueError("not any more")

    with RedshiftServer({"app": STORED_MD5}) as server:
        with connect(server) as connection, pytest.raises(ValueError, match="not any more"):
            connection.set_password("app", "new", refuse)
        assert server.stored == {"app": STORED_MD5}
        assert server.statements[-1] == "ROLLBACK"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Error("42501", 'permission denied to alter user "app"'), base.MissingGrant),
        (Error("XX000", "1023 DETAIL: Serializable isolation violation on table"), base.LockTimedOut),
        (Error("57014", "Query (1) canceled on user's request"), base.StatementTimedOut),
        (Error("42704", 'user "app" does not exist'), base.UserMissing),
    ],
)
def test_a_refused_statement_is_named_and_undone(error: Error, kind: type[base.DatabaseError]) -> None:
    with RedshiftServer({"app": STORED_MD5}, lambda statement, _: error if "ALTER" in statement else []) as server:
        with connect(server) as connection, pytest.raises(kind, match=re.escape(error.text)):
            connection.set_password("app", "new", lambda: None)
        assert server.statements[-1] == "ROLLBACK"
    assert server.stored == {"app": STORED_MD5}


# Two users.


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue()


def create(server: RedshiftServer, username: str = "app_clone", like: str = "app") -> list[str]:
    """Make or complete a user as the superuser, and return the statements that changed something."""
    server.stored.setdefault("root", md5_verifier("root", PASSWORD))
    with connect(server, username="root") as connection:
        connection.create_user_like(username, like, "new marked", lambda: None)
    assert server.stored[username] == md5_verifier(username, "new marked")
    begun = len(server.statements) - 1 - server.statements[::-1].index("BEGIN")
    assert server.statements[-1] == "COMMIT"
    return server.statements[begun + 1 : -1]


def test_a_second_user_is_made_with_options_groups_roles_and_grants(catalogue: Catalogue) -> None:
    catalogue.users["app"] = ([True, True, "UNRESTRICTED", "30", 120], "2027-06-10 00:00:00+00")
    catalogue.granted = {
        ("app", "pg_group"): [["readers"], ['odd "one']],
        ("app", "svv_user_grants"): [["analyst", False], ["head", True]],
        ("app", "svv_database_privileges"): [["CREATE", "DATABASE", "dev", False], ["SELECT", "TABLES", "dev", False]],
        ("app", "svv_schema_privileges"): [["USAGE", "SCHEMA", "sales", True]],
        ("app", "svv_relation_privileges"): [["SELECT", "sales", "orders", False], ["INSERT", "sales", "orders", True]],
        ("app", "svv_column_privileges"): [["UPDATE", "sales", "items", "price"]],
        ("app", "svv_function_privileges"): [
            ["public", "tax", "integer, character varying", False],
            ["public", "close_day", "", False],
        ],
        ("", "svv_redshift_functions"): [["public", "close_day"]],
        ("app", "svv_default_privileges"): [
            ["loader", "sales", "SELECT", "RELATION", False],
            ["loader", None, "EXECUTE", "FUNCTION", False],
        ],
    }
    with RedshiftServer({}, catalogue) as server:
        statements = create(server)
    assert statements[0] == (
        f"CREATE USER \"app_clone\" PASSWORD '{md5_verifier('app_clone', 'new marked')}' CREATEDB CREATEUSER"
        " SYSLOG ACCESS UNRESTRICTED CONNECTION LIMIT 30 SESSION TIMEOUT 120 VALID UNTIL '2027-06-10 00:00:00+00'"
    )
    assert set(statements[1:]) == {
        'ALTER GROUP "readers" ADD USER "app_clone"',
        'ALTER GROUP "odd ""one" ADD USER "app_clone"',
        'GRANT ROLE "analyst" TO "app_clone"',
        'GRANT ROLE "head" TO "app_clone" WITH ADMIN OPTION',
        'GRANT CREATE ON DATABASE "dev" TO "app_clone"',
        'GRANT SELECT FOR TABLES IN DATABASE "dev" TO "app_clone"',
        'GRANT USAGE ON SCHEMA "sales" TO "app_clone" WITH GRANT OPTION',
        'GRANT SELECT ON TABLE "sales"."orders" TO "app_clone"',
        'GRANT INSERT ON TABLE "sales"."orders" TO "app_clone" WITH GRANT OPTION',
        'GRANT UPDATE ("price") ON TABLE "sales"."items" TO "app_clone"',
        'GRANT EXECUTE ON FUNCTION "public"."tax"(integer, character varying) TO "app_clone"',
        'GRANT EXECUTE ON PROCEDURE "public"."close_day"() TO "app_clone"',
        'ALTER DEFAULT PRIVILEGES FOR USER "loader" IN SCHEMA "sales" GRANT SELECT ON TABLES TO "app_clone"',
        'ALTER DEFAULT PRIVILEGES FOR USER "loader" GRANT EXECUTE ON FUNCTIONS TO "app_clone"',
    }
    assert len(statements) == 15


def test_a_second_user_that_exists_gets_what_it_lacks_and_the_password(catalogue: Catalogue) -> None:
    catalogue.users["app_clone"] = catalogue.users["app"]
    catalogue.granted["app", "svv_user_grants"] = [["analyst", True]]
    catalogue.granted["app_clone", "svv_user_grants"] = [["analyst", False]]
    password = f"PASSWORD '{md5_verifier('app_clone', 'new marked')}'"
    with RedshiftServer({}, catalogue) as server:
        assert create(server) == [
            f"ALTER USER \"app_clone\" {password} VALID UNTIL 'infinity'",
            'GRANT ROLE "analyst" TO "app_clone" WITH ADMIN OPTION',
        ]
        catalogue.users["app"] = (catalogue.users["app"][0], "2027-06-10 00:00:00+00")
        assert create(server)[0] == f"ALTER USER \"app_clone\" {password} VALID UNTIL '2027-06-10 00:00:00+00'"
        # The first one's own end is left to its administrator.
        catalogue.granted["app_clone", "svv_user_grants"] = [["analyst", True]]
        password = f"PASSWORD '{md5_verifier('app', 'new marked')}'"
        assert create(server, "app", "app_clone") == [f'ALTER USER "app" {password}']


@pytest.mark.parametrize(
    ("options", "granted", "shown"),
    [
        ([False, True, "RESTRICTED", "UNLIMITED", 0], {}, "(superuser)"),
        (None, {"pg_group": [["admins"]]}, '(GROUP "admins")'),
        (None, {"svv_relation_privileges": [["DELETE", "sales", "orders", False]]}, 'DELETE ON TABLE "sales"."orders"'),
        (None, {"svv_user_grants": [["analyst", True]]}, '(ROLE "analyst" with grant option)'),
    ],
)
def test_a_second_user_that_may_do_more_is_somebody_elses(
    options: Row | None, granted: dict[str, list[Row]], shown: str, catalogue: Catalogue
) -> None:
    catalogue.granted["app", "svv_user_grants"] = [["analyst", False]]
    catalogue.users["app_clone"] = (options or catalogue.users["app"][0], None)
    catalogue.granted |= {("app_clone", view): rows for view, rows in granted.items()}
    with RedshiftServer({}, catalogue) as server:
        with pytest.raises(base.NotAClone, match=re.escape(shown)):
            create(server)
        assert "BEGIN" not in server.statements


def test_there_is_no_clone_of_nobody(catalogue: Catalogue) -> None:
    catalogue.users.clear()
    with RedshiftServer({}, catalogue) as server, pytest.raises(base.UserMissing, match="there is no user app"):
        create(server)


# What a secret may say.


@pytest.mark.parametrize("username", ["IAM:app", "IAMR:app", "AWSIDC:app@example.com"])
def test_users_without_a_password_are_refused_before_anything_is_stored(username: str) -> None:
    with pytest.raises(ValueError, match="has no password"):
        redshift.Engine().login({"engine": "redshift", "host": "h", "username": username, "password": "p"})


def test_a_value_without_port_and_dbname_is_for_dev() -> None:
    login = redshift.Engine().login({"engine": "redshift", "host": "h", "username": "app", "password": "p"})
    assert (login.addresses, login.dbname) == ((("h", 5439),), "dev")
    assert redshift.Engine().alternate_username("x" * 121) == "x" * 121 + "_clone"
    with pytest.raises(ValueError, match="would exceed 127 bytes"):
        redshift.Engine().alternate_username("ü" * 61)


def test_the_package_logs_in_with_nothing_but_lambdas_own_beside_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(build("redshift", "alternating_users"))) as archive:
        archive.extractall(tmp_path)
    program = (
        f"import json, sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from keyturn_rotators.engines.redshift import Engine\n"
        "with Engine().connect(Engine().login(json.load(sys.stdin))) as connection: connection.test()\n"
        "assert 'keyturn' not in sys.modules"
    )
    with RedshiftServer({"app": sha256_form(PASSWORD, salt_is_written=False)}) as server:
        # -I and -S: neither this environment's packages nor its variables are seen.
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], input=json.dumps(value(server)), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert server.asked == [DIGEST]


# What a real server of the family says: PostgreSQL, which Redshift was made from.


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    rules = "host all all 127.0.0.1/32 md5\n"
    try:
        started = PostgresqlServer.start(hba=rules, settings={"password_encryption": "md5"})
    except KeyturnError as error:
        if "server programs were found" in error.message:
            pytest.skip(f"{error.hints[0]} make test does so.")
        raise
    with started:
        yield started


def test_a_postgresql_server_is_logged_into_by_md5_and_is_no_redshift(postgresql: PostgresqlServer) -> None:
    postgresql.create_user("kin", "first")
    engine = redshift.Engine()
    login = engine.login({**postgresql.secret_value("kin", "first"), "engine": "redshift"})
    with pytest.raises(base.AnotherProduct, match="PostgreSQL"):
        engine.connect(login)


def test_the_statements_that_both_have_change_a_password_on_postgresql(
    postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redshift.RedshiftConnection, "_know_server", lambda _: None)
    postgresql.create_user("kin to change", "first")
    engine = redshift.Engine()
    first = engine.login({**postgresql.secret_value("kin to change", "first"), "engine": "redshift"})
    with engine.connect(first) as connection:
        assert connection.password_was_checked
        connection.set_password("kin to change", "second", lambda: None)

        def refuse() -> None:
            assert postgresql.accepts("kin to change", "second")
            raise ValueError("not any more")

        with pytest.raises(ValueError, match="not any more"):
            connection.set_password("kin to change", "third", refuse)
    assert postgresql.accepts("kin to change", "second")
    assert not postgresql.accepts("kin to change", "first")


# Whole rotations.

SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


@pytest.mark.parametrize(
    "strategy", [single_user.Strategy(), alternating_users.Strategy()], ids=["single", "alternating"]
)
@pytest.mark.parametrize("stored", [STORED_MD5, sha256_form(PASSWORD, salt_is_written=False)], ids=["md5", "sha256"])
def test_after_each_rotation_the_new_value_logs_in_and_the_one_before_last_does_not(
    stored: str, strategy: single_user.Strategy | alternating_users.Strategy, catalogue: Catalogue
) -> None:
    with RedshiftServer({"app": stored, "root": md5_verifier("root", PASSWORD)}, catalogue) as server:
        service = FakeSecretsManager({**value(server), "masterarn": SUPERUSER_ARN})
        service.others[SUPERUSER_ARN] = value(server, username="root")
        rotator = Rotator(redshift.Engine(), strategy, client=lambda: service)
        values = [service.value("AWSCURRENT")]
        for token in ("token-1", "token-2", "token-3"):
            service.begin_rotation(token)
            for step in STEPS:
                for _ in range(2):
                    rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)
            values.append(service.value("AWSCURRENT"))
            connect(server, **values[-1]).close()
            for old in values[:-2]:
                assert isinstance(refusal(server, **old), base.AuthenticationFailed)
            catalogue.users.setdefault("app_clone", catalogue.users["app"])
        assert len({each["password"] for each in values}) == 4
        told = "".join(server.statements)
        assert not any(str(each["password"]) in told for each in values)
        assert server.stored["root"] == md5_verifier("root", PASSWORD)
