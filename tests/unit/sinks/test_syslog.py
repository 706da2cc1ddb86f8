from __future__ import annotations

import re

import pytest
from tests.contract.receivers import MESSAGE, DatagramReceiver, StreamReceiver

from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.sinks.base import Location, SinkError
from keyturn.sinks.syslog import SyslogSink
from keyturn.testing.clock import FakeClock


def stored(error_code: str | None = None) -> ChainedRecord:
    at = 1_767_323_045_007
    record = AuditRecord("0", "r", "e", at, "s", "Get it", None, None, True, None, None, error_code, "q", "{}")
    return ChainedRecord(1, bytes(32), record)


@pytest.mark.parametrize(("error_code", "priority"), [(None, b"110"), ("AccessDenied", b"108")])
def test_the_head_of_a_message_is_that_of_rfc_5424(error_code: str | None, priority: bytes) -> None:
    receiver = DatagramReceiver()
    sink = SyslogSink.open(Location.parse(receiver.url), FakeClock())
    try:
        sink.deliver([stored(error_code)])
        receiver.wait_for(1)
    finally:
        sink.close()
        receiver.stop()

    match = MESSAGE.fullmatch(receiver.messages[0])
    assert match
    assert (match["priority"], match["time"], match["id"]) == (priority, b"2026-01-02T03:04:05.007Z", b"Get?it")
    assert re.fullmatch(rb"[!-~]{1,255}", match["host"])


def test_a_receiver_that_closed_the_connection_is_connected_to_anew_before_anything_is_sent() -> None:
    receiver = StreamReceiver()
    sink = SyslogSink.open(Location.parse(receiver.url), FakeClock())
    try:
        sink.deliver([stored()])
        receiver.wait_for(1)
        receiver.stop()
        receiver.start()
        sink.deliver([stored()])
        receiver.wait_for(2)
    finally:
        sink.close()
        receiver.stop()
    assert len(receiver.messages) == 2


def test_a_receiver_that_proves_to_be_somebody_else_is_told_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    receiver = StreamReceiver(tmp_path_factory.mktemp("receiver"))
    other = StreamReceiver(tmp_path_factory.mktemp("other"))
    trusted = other.url.partition("?")[2]
    sink = SyslogSink.open(Location.parse(f"{receiver.url.partition('?')[0]}?{trusted}"), FakeClock())
    try:
        with pytest.raises(SinkError, match="certificate verify failed"):
            sink.deliver([stored()])
    finally:
        sink.close()
        receiver.stop()
        other.stop()
    assert receiver.messages == []
