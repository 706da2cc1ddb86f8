from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.operations.uses import Uses
from keyturn.storage import access_keys, roles, users
from keyturn.storage.database import StorageError, Stores
from keyturn.storage.kept import KeptRows
from keyturn.storage.users import UserRecord
from keyturn.storage.uses import Use, record_uses
from keyturn.testing.handlers import user as principal

from .conftest import NOW
from .people import a_key, a_role, a_user, touched

USE = Use(NOW, "secretsmanager", "eu-west-1")


@pytest.fixture
def alice(stores: Stores) -> UserRecord:
    with stores.state.write() as transaction:
        assert users.insert_user(transaction, a_user())
    return a_user()


def test_an_access_key_brings_its_user(stores: Stores, alice: UserRecord) -> None:
    later = replace(a_key("AKIA1", alice), created_at=NOW.replace(year=2027), active=False)
    with stores.state.write() as transaction:
        users.insert_user(transaction, a_user("bob"))
        access_keys.insert_access_key(transaction, later)
        access_keys.insert_access_key(transaction, a_key("AKIA2", alice))
        access_keys.insert_access_key(transaction, a_key("AKIA3", a_user("bob")))
        assert (users.ACCESS_KEY, "AKIA1") in touched(transaction)

    with stores.state.read() as connection:
        assert access_keys.load_access_key(connection, "AKIA1") == later
        assert access_keys.load_access_key(connection, "akia1") is None
        assert access_keys.list_access_keys(connection, alice.arn) == [a_key("AKIA2", alice), later]


def test_an_access_key_is_switched_off_and_removed(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        access_keys.insert_access_key(transaction, a_key("AKIA1", alice))
    with stores.state.write() as transaction:
        access_keys.update_access_key(transaction, "AKIA1", active=False)
        assert touched(transaction) == {(users.ACCESS_KEY, "AKIA1")}
    with stores.state.read() as connection:
        assert access_keys.load_access_key(connection, "AKIA1") == replace(a_key("AKIA1", alice), active=False)

    with stores.state.write() as transaction:
        access_keys.delete_access_key(transaction, "AKIA1")
        assert touched(transaction) == {(users.ACCESS_KEY, "AKIA1")}
    with stores.state.read() as connection:
        assert access_keys.load_access_key(connection, "AKIA1") is None


def test_an_access_key_needs_a_user(stores: Stores) -> None:
    def insert_without_user() -> None:
        with stores.state.write() as transaction:
            access_keys.insert_access_key(transaction, a_key("AKIA1", a_user("nobody")))

    with pytest.raises(StorageError):
        insert_without_user()


def test_the_last_use_of_a_key_and_a_role_is_stored_and_an_earlier_one_is_not(
    stores: Stores, alice: UserRecord
) -> None:
    earlier = replace(USE, used_at=NOW - timedelta(minutes=1), region="us-east-1")
    with stores.state.write() as transaction:
        access_keys.insert_access_key(transaction, a_key("AKIA1", alice))
        roles.insert_role(transaction, a_role())

    # Another server may have seen it before and store it after.
    for use in (USE, earlier):
        with stores.state.write() as transaction:
            record_uses(transaction, {"AKIA1": use, "AKIAGONE": use}, {a_role().arn: use})

    with stores.state.read() as connection:
        assert access_keys.load_access_key(connection, "AKIA1") == replace(a_key("AKIA1", alice), last_use=USE)
        role = roles.load_role_by_arn(connection, a_role().arn)
    assert role == replace(a_role(), last_used_at=NOW, last_used_region="eu-west-1")


def test_what_was_used_is_stored_once_and_drops_no_kept_row(
    stores: Stores, alice: UserRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stores.state.write() as transaction:
        access_keys.insert_access_key(transaction, a_key("AKIA1", alice))
    kept, uses = KeptRows(stores.state), Uses()
    caller = replace(principal("alice"), access_key_id="AKIA1")
    loads: list[str] = []

    def kept_user() -> None:
        kept.refresh()
        kept.get(users.USER, alice.arn, lambda _: loads.append("load"))

    kept_user()
    uses.note(caller, "sts", "us-east-1", NOW - timedelta(seconds=1))
    uses.note(caller, USE.service, USE.region, USE.used_at)
    uses.store(stores.state)
    kept_user()

    assert loads == ["load"]
    with stores.state.read() as connection:
        found = access_keys.load_access_key(connection, "AKIA1")
    assert found is not None
    assert found.last_use == USE
    assert uses.last("AKIA1", None) == USE
    # Nothing is new, so nothing is written.
    with monkeypatch.context() as patch:
        patch.setattr(stores.state, "write", lambda: pytest.fail("nothing is new"))
        uses.store(stores.state)


def test_a_use_that_could_not_be_stored_is_stored_the_next_time(
    stores: Stores, alice: UserRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stores.state.write() as transaction:
        access_keys.insert_access_key(transaction, a_key("AKIA1", alice))
    uses = Uses()
    uses.note(replace(principal("alice"), access_key_id="AKIA1"), USE.service, USE.region, USE.used_at)

    def fail() -> None:
        raise StorageError("The database failed: for a moment.")

    with monkeypatch.context() as patch:
        patch.setattr(stores.state, "write", fail)
        with pytest.raises(StorageError):
            uses.store(stores.state)
    uses.store(stores.state)

    with stores.state.read() as connection:
        found = access_keys.load_access_key(connection, "AKIA1")
    assert found is not None
    assert found.last_use == USE
