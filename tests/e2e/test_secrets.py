"""Secrets through boto3: created, read, described, changed, tagged; and by many callers at once."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Credentials, ServerProcess
from .refusals import Refusal, refusal

MISSING = Refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", 400)


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Any:
    return server.client("secretsmanager", max_pool_connections=20)


@pytest.fixture
def name() -> str:
    return f"team/{uuid.uuid4().hex}"


def test_a_new_secret_comes_back_as_it_went(client: Any, name: str, server: ServerProcess) -> None:
    before = datetime.now(UTC)

    made = client.create_secret(Name=name, SecretString='{"password": "pä$$wörd\\u0000"}', Description="a database")
    read = client.get_secret_value(SecretId=name)

    suffix = r"-[A-Za-z0-9]{6}"
    assert re.fullmatch(
        f"arn:aws:secretsmanager:{server.region}:{server.account_id}:secret:{name}{suffix}", made["ARN"]
    )
    assert set(made) == {"ARN", "Name", "VersionId", "ResponseMetadata"}
    assert {**read, "ResponseMetadata": None, "CreatedDate": None} == {
        "ARN": made["ARN"],
        "Name": name,
        "VersionId": made["VersionId"],
        "SecretString": '{"password": "pä$$wörd\\u0000"}',
        "VersionStages": ["AWSCURRENT"],
        "CreatedDate": None,
        "ResponseMetadata": None,
    }
    assert before - timedelta(seconds=1) < read["CreatedDate"] < datetime.now(UTC) + timedelta(seconds=1)
    assert read["CreatedDate"].microsecond % 1000 == 0


def test_the_version_id_is_the_client_request_token(client: Any, name: str) -> None:
    token = str(uuid.uuid4())

    assert client.create_secret(Name=name, SecretString="a", ClientRequestToken=token)["VersionId"] == token


@pytest.mark.parametrize("size", [1, 65_536])
def test_a_value_may_have_any_length_up_to_the_limit(client: Any, name: str, size: int) -> None:
    client.create_secret(Name=name, SecretString="\\" * size)
    assert client.get_secret_value(SecretId=name)["SecretString"] == "\\" * size

    client.put_secret_value(SecretId=name, SecretBinary=bytes(range(256))[-1:] * size)
    assert client.get_secret_value(SecretId=name)["SecretBinary"] == b"\xff" * size
    assert "SecretString" not in client.get_secret_value(SecretId=name)


def test_a_value_of_any_characters_comes_back(client: Any, name: str) -> None:
    value = "\0\x01\x7f\x80\u2028\ufeff\uffff\U0001f511\U0010ffff\r\n\t\"\\'</script>"
    client.create_secret(Name=name, SecretString=value)

    assert client.get_secret_value(SecretId=name)["SecretString"] == value


def test_an_empty_secret_shows_no_more_than_it_has(client: Any, name: str) -> None:
    made = client.create_secret(Name=name)
    described = client.describe_secret(SecretId=name)

    assert set(made) == {"ARN", "Name", "ResponseMetadata"}
    assert set(described) == {"ARN", "Name", "CreatedDate", "LastChangedDate", "ResponseMetadata"}
    assert refusal(client.get_secret_value, SecretId=name) == Refusal(
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
        400,
    )


def test_a_description_of_everything(client: Any, name: str) -> None:
    tags = [{"Key": "team", "Value": "db"}, {"Key": "Team", "Value": ""}]
    made = client.create_secret(Name=name, SecretBinary=b"\0", Description="mine", Tags=tags)
    client.get_secret_value(SecretId=name)

    described = client.describe_secret(SecretId=name)

    assert described["Description"] == "mine"
    assert described["Tags"] == tags
    assert described["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"]}
    assert "RotationEnabled" not in described
    assert "DeletedDate" not in described


def test_reading_leaves_the_day_behind(own_server: ServerProcess) -> None:
    own_server.start()
    client = own_server.client("secretsmanager")
    client.create_secret(Name="a", SecretString="b")
    assert "LastAccessedDate" not in client.describe_secret(SecretId="a")
    client.get_secret_value(SecretId="a")

    # It is stored at leisure, and at the latest when the server ends.
    own_server.stop()
    own_server.start()
    client = own_server.client("secretsmanager")

    read_at = client.describe_secret(SecretId="a")["LastAccessedDate"]
    assert read_at == datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert client.list_secret_version_ids(SecretId="a")["Versions"][0]["LastAccessedDate"] == read_at


@pytest.mark.parametrize(
    "reference",
    [lambda arn, name: name, lambda arn, name: arn, lambda arn, name: arn[:-7]],
    ids=["name", "ARN", "ARN without suffix"],
)
def test_a_secret_is_found_by_name_and_by_arn(client: Any, name: str, reference: Callable[[str, str], str]) -> None:
    arn = client.create_secret(Name=name, SecretString="a")["ARN"]

    assert client.get_secret_value(SecretId=reference(arn, name))["ARN"] == arn


def test_a_name_that_ends_like_an_arn_is_not_found_by_arn_without_suffix(client: Any, name: str) -> None:
    arn = client.create_secret(Name=f"{name}-a1b2c3", SecretString="a")["ARN"]

    assert refusal(client.get_secret_value, SecretId=arn[:-7]) == MISSING
    assert client.get_secret_value(SecretId=f"{name}-a1b2c3")["ARN"] == arn


@pytest.mark.parametrize(
    "reference",
    [
        "no/such",
        "arn:aws:secretsmanager:us-east-1:000000000000:secret:no/such-AbCdEf",
        "arn:aws:secretsmanager:eu-west-1:000000000000:secret:no/such-AbCdEf",
        "arn:aws-cn:secretsmanager:us-east-1:000000000000:secret:no/such-AbCdEf",
        "arn:aws:iam::000000000000:role/no-such",
    ],
)
@pytest.mark.parametrize(
    "operation", ["get_secret_value", "describe_secret", "delete_secret", "restore_secret", "list_secret_version_ids"]
)
def test_what_is_not_there_is_said_the_same_way_whatever_was_asked(client: Any, operation: str, reference: str) -> None:
    assert refusal(getattr(client, operation), SecretId=reference) == MISSING


def test_a_secret_of_another_account_is_not_even_missed(client: Any) -> None:
    arn = "arn:aws:secretsmanager:us-east-1:111111111111:secret:no/such-AbCdEf"

    # Between accounts a policy of the resource must allow, and there is none.
    assert refusal(client.get_secret_value, SecretId=arn).code == "AccessDeniedException"


def test_names_tell_capitals_apart(client: Any, name: str) -> None:
    client.create_secret(Name=name, SecretString="small")
    client.create_secret(Name=name.upper(), SecretString="large")

    assert client.get_secret_value(SecretId=name)["SecretString"] == "small"
    assert client.get_secret_value(SecretId=name.upper())["SecretString"] == "large"


def test_every_character_that_names_have(client: Any, name: str) -> None:
    odd = f"{name}/_+=.@!-AZaz09"

    assert client.create_secret(Name=odd)["Name"] == odd
    assert client.describe_secret(SecretId=odd)["Name"] == odd


def test_creating_twice_with_one_token_makes_one_secret(client: Any, name: str) -> None:
    request = {"Name": name, "SecretString": "a", "ClientRequestToken": str(uuid.uuid4())}

    first, second = client.create_secret(**request), client.create_secret(**request)

    assert (first["ARN"], first["VersionId"]) == (second["ARN"], second["VersionId"])
    assert refusal(client.create_secret, **{**request, "SecretString": "b"}) == Refusal(
        "ResourceExistsException",
        f"You can't use ClientRequestToken {request['ClientRequestToken']} because that value is already in use for a"
        f" version of secret {first['ARN']}.",
        400,
    )
    assert refusal(client.create_secret, Name=name, SecretString="a") == Refusal(
        "ResourceExistsException", f"The operation failed because the secret {name} already exists.", 400
    )


def test_an_update_changes_what_it_names_and_nothing_else(client: Any, name: str) -> None:
    made = client.create_secret(Name=name, SecretString="a", Description="first")

    nothing = client.update_secret(SecretId=name)
    described = client.update_secret(SecretId=name, Description="second")
    valued = client.update_secret(SecretId=name, SecretString="b")

    assert "VersionId" not in nothing
    assert "VersionId" not in described
    assert valued["VersionId"] != made["VersionId"]
    after = client.describe_secret(SecretId=name)
    assert after["Description"] == "second"
    assert after["VersionIdsToStages"] == {made["VersionId"]: ["AWSPREVIOUS"], valued["VersionId"]: ["AWSCURRENT"]}
    client.update_secret(SecretId=name, Description="")
    assert "Description" not in client.describe_secret(SecretId=name)


def test_tags_come_and_go(client: Any, name: str) -> None:
    client.create_secret(Name=name)
    assert "Tags" not in client.describe_secret(SecretId=name)

    client.tag_resource(SecretId=name, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}])
    client.tag_resource(SecretId=name, Tags=[{"Key": "a", "Value": "2"}, {"Key": "c", "Value": "3"}])
    assert client.describe_secret(SecretId=name)["Tags"] == [
        {"Key": "a", "Value": "2"},
        {"Key": "b", "Value": ""},
        {"Key": "c", "Value": "3"},
    ]

    client.untag_resource(SecretId=name, TagKeys=["a", "b", "c", "d"])
    assert client.describe_secret(SecretId=name)["Tags"] == []


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": "a"}, {"Key": "a"}],
        [{"Key": f"key-{number}"} for number in range(51)],
        [{"Key": "aws:mine", "Value": "a"}],
        [{"Value": "a"}],
    ],
    ids=["twice the same key", "51 tags", "a key of AWS", "no key"],
)
def test_tags_that_a_secret_cannot_have(client: Any, name: str, tags: list[dict[str, str]]) -> None:
    client.create_secret(Name=name)

    assert refusal(client.tag_resource, SecretId=name, Tags=tags).code == "InvalidParameterException"
    assert refusal(client.create_secret, Name=f"{name}/other", Tags=tags).code == "InvalidParameterException"

    assert "Tags" not in client.describe_secret(SecretId=name)
    assert refusal(client.describe_secret, SecretId=f"{name}/other") == MISSING


@pytest.mark.parametrize(
    "request_",
    [
        {"Type": "SomebodyElse"},
    ],
)
def test_what_is_not_offered_does_not_seem_to_succeed(client: Any, name: str, request_: dict[str, Any]) -> None:
    refused = refusal(client.create_secret, Name=name, SecretString="a", **request_)

    assert refused.code == "InvalidRequestException"
    assert "docs/compatibility.md" in refused.message
    assert refusal(client.describe_secret, SecretId=name) == MISSING


@pytest.mark.parametrize(
    "request_",
    [
        {"ExternalSecretRotationMetadata": [{"Key": "a", "Value": "b"}]},
        {"ExternalSecretRotationRoleArn": "arn:aws:iam::000000000000:role/a"},
    ],
)
def test_a_rotation_that_is_not_offered_does_not_seem_to_begin(
    client: Any, name: str, request_: dict[str, Any]
) -> None:
    client.create_secret(Name=name, SecretString="a")

    refused = refusal(client.rotate_secret, SecretId=name, **request_)

    assert refused.code == "InvalidRequestException"
    assert "docs/compatibility.md" in refused.message
    assert "RotationEnabled" not in client.describe_secret(SecretId=name)


def test_the_default_key_is_shown_if_it_was_named(client: Any, name: str) -> None:
    client.create_secret(Name=name, SecretString="a", KmsKeyId="alias/aws/secretsmanager")

    assert client.describe_secret(SecretId=name)["KmsKeyId"] == "alias/aws/secretsmanager"
    assert client.get_secret_value(SecretId=name)["SecretString"] == "a"


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        ({}, set(map(chr, range(33, 127)))),
        ({"ExcludePunctuation": True, "ExcludeUppercase": True, "ExcludeLowercase": True}, set("0123456789")),
        ({"ExcludeCharacters": "/@\"'\\", "PasswordLength": 4096}, set(map(chr, range(33, 127))) - set("/@\"'\\")),
        ({"IncludeSpace": True}, set(map(chr, range(32, 127)))),
    ],
)
def test_random_passwords(client: Any, request_: dict[str, Any], allowed: set[str]) -> None:
    password = client.get_random_password(**request_)["RandomPassword"]

    assert len(password) == request_.get("PasswordLength", 32)
    assert set(password) <= allowed
    assert client.get_random_password(**request_)["RandomPassword"] != password


def test_a_password_that_cannot_be(client: Any) -> None:
    refused = refusal(client.get_random_password, PasswordLength=3)
    assert (refused.code, refused.message) == (
        "InvalidParameterException",
        "Password length is too short based on the required types.",
    )


@pytest.fixture(scope="module")
def reader(server: ServerProcess) -> Any:
    """A client that may read secrets below ``readable/`` and nothing else."""
    iam = server.client("iam")
    iam.create_user(UserName="reader")
    arn = f"arn:aws:secretsmanager:{server.region}:{server.account_id}:secret:readable/*"
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=document)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    return server.client("secretsmanager", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))


def test_who_may_read_one_secret_may_not_read_or_even_miss_another(
    client: Any, reader: Any, server: ServerProcess, name: str
) -> None:
    client.create_secret(Name=f"readable/{name}", SecretString="yes")
    hidden = client.create_secret(Name=name, SecretString="no")["ARN"]

    assert reader.get_secret_value(SecretId=f"readable/{name}")["SecretString"] == "yes"
    assert refusal(reader.get_secret_value, SecretId=f"readable/{name}/missing") == MISSING
    refused = refusal(reader.get_secret_value, SecretId=hidden)
    assert refused == Refusal(
        "AccessDeniedException",
        f"User: arn:aws:iam::{server.account_id}:user/reader is not authorized to perform:"
        f" secretsmanager:GetSecretValue on resource: {hidden} because no identity-based policy allows the"
        " secretsmanager:GetSecretValue action",
        400,
    )
    for asked in (name, f"{name}/missing"):
        told = refusal(reader.get_secret_value, SecretId=asked)
        assert told.message == refused.message.replace(hidden, asked)
    assert refusal(reader.put_secret_value, SecretId=f"readable/{name}", SecretString="x").code == refused.code


def code_of(call: Callable[..., Any], **request: Any) -> str:
    """Make a call and return its error's code; empty if it succeeds."""
    try:
        call(**request)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def together(work: Callable[[int], Any], workers: int = 8) -> list[Any]:
    """Run the same work in several threads that start at the same moment."""
    start = threading.Barrier(workers)

    def run(number: int) -> Any:
        start.wait()
        return work(number)

    with ThreadPoolExecutor(workers) as threads:
        return list(threads.map(run, range(workers)))


def test_of_many_who_create_one_name_one_succeeds(client: Any, name: str) -> None:
    codes = together(lambda number: code_of(client.create_secret, Name=name, SecretString=str(number)))

    assert sorted(codes) == ["", *["ResourceExistsException"] * 7]
    assert client.get_secret_value(SecretId=name)["SecretString"] == str(codes.index(""))


def test_one_token_sent_by_many_makes_one_version(client: Any, name: str) -> None:
    client.create_secret(Name=name)
    token = str(uuid.uuid4())

    answers = together(
        lambda _: client.put_secret_value(SecretId=name, SecretString="same", ClientRequestToken=token)["VersionStages"]
    )

    assert answers == [["AWSCURRENT"]] * 8
    assert [version["VersionId"] for version in client.list_secret_version_ids(SecretId=name)["Versions"]] == [token]


def test_one_token_sent_with_several_values_keeps_the_first(client: Any, name: str) -> None:
    client.create_secret(Name=name)
    token = str(uuid.uuid4())

    codes = together(
        lambda number: code_of(
            client.put_secret_value, SecretId=name, SecretString=str(number), ClientRequestToken=token
        )
    )

    assert sorted(codes) == ["", *["ResourceExistsException"] * 7]
    assert client.get_secret_value(SecretId=name)["SecretString"] == str(codes.index(""))


def test_no_read_is_older_than_a_write_that_was_acknowledged(client: Any, name: str) -> None:
    client.create_secret(Name=name, SecretString="0")
    acknowledged = 0
    is_over = threading.Event()

    def work(number: int) -> None:
        nonlocal acknowledged
        if number == 0:
            for value in range(1, 60):
                client.put_secret_value(SecretId=name, SecretString=str(value))
                acknowledged = value
            is_over.set()
            return
        while not is_over.is_set():
            known = acknowledged
            assert int(client.get_secret_value(SecretId=name)["SecretString"]) >= known

    together(work)

    assert client.get_secret_value(SecretId=name)["SecretString"] == "59"


def test_writes_of_many_end_in_a_state_that_makes_sense(client: Any, server: ServerProcess, name: str) -> None:
    def work(number: int) -> set[str]:
        codes = set()
        for turn in range(12):
            secret = f"{name}/{(number + turn) % 3}"
            calls: list[tuple[Callable[..., Any], dict[str, Any]]] = [
                (client.create_secret, {"Name": secret, "SecretString": str(number)}),
                (client.put_secret_value, {"SecretId": secret, "SecretString": str(number)}),
                (client.get_secret_value, {"SecretId": secret}),
                (client.delete_secret, {"SecretId": secret, "ForceDeleteWithoutRecovery": True}),
            ]
            call, request = calls[turn % 4]
            codes.add(code_of(call, **request))
        return codes

    codes = set.union(*together(work))

    assert codes <= {"", "ResourceExistsException", "ResourceNotFoundException"}
    for secret in client.list_secrets(Filters=[{"Key": "name", "Values": [name]}])["SecretList"]:
        stages = [stage for labels in secret["SecretVersionsToStages"].values() for stage in labels]
        assert stages.count("AWSCURRENT") == 1
        assert client.get_secret_value(SecretId=secret["ARN"])["VersionStages"] == ["AWSCURRENT"]
    assert "Traceback" not in server.log()
