"""Functions of one's own: what drivers say when a database refuses, in their own words."""

from __future__ import annotations

from tests.corpus import lines
from tests.corpus.account import FAILED_AT, PREVIOUS, SECRET, Account, ago
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family

drivers = Family(
    "drivers",
    "driver: error texts of psycopg, PyMySQL, pymssql, oracledb, PyMongo, ibm_db, redis-py, node-postgres, JDBC",
)

SERVER = 'connection to server at "db.example.com" (10.0.20.7), port 5432 failed: '

_ERRORS = {"oracle": "DatabaseError", "redis": "AuthenticationError"}


def _says(cause: str, step: str = "setSecret", error: str = "OperationalError", **messages: str) -> None:
    """Add a case for each message that a driver raises in a function of one's own."""
    for name, message in messages.items():

        def make(account: Account, message: str = message, name: str = name) -> None:
            account.failing(step)
            function = {"createSecret": "create_secret", "setSecret": "set_secret", "testSecret": "test_secret"}[step]
            account.raised(_ERRORS.get(name.partition("_")[0], error), message, function=function)

        drivers.fault(cause, name=name)(make)


_says(
    "db-connection-refused",
    psycopg_refused=f"{SERVER}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n",
    pymysql_refused="(2003, \"Can't connect to MySQL server on 'db.example.com' ([Errno 111] Connection refused)\")",
    oracle_no_listener="ORA-12541: TNS:no listener",
)
_says(
    "db-unreachable",
    psycopg_timed_out=f"{SERVER}timeout expired\n",
    pymysql_timed_out="(2003, \"Can't connect to MySQL server on 'db.example.com' (timed out)\")",
    pymssql_unavailable="(20009, b'DB-Lib error message 20009, severity 9:\\nUnable to connect: Adaptive Server is unavailable or does not exist (db.example.com)\\n')",
    oracle_timed_out="ORA-12170: TNS:Connect timeout occurred",
)
_says(
    "db-unreachable",
    error="ServerSelectionTimeoutError",
    pymongo_timed_out="docdb.example.com:27017: timed out (configured timeouts: socketTimeoutMS: 20000.0ms, connectTimeoutMS: 20000.0ms), Timeout: 30s, Topology Description: <TopologyDescription id: 6, topology_type: Unknown>",
)
_says(
    "db-connection-lost",
    psycopg_lost="server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n\tbefore or while processing the request.\n",
    pymysql_lost="(2013, 'Lost connection to MySQL server during query ([Errno 104] Connection reset by peer)')",
)
_says(
    "db-database-missing",
    psycopg_no_database=f'{SERVER}FATAL:  database "orders" does not exist\n',
    pymysql_no_database="(1049, \"Unknown database 'orders'\")",
)
_says(
    "db-not-ready",
    psycopg_too_many=f"{SERVER}FATAL:  sorry, too many clients already\n",
    psycopg_starting=f"{SERVER}FATAL:  the database system is starting up\n",
    pymysql_too_many="(1040, 'Too many connections')",
)
_says(
    "db-lock-timeout",
    psycopg_lock="canceling statement due to lock timeout\n",
    pymysql_lock="(1205, 'Lock wait timeout exceeded; try restarting transaction')",
)
_says(
    "db-not-admitted",
    psycopg_not_admitted=f'{SERVER}FATAL:  no pg_hba.conf entry for host "10.0.1.9", user "orders", database "orders", SSL encryption\n',
    pymysql_not_admitted="(1130, \"Host '10.0.1.9' is not allowed to connect to this MySQL server\")",
    oracle_locked="ORA-28000: the account is locked",
)
_says(
    "db-authentication-method",
    mysql_plugin="2059 (HY000): Authentication plugin 'caching_sha2_password' cannot be loaded: /usr/lib64/mysql/plugin/caching_sha2_password.so: cannot open shared object file",
)
_says(
    "db-grant-missing",
    psycopg_superuser="must be superuser to alter superuser roles or change superuser attribute\n",
    psycopg_16='permission denied to alter role\nDETAIL:  Only roles with the CREATEROLE attribute and the ADMIN option on role "orders" may alter this role.\n',
    pymysql_grant="(1227, 'Access denied; you need (at least one of) the CREATE USER privilege(s) for this operation')",
    oracle_grant="ORA-01031: insufficient privileges",
)
_says(
    "db-login-failed",
    psycopg_password=f'{SERVER}FATAL:  password authentication failed for user "orders"\n',
    oracle_password="ORA-01017: invalid username/password; logon denied",
    pymssql_password="(18456, b\"Login failed for user 'orders'.DB-Lib error message 20018, severity 14:\\nGeneral SQL Server error: Check messages from the SQL Server\\n\")",
    db2_password='[IBM][CLI Driver] SQL30082N  Security processing failed with reason "24" ("USERNAME AND/OR PASSWORD INVALID").  SQLSTATE=08001 SQLCODE=-30082',
    redis_password="WRONGPASS invalid username-password pair or user is disabled.",
)
_says(
    "db-login-failed",
    error="OperationFailure",
    pymongo_password="Authentication failed., full error: {'ok': 0.0, 'errmsg': 'Authentication failed.', 'code': 18, 'codeName': 'AuthenticationFailed'}",
)
_says(
    "db-password-rejected",
    mysql_policy="(1819, 'Your password does not satisfy the current policy requirements')",
    mssql_policy="(15118, b'Password validation failed. The password does not meet the operating system policy requirements because it is not complex enough.')",
    oracle_syntax="ORA-00922: missing or invalid option",
)
_says(
    "db-host-gone",
    psycopg_name='could not translate host name "db-old.example.com" to address: Name or service not known\n',
    pymysql_name="(2003, \"Can't connect to MySQL server on 'db-old.example.com' ([Errno -2] Name or service not known)\")",
)


@drivers.fault("db-host-gone")
def node_name(account: Account) -> None:
    account.failing("setSecret")
    account.configuration |= {"Runtime": "nodejs22.x", "Handler": "index.handler"}
    request_id = "9d000000-0000-4000-8000-0000000000d1"
    account.raw(
        f"START RequestId: {request_id} Version: $LATEST\n",
        lines.node_error(request_id, FAILED_AT, "Error", "getaddrinfo ENOTFOUND db-old.example.com"),
        f"END RequestId: {request_id}\n",
        f"REPORT RequestId: {request_id}\tDuration: 81.11 ms\tBilled Duration: 82 ms\tMemory Size: 256 MB\tMax Memory Used: 101 MB\t\n",
        at=FAILED_AT,
    )


@drivers.fault("db-login-failed")
def java_password(account: Account) -> None:
    account.failing("setSecret")
    account.configuration |= {"Runtime": "java21", "Handler": "com.example.Handler::handleRequest"}
    request_id = "9d000000-0000-4000-8000-0000000000d2"
    account.raw(
        f"START RequestId: {request_id} Version: $LATEST\n",
        lines.java_error(
            'FATAL: password authentication failed for user "orders"', "org.postgresql.util.PSQLException"
        ),
        f"END RequestId: {request_id}\n",
        f"REPORT RequestId: {request_id}\tDuration: 1081.11 ms\tBilled Duration: 1082 ms\tMemory Size: 512 MB\tMax Memory Used: 151 MB\t\n",
        at=FAILED_AT,
    )


@drivers.fault("hosted-stack-failed", also=("rotation-not-configured",), name="a stack rolled back")
def a_stack_that_was_rolled_back(account: Account) -> None:
    for member in ("RotationEnabled", "RotationLambdaARN", "RotationRules", "LastRotatedDate", "NextRotationDate"):
        account.secret.pop(member)
    account.trail.clear()
    stack = "arn:aws:cloudformation:eu-west-1:123456789012:stack/orders/1"
    account.secret["Tags"] = [
        {"Key": "aws:cloudformation:stack-name", "Value": "orders"},
        {"Key": "aws:cloudformation:stack-id", "Value": stack},
    ]
    account.replies["cloudformation:DescribeStackEvents"] = {
        "StackEvents": [
            {
                "StackId": stack,
                "StackName": "orders",
                "LogicalResourceId": "Schedule",
                "PhysicalResourceId": "",
                "ResourceType": "AWS::SecretsManager::RotationSchedule",
                "ResourceStatus": "CREATE_FAILED",
                "ResourceStatusReason": "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.",
                "Timestamp": ago(days=2),
            }
        ]
    }


@drivers.nothing(*HEALTHY, notes=("app-holds-old-credential",), name="an application reads the former value")
def an_application_that_reads_the_former_value(account: Account) -> None:
    account.trail.clear()
    account.succeeded(at=ago(hours=6))
    account.secret |= {
        "LastRotatedDate": ago(hours=6),
        "LastChangedDate": ago(hours=6),
        "NextRotationDate": ago(days=-30),
    }
    versions = account._secretsmanager_list_secret_version_ids({})
    assert isinstance(versions, dict)
    for version in versions["Versions"]:
        if version["VersionId"] == PREVIOUS:
            version["LastAccessedDate"] = ago(hours=1)
    account.replies["secretsmanager:ListSecretVersionIds"] = versions


@drivers.nothing(*HEALTHY, *INCONCLUSIVE, notes=("eventual-consistency",), name="it was not there for a moment")
def it_was_not_there_for_a_moment(account: Account) -> None:
    account.due(days=30)
    account.secret["NextRotationDate"] = ago(minutes=1)
    account.service_event("RotationStarted", at=ago(seconds=40))
    account.pending(since=ago(seconds=40))
    missing = "An error occurred (ResourceNotFoundException) when calling the GetSecretValue operation: Secrets Manager can't find the specified secret value for staging label: AWSPENDING"
    account.raised("ResourceNotFoundException", missing, function="set_secret", at=ago(seconds=30))
    account.ran(
        lines.info(f"setSecret: Successfully set password for orders in PostgreSQL DB for secret arn {SECRET}."),
        at=ago(seconds=20),
    )
