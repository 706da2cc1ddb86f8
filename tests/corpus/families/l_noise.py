"""What is not this secret's fault, or not now."""

from __future__ import annotations

import json
from datetime import timedelta

from tests.corpus import lines
from tests.corpus.account import (
    ACCOUNT,
    FAILED_AT,
    OTHER_SECRET,
    PENDING,
    SECRET,
    SESSION,
    SUPERUSER,
    Account,
    ago,
    policy,
)
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family

noise = Family("noise", "AWS documentation: Secrets Manager, Log events with CloudTrail; How rotation works")

APPLICATION = f"arn:aws:sts::{ACCOUNT}:assumed-role/orders-api/i-0abc"
LOGIN = "setSecret: Unable to log into database with previous, current, or pending secret of secret arn "
IMPORT = lines.Init(
    "Runtime.ImportModuleError", "Unable to import module 'lambda_function': No module named 'psycopg2'"
)


@noise.nothing(*HEALTHY)
def another_secret_of_the_function_fails(account: Account) -> None:
    account.service_event("RotationStarted", at=ago(minutes=61), secret=OTHER_SECRET)
    account.failed("setSecret", at=FAILED_AT, secret=OTHER_SECRET)
    account.template(LOGIN + OTHER_SECRET)


@noise.nothing(*HEALTHY)
def another_secret_of_the_function_is_denied(account: Account) -> None:
    account.failed("createSecret", at=FAILED_AT, secret=OTHER_SECRET)
    account.refused("secretsmanager:PutSecretValue", OTHER_SECRET)


@noise.nothing(*HEALTHY)
def another_secrets_attempt_cannot_load_the_function(account: Account) -> None:
    account.failed("createSecret", at=FAILED_AT, secret=OTHER_SECRET)
    account.ran(IMPORT)


@noise.fault("db-login-failed")
def both_secrets_fail_and_each_for_its_own_reason(account: Account) -> None:
    account.failing("setSecret")
    account.template(LOGIN + SECRET, ms=420)
    account.failed("createSecret", at=ago(minutes=40), secret=OTHER_SECRET)
    account.refused("secretsmanager:PutSecretValue", OTHER_SECRET, at=ago(minutes=40))
    account.raised("KeyError", "'masterarn'", at=ago(minutes=40), secret=OTHER_SECRET)


@noise.nothing(*HEALTHY)
def errors_of_before_the_last_good_rotation(account: Account) -> None:
    for minutes in (40, 30, 20, 10):
        account.failed("setSecret", at=ago(days=12, minutes=minutes))
        account.template(LOGIN + SECRET, at=ago(days=12, minutes=minutes))


@noise.nothing(*HEALTHY)
def time_outs_of_last_month(account: Account) -> None:
    account.failed("createSecret", at=ago(days=44))
    account.timed_out(at=ago(days=44))


@noise.nothing(*HEALTHY)
def an_application_is_denied(account: Account) -> None:
    why = "because no identity-based policy allows the secretsmanager:GetSecretValue action"
    for minutes in (9, 8, 7):
        said = lines.denial(APPLICATION, "secretsmanager:GetSecretValue", SECRET, why)
        account.call(
            "GetSecretValue",
            by=APPLICATION,
            at=ago(minutes=minutes),
            parameters={"secretId": SECRET},
            error=("AccessDenied", said),
        )


@noise.nothing(*HEALTHY)
def an_application_may_not_store(account: Account) -> None:
    why = "with an explicit deny in a resource-based policy"
    said = lines.denial(APPLICATION, "secretsmanager:PutSecretValue", SECRET, why)
    account.call(
        "PutSecretValue",
        by=APPLICATION,
        at=ago(minutes=9),
        parameters={"secretId": SECRET},
        error=("AccessDenied", said),
    )


@noise.nothing(*HEALTHY)
def somebody_else_could_not_rotate_it(account: Account) -> None:
    by = f"arn:aws:iam::{ACCOUNT}:user/intern"
    why = "because no identity-based policy allows the secretsmanager:CancelRotateSecret action"
    said = lines.denial(by, "secretsmanager:CancelRotateSecret", SECRET, why)
    account.call(
        "CancelRotateSecret", by=by, at=ago(minutes=9), parameters={"secretId": SECRET}, error=("AccessDenied", said)
    )


@noise.nothing(*HEALTHY)
def the_function_is_denied_something_else(account: Account) -> None:
    why = "because no identity-based policy allows the cloudwatch:PutMetricData action"
    said = lines.denial(SESSION, "cloudwatch:PutMetricData", None, why)
    account.call(
        "PutMetricData", by=SESSION, at=ago(days=12), error=("AccessDenied", said), source="monitoring.amazonaws.com"
    )


@noise.nothing(*HEALTHY)
def an_attempt_is_under_way(account: Account) -> None:
    account.due(days=30)
    account.secret["NextRotationDate"] = ago(minutes=3)
    account.service_event("RotationStarted", at=ago(minutes=3))
    account.pending(since=ago(minutes=3))
    account.ran(lines.CREDENTIALS, at=ago(minutes=3))


@noise.nothing(*HEALTHY)
def an_attempt_is_under_way_and_the_trail_is_late(account: Account) -> None:
    account.due(days=30)
    account.secret["NextRotationDate"] = ago(minutes=3)
    account.pending(since=ago(minutes=3))


@noise.fault("role-missing-secret-actions")
def it_is_tried_again_right_now(account: Account) -> None:
    account.failing(at=ago(minutes=9))
    statements = account.role_policies["rotation"]["Statement"]
    statements[0]["Action"].remove("secretsmanager:PutSecretValue")
    account.refused("secretsmanager:PutSecretValue", at=ago(minutes=9))
    account.service_event("RotationStarted", at=ago(minutes=1))


@noise.fault("lambda-import-error")
def the_trail_is_late(account: Account) -> None:
    account.due()
    account.pending(since=ago(minutes=20))
    account.ran(IMPORT, at=ago(minutes=20))


@noise.fault("lambda-import-error")
def the_trail_is_empty(account: Account) -> None:
    account.failing()
    account.trail.clear()
    account.ran(IMPORT)


@noise.fault("lambda-import-error")
def a_storm_of_retries(account: Account) -> None:
    account.failing(retries=60, at=ago(minutes=20))
    for number in range(61):
        account.ran(IMPORT, at=ago(minutes=20) - timedelta(minutes=7 * number, seconds=2), ms=2)


@noise.fault(
    "master-login-failed",
    source="AWS samples: a login falls back to no TLS and logs an error, the superuser's then fails",
)
def an_error_that_is_none_stands_before_the_one_that_is(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    said = f"setSecret: Unable to log into database using credentials in master secret {SUPERUSER}"
    account.ran(
        lines.CREDENTIALS,
        lines.error("Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: db.example"),
        lines.info("Successfully established non SSL/TLS connection as user 'orders' with host: 'db.example'"),
        lines.error(said),
        lines.Raised("ValueError", said.partition(": ")[2], "set_secret"),
    )


@noise.fault("db-user-missing")
def the_newest_attempt_counts(account: Account) -> None:
    """The first failure was another one, and was mended."""
    account.failing("setSecret", retries=2)
    account.with_superuser()
    account.template(
        f"setSecret: Unable to log into database using credentials in master secret {SUPERUSER}",
        at=FAILED_AT - timedelta(minutes=14, seconds=2),
    )
    account.template("setSecret: User orders does not exist in database")


@noise.nothing(*HEALTHY, source="AWS documentation: CloudWatch embedded metric format; Lambda Insights")
def metrics_and_extensions_in_the_log(account: Account) -> None:
    metric = {
        "_aws": {
            "Timestamp": 1,
            "CloudWatchMetrics": [{"Namespace": "App", "Dimensions": [["service"]], "Metrics": [{"Name": "errors"}]}],
        },
        "service": "rotation",
        "errors": 0,
        "level": "ERROR",
    }
    account.raw(
        "EXTENSION\tName: cloudwatch_lambda_agent\tState: Ready\tEvents: [INVOKE,SHUTDOWN]\n",
        "LOGS\tName: cloudwatch_lambda_agent\tState: Subscribed\tTypes: [Platform]\n",
        json.dumps(metric),
        "{not json at all",
        "",
        "[WARNING]\t2026-11-15T12:00:00.1Z\t70000000-0000-4000-8000-0000000000aa\tsetSecret: DB Instance ARN not present in Metadata System Tags",
        at=ago(days=12, seconds=2),
    )


@noise.fault("secret-key-missing")
def an_error_behind_a_line_of_256_kb(account: Account) -> None:
    account.failing()
    account.raised("KeyError", "'host key is missing from secret JSON'", said=[lines.info("x" * 262_000)])


@noise.fault("function-unhandled-error")
def an_error_of_256_kb(account: Account) -> None:
    account.failing()
    account.raised("RuntimeError", "unexpected answer: " + "<td>0</td>" * 26_000)


@noise.nothing(*HEALTHY)
def errors_that_are_told_of_as_words(account: Account) -> None:
    account.trail.clear()
    account.succeeded(at=ago(days=3))
    account.secret |= {
        "LastRotatedDate": ago(days=3),
        "LastChangedDate": ago(days=3),
        "NextRotationDate": ago(days=-27),
    }
    account.ran(
        lines.info("nothing to do; the last run said: Task timed out after 3.00 seconds"),
        lines.warning("KeyError: 'masterarn' is what you get without a superuser"),
        at=ago(days=3, seconds=5),
        secret=SECRET,
    )


@noise.nothing(
    *INCONCLUSIVE,
    also=("pending-stuck",),
    notes=("role-missing-secret-actions",),
    source="AWS documentation: IAM; the policy was mended since",
)
def a_denial_that_the_policy_would_allow_now(account: Account) -> None:
    account.failing(retries=1)
    account.refused("secretsmanager:PutSecretValue")


@noise.nothing(*HEALTHY)
def a_denial_that_was_mended_and_a_good_rotation_since(account: Account) -> None:
    account.failing(retries=1)
    account.refused("secretsmanager:PutSecretValue")
    account.secret["VersionIdsToStages"].pop(PENDING)
    account.succeeded(at=ago(minutes=30))
    account.secret |= {
        "LastRotatedDate": ago(minutes=30),
        "LastChangedDate": ago(minutes=30),
        "NextRotationDate": ago(days=-30),
    }


@noise.nothing(*HEALTHY)
def other_policies_of_other_things(account: Account) -> None:
    account.role_policies["metrics"] = policy(
        {"Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*"},
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": OTHER_SECRET},
    )
