"""A second look: written when the first cases had been used to mend the checks, and not used for that before they were
counted once (docs/doctor-corpus.md has that number, too).
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from tests.corpus import lines
from tests.corpus.account import (
    ACCOUNT,
    CURRENT,
    FAILED_AT,
    FUNCTION,
    KEY,
    NAME,
    OTHER_SECRET,
    PENDING,
    PREVIOUS,
    REGION,
    ROLE,
    SECRET,
    SESSION,
    SUPERUSER,
    Account,
    ago,
    policy,
    refusal,
)
from tests.corpus.cases import AT_RISK, HEALTHY, INCONCLUSIVE, Family
from tests.corpus.network import EVERYWHERE, LOCAL, allow, entry, route, table

second = Family("second look", "AWS documentation: as in the families above, in other clothing")

LOGIN = f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}"
KMS = (
    "An error occurred (AccessDeniedException) when calling the GetSecretValue operation: Access to KMS is not allowed"
)


def _statements(account: Account) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = account.role_policies["rotation"]["Statement"]
    return found


@second.fault(
    "lambda-import-error", source="public thread: PR aws-secrets-manager-rotation-lambdas#176, pg8000 left out"
)
def no_module_pg8000_after_a_change_of_the_code(account: Account) -> None:
    account.failing(retries=2)
    account.configuration["LastModified"] = "2026-11-20T08:00:00.000+0000"
    account.ran(
        lines.Init("Runtime.ImportModuleError", "Unable to import module 'lambda_function': No module named 'pg8000'"),
        ms=2,
    )


@second.nothing(
    *INCONCLUSIVE, notes=("lambda-import-error",), source="AWS documentation: the package was replaced since"
)
def the_package_was_replaced_after_the_error(account: Account) -> None:
    account.failing()
    account.ran(
        lines.Init("Runtime.ImportModuleError", "Unable to import module 'lambda_function': No module named 'pg'")
    )
    account.configuration["LastModified"] = "2026-11-27T11:30:00.000+0000"


@second.fault("lambda-native-module-mismatch", source="form of words: a posted log, GLIBC not found in /var/task")
def a_library_wants_another_glibc(account: Account) -> None:
    account.failing()
    said = "Unable to import module 'lambda_function': /lib64/libm.so.6: version `GLIBC_2.29' not found (required by /var/task/psycopg2/_psycopg.cpython-312-x86_64-linux-gnu.so)"
    account.ran(lines.Init("Runtime.ImportModuleError", said))


@second.fault("network-nat-broken")
def the_gateways_own_subnet_lost_its_internet_gateway(account: Account) -> None:
    account.failing()
    account.timed_out()
    account.in_vpc().table("rtb-public")["Routes"] = [LOCAL]


@second.fault("network-nat-broken")
def one_of_two_gateways_is_deleted(account: Account) -> None:
    account.failing(retries=3)
    account.timed_out()
    found = account.in_vpc()
    found.gateways.append({**found.gateways[0], "NatGatewayId": "nat-2", "State": "deleted"})
    found.table("rtb-private")["Associations"] = [
        {"Main": False, "SubnetId": "subnet-private-a", "RouteTableId": "rtb-private"}
    ]
    found.tables.append(table("rtb-b", route(NatGatewayId="nat-2"), subnets=("subnet-private-b",)))


@second.fault("endpoint-sg-blocks-https")
def the_endpoint_admits_one_of_two_subnets(account: Account) -> None:
    account.failing(retries=2)
    account.timed_out()
    found = account.in_vpc()
    found.with_endpoint()
    found.group("sg-endpoint")["IpPermissions"] = [allow("tcp", 443, "10.0.1.0/24")]


@second.fault("nacl-blocks-https")
def the_acl_of_the_endpoints_subnet_denies(account: Account) -> None:
    account.failing()
    account.timed_out()
    found = account.in_vpc()
    found.with_endpoint(SubnetIds=["subnet-database"])
    found.acls[0]["Associations"] = [
        each for each in found.acls[0]["Associations"] if each["SubnetId"] != "subnet-database"
    ]
    closed = [entry(100, "allow", egress=True), entry(90, "deny", egress=False, protocol="6", ports=(443, 443))]
    closed += [entry(100, "allow", egress=False), entry(32767, "deny", egress=True), entry(32767, "deny", egress=False)]
    found.acls.append(
        {
            "NetworkAclId": "acl-2",
            "VpcId": "vpc-1",
            "IsDefault": False,
            "Entries": closed,
            "Associations": [{"SubnetId": "subnet-database", "NetworkAclId": "acl-2"}],
        }
    )


@second.fault("db-sg-blocks-function")
def a_cluster_lets_nobody_in(account: Account) -> None:
    account.failing("setSecret")
    account.template(LOGIN, ms=20110)
    found = account.in_vpc()
    found.group("sg-database")["IpPermissions"] = [allow("tcp", 5432, "172.16.0.0/12")]
    account.with_instance()
    instance = account.databases.pop("DBInstances")[0]
    writer = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com"
    account.value = {"engine": "postgres", "host": writer, "port": 5432, "username": "orders", "password": "x"}
    member = {**instance, "DBInstanceIdentifier": "orders-1", "DBClusterIdentifier": "orders"}
    account.databases["DBInstances"] = [member]
    account.databases["DBClusters"] = [
        {
            "DBClusterIdentifier": "orders",
            "Engine": "aurora-postgresql",
            "Endpoint": writer,
            "ReaderEndpoint": writer.replace("cluster-", "cluster-ro-"),
            "Port": 5432,
            "VpcSecurityGroups": instance["VpcSecurityGroups"],
            "DBSubnetGroup": "orders",
            "DBClusterMembers": [{"DBInstanceIdentifier": "orders-1", "IsClusterWriter": True}],
            "Status": "available",
        }
    ]


@second.fault(
    "db-unreachable",
    "db-login-failed",
    # In no VPC there is no way to the private address that the driver names.
    "function-outside-db-vpc",
    source="form of words: a custom function's psycopg2 error, connection timed out",
)
def the_driver_says_that_nobody_answers(account: Account) -> None:
    account.failing("setSecret")
    said = 'connection to server at "10.9.0.7", port 5432 failed: Connection timed out\n\tIs the server running on that host and accepting TCP/IP connections?'
    account.raised("OperationalError", said, function="set_secret", ms=12000)


@second.fault("db-login-failed", source="form of words: a custom function's psycopg2 error")
def the_driver_says_that_the_password_is_wrong(account: Account) -> None:
    account.failing("setSecret")
    said = 'connection to server at "db.example.com" (10.0.20.7), port 5432 failed: FATAL:  password authentication failed for user "orders"'
    account.raised("OperationalError", said, function="set_secret")


@second.fault("db-login-failed", source="form of words: a custom function's pymysql error, as JSON")
def the_driver_of_mysql_says_so_in_json(account: Account) -> None:
    account.json_log = True
    account.configuration["LoggingConfig"]["LogFormat"] = "JSON"
    account.failing("setSecret")
    said = "(1045, \"Access denied for user 'orders'@'10.0.1.9' (using password: YES)\")"
    account.raised("OperationalError", said, function="set_secret")


@second.fault("role-missing-secret-actions")
def allowed_by_tags_that_the_secret_has_not(account: Account) -> None:
    account.failing()
    _statements(account)[0]["Condition"] = {"StringEquals": {"secretsmanager:ResourceTag/team": "payments"}}
    account.secret["Tags"] = [{"Key": "team", "Value": "orders"}]
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@second.fault("role-missing-secret-actions")
def a_version_of_the_actions_of_the_guide_that_is_mistyped(account: Account) -> None:
    account.failing()
    _statements(account)[0]["Action"] = [
        "secretsmanager:DescribeSecrets",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ]
    account.refused("secretsmanager:DescribeSecret", function="lambda_handler")


@second.fault("role-explicit-deny")
def a_deny_outside_of_a_region(account: Account) -> None:
    account.failing()
    deny = {
        "Effect": "Deny",
        "NotAction": ["iam:*", "logs:*"],
        "Resource": "*",
        "Condition": {"StringNotEquals": {"aws:RequestedRegion": "us-east-1"}},
    }
    account.role_policies["region"] = policy(deny)
    account.refused(
        "secretsmanager:DescribeSecret",
        SECRET,
        "with an explicit deny in an identity-based policy",
        function="lambda_handler",
    )


@second.fault("secret-policy-denies")
def the_secrets_policy_names_the_role_in_a_deny(account: Account) -> None:
    account.failing("finishSecret")
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": [ROLE]},
        "Action": ["secretsmanager:UpdateSecretVersionStage"],
        "Resource": SECRET,
    }
    account.replies["secretsmanager:GetResourcePolicy"] = {
        "ARN": SECRET,
        "Name": NAME,
        "ResourcePolicy": json.dumps(policy(deny)),
    }
    account.refused(
        "secretsmanager:UpdateSecretVersionStage",
        SECRET,
        "with an explicit deny in a resource-based policy",
        function="finish_secret",
    )


@second.nothing(*HEALTHY)
def the_secrets_policy_wants_tls(account: Account) -> None:
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "secretsmanager:*",
        "Resource": "*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    account.replies["secretsmanager:GetResourcePolicy"] = {
        "ARN": SECRET,
        "Name": NAME,
        "ResourcePolicy": json.dumps(policy(deny)),
    }


@second.nothing(*HEALTHY)
def the_secrets_policy_spares_by_user_id(account: Account) -> None:
    condition = {"StringNotLike": {"aws:userId": ["AROA0000000000000ROLE:*", "AIDAADMIN"]}}
    deny = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:*", "Resource": "*", "Condition": condition}
    account.replies["secretsmanager:GetResourcePolicy"] = {
        "ARN": SECRET,
        "Name": NAME,
        "ResourcePolicy": json.dumps(policy(deny)),
    }


@second.fault("kms-role-denied")
def kms_by_another_service_only(account: Account) -> None:
    account.failing()
    account.with_key()
    via = {"StringEquals": {"kms:ViaService": f"rds.{REGION}.amazonaws.com"}}
    account.role_policies["key"] = policy({"Effect": "Allow", "Action": "kms:*", "Resource": KEY, "Condition": via})
    account.raised("ClientError", KMS)


@second.fault("kms-key-policy-denies")
def a_key_of_another_account_lets_it_not_in(account: Account) -> None:
    account.failing()
    account.with_key()
    other = KEY.replace(ACCOUNT, "210987654321")
    account.secret["KmsKeyId"] = other
    reply: Any = account.replies["kms:DescribeKey"]
    reply["KeyMetadata"] |= {"Arn": other, "AWSAccountId": "210987654321"}
    root = {"AWS": "arn:aws:iam::210987654321:root"}
    document = policy({"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"})
    account.replies["kms:GetKeyPolicy"] = {"Policy": json.dumps(document), "PolicyName": "default"}
    account.role_policies["key"] = policy({"Effect": "Allow", "Action": "kms:*", "Resource": other})
    account.raised("ClientError", KMS)


@second.nothing(*HEALTHY)
def kms_on_every_key_by_this_service(account: Account) -> None:
    account.with_key()
    via = {"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}}
    account.role_policies["key"] = policy(
        {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*", "Condition": via}
    )


@second.fault("master-secret-read-denied")
def the_superusers_own_policy_denies(account: Account) -> None:
    account.failing("setSecret")
    account.with_superuser()
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "secretsmanager:GetSecretValue",
        "Resource": "*",
        "Condition": {"ArnNotEquals": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/dba"}},
    }
    account.replies["secretsmanager:GetResourcePolicy"] = lambda asked: {
        "ARN": asked["SecretId"],
        "Name": "any",
        **({"ResourcePolicy": json.dumps(policy(deny))} if asked["SecretId"] == SUPERUSER else {}),
    }
    account.refused(
        "secretsmanager:GetSecretValue",
        SUPERUSER,
        "with an explicit deny in a resource-based policy",
        function="set_secret",
    )


@second.fault("master-login-failed", source="AWS samples: SecretsManagerMongoDBRotationMultiUser, as JSON")
def the_superusers_password_is_wrong_in_json(account: Account) -> None:
    account.json_log = True
    account.configuration["LoggingConfig"]["LogFormat"] = "JSON"
    account.failing("setSecret", retries=2)
    account.with_superuser()
    account.template(f"setSecret: Unable to log into database using credentials in master secret {SUPERUSER}")


@second.fault("secret-key-missing", source="AWS samples: Active Directory, DirectoryId")
def no_username_in_node(account: Account) -> None:
    account.failing()
    account.template("username key is missing from secret JSON.", step="createSecret", error="KeyError")


@second.fault("no-current-version", source="public thread: terraform-provider-aws#9487, RemoveFromVersionId None")
def nothing_is_current_and_the_function_gets_to_its_end(account: Account) -> None:
    account.failing("finishSecret")
    account.secret["VersionIdsToStages"] = {PENDING: ["AWSPENDING"]}
    account.raised(
        "ParamValidationError",
        "Parameter validation failed:\nInvalid type for parameter RemoveFromVersionId, value: None, type: <class 'NoneType'>, valid types: <class 'str'>",
        function="finish_secret",
    )


@second.fault("function-token-mishandled", source="form of words: a rotation function that says it in words of its own")
def the_token_is_not_pending_in_other_words(account: Account) -> None:
    account.failing("createSecret")
    said = "Secret version token not set as AWSPENDING for rotation of secret arn."
    account.ran(lines.Raised("ValueError", said, "lambda_handler"))


@second.fault("function-unhandled-error", source="form of words: a Go function as its runtime logs it")
def a_panic_in_go(account: Account) -> None:
    account.failing("setSecret")
    account.configuration |= {"Runtime": "provided.al2023", "Handler": "bootstrap"}
    request_id = "9d000000-0000-4000-8000-00000000000b"
    account.raw(
        f"START RequestId: {request_id} Version: $LATEST\n",
        f"2026/11/27 10:59:58 rotating {SECRET}\n",
        '{"errorMessage":"runtime error: invalid memory address or nil pointer dereference","errorType":"errorString","stackTrace":[{"path":"runtime/panic.go","line":260,"label":"panicmem"}]}\n',
        f"END RequestId: {request_id}\n",
        f"REPORT RequestId: {request_id}\tDuration: 12.11 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 31 MB\tStatus: error\tError Type: errorString\t\n",
        at=FAILED_AT,
    )


@second.fault("lambda-out-of-memory", source="form of words: a Java function, OutOfMemoryError")
def the_heap_of_java_is_full(account: Account) -> None:
    account.failing("createSecret")
    account.configuration |= {"Runtime": "java21", "Handler": "com.example.Handler::handleRequest"}
    request_id = "9d000000-0000-4000-8000-00000000000c"
    account.raw(
        f"START RequestId: {request_id} Version: $LATEST\n",
        "Java heap space: java.lang.OutOfMemoryError\njava.lang.OutOfMemoryError: Java heap space\n\tat com.example.Handler.handleRequest(Handler.java:20)\n\n",
        f"END RequestId: {request_id}\n",
        f"REPORT RequestId: {request_id}\tDuration: 9012.11 ms\tBilled Duration: 9013 ms\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t\n",
        at=FAILED_AT,
    )


@second.nothing(*HEALTHY)
def a_healthy_function_shared_by_three_of_which_two_fail(account: Account) -> None:
    third = OTHER_SECRET.replace("svc/other", "svc/third")
    for number, secret in enumerate((OTHER_SECRET, third)):
        at = ago(minutes=30 + number)
        account.failed("setSecret", at=at, secret=secret)
        account.template(
            LOGIN.replace(SECRET, secret), at=at - timedelta(seconds=2), stream=f"2026/11/27/[$LATEST]{number}f"
        )
    account.ran(lines.CREDENTIALS, timed_out=30.03, at=ago(minutes=31, seconds=20), stream="2026/11/27/[$LATEST]9f")


@second.nothing(*HEALTHY)
def two_streams_interleave_and_the_other_fails(account: Account) -> None:
    account.failed("setSecret", at=FAILED_AT, secret=OTHER_SECRET)
    account.template(LOGIN.replace(SECRET, OTHER_SECRET), stream="2026/11/27/[$LATEST]aa")
    account.ran(
        lines.CREDENTIALS,
        lines.info(f"createSecret: Successfully retrieved secret for {SECRET}."),
        stream="2026/11/27/[$LATEST]bb",
    )


@second.nothing(*HEALTHY)
def an_administrator_failed_and_then_did_it(account: Account) -> None:
    admin = f"arn:aws:iam::{ACCOUNT}:user/admin"
    account.call(
        "RotateSecret",
        by=admin,
        at=ago(days=12, minutes=5),
        parameters={"secretId": SECRET},
        error=(
            "AccessDenied",
            lines.denial(
                admin,
                "secretsmanager:RotateSecret",
                SECRET,
                "because no identity-based policy allows the secretsmanager:RotateSecret action",
            ),
        ),
    )
    account.call("RotateSecret", by=admin, at=ago(days=12, seconds=4), parameters={"secretId": SECRET})


@second.nothing(*HEALTHY)
def it_has_never_been_rotated_and_the_first_window_is_ahead(account: Account) -> None:
    account.trail.clear()
    account.secret.pop("LastRotatedDate")
    account.secret["NextRotationDate"] = ago(days=-3)
    account.secret["VersionIdsToStages"] = {CURRENT: ["AWSCURRENT"]}
    account.secret["RotationRules"] = {"ScheduleExpression": "cron(0 4 1 * ? *)", "Duration": "4h"}


@second.nothing(*HEALTHY)
def the_window_of_this_week_went_well_an_hour_ago(account: Account) -> None:
    account.trail.clear()
    account.succeeded(at=ago(minutes=58))
    account.secret |= {
        "RotationRules": {"ScheduleExpression": "cron(0 10 ? * FRI *)", "Duration": "2h"},
        "LastRotatedDate": ago(minutes=58),
        "LastChangedDate": ago(minutes=58),
        "NextRotationDate": ago(days=-7),
        "VersionIdsToStages": {CURRENT: ["AWSCURRENT", "AWSPENDING"], PREVIOUS: ["AWSPREVIOUS"]},
    }


@second.nothing(*HEALTHY)
def a_function_in_a_vpc_with_ipv6_and_a_proxy_of_its_own(account: Account) -> None:
    found = account.in_vpc()
    found.subnets[0]["Ipv6CidrBlockAssociationSet"] = [
        {"Ipv6CidrBlock": "2001:db8::/64", "Ipv6CidrBlockState": {"State": "associated"}}
    ]
    found.table("rtb-private")["Routes"].append(
        {"DestinationIpv6CidrBlock": "::/0", "EgressOnlyInternetGatewayId": "eigw-1", "State": "active"}
    )
    found.group("sg-function")["IpPermissionsEgress"] = [
        allow("tcp", 443, EVERYWHERE),
        allow("tcp", 5432, "10.0.0.0/16"),
        allow("udp", 53, "10.0.0.2/32"),
    ]


@second.nothing(*AT_RISK, notes=("lambda-runtime-deprecated",))
def an_old_node(account: Account) -> None:
    account.configuration |= {"Runtime": "nodejs16.x", "Handler": "index.handler"}


@second.nothing(*INCONCLUSIVE, source="AWS documentation: IAM; an expired session of who looks")
def the_session_of_who_looks_has_ended(account: Account) -> None:
    account.failing()
    for action in (
        "logs:FilterLogEvents",
        "logs:DescribeLogGroups",
        "cloudtrail:LookupEvents",
        "iam:GetRole",
        "iam:ListRolePolicies",
        "iam:ListAttachedRolePolicies",
    ):
        account.replies[action] = refusal(
            action.partition(":")[2],
            "ExpiredTokenException",
            "The security token included in the request is expired",
            403,
        )


@second.fault("invoke-permission-missing")
def the_statement_is_for_another_action_and_the_log_is_of_tests(account: Account) -> None:
    """Somebody has tried the function in the console, which says nothing of Secrets Manager's permission."""
    account.failing()
    account.function_policy = policy(
        {"Sid": "x", "Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunctionUrl", "Resource": FUNCTION}
    )
    account.raised("KeyError", "'SecretId'", function="lambda_handler", at=ago(minutes=30))


@second.fault("scp-denies")
def the_organisation_denies_kms(account: Account) -> None:
    account.failing()
    account.with_key()
    said = lines.denial(SESSION, "kms:GenerateDataKey", KEY, "with an explicit deny in a service control policy")
    account.raised(
        "ClientError", f"An error occurred (AccessDeniedException) when calling the PutSecretValue operation: {said}"
    )


@second.fault("rotation-abandoned", source="AWS documentation: Secrets Manager, Log events with CloudTrail")
def abandoned_by_a_pipeline_twice(account: Account) -> None:
    account.due()
    pipeline = f"arn:aws:sts::{ACCOUNT}:assumed-role/deployer/build-17"
    for hours in (26, 2):
        account.service_event("RotationStarted", at=ago(hours=hours, minutes=2))
        account.call("UpdateSecret", by=pipeline, at=ago(hours=hours, minutes=1), parameters={"secretId": NAME})
        account.service_event("RotationAbandoned", at=ago(hours=hours))
