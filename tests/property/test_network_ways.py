"""The ways of packets: held to deciding packet by packet, and to what adding a rule or hiding one may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.contract.doctor.world import NOW, SECRET, World
from tests.contract.test_every_check import BREAKERS

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.rules.network.acls import judged
from keyturn.rules.network.groups import let_in
from keyturn.rules.network.hops import HopKind, Passage, passage_of
from keyturn.rules.network.picture import Picture
from keyturn.rules.network.routes import legs_to
from keyturn.rules.network.traffic import Ports, Side, networks_of
from keyturn.rules.network.ways import Origin, to_secrets_manager

Json = dict[str, Any]
ORDER = [Passage.BLOCKS, Passage.UNKNOWN, Passage.PASSES]

# Small enough that every address can be tried.
blocks = st.builds(
    lambda start, bits: f"10.0.0.{start & ~((1 << (32 - bits)) - 1)}/{bits}", st.integers(0, 31), st.integers(27, 32)
)
wide = st.one_of(blocks, st.just("0.0.0.0/0"))
ports = st.tuples(st.sampled_from([0, 22, 443, 1024, 5432]), st.sampled_from([0, 443, 5432, 40000, 65535])).map(
    lambda pair: {"From": min(pair), "To": max(pair)}
)


def entry(number: int, action: str, block: str, protocol: str, ranged: Json) -> Json:
    found: Json = {
        "RuleNumber": number,
        "RuleAction": action,
        "CidrBlock": block,
        "Protocol": protocol,
        "Egress": True,
    }
    return {**found, "PortRange": ranged} if protocol != "-1" else found


entries = st.lists(
    st.builds(
        entry,
        st.integers(1, 32766),
        st.sampled_from(["allow", "deny"]),
        wide,
        st.sampled_from(["-1", "6", "6", "17"]),
        ports,
    ),
    max_size=6,
    unique_by=lambda each: each["RuleNumber"],
)
wanted_ports = st.sampled_from([Ports(443, 443), Ports(5432, 5432), Ports(1024, 65535)])


def is_let_pass(acl: Sequence[Json], address: str, port: int) -> bool:
    """The rule of network ACLs for one packet, as the guide has it."""
    for each in sorted(acl, key=lambda rule: rule["RuleNumber"]):
        ranged = each.get("PortRange", {"From": 0, "To": 65535})
        fits = each["Protocol"] in ("-1", "6") and ranged["From"] <= port <= ranged["To"]
        if fits and ip_address(address) in ip_network(each["CidrBlock"]):
            return bool(each["RuleAction"] == "allow")
    return False


@given(entries, blocks, wanted_ports)
def test_a_network_acl_is_judged_as_packet_by_packet(acl: list[Json], block: str, wanted: Ports) -> None:
    borders = {wanted.first, wanted.last}
    for each in acl:
        ranged = each.get("PortRange", {"From": 0, "To": 65535})
        borders |= {ranged["From"] - 1, ranged["From"], ranged["To"], ranged["To"] + 1}
    tried = [port for port in borders if wanted.first <= port <= wanted.last]
    by_address = {each: {is_let_pass(acl, str(each), port) for port in tried} for each in ip_network(block)}
    answers = set().union(*by_address.values())

    found = judged({"Entries": acl}, networks_of([block]), wanted, is_egress=True)

    assert (found.passed is not None, found.refused is not None) == (True in answers, False in answers)
    reached = {address for address in by_address if any(address in network for network in found.reached)}
    assert reached == {address for address, answer in by_address.items() if answer == {True}}


@given(entries, blocks, wanted_ports, st.data())
def test_a_rule_that_allows_takes_nothing_from_what_passes(
    acl: list[Json], block: str, wanted: Ports, data: st.DataObject
) -> None:
    free = st.integers(1, 32766).filter(lambda number: number not in {each["RuleNumber"] for each in acl})
    more = entry(data.draw(free), "allow", data.draw(wide), "6", data.draw(ports))
    networks = networks_of([block])

    before = judged({"Entries": acl}, networks, wanted, is_egress=True)
    after = judged({"Entries": [*acl, more]}, networks, wanted, is_egress=True)

    assert not (before.refused is None and after.refused is not None)
    assert not (before.passed is not None and after.passed is None)


permissions = st.builds(
    lambda protocol, ranged, listed, groups, named: {
        "IpProtocol": protocol,
        **({"FromPort": ranged["From"], "ToPort": ranged["To"]} if protocol != "-1" else {}),
        "IpRanges": [{"CidrIp": each} for each in listed],
        "UserIdGroupPairs": [{"GroupId": each} for each in groups],
        "PrefixListIds": [{"PrefixListId": each} for each in named],
    },
    st.sampled_from(["-1", "tcp", "udp"]),
    ports,
    st.lists(wide, max_size=3),
    st.lists(st.sampled_from(["sg-mine", "sg-other"]), max_size=2),
    st.lists(st.sampled_from(["pl-known", "pl-hidden"]), max_size=1),
)
LISTS = {"pl-known": networks_of(["10.0.0.0/29"]), "pl-hidden": None}


def entered(rules: Sequence[Json], block: str) -> Passage:
    peer = Side(networks_of([block]), frozenset({"sg-mine"}))
    groups = [{"GroupId": "sg-1", "IpPermissions": list(rules)}]
    return let_in(HopKind.DATABASE_GROUP, ["sg-1"], groups, peer, Ports(5432, 5432), LISTS).passage


@given(st.lists(permissions, max_size=4), blocks)
def test_a_security_group_is_judged_as_address_by_address(rules: list[Json], block: str) -> None:
    fitting = [
        rule
        for rule in rules
        if rule["IpProtocol"] == "-1" or (rule["IpProtocol"] == "tcp" and rule["FromPort"] <= 5432 <= rule["ToPort"])
    ]
    is_hidden = any({"PrefixListId": "pl-hidden"} in rule["PrefixListIds"] for rule in fitting)
    is_named = any({"GroupId": "sg-mine"} in rule["UserIdGroupPairs"] for rule in fitting)
    open_to = [ip_network(each["CidrIp"]) for rule in fitting for each in rule["IpRanges"]]
    open_to += [ip_network("10.0.0.0/29") for rule in fitting if {"PrefixListId": "pl-known"} in rule["PrefixListIds"]]
    answers = {any(address in network for network in open_to) for address in ip_network(block)}

    expected = Passage.UNKNOWN if len(answers) > 1 or is_hidden else Passage.BLOCKS
    if is_named or answers == {True}:
        expected = Passage.PASSES
    assert entered(rules, block) is expected


@given(st.lists(permissions, max_size=4), permissions, blocks)
def test_one_more_rule_of_a_security_group_never_blocks(rules: list[Json], more: Json, block: str) -> None:
    assert ORDER.index(entered([*rules, more], block)) >= ORDER.index(entered(rules, block))


routes = st.lists(
    st.builds(lambda block, target: {"DestinationCidrBlock": block, "GatewayId": target}, wide, st.sampled_from("abc")),
    max_size=6,
    unique_by=lambda route: route["DestinationCidrBlock"],
)


@given(routes, blocks)
def test_the_most_specific_route_decides_for_every_address(table: list[Json], block: str) -> None:
    legs, is_all_known = legs_to({"Routes": table}, networks_of([block]), {})

    assert is_all_known
    for address in ip_network(block):
        fitting = [route for route in table if address in ip_network(route["DestinationCidrBlock"])]
        best = max(fitting, key=lambda route: ip_network(route["DestinationCidrBlock"]).prefixlen, default=None)
        assert [leg.route for leg in legs if any(address in network for network in leg.networks)] == [best]


PARTS = ("subnets", "route_tables", "acls", "groups", "endpoints", "nat_gateways", "instances")
IN_VPC = sorted(
    cause_id for cause_id in BREAKERS if cause_id.startswith(("network-", "endpoint-", "nacl-", "vpc-", "function-sg-"))
)


def seen(cause_id: str) -> tuple[Picture, list[Origin]]:
    world = World()
    BREAKERS[cause_id](world)
    network = collect(Facts(world.ask), SECRET, NOW, world.options).network
    return network.picture, [Origin(subnet_id, network.group_ids) for subnet_id in network.subnet_ids]


SEEN = {cause_id: seen(cause_id) for cause_id in IN_VPC}


@given(st.sampled_from(IN_VPC), st.sets(st.sampled_from(PARTS), min_size=1))
def test_what_is_hidden_is_unknown_and_never_open_nor_closed(cause_id: str, hidden: set[str]) -> None:
    picture, origins = SEEN[cause_id]
    dark = dataclasses.replace(picture, **dict.fromkeys(hidden))  # type: ignore[arg-type] # each of them may be None
    for origin in origins:
        known, unknown = (
            passage_of(to_secrets_manager(each, origin, "eu-west-1", "secretsmanager.eu-west-1.amazonaws.com"))
            for each in (picture, dark)
        )
        assert unknown in (known, Passage.UNKNOWN)
