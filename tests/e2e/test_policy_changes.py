"""Whoever's policies change is judged by the new ones from the very next call on, on whichever server that is made.

On SQLite, on PostgreSQL, and on PostgreSQL with two servers: policies change through the one, and the other is asked.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .callers import Caller, allow, deny, document
from .conftest import ServerProcess
from .crowd import at_once

READ = document(allow("secretsmanager:GetSecretValue"))
NOTHING = document(allow("secretsmanager:ListSecrets"))
AWS_READ = "arn:aws:iam::aws:policy/SecretsManagerReadWrite"

_numbers = itertools.count()

Change = Callable[[], Any]


class Case:
    """Somebody who has no policy, and what it takes to change that."""

    def __init__(self, servers: list[ServerProcess], kind: str) -> None:
        self.caller = Caller(servers[0], kind)
        self.iam, self.name, self.kind = self.caller.admin, self.caller.name, kind
        self.owner = {"UserName": self.name} if kind == "user" else {"RoleName": self.name}
        self._secrets = servers[-1].client("secretsmanager", self.caller.credentials)

    def may(self) -> bool:
        """Ask the last of the servers."""
        try:
            self._secrets.get_secret_value(SecretId="asked-for")
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            return False
        return True

    def do(self, operation: str, **request: Any) -> None:
        """Call an operation that is there for users and roles."""
        getattr(self.iam, operation.format(self.kind))(**self.owner, **request)

    def policy(self, text: str) -> str:
        """Make a managed policy."""
        made = self.iam.create_policy(PolicyName=f"policy-{next(_numbers)}", PolicyDocument=text)
        arn: str = made["Policy"]["Arn"]
        return arn

    def group(self) -> str:
        """Make a group without members."""
        name = f"group-{next(_numbers)}"
        self.iam.create_group(GroupName=name)
        return name

    def joined_group(self) -> str:
        """Make a group in which the caller is."""
        name = self.group()
        self.iam.add_user_to_group(GroupName=name, UserName=self.name)
        return name


def inline(case: Case) -> tuple[Change, Change]:
    return (
        lambda: case.do("put_{}_policy", PolicyName="p", PolicyDocument=READ),
        lambda: case.do("delete_{}_policy", PolicyName="p"),
    )


def inline_replaced(case: Case) -> tuple[Change, Change]:
    return (
        lambda: case.do("put_{}_policy", PolicyName="p", PolicyDocument=READ),
        lambda: case.do("put_{}_policy", PolicyName="p", PolicyDocument=NOTHING),
    )


def attached(case: Case) -> tuple[Change, Change]:
    arn = case.policy(READ)
    return (
        lambda: case.do("attach_{}_policy", PolicyArn=arn),
        lambda: case.do("detach_{}_policy", PolicyArn=arn),
    )


def attached_of_aws(case: Case) -> tuple[Change, Change]:
    return (
        lambda: case.do("attach_{}_policy", PolicyArn=AWS_READ),
        lambda: case.do("detach_{}_policy", PolicyArn=AWS_READ),
    )


def default_version(case: Case) -> tuple[Change, Change]:
    arn = case.policy(NOTHING)
    case.do("attach_{}_policy", PolicyArn=arn)
    return _versions(case, arn)


def boundary(case: Case) -> tuple[Change, Change]:
    arn = case.policy(NOTHING)
    case.do("put_{}_policy", PolicyName="p", PolicyDocument=READ)
    case.do("put_{}_permissions_boundary", PermissionsBoundary=arn)
    return (
        lambda: case.do("delete_{}_permissions_boundary"),
        lambda: case.do("put_{}_permissions_boundary", PermissionsBoundary=arn),
    )


def boundary_version(case: Case) -> tuple[Change, Change]:
    arn = case.policy(NOTHING)
    case.do("put_{}_policy", PolicyName="p", PolicyDocument=READ)
    case.do("put_{}_permissions_boundary", PermissionsBoundary=arn)
    return _versions(case, arn)


def boundary_denies(case: Case) -> tuple[Change, Change]:
    """The other way round: a boundary that denies is exchanged for one that allows."""
    narrow, wide = case.policy(document(allow("*"), deny("secretsmanager:*"))), case.policy(document(allow("*")))
    case.do("put_{}_policy", PolicyName="p", PolicyDocument=READ)
    case.do("put_{}_permissions_boundary", PermissionsBoundary=narrow)
    return (
        lambda: case.do("put_{}_permissions_boundary", PermissionsBoundary=wide),
        lambda: case.do("put_{}_permissions_boundary", PermissionsBoundary=narrow),
    )


def membership(case: Case) -> tuple[Change, Change]:
    group = case.group()
    case.iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=READ)
    return (
        lambda: case.iam.add_user_to_group(GroupName=group, UserName=case.name),
        lambda: case.iam.remove_user_from_group(GroupName=group, UserName=case.name),
    )


def group_inline(case: Case) -> tuple[Change, Change]:
    group = case.joined_group()
    return (
        lambda: case.iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=READ),
        lambda: case.iam.delete_group_policy(GroupName=group, PolicyName="p"),
    )


def group_attached(case: Case) -> tuple[Change, Change]:
    group, arn = case.joined_group(), case.policy(READ)
    return (
        lambda: case.iam.attach_group_policy(GroupName=group, PolicyArn=arn),
        lambda: case.iam.detach_group_policy(GroupName=group, PolicyArn=arn),
    )


def group_version(case: Case) -> tuple[Change, Change]:
    group, arn = case.joined_group(), case.policy(NOTHING)
    case.iam.attach_group_policy(GroupName=group, PolicyArn=arn)
    return _versions(case, arn)


def renamed_group(case: Case) -> tuple[Change, Change]:
    """The policies of a group under its other name count, and change."""
    group, renamed = case.joined_group(), f"renamed-{next(_numbers)}"
    case.iam.update_group(GroupName=group, NewGroupName=renamed, NewPath="/teams/")
    return (
        lambda: case.iam.put_group_policy(GroupName=renamed, PolicyName="p", PolicyDocument=READ),
        lambda: case.iam.delete_group_policy(GroupName=renamed, PolicyName="p"),
    )


def renamed_user(case: Case) -> tuple[Change, Change]:
    """So do those of a user, who goes on with the same key."""
    renamed = f"renamed-{next(_numbers)}"
    assert not case.may()
    case.iam.update_user(UserName=case.name, NewUserName=renamed, NewPath="/people/")
    case.name, case.owner = renamed, {"UserName": renamed}
    return inline(case)


def _versions(case: Case, arn: str) -> tuple[Change, Change]:
    case.iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ)
    return (
        lambda: case.iam.set_default_policy_version(PolicyArn=arn, VersionId="v2"),
        lambda: case.iam.set_default_policy_version(PolicyArn=arn, VersionId="v1"),
    )


OF_BOTH = [
    inline,
    inline_replaced,
    attached,
    attached_of_aws,
    default_version,
    boundary,
    boundary_version,
    boundary_denies,
]
OF_USERS = [membership, group_inline, group_attached, group_version, renamed_group, renamed_user]
CASES = [("user", change) for change in (*OF_BOTH, *OF_USERS)] + [("role", change) for change in OF_BOTH]


@pytest.fixture(scope="module", autouse=True)
def secret(servers: list[ServerProcess]) -> None:
    servers[0].client("secretsmanager").create_secret(Name="asked-for", SecretString="value")


@pytest.mark.parametrize(("kind", "change"), CASES, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_the_very_next_call_is_judged_by_what_was_changed(
    servers: list[ServerProcess], kind: str, change: Callable[[Case], tuple[Change, Change]]
) -> None:
    case = Case(servers, kind)
    grant, revoke = change(case)

    assert not case.may()
    for _ in range(2):
        grant()
        assert case.may()
        revoke()
        assert not case.may()


def test_a_new_default_version_counts_at_once_for_everybody_who_has_it(servers: list[ServerProcess]) -> None:
    cases = [Case(servers, kind) for kind in ("user", "role") for _ in range(5)]
    arn = cases[0].policy(NOTHING)
    for case in cases[1:]:
        case.do("attach_{}_policy", PolicyArn=arn)
    cases[0].iam.attach_group_policy(GroupName=cases[0].joined_group(), PolicyArn=arn)
    assert not any(case.may() for case in cases)

    cases[0].iam.create_policy_version(PolicyArn=arn, PolicyDocument=READ, SetAsDefault=True)
    assert all(case.may() for case in cases)

    cases[0].iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    assert not any(case.may() for case in cases)


def test_a_deny_anywhere_counts_at_once(servers: list[ServerProcess]) -> None:
    case = Case(servers, "user")
    case.do("put_{}_policy", PolicyName="p", PolicyDocument=READ)
    group = case.joined_group()
    assert case.may()

    case.iam.attach_group_policy(GroupName=group, PolicyArn="arn:aws:iam::aws:policy/AWSDenyAll")
    assert not case.may()
    case.iam.detach_group_policy(GroupName=group, PolicyArn="arn:aws:iam::aws:policy/AWSDenyAll")
    assert case.may()


def _outcomes(calls: Sequence[Callable[[], Any]]) -> Counter[str]:
    return Counter(str(answer.get("Code", "done")) for answer in at_once(calls))


def test_of_names_that_differ_in_case_one_is_made(servers: list[ServerProcess]) -> None:
    clients = [server.client("iam") for server in servers]
    name = f"Racing-{next(_numbers)}"
    names = [name, name.lower(), name.upper(), name.swapcase()] * 3

    made = _outcomes([partial(clients[n % len(clients)].create_group, GroupName=each) for n, each in enumerate(names)])

    assert made == {"done": 1, "EntityAlreadyExists": len(names) - 1}


def test_no_quota_is_exceeded_by_many_at_once(servers: list[ServerProcess]) -> None:
    case = Case(servers, "user")
    clients = [server.client("iam") for server in servers]
    arns = [case.policy(NOTHING) for _ in range(12)]

    attached_ = _outcomes(
        [
            partial(clients[n % len(clients)].attach_user_policy, UserName=case.name, PolicyArn=arn)
            for n, arn in enumerate(arns)
        ]
    )
    assert attached_ == {"done": 10, "LimitExceeded": 2}

    arn = case.policy(NOTHING)
    versions = _outcomes(
        [
            partial(clients[n % len(clients)].create_policy_version, PolicyArn=arn, PolicyDocument=NOTHING)
            for n in range(8)
        ]
    )
    assert versions == {"done": 4, "LimitExceeded": 4}
    numbers = [version["VersionId"] for version in case.iam.list_policy_versions(PolicyArn=arn)["Versions"]]
    assert numbers == ["v5", "v4", "v3", "v2", "v1"]


def test_no_policy_is_deleted_that_somebody_is_just_being_given(servers: list[ServerProcess]) -> None:
    case = Case(servers, "user")
    clients = [server.client("iam") for server in servers]
    for _ in range(5):
        arn = case.policy(NOTHING)
        calls = [
            partial(clients[0].attach_user_policy, UserName=case.name, PolicyArn=arn),
            partial(clients[-1].delete_policy, PolicyArn=arn),
            partial(clients[0].put_user_permissions_boundary, UserName=case.name, PermissionsBoundary=arn),
        ]

        outcomes = _outcomes(calls)

        assert outcomes in ({"done": 2, "DeleteConflict": 1}, {"done": 1, "NoSuchEntity": 2}), outcomes
        if outcomes["DeleteConflict"]:
            entities = case.iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"]
            assert [entity["UserName"] for entity in entities] == [case.name]
            case.do("detach_{}_policy", PolicyArn=arn)
            case.do("delete_{}_permissions_boundary")
        else:
            assert case.iam.list_attached_user_policies(UserName=case.name)["AttachedPolicies"] == []
