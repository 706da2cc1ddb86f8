from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import select

from keyturn.storage import access_keys, attachments, groups, inline_policies, owned_policies, schema, users
from keyturn.storage.access_keys import AccessKeyRecord
from keyturn.storage.database import StorageError, Stores
from keyturn.storage.kept import KeptRows
from keyturn.storage.users import UserRecord

from .conftest import PLACE
from .people import a_group, a_key, a_user, touched

_DEADLINE_SECONDS = 20


@pytest.fixture
def alice(stores: Stores) -> UserRecord:
    with stores.state.write() as transaction:
        assert users.insert_user(transaction, a_user())
    return a_user()


def test_a_user_comes_back_as_stored(stores: Stores, alice: UserRecord) -> None:
    with stores.state.read() as connection:
        assert users.load_user(connection, PLACE.account_id, "alice") == alice
        assert users.load_user_by_arn(connection, alice.arn) == alice
        assert users.load_user(connection, PLACE.account_id, "Alice") is None


def test_users_are_listed_by_name_capitals_first(stores: Stores) -> None:
    with stores.state.write() as transaction:
        for name in ("b", "a", "C", "a-b", "aa"):
            assert users.insert_user(transaction, a_user(name))

    with stores.state.read() as connection:
        assert [user.name for user in users.list_users(connection, PLACE.account_id)] == ["C", "a", "a-b", "aa", "b"]
        assert sorted(users.user_names(connection, PLACE.account_id)) == ["C", "a", "a-b", "aa", "b"]
        assert users.user_names(connection, "1" * 12) == []


def test_a_name_that_is_taken_is_reported_and_changes_nothing(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, alice.arn, "mine", "{}")
    with stores.state.write() as transaction:
        assert not users.insert_user(transaction, replace(alice, unique_id="AIDAOTHER", tags=None))
        assert transaction.touched == []

    with stores.state.read() as connection:
        assert users.load_user(connection, PLACE.account_id, "alice") == alice
        assert inline_policies.load_inline_policies(connection, alice.arn) == {"mine": "{}"}


def test_a_boundary_is_one_of_a_users_policies(stores: Stores, alice: UserRecord) -> None:
    boundary = PLACE.policy_arn("/", "limit")
    with stores.state.write() as transaction:
        users.update_user(transaction, alice, boundary_arn=boundary)
        assert (owned_policies.POLICIES, alice.arn) in touched(transaction)
    with stores.state.write() as transaction:
        users.update_user(transaction, alice, tags=None)
        assert (owned_policies.POLICIES, alice.arn) not in touched(transaction)

    with stores.state.read() as connection:
        assert users.load_user_by_arn(connection, alice.arn) == replace(alice, boundary_arn=boundary, tags=None)


def test_a_user_who_is_deleted_takes_everything_along_and_no_kept_key_survives(
    stores: Stores, alice: UserRecord
) -> None:
    kept = KeptRows(stores.state)

    def kept_key() -> AccessKeyRecord | None:
        kept.refresh()
        return kept.get(users.ACCESS_KEY, "AKIA1", lambda connection: access_keys.load_access_key(connection, "AKIA1"))

    with stores.state.write() as transaction:
        access_keys.insert_access_key(transaction, a_key("AKIA1", alice))
        inline_policies.put_inline_policy(transaction, alice.arn, "all", "{}")
        attachments.attach_policy(transaction, alice.account_id, alice.arn, "arn:policy")
        groups.insert_group(transaction, a_group())
        groups.add_member(transaction, a_group(), alice)
    assert kept_key() == a_key("AKIA1", alice)

    with stores.state.write() as transaction:
        users.delete_user(transaction, alice)
        assert touched(transaction) == {
            (users.USER, alice.arn),
            (owned_policies.POLICIES, alice.arn),
            (users.ACCESS_KEY, "AKIA1"),
        }

    assert kept_key() is None
    with stores.state.read() as connection:
        assert connection.execute(select(schema.access_keys)).all() == []
        assert connection.execute(select(schema.policy_attachments)).all() == []
        assert connection.execute(select(schema.group_members)).all() == []
        assert inline_policies.load_inline_policies(connection, alice.arn) == {}


def test_a_user_who_changes_is_renewed_in_kept_access_keys(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        access_keys.insert_access_key(transaction, a_key("AKIA1", alice))
    with stores.state.write() as transaction:
        users.update_user(transaction, alice, tags={"team": "web"})
        assert touched(transaction) == {(users.USER, alice.arn), (users.ACCESS_KEY, "AKIA1")}

    with stores.state.read() as connection:
        found = access_keys.load_access_key(connection, "AKIA1")
    assert found is not None
    assert found.user.tags == {"team": "web"}


def test_everything_follows_a_user_to_another_name_and_path(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        access_keys.insert_access_key(transaction, a_key("AKIA1", alice))
        inline_policies.put_inline_policy(transaction, alice.arn, "mine", "{}")
        attachments.attach_policy(transaction, alice.account_id, alice.arn, "arn:policy")
        groups.insert_group(transaction, a_group())
        groups.add_member(transaction, a_group(), alice)
    arn = PLACE.user_arn("/team/", "alicia")
    # What somebody of that name has left behind is nobody's.
    with stores.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, arn, "stale", "{}")

    with stores.state.write() as transaction:
        users.rename_user(transaction, alice, "alicia", "/team/", arn)
        assert touched(transaction) == {
            (users.USER, alice.arn),
            (users.USER, arn),
            (users.ACCESS_KEY, "AKIA1"),
            (owned_policies.POLICIES, alice.arn),
            (owned_policies.POLICIES, arn),
        }

    alicia = replace(alice, name="alicia", path="/team/", arn=arn)
    with stores.state.read() as connection:
        assert users.load_user(connection, PLACE.account_id, "alicia") == alicia
        assert users.load_user(connection, PLACE.account_id, "alice") is None
        assert access_keys.list_access_keys(connection, arn) == [a_key("AKIA1", alicia)]
        assert inline_policies.load_inline_policies(connection, arn) == {"mine": "{}"}
        assert attachments.load_attached(connection, arn) == ["arn:policy"]
        assert groups.load_groups_of(connection, arn) == [a_group()]
        assert groups.load_members(connection, a_group().arn) == [alicia]


def test_another_case_of_the_same_name_is_another_arn(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, alice.arn, "mine", "{}")
        users.rename_user(transaction, alice, "Alice", "/", PLACE.user_arn("/", "Alice"))

    with stores.state.read() as connection:
        assert users.user_names(connection, PLACE.account_id) == ["Alice"]
        assert inline_policies.load_inline_policies(connection, PLACE.user_arn("/", "Alice")) == {"mine": "{}"}


def test_the_same_name_again_changes_nothing(stores: Stores, alice: UserRecord) -> None:
    with stores.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, alice.arn, "mine", "{}")
        users.rename_user(transaction, alice, alice.name, alice.path, alice.arn)

    with stores.state.read() as connection:
        assert users.load_user(connection, PLACE.account_id, "alice") == alice
        assert inline_policies.load_inline_policies(connection, alice.arn) == {"mine": "{}"}


def test_a_key_made_while_its_user_is_being_deleted_does_not_outlive_the_user(
    stores: Stores, alice: UserRecord
) -> None:
    outcome: list[str] = []

    def make_key() -> None:
        try:
            with stores.state.write() as transaction:
                access_keys.insert_access_key(transaction, a_key("AKIA1", alice))
            outcome.append("made")
        except StorageError:
            outcome.append("refused")

    thread = threading.Thread(target=make_key)
    with stores.state.write() as transaction:
        users.update_user(transaction, alice, tags=None)
        thread.start()
        users.delete_user(transaction, alice)
    thread.join(_DEADLINE_SECONDS)

    assert outcome == ["refused"]


def test_who_locks_a_user_sees_it_as_the_last_one_left_it(stores: Stores, alice: UserRecord) -> None:
    found: list[UserRecord | None] = []

    def lock() -> None:
        with stores.state.write() as transaction:
            found.append(users.lock_user(transaction, alice.account_id, alice.name))

    thread = threading.Thread(target=lock)
    with stores.state.write() as transaction:
        assert users.lock_user(transaction, alice.account_id, alice.name) == alice
        thread.start()
        users.update_user(transaction, alice, tags={"team": "web"})
    thread.join(_DEADLINE_SECONDS)

    assert found == [replace(alice, tags={"team": "web"})]


def test_a_policy_left_behind_does_not_come_to_life_with_the_next_of_that_name(stores: Stores) -> None:
    with stores.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, a_user().arn, "all", "{}")
        attachments.attach_policy(transaction, PLACE.account_id, a_user().arn, "arn:policy")
        users.insert_user(transaction, a_user())

    with stores.state.read() as connection:
        assert inline_policies.load_inline_policies(connection, a_user().arn) == {}
        assert attachments.load_attached(connection, a_user().arn) == []
