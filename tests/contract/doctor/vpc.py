"""The network of a world: a function reaches Secrets Manager and its database in it, until a test breaks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

VPC, OTHER_VPC = "vpc-01", "vpc-02"
PRIVATE_A, PRIVATE_B, PUBLIC = "subnet-0a", "subnet-0b", "subnet-0c"
DATABASE_SUBNET = "subnet-0d"
OWN_HOST = "10.0.4.7"
"""A server of one's own: its address in the database's subnet."""
FUNCTION_GROUP, ENDPOINT_GROUP, DATABASE_GROUP = "sg-0f", "sg-0e", "sg-0d"
PRIVATE_TABLE, PUBLIC_TABLE = "rtb-0a", "rtb-0c"
DATABASE_ADDRESS, ENDPOINT_ADDRESS = "10.0.4.15", "10.0.1.50"
NAT, GATEWAY, ENDPOINT, ACL = "nat-01", "igw-01", "vpce-01", "acl-01"
HOST = "orders.abc123.eu-west-1.rds.amazonaws.com"

_Entry = dict[str, Any]


def allow_all(*, egress: bool, number: int = 100) -> _Entry:
    """The rule with which network ACLs begin."""
    return {
        "RuleNumber": number,
        "Protocol": "-1",
        "RuleAction": "allow",
        "Egress": egress,
        "CidrBlock": "0.0.0.0/0",
    }


def deny_all(*, egress: bool) -> _Entry:
    """The rule with which network ACLs end."""
    return {**allow_all(egress=egress, number=32767), "RuleAction": "deny"}


def rule(port: int, *, source: str = "", cidr: str = "") -> _Entry:
    """A security group's rule for one port."""
    return {
        "IpProtocol": "tcp",
        "FromPort": port,
        "ToPort": port,
        "UserIdGroupPairs": [{"GroupId": source, "UserId": "123456789012"}] if source else [],
        "IpRanges": [{"CidrIp": cidr}] if cidr else [],
    }


def everywhere() -> _Entry:
    """The rule that lets everything out."""
    return {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}], "UserIdGroupPairs": []}


def table(table_id: str, target: Mapping[str, str], *subnet_ids: str, vpc_id: str = VPC, main: bool = False) -> _Entry:
    """A route table with a default route; no target for none."""
    routes: list[_Entry] = [{"DestinationCidrBlock": "10.0.0.0/16", "GatewayId": "local", "State": "active"}]
    if target:
        routes.append({"DestinationCidrBlock": "0.0.0.0/0", "State": "active", **target})
    associations: list[_Entry] = [{"SubnetId": each, "RouteTableId": table_id} for each in subnet_ids]
    if main:
        associations.append({"Main": True, "RouteTableId": table_id})
    return {"RouteTableId": table_id, "VpcId": vpc_id, "Routes": routes, "Associations": associations}


def interface(interface_id: str, address: str, subnet_id: str, group_id: str, kind: str = "interface") -> _Entry:
    """A network interface."""
    return {
        "NetworkInterfaceId": interface_id,
        "InterfaceType": kind,
        "VpcId": VPC,
        "SubnetId": subnet_id,
        "PrivateIpAddress": address,
        "PrivateIpAddresses": [{"PrivateIpAddress": address, "Primary": True}],
        "Groups": [{"GroupId": group_id}],
    }


class Network:
    """What EC2 and RDS answer. Without further ado there is a public database, and no function in a VPC."""

    def __init__(self) -> None:
        self.dns = {"enableDnsSupport": True, "enableDnsHostnames": True}
        self.endpoints: list[_Entry] = []
        self.nat_gateways: list[_Entry] = [
            {"NatGatewayId": NAT, "State": "available", "ConnectivityType": "public", "SubnetId": PUBLIC, "VpcId": VPC}
        ]
        self.internet_gateways: list[_Entry] = [{"InternetGatewayId": GATEWAY, "Attachments": [{"VpcId": VPC}]}]
        self.instances: list[_Entry] = []
        self.peerings: list[_Entry] = []
        self.interfaces: list[_Entry] = [interface("eni-0d", DATABASE_ADDRESS, DATABASE_SUBNET, DATABASE_GROUP)]
        self.lists: dict[str, list[str]] = {}
        self.subnets: list[_Entry] = [
            {"SubnetId": each, "VpcId": VPC, "CidrBlock": f"10.0.{position}.0/24", "AvailableIpAddressCount": 200}
            for position, each in enumerate((PRIVATE_A, PRIVATE_B, PUBLIC, DATABASE_SUBNET), 1)
        ]
        self.route_tables: list[_Entry] = [
            table(PRIVATE_TABLE, {"NatGatewayId": NAT}, main=True),
            table(PUBLIC_TABLE, {"GatewayId": GATEWAY}, PUBLIC),
        ]
        associations = [{"SubnetId": each["SubnetId"], "NetworkAclId": ACL} for each in self.subnets]
        entries = [each(egress=egress) for each in (allow_all, deny_all) for egress in (True, False)]
        self.acls: list[_Entry] = [
            {"NetworkAclId": ACL, "VpcId": VPC, "Associations": associations, "Entries": entries}
        ]
        self.groups: dict[str, _Entry] = {
            each: {"GroupId": each, "VpcId": VPC, "IpPermissions": [], "IpPermissionsEgress": [everywhere()]}
            for each in (FUNCTION_GROUP, ENDPOINT_GROUP, DATABASE_GROUP)
        }
        self.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr="0.0.0.0/0")]
        self.instance: _Entry = {
            "DBInstanceIdentifier": "orders",
            "DBInstanceStatus": "available",
            "Engine": "postgres",
            "EngineVersion": "16.4",
            "AvailabilityZone": "eu-west-1a",
            "Endpoint": {"Address": HOST, "Port": 5432},
            "PubliclyAccessible": True,
            "VpcSecurityGroups": [{"VpcSecurityGroupId": DATABASE_GROUP, "Status": "active"}],
            "DBSubnetGroup": {
                "VpcId": VPC,
                "Subnets": [
                    {"SubnetIdentifier": DATABASE_SUBNET, "SubnetAvailabilityZone": {"Name": "eu-west-1a"}},
                    {"SubnetIdentifier": PRIVATE_B, "SubnetAvailabilityZone": {"Name": "eu-west-1b"}},
                ],
            },
        }

    def shut_in(self) -> None:
        """Let the database be private, and open to the function's group."""
        self.instance["PubliclyAccessible"] = False
        self.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, source=FUNCTION_GROUP)]

    def with_interface(self, address: str = OWN_HOST, **changes: object) -> None:
        """Let a server of one's own have an interface with the database's group."""
        made = interface(f"eni-0{len(self.interfaces)}", address, DATABASE_SUBNET, DATABASE_GROUP)
        self.interfaces.append({**made, **changes})

    def with_function_at(self, address: str, subnet_id: str) -> None:
        """Let the function have a network interface."""
        self.interfaces.append(interface(f"eni-f{len(self.interfaces)}", address, subnet_id, FUNCTION_GROUP, "lambda"))

    def with_endpoint(self) -> None:
        """Let Secrets Manager be reached by an endpoint in place of the NAT gateway."""
        self.route_tables[0] = table(PRIVATE_TABLE, {}, main=True)
        self.groups[ENDPOINT_GROUP]["IpPermissions"] = [rule(443, source=FUNCTION_GROUP)]
        self.endpoints.append(
            {
                "VpcEndpointId": ENDPOINT,
                "VpcEndpointType": "Interface",
                "VpcId": VPC,
                "ServiceName": "com.amazonaws.eu-west-1.secretsmanager",
                "State": "available",
                "PrivateDnsEnabled": True,
                "SubnetIds": [PRIVATE_A, PRIVATE_B],
                "NetworkInterfaceIds": ["eni-0e"],
                "Groups": [{"GroupId": ENDPOINT_GROUP, "GroupName": "endpoint"}],
                "PolicyDocument": json.dumps(
                    {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}
                ),
            }
        )
        self.interfaces.append(interface("eni-0e", ENDPOINT_ADDRESS, PRIVATE_A, ENDPOINT_GROUP))

    # What is answered.

    def answer(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the reply to a call; None if it is none of these."""
        found = getattr(self, f"_{operation}", None) if service in ("ec2", "rds") else None
        reply: Mapping[str, Any] | None = None if found is None else found(parameters)
        return reply

    def _DescribeSubnets(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802 - as in the API
        wanted = parameters.get("SubnetIds")
        subnets = self.subnets if wanted is None else [each for each in self.subnets if each["SubnetId"] in wanted]
        return {"Subnets": _of_vpc(subnets, parameters)}

    def _DescribeRouteTables(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"RouteTables": _of_vpc(self.route_tables, parameters)}

    def _DescribeNetworkAcls(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"NetworkAcls": _of_vpc(self.acls, parameters)}

    def _DescribeVpcEndpoints(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"VpcEndpoints": _of_vpc(self.endpoints, parameters)}

    def _DescribeVpcs(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"Vpcs": [{"VpcId": each, "CidrBlock": "10.0.0.0/16"} for each in parameters["VpcIds"]]}

    def _DescribeNetworkInterfaces(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        members = {
            "vpc-id": "VpcId",
            "addresses.private-ip-address": "PrivateIpAddress",
            "interface-type": "InterfaceType",
            "subnet-id": "SubnetId",
        }
        wanted = [(members[each["Name"]], each["Values"]) for each in parameters["Filters"]]
        found = [each for each in self.interfaces if all(each[member] in values for member, values in wanted)]
        return {"NetworkInterfaces": found}

    def _DescribeNatGateways(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"NatGateways": self.nat_gateways}

    def _DescribeInternetGateways(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"InternetGateways": self.internet_gateways}

    def _DescribeInstances(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"Reservations": [{"Instances": self.instances}]}

    def _DescribeVpcPeeringConnections(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"VpcPeeringConnections": self.peerings}

    def _DescribeVpcAttribute(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        name = parameters["Attribute"]
        return {"VpcId": VPC, name[0].upper() + name[1:]: {"Value": self.dns[name]}}

    def _DescribeSecurityGroups(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        members = {"group-id": "GroupId", "vpc-id": "VpcId", "group-name": "GroupName"}
        wanted = [(members[each["Name"]], each["Values"]) for each in parameters["Filters"]]
        return {
            "SecurityGroups": [
                group for group in self.groups.values() if all(group.get(member) in values for member, values in wanted)
            ]
        }

    def _GetManagedPrefixListEntries(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"Entries": [{"Cidr": each} for each in self.lists[parameters["PrefixListId"]]]}

    def _DescribeDBInstances(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: N802
        return {"DBInstances": [self.instance]}


def _of_vpc(entries: list[_Entry], parameters: Mapping[str, Any]) -> list[_Entry]:
    filters = {each["Name"]: each["Values"] for each in parameters.get("Filters", [])}
    return [each for each in entries if each["VpcId"] in filters.get("vpc-id", [each["VpcId"]])]
