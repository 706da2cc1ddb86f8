"""KMS keys: the list, and one with its policy, its grants and its life."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keyturn.console.confirmation import check_confirmed
from keyturn.console.numbers import whole_number
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Look, Refused, Visit
from keyturn.errors.base import KeyturnError

# Each takes a call of its own.
_ON_A_PAGE: Final = 20
_MOST: Final = 100
# So many secrets are looked through for those under a key, and so many of these are named.
_PAGES_LOOKED_THROUGH: Final = 10
_NAMED: Final = 50
# What a secret without a key of its own is sealed with.
_USUAL: Final = "alias/aws/secretsmanager"
_ANY_KEY: Final = "00000000-0000-4000-8000-000000000000"


@page("keys", title="Keys", order=90, calls={"kms": ["list_keys"]})
def show(visit: Visit) -> Reply:
    """Show one page of the keys."""
    more = {"Marker": visit.asked("next")} if visit.asked("next") else {}
    listed = visit.look("kms", "list_keys", Limit=_ON_A_PAGE, **more)
    aliases = visit.look("kms", "list_aliases", Limit=_MOST)
    names: dict[str, list[str]] = {}
    for alias in aliases.get("Aliases", []):
        names.setdefault(alias.get("TargetKeyId", ""), []).append(alias["AliasName"])
    entries = [
        {
            "id": key["KeyId"],
            "aliases": names.get(key["KeyId"], []),
            "described": visit.look("kms", "describe_key", KeyId=key["KeyId"]),
        }
        for key in listed.get("Keys", [])
    ]
    shown = {
        "listed": listed,
        "entries": entries,
        "may_create": visit.clients.allow("kms", "create_key"),
        "may_name": visit.clients.allow_some("kms", "create_alias", AliasName="alias/new", TargetKeyId=_ANY_KEY),
    }
    return Html("keys.html", shown)


@action("key/create", shows=show)
def create(visit: Visit) -> Reply:
    """Make a key, with an alias if one is given."""
    alias = visit.form.line("alias")
    name = alias if not alias or alias.startswith("alias/") else f"alias/{alias}"
    if name and visit.look("kms", "describe_key", KeyId=name):
        raise KeyturnError(f"No key was made: {name} is the name of another one.", "Choose another alias.")
    made = visit.clients["kms"].create_key(Description=visit.form.line("description"))["KeyMetadata"]
    named = visit.look("kms", "create_alias", AliasName=name, TargetKeyId=made["KeyId"]) if name else None
    if named is not None and named.refused is not None:
        return _back(made["KeyId"], f"The key is there, but without its alias: {named.refused.message}")
    return _back(made["KeyId"], "The key is there.")


@page("key", needs="id", chosen_in="keys")
def show_key(visit: Visit) -> Reply:
    """Show one key."""
    key = visit.clients["kms"].describe_key(KeyId=visit.asked("id"))["KeyMetadata"]
    key_id = key["KeyId"]
    is_own = key["KeyManager"] == "CUSTOMER"
    allow = visit.clients.allow
    may = {
        name: is_own and allow("kms", operation, KeyId=key_id, **more)
        for name, operation, more in (
            ("enable", "enable_key", {}),
            ("disable", "disable_key", {}),
            ("delete", "schedule_key_deletion", {"PendingWindowInDays": 30}),
            ("cancel", "cancel_key_deletion", {}),
            ("rotate", "enable_key_rotation", {}),
            ("rest", "disable_key_rotation", {}),
            ("policy", "put_key_policy", {"PolicyName": "default", "Policy": "{}"}),
        )
    }
    aliases = visit.look("kms", "list_aliases", KeyId=key_id, Limit=_MOST)
    shown: dict[str, Any] = {
        "key": key,
        "is_own": is_own,
        "policy": visit.look("kms", "get_key_policy", KeyId=key_id, PolicyName="default"),
        "aliases": aliases,
        "under": _under(visit, key, aliases),
        "grants": visit.look("kms", "list_grants", KeyId=key_id, Limit=_MOST) if is_own else None,
        "rotation": visit.look("kms", "get_key_rotation_status", KeyId=key_id) if is_own else None,
        "may": may,
    }
    return Html("key.html", shown)


@dataclass(frozen=True, slots=True)
class Under:
    """The secrets under a key, as far as whoever looks may list them.

    Attributes:
        secrets: As ListSecrets answers them, the first ones.
        count: How many were found.
        looked_through: How many secrets were looked through.
        are_all: Whether that is all of them.
        refused: Why they could not be listed.
    """

    secrets: Sequence[Mapping[str, Any]] = ()
    count: int = 0
    looked_through: int = 0
    are_all: bool = True
    refused: Refused | None = None


def _under(visit: Visit, key: Mapping[str, Any], aliases: Look) -> Under:
    """Look for the secrets under a key: ListSecrets has no filter for it, so some thousand are looked through."""
    entries = aliases.get("Aliases", [])
    names = {key["KeyId"], key["Arn"], *(each[member] for each in entries for member in ("AliasName", "AliasArn"))}
    found: list[Mapping[str, Any]] = []
    looked_through, more = 0, dict[str, str]()
    for _ in range(_PAGES_LOOKED_THROUGH):
        listed = visit.look("secretsmanager", "list_secrets", IncludePlannedDeletion=True, MaxResults=_MOST, **more)
        if listed.refused is not None:
            return Under(refused=listed.refused)
        page_of_secrets = listed["SecretList"]
        looked_through += len(page_of_secrets)
        found += [secret for secret in page_of_secrets if secret.get("KmsKeyId", _USUAL) in names]
        if "NextToken" not in listed.answer:
            return Under(found[:_NAMED], len(found), looked_through)
        more = {"NextToken": listed["NextToken"]}
    return Under(found[:_NAMED], len(found), looked_through, are_all=False)


@action("key/state", shows=show_key)
def set_state(visit: Visit) -> Reply:
    """Enable a key, or disable it."""
    key_id = visit.asked("id")
    if visit.form.line("do") == "enable":
        visit.clients["kms"].enable_key(KeyId=key_id)
        return _back(key_id, "The key is enabled.")
    check_confirmed(visit.form, key_id)
    visit.clients["kms"].disable_key(KeyId=key_id)
    return _back(key_id, "The key is disabled: what it has sealed cannot be opened until it is enabled again.")


@action("key/rotation", shows=show_key)
def set_rotation(visit: Visit) -> Reply:
    """Have a key rotate once a year, or no more."""
    key_id = visit.asked("id")
    if visit.form.line("do") == "on":
        visit.clients["kms"].enable_key_rotation(KeyId=key_id)
        return _back(key_id, "The key gets new material once a year.")
    visit.clients["kms"].disable_key_rotation(KeyId=key_id)
    return _back(key_id, "The key keeps its material.")


@action("key/delete", shows=show_key)
def schedule_deletion(visit: Visit) -> Reply:
    """Have a key deleted after a waiting period, in which that can be cancelled."""
    key_id = visit.asked("id")
    check_confirmed(visit.form, key_id)
    days = whole_number(visit.form.line("days"), "The number of days")
    visit.clients["kms"].schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)
    return _back(key_id, f"The key will be deleted in {days} days. Until then that can be cancelled.")


@action("key/cancel", shows=show_key)
def cancel_deletion(visit: Visit) -> Reply:
    """Keep a key that was to be deleted."""
    key_id = visit.asked("id")
    visit.clients["kms"].cancel_key_deletion(KeyId=key_id)
    return _back(key_id, "The key stays. It is disabled: enable it to use it.")


def _back(key_id: str, notice: str) -> Redirect:
    return Redirect(address("key", id=key_id), notice)
