"""IAM through boto3: what scripts, Terraform and the CLI do to make users, roles and policies."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
ANYBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
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


def test_policies_groups_and_boundaries_live_as_terraform_lets_them(server: ServerProcess, iam: Any) -> None:
    """aws_iam_policy, aws_iam_group, aws_iam_user and their attachments: made, read back, changed, destroyed."""
    # Apply.
    policy = iam.create_policy(
        PolicyName="tf-read", Path="/tf/", Description="Managed by Terraform", PolicyDocument=json.dumps(READ)
    )["Policy"]
    arn = policy["Arn"]
    limit = iam.create_policy(PolicyName="tf-limit", PolicyDocument=json.dumps(READ))["Policy"]["Arn"]
    iam.create_group(GroupName="tf-readers", Path="/tf/")
    iam.attach_group_policy(GroupName="tf-readers", PolicyArn=arn)
    iam.create_user(UserName="tf-user", Path="/tf/", PermissionsBoundary=limit, Tags=[{"Key": "by", "Value": "tf"}])
    iam.add_user_to_group(GroupName="tf-readers", UserName="tf-user")
    iam.create_role(RoleName="tf-role", AssumeRolePolicyDocument=json.dumps(TRUST), PermissionsBoundary=limit)
    basic = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    iam.attach_role_policy(RoleName="tf-role", PolicyArn=basic)
    key = iam.create_access_key(UserName="tf-user")["AccessKey"]

    # Refresh.
    read = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (read["Description"], read["AttachmentCount"], read["Tags"]) == ("Managed by Terraform", 1, [])
    version = iam.get_policy_version(PolicyArn=arn, VersionId=read["DefaultVersionId"])["PolicyVersion"]
    assert version["Document"] == READ
    user = iam.get_user(UserName="tf-user")["User"]
    assert user["PermissionsBoundary"]["PermissionsBoundaryArn"] == limit
    assert user["Tags"] == [{"Key": "by", "Value": "tf"}]
    pages = iam.get_paginator("list_groups_for_user").paginate(UserName="tf-user")
    assert [group["GroupName"] for page in pages for group in page["Groups"]] == ["tf-readers"]
    attached = iam.list_attached_role_policies(RoleName="tf-role")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": basic}]

    # Change: what Terraform does to a policy that has five versions.
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(READ), SetAsDefault=True)
    with pytest.raises(ClientError) as refused:
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(READ), SetAsDefault=True)
    assert error_of(refused)[:2] == ("LimitExceeded", 409)
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    oldest = min(versions, key=lambda each: int(each["VersionId"].removeprefix("v")))
    iam.delete_policy_version(PolicyArn=arn, VersionId=oldest["VersionId"])
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(READ), SetAsDefault=True)
    iam.update_user(UserName="tf-user", NewUserName="tf-renamed", NewPath="/tf/new/")
    secrets = server.client("secretsmanager", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    server.client("secretsmanager").create_secret(Name="tf", SecretString="value")
    assert secrets.get_secret_value(SecretId="tf")["SecretString"] == "value"

    # Destroy.
    with pytest.raises(ClientError) as refused:
        iam.delete_policy(PolicyArn=arn)
    assert error_of(refused) == ("DeleteConflict", 409, "Cannot delete a policy attached to entities.")
    iam.remove_user_from_group(GroupName="tf-readers", UserName="tf-renamed")
    iam.delete_access_key(UserName="tf-renamed", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="tf-renamed")
    iam.detach_group_policy(GroupName="tf-readers", PolicyArn=arn)
    iam.delete_group(GroupName="tf-readers")
    iam.detach_role_policy(RoleName="tf-role", PolicyArn=basic)
    iam.delete_role(RoleName="tf-role")
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    iam.delete_policy(PolicyArn=limit)
    assert iam.list_policies(Scope="Local", PathPrefix="/tf/")["Policies"] == []


def test_a_key_and_a_role_say_when_they_were_last_used(own_server: ServerProcess) -> None:
    own_server.start()
    iam = own_server.client("iam")
    iam.create_user(UserName="worker")
    made = iam.create_access_key(UserName="worker")["AccessKey"]
    iam.create_role(RoleName="used", AssumeRolePolicyDocument=json.dumps(ANYBODY))
    role = iam.get_role(RoleName="used")["Role"]
    assert role["RoleLastUsed"] == {}
    key_id = made["AccessKeyId"]
    unused = {"ServiceName": "N/A", "Region": "N/A"}
    assert iam.get_access_key_last_used(AccessKeyId=key_id)["AccessKeyLastUsed"] == unused

    worker = Credentials(key_id, made["SecretAccessKey"])
    with pytest.raises(ClientError):
        # A call that is refused is a use as well.
        own_server.client("secretsmanager", worker, region="eu-west-1").list_secrets()
    session = own_server.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")["Credentials"]
    assumed = Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])
    own_server.client("sts", assumed, region="eu-west-3").get_caller_identity()

    def last_uses() -> tuple[dict[str, Any], dict[str, Any]]:
        used = iam.get_access_key_last_used(AccessKeyId=key_id)
        assert used["UserName"] == "worker"
        return used["AccessKeyLastUsed"], iam.get_role(RoleName="used")["Role"]["RoleLastUsed"]

    before = last_uses()
    assert (before[0]["ServiceName"], before[0]["Region"]) == ("secretsmanager", "eu-west-1")
    assert before[1]["Region"] == "eu-west-3"
    assert abs(datetime.now(UTC) - before[0]["LastUsedDate"]) < timedelta(minutes=1)
    # A server that ends in good order has stored it.
    assert own_server.stop() == 0
    own_server.start()
    assert last_uses() == before


def aws(server: ServerProcess, *arguments: str) -> Any:
    """Run the AWS CLI, which must succeed, and return what it printed."""
    ran = subprocess.run(
        ["aws", "iam", *arguments, "--output", "json"],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout) if ran.stdout else None


def test_the_aws_command_line_makes_a_policy_and_gives_it_to_a_group(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(json.dumps(READ, indent=4))
    document = ("--policy-document", f"file://{tmp_path}/policy.json")

    arn = aws(server, "create-policy", "--policy-name", "from-cli", *document)["Policy"]["Arn"]
    aws(server, "create-group", "--group-name", "from-cli")
    aws(server, "attach-group-policy", "--group-name", "from-cli", "--policy-arn", arn)
    aws(server, "create-user", "--user-name", "from-cli", "--permissions-boundary", arn)
    aws(server, "add-user-to-group", "--group-name", "from-cli", "--user-name", "from-cli")
    aws(server, "create-policy-version", "--policy-arn", arn, *document, "--set-as-default")

    (member,) = aws(server, "get-group", "--group-name", "from-cli")["Users"]
    assert member["UserName"] == "from-cli"
    shown = aws(server, "get-policy", "--policy-arn", arn)["Policy"]
    counts = (shown["DefaultVersionId"], shown["AttachmentCount"], shown["PermissionsBoundaryUsageCount"])
    assert counts == ("v2", 1, 1)
    version = aws(server, "get-policy-version", "--policy-arn", arn, "--version-id", "v2")["PolicyVersion"]
    assert version["Document"] == READ
    of_aws = aws(server, "list-policies", "--scope", "AWS")["Policies"]
    assert "SecretsManagerReadWrite" in {policy["PolicyName"] for policy in of_aws}
    entities = aws(server, "list-entities-for-policy", "--policy-arn", arn)
    assert [group["GroupName"] for group in entities["PolicyGroups"]] == ["from-cli"]
    assert aws(server, "get-account-summary")["SummaryMap"]["PolicySizeQuota"] == 6144
    details = aws(server, "get-account-authorization-details", "--filter", "Group")["GroupDetailList"]
    assert "from-cli" in {group["GroupName"] for group in details}
    assert aws(server, "list-account-aliases")["AccountAliases"] == []


def test_the_aws_command_line_reads_what_boto3_made(server: ServerProcess, iam: Any) -> None:
    iam.create_role(RoleName="from-boto3", AssumeRolePolicyDocument=json.dumps(TRUST))

    shown = aws(server, "get-role", "--role-name", "from-boto3")

    assert shown["Role"]["AssumeRolePolicyDocument"] == TRUST
