"""The CloudFormation template that runs a packaged rotation function in AWS; and its policies, to be filled in.

Source: AWS CloudFormation Template Reference, AWS::Lambda::Function, AWS::Lambda::Permission, AWS::IAM::Role,
AWS::IAM::Policy and AWS::SecretsManager::RotationSchedule; AWS Lambda Developer Guide, "Giving Lambda functions access
to resources in an Amazon VPC" (the managed policy).
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
_SECRET_ARN_PATTERN = "arn:[a-z-]+:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+"  # noqa: S105 - a pattern


def template(
    *, title: str, handler: str, zip_name: str, architecture: str | None, has_superuser: bool
) -> Mapping[str, object]:
    """Return the template.

    Args:
        title: The database, for people.
        handler: Of the function.
        zip_name: Of the package that lies beside the template.
        architecture: For which the package was built; None if it runs on any.
        has_superuser: Whether two users take turns, so that there is a superuser secret.
    """
    built = f"{_RUNTIME} on {architecture} only" if architecture else f"{_RUNTIME} or later, x86_64 or arm64"
    turns = "alternating users" if has_superuser else "single user"
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Rotates the password of a {title} user, {turns}. The package runs in {built}.",
        "Parameters": {**_parameters(), **(_superuser_parameters() if has_superuser else {})},
        "Conditions": {
            "HasKmsKey": _is_given({"Ref": "KmsKeyArn"}),
            **({"HasSuperuserKmsKey": _is_given({"Ref": "SuperuserKmsKeyArn"})} if has_superuser else {}),
            "IsInVpc": _is_given({"Fn::Join": ["", {"Ref": "SubnetIds"}]}),
        },
        "Resources": {
            "Role": _role(),
            "RotationFunction": _function(handler, zip_name, architecture or "x86_64"),
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
    granted = permissions.document(*permissions.superuser_statements(superuser, None))
    return {
        "trust-policy": permissions.trust_policy("ACCOUNT_ID"),
        "role-policy": role,
        **({"superuser-policy": granted} if has_superuser else {}),
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
            "VpcConfig": _if(
                "IsInVpc",
                {"SubnetIds": {"Ref": "SubnetIds"}, "SecurityGroupIds": {"Ref": "SecurityGroupIds"}},
            ),
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
        "DependsOn": ["Permission", "RolePolicy", *(["SuperuserPolicy"] if has_superuser else [])],
        "Properties": {
            "SecretId": _SECRET,
            "RotationLambdaARN": _FUNCTION,
            "RotateImmediatelyOnUpdate": {"Ref": "RotateImmediately"},
            "RotationRules": {"ScheduleExpression": {"Ref": "Schedule"}},
        },
    }
