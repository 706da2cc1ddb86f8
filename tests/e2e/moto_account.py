"""An account in moto, which others wrote: a VPC, a function, a database and a secret, made as people make them.

In this process: no socket is opened, and what is not simulated is answered as moto's server would.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from unittest.mock import patch
from zipfile import ZipFile

import boto3
from awscli.clidriver import create_clidriver
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.ec2.models import amis

from keyturn.doctor.asking import AskByBoto3
from keyturn.doctor.case import Case
from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Finding, Report, Role, Section
from keyturn.doctor.remedies import words
from keyturn.doctor.runner import examine
from keyturn.doctor.subject import Options

REGION = "eu-west-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
ALL = "0.0.0.0/0"
ROTATES = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["secretsmanager:*", "logs:*", "ec2:*NetworkInterface*"], "Resource": "*"}
    ],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
MAY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:UpdateSecretVersionStage",
                "secretsmanager:GetRandomPassword",
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
            ],
            "Resource": "*",
        }
    ],
}


@cache
def _clients() -> dict[str, Any]:
    session = boto3.session.Session(
        CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"], region_name=REGION
    )
    names = ("ec2", "rds", "lambda", "iam", "secretsmanager", "kms", "logs", "cloudtrail", "cloudwatch")
    return {name: session.client(name) for name in names}


class Account:
    """What a test changes, and the doctor looks at. Healthy at first: private subnets behind a NAT gateway."""

    def __init__(self) -> None:
        self.clients = _clients()
        self.ec2, self.rds = self.clients["ec2"], self.clients["rds"]
        self._network()
        self._database()
        self._function()
        self._secret()

    def _network(self) -> None:
        ec2 = self.ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsHostnames={"Value": True})
        names = ("private_a", "private_b", "public", "data_a", "data_b")
        self.subnets = {
            name: ec2.create_subnet(
                VpcId=self.vpc,
                CidrBlock=f"10.0.{position}.0/24",
                AvailabilityZone=f"{REGION}{'ab'[name.endswith('b')]}",
            )["Subnet"]["SubnetId"]
            for position, name in enumerate(names)
        }
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.public_table = self.table("public")
        ec2.create_route(RouteTableId=self.public_table, DestinationCidrBlock=ALL, GatewayId=self.gateway)
        self.private_table = self.table("private_a", "private_b")
        self.nat = self.nat_in("public")
        ec2.create_route(RouteTableId=self.private_table, DestinationCidrBlock=ALL, NatGatewayId=self.nat)
        self.function_group, self.database_group = self.group("function"), self.group("database")
        self.let_in(self.database_group, 5432, self.function_group)

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

    def endpoint(self, **more: Any) -> str:
        """Make an endpoint of Secrets Manager in place of the NAT gateway; return its id."""
        self.ec2.delete_route(RouteTableId=self.private_table, DestinationCidrBlock=ALL)
        self.endpoint_group = self.group("endpoint")
        self.let_in(self.endpoint_group, 443, self.function_group)
        parameters = {
            "VpcId": self.vpc,
            "VpcEndpointType": "Interface",
            "ServiceName": f"com.amazonaws.{REGION}.secretsmanager",
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

    def _database(self) -> None:
        subnet_ids = [self.subnets["data_a"], self.subnets["data_b"]]
        self.rds.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="data", SubnetIds=subnet_ids)
        made = self.rds.create_db_instance(
            DBInstanceIdentifier="orders",
            DBInstanceClass="db.t4g.micro",
            Engine="postgres",
            Port=5432,
            AllocatedStorage=20,
            MasterUsername="postgres",
            MasterUserPassword="not-a-real-password",
            DBSubnetGroupName="data",
            VpcSecurityGroupIds=[self.database_group],
            PubliclyAccessible=False,
        )
        self.host = made["DBInstance"]["Endpoint"]["Address"]

    def _function(self) -> None:
        iam = self.clients["iam"]
        role = iam.create_role(RoleName="rotator", AssumeRolePolicyDocument=json.dumps(TRUST))
        iam.put_role_policy(RoleName="rotator", PolicyName="rotation", PolicyDocument=json.dumps(ROTATES))
        package = io.BytesIO()
        with ZipFile(package, "w") as file:
            file.writestr("lambda_function.py", "def lambda_handler(event, context): ...")
        address = f"https://secretsmanager.{REGION}.amazonaws.com"
        made = self.clients["lambda"].create_function(
            FunctionName="rotate-orders",
            Runtime="python3.12",
            Role=role["Role"]["Arn"],
            Handler="lambda_function.lambda_handler",
            Code={"ZipFile": package.getvalue()},
            Timeout=30,
            Environment={"Variables": {"SECRETS_MANAGER_ENDPOINT": address}},
            VpcConfig=self.in_subnets("private_a", "private_b"),
        )
        self.function_arn = made["FunctionArn"]
        self.clients["lambda"].add_permission(
            FunctionName="rotate-orders",
            StatementId="SecretsManagerAccess",
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
        )

    def in_subnets(self, *names: str) -> dict[str, Any]:
        """Return the configuration of a function in subnets; in no VPC for none."""
        groups = [self.function_group] if names else []
        return {"SubnetIds": [self.subnets[name] for name in names], "SecurityGroupIds": groups}

    def move(self, *names: str) -> None:
        """Put the function into other subnets."""
        self.clients["lambda"].update_function_configuration(
            FunctionName="rotate-orders", VpcConfig=self.in_subnets(*names)
        )

    def say(self, **variables: str) -> None:
        """Give the function other variables."""
        self.clients["lambda"].update_function_configuration(
            FunctionName="rotate-orders", Environment={"Variables": variables}
        )

    def _secret(self) -> None:
        value = {"engine": "postgres", "host": self.host, "port": 5432, "username": "orders", "password": "x"}
        secrets = self.clients["secretsmanager"]
        self.secret = secrets.create_secret(Name="svc/orders/db", SecretString=json.dumps(value))["ARN"]
        secrets.rotate_secret(
            SecretId=self.secret,
            RotationLambdaARN=self.function_arn,
            RotationRules={"AutomaticallyAfterDays": 30},
            RotateImmediately=False,
        )

    # What is said of it.

    def case(self, *, read_value: bool = True) -> Case:
        """Return what the doctor collects."""
        ask = AskByBoto3(self.clients)

        def answered(service: str, operation: str, parameters: Mapping[str, Any], /) -> Mapping[str, Any]:
            try:
                return ask(service, operation, parameters)
            except NotImplementedError as error:
                response: Any = {"Error": {"Code": "500"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
                raise ClientError(response, operation) from error

        return collect(Facts(answered), self.secret, datetime.now(UTC), Options(read_value=read_value))

    def report(self, *, read_value: bool = True) -> Report:
        """Return the doctor's diagnosis."""
        return examine(self.case(read_value=read_value))

    def causes(self, *, read_value: bool = True) -> list[Finding]:
        """Return the causes that lie in the network."""
        found = self.report(read_value=read_value).findings
        return [each for each in found if each.role is Role.CAUSE and each.cause.section is Section.NETWORK]

    def ids(self, *, read_value: bool = True) -> list[str]:
        """Return their ids."""
        return [finding.id for finding in self.causes(read_value=read_value)]

    # Its remedies, as they are printed.

    def follow(self, finding: Finding) -> None:
        """Do what a remedy prints: each command with the AWS CLI, what stands in $( ) and in variables filled in."""
        variables: dict[str, str] = {}
        commands = [shlex.join(words(change)) for change in finding.remedy.changes] or list(finding.remedy.by_hand)
        for command in commands:
            assigned = re.fullmatch(r"([A-Z_]+)=(\$\(.*\))", command, re.DOTALL)
            text = _substituted(assigned[2] if assigned else command, variables)
            if assigned:
                variables[assigned[1]] = text
            elif "arn:aws:iam::aws:policy/" not in text:
                # moto has AWS's own policies only where it loads all of them, which takes a second for each account.
                _aws(text)


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    for name, value in variables.items():
        text = text.replace(f"${name}", value)
    while inner := re.search(r"\$\(([^()]*)\)", text):
        text = text[: inner.start()] + _aws(inner[1]) + text[inner.end() :]
    return text


@cache
def _models() -> Any:
    """The AWS CLI's models of services, kept once read."""
    return create_clidriver().session.get_component("data_loader")


def _aws(command: str) -> str:
    """Run the AWS CLI in this process and return what it prints."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        # One driver is good for one command, and would read all of AWS's models anew.
        driver = create_clidriver()
        driver.session.register_component("data_loader", _models())
        status = driver.main(shlex.split(command)[1:])
    assert status == 0, f"{command}: {err.getvalue()}"
    return out.getvalue().strip()


@contextlib.contextmanager
def account() -> Iterator[Account]:
    """Serve an account; no container is started for its function."""
    # Each region's images take moto half a second; one of them is enough to start an instance. Where images of one's
    # own are named, which it looks for when it is imported, it does not read those of the region either.
    few = patch.object(amis, "AMIS", amis.AMIS[:1])
    no_others = patch.dict(os.environ, MOTO_AMIS_PATH="none but those")
    with few, no_others, mock_aws(config={"lambda": {"use_docker": False}}):
        yield Account()
