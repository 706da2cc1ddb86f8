# noqa: INP001 - a script beside the package, not a part of it
"""Write ``src/keyturn/wire/types/SERVICE.py``: the TypedDicts of the operations that handlers take and give.

Run it after adding an operation to :data:`OPERATIONS` or after a botocore upgrade. ``--check`` writes nothing and
exits with status 1 if a checked-in file is stale, which a unit test asks on every run.
"""

from __future__ import annotations

import argparse
import keyword
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from keyturn.wire.models import OperationModel, ServiceModel, Shape, service

OPERATIONS: Final[dict[str, tuple[str, ...] | None]] = {
    # None: every operation of the service.
    "secretsmanager": None,
    "keyturn": None,
    "lambda": (
        "AddLayerVersionPermission",
        "AddPermission",
        "CreateAlias",
        "CreateFunction",
        "DeleteAlias",
        "DeleteFunction",
        "DeleteFunctionConcurrency",
        "DeleteLayerVersion",
        "GetAccountSettings",
        "GetAlias",
        "GetFunction",
        "GetFunctionConcurrency",
        "GetFunctionConfiguration",
        "GetLayerVersion",
        "GetLayerVersionByArn",
        "GetLayerVersionPolicy",
        "GetPolicy",
        "GetProvisionedConcurrencyConfig",
        "Invoke",
        "ListAliases",
        "ListFunctions",
        "ListLayerVersions",
        "ListLayers",
        "ListProvisionedConcurrencyConfigs",
        "ListTags",
        "ListVersionsByFunction",
        "PublishLayerVersion",
        "PublishVersion",
        "PutFunctionConcurrency",
        "RemoveLayerVersionPermission",
        "RemovePermission",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateFunctionCode",
        "UpdateFunctionConfiguration",
    ),
    "iam": (
        "AddUserToGroup",
        "AttachGroupPolicy",
        "AttachRolePolicy",
        "AttachUserPolicy",
        "CreateAccessKey",
        "CreateGroup",
        "CreatePolicy",
        "CreatePolicyVersion",
        "CreateRole",
        "CreateUser",
        "DeleteAccessKey",
        "DeleteGroup",
        "DeleteGroupPolicy",
        "DeletePolicy",
        "DeletePolicyVersion",
        "DeleteRole",
        "DeleteRolePermissionsBoundary",
        "DeleteRolePolicy",
        "DeleteUser",
        "DeleteUserPermissionsBoundary",
        "DeleteUserPolicy",
        "DetachGroupPolicy",
        "DetachRolePolicy",
        "DetachUserPolicy",
        "GetAccessKeyLastUsed",
        "GetAccountAuthorizationDetails",
        "GetAccountSummary",
        "GetContextKeysForCustomPolicy",
        "GetContextKeysForPrincipalPolicy",
        "GetGroup",
        "GetGroupPolicy",
        "GetPolicy",
        "GetPolicyVersion",
        "GetRole",
        "GetRolePolicy",
        "GetUser",
        "GetUserPolicy",
        "ListAccessKeys",
        "ListAccountAliases",
        "ListAttachedGroupPolicies",
        "ListAttachedRolePolicies",
        "ListAttachedUserPolicies",
        "ListEntitiesForPolicy",
        "ListGroupPolicies",
        "ListGroups",
        "ListGroupsForUser",
        "ListInstanceProfilesForRole",
        "ListPolicies",
        "ListPolicyTags",
        "ListPolicyVersions",
        "ListRolePolicies",
        "ListRoleTags",
        "ListRoles",
        "ListUserPolicies",
        "ListUserTags",
        "ListUsers",
        "PutGroupPolicy",
        "PutRolePermissionsBoundary",
        "PutRolePolicy",
        "PutUserPermissionsBoundary",
        "PutUserPolicy",
        "RemoveUserFromGroup",
        "SetDefaultPolicyVersion",
        "SimulateCustomPolicy",
        "SimulatePrincipalPolicy",
        "TagPolicy",
        "TagRole",
        "TagUser",
        "UntagPolicy",
        "UntagRole",
        "UntagUser",
        "UpdateAccessKey",
        "UpdateAssumeRolePolicy",
        "UpdateGroup",
        "UpdateRole",
        "UpdateRoleDescription",
        "UpdateUser",
    ),
    "sts": (
        "AssumeRole",
        "DecodeAuthorizationMessage",
        "GetAccessKeyInfo",
        "GetCallerIdentity",
        "GetSessionToken",
    ),
    "logs": (
        "CreateLogGroup",
        "CreateLogStream",
        "DeleteLogGroup",
        "DeleteLogStream",
        "DeleteRetentionPolicy",
        "DescribeLogGroups",
        "DescribeLogStreams",
        "FilterLogEvents",
        "GetLogEvents",
        "PutLogEvents",
        "PutRetentionPolicy",
    ),
    "cloudtrail": ("LookupEvents",),
    "kms": (
        "CancelKeyDeletion",
        "CreateAlias",
        "CreateGrant",
        "CreateKey",
        "Decrypt",
        "DeleteAlias",
        "DescribeKey",
        "DisableKey",
        "DisableKeyRotation",
        "EnableKey",
        "EnableKeyRotation",
        "Encrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateRandom",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "ListAliases",
        "ListGrants",
        "ListKeyPolicies",
        "ListKeyRotations",
        "ListKeys",
        "ListResourceTags",
        "ListRetirableGrants",
        "PutKeyPolicy",
        "ReEncrypt",
        "RetireGrant",
        "RevokeGrant",
        "RotateKeyOnDemand",
        "ScheduleKeyDeletion",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateKeyDescription",
    ),
    "cloudwatch": ("GetMetricData", "GetMetricStatistics", "ListMetrics"),
    "ec2": (
        "AllocateAddress",
        "AssociateRouteTable",
        "AttachInternetGateway",
        "AuthorizeSecurityGroupEgress",
        "AuthorizeSecurityGroupIngress",
        "CreateInternetGateway",
        "CreateNatGateway",
        "CreateNetworkAcl",
        "CreateNetworkAclEntry",
        "CreateNetworkInterface",
        "CreateRoute",
        "CreateRouteTable",
        "CreateSecurityGroup",
        "CreateSubnet",
        "CreateTags",
        "CreateVpc",
        "CreateVpcEndpoint",
        "DeleteInternetGateway",
        "DeleteNatGateway",
        "DeleteNetworkAcl",
        "DeleteNetworkAclEntry",
        "DeleteNetworkInterface",
        "DeleteRoute",
        "DeleteRouteTable",
        "DeleteSecurityGroup",
        "DeleteSubnet",
        "DeleteTags",
        "DeleteVpc",
        "DeleteVpcEndpoints",
        "DescribeAccountAttributes",
        "DescribeAddresses",
        "DescribeAvailabilityZones",
        "DescribeDhcpOptions",
        "DescribeInstances",
        "DescribeInternetGateways",
        "DescribeManagedPrefixLists",
        "DescribeNatGateways",
        "DescribeNetworkAcls",
        "DescribeNetworkInterfaceAttribute",
        "DescribeNetworkInterfaces",
        "DescribePrefixLists",
        "DescribeRegions",
        "DescribeRouteTables",
        "DescribeSecurityGroupRules",
        "DescribeSecurityGroups",
        "DescribeSubnets",
        "DescribeTags",
        "DescribeVpcAttribute",
        "DescribeVpcEndpointServices",
        "DescribeVpcEndpoints",
        "DescribeVpcPeeringConnections",
        "DescribeVpcs",
        "DetachInternetGateway",
        "DisassociateRouteTable",
        "GetManagedPrefixListEntries",
        "ModifyNetworkInterfaceAttribute",
        "ModifySecurityGroupRules",
        "ModifySubnetAttribute",
        "ModifyVpcAttribute",
        "ModifyVpcEndpoint",
        "ReleaseAddress",
        "ReplaceNetworkAclAssociation",
        "ReplaceNetworkAclEntry",
        "ReplaceRoute",
        "ReplaceRouteTableAssociation",
        "RevokeSecurityGroupEgress",
        "RevokeSecurityGroupIngress",
        "UpdateSecurityGroupRuleDescriptionsEgress",
        "UpdateSecurityGroupRuleDescriptionsIngress",
    ),
    "organizations": (
        "CreateAccount",
        "DescribeAccount",
        "DescribeCreateAccountStatus",
        "DescribeOrganization",
        "ListAccounts",
    ),
}

TYPES_DIRECTORY: Final = Path(__file__).resolve().parent.parent / "src/keyturn/wire/types"

_SCALARS: Final = {
    "string": "str",
    "integer": "int",
    "long": "int",
    "float": "float",
    "double": "float",
    "boolean": "bool",
    "blob": "bytes",
    "timestamp": "datetime",
}

_HEADER: Final = '''"""Wire types of {title}. Generated by scripts/generate_wire_types.py; do not edit."""

from __future__ import annotations

{imports}'''


def implemented(name: str) -> tuple[str, ...]:
    """Return the operations of a service that types are made for, sorted."""
    return tuple(sorted(OPERATIONS[name] or service(name).operation_names))


class _Module:
    """One file in the making: classes in the order in which they can be defined."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._classes: dict[str, str] = {}

    def text(self) -> str:
        """Return the whole file."""
        for name in implemented(self._model.name):
            operation = self._model.operation(name)
            self._add(f"{name}Request", operation.input)
            self._add(f"{name}Response", operation.output)
        body = "\n\n".join(self._classes.values())
        typing_names = ["NotRequired", "TypedDict"] if "NotRequired[" in body else ["TypedDict"]
        imports = [f"from typing import {', '.join(typing_names)}"]
        if "datetime" in body:
            imports.insert(0, "from datetime import datetime")
        return _HEADER.format(title=self._model.name, imports="\n".join(imports)) + "\n\n\n" + body

    def _add(self, class_name: str, shape: Shape | None) -> None:
        if class_name in self._classes:
            return
        self._classes[class_name] = ""  # Holds the place while a shape that contains itself is written.
        members = shape.members if shape is not None else {}
        required = shape.required if shape is not None else ()
        if any(keyword.iskeyword(name) for name in members):
            msg = f"{class_name} has a member that is a keyword; teach the generator the functional form."
            raise ValueError(msg)
        lines = [f"class {class_name}(TypedDict):"]
        for name, member in members.items():
            annotation = self._annotation(member)
            lines.append(f"    {name}: {annotation}" if name in required else f"    {name}: NotRequired[{annotation}]")
        if not members:
            lines.append("    pass")
        # Nested classes were added meanwhile; this one comes after them.
        del self._classes[class_name]
        self._classes[class_name] = "\n".join(lines) + "\n"

    def _annotation(self, shape: Shape) -> str:
        if shape.kind == "structure":
            class_name = self._class_name(shape)
            self._add(class_name, shape)
            return class_name
        if shape.kind == "list":
            return f"list[{self._annotation(shape.member)}]"
        if shape.kind == "map":
            key = self._annotation(shape.key)
            return f"dict[{key}, {self._annotation(shape.value)}]"
        return _SCALARS[shape.kind]

    @staticmethod
    def _class_name(shape: Shape) -> str:
        return shape.name[0].upper() + shape.name[1:]


def operations_of(name: str) -> Iterator[OperationModel]:
    """Return the models of the operations that types are made for."""
    return (service(name).operation(operation) for operation in implemented(name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the files and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is stale")
    is_check = parser.parse_args(arguments).check
    stale = []
    for name in OPERATIONS:
        path = TYPES_DIRECTORY / f"{'lambda_' if name == 'lambda' else name}.py"
        text = _Module(service(name)).text()
        if path.is_file() and path.read_text() == text:
            continue
        stale.append(path)
        if not is_check:
            path.write_text(text)
    for path in stale:
        sys.stdout.write(f"{'stale' if is_check else 'written'}: {path.name}\n")
    return 1 if is_check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
