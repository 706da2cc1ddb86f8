"""A secret's page: what it is, its value when somebody asks for it, its versions and their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from keyturn.console.pages.secrets import engine_titles, plans_of
from keyturn.console.replies import Download, Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.secret_health import health_of
from keyturn.console.secret_values import is_shown, pairs_of
from keyturn.console.secret_versions import drawn
from keyturn.console.visit import Look, Visit

SERVICE = "secretsmanager"
_MOST_VERSIONS = 100
_USUAL_KEY = "alias/aws/secretsmanager"
# What of a request decides, beside the secret; the rest is what the model wants.
_ASKED: Final[Mapping[str, Mapping[str, Any]]] = {
    "get_secret_value": {},
    "put_secret_value": {"SecretString": "-"},
    "update_secret": {"Description": "-"},
    "update_secret_version_stage": {"VersionStage": "AWSCURRENT"},
    "delete_secret": {},
    "restore_secret": {},
    "tag_resource": {"Tags": []},
    "untag_resource": {"TagKeys": []},
    "put_resource_policy": {"ResourcePolicy": "{}"},
    "delete_resource_policy": {},
    "replicate_secret_to_regions": {"AddReplicaRegions": [{"Region": "us-east-1"}]},
    "remove_regions_from_replication": {"RemoveReplicaRegions": ["us-east-1"]},
    "stop_replication_to_replica": {},
}


def may(visit: Visit, secret_id: str, *operations: str) -> dict[str, bool]:
    """Return which calls about a secret would be allowed."""
    return {
        operation: visit.clients.allow(SERVICE, operation, SecretId=secret_id, **_ASKED[operation])
        for operation in operations
    }


def may_rotate(visit: Visit, secret_id: str) -> bool:
    """Return whether a secret's rotation might be turned on, changed or begun."""
    return visit.clients.allow(SERVICE, "rotate_secret", SecretId=secret_id)


def known(visit: Visit) -> tuple[Mapping[str, Any], Look]:
    """Return what is known of the secret that a visit is about, its name at least, and what DescribeSecret said.

    Raises:
        ClientError: There is no such secret.
    """
    secret_id = visit.asked("id")
    described = visit.look(SERVICE, "describe_secret", SecretId=secret_id)
    if described:
        return described.answer, described
    if described.refused is not None and not described.refused.is_denial:
        visit.clients[SERVICE].describe_secret(SecretId=secret_id)
    # Who may read a value need not be allowed to look at the secret.
    return {"Name": _name_in(secret_id), "ARN": secret_id}, described


def describe(visit: Visit) -> Mapping[str, Any]:
    """Return what DescribeSecret says of the secret that a visit is about.

    Raises:
        ClientError: There is no such secret, or it may not be looked at.
    """
    answer: Mapping[str, Any] = visit.clients[SERVICE].describe_secret(SecretId=visit.asked("id"))
    return answer


def _name_in(secret_id: str) -> str:
    """Return the name of a secret that is known by its name or ARN."""
    name = secret_id.partition(":secret:")[2] if secret_id.startswith("arn:") else ""
    return name[: -len("-AbCdEf")] if len(name) > len("-AbCdEf") else secret_id


def is_replica(visit: Visit, secret: Mapping[str, Any]) -> bool:
    """Return whether a secret follows one in another region, where it is changed."""
    return bool(secret.get("PrimaryRegion", visit.session.region) != visit.session.region)


@page("secret", needs="id", chosen_in="secrets")
def show(visit: Visit) -> Reply:
    """Show a secret, its value masked."""
    return _shown(visit, None)


def _shown(visit: Visit, value: Mapping[str, Any] | None) -> Reply:
    secret, described = known(visit)
    secret_id = secret["ARN"]
    listed = visit.look(
        SERVICE, "list_secret_version_ids", SecretId=secret_id, IncludeDeprecated=True, MaxResults=_MOST_VERSIONS
    )
    is_deleted, follows = "DeletedDate" in secret, is_replica(visit, secret)
    operations = ["delete_secret", "restore_secret", "stop_replication_to_replica"]
    if not is_deleted:
        operations += ["get_secret_value", "put_secret_value", "update_secret", "update_secret_version_stage"]
        operations += ["replicate_secret_to_regions", "remove_regions_from_replication"]
    rights = may(visit, secret_id, *operations)
    plan = plans_of(visit, [secret]).get(secret_id, {})
    versions = drawn(listed.get("Versions", []), secret.get("VersionIdsToStages", {}))
    return Html(
        "secret.html",
        {
            "secret": secret,
            "described": described,
            "listed": listed,
            "versions": versions,
            # Who may read values need not be allowed to know which there are.
            "may_have_value": bool(versions.current_id) or not (described or listed),
            "may": rights,
            "may_edit": not follows and rights.get("put_secret_value", False),
            "is_deleted": is_deleted,
            "is_replica": follows,
            "plan": plan,
            "engines": engine_titles(),
            "health": health_of(plan),
            "value": value,
            # A password of a database is what a rotation changes; what else is kept here may never rotate.
            "is_new_login": visit.asked("created") == "database",
            "may_see_key": visit.clients.allow("kms", "describe_key", KeyId=secret.get("KmsKeyId", _USUAL_KEY)),
            "may_rotate": not is_deleted and not follows and may_rotate(visit, secret_id),
        },
    )


@action("secret", shows=show)
def reveal(visit: Visit) -> Reply:
    """Show one version's value, once: the page of the same address is masked again."""
    read = _read(visit)
    text = read.get("SecretString")
    value: dict[str, Any] = {"version_id": read["VersionId"], "stages": read.get("VersionStages", [])}
    if text is None or not is_shown(text):
        value["size"] = len(read["SecretBinary"] if text is None else text)
    else:
        value |= {"text": text, "pairs": pairs_of(text)}
    return _shown(replace(visit, query={"id": visit.asked("id")}), value)


@action("secret/download", shows=show)
def download(visit: Visit) -> Reply:
    """Give one version's value as a file."""
    read = _read(visit)
    # The last part of the name; what a file cannot be called is left out.
    name = "".join(
        each for each in read["Name"].rsplit("/", 1)[-1] if each.isascii() and (each.isalnum() or each in "-_.")
    )
    if "SecretBinary" in read:
        return Download(f"{name or 'secret'}.bin", read["SecretBinary"], "application/octet-stream")
    return Download(
        f"{name or 'secret'}.txt", read["SecretString"].encode(errors="replace"), "text/plain; charset=utf-8"
    )


def _read(visit: Visit) -> Mapping[str, Any]:
    version = {"VersionId": visit.form.line("version_id")} if visit.form.line("version_id") else {}
    answer: Mapping[str, Any] = visit.clients[SERVICE].get_secret_value(SecretId=visit.asked("id"), **version)
    return answer


@action("secret/settings", shows=show)
def change_settings(visit: Visit) -> Reply:
    """Change description and key, as far as they were changed in the form."""
    form, secret_id = visit.form, visit.asked("id")
    changed = {}
    # A field of one line has no line ends: to send it as it was is no change.
    if form.text("description") != form.text("description_before").replace("\n", ""):
        changed["Description"] = form.text("description")
    if form.line("kms_key_id") != form.line("kms_key_id_before"):
        changed["KmsKeyId"] = form.line("kms_key_id")
    if changed:
        visit.clients[SERVICE].update_secret(SecretId=secret_id, **changed)
    return Redirect(address("secret", id=secret_id), "Saved." if changed else "Nothing was changed.")
