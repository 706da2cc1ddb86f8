"""Groups, inline and managed policies, and who has which."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.storage import (
    attachments,
    groups,
    inline_policies,
    managed_policies,
    owned_policies,
    roles,
    users,
)
from keyturn.storage.attachments import PolicyUsage
from keyturn.storage.database import Stores
from keyturn.storage.managed_policies import ManagedPolicyRecord, PolicyVersionRecord
from keyturn.storage.owned_policies import MANAGED_POLICY, POLICIES, OwnedPolicies, StoredPolicy, load_owned_policies

from .conftest import NOW, PLACE
from .people import a_group, a_policy, a_role, a_user, touched

ALICE, BOB, READERS, ROTATOR = a_user(), a_user("bob"), a_group(), a_role()
OF_AWS = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.fixture(autouse=True)
def people(stores: Stores) -> None:
    with stores.state.write() as transaction:
        for user in (ALICE, BOB):
            assert users.insert_user(transaction, user)
        assert groups.insert_group(transaction, READERS)
        assert roles.insert_role(transaction, ROTATOR)


@pytest.fixture
def policy(stores: Stores) -> ManagedPolicyRecord:
    with stores.state.write() as transaction:
        assert managed_policies.insert_policy(transaction, a_policy(), "first")
    return a_policy()


def test_inline_policies_are_replaced_by_name_and_listed_by_name(stores: Stores) -> None:
    with stores.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, ALICE.arn, "b", "1")
        inline_policies.put_inline_policy(transaction, ALICE.arn, "a", "1")
        inline_policies.put_inline_policy(transaction, ALICE.arn, "b", "2")
        assert touched(transaction) == {(POLICIES, ALICE.arn)}
    with stores.state.read() as connection:
        found = inline_policies.load_inline_policies(connection, ALICE.arn)
        assert list(found.items()) == [("a", "1"), ("b", "2")]

    with stores.state.write() as transaction:
        assert inline_policies.delete_inline_policy(transaction, ALICE.arn, "a")
        assert not inline_policies.delete_inline_policy(transaction, ALICE.arn, "a")
    with stores.state.read() as connection:
        assert inline_policies.load_all_inline_policies(connection, [ALICE.arn, BOB.arn]) == {
            ALICE.arn: {"b": "2"},
            BOB.arn: {},
        }


def test_a_group_comes_back_with_its_members_by_name(stores: Stores) -> None:
    with stores.state.write() as transaction:
        for user in (BOB, ALICE, BOB):
            groups.add_member(transaction, READERS, user)
        assert touched(transaction) == {(POLICIES, ALICE.arn), (POLICIES, BOB.arn)}
        assert not groups.insert_group(transaction, replace(READERS, unique_id="AGPAOTHER"))

    with stores.state.read() as connection:
        assert groups.load_group(connection, PLACE.account_id, "readers") == READERS
        assert groups.list_groups(connection, PLACE.account_id) == [READERS]
        assert groups.load_members(connection, READERS.arn) == [ALICE, BOB]
        assert groups.load_groups_of(connection, ALICE.arn) == [READERS]
        assert groups.load_names_of_groups(connection, [ALICE.arn, "arn:other"]) == {
            ALICE.arn: ["readers"],
            "arn:other": [],
        }

    with stores.state.write() as transaction:
        groups.remove_member(transaction, READERS, ALICE)
        groups.remove_member(transaction, READERS, ALICE)
        assert touched(transaction) == {(POLICIES, ALICE.arn)}
    with stores.state.read() as connection:
        assert groups.load_members(connection, READERS.arn) == [BOB]


def test_members_and_policies_follow_a_group_to_another_name(stores: Stores) -> None:
    arn = PLACE.group_arn("/team/", "viewers")
    with stores.state.write() as transaction:
        groups.add_member(transaction, READERS, ALICE)
        inline_policies.put_inline_policy(transaction, READERS.arn, "read", "{}")
        attachments.attach_policy(transaction, PLACE.account_id, READERS.arn, OF_AWS)
    with stores.state.write() as transaction:
        groups.rename_group(transaction, READERS, "viewers", "/team/", arn)
        assert touched(transaction) == {(POLICIES, READERS.arn), (POLICIES, arn)}

    with stores.state.read() as connection:
        viewers = replace(READERS, name="viewers", path="/team/", arn=arn)
        assert groups.load_groups_of(connection, ALICE.arn) == [viewers]
        assert groups.load_group(connection, PLACE.account_id, "readers") is None
        assert load_owned_policies(connection, ALICE.arn).policies == (
            StoredPolicy("read", "{}"),
            StoredPolicy(OF_AWS, None, is_managed=True),
        )


def test_a_group_that_is_deleted_takes_memberships_and_policies_along(stores: Stores) -> None:
    with stores.state.write() as transaction:
        groups.add_member(transaction, READERS, ALICE)
        inline_policies.put_inline_policy(transaction, READERS.arn, "read", "{}")
    with stores.state.write() as transaction:
        groups.delete_group(transaction, READERS)
        assert touched(transaction) == {(POLICIES, READERS.arn)}

    with stores.state.read() as connection:
        assert load_owned_policies(connection, ALICE.arn) == OwnedPolicies((), (), None)
        assert inline_policies.load_inline_policies(connection, READERS.arn) == {}


def test_a_managed_policy_comes_back_as_stored(stores: Stores, policy: ManagedPolicyRecord) -> None:
    tagged = replace(
        a_policy("tagged"), path="/team/", arn=PLACE.policy_arn("/team/", "tagged"), description="d", tags={"a": "b"}
    )
    with stores.state.write() as transaction:
        assert managed_policies.insert_policy(transaction, tagged, "{}")
        assert not managed_policies.insert_policy(transaction, replace(policy, unique_id="ANPAOTHER"), "other")
        # A name is taken whatever its path.
        assert not managed_policies.insert_policy(transaction, replace(tagged, arn="arn:other", unique_id="X"), "{}")

    with stores.state.read() as connection:
        assert managed_policies.load_policy(connection, tagged.arn) == tagged
        assert managed_policies.list_policies(connection, PLACE.account_id) == [policy, tagged]
        assert managed_policies.policy_names(connection, "1" * 12) == []
        assert managed_policies.load_versions(connection, policy.arn) == [PolicyVersionRecord(1, "first", NOW)]


def test_versions_are_counted_on_and_come_newest_first(stores: Stores, policy: ManagedPolicyRecord) -> None:
    later = NOW + timedelta(hours=1)
    with stores.state.write() as transaction:
        managed_policies.add_version(transaction, policy, "second", later, is_default=False)
        assert touched(transaction) == {(MANAGED_POLICY, policy.arn)}
        managed_policies.delete_version(transaction, policy.arn, 2)
        now = managed_policies.lock_policy(transaction, policy.arn)
        assert now == replace(policy, newest_version=2, updated_at=later)
        third = managed_policies.add_version(transaction, now, "third", later, is_default=True)

    with stores.state.read() as connection:
        assert managed_policies.load_policy(connection, policy.arn) == replace(
            policy, newest_version=3, default_version=3, updated_at=later
        )
        assert managed_policies.load_versions(connection, policy.arn) == [third, PolicyVersionRecord(1, "first", NOW)]
        assert managed_policies.count_versions(connection, PLACE.account_id) == 2

    with stores.state.write() as transaction:
        managed_policies.delete_policy(transaction, policy.arn)
    with stores.state.read() as connection:
        assert managed_policies.load_versions(connection, policy.arn) == []


def test_uses_of_a_policy_are_counted_in_each_account(stores: Stores, policy: ManagedPolicyRecord) -> None:
    stranger = replace(a_user("eve"), account_id="1" * 12, arn="arn:aws:iam::111111111111:user/eve")
    with stores.state.write() as transaction:
        users.insert_user(transaction, stranger)
        for owner in (ALICE, READERS, ROTATOR):
            attachments.attach_policy(transaction, owner.account_id, owner.arn, policy.arn)
            attachments.attach_policy(transaction, owner.account_id, owner.arn, policy.arn)
        for user in (ALICE, stranger):
            attachments.attach_policy(transaction, user.account_id, user.arn, OF_AWS)
        users.update_user(transaction, BOB, boundary_arn=policy.arn)
        roles.update_role(transaction, ROTATOR, boundary_arn=policy.arn)

    with stores.state.read() as connection:
        counts = {usage: attachments.count_uses(connection, PLACE.account_id, usage) for usage in PolicyUsage}
        assert counts == {
            PolicyUsage.PERMISSIONS: {policy.arn: 3, OF_AWS: 1},
            PolicyUsage.BOUNDARY: {policy.arn: 2},
        }
        assert attachments.count_uses(connection, "1" * 12, PolicyUsage.PERMISSIONS) == {OF_AWS: 1}
        owners = {
            usage: sorted(attachments.load_owners(connection, PLACE.account_id, policy.arn, usage))
            for usage in PolicyUsage
        }
        assert owners == {
            PolicyUsage.PERMISSIONS: sorted([ALICE.arn, READERS.arn, ROTATOR.arn]),
            PolicyUsage.BOUNDARY: sorted([BOB.arn, ROTATOR.arn]),
        }
        assert attachments.load_attached(connection, ALICE.arn) == [policy.arn, OF_AWS]

    with stores.state.write() as transaction:
        assert attachments.detach_policy(transaction, ALICE.arn, policy.arn)
        assert not attachments.detach_policy(transaction, ALICE.arn, policy.arn)
        assert touched(transaction) == {(POLICIES, ALICE.arn)}


def test_what_a_user_owns_is_its_own_then_its_groups_and_its_boundary(
    stores: Stores, policy: ManagedPolicyRecord
) -> None:
    admins = a_group("admins")
    with stores.state.write() as transaction:
        groups.insert_group(transaction, admins)
        for group in (READERS, admins):
            groups.add_member(transaction, group, ALICE)
            inline_policies.put_inline_policy(transaction, group.arn, "inline", group.name)
        inline_policies.put_inline_policy(transaction, ALICE.arn, "mine", "alice")
        attachments.attach_policy(transaction, PLACE.account_id, ALICE.arn, policy.arn)
        attachments.attach_policy(transaction, PLACE.account_id, READERS.arn, OF_AWS)
        managed_policies.add_version(transaction, policy, "second", NOW, is_default=True)
        users.update_user(transaction, ALICE, boundary_arn=policy.arn)

    with stores.state.read() as connection:
        owned = load_owned_policies(connection, ALICE.arn)
        nothing = load_owned_policies(connection, owned_policies.POLICIES)

    assert owned == OwnedPolicies(
        policies=(
            StoredPolicy("mine", "alice"),
            StoredPolicy(policy.arn, "second", is_managed=True),
            StoredPolicy("inline", "admins"),
            StoredPolicy("inline", "readers"),
            StoredPolicy(OF_AWS, None, is_managed=True),
        ),
        group_arns=(admins.arn, READERS.arn),
        boundary=StoredPolicy(policy.arn, "second", is_managed=True),
    )
    assert nothing == OwnedPolicies((), (), None)


def test_a_role_has_a_boundary_and_no_groups(stores: Stores) -> None:
    with stores.state.write() as transaction:
        roles.update_role(transaction, ROTATOR, boundary_arn=OF_AWS)

    with stores.state.read() as connection:
        assert load_owned_policies(connection, ROTATOR.arn) == OwnedPolicies(
            (), (), StoredPolicy(OF_AWS, None, is_managed=True)
        )
