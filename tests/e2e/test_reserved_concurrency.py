"""Reserved concurrency as people use it: to switch a function off, and to see why its rotations fail meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import DEADLINE_SECONDS, ServerProcess, wait_until
from .rotation_function import create_rotation_function

AWS = Path(sys.executable).parent / "aws"
REASON = "ReservedFunctionConcurrentInvocationLimitExceeded"


def aws(server: ServerProcess, *arguments: str) -> Any:
    done = subprocess.run(
        [AWS, "lambda", *arguments, "--output", "json"],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout else None


def test_a_function_that_is_switched_off_fails_its_rotations_until_it_is_on_again(server: ServerProcess) -> None:
    name = "switched-off"
    function, secrets = create_rotation_function(server, name), server.client("secretsmanager")
    client, keyturn = server.client("lambda"), server.client("keyturn")
    zero = {"ReservedConcurrentExecutions": 0}

    assert (
        aws(server, "put-function-concurrency", "--function-name", name, "--reserved-concurrent-executions", "0")
        == zero
    )
    assert aws(server, "get-function-concurrency", "--function-name", function) == zero
    assert client.get_function(FunctionName=name)["Concurrency"] == zero
    with pytest.raises(client.exceptions.TooManyRequestsException) as refused:
        client.invoke(FunctionName=name)
    answer: Any = refused.value.response
    assert (answer["Error"]["Message"], answer["Reason"], answer["Type"]) == ("Rate Exceeded.", REASON, "User")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert client.invoke(FunctionName=name, InvocationType="Event")["StatusCode"] == 202

    secrets.create_secret(Name=name, SecretString="first")
    secrets.rotate_secret(SecretId=name, RotationLambdaARN=function)

    def ended() -> list[Any]:
        found = keyturn.get_rotation(SecretId=name)["Timeline"]
        return [entry for entry in found if entry["Kind"] == "step-ended"]

    told = wait_until(ended, "the throttled step", server)
    assert told[0]["Message"] == (
        "createSecret was throttled, and not invoked: Rate Exceeded. "
        f"{REASON}: the reserved concurrency of the function is 0, so that it cannot be invoked."
    )
    assert keyturn.get_rotation(SecretId=name)["Rotation"]["Cause"] == "throttled"
    with pytest.raises(ClientError, match="The specified log group does not exist"):
        server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")

    assert aws(server, "delete-function-concurrency", "--function-name", name) is None
    assert aws(server, "get-function-concurrency", "--function-name", name) in (None, {})
    keyturn.retry_rotation(SecretId=name)
    wait_until(lambda: secrets.get_secret_value(SecretId=name)["SecretString"] == "rotated", "the rotation", server)


def test_a_read_only_tool_may_ask_what_is_kept_ready(server: ServerProcess) -> None:
    name = "kept-ready"
    create_rotation_function(server, name)
    client = server.client("lambda")
    client.publish_version(FunctionName=name)

    assert client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.list_provisioned_concurrency_configs(FunctionName="none")
    with pytest.raises(ClientError) as refused:
        client.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    assert refused.value.response["Error"]["Code"] == "NotImplementedException"
