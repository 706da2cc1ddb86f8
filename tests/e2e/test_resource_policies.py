"""Resource policies of secrets: put, shown, listed, taken off, checked; and what they decide."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from .callers import Caller, allow, deny, document
from .conftest import ServerProcess
from .refusals import Refusal, refusal

SYNTAX = Refusal("MalformedPolicyDocumentException", "This resource policy contains a syntax error.", 400)
PRINCIPAL = Refusal("MalformedPolicyDocumentException", "This resource policy contains an unsupported principal.", 400)
SERVICE = Refusal(
    "MalformedPolicyDocumentException", "This resource policy contains an unsupported service principal.", 400
)
LOCKED_OUT = Refusal(
    "MalformedPolicyDocumentException",
    "Your requested changes will not allow you to manage this secret in the future.",
    400,
)
PUBLIC = Refusal(
    "PublicPolicyException", "You can't attach a resource-based policy that allows broad access to the secret.", 400
)
MARKED = Refusal(
    "InvalidRequestException",
    "You can't perform this operation on the secret because it was marked for deletion.",
    400,
)
GET = "secretsmanager:GetSecretValue"
# As the user guide prints them; an editor let the commas stand behind the last actions.
GUIDES_POLICY = """{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetRandomPassword",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:UpdateSecretVersionStage",
            ],
            "Resource": "*"
        }
    ]
}"""
GUIDES_POLICY_WITH_A_SUPERUSER = """{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "AllowAccessToSecretsManagerAPIs",
            "Effect": "Allow",
            "Action": [
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetRandomPassword",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:UpdateSecretVersionStage",
            ],
            "Resource": "*"
        },
        {
            "Sid": "AllowAccessToMasterSecret",
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "<arn_of_master_secret>"
        }
    ]
}"""


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Any:
    return server.client("secretsmanager")


@pytest.fixture
def secret(client: Any) -> dict[str, Any]:
    """A secret with a value; its ARN and name."""
    made: dict[str, Any] = client.create_secret(Name=f"team/{uuid.uuid4().hex}", SecretString="a value")
    return made


@pytest.fixture
def name(secret: dict[str, Any]) -> str:
    text: str = secret["Name"]
    return text


@pytest.fixture(params=["user", "session"])
def caller(server: ServerProcess, request: pytest.FixtureRequest) -> Caller:
    return Caller(server, request.param)


def everybody(action: Any = GET, **more: Any) -> dict[str, Any]:
    return allow(action, **{"Principal": "*", **more})


def members(response: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in response.items() if name != "ResponseMetadata"}


def shown(client: Any, **asked: str) -> Any:
    return json.loads(client.get_resource_policy(**asked)["ResourcePolicy"])


AS_AWS_WRITES_IT = """{
  "Version" : "2012-10-17",
  "Statement" : [ {
    "Effect" : "Allow",
    "Action" : "secretsmanager:GetSecretValue",
    "Resource" : "*",
    "Principal" : "*"
  } ]
}"""

# What the operations answer.


def test_a_policy_is_shown_in_awss_layout_and_listed_until_it_is_taken_off(
    client: Any, secret: dict[str, Any], server: ServerProcess
) -> None:
    identity = {"ARN": secret["ARN"], "Name": secret["Name"], "PolicyName": "default"}
    text = f'{{ "Version":"2012-10-17",\n\t"Statement": [{json.dumps(everybody())}]\r\n }}'
    asked = {"SecretId": secret["Name"]}
    assert members(client.get_resource_policy(**asked)) == identity
    assert members(client.list_resource_policies(**asked)) == {"ResourcePolicies": []}

    assert members(client.put_resource_policy(**asked, ResourcePolicy=text)) == identity

    assert members(client.get_resource_policy(**asked)) == {**identity, "ResourcePolicy": AS_AWS_WRITES_IT}
    assert json.loads(AS_AWS_WRITES_IT) == json.loads(text)
    assert members(client.list_resource_policies(**asked)) == {"ResourcePolicies": [{"PolicyName": "default"}]}
    assert members(client.delete_resource_policy(**asked)) == identity
    assert members(client.get_resource_policy(**asked)) == identity
    assert members(client.list_resource_policies(**asked)) == {"ResourcePolicies": []}
    assert members(client.delete_resource_policy(**asked)) == identity


def test_a_second_policy_takes_the_place_of_the_first(client: Any, name: str, server: ServerProcess) -> None:
    for action in (GET, "secretsmanager:DescribeSecret"):
        client.put_resource_policy(SecretId=name, ResourcePolicy=document(everybody(action)))

    policy = shown(client, SecretId=name)
    assert [statement["Action"] for statement in policy["Statement"]] == ["secretsmanager:DescribeSecret"]


def test_a_new_policy_is_a_change_of_the_secret(client: Any, name: str, server: ServerProcess) -> None:
    made_at = client.describe_secret(SecretId=name)["LastChangedDate"]

    client.put_resource_policy(SecretId=name, ResourcePolicy=document(everybody()))

    assert client.describe_secret(SecretId=name)["LastChangedDate"] > made_at


def test_the_only_policy_is_called_default(client: Any, name: str, server: ServerProcess) -> None:
    text = document(everybody())
    client.put_resource_policy(SecretId=name, ResourcePolicy=text, PolicyName="default")
    assert shown(client, SecretId=name, PolicyName="default") == json.loads(text)

    for call, more in ((client.put_resource_policy, {"ResourcePolicy": text}), (client.delete_resource_policy, {})):
        assert refusal(call, SecretId=name, PolicyName="other", **more).code == "InvalidParameterException"
    assert refusal(client.get_resource_policy, SecretId=name, PolicyName="other").code == "ResourceNotFoundException"

    assert shown(client, SecretId=name) == json.loads(text)
    client.delete_resource_policy(SecretId=name, PolicyName="default")


def test_pages_of_policies_are_asked_for_with_tokens_of_that_listing(client: Any, name: str) -> None:
    assert client.list_resource_policies(SecretId=name, MaxResults=1)["ResourcePolicies"] == []

    assert refusal(client.list_resource_policies, SecretId=name, NextToken="made up") == Refusal(
        "InvalidNextTokenException", "Invalid token", 400
    )


def test_a_missing_secret_and_one_marked_for_deletion_are_refused(client: Any, name: str) -> None:
    text = document(allow(GET, Principal={"AWS": "123456789012"}))
    calls: tuple[tuple[Any, dict[str, str]], ...] = (
        (client.put_resource_policy, {"ResourcePolicy": text}),
        (client.validate_resource_policy, {"ResourcePolicy": text}),
        (client.get_resource_policy, {}),
        (client.delete_resource_policy, {}),
        (client.list_resource_policies, {}),
    )
    for call, more in calls:
        missing = refusal(call, SecretId="no/such", **more)
        assert missing == Refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", 400)

    client.delete_secret(SecretId=name)
    for call, more in calls:
        assert refusal(call, SecretId=name, **more) == MARKED


def test_a_policy_may_have_20480_characters(client: Any, name: str, server: ServerProcess) -> None:
    text = document(everybody())
    longest = text + " " * (20_480 - len(text))

    client.put_resource_policy(SecretId=name, ResourcePolicy=longest)
    refused = refusal(client.put_resource_policy, SecretId=name, ResourcePolicy=longest + " ")

    assert refused.code == "ValidationException"
    assert refused.message.startswith("1 validation error detected: Value '{")
    assert refused.message.endswith(
        "' at 'resourcePolicy' failed to satisfy constraint: Member must have length less than or equal to 20480"
    )
    assert shown(client, SecretId=name) == json.loads(longest)


# Documents that are refused.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GUIDES_POLICY, SYNTAX),
        (GUIDES_POLICY_WITH_A_SUPERUSER, SYNTAX),
        ('{"Version": "2012-10-17", "Statement": [],}', SYNTAX),
        ("{", SYNTAX),
        ('"a text"', SYNTAX),
        (document(allow(GET)), SYNTAX),
        (document(allow(GET, Principal="*", Effect="AllowSomething")), SYNTAX),
        (document(allow(GET, Principal="*", Condition={"StringIs": {"aws:userid": "a"}})), SYNTAX),
        (document(allow(GET, Principal="*", Sid="tomorrow…")).replace("\\u2026", "…"), SYNTAX),
        (document(allow(GET, Principal="ada")), SYNTAX),
        (document(allow(GET, Principal={"AWS": "ada"})), PRINCIPAL),
        (document(allow(GET, Principal={"AWS": "arn:aws:iam::000000000000:user/nobody"})), PRINCIPAL),
        (document(allow(GET, Principal={"AWS": ["123456789012", "arn:aws:iam::000000000000:role/no"]})), PRINCIPAL),
        (document(deny(GET, Principal={"AWS": "arn:aws:iam::000000000000:user/nobody"})), PRINCIPAL),
        (document(deny(GET, NotPrincipal={"AWS": "arn:aws:iam::000000000000:user/nobody"})), PRINCIPAL),
        (document(allow(GET, Principal={"AWS": "arn:aws:iam::000000000000:user/team/administrator"})), PRINCIPAL),
        (document(allow(GET, Principal={"AWS": "arn:aws:iam::*:root"})), PRINCIPAL),
        (document(allow(GET, Principal={"AWS": "AIDAAAAAAAAAAAAAAAAAA"})), PRINCIPAL),
        (document(allow(GET, Principal={"Federated": "accounts.example.com"})), PRINCIPAL),
        (document(allow(GET, Principal={"CanonicalUser": "79a5"})), PRINCIPAL),
        (document(allow(GET, Principal={"Service": "invalid service"})), SERVICE),
    ],
)
def test_a_malformed_policy_is_refused_and_changes_nothing(
    client: Any, name: str, text: str, expected: Refusal
) -> None:
    assert refusal(client.put_resource_policy, SecretId=name, ResourcePolicy=text) == expected
    assert refusal(client.validate_resource_policy, SecretId=name, ResourcePolicy=text) == expected
    assert refusal(client.validate_resource_policy, ResourcePolicy=text) == expected
    assert "ResourcePolicy" not in client.get_resource_policy(SecretId=name)


def test_it_was_the_comma(client: Any, name: str, server: ServerProcess) -> None:
    mended = GUIDES_POLICY.replace('Stage",\n', 'Stage"\n').replace('"Effect"', '"Principal": "*", "Effect"')

    client.put_resource_policy(SecretId=name, ResourcePolicy=mended)


def test_principals_that_exist_and_those_of_accounts_that_are_elsewhere_are_taken(
    client: Any, name: str, server: ServerProcess, caller: Caller
) -> None:
    principals = [
        caller.arn,
        server.account_id,
        f"arn:aws:iam::{server.account_id}:root",
        f"arn:aws:iam::{server.account_id}:user/administrator",
        "arn:aws:iam::123456789012:user/anybody",
        "arn:aws:iam::123456789012:role/path/any",
        "123456789012",
    ]
    text = document(allow(GET, Principal={"AWS": principals, "Service": "lambda.amazonaws.com"}))

    client.put_resource_policy(SecretId=name, ResourcePolicy=text)

    assert shown(client, SecretId=name) == json.loads(text)


# Broad access.


def test_a_policy_for_everybody_is_taken_unless_that_is_blocked(client: Any, name: str, server: ServerProcess) -> None:
    text = document(everybody())
    narrow = document(everybody(Condition={"StringEquals": {"aws:SourceAccount": server.account_id}}))

    client.put_resource_policy(SecretId=name, ResourcePolicy=narrow, BlockPublicPolicy=True)
    assert refusal(client.put_resource_policy, SecretId=name, ResourcePolicy=text, BlockPublicPolicy=True) == PUBLIC
    assert shown(client, SecretId=name) == json.loads(narrow)
    client.put_resource_policy(SecretId=name, ResourcePolicy=text, BlockPublicPolicy=False)
    client.put_resource_policy(SecretId=name, ResourcePolicy=text)

    assert shown(client, SecretId=name) == json.loads(text)


def test_a_policy_of_a_caller_can_demand_that_broad_access_is_blocked(name: str, caller: Caller) -> None:
    caller.may(
        allow("secretsmanager:PutResourcePolicy", Condition={"Bool": {"secretsmanager:BlockPublicPolicy": True}})
    )
    client, text = caller.client("secretsmanager"), document(allow(GET, Principal={"AWS": caller.arn}))

    assert refusal(client.put_resource_policy, SecretId=name, ResourcePolicy=text).code == "AccessDeniedException"
    denied = refusal(client.put_resource_policy, SecretId=name, ResourcePolicy=text, BlockPublicPolicy=False)
    assert denied.code == "AccessDeniedException"
    client.put_resource_policy(SecretId=name, ResourcePolicy=text, BlockPublicPolicy=True)


# Checking without putting.


def test_a_policy_without_faults_passes(client: Any, name: str, server: ServerProcess) -> None:
    text = document(allow(GET, Principal={"AWS": server.account_id}))

    for asked in ({"SecretId": name}, {}):
        assert members(client.validate_resource_policy(**asked, ResourcePolicy=text)) == {
            "PolicyValidationPassed": True,
            "ValidationErrors": [],
        }
    assert "ResourcePolicy" not in client.get_resource_policy(SecretId=name)


def test_broad_access_and_locking_oneself_out_are_found(client: Any, name: str, server: ServerProcess) -> None:
    broad = {
        "CheckName": "BlockPublicPolicyCheck",
        "ErrorMessage": (
            "This resource policy grants broad access to your secret. Secrets Manager does not allow creating and"
            " applying such policies in the console."
        ),
    }
    locked_out = {"CheckName": "LockOutCheck", "ErrorMessage": LOCKED_OUT.message}
    denied = deny("secretsmanager:Put*", Principal="*")
    for statements, expected in (
        ([everybody()], [broad]),
        ([denied], [locked_out]),
        ([everybody(), denied], [broad, locked_out]),
    ):
        for asked in ({"SecretId": name}, {}):
            answer = client.validate_resource_policy(**asked, ResourcePolicy=document(*statements))
            assert members(answer) == {"PolicyValidationPassed": False, "ValidationErrors": expected}


def test_who_checks_a_policy_must_be_allowed_to_put_it(secret: dict[str, Any], caller: Caller) -> None:
    client = caller.client("secretsmanager")
    text = document(allow(GET, Principal={"AWS": caller.arn}))
    both = ["secretsmanager:PutResourcePolicy", "secretsmanager:ValidateResourcePolicy"]
    for one, other in (both, both[::-1]):
        caller.may(allow(one))
        refused = refusal(client.validate_resource_policy, SecretId=secret["Name"], ResourcePolicy=text)
        assert refused.code == "AccessDeniedException"
        assert f"is not authorized to perform: {other} on resource: {secret['Name']} because" in refused.message
        refused = refusal(client.validate_resource_policy, ResourcePolicy=text)
        assert f"is not authorized to perform: {other} because" in refused.message

    caller.may(allow(both, secret["ARN"]))
    client.validate_resource_policy(SecretId=secret["Name"], ResourcePolicy=text)
    assert refusal(client.validate_resource_policy, ResourcePolicy=text).code == "AccessDeniedException"
    caller.may(allow(both))
    client.validate_resource_policy(ResourcePolicy=text)


# Nobody locks themselves out.


@pytest.mark.parametrize(
    "statement",
    [
        deny("secretsmanager:*", Principal="*"),
        deny("*", Principal={"AWS": "arn:aws:iam::000000000000:user/administrator"}),
        deny("secretsmanager:PutResourcePolicy", Principal={"AWS": "000000000000"}),
        deny("secretsmanager:*", Principal="*", Condition={"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}),
        deny("secretsmanager:*", Principal="*", Condition={"StringNotEquals": {"aws:sourceVpce": "vpce-1a"}}),
    ],
)
def test_an_administrator_is_not_locked_out_by_mistake(client: Any, name: str, statement: dict[str, Any]) -> None:
    assert refusal(client.put_resource_policy, SecretId=name, ResourcePolicy=document(statement)) == LOCKED_OUT

    assert "ResourcePolicy" not in client.get_resource_policy(SecretId=name)


def test_a_policy_for_all_but_the_caller_holds_until_it_is_taken_off(client: Any, name: str, caller: Caller) -> None:
    caller.may(allow("secretsmanager:*"))
    condition = {"StringNotEquals": {"aws:PrincipalArn": [role_or_user(caller)]}}

    caller.client("secretsmanager").put_resource_policy(
        SecretId=name, ResourcePolicy=document(deny("secretsmanager:*", Principal="*", Condition=condition))
    )

    for call in (client.get_secret_value, client.get_resource_policy, client.delete_resource_policy):
        refused = refusal(call, SecretId=name)
        assert refused.code == "AccessDeniedException"
        assert refused.message.endswith(f"on resource: {name} with an explicit deny in a resource-based policy")
    caller.client("secretsmanager").delete_resource_policy(SecretId=name)
    client.get_secret_value(SecretId=name)


def role_or_user(caller: Caller) -> str:
    kind = "role" if caller.kind == "session" else "user"
    return f"arn:aws:iam::{caller.server.account_id}:{kind}/{caller.name}"


def test_who_was_spared_and_deleted_can_be_made_again(client: Any, name: str, server: ServerProcess) -> None:
    first = Caller(server, "user")
    first.may(allow("secretsmanager:*"))
    # Whoever spares a user by NotPrincipal has to name their account, too.
    spared = deny("secretsmanager:*", NotPrincipal={"AWS": [first.arn, server.account_id]})
    first.client("secretsmanager").put_resource_policy(SecretId=name, ResourcePolicy=document(spared))
    iam = server.client("iam")
    iam.delete_access_key(UserName=first.name, AccessKeyId=first.credentials.access_key_id)
    iam.delete_user_policy(UserName=first.name, PolicyName="inline")
    iam.delete_user(UserName=first.name)
    assert refusal(client.delete_resource_policy, SecretId=name).code == "AccessDeniedException"

    again = Caller(server, "user", name=first.name)
    again.may(allow("secretsmanager:*"))
    again.client("secretsmanager").delete_resource_policy(SecretId=name)

    client.get_secret_value(SecretId=name)


def test_tags_that_would_cost_the_caller_their_permissions_are_refused(client: Any, caller: Caller) -> None:
    name = f"tagged/{uuid.uuid4().hex}"
    client.create_secret(Name=name, SecretString="a", Tags=[{"Key": "Team", "Value": "db"}])
    by_caller = caller.client("secretsmanager")
    for key in ("aws:ResourceTag/Team", "secretsmanager:ResourceTag/team"):
        caller.may(allow("secretsmanager:*", Condition={"StringEquals": {key: "db"}}))

        for action, call, more in (
            ("UntagResource", by_caller.untag_resource, {"TagKeys": ["Team"]}),
            ("UntagResource", by_caller.untag_resource, {"TagKeys": ["Team", "other"]}),
            ("TagResource", by_caller.tag_resource, {"Tags": [{"Key": "Team", "Value": "web"}]}),
            (
                "TagResource",
                by_caller.tag_resource,
                {"Tags": [{"Key": "a", "Value": "b"}, {"Key": "Team", "Value": ""}]},
            ),
        ):
            refused = refusal(call, SecretId=name, **more)
            assert refused.code == "AccessDeniedException"
            assert refused.message == (
                f"User: {caller.arn} is not authorized to perform: secretsmanager:{action} on resource: {name}"
                f" because no identity-based policy allows the secretsmanager:{action} action"
            )
            assert client.describe_secret(SecretId=name)["Tags"] == [{"Key": "Team", "Value": "db"}]

        by_caller.tag_resource(SecretId=name, Tags=[{"Key": "a", "Value": "b"}])
        by_caller.untag_resource(SecretId=name, TagKeys=["a", "no such"])
        by_caller.get_secret_value(SecretId=name)


def test_a_secret_is_not_made_with_tags_that_lock_its_maker_out(client: Any, caller: Caller) -> None:
    name = f"tagged/{uuid.uuid4().hex}"
    caller.may(
        allow("secretsmanager:*"),
        deny("secretsmanager:*", Condition={"StringEquals": {"aws:ResourceTag/stage": "prod"}}),
    )
    by_caller = caller.client("secretsmanager")

    refused = refusal(by_caller.create_secret, Name=name, Tags=[{"Key": "stage", "Value": "prod"}])

    assert refused.code == "AccessDeniedException"
    assert refused.message.endswith("with an explicit deny in an identity-based policy")
    assert refusal(client.describe_secret, SecretId=name).code == "ResourceNotFoundException"
    by_caller.create_secret(Name=name, Tags=[{"Key": "stage", "Value": "test"}])


def test_who_may_use_secrets_by_their_tags_may_make_those_and_no_others(caller: Caller) -> None:
    """The table of the IAM User Guide's tutorial, "Test creating secrets"."""
    wanted = {"access-project": "peg", "access-team": "eng", "cost-center": "987654"}
    caller.may(
        allow(
            "secretsmanager:*",
            Condition={
                "StringEquals": {f"aws:ResourceTag/{key}": value for key, value in wanted.items()},
                "ForAllValues:StringEquals": {"aws:TagKeys": [*wanted, "Name", "OwnedBy"]},
                "StringEqualsIfExists": {f"aws:RequestTag/{key}": value for key, value in wanted.items()},
            },
        ),
        deny("secretsmanager:UntagResource", Condition={"ForAnyValue:StringLike": {"aws:TagKeys": "access-*"}}),
    )
    by_caller = caller.client("secretsmanager")
    name = f"tagged/{uuid.uuid4().hex}"

    for change in ({"access-project": "uni"}, {"access-team": "qas"}, {"cost-center": "123456"}, {"Owner": "Jane"}):
        tags = [{"Key": key, "Value": value} for key, value in {**wanted, **change}.items()]
        assert refusal(by_caller.create_secret, Name=name, Tags=tags).code == "AccessDeniedException", change
    assert refusal(by_caller.create_secret, Name=name).code == "AccessDeniedException"
    tags = [{"Key": key, "Value": value} for key, value in {**wanted, "Name": "Jane"}.items()]
    by_caller.create_secret(Name=name, Tags=tags, SecretString="a")

    by_caller.get_secret_value(SecretId=name)
    by_caller.tag_resource(SecretId=name, Tags=[{"Key": "OwnedBy", "Value": "Jane"}])
    by_caller.untag_resource(SecretId=name, TagKeys=["OwnedBy"])
    assert refusal(by_caller.untag_resource, SecretId=name, TagKeys=["access-team"]).code == "AccessDeniedException"


# What policies decide.


def test_a_policy_that_names_the_caller_is_enough_from_the_next_call_on(client: Any, name: str, caller: Caller) -> None:
    by_caller = caller.client("secretsmanager")
    for principal in ({"AWS": caller.arn}, {"AWS": role_or_user(caller)}, "*", {"AWS": "*"}):
        assert refusal(by_caller.get_secret_value, SecretId=name).code == "AccessDeniedException"
        client.put_resource_policy(SecretId=name, ResourcePolicy=document(allow(GET, Principal=principal)))
        assert by_caller.get_secret_value(SecretId=name)["SecretString"] == "a value"
        assert refusal(by_caller.describe_secret, SecretId=name).code == "AccessDeniedException"
        client.delete_resource_policy(SecretId=name)


def test_a_policy_that_names_the_account_leaves_it_to_the_callers_own(
    client: Any, name: str, caller: Caller, server: ServerProcess
) -> None:
    by_caller = caller.client("secretsmanager")
    client.put_resource_policy(SecretId=name, ResourcePolicy=document(allow(GET, Principal={"AWS": server.account_id})))

    assert refusal(by_caller.get_secret_value, SecretId=name).code == "AccessDeniedException"
    caller.may(allow(GET))
    by_caller.get_secret_value(SecretId=name)


def test_resource_means_this_secret(client: Any, secret: dict[str, Any], server: ServerProcess, caller: Caller) -> None:
    by_caller, name = caller.client("secretsmanager"), secret["Name"]
    for resource, is_allowed in (
        ("*", True),
        (secret["ARN"], True),
        (secret["ARN"][:-1] + "?", True),
        ("arn:aws:secretsmanager:*:*:secret:other-*", False),
    ):
        text = document(allow(GET, resource, Principal={"AWS": caller.arn}))
        client.put_resource_policy(SecretId=name, ResourcePolicy=text)
        if is_allowed:
            by_caller.get_secret_value(SecretId=name)
        else:
            assert refusal(by_caller.get_secret_value, SecretId=name).code == "AccessDeniedException"


def test_a_deny_beats_an_administrator(client: Any, name: str) -> None:
    client.put_resource_policy(SecretId=name, ResourcePolicy=document(deny(GET, Principal="*")))

    refused = refusal(client.get_secret_value, SecretId=name)

    assert refused.code == "AccessDeniedException"
    assert refused.message.endswith(f"{GET} on resource: {name} with an explicit deny in a resource-based policy")
    client.describe_secret(SecretId=name)
    client.delete_resource_policy(SecretId=name)
    client.get_secret_value(SecretId=name)


def test_conditions_on_the_version_stage_see_what_was_sent(client: Any, name: str, caller: Caller) -> None:
    by_caller = caller.client("secretsmanager")
    condition = {"ForAnyValue:StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}
    text = document(allow(GET, Principal={"AWS": caller.arn}, Condition=condition))
    client.put_resource_policy(SecretId=name, ResourcePolicy=text)

    by_caller.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")

    assert refusal(by_caller.get_secret_value, SecretId=name).code == "AccessDeniedException"
    assert refusal(by_caller.get_secret_value, SecretId=name, VersionStage="AWSPREVIOUS").code == (
        "AccessDeniedException"
    )


@pytest.mark.parametrize(
    ("condition", "is_allowed"),
    [
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
        ({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}, False),
        ({"StringEquals": {"aws:ResourceTag/Team": "db"}}, True),
        ({"StringEquals": {"secretsmanager:ResourceTag/team": "db"}}, True),
        ({"StringEquals": {"aws:ResourceTag/Team": "web"}}, False),
        ({"Null": {"aws:ResourceTag/Other": "true"}}, True),
        ({"StringEquals": {"aws:SourceVpce": "vpce-1"}}, False),
        ({"ArnLike": {"secretsmanager:SecretId": "arn:aws:secretsmanager:*:*:secret:team/*"}}, True),
    ],
)
def test_conditions_see_address_tags_and_secret(
    client: Any, name: str, server: ServerProcess, condition: dict[str, Any], is_allowed: bool
) -> None:
    caller = Caller(server, "user")
    client.tag_resource(SecretId=name, Tags=[{"Key": "Team", "Value": "db"}])
    text = document(allow(GET, Principal={"AWS": caller.arn}, Condition=condition))
    client.put_resource_policy(SecretId=name, ResourcePolicy=text)

    if is_allowed:
        caller.client("secretsmanager").get_secret_value(SecretId=name)
    else:
        assert refusal(caller.client("secretsmanager").get_secret_value, SecretId=name).code == (
            "AccessDeniedException"
        )


def test_a_change_of_tags_counts_for_the_next_call(client: Any, name: str, caller: Caller) -> None:
    condition = {"StringEquals": {"aws:ResourceTag/Team": "db"}}
    text = document(allow(GET, Principal={"AWS": caller.arn}, Condition=condition))
    client.put_resource_policy(SecretId=name, ResourcePolicy=text)
    by_caller = caller.client("secretsmanager")

    for _ in range(5):
        assert refusal(by_caller.get_secret_value, SecretId=name).code == "AccessDeniedException"
        client.tag_resource(SecretId=name, Tags=[{"Key": "Team", "Value": "db"}])
        by_caller.get_secret_value(SecretId=name)
        client.untag_resource(SecretId=name, TagKeys=["Team"])


def test_a_restart_keeps_the_policy(own_server: ServerProcess) -> None:
    own_server.start()
    client = own_server.client("secretsmanager")
    client.create_secret(Name="db", SecretString="a")
    client.put_resource_policy(SecretId="db", ResourcePolicy=document(deny(GET, Principal="*")))
    own_server.kill()
    own_server.start()

    assert refusal(own_server.client("secretsmanager").get_secret_value, SecretId="db").code == "AccessDeniedException"


# What is recorded.


def test_a_new_policy_is_in_the_audit_trail(client: Any, secret: dict[str, Any], server: ServerProcess) -> None:
    text = document(everybody())
    asked = {"SecretId": secret["Name"], "ResourcePolicy": text}
    client.put_resource_policy(**asked, BlockPublicPolicy=False)
    refusal(client.put_resource_policy, **asked, BlockPublicPolicy=True)
    client.validate_resource_policy(**asked)

    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": secret["ARN"]}]
    )["Events"]
    events = [json.loads(event["CloudTrailEvent"]) for event in found]
    validated, refused, put = events[:3]
    assert put["requestParameters"] == {
        "secretId": secret["Name"],
        "resourcePolicy": text,
        "blockPublicPolicy": False,
    }
    assert (put["responseElements"]["policyName"], put["readOnly"]) == ("default", False)
    assert (refused["errorCode"], refused["errorMessage"]) == (PUBLIC.code, PUBLIC.message)
    assert (validated["eventName"], validated["readOnly"]) == ("ValidateResourcePolicy", True)
