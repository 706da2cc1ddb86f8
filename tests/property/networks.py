"""Random networks of a few addresses: a VPC with a function, its interfaces, its rules, and ways out."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from hypothesis import strategies as st

from keyturn.rules.network.picture import Picture
from keyturn.rules.network.traffic import networks_of

Json = dict[str, Any]
VPC, OWN, OTHER, PUBLIC = "vpc-1", "subnet-own", "subnet-other", "subnet-public"
BLOCKS = {OWN: "10.0.0.0/28", OTHER: "10.0.0.16/28", PUBLIC: "10.0.0.32/28"}
SOURCE = "10.0.0.5"
GROUPS = ("sg-mine", "sg-also-mine", "sg-theirs")
LISTS = {"pl-known": networks_of(["10.0.0.8/29", "52.0.0.0/31"]), "pl-hidden": None}
# Lines are drawn at these, and on both sides of them packets are tried.
ADDRESSES = [
    *("10.0.0.0", "10.0.0.2", "10.0.0.5", "10.0.0.9", "10.0.0.15", "10.0.0.16", "10.0.0.20", "10.0.0.31"),
    *("10.0.0.36", "10.0.0.50", "10.0.0.255", "10.9.0.1", "172.16.0.1", "169.254.169.253", "198.51.100.1"),
    *("52.0.0.0", "52.0.0.1", "52.0.0.2", "203.0.113.10", "203.0.113.11", "224.0.0.1", "0.0.0.0"),
]
PORTS = [0, 1, 53, 442, 443, 444, 1023, 1024, 5432, 32767, 32768, 40000, 60999, 65535]

blocks = st.one_of(
    st.builds(
        lambda start, bits: str(ip_network(f"10.0.0.{start}/{bits}", strict=False)),
        st.integers(0, 63),
        st.integers(26, 32),
    ),
    st.sampled_from(["0.0.0.0/0", "0.0.0.0/0", "10.0.0.0/24", "52.0.0.0/31", "52.0.0.1/32", "203.0.113.0/24"]),
)
port_ranges = st.one_of(
    st.just((0, 65535)),
    st.just((1024, 65535)),
    st.just((32768, 60999)),
    st.tuples(st.sampled_from(PORTS), st.sampled_from(PORTS)),
).map(lambda pair: (min(pair), max(pair)))


def _permission(protocol: str, ports: tuple[int, int], cidrs: list[str], groups: list[str], lists: list[str]) -> Json:
    ranged = {} if protocol == "-1" else {"FromPort": ports[0], "ToPort": ports[1]}
    return {
        "IpProtocol": protocol,
        **ranged,
        "IpRanges": [{"CidrIp": each} for each in cidrs],
        "UserIdGroupPairs": [{"GroupId": each} for each in groups],
        "PrefixListIds": [{"PrefixListId": each} for each in lists],
    }


permissions = st.builds(
    _permission,
    st.sampled_from(["-1", "tcp", "6", "udp", "17", "icmp"]),
    port_ranges,
    st.lists(blocks, max_size=2),
    st.lists(st.sampled_from(GROUPS), max_size=1),
    st.lists(st.sampled_from(list(LISTS)), max_size=1),
)
EVERYTHING = _permission("-1", (0, 65535), ["0.0.0.0/0"], [], [])
rules = st.one_of(st.just([EVERYTHING]), st.lists(permissions, max_size=4))


def _entry(number: int, action: str, block: str, protocol: str, ports: tuple[int, int], egress: bool) -> Json:
    ranged = {} if protocol == "-1" else {"PortRange": {"From": ports[0], "To": ports[1]}}
    found = {"RuleNumber": number, "RuleAction": action, "CidrBlock": block, "Protocol": protocol, "Egress": egress}
    return {**found, **ranged}


OPEN = [_entry(32000, "allow", "0.0.0.0/0", "-1", (0, 65535), egress) for egress in (True, False)]
entries = st.lists(
    st.builds(
        _entry,
        st.integers(1, 200),
        st.sampled_from(["allow", "deny"]),
        blocks,
        st.sampled_from(["-1", "6", "6", "17", "1"]),
        port_ranges,
        st.booleans(),
    ),
    max_size=5,
    unique_by=lambda each: each["RuleNumber"],
)
acls = st.builds(
    lambda more, is_open: [*more, *(OPEN if is_open else [])], entries, st.sampled_from([True, True, False])
)
TARGETS = [
    {"NatGatewayId": "nat-1"},
    {"NatGatewayId": "nat-1"},
    {"NatGatewayId": "nat-own"},
    {"NatGatewayId": "nat-gone"},
    {"GatewayId": "igw-1"},
    {"TransitGatewayId": "tgw-1"},
    {"InstanceId": "i-1"},
    {"NatGatewayId": "nat-1", "State": "blackhole"},
]
LOCAL: Json = {"DestinationCidrBlock": "10.0.0.0/24", "GatewayId": "local"}
routes = st.lists(
    st.builds(
        lambda block, target: {"DestinationCidrBlock": block, "State": "active", **target},
        st.sampled_from(["0.0.0.0/0", "0.0.0.0/0", "52.0.0.0/31", "52.0.0.1/32", "172.16.0.0/12", "10.0.0.16/30"]),
        st.sampled_from(TARGETS),
    ),
    max_size=3,
    unique_by=lambda route: route["DestinationCidrBlock"],
)
listed_routes = st.lists(
    st.builds(lambda each: {"DestinationPrefixListId": each, "NatGatewayId": "nat-1"}, st.sampled_from(list(LISTS))),
    max_size=1,
)
ENDPOINT: Json = {
    "VpcEndpointId": "vpce-1",
    "VpcEndpointType": "Interface",
    "ServiceName": "com.amazonaws.eu-west-1.sts",
    "VpcId": VPC,
    "State": "available",
    "NetworkInterfaceIds": ["eni-0"],
    "Groups": [{"GroupId": "sg-theirs"}],
}
OUT: Json = {"DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "igw-1", "State": "active"}


def _table(subnet_id: str, found: list[Json]) -> Json:
    return {
        "RouteTableId": f"rtb-{subnet_id}",
        "VpcId": VPC,
        "Routes": [LOCAL, *found],
        "Associations": [{"SubnetId": subnet_id}],
    }


@st.composite
def interfaces(draw: st.DrawFn) -> list[Json]:
    """Some interfaces, one of them an endpoint's."""
    addresses = draw(
        st.lists(st.sampled_from(["10.0.0.9", "10.0.0.15", "10.0.0.20", "10.0.0.36"]), max_size=3, unique=True)
    )
    return [
        {
            "NetworkInterfaceId": f"eni-{position}",
            "VpcId": VPC,
            "PrivateIpAddress": address,
            "Groups": [{"GroupId": each} for each in draw(st.sets(st.sampled_from(GROUPS), max_size=2))],
        }
        for position, address in enumerate(addresses)
    ]


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """What EC2 may say of it; parts of it may be hidden."""
    hidden = draw(st.sampled_from([None] * 12 + ["groups", "acls", "nat_gateways", "route_tables", "subnets"]))
    own_routes = [*draw(routes), *draw(listed_routes)]
    nat_routes = draw(st.one_of(st.just([OUT]), st.just([OUT]), routes))
    nats = [
        {"NatGatewayId": name, "VpcId": VPC, "SubnetId": subnet_id, "State": state}
        for name, subnet_id, state in (
            ("nat-1", PUBLIC, draw(st.sampled_from(["available"] * 5 + ["failed"]))),
            ("nat-own", OWN, "available"),
        )
    ]
    parts: dict[str, Any] = {
        "subnets": [{"SubnetId": each, "VpcId": VPC, "CidrBlock": block} for each, block in BLOCKS.items()],
        "route_tables": [_table(OWN, own_routes), _table(OTHER, []), _table(PUBLIC, nat_routes)],
        "acls": [
            {"NetworkAclId": f"acl-{each}", "Associations": [{"SubnetId": each}], "Entries": draw(acls)}
            for each in BLOCKS
        ],
        "groups": [
            {"GroupId": each, "IpPermissions": draw(rules), "IpPermissionsEgress": draw(rules)} for each in GROUPS
        ],
        "nat_gateways": nats,
        "endpoints": [ENDPOINT],
    }
    if hidden is not None:
        parts[hidden] = None
    return Picture(**parts, prefix_lists=LISTS, vpcs=[{"VpcId": VPC, "CidrBlock": "10.0.0.0/24"}])
