"""VPCs for tests of functions in them, and functions that say what they reach."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

from keyturn.testing.functions import zip_package

from .callers import document
from .conftest import ServerProcess
from .networks import where

NETWORK_POLICY = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
TRUST = document({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
PROBE = """
import socket

def resolved(name):
    try:
        return sorted({found[4][0] for found in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)})
    except OSError as error:
        return type(error).__name__

def said(host, port, hello):
    with socket.socket() as probe:
        probe.settimeout(1)
        try:
            probe.connect((host, port))
            probe.sendall(bytes.fromhex(hello))
            return probe.recv(1).decode()
        except OSError as error:
            return type(error).__name__

def lambda_handler(event, context):
    if "resolve" in event:
        return [resolved(name) for name in event["resolve"]]
    return [said(*each) for each in event["reach"]]
"""


@dataclass
class Vpc:
    """A VPC with subnets, one for each of some blocks of addresses, and its default security group."""

    vpc_id: str
    subnet_ids: list[str]
    group_id: str

    @property
    def config(self) -> dict[str, list[str]]:
        """A VpcConfig."""
        return {"SubnetIds": self.subnet_ids, "SecurityGroupIds": [self.group_id]}


def make_vpc(server: ServerProcess, *blocks: str) -> Vpc:
    """Make a VPC."""
    ec2 = server.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_ids = [ec2.create_subnet(VpcId=vpc_id, CidrBlock=block)["Subnet"]["SubnetId"] for block in blocks]
    (group,) = ec2.describe_security_groups(Filters=where(vpc_id=vpc_id))["SecurityGroups"]
    return Vpc(vpc_id, subnet_ids, group["GroupId"])


def make_role(server: ServerProcess, name: str) -> str:
    """Make an execution role that may have network interfaces, and return its ARN."""
    iam = server.client("iam")
    arn: str = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.attach_role_policy(RoleName=name, PolicyArn=NETWORK_POLICY)
    return arn


def create_function(server: ServerProcess, name: str, vpc: Vpc, source: str = PROBE, **members: Any) -> str:
    """Make a function in a VPC, with a role of its own, and return its ARN."""
    arn: str = server.client("lambda").create_function(
        FunctionName=name,
        Runtime=f"python3.{sys.version_info.minor}",
        Role=make_role(server, name),
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": source})},
        VpcConfig=vpc.config,
        **{"Timeout": 10, **members},
    )["FunctionArn"]
    return arn


def answer(server: ServerProcess, name: str, **event: Any) -> Any:
    """Invoke a function that must not fail."""
    invoked = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    payload = json.loads(invoked["Payload"].read())
    assert "FunctionError" not in invoked, payload
    return payload
