"""An AWS account as the doctor sees it: a healthy rotation, scripted answer by answer, that a test can break."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from botocore import xform_name
from botocore.exceptions import ClientError

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Report
from keyturn.doctor.runner import examine
from keyturn.doctor.subject import Options

from .vpc import FUNCTION_GROUP, OWN_HOST, PRIVATE_A, PRIVATE_B, Network

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
ACCOUNT, REGION = "123456789012", "eu-west-1"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:svc/orders/db-AbCdEf"
OTHER_SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:svc/other/db-GhIjKl"
SUPERUSER = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:svc/superuser-MnOpQr"
NAME = "svc/orders/db"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:rotate-orders"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rotator"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
OTHER_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/99999999-2222-3333-4444-555555555555"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
CURRENT, PREVIOUS, PENDING = (str(UUID(int=number)) for number in (1, 2, 3))

Reply = Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]] | ClientError


def refusal(operation: str, code: str, message: str = "", status: int = 400) -> ClientError:
    """The error that a client raises."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


def ago(**span: float) -> datetime:
    """So long before now."""
    return NOW - timedelta(**span)


def policy(*statements: Mapping[str, object]) -> dict[str, object]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _secret() -> dict[str, Any]:
    return {
        "ARN": SECRET,
        "Name": NAME,
        "RotationEnabled": True,
        "RotationLambdaARN": FUNCTION,
        "RotationRules": {"AutomaticallyAfterDays": 30},
        "CreatedDate": ago(days=400),
        "LastChangedDate": ago(days=12),
        "LastRotatedDate": ago(days=12),
        "NextRotationDate": ago(days=-18),
        "VersionIdsToStages": {CURRENT: ["AWSCURRENT"], PREVIOUS: ["AWSPREVIOUS"]},
    }


def _configuration() -> dict[str, Any]:
    return {
        "FunctionName": "rotate-orders",
        "FunctionArn": FUNCTION,
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "lambda_function.lambda_handler",
        "Timeout": 30,
        "MemorySize": 128,
        "LastModified": "2026-01-05T10:00:00.000+0000",
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "Architectures": ["x86_64"],
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/rotate-orders"},
        "Environment": {"Variables": {"SECRETS_MANAGER_ENDPOINT": f"https://secretsmanager.{REGION}.amazonaws.com"}},
    }


def _function_policy() -> dict[str, Any]:
    return policy(
        {
            "Sid": "SecretsManagerAccess",
            "Effect": "Allow",
            "Principal": {"Service": "secretsmanager.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": FUNCTION,
            "Condition": {"StringEquals": {"AWS:SourceAccount": ACCOUNT}},
        }
    )


def _role_policy() -> dict[str, Any]:
    actions = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
    return policy(
        {"Effect": "Allow", "Action": [f"secretsmanager:{action}" for action in actions], "Resource": SECRET},
        {"Effect": "Allow", "Action": "secretsmanager:GetRandomPassword", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"arn:aws:logs:{REGION}:{ACCOUNT}:*",
        },
    )


def _trust() -> dict[str, Any]:
    return policy({"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"})


def _superuser() -> dict[str, Any]:
    return {"ARN": SUPERUSER, "Name": "svc/superuser", "VersionIdsToStages": {CURRENT: ["AWSCURRENT"]}}


def _value() -> dict[str, Any]:
    return {
        "engine": "postgres",
        "host": "orders.abc123.eu-west-1.rds.amazonaws.com",
        "port": 5432,
        "dbname": "orders",
        "username": "orders",
        "password": "hunter2-Never-Shown",
    }


@dataclass
class World:
    """An account with one secret, its rotation function and what belongs to them. Healthy until something is changed.

    Attributes:
        secret: DescribeSecret's reply.
        configuration: GetFunctionConfiguration's.
        function_policy: The document in GetPolicy's.
        role_policies: Inline policies by name.
        trust: The role's trust policy.
        boundary: The role's permissions boundary.
        secret_policy: The secret's resource policy.
        superuser: What DescribeSecret answers about the superuser secret.
        value: The secret's value; text is stored as it is.
        replies: By action (``lambda:GetPolicy``), whatever else is answered, in place of what follows from the above.
        log: FilterLogEvents' events.
        trail: CloudTrail's records.
        options: How it is looked at.
        network: What EC2 and RDS answer.
    """

    secret: dict[str, Any] = field(default_factory=_secret)
    configuration: dict[str, Any] = field(default_factory=_configuration)
    function_policy: dict[str, Any] | None = field(default_factory=_function_policy)
    role_policies: dict[str, Any] = field(default_factory=lambda: {"rotation": _role_policy()})
    trust: dict[str, Any] = field(default_factory=_trust)
    boundary: dict[str, Any] | None = None
    secret_policy: dict[str, Any] | None = None
    superuser: dict[str, Any] | ClientError = field(default_factory=_superuser)
    value: dict[str, Any] | str | bytes = field(default_factory=_value)
    replies: dict[str, Reply] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    trail: list[dict[str, Any]] = field(default_factory=list)
    options: Options = field(default_factory=Options)
    asked: list[str] = field(default_factory=list)
    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        self.event("RotationSucceeded", at=ago(days=12) + timedelta(seconds=3))

    # To break it.

    def deny(self, *actions: str) -> None:
        """Let the doctor's own principal not make some calls."""
        for action in actions:
            operation = action.partition(":")[2]
            self.replies[action] = refusal(operation, "AccessDeniedException", f"not authorized to perform: {action}")

    def lose(self, action: str, code: str = "ResourceNotFoundException", message: str = "not found") -> None:
        """Let what a call is about be gone."""
        self.replies[action] = refusal(action.partition(":")[2], code, message)

    def fail(self, step: str = "createSecret", *, at: datetime | None = None, secret: str = SECRET) -> None:
        """Let a rotation have failed: its events, and AWSPENDING on a version."""
        at = at or ago(hours=1)
        self.event("RotationStarted", at=at - timedelta(seconds=5), secret=secret)
        message = f"Error when executing lambda {FUNCTION} during {step} step"
        self.event("RotationFailed", at=at, secret=secret, errorCode="LambdaError", errorMessage=message)
        if secret == SECRET:
            self.secret["VersionIdsToStages"][PENDING] = ["AWSPENDING"]

    def run(
        self,
        *lines: str,
        at: datetime | None = None,
        duration_ms: float = 310,
        memory: tuple[int, int] = (128, 82),
        timed_out: float | None = None,
        secret: str | None = SECRET,
    ) -> None:
        """Let the function have run once and written these lines between Lambda's own.

        Args:
            lines: Its own lines.
            at: When it began.
            duration_ms: As reported.
            memory: What it may use and what it has used, in MB.
            timed_out: Seconds after which it was ended.
            secret: The secret that its first line names; None if it names none.
        """
        begin = at or ago(hours=1) - timedelta(seconds=2)
        request_id = str(UUID(int=1000 + len(self.log)))
        named = [f"[INFO]\t{begin:%Y-%m-%dT%H:%M:%S.000Z}\t{request_id}\tsecret {secret}"] if secret else []
        ended = (
            [f"{begin:%Y-%m-%dT%H:%M:%S.000Z} {request_id} Task timed out after {timed_out:.2f} seconds"]
            if timed_out
            else []
        )
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\tBilled Duration: {duration_ms:.0f} ms\t"
            f"Memory Size: {memory[0]} MB\tMax Memory Used: {memory[1]} MB"
        )
        texts = [
            f"START RequestId: {request_id} Version: $LATEST",
            *named,
            *lines,
            *ended,
            f"END RequestId: {request_id}",
            report,
        ]
        for position, text in enumerate(texts):
            at_ms = int(begin.timestamp() * 1000) + position
            self.log.append({"logStreamName": "2026/11/27/[$LATEST]ab", "timestamp": at_ms, "message": text})

    def event(
        self,
        name: str,
        *,
        at: datetime | None = None,
        secret: str | None = SECRET,
        by: str = "",
        parameters: Mapping[str, object] | None = None,
        **more: object,
    ) -> None:
        """Let CloudTrail have an event: of the service itself, or of a call if it has a caller or parameters."""
        at = at or ago(hours=1)
        is_call = bool(by or parameters)
        record: dict[str, object] = {
            "eventVersion": "1.08",
            "eventID": str(UUID(int=5000 + len(self.trail))),
            "eventName": name,
            "eventSource": "secretsmanager.amazonaws.com",
            "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "userIdentity": {"arn": by} if is_call else {"invokedBy": "secretsmanager.amazonaws.com"},
            "requestParameters": {"secretId": secret, **(parameters or {})} if is_call else None,
            **more,
        }
        if not is_call and secret:
            record["additionalEventData"] = {"SecretId": secret}
        self.trail.append(record)

    def denied(self, action: str, resource: str | None, why: str, *, at: datetime | None = None) -> None:
        """Let CloudTrail and the log have a call of the function that was refused."""
        operation = action.partition(":")[2]
        on = f" on resource: {resource}" if resource else ""
        caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/rotator/rotate-orders"
        message = f"User: {caller} is not authorized to perform: {action}{on} {why}"
        self.event(
            operation,
            at=at,
            secret=resource,
            by=caller,
            parameters={},
            errorCode="AccessDenied",
            errorMessage=message,
        )
        said = (
            f"[ERROR] ClientError: An error occurred (AccessDeniedException) when calling the {operation} operation: "
        )
        self.run(f"{said}{message}\nTraceback (most recent call last):", at=at)

    def refused_key(self, operation: str = "GetSecretValue") -> None:
        """Let CloudTrail and the log have a call that KMS has refused."""
        caller = f"arn:aws:sts::{ACCOUNT}:assumed-role/rotator/rotate-orders"
        message = "Access to KMS is not allowed"
        self.event(operation, by=caller, parameters={}, errorCode="AccessDenied", errorMessage=message)
        said = f"An error occurred (AccessDeniedException) when calling the {operation} operation: {message}"
        self.run(f"[ERROR] ClientError: {said}\nTraceback (most recent call last):")

    def with_boundary(self, document: dict[str, Any]) -> None:
        """Give the role a permissions boundary."""
        self.boundary = document

    def with_key(self) -> None:
        """Put the secret under a customer managed key, with everything that takes."""
        self.secret["KmsKeyId"] = KEY
        self.replies["kms:DescribeKey"] = {
            "KeyMetadata": {
                "Arn": KEY,
                "KeyId": KEY.rpartition("/")[2],
                "KeyState": "Enabled",
                "Enabled": True,
                "KeyManager": "CUSTOMER",
                "KeySpec": "SYMMETRIC_DEFAULT",
                "KeyUsage": "ENCRYPT_DECRYPT",
            }
        }
        root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
        document = policy({"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"})
        self.replies["kms:GetKeyPolicy"] = {"Policy": json.dumps(document)}
        self.replies["kms:ListGrants"] = {"Grants": []}
        self.role_policies["key"] = policy(
            {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": KEY}
        )

    def with_superuser(self) -> None:
        """Let the function log in as a superuser, whose secret its role may read."""
        self.value = {**_value(), "masterarn": SUPERUSER}
        self.role_policies["superuser"] = policy(
            {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": SUPERUSER}
        )

    def in_vpc(self) -> None:
        """Put the function into private subnets behind a NAT gateway, and its database beside them."""
        self.configuration["VpcConfig"] = {
            "SubnetIds": [PRIVATE_A, PRIVATE_B],
            "SecurityGroupIds": [FUNCTION_GROUP],
            # moto tells this one of every function.
            "VpcId": "vpc-123abc",
        }
        self.network.shut_in()

    def with_value(self) -> None:
        """Look with --read-value."""
        self.options = Options(read_value=True)

    def with_probe(self, found: Mapping[str, Any]) -> None:
        """Let it be Keyturn, which tells this of where the function runs."""
        self.options = Options(may_be_keyturn=True)
        self.replies["keyturn:ListRotations"] = {"Rotations": []}
        self.replies["keyturn:ProbeFunctionNetwork"] = {"Probes": [], **found}

    def with_last_look(
        self, *causes: str, verdict: str = "will fail", at: datetime | None = None, accepted: tuple[str, ...] = ()
    ) -> None:
        """Let it be Keyturn, whose last look from inside the sandbox has found this.

        Args:
            causes: Items that failed with their codes, and drifts.
            verdict: What they mean.
            at: When it was made.
            accepted: Items that were tried, and in order.
        """
        failed = [cause.split(":") for cause in causes if not cause.startswith("drift:")]
        is_drift = any(cause.startswith("drift:") for cause in causes)
        self.options = Options(may_be_keyturn=True)
        self.replies["keyturn:ListRotations"] = {"Rotations": []}
        self.replies["keyturn:GetRotationPreflight"] = {
            "Verdict": verdict,
            "Heartbeat": "drift" if is_drift else "unknown",
            "Causes": list(causes),
            "CheckedAt": at or ago(hours=3),
            "Items": [
                *({"Item": item, "Status": "failed", "Code": code, "Reason": "refused"} for item, code in failed),
                *({"Item": item, "Status": "ok", "Code": "Ok", "Reason": ""} for item in accepted),
            ],
        }

    def store(self, at: datetime | None = None) -> None:
        """Let somebody have stored another current value."""
        at = at or ago(hours=2)
        self.replies["secretsmanager:ListSecretVersionIds"] = {"Versions": [{"VersionId": CURRENT, "CreatedDate": at}]}
        self.secret["LastChangedDate"] = at

    def with_own_database(self, address: str = OWN_HOST) -> None:
        """Let the value have a server of one's own by its private address, and look with --read-value."""
        self.with_value()
        self.value = {**_value(), "host": address}

    # What is answered.

    def ask(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a call as a client does."""
        action = f"{service}:{operation}"
        self.asked.append(action)
        reply = self.replies.get(action)
        if reply is None:
            method = getattr(self, f"_{service}_{xform_name(operation)}", None)
            if method is None and (answer := self.network.answer(service, operation, parameters)) is not None:
                return answer
            if method is None:
                raise refusal(operation, "NotImplementedException", f"{action} is not offered", 400)
            reply = method(parameters)
        if callable(reply):
            reply = reply(parameters)
        if isinstance(reply, ClientError):
            raise reply
        return reply

    def _secretsmanager_describe_secret(self, parameters: Mapping[str, Any]) -> Reply:
        if parameters["SecretId"] in (SECRET, NAME):
            return self.secret
        if parameters["SecretId"] == SUPERUSER:
            return self.superuser
        return refusal(
            "DescribeSecret", "ResourceNotFoundException", "Secrets Manager can't find the specified secret."
        )

    def _secretsmanager_list_secret_version_ids(self, _: Mapping[str, Any]) -> Reply:
        versions = [
            {"VersionId": version_id, "VersionStages": labels, "CreatedDate": ago(days=12)}
            for version_id, labels in self.secret["VersionIdsToStages"].items()
        ]
        return {"Versions": versions}

    def _secretsmanager_get_resource_policy(self, parameters: Mapping[str, Any]) -> Reply:
        reply = {"ARN": parameters["SecretId"], "Name": "any"}
        if self.secret_policy is None or parameters["SecretId"] != SECRET:
            return reply
        return {**reply, "ResourcePolicy": json.dumps(self.secret_policy)}

    def _secretsmanager_get_secret_value(self, _: Mapping[str, Any]) -> Reply:
        if isinstance(self.value, bytes):
            return {"SecretBinary": self.value}
        return {"SecretString": self.value if isinstance(self.value, str) else json.dumps(self.value)}

    def _lambda_get_function_configuration(self, _: Mapping[str, Any]) -> Reply:
        return self.configuration

    def _lambda_get_policy(self, _: Mapping[str, Any]) -> Reply:
        if self.function_policy is None:
            return refusal("GetPolicy", "ResourceNotFoundException", "The resource you requested does not exist.")
        return {"Policy": json.dumps(self.function_policy)}

    def _lambda_list_aliases(self, _: Mapping[str, Any]) -> Reply:
        return {"Aliases": []}

    def _lambda_get_function_concurrency(self, _: Mapping[str, Any]) -> Reply:
        return {}

    def _lambda_list_provisioned_concurrency_configs(self, _: Mapping[str, Any]) -> Reply:
        return {"ProvisionedConcurrencyConfigs": []}

    def _iam_get_role(self, _: Mapping[str, Any]) -> Reply:
        role: dict[str, Any] = {
            "Arn": ROLE,
            "RoleName": "rotator",
            "RoleId": "AROA0000000000000ROLE",
            "AssumeRolePolicyDocument": self.trust,
        }
        if self.boundary is not None:
            role["PermissionsBoundary"] = {"PermissionsBoundaryArn": BOUNDARY}
        return {"Role": role}

    def _iam_get_policy(self, parameters: Mapping[str, Any]) -> Reply:
        return {"Policy": {"Arn": parameters["PolicyArn"], "DefaultVersionId": "v1"}}

    def _iam_get_policy_version(self, _: Mapping[str, Any]) -> Reply:
        return {"PolicyVersion": {"Document": self.boundary}}

    def _iam_list_role_policies(self, _: Mapping[str, Any]) -> Reply:
        return {"PolicyNames": list(self.role_policies)}

    def _iam_get_role_policy(self, parameters: Mapping[str, Any]) -> Reply:
        return {"PolicyDocument": self.role_policies[parameters["PolicyName"]]}

    def _iam_list_attached_role_policies(self, _: Mapping[str, Any]) -> Reply:
        return {"AttachedPolicies": []}

    def _logs_describe_log_groups(self, _: Mapping[str, Any]) -> Reply:
        name = "/aws/lambda/rotate-orders"
        return {"logGroups": [{"logGroupName": name, "arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"}]}

    def _logs_filter_log_events(self, parameters: Mapping[str, Any]) -> Reply:
        begin, end = parameters["startTime"], parameters["endTime"]
        return {"events": [event for event in self.log if begin <= event["timestamp"] <= end]}

    def _cloudwatch_get_metric_statistics(self, _: Mapping[str, Any]) -> Reply:
        return {"Label": "any", "Datapoints": []}

    def _cloudtrail_lookup_events(self, parameters: Mapping[str, Any]) -> Reply:
        [attribute] = parameters["LookupAttributes"]
        wanted = attribute["AttributeValue"]
        is_named = attribute["AttributeKey"] == "EventName"
        found = [
            record
            for record in self.trail
            if (
                record["eventName"] == wanted
                if is_named
                else str(record["userIdentity"].get("arn", "")).endswith(wanted)
            )
        ]
        return {
            "Events": [
                {
                    "EventId": record["eventID"],
                    "EventName": record["eventName"],
                    "EventTime": datetime.fromisoformat(record["eventTime"]),
                    "CloudTrailEvent": json.dumps(record),
                }
                for record in reversed(found)
            ]
        }


def diagnosed(world: World) -> Report:
    """Return the doctor's diagnosis of a world."""
    return examine(collect(Facts(world.ask), SECRET, NOW, world.options))
