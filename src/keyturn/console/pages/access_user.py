"""A user: access keys, policies, groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.console.confirmation import check_confirmed
from keyturn.console.pages.access_holder import holder_parts, offer_policies
from keyturn.console.pages.access_simulator import may_simulate_for
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Visit

# What decides is the user; the request has to have one.
_ANY_KEY = "AKIAEXAMPLEEXAMPLE00"


@page("access/user", needs="name", chosen_in="access")
def show(visit: Visit) -> Reply:
    """Show a user."""
    return _page(visit)


def _page(visit: Visit, made: Mapping[str, Any] | None = None) -> Html:
    name = visit.asked("name")
    user = visit.clients["iam"].get_user(UserName=name)["User"]
    keys = visit.look("iam", "list_access_keys", UserName=name)
    allow = visit.clients.allow
    groups = visit.look("iam", "list_groups_for_user", UserName=name)
    through = [
        {
            "group": group["GroupName"],
            "attached": visit.look("iam", "list_attached_group_policies", GroupName=group["GroupName"]),
            "inline": visit.look("iam", "list_group_policies", GroupName=group["GroupName"]),
        }
        for group in groups.get("Groups", [])
    ]
    entries = [
        {"key": key, "used": visit.look("iam", "get_access_key_last_used", AccessKeyId=key["AccessKeyId"])}
        for key in keys.get("AccessKeyMetadata", [])
    ]
    return Html(
        "access_user.html",
        {
            "user": user,
            "keys": keys,
            "entries": entries,
            "made": made,
            "groups": groups,
            "through": through,
            "removable": [
                group["GroupName"]
                for group in groups.get("Groups", [])
                if allow("iam", "remove_user_from_group", UserName=name, GroupName=group["GroupName"])
            ],
            **holder_parts(visit, "user", name),
            "may": {
                "create_key": allow("iam", "create_access_key", UserName=name),
                "update_key": allow("iam", "update_access_key", UserName=name, AccessKeyId=_ANY_KEY, Status="Active"),
                "delete_key": allow("iam", "delete_access_key", UserName=name, AccessKeyId=_ANY_KEY),
                "delete": allow("iam", "delete_user", UserName=name),
                "add": visit.clients.allow_some("iam", "add_user_to_group", UserName=name, GroupName="any"),
                "simulate": may_simulate_for(visit, user["Arn"]),
            },
        },
    )


@action("access/user/key/create", shows=show)
def create_key(visit: Visit) -> Reply:
    """Make an access key, and show its secret this once."""
    made = visit.clients["iam"].create_access_key(UserName=visit.asked("name"))["AccessKey"]
    return _page(visit, made)


@action("access/user/key/status", shows=show)
def set_key_status(visit: Visit) -> Reply:
    """Activate an access key, or deactivate it."""
    key, status = visit.form.line("key"), visit.form.line("status")
    visit.clients["iam"].update_access_key(UserName=visit.asked("name"), AccessKeyId=key, Status=status)
    return _back(visit, f"The key {key} is {'active' if status == 'Active' else 'inactive'}.")


@action("access/user/key/delete", shows=show)
def delete_key(visit: Visit) -> Reply:
    """Delete an access key."""
    key = visit.form.line("key")
    check_confirmed(visit.form, key)
    visit.clients["iam"].delete_access_key(UserName=visit.asked("name"), AccessKeyId=key)
    return _back(visit, f"The key {key} is deleted.")


@action("access/user/groups", shows=show)
def set_group(visit: Visit) -> Reply:
    """Add the user to a group, or take them out of it."""
    name, group = visit.asked("name"), visit.form.line("group")
    if visit.form.line("do") == "remove":
        visit.clients["iam"].remove_user_from_group(UserName=name, GroupName=group)
        return _back(visit, f"{name} is not in the group {group} any more.")
    visit.clients["iam"].add_user_to_group(UserName=name, GroupName=group)
    return _back(visit, f"{name} is in the group {group}.")


@action("access/user/delete", shows=show)
def delete_user(visit: Visit) -> Reply:
    """Delete a user who has nothing left."""
    name = visit.asked("name")
    check_confirmed(visit.form, name)
    visit.clients["iam"].delete_user(UserName=name)
    return Redirect("access", f"The user {name} is deleted.")


def _back(visit: Visit, notice: str) -> Redirect:
    return Redirect(address("access/user", name=visit.asked("name")), notice)


offer_policies("user", show)
