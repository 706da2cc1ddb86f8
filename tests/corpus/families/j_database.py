"""What the database or service answers: seen in the log only."""

from __future__ import annotations

from tests.corpus import lines
from tests.corpus.account import ACCOUNT, REGION, SECRET, Account, ago
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family

database = Family("database", "AWS samples: error texts of the rotation functions, February 2025")

LOGIN = f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}"
CURRENT_LOGIN = f"setSecret: Unable to log into database using current credentials for secret {SECRET}"
HOST = "orders.abc123.eu-west-1.rds.amazonaws.com"


def _reachable(account: Account) -> None:
    account.in_vpc()
    account.with_instance()


@database.fault("db-login-failed")
def the_password_was_changed_elsewhere(account: Account) -> None:
    account.failing("setSecret", retries=3)
    account.template(LOGIN, ms=412)
    _reachable(account)


@database.fault("db-login-failed")
def the_password_was_changed_elsewhere_alternating_users(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    account.template(CURRENT_LOGIN, ms=820)
    _reachable(account)


@database.fault("db-login-failed", source="AWS samples: InfluxDB and ElastiCache log another form of the message")
def the_password_was_changed_elsewhere_in_json(account: Account) -> None:
    account.json_log = True
    account.configuration["LoggingConfig"]["LogFormat"] = "JSON"
    account.failing("setSecret")
    account.template(LOGIN.replace("secret arn", "secret ARN") + ".", ms=412)
    _reachable(account)


@database.fault(
    "db-login-failed", source="AWS documentation: Troubleshoot rotation, the credentials in the secret are incorrect"
)
def the_password_was_changed_elsewhere_and_there_is_no_vpc(account: Account) -> None:
    account.failing("setSecret")
    account.template(LOGIN, ms=412)


@database.nothing(
    *INCONCLUSIVE,
    guesses=("db-login-failed",),
    source="AWS documentation: Troubleshoot rotation, long duration, and no way to tell",
)
def no_answer_and_the_host_is_not_known(account: Account) -> None:
    account.failing("setSecret")
    account.template(LOGIN, ms=15210)
    account.in_vpc()


@database.fault("db-scram-unsupported", source="public thread: aws-cdk#28696; aws-secrets-manager-rotation-lambdas#132")
def scram_and_an_old_library(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.error("Connection to db failed: SCRAM authentication requires libpq version 10 or above"),
        lines.error(LOGIN),
        lines.Raised("ValueError", LOGIN.partition(": ")[2], "set_secret"),
    )


@database.fault("db-tls-required")
def tls_is_enforced(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.error(f"Unable to establish SSL/TLS handshake, SSL/TLS is enforced on the host: {HOST}"),
        lines.error(LOGIN),
        lines.Raised("ValueError", LOGIN.partition(": ")[2], "set_secret"),
    )


@database.fault("db-tls-required")
def tls_is_enforced_and_the_driver_speaks(account: Account) -> None:
    account.failing("setSecret")
    said = f'connection to server at "{HOST}" (10.0.20.7), port 5432 failed: FATAL:  no pg_hba.conf entry for host "10.0.1.9", user "orders", database "orders", no encryption'
    account.raised("OperationalError", said, function="set_secret")


@database.fault("db-tls-handshake")
def tls_is_not_enabled(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.error(f"Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: {HOST}"),
        lines.error(LOGIN),
        lines.Raised("ValueError", LOGIN.partition(": ")[2], "set_secret"),
    )


@database.fault("db-tls-handshake")
def tls_is_not_enabled_mysql(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.error(f"Unable to establish SSL/TLS handshake, check that SSL/TLS is enabled on the host: {HOST}"),
        lines.error(LOGIN),
        lines.Raised("ValueError", LOGIN.partition(": ")[2], "set_secret"),
    )


@database.fault(
    "db-tls-hostname-mismatch", source="public thread: aws-secrets-manager-rotation-lambdas#173, a Route 53 CNAME"
)
def the_certificate_has_another_name(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.error(
            "Hostname verification failed when estlablishing SSL/TLS Handshake with host: db.internal.example.com"
        ),
        lines.error(LOGIN),
        lines.Raised("ValueError", LOGIN.partition(": ")[2], "set_secret"),
    )


@database.fault("db-read-only-endpoint", source="public thread: aws-secrets-manager-rotation-lambdas#60")
def a_reader_of_postgresql(account: Account) -> None:
    account.failing("setSecret")
    account.raised(
        "InternalError", "ERROR:  cannot execute ALTER ROLE in a read-only transaction", function="set_secret"
    )


@database.fault("db-read-only-endpoint")
def a_reader_of_mysql(account: Account) -> None:
    account.failing("setSecret")
    said = '(1290, "The MySQL server is running with the --read-only option so it cannot execute this statement")'
    account.raised("OperationalError", said, function="set_secret")


@database.fault("db-read-only-endpoint", source="AWS documentation: Aurora, reader endpoints")
def the_host_is_a_clusters_reader(account: Account) -> None:
    account.failing("setSecret")
    _reachable(account)
    reader = "orders.cluster-ro-abc123.eu-west-1.rds.amazonaws.com"
    account.value = {"engine": "postgres", "host": reader, "port": 5432, "username": "orders", "password": "x"}
    instance = account.databases.pop("DBInstances")[0]
    account.databases["DBClusters"] = [
        {
            "DBClusterIdentifier": "orders",
            "DBClusterArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:orders",
            "Engine": "aurora-postgresql",
            "Endpoint": "orders.cluster-abc123.eu-west-1.rds.amazonaws.com",
            "ReaderEndpoint": reader,
            "Port": 5432,
            "VpcSecurityGroups": instance["VpcSecurityGroups"],
            "DBSubnetGroup": "orders",
            "Status": "available",
        }
    ]


@database.fault(
    "db-proxy-endpoint",
    also=("db-scram-unsupported",),
    source="public thread: aws-secrets-manager-rotation-lambdas#103",
)
def through_a_proxy(account: Account) -> None:
    account.failing("setSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.error("SQL-CONNECTION-ERROR: SCRAM authentication requires libpq version 10 or above"),
        lines.error("SQL-CONNECTION-ERROR: FATAL:  This RDS Proxy requires TLS connections"),
        lines.error(LOGIN),
        lines.Raised("ValueError", LOGIN.partition(": ")[2], "set_secret"),
    )


@database.fault("db-proxy-endpoint")
def through_a_proxy_that_has_no_credentials(account: Account) -> None:
    account.failing("setSecret")
    said = "FATAL: This RDS proxy has no credentials for the role orders. Check the credentials for this role and try again."
    account.raised("OperationalError", said, function="set_secret")


@database.fault("db-password-rejected", source="public thread: aws-cdk#16824")
def a_character_that_rds_refuses(account: Account) -> None:
    account.failing("setSecret")
    said = (
        "An error occurred (InvalidParameterValue) when calling the ModifyDBInstance operation: The parameter MasterUserPassword is "
        "not a valid password. Only printable ASCII characters besides '/', '@', '\"', ' ' may be used."
    )
    account.raised("ClientError", said, function="set_secret")


@database.fault("db-user-host-pattern", source="public thread: aws-secrets-manager-rotation-lambdas#101")
def a_user_of_one_host_only(account: Account) -> None:
    account.failing("setSecret")
    said = "(1141, \"There is no such grant defined for user 'orders' on host '%'\")"
    account.raised("OperationalError", said, function="set_secret")


@database.fault("db-user-cannot-set-password", source="public thread: aws-secrets-manager-rotation-lambdas#50")
def passwords_are_restricted(account: Account) -> None:
    account.failing("setSecret")
    account.raised(
        "InsufficientPrivilege", "must be a member of rds_password to alter passwords", function="set_secret"
    )


database.lines(
    "db-user-missing",
    step="setSecret",
    there_is_no_such_user="setSecret: User orders does not exist in database",
    the_user_cannot_be_made="setSecret: Unable to create user orders_clone",
)
database.lines(
    "pending-login-failed",
    step="testSecret",
    the_new_password_is_not_live=f"testSecret: Unable to log into database with pending secret of secret ARN {SECRET}",
)


@database.fault(
    "pending-login-failed", source="public thread: aws-secrets-manager-rotation-lambdas#142, Db2 is asynchronous"
)
def the_new_password_is_not_live_on_db2(account: Account) -> None:
    account.failing("testSecret")
    account.ran(
        lines.CREDENTIALS,
        lines.info(f"setSecret: Successfully set password for db2inst1 in Db2 DB for secret arn {SECRET}."),
        at=ago(hours=1, seconds=20),
    )
    account.template(
        f"testSecret: Unable to log into database with pending secret of secret ARN {SECRET}", step="testSecret"
    )


@database.fault("elasticache-user-not-active")
def the_cache_user_is_not_active(account: Account) -> None:
    account.failing("setSecret")
    account.template(
        f"setSecret: user orders associated with secret {SECRET} did not reached the active status.", ms=900500
    )


@database.fault("directory-password-reset-failed")
def the_directory_refuses(account: Account) -> None:
    account.failing("setSecret")
    said = "setSecret: Unable to reset the users password in Directory Services for directory d-9067012345 and user svc"
    account.template(said, error="ClientError")


@database.fault("directory-password-reset-failed")
def kinit_fails(account: Account) -> None:
    account.failing("testSecret")
    account.template("execute_kinit_command: kinit failed", step="testSecret")


@database.fault("influxdb-token-refused")
def it_may_make_no_tokens(account: Account) -> None:
    account.failing("createSecret")
    said = "Authentication creation has not been enabled to allow the Lambda function to create tokens."
    account.raised("ValueError", said)


@database.fault("influxdb-token-refused")
def its_token_is_not_known(account: Account) -> None:
    account.failing("createSecret")
    account.raised("ValueError", "Failed to find the current secret token defined in the InfluxDB instance.")


@database.nothing(
    *HEALTHY, source="AWS samples: connect_and_authenticate logs an error and falls back, then all is well"
)
def it_falls_back_and_succeeds(account: Account) -> None:
    account.ran(
        lines.CREDENTIALS,
        lines.error(f"Unable to establish SSL/TLS handshake, SSL/TLS is not enabled on the host: {HOST}"),
        lines.info(f"Successfully established non SSL/TLS connection as user 'orders' with host: '{HOST}'"),
        lines.info(f"setSecret: Successfully set password for orders in PostgreSQL DB for secret arn {SECRET}."),
        at=ago(days=12, seconds=1),
    )
