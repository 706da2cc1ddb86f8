"""What can go wrong while a step runs, at each boundary at which it can.

A fault is played once. Then happens what Secrets Manager does: all four steps are run again, with the same token. What
must come of it: the rotation completes, and at no moment is there no stored version that logs in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .boundaries import CUT, Passing, Place, Refusal, Trap
from .card import HARMLESS, Left
from .desk import STEPS, Desk, State
from .throwaway import Run

_SHORT_LIMIT_SECONDS = 3

Play = Callable[[Desk, str], Run | None]
"""Plays one fault at a desk, in the rotation of a token."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong in one step.

    Attributes:
        step: In which.
        kind: What goes wrong.
        where: At which boundary; empty if it holds for the whole step.
        title: In a person's words.
        play: Runs the step with the fault and returns how that ended; None if the fault did not come about.
    """

    step: str
    kind: str
    where: str
    title: str
    play: Play

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
        calls = [place for place in desk.watch.seen if not place.boundary.is_message]
        if calls:
            title = "the function's time is up before its last call ends"
            yield Fault(step, "time-is-up", "", title, _late(step, calls[-1]))
        if step in ("setSecret", "testSecret") and desk.database.relays:
            yield Fault(step, "database-down", "", "the database refuses connections", _while(step, "refuse"))
            yield Fault(step, "database-silent", "", "the database does not answer", _while(step, "fall_silent"))
    desk.reset()


def _of_step(step: str, seen: Sequence[Place]) -> Iterator[Fault]:
    for place in seen:
        boundary = place.boundary
        where = f"{boundary.when}-{'message' if boundary.is_message else boundary.name}-{place.time}"
        yield Fault(step, "crash", where, f"the function is killed {place}", _crash(step, place))
        if boundary.is_message:
            yield Fault(step, "connection-lost", where, f"the connection breaks {place}", _at(step, place, CUT))
        elif boundary.when == "after":
            yield Fault(step, "answer-lost", where, f"the answer is lost {place}", _at(step, place, CUT))
        else:
            for kind, refusal in (("throttled", Refusal.THROTTLED), ("denied", Refusal.DENIED)):
                title = f"{boundary.name} is {kind} ({place})" if place.time > 1 else f"{boundary.name} is {kind}"
                yield Fault(step, kind, where, title, _at(step, place, Passing(refusal=refusal)))


def play(desk: Desk, fault: Fault) -> Aftermath | None:
    """Play a fault, repeat the rotation as Secrets Manager does, and tell what is left; None if it did not happen."""
    token = desk.begin()
    failed = desk.run_all(token, STEPS[: STEPS.index(fault.step)])
    if failed is not None:
        return Aftermath(Left.STUCK, f"{failed.step} fails before the fault: {failed.error}")
    hit = fault.play(desk, token)
    if hit is None:
        return None
    for relay in desk.database.relays:
        relay.admit()
    worst = _judge_at_once(desk.state(), token, hit)
    if worst is not None:
        return worst
    failed = desk.attempt_again(token)
    state = desk.state()
    if state.is_locked_out:
        return Aftermath(Left.LOCKED_OUT, f"{hit.step} had ended with: {hit.in_words()}")
    if failed is not None:
        return Aftermath(Left.STUCK, f"{failed.step} keeps failing: {failed.in_words()}; {state.in_words()}")
    if state.is_current_dead:
        return Aftermath(Left.FALSE_SUCCESS, f"all steps succeeded when repeated, but {state.in_words()}")
    return Aftermath(Left.NOTHING if hit.has_succeeded else Left.MENDED)


def _judge_at_once(state: State, token: str, hit: Run) -> Aftermath | None:
    if state.is_locked_out:
        return Aftermath(Left.LOCKED_OUT, f"{hit.step} ended with: {hit.in_words()}")
    if hit.has_succeeded and hit.step in ("setSecret", "testSecret") and token in state.refused:
        return Aftermath(Left.FALSE_SUCCESS, f"{hit.step} succeeded, but {state.in_words()}")
    return None


def _at(step: str, place: Place, passing: Passing) -> Play:
    return lambda desk, token: _sprung(desk, step, token, Trap(place, passing))


def _crash(step: str, place: Place) -> Play:
    return lambda desk, token: _sprung(desk, step, token, Trap(place, CUT, desk.keyturn.kill_function))


def _sprung(desk: Desk, step: str, token: str, trap: Trap) -> Run | None:
    run = desk.run(step, token, trap)
    return run if trap.has_sprung else None


def _late(step: str, place: Place) -> Play:
    """Keep the answer of a call back until the function's time is up."""

    def run(desk: Desk, token: str) -> Run | None:
        is_over = threading.Event()
        desk.keyturn.limit_time(_SHORT_LIMIT_SECONDS)
        try:
            return _sprung(desk, step, token, Trap(place, CUT, lambda: is_over.wait(2 * _SHORT_LIMIT_SECONDS)))
        finally:
            is_over.set()
            desk.keyturn.limit_time(desk.timeout_seconds)

    return run


def _while(step: str, how: str) -> Play:
    def run(desk: Desk, token: str) -> Run | None:
        for relay in desk.database.relays:
            getattr(relay, how)()
        try:
            return desk.run(step, token)
        finally:
            for relay in desk.database.relays:
                relay.admit()

    return run
