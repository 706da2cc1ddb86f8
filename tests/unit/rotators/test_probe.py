"""probeSecret: which stored versions the database accepts, and which it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keyturn.rotators.engines import base
from keyturn.testing.secretsmanager import FIRST_VERSION_ID, FakeSecretsManager, FakeVersion

from .fakes import TOKEN, VALUE, FakeEngine, event, rotator


@pytest.fixture
def service() -> FakeSecretsManager:
    service = FakeSecretsManager(VALUE)
    service.versions[TOKEN] = FakeVersion({"AWSPENDING"}, password("pending"))
    service.versions["older"] = FakeVersion({"AWSPREVIOUS"}, password("previous"))
    service.versions["lost-1"] = FakeVersion({"of somebody"}, password("lost 1"))
    service.versions["lost-2"] = FakeVersion({"of nobody"}, password("lost 2"))
    return service


def password(text: str, **changed: object) -> str:
    return json.dumps({**VALUE, "password": text, **changed})


def probe(engine: base.Engine, service: FakeSecretsManager, *lost: str) -> tuple[list[str], list[str]]:
    answer: Any = rotator(engine, service)({**event("probeSecret"), "LostVersionIds": list(lost)}, None)
    assert answer["rotator"] == "keyturn.rotator/1"
    return answer["accepted"], answer["refused"]


def test_each_labelled_version_is_tried(service: FakeSecretsManager) -> None:
    assert probe(FakeEngine(), service) == ([FIRST_VERSION_ID], [TOKEN, "older"])


def test_keyturn_of_another_release_names_no_lost_versions(service: FakeSecretsManager) -> None:
    assert rotator(FakeEngine(), service)(event("probeSecret"), None)["accepted"] == [FIRST_VERSION_ID]


def test_a_database_that_does_not_answer_is_in_neither_list(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    engine.unreachable = base.DatabaseError("no route")
    assert probe(engine, service, "lost-1") == ([], [])


def test_lost_versions_are_tried_in_their_order_up_to_the_first_that_is_accepted(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    engine.passwords["app"] = "lost 1"
    labelled = [TOKEN, FIRST_VERSION_ID, "older"]
    assert probe(engine, service, "lost-2", "lost-1", "lost-0") == (["lost-1"], [*labelled, "lost-2"])


def test_lost_versions_are_not_tried_if_a_labelled_one_may_be_true(service: FakeSecretsManager) -> None:
    engine = FakeEngine()
    probe(engine, service, "lost-1", "lost-2")
    assert "lost 1" not in {login.password for login in engine.logins}
    engine.trusting = True
    assert probe(engine, service, "lost-1", "lost-2") == ([], [])


@pytest.mark.parametrize("changed", [{"username": "eve"}, {"host": "elsewhere"}])
def test_a_lost_version_of_somebody_else_is_none(service: FakeSecretsManager, changed: dict[str, object]) -> None:
    engine = FakeEngine()
    engine.passwords = {"app": "lost", "eve": "lost"}
    service.versions["lost-1"].value = password("lost", **changed)
    accepted, _ = probe(engine, service, "lost-1")
    assert accepted == []
    assert {(login.username, login.host) for login in engine.logins} == {("app", "db.example")}


def test_a_lost_version_that_cannot_be_read_is_none(
    service: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FakeEngine()
    engine.passwords["app"] = "lost 2"
    get = service.get_secret_value

    def denied(**request: object) -> dict[str, Any]:
        if request.get("VersionId") == "lost-1":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetSecretValue")
        return get(**request)

    monkeypatch.setattr(service, "get_secret_value", denied)
    accepted, refused = probe(engine, service, "lost-1", "lost-2")
    assert accepted == ["lost-2"]
    assert "lost-1" in refused
    assert "cannot be read: AccessDeniedException" in caplog.text


class TlsEngine(FakeEngine):
    """A server without TLS: like PostgreSQL, it says so before any password is looked at."""

    def connect(self, login: base.Login) -> Any:
        if login.tls is base.TlsMode.REQUIRED:
            raise base.TlsRequired("the server has no TLS")
        return super().connect(login)


def test_previous_on_another_host_does_not_hide_the_lost_password(service: FakeSecretsManager) -> None:
    service.versions["older"] = FakeVersion({"AWSPREVIOUS"}, password("first", host="old-db.example"))
    engine = FakeEngine()
    engine.passwords["app"] = "lost 1"
    assert probe(engine, service, "lost-1")[0] == ["lost-1"]


def test_a_pending_value_that_cannot_connect_does_not_silence_the_others(service: FakeSecretsManager) -> None:
    service.versions[TOKEN] = FakeVersion({"AWSPENDING"}, password("x", ssl=True))
    engine = TlsEngine()
    assert probe(engine, service, "lost-1")[0] == [FIRST_VERSION_ID]


def test_a_previous_value_that_cannot_connect_does_not_hide_the_lost_password(service: FakeSecretsManager) -> None:
    service.versions["older"] = FakeVersion({"AWSPREVIOUS"}, password("x", ssl=True))
    engine = TlsEngine()
    engine.passwords["app"] = "lost 1"
    assert probe(engine, service, "lost-1")[0] == ["lost-1"]


def test_a_lost_version_that_could_not_be_read_just_now_is_not_refused(
    service: FakeSecretsManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    engine.passwords["app"] = "lost 1"
    get = service.get_secret_value

    def throttled(**request: object) -> Any:
        if request.get("VersionId") == "lost-1":
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, "GetSecretValue")
        return get(**request)

    monkeypatch.setattr(service, "get_secret_value", throttled)
    accepted, refused = probe(engine, service, "lost-1")
    assert "lost-1" not in [*accepted, *refused]
