"""From the bytes of a pipe to log events."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.runtime.logs import EnvironmentLog, FrameReader
from keyturn.runtime.spec import LogLine
from keyturn.testing.clock import FakeClock


def frame(message: str, kind: int = 0x03) -> bytes:
    content = message.encode()
    return b"\xa5\x5a\x00" + bytes([kind]) + len(content).to_bytes(4, "big") + bytes(8) + content


class Sink:
    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.failures = 0

    def __call__(self, stream: str, lines: Sequence[LogLine]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("The disk is full.")
        self.lines += lines

    @property
    def messages(self) -> list[str]:
        return [line.message for line in self.lines]


def new_log(sink: Sink, limit_bytes: int = 10_000) -> EnvironmentLog:
    return EnvironmentLog(sink, FakeClock(), stream="s", limit_bytes=limit_bytes)


def logged(*chunks: bytes, limit_bytes: int = 10_000) -> list[str]:
    sink = Sink()
    log = new_log(sink, limit_bytes)
    for chunk in chunks:
        log.feed(chunk)
    log.close_output()
    log.flush()
    return sink.messages


def test_text_is_one_event_a_line_and_a_frame_is_one_event() -> None:
    stream = b"one\n\ntwo\n" + frame("three\nfour\n") + b"five" + frame("six") + b"seven"
    assert logged(stream) == ["one\n", "\n", "two\n", "three\nfour\n", "five", "six", "seven"]


@given(st.integers(min_value=1, max_value=7))
def test_it_does_not_matter_how_the_bytes_arrive(size: int) -> None:
    stream = "wört\n".encode() + frame("zeile\nzwei", 0x17) + b"rest" + frame("☃") + b"\n"
    chunks = [stream[begin : begin + size] for begin in range(0, len(stream), size)]
    assert logged(*chunks) == logged(stream) == ["wört\n", "zeile\nzwei", "rest", "☃", "\n"]


@given(st.lists(st.binary(max_size=64)))
def test_no_bytes_break_the_reader(chunks: list[bytes]) -> None:
    reader = FrameReader()
    said = b"".join(message.text for chunk in chunks for message in reader.feed(chunk)) + reader.rest()
    assert len(said) <= sum(map(len, chunks))
    assert reader.rest() == b""


def test_a_mark_that_begins_no_frame_is_text() -> None:
    assert logged(b"\xa5\x5a\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff!\n") == [
        "\ufffdZ" + "\ufffd" * 14 + "!\n"
    ]


def test_what_databases_cannot_store_is_replaced() -> None:
    assert logged(b"a\0b\xff\n") == ["a\ufffdb\ufffd\n"]


def test_long_events_are_cut() -> None:
    text = b"x" * 600_000
    assert [len(message) for message in logged(text + b"\n", limit_bytes=10**7)] == [262_118, 262_118, 75_765]
    assert [len(message) for message in logged(frame(text.decode()), limit_bytes=10**7)] == [262_118, 262_118, 75_764]


def test_output_beyond_the_limit_is_counted_and_platform_lines_are_kept() -> None:
    sink = Sink()
    log = new_log(sink, limit_bytes=300)
    log.feed(b"0123456789" * 2 + b"\n")
    log.feed((b"x" * 99 + b"\n") * 3)
    log.feed(b"y" * 1000)
    log.close_output()
    log.platform("END\n")
    log.flush()
    assert [message[:1] for message in sink.messages] == ["0", "x", "x", "K", "E"]
    assert "300 bytes; 1100 bytes" in sink.messages[3]
    log.begin_invocation()
    log.feed(b"again\n")
    log.flush()
    assert sink.messages[-1] == "again\n"


def test_lines_that_could_not_be_written_wait_for_the_next_time() -> None:
    sink = Sink()
    sink.failures = 1
    log = new_log(sink)
    log.platform("START\n")
    with pytest.raises(OSError, match="full"):
        log.flush()
    log.platform("END\n")
    log.flush()
    assert sink.messages == ["START\n", "END\n"]
    assert not log.has_pending


def test_the_tail_is_the_last_four_kilobytes_of_this_invocation() -> None:
    log = new_log(Sink(), limit_bytes=10**6)
    log.platform("before\n")
    log.begin_invocation()
    log.platform("START\n")
    assert log.tail() == b"START\n"
    for number in range(2000):
        log.feed(f"{number:08d}\n".encode())
    assert len(log.tail()) == 4096
    assert log.tail().endswith(b"00001998\n00001999\n")


def test_lines_that_are_not_kept_leave_no_trace_and_records_are_always_kept() -> None:
    sink = Sink()
    log = EnvironmentLog(sink, FakeClock(), stream="s", limit_bytes=10_000, keeps=lambda line: b"keep" in line)
    log.feed(b"drop\nkeep\n" + frame("record, dropped by nobody") + b"the rest")
    log.close_output()
    log.flush()
    assert sink.messages == ["keep\n", "record, dropped by nobody"]


def test_who_says_what_was_dropped_may_say_nothing() -> None:
    sink = Sink()
    log = new_log(sink, limit_bytes=40)
    log.dropped_line = lambda dropped, limit: None
    log.feed(b"x" * 50 + b"\n")
    log.close_output()
    log.flush()
    assert sink.messages == []
