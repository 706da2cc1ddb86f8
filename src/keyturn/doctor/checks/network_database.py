"""Does the function reach its database? Asked only if the database's address is known (--read-value, --db-host)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.database import Database, NameKind
from keyturn.doctor.facts import Kind, Unseen
from keyturn.doctor.lines import Said, finding_of, line_saying, newest_said
from keyturn.doctor.model import Cause, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.network import Network
from keyturn.doctor.ways import (
    AGREES,
    FUNCTION_GROUP,
    READS,
    VPC_ACCESS,
    blocked,
    database_step,
    endpoint_in,
    good_subnets,
    hung,
    shown,
    with_database,
)
from keyturn.rules.network.endpoints import endpoint_for
from keyturn.rules.network.hops import HopKind

from .network_endpoints import admit

LOGIN_FAILED = (
    "setSecret: Unable to log into database with previous, current, or pending secret of secret arn",
    "setSecret: Unable to log into database using current credentials for secret",
)
RDS = ("rds:DescribeDBInstances", "rds:DescribeDBClusters", "rds:DescribeDBProxies")
_ADDRESS = ("secretsmanager:GetSecretValue",)

GROUP_BLOCKS = Cause(
    id="db-sg-blocks-function",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The database's security group does not let the function in",
    symptoms=LOGIN_FAILED,
    evidence=(*READS, "ec2:DescribeSecurityGroups", *RDS, *_ADDRESS, *AGREES),
    decision="No rule of the database's security groups admits its port from the function's groups or its subnets'"
    " addresses. Attempts to connect take 5 seconds each: a login that fails sooner was refused for another reason.",
    remedy="Let the function's security group in on the database's port.",
    fix=Fix.WIDENS,
    outranks=(
        "db-login-failed",
        "pending-login-failed",
        "db-unreachable",
    ),
)


@check(GROUP_BLOCKS)
def db_sg_blocks_function(case: Case) -> Iterator[Finding]:
    """Look for a rule that admits the function."""
    network = with_database(case)
    database = network.database
    if database is None:
        return
    port = database.address.port
    for each in blocked(network, network.ways_to_database, HopKind.DATABASE_GROUP):
        yield Finding(
            GROUP_BLOCKS,
            f"{each.hop.at} of {database.identifier} does not let {case.function_name} in on port {port}{each.only}",
            (shown(network, each), *hung(case)),
            _let_in(case, network, each.hop.at, port),
            step=database_step(case),
        )


def _let_in(case: Case, network: Network, group_id: str, port: int) -> Remedy:
    if network.is_attached:
        own = network.group_ids[0]
        return Remedy(f"Let the function's group {own} in on port {port}.", (admit(group_id, port, own),))
    return Remedy(
        "A function in no VPC may come from any address: put it into the database's VPC, then let its group in.",
        by_hand=_moved(case, network),
    )


OUTSIDE = Cause(
    id="function-outside-db-vpc",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The function is not in the database's VPC, and there is no way into it",
    symptoms=LOGIN_FAILED,
    evidence=(*READS[:1], *RDS, *_ADDRESS, "ec2:DescribeRouteTables", *AGREES),
    decision="The function is in no VPC and the database is not publicly accessible; or they are in two VPCs, and no"
    " peering connection that is active and routed both ways connects them.",
    remedy="Put the function into the database's VPC; its role then needs the permissions for network interfaces.",
    fix=Fix.PRINTED,
    outranks=(
        "db-login-failed",
        "pending-login-failed",
        "db-unreachable",
    ),
)


@check(OUTSIDE)
def function_outside_db_vpc(case: Case) -> Iterator[Finding]:
    """Compare where the two are."""
    network = with_database(case)
    place, database = network.place, network.database
    if place is None or database is None or place.is_public:
        return
    seen = Evidence(place.source, database.identifier, {"VpcId": place.vpc_id, "PubliclyAccessible": place.is_public})
    remedy = Remedy("Put the function into the database's VPC.", by_hand=_moved(case, network))
    if not network.is_attached:
        yield Finding(
            OUTSIDE,
            f"{case.function_name} is in no VPC, and {database.identifier} is private in {place.vpc_id}",
            (seen, Evidence("lambda:GetFunctionConfiguration", case.function_name, {"VpcConfig": None}), *hung(case)),
            remedy,
            step=database_step(case),
        )
        return
    network.look("route_tables", "peerings")
    for each in blocked(network, network.ways_to_database, HopKind.ROUTE)[:1]:
        own = network.vpc.vpc_id if network.vpc else ""
        yield Finding(
            OUTSIDE,
            f"{case.function_name} is in {own} and {database.identifier} in {place.vpc_id}, and {each.hop.at}"
            f" {each.hop.why}{each.only}",
            (seen, shown(network, each), *hung(case)),
            remedy,
            confidence=Confidence.LIKELY,
            step=database_step(case),
        )


def _moved(case: Case, network: Network) -> tuple[str, ...]:
    """Return the commands that put the function into the database's VPC, where it reaches Secrets Manager as well."""
    place, database = network.place, network.database
    if place is None or database is None:
        return ()
    name = quote(case.function_name)
    good = good_subnets(network, place.vpc_id)
    endpoint = endpoint_for(network.picture.endpoints or (), place.vpc_id, network.region, network.public_host)
    subnet_ids = place.subnet_ids if endpoint is not None or not good else good
    opened = [(each, database.address.port) for each in place.group_ids[:1]]
    if endpoint is not None:
        opened += [(str(each["GroupId"]), 443) for each in (endpoint.get("Groups") or ())[:1]]
    needs_endpoint = endpoint is None and not good
    return (
        f"aws iam attach-role-policy --role-name {quote(case.role_name)} --policy-arn {VPC_ACCESS}",
        (
            f"FUNCTION_GROUP=$(aws ec2 create-security-group --vpc-id {quote(place.vpc_id)} --group-name {name}"
            f" --description {name} --query GroupId --output text)"
        ),
        *(
            f"aws ec2 authorize-security-group-ingress --group-id {quote(group_id)} --protocol tcp --port {port}"
            f" --source-group {FUNCTION_GROUP}"
            for group_id, port in opened
        ),
        *(endpoint_in(place.vpc_id, subnet_ids, FUNCTION_GROUP, network.region) if needs_endpoint else ()),
        (
            f"aws lambda update-function-configuration --function-name {quote(case.function_id)}"
            f" --vpc-config SubnetIds={','.join(map(quote, subnet_ids))},SecurityGroupIds={FUNCTION_GROUP}"
        ),
    )


HOST_GONE = Cause(
    id="db-host-gone",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The host in the secret's value names no database any more",
    symptoms=("could not translate host name", "Name or service not known", "HostNotFound: ", *LOGIN_FAILED),
    evidence=(*RDS, *_ADDRESS, "logs:FilterLogEvents"),
    decision="The host is a name that RDS gives, and RDS has no instance, cluster or proxy of that name in this account"
    " and region, or one that listens under another name: a risk as long as no rotation has failed, for it may be a"
    " database of another account. Where RDS has no say, the newest failed invocation could not resolve the name.",
    remedy="Put the host of the database that is there into the secret's value.",
    fix=Fix.BY_HAND,
    outranks=(
        "db-login-failed",
        "pending-login-failed",
        "db-unreachable",
    ),
)
_NO_NAME = line_saying(
    "could not translate host name",
    "Name or service not known",
    "getaddrinfo ENOTFOUND",
    "UnknownHost",
    r"\bHostNotFound: ",
)
# That is Secrets Manager's own name.
_OF_AWS = re.compile(r"Could not connect to the endpoint URL|secretsmanager\.[a-z0-9-]+\.")


@check(HOST_GONE)
def db_host_gone(case: Case) -> Iterator[Finding]:
    """Look for the database by its name."""
    database = case.database
    if database is None or database.named is None:
        said = newest_said(case, _NO_NAME, _OF_AWS) if case.function_arn else None
        if said is not None:
            yield _not_resolved(case, said)
            return
        if database is None:
            raise Skip("the database's address is not known: --read-value or --db-host tells it")
        raise Skip(f"{database.address.host} is no name that RDS gives in this region")
    live = _live_hosts(database)
    if database.named.kind is not Kind.GONE and (not live or database.address.host.lower() in live):
        _ = database.named.value
        said = newest_said(case, _NO_NAME, _OF_AWS)
        if said is not None:
            yield _not_resolved(case, said)
        return
    listens = f"listens at {', '.join(sorted(live))} now" if live else "is gone"
    what = {NameKind.INSTANCE: "instance", NameKind.PROXY: "proxy"}.get(database.kind, "cluster")
    role = Role.CAUSE if case.has_failed else Role.RISK
    yield Finding(
        HOST_GONE,
        f"{database.address.host} is no database of this account: the {what} {database.identifier} {listens}",
        (
            Evidence(database.named.question.action, database.identifier, sorted(live) or database.named.message),
            *_unresolved(case),
        ),
        Remedy(
            "Put the host of the database that is there into the secret's value, and leave its other members as they"
            " are.",
            by_hand=(
                f"aws secretsmanager put-secret-value --secret-id {quote(case.arn)} --secret-string file://value.json",
            ),
        ),
        role=role,
        confidence=Confidence.LIKELY,
        step=database_step(case) if role is Role.CAUSE else None,
    )


def _not_resolved(case: Case, said: Said) -> Finding:
    return finding_of(
        case,
        said,
        HOST_GONE,
        f"the name of the database is not known where the function asks for it: {said.words['why']}",
        Remedy(
            "Put the host of the database that is there into the secret's value; if it is right, look how the"
            " function's network resolves names.",
            by_hand=(
                f"aws secretsmanager put-secret-value --secret-id {quote(case.arn)} --secret-string file://value.json",
            ),
        ),
        Confidence.LIKELY,
    )


def _live_hosts(database: Database) -> set[str]:
    """Return the names under which the database that is named so listens."""
    if database.kind is NameKind.INSTANCE:
        found = [(database.found_instance.get("Endpoint") or {}).get("Address")]
    elif database.kind is NameKind.PROXY:
        found = [database.found_proxy.get("Endpoint")]
    else:
        found = [database.found_cluster.get("Endpoint"), database.found_cluster.get("ReaderEndpoint")]
    return {str(each).lower() for each in found if each}


def _unresolved(case: Case) -> tuple[Evidence, ...]:
    try:
        lines = [line for run in case.failed_runs for line in run.lines if _NO_NAME.search(line.text)]
    except Unseen:
        lines = []
    return tuple(Evidence("logs:FilterLogEvents", case.log_group, line.text, line.at) for line in lines[-1:])
