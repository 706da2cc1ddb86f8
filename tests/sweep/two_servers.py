"""Two servers on one PostgreSQL: the one that rotates is killed, or stopped for longer than its lease."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field, replace

from keyturn.rules.rotation import ROTATION, Step
from keyturn.testing.postgresql import PostgresqlServer

from .bench import Bench, Outcome, Point, Report, side_by_side
from .function_killed import begin
from .gate import GO, Visit, go
from .lane import Lane
from .processes import Keyturn
from .server_killed import LEASE_SECONDS

_LANES = 12
_END_SECONDS = 3 * LEASE_SECONDS + 60
# After a stopped server has come back: time for it to do what it must not do.
_AWAKE_SECONDS = 4.0
_STATEMENTS = 36
_REACHED_SECONDS = 10.0
_PLACES = ("begin", "middle", "return")


class Pair:
    """Two servers with a database of their own, in turn the one that is asked to rotate."""

    def __init__(self, bench: Bench, target: PostgresqlServer, state: PostgresqlServer) -> None:
        self.bench = bench
        self.first = bench.keyturn(database_url=bench.database(state))
        self.second = bench.second(self.first)
        self.first.start()
        self.second.start()
        self.lane = Lane(self.first, target, bench.name("pair"))
        self.lane.create(bench.gate)

    def running(self, visit: Visit) -> tuple[Keyturn, Keyturn]:
        """Return the server that runs a step, and the other."""
        if visit.endpoint_url == self.first.settings.endpoint_url:
            return self.first, self.second
        return self.second, self.first


@dataclass(slots=True)
class Strike:
    """Strikes the server that runs a step, once, at a place in that step.

    Args:
        pair: Both servers.
        step: In which.
        place: ``begin``, ``return``, or the number of a word in it.
        number: The signal.
        hold: Whether the function waits at that place until ``release``.
    """

    pair: Pair
    step: Step
    place: str
    number: signal.Signals
    hold: bool = False
    struck: Keyturn | None = None
    struck_at: float = 0.0
    taken_over_at: float | None = None
    happened: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def __call__(self, visit: Visit, boundary: str) -> str:
        if self.struck is None:
            if visit.step == self.step and self.place in (boundary, str(len(visit.boundaries))):
                self.struck, self.pair.lane.keyturn = self.pair.running(visit)
                self.struck.signal(self.number)
                visit.is_orphaned = True
                self.struck_at = time.monotonic()
                self.happened.set()
                if self.hold:
                    self.release.wait()
        elif self.taken_over_at is None and visit.endpoint_url != self.struck.settings.endpoint_url:
            self.taken_over_at = time.monotonic()
        return GO

    def point(self) -> Point:
        """Have a rotation begun, and come to the place."""
        # Until the place is known it does not matter whom to ask.
        point = begin(self.pair.bench, self.pair.lane, self)
        self.pair.lane.rotate(point.token)
        if not self.happened.wait(_END_SECONDS):
            raise AssertionError(f"{self.step} never came to {self.place}")
        point.fault_at, point.may_repeat = self.struck_at, True
        return point


def one_killed(bench: Bench) -> Report:
    """Kill the server that rotates: as a step begins, in its middle, and as it is done."""
    target, state = bench.postgresql(), bench.postgresql()
    middle = {Step.CREATE: "16", Step.SET: "60", Step.TEST: "20", Step.FINISH: "8"}
    points = [(step, {"middle": middle[step]}.get(place, place)) for step in ROTATION.steps for place in _PLACES]
    chosen = bench.choice.of(points)
    pairs = [Pair(bench, target, state) for _ in chosen[:_LANES]]

    def play(pair: Pair, at: tuple[Step, str]) -> Outcome:
        strike = Strike(pair, *at, signal.SIGKILL)
        point = strike.point()
        seen = pair.lane.wait_for_end(point.token, _END_SECONDS)
        outcome = point.judged(" ".join(at), f"{at[0]}: {at[1]}", seen)
        taken_over_at = strike.taken_over_at
        if taken_over_at is None and seen and seen.has_ended:
            # Nothing was left to do but to store that it was done.
            taken_over_at = time.monotonic()
        if strike.struck:
            strike.struck.start()
        return replace(outcome, takeover_seconds=taken_over_at and taken_over_at - strike.struck_at)

    return side_by_side("two servers, one killed", pairs, chosen, play)


def one_stopped(bench: Bench) -> Report:
    """Stop the server that rotates for longer than its lease; meanwhile the other one rotates twice.

    Its function is not stopped with it. Either it goes on, and waits for the server that does not answer; or it too
    does nothing for that long, as if the whole machine had been halted, and then acts before its server is there to end
    it, which is the worst that can happen. In both cases it runs beside the functions that the other server starts:
    nobody is there to end it. What counts is that it changes nothing any more.
    """
    target, state = bench.postgresql(), bench.postgresql()
    halts = [(Step.SET, str(word)) for word in range(4, 68, 4)]
    points = [(step, "begin", hold) for step in ROTATION.steps for hold in (False, True)]
    points += [(*halt, True) for halt in halts]
    chosen = bench.choice.of(points)
    pairs = [Pair(bench, target, state) for _ in chosen[:_LANES]]
    return side_by_side("two servers, one stopped for a while", pairs, chosen, _play_stopped)


def one_stopped_in_a_statement(bench: Bench) -> Report:
    """Stop the server at boundaries of its statements: what it has locked must not keep the other one waiting."""
    target, state = bench.postgresql(), bench.postgresql()
    first = Pair(bench, target, state)
    point = begin(bench, first.lane, go)
    first.first.order("arm", 0, "wait")
    first.lane.rotate(point.token)
    first.lane.wait_for_end(point.token, _END_SECONDS)
    points = bench.choice.of(range(1, int(first.first.order("count")) + 1))
    points = points[:: max(1, len(points) // _STATEMENTS)]
    pairs = [first, *(Pair(bench, target, state) for _ in points[1:_LANES])]
    return side_by_side("two servers, one stopped in a statement", pairs, points, _play_stopped_in_a_statement)


def _play_stopped_in_a_statement(pair: Pair, number: int) -> Outcome:
    struck, lane = pair.first, pair.lane
    lane.keyturn = struck
    point = begin(pair.bench, lane, go)
    struck.order("arm", number, "wait")
    asked: list[bool] = []
    # It is never answered if the server is stopped in it.
    threading.Thread(target=lambda: asked.append(lane.rotate(point.token)), daemon=True).start()
    try:
        struck.order("reached", seconds=_REACHED_SECONDS)
    except TimeoutError:
        return point.judged(number, "not reached", lane.wait_for_end(point.token, _END_SECONDS))
    where = struck.where()
    struck.signal(signal.SIGSTOP)
    lane.keyturn = pair.second
    point.fault_at, point.may_repeat = time.monotonic(), True
    try:
        if not asked and not lane.rotate(point.token):
            raise AssertionError("the other server does not answer RotateSecret")
        for visit in point.watched.visits:
            visit.is_orphaned = True
        outcome = point.judged(number, where, lane.wait_for_end(point.token, _END_SECONDS))
    finally:
        struck.signal(signal.SIGCONT)
    struck.order("go")
    struck.order("count")
    return outcome


def _play_stopped(pair: Pair, at: tuple[Step, str, bool]) -> Outcome:
    step, place, hold = at
    strike = Strike(pair, step, place, signal.SIGSTOP, hold=hold)
    try:
        first = strike.point()
        name, where = f"{step} {place}{' halted' if hold else ''}", f"{step}: {place}"
        seen = pair.lane.wait_for_end(first.token, _END_SECONDS)
        outcome = first.judged(name, where, seen)
        if outcome.violations:
            return outcome
        second = begin(pair.bench, pair.lane, strike)
        pair.lane.rotate(second.token)
        seen = pair.lane.wait_for_end(second.token, _END_SECONDS)
        strike.release.set()
        time.sleep(_AWAKE_SECONDS)
    finally:
        strike.release.set()
        if strike.struck:
            strike.struck.signal(signal.SIGCONT)
    time.sleep(_AWAKE_SECONDS)
    after = second.judged(name, where, seen)
    takeover_seconds = strike.taken_over_at and strike.taken_over_at - strike.struck_at
    wrong = [*outcome.violations, *after.violations]
    return replace(outcome, violations=wrong, takeover_seconds=takeover_seconds)
