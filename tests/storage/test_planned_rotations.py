"""Planned rotations: listed in order, a page at a time, counted by minute, and each found by an index."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, select, text, update

from keyturn.arn import Place
from keyturn.rules.lanes import Lane
from keyturn.rules.schedule import PlannedState
from keyturn.storage import rotations, schema, secret_versions, secrets
from keyturn.storage.database import Stores, Transaction
from keyturn.storage.planned_rotations import (
    PlannedFilter,
    PlannedPosition,
    load_planned,
    load_planned_after,
    planned_by_hour,
    planned_by_minute,
)
from keyturn.storage.preflights import plan_preflight
from keyturn.storage.rotations import RotationKind, RotationStatus
from keyturn.storage.secret_versions import VersionRecord

from .conftest import NOW, PLACE

TOP = datetime(2026, 3, 5, 7, tzinfo=NOW.tzinfo)
ELSEWHERE = Place("aws", "eu-west-1", "000000000000")
EVERYTHING = PlannedFilter()


def _plan(stores: Stores, name: str, at: datetime | None, place: Place = PLACE, **columns: Any) -> int:
    with stores.state.write() as transaction:
        arn = f"{place.partial_secret_arn(name)}-suffix"
        values = {"rotation_enabled": True, "next_rotation_at": at, **columns}
        return secrets.insert_secret(transaction, place, arn, name, NOW, **values)


def _names(stores: Stores, wanted: PlannedFilter = EVERYTHING, place: Place = PLACE, limit: int = 100) -> list[str]:
    with stores.state.read() as connection:
        return [record.name for record in load_planned(connection, place, wanted, NOW, after=None, limit=limit)]


def test_they_are_listed_by_moment_and_behind_them_who_has_none(stores: Stores) -> None:
    _plan(stores, "third", TOP + timedelta(seconds=2))
    _plan(stores, "first", TOP - timedelta(days=400))
    _plan(stores, "second", TOP)
    _plan(stores, "not planned", None)
    _plan(stores, "switched off", TOP, rotation_enabled=False)
    _plan(stores, "deleted", TOP, deleted_at=NOW)
    _plan(stores, "elsewhere", TOP, ELSEWHERE)
    _plan(stores, "does not rotate", None, rotation_enabled=None)
    assert _names(stores) == ["first", "second", "switched off", "third", "not planned"]
    assert _names(stores, PlannedFilter(end=TOP)) == ["first"]
    assert _names(stores, place=ELSEWHERE) == ["elsewhere"]


def test_they_are_listed_by_span_prefix_and_function(stores: Stores) -> None:
    _plan(stores, "prod/a", TOP, rotation_function_arn="f")
    _plan(stores, "prod/b", TOP + timedelta(hours=1), rotation_function_arn="g")
    _plan(stores, "Prod/c", TOP + timedelta(hours=2), rotation_function_arn="g")
    assert _names(stores, PlannedFilter(begin=TOP + timedelta(milliseconds=1))) == ["prod/b", "Prod/c"]
    assert _names(stores, PlannedFilter(end=TOP + timedelta(hours=1))) == ["prod/a"]
    assert _names(stores, PlannedFilter(name_prefix="prod/")) == ["prod/a", "prod/b"]
    assert _names(stores, PlannedFilter(name_prefix="prod_")) == []
    assert _names(stores, PlannedFilter(name_prefix="%")) == []
    assert _names(stores, PlannedFilter(function_arn="g")) == ["prod/b", "Prod/c"]


def test_some_are_asked_for_by_their_arns(stores: Stores) -> None:
    for name in ("a", "b", "c"):
        _plan(stores, name, TOP)
    _plan(stores, "other", TOP, ELSEWHERE)
    arns = {f"{PLACE.partial_secret_arn(name)}-suffix" for name in ("c", "a", "none")}
    others = f"{ELSEWHERE.partial_secret_arn('other')}-suffix"
    assert _names(stores, PlannedFilter(secret_arns=frozenset(arns | {others}))) == ["a", "c"]
    assert _names(stores, PlannedFilter(secret_arns=frozenset({others}))) == []


def test_each_is_in_a_state_and_what_is_under_way_comes_first(stores: Stores) -> None:
    for name, at, enabled, status, lease in (
        ("running", None, True, RotationStatus.PENDING, timedelta(seconds=1)),
        ("pending", None, True, RotationStatus.PENDING, None),
        ("its server died", TOP, True, RotationStatus.PENDING, timedelta(0)),
        ("parked", TOP, True, RotationStatus.PARKED, None),
        ("parked for ever", None, True, RotationStatus.PARKED, None),
        ("failed", TOP, True, RotationStatus.FAILED, None),
        ("planned", TOP, True, RotationStatus.SUCCEEDED, None),
        ("by hand", None, True, None, None),
        ("off", None, False, RotationStatus.CANCELLED, None),
    ):
        secret_id = _plan(stores, name, at, rotation_enabled=enabled)
        if status is None:
            continue
        with stores.state.write() as transaction:
            rotations.start_rotation(
                transaction, secret_id, "v", RotationKind.ROTATION, "setSecret", NOW, None, Lane("f", "")
            )
            held = {} if lease is None else {"lease_owner": "me", "lease_expires_at": NOW + lease}
            transaction.connection.execute(
                update(schema.rotations)
                .where(schema.rotations.c.secret_id == secret_id)
                .values(status=status, cause="timeout", **held)
            )
            if status is RotationStatus.FAILED:
                _note_failure(transaction, secret_id)
    with stores.state.read() as connection:
        found = load_planned(connection, PLACE, EVERYTHING, NOW, after=None, limit=100)
    assert [(record.name, record.state.value) for record in found] == [
        ("running", "running"),
        ("pending", "pending"),
        ("its server died", "pending"),
        ("parked", "parked"),
        ("failed", "failed"),
        ("planned", "planned"),
        ("parked for ever", "parked"),
        ("by hand", "unplanned"),
        ("off", "off"),
    ]
    assert [record.cause for record in found] == ["timeout"] * 4 + [None, None, "timeout", None, None]
    assert [record.failed_cause for record in found] == [None] * 4 + ["timeout"] + [None] * 4
    assert (found[1].due_at, found[1].attempt, found[1].version_id) == (NOW, 1, "v")
    parked = frozenset({PlannedState.PARKED, PlannedState.OFF})
    assert _names(stores, PlannedFilter(states=parked)) == ["parked", "parked for ever", "off"]
    assert _names(stores, PlannedFilter(states=parked, begin=TOP)) == ["parked"]
    few = frozenset({PlannedState.PARKED, PlannedState.FAILED})
    assert _names(stores, PlannedFilter(states=few)) == ["parked", "failed", "parked for ever"]
    paged: list[str] = []
    after: PlannedPosition | None = None
    with stores.state.read() as connection:
        while page := load_planned(connection, PLACE, EVERYTHING, NOW, after=after, limit=3):
            paged += [record.name for record in page]
            after = page[-1].position
    assert paged == [record.name for record in found]


def _note_failure(transaction: Transaction, secret_id: int) -> None:
    failed = select(schema.rotations.c.rotation_id).where(schema.rotations.c.secret_id == secret_id).scalar_subquery()
    statement = update(schema.secrets).where(schema.secrets.c.secret_id == secret_id)
    transaction.connection.execute(statement.values(failed_rotation_id=failed))


@pytest.mark.parametrize(
    ("last_rotated", "value_made", "is_troubled"),
    [
        (None, None, True),
        (-2, None, True),
        (-2, -2, True),
        (0, 0, True),
        # Success, or a value by hand, after the look.
        (1, -2, False),
        (-2, 1, False),
        # As its schedule counts, a value is nothing before the first rotation.
        (None, 1, True),
    ],
)
def test_what_a_preflight_found_is_no_trouble_any_more_after_a_rotation_or_another_value(
    stores: Stores, last_rotated: int | None, value_made: int | None, is_troubled: bool
) -> None:
    rotated_at = None if last_rotated is None else NOW + timedelta(minutes=last_rotated)
    secret_id = _plan(stores, "a", TOP, last_rotated_at=rotated_at)
    with stores.state.write() as transaction:
        plan_preflight(transaction, secret_id, None)
        found = {"verdict": "will fail", "heartbeat": "unknown", "checked_at": NOW}
        transaction.connection.execute(update(schema.preflights).values(found))
        if value_made is not None:
            made_at = NOW + timedelta(minutes=value_made)
            version = VersionRecord("v", made_at, None, b"sealed", is_binary=False, kms_key_id=None)
            secret_versions.insert_version(transaction, secret_id, version)
            secrets.store_labels(transaction, secret_id, {}, {"AWSCURRENT": "v"})
    assert _names(stores, PlannedFilter(is_troubled=True)) == (["a"] if is_troubled else [])


def test_a_page_goes_on_behind_the_last_even_within_one_moment(stores: Stores) -> None:
    for number in range(7):
        _plan(stores, f"s{number}", TOP + timedelta(seconds=number // 3))
    found: list[str] = []
    after: PlannedPosition | None = None
    with stores.state.read() as connection:
        while page := load_planned(connection, PLACE, EVERYTHING, NOW, after=after, limit=2):
            found += [record.name for record in page]
            after = page[-1].position
    assert found == [f"s{number}" for number in range(7)]


def test_each_says_what_its_moment_was_worked_out_from(stores: Stores) -> None:
    made_at = NOW - timedelta(days=3)
    columns: dict[str, Any] = {
        "rotation_function_arn": "f",
        "rotation_rules": {"AutomaticallyAfterDays": 30},
        "next_rotation_closes_at": TOP + timedelta(days=1),
        "rotation_planned_at": NOW,
        "last_rotated_at": NOW - timedelta(days=9),
    }
    secret_id = _plan(stores, "a", TOP, **columns)
    _plan(stores, "b", TOP + timedelta(seconds=59))
    _plan(stores, "c", TOP + timedelta(seconds=60))
    _plan(stores, "d", TOP, ELSEWHERE)
    with stores.state.write() as transaction:
        for version_id, created_at in (("new", made_at), ("old", NOW - timedelta(days=10))):
            version = VersionRecord(version_id, created_at, None, b"sealed", is_binary=False, kms_key_id=None)
            secret_versions.insert_version(transaction, secret_id, version)
        secrets.store_labels(transaction, secret_id, {}, {"AWSCURRENT": "new", "AWSPREVIOUS": "old"})
        lane = Lane("f", "")
        rotations.start_rotation(transaction, secret_id, "new", RotationKind.ROTATION, "createSecret", NOW, None, lane)
    with stores.state.read() as connection:
        first, second, third = load_planned(connection, PLACE, EVERYTHING, NOW, after=None, limit=10)
    assert {name: getattr(first, name) for name in columns} == columns
    assert (first.name, first.next_rotation_at, first.value_made_at) == ("a", TOP, made_at)
    assert [record.state for record in (first, second, third)] == ["pending", "planned", "planned"]
    assert [record.planned_in_minute for record in (first, second, third)] == [2, 2, 1]
    assert second.value_made_at is None


def test_minutes_are_counted_from_their_first_millisecond_to_their_last(stores: Stores) -> None:
    _plan(stores, "before", TOP - timedelta(milliseconds=1))
    _plan(stores, "first", TOP)
    _plan(stores, "last of the first minute", TOP + timedelta(seconds=59, milliseconds=999))
    _plan(stores, "elsewhere weighs as much", TOP + timedelta(minutes=7, seconds=1), ELSEWHERE)
    _plan(stores, "after", TOP + timedelta(hours=1))
    with stores.state.read() as connection:
        load = planned_by_minute(connection, TOP, TOP + timedelta(hours=1))
    assert load == {TOP: 2, TOP + timedelta(minutes=7): 1}


def test_plans_of_a_clock_that_was_ahead_are_found_furthest_last(stores: Stores) -> None:
    _plan(stores, "now", TOP, rotation_planned_at=NOW)
    _plan(stores, "later", TOP, rotation_planned_at=NOW + timedelta(days=2))
    _plan(stores, "sooner", TOP, rotation_planned_at=NOW + timedelta(days=1))
    with stores.state.read() as connection:
        found = load_planned_after(connection, NOW, 10)
        assert [arn.rpartition(":")[2] for arn in found] == ["sooner-suffix", "later-suffix"]
        assert load_planned_after(connection, NOW, 1) == found[:1]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_index_answers_each_question(stores: Stores) -> None:
    with stores.state.write() as transaction:
        rows = [
            {
                "account_id": PLACE.account_id,
                "region": PLACE.region,
                "arn": f"arn{number}",
                "name": f"n{number}",
                "created_at": NOW,
                "last_changed_at": NOW,
                "rotation_enabled": True,
                "next_rotation_at": TOP + timedelta(seconds=number),
            }
            for number in range(2000)
        ]
        transaction.connection.execute(insert(schema.secrets), rows)
        transaction.connection.execute(text("ANALYZE"))
    with stores.state.read() as connection:
        asked: list[tuple[str, Any]] = []
        event.listen(connection, "before_cursor_execute", lambda *of: asked.append((of[2], of[3])))
        load_planned(connection, PLACE, EVERYTHING, NOW, after=None, limit=10)
        some = PlannedFilter(begin=TOP, secret_arns=frozenset({"arn7", "arn1999"}))
        of_some_from = len(asked)
        load_planned(connection, PLACE, some, NOW, after=None, limit=10)
        of_some = asked[of_some_from:]
        del asked[of_some_from:]
        planned_by_minute(connection, TOP, TOP + timedelta(hours=1))
        load_planned_after(connection, NOW, 10)
        plans = [
            [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in list(asked)
            if statement.startswith("SELECT")
        ]
        plans_of_some = [
            [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in of_some
        ]
    # By their ARNs, and then by their rows: never by an index of all that are planned.
    assert [plan[0].partition("secrets USING ")[2] for plan in plans_of_some[::2]] == [
        "INDEX sqlite_autoindex_secrets_1 (arn=?)",
        "INTEGER PRIMARY KEY (rowid=?)",
    ], plans_of_some
    indexes = ("rotations_due", "secrets_planned", "secrets_due", "secrets_planned_at")
    for plan, index in zip(plans, indexes, strict=True):
        assert f"INDEX {index} " in plan[0], plan
        # Neither read as a whole nor sorted, but for the few minutes of an hour.
        assert not [line for line in plan if line.startswith("SCAN") or line.endswith("ORDER BY")], plan


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        (PlannedFilter(is_troubled=True), ["preflights_troubled", "secrets_failed"]),
        (
            PlannedFilter(states=frozenset({PlannedState.PARKED, PlannedState.FAILED})),
            ["secrets_failed", "rotations_due"],
        ),
    ],
)
def test_the_few_are_found_by_indexes_that_have_nothing_else(
    stores: Stores, wanted: PlannedFilter, indexes: list[str]
) -> None:
    with stores.state.read() as connection:
        asked: list[tuple[str, Any]] = []
        event.listen(connection, "before_cursor_execute", lambda *of: asked.append((of[2], of[3])))
        load_planned(connection, PLACE, wanted, NOW, after=None, limit=10)
        statement, parameters = next(each for each in asked if each[0].startswith("SELECT"))
        plan = [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    used = " ".join(plan)
    assert all(f"INDEX {index}" in used for index in indexes), plan
    assert not [line for line in plan if line.startswith("SCAN secrets") or line == "SCAN rotations"], plan


def test_they_are_counted_by_hour_as_they_are_listed(stores: Stores) -> None:
    deleted: dict[str, Any] = {"deleted_at": NOW, "deletion_at": NOW + timedelta(days=7)}
    _plan(stores, "prod/a", TOP)
    _plan(stores, "prod/b", TOP + timedelta(minutes=59))
    _plan(stores, "test/c", TOP + timedelta(hours=2), rotation_function_arn="f")
    _plan(stores, "gone", TOP, **deleted)
    _plan(stores, "gone too", TOP + timedelta(hours=5), **deleted)
    _plan(stores, "elsewhere", TOP, ELSEWHERE)
    _plan(stores, "by hand", None)
    lane = Lane("f", "")
    for name, at, place, due_at in (
        ("prod/tries again", None, PLACE, TOP + timedelta(hours=3, minutes=1)),
        ("rotates now", None, PLACE, TOP - timedelta(minutes=1)),
        ("is planned and asks the database", TOP + timedelta(hours=4), PLACE, TOP),
        ("tries again elsewhere", None, ELSEWHERE, TOP),
    ):
        secret_id = _plan(stores, name, at, place)
        with stores.state.write() as transaction:
            rotations.start_rotation(
                transaction, secret_id, "v", RotationKind.ROTATION, "setSecret", due_at, None, lane
            )
    wanted = PlannedFilter(begin=TOP, end=TOP + timedelta(hours=9))
    with stores.state.read() as connection:
        found = planned_by_hour(connection, PLACE, wanted)
        of_prod = planned_by_hour(connection, PLACE, replace(wanted, name_prefix="prod/"))
        of_f = planned_by_hour(connection, PLACE, replace(wanted, function_arn="f"))
        later = planned_by_hour(connection, PLACE, replace(wanted, begin=TOP + timedelta(hours=1)))
        before = planned_by_hour(connection, PLACE, PlannedFilter(end=TOP))
        listed = load_planned(connection, PLACE, wanted, NOW, after=None, limit=100)
    of_later = {TOP + timedelta(hours=hours): 1 for hours in (2, 3, 4)}
    assert found == {TOP: 2, **of_later}
    assert sum(found.values()) == len(listed)
    assert of_prod == {TOP: 2, TOP + timedelta(hours=3): 1}
    assert of_f == {TOP + timedelta(hours=2): 1}
    assert later == of_later
    assert before == {TOP - timedelta(hours=1): 1}


def test_the_few_in_trouble_and_the_parked_are_paged_in_the_order_of_all(stores: Stores) -> None:
    for number in range(6):
        secret_id = _plan(stores, f"s{number}", TOP - timedelta(hours=number // 2) if number else None)
        with stores.state.write() as transaction:
            plan_preflight(transaction, secret_id, None)
            heartbeat = "in step" if number == 5 else "drift"
            transaction.connection.execute(
                update(schema.preflights).where(schema.preflights.c.secret_id == secret_id).values(heartbeat=heartbeat)
            )
            lane = Lane("f", "")
            rotations.start_rotation(
                transaction, secret_id, f"v{number}", RotationKind.ROTATION, "createSecret", NOW, None, lane
            )
            status = RotationStatus.PENDING if number == 4 else RotationStatus.PARKED
            transaction.connection.execute(
                update(schema.rotations).where(schema.rotations.c.secret_id == secret_id).values(status=status)
            )
    every = [f"s{number}" for number in (4, 5, 2, 3, 1, 0)]
    for wanted in (PlannedFilter(is_troubled=True), PlannedFilter(states=frozenset({PlannedState.PARKED}))):
        paged: list[str] = []
        after: PlannedPosition | None = None
        with stores.state.read() as connection:
            while page := load_planned(connection, PLACE, wanted, NOW, after=after, limit=2):
                paged += [record.name for record in page]
                after = page[-1].position
        assert paged == [name for name in every if name != ("s5" if wanted.is_troubled else "s4")]


@pytest.mark.parametrize("state", list(PlannedState))
def test_each_state_is_listed_alone(stores: Stores, state: PlannedState) -> None:
    _plan(stores, "planned", TOP)
    _plan(stores, "unplanned", None)
    _plan(stores, "off", None, rotation_enabled=False)
    named = state.value if state.value in ("planned", "unplanned", "off") else None
    assert _names(stores, PlannedFilter(states=frozenset({state}))) == ([named] if named else [])
