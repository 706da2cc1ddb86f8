"""The sweep's own parts: what would make it blind is tried here."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from keyturn.storage.rotations import RotationStatus

from .bench import Choice, Outcome, Report, side_by_side
from .gate import Gate
from .report import table

SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"


@contextmanager
def step(gate: Gate, name: str) -> Iterator[socket.socket]:
    """A function that has begun a step, as ``gated.py`` does."""
    with socket.create_connection(("127.0.0.1", gate.port)) as connection:
        opening = {"Step": name, "SecretId": SECRET, "ClientRequestToken": "token", "Endpoint": "http://first"}
        connection.sendall(json.dumps(opening).encode() + b"\nbegin\n")
        assert connection.recv(16) == b"go\n"
        yield connection


def test_two_steps_at_once_are_seen_and_two_in_turn_are_fine() -> None:
    gate = Gate()
    watched = gate.watch(SECRET)
    with step(gate, "createSecret"):
        pass
    with step(gate, "setSecret"):
        assert watched.overlaps == []
        with step(gate, "testSecret"):
            assert watched.overlaps == ["testSecret began while setSecret ran"]
    assert [visit.boundaries for visit in watched.visits] == [["begin"]] * 3


def test_a_step_whose_process_died_before_it_heard_an_answer_is_over() -> None:
    gate = Gate()
    watched = gate.watch(SECRET)
    with step(gate, "createSecret") as connection:
        connection.sendall(b"before send\n")
    with step(gate, "createSecret"):
        assert watched.overlaps == []


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (Choice(), list(range(1, 101))),
        (Choice(every=40), [1, 41, 81]),
        (Choice(sample=3), [1, 51, 100]),
        (Choice(sample=1), [1]),
        (Choice(only=[7, 300]), [7]),
    ],
)
def test_points_are_chosen_the_same_way_every_time(choice: Choice, chosen: list[int]) -> None:
    assert choice.of(range(1, 101)) == chosen


def test_a_point_that_breaks_down_takes_its_lane_with_it_and_counts_as_a_violation() -> None:
    def play(_lane: str, point: int) -> Outcome:
        if point == 2:
            raise AssertionError("it broke down")
        return Outcome(str(point), "", RotationStatus.SUCCEEDED, 1, 1.5)

    report = side_by_side("series", ["only lane"], [1, 2, 3], play)

    assert [outcome.violations for outcome in report.outcomes] == [
        (), ["AssertionError: it broke down"], ["no lane is left to play it on"],
    ]  # fmt: skip
    assert table([report]).splitlines()[-1].startswith("| series | 3 | 1 |")
    assert table([Report("other", skipped="no root")]).splitlines()[-1].startswith("| other | skipped: no root |")
