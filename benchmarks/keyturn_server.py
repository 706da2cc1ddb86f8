"""Keyturn as people run it: ``keyturn init``, ``keyturn serve``, and an IAM user who may only read these secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from benchmarks.processes import ServerProcess, running
from benchmarks.servers import SecretValue, Target, environment, http_request
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

import keyturn
from keyturn.errors.base import KeyturnError
from keyturn.service_models import OWN_MODELS

_PROGRAM = Path(sys.executable).with_name("keyturn")
_READY = re.compile(r" ready on http://127\.0\.0\.1:(\d+)")
_INIT_SECONDS = 60
_THREADS = 4
_USER = "benchmark"
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=5, read_timeout=20, max_pool_connections=8
)


@dataclass(frozen=True, slots=True)
class KeyturnServer:
    """A running server.

    Attributes:
        process: It, and below it the functions.
        port: On loopback.
        administrator: What ``keyturn init`` has printed.
    """

    process: ServerProcess
    port: int
    administrator: Mapping[str, str]

    def client(self, service: str) -> Any:
        """Return a client of one service with the administrator's key."""
        session = boto3.Session(
            region_name=self.administrator["region"],
            aws_access_key_id=self.administrator["access_key_id"],
            aws_secret_access_key=self.administrator["secret_access_key"],
        )
        # Keyturn's own service; boto3 has no public way to it.
        session._session.get_component("data_loader").search_paths.append(str(OWN_MODELS))  # noqa: SLF001 - see above
        return session.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", config=_CONFIG)


@contextmanager
def keyturn_server(directory: Path, values: Mapping[str, SecretValue]) -> Iterator[Target]:
    """Run Keyturn with these secrets; it is ended when the block is left.

    Raises:
        KeyturnError: It does not start, or refuses what it is asked to store.
    """
    administrator = init(directory)
    with serving(directory, administrator) as server:
        port, region = server.port, administrator["region"]
        try:
            _create_secrets(server.client("secretsmanager"), values)
            reader = _create_reader(server.client("iam"), region, administrator["account_id"])
        except (BotoCoreError, ClientError) as error:
            raise KeyturnError(f"Keyturn could not be prepared: {error}") from error
        yield Target(
            name=f"Keyturn {keyturn.__version__}",
            port=port,
            process=server.process,
            reads=lambda: [_signed_read(name, port, region, reader) for name in values],
            value_in=lambda body: json.loads(json.loads(body)["SecretString"]),
        )


@contextmanager
def serving(
    directory: Path, administrator: Mapping[str, str], *options: str, seconds: float = 30
) -> Iterator[KeyturnServer]:
    """Run ``keyturn serve`` on what :func:`init` has made; it is ended when the block is left.

    Args:
        directory: As of :func:`init`.
        administrator: Likewise its result.
        options: Of the command, beyond the necessary ones.
        seconds: How long it may take to get ready.

    Raises:
        KeyturnError: It does not start.
    """
    command: list[str | Path] = [_PROGRAM, "serve", "--data-dir", data_of(directory), "--port", "0", "--no-profile"]
    # A second of each secret's day, which is nothing that is measured here.
    environ = {**environment(directory), "KEYTURN_PREFLIGHT": "false"}
    with running("Keyturn", [*command, *options], directory / "output", environ) as process:
        ready = process.wait_for(lambda: _READY.search(process.output()), "line that says it is ready", seconds)
        yield KeyturnServer(process, int(ready[1]), administrator)


def data_of(directory: Path) -> Path:
    """Return the data directory below a benchmark's own."""
    return directory / "data"


def init(directory: Path, *options: str) -> dict[str, str]:
    """Run ``keyturn init`` and return the administrator that it prints.

    Raises:
        KeyturnError: It failed.
    """
    command: list[str | Path] = [_PROGRAM, "init", "--data-dir", data_of(directory), "--output", "json", "--no-profile"]
    try:
        done = subprocess.run(
            [*command, *options],
            capture_output=True,
            text=True,
            timeout=_INIT_SECONDS,
            env=environment(directory),
            check=True,
        )
    except FileNotFoundError as error:
        raise KeyturnError(f"{_PROGRAM} is missing.", "make bench installs it.") from error
    except subprocess.TimeoutExpired as error:
        raise KeyturnError("keyturn init does not end.") from error
    except subprocess.CalledProcessError as error:
        raise KeyturnError(f"keyturn init failed: {error.stderr[-2000:]}") from error
    administrator: dict[str, str] = json.loads(done.stdout)
    return administrator


def _create_secrets(secretsmanager: Any, values: Mapping[str, SecretValue]) -> None:
    def create(name: str) -> None:
        secretsmanager.create_secret(Name=name, SecretString=json.dumps(values[name]))

    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(create, values):
            pass


def _create_reader(iam: Any, region: str, account_id: str) -> Credentials:
    """Return the access key of a user with one policy, as an application has it."""
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": f"arn:aws:secretsmanager:{region}:{account_id}:secret:benchmark/*",
        },
    }
    iam.create_user(UserName=_USER)
    iam.put_user_policy(UserName=_USER, PolicyName="read", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=_USER)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def _signed_read(name: str, port: int, region: str, reader: Credentials) -> bytes:
    """Return GetSecretValue with the headers that boto3 sends, signed by botocore at this moment."""
    body = json.dumps({"SecretId": name}).encode()
    request = AWSRequest(
        "POST",
        f"http://127.0.0.1:{port}/",
        data=body,
        headers={
            "X-Amz-Target": "secretsmanager.GetSecretValue",
            "Content-Type": "application/x-amz-json-1.1",
            "User-Agent": f"Boto3/{boto3.__version__} md/Botocore#{boto3.__version__} ua/2.1 os/linux lang/python#3.11",
        },
    )
    SigV4Auth(reader, "secretsmanager", region).add_auth(request)
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Accept-Encoding": "identity",
        **request.headers,
        "amz-sdk-invocation-id": "c9e7968c-b5c9-4ebe-bffd-0ac497de621f",
        "amz-sdk-request": "attempt=1",
        "Content-Length": str(len(body)),
    }
    return http_request("POST", "/", headers, body)
