"""What holds for every audit sink and every way there is to reach one. Sinks are found by walking the package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.rules.audit_chain import START, ChainKey, Position
from keyturn.rules.audit_proof import Walk
from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.scheduler import shipping
from keyturn.scheduler.shipping import Shipper
from keyturn.sensitive import Sensitive
from keyturn.sinks.base import Location, Sink, SinkError, open_sinks, sink_kinds
from keyturn.storage import audit_cursors
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import Stores
from keyturn.testing.clock import FakeClock
from keyturn.testing.sqlite import new_database

from .receivers import RECEIVERS, DatagramReceiver, FileReceiver, Receiver, StreamReceiver, receiving

KEY = ChainKey(Sensitive(b"k" * 32))


@dataclass
class Bench:
    """A trail, a sink and what it delivers to."""

    log: AuditLog
    receiver: Receiver
    clock: FakeClock = field(default_factory=FakeClock)
    opened: list[Sink] = field(default_factory=list)

    def append(self, *numbers: int, **columns: Any) -> None:
        """Store records, and bring them to the disk."""
        self.log.append([record(number, **columns) for number in numbers])
        self.log.sync(0, self.clock.now())

    def shipper(self, **limits: int) -> Shipper:
        """What feeds the sink, as a server that starts has it."""
        ((name, sink),) = open_sinks(self.receiver.url, self.clock)
        shipper = Shipper(
            self.log, name, sink, self.clock, owner="o", **{"limit_records": 0, "limit_seconds": 0, **limits}
        )
        shipper.cursor = audit_cursors.open_cursor(self.log.database, name)
        self.opened.append(sink)
        return shipper

    def deliver(self, shipper: Shipper | None = None) -> None:
        """Deliver all there is."""
        used = shipper or self.shipper()
        while used.turn():
            pass
        if shipper is None:
            used.close()

    def delivered(self, at_least: int) -> list[int]:
        """Numbers of the records that have come."""
        if isinstance(self.receiver, (DatagramReceiver, StreamReceiver)):
            self.receiver.wait_for(at_least)
        return [stored.sequence for stored in self.receiver.records()]


def record(number: int, **columns: Any) -> AuditRecord:
    event = {"eventName": "GetSecretValue", "number": number, "who": "Zoë \u2028", "requestParameters": {"a": "b"}}
    made = AuditRecord(
        account_id="000000000000",
        region="us-east-1",
        event_id=f"event-{number}",
        event_time=1_767_323_045_678 + number,
        event_source="secretsmanager.amazonaws.com",
        event_name="GetSecretValue",
        username="zoë",
        access_key_id=None,
        read_only=True,
        resource_name="arn:aws:secretsmanager:us-east-1:000000000000:secret:db-abcdef",
        resource_type="AWS::SecretsManager::Secret",
        error_code=None,
        request_id=f"request-{number}",
        event=json.dumps(event, ensure_ascii=False),
    )
    return made._replace(**columns)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AuditLog]:
    stores = Stores.open(new_database(tmp_path))
    opened = AuditLog(stores.journal, KEY)
    opened.begin(FakeClock().now())
    yield opened
    stores.close()


@pytest.fixture(params=sorted(RECEIVERS))
def bench(request: pytest.FixtureRequest, log: AuditLog, tmp_path: Path) -> Iterator[Bench]:
    with receiving(request.param, tmp_path) as receiver:
        bench = Bench(log, receiver)
        yield bench
        for sink in bench.opened:
            sink.close()


def is_whole(records: list[ChainedRecord]) -> bool:
    return Walk(KEY, Position(0, START)).follow(records)


def refuses(log: AuditLog) -> bool:
    """Whether a call would be refused now."""
    return log.refuses


def test_every_kind_of_sink_is_tried_here() -> None:
    assert {kind.partition("+")[0] for kind in RECEIVERS} == set(sink_kinds())


def test_all_records_arrive_in_their_order_and_can_be_verified_there(bench: Bench) -> None:
    for start in range(1, 601, 40):
        bench.append(*range(start, start + 40))

    bench.deliver()

    assert bench.delivered(600) == list(range(1, 601))
    assert bench.receiver.records()[6].record == record(7)
    assert is_whole(bench.receiver.records())


def test_what_is_not_on_disk_yet_is_not_handed_on(bench: Bench) -> None:
    bench.append(1)
    bench.log.append([record(2)])
    bench.deliver()
    assert bench.delivered(1) == [1]

    bench.append(3)
    bench.deliver()
    assert bench.delivered(3) == [1, 2, 3]


def test_a_restart_goes_on_where_the_last_server_stopped(bench: Bench) -> None:
    bench.append(1, 2)
    bench.deliver()
    # What two connections carry comes in their order only if one has been read before the other begins.
    assert bench.delivered(2) == [1, 2]
    bench.append(3)
    bench.deliver()

    assert bench.delivered(3) == [1, 2, 3]


class Killed(BaseException):
    """The process ends here."""


def test_a_server_that_dies_before_it_noted_a_delivery_repeats_it_and_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.append(1, 2)
    bench.deliver()
    bench.append(3, 4)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(audit_cursors, "store_cursor", die)
        with pytest.raises(Killed):
            bench.shipper().turn()
    # As above.
    assert bench.delivered(4) == [1, 2, 3, 4]
    bench.append(5)
    bench.deliver()

    assert bench.delivered(7) == [1, 2, 3, 4, 3, 4, 5]


def test_a_sink_out_of_reach_lags_and_catches_up(bench: Bench) -> None:
    if bench.receiver.url.startswith("syslog+udp"):
        pytest.skip("nobody tells the sender that a datagram was not received")
    shipper = bench.shipper()
    bench.append(1)
    bench.deliver(shipper)
    bench.delivered(1)
    bench.receiver.stop()
    bench.append(2)
    bench.append(3)
    for _ in range(2):
        with pytest.raises(SinkError) as told:
            bench.deliver(shipper)
    assert told.value.hints
    assert shipper.cursor == 1

    bench.receiver.start()
    bench.deliver(shipper)
    shipper.close()

    assert sorted(set(bench.delivered(3))) == [1, 2, 3]
    assert bench.delivered(3)[-2:] == [2, 3]


def test_the_operator_is_told_once_when_a_sink_fails_lags_and_works_again(
    log: AuditLog, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "_LAGS_RECORDS", 2)
    with receiving("json-lines", tmp_path) as receiver:
        bench = Bench(log, receiver)
        shipper = bench.shipper()
        receiver.stop()
        bench.append(1, 2, 3)
        for _ in range(3):
            with pytest.raises(SinkError) as told:
                shipper.turn()
            shipper._fail(told.value)
        assert caplog.text.count("has stopped behind record 0") == 1
        bench.clock.advance(timedelta(minutes=11))
        shipper._fail(told.value)
        assert caplog.text.count("has stopped behind record 0") == 2

        receiver.start()
        bench.deliver(shipper)
        shipper._recover()
        assert caplog.text.count("takes records again, from 3 on") == 1
        bench.append(4, 5, 6)
        bench.deliver(shipper)
        assert caplog.text.count("is 3 records behind") == 2
        shipper.close()


@pytest.mark.parametrize("limit", [{"limit_records": 2}, {"limit_seconds": 60}])
def test_calls_are_refused_while_a_sink_is_too_far_behind_if_the_operator_says_so(
    log: AuditLog, tmp_path: Path, limit: dict[str, int]
) -> None:
    with receiving("json-lines", tmp_path) as receiver:
        bench = Bench(log, receiver)
        shipper = bench.shipper(**limit)
        receiver.stop()
        bench.append(1, event_time=int(bench.clock.now().timestamp() * 1000))
        with pytest.raises(SinkError):
            shipper.turn()
        assert not refuses(log)

        bench.append(2, 3)
        bench.clock.advance(bench.clock.now() - bench.clock.now().replace(hour=0))
        with pytest.raises(SinkError):
            shipper.turn()
        assert refuses(log)

        receiver.start()
        bench.deliver(shipper)
        assert not refuses(log)
        shipper.close()


def test_a_record_of_any_size_leaves_what_syslog_carries(bench: Bench) -> None:
    large = json.dumps({"eventName": "x", "requestParameters": {"a": "ä" * 60_000}, "errorMessage": "m" * 30_000})
    hopeless = json.dumps({"eventName": "x", **{f"member{number}": "z" * 100 for number in range(900)}})
    strange = "no JSON\nat all"
    for event in (large, hopeless, strange, "{}"):
        bench.append(1, event=event, resource_name="ö" * 2000, event_name="Get Secret\u00e9Value" * 9)
    bench.deliver()

    assert bench.delivered(4) == [1, 2, 3, 4]
    if isinstance(bench.receiver, FileReceiver):
        assert [stored.record.event for stored in bench.receiver.records()] == [large, hopeless, strange, "{}"]
        assert is_whole(bench.receiver.records())
        return
    assert max(len(message) for message in bench.receiver.raw().split(b"\n")) <= 8192
    shown = [stored.record.event for stored in bench.receiver.records()]
    assert shown[2:] == [strange, "{}"]
    assert json.loads(shown[0])["truncated"] is True
    assert json.loads(shown[0])["requestParameters"] is None
    assert json.loads(shown[1]) == {"eventID": None, "eventName": "x", "eventTime": None, "truncated": True}


@pytest.mark.parametrize(
    "url",
    [
        "json-lines:audit.jsonl",
        "json-lines://host/audit.jsonl",
        "json-lines:/audit.jsonl?max_bytes=-1",
        "json-lines:/audit.jsonl?max_bytes=many",
        "json-lines:/audit.jsonl?daily=yes",
        "json-lines:/audit.jsonl?keep=3",
        "json-lines+tcp:/audit.jsonl",
        "syslog://host",
        "syslog+udp:/dev/log",
        "syslog+udp://host?max_bytes=100",
        "syslog+udp://host?max_bytes=65001",
        "syslog+udp://host?ca=/ca.pem",
        "syslog+tcp://host/path",
        "syslog+tcp://host:99999",
        "syslog+tls://host?ca=/no/such/file.pem",
        "syslog+unix://host/path",
        "kafka://host",
        "audit.jsonl",
        "json-lines:/a json-lines:/a?daily=false",
    ],
)
def test_a_setting_that_cannot_be_is_refused(url: str) -> None:
    with pytest.raises(KeyturnError) as told:
        open_sinks(url, FakeClock())
    assert told.value.hints


def test_a_setting_names_any_number_of_sinks(tmp_path: Path) -> None:
    urls = f"json-lines:{tmp_path}/a?keep_files=3  json-lines:{tmp_path}/b%20c\nsyslog+udp://[::1]:5140"
    opened = open_sinks(urls, FakeClock())

    assert [name for name, _ in opened] == [
        f"json-lines:{tmp_path}/a", f"json-lines:{tmp_path}/b%20c", "syslog+udp://[::1]:5140"
    ]  # fmt: skip
    assert open_sinks("", FakeClock()) == []
    assert Location.parse(f"json-lines:{tmp_path}/b%20c").path == f"{tmp_path}/b c"


def test_of_two_servers_of_one_database_one_feeds_a_sink(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    database, clock = log.database, FakeClock()
    audit_cursors.open_cursor(database, "s")
    later = clock.advance(FakeClock().now() - FakeClock().now().replace(minute=0))
    assert audit_cursors.lease_cursor(database, "s", "one", FakeClock().now(), later) == 0
    assert audit_cursors.lease_cursor(database, "s", "other", FakeClock().now(), later) is None
    audit_cursors.store_cursor(database, "s", 5, "one")
    with pytest.raises(audit_cursors.CursorLost):
        audit_cursors.store_cursor(database, "s", 6, "other")

    audit_cursors.release_cursor(database, "s", "other")
    assert audit_cursors.lease_cursor(database, "s", "other", FakeClock().now(), later) is None
    audit_cursors.release_cursor(database, "s", "one")
    assert audit_cursors.lease_cursor(database, "s", "other", FakeClock().now(), later) == 5
