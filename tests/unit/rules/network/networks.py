"""The doctor's world as Keyturn's own tables tell it: with interfaces, and the VPC's network."""

from __future__ import annotations

from typing import Any

from tests.contract.doctor.vpc import (
    DATABASE_GROUP,
    ENDPOINT,
    FUNCTION_GROUP,
    NAT,
    PRIVATE_A,
    PRIVATE_B,
    PRIVATE_TABLE,
    VPC,
    Network,
    table,
)

from keyturn.rules.network.picture import Picture
from keyturn.rules.network.plan import NetworkPlan, plan_of
from keyturn.rules.network.trace import Packet
from keyturn.rules.network.traffic import networks_of
from keyturn.rules.network.ways import Origin

SOURCE = "10.0.1.7"
DATABASE = "10.0.4.15"
ORIGIN = Origin(PRIVATE_A, (FUNCTION_GROUP,))
SERVICES = ("secretsmanager", "kms", "sts", "logs", "lambda", "iam")
SECRETS_MANAGER = "secretsmanager.eu-west-1.amazonaws.com"


def interface(interface_id: str, subnet_id: str, address: str, *group_ids: str) -> dict[str, Any]:
    """An entry of DescribeNetworkInterfaces."""
    zone = {PRIVATE_A: "eu-west-1a", PRIVATE_B: "eu-west-1b"}.get(subnet_id, "eu-west-1c")
    return {
        "NetworkInterfaceId": interface_id,
        "VpcId": VPC,
        "SubnetId": subnet_id,
        "AvailabilityZone": zone,
        "PrivateIpAddress": address,
        "PrivateIpAddresses": [{"PrivateIpAddress": address, "Primary": True}],
        "Groups": [{"GroupId": each} for each in group_ids],
    }


class Land:
    """A network with a NAT gateway, a database, and an endpoint if wanted."""

    def __init__(self, *, endpoint: bool = False, nat: bool = True) -> None:
        self.network = Network()
        self.network.shut_in()
        self.interfaces = [interface("eni-database", "subnet-0d", DATABASE, DATABASE_GROUP)]
        if endpoint:
            self.with_endpoint()
        self.network.route_tables[0] = table(PRIVATE_TABLE, {"NatGatewayId": NAT} if nat else {}, main=True)

    def with_endpoint(self) -> None:
        """Add an endpoint of Secrets Manager with an interface in each of its subnets."""
        self.network.with_endpoint()
        own = f"{ENDPOINT}-abc"
        self.network.endpoints[0] |= {
            "NetworkInterfaceIds": ["eni-a", "eni-b"],
            "DnsEntries": [
                {"DnsName": f"{own}.secretsmanager.eu-west-1.vpce.amazonaws.com"},
                {"DnsName": f"{own}-eu-west-1a.secretsmanager.eu-west-1.vpce.amazonaws.com"},
                {"DnsName": SECRETS_MANAGER},
            ],
        }
        # Their own groups are not what counts: the endpoint's are.
        self.interfaces += [
            interface("eni-a", PRIVATE_A, "10.0.1.50"),
            interface("eni-b", PRIVATE_B, "10.0.2.50"),
        ]

    @property
    def picture(self) -> Picture:
        """What is known of it."""
        network = self.network
        return Picture(
            subnets=network.subnets,
            route_tables=network.route_tables,
            acls=network.acls,
            groups=list(network.groups.values()),
            endpoints=network.endpoints,
            nat_gateways=network.nat_gateways,
            instances=network.instances,
            peerings=network.peerings,
            vpcs=[{"VpcId": VPC, "CidrBlock": "10.0.0.0/16"}],
            prefix_lists={name: networks_of(entries) for name, entries in network.lists.items()},
            dns=network.dns,
        )

    @property
    def plan(self) -> NetworkPlan:
        """What a function in the first private subnet reaches."""
        return plan_of(
            self.picture, ORIGIN, region="eu-west-1", interfaces=self.interfaces, address=SOURCE, services=SERVICES
        )


def packet(to: str, port: int, protocol: str = "tcp") -> Packet:
    """A packet of the function's."""
    return Packet(SOURCE, to, port, protocol)
