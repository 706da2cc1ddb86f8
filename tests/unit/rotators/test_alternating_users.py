"""The alternating-users strategy: the user at rest is changed, the other never, and only by its own superuser."""

from __future__ import annotations

import json
from itertools import count

import pytest
from botocore.exceptions import ClientError

from keyturn.rotators import alternating_users
from keyturn.rotators.engines import base
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

from .fakes import STEPS, TOKEN, VALUE, FakeEngine, Killed, event, rotator

SUPERUSER_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"
SUPERUSER = {"engine": "fake", "host": "db.example", "username": "root", "password": "marked-superuser"}
OWN = {**VALUE, "masterarn": SUPERUSER_ARN}
STRATEGY = alternating_users.Strategy()


def new_service(value: dict[str, object] | None = None) -> FakeSecretsManager:
    service = FakeSecretsManager(value or OWN)
    service.others[SUPERUSER_ARN] = SUPERUSER
    service.begin_rotation(TOKEN)
    return service


def new_engine() -> FakeEngine:
    engine = FakeEngine()
    engine.passwords["root"] = "marked-superuser"
    return engine


@pytest.fixture
def service() -> FakeSecretsManager:
    return new_service()


@pytest.fixture
def engine() -> FakeEngine:
    return new_engine()


def run(engine: FakeEngine, service: FakeSecretsManager, *steps: str, token: str = TOKEN) -> None:
    for step in steps:
        rotator(engine, service, STRATEGY)(event(step, token), None)


def test_the_first_rotation_makes_the_second_user_and_leaves_the_first_alone(
    engine: FakeEngine, service: FakeSecretsManager
) -> None:
    run(engine, service, *STEPS)

    current = service.value("AWSCURRENT")
    assert current["username"] == "app_clone"
    assert engine.passwords == {
        "app": "first", "app_clone": current["password"], "root": "marked-superuser"
    }  # fmt: skip
    assert engine.clones == {"app_clone": "app"}
    assert {**current, "username": "app", "password": "first"} == OWN


def test_the_users_take_turns(engine: FakeEngine, service: FakeSecretsManager) -> None:
    run(engine, service, *STEPS)
    second = engine.passwords["app_clone"]
    service.begin_rotation("token-2")
    run(engine, service, *STEPS, token="token-2")

    current = service.value("AWSCURRENT")
    assert current["username"] == "app"
    assert engine.passwords["app"] == current["password"] != "first"
    assert engine.passwords["app_clone"] == second == service.value("AWSPREVIOUS")["password"]
    assert engine.clones == {"app_clone": "app"}


def test_every_step_may_run_twice(engine: FakeEngine, service: FakeSecretsManager) -> None:
    for step in STEPS:
        run(engine, service, step)
        stored = dict(engine.passwords)
        run(engine, service, step)
        assert stored == engine.passwords
    assert service.value("AWSCURRENT")["username"] == "app_clone"


@pytest.mark.parametrize("superuser_arn", [None, "", 7])
def test_a_secret_that_names_no_superuser_secret_is_refused_before_anything_is_stored(
    engine: FakeEngine, superuser_arn: object
) -> None:
    service = new_service(
        {key: value for key, value in {**OWN, "masterarn": superuser_arn}.items() if value is not None}
    )
    with pytest.raises(KeyError, match="masterarn key is missing from secret JSON"):
        run(engine, service, "createSecret")
    assert "put_secret_value" not in dict(service.calls)


def test_a_name_that_leaves_no_room_is_refused_before_anything_is_stored(engine: FakeEngine) -> None:
    service = new_service({**OWN, "username": "fifteen_letters"})
    with pytest.raises(ValueError, match="Unable to clone user, username length with _clone appended would exceed 20"):
        run(engine, service, "createSecret")
    assert "put_secret_value" not in dict(service.calls)


def test_a_superuser_secret_out_of_sight_fails_in_set_secret_and_changes_nothing(
    engine: FakeEngine, service: FakeSecretsManager
) -> None:
    del service.others[SUPERUSER_ARN]
    run(engine, service, "createSecret")
    with pytest.raises(ClientError):
        run(engine, service, "setSecret")
    assert engine.passwords == {"app": "first", "root": "marked-superuser"}


@pytest.mark.parametrize(
    ("superuser", "kind", "message"),
    [
        ({"username": "root", "password": "marked"}, KeyError, "engine key is missing .* of master secret arn:"),
        ({**SUPERUSER, "engine": "mysql"}, KeyError, "Database engine must be set to 'fake'.* of master secret arn:"),
        ("marked", ValueError, f"Invalid secret value JSON for secret {SUPERUSER_ARN}"),
        ({**SUPERUSER, "password": 7}, ValueError, "password in the secret JSON must be text.* See master secret arn:"),
        ({**SUPERUSER, "host": "other"}, ValueError, "is not the same host as/rds replica of master other:1234"),
        ({**SUPERUSER, "port": 99}, ValueError, "host as/rds replica of master db.example:99. Name the host"),
    ],
)  # fmt: skip
def test_a_superuser_secret_that_cannot_be_used_is_named_and_not_used(
    engine: FakeEngine, service: FakeSecretsManager, superuser: object, kind: type[Exception], message: str
) -> None:
    service.others[SUPERUSER_ARN] = superuser  # type: ignore[assignment]  # what people store
    run(engine, service, "createSecret")
    with pytest.raises(kind, match=message) as caught:
        run(engine, service, "setSecret")
    assert "marked" not in f"{caught.value!r} {caught.value.__context__!r} {caught.value.__cause__!r}"
    assert {login.username for login in engine.logins} == {"app_clone"}
    assert engine.passwords["app"] == "first"


def test_a_current_password_that_is_wrong_is_no_proof_and_the_superuser_does_nothing(
    engine: FakeEngine, service: FakeSecretsManager, caplog: pytest.LogCaptureFixture
) -> None:
    engine.passwords["app"] = "changed by hand"
    run(engine, service, "createSecret")
    with pytest.raises(base.AuthenticationFailed):
        run(engine, service, "setSecret")
    assert f"setSecret: Unable to log into database using current credentials for secret {ARN}" in caplog.text
    assert "root" not in {login.username for login in engine.logins}
    assert engine.clones == {}


def test_the_proof_is_asked_for_where_the_superuser_acts(engine: FakeEngine) -> None:
    service = new_service({**OWN, "host": "of.their.choice,db.example"})
    run(engine, service, "createSecret", "setSecret")
    assert [(login.username, login.host) for login in engine.logins] == [
        ("app_clone", "of.their.choice,db.example"),
        ("app", "db.example"),
        ("root", "db.example"),
    ]


def test_a_superuser_password_that_is_wrong_is_said_to_be_that_of_the_superuser_secret(
    engine: FakeEngine, service: FakeSecretsManager, caplog: pytest.LogCaptureFixture
) -> None:
    engine.passwords["root"] = "changed by hand"
    run(engine, service, "createSecret")
    with pytest.raises(base.AuthenticationFailed):
        run(engine, service, "setSecret")
    text = f"setSecret: Unable to log into database using credentials in master secret {SUPERUSER_ARN}"
    assert text in caplog.text
    assert "marked-superuser" not in caplog.text


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"username": "eve"}, "setSecret: Attempting to modify user eve other than current user or clone app"),
        ({"username": "app"}, "setSecret: Attempting to modify user app other than current user or clone app"),
        ({"host": "evil"}, "modify user for host evil:1234 other than current host db.example:1234$"),
        ({"port": 99}, "modify user for host db.example:99 other than current host db.example:1234$"),
    ],
)  # fmt: skip
def test_a_pending_value_for_another_user_or_host_is_refused_before_any_login(
    engine: FakeEngine, service: FakeSecretsManager, other: dict[str, object], message: str
) -> None:
    service.versions[TOKEN].value = json.dumps({**OWN, "username": "app_clone", "password": "new", **other})
    with pytest.raises(ValueError, match=message):
        run(engine, service, "setSecret")
    assert engine.logins == []


def test_the_superuser_secret_is_the_one_of_the_current_value(engine: FakeEngine, service: FakeSecretsManager) -> None:
    pending = {**OWN, "username": "app_clone", "password": "new", "masterarn": "arn:of:their:choice"}
    service.versions[TOKEN].value = json.dumps(pending)
    run(engine, service, "setSecret")
    read = [request["SecretId"] for name, request in service.calls if name == "get_secret_value"]
    assert set(read) == {ARN, SUPERUSER_ARN}


def test_a_server_that_asks_for_no_password_proves_nothing_about_the_secret(
    engine: FakeEngine, service: FakeSecretsManager
) -> None:
    engine.trusting = True
    with pytest.raises(base.PasswordNotAsked):
        run(engine, service, "createSecret", "setSecret")
    assert "app_clone" not in engine.passwords


def test_a_database_out_of_reach_ends_the_step_at_the_first_login(
    engine: FakeEngine, service: FakeSecretsManager
) -> None:
    run(engine, service, "createSecret")
    engine.unreachable = base.ConnectionTimedOut("host db.example, port 1234: no answer within the time limit")
    with pytest.raises(base.ConnectionTimedOut):
        run(engine, service, "setSecret")
    assert len(engine.logins) == 1


def test_a_rotation_killed_anywhere_never_locks_the_current_user_out_and_can_be_finished() -> None:
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            if next(moments) == fatal:
                raise Killed

        service, engine = new_service(), new_engine()
        service.interrupt = engine.interrupt = interrupt
        survived, remaining = True, list(STEPS)
        while remaining:
            try:
                run(engine, service, remaining[0])
            except Killed:
                survived, remaining = False, list(STEPS)
            else:
                remaining.pop(0)
            current = service.value("AWSCURRENT")
            assert engine.passwords[current["username"]] == current["password"]
        assert current["username"] == "app_clone"
        if survived:
            break
    assert fatal == 6, "put, create and move, each before and after"


@pytest.mark.parametrize(
    ("username", "other"),
    [("app", "app_clone"), ("app_clone", "app"), ("app_clone_clone", "app_clone"), ("\u00fc", "\u00fc_clone")],
)
def test_names_alternate(username: str, other: str) -> None:
    assert base.alternate_username(username, suffix="_clone", limit=63, unit="bytes") == other


@pytest.mark.parametrize("username", ["_clone", "a" * 58, "\u00fc" * 29])
def test_names_that_cannot_alternate_are_refused(username: str) -> None:
    with pytest.raises(ValueError, match="Unable to clone user"):
        base.alternate_username(username, suffix="_clone", limit=63, unit="bytes")


@pytest.mark.parametrize("username", ["a" * 57, "\u00fc" * 28, "a" * 57 + "_clone"])
def test_the_longest_names_alternate(username: str) -> None:
    assert base.alternate_username(username, suffix="_clone", limit=63, unit="bytes")
