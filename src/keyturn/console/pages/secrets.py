"""The list of secrets: searched, sorted, a page at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from keyturn.console.replies import Html, Reply
from keyturn.console.routing import page
from keyturn.console.secret_health import health_of
from keyturn.console.visit import Look, Visit
from keyturn.rotators import catalogue

_ON_A_PAGE = 50
# The server looks at some thousand secrets for a filter at a time; a page asks on until it has something to show, as
# long as nobody has to wait for it.
_LOOKING_SECONDS = 0.05

FILTERS: Final[Mapping[str, str]] = {
    "": "Anywhere",
    "name": "Name begins with",
    "description": "Description",
    "tag-key": "Tag key begins with",
    "tag-value": "Tag value begins with",
    "primary-region": "Primary region",
    "owning-service": "Owning service",
}
ORDERS: Final[Mapping[str, str]] = {
    "": "Name",
    "name-desc": "Name, last first",
    "created-date-desc": "Created last",
    "created-date": "Created first",
    "last-changed-date-desc": "Changed last",
    "last-changed-date": "Unchanged longest",
    "last-accessed-date-desc": "Read last",
    "last-accessed-date": "Unread longest",
}
# What the last column shows: the date that the list is sorted by.
_DATES: Final[Mapping[str, tuple[str, str]]] = {
    "created-date": ("Created", "CreatedDate"),
    "last-accessed-date": ("Last read", "LastAccessedDate"),
}
_ANY: Final[Mapping[str, str]] = {"SecretId": "any"}
_SEPARATORS = "/-_+=.@"


@page(
    "secrets",
    title="Secrets",
    order=20,
    calls={"secretsmanager": ["list_secrets"]},
    # Who may not list them opens one by its name.
    calls_about_one={"secretsmanager": {"get_secret_value": _ANY, "describe_secret": _ANY}},
)
def show(visit: Visit) -> Reply:
    """Show one page of the list."""
    search, key, sort = visit.asked("search"), visit.asked("in"), visit.asked("sort")
    sort_by = (sort or "name").removesuffix("-desc")
    wanted: dict[str, Any] = {"SortBy": sort_by, "SortOrder": "desc" if sort.endswith("-desc") else "asc"}
    wanted["IncludePlannedDeletion"] = bool(visit.asked("deleted"))
    listed = _list(visit, {**wanted, "Filters": filters(search, key)}, visit.asked("next"))
    secrets = listed.get("SecretList", [])
    plans = plans_of(visit, secrets)
    return Html(
        "secrets.html",
        {
            "listed": listed,
            "secrets": secrets,
            "plans": plans,
            "engines": engine_titles(),
            "healths": {secret["ARN"]: health_of(plans.get(secret["ARN"], {})) for secret in secrets},
            "asked": {name: visit.asked(name) for name in ("search", "in", "sort", "deleted")},
            "is_narrowed": bool(search),
            "filters": FILTERS,
            "orders": ORDERS,
            "date": _DATES.get(sort_by, ("Changed", "LastChangedDate")),
            "may_create": visit.clients.allow_some("secretsmanager", "create_secret", Name="name"),
        },
    )


def filters(search: str, key: str) -> list[dict[str, Any]]:
    """Return what ListSecrets is asked for.

    Anywhere means what AWS's ``all`` means: every word begins a word of names, descriptions or tags. It does not find
    ``prod/app-db`` by ``prod/app``, because a text with several kinds of separators is one word; so what has a
    separator is looked for as the beginning of a name.
    """
    if not search:
        return []
    if not key:
        key = "name" if any(separator in search for separator in _SEPARATORS) else "all"
    return [{"Key": key, "Values": [search]}]


def plans_of(visit: Visit, secrets: Sequence[Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Return what is planned for secrets, and what was found about it, by ARN; one call for all of them."""
    rotating = [secret["ARN"] for secret in secrets if secret.get("RotationEnabled")]
    if not rotating:
        return {}
    planned = visit.look("keyturn", "list_planned_rotations", SecretARNs=rotating, MaxResults=len(rotating))
    return {entry["ARN"]: entry for entry in planned.get("PlannedRotations", [])}


def engine_titles() -> Mapping[str, str]:
    """Return what people call the engines that plans name."""
    return {name: engine.title for name, engine in catalogue.engines().items()}


def _list(visit: Visit, wanted: Mapping[str, Any], token: str) -> Look:
    until = time.monotonic() + _LOOKING_SECONDS
    while True:
        more = {"NextToken": token} if token else {}
        listed = visit.look("secretsmanager", "list_secrets", MaxResults=_ON_A_PAGE, **wanted, **more)
        token = listed.get("NextToken", "")
        if listed.get("SecretList") or not token or time.monotonic() > until:
            return listed
