"""The four steps: what they check first, what they do once, what they never say."""

from __future__ import annotations

import logging

import pytest
from botocore.exceptions import ClientError

from keyturn.rotators.engines import base
from keyturn.rotators.secret import NotPending
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

from .fakes import STEPS, TOKEN, VALUE, FakeEngine, event, rotator


@pytest.fixture
def service() -> FakeSecretsManager:
    service = FakeSecretsManager(VALUE)
    service.begin_rotation(TOKEN)
    return service


def test_the_four_steps_rotate_the_password(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    for step in STEPS:
        rotator(engine, service)(event(step), None)
    assert service.value("AWSCURRENT")["password"] == engine.passwords["app"] != "first"
    assert service.value("AWSPREVIOUS")["password"] == "first"
    assert service.versions[TOKEN].labels == {"AWSCURRENT", "AWSPENDING"}


def test_every_step_may_run_twice(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    for step in STEPS:
        rotator(engine, service)(event(step), None)
        stored = service.passwords()
        rotator(engine, service)(event(step), None)
        assert service.passwords() == stored
    assert service.value("AWSCURRENT")["password"] == engine.passwords["app"]


def test_keys_that_are_not_understood_are_kept(service: FakeSecretsManager) -> None:
    rotator(FakeEngine(), service)(event("createSecret"), None)
    new = service.value("AWSPENDING")
    assert {**new, "password": "first"} == VALUE


def test_a_secret_without_rotation_is_refused(service: FakeSecretsManager) -> None:
    service.rotation_enabled = False
    with pytest.raises(ValueError, match=f"^Secret {ARN} is not enabled for rotation$"):
        rotator(FakeEngine(), service)(event("createSecret"), None)


def test_a_token_without_version_is_refused(service: FakeSecretsManager) -> None:
    with pytest.raises(ValueError, match=f"^Secret version other has no stage for rotation of secret {ARN}.$"):
        rotator(FakeEngine(), service)(event("createSecret", token="other"), None)


def test_a_version_that_is_not_pending_is_refused(service: FakeSecretsManager) -> None:
    service.versions[TOKEN].labels = {"AWSPREVIOUS"}
    message = f"^Secret version {TOKEN} not set as AWSPENDING for rotation of secret {ARN}.$"
    with pytest.raises(ValueError, match=message):
        rotator(FakeEngine(), service)(event("setSecret"), None)


def test_a_version_that_is_current_already_leaves_nothing_to_do(service: FakeSecretsManager) -> None:
    service.versions[TOKEN].labels = {"AWSCURRENT"}
    for step in STEPS:
        rotator(FakeEngine(), service)(event(step), None)
    assert "put_secret_value" not in dict(service.calls)
    assert "update_secret_version_stage" not in dict(service.calls)


def test_a_version_whose_value_was_never_stored_is_refused(service: FakeSecretsManager) -> None:
    for step in ("setSecret", "testSecret"):
        with pytest.raises(NotPending, match=f"^Secret version {TOKEN} has no value labelled AWSPENDING for rotation"):
            rotator(FakeEngine(), service)(event(step), None)


def test_a_rotation_takes_eleven_calls(service: FakeSecretsManager) -> None:
    rotate = rotator(FakeEngine(), service)
    for step in STEPS:
        rotate(event(step), None)
    assert len(service.calls) == 11


def test_an_unknown_step_is_refused(service: FakeSecretsManager) -> None:
    with pytest.raises(ValueError, match=f"^Invalid step parameter create_secret for secret {ARN}$"):
        rotator(FakeEngine(), service)(event("create_secret"), None)


def test_the_environment_decides_how_passwords_look(
    service: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD_LENGTH", "17")
    monkeypatch.setenv("EXCLUDE_CHARACTERS", "xyz")
    monkeypatch.setenv("EXCLUDE_PUNCTUATION", "Yes")
    monkeypatch.setenv("REQUIRE_EACH_INCLUDED_TYPE", "0")
    rotator(FakeEngine(), service)(event("createSecret"), None)
    assert ("get_random_password", {
        "ExcludeCharacters": "xyz", "PasswordLength": 17, "ExcludeNumbers": False, "ExcludePunctuation": True,
        "ExcludeUppercase": False, "ExcludeLowercase": False, "RequireEachIncludedType": False,
    }) in service.calls  # fmt: skip


def test_without_environment_the_engine_decides_the_excluded_characters(service: FakeSecretsManager) -> None:
    rotator(FakeEngine(), service)(event("createSecret"), None)
    request = dict(service.calls)["get_random_password"]
    assert request["ExcludeCharacters"] == "/"
    assert request["PasswordLength"] == 32
    assert request["RequireEachIncludedType"] is True


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("hunter2-marked", ValueError, f"Invalid secret value JSON for secret {ARN}"),
        ('["hunter2-marked"]', ValueError, f"Invalid secret value JSON for secret {ARN}"),
        ({"engine": "fake", "username": "app", "password": "hunter2-marked"}, KeyError, "host key is missing from"),
        ({**VALUE, "engine": "mysql"}, KeyError, "Database engine must be set to 'fake' in order to use this rotation"),
        ({**VALUE, "password": 7}, ValueError, "password in the secret JSON must be text"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_before_anything_is_stored(
    value: dict[str, object] | str, kind: type[Exception], message: str
) -> None:
    service = FakeSecretsManager(value)
    service.begin_rotation(TOKEN)
    with pytest.raises(kind, match=message) as caught:
        rotator(FakeEngine(), service)(event("createSecret"), None)
    assert "put_secret_value" not in dict(service.calls)
    assert "hunter2" not in f"{caught.value!r} {caught.value.__context__!r} {caught.value.__cause__!r}"


def test_a_binary_value_is_named_as_such(service: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "get_secret_value", lambda **_: {"SecretBinary": b"hunter2"})
    with pytest.raises(KeyError, match="SecretString is missing"):
        rotator(FakeEngine(), service)(event("createSecret"), None)


def test_a_faster_attempt_of_the_same_rotation_decides_the_password(
    service: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = service.get_random_password

    def overtaken(**request: object) -> dict[str, str]:
        service.versions[TOKEN].value = '{"password": "theirs"}'
        return made(**request)

    monkeypatch.setattr(service, "get_random_password", overtaken)
    rotator(FakeEngine(), service)(event("createSecret"), None)
    assert service.value("AWSPENDING") == {"password": "theirs"}


def test_an_error_of_the_service_ends_the_step(service: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_: object) -> dict[str, str]:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetSecretValue")

    monkeypatch.setattr(service, "get_secret_value", denied)
    for step in ("createSecret", "setSecret", "testSecret"):
        with pytest.raises(ClientError, match="AccessDeniedException"):
            rotator(FakeEngine(), service)(event(step), None)


def test_a_login_that_fails_in_the_test_says_why(service: FakeSecretsManager, caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine()
    rotator(engine, service)(event("createSecret"), None)
    with pytest.raises(base.AuthenticationFailed, match=r"password authentication failed for user app.*Hint: "):
        rotator(engine, service)(event("testSecret"), None)
    assert f"testSecret: Unable to log into database with pending secret of secret ARN {ARN}: password" in caplog.text
    assert service.value("AWSCURRENT")["password"] == "first"


def test_a_database_that_trusts_everybody_is_reported(
    service: FakeSecretsManager, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine()
    engine.trusting = True
    for step in STEPS[:3]:
        rotator(engine, service)(event(step), None)
    assert "this login proves nothing" in caplog.text


def test_the_lines_read_as_in_articles_and_hold_no_password(
    service: FakeSecretsManager, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine()
    with caplog.at_level(logging.DEBUG):
        for step in STEPS:
            rotator(engine, service)(event(step), None)
            rotator(engine, service)(event(step), None)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO] == [
        f"createSecret: Successfully put secret for ARN {ARN} and version {TOKEN}.",
        f"createSecret: Successfully retrieved secret for {ARN}.",
        f"setSecret: AWSPENDING (version {TOKEN}) does not log in yet: password authentication failed for user app",
        f"setSecret: Successfully set password for user app in Fake DB for secret arn {ARN}.",
        f"setSecret: Successfully signed into Fake DB with AWSPENDING secret in {ARN}.",
        f"setSecret: Successfully set AWSCURRENT stage to version {TOKEN} for secret {ARN}.",
        *5 * [f"Secret version {TOKEN} already set as AWSCURRENT for secret {ARN}."],
    ]
    for password in service.passwords():
        assert password not in caplog.text


def test_a_question_that_the_database_leaves_open_says_why(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    rotator(engine, service)(event("createSecret"), None)
    answered = rotator(engine, service)(event("probeSecret"), None)
    assert answered["refused"] == [TOKEN]
    assert answered["accepted"]
    assert "unanswered" not in answered
    engine.unreachable = base.ConnectionRefused("nothing listens")

    answered = rotator(engine, service)(event("probeSecret"), None)

    assert (answered["accepted"], answered["refused"]) == ([], [])
    assert str(answered["unanswered"]).startswith("ConnectionRefused: nothing listens. Hint: ")
