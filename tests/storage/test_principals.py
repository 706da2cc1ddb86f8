from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from keyturn.storage import principals, schema
from keyturn.storage.database import StorageError, Stores, Transaction
from keyturn.storage.kept import KeptRows
from keyturn.storage.principals import AccessKeyRecord, RoleRecord, UserRecord

from .conftest import NOW, PLACE

_ARN = "arn:aws:iam::000000000000"
_DEADLINE_SECONDS = 20


def _user(name: str = "alice") -> UserRecord:
    return UserRecord(PLACE.account_id, name, f"AIDA{name.upper()}", "/", f"{_ARN}:user/{name}", NOW, {"team": "db"})


def _role(name: str = "rotator") -> RoleRecord:
    return RoleRecord(PLACE.account_id, name, f"AROA{name.upper()}", "/", f"{_ARN}:role/{name}", NOW, "{}", None, 3600)


def _key(access_key_id: str, user: UserRecord) -> AccessKeyRecord:
    return AccessKeyRecord(access_key_id, user, b"sealed", active=True, created_at=NOW)


def _touched(transaction: Transaction) -> set[tuple[str, str]]:
    return {(change["kind"], change["subject"]) for change in transaction.touched}


@pytest.fixture
def alice(stores: Stores) -> UserRecord:
    with stores.state.write() as transaction:
        assert principals.insert_user(transaction, _user())
    return _user()


def test_a_user_comes_back_as_stored(stores: Stores, alice: UserRecord) -> None:
    with stores.state.read() as connection:
        assert principals.load_user(connection, PLACE.account_id, "alice") == alice
        assert principals.load_user(connection, PLACE.account_id, "Alice") is None


def test_principals_are_listed_by_name_capitals_first(stores: Stores) -> None:
    with stores.state.write() as transaction:
        for name in ("b", "a", "C", "a-b", "aa"):
            assert principals.insert_user(transaction, _user(name))
            assert principals.insert_role(transaction, _role(name))

    with stores.state.read() as connection:
        assert [user.name for user in principals.list_users(connection, PLACE.account_id)] == [
            "C",
            "a",
            "a-b",
            "aa",
            "b",
        ]
        assert [role.name for role in principals.list_roles(connection, PLACE.account_id)] == [
            "C",
            "a",
            "a-b",
            "aa",
            "b",
        ]


def test_a_name_that_is_taken_is_reported_and_changes_nothing(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        assert principals.insert_role(transaction, _role())
        principals.put_inline_policy(transaction, alice.arn, "mine", "{}")
    with stores.state.write() as transaction:
        assert not principals.insert_user(transaction, replace(alice, unique_id="AIDAOTHER", tags=None))
        assert not principals.insert_role(transaction, replace(_role(), unique_id="AROAOTHER"))
        assert transaction.touched == []

    with stores.state.read() as connection:
        assert principals.load_user(connection, PLACE.account_id, "alice") == alice
        assert principals.load_role(connection, PLACE.account_id, "rotator") == _role()
        assert principals.inline_policies(connection, alice.arn) == {"mine": "{}"}


def test_a_role_is_found_by_name_and_by_its_whole_arn(stores: Stores) -> None:
    role = replace(_role(), path="/teams/", arn=f"{_ARN}:role/teams/rotator", description="what for", tags={"a": "b"})
    with stores.state.write() as transaction:
        principals.insert_role(transaction, role)

    with stores.state.read() as connection:
        assert principals.load_role(connection, PLACE.account_id, "rotator") == role
        assert principals.load_role_by_arn(connection, role.arn) == role
        assert principals.load_role_by_arn(connection, f"{_ARN}:role/rotator") is None


def test_a_role_changes_and_goes_with_its_policies(stores: Stores) -> None:
    role = _role()
    with stores.state.write() as transaction:
        principals.insert_role(transaction, role)
        principals.put_inline_policy(transaction, role.arn, "rotate", "{}")
    with stores.state.write() as transaction:
        principals.update_role(transaction, role, trust_policy='{"Version": "2012-10-17"}', tags={"k": "v"})
        assert _touched(transaction) == {(principals.ROLE, role.arn)}
    with stores.state.read() as connection:
        changed = replace(role, trust_policy='{"Version": "2012-10-17"}', tags={"k": "v"})
        assert principals.load_role(connection, PLACE.account_id, "rotator") == changed

    with stores.state.write() as transaction:
        principals.delete_role(transaction, role)
        assert _touched(transaction) == {(principals.ROLE, role.arn), (principals.POLICIES, role.arn)}
    with stores.state.read() as connection:
        assert principals.load_role(connection, PLACE.account_id, "rotator") is None
        assert principals.inline_policies(connection, role.arn) == {}


def test_an_access_key_brings_its_user(stores: Stores, alice: UserRecord) -> None:
    later = replace(_key("AKIA1", alice), created_at=NOW.replace(year=2027), active=False)
    with stores.state.write() as transaction:
        principals.insert_user(transaction, _user("bob"))
        principals.insert_access_key(transaction, later)
        principals.insert_access_key(transaction, _key("AKIA2", alice))
        principals.insert_access_key(transaction, _key("AKIA3", _user("bob")))
        assert (principals.ACCESS_KEY, "AKIA1") in _touched(transaction)

    with stores.state.read() as connection:
        assert principals.load_access_key(connection, "AKIA1") == later
        assert principals.load_access_key(connection, "akia1") is None
        assert principals.list_access_keys(connection, alice.arn) == [_key("AKIA2", alice), later]


def test_an_access_key_is_switched_off_and_removed(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        principals.insert_access_key(transaction, _key("AKIA1", alice))
    with stores.state.write() as transaction:
        principals.update_access_key(transaction, "AKIA1", active=False)
        assert _touched(transaction) == {(principals.ACCESS_KEY, "AKIA1")}
    with stores.state.read() as connection:
        assert principals.load_access_key(connection, "AKIA1") == replace(_key("AKIA1", alice), active=False)

    with stores.state.write() as transaction:
        principals.delete_access_key(transaction, "AKIA1")
        assert _touched(transaction) == {(principals.ACCESS_KEY, "AKIA1")}
    with stores.state.read() as connection:
        assert principals.load_access_key(connection, "AKIA1") is None


def test_an_access_key_needs_a_user(stores: Stores) -> None:
    def insert_without_user() -> None:
        with stores.state.write() as transaction:
            principals.insert_access_key(transaction, _key("AKIA1", _user("nobody")))

    with pytest.raises(StorageError):
        insert_without_user()


def test_a_user_who_is_deleted_takes_keys_and_policies_along_and_no_kept_key_survives(
    stores: Stores, alice: UserRecord
) -> None:
    kept = KeptRows(stores.state)

    def kept_key() -> AccessKeyRecord | None:
        kept.refresh()
        return kept.get(
            principals.ACCESS_KEY, "AKIA1", lambda connection: principals.load_access_key(connection, "AKIA1")
        )

    with stores.state.write() as transaction:
        principals.insert_access_key(transaction, _key("AKIA1", alice))
        principals.put_inline_policy(transaction, alice.arn, "all", "{}")
    assert kept_key() == _key("AKIA1", alice)

    with stores.state.write() as transaction:
        principals.delete_user(transaction, alice)
        assert _touched(transaction) == {
            (principals.USER, alice.arn),
            (principals.POLICIES, alice.arn),
            (principals.ACCESS_KEY, "AKIA1"),
        }

    assert kept_key() is None
    with stores.state.read() as connection:
        assert connection.execute(select(schema.access_keys)).all() == []
        assert principals.inline_policies(connection, alice.arn) == {}


def test_a_user_who_changes_is_renewed_in_kept_access_keys(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        principals.insert_access_key(transaction, _key("AKIA1", alice))
    with stores.state.write() as transaction:
        principals.update_user(transaction, alice, tags={"team": "web"})
        assert _touched(transaction) == {(principals.USER, alice.arn), (principals.ACCESS_KEY, "AKIA1")}

    with stores.state.read() as connection:
        found = principals.load_access_key(connection, "AKIA1")
    assert found is not None
    assert found.user.tags == {"team": "web"}


def test_a_key_made_while_its_user_is_being_deleted_does_not_outlive_the_user(
    stores: Stores, alice: UserRecord
) -> None:
    outcome: list[str] = []

    def make_key() -> None:
        try:
            with stores.state.write() as transaction:
                principals.insert_access_key(transaction, _key("AKIA1", alice))
            outcome.append("made")
        except StorageError:
            outcome.append("refused")

    thread = threading.Thread(target=make_key)
    with stores.state.write() as transaction:
        principals.update_user(transaction, alice, tags=None)
        thread.start()
        principals.delete_user(transaction, alice)
    thread.join(_DEADLINE_SECONDS)

    assert outcome == ["refused"]


def test_inline_policies_are_replaced_by_name_and_listed_by_name(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        principals.put_inline_policy(transaction, alice.arn, "b", "1")
        principals.put_inline_policy(transaction, alice.arn, "a", "1")
        principals.put_inline_policy(transaction, alice.arn, "b", "2")
        assert _touched(transaction) == {(principals.POLICIES, alice.arn)}
    with stores.state.read() as connection:
        assert list(principals.inline_policies(connection, alice.arn).items()) == [("a", "1"), ("b", "2")]

    with stores.state.write() as transaction:
        assert principals.delete_inline_policy(transaction, alice.arn, "a")
        assert not principals.delete_inline_policy(transaction, alice.arn, "a")
    with stores.state.read() as connection:
        assert principals.inline_policies(connection, alice.arn) == {"b": "2"}


def test_a_policy_left_behind_does_not_come_to_life_with_the_next_of_that_name(stores: Stores) -> None:
    with stores.state.write() as transaction:
        principals.put_inline_policy(transaction, _user().arn, "all", "{}")
        principals.put_inline_policy(transaction, _role().arn, "all", "{}")
        principals.insert_user(transaction, _user())
        principals.insert_role(transaction, _role())

    with stores.state.read() as connection:
        assert principals.inline_policies(connection, _user().arn) == {}
        assert principals.inline_policies(connection, _role().arn) == {}
