"""Every state that a rotation can reach, searched exhaustively: two servers that die, are held up and take over, a
function that fails before and after it has acted, a database that cannot be asked, and people who cancel, rotate and
have the database asked.

The rules are the real ones (``rules/rotation.py``, ``repair.py``, ``staging.py``); around them stands a model of what
``scheduler/ended_step.py`` and ``storage/rotation_leases.py`` do, of a single-user rotation function and of a database
that knows one password. A search this small finds what no list of examples does: each interleaving once.

What the model takes for granted: the process of a function ends before the rotation after its own begins to change the
database (its timeout is over by then), and a server that is killed takes its functions with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from keyturn.rules.repair import Answers, Repair, repair_of, settled
from keyturn.rules.rotation import (
    RESOLUTION,
    ROTATION,
    Done,
    Park,
    Plan,
    RunStep,
    Settle,
    Step,
    StepOutcome,
    check_labels,
    is_finished,
    next_action,
)
from keyturn.rules.staging import AWSCURRENT, AWSPENDING, AWSPREVIOUS, Staging, begin_rotation, move_label

AT = datetime(2026, 1, 1, tzinfo=UTC)
PLANS = {"rotation": Plan(ROTATION.steps, attempts=2), "resolution": Plan(RESOLUTION.steps, attempts=2)}
# Beyond its last attempt a rotation asks the database for ever; that is one state here.
MOST_ATTEMPTS = 3


class Row(NamedTuple):
    """The rotation that is unfinished; of a resolution, the one that waits until it is known what comes of it."""

    token: str
    kind: str
    step: Step
    attempt: int
    is_parked: bool = False
    waiting: Row | None = None


class Worker(NamedTuple):
    """A server that has claimed the row; ``result`` is None until its function has ended.

    Of the generation of its lease it only matters whether it is the newest.
    """

    row: Row
    is_stale: bool = False
    # Whether no function of another server could still set the pending value when the step began.
    is_alone: bool = True
    is_started: bool = False
    has_acted: bool = False
    # Once setSecret has acted: from which version it may still take AWSCURRENT.
    takes_from: str = ""
    result: tuple[StepOutcome, Answers] | None = None


class Lease(NamedTuple):
    """Who holds the row; an expired one is nobody's."""

    owner: int | None = None
    is_expired: bool = False


FREE = Lease()


@dataclass(frozen=True)
class World:
    """One state. ``password`` is the version whose password the database accepts."""

    labels: frozenset[tuple[str, str]]
    with_value: frozenset[str]
    password: str
    row: Row | None = None
    lease: Lease = FREE
    workers: tuple[Worker | None, Worker | None] = (None, None)
    begun: int = 0
    # The pending version may be in the database.
    has_set: bool = False
    offers_probe: bool = False
    # How the last rotation ended, if it was no success.
    told: str = ""

    @property
    def staging(self) -> Staging:
        labels = dict(self.labels)
        versions = {*labels.values(), *self.with_value}
        return Staging(dict.fromkeys(versions, AT), labels, frozenset(versions - self.with_value))

    def labelled(self, state: Staging) -> World:
        return replace(self, labels=frozenset(state.labels.items()))

    @property
    def current(self) -> str:
        return dict(self.labels)[AWSCURRENT]

    def with_worker(self, number: int, worker: Worker | None) -> World:
        workers = [*self.workers]
        workers[number] = worker
        return replace(self, workers=(workers[0], workers[1]))


START = World(frozenset({(AWSCURRENT, "v0")}), frozenset({"v0"}), "v0")


def holds_lease(world: World, number: int, worker: Worker) -> bool:
    """What every write under a lease checks."""
    lease, row = world.lease, world.row
    held = lease == Lease(number) and not worker.is_stale
    return held and row is not None and not row.is_parked


# What can happen ------------------------------------------------------------------------------------------------------


def by_people(world: World, most_rotations: int) -> Iterator[World]:
    if world.row is None and world.begun < most_rotations:
        token = f"v{world.begun + 1}"
        if world.staging.unfinished_rotation is None:
            begun = world.labelled(begin_rotation(world.staging, token, AT).after)
            yield replace(
                begun, row=Row(token, "rotation", Step.CREATE, 1), begun=world.begun + 1, has_set=False, told=""
            )
        else:
            # It is adopted, as a schedule does it.
            adopted = world.staging.unfinished_rotation or ""
            yield replace(world, row=Row(adopted, "rotation", Step.CREATE, 1), told="")
    if world.row is not None and world.row.kind == "rotation":
        row = world.row
        asks = world.offers_probe and world.has_set
        resolution = Row(row.token, "resolution", Step.PROBE, 1) if asks else None
        yield replace(world, row=resolution, lease=FREE, told="cancelled")
        if world.offers_probe and (world.lease.owner is None or world.lease.is_expired):
            yield replace(world, row=Row(row.token, "resolution", Step.PROBE, 1, waiting=row), lease=FREE)


def by_time(world: World) -> Iterator[World]:
    if world.lease.owner is not None and not world.lease.is_expired:
        yield replace(world, lease=world.lease._replace(is_expired=True))
    if world.row is not None and world.row.is_parked:
        # The next window.
        first = PLANS[world.row.kind].first_step
        yield replace(world, row=world.row._replace(is_parked=False, step=first, attempt=1))


def by_worker(world: World, number: int) -> Iterator[World]:
    worker = world.workers[number]
    if worker is None:
        is_free = world.lease.owner is None or world.lease.is_expired
        other = world.workers[1 - number]
        # What asks the database after a cancellation waits until the function that ran has come to its timeout.
        is_due = world.row is not None and not (world.row.kind == "resolution" and other and other.result is None)
        if world.row is not None and not world.row.is_parked and is_free and is_due:
            behind = world.with_worker(1 - number, other._replace(is_stale=True)) if other else world
            yield replace(behind, lease=Lease(number)).with_worker(number, Worker(world.row))
        return
    # kill -9
    yield world.with_worker(number, None)
    if not worker.is_started:
        yield from start(world, number, worker)
    elif worker.result is None:
        yield from run(world, number, worker)
    else:
        yield store(world, number, worker, worker.result)


def start(world: World, number: int, worker: Worker) -> Iterator[World]:
    if not holds_lease(world, number, worker) or world.row is None:
        yield world.with_worker(number, None)
    elif check_labels(dict(world.labels), worker.row.token) is not None:
        ended = replace(world, row=None, lease=FREE, told="abandoned")
        yield ended.with_worker(number, None)
    else:
        has_set = world.has_set or worker.row.step is Step.SET
        is_alone = not any(other and other is not worker and other.row.step is Step.SET for other in world.workers)
        yield replace(world, has_set=has_set).with_worker(number, worker._replace(is_started=True, is_alone=is_alone))


def run(world: World, number: int, worker: Worker) -> Iterator[World]:
    """The function fails before it acts, acts, and returns or is lost afterwards."""
    failed = worker._replace(result=(StepOutcome.FUNCTION_ERROR, Answers()))
    yield world.with_worker(number, failed)
    if worker.row.step is Step.PROBE:
        accepted = frozenset({world.password})
        refused = world.with_value - accepted
        answered = worker._replace(result=(StepOutcome.SUCCEEDED, Answers(accepted, refused)))
        yield world.with_worker(number, answered)
    elif not worker.has_acted:
        acted = act(world, worker.row)
        if acted is not None:
            takes_from = world.current if worker.row.step is Step.SET and world.current != worker.row.token else ""
            yield acted.with_worker(number, worker._replace(has_acted=True, takes_from=takes_from))
    else:
        yield from promote(world, number, worker)
        yield world.with_worker(number, worker._replace(result=(StepOutcome.SUCCEEDED, Answers())))


def act(world: World, row: Row) -> World | None:
    """Do what a step does; None if it fails."""
    labels, token = dict(world.labels), row.token
    if token not in (labels.get(AWSPENDING), labels[AWSCURRENT]):
        return None
    if labels[AWSCURRENT] == token:
        return world
    match row.step:
        case Step.CREATE:
            return replace(world, with_value=world.with_value | {token})
        case Step.SET:
            known = {token, labels[AWSCURRENT], labels.get(AWSPREVIOUS)}
            return replace(world, password=token) if world.password in known else None
        case Step.TEST:
            return world if world.password == token else None
        case Step.FINISH:
            return world.labelled(move_label(world.staging, AWSCURRENT, token, labels[AWSCURRENT]).after)
        case _:
            raise AssertionError(row.step)


def promote(world: World, number: int, worker: Worker) -> Iterator[World]:
    """In setSecret, log in with the pending value and move AWSCURRENT, away from the version that had it before."""
    if world.password == worker.row.token and world.current == worker.takes_from:
        moved = world.labelled(move_label(world.staging, AWSCURRENT, worker.row.token, world.current).after)
        yield moved.with_worker(number, worker._replace(takes_from=""))


def store(world: World, number: int, worker: Worker, result: tuple[StepOutcome, Answers]) -> World:
    """Write what a step has come to and what follows, if the lease still holds."""
    if not holds_lease(world, number, worker) or world.row is None:
        return world.with_worker(number, None)
    (outcome, answers), row, labels = result, world.row, dict(world.labels)
    if outcome is StepOutcome.SUCCEEDED and worker.row.step is Step.FINISH and not is_finished(labels, row.token):
        outcome = StepOutcome.FUNCTION_ERROR
    offers = world.offers_probe or (outcome is StepOutcome.SUCCEEDED and worker.row.step is Step.CREATE)
    world = replace(world, offers_probe=offers)
    repair = repair_of(labels, world.with_value, answers) if worker.row.step is Step.PROBE else Repair.UNKNOWN
    if repair in (Repair.BACK, Repair.REVERT) and not worker.is_alone:
        repair = Repair.UNKNOWN
    action = next_action(
        PLANS[row.kind],
        RunStep(worker.row.step, worker.row.attempt, AT),
        outcome,
        AT,
        window_closes_at=None,
        jitter=0,
        asks_database=offers and world.has_set,
        repair=repair,
        is_pending=row.waiting is None,
    )
    if row.waiting is not None and action in (Park(), Settle(Repair.ALL_REFUSED)):
        # Nothing has come of it: the rotation that waited goes on.
        return replace(world, row=row.waiting, lease=FREE).with_worker(number, None)
    released = FREE
    match action:
        case RunStep(step, attempt, due_at):
            attempt = min(attempt, MOST_ATTEMPTS)
            following = row._replace(step=step, attempt=attempt)
            goes_on = Worker(following) if due_at == AT else None
            lease = world.lease if goes_on else released
            return replace(world, row=following, lease=lease).with_worker(number, goes_on)
        case Park() if row.kind == "rotation":
            parked = row._replace(is_parked=True)
            return replace(world, row=parked, lease=released, told="parked").with_worker(number, None)
        case Settle(repair):
            settled_labels = world.labelled(settled(world.staging, repair, answers).after)
            told = {Repair.FORWARD: "", Repair.NONE_NEEDED: ""}.get(repair, repair.value)
            return replace(settled_labels, row=None, lease=released, told=told).with_worker(number, None)
        case Done() | Park():
            told = "" if isinstance(action, Done) else "failed"
            return replace(world, row=None, lease=released, told=told).with_worker(number, None)
    raise AssertionError(action)


# The search -----------------------------------------------------------------------------------------------------------


def normal(world: World) -> World:
    """Forget servers that can do nothing any more, and functions that have come to their timeout (see above)."""
    for number, worker in enumerate(world.workers):
        if worker is None:
            continue
        is_over = world.row is None or world.row.token != worker.row.token
        has_more = not worker.has_acted or worker.takes_from
        can_act = worker.is_started and worker.result is None and has_more and worker.row.step is not Step.PROBE
        if (is_over or not can_act) and not holds_lease(world, number, worker):
            world = world.with_worker(number, None)
    return world


def following(world: World, most_rotations: int) -> Iterator[World]:
    yield from by_people(world, most_rotations)
    yield from by_time(world)
    for number in (0, 1):
        yield from by_worker(world, number)


def reachable(most_rotations: int) -> dict[World, World | None]:
    """Return every state with the one it was first reached from."""
    found: dict[World, World | None] = {START: None}
    waiting = deque([START])
    while waiting:
        world = waiting.popleft()
        for after in map(normal, following(world, most_rotations)):
            if after not in found:
                found[after] = world
                waiting.append(after)
    return found


def left_alone(world: World) -> World:
    """Let everything work from here on: servers end what they do, functions succeed, windows come."""
    for _ in range(200):
        number = next((number for number in (0, 1) if world.workers[number]), None)
        if number is None and world.row is None:
            return world
        if number is None and world.row is not None and world.row.is_parked:
            *_, world = by_time(world)
        elif number is None:
            *_, world = by_worker(replace(world, lease=FREE), 0)
        else:
            *_, world = by_worker(world, number)
        world = normal(world)
    raise AssertionError(f"does not end: {world}")


def test_no_state_that_can_be_reached_is_one_that_must_not_be() -> None:
    found = reachable(most_rotations=2)

    assert len(found) > 5_000
    assert any(world.row is not None and world.row.waiting is not None for world in found)
    for world in found:
        # Somebody holds the password.
        assert world.password in world.with_value, world
        # A version that applications read has a value, and labels sit on versions that are there.
        assert world.current in world.with_value, world
        # Two servers never both hold the lease, so that no step is begun twice at once.
        assert sum(holds_lease(world, number, worker) for number, worker in enumerate(world.workers) if worker) <= 1
        # Where nothing is under way the current version logs in, or people were told.
        if world.row is None and not any(world.workers):
            assert world.current == world.password or world.told, world
            assert world.told != "cancelled" or world.current == world.password, world


def test_from_each_state_a_rotation_ends_by_itself_with_a_current_version_that_logs_in() -> None:
    for world in reachable(most_rotations=2):
        ended = left_alone(world)

        assert ended.current == ended.password, (world, ended)
        assert ended.staging.unfinished_rotation is None or ended.told in ("cancelled", "allRefused")
