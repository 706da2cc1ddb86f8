from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.logs import InvalidParameterException, ResourceNotFoundException
from keyturn.operations.logs import events
from keyturn.testing.handlers import HandlerBench, open_bench

NOW_MS = 1767323045000
HOUR_MS = 3600 * 1000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        opened.call("logs", "CreateLogGroup", logGroupName="g")
        for stream in ("s", "t"):
            opened.call("logs", "CreateLogStream", logGroupName="g", logStreamName=stream)
        yield opened


def put(bench: HandlerBench, *events: tuple[int, str], stream: str = "s") -> Any:
    batch = [{"timestamp": timestamp_ms, "message": message} for timestamp_ms, message in events]
    return bench.call("logs", "PutLogEvents", logGroupName="g", logStreamName=stream, logEvents=batch)


def get(bench: HandlerBench, **request: Any) -> Any:
    return bench.call("logs", "GetLogEvents", logGroupName="g", logStreamName="s", **request)


def filter_(bench: HandlerBench, **request: Any) -> Any:
    return bench.call("logs", "FilterLogEvents", logGroupName="g", **request)


def messages(response: Any) -> list[str]:
    return [event["message"] for event in response["events"]]


def test_events_are_stored_and_read_again(bench: HandlerBench) -> None:
    assert "rejectedLogEventsInfo" not in put(bench, (NOW_MS - 1, "a"), (NOW_MS, "b"))

    assert get(bench)["events"] == [
        {"timestamp": NOW_MS - 1, "message": "a", "ingestionTime": NOW_MS},
        {"timestamp": NOW_MS, "message": "b", "ingestionTime": NOW_MS},
    ]


def test_events_too_old_or_too_new_are_left_out_without_an_error(bench: HandlerBench) -> None:
    new_ms = NOW_MS + 2 * HOUR_MS
    assert put(bench, (NOW_MS, "kept"), (new_ms, "just in time"), (new_ms + 1, "too new"))["rejectedLogEventsInfo"] == {
        "tooNewLogEventStartIndex": 2
    }
    old_ms = NOW_MS - 14 * DAY_MS
    assert put(bench, (old_ms - 1, "too old"), (old_ms, "old"))["rejectedLogEventsInfo"] == {
        "tooOldLogEventEndIndex": 1
    }

    assert messages(get(bench)) == ["old", "kept", "just in time"]
    assert put(bench, (NOW_MS - 15 * DAY_MS, "all of it"))["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}


def test_events_beyond_the_retention_have_expired_when_they_come_and_when_they_are_read(bench: HandlerBench) -> None:
    bench.call("logs", "PutRetentionPolicy", logGroupName="g", retentionInDays=1)

    rejected = put(bench, (NOW_MS - DAY_MS - 1, "expired"), (NOW_MS - 1, "kept"))["rejectedLogEventsInfo"]
    assert rejected == {"expiredLogEventEndIndex": 1}
    assert messages(get(bench)) == messages(filter_(bench)) == ["kept"]

    bench.clock.advance(timedelta(days=1))
    assert messages(get(bench)) == messages(filter_(bench)) == []
    bench.call("logs", "DeleteRetentionPolicy", logGroupName="g")
    assert messages(get(bench)) == ["kept"]


def test_a_batch_is_in_chronological_order_and_spans_a_day_at_most(bench: HandlerBench) -> None:
    with pytest.raises(InvalidParameterException) as refused:
        put(bench, (NOW_MS, "b"), (NOW_MS - 1, "a"))
    assert refused.value.message == "Log events in a single PutLogEvents request must be in chronological order."
    put(bench, (NOW_MS - DAY_MS, "a"), (NOW_MS, "b"))
    with pytest.raises(InvalidParameterException, match="cannot span more than 24 hours"):
        put(bench, (NOW_MS - DAY_MS - 1, "a"), (NOW_MS, "b"))


def test_a_batch_has_1_mb_at_most_26_bytes_an_event_included(bench: HandlerBench) -> None:
    half = "x" * (524_288 - 26)

    put(bench, (NOW_MS, half), (NOW_MS, half))
    with pytest.raises(InvalidParameterException, match="Upload too large: 1048577 bytes"):
        put(bench, (NOW_MS, half), (NOW_MS, half + "x"))
    with pytest.raises(InvalidParameterException, match="Log event too large"):
        put(bench, (NOW_MS, "ä" * 524_288))


def test_without_a_token_the_newest_events_come_and_in_order(bench: HandlerBench) -> None:
    put(bench, *[(NOW_MS + number, str(number)) for number in range(5)])

    assert messages(get(bench, limit=2)) == ["3", "4"]
    assert messages(get(bench, limit=2, startFromHead=True)) == ["0", "1"]


def test_tokens_lead_forward_to_an_end_where_they_stay_the_same(bench: HandlerBench) -> None:
    put(bench, *[(NOW_MS, str(number)) for number in range(5)])

    seen: list[str] = []
    page = get(bench, limit=2, startFromHead=True)
    while True:
        seen += messages(page)
        token = page["nextForwardToken"]
        page = get(bench, limit=2, nextToken=token)
        if page["nextForwardToken"] == token:
            break

    assert seen == ["0", "1", "2", "3", "4"]
    assert messages(page) == []
    put(bench, (NOW_MS, "new"))
    assert messages(get(bench, nextToken=token)) == ["new"]


def test_tokens_lead_back_to_an_end_where_they_stay_the_same(bench: HandlerBench) -> None:
    put(bench, *[(NOW_MS + number, str(number)) for number in range(5)])

    seen: list[str] = []
    page = get(bench, limit=2)
    while True:
        seen = messages(page) + seen
        token = page["nextBackwardToken"]
        page = get(bench, limit=2, nextToken=token)
        if page["nextBackwardToken"] == token:
            break

    assert seen == ["0", "1", "2", "3", "4"]
    assert messages(get(bench, limit=2, nextToken=page["nextForwardToken"])) == ["0", "1"]


def test_an_empty_stream_has_tokens_that_wait(bench: HandlerBench) -> None:
    page = get(bench)

    again = get(bench, nextToken=page["nextForwardToken"])
    assert (messages(again), again["nextForwardToken"]) == ([], page["nextForwardToken"])
    put(bench, (NOW_MS, "first"))
    assert messages(get(bench, nextToken=page["nextForwardToken"])) == ["first"]


def test_the_end_of_a_span_is_exclusive_for_get_and_inclusive_for_filter(bench: HandlerBench) -> None:
    put(bench, (NOW_MS, "a"), (NOW_MS + 1, "b"), (NOW_MS + 2, "c"))
    span = {"startTime": NOW_MS + 1, "endTime": NOW_MS + 2}

    assert messages(get(bench, **span)) == ["b"]
    assert messages(filter_(bench, **span)) == ["b", "c"]


def test_a_page_ends_at_1_mb(bench: HandlerBench) -> None:
    for number in range(3):
        put(bench, (NOW_MS + number, f"{number}" + "x" * 500_000))

    page = get(bench, startFromHead=True)
    assert [message[0] for message in messages(page)] == ["0", "1"]
    assert [message[0] for message in messages(get(bench, nextToken=page["nextForwardToken"]))] == ["2"]
    assert [message[0] for message in messages(get(bench))] == ["1", "2"]
    first = filter_(bench)
    rest = filter_(bench, nextToken=first["nextToken"])
    assert [message[0] for message in messages(first) + messages(rest)] == ["0", "1", "2"]


@pytest.mark.parametrize("token", ["f/made-up", "b/", "x", "f"])
def test_tokens_cannot_be_made_up(bench: HandlerBench, token: str) -> None:
    for operation in (get, filter_):
        with pytest.raises(InvalidParameterException) as refused:
            operation(bench, nextToken=token)
        assert refused.value.message == "The specified nextToken is invalid."


def test_tokens_fit_one_stream_and_one_question(bench: HandlerBench) -> None:
    put(bench, (NOW_MS, "a"), (NOW_MS, "a"))
    stream_token = get(bench)["nextForwardToken"]
    filter_token = filter_(bench, limit=1)["nextToken"]

    with pytest.raises(InvalidParameterException):
        bench.call("logs", "GetLogEvents", logGroupName="g", logStreamName="t", nextToken=stream_token)
    with pytest.raises(InvalidParameterException):
        filter_(bench, nextToken=filter_token, filterPattern="b")
    with pytest.raises(InvalidParameterException):
        get(bench, nextToken=filter_token)


def test_streams_are_interleaved_by_time(bench: HandlerBench) -> None:
    put(bench, (NOW_MS, "1"), (NOW_MS + 2, "3"))
    put(bench, (NOW_MS + 1, "2"), (NOW_MS + 2, "4"), stream="t")

    found = filter_(bench, interleaved=True)

    assert messages(found) == ["1", "2", "3", "4"]
    assert [event["logStreamName"] for event in found["events"]] == ["s", "t", "s", "t"]
    assert found["searchedLogStreams"] == []
    assert "nextToken" not in found


def test_an_event_id_never_changes_and_is_given_once(bench: HandlerBench) -> None:
    put(bench, (NOW_MS, "same"), (NOW_MS, "same"))

    first, again = filter_(bench)["events"], filter_(bench, startTime=NOW_MS)["events"]

    assert first == again
    assert len({event["eventId"] for event in first}) == 2
    assert all(len(event["eventId"]) == 56 for event in first)


def test_streams_are_chosen_by_name_or_by_prefix(bench: HandlerBench) -> None:
    put(bench, (NOW_MS, "1"))
    put(bench, (NOW_MS, "2"), stream="t")

    assert messages(filter_(bench, logStreamNames=["t"])) == ["2"]
    assert messages(filter_(bench, logStreamNamePrefix="s")) == ["1"]
    with pytest.raises(InvalidParameterException, match="mutually exclusive"):
        filter_(bench, logStreamNames=["t"], logStreamNamePrefix="s")
    with pytest.raises(ResourceNotFoundException, match="log stream"):
        filter_(bench, logStreamNames=["t", "none"])


def test_a_pattern_chooses_events_and_pages_go_on_behind_those_it_left_out(bench: HandlerBench) -> None:
    put(bench, *[(NOW_MS + number, f"{'ERROR' if number % 300 == 0 else 'fine'} {number}") for number in range(1000)])

    first = filter_(bench, filterPattern="ERROR", limit=3)
    rest = filter_(bench, filterPattern="ERROR", limit=3, nextToken=first["nextToken"])

    assert messages(first) == ["ERROR 0", "ERROR 300", "ERROR 600"]
    assert messages(rest) == ["ERROR 900"]
    assert "nextToken" not in rest


@pytest.mark.parametrize("pattern", ["needle", "-hay", "{ $.a = 1 }"])
def test_a_search_looks_at_a_bounded_number_of_events_for_one_answer(
    bench: HandlerBench, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setattr(events, "_SCAN_LIMIT", 200)
    monkeypatch.setattr(events, "_SEARCH_LIMIT", 200)
    put(bench, *[(NOW_MS + number, "hay") for number in range(201)], (NOW_MS + 201, '{"a": 1, "needle": 2}'))

    first = filter_(bench, filterPattern=pattern)

    assert messages(first) == []
    second = filter_(bench, filterPattern=pattern, nextToken=first["nextToken"])
    assert messages(second) == ['{"a": 1, "needle": 2}']
    assert "nextToken" not in second


def test_the_bound_is_where_the_span_ends_at_the_latest(bench: HandlerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_SCAN_LIMIT", 2)
    put(bench, *[(NOW_MS + number, str(number)) for number in range(5)])

    first = filter_(bench, startTime=NOW_MS + 1, endTime=NOW_MS + 3)
    second = filter_(bench, startTime=NOW_MS + 1, endTime=NOW_MS + 3, nextToken=first["nextToken"])

    assert (messages(first), messages(second)) == (["1", "2"], ["3"])
    assert "nextToken" not in second


@pytest.mark.parametrize(
    ("pattern", "message", "other"),
    [
        ("needle", "a needle", "a Needle"),
        ('"100%_\\\\"', "at 100%_\\ now", "at 100xx\\ now"),
        ("?one ?two", "two", "three"),
        ("?one ?%tw.%", "two", "three"),
        ("long longest -no", "long longest", "long longest no"),
        ('"Ünï"', "Ünï", "ünï"),
        ('"a\x00"', "never", "either"),
    ],
)
def test_what_the_database_leaves_out_does_not_match(
    bench: HandlerBench, pattern: str, message: str, other: str
) -> None:
    put(bench, (NOW_MS, other), (NOW_MS + 1, message), (NOW_MS + 2, other))

    expected = [] if message == "never" else [message]
    assert messages(filter_(bench, filterPattern=pattern)) == expected


def test_a_pattern_that_cannot_be_read_is_refused(bench: HandlerBench) -> None:
    with pytest.raises(InvalidParameterException):
        filter_(bench, filterPattern="{ $.a = ")


def test_latest_first_is_refused_and_not_ignored(bench: HandlerBench) -> None:
    with pytest.raises(InvalidParameterException, match="startFromHead"):
        filter_(bench, startFromHead=False)
