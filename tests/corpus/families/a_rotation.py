"""Is there a rotation at all, and when does it run?"""

from __future__ import annotations

from datetime import timedelta

from tests.corpus import lines
from tests.corpus.account import ACCOUNT, FUNCTION, PENDING, REGION, SECRET, Account, ago
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family

rotation = Family("rotation", "AWS documentation: Secrets Manager API Reference, DescribeSecret and RotateSecret")
schedule = Family("schedule", "AWS documentation: Secrets Manager User Guide, Schedule expressions; Troubleshooting")

ADMIN = f"arn:aws:iam::{ACCOUNT}:user/admin"
PIPELINE = f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/build-17"


@rotation.fault("rotation-not-configured")
def never_configured(account: Account) -> None:
    for member in ("RotationEnabled", "RotationLambdaARN", "RotationRules", "LastRotatedDate", "NextRotationDate"):
        account.secret.pop(member)
    account.trail.clear()


@rotation.fault("rotation-not-configured")
def not_configured_since_the_call_was_refused(account: Account) -> None:
    never_configured(account)
    said = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com."
    account.call("RotateSecret", by=PIPELINE, parameters={"secretId": SECRET}, error=("AccessDenied", said))


@rotation.fault("rotation-cancelled")
def switched_off_by_a_person(account: Account) -> None:
    account.secret["RotationEnabled"] = False
    account.secret.pop("NextRotationDate")
    account.call("CancelRotateSecret", by=ADMIN, at=ago(days=9), parameters={"secretId": SECRET})


@rotation.fault("rotation-cancelled")
def switched_off_with_a_pending_version_and_old_errors(account: Account) -> None:
    account.failing("setSecret", at=ago(days=3), retries=2)
    account.template(
        f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}",
        at=ago(days=3),
    )
    account.secret["RotationEnabled"] = False
    account.call("CancelRotateSecret", by=ADMIN, at=ago(days=2), parameters={"secretId": SECRET})


@rotation.fault("rotation-cancelled")
def switched_off_and_the_function_is_gone(account: Account) -> None:
    account.secret["RotationEnabled"] = False
    account.lose("lambda:GetFunctionConfiguration")
    account.lose("lambda:GetPolicy")


@rotation.fault("secret-marked-for-deletion")
def marked_for_deletion(account: Account) -> None:
    account.secret["DeletedDate"] = ago(days=2)
    account.call("DeleteSecret", by=ADMIN, at=ago(days=2), parameters={"secretId": SECRET, "recoveryWindowInDays": 30})


@rotation.fault("secret-marked-for-deletion")
def marked_for_deletion_after_it_was_switched_off(account: Account) -> None:
    account.secret |= {"DeletedDate": ago(hours=5), "RotationEnabled": False}
    account.secret.pop("NextRotationDate")


@rotation.fault(
    "secret-managed-by-service",
    source="AWS documentation: RDS User Guide, Password management with Amazon RDS and AWS Secrets Manager",
)
def the_owner_does_not_rotate_it(account: Account) -> None:
    account.due(days=30)
    account.secret |= {"OwningService": "rds", "RotationRules": {"AutomaticallyAfterDays": 7}}
    account.secret["NextRotationDate"] = ago(days=23)
    account.secret.pop("RotationLambdaARN")


@rotation.nothing(
    *HEALTHY, source="AWS documentation: Secrets Manager User Guide, Managed rotation for AWS Secrets Manager secrets"
)
def the_owner_rotates_it_well(account: Account) -> None:
    account.trail.clear()
    account.succeeded(at=ago(days=2))
    account.secret |= {
        "OwningService": "redshift",
        "RotationRules": {"AutomaticallyAfterDays": 7},
        "LastRotatedDate": ago(days=2),
        "LastChangedDate": ago(days=2),
        "NextRotationDate": ago(days=-5),
    }
    account.secret.pop("RotationLambdaARN")


@rotation.fault("secret-is-replica")
def a_replica(account: Account) -> None:
    account.secret["PrimaryRegion"] = "us-east-1"
    for member in ("RotationEnabled", "RotationLambdaARN", "RotationRules", "LastRotatedDate", "NextRotationDate"):
        account.secret.pop(member)


@rotation.fault("secret-is-replica")
def a_replica_that_shows_the_primarys_rotation(account: Account) -> None:
    account.secret["PrimaryRegion"] = "us-east-1"
    account.secret["RotationLambdaARN"] = FUNCTION.replace(REGION, "us-east-1")


@rotation.nothing(*HEALTHY)
def a_primary_with_replicas(account: Account) -> None:
    account.secret["PrimaryRegion"] = REGION
    account.secret["ReplicationStatus"] = [
        {"Region": "us-east-1", "Status": "InSync", "KmsKeyId": "alias/aws/secretsmanager"}
    ]


@rotation.fault(
    "external-rotation-role-denied",
    source="AWS documentation: Secrets Manager User Guide, Rotate managed external secrets",
)
def a_partners_secret_fails(account: Account) -> None:
    account.due()
    account.service_event("RotationFailed", at=ago(hours=1), errorMessage="The rotation role cannot be assumed.")
    account.secret |= {
        "Type": "SalesforceClientSecret",
        "ExternalSecretRotationRoleArn": f"arn:aws:iam::{ACCOUNT}:role/partner-rotation",
    }
    account.secret.pop("RotationLambdaARN")


@rotation.nothing(*HEALTHY, source="AWS documentation: Secrets Manager User Guide, Rotate managed external secrets")
def a_partners_secret_rotates_well(account: Account) -> None:
    account.secret |= {
        "Type": "SalesforceClientSecret",
        "ExternalSecretRotationRoleArn": f"arn:aws:iam::{ACCOUNT}:role/partner-rotation",
    }
    account.secret.pop("RotationLambdaARN")


@rotation.nothing(*HEALTHY)
def switched_off_and_on_again(account: Account) -> None:
    account.call("CancelRotateSecret", by=ADMIN, at=ago(days=30), parameters={"secretId": SECRET})
    account.call("RotateSecret", by=ADMIN, at=ago(days=12, seconds=5), parameters={"secretId": SECRET})


# When it runs.


@schedule.fault("schedule-expression-invalid")
def a_change_of_the_schedule_was_refused(account: Account) -> None:
    said = "You cannot specify both rotation frequency and schedule expression together."
    account.call(
        "RotateSecret",
        by=PIPELINE,
        parameters={
            "secretId": SECRET,
            "rotationRules": {"automaticallyAfterDays": 10, "scheduleExpression": "rate(10 days)"},
        },
        error=("InvalidParameterException", said),
    )


@schedule.nothing(*HEALTHY)
def a_refused_change_was_made_good(account: Account) -> None:
    said = "You cannot specify both rotation frequency and schedule expression together."
    wrong = {"secretId": SECRET, "rotationRules": {"automaticallyAfterDays": 10, "scheduleExpression": "rate(10 days)"}}
    account.call(
        "RotateSecret", by=PIPELINE, at=ago(days=13), parameters=wrong, error=("InvalidParameterException", said)
    )
    account.call("RotateSecret", by=PIPELINE, at=ago(days=12, seconds=9), parameters={"secretId": SECRET})


@schedule.fault(
    "caller-not-allowed",
    also=("rotation-not-configured",),
    source="public thread: ministryofjustice/aws-root-account#675 quotes this message",
)
def who_configures_may_not_rotate(account: Account) -> None:
    never_configured(account)
    for minutes in (50, 40):
        _may_not_rotate(account, minutes)


@schedule.nothing(*HEALTHY, notes=("caller-not-allowed",))
def somebody_may_not_rotate_what_rotates(account: Account) -> None:
    _may_not_rotate(account, 50)


def _may_not_rotate(account: Account, minutes: int) -> None:
    sso = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_developer_1d9bd12b9fbfac0b/someone@example.com"
    why = "because no identity-based policy allows the secretsmanager:RotateSecret action"
    account.call(
        "RotateSecret",
        by=sso,
        at=ago(minutes=minutes),
        parameters={"secretId": SECRET},
        error=("AccessDenied", lines.denial(sso, "secretsmanager:RotateSecret", SECRET, why)),
    )


@schedule.nothing(*HEALTHY, notes=("schedule-not-due",))
def not_due_for_some_hours(account: Account) -> None:
    account.due(days=29)
    account.secret["NextRotationDate"] = ago(hours=-7)


@schedule.nothing(*HEALTHY)
def due_some_hours_ago_and_the_day_is_not_over(account: Account) -> None:
    account.due(days=30)
    account.secret["NextRotationDate"] = ago(hours=2)


@schedule.nothing(*HEALTHY)
def due_within_a_long_window(account: Account) -> None:
    account.due(days=30)
    account.secret["RotationRules"] = {"ScheduleExpression": "cron(0 6 ? * FRI *)", "Duration": "12h"}
    account.secret["NextRotationDate"] = ago(hours=6)


@schedule.nothing(*HEALTHY, notes=("schedule-shifted-by-manual-update",))
def somebody_stored_a_value(account: Account) -> None:
    account.secret["LastChangedDate"] = ago(days=4)
    account.secret["NextRotationDate"] = ago(days=-26)
    account.call("PutSecretValue", by=ADMIN, at=ago(days=4), parameters={"secretId": SECRET})


@schedule.fault("schedule-overdue")
def overdue_by_days_and_nothing_was_tried(account: Account) -> None:
    account.due(days=34)


@schedule.fault("schedule-overdue")
def overdue_by_more_than_its_short_window(account: Account) -> None:
    account.due(days=30)
    account.secret["RotationRules"] = {"ScheduleExpression": "rate(30 days)", "Duration": "3h"}
    account.secret["NextRotationDate"] = ago(hours=5)


@schedule.nothing(*INCONCLUSIVE, also=("schedule-overdue",))
def overdue_and_nobody_may_look_at_log_and_trail(account: Account) -> None:
    account.due(days=34)
    account.deny("logs:FilterLogEvents", "logs:DescribeLogGroups", "cloudtrail:LookupEvents")


@schedule.nothing(*HEALTHY)
def every_four_hours(account: Account) -> None:
    account.trail.clear()
    for hours in (17, 13, 9, 5, 1):
        account.succeeded(at=ago(hours=hours))
    account.secret |= {
        "RotationRules": {"ScheduleExpression": "rate(4 hours)", "Duration": "1h"},
        "LastRotatedDate": ago(hours=1),
        "LastChangedDate": ago(hours=1),
        "NextRotationDate": ago(hours=-3),
    }


@schedule.nothing(*HEALTHY)
def configured_without_rotating_at_once(account: Account) -> None:
    account.trail.clear()
    account.secret.pop("LastRotatedDate")
    account.secret["CreatedDate"] = ago(days=1)
    account.secret["LastChangedDate"] = ago(days=1)
    account.secret["NextRotationDate"] = ago(days=-29)
    account.secret["VersionIdsToStages"] = {PENDING: ["AWSCURRENT"]}
    account.call(
        "RotateSecret", by=ADMIN, at=ago(hours=20), parameters={"secretId": SECRET, "rotateImmediately": False}
    )
    account.service_event("TestRotationStarted", at=ago(hours=20) + timedelta(seconds=1))
    account.service_event("TestRotationSucceeded", at=ago(hours=20) + timedelta(seconds=2))
