"""ListPlannedRotations: who may ask is told when their account's secrets rotate, and what it was worked out from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied
from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.ids import new_version_id
from keyturn.operations.accesses import Accesses
from keyturn.operations.secretsmanager import rotation
from keyturn.storage import inline_policies
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench, user

FUNCTION_ARN = PLACE.function_arn("rotate")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HandlerBench]:
    # No function has to be there: nothing rotates here.
    monkeypatch.setattr(rotation, "check_function", lambda *_: None)
    with open_bench(tmp_path) as opened:
        opened.kit = replace(opened.kit, accesses=Accesses())
        yield opened


def _plan(bench: HandlerBench, name: str, **rules: Any) -> None:
    bench.call("secretsmanager", "CreateSecret", Name=name, SecretString="value", ClientRequestToken=new_version_id())
    bench.call(
        "secretsmanager",
        "RotateSecret",
        SecretId=name,
        ClientRequestToken=new_version_id(),
        RotationLambdaARN=FUNCTION_ARN,
        RotationRules=rules,
        RotateImmediately=False,
    )


def _list(bench: HandlerBench, **request: Any) -> Any:
    return bench.call("keyturn", "ListPlannedRotations", **request)


def test_it_tells_the_moment_the_window_and_the_rules(bench: HandlerBench) -> None:
    _plan(bench, "prod/db", ScheduleExpression="cron(0 2 1 * ? *)", Duration="3h")
    now = bench.clock.now()
    (planned,) = _list(bench)["PlannedRotations"]
    version_id = planned["VersionId"]
    described = bench.call("secretsmanager", "DescribeSecret", SecretId="prod/db")
    opens_at = datetime(2026, 2, 1, 2, tzinfo=UTC)
    assert opens_at <= planned.pop("NextRotationAt") < opens_at + timedelta(hours=3)
    assert planned == {
        "ARN": described["ARN"],
        "Name": "prod/db",
        "RotationLambdaARN": FUNCTION_ARN,
        "PlannedAt": now,
        "PlannedInMinute": 1,
        "WindowOpensAt": opens_at,
        "WindowClosesAt": opens_at + timedelta(hours=3),
        "RotationRules": {"ScheduleExpression": "cron(0 2 1 * ? *)", "Duration": "3h"},
        # The test of the function is under way.
        "State": "pending",
        "VersionId": version_id,
        "DueAt": now,
        "Attempt": 1,
        "Attempts": 1,
    }
    assert planned["WindowClosesAt"] - timedelta(seconds=1) == described["NextRotationDate"]


def test_pages_follow_one_another_and_a_token_serves_its_own_question(bench: HandlerBench) -> None:
    for number in range(5):
        _plan(bench, f"s{number}", AutomaticallyAfterDays=number + 1)
    # Tests of the function that are under way.
    assert [each["Name"] for each in _list(bench, States=["planned"])["PlannedRotations"]] == []
    names: list[str] = []
    request: dict[str, str] = {}
    while True:
        page = _list(bench, MaxResults=2, **request)
        names += [planned["Name"] for planned in page["PlannedRotations"]]
        if "NextToken" not in page:
            break
        request = {"NextToken": page["NextToken"]}
    assert names == [f"s{number}" for number in range(5)]
    with pytest.raises(InvalidNextTokenException):
        _list(bench, NamePrefix="s", **request)
    with pytest.raises(InvalidNextTokenException):
        _list(bench, NextToken="made up")


def test_it_takes_its_own_permission(bench: HandlerBench) -> None:
    somebody = user("somebody")
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ACTION","Resource":"*"}]}'
    with pytest.raises(AccessDenied, match="keyturn:ListPlannedRotations"):
        bench.call_as(bench.as_(somebody), "keyturn", "ListPlannedRotations")
    for action, is_enough in (("secretsmanager:*", False), ("keyturn:ListPlannedRotations", True)):
        with bench.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, somebody.arn, "inline", policy.replace("ACTION", action))
        if is_enough:
            assert bench.call_as(bench.as_(somebody), "keyturn", "ListPlannedRotations") == {"PlannedRotations": []}
        else:
            with pytest.raises(AccessDenied):
                bench.call_as(bench.as_(somebody), "keyturn", "ListPlannedRotations")
