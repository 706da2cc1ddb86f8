"""The simulator: would somebody's policies allow it, and which statement decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keyturn.arn import Place
from keyturn.console.replies import Html, Reply
from keyturn.console.routing import action, page
from keyturn.console.visit import Visit
from keyturn.errors.base import KeyturnError

_MOST = 100
_ANY_ACTION = ["kms:ListKeys"]
_FIELDS = ("principal", "actions", "resources", "context", "policy")


def may_simulate(visit: Visit) -> bool:
    """Return whether the simulator has something to tell."""
    allow_some = visit.clients.allow_some
    arn = Place.of(visit.principal.arn).user_arn("/", "any")
    return allow_some("iam", "simulate_principal_policy", PolicySourceArn=arn, ActionNames=_ANY_ACTION) or allow_some(
        "iam", "simulate_custom_policy", PolicyInputList=["{}"], ActionNames=_ANY_ACTION
    )


def may_simulate_for(visit: Visit, principal_arn: str) -> bool:
    """Return whether it has something to tell of a user, a role or a group."""
    return visit.clients.allow(
        "iam", "simulate_principal_policy", PolicySourceArn=principal_arn, ActionNames=_ANY_ACTION
    )


@page("access/simulator")
def show(visit: Visit) -> Reply:
    """Show the form, with the principal that a link names."""
    return _page(visit)


@action("access/simulator", shows=show)
def simulate(visit: Visit) -> Reply:
    """Try actions, and show what would be decided."""
    form = visit.form
    actions, resources = form.text("actions").split(), form.text("resources").split()
    if not actions:
        raise KeyturnError("No action is named.", "For instance secretsmanager:GetSecretValue, one per line.")
    if (asked := len(actions) * max(1, len(resources))) > _MOST:
        raise KeyturnError(
            f"{asked} decisions are more than the {_MOST} that are shown at once.", "Name fewer actions or resources."
        )
    principal, policy = form.line("principal"), form.text("policy").strip()
    request: dict[str, Any] = {"ActionNames": actions, "MaxItems": _MOST}
    request |= {"ResourceArns": resources} if resources else {}
    request |= {"PolicyInputList": [policy]} if policy else {}
    entries = list(_context_entries(form.text("context")))
    request |= {"ContextEntries": entries} if entries else {}
    counted = _resource_policy(visit, principal, resources)
    if counted:
        request |= {"ResourcePolicy": counted, "CallerArn": principal}
    if principal:
        answer = visit.clients["iam"].simulate_principal_policy(PolicySourceArn=principal, **request)
    elif policy:
        answer = visit.clients["iam"].simulate_custom_policy(**request)
    else:
        raise KeyturnError("Nobody is named.", "Name a user, group or role by ARN, or write a policy to try out.")
    return _page(visit, list(_results(answer)), is_counted=bool(counted))


def _resource_policy(visit: Visit, principal: str, resources: list[str]) -> str:
    """Return the policy of the secret that a user is to use; empty where IAM counts none, or there is none.

    IAM takes one policy for all resources, and only for users (SimulatePrincipalPolicy, ``ResourcePolicy``).
    """
    if len(resources) != 1 or ":user/" not in principal or ":secretsmanager:" not in resources[0]:
        return ""
    return str(visit.look("secretsmanager", "get_resource_policy", SecretId=resources[0]).get("ResourcePolicy", ""))


def _context_entries(text: str) -> Iterator[Mapping[str, Any]]:
    """Yield context keys with their values, written ``key = value, value``, one per line."""
    for line in text.splitlines():
        key, is_given, values = line.partition("=")
        if not line.strip():
            continue
        if not is_given:
            raise KeyturnError(f"{line.strip()} has no value.", "Write key = value, one per line.")
        yield {
            "ContextKeyName": key.strip(),
            "ContextKeyType": "stringList" if "," in values else "string",
            "ContextKeyValues": [value.strip() for value in values.split(",")],
        }


def _results(answer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a line for each action and resource."""
    for result in answer["EvaluationResults"]:
        for each in result.get("ResourceSpecificResults") or [result]:
            boundary = each.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary")
            yield {
                "action": result["EvalActionName"],
                "resource": each["EvalResourceName"],
                "decision": each.get("EvalResourceDecision") or each["EvalDecision"],
                "statements": each.get("MatchedStatements", []),
                "missing": each.get("MissingContextValues", []),
                "boundary": boundary,
            }


def _page(visit: Visit, results: list[Mapping[str, Any]] | None = None, *, is_counted: bool = False) -> Html:
    filled = {name: visit.form.text(name) or visit.query.get(name, "") for name in _FIELDS}
    shown = {"filled": filled, "results": results, "is_counted": is_counted, "may_simulate": may_simulate(visit)}
    return Html("access_simulator.html", shown)
