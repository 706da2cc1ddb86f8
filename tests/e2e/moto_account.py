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

from .vpc import Vpc

REGION = "eu-west-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}
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


class Account(Vpc):
    """What a test changes, and the doctor looks at. Healthy at first: private subnets behind a NAT gateway."""

    def __init__(self) -> None:
        self.clients = _clients()
        super().__init__(self.clients["ec2"], REGION, 5432)
        self.rds = self.clients["rds"]
        self._database()
        self._function()
        self._secret()

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

    def database_at(self, address: str) -> None:
        """Let the database be a server with an interface of its own in place of RDS'."""
        self.interface_of(address)
        self.say_host(address)

    def say_host(self, host: str) -> None:
        """Let the value name another host."""
        self.clients["secretsmanager"].put_secret_value(SecretId=self.secret, SecretString=_value(host))

    def _secret(self) -> None:
        secrets = self.clients["secretsmanager"]
        self.secret = secrets.create_secret(Name="svc/orders/db", SecretString=_value(self.host))["ARN"]
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


def _value(host: str) -> str:
    return json.dumps({"engine": "postgres", "host": host, "port": 5432, "username": "orders", "password": "x"})


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
