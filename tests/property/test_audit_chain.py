"""Whatever is done to a trail by somebody without the key is found, and where it begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.rules.audit_chain import START, ChainKey, Position
from keyturn.rules.audit_proof import Fault, FaultKind, Walk
from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.sensitive import Sensitive

KEY = ChainKey(Sensitive(b"k" * 32))
FOREIGN_KEY = ChainKey(Sensitive(b"f" * 32))

_text = st.text(max_size=4)
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
Trail = list[ChainedRecord]


def chained(records: list[AuditRecord], key: ChainKey = KEY, start: Position | None = None) -> Trail:
    sequence, link = start or Position(0, START)
    trail = []
    for record in records:
        sequence += 1
        link = key.link(link, sequence, record)
        trail.append(ChainedRecord(sequence, link, record))
    return trail


_trails = st.lists(_records, min_size=1, max_size=8).map(chained)


def check(trail: Trail) -> Fault | None:
    """What a reader finds who goes along the whole trail in one piece."""
    walk = Walk(KEY, Position(0, START))
    if walk.follow(trail):
        return None
    return walk.fault(trail[walk.count :])


@given(_trails, st.integers(1, 9))
def test_an_untouched_trail_is_whole_however_it_is_read(trail: Trail, step: int) -> None:
    walk = Walk(KEY, Position(0, START))
    for start in range(0, len(trail), step):
        assert walk.follow(trail[start : start + step])
    assert (walk.count, walk.head) == (len(trail), Position(trail[-1].sequence, trail[-1].link or b""))


@given(st.data(), _trails)
def test_any_changed_column_is_found_where_it_is(data: st.DataObject, trail: Trail) -> None:
    at = data.draw(st.integers(0, len(trail) - 1))
    column = data.draw(st.sampled_from(AuditRecord._fields))
    before = getattr(trail[at].record, column)
    other: Any = data.draw(st.none() | st.booleans() | st.integers(0, 9) | _text)
    if type(other) is type(before) and other == before:
        return
    trail[at] = trail[at]._replace(record=trail[at].record._replace(**{column: other}))

    fault = check(trail)
    assert fault is not None
    assert fault.sequence == at + 1
    assert fault.kind is (FaultKind.FOREIGN if at == len(trail) - 1 else FaultKind.CHANGED)


@given(st.data(), _trails)
def test_a_changed_link_is_found_where_it_is(data: st.DataObject, trail: Trail) -> None:
    at = data.draw(st.integers(0, len(trail) - 1))
    trail[at] = trail[at]._replace(link=data.draw(st.none() | st.binary(max_size=32)))

    fault = check(trail)
    assert fault is not None
    assert fault.sequence == at + 1
    assert fault.kind is (FaultKind.FOREIGN if at == len(trail) - 1 else FaultKind.CHANGED)


@given(st.data(), _trails)
def test_a_removed_record_is_found_where_it_was(data: st.DataObject, trail: Trail) -> None:
    at = data.draw(st.integers(0, len(trail) - 1))
    removed = data.draw(st.integers(1, len(trail) - at))
    if at + removed == len(trail):
        return  # What is cut off at the end is for anchors to find.
    del trail[at : at + removed]

    fault = check(trail)
    assert fault is not None
    assert (fault.kind, fault.sequence) == (FaultKind.REMOVED, at + 1)


@given(st.data(), _trails)
def test_a_removed_record_is_found_though_those_behind_it_were_renumbered(data: st.DataObject, trail: Trail) -> None:
    at = data.draw(st.integers(0, len(trail) - 1))
    if at == len(trail) - 1:
        return
    del trail[at]
    trail[at:] = [stored._replace(sequence=stored.sequence - 1) for stored in trail[at:]]

    fault = check(trail)
    assert fault is not None
    assert fault.sequence == at + 1
    assert fault.kind is (FaultKind.REMOVED if at < len(trail) - 1 else FaultKind.FOREIGN)


@given(st.data(), _trails)
def test_two_records_that_were_exchanged_are_found(data: st.DataObject, trail: Trail) -> None:
    first, second = sorted(data.draw(st.tuples(*[st.integers(0, len(trail) - 1)] * 2)))
    if first == second:
        return
    trail[first], trail[second] = (
        trail[second]._replace(sequence=first + 1),
        trail[first]._replace(sequence=second + 1),
    )

    fault = check(trail)
    assert fault is not None
    assert (fault.kind, fault.sequence) == (FaultKind.MOVED, first + 1)
    assert f"stored as record {second + 1}" in fault.message


@given(st.data(), _trails, _records)
def test_an_inserted_record_is_found(data: st.DataObject, trail: Trail, record: AuditRecord) -> None:
    at = data.draw(st.integers(0, len(trail)))
    link = data.draw(st.none() | st.binary(min_size=32, max_size=32) | st.sampled_from([one.link for one in trail]))
    behind = [stored._replace(sequence=stored.sequence + 1) for stored in trail[at:]]
    inserted = ChainedRecord(at + 1, link, record)
    # A copy of the record that was there is that record, and the one that does not belong is the one behind it.
    is_copy = trail[at : at + 1] == [inserted]
    trail[at:] = [inserted, *behind]

    fault = check(trail)
    assert fault is not None
    assert fault.sequence == at + 1 + is_copy
    assert fault.kind is (FaultKind.MOVED if behind[is_copy:] else FaultKind.FOREIGN)


@given(st.data(), _trails, st.lists(_records, min_size=1, max_size=5))
def test_what_somebody_without_the_key_has_written_is_found(
    data: st.DataObject, trail: Trail, records: list[AuditRecord]
) -> None:
    at = data.draw(st.integers(0, len(trail)))
    start = Position(at, (trail[at - 1].link or b"") if at else START)
    trail[at:] = chained(records, FOREIGN_KEY, start)

    fault = check(trail)
    assert fault is not None
    assert fault.sequence == at + 1


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda trail: trail[:2] + trail[3:], "Record 3 is missing."),
        (lambda trail: trail[:1] + trail[4:], "Records 2 to 4 are missing."),
        (lambda trail: [*trail[:2], trail[2]._replace(link=b""), *trail[3:]], "Record 3 was changed."),
    ],
)
def test_the_fault_says_what_is_wrong(tamper: Callable[[Trail], Trail], message: str) -> None:
    record = AuditRecord("", "", "", 0, "", "", None, None, True, None, None, None, "", "")
    fault = check(tamper(chained([record] * 6)))
    assert fault is not None
    assert fault.message == message
