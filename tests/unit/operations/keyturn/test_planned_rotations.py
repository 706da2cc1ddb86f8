"""ListPlannedRotations: who may ask is told when their account's secrets rotate, and what it was worked out from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from keyturn.errors.common import AccessDenied
from keyturn.errors.secretsmanager import InvalidNextTokenException, InvalidParameterException
from keyturn.ids import new_version_id
from keyturn.operations.accesses import Accesses
from keyturn.operations.secretsmanager import rotation
from keyturn.storage import inline_policies, schema
from keyturn.storage.preflights import plan_preflight
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench, user

_ALLOW = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"keyturn:*","Resource":"*"}]}'
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


def test_it_counts_by_hour_what_it_lists(bench: HandlerBench) -> None:
    for number in range(4):
        _plan(bench, f"prod/{number}", ScheduleExpression="cron(0 2 1 * ? *)", Duration="3h")
    _plan(bench, "test/db", ScheduleExpression="cron(0 3 2 * ? *)", Duration="1h")
    february, march = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)

    hours = bench.call("keyturn", "CountPlannedRotations", From=february, To=march)["Hours"]
    of_prod = bench.call("keyturn", "CountPlannedRotations", From=february, To=march, NamePrefix="prod/")["Hours"]

    listed = [planned["NextRotationAt"].replace(minute=0, second=0, microsecond=0) for planned in _planned_ones(bench)]
    assert hours == [{"At": at, "Count": listed.count(at)} for at in sorted({*listed})]
    assert sum(hour["Count"] for hour in of_prod) == 4
    assert bench.call("keyturn", "CountPlannedRotations", From=march, To=march + timedelta(days=9)) == {"Hours": []}


@pytest.mark.parametrize("days", [0, -1, 101])
def test_it_counts_over_a_span_of_some_months_only(bench: HandlerBench, days: int) -> None:
    begin = datetime(2026, 2, 1, tzinfo=UTC)
    with pytest.raises(InvalidParameterException, match="by 100 days at most"):
        bench.call("keyturn", "CountPlannedRotations", From=begin, To=begin + timedelta(days=days))


@pytest.mark.parametrize(
    ("verdict", "heartbeat", "is_troubled"),
    [("will fail", "unknown", True), ("unknown", "drift", True), ("ready", "in step", False)],
)
def test_those_in_trouble_are_listed_alone(
    bench: HandlerBench, verdict: str, heartbeat: str, is_troubled: bool
) -> None:
    _plan(bench, "looked-at", AutomaticallyAfterDays=1)
    _plan(bench, "never-looked-at", AutomaticallyAfterDays=1)
    with bench.kit.state.write() as transaction:
        secret_id = transaction.connection.execute(
            select(schema.secrets.c.secret_id).where(schema.secrets.c.name == "looked-at")
        ).scalar_one()
        plan_preflight(transaction, secret_id, None)
        transaction.connection.execute(
            update(schema.preflights)
            .where(schema.preflights.c.secret_id == secret_id)
            .values(verdict=verdict, heartbeat=heartbeat, causes=[], checked_at=bench.clock.now())
        )

    assert [planned["Name"] for planned in _list(bench, Troubled=True)["PlannedRotations"]] == (
        ["looked-at"] if is_troubled else []
    )
    assert len(_list(bench, Troubled=False)["PlannedRotations"]) == 2


def _planned_ones(bench: HandlerBench) -> list[Any]:
    return [planned for planned in _list(bench)["PlannedRotations"] if "NextRotationAt" in planned]


def test_it_tells_of_some_secrets_only_and_never_of_those_of_others(bench: HandlerBench) -> None:
    for number in range(4):
        _plan(bench, f"s{number}", AutomaticallyAfterDays=number + 1)
    bench.call("secretsmanager", "CreateSecret", Name="still", SecretString="x", ClientRequestToken=new_version_id())
    arns = {
        name: bench.call("secretsmanager", "DescribeSecret", SecretId=name)["ARN"] for name in ("s1", "s3", "still")
    }
    wanted = [*arns.values(), PLACE.secret_arn("none", "abcdef")]

    first = _list(bench, SecretARNs=wanted, MaxResults=1)
    second = _list(bench, SecretARNs=wanted, MaxResults=1, NextToken=first["NextToken"])

    assert [planned["Name"] for page in (first, second) for planned in page["PlannedRotations"]] == ["s1", "s3"]
    assert "NextToken" not in second
    with pytest.raises(InvalidNextTokenException):
        _list(bench, SecretARNs=wanted[:2], NextToken=first["NextToken"])
    with bench.kit.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, bench.caller.arn, "inline", _ALLOW)
    elsewhere = bench.as_(bench.caller)._replace(place=replace(PLACE, region="eu-west-1"))
    assert bench.call_as(elsewhere, "keyturn", "ListPlannedRotations", SecretARNs=wanted) == {"PlannedRotations": []}
