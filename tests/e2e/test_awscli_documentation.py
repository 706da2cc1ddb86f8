"""The examples in the documentation of the AWS CLI are run by the CLI that they come with, as AWS wrote them.

They are read from the installed CLI. Account, region, names, files and version ids are those of the examples, so that
nothing is put in their place but the ARN of a function and of a KMS key, which nobody can choose.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from .conftest import DEADLINE_SECONDS, ServerProcess, wait_until
from .offered import offered
from .rotation_function import create_rotation_function, document

EXAMPLES = Path(str(resources.files("awscli"))) / "examples" / "secretsmanager"
ACCOUNT_ID, REGION = "123456789012", "us-west-2"
SECRET, DATABASE_SECRET = "MyTestSecret", "MyTestDatabaseSecret"
PREVIOUS, CURRENT, OTHER = (
    "a1b2c3d4-5678-90ab-cdef-EXAMPLE22222",
    "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111",
    "EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE",
)
FUNCTION = "arn:aws:lambda:us-west-2:1234566789012:function:SecretsManagerTestRotationLambda"
KMS_KEY = "arn:aws:kms:us-west-2:123456789012:key/EXAMPLE1-90ab-cdef-fedc-ba987EXAMPLE"
_COMMAND = re.compile(r"^    aws secretsmanager ([\w-]+)[^\n]*(?:\n {5,}[^\n]+)*", re.MULTILINE)
_FILE = re.compile(r"^Contents of ``(\S+)``::\n\n((?:    [^\n]*\n|\n)+)", re.MULTILINE)
_OUTPUT = re.compile(r"^Output::\n\n((?:    [^\n]*\n|\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One example: what is typed, which files it reads, what AWS prints."""

    name: str
    operation: str
    command: str
    files: dict[str, str]
    output: Any


def examples() -> Iterator[Example]:
    """Every example in the order of the pages."""
    for page in sorted(EXAMPLES.glob("*.rst")):
        text = page.read_text() + "\n"
        found = list(_COMMAND.finditer(text))
        ends = [match.start() for match in found[1:]] + [len(text)]
        operation = "".join(map(str.capitalize, page.stem.split("-")))
        for number, (match, end) in enumerate(zip(found, ends, strict=True), start=1):
            rest = text[match.end() : end]
            output = _OUTPUT.search(rest)
            yield Example(
                name=f"{page.stem} {number}",
                operation=operation,
                # One of them has lost a backslash at the end of a line.
                command=re.sub(r"\s*\\?\n\s*", " ", match.group().strip()),
                files=dict(_FILE.findall(rest)),
                # One of them has ends of lines inside a string.
                output=json.loads(output.group(1), strict=False) if output else None,
            )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of the account and region that the examples are written for."""
    home = tmp_path_factory.mktemp("keyturn")
    (home / "data").mkdir()
    (home / "data" / "keyturn.toml").write_text(f'account_id = "{ACCOUNT_ID}"\nregion = "{REGION}"\n')
    process = ServerProcess(home)
    process.start()
    trust = {"Effect": "Allow", "Principal": {"AWS": ACCOUNT_ID}, "Action": "sts:AssumeRole"}
    process.client("iam").create_role(RoleName="MyRole", AssumeRolePolicyDocument=document(trust))
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture(scope="module")
def real(server: ServerProcess) -> dict[str, str]:
    """What stands in a command in place of AWS's placeholders."""
    found = {FUNCTION: create_rotation_function(server)}
    if "CreateKey" in offered("kms"):
        found[KMS_KEY] = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    return found


def create(client: Any, name: str) -> None:
    """A secret with the versions, labels and tags of the examples; somebody has read it."""
    tags = [{"Key": "SecondTag", "Value": "AnotherValue"}, {"Key": "FirstTag", "Value": "SomeValue"}]
    client.create_secret(
        Name=name, Description="My test secret", SecretString="a", ClientRequestToken=PREVIOUS, Tags=tags
    )
    client.put_secret_value(SecretId=name, SecretString="b", ClientRequestToken=CURRENT)
    client.put_secret_value(SecretId=name, SecretString="c", ClientRequestToken=OTHER, VersionStages=["OTHER"])
    for version_id in (PREVIOUS, CURRENT, OTHER):
        client.get_secret_value(SecretId=name, VersionId=version_id)


def remove(client: Any, name: str) -> None:
    """A secret of an earlier example, with its replicas."""
    with suppress(client.exceptions.ResourceNotFoundException):
        replicas = client.describe_secret(SecretId=name).get("ReplicationStatus")
        if replicas:
            regions = [replica["Region"] for replica in replicas]
            client.remove_regions_from_replication(SecretId=name, RemoveReplicaRegions=regions)
    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)


def rotate_later(server: ServerProcess, name: str, function: str) -> None:
    client = server.client("secretsmanager")
    client.rotate_secret(
        SecretId=name,
        RotationLambdaARN=function,
        RotationRules={"ScheduleExpression": "rate(10 days)"},
        RotateImmediately=False,
    )
    # The function's testSecret runs at once, on a version that is removed afterwards.
    wait_until(
        lambda: ["AWSPENDING"] not in client.describe_secret(SecretId=name)["VersionIdsToStages"].values(),
        "the test of the rotation function",
        server,
    )


def prepare(server: ServerProcess, example: Example, real: dict[str, str]) -> None:
    """What an example's text says or implies was there before."""
    client = server.client("secretsmanager")
    match example.name:
        case "create-secret 1" | "create-secret 2":
            client.delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
        case "batch-get-secret-value 1" | "batch-get-secret-value 2":
            for name in ("MySecret1", "MySecret2", "MySecret3"):
                client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
                create(client, name)
        case "cancel-rotate-secret 1":
            rotate_later(server, SECRET, real[FUNCTION])
        case "rotate-secret 3":
            rotate_later(server, DATABASE_SECRET, real[FUNCTION])
        case "restore-secret 1":
            client.delete_secret(SecretId=SECRET)
        case "update-secret-version-stage 3":
            client.update_secret_version_stage(SecretId=SECRET, VersionStage="STAGINGLABEL1", MoveToVersionId=CURRENT)
        case "get-resource-policy 1" | "delete-resource-policy 1":
            allow = {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT_ID}:root"},
                "Action": "secretsmanager:GetSecretValue",
                "Resource": "*",
            }
            client.put_resource_policy(SecretId=SECRET, ResourcePolicy=document(allow))
        case "remove-regions-from-replication 1" | "stop-replication-to-replica 1":
            client.replicate_secret_to_regions(SecretId=SECRET, AddReplicaRegions=[{"Region": "eu-west-3"}])


@pytest.fixture
def run(server: ServerProcess, real: dict[str, str], tmp_path: Path) -> Callable[[Example], Any]:
    """Runs an example on fresh secrets and returns what it prints."""

    def run(example: Example) -> Any:
        client = server.client("secretsmanager")
        for name in (SECRET, DATABASE_SECRET):
            remove(client, name)
            create(client, name)
        prepare(server, example, real)
        for name, content in example.files.items():
            (tmp_path / name).write_text(content)
        command = example.command
        for placeholder, value in real.items():
            command = command.replace(placeholder, value)
        environ = server.environ()
        if example.operation == "StopReplicationToReplica":
            environ["AWS_DEFAULT_REGION"] = "eu-west-3"
        done = subprocess.run(
            ["bash", "-c", command],
            env={**environ, "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    return run


# The secret of these examples is replicated, rotated and encrypted with a customer's key, as that of their text is not.
ELSEWHERE: dict[str, tuple[str, ...]] = {
    "describe-secret 1": (
        "KmsKeyId", "LastRotatedDate", "PrimaryRegion", "ReplicationStatus", "RotationEnabled", "RotationLambdaARN",
        "RotationRules",
    ),
}  # fmt: skip
# The filter "name" finds prefixes, whatever the second example says it does; no secret is another service's.
FOUND_ELSEWHERE = ("list-secrets 2", "list-secrets 3")


def members(value: Any, prefix: str = "") -> Iterator[str]:
    """Names of the members of an answer, at any depth; those of the first entry stand for a list."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        for name, part in value.items():
            yield prefix + name
            # Keys of this map are version ids.
            if not name.endswith("ToStages"):
                yield from members(part, f"{prefix}{name}.")


def test_every_operation_of_the_cli_has_an_example() -> None:
    (model,) = EXAMPLES.parents[1].glob("**/data/secretsmanager/*/service-2.json")

    assert {example.operation for example in examples()} == set(json.loads(model.read_text())["operations"])


def offered_examples() -> list[Example]:
    """Those whose operation is offered; one is about a KMS key."""
    return [
        example
        for example in examples()
        if example.operation in offered("secretsmanager")
        and (KMS_KEY not in example.command or "CreateKey" in offered("kms"))
    ]


@pytest.mark.parametrize("example", offered_examples(), ids=lambda example: example.name)
def test_an_example_prints_the_members_that_aws_prints(run: Callable[[Example], Any], example: Example) -> None:
    printed = run(example)

    assert (printed is None) == (example.output is None)
    if example.name in FOUND_ELSEWHERE:
        assert printed == {"SecretList": []}
        return
    shown = {name for name in members(example.output) if not name.startswith(ELSEWHERE.get(example.name, ()))}
    assert shown - set(members(printed)) == set()
