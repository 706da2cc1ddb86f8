"""AWS's guide to troubleshooting rotation, followed with the AWS CLI.

Commands and policies are those that the guide prints, trailing commas included.
Source: AWS Secrets Manager User Guide, "Troubleshooting AWS Secrets Manager Rotation of Secrets" (2018 to 2022).
"""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

from .conftest import DEADLINE_SECONDS, ServerProcess, wait_until
from .test_awscli import TODAYS, Cli

ADD_PERMISSION = (
    "aws lambda add-permission --function-name ARN_of_lambda_function --principal secretsmanager.amazonaws.com"
    " --action lambda:InvokeFunction --statement-id SecretsManagerAccess"
)
SINGLE_SECRET = """\
{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": [
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetRandomPassword",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:UpdateSecretVersionStage",
            ],
            "Resource": "*"
        }
    ]
}
"""
MASTER_SECRET = """\
{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "AllowAccessToSecretsManagerAPIs",
            "Effect": "Allow",
            "Action": [
                "secretsmanager:DescribeSecret",
                "secretsmanager:GetRandomPassword",
                "secretsmanager:GetSecretValue",
                "secretsmanager:PutSecretValue",
                "secretsmanager:UpdateSecretVersionStage",
            ],
            "Resource": "*"
        },
        {
            "Sid": "AllowAccessToMasterSecret",
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "<arn_of_master_secret>"
        }
    ]
}
"""
MASTER_STATEMENT = """\
{
    "Sid": "AllowAccessToMasterSecret",
    "Effect": "Allow",
    "Action": "secretsmanager:GetSecretValue",
    "Resource": "ARN_of_master_secret"
}
"""
FIVE_ACTIONS = ["DescribeSecret", "GetRandomPassword", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"]
UNFINISHED = (
    "An error occurred (InvalidRequestException) when calling the RotateSecret operation: A previous rotation isn't"
    " complete. That rotation will be reattempted."
)


def corrected(policy: str) -> str:
    """The guide's policy without the commas that are too many."""
    return policy.replace(",\n            ]", "\n            ]")


class Guide(Cli):
    """The AWS CLI, and what a reader of the guide looks at with it."""

    @classmethod
    def on(cls, server: ServerProcess) -> Guide:
        return cls(TODAYS, ("--output", "json"), server.environ())

    def verbatim(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as it is printed, in a shell."""
        return subprocess.run(
            ["bash", "-euc", command], env=self.environ, capture_output=True, text=True, timeout=DEADLINE_SECONDS
        )

    def add_permission(self, function_arn: str, *options: str) -> subprocess.CompletedProcess[str]:
        """The guide's command, with the function's ARN filled in, and what is put behind it."""
        command = ADD_PERMISSION.replace("ARN_of_lambda_function", shlex.quote(function_arn))
        return self.verbatim(shlex.join([*shlex.split(command), *options]))

    def rotate(self, secret: str, function_arn: str, *options: str) -> Any:
        return self(
            "secretsmanager", "rotate-secret", "--secret-id", secret, "--rotation-lambda-arn", function_arn, *options
        )

    def rotation_refused(self, secret: str, function_arn: str) -> str:
        return self.refused(
            "secretsmanager", "rotate-secret", "--secret-id", secret, "--rotation-lambda-arn", function_arn,
            "--rotation-rules", "AutomaticallyAfterDays=30",
        )  # fmt: skip

    def put_policy(self, role: str, document: str, folder: Path, name: str = "rotate") -> str:
        """Give a role a policy that stands in a file, as the guide has it; return what the CLI says of a refusal."""
        file = folder / "policy.json"
        file.write_text(document)
        done = self.run(
            "iam", "put-role-policy", "--role-name", role, "--policy-name", name, "--policy-document", f"file://{file}"
        )
        return done.stderr.strip()

    def log(self, function_name: str) -> list[str]:
        """What a function has printed."""
        found = self("logs", "filter-log-events", "--log-group-name", f"/aws/lambda/{function_name}")
        return [event["message"] for event in found["events"]]

    def trail(self, event_name: str, about: str) -> list[dict[str, Any]]:
        """Events of a name in which something stands, oldest first."""
        attribute = f"AttributeKey=EventName,AttributeValue={event_name}"
        found = self("cloudtrail", "lookup-events", "--lookup-attributes", attribute)["Events"]
        return [json.loads(each["CloudTrailEvent"]) for each in reversed(found) if about in each["CloudTrailEvent"]]

    def denials(self, event_name: str, about: str) -> list[dict[str, Any]]:
        """Those of the events that tell of a denied call."""
        return [event for event in self.trail(event_name, about) if event.get("errorCode") == "AccessDenied"]

    def wait_for(self, event_name: str, about: str, server: ServerProcess, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many events."""
        # Asked again and again without the CLI: each of its starts takes half a second.
        attributes = [{"AttributeKey": "EventName", "AttributeValue": event_name}]
        trail = server.client("cloudtrail")

        def are_there() -> bool:
            found = trail.lookup_events(LookupAttributes=attributes)["Events"]
            return sum(about in each["CloudTrailEvent"] for each in found) >= count

        wait_until(are_there, f"{event_name} of {about}", server)
        return self.trail(event_name, about)
