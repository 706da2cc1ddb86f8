"""A VPC as people make them, by EC2's API: private subnets behind a NAT gateway, a database's subnets, their groups."""

from __future__ import annotations

from typing import Any

ALL = "0.0.0.0/0"


class Vpc:
    """Networks that a test changes. Healthy at first.

    Args:
        ec2: A client of EC2.
        region: Its region.
        port: Of the database.
        number: Which network it is: its addresses are 10.NUMBER.0.0 to 10.NUMBER.255.255.
    """

    def __init__(self, ec2: Any, region: str, port: int, number: int = 0) -> None:
        self.ec2, self.region, self.block = ec2, region, f"10.{number}"
        self.vpc = ec2.create_vpc(CidrBlock=f"{self.block}.0.0/16")["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsHostnames={"Value": True})
        names = ("private_a", "private_b", "public", "data_a", "data_b")
        self.subnets = {
            name: ec2.create_subnet(
                VpcId=self.vpc,
                CidrBlock=f"{self.block}.{position}.0/24",
                AvailabilityZone=f"{region}{'ab'[name.endswith('b')]}",
            )["Subnet"]["SubnetId"]
            for position, name in enumerate(names)
        }
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.public_table = self.table("public")
        ec2.create_route(RouteTableId=self.public_table, DestinationCidrBlock=ALL, GatewayId=self.gateway)
        self.private_table = self.table("private_a", "private_b")
        self.nat = self.nat_in("public")
        self.route_to_nat()
        self.function_group, self.database_group = self.group("function"), self.group("database")
        self.let_in(self.database_group, port, self.function_group)

    def table(self, *names: str) -> str:
        """Make a route table for subnets."""
        table_id: str = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        for name in names:
            self.ec2.associate_route_table(RouteTableId=table_id, SubnetId=self.subnets[name])
        return table_id

    def nat_in(self, name: str) -> str:
        """Make a NAT gateway in a subnet."""
        address = self.ec2.allocate_address(Domain="vpc")["AllocationId"]
        made = self.ec2.create_nat_gateway(SubnetId=self.subnets[name], AllocationId=address)
        nat_id: str = made["NatGateway"]["NatGatewayId"]
        return nat_id

    def route_to_nat(self) -> None:
        """Let the private subnets out."""
        self.ec2.create_route(RouteTableId=self.private_table, DestinationCidrBlock=ALL, NatGatewayId=self.nat)

    def unroute(self) -> None:
        """Let them out no more."""
        self.ec2.delete_route(RouteTableId=self.private_table, DestinationCidrBlock=ALL)

    def group(self, name: str) -> str:
        """Make a security group, which lets everything out and nothing in."""
        made = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)
        group_id: str = made["GroupId"]
        return group_id

    def let_in(self, group_id: str, port: int, source_id: str) -> None:
        """Let a group in at another one."""
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        pairs = [{"GroupId": source_id}]
        self.ec2.authorize_security_group_ingress(
            GroupId=group_id, IpPermissions=[{**permission, "UserIdGroupPairs": pairs}]
        )

    def shut(self, group_id: str) -> None:
        """Let nothing in at a group any more."""
        group = self.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"][0]
        self.ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=group["IpPermissions"])

    def endpoint(self, **more: Any) -> str:
        """Make an endpoint of Secrets Manager in place of the NAT gateway; return its id."""
        self.unroute()
        self.endpoint_group = self.group("endpoint")
        self.let_in(self.endpoint_group, 443, self.function_group)
        parameters = {
            "VpcId": self.vpc,
            "VpcEndpointType": "Interface",
            "ServiceName": f"com.amazonaws.{self.region}.secretsmanager",
            "SubnetIds": [self.subnets["private_a"], self.subnets["private_b"]],
            "SecurityGroupIds": [self.endpoint_group],
            "PrivateDnsEnabled": True,
            **more,
        }
        endpoint_id: str = self.ec2.create_vpc_endpoint(**parameters)["VpcEndpoint"]["VpcEndpointId"]
        return endpoint_id

    def acl(self, *names: str) -> str:
        """Give subnets a network ACL of their own, which lets everything pass; return its id."""
        acl_id: str = self.ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        for egress in (True, False):
            self.ec2.create_network_acl_entry(
                NetworkAclId=acl_id, RuleNumber=100, Protocol="-1", RuleAction="allow", Egress=egress, CidrBlock=ALL
            )
        for acl in self.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["NetworkAcls"]:
            for association in acl["Associations"]:
                if association["SubnetId"] in [self.subnets[name] for name in names]:
                    self.ec2.replace_network_acl_association(
                        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl_id
                    )
        return acl_id

    def interface_of(self, address: str) -> str:
        """Let an interface in a database's subnet stand for a host on one's own network; return its id."""
        made = self.ec2.create_network_interface(
            SubnetId=self.subnets["data_a"],
            PrivateIpAddress=address,
            Groups=[self.database_group],
            Description="a database on our own network",
        )
        interface_id: str = made["NetworkInterface"]["NetworkInterfaceId"]
        return interface_id

    def in_subnets(self, *names: str) -> dict[str, Any]:
        """Return the configuration of a function in subnets; in no VPC for none."""
        groups = [self.function_group] if names else []
        return {"SubnetIds": [self.subnets[name] for name in names], "SecurityGroupIds": groups}
