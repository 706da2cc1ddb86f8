"""The policy of a function through boto3 and the AWS CLI."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Credentials, ServerProcess
from .test_lambda_functions import TRUST, create


@pytest.fixture(scope="module")
def arn(server: ServerProcess) -> str:
    role = server.client("iam").create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(TRUST))
    function_arn: str = create(server.client("lambda"), "rotate", role["Role"]["Arn"])["FunctionArn"]
    return function_arn


def user(server: ServerProcess, name: str, **statement: Any) -> Credentials:
    iam = server.client("iam")
    iam.create_user(UserName=name)
    if statement:
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


@pytest.mark.skipif(shutil.which("aws") is None, reason="needs the AWS CLI")
def test_the_aws_cli_prints_the_statement_that_rotation_needs(server: ServerProcess, arn: str) -> None:
    command = ["aws", "lambda", "add-permission", "--function-name", arn]
    command += ["--principal", "secretsmanager.amazonaws.com", "--action", "lambda:InvokeFunction"]
    command += ["--statement-id", "SecretsManagerAccess", "--output", "json"]

    made = subprocess.run(command, env=server.environ(), capture_output=True, text=True)

    assert made.returncode == 0, made.stderr
    statement = (
        '{"Sid":"SecretsManagerAccess","Effect":"Allow","Principal":{"Service":"secretsmanager.amazonaws.com"},'
        f'"Action":"lambda:InvokeFunction","Resource":"{arn}"}}'
    )
    assert made.stdout == json.dumps({"Statement": statement}, indent=4) + "\n"


def test_a_policy_comes_and_goes(server: ServerProcess, arn: str) -> None:
    client = server.client("lambda")
    client.add_permission(FunctionName=arn, StatementId="s3", Action="lambda:*", Principal="s3.amazonaws.com")

    with pytest.raises(client.exceptions.ResourceConflictException):
        client.add_permission(FunctionName=arn, StatementId="s3", Action="lambda:*", Principal="s3.amazonaws.com")
    policy = json.loads(client.get_policy(FunctionName="rotate")["Policy"])
    assert "s3" in [statement["Sid"] for statement in policy["Statement"]]
    removed = client.remove_permission(FunctionName=arn, StatementId="s3")
    assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.remove_permission(FunctionName=arn, StatementId="s3")


def test_a_statement_lets_a_user_in_and_its_removal_shuts_them_out(server: ServerProcess, arn: str) -> None:
    client = server.client("lambda")
    credentials = user(server, "bob")
    as_bob = server.client("lambda", credentials)

    with pytest.raises(ClientError) as refused:
        as_bob.invoke(FunctionName="rotate")
    bob = f"arn:aws:iam::{server.account_id}:user/bob"
    assert refused.value.response["Error"]["Message"] == (
        f"User: {bob} is not authorized to perform: lambda:InvokeFunction on resource: {arn} because no"
        " identity-based policy allows the lambda:InvokeFunction action"
    )
    client.add_permission(FunctionName=arn, StatementId="bob", Action="lambda:InvokeFunction", Principal=bob)
    assert as_bob.invoke(FunctionName="rotate")["StatusCode"] == 200
    client.remove_permission(FunctionName=arn, StatementId="bob")
    with pytest.raises(ClientError, match="AccessDenied"):
        as_bob.invoke(FunctionName="rotate")


def test_somebody_who_may_not_look_learns_nothing_of_what_exists(server: ServerProcess, arn: str) -> None:
    as_eve = server.client("lambda", user(server, "eve"))

    def refusal(name: str) -> str:
        with pytest.raises(ClientError) as refused:
            as_eve.get_function(FunctionName=name)
        return str(refused.value).replace(name, "NAME")

    assert refusal("rotate") == refusal("nobody")


def test_passing_a_role_is_a_permission_of_its_own(server: ServerProcess) -> None:
    role = f"arn:aws:iam::{server.account_id}:role/runner"
    as_ada = server.client("lambda", user(server, "ada", Action="lambda:*", Resource="*"))

    with pytest.raises(ClientError, match="iam:PassRole"):
        create(as_ada, "hers", role)
