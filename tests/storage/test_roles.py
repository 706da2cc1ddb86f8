from __future__ import annotations

from dataclasses import replace

from keyturn.storage import attachments, inline_policies, owned_policies, roles
from keyturn.storage.database import Stores

from .conftest import PLACE
from .people import a_role, touched


def test_roles_are_listed_by_name_capitals_first(stores: Stores) -> None:
    with stores.state.write() as transaction:
        for name in ("b", "a", "C", "a-b", "aa"):
            assert roles.insert_role(transaction, a_role(name))

    with stores.state.read() as connection:
        assert [role.name for role in roles.list_roles(connection, PLACE.account_id)] == ["C", "a", "a-b", "aa", "b"]
        assert sorted(roles.role_names(connection, PLACE.account_id)) == ["C", "a", "a-b", "aa", "b"]


def test_a_name_that_is_taken_is_reported_and_changes_nothing(stores: Stores) -> None:
    with stores.state.write() as transaction:
        assert roles.insert_role(transaction, a_role())
    with stores.state.write() as transaction:
        assert not roles.insert_role(transaction, replace(a_role(), unique_id="AROAOTHER"))
        assert transaction.touched == []

    with stores.state.read() as connection:
        assert roles.load_role(connection, PLACE.account_id, "rotator") == a_role()


def test_a_role_is_found_by_name_and_by_its_whole_arn(stores: Stores) -> None:
    role = replace(
        a_role(),
        path="/teams/",
        arn=PLACE.role_arn("/teams/", "rotator"),
        description="what for",
        tags={"a": "b"},
        boundary_arn=PLACE.policy_arn("/", "limit"),
    )
    with stores.state.write() as transaction:
        roles.insert_role(transaction, role)
        assert roles.lock_role(transaction, PLACE.account_id, "rotator") == role

    with stores.state.read() as connection:
        assert roles.load_role(connection, PLACE.account_id, "rotator") == role
        assert roles.load_role_by_arn(connection, role.arn) == role
        assert roles.load_role_by_arn(connection, PLACE.role_arn("/", "rotator")) is None


def test_a_role_changes_and_goes_with_its_policies(stores: Stores) -> None:
    role = a_role()
    with stores.state.write() as transaction:
        roles.insert_role(transaction, role)
        inline_policies.put_inline_policy(transaction, role.arn, "rotate", "{}")
        attachments.attach_policy(transaction, role.account_id, role.arn, "arn:policy")
    with stores.state.write() as transaction:
        roles.update_role(transaction, role, trust_policy='{"Version": "2012-10-17"}', tags={"k": "v"})
        assert touched(transaction) == {(roles.ROLE, role.arn)}
    with stores.state.read() as connection:
        changed = replace(role, trust_policy='{"Version": "2012-10-17"}', tags={"k": "v"})
        assert roles.load_role(connection, PLACE.account_id, "rotator") == changed

    with stores.state.write() as transaction:
        roles.delete_role(transaction, role)
        assert touched(transaction) == {(roles.ROLE, role.arn), (owned_policies.POLICIES, role.arn)}
    with stores.state.read() as connection:
        assert roles.load_role(connection, PLACE.account_id, "rotator") is None
        assert inline_policies.load_inline_policies(connection, role.arn) == {}
        assert attachments.load_attached(connection, role.arn) == []


def test_a_boundary_is_one_of_a_roles_policies(stores: Stores) -> None:
    role = a_role()
    with stores.state.write() as transaction:
        roles.insert_role(transaction, role)
    with stores.state.write() as transaction:
        roles.update_role(transaction, role, boundary_arn="arn:limit")
        assert touched(transaction) == {(roles.ROLE, role.arn), (owned_policies.POLICIES, role.arn)}


def test_a_policy_left_behind_does_not_come_to_life_with_the_next_of_that_name(stores: Stores) -> None:
    with stores.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, a_role().arn, "all", "{}")
        roles.insert_role(transaction, a_role())

    with stores.state.read() as connection:
        assert inline_policies.load_inline_policies(connection, a_role().arn) == {}
