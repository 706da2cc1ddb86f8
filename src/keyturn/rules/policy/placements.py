"""Where a missing statement goes, and the AWS CLI command that puts it there.

A command is given only where it adds: a policy of its own for a user or role, a statement of a function's policy.
Policies of secrets, keys, VPC endpoints and roles' trust are replaced whole, so that a command could take something
away.

Source: AWS CLI Command Reference; the statement id of functions from AWS's guide to troubleshooting rotation.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from keyturn.arn import Arn, InvalidArn
from keyturn.rules.policy.evaluate import PolicyType

_ESCAPE = "${"
_SERVICES_OF_REPLACED = {
    "secretsmanager": "aws secretsmanager get-resource-policy, then put-resource-policy",
    "kms": "aws kms get-key-policy, then put-key-policy",
    "iam": "aws iam get-role, then update-assume-role-policy",
}


@dataclass(frozen=True, slots=True)
class InlinePolicy:
    """A policy of its own for a user or a role.

    Attributes:
        kind: ``user`` or ``role``.
        holder: The name of that.
        name: Of the policy; there is none of it yet.
        document: As JSON text.
    """

    kind: str
    holder: str
    name: str
    document: str


@dataclass(frozen=True, slots=True)
class Placement:
    """How a missing statement gets to its place.

    Attributes:
        place: For people: ``a policy of the role rotation``.
        command: Adds the statement; None if there is no command that only adds.
        hint: What to run instead of a command.
        policy: What the command puts, if it puts a policy.
    """

    place: str
    command: str | None = None
    hint: str | None = None
    policy: InlinePolicy | None = None


def placement_of(
    policy_type: PolicyType,
    statement: Mapping[str, object],
    principal_arn: str,
    resource_arn: str,
    policy_name: str = "",
    occasion: str = "",
) -> Placement:
    """Return where a statement goes.

    Args:
        policy_type: The kind of policy that lacks it.
        statement: What is missing.
        principal_arn: Who was refused: a user, or a session of a role.
        resource_arn: What it was about.
        policy_name: Of the permissions boundary that lacks it; for the policy of a VPC endpoint, its id.
        occasion: What tells this refusal from others, for the name of a new policy.
    """
    if policy_type is PolicyType.IDENTITY:
        return _identity_placement(statement, principal_arn, occasion)
    if policy_type is PolicyType.BOUNDARY:
        return Placement(
            f"the permissions boundary {policy_name}".rstrip(),
            hint="aws iam get-policy-version, then create-policy-version --set-as-default",
        )
    if policy_type is PolicyType.SESSION:
        return Placement(
            "the session policy that AssumeRole was given", hint="assume the role again with a wider policy"
        )
    if policy_type is PolicyType.ENDPOINT:
        return Placement(
            f"the policy of the VPC endpoint {policy_name}".rstrip(),
            hint=endpoint_hint(policy_name),
        )
    if policy_type is PolicyType.RESOURCE and _service(resource_arn) == "lambda":
        return Placement(f"the policy of the function {resource_arn}", _permission_command(statement, resource_arn))
    of = "the trust policy of" if policy_type is PolicyType.TRUST else "the policy of"
    return Placement(f"{of} {resource_arn}", hint=_SERVICES_OF_REPLACED.get(_service(resource_arn)))


def endpoint_hint(vpc_endpoint_id: str) -> str:
    """Return how the policy of a VPC endpoint is changed."""
    of_endpoint = f"--vpc-endpoint-id {vpc_endpoint_id or 'ID'}"
    return f"aws ec2 describe-vpc-endpoints, then aws ec2 modify-vpc-endpoint {of_endpoint} --policy-document DOCUMENT"


def _identity_placement(statement: Mapping[str, object], principal_arn: str, occasion: str) -> Placement:
    kind, name = _identity(principal_arn)
    place = f"a policy of the {kind} {name}"
    if _ESCAPE in str(statement["Resource"]):
        return Placement(place, hint="first look whether what was asked for exists: its name has wildcards in it")
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    # Like no other: a policy of the same name would be replaced, and with it what it allowed.
    digest = hashlib.sha256((document + occasion).encode()).hexdigest()[:8]
    policy = InlinePolicy(kind, name, f"Allow{_named(str(statement['Action']))}-{digest}", document)
    words = (
        "aws", "iam", f"put-{kind}-policy", f"--{kind}-name", name,
        "--policy-name", policy.name, "--policy-document", document,
    )  # fmt: skip
    return Placement(place, shlex.join(words), policy=policy)


def _permission_command(statement: Mapping[str, object], function_arn: str) -> str:
    principal, action = statement["Principal"], str(statement["Action"])
    [(kind, named)] = principal.items() if isinstance(principal, Mapping) else [("AWS", principal)]
    words = (
        "aws", "lambda", "add-permission", "--function-name", function_arn, "--principal", str(named),
        "--action", action,
        "--statement-id", "SecretsManagerAccess" if kind == "Service" else f"Allow{_named(action)}",
        *_source_options(statement.get("Condition")),
    )  # fmt: skip
    return shlex.join(words)


def _source_options(condition: object) -> list[str]:
    if not isinstance(condition, Mapping):
        return []
    account = condition.get("StringEquals", {}).get("AWS:SourceAccount")
    arn = condition.get("ArnLike", {}).get("AWS:SourceArn")
    return [*(("--source-account", str(account)) if account else ()), *(("--source-arn", str(arn)) if arn else ())]


def _named(action: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", action.partition(":")[2])


def _identity(principal_arn: str) -> tuple[str, str]:
    """Return ``user`` or ``role``, and its name."""
    parts = Arn.parse(principal_arn).resource.split("/")
    return ("role", parts[1]) if parts[0] == "assumed-role" else (parts[0], parts[-1])


def _service(arn: str) -> str:
    try:
        return Arn.parse(arn).service
    except InvalidArn:
        return ""
