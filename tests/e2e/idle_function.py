"""A rotation function that Secrets Manager may invoke and that never runs, so that labels move by hand only."""

from __future__ import annotations

import json
import sys

from keyturn.testing.functions import zip_package

from .conftest import ServerProcess


def function_that_never_runs(server: ServerProcess, name: str = "rotate") -> str:
    """Make the function and return its ARN: it has lost its role, so every invocation fails at once."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam, lambda_ = server.client("iam"), server.client("lambda")
    role = iam.create_role(RoleName=f"{name}-gone", AssumeRolePolicyDocument=document)["Role"]["Arn"]
    made = lambda_.create_function(
        FunctionName=name,
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": "def lambda_handler(event, context): pass\n"})},
    )
    lambda_.add_permission(
        FunctionName=name,
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
    )
    iam.delete_role(RoleName=f"{name}-gone")
    arn: str = made["FunctionArn"]
    return arn
