"""Why rotation could not be configured: who was refused, and what a stack could not make."""

from __future__ import annotations

import json
from collections.abc import Iterator

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Remedy, Role, Section, Topic
from keyturn.doctor.remedies import command
from keyturn.doctor.rotation_policies import caller_policy
from keyturn.doctor.trail import TrailEvent
from keyturn.rules.rotation_permissions import Document

_UNKNOWN = "FUNCTION_ARN"
_LEFT_OUT = ("rotation-not-configured", "rotation-cancelled")

CALLER = Cause(
    id="caller-not-allowed",
    section=Section.ROTATION,
    topic=Topic.CONFIGURING,
    title="Whoever configures rotation may not do so",
    symptoms=(
        (
            "User: %s is not authorized to perform: secretsmanager:RotateSecret on resource: %s because no"
            " identity-based policy allows the secretsmanager:RotateSecret action"
        ),
        "is not authorized to perform: lambda:InvokeFunction on resource",
    ),
    evidence=("cloudtrail:LookupEvents",),
    decision="The newest RotateSecret of this secret was refused to its caller, who lacks secretsmanager:RotateSecret"
    " on the secret or lambda:InvokeFunction on the function. Where rotation is on all the same, this is a note.",
    remedy="Give the caller both actions.",
    outranks=_LEFT_OUT,
)


@check(CALLER)
def caller_not_allowed(case: Case) -> Iterator[Finding]:
    """Look who was refused RotateSecret, and has not been let in since."""
    calls = case.events("RotateSecret")
    if not calls or not _is_of_caller(calls[-1]):
        return
    last = calls[-1]
    function_arn = case.function_arn or str(last.parameters.get("rotationLambdaARN") or _UNKNOWN)
    who = last.caller.rpartition(":")[2]
    action = "lambda:InvokeFunction" if "lambda:InvokeFunction" in last.error_message else "secretsmanager:RotateSecret"
    is_on = bool(case.function_arn and case.secret.get("RotationEnabled"))
    yield Finding(
        CALLER,
        f"whoever configures rotation may not do so: {action} was denied to {who}",
        (last.evidence(f"{last.error_code}: {last.error_message}"),),
        _let_in(last, caller_policy(case.arn, function_arn)),
        role=Role.NOTE if is_on else Role.CAUSE,
    )


def _is_of_caller(event: TrailEvent) -> bool:
    # That Secrets Manager may not invoke the function is told in other words.
    is_told = "RotateSecret" in event.error_message or "lambda:InvokeFunction" in event.error_message
    return event.is_denied and is_told and "is not authorized to perform" in event.error_message


def _let_in(event: TrailEvent, policy: Document) -> Remedy:
    kind, _, name = event.caller.rpartition(":")[2].partition("/")
    text = "Give the caller what it takes."
    document = json.dumps(policy)
    if kind == "user":
        operation, member, called = "PutUserPolicy", "UserName", name.rpartition("/")[2]
    elif kind == "assumed-role":
        operation, member, called = "PutRolePolicy", "RoleName", name.partition("/")[0]
    else:
        return Remedy(text, policy=policy, by_hand=(document,))
    parameters = {member: called, "PolicyName": f"keyturn-{CALLER.id}", "PolicyDocument": document}
    change = Change("iam", operation, parameters)
    if _UNKNOWN in document:
        return Remedy(text, policy=policy, by_hand=(command(change),))
    return Remedy(text, (change,), policy)


STACK = Cause(
    id="hosted-stack-failed",
    section=Section.ROTATION,
    topic=Topic.BEYOND,
    title="The stack that was to configure rotation has failed",
    symptoms=(
        "CREATE_FAILED AWS::SecretsManager::RotationSchedule",
        "CREATE_FAILED AWS::Serverless::Application",
        (
            "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access"
            " to the principal secretsmanager.amazonaws.com."
        ),
    ),
    evidence=("cloudformation:DescribeStackEvents",),
    decision="The secret was made by a stack, its rotation has never worked, and the newest event of the stack's"
    " rotation schedule or rotation function is a failure. Often the schedule was made before the permission to"
    " invoke.",
    remedy="Let the schedule depend on the AWS::Lambda::Permission, or give the deployer what it lacks: iam:CreateRole"
    " with the boundary that the organisation asks for.",
    outranks=_LEFT_OUT,
)
_TYPES = ("AWS::SecretsManager::RotationSchedule", "AWS::Serverless::Application", "AWS::CloudFormation::Stack")


@check(STACK)
def hosted_stack_failed(case: Case) -> Iterator[Finding]:
    """Look at the events of the secret's stack."""
    if case.stack_events is None:
        raise Skip("no stack has made the secret" if not case.stack_name else "it has been rotated")
    newest: dict[str, dict[str, object]] = {}
    # The newest come first.
    for event in reversed(case.stack_events.value.get("StackEvents", [])):
        is_own = event.get("PhysicalResourceId") == event.get("StackId")
        if event.get("ResourceType") in _TYPES and not is_own:
            newest[str(event.get("LogicalResourceId"))] = event
    failed = [event for event in newest.values() if str(event.get("ResourceStatus")).endswith("_FAILED")]
    if not failed:
        return
    event = failed[-1]
    told = {name: event.get(name) for name in ("ResourceType", "ResourceStatus", "ResourceStatusReason")}
    yield Finding(
        STACK,
        f"the stack {case.stack_name} has failed to make {event.get('LogicalResourceId')}",
        (Evidence("cloudformation:DescribeStackEvents", case.stack_name, told),),
        Remedy(STACK.remedy),
        confidence=Confidence.POSSIBLE,
    )
