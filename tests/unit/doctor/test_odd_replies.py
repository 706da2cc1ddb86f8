"""Replies that are not as they should be blind the checks that read them: no health, and no end of the program."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.contract.doctor.world import NOW, SECRET, World, diagnosed

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.formats import document, junit, sarif
from keyturn.doctor.model import Verdict
from keyturn.doctor.runner import examine
from keyturn.doctor.trail import read_events


@pytest.mark.parametrize(
    "action",
    [
        *("secretsmanager:DescribeSecret", "iam:GetRole", "iam:GetRolePolicy", "lambda:GetFunctionConfiguration"),
        "lambda:GetPolicy",
    ],
)
@pytest.mark.parametrize("reply", [{}, {"Role": None, "ARN": 5, "Policy": "[", "PolicyDocument": "["}], ids=str)
def test_a_reply_without_what_belongs_into_it_is_never_health(action: str, reply: Mapping[str, Any]) -> None:
    world = World()
    world.replies[action] = reply

    assert diagnosed(world).verdict is not Verdict.HEALTHY


def test_an_event_that_cannot_be_read_is_left_out() -> None:
    odd = ['{"a":' * 20_000, "[]", "{", "{}", '{"eventTime": "yesterday"}', '{"eventTime": "2026-01-01T00:00:00Z"']
    good = {"eventTime": "2026-01-01T00:00:00Z", "requestParameters": [], "additionalEventData": 1, "userIdentity": ""}

    assert len(read_events([{"CloudTrailEvent": text} for text in [*odd, json.dumps(good)]])) == 1


def test_the_properties_of_a_stack_are_not_kept() -> None:
    world = World()
    world.secret["Tags"] = [{"Key": "aws:cloudformation:stack-name", "Value": "s"}]
    del world.secret["LastRotatedDate"]
    event = {"ResourceStatus": "CREATE_FAILED", "ResourceProperties": '{"SecretString": "hunter2"}'}
    world.replies["cloudformation:DescribeStackEvents"] = {"StackEvents": [event]}
    facts = Facts(world.ask)

    examine(collect(facts, SECRET, NOW))

    assert "DescribeStackEvents" in json.dumps(facts.saved())
    assert "hunter2" not in json.dumps(facts.saved())


def test_junit_has_no_character_that_does_something_on_a_terminal() -> None:
    world = World()
    world.secret["Name"] = world.secret["RotationLambdaARN"] = "a\x1b[31m\x9b31m\u202e\ud800\x00"
    told = junit([diagnosed(world)])

    assert all(each.isprintable() or each == "\n" for each in told)


@pytest.mark.parametrize(
    "value", [json.dumps({"password": "hunter2" * 200_000}), "hunter2", '["hunter2"]', '{"a":' * 20_000], ids=len
)
def test_nothing_secret_of_a_value_is_kept_however_odd_it_is(value: str) -> None:
    odd = {
        "host": "postgresql://orders:hunter2@db:5432/x",
        "username": "password=hunter2",
        "hunter2" * 20: "x",
        "engine": {"password": "hunter2"},
        "port": "9" * 5000,
        "password": ["hunter2"],
    }
    for stored in (value, json.dumps(odd)):
        world = World()
        world.value = stored
        world.with_value()
        facts = Facts(world.ask)
        report = examine(collect(facts, SECRET, NOW, world.options))
        told = json.dumps([document(report), facts.saved(), sarif([report])], default=str) + junit([report])
        assert "hunter2" not in told


def test_ten_thousand_lines_of_errors_are_read_in_seconds() -> None:
    world = World()
    world.fail()
    for number in range(1100):
        world.run(
            *["[ERROR] ValueError: nothing that anybody knows"] * 6, at=NOW - timedelta(seconds=5000 - number * 4)
        )
    began = time.process_time()
    diagnosed(world)

    assert time.process_time() - began < 20
