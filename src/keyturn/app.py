"""Composition root: builds every object from the settings, and takes them apart again in the right order."""

from __future__ import annotations

import json
import logging
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from keyturn import ids
from keyturn.arn import Place
from keyturn.clock import Clock, SystemClock
from keyturn.config import DATABASE_FILE, SHOWN, Settings, is_loopback
from keyturn.console.application import Console, Setup, SignInTold
from keyturn.console.session import Sessions
from keyturn.crypto.envelope import Envelope
from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial
from keyturn.crypto.providers.local_file import LocalFileProvider
from keyturn.crypto.root_key import RootKeyProvider
from keyturn.crypto.tokens import TokenSealer
from keyturn.entrance import Entrance
from keyturn.errors.base import KeyturnError
from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.notifiers.base import Location as NotifierLocation
from keyturn.notifiers.base import open_notifiers
from keyturn.operations import registry
from keyturn.operations.accesses import Accesses
from keyturn.operations.audit_trail import store_sign_in
from keyturn.operations.function_metrics import FunctionMetrics
from keyturn.operations.installation import Installation
from keyturn.operations.kit import Authorise, Kit
from keyturn.operations.lambda_.execution_role import LAMBDA
from keyturn.operations.lambda_.log_permission import may_log
from keyturn.operations.meters import Meters
from keyturn.operations.sealing import access_key_context
from keyturn.operations.secretsmanager.mirroring import follow
from keyturn.operations.service_roles import trusts_service
from keyturn.operations.sessions import SessionTerms, issue_session
from keyturn.operations.uses import Uses
from keyturn.owner_only import read_owner_only
from keyturn.quotas import parse_rate_limits
from keyturn.rules.audit_chain import ChainKey
from keyturn.rules.network.plan import Door, NetworkPlan
from keyturn.runtime.pool import Runtime
from keyturn.runtime.spec import FunctionSpec, LogLine, Meter, RoleCredentials, RuntimeSettings
from keyturn.scheduler.events import EventInvocations
from keyturn.scheduler.metering import Metering
from keyturn.scheduler.notifying import Notifying
from keyturn.scheduler.preflight import Preflights
from keyturn.scheduler.shipping import Shipper
from keyturn.scheduler.trail import TrailKeeper
from keyturn.scheduler.worker import Scheduler
from keyturn.sensitive import Sensitive
from keyturn.server.audit import Auditor
from keyturn.server.authenticate import Authenticator, Signer
from keyturn.server.authorise import Authoriser
from keyturn.server.doors import Doors
from keyturn.server.downloads import Downloads
from keyturn.server.http import Application
from keyturn.server.metrics import MetricsPage, Sources
from keyturn.server.pipeline import Pipeline
from keyturn.server.throttle import Throttle
from keyturn.server.vpc_endpoints import vpc_endpoint_finder
from keyturn.sinks.base import Location as SinkLocation
from keyturn.sinks.base import open_sinks
from keyturn.storage import access_keys, accounts, function_logs, functions, inline_policies, kms_keys, roles, users
from keyturn.storage import settings as stored_settings
from keyturn.storage.access_keys import AccessKeyRecord
from keyturn.storage.accounts import AccountRecord
from keyturn.storage.audit_anchor import AnchorFile
from keyturn.storage.audit_log import AuditLog
from keyturn.storage.audit_writer import AuditWriter
from keyturn.storage.database import Database, Stores
from keyturn.storage.directory import DataDirectory
from keyturn.storage.kept import KeptRows
from keyturn.storage.kms_keys import KeyManager, KmsKeyRecord
from keyturn.storage.migrate import check_is_current, migrate
from keyturn.storage.trail import Trail
from keyturn.storage.users import UserRecord
from keyturn.wire.models import regions_of

_log = logging.getLogger(__name__)

ADMINISTRATOR = "administrator"
_ADMINISTRATOR_POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)
# A warm execution environment is ended before its credentials expire; the longest invocation is fifteen minutes.
_FUNCTION_SESSION = timedelta(hours=1)
_MAPS_TOLD = 4


class AdministratorKey:
    """The first access key; its secret half is readable here and nowhere else."""

    def __init__(self) -> None:
        self.access_key_id = ids.new_unique_id("AKIA")
        self.secret_access_key = Sensitive(ids.new_secret_access_key())


def initialise(settings: Settings, check: Callable[[], None] | None = None) -> AdministratorKey:
    """Make the data directory, the root key, the schema, the first keys and an administrator.

    Args:
        settings: Of the new Keyturn.
        check: May raise before any key is made, as in :func:`initialise_if_new`.

    Raises:
        KeyturnError: The directory is in use by an initialised Keyturn already, or something cannot be made.
    """
    administrator = initialise_if_new(settings, check)
    if administrator is None:
        raise KeyturnError(
            f"{settings.data_dir} is initialised already; its first access key was shown when that was done.",
            "Start it with: keyturn serve",
            "Or make a new one elsewhere with --data-dir.",
        )
    return administrator


def initialise_if_new(settings: Settings, check: Callable[[], None] | None = None) -> AdministratorKey | None:
    """Initialise unless that was done before; interrupted, it can be repeated.

    Args:
        settings: Of the new Keyturn.
        check: Called if there is something to do, before even the directory is made; what it raises ends it. A database
            elsewhere must be looked into first: then it is called before any key is made.

    Returns:
        The administrator's key, or None if there was nothing to do.

    Raises:
        KeyturnError: Something cannot be made, or another server is running on the directory.
    """
    if check is not None and not settings.database_url and not (settings.data_dir / DATABASE_FILE).exists():
        check()
    directory = DataDirectory(settings.data_dir)
    directory.create()
    directory.lock()
    try:
        stores = Stores.open(settings.state_url)
        try:
            migrate(stores)
            with stores.state.read() as connection:
                if stored_settings.load_settings(connection):
                    return None
            if check is not None:
                check()
            return _initialise(settings, stores.state)
        finally:
            stores.close()
    finally:
        directory.unlock()


def _initialise(settings: Settings, state: Database) -> AdministratorKey:
    path = settings.root_key_path
    provider = LocalFileProvider.open(path) if path.exists() else LocalFileProvider.create(path)
    place, now = settings.place, SystemClock().now()
    made: dict[MaterialId, WrappedMaterial] = {}
    keyring = Keyring(provider, made.__getitem__)
    key_id = ids.new_key_id()
    material_id = MaterialId(key_id)
    made[material_id] = keyring.new_material(material_id)
    system_key = KmsKeyRecord(
        key_id=key_id,
        account_id=place.account_id,
        region=place.region,
        arn=place.kms_key_arn(key_id),
        manager=KeyManager.KEYTURN,
        description="",
        policy="",
        tags=None,
        enabled=True,
        deletion_at=None,
        created_at=now,
    )
    user = UserRecord(
        account_id=settings.account_id,
        name=ADMINISTRATOR,
        unique_id=ids.new_unique_id("AIDA"),
        path="/",
        arn=place.user_arn("/", ADMINISTRATOR),
        created_at=now,
        tags=None,
    )
    administrator = AdministratorKey()
    sealed = Envelope(keyring).seal(
        administrator.secret_access_key.reveal().encode(),
        material_id=material_id,
        context=access_key_context(administrator.access_key_id),
    )
    access_key = AccessKeyRecord(administrator.access_key_id, user, sealed, active=True, created_at=now)
    with state.write() as transaction:
        kms_keys.insert_key(transaction, system_key, made[material_id].wrapped)
        accounts.insert_account(
            transaction, AccountRecord(settings.account_id, "management", "management@accounts.invalid", now)
        )
        users.insert_user(transaction, user)
        inline_policies.put_inline_policy(transaction, user.arn, "AdministratorAccess", _ADMINISTRATOR_POLICY)
        access_keys.insert_access_key(transaction, access_key)
        stored_settings.insert_settings(transaction, _identity(settings))
    return administrator


def _identity(settings: Settings) -> dict[str, str]:
    return {"partition": settings.partition, "account_id": settings.account_id}


class Server:
    """An open server: everything between the listening socket and the disk. Use :meth:`open` in a ``with``."""

    def __init__(
        self,
        application: Application,
        doors: Doors,
        kit: Kit,
        scheduler: Scheduler,
        preflights: Preflights | None,
        closing: ExitStack,
    ) -> None:
        self.application = application
        self.doors = doors
        self.kit = kit
        self.scheduler = scheduler
        self._preflights = preflights
        self._closing = closing

    @property
    def sandbox(self) -> str:
        """How functions are kept apart."""
        return self.kit.runtime.sandbox_description

    @property
    def networks(self) -> str:
        """What functions reach: whether those in no VPC are isolated, whether others can be in VPCs, the maps."""
        runtime = self.kit.runtime
        if runtime.vpc_problem is not None:
            return runtime.networks
        maps = [f"network map {each}" for each in runtime.network_maps]
        more = [f"and {len(maps) - _MAPS_TOLD} more"] if len(maps) > _MAPS_TOLD else []
        return ", ".join([runtime.networks, *maps[:_MAPS_TOLD], *more])

    @classmethod
    def open(cls, settings: Settings, clock: Clock | None = None) -> Self:
        """Build all parts; the scheduler runs when this returns.

        Raises:
            KeyturnError: The data directory, database, root key or sandbox is not as it must be.
        """
        with ExitStack() as closing:
            server = cls(*_build(settings, clock or SystemClock(), closing), closing.pop_all())
            server.scheduler.start()
            if server._preflights is not None:
                server._preflights.start()
            return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()


def _build(
    settings: Settings, clock: Clock, closing: ExitStack
) -> tuple[Application, Doors, Kit, Scheduler, Preflights | None]:
    registry.discover()
    directory = DataDirectory(settings.data_dir)
    directory.lock()
    closing.callback(directory.unlock)
    stores = Stores.open(settings.state_url)
    closing.callback(stores.close)
    migrate(stores)
    _check_identity(stores.state, settings)

    provider = LocalFileProvider.open(settings.root_key_path)
    keyring, system_key_id = _open_keys(stores.state, provider)
    session_tokens = TokenSealer(keyring, key_id=system_key_id, purpose="sts-session")
    authorization_messages = TokenSealer(keyring, key_id=system_key_id, purpose="authorization-message")
    audit_log = AuditLog(stores.journal, _chain_key(keyring, system_key_id))
    trail = Trail(stores, audit_log.key, AnchorFile(settings.data_dir, audit_log.key))
    kept = KeptRows(stores.state)
    find_endpoint = vpc_endpoint_finder(kept)
    authorise = Authoriser(kept, ids.organization_id_of(settings.account_id), authorization_messages, find_endpoint)
    doors = Doors()
    closing.callback(doors.end)
    function_metrics = FunctionMetrics()
    runtime = _open_runtime(settings, stores, session_tokens, authorise, doors, function_metrics, clock)
    downloads = Downloads(TokenSealer(keyring, key_id=system_key_id, purpose="package"), stores.state, clock)
    scheduler_wake = _Wake()
    events = EventInvocations()
    closing.callback(events.close)
    kit = Kit(
        partition=settings.partition,
        regions=regions_of(settings.partition) | {settings.region},
        management_account_id=settings.account_id,
        quotas=settings.quotas,
        installation=_installation(settings, provider, clock),
        clock=clock,
        random=secrets,
        state=stores.state,
        journal=stores.journal,
        audit_log=audit_log,
        trail=trail,
        kept=kept,
        keyring=keyring,
        envelope=Envelope(keyring),
        system_key_id=system_key_id,
        accesses=Accesses(),
        uses=Uses(),
        meters=Meters(),
        function_metrics=function_metrics,
        session_tokens=session_tokens,
        page_tokens=TokenSealer(keyring, key_id=system_key_id, purpose="page"),
        grant_tokens=TokenSealer(keyring, key_id=system_key_id, purpose="kms-grant"),
        runtime=runtime,
        heartbeat=settings.heartbeat,
        authorization_messages=authorization_messages,
        authorise=authorise,
        download_url=downloads.url,
        wake_scheduler=scheduler_wake,
        run_event=events.submit,
    )
    follow(kit)
    keeper = TrailKeeper(
        stores,
        audit_log,
        trail.anchors,
        clock,
        retention=timedelta(days=settings.audit_retention_days) if settings.audit_retention_days else None,
        handed_on=lambda: min((shipper.cursor for shipper in shippers), default=None),
    )
    keeper.begin()
    shippers = _open_shippers(settings, audit_log, clock, closing)
    keeper.start()
    closing.callback(keeper.close)
    notifying = Notifying(stores.state, audit_log, open_notifiers(settings.notify), clock, secrets)
    notifying.start()
    closing.callback(notifying.close)
    metering = Metering(function_metrics, stores.journal, clock)
    metering.start()
    closing.callback(metering.close)
    writer = AuditWriter(audit_log)
    closing.callback(writer.close)
    authenticator = Authenticator(kit, timedelta(seconds=settings.clock_skew_seconds))
    pipeline = Pipeline(
        kit,
        authenticator,
        Auditor(writer, settings.place, clock.now),
        Throttle(parse_rate_limits(settings.rate_limits)),
        find_endpoint,
        authorise.might_allow,
    )
    closing.callback(pipeline.close)
    metrics = _open_metrics(settings, Sources(kit, pipeline.replies, shippers, notifying.senders))
    closing.callback(metrics.close)
    scheduler = Scheduler(kit, settings.rotation_limits)
    scheduler_wake.connect(scheduler)
    preflights = Preflights(kit, timedelta(hours=settings.preflight_hours_ahead)) if settings.preflight else None
    if preflights is not None:
        scheduler_wake.connect(preflights)
        closing.callback(preflights.join)
    # Closing goes backwards: no new rotations, then no more functions, which ends whatever waits for them.
    closing.callback(scheduler.join)
    closing.callback(runtime.close)
    closing.callback(scheduler.stop)
    if preflights is not None:
        closing.callback(preflights.stop)
    if runtime.sandbox_warning:
        _log.warning("%s", runtime.sandbox_warning)
    console = _open_console(settings, kit, pipeline, downloads, authenticator) if settings.console else None
    application = Application(pipeline, lambda: not audit_log.refuses, downloads.answer, metrics.answer, console)
    return application, doors, kit, scheduler, preflights


def _installation(settings: Settings, provider: LocalFileProvider, clock: Clock) -> Installation:
    warnings = []
    if not (is_loopback(settings.host) or settings.tls_certificate):
        warnings.append(f"It listens on {settings.host} without TLS: something in front of it has to end TLS.")
    if settings.audit_retention_days == 0:
        warnings.append("Audit records are kept for ever: the journal only grows.")
    return Installation(
        region=settings.region,
        endpoint=settings.endpoint_url,
        started_at=clock.now(),
        root_key_provider=provider.kind,
        audit_sinks=tuple(SinkLocation.parse(url).kind for url in settings.audit_sinks.split()),
        notifiers=tuple(NotifierLocation.parse(url).scheme for url in settings.notify.split()),
        settings={name: _written(getattr(settings, name)) for name in SHOWN},
        warnings=tuple(warnings),
    )


def _written(value: object) -> str:
    """Return the value of a setting as it is written in the file."""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Wake:
    """Handlers wake what is built after them, because it needs what they need."""

    def __init__(self) -> None:
        self._targets: list[Scheduler | Preflights] = []

    def connect(self, target: Scheduler | Preflights) -> None:
        self._targets.append(target)

    def __call__(self) -> None:
        for target in self._targets:
            target.wake()


def _check_identity(state: Database, settings: Settings) -> None:
    with state.read() as connection:
        stored = stored_settings.load_settings(connection)
    if not stored:
        raise KeyturnError(f"{settings.data_dir} is not initialised.", "Run: keyturn init")
    for name, value in _identity(settings).items():
        if stored.get(name) != value:
            raise KeyturnError(
                f"This database belongs to {name} {stored.get(name)!r}, the settings say {value!r}.",
                f"Start with KEYTURN_{name.upper()}={stored.get(name)}: it is part of every stored ARN.",
            )


def _open_keys(state: Database, provider: RootKeyProvider) -> tuple[Keyring, str]:
    """Return the KMS keys, and the id of the one that seals Keyturn's own secrets."""

    def load_wrapped(material_id: MaterialId) -> WrappedMaterial:
        with state.read() as connection:
            material = kms_keys.load_material(connection, *material_id)
        if material is None:
            raise LookupError(material_id)
        return WrappedMaterial(material_id, material.wrapped)

    with state.read() as connection:
        system_key = kms_keys.load_system_key(connection)
    if system_key is None:
        raise KeyturnError("The database has no key for Keyturn's own secrets.", "Restore it from a backup.")
    return Keyring(provider, load_wrapped), system_key.key_id


@contextmanager
def open_trail(settings: Settings) -> Iterator[Trail]:
    """Open the trail for reading, whether a server is running or not.

    Raises:
        KeyturnError: There is no database, it is not of this version, or the root key is not as it must be.
    """
    stores = Stores.open(settings.state_url, read_only=True)
    try:
        check_is_current(stores)
        keyring, system_key_id = _open_keys(stores.state, LocalFileProvider.open(settings.root_key_path))
        key = _chain_key(keyring, system_key_id)
        yield Trail(stores, key, AnchorFile(settings.data_dir, key))
    finally:
        stores.close()


def _chain_key(keyring: Keyring, system_key_id: str) -> ChainKey:
    return ChainKey(keyring.derive_key(system_key_id, "keyturn audit chain"))


def _open_shippers(settings: Settings, log: AuditLog, clock: Clock, closing: ExitStack) -> list[Shipper]:
    owner = ids.new_request_id()
    shippers = [
        Shipper(
            log,
            name,
            sink,
            clock,
            owner=owner,
            limit_records=settings.audit_sink_limit_records,
            limit_seconds=settings.audit_sink_limit_seconds,
        )
        for name, sink in open_sinks(settings.audit_sinks, clock)
    ]
    for shipper in shippers:
        shipper.start()
        closing.callback(shipper.close)
    return shippers


def _open_metrics(settings: Settings, sources: Sources) -> MetricsPage:
    path = settings.metrics_token_file
    return MetricsPage(None if path is None else read_owner_only(path, "The metrics token"), sources)


def _open_console(
    settings: Settings, kit: Kit, pipeline: Pipeline, downloads: Downloads, authenticator: Authenticator
) -> Console:
    def holder(access_key_id: str, session_token: str | None, now: datetime) -> Signer:
        # Whose key was switched off a moment ago is out.
        kit.kept.refresh()
        return authenticator.holder(access_key_id, session_token, now)

    def note_sign_in(told: SignInTold) -> None:
        principal = None if told.signed_in is None else told.signed_in.principal
        store_sign_in(
            kit,
            settings.place,
            principal,
            source_address=told.origin.client_host,
            user_agent=told.user_agent,
            url=told.origin.url,
            at=told.at,
        )

    def sealer(purpose: str) -> TokenSealer:
        return TokenSealer(kit.keyring, key_id=kit.system_key_id, purpose=purpose)

    return Console(
        Setup(
            pipeline=pipeline,
            downloads=downloads.answer,
            sessions=Sessions(sealer("console-session"), holder, kit.state, kit.clock),
            notices=sealer("console-notice"),
            clock=kit.clock,
            regions=tuple(sorted(kit.regions)),
            region=settings.region,
            note_sign_in=note_sign_in,
        )
    )


def _open_runtime(
    settings: Settings,
    stores: Stores,
    session_tokens: TokenSealer,
    authorise: Authorise,
    doors: Doors,
    meter: Meter,
    clock: Clock,
) -> Runtime:
    def load_package(code_sha256: str) -> bytes:
        with stores.state.read() as connection:
            package = functions.load_package(connection, code_sha256)
        if package is None:
            raise KeyturnError(f"The package {code_sha256} is not in the database.")
        return package

    def credentials_for(spec: FunctionSpec) -> RoleCredentials:
        with stores.state.read() as connection:
            role = roles.load_role_by_arn(connection, spec.role_arn)
        if role is None or not trusts_service(role, LAMBDA, spec.arn):
            raise InvalidParameterValueException("The role defined for the function cannot be assumed by Lambda.")
        terms = SessionTerms(is_preflight=bool(spec.program))
        session = issue_session(session_tokens, role, spec.name, clock.now(), _FUNCTION_SESSION, terms)
        return RoleCredentials(
            session.access_key_id, session.secret_access_key, session.session_token, session.expires_at
        )

    def write_log(spec: FunctionSpec, stream: str, lines: Sequence[LogLine]) -> None:
        pairs = [(line.timestamp_ms, line.message) for line in lines]
        if spec.shares_log_group:
            with stores.state.read() as connection:
                role = roles.load_role_by_arn(connection, spec.role_arn)
            if not may_log(authorise, spec, role, stream, clock.now()):
                return
        function_logs.append_events(stores.journal, spec.place, spec.log_group, stream, pairs, clock.now())

    def open_door(
        listener: socket.socket, place: Place, plan: NetworkPlan | None, door: Door | None
    ) -> Callable[[], None]:
        if plan is None or door is None:
            # In no VPC, and on this machine, as a function that has the machine's network.
            return doors.open(listener, Entrance("", "", "127.0.0.1", place))
        source = plan.address if door.endpoint_id else plan.public_source
        return doors.open(listener, Entrance(door.endpoint_id, plan.vpc_id, source, place))

    return Runtime(
        settings=RuntimeSettings(
            directory=settings.data_dir / "runtime",
            endpoint_url=settings.endpoint_url,
            sandbox=settings.sandbox_demand.value,
            max_environments=settings.max_environments,
            max_environments_per_function=settings.max_environments_per_function,
            hidden=(settings.data_dir.resolve(), settings.root_key_path.resolve().parent),
            isolate=settings.isolate_functions,
            network_maps=settings.network_maps,
        ),
        clock=clock,
        load_package=load_package,
        credentials_for=credentials_for,
        write_log=write_log,
        meter=meter,
        open_door=open_door,
    )
