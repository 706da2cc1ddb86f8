"""The policies that take part in a call of the rotation function, as far as they may be seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from keyturn.call import Principal, PrincipalKind
from keyturn.errors.base import AwsError
from keyturn.rules.policy.document import (
    Statement,
    parse_identity_policy,
    parse_key_policy,
    parse_resource_policy,
    parse_trust_policy,
)
from keyturn.rules.policy.evaluate import PolicyType
from keyturn.rules.policy.explanation import StatementVerdict

from .cached import cached
from .case import Case
from .documents import Json, statements_of
from .facts import Answer, Kind
from .model import Evidence
from .subject import NamedPolicy

ROLE_CALLS = (
    "lambda:GetFunctionConfiguration",
    "iam:GetRole",
    "iam:ListRolePolicies",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:SimulatePrincipalPolicy",
)
"""What shows what a role may do."""
_PARSERS = {
    PolicyType.RESOURCE: parse_resource_policy,
    PolicyType.TRUST: parse_trust_policy,
    PolicyType.GRANT: parse_key_policy,
}


@dataclass(frozen=True)
class SeenPolicy:
    """A policy that takes part.

    Attributes:
        policy_type: Where it hangs.
        where: What it is called in a report: ``role/rotator policy rotation``.
        source: The call that shows it.
        document: As JSON; None if it may not be seen.
        named: The role's policy, if it is one.
        unseen: The answer that it would be in, if it may not be seen.
    """

    policy_type: PolicyType
    where: str
    source: str
    document: Json | None
    named: NamedPolicy | None = None
    unseen: Answer | None = None

    @property
    def statements(self) -> list[Json]:
        """Its statements as JSON."""
        return statements_of(self.document or {})

    @cached
    def parsed(self) -> tuple[Statement | None, ...]:
        """Them ready for matching, None in the place of one that Keyturn does not understand."""
        return tuple(self._parsed(index, raw) for index, raw in enumerate(self.statements))

    def _parsed(self, index: int, raw: Json) -> Statement | None:
        version = (self.document or {}).get("Version", "2008-10-17")
        # A key's policy may lack what a secret's must have, and it is read more freely.
        is_of_key = self.source == "kms:GetKeyPolicy"
        parser = parse_key_policy if is_of_key else _PARSERS.get(self.policy_type, parse_identity_policy)
        try:
            document = parser(json.dumps({"Version": version, "Statement": [raw]}))
        except AwsError:
            return None
        return replace(document.statements[0], index=index) if document.statements else None


@dataclass(frozen=True, slots=True)
class Quoted:
    """A statement that decided, or nearly did.

    Attributes:
        policy: Which policy it is in.
        index: Its place there, counted from 0.
        verdict: What it says about the call.
    """

    policy: SeenPolicy
    index: int
    verdict: StatementVerdict

    @property
    def statement(self) -> Json:
        """The statement as JSON."""
        return self.policy.statements[self.index]

    @property
    def evidence(self) -> Evidence:
        """It, with the place where it stands, for people counted from 1."""
        return Evidence(self.policy.source, f"{self.policy.where}, statement {self.index + 1}", self.statement)


@dataclass(frozen=True, slots=True)
class Layers:
    """The policies that take part in one call.

    Attributes:
        identity: Of the role.
        boundary: Its permissions boundary, if it has one.
        resource: Of the secret or key, if it has one.
        grants: On a key, as a policy.
        must_allow: The resource's policy must allow, whatever the role's say: that of a key.
    """

    identity: tuple[SeenPolicy, ...]
    boundary: SeenPolicy | None = None
    resource: SeenPolicy | None = None
    grants: SeenPolicy | None = None
    must_allow: bool = False

    def all(self) -> Iterator[SeenPolicy]:
        """Every one of them."""
        yield from self.identity
        yield from (each for each in (self.boundary, self.resource, self.grants) if each)


def session(case: Case) -> Principal:
    """Return the session in which the function calls."""
    _, _, _, _, account_id, *_ = case.role_arn.split(":")
    partition = case.role_arn.split(":")[1]
    arn = f"arn:{partition}:sts::{account_id}:assumed-role/{case.role_name}/{case.function_name}"
    role_id = case.role.found["Role"].get("RoleId", "") if case.role.kind is Kind.OK else ""
    return Principal(
        PrincipalKind.ASSUMED_ROLE,
        arn,
        f"{role_id}:{case.function_name}" if role_id else "",
        account_id,
        case.role_name,
        role_arn=case.role_arn,
        session_name=case.function_name,
    )


def role_layers(case: Case) -> Layers:
    """Return the policies of the role and its boundary."""
    return case.once(_role_layers)


def _role_layers(case: Case) -> Layers:
    found, place = case.role_policies, f"role/{case.role_name}"
    identity = [
        SeenPolicy(PolicyType.IDENTITY, f"{place} policy {policy.name}", policy.source, policy.document, policy)
        for policy in found.policies
    ]
    identity += [
        SeenPolicy(PolicyType.IDENTITY, f"{place}, unseen {number}", answer.question.action, None, unseen=answer)
        for number, answer in enumerate(found.unseen)
        if answer not in found.unseen_boundary
    ]
    boundary = None
    if found.boundary is not None:
        where = f"{place} boundary {found.boundary.name}"
        boundary = SeenPolicy(
            PolicyType.BOUNDARY, where, found.boundary.source, found.boundary.document, found.boundary
        )
    elif found.unseen_boundary:
        answer = found.unseen_boundary[0]
        boundary = SeenPolicy(PolicyType.BOUNDARY, f"{place} boundary", answer.question.action, None, unseen=answer)
    return Layers(tuple(identity), boundary)


def resource_policy(answer: Answer | None, member: str, where: str) -> SeenPolicy | None:
    """Return the policy of a secret or key; None if it has none."""
    if answer is None or answer.kind is Kind.GONE:
        return None
    source = answer.question.action
    if answer.kind is not Kind.OK:
        return SeenPolicy(PolicyType.RESOURCE, where, source, None, unseen=answer)
    text = answer.found.get(member)
    if not text:
        return None
    try:
        document = json.loads(str(text))
    except ValueError:
        document = None
    return SeenPolicy(PolicyType.RESOURCE, where, source, document if isinstance(document, dict) else None)
