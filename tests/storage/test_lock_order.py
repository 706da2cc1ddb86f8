"""Whoever changes a secret and its rotation locks them in one order, so that no two wait for each other."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

from keyturn.operations import registry
from keyturn.operations.accesses import Accesses
from keyturn.operations.secretsmanager import rotation
from keyturn.rules.lanes import Limits
from keyturn.scheduler.rotations import drive
from keyturn.storage import replications, rotation_leases, rotations, secrets
from keyturn.storage.database import Stores
from keyturn.storage.rotations import RotationStatus
from keyturn.testing.handlers import HandlerBench
from keyturn.testing.postgresql import PostgresqlServer

_DEADLINE_SECONDS = 30
_VERSION_ID = "00000000-0000-4000-8000-000000000002"


class _Middle:
    def randbelow(self, bound: int) -> int:
        return bound // 2


def _wait_until_somebody_waits_for_a_lock(postgresql: PostgresqlServer) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while postgresql.run("SELECT count(*) FROM pg_locks WHERE NOT granted") == [[0]]:
        assert time.monotonic() < deadline, "nobody waits for the secret"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_drives_a_rotation_waits_for_its_secret_before_touching_it(
    stores: Stores, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "check_function", lambda *_: None)
    registry.discover()
    bench = HandlerBench(stores)
    bench.kit = kit = replace(bench.kit, accesses=Accesses(), random=_Middle(), wake_scheduler=lambda: None)
    arn = bench.call("secretsmanager", "CreateSecret", Name="db", SecretString="a", ClientRequestToken="1" * 32)["ARN"]
    # The function is not there, so the first step fails without anything having run.
    function_arn = "arn:aws:lambda:us-east-1:000000000000:function:gone"
    rotate = {"SecretId": "db", "RotationLambdaARN": function_arn, "ClientRequestToken": _VERSION_ID}
    bench.call("secretsmanager", "RotateSecret", **rotate)
    now = bench.clock.now()
    (claimed,) = rotation_leases.claim_due(stores.state, "me", now, {}, Limits(1, 1, 1))

    with ThreadPoolExecutor(1) as elsewhere:
        with stores.state.write() as transaction:
            secret = secrets.lock_secret(transaction, arn)
            assert secret is not None
            driven = elsewhere.submit(drive, kit, claimed, Event())
            _wait_until_somebody_waits_for_a_lock(postgresql)
            rotations.end_unfinished(transaction, secret.secret_id, RotationStatus.ABANDONED, now, "by hand")
        driven.result(_DEADLINE_SECONDS)

    with stores.state.read() as connection:
        (left,) = rotations.load_history(connection, secret.secret_id)
    assert (left.status, left.error) == (RotationStatus.ABANDONED, "by hand")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_stores_that_secrets_were_read_does_not_wait_for_their_replicas(stores: Stores) -> None:
    registry.discover()
    bench = HandlerBench(stores)
    kit = replace(bench.kit, accesses=Accesses())
    arn = bench.call("secretsmanager", "CreateSecret", Name="db", ClientRequestToken="1" * 32)["ARN"]
    bench.call("secretsmanager", "ReplicateSecretToRegions", SecretId="db", AddReplicaRegions=[{"Region": "eu-west-1"}])
    with stores.state.read() as connection:
        (listed,) = replications.load_replications(connection, arn)
        read = secrets.load_secret(connection, arn)
    assert read is not None
    kit.accesses.note(read, _VERSION_ID, bench.clock.now())

    # Reads are stored many at a time: another server may hold the replica and wait for the next of them.
    with ThreadPoolExecutor(1) as elsewhere, stores.state.write() as transaction:
        assert secrets.lock_secret(transaction, listed.replica_arn) is not None
        elsewhere.submit(kit.accesses.store, stores.state).result(_DEADLINE_SECONDS)
