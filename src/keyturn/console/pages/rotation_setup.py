"""Turning rotation on, or changing how a secret rotates: which function, by which schedule, previewed before it counts.

What is chosen is a form that is sent by GET, as often as it changes: its answer shows what it means. What changes
something is another form beside the answer, with what was chosen in it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from keyturn.arn import Arn
from keyturn.client.function_grant import missing_statements
from keyturn.client.function_parts import Found, Part, parts_of
from keyturn.client.function_plan import RUNTIME, Plan, make_plan
from keyturn.client.planned import rule_in_words
from keyturn.client.schedule_preview import Preview, preview, read_rules, refusal
from keyturn.console.pages.functions import may_create_function
from keyturn.console.pages.secret import describe, may_rotate
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.rotation_course import function_name
from keyturn.console.routing import action, page
from keyturn.console.visit import Look, Visit
from keyturn.errors.base import AwsError, KeyturnError
from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.rotation_invoking import service_may_invoke
from keyturn.rules.rotation_permissions import STATEMENT_ID, invoke_permission

_MOMENTS = 10
# Lambda's page.
_MOST_FUNCTIONS = 50
STRATEGIES = ("single-user", "single-user-by-superuser", "alternating-users")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was filled in.

    Attributes:
        how: ``keep`` the function there is, ``own``: one of the account's, ``new``: have one made.
        function: ARN or name of one's own.
        strategy: Of the one that is made; empty for what suits the secret.
        superuser: Name or ARN of the superuser secret; empty for the one that the value names.
        schedule: Days, rate() or cron().
        duration: Of the window: 3h, or empty.
        when: ``now`` or ``window``.
    """

    id: str
    how: str
    function: str
    strategy: str
    superuser: str
    schedule: str
    duration: str
    when: str

    @classmethod
    def of(cls, visit: Visit, described: Json) -> Chosen:
        """Read it from a form; what is not in it is as the secret has it."""
        rules: Json = described.get("RotationRules", {})
        there = rules.get("ScheduleExpression") or str(rules.get("AutomaticallyAfterDays", 30))
        function_arn = described.get("RotationLambdaARN", "")
        is_sent = "schedule" in visit.query or "schedule" in visit.form.values
        return cls(
            id=described["ARN"],
            how=visit.asked("how") or ("keep" if function_arn else "new"),
            function=visit.asked("function"),
            strategy=visit.asked("strategy"),
            superuser=visit.asked("superuser"),
            schedule=visit.asked("schedule") if is_sent else there,
            duration=visit.asked("duration") if is_sent else rules.get("Duration", ""),
            when=visit.asked("when") or ("window" if described.get("RotationEnabled") else "now"),
        )

    @property
    def rules(self) -> dict[str, object]:
        """RotationRules as RotateSecret takes them."""
        return read_rules(self.schedule, self.duration or None)

    def document(self) -> dict[str, str]:
        """Return it for a form that is sent on."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the account; ``may_be_invoked`` is None if its policy may not be seen."""

    arn: str
    name: str
    may_be_invoked: bool | None


@page("secret/rotation/setup", needs="id", chosen_in="secrets")
def show(visit: Visit) -> Reply:
    """Show what is chosen, and what it means."""
    described = describe(visit)
    chosen = Chosen.of(visit, described)
    lacking = _lacking(visit, described["ARN"])
    if lacking and chosen.how == "new" and not visit.asked("how"):
        chosen = replace(chosen, how="own")
    seen, refused = _previewed(visit, chosen)
    listed = visit.look("lambda", "list_functions", MaxItems=_MOST_FUNCTIONS)
    functions = _functions(visit, described["ARN"], listed)
    current = described.get("RotationLambdaARN", "")
    function_arn = {"own": chosen.function, "keep": current}.get(chosen.how, "")
    return Html(
        "rotation_setup.html",
        {
            "section": "secrets",
            "described": described,
            "chosen": chosen,
            "strategies": STRATEGIES,
            "preview": seen,
            "refusal": refused,
            "functions": functions,
            "are_all": not listed.get("NextMarker"),
            "unlisted": listed.refused,
            "current": function_name(current) if current else "",
            "function_arn": function_arn,
            "permission": _permission(visit, function_arn, described["ARN"]),
            "lacking": lacking if chosen.how == "new" else [],
            "may_rotate": may_rotate(visit, described["ARN"]),
        },
    )


@action("secret/rotation/save", shows=show)
def save(visit: Visit) -> Reply:
    """Turn rotation on, or change its function or schedule."""
    described = describe(visit)
    chosen = Chosen.of(visit, described)
    function = {"RotationLambdaARN": _function_arn(chosen)} if chosen.how == "own" else {}
    return _rotated(visit, chosen, **function)


@action("secret/rotation/permit", shows=show)
def permit(visit: Visit) -> Reply:
    """Let Secrets Manager invoke a function for this secret."""
    described = describe(visit)
    chosen, arn = Chosen.of(visit, described), described["ARN"]
    visit.clients["lambda"].add_permission(FunctionName=visit.form.line("function_arn"), **_permission_parameters(arn))
    back = address("secret/rotation/setup", **chosen.document())
    return Redirect(back, "Secrets Manager may invoke the function for this secret now.")


@action("secret/rotation/plan", shows=show)
def plan(visit: Visit) -> Reply:
    """Show what would be made; this reads the secret's value, for its engine."""
    return show_plan(visit)


def show_plan(visit: Visit) -> Reply:
    """Show what would be made, and what of it is there."""
    described = describe(visit)
    chosen = Chosen.of(visit, described)
    made = _plan(visit, chosen)
    is_granted = visit.form.is_on("grant")
    return _plan_page(described, chosen, made, _look(visit, made, is_granted=is_granted), is_granted=is_granted)


@action("secret/rotation/setup/create", shows=show_plan)
def create(visit: Visit) -> Reply:
    """Make what is missing, in order, and turn rotation on."""
    described = describe(visit)
    chosen = Chosen.of(visit, described)
    made, is_granted = _plan(visit, chosen), visit.form.is_on("grant")
    # All is looked for before the first is made: nothing of somebody else's is in the way.
    for part, found in _look(visit, made, is_granted=is_granted):
        if not found.is_there:
            part.make()
    missing = [] if is_granted else missing_statements(visit.clients, made, is_dry=False)
    if missing:
        parts = _look(visit, made, is_granted=False)
        return _plan_page(described, chosen, made, parts, is_granted=False, missing=missing)
    return _rotated(visit, chosen, RotationLambdaARN=made.function_arn)


def _previewed(visit: Visit, chosen: Chosen) -> tuple[Preview | None, KeyturnError | None]:
    """Return what a schedule means, or why RotateSecret would refuse it."""
    try:
        return preview(chosen.rules, visit.now, _MOMENTS), None
    except InvalidParameterException as error:
        return None, refusal(error, chosen.schedule)


def _lacking(visit: Visit, secret_arn: str) -> list[str]:
    """Return the actions that having a function made takes and that the caller's policies do not allow."""
    allow_some = visit.clients.allow_some
    role, function = {"RoleName": "new"}, {"FunctionName": "new"}
    judged = {
        "secretsmanager:GetSecretValue": visit.clients.allow("secretsmanager", "get_secret_value", SecretId=secret_arn),
        "iam:CreateRole": allow_some("iam", "create_role", **role, AssumeRolePolicyDocument="{}"),
        "iam:PutRolePolicy": allow_some("iam", "put_role_policy", **role, PolicyName="new", PolicyDocument="{}"),
        "lambda:CreateFunction": may_create_function(visit),
        "lambda:AddPermission": allow_some(
            "lambda", "add_permission", **function, **_permission_parameters(secret_arn)
        ),
    }
    return [action for action, is_allowed in judged.items() if not is_allowed]


def _functions(visit: Visit, secret_arn: str, listed: Look) -> Sequence[Function]:
    """Return the account's functions that are listed, those first that Secrets Manager may invoke."""
    found = [
        Function(each["FunctionArn"], each["FunctionName"], _may_be_invoked(visit, each["FunctionArn"], secret_arn))
        for each in listed.get("Functions", [])
    ]
    return sorted(found, key=lambda each: (not each.may_be_invoked, each.name))


def _may_be_invoked(visit: Visit, function_arn: str, secret_arn: str) -> bool | None:
    policy = visit.look("lambda", "get_policy", FunctionName=function_arn)
    if not policy:
        is_none = policy.refused is not None and policy.refused.code == "ResourceNotFoundException"
        return False if is_none else None
    try:
        return service_may_invoke(policy["Policy"], function_arn, secret_arn, Arn.parse(secret_arn).account_id)
    except AwsError:
        return None


def _permission(visit: Visit, function_arn: str, secret_arn: str) -> Json | None:
    """Return what lets Secrets Manager invoke the chosen function, if it may not; None if it may, or nobody knows."""
    if not function_arn or _may_be_invoked(visit, function_arn, secret_arn) is not False:
        return None
    parameters = _permission_parameters(secret_arn)
    options = {
        "function-name": function_arn,
        "statement-id": parameters["StatementId"],
        "action": parameters["Action"],
        "principal": parameters["Principal"],
        "source-account": parameters["SourceAccount"],
        "source-arn": parameters["SourceArn"],
    }
    words = " ".join(f"--{name} {shlex.quote(str(value))}" for name, value in options.items())
    return {
        "command": f"aws lambda add-permission {words}{visit.clients.target}",
        "is_allowed": visit.clients.allow("lambda", "add_permission", FunctionName=function_arn, **parameters),
    }


def _permission_parameters(secret_arn: str) -> dict[str, Any]:
    # Another secret's statement may have the usual name.
    statement_id = f"{STATEMENT_ID}-{secret_arn[-len('AbCdEf') :]}"
    return {"StatementId": statement_id, **invoke_permission(secret_arn, Arn.parse(secret_arn).account_id)}


def _function_arn(chosen: Chosen) -> str:
    """Return the ARN of the chosen function.

    Raises:
        KeyturnError: None was chosen.
    """
    if not chosen.function:
        raise KeyturnError("No function is chosen.", "Choose one, or have one made.")
    if chosen.function.startswith("arn:"):
        return chosen.function
    place = Arn.parse(chosen.id)
    return str(Arn(place.partition, "lambda", place.region, place.account_id, f"function:{chosen.function}"))


def _rotated(visit: Visit, chosen: Chosen, **parameters: Any) -> Reply:
    is_now = chosen.when == "now"
    made = visit.clients["secretsmanager"].rotate_secret(
        SecretId=chosen.id, RotationRules=chosen.rules, RotateImmediately=is_now, **parameters
    )
    told = "Rotation is on, and has begun." if is_now else "Rotation is on. The function is tested now."
    version_id = made.get("VersionId") if is_now else None
    return Redirect(address("secret/rotation", id=chosen.id, version=version_id), told)


def _plan(visit: Visit, chosen: Chosen) -> Plan:
    return make_plan(
        visit.clients,
        chosen.id,
        chosen.superuser or None,
        runtime=RUNTIME,
        strategy=chosen.strategy or None,
        options=visit.clients.target,
    )


def _look(visit: Visit, made: Plan, *, is_granted: bool) -> list[tuple[Part, Found]]:
    parts = parts_of(visit.clients, made, grants_superuser_read=is_granted)
    return [(part, part.look()) for part in parts]


def _plan_page(
    described: Json,
    chosen: Chosen,
    made: Plan,
    parts: Sequence[tuple[Part, Found]],
    *,
    is_granted: bool,
    missing: Sequence[Json] = (),
) -> Html:
    return Html(
        "rotation_plan.html",
        {
            "section": "secrets",
            "described": described,
            "chosen": chosen,
            "plan": made,
            "rule": rule_in_words(chosen.rules),
            "parts_found": [
                (part, found, json.dumps(part.document, indent=2) if part.document else "") for part, found in parts
            ],
            "is_granted": is_granted,
            "missing": json.dumps({"Version": "2012-10-17", "Statement": list(missing)}, indent=2) if missing else "",
        },
    )
