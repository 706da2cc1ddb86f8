"""What is known of the networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .groups import PrefixLists
from .traffic import Json, Networks, networks_of


@dataclass(frozen=True, slots=True)
class Picture:
    """EC2's entries, of one VPC or of several; None where they may not be looked at.

    Attributes:
        subnets: DescribeSubnets'.
        route_tables: DescribeRouteTables'.
        acls: DescribeNetworkAcls'.
        groups: DescribeSecurityGroups', those of the function, the endpoint and the database at least.
        endpoints: DescribeVpcEndpoints'.
        nat_gateways: DescribeNatGateways', those that routes lead to at least.
        instances: DescribeInstances' instances, likewise.
        peerings: DescribeVpcPeeringConnections', likewise.
        vpcs: DescribeVpcs', the function's at least: only where its DNS server is asked for.
        prefix_lists: The entries of those that rules and routes name.
        dns: ``enableDnsSupport`` and ``enableDnsHostnames`` of the function's VPC, as far as they are known.
    """

    subnets: Sequence[Json] | None = None
    route_tables: Sequence[Json] | None = None
    acls: Sequence[Json] | None = None
    groups: Sequence[Json] | None = None
    endpoints: Sequence[Json] | None = None
    nat_gateways: Sequence[Json] | None = None
    instances: Sequence[Json] | None = None
    peerings: Sequence[Json] | None = None
    vpcs: Sequence[Json] | None = None
    prefix_lists: PrefixLists = field(default_factory=dict)
    dns: Mapping[str, bool] = field(default_factory=dict)

    def networks(self, *subnet_ids: str) -> Networks:
        """Return the addresses of subnets, IPv4; empty if one of them is not known."""
        found: Networks = ()
        for subnet_id in subnet_ids:
            subnet = self.subnet(subnet_id)
            if subnet is None:
                return ()
            found += networks_of([str(subnet.get("CidrBlock"))])
        return found

    def vpc_of(self, subnet_id: str) -> str:
        """Return the VPC of a subnet; empty if it is not known."""
        subnet = self.subnet(subnet_id)
        return "" if subnet is None else str(subnet.get("VpcId", ""))

    def subnet(self, subnet_id: str) -> Json | None:
        """Return a subnet's entry; None if it is not known."""
        return next((each for each in self.subnets or () if each.get("SubnetId") == subnet_id), None)
