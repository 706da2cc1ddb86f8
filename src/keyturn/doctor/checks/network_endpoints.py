"""Does the function reach Secrets Manager through the endpoint that its VPC has?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from keyturn.call import Principal, PrincipalKind
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.facts import Unseen
from keyturn.doctor.log import LogLine
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.network import Network
from keyturn.doctor.ways import (
    AGREES,
    READS,
    blocked,
    calling_aws,
    hung,
    make_endpoint,
    secrets_manager_step,
    shown,
    turn_on,
)
from keyturn.errors.base import AwsError
from keyturn.rules.network.endpoints import DNS_ATTRIBUTES
from keyturn.rules.network.hops import HopKind
from keyturn.rules.policy.document import parse_resource_policy
from keyturn.rules.policy.evaluate import Outcome, Policy, PolicySet, RequestContext, evaluate

from .network import TIMED_OUT, UNREACHED

_NOT_REACHED = (*TIMED_OUT, "Could not connect to the endpoint URL")
_ENDPOINTS = (*READS, "ec2:DescribeVpcEndpoints")

PRIVATE_DNS_OFF = Cause(
    id="endpoint-private-dns-off",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The endpoint of Secrets Manager has no private DNS, and the function calls the public name",
    symptoms=_NOT_REACHED,
    evidence=(*_ENDPOINTS, "ec2:DescribeRouteTables", *AGREES),
    decision="The VPC has an interface endpoint of Secrets Manager whose private DNS is off, the function's"
    " SECRETS_MANAGER_ENDPOINT does not hold the endpoint's own name, and there is no other way out of the subnet.",
    remedy="Turn the endpoint's private DNS on, or give the function the endpoint's own name (vpce-...) in"
    " SECRETS_MANAGER_ENDPOINT.",
    fix=Fix.PRINTED,
    outranks=("network-no-route-to-secretsmanager", UNREACHED),
)


@check(PRIVATE_DNS_OFF)
def endpoint_private_dns_off(case: Case) -> Iterator[Finding]:
    """Look whether the name that the function calls leads to the endpoint."""
    network = calling_aws(case)
    for each in blocked(network, network.ways_to_secrets_manager, HopKind.PRIVATE_DNS):
        parameters = {"VpcEndpointId": each.hop.at, "PrivateDnsEnabled": True}
        yield Finding(
            PRIVATE_DNS_OFF,
            f"{case.function_name} does not find the endpoint {each.hop.at}: it has no private DNS, and the function"
            f" calls {network.called_host}{each.only}",
            (shown(network, each), *hung(case)),
            Remedy("Turn its private DNS on.", (Change("ec2", "ModifyVpcEndpoint", parameters),)),
            step=secrets_manager_step(case),
        )


VPC_DNS_OFF = Cause(
    id="vpc-dns-off",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The VPC's DNS is off, which names need, and the endpoint's private DNS",
    symptoms=_NOT_REACHED,
    evidence=(*_ENDPOINTS, "ec2:DescribeVpcAttribute", *AGREES),
    decision="enableDnsSupport or enableDnsHostnames of the VPC is false, while the function reaches Secrets Manager"
    " through an interface endpoint by its public name. Without enableDnsSupport no other name is found either, unless"
    " the VPC's DHCP options name DNS servers of one's own, which are not looked at: a risk, until createSecret fails.",
    remedy="Turn both attributes of the VPC on.",
    fix=Fix.PRINTED,
    outranks=(UNREACHED,),
)


@check(VPC_DNS_OFF)
def vpc_dns_off(case: Case) -> Iterator[Finding]:
    """Look at the VPC's two attributes."""
    network = calling_aws(case)
    network.look("dns")
    found = blocked(network, network.ways_to_secrets_manager, HopKind.VPC_DNS)
    if not found and network.may_lack_names:
        yield _without_names(case, network)
    for each in found:
        names = list(each.hop.rule or {})
        yield Finding(
            VPC_DNS_OFF,
            f"{each.hop.at} {each.hop.why}: {case.function_name} does not find the endpoint of Secrets Manager",
            (shown(network, each), *hung(case)),
            Remedy(
                "Turn the VPC's DNS on.",
                tuple(turn_on(each.hop.at, name) for name in names),
            ),
            step=secrets_manager_step(case),
        )


def _without_names(case: Case, network: Network) -> Finding:
    vpc_id = network.vpc.vpc_id if network.vpc is not None else ""
    is_stopped = case.has_failed and case.failed_step in (None, "createSecret")
    return Finding(
        VPC_DNS_OFF,
        f"{vpc_id} has {DNS_ATTRIBUTES[0]} off, so that {case.function_name} finds no address of {network.called_host}"
        " but by DNS servers of one's own",
        (Evidence("ec2:DescribeVpcAttribute", vpc_id, {DNS_ATTRIBUTES[0]: False}), *hung(case)),
        Remedy(
            "Turn the VPC's DNS on.",
            (turn_on(vpc_id, DNS_ATTRIBUTES[0]),),
        ),
        role=Role.CAUSE if is_stopped else Role.RISK,
        confidence=Confidence.LIKELY,
        step="createSecret" if is_stopped else None,
    )


NOT_AVAILABLE = Cause(
    id="endpoint-not-available",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The endpoint of Secrets Manager is not available",
    symptoms=TIMED_OUT,
    evidence=(*_ENDPOINTS, *AGREES),
    decision="The interface endpoint that the function's calls lead to is in another state than available: pending,"
    " failed, rejected, deleting.",
    remedy="Make the endpoint anew.",
    fix=Fix.PRINTED,
    outranks=(UNREACHED,),
)


@check(NOT_AVAILABLE)
def endpoint_not_available(case: Case) -> Iterator[Finding]:
    """Look at the endpoint's state."""
    network = calling_aws(case)
    for each in blocked(network, network.ways_to_secrets_manager, HopKind.ENDPOINT):
        yield Finding(
            NOT_AVAILABLE,
            f"the endpoint of Secrets Manager {each.hop.at} {each.hop.why}",
            (shown(network, each), *hung(case)),
            Remedy(
                "Delete it and make another one.",
                (Change("ec2", "DeleteVpcEndpoints", {"VpcEndpointIds": [each.hop.at]}),),
                by_hand=make_endpoint(network),
            ),
            step=secrets_manager_step(case),
        )


GROUP_BLOCKS = Cause(
    id="endpoint-sg-blocks-https",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The endpoint's security group does not let the function in",
    symptoms=TIMED_OUT,
    evidence=(*_ENDPOINTS, "ec2:DescribeSecurityGroups", *AGREES),
    decision="No rule of the endpoint's security groups admits tcp 443 from the function's groups, its subnets'"
    " addresses, or a prefix list that holds them.",
    remedy="Let the function's security group in on port 443.",
    fix=Fix.WIDENS,
    outranks=(UNREACHED,),
)


@check(GROUP_BLOCKS)
def endpoint_sg_blocks_https(case: Case) -> Iterator[Finding]:
    """Look for a rule that admits the function."""
    network = calling_aws(case)
    network.look("groups")
    for each in blocked(network, network.ways_to_secrets_manager, HopKind.ENDPOINT_GROUP):
        endpoint_id = (network.endpoint or {}).get("VpcEndpointId")
        yield Finding(
            GROUP_BLOCKS,
            f"{each.hop.at} of the endpoint {endpoint_id} does not let {case.function_name} in on port 443{each.only}",
            (shown(network, each), *hung(case)),
            Remedy(
                f"Let the function's group {network.group_ids[0]} in on port 443.",
                (admit(each.hop.at, 443, network.group_ids[0]),),
            ),
            step=secrets_manager_step(case),
        )


POLICY_DENIES = Cause(
    id="endpoint-policy-denies",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The endpoint's policy does not let the function's role do what rotation does",
    symptoms=(
        "because no VPC endpoint policy allows the secretsmanager:DescribeSecret action",
        "with an explicit deny in a VPC endpoint policy",
    ),
    evidence=(*_ENDPOINTS, "logs:FilterLogEvents"),
    decision="The policy of the endpoint that the function's calls lead to does not allow one of DescribeSecret,"
    " GetSecretValue, PutSecretValue and UpdateSecretVersionStage on the secret, or GetRandomPassword, or denies one."
    " What AWS's message says while the policy allows it now is history.",
    remedy="Let the endpoint's policy allow these five actions to the role, and keep what it allows to others.",
    fix=Fix.PRINTED,
)
_ON_SECRET = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
_SAID = re.compile(r"because no VPC endpoint policy allows|with an explicit deny in a VPC endpoint policy")


@check(POLICY_DENIES)
def endpoint_policy_denies(case: Case) -> Iterator[Finding]:
    """Ask the endpoint's policy about each action; it must be the endpoint by which the calls go."""
    network = calling_aws(case)
    endpoint = network.endpoint
    is_used = any(hop.kind is HopKind.ENDPOINT for hops in network.ways_to_secrets_manager.values() for hop in hops)
    if endpoint is None or not is_used:
        return
    endpoint_id, text = str(endpoint["VpcEndpointId"]), str(endpoint.get("PolicyDocument") or "")
    refused = _refused(case, text) if text else []
    said = _said(case)
    evidence = (
        Evidence("ec2:DescribeVpcEndpoints", endpoint_id, text),
        *(Evidence("logs:FilterLogEvents", case.log_group, line.text, line.at) for line in said[-1:]),
    )
    if refused:
        title = f"the policy of the endpoint {endpoint_id} does not let {case.role_name} call {', '.join(refused)}"
        step = "createSecret" if "DescribeSecret" in refused else case.failed_step
        yield Finding(POLICY_DENIES, title, evidence, _let_pass(case, endpoint_id, text), step=step)
    elif said:
        yield Finding(
            POLICY_DENIES,
            f"the policy of the endpoint {endpoint_id} was in the way, and lets the role pass now",
            evidence,
            Remedy("Nothing is left to be done: it lets the role pass now."),
            role=Role.NOTE,
            confidence=Confidence.LIKELY,
            is_history=True,
        )


def _let_pass(case: Case, endpoint_id: str, text: str) -> Remedy:
    """Return how an endpoint's policy is widened for the role: the call replaces all of it, so what it has is kept."""
    document = json.loads(text)
    statements = [*_statements(text), *_needed(case)]
    widened = {**document, "Statement": [_but_for(case, each) if _denies(case, each) else each for each in statements]}
    return Remedy(
        "Let its policy allow this role what rotation does. The call replaces the whole policy, so the document below"
        " repeats what it allows to everybody else now: look it through before you put it there.",
        (Change("ec2", "ModifyVpcEndpoint", {"VpcEndpointId": endpoint_id, "PolicyDocument": json.dumps(widened)}),),
        policy=widened,
    )


def _denies(case: Case, statement: dict[str, Any]) -> bool:
    """Whether a statement denies the role something that others allow."""
    if statement.get("Effect") != "Deny":
        return False
    everything = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    return bool(_refused(case, json.dumps({"Statement": [everything, statement]})))


def _but_for(case: Case, statement: dict[str, Any]) -> dict[str, Any]:
    """Return a statement as it is for all others than the role. Of those with conditions nothing is decided here."""
    return {**statement, "Condition": {"ArnNotEquals": {"aws:PrincipalArn": case.role_arn}}}


def _refused(case: Case, text: str) -> list[str]:
    """Return the actions that an endpoint's policy does not allow the role.

    Raises:
        Skip: That hangs on a condition.
    """
    try:
        document = parse_resource_policy(text)
    except AwsError as error:
        raise Skip(f"the endpoint's policy cannot be read here: {error.message}") from error
    if any(statement.get("Condition") for statement in _statements(text)):
        raise Skip("the endpoint's policy has conditions, which are not decided here")
    account_id = case.place.account_id
    session = f"arn:aws:sts::{account_id}:assumed-role/{case.role_name}/{case.function_name}"
    principal = Principal(
        PrincipalKind.ASSUMED_ROLE,
        session,
        f"AROA:{case.function_name}",
        account_id,
        case.role_name,
        role_arn=case.role_arn,
        session_name=case.function_name,
    )
    policies = PolicySet(resource=Policy("endpoint policy", document, text))
    wanted = [*((name, case.arn) for name in _ON_SECRET), ("GetRandomPassword", "*")]
    keys = {"aws:principalarn": (case.role_arn,), "aws:principalaccount": (account_id,)}
    return [
        name
        for name, resource in wanted
        if evaluate(RequestContext(principal, f"secretsmanager:{name}", resource, keys), policies).outcome
        is not Outcome.ALLOW
    ]


def _statements(text: str) -> list[dict[str, Any]]:
    found = json.loads(text).get("Statement", [])
    return found if isinstance(found, list) else [found]


def _said(case: Case) -> list[LogLine]:
    try:
        return [line for run in case.failed_runs for line in run.lines if _SAID.search(line.text)]
    except Unseen:
        return []


def _needed(case: Case) -> list[dict[str, Any]]:
    """Return the statements that allow the role what rotation does."""
    principal = {"AWS": case.role_arn}
    resources = [case.arn, case.superuser_arn] if case.superuser_arn else [case.arn]
    actions = [f"secretsmanager:{name}" for name in _ON_SECRET]
    password = "secretsmanager:GetRandomPassword"  # noqa: S105 - an action
    return [
        {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": resources},
        {"Effect": "Allow", "Principal": principal, "Action": password, "Resource": "*"},
    ]


def admit(group_id: str, port: int, source_group_id: str) -> Change:
    """Return the call that lets a group in at another one, the first if there are several."""
    pair = {"GroupId": source_group_id}
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}
    first = group_id.split(", ", maxsplit=1)[0]
    return Change("ec2", "AuthorizeSecurityGroupIngress", {"GroupId": first, "IpPermissions": [permission]})
