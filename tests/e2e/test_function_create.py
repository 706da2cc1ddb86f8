"""keyturn function create: one command, and a real password rotates; interrupted, refused and run again."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keyturn.cli.clients import Clients
from keyturn.client.function_parts import SuperuserInValue, parts_of
from keyturn.client.function_plan import RUNTIME, Plan, make_plan
from keyturn.errors.base import KeyturnError
from keyturn.testing.functions import zip_package
from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.postgresql import PostgresqlServer

from .callers import Caller, allow, deny
from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, run_keyturn, wait_until
from .rotation_function import create_rotation_function

Database = PostgresqlServer | MariadbServer
_numbers = itertools.count()
# What the command needs beside what its user needs to read the secret and follow the rotation.
NEEDED = [
    "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:RotateSecret",
    "iam:GetRole", "iam:CreateRole", "iam:TagRole", "iam:GetRolePolicy", "iam:PutRolePolicy", "iam:PassRole",
    "iam:ListRolePolicies", "iam:ListAttachedRolePolicies",
    "lambda:GetFunction", "lambda:ListTags", "lambda:CreateFunction", "lambda:TagResource",
    "lambda:GetPolicy", "lambda:AddPermission", "lambda:InvokeFunction",
    "cloudtrail:LookupEvents", "logs:FilterLogEvents",
]  # fmt: skip


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariadbServer]:
    with MariadbServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def superuser(server: ServerProcess, postgresql: PostgresqlServer) -> str:
    """The ARN of PostgreSQL's superuser secret."""
    return stored(server, "superuser", postgresql.superuser_value())


def stored(server: ServerProcess, name: str, value: Mapping[str, object] | str, **more: Any) -> str:
    text = value if isinstance(value, str) else json.dumps({**value, "ssl": False})
    arn: str = server.client("secretsmanager").create_secret(Name=name, SecretString=text, **more)["ARN"]
    return arn


def secret_of_user(server: ServerProcess, database: Database, name: str, **more: Any) -> str:
    """Make a database user, and its secret of the same name."""
    database.create_user(name, f"first-{name}")
    return stored(server, name, {**database.secret_value(name, f"first-{name}"), "kept": {"as": "it is"}}, **more)


def create(
    server: ServerProcess, secret: str, *options: str, credentials: Credentials | None = None
) -> subprocess.CompletedProcess[str]:
    arguments = ("function", "create", "--for", secret, *options)
    return run_keyturn(*arguments, home=server.home, check=False, environ=server.environ(credentials))


def value(server: ServerProcess, name: str, stage: str = "AWSCURRENT") -> Any:
    reply = server.client("secretsmanager").get_secret_value(SecretId=name, VersionStage=stage)
    return json.loads(reply["SecretString"])


def described(server: ServerProcess, name: str) -> Any:
    return server.client("secretsmanager").describe_secret(SecretId=name)


def logs_in(server: ServerProcess, database: Database, name: str) -> bool:
    current = value(server, name)
    return database.accepts(current["username"], current["password"])


def is_there(server: ServerProcess, name: str) -> tuple[bool, bool]:
    """Whether there are a role and a function of this name."""
    found = []
    for ask in (
        functools.partial(server.client("iam").get_role, RoleName=name),
        functools.partial(server.client("lambda").get_function, FunctionName=name),
    ):
        try:
            ask()
            found.append(True)
        except ClientError:
            found.append(False)
    return found[0], found[1]


def plan_of(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch, secret: str, *superuser: str
) -> tuple[Clients, Plan]:
    """What the command decides, to be carried out in part."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, server.environ()[name])
    clients = Clients(None, server.endpoint_url, None)
    return clients, make_plan(clients, secret, *superuser, runtime=RUNTIME)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_one_command_and_the_password_rotates(server: ServerProcess, request: pytest.FixtureRequest, kind: str) -> None:
    database: Database = request.getfixturevalue(kind)
    name = f"one_{kind}"
    arn = secret_of_user(server, database, name)

    done = create(server, name)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Rotated." in done.stdout
    assert logs_in(server, database, name)
    assert not database.accepts(name, f"first-{name}")
    assert value(server, name)["kept"] == {"as": "it is"}
    assert value(server, name)["password"] not in done.stdout + done.stderr
    found = described(server, name)
    assert found["RotationEnabled"]
    assert found["RotationRules"] == {"AutomaticallyAfterDays": 30}
    assert found["RotationLambdaARN"].endswith(f":function:SecretsManager-{name}")
    [statement] = json.loads(server.client("lambda").get_policy(FunctionName=f"SecretsManager-{name}")["Policy"])[
        "Statement"
    ]
    assert statement["Principal"] == {"Service": "secretsmanager.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"AWS:SourceAccount": server.account_id},
        "ArnLike": {"AWS:SourceArn": arn},
    }


def test_the_role_may_rotate_this_secret_and_no_other(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    own, other = (secret_of_user(server, postgresql, f"narrow_{which}") for which in ("own", "other"))
    assert create(server, "narrow_own", "--no-wait").returncode == 0
    role = f"arn:aws:iam::{server.account_id}:role/SecretsManager-narrow_own"
    function = described(server, "narrow_own")["RotationLambdaARN"]

    def may(action: str, resource: str, function: str = function) -> bool:
        context = {
            "ContextKeyName": "secretsmanager:resource/AllowRotationLambdaArn",
            "ContextKeyValues": [function],
            "ContextKeyType": "string",
        }
        [result] = server.client("iam").simulate_principal_policy(
            PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource], ContextEntries=[context]
        )["EvaluationResults"]
        return bool(result["EvalDecision"] == "allowed")

    for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"):
        assert may(f"secretsmanager:{action}", own)
        assert not may(f"secretsmanager:{action}", other)
        assert not may(f"secretsmanager:{action}", own, f"{function}-other")
    assert may("secretsmanager:GetRandomPassword", "*")
    assert not may("secretsmanager:DeleteSecret", own)


def test_run_twice_it_leaves_everything_as_it_is(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    secret_of_user(server, postgresql, "twice")
    assert create(server, "twice").returncode == 0
    functions = server.client("lambda")

    def state() -> Any:
        function = functions.get_function(FunctionName="SecretsManager-twice")["Configuration"]
        return described(server, "twice")["VersionIdsToStages"], function["RevisionId"]

    before = state()
    again = create(server, "twice")

    assert again.returncode == 0, again.stderr
    assert again.stdout.count("there already") == 4
    assert "made" not in again.stdout
    assert "on already" in again.stdout
    assert state() == before


def test_other_code_of_the_function_is_told_and_left_as_it_is(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    secret_of_user(server, postgresql, "older")
    assert create(server, "older").returncode == 0
    older = zip_package({"postgresql_single_user.py": "lambda_handler = print"})
    functions = server.client("lambda")
    functions.update_function_code(FunctionName="SecretsManager-older", ZipFile=older)
    again = create(server, "older")
    assert again.returncode == 0
    assert functions.get_function(FunctionName="SecretsManager-older")["Configuration"]["CodeSize"] == len(older)
    [command] = [line for line in again.stdout.splitlines() if "aws lambda update-function-code" in line]
    make, renew = map(shlex.split, command.split(" && "))
    make[make.index("--file") + 1] = str(server.home / make[-1])
    run_keyturn(*make[1:], home=server.home)
    subprocess.run(renew, env=server.environ(), cwd=server.home, check=True, timeout=DEADLINE_SECONDS)
    assert "update-function-code" not in create(server, "older").stdout


def test_without_the_grant_rotation_stays_off_and_what_is_printed_grants_it(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str
) -> None:
    secret_of_user(server, postgresql, "asked")

    done = create(server, "asked", "--superuser-secret", "superuser", "--yes")

    assert done.returncode == 4, done.stdout + done.stderr
    assert "RotationEnabled" not in described(server, "asked")
    statement = json.loads(done.stdout[done.stdout.index('{\n  "Sid"') :].partition("\n\n")[0])
    assert statement == {
        "Sid": "AllowAccessToMasterSecret",
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": superuser,
    }
    assert value(server, "asked")["masterarn"] == superuser
    assert value(server, "asked")["kept"] == {"as": "it is"}
    still = create(server, "asked")
    assert (still.returncode, "value        masterarn" in still.stdout) == (4, True)

    [command] = [line for line in done.stdout.splitlines() if line.startswith("aws iam put-role-policy ")]
    subprocess.run(shlex.split(command), env=server.environ(), check=True, timeout=DEADLINE_SECONDS)
    completed = create(server, "asked")

    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert value(server, "asked")["username"] == "asked_clone"
    assert logs_in(server, postgresql, "asked")
    # The same policy is what the option puts.
    assert create(server, "asked", "--grant-superuser-read").returncode == 0


def test_with_the_grant_two_users_take_turns(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str
) -> None:
    secret_of_user(server, postgresql, "turns")

    done = create(server, "turns", "--superuser-secret", superuser, "--grant-superuser-read", "--yes")

    assert done.returncode == 0, done.stdout + done.stderr
    assert json.dumps({"masterarn": superuser}) in done.stdout
    assert value(server, "turns")["username"] == "turns_clone"
    assert logs_in(server, postgresql, "turns")
    assert postgresql.accepts("turns", "first-turns")
    # The label under which the value was stored is gone.
    labels = {label for stages in described(server, "turns")["VersionIdsToStages"].values() for label in stages}
    assert labels == {"AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"}


def test_two_users_of_mariadb_take_turns(server: ServerProcess, mariadb: MariadbServer) -> None:
    root = stored(server, "mariadb-superuser", mariadb.superuser_value())
    mariadb.create_user("maria", "first")
    stored(server, "maria", {**mariadb.secret_value("maria", "first"), "masterarn": root})
    done = create(server, "maria", "--grant-superuser-read")
    assert done.returncode == 0, done.stdout + done.stderr
    assert value(server, "maria")["username"] == "maria_clone"
    assert logs_in(server, mariadb, "maria")


def test_the_value_is_changed_only_after_it_was_asked(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str
) -> None:
    secret_of_user(server, postgresql, "wary")
    before = described(server, "wary")["VersionIdsToStages"]
    for options, status in (((), 1), (("--output", "json"), 2), (("--dry-run",), 0)):
        done = create(server, "wary", "--superuser-secret", "superuser", "--grant-superuser-read", *options)
        assert done.returncode == status, done.stdout + done.stderr
    assert described(server, "wary")["VersionIdsToStages"] == before
    assert is_there(server, "SecretsManager-wary") == (False, False)


def test_a_value_that_somebody_stored_meanwhile_is_not_put_back(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_of_user(server, postgresql, "raced")
    clients, plan = plan_of(server, monkeypatch, "raced", superuser)
    newer = {**value(server, "raced"), "password": "set by somebody"}
    server.client("secretsmanager").put_secret_value(SecretId="raced", SecretString=json.dumps(newer))

    with pytest.raises(KeyturnError, match="Somebody has stored another value of raced meanwhile"):
        SuperuserInValue(clients, plan).make()

    assert value(server, "raced") == newer
    labels = [label for stages in described(server, "raced")["VersionIdsToStages"].values() for label in stages]
    assert sorted(labels) == ["AWSCURRENT", "AWSPREVIOUS"]


def test_secrets_under_customer_keys_rotate_with_what_their_keys_take(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    kms = server.client("kms")
    keys = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    kms.create_alias(AliasName="alias/rotated", TargetKeyId=keys[0])
    root = stored(server, "sealed-superuser", postgresql.superuser_value(), KmsKeyId=keys[1])
    arn = secret_of_user(server, postgresql, "sealed", KmsKeyId="alias/rotated")

    asked = create(server, "sealed", "--superuser-secret", root, "--yes", "--output", "json")
    assert asked.returncode == 4, asked.stderr
    assert json.loads(asked.stdout)["missing_statements"][1] == {
        "Sid": "AllowUseOfKeyOfMasterSecret",
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": keys[1],
        "Condition": {"StringEquals": {"kms:EncryptionContext:SecretARN": root}},
    }
    done = create(server, "sealed", "--grant-superuser-read")

    assert done.returncode == 0, done.stdout + done.stderr
    assert logs_in(server, postgresql, "sealed")
    policy = server.client("iam").get_role_policy(
        RoleName="SecretsManager-sealed", PolicyName="SecretsManagerRotation"
    )["PolicyDocument"]
    assert policy["Statement"][-1] == {
        "Sid": "AllowUseOfKey",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": keys[0],
        "Condition": {"StringEquals": {"kms:EncryptionContext:SecretARN": arn}},
    }


@pytest.mark.parametrize("made", range(7))
def test_interrupted_after_any_call_it_is_finished_by_running_it_again(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str, monkeypatch: pytest.MonkeyPatch, made: int
) -> None:
    name = f"cut_{made}"
    secret_of_user(server, postgresql, name)
    clients, plan = plan_of(server, monkeypatch, name, superuser)
    parts = parts_of(clients, plan, grants_superuser_read=True)
    assert len(parts) == 6
    for part in parts[:made]:
        part.make()

    done = create(server, name, "--superuser-secret", superuser, "--grant-superuser-read", "--yes", "--output", "json")

    assert done.returncode == 0, done.stderr
    states = [part["state"] for part in json.loads(done.stdout)["parts"]]
    assert states == ["there"] * made + ["made"] * (6 - made)
    assert value(server, name)["username"] == f"{name}_clone"
    assert logs_in(server, postgresql, name)


def test_interrupted_while_the_value_is_changed_it_is_finished_by_running_it_again(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str
) -> None:
    secret_of_user(server, postgresql, "half")
    # As the command leaves it if it is killed before the label moves.
    stray = json.dumps({**value(server, "half"), "masterarn": superuser})
    server.client("secretsmanager").put_secret_value(
        SecretId="half", SecretString=stray, VersionStages=["KeyturnAddsMasterArn"]
    )
    done = create(server, "half", "--superuser-secret", superuser, "--grant-superuser-read", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    labels = {label for stages in described(server, "half")["VersionIdsToStages"].values() for label in stages}
    assert labels == {"AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"}


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("Hunter2-is-no-json", "is no JSON object", '"engine": …'),
        ('["Hunter2"]', "is no JSON object", '"engine": …'),
        ('{"password": "Hunter2"}', "names no engine", "aurora-mysql, aurora-postgresql"),
        ('{"engine": "postgresql", "password": "Hunter2"}', "has no rotation function for", "Is postgres meant?"),
        ('{"engine": "Hunter2"}', "has no rotation function for", "keyturn function new"),
        (
            '{"engine": "postgres", "username": "u", "password": "Hunter2"}',
            "does not suit PostgreSQL: host key is missing from secret JSON",
            "put-secret-value",
        ),
    ],
)
def test_a_secret_that_no_function_suits_is_said_with_what_to_do(
    server: ServerProcess, text: str, told: str, hint: str
) -> None:
    name = f"unsuited_{next(_numbers)}"
    stored(server, name, text)

    done = create(server, name)

    assert done.returncode == 1
    assert told in done.stderr
    assert hint in done.stderr
    assert "Hunter2" not in done.stdout + done.stderr
    assert is_there(server, f"SecretsManager-{name}") == (False, False)


def test_a_superuser_secret_that_is_not_there_is_told_by_who_names_it(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    nowhere = f"arn:aws:secretsmanager:{server.region}:{server.account_id}:secret:nowhere-AbCdEf"
    stored(server, "dangling", {**postgresql.secret_value("u", "p"), "masterarn": nowhere})
    stored(server, "undecided", postgresql.secret_value("u", "p"))
    assert "masterarn in the value of dangling says" in create(server, "dangling").stderr
    assert "--superuser-secret says" in create(server, "undecided", "--superuser-secret", "nowhere").stderr


def test_a_name_too_long_for_the_second_user_is_told_before_anything_is_made(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str
) -> None:
    stored(server, "long", postgresql.secret_value("u" * 60, "p"))
    done = create(server, "long", "--superuser-secret", superuser, "--yes")
    assert done.returncode == 1
    assert "username length with _clone appended would exceed 63 bytes" in done.stderr
    assert is_there(server, "SecretsManager-long") == (False, False)


@pytest.mark.parametrize("action", ["iam:CreateRole", "lambda:CreateFunction", "secretsmanager:RotateSecret"])
def test_a_caller_who_may_not_is_told_what_and_finishes_it_when_allowed(
    server: ServerProcess, postgresql: PostgresqlServer, action: str
) -> None:
    name = f"denied_{action.partition(':')[2].lower()}"
    secret_of_user(server, postgresql, name)
    caller = Caller(server, "user")
    caller.may(allow(NEEDED), deny(action))

    done = create(server, name, credentials=caller.credentials)
    assert done.returncode == 1, done.stdout
    assert f"user/{caller.name} is not authorized to perform: {action} on resource:" in done.stderr
    assert "do not allow it" in done.stderr
    assert "Run the same command again" in done.stderr
    assert "rotation  " not in done.stdout
    assert logs_in(server, postgresql, name)

    caller.may(allow(NEEDED))
    again = create(server, name, credentials=caller.credentials)
    assert again.returncode == 0, again.stdout + again.stderr
    assert not postgresql.accepts(name, f"first-{name}")


def test_what_something_else_has_made_is_refused_before_anything_is_changed(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    secret_of_user(server, postgresql, "foreign")
    create_rotation_function(server, "SecretsManager-foreign")

    refused = create(server, "foreign")
    assert refused.returncode == 1
    assert "There is a role SecretsManager-foreign already, made for something else" in refused.stderr
    assert "--name" in refused.stderr
    assert create(server, "foreign", "--name", "another", "--no-wait").returncode == 0

    secret_of_user(server, postgresql, "foreign2")
    other = create(server, "foreign2", "--name", "another")
    assert other.returncode == 1
    assert "made for another secret" in other.stderr
    assert "RotationEnabled" not in described(server, "foreign2")


@pytest.mark.parametrize("what", ["policy", "permission", "function"])
def test_a_part_that_was_changed_since_is_refused_with_the_command_that_clears_it(
    server: ServerProcess, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    name = f"changed_{what}"
    full = f"SecretsManager-{name}"
    secret_of_user(server, postgresql, name)
    clients, plan = plan_of(server, monkeypatch, name)
    for part in parts_of(clients, plan, grants_superuser_read=False):
        part.make()
    if what == "policy":
        open_to_all = json.dumps({"Version": "2012-10-17", "Statement": [allow("secretsmanager:*")]})
        server.client("iam").put_role_policy(
            RoleName=full, PolicyName="SecretsManagerRotation", PolicyDocument=open_to_all
        )
        hint = f"aws iam delete-role-policy --role-name {full} --policy-name SecretsManagerRotation"
    elif what == "permission":
        functions, statement = server.client("lambda"), {"FunctionName": full, "StatementId": "SecretsManagerAccess"}
        functions.remove_permission(**statement)
        functions.add_permission(**statement, Action="lambda:InvokeFunction", Principal="secretsmanager.amazonaws.com")
        hint = f"aws lambda remove-permission --function-name {full} --statement-id SecretsManagerAccess"
    else:
        server.client("lambda").update_function_configuration(FunctionName=full, Handler="mine.handler")
        hint = "--name"

    refused = create(server, name)

    assert refused.returncode == 1
    assert hint in refused.stderr
    assert "RotationEnabled" not in described(server, name)


def test_a_secret_that_rotates_already_is_left_to_its_function(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    secret_of_user(server, postgresql, "settled")
    function = create_rotation_function(server, "settled-function")
    server.client("secretsmanager").rotate_secret(
        SecretId="settled", RotationLambdaARN=function, RotateImmediately=False
    )
    refused = create(server, "settled")
    assert refused.returncode == 1
    assert f"settled rotates already, by {function}." in refused.stderr
    assert "cancel-rotate-secret" in refused.stderr


def test_a_schedule_is_kept_and_the_first_rotation_can_wait(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    secret_of_user(server, postgresql, "later")
    bad = create(server, "later", "--schedule", "rate(3 fortnights)")
    assert (bad.returncode, "keyturn schedule preview" in bad.stderr) == (1, True)

    done = create(server, "later", "--schedule", "cron(0 4 ? * SUN *)", "--no-rotate-now")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "cron(0 4 ? * SUN *), the first one in its window" in done.stdout
    found = described(server, "later")
    assert found["RotationRules"]["ScheduleExpression"] == "cron(0 4 ? * SUN *)"
    assert "NextRotationDate" in found
    assert postgresql.accepts("later", "first-later")


def test_another_schedule_than_the_one_it_has_is_refused_with_the_command_that_changes_it(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    secret_of_user(server, postgresql, "scheduled")
    assert create(server, "scheduled").returncode == 0

    refused = create(server, "scheduled", "--schedule", "rate(7 days)", "--region", server.region)

    assert refused.returncode == 1
    assert "scheduled rotates already, by another schedule: every 30 days." in refused.stderr
    [command] = re.findall("To change it: (.*)", refused.stderr)
    subprocess.run(shlex.split(command), env=server.environ(), check=True, timeout=DEADLINE_SECONDS)
    assert described(server, "scheduled")["RotationRules"]["ScheduleExpression"] == "rate(7 days)"
    for options in ((), ("--schedule", "rate(7 days)")):
        again = create(server, "scheduled", *options)
        assert again.returncode == 0, again.stdout + again.stderr
        assert "rate(7 days)                                 on already" in again.stdout
    as_json = json.loads(create(server, "scheduled", "--output", "json").stdout)
    assert as_json["rotation"]["rules"]["ScheduleExpression"] == "rate(7 days)"


def test_a_rerun_tells_that_the_last_rotation_has_failed(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    postgresql.create_user("stuck", "not the one in the secret")
    stored(server, "stuck", postgresql.secret_value("stuck", "forgotten"))
    assert create(server, "stuck").returncode == 1

    again = create(server, "stuck")

    assert again.returncode == 1, again.stdout
    assert "on already" in again.stdout
    assert re.search(r"The last rotation has failed: setSecret step: AuthenticationFailed.*", again.stdout)
    assert "It is pending: attempt 2 of 5 begins at" in again.stdout
    assert "keyturn rotation show stuck" in again.stdout
    last = json.loads(create(server, "stuck", "--output", "json").stdout)["rotation"]["last"]
    assert last["status"] == "pending"
    assert "AuthenticationFailed" in last["error"]


@pytest.mark.parametrize("what", ["engine", "host", "port", "no JSON"])
def test_a_superuser_secret_of_another_database_is_refused_before_anything_is_made(
    server: ServerProcess, postgresql: PostgresqlServer, what: str
) -> None:
    name = f"mismatch_{what[:2]}"
    arn = secret_of_user(server, postgresql, name)
    other: dict[str, object] = {"engine": "mariadb", "host": "db.elsewhere.invalid", "port": 1}
    root = {**postgresql.superuser_value(), **{key: other[key] for key in other if key == what}}
    stored(server, f"{name}-root", root if what in other else "no JSON")
    before = described(server, name)["VersionIdsToStages"]

    refused = create(server, name, "--superuser-secret", f"{name}-root", "--yes", "--grant-superuser-read")

    assert refused.returncode == 1, refused.stdout
    assert "The value of the superuser secret arn:" in refused.stderr
    assert ("does not suit PostgreSQL" in refused.stderr) == (what in ("engine", "no JSON"))
    assert ("names another host or port than that of" in refused.stderr) == (what in ("host", "port"))
    assert "elsewhere" not in refused.stderr
    assert described(server, name)["VersionIdsToStages"] == before
    assert is_there(server, f"SecretsManager-{name}") == (False, False)
    assert arn


def test_what_the_log_repeats_is_shown_once_in_a_step_and_tracebacks_are_folded(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    postgresql.create_user("loud", "first-loud")
    # Without ssl: the function tries TLS at each login.
    stored(server, "loud", json.dumps(postgresql.secret_value("loud", "first-loud")))
    done = create(server, "loud")
    assert done.returncode == 0, done.stdout
    # testSecret finds the version current and has nothing to log in for.
    assert done.stdout.count("has no TLS") == 1
    set_secret = done.stdout.partition("✓ setSecret")[2].partition("✓ testSecret")[0]
    assert re.search(r"has no TLS: .* \(\d times\)\n", set_secret)

    postgresql.create_user("broken", "not the one in the secret")
    stored(server, "broken", postgresql.secret_value("broken", "forgotten"))
    failed = create(server, "broken").stdout
    assert "Traceback" not in failed
    assert re.search(r"\(keyturn rotation show -v shows the traceback, \d+ lines\)", failed)


def test_a_superuser_secret_that_the_caller_may_not_read_is_not_compared_which_is_said(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str
) -> None:
    secret_of_user(server, postgresql, "uncompared")
    caller = Caller(server, "user")
    caller.may(
        allow([*NEEDED, "secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage",
               "iam:SimulatePrincipalPolicy"]),
        {"Sid": "No", "Effect": "Deny", "Action": "secretsmanager:GetSecretValue", "Resource": superuser},
    )  # fmt: skip
    options = ("--superuser-secret", superuser, "--yes", "--grant-superuser-read")
    said = "Whether it is for the same database was not looked at: this access key may not read it."
    done = create(server, "uncompared", *options, credentials=caller.credentials)
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
    assert said not in create(server, "uncompared").stdout


def test_the_strategy_can_be_chosen(server: ServerProcess, postgresql: PostgresqlServer, superuser: str) -> None:
    secret_of_user(server, postgresql, "chosen")
    by_superuser = ("--strategy", "single-user-by-superuser", "--superuser-secret", superuser)
    done = create(server, "chosen", *by_superuser, "--grant-superuser-read", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert value(server, "chosen")["username"] == "chosen"
    assert logs_in(server, postgresql, "chosen")
    assert "--strategy" in create(server, "chosen").stderr

    # A value that names a superuser secret, for one user all the same: the role may not read that secret.
    postgresql.create_user("single", "first-single")
    stored(server, "single", {**postgresql.secret_value("single", "first-single"), "masterarn": superuser})
    alone = create(server, "single", "--strategy", "single-user")
    assert alone.returncode == 0, alone.stdout + alone.stderr
    assert value(server, "single")["username"] == "single"
    assert logs_in(server, postgresql, "single")


def test_variables_are_given_to_the_function_and_others_refused(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    secret_of_user(server, postgresql, "varied")
    assert create(server, "varied", "-e", "PASSWORD_LENGTH").returncode == 2
    done = create(server, "varied", "-e", "PASSWORD_LENGTH=41", "-e", "EXCLUDE_PUNCTUATION=true")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(value(server, "varied")["password"]) == 41
    assert value(server, "varied")["password"].isalnum()

    refused = create(server, "varied", "-e", "PASSWORD_LENGTH=42")
    assert refused.returncode == 1
    assert "The function SecretsManager-varied has other environment variables than -e says." in refused.stderr
    [command] = re.findall("To have these alone: (.*)", refused.stderr)
    subprocess.run(shlex.split(command), env=server.environ(), check=True, timeout=DEADLINE_SECONDS)
    assert create(server, "varied", "-e", "PASSWORD_LENGTH=42").returncode == 0
    assert create(server, "varied").returncode == 0


def test_a_dry_run_finds_what_the_real_one_would(
    server: ServerProcess, postgresql: PostgresqlServer, superuser: str
) -> None:
    secret_of_user(server, postgresql, "rehearsed")
    path = server.home / "rehearsed.zip"
    path.write_bytes(zip_package({"own.py": "def handler(event, context): ..."}))
    for options, said in (
        (("--runtime", "python3.99"), "Lambda has no runtime python3.99."),
        (("--zip-file", str(path), "--handler", "own.nope"), "has no nope"),
        (("--zip-file", f"{path}x", "--handler", "own.nope"), "No such file or directory"),
    ):
        refused = create(server, "rehearsed", "--dry-run", *options)
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
    assert "There is no secret nowhere." in create(server, "nowhere", "--dry-run").stderr
    waits = create(server, "rehearsed", "--dry-run", "--superuser-secret", superuser)
    assert waits.returncode == 4, waits.stdout
    assert "Or, when the role is made, have" in waits.stdout


def test_a_failed_first_rotation_is_told_by_the_status(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    postgresql.create_user("wrong", "not the one in the secret")
    stored(server, "wrong", postgresql.secret_value("wrong", "forgotten"))
    done = create(server, "wrong", "--output", "json")
    assert done.returncode == 1
    rotation = json.loads(done.stdout)["rotation"]
    assert (rotation["state"], rotation["succeeded"]) == ("on", False)
    assert "during setSecret step" in rotation["error"]


def test_a_function_of_ones_own_gets_the_same_around_it(server: ServerProcess) -> None:
    source = """
import boto3

def handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        client.put_secret_value(SecretId=secret, ClientRequestToken=token, SecretString="rotated",
                                VersionStages=["AWSPENDING"])
    if event["Step"] == "finishSecret":
        stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
        current = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)
        client.update_secret_version_stage(SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token,
                                           RemoveFromVersionId=current)
"""
    path = server.home / "own.zip"
    path.write_bytes(zip_package({"own.py": source}))
    stored(server, "own/token", "no JSON at all")
    half = create(server, "own/token", "--zip-file", str(path))
    assert (half.returncode, "--handler" in half.stderr) == (2, True)

    done = create(server, "own/token", "--zip-file", str(path), "--handler", "own.handler")

    assert done.returncode == 0, done.stdout + done.stderr
    reply = server.client("secretsmanager").get_secret_value(SecretId="own/token")
    assert reply["SecretString"] == "rotated"


def test_a_dry_run_prints_the_documents_and_makes_nothing(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    arn = secret_of_user(server, postgresql, "looked")
    done = create(server, "looked", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("to be made") == 4
    assert f'"Resource": "{arn}"' in done.stdout
    assert is_there(server, "SecretsManager-looked") == (False, False)
    wait_until(lambda: postgresql.accepts("looked", "first-looked"), "the password as it was", server)
