from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Table, func, select

from keyturn.operations.secretsmanager.search import LIST_LIFETIME
from keyturn.rules.lanes import Limits
from keyturn.scheduler.worker import Scheduler
from keyturn.storage import kept, schema
from keyturn.testing.handlers import HandlerBench, open_bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        yield opened


def count(bench: HandlerBench, table: Table) -> int:
    with bench.kit.state.read() as connection:
        number: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
    return number


def test_the_scheduler_forgets_what_no_list_and_no_server_needs_any_more(
    bench: HandlerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_CHANGES_KEPT", 2)
    scheduler = Scheduler(bench.kit, Limits(16, 8, 4))
    for number in range(3):
        bench.call(
            "secretsmanager", "CreateSecret", Name=f"s{number}", SecretString="x", ClientRequestToken=f"{number:032}"
        )
    moves = count(bench, schema.secret_moves)
    assert moves == 3

    # Lists that began before these moves can be read on for their lifetime; a write may have begun as long before.
    bench.clock.advance(2 * LIST_LIFETIME)
    scheduler.run_once()
    assert (count(bench, schema.secret_moves), count(bench, schema.changes)) == (moves, 2)

    bench.clock.advance(timedelta(minutes=10))
    scheduler.run_once()
    assert count(bench, schema.secret_moves) == 0
