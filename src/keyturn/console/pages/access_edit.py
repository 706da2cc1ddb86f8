"""A policy in an editor: read as the service would, each fault with line and column, and put when it is accepted."""

from __future__ import annotations

import json
from typing import Any

from keyturn.arn import Arn
from keyturn.console.confirmation import Overtaken, digest, policy_overtaken
from keyturn.console.policy_targets import Target, target_of
from keyturn.console.replies import Html, Redirect, Reply
from keyturn.console.routing import action, page
from keyturn.console.visit import Look, Visit
from keyturn.rules.policy.faults import Report, Severity, examine
from keyturn.wire.actions import known_actions

# So many are offered to choose from; another one is typed.
_OFFERED = 100


@page("access/edit", needs="of", chosen_in="access")
def show(visit: Visit) -> Reply:
    """Show a policy in the editor; after a refusal the text that was sent."""
    target = target_of(visit.clients, visit.asked)
    written = visit.form.text("document")
    stored = _stored(visit, target) if written or target.is_new else target.load()
    text = written or (_first(visit) if target.is_new else stored)
    return _editor(visit, target, text, examine(text, target.kind, known_actions()), before=digest(stored))


def _first(visit: Visit) -> str:
    """Return a policy to begin with: it allows to read one secret, the chosen one if one is chosen."""
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": _resource(visit)}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def _resource(visit: Visit) -> str:
    secret = visit.asked("secret")
    if secret.startswith("arn:"):
        return secret
    described = visit.look("secretsmanager", "describe_secret", SecretId=secret) if secret else None
    if described:
        return str(described["ARN"])
    # An ARN ends with six characters of the service's choice.
    mine = Arn.parse(visit.principal.arn)
    name = f"secret:{secret or 'NAME'}-??????"
    return str(Arn(mine.partition, "secretsmanager", visit.session.region, mine.account_id, name))


@action("access/edit", shows=show)
def edit(visit: Visit) -> Reply:
    """Check a policy; put it if that was asked for and nothing speaks against it."""
    target, text = target_of(visit.clients, visit.asked), visit.form.text("document")
    report = examine(text, target.kind, known_actions())
    wanted = visit.form.line("do")
    if wanted == "correct" and report.corrected is not None:
        text = report.corrected
        return _editor(visit, target, text, examine(text, target.kind, known_actions()), is_checked=True)
    if wanted == "put":
        _refuse_overtaken(visit, target)
    is_doubtful = any(fault.severity is Severity.WARNING for fault in report.faults)
    if wanted != "put" or report.errors or (is_doubtful and not visit.form.is_on("doubts")):
        status = 400 if wanted == "put" and report.errors else 200
        return _editor(visit, target, text, report, status=status, is_checked=True)
    back = target.put(visit.clients, text, visit.form.line("policy_name"))
    return Redirect(back, "The policy is in force.")


@action("access/inline/put")
def put_inline(visit: Visit) -> Reply:
    """Put a policy that a page has shown whole."""

    def asked(field: str) -> str:
        return "inline" if field == "of" else visit.asked(field)

    target = target_of(visit.clients, asked)
    target.put(visit.clients, visit.form.text("document"), "")
    return Redirect(target.back, f"The policy {visit.asked('policy')} is in force.")


def _refuse_overtaken(visit: Visit, target: Target) -> None:
    """Check that a policy is put in the place of the one that was shown.

    Raises:
        Overtaken: It is another one by now, or there is one where there was none.
    """
    name, before = visit.form.line("policy_name"), visit.form.line("before")
    if target.is_new and target.fields["of"] == "inline" and name:
        taken = target_of(visit.clients, lambda field: name if field == "policy" else visit.asked(field))
        if _stored(visit, taken):
            raise Overtaken(f"There is a policy {name} already, so yours was not put.", "Give it another name.")
    if not target.is_new and before and digest(_stored(visit, target)) != before:
        raise policy_overtaken()


def _stored(visit: Visit, target: Target) -> str:
    """Return a policy as it is by now; empty if there is none, or it may not be seen."""
    found = "" if target.is_new else visit.tried(target.load)
    return found if isinstance(found, str) else ""


def _editor(
    visit: Visit,
    target: Target,
    text: str,
    report: Report,
    *,
    status: int = 200,
    is_checked: bool = False,
    before: str = "",
) -> Html:
    listed = visit.look("secretsmanager", "list_secrets", MaxResults=_OFFERED) if target.is_new else Look({})
    shown: dict[str, Any] = {
        "before": before or visit.form.line("before"),
        "target": target,
        "offered": [secret["Name"] for secret in listed.get("SecretList", [])],
        "text": text,
        "report": report,
        "is_checked": is_checked or visit.refused is not None,
        "warnings": [fault for fault in report.faults if fault.severity is Severity.WARNING],
        "policy_name": visit.form.line("policy_name"),
        "may_put": target.may_put(visit.clients, text),
    }
    return Html("access_edit.html", shown, status)
