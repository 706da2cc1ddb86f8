"""Short words for tests of EC2's networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .refusals import refusal


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    """Make a call that must be refused and return its code and what it says."""
    found = refusal(call, **request)
    return found.code, found.message


def tagged(resource_type: str, **tags: str) -> list[dict[str, Any]]:
    """A TagSpecification."""
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": resource_type, "Tags": pairs}]


def where(**values: str | list[str]) -> list[dict[str, Any]]:
    """Filters, underscores for hyphens and two of them for dots: ``where(association__subnet_id="subnet-1")``."""
    return [
        {
            "Name": name.replace("__", ".").replace("_", "-"),
            "Values": value if isinstance(value, list) else [value],
        }
        for name, value in values.items()
    ]


def new_vpc(ec2: Any, block: str = "10.0.0.0/16") -> str:
    """Make a VPC and return its id."""
    made: str = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
    return made


def new_subnet(ec2: Any, vpc_id: str, block: str = "10.0.1.0/24", **request: Any) -> str:
    """Make a subnet and return its id."""
    made: str = ec2.create_subnet(VpcId=vpc_id, CidrBlock=block, **request)["Subnet"]["SubnetId"]
    return made


def new_group(ec2: Any, vpc_id: str, name: str = "group") -> str:
    """Make a security group and return its id."""
    made: str = ec2.create_security_group(GroupName=name, Description="for a test", VpcId=vpc_id)["GroupId"]
    return made


def default_group(ec2: Any, vpc_id: str) -> str:
    """Return the id of a VPC's default security group."""
    (found,) = ec2.describe_security_groups(Filters=where(vpc_id=vpc_id, group_name="default"))["SecurityGroups"]
    group_id: str = found["GroupId"]
    return group_id


def tcp(port: int, *cidrs: str, groups: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Permissions for one port of TCP."""
    permission: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
    if cidrs:
        permission["IpRanges"] = [{"CidrIp": each} for each in cidrs]
    if groups:
        permission["UserIdGroupPairs"] = [{"GroupId": each} for each in groups]
    return [permission]
