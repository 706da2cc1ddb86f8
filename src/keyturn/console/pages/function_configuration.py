"""Configuration: how a function runs, as whom, with which variables, who may invoke it, and where it can connect to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from keyturn.client.shown import shown
from keyturn.console.confirmation import check_confirmed
from keyturn.console.function_facts import FunctionFacts, function_facts, function_page
from keyturn.console.numbers import whole_number
from keyturn.console.pages.functions import modified_at, permission
from keyturn.console.replies import Redirect, Reply, address
from keyturn.console.routing import action
from keyturn.console.visit import Visit
from keyturn.errors.base import KeyturnError
from keyturn.rules.rotation_permissions import SECRETS_MANAGER

_NO_POLICY: Final = 404


def show(visit: Visit) -> Reply:
    """Show it, with the variables' values hidden."""
    return _page(visit, function_facts(visit), is_revealed=False)


@action("function/reveal", shows=show)
def reveal(visit: Visit) -> Reply:
    """Show it with the variables' values."""
    return _page(visit, function_facts(visit), is_revealed=True)


@action("function/settings", shows=show)
def change_settings(visit: Visit) -> Reply:
    """Change how it runs, if it is still what the form was made from: all of these are sent at once."""
    form = visit.form
    unchanged = {"RevisionId": form.line("revision")} if form.line("revision") else {}
    visit.clients["lambda"].update_function_configuration(
        FunctionName=visit.asked("name"),
        Description=form.line("description"),
        Handler=form.line("handler"),
        Timeout=whole_number(form.line("timeout"), "The time limit"),
        MemorySize=whole_number(form.line("memory"), "The memory"),
        **unchanged,
    )
    return _done(visit, "The settings are changed, from the next invocation on.")


@action("function/variable", shows=show)
def set_variable(visit: Visit) -> Reply:
    """Set one variable."""
    variable = visit.form.line("variable")
    if not variable:
        raise KeyturnError("The variable has no name.")
    _change_variables(visit, lambda there: {**there, variable: visit.form.text("value")})
    return _done(visit, f"The variable {variable} is set.")


@action("function/variable/remove", shows=show)
def remove_variable(visit: Visit) -> Reply:
    """Take one variable away."""
    variable = visit.form.text("variable")
    _change_variables(visit, lambda there: {name: value for name, value in there.items() if name != variable})
    return _done(visit, f"The variable {variable} is gone.")


@action("function/concurrency", shows=show)
def reserve(visit: Visit) -> Reply:
    """Set how many may run at once; without a number, as many as the account has left."""
    functions, name, number = visit.clients["lambda"], visit.asked("name"), visit.form.line("reserved")
    if not number:
        functions.delete_function_concurrency(FunctionName=name)
        return _done(visit, "Nothing is reserved for it any more.")
    reserved = whole_number(number, "The number of invocations")
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    return _done(visit, f"At most {reserved} run at once.")


@action("function/permission", shows=show)
def permit(visit: Visit) -> Reply:
    """Let Secrets Manager invoke it."""
    functions, name = visit.clients["lambda"], visit.asked("name")
    function_arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    functions.add_permission(FunctionName=name, **permission(function_arn))
    return _done(visit, "Secrets Manager may invoke it, for secrets of this account.")


@action("function/permission/remove", shows=show)
def withdraw(visit: Visit) -> Reply:
    """Remove a statement of its policy."""
    statement_id = visit.form.text("statement")
    check_confirmed(visit.form, shown(statement_id))
    visit.clients["lambda"].remove_permission(FunctionName=visit.asked("name"), StatementId=statement_id)
    return _done(visit, f"The statement {statement_id} is removed.")


@action("function/delete", shows=show)
def delete(visit: Visit) -> Reply:
    """Remove the function."""
    name = visit.asked("name")
    if visit.form.line("confirmed") != name:
        raise KeyturnError("The function was not deleted: its name was typed otherwise.", f"Type {name}.")
    visit.clients["lambda"].delete_function(FunctionName=name)
    return Redirect("functions", f"The function {name} is deleted. Its log stays.")


def _page(visit: Visit, facts: FunctionFacts, *, is_revealed: bool) -> Reply:
    named = facts.named
    policy = visit.look("lambda", "get_policy", **named)
    has_none = policy.refused is not None and policy.refused.status == _NO_POLICY
    statements = [_statement(each) for each in _statements(policy.get("Policy", ""))]
    configuration = facts.configuration
    concurrency = visit.look("lambda", "get_function_concurrency", FunctionName=facts.name)
    allow, mine = visit.clients.allow, {"FunctionName": facts.name}
    is_changed_here = not facts.qualifier
    shown = {
        "modified_at": modified_at(configuration["LastModified"]) if configuration else None,
        "variables": configuration.get("Environment", {}).get("Variables", {}),
        "is_revealed": is_revealed,
        "role_name": configuration.get("Role", "").rpartition("/")[2],
        "statements": statements,
        "policy_refused": None if has_none else policy.refused,
        "is_invoked": any(each["is_secrets_manager"] for each in statements),
        "concurrency": concurrency,
        "reserved": concurrency.get("ReservedConcurrentExecutions"),
        "vpc": configuration.get("VpcConfig", {}),
        "may_configure": is_changed_here and allow("lambda", "update_function_configuration", **mine),
        "may_reserve": is_changed_here
        and allow("lambda", "put_function_concurrency", **mine, ReservedConcurrentExecutions=1),
        "may_unreserve": is_changed_here and allow("lambda", "delete_function_concurrency", **mine),
        "may_permit": bool(configuration)
        and allow("lambda", "add_permission", **mine, **permission(configuration["FunctionArn"])),
        "may_withdraw": allow("lambda", "remove_permission", **mine, StatementId="s"),
        "may_delete": is_changed_here and allow("lambda", "delete_function", **mine),
    }
    return function_page(facts, "configuration", shown)


def _done(visit: Visit, told: str) -> Reply:
    return Redirect(address("function", name=visit.asked("name"), tab="configuration"), told)


def _change_variables(visit: Visit, changed: Any) -> None:
    """Change the variables as they are now: UpdateFunctionConfiguration takes all of them at once."""
    functions, name = visit.clients["lambda"], visit.asked("name")
    there = functions.get_function_configuration(FunctionName=name)
    variables = changed(there.get("Environment", {}).get("Variables", {}))
    functions.update_function_configuration(
        FunctionName=name, Environment={"Variables": variables}, RevisionId=there["RevisionId"]
    )


def _statements(policy: str) -> list[Mapping[str, Any]]:
    found: Any = json.loads(policy)["Statement"] if policy else []
    return found if isinstance(found, list) else [found]


def _statement(statement: Mapping[str, Any]) -> dict[str, Any]:
    principal = statement.get("Principal", "")
    named = list(principal.values()) if isinstance(principal, dict) else [principal]
    is_whole = statement.get("Effect") == "Allow" and statement.get("Action") in ("lambda:InvokeFunction", "lambda:*")
    return {
        "id": statement.get("Sid", ""),
        "effect": statement.get("Effect", ""),
        "principal": ", ".join(each if isinstance(each, str) else ", ".join(each) for each in named),
        "action": statement.get("Action", ""),
        "condition": statement.get("Condition"),
        "is_secrets_manager": SECRETS_MANAGER in named and is_whole,
    }
