"""Does the function's role allow what a rotation does? What is missing, and what only seems to be there."""

from __future__ import annotations

from collections.abc import Iterator

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.denials import Denial
from keyturn.doctor.documents import Json
from keyturn.doctor.known_keys import ROTATION_FUNCTION
from keyturn.doctor.model import Cause, Change, Evidence, Finding, Fix, Remedy, Section, Topic
from keyturn.doctor.remedies import put_role_policy
from keyturn.doctor.rotation_calls import (
    IDENTITY,
    RoleCall,
    calls,
    give_up_on_unknown,
    history,
    is_identity_gap,
    named,
    near_arns,
    nearly,
    role_of,
    scoped_password,
    shown,
    step_of,
    surest,
    unmet_function,
)
from keyturn.doctor.rotation_policies import replaced, rotation_policy, with_condition_value
from keyturn.doctor.seen_policies import ROLE_CALLS, Quoted
from keyturn.doctor.subject import RANDOM_PASSWORD
from keyturn.rules.rotation_permissions import Document

# The secret's own policy can allow what the role's do not.
_EVIDENCE = (*ROLE_CALLS, "secretsmanager:GetResourcePolicy", "logs:FilterLogEvents", "cloudtrail:LookupEvents")
_NOT_AUTHORIZED = "User: %s is not authorized to perform: secretsmanager:"

MISSING = Cause(
    id="role-missing-secret-actions",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="The function's role lacks an action that a rotation needs",
    symptoms=(
        *(
            (
                f"{_NOT_AUTHORIZED}{action} on resource: %s because no identity-based policy allows the"
                f" secretsmanager:{action} action"
            )
            for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
        ),
        "AccessDeniedException",
    ),
    evidence=_EVIDENCE,
    decision="The role's policies are evaluated for DescribeSecret, GetSecretValue, PutSecretValue and"
    " UpdateSecretVersionStage on the secret, and for GetRandomPassword on *. No statement allows one of them, and none"
    " nearly does. An action that the function has never called, although the audit trail has whole rotations of it, is"
    " a risk only.",
    remedy="Give the role the actions that are missing, on this secret; GetRandomPassword has no resource, so that only"
    " * allows it.",
    fix=Fix.WIDENS,
)


@check(MISSING)
def role_missing_secret_actions(case: Case) -> Iterator[Finding]:
    """Look for actions that no statement allows."""
    found = [call for call in calls(case) if is_identity_gap(case, call)]
    if found:
        yield Finding(
            MISSING,
            f"the function's role {case.role_name} may not call {named(found)}",
            (_of_policies(case, found), *shown(found)),
            _allow(case, MISSING, found, "Allow what is missing, on this secret."),
            role=role_of(found),
            confidence=surest(found),
            step=step_of(case, found),
        )
        return
    yield from history(case, MISSING, _is_gap)
    give_up_on_unknown(case)


SCOPED = Cause(
    id="role-getrandompassword-scoped",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="GetRandomPassword is allowed on a secret only, and it has no resource",
    symptoms=(
        (
            f"{_NOT_AUTHORIZED}GetRandomPassword because no identity-based policy allows the"
            " secretsmanager:GetRandomPassword action"
        ),
        "secretsmanager:GetRandomPassword",
    ),
    evidence=_EVIDENCE,
    decision="A statement allows GetRandomPassword with the ARN of a secret as its Resource. The action is about no"
    " secret, so that the statement never counts for it; none with the Resource * does.",
    remedy='Allow GetRandomPassword in a statement of its own, with "Resource": "*".',
    fix=Fix.WIDENS,
)


@check(SCOPED)
def role_getrandompassword_scoped(case: Case) -> Iterator[Finding]:
    """Look for a statement that allows it on some resource."""
    found = [call for call in _gaps(case) if scoped_password(call)]
    for call in found:
        quoted = scoped_password(call)
        assert quoted is not None  # noqa: S101 - that is what was looked for
        yield Finding(
            SCOPED,
            f"the role {case.role_name} allows GetRandomPassword on a secret only, and it has no resource",
            (quoted.evidence, *shown(found)),
            _allow(case, SCOPED, found, "Allow GetRandomPassword on *."),
            role=role_of(found),
            confidence=surest(found),
            step=step_of(case, found),
        )
    if not found:
        give_up_on_unknown(case)


WRONG_ARN = Cause(
    id="role-wrong-secret-arn",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="The role allows it on an ARN that is not quite this secret's",
    symptoms=(
        (
            f"{_NOT_AUTHORIZED}DescribeSecret on resource: %s because no identity-based policy allows the"
            " secretsmanager:DescribeSecret action"
        ),
        "AccessDeniedException",
    ),
    evidence=_EVIDENCE,
    decision="A statement of the role allows the action on an ARN that lacks the six characters at the end of this"
    " secret's, ends in those of a deleted secret of the same name, or names another region or account.",
    remedy="Name the secret by its whole ARN, or by its name followed by -??????; the statement's condition is kept.",
    fix=Fix.WIDENS,
)


@check(WRONG_ARN)
def role_wrong_secret_arn(case: Case) -> Iterator[Finding]:
    """Look for statements that miss the secret by its ARN."""
    found = [call for call in _gaps(case) if near_arns(case, call)]
    if not found:
        give_up_on_unknown(case)
        return
    quoted, pattern, how = near_arns(case, found[0])[0]
    yield Finding(
        WRONG_ARN,
        f"the role {case.role_name} may not call {named(found)} on this secret: the ARN in its policy {how}",
        (quoted.evidence, *shown(found)),
        _allow(
            case,
            WRONG_ARN,
            found,
            f"The policy names {pattern}; this secret is {case.arn}.",
            None if quoted.verdict.unmet else quoted.statement.get("Condition"),
        ),
        role=role_of(found),
        confidence=surest(found),
        step=step_of(case, found),
    )


CONDITION = Cause(
    id="role-rotation-lambda-condition",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="The role allows it only for secrets that another function rotates",
    symptoms=(
        "secretsmanager:resource/AllowRotationLambdaArn",
        (
            f"{_NOT_AUTHORIZED}DescribeSecret on resource: %s because no identity-based policy allows the"
            " secretsmanager:DescribeSecret action"
        ),
    ),
    evidence=(*_EVIDENCE, "secretsmanager:DescribeSecret"),
    decision="The statement that would allow it has a condition on secretsmanager:resource/AllowRotationLambdaArn,"
    " which is the ARN of the secret's rotation function, and compares it with another one.",
    remedy="Set the condition to the ARN of the function that rotates the secret.",
    fix=Fix.PRINTED,
)


@check(CONDITION)
def role_rotation_lambda_condition(case: Case) -> Iterator[Finding]:
    """Look for statements that another function would meet."""
    found = [call for call in _gaps(case) if unmet_function(call) and not near_arns(case, call)]
    if not found:
        give_up_on_unknown(case)
        return
    quoted = unmet_function(found[0])
    assert quoted is not None  # noqa: S101 - that is what was looked for
    yield Finding(
        CONDITION,
        f"the role {case.role_name} may call {named(found)} only on secrets that another function rotates",
        (
            quoted.evidence,
            Evidence("secretsmanager:DescribeSecret", case.name, {"RotationLambdaARN": case.function_arn}),
            *shown(found),
        ),
        Remedy("Set the condition to this secret's function.", _with_own_function(case, quoted)),
        role=role_of(found),
        confidence=surest(found),
        step=step_of(case, found),
    )


def _gaps(case: Case) -> list[RoleCall]:
    """Return what no statement of the role allows."""
    return [call for call in calls(case) if call.layer == IDENTITY and not call.is_explicit]


def _is_gap(denial: Denial) -> bool:
    return not denial.is_explicit and denial.layer in ("", IDENTITY)


def _of_policies(case: Case, found: list[RoleCall]) -> Evidence:
    """Return what the role has: policies that name an action, and yet do not count, or the names of all."""
    near = [quoted for call in found for quoted in nearly(call.access, case.arn)]
    if near:
        return near[0].evidence
    names = [policy.name for policy in case.role_policies.policies]
    missing = [call.access.action for call in found]
    return Evidence("iam:ListRolePolicies", f"role/{case.role_name}", {"policies": names, "none allows": missing})


def _allow(case: Case, cause: Cause, found: list[RoleCall], text: str, condition: Json | None = None) -> Remedy:
    policy: Document = rotation_policy(case.arn, [call.access.action for call in found], condition)
    more = " GetRandomPassword has no resource." if any(call.access.action == RANDOM_PASSWORD for call in found) else ""
    return Remedy(text + more, (put_role_policy(case, f"keyturn-{cause.id}", policy),), policy)


def _with_own_function(case: Case, quoted: Quoted) -> tuple[Change, ...]:
    document = quoted.policy.document or {}
    changed = with_condition_value(document, quoted.index, ROTATION_FUNCTION, case.function_arn)
    return replaced(case, quoted, changed)
