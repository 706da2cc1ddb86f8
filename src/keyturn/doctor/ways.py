"""What blocks the ways of a case, as checks speak of it: which hop, from which of the function's subnets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from shlex import quote

from keyturn.rules.network import groups
from keyturn.rules.network.endpoints import DNS_ATTRIBUTES
from keyturn.rules.network.gateways import routed_to_internet
from keyturn.rules.network.groups import told
from keyturn.rules.network.hops import Hop, HopKind, Passage, passage_of
from keyturn.rules.network.traffic import HTTPS, Side
from keyturn.rules.network.ways import Origin, Server, within_vpc

from .case import Case
from .catalogue import Skip, Unasked
from .facts import Unseen
from .model import Change, Evidence
from .network import ENDPOINT_GROUP_NAME, Network, entries_in
from .remedies import command
from .way_out import through_nat

Ways = Mapping[str, tuple[Hop, ...]]

_SOURCES = {
    HopKind.ROUTE: "ec2:DescribeRouteTables",
    HopKind.INTERNET_GATEWAY: "ec2:DescribeRouteTables",
    HopKind.NAT: "ec2:DescribeNatGateways",
    HopKind.PRIVATE_DNS: "ec2:DescribeVpcEndpoints",
    HopKind.VPC_DNS: "ec2:DescribeVpcAttribute",
    HopKind.ENDPOINT: "ec2:DescribeVpcEndpoints",
    HopKind.FUNCTION_GROUP: "ec2:DescribeSecurityGroups",
    HopKind.ENDPOINT_GROUP: "ec2:DescribeSecurityGroups",
    HopKind.DATABASE_GROUP: "ec2:DescribeSecurityGroups",
    HopKind.ACL: "ec2:DescribeNetworkAcls",
    HopKind.SUBNET: "ec2:DescribeSubnets",
}
VPC_ACCESS = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
"""AWS's policy that lets a function's role make network interfaces."""
_FIRST_LINE = "Found credentials in environment variables."
_WAITED = re.compile(r"timed out|[Tt]imeout|No route to host|Network is unreachable|HostUnreachable")
READS = ("lambda:GetFunctionConfiguration", "ec2:DescribeSubnets")
"""What everything that is said of a function's network rests on."""
AGREES = ("logs:FilterLogEvents", "cloudtrail:LookupEvents")
"""What agrees with it: a step that hung."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """A hop that blocks.

    Attributes:
        hop: The hop.
        subnet_ids: The subnets from which it lies on the way.
        is_some: There are others, from which it does not: rotation fails now and then.
    """

    hop: Hop
    subnet_ids: tuple[str, ...]
    is_some: bool

    @property
    def only(self) -> str:
        """For a title: from which subnets, if it is not from all."""
        if not self.is_some:
            return ""
        return f", but only from {', '.join(self.subnet_ids)}: it fails whenever the function runs there"


def attached(case: Case) -> Network:
    """Return the network of a function that is in a VPC.

    Raises:
        Skip: It is in none, or there is none.
        Unseen: That may not be looked at.
    """
    if not case.function_arn:
        raise Skip("there is no function")
    network = case.network
    if not network.is_attached:
        raise Skip("the function is in no VPC")
    return network


def calling_aws(case: Case) -> Network:
    """Return the same, of a function that calls AWS.

    Raises:
        Skip: It calls something else, or is in no VPC.
        Unseen: That may not be looked at.
    """
    network = attached(case)
    if not network.calls_aws:
        raise Skip(f"the function calls {network.called_host}, not AWS")
    network.look("subnets", "endpoints", "route_tables", "gateways")
    return network


def with_database(case: Case) -> Network:
    """Return the network of a function whose database RDS knows, or whose host is an address.

    Raises:
        Skip: Its address is not known, RDS has no such database, or nothing that EC2 knows of lies between.
        Unseen: That may not be looked at.
    """
    if not case.function_arn:
        raise Skip("there is no function")
    if case.database is None:
        raise Unasked(case.options.unknown_address)
    network, host = case.network, case.database.address.host
    if case.database.ip is not None and not network.is_attached:
        raise Skip(f"the function is in no VPC, and {host} is no database of RDS")
    if network.place is None and case.database.ip is None:
        tells = case.options.told(": --db-host ADDRESS:PORT tells one")
        raise Skip(f"{host} is no database of this account's RDS, and no address{tells}")
    network.look("subnets", "groups")
    return network


def routed_to_database(case: Case) -> Network:
    """Return the same, where routes lead there: groups of two VPCs between which there are none cannot name each other.

    Raises:
        Skip: As :func:`with_database`, or no route leads there.
        Unseen: Likewise.
    """
    network = with_database(case)
    routes = [hop for hops in network.ways_to_database.values() for hop in hops if hop.kind is HopKind.ROUTE]
    if network.database_vpc is not None and any(hop.passage is Passage.BLOCKS for hop in routes):
        raise Skip("the function is in another VPC, from which no route leads to the database")
    return network


def blocked(network: Network, ways: Ways, *kinds: HopKind) -> list[Blocked]:
    """Return the hops of some kinds that block, each once.

    Raises:
        Skip: None does, and of one it is not known.
        Unseen: It is not known because it may not be looked at.
    """
    found: list[Blocked] = []
    unknown: list[Hop] = []
    for subnet_id, hops in ways.items():
        for hop in hops:
            if hop.kind not in kinds:
                continue
            if hop.passage is Passage.UNKNOWN:
                unknown.append(hop)
            if hop.passage is Passage.BLOCKS:
                _enter(found, hop, subnet_id)
    if unknown and not found:
        network.look("prefix_lists")
        raise Skip(f"{unknown[0].at} {unknown[0].why}")
    return [Blocked(each.hop, each.subnet_ids, is_some=len(each.subnet_ids) < len(ways)) for each in found]


def _enter(found: list[Blocked], hop: Hop, subnet_id: str) -> None:
    for position, other in enumerate(found):
        if (other.hop.kind, other.hop.at, other.hop.lacks) == (hop.kind, hop.at, hop.lacks):
            if subnet_id not in other.subnet_ids:
                found[position] = Blocked(other.hop, (*other.subnet_ids, subnet_id), other.is_some)
            return
    found.append(Blocked(hop, (subnet_id,), is_some=False))


def shown(network: Network, blocking: Blocked) -> Evidence:
    """Return what shows that a hop blocks: the rule, or those among which there is none."""
    hop = blocking.hop
    source = _SOURCES[hop.kind]
    rule = hop.rule or {}
    if hop.kind is HopKind.NAT and "DestinationCidrBlock" in rule:
        source = "ec2:DescribeRouteTables"
    excerpt: object = {name: value for name, value in rule.items() if isinstance(value, str | int | bool)}
    if source == "ec2:DescribeSecurityGroups":
        member = "IpPermissionsEgress" if hop.kind is HopKind.FUNCTION_GROUP else "IpPermissions"
        own = [each for each in network.picture.groups or () if str(each.get("GroupId")) in hop.at]
        excerpt = {member: [rule for group in own for rule in told(group.get(member) or ())]}
    elif not rule:
        excerpt = f"{hop.at} {hop.why}"
    return Evidence(source, hop.at, excerpt)


def hung(case: Case) -> tuple[Evidence, ...]:
    """Return what agrees with a way that is blocked: the step that failed, and how the newest failed run waited."""
    found: list[Evidence] = []
    if case.failures_if_seen:
        last = case.failures_if_seen[-1]
        found.append(last.evidence())
    try:
        newest = case.failed_runs[-1:]
    except Unseen:
        newest = ()
    for run in newest:
        first = next((line for line in run.lines if _FIRST_LINE in line.text), None)
        ended = next((line for line in reversed(run.lines) if _WAITED.search(line.text)), None)
        told = (first if run.timed_out_after is not None else None, ended)
        found += [Evidence("logs:FilterLogEvents", case.log_group, each.text, each.at) for each in told if each]
    return (*found, *(each for each in _naming_database(case) if each not in found))


def _naming_database(case: Case) -> tuple[Evidence, ...]:
    """Return the line that names the database's address, where it is known by that alone."""
    told = case.told_address if case.failed_step in ON_DATABASE else None
    return () if told is None else (Evidence("logs:FilterLogEvents", case.log_group, told.line.text, told.line.at),)


ON_DATABASE = ("setSecret", "testSecret")
"""The steps that log in."""


def secrets_manager_step(case: Case) -> str:
    """The step that a blocked way to Secrets Manager stops: the first, unless another one failed."""
    return case.failed_step or "createSecret"


def database_step(case: Case) -> str:
    """The step that a blocked way to the database stops: the first that logs in, unless the one behind it failed."""
    return "testSecret" if case.failed_step == "testSecret" else "setSecret"


def or_port(network: Network, text: str) -> str:
    """Return a remedy that opens the way to the database's port, with a question where another one's is open."""
    if network.open_port is None:
        return text
    return f"{text} Or is the port in the value wrong? All that is on the way lets port {network.open_port} pass."


def good_subnets(network: Network, vpc_id: str) -> tuple[str, ...]:
    """Return the subnets of a VPC that lead out through a NAT gateway: the function's own, if any of them does."""
    of_vpc = [str(each["SubnetId"]) for each in network.picture.subnets or () if each.get("VpcId") == vpc_id]
    leading = [each for each in of_vpc if passage_of(routed_to_internet(network.picture, each)) is Passage.PASSES]
    used = [each for each in leading if each in network.subnet_ids]
    return tuple(used or leading)


def move(case: Case, subnet_ids: tuple[str, ...], group_ids: tuple[str, ...]) -> Change:
    """Return the call that puts the function into subnets."""
    return Change(
        "lambda",
        "UpdateFunctionConfiguration",
        {
            "FunctionName": case.function_id,
            "VpcConfig": {"SubnetIds": list(subnet_ids), "SecurityGroupIds": list(group_ids)},
        },
    )


FUNCTION_GROUP = "$FUNCTION_GROUP"
"""The variable of printed commands that holds a security group which they make."""


def make_endpoint(network: Network) -> tuple[str, ...]:
    """Return the commands that make an endpoint for the function where it is, with a security group of its own."""
    vpc_id = network.vpc.vpc_id if network.vpc is not None else "VPC"
    return endpoint_in(network, vpc_id, network.subnet_ids, network.group_ids[0])


def endpoint_in(network: Network, vpc_id: str, subnet_ids: tuple[str, ...], group_id: str) -> tuple[str, ...]:
    """Return the commands that make an endpoint in subnets, for who has a security group."""
    group, commands = made_group(network, vpc_id, ENDPOINT_GROUP_NAME, _ENDPOINT_GROUP)
    if not _is_let_in(network, group, group_id):
        source = group_id if group_id == FUNCTION_GROUP else quote(group_id)
        admitting = f"aws ec2 authorize-security-group-ingress --group-id {group} --protocol tcp --port 443"
        commands = (*commands, f"{admitting} --source-group {source}")
    return (
        *_names_on(network, vpc_id),
        *commands,
        (
            f"aws ec2 create-vpc-endpoint --vpc-id {quote(vpc_id)} --vpc-endpoint-type Interface"
            f" --service-name com.amazonaws.{quote(network.region)}.secretsmanager"
            f" --subnet-ids {' '.join(map(quote, subnet_ids))}"
            f" --security-group-ids {group} --private-dns-enabled"
        ),
    )


def _names_on(network: Network, vpc_id: str) -> tuple[str, ...]:
    """Return the commands that turn on what an endpoint's private DNS needs, as far as it is known to be off."""
    if network.vpc is None or network.vpc.vpc_id != vpc_id:
        return ()
    off = [name for name in DNS_ATTRIBUTES if network.picture.dns.get(name) is False]
    return tuple(command(turn_on(vpc_id, name)) for name in off)


def turn_on(vpc_id: str, attribute: str) -> Change:
    """Return the call that turns on an attribute of a VPC: ``enableDnsHostnames``."""
    member = f"{attribute[:1].upper()}{attribute[1:]}"
    return Change("ec2", "ModifyVpcAttribute", {"VpcId": vpc_id, member: {"Value": True}})


_ENDPOINT_GROUP = "$ENDPOINT_GROUP"


def made_group(network: Network, vpc_id: str, name: str, variable: str) -> tuple[str, tuple[str, ...]]:
    """Return a security group, as commands name it, and what makes it; one that has the name already is taken."""
    found = network.group_to_be(vpc_id, name)
    if found is not None:
        return quote(str(found["GroupId"])), ()
    return variable, (
        (
            f"{variable[1:]}=$(aws ec2 create-security-group --vpc-id {quote(vpc_id)} --group-name {quote(name)}"
            f" --description {quote(name)} --query GroupId --output text)"
        ),
    )


def _is_let_in(network: Network, group_id: str, source_group_id: str) -> bool:
    """Whether the group for an endpoint, which was there already, lets the function's in: EC2 refuses a rule twice."""
    known = entries_in(network.groups_to_be, "SecurityGroups") or ()
    source = Side((), frozenset([source_group_id]))
    let_in = groups.let_in(HopKind.ENDPOINT_GROUP, [group_id], known, source, HTTPS, {})
    return let_in.passage is Passage.PASSES


def ways_to_mend(network: Network) -> Ways:
    """Return the ways to Secrets Manager that security groups and network ACLs have to let pass.

    Where an endpoint is the way out, these are the ways to that one, in the function's subnets: what keeps its packets
    from the internet does no harm then.
    """
    ways = network.ways_to_secrets_manager
    if network.vpc is None or not any(needs_endpoint(network, hop) for hops in ways.values() for hop in hops):
        return ways
    picture, subnet_ids = network.picture, network.subnet_ids
    to_be = Server(
        network.vpc.vpc_id, subnet_ids, None, HopKind.ENDPOINT_GROUP, f"an endpoint in {', '.join(subnet_ids)}"
    )
    return {each: within_vpc(picture, Origin(each, network.group_ids), to_be, HTTPS) for each in subnet_ids}


def needs_endpoint(network: Network, hop: Hop) -> bool:
    """Whether an endpoint is the way out where a hop blocks the one to the internet."""
    if hop.passage is not Passage.BLOCKS or through_nat(network, network.subnet_ids) is not None:
        return False
    if hop.kind is HopKind.INTERNET_GATEWAY:
        return not good_subnets(network, network.vpc.vpc_id if network.vpc is not None else "")
    return hop.kind is HopKind.ROUTE
