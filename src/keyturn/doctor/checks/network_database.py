"""Does the function reach its database? Asked only if the database's address is known (--read-value, --db-host)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network
from shlex import quote
from typing import Any

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, Unasked, check
from keyturn.doctor.database import Database, NameKind, Place
from keyturn.doctor.facts import Kind, Unseen
from keyturn.doctor.lines import Said, finding_of, line_saying, newest_said
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.network import Network
from keyturn.doctor.remedies import put_host
from keyturn.doctor.ways import (
    AGREES,
    FUNCTION_GROUP,
    ON_DATABASE,
    READS,
    VPC_ACCESS,
    blocked,
    database_step,
    endpoint_in,
    good_subnets,
    hung,
    made_group,
    or_port,
    routed_to_database,
    shown,
    with_database,
)
from keyturn.rules.network.endpoints import endpoint_for
from keyturn.rules.network.groups import let_in
from keyturn.rules.network.hops import Hop, HopKind, Passage
from keyturn.rules.network.routes import is_local
from keyturn.rules.network.traffic import PUBLIC, Ports, Side, networks_of
from keyturn.rules.network.ways import Origin, to_secrets_manager

from .network_endpoints import admit

LOGIN_FAILED = (
    "setSecret: Unable to log into database with previous, current, or pending secret of secret arn",
    "setSecret: Unable to log into database using current credentials for secret",
)
RDS = ("rds:DescribeDBInstances", "rds:DescribeDBClusters", "rds:DescribeDBProxies")
PLACES = (*RDS, "ec2:DescribeNetworkInterfaces")
"""What tells where a database is: RDS of its own, EC2 of a server that the value has by its private address."""
OUTRANKED = (
    "db-login-failed",
    "pending-login-failed",
    "db-unreachable",
    "preflight-database-unreachable",
)
"""What a way to the database that is seen to be blocked says more exactly."""
_ADDRESS = ("secretsmanager:GetSecretValue",)

GROUP_BLOCKS = Cause(
    id="db-sg-blocks-function",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The database's security group does not let the function in",
    symptoms=LOGIN_FAILED,
    evidence=(*READS, "ec2:DescribeSecurityGroups", *PLACES, *_ADDRESS, *AGREES),
    decision="No rule of the database's security groups admits its port from the function's groups or its subnets'"
    " addresses. Attempts to connect take 5 seconds each: a login that fails sooner was refused for another reason."
    " A server that is none of RDS' has the groups of the network interface that has its address.",
    remedy="Let the function's security group in on the database's port.",
    fix=Fix.WIDENS,
    outranks=OUTRANKED,
)


@check(GROUP_BLOCKS)
def db_sg_blocks_function(case: Case) -> Iterator[Finding]:
    """Look for a rule that admits the function."""
    network = routed_to_database(case)
    database = network.database
    if database is None:
        return
    port = database.address.port
    for each in blocked(network, network.ways_to_database, HopKind.DATABASE_GROUP):
        yield Finding(
            GROUP_BLOCKS,
            f"{each.hop.at} of {database.name} does not let {case.function_name} in on port {port}{each.only}",
            (shown(network, each), *hung(case)),
            _let_in(case, network, each.hop.at, port),
            step=database_step(case),
        )


def _let_in(case: Case, network: Network, group_id: str, port: int) -> Remedy:
    if network.is_attached:
        own = network.group_ids[0]
        text = or_port(network, f"Let the function's group {own} in on port {port}.")
        return Remedy(text, (admit(group_id, port, own),))
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
    evidence=(*READS[:1], *PLACES, *_ADDRESS, "ec2:DescribeRouteTables", *AGREES),
    decision="The function is in no VPC and the database is not publicly accessible; or they are in two VPCs, and no"
    " peering connection that is active and routed both ways connects them; or the database's address is in no subnet"
    " of the function's VPC, and no route leads there. On Keyturn a function in no VPC has the machine's network, or"
    " none (isolate_functions), which no call tells: there it is said only after an attempt that did not reach the"
    " database.",
    remedy="Put the function into the database's VPC; its role then needs the permissions for network interfaces.",
    fix=Fix.PRINTED,
    outranks=OUTRANKED,
)
_NOT_REACHED = line_saying(
    r"\b(?:ConnectionTimedOut|HostUnreachable): ", "No route to host", "Network is unreachable", "Task timed out after"
)


@check(OUTSIDE)
def function_outside_db_vpc(case: Case) -> Iterator[Finding]:
    """Compare where the two are."""
    database = case.database
    if case.function_arn and database is not None and database.ip is not None and not case.network.is_attached:
        yield from _in_no_vpc(case, database.ip)
        return
    network = with_database(case)
    place, database = network.place, network.database
    if database is not None and database.ip is not None and place is None:
        yield from _led_nowhere(case, network, database)
    if place is None or database is None or place.is_public:
        return
    seen = _seen(place, database)
    remedy = Remedy("Put the function into the database's VPC.", by_hand=_moved(case, network))
    if not network.is_attached:
        yield Finding(
            OUTSIDE,
            f"{case.function_name} is in no VPC, and {database.name} is private in {place.vpc_id}",
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
            f"{case.function_name} is in {own} and {database.name} in {place.vpc_id}, and {each.hop.at}"
            f" {each.hop.why}{each.only}",
            (seen, shown(network, each), *hung(case)),
            remedy,
            confidence=Confidence.LIKELY,
            step=database_step(case),
        )


def _seen(place: Place, database: Database) -> Evidence:
    if database.ip is None:
        excerpt: dict[str, object] = {"VpcId": place.vpc_id, "PubliclyAccessible": place.is_public}
    else:
        excerpt = {"VpcId": place.vpc_id, "SubnetId": place.subnet_ids[0]}
    return Evidence(place.source, database.name, excerpt)


def _in_no_vpc(case: Case, ip: IPv4Address) -> Iterator[Finding]:
    """Look whether a function in no VPC can reach an address.

    Raises:
        Skip: That is not known: elsewhere than in AWS it may have the network of the machine that it runs on.
        Unseen: Likewise, as what would tell may not be looked at.
    """
    network, database = case.network, case.database
    if database is None or any(ip in each for each in PUBLIC):
        return
    evidence = [Evidence("lambda:GetFunctionConfiguration", case.function_name, {"VpcConfig": None})]
    if case.endpoint is not None:
        said = newest_said(case, _NOT_REACHED) if case.failed_step in ON_DATABASE else None
        if said is None or said.history:
            raise Skip("a function in no VPC may have the network of its machine, and none has failed to reach it")
        evidence.append(Evidence("logs:FilterLogEvents", case.log_group, said.line.text, said.line.at))
    place = network.place
    if place is not None:
        evidence.insert(0, _seen(place, database))
    elif case.endpoint is not None:
        raise Skip(f"no network interface has the address {ip}")
    where = "no address of the internet" if place is None else f"private in {place.vpc_id}"
    yield Finding(
        OUTSIDE,
        f"{case.function_name} is in no VPC, and {ip} is {where}",
        (*evidence, *(hung(case) if case.endpoint is None else ())),
        Remedy("Put the function into the database's VPC.", by_hand=_moved(case, network)),
        confidence=Confidence.CERTAIN if case.endpoint is None else Confidence.LIKELY,
        step=database_step(case),
    )


def _led_nowhere(case: Case, network: Network, database: Database) -> Iterator[Finding]:
    """Look whether routes lead to an address that is in no subnet of the function's VPC."""
    network.look("route_tables", "gateways")
    kinds = (HopKind.ROUTE, HopKind.INTERNET_GATEWAY, HopKind.NAT, HopKind.SUBNET)
    closed = [hop for hops in network.ways_to_secrets_manager.values() for hop in hops if hop.passage is Passage.BLOCKS]
    for each in blocked(network, network.ways_to_database, *kinds)[:1]:
        if any((hop.kind, hop.at) == (each.hop.kind, each.hop.at) for hop in closed):
            # The way to Secrets Manager is blocked by the same, which is told there.
            return
        yield Finding(
            OUTSIDE,
            f"{case.function_name} has no way to {database.name}: {each.hop.at} {each.hop.why}{each.only}",
            (shown(network, each), *hung(case)),
            _reached(case, network, each.hop, database.ip),
            confidence=Confidence.LIKELY,
            step=database_step(case),
        )


def _reached(case: Case, network: Network, hop: Hop, ip: IPv4Address | None) -> Remedy:
    block = _free_block(network, ip) if hop.kind is HopKind.SUBNET and ip is not None else None
    if block is not None and case.endpoint is not None:
        # A network map leads to the host once its address is in a subnet; in AWS nobody would be there.
        return Remedy(
            f"Make a subnet in which {ip} lies; or put the host into the secret's value where the database is now.",
            (Change("ec2", "CreateSubnet", {"VpcId": hop.at, "CidrBlock": str(block)}),),
        )
    return Remedy(
        "Put the function into the network of the database, or let a route lead there: to a NAT gateway if the address"
        " is public. If the database is elsewhere now, put its host into the secret's value."
    )


def _free_block(network: Network, ip: IPv4Address) -> IPv4Network | None:
    """Return the largest network that a subnet with an address may have, 256 addresses at most; None if none is free.

    Source: Amazon VPC User Guide, "Subnet CIDR blocks": 16 addresses at least.
    """
    vpc_id, picture = "" if network.vpc is None else network.vpc.vpc_id, network.picture
    tables = [each for each in picture.route_tables or () if each.get("VpcId") == vpc_id]
    routes = [route for each in tables for route in each.get("Routes") or () if is_local(route)]
    own = [each for each in networks_of(str(route.get("DestinationCidrBlock")) for route in routes) if ip in each]
    taken = networks_of(str(each.get("CidrBlock")) for each in picture.subnets or () if each.get("VpcId") == vpc_id)
    blocks = [IPv4Network(f"{ip}/{length}", strict=False) for length in range(24, 29)]
    return next(
        (
            block
            for block in blocks
            if any(isinstance(each, IPv4Network) and block.subnet_of(each) for each in own)
            and not any(each.overlaps(block) for each in taken if isinstance(each, IPv4Network))
        ),
        None,
    )


def _moved(case: Case, network: Network) -> tuple[str, ...]:
    """Return the commands that put the function into the database's VPC, where it reaches Secrets Manager as well."""
    place, database = network.place, network.database
    if place is None or database is None:
        return ()
    good = good_subnets(network, place.vpc_id)
    endpoint = endpoint_for(network.picture.endpoints or (), place.vpc_id, network.region, network.public_host)
    subnet_ids = good or place.subnet_ids
    if endpoint is not None:
        subnet_ids = _admitting(network, place, endpoint)
    opened = [(each, database.address.port) for each in (place.group_ids or ())[:1]]
    if endpoint is not None:
        opened += [(str(each["GroupId"]), 443) for each in (endpoint.get("Groups") or ())[:1]]
    needs_endpoint = endpoint is None and not good
    group, making_group = made_group(network, place.vpc_id, case.function_name, FUNCTION_GROUP)
    return (
        f"aws iam attach-role-policy --role-name {quote(case.role_name)} --policy-arn {VPC_ACCESS}",
        *making_group,
        *(
            f"aws ec2 authorize-security-group-ingress --group-id {quote(group_id)} --protocol tcp --port {port}"
            f" --source-group {group}"
            for group_id, port in opened
            if not _admits(network, group_id, group, port)
        ),
        *(endpoint_in(network, place.vpc_id, subnet_ids, group) if needs_endpoint else ()),
        (
            f"aws lambda update-function-configuration --function-name {quote(case.function_id)}"
            f" --vpc-config SubnetIds={','.join(map(quote, subnet_ids))},SecurityGroupIds={group}"
        ),
    )


def _admitting(network: Network, place: Place, endpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the subnets to put the function into: the database's, unless ACLs let it reach both from others only."""
    picture, of_endpoint = network.picture, tuple(endpoint.get("SubnetIds") or ())
    of_vpc = tuple(str(each["SubnetId"]) for each in picture.subnets or () if each.get("VpcId") == place.vpc_id)

    def is_open(subnet_id: str) -> bool:
        # Groups are to be opened anyway.
        to_database = network.ways_from(subnet_id)
        out = to_secrets_manager(picture, Origin(subnet_id, ()), network.region, network.public_host)
        return all(hop.passage is not Passage.BLOCKS for hop in (*out, *to_database) if hop.kind is HopKind.ACL)

    for subnet_ids in (place.subnet_ids, of_endpoint, of_vpc):
        if found := tuple(filter(is_open, subnet_ids)):
            return found
    return place.subnet_ids


def _admits(network: Network, group_id: str, source_group_id: str, port: int) -> bool:
    """Whether a group is known to let another one in by name: EC2 refuses a rule twice."""
    source = Side((), frozenset([source_group_id]))
    known, ports = network.picture.groups, Ports(port, port)
    return let_in(HopKind.DATABASE_GROUP, [group_id], known, source, ports, {}).passage is Passage.PASSES


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
    outranks=OUTRANKED[:3],
    tried_by=("database.resolve",),
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
            raise Unasked(case.options.unknown_address)
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
            by_hand=(put_host(case.arn, next(iter(live)) if len(live) == 1 else "HOST"),),
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
            by_hand=(put_host(case.arn, "HOST"),),
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
