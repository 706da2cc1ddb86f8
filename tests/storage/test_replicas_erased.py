"""What is removed of replicas is in no row and no memory any more, and on SQLite in no file.

PostgreSQL keeps the bytes of a dead row as long as others live on its page (SECURITY.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from keyturn.ids import new_version_id
from keyturn.operations.sealing import open_value
from keyturn.rules.replication import replica_arn
from keyturn.storage import secret_versions, secrets

from .desk import Desk

REGION = "eu-west-1"
REPLICATED = [{"Region": REGION}]


def _left(desk: Desk, files: Callable[[], bytes], values: Iterable[bytes]) -> list[bytes]:
    """Values of which something is in a file that should not be."""
    if not desk.kit.state.dialect.is_embedded:
        return []
    held = files()
    return [value for value in values if value[48:] in held or value[:96] in held]


def test_a_replica_that_is_removed_leaves_no_row_and_no_byte(desk: Desk, files: Callable[[], bytes]) -> None:
    arn = desk.create()
    before = desk.rows()
    desk.call("ReplicateSecretToRegions", SecretId="db", AddReplicaRegions=REPLICATED)
    sealed = desk.sealed(replica_arn(arn, REGION))
    assert sealed.keys() == desk.sealed(arn).keys()
    assert all(value in files() for value in sealed.values())
    woken = desk.woken

    desk.call("RemoveRegionsFromReplication", SecretId="db", RemoveReplicaRegions=[REGION])

    assert desk.woken > woken
    desk.turn()
    assert desk.rows() == before
    assert _left(desk, files, sealed.values()) == []
    assert all(value in files() for value in desk.sealed(arn).values())


def test_a_version_that_is_cleaned_up_goes_from_its_replicas_too(desk: Desk, files: Callable[[], bytes]) -> None:
    arn = desk.create(values=1)
    there = replica_arn(arn, REGION)
    desk.call("ReplicateSecretToRegions", SecretId="db", AddReplicaRegions=REPLICATED)
    pending = new_version_id()
    desk.call("PutSecretValue", SecretId="db", SecretString="x", ClientRequestToken=pending, VersionStages=["MINE"])
    gone = desk.sealed(there)[pending]
    open_value(desk.kit, there, pending, gone)
    keyring = desk.kit.envelope._keyring
    kept = len(keyring._data_keys)

    with desk.kit.state.write() as transaction:
        # As the clean-up of versions beyond a hundred does.
        record = secrets.lock_secret(transaction, arn)
        assert record is not None
        secrets.store_labels(transaction, record.secret_id, record.labels, {"AWSCURRENT": record.labels["AWSCURRENT"]})
        secret_versions.delete_versions(transaction, record.secret_id, [pending])
        transaction.touch(secrets.SECRET, arn)

    desk.turn()
    assert pending not in desk.sealed(there)
    assert _left(desk, files, [gone]) == []
    assert len(keyring._data_keys) < kept
