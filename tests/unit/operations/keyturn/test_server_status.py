"""How the trail stands is told in the management account, and what contradicts it is never good news."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyturn.arn import Place
from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.operations.keyturn.server_status import get_audit_trail_status, get_server_status
from keyturn.rules.audit_anchor import ANCHOR_FILE, Anchor
from keyturn.rules.audit_record import AuditRecord
from keyturn.storage.audit_anchor import AnchorFile
from keyturn.storage.database import Stores
from keyturn.storage.trail import Trail
from keyturn.testing.handlers import PLACE, HandlerBench, open_bench, user


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        kit = opened.kit
        anchors = AnchorFile(tmp_path, kit.audit_log.key)
        opened.kit = replace(kit, trail=Trail(Stores(kit.state, kit.journal), kit.audit_log.key, anchors))
        yield opened


def record(number: int) -> AuditRecord:
    return AuditRecord(
        account_id=PLACE.account_id,
        region=PLACE.region,
        event_id=f"event {number}",
        event_time=number,
        event_source="secretsmanager.amazonaws.com",
        event_name="GetSecretValue",
        username=None,
        access_key_id=None,
        read_only=True,
        resource_name=None,
        resource_type=None,
        error_code=None,
        request_id=f"request {number}",
        event="{}",
    )


def look(bench: HandlerBench) -> Any:
    return bench.call("keyturn", "GetAuditTrailStatus")


def anchor(bench: HandlerBench) -> None:
    newest = bench.kit.audit_log.newest()
    assert newest is not None
    bench.kit.trail.anchors.write(Anchor(newest, 0, bench.clock.now()))


def test_an_unbroken_trail_is_called_so(bench: HandlerBench) -> None:
    bench.kit.audit_log.append([record(number) for number in range(1, 1201)])
    anchor(bench)
    bench.kit.audit_log.append([record(1201)])

    told = look(bench)

    assert (told["Verdict"], told["Faults"]) == ("unbroken", [])
    assert (told["Newest"], told["VerifiedFrom"], told["VerifiedRecords"]) == (1201, 202, 1000)
    assert told["Anchor"] == {"Sequence": 1200, "At": bench.clock.now()}
    assert told["Head"] == str(bench.kit.audit_log.newest())


def test_a_changed_record_breaks_it(bench: HandlerBench) -> None:
    bench.kit.audit_log.append([record(number) for number in range(1, 5)])
    with bench.kit.journal.write() as transaction:
        for trigger in bench.kit.journal.dialect.triggers(transaction.connection):
            transaction.connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        transaction.connection.exec_driver_sql("UPDATE audit_events SET event = '[]' WHERE sequence = 3")

    told = look(bench)

    assert told["Verdict"] == "broken"
    assert [(fault["Kind"], fault["Sequence"]) for fault in told["Faults"]] == [("changed", 3)]


def test_a_damaged_anchor_breaks_it(bench: HandlerBench, tmp_path: Path) -> None:
    (tmp_path / ANCHOR_FILE).write_text("{}")

    told = look(bench)

    assert told["Verdict"] == "broken"
    assert "is damaged" in told["Faults"][0]["Message"]


@pytest.mark.parametrize("ask", [get_audit_trail_status, get_server_status])
def test_other_accounts_are_not_told(bench: HandlerBench, ask: Any) -> None:
    call = bench.as_(user("eve"))._replace(place=Place("aws", PLACE.region, "111111111111"))

    with pytest.raises(InvalidRequestException, match="management account"):
        ask(bench.kit, call, {}, None)
