"""Who may use a secret: its resource policy, checked with line and column; and its tags, which policies may ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keyturn.arn import Place
from keyturn.console.confirmation import check_confirmed, digest, policy_overtaken
from keyturn.console.pages.access_simulator import may_simulate
from keyturn.console.pages.secret import SERVICE, is_replica, known, may
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.secret_tags import RESERVED, changes, filled_tags
from keyturn.console.visit import Form, Look, Visit
from keyturn.errors.base import KeyturnError
from keyturn.rules.policy.faults import Fault, Report, Severity, examine
from keyturn.rules.policy.refusals import DocumentKind
from keyturn.wire.actions import known_actions

_FREE_ROWS = 3


class FaultyPolicy(KeyturnError):
    """The service would refuse it; the page shows where it is wrong."""


@page("secret/access", needs="id", chosen_in="secrets")
def show(visit: Visit) -> Reply:
    """Show policy and tags, and what is wrong with a policy that is being written."""
    secret, described = known(visit)
    secret_id, form = secret["ARN"], visit.form
    is_deleted, follows = "DeletedDate" in secret, is_replica(visit, secret)
    policy = visit.look(SERVICE, "get_resource_policy", SecretId=secret_id)
    text = policy.get("ResourcePolicy", "")
    is_written = "policy" in form.values
    written = form.text("policy") if is_written else text
    report = examine(written, DocumentKind.RESOURCE, known_actions()) if is_written and written.strip() else None
    can_change = not (is_deleted or follows)
    names = ("tag_resource", "untag_resource", "put_resource_policy", "delete_resource_policy")
    rights = may(visit, secret_id, *names) if can_change else dict.fromkeys(names, False)
    tags = {tag["Key"]: tag["Value"] for tag in secret.get("Tags", [])}
    return Html(
        "secret_access.html",
        {
            "secret": secret,
            "described": described,
            "is_deleted": is_deleted,
            "can_change": can_change,
            "may": rights,
            "policy": policy,
            "text": text,
            "written": written,
            # A check does not make it a form that was made from what somebody else has put meanwhile.
            "before": (visit.refused is None and form.line("before")) or digest(text),
            "is_written": is_written,
            "is_public_blocked": form.is_on("block_public") or not is_written,
            "report": report,
            "warnings": _warnings(report) if report else [],
            "validation": _validation(visit, secret_id, written, report),
            "example": _example(visit),
            "may_simulate": may_simulate(visit),
            "tags": {key: value for key, value in tags.items() if not key.startswith(RESERVED)},
            "reserved_tags": {key: value for key, value in tags.items() if key.startswith(RESERVED)},
            "rows": _tag_rows(form, tags),
        },
    )


@action("secret/policy", shows=show)
def put_policy(visit: Visit) -> Reply:
    """Put the policy, or only say what is wrong with it."""
    form, secret_id = visit.form, visit.asked("id")
    if form.is_on("check"):
        return show(visit)
    policy = visit.look(SERVICE, "get_resource_policy", SecretId=secret_id)
    if policy and digest(policy.get("ResourcePolicy", "")) != form.line("before"):
        raise policy_overtaken()
    text = form.text("policy")
    report = examine(text, DocumentKind.RESOURCE, known_actions())
    if report.errors:
        raise FaultyPolicy("The policy was not put: it is wrong in the places below.")
    if _warnings(report) and not form.is_on("doubts"):
        raise FaultyPolicy("The policy was not put yet: look at the warnings below.")
    visit.clients[SERVICE].put_resource_policy(
        SecretId=secret_id, ResourcePolicy=text, BlockPublicPolicy=form.is_on("block_public")
    )
    return Redirect(address("secret/access", id=secret_id), "The policy is put, and holds from now on.")


@action("secret/policy/delete", shows=show)
def delete_policy(visit: Visit) -> Reply:
    """Take the policy off."""
    secret, _ = known(visit)
    check_confirmed(visit.form, secret["Name"])
    visit.clients[SERVICE].delete_resource_policy(SecretId=secret["ARN"])
    return Redirect(address("secret/access", id=secret["ARN"]), "The policy is deleted.")


@action("secret/tags", shows=show)
def put_tags(visit: Visit) -> Reply:
    """Put and take off what was changed in the form."""
    form, secret_id = visit.form, visit.asked("id")
    if form.is_on("more"):
        return show(visit)
    before = dict(zip(form.all("was_key"), form.all("was_value"), strict=False))
    put, taken_off = changes(before, filled_tags(form))
    client = visit.clients[SERVICE]
    # First what may be refused for what it says: of a tag that gets another name none is lost.
    if put:
        client.tag_resource(SecretId=secret_id, Tags=[{"Key": key, "Value": value} for key, value in put.items()])
    if taken_off:
        client.untag_resource(SecretId=secret_id, TagKeys=taken_off)
    told = "The tags are saved." if put or taken_off else "Nothing was changed."
    return Redirect(address("secret/access", id=secret_id), told)


def _validation(visit: Visit, secret_id: str, written: str, report: Report | None) -> Look | None:
    """Return what the service says of a policy whose grammar is right; None if it is not asked."""
    if report is None or report.errors:
        return None
    return visit.look(SERVICE, "validate_resource_policy", SecretId=secret_id, ResourcePolicy=written)


def _warnings(report: Report) -> list[Fault]:
    """Return what speaks against a policy that is accepted; nothing of one that is not."""
    return [] if report.errors else [fault for fault in report.faults if fault.severity is Severity.WARNING]


def _tag_rows(form: Form, tags: Mapping[str, str]) -> list[tuple[str, str]]:
    if "tag_key" in form.values:
        filled = [pair for pair in zip(form.all("tag_key"), form.all("tag_value"), strict=False) if any(pair)]
    else:
        filled = [(key, value) for key, value in tags.items() if not key.startswith(RESERVED)]
    return [*filled, *[("", "")] * (_FREE_ROWS + (3 if form.is_on("more") else 0))]


def _example(visit: Visit) -> str:
    """Return a policy to begin with: a role may read the secret."""
    statement: dict[str, Any] = {
        "Sid": "ApplicationReads",
        "Effect": "Allow",
        "Principal": {"AWS": Place.of(visit.principal.arn).role_arn("/", "ROLE")},
        "Action": ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)
