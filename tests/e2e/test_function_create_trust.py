"""keyturn function create: what somebody else has made in advance is not trusted for its tag.

The secrets' database is nowhere: all of this is decided before anything rotates.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from keyturn.client.function_parts import parts_of
from keyturn.testing.functions import zip_package

from .callers import Caller, allow
from .conftest import DEADLINE_SECONDS, ServerProcess
from .rotation_function import document
from .test_function_create import NEEDED, create, described, is_there, plan_of, stored, value

VALUE = {"engine": "postgres", "host": "db.invalid", "username": "app", "password": "first"}
WAITING = ("--no-rotate-now", "--no-wait")


def secret(server: ServerProcess, name: str, **more: object) -> str:
    """Store a secret and the superuser's, ``NAME-root``; return the ARN of the former."""
    stored(server, f"{name}-root", {**VALUE, "username": "postgres"})
    return stored(server, name, {**VALUE, **more})


def trust(server: ServerProcess, **more: object) -> dict[str, Any]:
    """Return the statement that the command writes, or one with other members."""
    return {
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": server.account_id}},
        **more,
    }


def make_role(server: ServerProcess, name: str, arn: str, *statements: Mapping[str, Any], client: Any = None) -> str:
    """Make the role as somebody would who knows how the command does it."""
    made: str = (client or server.client("iam")).create_role(
        RoleName=f"SecretsManager-{name}",
        AssumeRolePolicyDocument=document(*(statements or [trust(server)])),
        Tags=[{"Key": "keyturn:rotates", "Value": arn}],
    )["Role"]["Arn"]
    return made


def make_parts(server: ServerProcess, monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    """Make everything but the rotation, with the superuser's secret named; return the function's name."""
    clients, plan = plan_of(server, monkeypatch, name, f"{name}-root")
    for part in parts_of(clients, plan, grants_superuser_read=False):
        part.make()
    return plan.name


def test_a_role_made_in_advance_by_somebody_who_lets_herself_in_is_refused_and_nothing_is_changed(
    server: ServerProcess,
) -> None:
    arn = secret(server, "victim")
    mallory = Caller(server, "user")
    mallory.may(allow(["iam:CreateRole", "iam:TagRole"]))
    herself = {"Effect": "Allow", "Principal": {"AWS": mallory.arn}, "Action": "sts:AssumeRole"}
    role = make_role(server, "victim", arn, trust(server), herself, client=mallory.client("iam"))
    before = described(server, "victim")["VersionIdsToStages"]

    refused = create(server, "victim", "--superuser-secret", "victim-root", "--grant-superuser-read", "--yes")

    assert refused.returncode == 1, refused.stdout
    assert "The trust policy of the role SecretsManager-victim is another one" in refused.stderr
    assert "--name" in refused.stderr
    assert described(server, "victim")["VersionIdsToStages"] == before
    assert "masterarn" not in value(server, "victim")
    assert is_there(server, "SecretsManager-victim") == (True, False)
    assert server.client("iam").list_role_policies(RoleName="SecretsManager-victim")["PolicyNames"] == []
    # Without the refusal she would act as the role now, which could read both.
    session = mallory.client("sts").assume_role(RoleArn=role, RoleSessionName="mallory")
    assert session["Credentials"]


@pytest.mark.parametrize(
    "statement",
    [{"Principal": {"Service": ["lambda.amazonaws.com", "ec2.amazonaws.com"]}}, {"Condition": {}}],
    ids=["another service", "any account"],
)
def test_a_trust_policy_that_is_wider_is_refused(server: ServerProcess, statement: dict[str, Any]) -> None:
    name = f"wider_{next(iter(statement)).lower()}"
    make_role(server, name, secret(server, name), trust(server, **statement))
    refused = create(server, name)
    assert (refused.returncode, "The trust policy of the role" in refused.stderr) == (1, True), refused.stderr
    assert is_there(server, f"SecretsManager-{name}") == (True, False)


def test_a_role_with_other_policies_is_refused_and_one_with_a_boundary_is_not(server: ServerProcess) -> None:
    iam, role = server.client("iam"), "SecretsManager-granted"
    make_role(server, "granted", secret(server, "granted"))
    wide = iam.create_policy(PolicyName="wide", PolicyDocument=document(allow("*")))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=wide)
    for put, arguments, named in (
        (iam.put_role_policy, {"PolicyName": "more", "PolicyDocument": document(allow("*"))}, "more"),
        (iam.attach_role_policy, {"PolicyArn": wide}, wide),
    ):
        put(RoleName=role, **arguments)
        refused = create(server, "granted")
        assert refused.returncode == 1, refused.stdout
        assert f"The role {role} has a policy that this command does not put: {named}." in refused.stderr
        assert is_there(server, role) == (True, False)
        [command] = re.findall("Or take it away, first: (.*)", refused.stderr)
        subprocess.run(shlex.split(command), env=server.environ(), check=True, timeout=DEADLINE_SECONDS)
    done = create(server, "granted", *WAITING)
    assert done.returncode == 0, done.stderr
    assert re.search(r"role +SecretsManager-granted +there already", done.stdout)


@pytest.mark.parametrize("options", [(), ("--superuser-secret", "guest-root", "--yes")])
def test_the_superusers_policy_that_reads_more_is_refused_without_the_flag_too(
    server: ServerProcess, options: tuple[str, ...]
) -> None:
    if not options:
        make_role(server, "guest", secret(server, "guest"))
        server.client("iam").put_role_policy(
            RoleName="SecretsManager-guest",
            PolicyName="AllowAccessToMasterSecret",
            PolicyDocument=document(allow("secretsmanager:GetSecretValue")),
        )
    refused = create(server, "guest", *options)
    assert refused.returncode == 1, refused.stdout
    assert "AllowAccessToMasterSecret" in refused.stderr
    assert is_there(server, "SecretsManager-guest") == (True, False)


@pytest.mark.parametrize("what", ["role", "layer", "PYTHONPATH", "SECRETS_MANAGER_ENDPOINT", "SSL_CERT_FILE"])
def test_a_function_that_would_run_otherwise_is_refused(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    name = f"otherwise_{what.lower()}"
    secret(server, name)
    function = make_parts(server, monkeypatch, name)
    functions = server.client("lambda")
    told = f"The function {function} has other environment variables than -e says."
    changed: dict[str, Any] = {"Environment": {"Variables": {what: "/tmp/x", "PASSWORD_LENGTH": "40"}}}
    if what == "role":
        role = make_role(server, f"{name}-other", "another")
        changed, told = {"Role": role}, f"has what this command does not give it: the role {role}."
    elif what == "layer":
        content = zip_package({"python/sitecustomize.py": "print('first')"})
        layer = functions.publish_layer_version(LayerName="first", Content={"ZipFile": content})["LayerVersionArn"]
        changed, told = {"Layers": [layer]}, f"has what this command does not give it: the layer {layer}."
    functions.update_function_configuration(FunctionName=function, **changed)

    refused = create(server, name, *WAITING)

    assert refused.returncode == 1, refused.stdout
    assert told in refused.stderr
    assert "RotationEnabled" not in described(server, name)
    if "Environment" in changed:
        assert f"It has PASSWORD_LENGTH, {what}. Say each with -e that is to stay." in refused.stderr
        said = create(server, name, "-e", f"{what}=/tmp/x", "-e", "PASSWORD_LENGTH=40", "--dry-run")
        assert "there already" in said.stdout, said.stderr
        [command] = re.findall("To have none: (.*)", refused.stderr)
        subprocess.run(shlex.split(command), env=server.environ(), check=True, timeout=DEADLINE_SECONDS)
        assert create(server, name, "--dry-run").returncode == 4


def test_variables_that_only_say_how_passwords_look_stay(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret(server, "looks")
    function = make_parts(server, monkeypatch, "looks")
    looks = {
        "EXCLUDE_CHARACTERS": "/", "EXCLUDE_LOWERCASE": "false", "EXCLUDE_NUMBERS": "false",
        "EXCLUDE_PUNCTUATION": "true", "EXCLUDE_UPPERCASE": "false", "PASSWORD_LENGTH": "40",
        "REQUIRE_EACH_INCLUDED_TYPE": "true",
    }  # fmt: skip
    server.client("lambda").update_function_configuration(FunctionName=function, Environment={"Variables": looks})
    again = create(server, "looks", "--grant-superuser-read", *WAITING)
    assert again.returncode == 0, again.stderr
    assert re.search(r"function +SecretsManager-looks +there already", again.stdout)


def test_a_function_that_others_may_invoke_is_refused_with_the_command_that_stops_that(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret(server, "lent")
    function = make_parts(server, monkeypatch, "lent")
    server.client("lambda").add_permission(
        FunctionName=function, StatementId="More", Action="lambda:UpdateFunctionCode", Principal="999999999999"
    )
    refused = create(server, "lent", "--grant-superuser-read", *WAITING)
    assert refused.returncode == 1, refused.stdout
    assert f"The statement More in the policy of the function {function} is another one" in refused.stderr
    assert "RotationEnabled" not in described(server, "lent")
    [command] = re.findall("To have it taken away, first: (.*)", refused.stderr)
    subprocess.run(shlex.split(command), env=server.environ(), check=True, timeout=DEADLINE_SECONDS)
    assert create(server, "lent", "--grant-superuser-read", *WAITING).returncode == 0


def test_no_other_code_is_let_read_the_superuser_secret(server: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    secret(server, "recoded")
    function = make_parts(server, monkeypatch, "recoded")
    other = zip_package({"postgresql_alternating_users.py": "lambda_handler = print"})
    server.client("lambda").update_function_code(FunctionName=function, ZipFile=other)

    noted = create(server, "recoded")
    assert (noted.returncode, "its code is not what would be made now" in noted.stdout) == (4, True), noted.stderr
    refused = create(server, "recoded", "--grant-superuser-read", *WAITING)

    assert refused.returncode == 1, refused.stdout
    assert f"The code of the function {function} is not what would be made now" in refused.stderr
    assert server.client("iam").list_role_policies(RoleName=function)["PolicyNames"] == ["SecretsManagerRotation"]
    [command] = re.findall("To have it renewed, first: (.*)", refused.stderr)
    subprocess.run(["bash", "-ec", command], env=server.environ(), cwd=server.home, check=True, timeout=60)
    assert create(server, "recoded", "--grant-superuser-read", *WAITING).returncode == 0


def test_what_the_page_names_is_enough_to_look_at_what_is_there(server: ServerProcess) -> None:
    secret(server, "permitted")
    caller = Caller(server, "user")
    caller.may(allow(NEEDED))
    for _ in range(2):
        done = create(server, "permitted", *WAITING, credentials=caller.credentials)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["", "has space", "x" * 65, "ä", "arn:aws:lambda:us-east-1:000000000000:function:f"])
def test_a_name_that_no_function_can_have_is_told(server: ServerProcess, name: str) -> None:
    done = create(server, "whatever", "--name", name)
    assert done.returncode == 1
    assert "--name is none that a function can have." in done.stderr
    assert "letters (A to Z), digits" in done.stderr


@pytest.mark.parametrize("port", ["abc", 99999])
def test_a_port_that_is_none_is_told_before_anything_is_made(server: ServerProcess, port: object) -> None:
    name = f"port_{port}"
    secret(server, name, port=port)
    refused = create(server, name)
    assert refused.returncode == 1
    assert "port in the secret JSON must be a number from 1 to 65535" in refused.stderr
    assert is_there(server, f"SecretsManager-{name}") == (False, False)


def test_a_value_nested_too_deeply_is_no_json_object(server: ServerProcess) -> None:
    stored(server, "nested", "[" * 60_000)
    refused = create(server, "nested")
    assert refused.returncode == 1
    assert "The value of nested is no JSON object" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_value_stored_after_the_question_stays_which_is_said(server: ServerProcess) -> None:
    secret(server, "overtaken")
    newer = json.dumps({**VALUE, "password": "second"})
    arguments = ["function", "create", "--for", "overtaken", "--superuser-secret", "overtaken-root"]
    with subprocess.Popen(
        [sys.executable, "-m", "keyturn.cli.main", *arguments],
        env={**server.environ(), "PYTHONUNBUFFERED": "1"}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith("All else in it stays"):
            assert line, "the question does not come"
        server.client("secretsmanager").put_secret_value(SecretId="overtaken", SecretString=newer)
        _, errors = process.communicate("y\n", timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert "Somebody has stored another value of overtaken meanwhile: that one stays" in errors
    assert "RemoveFromVersionId" not in errors
    assert value(server, "overtaken") == json.loads(newer)
