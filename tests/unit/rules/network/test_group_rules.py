from __future__ import annotations

from typing import Any

import pytest

from keyturn.errors.common import NotImplementedHere
from keyturn.errors.ec2 import InvalidParameterValue, MissingParameter
from keyturn.rules.network.group_rules import (
    CIDR,
    CIDR_V6,
    GROUP,
    Terms,
    groups_in,
    permissions_of,
    prefix_lists_in,
    terms_of,
    wanted_by,
)

ANYWHERE = [{"CidrIp": "0.0.0.0/0"}]


def terms(protocol: str, ports: tuple[int, int] = (-1, -1), peer: str = "0.0.0.0/0") -> Terms:
    return Terms(is_egress=False, protocol=protocol, from_port=ports[0], to_port=ports[1], peer_kind=CIDR, peer=peer)


def wanted(**permission: Any) -> list[Terms]:
    return [each for each, _ in wanted_by([{"IpRanges": ANYWHERE, **permission}], is_egress=False)]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"IpProtocol": "-1"}, terms("-1")),
        # Ports mean nothing to all protocols, nor to those that have none.
        ({"IpProtocol": "-1", "FromPort": 443, "ToPort": 443}, terms("-1")),
        ({"IpProtocol": "50", "FromPort": 1, "ToPort": 2}, terms("50")),
        ({"IpProtocol": "050"}, terms("50")),
        ({"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535}, terms("tcp", (0, 65535))),
        ({"IpProtocol": "TCP", "FromPort": 443, "ToPort": 443}, terms("tcp", (443, 443))),
        ({"IpProtocol": "6", "FromPort": 443, "ToPort": 443}, terms("tcp", (443, 443))),
        ({"IpProtocol": "17", "FromPort": 53, "ToPort": 54}, terms("udp", (53, 54))),
        ({"IpProtocol": "icmp"}, terms("icmp")),
        ({"IpProtocol": "1", "FromPort": 8, "ToPort": 0}, terms("icmp", (8, 0))),
        ({"IpProtocol": "58", "FromPort": -1, "ToPort": -1}, terms("icmpv6")),
    ],
)
def test_a_rule_has_one_spelling(sent: dict[str, Any], kept: Terms) -> None:
    assert wanted(**sent) == [kept]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"IpProtocol": "tcp"}, "Must specify both from and to ports"),
        ({"IpProtocol": "udp", "FromPort": 1}, "Must specify both from and to ports"),
        ({"IpProtocol": "tcp", "FromPort": -1, "ToPort": -1}, "TCP/UDP (from) port (-1) out of range"),
        ({"IpProtocol": "tcp", "FromPort": 1, "ToPort": 65536}, "TCP/UDP (to) port (65536) out of range"),
        ({"IpProtocol": "tcp", "FromPort": 2, "ToPort": 1}, "Invalid TCP/UDP port range (2:1)"),
        ({"IpProtocol": "icmp", "FromPort": 256, "ToPort": 0}, "ICMP type (256) out of range"),
        ({"IpProtocol": "icmp", "FromPort": 0, "ToPort": -2}, "ICMP code (-2) out of range"),
        ({"IpProtocol": "256"}, "Unknown protocol."),
        ({"IpProtocol": "-2"}, "Unknown protocol."),
        ({"IpProtocol": "all"}, "Invalid value 'all' for IP protocol. Unknown protocol."),
        ({"IpProtocol": "٦"}, "Unknown protocol."),
        ({}, "must specify protocols explicitly"),
    ],
)
def test_a_protocol_or_ports_that_cannot_be_are_refused(sent: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidParameterValue) as refused:
        wanted(**sent)
    assert told in refused.value.message


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0/8", "10.0.0.256/32", " 10.0.0.0/8", "", "::/0", "a/8"],
)
def test_what_is_no_block_of_addresses_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterValue, match="is malformed"):
        wanted(IpProtocol="-1", IpRanges=[{"CidrIp": text}])


def test_a_block_loses_what_is_behind_its_prefix() -> None:
    (found,) = wanted(IpProtocol="-1", IpRanges=[{"CidrIp": "10.1.2.3/8"}])
    assert found.peer == "10.0.0.0/8"
    (found,) = wanted(IpProtocol="-1", IpRanges=[], Ipv6Ranges=[{"CidrIpv6": "FD00::1/8"}])
    assert (found.peer_kind, found.peer) == (CIDR_V6, "fd00::/8")


def test_a_permission_is_a_rule_for_each_of_its_peers() -> None:
    permission = {
        "IpProtocol": "-1",
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "ours"}],
        "UserIdGroupPairs": [{"GroupId": "sg-1"}],
        "PrefixListIds": [{"PrefixListId": "pl-1"}],
    }
    found = wanted_by([permission], is_egress=True)
    assert all(each.is_egress for each, _ in found)
    assert {(each.peer_kind, each.peer, text) for each, text in found} == {
        (GROUP, "sg-1", None),
        (CIDR, "10.0.0.0/8", "ours"),
        ("PrefixListId", "pl-1", None),
    }
    only = [each for each, _ in found]
    assert (groups_in(only), prefix_lists_in(only)) == (["sg-1"], ["pl-1"])


def test_a_request_has_a_rule_once_however_it_is_spelled() -> None:
    one = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    two = {"IpProtocol": "6", "FromPort": 1, "ToPort": 1, "IpRanges": [{"CidrIp": "10.9.9.9/8", "Description": "x"}]}
    with pytest.raises(InvalidParameterValue, match="must not appear multiple times"):
        wanted_by([one, two], is_egress=False)


def test_a_permission_for_nobody_is_refused() -> None:
    with pytest.raises(MissingParameter):
        wanted(IpProtocol="-1", IpRanges=[])


def test_groups_of_peered_vpcs_are_not_offered() -> None:
    pair = {"GroupId": "sg-1", "VpcPeeringConnectionId": "pcx-1"}
    with pytest.raises(NotImplementedHere):
        wanted(IpProtocol="-1", IpRanges=[], UserIdGroupPairs=[pair])


def test_rules_read_as_users_know_them() -> None:
    assert str(terms("tcp", (22, 22))) == "peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW"
    assert str(terms("-1")) == "peer: 0.0.0.0/0, ALL, ALLOW"


def rule(peer: dict[str, Any], *, ports: int = 443, is_egress: bool = False, **more: Any) -> dict[str, Any]:
    return {"IsEgress": is_egress, "IpProtocol": "tcp", "FromPort": ports, "ToPort": ports, **peer, **more}


def test_permissions_merge_the_rules_of_one_protocol_and_range() -> None:
    by_group = {"ReferencedGroupInfo": {"GroupId": "sg-1", "UserId": "1"}}
    rules = [
        rule({"CidrIpv4": "10.0.0.0/8"}, Description="ours"),
        rule(by_group),
        rule({"CidrIpv4": "10.0.0.0/8"}, ports=5432),
        rule({"CidrIpv6": "fd00::/8"}),
        rule({"PrefixListId": "pl-1"}),
        rule({"CidrIpv4": "0.0.0.0/0"}, is_egress=True),
    ]
    assert permissions_of(rules, is_egress=False) == [
        {
            "IpProtocol": "tcp",
            "FromPort": 443,
            "ToPort": 443,
            "UserIdGroupPairs": [{"GroupId": "sg-1", "UserId": "1"}],
            "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "ours"}],
            "Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}],
            "PrefixListIds": [{"PrefixListId": "pl-1"}],
        },
        {
            "IpProtocol": "tcp",
            "FromPort": 5432,
            "ToPort": 5432,
            "UserIdGroupPairs": [],
            "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
        },
    ]
    (outward,) = permissions_of(rules, is_egress=True)
    assert outward["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    assert terms_of(rules[1]).peer == "sg-1"
