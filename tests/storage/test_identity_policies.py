"""Kept policies of users and roles are never older than the last acknowledged change of anything they were made of."""

from __future__ import annotations

import json
import threading

import pytest
from sqlalchemy import func, select

from keyturn.errors.base import KeyturnError
from keyturn.operations.identity_policies import identity_policies
from keyturn.rules.policy.aws_policies import find_aws_policy
from keyturn.storage import attachments, groups, inline_policies, managed_policies, schema, users
from keyturn.storage.database import Stores
from keyturn.storage.kept import KeptRows
from keyturn.storage.managed_policies import ManagedPolicyRecord

from .conftest import NOW, PLACE, OpenStores
from .people import a_group, a_policy, a_user

_DEADLINE_SECONDS = 30
ALICE, READERS, POLICY = a_user(), a_group(), a_policy()
DENY_ALL = "arn:aws:iam::aws:policy/AWSDenyAll"


def document(sid: str) -> str:
    statement = {"Sid": sid, "Effect": "Allow", "Action": "a:b", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def sids(kept: KeptRows, owner_arn: str) -> list[tuple[str, str | None]]:
    """What a caller is judged by now: the name of each policy and of its statement."""
    kept.refresh()
    found = identity_policies(kept, owner_arn)
    return [(policy.name, policy.document.statements[0].sid) for policy in found.identity]


@pytest.fixture(autouse=True)
def people(stores: Stores) -> None:
    with stores.state.write() as transaction:
        users.insert_user(transaction, ALICE)
        groups.insert_group(transaction, READERS)
        managed_policies.insert_policy(transaction, POLICY, document("v1"))


def _set_default(stores: Stores, version: int) -> None:
    with stores.state.write() as transaction:
        policy = managed_policies.lock_policy(transaction, POLICY.arn)
        assert policy is not None
        managed_policies.add_version(transaction, policy, document(f"v{version}"), NOW, is_default=True)


def test_policies_go_by_their_names_and_managed_ones_by_their_arns(stores: Stores) -> None:
    with stores.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, ALICE.arn, "mine", document("own"))
        attachments.attach_policy(transaction, PLACE.account_id, ALICE.arn, POLICY.arn)
        groups.add_member(transaction, READERS, ALICE)
        inline_policies.put_inline_policy(transaction, READERS.arn, "ours", document("group"))
        attachments.attach_policy(transaction, PLACE.account_id, READERS.arn, DENY_ALL)
        users.update_user(transaction, ALICE, boundary_arn=POLICY.arn)
    kept = KeptRows(stores.state)

    assert sids(kept, ALICE.arn) == [("mine", "own"), (POLICY.arn, "v1"), ("ours", "group"), (DENY_ALL, "DenyAll")]
    boundary = identity_policies(kept, ALICE.arn).boundary
    assert boundary is not None
    assert (boundary.name, boundary.document.statements[0].sid) == (POLICY.arn, "v1")
    # The very same until something changes.
    kept.refresh()
    assert identity_policies(kept, ALICE.arn) is identity_policies(kept, ALICE.arn)


def test_another_default_version_is_one_change_however_many_have_the_policy(stores: Stores) -> None:
    crowd = [a_user(f"user{number}") for number in range(3_000)]
    with stores.state.write() as transaction:
        for user in crowd:
            users.insert_user(transaction, user)
            attachments.attach_policy(transaction, PLACE.account_id, user.arn, POLICY.arn)
    kept = KeptRows(stores.state)
    assert {tuple(sids(kept, user.arn)) for user in crowd} == {((POLICY.arn, "v1"),)}
    with stores.state.read() as connection:
        before = connection.execute(select(func.count()).select_from(schema.changes)).scalar_one()

    _set_default(stores, 2)

    with stores.state.read() as connection:
        after = connection.execute(select(func.count()).select_from(schema.changes)).scalar_one()
    assert after == before + 1
    assert {tuple(sids(kept, user.arn)) for user in crowd} == {((POLICY.arn, "v2"),)}


def test_a_parsed_policy_is_shared_by_all_that_have_it(stores: Stores) -> None:
    bob = a_user("bob")
    with stores.state.write() as transaction:
        users.insert_user(transaction, bob)
        for user in (ALICE, bob):
            attachments.attach_policy(transaction, PLACE.account_id, user.arn, POLICY.arn)
    kept = KeptRows(stores.state)

    (of_alice,), (of_bob,) = (identity_policies(kept, user.arn).identity for user in (ALICE, bob))

    assert of_alice.document is of_bob.document


@pytest.mark.parametrize("through", ["user", "group", "boundary"])
def test_a_reader_never_decides_by_less_than_what_was_acknowledged_before(
    stores: Stores, open_stores: OpenStores, through: str
) -> None:
    with stores.state.write() as transaction:
        if through == "boundary":
            users.update_user(transaction, ALICE, boundary_arn=POLICY.arn)
        else:
            groups.add_member(transaction, READERS, ALICE)
            owner = ALICE.arn if through == "user" else READERS.arn
            attachments.attach_policy(transaction, PLACE.account_id, owner, POLICY.arn)
    other, kept = open_stores(), KeptRows(stores.state)
    acknowledged, stale = 1, list[tuple[int, int]]()
    ended = threading.Event()

    def decide() -> None:
        while not ended.is_set():
            at_least = acknowledged
            kept.refresh()
            found = identity_policies(kept, ALICE.arn)
            (policy,) = found.identity if found.boundary is None else (found.boundary,)
            number = int((policy.document.statements[0].sid or "").removeprefix("v"))
            if number < at_least:
                stale.append((at_least, number))

    deciders = [threading.Thread(target=decide) for _ in range(3)]
    for decider in deciders:
        decider.start()
    try:
        for number in range(2, 60):
            _set_default(other, number)
            acknowledged = number
    finally:
        ended.set()
        for decider in deciders:
            decider.join(_DEADLINE_SECONDS)

    assert stale == []


def test_nothing_is_decided_without_a_policy_that_should_be_there(stores: Stores) -> None:
    with stores.state.write() as transaction:
        attachments.attach_policy(transaction, PLACE.account_id, ALICE.arn, "arn:aws:iam::aws:policy/NoSuchPolicy")

    with pytest.raises(KeyturnError, match="NoSuchPolicy"):
        identity_policies(KeptRows(stores.state), ALICE.arn)


def test_nothing_is_decided_without_a_boundary_that_cannot_be_read(stores: Stores) -> None:
    broken: ManagedPolicyRecord = a_policy("broken")
    with stores.state.write() as transaction:
        managed_policies.insert_policy(transaction, broken, "no policy")
        users.update_user(transaction, ALICE, boundary_arn=broken.arn)

    with pytest.raises(KeyturnError, match="Syntax errors"):
        identity_policies(KeptRows(stores.state), ALICE.arn)


def test_an_aws_policy_is_of_the_owners_partition(stores: Stores) -> None:
    there = "arn:aws-cn:iam::aws:policy/AWSLambda_FullAccess"
    arn = "arn:aws-cn:iam::000000000000:user/alice"
    with stores.state.write() as transaction:
        attachments.attach_policy(transaction, PLACE.account_id, arn, there)

    (policy,) = identity_policies(KeptRows(stores.state), arn).identity

    assert policy.name == there
    of_aws = find_aws_policy(there, "aws-cn")
    assert of_aws is not None
    assert '"arn:aws-cn:logs:*:*:log-group:/aws/lambda/*"' in of_aws.document
