"""Which secrets have which replicas, and what runs before a commit, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from keyturn.storage import replications, schema, secrets
from keyturn.storage.database import StorageError, Stores, Transaction
from keyturn.storage.replications import ReplicationRecord

from .conftest import NOW, PLACE

_ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"
_THERE = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:db-AbCdEf"
_ELSEWHERE = "arn:aws:secretsmanager:ap-southeast-2:000000000000:secret:db-AbCdEf"
_RECORD = ReplicationRecord(_ARN, _THERE, None, "Failed", "no")


def _listed(stores: Stores, arn: str = _ARN) -> list[ReplicationRecord]:
    with stores.state.read() as connection:
        return replications.load_replications(connection, arn)


def test_replicas_are_listed_in_the_order_in_which_they_came_and_change_in_their_place(stores: Stores) -> None:
    second = replace(_RECORD, replica_arn=_ELSEWHERE, kms_key_id="alias/a", status="InSync", message=None)
    with stores.state.write() as transaction:
        replications.insert_replication(transaction, _RECORD)
        replications.insert_replication(transaction, second)
    assert _listed(stores) == [_RECORD, second]
    assert _listed(stores, _THERE) == []

    changed = replace(_RECORD, kms_key_id="alias/b", status="InSync", message=None)
    with stores.state.write() as transaction:
        replications.update_replication(transaction, changed)
    assert _listed(stores) == [changed, second]

    with stores.state.write() as transaction:
        replications.delete_replication(transaction, changed)
    assert _listed(stores) == [second]


def test_a_replica_has_one_primary(stores: Stores) -> None:
    with stores.state.write() as transaction:
        replications.insert_replication(transaction, _RECORD)

    with pytest.raises(StorageError, match=r"(?i)unique"), stores.state.write() as transaction:
        replications.insert_replication(transaction, replace(_RECORD, primary_arn=_ELSEWHERE))


def test_a_secret_knows_whether_it_follows_another(stores: Stores) -> None:
    with stores.state.write() as transaction:
        secrets.insert_secret(transaction, PLACE, _ARN, "db", NOW)
        secrets.insert_secret(transaction, replace(PLACE, region="eu-west-1"), _THERE, "db", NOW, primary_arn=_ARN)
    with stores.state.read() as connection:
        alone, replica = secrets.load_secret(connection, _ARN), secrets.load_secret(connection, _THERE)
    assert alone is not None
    assert replica is not None
    assert (alone.is_replica, alone.primary_region) == (False, None)
    assert (replica.is_replica, replica.primary_region) == (True, "us-east-1")

    with stores.state.write() as transaction:
        secrets.update_secret(transaction, alone, primary_arn=_ARN)
    with stores.state.read() as connection:
        primary = secrets.load_secret(connection, _ARN)
    assert primary is not None
    assert (primary.is_replica, primary.primary_region) == (False, "us-east-1")


def test_what_is_done_before_the_commit_is_committed_with_it_and_named(stores: Stores) -> None:
    seen: list[list[str]] = []

    def complete(transaction: Transaction) -> None:
        seen.append([entry["subject"] for entry in transaction.touched])
        replications.insert_replication(transaction, _RECORD)

    stores.state.before_commit = complete
    with stores.state.write() as transaction:
        transaction.touch("kind", "first")

    assert seen == [["first"]]
    assert _listed(stores) == [_RECORD]
    with stores.state.read() as connection:
        assert list(connection.execute(select(schema.changes.c.subject)).scalars()) == ["first", _ARN]


def test_what_fails_before_the_commit_leaves_nothing(stores: Stores) -> None:
    def fail(transaction: Transaction) -> None:
        raise LookupError(transaction.touched[0]["subject"])

    stores.state.before_commit = fail

    with pytest.raises(LookupError), stores.state.write() as transaction:
        secrets.insert_secret(transaction, PLACE, _ARN, "db", NOW)

    with stores.state.read() as connection:
        assert secrets.load_secret(connection, _ARN) is None


def test_a_transaction_that_touches_nothing_is_not_completed(stores: Stores) -> None:
    def fail(_transaction: Transaction) -> None:
        raise AssertionError

    stores.state.before_commit = fail
    with stores.state.write() as transaction:
        transaction.connection.execute(schema.settings.insert(), {"name": "a", "value": "b"})

    with stores.state.read() as connection:
        assert connection.execute(schema.settings.select()).all() == [("a", "b")]


def test_a_replica_of_another_accounts_secret_is_listed_once_it_is_associated(stores: Stores) -> None:
    theirs = "arn:aws:secretsmanager:us-east-1:111111111111:secret:copy-AbCdEf"
    pending = ReplicationRecord(_ARN, theirs, "alias/a", "Pending", is_listed=False)
    with stores.state.write() as transaction:
        replications.insert_replication(transaction, pending)
    assert _listed(stores) == []

    associated = replace(pending, status="InSync", role_arn="arn:aws:iam::000000000000:role/r", is_listed=True)
    with stores.state.write() as transaction:
        replications.update_replication(transaction, associated)

    assert _listed(stores) == [associated]
    with stores.state.read() as connection:
        assert replications.load_replication(connection, theirs) == associated
        assert replications.load_replication(connection, _ARN) is None
