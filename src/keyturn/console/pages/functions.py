"""The list of functions, and a new one."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from keyturn.arn import Arn
from keyturn.console.function_metrics import errors_of
from keyturn.console.numbers import whole_number
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Upload, Visit
from keyturn.errors.base import KeyturnError
from keyturn.rules.rotation_permissions import STATEMENT_ID, invoke_permission

PACKAGE_FORM_BYTES: Final = 52_428_800 + 65_536
"""A form with a deployment package, which may have 50 MB."""
_LATELY: Final = timedelta(days=1)
_ROLES: Final = 100
_SECRETS: Final = 100
_TIMEOUT_SECONDS, _MEMORY_MB = 30, 128


@page("functions", title="Functions", order=40, calls={"lambda": ["list_functions"]})
def show(visit: Visit) -> Reply:
    """Show one page of the list."""
    more = {"Marker": visit.asked("next")} if visit.asked("next") else {}
    listed = visit.look("lambda", "list_functions", **more)
    functions = listed.get("Functions", [])
    shown = {
        "listed": listed,
        "functions": [{**each, "LastModified": modified_at(each["LastModified"])} for each in functions],
        "may_create": may_create_function(visit),
        "errors": errors_of(visit, [each["FunctionName"] for each in functions], _LATELY),
        **_rotated(visit),
    }
    return Html("functions.html", shown)


def _rotated(visit: Visit) -> Mapping[str, Any]:
    """Return the secrets that rotate, by their functions' ARNs, as far as one call tells, and whether that is all."""
    planned = visit.look("keyturn", "list_planned_rotations", MaxResults=_SECRETS)
    secrets: dict[str, list[Mapping[str, Any]]] = {}
    for entry in planned.get("PlannedRotations", []):
        secrets.setdefault(entry.get("RotationLambdaARN", ""), []).append(entry)
    return {
        "rotated": secrets,
        "are_all_rotated": "NextToken" not in planned.answer,
        "rotated_refused": planned.refused,
    }


@page("functions/new")
def show_new(visit: Visit) -> Reply:
    """Show the form of a new function."""
    listed = visit.look("iam", "list_roles", MaxItems=_ROLES)
    roles = [role for role in listed.get("Roles", ()) if _is_for_functions(role)]
    shown = {
        "section": "functions",
        "form": visit.form,
        "secret": visit.asked("secret"),
        "roles": roles,
        "roles_refused": listed.refused,
        "runtime": visit.form.line("runtime") or f"python{sys.version_info.major}.{sys.version_info.minor}",
        "timeout": visit.form.line("timeout") or str(_TIMEOUT_SECONDS),
        "memory": visit.form.line("memory") or str(_MEMORY_MB),
        "may_create": may_create_function(visit),
        "may_permit": visit.clients.allow_some("lambda", "add_permission", FunctionName="new", **_ANY_PERMISSION),
    }
    return Html("functions_new.html", shown)


@action("functions/new", shows=show_new, most_bytes=PACKAGE_FORM_BYTES)
def create(visit: Visit) -> Reply:
    """Make a function, and let Secrets Manager invoke it if that is wanted."""
    form, functions = visit.form, visit.clients["lambda"]
    name = form.line("name")
    made = functions.create_function(
        FunctionName=name,
        Runtime=form.line("runtime"),
        Handler=form.line("handler"),
        Role=form.line("role"),
        Description=form.line("description"),
        Timeout=whole_number(form.line("timeout"), "The time limit"),
        MemorySize=whole_number(form.line("memory"), "The memory"),
        Code={"ZipFile": package_of(visit).content},
    )
    if form.is_on("invoked_by_secrets_manager"):
        functions.add_permission(
            FunctionName=made["FunctionArn"], **permission(made["FunctionArn"], form.line("secret"))
        )
    if form.line("secret"):
        there = address("secret/rotation", id=form.line("secret"), function=made["FunctionArn"])
        return Redirect(there, f"The function {name} is made. Choose it to rotate the secret.")
    return Redirect(address("function", name=name, tab="test"), f"The function {name} is made. Test it.")


def permission(function_arn: str, secret_arn: str = "") -> dict[str, Any]:
    """Return AddPermission's parameters, beside the function, that let Secrets Manager invoke it.

    Args:
        function_arn: The function.
        secret_arn: The secret that it is for; empty if it is for any of its account.
    """
    return {"StatementId": STATEMENT_ID, **invoke_permission(secret_arn or None, Arn.parse(function_arn).account_id)}


# Which account it is, does not decide whether it is allowed.
_ANY_PERMISSION: Final[Mapping[str, Any]] = {"StatementId": STATEMENT_ID, **invoke_permission(None, "0" * 12)}


def may_create_function(visit: Visit) -> bool:
    """Return whether a function of some name might be created."""
    return visit.clients.allow_some(
        "lambda",
        "create_function",
        FunctionName="new",
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/new",
        Handler="new.new",
        Code={},
    )


def package_of(visit: Visit) -> Upload:
    """Return the deployment package of a form.

    Raises:
        KeyturnError: There is none.
    """
    upload = visit.form.uploads.get("package")
    if upload is None or not upload.content:
        raise KeyturnError("No zip file was chosen.", "keyturn function new writes a function, and how it is packaged.")
    return upload


def modified_at(text: str) -> datetime:
    """Return a moment as Lambda writes it: ``2026-11-28T01:57:33.829+0000``."""
    return datetime.fromisoformat(text)


def _is_for_functions(role: Mapping[str, Any]) -> bool:
    trust = role.get("AssumeRolePolicyDocument", "")
    return "lambda.amazonaws.com" in (trust if isinstance(trust, str) else json.dumps(trust))
