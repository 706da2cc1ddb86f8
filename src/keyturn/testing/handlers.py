"""Handlers on a workbench: real SQLite, real envelopes, a clock that stands still."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from keyturn import ids
from keyturn.arn import Place
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.crypto.envelope import Envelope
from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial
from keyturn.crypto.tokens import TokenSealer
from keyturn.operations import registry
from keyturn.operations.accesses import Accesses
from keyturn.operations.function_metrics import FunctionMetrics
from keyturn.operations.kit import Kit
from keyturn.operations.meters import Meters
from keyturn.operations.secretsmanager.mirroring import follow
from keyturn.operations.uses import Uses
from keyturn.quotas import Quotas
from keyturn.rules.audit_chain import ChainKey
from keyturn.server.authorise import Authoriser
from keyturn.server.vpc_endpoints import VpcEndpoint
from keyturn.storage import accounts, kms_keys
from keyturn.storage.accounts import AccountRecord
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.database import Database, Stores
from keyturn.storage.kept import KeptRows
from keyturn.testing.clock import FakeClock
from keyturn.testing.root_key import InMemoryProvider
from keyturn.testing.sqlite import new_database

PLACE = Place("aws", "us-east-1", "000000000000")
_SYSTEM = MaterialId("system")
ALLOW_ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'


def user(name: str) -> Principal:
    """A user who signs a call."""
    return Principal(
        kind=PrincipalKind.USER,
        arn=PLACE.user_arn("/", name),
        unique_id=f"AIDA{name.upper():X<16}",
        account_id=PLACE.account_id,
        name=name,
        access_key_id="AKIAEXAMPLEEXAMPLE00",
    )


class HandlerBench:
    """A kit, and calls that take the pipeline's way: load, authorise, report what is missing, handle.

    Args:
        stores: Its databases.
        beside: Another bench of the same databases: two servers, with one root key and one clock.
    """

    def __init__(self, stores: Stores, beside: HandlerBench | None = None) -> None:
        registry.discover()
        self.clock: FakeClock = beside.clock if beside else FakeClock()
        self.provider: InMemoryProvider = beside.provider if beside else InMemoryProvider()
        self.own: dict[MaterialId, WrappedMaterial] = dict(beside.own) if beside else {}
        keyring = Keyring(self.provider, _stored_material(stores.state, self.own))
        if not beside:
            self.own[_SYSTEM] = keyring.new_material(_SYSTEM)
        self.kept = KeptRows(stores.state)
        # VPC endpoints by their ids.
        self.endpoints: dict[str, VpcEndpoint] = {}
        authorization_messages = TokenSealer(keyring, key_id=_SYSTEM.key_id, purpose="authorization-message")
        parts: dict[str, Any] = {
            "partition": PLACE.partition,
            "management_account_id": PLACE.account_id,
            "regions": frozenset({PLACE.region, "eu-west-1"}),
            "quotas": Quotas(),
            "clock": self.clock,
            "random": secrets,
            "state": stores.state,
            "journal": stores.journal,
            "audit_log": AuditLog(stores.journal, ChainKey(keyring.derive_key("system", "keyturn audit chain"))),
            "kept": self.kept,
            "keyring": keyring,
            "envelope": Envelope(keyring),
            "system_key_id": _SYSTEM.key_id,
            "accesses": Accesses(),
            "uses": Uses(),
            "meters": Meters(),
            "function_metrics": FunctionMetrics(),
            "session_tokens": TokenSealer(keyring, key_id=_SYSTEM.key_id, purpose="sts-session"),
            "page_tokens": TokenSealer(keyring, key_id=_SYSTEM.key_id, purpose="page"),
            "grant_tokens": TokenSealer(keyring, key_id=_SYSTEM.key_id, purpose="kms-grant"),
            "authorization_messages": authorization_messages,
            "authorise": Authoriser(
                self.kept,
                ids.organization_id_of(PLACE.account_id),
                authorization_messages,
                lambda entrance: self.endpoints.get(entrance.vpc_endpoint_id),
            ),
            "wake_scheduler": lambda: None,
        }
        # What these handlers have no use for is not there: the runtime, the scheduler, links.
        self.kit = Kit(**{**dict.fromkeys(field.name for field in fields(Kit)), **parts})
        self.kit.audit_log.begin(self.clock.now())
        follow(self.kit)
        self.caller = user("administrator")

    def as_(self, principal: Principal, session_policy: str = "") -> Call:
        """A call that a principal makes."""
        return Call(
            principal=principal,
            place=PLACE,
            source_address="127.0.0.1",
            user_agent="unit test",
            request_id=ids.new_request_id(),
            at=self.clock.now(),
            session_policy=session_policy,
            further_events=[],
        )

    def call(self, service: str, name: str, **request: Any) -> Any:
        """Run an operation as ``caller``, whose policies are not asked."""
        return self._run(self.as_(self.caller), service, name, request, asked=False)

    def call_as(self, call: Call, service: str, name: str, **request: Any) -> Any:
        """Run an operation for a caller whose policies decide."""
        return self._run(call, service, name, request, asked=True)

    def _run(self, call: Call, service: str, name: str, request: dict[str, Any], *, asked: bool) -> Any:
        operation = registry.find(service, name)
        if operation is None:
            raise LookupError(f"{service} {name} is not offered")
        self.kept.refresh()
        subject = operation.load(self.kit, call, request)
        if asked and operation.action:
            self.kit.authorise(call, operation.action, subject)
        if subject.missing is not None:
            raise subject.missing
        return operation.handle(self.kit, call, request, subject.record)


def _stored_material(
    state: Database, own: Mapping[MaterialId, WrappedMaterial]
) -> Callable[[MaterialId], WrappedMaterial]:
    def load(material_id: MaterialId) -> WrappedMaterial:
        if material_id in own:
            return own[material_id]
        with state.read() as connection:
            material = kms_keys.load_material(connection, *material_id)
        if material is None:
            raise LookupError(material_id)
        return WrappedMaterial(material_id, material.wrapped)

    return load


@contextmanager
def open_bench(directory: Path) -> Iterator[HandlerBench]:
    """A bench with databases in which there is an account and nothing else."""
    stores = Stores.open(new_database(directory))
    for database in (stores.state, stores.journal):
        event.listen(database.engine, "connect", _wait_for_no_disk)
    try:
        with stores.state.write() as transaction:
            made_at = FakeClock().now()
            account = AccountRecord(PLACE.account_id, "management", f"root@{PLACE.account_id}", made_at)
            accounts.insert_account(transaction, account)
        yield HandlerBench(stores)
    finally:
        stores.close()


def _wait_for_no_disk(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # Nobody pulls the plug on a bench, and half of a test's time would be spent on waiting for the disk.
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()
