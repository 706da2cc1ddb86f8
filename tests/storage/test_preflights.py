"""Pre-flights: which are due, who holds them, and what is kept of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from keyturn.rules.preflight import Heartbeat, Item, ItemStatus, Judgement, Verdict
from keyturn.storage import preflights, schema, secrets
from keyturn.storage.database import Stores
from keyturn.storage.migrate import migrate

from .conftest import NOW, PLACE, OpenStores
from .test_migrations import unmigrated  # noqa: F401 - a fixture

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AHEAD = 6 * HOUR
READY = Judgement(Verdict.READY, Heartbeat.IN_STEP, ())
FAILS = Judgement(Verdict.WILL_FAIL, Heartbeat.DRIFT, ("function.import:KeyError", "drift:ChangedOutside"))
ITEMS = [Item("function.import", ItemStatus.FAILED, "KeyError", "a wörd", 0.25)]


def make(stores: Stores, name: str, *, due_at: datetime | None = None, **columns: Any) -> int:
    with stores.state.write() as transaction:
        arn = f"{PLACE.partial_secret_arn(name)}-suffix"
        secret_id = secrets.insert_secret(transaction, PLACE, arn, name, NOW, rotation_enabled=True, **columns)
        preflights.plan_preflight(transaction, secret_id, due_at)
    return secret_id


def due(stores: Stores, now: datetime = NOW, limit: int = 10) -> list[int]:
    with stores.state.read() as connection:
        return [secret_id for secret_id, _ in preflights.due_preflights(connection, now, AHEAD, limit)]


def store(stores: Stores, secret_id: int, judgement: Judgement, now: datetime = NOW, **more: Any) -> None:
    given = {"engine": None, "is_told": False, "due_at": now + DAY, **more}
    with stores.state.write() as transaction:
        preflights.store_preflight(transaction, secret_id, judgement, ITEMS, now, **given)


def load(stores: Stores, secret_id: int) -> preflights.PreflightRecord | None:
    with stores.state.read() as connection:
        return preflights.load_preflight(connection, secret_id)


def test_those_that_are_due_come_longest_due_first_behind_those_that_rotate_soon(stores: Stores) -> None:
    later = make(stores, "later", due_at=NOW)
    first = make(stores, "first", due_at=NOW - DAY)
    make(stores, "not yet", due_at=NOW + MINUTE)
    make(stores, "off", due_at=None)
    soon = make(stores, "rotates soon", due_at=NOW + DAY, next_rotation_at=NOW + AHEAD)
    make(stores, "rotates later", due_at=NOW + DAY, next_rotation_at=NOW + AHEAD + MINUTE)
    make(stores, "rotates now", due_at=NOW + DAY, next_rotation_at=NOW)
    make(stores, "is deleted", due_at=NOW + DAY, next_rotation_at=NOW + HOUR, deleted_at=NOW)

    assert due(stores) == [soon, first, later]
    assert due(stores, limit=2) == [soon, first]
    with stores.state.read() as connection:
        assert preflights.next_due(connection, NOW) == NOW - DAY


def test_before_a_rotation_it_is_looked_once(stores: Stores) -> None:
    secret_id = make(stores, "soon", due_at=NOW + DAY, next_rotation_at=NOW + AHEAD)
    store(stores, secret_id, READY, NOW - MINUTE)
    assert due(stores) == [secret_id]

    store(stores, secret_id, READY, NOW)
    assert due(stores, NOW + MINUTE) == []


def test_one_server_holds_a_secret_and_another_takes_it_when_that_is_over(
    stores: Stores, open_stores: OpenStores
) -> None:
    secret_id, other = make(stores, "db", due_at=NOW), open_stores()

    assert preflights.hold(stores.state, secret_id, NOW, NOW + MINUTE)
    assert not preflights.hold(other.state, secret_id, NOW, NOW + MINUTE)
    assert due(other) == []
    assert due(other, NOW + MINUTE) == [secret_id]
    assert preflights.hold(other.state, secret_id, NOW + MINUTE, NOW + HOUR)
    preflights.release_all(stores.state)
    assert due(stores) == [secret_id]


def test_what_is_put_off_is_due_later(stores: Stores) -> None:
    secret_id = make(stores, "db", due_at=NOW)
    preflights.put_off(stores.state, secret_id, NOW + MINUTE)

    assert (due(stores), due(stores, NOW + MINUTE)) == ([], [secret_id])
    with stores.state.read() as connection:
        assert preflights.next_due(connection, NOW) is None


def test_what_was_found_is_kept_with_since_when_it_is_so(stores: Stores) -> None:
    secret_id = make(stores, "db", due_at=NOW)
    assert load(stores, secret_id) is None
    store(stores, secret_id, FAILS, is_told=True)
    store(stores, secret_id, FAILS, NOW + HOUR, is_told=True)
    found = load(stores, secret_id)

    assert found is not None
    assert (found.verdict, found.heartbeat, found.causes, found.items) == (
        Verdict.WILL_FAIL,
        Heartbeat.DRIFT,
        FAILS.causes,
        tuple(ITEMS),
    )
    assert (found.checked_at, found.since, found.is_told) == (NOW + HOUR, NOW, True)
    # Another plan forgets nothing.
    with stores.state.write() as transaction:
        preflights.plan_preflight(transaction, secret_id, NOW)
    assert load(stores, secret_id) == found
    store(stores, secret_id, READY, NOW + DAY)
    again = load(stores, secret_id)
    assert again is not None
    assert (again.since, again.is_told) == (NOW + DAY, False)


def test_secrets_that_rotate_are_counted_by_what_was_found(stores: Stores) -> None:
    for name in ("one", "two"):
        store(stores, make(stores, name), READY)
    store(stores, make(stores, "three"), FAILS)
    make(stores, "nobody has looked")
    store(stores, make(stores, "deleted", deleted_at=NOW), FAILS)
    off = make(stores, "off")
    store(stores, off, FAILS)
    with stores.state.write() as transaction:
        transaction.connection.execute(
            schema.secrets.update().where(schema.secrets.c.secret_id == off).values(rotation_enabled=False)
        )

    with stores.state.read() as connection:
        assert preflights.count_preflights(connection) == {
            ("ready", "in step"): 2,
            ("will fail", "drift"): 1,
            (None, None): 1,
        }


def test_an_erased_secret_takes_its_preflight_along(stores: Stores) -> None:
    secret_id = make(stores, "db", due_at=NOW)
    with stores.state.write() as transaction:
        transaction.connection.execute(schema.secrets.delete().where(schema.secrets.c.secret_id == secret_id))

    assert (due(stores), load(stores, secret_id)) == ([], None)


FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:rotate_me"


def test_what_was_unwell_is_brought_forward_and_nothing_else(stores: Stores) -> None:
    unknown = Judgement(Verdict.UNKNOWN, Heartbeat.UNKNOWN, ())
    drifts = Judgement(Verdict.READY, Heartbeat.DRIFT, ("drift:PreviousStillAccepted",))
    unwell = [make(stores, name, rotation_function_arn=FUNCTION) for name in ("fails", "unknown", "drifts")]
    for secret_id, judgement in zip(unwell, (FAILS, unknown, drifts), strict=True):
        store(stores, secret_id, judgement)
    alias, well, at_once, off, other, never = (
        make(stores, name, due_at=NOW + DAY, rotation_function_arn=arn)
        for name, arn in {
            "alias": f"{FUNCTION}:live",
            "well": FUNCTION,
            "at once": FUNCTION,
            "off": FUNCTION,
            "other": FUNCTION.replace("_", "x"),
            "never": FUNCTION,
        }.items()
    )
    store(stores, alias, FAILS)
    store(stores, well, READY)
    store(stores, at_once, FAILS, due_at=NOW)
    store(stores, off, FAILS, due_at=None)
    store(stores, other, FAILS)

    with stores.state.write() as transaction:
        preflights.bring_forward(transaction, other, NOW + MINUTE)
        preflights.bring_forward(transaction, well, NOW + MINUTE)
        preflights.bring_forward_users(transaction, FUNCTION, NOW + HOUR)

    with stores.state.read() as connection:
        planned = {each: preflights.planned_at(connection, each) for each in (*unwell, alias)}
        assert set(planned.values()) == {NOW + HOUR}
        rest = [preflights.planned_at(connection, each) for each in (other, well, at_once, off, never)]
    assert rest == [NOW + MINUTE, NOW + DAY, NOW, None, NOW + DAY]


def test_the_day_is_found_by_its_index(stores: Stores) -> None:
    if not stores.state.dialect.is_embedded:
        pytest.skip("PostgreSQL reads small tables through, whatever indexes there are")
    statements: list[str] = []
    event.listen(stores.state.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    with stores.state.read() as connection:
        preflights.next_due(connection, NOW)
        plan = connection.execute(text(f"EXPLAIN QUERY PLAN {statements[-1].replace('?', '0')}")).all()
    assert any("preflights_due" in str(row) for row in plan), plan


@pytest.mark.parametrize("enabled", [True, False])
def test_secrets_that_rotate_already_are_spread_over_a_day_by_the_migration(
    unmigrated: Stores,  # noqa: F811 - the fixture
    enabled: bool,
) -> None:
    migrate(unmigrated, state="state_0012")
    with unmigrated.state.write() as transaction:
        for number in range(1, 9):
            transaction.connection.execute(
                text(
                    "INSERT INTO secrets (secret_id, account_id, region, arn, name, created_at, last_changed_at,"
                    f" rotation_enabled) VALUES ({number}, '000000000000', 'us-east-1', 'arn{number}', 'n{number}', 5,"
                    f" 6, {'TRUE' if enabled else 'FALSE'})"
                )
            )
    migrate(unmigrated)

    with unmigrated.state.read() as connection:
        moments = [row.due_at for row in connection.execute(schema.preflights.select())]
    assert len(set(moments)) == (8 if enabled else 0)
    assert not moments or max(moments) - min(moments) < DAY
