"""Route tables, internet gateways, Elastic IPs and NAT gateways through boto3 and the AWS CLI."""

from __future__ import annotations

from typing import Any

import pytest

from .callers import Caller, allow
from .conftest import ServerProcess
from .networks import refused, tagged, where
from .test_awscli import TODAYS, Cli

EVERYWHERE = "0.0.0.0/0"
LOCAL = {
    "DestinationCidrBlock": "10.0.0.0/16",
    "GatewayId": "local",
    "Origin": "CreateRouteTable",
    "State": "active",
}


class Network:
    """A VPC with a subnet, its route tables and what is attached to it."""

    def __init__(self, ec2: Any) -> None:
        self.ec2 = ec2
        self.vpc_id: str = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnet_id = self.subnet("10.0.1.0/24")
        self.main = self.tables(association__main="true")[0]["RouteTableId"]

    def subnet(self, block: str) -> str:
        made: str = self.ec2.create_subnet(VpcId=self.vpc_id, CidrBlock=block)["Subnet"]["SubnetId"]
        return made

    def table(self) -> str:
        made: str = self.ec2.create_route_table(VpcId=self.vpc_id)["RouteTable"]["RouteTableId"]
        return made

    def tables(self, **filters: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ec2.describe_route_tables(Filters=where(vpc_id=self.vpc_id, **filters))[
            "RouteTables"
        ]
        return found

    def gateway(self) -> str:
        gateway_id: str = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=self.vpc_id)
        return gateway_id

    def address(self) -> str:
        allocated: str = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        return allocated

    def nat(self, **request: Any) -> str:
        wanted = {"SubnetId": self.subnet_id, **request}
        made: str = self.ec2.create_nat_gateway(**wanted)["NatGateway"]["NatGatewayId"]
        return made

    def nat_gateway(self, nat_gateway_id: str) -> dict[str, Any]:
        (found,) = self.ec2.describe_nat_gateways(NatGatewayIds=[nat_gateway_id])["NatGateways"]
        described: dict[str, Any] = found
        return described

    def routes(self, table_id: str) -> list[dict[str, Any]]:
        (table,) = self.ec2.describe_route_tables(RouteTableIds=[table_id])["RouteTables"]
        routes: list[dict[str, Any]] = table["Routes"]
        return routes

    def state(self, table_id: str, destination: str = EVERYWHERE) -> str:
        (state,) = (one["State"] for one in self.routes(table_id) if one["DestinationCidrBlock"] == destination)
        return str(state)


@pytest.fixture(scope="module")
def ec2(server: ServerProcess) -> Any:
    return server.client("ec2")


@pytest.fixture
def network(ec2: Any) -> Network:
    return Network(ec2)


# Route tables ---------------------------------------------------------------------------------------------------------


def test_a_vpc_has_a_main_route_table(server: ServerProcess, network: Network) -> None:
    (table,) = network.tables()
    assert (table["Routes"], table["OwnerId"], table["VpcId"]) == ([LOCAL], server.account_id, network.vpc_id)
    (association,) = table["Associations"]
    assert (association["Main"], association["AssociationState"]) == (True, {"State": "associated"})
    assert "SubnetId" not in association
    # A subnet without an association of its own is found by none.
    assert network.tables(association__subnet_id=network.subnet_id) == []


def test_a_subnet_is_associated_with_one_table_at_a_time(ec2: Any, network: Network) -> None:
    table, other = network.table(), network.table()
    made = ec2.associate_route_table(RouteTableId=table, SubnetId=network.subnet_id)
    assert made["AssociationState"] == {"State": "associated"}
    (found,) = network.tables(association__subnet_id=network.subnet_id)
    assert found["RouteTableId"] == table
    assert refused(ec2.associate_route_table, RouteTableId=other, SubnetId=network.subnet_id) == (
        "Resource.AlreadyAssociated",
        f"the specified association for route table {other} conflicts with an existing association",
    )

    replaced = ec2.replace_route_table_association(AssociationId=made["AssociationId"], RouteTableId=other)
    assert replaced["NewAssociationId"] != made["AssociationId"]
    assert [one["RouteTableId"] for one in network.tables(association__subnet_id=network.subnet_id)] == [other]

    assert refused(ec2.delete_route_table, RouteTableId=other) == (
        "DependencyViolation",
        f"The routeTable '{other}' has dependencies and cannot be deleted.",
    )
    ec2.disassociate_route_table(AssociationId=replaced["NewAssociationId"])
    ec2.delete_route_table(RouteTableId=other)
    assert {one["RouteTableId"] for one in network.tables()} == {network.main, table}
    assert refused(ec2.disassociate_route_table, AssociationId=replaced["NewAssociationId"]) == (
        "InvalidAssociationID.NotFound",
        f"The association ID '{replaced['NewAssociationId']}' does not exist",
    )


def test_the_main_association_moves_and_does_not_end(ec2: Any, network: Network) -> None:
    (main,) = network.tables()[0]["Associations"]
    association_id = main["RouteTableAssociationId"]
    assert refused(ec2.disassociate_route_table, AssociationId=association_id) == (
        "InvalidParameterValue",
        f"cannot disassociate the main route table association {association_id}",
    )
    assert refused(ec2.delete_route_table, RouteTableId=network.main)[0] == "DependencyViolation"

    table = network.table()
    moved = ec2.replace_route_table_association(AssociationId=association_id, RouteTableId=table)
    assert [one["RouteTableId"] for one in network.tables(association__main="true")] == [table]
    ec2.replace_route_table_association(AssociationId=moved["NewAssociationId"], RouteTableId=table)
    assert [len(one["Associations"]) for one in network.tables(association__main="true")] == [1]
    ec2.delete_route_table(RouteTableId=network.main)


def test_tables_and_subnets_of_two_vpcs_do_not_go_together(ec2: Any, network: Network) -> None:
    other = Network(ec2)
    assert refused(ec2.associate_route_table, RouteTableId=network.main, SubnetId=other.subnet_id) == (
        "InvalidParameterValue",
        f"Route table {network.main} and subnet {other.subnet_id} belong to different networks",
    )
    (main,) = network.tables()[0]["Associations"]
    request = {"AssociationId": main["RouteTableAssociationId"], "RouteTableId": other.main}
    assert refused(ec2.replace_route_table_association, **request)[0] == "InvalidParameterValue"


def test_a_deleted_subnet_takes_its_associations_along(ec2: Any, network: Network) -> None:
    table = network.table()
    ec2.associate_route_table(RouteTableId=table, SubnetId=network.subnet_id)
    ec2.delete_subnet(SubnetId=network.subnet_id)
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_vpc(VpcId=network.vpc_id)


def test_a_vpc_with_a_table_of_its_own_cannot_be_deleted(ec2: Any, network: Network) -> None:
    ec2.delete_subnet(SubnetId=network.subnet_id)
    table = network.table()
    assert refused(ec2.delete_vpc, VpcId=network.vpc_id)[0] == "DependencyViolation"
    ec2.delete_route_table(RouteTableId=table)
    ec2.delete_vpc(VpcId=network.vpc_id)
    assert network.tables() == []


# Routes and internet gateways -----------------------------------------------------------------------------------------


def test_a_route_lives_as_long_as_the_gateway_is_attached(ec2: Any, network: Network) -> None:
    gateway = network.gateway()
    answer = ec2.create_route(RouteTableId=network.main, DestinationCidrBlock=EVERYWHERE, GatewayId=gateway)
    assert answer["Return"] is True
    made = {"DestinationCidrBlock": EVERYWHERE, "GatewayId": gateway, "Origin": "CreateRoute", "State": "active"}
    assert network.routes(network.main) == [LOCAL, made]

    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc_id)
    assert network.routes(network.main) == [LOCAL, {**made, "State": "blackhole"}]
    assert len(network.tables(route__state="blackhole")) == 1
    ec2.delete_internet_gateway(InternetGatewayId=gateway)
    assert network.state(network.main) == "blackhole"

    another = network.gateway()
    ec2.replace_route(RouteTableId=network.main, DestinationCidrBlock=EVERYWHERE, GatewayId=another)
    assert network.state(network.main) == "active"
    ec2.delete_route(RouteTableId=network.main, DestinationCidrBlock="0.0.0.0/0")
    assert network.routes(network.main) == [LOCAL]


def test_a_destination_is_made_canonical(ec2: Any, network: Network) -> None:
    request = {"RouteTableId": network.main, "GatewayId": network.gateway()}
    ec2.create_route(DestinationCidrBlock="192.168.1.1/24", **request)
    assert network.state(network.main, "192.168.1.0/24") == "active"
    assert refused(ec2.create_route, DestinationCidrBlock="192.168.1.9/24", **request) == (
        "RouteAlreadyExists",
        "The route identified by 192.168.1.0/24 already exists.",
    )


def test_a_route_that_cannot_be_is_refused(ec2: Any, network: Network) -> None:
    gateway, detached = network.gateway(), ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    table = network.main

    def told(**request: str) -> tuple[str, str]:
        return refused(ec2.create_route, RouteTableId=table, **{"DestinationCidrBlock": EVERYWHERE, **request})

    different = f"route table {table} and network gateway {detached} belong to different networks"
    assert told(GatewayId=detached) == ("InvalidParameterValue", different)
    assert told(GatewayId="igw-0") == ("InvalidGatewayID.NotFound", "The gateway ID 'igw-0' does not exist")
    assert told(NatGatewayId="nat-0") == ("InvalidNatGatewayID.NotFound", "The natGateway ID 'nat-0' does not exist")
    assert told()[0] == "MissingParameter"
    assert told(GatewayId=gateway, NatGatewayId="nat-0")[0] == "InvalidParameterCombination"
    assert told(TransitGatewayId="tgw-0")[0] == "NotImplemented"
    assert told(GatewayId=gateway, DestinationCidrBlock="0.0.0.0") == (
        "InvalidParameterValue",
        "Value (0.0.0.0) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.",
    )
    assert told(GatewayId=gateway, DestinationCidrBlock="")[0] == "MissingParameter"
    within = (
        "The destination CIDR block 10.0.1.0/24 is equal to or more specific than one of this VPC's CIDR blocks. This"
        " route can target only an interface or an instance."
    )
    assert told(GatewayId=gateway, DestinationCidrBlock="10.0.1.0/24") == ("InvalidParameterValue", within)
    assert told(GatewayId=gateway, DestinationCidrBlock="10.0.0.0/16") == (
        "RouteAlreadyExists",
        "The route identified by 10.0.0.0/16 already exists.",
    )
    assert refused(ec2.replace_route, RouteTableId=table, DestinationCidrBlock=EVERYWHERE, GatewayId=gateway) == (
        "InvalidParameterValue",
        "There is no route defined for '0.0.0.0/0' in the route table. Use CreateRoute instead.",
    )
    local = {"RouteTableId": table, "DestinationCidrBlock": "10.0.0.0/16"}
    assert refused(ec2.replace_route, GatewayId=gateway, **local)[0] == "InvalidParameterValue"
    assert refused(ec2.delete_route, **local) == (
        "InvalidParameterValue",
        f"cannot remove local route 10.0.0.0/16 in route table {table}",
    )
    assert refused(ec2.delete_route, RouteTableId=table, DestinationCidrBlock=EVERYWHERE) == (
        "InvalidRoute.NotFound",
        f"no route with destination-cidr-block 0.0.0.0/0 in route table {table}",
    )
    assert refused(ec2.delete_route, RouteTableId="rtb-0", DestinationCidrBlock=EVERYWHERE) == (
        "InvalidRouteTableID.NotFound",
        "The routeTable ID 'rtb-0' does not exist",
    )
    assert network.routes(table) == [LOCAL]


def test_an_internet_gateway_is_attached_to_one_vpc_and_a_vpc_has_one(ec2: Any, network: Network) -> None:
    gateway, other = network.gateway(), Network(ec2)
    (found,) = ec2.describe_internet_gateways(Filters=where(attachment__vpc_id=network.vpc_id))["InternetGateways"]
    assert found["InternetGatewayId"] == gateway
    assert found["Attachments"] == [{"State": "available", "VpcId": network.vpc_id}]
    assert refused(ec2.attach_internet_gateway, InternetGatewayId=gateway, VpcId=other.vpc_id) == (
        "Resource.AlreadyAssociated",
        f"resource {gateway} is already attached to network {network.vpc_id}",
    )
    second = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    assert refused(ec2.attach_internet_gateway, InternetGatewayId=second, VpcId=network.vpc_id) == (
        "InvalidParameterValue",
        f"Network {network.vpc_id} already has an internet gateway attached",
    )
    assert refused(ec2.detach_internet_gateway, InternetGatewayId=second, VpcId=network.vpc_id) == (
        "Gateway.NotAttached",
        f"resource {second} is not attached to network {network.vpc_id}",
    )
    assert refused(ec2.delete_internet_gateway, InternetGatewayId=gateway) == (
        "DependencyViolation",
        f"The internetGateway '{gateway}' has dependencies and cannot be deleted.",
    )
    ec2.delete_subnet(SubnetId=network.subnet_id)
    assert refused(ec2.delete_vpc, VpcId=network.vpc_id)[0] == "DependencyViolation"
    assert refused(ec2.describe_internet_gateways, InternetGatewayIds=["igw-0"]) == (
        "InvalidInternetGatewayID.NotFound",
        "The internetGateway ID 'igw-0' does not exist",
    )


# Elastic IPs and NAT gateways -----------------------------------------------------------------------------------------


def test_an_address_is_allocated_described_and_released(server: ServerProcess) -> None:
    ec2 = server.client("ec2", region="eu-west-2")
    first = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip", a="b"))
    second = ec2.allocate_address()
    assert [first["PublicIp"], second["PublicIp"]] == ["198.51.100.1", "198.51.100.2"]
    assert (first["Domain"], first["NetworkBorderGroup"]) == ("vpc", "eu-west-2")
    (found,) = ec2.describe_addresses(AllocationIds=[first["AllocationId"]])["Addresses"]
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]
    assert ec2.describe_addresses(PublicIps=["198.51.100.1"])["Addresses"] == [found]
    assert ec2.describe_addresses(Filters=where(public_ip="198.51.100.1"))["Addresses"] == [found]
    assert refused(ec2.describe_addresses, PublicIps=["198.51.100.9"]) == (
        "InvalidAddress.NotFound",
        "Address '198.51.100.9' not found.",
    )
    ec2.release_address(AllocationId=first["AllocationId"])
    assert refused(ec2.release_address, AllocationId=first["AllocationId"]) == (
        "InvalidAllocationID.NotFound",
        f"The allocation ID '{first['AllocationId']}' does not exist",
    )
    # An address that was released is given away again.
    assert ec2.allocate_address()["PublicIp"] == "198.51.100.1"


def test_a_nat_gateway_leads_to_the_internet(ec2: Any, network: Network) -> None:
    network.gateway()
    allocation_id = network.address()
    made = ec2.create_nat_gateway(
        SubnetId=network.subnet_id, AllocationId=allocation_id, TagSpecifications=tagged("natgateway", a="b")
    )["NatGateway"]
    nat = made["NatGatewayId"]
    assert (made["State"], made["ConnectivityType"]) == ("pending", "public")
    ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat])
    found = network.nat_gateway(nat)
    (address,) = found["NatGatewayAddresses"]
    (elastic,) = ec2.describe_addresses(AllocationIds=[allocation_id])["Addresses"]
    assert (address["PublicIp"], address["PrivateIp"]) == (elastic["PublicIp"], "10.0.1.4")
    assert (elastic["AssociationId"], elastic["NetworkInterfaceId"], elastic["PrivateIpAddress"]) == (
        address["AssociationId"],
        address["NetworkInterfaceId"],
        "10.0.1.4",
    )
    (subnet,) = ec2.describe_subnets(SubnetIds=[network.subnet_id])["Subnets"]
    assert subnet["AvailableIpAddressCount"] == 250

    ec2.create_route(RouteTableId=network.main, DestinationCidrBlock=EVERYWHERE, NatGatewayId=nat)
    assert network.state(network.main) == "active"
    by_filter = ec2.describe_nat_gateways(Filter=where(vpc_id=network.vpc_id, state="available"))["NatGateways"]
    assert by_filter == [found]


def test_a_deleted_nat_gateway_gives_everything_back_and_is_described_still(ec2: Any, network: Network) -> None:
    gateway, allocation_id = network.gateway(), network.address()
    nat = network.nat(AllocationId=allocation_id)
    ec2.create_route(RouteTableId=network.main, DestinationCidrBlock=EVERYWHERE, NatGatewayId=nat)
    in_use = refused(ec2.release_address, AllocationId=allocation_id)
    assert (in_use[0], in_use[1].endswith(" is in use.")) == ("InvalidIPAddress.InUse", True)
    assert refused(ec2.delete_subnet, SubnetId=network.subnet_id) == (
        "DependencyViolation",
        f"The subnet '{network.subnet_id}' has dependencies and cannot be deleted.",
    )
    assert refused(ec2.detach_internet_gateway, InternetGatewayId=gateway, VpcId=network.vpc_id) == (
        "DependencyViolation",
        (
            f"Network {network.vpc_id} has some mapped public address(es). Please unmap those public address(es)"
            " before detaching the gateway."
        ),
    )

    assert ec2.delete_nat_gateway(NatGatewayId=nat)["NatGatewayId"] == nat
    ec2.get_waiter("nat_gateway_deleted").wait(NatGatewayIds=[nat])
    found = network.nat_gateway(nat)
    assert found["State"] == "deleted"
    assert found["DeleteTime"] >= found["CreateTime"]
    assert network.state(network.main) == "blackhole"
    another = {"RouteTableId": network.main, "DestinationCidrBlock": "192.0.2.0/24", "NatGatewayId": nat}
    assert refused(ec2.create_route, **another)[0] == "InvalidNatGatewayID.NotFound"
    ec2.release_address(AllocationId=allocation_id)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=network.vpc_id)
    ec2.delete_subnet(SubnetId=network.subnet_id)
    ec2.delete_vpc(VpcId=network.vpc_id)


def test_a_nat_gateway_that_cannot_lead_anywhere_has_failed(ec2: Any, network: Network) -> None:
    free = network.address()
    alone = network.nat_gateway(network.nat(AllocationId=free))
    assert (alone["State"], alone["FailureCode"], alone["FailureMessage"]) == (
        "failed",
        "Gateway.NotAttached",
        f"Network {network.vpc_id} has no Internet gateway attached",
    )
    network.gateway()
    assert network.nat_gateway(network.nat(AllocationId=free))["State"] == "available"
    second = network.nat_gateway(network.nat(AllocationId=free))
    assert (second["State"], second["FailureCode"], second["FailureMessage"]) == (
        "failed",
        "Resource.AlreadyAssociated",
        f"Elastic IP address [{free}] is already associated",
    )


def test_a_private_nat_gateway_has_no_public_address(ec2: Any, network: Network) -> None:
    found = network.nat_gateway(network.nat(ConnectivityType="private", PrivateIpAddress="10.0.1.99"))
    (address,) = found["NatGatewayAddresses"]
    assert (found["State"], address["PrivateIp"], "PublicIp" in address) == ("available", "10.0.1.99", False)


def test_a_nat_gateway_that_cannot_be_is_refused(ec2: Any, network: Network) -> None:
    def told(**request: str) -> tuple[str, str]:
        return refused(ec2.create_nat_gateway, **{"SubnetId": network.subnet_id, **request})

    assert told() == (
        "MissingParameter",
        "The request must include the AllocationId parameter. Add the required parameter and retry the request.",
    )
    assert told(AllocationId="eipalloc-0") == (
        "InvalidElasticIpID.NotFound",
        "The elasticIp ID 'eipalloc-0' does not exist",
    )
    private = {"ConnectivityType": "private"}
    assert told(AllocationId=network.address(), **private)[0] == "InvalidParameterCombination"
    assert told(SubnetId="subnet-0", **private)[0] == "InvalidSubnetID.NotFound"
    for address in ("10.0.1.0", "10.0.1.3", "10.0.1.255"):
        assert told(PrivateIpAddress=address, **private) == (
            "InvalidParameterValue",
            f"Address {address} is in subnet's reserved address range",
        )
    for address in ("10.0.2.9", "nowhere"):
        assert told(PrivateIpAddress=address, **private) == (
            "InvalidParameterValue",
            "Address does not fall within the subnet's address range",
        )
    network.nat(PrivateIpAddress="10.0.1.9", **private)
    assert told(PrivateIpAddress="10.0.1.9", **private)[0] == "InvalidIPAddress.InUse"
    small = network.subnet("10.0.9.0/28")
    for _ in range(11):
        network.nat(SubnetId=small, **private)
    assert told(SubnetId=small, **private) == (
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )
    gone = {"Code": "NatGatewayNotFound", "Message": "The Nat Gateway nat-0 was not found"}
    for call, request in (
        (ec2.delete_nat_gateway, {"NatGatewayId": "nat-0"}),
        (ec2.describe_nat_gateways, {"NatGatewayIds": ["nat-0"]}),
    ):
        assert refused(call, **request) == (gone["Code"], gone["Message"])


def test_each_of_what_a_nat_gateway_is_made_of_needs_a_permission(server: ServerProcess, network: Network) -> None:
    network.gateway()
    allocation_id = network.address()
    caller, here = Caller(server, "user"), f"arn:aws:ec2:{server.region}:{server.account_id}"
    request = {"SubnetId": network.subnet_id, "AllocationId": allocation_id}
    allowed = [f"{here}:natgateway/*", f"{here}:subnet/{network.subnet_id}", f"{here}:elastic-ip/{allocation_id}"]
    for number, missing in enumerate(allowed):
        caller.may(allow("ec2:CreateNatGateway", [*allowed[:number], "arn:aws:ec2:::none"]))
        told = refused(caller.client("ec2").create_nat_gateway, **request)
        assert f"ec2:CreateNatGateway on resource: {missing} because" in told[1]
    caller.may(allow("ec2:CreateNatGateway", allowed))
    assert caller.client("ec2").create_nat_gateway(**request)["NatGateway"]["NatGatewayId"]


def test_the_command_line_gives_a_private_subnet_a_way_out(server: ServerProcess) -> None:
    aws = Cli(TODAYS, ("--output", "text"), server.environ())

    def run(*arguments: str) -> str:
        done = aws.run("ec2", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    vpc = run("create-vpc", "--cidr-block", "10.9.0.0/16", "--query", "Vpc.VpcId")
    public, private = (
        run("create-subnet", "--vpc-id", vpc, "--cidr-block", f"10.9.{number}.0/24", "--query", "Subnet.SubnetId")
        for number in (1, 2)
    )
    gateway = run("create-internet-gateway", "--query", "InternetGateway.InternetGatewayId")
    run("attach-internet-gateway", "--internet-gateway-id", gateway, "--vpc-id", vpc)
    address = run("allocate-address", "--domain", "vpc", "--query", "AllocationId")
    nat = run(
        "create-nat-gateway", "--subnet-id", public, "--allocation-id", address, "--query", "NatGateway.NatGatewayId"
    )
    run("wait", "nat-gateway-available", "--nat-gateway-ids", nat)
    for subnet, target in ((public, ("--gateway-id", gateway)), (private, ("--nat-gateway-id", nat))):
        table = run("create-route-table", "--vpc-id", vpc, "--query", "RouteTable.RouteTableId")
        run("associate-route-table", "--route-table-id", table, "--subnet-id", subnet)
        run("create-route", "--route-table-id", table, "--destination-cidr-block", EVERYWHERE, *target)
        query = f"RouteTables[].Routes[?DestinationCidrBlock=='{EVERYWHERE}'].[State]"
        by_subnet = f"Name=association.subnet-id,Values={subnet}"
        assert run("describe-route-tables", "--filters", by_subnet, "--query", query) == "active"
