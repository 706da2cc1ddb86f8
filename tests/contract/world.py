"""What the front door's contracts need around them: secrets, a rotation function that works, callers without rights."""

from __future__ import annotations

import json
import re
import sys
import uuid
from functools import cached_property
from typing import Any

from tests.e2e.conftest import Account, Credentials, ServerProcess, wait_until

from keyturn.testing.functions import zip_package

ROTATES = """
import boto3


def handler(event, context):
    client, secret, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        client.put_secret_value(
            SecretId=secret, ClientRequestToken=token, SecretString="rotated", VersionStages=["AWSPENDING"]
        )
    if event["Step"] == "finishSecret":
        stages = client.describe_secret(SecretId=secret)["VersionIdsToStages"]
        (current,) = [version for version, labels in stages.items() if "AWSCURRENT" in labels]
        client.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current
        )
        client.update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=token)
"""
FAILS = """
def handler(event, context):
    raise RuntimeError(event["Step"])
"""
_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_ALLOW_ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
_TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


class World:
    """One server as its administrator sees it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.client = server.client("secretsmanager")
        self.elsewhere = server.client("secretsmanager", region="eu-central-1")

    def call(self, operation: str, **request: Any) -> Any:
        """Make a call by the operation's own name."""
        return getattr(self.client, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())(**request)

    def secret(self, **members: Any) -> str:
        """Make a secret with a value and return its name."""
        request = {"Name": f"contract/{uuid.uuid4().hex}", "SecretString": "value", **members}
        name: str = self.client.create_secret(**request)["Name"]
        return name

    def dead_secret(self) -> str:
        """Make a secret that is scheduled for deletion."""
        name = self.secret()
        self.client.delete_secret(SecretId=name)
        return name

    def version(self, secret: str) -> str:
        """The version that is current."""
        version_id: str = self.client.get_secret_value(SecretId=secret)["VersionId"]
        return version_id

    def function(self, name: str, source: str = ROTATES) -> str:
        """Make a rotation function that Secrets Manager may invoke."""
        lambda_ = self.server.client("lambda")
        package = zip_package({"lambda_function.py": source})
        arn: str = lambda_.create_function(
            FunctionName=name,
            Runtime=_RUNTIME,
            Role=self._role,
            Handler="lambda_function.handler",
            Code={"ZipFile": package},
            Timeout=20,
        )["FunctionArn"]
        lambda_.add_permission(
            FunctionName=name,
            Principal="secretsmanager.amazonaws.com",
            Action="lambda:InvokeFunction",
            StatementId="SecretsManagerAccess",
        )
        return arn

    def wait_for_rotation(self, secret: str, version_id: str) -> None:
        """Wait until a rotation has made its version current and is recorded as done."""

        def is_done() -> bool:
            described = self.client.describe_secret(SecretId=secret)
            stages = described["VersionIdsToStages"].get(version_id, ())
            return list(stages) == ["AWSCURRENT"] and "LastRotatedDate" in described

        wait_until(is_done, f"rotation of {secret}", self.server)

    def caller(self, *statements: dict[str, Any]) -> Credentials:
        """Make a user with these rights and no others."""
        name = f"caller-{uuid.uuid4().hex[:8]}"
        iam = self.server.client("iam")
        iam.create_user(UserName=name)
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def key(self, *, enabled: bool = True) -> str:
        """Make a customer managed key and return its id."""
        kms = self.server.client("kms")
        key_id: str = kms.create_key()["KeyMetadata"]["KeyId"]
        if not enabled:
            kms.disable_key(KeyId=key_id)
        return key_id

    def arn(self, secret: str) -> str:
        """The ARN of a secret."""
        arn: str = self.client.describe_secret(SecretId=secret)["ARN"]
        return arn

    def account_replica(self, primary: str) -> str:
        """Make a replica in another account, which waits to be associated, and return its ARN."""
        theirs = self.server.client("secretsmanager", self._other_account.admin)
        name = f"contract/{uuid.uuid4().hex}"
        arn: str = theirs.create_secret(Name=name, KmsKeyId=self._shared_key, CrossAccountPrimaryARN=primary)["ARN"]
        return arn

    def primary_of_account_replica(self) -> str:
        """Make a secret with a replica in another account and return its ARN."""
        primary = self.arn(self.secret())
        self.client.associate_cross_account_replica(
            SecretId=primary, CrossAccountReplicaARN=self.account_replica(primary)
        )
        return primary

    @cached_property
    def working_function(self) -> str:
        """A function that rotates."""
        return self.function("rotates")

    @cached_property
    def failing_function(self) -> str:
        """A function that fails in every step."""
        return self.function("fails", FAILS)

    @cached_property
    def key_alias(self) -> str:
        """An alias of a customer managed key."""
        self.server.client("kms").create_alias(AliasName="alias/contract", TargetKeyId=self.key())
        return "alias/contract"

    @cached_property
    def _other_account(self) -> Account:
        return self.server.create_account("contract")

    @cached_property
    def _shared_key(self) -> str:
        """A key of the other account that all may use."""
        kms = self.server.client("kms", self._other_account.admin)
        arn: str = kms.create_key()["KeyMetadata"]["Arn"]
        everybody = {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}
        kms.put_key_policy(KeyId=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))
        return arn

    @cached_property
    def _role(self) -> str:
        iam = self.server.client("iam")
        arn: str = iam.create_role(RoleName="contract", AssumeRolePolicyDocument=_TRUST)["Role"]["Arn"]
        iam.put_role_policy(RoleName="contract", PolicyName="all", PolicyDocument=_ALLOW_ALL)
        return arn
