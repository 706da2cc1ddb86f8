"""Known before it is due: what the pre-flight finds from inside a function's sandbox, and that it changes nothing.

The databases write down every statement that they are sent.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
import secrets
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keyturn.testing.functions import zip_package
from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import Credentials, ServerProcess, run_keyturn, wait_until
from .driver_layers import layer_of, package_of
from .test_functions_like_aws import function_of
from .test_main_job import FIVE_ACTIONS, Job, _own_function

Server = PostgresqlServer | MariadbServer
# What a login takes: to look, and to say how one looks.
_HARMLESS = re.compile(r"(SELECT|SHOW|SET(?! +PASSWORD))\b", re.IGNORECASE)
_POSTGRESQL = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*)")
_MARIADB = re.compile(r"\t *\d+ (?:Query|Prepare|Execute|Init DB)\t(.*)")
_MARIADB_REFUSAL = re.compile(r"\t *\d+ Connect\tAccess denied for user '([^']+)'")
_POSTGRESQL_REFUSAL = re.compile(r'FATAL:  password authentication failed for user "([^"]+)"')


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start(settings={"log_statement": "all"}) as running:
        yield running


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariadbServer]:
    with MariadbServer.start(settings={"general_log": "ON", "log_output": "FILE"}) as running:
        yield running


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Server:
    started: Server = request.getfixturevalue(request.param)
    return started


class Listening:
    """What a database is told from now on."""

    def __init__(self, database: Server) -> None:
        self._database = database
        self._path = database.log_path
        if isinstance(database, MariadbServer):
            shown = database.run("SELECT @@datadir, @@general_log_file")[0]
            self._path = Path(shown[0]) / shown[1]
        self._begin = self._path.stat().st_size

    def _text(self) -> str:
        return self._path.read_bytes()[self._begin :].decode(errors="replace")

    def statements(self) -> list[str]:
        return (_POSTGRESQL if isinstance(self._database, PostgresqlServer) else _MARIADB).findall(self._text())

    def writes(self) -> list[str]:
        return [statement for statement in self.statements() if not _HARMLESS.match(statement)]

    def refusals(self) -> list[str]:
        """Users that were refused, one for each attempt."""
        is_postgresql = isinstance(self._database, PostgresqlServer)
        return (_POSTGRESQL_REFUSAL if is_postgresql else _MARIADB_REFUSAL).findall(self._text())


def engine_of(database: Server) -> str:
    return "postgresql" if isinstance(database, PostgresqlServer) else "mariadb"


def a_name() -> str:
    return f"u{secrets.token_hex(4)}"


def superuser_secret(server: ServerProcess, database: Server, name: str, **changed: object) -> str:
    value = {**database.superuser_value(), "ssl": False, **changed}
    created = server.client("secretsmanager").create_secret(Name=f"{name}-master", SecretString=json.dumps(value))
    arn: str = created["ARN"]
    return arn


def a_job(server: ServerProcess, database: Server, **options: Any) -> Job:
    if not isinstance(options.get("function"), dict):
        options.setdefault("engine", engine_of(database))
    return Job(server, database, a_name(), **options)


def an_alternating_job(server: ServerProcess, database: Server, **changed: object) -> Job:
    name = a_name()
    master = superuser_secret(server, database, name, **changed)
    return Job(
        server, database, name, engine=engine_of(database), strategy="alternating_users", more={"masterarn": master}
    )


def rotate(job: Job) -> None:
    wait_until(functools.partial(job.is_current, job.rotate()), "the rotation", job.server)
    # The label moves within the last step, which has yet to return.
    wait_until(functools.partial(has_ended, job), "its end", job.server)


def has_ended(job: Job) -> bool:
    """Whether what the secret's function did last, a rotation or a test, is over."""
    status = job.server.client("keyturn").get_rotation(SecretId=job.name)["Rotation"]["Status"]
    return status not in {"running", "pending"}


def configured(job: Job) -> Job:
    """Give the secret its function and its rules; the test of the function changes nothing."""
    job.secrets.rotate_secret(
        SecretId=job.name,
        RotationLambdaARN=job.function,
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    wait_until(functools.partial(has_ended, job), "the end of the test", job.server)
    return job


class Found:
    """The answer of a pre-flight, of which the database has heard no more than logins."""

    def __init__(self, job: Job) -> None:
        listening = Listening(job.database)  # type: ignore[arg-type]  # one of the two
        self.answer = job.server.client("keyturn").preflight_rotation(SecretId=job.name)
        assert listening.writes() == []
        self.refusals = listening.refusals()
        self.statements = listening.statements()

    @property
    def judged(self) -> tuple[str, str, list[str]]:
        return self.answer["Verdict"], self.answer["Heartbeat"], self.answer["Causes"]

    def item(self, name: str) -> tuple[str, str]:
        return next((item["Status"], item["Code"]) for item in self.answer["Items"] if item["Item"] == name)

    def reason(self, name: str) -> str:
        reason: str = next(item["Reason"] for item in self.answer["Items"] if item["Item"] == name)
        return reason


# Where all is well.


def test_a_single_user_that_was_rotated_is_ready_and_its_previous_password_dead(
    server: ServerProcess, database: Server
) -> None:
    job = a_job(server, database)
    rotate(job)

    found = Found(job)
    assert found.judged == ("ready", "in step", [])
    assert found.item("function.import") == ("ok", "Ok")
    assert found.item("endpoint.tls") == ("skipped", "NotUsed")
    assert found.item("login.current") == ("ok", "Accepted")
    assert found.item("login.previous") == ("ok", "Refused")
    assert found.item("login.pending") == ("skipped", "SameValue")
    # One attempt, which a policy that locks users has to bear.
    assert found.refusals == [job.name]
    assert found.statements


def test_of_alternating_users_the_previous_one_may_live_and_the_superuser_is_tried(
    server: ServerProcess, database: Server
) -> None:
    job = an_alternating_job(server, database)
    rotate(job)
    rotate(job)

    found = Found(job)
    assert found.judged == ("ready", "in step", [])
    assert found.item("login.superuser") == ("ok", "Accepted")
    assert found.item("login.previous") == ("ok", "AcceptedOtherUser")
    assert found.refusals == []


def test_a_function_that_is_not_ours_is_looked_into_with_our_engine_and_driver(
    server: ServerProcess, database: Server
) -> None:
    job = a_job(server, database, more={"ssl": None}, function=function_of(server))
    rotate(job)

    assert Found(job).judged == ("ready", "in step", [])


def test_a_package_without_any_driver_is_looked_into_as_well(server: ServerProcess, database: Server) -> None:
    package = zip_package({"lambda_function.py": "def lambda_handler(event, context): pass"})
    function = {"Handler": "lambda_function.lambda_handler", "Code": {"ZipFile": package}}
    job = configured(a_job(server, database, function=function))

    found = Found(job)
    assert found.judged == ("ready", "in step", [])
    assert found.item("login.previous") == ("skipped", "NoVersion")
    # Nobody has used the value.
    assert "LastAccessedDate" not in job.secrets.describe_secret(SecretId=job.name)


@pytest.mark.parametrize("users", ["Single", "Multi"])
def test_awss_published_functions_are_looked_into(server: ServerProcess, database: Server, users: str) -> None:
    folder = os.environ.get("KEYTURN_AWS_SAMPLES", "")
    if not folder:
        pytest.skip("KEYTURN_AWS_SAMPLES names no checkout of aws-samples/aws-secrets-manager-rotation-lambdas")
    is_postgresql = isinstance(database, PostgresqlServer)
    product, driver = ("PostgreSQL", "PyGreSQL") if is_postgresql else ("MariaDB", "PyMySQL")
    layer = server.client("lambda").publish_layer_version(LayerName=driver, Content={"ZipFile": layer_of(driver)})
    function = {
        "Handler": "lambda_function.lambda_handler",
        "Code": {"ZipFile": package_of(Path(folder) / f"SecretsManagerRDS{product}Rotation{users}User")},
        "Layers": [layer["LayerVersionArn"]],
    }
    name, more = a_name(), {}
    if users == "Multi":
        more = {"masterarn": superuser_secret(server, database, name)}
    job = Job(server, database, name, more=more, function=function)
    rotate(job)

    found = Found(job)
    assert found.judged == ("ready", "in step", [])
    assert found.item("login.superuser")[0] == ("ok" if users == "Multi" else "skipped")


# What will fail a rotation.


def test_a_handler_that_does_not_import_is_told_in_lambdas_words(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    cases = {
        "import nothing_like_it": "Runtime.ImportModuleError",
        "def lambda_handler(:": "Runtime.UserCodeSyntaxError",
        "other = 1": "Runtime.HandlerNotFound",
        "raise KeyError('broken')": "KeyError",
        "import os; os._exit(3)": "Runtime.ExitError",
    }
    functions = server.client("lambda")
    job = configured(a_job(server, postgresql))
    for source, code in cases.items():
        functions.update_function_configuration(FunctionName=job.name, Handler="broken.lambda_handler")
        functions.update_function_code(FunctionName=job.name, ZipFile=zip_package({"broken.py": source}))
        found = Found(job)

        assert found.item("function.import") == ("failed", code)
        assert found.answer["Verdict"] == "will fail"
        assert f"function.import:{code}" in found.answer["Causes"]
        # The rest was looked at all the same: two causes are both found.
        assert found.item("login.current") == ("ok", "Accepted")
        if code != "Runtime.ExitError":
            said = json.loads(functions.invoke(FunctionName=job.name)["Payload"].read())
            assert (said["errorType"], said["errorMessage"]) == (code, found.reason("function.import"))


def test_what_the_role_may_not_read_is_found_by_trying(server: ServerProcess, database: Server) -> None:
    job = configured(an_alternating_job(server, database))
    job.allow([action for action in FIVE_ACTIONS if action != "GetSecretValue"])

    found = Found(job)
    assert "secret.read:AccessDeniedException" in found.answer["Causes"]
    assert "is not authorized to perform: secretsmanager:GetSecretValue" in found.reason("secret.read")
    assert found.item("login.current") == ("skipped", "NotRead")

    only_own = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": job.secret["ARN"]},
            {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"},
        ],
    }
    server.client("iam").put_role_policy(RoleName=job.name, PolicyName="rotate", PolicyDocument=json.dumps(only_own))
    found = Found(job)
    assert "superuser.read:AccessDeniedException" in found.answer["Causes"]
    assert found.item("login.current") == ("ok", "Accepted")


def test_a_superuser_that_the_database_refuses_will_fail_the_rotation(server: ServerProcess, database: Server) -> None:
    job = configured(an_alternating_job(server, database, password="another one"))

    found = Found(job)
    assert found.judged == ("will fail", "in step", ["login.superuser:AuthenticationFailed"])
    assert len(found.refusals) == 1


def test_a_value_that_the_function_cannot_use_is_told_by_key(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = configured(a_job(server, postgresql))
    value = postgresql.secret_value(job.name, job.first_password)

    for changed, code, reason in (
        ({**value, "username": None}, "InvalidValue", "username in the secret JSON must be text"),
        ({name: value[name] for name in value if name != "host"}, "MissingKey", "host key is missing from secret JSON"),
        ({name: value[name] for name in value if name != "engine"}, "MissingKey", "engine key is missing"),
        ("plain words", "NotJson", "The function needs a JSON object"),
    ):
        text = changed if isinstance(changed, str) else json.dumps(changed)
        job.secrets.put_secret_value(SecretId=job.name, SecretString=text)
        found = Found(job)

        assert found.item("secret.value") == ("failed", code)
        assert found.reason("secret.value").startswith(reason)
        assert found.answer["Verdict"] == "will fail"


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"host": "no-such-host.invalid"}, "database.resolve:HostNotFound"),
        ({"port": None}, "database.connect:ConnectionRefused"),
        ({"dbname": "nowhere"}, "login.current:DatabaseMissing"),
        ({"ssl": True}, "database.tls:TlsFailed"),
    ],
)
def test_each_part_of_the_way_to_the_database_has_its_own_cause(
    server: ServerProcess, postgresql: PostgresqlServer, changed: dict[str, object], cause: str
) -> None:
    job = configured(a_job(server, postgresql))
    if "port" in changed:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            changed = {"port": free.getsockname()[1]}
    value = {**postgresql.secret_value(job.name, job.first_password), "ssl": False, **changed}
    job.secrets.put_secret_value(SecretId=job.name, SecretString=json.dumps(value))

    found = Found(job)
    # A database that is away has not drifted.
    assert found.judged == ("will fail", "unknown", [cause])


def test_the_endpoint_is_the_one_that_the_function_would_use(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = configured(a_job(server, postgresql))
    functions = server.client("lambda")
    for url, cause in (
        ("http://no-such-host.invalid", "endpoint.resolve:HostNotFound"),
        ("http://127.0.0.1:1", "endpoint.connect:ConnectionRefused"),
        (server.endpoint_url.replace("http", "https"), "endpoint.tls:TlsFailed"),
    ):
        functions.update_function_configuration(
            FunctionName=job.name, Environment={"Variables": {"SECRETS_MANAGER_ENDPOINT": url}}
        )
        found = Found(job)

        assert found.answer["Verdict"] == "will fail"
        assert cause in found.answer["Causes"]
        assert found.item("login.current") == ("skipped", "NotRead")


# What cannot be looked at.


def test_what_cannot_be_tried_is_skipped_and_never_ready(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    package = zip_package({"lambda_function.py": "def lambda_handler(event, context): pass"})
    function = {"Handler": "lambda_function.lambda_handler", "Code": {"ZipFile": package}}
    job = configured(a_job(server, postgresql, function=function))
    for text, code in (("a token", "NotJson"), ('{"engine": "of somebody"}', "UnknownEngine"), ("{}", "UnknownEngine")):
        job.secrets.put_secret_value(SecretId=job.name, SecretString=text)
        found = Found(job)

        assert found.judged[:2] == ("unknown", "unknown")
        assert f"secret.value:{code}" in found.answer["Causes"]
        assert found.item("login.current")[0] == "skipped"


# The heartbeat.


def set_password(database: Server, name: str, password: str) -> None:
    if isinstance(database, PostgresqlServer):
        database.run(f"ALTER ROLE \"{name}\" PASSWORD '{password}'")
    else:
        database.run(f"SET PASSWORD FOR '{name}'@'%' = PASSWORD('{password}')")


def test_drift_is_told_with_its_cause(server: ServerProcess, database: Server) -> None:
    job = a_job(server, database)
    rotate(job)
    current = job.password()

    set_password(database, job.name, job.first_password)
    back = Found(job)
    set_password(database, job.name, "of somebody else")
    outside = Found(job)
    set_password(database, job.name, current)
    well = Found(job)

    # A rotation would go on from the previous password; who reads the secret does not get in.
    assert back.judged == ("ready", "drift", ["drift:PreviousIsInDatabase"])
    assert outside.judged == ("will fail", "drift", ["login.current:AuthenticationFailed", "drift:ChangedOutside"])
    assert well.judged == ("ready", "in step", [])
    assert len(outside.refusals) == 2
    told = [*job.events("RotationPreflightFailed"), *job.events("RotationPreflightSucceeded")]
    assert [event["additionalEventData"]["Causes"] for event in told] == [
        *(each.judged[2] for each in (back, outside)),
        [],
    ]
    assert [event.get("errorMessage") for event in told] == [
        "drift:PreviousIsInDatabase",
        "login.current:AuthenticationFailed, drift:ChangedOutside",
        None,
    ]


def test_a_rotation_that_stopped_half_way_is_told_by_what_is_pending(server: ServerProcess, database: Server) -> None:
    job = configured(a_job(server, database))
    pending = {**database.secret_value(job.name, "the next one"), "ssl": False}
    job.secrets.put_secret_value(SecretId=job.name, SecretString=json.dumps(pending), VersionStages=["AWSPENDING"])

    before = Found(job)
    assert before.item("login.pending") == ("ok", "Refused")
    assert before.answer["Heartbeat"] == "in step"
    set_password(database, job.name, "the next one")
    after = Found(job)
    assert after.item("login.pending") == ("ok", "Accepted")
    assert after.answer["Heartbeat"] == "drift"
    assert after.answer["Causes"][-1] == "drift:PendingIsInDatabase"


def test_a_pending_value_of_another_host_or_user_is_not_sent_anywhere(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = configured(a_job(server, postgresql))
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0.2)
        for changed, code in (
            ({"port": trap.getsockname()[1]}, "OtherHost"),
            ({"username": "postgres"}, "OtherUser"),
        ):
            pending = {**postgresql.secret_value(job.name, "the next one"), "ssl": False, **changed}
            job.secrets.put_secret_value(
                SecretId=job.name, SecretString=json.dumps(pending), VersionStages=["AWSPENDING"]
            )
            assert Found(job).item("login.pending") == ("skipped", code)
        with pytest.raises(TimeoutError):
            trap.accept()


# What it leaves behind.


def test_no_value_and_no_line_is_left_of_it_and_the_trail_has_the_roles_reads(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    code = io.BytesIO(_own_function("postgresql", "single_user", gated=False)["Code"]["ZipFile"])
    with zipfile.ZipFile(code, "a") as archive:
        archive.writestr(
            "noisy.py",
            "import boto3, json, os\n"
            "value = boto3.client('secretsmanager').get_secret_value(SecretId=os.environ['SECRET'])['SecretString']\n"
            "print('a line of the module', value)\n"
            "raise ValueError(value)\n",
        )
    function = {
        "Handler": "noisy.lambda_handler",
        "Code": {"ZipFile": code.getvalue()},
        "Environment": {"Variables": {"SECRET": "noisy"}},
    }
    job = a_job(server, postgresql, function=function, may_be_invoked=True)
    job.secrets.create_secret(Name="noisy", SecretString=json.dumps({"password": job.first_password}))
    job.secrets.rotate_secret(
        SecretId=job.name,
        RotationLambdaARN=job.function,
        RotationRules={"AutomaticallyAfterDays": 30},
        RotateImmediately=False,
    )
    client = server.client("keyturn")

    def answered() -> Any:
        try:
            return client.preflight_rotation(SecretId=job.name)
        except client.exceptions.InvalidRequestException:
            # The test of the function runs.
            return None

    answer = wait_until(answered, "a pre-flight beside the test", server)
    assert next(item["Code"] for item in answer["Items"] if item["Item"] == "function.import") == "ValueError"
    trail = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": job.secret["ARN"]}], MaxResults=50
    )["Events"]
    for text in (json.dumps(answer, default=str), server.log(), json.dumps(trail, default=str)):
        assert job.first_password not in text
    events = [json.loads(event["CloudTrailEvent"]) for event in trail]
    foreseen = [event for event in events if event["eventName"] == "RotationPreflightFailed"]
    assert [event["additionalEventData"]["Causes"] for event in foreseen] == [answer["Causes"]]
    read = [event["userIdentity"]["arn"] for event in events if event["eventName"] == "DescribeSecret"]
    assert any(arn.endswith(f":assumed-role/{job.name}/{job.name}") for arn in read)
    # Invocations of the test have lines in the function's log; the pre-flight's streams are none of them.
    logs = server.client("logs")
    before = logs.describe_log_streams(logGroupName=f"/aws/lambda/{job.name}")["logStreams"]
    wait_until(answered, "another one", server)
    assert logs.describe_log_streams(logGroupName=f"/aws/lambda/{job.name}")["logStreams"] == before


def test_who_may_not_is_refused(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = configured(a_job(server, postgresql))
    iam = server.client("iam")
    iam.create_user(UserName=job.name)
    made = iam.create_access_key(UserName=job.name)["AccessKey"]
    nobody = server.client("keyturn", Credentials(made["AccessKeyId"], made["SecretAccessKey"]))

    for call in (nobody.preflight_rotation, nobody.get_rotation_preflight):
        with pytest.raises(ClientError, match="is not authorized to perform: keyturn:"):
            call(SecretId=job.name)


# By itself.


def planned(server: ServerProcess, *options: str) -> dict[str, Any]:
    said = run_keyturn("schedule", "list", *options, "--output", "json", home=server.home, environ=server.environ())
    entry: dict[str, Any] = json.loads(said.stdout)["planned"][0]
    return entry


def seen(server: ServerProcess, verdict: str) -> Callable[[], dict[str, Any] | None]:
    def look() -> dict[str, Any] | None:
        entry = planned(server)
        return entry if (entry["preflight"] or {}).get("verdict") == verdict else None

    return look


def test_a_server_looks_by_itself_and_says_so_wherever_somebody_looks(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    token = tmp_path / "token"
    token.write_text("scrape-me")
    token.chmod(0o600)
    heard = tmp_path / "heard"
    script = tmp_path / "hear"
    script.write_text(f"#!/bin/sh\ncat >> {heard}\necho >> {heard}\n")
    script.chmod(0o700)
    server = ServerProcess(tmp_path, preflight=True)
    server.settings |= {"KEYTURN_METRICS_TOKEN_FILE": str(token), "KEYTURN_NOTIFY": f"command:{script}"}
    server.start()
    try:
        job = configured(an_alternating_job(server, postgresql, password="another one"))
        entry = wait_until(seen(server, "will fail"), "the verdict", server)

        assert entry["preflight"]["causes"] == ["login.superuser:AuthenticationFailed"]
        assert "It will fail, as was found at" in entry["why"]
        table = run_keyturn("schedule", home=server.home, environ={**server.environ(), "COLUMNS": "200"}).stdout
        assert "will fail: login.superuser:AuthenticationFailed" in table
        message = json.loads(wait_until(lambda: heard.exists() and heard.read_text(), "the message", server))
        assert (message["event"], message["preflight"]["verdict"]) == ("RotationPreflightFailed", "will fail")
        assert f"keyturn schedule --why --name-prefix {job.name}" in message["text"]
        scraped = metrics(server, "scrape-me")
        assert 'keyturn_rotation_preflight_secrets{verdict="will_fail"} 1.0' in scraped
        assert 'keyturn_rotation_heartbeat_secrets{heartbeat="in_step"} 1.0' in scraped

        # Mended and rotated: nobody has to ask for it to be known.
        superuser = json.dumps({**postgresql.superuser_value(), "ssl": False})
        job.secrets.put_secret_value(SecretId=f"{job.name}-master", SecretString=superuser)
        rotate(job)
        assert "is older than the last rotation" in planned(server)["why"]
        entry = wait_until(seen(server, "ready"), "it was looked at again", server)
        assert "It is expected to succeed" in entry["why"]
        wait_until(lambda: "RotationPreflightSucceeded" in heard.read_text(), "the message", server)
    finally:
        assert server.stop() == 0, server.log()


def metrics(server: ServerProcess, token: str) -> str:
    import urllib.request  # noqa: PLC0415 - for this alone

    request = urllib.request.Request(f"{server.endpoint_url}/metrics", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        text: str = reply.read().decode()
    return text


# Waits where the pre-flight imports it and nowhere else, and only as long as somebody listens.
WAITING = """
import importlib.util, socket, time
if importlib.util.find_spec("keyturn_preflight"):
    try:
        socket.create_connection(("127.0.0.1", {port})).recv(1)
    except OSError:
        pass
def lambda_handler(event, context): pass
"""


def test_a_server_killed_while_it_looks_starts_well_and_looks_again(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    server = ServerProcess(tmp_path, preflight=True)
    with socket.socket() as gate:
        gate.bind(("127.0.0.1", 0))
        gate.listen()
        gate.settimeout(60)
        server.start()
        package = zip_package({"lambda_function.py": WAITING.format(port=gate.getsockname()[1])})
        function = {"Handler": "lambda_function.lambda_handler", "Code": {"ZipFile": package}}
        configured(a_job(server, postgresql, function=function))
        looking, _ = gate.accept()
        assert planned(server)["preflight"] is None
        server.kill()
        looking.close()
    server.start()
    try:
        wait_until(seen(server, "ready"), "another look", server)
    finally:
        assert server.stop() == 0, server.log()
