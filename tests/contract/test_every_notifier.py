"""What holds for every notifier. Notifiers are found by walking the package."""

from __future__ import annotations

import json
import logging
import secrets as randomness
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.ids import new_event_id
from keyturn.notifiers.base import NamedNotifier, NotifierError, notifier_kinds, open_notifiers
from keyturn.operations.audit_trail import record_of
from keyturn.rules.audit_chain import ChainKey
from keyturn.rules.audit_event import ServiceEventName, rotation_request_id, service_event
from keyturn.scheduler.notifying import Collector, Sender
from keyturn.sensitive import Sensitive
from keyturn.storage import audit_log, audit_retention, notifications
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import Stores
from keyturn.testing.clock import FakeClock
from keyturn.testing.handlers import PLACE
from keyturn.testing.sqlite import new_database

from .told import PASSWORD, PATH_SECRET, QUERY_SECRET, TOLD, Told, WebhookReceiver, told

SECRET_ARN = PLACE.secret_arn("app/db", "abcdef")
DAY = timedelta(days=1)


@dataclass
class Bench:
    """A trail, somebody who is to be told, and what a server has between them."""

    stores: Stores
    log: AuditLog
    receiver: Told
    clock: FakeClock = field(default_factory=FakeClock)
    opened: list[NamedNotifier] = field(default_factory=list)

    def happen(self, name: ServiceEventName = ServiceEventName.ROTATION_FAILED, arn: str = SECRET_ARN) -> str:
        """Record an event, bring it to the disk and return its id."""
        at = self.clock.now()
        event = service_event(
            name,
            event_id=new_event_id(at),
            secret_arn=arn,
            at=at,
            place=PLACE,
            request_id=rotation_request_id(arn, "0f7bbdcc-0000-4000-8000-000000000000"),
            error_message="Error when executing lambda",
        )
        self.log.append([record_of(event, at, resource_name=arn)])
        self.log.sync(0, at)
        return str(event["eventID"])

    def sender(self, setting: str = "") -> Sender:
        (named,) = open_notifiers(setting or self.receiver.setting)
        self.opened.append(named)
        return Sender(self.log, named, self.clock, randomness)

    def collector(self, *senders: Sender) -> Collector:
        collector = Collector(self.stores.state, self.log, senders, self.clock)
        collector.begin()
        return collector

    def waiting(self) -> int:
        with self.stores.journal.read() as connection:
            return sum(notifications.waiting(connection).values())


def run(part: Collector | Sender) -> None:
    """Do all there is to do now."""
    while part.turn():
        pass


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    opened = Stores.open(new_database(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def log(stores: Stores) -> AuditLog:
    opened = AuditLog(stores.journal, ChainKey(Sensitive(b"k" * 32)))
    opened.begin(FakeClock().now())
    return opened


@pytest.fixture(params=sorted(TOLD))
def bench(request: pytest.FixtureRequest, stores: Stores, log: AuditLog, tmp_path: Path) -> Iterator[Bench]:
    with told(request.param, tmp_path) as receiver:
        bench = Bench(stores, log, receiver)
        yield bench
        for named in bench.opened:
            named.notifier.close()


def test_every_kind_of_notifier_is_tried_here() -> None:
    assert {kind.partition("+")[0] for kind in TOLD} == set(notifier_kinds())


def test_what_happens_is_told_once_and_whole(bench: Bench) -> None:
    sender = bench.sender()
    collector = bench.collector(sender)
    event_ids = [bench.happen() for _ in range(3)]
    bench.happen(ServiceEventName.ROTATION_SUCCEEDED)
    run(collector)
    run(sender)
    run(collector)
    run(sender)

    documents = bench.receiver.documents()
    assert [document["id"] for document in documents] == event_ids
    assert documents[0]["format"] == "keyturn.notification/1"
    assert documents[0]["secret"] == {"arn": SECRET_ARN, "name": "app/db"}
    assert documents[0]["error"] == "Error when executing lambda"
    assert (bench.waiting(), sender.sent) == (0, 3)


def test_a_new_notifier_begins_with_what_happens_from_then_on(bench: Bench) -> None:
    bench.happen()
    sender = bench.sender()
    collector = bench.collector(sender)
    event_id = bench.happen()
    run(collector)
    run(sender)

    assert [document["id"] for document in bench.receiver.documents()] == [event_id]


def test_who_is_away_is_told_when_they_come_back(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.receiver.stop()
    sender = bench.sender()
    collector = bench.collector(sender)
    event_ids = [bench.happen() for _ in range(3)]
    run(collector)
    run(sender)
    assert (bench.waiting(), sender.failures) == (3, 3)
    # One message is enough.
    assert caplog.text.count("does not take messages") == 1

    bench.receiver.start()
    run(sender)
    assert bench.receiver.documents() == [], "offered again only after a pause"
    bench.clock.advance(timedelta(seconds=6))
    run(sender)

    assert {document["id"] for document in bench.receiver.documents()} == set(event_ids)
    assert bench.waiting() == 0
    assert "takes messages again" in caplog.text


def test_what_nobody_takes_for_a_day_is_given_up(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.receiver.stop()
    sender = bench.sender()
    collector = bench.collector(sender)
    event_id = bench.happen()
    run(collector)
    for _ in range(200):
        run(sender)
        bench.clock.advance(timedelta(minutes=15))

    assert (bench.waiting(), sender.given_up) == (0, 1)
    assert 90 < sender.failures < 200
    assert f"the message {event_id} for the notifier hook was given up" in caplog.text


def test_who_was_away_for_longer_than_a_day_is_offered_each_message_once_more(bench: Bench) -> None:
    collector = bench.collector(bench.sender())
    event_id = bench.happen()
    run(collector)
    bench.clock.advance(3 * DAY)

    run(bench.sender())

    assert [document["id"] for document in bench.receiver.documents()] == [event_id]


def test_a_server_that_dies_after_a_delivery_tells_twice_and_never_not_at_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    sender = bench.sender()
    collector = bench.collector(sender)
    event_id = bench.happen()
    run(collector)
    with monkeypatch.context() as patch:
        patch.setattr(notifications, "remove", die)
        with pytest.raises(SystemExit):
            sender.turn()

    after = bench.sender()
    bench.collector(after)
    run(after)

    assert [document["id"] for document in bench.receiver.documents()] == [event_id, event_id]
    assert bench.waiting() == 0


def test_a_server_that_dies_before_messages_are_stored_stores_them_when_it_starts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> bool:
        raise SystemExit

    sender = bench.sender()
    collector = bench.collector(sender)
    event_id = bench.happen()
    with monkeypatch.context() as patch:
        patch.setattr(notifications, "store_messages", die)
        with pytest.raises(SystemExit):
            collector.turn()

    run(bench.collector(sender))
    run(sender)

    assert [document["id"] for document in bench.receiver.documents()] == [event_id]


def test_of_two_servers_each_message_is_sent_by_one(bench: Bench) -> None:
    senders = [bench.sender(), bench.sender()]
    collectors = [bench.collector(sender) for sender in senders]
    event_ids = []
    for _ in range(4):
        event_ids.append(bench.happen())
        for collector in collectors:
            run(collector)
        for sender in senders:
            sender.turn()

    assert [document["id"] for document in bench.receiver.documents()] == event_ids


def test_a_message_that_somebody_else_offers_is_left_alone_until_that_must_have_ended(bench: Bench) -> None:
    sender, other = bench.sender(), bench.sender()
    run_collector = bench.collector(sender)
    bench.happen()
    run(run_collector)
    journal = bench.stores.journal
    taken = notifications.take_due(journal, "hook", bench.clock.now(), timedelta(minutes=1))
    assert taken is not None

    assert not other.turn()
    bench.clock.advance(timedelta(minutes=2))
    assert other.turn()
    # The first comes back: what it knows is not true any more.
    notifications.put_off(journal, taken, bench.clock.now())
    notifications.remove(journal, taken)
    assert len(bench.receiver.documents()) == 1


def test_nobody_holds_up_the_trail_or_others(bench: Bench) -> None:
    bench.receiver.stop()
    sender = bench.sender()
    other = bench.sender(bench.receiver.setting.replace("name=hook", "name=other"))
    collector = bench.collector(sender, other)
    bench.happen()
    bench.happen(arn=PLACE.secret_arn("app/other", "abcdef"))
    run(collector)
    assert sender.turn()
    bench.receiver.start()
    assert other.turn()
    assert len(bench.receiver.documents()) == 1

    assert not bench.log.refuses
    now = bench.clock.advance(100 * DAY)
    audit_retention.delete_expired(bench.log, now, 2, now)
    with bench.stores.journal.read() as connection:
        assert audit_log.records_after(connection, 0, 10) == []


def test_a_message_nobody_takes_does_not_keep_another_waiting(bench: Bench) -> None:
    sender = bench.sender()
    collector = bench.collector(sender)
    bench.happen()
    run(collector)
    bench.receiver.stop()
    assert sender.turn()
    bench.receiver.start()
    event_id = bench.happen()
    run(collector)
    run(sender)

    assert [document["id"] for document in bench.receiver.documents()] == [event_id]


def test_nothing_of_a_url_is_seen(bench: Bench, caplog: pytest.LogCaptureFixture, stores: Stores) -> None:
    caplog.set_level(logging.INFO)
    sender = bench.sender()
    collector = bench.collector(sender)
    bench.happen()
    run(collector)
    bench.receiver.stop()
    run(sender)
    if isinstance(bench.receiver, WebhookReceiver):
        bench.receiver.start()
        bench.receiver.status = 500
        bench.clock.advance(timedelta(minutes=20))
        run(sender)
        bench.receiver.status = 410
        bench.clock.advance(timedelta(minutes=20))
        run(sender)
        assert sender.is_gone
    seen = caplog.text
    with stores.journal.read() as connection:
        seen += str(connection.exec_driver_sql("SELECT * FROM notifications").all())
        seen += str(connection.exec_driver_sql("SELECT * FROM audit_cursors").all())
    for secret in (PASSWORD, PATH_SECRET, QUERY_SECRET):
        assert secret not in seen


def test_only_what_is_wanted_is_told(bench: Bench) -> None:
    setting = f"{bench.receiver.setting}&events=RotationSucceeded,RotationFailed&secrets=prod/*,*/db"
    sender = bench.sender(setting)
    collector = bench.collector(sender)
    wanted = [bench.happen(), bench.happen(ServiceEventName.ROTATION_SUCCEEDED, PLACE.secret_arn("prod/a", "abcdef"))]
    bench.happen(arn=PLACE.secret_arn("test/a", "abcdef"))
    bench.happen(ServiceEventName.ROTATION_STARTED)
    run(collector)
    run(sender)

    assert [document["id"] for document in bench.receiver.documents()] == wanted


def test_what_waits_for_a_notifier_that_is_no_more_goes_after_a_day(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    collector = bench.collector(bench.sender())
    bench.happen()
    run(collector)
    other = bench.collector(bench.sender(bench.receiver.setting.replace("name=hook", "name=other")))
    run(other)
    assert bench.waiting() == 1

    bench.clock.advance(DAY + timedelta(minutes=1))
    run(other)

    assert bench.waiting() == 0
    assert "not set up any more" in caplog.text


def test_an_event_nobody_foresaw_does_not_keep_the_next_from_being_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    sender = bench.sender()
    collector = bench.collector(sender)
    at = bench.clock.now()
    event = service_event(
        ServiceEventName.ROTATION_FAILED, event_id="e", secret_arn="x", at=at, place=PLACE, request_id="r"
    )
    bench.log.append([record_of(event, at, resource_name="x")._replace(event="no JSON")])
    event_id = bench.happen()
    run(collector)
    run(sender)

    assert [document["id"] for document in bench.receiver.documents()] == [event_id]
    assert "nobody is told of the event e" in caplog.text


def test_a_failure_says_what_to_do(bench: Bench) -> None:
    bench.receiver.stop()
    (named,) = open_notifiers(bench.receiver.setting)
    with pytest.raises(NotifierError) as failed:
        named.notifier.send("id", json.dumps({"text": "t"}), 0.0)
    named.notifier.close()
    assert failed.value.hints


@pytest.mark.parametrize(
    "setting",
    [
        "pager",
        "kafka://host/topic#name=a",
        "https:///path",
        "https://host#name=a b",
        "https://host#name=../up",
        "https://host#events=RotationFailing",
        "https://host#only_final=yes",
        "https://host#nonsense=1",
        "https://host#no-equals-sign",
        "https://host#timeout_seconds=0",
        "https://host#format=xml",
        "https://host#ca=/no/such/file",
        "https://host#secret_file=/no/such/file",
        "https://host:99999/",
        "http://192.0.2.1/hook",
        "webhook:/no/such/file",
        "command:tell",
        "command://host/bin/true",
        "command:/bin/true?argument=1",
        "command:/no/such/program",
        "command:/etc/passwd",
        "command:/bin/true#timeout_seconds=1000",
        "https://host/a#name=a https://host/b#name=a",
    ],
)
def test_a_setting_that_cannot_be_is_refused(setting: str) -> None:
    with pytest.raises(KeyturnError) as refused:
        open_notifiers(setting)
    assert refused.value.hints


def test_a_notifier_without_a_name_gets_one_that_says_where_and_not_how() -> None:
    one, two, program = open_notifiers(
        f"https://hooks.example.org/{PATH_SECRET}?sig=a https://hooks.example.org/other command:/bin/true"
    )
    assert one.name.startswith("hooks.example.org-")
    assert two.name.startswith("hooks.example.org-")
    assert one.name != two.name
    assert program.name.startswith("true-")
    assert open_notifiers("") == []
