"""A group: its users and its policies."""

from __future__ import annotations

from keyturn.console.confirmation import check_confirmed
from keyturn.console.pages.access_holder import holder_parts, offer_policies
from keyturn.console.pages.access_simulator import may_simulate_for
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Visit

_MOST = 100


@page("access/group", needs="name", chosen_in="access?tab=groups")
def show(visit: Visit) -> Reply:
    """Show a group."""
    name = visit.asked("name")
    found = visit.clients["iam"].get_group(GroupName=name, MaxItems=_MOST)
    may_delete = visit.clients.allow("iam", "delete_group", GroupName=name)
    may_add = visit.clients.allow("iam", "add_user_to_group", GroupName=name, UserName="any")
    may_remove = visit.clients.allow("iam", "remove_user_from_group", GroupName=name, UserName="any")
    shown = {
        "may_simulate": may_simulate_for(visit, found["Group"]["Arn"]),
        "group": found["Group"],
        "found": found,
        "may_delete": may_delete,
        "may_add": may_add,
        "may_remove": may_remove,
    }
    return Html("access_group.html", {**shown, **holder_parts(visit, "group", name)})


@action("access/group/users", shows=show)
def set_user(visit: Visit) -> Reply:
    """Add a user to the group, or take them out of it."""
    name, user = visit.asked("name"), visit.form.line("user")
    if visit.form.line("do") == "remove":
        visit.clients["iam"].remove_user_from_group(UserName=user, GroupName=name)
    else:
        visit.clients["iam"].add_user_to_group(UserName=user, GroupName=name)
    return Redirect(address("access/group", name=name), "Done.")


@action("access/group/delete", shows=show)
def delete_group(visit: Visit) -> Reply:
    """Delete a group that has nothing left."""
    name = visit.asked("name")
    check_confirmed(visit.form, name)
    visit.clients["iam"].delete_group(GroupName=name)
    return Redirect(address("access", tab="groups"), f"The group {name} is deleted.")


offer_policies("group", show)
