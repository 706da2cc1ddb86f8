"""Policies that can be edited: of what kind each is, where it is read, and how it is put."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from keyturn.console.clients import Clients
from keyturn.console.replies import address
from keyturn.errors.base import KeyturnError
from keyturn.rules.policy.refusals import DocumentKind

HOLDERS: Final[Mapping[str, str]] = {"user": "UserName", "role": "RoleName", "group": "GroupName"}
"""Who can have inline policies, and how the API calls their names."""


@dataclass(frozen=True, slots=True)
class Target:
    """One policy.

    Attributes:
        fields: What names it, as in an address.
        kind: What it is for.
        title: For people.
        back: The page that it belongs to.
        is_new: Whether there is none yet, so that it has to be given a name.
        load: Returns its text.
        put: Stores a text under a name, and returns the page to go on with.
        service: Whose operation stores it.
        operation: That.
        named: The operation's parameters but for the document.
    """

    fields: Mapping[str, str]
    kind: DocumentKind
    title: str
    back: str
    is_new: bool
    load: Callable[[], str]
    service: str
    operation: str
    named: Mapping[str, Any]
    member: str = "PolicyDocument"

    def put(self, clients: Clients, document: str, name: str) -> str:
        """Store a text, and return the page to go on with."""
        named = {"PolicyName": name} if self.is_new else {}
        answer = getattr(clients[self.service], self.operation)(**self.named, **named, **{self.member: document})
        made = answer.get("Policy")
        return address("access/policy", arn=made["Arn"]) if isinstance(made, Mapping) else self.back

    @property
    def action(self) -> str:
        """What stores it, as policies name it."""
        return f"{self.service}:{''.join(word.capitalize() for word in self.operation.split('_'))}"

    def may_put(self, clients: Clients, document: str) -> bool:
        """Return whether the caller may store it."""
        named = {"PolicyName": "new"} if self.is_new else {}
        # A policy of its own is named by its name; an inline one belongs to whoever has it.
        allow = clients.allow if self.named else clients.allow_some
        return allow(self.service, self.operation, **self.named, **named, **{self.member: document})


def target_of(clients: Clients, asked: Callable[[str], str]) -> Target:
    """Return what is to be edited.

    Args:
        clients: Of whoever edits.
        asked: Says what the address or the form has of a field.

    Raises:
        KeyturnError: It is nothing that can be.
    """
    make = _TARGETS.get(asked("of"))
    if make is None:
        raise KeyturnError("There is no such policy to edit.", "The pages of users, roles, groups and keys lead here.")
    return make(clients, asked)


def _inline(clients: Clients, asked: Callable[[str], str]) -> Target:
    kind, name, policy = asked("kind"), asked("name"), asked("policy")
    if kind not in HOLDERS:
        raise KeyturnError(f"A {kind} has no inline policies.", "Users, groups and roles have.")
    holder = {HOLDERS[kind]: name}

    def load() -> str:
        found = getattr(clients["iam"], f"get_{kind}_policy")(**holder, PolicyName=policy)
        return json.dumps(found["PolicyDocument"], indent=2)

    return Target(
        fields={"of": "inline", "kind": kind, "name": name, "policy": policy},
        kind=DocumentKind.IDENTITY,
        title=f"{policy or 'New policy'} of the {kind} {name}",
        back=address(f"access/{kind}", name=name),
        is_new=not policy,
        load=load,
        service="iam",
        operation=f"put_{kind}_policy",
        named={**holder, **({"PolicyName": policy} if policy else {})},
    )


def _managed(clients: Clients, asked: Callable[[str], str]) -> Target:
    arn = asked("arn")

    def load() -> str:
        version = clients["iam"].get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = clients["iam"].get_policy_version(PolicyArn=arn, VersionId=version)
        return json.dumps(found["PolicyVersion"]["Document"], indent=2)

    return Target(
        fields={"of": "managed", "arn": arn},
        kind=DocumentKind.MANAGED,
        title=f"New version of {arn.rpartition('/')[2]}" if arn else "New managed policy",
        back=address("access/policy", arn=arn) if arn else address("access", tab="policies"),
        is_new=not arn,
        load=load,
        service="iam",
        operation="create_policy_version" if arn else "create_policy",
        named={"PolicyArn": arn, "SetAsDefault": True} if arn else {},
    )


def _trust(clients: Clients, asked: Callable[[str], str]) -> Target:
    name = asked("name")

    def load() -> str:
        return json.dumps(clients["iam"].get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"], indent=2)

    return Target(
        fields={"of": "trust", "name": name},
        kind=DocumentKind.TRUST,
        title=f"Who may assume the role {name}",
        back=address("access/role", name=name),
        is_new=False,
        load=load,
        service="iam",
        operation="update_assume_role_policy",
        named={"RoleName": name},
    )


def _key(clients: Clients, asked: Callable[[str], str]) -> Target:
    key_id = asked("key")

    def load() -> str:
        found: str = clients["kms"].get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]
        return found

    return Target(
        fields={"of": "key", "key": key_id},
        kind=DocumentKind.KEY,
        title=f"Policy of the key {key_id}",
        back=address("key", id=key_id),
        is_new=False,
        load=load,
        service="kms",
        operation="put_key_policy",
        named={"KeyId": key_id, "PolicyName": "default"},
        member="Policy",
    )


_TARGETS: Final[Mapping[str, Callable[[Clients, Callable[[str], str]], Target]]] = {
    "inline": _inline,
    "managed": _managed,
    "trust": _trust,
    "key": _key,
}
