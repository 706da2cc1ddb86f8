"""The secret's versions and its value."""

from __future__ import annotations

from uuid import UUID

from tests.corpus import lines
from tests.corpus.account import ACCOUNT, CURRENT, PENDING, PREVIOUS, SECRET, Account, ago
from tests.corpus.cases import HEALTHY, Family

value = Family("value", "AWS samples: get_secret_dict of the rotation functions, February 2025")
versions = Family("versions", "AWS documentation: Secrets Manager, staging labels; RotateSecret; Troubleshooting")

ADMIN = f"arn:aws:iam::{ACCOUNT}:user/admin"


# Versions.


@versions.fault("pending-stuck")
def a_label_was_left_and_nothing_says_why(account: Account) -> None:
    account.pending(since=ago(days=2))


@versions.fault("pending-stuck", source="public thread: aws-cdk#28539")
def a_label_was_left_before_the_first_rotation(account: Account) -> None:
    account.trail.clear()
    account.secret.pop("LastRotatedDate")
    account.pending(since=ago(days=3))


@versions.fault("pending-empty")
def nothing_was_stored_under_it(account: Account) -> None:
    account.failing("setSecret", retries=1)
    account.replies["secretsmanager:ListSecretVersionIds"] = {
        "Versions": [
            {"VersionId": CURRENT, "VersionStages": ["AWSCURRENT"], "CreatedDate": ago(days=31)},
            {"VersionId": PREVIOUS, "VersionStages": ["AWSPREVIOUS"], "CreatedDate": ago(days=61)},
        ]
    }
    account.raised(
        "ResourceNotFoundException",
        "An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation: Secrets Manager can't find the "
        "specified secret value for staging label: AWSPENDING",
        function="set_secret",
    )


@versions.fault(
    "no-current-version", source="public thread: terraform-provider-aws#10619, rotation before a first value"
)
def there_is_no_first_value(account: Account) -> None:
    account.failing()
    account.secret["VersionIdsToStages"] = {PENDING: ["AWSPENDING"]}
    account.secret.pop("LastRotatedDate")
    account.trail = [each for each in account.trail if each["eventName"] != "RotationSucceeded"]
    account.raised(
        "ResourceNotFoundException",
        "An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation: Secrets Manager can't find the "
        "specified secret value for staging label: AWSCURRENT",
    )


@versions.fault("no-current-version")
def there_is_no_first_value_and_nobody_looked(account: Account) -> None:
    account.trail.clear()
    account.secret.pop("LastRotatedDate")
    account.secret["VersionIdsToStages"] = {}


@versions.fault("rotation-abandoned", source="AWS documentation: Secrets Manager, Log events with CloudTrail")
def a_value_was_stored_while_it_rotated(account: Account) -> None:
    account.due()
    account.service_event("RotationStarted", at=ago(minutes=62))
    account.call("PutSecretValue", by=ADMIN, at=ago(minutes=61), parameters={"secretId": SECRET})
    account.service_event("RotationAbandoned", at=ago(minutes=60))


@versions.fault("version-quota-exceeded", source="AWS documentation: Secrets Manager quotas; PutSecretValue")
def a_version_every_few_minutes(account: Account) -> None:
    account.failing()
    names = [str(UUID(int=9000 + number)) for number in range(130)]
    account.replies["secretsmanager:ListSecretVersionIds"] = {
        "Versions": [
            {"VersionId": CURRENT, "VersionStages": ["AWSCURRENT"], "CreatedDate": ago(minutes=3)},
            *({"VersionId": name, "CreatedDate": ago(minutes=10 * number)} for number, name in enumerate(names)),
        ]
    }
    account.raised(
        "LimitExceededException",
        "An error occurred (LimitExceededException) when calling the PutSecretValue operation: You have reached the maximum number of versions.",
    )


@versions.fault("secretsmanager-throttled")
def too_many_calls_at_once(account: Account) -> None:
    account.failing()
    account.raised(
        "ClientError",
        "An error occurred (ThrottlingException) when calling the GetSecretValue operation (reached max retries: 4): Rate exceeded",
    )


@versions.nothing(*HEALTHY, source="public thread: aws-secrets-manager-rotation-lambdas#168, #145")
def the_label_stays_on_the_current_version(account: Account) -> None:
    account.secret["VersionIdsToStages"][CURRENT] = ["AWSCURRENT", "AWSPENDING"]


@versions.nothing(*HEALTHY)
def many_versions_with_labels_of_their_own(account: Account) -> None:
    stages = account.secret["VersionIdsToStages"]
    stages |= {str(UUID(int=700 + number)): [] for number in range(40)}
    stages[str(UUID(int=800))] = ["blue", "release-7"]


@versions.nothing(*HEALTHY, source="public thread: aws-sdk-js-v3#7701; the retry succeeds")
def a_value_was_not_there_for_a_moment(account: Account) -> None:
    account.failed("setSecret", at=ago(days=12, minutes=1))
    account.raised(
        "ResourceNotFoundException",
        "An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation: Secrets Manager can't find the "
        "specified secret value for staging label: AWSPENDING",
        function="set_secret",
        at=ago(days=12, minutes=1),
    )


@versions.fault(
    "secret-name-looks-like-suffix", source="AWS documentation: Secrets Manager, hyphen and six characters in a name"
)
def its_name_ends_like_an_arn(account: Account) -> None:
    account.texts = [("svc/orders/db", "svc/orders/db-client")]
    account.failing()
    account.raised(
        "ResourceNotFoundException",
        "An error occurred (ResourceNotFoundException) when calling the DescribeSecret operation: Secrets Manager can't find the "
        "specified secret.",
        function="lambda_handler",
    )


# The value, by the log.


@value.fault("secret-not-json", source="form of words: a plain password in place of JSON")
def a_plain_password(account: Account) -> None:
    account.failing()
    account.raised("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)")


value.lines(
    "secret-not-json",
    step="createSecret",
    invalid_json_influxdb=f"Invalid secret value JSON for secret {SECRET}.",
    invalid_json_elasticache=f"Invalid secret value json for secret {SECRET}.",
)


@value.fault("secret-not-json")
def a_plain_password_seen_by_reading(account: Account) -> None:
    account.failing()
    account.value = "correct horse battery staple"
    account.with_value()


@value.fault("secret-is-binary")
def no_secret_string(account: Account) -> None:
    account.failing()
    account.raised("KeyError", "'SecretString'")


@value.fault("secret-is-binary")
def binary_seen_by_reading(account: Account) -> None:
    account.failing()
    account.value = b"\x00\x01"
    account.with_value()


def _key_error(account: Account, message: str) -> None:
    account.failing()
    account.raised("KeyError", message)


@value.fault(
    "secret-key-missing", source="public thread: aws-secrets-manager-rotation-lambdas#89, keys of another name"
)
def no_host(account: Account) -> None:
    _key_error(account, "'host key is missing from secret JSON'")


@value.fault("secret-key-missing", source="public thread: managed-care-review#4540, username and password only")
def no_engine_key_seen_by_reading(account: Account) -> None:
    _key_error(account, "'engine key is missing from secret JSON'")
    account.value = {"username": "orders", "password": "x"}
    account.with_value()


@value.fault("secret-key-missing")
def no_directory(account: Account) -> None:
    _key_error(account, "'directoryId key is missing from secret JSON.'")


@value.fault("secret-key-missing")
def no_user_arn(account: Account) -> None:
    account.failing()
    account.template(f"createSecret: secret {SECRET} has no user_arn defined.", step="createSecret", error="KeyError")


@value.fault("secret-engine-mismatch", source="public thread: aws-cdk#19794, aws-cdk#6358")
def no_engine(account: Account) -> None:
    _key_error(account, "\"Database engine must be set to 'postgres' in order to use this rotation lambda\"")


@value.fault("secret-engine-mismatch", source="public thread: aws-cdk#19794, in one line")
def no_engine_in_one_line(account: Account) -> None:
    account.failing()
    account.ran(
        lines.Bare(
            "[ERROR] KeyError: \"Database engine must be set to 'postgres' in order to use this rotation lambda\" Traceback (most "
            'recent call last):   File "/var/task/lambda_function.py", line 77, in lambda_handler     create_secret(service_client, '
            'arn, token)   File "/var/task/lambda_function.py", line 113, in create_secret     current_dict = '
            'get_secret_dict(service_client, arn, "AWSCURRENT")'
        )
    )


@value.fault("secret-engine-mismatch")
def another_engine_mysql(account: Account) -> None:
    _key_error(account, "\"Database engine must be set to 'mysql' in order to use this rotation lambda\"")
    account.value = {"engine": "postgres", "host": "h", "username": "u", "password": "x"}
    account.with_value()


@value.fault("secret-engine-mismatch")
def another_engine_influxdb(account: Account) -> None:
    _key_error(
        account,
        "\"Database engine must be set to 'timestream-influxdb' in order to use this Lambda rotation function.\"",
    )


value.lines(
    "pending-identity-changed",
    step="setSecret",
    another_user="setSecret: Attempting to modify user orders2 other than current user orders",
    another_user_or_clone="setSecret: Attempting to modify user orders2 other than current user or clone orders",
    another_valid_user="setSecret: Attempting to modify user orders2 other than previous valid user orders",
    another_host="setSecret: Attempting to modify user for host db-new.example other than current host db.example",
    another_previous_host="setSecret: Attempting to modify user for host db-new.example other than previous host db.example",
)


@value.fault("pending-identity-changed")
def another_user_in_a_directory(account: Account) -> None:
    account.failing("setSecret")
    said = "Username svc2 in current dict does not match username svc1 in pending dict"
    account.template(said, step="setSecret")


@value.nothing(*HEALTHY)
def a_good_value_is_read(account: Account) -> None:
    account.with_value()


@value.nothing(*HEALTHY, source="AWS documentation: a custom function rotates an API key, whose value has no engine")
def an_api_key_is_read(account: Account) -> None:
    account.value = {"api_key": "k", "endpoint": "https://api.example.com"}
    account.with_value()


@value.nothing(*HEALTHY)
def a_value_of_mysql_with_text_numbers(account: Account) -> None:
    account.value = {
        "engine": "mysql",
        "host": "db.example.com",
        "port": "3306",
        "username": "u",
        "password": "x",
        "dbname": "d",
    }
    account.with_value()
