"""Measure how long ``keyturn doctor`` takes against Keyturn: one secret, and all of many.

``make bench-doctor`` runs it; docs/benchmarks.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

# Run as a script, Python looks for modules in this folder only.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.keyturn_server import KeyturnServer, init, serving
from benchmarks.report import load_averages, machine
from benchmarks.servers import environment, prepare_this_process
from botocore.exceptions import BotoCoreError, ClientError

from keyturn.cli.main import print_error
from keyturn.errors.base import KeyturnError
from keyturn.testing.functions import zip_package

_THREADS = 4
_SETTLE_SECONDS = 300
_RULES = {"AutomaticallyAfterDays": 30}
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
_ACTIONS = ("DescribeSecret", "GetRandomPassword", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
# The four steps without a database: what is measured reads what a rotation leaves behind, however it came about.
_CODE = """
import boto3

client = boto3.client("secretsmanager")

def lambda_handler(event, context):
    secret, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
    print(f"[INFO] {step} of {secret}")
    if step == "createSecret":
        value = client.get_random_password()["RandomPassword"]
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString=value, VersionStages=["AWSPENDING"]
        )
    if step == "finishSecret":
        current = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)
        client.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
        )
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked on the command line."""

    secrets: int
    functions: int
    repeats: int
    output: str


@dataclass(frozen=True, slots=True)
class Result:
    """How long one command took, each the median of some runs.

    Attributes:
        name: Of the case.
        seconds: From its start to its end.
        cpu_seconds: Processor time of the command.
        server_cpu_seconds: Processor time of the server in the meantime.
    """

    name: str
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _options()
    prepare_this_process()
    load = load_averages()
    try:
        with tempfile.TemporaryDirectory(prefix="keyturn-benchmark-") as directory:
            results = _measure(options, Path(directory), Console(stderr=True, highlight=False))
    except KeyturnError as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.output == "json":
        told = {"machine": machine(), "load_before": load, "results": [asdict(result) for result in results]}
        print(json.dumps(told, indent=2))
    else:
        _print(results)
        print(f"Machine: {machine()}; load before: {load}")
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(description="Measure keyturn doctor against Keyturn, on this machine.")
    parser.add_argument("--secrets", type=int, default=200, help="that have rotated, for --all (%(default)s)")
    parser.add_argument("--functions", type=int, default=10, help="that they take turns with (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each command (%(default)s)")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return Options(**vars(parser.parse_args()))


def _measure(options: Options, directory: Path, progress: Console) -> list[Result]:
    administrator = init(directory)
    with serving(directory, administrator) as server:
        progress.print(f"Rotating {options.secrets} secrets with {options.functions} functions …")
        try:
            healthy, broken = _prepare(server, options)
        except (BotoCoreError, ClientError) as error:
            raise KeyturnError(f"Keyturn could not be prepared: {error}") from error
        commands = {
            "one secret, healthy": ([healthy], {0}),
            "one secret, broken": ([broken], {1}),
            f"--all, {options.secrets} secrets": (["--all"], {1}),
        }
        environ = _environ(directory, server)
        found = []
        for name, (arguments, statuses) in commands.items():
            progress.print(f"keyturn doctor {' '.join(arguments)}")
            found.append(_timed(name, arguments, statuses, environ, server, options.repeats))
        return found


def _environ(directory: Path, server: KeyturnServer) -> dict[str, str]:
    return {
        **environment(directory),
        "AWS_ACCESS_KEY_ID": server.administrator["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": server.administrator["secret_access_key"],
        "AWS_DEFAULT_REGION": server.administrator["region"],
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
    }


def _timed(
    name: str,
    arguments: Sequence[str],
    statuses: set[int],
    environ: dict[str, str],
    server: KeyturnServer,
    repeats: int,
) -> Result:
    command = [str(Path(sys.executable).with_name("keyturn")), "doctor", *arguments, "--output", "json"]
    runs = []
    for _ in range(repeats):
        before, children = server.process.own_cpu_seconds(), os.times()
        begun = time.monotonic()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - begun
        if done.returncode not in statuses:
            raise KeyturnError(f"keyturn doctor ended with {done.returncode}: {done.stderr[-2000:]}")
        after = os.times()
        used = after.children_user + after.children_system - children.children_user - children.children_system
        runs.append((seconds, used, server.process.own_cpu_seconds() - before))
    return Result(name, *(median(each) for each in zip(*runs, strict=True)))


def _prepare(server: KeyturnServer, options: Options) -> tuple[str, str]:
    """Rotate the secrets, and return the names of one that is healthy and of the only one that is broken."""
    functions = [_create_function(server, number) for number in range(options.functions)]
    secretsmanager = server.client("secretsmanager")
    names = [f"measured/{number:04}" for number in range(options.secrets)]

    def create(number: int) -> None:
        secretsmanager.create_secret(Name=names[number], SecretString="{}")
        secretsmanager.rotate_secret(
            SecretId=names[number], RotationLambdaARN=functions[number % len(functions)], RotationRules=_RULES
        )

    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(create, range(options.secrets)):
            pass
    _wait(lambda: _rotated(secretsmanager) == options.secrets, "the rotations")
    _break(server, functions[-1], names[len(functions) - 1])
    return names[0], names[len(functions) - 1]


def _rotated(secretsmanager: Any) -> int:
    pages = secretsmanager.get_paginator("list_secrets").paginate()
    return sum("LastRotatedDate" in secret for page in pages for secret in page["SecretList"])


def _break(server: KeyturnServer, function_arn: str, secret: str) -> None:
    """Let a secret's next rotation fail."""
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "secretsmanager:PutSecretValue",
        "Resource": "*",
        "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/rotate-*"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    secretsmanager, trail = server.client("secretsmanager"), server.client("cloudtrail")
    secretsmanager.put_resource_policy(SecretId=secret, ResourcePolicy=json.dumps(policy))
    secretsmanager.rotate_secret(SecretId=secret)
    failed = [{"AttributeKey": "EventName", "AttributeValue": "RotationFailed"}]
    _wait(lambda: bool(trail.lookup_events(LookupAttributes=failed)["Events"]), f"the failure of {function_arn}")


def _wait(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + _SETTLE_SECONDS
    while not holds():
        if time.monotonic() > until:
            raise KeyturnError(f"This did not come within {_SETTLE_SECONDS} seconds: {what}.")
        time.sleep(0.2)


def _create_function(server: KeyturnServer, number: int) -> str:
    iam, lambda_, name = server.client("iam"), server.client("lambda"), f"rotate-{number}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(_TRUST))["Role"]
    actions = [*(f"secretsmanager:{action}" for action in _ACTIONS), "logs:*"]
    allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="rotate", PolicyDocument=json.dumps(allowed))
    function_arn: str = lambda_.create_function(
        FunctionName=name,
        Runtime=f"python{sys.version_info.major}.{sys.version_info.minor}",
        Role=role["Arn"],
        Handler="rotate.lambda_handler",
        Code={"ZipFile": zip_package({"rotate.py": _CODE})},
        Timeout=30,
        MemorySize=256,
    )["FunctionArn"]
    lambda_.add_permission(
        FunctionName=name,
        Principal="secretsmanager.amazonaws.com",
        Action="lambda:InvokeFunction",
        StatementId="SecretsManagerAccess",
    )
    return function_arn


def _print(results: Sequence[Result]) -> None:
    table = Table("keyturn doctor", "seconds", "its processor time, s", "the server's, s", box=box.SIMPLE)
    for result in results:
        numbers = (result.seconds, result.cpu_seconds, result.server_cpu_seconds)
        table.add_row(result.name, *(f"{number:.2f}" for number in numbers))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
