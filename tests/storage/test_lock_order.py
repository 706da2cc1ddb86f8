"""Rows of several kinds are locked in one order, so that no two wait for each other: secrets before their rotations,
functions before their packages."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from sqlalchemy import delete

from keyturn.operations import registry
from keyturn.operations.accesses import Accesses
from keyturn.operations.lambda_ import functions as lambda_functions
from keyturn.operations.secretsmanager import rotation
from keyturn.rules.lanes import Limits
from keyturn.runtime.interpreters import available_runtimes
from keyturn.runtime.package import code_sha256
from keyturn.scheduler.rotations import drive
from keyturn.storage import functions, replications, rotation_leases, rotations, schema, secrets
from keyturn.storage.database import Stores, Transaction
from keyturn.storage.functions import FunctionRecord
from keyturn.storage.rotations import RotationStatus
from keyturn.testing.functions import zip_package
from keyturn.testing.handlers import HandlerBench
from keyturn.testing.postgresql import PostgresqlServer

from .test_functions import _function

_DEADLINE_SECONDS = 30
_VERSION_ID = "00000000-0000-4000-8000-000000000002"


class _Middle:
    def randbelow(self, bound: int) -> int:
        return bound // 2


class _NoRuntime:
    def discard(self, _arn: str) -> None:
        pass


def _wait_until_somebody_waits_for_a_lock(postgresql: PostgresqlServer) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while postgresql.run("SELECT count(*) FROM pg_locks WHERE NOT granted") == [[0]]:
        assert time.monotonic() < deadline, "nobody waits"


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


_PACKAGES = sorted((zip_package({f"{name}.py": ""}) for name in "ab"), key=code_sha256)


def _functions_bench(stores: Stores) -> HandlerBench:
    """A bench with a function ``rotate``, whose code is the first of the packages."""
    bench = HandlerBench(stores)
    runtime: Any = _NoRuntime()
    bench.kit = replace(bench.kit, runtime=runtime)
    with stores.state.write() as transaction:
        _keep(transaction, 0)
        assert functions.insert_function(transaction, _code_of(0))
    return bench


def _code_of(number: int) -> FunctionRecord:
    return replace(_function(), code_sha256=code_sha256(_PACKAGES[number]), sealed=None)


def _keep(transaction: Transaction, number: int) -> None:
    functions.store_package(transaction, code_sha256(_PACKAGES[number]), _PACKAGES[number])


def _code(stores: Stores) -> str:
    with stores.state.read() as connection:
        found = functions.load_function(connection, _function().arn)
    assert found is not None
    return found.code_sha256


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_replaces_code_waits_for_the_function_before_touching_a_package(
    stores: Stores, postgresql: PostgresqlServer
) -> None:
    bench = _functions_bench(stores)

    with ThreadPoolExecutor(1) as elsewhere:
        with stores.state.write() as transaction:
            functions.lock_function(transaction, _function().arn)
            updated = elsewhere.submit(
                bench.call, "lambda", "UpdateFunctionCode", FunctionName="rotate", ZipFile=_PACKAGES[1]
            )
            _wait_until_somebody_waits_for_a_lock(postgresql)
            _keep(transaction, 1)
        updated.result(_DEADLINE_SECONDS)

    assert _code(stores) == code_sha256(_PACKAGES[1])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(("old", "new"), [(0, 1), (1, 0)])
def test_who_replaces_code_takes_both_packages_in_the_order_of_all(
    stores: Stores, postgresql: PostgresqlServer, old: int, new: int
) -> None:
    bench = _functions_bench(stores)
    bench.call("lambda", "UpdateFunctionCode", FunctionName="rotate", ZipFile=_PACKAGES[old])

    with ThreadPoolExecutor(1) as elsewhere:
        with stores.state.write() as transaction:
            _keep(transaction, 0)
            updated = elsewhere.submit(
                bench.call, "lambda", "UpdateFunctionCode", FunctionName="rotate", ZipFile=_PACKAGES[new]
            )
            _wait_until_somebody_waits_for_a_lock(postgresql)
            _keep(transaction, 1)
        updated.result(_DEADLINE_SECONDS)

    assert _code(stores) == code_sha256(_PACKAGES[new])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_creates_a_function_anew_waits_for_the_old_one_before_touching_its_package(
    stores: Stores, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lambda_functions, "check_execution_role", lambda *_: None)
    bench = _functions_bench(stores)
    request = {
        "FunctionName": "rotate",
        "Runtime": available_runtimes()[0],
        "Role": "arn:aws:iam::000000000000:role/rotator",
        "Handler": "a.handler",
        "Code": {"ZipFile": _PACKAGES[0]},
    }

    with ThreadPoolExecutor(1) as elsewhere:
        with stores.state.write() as transaction:
            # What DeleteFunction does, in two steps.
            transaction.connection.execute(delete(schema.functions))
            created = elsewhere.submit(bench.call, "lambda", "CreateFunction", **request)
            _wait_until_somebody_waits_for_a_lock(postgresql)
            functions.drop_if_unused(transaction, code_sha256(_PACKAGES[0]))
        created.result(_DEADLINE_SECONDS)

    assert _code(stores) == code_sha256(_PACKAGES[0])
