"""Accounts and regions of one server: apart by default, together by resource policies and ARNs."""

from __future__ import annotations

import configparser
import io
import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Account, Credentials, ServerProcess, run_keyturn


@pytest.fixture(scope="module")
def other(server: ServerProcess) -> Account:
    return server.create_account("Payments team")


def refusal(call: Any, /, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trail(server: ServerProcess, signer: Credentials | None, key: str, value: str) -> list[dict[str, Any]]:
    about = {"AttributeKey": key, "AttributeValue": value}
    found: list[dict[str, Any]] = server.client("cloudtrail", signer).lookup_events(LookupAttributes=[about])["Events"]
    return found


def alike(found: dict[str, Any], asked: str) -> str:
    """An event without what is different in any two calls."""
    event = json.loads(found["CloudTrailEvent"])
    for name in ("eventID", "requestID", "eventTime"):
        del event[name]
    shown = {**found, "EventId": None, "EventTime": None, "CloudTrailEvent": event}
    return json.dumps(shown, sort_keys=True).replace(asked, "ASKED")


def package() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("f.py", "import os\ndef handler(event, context):\n    return os.environ['AWS_REGION']\n")
    return buffer.getvalue()


def test_the_key_that_is_printed_administers_the_new_account(server: ServerProcess, other: Account) -> None:
    identity = server.client("sts", other.admin).get_caller_identity()

    assert identity["Account"] == other.account_id != server.account_id
    assert identity["Arn"] == f"arn:aws:iam::{other.account_id}:user/administrator"
    assert server.client("secretsmanager", other.admin).list_secrets()["SecretList"] == []


def test_a_name_is_free_in_every_account_and_region(server: ServerProcess, other: Account) -> None:
    made = {}
    for signer in (None, other.admin):
        for region in ("us-east-1", "eu-west-1"):
            client = server.client("secretsmanager", signer, region=region)
            secret = client.create_secret(Name="same", SecretString=f"{region} {signer is None}")
            made[secret["ARN"]] = client.get_secret_value(SecretId="same")["SecretString"]
            assert [entry["ARN"] for entry in client.list_secrets()["SecretList"]] == [secret["ARN"]]

    owners = {tuple(arn.split(":")[3:5]) for arn in made}
    assert len(owners) == len(set(made.values())) == 4
    server.client("secretsmanager").delete_secret(SecretId="same", ForceDeleteWithoutRecovery=True)
    assert server.client("secretsmanager", other.admin).get_secret_value(SecretId="same")


def test_principals_functions_and_logs_are_an_accounts_own(server: ServerProcess, other: Account) -> None:
    trust = policy({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})
    for signer, account_id in ((None, server.account_id), (other.admin, other.account_id)):
        role = server.client("iam", signer).create_role(RoleName="run", AssumeRolePolicyDocument=trust)["Role"]
        assert role["Arn"] == f"arn:aws:iam::{account_id}:role/run"
        functions = server.client("lambda", signer, region="eu-west-1")
        made = functions.create_function(
            FunctionName="run",
            Runtime="python3.11",
            Handler="f.handler",
            Role=role["Arn"],
            Code={"ZipFile": package()},
        )
        assert made["FunctionArn"] == f"arn:aws:lambda:eu-west-1:{account_id}:function:run"
        assert json.load(functions.invoke(FunctionName="run")["Payload"]) == "eu-west-1"
        assert server.client("lambda", signer).list_functions()["Functions"] == []
        (group,) = server.client("logs", signer, region="eu-west-1").describe_log_groups()["logGroups"]
        assert group["logGroupArn"] == f"arn:aws:logs:eu-west-1:{account_id}:log-group:/aws/lambda/run"
        assert server.client("logs", signer).describe_log_groups()["logGroups"] == []


def test_a_role_of_another_account_cannot_be_passed(server: ServerProcess, other: Account) -> None:
    code, message = refusal(
        server.client("lambda", other.admin).create_function,
        FunctionName="foreign",
        Runtime="python3.11",
        Handler="f.handler",
        Role=f"arn:aws:iam::{server.account_id}:role/run",
        Code={"ZipFile": package()},
    )
    assert (code, message) == ("AccessDeniedException", "Cross-account pass role is not allowed.")


def test_without_a_resource_policy_a_foreign_secret_is_refused_whether_it_exists_or_not(
    server: ServerProcess, other: Account
) -> None:
    arn = server.client("secretsmanager").create_secret(Name="ours", SecretString="x")["ARN"]
    theirs = server.client("secretsmanager", other.admin)

    refused = {
        asked: refusal(theirs.get_secret_value, SecretId=asked)
        for asked in (arn, arn[:-7], arn[:-6] + "AbCdEf", arn.replace("ours", "none"))
    }

    action = "secretsmanager:GetSecretValue"
    caller = f"arn:aws:iam::{other.account_id}:user/administrator"
    for asked, told in refused.items():
        assert told[0] == "AccessDeniedException"
        assert told[1] == (
            f"User: {caller} is not authorized to perform: {action} on resource: {asked}"
            f" because no resource-based policy allows the {action} action"
        )
    assert refusal(theirs.get_secret_value, SecretId="ours")[0] == "ResourceNotFoundException"


def test_a_user_of_the_same_name_has_no_say_over_the_keys_of_another_accounts(
    server: ServerProcess, other: Account
) -> None:
    ours, theirs = server.client("iam"), server.client("iam", other.admin)
    key_id = server.admin.access_key_id

    for call, more in ((theirs.delete_access_key, {}), (theirs.update_access_key, {"Status": "Inactive"})):
        for named in ({}, {"UserName": "administrator"}):
            assert refusal(call, AccessKeyId=key_id, **named, **more)[0] == "NoSuchEntity"
    assert ours.list_access_keys()["AccessKeyMetadata"][0]["Status"] == "Active"


def test_a_secret_is_shared_with_another_account_by_its_policy_and_its_keys(
    server: ServerProcess, other: Account
) -> None:
    ours, kms = server.client("secretsmanager"), server.client("kms")
    friend = {"AWS": f"arn:aws:iam::{other.account_id}:root"}
    owner = {"AWS": f"arn:aws:iam::{server.account_id}:root"}
    key_policy = policy(
        {"Effect": "Allow", "Principal": owner, "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": friend, "Action": "kms:Decrypt", "Resource": "*"},
    )
    key = kms.create_key(Policy=key_policy)["KeyMetadata"]["Arn"]
    shared = ours.create_secret(Name="shared", SecretString="between us", KmsKeyId=key)["ARN"]
    read = {"Effect": "Allow", "Principal": friend, "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    theirs = server.client("secretsmanager", other.admin)
    assert refusal(theirs.get_secret_value, SecretId=shared)[0] == "AccessDeniedException"

    ours.put_resource_policy(SecretId=shared, ResourcePolicy=policy(read))

    for asked in (shared, shared[:-7]):
        assert theirs.get_secret_value(SecretId=asked)["SecretString"] == "between us"
    assert refusal(theirs.get_secret_value, SecretId="shared")[0] == "ResourceNotFoundException"
    assert refusal(theirs.describe_secret, SecretId=shared)[0] == "AccessDeniedException"
    elsewhere = server.client("secretsmanager", other.admin, region="eu-west-1")
    assert refusal(elsewhere.get_secret_value, SecretId=shared)[0] == "AccessDeniedException"
    # A user of the other account needs leave from home as well.
    iam = server.client("iam", other.admin)
    iam.create_user(UserName="clerk")
    made = iam.create_access_key(UserName="clerk")["AccessKey"]
    clerk = server.client("secretsmanager", Credentials(made["AccessKeyId"], made["SecretAccessKey"]))
    assert "no identity-based policy" in refusal(clerk.get_secret_value, SecretId=shared)[1]
    leave = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": shared}
    iam.put_user_policy(UserName="clerk", PolicyName="read", PolicyDocument=policy(leave))
    assert refusal(clerk.get_secret_value, SecretId=shared) == ("AccessDeniedException", "Access to KMS is not allowed")
    decrypt = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key}
    iam.put_user_policy(UserName="clerk", PolicyName="read", PolicyDocument=policy(leave, decrypt))
    assert clerk.get_secret_value(SecretId=shared)["SecretString"] == "between us"

    ours.delete_resource_policy(SecretId=shared)
    assert refusal(theirs.get_secret_value, SecretId=shared)[0] == "AccessDeniedException"


def test_under_the_default_key_no_policy_lets_another_account_read(server: ServerProcess, other: Account) -> None:
    ours = server.client("secretsmanager")
    arn = ours.create_secret(Name="ours-alone", SecretString="x")["ARN"]
    everything = {"Effect": "Allow", "Principal": {"AWS": other.account_id}, "Action": "*", "Resource": "*"}
    ours.put_resource_policy(SecretId=arn, ResourcePolicy=policy({**everything, "Action": "secretsmanager:*"}))
    theirs = server.client("secretsmanager", other.admin)

    text = (
        "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service"
    )
    told = ("InvalidRequestException", f"{text} key.")
    assert refusal(theirs.get_secret_value, SecretId=arn) == told
    assert refusal(theirs.put_secret_value, SecretId=arn, SecretString="y") == told
    # What needs no key works.
    assert theirs.describe_secret(SecretId=arn)["ARN"] == arn
    theirs.tag_resource(SecretId=arn, Tags=[{"Key": "by", "Value": "them"}])
    assert ours.describe_secret(SecretId=arn)["Tags"] == [{"Key": "by", "Value": "them"}]
    about = {"AttributeKey": "ResourceName", "AttributeValue": arn}
    for signer in (None, other.admin):
        events = server.client("cloudtrail", signer).lookup_events(LookupAttributes=[about])["Events"]
        (tagged,) = [json.loads(one["CloudTrailEvent"]) for one in events if one["EventName"] == "TagResource"]
        assert tagged["userIdentity"]["accountId"] == other.account_id
        assert tagged["resources"][0]["accountId"] == server.account_id


def test_a_role_that_trusts_another_account_is_assumed_and_both_trails_say_so(
    server: ServerProcess, other: Account
) -> None:
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{other.account_id}:root"},
        "Action": "sts:AssumeRole",
    }
    iam = server.client("iam")
    iam.create_role(RoleName="guest", AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(
        RoleName="guest",
        PolicyName="read",
        PolicyDocument=policy({"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}),
    )
    server.client("secretsmanager").create_secret(Name="for-guests", SecretString="welcome")

    guest = server.client("sts", other.admin).assume_role(
        RoleArn=f"arn:aws:iam::{server.account_id}:role/guest", RoleSessionName="visit"
    )["Credentials"]
    session = Credentials(guest["AccessKeyId"], guest["SecretAccessKey"], guest["SessionToken"])

    assert server.client("secretsmanager", session).get_secret_value(SecretId="for-guests")["SecretString"] == "welcome"
    trails = []
    for signer in (None, other.admin):
        found = server.client("cloudtrail", signer).lookup_events(
            LookupAttributes=[
                {"AttributeKey": "ResourceName", "AttributeValue": f"arn:aws:iam::{server.account_id}:role/guest"}
            ]
        )["Events"]
        trails += [json.loads(event["CloudTrailEvent"]) for event in found if event["EventName"] == "AssumeRole"]
    assert len({event["sharedEventID"] for event in trails}) == 1
    assert len({event["eventID"] for event in trails}) == 2
    assert [event["recipientAccountId"] for event in trails] == [server.account_id, other.account_id]
    # The role's account sees whose caller it was, not by which name and key.
    ours, theirs = (event["userIdentity"] for event in trails)
    assert ours == {
        "type": "AWSAccount",
        "principalId": theirs["principalId"],
        "accountId": other.account_id,
    }
    assert theirs["type"] == "IAMUser"
    assert trail(server, None, "AccessKeyId", other.admin.access_key_id) == []


def test_the_trail_of_a_caller_who_is_refused_does_not_tell_what_exists(server: ServerProcess, other: Account) -> None:
    arn = server.client("secretsmanager").create_secret(Name="hidden", SecretString="x")["ARN"]
    theirs = server.client("secretsmanager", other.admin)
    seen = []
    for asked in (arn[:-7], arn[:-7].replace("hidden", "absent")):
        assert refusal(theirs.describe_secret, SecretId=asked)[0] == "AccessDeniedException"
        (found,) = trail(server, other.admin, "ResourceName", asked)
        record = json.loads(found["CloudTrailEvent"])
        encoded = record["additionalEventData"]["authorization"].pop("encodedMessage")
        decoded = server.client("sts", other.admin).decode_authorization_message(EncodedMessage=encoded)
        why = json.loads(decoded["DecodedMessage"])
        why["context"]["conditions"] = {}
        found["CloudTrailEvent"] = json.dumps({**record, "why": why})
        seen.append(alike(found, asked))

    assert seen[0] == seen[1]
    assert trail(server, other.admin, "ResourceName", arn) == []
    (event,) = [json.loads(one["CloudTrailEvent"]) for one in trail(server, None, "ResourceName", arn)][:1]
    assert (event["eventName"], event["errorCode"]) == ("DescribeSecret", "AccessDenied")
    assert event["resources"] == [{"ARN": arn, "accountId": server.account_id, "type": "AWS::SecretsManager::Secret"}]
    assert event["sharedEventID"]


def test_a_large_request_is_left_out_of_the_trails(server: ServerProcess, other: Account) -> None:
    arn = server.client("secretsmanager").create_secret(Name="many-tags", SecretString="x")["ARN"]
    tags = [{"Key": f"{number:0128}", "Value": "v" * 256} for number in range(400)]

    assert refusal(server.client("secretsmanager", other.admin).tag_resource, SecretId=arn, Tags=tags)

    for signer in (None, other.admin):
        found = trail(server, signer, "ResourceName", arn)
        (event,) = [json.loads(one["CloudTrailEvent"]) for one in found if one["EventName"] == "TagResource"]
        assert event["requestParameters"].pop("originalSize") > 400 * (128 + 256)
        assert event["requestParameters"] == {"omitted": True, "reason": "requestParameters too large"}


def test_a_page_token_serves_one_account_and_region(server: ServerProcess, other: Account) -> None:
    home, abroad = server.client("cloudtrail"), server.client("cloudtrail", region="eu-west-1")
    token = home.lookup_events(MaxResults=1)["NextToken"]

    for client in (abroad, server.client("cloudtrail", other.admin)):
        assert refusal(client.lookup_events, MaxResults=1, NextToken=token)[0] == "InvalidNextTokenException"
    assert home.lookup_events(MaxResults=1, NextToken=token)["Events"]


def test_trails_are_an_accounts_and_a_regions_own(server: ServerProcess, other: Account) -> None:
    server.client("secretsmanager", other.admin, region="eu-north-1").get_random_password()

    def seen(signer: Credentials | None, region: str) -> list[str]:
        events = server.client("cloudtrail", signer, region=region).lookup_events()["Events"]
        return [event["EventName"] for event in events if event["EventName"] != "LookupEvents"]

    assert seen(other.admin, "eu-north-1") == ["GetRandomPassword"]
    assert seen(None, "eu-north-1") == []


def test_a_region_that_does_not_exist_is_refused_as_by_its_endpoint(server: ServerProcess) -> None:
    code, message = refusal(server.client("secretsmanager", region="xx-nowhere-1").list_secrets)
    assert code == "InvalidSignatureException"
    assert message.startswith("Credential should be scoped to a valid region, not 'xx-nowhere-1'. ")


def test_only_the_first_account_makes_others_and_an_address_makes_one(server: ServerProcess, other: Account) -> None:
    client = server.client("organizations", other.admin)
    for call in (client.list_accounts, lambda: client.create_account(AccountName="x", Email="x@example.com")):
        assert refusal(call) == ("AccessDeniedException", "You don't have permissions to access this resource.")
    assert client.describe_organization()["Organization"]["MasterAccountId"] == server.account_id

    ours = server.client("organizations")
    first = ours.create_account(AccountName="x", Email="X@example.com")["CreateAccountStatus"]
    again = ours.create_account(AccountName="y", Email="x@example.com")["CreateAccountStatus"]
    assert (first["State"], again["State"], again["FailureReason"]) == ("SUCCEEDED", "FAILED", "EMAIL_ALREADY_EXISTS")
    told = ours.describe_create_account_status(CreateAccountRequestId=first["Id"])["CreateAccountStatus"]
    assert told["AccountId"] == first["AccountId"]
    assert ours.describe_account(AccountId=first["AccountId"])["Account"]["Email"] == "x@example.com"
    assert refusal(ours.describe_account, AccountId="9" * 12)[0] == "AccountNotFoundException"


def test_accounts_are_listed_page_by_page(server: ServerProcess, other: Account) -> None:
    pages = server.client("organizations").get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 1})
    listed = [account["Id"] for page in pages for account in page["Accounts"]]

    assert listed[:2] == [server.account_id, other.account_id]
    shown = run_keyturn("account", "list", home=server.home, environ=server.environ()).stdout
    assert other.account_id in shown
    assert "Payments team" in shown


def test_the_command_says_what_is_wrong(server: ServerProcess, other: Account) -> None:
    taken = run_keyturn("account", "create", "Payments team", home=server.home, environ=server.environ(), check=False)
    assert taken.returncode == 1
    assert "EMAIL_ALREADY_EXISTS" in taken.stderr
    assert "--email" in taken.stderr
    foreign = server.environ(other.admin)
    refused = run_keyturn("account", "create", "mine", home=server.home, environ=foreign, check=False)
    assert refused.returncode == 1
    assert "CreateAccount: You don't have permissions" in refused.stderr


def test_a_profile_that_exists_is_not_overwritten_and_no_account_is_made(server: ServerProcess, tmp_path: Path) -> None:
    environ = {**server.environ(), "HOME": str(tmp_path)}
    (tmp_path / ".aws").mkdir()
    theirs = "[profile payments]\nregion = eu-west-1\n"
    (tmp_path / ".aws" / "config").write_text(theirs)
    before = server.client("organizations").list_accounts()["Accounts"]

    def create(*options: str) -> subprocess.CompletedProcess[str]:
        words = ("account", "create", "written", *options)
        return run_keyturn(*words, home=tmp_path, environ=environ, check=False)

    refused = create("--write-profile", "payments")
    misnamed = create("--write-profile", "my payments")

    assert (refused.returncode, refused.stdout) == (1, "")
    for said in ("The AWS profile payments exists already", "--write-profile NAME", "--replace-profile"):
        assert said in refused.stderr
    assert "cannot be the name of an AWS profile" in misnamed.stderr
    assert server.client("organizations").list_accounts()["Accounts"] == before
    assert (tmp_path / ".aws" / "config").read_text() == theirs
    assert not (tmp_path / ".aws" / "credentials").exists()

    made = create("--write-profile", "payments", "--replace-profile")
    assert made.returncode == 0, made.stderr
    assert f"endpoint_url = {server.endpoint_url}\n" in (tmp_path / ".aws" / "config").read_text()
    assert "eu-west-1" not in (tmp_path / ".aws" / "config").read_text()


def test_without_a_profile_the_lines_to_add_are_printed(server: ServerProcess, tmp_path: Path) -> None:
    environ = {**server.environ(), "HOME": str(tmp_path)}

    printed = run_keyturn("account", "create", "To be kept", home=tmp_path, environ=environ).stdout

    assert not (tmp_path / ".aws").exists()
    # Pasted as they stand, they are all that a client needs.
    _, in_credentials, in_config = re.split(r"^.*(?:Add to|and to) .*:\n\n", printed, flags=re.MULTILINE)
    credentials, config = configparser.RawConfigParser(), configparser.RawConfigParser()
    credentials.read_string(in_credentials)
    config.read_string(in_config)
    assert dict(config["profile to-be-kept"]) == {"region": server.region, "endpoint_url": server.endpoint_url}
    keys = credentials["to-be-kept"]
    signer = Credentials(keys["aws_access_key_id"], keys["aws_secret_access_key"])
    assert f"Account             {server.client('sts', signer).get_caller_identity()['Account']}  " in printed


def test_a_rotation_without_a_function_points_to_the_page(server: ServerProcess) -> None:
    server.client("secretsmanager").create_secret(Name="never-configured", SecretString="x")

    refused = run_keyturn("rotate", "never-configured", home=server.home, environ=server.environ(), check=False)

    assert refused.returncode == 1
    assert "No Lambda rotation function ARN is associated with this secret." in refused.stderr
    assert "hint: " in refused.stderr
    assert "docs/functions.md" in refused.stderr
