"""May Secrets Manager invoke the function?

RotateSecret asks when it is called; what is taken away later shows as RotationFailed events without a line in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, Undecided, check
from keyturn.doctor.documents import statements_of, texts
from keyturn.doctor.facts import Kind
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Section, Topic
from keyturn.errors.base import AwsError
from keyturn.rules.rotation_invoking import INVOKE, service_may_invoke
from keyturn.rules.rotation_permissions import SECRETS_MANAGER, STATEMENT_ID, invoke_permission

_REFUSED = (
    "AccessDeniedException: Secrets Manager cannot invoke the specified Lambda function. Ensure that the function"
    " policy grants access to the principal secretsmanager.amazonaws.com."
)

MISSING = Cause(
    id="invoke-permission-missing",
    section=Section.INVOKE,
    topic=Topic.CONFIGURING,
    title="Secrets Manager may not invoke the function",
    symptoms=(_REFUSED,),
    evidence=("lambda:GetPolicy", "lambda:GetFunctionConfiguration", "cloudtrail:LookupEvents"),
    decision="The function has no resource-based policy, or none of its statements allows lambda:InvokeFunction to"
    " secretsmanager.amazonaws.com. That GetPolicy is denied proves nothing.",
    remedy="Add the permission to the function's own policy, for this secret and this account.",
    fix=Fix.SAFE,
)


@check(MISSING)
def invoke_permission_missing(case: Case) -> Iterator[Finding]:
    """Look for a statement for the service."""
    if _may_invoke(case) or _statements_for_service(case):
        return
    yield Finding(
        MISSING,
        f"Secrets Manager may not invoke {case.function_name}: its policy has no statement for {SECRETS_MANAGER}",
        (_policy_evidence(case), *_failed_without_lines(case)),
        Remedy(f"Let {SECRETS_MANAGER} invoke the function for this secret.", (_add_permission(case),)),
    )


CONDITION = Cause(
    id="invoke-permission-condition",
    section=Section.INVOKE,
    topic=Topic.CONFIGURING,
    title="The permission to invoke the function is for another secret, account or organisation",
    symptoms=(_REFUSED,),
    evidence=("lambda:GetPolicy", "cloudtrail:LookupEvents"),
    decision="The only statements for secretsmanager.amazonaws.com carry an AWS:SourceAccount of another account, an"
    " AWS:SourceArn of another secret, or a condition that the service does not meet.",
    remedy="Add a statement for this secret beside the one that is there, which another secret may need; a Deny has to"
    " be taken away.",
    fix=Fix.PRINTED,
    outranks=("invoke-permission-missing",),
)


@check(CONDITION)
def invoke_permission_condition(case: Case) -> Iterator[Finding]:
    """Look for statements whose condition is not met."""
    if _may_invoke(case):
        return
    unmet = [each for each in _statements_for_service(case) if _names_function(case, each)]
    if not unmet:
        return
    statement = unmet[-1]
    removed = _change(case, "RemovePermission", StatementId=str(statement.get("Sid", "")))
    is_deny = statement.get("Effect") == "Deny"
    how = "denies it" if is_deny else f"allows it only if {json.dumps(statement.get('Condition', {}))}"
    yield Finding(
        CONDITION,
        f"Secrets Manager may not invoke {case.function_name} for this secret: its policy {how}",
        (Evidence("lambda:GetPolicy", case.function_name, statement), *_failed_without_lines(case)),
        Remedy(
            "Let this secret in; then take the statement that denies it away."
            if is_deny
            else "Let this secret in, beside whom that statement lets in.",
            (_add_permission(case), *((removed,) if is_deny else ())),
        ),
    )


QUALIFIER = Cause(
    id="invoke-permission-qualifier",
    section=Section.INVOKE,
    topic=Topic.CONFIGURING,
    title="The permission to invoke is for another alias or version of the function",
    symptoms=(_REFUSED,),
    evidence=("lambda:GetPolicy", "secretsmanager:DescribeSecret"),
    decision="The statement for secretsmanager.amazonaws.com is about an alias or version, and RotationLambdaARN names"
    " another one or none.",
    remedy="Add the permission for the ARN that the secret uses: with --qualifier if, and only if, that has one.",
    fix=Fix.SAFE,
    outranks=("invoke-permission-missing",),
)


@check(QUALIFIER)
def invoke_permission_qualifier(case: Case) -> Iterator[Finding]:
    """Look for statements about another qualifier."""
    if _may_invoke(case) or any(_names_function(case, each) for each in _statements_for_service(case)):
        return
    elsewhere = [each for each in _all_statements_for_service(case) if not _names_function(case, each)]
    if not elsewhere:
        return
    used = f"the alias or version {case.qualifier}" if case.qualifier else "the function itself"
    named = ", ".join(texts(elsewhere[-1].get("Resource"))).split(":")[7:]
    other = named[0] if named else "the function itself"
    yield Finding(
        QUALIFIER,
        f"Secrets Manager may invoke {case.function_name} as {other}, and the secret uses {used}",
        (
            Evidence("lambda:GetPolicy", case.function_name, elsewhere[-1]),
            Evidence("secretsmanager:DescribeSecret", case.name, {"RotationLambdaARN": case.function_arn}),
        ),
        Remedy("Add the permission for the ARN that the secret uses.", (_add_permission(case),)),
    )


FUNCTION_MISSING = Cause(
    id="function-missing",
    section=Section.FUNCTION,
    topic=Topic.CONFIGURING,
    title="The rotation function is gone",
    symptoms=("ResourceNotFoundException: Function not found",),
    evidence=("lambda:GetFunctionConfiguration", "cloudtrail:LookupEvents"),
    decision="GetFunctionConfiguration answers ResourceNotFoundException for the ARN in RotationLambdaARN. The trail"
    " tells who deleted it.",
    remedy="Deploy the function again, then give the secret its ARN.",
    fix=Fix.PRINTED,
    outranks=("preflight-function-start",),
)


@check(FUNCTION_MISSING)
def function_missing(case: Case) -> Iterator[Finding]:
    """Look for the function."""
    if not case.function_arn:
        raise Skip("there is no function")
    if case.configuration.kind is not Kind.GONE:
        _ = case.configuration.value
        return
    evidence = [Evidence("lambda:GetFunctionConfiguration", case.function_arn, case.configuration.message)]
    deleted = [
        event
        for event in case.function_deletions
        if not event.error_code and case.function_name in str(event.parameters.get("functionName", ""))
    ]
    if deleted:
        last = deleted[-1]
        evidence.append(last.evidence(last.by_whom))
    what = f"{case.qualifier} of {case.function_name}" if case.qualifier else case.function_name
    yield Finding(
        FUNCTION_MISSING,
        f"the rotation function {what} is gone",
        tuple(evidence),
        Remedy(
            "Deploy it again, then give the secret its ARN; that rotates it.",
            by_hand=(
                f"keyturn function create --for {quote(case.name)} --name {quote(case.function_name)}",
                f"aws secretsmanager rotate-secret --secret-id {quote(case.arn)} --rotation-lambda-arn FUNCTION_ARN",
            ),
        ),
    )


WRONG_REGION = Cause(
    id="function-wrong-region",
    section=Section.FUNCTION,
    topic=Topic.BEYOND,
    title="The function is in another region than the secret",
    symptoms=("RotationLambdaARN",),
    evidence=("secretsmanager:DescribeSecret",),
    decision="RotationLambdaARN names another region than the secret is in. The account may be another, the region"
    " may not.",
    remedy="Deploy the function in the secret's region.",
    # Lambda answers of another region's function that it is not there.
    outranks=("function-missing",),
)


@check(WRONG_REGION)
def function_wrong_region(case: Case) -> Iterator[Finding]:
    """Compare the two regions."""
    place = case.function_place
    if place is None or not place.region or place.region == case.place.region:
        return
    yield Finding(
        WRONG_REGION,
        f"the function is in {place.region}, and the secret in {case.place.region}",
        (Evidence("secretsmanager:DescribeSecret", case.name, {"RotationLambdaARN": case.function_arn}),),
        Remedy(f"Deploy the function in {case.place.region} and give the secret that one's ARN."),
        confidence=Confidence.LIKELY,
    )


def _may_invoke(case: Case) -> bool:
    """Whether the function's policy lets Secrets Manager invoke it for this secret.

    Raises:
        Skip: There is no function, or it is gone.
        Unseen: The policy may not be looked at.
    """
    if not case.function_arn:
        raise Skip("there is no function")
    if case.configuration.kind is Kind.GONE:
        raise Skip("the function is gone")
    if case.function_policy.kind is Kind.GONE:
        # That there is no policy is only told of a function that is there.
        _ = case.configuration.value
        return False
    text = str(case.function_policy.value["Policy"])
    try:
        return service_may_invoke(text, case.function_arn, case.arn, case.place.account_id)
    except AwsError as error:
        raise Undecided(f"the function's policy cannot be read: {error.message}") from error


def _statements(answer_text: str) -> list[Mapping[str, Any]]:
    document = json.loads(answer_text)
    return statements_of(document) if isinstance(document, dict) else []


def _statements_for_service(case: Case) -> list[Mapping[str, Any]]:
    """Return the statements about the service in the policy of the ARN that the secret uses."""
    if case.function_policy.kind is Kind.GONE:
        return []
    found = _statements(str(case.function_policy.value["Policy"]))
    # moto answers with the statements about aliases, too.
    return [each for each in found if _is_for_service(each) and _names_function(case, each)]


def _all_statements_for_service(case: Case) -> list[Mapping[str, Any]]:
    """Return those of the function itself and of its aliases and versions, too, as far as they are known."""
    found = []
    for answer in (case.function_policy, case.unqualified_function_policy, *case.policies_of_aliases):
        if answer.kind is Kind.OK:
            found += _statements(str(answer.found["Policy"]))
    return [each for each in found if _is_for_service(each) and each.get("Effect") == "Allow"]


def _is_for_service(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal")
    named = texts(principal.get("Service")) if isinstance(principal, Mapping) else texts(principal)
    actions = texts(statement.get("Action"))
    is_named = SECRETS_MANAGER in named or "*" in named
    return is_named and any(each.lower() in (INVOKE.lower(), "lambda:*", "*", "lambda:invoke*") for each in actions)


def _names_function(case: Case, statement: Mapping[str, Any]) -> bool:
    resources = texts(statement.get("Resource"))
    return not resources or any(each in (case.function_arn, "*") for each in resources)


def _policy_evidence(case: Case) -> Evidence:
    if case.function_policy.kind is Kind.GONE:
        return Evidence("lambda:GetPolicy", case.function_name, "ResourceNotFoundException: it has no policy")
    return Evidence("lambda:GetPolicy", case.function_name, case.function_policy.value["Policy"])


def _failed_without_lines(case: Case) -> tuple[Evidence, ...]:
    if not case.failures_if_seen:
        return ()
    last = case.failures_if_seen[-1]
    return (last.evidence(),)


def _add_permission(case: Case) -> Change:
    return _change(
        case,
        "AddPermission",
        StatementId=_free_statement_id(case),
        **invoke_permission(case.arn, case.place.account_id),
    )


def _free_statement_id(case: Case) -> str:
    """Return the guide's name for the statement, or one like it if that is taken."""
    taken: set[str] = set()
    if case.function_policy.kind is Kind.OK:
        taken = {str(each.get("Sid")) for each in _statements(str(case.function_policy.found["Policy"]))}
    names = [STATEMENT_ID, *(f"{STATEMENT_ID}{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in names if name not in taken)


def _change(case: Case, operation: str, **parameters: object) -> Change:
    qualifier = {"Qualifier": case.qualifier} if case.qualifier else {}
    return Change("lambda", operation, {"FunctionName": case.function_id, **qualifier, **parameters})
