"""A rotation function that needs no database, for clients that only want to see a rotation asked for."""

from __future__ import annotations

import json
import sys

from keyturn.testing.functions import zip_package

from .conftest import ServerProcess

_NAME = "SecretsManagerTestRotationLambda"
_SOURCE = """
import boto3

def lambda_handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString="rotated", VersionStages=["AWSPENDING"]
        )
    if event["Step"] == "finishSecret":
        stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
        current = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)
        client.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
        )
"""


def document(*statements: object) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def create_rotation_function(server: ServerProcess, name: str = _NAME, source: str = _SOURCE) -> str:
    """Create the function, its role and the permission to invoke it, and return its ARN."""
    iam, functions = server.client("iam"), server.client("lambda")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))["Role"]["Arn"]
    rotate = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}
    iam.put_role_policy(RoleName=name, PolicyName="rotate", PolicyDocument=document(rotate))
    arn: str = functions.create_function(
        FunctionName=name,
        Runtime=f"python3.{sys.version_info.minor}",
        Role=role,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zip_package({"lambda_function.py": source})},
        Timeout=30,
    )["FunctionArn"]
    functions.add_permission(
        FunctionName=name,
        Principal="secretsmanager.amazonaws.com",
        Action="lambda:InvokeFunction",
        StatementId="SecretsManagerAccess",
    )
    return arn
