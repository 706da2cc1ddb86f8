"""May Lambda assume the function's role; and what a role of another account needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from shlex import quote

from keyturn.call import Principal, PrincipalKind
from keyturn.doctor.access import Access, Verdict, access
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.denials import denials, evidence_of
from keyturn.doctor.facts import Kind, Unseen
from keyturn.doctor.known_keys import KnownKeys
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Section, Topic
from keyturn.doctor.rotation_policies import trust_statement, with_statement, without_statement
from keyturn.doctor.seen_policies import Layers, SeenPolicy
from keyturn.rules.policy.evaluate import PolicyType
from keyturn.rules.rotation_permissions import Document, document

_LAMBDA = "lambda.amazonaws.com"
_ASSUME = "sts:AssumeRole"
_CANNOT = "The role defined for the function cannot be assumed by Lambda."

CANNOT_BE_ASSUMED = Cause(
    id="role-cannot-be-assumed",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="Lambda cannot assume the function's role",
    symptoms=(_CANNOT,),
    evidence=("lambda:GetFunctionConfiguration", "iam:GetRole", "cloudtrail:LookupEvents"),
    decision="The role is gone, or its trust policy does not let lambda.amazonaws.com call sts:AssumeRole. Then the"
    " function does not even start: RotationFailed without a line in the log.",
    remedy="Let Lambda assume the role. A role that was deleted and made again must also be set on the function again.",
    fix=Fix.PRINTED,
    outranks=("role-missing-secret-actions",),
)


@check(CANNOT_BE_ASSUMED)
def role_cannot_be_assumed(case: Case) -> Iterator[Finding]:
    """Look at the role and at whom it trusts."""
    if not case.function_arn:
        raise Skip("there is no function")
    if case.configuration.kind is Kind.GONE:
        raise Skip("the function is gone")
    if not case.role_arn:
        raise Skip("the function has no role")
    told = tuple(event.evidence() for event in case.failures_if_seen[-1:])
    if case.role.kind is Kind.GONE:
        yield Finding(
            CANNOT_BE_ASSUMED,
            f"the function's role {case.role_name} is gone",
            (Evidence("iam:GetRole", case.role_arn, f"{case.role.code}: {case.role.message}"), *told),
            Remedy(
                "Make the role again, with what it allowed, and set it on the function again: that is what renews it.",
                by_hand=(
                    f"keyturn function create --for {quote(case.name)}",
                    (
                        f"aws iam create-role --role-name {quote(case.role_name)} --assume-role-policy-document"
                        f" '{json.dumps(document(trust_statement()))}'"
                    ),
                    (
                        f"aws lambda update-function-configuration --function-name {quote(case.function_id)}"
                        f" --role {quote(case.role_arn)}"
                    ),
                ),
            ),
        )
        return
    policy = case.role.value["Role"].get("AssumeRolePolicyDocument") or {}
    decided = _assumption(case, policy)
    if decided.verdict is Verdict.UNKNOWN:
        decided.give_up()
    if decided.verdict is Verdict.ALLOWED:
        return
    changed: Document | None = with_statement(policy, trust_statement())
    if decided.deciding is not None:
        changed = without_statement(policy, decided.deciding.index)
    changes = () if changed is None else (_update_trust(case, changed),)
    yield Finding(
        CANNOT_BE_ASSUMED,
        f"Lambda cannot assume the function's role {case.role_name}: its trust policy does not let {_LAMBDA} in",
        (Evidence("iam:GetRole", f"role/{case.role_name} trust policy", policy), *told),
        Remedy(f"Let {_LAMBDA} assume the role.", changes, document(trust_statement())),
    )


def _assumption(case: Case, policy: Document) -> Access:
    account_id = case.role_arn.split(":")[4]
    service = Principal(PrincipalKind.SERVICE, _LAMBDA, _LAMBDA, account_id, _LAMBDA)
    keys = KnownKeys(
        {
            "aws:sourcearn": (":".join(case.function_arn.split(":")[:7]),),
            "aws:sourceaccount": (account_id,),
            "aws:principalisawsservice": ("true",),
            "aws:principalservicename": (_LAMBDA,),
            "aws:principalarn": None,
            "aws:principalaccount": None,
            "aws:userid": None,
            "aws:multifactorauthpresent": None,
            "sts:externalid": None,
        }
    )
    trust = SeenPolicy(PolicyType.TRUST, f"role/{case.role_name} trust policy", "iam:GetRole", policy)
    return access(service, _ASSUME, case.role_arn, keys, Layers((), resource=trust, must_allow=True))


def _update_trust(case: Case, changed: Document) -> Change:
    return Change("iam", "UpdateAssumeRolePolicy", {"RoleName": case.role_name, "PolicyDocument": json.dumps(changed)})


ROTATION_TOKEN = Cause(
    id="cross-account-rotation-token",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="The function is of another account and does not pass the rotation token",
    symptoms=("AWS Lambda secret rotation with PutSecretValue failed", "RotationToken"),
    evidence=("secretsmanager:DescribeSecret", "logs:FilterLogEvents", "cloudtrail:LookupEvents"),
    decision="The function is of another account than the secret, and its PutSecretValue was refused. A function that"
    " assumes a role of the secret's account has to pass the RotationToken of its event on to PutSecretValue.",
    remedy="Pass RotationToken to put_secret_value, and never log it.",
)
_PUT_FAILED = re.compile(r"AWS Lambda secret rotation with PutSecretValue failed")


@check(ROTATION_TOKEN)
def cross_account_rotation_token(case: Case) -> Iterator[Finding]:
    """Look for a refused PutSecretValue of a function of another account."""
    place = case.function_place
    if place is None or place.account_id in ("", case.place.account_id):
        return
    refused = [each for each in case.once(denials) if each.action == "secretsmanager:PutSecretValue"]
    try:
        lines = [
            Evidence("logs:FilterLogEvents", case.log_group, found[0].text, found[0].at)
            for run in case.runs
            if (found := run.line_with(_PUT_FAILED))
        ]
    except Unseen:
        # The log is another account's, and what was refused is written down in this one.
        if not refused:
            raise
        lines = []
    _ = case.calls_of_function.value
    if not refused and not lines:
        return
    yield Finding(
        ROTATION_TOKEN,
        f"{case.function_name} is of account {place.account_id}, and its PutSecretValue was refused: it may not pass"
        " the rotation token",
        (
            Evidence("secretsmanager:DescribeSecret", case.name, {"RotationLambdaARN": case.function_arn}),
            *lines[-1:],
            *evidence_of(refused),
        ),
        Remedy("Pass RotationToken=event['RotationToken'] to put_secret_value, and never log it."),
        confidence=Confidence.POSSIBLE,
        step="createSecret",
    )
