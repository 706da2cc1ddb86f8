"""What can go wrong while a step runs, at each boundary at which it can.

A fault is played once. Then happens what Secrets Manager does: all four steps are run again, with the same token. What
must come of it: the rotation completes, and at no moment is there no stored version that logs in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .boundaries import CUT, Boundary, Passing, React, Refusal
from .card import HARMLESS, Left
from .desk import STEPS, Desk, State, at
from .throwaway import Run

_SHORT_LIMIT_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong in one step.

    Attributes:
        step: In which.
        kind: What goes wrong.
        where: At which boundary; empty if it holds for the whole step.
        title: In a person's words.
        play: Runs the step with the fault and returns how that ended.
    """

    step: str
    kind: str
    where: str
    title: str
    play: Callable[[Desk, str], Run]

    @property
    def name(self) -> str:
        """The same in every run."""
        return f"{self.kind}-{self.where}" if self.where else self.kind


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What a fault has left behind, and what the function says of it."""

    left: Left
    reason: str = ""

    @property
    def is_harmless(self) -> bool:
        """Whether the function stands it."""
        return self.left in HARMLESS


def faults_of(desk: Desk) -> Iterator[Fault]:
    """Run a rotation with nothing wrong, and yield every fault that can happen on the way."""
    token = desk.begin()
    for step in STEPS:
        desk.run(step, token)
        yield from _of_step(step, desk.watch.seen)
        calls = [number for number, boundary in enumerate(desk.watch.seen) if not boundary.is_message]
        if calls:
            title = "the function's time is up before its last call ends"
            yield Fault(step, "time-is-up", "", title, _late(step, calls[-1]))
        if step in ("setSecret", "testSecret") and desk.database.relays:
            yield Fault(step, "database-down", "", "the database refuses connections", _while(step, "refuse"))
            yield Fault(step, "database-silent", "", "the database does not answer", _while(step, "fall_silent"))
    desk.reset()


def _of_step(step: str, seen: Sequence[Boundary]) -> Iterator[Fault]:
    counts: dict[Boundary, int] = {}
    for number, boundary in enumerate(seen):
        counts[boundary] = counts.get(boundary, 0) + 1
        where = f"{boundary.when}-{'message' if boundary.is_message else boundary.name}-{counts[boundary]}"
        time = "" if counts[boundary] == 1 else f", {_ordinal(counts[boundary])} time"
        moment = f"{boundary}{time}"
        yield Fault(step, "crash", where, f"the function is killed {moment}", _crash(step, number))
        if boundary.is_message:
            yield Fault(step, "connection-lost", where, f"the connection breaks {moment}", _at(step, number, CUT))
        elif boundary.when == "after":
            yield Fault(step, "answer-lost", where, f"the answer is lost {moment}", _at(step, number, CUT))
        else:
            for kind, refusal, words in (
                ("throttled", Refusal.THROTTLED, "is throttled"),
                ("denied", Refusal.DENIED, "is denied"),
            ):
                title = f"{boundary.name} {words}{time}"
                yield Fault(step, kind, where, title, _at(step, number, Passing(refusal=refusal)))


def play(desk: Desk, fault: Fault) -> Aftermath:
    """Play a fault, repeat the rotation as Secrets Manager does, and tell what is left."""
    token = desk.begin()
    failed = desk.run_all(token, STEPS[: STEPS.index(fault.step)])
    if failed is not None:
        return Aftermath(Left.STUCK, f"{failed.step} fails before the fault: {failed.error}")
    hit = fault.play(desk, token)
    for relay in desk.database.relays:
        relay.admit()
    worst = _judge_at_once(desk.state(), token, hit)
    if worst is not None:
        return worst
    failed = desk.attempt_again(token)
    state = desk.state()
    if state.is_locked_out:
        return Aftermath(Left.LOCKED_OUT, f"{hit.step} had ended with: {_said(hit)}")
    if failed is not None:
        return Aftermath(Left.STUCK, f"{failed.step} keeps failing: {_said(failed)}; {state.in_words()}")
    if state.is_current_dead:
        return Aftermath(Left.FALSE_SUCCESS, f"all steps succeeded when repeated, but {state.in_words()}")
    return Aftermath(Left.NOTHING if hit.has_succeeded else Left.MENDED)


def _judge_at_once(state: State, token: str, hit: Run) -> Aftermath | None:
    if state.is_locked_out:
        return Aftermath(Left.LOCKED_OUT, f"{hit.step} ended with: {_said(hit)}")
    if hit.has_succeeded and hit.step in ("setSecret", "testSecret") and token in state.refused:
        return Aftermath(Left.FALSE_SUCCESS, f"{hit.step} succeeded, but {state.in_words()}")
    return None


def _at(step: str, number: int, passing: Passing) -> Callable[[Desk, str], Run]:
    return lambda desk, token: desk.run(step, token, at(number, passing))


def _crash(step: str, number: int) -> Callable[[Desk, str], Run]:
    def run(desk: Desk, token: str) -> Run:
        react: React = at(number, CUT, desk.keyturn.kill_function)
        return desk.run(step, token, react)

    return run


def _late(step: str, number: int) -> Callable[[Desk, str], Run]:
    """Keep the answer of a call back until the function's time is up."""

    def run(desk: Desk, token: str) -> Run:
        is_over = threading.Event()
        desk.keyturn.limit_time(_SHORT_LIMIT_SECONDS)
        try:
            return desk.run(step, token, at(number, CUT, lambda: is_over.wait(2 * _SHORT_LIMIT_SECONDS)))
        finally:
            is_over.set()
            desk.keyturn.limit_time(desk.timeout_seconds)

    return run


def _while(step: str, how: str) -> Callable[[Desk, str], Run]:
    def run(desk: Desk, token: str) -> Run:
        for relay in desk.database.relays:
            getattr(relay, how)()
        try:
            return desk.run(step, token)
        finally:
            for relay in desk.database.relays:
                relay.admit()

    return run


def _ordinal(number: int) -> str:
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10 if number not in (11, 12, 13) else 0, "th")
    return f"the {number}{suffix}"


def _said(run: Run) -> str:
    return run.error or "success"
