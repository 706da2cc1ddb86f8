"""Replies that are not as they should be blind the checks that read them: no health, and no end of the program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.contract.doctor.world import NOW, SECRET, World, diagnosed

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
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
