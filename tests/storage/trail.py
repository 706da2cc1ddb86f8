"""Audit records that differ by a number, and the trail they are stored in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keyturn.rules.audit_chain import ChainKey
from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.sensitive import Sensitive
from keyturn.storage import audit_log
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_lookup import Question, lookup
from keyturn.storage.database import Stores

from .conftest import NOW, PLACE

KEY = ChainKey(Sensitive(b"k" * 32))


def record(number: int = 0, **columns: Any) -> AuditRecord:
    """A record that a number tells from others; a read unless said otherwise."""
    made = AuditRecord(
        account_id=PLACE.account_id,
        region=PLACE.region,
        event_id=f"00000000-0000-0000-0000-{number:012}",
        event_time=1_000 * number,
        event_source="secretsmanager.amazonaws.com",
        event_name="GetSecretValue",
        username="alice",
        access_key_id="AKIAEXAMPLE",
        read_only=True,
        resource_name="db",
        resource_type="AWS::SecretsManager::Secret",
        error_code=None,
        request_id=f"request-{number}",
        event=f'{{"number": {number}, "who": "Zoë"}}',
    )
    return made._replace(**columns)


def open_log(stores: Stores) -> AuditLog:
    """The trail as a server opens it."""
    log = AuditLog(stores.journal, KEY)
    log.begin(NOW)
    return log


def store(log: AuditLog, records: Iterable[AuditRecord]) -> None:
    """Store records, many in one transaction."""
    waiting = list(records)
    for start in range(0, len(waiting), 1000):
        log.append(waiting[start : start + 1000])


def stored(stores: Stores) -> list[ChainedRecord]:
    """Everything in the trail, oldest first."""
    with stores.journal.read() as connection:
        return audit_log.records_after(connection, 0, 1_000_000)


def found(stores: Stores, limit: int = 100, **asked: Any) -> list[AuditRecord]:
    """What a lookup finds."""
    with stores.journal.read() as connection:
        return [chained.record for chained in lookup(connection, Question(PLACE, **asked), limit)]
