"""Whether a role or a function that is there already is what ``keyturn function create`` would make.

A tag says what something was made for, and not by whom: whoever may make a role and tag it can have done so in
advance, to act as it once it may read a secret. So all that decides who acts as the role, and what runs as it, has to
be what would be made.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from keyturn.client.function_plan import Plan
from keyturn.doctor.asking import ClientsByName
from keyturn.errors.base import KeyturnError

# What these say is how new passwords look, and nothing else: docs/rotation.md has them.
_OF_PASSWORDS = frozenset(
    {
        "EXCLUDE_CHARACTERS",
        "EXCLUDE_LOWERCASE",
        "EXCLUDE_NUMBERS",
        "EXCLUDE_PUNCTUATION",
        "EXCLUDE_UPPERCASE",
        "PASSWORD_LENGTH",
        "REQUIRE_EACH_INCLUDED_TYPE",
    }
)


def refuse_other_trust(plan: Plan, there: Mapping[str, Any], wanted: Mapping[str, object]) -> None:
    """Refuse a role that others than the function may assume, or could have.

    Raises:
        KeyturnError: Its trust policy is another one than would be written.
    """
    if there != wanted:
        raise KeyturnError(
            f"The trust policy of the role {plan.name} is another one than this command would write: somebody else may"
            " be able to assume the role.",
            "Choose another name for function and role with --name; or delete the role, then this makes it anew.",
            "To put the trust policy right is not enough: who has assumed the role already stays in for hours.",
            f"What is there: aws iam get-role --role-name {plan.name}{plan.options}",
        )


def refuse_other_policies(clients: ClientsByName, plan: Plan, known: Collection[str]) -> None:
    """Refuse a role that may do more than would be granted.

    Args:
        clients: Of the server.
        plan: Names the role.
        known: Names of the inline policies that it may have, whose documents are compared by themselves.

    Raises:
        KeyturnError: It has other policies. A permissions boundary is none: it only takes away.
    """
    iam, role = clients["iam"], f"--role-name {plan.name}"
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=plan.name):
        for name in page["PolicyNames"]:
            if name not in known:
                raise _other_policy(plan, name, f"delete-role-policy {role} --policy-name {name}")
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=plan.name):
        for policy in page["AttachedPolicies"]:
            arn = policy["PolicyArn"]
            raise _other_policy(plan, arn, f"detach-role-policy {role} --policy-arn {arn}")


def _other_policy(plan: Plan, name: str, command: str) -> KeyturnError:
    return KeyturnError(
        f"The role {plan.name} has a policy that this command does not put: {name}.",
        "Choose another name for function and role with --name.",
        f"Or take it away, first: aws iam {command}{plan.options}",
    )


def refuse_other_configuration(plan: Plan, there: Mapping[str, Any]) -> None:
    """Refuse a function that runs as, with or beside something else than it would.

    Args:
        plan: What would be made.
        there: The function's configuration.

    Raises:
        KeyturnError: Role, layers, VPC or environment are others.
    """
    more = [] if there["Role"] == plan.role_arn else [f"the role {there['Role']}"]
    more += [f"the layer {layer['Arn']}" for layer in there.get("Layers", [])]
    network, wanted = there.get("VpcConfig", {}), plan.vpc_config or {}
    if any({*network.get(member, ())} != {*wanted.get(member, ())} for member in ("SubnetIds", "SecurityGroupIds")):
        more.append(_told_network(network))
    if more:
        raise KeyturnError(
            f"The function {plan.name} has what this command does not give it: {', '.join(more)}.",
            "Choose another name for function and role with --name.",
            "Or delete it, then this makes it anew: aws lambda delete-function --function-name"
            f" {plan.name}{plan.options}",
        )
    _refuse_other_environment(plan, there.get("Environment", {}))


def _told_network(network: Mapping[str, Any]) -> str:
    ids = ", ".join([*network.get("SubnetIds", ()), *network.get("SecurityGroupIds", ())])
    return f"the VPC {network.get('VpcId', '')} ({ids})" if ids else "a network outside any VPC"


def _refuse_other_environment(plan: Plan, environment: Mapping[str, Any]) -> None:
    there = environment.get("Variables", {})
    if "Error" in environment:
        raise KeyturnError(
            f"The environment variables of the function {plan.name} cannot be read, so it is left alone.",
            "Choose another name for function and role with --name, or see to it that you may use the function's key.",
        )
    unsaid = sorted({*there} - _OF_PASSWORDS)
    if plan.environment == there or (plan.environment is None and not unsaid):
        return
    wanted = shlex.quote(json.dumps({"Variables": dict(plan.environment or {})}))
    names = ", ".join(sorted(there)) or "none"
    raise KeyturnError(
        f"The function {plan.name} has other environment variables than -e says.",
        f"It has {names}. Say each with -e that is to stay."
        if unsaid
        else f"Leave -e out to keep those that it has: {names}.",
        f"To have {'these alone' if plan.environment else 'none'}: aws lambda update-function-configuration"
        f" --function-name {plan.name} --environment {wanted}{plan.options}",
    )
