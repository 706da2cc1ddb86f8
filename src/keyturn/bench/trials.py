"""All trials of one function, in order."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from keyturn.errors.base import AwsError, KeyturnError

from . import contract, faults
from .card import INTERRUPTED, Card, Left, Result, Status
from .desk import Desk
from .faults import Fault

CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which trials are played.

    Attributes:
        only: Patterns of ``group/name``; all trials if empty.
        is_sample: Only one of the faults of each kind in each step.
    """

    only: Sequence[str] = ()
    is_sample: bool = False

    @property
    def has_faults(self) -> bool:
        """Whether faults may be among them."""
        return not self.only or any(not pattern.startswith(f"{CONTRACT}/") for pattern in self.only)

    def takes(self, group: str, name: str) -> bool:
        """Tell whether a trial is played."""
        path = f"{group}/{name}"
        return not self.only or any(fnmatch.fnmatch(path, pattern) for pattern in self.only)

    def of(self, found: Sequence[Fault]) -> list[Fault]:
        """Return the faults that are played."""
        chosen = [fault for fault in found if self.takes(fault.step, fault.name)]
        if not self.is_sample:
            return chosen
        kept: dict[tuple[str, str], Fault] = {}
        for fault in _from_the_middle(chosen):
            kept.setdefault((fault.step, fault.kind), fault)
        return sorted(kept.values(), key=chosen.index)


@dataclass(slots=True)
class Progress:
    """How far it is.

    Attributes:
        begins: Told before each trial what it is, how many have been played and how many there are.
    """

    begins: Callable[[str, int, int], None]


@dataclass(slots=True)
class Trials:
    """Plays trials at one desk and keeps what came of them."""

    desk: Desk
    choice: Choice
    progress: Progress
    results: list[Result] = field(default_factory=list)
    broken_off: str = ""

    def play(self) -> None:
        """Play them all; ends early if the database can no longer be entered."""
        clauses = [clause for clause in contract.CLAUSES if self.choice.takes(CONTRACT, clause.name)]
        try:
            done = 0
            for clause in clauses:
                self.progress.begins(clause.title, done, len(clauses))
                self.results.append(_tried(self.desk, clause))
                if self._does_not_rotate:
                    self.broken_off = "It does not rotate even when nothing goes wrong, so nothing else was played."
                    return
                self.desk.reset()
                done += 1
            if self.choice.has_faults:
                self._play_faults(done)
        except KeyturnError as error:
            self.broken_off = error.message
        except KeyboardInterrupt:
            self.broken_off = INTERRUPTED

    @property
    def _does_not_rotate(self) -> bool:
        """Whether a step has failed with nothing wrong: then so will all others, in the same words."""
        first = self.results[-1]
        return (
            first.name == contract.rotates.__name__ and first.status is Status.FAILED and "fails with" in first.reason
        )

    def _play_faults(self, done: int) -> None:
        chosen = self.choice.of(list(faults.faults_of(self.desk)))
        total = done + len(chosen)
        for fault in chosen:
            self.progress.begins(f"{fault.step}: {fault.title}", done, total)
            self.results.append(_played(self.desk, fault))
            self.desk.reset()
            done += 1

    def card(self, function: str, seconds: float) -> Card:
        """Return the report card."""
        calls = self.desk.keyturn.door.calls
        return Card(
            function=function,
            database=self.desk.database.title,
            sandbox=self.desk.keyturn.sandbox,
            results=tuple(self.results),
            leaks=tuple(f"{run.step}: {line}" for run, line in self.desk.leaks()),
            invocations=len(self.desk.runs),
            lines=sum(len(run.log) for run in self.desk.runs),
            actions=sorted({name for name, error in calls if error is None}),
            denied=sorted({name for name, error in calls if error == "AccessDeniedException"}),
            broken_off=self.broken_off,
            seconds=seconds,
        )


def _tried(desk: Desk, clause: contract.Clause) -> Result:
    began = time.monotonic()
    status, reason = Status.PASSED, ""
    try:
        clause.trial(desk)
    except contract.NotKept as error:
        status, reason = Status.FAILED, str(error)
    except contract.NotTold as error:
        status, reason = Status.SKIPPED, str(error)
    except (AwsError, ClientError) as error:
        status, reason = Status.FAILED, f"It has brought the secret into a state in which nothing can be tried: {error}"
    return Result(CONTRACT, clause.name, clause.title, status, reason, seconds=time.monotonic() - began)


def _played(desk: Desk, fault: Fault) -> Result:
    began = time.monotonic()
    try:
        aftermath = faults.play(desk, fault)
    except (AwsError, ClientError) as error:
        reason = f"It has brought the secret into a state in which nothing can be tried: {error}"
        aftermath = faults.Aftermath(Left.STUCK, reason)
    seconds = time.monotonic() - began
    if aftermath is None:
        reason = "In this run the step did not come to that point."
        return Result(fault.step, fault.name, fault.title, Status.SKIPPED, reason, seconds=seconds)
    status = Status.PASSED if aftermath.is_harmless else Status.FAILED
    return Result(fault.step, fault.name, fault.title, status, aftermath.reason, aftermath.left, seconds)


def _from_the_middle(items: Sequence[Fault]) -> Iterator[Fault]:
    """Yield the middle one first, then those around it: the beginning of a step is its least interesting part."""
    middle = len(items) // 2
    yield from sorted(items, key=lambda item: abs(items.index(item) - middle))
