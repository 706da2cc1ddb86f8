"""The CloudFormation template that runs a packaged rotation function in AWS; and its policies, to be filled in.

Source: AWS CloudFormation Template Reference, AWS::Lambda::Function, AWS::Lambda::Permission, AWS::IAM::Role,
AWS::IAM::Policy, AWS::Logs::LogGroup and AWS::SecretsManager::RotationSchedule; AWS Lambda Developer Guide, "Giving
Lambda functions access to resources in an Amazon VPC" (the managed policy).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from keyturn.rules import rotation_permissions as permissions

Json = dict[str, object]

_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_NOTHING: Json = {"Ref": "AWS::NoValue"}
_SECRET: Json = {"Ref": "SecretArn"}
_SUPERUSER: Json = {"Ref": "SuperuserSecretArn"}
_FUNCTION: Json = {"Fn::GetAtt": ["RotationFunction", "Arn"]}
_LOG_GROUP = "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:/aws/lambda/${RotationFunction}"
_VPC_POLICY = "arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
_LOG_GROUP_NAME = "/aws/lambda/${RotationFunction}"
_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
# The function's variables and the parameters that set them.
_VARIABLES = {
    "EXCLUDE_CHARACTERS": "ExcludeCharacters",
    "PASSWORD_LENGTH": "PasswordLength",
    "SECRETS_MANAGER_ENDPOINT": "SecretsManagerEndpoint",
    "SSL_CERT_FILE": "CaBundle",
}
_SECRET_ARN_PATTERN = "arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+"  # noqa: S105 - a pattern


def template(
    *, title: str, handler: str, zip_name: str, architecture: str | None, strategy: str, has_superuser: bool
) -> Mapping[str, object]:
    """Return the template.

    Args:
        title: The database, for people.
        handler: Of the function.
        zip_name: Of the package that lies beside the template.
        architecture: For which the package was built; None if it runs on any.
        strategy: Of the rotation, for people.
        has_superuser: Whether there is a superuser secret.
    """
    built = f"{_RUNTIME} on {architecture} only" if architecture else f"{_RUNTIME} or later, x86_64 or arm64"
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Rotates credentials of {title}, {strategy}. The package runs in {built}.",
        "Parameters": {**_parameters(), **(_superuser_parameters() if has_superuser else {})},
        "Conditions": {
            "HasKmsKey": _is_given({"Ref": "KmsKeyArn"}),
            "HasLayers": _is_given({"Fn::Join": ["", {"Ref": "Layers"}]}),
            "HasLogKmsKey": _is_given({"Ref": "LogKmsKeyArn"}),
            **{f"Has{parameter}": _is_given({"Ref": parameter}) for parameter in _VARIABLES.values()},
            **({"HasSuperuserKmsKey": _is_given({"Ref": "SuperuserKmsKeyArn"})} if has_superuser else {}),
            "IsInVpc": _is_given({"Fn::Join": ["", {"Ref": "SubnetIds"}]}),
        },
        "Resources": {
            "Role": _role(),
            "RotationFunction": _function(handler, zip_name, architecture or "x86_64"),
            "LogGroup": _log_group(),
            "RolePolicy": _policy(permissions.ROLE_POLICY, _role_statements()),
            **({"SuperuserPolicy": _superuser_policy()} if has_superuser else {}),
            "Permission": {
                "Type": "AWS::Lambda::Permission",
                "Properties": {
                    "FunctionName": {"Ref": "RotationFunction"},
                    **permissions.invoke_permission(_SECRET, {"Ref": "AWS::AccountId"}),
                },
            },
            "RotationSchedule": _schedule(has_superuser=has_superuser),
        },
        "Outputs": {"RotationFunctionArn": {"Value": _FUNCTION}},
    }


def policies(*, has_superuser: bool) -> Mapping[str, Mapping[str, object]]:
    """Return the same policies by name, with names in capitals to be replaced."""
    arn = "arn:aws:{}:REGION:ACCOUNT_ID:{}".format
    secret, superuser = arn("secretsmanager", "secret:NAME-SUFFIX"), arn("secretsmanager", "secret:SUPERUSER-SUFFIX")
    log_group = arn("logs", "log-group:/aws/lambda/FUNCTION")
    role = permissions.role_policy(secret, arn("lambda", "function:FUNCTION"), log_group, f"{log_group}:*", None)
    key = arn("kms", "key/KEY_ID")
    granted, granted_key = permissions.superuser_statements(superuser, key)
    return {
        "trust-policy": permissions.trust_policy("ACCOUNT_ID"),
        "role-policy": role,
        "role-key-policy": permissions.document(permissions.key_statement(secret, key)),
        **({"superuser-policy": permissions.document(granted)} if has_superuser else {}),
        **({"superuser-key-policy": permissions.document(granted_key)} if has_superuser else {}),
    }


def _parameters() -> Json:
    return {
        "SecretArn": _parameter("ARN of the secret that rotates.", AllowedPattern=_SECRET_ARN_PATTERN),
        "KmsKeyArn": _parameter("ARN of the secret's customer managed key; empty if it has none.", Default=""),
        "Schedule": _parameter("When to rotate: rate() or cron().", Default="rate(30 days)"),
        "RotateImmediately": {
            **_parameter("Whether to rotate now and whenever this is changed.", Default="true"),
            "AllowedValues": ["true", "false"],
        },
        "SubnetIds": _list_of("Subnets from which the function reaches database and Secrets Manager; empty for none."),
        "SecurityGroupIds": _list_of("Security groups of the function in those subnets."),
        "ExcludeCharacters": _parameter("What a new password must not contain; empty for the default.", Default=""),
        "PasswordLength": _parameter(
            "Of a new password; empty for the default.", Default="", AllowedPattern="[1-9][0-9]*|"
        ),
        "SecretsManagerEndpoint": _parameter(
            "URL of Secrets Manager, of a VPC endpoint for instance; empty for the region's own.", Default=""
        ),
        "CaBundle": _parameter(
            "File with the authorities that ssl true trusts: /var/task/global-bundle.pem if it lies in the zip,"
            " /opt/global-bundle.pem if in a layer; empty for the system's, which do not have those of Amazon RDS.",
            Default="",
        ),
        "Layers": _list_of("ARNs of layers for the function; empty for none."),
        "LogRetentionInDays": {
            "Type": "Number",
            "Description": "How long the function's log is kept.",
            "Default": 90,
            "AllowedValues": list(_RETENTION_DAYS),
        },
        "LogKmsKeyArn": _parameter(
            "ARN of a customer managed key for the log, whose policy admits CloudWatch Logs; empty for none.",
            Default="",
        ),
    }


def _superuser_parameters() -> Json:
    return {
        "SuperuserSecretArn": _parameter(
            "ARN of the superuser secret, which masterarn in the secret's value names. To give it here lets the"
            " function read it.",
            AllowedPattern=_SECRET_ARN_PATTERN,
        ),
        "SuperuserKmsKeyArn": _parameter("ARN of that secret's customer managed key; empty if none.", Default=""),
    }


def _parameter(description: str, **more: str) -> Json:
    return {"Type": "String", "Description": description, **more}


def _list_of(description: str) -> Json:
    return {"Type": "CommaDelimitedList", "Description": description, "Default": ""}


def _is_given(value: Json) -> Json:
    return {"Fn::Not": [{"Fn::Equals": [value, ""]}]}


def _if(condition: str, value: object) -> Json:
    return {"Fn::If": [condition, value, _NOTHING]}


def _role() -> Json:
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": permissions.trust_policy({"Ref": "AWS::AccountId"}),
            "ManagedPolicyArns": [_if("IsInVpc", {"Fn::Sub": _VPC_POLICY})],
        },
    }


def _function(handler: str, zip_name: str, architecture: str) -> Json:
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": _RUNTIME,
            "Architectures": [architecture],
            "Handler": handler,
            "Code": zip_name,
            "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            "Timeout": 30,
            "MemorySize": 256,
            "Environment": {
                "Variables": {
                    variable: _if(f"Has{parameter}", {"Ref": parameter}) for variable, parameter in _VARIABLES.items()
                }
            },
            "Layers": _if("HasLayers", {"Ref": "Layers"}),
            "VpcConfig": _if(
                "IsInVpc",
                {"SubnetIds": {"Ref": "SubnetIds"}, "SecurityGroupIds": {"Ref": "SecurityGroupIds"}},
            ),
        },
    }


def _log_group() -> Json:
    # Lambda would make it without an end.
    return {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {
            "LogGroupName": {"Fn::Sub": _LOG_GROUP_NAME},
            "RetentionInDays": {"Ref": "LogRetentionInDays"},
            "KmsKeyId": _if("HasLogKmsKey", {"Ref": "LogKmsKeyArn"}),
        },
    }


def _role_statements() -> list[Json]:
    always = permissions.role_statements(_SECRET, _FUNCTION, {"Fn::Sub": _LOG_GROUP}, {"Fn::Sub": f"{_LOG_GROUP}:*"})
    return [*always, _if("HasKmsKey", permissions.key_statement(_SECRET, {"Ref": "KmsKeyArn"}))]


def _superuser_policy() -> Json:
    always, with_key = permissions.superuser_statements(_SUPERUSER, {"Ref": "SuperuserKmsKeyArn"})
    return _policy(permissions.SUPERUSER_POLICY, [always, _if("HasSuperuserKmsKey", with_key)])


def _policy(name: str, statements: list[Json]) -> Json:
    # Beside the role, not in it: the role's policy names the function, and the function its role.
    return {
        "Type": "AWS::IAM::Policy",
        "Properties": {
            "PolicyName": name,
            "PolicyDocument": permissions.document(*statements),
            "Roles": [{"Ref": "Role"}],
        },
    }


def _schedule(*, has_superuser: bool) -> Json:
    return {
        "Type": "AWS::SecretsManager::RotationSchedule",
        # The first rotation begins when this is made.
        "DependsOn": ["Permission", "RolePolicy", "LogGroup", *(["SuperuserPolicy"] if has_superuser else [])],
        "Properties": {
            "SecretId": _SECRET,
            "RotationLambdaARN": _FUNCTION,
            "RotateImmediatelyOnUpdate": {"Ref": "RotateImmediately"},
            "RotationRules": {"ScheduleExpression": {"Ref": "Schedule"}},
        },
    }
