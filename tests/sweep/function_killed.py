"""What happens to the function: killed at any of its words, and its answer lost."""

from __future__ import annotations

import time

from keyturn import ids
from keyturn.rules.rotation import ROTATION, Step
from keyturn.testing.postgresql import PostgresqlServer

from .bench import Bench, Outcome, Point, Report, side_by_side
from .gate import DIE, GO, HANG, AtBoundary, Decide, Visit, go
from .lane import Lane
from .processes import Keyturn

# They wait for the next attempt most of the time.
_LANES = 8
# Attempts begin five seconds after the first failure, then wider apart.
_END_SECONDS = 120.0
_TIMEOUT_SECONDS = 3


def lanes_on_one_server(bench: Bench, keyturn: Keyturn, target: PostgresqlServer, **function: int) -> list[Lane]:
    """Make some lanes on a server that is started for them."""
    keyturn.start()
    lanes = [Lane(keyturn, target, bench.name("function")) for _ in range(_LANES)]
    for lane in lanes:
        lane.create(bench.gate, **function)
    return lanes


def begin(bench: Bench, lane: Lane, decide: Decide) -> Point:
    """Ask for a rotation; each point goes on from what the one before it has left."""
    before = lane.version("AWSCURRENT")
    watched = bench.gate.watch(lane.secret_arn, decide)
    return Point(lane, before, ids.new_version_id(), watched, time.monotonic())


def at_words(bench: Bench) -> Report:
    """Kill the function's process at each of its words, in the first attempt."""
    lanes = lanes_on_one_server(bench, bench.keyturn(), bench.postgresql())
    counting = AtBoundary(0, lambda: GO)
    point = begin(bench, lanes[0], counting)
    lanes[0].rotate(point.token)
    lanes[0].wait_for_end(point.token, _END_SECONDS)

    def play(lane: Lane, number: int) -> Outcome:
        at = AtBoundary(number, lambda: DIE)
        return _played(begin(bench, lane, at), number, at)

    points = bench.choice.of(range(1, counting.count + 1))
    return side_by_side("function killed at a word", lanes, points, play)


def lost_replies(bench: Bench) -> Report:
    """Have a step do its work and its answer lost: the process dies, or says nothing until its time is up."""
    lanes = lanes_on_one_server(bench, bench.keyturn(), bench.postgresql(), timeout_seconds=_TIMEOUT_SECONDS)
    points = [(step, end) for step in ROTATION.steps for end in (DIE, HANG)]

    def play(lane: Lane, point: tuple[Step, str]) -> Outcome:
        step, end = point
        at = AtReturn(step, end)
        return _played(begin(bench, lane, at), f"{step} {end}", at)

    return side_by_side("the function's answer is lost", lanes, bench.choice.of(points), play)


class AtReturn(AtBoundary):
    """Acts once, when a step has done its work and is about to return."""

    def __init__(self, step: Step, end: str) -> None:
        super().__init__(0, lambda: GO)
        self._step, self._end = step, end

    def __call__(self, visit: Visit, boundary: str) -> str:
        if self.fired_at is None and (visit.step, boundary) == (self._step, "return"):
            self.fired_at, self.name = time.monotonic(), f"{visit.step}: {boundary}"
            return self._end
        return go(visit, boundary)


def _played(point: Point, name: object, at: AtBoundary) -> Outcome:
    if not point.lane.rotate(point.token):
        raise AssertionError("RotateSecret was not answered")
    seen = point.lane.wait_for_end(point.token, _END_SECONDS)
    point.fault_at = at.fired_at
    return point.judged(name, at.name or "not reached", seen)
