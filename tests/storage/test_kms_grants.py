"""Grants as they are stored, and as several servers of one database see them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.common import AccessDenied
from keyturn.errors.kms import LimitExceededException
from keyturn.operations.kms import grants as operations
from keyturn.scheduler.key_deletions import destroy_due_keys
from keyturn.storage import accounts, inline_policies, kms_grants, users
from keyturn.storage.accounts import AccountRecord
from keyturn.storage.users import UserRecord
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench

from .conftest import OpenStores
from .desk import DAY

BOB = Principal(
    PrincipalKind.USER, f"arn:aws:iam::{PLACE.account_id}:user/bob", "AIDABOB", PLACE.account_id, "bob", "AKIABOB"
)
ADMIN = f"arn:aws:iam::{PLACE.account_id}:user/administrator"


@pytest.fixture
def benches(open_stores: OpenStores) -> tuple[HandlerBench, HandlerBench]:
    """Two servers of one database, in which there is Bob."""
    first = HandlerBench(open_stores())
    account = AccountRecord(PLACE.account_id, "management", "root@example.com", first.clock.now())
    with first.kit.state.write() as transaction:
        accounts.insert_account(transaction, account)
        for name, arn, unique_id in (("bob", BOB.arn, BOB.unique_id), ("administrator", ADMIN, "AIDAADMIN")):
            users.insert_user(
                transaction, UserRecord(PLACE.account_id, name, unique_id, "/", arn, first.clock.now(), None)
            )
        inline_policies.put_inline_policy(transaction, first.caller.arn, "everything", ALLOW_ALL)
    return first, HandlerBench(open_stores(), beside=first)


@pytest.fixture
def bench(benches: tuple[HandlerBench, HandlerBench]) -> HandlerBench:
    return benches[0]


def new_key(bench: HandlerBench) -> str:
    return str(bench.call("kms", "CreateKey")["KeyMetadata"]["KeyId"])


def grant(bench: HandlerBench, key: str, grantee: str = BOB.arn, **more: Any) -> str:
    request = {"KeyId": key, "GranteePrincipal": grantee, "Operations": ["Encrypt", "Decrypt"], **more}
    return str(bench.call("kms", "CreateGrant", **request)["GrantId"])


def uses(bench: HandlerBench, key: str) -> bool:
    """Whether Bob may use a key."""
    call: Call = bench.as_(BOB)
    try:
        bench.call_as(call, "kms", "Encrypt", KeyId=key, Plaintext=b"x")
    except AccessDenied:
        return False
    return True


def pages(bench: HandlerBench, operation: str, **request: Any) -> Iterator[list[str]]:
    marker: dict[str, str] = {}
    while True:
        page = bench.call("kms", operation, Limit=2, **request, **marker)
        yield [one["GrantId"] for one in page["Grants"]]
        if not page["Truncated"]:
            return
        marker = {"Marker": page["NextMarker"]}


def test_a_grant_counts_at_once_on_every_server_and_so_does_its_end(
    benches: tuple[HandlerBench, HandlerBench],
) -> None:
    key = new_key(benches[0])
    for making, other in (benches, benches[::-1]):
        # Both have looked, and keep what they saw.
        assert [uses(bench, key) for bench in benches] == [False, False]
        made = grant(making, key)
        assert [uses(bench, key) for bench in (other, making)] == [True, True]
        other.call("kms", "RevokeGrant", KeyId=key, GrantId=made)
        assert [uses(bench, key) for bench in (making, other)] == [False, False]
        # Beside another grant too.
        aside = grant(making, key, ADMIN)
        assert not uses(other, key)
        making.call("kms", "RetireGrant", KeyId=key, GrantId=grant(other, key))
        assert [uses(bench, key) for bench in benches] == [False, False]
        making.call("kms", "RevokeGrant", KeyId=key, GrantId=aside)


def test_grants_are_listed_once_each_of_one_key_and_one_principal(bench: HandlerBench) -> None:
    key, other = new_key(bench), new_key(bench)
    for_bob = sorted(grant(bench, key, RetiringPrincipal=ADMIN) for _ in range(5))
    for_admin = [grant(bench, key, ADMIN)]
    elsewhere = [grant(bench, other, RetiringPrincipal=ADMIN)]

    listed = list(pages(bench, "ListGrants", KeyId=key, GranteePrincipal=BOB.arn))
    assert [len(page) for page in listed] == [2, 2, 1]
    assert [one for page in listed for one in page] == for_bob
    assert sorted(one for page in pages(bench, "ListGrants", KeyId=key) for one in page) == sorted(for_bob + for_admin)
    retirable = [one for page in pages(bench, "ListRetirableGrants", RetiringPrincipal=ADMIN) for one in page]
    assert sorted(retirable) == sorted(for_bob + elsewhere)
    # A page that follows one whose last grant has ended begins where it would have.
    first = bench.call("kms", "ListGrants", KeyId=key, GranteePrincipal=BOB.arn, Limit=2)
    bench.call("kms", "RevokeGrant", KeyId=key, GrantId=for_bob[1])
    rest = bench.call("kms", "ListGrants", KeyId=key, GranteePrincipal=BOB.arn, Marker=first["NextMarker"])
    assert [one["GrantId"] for one in rest["Grants"]] == for_bob[2:]


def test_what_is_stored_is_what_was_granted(bench: HandlerBench) -> None:
    key = new_key(bench)
    constraint = {"EncryptionContextEquals": {"Département": "IT ☃", "a": ""}}
    made = grant(bench, key, Name="name", RetiringPrincipal=ADMIN, Constraints=constraint)
    with bench.kit.state.read() as connection:
        record = kms_grants.load_grant(connection, key, made)
        assert record is not None
        assert kms_grants.load_named(connection, key, "name") == [record]
        assert kms_grants.load_named(connection, key, "nam_") == []
        assert kms_grants.load_of_grantee(connection, key, BOB.arn) == [record]
        assert kms_grants.load_of_grantee(connection, key, ADMIN) == []
        assert kms_grants.load_grant(connection, new_key(bench), made) is None
    assert (record.grantee_unique_id, record.retiring_unique_id) == ("AIDABOB", "AIDAADMIN")
    assert (record.operations, record.constraints) == (("Encrypt", "Decrypt"), constraint)
    assert record.created_at == bench.clock.now()


def test_grants_go_with_their_key(bench: HandlerBench) -> None:
    key, other = new_key(bench), new_key(bench)
    grant(bench, key)
    stays = grant(bench, other)
    bench.call("kms", "ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    bench.clock.advance(8 * DAY)

    destroy_due_keys(bench.kit, bench.clock.now())

    with bench.kit.state.read() as connection:
        assert [kms_grants.count_grants(connection, one) for one in (key, other)] == [0, 1]
        assert kms_grants.load_grant(connection, other, stays) is not None


def test_grants_made_at_the_same_time_keep_within_the_quota(
    benches: tuple[HandlerBench, HandlerBench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "GRANTS_PER_KEY", 3)
    key = new_key(benches[0])
    grant(benches[0], key, Name="first")
    start = Barrier(4)

    def make(number: int) -> Any:
        start.wait(timeout=30)
        try:
            return grant(benches[number % 2], key)
        except LimitExceededException as error:
            return type(error)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(make, range(4)))

    assert answers.count(LimitExceededException) == 2
    with benches[0].kit.state.read() as connection:
        assert kms_grants.count_grants(connection, key) == 3
    # What was made before is still answered.
    assert grant(benches[1], key, Name="first")


def test_the_same_named_grant_asked_for_at_the_same_time_is_made_once(
    benches: tuple[HandlerBench, HandlerBench],
) -> None:
    key = new_key(benches[0])
    start = Barrier(4)

    def make(number: int) -> str:
        start.wait(timeout=30)
        return grant(benches[number % 2], key, Name="once")

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(make, range(4)))) == 1
