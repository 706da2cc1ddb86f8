"""What a rotation function may do, and who may invoke it: the documents that AWS writes when it makes one for a secret.

Where an ARN stands a template may have what stands for it there (``{"Ref": "SecretArn"}``).

Sources: AWS Secrets Manager User Guide, "Lambda rotation function execution role permissions" (the five actions, the
statements for a customer managed key and for the superuser secret) and "Lambda rotation function" (the resource
policy); AWS SAM's policy template AWSSecretsManagerRotationPolicy (the condition on AllowRotationLambdaArn); AWS's
guide to troubleshooting rotation ("AllowAccessToMasterSecret"); AWS Lambda Developer Guide, "Giving Lambda functions
access to resources in an Amazon VPC" (the permissions on network interfaces).
"""

from __future__ import annotations

from collections.abc import Mapping

Value = str | Mapping[str, object]
"""An ARN or a name, or what stands for it in a template."""

Statement = dict[str, object]
Document = dict[str, object]

ROLE_POLICY = "SecretsManagerRotation"
"""Name of the role's inline policy."""

SUPERUSER_POLICY = "AllowAccessToMasterSecret"
"""Name of the inline policy that lets the role read the superuser secret: beside the other, for somebody else grants
it."""

NETWORK_POLICY = "LambdaVpcAccess"
"""Name of the inline policy that a function in a VPC needs."""

STATEMENT_ID = "SecretsManagerAccess"
"""Of the statement in the function's own policy, as in AWS's guide."""

SECRETS_MANAGER = "secretsmanager.amazonaws.com"
"""Who invokes a rotation function."""

_OF_THE_SECRET = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")
_OF_THE_LOG = ("CreateLogGroup", "CreateLogStream", "PutLogEvents")
_OF_THE_INTERFACES = ("CreateNetworkInterface", "DescribeNetworkInterfaces", "DeleteNetworkInterface")


def document(*statements: Statement) -> Document:
    """Return a policy of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust_policy(account_id: Value) -> Document:
    """Return the policy by which Lambda may assume the role, for functions of its own account only."""
    return document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
        }
    )


def role_policy(
    secret_arn: Value, function_arn: Value, log_group_arn: Value, log_streams_arn: Value, kms_key_arn: Value | None
) -> Document:
    """Return what the role may do; the arguments are those of the statements."""
    with_key = [] if kms_key_arn is None else [key_statement(secret_arn, kms_key_arn)]
    return document(*role_statements(secret_arn, function_arn, log_group_arn, log_streams_arn), *with_key)


def role_statements(
    secret_arn: Value, function_arn: Value, log_group_arn: Value, log_streams_arn: Value
) -> list[Statement]:
    """Return what it takes to rotate one secret, as long as the function is that secret's rotation function.

    Args:
        secret_arn: The secret.
        function_arn: The rotation function.
        log_group_arn: The function's log group.
        log_streams_arn: What is in it: the same with ``:*``.
    """
    return [
        {
            "Sid": "AllowAccessToSecret",
            "Effect": "Allow",
            "Action": [f"secretsmanager:{action}" for action in _OF_THE_SECRET],
            "Resource": secret_arn,
            "Condition": {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": function_arn}},
        },
        # There is nothing to narrow it to.
        {
            "Sid": "AllowRandomPassword",
            "Effect": "Allow",
            "Action": "secretsmanager:GetRandomPassword",
            "Resource": "*",
        },
        {
            "Sid": "AllowLogging",
            "Effect": "Allow",
            "Action": [f"logs:{action}" for action in _OF_THE_LOG],
            "Resource": [log_group_arn, log_streams_arn],
        },
    ]


def key_statement(secret_arn: Value, kms_key_arn: Value) -> Statement:
    """Return the statement by which a secret under a customer managed key is read and written."""
    return _use_of_key("AllowUseOfKey", ["kms:Decrypt", "kms:GenerateDataKey"], secret_arn, kms_key_arn)


def superuser_statements(superuser_arn: Value, kms_key_arn: Value | None) -> list[Statement]:
    """Return what the role needs to log in as the superuser; nobody is granted that without being asked.

    Args:
        superuser_arn: The superuser secret, which AWS's guide calls the "master" secret.
        kms_key_arn: Of that secret's customer managed key, if it has one.
    """
    statements: list[Statement] = [
        {
            "Sid": "AllowAccessToMasterSecret",
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": superuser_arn,
        }
    ]
    if kms_key_arn is not None:
        statements.append(_use_of_key("AllowUseOfKeyOfMasterSecret", "kms:Decrypt", superuser_arn, kms_key_arn))
    return statements


def network_policy() -> Document:
    """Return what Lambda does with the role's permissions to attach a function to a VPC."""
    # Which interfaces, is not known beforehand; Lambda asks whether any of them may be deleted.
    return document(
        {
            "Sid": "AllowNetworkInterfaces",
            "Effect": "Allow",
            "Action": [f"ec2:{action}" for action in _OF_THE_INTERFACES],
            "Resource": "*",
        }
    )


def invoke_permission(secret_arn: Value | None, account_id: Value) -> dict[str, Value]:
    """Return AddPermission's parameters by which Secrets Manager may invoke the function.

    Args:
        secret_arn: The only secret for which it may; None if that is not known yet: then for all of the account.
        account_id: Whose secrets. Without it other accounts could have the function invoked (the confused deputy).
    """
    of_secret: dict[str, Value] = {} if secret_arn is None else {"SourceArn": secret_arn}
    return {
        "Action": "lambda:InvokeFunction",
        "Principal": SECRETS_MANAGER,
        "SourceAccount": account_id,
        **of_secret,
    }


def _use_of_key(sid: str, actions: str | list[str], secret_arn: Value, kms_key_arn: Value) -> Statement:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": actions,
        "Resource": kms_key_arn,
        "Condition": {"StringEquals": {"kms:EncryptionContext:SecretARN": secret_arn}},
    }
