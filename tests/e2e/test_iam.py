"""IAM through boto3: what scripts, Terraform and the CLI do to make users, roles and policies."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}
READ = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}],
}


@pytest.fixture(scope="module")
def iam(server: ServerProcess) -> Any:
    return server.client("iam")


def error_of(refused: pytest.ExceptionInfo[ClientError]) -> tuple[str, int, str]:
    response = refused.value.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return response["Error"]["Code"], status, response["Error"]["Message"]


def test_documents_come_back_as_they_went(iam: Any) -> None:
    iam.create_role(RoleName="documents", AssumeRolePolicyDocument=json.dumps(TRUST), Description="50 % & <more>")
    iam.put_role_policy(RoleName="documents", PolicyName="read", PolicyDocument=json.dumps(READ))

    role = iam.get_role(RoleName="documents")["Role"]
    assert role["AssumeRolePolicyDocument"] == TRUST
    assert role["Description"] == "50 % & <more>"
    assert role["MaxSessionDuration"] == 3600
    assert iam.get_role_policy(RoleName="documents", PolicyName="read")["PolicyDocument"] == READ


def test_paginators_see_every_role_once(iam: Any) -> None:
    names = [f"page-{number}" for number in range(5)]
    for name in names:
        iam.create_role(RoleName=name, Path="/pages/", AssumeRolePolicyDocument=json.dumps(TRUST))

    pages = iam.get_paginator("list_roles").paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": 2})

    assert [role["RoleName"] for page in pages for role in page["Roles"]] == names


def test_a_role_is_emptied_and_deleted_as_terraform_does_it(iam: Any) -> None:
    iam.create_role(RoleName="leaving", AssumeRolePolicyDocument=json.dumps(TRUST), Tags=[{"Key": "k", "Value": "v"}])
    iam.put_role_policy(RoleName="leaving", PolicyName="read", PolicyDocument=json.dumps(READ))

    with pytest.raises(ClientError) as refused:
        iam.delete_role(RoleName="leaving")
    assert error_of(refused) == ("DeleteConflict", 409, "Cannot delete entity, must delete policies first.")

    assert iam.list_instance_profiles_for_role(RoleName="leaving")["InstanceProfiles"] == []
    assert iam.list_attached_role_policies(RoleName="leaving")["AttachedPolicies"] == []
    for name in iam.list_role_policies(RoleName="leaving")["PolicyNames"]:
        iam.delete_role_policy(RoleName="leaving", PolicyName=name)
    iam.delete_role(RoleName="leaving")
    with pytest.raises(ClientError) as refused:
        iam.get_role(RoleName="leaving")
    assert error_of(refused) == ("NoSuchEntity", 404, "The role with name leaving cannot be found.")


def test_errors_have_the_codes_and_status_of_iam(iam: Any) -> None:
    iam.create_user(UserName="twice")
    with pytest.raises(ClientError) as refused:
        iam.create_user(UserName="twice")
    assert error_of(refused) == ("EntityAlreadyExists", 409, "User with name twice already exists.")

    with pytest.raises(ClientError) as refused:
        iam.put_user_policy(UserName="twice", PolicyName="bad", PolicyDocument=json.dumps(READ)[:-1] + ",}")
    assert error_of(refused) == ("MalformedPolicyDocument", 400, "Syntax errors in policy.")

    with pytest.raises(ClientError) as refused:
        iam.create_role(RoleName="bad", AssumeRolePolicyDocument=json.dumps(TRUST)[:-1] + ",}")
    assert error_of(refused) == ("MalformedPolicyDocument", 400, "This policy contains invalid Json")

    for _ in range(2):
        iam.create_access_key(UserName="twice")
    with pytest.raises(ClientError) as refused:
        iam.create_access_key(UserName="twice")
    assert error_of(refused) == ("LimitExceeded", 409, "Cannot exceed quota for AccessKeysPerUser: 2")


def test_a_key_works_until_it_is_switched_off_and_again_when_it_is_on(server: ServerProcess, iam: Any) -> None:
    iam.create_user(UserName="switch")
    made = iam.create_access_key(UserName="switch")["AccessKey"]
    sts = server.client("sts", Credentials(made["AccessKeyId"], made["SecretAccessKey"]))
    assert sts.get_caller_identity()["Arn"].endswith(":user/switch")

    iam.update_access_key(UserName="switch", AccessKeyId=made["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError) as refused:
        sts.get_caller_identity()
    assert error_of(refused)[:2] == ("InvalidClientTokenId", 403)

    iam.update_access_key(UserName="switch", AccessKeyId=made["AccessKeyId"], Status="Active")
    assert sts.get_caller_identity()["Account"] == server.account_id

    iam.delete_access_key(UserName="switch", AccessKeyId=made["AccessKeyId"])
    with pytest.raises(ClientError) as refused:
        sts.get_caller_identity()
    assert error_of(refused)[:2] == ("InvalidClientTokenId", 403)


def test_get_user_without_a_name_is_about_the_caller(iam: Any) -> None:
    assert iam.get_user()["User"]["UserName"] == "administrator"


def test_the_aws_command_line_reads_what_boto3_made(server: ServerProcess, iam: Any) -> None:
    iam.create_role(RoleName="from-boto3", AssumeRolePolicyDocument=json.dumps(TRUST))

    shown = subprocess.run(
        ["aws", "iam", "get-role", "--role-name", "from-boto3", "--output", "json"],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["Role"]["AssumeRolePolicyDocument"] == TRUST
