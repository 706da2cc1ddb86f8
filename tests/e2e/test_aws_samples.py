"""AWS's published rotation functions, byte for byte: every step of several rotations against a real database.

They are not part of this repository. KEYTURN_AWS_SAMPLES names a checkout of
aws-samples/aws-secrets-manager-rotation-lambdas; drivers are those installed beside the tests (docs/aws-samples.md).
What they ask of the platform is tested without them in test_functions_like_aws.py.
"""

from __future__ import annotations

import functools
import io
import json
import os
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keyturn.testing.mariadb import MariadbServer
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, run_keyturn, wait_until
from .driver_layers import layer_of, package_of
from .test_main_job import RUNTIME, TRUST, Job

ROTATIONS = 3


class Sample(NamedTuple):
    """One of AWS's functions."""

    folder: str
    engine: str
    drivers: tuple[str, ...]
    alternates: bool
    product: str


SAMPLES = [
    Sample(f"SecretsManagerRDS{product}Rotation{users}User", engine, drivers, users == "Multi", product)
    for product, engine, drivers in (
        ("PostgreSQL", "postgres", ("PyGreSQL",)),
        ("MariaDB", "mariadb", ("PyMySQL",)),
        ("MySQL", "mysql", ("PyMySQL",)),
    )
    for users in ("Single", "Multi")
]
# What each folder's functions import beside boto3, and what that needs.
IMPORTS = {
    "SecretsManagerActiveDirectoryAndKeytabRotationSingleUser": (),
    "SecretsManagerActiveDirectoryRotationSingleUser": (),
    "SecretsManagerElasticacheUserRotation": (),
    "SecretsManagerInfluxDBRotationMultiUser": (
        "influxdb-client",
        "reactivex",
        "python-dateutil",
        "six",
        "certifi",
        "typing_extensions",
    ),
    "SecretsManagerInfluxDBRotationSingleUser": (
        "influxdb-client",
        "reactivex",
        "python-dateutil",
        "six",
        "certifi",
        "typing_extensions",
    ),
    "SecretsManagerMongoDBRotationMultiUser": ("pymongo", "dnspython"),
    "SecretsManagerMongoDBRotationSingleUser": ("pymongo", "dnspython"),
    "SecretsManagerRDSDb2RotationMultiUser": ("ibm_db",),
    "SecretsManagerRDSDb2RotationSingleUser": ("ibm_db",),
    "SecretsManagerRDSOracleRotationMultiUser": ("oracledb", "cryptography", "cffi", "typing_extensions"),
    "SecretsManagerRDSOracleRotationSingleUser": ("oracledb", "cryptography", "cffi", "typing_extensions"),
    "SecretsManagerRDSSQLServerRotationMultiUser": ("pymssql",),
    "SecretsManagerRDSSQLServerRotationSingleUser": ("pymssql",),
    "SecretsManagerRedshiftRotationMultiUser": ("PyGreSQL",),
    "SecretsManagerRedshiftRotationSingleUser": ("PyGreSQL",),
    **{sample.folder: sample.drivers for sample in SAMPLES},
}


@pytest.fixture(scope="module")
def samples() -> Path:
    named = os.environ.get("KEYTURN_AWS_SAMPLES", "")
    if not named:
        pytest.skip("KEYTURN_AWS_SAMPLES names no checkout of aws-samples/aws-secrets-manager-rotation-lambdas")
    return Path(named)


@pytest.fixture(scope="module")
def databases() -> Iterator[dict[str, PostgresqlServer | MariadbServer]]:
    with PostgresqlServer.start() as postgresql, MariadbServer.start() as mariadb:
        yield {"PostgreSQL": postgresql, "MariaDB": mariadb, "MySQL": mariadb}


def function_of(server: ServerProcess, folder: Path, drivers: tuple[str, ...]) -> dict[str, Any]:
    """Members of CreateFunction; the drivers are published as a layer."""
    layers = []
    if drivers:
        content = {"ZipFile": layer_of(*drivers)}
        layers = [server.client("lambda").publish_layer_version(LayerName=drivers[0], Content=content)]
    return {
        "Handler": "lambda_function.lambda_handler",
        "Code": {"ZipFile": package_of(folder)},
        "Layers": [layer["LayerVersionArn"] for layer in layers],
    }


def job_of(
    server: ServerProcess, database: PostgresqlServer | MariadbServer, sample: Sample, samples: Path, name: str
) -> Job:
    more: dict[str, object] = {"engine": sample.engine}
    if sample.alternates:
        value = {**database.superuser_value(), "engine": sample.engine}
        superuser = server.client("secretsmanager").create_secret(Name=f"{name}-admin", SecretString=json.dumps(value))
        more["masterarn"] = superuser["ARN"]
    return Job(server, database, name, more=more, function=function_of(server, samples / sample.folder, sample.drivers))


def value_of(job: Job, stage: str = "AWSCURRENT") -> dict[str, str]:
    value: dict[str, str] = json.loads(
        job.secrets.get_secret_value(SecretId=job.name, VersionStage=stage)["SecretString"]
    )
    return value


def log_of(job: Job) -> str:
    events = job.server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{job.name}")["events"]
    return "\n".join(event["message"] for event in events)


def rotate(job: Job) -> None:
    wait_until(functools.partial(job.is_current, job.rotate()), "the rotation", job.server)


@pytest.mark.parametrize("ssl", ["probed", "off"])
@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.folder for sample in SAMPLES])
def test_it_rotates_again_and_again(
    server: ServerProcess,
    databases: dict[str, PostgresqlServer | MariadbServer],
    samples: Path,
    sample: Sample,
    ssl: str,
) -> None:
    # With _clone behind it, the MySQL function takes 16 characters.
    name = f"{sample.product[:5]}_{'m' if sample.alternates else 's'}{ssl[0]}".lower()
    job = job_of(server, databases[sample.product], sample, samples, name)
    value = value_of(job)
    if ssl == "probed":
        del value["ssl"]
    job.secrets.put_secret_value(SecretId=name, SecretString=json.dumps(value))
    passwords = [job.first_password]

    for number in range(1, ROTATIONS + 1):
        rotate(job)
        before, after = value_of(job, "AWSPREVIOUS"), value_of(job)
        assert job.database.accepts(after["username"], after["password"])
        assert job.database.accepts(before["username"], before["password"]) == sample.alternates
        turned = sample.alternates and number % 2 == 1
        assert after["username"] == f"{name}_clone" * turned or name
        assert after == {**before, "username": after["username"], "password": after["password"]}
        passwords.append(after["password"])

    assert len(set(passwords)) == ROTATIONS + 1
    log = log_of(job)
    for line in (
        f"createSecret: Successfully put secret for ARN {job.secret['ARN']}",
        "setSecret: Successfully",
        f"testSecret: Successfully signed into {sample.product} DB with AWSPENDING secret",
        "finishSecret: Successfully set AWSCURRENT stage",
    ):
        assert log.count(line) == ROTATIONS, line
    assert not [password for password in passwords if password in log]


def test_what_runs_is_what_aws_published(
    server: ServerProcess, databases: dict[str, PostgresqlServer | MariadbServer], samples: Path
) -> None:
    job = job_of(server, databases["PostgreSQL"], SAMPLES[0], samples, "verbatim")
    location = server.client("lambda").get_function(FunctionName=job.name)["Code"]["Location"]

    with urllib.request.urlopen(location) as reply, zipfile.ZipFile(io.BytesIO(reply.read())) as archive:
        assert archive.read("lambda_function.py") == (samples / SAMPLES[0].folder / "lambda_function.py").read_bytes()


@pytest.mark.parametrize("kind", ["version", "alias"])
@pytest.mark.parametrize("sample", SAMPLES[:2], ids=["single user", "multi user"])
def test_it_rotates_under_the_arn_of_a_version_or_an_alias(
    server: ServerProcess,
    databases: dict[str, PostgresqlServer | MariadbServer],
    samples: Path,
    sample: Sample,
    kind: str,
) -> None:
    job = job_of(server, databases["PostgreSQL"], sample, samples, f"by_{kind}_{sample.alternates}".lower())
    functions = server.client("lambda")
    version = functions.publish_version(FunctionName=job.name)["Version"]
    # What the function is now would fail.
    functions.update_function_configuration(FunctionName=job.name, Layers=[])
    qualifier = version
    if kind == "alias":
        qualifier = functions.create_alias(FunctionName=job.name, Name="live", FunctionVersion=version)["Name"]
    functions.add_permission(
        FunctionName=job.name,
        Qualifier=qualifier,
        Principal="secretsmanager.amazonaws.com",
        Action="lambda:InvokeFunction",
        StatementId="SecretsManagerAccess",
    )
    job.function = f"{job.function}:{qualifier}"

    for _ in range(2):
        rotate(job)
        after = value_of(job)
        assert job.database.accepts(after["username"], after["password"])


def test_what_the_template_leaves_to_others_is_plainly_said(server: ServerProcess, samples: Path) -> None:
    name, secrets = "template", server.client("secretsmanager")
    role = server.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    statement = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    server.client("iam").put_role_policy(RoleName=name, PolicyName="rotate", PolicyDocument=document)
    functions = server.client("lambda")
    function = functions.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role=role,
        **function_of(server, samples / "SecretsManagerRotationTemplate", ()),
    )["FunctionArn"]
    functions.add_permission(
        FunctionName=name,
        Principal="secretsmanager.amazonaws.com",
        Action="lambda:InvokeFunction",
        StatementId="SecretsManagerAccess",
    )
    secrets.create_secret(Name=name, SecretString="a value")
    secrets.rotate_secret(SecretId=name, RotationLambdaARN=function, RotationRules={"AutomaticallyAfterDays": 30})

    def shown() -> str:
        arguments = ("rotation", "show", name)
        return run_keyturn(*arguments, home=server.home, environ=server.environ(), check=False).stdout

    wait_until(lambda: "NotImplementedError" in shown(), "the error on the rotation's page", server)
    assert "setSecret" in shown()
    events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert [event for event in events if "NotImplementedError" in event["message"]]
    [rotation] = server.client("keyturn").list_rotations(SecretId=name)["Rotations"]
    assert "NotImplementedError" in json.dumps(rotation, default=str)
    assert secrets.get_secret_value(SecretId=name)["SecretString"] == "a value"


@pytest.mark.parametrize("folder", sorted(IMPORTS))
def test_its_imports_are_found(server: ServerProcess, samples: Path, folder: str) -> None:
    """The first thing it does with an event is to read the secret's name, which is not in this one."""
    functions = server.client("lambda")
    role = server.client("iam")
    name = f"imports-{folder}"[:64]
    arn = role.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    functions.create_function(
        FunctionName=name,
        Runtime=RUNTIME,
        Role=arn,
        Timeout=60,
        MemorySize=512,
        **function_of(server, samples / folder, IMPORTS[folder]),
    )

    answer = json.loads(functions.invoke(FunctionName=name, Payload=b"{}")["Payload"].read())

    assert (answer["errorType"], answer["errorMessage"]) == ("KeyError", "'SecretId'")


def test_no_sample_is_left_out(samples: Path) -> None:
    folders = {path.parent.name for path in samples.glob("*/lambda_function.py")}

    assert folders == {*IMPORTS, "SecretsManagerRotationTemplate"}
