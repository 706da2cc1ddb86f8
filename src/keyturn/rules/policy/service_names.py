"""The names that services have for their actions and condition keys, as far as service models do not tell them.

What a model calls an operation is mostly an action, too; here is what differs.

Source: Service Authorization Reference, the pages "Actions, resources, and condition keys for …" of the services below;
IAM User Guide, "AWS global condition context keys".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

ActionNames = Mapping[str, tuple[str, ...]]
"""The actions of each service, by its prefix."""

# Operations that have no action of their own name.
_NOT_ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "kms": frozenset({"ReEncrypt"}),
    "lambda": frozenset({"Invoke", "InvokeWithResponseStream"}),
}

# Actions that are no operations.
_PERMISSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "cloudtrail": (
        "CreateServiceLinkedChannel",
        "DeleteServiceLinkedChannel",
        "GenerateQueryResultsSummary",
        "GetEventDataStoreData",
        "GetServiceLinkedChannel",
        "ListServiceLinkedChannels",
        "UpdateServiceLinkedChannel",
    ),
    "ec2": (
        "DeleteResourcePolicy",
        "GetResourcePolicy",
        "ImportByoipCidrToIpam",
        "InjectApiError",
        "PauseVolumeIO",
        "PutResourcePolicy",
        "SendSpotInstanceInterruptions",
    ),
    "iam": (
        "DeleteCloudFrontPublicKey",
        "GetAccountEmailAddress",
        "GetAccountName",
        "GetCloudFrontPublicKey",
        "ListCloudFrontPublicKeys",
        "ListSTSRegionalEndpointsStatus",
        "PassRole",
        "SetSTSRegionalEndpointStatus",
        "UpdateAccountEmailAddress",
        "UpdateAccountName",
        "UpdateCloudFrontPublicKey",
        "UploadCloudFrontPublicKey",
    ),
    "kms": ("ReEncryptFrom", "ReEncryptTo", "SynchronizeMultiRegionKey"),
    "lambda": (
        "DisableReplication",
        "EnableReplication",
        "InvokeFunction",
        "InvokeFunctionUrl",
        "UpdateFunctionCodeSigningConfig",
    ),
    "logs": (
        "CreateLogDelivery",
        "DeleteLogDelivery",
        "GetLogDelivery",
        "Link",
        "ListEntitiesForLogGroup",
        "ListLogDeliveries",
        "ListLogGroupsForEntity",
        "StopLiveTail",
        "Unmask",
        "UpdateLogDelivery",
    ),
    "sts": ("GetServiceBearerToken", "SetContext", "SetSourceIdentity", "TagSession"),
}


def action_names(operations: Mapping[str, Iterable[str]]) -> ActionNames:
    """Return the actions of services.

    Args:
        operations: The operations of each, as its model names them.
    """
    return {
        service: tuple(sorted({*names, *_PERMISSIONS.get(service, ())} - _NOT_ACTIONS.get(service, frozenset())))
        for service, names in operations.items()
    }


WITHOUT_RESOURCE: Final = frozenset(
    f"{service}:{action}".lower()
    for service, actions in {
        "cloudtrail": ("DescribeTrails", "ListPublicKeys", "ListTrails", "LookupEvents"),
        "ec2": (
            "DescribeAccountAttributes",
            "DescribeAddresses",
            "DescribeAvailabilityZones",
            "DescribeDhcpOptions",
            "DescribeInstances",
            "DescribeInternetGateways",
            "DescribeManagedPrefixLists",
            "DescribeNatGateways",
            "DescribeNetworkAcls",
            "DescribeNetworkInterfaces",
            "DescribePrefixLists",
            "DescribeRegions",
            "DescribeRouteTables",
            "DescribeSecurityGroupRules",
            "DescribeSecurityGroups",
            "DescribeSubnets",
            "DescribeTags",
            "DescribeVpcEndpointServices",
            "DescribeVpcEndpoints",
            "DescribeVpcPeeringConnections",
            "DescribeVpcs",
        ),
        "iam": (
            "CreateAccountAlias",
            "DeleteAccountAlias",
            "GenerateCredentialReport",
            "GetAccountAuthorizationDetails",
            "GetAccountPasswordPolicy",
            "GetAccountSummary",
            "GetContextKeysForCustomPolicy",
            "GetCredentialReport",
            "ListAccountAliases",
            "SimulateCustomPolicy",
        ),
        "kms": (
            "ConnectCustomKeyStore",
            "CreateCustomKeyStore",
            "CreateKey",
            "DeleteCustomKeyStore",
            "DescribeCustomKeyStores",
            "DisconnectCustomKeyStore",
            "GenerateRandom",
            "ListAliases",
            "ListKeys",
            "UpdateCustomKeyStore",
        ),
        "lambda": (
            "CreateCodeSigningConfig",
            "CreateEventSourceMapping",
            "GetAccountSettings",
            "ListCodeSigningConfigs",
            "ListEventSourceMappings",
            "ListFunctions",
            "ListLayers",
        ),
        "organizations": (
            "CreateAccount",
            "DescribeCreateAccountStatus",
            "DescribeOrganization",
            "ListAccounts",
            "ListRoots",
        ),
        "secretsmanager": ("BatchGetSecretValue", "GetRandomPassword", "ListSecrets"),
        "sts": ("DecodeAuthorizationMessage", "GetAccessKeyInfo"),
    }.items()
    for action in actions
)
"""Actions that are about no single resource, in lower case; a policy names ``*`` for them."""

# What ends in "/" or ":" begins the name of a key.
_CONDITION_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "aws": (
        "AssumedRoot",
        "CalledVia",
        "CalledViaAWSMCP",
        "CalledViaFirst",
        "CalledViaLast",
        "ChatbotSourceArn",
        "CurrentTime",
        "Ec2InstanceSourcePrivateIPv4",
        "Ec2InstanceSourceVpc",
        "EpochTime",
        "FederatedProvider",
        "IsMcpServiceAction",
        "MultiFactorAuthAge",
        "MultiFactorAuthPresent",
        "PrincipalAccount",
        "PrincipalArn",
        "PrincipalIsAWSService",
        "PrincipalOrgID",
        "PrincipalOrgPaths",
        "PrincipalServiceName",
        "PrincipalServiceNamesList",
        "PrincipalTag/",
        "PrincipalType",
        "RequestTag/",
        "RequestedRegion",
        "ResourceAccount",
        "ResourceOrgID",
        "ResourceOrgPaths",
        "ResourceTag/",
        "SecureTransport",
        "SignInSessionArn",
        "SourceAccount",
        "SourceArn",
        "SourceIdentity",
        "SourceIp",
        "SourceOrgID",
        "SourceOrgPaths",
        "SourceVpc",
        "SourceVpcArn",
        "SourceVpce",
        "TagKeys",
        "TokenIssueTime",
        "UserAgent",
        "ViaAWSMCPService",
        "ViaAWSService",
        "ViaCustomerDomain",
        "VpcSourceIp",
        "VpceAccount",
        "VpceOrgID",
        "VpceOrgPaths",
        "referer",
        "userid",
        "username",
    ),
    "cloudtrail": (),
    "iam": (
        "AWSServiceName",
        "AssociatedResourceArn",
        "FIDO-FIPS-140-2-certification",
        "FIDO-FIPS-140-3-certification",
        "FIDO-certification",
        "OrganizationsPolicyId",
        "PassedToService",
        "PermissionsBoundary",
        "PolicyARN",
        "RegisterSecurityKey",
        "ResourceTag/",
    ),
    "kms": (
        "BypassPolicyLockoutSafetyCheck",
        "CallerAccount",
        "CustomerMasterKeySpec",
        "CustomerMasterKeyUsage",
        "DataKeyPairSpec",
        "EncryptionAlgorithm",
        "EncryptionContext:",
        "EncryptionContextKeys",
        "ExpirationModel",
        "GrantConstraintType",
        "GrantIsForAWSResource",
        "GrantOperations",
        "GranteePrincipal",
        "KeyAgreementAlgorithm",
        "KeyOrigin",
        "KeySpec",
        "KeyUsage",
        "MacAlgorithm",
        "MessageType",
        "MultiRegion",
        "MultiRegionKeyType",
        "PolicyName",
        "PrimaryRegion",
        "ReEncryptOnSameKey",
        "RecipientAttestation:",
        "ReplicaRegion",
        "RequestAlias",
        "ResourceAliases",
        "RetiringPrincipal",
        "RotationPeriodInDays",
        "ScheduleKeyDeletionPendingWindowInDays",
        "SigningAlgorithm",
        "ValidTo",
        "ViaService",
        "WrappingAlgorithm",
        "WrappingKeySpec",
    ),
    "lambda": (
        "CodeSigningConfigArn",
        "EventSourceToken",
        "FunctionArn",
        "FunctionUrlAuthType",
        "InvokedViaFunctionUrl",
        "Layer",
        "Principal",
        "SecurityGroupIds",
        "SourceFunctionArn",
        "SubnetIds",
        "VpcIds",
    ),
    "logs": ("DeliveryDestinationResourceArn", "LogGeneratingResourceArns"),
    "organizations": ("PolicyType", "ServicePrincipal"),
    "secretsmanager": (
        "AddReplicaRegions",
        "BlockPublicPolicy",
        "Description",
        "ExternalSecretRotationRoleArn",
        "ForceDeleteWithoutRecovery",
        "ForceOverwriteReplicaSecret",
        "KmsKeyArn",
        "KmsKeyId",
        "ModifyRotationRules",
        "Name",
        "PolicyName",
        "RecoveryWindowInDays",
        "ResourceTag/",
        "RotateImmediately",
        "RotationLambdaARN",
        "SecretId",
        "SecretPrimaryRegion",
        "Type",
        "VersionId",
        "VersionStage",
        "resource/AllowRotationLambdaArn",
        "resource/Type",
    ),
    "sts": (
        "AWSServiceName",
        "DurationSeconds",
        "ExternalId",
        "RequestContext/",
        "RequestContextProviders",
        "RoleSessionName",
        "SourceIdentity",
        "TaskPolicyArn",
        "TransitiveTagKeys",
    ),
}

CONDITION_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    prefix: tuple(f"{prefix}:{name}" for name in names) for prefix, names in _CONDITION_KEYS.items()
}
"""The condition keys of each prefix; what ends in ``/`` or ``:`` begins the name of a key."""


def is_condition_key(key: str) -> bool:
    """Whether a condition key is one that services know; one of a prefix that is not known here may be."""
    prefix, colon, _ = key.lower().partition(":")
    if prefix not in CONDITION_KEYS:
        return bool(colon)
    return any(_is_named(key.lower(), known.lower()) for known in CONDITION_KEYS[prefix])


def _is_named(key: str, known: str) -> bool:
    return key.startswith(known) and key != known if known.endswith(("/", ":")) else key == known
