"""The end of a recovery window, driven by a clock that a test moves: values, rows and bytes go, and it is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from keyturn.errors.secretsmanager import InvalidRequestException, ResourceNotFoundException
from keyturn.ids import new_version_id
from keyturn.operations import registry
from keyturn.operations.accesses import Accesses
from keyturn.operations.kit import Kit
from keyturn.rules.rotation import ROTATION
from keyturn.scheduler import deletions
from keyturn.scheduler.worker import Scheduler
from keyturn.storage import audit_log, rotations, schema, secrets
from keyturn.storage.database import Database, StorageError, Stores, Transaction
from keyturn.storage.kept import KeptRows
from keyturn.storage.rotations import RotationKind
from keyturn.storage.secrets import SecretRecord
from keyturn.testing.handlers import PLACE, HandlerBench
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import OpenStores
from .files import state_files

DAY = timedelta(days=1)
_TABLES = (
    schema.secrets,
    schema.secret_versions,
    schema.staging_labels,
    schema.rotations,
    schema.rotation_steps,
)


class Desk:
    """Calls, and a scheduler that takes a turn when it is told to."""

    def __init__(self, stores: Stores) -> None:
        registry.discover()
        self.bench = HandlerBench(stores)
        self.woken = 0
        self.bench.kit = replace(self.bench.kit, accesses=Accesses(), random=_Middle(), wake_scheduler=self._wake)

    @property
    def kit(self) -> Kit:
        return self.bench.kit

    def _wake(self) -> None:
        self.woken += 1

    def call(self, name: str, **request: Any) -> Any:
        return self.bench.call("secretsmanager", name, **request)

    def create(self, name: str = "db", values: int = 2) -> str:
        """A secret with as many versions; the last is current, and all were read."""
        token = new_version_id()
        arn: str = self.call("CreateSecret", Name=name, SecretString=f"{name} 0", ClientRequestToken=token)["ARN"]
        for number in range(1, values):
            self.call(
                "PutSecretValue", SecretId=name, SecretString=f"{name} {number}", ClientRequestToken=new_version_id()
            )
        for version in self.call("ListSecretVersionIds", SecretId=name, IncludeDeprecated=True)["Versions"]:
            self.call("GetSecretValue", SecretId=name, VersionId=version["VersionId"])
        return arn

    def record(self, arn: str) -> SecretRecord:
        with self.kit.state.read() as connection:
            found = secrets.load_secret(connection, arn)
        assert found is not None
        return found

    def sealed(self, arn: str) -> dict[str, bytes]:
        """The sealed values of a secret as they are in the database."""
        with self.kit.state.read() as connection:
            versions = secrets.load_versions(connection, self.record(arn).secret_id)
        return {version.version_id: version.sealed for version in versions if version.sealed}

    def turn(self) -> timedelta:
        """One turn of the scheduler."""
        return Scheduler(self.kit).run_once()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Service events of one name, oldest first."""
        with self.kit.journal.read() as connection:
            found = audit_log.lookup(connection, PLACE, attribute=("event_name", name), limit=10_000)
        return [json.loads(record.event) for _, record in reversed(found)]

    def told(self, name: str) -> list[tuple[str, str]]:
        """Secret and version of those events."""
        return [
            (event["additionalEventData"]["SecretId"], event["additionalEventData"]["SecretVersionId"])
            for event in self.events(name)
        ]

    def rows(self) -> dict[str, int]:
        """How many rows there are of secrets and of all that belongs to them."""
        with self.kit.state.read() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in _TABLES
            }

    def restarted(self, stores: Stores) -> None:
        """Go on as another process would, that has nothing but the database and the root key."""
        self.bench.kept = KeptRows(stores.state)
        self.bench.kit = replace(
            self.kit, state=stores.state, journal=stores.journal, kept=self.bench.kept, accesses=Accesses()
        )


class _Middle:
    def randbelow(self, bound: int) -> int:
        return bound // 2


@pytest.fixture
def desk(stores: Stores) -> Desk:
    return Desk(stores)


@pytest.fixture
def files(desk: Desk, server: PostgresqlServer | None) -> Callable[[], bytes]:
    return lambda: state_files(Stores(desk.kit.state, desk.kit.journal), server)


def test_a_secret_past_its_window_leaves_no_row_and_no_byte(desk: Desk, files: Callable[[], bytes]) -> None:
    arn = desk.create()
    sealed = desk.sealed(arn)
    assert len(sealed) == 2
    assert all(value in files() for value in sealed.values())
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    desk.turn()
    desk.bench.clock.advance(7 * DAY - timedelta(milliseconds=1))
    desk.turn()
    assert desk.sealed(arn) == sealed

    desk.bench.clock.advance(timedelta(milliseconds=1))
    desk.turn()

    assert set(desk.rows().values()) == {0}
    if not desk.kit.state.dialect.is_embedded:
        # PostgreSQL gives a page back when nothing lives on it any more, and the turn after sees to that.
        desk.turn()
    assert not [version_id for version_id, value in sealed.items() if value[48:] in files() or value[:96] in files()]
    with pytest.raises(ResourceNotFoundException):
        desk.call("DescribeSecret", SecretId=arn)


def test_each_version_is_told_to_begin_and_to_have_ended(desk: Desk) -> None:
    arn = desk.create(values=3)
    versions = sorted((arn, version_id) for version_id in desk.sealed(arn))
    desk.call("DeleteSecret", SecretId="db")
    desk.turn()
    assert desk.told("StartSecretVersionDelete") == []

    ended_at = desk.bench.clock.advance(30 * DAY)
    desk.turn()
    desk.turn()

    for name in ("StartSecretVersionDelete", "EndSecretVersionDelete"):
        assert sorted(desk.told(name)) == versions
        for event in desk.events(name):
            assert event["eventType"] == "AwsServiceEvent"
            assert event["eventTime"] == ended_at.strftime("%Y-%m-%dT%H:%M:%SZ")
            version_id = event["additionalEventData"]["SecretVersionId"]
            assert event["serviceEventDetails"] == {"secretId": arn, "secretVersionId": version_id}
            assert event["requestID"] == f"Deletion-{arn}-{version_id}"


def test_with_its_rows_go_its_rotations_and_their_steps(desk: Desk) -> None:
    arn = desk.create()
    other = desk.create("other")
    now = desk.bench.clock.now()
    for owner in (arn, other):
        with desk.kit.state.write() as transaction:
            secret_id = desk.record(owner).secret_id
            rotations.start_rotation(transaction, secret_id, "v", RotationKind.ROTATION, ROTATION.first_step, now, None)
            rotation = rotations.load_unfinished(transaction.connection, secret_id)
            assert rotation is not None
            rotations.insert_step(transaction, rotation, ROTATION.first_step, "request", now)
    before = desk.rows()

    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
    desk.turn()

    assert desk.rows() == {name: count // 2 for name, count in before.items()}
    assert desk.call("GetSecretValue", SecretId="other")["SecretString"] == "other 1"


def test_memory_forgets_what_was_erased(desk: Desk) -> None:
    arn = desk.create()
    secret = desk.record(arn)
    keyring = desk.kit.envelope._keyring
    assert len(keyring._data_keys) == 2
    assert desk.kit.accesses.last_access(secret) is not None
    assert (secrets.SECRET, arn) in desk.bench.kept._rows

    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
    desk.turn()

    assert len(keyring._data_keys) == 0
    assert desk.kit.accesses.last_access(secret) is None
    assert (secrets.SECRET, arn) not in desk.bench.kept._rows
    desk.kit.accesses.store(desk.kit.state)


def test_what_was_deleted_by_force_is_gone_before_the_scheduler_comes(desk: Desk, files: Callable[[], bytes]) -> None:
    arn = desk.create()
    sealed = desk.sealed(arn)
    woken = desk.woken

    answer = desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)

    assert (answer["ARN"], answer["DeletionDate"]) == (arn, desk.bench.clock.now())
    assert desk.woken == woken + 1
    assert desk.sealed(arn) == sealed
    for request in ("DescribeSecret", "GetSecretValue", "RestoreSecret", "DeleteSecret", "ListSecretVersionIds"):
        for secret_id in ("db", arn):
            with pytest.raises(ResourceNotFoundException):
                desk.call(request, SecretId=secret_id)
    assert desk.call("ListSecrets", IncludePlannedDeletion=True)["SecretList"] == []
    again = desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
    assert again["ARN"] != arn
    assert again["Name"] == "db"

    desk.turn()
    assert set(desk.rows().values()) == {0}
    desk.turn()
    assert not any(value[48:] in files() for value in sealed.values())
    assert sorted(version for _, version in desk.told("EndSecretVersionDelete")) == sorted(sealed)


def test_its_name_is_free_at_once_and_what_is_erased_later_is_the_old_secret(desk: Desk) -> None:
    old = desk.create()
    old_versions = set(desk.sealed(old))
    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)

    new = desk.create(values=1)
    assert new != old
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    desk.call("RestoreSecret", SecretId="db")
    desk.turn()

    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == "db 0"
    assert desk.call("DescribeSecret", SecretId=new)["Name"] == "db"
    assert set(desk.told("EndSecretVersionDelete")) == {(old, version_id) for version_id in old_versions}
    assert desk.rows()["secrets"] == 1
    with pytest.raises(ResourceNotFoundException):
        desk.call("DescribeSecret", SecretId=old)


def test_a_secret_in_its_window_keeps_its_name_and_one_past_it_does_not(desk: Desk) -> None:
    old = desk.create()
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    with pytest.raises(InvalidRequestException, match="already scheduled for deletion"):
        desk.create()

    # The scheduler is late.
    desk.bench.clock.advance(7 * DAY)

    assert desk.create() != old


def test_a_restored_secret_is_whole_and_each_of_its_versions_is_told(desk: Desk) -> None:
    arn = desk.create(values=3)
    versions = sorted((arn, version_id) for version_id in desk.sealed(arn))
    described = desk.call("DescribeSecret", SecretId="db")
    desk.bench.clock.advance(DAY)
    desk.call("DeleteSecret", SecretId="db")
    deleted_at = desk.bench.clock.now()
    described["LastChangedDate"] = deleted_at
    assert desk.call("DescribeSecret", SecretId="db") == {**described, "DeletedDate": deleted_at}

    desk.bench.clock.advance(30 * DAY - timedelta(milliseconds=1))
    assert desk.call("RestoreSecret", SecretId="db") == {"ARN": arn, "Name": "db"}
    desk.bench.clock.advance(DAY)
    desk.turn()

    assert desk.call("DescribeSecret", SecretId="db") == described
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == "db 2"
    assert sorted(desk.told("CancelSecretVersionDelete")) == versions
    assert desk.told("StartSecretVersionDelete") == []
    desk.call("RestoreSecret", SecretId="db")
    assert len(desk.told("CancelSecretVersionDelete")) == len(versions)


def test_a_secret_without_a_value_goes_without_a_word(desk: Desk) -> None:
    desk.call("CreateSecret", Name="empty")
    desk.call("DeleteSecret", SecretId="empty")
    desk.call("RestoreSecret", SecretId="empty")
    desk.call("DeleteSecret", SecretId="empty", ForceDeleteWithoutRecovery=True)

    desk.turn()

    assert desk.rows()["secrets"] == 0
    for name in ("StartSecretVersionDelete", "EndSecretVersionDelete", "CancelSecretVersionDelete"):
        assert desk.events(name) == []


def test_many_are_erased_some_in_each_turn_without_a_pause_between(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, "_AT_ONCE", 2)
    for number in range(5):
        desk.create(f"n{number}", values=1)
        desk.call("DeleteSecret", SecretId=f"n{number}", RecoveryWindowInDays=7)
    pause = desk.turn()
    assert pause > timedelta(seconds=10)
    desk.bench.clock.advance(7 * DAY)

    left, pauses = [], []
    for _ in range(3):
        pauses.append(desk.turn())
        left.append(desk.rows()["secrets"])

    assert left == [3, 1, 0]
    assert max(pauses[:2]) < timedelta(seconds=0.1)
    assert pauses[2] > timedelta(seconds=10)
    assert len(desk.told("EndSecretVersionDelete")) == 5


def test_the_scheduler_is_there_when_a_window_ends(desk: Desk) -> None:
    desk.create()
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    desk.bench.clock.advance(7 * DAY - timedelta(seconds=3))

    assert desk.turn() == timedelta(seconds=3)


def test_while_somebody_reads_the_values_are_gone_and_what_a_reader_is_in_the_way_of_waits(
    desk: Desk, open_stores: OpenStores
) -> None:
    arn = desk.create()
    versions = len(desk.sealed(arn))
    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)

    with open_stores().state.read() as connection:
        connection.execute(select(schema.settings)).all()
        pause = desk.turn()
        if desk.kit.state.dialect.is_embedded:
            assert pause == timedelta(seconds=1)
            assert desk.sealed(arn) == {}
            assert desk.told("EndSecretVersionDelete") == []
            assert desk.turn() == timedelta(seconds=1)
        else:
            # Nobody is in a vacuum's way.
            assert desk.rows()["secrets"] == 0

    desk.turn()
    assert desk.rows()["secrets"] == 0
    for name in ("StartSecretVersionDelete", "EndSecretVersionDelete"):
        assert len(desk.told(name)) == versions


def test_what_has_lost_its_values_is_not_restored_by_a_server_whose_clock_is_behind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.create()
    desk.call("DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    desk.bench.clock.advance(7 * DAY)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "purge", lambda _: False)
        desk.turn()

    desk.bench.clock.advance(-5 * DAY)
    with pytest.raises(ResourceNotFoundException):
        desk.call("RestoreSecret", SecretId="db")
    desk.bench.clock.advance(5 * DAY)
    desk.turn()
    assert desk.rows()["secrets"] == 0


def test_two_servers_tell_it_once(desk: Desk, open_stores: OpenStores) -> None:
    arn = desk.create()
    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)
    now = desk.bench.clock.now()
    other = Desk(open_stores())

    deletions._erase_values(desk.kit, now)
    deletions.erase_past_recovery(other.kit, now)
    deletions._erase_secrets(desk.kit, now)

    assert desk.rows()["secrets"] == 0
    for name in ("StartSecretVersionDelete", "EndSecretVersionDelete"):
        assert [secret for secret, _ in desk.told(name)] == [arn, arn]


class Killed(BaseException):
    """The process ends here, as after kill -9: nothing below this line runs."""


class Moments:
    """Kills at the n-th moment at which a server could die with something half done."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.at:
            raise Killed


@contextmanager
def deadly(moments: Moments, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each write of the state, each purge and each storing of events be such a moment, before and after."""
    write, purge, append = Database.write, Database.purge, audit_log.append

    @contextmanager
    def dying_write(self: Database) -> Iterator[Transaction]:
        with write(self) as transaction:
            yield transaction
            moments()
        moments()

    def dying_purge(self: Database) -> bool:
        moments()
        done = purge(self)
        moments()
        return done

    def dying_append(*arguments: Any) -> None:
        append(*arguments)
        moments()

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", dying_write)
        patch.setattr(Database, "purge", dying_purge)
        patch.setattr(audit_log, "append", dying_append)
        yield


def test_a_server_killed_at_any_moment_of_an_erasure_loses_nothing_of_it(
    desk: Desk, open_stores: OpenStores, files: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = 0
    was_killed = True
    while was_killed:
        at += 1
        moments = Moments(at)
        arn = desk.create(f"n{at}")
        sealed = desk.sealed(arn)
        desk.call("DeleteSecret", SecretId=f"n{at}", RecoveryWindowInDays=7)
        desk.bench.clock.advance(7 * DAY)
        was_killed = False
        with deadly(moments, monkeypatch):
            try:
                deletions.erase_past_recovery(desk.kit, desk.bench.clock.now())
            except Killed:
                was_killed = True
        desk.restarted(open_stores())
        desk.turn()
        desk.turn()

        assert set(desk.rows().values()) == {0}, at
        assert not [value for value in sealed.values() if value[48:] in files()], at
        expected = {(arn, version_id) for version_id in sealed}
        started, ended = desk.told("StartSecretVersionDelete"), desk.told("EndSecretVersionDelete")
        assert {told for told in started if told[0] == arn} == expected, at
        assert {told for told in ended if told[0] == arn} == expected, at
    # Two writes with an event each and a purge between them, each before and after.
    assert at > 8


def test_events_that_cannot_be_stored_hold_the_erasure_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    arn = desk.create()
    sealed = desk.sealed(arn)
    desk.call("DeleteSecret", SecretId="db", ForceDeleteWithoutRecovery=True)

    def fail(*_: object) -> None:
        raise StorageError("The database failed: disk full.")

    with monkeypatch.context() as patch:
        patch.setattr(audit_log, "append", fail)
        with pytest.raises(StorageError):
            desk.turn()
        assert desk.sealed(arn) == sealed

    desk.turn()
    assert desk.rows()["secrets"] == 0


def test_versions_that_the_clean_up_removes_leave_no_byte_and_are_told(desk: Desk, files: Callable[[], bytes]) -> None:
    arn = desk.create(values=101)
    sealed = desk.sealed(arn)
    desk.bench.clock.advance(DAY)
    current = desk.call("DescribeSecret", SecretId="db")["VersionIdsToStages"]
    desk.call("PutSecretValue", SecretId="db", SecretString="newest", ClientRequestToken=new_version_id())

    left = desk.sealed(arn)
    removed = {version_id: value for version_id, value in sealed.items() if version_id not in left}
    assert len(removed) == 2
    assert not removed.keys() & current.keys()
    assert set(desk.told("SecretVersionDeletion")) == {(arn, version_id) for version_id in removed}
    assert desk.told("StartSecretVersionDelete") == []

    desk.turn()

    held = files()
    if desk.kit.state.dialect.is_embedded:
        assert not [value for value in removed.values() if value[48:] in held]
    assert all(value in held for value in left.values())
    assert desk.call("GetSecretValue", SecretId="db")["SecretString"] == "newest"
