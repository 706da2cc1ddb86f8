"""A rotation fails, and somebody is told: a real server, a real function, a real receiver; killed, away, and back."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from standardwebhooks import Webhook
from tests.contract.told import PASSWORD, PATH_SECRET, QUERY_SECRET, SECRET, CommandReceiver, Post, WebhookReceiver

from keyturn.testing.functions import zip_package
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, run_keyturn, wait_until
from .rotation_function import document

# Fails in the step that the secret's name ends with, and quotes what it has read.
FUNCTION = """
import boto3

class AuthenticationFailed(Exception):
    pass

def lambda_handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    name = client.describe_secret(SecretId=secret)["Name"]
    if event["Step"] == "createSecret":
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString="new-" + token, VersionStages=["AWSPENDING"]
        )
    if name.endswith(event["Step"]):
        value = client.get_secret_value(SecretId=secret)["SecretString"]
        raise AuthenticationFailed(f"<!channel> the database did not take {value}")
    if event["Step"] == "finishSecret":
        stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
        (current,) = [version for version, labels in stages.items() if "AWSCURRENT" in labels]
        client.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
        )
"""


def configure(server: ServerProcess, *notifiers: str, **settings: str) -> None:
    lines = [f'notify = "{" ".join(notifiers)}"', *(f'{name} = "{value}"' for name, value in settings.items())]
    (server.data_dir / "keyturn.toml").write_text("\n".join(lines))


def create_function(server: ServerProcess) -> str:
    iam, lambda_ = server.client("iam"), server.client("lambda")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="rotate", AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    allow = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}
    iam.put_role_policy(RoleName="rotate", PolicyName="all", PolicyDocument=document(allow))
    arn: str = lambda_.create_function(
        FunctionName="rotate",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": FUNCTION})},
        Timeout=30,
    )["FunctionArn"]
    lambda_.add_permission(
        FunctionName="rotate",
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
    )
    return arn


def rotate(server: ServerProcess, function_arn: str, name: str, value: str = "initial") -> str:
    """Make a secret, rotate it once and return its ARN."""
    client = server.client("secretsmanager")
    arn: str = client.create_secret(Name=name, SecretString=value)["ARN"]
    client.rotate_secret(
        SecretId=arn, RotationLambdaARN=function_arn, RotationRules={"AutomaticallyAfterDays": 30}
    )  # fmt: skip
    return arn


def failed(posts: list[Post]) -> list[dict[str, Any]]:
    return [post.document for post in posts if post.document["event"] == "RotationFailed"]


def names(posts: list[Post]) -> set[str]:
    return {found["secret"]["name"] for found in failed(posts)}


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[WebhookReceiver]:
    opened = WebhookReceiver(tmp_path)
    yield opened
    opened.stop()


def scrape(server: ServerProcess, token: str | None) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{server.endpoint_url}/metrics", headers=headers)) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(server: ServerProcess, token: str) -> dict[str, float]:
    status, text = scrape(server, token)
    assert status == 200, text
    parse: Any = text_string_to_metric_families
    return {
        ",".join([sample.name, *(str(value) for _, value in sorted(sample.labels.items()))]): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_a_failed_rotation_is_told_signed_and_counted_and_no_value_leaves(
    own_server: ServerProcess, receiver: WebhookReceiver, tmp_path: Path
) -> None:
    server, program = own_server, CommandReceiver(tmp_path)
    token, token_file = secrets.token_hex(32), tmp_path / "metrics.token"
    token_file.write_text(token)
    token_file.chmod(0o600)
    program_setting = program.setting.replace("name=hook", "name=program&events=all")
    configure(server, receiver.setting, program_setting, metrics_token_file=str(token_file))
    server.start()
    canary = f"CANARY{secrets.token_hex(12)}"
    function = create_function(server)
    arn = rotate(server, function, "app/setSecret", canary)
    rotate(server, function, "app/fine")

    receiver.wait_for(failed, "told of the failure")
    (first, *_) = receiver.posts
    message = Webhook(SECRET).verify(first.body, first.headers)
    assert message["event"] == "RotationFailed"
    assert message["id"] == first.headers["webhook-id"]
    assert message["secret"] == {"arn": arn, "name": "app/setSecret"}
    assert message["error"] == "AuthenticationFailed: <!channel> the database did not take ***"
    rotation = message["rotation"]
    assert (rotation["attempt"], rotation["step"], rotation["cause"]) == (1, "setSecret", "AuthenticationFailed")
    assert (rotation["function_arn"], rotation["final"]) == (function, False)
    assert rotation["next_attempt_at"] > message["time"]
    assert "<!channel>" not in message["text"]
    events = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventId", "AttributeValue": message["id"]}]
    )["Events"]
    assert [event["EventName"] for event in events] == ["RotationFailed"]

    wait_until(
        lambda: "RotationSucceeded" in {found["event"] for found in program.documents()}, "the program was told", server
    )
    found = samples(server, token)
    assert found["keyturn_rotation_attempts_failed_total,AuthenticationFailed,rotation,setSecret"] >= 1
    assert found["keyturn_rotations_succeeded_total,rotation"] == 1
    wait_until(lambda: samples(server, token)["keyturn_notifications_sent_total,hook"] >= 1, "it was counted", server)
    assert found["keyturn_rotation_secrets"] == 2
    assert found["keyturn_requests_total,RotateSecret,secretsmanager,200"] == 2
    assert scrape(server, None)[0] == scrape(server, "wrong")[0] == 401

    assert server.stop() == 0
    told = b"".join(post.body for post in receiver.posts) + json.dumps(program.documents()).encode()
    log = server.log()
    assert canary.encode() not in told
    for secret in (canary, token, PASSWORD, PATH_SECRET, QUERY_SECRET, SECRET):
        assert secret not in log


def test_without_the_setting_there_are_no_metrics(server: ServerProcess) -> None:
    assert scrape(server, "anything")[0] == 404


def test_a_receiver_that_was_away_is_told_after_a_kill(own_server: ServerProcess, receiver: WebhookReceiver) -> None:
    server = own_server
    configure(server, receiver.setting)
    receiver.stop()
    server.start()
    function = create_function(server)
    rotate(server, function, "one/createSecret")
    wait_until(lambda: "does not take messages" in server.log(), "it was tried", server)
    # Calls go on.
    server.client("sts").get_caller_identity()
    server.kill()
    receiver.start()
    server.start()

    receiver.wait_for(lambda posts: names(posts) == {"one/createSecret"}, "told after the restart")
    ids = [found["id"] for found in failed(receiver.posts)]
    assert len(ids) == len(set(ids))


def test_a_server_killed_while_it_tells_tells_again(own_server: ServerProcess, receiver: WebhookReceiver) -> None:
    server = own_server
    configure(server, f"{receiver.setting}&only_final=false")
    server.start()
    function = create_function(server)
    taken: list[Post] = []

    def kill_while_it_waits_for_the_answer(post: Post) -> None:
        taken.append(post)
        receiver.take = original  # type: ignore[method-assign]
        server.kill()

    original = receiver.take
    receiver.take = kill_while_it_waits_for_the_answer  # type: ignore[method-assign]
    rotate(server, function, "two/setSecret")
    wait_until(lambda: taken, "it was told once", server)
    wait_until(lambda: server._process is None, "the server is gone", server)
    server.start()

    receiver.wait_for(lambda posts: taken[0].document["id"] in {found["id"] for found in failed(posts)}, "told again")
    again = next(post for post in receiver.posts if post.document["id"] == taken[0].document["id"])
    assert again.body == taken[0].body
    Webhook(SECRET).verify(again.body, again.headers)


def test_of_two_servers_on_one_postgresql_each_message_is_sent_by_one(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    with PostgresqlServer.start() as postgresql:
        url = postgresql.url(driver="postgresql")
        (tmp_path / "first").mkdir()
        (tmp_path / "second").mkdir()
        first = ServerProcess(tmp_path / "first", database_url=url)
        second = ServerProcess(tmp_path / "second", database_url=url, beside=first)
        servers = [first, second]
        for server in servers:
            configure(server, receiver.setting)
            server.start()
        try:
            function = create_function(first)
            expected = {f"{number}/createSecret" for number in range(6)}
            for number in range(6):
                rotate(servers[number % 2], function, f"{number}/createSecret")
            receiver.wait_for(lambda posts: names(posts) == expected, "told of all")
            first.kill()
            rotate(second, function, "after/createSecret")
            receiver.wait_for(lambda posts: "after/createSecret" in names(posts), "told by the one that is left")
        finally:
            for server in servers:
                if server._process is not None:
                    server.stop()
    ids = [post.headers["webhook-id"] for post in receiver.posts]
    assert len(ids) == len(set(ids))


def test_the_command_says_who_takes_messages_and_what_to_do(
    own_server: ServerProcess, receiver: WebhookReceiver, tmp_path: Path
) -> None:
    program = CommandReceiver(tmp_path)
    configure(own_server, receiver.setting, program.setting.replace("name=hook", "name=program"))
    command = ("notify", "test", "--data-dir", str(own_server.data_dir))

    done = run_keyturn(*command, home=own_server.home)
    said = f"Settings of {own_server.data_dir / 'keyturn.toml'}; KEYTURN_* variables come before them."
    assert done.stdout.splitlines() == [
        said,
        "ok      hook (webhook): 204 No Content",
        "ok      program (command): exit status 0",
    ]
    (post,) = receiver.posts
    assert Webhook(SECRET).verify(post.body, post.headers)["event"] == "NotificationTest"
    assert [found["event"] for found in program.documents()] == ["NotificationTest"]

    receiver.status, receiver.answer = 403, b"invalid_token"
    done = run_keyturn(*command, "--output", "json", home=own_server.home, check=False)
    assert done.returncode == 1
    document = json.loads(done.stdout)
    hook, other = document["notifiers"]
    assert (document["data_dir"], document["settings_file"]) == (
        str(own_server.data_dir), str(own_server.data_dir / "keyturn.toml")
    )  # fmt: skip
    assert (hook["taken"], hook["said"], other["taken"]) == (False, "It answered 403 Forbidden.", True)
    assert "It said: invalid_token" in hook["hints"]

    done = run_keyturn(*command, "program", home=own_server.home)
    assert done.stdout == f"{said}\nok      program (command): exit status 0\n"
    done = run_keyturn(*command, "nobody", home=own_server.home, check=False)
    assert (done.returncode, "There are: hook, program." in done.stderr) == (1, True)
    for secret in (PASSWORD, PATH_SECRET, QUERY_SECRET):
        assert secret not in done.stdout + done.stderr

    configure(own_server)
    done = run_keyturn(*command, home=own_server.home, check=False)
    assert (done.returncode, f"No notifier is set up in {own_server.data_dir}" in done.stderr) == (1, True)


def test_a_setting_that_cannot_be_is_refused_at_start_without_showing_it(own_server: ServerProcess) -> None:
    configure(own_server, f"https://hook:{PASSWORD}@host/{PATH_SECRET}?sig={QUERY_SECRET}#format=xml")
    done = run_keyturn("serve", "--data-dir", str(own_server.data_dir), "--port", "0", "--no-profile",
                       home=own_server.home, check=False)  # fmt: skip

    assert done.returncode == 1
    assert "format is 'xml'" in done.stderr
    for secret in (PASSWORD, PATH_SECRET, QUERY_SECRET):
        assert secret not in done.stderr
