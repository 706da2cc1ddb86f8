"""What filters the function's packets: its own security group, and the network ACLs of the subnets on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from shlex import quote

from keyturn.doctor.acl_entries import Entry, entry_of, lacking, numbered
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import Skip, check
from keyturn.doctor.facts import Unseen
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Role, Section, Topic
from keyturn.doctor.network import Network
from keyturn.doctor.ways import (
    AGREES,
    READS,
    Blocked,
    Ways,
    attached,
    blocked,
    calling_aws,
    database_step,
    hung,
    or_port,
    routed_to_database,
    secrets_manager_step,
    shown,
    ways_to_mend,
    with_database,
)
from keyturn.rules.network.hops import Hop, HopKind, Passage
from keyturn.rules.network.traffic import EPHEMERAL

from .network import TIMED_OUT, UNREACHED
from .network_database import LOGIN_FAILED, OUTRANKED, PLACES

EGRESS = Cause(
    id="function-sg-blocks-egress",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The function's security group does not let it out",
    symptoms=(*TIMED_OUT, *LOGIN_FAILED),
    evidence=(
        *READS,
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeVpcEndpoints",
        "ec2:DescribeNetworkInterfaces",
        *AGREES,
    ),
    decision="No egress rule of the function's security groups covers tcp 443 to the endpoint or the internet, or the"
    " database's port to the database.",
    remedy="Let the function's group out: to the endpoint's or the database's group.",
    fix=Fix.WIDENS,
    outranks=(*OUTRANKED, UNREACHED),
)


@check(EGRESS)
def function_sg_blocks_egress(case: Case) -> Iterator[Finding]:
    """Look for egress rules to Secrets Manager, and to the database if its address is known."""
    attached(case)
    found: list[Finding] = []
    unseen: Unseen | None = None
    skipped: list[Skip] = []
    for part in (_egress_to_secrets_manager, _egress_to_database):
        try:
            found += part(case)
        except Unseen as error:
            unseen = error
        except Skip as skip:
            skipped.append(skip)
    # One way that is closed stands, whatever is known of the other; one that is open says nothing of it.
    yield from found
    if not found and unseen is not None:
        raise unseen
    if not found and len(skipped) > 1:
        raise skipped[0]


def _egress_to_secrets_manager(case: Case) -> Iterator[Finding]:
    network = calling_aws(case)
    network.look("groups")
    ways = ways_to_mend(network)
    is_to_be = ways is not network.ways_to_secrets_manager
    for each in blocked(network, ways, HopKind.FUNCTION_GROUP):
        endpoint = network.endpoint if "endpoint" in each.hop.why else None
        target = str(((endpoint or {}).get("Groups") or [{}])[0].get("GroupId", ""))
        yield Finding(
            EGRESS,
            f"{each.hop.at} of {case.function_name} does not let it out to Secrets Manager on port 443{each.only}",
            (shown(network, each), *hung(case)),
            _let_out_to_endpoint(network) if is_to_be else _let_out(network, 443, target),
            step=secrets_manager_step(case),
        )


def _let_out_to_endpoint(network: Network) -> Remedy:
    """Return how the function gets to an endpoint that is to be made in its own subnets."""
    group_id, blocks = network.group_ids[0], sorted(map(str, network.picture.networks(*network.subnet_ids)))
    ranges = [{"CidrIp": each} for each in blocks]
    permission = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": ranges}
    change = Change("ec2", "AuthorizeSecurityGroupEgress", {"GroupId": group_id, "IpPermissions": [permission]})
    return Remedy(f"Let {group_id} out to its subnets, where the endpoint is to be, on port 443.", (change,))


def _egress_to_database(case: Case) -> Iterator[Finding]:
    network = routed_to_database(case)
    place, database = network.place, network.database
    if database is None:
        return
    port = database.address.port
    for each in blocked(network, network.ways_to_database, HopKind.FUNCTION_GROUP):
        remedy = _let_out(network, port, place.group_ids[0] if place and place.group_ids else "", database.ip)
        yield Finding(
            EGRESS,
            f"{each.hop.at} of {case.function_name} does not let it out to {database.name} on port {port}{each.only}",
            (shown(network, each), *hung(case)),
            replace(remedy, text=or_port(network, remedy.text)),
            step=database_step(case),
        )


def _let_out(network: Network, port: int, target_group_id: str, ip: IPv4Address | None = None) -> Remedy:
    group_id = network.group_ids[0]
    if not target_group_id and ip is not None:
        ranges = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": f"{ip}/32"}]}
        change = Change("ec2", "AuthorizeSecurityGroupEgress", {"GroupId": group_id, "IpPermissions": [ranges]})
        return Remedy(f"Let {group_id} out to {ip} on port {port}.", (change,))
    if not target_group_id:
        return Remedy(
            f"Let {group_id} out on port {port}; where Secrets Manager's addresses are is AWS's affair.",
            by_hand=(
                (
                    f"aws ec2 authorize-security-group-egress --group-id {quote(group_id)} --ip-permissions"
                    f" IpProtocol=tcp,FromPort={port},ToPort={port},IpRanges='[{{CidrIp=0.0.0.0/0}}]'"
                ),
            ),
        )
    pair = {"GroupId": target_group_id}
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}
    change = Change("ec2", "AuthorizeSecurityGroupEgress", {"GroupId": group_id, "IpPermissions": [permission]})
    return Remedy(f"Let {group_id} out to the group {target_group_id} on port {port}.", (change,))


_ACLS = (
    "the answers come back to ephemeral ports (1024-65535) by a rule of their own, for network ACLs keep no state."
    " Where they come back to a part of these, it depends on the port that a connection takes: on AWS a risk, and"
    " possible as a cause once an attempt has timed out. On Keyturn, whose functions take 32768-60999, a part of those"
    " is as good as none. Where they admit a part of the function's subnet, the address of its network interface"
    " decides; a risk where that is not known"
)

ACL_HTTPS = Cause(
    id="nacl-blocks-https",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="A network ACL blocks HTTPS between the function and Secrets Manager",
    symptoms=TIMED_OUT,
    evidence=(
        *READS,
        "ec2:DescribeNetworkAcls",
        "ec2:DescribeVpcEndpoints",
        "ec2:DescribeRouteTables",
        "ec2:DescribeNetworkInterfaces",
        *AGREES,
    ),
    decision="The lowest-numbered rule that fits denies tcp 443 out of the function's subnet or into the endpoint's, or"
    f" the answers the other way: {_ACLS}.",
    remedy="Add rules with lower numbers to the network ACL, in both directions.",
    fix=Fix.PRINTED,
    outranks=(UNREACHED,),
)


@check(ACL_HTTPS)
def nacl_blocks_https(case: Case) -> Iterator[Finding]:
    """Look at the network ACLs between the function and Secrets Manager."""
    network = calling_aws(case)
    network.look("acls")
    ways = ways_to_mend(network)
    acls = network.picture.acls or ()
    step, entries = secrets_manager_step(case), numbered(acls, lacking(ways))
    place_ids = tuple((network.endpoint or {}).get("SubnetIds") or ())
    way = _Way(ACL_HTTPS, "Secrets Manager", step, ways, entries, "endpoint's", place_ids)
    yield from _by_acl(way, case, network)


ACL_DATABASE = Cause(
    id="nacl-blocks-database",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="A network ACL blocks the database's port between the function and the database",
    symptoms=LOGIN_FAILED,
    evidence=(*READS, "ec2:DescribeNetworkAcls", *PLACES, *AGREES),
    decision="The lowest-numbered rule that fits denies the database's port out of the function's subnet or into the"
    f" database's, or the answers the other way: {_ACLS}. Asked only if the database's address is known.",
    remedy="Add rules with lower numbers to the network ACL, in both directions.",
    fix=Fix.PRINTED,
    outranks=OUTRANKED,
)


@check(ACL_DATABASE)
def nacl_blocks_database(case: Case) -> Iterator[Finding]:
    """Look at the network ACLs between the function and the database."""
    network = with_database(case)
    network.look("acls")
    name = "the database" if network.database is None else network.database.name
    ways, acls, told = network.ways_to_database, network.picture.acls or (), _told_of_https(case)
    entries = numbered(acls, [*told, *lacking(ways)])
    for each in numbered(acls, told):
        del entries[each]
    place_ids = () if network.place is None else network.place.subnet_ids
    way = _Way(ACL_DATABASE, name, database_step(case), ways, entries, "database's", place_ids)
    yield from _by_acl(way, case, network)


def _told_of_https(case: Case) -> list[Hop]:
    """Return the network ACLs that lack what is printed for the way to Secrets Manager."""
    try:
        network = calling_aws(case)
        network.look("acls")
    except (Skip, Unseen):
        return []
    return lacking(ways_to_mend(network))


@dataclass(frozen=True, slots=True)
class _Way:
    """A way that network ACLs are on.

    Attributes:
        cause: What it is if one of them blocks.
        target: Where it leads.
        step: That is stopped.
        ways: By the function's subnets.
        entries: What the ACLs lack, without what is printed for another cause.
        place: Whose subnets are at its end.
        place_ids: Those subnets.
    """

    cause: Cause
    target: str
    step: str
    ways: Ways
    entries: Mapping[Entry, tuple[Change, ...]]
    place: str
    place_ids: tuple[str, ...]


def _by_acl(way: _Way, case: Case, network: Network) -> Iterator[Finding]:
    lacks = lacking(way.ways)
    # Where nothing lacks, what is not known is said.
    found = blocked(network, way.ways, HopKind.ACL) if _blocks(lacks) or not lacks else []
    for acl_id in dict.fromkeys(hop.at for hop in lacks):
        blocking = [each for each in found if each.hop.at == acl_id]
        remedy = _entered(way, [hop for hop in lacks if hop.at == acl_id])
        if way.cause is ACL_DATABASE:
            remedy = replace(remedy, text=or_port(network, remedy.text))
        # On AWS it depends on the port that a connection takes.
        if any(not each.hop.is_partial for each in blocking) or (blocking and case.endpoint is not None):
            what = "; ".join(dict.fromkeys(f"{each.hop.why} ({_direction(each.hop)})" for each in blocking))
            named = f"{acl_id}{_whose(way, network, acl_id)}"
            yield Finding(
                way.cause,
                f"{named} stands between {case.function_name} and {way.target}: it {what}{_only(blocking)}",
                (*(shown(network, each) for each in blocking), *hung(case)),
                remedy,
                step=way.step,
            )
        else:
            yield _in_part(way, case, next(hop for hop in lacks if hop.at == acl_id), remedy)


def _direction(hop: Hop) -> str:
    """Return which packets an ACL refuses, as they cross it."""
    lacks = entry_of(hop)
    return f"{'answers' if lacks.ports == EPHEMERAL else 'packets'} {'out' if lacks.is_egress else 'in'}"


def _whose(way: _Way, network: Network, acl_id: str) -> str:
    """Return of whose subnet an ACL is, in words; empty where it is another one, as a NAT gateway's."""
    acls = [each for each in network.picture.acls or () if each.get("NetworkAclId") == acl_id]
    ids = {str(each.get("SubnetId")) for acl in acls for each in acl.get("Associations") or ()}
    owners = [name for name, subnets in (("function's", way.ways), (way.place, way.place_ids)) if ids & {*subnets}]
    return f" of the {' and the '.join(owners)} subnet{'s' if len(owners) > 1 else ''}" if owners else ""


def _blocks(hops: list[Hop]) -> bool:
    return any(hop.passage is Passage.BLOCKS for hop in hops)


def _in_part(way: _Way, case: Case, hop: Hop, remedy: Remedy) -> Finding:
    """Return what is said of an ACL that lets a part of the packets pass: a cause only where one was lost."""
    part = "" if hop.passage is not Passage.PASSES else f", and answers to the others of {EPHEMERAL} are lost"
    seen = (Evidence("ec2:DescribeNetworkAcls", hop.at, dict(hop.rule or {})),)
    lost = hung(case) if case.endpoint is None and _timed_out(case) else ()
    # What Keyturn's own functions never meet is told for those who take the network to AWS.
    role = Role.CAUSE if lost else Role.NOTE if case.endpoint is not None and part else Role.RISK
    return Finding(
        way.cause,
        f"{hop.at} {hop.why}{part}: between {case.function_name} and {way.target} connections may fail now and then",
        (*seen, *lost),
        remedy,
        role=role,
        confidence=Confidence.POSSIBLE,
        step=way.step if lost else None,
    )


def _timed_out(case: Case) -> bool:
    """Whether an attempt is known to have waited in vain."""
    try:
        return any(run.timed_out_after is not None for run in case.failed_runs)
    except Unseen:
        return False


def _only(blocking: list[Blocked]) -> str:
    return "" if any(not each.is_some for each in blocking) else blocking[0].only


def _entered(way: _Way, hops: list[Hop]) -> Remedy:
    """Return the entries that let packets and answers pass."""
    wanted = [entry_of(hop) for hop in hops]
    entries = [each for each in way.entries if each in wanted]
    calls = [way.entries[each] for each in entries]
    text = "Let the packets and their answers pass, by rules before those that refuse them."
    if any(not any(each.covers(entry) for each in entries) for entry in wanted):
        text += f" It takes the rules that are printed for {ACL_HTTPS.id}, too."
    if any(len(each) > 1 for each in calls):
        text += " No number is free below: what refuses them gets a higher one, and they its place."
    if () in calls:
        text += f" Give the first rules of {hops[0].at} higher numbers: there is none left between them."
    return Remedy(text, tuple(change for each in calls for change in each))
