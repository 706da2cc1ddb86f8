"""What every rotation function must do, whatever it rotates: these tests hold before target.py is filled in."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import lambda_function
import pytest
import target
from botocore.exceptions import ClientError

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:example-AbCdEf"
OLD, NEW = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
FIRST = {"host": "db.example", "username": "app", "password": "the first password"}
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")


class Cut(BaseException):
    """The function was ended from outside."""


class World:
    """A Secrets Manager with one secret, and a target with one password; cuts the function off where it is told to."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {OLD: json.dumps(FIRST)}
        self.labels: dict[str, str] = {"AWSCURRENT": OLD, "AWSPENDING": NEW}
        self.password = FIRST["password"]
        self.enabled = True
        self.effects: list[str] = []
        self.cut_at = ""

    def effect(self, name: str, change: Callable[[], None]) -> None:
        if self.cut_at == f"before {name}":
            raise Cut
        change()
        self.effects.append(name)
        if self.cut_at == f"after {name}":
            raise Cut

    def describe_secret(self, SecretId: str) -> dict[str, Any]:
        stages: dict[str, list[str]] = {}
        for label, version_id in self.labels.items():
            stages.setdefault(version_id, []).append(label)
        return {"ARN": SecretId, "RotationEnabled": self.enabled, "VersionIdsToStages": stages}

    def get_secret_value(self, **request: str) -> dict[str, str]:
        labelled = self.labels.get(request.get("VersionStage", "AWSCURRENT"))
        version_id = request.get("VersionId", labelled)
        is_there = "VersionStage" not in request or labelled == version_id
        if version_id not in self.values or not is_there:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no value"}}, "GetSecretValue")
        return {"SecretString": self.values[str(version_id)]}

    def get_random_password(self, **request: object) -> dict[str, str]:
        return {"RandomPassword": "another password"}

    def put_secret_value(self, **request: Any) -> None:
        token, text = request["ClientRequestToken"], request["SecretString"]
        if self.values.get(token, text) != text:
            raise ClientError(
                {"Error": {"Code": "ResourceExistsException", "Message": "it keeps it"}}, "PutSecretValue"
            )
        self.effect("stored", lambda: self.values.update({token: text}))

    def update_secret_version_stage(self, **request: str) -> None:
        assert request["RemoveFromVersionId"] == self.labels[request["VersionStage"]]
        moved = {"AWSPREVIOUS": self.labels["AWSCURRENT"], "AWSCURRENT": request["MoveToVersionId"]}
        self.effect("labelled", lambda: self.labels.update(moved))

    def accepts(self, value: dict[str, Any]) -> bool:
        return bool(value["password"] == self.password)

    def set_value(self, known: dict[str, Any], pending: dict[str, Any]) -> None:
        assert self.accepts(known), "the target lets nobody else in"
        assert json.dumps(pending) in self.values.values(), "a value is stored before the target has it"
        self.effect("set", lambda: setattr(self, "password", pending["password"]))

    def value(self, label: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.values[self.labels[label]])
        return value


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(lambda_function, "secrets_manager", lambda: world)
    monkeypatch.setattr(target, "accepts", world.accepts)
    monkeypatch.setattr(target, "set_value", world.set_value)
    monkeypatch.setattr(target, "new_value", lambda current, password: {**current, "password": password})
    monkeypatch.setattr(target, "CHANGED_KEYS", ("password",))
    return world


def run(step: str, **more: object) -> dict[str, Any]:
    return lambda_function.lambda_handler({"Step": step, "SecretId": ARN, "ClientRequestToken": NEW, **more}, None)


def rotate(times: int = 1) -> None:
    for step in STEPS:
        for _ in range(times):
            run(step)


@pytest.mark.parametrize("times", [1, 2])
def test_the_new_value_is_stored_then_set_then_current_and_each_step_may_run_twice(world: World, times: int) -> None:
    rotate(times)
    assert world.effects == ["stored", "set", "labelled"]
    assert world.value("AWSCURRENT") == {**FIRST, "password": world.password}
    assert world.value("AWSPREVIOUS") == FIRST
    assert world.password != FIRST["password"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("effect", ["stored", "set", "labelled"])
def test_cut_off_anywhere_a_stored_value_works_and_the_next_attempt_succeeds(
    world: World, when: str, effect: str
) -> None:
    world.cut_at = f"{when} {effect}"
    with pytest.raises(Cut):
        rotate()
    assert any(world.accepts(json.loads(value)) for value in world.values.values())
    world.cut_at = ""
    rotate()
    assert world.value("AWSCURRENT")["password"] == world.password
    assert world.labels["AWSCURRENT"] == NEW


@pytest.mark.parametrize("key", ["host", "username"])
def test_a_pending_value_for_another_user_or_place_is_refused_before_the_target_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    world.values[NEW] = json.dumps({**FIRST, key: "somebody else's", "password": "theirs"})
    monkeypatch.setattr(target, "accepts", lambda _value: pytest.fail("the target was asked"))
    for step in ("setSecret", "testSecret"):
        with pytest.raises(ValueError, match="not for the same user and place"):
            run(step)


def test_of_two_functions_that_run_at_once_the_first_value_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lambda_function, "read", lambda *_: None)
    monkeypatch.setattr(lambda_function, "current_value", lambda _: dict(FIRST))
    world.values[NEW] = json.dumps({**FIRST, "password": "the other one's"})
    run("createSecret")
    assert world.value("AWSPENDING")["password"] == "the other one's"


def test_a_target_that_has_the_previous_password_is_set_with_it(world: World) -> None:
    older = "33333333-3333-4333-8333-333333333333"
    world.values[older] = json.dumps({**FIRST, "password": "restored"})
    world.labels["AWSPREVIOUS"], world.password = older, "restored"
    rotate()
    assert world.value("AWSCURRENT")["password"] == world.password


def test_what_the_secret_held_before_it_was_fit_for_rotation_is_in_nobodys_way(world: World) -> None:
    older = "33333333-3333-4333-8333-333333333333"
    world.values[older], world.labels["AWSPREVIOUS"] = "no JSON", older
    assert run("probeSecret")["refused"] == [NEW, older]
    rotate()
    assert world.value("AWSCURRENT")["password"] == world.password


def test_a_target_that_accepts_nothing_stored_is_left_alone(world: World) -> None:
    world.password = "set by hand"
    run("createSecret")
    with pytest.raises(ValueError, match="refuses previous, current and pending"):
        run("setSecret")
    with pytest.raises(ValueError, match="refuses the pending version"):
        run("testSecret")
    assert world.effects == ["stored"]


def test_a_version_that_is_not_pending_and_rotation_that_is_off_are_refused(world: World) -> None:
    world.enabled = False
    with pytest.raises(ValueError, match="not enabled for rotation"):
        run("createSecret")
    world.enabled = True
    del world.labels["AWSPENDING"]
    with pytest.raises(ValueError, match="not set as AWSPENDING"):
        run("setSecret")
    with pytest.raises(ValueError, match="Invalid step parameter"):
        run("dropSecret")
    assert world.effects == []


def test_no_value_is_logged_or_told_in_an_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    rotate()
    world.labels["AWSPENDING"] = OLD
    world.values[OLD] = "the first password, and no JSON"
    with pytest.raises(ValueError, match="is not a JSON object") as caught:
        lambda_function.read(ARN, version_id=OLD)
    told = caplog.text + str(caught.value) + str(caught.value.__cause__) + str(caught.value.__context__)
    assert "createSecret: Successfully put secret" in told
    assert "the first password" not in told
    assert "another password" not in told


def test_the_target_is_asked_which_versions_it_accepts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("createSecret")["offers"] == ["probeSecret"]
    assert run("probeSecret") == {
        "rotator": "keyturn.rotator/1",
        "offers": ["probeSecret"],
        "accepted": [OLD],
        "refused": [NEW],
    }
    world.values["lost"], world.password = json.dumps({**FIRST, "password": "lost"}), "lost"
    answer = run("probeSecret", LostVersionIds=["lost"])
    assert (answer["accepted"], answer["refused"]) == (["lost"], [NEW, OLD])
    monkeypatch.setattr(target, "accepts", lambda value: 1 / 0)
    answer = run("probeSecret")
    assert (answer["accepted"], answer["refused"], answer["unanswered"]) == ([], [], "ZeroDivisionError")
