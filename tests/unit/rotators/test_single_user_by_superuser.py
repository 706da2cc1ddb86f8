"""The single-user strategy with a superuser: it acts for a user whose stored value is true, and for nobody else."""

from __future__ import annotations

import json
from itertools import count

import pytest
from botocore.exceptions import ClientError

from keyturn.rotators import single_user_by_superuser
from keyturn.rotators.engines import base
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager, FakeVersion

from .fakes import STEPS, TOKEN, VALUE, FakeEngine, Killed, event, rotator
from .test_alternating_users import OWN, SUPERUSER, SUPERUSER_ARN, new_engine, new_service

STRATEGY = single_user_by_superuser.Strategy()


def run(engine: FakeEngine, service: FakeSecretsManager, *steps: str, token: str = TOKEN) -> None:
    for step in steps:
        rotator(engine, service, STRATEGY)(event(step, token), None)


def test_the_superuser_sets_the_users_password_and_is_told_which_one_may_stay() -> None:
    engine, service = new_engine(), new_service()
    run(engine, service, *STEPS)
    assert service.value("AWSCURRENT") == {**OWN, "password": engine.passwords["app"]}
    assert engine.passwords["root"] == "marked-superuser"
    [superuser] = [login for login in engine.logins if login.username == "root"]
    assert superuser.retained_password == "first"
    assert "first" not in repr(superuser)


def test_killed_anywhere_a_repetition_ends_well() -> None:
    for fatal in count():
        moments = count()

        def interrupt(_: str, moments: count[int] = moments, fatal: int = fatal) -> None:
            if next(moments) == fatal:
                raise Killed

        engine, service = new_engine(), new_service()
        engine.interrupt = service.interrupt = interrupt
        try:
            run(engine, service, *STEPS)
            break
        except Killed:
            assert engine.passwords["app"] in service.passwords()
            run(engine, service, *STEPS)
            assert service.value("AWSCURRENT")["password"] == engine.passwords["app"]
    assert fatal > 4


def test_a_current_password_that_is_wrong_is_made_good_by_the_previous_one() -> None:
    engine, service = new_engine(), new_service()
    engine.passwords["app"] = "older"
    service.versions["version-0"] = FakeVersion({"AWSPREVIOUS"}, json.dumps({**OWN, "password": "older"}))
    run(engine, service, *STEPS)
    assert engine.passwords["app"] == service.value("AWSCURRENT")["password"]
    [superuser] = [login for login in engine.logins if login.username == "root"]
    assert superuser.retained_password == "older"


def test_the_superuser_does_nothing_for_a_user_whose_passwords_are_all_wrong(caplog: pytest.LogCaptureFixture) -> None:
    engine, service = new_engine(), new_service()
    engine.passwords["app"] = "set by hand"
    run(engine, service, "createSecret")
    with pytest.raises(base.AuthenticationFailed, match="refuses the current and the previous password of user app"):
        run(engine, service, "setSecret")
    assert "root" not in {login.username for login in engine.logins}
    assert f"using current credentials for secret {ARN}" in caplog.text


def test_a_secret_that_names_no_superuser_secret_is_refused_before_anything_is_stored() -> None:
    service = new_service(dict(VALUE))
    with pytest.raises(KeyError, match="masterarn key is missing from secret JSON"):
        run(new_engine(), service, "createSecret")
    assert service.versions[TOKEN].value is None


@pytest.mark.parametrize("other", [{"username": "root"}, {"host": "evil"}])
def test_a_pending_value_for_another_user_or_host_is_refused_before_any_login(other: dict[str, str]) -> None:
    engine, service = new_engine(), new_service()
    service.versions[TOKEN].value = json.dumps({**OWN, "password": "new", **other})
    with pytest.raises(ValueError, match="setSecret: Attempting to modify user"):
        run(engine, service, "setSecret")
    assert engine.logins == []


def test_a_superuser_secret_of_another_host_or_out_of_sight_changes_nothing() -> None:
    for others in ({SUPERUSER_ARN: {**SUPERUSER, "host": "elsewhere"}}, {}):
        engine, service = new_engine(), new_service()
        service.others = dict(others)
        run(engine, service, "createSecret")
        with pytest.raises((ValueError, ClientError)):
            run(engine, service, "setSecret")
        assert engine.passwords["app"] == "first"
