"""What an attacker tries: each test is a way around a promise of SECURITY.md that was open once, or an obvious one."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as SigningCredentials
from botocore.exceptions import ClientError

from keyturn.runtime.api import ApiLoop
from keyturn.testing.functions import zip_package

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, run_keyturn, wait_until

_numbers = itertools.count()
LAMBDA_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


def statement(effect: str, action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def new_user(server: ServerProcess, *statements: dict[str, Any]) -> Credentials:
    iam, name = server.client("iam"), f"attacker-{next(_numbers)}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy(*statements))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def new_function(server: ServerProcess, code: str, *role_statements: dict[str, Any], **more: Any) -> str:
    iam, name = server.client("iam"), f"function-{next(_numbers)}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=LAMBDA_TRUST)["Role"]["Arn"]
    if role_statements:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy(*role_statements))
    arn: str = server.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=role,
        Handler="m.handler",
        Timeout=30,
        Code={"ZipFile": zip_package({"m.py": code})},
        **more,
    )["FunctionArn"]
    return arn


def refusal(call: Callable[..., Any], **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    return str(caught.value.response["Error"]["Code"])


def send(
    server: ServerProcess, method: str, path: str, body: bytes, headers: list[tuple[str, str | bytes]]
) -> tuple[int, bytes]:
    """Send a request exactly as given, repeated headers included."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    try:
        return response.status, response.read()
    finally:
        connection.close()


def signed_headers(server: ServerProcess, operation: str, body: bytes) -> list[tuple[str, str | bytes]]:
    request = AWSRequest(
        "POST",
        server.endpoint_url + "/",
        {"X-Amz-Target": f"secretsmanager.{operation}", "Content-Type": "application/x-amz-json-1.1"},
        body,
    )
    signer = SigningCredentials(server.admin.access_key_id, server.admin.secret_access_key)
    SigV4Auth(signer, "secretsmanager", server.region).add_auth(request)
    return [("Host", urlsplit(server.endpoint_url).netloc), *request.headers.items()]


def events_named(server: ServerProcess, name: str) -> list[dict[str, Any]]:
    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}]
    )
    return [json.loads(event["CloudTrailEvent"]) for event in found["Events"]]


@pytest.fixture(scope="module")
def secret(server: ServerProcess) -> str:
    name = "guarded"
    server.client("secretsmanager").create_secret(Name=name, SecretString="the guarded value")
    return name


# Signatures.


@pytest.mark.parametrize(
    "extra",
    [
        ("X-Amz-Target", "secretsmanager.GetSecretValue"),
        ("X-Amz-Date", "20200101T000000Z"),
        ("X-Amz-Anything", "unsigned"),
        ("Host", "elsewhere"),
        ("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
    ],
)
def test_no_header_can_be_added_to_a_signed_request(server: ServerProcess, secret: str, extra: tuple[str, str]) -> None:
    body = json.dumps({"SecretId": secret}).encode()
    headers = signed_headers(server, "DescribeSecret", body)
    assert send(server, "POST", "/", body, headers)[0] == 200
    status, answer = send(server, "POST", "/", body, [*headers, extra])
    assert status == 400
    assert b"guarded value" not in answer


def test_a_presigned_request_cannot_be_turned_into_another(server: ServerProcess) -> None:
    request = AWSRequest("GET", server.endpoint_url + "/?Action=GetCallerIdentity&Version=2011-06-15")
    signer = SigningCredentials(server.admin.access_key_id, server.admin.secret_access_key)
    SigV4QueryAuth(signer, "sts", server.region, expires=60).add_auth(request)
    path = (request.url or "").removeprefix(server.endpoint_url)
    host: list[tuple[str, str | bytes]] = [("Host", urlsplit(server.endpoint_url).netloc)]
    assert send(server, "GET", path, b"", host)[0] == 200
    for method, changed, body in (
        ("POST", path, b""),
        ("GET", path, b"Action=AssumeRole&Version=2011-06-15"),
        ("GET", path + "&Action=AssumeRole", b""),
        ("GET", path.replace("Expires=60", "Expires=600"), b""),
    ):
        assert send(server, method, changed, body, host)[0] == 403
    assert send(server, "GET", path, b"", [*host, ("X-Amz-Target", "secretsmanager.ListSecrets")])[0] == 400


def test_an_octet_beyond_ascii_in_the_user_agent_hides_nobody(server: ServerProcess, secret: str) -> None:
    body = json.dumps({"SecretId": secret, "TagKeys": ["none"]}).encode()
    headers = [*signed_headers(server, "UntagResource", body), ("User-Agent", b"hidden \xff")]
    assert send(server, "POST", "/", body, headers)[0] == 200
    assert "hidden" in events_named(server, "UntagResource")[0]["userAgent"]


def test_a_client_cannot_choose_the_address_that_policies_and_audit_see(server: ServerProcess, secret: str) -> None:
    body = json.dumps({"SecretId": secret}).encode()
    headers = signed_headers(server, "ListSecretVersionIds", body)
    forged: list[tuple[str, str | bytes]] = [
        ("X-Forwarded-For", "secretsmanager.amazonaws.com"),
        ("X-Forwarded-Proto", "https"),
    ]
    assert send(server, "POST", "/", body, [*headers, *forged])[0] == 200
    event = events_named(server, "ListSecretVersionIds")[0]
    assert event["sourceIPAddress"] == "127.0.0.1"
    assert "tlsDetails" not in event


# Policies.


def test_tags_on_something_new_need_the_permission_to_tag(server: ServerProcess) -> None:
    allowed = ["iam:CreateRole", "iam:CreateUser", "iam:PassRole", "lambda:CreateFunction"]
    caller = new_user(server, statement("Allow", allowed))
    iam, tags = server.client("iam", caller), [{"Key": "team", "Value": "admins"}]
    assert refusal(iam.create_user, UserName="tagged", Tags=tags) == "AccessDenied"
    code = refusal(iam.create_role, RoleName="tagged", AssumeRolePolicyDocument=LAMBDA_TRUST, Tags=tags)
    assert code == "AccessDenied"
    role = iam.create_role(RoleName="untagged", AssumeRolePolicyDocument=LAMBDA_TRUST)["Role"]["Arn"]
    function = {
        "FunctionName": "tagged",
        "Runtime": "python3.11",
        "Role": role,
        "Handler": "m.handler",
        "Code": {"ZipFile": zip_package({"m.py": "handler = print"})},
    }
    create = server.client("lambda", caller).create_function
    assert refusal(create, **function, Tags={"team": "admins"}) == "AccessDeniedException"
    create(**function)


def test_latest_behind_the_name_does_not_lead_around_a_deny(server: ServerProcess) -> None:
    arn = new_function(server, "def handler(event, context): return 1")
    caller = new_user(server, statement("Allow", "lambda:*"), statement("Deny", "lambda:*", arn))
    client = server.client("lambda", caller)
    package = zip_package({"m.py": "def handler(event, context): return 2"})
    for name in (arn, f"{arn}:$LATEST"):
        assert refusal(client.update_function_code, FunctionName=name, ZipFile=package) == "AccessDeniedException"
        assert refusal(client.update_function_configuration, FunctionName=name, Timeout=1) == "AccessDeniedException"
        assert refusal(client.delete_function, FunctionName=name) == "AccessDeniedException"
        assert refusal(client.tag_resource, Resource=name, Tags={"a": "b"}) == "AccessDeniedException"


@pytest.mark.parametrize(
    ("condition", "refused", "allowed"),
    [
        (
            {"Bool": {"secretsmanager:ForceDeleteWithoutRecovery": "true"}},
            {"ForceDeleteWithoutRecovery": True},
            {"RecoveryWindowInDays": 7},
        ),
        (
            {"NumericLessThan": {"secretsmanager:RecoveryWindowInDays": "20"}},
            {"RecoveryWindowInDays": 7},
            {"RecoveryWindowInDays": 30},
        ),
    ],
)
def test_a_deny_of_quick_deletion_is_kept(
    server: ServerProcess, condition: dict[str, Any], refused: dict[str, Any], allowed: dict[str, Any]
) -> None:
    name = f"kept-{next(_numbers)}"
    server.client("secretsmanager").create_secret(Name=name, SecretString="x")
    caller = new_user(
        server,
        statement("Allow", "secretsmanager:*"),
        statement("Deny", "secretsmanager:DeleteSecret", Condition=condition),
    )
    delete = server.client("secretsmanager", caller).delete_secret
    assert refusal(delete, SecretId=name, **refused) == "AccessDeniedException"
    delete(SecretId=name, **allowed)


@pytest.mark.parametrize(
    "condition",
    [
        {"Bool": {"secretsmanager:ModifyRotationRules": "true"}},
        {"Bool": {"secretsmanager:RotateImmediately": "true"}},
    ],
)
def test_a_deny_of_rotation_rules_or_haste_is_kept(
    server: ServerProcess, secret: str, condition: dict[str, Any]
) -> None:
    arn = new_function(server, "handler = print")
    caller = new_user(
        server,
        statement("Allow", ["secretsmanager:*", "lambda:*"]),
        statement("Deny", "secretsmanager:RotateSecret", Condition=condition),
    )
    rotate = server.client("secretsmanager", caller).rotate_secret
    rules = {"AutomaticallyAfterDays": 1}
    assert refusal(rotate, SecretId=secret, RotationLambdaARN=arn, RotationRules=rules) == "AccessDeniedException"


# Plaintext.


def test_what_a_rotation_function_says_of_its_failure_is_masked(server: ServerProcess) -> None:
    code = (
        "import boto3, json\n"
        "def handler(event, context):\n"
        "    value = boto3.client('secretsmanager').get_secret_value(SecretId=event['SecretId'])['SecretString']\n"
        "    password = json.loads(value)['password']\n"
        "    raise ValueError('no login for app with ' + password + ' of ' + value + '\\nFORGED')\n"
    )
    arn = new_function(server, code, statement("Allow", "secretsmanager:GetSecretValue"))
    server.client("lambda").add_permission(
        FunctionName=arn, StatementId="s", Action="lambda:InvokeFunction", Principal="secretsmanager.amazonaws.com"
    )
    client, marked = server.client("secretsmanager"), "marked-Pa55/word"
    made = client.create_secret(Name="said", SecretString=json.dumps({"username": "app", "password": marked}))
    client.rotate_secret(SecretId="said", RotationLambdaARN=arn)
    failed = wait_until(
        lambda: [
            event
            for event in events_named(server, "Invoke")
            if (event.get("additionalEventData") or {}).get("SecretId") == made["ARN"] and "errorMessage" in event
        ],
        "the failure of the first step",
        server,
    )
    assert failed[0]["errorMessage"] == "ValueError: no login for app with *** of ***\nFORGED"
    wait_until(lambda: "rotation of said failed" in server.log(), "the failure in the server's log", server)
    assert marked not in server.log()
    assert not any(line.startswith("FORGED") for line in server.output)
    state = b"".join(path.read_bytes() for path in server.data_dir.glob("keyturn.db*"))
    assert marked.encode() not in state


def test_a_directory_that_others_could_look_into_is_closed(tmp_path: Path) -> None:
    directory = tmp_path / "made before"
    directory.mkdir(mode=0o755)
    run_keyturn("init", "--data-dir", str(directory), "--no-profile", "--output", "json", home=tmp_path)
    assert directory.stat().st_mode & 0o066 == 0


def test_a_crash_leaves_no_memory_in_a_file(server: ServerProcess) -> None:
    limits = Path(f"/proc/{server.pid}/limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


# Functions.

_HOARDER = """
import ctypes, errno, os

def attempt(work):
    try:
        return work()
    except OSError as error:
        return errno.errorcode[error.errno]

def call(name, *arguments):
    library = ctypes.CDLL(None, use_errno=True)
    result = getattr(library, name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return "done"

def handler(event, context):
    return {
        "memfd": attempt(lambda: os.memfd_create("hoard") and "done"),
        "shm": attempt(lambda: call("shmget", 0, 1 << 30, 0o1600)),
        "user namespace": attempt(lambda: call("unshare", 0x10000000)),
        "keyring": attempt(lambda: call("syscall", 248, b"user", b"k", b"v", 1, -5)),
        "ptrace": attempt(lambda: call("ptrace", 0, 0, 0, 0)),
    }
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="names one system call by its number")
def test_a_function_cannot_hold_memory_that_nobody_counts(server: ServerProcess) -> None:
    if "bubblewrap" not in server.log():
        pytest.skip("needs bubblewrap")
    arn = new_function(server, _HOARDER)
    answer = json.loads(server.client("lambda").invoke(FunctionName=arn)["Payload"].read())
    assert answer == dict.fromkeys(answer, "EPERM") | {"memfd": "ENOSYS", "shm": "ENOSYS"}


class _Ready:
    """Hears from a Runtime API that the function's process has asked for an event."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def on_ready(self) -> None:
        self.asked.set()

    def on_init_error(self, error_type: str, body: bytes) -> None: ...

    def on_taken(self) -> None: ...

    def on_answer(self, body: bytes, *, failed: bool) -> None: ...

    def on_answer_too_large(self) -> None: ...


def test_strangers_do_not_take_the_places_of_a_functions_process() -> None:
    loop, listener = ApiLoop(), _Ready()
    api = loop.open(listener)
    host, _, port = api.address.partition(":")
    strangers = [socket.create_connection((host, int(port))) for _ in range(50)]
    client = (
        f"import socket; s = socket.create_connection(({host!r}, {port})); "
        "s.sendall(b'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n\\r\\n'); "
        "print('sent', flush=True); s.recv(1)"
    )
    # Only what runs below the process that was started counts, hence the shell.
    command = ["/bin/sh", "-c", '"$0" -c "$1"; :', sys.executable, client]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"sent\n"
    try:
        api.admit(process.pid)
        assert listener.asked.wait(DEADLINE_SECONDS)
    finally:
        api.close()
        process.communicate(timeout=DEADLINE_SECONDS)
        loop.close()
        for stranger in strangers:
            stranger.close()


def test_a_function_sees_nothing_of_the_server(server: ServerProcess) -> None:
    if "bubblewrap" not in server.log():
        pytest.skip("needs bubblewrap")
    code = (
        "import os\n"
        "def handler(event, context):\n"
        "    return {'there': [path for path in event if os.path.exists(path)],\n"
        "            'pids': len([name for name in os.listdir('/proc') if name.isdigit()]),\n"
        "            'parent': os.access('/proc/1/environ', os.R_OK)}\n"
    )
    arn = new_function(server, code)
    paths = [str(server.data_dir), str(server.data_dir / "root.key"), str(Path.home() / ".aws")]
    answer = json.loads(server.client("lambda").invoke(FunctionName=arn, Payload=json.dumps(paths))["Payload"].read())
    assert answer == {"there": [], "pids": 2, "parent": False}
