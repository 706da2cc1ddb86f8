"""What notifiers are told of real rotations of the real engine, and what is counted of them."""

from __future__ import annotations

import json
import secrets as randomness
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.notifiers.base import open_notifiers
from keyturn.scheduler.due import begin_due
from keyturn.scheduler.notifying import Collector, Notifying, Sender
from keyturn.storage import notifications, rotation_totals, secrets
from keyturn.storage.rotation_totals import RotationTotals
from keyturn.testing.handlers import open_bench

from .test_rotations import FUNCTION_ARN, Desk

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)


class Listener:
    """A desk, and a notifier of everything that nobody reads: what it would be told waits in the database."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        (named,) = open_notifiers("https://hooks.example.org/#name=hook&events=all")
        self.sender = Sender(desk.kit.audit_log, named, desk.kit.clock, randomness)
        self.collector = Collector(desk.kit.state, desk.kit.audit_log, [self.sender], desk.kit.clock)
        self.collector.begin()

    def hear(self) -> list[dict[str, Any]]:
        """What there is to be told now, oldest first."""
        kit = self.desk.kit
        kit.audit_log.sync(0, kit.clock.now())
        while self.collector.turn():
            pass
        heard = []
        while taken := notifications.take_due(kit.journal, "hook", kit.clock.now(), MINUTE):
            notifications.remove(kit.journal, taken)
            heard.append(json.loads(taken.document))
        return heard

    def totals(self) -> RotationTotals:
        with self.desk.kit.state.read() as connection:
            return rotation_totals.load_totals(connection, self.desk.kit.clock.now())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_bench(tmp_path) as bench:
        yield Desk(bench)


@pytest.fixture
def listener(desk: Desk) -> Listener:
    return Listener(desk)


def begin_planned(desk: Desk) -> None:
    """Go to the planned moment and begin what is due."""
    with desk.kit.state.read() as connection:
        planned = secrets.next_planned(connection)
        assert planned is not None
        (arn,) = secrets.due_for_rotation(connection, planned, 10)
    desk.bench.clock.advance(planned - desk.bench.clock.now())
    begin_due(desk.kit, arn, desk.bench.clock.now())


def test_each_failed_attempt_is_told_and_the_last_one_says_so(desk: Desk, listener: Listener) -> None:
    desk.runtime.fails_in, desk.runtime.says = "setSecret", "the database is away"
    version_id = desk.rotate()
    for _ in range(5):
        desk.work()
        desk.bench.clock.advance(10 * MINUTE)
    heard = listener.hear()

    assert [document["event"] for document in heard] == ["RotationStarted", *["RotationFailed"] * 5]
    failures = [document["rotation"] for document in heard[1:]]
    assert [failed["attempt"] for failed in failures] == [1, 2, 3, 4, 5]
    assert [failed["final"] for failed in failures] == [False, False, False, False, True]
    assert {failed["step"] for failed in failures} == {"setSecret"}
    assert {failed["cause"] for failed in failures} == {"ValueError"}
    assert {failed["version_id"] for failed in failures} == {version_id}
    assert {failed["function_arn"] for failed in failures} == {FUNCTION_ARN}
    assert heard[-1]["error"] == "ValueError: the database is away"
    assert failures[-1]["next_rotation_at"] > heard[-1]["time"]
    assert "it is not tried again before" in heard[-1]["text"]


def test_a_failure_that_is_looked_at_at_once_says_when_it_is_tried_again(desk: Desk, listener: Listener) -> None:
    desk.runtime.fails_in = "testSecret"
    desk.rotate()
    desk.work()
    failed = listener.hear()[-1]

    assert failed["rotation"]["next_attempt_at"] > failed["time"]
    assert failed["rotation"]["final"] is False


def test_a_rotation_that_was_parked_in_a_window_before_is_told_as_it_was(desk: Desk, listener: Listener) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.fails_in = "createSecret"
    begin_planned(desk)
    for _ in range(5):
        desk.work()
        desk.bench.clock.advance(10 * MINUTE)
    begin_planned(desk)
    desk.work()
    failures = [document["rotation"] for document in listener.hear() if document["event"] == "RotationFailed"]

    assert [(failed["attempt"], failed["final"]) for failed in failures] == [
        (1, False), (2, False), (3, False), (4, False), (5, True), (1, False)
    ]  # fmt: skip


def test_a_failure_that_the_database_settles_is_told_with_what_became_of_it(desk: Desk, listener: Listener) -> None:
    desk.runtime.offers_probe, desk.runtime.fails_in = True, "testSecret"
    desk.rotate()
    desk.work()
    heard = {document["event"]: document for document in listener.hear()}

    assert set(heard) == {"RotationStarted", "RotationFailed", "RotationResolved", "RotationSucceeded"}
    assert heard["RotationFailed"]["rotation"]["final"] is False
    assert heard["RotationFailed"]["rotation"]["next_attempt_at"] is None
    assert heard["RotationResolved"]["rotation"]["repair"] == "forward"
    assert "the new one, which is current now" in heard["RotationResolved"]["text"]


def test_while_the_database_is_asked_it_is_waited_a_moment_and_no_longer(desk: Desk, listener: Listener) -> None:
    runtime = desk.runtime
    runtime.offers_probe, runtime.answers_nothing, runtime.fails_in = True, True, "testSecret"
    desk.rotate()
    for _ in range(4):
        desk.work()
        desk.bench.clock.advance(10 * MINUTE)
    assert [found["rotation"]["final"] for found in listener.hear() if found["error"]] == [False] * 4

    desk.work()
    assert listener.hear() == []
    desk.bench.clock.advance(timedelta(seconds=6))
    (failed,) = listener.hear()

    assert (failed["rotation"]["attempt"], failed["rotation"]["final"]) == (5, None)
    assert "the database is being asked" in failed["text"]


def test_an_event_whose_step_is_not_committed_yet_is_looked_at_again(desk: Desk, listener: Listener) -> None:
    desk.runtime.fails_in = "setSecret"
    desk.rotate()
    desk.work()
    state = desk.kit.state
    with state.write() as transaction:
        ended = transaction.connection.exec_driver_sql(
            "SELECT ended_at FROM rotation_steps WHERE position = 2"
        ).scalar()
        transaction.connection.exec_driver_sql("UPDATE rotation_steps SET ended_at = NULL WHERE position = 2")
    assert [document["event"] for document in listener.hear()] == ["RotationStarted"]

    with state.write() as transaction:
        transaction.connection.exec_driver_sql(f"UPDATE rotation_steps SET ended_at = {ended} WHERE position = 2")
    (failed,) = listener.hear()
    assert failed["rotation"]["attempt"] == 1


def test_an_event_whose_step_was_never_committed_is_told_by_itself(desk: Desk, listener: Listener) -> None:
    desk.runtime.fails_in = "setSecret"
    desk.rotate()
    desk.work()
    with desk.kit.state.write() as transaction:
        transaction.connection.exec_driver_sql("UPDATE rotation_steps SET ended_at = NULL")
    listener.hear()
    desk.bench.clock.advance(timedelta(seconds=6))
    (failed,) = listener.hear()

    assert (failed["event"], failed["rotation"]["attempt"], failed["rotation"]["final"]) == (
        "RotationFailed",
        None,
        None,
    )
    assert failed["error"].startswith("Error when executing lambda")


def test_success_and_a_failed_test_are_told_if_asked_for(desk: Desk, listener: Listener) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.fails_in = "testSecret"
    desk.rotate(RotateImmediately=False)
    desk.work()
    heard = {document["event"]: document for document in listener.hear()}

    assert set(heard) == {"RotationStarted", "RotationSucceeded", "TestRotationStarted", "TestRotationFailed"}
    assert heard["RotationSucceeded"]["rotation"]["final"] is None
    assert heard["RotationSucceeded"]["error"] is None
    assert heard["TestRotationFailed"]["rotation"]["final"] is True


def test_a_secret_that_is_gone_is_told_by_its_event_alone(desk: Desk, listener: Listener) -> None:
    desk.runtime.fails_in = "createSecret"
    desk.rotate()
    desk.work()
    with desk.kit.state.write() as transaction:
        transaction.connection.exec_driver_sql("DELETE FROM secrets")
    (failed,) = [document for document in listener.hear() if document["event"] == "RotationFailed"]

    assert failed["secret"]["name"] == "db"
    assert failed["error"].startswith("Error when executing lambda")
    assert failed["rotation"]["attempt"] is None


def test_a_value_that_a_function_quotes_is_not_told(desk: Desk, listener: Listener) -> None:
    desk.runtime.fails_in, desk.runtime.says = "testSecret", "password 'first' was refused"
    desk.rotate()
    desk.work()
    (failed,) = [document for document in listener.hear() if document["event"] == "RotationFailed"]

    assert failed["error"] == "ValueError: password '***' was refused"
    assert "first" not in json.dumps(failed)


def test_rotations_are_counted_by_how_they_end(desk: Desk) -> None:
    desk.rotate()
    desk.work()
    desk.runtime.fails_in = "setSecret"
    begin_planned(desk)
    for _ in range(5):
        desk.work()
        desk.bench.clock.advance(10 * MINUTE)
    meters = desk.kit.meters

    assert meters.failures() == {("rotation", "setSecret", "ValueError"): 5}
    ended = {key: sum(durations.counts) for key, durations in meters.rotations().items()}
    assert ended == {("rotation", "succeeded"): 1, ("rotation", "parked"): 1}
    assert meters.rotations()["rotation", "parked"].total_seconds >= 40 * 60
    steps = {key: sum(durations.counts) for key, durations in meters.steps().items()}
    assert steps[("createSecret", "succeeded")] == 6
    assert steps[("setSecret", "functionError")] == 5
    assert steps[("finishSecret", "succeeded")] == 1


def test_totals_tell_due_running_parked_late_and_oldest(desk: Desk, listener: Listener) -> None:
    clock = desk.bench.clock
    begun_at = clock.now()
    assert listener.totals() == RotationTotals(0, 0, 0, 0, 0, None, None, None)

    desk.rotate()
    totals = listener.totals()
    assert (totals.due, totals.due_since, totals.oldest_at) == (1, begun_at, begun_at)
    (rotation,) = desk.claim()
    assert (listener.totals().due, listener.totals().running) == (0, 1)
    clock.advance(2 * MINUTE)
    # Its server has died: it is due again.
    assert (listener.totals().due, listener.totals().running) == (1, 0)
    desk.work()
    rotated_at = clock.now()
    assert listener.totals().oldest_at == rotated_at
    planned = listener.totals().next_at
    assert planned is not None

    clock.advance(planned - clock.now() + MINUTE)
    totals = listener.totals()
    assert (totals.due, totals.due_since, totals.late) == (1, planned, 0)
    clock.advance(2 * DAY)
    assert listener.totals().late == 1, "no server began it before its window closed"

    with desk.kit.state.read() as connection:
        (arn,) = secrets.due_for_rotation(connection, clock.now(), 10)
    begin_due(desk.kit, arn, clock.now())
    assert listener.totals().late == 0, "what was missed is planned anew"
    with desk.kit.state.read() as connection:
        secret = secrets.load_secret(connection, arn)
    assert secret is not None
    assert secret.next_rotation_closes_at is not None
    desk.runtime.fails_in = "setSecret"
    clock.advance(secret.next_rotation_closes_at - clock.now() - SECOND)
    begin_due(desk.kit, secret.arn, clock.now())
    desk.work()
    clock.advance(2 * SECOND)
    totals = listener.totals()
    assert (totals.due, totals.parked, totals.late) == (0, 1, 1)
    with desk.kit.state.read() as connection:
        assert rotation_totals.count_rotating(connection) == 1
    desk.call("CancelRotateSecret", SecretId="db")
    with desk.kit.state.read() as connection:
        assert rotation_totals.count_rotating(connection) == 0
    assert listener.totals() == RotationTotals(0, 0, 0, 0, 0, None, None, None)
    assert rotation.version_id


def test_without_notifiers_nothing_runs_and_nothing_is_noted(desk: Desk) -> None:
    notifying = Notifying(desk.kit.state, desk.kit.audit_log, [], desk.kit.clock, randomness)
    notifying.start()
    notifying.close()
    with desk.kit.journal.read() as connection:
        assert connection.exec_driver_sql("SELECT * FROM audit_cursors").all() == []
