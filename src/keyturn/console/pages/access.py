"""Who may do what: users, roles, groups and policies, searched by name and a page at a time; and new ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from keyturn.console.pages.access_simulator import may_simulate
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Look, Visit
from keyturn.rules.rotation_permissions import trust_policy

_ON_A_PAGE: Final = 50
# IAM searches nothing: names are looked for among so many at a time, and so many times at most.
_LOOKED_AT: Final = 500
_MOST_ASKED: Final = 10
# Per tab: the title, the operation that lists, its parameters, the member, and the name in GetAccountSummary.
_TABS: Final[Mapping[str, tuple[str, str, Mapping[str, str], str, str]]] = {
    "users": ("Users", "list_users", {}, "Users", "Users"),
    "roles": ("Roles", "list_roles", {}, "Roles", "Roles"),
    "groups": ("Groups", "list_groups", {}, "Groups", "Groups"),
    "policies": ("Policies", "list_policies", {}, "Policies", "Policies"),
}
_NAMES: Final = ("UserName", "RoleName", "GroupName", "PolicyName")
# Those that are written here, first; those that AWS has ready are many, and the same everywhere.
SCOPES: Final[Mapping[str, str]] = {"Local": "Your own", "AWS": "Ready-made by AWS"}


@page("access", title="Access", order=70, calls={"iam": ["list_users", "list_roles", "list_groups", "list_policies"]})
def show(visit: Visit) -> Reply:
    """Show one page of the users, or of the roles, groups or policies."""
    tab = visit.asked("tab") if visit.asked("tab") in _TABS else "users"
    _, operation, parameters, member, _ = _TABS[tab]
    scope = visit.asked("scope") if visit.asked("scope") in SCOPES else "Local"
    if tab == "policies":
        parameters = {"Scope": scope}
    entries, listed = _listed(visit, operation, parameters, member)
    summary = visit.look("iam", "get_account_summary")
    counts = summary["SummaryMap"] if summary else {}
    return Html(
        "access.html",
        {
            "tab": tab,
            "tabs": [(name, title, counts.get(counted)) for name, (title, _, _, _, counted) in _TABS.items()],
            "listed": listed,
            "entries": entries,
            "search": visit.asked("search"),
            "scope": scope,
            "scopes": SCOPES,
            "may_create": _may_create(visit, tab),
            "may_simulate": may_simulate(visit),
            "trust": json.dumps(trust_policy(visit.principal.account_id), indent=2),
        },
    )


def _listed(
    visit: Visit, operation: str, parameters: Mapping[str, str], member: str
) -> tuple[list[Mapping[str, Any]], Look]:
    """Return what of a list is shown, and the last answer, which says whether there is more."""
    search, marker = visit.asked("search").lower(), visit.asked("next")
    found: list[Mapping[str, Any]] = []
    for _ in range(_MOST_ASKED):
        more = {"Marker": marker} if marker else {}
        listed = visit.look("iam", operation, MaxItems=_LOOKED_AT if search else _ON_A_PAGE, **parameters, **more)
        found += [entry for entry in listed.get(member, []) if search in _name(entry).lower()]
        marker = listed.get("Marker", "")
        if not search or not marker or len(found) >= _ON_A_PAGE:
            break
    return found, listed


def _name(entry: Mapping[str, Any]) -> str:
    return next(str(entry[name]) for name in _NAMES if name in entry)


def _may_create(visit: Visit, tab: str) -> bool:
    allow = visit.clients.allow_some
    match tab:
        case "users":
            return allow("iam", "create_user", UserName="new")
        case "groups":
            return allow("iam", "create_group", GroupName="new")
        case "roles":
            return allow("iam", "create_role", RoleName="new", AssumeRolePolicyDocument="{}")
        case _:
            return allow("iam", "create_policy", PolicyName="new", PolicyDocument="{}")


@action("access/user/create", shows=show)
def create_user(visit: Visit) -> Reply:
    """Make a user, who may do nothing yet."""
    return _create(visit, "user", UserName=visit.form.line("name"))


@action("access/group/create", shows=show)
def create_group(visit: Visit) -> Reply:
    """Make a group."""
    return _create(visit, "group", GroupName=visit.form.line("name"))


@action("access/role/create", shows=show)
def create_role(visit: Visit) -> Reply:
    """Make a role, which may do nothing yet."""
    description = {"Description": visit.form.line("description")} if visit.form.line("description") else {}
    trust = visit.form.text("trust")
    return _create(visit, "role", RoleName=visit.form.line("name"), AssumeRolePolicyDocument=trust, **description)


def _create(visit: Visit, kind: str, **parameters: Any) -> Reply:
    getattr(visit.clients["iam"], f"create_{kind}")(**parameters)
    name = visit.form.line("name")
    return Redirect(address(f"access/{kind}", name=name), f"The {kind} {name} is there. Give it policies.")
