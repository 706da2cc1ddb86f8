from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from keyturn.clock import to_milliseconds
from keyturn.storage import function_logs, schema
from keyturn.storage.database import StorageError, Stores
from keyturn.storage.function_logs import LogGroupRecord, LogPage, LogPosition, LogStreamRecord

from .conftest import NOW, PLACE, OpenStores

_GROUP = "/aws/lambda/rotate"
_NOW_MS = to_milliseconds(NOW)
_DEADLINE_SECONDS = 20


def _group(stores: Stores, name: str = _GROUP) -> LogGroupRecord:
    with stores.journal.read() as connection:
        found = function_logs.load_group(connection, PLACE, name)
    assert found is not None
    return found


def _stream(stores: Stores, name: str, group: str = _GROUP) -> LogStreamRecord:
    with stores.journal.read() as connection:
        found = function_logs.load_stream(connection, PLACE, group, name)
    assert found is not None
    return found


def _append(stores: Stores, stream: str, *lines: tuple[int, str], group: str = _GROUP) -> None:
    function_logs.append_events(stores.journal, PLACE, group, stream, lines, NOW)


def _messages(page: LogPage) -> list[str]:
    return [event.message for event in page.events]


def test_the_first_lines_make_their_group_and_stream(stores: Stores) -> None:
    _append(stores, "stream", (20, "second"), (10, "first"))

    group, stream = _group(stores), _stream(stores, "stream")
    assert (group.created_ms, group.retention_days) == (_NOW_MS, None)
    assert (stream.group_id, stream.created_ms) == (group.group_id, _NOW_MS)
    assert (stream.first_event_ms, stream.last_event_ms, stream.last_ingestion_ms) == (10, 20, _NOW_MS)


def test_later_lines_move_the_stream_s_moments_outwards_only(stores: Stores) -> None:
    later = NOW + timedelta(seconds=1)
    _append(stores, "stream", (20, "a"), (30, "b"))
    function_logs.append_events(stores.journal, PLACE, _GROUP, "stream", [(25, "c")], later)
    inside = _stream(stores, "stream")
    _append(stores, "stream", (10, "d"), (40, "e"))
    outside = _stream(stores, "stream")

    assert (inside.first_event_ms, inside.last_event_ms, inside.last_ingestion_ms) == (20, 30, _NOW_MS + 1_000)
    assert (outside.first_event_ms, outside.last_event_ms) == (10, 40)


def test_no_lines_still_make_the_stream(stores: Stores) -> None:
    _append(stores, "stream")

    stream = _stream(stores, "stream")
    assert (stream.first_event_ms, stream.last_event_ms, stream.last_ingestion_ms) == (None, None, None)


def test_whatever_a_function_prints_is_stored(stores: Stores) -> None:
    _append(stores, "stream", (1, "Zoë 🔑\n"), (1, "nul\0here"), (1, "half\ud800"), (1, ""), (1, "x" * 300_000))

    with stores.journal.read() as connection:
        page = function_logs.filter_events(connection, _group(stores), limit=10)
    assert _messages(page) == ["Zoë 🔑\n", "nul\ufffdhere", "half?", "", "x" * 300_000]


def test_streams_of_one_name_in_two_groups_are_two(stores: Stores) -> None:
    _append(stores, "stream", (1, "one"), group="one")
    _append(stores, "stream", (2, "two"), group="two")

    with stores.journal.read() as connection:
        page = function_logs.get_events(connection, _stream(stores, "stream", "two"), forward=True, limit=10)
    assert _messages(page) == ["two"]


def test_environments_that_start_together_share_a_new_group(stores: Stores, open_stores: OpenStores) -> None:
    servers = [open_stores(), open_stores()]
    threads = [
        threading.Thread(target=_append, args=(server, f"stream-{number}", (number, "line")))
        for number, server in enumerate(servers * 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_DEADLINE_SECONDS)

    with stores.journal.read() as connection:
        assert len(function_logs.list_groups(connection, PLACE, limit=10)) == 1
        assert len(function_logs.list_streams(connection, _group(stores), limit=10)) == 6


def test_groups_and_streams_are_made_once(stores: Stores) -> None:
    with stores.journal.write() as transaction:
        assert function_logs.create_group(transaction, PLACE, _GROUP, NOW)
        assert not function_logs.create_group(transaction, PLACE, _GROUP, NOW + timedelta(days=1))
        group = function_logs.load_group(transaction.connection, PLACE, _GROUP)
        assert group is not None
        assert function_logs.create_stream(transaction, group, "stream", NOW)
        assert not function_logs.create_stream(transaction, group, "stream", NOW)

    assert _group(stores).created_ms == _NOW_MS


def test_retention_is_set_and_taken_back(stores: Stores) -> None:
    _append(stores, "stream")
    for days in (14, None):
        with stores.journal.write() as transaction:
            function_logs.store_retention(transaction, _group(stores), days)
        assert _group(stores).retention_days == days


def test_a_group_that_is_deleted_takes_streams_and_events_along(stores: Stores) -> None:
    _append(stores, "stream", (1, "gone"))
    _append(stores, "stream", (1, "stays"), group="other")
    with stores.journal.write() as transaction:
        function_logs.delete_group(transaction, _group(stores))

    with stores.journal.read() as connection:
        assert function_logs.load_group(connection, PLACE, _GROUP) is None
        assert function_logs.load_stream(connection, PLACE, _GROUP, "stream") is None
        assert connection.execute(schema.log_events.select()).one().message == "stays"


def test_a_stream_that_is_deleted_takes_its_events_along_and_no_event_id_returns(stores: Stores) -> None:
    _append(stores, "stream", (1, "gone"))
    with stores.journal.read() as connection:
        (before,) = function_logs.filter_events(connection, _group(stores), limit=1).events
    with stores.journal.write() as transaction:
        function_logs.delete_stream(transaction, _stream(stores, "stream"))
    _append(stores, "stream", (1, "new"))

    with stores.journal.read() as connection:
        (after,) = function_logs.filter_events(connection, _group(stores), limit=10).events
    assert (after.message, after.event_row > before.event_row) == ("new", True)


def test_groups_are_listed_by_name_in_pages(stores: Stores) -> None:
    for name in ("b", "a", "C", "a_b", "aXb", "/aws/lambda/x"):
        _append(stores, "stream", group=name)

    with stores.journal.read() as connection:

        def names(**asked: str) -> list[str]:
            return [group.name for group in function_logs.list_groups(connection, PLACE, limit=3, **asked)]

        assert names() == ["/aws/lambda/x", "C", "a"]
        assert names(after="a") == ["aXb", "a_b", "b"]
        assert names(prefix="a_") == ["a_b"]
        assert names(prefix="A") == []
        assert names(contains="lambda") == ["/aws/lambda/x"]
        assert names(contains="LAMBDA") == []
        assert names(contains="_") == ["a_b"]


def test_streams_are_listed_by_name_or_by_their_last_event(stores: Stores) -> None:
    _append(stores, "b", (30, "x"))
    _append(stores, "a", (10, "x"))
    _append(stores, "silent")
    _append(stores, "c", (30, "x"))
    _append(stores, "elsewhere", (50, "x"), group="other")
    group = _group(stores)

    with stores.journal.read() as connection:

        def pages(*, prefix: str = "", by_last_event: bool = False, descending: bool = False) -> list[list[str]]:
            found: list[list[str]] = []
            after = None
            while page := function_logs.list_streams(
                connection,
                group,
                prefix=prefix,
                by_last_event=by_last_event,
                descending=descending,
                after=after,
                limit=3,
            ):
                found.append([stream.name for stream in page])
                after = page[-1]
            return found

        assert pages() == [["a", "b", "c"], ["silent"]]
        assert pages(descending=True) == [["silent", "c", "b"], ["a"]]
        assert pages(by_last_event=True) == [["silent", "a", "b"], ["c"]]
        assert pages(by_last_event=True, descending=True) == [["c", "b", "a"], ["silent"]]
        assert pages(prefix="s") == [["silent"]]
        assert pages(prefix="S") == []


@pytest.fixture
def five(stores: Stores) -> LogStreamRecord:
    _append(stores, "stream", (10, "1"), (20, "2"), (20, "3"), (20, "4"), (30, "5"))
    return _stream(stores, "stream")


def test_a_stream_is_read_forward_to_its_end_where_the_position_stays(stores: Stores, five: LogStreamRecord) -> None:
    seen: list[list[str]] = []
    position = None
    with stores.journal.read() as connection:
        while True:
            page = function_logs.get_events(connection, five, position=position, forward=True, limit=2)
            if page.forward == position:
                break
            seen.append(_messages(page))
            position = page.forward

    assert seen == [["1", "2"], ["3", "4"], ["5"]]
    assert page.events == []


def test_what_arrives_later_is_read_from_the_position_at_the_end(stores: Stores, five: LogStreamRecord) -> None:
    with stores.journal.read() as connection:
        end = function_logs.get_events(connection, five, forward=True, limit=10).forward
    _append(stores, "stream", (30, "6"), (31, "7"))

    with stores.journal.read() as connection:
        assert _messages(function_logs.get_events(connection, five, position=end, forward=True, limit=10)) == ["6", "7"]


def test_a_stream_is_read_backward_from_its_newest_events_which_are_shown_oldest_first(
    stores: Stores, five: LogStreamRecord
) -> None:
    seen: list[list[str]] = []
    position = None
    with stores.journal.read() as connection:
        while (
            page := function_logs.get_events(connection, five, position=position, forward=False, limit=2)
        ).backward != position:
            seen.append(_messages(page))
            position = page.backward

    assert seen == [["4", "5"], ["2", "3"], ["1"]]


def test_turning_round_repeats_no_event_and_misses_none(stores: Stores, five: LogStreamRecord) -> None:
    with stores.journal.read() as connection:
        first = function_logs.get_events(connection, five, forward=True, limit=2)
        second = function_logs.get_events(connection, five, position=first.forward, forward=True, limit=2)
        back = function_logs.get_events(connection, five, position=second.backward, forward=False, limit=5)
        end = function_logs.get_events(connection, five, position=second.forward, forward=True, limit=5)
        beyond = function_logs.get_events(connection, five, position=end.forward, forward=True, limit=5)
        last = function_logs.get_events(connection, five, position=beyond.backward, forward=False, limit=1)

    assert (_messages(second), _messages(back)) == (["3", "4"], ["1", "2"])
    assert (_messages(end), _messages(beyond), _messages(last)) == (["5"], [], ["5"])


def test_a_stream_s_time_range_includes_its_start_and_not_its_end(stores: Stores, five: LogStreamRecord) -> None:
    with stores.journal.read() as connection:

        def within(starts_ms: int | None, ends_ms: int | None, *, forward: bool = True) -> list[str]:
            return _messages(
                function_logs.get_events(
                    connection, five, starts_ms=starts_ms, ends_ms=ends_ms, forward=forward, limit=10
                )
            )

        assert within(20, 30) == ["2", "3", "4"]
        assert within(20, None, forward=False) == ["2", "3", "4", "5"]
        assert within(None, 20) == ["1"]


def test_an_empty_stream_has_positions_from_which_later_events_are_read(stores: Stores) -> None:
    _append(stores, "stream")
    stream = _stream(stores, "stream")
    with stores.journal.read() as connection:
        empty = function_logs.get_events(connection, stream, forward=False, limit=10)
    _append(stores, "stream", (5, "first"))

    with stores.journal.read() as connection:
        page = function_logs.get_events(connection, stream, position=empty.forward, forward=True, limit=10)
    assert (empty.events, _messages(page)) == ([], ["first"])


@pytest.fixture
def interleaved(stores: Stores) -> LogGroupRecord:
    _append(stores, "2026/a", (10, "a1"), (30, "a3"), (30, "a3 again"))
    _append(stores, "2026/b", (20, "b2"), (30, "b3"), (40, "b4"))
    _append(stores, "2027/c", (25, "c"))
    _append(stores, "2026/a", (26, "elsewhere"), group="other")
    return _group(stores)


def test_a_group_s_events_are_ordered_by_time_and_then_by_arrival(stores: Stores, interleaved: LogGroupRecord) -> None:
    with stores.journal.read() as connection:
        page = function_logs.filter_events(connection, interleaved, limit=10)

    assert _messages(page) == ["a1", "b2", "c", "a3", "a3 again", "b3", "b4"]
    assert page.events[0].stream_name == "2026/a"
    assert (page.events[0].timestamp_ms, page.events[0].ingested_ms) == (10, _NOW_MS)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_of_a_group_miss_nothing_even_within_one_millisecond(
    stores: Stores, interleaved: LogGroupRecord, limit: int
) -> None:
    seen: list[str] = []
    position: LogPosition | None = None
    with stores.journal.read() as connection:
        while (page := function_logs.filter_events(connection, interleaved, position=position, limit=limit)).events:
            seen += _messages(page)
            position = page.forward

    assert seen == ["a1", "b2", "c", "a3", "a3 again", "b3", "b4"]


def test_a_group_s_events_are_filtered_by_stream_and_time(stores: Stores, interleaved: LogGroupRecord) -> None:
    with stores.journal.read() as connection:

        def messages(**asked: object) -> list[str]:
            return _messages(function_logs.filter_events(connection, interleaved, limit=10, **asked))  # type: ignore[arg-type]  # passed on as asked

        assert messages(streams=["2026/b", "2027/c"]) == ["b2", "c", "b3", "b4"]
        assert messages(stream_prefix="2026/") == ["a1", "b2", "a3", "a3 again", "b3", "b4"]
        assert messages(starts_ms=25, ends_ms=30) == ["c", "a3", "a3 again", "b3"]
        assert messages(streams=["nowhere"]) == []


def test_lines_that_cannot_be_stored_leave_neither_group_nor_stream(stores: Stores) -> None:
    # A timestamp that no column holds stands for any failure after the stream was made.
    with pytest.raises((StorageError, OverflowError)):
        _append(stores, "stream", (2**70, "line"))

    with stores.journal.read() as connection:
        assert function_logs.load_group(connection, PLACE, _GROUP) is None


def test_a_line_is_found_by_how_it_begins_within_a_time_and_a_group(stores: Stores) -> None:
    _append(stores, "a", (_NOW_MS, "START 1"), (_NOW_MS + 1, "start 2"), (_NOW_MS + 2, "is START 2"))
    _append(stores, "b", (_NOW_MS + 3, "START 2 of b"), (_NOW_MS + 4, "START 2 again"))
    _append(stores, "c", (_NOW_MS, "START 2 of another group"), group="other")

    def find(text: str, starts_ms: int = _NOW_MS, ends_ms: int = _NOW_MS + 9) -> tuple[str, int] | None:
        with stores.journal.read() as connection:
            found = function_logs.find_line(
                connection, _group(stores), text, within=("id: 2", "id:2"), starts_ms=starts_ms, ends_ms=ends_ms
            )
        return None if found is None else (found[0].name, found[1].timestamp_ms - _NOW_MS)

    assert find("START 2") == ("b", 3)
    assert find("START 2", starts_ms=_NOW_MS + 4) == ("b", 4)
    assert find("START 2", ends_ms=_NOW_MS + 2) is None
    assert find("START 3") is None
    assert find("START 1") == ("a", 0)
    _append(stores, "d", (_NOW_MS + 5, "{id:2}"), (_NOW_MS + 6, "{id: 2}"))
    assert find("none") == ("d", 5)
    assert find("none", starts_ms=_NOW_MS + 6) == ("d", 6)


def test_where_a_line_is_found_its_stream_is_read_on(stores: Stores) -> None:
    _append(stores, "a", (_NOW_MS, "before"), (_NOW_MS, "START 1"), (_NOW_MS, "behind"))

    with stores.journal.read() as connection:
        found = function_logs.find_line(
            connection, _group(stores), "START", within=("-", "-"), starts_ms=_NOW_MS, ends_ms=_NOW_MS
        )
        assert found is not None
        stream, position = found
        page = function_logs.get_events(connection, stream, position=position, forward=True, limit=9)

    assert stream == _stream(stores, "a")
    assert _messages(page) == ["START 1", "behind"]


def test_a_line_is_looked_for_along_an_index(stores: Stores) -> None:
    """Of a group with millions of events those of the time in question are looked at."""
    if not stores.journal.dialect.is_embedded:
        pytest.skip("PostgreSQL reads small tables through, whatever indexes there are")
    _append(stores, "a", (_NOW_MS, "START 1"))
    group = _group(stores)
    seen: list[str] = []
    with stores.journal.read() as connection:
        execute = connection.execute

        def explain(statement: Any, parameters: dict[str, object]) -> Any:
            compiled = statement.params(**parameters).compile(connection, compile_kwargs={"literal_binds": True})
            seen.extend(row[3] for row in execute(text(f"EXPLAIN QUERY PLAN {compiled}")))
            return execute(statement, parameters)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(connection, "execute", explain)
            function_logs.find_line(connection, group, "START", within=("-", "-"), starts_ms=_NOW_MS, ends_ms=_NOW_MS)

    assert [step for step in seen if "log_events_of_group (group_id=? AND timestamp_ms>? AND timestamp_ms<?)" in step]
    assert not [step for step in seen if step.startswith("SCAN") or "TEMP B-TREE" in step]
