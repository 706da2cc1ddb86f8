"""Keyturn as people run it: ``keyturn init``, ``keyturn serve``, and an IAM user who may only read these secrets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from benchmarks.processes import running
from benchmarks.servers import SecretValue, Target, environment, http_request
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError

import keyturn
from keyturn.errors.base import KeyturnError

_PROGRAM = Path(sys.executable).with_name("keyturn")
_READY = re.compile(r" ready on http://127\.0\.0\.1:(\d+)")
_INIT_SECONDS = 60
_THREADS = 4
_USER = "benchmark"
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=5, read_timeout=20, max_pool_connections=8
)


@contextmanager
def keyturn_server(directory: Path, values: Mapping[str, SecretValue]) -> Iterator[Target]:
    """Run Keyturn with these secrets; it is ended when the block is left.

    Raises:
        KeyturnError: It does not start, or refuses what it is asked to store.
    """
    data = directory / "data"
    administrator = _init(data, directory)
    command: list[str | Path] = [_PROGRAM, "serve", "--data-dir", data, "--port", "0", "--no-profile"]
    with running("Keyturn", command, directory / "output", environment(directory)) as process:
        ready = process.wait_for(lambda: _READY.search(process.output()), "line that says it is ready")
        port, region = int(ready[1]), administrator["region"]

        def client(service: str) -> Any:
            return boto3.client(
                service,
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name=region,
                aws_access_key_id=administrator["access_key_id"],
                aws_secret_access_key=administrator["secret_access_key"],
                config=_CONFIG,
            )

        try:
            _create_secrets(client("secretsmanager"), values)
            reader = _create_reader(client("iam"), region, administrator["account_id"])
        except (BotoCoreError, ClientError) as error:
            raise KeyturnError(f"Keyturn could not be prepared: {error}") from error
        yield Target(
            name=f"Keyturn {keyturn.__version__}",
            port=port,
            process=process,
            reads=lambda: [_signed_read(name, port, region, reader) for name in values],
            value_in=lambda body: json.loads(json.loads(body)["SecretString"]),
        )


def _init(data: Path, home: Path) -> dict[str, str]:
    command: list[str | Path] = [_PROGRAM, "init", "--data-dir", data, "--output", "json", "--no-profile"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_INIT_SECONDS, env=environment(home), check=True
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
