"""The single-user strategy: which stored value is true is asked of the database, and nothing is lost on the way."""

from __future__ import annotations

import json
from itertools import count

import pytest

from keyturn.rotators.engines import base
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager, FakeVersion

from .fakes import STEPS, TOKEN, VALUE, FakeEngine, Killed, event, rotator


@pytest.fixture
def service() -> FakeSecretsManager:
    service = FakeSecretsManager(VALUE)
    service.begin_rotation(TOKEN)
    return service


def test_a_current_password_that_is_wrong_is_made_good_by_the_previous_one(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    engine.passwords["app"] = "older"
    service.versions["version-0"] = FakeVersion({"AWSPREVIOUS"}, json.dumps({**VALUE, "password": "older"}))
    for step in STEPS:
        rotator(engine, service)(event(step), None)
    assert engine.passwords["app"] == service.value("AWSCURRENT")["password"] not in {"first", "older"}


@pytest.mark.parametrize(
    "previous", ["no JSON", "{}", json.dumps({**VALUE, "username": "eve"}), json.dumps({**VALUE, "host": "elsewhere"})]
)
def test_a_previous_value_of_somebody_else_is_not_tried(service: FakeSecretsManager, previous: str) -> None:
    engine = FakeEngine()
    engine.passwords = {"app": "changed by hand", "eve": "first"}
    service.versions["version-0"] = FakeVersion({"AWSPREVIOUS"}, previous)
    rotator(engine, service)(event("createSecret"), None)
    with pytest.raises(base.AuthenticationFailed, match="refuses all stored passwords of user app"):
        rotator(engine, service)(event("setSecret"), None)
    assert {(login.username, login.host) for login in engine.logins} == {("app", "db.example")}


def test_when_no_stored_password_is_true_the_log_says_so(
    service: FakeSecretsManager, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine()
    engine.passwords["app"] = "changed by hand"
    rotator(engine, service)(event("createSecret"), None)
    with pytest.raises(base.AuthenticationFailed):
        rotator(engine, service)(event("setSecret"), None)
    text = f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {ARN}"
    assert text in caplog.text
    assert engine.passwords["app"] == "changed by hand"


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"username": "eve"}, "setSecret: Attempting to modify user eve other than current user app"),
        ({"host": "evil"}, "setSecret: Attempting to modify user app for host evil:1234 other than current host db.ex"),
        ({"port": "99"}, "setSecret: Attempting to modify user app for host db.example:99 other than current host db"),
    ],
)
def test_a_pending_value_for_another_user_or_host_is_refused_before_any_login(
    service: FakeSecretsManager, other: dict[str, str], message: str
) -> None:
    engine = FakeEngine()
    service.versions[TOKEN].value = json.dumps({**VALUE, "password": "new", **other})
    with pytest.raises(ValueError, match=message):
        rotator(engine, service)(event("setSecret"), None)
    assert engine.logins == []


def test_a_database_out_of_reach_ends_the_step_at_the_first_login(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    rotator(engine, service)(event("createSecret"), None)
    engine.unreachable = base.ConnectionTimedOut("host db.example, port 1234: no answer within the time limit")
    with pytest.raises(base.ConnectionTimedOut):
        rotator(engine, service)(event("setSecret"), None)
    assert len(engine.logins) == 1


def test_a_login_without_password_check_does_not_count_as_done(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    engine.trusting = True
    rotator(engine, service)(event("createSecret"), None)
    rotator(engine, service)(event("setSecret"), None)
    assert engine.passwords["app"] == service.value("AWSPENDING")["password"]


def test_a_rotation_killed_anywhere_leaves_a_stored_password_that_is_true_and_can_be_finished() -> None:
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            if next(moments) == fatal:
                raise Killed

        service, engine = FakeSecretsManager(VALUE, interrupt), FakeEngine(interrupt)
        service.begin_rotation(TOKEN)
        survived = _run_as_the_service_does(engine, service)
        assert engine.passwords["app"] == service.value("AWSCURRENT")["password"] != "first"
        if survived:
            break
    assert fatal == 6, "put, set and move, each before and after"


def _run_as_the_service_does(engine: FakeEngine, service: FakeSecretsManager) -> bool:
    """Run the steps in order; after a kill begin again with the first step, as a retried rotation does."""
    survived = True
    remaining = list(STEPS)
    while remaining:
        try:
            rotator(engine, service)(event(remaining[0]), None)
        except Killed:
            survived = False
            assert engine.passwords["app"] in service.passwords()
            remaining = list(STEPS)
        else:
            remaining.pop(0)
    return survived
