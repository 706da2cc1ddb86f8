"""A plan permits exactly what the hops let pass, packet by packet; and what adding or ordering rules may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.networks import (
    ADDRESSES,
    EVERYTHING,
    GROUPS,
    OWN,
    PORTS,
    SOURCE,
    Json,
    interfaces,
    permissions,
    pictures,
)

from keyturn.rules.network.hops import HopKind, Passage, passage_of
from keyturn.rules.network.maps import maps_of
from keyturn.rules.network.packet_rules import leaving
from keyturn.rules.network.permits import Permit, permits_of
from keyturn.rules.network.picture import Picture
from keyturn.rules.network.plan import plan_of
from keyturn.rules.network.trace import Packet, hops_to, landed
from keyturn.rules.network.ways import Origin

ORIGIN = Origin(OWN, ("sg-mine", "sg-also-mine"))
PACKETS = [
    Packet(SOURCE, address, port, protocol) for address in ADDRESSES for port in PORTS for protocol in ("tcp", "udp")
]
packets = st.lists(st.sampled_from(PACKETS), min_size=20, max_size=20)


def permitting(permits: Sequence[Permit], packet: Packet) -> list[Permit]:
    return [
        each
        for each in permits
        if each.protocol == packet.protocol
        and IPv4Address(packet.to) in each.network
        and each.ports.first <= packet.port <= each.ports.last
    ]


@settings(max_examples=300)
@given(pictures(), interfaces(), packets)
def test_a_packet_has_one_permit_exactly_if_its_hops_pass(
    picture: Picture, attached: list[Json], tried: list[Packet]
) -> None:
    permits = permits_of(picture, ORIGIN, attached, SOURCE)
    for packet in tried:
        hops = hops_to(picture, ORIGIN, attached, packet)
        assert len(permitting(permits, packet)) == (1 if passage_of(hops) is Passage.PASSES else 0), (packet, hops)


@settings(max_examples=300)
@given(pictures(), interfaces(), packets)
def test_of_one_address_it_is_known_what_a_network_acl_does(
    picture: Picture, attached: list[Json], tried: list[Packet]
) -> None:
    for packet in tried:
        hops = [hop for hop in hops_to(picture, ORIGIN, attached, packet) if hop.kind is HopKind.ACL]
        assert not [hop for hop in hops if hop.passage is Passage.UNKNOWN and picture.acls is not None], hops


def with_groups(picture: Picture, change: Mapping[str, Json]) -> Picture:
    groups = [{**each, **change.get(str(each["GroupId"]), {})} for each in picture.groups or ()]
    return dataclasses.replace(picture, groups=groups)


@given(pictures(), interfaces(), permissions, st.sampled_from(GROUPS), st.booleans(), packets)
def test_one_more_rule_of_a_security_group_takes_no_permit_away(
    picture: Picture, attached: list[Json], more: Json, group_id: str, is_egress: bool, tried: list[Packet]
) -> None:
    member = "IpPermissionsEgress" if is_egress else "IpPermissions"
    own: Mapping[str, Any] = next((each for each in picture.groups or () if each["GroupId"] == group_id), {member: []})
    after = with_groups(picture, {group_id: {member: [*own[member], more]}})

    before_permits, after_permits = (permits_of(each, ORIGIN, attached, SOURCE) for each in (picture, after))

    for packet in tried:
        assert len(permitting(after_permits, packet)) >= len(permitting(before_permits, packet))


@given(pictures(), interfaces(), st.randoms(use_true_random=False))
def test_the_order_in_which_entries_are_told_changes_nothing(
    picture: Picture, attached: list[Json], random: Random
) -> None:
    def shuffled(entries: Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]] | None:
        return None if entries is None else random.sample(list(entries), len(entries))

    told = dataclasses.replace(
        picture,
        subnets=shuffled(picture.subnets),
        route_tables=shuffled(picture.route_tables),
        nat_gateways=shuffled(picture.nat_gateways),
        acls=shuffled([{**each, "Entries": shuffled(each["Entries"])} for each in picture.acls or ()]),
        groups=shuffled(
            [
                {**each, **{member: shuffled(each[member]) for member in ("IpPermissions", "IpPermissionsEgress")}}
                for each in picture.groups or ()
            ]
        ),
    )
    assert permits_of(told, ORIGIN, shuffled(attached) or [], SOURCE) == permits_of(picture, ORIGIN, attached, SOURCE)
    assert permits_of(picture, ORIGIN, attached, SOURCE) == permits_of(picture, ORIGIN, attached, SOURCE)


MAPS = maps_of(
    ["10.0.0.8/29=192.168.6.8/29", "10.0.0.20=127.0.0.1", "10.0.0.32/28=192.168.7.32/28", "52.0.0.1=192.168.8.1"]
)


@given(pictures(), interfaces(), packets)
def test_what_leaves_is_permitted_and_leads_somewhere(
    picture: Picture, attached: list[Json], tried: list[Packet]
) -> None:
    plan = plan_of(picture, ORIGIN, region="eu-west-1", interfaces=attached, address=SOURCE, services=("sts",))
    left = leaving(plan, MAPS)
    for packet in tried:
        if packet.to in plan.resolver.addresses and packet.port == 53:
            continue  # That has rules of its own.
        leads = bool(permitting(plan.permits, packet)) and landed(plan, MAPS, packet).passage is Passage.PASSES
        assert len(permitting(left, packet)) == int(leads), packet


def test_the_worlds_are_not_all_shut() -> None:
    """A law that holds of nothing would hold of anything."""
    found: set[tuple[str, Passage]] = set()

    @settings(max_examples=200, database=None, derandomize=True)
    @given(pictures(), interfaces())
    def look(picture: Picture, attached: list[Json]) -> None:
        for packet in PACKETS[::3]:
            found.add((packet.to, passage_of(hops_to(picture, ORIGIN, attached, packet))))

    look()
    for address in ("10.0.0.9", "10.0.0.20", "52.0.0.1", "203.0.113.10"):
        assert {passage for to, passage in found if to == address} == set(Passage)
    assert {passage for to, passage in found if to in ("198.51.100.1", "203.0.113.11")} == {
        Passage.BLOCKS,
        Passage.UNKNOWN,
    }
    assert EVERYTHING["IpProtocol"] == "-1"
