"""May the function's role use a secret's customer managed key? The key's policy, grants and the role's policies decide.

Source: AWS KMS Developer Guide, "AWS KMS permissions" and "Key policies": nothing but the key's policy lets the role's
policies count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keyturn.arn import Arn, InvalidArn
from keyturn.rules.kms_grants import Asked, Grant, policy_of, terms_of
from keyturn.rules.policy.evaluate import PolicyType

from .access import Access, Verdict, access
from .case import Case
from .documents import Json
from .facts import Answer, Kind
from .known_keys import keys_of_key_use
from .model import Evidence
from .rotation_calls import require_role
from .seen_policies import Layers, SeenPolicy, resource_policy, role_layers, session

DECRYPT, GENERATE = "kms:Decrypt", "kms:GenerateDataKey"
KEY_CALLS = ("kms:DescribeKey", "kms:GetKeyPolicy", "kms:ListGrants")


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A secret's key and what the role may do with it.

    Attributes:
        described: DescribeKey.
        policy: GetKeyPolicy.
        uses: Whether it may be used, for each action.
    """

    described: Answer
    policy: Answer | None
    uses: tuple[Access, ...]

    @property
    def arn(self) -> str:
        """Of the key, whatever the secret calls it."""
        return str(self.described.found.get("KeyMetadata", {}).get("Arn", ""))

    @property
    def denied(self) -> list[Access]:
        """What is refused."""
        return [use for use in self.uses if use.verdict is Verdict.DENIED]

    @property
    def unknown(self) -> list[Access]:
        """What is not known."""
        return [use for use in self.uses if use.verdict is Verdict.UNKNOWN]

    def is_by_role(self) -> bool:
        """Whether it is the role's policies that refuse it: the key's own leaves it to them, or is silent of a Deny."""
        return any(use.layer != PolicyType.RESOURCE.value for use in self.denied)

    def evidence(self) -> tuple[Evidence, ...]:
        """Return what shows a refusal: the key's policy, and the statements that decide or nearly do."""
        found = [quoted.evidence for use in self.denied for quoted in (use.deciding, *use.near) if quoted is not None]
        if self.policy is not None and self.policy.kind is Kind.OK:
            found.append(Evidence("kms:GetKeyPolicy", self.arn, str(self.policy.found.get("Policy", ""))))
        kept: list[Evidence] = []
        for each in found:
            if each not in kept:
                kept.append(each)
        return tuple(kept)


def use_of_key(case: Case, key_id: str, secret: Json, actions: tuple[str, ...]) -> KeyUse:
    """Return what the role may do with the key of a secret.

    Args:
        case: Whose function it is.
        key_id: As DescribeSecret shows it.
        secret: DescribeSecret's reply.
        actions: What is to be done.

    Raises:
        Skip: There is no role.
        Unseen: The key or the role may not be seen.
    """
    require_role(case)
    described = case.facts.ask("kms", "DescribeKey", KeyId=key_id)
    policy = case.policy_of_key(key_id)
    arn = str(described.value["KeyMetadata"]["Arn"])
    account_id = _account_of(arn)
    principal, layers = session(case), role_layers(case)
    keys = keys_of_key_use(case, principal, secret, account_id)
    on_key = resource_policy(policy, "Policy", f"policy of key {arn.rpartition('/')[2]}")
    grants = _grants(case, case.grants_of_key(key_id), secret)
    asked = Layers(layers.identity, layers.boundary, on_key, grants, must_allow=True)
    return KeyUse(described, policy, tuple(access(principal, action, arn, keys, asked) for action in actions))


def _account_of(arn: str) -> str:
    try:
        return Arn.parse(arn).account_id
    except InvalidArn:
        return ""


def _grants(case: Case, answer: Answer | None, secret: Json) -> SeenPolicy | None:
    """Return what grants allow as a policy; None if there are none for the role."""
    if answer is None or answer.kind is Kind.GONE:
        return None
    if answer.kind is not Kind.OK:
        return SeenPolicy(PolicyType.GRANT, "grants", "kms:ListGrants", None, unseen=answer)
    stages = secret.get("VersionIdsToStages") or {}
    current = next((version_id for version_id, labels in stages.items() if "AWSCURRENT" in labels), "")
    asked = Asked({"SecretARN": str(secret["ARN"]), "SecretVersionId": current})
    text = policy_of((_grant(entry) for entry in answer.found.get("Grants", []) if _is_for(case, entry)), asked)
    return None if text is None else SeenPolicy(PolicyType.GRANT, "grants", "kms:ListGrants", json.loads(text))


def _is_for(case: Case, entry: Mapping[str, Any]) -> bool:
    # A grantee that is gone is shown by its unique id, and somebody's service by its name.
    return str(entry.get("GranteePrincipal", "")) in (case.role_arn, session(case).arn, *_accounts(case))


def _accounts(case: Case) -> tuple[str, str]:
    _, partition, _, _, account_id, *_ = case.role_arn.split(":")
    return f"arn:{partition}:iam::{account_id}:root", account_id


def _grant(entry: Mapping[str, Any]) -> Grant:
    terms = terms_of(entry.get("Operations", []), entry.get("Constraints"))
    return Grant(str(entry.get("GrantId", "")), str(entry["GranteePrincipal"]), None, terms)
