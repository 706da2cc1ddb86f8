"""Functions that do as they are told, for looking at them in a browser."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.e2e.conftest import Credentials, ServerProcess
from tests.e2e.rotation_function import document

from keyturn.testing.functions import zip_package

SOURCE = """
import logging
import sys
import time

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def lambda_handler(event, context):
    logger.info("asked to %s", event.get("do"))
    print(event.get("print", "a line of its own"))
    if event.get("do") == "warn":
        logger.warning("take care")
    if event.get("do") == "fail" or event.get("Step") == "setSecret":
        raise ValueError("the password was refused")
    if event.get("do") == "exit":
        sys.exit(3)
    if event.get("do") == "sleep":
        time.sleep(30)
    return {"did": event.get("do")}
"""


def create_function(server: ServerProcess, name: str, **members: Any) -> str:
    """Create a function that may do nothing but log, and return its ARN."""
    iam = server.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    source = members.pop("source", SOURCE)
    files = members.pop("files", {})
    arn: str = server.client("lambda").create_function(
        **{
            "FunctionName": name,
            "Runtime": f"python3.{sys.version_info.minor}",
            "Role": role,
            "Handler": "lambda_function.lambda_handler",
            "Code": {"ZipFile": zip_package({"lambda_function.py": source, **files})},
            "Timeout": 10,
            **members,
        }
    )["FunctionArn"]
    return arn


def invoke(server: ServerProcess, name: str, **event: Any) -> str:
    """Run it, and return the request id."""
    answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    request_id: str = answer["ResponseMetadata"]["RequestId"]
    return request_id


def user_with(server: ServerProcess, name: str, *actions: str) -> Credentials:
    """Somebody who may do this and nothing else."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    iam.put_user_policy(UserName=name, PolicyName="some", PolicyDocument=document(allowed))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])
