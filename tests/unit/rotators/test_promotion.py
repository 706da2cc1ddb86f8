"""The new version becomes current with the change of the password, and whatever prevents that does no harm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from keyturn.rotators import alternating_users, single_user, single_user_by_superuser
from keyturn.rotators.engines import base
from keyturn.rotators.handler import Strategy
from keyturn.testing.secretsmanager import FIRST_VERSION_ID, FakeSecretsManager, FakeVersion

from .fakes import STEPS, TOKEN, FakeEngine, event, rotator
from .test_alternating_users import OWN, new_engine, new_service

DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "UpdateSecretVersionStage")
THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "UpdateSecretVersionStage")
LATER = "99999999-2222-3333-4444-555555555555"


@pytest.fixture(params=[single_user, single_user_by_superuser], ids=["by itself", "by a superuser"])
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return request.param.Strategy()  # type: ignore[no-any-return] # a module's


@pytest.fixture
def engine() -> FakeEngine:
    return new_engine()


@pytest.fixture
def service() -> FakeSecretsManager:
    return new_service()


@pytest.fixture
def run(engine: FakeEngine, service: FakeSecretsManager, strategy: Strategy) -> Callable[..., None]:
    def run(*steps: str) -> None:
        for step in steps:
            rotator(engine, service, strategy)(event(step), None)

    return run


def current(service: FakeSecretsManager) -> str:
    return next(version_id for version_id, version in service.versions.items() if "AWSCURRENT" in version.labels)


def finish(run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager) -> None:
    run("testSecret", "finishSecret")
    assert current(service) == TOKEN
    assert service.value("AWSCURRENT")["password"] == engine.passwords["app"] != OWN["password"]
    assert "AWSPREVIOUS" in service.versions[FIRST_VERSION_ID].labels


def test_the_version_is_current_when_set_secret_returns(
    run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager
) -> None:
    run("createSecret", "setSecret")
    assert current(service) == TOKEN
    assert engine.logins[-1].password == engine.passwords["app"]
    finish(run, engine, service)
    assert [name for name, _ in service.calls].count("update_secret_version_stage") == 1


def test_between_the_change_and_the_move_nothing_is_asked_of_the_service(
    run: Callable[..., None], service: FakeSecretsManager
) -> None:
    run("createSecret", "setSecret")
    assert [name for name, _ in service.calls[-2:]] == ["describe_secret", "update_secret_version_stage"]


def test_alternating_users_wait_for_finish_secret(engine: FakeEngine, service: FakeSecretsManager) -> None:
    rotate = rotator(engine, service, alternating_users.Strategy())
    for step in STEPS[:3]:
        rotate(event(step), None)
    assert current(service) == FIRST_VERSION_ID


def test_a_repetition_that_finds_the_password_set_moves_the_label(
    run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager
) -> None:
    run("createSecret")
    engine.passwords["app"] = service.value("AWSPENDING")["password"]
    run("setSecret")
    assert current(service) == TOKEN
    finish(run, engine, service)


@pytest.mark.parametrize(
    "refusal", [DENIED, THROTTLED, EndpointConnectionError(endpoint_url="http://127.0.0.1:1")], ids=repr
)
def test_a_label_that_cannot_be_moved_is_left_to_finish_secret(
    run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager, refusal: Exception,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def refuse(**_: object) -> None:
        raise refusal

    run("createSecret")
    with monkeypatch.context() as patch:
        patch.setattr(service, "update_secret_version_stage", refuse)
        run("setSecret")
    assert current(service) == FIRST_VERSION_ID
    assert f"is not made AWSCURRENT yet, that is left to testSecret and finishSecret: {refusal}" in caplog.text
    assert all(password not in caplog.text for password in service.passwords())
    finish(run, engine, service)


@pytest.mark.parametrize(
    "refusal", [base.AuthenticationFailed("not yet"), base.ConnectionTimedOut("silence"), base.NotReady("full")]
)
def test_a_login_that_fails_is_left_to_test_secret(
    run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager, refusal: base.DatabaseError,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def break_down(moment: str) -> None:
        if moment == "after set_password":
            engine.unreachable = refusal

    run("createSecret")
    engine.interrupt = break_down
    run("setSecret")
    assert current(service) == FIRST_VERSION_ID
    assert f"left to testSecret and finishSecret: {refusal}" in caplog.text
    with pytest.raises(type(refusal)):
        run("testSecret")
    engine.unreachable = None
    finish(run, engine, service)


def test_a_login_that_proves_nothing_moves_no_label(
    run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager
) -> None:
    def trust_from_now_on(moment: str) -> None:
        engine.trusting = engine.trusting or moment == "after set_password"

    engine.interrupt = trust_from_now_on
    run("createSecret", "setSecret", "testSecret")
    assert current(service) == FIRST_VERSION_ID
    finish(run, engine, service)


def test_a_function_that_is_held_up_takes_the_label_from_no_later_version(
    run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager
) -> None:
    def rotate_elsewhere(moment: str) -> None:
        # This rotation and the one after it end before the function goes on.
        if moment == "after set_password":
            service.versions[FIRST_VERSION_ID].labels = set()
            service.versions[TOKEN].labels = {"AWSPREVIOUS"}
            service.versions[LATER] = FakeVersion({"AWSCURRENT", "AWSPENDING"}, '{"password": "later"}')

    run("createSecret")
    engine.interrupt = rotate_elsewhere
    run("setSecret")
    assert current(service) == LATER
    assert service.versions[TOKEN].labels == {"AWSPREVIOUS"}


def test_another_attempt_that_was_faster_leaves_nothing_to_move(
    run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager
) -> None:
    def overtake(moment: str) -> None:
        if moment == "before set_password":
            service.versions[FIRST_VERSION_ID].labels = {"AWSPREVIOUS"}
            service.versions[TOKEN].labels = {"AWSCURRENT", "AWSPENDING"}

    run("createSecret")
    engine.interrupt = overtake
    run("setSecret")
    finish(run, engine, service)


def test_a_version_that_is_not_pending_any_more_is_not_made_current(
    run: Callable[..., None], engine: FakeEngine, service: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("createSecret")
    engine.passwords["app"] = service.value("AWSPENDING")["password"]
    labels = service.versions[TOKEN].labels
    asked = service.describe_secret

    def cancelled(**request: object) -> dict[str, object]:
        labels.clear()
        return asked(**request)

    monkeypatch.setattr(service, "describe_secret", cancelled)
    run("setSecret")
    assert current(service) == FIRST_VERSION_ID
