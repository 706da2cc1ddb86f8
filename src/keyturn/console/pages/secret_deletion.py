"""Deleting a secret, with a recovery window or for ever, and restoring it."""

from __future__ import annotations

from typing import Any

from keyturn.console.confirmation import check_confirmed
from keyturn.console.numbers import whole_number
from keyturn.console.pages.secret import SERVICE, known, may
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Visit


@page("secret/delete", needs="id", chosen_in="secrets")
def show(visit: Visit) -> Reply:
    """Show what a deletion means, and the form that confirms it."""
    secret, _ = known(visit)
    rights = may(visit, secret["ARN"], "delete_secret")
    return Html("secret_delete.html", {"secret": secret, "is_allowed": rights["delete_secret"]})


@action("secret/delete", shows=show)
def delete(visit: Visit) -> Reply:
    """Mark a secret for deletion, or erase it now."""
    secret, _ = known(visit)
    form = visit.form
    check_confirmed(form, secret["Name"])
    if form.line("how") == "now":
        visit.clients[SERVICE].delete_secret(SecretId=secret["ARN"], ForceDeleteWithoutRecovery=True)
        return Redirect("secrets", f"{secret['Name']} is erased.")
    days = whole_number(form.line("days"), "The number of days, 7 to 30,")
    done: dict[str, Any] = visit.clients[SERVICE].delete_secret(SecretId=secret["ARN"], RecoveryWindowInDays=days)
    told = f"{secret['Name']} is deleted. It can be restored until {done['DeletionDate']:%Y-%m-%d %H:%M} UTC."
    return Redirect(address("secret", id=secret["ARN"]), told)


@action("secret/restore", shows=show)
def restore(visit: Visit) -> Reply:
    """Take the deletion back."""
    visit.clients[SERVICE].restore_secret(SecretId=visit.asked("id"))
    return Redirect(address("secret", id=visit.asked("id")), "The secret is restored.")
