"""EC2's answers about one VPC: identifiers and filters are honoured, an unknown filter is an error, as in AWS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.contract.doctor.world import REGION, refusal

Record = dict[str, Any]

EVERYWHERE = "0.0.0.0/0"


def allow(
    protocol: str, port: int | None, *cidrs: str, groups: tuple[str, ...] = (), lists: tuple[str, ...] = ()
) -> Record:
    """A rule of a security group."""
    ports = {} if port is None else {"FromPort": port, "ToPort": port}
    return {
        "IpProtocol": protocol,
        **ports,
        "IpRanges": [{"CidrIp": cidr} for cidr in cidrs],
        "Ipv6Ranges": [],
        "PrefixListIds": [{"PrefixListId": name} for name in lists],
        "UserIdGroupPairs": [{"GroupId": group, "UserId": "123456789012"} for group in groups],
    }


def entry(
    number: int, action: str, *, egress: bool, protocol: str = "-1", ports: tuple[int, int] | None = None
) -> Record:
    """An entry of a network ACL."""
    found: Record = {
        "RuleNumber": number,
        "RuleAction": action,
        "Egress": egress,
        "Protocol": protocol,
        "CidrBlock": EVERYWHERE,
    }
    return {**found, "PortRange": {"From": ports[0], "To": ports[1]}} if ports else found


def _subnet(name: str, cidr: str, vpc: str = "vpc-1") -> Record:
    return {
        "SubnetId": name,
        "VpcId": vpc,
        "CidrBlock": cidr,
        "State": "available",
        "AvailableIpAddressCount": 240,
        "AvailabilityZone": f"{REGION}{name[-1] if name[-1] in 'abc' else 'a'}",
        "MapPublicIpOnLaunch": name.startswith("subnet-public"),
        "Ipv6CidrBlockAssociationSet": [],
    }


def route(**to: str) -> Record:
    """A default route."""
    return {"DestinationCidrBlock": EVERYWHERE, "State": "active", "Origin": "CreateRoute", **to}


LOCAL: Record = {
    "DestinationCidrBlock": "10.0.0.0/16",
    "GatewayId": "local",
    "State": "active",
    "Origin": "CreateRouteTable",
}


def table(
    name: str, *routes: Record, subnets: tuple[str, ...] = (), is_main: bool = False, vpc: str = "vpc-1"
) -> Record:
    """A route table."""
    associations = [{"Main": False, "SubnetId": each, "RouteTableId": name} for each in subnets]
    if is_main:
        associations.append({"Main": True, "RouteTableId": name})
    return {"RouteTableId": name, "VpcId": vpc, "Routes": [LOCAL, *routes], "Associations": associations}


def _group(name: str, ingress: list[Record], egress: list[Record] | None = None, vpc: str = "vpc-1") -> Record:
    return {
        "GroupId": name,
        "GroupName": name,
        "VpcId": vpc,
        "OwnerId": "123456789012",
        "IpPermissions": ingress,
        "IpPermissionsEgress": [allow("-1", None, EVERYWHERE)] if egress is None else egress,
    }


def _acl() -> Record:
    entries = [entry(100, "allow", egress=each) for each in (True, False)]
    entries += [entry(32767, "deny", egress=each) for each in (True, False)]
    names = ("subnet-private-a", "subnet-private-b", "subnet-public", "subnet-database")
    return {
        "NetworkAclId": "acl-1",
        "VpcId": "vpc-1",
        "IsDefault": True,
        "Entries": entries,
        "Associations": [{"SubnetId": name, "NetworkAclId": "acl-1"} for name in names],
    }


@dataclass
class Network:
    """A VPC with two private subnets behind a NAT gateway, a public one, and one for databases."""

    subnets: list[Record] = field(
        default_factory=lambda: [
            _subnet("subnet-private-a", "10.0.1.0/24"),
            _subnet("subnet-private-b", "10.0.2.0/24"),
            _subnet("subnet-public", "10.0.9.0/24"),
            _subnet("subnet-database", "10.0.20.0/24"),
        ]
    )
    tables: list[Record] = field(
        default_factory=lambda: [
            table("rtb-main", subnets=("subnet-database",), is_main=True),
            table("rtb-private", route(NatGatewayId="nat-1"), subnets=("subnet-private-a", "subnet-private-b")),
            table("rtb-public", route(GatewayId="igw-1"), subnets=("subnet-public",)),
        ]
    )
    gateways: list[Record] = field(
        default_factory=lambda: [
            {
                "NatGatewayId": "nat-1",
                "VpcId": "vpc-1",
                "SubnetId": "subnet-public",
                "State": "available",
                "ConnectivityType": "public",
                "NatGatewayAddresses": [{"AllocationId": "eipalloc-1", "PublicIp": "203.0.113.9"}],
            }
        ]
    )
    endpoints: list[Record] = field(default_factory=list)
    groups: list[Record] = field(
        default_factory=lambda: [
            _group("sg-function", []),
            _group("sg-endpoint", [allow("tcp", 443, groups=("sg-function",))]),
            _group("sg-database", [allow("tcp", 5432, groups=("sg-function",))]),
        ]
    )
    acls: list[Record] = field(default_factory=lambda: [_acl()])
    lists: dict[str, list[str]] = field(default_factory=dict)
    dns: dict[str, bool] = field(default_factory=lambda: {"enableDnsSupport": True, "enableDnsHostnames": True})
    peerings: list[Record] = field(default_factory=list)
    interfaces: list[Record] = field(default_factory=list)

    # To change it.

    def table(self, name: str) -> Record:
        """A route table."""
        return next(each for each in self.tables if each["RouteTableId"] == name)

    def group(self, name: str) -> Record:
        """A security group."""
        return next(each for each in self.groups if each["GroupId"] == name)

    def without_nat(self) -> None:
        """Take the default route of the private subnets away."""
        self.table("rtb-private")["Routes"] = [LOCAL]

    def with_endpoint(self, **changes: Any) -> Record:
        """Give it an interface endpoint for Secrets Manager in place of the NAT gateway."""
        self.without_nat()
        endpoint: Record = {
            "VpcEndpointId": "vpce-0abc",
            "VpcEndpointType": "Interface",
            "VpcId": "vpc-1",
            "ServiceName": f"com.amazonaws.{REGION}.secretsmanager",
            "State": "available",
            "PrivateDnsEnabled": True,
            "SubnetIds": ["subnet-private-a", "subnet-private-b"],
            "Groups": [{"GroupId": "sg-endpoint", "GroupName": "sg-endpoint"}],
            "NetworkInterfaceIds": ["eni-1", "eni-2"],
            "DnsEntries": [{"DnsName": f"vpce-0abc-xyz.secretsmanager.{REGION}.vpce.amazonaws.com"}],
            "PolicyDocument": '{"Statement":[{"Action":"*","Effect":"Allow","Principal":"*","Resource":"*"}]}',
            **changes,
        }
        self.endpoints.append(endpoint)
        return endpoint

    def first_entries(self, *entries: Record) -> None:
        """Put entries before those that the ACL has."""
        self.acls[0]["Entries"] = [*entries, *self.acls[0]["Entries"]]

    def with_server(self, address: str = "10.0.20.7", **changes: Any) -> None:
        """Give it a server of one's own, an instance of EC2 with the database's group."""
        self.interfaces.append(
            {
                "NetworkInterfaceId": "eni-7",
                "InterfaceType": "interface",
                "VpcId": "vpc-1",
                "SubnetId": "subnet-database",
                "Status": "in-use",
                "PrivateIpAddress": address,
                "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": address}],
                "Groups": [{"GroupId": "sg-database", "GroupName": "sg-database"}],
                "Attachment": {"InstanceId": "i-7", "Status": "attached"},
                **changes,
            }
        )

    # What is answered.

    def ask(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a call of EC2."""
        if operation == "DescribeVpcAttribute":
            name = parameters["Attribute"]
            return {"VpcId": parameters["VpcId"], name[0].upper() + name[1:]: {"Value": self.dns[name]}}
        if operation == "GetManagedPrefixListEntries":
            return {"Entries": [{"Cidr": cidr} for cidr in self.lists[parameters["PrefixListId"]]]}
        listing = _LISTINGS.get(operation)
        if listing is None:
            raise refusal(operation, "NotImplementedException", f"ec2:{operation} is not offered")
        member, identifiers, records = listing
        found = records(self)
        for name in identifiers:
            if name in parameters:
                key = name.removesuffix("s")
                if missing := set(parameters[name]) - {each.get(key) for each in found}:
                    raise refusal(operation, _MISSING.get(key, "InvalidParameter"), f"{missing} does not exist")
                found = [each for each in found if each.get(key) in parameters[name]]
        for wanted in [*parameters.get("Filters", []), *parameters.get("Filter", [])]:
            values = _FILTERS[wanted["Name"]]
            found = [each for each in found if set(values(each)) & set(wanted["Values"])]
        return {member: found}


def _vpcs(network: Network) -> list[Record]:
    names = dict.fromkeys(each["VpcId"] for each in network.subnets)
    return [
        {
            "VpcId": name,
            "CidrBlock": "10.0.0.0/16",
            "State": "available",
            "CidrBlockAssociationSet": [{"CidrBlock": "10.0.0.0/16", "CidrBlockState": {"State": "associated"}}],
        }
        for name in names
    ]


def _internet_gateways(network: Network) -> list[Record]:
    routes = [(each["VpcId"], route.get("GatewayId", "")) for each in network.tables for route in each["Routes"]]
    return [
        {"InternetGatewayId": name, "Attachments": [{"VpcId": vpc, "State": "available"}]}
        for vpc, name in dict.fromkeys(routes)
        if name.startswith("igw-")
    ]


_LISTINGS: dict[str, tuple[str, tuple[str, ...], Callable[[Network], list[Record]]]] = {
    "DescribeVpcs": ("Vpcs", ("VpcIds",), _vpcs),
    "DescribeSubnets": ("Subnets", ("SubnetIds",), lambda network: network.subnets),
    "DescribeRouteTables": ("RouteTables", ("RouteTableIds",), lambda network: network.tables),
    "DescribeNatGateways": ("NatGateways", ("NatGatewayIds",), lambda network: network.gateways),
    "DescribeInternetGateways": ("InternetGateways", (), _internet_gateways),
    "DescribeVpcEndpoints": ("VpcEndpoints", ("VpcEndpointIds",), lambda network: network.endpoints),
    "DescribeSecurityGroups": ("SecurityGroups", ("GroupIds",), lambda network: network.groups),
    "DescribeNetworkAcls": ("NetworkAcls", ("NetworkAclIds",), lambda network: network.acls),
    "DescribeVpcPeeringConnections": ("VpcPeeringConnections", (), lambda network: network.peerings),
    "DescribeTransitGatewayVpcAttachments": ("TransitGatewayVpcAttachments", (), lambda _: []),
    "DescribeNetworkInterfaces": ("NetworkInterfaces", (), lambda network: network.interfaces),
    "DescribeInstances": ("Reservations", (), lambda _: []),
    "DescribeManagedPrefixLists": (
        "PrefixLists",
        ("PrefixListIds",),
        lambda network: [{"PrefixListId": name, "PrefixListName": name} for name in network.lists],
    ),
}
_MISSING = {
    "SubnetId": "InvalidSubnetID.NotFound",
    "VpcId": "InvalidVpcID.NotFound",
    "GroupId": "InvalidGroup.NotFound",
    "RouteTableId": "InvalidRouteTableID.NotFound",
    "NatGatewayId": "NatGatewayNotFound",
    "VpcEndpointId": "InvalidVpcEndpointId.NotFound",
}
_FILTERS: dict[str, Callable[[Record], list[Any]]] = {
    "vpc-id": lambda each: [each.get("VpcId")],
    "attachment.vpc-id": lambda each: [one["VpcId"] for one in each["Attachments"]],
    "subnet-id": lambda each: [each.get("SubnetId")],
    "addresses.private-ip-address": lambda each: [one["PrivateIpAddress"] for one in each["PrivateIpAddresses"]],
    "association.subnet-id": lambda each: [one.get("SubnetId") for one in each.get("Associations", [])],
    "association.main": lambda each: [str(one.get("Main", False)).lower() for one in each.get("Associations", [])],
    "route-table-id": lambda each: [each.get("RouteTableId")],
    "service-name": lambda each: [each.get("ServiceName")],
    "vpc-endpoint-type": lambda each: [each.get("VpcEndpointType")],
    "vpc-endpoint-id": lambda each: [each.get("VpcEndpointId")],
    "state": lambda each: [each.get("State")],
    "group-name": lambda each: [each.get("GroupName")],
    "group-id": lambda each: [each.get("GroupId")],
    "nat-gateway-id": lambda each: [each.get("NatGatewayId")],
    "network-acl-id": lambda each: [each.get("NetworkAclId")],
    "requester-vpc-info.vpc-id": lambda each: [each.get("RequesterVpcInfo", {}).get("VpcId")],
    "accepter-vpc-info.vpc-id": lambda each: [each.get("AccepterVpcInfo", {}).get("VpcId")],
    "instance-id": lambda each: [one.get("InstanceId") for one in each.get("Instances", [])],
    "prefix-list-id": lambda each: [each.get("PrefixListId")],
}
