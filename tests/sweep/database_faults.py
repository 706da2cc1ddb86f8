"""What happens to the database whose password is rotated: killed at any message, and closed for a while."""

from __future__ import annotations

import threading
import time

from keyturn.rules.rotation import Step
from keyturn.testing.postgresql import PostgresqlServer

from .bench import Bench, Outcome, Report, side_by_side
from .function_killed import begin
from .gate import GO, AtBoundary, Visit, go
from .lane import Lane
from .processes import Keyturn
from .proxy import AtMessage, PostgresqlProxy

_LANES = 6
# Who cannot ask the database asks again, up to five minutes apart.
_END_SECONDS = 600.0
# A database that was killed is started again after so long.
_DOWN_SECONDS = 0.3
# Shorter than the pause before the second attempt, as long as some attempts, longer than all five.
_CLOSED_SECONDS = (2.0, 20.0, 120.0)


class Behind:
    """A lane whose database stands behind a proxy of the sweep."""

    def __init__(self, bench: Bench, keyturn: Keyturn, target: PostgresqlServer) -> None:
        self.target = target
        self.proxy = PostgresqlProxy(target.port)
        self.lane = Lane(keyturn, target, bench.name("database"), self.proxy.port)
        self.lane.create(bench.gate)


def killed(bench: Bench) -> Report:
    """Kill the database's processes before and after each message that it and the function exchange."""
    keyturn = bench.keyturn()
    keyturn.start()
    first = Behind(bench, keyturn, bench.postgresql())
    counting = first.proxy.observe = AtMessage(0, lambda: None)
    point = begin(bench, first.lane, go)
    first.lane.rotate(point.token)
    first.lane.wait_for_end(point.token, _END_SECONDS)

    def play(behind: Behind, number: int) -> Outcome:
        is_back = threading.Event()

        def restart() -> None:
            behind.target.restart()
            is_back.set()

        def kill() -> None:
            behind.target.crash()
            threading.Timer(_DOWN_SECONDS, restart).start()

        at = behind.proxy.observe = AtMessage(number, kill)
        point = begin(bench, behind.lane, go)
        behind.lane.rotate(point.token)
        seen = behind.lane.wait_for_end(point.token, _END_SECONDS)
        if at.fired_at is not None and not is_back.wait(_END_SECONDS):
            raise AssertionError("the database did not come back")
        point.fault_at = at.fired_at
        return point.judged(number, at.name or "not reached", seen)

    points = bench.choice.of(range(1, counting.count + 1))
    others = (Behind(bench, keyturn, bench.postgresql()) for _ in points[1:_LANES])
    return side_by_side("target PostgreSQL killed at a message", [first, *others], points, play)


def closed(bench: Bench) -> Report:
    """Have the database refuse connections from the beginning of a step on, for a while."""
    keyturn, target = bench.keyturn(), bench.postgresql()
    keyturn.start()
    points = [(step, seconds) for step in (Step.SET, Step.TEST) for seconds in _CLOSED_SECONDS]
    lanes = [Behind(bench, keyturn, target) for _ in points]

    def play(behind: Behind, point: tuple[Step, float]) -> Outcome:
        step, seconds = point
        at = Closing(behind.proxy, step, seconds)
        began = begin(bench, behind.lane, at)
        behind.lane.rotate(began.token)
        seen = behind.lane.wait_for_end(began.token, _END_SECONDS)
        at.is_over.wait(_END_SECONDS)
        began.fault_at = at.fired_at
        return began.judged(f"{step} {seconds:.0f} s", at.name or "not reached", seen)

    return side_by_side("the database refuses connections", lanes, bench.choice.of(points), play)


class Closing(AtBoundary):
    """Closes a proxy once, when a step begins."""

    def __init__(self, proxy: PostgresqlProxy, step: Step, seconds: float) -> None:
        super().__init__(0, lambda: GO)
        self.is_over = threading.Event()
        self._proxy, self._step, self._seconds = proxy, step, seconds

    def __call__(self, visit: Visit, boundary: str) -> str:
        if self.fired_at is None and visit.step == self._step:
            self.fired_at, self.name = time.monotonic(), f"{visit.step}: {boundary}"
            self._proxy.refuse()
            threading.Timer(self._seconds, self._open).start()
        return GO

    def _open(self) -> None:
        self._proxy.admit()
        self.is_over.set()
