"""The log cannot be found, or says nothing."""

from __future__ import annotations

from typing import Any

from tests.corpus import lines
from tests.corpus.account import ACCOUNT, REGION, SECRET, Account, ago, policy, refusal
from tests.corpus.cases import AT_RISK, HEALTHY, INCONCLUSIVE, Family

logs = Family("log", "AWS documentation: Troubleshoot rotation, find the diagnostic logs; Lambda, log configuration")

GROUP = "/aws/lambda/rotate-orders"


def _no_logs_allowed(account: Account) -> None:
    rotation = account.role_policies["rotation"]
    rotation["Statement"] = [each for each in rotation["Statement"] if "logs:PutLogEvents" not in each["Action"]]


def _no_group(account: Account) -> None:
    account.replies["logs:DescribeLogGroups"] = {"logGroups": []}
    said = "The specified log group does not exist."
    account.replies["logs:FilterLogEvents"] = refusal("FilterLogEvents", "ResourceNotFoundException", said)


@logs.fault("logs-role-cannot-write")
def it_fails_and_may_not_say_why(account: Account) -> None:
    account.failing()
    _no_logs_allowed(account)
    _no_group(account)


@logs.nothing(*AT_RISK, notes=("logs-role-cannot-write",))
def it_rotates_and_may_not_log(account: Account) -> None:
    _no_logs_allowed(account)
    _no_group(account)


@logs.nothing(*HEALTHY)
def it_may_log_by_a_managed_policy(account: Account) -> None:
    _no_logs_allowed(account)
    name = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    document = policy(
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "*",
        }
    )
    _managed(account, {name: document})


def _managed(account: Account, documents: dict[str, dict[str, Any]]) -> None:
    attached = [{"PolicyArn": name, "PolicyName": name.rpartition("/")[2]} for name in documents]
    account.replies["iam:ListAttachedRolePolicies"] = {"AttachedPolicies": attached}
    account.replies["iam:GetPolicy"] = lambda asked: {"Policy": {"Arn": asked["PolicyArn"], "DefaultVersionId": "v1"}}
    account.replies["iam:GetPolicyVersion"] = lambda asked: {
        "PolicyVersion": {"VersionId": "v1", "Document": documents[asked["PolicyArn"]], "IsDefaultVersion": True}
    }


@logs.nothing(*INCONCLUSIVE, also=("pending-stuck",), notes=("logs-group-missing",))
def it_was_never_invoked(account: Account) -> None:
    account.failing()
    _no_group(account)


@logs.fault(
    "lambda-import-error", source="public thread: aws-secrets-manager-rotation-lambdas#68, read in a group of its own"
)
def the_error_is_in_another_group(account: Account) -> None:
    account.configuration["LoggingConfig"] = {"LogFormat": "Text", "LogGroup": "/platform/rotation"}
    account.failing()
    account.ran(
        lines.Init("Runtime.ImportModuleError", "Unable to import module 'lambda_function': No module named 'pg'")
    )


@logs.nothing(*INCONCLUSIVE, also=("pending-stuck",), notes=("logs-redirected",))
def errors_are_below_its_level(account: Account) -> None:
    account.failing("setSecret")
    account.configuration["LoggingConfig"] = {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "FATAL",
        "SystemLogLevel": "WARN",
        "LogGroup": GROUP,
    }


@logs.nothing(*HEALTHY)
def json_with_the_usual_levels(account: Account) -> None:
    account.configuration["LoggingConfig"] = {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
        "LogGroup": GROUP,
    }


@logs.nothing(*INCONCLUSIVE, also=("pending-stuck",), notes=("logs-expired",))
def its_retention_is_over(account: Account) -> None:
    account.failing("setSecret", at=ago(days=4))
    name = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*"
    account.replies["logs:DescribeLogGroups"] = {
        "logGroups": [{"logGroupName": GROUP, "retentionInDays": 1, "arn": name}]
    }


@logs.nothing(*INCONCLUSIVE, also=("pending-stuck",))
def the_group_is_empty_and_all_else_is_well(account: Account) -> None:
    account.failing("setSecret")


@logs.nothing(*HEALTHY)
def another_group_begins_with_the_same_name(account: Account) -> None:
    account.replies["logs:DescribeLogGroups"] = {
        "logGroups": [
            {
                "logGroupName": f"{GROUP}-canary",
                "retentionInDays": 1,
                "arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}-canary:*",
            },
            {"logGroupName": GROUP, "arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}:*"},
        ]
    }
    account.ran(
        lines.CREDENTIALS, lines.info(f"createSecret: Successfully retrieved secret for {SECRET}."), at=ago(days=12)
    )
