"""``keyturn audit explain``: from a refused call to the statement that allows it, by the printed command itself."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .callers import Caller, allow, deny, document
from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, run_keyturn
from .idle_function import function_that_never_runs

AWS = Path(sys.executable).with_name("aws")


def newest_event_id(server: ServerProcess, username: str) -> str:
    attribute = {"AttributeKey": "Username", "AttributeValue": username}
    found = server.client("cloudtrail").lookup_events(LookupAttributes=[attribute], MaxResults=1)
    return str(found["Events"][0]["EventId"])


def explain(server: ServerProcess, event_id: str, *options: str, credentials: Credentials | None = None) -> Any:
    return run_keyturn(
        "audit", "explain", event_id, *options, home=server.home, environ=server.environ(credentials), check=False
    )


def test_the_printed_command_is_all_that_it_takes(server: ServerProcess) -> None:
    staging = allow("secretsmanager:*", "arn:aws:secretsmanager:*:*:secret:staging/*", Sid="Staging")
    over_tls = allow("secretsmanager:Get*", Condition={"Bool": {"aws:SecureTransport": "true"}})
    user = Caller(server, "user", "ada")
    user.may(staging, over_tls)
    arn = server.client("secretsmanager").create_secret(Name="prod/db", SecretString="x")["ARN"]
    client = user.client("secretsmanager")
    with pytest.raises(ClientError, match="because no identity-based policy allows"):
        client.get_secret_value(SecretId="prod/db")
    event_id = newest_event_id(server, "ada")

    text = explain(server, event_id).stdout
    told = json.loads(explain(server, event_id, "--output", "json").stdout)

    assert "GetSecretValue was refused" in text
    assert "statement 1 (Staging) allows the action, but for arn:aws:secretsmanager:*:*:secret:staging/* only" in text
    assert "statement 2 allows the action, but aws:SecureTransport is false (Bool true)" in text
    assert (
        "Statement 2 of the identity-based policy inline would allow it if aws:SecureTransport were Bool true (it is"
        " false). If that condition is meant, meet it; the statement below does without it."
    ) in text
    assert explain(server, "--last").stdout == text
    assert (told["principal"], told["action"], told["resource"]) == (
        f"arn:aws:iam::{server.account_id}:user/ada",
        "secretsmanager:GetSecretValue",
        arn,
    )
    assert told["condition_keys"]["aws:username"] == ["ada"]
    [remedy] = told["remedies"]
    assert remedy["statement"] == {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}
    assert remedy["command"] in text
    program, *arguments = shlex.split(remedy["command"])
    assert program == "aws"
    subprocess.run([str(AWS), *arguments], env=server.environ(), check=True, timeout=DEADLINE_SECONDS)

    assert client.get_secret_value(SecretId="prod/db")["SecretString"] == "x"
    assert server.client("iam").get_user_policy(UserName="ada", PolicyName="inline")["PolicyName"] == "inline"


def test_a_deny_is_shown_whole_and_no_allow_is_offered(server: ServerProcess) -> None:
    denied = deny("secretsmanager:Describe*", Sid="NotThese")
    user = Caller(server, "user", "dee")
    user.may(allow("*"), denied)
    with pytest.raises(ClientError, match="with an explicit deny in an identity-based policy"):
        user.client("secretsmanager").describe_secret(SecretId="anything")

    text = explain(server, newest_event_id(server, "dee")).stdout

    assert "Denied explicitly by statement 2 of the identity-based policy inline" in text
    assert json.dumps(denied, indent=2) in text
    assert "It takes this statement" not in text


def test_a_role_is_named_as_the_one_to_change(server: ServerProcess) -> None:
    session = Caller(server, "role", "rotation")
    with pytest.raises(ClientError):
        session.client("secretsmanager").get_random_password()

    told = json.loads(explain(server, newest_event_id(server, "test"), "--output", "json").stdout)

    assert told["principal"].endswith(":assumed-role/rotation/test")
    assert told["remedies"][0]["place"] == "a policy of the role rotation"
    assert told["remedies"][0]["statement"]["Resource"] == "*"


def test_why_a_foreign_resource_was_refused_is_told_to_its_own_account(server: ServerProcess) -> None:
    other = server.create_account("other")
    described = allow("secretsmanager:DescribeSecret", Principal={"AWS": "*"}, Sid="Described")
    theirs = server.client("secretsmanager", other.admin)
    arn = theirs.create_secret(Name="theirs", SecretString="x")["ARN"]
    theirs.put_resource_policy(SecretId=arn, ResourcePolicy=document(described))
    user = Caller(server, "user", "eve")
    user.may(allow("*"))
    with pytest.raises(ClientError, match="because no resource-based policy allows"):
        user.client("secretsmanager").get_secret_value(SecretId=arn)

    own = explain(server, newest_event_id(server, "eve"))
    attribute = {"AttributeKey": "ResourceName", "AttributeValue": arn}
    events = server.client("cloudtrail", other.admin).lookup_events(LookupAttributes=[attribute])["Events"]
    [shared] = [event for event in events if event["EventName"] == "GetSecretValue"]
    told = json.loads(explain(server, shared["EventId"], "--output", "json", credentials=other.admin).stdout)

    assert own.returncode == 0
    assert "Described" not in own.stdout + own.stderr
    assert "its account sees what it lacks" in " ".join(own.stdout.split())
    assert [remedy["place"] for remedy in told["remedies"]] == [f"the policy of {arn}"]
    assert told["remedies"][0]["statement"]["Principal"] == {"AWS": server.account_id}
    assert "user/eve" not in json.dumps(told) + shared["CloudTrailEvent"]


def test_what_cannot_be_explained_says_so(server: ServerProcess) -> None:
    client = server.client("secretsmanager")
    client.list_secrets()
    allowed = explain(server, newest_event_id(server, "administrator"))
    with pytest.raises(ClientError):
        client.describe_secret(SecretId="not-there")
    missing = explain(server, newest_event_id(server, "administrator"))
    unknown = explain(server, "00000000-0000-0000-0000-000000000000")

    for done in (allowed, missing, unknown):
        assert done.returncode == 1
        assert "hint: " in done.stderr
    assert "it succeeded" in allowed.stderr
    assert "can't find the specified secret" in missing.stderr
    assert "There is no event 00000000" in unknown.stderr


def test_one_event_is_named_or_the_last_is_wanted(server: ServerProcess) -> None:
    for words in (("--output", "text"), ("some-id", "--last")):
        assert explain(server, *words).returncode == 2


def test_what_a_policy_says_neither_forges_a_line_nor_moves_the_cursor(server: ServerProcess) -> None:
    user = Caller(server, "user", "mallory")
    user.may(allow("iam:ListUsers", Condition={"StringEquals": {"aws:username": "x\nresource   other\x9b2J"}}))
    with pytest.raises(ClientError):
        user.client("iam").list_users()

    text = explain(server, newest_event_id(server, "mallory")).stdout

    assert "\x9b" not in text
    assert r"(StringEquals x\x0aresource   other\x9b2J)" in text
    assert sum(line.startswith("resource") for line in text.splitlines()) == 1


def test_who_may_not_decode_learns_nothing_more(server: ServerProcess) -> None:
    reader = Caller(server, "user", "reader")
    reader.may(allow("cloudtrail:LookupEvents"))
    with pytest.raises(ClientError):
        reader.client("iam").list_users()

    done = explain(server, newest_event_id(server, "reader"), credentials=reader.credentials)

    assert done.returncode == 1
    assert "is not authorized to perform: sts:DecodeAuthorizationMessage" in done.stderr


def test_a_function_that_does_not_let_secrets_manager_in_is_explained_by_the_guides_own_command(
    server: ServerProcess,
) -> None:
    function_arn = function_that_never_runs(server)
    server.client("lambda").remove_permission(FunctionName="rotate", StatementId="s")
    client = server.client("secretsmanager")
    secret_arn = client.create_secret(Name="unrotated", SecretString="{}")["ARN"]
    with pytest.raises(ClientError, match="Secrets Manager cannot invoke the specified Lambda function"):
        client.rotate_secret(SecretId="unrotated", RotationLambdaARN=function_arn)

    told = json.loads(explain(server, newest_event_id(server, "administrator"), "--output", "json").stdout)

    assert told["principal"] == "secretsmanager.amazonaws.com"
    [remedy] = told["remedies"]
    assert remedy["command"] == (
        f"aws lambda add-permission --function-name {function_arn} --principal secretsmanager.amazonaws.com"
        " --action lambda:InvokeFunction --statement-id SecretsManagerAccess"
        f" --source-account {server.account_id} --source-arn {secret_arn}"
    )
