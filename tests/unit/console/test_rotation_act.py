"""What is offered to get a rotation going, for each state it may be in."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.console.rotation_act import UNSEEN, Act, NextAct, act_of

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


@pytest.mark.parametrize(
    ("state", "pending_id", "may_be"),
    [(UNSEEN, "p", True), (UNSEEN, "", False), ("planned", "p", False), ("running", "p", False)],
)
def test_a_label_tells_of_an_attempt_where_nothing_else_may_be_seen(state: str, pending_id: str, may_be: bool) -> None:
    act = NextAct(Act.ROTATE, "arn", state, None, pending_id, needs="")

    assert act.may_be_under_way == may_be
