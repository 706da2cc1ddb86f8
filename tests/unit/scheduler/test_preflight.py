"""When secrets are looked at before their rotations are due, what is stored of it, and who is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from keyturn.errors.lambda_ import TooManyRequestsException
from keyturn.errors.secretsmanager import InvalidRequestException, ResourceNotFoundException
from keyturn.ids import new_version_id
from keyturn.operations.secretsmanager import preflight
from keyturn.operations.secretsmanager.overtaken_preflight import look_again_at_users
from keyturn.rules.preflight import RETRY, Heartbeat, Verdict
from keyturn.runtime.pool import Runtime, RuntimeClosed
from keyturn.runtime.spec import FunctionSpec, Invocation
from keyturn.scheduler.preflight import Preflights
from keyturn.scheduler.rotations import drive
from keyturn.storage import preflights
from keyturn.storage.preflights import PreflightRecord
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench

from .test_notifying import Listener
from .test_rotations import FUNCTION_ARN, FakeRuntime
from .test_rotations import Desk as DeskOfRotations

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AHEAD = 6 * HOUR
VALUE = {"engine": "postgres", "host": "db", "username": "app", "password": "pass-word-1", "masterarn": "none"}
WELL = {
    "function.import": "ok Ok",
    "secret.read": "ok Ok",
    "secret.value": "ok Ok",
    "login.current": "ok Accepted",
    "login.previous": "ok Refused",
    "login.pending": "skipped NoVersion",
}
SUPERUSER_REFUSED = {"login.superuser": "failed AuthenticationFailed"}


class PreflightRuntime(FakeRuntime):
    """Plays the program that looks: it finds all well but for what is changed."""

    def __init__(self, bench: HandlerBench) -> None:
        super().__init__(bench, interrupt=cast("Any", lambda: None))
        self.changed: dict[str, str] = {}
        self.reason = "why"
        self.looked: list[dict[str, Any]] = []
        self.specs: list[FunctionSpec] = []
        self.meanwhile: Any = lambda: None
        self.raises: Exception | None = None
        self.answer: bytes | None = None

    def discard(self, function_arn: str) -> None:
        assert function_arn == FUNCTION_ARN

    def run_beside(self, spec: FunctionSpec, layer: bytes, payload: bytes, *, request_id: str) -> Invocation:
        assert layer
        assert request_id
        self.looked.append(json.loads(payload))
        self.specs.append(spec)
        self.meanwhile()
        if self.raises:
            raise self.raises
        items = [
            {"item": item, "status": said.split()[0], "code": said.split()[1], "reason": self.reason, "seconds": 0.1}
            for item, said in {**WELL, **self.changed}.items()
        ]
        answer = json.dumps({"preflight": "keyturn.preflight/1", "items": items}).encode()
        return Invocation(answer if self.answer is None else self.answer, None, b"", "$LATEST", 1.0)


class Desk(DeskOfRotations):
    """A secret that rotates, and what looks at it."""

    def __init__(self, bench: HandlerBench) -> None:
        super().__init__(bench)
        self.looker = PreflightRuntime(bench)
        bench.kit = replace(bench.kit, runtime=cast("Runtime", self.looker), heartbeat=True)
        self.kit = bench.kit
        self.runtime = self.looker
        self.call("PutSecretValue", SecretId="db", SecretString=json.dumps(VALUE), ClientRequestToken=new_version_id())
        self.preflights = Preflights(self.kit, AHEAD)

    def rotated(self, **rules: Any) -> None:
        """Switch rotation on, and let the first one end."""
        self.call(
            "RotateSecret",
            SecretId="db",
            RotationLambdaARN=FUNCTION_ARN,
            ClientRequestToken=new_version_id(),
            RotationRules=rules or {"AutomaticallyAfterDays": 30},
        )
        self.work()
        self.looker.looked.clear()

    def look(self) -> int:
        """Take a turn of the scheduler, and return how often something was looked at."""
        before = len(self.looker.looked)
        self.preflights.run_once()
        for future in self.preflights._running.values():
            future.result()
        return len(self.looker.looked) - before

    def after(self, span: timedelta) -> int:
        """Let time pass, and look."""
        self.bench.clock.advance(span)
        return self.look()

    @property
    def found(self) -> PreflightRecord | None:
        """What is stored."""
        with self.kit.state.read() as connection:
            return preflights.load_preflight(connection, 1)

    @property
    def verdict(self) -> tuple[Verdict, Heartbeat, tuple[str, ...]]:
        assert self.found is not None
        return self.found.verdict, self.found.heartbeat, self.found.causes

    def call_planned(self) -> Any:
        return self.bench.call("keyturn", "ListPlannedRotations")["PlannedRotations"][0]

    @property
    def planned_at(self) -> Any:
        return self.call_planned()["NextRotationAt"]

    def asked(self, name: str = "PreflightRotation") -> Any:
        return self.bench.call("keyturn", name, SecretId="db")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    # What the doctor finds has tests of its own; this function has no role, for one.
    monkeypatch.setattr(preflight, "diagnosed", lambda *_: [])
    with open_bench(tmp_path) as bench:
        made = Desk(bench)
        yield made
        made.preflights.stop()
        made.preflights.join()


# When.


def test_a_secret_is_looked_at_when_rotation_is_switched_on_and_then_each_day(desk: Desk) -> None:
    assert desk.look() == 0
    desk.rotated()

    assert [desk.look(), desk.look(), desk.after(21 * HOUR), desk.after(2 * HOUR), desk.look()] == [1, 0, 0, 1, 0]
    assert desk.verdict == (Verdict.READY, Heartbeat.IN_STEP, ())


def test_it_is_looked_at_again_when_it_gets_another_function_and_not_for_other_rules(desk: Desk) -> None:
    desk.rotated()
    desk.look()
    desk.rotated(AutomaticallyAfterDays=7)
    assert desk.look() == 0

    desk.call("CancelRotateSecret", SecretId="db")
    assert desk.after(3 * DAY) == 0
    desk.rotated()
    assert desk.look() == 1


BAD = {"login.current": "failed AuthenticationFailed", "login.previous": "failed StillAccepted"}


def _rotate_again(desk: Desk) -> None:
    desk.rotate()
    desk.work()


def _put(desk: Desk) -> None:
    value, token = json.dumps(VALUE), new_version_id()
    desk.call("PutSecretValue", SecretId="db", SecretString=value, ClientRequestToken=token)


def _set_rules(desk: Desk) -> None:
    desk.call(
        "RotateSecret",
        SecretId="db",
        ClientRequestToken=new_version_id(),
        RotationRules={"AutomaticallyAfterDays": 9},
        RotateImmediately=False,
    )
    desk.work()


def _configure_function(desk: Desk) -> None:
    desk.bench.call("lambda", "UpdateFunctionConfiguration", FunctionName="rotate", MemorySize=256)


@pytest.mark.parametrize("change", [_rotate_again, _put, _set_rules, _configure_function])
@pytest.mark.parametrize("changed", [SUPERUSER_REFUSED, BAD, {"login.current": "skipped DriverMissing"}])
def test_what_was_found_is_looked_at_again_within_the_minute_after_it_may_have_been_mended(
    desk: Desk, change: Callable[[Desk], None], changed: dict[str, str]
) -> None:
    desk.rotated()
    desk.looker.changed = changed
    desk.look()
    assert desk.after(21 * HOUR) == 0
    desk.looker.changed = {}
    change(desk)

    assert desk.look() == 0
    assert desk.after(MINUTE / 2) == 1
    assert desk.verdict == (Verdict.READY, Heartbeat.IN_STEP, ())
    assert desk.after(21 * HOUR) == 0


@pytest.mark.parametrize("change", [_rotate_again, _set_rules, _configure_function])
def test_what_was_well_is_not_looked_at_again_after_each_rotation(desk: Desk, change: Callable[[Desk], None]) -> None:
    desk.rotated()
    desk.look()
    change(desk)

    assert desk.after(21 * HOUR) == 0


def test_a_value_that_was_stored_by_hand_is_looked_at_however_well_the_one_before_was(desk: Desk) -> None:
    desk.rotated()
    desk.look()
    _put(desk)

    assert desk.look() == 0
    assert desk.after(MINUTE) == 1
    assert desk.after(20 * HOUR) == 0


def _give_right(desk: Desk) -> None:
    desk.bench.call(
        "lambda",
        "AddPermission",
        FunctionName="rotate",
        StatementId="t",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
    )


def _take_right(desk: Desk) -> None:
    desk.bench.call("lambda", "RemovePermission", FunctionName="rotate", StatementId="s")


def _put_policy(desk: Desk, role: str = "rotate") -> None:
    desk.bench.call("iam", "PutRolePolicy", RoleName=role, PolicyName="p", PolicyDocument=ANYTHING)


def _delete_policy(desk: Desk) -> None:
    desk.bench.call("iam", "DeleteRolePolicy", RoleName="rotate", PolicyName="before")


def _attach_policy(desk: Desk) -> None:
    desk.bench.call("iam", "AttachRolePolicy", RoleName="rotate", PolicyArn=TO_ATTACH)


def _detach_policy(desk: Desk) -> None:
    desk.bench.call("iam", "DetachRolePolicy", RoleName="rotate", PolicyArn=ATTACHED)


def _change_trust(desk: Desk) -> None:
    desk.bench.call("iam", "UpdateAssumeRolePolicy", RoleName="rotate", PolicyDocument=TRUST)


def _bound(desk: Desk) -> None:
    desk.bench.call("iam", "PutRolePermissionsBoundary", RoleName="rotate", PermissionsBoundary=TO_ATTACH)


def _unbound(desk: Desk) -> None:
    desk.bench.call("iam", "DeleteRolePermissionsBoundary", RoleName="rotate")


def _say_otherwise(desk: Desk) -> None:
    desk.bench.call("iam", "CreatePolicyVersion", PolicyArn=OWN, PolicyDocument=ANYTHING, SetAsDefault=True)


def _bound_otherwise(desk: Desk) -> None:
    desk.bench.call("iam", "SetDefaultPolicyVersion", PolicyArn=BOUNDARY, VersionId="v2")


def _deny_reading(desk: Desk) -> None:
    desk.call("PutResourcePolicy", SecretId="db", ResourcePolicy=NOBODY)


ANYTHING = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
TRUST = (
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "sts:AssumeRole",'
    ' "Principal": {"Service": "lambda.amazonaws.com"}}}'
)
NOBODY = (
    '{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "secretsmanager:GetSecretValue",'
    ' "Principal": "*", "Resource": "*"}}'
)
OWN, BOUNDARY = (f"arn:aws:iam::{PLACE.account_id}:policy/{name}" for name in ("own", "boundary"))
ATTACHED = "arn:aws:iam::aws:policy/AdministratorAccess"
TO_ATTACH = "arn:aws:iam::aws:policy/SecretsManagerReadWrite"


@pytest.mark.parametrize(
    "change",
    [
        _give_right, _take_right, _put_policy, _delete_policy, _attach_policy, _detach_policy, _change_trust, _bound,
        _unbound, _say_otherwise, _bound_otherwise, _deny_reading,
    ],
)  # fmt: skip
@pytest.mark.parametrize("changed", [{}, SUPERUSER_REFUSED])
def test_whatever_was_found_is_looked_at_again_when_rights_of_the_function_change(
    desk: Desk, change: Callable[[Desk], None], changed: dict[str, str]
) -> None:
    for role in ("rotate", "another"):
        desk.bench.call("iam", "CreateRole", RoleName=role, AssumeRolePolicyDocument=TRUST)
    desk.bench.call("iam", "PutRolePolicy", RoleName="rotate", PolicyName="before", PolicyDocument=ANYTHING)
    for policy in ("own", "boundary"):
        desk.bench.call("iam", "CreatePolicy", PolicyName=policy, PolicyDocument=ANYTHING)
    desk.bench.call("iam", "CreatePolicyVersion", PolicyArn=BOUNDARY, PolicyDocument=ANYTHING)
    for attached in (ATTACHED, OWN):
        desk.bench.call("iam", "AttachRolePolicy", RoleName="rotate", PolicyArn=attached)
    desk.bench.call("iam", "PutRolePermissionsBoundary", RoleName="rotate", PermissionsBoundary=BOUNDARY)
    desk.rotated()
    desk.looker.changed = changed
    desk.look()
    _put_policy(desk, "another")
    assert desk.after(HOUR) == 0
    change(desk)

    assert desk.look() == 0
    assert desk.after(MINUTE) == 1
    assert desk.after(20 * HOUR) == 0


@pytest.mark.parametrize("call", ["DisableKey", "ScheduleKeyDeletion", "PutKeyPolicy"])
def test_whatever_was_found_is_looked_at_again_when_its_key_or_who_may_use_that_changes(desk: Desk, call: str) -> None:
    keys = [desk.bench.call("kms", "CreateKey")["KeyMetadata"]["KeyId"] for _ in range(2)]
    desk.call("UpdateSecret", SecretId="db", KmsKeyId=keys[0])
    desk.rotated()
    desk.look()
    asked = (
        {"Policy": desk.bench.call("kms", "GetKeyPolicy", KeyId=keys[0])["Policy"]} if call == "PutKeyPolicy" else {}
    )
    desk.bench.call("kms", call, KeyId=keys[1], **asked)
    assert desk.after(HOUR) == 0

    desk.bench.call("kms", call, KeyId=keys[0], **asked)
    assert desk.after(MINUTE) == 1


def test_a_role_that_is_deleted_and_made_again_has_them_looked_at_each_time(desk: Desk) -> None:
    desk.bench.call("iam", "CreateRole", RoleName="rotate", AssumeRolePolicyDocument=TRUST)
    desk.rotated()
    desk.look()

    desk.bench.call("iam", "DeleteRole", RoleName="rotate")
    assert desk.after(MINUTE) == 1
    desk.bench.call("iam", "CreateRole", RoleName="rotate", AssumeRolePolicyDocument=TRUST)
    assert desk.after(MINUTE) == 1


def test_a_rotation_that_fails_mends_nothing(desk: Desk) -> None:
    desk.rotated()
    desk.looker.changed = SUPERUSER_REFUSED
    desk.look()
    desk.looker.fails_in = "setSecret"
    _rotate_again(desk)

    assert desk.after(HOUR) == 0


def test_another_functions_change_is_no_reason_to_look(desk: Desk) -> None:
    desk.rotated()
    desk.looker.changed = SUPERUSER_REFUSED
    desk.look()
    with desk.kit.state.write() as transaction:
        look_again_at_users(desk.kit, transaction, FUNCTION_ARN[:-1], desk.bench.clock.now())
    assert desk.after(HOUR) == 0
    with desk.kit.state.write() as transaction:
        look_again_at_users(desk.kit, transaction, FUNCTION_ARN, desk.bench.clock.now())
    assert desk.after(MINUTE) == 1


def test_a_change_of_the_function_while_it_is_looked_at_has_it_looked_at_again(desk: Desk) -> None:
    desk.rotated()
    desk.looker.changed = SUPERUSER_REFUSED
    desk.look()
    desk.looker.meanwhile = lambda: _configure_function(desk)
    desk.asked()
    desk.looker.meanwhile = lambda: None
    desk.looker.changed = {}

    assert desk.after(MINUTE) == 1
    assert desk.verdict[0] is Verdict.READY


def test_it_is_looked_at_some_hours_before_each_rotation(desk: Desk) -> None:
    desk.rotated(AutomaticallyAfterDays=2)
    desk.look()
    to_ahead = desk.planned_at - AHEAD - desk.bench.clock.now()
    # The day's own look is over before.
    desk.bench.clock.advance(to_ahead - HOUR)
    desk.look()

    assert desk.after(HOUR - MINUTE) == 0
    assert desk.after(2 * MINUTE) == 1
    assert desk.after(HOUR) == 0


def test_while_a_rotation_runs_it_is_put_off(desk: Desk) -> None:
    desk.rotated()
    desk.look()
    desk.bench.clock.advance(DAY)
    desk.rotate()
    (running,) = desk.claim()

    assert desk.look() == 0
    drive(desk.kit, running, Event())
    assert desk.look() == 0
    assert desk.after(MINUTE) == 1


def test_what_is_found_while_a_rotation_begins_is_not_kept(desk: Desk) -> None:
    desk.rotated()

    def begin() -> None:
        desk.looker.meanwhile = lambda: None
        desk.rotate()
        desk.work()

    desk.looker.meanwhile = begin
    assert desk.look() == 1
    assert desk.found is None
    assert desk.after(MINUTE) == 1
    assert desk.found is not None


def test_a_server_that_dies_leaves_the_secret_due(desk: Desk) -> None:
    desk.rotated()
    assert preflights.hold(desk.kit.state, 1, desk.bench.clock.now(), desk.bench.clock.now() + 5 * MINUTE)
    assert desk.look() == 0
    # Another server on the same database, when the hold is over.
    assert desk.after(5 * MINUTE) == 1

    desk.bench.clock.advance(DAY)
    assert preflights.hold(desk.kit.state, 1, desk.bench.clock.now(), desk.bench.clock.now() + 5 * MINUTE)
    # The server itself, when it starts again.
    preflights.release_all(desk.kit.state)
    assert desk.look() == 1


def test_a_server_that_ends_stores_nothing_of_what_it_cut_off(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.rotated()
    desk.looker.raises = RuntimeClosed()

    assert desk.look() == 1
    assert desk.found is None
    assert caplog.text == ""


def test_without_a_place_it_is_tried_again(desk: Desk) -> None:
    desk.rotated()
    desk.looker.raises = TooManyRequestsException("Rate Exceeded.")
    assert desk.look() == 1
    desk.looker.raises = None

    assert [desk.look(), desk.after(RETRY)] == [0, 1]


@pytest.mark.parametrize("restored", [False, True])
def test_a_secret_that_is_scheduled_for_deletion_is_left_alone_until_it_is_restored(desk: Desk, restored: bool) -> None:
    desk.rotated()
    desk.look()
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=30)
    assert desk.after(DAY) == 0
    if restored:
        desk.call("RestoreSecret", SecretId="db")

    assert desk.after(DAY + MINUTE) == int(restored)


# What the program is given.


def test_it_runs_in_the_functions_stead_with_the_engine_of_the_value(desk: Desk) -> None:
    desk.call("PutSecretValue", SecretId="db", SecretString=json.dumps(VALUE), ClientRequestToken=new_version_id())
    desk.rotated()
    desk.call("PutSecretValue", SecretId="db", SecretString=json.dumps(VALUE), ClientRequestToken=new_version_id())
    desk.look()

    (event,), (spec,) = desk.looker.looked, desk.looker.specs
    assert event == {
        "SecretId": desk.call("DescribeSecret", SecretId="db")["ARN"],
        "Engine": "postgresql",
        "EngineNames": ["postgres", "aurora-postgresql"],
        "Heartbeat": True,
    }
    assert (spec.handler, spec.program) == ("f.handler", "keyturn_preflight.lambda_handler")
    assert (spec.role_arn, spec.environment) == (PLACE.role_arn("/", "rotate"), {})


@pytest.mark.parametrize("value", ["no JSON", '["a list"]', '{"engine": "postgres-but-mine"}', '{"password": "x"}'])
def test_what_a_secret_is_for_is_known_as_long_as_an_engine_is_for_it(desk: Desk, value: str) -> None:
    def engine() -> object:
        desk.after(DAY)
        return desk.call_planned().get("Engine")

    desk.call("PutSecretValue", SecretId="db", SecretString=json.dumps(VALUE), ClientRequestToken=new_version_id())
    desk.rotated()
    desk.call("PutSecretValue", SecretId="db", SecretString=json.dumps(VALUE), ClientRequestToken=new_version_id())
    assert engine() == "postgresql"
    desk.call("PutSecretValue", SecretId="db", SecretString=value, ClientRequestToken=new_version_id())
    assert engine() is None


def test_a_function_that_may_not_be_invoked_is_looked_into_all_the_same(desk: Desk) -> None:
    desk.rotated()
    desk.looker.changed = {"function.import": "failed Runtime.ImportModuleError"}
    desk.bench.call("lambda", "RemovePermission", FunctionName="rotate", StatementId="s")
    desk.look()

    assert desk.verdict[2] == ("function.invoke:notInvoked", "function.import:Runtime.ImportModuleError")


# Who is told.


def test_each_change_is_told_once_and_that_it_is_well_again(desk: Desk) -> None:
    desk.rotated()
    listener = Listener(desk)
    desk.look()
    assert listener.hear() == []

    desk.looker.changed = SUPERUSER_REFUSED
    desk.after(DAY)
    (failed,) = listener.hear()
    assert (failed["event"], failed["rotation"]) == ("RotationPreflightFailed", None)
    assert failed["preflight"] == {
        "verdict": "will fail",
        "heartbeat": "in step",
        "causes": ["login.superuser:AuthenticationFailed"],
        "next_rotation_at": f"{desk.planned_at:%Y-%m-%dT%H:%M:%S}.{desk.planned_at.microsecond // 1000:03}Z",
    }
    assert failed["text"].startswith("The next rotation of db will fail (000000000000, us-east-1); it is planned for ")
    assert failed["text"].endswith(
        " UTC (keyturn schedule --why --name-prefix db): login.superuser:AuthenticationFailed"
    )
    desk.after(DAY)
    assert listener.hear() == []

    desk.looker.changed = {**SUPERUSER_REFUSED, "login.previous": "failed StillAccepted"}
    desk.after(DAY)
    (changed,) = listener.hear()
    assert changed["preflight"]["causes"] == ["login.superuser:AuthenticationFailed", "drift:PreviousStillAccepted"]

    desk.looker.changed = {"login.current": "skipped DriverMissing"}
    desk.after(DAY)
    assert listener.hear() == []
    desk.looker.changed = {}
    desk.after(DAY)
    (well,) = listener.hear()
    assert (well["event"], well["error"]) == ("RotationPreflightSucceeded", None)
    assert well["text"].startswith("The next rotation of db is expected to succeed again (")
    desk.after(DAY)
    assert listener.hear() == []


def test_a_drift_is_told_though_the_next_rotation_would_succeed(desk: Desk) -> None:
    desk.rotated()
    listener = Listener(desk)
    desk.looker.changed = {"login.current": "failed AuthenticationFailed", "login.previous": "failed StillAccepted"}
    desk.look()

    (told,) = listener.hear()
    assert told["preflight"]["verdict"] == "ready"
    assert told["text"].startswith("The database of db does not have what the secret says (000000000000, us-east-1)")


def test_a_database_that_is_away_is_looked_at_twice_before_anybody_is_told(desk: Desk) -> None:
    desk.rotated()
    listener = Listener(desk)
    desk.looker.changed = {"database.connect": "failed ConnectionRefused", "login.current": "skipped NotReached"}
    desk.look()
    assert desk.verdict[:2] == (Verdict.UNKNOWN, Heartbeat.UNKNOWN)
    assert [desk.after(9 * MINUTE), listener.hear()] == [0, []]

    assert desk.after(MINUTE) == 1
    assert desk.verdict[:2] == (Verdict.WILL_FAIL, Heartbeat.UNKNOWN)
    assert [told["event"] for told in listener.hear()] == ["RotationPreflightFailed"]
    assert [desk.after(11 * MINUTE), desk.after(49 * MINUTE)] == [0, 1]
    desk.looker.changed = {}
    assert desk.after(HOUR) == 1
    assert [told["event"] for told in listener.hear()] == ["RotationPreflightSucceeded"]
    assert desk.after(HOUR) == 0


def test_the_trail_holds_nothing_of_a_look_that_finds_nothing_new(desk: Desk) -> None:
    desk.rotated()
    before = desk.told()
    desk.look()
    desk.after(DAY)

    assert desk.told() == before


# What is kept of what it says.


def test_a_value_in_what_the_program_says_is_masked_and_the_rest_kept(desk: Desk) -> None:
    desk.rotated()
    desk.call("PutSecretValue", SecretId="db", SecretString=json.dumps(VALUE), ClientRequestToken=new_version_id())
    desk.looker.reason = "refused: pass-word-1\0 of app"
    desk.look()

    assert desk.found is not None
    assert {item.reason for item in desk.found.items} == {"", "refused: ***\N{REPLACEMENT CHARACTER} of app"}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"null",
        b'{"preflight": "other"}',
        b'{"preflight": "keyturn.preflight/1", "items": [1, {"item": 2}]}',
    ],
)
def test_an_answer_that_is_none_is_unknown(desk: Desk, answer: bytes) -> None:
    desk.rotated()
    desk.looker.answer = answer
    desk.look()

    assert desk.verdict[0] is Verdict.UNKNOWN


def test_a_program_that_did_not_end_says_why(desk: Desk) -> None:
    desk.rotated()
    desk.looker.answer = b'{"errorType": "Sandbox.Timedout", "errorMessage": "Task timed out after 120.00 seconds"}'
    desk.look()

    assert desk.verdict == (Verdict.UNKNOWN, Heartbeat.UNKNOWN, ("function.start:Sandbox.Timedout",))


# By API.


def test_who_asks_is_answered_what_holds_now(desk: Desk) -> None:
    desk.rotated()
    desk.looker.changed = {"database.connect": "failed ConnectionRefused", "login.current": "skipped NotReached"}

    answer = desk.asked()
    assert (answer["Verdict"], answer["Heartbeat"]) == ("will fail", "unknown")
    assert answer["Causes"] == ["database.connect:ConnectionRefused"]
    assert answer["Items"][0] == {"Item": "function.invoke", "Status": "ok", "Code": "Ok", "Reason": "", "Seconds": 0.0}
    assert answer == desk.asked("GetRotationPreflight")
    (planned,) = desk.bench.call("keyturn", "ListPlannedRotations")["PlannedRotations"]
    assert (planned["Verdict"], planned["PreflightCauses"]) == ("will fail", answer["Causes"])
    assert planned["CheckedAt"] == answer["CheckedAt"]


def test_since_when_it_is_so_stays_while_it_is_so(desk: Desk) -> None:
    desk.rotated()
    first = desk.asked()
    desk.bench.clock.advance(HOUR)
    second = desk.asked()
    desk.looker.changed = SUPERUSER_REFUSED
    third = desk.asked()

    assert first["Since"] == second["Since"] == first["CheckedAt"]
    assert third["Since"] == third["CheckedAt"] == second["CheckedAt"]


def test_who_asks_while_a_rotation_runs_is_told_so(desk: Desk) -> None:
    desk.rotated()
    desk.rotate()
    desk.claim()

    with pytest.raises(InvalidRequestException, match="A rotation of this secret is running just now"):
        desk.asked()


def test_a_secret_without_function_or_without_a_look_has_nothing_to_tell(desk: Desk) -> None:
    with pytest.raises(InvalidRequestException, match="No Lambda rotation function ARN"):
        desk.asked()
    with pytest.raises(ResourceNotFoundException, match="There was no pre-flight of this secret yet"):
        desk.asked("GetRotationPreflight")


def test_what_was_found_is_not_shown_once_rotation_is_off(desk: Desk) -> None:
    desk.rotated()
    desk.asked()
    desk.call("CancelRotateSecret", SecretId="db")

    (planned,) = desk.bench.call("keyturn", "ListPlannedRotations")["PlannedRotations"]
    assert (planned["State"], "Verdict" in planned) == ("off", False)
    assert desk.asked("GetRotationPreflight")["Verdict"] == "ready"
