"""The MongoDB rotation function with the real driver, against a stand-in that answers over a real socket."""

from __future__ import annotations

import functools
import json
import logging
import socket
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from keyturn.rotators import alternating_users, single_user
from keyturn.rotators.engines import base, mongodb
from keyturn.rotators.engines.mongodb import Engine, MongodbConnection
from keyturn.rotators.handler import Rotator, Strategy
from keyturn.testing.mongodb import MongodbServer
from keyturn.testing.private_server import HOST, free_port
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

from .conftest import ServerProcess, wait_until
from .test_main_job import Job

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TOKEN = "11111111-2222-3333-4444-555555555555"
SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
CHANGE = ("createUser", "updateUser")


class Killed(BaseException):
    """The function's process ends here."""


@pytest.fixture
def mongo() -> Iterator[MongodbServer]:
    with MongodbServer.start() as started:
        started.create_user("app", "first password")
        yield started


def connect(server: MongodbServer, username: str = "app", password: str = "first password", **more: object) -> Any:
    engine = Engine()
    return engine.connect(engine.login({**server.secret_value(username, password), **more}))


def superuser(server: MongodbServer, **more: object) -> Any:
    engine = Engine()
    return engine.connect(engine.login({**server.superuser_value(), **more}))


def rotate(service: FakeSecretsManager, strategy: Strategy | None = None, token: str = TOKEN) -> None:
    if token not in service.versions:
        service.begin_rotation(token)
    rotator = Rotator(Engine(), strategy or single_user.Strategy(), client=lambda: service)
    for step in STEPS:
        rotator({"Step": step, "SecretId": ARN, "ClientRequestToken": token}, None)


def changes(server: MongodbServer) -> list[dict[str, Any]]:
    return [command for _, command in server.commands if next(iter(command)) in CHANGE]


def refuse() -> None:
    raise ValueError("not any more")


# What it does.


@pytest.mark.parametrize("strategy", ["single_user", "alternating_users"])
def test_a_server_rotates_it_with_the_packaged_function(
    server: ServerProcess, mongo: MongodbServer, strategy: str
) -> None:
    secrets, name = server.client("secretsmanager"), f"mongo_{strategy}"
    values = secrets.create_secret(Name=f"superuser-{name}", SecretString=json.dumps(mongo.superuser_value()))
    job = Job(server, mongo, name, engine="mongodb", strategy=strategy, more={"ssl": None, "masterarn": values["ARN"]})
    for turn in range(2):
        version_id = job.rotate() if turn == 0 else secrets.rotate_secret(SecretId=name)["VersionId"]
        wait_until(functools.partial(job.is_current, version_id), "the rotation", server)
    assert mongo.accepts(name, job.password())
    assert mongo.users["admin", name]["roles"] == [{"role": "changeOwnPassword", "db": "admin"}]
    assert (("admin", f"{name}_clone") in mongo.users) == (strategy == "alternating_users")


def test_a_rotation_killed_anywhere_leaves_a_stored_password_that_logs_in(
    mongo: MongodbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_run = MongodbConnection._run
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            if next(moments) == fatal:
                raise Killed

        def run(self: MongodbConnection, *arguments: Any) -> Any:
            interrupt("before a command")
            answer = real_run(self, *arguments)
            interrupt("after a command")
            return answer

        monkeypatch.setattr(MongodbConnection, "_run", run)
        name = f"killed_{fatal}"
        mongo.create_user(name, "first password")
        service = FakeSecretsManager(mongo.secret_value(name, "first password"), interrupt)
        try:
            rotate(service)
        except Killed:
            assert any(mongo.accepts(name, password) for password in service.passwords())
            rotate(service)
        else:
            break
        assert mongo.accepts(name, service.value("AWSCURRENT")["password"])
    assert fatal > 15


def test_a_change_waits_for_a_majority_and_gives_up_before_the_function_does(mongo: MongodbServer) -> None:
    with connect(mongo) as connection:
        connection.set_password("app", "second", lambda: None)
    [command] = changes(mongo)
    assert command["writeConcern"] == {"w": "majority", "wtimeout": 10_000}
    assert command["maxTimeMS"] == 10_000


def test_a_change_that_a_majority_does_not_have_is_no_success(mongo: MongodbServer) -> None:
    unsure = {"code": 64, "errmsg": "waiting for replication timed out"}
    mongo.fails["updateUser"] = {"ok": 1.0, "writeConcernError": unsure}
    with connect(mongo) as connection, pytest.raises(base.NotReady, match="not at a majority"):
        connection.set_password("app", "second", lambda: None)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_a_user_keeps_its_only_way_to_log_in(mongo: MongodbServer, mechanism: str) -> None:
    mongo.users["admin", "app"]["mechanisms"] = [mechanism]
    with connect(mongo) as connection:
        connection.set_password("app", "second", lambda: None)
    with superuser(mongo) as connection:
        connection.create_user_like("app_clone", "app", "third", lambda: None)
    assert [mongo.users["admin", name]["mechanisms"] for name in ("app", "app_clone")] == [[mechanism]] * 2
    connect(mongo, "app", "second").close()
    connect(mongo, "app_clone", "third").close()


def test_a_server_that_knows_less_gets_what_it_knows(mongo: MongodbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Amazon DocumentDB may be: no mechanisms, no restrictions, no write concern for commands about users."""
    for user in mongo.users.values():
        user["mechanisms"] = ["SCRAM-SHA-1"]
    mongo.hello["saslSupportedMechs"] = None
    real = mongo.commands.append

    def refuse_more(entry: tuple[str | None, dict[str, Any]]) -> None:
        command = entry[1]
        more = {"writeConcern", "showAuthenticationRestrictions"} & set(command)
        name = next(iter(command))
        mongo.fails.pop(name, None)
        if more:
            mongo.fails[name] = {"ok": 0.0, "code": 303, "errmsg": f"Feature not supported: {more}"}
        real(entry)

    class Commands(list[tuple[str | None, dict[str, Any]]]):
        append = staticmethod(refuse_more)

    monkeypatch.setattr(mongo, "commands", Commands())
    with superuser(mongo) as connection:
        connection.create_user_like("app_clone", "app", "second", lambda: None)
    assert mongo.accepts("app_clone", "second")


def test_the_previous_password_helps_when_the_current_one_was_never_set(mongo: MongodbServer) -> None:
    service = FakeSecretsManager(mongo.secret_value("app", "first password"))
    rotate(service)
    mongo.users["admin", "app"]["password"] = "first password"
    rotate(service, token="token-2")
    assert mongo.accepts("app", service.value("AWSCURRENT")["password"])


@pytest.mark.parametrize("kind", [single_user, alternating_users])
def test_no_log_shows_a_password_whatever_its_level(
    mongo: MongodbServer, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeSecretsManager({**mongo.secret_value("app", "first password"), "masterarn": SUPERUSER_ARN})
    service.others[SUPERUSER_ARN] = mongo.superuser_value()
    with caplog.at_level(logging.DEBUG):
        rotate(service, kind.Strategy())
    # The driver's own lines are there.
    assert "updateUser" in caplog.text or "createUser" in caplog.text
    assert not [each for each in (*service.passwords(), mongo.superuser_password) if each in caplog.text]


# Whose user it is.


def test_users_are_known_in_the_secrets_database_and_the_superuser_in_its_own(mongo: MongodbServer) -> None:
    role, restriction = {"role": "readWrite", "db": "shop"}, {"clientSource": ["127.0.0.0/8"]}
    mongo.add_user("app", "first", [role], "shop", customData={"team": "a"}, authenticationRestrictions=[restriction])
    value = {**mongo.secret_value("app", "first"), "dbname": "shop", "masterarn": SUPERUSER_ARN}
    service = FakeSecretsManager(value)
    service.others[SUPERUSER_ARN] = mongo.superuser_value()
    rotate(service, alternating_users.Strategy())
    clone = mongo.users["shop", "app_clone"]
    assert (clone["roles"], clone["customData"]) == ([role], {"team": "a"})
    assert clone["authenticationRestrictions"] == [restriction]
    assert clone["password"] == service.value("AWSCURRENT")["password"]
    assert mongo.accepts("app", "first", "shop")


def test_the_key_auth_source_says_where_the_user_is_known_and_dbname_is_the_applications(mongo: MongodbServer) -> None:
    with connect(mongo, dbname="shop", authSource="admin") as connection:
        connection.set_password("app", "second", lambda: None)
    assert mongo.accepts("app", "second")
    with pytest.raises(base.AuthenticationFailed, match="user app of database shop"):
        connect(mongo, password="second", dbname="shop")


def test_a_second_user_with_more_roles_is_left_alone(mongo: MongodbServer) -> None:
    mongo.add_user("app_clone", "somebody's", [{"role": "readWrite", "db": "payroll"}])
    with superuser(mongo) as connection, pytest.raises(base.NotAClone, match="readWrite on payroll"):
        connection.create_user_like("app_clone", "app", "second", lambda: None)
    assert mongo.accepts("app_clone", "somebody's")


def test_the_second_user_follows_the_first_and_the_first_gets_roles_only(mongo: MongodbServer) -> None:
    with superuser(mongo) as connection:
        connection.create_user_like("app_clone", "app", "second", lambda: None)
        mongo.users["admin", "app"] |= {"customData": {"team": "b"}}
        mongo.users["admin", "app"]["roles"].append({"role": "read", "db": "shop"})
        connection.create_user_like("app_clone", "app", "third", lambda: None)
        assert mongo.users["admin", "app_clone"]["customData"] == {"team": "b"}
        mongo.users["admin", "app_clone"]["roles"].append({"role": "read", "db": "stock"})
        mongo.users["admin", "app_clone"]["customData"] = {"team": "c"}
        connection.create_user_like("app", "app_clone", "fourth", lambda: None)
    app, clone = mongo.users["admin", "app"], mongo.users["admin", "app_clone"]
    assert app["roles"] == clone["roles"]
    assert {"role": "read", "db": "stock"} in app["roles"]
    assert app["customData"] == {"team": "b"}


def test_a_second_user_that_somebody_made_meanwhile_gets_the_password(
    mongo: MongodbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faster() -> None:
        if ("admin", "app_clone") not in mongo.users:
            mongo.add_user("app_clone", "somebody's", mongo.users["admin", "app"]["roles"])

    with superuser(mongo) as connection:
        connection.create_user_like("app_clone", "app", "second", faster)
    assert mongo.accepts("app_clone", "second")


# Who may pass.


def test_a_password_that_is_not_to_be_set_any_more_is_not_set(mongo: MongodbServer) -> None:
    with connect(mongo) as connection, pytest.raises(ValueError, match="not any more"):
        connection.set_password("app", "second", refuse)
    with superuser(mongo) as connection, pytest.raises(ValueError, match="not any more"):
        connection.create_user_like("app_clone", "app", "second", refuse)
    assert changes(mongo) == []


def test_a_function_that_a_later_rotation_has_passed_cannot_log_in_any_more(mongo: MongodbServer) -> None:
    def halted() -> None:
        mongo.users["admin", "app"]["password"] = "a later rotation's"

    with connect(mongo) as connection, pytest.raises(base.AuthenticationFailed):
        connection.set_password("app", "second", halted)
    assert changes(mongo) == []
    assert mongo.accepts("app", "a later rotation's")


def test_a_function_that_was_held_up_after_the_answer_changes_nothing(
    mongo: MongodbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic
    with superuser(mongo) as connection, pytest.raises(base.NotReady, match="held up"):
        connection.create_user_like(
            "app_clone", "app", "second", lambda: monkeypatch.setattr(time, "monotonic", lambda: now() + 11)
        )
    assert changes(mongo) == []


# The way there.


def test_a_secondary_sends_us_to_its_primary(mongo: MongodbServer) -> None:
    with MongodbServer.start(hello=secondary(f"{HOST}:{mongo.port}")) as other:
        with connect(other) as connection:
            connection.set_password("app", "second", lambda: None)
        assert other.commands == []
    assert mongo.accepts("app", "second")


def secondary(primary: str | None) -> dict[str, Any]:
    found = {"isWritablePrimary": False, "ismaster": False, "secondary": True, "setName": "rs0", "hosts": [HOST]}
    return {**found, **({"primary": primary} if primary else {})}


def test_a_secondary_that_knows_no_primary_is_passed_over(mongo: MongodbServer) -> None:
    with MongodbServer.start(hello=secondary(None)) as other:
        with pytest.raises(base.ReadOnlyReplica, match="knows no primary"):
            connect(other)
        with connect(other, host=f"{HOST},{HOST}", port=f"{other.port},{mongo.port}") as connection:
            connection.set_password("app", "second", lambda: None)
    assert mongo.accepts("app", "second")


def test_a_router_takes_changes_itself(mongo: MongodbServer) -> None:
    mongo.hello |= {"msg": "isdbgrid"}
    with connect(mongo) as connection:
        connection.set_password("app", "second", lambda: None)
    assert mongo.accepts("app", "second")


def test_without_tls_there_is_a_login_and_no_change() -> None:
    with MongodbServer.start(tls=False) as plain:
        plain.create_user("app", "first password")
        with pytest.raises(base.TlsFailed, match="not enabled on the host"):
            connect(plain)
        with connect(plain, ssl=False) as connection:
            assert connection.password_was_checked
            with pytest.raises(base.TlsRequired, match="in clear only, hence over TLS only"):
                connection.set_password("app", "second", lambda: None)
        with superuser(plain, ssl=False) as connection, pytest.raises(base.TlsRequired):
            connection.create_user_like("app_clone", "app", "second", lambda: None)
        assert changes(plain) == []


def test_a_server_that_takes_tls_only_is_named_when_the_secret_forbids_it(
    mongo: MongodbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongodb, "CONNECT_TIMEOUT_SECONDS", 0.5)
    with pytest.raises(base.TlsRequired, match="takes TLS only"):
        connect(mongo, ssl=False)


def test_a_certificate_must_hold_when_the_secret_says_so(
    mongo: MongodbServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(base.TlsFailed, match="self-signed certificate"):
        connect(mongo, ssl=True, host="localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(mongo.certificate_path))
    with pytest.raises(base.TlsFailed, match="Hostname verification failed"):
        connect(mongo, ssl=True)
    with connect(mongo, ssl=True, host="localhost") as connection:
        connection.set_password("app", "second", lambda: None)
    assert "nobody vouches" not in caplog.text
    with connect(mongo, password="second") as connection:
        connection.set_password("app", "third", lambda: None)
    assert "nobody vouches" in caplog.text


def test_nobody_there_is_said_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine()
    value = {"engine": "mongo", "username": "app", "password": "marked", "host": HOST, "port": free_port()}
    with pytest.raises(base.ConnectionRefused):
        engine.connect(engine.login(value))
    with pytest.raises(base.HostNotFound):
        engine.connect(engine.login({**value, "host": "no-such-host.invalid"}))
    monkeypatch.setattr(mongodb, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen()
        with pytest.raises(base.ConnectionTimedOut) as caught:
            engine.connect(engine.login({**value, "port": silent.getsockname()[1]}))
    assert "marked" not in f"{caught.value!r} {caught.value}"


# What it says when it cannot.


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (11, "User not found", base.UserMissing),
        (13, "not authorized on admin to execute command { updateUser: 'app', pwd: 'marked' }", base.MissingGrant),
        (24, "Unable to acquire lock within a max lock request timeout", base.LockTimedOut),
        (50, "operation exceeded time limit", base.StatementTimedOut),
        (91, "The server is in quiesce mode and will shut down", base.ConnectionLost),
        (189, "Primary stepped down while waiting for replication", base.ReadOnlyReplica),
        (8000, "(CMD_NOT_ALLOWED: updateUser)", mongodb.ManagedByAtlas),
        (10107, "not primary", base.ReadOnlyReplica),
        (12345, "something new about marked", base.DatabaseError),
    ],
)
def test_a_refused_change_is_named_and_shows_no_password(
    mongo: MongodbServer, code: int, message: str, kind: type[base.DatabaseError]
) -> None:
    mongo.fails["updateUser"] = {"ok": 0.0, "code": code, "errmsg": message}
    with connect(mongo) as connection, pytest.raises(kind) as caught:
        connection.set_password("app", "marked", lambda: None)
    assert caught.value.code == str(code)
    assert "marked" not in f"{caught.value!r} {caught.value}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_user_without_the_right_is_told_which_one(mongo: MongodbServer) -> None:
    mongo.users["admin", "app"]["roles"] = [{"role": "readWrite", "db": "shop"}]
    with connect(mongo) as connection, pytest.raises(base.MissingGrant) as caught:
        connection.set_password("app", "marked", lambda: None)
    assert "user app may not run updateUser on app of database admin" in str(caught.value)
    assert "changeOwnPassword" in str(caught.value)
    assert "marked" not in str(caught.value)


def test_atlas_refuses_a_login_in_its_own_way(mongo: MongodbServer) -> None:
    mongo.fails["saslStart"] = {"ok": 0.0, "code": 8000, "errmsg": "bad auth : Authentication failed."}
    with pytest.raises(base.AuthenticationFailed, match="bad auth"):
        connect(mongo)


def test_a_server_that_the_driver_is_too_new_for_is_named(mongo: MongodbServer) -> None:
    mongo.hello["maxWireVersion"] = 6
    with pytest.raises(mongodb.TooOld, match="PyMongo"):
        connect(mongo)


def test_a_uri_is_no_host() -> None:
    for host in ("mongodb://db/?authMechanism=PLAIN", "%2Ftmp%2Fmongodb.sock", "/tmp/mongodb-27017.sock"):
        with pytest.raises(ValueError, match="host in the secret JSON"):
            Engine().login({"engine": "mongo", "host": host, "username": "a", "password": "b"})
