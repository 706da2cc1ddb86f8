"""An AWS account with one rotation that is due and fails, in the shapes that AWS answers and logs.

It stands on the scripted account of the contract tests and differs from it where a real account does: service events
without an error code, a log as Lambda's runtimes write it, a VPC whose calls honour identifiers and filters.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.contract.doctor.world import (
    ACCOUNT,
    CURRENT,
    FUNCTION,
    KEY,
    NAME,
    NOW,
    OTHER_SECRET,
    PENDING,
    PREVIOUS,
    REGION,
    ROLE,
    SECRET,
    SUPERUSER,
    Reply,
    World,
    ago,
    policy,
    refusal,
)

from . import lines
from .network import EVERYWHERE, Network, allow

__all__ = [
    "ACCOUNT", "CURRENT", "FUNCTION", "KEY", "NAME", "NOW", "OTHER_SECRET", "PENDING", "PREVIOUS", "REGION", "ROLE",
    "SECRET", "SESSION", "SUPERUSER", "Account", "ago", "policy", "refusal",
]  # fmt: skip

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/rotator/rotate-orders"
"""The function, as others see it call."""
FAILED_AT = ago(hours=1)


@dataclass
class Account(World):
    """A world in AWS's shapes.

    Attributes:
        json_log: Whether the function logs JSON.
        vpc: The function's VPC, if it is in one.
        metrics: By name, the sum of AWS/Lambda's metric.
        databases: Replies of ``rds``, by their member.
        pending_since: Since when AWSPENDING is where it is.
        texts: Names that are others in this account, see ``disguise.py``.
    """

    json_log: bool = False
    vpc: Network | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    databases: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pending_since: datetime | None = None
    texts: Sequence[tuple[str, str]] = ()
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    # What goes wrong.

    def due(self, *, days: int = 31) -> None:
        """Let the last good rotation be so long ago that the next one was to be some hours ago."""
        last = ago(days=days)
        self.trail.clear()
        self.succeeded(at=last + timedelta(seconds=3))
        self.secret |= {
            "LastRotatedDate": last,
            "LastChangedDate": last,
            "NextRotationDate": last + timedelta(days=30),
        }

    def succeeded(self, *, at: datetime) -> None:
        """Let CloudTrail have a good rotation."""
        self.service_event("RotationStarted", at=at - timedelta(seconds=3))
        self.service_event("RotationSucceeded", at=at)

    def failing(self, step: str = "createSecret", *, at: datetime = FAILED_AT, retries: int = 0) -> None:
        """Let it be due and have failed, once and so many times again."""
        self.due()
        for number in range(retries + 1):
            moment = at - timedelta(minutes=7) * (retries - number)
            self.service_event("RotationStarted", at=moment - timedelta(seconds=35))
            self.failed(step, at=moment)
        self.pending(since=at - timedelta(minutes=7) * retries - timedelta(seconds=35))

    def failed(self, step: str, *, at: datetime, secret: str = SECRET) -> None:
        """Let CloudTrail have a failed rotation, as AWS words it."""
        said = f"Error when executing lambda {self.secret['RotationLambdaARN']} during {step} step"
        self.service_event("RotationFailed", at=at, secret=secret, errorMessage=said)

    def pending(self, *, since: datetime, version_id: str = PENDING) -> None:
        """Let AWSPENDING have been on a version since then."""
        self.secret["VersionIdsToStages"][version_id] = ["AWSPENDING"]
        self.pending_since = since

    def service_event(self, name: str, *, at: datetime, secret: str = SECRET, **more: object) -> None:
        """Let CloudTrail have one of Secrets Manager's own events, in their real shape."""
        self.trail.append(
            {
                "eventVersion": "1.08",
                "userIdentity": {"accountId": ACCOUNT, "invokedBy": "secretsmanager.amazonaws.com"},
                "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "eventSource": "secretsmanager.amazonaws.com",
                "eventName": name,
                "awsRegion": REGION,
                "sourceIPAddress": "secretsmanager.amazonaws.com",
                "userAgent": "secretsmanager.amazonaws.com",
                "requestParameters": None,
                "responseElements": None,
                "additionalEventData": {"SecretId": secret},
                "requestID": f"Rotation-{secret}-{PENDING}",
                "eventID": self._uuid(),
                "readOnly": False,
                "eventType": "AwsServiceEvent",
                "managementEvent": True,
                **more,
            }
        )

    def call(
        self, name: str, *, by: str, at: datetime = FAILED_AT, parameters: Mapping[str, object] | None = None,
        error: tuple[str, str] | None = None, source: str = "secretsmanager.amazonaws.com",
    ) -> None:  # fmt: skip
        """Let CloudTrail have somebody's call, with its error's code and message if it was refused."""
        is_session = ":assumed-role/" in by
        refused = {} if error is None else {"errorCode": error[0], "errorMessage": error[1]}
        self.trail.append(
            {
                "eventVersion": "1.09",
                "userIdentity": {
                    "type": "AssumedRole" if is_session else "IAMUser",
                    "arn": by,
                    "accountId": ACCOUNT,
                    **({"principalId": "AROAEXAMPLE:" + by.rpartition("/")[2]} if is_session else {}),
                },
                "eventTime": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                "eventSource": source,
                "eventName": name,
                "awsRegion": REGION,
                "sourceIPAddress": "198.51.100.7",
                "requestParameters": parameters if error is None or parameters else None,
                "responseElements": None,
                "eventID": self._uuid(),
                "eventType": "AwsApiCall",
                **refused,
            }
        )

    def refused(
        self, action: str, resource: str | None = SECRET, why: str = "", *, function: str = "create_secret",
        in_log: bool = True, in_trail: bool = True, at: datetime = FAILED_AT,
    ) -> None:  # fmt: skip
        """Let a call of the function have been denied: in its log with a trace, and in CloudTrail."""
        operation = action.partition(":")[2]
        why = why or f"because no identity-based policy allows the {action} action"
        message = lines.denial(SESSION, action, resource, why)
        if in_trail:
            parameters = {"secretId": resource} if resource else {}
            service = action.partition(":")[0]
            self.call(
                operation,
                by=SESSION,
                at=at - timedelta(seconds=1),
                parameters=parameters,
                error=("AccessDenied", message),
                source=f"{service}.amazonaws.com",
            )
        if in_log:
            self.raised(
                "ClientError",
                f"An error occurred (AccessDeniedException) when calling the {operation} operation: {message}",
                function=function,
                at=at - timedelta(seconds=2),
            )

    # The function's log.

    def ran(
        self, *said: lines.Said, at: datetime = FAILED_AT - timedelta(seconds=2), ms: float = 310.25,
        memory: tuple[int, int] = (128, 82), timed_out: float | None = None, secret: str | None = None,
        stream: str = "2026/11/27/[$LATEST]5f0a", status: str | None = None, error_type: str | None = None,
    ) -> None:  # fmt: skip
        """Let the function have run once.

        Args:
            said: What it said between Lambda's own lines.
            at: When it began.
            ms: How long it took.
            memory: MB that it may use, MB that it has used.
            timed_out: Seconds after which it was ended.
            secret: An ARN that a line of its own names; the sample functions name none unless they have got somewhere.
            stream: Log stream.
            status: Of the platform's report in JSON, if neither that of success nor of a time-out.
            error_type: Likewise.
        """
        named = [] if secret is None else [lines.info(f"rotating {secret}")]
        ms = timed_out * 1000 if timed_out else ms
        run = lines.Run(self._uuid(), at, ms, memory, timed_out, status, error_type)
        texts = run.as_json([*named, *said]) if self.json_log else run.as_text([*named, *said])
        self.raw(*texts, at=at, stream=stream, over_ms=ms)
        self.metrics["Invocations"] = self.metrics.get("Invocations", 0) + 1

    def raw(self, *texts: str, at: datetime, stream: str = "2026/11/27/[$LATEST]5f0a", over_ms: float = 100) -> None:
        """Let the log have these lines as they are; the last of them that much later than the first."""
        begin = int(at.timestamp() * 1000)
        for position, text in enumerate(texts):
            later = int(over_ms * position / max(1, len(texts) - 1))
            self.log.append({"logStreamName": stream, "timestamp": begin + later, "message": text, "eventId": "1"})

    def raised(
        self, error: str, message: str, *, function: str = "create_secret", said: Sequence[lines.Said] = (), **run: Any
    ) -> None:
        """Let the function have raised an error in one of its functions, which the runtime logs with a trace."""
        self.ran(lines.CREDENTIALS, *said, lines.Raised(error, message, function), **run)

    def template(self, message: str, *, step: str = "setSecret", error: str = "ValueError", **run: Any) -> None:
        """Let one of AWS's sample functions have logged a message and raised it, as they do."""
        function = {"createSecret": "create_secret", "setSecret": "set_secret", "testSecret": "test_secret"}[step]
        bare = message.partition(": ")[2] if message.startswith(f"{step}: ") else message
        self.raised(error, bare, function=function, said=[lines.error(message)], **run)

    def timed_out(self, *, at: datetime = FAILED_AT - timedelta(seconds=31), seconds: float = 30.03) -> None:
        """Let the function have waited for its first answer until it was ended."""
        self.ran(lines.CREDENTIALS, at=at, timed_out=seconds)

    # What belongs to it.

    def in_vpc(self) -> Network:  # type: ignore[override]  # another fake's VPC
        """Put the function into a VPC: two private subnets with a way out through a NAT gateway."""
        self.vpc = Network()
        self.configuration["VpcConfig"] = {
            "SubnetIds": ["subnet-private-a", "subnet-private-b"],
            "SecurityGroupIds": ["sg-function"],
            "VpcId": "vpc-1",
        }
        self.role_policies["vpc"] = policy(
            {
                "Effect": "Allow",
                "Action": [
                    "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface",
                    "ec2:DetachNetworkInterface", "ec2:DescribeSubnets", "ec2:AssignPrivateIpAddresses",
                    "ec2:UnassignPrivateIpAddresses",
                ],
                "Resource": "*",
            }
        )  # fmt: skip
        return self.vpc

    def with_instance(self, **changes: Any) -> None:
        """Let the value's host be a private RDS instance in the same VPC, which the function may reach."""
        self.databases["DBInstances"] = [
            {
                "DBInstanceIdentifier": "orders",
                "DBInstanceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:orders",
                "DBInstanceStatus": "available",
                "Engine": "postgres",
                "EngineVersion": "16.3",
                "Endpoint": {"Address": "orders.abc123.eu-west-1.rds.amazonaws.com", "Port": 5432},
                "PubliclyAccessible": False,
                "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-database", "Status": "active"}],
                "DBSubnetGroup": {
                    "VpcId": "vpc-1",
                    "Subnets": [{"SubnetIdentifier": "subnet-database", "SubnetStatus": "Active"}],
                },
                **changes,
            }
        ]
        super().with_value()

    def with_value(self) -> None:
        """Look with --read-value; the database that the value names is there."""
        if self.vpc is None:
            self.vpc = Network()
            self.vpc.group("sg-database")["IpPermissions"] = [allow("tcp", 5432, EVERYWHERE)]
        self.with_instance(PubliclyAccessible="VpcConfig" not in self.configuration)

    def uses(self, function_arn: str) -> None:
        """Let the secret name another ARN as its function."""
        self.secret["RotationLambdaARN"] = function_arn

    def _uuid(self) -> str:
        return str(UUID(int=0x7000_0000_0000_0000_0000_0000_0000_0000 + next(self._numbers)))

    # What AWS answers.

    def ask(self, service: str, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer a call as a client does."""
        if f"{service}:{operation}" not in self.replies:
            if service == "ec2":
                self.asked.append(f"ec2:{operation}")
                return (self.vpc or Network()).ask(operation, parameters)
            if service == "rds":
                return self._rds(operation, parameters)
        return super().ask(service, operation, parameters)

    def _rds(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(f"rds:{operation}")
        if operation not in _RDS:
            raise refusal(operation, "NotImplementedException", f"rds:{operation} is not offered")
        member, identifier, missing = _RDS[operation]
        found = self.databases.get(member, [])
        if identifier in parameters:
            found = [each for each in found if each[identifier] == parameters[identifier]]
            if not found:
                raise refusal(operation, missing, f"{parameters[identifier]} not found.", 404)
        return {member: found}

    def _secretsmanager_list_secret_version_ids(self, _: Mapping[str, Any]) -> Reply:
        return {
            "Versions": [
                {
                    "VersionId": version_id,
                    "VersionStages": labels,
                    "CreatedDate": self.pending_since
                    if "AWSPENDING" in labels and "AWSCURRENT" not in labels and self.pending_since
                    else self.secret.get("LastRotatedDate", ago(days=12)),
                }
                for version_id, labels in self.secret["VersionIdsToStages"].items()
            ]
        }

    def _logs_describe_log_groups(self, parameters: Mapping[str, Any]) -> Reply:
        prefix = parameters.get("logGroupNamePrefix", "")
        name = self.configuration["LoggingConfig"]["LogGroup"]
        if not name.startswith(prefix):
            return {"logGroups": []}
        return {"logGroups": [{"logGroupName": name, "arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"}]}

    def _logs_filter_log_events(self, parameters: Mapping[str, Any]) -> Reply:
        if parameters["logGroupName"] != self.configuration["LoggingConfig"]["LogGroup"]:
            return refusal("FilterLogEvents", "ResourceNotFoundException", "The specified log group does not exist.")
        return super()._logs_filter_log_events(parameters)

    def _logs_describe_log_streams(self, _: Mapping[str, Any]) -> Reply:
        streams = {event["logStreamName"] for event in self.log}
        return {"logStreams": [{"logStreamName": name} for name in sorted(streams)]}

    def _cloudwatch_get_metric_statistics(self, parameters: Mapping[str, Any]) -> Reply:
        total = self.metrics.get(parameters["MetricName"], 0)
        points = [{"Timestamp": FAILED_AT, "Sum": total, "Maximum": total, "SampleCount": 1.0, "Unit": "Count"}]
        return {"Label": parameters["MetricName"], "Datapoints": points if total else []}

    def _lambda_get_account_settings(self, _: Mapping[str, Any]) -> Reply:
        limit = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}
        return {"AccountLimit": limit, "AccountUsage": {"FunctionCount": 12}}


_RDS = {
    "DescribeDBInstances": ("DBInstances", "DBInstanceIdentifier", "DBInstanceNotFound"),
    "DescribeDBClusters": ("DBClusters", "DBClusterIdentifier", "DBClusterNotFoundFault"),
    "DescribeDBProxies": ("DBProxies", "DBProxyName", "DBProxyNotFoundFault"),
}
