"""Any single thing that somebody does to the stored trail is found: whatever is stored, and wherever it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from keyturn.rules.audit_chain import ChainKey
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.audit_report import Known
from keyturn.sensitive import Sensitive
from keyturn.storage import audit_log, schema
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_verify import verify
from keyturn.storage.database import Stores

KEY = ChainKey(Sensitive(b"k" * 32))
NOW = datetime(2026, 3, 4, tzinfo=UTC)
_events = schema.audit_events
_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
_records = st.builds(
    AuditRecord,
    account_id=_text,
    region=_text,
    event_id=_text,
    event_time=st.integers(0, 2**40),
    event_source=_text,
    event_name=_text,
    username=st.none() | _text,
    access_key_id=st.none() | _text,
    read_only=st.booleans(),
    resource_name=st.none() | _text,
    resource_type=st.none() | _text,
    error_code=st.none() | _text,
    request_id=_text,
    event=_text,
)
_logs = st.lists(_records, min_size=1, max_size=6)


@contextmanager
def trail(directory: Path, records: list[AuditRecord]) -> Iterator[tuple[Stores, list[Known]]]:
    """A trail without the triggers that would be in the way, and what is known of its head."""
    stores = Stores.open(f"sqlite:///{directory}/keyturn.db")
    try:
        schema.state.create_all(stores.state.engine, tables=[schema.changes, schema.settings])
        schema.journal.create_all(stores.journal.engine)
        log = AuditLog(stores.journal, KEY)
        log.begin(NOW)
        log.append(records)
        assert log.head is not None
        yield stores, [Known(log.head, "then")]
    finally:
        stores.close()


def is_found(stores: Stores, known: list[Known]) -> bool:
    return bool(verify(stores, KEY, known, lambda *_: None).faults)


@settings(max_examples=40)
@given(data=st.data(), records=_logs)
def test_a_change_of_any_column_is_found(
    data: st.DataObject, records: list[AuditRecord], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with trail(tmp_path_factory.mktemp("t"), records) as (stores, known):
        assert not is_found(stores, known)
        column = data.draw(st.sampled_from([column for column in _events.columns if column.name != "sequence"]))
        at = data.draw(st.integers(1, len(records)))
        values = {"event_time": st.integers(0, 2**40), "read_only": st.booleans(), "link": st.binary(max_size=33)}
        value = data.draw(values.get(column.name, _text))
        with stores.journal.write() as transaction:
            here = _events.c.sequence == at
            before = transaction.connection.execute(select(column).where(here)).scalar_one()
            transaction.connection.execute(update(_events).where(here).values({column: value}))

        assert is_found(stores, known) is (value != before)


@settings(max_examples=40)
@given(data=st.data(), records=_logs)
def test_any_removal_exchange_or_insertion_is_found(
    data: st.DataObject, records: list[AuditRecord], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with trail(tmp_path_factory.mktemp("t"), records) as (stores, known):
        first = data.draw(st.integers(1, len(records)))
        second = data.draw(st.integers(1, len(records)))
        act = data.draw(st.sampled_from(["remove", "remove and renumber", "exchange", "insert", "cut off"]))
        if act == "exchange" and first == second:
            return
        with stores.journal.write() as transaction:
            connection = transaction.connection

            def move(source: int, target: int) -> None:
                connection.execute(update(_events).where(_events.c.sequence == source).values(sequence=target))

            def shift(behind: int, by: int) -> None:
                numbers = range(behind + 1, len(records) + 1)
                for number in reversed(numbers) if by > 0 else numbers:
                    move(number, number + by)

            if act.startswith("remove"):
                connection.execute(delete(_events).where(_events.c.sequence == first))
                if act == "remove and renumber":
                    shift(first, -1)
            elif act == "cut off":
                connection.execute(delete(_events).where(_events.c.sequence >= first))
            elif act == "exchange":
                for source, target in ((first, 0), (second, first), (0, second)):
                    move(source, target)
            else:
                copied = audit_log.records_after(connection, second - 1, 1)[0]
                shift(first - 1, 1)
                values = {**copied.record._asdict(), "sequence": first, "link": copied.link}
                connection.execute(insert(_events), values)

        assert is_found(stores, known)


@settings(max_examples=40)
@given(data=st.data(), records=_logs)
def test_whatever_else_is_done_when_the_beginning_is_removed_is_found_and_stays_so(
    data: st.DataObject, records: list[AuditRecord], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with trail(tmp_path_factory.mktemp("t"), records) as (stores, known):
        numbers = st.sets(st.integers(1, len(records)))
        removed, unlinked, moved = (data.draw(numbers, name) for name in ("removed", "unlinked", "moved"))
        with stores.journal.write() as transaction:
            connection = transaction.connection
            connection.execute(delete(schema.audit_marks))
            connection.execute(delete(_events).where(_events.c.sequence.in_(removed)))
            connection.execute(update(_events).where(_events.c.sequence.in_(unlinked)).values(link=None))
            for number in moved:
                connection.execute(update(_events).where(_events.c.sequence == number).values(sequence=number + 1000))
        assert is_found(stores, known)

        # Whoever keeps a head elsewhere finds it even if nothing on the machine knows that there was a beginning.
        log = AuditLog(stores.journal, KEY)
        log.begin(NOW, has_begun=data.draw(st.booleans(), "has begun"))
        log.append([record._replace(request_id="afterwards") for record in records])
        assert is_found(stores, known)
