"""What is offered to get a rotation going, for each state it may be in."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.console.rotation_act import Act, act_of

ON: dict[str, Any] = {"RotationLambdaARN": "arn:aws:lambda:f", "RotationEnabled": True}
OFF: dict[str, Any] = {**ON, "RotationEnabled": False}
# planned, unplanned, off and nothing known are one: no rotation is unfinished.
STATES = ("", "planned", "unplanned", "off", "running", "pending", "parked")


@pytest.mark.parametrize(
    ("secret", "pending_id", "acts"),
    [
        ({}, "", [Act.SET_UP] * 7),
        (ON, "", [Act.ROTATE] * 4 + [Act.WATCH, Act.RETRY, Act.RETRY]),
        (ON, "p", [Act.ROTATE] * 4 + [Act.WATCH, Act.RETRY, Act.RETRY]),
        # Off, what is unfinished is the question to the database, which goes on by itself.
        (OFF, "", [Act.TURN_ON] * 4 + [Act.WATCH, Act.WATCH, Act.WATCH]),
        (OFF, "p", [Act.TAKE_OFF] * 4 + [Act.WATCH, Act.WATCH, Act.WATCH]),
    ],
    ids=["no function", "on", "on, pending", "off", "off, left pending"],
)
def test_one_thing_gets_it_going(secret: dict[str, Any], pending_id: str, acts: list[Act]) -> None:
    assert [act_of(secret, state, pending_id) for state in STATES] == acts
