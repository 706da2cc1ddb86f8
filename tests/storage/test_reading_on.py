"""A later page takes no more work than the first: what was read before is not read again.

Work is counted in steps of SQLite's virtual machine, which are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from keyturn.clock import from_milliseconds
from keyturn.storage import function_logs, schema
from keyturn.storage.audit_lookup import Question, lookup
from keyturn.storage.database import Stores
from keyturn.storage.function_logs import LogPosition
from keyturn.storage.planned_rotations import PlannedFilter, load_planned

from .conftest import NOW, PLACE
from .trail import open_log, record, store

_EVENTS, _PAGE = 3_000, 50
# Of a page: what it reads, and what it takes to find its beginning.
_MOST_STEPS = 100 * _PAGE

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class _Steps:
    """Counts while something runs."""

    def __init__(self, connection: Connection) -> None:
        self._driver: Any = connection.connection.driver_connection
        self._count = 0

    def of(self, run: Callable[[], object]) -> int:
        self._count = 0
        self._driver.set_progress_handler(self._one, 1)
        run()
        self._driver.set_progress_handler(None, 1)
        return self._count

    def _one(self) -> int:
        self._count += 1
        return 0


@pytest.mark.parametrize("starts_ms", [1, None])
def test_events_of_a_log_group(stores: Stores, starts_ms: int | None) -> None:
    function_logs.append_events(
        stores.journal, PLACE, "group", "stream", [(number, "line") for number in range(1, _EVENTS)], NOW
    )
    with stores.journal.read() as connection:
        group = function_logs.load_group(connection, PLACE, "group")
        stream = function_logs.load_stream(connection, PLACE, "group", "stream")
        assert group is not None
        assert stream is not None
        late, early = LogPosition(_EVENTS - _PAGE, 0), LogPosition(_PAGE, 0)
        span: dict[str, Any] = {"starts_ms": starts_ms, "ends_ms": _EVENTS, "limit": _PAGE}
        steps = [
            _Steps(connection).of(run)
            for run in (
                lambda: function_logs.filter_events(connection, group, **span),
                lambda: function_logs.filter_events(connection, group, position=late, **span),
                lambda: function_logs.get_events(connection, stream, forward=True, **span),
                lambda: function_logs.get_events(connection, stream, forward=True, position=late, **span),
                lambda: function_logs.get_events(connection, stream, forward=False, **span),
                lambda: function_logs.get_events(connection, stream, forward=False, position=early, **span),
            )
        ]
    assert min(steps) > _PAGE
    assert max(steps) < _MOST_STEPS


def test_records_of_the_audit_trail(stores: Stores) -> None:
    store(open_log(stores), [record(number) for number in range(_EVENTS)])
    ends_at = 1000 * _EVENTS
    with stores.journal.read() as connection:
        steps = [
            _Steps(connection).of(partial(lookup, connection, Question(PLACE, ends_at=ends_at, before=before), _PAGE))
            for before in (None, (1000 * _PAGE, 0))
        ]
    assert min(steps) > _PAGE
    assert max(steps) < _MOST_STEPS


def test_planned_rotations(stores: Stores) -> None:
    rows = [
        {
            **schema.owner_of(PLACE),
            "arn": f"arn{number}",
            "name": f"n{number}",
            "created_at": NOW,
            "last_changed_at": NOW,
            "rotation_enabled": True,
            "next_rotation_at": NOW + timedelta(hours=number),
        }
        for number in range(_EVENTS)
    ]
    with stores.state.write() as transaction:
        transaction.connection.execute(insert(schema.secrets), rows)
    wanted = PlannedFilter(begin=from_milliseconds(0))
    with stores.state.read() as connection:
        [*_, last] = load_planned(connection, PLACE, wanted, NOW, after=None, limit=_EVENTS - _PAGE)
        steps = [
            _Steps(connection).of(partial(load_planned, connection, PLACE, wanted, NOW, after=after, limit=_PAGE - 1))
            for after in (None, last.position)
        ]
    assert min(steps) > _PAGE
    assert max(steps) < 4 * _MOST_STEPS


def test_a_few_in_trouble_among_many(stores: Stores) -> None:
    rows = [
        {
            **schema.owner_of(PLACE),
            "secret_id": 1 + number,
            "arn": f"arn{number}",
            "name": f"n{number}",
            "created_at": NOW,
            "last_changed_at": NOW,
            "rotation_enabled": True,
            "next_rotation_at": NOW + timedelta(hours=number),
        }
        for number in range(_EVENTS)
    ]
    looked_at = [
        {"secret_id": 1 + number, "verdict": "ready" if number else "will fail", "is_told": False}
        for number in range(_EVENTS)
    ]
    with stores.state.write() as transaction:
        transaction.connection.execute(insert(schema.secrets), rows)
        transaction.connection.execute(insert(schema.preflights), looked_at)
    wanted = PlannedFilter(is_troubled=True)
    with stores.state.read() as connection:
        found = load_planned(connection, PLACE, wanted, NOW, after=None, limit=_PAGE)
        steps = _Steps(connection).of(lambda: load_planned(connection, PLACE, wanted, NOW, after=None, limit=_PAGE))
    assert [one.name for one in found] == ["n0"]
    assert steps < _MOST_STEPS
