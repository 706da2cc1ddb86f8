"""A role: who may assume it, what it may do, which functions run with it, and what those need to rotate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from keyturn.console.confirmation import check_confirmed
from keyturn.console.function_list import functions_of
from keyturn.console.pages.access_holder import holder_parts, offer_policies
from keyturn.console.pages.access_simulator import may_simulate_for
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Look, Refused, Visit
from keyturn.rules.rotation_permissions import role_policy

_MOST_FUNCTIONS = 200
_MOST_SECRETS = 3


@page("access/role", needs="name", chosen_in="access?tab=roles")
def show(visit: Visit) -> Reply:
    """Show a role."""
    name = visit.asked("name")
    role = visit.clients["iam"].get_role(RoleName=name)["Role"]
    found, is_all = functions_of(visit, _MOST_FUNCTIONS)
    refused = found if isinstance(found, Refused) else None
    functions = [] if isinstance(found, Refused) else [each for each in found if each.get("Role") == role["Arn"]]
    allow = visit.clients.allow
    return Html(
        "access_role.html",
        {
            "role": role,
            "functions": functions,
            "functions_refused": refused,
            "is_all": is_all,
            "recommended": list(_recommended(visit, functions)),
            **holder_parts(visit, "role", name),
            "may": {
                "trust": allow("iam", "update_assume_role_policy", RoleName=name, PolicyDocument="{}"),
                "delete": allow("iam", "delete_role", RoleName=name),
                "simulate": may_simulate_for(visit, role["Arn"]),
            },
        },
    )


def _recommended(visit: Visit, functions: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the policy that it takes to rotate each secret of the role's functions, of many the first few."""
    for function in functions[:_MOST_SECRETS]:
        planned = visit.look(
            "keyturn", "list_planned_rotations", RotationLambdaARN=function["FunctionArn"], MaxResults=_MOST_SECRETS
        )
        for entry in planned.get("PlannedRotations", []):
            described = visit.look("secretsmanager", "describe_secret", SecretId=entry["ARN"])
            if described:
                yield {"secret": entry, "function": function, "document": _policy(function, described)}


def _policy(function: Mapping[str, Any], secret: Look) -> Mapping[str, object]:
    function_arn = function["FunctionArn"]
    group = (function.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{function['FunctionName']}"
    prefix = function_arn.partition(":function:")[0].replace(":lambda:", ":logs:")
    group_arn = f"{prefix}:log-group:{group}"
    key = str(secret.get("KmsKeyId") or "")
    # A key that is no ARN is an alias or an id, and the key that everybody has needs no statement.
    key_arn = key if key.startswith("arn:") and not key.endswith(":alias/aws/secretsmanager") else None
    return role_policy(secret["ARN"], function_arn, group_arn, f"{group_arn}:*", key_arn)


@action("access/role/delete", shows=show)
def delete_role(visit: Visit) -> Reply:
    """Delete a role that has nothing left."""
    name = visit.asked("name")
    check_confirmed(visit.form, name)
    visit.clients["iam"].delete_role(RoleName=name)
    return Redirect(address("access", tab="roles"), f"The role {name} is deleted.")


offer_policies("role", show)
