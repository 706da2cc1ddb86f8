"""What filters the function's packets: its own security group, and the network ACLs of the subnets on the way."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from shlex import quote

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
    routed_to_database,
    secrets_manager_step,
    shown,
    with_database,
)
from keyturn.rules.network.hops import Hop, HopKind, Passage

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
    for each in blocked(network, network.ways_to_secrets_manager, HopKind.FUNCTION_GROUP):
        endpoint = network.endpoint if "endpoint" in each.hop.why else None
        target = str(((endpoint or {}).get("Groups") or [{}])[0].get("GroupId", ""))
        yield Finding(
            EGRESS,
            f"{each.hop.at} of {case.function_name} does not let it out to Secrets Manager on port 443{each.only}",
            (shown(network, each), *hung(case)),
            _let_out(network, 443, target),
            step=secrets_manager_step(case),
        )


def _egress_to_database(case: Case) -> Iterator[Finding]:
    network = routed_to_database(case)
    place, database = network.place, network.database
    if database is None:
        return
    port = database.address.port
    for each in blocked(network, network.ways_to_database, HopKind.FUNCTION_GROUP):
        yield Finding(
            EGRESS,
            f"{each.hop.at} of {case.function_name} does not let it out to {database.name} on port {port}{each.only}",
            (shown(network, each), *hung(case)),
            _let_out(network, port, place.group_ids[0] if place and place.group_ids else "", database.ip),
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


_ACLS = "the answers come back to ephemeral ports (1024-65535) by a rule of their own, for network ACLs keep no state"

ACL_HTTPS = Cause(
    id="nacl-blocks-https",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="A network ACL blocks HTTPS between the function and Secrets Manager",
    symptoms=TIMED_OUT,
    evidence=(*READS, "ec2:DescribeNetworkAcls", "ec2:DescribeVpcEndpoints", "ec2:DescribeRouteTables", *AGREES),
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
    ways = network.ways_to_secrets_manager
    yield from _by_acl(ACL_HTTPS, case, network, ways, "Secrets Manager", secrets_manager_step(case))


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
    yield from _by_acl(ACL_DATABASE, case, network, network.ways_to_database, name, database_step(case))


def _by_acl(cause: Cause, case: Case, network: Network, ways: Ways, target: str, step: str) -> Iterator[Finding]:
    found = blocked(network, ways, HopKind.ACL) if _blocks(ways) else []
    for acl_id in dict.fromkeys(each.hop.at for each in found):
        blocking = [each for each in found if each.hop.at == acl_id]
        what = "; ".join(dict.fromkeys(each.hop.why for each in blocking))
        yield Finding(
            cause,
            f"{acl_id} stands between {case.function_name} and {target}: it {what}{_only(blocking)}",
            (*(shown(network, each) for each in blocking), *hung(case)),
            _entries(network, acl_id, [each.hop for each in blocking]),
            step=step,
        )
    if found:
        return
    partial = _partial(ways)
    for hop in partial[:1]:
        yield Finding(
            cause,
            f"{hop.at} {hop.why}",
            (Evidence("ec2:DescribeNetworkAcls", hop.at, dict(hop.rule or {})),),
            _entries(network, hop.at, [each for each in partial if each.at == hop.at]),
            role=Role.RISK,
            confidence=Confidence.POSSIBLE,
        )
    if not partial:
        # What is not known is said.
        blocked(network, ways, HopKind.ACL)


def _blocks(ways: Ways) -> bool:
    return any(hop.kind is HopKind.ACL and hop.passage is Passage.BLOCKS for hops in ways.values() for hop in hops)


def _partial(ways: Ways) -> list[Hop]:
    """Return the ACLs that let only a part of the packets pass."""
    found: list[Hop] = []
    for hops in ways.values():
        found += [hop for hop in hops if hop.kind is HopKind.ACL and hop.lacks and hop not in found]
    return [hop for hop in found if hop.passage is Passage.UNKNOWN]


def _only(blocking: list[Blocked]) -> str:
    return "" if any(not each.is_some for each in blocking) else blocking[0].only


def _entries(network: Network, acl_id: str, hops: list[Hop]) -> Remedy:
    """Return the entries that let packets pass, with numbers that are free and below those that refuse them."""
    acl = next((each for each in network.picture.acls or () if each.get("NetworkAclId") == acl_id), {})
    used = {(bool(each.get("Egress")), int(each["RuleNumber"])) for each in acl.get("Entries") or ()}
    changes = []
    for hop in hops:
        lacks = hop.lacks or {}
        is_egress = bool(lacks["Egress"])
        below = min(int((hop.rule or {}).get("RuleNumber", 32767)), 100)
        free = (*range(below - 10, 0, -10), *range(below - 1, 0, -1))
        number = next((each for each in free if (is_egress, each) not in used), 1)
        used.add((is_egress, number))
        parameters = {"NetworkAclId": acl_id, "RuleNumber": number, "Protocol": "6", "RuleAction": "allow", **lacks}
        changes.append(Change("ec2", "CreateNetworkAclEntry", parameters))
    return Remedy("Let the packets and their answers pass, by rules before those that refuse them.", tuple(changes))
