"""What the function itself says of its network: its time, its endpoint, its network interfaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.facts import Kind
from keyturn.doctor.lines import finding_of, history_of, newest_said
from keyturn.doctor.log import LogLine
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.network import VARIABLE
from keyturn.doctor.remedies import configure
from keyturn.doctor.ways import ON_DATABASE, VPC_ACCESS, attached
from keyturn.rules.network.endpoints import host_in
from keyturn.rules.network.hops import Passage
from keyturn.rules.network.routes import leads_elsewhere, table_of

_ENOUGH_SECONDS = 30
_ROUNDING_SECONDS = 0.5
# Of each second that it has: who takes as long has finished by luck.
_NEARLY_MS = 800

TIMEOUT = Cause(
    id="function-timeout-too-short",
    section=Section.FUNCTION,
    topic=Topic.NETWORK,
    title="The function is given too little time",
    symptoms=("Task timed out after 3.00 seconds", "Task timed out after"),
    evidence=("lambda:GetFunctionConfiguration", "logs:FilterLogEvents"),
    decision="In the newest failed invocation the function was ended at its timeout, that is below 30 seconds (the"
    " default is 3), and has not been changed since, and its network is open as far as it may be seen. Never said while"
    " a part of the network is broken or may not be looked at; no more than possible where the database's address is"
    " not known (--read-value, --db-host). While nothing fails it is a risk if a step took four fifths of such a"
    " timeout or more.",
    remedy="Set the function's timeout to 60 seconds.",
    fix=Fix.HARMLESS,
)


@check(TIMEOUT)
def function_timeout_too_short(case: Case) -> Iterator[Finding]:
    """Look at runs that were ended at the function's timeout, where nothing is in their way."""
    if not case.function_arn:
        raise Skip("there is no function")
    timeout = int(case.configuration.value.get("Timeout") or 3)
    if timeout >= _ENOUGH_SECONDS:
        return
    ended = [run for run in case.failed_runs if run.timed_out_after is not None]
    if not ended:
        if not case.has_failed:
            yield from _nearly_too_short(case, timeout)
        return
    last = ended[-1]
    if last.timed_out_after is None or abs(last.timed_out_after - timeout) > _ROUNDING_SECONDS:
        # It was given another time then.
        return
    step = case.failed_step or last.step
    confidence = _open_network(case, step)
    allowed = _seconds(timeout)
    line = next(each for each in reversed(last.lines) if "Task timed out after" in each.text)
    history = history_of(case, last)
    then = f" at {line.at:%Y-%m-%d %H:%M:%S} UTC; {history}" if history else ", before it is done"
    yield Finding(
        TIMEOUT,
        f"{case.function_name} {'was' if history else 'is'} ended after {allowed}{then}",
        (
            Evidence("logs:FilterLogEvents", case.log_group, line.text, line.at),
            Evidence("lambda:GetFunctionConfiguration", case.function_name, {"Timeout": timeout}),
        ),
        _more_time(case),
        role=Role.NOTE if history else Role.CAUSE,
        confidence=confidence,
        step=last.step if history else step,
        is_history=bool(history),
    )


def _nearly_too_short(case: Case, timeout: int) -> Iterator[Finding]:
    """Look at the slowest step that went well: a cold start or a busy database makes it slower than that."""
    well = [run for run in case.step_runs if run.went_well]
    slowest = max(well, key=lambda run: run.duration_ms or 0, default=None)
    if slowest is None or (taken_ms := slowest.duration_ms or 0) < timeout * _NEARLY_MS:
        return
    yield Finding(
        TIMEOUT,
        f"{case.function_name} took {taken_ms / 1000:.1f} seconds for a step, and is ended after {_seconds(timeout)}",
        (
            Evidence("logs:FilterLogEvents", case.log_group, slowest.lines[-1].text, slowest.ended_at),
            Evidence("lambda:GetFunctionConfiguration", case.function_name, {"Timeout": timeout}),
        ),
        _more_time(case),
        role=Role.RISK,
        step=slowest.step,
    )


def _more_time(case: Case) -> Remedy:
    return Remedy("Set its timeout to 60 seconds.", (configure(case, Timeout=60),))


def _seconds(count: int) -> str:
    return "1 second" if count == 1 else f"{count} seconds"


def _open_network(case: Case, step: str | None) -> Confidence:
    """Return how sure it is that the network is open.

    Raises:
        Skip: It is not known to be.
        Unseen: It may not be looked at.
    """
    network = case.network
    if network.is_attached and network.calls_aws:
        network.look("subnets", "endpoints", "route_tables", "gateways", "groups", "acls", "dns", "prefix_lists")
    if network.calls_aws and network.to_secrets_manager is not Passage.PASSES:
        raise Skip("the way to Secrets Manager is not known to be open")
    if case.database is not None:
        _ = network.place
    if network.to_database is Passage.PASSES:
        return Confidence.CERTAIN
    is_on_database = step is None or step in ON_DATABASE
    if is_on_database and network.may_stop_login:
        # --read-value or --db-host would tell whether the way to it is open.
        return Confidence.POSSIBLE
    # A function in no VPC reaches AWS; whether it reaches a server of somebody's own is not seen from here.
    return Confidence.LIKELY if is_on_database else Confidence.CERTAIN


ENDPOINT_WRONG = Cause(
    id="function-endpoint-wrong",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The function calls the wrong endpoint, or is told none",
    symptoms=(
        "KeyError: 'SECRETS_MANAGER_ENDPOINT'",
        "Could not connect to the endpoint URL",
        "Connect timeout on endpoint URL",
        "Secrets Manager can't find the specified secret.",
    ),
    evidence=("lambda:GetFunctionConfiguration", "logs:FilterLogEvents", "ec2:DescribeVpcEndpoints"),
    decision="The function's SECRETS_MANAGER_ENDPOINT is missing where its code asks for it, names another region than"
    " the secret's, or an endpoint (vpce-...) that is not in its VPC. On Keyturn: it names the machine itself"
    " (127.0.0.1), which a function in a VPC is not on.",
    remedy="Set SECRETS_MANAGER_ENDPOINT to the address in the secret's region; on Keyturn, which tells its functions"
    " where it is, take it away. The call replaces all variables, so repeat the others.",
    fix=Fix.BY_HAND,
    outranks=("secret-name-looks-like-suffix",),
)
_REGION = re.compile(r"(?:^|\.)secretsmanager(?:-fips)?\.([a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com|api\.aws)")
_NO_VARIABLE = re.compile(r"KeyError: '?SECRETS_MANAGER_ENDPOINT")
_NOT_CONNECTED = re.compile(
    r"(?:Could not connect to the|Connect timeout on) endpoint URL: \"?(?P<url>\S+?)\"?(?:\s|$)"
)
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1")


@check(ENDPOINT_WRONG)
def function_endpoint_wrong(case: Case) -> Iterator[Finding]:
    """Look at what the variable names, and at what the function says of it."""
    if not case.function_arn:
        raise Skip("there is no function")
    network = case.network
    set_to = Evidence("lambda:GetFunctionConfiguration", case.function_name, {VARIABLE: network.variable or None})
    named = _REGION.search(network.called_host)
    if named and named[1] != case.place.region:
        title = f"{case.function_name} calls Secrets Manager in {named[1]}, and the secret is in {case.place.region}"
        yield _wrong(case, title, (set_to,))
        return
    if case.endpoint is not None and network.is_attached and _LOOPBACK.fullmatch(network.called_host):
        title = f"{case.function_name} calls {network.called_host}, and in a VPC that is nobody but the function itself"
        yield _wrong(case, title, (set_to,))
        return
    if network.named_endpoint:
        yield from _other_endpoint(case, set_to)
        return
    if network.variable and network.calls_aws and case.log_events.kind is not Kind.OK:
        # It names what is right: all that the log could tell is history.
        return
    missing = _last(case, _NO_VARIABLE)
    if missing is not None:
        line, _ = missing
        said = Evidence("logs:FilterLogEvents", case.log_group, line.text, line.at)
        if network.variable:
            title = f"{case.function_name} had no {VARIABLE} then, and has one now"
            yield _wrong(case, title, (said, set_to), is_history=True)
        else:
            yield _wrong(case, f"{case.function_name} has no {VARIABLE}, which its code asks for", (said, set_to))
    elif not network.calls_aws or (case.endpoint and not network.is_attached):
        yield from _not_connected(case, set_to)


def _other_endpoint(case: Case, set_to: Evidence) -> Iterator[Finding]:
    """Look whether the endpoint that is named is where the function is."""
    network = case.network
    name = network.named_endpoint
    if not network.is_attached:
        title = f"{case.function_name} calls the endpoint {name}, and is in no VPC from which that could be reached"
        yield _wrong(case, title, (set_to,))
        return
    network.look("endpoints")
    if network.endpoint is not None:
        return
    network.look("route_tables", "subnets")
    picture = network.picture
    tables = [table_of(each, picture.vpc_of(each), picture.route_tables or ()) for each in network.subnet_ids]
    if any(table is not None and leads_elsewhere(table) for table in tables):
        raise Skip(f"{name} is not in the function's VPC, and may be in one that is connected with it")
    vpc_id = network.vpc.vpc_id if network.vpc else "its VPC"
    found = Evidence("ec2:DescribeVpcEndpoints", vpc_id, f"there is no endpoint {name} of Secrets Manager")
    yield _wrong(case, f"{case.function_name} calls the endpoint {name}, which is not in {vpc_id}", (set_to, found))


def _not_connected(case: Case, set_to: Evidence) -> Iterator[Finding]:
    """Look whether the function could not connect to what its variable still names."""
    said = newest_said(case, _NOT_CONNECTED)
    if said is None:
        return
    host, named = host_in(said.match["url"]), case.network.variable
    if named and host != case.network.called_host and not said.history:
        return
    which = f", which its {VARIABLE} names" if named and host == case.network.called_host else ""
    title = f"{case.function_name} cannot connect to {host}{which}"
    finding = finding_of(case, said, ENDPOINT_WRONG, title, _set_right(case), Confidence.LIKELY)
    yield replace(finding, evidence=(*finding.evidence, set_to))


def _wrong(
    case: Case,
    title: str,
    evidence: tuple[Evidence, ...],
    *,
    confidence: Confidence = Confidence.CERTAIN,
    is_history: bool = False,
) -> Finding:
    return Finding(
        ENDPOINT_WRONG,
        title,
        evidence,
        _set_right(case),
        role=Role.NOTE if is_history else Role.CAUSE,
        confidence=confidence,
        step=None if is_history else case.failed_step or "createSecret",
        is_history=is_history,
    )


def _set_right(case: Case) -> Remedy:
    """Return how the variable is set right: by hand, for the values of the others, which go as well, are not known."""
    others = [f"{name}=ITS_VALUE" for name in sorted(case.variables) if name != VARIABLE]
    # Keyturn tells its functions where it is; only code that asks for the variable itself needs it.
    is_needed = case.endpoint is None or not case.network.variable
    address = case.endpoint or f"https://{case.network.public_host}"
    variables = ",".join([f"{VARIABLE}={address}", *others] if is_needed else others)
    if case.endpoint is None:
        text = "Set the variable to the address in the secret's region"
    elif is_needed:
        text = "Set the variable to an address of this server that the function reaches"
    else:
        text = f"Take {VARIABLE} away, or set it to an address of this server that the function reaches"
    kept = f", and repeat the others ({', '.join(each.partition('=')[0] for each in others)}) with their values"
    return Remedy(
        f"{text}{kept}: the call replaces all of them." if others else f"{text}.",
        by_hand=(
            (
                f"aws lambda update-function-configuration --function-name {quote(case.function_id)}"
                f" --environment {quote(f'Variables={{{variables}}}')}"
            ),
        ),
    )


def _last(case: Case, pattern: re.Pattern[str]) -> tuple[LogLine, re.Match[str]] | None:
    """Return the newest line of a failed run in which a pattern is found.

    Raises:
        Unseen: The log may not be looked at.
    """
    return next((found for run in reversed(case.failed_runs) if (found := run.line_with(pattern))), None)


ENI = Cause(
    id="lambda-eni-unavailable",
    section=Section.FUNCTION,
    topic=Topic.BEYOND,
    title="Lambda cannot make the network interfaces that the function needs",
    symptoms=(
        "EniLimitExceeded",
        "SubnetOutOfIPAddresses",
        "InsufficientRolePermissions",
        "ENILimitReachedException",
        "SubnetIPAddressLimitReachedException",
        "EC2AccessDeniedException",
    ),
    evidence=("lambda:GetFunctionConfiguration", "ec2:DescribeSubnets"),
    decision="The function's StateReasonCode or LastUpdateStatusReasonCode says that a network interface cannot be"
    " made, or one of its subnets is gone.",
    remedy="By the code: add subnets or free addresses, let the role make network interfaces, raise their quota, or"
    " name subnets and groups that are there.",
    fix=Fix.PRINTED,
)
_CODES = {
    "EniLimitExceeded": "the account's quota of network interfaces in this region is used up",
    "SubnetOutOfIPAddresses": "its subnets have no free addresses",
    "InsufficientRolePermissions": "its role may not make network interfaces",
    "InvalidSubnet": "one of its subnets is not there",
    "InvalidSecurityGroup": "one of its security groups is not there",
}


@check(ENI)
def lambda_eni_unavailable(case: Case) -> Iterator[Finding]:
    """Look at why the function is not active, and for its subnets."""
    network = attached(case)
    configuration = case.configuration.value
    codes = {str(configuration.get(name)) for name in ("StateReasonCode", "LastUpdateStatusReasonCode")}
    code = next((each for each in _CODES if each in codes), "")
    shown = ("State", "StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReasonCode")
    told = {name: configuration[name] for name in shown if configuration.get(name)}
    evidence = [Evidence("lambda:GetFunctionConfiguration", case.function_name, told)]
    subnets = network.subnets
    if subnets is not None and subnets.kind is Kind.GONE:
        code = code or "InvalidSubnet"
        evidence.append(Evidence("ec2:DescribeSubnets", ", ".join(network.subnet_ids), subnets.message))
    if not code:
        network.look()
        return
    if subnets is not None and subnets.kind is Kind.OK:
        free = {each["SubnetId"]: each.get("AvailableIpAddressCount") for each in subnets.found.get("Subnets") or ()}
        evidence.append(Evidence("ec2:DescribeSubnets", ", ".join(free), {"AvailableIpAddressCount": free}))
    yield Finding(
        ENI,
        f"Lambda cannot connect {case.function_name} to its VPC: {_CODES[code]}",
        tuple(evidence),
        _connected(case, code),
    )


def _connected(case: Case, code: str) -> Remedy:
    groups = ",".join(map(quote, case.network.group_ids))
    moved = (
        f"aws lambda update-function-configuration --function-name {quote(case.function_id)}"
        f" --vpc-config SubnetIds=SUBNET_IDS,SecurityGroupIds={groups}"
    )
    if code == "InsufficientRolePermissions":
        attach = Change("iam", "AttachRolePolicy", {"RoleName": case.role_name, "PolicyArn": VPC_ACCESS})
        return Remedy("Let its role make network interfaces.", (attach,))
    if code == "EniLimitExceeded":
        quota = (
            "aws service-quotas request-service-quota-increase --service-code vpc --quota-code L-DF5E4CA3"
            " --desired-value NUMBER"
        )
        return Remedy("Delete network interfaces that nothing uses, or ask for more.", by_hand=(quota,))
    if code == "SubnetOutOfIPAddresses":
        return Remedy("Free addresses, or give the function further subnets.", by_hand=(moved,))
    return Remedy("Give the function subnets and security groups that are there.", by_hand=(moved,))
