"""One rotation through its steps, interrupted everywhere: it ends, by itself, in a state that was meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.ids import new_version_id
from keyturn.operations.accesses import Accesses
from keyturn.operations.subject import Subject
from keyturn.rules.lanes import Limits
from keyturn.rules.policy.evaluate import Decision, Outcome, PolicyType
from keyturn.runtime.pool import Runtime
from keyturn.runtime.spec import FunctionSpec, Invocation
from keyturn.scheduler.due import begin_due
from keyturn.scheduler.rotations import drive
from keyturn.storage import functions, rotations, secrets
from keyturn.storage.database import Transaction
from keyturn.storage.functions import FunctionRecord
from keyturn.storage.rotation_leases import LEASE, LeaseLost, claim_due, release_leases_of_others, write_under_lease
from keyturn.storage.rotations import RotationRecord, RotationStatus
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench

STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]
FUNCTION_ARN = PLACE.function_arn("rotate")
LIMITS = Limits(10, 10, 10)


class Killed(BaseException):
    """The process ends here, as after kill -9: nothing below this line runs."""


class Interrupter:
    """Kills at the n-th dangerous moment, counted over a whole rotation."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Killed


class FakeRuntime:
    """Plays the rotation function on the real operations; ``database`` is the password a target would accept."""

    def __init__(self, bench: HandlerBench, interrupt: Interrupter) -> None:
        self.bench, self.interrupt = bench, interrupt
        self.steps: list[str] = []
        self.fails_in = ""
        self.says = "no"
        self.database = "first"
        self.answers_nothing = False
        self.unanswered: str | None = None
        self.proves_itself = True
        self.offers_probe = False
        self.rotation_tokens: dict[str, str] = {}
        self.lost: list[str] = []

    def invoke(self, _spec: FunctionSpec, payload: bytes, *, request_id: str, client_context: str | None = None) -> Any:
        event = json.loads(payload)
        self.interrupt()
        self.steps.append(event["Step"])
        if event["Step"] == self.fails_in:
            error = {"errorType": "ValueError", "errorMessage": self.says}
            return Invocation(json.dumps(error).encode(), "Unhandled", b"", "$LATEST", 1.0)
        self.lost = event.get("LostVersionIds", [])
        self.rotation_tokens[event["ClientRequestToken"]] = event["RotationToken"]
        answer = getattr(self, event["Step"])(event["SecretId"], event["ClientRequestToken"])
        self.interrupt()
        return Invocation(json.dumps(answer).encode(), None, b"", "$LATEST", 1.0)

    def createSecret(self, secret: str, token: str) -> object:  # noqa: N802 - the step's name
        stored = self.bench.call("secretsmanager", "ListSecretVersionIds", SecretId=secret)["Versions"]
        if token not in [version["VersionId"] for version in stored]:
            value = {"SecretString": f"new-{token}", "VersionStages": ["AWSPENDING"]}
            if token in self.rotation_tokens and self.proves_itself:
                value["RotationToken"] = self.rotation_tokens[token]
            self.bench.call("secretsmanager", "PutSecretValue", SecretId=secret, ClientRequestToken=token, **value)
        return {"rotator": "keyturn.rotator/1", "offers": ["probeSecret"]} if self.offers_probe else None

    def setSecret(self, secret: str, token: str) -> None:  # noqa: N802 - likewise
        value = self.bench.call("secretsmanager", "GetSecretValue", SecretId=secret, VersionId=token)
        self.database = value["SecretString"]

    def testSecret(self, secret: str, token: str) -> None:  # noqa: N802 - likewise
        value = self.bench.call("secretsmanager", "GetSecretValue", SecretId=secret, VersionId=token)
        assert value["SecretString"] == self.database

    def probeSecret(self, secret: str, _token: str) -> object:  # noqa: N802 - likewise
        accepted: list[str] = []
        refused: list[str] = []
        listed = self.bench.call("secretsmanager", "ListSecretVersionIds", SecretId=secret)["Versions"]
        for version_id in [*(version["VersionId"] for version in listed), *self.lost]:
            value = self.bench.call("secretsmanager", "GetSecretValue", SecretId=secret, VersionId=version_id)
            (accepted if value["SecretString"] == self.database else refused).append(version_id)
        told: dict[str, object] = {"accepted": accepted, "refused": refused}
        if self.answers_nothing:
            told = {"unanswered": self.unanswered}
        return {"rotator": "keyturn.rotator/1", **told}

    def finishSecret(self, secret: str, token: str) -> None:  # noqa: N802 - likewise
        described = self.bench.call("secretsmanager", "DescribeSecret", SecretId=secret)
        held = {label: version for version, labels in described["VersionIdsToStages"].items() for label in labels}
        if held["AWSCURRENT"] != token:
            self.bench.call(
                "secretsmanager",
                "UpdateSecretVersionStage",
                SecretId=secret,
                VersionStage="AWSCURRENT",
                MoveToVersionId=token,
                RemoveFromVersionId=held["AWSCURRENT"],
            )


class _Permission:
    """Lets everybody do everything."""

    def __call__(self, call: Call, action: str, subject: Subject[object]) -> None:
        pass

    def decide(self, call: Call, action: str, subject: Subject[object]) -> Decision:
        return Decision(Outcome.ALLOW, PolicyType.IDENTITY)

    def may_deny(self, call: Call) -> bool:
        return False


class Desk:
    """A secret with a rotation function, and what a scheduler does, by hand."""

    def __init__(self, bench: HandlerBench) -> None:
        self.interrupt = Interrupter()
        self.runtime = FakeRuntime(bench, self.interrupt)
        bench.kit = replace(
            bench.kit,
            runtime=cast("Runtime", self.runtime),
            accesses=Accesses(),
            random=_Middle(),
            authorise=_Permission(),
            wake_scheduler=lambda: None,
        )
        self.bench, self.kit = bench, bench.kit
        with self.kit.state.write() as transaction:
            functions.store_package(transaction, "sha", b"zip")
            functions.insert_function(transaction, a_function(bench))
            statement = {
                "Sid": "s",
                "Effect": "Allow",
                "Principal": {"Service": "secretsmanager.amazonaws.com"},
                "Action": "lambda:InvokeFunction",
                "Resource": FUNCTION_ARN,
            }
            functions.put_statement(transaction, FUNCTION_ARN, "", "s", json.dumps(statement))
        self.call("CreateSecret", Name="db", SecretString="first", ClientRequestToken=new_version_id())

    def call(self, name: str, **request: Any) -> Any:
        return self.bench.call("secretsmanager", name, **request)

    def rotate(self, **request: Any) -> str:
        version_id: str = self.call(
            "RotateSecret",
            SecretId="db",
            RotationLambdaARN=FUNCTION_ARN,
            ClientRequestToken=new_version_id(),
            RotationRules={"AutomaticallyAfterDays": 30},
            **request,
        )["VersionId"]
        return version_id

    def claim(self, owner: str = "me") -> list[RotationRecord]:
        now = self.bench.clock.now()
        return claim_due(self.kit.state, owner, now, {}, LIMITS)

    def work(self) -> None:
        """Drive what is due, until nothing is."""
        while claimed := self.claim():
            for rotation in claimed:
                drive(self.kit, rotation, Event())

    def stages(self) -> dict[str, list[str]]:
        described: dict[str, list[str]] = self.call("DescribeSecret", SecretId="db")["VersionIdsToStages"]
        return described

    def history(self) -> list[RotationRecord]:
        with self.kit.state.read() as connection:
            secret = secrets.load_secret(connection, self.call("DescribeSecret", SecretId="db")["ARN"])
            assert secret is not None
            return rotations.load_history(connection, secret.secret_id)

    def told(self) -> list[str]:
        """Events that the service has recorded of itself, newest first."""
        found = self.bench.call("cloudtrail", "LookupEvents", MaxResults=50)["Events"]
        return [event["EventName"] for event in found if event["EventName"] != "Invoke"]

    def stored_passwords(self) -> list[str]:
        values = []
        for version in self.call("ListSecretVersionIds", SecretId="db")["Versions"]:
            found = self.call("GetSecretValue", SecretId="db", VersionId=version["VersionId"])
            values.append(found["SecretString"])
        return values


class _Middle:
    def randbelow(self, bound: int) -> int:
        return bound // 2


def a_function(bench: HandlerBench) -> FunctionRecord:
    return FunctionRecord(
        arn=FUNCTION_ARN,
        account_id=PLACE.account_id,
        region=PLACE.region,
        name="rotate",
        runtime="python3.11",
        handler="f.handler",
        role_arn=PLACE.role_arn("/", "rotate"),
        description="",
        timeout_seconds=3,
        memory_mb=128,
        ephemeral_storage_mb=512,
        sealed=None,
        code_sha256="sha",
        code_size_bytes=3,
        revision_id="1",
        last_modified_at=bench.clock.now(),
    )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_bench(tmp_path) as bench:
        yield Desk(bench)


@contextmanager
def dangerous_writes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every write of the state a dangerous moment, just before it is committed and just after."""
    state, write = desk.kit.state, desk.kit.state.write

    @contextmanager
    def interrupted() -> Iterator[Transaction]:
        with write() as transaction:
            yield transaction
            desk.interrupt()
        desk.interrupt()

    with monkeypatch.context() as patch:
        patch.setattr(state, "write", interrupted)
        yield


def test_a_step_goes_by_the_policy_of_now_though_nobody_has_called_since_it_changed(desk: Desk) -> None:
    desk.rotate()
    desk.bench.call("lambda", "RemovePermission", FunctionName="rotate", StatementId="s")
    desk.work()

    assert desk.runtime.steps == []
    assert desk.history()[0].cause == "notInvoked"


def test_the_four_steps_run_in_order_with_one_token(desk: Desk) -> None:
    version_id = desk.rotate()
    assert desk.stages()[version_id] == ["AWSPENDING"]
    desk.work()
    assert desk.runtime.steps == STEPS
    assert desk.stages()[version_id] == ["AWSCURRENT", "AWSPENDING"]
    described = desk.call("DescribeSecret", SecretId="db")
    assert described["LastRotatedDate"] == desk.bench.clock.now()
    day = (desk.bench.clock.now() + timedelta(days=30)).date()
    assert described["NextRotationDate"] == datetime.combine(day, time(23, 59, 59), UTC)


def test_a_rotation_killed_at_any_moment_is_finished_by_the_next_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 0
    while True:
        moment += 1
        directory = tmp_path / str(moment)
        directory.mkdir()
        with open_bench(directory) as bench:
            desk = Desk(bench)
            version_id = desk.rotate()
            desk.interrupt.at = moment
            try:
                with dangerous_writes(desk, monkeypatch):
                    desk.work()
            except Killed:
                assert desk.runtime.database in desk.stored_passwords()
            else:
                break
            desk.interrupt.at = None
            release_leases_of_others(desk.kit.state, "the next server")
            desk.work()
            assert desk.stages()[version_id] == ["AWSCURRENT", "AWSPENDING"], moment
            assert desk.runtime.database == f"new-{version_id}"
            assert [rotation.status for rotation in desk.history()] == [RotationStatus.SUCCEEDED]
            # Told before it is committed, so perhaps once more, and never not at all.
            assert {desk.told().count(event) for event in ("RotationStarted", "RotationSucceeded")} <= {1, 2}, moment
    # Each of the four steps has two writes around it, two moments each, and two around what the function does.
    assert moment > 4 * 6


def test_what_no_database_takes_in_a_functions_error_is_stored_as_something_else(desk: Desk) -> None:
    desk.rotate()
    desk.runtime.fails_in, desk.runtime.says = "setSecret", "bad \0 and half \ud800"

    desk.work()

    assert (desk.history()[0].error or "").endswith("ValueError: bad \ufffd and half ?")


def test_a_function_that_no_longer_lets_secrets_manager_in_is_told_of_with_the_statement_that_is_missing(
    desk: Desk,
) -> None:
    desk.rotate()
    with desk.kit.state.write() as transaction:
        functions.remove_statement(transaction, FUNCTION_ARN, "", "s")
    desk.bench.kept.refresh()
    desk.work()

    found = desk.bench.call("cloudtrail", "LookupEvents", MaxResults=50)["Events"]
    record = json.loads(next(event["CloudTrailEvent"] for event in found if event["EventName"] == "Invoke"))

    assert (record["errorCode"], record["additionalEventData"]["Step"]) == ("AccessDenied", "createSecret")
    encoded = record["additionalEventData"]["authorization"]["encodedMessage"]
    message = desk.bench.call("sts", "DecodeAuthorizationMessage", EncodedMessage=encoded)["DecodedMessage"]
    [remedy] = json.loads(message)["keyturn"]["remedies"]
    assert remedy["statement"] == {
        "Effect": "Allow",
        "Principal": {"Service": "secretsmanager.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": FUNCTION_ARN,
        # For no other account's secrets, and no other secret: that would be a confused deputy.
        "Condition": {
            "StringEquals": {"AWS:SourceAccount": PLACE.account_id},
            "ArnLike": {"AWS:SourceArn": desk.call("DescribeSecret", SecretId="db")["ARN"]},
        },
    }


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_is_tried_again_from_the_first_and_then_parked(desk: Desk, step: str) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = step
    desk.work()
    one_attempt = STEPS[: STEPS.index(step) + 1]
    assert desk.runtime.steps == one_attempt
    for _ in range(10):
        desk.bench.clock.advance(timedelta(minutes=5))
        desk.work()
    assert desk.runtime.steps == one_attempt * 5
    parked = desk.history()[0]
    assert parked.status is RotationStatus.PARKED
    assert parked.error == f"Error when executing lambda {FUNCTION_ARN} during {step} step: ValueError: no"

    desk.runtime.fails_in = ""
    with pytest.raises(InvalidRequestException, match="A previous rotation isn't complete"):
        desk.rotate()
    desk.work()
    assert desk.stages()[version_id] == ["AWSCURRENT", "AWSPENDING"]


def test_a_parked_rotation_goes_on_with_its_version_in_the_next_window(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.runtime.fails_in = "setSecret"
    for _ in range(10):
        desk.work()
        desk.bench.clock.advance(timedelta(minutes=5))
    desk.runtime.fails_in = ""
    now = desk.bench.clock.advance(timedelta(days=32))
    with desk.kit.state.read() as connection:
        due = secrets.due_for_rotation(connection, now, 10)
    assert len(due) == 1
    begin_due(desk.kit, due[0], now)
    begin_due(desk.kit, due[0], now)
    desk.work()
    assert desk.stages()[version_id] == ["AWSCURRENT", "AWSPENDING"]
    assert len(desk.history()) == 1


def test_whoever_lost_the_lease_changes_nothing_any_more(desk: Desk) -> None:
    desk.rotate()
    (slow,) = desk.claim("slow")
    assert desk.claim("other") == []
    desk.bench.clock.advance(LEASE)
    (taken,) = desk.claim("other")
    assert taken.lease_generation == slow.lease_generation + 1
    drive(desk.kit, slow, Event())
    assert desk.runtime.steps == []
    with pytest.raises(LeaseLost), desk.kit.state.write() as transaction:
        write_under_lease(transaction, slow, desk.bench.clock.now(), step="setSecret")
    drive(desk.kit, taken, Event())
    assert desk.runtime.steps == STEPS


def test_a_value_put_by_hand_abandons_the_rotation(desk: Desk) -> None:
    version_id = desk.rotate()
    desk.call("PutSecretValue", SecretId="db", SecretString="by hand", ClientRequestToken=new_version_id())
    desk.work()
    assert desk.runtime.steps == []
    assert version_id not in desk.stages()
    (abandoned,) = desk.history()
    assert abandoned.status is RotationStatus.ABANDONED
    assert str(abandoned.error).startswith("Another value was made current while it was under way: that value stays")
    desk.rotate()


def _parked(desk: Desk) -> str:
    version_id = desk.rotate()
    desk.runtime.fails_in = "setSecret"
    for _ in range(10):
        desk.work()
        desk.bench.clock.advance(timedelta(minutes=5))
    desk.runtime.fails_in = ""
    assert desk.history()[0].status is RotationStatus.PARKED
    return version_id


def _move(desk: Desk, label: str, **request: str) -> None:
    desk.call("UpdateSecretVersionStage", SecretId="db", VersionStage=label, **request)


def test_a_parked_rotation_without_awspending_is_abandoned_and_another_may_begin(desk: Desk) -> None:
    version_id = _parked(desk)
    _move(desk, "AWSPENDING", RemoveFromVersionId=version_id)
    (abandoned,) = desk.history()
    assert abandoned.status is RotationStatus.ABANDONED
    assert str(abandoned.error).startswith("AWSPENDING was taken off its version while it was under way: the current")
    assert desk.told()[0] == "RotationAbandoned"
    assert "NextRotationDate" in desk.call("DescribeSecret", SecretId="db")
    other = desk.rotate()
    desk.work()
    assert desk.stages()[other] == ["AWSCURRENT", "AWSPENDING"]


def test_a_parked_rotation_that_is_finished_by_hand_has_succeeded(desk: Desk) -> None:
    version_id = _parked(desk)
    current = next(name for name, labels in desk.stages().items() if "AWSCURRENT" in labels)
    _move(desk, "AWSCURRENT", MoveToVersionId=version_id, RemoveFromVersionId=current)
    assert [rotation.status for rotation in desk.history()] == [RotationStatus.SUCCEEDED]
    assert desk.told()[0] == "RotationSucceeded"
    now = desk.bench.clock.now()
    described = desk.call("DescribeSecret", SecretId="db")
    assert described["LastRotatedDate"] == now
    assert described["NextRotationDate"].date() == (now + timedelta(days=30)).date()
    # The next window is for the next rotation.
    later = desk.bench.clock.advance(timedelta(days=32))
    with desk.kit.state.read() as connection:
        (due,) = secrets.due_for_rotation(connection, later, 10)
    begin_due(desk.kit, due, later)
    desk.work()
    assert [rotation.status for rotation in desk.history()] == [RotationStatus.SUCCEEDED] * 2


def test_a_pending_value_put_by_hand_abandons_a_scheduled_rotation_and_the_next_is_planned(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    now = desk.bench.clock.advance(timedelta(days=32))
    with desk.kit.state.read() as connection:
        (due,) = secrets.due_for_rotation(connection, now, 10)
    begin_due(desk.kit, due, now)
    assert desk.history()[0].status is RotationStatus.PENDING
    desk.call(
        "PutSecretValue",
        SecretId="db",
        SecretString="by hand",
        VersionStages=["AWSPENDING"],
        ClientRequestToken=new_version_id(),
    )
    assert desk.history()[0].status is RotationStatus.ABANDONED
    assert desk.call("DescribeSecret", SecretId="db")["NextRotationDate"] > now


def test_a_value_that_was_pending_by_hand_is_no_rotation_to_be_abandoned(desk: Desk) -> None:
    put = {"SecretId": "db", "SecretString": "by hand"}
    desk.call("PutSecretValue", **put, VersionStages=["AWSPENDING"], ClientRequestToken=new_version_id())
    desk.call("PutSecretValue", **put, ClientRequestToken=new_version_id())
    assert desk.told() == []


def test_a_test_that_is_interfered_with_takes_its_copy_along_and_nothing_else(desk: Desk) -> None:
    version_id = desk.rotate(RotateImmediately=False)
    by_hand = new_version_id()
    put = {"SecretId": "db", "SecretString": "by hand", "ClientRequestToken": by_hand}
    desk.call("PutSecretValue", **put, VersionStages=["AWSPENDING"])
    desk.work()
    assert desk.runtime.steps == []
    assert desk.stages()[by_hand] == ["AWSPENDING"]
    listed = desk.call("ListSecretVersionIds", SecretId="db", IncludeDeprecated=True)["Versions"]
    assert version_id not in [version["VersionId"] for version in listed]


def test_a_tested_version_that_is_made_current_by_hand_stays_and_is_no_rotation(desk: Desk) -> None:
    version_id = desk.rotate(RotateImmediately=False)
    (current,) = [name for name, labels in desk.stages().items() if "AWSCURRENT" in labels]
    _move(desk, "AWSCURRENT", MoveToVersionId=version_id, RemoveFromVersionId=current)
    desk.call("PutSecretValue", SecretId="db", SecretString="by hand", ClientRequestToken=new_version_id())
    assert desk.stages()[version_id] == ["AWSPREVIOUS"]
    assert [rotation.status for rotation in desk.history()] == [RotationStatus.ABANDONED]
    assert "LastRotatedDate" not in desk.call("DescribeSecret", SecretId="db")


def test_a_label_moved_while_the_function_is_tested_stays_where_it_was_moved(desk: Desk) -> None:
    version_id = desk.rotate(RotateImmediately=False)
    by_hand = new_version_id()

    def move(secret: str, token: str) -> None:
        put = {"SecretId": secret, "SecretString": "by hand", "ClientRequestToken": by_hand}
        desk.call("PutSecretValue", **put, VersionStages=["MINE"])
        _move(desk, "AWSPENDING", MoveToVersionId=by_hand, RemoveFromVersionId=token)

    desk.runtime.testSecret = move  # type: ignore[method-assign]  # a person, meanwhile
    desk.work()
    assert desk.stages()[by_hand] == ["AWSPENDING", "MINE"]
    listed = desk.call("ListSecretVersionIds", SecretId="db", IncludeDeprecated=True)["Versions"]
    assert version_id not in [version["VersionId"] for version in listed]


def test_labels_that_a_running_step_moves_in_any_order_do_not_abandon_its_rotation(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(secret: str, token: str) -> None:
        held = {label: version for version, labels in desk.stages().items() for label in labels}
        _move(desk, "AWSPENDING", RemoveFromVersionId=token)
        _move(desk, "AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=held["AWSCURRENT"])

    monkeypatch.setattr(desk.runtime, "finishSecret", finish)
    version_id = desk.rotate()
    desk.work()
    assert desk.stages()[version_id] == ["AWSCURRENT"]
    assert [rotation.status for rotation in desk.history()] == [RotationStatus.SUCCEEDED]


def test_a_rotation_that_begins_while_finish_secret_returns_ends_the_one_before(desk: Desk) -> None:
    first = desk.rotate()
    (claimed,) = desk.claim()
    desk.runtime.createSecret("db", first)
    desk.runtime.finishSecret("db", first)
    second = desk.rotate()
    assert [rotation.status for rotation in desk.history()] == [RotationStatus.PENDING, RotationStatus.SUCCEEDED]
    assert desk.told() == ["RotationSucceeded"]
    drive(desk.kit, claimed, Event())
    assert desk.runtime.steps == []
    desk.work()
    assert desk.stages()[second] == ["AWSCURRENT", "AWSPENDING"]


def test_a_cancelled_rotation_stops_and_leaves_its_version_pending(desk: Desk) -> None:
    version_id = desk.rotate()
    assert desk.call("CancelRotateSecret", SecretId="db")["VersionId"] == version_id
    desk.work()
    assert desk.runtime.steps == []
    described = desk.call("DescribeSecret", SecretId="db")
    assert described["RotationEnabled"] is False
    assert described["VersionIdsToStages"][version_id] == ["AWSPENDING"]
    assert "NextRotationDate" not in described


def test_without_rotating_at_once_only_test_secret_runs_with_a_copy_that_goes_away(desk: Desk) -> None:
    version_id = desk.rotate(RotateImmediately=False)
    desk.work()
    assert desk.runtime.steps == ["testSecret"]
    assert version_id not in desk.stages()
    assert desk.stored_passwords() == ["first"]
    described = desk.call("DescribeSecret", SecretId="db")
    assert "LastRotatedDate" not in described
    assert "NextRotationDate" in described


def test_a_finish_that_did_nothing_is_a_failure(desk: Desk) -> None:
    desk.runtime.finishSecret = lambda *_: None  # type: ignore[method-assign]  # a function that forgot its work
    desk.rotate()
    desk.work()
    assert "AWSCURRENT is not on the version" in (desk.history()[0].error or "")


def test_what_a_stopping_server_interrupts_is_no_failure(desk: Desk) -> None:
    desk.rotate()
    stopping = Event()
    (rotation,) = desk.claim()
    desk.runtime.setSecret = lambda *_: stopping.set()  # type: ignore[method-assign]  # the server stops in this step
    drive(desk.kit, rotation, stopping)
    (left,) = desk.history()
    assert (left.status, left.step, left.attempt, left.error) == (RotationStatus.PENDING, "setSecret", 1, None)
