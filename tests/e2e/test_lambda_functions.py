"""Functions through boto3 and the real server: made, run in real execution environments, changed, removed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ClientError

from keyturn.testing.functions import zip_package

from .conftest import Credentials, ServerProcess, wait_until

RUNTIME = f"python3.{sys.version_info.minor}"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SOURCE = """
import json, os, boto3

def lambda_handler(event, context):
    print("saw", json.dumps(event))
    if event.get("fail"):
        raise ValueError("as asked")
    identity = boto3.client("sts").get_caller_identity()
    return {"event": event, "arn": identity["Arn"], "own": os.environ.get("OWN"), "request_id": context.aws_request_id}
"""


@pytest.fixture(scope="module")
def role(server: ServerProcess) -> str:
    made = server.client("iam").create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(TRUST))
    arn: str = made["Role"]["Arn"]
    return arn


@pytest.fixture
def function(server: ServerProcess, role: str, request: pytest.FixtureRequest) -> Iterator[str]:
    client = server.client("lambda")
    name = f"f-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
    create(client, name, role)
    yield name
    delete(client, name)


def create(client: Any, name: str, role: str, source: str = SOURCE, **more: Any) -> Any:
    return client.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": source})},
        Timeout=20,
        **more,
    )


def delete(client: Any, name: str) -> None:
    with contextlib.suppress(client.exceptions.ResourceNotFoundException):
        client.delete_function(FunctionName=name)


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def messages(server: ServerProcess, name: str) -> list[str]:
    found = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")
    return [event["message"] for event in found["events"]]


def test_a_function_runs_with_its_roles_credentials_and_is_logged(server: ServerProcess, function: str) -> None:
    client = server.client("lambda")
    client.update_function_configuration(FunctionName=function, Environment={"Variables": {"OWN": "mine"}})

    reply = client.invoke(FunctionName=function, Payload=json.dumps({"käse": 1}), LogType="Tail")

    answer = json.loads(reply["Payload"].read())
    assert (reply["StatusCode"], reply["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in reply
    assert answer["arn"] == f"arn:aws:sts::{server.account_id}:assumed-role/runner/{function}"
    assert (answer["event"], answer["own"]) == ({"käse": 1}, "mine")
    assert answer["request_id"] == reply["ResponseMetadata"]["RequestId"]
    tail = base64.b64decode(reply["LogResult"]).decode()
    assert f"REPORT RequestId: {answer['request_id']}" in tail
    assert any(message.startswith("saw ") for message in messages(server, function))


def test_an_exception_is_an_answer_with_status_200(server: ServerProcess, function: str) -> None:
    reply = server.client("lambda").invoke(FunctionName=function, Payload=b'{"fail": true}')

    answer = json.loads(reply["Payload"].read())
    assert (reply["StatusCode"], reply["FunctionError"]) == (200, "Unhandled")
    assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "as asked")
    assert any("ValueError: as asked" in message for message in messages(server, function))


def test_new_code_runs_at_the_next_invocation(server: ServerProcess, function: str) -> None:
    client = server.client("lambda")
    client.invoke(FunctionName=function, Payload=b"{}")
    package = zip_package({"lambda_function.py": "def lambda_handler(event, context):\n    return 'new'\n"})

    updated = client.update_function_code(FunctionName=function, ZipFile=package)

    assert updated["CodeSha256"] == base64.b64encode(hashlib.sha256(package).digest()).decode()
    client.get_waiter("function_updated_v2").wait(FunctionName=function)
    assert client.invoke(FunctionName=function)["Payload"].read() == b'"new"'


def test_an_event_runs_in_the_background(server: ServerProcess, function: str) -> None:
    reply = server.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=b'{"later": 1}')

    assert (reply["StatusCode"], reply["Payload"].read()) == (202, b"")

    def ran() -> bool:
        try:
            return any("later" in message for message in messages(server, function))
        except ClientError:
            return False

    wait_until(ran, "the event's log line", server)


def test_a_dry_run_answers_204(server: ServerProcess, function: str) -> None:
    reply = server.client("lambda").invoke(FunctionName=function, InvocationType="DryRun")

    assert reply["StatusCode"] == 204


def test_the_link_of_get_function_leads_to_the_package_without_a_signature(
    server: ServerProcess, function: str
) -> None:
    shown = server.client("lambda").get_function(FunctionName=function)

    location = shown["Code"]["Location"]
    with urllib.request.urlopen(location) as reply:
        package = reply.read()
    assert base64.b64encode(hashlib.sha256(package).digest()).decode() == shown["Configuration"]["CodeSha256"]
    with pytest.raises(HTTPError) as refused:
        urllib.request.urlopen(location[:-4] + "AAAA")
    assert refused.value.code == 403
    refused.value.close()


def test_functions_are_named_in_every_way_boto3_lets_through(server: ServerProcess, function: str) -> None:
    client = server.client("lambda")
    arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]

    for name in (function, arn, f"{arn}:$LATEST", f"{server.account_id}:function:{function}", f"{function}:$LATEST"):
        assert client.get_function_configuration(FunctionName=name)["FunctionName"] == function


def test_a_missing_function_is_404_in_lambdas_words(server: ServerProcess) -> None:
    client = server.client("lambda")

    with pytest.raises(client.exceptions.ResourceNotFoundException) as refused:
        client.get_function(FunctionName="nobody")
    arn = f"arn:aws:lambda:{server.region}:{server.account_id}:function:nobody"
    assert refused.value.response["Error"]["Message"] == f"Function not found: {arn}"
    assert code_of(refused) == ("ResourceNotFoundException", 404)
    with pytest.raises(client.exceptions.ResourceNotFoundException) as refused:
        client.invoke(FunctionName="nobody")
    assert refused.value.response["Error"]["Message"] == f"Function not found: {arn}:$LATEST"


def test_a_name_that_is_taken_is_a_conflict(server: ServerProcess, function: str, role: str) -> None:
    client = server.client("lambda")

    with pytest.raises(client.exceptions.ResourceConflictException) as refused:
        create(client, function, role)
    assert code_of(refused) == ("ResourceConflictException", 409)


def test_an_older_revision_is_a_failed_precondition(server: ServerProcess, function: str) -> None:
    client = server.client("lambda")

    with pytest.raises(client.exceptions.PreconditionFailedException) as refused:
        client.update_function_configuration(FunctionName=function, Timeout=9, RevisionId="older")
    assert code_of(refused) == ("PreconditionFailedException", 412)


@pytest.mark.parametrize(("limit", "value"), [("Timeout", 901), ("MemorySize", 64), ("Timeout", 0)])
def test_limits_are_those_of_lambda(server: ServerProcess, function: str, limit: str, value: int) -> None:
    client = server.client("lambda", parameter_validation=False)

    with pytest.raises(ClientError) as refused:
        client.update_function_configuration(FunctionName=function, **{limit: value})
    assert code_of(refused)[1] == 400
    assert "failed to satisfy constraint" in str(refused.value)


def test_functions_are_listed_through_the_paginator(server: ServerProcess, role: str) -> None:
    client = server.client("lambda")
    names = [f"listed-{number}" for number in range(3)]
    for name in names:
        create(client, name, role)

    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))

    listed = [shown["FunctionName"] for page in pages for shown in page["Functions"]]
    assert [name for name in listed if name in names] == names
    assert len(pages) >= 2
    for name in names:
        delete(client, name)


def test_tags_travel_through_the_path(server: ServerProcess, function: str) -> None:
    client = server.client("lambda")
    arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]

    client.tag_resource(Resource=arn, Tags={"team": "a", "stage": "b c/d"})
    client.untag_resource(Resource=arn, TagKeys=["team"])

    assert client.list_tags(Resource=arn)["Tags"] == {"stage": "b c/d"}


def test_functions_survive_a_restart(own_server: ServerProcess) -> None:
    own_server.start()
    made = own_server.client("iam").create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(TRUST))
    create(own_server.client("lambda"), "kept", made["Role"]["Arn"], Environment={"Variables": {"OWN": "still"}})
    own_server.kill()
    own_server.start()

    reply = own_server.client("lambda").invoke(FunctionName="kept")

    assert json.loads(reply["Payload"].read())["own"] == "still"


def test_variables_are_nowhere_in_the_data_directory(own_server: ServerProcess) -> None:
    own_server.start()
    made = own_server.client("iam").create_role(RoleName="runner", AssumeRolePolicyDocument=json.dumps(TRUST))
    client = own_server.client("lambda")
    create(client, "canary", made["Role"]["Arn"], Environment={"Variables": {"OWN": "canary-4711"}})
    assert client.invoke(FunctionName="canary", Payload=b"{}")["StatusCode"] == 200
    assert own_server.stop() == 0

    for path in own_server.data_dir.rglob("*"):
        if path.is_file():
            assert b"canary-4711" not in path.read_bytes(), path
    assert "canary-4711" not in own_server.log()


def test_a_version_stays_as_it_was_published_and_an_alias_leads_to_another(server: ServerProcess, role: str) -> None:
    client = server.client("lambda")
    source = (
        "import os\n"
        "def lambda_handler(event, context):\n"
        "    return [os.environ.get('WHICH'), context.function_version, context.invoked_function_arn]\n"
    )
    first = {"Variables": {"WHICH": "one"}}
    arn = create(client, "versioned", role, source, Environment=first, Publish=True)["FunctionArn"]
    client.update_function_configuration(FunctionName="versioned", Environment={"Variables": {"WHICH": "two"}})
    client.publish_version(FunctionName="versioned")
    client.create_alias(FunctionName="versioned", Name="live", FunctionVersion="1")
    client.update_function_configuration(FunctionName="versioned", Environment={"Variables": {"WHICH": "latest"}})

    def invoke(name: str, **more: str) -> tuple[list[str], str]:
        answer = client.invoke(FunctionName=name, **more)
        return json.loads(answer["Payload"].read()), answer["ExecutedVersion"]

    assert invoke("versioned") == (["latest", "$LATEST", arn], "$LATEST")
    assert invoke("versioned", Qualifier="2") == (["two", "2", f"{arn}:2"], "2")
    assert invoke(f"{arn}:live") == (["one", "1", f"{arn}:live"], "1")
    # The same environment, under its other name.
    assert invoke("versioned:1") == (["one", "1", f"{arn}:1"], "1")
    client.update_alias(FunctionName="versioned", Name="live", FunctionVersion="2")
    assert invoke("versioned", Qualifier="live") == (["two", "2", f"{arn}:live"], "2")

    pages = client.get_paginator("list_versions_by_function").paginate(FunctionName="versioned", MaxItems=2)
    assert [version["Version"] for page in pages for version in page["Versions"]] == ["$LATEST", "1", "2"]
    [alias] = client.list_aliases(FunctionName="versioned")["Aliases"]
    assert (alias["Name"], alias["FunctionVersion"]) == ("live", "2")
    client.delete_function(FunctionName="versioned", Qualifier="1")
    with pytest.raises(client.exceptions.ResourceNotFoundException, match=f"Function not found: {arn}:1"):
        client.invoke(FunctionName="versioned", Qualifier="1")
    with pytest.raises(client.exceptions.ResourceConflictException, match=r"aliases reference it: \[live\]"):
        client.delete_function(FunctionName="versioned", Qualifier="2")
    assert client.delete_alias(FunctionName="versioned", Name="live")["ResponseMetadata"]["HTTPStatusCode"] == 204
    delete(client, "versioned")


def test_who_may_invoke_a_function_may_not_invoke_its_versions_for_that(server: ServerProcess, role: str) -> None:
    client, iam = server.client("lambda"), server.client("iam")
    arn = create(client, "narrow", role, Publish=True)["FunctionArn"]
    iam.create_user(UserName="caller")
    statement = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="caller", PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName="caller")["AccessKey"]
    theirs = server.client("lambda", Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    assert theirs.invoke(FunctionName="narrow")["StatusCode"] == 200
    for qualifier in ("1", "$LATEST", "nothing"):
        with pytest.raises(ClientError, match=f"on resource: {re.escape(f'{arn}:{qualifier}')} because no"):
            theirs.invoke(FunctionName="narrow", Qualifier=qualifier)
    user = f"arn:aws:iam::{server.account_id}:user/caller"
    client.add_permission(
        FunctionName="narrow", Qualifier="1", StatementId="s", Action="lambda:InvokeFunction", Principal=user
    )
    assert theirs.invoke(FunctionName="narrow", Qualifier="1")["ExecutedVersion"] == "1"
